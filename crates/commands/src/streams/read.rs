//! XREAD and XREADGROUP, over streams of several shards.
//! Never waits: BLOCK is read and checked, and answered at once, with nil where there is nothing.
//! Source: redis-server 7, `+` of 7.4. Each shard writes what its streams answer before anything changes; once all
//! have agreed, what was shown becomes delivered.

use super::groups::no_group;
use super::ids;
use super::steps::{self, Asked};
use crate::row::{Atomic, Decision};
use crate::{Call, Error, Part, Reply, error, lookup, reply_limit::ReplyLimit};
use resp::{Args, Proto, Writer};
use std::collections::HashSet;
use store::{Group, Kind, Stream, StreamId, View};

const UNBALANCED: &str =
    "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.";
const GROUP_IN_XREAD: &str =
    "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.";
const NOACK_IN_XREAD: &str =
    "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.";
const NO_GROUP_OPTION: &str = "ERR Missing GROUP option for XREADGROUP";
const NEW_IN_XREAD: &str = "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> \
<consumer> option.";
const LAST_IN_GROUP: &str = "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history \
of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty \
result set.";
const NEWEST_IN_GROUP: &str = "ERR The + ID is meaningless in the context of XREADGROUP: you want to read the \
history of this consumer by specifying a proper ID, or use the > ID to get new messages. The + ID would just return \
an empty result set.";
const TIMEOUT: &str = "ERR timeout is not an integer or out of range";
const TIMEOUT_NEGATIVE: &str = "ERR timeout is negative";
const TIMEOUT_RANGE: &str = "ERR timeout is out of range";

/// Which of the two commands it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Command {
    Read,
    ReadGroup,
}

/// What the arguments before the streams say.
struct Options<'a> {
    count: usize,
    /// Name of the group, and of the consumer.
    group: Option<(&'a [u8], &'a [u8])>,
    no_ack: bool,
    /// Index of the first key.
    keys_at: usize,
    /// How many streams are read.
    streams: usize,
}

