//! Owns streams: entries in the order of their IDs, consumer groups, and what groups have delivered and not seen acknowledged.
//! Never happens here: a clock, or a refusal that a client sees; commands check and then call.
//! Source: Redis' streams as of 7.2, whose nodes, counters and estimates these follow; trees are counted B+trees.
//!
//! A stream lies whole on the heap. Its bytes are kept as it changes; the struct itself is its owner's to count.
#![forbid(unsafe_code)]

mod convert;
mod copy;
mod directory;
mod group;
mod items;
mod node;
mod range;
#[cfg(test)]
mod tests;

pub use copy::StreamCopy;
pub use group::{Consumer, ConsumerId, Group, PendingEntry};
pub use node::{Fields, NodeLimits, StreamEntry};
pub use range::{Backward, Forward};

use crate::collections::HeapPlace;
use crate::content::StreamId;
use crate::index::Passed;
use crate::value::Millis;
use directory::Directory;
use group::Groups;
use memory::heap::SparsePages;
use node::Node;

/// A stream.
#[derive(Default)]
pub struct Stream {
    nodes: Directory,
    len: u64,
    last_id: StreamId,
    max_deleted_id: StreamId,
    entries_added: u64,
    groups: Groups,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Stream")
            .field("len", &self.len)
            .field("last_id", &self.last_id)
            .finish_non_exhaustive()
    }
}

/// What a trim keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// At most this many entries, the latest.
    Newest(u64),
    /// Entries with this ID and above.
    From(StreamId),
}

/// How a stream is trimmed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trim {
    /// What stays.
    pub keep: Keep,
    /// Whether only whole nodes go, so that a little more may stay.
    pub whole_nodes: bool,
    /// The most entries that may go; `None` is no limit.
    pub entries_max: Option<u64>,
}

impl StreamId {
    /// The ID right above; nothing above the largest.
    pub fn next(self) -> Option<StreamId> {
        match (self.ms, self.seq) {
            (ms, seq) if seq < u64::MAX => Some(StreamId { ms, seq: seq + 1 }),
            (ms, _) if ms < u64::MAX => Some(StreamId { ms: ms + 1, seq: 0 }),
            _ => None,
        }
    }

    /// The ID right below; nothing below the smallest.
    pub fn prev(self) -> Option<StreamId> {
        match (self.ms, self.seq) {
            (ms, seq) if seq > 0 => Some(StreamId { ms, seq: seq - 1 }),
            (ms, _) if ms > 0 => Some(StreamId {
                ms: ms - 1,
                seq: u64::MAX,
            }),
            _ => None,
        }
    }
}

/// Entries.
impl Stream {
    /// An empty stream; nothing is allocated before the first entry or group.
    pub fn new() -> Stream {
        Stream::default()
    }

    /// How many entries there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no entries; there may be groups.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many nodes the entries lie in.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// The last ID that was given out, or set.
    pub fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// The largest ID that was deleted one by one; trimming does not count.
    pub fn max_deleted_id(&self) -> StreamId {
        self.max_deleted_id
    }

    /// Entries added over the stream's life.
    pub fn entries_added(&self) -> u64 {
        self.entries_added
    }

    /// The ID for an entry that is added now: the time, or the one after the last where the clock is behind.
    /// Nothing when IDs are used up.
    pub fn next_id(&self, now: Millis) -> Option<StreamId> {
        let ms = now.0.max(0) as u64;
        if ms > self.last_id.ms {
            Some(StreamId { ms, seq: 0 })
        } else {
            self.last_id.next()
        }
    }

