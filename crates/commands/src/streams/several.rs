//! XREAD of long streams, one or several, in bounded steps: each is answered in pieces, in the order in which they were named.
//! Never answers streams of two moments: all are locked against writers until the last is read.
//! Source: decision 0010; where streams lie on several shards, each answers its own, and their coordinator puts them together.

use super::read::{begin_answer, begin_answers};
use super::steps::{Asked, Entries};
use crate::part::Conclusion;
use crate::reading::STEP_BYTES;
use crate::reply_limit::ReplyLimit;
use crate::steps::{self, Lookups, Pieces, Sources, Steps, Stop};
use crate::{Call, Core, Error, Part, Progress};
use memory::heap::travel::vec_bytes;
use resp::{Proto, Writer};
use std::collections::HashSet;
use store::Key;

/// What a stream answers, in pieces, and the index of its key among the arguments.
pub type Answer = (u32, Vec<Vec<u8>>);

/// Bytes of answers on the heap, as the allocator rounds them.
pub fn heap_bytes(answers: &Vec<Answer>) -> usize {
    let each = |(_, pieces): &Answer| vec_bytes(pieces) + pieces_bytes(pieces);
    vec_bytes(answers) + answers.iter().map(each).sum::<usize>()
}

fn pieces_bytes(pieces: &[Vec<u8>]) -> usize {
    pieces.iter().map(vec_bytes).sum()
}

/// Streams of which entries are asked for, by the indexes of their keys.
pub(super) type Wanted = Vec<(usize, Asked)>;

/// Has streams be answered in steps: all that are named, or those of this shard.
#[cold]
pub(super) fn begin(call: &mut Call<'_>, wanted: Wanted, lookups: Lookups, are_all: bool) -> Error {
    let keys: Vec<Key<'_>> = wanted
        .iter()
        .map(|(index, _)| call.other_key(*index))
        .collect();
    let sources = Sources::of(call, &keys);
    let locked = match are_all {
        true => sources.hashes().collect(),
        // They are locked on all shards.
        false => Vec::new(),
    };
    let proto = call.proto;
    let answering = Answering {
        sources,
        wanted,
        proto,
        limit: ReplyLimit::of(call),
        entries: None,
        pieces: Pieces::new(proto, |_| {}),
        named: HashSet::new(),
        again_bytes: 0,
        answers: Vec::new(),
    };
    steps::begin(call, locked, lookups, |steps| {
        answer(steps, answering, are_all)
    })
}

async fn answer(steps: Steps, answering: Answering, are_all: bool) -> Result<Part, Stop> {
    let Answering { proto, answers, .. } = steps.work(answering, Answering::step).await?;
    Ok(if are_all {
        Part::Reply(together(proto, answers))
    } else {
        Part::Answers(answers)
    })
}

/// One reply of the answers of all streams.
fn together(proto: Proto, mut answers: Vec<Answer>) -> Vec<Vec<u8>> {
    let mut first = Vec::new();
    let out = &mut Writer::new(&mut first, proto);
    match answers.len() {
        0 => out.null_array(),
        streams => begin_answers(out, streams),
    }
    answers.sort_by_key(|(index, _)| *index);
    let pieces = answers.into_iter().flat_map(|(_, pieces)| pieces);
    std::iter::once(first).chain(pieces).collect()
}

/// Leaves the reply of streams of several shards, of which some are long, as what the command comes to.
pub(super) fn conclude(call: &mut Call<'_>, answers: Vec<Answer>, given_bytes: usize) {
    let reply = together(call.proto, answers);
    let course = |_| async move {
        let conclusion = Conclusion { reply, value: None };
        Ok(Part::Concluded(Box::new(conclusion)))
    };
    steps::begin(call, Vec::new(), Lookups::default(), course);
    let long = call.core.long.as_mut().expect("it was begun");
    long.hold(given_bytes);
}

/// Streams that are being answered.
struct Answering {
    sources: Sources,
    wanted: Wanted,
    proto: Proto,
    limit: ReplyLimit,
    /// What is left of the one that is read, and what there is of its answer.
    entries: Option<Entries>,
    pieces: Pieces,
    /// Those that were answered: what a stream has to say once is not limited, but one that is named again and again.
    named: HashSet<Box<[u8]>>,
    again_bytes: usize,
    answers: Vec<Answer>,
}

