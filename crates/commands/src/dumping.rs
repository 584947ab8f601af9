//! DUMP of a large collection in bounded steps: its payload is written, summed up and answered piece by piece.
//! Never copies the collection, and never writes another payload than `rdb::encode` does at once.
//! Source: decision 0010; a place is as in `reading`.

use crate::reading::{self, STEP_BYTES};
use crate::steps::{self, Sources, Steps, Stop, copy};
use crate::{Call, Core, Error, Part, Progress};
use rdb::{Body, Sealing};
use store::{IntBuffer, Key, Kind, Place, StreamId, View, canonical_int};

/// Elements of a step: half a millisecond.
const STEP_ELEMENTS: usize = 4096;
/// Entries of a step: each becomes plain data on its way.
const STEP_ENTRIES: usize = 1024;

const KIND: &str = "a collection keeps its type";

/// Has the collection under a key be dumped in steps, if it is large.
///
/// # Errors
/// The one that stands for an answer in steps.
pub fn if_long(call: &mut Call<'_>, key: Key<'_>) -> Result<(), Error> {
    let view = call.core.shard.view_beside(call.db, key, call.now());
    let Some(kind) = view.filter(takes_long).map(|view| view.kind()) else {
        return Ok(());
    };
    let sources = Sources::of(call, &[key]);
    let (locked, lookups) = (sources.hashes().collect(), sources.lookups());
    let course = |steps| dump(steps, sources, kind);
    Err(steps::begin(call, locked, lookups, course))
}

fn takes_long(view: &View<'_>) -> bool {
    let extent = copy::extent(view);
    let is_over = || view.hash().is_some_and(|hash| hash.is_empty());
    extent.is_some_and(|(count, bytes)| {
        count > 0
            && reading::is_long(bytes, || (count, count))
            && !is_over()
            && !is_block_of_integers(view)
    })
}

/// Whether it is a set that is written as one block, which may yet lie in a table that was larger.
fn is_block_of_integers(view: &View<'_>) -> bool {
    let few = view
        .set()
        .filter(|set| set.len() <= rdb::INT_SET_MEMBERS_MAX);
    few.is_some_and(|set| {
        let (mut buffer, mut is_block) = (IntBuffer::new(), true);
        set.walk(Place::default(), |member| {
            is_block = canonical_int(member.text(&mut buffer)).is_some();
            is_block
        });
        is_block
    })
}

async fn dump(steps: Steps, sources: Sources, kind: Kind) -> Result<Part, Stop> {
    let mut dumping = Dumping {
        sources,
        kind,
        place: Place::default(),
        written: 0,
        next_id: Some(StreamId::MIN),
        body: Body::default(),
        pieces: Vec::new(),
    };
    if kind == Kind::Hash {
        dumping = steps.work(dumping, Dumping::look).await?;
    }
    let dumping = steps.work(dumping, Dumping::write).await?;
    let head = dumping.body.head(kind);
    let summing = Summing {
        sealing: Sealing::of(&head),
        pieces: dumping.pieces,
        summed: 0,
    };
    let mut summed = steps.work(summing, Summing::piece).await?;
    let body_bytes: usize = summed.pieces.iter().map(Vec::len).sum();
    let all_bytes = head.len() + body_bytes + rdb::FOOTER_BYTES;
    let mut first = format!("${all_bytes}\r\n").into_bytes();
    first.extend(head);
    summed.pieces.insert(0, first);
    let mut last = summed.sealing.end();
    last.extend(b"\r\n");
    summed.pieces.push(last);
    Ok(Part::Reply(summed.pieces))
}

/// A collection that is being written.
struct Dumping {
    sources: Sources,
    kind: Kind,
    /// Where a set or a hash is gone on with, and how many elements of the others are written.
    place: Place,
    written: usize,
    /// The least ID that is not written.
    next_id: Option<StreamId>,
    body: Body,
    pieces: Vec<Vec<u8>>,
}

