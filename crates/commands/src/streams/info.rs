//! XINFO: what a stream, its groups and its consumers are made of.
//! Never a change, and never more entries than COUNT asks for.
//! Source: redis-server 7 for the fields and their order, 7.2 for those of consumers.

use super::groups::{no_such_group, subcommand_syntax, write_lines};
use super::ids;
use crate::{Call, Error, Reply, error, lookup};
use resp::Writer;
use store::{Consumer, ConsumerId, Group, Millis, Stream, StreamId, View};

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
fn write_progress(out: &mut Writer<'_>, stream: &Stream, group: &Group) {
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
            out.map(9);
            write_figures(out, stream);
            out.bulk(b"entries");
            let mut written = 0;
            let array = out.deferred_array();
            for entry in stream.range(StreamId::MIN, StreamId::MAX).take(count_max) {
                ids::write_entry(out, &entry);
                written += 1;
            }
            out.finish(array, written);
            out.bulk(b"groups");
            out.array(stream.groups().len());
            stream
                .groups()
                .for_each(|group| write_group(out, stream, group, count_max));
        }
    }
    Ok(())
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

fn write_group(out: &mut Writer<'_>, stream: &Stream, group: &Group, count_max: usize) {
    out.map(7);
    out.bulk(b"name");
    out.bulk(group.name());
    write_progress(out, stream, group);
    out.bulk(b"pel-count");
    out.int(group.pending_len() as i64);
    out.bulk(b"pending");
    out.array(group.pending_len().min(count_max));
    for pending in group.pending_from(StreamId::MIN).take(count_max) {
        out.array(4);
        ids::write(out, pending.id);
        out.bulk(group.consumer(pending.consumer).name());
        out.int(pending.delivered.0);
        out.int(pending.deliveries as i64);
    }
    out.bulk(b"consumers");
    out.array(group.consumers().len());
    for (id, consumer) in group.consumers() {
        write_consumer(out, group, id, consumer, count_max);
    }
}

fn write_consumer(
    out: &mut Writer<'_>,
    group: &Group,
    id: ConsumerId,
    consumer: &Consumer,
    count_max: usize,
) {
    out.map(5);
    out.bulk(b"name");
    out.bulk(consumer.name());
    out.bulk(b"seen-time");
    out.int(consumer.seen.0);
    out.bulk(b"active-time");
    out.int(consumer.active.map_or(-1, |Millis(active)| active));
    out.bulk(b"pel-count");
    out.int(consumer.pending_len() as i64);
    out.bulk(b"pending");
    out.array(consumer.pending_len().min(count_max));
    for pending in group.pending_of(id, StreamId::MIN).take(count_max) {
        out.array(3);
        ids::write(out, pending.id);
        out.int(pending.delivered.0);
        out.int(pending.deliveries as i64);
    }
}
