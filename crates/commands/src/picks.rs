//! Many elements of a collection picked at random, in bounded steps: SRANDMEMBER, HRANDFIELD, ZRANDMEMBER with a large count.
//! Never favours an element, and never picks one twice where different ones are asked for.
//! Source: rejection and selection sampling (Knuth 3.4.2, algorithm S), as at once; the state is kept between steps.

use crate::lookup::bulk_item;
use crate::reading::{self, Budget, Reader, STEP_BYTES};
use crate::zsets::write_pair;
use crate::{Call, Error, reply_limit::ReplyLimit};
use resp::{Proto, Writer};
use std::collections::HashSet;
use store::{IntBuffer, Item, Place, Rng, Strings, View};

/// Picks of a step: each may have to wait for memory.
const STEP_PICKS: usize = 2048;
/// Elements that a step passes over in their order.
const STEP_PASSED: usize = 8192;
/// Up to this share of the elements is picked one by one; more are chosen on a walk over all.
const PICKED_SHARE: usize = 8;
/// Where fewer than one in so many fields lives, they are copied, and picked from the copy.
const LIVE_SHARE: usize = 16;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// How many elements.
    pub count: u64,
    /// Whether one may come twice.
    pub repeats: bool,
    /// Whether values, or scores, are answered too.
    pub pairs: bool,
}

/// Elements that are being picked.
#[derive(Debug)]
pub struct Picks {
    asked: Asked,
    /// Whether a pair is an array of its own.
    nests: bool,
    rng: Rng,
    limit: ReplyLimit,
    phase: Phase,
    written: usize,
    written_bytes: usize,
    failure: Option<Error>,
}

#[derive(Debug)]
enum Phase {
    /// Fields that live are counted: where to go on, and how many there are so far.
    Count(Place, usize),
    /// Few are, or all lie close together: they are copied.
    Copy(Place, Copied),
    /// Any element, again and again.
    Any,
    /// Any of the copy.
    AnyCopied(Copied),
    /// Different ones, of which these were picked.
    Apart(HashSet<u64>),
    /// Different ones, chosen one after the other.
    InOrder(Walk),
}

/// Where a walk stands.
#[derive(Clone, Copy, Debug, Default)]
struct Walk {
    place: Place,
    /// Of a sorted set, whose elements have ranks.
    rank: usize,
    /// Elements not passed over yet.
    left: usize,
}

/// Elements with their values or scores, as plain data.
#[derive(Debug, Default)]
struct Copied {
    firsts: Strings,
    values: Strings,
    scores: Vec<f64>,
}

/// What belongs to an element.
#[derive(Clone, Copy)]
enum Second<'a> {
    None,
    Value(Item<'a>),
    Score(f64),
}

/// How many elements a collection stores, and how many bytes they take.
fn extent(view: &View<'_>) -> (usize, u64) {
    let set = view.set().map(|set| (set.len(), set.bytes()));
    let hash = || view.hash().map(|hash| (hash.stored_len(), hash.bytes()));
    let zset = || view.zset().map(|zset| (zset.len(), zset.bytes()));
    set.or_else(hash).or_else(zset).unwrap_or_default()
}

/// Whether it takes long to pick so many of a collection of so many elements and bytes.
#[inline]
pub fn is_long(asked: &Asked, len: usize, bytes: u64) -> bool {
    let count = usize::try_from(asked.count).unwrap_or(usize::MAX);
    if asked.repeats {
        // Of a small collection, too.
        let bytes = bytes.max(2 * count as u64);
        return reading::is_long(bytes, || (count, len));
    }
    reading::is_long(bytes, || (count.min(len), len))
}

/// Has elements of the first key's collection be picked in steps.
#[cold]
pub fn begin(call: &mut Call<'_>, asked: Asked) -> Error {
    let picks = Picks {
        asked,
        nests: asked.pairs && call.proto == Proto::Resp3,
        rng: Rng::seeded(call.core.random()),
        limit: ReplyLimit::of(call),
        phase: Phase::Count(Place::default(), 0),
        written: 0,
        written_bytes: 0,
        failure: None,
    };
    reading::begin(call, picks, |_| {})
}

impl Reader for Picks {
    fn read(
        &mut self,
        view: &View<'_>,
        out: &mut Writer<'_>,
        _: &mut Budget,
    ) -> Result<bool, Error> {
        let has_more = self.pick(view, out);
        self.failure.take().map_or(Ok(has_more), Err)
    }

    fn header(&mut self, proto: Proto) -> Option<Vec<u8>> {
        let is_flat = self.asked.pairs && !self.nests;
        let mut header = Vec::new();
        Writer::new(&mut header, proto).array(self.written << u32::from(is_flat));
        Some(header)
    }
}

