//! Owns the inner nodes of a tree: what they hold, and how they split, share and join.
//! Never happens here: a comparison; a path names the place of every change.
//! Source: the B-tree's, with counts of the items below each child.

use std::mem;

use super::block_bytes;
use super::path::Path;
use super::row::Row;

/// Children an inner node has at most: over four-byte items it then fills a block of 512 bytes.
pub(super) const FAN: usize = 31;
/// Keys an inner node has at most, one between each two children.
const KEYS: usize = FAN - 1;

/// How many nodes there are of each kind.
pub(super) struct Nodes {
    pub(super) leaves: u32,
    pub(super) inners: u32,
}

impl Nodes {
    pub(super) const NONE: Nodes = Nodes {
        leaves: 0,
        inners: 0,
    };
}

/// The items of a leaf in turn; there is at least one.
pub(super) type Leaf<T, const LEAF: usize> = Row<T, LEAF>;

/// Children and the keys between them: all of child `i` lies before key `i`, and that before all of
/// child `i + 1`. There is always one child more than there are keys.
pub(super) struct Inner<T, const LEAF: usize> {
    pub(super) keys: Row<T, KEYS>,
    /// Items in and below each child.
    pub(super) counts: [u32; FAN],
    pub(super) children: Children<T, LEAF>,
}

/// Every leaf lies equally deep, so the children of a node are all of one kind.
pub(super) enum Children<T, const LEAF: usize> {
    Leaves(Slots<Leaf<T, LEAF>>),
    Inners(Slots<Inner<T, LEAF>>),
}

type Slots<X> = [Option<Box<X>>; FAN];

/// What did not fit a node: its right half, and the key between the halves.
pub(super) struct Split<T, const LEAF: usize> {
    key: T,
    right: Box<Inner<T, LEAF>>,
}

/// A child on its way into a node.
enum Child<T, const LEAF: usize> {
    Leaf(Box<Leaf<T, LEAF>>),
    Inner(Box<Inner<T, LEAF>>),
}

impl<T: Copy + Default, const LEAF: usize> Inner<T, LEAF> {
    /// With fewer keys than this a node joins a neighbour, or takes from it.
    const KEYS_MIN: usize = KEYS * 2 / 5;
    /// As for keys. Two leaves just below it fill one.
    const LEAF_MIN: usize = LEAF / 2;
    /// A full leaf gives items to its neighbour if that has this much room: with less, sharing
    /// comes up too often, with more, leaves stay emptier.
    const SHARED_ROOM_MIN: usize = if LEAF < 32 { 2 } else { LEAF / 16 };

    /// A node over `leaf_count` leaves, at least two, which together hold these items.
    pub(super) fn of_few(items: &[T], leaf_count: usize, nodes: &mut Nodes) -> Box<Self> {
        let mut keys = Row::new();
        let mut counts = [0; FAN];
        let mut leaves = no_slots();
        let mut from = 0;
        for at in 0..leaf_count {
            let to = (items.len() + 1) * (at + 1) / leaf_count - 1;
            leaves[at] = Some(Box::new(Row::of(&items[from..to])));
            counts[at] = (to - from) as u32;
            if let Some(key) = items.get(to) {
                keys.insert(at, *key);
            }
            from = to + 1;
        }
        nodes.leaves += leaf_count as u32;
        nodes.inners += 1;
        Box::new(Inner {
            keys,
            counts,
            children: Children::Leaves(leaves),
        })
    }

    /// The node over the two halves of one that split.
    pub(super) fn over(left: Box<Self>, split: Split<T, LEAF>, nodes: &mut Nodes) -> Box<Self> {
        let mut counts = [0; FAN];
        counts[0] = left.total();
        counts[1] = split.right.total();
        let mut inners = no_slots();
        inners[0] = Some(left);
        inners[1] = Some(split.right);
        nodes.inners += 1;
        Box::new(Inner {
            keys: Row::of(&[split.key]),
            counts,
            children: Children::Inners(inners),
        })
    }

    /// Items in and below this node.
    pub(super) fn total(&self) -> u32 {
        let keys = self.keys.len();
        self.counts[..=keys].iter().sum::<u32>() + keys as u32
    }

    /// Items in this node that lie before all of child `at`.
    pub(super) fn items_before_child(&self, at: usize) -> usize {
        self.counts[..at].iter().sum::<u32>() as usize + at
    }