impl Dumping {
    /// Looks for the field that expires first, from which the others are counted.
    fn look(&mut self, core: &mut Core) -> Result<Progress, Stop> {
        let view = self.sources.view(core, 0)?.ok_or(Stop::Lost)?;
        let hash = view.hash().expect(KIND);
        if !hash.expires() {
            return Ok(Progress::Done);
        }
        let mut seen = 0;
        let next = hash.walk_with_expiries(self.place, |_, _, expiry| {
            self.body.note_expiry(expiry);
            seen += 1;
            seen < STEP_ELEMENTS
        });
        self.place = next.unwrap_or_default();
        Ok(progress(next.is_some()))
    }

    fn write(&mut self, core: &mut Core) -> Result<Progress, Stop> {
        let view = self.sources.view(core, 0)?.ok_or(Stop::Lost)?;
        // An element more than the piece has room for makes it grow.
        let mut piece = Vec::with_capacity(STEP_BYTES + STEP_BYTES / 8);
        let has_more = match self.kind {
            Kind::Set | Kind::Hash => {
                Self::walk(&mut self.body, &view, &mut self.place, &mut piece)
            }
            Kind::List | Kind::Zset => self.range(&view, &mut piece),
            Kind::Stream => self.entries(&view, &mut piece),
            Kind::String => unreachable!("a string is no collection"),
        };
        if !has_more {
            self.body.end(&mut piece);
        }
        piece.shrink_to_fit();
        self.pieces.push(piece);
        Ok(progress(has_more))
    }

    fn walk(body: &mut Body, view: &View<'_>, place: &mut Place, piece: &mut Vec<u8>) -> bool {
        let mut step = Left::of(STEP_ELEMENTS);
        let (one, other) = (&mut IntBuffer::new(), &mut IntBuffer::new());
        let next = match (view.set(), view.hash()) {
            (Some(set), _) => set.walk(*place, |member| {
                body.member(member.text(one), piece);
                step.goes_on(piece)
            }),
            (None, hash) => {
                let hash = hash.expect(KIND);
                hash.walk_with_expiries(*place, |field, value, expiry| {
                    body.field((field.text(one), value.text(other)), expiry, piece);
                    step.goes_on(piece)
                })
            }
        };
        next.map(|next| *place = next).is_some()
    }

    fn range(&mut self, view: &View<'_>, piece: &mut Vec<u8>) -> bool {
        let (mut step, mut buffer) = (Left::of(STEP_ELEMENTS), IntBuffer::new());
        let (body, written) = (&mut self.body, &mut self.written);
        if let Some(zset) = view.zset() {
            zset.range(*written..zset.len()).all(|(member, score)| {
                body.scored(member.text(&mut buffer), score, piece);
                *written += 1;
                step.goes_on(piece)
            });
            return *written < zset.len();
        }
        let list = view.list().expect(KIND);
        list.range(*written, list.len()).all(|element| {
            body.element(element.text(&mut buffer), piece);
            *written += 1;
            step.goes_on(piece)
        });
        *written < list.len()
    }

    fn entries(&mut self, view: &View<'_>, piece: &mut Vec<u8>) -> bool {
        let stream = view.stream().expect(KIND);
        let mut step = Left::of(STEP_ENTRIES);
        if let Some(start) = self.next_id.take() {
            for entry in stream.range(start, StreamId::MAX) {
                self.body.entry(entry.to_content(), piece);
                if !step.goes_on(piece) {
                    self.next_id = entry.id.next();
                    return true;
                }
            }
        }
        self.body
            .end_stream(&stream.to_content_beside_entries(), piece);
        false
    }
}

/// A payload that is being summed up.
struct Summing {
    sealing: Sealing,
    pieces: Vec<Vec<u8>>,
    summed: usize,
}

impl Summing {
    /// Pieces of a step.
    const STEP: usize = 4;

    fn piece(&mut self, _: &mut Core) -> Result<Progress, Stop> {
        let end = self.pieces.len().min(self.summed + Self::STEP);
        for piece in &self.pieces[self.summed..end] {
            self.sealing.note(piece);
        }
        self.summed = end;
        Ok(progress(end < self.pieces.len()))
    }
}

