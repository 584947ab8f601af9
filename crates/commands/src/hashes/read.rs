//! Commands that read a hash: HGET HMGET HGETALL HKEYS HVALS HLEN HSTRLEN HEXISTS HSCAN.
//! Never shows a field past its expiry, and never changes anything.
//! Source: redis-server 7 for replies and the order of checks; NOVALUES is HSCAN's in 7.4.

use crate::reading::{self, Budget, Reader};
use crate::{Call, Error, Reply, element_scan, lookup, reply_limit::ReplyLimit};
use resp::{Proto, Writer};
use store::{HashView, Item, Place, View};

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

/// Whether to answer all fields takes long.
#[inline]
fn is_long(hash: Option<HashView<'_>>) -> bool {
    hash.is_some_and(|hash| {
        let counts = || (hash.stored_len(), hash.stored_len());
        reading::is_long(hash.bytes(), counts)
    })
}

/// Fields of a hash from a place on, read for an answer.
#[derive(Debug)]
struct Fields {
    place: Place,
    /// Whether their names are answered.
    names: bool,
    /// Whether their values are.
    values: bool,
    /// How many were answered. Beforehand one would have to look at each for whether it has expired.
    answered: usize,
}

impl Reader for Fields {
    fn read(
        &mut self,
        view: &View<'_>,
        out: &mut Writer<'_>,
        step: &mut Budget,
    ) -> Result<bool, Error> {
        let hash = view.hash().expect("a hash stays one");
        let next = hash.walk(self.place, |name, value| {
            if self.names {
                lookup::bulk_item(out, name);
            }
            if self.values {
                lookup::bulk_item(out, value);
            }
            self.answered += 1;
            step.goes_on(out)
        });
        Ok(next.map(|next| self.place = next).is_some())
    }

    fn header(&mut self, proto: Proto) -> Option<Vec<u8>> {
        let mut header = Vec::new();
        let out = &mut Writer::new(&mut header, proto);
        if self.names && self.values {
            out.map(self.answered);
        } else {
            out.array(self.answered);
        }
        Some(header)
    }
}

/// Has the fields be answered in steps.
#[cold]
fn in_steps(call: &mut Call<'_>, names: bool, values: bool) -> Error {
    let what = Fields {
        place: Place::default(),
        names,
        values,
        answered: 0,
    };
    reading::begin(call, what, |_| {})
}

pub fn hgetall(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let hash = hash(call)?;
    if is_long(hash) {
        return Err(in_steps(call, true, true));
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
        return Err(in_steps(call, true, false));
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
        return Err(in_steps(call, false, true));
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
    // The options of a scan of nothing are not looked at, as in Redis.
    if hash(call)?.is_none() {
        element_scan::nothing(out);
        return Ok(());
    }
    element_scan::answer(call, out, cursor, options?)
}

#[cfg(test)]
mod tests {
    use crate::Core;
    use crate::execute::Ran;
    use crate::reading::LONG_ELEMENTS;
    use crate::steps::Stepped;
    use crate::trial::{START, Trial, both_ways, run_row};
    use resp::Proto;
    use store::{Expiry, Kind};

    const MANY: usize = LONG_ELEMENTS + 2000;

    /// Every third field expires, in a second or in two.
    fn fill(core: &mut Core, expires: bool) {
        let key = core.shard.key(b"h");
        let door = core.shard.open_or_new(0, key, Kind::Hash, START);
        let mut hash = door.unwrap_or_else(|_| panic!("it is a hash")).hash();
        for number in 0..MANY {
            let (name, value) = (format!("field:{number}"), number.to_string());
            let expiry = match number % 6 {
                0 if expires => Expiry::At(START.plus(1000)),
                3 if expires => Expiry::At(START.plus(2000)),
                _ => Expiry::Clear,
            };
            hash.set(name.as_bytes(), value.as_bytes(), expiry);
        }
    }

    #[test]
    fn fields_are_the_same_in_steps_as_at_once_also_where_some_have_expired() {
        for expires in [false, true] {
            let mut trial = Trial::new(1);
            let core = &mut trial.cores[0];
            core.now = START;
            fill(core, expires);
            for later_ms in [0, 1500, 2500] {
                core.now = START.plus(later_ms);
                for command in ["hgetall", "hkeys", "hvals"] {
                    for proto in [Proto::Resp2, Proto::Resp3] {
                        both_ways(core, &format!("{command} h"), proto);
                    }
                }
            }
        }
    }

    #[test]
    fn fields_whose_time_comes_while_they_are_read_are_answered_and_go_afterwards() {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        core.now = START;
        fill(core, true);
        assert_eq!(run_row(core, "hkeys h", Proto::Resp2).0, Ran::InSteps);
        let mut reading = core.long.take().expect("it was left");
        core.locks.begin_steps(reading.keys().into(), [].into());
        let mut pieces = Vec::new();
        while pieces.is_empty() {
            core.now = core.now.plus(1000);
            let (now, locks) = (core.now, &core.locks);
            let kept = &mut |hash| locks.holds(hash);
            while core.shard.expire_step_beside(now, 1000, kept).more {}
            core.shard.check();
            match reading.step(core) {
                Stepped::More => {}
                Stepped::Done(crate::Part::Reply(done)) => pieces = done,
                other => panic!("{other:?}"),
            }
        }
        assert!(core.now > START.plus(2000), "all of them are due by now");
        let answer = pieces.concat();
        let header = format!("*{MANY}\r\n");
        assert!(answer.starts_with(header.as_bytes()));
        let line_ends = answer.iter().filter(|&&byte| byte == b'\n').count();
        assert_eq!(line_ends, 1 + 2 * MANY);
        core.locks.end_steps();
        let (now, locks) = (core.now.plus(60_000), &core.locks);
        while core
            .shard
            .expire_step_beside(now, 1000, &mut |hash| locks.holds(hash))
            .more
        {}
        let key = core.shard.key(b"h");
        let view = core.shard.view_beside(0, key, now).expect("it is there");
        let left = view.hash().expect("it is a hash").stored_len();
        assert_eq!(left, MANY - MANY.div_ceil(3));
    }
}