impl Picks {
    /// Picks some. Whether there is more to do.
    fn pick(&mut self, view: &View<'_>, out: &mut Writer<'_>) -> bool {
        let phase = std::mem::replace(&mut self.phase, Phase::Any);
        let next = match phase {
            Phase::Count(place, live) => self.count(view, place, live),
            Phase::Copy(place, copied) => copy(view, place, copied),
            Phase::Any => self.any(view, out),
            Phase::AnyCopied(copied) => self.any_copied(copied, out),
            Phase::Apart(picked) => self.apart(view, picked, out),
            Phase::InOrder(walk) => self.in_order(view, walk, out),
        };
        let Some(phase) = next.filter(|_| self.failure.is_none()) else {
            return false;
        };
        self.phase = phase;
        true
    }

    /// Counts what can be picked, where that is not known, and decides how to pick.
    fn count(&mut self, view: &View<'_>, place: Place, live: usize) -> Option<Phase> {
        let (stored, bytes) = extent(view);
        let hash = view.hash().filter(|hash| hash.expires());
        let Some(hash) = hash else {
            return self.decide(stored, stored, bytes);
        };
        let mut counted = 0;
        let next = hash.walk(place, |_, _| {
            counted += 1;
            counted < STEP_PASSED
        });
        match next {
            Some(next) => Some(Phase::Count(next, live + counted)),
            None => self.decide(live + counted, stored, bytes),
        }
    }

    fn decide(&mut self, live: usize, stored: usize, bytes: u64) -> Option<Phase> {
        if live == 0 {
            return None;
        }
        if self.asked.repeats {
            let is_copied = bytes == 0 || live * LIVE_SHARE < stored;
            return Some(if is_copied {
                Phase::Copy(Place::default(), Copied::default())
            } else {
                Phase::Any
            });
        }
        self.asked.count = self.asked.count.min(live as u64);
        let wanted = self.asked.count as usize;
        if wanted < live / PICKED_SHARE && live > stored / 2 {
            // It does not grow, and what is not written takes no memory.
            return Some(Phase::Apart(HashSet::with_capacity(wanted)));
        }
        Some(Phase::InOrder(Walk {
            left: live,
            ..Walk::default()
        }))
    }

    fn any(&mut self, view: &View<'_>, out: &mut Writer<'_>) -> Option<Phase> {
        for _ in 0..STEP_PICKS {
            // A pick that met a field past its expiry is none.
            if let Some((_, first, second)) = pick(view, &mut self.rng)
                && !self.goes_on(out, first, second)
            {
                break;
            }
        }
        (self.missing() > 0).then_some(Phase::Any)
    }

    fn any_copied(&mut self, copied: Copied, out: &mut Writer<'_>) -> Option<Phase> {
        for _ in 0..STEP_PICKS {
            let nth = self.rng.below(copied.firsts.len() as u64) as usize;
            let first = Item::Bytes(copied.firsts.at(nth));
            let second = if let Some(score) = copied.scores.get(nth) {
                Second::Score(*score)
            } else if nth < copied.values.len() {
                Second::Value(Item::Bytes(copied.values.at(nth)))
            } else {
                Second::None
            };
            if !self.goes_on(out, first, second) {
                break;
            }
        }
        (self.missing() > 0).then_some(Phase::AnyCopied(copied))
    }

    fn apart(
        &mut self,
        view: &View<'_>,
        mut picked: HashSet<u64>,
        out: &mut Writer<'_>,
    ) -> Option<Phase> {
        for _ in 0..STEP_PICKS {
            if let Some((spot, first, second)) = pick(view, &mut self.rng)
                && picked.insert(spot)
                && !self.goes_on(out, first, second)
            {
                break;
            }
        }
        (self.missing() > 0).then_some(Phase::Apart(picked))
    }

    fn in_order(&mut self, view: &View<'_>, walk: Walk, out: &mut Writer<'_>) -> Option<Phase> {
        let Walk {
            place,
            mut rank,
            mut left,
        } = walk;
        let passed_until = left.saturating_sub(STEP_PASSED);
        // Algorithm S: the next one is taken by the share that is missing of those left.
        let mut take = |first, second| {
            let is_taken = self.rng.below(left as u64) < self.missing();
            left -= 1;
            let goes_on = !is_taken || self.goes_on(out, first, second);
            goes_on && left > passed_until
        };
        let next = if let Some(set) = view.set() {
            set.walk(place, |member| take(member, Second::None))
        } else if let Some(hash) = view.hash() {
            hash.walk(place, |field, value| take(field, Second::Value(value)))
        } else {
            let zset = view.zset().expect("it is what can be picked from");
            zset.range(rank..zset.len()).all(|(member, score)| {
                rank += 1;
                take(member, Second::Score(score))
            });
            (rank < zset.len()).then_some(place)
        };
        let walk = next.map(|place| Walk { place, rank, left });
        walk.filter(|_| self.missing() > 0).map(Phase::InOrder)
    }

