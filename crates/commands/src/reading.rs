//! Reading a large collection in steps: who asks for it is answered once all of it is read, and others go on in between.
//! Never changes anything, and never mixes two collections: where the one that was begun is gone, the command begins anew.
//! Source: decision 0010; the key is locked meanwhile against writers alone.

use crate::steps::{self, Pieces};
use crate::{Call, Core, Error};
use resp::{Proto, Writer};
use std::fmt::Debug;
use store::{Key, Millis, View};

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

/// Who reads a collection for an answer, some elements in a step.
pub trait Reader: Debug {
    /// Works on, or answers the next elements. Whether there is more to do.
    ///
    /// # Errors
    /// The command fails on what it has read.
    fn read(
        &mut self,
        view: &View<'_>,
        out: &mut Writer<'_>,
        step: &mut Budget,
    ) -> Result<bool, Error>;

    /// What comes before the answer and could not be told before all of it was made.
    fn header(&mut self, _proto: Proto) -> Option<Vec<u8>> {
        None
    }
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
    reader: Box<dyn Reader>,
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
pub fn begin(
    call: &mut Call<'_>,
    reader: impl Reader + 'static,
    header: impl FnOnce(&mut Writer<'_>),
) -> Error {
    begin_key(call, 1, reader, header)
}

/// As [`begin`], where the only key is argument `index`. Who does not know yet how long its answer is makes its header at
/// the end ([`Reader::header`]).
#[cold]
pub fn begin_key(
    call: &mut Call<'_>,
    index: usize,
    reader: impl Reader + 'static,
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
        reader: Box::new(reader),
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
        let reader = &mut self.reader;
        match self.pieces.write(|out, step| reader.read(&view, out, step)) {
            Ok(true) => Step::More,
            Ok(false) => {
                self.pieces.put_first(self.reader.header(self.proto));
                Step::Done(self.pieces.take())
            }
            Err(error) => Step::Failed(error),
        }
    }
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
