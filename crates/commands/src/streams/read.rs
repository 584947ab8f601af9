//! XREAD and XREADGROUP, over streams of several shards.
//! Never waits: BLOCK is read and checked, and answered at once, with nil where there is nothing.
//! Source: redis-server 7, `+` of 7.4. Each shard writes what its streams answer before anything changes; once all
//! have agreed, what was shown becomes delivered.

use super::groups::no_group;
use super::ids;
use super::several;
use super::steps::{self, Asked};
use crate::row::{Atomic, Decision};
use crate::steps::Lookups;
use crate::{Call, Error, Part, Reply, error, lookup, reading, reply_limit::ReplyLimit};
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

/// What the streams of a shard have to say: the index of each one's key, what it is, and its bytes.
fn answers_of(part: &Part) -> impl Iterator<Item = (u32, u8, &[u8])> {
    let Part::Elements { bytes, ends } = part else {
        unreachable!("answers were asked for")
    };
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts.zip(ends).map(|(start, &end)| {
        let (head, rest) = bytes[start..end].split_at(HEAD_BYTES);
        let index = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        (index, head[4], rest)
    })
}

/// Makes one reply of all shards' answers, in the order of the keys; the first refusal is the reply. Says whether there
/// is no refusal.
fn merge(parts: &[Part], out: &mut Writer<'_>) -> Reply {
    let mut answers: Vec<_> = parts.iter().flat_map(answers_of).collect();
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

/// Writes entries as an array. How many there were, and the last one's ID.
fn write_entries<'s>(
    out: &mut Writer<'_>,
    entries: impl Iterator<Item = store::StreamEntry<'s>>,
) -> (usize, Option<StreamId>) {
    let (mut written, mut last_id) = (0, None);
    let array = out.deferred_array();
    for entry in entries {
        ids::write_entry(out, &entry);
        last_id = Some(entry.id);
        written += 1;
    }
    out.finish(array, written);
    (written, last_id)
}

fn read_stream<'c>(call: &'c mut Call<'_>, index: usize) -> Result<Option<&'c Stream>, Error> {
    let key = call.other_key(index);
    lookup::read_as(call, key, View::stream)
}

/// The stream under a key, and which of its entries are asked for; nothing where none is.
fn asked_of<'c>(
    call: &'c mut Call<'_>,
    options: &Options<'_>,
    index: usize,
) -> Result<Option<(&'c Stream, Asked)>, Error> {
    let from = options.id_of(&call.args, index);
    let found = read_stream(call, index)?;
    let newest = |stream: &Stream| stream.last().map(|entry| entry.id);
    let start = match from {
        b"$" => None,
        b">" => return Err(NEW_IN_XREAD.into()),
        b"+" => found.and_then(newest),
        id => ids::parse(id, 0)?.next(),
    };
    Ok(found.zip(start).map(|(stream, start)| {
        let asked = Asked {
            start,
            end: StreamId::MAX,
            is_reverse: false,
            count: options.count,
        };
        (stream, asked)
    }))
}

fn prepare_read(call: &mut Call<'_>, part: &mut Part) -> Reply {
    let options = Options::of(call, Command::Read)?;
    let before = lookups(call);
    let (mut is_long, mut entries, mut wanted) = (false, 0, Vec::new());
    let answers = own_answers(call, &options, |call, index, out| {
        let Some((stream, asked)) = asked_of(call, &options, index)? else {
            return Ok(false);
        };
        wanted.push((index, asked));
        is_long = is_long || steps::is_long(stream, &asked);
        if is_long {
            // None is answered here then, but one may be refused.
            return Ok(false);
        }
        let walk = stream.range(asked.start, asked.end).take(asked.count);
        let (written, _) = write_entries(out, walk);
        entries += written;
        is_long = reading::takes_long(entries, out.len() as u64);
        Ok(written > 0)
    })?;
    if is_long && answers_of(&answers).all(|(_, kind, _)| kind != REFUSAL) {
        let after = lookups(call);
        let counted = Lookups {
            hits: after.hits - before.hits,
            misses: after.misses - before.misses,
        };
        let are_all = options.own_keys(call).count() == options.streams;
        return Err(several::begin(call, wanted, counted, are_all));
    }
    *part = answers;
    Ok(())
}

fn lookups(call: &Call<'_>) -> Lookups {
    Lookups {
        hits: call.core.stats.keyspace_hits,
        misses: call.core.stats.keyspace_misses,
    }
}

/// Begins the reply of so many streams.
pub(super) fn begin_answers(out: &mut Writer<'_>, streams: usize) {
    match out.proto() {
        Proto::Resp3 => out.map(streams),
        Proto::Resp2 => out.array(streams),
    }
}

/// Begins what one of them answers: its name and its entries.
pub(super) fn begin_answer(out: &mut Writer<'_>) {
    if out.proto() == Proto::Resp2 {
        out.array(2);
    }
}

fn decide_read(
    call: &mut Call<'_>,
    parts: &mut [Part],
    out: &mut Writer<'_>,
) -> Result<Decision, Error> {
    if parts.iter().any(|part| matches!(part, Part::Answers(_))) {
        put_together(call, parts)?;
    } else {
        merge(parts, out)?;
    }
    Ok(Decision::Abort)
}

/// As [`merge`], where some shards answered in pieces.
fn put_together(call: &mut Call<'_>, parts: &mut [Part]) -> Reply {
    let given_bytes = parts.iter().map(Part::carried_bytes).sum();
    let is_short = |part: &&Part| !matches!(part, Part::Answers(_));
    let short = || parts.iter().filter(is_short).flat_map(answers_of);
    let refusals = short().filter(|(_, kind, _)| *kind == REFUSAL);
    if let Some((_, _, text)) = refusals.min_by_key(|(index, ..)| *index) {
        return Err(Error(text.to_vec().into()));
    }
    let entries = short().filter(|(_, kind, _)| *kind == ENTRIES);
    let mut answers: Vec<_> = entries
        .map(|(index, _, answer)| {
            let mut piece = Vec::new();
            begin_answer(&mut Writer::new(&mut piece, call.proto));
            piece.extend_from_slice(answer);
            (index, vec![piece])
        })
        .collect();
    for part in parts {
        if let Part::Answers(long) = std::mem::take(part) {
            answers.extend(long);
        }
    }
    several::conclude(call, answers, given_bytes);
    Ok(())
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
                let (_, last_id) = write_entries(out, entries);
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