    /// Appends an entry; `fields` are names and values in turn, `id` is above [`Stream::last_id`].
    pub fn add<'a>(
        &mut self,
        id: StreamId,
        fields: impl Iterator<Item = &'a [u8]> + Clone,
        limits: NodeLimits,
    ) {
        assert!(id > self.last_id, "IDs rise");
        self.append(id, fields, limits);
        self.last_id = id;
        self.entries_added = self.entries_added.saturating_add(1);
    }

    fn append<'a>(
        &mut self,
        id: StreamId,
        fields: impl Iterator<Item = &'a [u8]> + Clone,
        limits: NodeLimits,
    ) {
        let fields_bytes = fields.clone().map(<[u8]>::len).sum();
        let last = self.nodes.last();
        let open = last.filter(|&last| !self.nodes.at(last).is_full(fields_bytes, limits));
        let place = open.unwrap_or_else(|| {
            // A node will probably become as large as the one before it.
            let mut room_bytes = 0;
            if let Some(last) = last {
                self.nodes.edit(last, Node::seal);
                room_bytes = self.nodes.at(last).data_bytes().min(limits.bytes_max);
            }
            let node = Node::starting_with(id, fields.clone(), room_bytes);
            self.nodes.push(node);
            self.nodes.last().expect("it was pushed")
        });
        self.nodes.edit(place, |node| node.add(id, fields, limits));
        self.len += 1;
    }

    /// The entry with this ID.
    pub fn entry(&self, id: StreamId) -> Option<StreamEntry<'_>> {
        self.range(id, id).next()
    }

    /// Entries from `start` to `end`, both included, in rising order.
    pub fn range(&self, start: StreamId, end: StreamId) -> Forward<'_> {
        Forward::new(&self.nodes, start, end)
    }

    /// Entries from `end` down to `start`, both included.
    pub fn range_back(&self, start: StreamId, end: StreamId) -> Backward<'_> {
        Backward::new(&self.nodes, start, end)
    }

    /// About how many entries [`Stream::range`] shows: nodes are counted, and taken for equally full.
    pub fn about(&self, start: StreamId, end: StreamId) -> usize {
        let nodes = self.nodes.len().max(1);
        let entries = self.nodes.between(start, end) as u128 * u128::from(self.len);
        usize::try_from(entries.div_ceil(nodes as u128)).unwrap_or(usize::MAX)
    }

    /// The first entry.
    pub fn first(&self) -> Option<StreamEntry<'_>> {
        self.range(StreamId::MIN, StreamId::MAX).next()
    }

    /// The last entry.
    pub fn last(&self) -> Option<StreamEntry<'_>> {
        self.range_back(StreamId::MIN, StreamId::MAX).next()
    }

    /// Deletes an entry; whether there was one.
    pub fn delete(&mut self, id: StreamId) -> bool {
        let Some(place) = self.nodes.find(id) else {
            return false;
        };
        let node = self.nodes.at(place);
        let slot = node.seek(node.start(), id).filter(|slot| slot.id == id);
        let Some(slot) = slot else {
            return false;
        };
        if node.live() == 1 {
            self.nodes.remove(place);
        } else {
            self.nodes.edit(place, |node| {
                node.delete(&slot);
                node.compact();
            });
        }
        self.len -= 1;
        self.max_deleted_id = self.max_deleted_id.max(id);
        true
    }

    /// Deletes entries from the front; tells how many.
    pub fn trim(&mut self, trim: Trim) -> u64 {
        let len_before = self.len;
        while let Some(place) = self.nodes.first() {
            if matches!(trim.keep, Keep::Newest(most) if self.len <= most) {
                break;
            }
            let node = self.nodes.at(place);
            let live = node.live() as u64;
            if trim
                .entries_max
                .is_some_and(|most| len_before - self.len + live > most)
            {
                break;
            }
            let goes_whole = match trim.keep {
                Keep::Newest(most) => self.len - live >= most,
                Keep::From(id) => node.last_id() < id,
            };
            if goes_whole {
                self.nodes.remove(place);
                self.len -= live;
                continue;
            }
            if !trim.whole_nodes {
                self.trim_within(place, trim.keep);
            }
            break;
        }
        len_before - self.len
    }

    /// Trims the first node, of which something stays.
    fn trim_within(&mut self, place: directory::Place, keep: Keep) {
        let mut surplus = match keep {
            Keep::Newest(most) => self.len - most,
            Keep::From(_) => u64::MAX,
        };
        let goes = |id| match keep {
            Keep::Newest(_) => {
                let goes = surplus > 0;
                surplus = surplus.saturating_sub(1);
                goes
            }
            Keep::From(start) => id < start,
        };
        let gone = self.nodes.edit(place, |node| {
            let gone = node.trim(goes);
            node.compact();
            gone
        });
        self.len -= gone as u64;
        if self.nodes.at(place).live() == 0 {
            self.nodes.remove(place);
        }
    }

    /// Sets the last ID, and the counters where they are given. The caller has checked them against the entries.
    pub fn set_last_id(
        &mut self,
        last_id: StreamId,
        entries_added: Option<u64>,
        max_deleted_id: Option<StreamId>,
    ) {
        self.last_id = last_id;
        self.entries_added = entries_added.unwrap_or(self.entries_added);
        self.max_deleted_id = max_deleted_id.unwrap_or(self.max_deleted_id);
    }
}