    /// The child with the gap that has `rank` items of this node before it; `rank` becomes what it
    /// is within the child. The last gap of a child is the one before its key.
    pub(super) fn child_of_gap(&self, rank: &mut usize) -> usize {
        let mut at = 0;
        while *rank > self.counts[at] as usize {
            *rank -= self.counts[at] as usize + 1;
            at += 1;
        }
        debug_assert!(at <= self.keys.len());
        at
    }

    pub(super) fn recount_bytes(&self) -> u64 {
        let below: u64 = match &self.children {
            Children::Leaves(leaves) => {
                leaves.iter().flatten().count() as u64 * block_bytes::<Leaf<T, LEAF>>()
            }
            Children::Inners(inners) => inners
                .iter()
                .flatten()
                .map(|inner| inner.recount_bytes())
                .sum(),
        };
        below + block_bytes::<Self>()
    }

    /// Inserts at a gap. `at_end`: nothing lies right of this node.
    pub(super) fn insert(
        &mut self,
        path: &Path,
        level: usize,
        item: T,
        at_end: bool,
        nodes: &mut Nodes,
    ) -> Option<Split<T, LEAF>> {
        let at = path.at(level);
        let at_end = at_end && at == self.keys.len();
        match &mut self.children {
            Children::Leaves(leaves) => {
                let leaf = child_mut(leaves, at);
                if leaf.len() == LEAF {
                    return self.insert_in_full(at, path.pos(), item, at_end, nodes);
                }
                leaf.insert(path.pos(), item);
                self.counts[at] += 1;
                None
            }
            Children::Inners(inners) => {
                let inner = child_mut(inners, at);
                let Some(split) = inner.insert(path, level + 1, item, at_end, nodes) else {
                    self.counts[at] += 1;
                    return None;
                };
                self.counts[at] = inner.total();
                let count = split.right.total();
                self.adopt(
                    at,
                    split.key,
                    Child::Inner(split.right),
                    count,
                    at_end,
                    nodes,
                )
            }
        }
    }

    /// Inserts at `pos` of the full leaf `at`: a neighbour takes some of its items, else it splits.
    fn insert_in_full(
        &mut self,
        at: usize,
        pos: usize,
        item: T,
        at_end: bool,
        nodes: &mut Nodes,
    ) -> Option<Split<T, LEAF>> {
        let Children::Leaves(leaves) = &mut self.children else {
            unreachable!("a leaf's parent");
        };
        let room_of = |at: usize| leaves[at].as_ref().map_or(0, |leaf| LEAF - leaf.len());
        let room_left = if at > 0 { room_of(at - 1) } else { 0 };
        let room_right = if at < KEYS { room_of(at + 1) } else { 0 };
        if room_left.max(room_right) >= Self::SHARED_ROOM_MIN {
            let (first, pos, left_len) = if room_left >= room_right {
                // The gap counted from the start of both, over the key between them.
                let before = LEAF - room_left + 1;
                (at - 1, before + pos, before - 1 + room_left.div_ceil(2))
            } else {
                (at, pos, LEAF - room_right.div_ceil(2))
            };
            let (left, right) = pair(leaves, first);
            Row::level(left, &mut self.keys.items[first], right, left_len);
            if pos <= left_len {
                left.insert(pos, item);
            } else {
                right.insert(pos - left_len - 1, item);
            }
            self.counts[first] = left.len() as u32;
            self.counts[first + 1] = right.len() as u32;
            return None;
        }
        // What is appended goes on being appended: leave the full leaf full.
        let cut = if at_end && pos == LEAF {
            LEAF - 1
        } else {
            LEAF / 2
        };
        let leaf = child_mut(leaves, at);
        let (key, mut right) = leaf.split(cut);
        if pos <= cut {
            leaf.insert(pos, item);
        } else {
            right.insert(pos - cut - 1, item);
        }
        self.counts[at] = leaf.len() as u32;
        let count = right.len() as u32;
        nodes.leaves += 1;
        self.adopt(at, key, Child::Leaf(Box::new(right)), count, at_end, nodes)
    }

    /// Puts `key` and `child` right after the child `at`; in a full node after splitting it.
    fn adopt(
        &mut self,
        at: usize,
        key: T,
        child: Child<T, LEAF>,
        count: u32,
        at_end: bool,
        nodes: &mut Nodes,
    ) -> Option<Split<T, LEAF>> {
        if self.keys.len() < KEYS {
            self.adopt_in_room(at, key, child, count);
            return None;
        }
        let cut = if at_end && at == KEYS {
            KEYS - 1
        } else {
            KEYS / 2
        };
        let (middle, right_keys) = self.keys.split(cut);
        let right_children = match &mut self.children {
            Children::Leaves(leaves) => Children::Leaves(split_slots(leaves, cut + 1)),
            Children::Inners(inners) => Children::Inners(split_slots(inners, cut + 1)),
        };
        let mut right = Box::new(Inner {
            keys: right_keys,
            counts: split_slots(&mut self.counts, cut + 1),
            children: right_children,
        });
        nodes.inners += 1;
        if at <= cut {
            self.adopt_in_room(at, key, child, count);
        } else {
            right.adopt_in_room(at - cut - 1, key, child, count);
        }
        Some(Split { key: middle, right })
    }

