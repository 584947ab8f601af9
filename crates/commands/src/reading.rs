//! Reading a large collection in steps: who asks for it is answered once all of it is read, and others go on in between.
//! Never changes anything, and never mixes two collections: where the one that was begun is gone, the command begins anew.
//! Source: decision 0010; the key is locked meanwhile against writers alone.

use crate::{Call, Core, Error};
use resp::{Proto, Writer};
use std::ops::Range;
use store::{Key, Millis, Place, View, ZsetView};

use crate::element_scan::Scan;
use crate::geo::Searching;
use crate::lookup::bulk_item;
use crate::picks::Picks;
use crate::sort::Sorting;
use crate::steps::{self, Pieces};
use crate::streams::Entries;
use crate::texts::LongText;
use crate::zsets::write_pair;

/// An answer of so many elements is made in steps: a shorter one takes less than about two milliseconds.
pub const LONG_ELEMENTS: usize = 20_000;
/// So is one that is likely to have so many bytes.
pub const LONG_BYTES: u64 = 2 << 20;
/// No collection with fewer bytes has so many elements.
const LARGE_BYTES: u64 = 2 * LONG_ELEMENTS as u64;
/// Elements of a step: half a millisecond.
const STEP_ELEMENTS: usize = 4096;
/// A step ends with the element that brings its piece of the answer to so many bytes.
pub const STEP_BYTES: usize = 128 * 1024;

/// Whether it takes long to answer so many elements of a collection of so many bytes: `counts` are those, and all of them.
#[inline]
pub fn is_long(bytes: u64, counts: impl FnOnce() -> (usize, usize)) -> bool {
    // One comparison is all that others pay.
    bytes >= LARGE_BYTES && is_long_share(bytes, counts())
}

#[cold]
fn is_long_share(bytes: u64, (count, len): (usize, usize)) -> bool {
    let answered_bytes = u128::from(bytes) * count as u128 / len.max(1) as u128;
    takes_long(count, answered_bytes as u64)
}

/// Whether it takes long to look at so many elements, which have so many bytes in all.
pub fn takes_long(count: usize, bytes: u64) -> bool {
    #[cfg(test)]
    if crate::trial::AT_ONCE.get() {
        return false;
    }
    count >= LONG_ELEMENTS || bytes >= LONG_BYTES
}

/// What is answered of a collection, and from where on.
#[derive(Debug)]
pub enum What {
    /// The members of a set from a place on.
    Members(Place),
    /// Fields of a hash from a place on.
    Fields {
        /// Where to go on.
        place: Place,
        /// Whether their names are answered.
        names: bool,
        /// Whether their values are.
        values: bool,
        /// How many were answered. Beforehand one would have to look at each for whether it has expired.
        answered: usize,
    },
    /// Elements of a list.
    Elements(Range<usize>),
    /// Members of a sorted set.
    Ranks {
        /// Those not shown yet.
        ranks: Range<usize>,
        /// From the last to the first.
        is_reverse: bool,
        /// Each with its score.
        with_scores: bool,
    },
    /// All elements in another order.
    Sorted(Box<Sorting>),
    /// Entries of a stream.
    Entries(Box<Entries>),
    /// Elements from a cursor on.
    Scan(Box<Scan<'static>>),
    /// Elements picked at random.
    Picks(Box<Picks>),
    /// A long string.
    Text(Box<LongText>),
    /// Members of a sorted set that lie somewhere.
    Search(Box<Searching>),
}

/// A large collection that is being read for an answer.
#[derive(Debug)]
pub struct Reading {
    db: usize,
    key: Box<[u8]>,
    hash: u64,
    /// The moment of the answer, as far as expiry is concerned.
    since: Millis,
    /// Where the collection is: another one is not gone on with. Nothing where it is small, and copied at the beginning.
    large_at: Option<usize>,
    what: What,
    proto: Proto,
    pieces: Pieces,
}

/// What a step has led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// There is more to read.
    More,
    /// The answer, in pieces one after the other.
    Done(Vec<Vec<u8>>),
    /// The command fails on what it has read.
    Failed(Error),
    /// The collection is not what it was when this was begun: the command begins anew.
    Lost,
}

/// Has the first key, whose collection is large, be read in steps, behind a header of the answer. What this returns is the
/// handler's error, which nobody sees.
#[cold]
pub fn begin(call: &mut Call<'_>, what: What, header: impl FnOnce(&mut Writer<'_>)) -> Error {
    begin_key(call, 1, what, header)
}

