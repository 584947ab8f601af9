//! Pushing and popping at the ends of one list.
//! Never makes a list for a command that wants one to exist.
//! Source: redis-server 7, also for what LPOP answers for a missing key with a count and without.

use super::{write_elements, write_from};
use crate::steps::taking::{self, Taker};
use crate::{Call, Reply, error, lookup, reading};
use resp::Writer;
use store::{Door, Kind, ListEnd};

const NOT_POSITIVE: &str = "ERR value is out of range, must be positive";

pub fn lpush(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    push(call, out, ListEnd::Front)
}

pub fn rpush(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    push(call, out, ListEnd::Back)
}

pub fn lpushx(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    push_if_exists(call, out, ListEnd::Front)
}

pub fn rpushx(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    push_if_exists(call, out, ListEnd::Back)
}

pub fn lpop(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    pop(call, out, ListEnd::Front, "lpop")
}

pub fn rpop(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    pop(call, out, ListEnd::Back, "rpop")
}

fn push(call: &mut Call<'_>, out: &mut Writer<'_>, end: ListEnd) -> Reply {
    let (key, elements) = (call.key(1), call.args.from(2));
    let mut list = lookup::open_or_new(call, key, Kind::List)?.list();
    list.push(end, elements.iter());
    out.int(list.view().len() as i64);
    Ok(())
}

fn push_if_exists(call: &mut Call<'_>, out: &mut Writer<'_>, end: ListEnd) -> Reply {
    let (key, elements) = (call.key(1), call.args.from(2));
    let Some(door) = lookup::open(call, key, Kind::List)? else {
        out.int(0);
        return Ok(());
    };
    let mut list = door.list();
    list.push(end, elements.iter());
    out.int(list.view().len() as i64);
    Ok(())
}

fn pop(call: &mut Call<'_>, out: &mut Writer<'_>, end: ListEnd, command: &str) -> Reply {
    let key = call.key(1);
    match call.args.len() {
        2 => pop_one(call, out, key, end),
        3 => pop_several(call, out, key, end),
        _ => Err(error::wrong_arity(command)),
    }
}

fn pop_one(call: &mut Call<'_>, out: &mut Writer<'_>, key: store::Key<'_>, end: ListEnd) -> Reply {
    let Some(door) = lookup::open(call, key, Kind::List)? else {
        out.null();
        return Ok(());
    };
    let mut list = door.list();
    let view = list.view();
    let index = match end {
        ListEnd::Front => 0,
        ListEnd::Back => view.len() - 1,
    };
    lookup::bulk_item(out, view.at(index).expect("no list is empty"));
    list.remove(index, 1);
    Ok(())
}

/// Elements that are popped from an end.
struct Popping {
    end: ListEnd,
    left: usize,
}

impl Taker for Popping {
    fn take(&mut self, door: Door<'_>, out: &mut Writer<'_>) -> bool {
        let mut list = door.list();
        let count = taking::share(self.left, (list.view().len(), list.view().bytes()));
        write_elements(out, list.view(), self.end, count);
        list.drop_at(self.end, count);
        self.left -= count;
        self.left > 0
    }
}

fn pop_several(
    call: &mut Call<'_>,
    out: &mut Writer<'_>,
    key: store::Key<'_>,
    end: ListEnd,
) -> Reply {
    let count = call
        .int(2)
        .ok()
        .and_then(|count| usize::try_from(count).ok());
    let count = count.ok_or(NOT_POSITIVE)?;
    let Some(door) = lookup::open(call, key, Kind::List)? else {
        out.null_array();
        return Ok(());
    };
    let mut list = door.list();
    let (len, bytes) = (list.view().len(), list.view().bytes());
    let left = count.min(len);
    if reading::is_long(bytes, || (left, len)) {
        drop(list);
        let taker = Popping { end, left };
        return Err(taking::begin(call, (key, Kind::List), taker, |out| {
            out.array(left);
        }));
    }
    write_from(out, list.view(), end, count);
    if count > 0 {
        list.drop_at(end, count);
    }
    Ok(())
}
