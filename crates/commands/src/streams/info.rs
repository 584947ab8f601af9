//! XINFO: what a stream, its groups and its consumers are made of.
//! Never a change, and never more entries than COUNT asks for.
//! Source: redis-server 7 for the fields and their order, 7.2 for those of consumers.

use super::entries::write_walk;
use super::full::Groups;
use super::groups::{no_such_group, subcommand_syntax, write_lines};
use super::ids;
use super::steps::{self, Asked};
use crate::reading;
use crate::{Call, Error, Reply, error, lookup};
use resp::Writer;
use store::{Group, Stream, StreamId, View};

const HELP: &[&str] = &[
    "XINFO <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CONSUMERS <key> <group>",
    "    Lists the group's consumers.",
    "GROUPS <key>",
    "    Lists the stream's groups.",
    "STREAM <key> [FULL [COUNT <count>]]",
    "    Describes the stream; FULL with entries, groups and what is pending.",
    "HELP",
    "    Prints this text.",
];

fn read_stream<'c>(call: &'c mut Call<'_>) -> Result<&'c Stream, Error> {
    let key = call.key(2);
    let found = lookup::read_as(call, key, View::stream)?;
    found.ok_or_else(|| error::NO_SUCH_KEY.into())
}

pub(super) fn help(_: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    write_lines(out, HELP);
    Ok(())
}

pub(super) fn groups(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let stream = read_stream(call)?;
    out.array(stream.groups().len());
    for group in stream.groups() {
        out.map(6);
        out.bulk(b"name");
        out.bulk(group.name());
        out.bulk(b"consumers");
        out.int(group.consumers().len() as i64);
        out.bulk(b"pending");
        out.int(group.pending_len() as i64);
        write_progress(out, stream, group);
    }
    Ok(())
}

/// Three pairs: up to where a group has come.
pub(super) fn write_progress(out: &mut Writer<'_>, stream: &Stream, group: &Group) {
    out.bulk(b"last-delivered-id");
    ids::write(out, group.last_id());
    out.bulk(b"entries-read");
    write_known(out, group.entries_read().map(|read| read as i64));
    out.bulk(b"lag");
    write_known(out, stream.lag(group));
}

fn write_known(out: &mut Writer<'_>, figure: Option<i64>) {
    match figure {
        Some(figure) => out.int(figure),
        None => out.null(),
    }
}

pub(super) fn consumers(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (key, name, now) = (call.args.at(2), call.args.at(3), call.now());
    let stream = read_stream(call)?;
    let group = stream
        .group_index(name)
        .ok_or_else(|| no_such_group(key, name))?;
    let consumers = stream.group(group).consumers();
    out.array(consumers.len());
    for (_, consumer) in consumers {
        out.map(4);
        out.bulk(b"name");
        out.bulk(consumer.name());
        out.bulk(b"pending");
        out.int(consumer.pending_len() as i64);
        out.bulk(b"idle");
        out.int(now.since(consumer.seen).max(0));
        out.bulk(b"inactive");
        out.int(
            consumer
                .active
                .map_or(-1, |active| now.since(active).max(0)),
        );
    }
    Ok(())
}

/// How many entries FULL shows of each kind; `None` is without a limit.
fn full_count(call: &Call<'_>) -> Result<Option<usize>, Error> {
    const DEFAULT: i64 = 10;
    let argc = call.args.len();
    let has_count = argc == 6 && call.is(4, "count");
    if !call.is(3, "full") || !(argc == 4 || has_count) {
        return Err(subcommand_syntax(call, "XINFO"));
    }
    let count = if has_count { call.int(5)? } else { DEFAULT };
    Ok(match count {
        0 => None,
        ..0 => Some(DEFAULT as usize),
        count => Some(count as usize),
    })
}

pub(super) fn stream(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let full = (call.args.len() > 3).then(|| full_count(call));
    let stream = read_stream(call)?;
    match full {
        None => {
            out.map(10);
            write_figures(out, stream);
            out.bulk(b"groups");
            out.int(stream.groups().len() as i64);
            for (name, entry) in [
                ("first-entry", stream.first()),
                ("last-entry", stream.last()),
            ] {
                out.bulk(name.as_bytes());
                match entry {
                    Some(entry) => ids::write_entry(out, &entry),
                    None => out.null(),
                }
            }
        }
        Some(count) => {
            let count_max = count?.unwrap_or(usize::MAX);
            if is_long(stream, count_max) {
                return Err(full_in_steps(call, count_max));
            }
            begin_full(out, stream);
            let entries = stream.range(StreamId::MIN, StreamId::MAX);
            write_walk(out, entries.take(count_max));
            let mut groups = Groups::new(count_max);
            while groups.read(stream, out) {}
        }
    }
    Ok(())
}

/// Writes what stands before the entries of a full description.
fn begin_full(out: &mut Writer<'_>, stream: &Stream) {
    out.map(9);
    write_figures(out, stream);
    out.bulk(b"entries");
}

/// Whether a full description is long.
fn is_long(stream: &Stream, count_max: usize) -> bool {
    let entries = usize::try_from(stream.len()).unwrap_or(usize::MAX);
    let pending = || stream.groups().map(Group::pending_len);
    reading::is_long(stream.bytes(), || {
        let shown = pending().map(|pending| pending.min(count_max));
        let shown: usize = shown.sum();
        let all: usize = pending().sum();
        (entries.min(count_max) + 2 * shown, entries + 2 * all)
    })
}

/// Has a full description be made in steps.
#[cold]
fn full_in_steps(call: &mut Call<'_>, count_max: usize) -> Error {
    let (key, db, now) = (call.key(2), call.db, call.now());
    let view = call.core.shard.view_beside(db, key, now);
    let stream = view.and_then(|view| view.stream());
    let mut head = Vec::new();
    let out = &mut Writer::new(&mut head, call.proto);
    begin_full(out, stream.expect("it was found just now"));
    let asked = Asked {
        start: StreamId::MIN,
        end: StreamId::MAX,
        is_reverse: false,
        count: count_max,
    };
    steps::begin(call, 2, asked, head, Some(Groups::new(count_max)))
}

/// Seven pairs: the figures of a stream.
fn write_figures(out: &mut Writer<'_>, stream: &Stream) {
    out.bulk(b"length");
    out.int(stream.len() as i64);
    out.bulk(b"radix-tree-keys");
    out.int(stream.nodes() as i64);
    out.bulk(b"radix-tree-nodes");
    // There is no radix tree: its nodes are counted as one a key and a root.
    out.int(stream.nodes() as i64 + 1);
    out.bulk(b"last-generated-id");
    ids::write(out, stream.last_id());
    out.bulk(b"max-deleted-entry-id");
    ids::write(out, stream.max_deleted_id());
    out.bulk(b"entries-added");
    out.int(stream.entries_added() as i64);
    out.bulk(b"recorded-first-entry-id");
    ids::write(out, stream.first().map_or(StreamId::MIN, |entry| entry.id));
}
