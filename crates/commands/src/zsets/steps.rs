//! What large sorted sets and sets make together, or a range of one is to be, in steps: gathered, ordered, answered or stored.
//! Never takes inputs in another order than at once, so that sums come out the same to the last digit.
//! Source: as in `combine`; members are gathered as texts, which mean the same in every input.

use super::combine::{Aggregate, Input, Operation, Source, number};
use super::read::write_pair;
use crate::reading::Budget;
use crate::steps::{self, Distinct, Order, Pieces, Sources, Steps, Stop, Target, target};
use crate::{Call, Core, Error, Part, Progress};
use resp::{Proto, Writer};
use std::ops::Range;
use store::{Content, IntBuffer, Item, Key, Place, Strings};

/// Members that are met in a step.
const STEP_MEMBERS: usize = 2048;
/// A step of gathering ends with the member that brings it to so many bytes.
const STEP_BYTES: usize = 512 * 1024;
/// Scores that are weighed in a step.
const STEP_SCORES: usize = 8192;
/// Members of a packed input that are passed over in the time that one is found in a large input.
const PASSED_MEMBERS: usize = 16;

/// What is made of the inputs.
pub(super) struct Wanted {
    pub(super) operation: Operation,
    pub(super) aggregate: Aggregate,
    /// One of each input.
    pub(super) weights: Vec<f64>,
    pub(super) end: End,
}

/// What becomes of the members.
pub(super) enum End {
    Answer {
        proto: Proto,
        with_scores: bool,
    },
    /// They are counted, as far as this.
    Count(usize),
    Store(Target),
}

/// Has the command go on in steps, with the inputs in the order in which they are taken. What this returns is the handler's
/// error, which nobody sees.
#[cold]
pub(super) fn begin(call: &mut Call<'_>, keys: &[Key<'_>], wanted: Wanted) -> Error {
    let sources = Sources::of(call, keys);
    let target = match &wanted.end {
        End::Store(target) => Some(target.key().hash),
        _ => None,
    };
    let locked = sources.hashes().chain(target).collect();
    let lookups = sources.lookups();
    let course = |steps| combine(steps, sources, wanted);
    steps::begin(call, locked, lookups, course)
}

/// As [`begin`], for the members of these ranks of one key, which are stored.
#[cold]
pub(super) fn begin_range(
    call: &mut Call<'_>,
    key: Key<'_>,
    ranks: Range<usize>,
    to: Target,
) -> Error {
    let sources = Sources::of(call, &[key]);
    let locked = sources.hashes().chain([to.key().hash]).collect();
    let lookups = sources.lookups();
    let course = |steps| copy_range(steps, sources, ranks, to);
    steps::begin(call, locked, lookups, course)
}

async fn combine(steps: Steps, sources: Sources, wanted: Wanted) -> Result<Part, Stop> {
    let (aggregate, weights) = (wanted.aggregate, wanted.weights);
    let (sources, members, scores) = if wanted.operation == Operation::Union {
        let union = Union::of(sources, weights, aggregate);
        let union = steps.work(union, Union::begin).await?;
        let union = steps.work(union, Union::piece).await?;
        (union.sources, union.members.into_texts(), union.scores)
    } else {
        let mut sieve = Sieve::of(sources, weights, aggregate);
        sieve.wants = wanted.operation == Operation::Inter;
        if let End::Count(limit) = wanted.end {
            (sieve.limit, sieve.keeps) = (limit, false);
        }
        let sieve = steps.work(sieve, Sieve::begin).await?;
        let sieve = steps.work(sieve, Sieve::piece).await?;
        if matches!(wanted.end, End::Count(_)) {
            return Ok(integer(sieve.passed));
        }
        (sieve.sources, sieve.members, sieve.scores)
    };
    let ordered = Ordered::of(members, scores);
    let ordered = steps.work(ordered, Ordered::weigh).await?;
    let ordered = steps.work(ordered, Ordered::sort).await?;
    match wanted.end {
        End::Count(_) => unreachable!("what is counted was answered"),
        End::Answer { proto, with_scores } => {
            let answer = Answer::of(ordered, proto, with_scores);
            let answer = steps.work(answer, Answer::piece).await?;
            Ok(answer.pieces.finish())
        }
        End::Store(to) => {
            let (members, scores) = in_order(&steps, ordered).await?;
            store(&steps, sources, to, members, scores).await
        }
    }
}

