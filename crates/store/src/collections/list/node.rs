//! Owns a node of a large list: a pack of elements, or one element too large to be packed.
//! Never happens here: the order of nodes, and the account; whoever changes a node compares its capacity.
//! Source: the nodes of Redis' quicklist, with growth by doubling up to the node's limit.

use super::{FRAME_BYTES_MAX, ListLimits};
use crate::pack;
use memory::heap::SparsePages;
use memory::heap::good_size;

/// What a new pack asks for at first; it grows by doubling.
const FIRST_CAPACITY_BYTES: usize = 64;

/// A pack stores the number of its elements in its first two bytes.
const PACK_HEADER_BYTES: usize = 2;

/// Elements that lie together.
#[derive(Debug)]
pub(super) struct Node {
    bytes: Vec<u8>,
    len: u32,
    plain: bool,
}

/// What a block of `capacity` bytes takes from the allocator.
pub(super) fn rounded(capacity: usize) -> usize {
    if capacity == 0 {
        0
    } else {
        good_size(capacity)
    }
}

impl Node {
    /// A node of one element.
    pub(super) fn of(text: &[u8], limits: ListLimits) -> Node {
        if limits.is_too_large_to_pack(text) {
            return Node {
                bytes: text.to_vec(),
                len: 1,
                plain: true,
            };
        }
        let mut node = Node {
            bytes: pack::new(),
            len: 0,
            plain: false,
        };
        node.push_back(text, limits);
        node
    }

    /// A node that takes over a pack of at least one element.
    pub(super) fn from_pack(bytes: Vec<u8>) -> Node {
        let len = pack::len(&bytes) as u32;
        debug_assert!(len > 0, "a node has elements");
        Node {
            bytes,
            len,
            plain: false,
        }
    }

    /// The pack, or `None` where the node is one large element.
    pub(super) fn into_pack(self) -> Option<Vec<u8>> {
        (!self.plain).then_some(self.bytes)
    }

    /// Number of elements.
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether the node is one element that is not packed.
    pub(super) fn is_plain(&self) -> bool {
        self.plain
    }

    /// The pack, or the element itself where the node is plain.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Moves the node's block if it lies in a sparse page. Returns the bytes that were moved.
    pub(super) fn relocate(&mut self, sparse: &SparsePages) -> usize {
        sparse.relocate_vec(&mut self.bytes)
    }

    /// Bytes asked of the allocator.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Whether an element fits in without going past a limit.
    pub(super) fn has_room(&self, text: &[u8], limits: ListLimits) -> bool {
        !self.plain
            && self.len() < limits.node_elements
            && !limits.is_too_large_to_pack(text)
            && (self.bytes.len() + text.len() + FRAME_BYTES_MAX <= limits.node_bytes
                || self.bytes.len() + pack::stored_len(text) <= limits.node_bytes)
    }

