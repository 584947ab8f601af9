//! Taking many elements out of a collection, in its place and in steps; what is taken is answered as it goes.
//! Never lets anybody see the middle, nor stops in it: the key is locked against readers too, and who has begun is not interrupted.
//! Source: decision 0010.

use super::{Lookups, Pieces, Steps, Stop};
use crate::{Call, Core, Error, Part, Progress};
use resp::Writer;
use store::{Door, Key, Kind, Millis};

/// Elements that are taken in a step, unless they are long.
const STEP_ELEMENTS: usize = 1024;
/// Bytes that the elements of a step have, about.
const STEP_BYTES: u64 = 128 * 1024;

/// Who takes elements out of a collection.
pub trait Taker {
    /// Takes some, and answers those that are asked for. Whether there is more to take.
    fn take(&mut self, door: Door<'_>, out: &mut Writer<'_>) -> bool;
}

/// How many of so many elements that are left to take go in a step; `of` are all elements and their bytes.
pub fn share(left: usize, of: (usize, u64)) -> usize {
    let element_bytes = of.1 / (of.0 as u64).max(1) + 1;
    let elements = (STEP_BYTES / element_bytes).clamp(1, STEP_ELEMENTS as u64);
    left.min(elements as usize)
}

struct Taking {
    db: usize,
    key: Box<[u8]>,
    hash: u64,
    kind: Kind,
    /// The collection does not expire before the end, having been begun.
    since: Millis,
    taker: Box<dyn Taker>,
    pieces: Pieces,
}

/// Has elements be taken out of what a key holds, behind a header of the answer.
#[cold]
pub fn begin(
    call: &mut Call<'_>,
    (key, kind): (Key<'_>, Kind),
    taker: impl Taker + 'static,
    header: impl FnOnce(&mut Writer<'_>),
) -> Error {
    let taking = Taking {
        db: call.db,
        key: key.bytes.into(),
        hash: key.hash,
        kind,
        since: call.now(),
        taker: Box::new(taker),
        pieces: Pieces::new(call.proto, header),
    };
    let course = |steps| take(steps, taking);
    let under_way = super::begin(call, vec![key.hash], Lookups::default(), course);
    let long = call.core.long.as_mut().expect("it was begun");
    long.be_alone();
    under_way
}

async fn take(steps: Steps, taking: Taking) -> Result<Part, Stop> {
    let taking = steps.work(taking, Taking::piece).await?;
    Ok(taking.pieces.finish())
}

impl Taking {
    fn piece(&mut self, core: &mut Core) -> Result<Progress, Stop> {
        let key = Key {
            bytes: &self.key,
            hash: self.hash,
        };
        let opened = core.shard.open(self.db, key, self.kind, self.since);
        // Nobody else has the key: what is not there was taken.
        let Ok(Some(door)) = opened else {
            return Ok(Progress::Done);
        };
        let taker = &mut self.taker;
        let has_more = self.pieces.write(|out, _| taker.take(door, out));
        Ok(if has_more {
            Progress::Again
        } else {
            Progress::Done
        })
    }
}

#[cfg(test)]
mod tests {
    use super::share;
    use crate::execute::Ran;
    use crate::locks::{Scope, Transaction};
    use crate::reading::LONG_ELEMENTS;
    use crate::steps::Stepped;
    use crate::trial::{AT_ONCE, Trial, assert_nothing_is_borrowed, fill_zset, run_row};
    use crate::{Core, Part, ShardId};
    use resp::Proto;

    const MANY: usize = LONG_ELEMENTS + 3000;

    fn fill(core: &mut Core) {
        fill_zset(core, "z", MANY);
        for start in (0..MANY).step_by(1000) {
            let numbers = (start..start + 1000).map(|number| format!("element:{number}"));
            let line = format!("rpush l {}", numbers.collect::<Vec<_>>().join(" "));
            assert_eq!(run_row(core, &line, Proto::Resp2).0, Ran::Yes);
        }
    }

    /// How a command ran, what it answered, and what it has left.
    fn outcome(line: &str, proto: Proto, at_once: bool) -> (Ran, Vec<u8>, Vec<u8>) {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        fill(core);
        AT_ONCE.set(at_once);
        let (ran, mut told) = run_row(core, line, proto);
        AT_ONCE.set(true);
        if let Some(mut long) = core.long.take() {
            assert!(long.is_alone());
            let pieces = loop {
                match long.step(core) {
                    Stepped::More => core.shard.check(),
                    Stepped::Done(Part::Reply(pieces)) => break pieces,
                    other => panic!("{other:?} in {line}"),
                }
            };
            told = pieces.concat();
        }
        let left = ["zrange z 0 -1 withscores", "lrange l 0 -1", "exists z l"];
        let left = left.map(|line| run_row(core, line, Proto::Resp2).1);
        AT_ONCE.set(false);
        assert_nothing_is_borrowed(core);
        (ran, told, left.concat())
    }

    #[test]
    fn many_elements_are_taken_in_steps_as_at_once() {
        for line in [
            "zpopmin z 22000",
            "zpopmax z 20001",
            "zpopmin z 1000000",
            "zremrangebyrank z 3 -5",
            "zremrangebyrank z 0 -2",
            "zremrangebyscore z (10 +inf",
            "lpop l 22000",
            "rpop l 20001",
            "rpop l 1000000",
        ] {
            for proto in [Proto::Resp2, Proto::Resp3] {
                let (ran, told, left) = outcome(line, proto, false);
                assert_eq!(ran, Ran::InSteps, "{line}");
                let at_once = outcome(line, proto, true);
                assert!(at_once == (Ran::Yes, told, left), "{line} in {proto:?}");
            }
        }
        // Few go, or all at once.
        for line in ["zpopmin z 10", "zremrangebyrank z 0 -1", "lpop l 9"] {
            assert_eq!(outcome(line, Proto::Resp2, false).0, Ran::Yes, "{line}");
        }
    }

    #[test]
    fn nobody_reads_a_key_out_of_which_much_is_being_taken() {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        fill(core);
        assert_eq!(run_row(core, "lpop l 22000", Proto::Resp2).0, Ran::InSteps);
        let long = core.long.take().expect("it was left");
        let (list, other) = (core.shard.hash(b"l"), core.shard.hash(b"z"));
        core.locks
            .begin_steps(long.keys().into(), long.keys().into());
        assert!(!core.locks.blocks(list));
        core.locks.be_alone();
        assert!(core.locks.blocks(list) && !core.locks.blocks(other));
        let reader = Transaction {
            coordinator: ShardId(1),
            number: 7,
        };
        let read = |hash| Scope::Keys {
            written: Vec::new(),
            read: vec![hash],
        };
        assert!(!core.locks.try_lock(reader, &read(list), true));
        assert!(!core.locks.try_lock(reader, &Scope::Everything, true));
        assert!(core.locks.try_lock(reader, &read(other), true));
        core.locks.end_steps();
        assert!(!core.locks.blocks(list));
    }

    #[test]
    fn few_long_elements_make_a_step() {
        assert_eq!(share(5000, (5000, 100_000)), super::STEP_ELEMENTS);
        assert_eq!(share(7, (5000, 100_000)), 7);
        assert_eq!(share(5000, (5000, 5000 << 20)), 1);
        assert_eq!(share(0, (5000, 100_000)), 0);
    }
}
