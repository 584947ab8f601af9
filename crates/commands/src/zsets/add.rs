//! Adding to sorted sets: ZADD with its conditions, and ZINCRBY.
//! Never adds a part: all scores are read before the first member is touched.
//! Source: redis-server 7, asked for the order of checks.

use resp::Writer;
use store::{AddRule, Added, Kind, NotANumber, Presence, ZsetEdit};

use super::bounds::score;
use crate::{Call, Error, Reply, error, lookup};

const NX_AND_XX: &str = "ERR XX and NX options at the same time are not compatible";
const CONDITIONS: &str = "ERR GT, LT, and/or NX options at the same time are not compatible";
const INCR_ONE: &str = "ERR INCR option supports a single increment-element pair";
const NAN: &str = "ERR resulting score is not a number (NaN)";

/// The words before the pairs.
#[derive(Default)]
struct Options {
    rule: AddRule,
    counts_changes: bool,
    /// Index of the first score.
    first: usize,
}

impl Options {
    fn read(call: &Call<'_>, is_increment: bool) -> Result<Options, Error> {
        let mut options = Options {
            first: 2,
            ..Options::default()
        };
        let (mut missing, mut existing) = (false, false);
        let rule = &mut options.rule;
        rule.is_increment = is_increment;
        while let Some(word) = call.args.get(options.first) {
            // Scores are longer or begin with no letter; a word is told apart by its length first.
            match word.len() {
                2 if word.eq_ignore_ascii_case(b"nx") => missing = true,
                2 if word.eq_ignore_ascii_case(b"xx") => existing = true,
                2 if word.eq_ignore_ascii_case(b"ch") => options.counts_changes = true,
                2 if word.eq_ignore_ascii_case(b"gt") => rule.only_greater = true,
                2 if word.eq_ignore_ascii_case(b"lt") => rule.only_less = true,
                4 if word.eq_ignore_ascii_case(b"incr") => rule.is_increment = true,
                _ => break,
            }
            options.first += 1;
        }
        let pairs = call.args.len() - options.first;
        if pairs == 0 || !pairs.is_multiple_of(2) {
            return Err(error::SYNTAX.into());
        }
        if missing && existing {
            return Err(NX_AND_XX.into());
        }
        if missing && (rule.only_greater || rule.only_less) || rule.only_greater && rule.only_less {
            return Err(CONDITIONS.into());
        }
        if rule.is_increment && pairs > 2 {
            return Err(INCR_ONE.into());
        }
        rule.presence = match (missing, existing) {
            (true, _) => Presence::Missing,
            (_, true) => Presence::Existing,
            _ => Presence::Any,
        };
        Ok(options)
    }
}

/// ZADD: answers how many members are new, or have changed with CH, or the score with INCR.
pub fn zadd(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let options = Options::read(call, false)?;
    add(call, &options, out)
}

/// ZINCRBY: ZADD with INCR and nothing else. Redis takes ZADD's other words where the increment should stand.
pub fn zincrby(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let options = Options::read(call, true)?;
    add(call, &options, out)
}

fn add(call: &mut Call<'_>, options: &Options, out: &mut Writer<'_>) -> Reply {
    let (args, first, rule) = (call.args, options.first, options.rule);
    if args.len() == first + 2 {
        let given = score(call, first)?;
        let Some(mut zset) = open(call, rule)? else {
            answer_none(rule, out);
            return Ok(());
        };
        let (added, score) = zset
            .add(args.at(first + 1), given, rule)
            .map_err(not_a_number)?;
        if !rule.is_increment {
            out.int(i64::from(counts(added, options.counts_changes)));
        } else if added == Added::Refused {
            out.null();
        } else {
            out.double(score);
        }
        return Ok(());
    }
    let scores: Vec<f64> = (first..args.len())
        .step_by(2)
        .map(|index| score(call, index))
        .collect::<Result<_, _>>()?;
    let members = (first + 1..args.len()).step_by(2).zip(scores);
    out.int(add_scored(call, rule, options.counts_changes, members)?);
    Ok(())
}

/// Adds members, each given as the index of its argument, with scores. Answers how many are new, or have changed where
/// those count too.
pub fn add_scored(
    call: &mut Call<'_>,
    rule: AddRule,
    counts_changes: bool,
    members: impl Iterator<Item = (usize, f64)>,
) -> Result<i64, Error> {
    let args = call.args;
    let Some(mut zset) = open(call, rule)? else {
        return Ok(0);
    };
    let mut counted = 0;
    for (index, score) in members {
        let (added, _) = zset
            .add(args.at(index), score, rule)
            .map_err(not_a_number)?;
        counted += i64::from(counts(added, counts_changes));
    }
    Ok(counted)
}

/// The sorted set to add to; `None` where the key is missing and must not come to be.
fn open<'c>(call: &'c mut Call<'_>, rule: AddRule) -> Result<Option<ZsetEdit<'c>>, Error> {
    let key = call.key(1);
    Ok(if rule.presence == Presence::Existing {
        lookup::open(call, key, Kind::Zset)?.map(store::Door::zset)
    } else {
        Some(lookup::open_or_new(call, key, Kind::Zset)?.zset())
    })
}

fn answer_none(rule: AddRule, out: &mut Writer<'_>) {
    if rule.is_increment {
        out.null();
    } else {
        out.int(0);
    }
}

fn counts(added: Added, counts_changes: bool) -> bool {
    match added {
        Added::New => true,
        Added::Changed => counts_changes,
        Added::Same | Added::Refused => false,
    }
}

fn not_a_number(_: NotANumber) -> Error {
    NAN.into()
}
