//! Owns writing streams: nodes of entries, counters, consumer groups and what they have pending.
//! Never writes a deleted entry.
//! Source: the RDB format and the stream nodes of Redis.

use store::{GroupContent, StreamContent, StreamId, Strings};

use crate::kind;
use crate::listpack::Builder;
use crate::writing::{len, raw, string};

/// Entries and bytes of a node, as Redis has them by default.
const NODE_ENTRIES_MAX: usize = 100;
const NODE_BYTES_MAX: usize = 4096;
/// About what an element of a node takes over its text.
const ELEMENT_BYTES: usize = 2;

/// Appends a stream in a layout of 7.0 or later.
pub(crate) fn stream(stream: &StreamContent, layout: u8, out: &mut Vec<u8>) {
    debug_assert_ne!(layout, kind::STREAM_LISTPACKS);
    let (mut count, mut bytes, mut rest) = (0, Vec::new(), &stream.entries[..]);
    while !rest.is_empty() {
        let taken = entries_of_node(rest);
        node(&rest[..taken], &mut bytes);
        (count, rest) = (count + 1, &rest[taken..]);
    }
    len(count, out);
    out.extend_from_slice(&bytes);
    let first = stream.entries.first().map(|(id, _)| *id);
    behind_entries(stream, (stream.entries.len() as u64, first), layout, out);
}

/// Appends what follows the nodes, of so many entries and with this first one.
pub(crate) fn behind_entries(
    stream: &StreamContent,
    (entries, first): (u64, Option<StreamId>),
    layout: u8,
    out: &mut Vec<u8>,
) {
    len(entries, out);
    id_as_lengths(stream.last_id, out);
    id_as_lengths(first.unwrap_or_default(), out);
    id_as_lengths(stream.max_deleted_id, out);
    len(stream.entries_added, out);
    len(stream.groups.len() as u64, out);
    for content in &stream.groups {
        group(content, layout, out);
    }
}

fn id_as_lengths(id: StreamId, out: &mut Vec<u8>) {
    len(id.ms, out);
    len(id.seq, out);
}

/// An ID as it sorts: big-endian.
fn id_bytes(id: StreamId) -> [u8; 16] {
    (u128::from(id.ms) << 64 | u128::from(id.seq)).to_be_bytes()
}

/// How many of these entries, of which there is one, make the first node: all of them, if it is not full.
fn entries_of_node(entries: &[(StreamId, Strings)]) -> usize {
    let mut filling = Filling::default();
    let next = entries
        .iter()
        .position(|(_, pairs)| filling.overflows(pairs));
    next.unwrap_or(entries.len())
}

/// How full a node is.
#[derive(Default)]
pub(crate) struct Filling {
    entries: usize,
    bytes: usize,
}

impl Filling {
    /// Adds an entry. Whether it is the first of another node, as it has no room in this one.
    pub(crate) fn overflows(&mut self, pairs: &Strings) -> bool {
        let taken: usize = pairs.iter().map(|text| text.len() + ELEMENT_BYTES).sum();
        let is_full = self.entries == NODE_ENTRIES_MAX || self.bytes + taken > NODE_BYTES_MAX;
        let overflows = is_full && self.entries > 0;
        if overflows {
            *self = Filling::default();
        }
        self.entries += 1;
        self.bytes += taken;
        overflows
    }
}

fn fields(pairs: &Strings) -> impl ExactSizeIterator<Item = &[u8]> {
    (0..pairs.len() / 2).map(|index| pairs.at(2 * index))
}

/// Appends a node: the ID that its entries count from, the fields of the first, the entries. Those with
/// the fields of the first leave them out.
pub(crate) fn node(entries: &[(StreamId, Strings)], out: &mut Vec<u8>) {
    /// Elements of an entry without its fields and values: flags and ID, and the number of fields.
    const OTHERS: i64 = 3;
    const OTHERS_WITH_FIELDS: i64 = 4;
    let (base, first) = &entries[0];
    raw(&id_bytes(*base), out);
    let mut node = Builder::new();
    node.push_int(entries.len() as i64);
    node.push_int(0);
    node.push_int(fields(first).len() as i64);
    fields(first).for_each(|field| node.push(field));
    node.push_int(0);
    for (id, pairs) in entries {
        let has_same_fields = fields(first).eq(fields(pairs));
        node.push_int(if has_same_fields {
            kind::ENTRY_SAME_FIELDS
        } else {
            0
        });
        node.push_int(id.ms.wrapping_sub(base.ms) as i64);
        node.push_int(id.seq.wrapping_sub(base.seq) as i64);
        if has_same_fields {
            (0..pairs.len() / 2).for_each(|index| node.push(pairs.at(2 * index + 1)));
            node.push_int(pairs.len() as i64 / 2 + OTHERS);
        } else {
            node.push_int(pairs.len() as i64 / 2);
            pairs.iter().for_each(|text| node.push(text));
            node.push_int(pairs.len() as i64 + OTHERS_WITH_FIELDS);
        }
    }
    raw(&node.finish(), out);
}

fn group(group: &GroupContent, layout: u8, out: &mut Vec<u8>) {
    const NEVER: i64 = -1;
    string(&group.name, out);
    id_as_lengths(group.last_id, out);
    len(group.entries_read.unwrap_or(u64::MAX), out);
    len(group.pending.len() as u64, out);
    let mut owned = vec![Vec::new(); group.consumers.len()];
    for entry in &group.pending {
        out.extend_from_slice(&id_bytes(entry.id));
        out.extend_from_slice(&entry.delivered.0.to_le_bytes());
        len(entry.deliveries, out);
        owned[entry.consumer].push(entry.id);
    }
    len(group.consumers.len() as u64, out);
    for (consumer, owned) in group.consumers.iter().zip(owned) {
        string(&consumer.name, out);
        out.extend_from_slice(&consumer.seen.0.to_le_bytes());
        if layout == kind::STREAM_LISTPACKS_3 {
            let active = consumer.active.map_or(NEVER, |at| at.0);
            out.extend_from_slice(&active.to_le_bytes());
        }
        len(owned.len() as u64, out);
        owned
            .iter()
            .for_each(|id| out.extend_from_slice(&id_bytes(*id)));
    }
}