/// Groups. A group is named by its index, which holds until a group is created or destroyed.
impl Stream {
    /// All groups, by name.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = &Group> {
        self.groups.iter()
    }

    /// The index of the group with this name.
    pub fn group_index(&self, name: &[u8]) -> Option<usize> {
        self.groups.find(name).ok()
    }

    /// The group at an index.
    pub fn group(&self, index: usize) -> &Group {
        self.groups.at(index)
    }

    /// Changes the group at an index.
    pub fn edit_group<R>(&mut self, index: usize, change: impl FnOnce(&mut Group) -> R) -> R {
        self.groups.edit(index, change)
    }

    /// Creates a group that was delivered everything up to `last_id`; whether there was none of this name.
    pub fn create_group(
        &mut self,
        name: &[u8],
        last_id: StreamId,
        entries_read: Option<u64>,
    ) -> bool {
        self.groups.create(name, last_id, entries_read)
    }

    /// Takes a group out, as a stream that has nothing else; `None` if there is no such group.
    pub fn take_group(&mut self, name: &[u8]) -> Option<Stream> {
        let groups = self.groups.take(name)?;
        Some(Stream {
            groups,
            ..Stream::default()
        })
    }

    /// Delivers entries above the group's last ID to a consumer, at most `count`, and shows each to `each`; they become
    /// pending if `keeps` says so. Tells how many there were.
    pub fn deliver(
        &mut self,
        group: usize,
        consumer: ConsumerId,
        count: usize,
        keeps: Option<Millis>,
        mut each: impl FnMut(StreamEntry<'_>),
    ) -> usize {
        let Some(start) = self.group(group).last_id().next() else {
            return 0;
        };
        let first_id = self.first_id();
        let counters = self.counters(first_id);
        let walk = Forward::new(&self.nodes, start, StreamId::MAX).take(count);
        self.groups.edit(group, |group| {
            let mut delivered = 0;
            for entry in walk {
                let read = counters.read_after(group, entry.id);
                group.set_last_id(entry.id, read);
                if let Some(now) = keeps {
                    group.assign(entry.id, consumer, now, 1);
                }
                each(entry);
                delivered += 1;
            }
            delivered
        })
    }

    /// Delivers once more what a consumer has pending above an ID, at most `count` of it; deleted entries count but stay
    /// as they are.
    pub fn deliver_again(
        &mut self,
        group: usize,
        consumer: ConsumerId,
        (above, count): (StreamId, usize),
        now: Millis,
    ) {
        let (mut above, mut left) = (Some(above), count);
        while left > 0
            && let Some(start) = above.and_then(StreamId::next)
            && let Some(pending) = self.group(group).next_pending_of(consumer, start)
        {
            if self.entry(pending.id).is_some() {
                let deliveries = pending.deliveries.saturating_add(1);
                self.groups.edit(group, |group| {
                    group.assign(pending.id, consumer, now, deliveries)
                });
            }
            (above, left) = (Some(pending.id), left - 1);
        }
    }

    /// How many entries a group has still to read, where that can be told. Below zero when a client has set the counters
    /// so that it has read more than there ever were.
    pub fn lag(&self, group: &Group) -> Option<i64> {
        let counters = self.counters(self.first_id());
        let read = match group.entries_read() {
            _ if self.entries_added == 0 => Some(0),
            Some(read) if !counters.has_deleted_from(group.last_id()) => Some(read),
            _ => counters.distance_to(group.last_id()),
        };
        read.map(|read| self.entries_added.wrapping_sub(read) as i64)
    }

    fn first_id(&self) -> StreamId {
        self.first().map_or(StreamId::MIN, |entry| entry.id)
    }

    fn counters(&self, first_id: StreamId) -> Counters {
        Counters {
            len: self.len,
            first_id,
            last_id: self.last_id,
            max_deleted_id: self.max_deleted_id,
            entries_added: self.entries_added,
        }
    }
}

