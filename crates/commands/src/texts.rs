//! A long string that DUMP copies out and sums up in bounded steps.
//! Never copies it twice.
//! Source: decision 0010; a place is an offset.

use crate::reading::{self, Budget, Reader, STEP_BYTES};
use crate::{Call, Error};
use rdb::Sealing;
use resp::Writer;
use store::View;

/// A string that becomes a payload.
#[derive(Debug)]
struct Dumping {
    payload: Sealing,
    /// How much of it was read.
    at: usize,
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
    let all_bytes = head.len() + text_bytes + rdb::FOOTER_BYTES;
    let payload = Sealing::of(&head);
    let what = Dumping { payload, at: 0 };
    Err(reading::begin(call, what, |out| {
        out.raw(format!("${all_bytes}\r\n").as_bytes());
        out.raw(&head);
    }))
}

impl Reader for Dumping {
    fn read(
        &mut self,
        view: &View<'_>,
        out: &mut Writer<'_>,
        _: &mut Budget,
    ) -> Result<bool, Error> {
        let text = view.text().expect("a string stays one");
        let part = &text[self.at..text.len().min(self.at + STEP_BYTES)];
        self.payload.note(part);
        out.raw(part);
        self.at += part.len();
        let has_more = self.at < text.len();
        if !has_more {
            out.raw(&self.payload.end());
            out.raw(b"\r\n");
        }
        Ok(has_more)
    }
}

#[cfg(test)]
mod tests {
    use crate::trial::{Trial, both_ways, long_text};
    use resp::Proto;

    #[test]
    fn a_long_string_is_dumped_in_steps_as_at_once() {
        let (mut trial, text) = (Trial::new(1), long_text());
        trial.set("s", &text, store::Expiry::Clear);
        let payload = both_ways(&mut trial.cores[0], "dump s", Proto::Resp2);
        assert!(payload.len() > text.len());
    }
}
