//! Owns a node: up to a hundred neighbouring entries in one block.
//! Never happens here: the order of nodes, or the account of their bytes.
//! Source: Redis' stream nodes, where the first entry's ID and field names are stored once; the layout is our own.
//!
//! The block starts with the length of the master fields, their number and their names. Each entry is
//! `[length of the rest and two flags][ms above the first ID][seq][fields]`: `seq` counts from the first ID's within its
//! millisecond; `fields` are values alone where the names are the master fields, else a number and names and values in turn.

use super::items::{is_text, item_len, number_len, put_item, put_number, take_item, take_number};
use crate::content::StreamId;
use crate::value::Value;
use memory::heap::SparsePages;
use memory::heap::good_size;

/// The entry was deleted.
const DELETED: u64 = 1;
/// The names are the master fields.
const SAME_FIELDS: u64 = 2;
const FLAG_BITS: u32 = 2;
/// Entries that a node without a limit takes: twice as many are still a number of 32 bits.
const TAKEN_MAX: u32 = u32::MAX / 2;

/// Limits of a node, as the options `stream-node-max-bytes` and `stream-node-max-entries` give them; 0 is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeLimits {
    /// No entry is added to a node that would reach this many bytes.
    pub bytes_max: usize,
    /// No entry is added to a node that has taken this many.
    pub entries_max: usize,
}

impl Default for NodeLimits {
    fn default() -> NodeLimits {
        NodeLimits {
            bytes_max: 4096,
            entries_max: 100,
        }
    }
}

/// Some neighbouring entries.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The first ID it took.
    first: StreamId,
    data: Vec<u8>,
    /// Entries it took, deleted ones too.
    taken: u32,
    /// Entries in the block, deleted ones too.
    slots: u32,
    live: u32,
}

/// An entry of a stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamEntry<'a> {
    /// Its ID.
    pub id: StreamId,
    fields: Fields<'a>,
}

impl<'a> StreamEntry<'a> {
    /// Its fields: name and value.
    pub fn fields(&self) -> Fields<'a> {
        self.fields
    }
}

/// The fields of an entry, names and values; knows how many are to come.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    /// Names, where they are stored apart from the values.
    names: Option<&'a [u8]>,
    rest: &'a [u8],
    count: usize,
}

impl<'a> Iterator for Fields<'a> {
    type Item = (Value<'a>, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.count = self.count.checked_sub(1)?;
        let name = match &mut self.names {
            Some(names) => split_item(names),
            None => split_item(&mut self.rest),
        };
        Some((name, split_item(&mut self.rest)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count, Some(self.count))
    }
}

impl ExactSizeIterator for Fields<'_> {}

fn split_item<'a>(bytes: &mut &'a [u8]) -> Value<'a> {
    let mut at = 0;
    let item = take_item(bytes, &mut at);
    *bytes = &bytes[at..];
    item
}

/// What a walk over a node's entries meets.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    /// Where it starts.
    at: usize,
    /// Where its fields start.
    fields_at: usize,
    /// Where the next one starts.
    pub(super) end: usize,
    pub(super) id: StreamId,
    pub(super) is_live: bool,
    has_same_fields: bool,
}

