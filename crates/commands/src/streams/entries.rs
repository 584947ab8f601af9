//! Commands on a stream's entries: XADD XLEN XDEL XTRIM XSETID XRANGE XREVRANGE.
//! Never a group here; what a group has pending stays when its entry goes.
//! Source: redis-server 7, in the order of its checks.

use super::ids::{self, NewId};
use super::steps::{self, Asked};
use super::trimming::{Command, Options};
use crate::{Call, Error, Reply, error, lookup};
use resp::Writer;
use store::{Door, Kind, Stream, StreamId, View};

const NOT_ABOVE_ZERO: &str = "ERR The ID specified in XADD must be greater than 0-0";
const NOT_ABOVE_LAST: &str =
    "ERR The ID specified in XADD is equal or smaller than the target stream top item";
const EXHAUSTED: &str =
    "ERR The stream has exhausted the last possible ID, unable to add more items";
const BELOW_LAST: &str =
    "ERR The ID specified in XSETID is smaller than the target stream top item";
const BELOW_GIVEN_DELETED: &str =
    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id";
const BELOW_DELETED: &str =
    "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id";
const FEWER_THAN_LENGTH: &str =
    "ERR The entries_added specified in XSETID is smaller than the target stream length";
const NEGATIVE_ADDED: &str = "ERR entries_added must be positive";

pub(super) fn add(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let options = Options::of(call, Command::Add)?;
    let (args, now) = (call.args, call.now());
    let fields = args.len().saturating_sub(options.rest);
    if fields == 0 || fields % 2 == 1 {
        return Err(error::wrong_arity("xadd"));
    }
    if let NewId::Given(StreamId::MIN) = options.id {
        return Err(NOT_ABOVE_ZERO.into());
    }
    let key = call.key(1);
    if options.no_stream && lookup::open(call, key, Kind::Stream)?.is_none() {
        out.null();
        return Ok(());
    }
    let mut stream = lookup::open_or_new(call, key, Kind::Stream)?.stream();
    let next_id = stream.next_id(now).ok_or(EXHAUSTED)?;
    let last_id = stream.last_id();
    let id = match options.id {
        NewId::Auto => next_id,
        NewId::Given(id) => id,
        NewId::Within(ms) if ms == last_id.ms => StreamId {
            ms,
            seq: last_id.seq.saturating_add(1),
        },
        NewId::Within(ms) => StreamId { ms, seq: 0 },
    };
    if id <= last_id {
        return Err(NOT_ABOVE_LAST.into());
    }
    let limits = stream.node_limits();
    let fields = options.rest..args.len();
    stream.add(id, fields.map(|index| args.at(index)), limits);
    if let Some(trim) = options.trim(limits) {
        stream.trim(trim);
    }
    ids::write(out, id);
    Ok(())
}

pub(super) fn len(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let key = call.key(1);
    let len = lookup::read_as(call, key, View::stream)?.map_or(0, Stream::len);
    out.int(len as i64);
    Ok(())
}

pub(super) fn delete(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (key, ids) = (call.key(1), ids::parse_rest(call, 2));
    let Some(door) = lookup::open(call, key, Kind::Stream)? else {
        out.int(0);
        return Ok(());
    };
    let ids = ids?;
    let mut stream = door.stream();
    let deleted = ids.into_iter().filter(|&id| stream.delete(id)).count();
    out.int(deleted as i64);
    Ok(())
}

pub(super) fn trim(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let options = Options::of(call, Command::Trim)?;
    let key = call.key(1);
    let mut stream = lookup::open(call, key, Kind::Stream)?.map(Door::stream);
    let trimmed = stream.as_mut().map_or(0, |stream| {
        let trim = options.trim(stream.node_limits());
        trim.map_or(0, |trim| stream.trim(trim))
    });
    out.int(trimmed as i64);
    Ok(())
}

pub(super) fn set_id(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let id = ids::parse(call.args.at(2), 0)?;
    let (mut added, mut deleted) = (None, None);
    let mut index = 3;
    while index < call.args.len() {
        let has_more = index + 1 < call.args.len();
        if has_more && call.is(index, "entriesadded") {
            let number = u64::try_from(call.int(index + 1)?);
            added = Some(number.map_err(|_| NEGATIVE_ADDED)?);
        } else if has_more && call.is(index, "maxdeletedid") {
            let given = ids::parse(call.args.at(index + 1), 0)?;
            if id < given {
                return Err(BELOW_GIVEN_DELETED.into());
            }
            deleted = (given > StreamId::MIN).then_some(given);
        } else {
            return Err(error::SYNTAX.into());
        }
        index += 2;
    }
    let key = call.key(1);
    let door = lookup::open(call, key, Kind::Stream)?.ok_or(error::NO_SUCH_KEY)?;
    let mut stream = door.stream();
    if stream.last().is_some_and(|last| id < last.id) {
        return Err(BELOW_LAST.into());
    }
    if id < stream.max_deleted_id() {
        return Err(BELOW_DELETED.into());
    }
    if !stream.is_empty() && added.is_some_and(|added| added < stream.len()) {
        return Err(FEWER_THAN_LENGTH.into());
    }
    stream.set_last_id(id, added, deleted);
    out.ok();
    Ok(())
}

/// The last COUNT of options that have no other, from `index` on; one below zero counts as zero.
fn count_option(call: &Call<'_>, mut index: usize) -> Result<Option<usize>, Error> {
    let mut count = None;
    while index < call.args.len() {
        if !call.is(index, "count") || index + 1 >= call.args.len() {
            return Err(error::SYNTAX.into());
        }
        count = Some(call.int(index + 1)?.max(0) as usize);
        index += 2;
    }
    Ok(count)
}

pub(super) fn range(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let start = ids::parse_start(call.args.at(2))?;
    let end = ids::parse_end(call.args.at(3))?;
    answer_range(call, out, (start, end), false)
}

pub(super) fn range_back(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let start = ids::parse_start(call.args.at(3))?;
    let end = ids::parse_end(call.args.at(2))?;
    answer_range(call, out, (start, end), true)
}

/// Writes the entries of a range, as many as COUNT allows.
fn answer_range(
    call: &mut Call<'_>,
    out: &mut Writer<'_>,
    (start, end): (StreamId, StreamId),
    is_reverse: bool,
) -> Reply {
    let count = count_option(call, 4)?;
    let key = call.key(1);
    let found = lookup::read_as(call, key, View::stream)?;
    let Some(stream) = found else {
        out.array(0);
        return Ok(());
    };
    if count == Some(0) {
        out.null_array();
        return Ok(());
    }
    let asked = Asked {
        start,
        end,
        is_reverse,
        count: count.unwrap_or(usize::MAX),
    };
    if steps::is_long(stream, &asked) {
        return Err(steps::begin(call, 1, asked, Vec::new(), None));
    }
    if is_reverse {
        write_walk(out, stream.range_back(start, end).take(asked.count));
    } else {
        write_walk(out, stream.range(start, end).take(asked.count));
    }
    Ok(())
}

/// Writes the entries of a walk.
pub(super) fn write_walk<'s>(
    out: &mut Writer<'_>,
    walk: impl Iterator<Item = store::StreamEntry<'s>>,
) {
    let mut written = 0;
    let array = out.deferred_array();
    for entry in walk {
        ids::write_entry(out, &entry);
        written += 1;
    }
    out.finish(array, written);
}
