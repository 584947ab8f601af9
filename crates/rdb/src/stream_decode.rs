//! Owns reading streams: nodes of entries, counters, consumer groups and what they have pending.
//! Never lets through entries out of order, counts that are wrong, or pending entries without a consumer.
//! Source: the RDB format and the stream nodes of Redis.

use store::{
    ConsumerContent, GroupContent, Millis, PendingContent, StreamContent, StreamId, Strings,
};

use crate::listpack::Elements;
use crate::reader::{Reader, check_distinct};
use crate::{Error, kind};

const ID_BYTES: usize = 16;
/// What the server counts with in 64 bits and goes on counting from.
const COUNT_MAX: u64 = i64::MAX as u64;

/// Reads a stream of one of the three layouts.
pub(crate) fn stream(reader: &mut Reader, layout: u8) -> Result<StreamContent, Error> {
    // The ID of a node, and the frame of its listpack.
    const NODE_BYTES_MIN: usize = 1 + ID_BYTES + 1;
    let mut stream = StreamContent::default();
    for _ in 0..reader.count(NODE_BYTES_MIN)? {
        node(reader, &mut stream.entries)?;
    }
    let count = stream.entries.len() as u64;
    if reader.len()? != count {
        return Err(Error::Format);
    }
    stream.last_id = id_as_lengths(reader)?;
    let newest = stream.entries.last().map(|(id, _)| *id);
    if newest.is_some_and(|newest| newest > stream.last_id) {
        return Err(Error::Format);
    }
    stream.entries_added = count;
    if layout != kind::STREAM_LISTPACKS {
        // The first entry's ID: to be had without its node, which is here.
        id_as_lengths(reader)?;
        stream.max_deleted_id = id_as_lengths(reader)?;
        stream.entries_added = counted(reader)?;
        if stream.entries_added < count {
            return Err(Error::Format);
        }
    }
    // A name, an ID, and how many entries are pending and consumers there.
    const GROUP_BYTES_MIN: usize = 5;
    for _ in 0..reader.count(GROUP_BYTES_MIN)? {
        let group = group(reader, layout, &stream)?;
        stream.groups.push(group);
    }
    check_distinct(stream.groups.iter().map(|group| &group.name[..]))?;
    Ok(stream)
}

/// A number that the server counts on from.
fn counted(reader: &mut Reader) -> Result<u64, Error> {
    match reader.len()? {
        number @ 0..=COUNT_MAX => Ok(number),
        _ => Err(Error::Format),
    }
}

fn id_as_lengths(reader: &mut Reader) -> Result<StreamId, Error> {
    Ok(StreamId {
        ms: reader.len()?,
        seq: reader.len()?,
    })
}

/// An ID as it sorts: big-endian.
fn id_of(bytes: &[u8; ID_BYTES]) -> StreamId {
    let number = u128::from_be_bytes(*bytes);
    StreamId {
        ms: (number >> 64) as u64,
        seq: number as u64,
    }
}

/// Reads a node: the ID that its entries count from, the fields that they share, the entries.
fn node(reader: &mut Reader, entries: &mut Vec<(StreamId, Strings)>) -> Result<(), Error> {
    let key = reader.string()?;
    let base = id_of((&key[..]).try_into().map_err(|_| Error::Format)?);
    let listpack = reader.string()?;
    let mut elements = Elements::new(&listpack)?;
    let live = elements.need_int()?;
    let deleted = elements.need_int()?;
    let shared = field_count(&mut elements, listpack.len())?;
    let mut names = Strings::default();
    let mut names_bytes = 0;
    let mut buffer = itoa::Buffer::new();
    for _ in 0..shared {
        let name = elements.need()?;
        let text = name.text(&mut buffer);
        names_bytes += text.len();
        names.push(text);
    }
    if elements.need_int()? != 0 {
        return Err(Error::Format);
    }
    let (mut live_seen, mut deleted_seen) = (0, 0);
    while let Some(flags) = elements.next() {
        let flags = flags?.int()?;
        if flags & !(kind::ENTRY_DELETED | kind::ENTRY_SAME_FIELDS) != 0 {
            return Err(Error::Format);
        }
        let id = StreamId {
            ms: base.ms.wrapping_add_signed(elements.need_int()?),
            seq: base.seq.wrapping_add_signed(elements.need_int()?),
        };
        let is_deleted = flags & kind::ENTRY_DELETED != 0;
        let pairs = if flags & kind::ENTRY_SAME_FIELDS != 0 {
            reader.expand(names_bytes)?;
            pairs_under(&mut elements, &names)?
        } else {
            pairs_with_fields(&mut elements, listpack.len())?
        };
        if is_deleted {
            deleted_seen += 1;
            continue;
        }
        live_seen += 1;
        let before = entries.last().map_or(StreamId::MIN, |(id, _)| *id);
        if id <= before {
            return Err(Error::Format);
        }
        entries.push((id, pairs));
    }
    if (live, deleted) != (live_seen, deleted_seen) {
        return Err(Error::Format);
    }
    Ok(())
}