    fn missing(&self) -> u64 {
        self.asked.count - self.written as u64
    }

    /// Answers an element. Whether this step has room for another, and there is one to answer.
    fn goes_on(&mut self, out: &mut Writer<'_>, first: Item<'_>, second: Second<'_>) -> bool {
        let start = out.len();
        match second {
            Second::Score(score) if self.asked.pairs => write_pair(out, first, score, self.nests),
            Second::Value(value) if self.asked.pairs => {
                if self.nests {
                    out.array(2);
                }
                bulk_item(out, first);
                bulk_item(out, value);
            }
            _ => bulk_item(out, first),
        }
        self.written += 1;
        self.written_bytes += out.len() - start;
        // How often an element is repeated is the client's alone.
        if self.asked.repeats {
            self.failure = self.limit.check(self.written_bytes).err();
        }
        self.failure.is_none() && self.missing() > 0 && out.len() < STEP_BYTES
    }
}

/// An element of a large collection picked at random, with a number that no other has.
fn pick<'a>(view: &View<'a>, rng: &mut Rng) -> Option<(u64, Item<'a>, Second<'a>)> {
    if let Some(set) = view.set() {
        let (spot, member) = set.random_spot(rng)?;
        return Some((spot, member, Second::None));
    }
    if let Some(hash) = view.hash() {
        let (spot, field, value) = hash.random_spot(rng)?;
        return Some((spot, field, Second::Value(value)));
    }
    let zset = view.zset()?;
    let rank = rng.below(zset.len() as u64);
    let (member, score) = zset.at(rank as usize)?;
    Some((rank, member, Second::Score(score)))
}