async fn copy_range(
    steps: Steps,
    sources: Sources,
    ranks: Range<usize>,
    to: Target,
) -> Result<Part, Stop> {
    let copying = Copying {
        sources,
        ranks,
        members: Strings::default(),
        scores: Vec::new(),
    };
    let copied = steps.work(copying, Copying::begin).await?;
    let copied = steps.work(copied, Copying::piece).await?;
    let Copying {
        sources,
        members,
        scores,
        ..
    } = copied;
    store(&steps, sources, to, members, scores).await
}

async fn store(
    steps: &Steps,
    sources: Sources,
    to: Target,
    members: Strings,
    scores: Vec<f64>,
) -> Result<Part, Stop> {
    let count = members.len();
    target::replace(steps, sources, to, Content::Zset { members, scores }).await?;
    Ok(integer(count))
}

fn integer(count: usize) -> Part {
    Pieces::new(Proto::Resp2, |out| out.int(count as i64)).finish()
}

/// What a step may still do.
struct Left {
    members: usize,
    bytes: usize,
}

impl Left {
    fn of(members: usize) -> Left {
        Left {
            members: members.max(1),
            bytes: STEP_BYTES,
        }
    }

    /// Whether there is anything left once a member of so many bytes was met.
    fn goes_on(&mut self, bytes: usize) -> bool {
        self.members = self.members.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.members > 0 && self.bytes > 0
    }
}

/// How far an input was walked.
#[derive(Default)]
struct At {
    rank: usize,
    place: Place,
}

impl At {
    /// Shows members from here on with their scores, not weighted, as long as `visit` says so. Whether there may be more.
    fn walk<'a>(
        &mut self,
        source: Source<'a>,
        mut visit: impl FnMut(Item<'a>, f64) -> bool,
    ) -> bool {
        match source {
            Source::Missing => false,
            Source::Zset(zset) => {
                let mut range = zset.range(self.rank..usize::MAX);
                !range.all(|(member, score)| {
                    self.rank += 1;
                    visit(member, score)
                })
            }
            Source::Set(set) => {
                let next = set.walk(self.place, |member| visit(member, 1.0));
                self.place = next.unwrap_or_default();
                next.is_some()
            }
        }
    }
}

/// The members that any input has.
struct Union {
    sources: Sources,
    weights: Vec<f64>,
    aggregate: Aggregate,
    /// The input that is walked, and where it is gone on with.
    input: usize,
    at: At,
    members: Distinct,
    scores: Vec<f64>,
}

impl Union {
    fn of(sources: Sources, weights: Vec<f64>, aggregate: Aggregate) -> Union {
        Union {
            sources,
            weights,
            aggregate,
            input: 0,
            at: At::default(),
            members: Distinct::default(),
            scores: Vec::new(),
        }
    }

    /// Makes room, which is no more than what all have.
    fn begin(&mut self, core: &mut Core) -> Result<Progress, Stop> {
        let (mut count, mut bytes) = (0, 0);
        for index in 0..self.sources.len() {
            let source = Source::of(self.sources.view(core, index)?);
            count += source.len();
            bytes += source.bytes() as usize;
        }
        self.members = Distinct::with_room(count, bytes);
        self.scores = Vec::with_capacity(count);
        Ok(Progress::Done)
    }

    fn piece(&mut self, core: &mut Core) -> Result<Progress, Stop> {
        let Union {
            sources,
            weights,
            aggregate,
            input,
            at,
            members,
            scores,
        } = self;
        let (mut left, mut buffer) = (Left::of(STEP_MEMBERS), IntBuffer::new());
        while *input < sources.len() {
            let (source, weight) = (Source::of(sources.view(core, *input)?), weights[*input]);
            let has_more = at.walk(source, |member, score| {
                let (text, score) = (member.text(&mut buffer), number(score * weight));
                let hash = core.shard.hash(text);
                if let Some(found) = members.find(hash, text) {
                    scores[found] = aggregate.of(scores[found], score);
                } else {
                    members.push(hash, text);
                    scores.push(score);
                }
                left.goes_on(text.len())
            });
            if !has_more {
                *at = At::default();
                *input += 1;
            }
            // A look at a key counts as well.
            if has_more || !left.goes_on(0) {
                return Ok(Progress::Again);
            }
        }
        Ok(Progress::Done)
    }
}