/// How many fields follow: at least one, and no more than `bytes` have room for.
fn field_count(elements: &mut Elements, bytes: usize) -> Result<usize, Error> {
    match usize::try_from(elements.need_int()?) {
        Ok(count) if (1..=bytes).contains(&count) => Ok(count),
        _ => Err(Error::Format),
    }
}

/// The values of an entry with the fields of its node, and how many elements it has.
fn pairs_under(elements: &mut Elements, names: &Strings) -> Result<Strings, Error> {
    /// Flags and the two parts of the ID.
    const OTHERS: i64 = 3;
    let mut pairs = Strings::default();
    let mut buffer = itoa::Buffer::new();
    for name in names.iter() {
        pairs.push(name);
        pairs.push(elements.need()?.text(&mut buffer));
    }
    if elements.need_int()? != names.len() as i64 + OTHERS {
        return Err(Error::Format);
    }
    Ok(pairs)
}

/// The fields and values of an entry, and how many elements it has.
fn pairs_with_fields(elements: &mut Elements, bytes: usize) -> Result<Strings, Error> {
    /// Flags, the two parts of the ID, and the number of fields.
    const OTHERS: i64 = 4;
    let count = field_count(elements, bytes)?;
    let mut pairs = Strings::default();
    let mut buffer = itoa::Buffer::new();
    for _ in 0..2 * count {
        pairs.push(elements.need()?.text(&mut buffer));
    }
    if elements.need_int()? != pairs.len() as i64 + OTHERS {
        return Err(Error::Format);
    }
    Ok(pairs)
}

fn group(reader: &mut Reader, layout: u8, stream: &StreamContent) -> Result<GroupContent, Error> {
    // An ID, the time of its delivery, and how often that was.
    const PENDING_BYTES_MIN: usize = ID_BYTES + 8 + 1;
    // A name, one time or two, and how many entries are pending.
    const CONSUMER_BYTES_MIN: usize = 1 + 8 + 1;
    // What no consumer's number is.
    const NOBODY: usize = usize::MAX;

    let name = reader.string()?.into_owned();
    let last_id = id_as_lengths(reader)?;
    let entries_read = if layout == kind::STREAM_LISTPACKS {
        entries_up_to(stream, last_id)
    } else {
        match reader.len()? {
            u64::MAX => None,
            read @ 0..=COUNT_MAX => Some(read),
            _ => return Err(Error::Format),
        }
    };
    let mut pending: Vec<PendingContent> = Vec::new();
    for _ in 0..reader.count(PENDING_BYTES_MIN)? {
        let entry = PendingContent {
            id: id_of(&reader.array()?),
            consumer: NOBODY,
            delivered: Millis(reader.i64()?),
            deliveries: counted(reader)?,
        };
        if pending.last().is_some_and(|before| before.id >= entry.id) {
            return Err(Error::Format);
        }
        pending.push(entry);
    }
    let mut consumers = Vec::new();
    for number in 0..reader.count(CONSUMER_BYTES_MIN)? {
        consumers.push(consumer(reader, layout)?);
        for _ in 0..reader.count(ID_BYTES)? {
            let id = id_of(&reader.array()?);
            let index = pending
                .binary_search_by_key(&id, |entry| entry.id)
                .map_err(|_| Error::Format)?;
            if pending[index].consumer != NOBODY {
                return Err(Error::Format);
            }
            pending[index].consumer = number;
        }
    }
    check_distinct(consumers.iter().map(|consumer| &consumer.name[..]))?;
    if pending.iter().any(|entry| entry.consumer == NOBODY) {
        return Err(Error::Format);
    }
    Ok(GroupContent {
        name,
        last_id,
        entries_read,
        consumers,
        pending,
    })
}

fn consumer(reader: &mut Reader, layout: u8) -> Result<ConsumerContent, Error> {
    const NEVER: i64 = -1;
    let name = reader.string()?.into_owned();
    let seen = Millis(reader.i64()?);
    let active = if layout == kind::STREAM_LISTPACKS_3 {
        Some(reader.i64()?)
            .filter(|active| *active != NEVER)
            .map(Millis)
    } else {
        // The best guess there is.
        Some(seen)
    };
    Ok(ConsumerContent { name, seen, active })
}

/// How many entries there were up to `id`, for a stream that was written without such counts: it counts
/// as one from which nothing was ever deleted. `None` where that cannot be told without walking.
fn entries_up_to(stream: &StreamContent, id: StreamId) -> Option<u64> {
    let Some((first, _)) = stream.entries.first() else {
        return Some(0);
    };
    match id {
        id if id == stream.last_id => Some(stream.entries_added),
        id if id < *first => Some(0),
        id if id == *first => Some(1),
        _ => None,
    }
}
