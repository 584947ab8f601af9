//! DEBUG PROTOCOL: a sample of every type of reply, for those who write clients.
//! Nothing here reads data.
//! Source: redis-server 7 for the samples.

use resp::Writer;

/// Redis' sample of a double, which is not meant to be pi.
#[expect(
    clippy::approx_constant,
    reason = "clients compare it with Redis' sample"
)]
const SAMPLE: f64 = 3.141;

/// Writes the sample of a type; `None` if there is no such type.
pub fn write(name: &[u8], out: &mut Writer<'_>) -> Option<()> {
    match &name.to_ascii_lowercase()[..] {
        b"string" => out.bulk(b"Hello World"),
        b"integer" => out.int(12345),
        b"double" => out.double(SAMPLE),
        b"null" => out.null(),
        b"array" => {
            out.array(3);
            (0..3).for_each(|number| out.int(number));
        }
        b"set" => {
            out.set(3);
            (0..3).for_each(|number| out.int(number));
        }
        b"map" => {
            out.map(3);
            for number in 0..3 {
                out.int(number);
                out.boolean(number == 1);
            }
        }
        b"attrib" => {
            if out.attributes(1) {
                out.bulk(b"key-popularity");
                out.array(2);
                out.bulk(b"key:123");
                out.int(90);
            }
            out.bulk(b"Some real reply following the attribute");
        }
        b"push" => {
            out.push(2);
            out.bulk(b"server-cpu-usage");
            out.int(42);
            // A push answers nothing: the reply comes after it.
            out.bulk(b"Some real reply following the push reply");
        }
        b"verbatim" => out.verbatim("txt", b"This is a verbatim\nstring"),
        b"true" => out.boolean(true),
        b"false" => out.boolean(false),
        b"bignum" => out.big_number("1234567999999999999999999999999999999"),
        _ => return None,
    }
    Some(())
}