    fn adopt_in_room(&mut self, at: usize, key: T, child: Child<T, LEAF>, count: u32) {
        let len = self.keys.len() + 1;
        self.keys.insert(at, key);
        insert_slot(&mut self.counts, len, at + 1, count);
        match (&mut self.children, child) {
            (Children::Leaves(leaves), Child::Leaf(leaf)) => {
                insert_slot(leaves, len, at + 1, Some(leaf));
            }
            (Children::Inners(inners), Child::Inner(inner)) => {
                insert_slot(inners, len, at + 1, Some(inner));
            }
            _ => unreachable!("a node's children are all of one kind"),
        }
    }

    /// Takes out the item that `path` leads to from here.
    pub(super) fn remove(&mut self, path: &Path, level: usize, nodes: &mut Nodes) -> T {
        let at = path.at(level);
        if path.is_key_at(level) {
            let new_key = self.pop_last_of(at, nodes);
            let item = mem::replace(&mut self.keys.items[at], new_key);
            self.refill(at, nodes);
            return item;
        }
        let item = match &mut self.children {
            Children::Leaves(leaves) => child_mut(leaves, at).remove(path.pos()),
            Children::Inners(inners) => child_mut(inners, at).remove(path, level + 1, nodes),
        };
        self.counts[at] -= 1;
        self.refill(at, nodes);
        item
    }

    /// Takes out the last item of child `at`, which the caller refills.
    fn pop_last_of(&mut self, at: usize, nodes: &mut Nodes) -> T {
        self.counts[at] -= 1;
        match &mut self.children {
            Children::Leaves(leaves) => {
                let leaf = child_mut(leaves, at);
                leaf.remove(leaf.len() - 1)
            }
            Children::Inners(inners) => {
                let inner = child_mut(inners, at);
                let last = inner.keys.len();
                let item = inner.pop_last_of(last, nodes);
                inner.refill(last, nodes);
                item
            }
        }
    }

    /// Items of the leaf `at`, or keys of the inner node `at`.
    fn child_len(&self, at: usize) -> usize {
        match &self.children {
            Children::Leaves(leaves) => child(leaves, at).len(),
            Children::Inners(inners) => child(inners, at).keys.len(),
        }
    }

    /// If child `at` has become too empty, joins it with a neighbour, or takes items from that.
    fn refill(&mut self, at: usize, nodes: &mut Nodes) {
        let (len_min, len_max) = match &self.children {
            Children::Leaves(_) => (Self::LEAF_MIN, LEAF),
            Children::Inners(_) => (Self::KEYS_MIN, KEYS),
        };
        if self.child_len(at) >= len_min {
            return;
        }
        let last = self.keys.len();
        debug_assert!(last > 0, "every node has two children");
        // The emptier neighbour, which is likelier to be joined.
        let first = if at == last || (at > 0 && self.child_len(at - 1) < self.child_len(at + 1)) {
            at - 1
        } else {
            at
        };
        let sum = self.child_len(first) + self.child_len(first + 1);
        if sum < len_max {
            self.join_children(first, nodes);
            return;
        }
        let key = &mut self.keys.items[first];
        match &mut self.children {
            Children::Leaves(leaves) => {
                let (left, right) = pair(leaves, first);
                Row::level(left, key, right, sum / 2);
                self.counts[first] = left.len() as u32;
                self.counts[first + 1] = right.len() as u32;
            }
            Children::Inners(inners) => {
                let (left, right) = pair(inners, first);
                left.level(key, right, sum / 2);
                self.counts[first] = left.total();
                self.counts[first + 1] = right.total();
            }
        }
    }

    /// Makes one of the child `first` and the one after it.
    fn join_children(&mut self, first: usize, nodes: &mut Nodes) {
        let len = self.keys.len() + 1;
        let key = self.keys.remove(first);
        self.counts[first] += 1 + remove_slot(&mut self.counts, len, first + 1);
        match &mut self.children {
            Children::Leaves(leaves) => {
                let (left, right) = pair(leaves, first);
                left.join(key, right);
                remove_slot(leaves, len, first + 1);
                nodes.leaves -= 1;
            }
            Children::Inners(inners) => {
                let (left, right) = pair(inners, first);
                left.join(key, right);
                remove_slot(inners, len, first + 1);
                nodes.inners -= 1;
            }
        }
    }