/// As [`begin`], where the only key is argument `index`. What does not know yet how long its answer is makes its header at
/// the end (`What::header`).
#[cold]
pub fn begin_key(
    call: &mut Call<'_>,
    index: usize,
    what: What,
    header: impl FnOnce(&mut Writer<'_>),
) -> Error {
    let (key, db, since, proto) = (call.other_key(index), call.db, call.now(), call.proto);
    let view = call.core.shard.view_beside(db, key, since);
    let large_at = view.and_then(|view| view.large_at());
    let reading = Box::new(Reading {
        db,
        key: key.bytes.into(),
        hash: key.hash,
        since,
        proto,
        large_at,
        what,
        pieces: Pieces::new(proto, header),
    });
    steps::begin_reading(call, reading)
}

impl Reading {
    /// Table hash of the key, by which it is locked.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Reads on.
    pub fn step(&mut self, core: &Core) -> Step {
        let key = Key {
            bytes: &self.key,
            hash: self.hash,
        };
        let view = core.shard.view_beside(self.db, key, self.since);
        let Some(view) = view.filter(|view| view.large_at() == self.large_at) else {
            return Step::Lost;
        };
        if let What::Sorted(sorting) = &mut self.what
            && let Some(step) = sorting.prepare(&view)
        {
            return step;
        }
        let what = &mut self.what;
        let has_more = self.pieces.write(|out, step| what.read(&view, out, step));
        if let What::Picks(picks) = &mut self.what
            && let Some(error) = picks.failure()
        {
            return Step::Failed(error);
        }
        if has_more {
            return Step::More;
        }
        self.pieces.put_first(self.what.header(self.proto));
        Step::Done(self.pieces.take())
    }
}

impl What {
    /// What comes before the answer and could not be told before all of it was made.
    fn header(&mut self, proto: Proto) -> Option<Vec<u8>> {
        match self {
            What::Entries(entries) => Some(entries.header(proto)),
            What::Search(searching) => Some(searching.header(proto)),
            What::Fields {
                names,
                values,
                answered,
                ..
            } => {
                let mut header = Vec::new();
                let out = &mut Writer::new(&mut header, proto);
                if *names && *values {
                    out.map(*answered);
                } else {
                    out.array(*answered);
                }
                Some(header)
            }
            What::Scan(scan) => {
                let mut header = Vec::new();
                scan.begin(&mut Writer::new(&mut header, proto));
                Some(header)
            }
            What::Picks(picks) => {
                let mut header = Vec::new();
                picks.header(&mut Writer::new(&mut header, proto));
                Some(header)
            }
            _ => None,
        }
    }

    /// Answers the next elements. Whether there are more.
    fn read(&mut self, view: &View<'_>, out: &mut Writer<'_>, step: &mut Budget) -> bool {
        const KIND: &str = "a collection keeps its type";
        match self {
            What::Members(place) => {
                let next = view.set().expect(KIND).walk(*place, |member| {
                    bulk_item(out, member);
                    step.goes_on(out)
                });
                next.map(|next| *place = next).is_some()
            }
            What::Fields {
                place,
                names,
                values,
                answered,
            } => {
                let next = view.hash().expect(KIND).walk(*place, |name, value| {
                    if *names {
                        bulk_item(out, name);
                    }
                    if *values {
                        bulk_item(out, value);
                    }
                    *answered += 1;
                    step.goes_on(out)
                });
                next.map(|next| *place = next).is_some()
            }
            What::Elements(left) => {
                let list = view.list().expect(KIND);
                for element in list.range(left.start, left.len()) {
                    bulk_item(out, element);
                    left.start += 1;
                    if !step.goes_on(out) {
                        break;
                    }
                }
                left.start < left.end
            }
            What::Sorted(sorting) => sorting.answer(out),
            What::Entries(entries) => entries.read(view.stream().expect(KIND), out),
            What::Scan(scan) => scan.read(view, out),
            What::Picks(picks) => picks.read(view, out),
            What::Search(searching) => searching.read(view.zset().expect(KIND), out),
            What::Text(long) => long.read(view.text().expect(KIND), out),
            What::Ranks {
                ranks,
                is_reverse,
                with_scores,
            } => {
                let zset = view.zset().expect(KIND);
                read_ranks(zset, ranks, *is_reverse, *with_scores, out)
            }
        }
    }
}

/// Answers some of these ranks of a sorted set, and takes them away. Whether any are left.
fn read_ranks(
    zset: ZsetView<'_>,
    ranks: &mut Range<usize>,
    is_reverse: bool,
    with_scores: bool,
    out: &mut Writer<'_>,
) -> bool {
    let (mut step, nests) = (Budget::default(), out.proto() == Proto::Resp3);
    let mut range = zset.range(ranks.clone());
    while let Some((member, score)) = if is_reverse {
        range.next_back()
    } else {
        range.next()
    } {
        if with_scores {
            write_pair(out, member, score, nests);
        } else {
            bulk_item(out, member);
        }
        if is_reverse {
            ranks.end -= 1;
        } else {
            ranks.start += 1;
        }
        if !step.goes_on(out) {
            break;
        }
    }
    ranks.start < ranks.end
}

/// How much of a step is done.
#[derive(Default)]
pub struct Budget {
    shown: usize,
}

impl Budget {
    /// Whether one element more, which was just answered, leaves room for another.
    #[inline]
    pub fn goes_on(&mut self, out: &Writer<'_>) -> bool {
        self.shown += 1;
        self.shown < STEP_ELEMENTS && out.len() < STEP_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execute::{self, Ran};
    use crate::steps::Stepped;
    use crate::trial::{START, Trial};
    use crate::{Part, Table};
    use resp::OwnedArgs;
    use store::Kind;

    fn call<'c>(core: &'c mut Core, args: &'c OwnedArgs) -> Call<'c> {
        let args = args.as_args();
        let hash = core.shard.hash(args.get(1).unwrap_or_default());
        Call {
            core,
            args,
            db: 0,
            proto: Proto::Resp2,
            hash,
            client: None,
            no_touch: false,
        }
    }

    fn run(core: &mut Core, line: &str) -> (Ran, Vec<u8>) {
        let mut args = OwnedArgs::new();
        line.split(' ').for_each(|word| args.push(word.as_bytes()));
        let id = Table::instance()
            .resolve(&args.as_args())
            .expect("it is a command");
        let mut bytes = Vec::new();
        let mut out = Writer::new(&mut bytes, Proto::Resp2);
        (execute::run(&mut call(core, &args), id, &mut out), bytes)
    }

    fn fill(core: &mut Core, key: &str, members: usize, bytes: usize) {
        let key = core.shard.key(key.as_bytes());
        let door = core.shard.open_or_new(0, key, Kind::Set, START);
        let mut set = door.unwrap_or_else(|_| panic!("it is a set")).set();
        for number in 0..members {
            set.add(format!("{number:0bytes$}").as_bytes());
        }
    }

    #[test]
    fn an_answer_is_long_by_its_elements_or_by_their_bytes_and_not_by_what_is_not_asked() {
        let mebibytes = |count: u64| count << 20;
        let is_long = |count, len, bytes| is_long(bytes, || (count, len));
        assert!(is_long(LONG_ELEMENTS, LONG_ELEMENTS, mebibytes(1)));
        assert!(!is_long(LONG_ELEMENTS - 1, LONG_ELEMENTS, mebibytes(1)));
        assert!(is_long(1000, 1000, LONG_BYTES));
        assert!(is_long(10, 1000, mebibytes(1000)));
        assert!(!is_long(10, 1_000_000, mebibytes(1000)));
        assert!(!is_long(1000, 1000, LONG_BYTES - 1));
    }

    #[test]
    fn no_step_makes_much_more_of_an_answer_than_its_bound() {
        let mut trial = Trial::new(1);
        for (members, bytes) in [(LONG_ELEMENTS, 6), (LONG_ELEMENTS, 50), (500, 8000)] {
            let core = &mut trial.cores[0];
            let key = format!("set{members}:{bytes}");
            fill(core, &key, members, bytes);
            assert_eq!(
                run(core, &format!("smembers {key}")),
                (Ran::InSteps, Vec::new())
            );
            let mut reading = core.long.take().expect("it was left");
            let (mut steps, mut stepped) = (1, Stepped::More);
            while matches!(stepped, Stepped::More) {
                stepped = reading.step(core);
                steps += 1;
            }
            let Stepped::Done(Part::Reply(pieces)) = stepped else {
                panic!("nothing was taken away");
            };
            assert!(steps > members / STEP_ELEMENTS);
            let longest = pieces.iter().map(Vec::len).max();
            assert!(longest < Some(STEP_BYTES + bytes + 40));
            let encoded = format!("${bytes}\r\n").len() + bytes + 2;
            let all: usize = pieces.iter().map(Vec::len).sum();
            assert_eq!(all, format!("*{members}\r\n").len() + members * encoded);
        }
    }

    #[test]
    fn another_collection_in_the_place_of_the_one_that_is_read_is_not_gone_on_with() {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        fill(core, "set", LONG_ELEMENTS, 6);
        assert_eq!(run(core, "smembers set").0, Ran::InSteps);
        let mut reading = core.long.take().expect("it was left");
        assert!(matches!(reading.step(core), Stepped::More));
        fill(core, "other", LONG_ELEMENTS, 7);
        core.shard.swap_databases(0, 1);
        assert!(matches!(reading.step(core), Stepped::Lost));
        core.shard.swap_databases(0, 1);
        assert!(matches!(reading.step(core), Stepped::More));
        assert_eq!(run(core, "rename other set").0, Ran::Yes);
        assert!(matches!(reading.step(core), Stepped::Lost));
    }
}
