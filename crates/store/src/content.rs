//! Owns values as plain data outside of any shard: what travels between shards, and what DUMP and RESTORE speak of.
//! Never happens here: storage, or the account of a key; content may go to any thread.
//! Source: the six kinds of values of Redis, each as the sequence of its elements.
#![forbid(unsafe_code)]

use memory::heap::travel::vec_bytes;

use crate::value::{Kind, Millis};

/// Byte strings, one after the other in one block.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Strings {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Strings {
    /// None, with room for so many that take so many bytes together.
    pub fn with_room(count: usize, text_bytes: usize) -> Strings {
        Strings {
            bytes: Vec::with_capacity(text_bytes),
            ends: Vec::with_capacity(count),
        }
    }

    /// Appends a string.
    pub fn push(&mut self, string: &[u8]) {
        self.bytes.extend_from_slice(string);
        self.ends.push(self.bytes.len());
    }

    /// Bytes of its blocks on the heap, as the allocator rounds them.
    pub fn heap_bytes(&self) -> usize {
        vec_bytes(&self.bytes) + vec_bytes(&self.ends)
    }

    /// Bytes of all strings together.
    pub fn text_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// How many strings there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The string at `index`, which is below [`Strings::len`].
    pub fn at(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    /// All strings in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &[u8]> + ExactSizeIterator + '_ {
        (0..self.len()).map(|index| self.at(index))
    }
}

impl<'a> FromIterator<&'a [u8]> for Strings {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(strings: I) -> Strings {
        let mut all = Strings::default();
        strings.into_iter().for_each(|string| all.push(string));
        all
    }
}

/// A value as plain data.
#[derive(Clone, PartialEq, Debug)]
pub enum Content {
    /// A string; integers as their text.
    String(Vec<u8>),
    /// Elements from head to tail.
    List(Strings),
    /// Members, each once, in no order.
    Set(Strings),
    /// Fields and values in turn.
    Hash {
        /// Field, value, field, value, and so on; each field once.
        pairs: Strings,
        /// When each field expires; empty if none does.
        expiries: Vec<Option<Millis>>,
    },
    /// Members, each once, with their scores; none is NaN.
    Zset {
        /// The members.
        members: Strings,
        /// The score of each.
        scores: Vec<f64>,
    },
    /// A stream with its groups.
    Stream(StreamContent),
}

impl Content {
    /// How many elements it has: members, fields, or elements of a list; 1 for what has none.
    pub fn elements(&self) -> usize {
        match self {
            Content::List(elements) | Content::Set(elements) => elements.len(),
            Content::Hash { pairs, .. } => pairs.len() / 2,
            Content::Zset { members, .. } => members.len(),
            Content::String(_) | Content::Stream(_) => 1,
        }
    }

    /// The type of the value.
    pub fn kind(&self) -> Kind {
        match self {
            Content::String(_) => Kind::String,
            Content::List(_) => Kind::List,
            Content::Set(_) => Kind::Set,
            Content::Hash { .. } => Kind::Hash,
            Content::Zset { .. } => Kind::Zset,
            Content::Stream(_) => Kind::Stream,
        }
    }

    /// Bytes of its blocks on the heap, its own left out.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Content::String(bytes) => vec_bytes(bytes),
            Content::List(strings) | Content::Set(strings) => strings.heap_bytes(),
            Content::Hash { pairs, expiries } => pairs.heap_bytes() + vec_bytes(expiries),
            Content::Zset { members, scores } => members.heap_bytes() + vec_bytes(scores),
            Content::Stream(stream) => stream.heap_bytes(),
        }
    }
}

/// The ID of a stream's entry: milliseconds, and a number within the millisecond.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct StreamId {
    /// Unix time in milliseconds, as a rule.
    pub ms: u64,
    /// Number within the millisecond.
    pub seq: u64,
}

impl StreamId {
    /// The smallest ID, 0-0.
    pub const MIN: StreamId = StreamId { ms: 0, seq: 0 };
    /// The largest ID.
    pub const MAX: StreamId = StreamId {
        ms: u64::MAX,
        seq: u64::MAX,
    };
}

/// A stream as plain data.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StreamContent {
    /// Entries in rising order of their IDs, each with fields and values in turn.
    pub entries: Vec<(StreamId, Strings)>,
    /// The last ID that was given out.
    pub last_id: StreamId,
    /// The largest ID that was deleted.
    pub max_deleted_id: StreamId,
    /// Entries added over the stream's life.
    pub entries_added: u64,
    /// Consumer groups.
    pub groups: Vec<GroupContent>,
}

impl StreamContent {
    fn heap_bytes(&self) -> usize {
        let entry_bytes = |(_, pairs): &(StreamId, Strings)| pairs.heap_bytes();
        let entries_bytes: usize = self.entries.iter().map(entry_bytes).sum();
        let groups_bytes: usize = self.groups.iter().map(GroupContent::heap_bytes).sum();
        vec_bytes(&self.entries) + entries_bytes + vec_bytes(&self.groups) + groups_bytes
    }
}

impl GroupContent {
    fn heap_bytes(&self) -> usize {
        let names = self.consumers.iter().map(|one| vec_bytes(&one.name));
        vec_bytes(&self.name)
            + vec_bytes(&self.consumers)
            + names.sum::<usize>()
            + vec_bytes(&self.pending)
    }
}

/// A consumer group.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GroupContent {
    /// Its name.
    pub name: Vec<u8>,
    /// The last ID delivered to it.
    pub last_id: StreamId,
    /// Entries read, where that is known.
    pub entries_read: Option<u64>,
    /// Its consumers.
    pub consumers: Vec<ConsumerContent>,
    /// Entries delivered and not acknowledged, in rising order of IDs.
    pub pending: Vec<PendingContent>,
}

/// A consumer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ConsumerContent {
    /// Its name.
    pub name: Vec<u8>,
    /// When it last tried to read or claim.
    pub seen: Millis,
    /// When it last got an entry; `None` if it never did.
    pub active: Option<Millis>,
}

/// An entry that was delivered and not acknowledged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PendingContent {
    /// The entry.
    pub id: StreamId,
    /// Index of its consumer in the group's list.
    pub consumer: usize,
    /// When it was last delivered.
    pub delivered: Millis,
    /// How often it was delivered.
    pub deliveries: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_back_as_they_went_in() {
        let texts: [&[u8]; 4] = [b"one", b"", b"\0\xff", b"four"];
        let strings: Strings = texts.into_iter().collect();
        assert_eq!((strings.len(), strings.is_empty()), (4, false));
        assert!(strings.iter().eq(texts));
        assert!(strings.iter().rev().eq(texts.into_iter().rev()));
        assert_eq!(strings.at(2), b"\0\xff");
    }
}
