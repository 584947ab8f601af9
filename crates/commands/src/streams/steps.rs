//! Entries of a large stream, answered in bounded steps: XRANGE, XREVRANGE, XREAD, XINFO STREAM FULL.
//! Never counts entries beforehand: how many there were is told in the header, which is made last.
//! Source: decision 0010; the place to go on from is an ID.

use super::full::Groups;
use super::ids;
use crate::reading::{self, Budget, Reader};
use crate::{Call, Error};
use resp::{Proto, Writer};
use store::{Stream, StreamEntry, StreamId, View};

/// Which entries are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub start: StreamId,
    pub end: StreamId,
    pub is_reverse: bool,
    /// How many at most.
    pub count: usize,
}

/// Entries that are being answered.
#[derive(Debug)]
pub struct Entries {
    /// Those not answered yet; nothing where no ID is left.
    left: Option<Asked>,
    written: usize,
    /// What stands before their array.
    head: Vec<u8>,
    /// What XINFO STREAM FULL tells behind them.
    tail: Option<Groups>,
}

/// Whether it takes long to answer entries.
pub(super) fn is_long(stream: &Stream, asked: &Asked) -> bool {
    let len = usize::try_from(stream.len()).unwrap_or(usize::MAX);
    let about = || {
        stream
            .about(asked.start, asked.end)
            .min(asked.count)
            .min(len)
    };
    // Where there are none the answer may be another.
    reading::is_long(stream.bytes(), || (about(), len))
        && stream.range(asked.start, asked.end).next().is_some()
}

/// Has entries of the stream under argument `index` be answered in steps. `head` writes what stands before their array.
#[cold]
pub(super) fn begin(
    call: &mut Call<'_>,
    index: usize,
    asked: Asked,
    head: Vec<u8>,
    tail: Option<Groups>,
) -> Error {
    let what = Entries::of(asked, head, tail);
    reading::begin_key(call, index, what, |_| {})
}

impl Reader for Entries {
    fn read(
        &mut self,
        view: &View<'_>,
        out: &mut Writer<'_>,
        _: &mut Budget,
    ) -> Result<bool, Error> {
        let stream = view.stream().expect("a stream stays one");
        Ok(self.read_on(stream, out))
    }

    fn header(&mut self, proto: Proto) -> Option<Vec<u8>> {
        let mut header = std::mem::take(&mut self.head);
        Writer::new(&mut header, proto).array(self.written);
        Some(header)
    }
}

impl Entries {
    /// Entries that are asked for, of which none is answered yet.
    pub(super) fn of(asked: Asked, head: Vec<u8>, tail: Option<Groups>) -> Entries {
        Entries {
            left: Some(asked),
            written: 0,
            head,
            tail,
        }
    }

    /// How many are answered.
    pub(super) fn written(&self) -> usize {
        self.written
    }

    /// Answers the next entries. Whether there is more to answer.
    pub(super) fn read_on(&mut self, stream: &Stream, out: &mut Writer<'_>) -> bool {
        if let Some(asked) = self.left {
            let (start, end) = (asked.start, asked.end);
            self.left = if asked.is_reverse {
                self.some(asked, stream.range_back(start, end), out)
            } else {
                self.some(asked, stream.range(start, end), out)
            };
            return self.left.is_some() || self.tail.is_some();
        }
        let tail = self.tail.as_mut();
        tail.is_some_and(|groups| groups.read(stream, out))
    }

