//! Elements that leave a list for another, and from the first of several lists: LMOVE, RPOPLPUSH, LMPOP.
//! Never takes an element before all keys were looked at, and never copies more than what moves.
//! Source: redis-server 7; between shards decision 0001, the element travels with the decision.

use super::{list_end, write_from};
use crate::part::Taken;
use crate::row::Decision;
use crate::{Call, Error, Part, Reply, error, lookup};
use resp::Writer;
use std::iter::once;
use store::{IntBuffer, Key, Kind, ListEnd, ListView};

const BAD_NUMKEYS: &str = "ERR numkeys should be greater than 0";
const BAD_COUNT: &str = "ERR count should be greater than 0";

/// What a shard that owns only the target votes.
const TARGET_IS_FINE: i64 = 0;
const TARGET_IS_NO_LIST: i64 = 1;

/// The list of a key that is about to be changed.
fn before_write<'c>(call: &'c mut Call<'_>, key: Key<'_>) -> Result<Option<ListView<'c>>, Error> {
    let (db, now) = (call.db, call.now());
    match call.core.shard.view(db, key, false, now) {
        Some(view) => match view.list() {
            Some(list) => Ok(Some(list)),
            None => Err(error::WRONG_TYPE.into()),
        },
        None => Ok(None),
    }
}

/// Where the element leaves and where it goes; RPOPLPUSH has no words for it.
fn ends(call: &Call<'_>) -> Result<(ListEnd, ListEnd), Error> {
    if call.args.len() == 3 {
        return Ok((ListEnd::Back, ListEnd::Front));
    }
    Ok((list_end(call, 3)?, list_end(call, 4)?))
}

pub fn prepare_move(call: &mut Call<'_>, part: &mut Part) -> Reply {
    let (from, _) = ends(call)?;
    let (source, target) = (call.other_key(1), call.other_key(2));
    if !call.owns(1) {
        *part = Part::Count(match before_write(call, target) {
            Ok(_) => TARGET_IS_FINE,
            Err(_) => TARGET_IS_NO_LIST,
        });
        return Ok(());
    }
    let Some(list) = before_write(call, source)? else {
        return Ok(());
    };
    let index = match from {
        ListEnd::Front => 0,
        ListEnd::Back => list.len() - 1,
    };
    let element = list.at(index).expect("no list is empty");
    let content = Ok(element.text(&mut IntBuffer::new()).to_vec());
    if call.owns(2) {
        before_write(call, target)?;
    }
    *part = Part::Taken(Taken { index: 1, content });
    Ok(())
}

pub fn decide_move(
    _: &mut Call<'_>,
    parts: &mut [Part],
    out: &mut Writer<'_>,
) -> Result<Decision, Error> {
    let element = parts.iter().find_map(|part| match part {
        Part::Taken(taken) => Some(taken),
        _ => None,
    });
    let Some(element) = element else {
        out.null();
        return Ok(Decision::Abort);
    };
    let refuses = |part: &Part| matches!(part, Part::Count(TARGET_IS_NO_LIST));
    if parts.iter().any(refuses) {
        return Err(error::WRONG_TYPE.into());
    }
    out.bulk(element.content.as_ref().map_err(Error::clone)?);
    // The element goes to the core that owns the target.
    if let [first, second] = parts {
        std::mem::swap(first, second);
    }
    Ok(Decision::Commit)
}

pub fn commit_move(call: &mut Call<'_>, part: &mut Part) {
    let (from, to) = ends(call).expect("the ends were read before");
    let (source, target) = (call.other_key(1), call.other_key(2));
    if source.bytes == target.bytes {
        return rotate(call, source, from, to);
    }
    // The source may have ended since it was prepared; then it ended right after the element was taken.
    if call.owns(1)
        && let Ok(Some(door)) = lookup::open(call, source, Kind::List)
    {
        door.list().drop_at(from, 1);
    }
    if call.owns(2)
        && let Part::Taken(taken) = part
        && let Ok(element) = &taken.content
        && let Ok(door) = lookup::open_or_new(call, target, Kind::List)
    {
        door.list().push(to, once(&element[..]));
    }
}

/// Source and target are one key, which stays with its expiry even where it has but one element.
fn rotate(call: &mut Call<'_>, key: Key<'_>, from: ListEnd, to: ListEnd) {
    let Ok(Some(door)) = lookup::open(call, key, Kind::List) else {
        return;
    };
    let mut list = door.list();
    if from != to && list.view().len() > 1 {
        list.rotate(from);
    }
}

/// What LMPOP is asked for.
struct Mpop {
    keys: usize,
    end: ListEnd,
    count: usize,
}

fn positive(call: &Call<'_>, index: usize, mistake: &'static str) -> Result<usize, Error> {
    let number = call
        .int(index)
        .ok()
        .and_then(|number| usize::try_from(number).ok());
    Ok(number.filter(|&number| number > 0).ok_or(mistake)?)
}

fn mpop(call: &Call<'_>) -> Result<Mpop, Error> {
    let keys = positive(call, 1, BAD_NUMKEYS)?;
    let word = keys.saturating_add(2);
    let end = list_end(call, word)?;
    let count = match call.args.len() - word {
        1 => 1,
        3 if call.is(word + 1, "count") => positive(call, word + 2, BAD_COUNT)?,
        // A count that makes no sense is told before what follows it.
        4.. if call.is(word + 1, "count") => {
            positive(call, word + 2, BAD_COUNT)?;
            return Err(error::SYNTAX.into());
        }
        _ => return Err(error::SYNTAX.into()),
    };
    Ok(Mpop { keys, end, count })
}

/// Encodes what the first of this core's keys that exists would give.
pub fn prepare_mpop(call: &mut Call<'_>, part: &mut Part) -> Reply {
    let Mpop { keys, end, count } = mpop(call)?;
    for index in 2..2 + keys {
        if !call.owns(index) {
            continue;
        }
        let (key, proto) = (call.other_key(index), call.proto);
        let content = match before_write(call, key) {
            Ok(None) => continue,
            Ok(Some(list)) => {
                let mut reply = Vec::new();
                let mut out = Writer::new(&mut reply, proto);
                out.array(2);
                out.bulk(key.bytes);
                write_from(&mut out, list, end, count);
                Ok(reply)
            }
            Err(error) => Err(error),
        };
        *part = Part::Taken(Taken { index, content });
        break;
    }
    Ok(())
}

pub fn decide_mpop(
    _: &mut Call<'_>,
    parts: &mut [Part],
    out: &mut Writer<'_>,
) -> Result<Decision, Error> {
    let first = parts
        .iter_mut()
        .filter_map(|part| match std::mem::take(part) {
            Part::Taken(taken) => Some((part, taken)),
            _ => None,
        })
        .min_by_key(|(_, taken)| taken.index);
    let Some((part, Taken { index, content })) = first else {
        out.null_array();
        return Ok(Decision::Abort);
    };
    out.raw(&content?);
    // Only the core that owns the key has something to do.
    *part = Part::Count(index as i64);
    Ok(Decision::Commit)
}

pub fn commit_mpop(call: &mut Call<'_>, part: &mut Part) {
    let Part::Count(index) = *part else {
        return;
    };
    let Mpop { end, count, .. } = mpop(call).expect("the arguments were read before");
    let key = call.other_key(index as usize);
    if let Ok(Some(door)) = lookup::open(call, key, Kind::List) {
        door.list().drop_at(end, count);
    }
}
