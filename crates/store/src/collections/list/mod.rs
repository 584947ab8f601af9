//! Owns a list in its large form: a deque of packed nodes on the heap, outside of any slab.
//! Never happens here: the packed form's own edits (`edit`), keys, or the account of a shard; `bytes` says what to settle.
//! Source: Redis' quicklist, with blocks of nodes in place of links so that an index and a long list stay cheap.
#![forbid(unsafe_code)]

mod edit;
mod elements;
mod node;
mod skeleton;

use super::{HeapPlace, Thresholds};
use crate::index::Passed;
use crate::pack::{self, IntBuffer};
pub use edit::{ListEdit, ListEnd};
pub use elements::{Elements, ListView};
use memory::heap::SparsePages;
use node::Node;
use skeleton::{Place, Skeleton};

/// Bytes of a node by option -1 to -5.
const NODE_BYTES: [usize; 5] = [4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10];

/// Bytes of a node that is limited by its number of elements.
const NODE_BYTES_BY_COUNT: usize = 8 << 10;

/// Elements of a node are counted in 15 bits by the option's rules.
const NODE_ELEMENTS_MAX: i64 = (1 << 15) - 1;

/// More than an element's own bytes it takes in a pack, at most: its length before it and behind it.
const FRAME_BYTES_MAX: usize = 10;

/// How large a node may be (option `list-max-listpack-size`), and with it a list that is one pack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ListLimits {
    node_bytes: usize,
    node_elements: usize,
}

impl ListLimits {
    /// The limits of a shard's lists.
    pub(crate) fn of(thresholds: &Thresholds) -> ListLimits {
        ListLimits::from_option(thresholds.list_max_listpack_size.into())
    }

    /// The limits by the option's number: -1 to -5 for 4, 8, 16, 32, 64 KiB (smaller numbers as -5), otherwise a number of
    /// elements, at least one, within 8 KiB.
    pub(crate) fn from_option(number: i64) -> ListLimits {
        if number < 0 {
            let index = (number.unsigned_abs() as usize).min(NODE_BYTES.len()) - 1;
            return ListLimits {
                node_bytes: NODE_BYTES[index],
                node_elements: usize::MAX,
            };
        }
        ListLimits {
            node_bytes: NODE_BYTES_BY_COUNT,
            node_elements: number.clamp(1, NODE_ELEMENTS_MAX) as usize,
        }
    }

    /// Whether a text gets a node of its own, not packed.
    fn is_too_large_to_pack(self, text: &[u8]) -> bool {
        text.len() + FRAME_BYTES_MAX >= self.node_bytes
    }
}

/// A large list.
#[derive(Debug, Default)]
pub(crate) struct List {
    skeleton: Skeleton,
}

impl List {
    /// An empty list; it holds no heap block yet.
    pub(crate) fn new() -> List {
        List::default()
    }

    /// A list of a pack's elements; a pack within the limits becomes a node without being copied.
    pub(crate) fn from_pack(pack: Vec<u8>, limits: ListLimits) -> List {
        let mut list = List::new();
        let len = pack::len(&pack);
        if pack.len() <= limits.node_bytes && len <= limits.node_elements {
            if len > 0 {
                let mut node = Node::from_pack(pack);
                node.shrink();
                list.skeleton.push_back(node);
            }
            return list;
        }
        let mut buffer = IntBuffer::new();
        for item in pack::iter(&pack) {
            list.push_back(item.text(&mut buffer), limits);
        }
        list
    }

    /// The elements of a list that should be packed, as a pack; the list is empty afterwards.
    pub(super) fn take_pack(&mut self) -> Vec<u8> {
        let Some(place) = self.skeleton.first() else {
            return pack::new();
        };
        let (node, _) = self.skeleton.remove(place);
        debug_assert!(self.is_empty());
        node.into_pack().expect("a plain node is not to be packed")
    }

    /// Whether the list has shrunk so far that it should be one pack again.
    pub(crate) fn should_be_packed(&self, limits: ListLimits) -> bool {
        let Some(place) = self.skeleton.first() else {
            return true;
        };
        let node = self.skeleton.node(place);
        let (bytes_max, elements_max) = if limits.node_elements == usize::MAX {
            (limits.node_bytes / 2, usize::MAX)
        } else {
            (limits.node_bytes, limits.node_elements / 2)
        };
        self.skeleton.nodes() == 1
            && !node.is_plain()
            && edit::listpack_bytes(node.bytes()) <= bytes_max
            && node.len() <= elements_max
    }

