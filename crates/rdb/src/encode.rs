//! Owns writing the body of a payload: one layout for each type of value.
//! Never compresses, and never writes a layout that redis-server 7.0 could not read but for what it does not have.
//! Source: the RDB format.

use store::{Content, Millis, Strings, canonical_int};

use crate::kind;
use crate::listpack::Builder;
use crate::stream_encode::stream;
use crate::writing::{len, raw, string};

/// Bytes of a list's node, unless it is one larger element.
const NODE_BYTES_MAX: usize = 8 << 10;
/// Bytes from which on an element is not put into a listpack, which has an end at 4 GiB.
const PLAIN_BYTES_MIN: usize = 1 << 30;
/// The largest set of integers that is written as one sorted block, as Redis keeps it by default.
pub const INT_SET_MEMBERS_MAX: usize = 512;

/// About how many bytes the body of a value takes; a stream's grows as it is written.
pub(crate) fn bytes_expected(content: &Content) -> usize {
    /// What most elements have before them.
    const HEAD_BYTES: usize = 2;
    /// The most that a string has before it.
    const HEAD_BYTES_MAX: usize = 9;
    let strings = |strings: &Strings| strings.text_bytes() + HEAD_BYTES * strings.len();
    match content {
        Content::String(text) => text.len() + HEAD_BYTES_MAX,
        Content::List(elements) | Content::Set(elements) => strings(elements),
        Content::Hash { pairs, expiries } => strings(pairs) + size_of_val(&expiries[..]),
        Content::Zset { members, scores } => strings(members) + size_of_val(&scores[..]),
        Content::Stream(_) => 0,
    }
}

/// Appends the type and what follows it; answers the type.
pub(crate) fn value(content: &Content, out: &mut Vec<u8>) -> u8 {
    match content {
        Content::String(text) => {
            out.push(kind::STRING);
            string(text, out);
        }
        Content::List(elements) => {
            out.push(kind::LIST_QUICKLIST_2);
            list(elements, PLAIN_BYTES_MIN, out);
        }
        Content::Set(members) => match sorted_integers(members) {
            Some(integers) => {
                out.push(kind::SET_INTSET);
                int_set(&integers, out);
            }
            None => {
                out.push(kind::SET);
                len(members.len() as u64, out);
                members.iter().for_each(|member| string(member, out));
            }
        },
        Content::Hash { pairs, expiries } if expiries.iter().all(Option::is_none) => {
            out.push(kind::HASH);
            len(pairs.len() as u64 / 2, out);
            pairs.iter().for_each(|text| string(text, out));
        }
        Content::Hash { pairs, expiries } => {
            out.push(kind::HASH_METADATA);
            hash_with_expiries(pairs, expiries, out);
        }
        Content::Zset { members, scores } => {
            out.push(kind::ZSET_2);
            len(members.len() as u64, out);
            for (member, score) in members.iter().zip(scores) {
                scored(member, *score, out);
            }
        }
        Content::Stream(content) => {
            out.push(kind::STREAM_LISTPACKS_3);
            stream(content, kind::STREAM_LISTPACKS_3, out);
        }
    }
    out[0]
}

/// Appends a list as nodes, where elements of `plain_bytes_min` are nodes by themselves.
pub(crate) fn list(elements: &Strings, plain_bytes_min: usize, out: &mut Vec<u8>) {
    let (mut nodes, mut bytes) = (Nodes::new(plain_bytes_min), Vec::new());
    for element in elements.iter() {
        nodes.push(element, &mut bytes);
    }
    nodes.end(&mut bytes);
    len(nodes.count, out);
    out.extend_from_slice(&bytes);
}

/// The nodes of a list, to be written behind their number.
pub(crate) struct Nodes {
    plain_bytes_min: usize,
    packed: Builder,
    /// How many there are.
    pub(crate) count: u64,
}

impl Default for Nodes {
    fn default() -> Nodes {
        Nodes::new(PLAIN_BYTES_MIN)
    }
}