/// Members of the first input that all others have, or none.
struct Sieve {
    sources: Sources,
    weights: Vec<f64>,
    aggregate: Aggregate,
    /// Whether a member that passes is in all others; in none if not, and its score is not weighted.
    wants: bool,
    limit: usize,
    /// Whether those that pass are not only counted.
    keeps: bool,
    at: At,
    passed: usize,
    members: Strings,
    scores: Vec<f64>,
}

impl Sieve {
    fn of(sources: Sources, weights: Vec<f64>, aggregate: Aggregate) -> Sieve {
        Sieve {
            sources,
            weights,
            aggregate,
            wants: true,
            limit: usize::MAX,
            keeps: true,
            at: At::default(),
            passed: 0,
            members: Strings::default(),
            scores: Vec::new(),
        }
    }

    fn begin(&mut self, core: &mut Core) -> Result<Progress, Stop> {
        if self.keeps {
            let first = Source::of(self.sources.view(core, 0)?);
            self.members = Strings::with_room(first.len(), first.bytes() as usize);
            self.scores = Vec::with_capacity(first.len());
        }
        Ok(Progress::Done)
    }

    fn piece(&mut self, core: &mut Core) -> Result<Progress, Stop> {
        let mut inputs = Vec::with_capacity(self.sources.len());
        for (index, &weight) in self.weights.iter().enumerate() {
            let source = Source::of(self.sources.view(core, index)?);
            inputs.push(Input {
                number: index,
                source,
                weight,
            });
        }
        let Some((first, others)) = inputs.split_first() else {
            return Ok(Progress::Done);
        };
        let asking: usize = others.iter().map(cost).sum();
        let mut left = Left::of(STEP_MEMBERS / (1 + asking));
        let (mut buffer, aggregate) = (IntBuffer::new(), self.aggregate);
        let has_more = self.at.walk(first.source, |member, score| {
            let score = if self.wants {
                let first = number(score * first.weight);
                others.iter().try_fold(first, |sum, other| {
                    let score = other.score(member, &mut buffer)?;
                    Some(aggregate.of(sum, score * other.weight))
                })
            } else {
                let is_in = |other: &Input<'_>| other.score(member, &mut buffer).is_some();
                (!others.iter().any(is_in)).then_some(score)
            };
            let text = member.text(&mut buffer);
            // What is small is shown whole, whatever is said here.
            if let Some(score) = score.filter(|_| self.passed < self.limit) {
                self.passed += 1;
                if self.keeps {
                    self.members.push(text);
                    self.scores.push(score);
                }
            }
            left.goes_on(text.len()) && self.passed < self.limit
        });
        Ok(if has_more && self.passed < self.limit {
            Progress::Again
        } else {
            Progress::Done
        })
    }
}

/// What it costs to ask an input for a member: 1 where it need not be walked.
fn cost(input: &Input<'_>) -> usize {
    let is_walked = match input.source {
        Source::Missing => false,
        Source::Zset(zset) => zset.bytes() == 0,
        Source::Set(set) => set.is_walked(),
    };
    if is_walked {
        1 + input.source.len() / PASSED_MEMBERS
    } else {
        1
    }
}

/// Members of a range, one after the other.
struct Copying {
    sources: Sources,
    ranks: Range<usize>,
    members: Strings,
    scores: Vec<f64>,
}

impl Copying {
    fn begin(&mut self, core: &mut Core) -> Result<Progress, Stop> {
        let (source, count) = (Source::of(self.sources.view(core, 0)?), self.ranks.len());
        // As many as are copied of it.
        let bytes = u128::from(source.bytes()) * count as u128 / source.len().max(1) as u128;
        self.members = Strings::with_room(count, bytes as usize);
        self.scores = Vec::with_capacity(count);
        Ok(Progress::Done)
    }

    fn piece(&mut self, core: &mut Core) -> Result<Progress, Stop> {
        let (mut left, mut buffer) = (Left::of(2 * STEP_MEMBERS), IntBuffer::new());
        if let Source::Zset(zset) = Source::of(self.sources.view(core, 0)?) {
            for (member, score) in zset.range(self.ranks.clone()) {
                let text = member.text(&mut buffer);
                self.members.push(text);
                self.scores.push(score);
                self.ranks.start += 1;
                if !left.goes_on(text.len()) {
                    break;
                }
            }
        }
        Ok(if self.ranks.is_empty() {
            Progress::Done
        } else {
            Progress::Again
        })
    }
}

