//! Commands that read a hash: HGET HMGET HGETALL HKEYS HVALS HLEN HSTRLEN HEXISTS HSCAN.
//! Never shows a field past its expiry, and never changes anything.
//! Source: redis-server 7 for replies and the order of checks; NOVALUES is HSCAN's in 7.4.

use crate::reading::{self, What};
use crate::{Call, Error, Reply, element_scan, lookup, reply_limit::ReplyLimit};
use resp::Writer;
use store::{HashView, IntBuffer, Item, Place, View};

/// The hash under the first key, to read.
pub fn hash<'c>(call: &'c mut Call<'_>) -> Result<Option<HashView<'c>>, Error> {
    let key = call.key(1);
    lookup::read_as(call, key, View::hash)
}

/// Writes the value of a field, or nil.
pub fn value_or_null(out: &mut Writer<'_>, value: Option<Item<'_>>) {
    match value {
        Some(value) => lookup::bulk_item(out, value),
        None => out.null(),
    }
}

pub fn hget(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let field = call.args.at(2);
    let value = hash(call)?.and_then(|hash| hash.value(field));
    value_or_null(out, value);
    Ok(())
}

pub fn hmget(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (fields, start) = (call.args.from(2), out.len());
    let limit = ReplyLimit::of(call);
    let hash = hash(call)?;
    out.array(fields.len());
    for field in fields.iter() {
        value_or_null(out, hash.and_then(|hash| hash.value(field)));
        limit.check(out.len() - start)?;
    }
    Ok(())
}

/// Whether to answer all fields takes long. Those that expire may go at any time, and are answered at once.
#[inline]
fn is_long(hash: Option<HashView<'_>>) -> bool {
    hash.is_some_and(|hash| {
        let counts = || (hash.stored_len(), hash.stored_len());
        reading::is_long(hash.bytes(), counts) && !hash.expires()
    })
}

/// Has the fields be answered in steps.
#[cold]
fn in_steps(call: &mut Call<'_>, fields: usize, names: bool, values: bool) -> Error {
    let what = What::Fields {
        place: Place::default(),
        names,
        values,
    };
    reading::begin(call, what, |out| {
        if names && values {
            out.map(fields);
        } else {
            out.array(fields);
        }
    })
}

pub fn hgetall(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let hash = hash(call)?;
    if is_long(hash) {
        let fields = hash.map_or(0, |hash| hash.len());
        return Err(in_steps(call, fields, true, true));
    }
    out.map(hash.map_or(0, |hash| hash.len()));
    if let Some(hash) = hash {
        hash.each(&mut |field, value, _| {
            lookup::bulk_item(out, field);
            lookup::bulk_item(out, value);
        });
    }
    Ok(())
}

pub fn hkeys(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let hash = hash(call)?;
    if is_long(hash) {
        let fields = hash.map_or(0, |hash| hash.len());
        return Err(in_steps(call, fields, true, false));
    }
    out.array(hash.map_or(0, |hash| hash.len()));
    if let Some(hash) = hash {
        hash.each(&mut |field, _, _| lookup::bulk_item(out, field));
    }
    Ok(())
}

pub fn hvals(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let hash = hash(call)?;
    if is_long(hash) {
        let fields = hash.map_or(0, |hash| hash.len());
        return Err(in_steps(call, fields, false, true));
    }
    out.array(hash.map_or(0, |hash| hash.len()));
    if let Some(hash) = hash {
        hash.each(&mut |_, value, _| lookup::bulk_item(out, value));
    }
    Ok(())
}

pub fn hlen(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let fields = hash(call)?.map_or(0, |hash| hash.len());
    out.int(fields as i64);
    Ok(())
}

pub fn hstrlen(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let field = call.args.at(2);
    let value = hash(call)?.and_then(|hash| hash.value(field));
    out.int(value.map_or(0, |value| value.len() as i64));
    Ok(())
}

pub fn hexists(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let field = call.args.at(2);
    let is_there = hash(call)?.is_some_and(|hash| hash.value(field).is_some());
    out.int(i64::from(is_there));
    Ok(())
}

pub fn hscan(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let cursor = element_scan::cursor(call, 2)?;
    let options = element_scan::Options::read_of_hash(call, 3);
    let proto = out.proto();
    out.array(2);
    // The options of a scan of nothing are not looked at, as in Redis.
    let Some(hash) = hash(call)? else {
        out.bulk(b"0");
        out.array(0);
        return Ok(());
    };
    let options = options?;
    let (mut page, mut shown) = (Vec::new(), 0);
    let mut elements = Writer::new(&mut page, proto);
    let mut buffer = IntBuffer::new();
    let next = options.walk(cursor, |cursor, slots| {
        let mut met = 0;
        let next = hash.scan(cursor, slots, &mut |field, value| {
            met += 1;
            if options.accepts(field.text(&mut buffer)) {
                lookup::bulk_item(&mut elements, field);
                shown += 1;
                if !options.no_values {
                    lookup::bulk_item(&mut elements, value);
                    shown += 1;
                }
            }
        });
        (next, met)
    });
    out.bulk_int(next as i64);
    out.array(shown);
    out.raw(&page);
    Ok(())
}