impl Nodes {
    fn new(plain_bytes_min: usize) -> Nodes {
        Nodes {
            plain_bytes_min,
            packed: Builder::new(),
            count: 0,
        }
    }

    /// Adds an element, and writes the nodes that are whole.
    pub(crate) fn push(&mut self, element: &[u8], out: &mut Vec<u8>) {
        // The encoding, the length and the back length of an element, and the end of the node.
        const FRAME_BYTES_MAX: usize = 5 + 5 + 1;
        let is_plain = element.len() >= self.plain_bytes_min;
        let is_full = self.packed.len() + element.len() + FRAME_BYTES_MAX > NODE_BYTES_MAX;
        if is_plain || is_full {
            self.end(out);
        }
        if is_plain {
            self.write(kind::NODE_PLAIN, element, out);
        } else {
            self.packed.push(element);
        }
    }

    /// Writes the last node.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>) {
        let node = std::mem::replace(&mut self.packed, Builder::new());
        if !node.is_empty() {
            self.write(kind::NODE_PACKED, &node.finish(), out);
        }
    }

    fn write(&mut self, layout: u64, node: &[u8], out: &mut Vec<u8>) {
        self.count += 1;
        len(layout, out);
        raw(node, out);
    }
}

/// Appends a member of a sorted set.
pub(crate) fn scored(member: &[u8], score: f64, out: &mut Vec<u8>) {
    string(member, out);
    out.extend_from_slice(&score.to_le_bytes());
}

/// The members in order if they are few and all integers.
fn sorted_integers(members: &Strings) -> Option<Vec<i64>> {
    if members.len() > INT_SET_MEMBERS_MAX {
        return None;
    }
    let integers: Option<Vec<i64>> = members.iter().map(canonical_int).collect();
    integers.map(|mut integers| {
        integers.sort_unstable();
        integers
    })
}

/// Appends a set of integers, all as wide as the widest must be.
fn int_set(integers: &[i64], out: &mut Vec<u8>) {
    let fits = |bits: u32| {
        let bound = 1i64 << (bits - 1);
        integers
            .iter()
            .all(|integer| (-bound..bound).contains(integer))
    };
    let width: u32 = match () {
        () if fits(16) => 2,
        () if fits(32) => 4,
        () => 8,
    };
    let mut block = Vec::with_capacity(8 + width as usize * integers.len());
    block.extend_from_slice(&width.to_le_bytes());
    block.extend_from_slice(&(integers.len() as u32).to_le_bytes());
    for integer in integers {
        block.extend_from_slice(&integer.to_le_bytes()[..width as usize]);
    }
    raw(&block, out);
}

/// Appends the earliest expiry, and each field behind its own, counted from there: 0 is none, 1 the earliest.
fn hash_with_expiries(pairs: &Strings, expiries: &[Option<Millis>], out: &mut Vec<u8>) {
    debug_assert_eq!(expiries.len(), pairs.len() / 2);
    let earliest = expiries.iter().flatten().min().map_or(0, moment);
    out.extend_from_slice(&earliest.to_le_bytes());
    len(expiries.len() as u64, out);
    for (index, expiry) in expiries.iter().enumerate() {
        let (field, value) = (pairs.at(2 * index), pairs.at(2 * index + 1));
        expiring((field, value), *expiry, earliest, out);
    }
}

/// A time as it is written. Time 0 would say that there is none; both are long past.
pub(crate) fn moment(expiry: &Millis) -> u64 {
    expiry.0.max(1) as u64
}

/// Appends a field behind its expiry, counted from the earliest.
pub(crate) fn expiring(
    (field, value): (&[u8], &[u8]),
    expiry: Option<Millis>,
    earliest: u64,
    out: &mut Vec<u8>,
) {
    len(expiry.map_or(0, |at| moment(&at) - earliest + 1), out);
    string(field, out);
    string(value, out);
}
