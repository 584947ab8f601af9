//! Single members, counts, random members and scans of sorted sets.
//! Never changes anything.
//! Source: redis-server 7; WITHSCORE of ZRANK is that of 7.2.

use std::collections::HashSet;

use resp::{Proto, Writer};
use store::{Item, Key, Rng, View, ZsetView};

use super::bounds::{By, Span};
use crate::element_scan::{self, Options};
use crate::picks::{self, Asked};
use crate::{Call, Error, Reply, error, lookup, reply_limit::ReplyLimit};

/// The sorted set under the first key, for a command that runs where it lies.
pub fn read<'c>(call: &'c mut Call<'_>) -> Result<Option<ZsetView<'c>>, Error> {
    let key = call.key(1);
    read_key(call, key)
}

/// The sorted set under a key.
pub fn read_key<'c>(call: &'c mut Call<'_>, key: Key<'_>) -> Result<Option<ZsetView<'c>>, Error> {
    lookup::read_as(call, key, View::zset)
}

/// Writes a member and its score: a pair of its own in RESP3.
pub fn write_pair(out: &mut Writer<'_>, member: Item<'_>, score: f64, nests: bool) {
    if nests {
        out.array(2);
    }
    lookup::bulk_item(out, member);
    out.double(score);
}

/// ZCARD.
pub fn zcard(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    out.int(read(call)?.map_or(0, |zset| zset.len() as i64));
    Ok(())
}

/// ZSCORE.
pub fn zscore(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let member = call.args.at(2);
    write_score(out, read(call)?.and_then(|zset| zset.score(member)));
    Ok(())
}

/// ZMSCORE.
pub fn zmscore(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let args = call.args;
    let zset = read(call)?;
    out.array(args.len() - 2);
    for index in 2..args.len() {
        write_score(out, zset.and_then(|zset| zset.score(args.at(index))));
    }
    Ok(())
}

fn write_score(out: &mut Writer<'_>, score: Option<f64>) {
    match score {
        Some(score) => out.double(score),
        None => out.null(),
    }
}

/// ZRANK.
pub fn zrank(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    rank(call, out, false, "zrank")
}

/// ZREVRANK.
pub fn zrevrank(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    rank(call, out, true, "zrevrank")
}

fn rank(call: &mut Call<'_>, out: &mut Writer<'_>, is_reverse: bool, command: &str) -> Reply {
    let (args, member) = (call.args, call.args.at(2));
    let with_score = args.len() > 3;
    if args.len() > 4 {
        return Err(error::wrong_arity(command));
    }
    if with_score && !call.is(3, "withscore") {
        return Err(error::SYNTAX.into());
    }
    let found = read(call)?.and_then(|zset| {
        let (rank, score) = zset.rank(member)?;
        let rank = if is_reverse {
            zset.len() - 1 - rank
        } else {
            rank
        };
        Some((rank, score))
    });
    match found {
        None if with_score => out.null_array(),
        None => out.null(),
        Some((rank, score)) => {
            if with_score {
                out.array(2);
            }
            out.int(rank as i64);
            if with_score {
                out.double(score);
            }
        }
    }
    Ok(())
}

/// ZCOUNT.
pub fn zcount(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    count(call, out, By::Score)
}

/// ZLEXCOUNT.
pub fn zlexcount(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    count(call, out, By::Lex)
}

fn count(call: &mut Call<'_>, out: &mut Writer<'_>, by: By) -> Reply {
    let span = Span::parse(call, by, 2, 3)?;
    let ranks = read(call)?.map(|zset| span.ranks(zset));
    out.int(ranks.map_or(0, |ranks| ranks.len() as i64));
    Ok(())
}

/// ZRANDMEMBER: one member; or with a count so many different ones; or where that is negative so many of any.
pub fn zrandmember(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    if call.args.len() == 2 {
        let mut rng = Rng::seeded(call.core.random());
        match read(call)?.and_then(|zset| zset.random(&mut rng)) {
            Some((member, _)) => lookup::bulk_item(out, member),
            None => out.null(),
        }
        return Ok(());
    }
    let count = lookup::signed(call, 2)?;
    let with_scores = call.args.len() > 3;
    if call.args.len() > 4 || with_scores && !call.is(3, "withscores") {
        return Err(error::SYNTAX.into());
    }
    if with_scores && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(error::OUT_OF_RANGE.into());
    }
    let mut rng = Rng::seeded(call.core.random());
    let (limit, start) = (ReplyLimit::of(call), out.len());
    let Some(zset) = read(call)? else {
        out.array(0);
        return Ok(());
    };
    let repeats = count < 0;
    let wanted = count.unsigned_abs();
    if repeats {
        limit.check_count(wanted)?;
    }
    let asked = Asked {
        count: wanted,
        repeats,
        pairs: with_scores,
    };
    if picks::is_long(&asked, zset.len(), zset.bytes()) {
        return Err(picks::begin(call, asked));
    }
    let drawn = if repeats {
        wanted as usize
    } else {
        wanted.min(zset.len() as u64) as usize
    };
    let nests = with_scores && out.proto() == Proto::Resp3;
    out.array(if with_scores && !nests {
        2 * drawn
    } else {
        drawn
    });
    let mut write = |(member, score)| {
        if with_scores {
            write_pair(out, member, score, nests);
        } else {
            lookup::bulk_item(out, member);
        }
        out.len() - start
    };
    if repeats {
        for _ in 0..drawn {
            let bytes = write(zset.random(&mut rng).expect("a key has members"));
            limit.check(bytes)?;
        }
    } else {
        draw_different(zset, drawn, &mut rng, &mut |member| _ = write(member));
    }
    Ok(())
}

/// Picks `drawn` different members, every choice as likely as another.
fn draw_different<'a>(
    zset: ZsetView<'a>,
    drawn: usize,
    rng: &mut Rng,
    write: &mut impl FnMut((Item<'a>, f64)),
) {
    /// From this part of the set on it is passed over once, and no rank is remembered.
    const MANY: usize = 3;
    let len = zset.len();
    if drawn * MANY < len {
        // Floyd's way: the rank drawn, or where it was taken already the highest that could be.
        let mut taken = HashSet::with_capacity(drawn);
        for highest in len - drawn..len {
            let rank = rng.below(highest as u64 + 1) as usize;
            let rank = if taken.insert(rank) { rank } else { highest };
            taken.insert(rank);
            write(zset.at(rank).expect("the rank is below the length"));
        }
        return;
    }
    let mut wanted = drawn;
    for (passed, element) in zset.iter().enumerate() {
        if rng.below((len - passed) as u64) < wanted as u64 {
            wanted -= 1;
            write(element);
        }
    }
}

/// ZSCAN.
pub fn zscan(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let cursor = element_scan::cursor(call, 2)?;
    if read(call)?.is_none() {
        element_scan::nothing(out);
        return Ok(());
    }
    let options = Options::read(call, 3)?;
    element_scan::answer(call, out, cursor, options)
}