impl<'a> Options<'a> {
    fn of(call: &Call<'a>, command: Command) -> Result<Options<'a>, Error> {
        let args: Args<'a> = call.args;
        let mut options = Options {
            count: usize::MAX,
            group: None,
            no_ack: false,
            keys_at: 0,
            streams: 0,
        };
        let mut index = 1;
        while index < args.len() {
            let more = args.len() - index - 1;
            if call.is(index, "block") && more > 0 {
                index += 1;
                check_timeout(call, index)?;
            } else if call.is(index, "count") && more > 0 {
                index += 1;
                options.count = match call.int(index)? {
                    ..=0 => usize::MAX,
                    count => count as usize,
                };
            } else if call.is(index, "streams") && more > 0 {
                if !more.is_multiple_of(2) {
                    return Err(UNBALANCED.into());
                }
                (options.keys_at, options.streams) = (index + 1, more / 2);
                break;
            } else if call.is(index, "group") && more >= 2 {
                if command == Command::Read {
                    return Err(GROUP_IN_XREAD.into());
                }
                options.group = Some((args.at(index + 1), args.at(index + 2)));
                index += 2;
            } else if call.is(index, "noack") {
                if command == Command::Read {
                    return Err(NOACK_IN_XREAD.into());
                }
                options.no_ack = true;
            } else {
                return Err(error::SYNTAX.into());
            }
            index += 1;
        }
        if options.streams == 0 {
            return Err(error::SYNTAX.into());
        }
        if command == Command::ReadGroup && options.group.is_none() {
            return Err(NO_GROUP_OPTION.into());
        }
        Ok(options)
    }

    /// Indexes of the keys that lie on this core.
    fn own_keys<'c>(&self, call: &'c Call<'_>) -> impl Iterator<Item = usize> + use<'c, '_, 'a> {
        (self.keys_at..self.keys_at + self.streams).filter(|&index| call.owns(index))
    }

    /// The argument that says from where the stream at `index` is read.
    fn id_of(&self, args: &Args<'a>, index: usize) -> &'a [u8] {
        args.at(index + self.streams)
    }
}

fn check_timeout(call: &Call<'_>, index: usize) -> Reply {
    let timeout_ms = call.int(index).map_err(|_| TIMEOUT)?;
    if timeout_ms < 0 {
        return Err(TIMEOUT_NEGATIVE.into());
    }
    match call.now().0.checked_add(timeout_ms) {
        Some(_) => Ok(()),
        None => Err(TIMEOUT_RANGE.into()),
    }
}

/// What one stream has to say, written for its shard's part: the index of its key, what it is, and the reply's bytes.
#[repr(u8)]
enum Answer {
    Nothing,
    Entries,
    Refusal,
}

const NOTHING: u8 = Answer::Nothing as u8;
const ENTRIES: u8 = Answer::Entries as u8;
const REFUSAL: u8 = Answer::Refusal as u8;
/// Index and kind of an answer.
const HEAD_BYTES: usize = 5;

/// Writes the answers of all streams here; `write` writes a stream's entries and says whether there were any.
fn own_answers<'a>(
    call: &mut Call<'a>,
    options: &Options<'a>,
    mut write: impl FnMut(&mut Call<'a>, usize, &mut Writer<'_>) -> Result<bool, Error>,
) -> Result<Part, Error> {
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    let indexes: Vec<usize> = options.own_keys(call).collect();
    // What a stream has to say once is not limited, but one that is named again and again.
    let (mut named, mut again_bytes) = (HashSet::new(), 0);
    for index in indexes {
        let head_at = bytes.len();
        bytes.extend_from_slice(&(index as u32).to_le_bytes());
        bytes.push(NOTHING);
        let (proto, key) = (call.proto, call.args.at(index));
        let mut out = Writer::new(&mut bytes, proto);
        out.bulk(key);
        let kind = match write(call, index, &mut out) {
            Ok(true) => ENTRIES,
            Ok(false) => NOTHING,
            Err(Error(text)) => {
                bytes.truncate(head_at + HEAD_BYTES);
                bytes.extend_from_slice(&text);
                REFUSAL
            }
        };
        if kind == NOTHING {
            bytes.truncate(head_at + HEAD_BYTES);
        }
        bytes[head_at + HEAD_BYTES - 1] = kind;
        ends.push(bytes.len());
        if options.streams > 1 && !named.insert(key) {
            again_bytes += bytes.len() - head_at;
            ReplyLimit::of(call).check(again_bytes)?;
        }
    }
    Ok(Part::Elements { bytes, ends })
}

/// Makes one reply of all shards' answers, in the order of the keys; the first refusal is the reply. Says whether there
/// is no refusal.
fn merge(parts: &[Part], out: &mut Writer<'_>) -> Reply {
    let mut answers: Vec<(u32, u8, &[u8])> = Vec::new();
    for part in parts {
        let Part::Elements { bytes, ends } = part else {
            unreachable!("answers were asked for")
        };
        let mut start = 0;
        for &end in ends {
            let (head, rest) = bytes[start..end].split_at(HEAD_BYTES);
            let index = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
            answers.push((index, head[4], rest));
            start = end;
        }
    }
    answers.sort_by_key(|(index, ..)| *index);
    if let Some((_, _, text)) = answers.iter().find(|(_, kind, _)| *kind == REFUSAL) {
        return Err(Error(text.to_vec().into()));
    }
    answers.retain(|(_, kind, _)| *kind == ENTRIES);
    if answers.is_empty() {
        out.null_array();
        return Ok(());
    }
    begin_answers(out, answers.len());
    for (_, _, answer) in answers {
        begin_answer(out);
        out.raw(answer);
    }
    Ok(())
}

/// Writes entries as an array; whether there were any.
fn write_entries<'s>(
    out: &mut Writer<'_>,
    entries: impl Iterator<Item = store::StreamEntry<'s>>,
) -> Option<StreamId> {
    let (mut written, mut last_id) = (0, None);
    let array = out.deferred_array();
    for entry in entries {
        ids::write_entry(out, &entry);
        last_id = Some(entry.id);
        written += 1;
    }
    out.finish(array, written);
    last_id
}

