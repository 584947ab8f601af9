//! Changing a list away from its ends: LSET, LINSERT, LREM, LTRIM.
//! Never makes a list.
//! Source: redis-server 7, also for which mistakes a missing key hides.

use super::{index_from_head, span};
use crate::{Call, Reply, error, lookup};
use resp::Writer;
use store::Kind;

const INDEX_OUT_OF_RANGE: &str = "ERR index out of range";

pub fn lset(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (key, index, element) = (call.key(1), call.int(2), call.args.at(3));
    let door = lookup::open(call, key, Kind::List)?.ok_or(error::NO_SUCH_KEY)?;
    let mut list = door.list();
    let index = index_from_head(index?, list.view().len()).ok_or(INDEX_OUT_OF_RANGE)?;
    list.set(index, element);
    out.ok();
    Ok(())
}

pub fn linsert(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let behind = call.is(2, "after");
    if !behind && !call.is(2, "before") {
        return Err(error::SYNTAX.into());
    }
    let (key, pivot, element) = (call.key(1), call.args.at(3), call.args.at(4));
    let Some(door) = lookup::open(call, key, Kind::List)? else {
        out.int(0);
        return Ok(());
    };
    let mut list = door.list();
    match list.view().find(pivot) {
        Some(index) => {
            list.insert(index + usize::from(behind), element);
            out.int(list.view().len() as i64);
        }
        None => out.int(-1),
    }
    Ok(())
}

pub fn lrem(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (key, count, element) = (call.key(1), call.int(2)?, call.args.at(3));
    let Some(door) = lookup::open(call, key, Kind::List)? else {
        out.int(0);
        return Ok(());
    };
    let count_max = match count {
        0 => usize::MAX,
        count => count.unsigned_abs() as usize,
    };
    let removed = door.list().remove_equal(element, count_max, count < 0);
    out.int(removed as i64);
    Ok(())
}

pub fn ltrim(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (key, start, end) = (call.key(1), call.int(2)?, call.int(3)?);
    if let Some(door) = lookup::open(call, key, Kind::List)? {
        let mut list = door.list();
        let (start, count) = span(start, end, list.view().len());
        list.keep(start, count);
    }
    out.ok();
    Ok(())
}