    /// Number of elements.
    pub(crate) fn len(&self) -> usize {
        self.skeleton.len()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Heap bytes the list owns as the allocator rounds them, without the `List` itself. Kept, not counted.
    pub(crate) fn bytes(&self) -> usize {
        self.skeleton.bytes()
    }

    /// Moves nodes out of sparse pages of the heap, from `at` on, looking at about so many. Returns what it did and whether
    /// there is more.
    pub(crate) fn relocate(
        &mut self,
        sparse: &SparsePages,
        at: &mut HeapPlace,
        budget: usize,
    ) -> (Passed, bool) {
        self.skeleton.relocate(sparse, at, budget)
    }

    /// The same by a walk over all nodes.
    pub(crate) fn recount_bytes(&self) -> usize {
        self.skeleton.recount_bytes()
    }

    /// Adds an element before the first.
    pub(crate) fn push_front(&mut self, text: &[u8], limits: ListLimits) {
        let first = self.skeleton.first();
        if let Some(place) = first
            && self.skeleton.node(place).has_room(text, limits)
        {
            self.skeleton
                .edit(place, |node| node.push_front(text, limits));
            return;
        }
        self.skeleton.push_front(Node::of(text, limits));
        let was_first = self.skeleton.first().and_then(|at| self.skeleton.next(at));
        self.shrink_inner(was_first);
    }

    /// Adds an element behind the last.
    pub(crate) fn push_back(&mut self, text: &[u8], limits: ListLimits) {
        let last = self.skeleton.last();
        if let Some(place) = last
            && self.skeleton.node(place).has_room(text, limits)
        {
            self.skeleton
                .edit(place, |node| node.push_back(text, limits));
            return;
        }
        self.skeleton.push_back(Node::of(text, limits));
        self.shrink_inner(last);
    }

    /// Inserts before the element at `index`; `index` is at most `len`.
    pub(crate) fn insert(&mut self, index: usize, text: &[u8], limits: ListLimits) {
        if index == 0 {
            return self.push_front(text, limits);
        }
        if index == self.len() {
            return self.push_back(text, limits);
        }
        let (place, within) = self.skeleton.locate(index);
        if self.skeleton.node(place).has_room(text, limits) {
            self.skeleton
                .edit(place, |node| node.insert(within, text, limits));
            return;
        }
        if within == 0 {
            let before = self.skeleton.prev(place).expect("index is not 0");
            if self.skeleton.node(before).has_room(text, limits) {
                self.skeleton
                    .edit(before, |node| node.push_back(text, limits));
            } else {
                self.insert_node_after(before, Node::of(text, limits));
            }
            return;
        }
        // A packable element finds room in one half, or in a half of that; a large one needs a seam where it goes.
        let seam = if limits.is_too_large_to_pack(text) {
            within
        } else {
            self.skeleton.node(place).len() / 2
        };
        let right = self.skeleton.edit(place, |node| node.split(seam));
        self.insert_node_after(place, right);
        self.insert(index, text, limits);
    }

    /// Puts another text in the place of the element at `index`, which is below `len`.
    pub(crate) fn set(&mut self, index: usize, text: &[u8], limits: ListLimits) {
        let (place, within) = self.skeleton.locate(index);
        let replaced = self
            .skeleton
            .edit(place, |node| node.replace(within, text, limits));
        if replaced {
            self.shrink_inner(Some(place));
            return;
        }
        self.remove(index, 1, limits);
        self.insert(index, text, limits);
    }

    /// Removes `count` elements from `index` on, fewer where the list ends before; whole nodes are dropped unread.
    pub(crate) fn remove(&mut self, index: usize, count: usize, limits: ListLimits) {
        let mut left = count.min(self.len().saturating_sub(index));
        if left == 0 {
            return;
        }
        let (place, mut within) = self.skeleton.locate(index);
        let mut next = Some(place);
        while left > 0
            && let Some(place) = next
        {
            let len = self.skeleton.node(place).len();
            if within == 0 && left >= len {
                (_, next) = self.skeleton.remove(place);
                left -= len;
                continue;
            }
            let here = left.min(len - within);
            self.skeleton.edit(place, |node| node.remove(within, here));
            self.shrink_inner(Some(place));
            left -= here;
            within = 0;
            next = self.skeleton.next(place);
        }
        if index > 0 && index < self.len() {
            let (place, _) = self.skeleton.locate(index);
            let place = self.join_with_previous(place, limits).unwrap_or(place);
            if let Some(next) = self.skeleton.next(place) {
                self.join_with_previous(next, limits);
            }
        } else if self.skeleton.nodes() == 2 {
            // What is left of a list that is emptied from its ends must be able to become one pack.
            let last = self.skeleton.last().expect("there are two nodes");
            self.join_with_previous(last, limits);
        }
    }

    /// Keeps `count` elements from `start` on and removes all others.
    pub(crate) fn keep(&mut self, start: usize, count: usize, limits: ListLimits) {
        let end = start.saturating_add(count).min(self.len());
        self.remove(end, usize::MAX, limits);
        self.remove(0, start, limits);
    }

    /// Removes elements equal to `text`: all, or the first `count_max`, the last `count_max` if `from_tail`. Returns how many.
    pub(crate) fn remove_equal(
        &mut self,
        text: &[u8],
        count_max: usize,
        from_tail: bool,
        limits: ListLimits,
    ) -> usize {
        let (mut left, mut found) = (count_max, Vec::new());
        let mut at = if from_tail {
            self.skeleton.last()
        } else {
            self.skeleton.first()
        };
        while left > 0
            && let Some(place) = at
        {
            let node = self.skeleton.node(place);
            node.find_equal(text, left, from_tail, &mut found);
            left -= found.len();
            if found.len() == node.len() {
                let (_, following) = self.skeleton.remove(place);
                at = match (from_tail, following) {
                    (false, following) => following,
                    (true, Some(following)) => self.skeleton.prev(following),
                    (true, None) => self.skeleton.last(),
                };
                continue;
            }
            let mut place = place;
            if !found.is_empty() {
                self.skeleton.edit(place, |node| node.remove_at(&found));
                self.shrink_inner(Some(place));
                // Joined with what was looked at before, so that nothing is missed or looked at again.
                let seam = if from_tail {
                    self.skeleton.next(place)
                } else {
                    Some(place)
                };
                let joined = seam.and_then(|seam| self.join_with_previous(seam, limits));
                place = joined.unwrap_or(place);
            }
            at = if from_tail {
                self.skeleton.prev(place)
            } else {
                self.skeleton.next(place)
            };
        }
        count_max - left
    }

    /// Frees up to `budget_nodes` nodes from the end. Returns whether the list is not empty yet. A node is one block of the
    /// allocator, as an element of other collections is.
    pub(crate) fn free_step(&mut self, budget_nodes: usize) -> bool {
        for _ in 0..budget_nodes {
            let Some(place) = self.skeleton.last() else {
                break;
            };
            self.skeleton.remove(place);
        }
        !self.is_empty()
    }

    fn insert_node_after(&mut self, place: Place, node: Node) {
        let inserted = self.skeleton.insert_after(place, node);
        self.shrink_inner(self.skeleton.prev(inserted));
    }

    /// Appends a node to the one before it when both are small; says where they are then.
    fn join_with_previous(&mut self, place: Place, limits: ListLimits) -> Option<Place> {
        let before = self.skeleton.prev(place)?;
        let (first, second) = (self.skeleton.node(before), self.skeleton.node(place));
        if !first.may_absorb(second, limits) {
            return None;
        }
        let (node, following) = self.skeleton.remove(place);
        // Blocks may have been joined by the removal.
        let before = match following {
            Some(following) => self.skeleton.prev(following),
            None => self.skeleton.last(),
        };
        let before = before.expect("the node before was not removed");
        self.skeleton.edit(before, |first| first.absorb(&node));
        self.shrink_inner(Some(before));
        Some(before)
    }

    /// Gives back what a node does not use, unless it is an end that may soon grow.
    fn shrink_inner(&mut self, place: Option<Place>) {
        if let Some(place) = place
            && Some(place) != self.skeleton.first()
            && Some(place) != self.skeleton.last()
        {
            self.skeleton.edit(place, Node::shrink);
        }
    }

    /// Asserts that every kept sum is right.
    pub(crate) fn check(&self) {
        self.skeleton.check();
    }
}

#[cfg(test)]
mod tests;