fn read_stream<'c>(call: &'c mut Call<'_>, index: usize) -> Result<Option<&'c Stream>, Error> {
    let key = call.other_key(index);
    lookup::read_as(call, key, View::stream)
}

fn prepare_read(call: &mut Call<'_>, part: &mut Part) -> Reply {
    let options = Options::of(call, Command::Read)?;
    if options.streams == 1 {
        in_steps_if_long(call, &options)?;
    }
    *part = own_answers(call, &options, |call, index, out| {
        let from = options.id_of(&call.args, index);
        let found = read_stream(call, index)?;
        let above = match from {
            b"$" => return Ok(false),
            b">" => return Err(NEW_IN_XREAD.into()),
            b"+" => {
                let newest = found.and_then(Stream::last);
                return Ok(write_entries(out, newest.into_iter()).is_some());
            }
            id => ids::parse(id, 0)?,
        };
        let (Some(stream), Some(start)) = (found, above.next()) else {
            return Ok(false);
        };
        let entries = stream.range(start, StreamId::MAX).take(options.count);
        Ok(write_entries(out, entries).is_some())
    })?;
    Ok(())
}

/// Has the entries of the only stream be answered in steps where that takes long. Then nobody else has a part in it.
fn in_steps_if_long(call: &mut Call<'_>, options: &Options<'_>) -> Reply {
    let index = options.keys_at;
    let start = ids::parse(options.id_of(&call.args, index), 0).ok();
    let Some(start) = start.and_then(StreamId::next) else {
        return Ok(());
    };
    let asked = Asked {
        start,
        end: StreamId::MAX,
        is_reverse: false,
        count: options.count,
    };
    let (key, db, now) = (call.other_key(index), call.db, call.now());
    let view = call.core.shard.view_beside(db, key, now);
    let stream = view.and_then(|view| view.stream());
    if !stream.is_some_and(|stream| steps::is_long(stream, &asked)) {
        return Ok(());
    }
    // It counts as read, which is counted when it is answered.
    lookup::view(call, key);
    let mut head = Vec::new();
    let mut out = Writer::new(&mut head, call.proto);
    begin_answers(&mut out, 1);
    begin_answer(&mut out);
    out.bulk(key.bytes);
    Err(steps::begin(call, index, asked, head, None))
}

/// Begins the reply of so many streams.
fn begin_answers(out: &mut Writer<'_>, streams: usize) {
    match out.proto() {
        Proto::Resp3 => out.map(streams),
        Proto::Resp2 => out.array(streams),
    }
}

/// Begins what one of them answers: its name and its entries.
fn begin_answer(out: &mut Writer<'_>) {
    if out.proto() == Proto::Resp2 {
        out.array(2);
    }
}

fn decide_read(
    _: &mut Call<'_>,
    parts: &mut [Part],
    out: &mut Writer<'_>,
) -> Result<Decision, Error> {
    merge(parts, out)?;
    Ok(Decision::Abort)
}

fn commit_read(_: &mut Call<'_>, _: &mut Part) {
    unreachable!("reading changes nothing")
}

/// XREAD.
pub(super) const READ: Atomic = Atomic {
    prepare: prepare_read,
    decide: decide_read,
    commit: commit_read,
};

/// From where a consumer reads.
#[derive(Clone, Copy)]
enum From {
    /// What its group was not delivered.
    New,
    /// What it has pending above this ID.
    History(StreamId),
}

fn from_of(text: &[u8]) -> Result<From, Error> {
    match text {
        b">" => Ok(From::New),
        b"$" => Err(LAST_IN_GROUP.into()),
        b"+" => Err(NEWEST_IN_GROUP.into()),
        // The largest ID is how Redis writes `>`.
        id => match ids::parse(id, 0)? {
            StreamId::MAX => Ok(From::New),
            id => Ok(From::History(id)),
        },
    }
}