fn progress(has_more: bool) -> Progress {
    if has_more {
        Progress::Again
    } else {
        Progress::Done
    }
}

/// What a step may still do.
struct Left {
    elements: usize,
}

impl Left {
    fn of(elements: usize) -> Left {
        Left { elements }
    }

    /// Whether an element, which was just written, leaves room for another.
    fn goes_on(&mut self, piece: &[u8]) -> bool {
        self.elements -= 1;
        self.elements > 0 && piece.len() < STEP_BYTES
    }
}

#[cfg(test)]
mod tests {
    use crate::Core;
    use crate::execute::Ran;
    use crate::reading::LONG_ELEMENTS;
    use crate::trial::{
        START, Trial, assert_nothing_is_borrowed, both_ways, fill_hash, fill_set, fill_zset,
        run_row,
    };
    use resp::Proto;
    use store::Kind;

    const MANY: usize = LONG_ELEMENTS + 3000;

    fn run(core: &mut Core, line: &str) -> Vec<u8> {
        let (ran, bytes) = run_row(core, line, Proto::Resp2);
        assert_eq!(ran, Ran::Yes, "{line}");
        bytes
    }

    #[test]
    fn a_large_collection_is_dumped_in_steps_as_at_once() {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        fill_set(core, "set", MANY);
        fill_zset(core, "zset", MANY);
        fill_hash(core, "hash", MANY);
        for number in 0..MANY {
            run(core, &format!("rpush list {number} element:{number}"));
            run(core, &format!("sadd numbers {}", number * 77_777));
        }
        for key in ["set", "zset", "hash", "list", "numbers"] {
            for proto in [Proto::Resp2, Proto::Resp3] {
                both_ways(core, &format!("dump {key}"), proto);
            }
        }
        // Few are enough, where they are long.
        let text = "x".repeat(60_000);
        for number in 0..50 {
            run(core, &format!("hset wide {number} {text}"));
        }
        both_ways(core, "dump wide", Proto::Resp2);
        assert_nothing_is_borrowed(core);
    }

    #[test]
    fn fields_that_expire_are_dumped_with_their_times_and_those_that_have_are_not() {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        fill_hash(core, "hash", MANY);
        for (nth, ms) in [(7, 5000), (11, 90), (20_000, 60_000)] {
            run(core, &format!("hpexpire hash {ms} fields 1 member:{nth}"));
        }
        let before = both_ways(core, "dump hash", Proto::Resp2);
        core.now = START.plus(100);
        let after = both_ways(core, "dump hash", Proto::Resp2);
        assert!(after.len() < before.len());
        core.now = START.plus(100_000);
        let last = both_ways(core, "dump hash", Proto::Resp2);
        assert!(
            last.len() < after.len() - 2 * MANY / 3,
            "they have no times"
        );
    }

    #[test]
    fn a_stream_is_dumped_in_steps_as_at_once_with_its_groups() {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        let key = core.shard.key(b"s");
        let door = core.shard.open_or_new(0, key, Kind::Stream, START);
        let mut stream = door.unwrap_or_else(|_| panic!("it is a stream")).stream();
        let limits = stream.node_limits();
        for number in 0..(MANY + MANY / 4) as u64 {
            let id = store::StreamId {
                ms: 5 + number / 1000,
                seq: 3 * number,
            };
            let name = ["f", "other"][usize::from(number % 50 == 7)];
            let value = "v".repeat(number as usize % 90);
            stream.add(id, [name.as_bytes(), value.as_bytes()].into_iter(), limits);
            if number % 7 == 0 {
                stream.delete(id);
            }
        }
        drop(stream);
        both_ways(core, "dump s", Proto::Resp2);
        run(core, "xgroup create s one 0");
        run(core, "xreadgroup group one c count 300 streams s >");
        run(core, "xgroup createconsumer s one idle");
        both_ways(core, "dump s", Proto::Resp3);
    }
}