    /// Makes room for an element: twice what there was, but not past the limit of a node unless that is needed.
    fn reserve(&mut self, text: &[u8], limits: ListLimits) {
        if self.bytes.capacity() - self.bytes.len() >= text.len() + FRAME_BYTES_MAX {
            return;
        }
        let needed = self.bytes.len() + pack::stored_len(text);
        if needed > self.bytes.capacity() {
            let doubled = (2 * self.bytes.capacity()).max(FIRST_CAPACITY_BYTES);
            let capacity = doubled.min(limits.node_bytes).max(needed);
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
    }

    pub(super) fn push_back(&mut self, text: &[u8], limits: ListLimits) {
        self.reserve(text, limits);
        pack::push(&mut self.bytes, text);
        self.len += 1;
    }

    pub(super) fn push_front(&mut self, text: &[u8], limits: ListLimits) {
        self.reserve(text, limits);
        pack::insert(&mut self.bytes, PACK_HEADER_BYTES, text);
        self.len += 1;
    }

    /// Inserts before the element at `index`, which is below `len`.
    pub(super) fn insert(&mut self, index: usize, text: &[u8], limits: ListLimits) {
        self.reserve(text, limits);
        let at = self.offset(index);
        pack::insert(&mut self.bytes, at, text);
        self.len += 1;
    }

    /// Where the element at `index` lies in the bytes; 0 in a plain node.
    pub(super) fn offset(&self, index: usize) -> usize {
        debug_assert!(index < self.len(), "an element of the node");
        if self.plain {
            return 0;
        }
        pack::nth(&self.bytes, index as i64).expect("the node counts its elements")
    }

    /// Puts another text in the place of an element, if it fits in; says whether it did.
    pub(super) fn replace(&mut self, index: usize, text: &[u8], limits: ListLimits) -> bool {
        if self.plain || limits.is_too_large_to_pack(text) {
            if self.len == 1 {
                *self = Node::of(text, limits);
                return true;
            }
            return false;
        }
        let at = self.offset(index);
        let end = pack::next(&self.bytes, at).unwrap_or(self.bytes.len());
        let (old, new) = (end - at, pack::stored_len(text));
        if self.len > 1 && self.bytes.len() - old + new > limits.node_bytes {
            return false;
        }
        if new > old {
            self.reserve(text, limits);
        }
        pack::replace(&mut self.bytes, at, text);
        true
    }

    /// Removes `count` elements from `index` on, but not all of the node's.
    pub(super) fn remove(&mut self, index: usize, count: usize) {
        debug_assert!(count < self.len(), "whoever empties a node drops it");
        let at = self.offset(index);
        pack::remove(&mut self.bytes, at, count);
        self.len -= count as u32;
    }

    /// Takes the elements from `index` on into a node of their own; `index` is neither 0 nor `len`.
    pub(super) fn split(&mut self, index: usize) -> Node {
        debug_assert!(index > 0 && index < self.len());
        let at = self.offset(index);
        let moved = self.len() - index;
        let mut bytes = Vec::with_capacity(PACK_HEADER_BYTES + self.bytes.len() - at);
        bytes.extend_from_slice(&header(moved));
        bytes.extend_from_slice(&self.bytes[at..]);
        self.bytes.truncate(at);
        self.set_len(index);
        Node {
            bytes,
            len: moved as u32,
            plain: false,
        }
    }

    /// Whether the elements of `next` may be appended to this node. A quarter of a node stays free, so that the next insertion
    /// does not split it again.
    pub(super) fn may_absorb(&self, next: &Node, limits: ListLimits) -> bool {
        let bytes = self.bytes.len() + next.bytes.len() - PACK_HEADER_BYTES.min(next.bytes.len());
        !self.plain
            && !next.plain
            && bytes <= limits.node_bytes / 4 * 3
            && self.len() + next.len() <= limits.node_elements
    }

    /// Appends the elements of `next`.
    pub(super) fn absorb(&mut self, next: &Node) {
        let more = &next.bytes[PACK_HEADER_BYTES..];
        self.bytes.reserve_exact(more.len());
        self.bytes.extend_from_slice(more);
        self.set_len(self.len() + next.len());
    }

    /// How many elements equal `text`, but all of them or the first `count_max`, the last `count_max` if `from_tail`.
    /// Leaves their offsets in `found`, in rising order.
    pub(super) fn find_equal(
        &self,
        text: &[u8],
        count_max: usize,
        from_tail: bool,
        found: &mut Vec<usize>,
    ) {
        found.clear();
        if self.plain {
            if self.bytes == text {
                found.push(0);
            }
            return;
        }
        let mut from = pack::first(&self.bytes);
        while let Some(start) = from
            && (from_tail || found.len() < count_max)
        {
            let Some(at) = pack::find(&self.bytes, text, start, 0) else {
                break;
            };
            found.push(at);
            from = pack::next(&self.bytes, at);
        }
        if found.len() > count_max {
            found.drain(..found.len() - count_max);
        }
    }

    /// Removes the elements at these offsets, which rise and are not all; every byte moves once.
    pub(super) fn remove_at(&mut self, offsets: &[usize]) {
        debug_assert!(offsets.len() < self.len() && !self.plain);
        let Some(&first) = offsets.first() else {
            return;
        };
        let (mut written, mut removed) = (first, offsets.iter().peekable());
        while let Some(&at) = removed.next() {
            let from = pack::next(&self.bytes, at).unwrap_or(self.bytes.len());
            let to = removed.peek().map_or(self.bytes.len(), |&&at| at);
            // What follows is read before it is written over: bytes only move to the front.
            self.bytes.copy_within(from..to, written);
            written += to - from;
        }
        self.bytes.truncate(written);
        self.set_len(self.len() - offsets.len());
    }

    /// Gives back what the node does not use, where the allocator gains by it.
    pub(super) fn shrink(&mut self) {
        if rounded(self.bytes.len()) < rounded(self.bytes.capacity()) {
            self.bytes.shrink_to_fit();
        }
    }

    fn set_len(&mut self, len: usize) {
        self.len = len as u32;
        self.bytes[..PACK_HEADER_BYTES].copy_from_slice(&header(len));
    }

    /// Asserts that the kept number of elements is right.
    pub(super) fn check(&self) {
        if self.plain {
            assert_eq!(self.len, 1);
        } else {
            assert!(pack::check(&self.bytes));
            assert_eq!(pack::len(&self.bytes), self.len());
            assert!(self.len > 0);
        }
    }
}

/// How a pack tells its number of elements; counts beyond are found by walking.
fn header(len: usize) -> [u8; PACK_HEADER_BYTES] {
    (len.min(0xffff) as u16).to_le_bytes()
}