impl Answering {
    fn step(&mut self, core: &mut Core) -> Result<Progress, Stop> {
        let mut written = 0;
        while written < STEP_BYTES {
            let place = self.wanted.len();
            let Some((index, asked)) = self.wanted.last().copied() else {
                return Ok(Progress::Done);
            };
            let view = self.sources.view(core, place - 1)?;
            let stream = view.and_then(|view| view.stream()).ok_or(Stop::Lost)?;
            let entries = self
                .entries
                .get_or_insert_with(|| Entries::of(asked, Vec::new(), None));
            let has_more = self.pieces.write(|out, _| {
                let has_more = entries.read_on(stream, out);
                written += out.len();
                has_more
            });
            if has_more {
                break;
            }
            self.wanted.pop();
            self.end(index, place - 1)?;
        }
        Ok(Progress::Again)
    }

    /// Ends the answer of a stream; what has no entries answers nothing.
    fn end(&mut self, index: usize, place: usize) -> Result<(), Stop> {
        let entries = self.entries.take().expect("it was read just now");
        let mut pieces = std::mem::replace(&mut self.pieces, Pieces::new(self.proto, |_| {}));
        if entries.written() == 0 {
            return Ok(());
        }
        let (name, mut head) = (self.sources.key(place).bytes, Vec::new());
        let out = &mut Writer::new(&mut head, self.proto);
        begin_answer(out);
        out.bulk(name);
        out.array(entries.written());
        pieces.put_first(Some(head));
        let pieces = pieces.take();
        if !self.named.insert(name.into()) {
            self.again_bytes += pieces_bytes(&pieces);
            self.limit.check(self.again_bytes)?;
        }
        self.answers.push((index as u32, pieces));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::reading::LONG_ELEMENTS;
    use crate::trial::{Trial, both_ways, fill_set, fill_stream, run_row};
    use crate::{Core, execute::Ran};
    use resp::Proto;

    const MANY: usize = LONG_ELEMENTS + 5000;

    fn run(core: &mut Core, line: &str) -> Vec<u8> {
        let (ran, bytes) = run_row(core, line, Proto::Resp2);
        assert_eq!(ran, Ran::Yes, "{line}");
        bytes
    }

    #[test]
    fn streams_are_answered_in_steps_as_at_once_in_the_order_in_which_they_are_named() {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        fill_stream(core, "a", MANY);
        fill_stream(core, "b", MANY / 2);
        fill_stream(core, "c", MANY / 2 + 7);
        fill_stream(core, "few", 3);
        for line in [
            "xread streams a 0",
            "xread streams a b 0 0",
            "xread streams few none b a few 0 0 9-0 7-3 2-2",
            "xread count 20500 block 5 streams a few a 5 $ 0",
            "xread streams b + a c + 5 0 0",
            // Each is short, and all together are long.
            "xread streams b c b few 0 0 0 0",
        ] {
            for proto in [Proto::Resp2, Proto::Resp3] {
                assert!(both_ways(core, line, proto).len() > 400_000, "{line}");
            }
        }
    }

    #[test]
    fn a_refusal_is_told_in_place_of_what_is_long() {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        fill_stream(core, "a", MANY);
        fill_set(core, "set", 3);
        for (line, told) in [
            ("xread streams a set 0 0", "-WRONGTYPE"),
            ("xread streams set a 0 0", "-WRONGTYPE"),
            ("xread streams a a 0 x", "-ERR Invalid stream ID"),
            ("xread streams a set 0 x", "-WRONGTYPE"),
            ("xread streams a a 0 >", "-ERR The > ID"),
        ] {
            assert!(run(core, line).starts_with(told.as_bytes()), "{line}");
        }
        assert!(core.long.is_none());
    }

    #[test]
    fn a_stream_that_is_named_again_and_again_is_not_answered_without_bound() {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        fill_stream(core, "a", MANY);
        core.config.proto_max_bulk_len = 1 << 20;
        let line = "xread streams a a a a 0 0 0 0";
        assert_eq!(run_row(core, line, Proto::Resp2).0, Ran::InSteps);
        let long = core.long.take().expect("it was left");
        assert_eq!(
            long.finish(core).err(),
            Some(crate::error::REPLY_TOO_LONG.into())
        );
    }
}
