//! HRANDFIELD: fields picked at random.
//! Never builds a list of what it picks: each goes into the reply at once.
//! Source: redis-server 7 for replies and ranges; the limit to a reply is our own.

use super::read;
use crate::picks::{self, Asked};
use crate::{Call, Error, Reply, error, lookup, reply_limit::ReplyLimit};
use resp::{Proto, Writer};
use store::{HashView, Item, Rng};

/// The count, and whether values are wanted.
fn options(call: &Call<'_>) -> Result<(i64, bool), Error> {
    let count = lookup::signed(call, 2)?;
    match call.args.len() {
        3 => Ok((count, false)),
        4 if call.is(3, "withvalues") => {
            if count.unsigned_abs() > i64::MAX.unsigned_abs() / 2 {
                return Err(error::OUT_OF_RANGE.into());
            }
            Ok((count, true))
        }
        _ => Err(error::SYNTAX.into()),
    }
}

pub fn hrandfield(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let mut rng = Rng::seeded(call.core.random());
    if call.args.len() == 2 {
        let field = read::hash(call)?.and_then(|hash| hash.random(&mut rng));
        read::value_or_null(out, field.map(|(field, _)| field));
        return Ok(());
    }
    let (count, with_values) = options(call)?;
    let limit = ReplyLimit::of(call);
    let Some(hash) = read::hash(call)? else {
        out.array(0);
        return Ok(());
    };
    let asked = Asked {
        count: count.unsigned_abs(),
        repeats: count < 0,
        pairs: with_values,
    };
    if picks::is_long(&asked, hash.stored_len(), hash.bytes()) {
        if asked.repeats
            && let Err(error) = limit.check_count(asked.count)
            && !hash.is_empty()
        {
            return Err(error);
        }
        return Err(picks::begin(call, asked));
    }
    if count >= 0 {
        let wanted = usize::try_from(count).unwrap_or(usize::MAX).min(hash.len());
        begin(out, wanted, with_values);
        hash.sample(wanted, &mut rng, &mut |field, value| {
            write(out, field, value, with_values);
        });
        return Ok(());
    }
    repeated(
        out,
        hash,
        count.unsigned_abs(),
        with_values,
        limit,
        &mut rng,
    )
}

/// Fields of which one may come twice. Their number is the client's alone, so the reply has a limit.
fn repeated(
    out: &mut Writer<'_>,
    hash: HashView<'_>,
    count: u64,
    with_values: bool,
    limit: ReplyLimit,
    rng: &mut Rng,
) -> Reply {
    if hash.is_empty() {
        out.array(0);
        return Ok(());
    }
    limit.check_count(count)?;
    let start = out.len();
    begin(out, count as usize, with_values);
    let mut picker = hash.picker();
    for _ in 0..count {
        let (field, value) = picker
            .pick(rng)
            .expect("a hash that is not empty has fields");
        write(out, field, value, with_values);
        limit.check(out.len() - start)?;
    }
    Ok(())
}

/// Begins the reply of so many fields: pairs are flat in RESP2 and arrays of two in RESP3.
fn begin(out: &mut Writer<'_>, fields: usize, with_values: bool) {
    let is_flat = with_values && out.proto() == Proto::Resp2;
    out.array(if is_flat { 2 * fields } else { fields });
}

fn write(out: &mut Writer<'_>, field: Item<'_>, value: Item<'_>, with_values: bool) {
    if with_values && out.proto() == Proto::Resp3 {
        out.array(2);
    }
    lookup::bulk_item(out, field);
    if with_values {
        lookup::bulk_item(out, value);
    }
}
