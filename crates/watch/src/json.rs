//! RESP3 replies as JSON: what `/api/…` serves.
//! Never fails and never trusts a string: what has no JSON form becomes null, and bytes that are no text are escaped.
//! Source: RFC 8259; `escape` for binary strings.

use crate::escape;
use resp::Reply;
use serde_json::Value;
use std::io::Write as _;

/// Appends a reply. A map is an object with its keys in order; a double that is no finite number is null; an error is an
/// object with the one field `error`.
pub fn write(out: &mut Vec<u8>, reply: &Reply) {
    match reply {
        Reply::Null => out.extend_from_slice(b"null"),
        Reply::Int(number) => {
            let _ = write!(out, "{number}");
        }
        Reply::Double(number, _) => write_number(out, *number),
        Reply::Bool(yes) => {
            let _ = write!(out, "{yes}");
        }
        Reply::Simple(bytes)
        | Reply::Bulk(bytes)
        | Reply::Verbatim(_, bytes)
        | Reply::BigNumber(bytes) => write_text(out, &escape::text(bytes)),
        Reply::Error(why) => write_error(out, why),
        Reply::Array(elements) | Reply::Set(elements) | Reply::Push(elements) => {
            out.push(b'[');
            for (place, element) in elements.iter().enumerate() {
                separate(out, place);
                write(out, element);
            }
            out.push(b']');
        }
        Reply::Map(pairs) => {
            out.push(b'{');
            for (place, (name, value)) in pairs.iter().enumerate() {
                separate(out, place);
                write_text(out, &name_of(name));
                out.push(b':');
                write(out, value);
            }
            out.push(b'}');
        }
    }
}

/// Appends INFO's text as an object of sections, each an object of fields; what reads as a number is one.
pub fn write_info(out: &mut Vec<u8>, reply: &Reply) {
    let (Reply::Verbatim(_, text) | Reply::Bulk(text)) = reply else {
        return write(out, reply);
    };
    let text = String::from_utf8_lossy(text);
    let (mut sections, mut fields) = (0, 0);
    out.push(b'{');
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("# ") {
            if sections > 0 {
                out.push(b'}');
            }
            separate(out, sections);
            write_text(out, &title.to_ascii_lowercase());
            out.extend_from_slice(b":{");
            (sections, fields) = (sections + 1, 0);
        } else if let Some((name, value)) = line.split_once(':').filter(|_| sections > 0) {
            separate(out, fields);
            write_text(out, name);
            out.push(b':');
            match value.parse::<f64>() {
                Ok(number) => write_number(out, number),
                Err(_) => write_text(out, value),
            }
            fields += 1;
        }
    }
    out.extend_from_slice(if sections > 0 { b"}}" } else { b"}" });
}

/// Appends the JSON document that a reply holds, as it is; an error where it holds none.
pub fn write_document(out: &mut Vec<u8>, reply: &Reply) {
    match reply {
        Reply::Bulk(text) | Reply::Verbatim(_, text) if document(reply).is_some() => {
            out.extend_from_slice(text);
        }
        Reply::Error(why) => write_error(out, why),
        _ => write_error(out, b"ERR the reply is no JSON"),
    }
}

/// The JSON document that a reply holds.
pub fn document(reply: &Reply) -> Option<Value> {
    match reply {
        Reply::Bulk(text) | Reply::Verbatim(_, text) => serde_json::from_slice(text).ok(),
        _ => None,
    }
}

/// Appends a comma before every element but the first.
pub fn separate(out: &mut Vec<u8>, place: usize) {
    if place > 0 {
        out.push(b',');
    }
}

/// Appends a text in quotes.
pub fn write_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a text can be written to memory");
}

fn write_number(out: &mut Vec<u8>, number: f64) {
    const WHOLE_MAX: f64 = (1u64 << 53) as f64;
    let _ = match number {
        _ if !number.is_finite() => write!(out, "null"),
        _ if number.fract() == 0.0 && number.abs() <= WHOLE_MAX => write!(out, "{}", number as i64),
        _ => write!(out, "{number}"),
    };
}

fn write_error(out: &mut Vec<u8>, why: &[u8]) {
    out.extend_from_slice(b"{\"error\":");
    write_text(out, &escape::text(why));
    out.push(b'}');
}

/// A key of a map as the name of a field.
fn name_of(reply: &Reply) -> String {
    match reply {
        Reply::Simple(bytes) | Reply::Bulk(bytes) | Reply::Verbatim(_, bytes) => {
            escape::text(bytes).into_owned()
        }
        other => {
            let mut out = Vec::new();
            write(&mut out, other);
            String::from_utf8_lossy(&out).into_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(resp: &[u8]) -> String {
        let (reply, _) = Reply::parse(resp).unwrap().unwrap();
        let mut out = Vec::new();
        write(&mut out, &reply);
        let text = String::from_utf8(out).unwrap();
        assert!(serde_json::from_str::<Value>(&text).is_ok(), "{text}");
        text
    }

    #[test]
    fn every_kind_of_reply_has_its_json() {
        for (resp, expected) in [
            (
                &b"%2\r\n$1\r\nb\r\n:1\r\n$1\r\na\r\n,0.5\r\n"[..],
                r#"{"b":1,"a":0.5}"#,
            ),
            (b"*3\r\n+OK\r\n_\r\n#t\r\n", r#"["OK",null,true]"#),
            (b",inf\r\n", "null"),
            (b",nan\r\n", "null"),
            (b",33\r\n", "33"),
            (b":-9223372036854775808\r\n", "-9223372036854775808"),
            (b"=6\r\ntxt:hi\r\n", r#""hi""#),
            (b"-ERR no\r\n", r#"{"error":"ERR no"}"#),
            (b"%1\r\n:1\r\n*0\r\n", r#"{"1":[]}"#),
        ] {
            assert_eq!(json(resp), expected);
        }
    }

    #[test]
    fn a_hostile_string_stays_a_string() {
        assert_eq!(
            json(b"$12\r\n\"</script>\n\xff\r\n"),
            "\"\\\"</script>\\n\\\\xff\""
        );
        assert_eq!(json(b"%1\r\n$2\r\n\x00\"\r\n:1\r\n"), "{\"\\u0000\\\"\":1}");
    }

    #[test]
    fn info_becomes_sections_of_fields() {
        let reply = Reply::Verbatim(
            *b"txt",
            b"# Server\r\nos:Linux a:b\r\nhz:10\r\n\r\n# Memory\r\nratio:1.50\r\nperc:50%\r\nname:inf\r\n".to_vec(),
        );
        let mut out = Vec::new();
        write_info(&mut out, &reply);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"server":{"os":"Linux a:b","hz":10},"memory":{"ratio":1.5,"perc":"50%","name":null}}"#
        );
        let mut out = Vec::new();
        write_info(&mut out, &Reply::Bulk(b"no section".to_vec()));
        assert_eq!(out, b"{}");
    }

    #[test]
    fn only_a_document_is_passed_on() {
        let written = |reply: &Reply| {
            let mut out = Vec::new();
            write_document(&mut out, reply);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(&Reply::Bulk(b"{\"b\": 1}".to_vec())), "{\"b\": 1}");
        assert_eq!(
            written(&Reply::Bulk(b"{\"b\": 1}, \"c\": 2".to_vec())),
            r#"{"error":"ERR the reply is no JSON"}"#
        );
        assert_eq!(
            written(&Reply::Error(b"ERR x".to_vec())),
            r#"{"error":"ERR x"}"#
        );
    }
}