/// What estimates of a group's progress are made of.
#[derive(Clone, Copy)]
struct Counters {
    len: u64,
    /// The first entry's; the smallest without entries.
    first_id: StreamId,
    last_id: StreamId,
    max_deleted_id: StreamId,
    entries_added: u64,
}

impl Counters {
    /// Whether an entry with this ID or above was deleted one by one while an earlier one is still there.
    fn has_deleted_from(&self, id: StreamId) -> bool {
        self.len > 0
            && self.max_deleted_id > StreamId::MIN
            && self.max_deleted_id >= self.first_id
            && id <= self.max_deleted_id
    }

    /// How many entries were ever added up to `id`, where that can be told.
    fn distance_to(&self, id: StreamId) -> Option<u64> {
        if self.entries_added == 0 {
            return Some(0);
        }
        if self.len == 0 && id <= self.last_id || id == self.last_id {
            return Some(self.entries_added);
        }
        if id > self.last_id {
            return None;
        }
        let is_whole = self.max_deleted_id == StreamId::MIN || self.max_deleted_id < self.first_id;
        let before_first = self.entries_added.saturating_sub(self.len);
        match id.cmp(&self.first_id) {
            std::cmp::Ordering::Less if is_whole => Some(before_first),
            std::cmp::Ordering::Equal if is_whole => Some(before_first.saturating_add(1)),
            _ => None,
        }
    }

    /// How many entries a group has read after it was delivered the entry with this ID.
    fn read_after(&self, group: &Group, id: StreamId) -> Option<u64> {
        match group.entries_read() {
            Some(read) if !self.has_deleted_from(id) => Some(read.saturating_add(1)),
            read if self.entries_added == 0 => read,
            _ => self.distance_to(id),
        }
    }
}

/// Bytes.
impl Stream {
    /// Bytes of all its heap blocks as the allocator rounds them, without the struct itself. Kept, not counted.
    pub fn bytes(&self) -> u64 {
        (self.nodes.bytes() + self.groups.bytes()) as u64
    }

    /// As [`Stream::bytes`], by a full walk.
    pub fn recount_bytes(&self) -> u64 {
        (self.nodes.recount_bytes() + self.groups.recount_bytes()) as u64
    }

    /// Moves nodes out of sparse pages of the heap, from `at` on, looking at about so many. Returns what it did and whether
    /// there is more. What groups hold stays where it is.
    pub(crate) fn relocate(
        &mut self,
        sparse: &SparsePages,
        at: &mut HeapPlace,
        budget: usize,
    ) -> (Passed, bool) {
        self.nodes.relocate(sparse, at, budget)
    }

    /// Frees up to `budget` nodes and nodes of trees; whether more is left. Nothing else may be asked afterwards but
    /// [`Stream::bytes`] and this.
    pub fn free_step(&mut self, budget: usize) -> bool {
        self.nodes.free_step(budget) || self.groups.free_step(budget)
    }
}