    /// Moves children between this node and `right`, its neighbour behind `key`, until this one
    /// has `left_keys` keys.
    fn level(&mut self, key: &mut T, right: &mut Self, left_keys: usize) {
        let lens = (self.keys.len() + 1, right.keys.len() + 1);
        Row::level(&mut self.keys, key, &mut right.keys, left_keys);
        self.level_children(right, lens, left_keys + 1);
    }

    /// Moves all of `right`, the neighbour behind `key`, to the end of this node.
    fn join(&mut self, key: T, right: &mut Self) {
        let lens = (self.keys.len() + 1, right.keys.len() + 1);
        self.keys.join(key, &right.keys);
        self.level_children(right, lens, lens.0 + lens.1);
    }

    fn level_children(&mut self, right: &mut Self, lens: (usize, usize), left_len: usize) {
        level_slots(&mut self.counts, &mut right.counts, lens, left_len);
        match (&mut self.children, &mut right.children) {
            (Children::Leaves(left), Children::Leaves(right)) => {
                level_slots(left, right, lens, left_len);
            }
            (Children::Inners(left), Children::Inners(right)) => {
                level_slots(left, right, lens, left_len);
            }
            _ => unreachable!("neighbours lie equally deep"),
        }
    }

    /// Frees the last leaf and the key before it; returns how many items that were.
    pub(super) fn free_last_leaf(&mut self, nodes: &mut Nodes) -> usize {
        let last = self.keys.len();
        let freed_items = match &mut self.children {
            Children::Leaves(leaves) => {
                let leaf = leaves[last].take().expect(CHILD_IS_THERE);
                self.counts[last] = 0;
                self.keys.remove(last - 1);
                nodes.leaves -= 1;
                return leaf.len() + 1;
            }
            Children::Inners(inners) => child_mut(inners, last).free_last_leaf(nodes),
        };
        self.counts[last] -= freed_items as u32;
        self.refill(last, nodes);
        freed_items
    }
}

const CHILD_IS_THERE: &str = "a child within the node's length is there";

#[inline]
pub(super) fn child<X>(slots: &Slots<X>, at: usize) -> &X {
    slots[at].as_deref().expect(CHILD_IS_THERE)
}

#[inline]
pub(super) fn child_mut<X>(slots: &mut Slots<X>, at: usize) -> &mut X {
    slots[at].as_deref_mut().expect(CHILD_IS_THERE)
}

/// The child `first` and the one after it.
fn pair<X>(slots: &mut Slots<X>, first: usize) -> (&mut X, &mut X) {
    match &mut slots[first..first + 2] {
        [Some(left), Some(right)] => (left, right),
        _ => unreachable!("{CHILD_IS_THERE}"),
    }
}

/// Puts `slot` at place `at` of those `len` that are used.
fn insert_slot<S>(slots: &mut [S; FAN], len: usize, at: usize, slot: S) {
    slots[at..=len].rotate_right(1);
    slots[at] = slot;
}

/// Takes the slot `at` out of those `len` that are used.
fn remove_slot<S: Default>(slots: &mut [S; FAN], len: usize, at: usize) -> S {
    slots[at..len].rotate_left(1);
    mem::take(&mut slots[len - 1])
}

/// Takes all slots from `from` on.
fn split_slots<S: Default>(slots: &mut [S; FAN], from: usize) -> [S; FAN] {
    let mut right = no_slots();
    right[..FAN - from].swap_with_slice(&mut slots[from..]);
    right
}

fn no_slots<S: Default>() -> [S; FAN] {
    [(); FAN].map(|()| S::default())
}

/// Moves slots between two neighbours, of which `lens` are used, until the left has `left_len`.
fn level_slots<S: Default>(
    left: &mut [S; FAN],
    right: &mut [S; FAN],
    lens: (usize, usize),
    left_len: usize,
) {
    if left_len > lens.0 {
        let moved = left_len - lens.0;
        left[lens.0..left_len].swap_with_slice(&mut right[..moved]);
        right[..lens.1].rotate_left(moved);
    } else {
        let moved = lens.0 - left_len;
        right[..lens.1 + moved].rotate_right(moved);
        right[..moved].swap_with_slice(&mut left[left_len..lens.0]);
    }
}