impl Node {
    /// A node with room for `room_bytes` whose master fields are those of its first entry, which is still to be added.
    pub(super) fn starting_with<'a>(
        id: StreamId,
        fields: impl Iterator<Item = &'a [u8]> + Clone,
        room_bytes: usize,
    ) -> Node {
        let names = fields.step_by(2);
        let count = names.clone().count() as u64;
        let names_len: usize = names.clone().map(item_len).sum();
        let master_len = number_len(count) + names_len;
        let head_len = number_len(master_len as u64) + master_len;
        let mut data = Vec::with_capacity(good_size(room_bytes.max(head_len)));
        put_number(&mut data, master_len as u64);
        put_number(&mut data, count);
        names.for_each(|name| put_item(&mut data, name));
        Node {
            first: id,
            data,
            taken: 0,
            slots: 0,
            live: 0,
        }
    }

    pub(super) fn first_id(&self) -> StreamId {
        self.first
    }

    /// Entries that are not deleted.
    pub(super) fn live(&self) -> usize {
        self.live as usize
    }

    /// Moves the node's block if it lies in a sparse page. Returns the bytes that were moved.
    pub(super) fn relocate(&mut self, sparse: &SparsePages) -> usize {
        sparse.relocate_vec(&mut self.data)
    }

    /// Bytes of its block as the allocator rounds them.
    pub(super) fn heap_bytes(&self) -> usize {
        good_size(self.data.capacity())
    }

    /// Bytes in use of its block.
    pub(super) fn data_bytes(&self) -> usize {
        self.data.len()
    }

    /// Whether an entry with fields of this many bytes would pass the limits.
    pub(super) fn is_full(&self, fields_bytes: usize, limits: NodeLimits) -> bool {
        (limits.bytes_max != 0 && self.data.len() + fields_bytes >= limits.bytes_max)
            || (limits.entries_max != 0 && self.taken as usize >= limits.entries_max)
            || self.taken == TAKEN_MAX
    }

    /// Appends an entry; `id` is above all IDs here.
    pub(super) fn add<'a>(
        &mut self,
        id: StreamId,
        fields: impl Iterator<Item = &'a [u8]> + Clone,
        limits: NodeLimits,
    ) {
        let ms_delta = id.ms - self.first.ms;
        let seq_base = if ms_delta == 0 { self.first.seq } else { 0 };
        let seq = id.seq - seq_base;
        let is_same = self.has_names(fields.clone().step_by(2));
        let count = fields.clone().count() as u64 / 2;
        let fields_len: usize = if is_same {
            fields.clone().skip(1).step_by(2).map(item_len).sum()
        } else {
            number_len(count) + fields.clone().map(item_len).sum::<usize>()
        };
        let rest_len = number_len(ms_delta) + number_len(seq) + fields_len;
        let flags = if is_same { SAME_FIELDS } else { 0 };
        let head = (rest_len as u64) << FLAG_BITS | flags;
        self.reserve(number_len(head) + rest_len, limits);
        put_number(&mut self.data, head);
        put_number(&mut self.data, ms_delta);
        put_number(&mut self.data, seq);
        if is_same {
            fields
                .skip(1)
                .step_by(2)
                .for_each(|value| put_item(&mut self.data, value));
        } else {
            put_number(&mut self.data, count);
            fields.for_each(|text| put_item(&mut self.data, text));
        }
        self.taken += 1;
        self.slots += 1;
        self.live += 1;
    }

    /// Makes room by half as much again, not beyond the limit of a node unless one entry takes more.
    fn reserve(&mut self, more: usize, limits: NodeLimits) {
        let (len, capacity) = (self.data.len(), self.data.capacity());
        let needed = len + more;
        if needed <= capacity {
            return;
        }
        let generous = capacity + capacity / 2;
        let wanted = if limits.bytes_max == 0 {
            generous
        } else {
            generous.min(limits.bytes_max)
        };
        self.data.reserve_exact(good_size(wanted.max(needed)) - len);
    }

    fn has_names<'a>(&self, mut names: impl Iterator<Item = &'a [u8]>) -> bool {
        let (count, mut master) = self.master();
        let all_same = (0..count).all(|_| {
            names
                .next()
                .is_some_and(|name| is_text(split_item(&mut master), name))
        });
        all_same && names.next().is_none()
    }

    /// How many master fields there are, and their names.
    fn master(&self) -> (usize, &[u8]) {
        let mut at = 0;
        let master_len = take_number(&self.data, &mut at) as usize;
        let end = at + master_len;
        let count = take_number(&self.data, &mut at) as usize;
        (count, &self.data[at..end])
    }

    /// Where the first slot starts.
    pub(super) fn start(&self) -> usize {
        let mut at = 0;
        let master_len = take_number(&self.data, &mut at) as usize;
        at + master_len
    }

    /// The slot that starts at `at`; nothing at the end.
    #[inline]
    pub(super) fn slot(&self, at: usize) -> Option<Slot> {
        if at >= self.data.len() {
            return None;
        }
        let mut next = at;
        let head = take_number(&self.data, &mut next);
        let end = next + (head >> FLAG_BITS) as usize;
        let ms_delta = take_number(&self.data, &mut next);
        let seq = take_number(&self.data, &mut next);
        let seq_base = if ms_delta == 0 { self.first.seq } else { 0 };
        Some(Slot {
            at,
            fields_at: next,
            end,
            id: StreamId {
                ms: self.first.ms + ms_delta,
                seq: seq_base + seq,
            },
            is_live: head & DELETED == 0,
            has_same_fields: head & SAME_FIELDS != 0,
        })
    }

    /// The first live slot from `at` on with this ID or a later one.
    pub(super) fn seek(&self, mut at: usize, id: StreamId) -> Option<Slot> {
        while let Some(slot) = self.slot(at) {
            if slot.is_live && slot.id >= id {
                return Some(slot);
            }
            at = slot.end;
        }
        None
    }

    /// The entry in a slot.
    pub(super) fn entry(&self, slot: &Slot) -> StreamEntry<'_> {
        let fields = if slot.has_same_fields {
            let (count, names) = self.master();
            Fields {
                names: Some(names),
                rest: &self.data[slot.fields_at..slot.end],
                count,
            }
        } else {
            let mut at = slot.fields_at;
            let count = take_number(&self.data, &mut at) as usize;
            Fields {
                names: None,
                rest: &self.data[at..slot.end],
                count,
            }
        };
        StreamEntry {
            id: slot.id,
            fields,
        }
    }

    /// Where each live slot up to `end` starts, in rising order.
    pub(super) fn live_offsets(&self, end: StreamId, offsets: &mut Vec<usize>) {
        let mut at = self.start();
        while let Some(slot) = self.slot(at).filter(|slot| slot.id <= end) {
            if slot.is_live {
                offsets.push(at);
            }
            at = slot.end;
        }
    }

    /// The last ID here, deleted or not.
    pub(super) fn last_id(&self) -> StreamId {
        let (mut at, mut id) = (self.start(), self.first);
        while let Some(slot) = self.slot(at) {
            (at, id) = (slot.end, slot.id);
        }
        id
    }

    /// Marks a live slot as deleted.
    pub(super) fn delete(&mut self, slot: &Slot) {
        debug_assert!(slot.is_live);
        // The lowest bits of a number are in its first byte.
        self.data[slot.at] |= DELETED as u8;
        self.live -= 1;
    }

    /// Deletes live entries from the front as long as `goes` says so; tells how many.
    pub(super) fn trim(&mut self, mut goes: impl FnMut(StreamId) -> bool) -> usize {
        let (mut at, before) = (self.start(), self.live());
        while let Some(slot) = self.slot(at) {
            if slot.is_live {
                if !goes(slot.id) {
                    break;
                }
                self.delete(&slot);
            }
            at = slot.end;
        }
        before - self.live()
    }

    /// Drops deleted entries once they are most of the block.
    pub(super) fn compact(&mut self) {
        if self.live * 2 > self.slots {
            return;
        }
        let start = self.start();
        let mut kept_len = start;
        self.each_live(|bytes| kept_len += bytes.len());
        let mut kept = Vec::with_capacity(good_size(kept_len));
        kept.extend_from_slice(&self.data[..start]);
        self.each_live(|bytes| kept.extend_from_slice(bytes));
        self.data = kept;
        self.slots = self.live;
    }

    fn each_live(&self, mut take: impl FnMut(&[u8])) {
        let mut at = self.start();
        while let Some(slot) = self.slot(at) {
            if slot.is_live {
                take(&self.data[slot.at..slot.end]);
            }
            at = slot.end;
        }
    }

    /// Gives back room that no further entry will take.
    pub(super) fn seal(&mut self) {
        if good_size(self.data.len()) < self.heap_bytes() {
            // A fresh block: shrinking in place would keep half of the old one.
            let mut exact = Vec::with_capacity(good_size(self.data.len()));
            exact.extend_from_slice(&self.data);
            self.data = exact;
        }
    }
}