/// Copies elements of a small collection, or the few of a hash that live.
fn copy(view: &View<'_>, place: Place, mut copied: Copied) -> Option<Phase> {
    let (mut one, mut other, mut passed) = (IntBuffer::new(), IntBuffer::new(), 0);
    let next = if let Some(set) = view.set() {
        set.each(|member| copied.firsts.push(member.text(&mut one)));
        None
    } else if let Some(hash) = view.hash() {
        hash.walk(place, |field, value| {
            copied.firsts.push(field.text(&mut one));
            copied.values.push(value.text(&mut other));
            passed += 1;
            passed < STEP_PICKS
        })
    } else {
        let zset = view.zset().expect("it is what can be picked from");
        for (member, score) in zset.iter() {
            copied.firsts.push(member.text(&mut one));
            copied.scores.push(score);
        }
        None
    };
    Some(match next {
        Some(place) => Phase::Copy(place, copied),
        None => Phase::AnyCopied(copied),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Core;
    use crate::execute::Ran;
    use crate::reading::LONG_ELEMENTS;
    use crate::trial::{START, Trial, fill_hash, fill_set, fill_zset, in_steps, run_row};
    use std::collections::BTreeMap;

    const MANY: usize = 2 * LONG_ELEMENTS;

    fn fill(core: &mut Core, count: usize) {
        fill_set(core, "set", count);
        fill_hash(core, "hash", count);
        fill_zset(core, "zset", count);
    }

    /// The numbers of the members in an answer, checked against what goes with them, and the answer's first line.
    fn numbers(answer: &[u8], line: &str) -> (String, Vec<usize>) {
        let text = String::from_utf8_lossy(answer);
        let mut lines = text.lines();
        let header = lines.next().expect("there is a header").to_string();
        let mut numbers = Vec::new();
        let mut lines = lines.filter(|line| !line.starts_with('$') && *line != "*2");
        while let Some(member) = lines.next() {
            let number = member.strip_prefix("member:").expect("it is a member");
            let number: usize = number.parse().expect("it has a number");
            if line.ends_with("withvalues") {
                assert_eq!(lines.next(), Some(&*number.to_string()));
            } else if line.ends_with("withscores") {
                let score = lines.next().map(|score| score.trim_start_matches(','));
                assert_eq!(score, Some(&*(number as f64 / 4.0).to_string()));
            }
            numbers.push(number);
        }
        (header, numbers)
    }

    const COMMANDS: [(&str, &str); 5] = [
        ("srandmember set", ""),
        ("hrandfield hash", ""),
        ("hrandfield hash", " withvalues"),
        ("zrandmember zset", ""),
        ("zrandmember zset", " withscores"),
    ];

    fn pick(core: &mut Core, (command, end): (&str, &str), count: i64, proto: Proto) -> Vec<usize> {
        let line = format!("{command} {count}{end}");
        let (header, numbers) = numbers(&in_steps(core, &line, proto), &line);
        let is_flat = !end.is_empty() && proto == Proto::Resp2;
        assert_eq!(
            header,
            format!("*{}", numbers.len() << usize::from(is_flat))
        );
        numbers
    }

    #[test]
    fn as_many_different_elements_are_picked_in_steps_as_are_asked_for() {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        // The second is so many that they are picked one by one.
        for (many, wanted) in [
            (MANY, [20_000, 39_990, 40_000, 50_000]),
            (9 * MANY, [20_000; 4]),
        ] {
            fill(core, many);
            for command in COMMANDS {
                for (nth, wanted) in wanted.into_iter().enumerate() {
                    let proto = [Proto::Resp2, Proto::Resp3][nth % 2];
                    let mut picked = pick(core, command, wanted, proto);
                    assert_eq!(picked.len(), many.min(wanted as usize), "{command:?}");
                    picked.sort_unstable();
                    picked.dedup();
                    assert_eq!(picked.len(), many.min(wanted as usize), "{command:?}");
                    assert!(picked.last() < Some(&many));
                }
            }
        }
    }

    #[test]
    fn every_part_of_a_collection_is_picked_as_often_as_another() {
        for (many, wanted) in [
            (MANY, 20_000),
            (MANY, -40_000),
            (9 * MANY, 36_000),
            (100, -40_000),
        ] {
            let mut trial = Trial::new(1);
            let core = &mut trial.cores[0];
            fill(core, many);
            for command in COMMANDS {
                let mut parts = [0usize; 10];
                for number in pick(core, command, wanted, Proto::Resp2) {
                    parts[10 * number / many] += 1;
                }
                let mean = wanted.unsigned_abs() as usize / 10;
                // Five deviations and more.
                let is_even = |&part: &usize| part.abs_diff(mean) < mean / 10;
                assert!(parts.iter().all(is_even), "{command:?} {wanted} {parts:?}");
            }
        }
    }

    #[test]
    fn elements_of_large_and_of_small_collections_are_repeated_in_steps() {
        for many in [1, 7, 300, MANY] {
            let mut trial = Trial::new(1);
            let core = &mut trial.cores[0];
            fill(core, many);
            for command in COMMANDS {
                for proto in [Proto::Resp2, Proto::Resp3] {
                    let picked = pick(core, command, -25_000, proto);
                    assert_eq!(picked.len(), 25_000);
                    let mut times: BTreeMap<usize, usize> = BTreeMap::new();
                    picked
                        .into_iter()
                        .for_each(|number| *times.entry(number).or_default() += 1);
                    assert!(times.len() <= many && times.len() >= many.min(10_000));
                }
            }
        }
    }

    #[test]
    fn fields_past_their_expiry_are_never_picked() {
        for (many, expiring) in [(MANY, 3), (MANY, MANY - 5), (MANY, MANY - 30), (60, 50)] {
            let mut trial = Trial::new(1);
            let core = &mut trial.cores[0];
            core.now = START;
            fill_hash(core, "hash", many);
            let key = core.shard.key(b"hash");
            let door = core.shard.open_or_new(0, key, store::Kind::Hash, START);
            let mut hash = door.unwrap_or_else(|_| panic!("it is a hash")).hash();
            for number in 0..expiring {
                let name = format!("member:{number}");
                assert!(hash.set_expiry(name.as_bytes(), Some(START.plus(10))));
            }
            drop(hash);
            core.now = START.plus(11);
            for command in [COMMANDS[1], COMMANDS[2]] {
                let picked = pick(core, command, -21_000, Proto::Resp3);
                assert_eq!(picked.len(), 21_000);
                assert!(
                    picked
                        .iter()
                        .all(|number| (expiring..many).contains(number))
                );
                if many > LONG_ELEMENTS {
                    let mut all = pick(core, command, 100_000, Proto::Resp3);
                    all.sort_unstable();
                    assert!(all.into_iter().eq(expiring..many));
                }
            }
        }
    }

    #[test]
    fn an_answer_beyond_its_limit_fails_in_the_step_that_reaches_it() {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        fill(core, 7);
        core.config.proto_max_bulk_len = 1 << 20;
        for (command, end) in COMMANDS {
            let line = format!("{command} -100000{end}");
            assert_eq!(run_row(core, &line, Proto::Resp2).0, Ran::InSteps);
            let reading = core.long.take().expect("it was left");
            let failure = reading.finish(core).map(|_| ());
            assert_eq!(failure, Err(crate::error::REPLY_TOO_LONG.into()));
        }
    }
}