    /// Answers some of a walk. What is left of it.
    fn some<'s>(
        &mut self,
        asked: Asked,
        walk: impl Iterator<Item = StreamEntry<'s>>,
        out: &mut Writer<'_>,
    ) -> Option<Asked> {
        let (mut step, mut left) = (Budget::default(), asked.count);
        for entry in walk.take(asked.count) {
            ids::write_entry(out, &entry);
            self.written += 1;
            left -= 1;
            if !step.goes_on(out) {
                let next = if asked.is_reverse {
                    entry.id.prev().map(|end| Asked { end, ..asked })
                } else {
                    entry.id.next().map(|start| Asked { start, ..asked })
                };
                let next = next.filter(|next| left > 0 && next.start <= next.end);
                return next.map(|next| Asked {
                    count: left,
                    ..next
                });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Core;
    use crate::execute::Ran;
    use crate::reading::LONG_ELEMENTS;
    use crate::trial::{START, Trial, both_ways, run_row};
    use store::Kind;

    const MANY: usize = LONG_ELEMENTS + 5000;

    fn run(core: &mut Core, line: &str) -> Vec<u8> {
        let (ran, bytes) = run_row(core, line, Proto::Resp2);
        assert_eq!(ran, Ran::Yes, "{line}");
        bytes
    }

    /// IDs rise by 1 to 3, every seventh entry is deleted, and some have another field.
    fn fill(core: &mut Core) {
        let key = core.shard.key(b"s");
        let door = core.shard.open_or_new(0, key, Kind::Stream, START);
        let mut stream = door.unwrap_or_else(|_| panic!("it is a stream")).stream();
        let (limits, mut seq) = (stream.node_limits(), 0);
        for number in 0..MANY as u64 {
            seq += 1 + number % 3;
            let id = StreamId { ms: 5, seq };
            let (name, value) = (
                ["f", "other"][usize::from(number % 50 == 7)],
                seq.to_string(),
            );
            stream.add(id, [name.as_bytes(), value.as_bytes()].into_iter(), limits);
            if number % 7 == 0 {
                stream.delete(id);
            }
        }
    }

    #[test]
    fn entries_are_the_same_in_steps_as_at_once() {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        fill(core);
        for line in [
            "xrange s - +",
            "xrange s 5-77 5-49000",
            "xrange s (5-78 + count 21000",
            "xrevrange s + -",
            "xrevrange s 5-48000 5-3",
            "xrevrange s (5-48000 - count 20001",
            "xread streams s 0",
            "xread count 20500 block 5 streams s 5-11",
            "xinfo stream s full count 0",
            "xinfo stream s full count 20011",
        ] {
            for proto in [Proto::Resp2, Proto::Resp3] {
                assert!(both_ways(core, line, proto).len() > 400_000, "{line}");
            }
        }
    }

    #[test]
    fn what_shows_few_entries_of_a_large_stream_is_answered_at_once() {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        fill(core);
        for line in [
            "xrange s - + count 10",
            "xrange s 5-100 5-3000",
            "xrange s + -",
            "xrange s 6 +",
            "xrevrange s + 5-49000",
            "xread streams s 5-49000",
            "xread streams s $",
            "xread count 100 streams s 0",
            "xinfo stream s full",
            "xrange s - + count 0",
        ] {
            run(core, line);
        }
        assert_eq!(run(core, "xread streams s 6"), b"*-1\r\n");
    }

    #[test]
    fn what_groups_have_pending_is_the_same_in_steps_as_at_once() {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        fill(core);
        for (group, ends) in [("one", [9000, 12_000, 300]), ("two", [0, 1, 20_000])] {
            run(core, &format!("xgroup create s {group} 0"));
            for (nth, count) in ends.into_iter().enumerate().filter(|(_, count)| *count > 0) {
                let read = format!("xreadgroup group {group} c{nth} count {count} streams s >");
                run(core, &read);
            }
        }
        run(core, "xgroup createconsumer s two idle");
        for line in [
            "xinfo stream s full count 0",
            "xinfo stream s full count 11000",
        ] {
            for proto in [Proto::Resp2, Proto::Resp3] {
                both_ways(core, line, proto);
            }
        }
        // Without an entry, there is much pending yet.
        run(core, "xtrim s maxlen 0");
        both_ways(core, "xinfo stream s full count 0", Proto::Resp2);
    }
}
