//! A long string that is read in bounded steps: DUMP copies it out and sums it up, BITCOUNT counts its bits.
//! Never copies it twice.
//! Source: decision 0010; a place is an offset.

use crate::bits::Span;
use crate::reading::{self, Budget, Reader, STEP_BYTES};
use crate::{Call, Error};
use rdb::Sealing;
use resp::Writer;
use store::View;

/// Bytes whose bits are counted in a step: a third of a millisecond.
const COUNTED_BYTES: u64 = 2 << 20;
/// Counting bits takes so many times less than copying.
const COUNTING_GAIN: u64 = 4;

/// A long string that is being read.
#[derive(Debug)]
pub enum LongText {
    /// It becomes a payload from an offset on.
    Dump(Sealing, usize),
    /// Bits of a span are counted; how many were set before it.
    Count(Span, u64),
}

/// Has the string of so many bytes under the first key be dumped in steps, if it is long.
///
/// # Errors
/// The one that stands for an answer in steps.
pub fn dump_if_long(call: &mut Call<'_>, text_bytes: usize) -> Result<(), Error> {
    if !reading::is_long(text_bytes as u64, || (1, 1)) {
        return Ok(());
    }
    let head = rdb::string_head(text_bytes);
    let payload = Sealing::of(&head);
    let all_bytes = head.len() + text_bytes + rdb::FOOTER_BYTES;
    let what = LongText::Dump(payload, 0);
    Err(reading::begin(call, what, |out| {
        out.raw(format!("${all_bytes}\r\n").as_bytes());
        out.raw(&head);
    }))
}

/// Whether it takes long to count the bits of a span.
pub fn is_long_to_count(span: &Span) -> bool {
    reading::is_long((span.last - span.first) / 8 / COUNTING_GAIN, || (1, 1))
}

/// Has the bits of a span of the string under the first key be counted in steps.
#[cold]
pub fn count_in_steps(call: &mut Call<'_>, span: Span) -> Error {
    let what = LongText::Count(span, 0);
    reading::begin(call, what, |_| {})
}

impl Reader for LongText {
    fn read(
        &mut self,
        view: &View<'_>,
        out: &mut Writer<'_>,
        _: &mut Budget,
    ) -> Result<bool, Error> {
        let text = view.text().expect("a string stays one");
        Ok(self.read_on(text, out))
    }
}

impl LongText {
    /// Reads on. Whether there is more.
    fn read_on(&mut self, text: &[u8], out: &mut Writer<'_>) -> bool {
        match self {
            LongText::Dump(payload, at) => {
                let part = &text[*at..text.len().min(*at + STEP_BYTES)];
                payload.note(part);
                out.raw(part);
                *at += part.len();
                let has_more = *at < text.len();
                if !has_more {
                    out.raw(&payload.end());
                    out.raw(b"\r\n");
                }
                has_more
            }
            LongText::Count(span, counted) => {
                let last = span.last.min(span.first + 8 * COUNTED_BYTES - 1);
                let part = Span { last, ..*span };
                *counted += part.count(text);
                let has_more = last < span.last;
                if has_more {
                    span.first = last + 1;
                } else {
                    out.int(*counted as i64);
                }
                has_more
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::trial::{Trial, both_ways, run_row};
    use resp::Proto;

    #[test]
    fn a_long_string_is_dumped_and_counted_in_steps_as_at_once() {
        let mut trial = Trial::new(1);
        let mut state = 7u64;
        let text: String = std::iter::repeat_with(|| {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            char::from(b'!' + (state >> 33) as u8 % 90)
        })
        .take((9 << 20) + 77)
        .collect();
        trial.set("s", &text, store::Expiry::Clear);
        let core = &mut trial.cores[0];
        let payload = both_ways(core, "dump s", Proto::Resp2);
        assert!(payload.len() > text.len());
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