/// Members and their scores, and the order of a sorted set.
struct Ordered {
    members: Strings,
    scores: Vec<f64>,
    order: Order,
}

impl Ordered {
    fn of(members: Strings, scores: Vec<f64>) -> Ordered {
        Ordered {
            members,
            scores,
            order: Order::with_room(0, false),
        }
    }

    fn weigh(&mut self, _: &mut Core) -> Result<Progress, Stop> {
        let (start, len) = (self.order.len(), self.scores.len());
        if start == 0 {
            self.order = Order::with_room(len, false);
        }
        for &score in &self.scores[start..len.min(start + STEP_SCORES)] {
            self.order.push(steps::weight(score));
        }
        Ok(if self.order.len() == len {
            Progress::Done
        } else {
            Progress::Again
        })
    }

    fn sort(&mut self, _: &mut Core) -> Result<Progress, Stop> {
        Ok(self.order.step(Some(&self.members)))
    }

    /// The member of a rank and its score.
    fn at(&self, rank: usize) -> Option<(&[u8], f64)> {
        let index = self.order.at(rank)?;
        Some((self.members.at(index), self.scores[index]))
    }
}

/// Members and scores, one after the other as they are ordered.
async fn in_order(steps: &Steps, ordered: Ordered) -> Result<(Strings, Vec<f64>), Stop> {
    if ordered.order.is_as_given() {
        return Ok((ordered.members, ordered.scores));
    }
    let laid = Laid {
        members: Strings::with_room(ordered.members.len(), ordered.members.text_bytes()),
        scores: Vec::with_capacity(ordered.scores.len()),
        ordered,
    };
    let laid = steps.work(laid, Laid::piece).await?;
    Ok((laid.members, laid.scores))
}

struct Laid {
    ordered: Ordered,
    members: Strings,
    scores: Vec<f64>,
}

impl Laid {
    fn piece(&mut self, _: &mut Core) -> Result<Progress, Stop> {
        let mut left = Left::of(STEP_MEMBERS);
        while let Some((member, score)) = self.ordered.at(self.scores.len()) {
            self.members.push(member);
            self.scores.push(score);
            if !left.goes_on(member.len()) {
                return Ok(Progress::Again);
            }
        }
        Ok(Progress::Done)
    }
}

/// Members that are answered.
struct Answer {
    ordered: Ordered,
    with_scores: bool,
    nests: bool,
    answered: usize,
    pieces: Pieces,
}

impl Answer {
    fn of(ordered: Ordered, proto: Proto, with_scores: bool) -> Answer {
        let count = ordered.members.len();
        Answer {
            ordered,
            with_scores,
            nests: proto == Proto::Resp3,
            answered: 0,
            pieces: Pieces::new(proto, |out| header(out, with_scores, count)),
        }
    }

    fn piece(&mut self, _: &mut Core) -> Result<Progress, Stop> {
        let Answer {
            ordered,
            with_scores,
            nests,
            answered,
            pieces,
        } = self;
        let has_more = pieces.write(|out, step: &mut Budget| {
            while let Some((member, score)) = ordered.at(*answered) {
                if *with_scores {
                    write_pair(out, Item::Bytes(member), score, *nests);
                } else {
                    out.bulk(member);
                }
                *answered += 1;
                if !step.goes_on(out) {
                    return true;
                }
            }
            false
        });
        Ok(if has_more {
            Progress::Again
        } else {
            Progress::Done
        })
    }
}

