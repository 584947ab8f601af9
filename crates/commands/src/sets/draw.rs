//! SRANDMEMBER and SPOP: members picked at random.
//! Never favours a member: every choice is as likely as another, in every form of a set.
//! Source: redis-server 7 for texts and reply shapes.

use super::as_set;
use crate::picks::{self, Asked};
use crate::{Call, Reply, error, lookup, reply_limit::ReplyLimit};
use resp::Writer;
use store::{Kind, Rng, SetView};

const NOT_POSITIVE: &str = "ERR value is out of range, must be positive";

pub fn srandmember(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (key, mut rng) = (call.key(1), Rng::seeded(call.core.random()));
    match call.args.len() {
        2 => {
            let set = lookup::read_as(call, key, as_set)?;
            match set.and_then(|set| set.random(&mut rng)) {
                Some(member) => lookup::bulk_item(out, member),
                None => out.null(),
            }
            Ok(())
        }
        3 => {
            let count = lookup::signed(call, 2)?;
            let limit = ReplyLimit::of(call);
            let Some(set) = lookup::read_as(call, key, as_set)? else {
                out.array(0);
                return Ok(());
            };
            let asked = Asked {
                count: count.unsigned_abs(),
                repeats: count < 0,
                pairs: false,
            };
            if asked.repeats {
                limit.check_count(asked.count)?;
            }
            if picks::is_long(&asked, set.len(), set.bytes()) {
                return Err(picks::begin(call, asked));
            }
            if count >= 0 {
                let count = usize::try_from(count).unwrap_or(usize::MAX).min(set.len());
                out.array(count);
                set.sample(count, &mut rng, &mut |member| {
                    lookup::bulk_item(out, member);
                });
                return Ok(());
            }
            repeated(out, &set, count.unsigned_abs(), limit, &mut rng)
        }
        _ => Err(error::SYNTAX.into()),
    }
}

/// Members of which one may come twice. Their number is the client's alone, so the reply has a limit.
fn repeated(
    out: &mut Writer<'_>,
    set: &SetView<'_>,
    count: u64,
    limit: ReplyLimit,
    rng: &mut Rng,
) -> Reply {
    let start = out.len();
    out.array(count as usize);
    for _ in 0..count {
        let member = set.random(rng).expect("a key's set has members");
        lookup::bulk_item(out, member);
        limit.check(out.len() - start)?;
    }
    Ok(())
}

pub fn spop(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (key, mut rng) = (call.key(1), Rng::seeded(call.core.random()));
    let count = match call.args.len() {
        2 => None,
        3 => {
            let count = resp::number::parse_i64(call.args.at(2));
            Some(
                count
                    .and_then(|count| usize::try_from(count).ok())
                    .ok_or(NOT_POSITIVE)?,
            )
        }
        _ => return Err(error::SYNTAX.into()),
    };
    let Some(door) = lookup::open(call, key, Kind::Set)? else {
        match count {
            None => out.null(),
            Some(_) => out.set(0),
        }
        return Ok(());
    };
    let mut set = door.set();
    if let Some(count) = count {
        out.set(count.min(set.view().len()));
    }
    set.pop(count.unwrap_or(1), &mut rng, &mut |member| {
        lookup::bulk_item(out, member);
    });
    Ok(())
}
