//! What large sorted sets and sets make together, or a range of one is to be, in steps: gathered, ordered, answered or stored.
//! Never makes anything else than `combine` and `range` do at once.
//! Source: decision 0010.

mod gathering;
mod ordering;

use super::combine::{Aggregate, Operation};
use crate::steps::{self, Pieces, Sources, Steps, Stop, Target, target};
use crate::{Call, Error, Part};
use gathering::{Copying, Sieve, Union};
use ordering::{Answer, Ordered, in_order};
use resp::{Proto, Writer};
use std::ops::Range;
use store::{Content, Key, Strings};

/// Members that are met in a step.
const STEP_MEMBERS: usize = 2048;

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

/// What stands before so many members.
pub(super) fn header(out: &mut Writer<'_>, with_scores: bool, count: usize) {
    let is_flat = with_scores && out.proto() == Proto::Resp2;
    out.array(if is_flat { 2 } else { 1 } * count);
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::Core;
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
