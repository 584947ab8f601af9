//! Bits of a long string, counted in bounded steps.
//! Never copies it.
//! Source: decision 0010; a place is an offset of bits.

use super::words::Span;
use crate::reading::{self, Budget, Reader};
use crate::{Call, Error};
use resp::Writer;
use store::View;

/// Bytes whose bits are counted in a step: a third of a millisecond.
const STEP_BYTES: u64 = 2 << 20;
/// Counting bits takes so many times less than copying.
const GAIN: u64 = 4;

/// A span whose bits are being counted.
#[derive(Debug)]
struct Counting {
    /// What is left of it.
    span: Span,
    /// How many bits were set before that.
    counted: u64,
}

/// Whether it takes long to count the bits of a span.
pub fn is_long(span: &Span) -> bool {
    reading::is_long((span.last - span.first) / 8 / GAIN, || (1, 1))
}

/// Has the bits of a span of the string under the first key be counted in steps.
#[cold]
pub fn begin(call: &mut Call<'_>, span: Span) -> Error {
    reading::begin(call, Counting { span, counted: 0 }, |_| {})
}

impl Reader for Counting {
    fn read(
        &mut self,
        view: &View<'_>,
        out: &mut Writer<'_>,
        _: &mut Budget,
    ) -> Result<bool, Error> {
        let text = view.text().expect("a string stays one");
        let last = self.span.last.min(self.span.first + 8 * STEP_BYTES - 1);
        self.counted += Span { last, ..self.span }.count(text);
        let has_more = last < self.span.last;
        if has_more {
            self.span.first = last + 1;
        } else {
            out.int(self.counted as i64);
        }
        Ok(has_more)
    }
}

#[cfg(test)]
mod tests {
    use crate::trial::{Trial, both_ways, long_text, run_row};
    use resp::Proto;

    #[test]
    fn bits_of_a_long_string_are_counted_in_steps_as_at_once() {
        let mut trial = Trial::new(1);
        trial.set("s", &long_text(), store::Expiry::Clear);
        let core = &mut trial.cores[0];
        for line in [
            "bitcount s",
            "bitcount s 3 -5",
            "bitcount s 11 70000007 bit",
        ] {
            both_ways(core, line, Proto::Resp2);
        }
        let few = run_row(core, "bitcount s 0 100", Proto::Resp2);
        assert!(few.1.len() < 10, "it is answered at once");
    }
}