/// What stands before so many members.
pub(super) fn header(out: &mut Writer<'_>, with_scores: bool, count: usize) {
    let is_flat = with_scores && out.proto() == Proto::Resp2;
    out.array(if is_flat { 2 } else { 1 } * count);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Table;
    use crate::execute::{self, Ran};
    use crate::steps::Stepped;
    use crate::trial::{AT_ONCE, START, Trial};
    use resp::OwnedArgs;
    use store::{Detached, Rng};

    /// What is answered, and what then lies under `d`.
    type Outcome = (Vec<u8>, Option<Content>);

    /// Runs a command in a database, in steps if it is one that takes long there.
    fn run(core: &mut Core, db: usize, line: &str, proto: Proto) -> (bool, Outcome) {
        let mut args = OwnedArgs::new();
        line.split(' ').for_each(|word| args.push(word.as_bytes()));
        let args = args.as_args();
        let id = Table::instance().resolve(&args).expect("it is a command");
        let mut bytes = Vec::new();
        let hash = core.shard.hash(args.at(1));
        let mut call = Call {
            core,
            args,
            db,
            proto,
            hash,
            client: None,
            no_touch: false,
        };
        let ran = execute::run(&mut call, id, &mut Writer::new(&mut bytes, proto));
        if ran == Ran::InSteps {
            let long = core.long.take().expect("it was left");
            bytes = match long.finish(core) {
                Ok(Part::Reply(pieces)) => pieces.concat(),
                other => panic!("{line}: {other:?}"),
            };
        }
        let stored = core.shard.plain_copy(db, core.shard.key(b"d"), START);
        let stored = stored.map(|(content, _)| content);
        (ran == Ran::InSteps, (bytes, stored))
    }

    fn run_at_once(core: &mut Core, db: usize, line: &str, proto: Proto) -> Outcome {
        AT_ONCE.set(true);
        let (is_long, outcome) = run(core, db, line, proto);
        AT_ONCE.set(false);
        assert!(!is_long);
        outcome
    }

    /// Puts the same collection under a key of two databases.
    fn put(core: &mut Core, key: &str, content: &Content) {
        for db in [0, 1] {
            let value = Detached::of(content.clone(), None);
            let key = core.shard.key(key.as_bytes());
            core.shard.put(db, key, value, START);
        }
    }

    fn score(rng: &mut Rng) -> f64 {
        let scores = [f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, 0.1, 1e300];
        match rng.below(3) {
            0 => scores[rng.below(6) as usize],
            1 => rng.below(50) as f64,
            _ => rng.below(1 << 40) as f64 / 1e7 - 3e4,
        }
    }

    fn members(rng: &mut Rng, count: usize) -> Strings {
        // Some are numbers, which sets keep as such.
        let first = rng.below(8_000) as usize;
        let member = |number: usize| match number % 3 {
            0 => number.to_string(),
            _ => format!("member:{number}"),
        };
        let texts: Vec<String> = (first..first + count).map(member).collect();
        texts.iter().map(|text| text.as_bytes()).collect()
    }

    fn fill(core: &mut Core, rng: &mut Rng) {
        for (key, count) in [("z1", 12_000), ("z2", 15_000), ("z3", 11_000), ("z4", 60)] {
            let members = members(rng, count);
            let scores = (0..count).map(|_| score(rng)).collect();
            put(core, key, &Content::Zset { members, scores });
        }
        for (key, count) in [("s1", 13_000), ("s2", 40)] {
            put(core, key, &Content::Set(members(rng, count)));
        }
        let numbers: Vec<String> = (0..300).map(|number| (3 * number).to_string()).collect();
        let numbers = numbers.iter().map(|text| text.as_bytes()).collect();
        put(core, "ints", &Content::Set(numbers));
    }

    /// A command with inputs, weights and an aggregate as the dice have them.
    fn line(rng: &mut Rng, nth: usize) -> String {
        const NAMES: [&str; 7] = [
            "zunion",
            "zinter",
            "zdiff",
            "zintercard",
            "zunionstore",
            "zinterstore",
            "zdiffstore",
        ];
        let name = NAMES[nth % NAMES.len()];
        let pick =
            |rng: &mut Rng, from: &[&str]| from[rng.below(from.len() as u64) as usize].to_owned();
        let (is_stored, is_counted) = (name.ends_with("store"), name == "zintercard");
        let mut words = vec![name.to_owned()];
        if is_stored {
            words.push("d".to_owned());
        }
        let large = ["z1", "z2", "z3", "s1"];
        let any = ["z1", "z2", "z3", "s1", "z4", "s2", "ints", "missing", "d"];
        let count = 2 + rng.below(3) as usize;
        words.push(count.to_string());
        for input in 0..count {
            let from = if input < 2 || name.starts_with("zinter") {
                &large[..]
            } else {
                &any
            };
            words.push(pick(rng, from));
        }
        if !name.starts_with("zdiff") && !is_counted {
            if rng.below(2) == 0 {
                words.push("weights".to_owned());
                for _ in 0..count {
                    words.push(pick(rng, &["0", "-1.5", "0.1", "inf", "-inf", "3"]));
                }
            }
            words.push("aggregate".to_owned());
            words.push(pick(rng, &["sum", "min", "max"]));
        }
        if !is_stored && !is_counted && rng.below(2) == 0 {
            words.push("withscores".to_owned());
        }
        if is_counted && rng.below(2) == 0 {
            words.extend(["limit".to_owned(), pick(rng, &["1", "4096", "90000", "0"])]);
        }
        words.join(" ")
    }

    #[test]
    fn what_is_made_in_steps_is_what_is_made_at_once() {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        let (mut rng, mut long) = (Rng::seeded(11), 0);
        for nth in 0..140 {
            if nth % 20 == 0 {
                fill(core, &mut rng);
            }
            let line = line(&mut rng, nth);
            let proto = [Proto::Resp2, Proto::Resp3][nth / 7 % 2];
            let (is_long, in_steps) = run(core, 0, &line, proto);
            let at_once = run_at_once(core, 1, &line, proto);
            assert!(in_steps == at_once, "{line}");
            long += usize::from(is_long);
            if nth % 20 == 19 {
                core.shard.check();
            }
        }
        assert!(long > 100, "{long}");
    }

    #[test]
    fn a_range_that_is_stored_in_steps_is_the_one_stored_at_once() {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        let mut rng = Rng::seeded(12);
        let members = members(&mut rng, 50_000);
        let scores = (0..50_000).map(|_| score(&mut rng)).collect();
        put(core, "z", &Content::Zset { members, scores });
        for (line, is_long) in [
            ("zrangestore d z 0 -1", true),
            ("zrangestore d z 7 25000", true),
            ("zrangestore d z 5 25000 rev", true),
            ("zrangestore d z -inf +inf byscore", true),
            ("zrangestore d z (inf 0 byscore rev limit 3 2000", false),
            ("zrangestore d z 0 100", false),
            ("zrangestore d z 60000 -1", false),
            ("zrangestore z z 10 -10", true),
        ] {
            let in_steps = run(core, 0, line, Proto::Resp2);
            let at_once = run_at_once(core, 1, line, Proto::Resp2);
            assert_eq!(in_steps.0, is_long, "{line}");
            assert!(in_steps.1 == at_once, "{line}");
        }
        core.shard.check();
        let key = core.shard.key(b"z");
        let kept = core.shard.view_beside(0, key, START);
        let kept = kept.and_then(|view| view.zset()).map(|zset| zset.len());
        assert_eq!(kept, Some(49_981));
    }

    #[test]
    fn a_limit_is_kept_whatever_is_walked() {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        let mut rng = Rng::seeded(13);
        fill(core, &mut rng);
        // Short as it is, it is looked for in so many others that it takes long.
        let others = " ints".repeat(99);
        for name in ["zintercard", "sintercard"] {
            let (is_long, (bytes, _)) = run(
                core,
                0,
                &format!("{name} 100 ints{others} limit 7"),
                Proto::Resp2,
            );
            assert!(is_long, "{name}");
            assert_eq!(bytes, b":7\r\n", "{name}");
        }
    }

    #[test]
    fn another_source_in_the_place_of_one_that_is_read_is_not_gone_on_with() {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        fill(core, &mut Rng::seeded(14));
        let hits = core.stats.keyspace_hits;
        let mut args = OwnedArgs::new();
        let words = ["zunionstore", "d", "2", "z1", "z2"];
        words.iter().for_each(|word| args.push(word.as_bytes()));
        let id = Table::instance().resolve(&args.as_args());
        let mut call = Call {
            hash: core.shard.hash(b"d"),
            core,
            args: args.as_args(),
            db: 0,
            proto: Proto::Resp2,
            client: None,
            no_touch: false,
        };
        let mut bytes = Vec::new();
        let out = &mut Writer::new(&mut bytes, Proto::Resp2);
        let ran = execute::run(&mut call, id.expect("it is a command"), out);
        assert_eq!(ran, Ran::InSteps);
        let mut long = core.long.take().expect("it was left");
        assert!(matches!(long.step(core), Stepped::More));
        let (key, away) = (core.shard.key(b"z2"), core.shard.key(b"away"));
        assert!(core.shard.rename((0, key), (0, away), START));
        let outcome = loop {
            match long.step(core) {
                Stepped::More => {}
                outcome => break outcome,
            }
        };
        long.end(core);
        assert!(matches!(outcome, Stepped::Lost));
        let key = core.shard.key(b"d");
        assert!(core.shard.view_beside(0, key, START).is_none());
        assert_eq!(core.stats.keyspace_hits, hits, "it counts when it is done");
    }
}