fn prepare_group(call: &mut Call<'_>, part: &mut Part) -> Reply {
    const CONTEXT: &str = " in XREADGROUP with GROUP option";
    let options = Options::of(call, Command::ReadGroup)?;
    let (group_name, consumer) = options.group.expect("it was looked at");
    // Up to where keys that are named more than once were shown.
    let mut shown: Vec<(&[u8], StreamId)> = Vec::new();
    *part = own_answers(call, &options, |call, index, out| {
        let (key, from) = (call.args.at(index), options.id_of(&call.args, index));
        let found = read_stream(call, index)?;
        let grouped = found.and_then(|stream| {
            let group = stream.group_index(group_name)?;
            Some((stream, stream.group(group)))
        });
        let (stream, group) = grouped.ok_or_else(|| no_group(key, group_name, CONTEXT))?;
        match from_of(from)? {
            From::New => {
                let before = shown.iter().rev().find(|(other, _)| *other == key);
                let above = before.map_or(group.last_id(), |(_, id)| *id);
                let Some(start) = above.next() else {
                    return Ok(false);
                };
                let entries = stream.range(start, StreamId::MAX).take(options.count);
                let last_id = write_entries(out, entries);
                shown.extend(last_id.map(|id| (key, id)));
                Ok(last_id.is_some())
            }
            From::History(id) => {
                write_history(out, stream, group, consumer, (id, options.count));
                Ok(true)
            }
        }
    })?;
    Ok(())
}

/// Writes what a consumer has pending above an ID; of deleted entries the ID alone.
fn write_history(
    out: &mut Writer<'_>,
    stream: &Stream,
    group: &Group,
    consumer: &[u8],
    (above, count): (StreamId, usize),
) {
    let (Some(consumer), Some(start)) = (group.find_consumer(consumer), above.next()) else {
        return out.array(0);
    };
    let own = group.pending_of(consumer, start);
    out.array(own.len().min(count));
    for pending in own.take(count) {
        match stream.entry(pending.id) {
            Some(entry) => ids::write_entry(out, &entry),
            None => {
                out.array(2);
                ids::write(out, pending.id);
                out.null_array();
            }
        }
    }
}

fn decide_group(
    _: &mut Call<'_>,
    parts: &mut [Part],
    out: &mut Writer<'_>,
) -> Result<Decision, Error> {
    merge(parts, out)?;
    Ok(Decision::Commit)
}

fn commit_group(call: &mut Call<'_>, _: &mut Part) {
    let read = "it was read before";
    let options = Options::of(call, Command::ReadGroup).expect(read);
    let (group, consumer) = options.group.expect(read);
    let (args, now) = (call.args, call.now());
    let indexes: Vec<usize> = options.own_keys(call).collect();
    for index in indexes {
        let from = from_of(options.id_of(&args, index)).expect(read);
        let key = call.other_key(index);
        // The key may have ended since.
        let Ok(Some(door)) = lookup::open(call, key, Kind::Stream) else {
            continue;
        };
        let mut stream = door.stream();
        let Some(group) = stream.group_index(group) else {
            continue;
        };
        let consumer = stream.edit_group(group, |group| {
            let (consumer, _) = group.open_consumer(consumer, now);
            group.saw(consumer, now);
            consumer
        });
        match from {
            From::New => {
                let keeps = (!options.no_ack).then_some(now);
                let delivered = stream.deliver(group, consumer, options.count, keeps, |_| {});
                if delivered > 0 && !options.no_ack {
                    stream.edit_group(group, |group| group.served(consumer, now));
                }
            }
            From::History(above) => {
                stream.deliver_again(group, consumer, (above, options.count), now);
            }
        }
    }
}

/// XREADGROUP.
pub(super) const READ_GROUP: Atomic = Atomic {
    prepare: prepare_group,
    decide: decide_group,
    commit: commit_group,
};
