//! Owns the counted B-tree: small `Copy` items in an order the caller compares, found by order or by rank.
//! Never happens here: a comparison of its own, a copy of an item in two places, an allocation while iterating.
//! Source: B-trees (Bayer, McCreight 1972) with sibling sharing before a split (Knuth 6.2.4) and subtree counts.
#![forbid(unsafe_code)]

mod node;
mod path;
mod range;
mod relocate;
mod row;

use std::cmp::Ordering;
use std::mem;
use std::ops;

use memory::heap::good_size;

use node::{Children, Inner, Leaf, Nodes, Split, child, child_mut};
use path::Path;
pub(crate) use range::Range;

/// Fewer items than fill this many leaves are one plain array, which needs no nodes at all.
const FEW_LEAVES: usize = 4;

/// How many `T` a leaf should hold, the second parameter of [`Tree`]: small items fill a block of
/// 320 bytes, larger ones a block of 1 KiB.
pub(crate) const fn leaf_items<T>() -> usize {
    let block_bytes = if size_of::<T>() <= 8 { 320 } else { 1024 };
    let head_bytes = if align_of::<T>() > 4 {
        align_of::<T>()
    } else {
        4
    };
    (block_bytes - head_bytes) / size_of::<T>()
}

/// An ordered sequence of at most 2^32 - 1 items, none equal to another.
///
/// The tree cannot compare items: a search is given `order`, which says whether an item lies
/// before what is sought (`Less`), is it (`Equal`), or lies after it (`Greater`). Its answers must
/// not decrease along the sequence. Each item lies in one place only, in a leaf or between two
/// children of an inner node.
pub(crate) struct Tree<T, const LEAF: usize> {
    root: Root<T, LEAF>,
    len: usize,
    nodes: Nodes,
}

enum Root<T, const LEAF: usize> {
    /// All items in turn.
    Few(Vec<T>),
    Many(Box<Inner<T, LEAF>>),
}

impl<T: Copy + Default, const LEAF: usize> Tree<T, LEAF> {
    const FEW_MAX: usize = FEW_LEAVES * LEAF;
    /// A tree shrunk to this many items becomes an array again: far fewer than made it a tree, so
    /// that it does not go to and fro.
    const FEW_AGAIN: usize = Self::FEW_MAX / 2;

    /// The empty tree, which allocates nothing.
    pub(crate) const fn new() -> Self {
        const { assert!(LEAF >= 4 && LEAF < 1 << 16) };
        Tree {
            root: Root::Few(Vec::new()),
            len: 0,
            nodes: Nodes::NONE,
        }
    }

    /// How many items there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no items.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Heap bytes of all nodes, as the allocator rounds their blocks. O(1).
    pub(crate) fn bytes(&self) -> u64 {
        let few_bytes = match &self.root {
            Root::Few(items) => few_bytes(items),
            Root::Many(_) => 0,
        };
        few_bytes
            + u64::from(self.nodes.leaves) * block_bytes::<Leaf<T, LEAF>>()
            + u64::from(self.nodes.inners) * block_bytes::<Inner<T, LEAF>>()
    }

    /// [`Tree::bytes`] as a walk over all nodes finds it.
    pub(crate) fn recount_bytes(&self) -> u64 {
        match &self.root {
            Root::Few(items) => few_bytes(items),
            Root::Many(inner) => inner.recount_bytes(),
        }
    }

    /// Puts `item` where `order` says it belongs.
    ///
    /// # Errors
    /// The item that `order` calls equal, if there is one; then nothing was inserted.
    pub(crate) fn insert(&mut self, item: T, order: impl FnMut(&T) -> Ordering) -> Result<(), T> {
        let path = match self.find(order) {
            Ok(path) => return Err(*self.item(&path)),
            Err(path) => path,
        };
        debug_assert!(self.len < u32::MAX as usize);
        match &mut self.root {
            Root::Few(items) => {
                make_room(items, Self::FEW_MAX);
                items.insert(path.pos(), item);
                if items.len() == Self::FEW_MAX {
                    self.root = Root::Many(Inner::of_few(items, FEW_LEAVES, &mut self.nodes));
                }
            }
            Root::Many(root) => {
                if let Some(split) = root.insert(&path, 0, item, true, &mut self.nodes) {
                    self.grow_root(split);
                }
            }
        }
        self.len += 1;
        Ok(())
    }

    /// Takes out the item that `order` calls equal.
    pub(crate) fn remove(&mut self, order: impl FnMut(&T) -> Ordering) -> Option<T> {
        let path = self.find(order).ok()?;
        Some(self.remove_path(&path))
    }

    /// The item that `order` calls equal.
    pub(crate) fn get(&self, order: impl FnMut(&T) -> Ordering) -> Option<T> {
        let path = self.find(order).ok()?;
        Some(*self.item(&path))
    }

    /// The item that `order` calls equal, to be changed in ways that keep its place in the order.
    pub(crate) fn find_mut(&mut self, order: impl FnMut(&T) -> Ordering) -> Option<&mut T> {
        let path = self.find(order).ok()?;
        Some(self.item_mut(&path))
    }

    /// How many items `order` calls less: the rank of the first that is not. Here any number of
    /// items may be called equal.
    pub(crate) fn rank(&self, mut order: impl FnMut(&T) -> Ordering) -> usize {
        match self.find(|item| order(item).then(Ordering::Greater)) {
            Ok(path) | Err(path) => self.rank_at(&path),
        }
    }

    /// The rank of the item that `order` calls equal.
    pub(crate) fn rank_of(&self, order: impl FnMut(&T) -> Ordering) -> Option<usize> {
        let path = self.find(order).ok()?;
        Some(self.rank_at(&path))
    }

    /// The item with `rank` items before it.
    pub(crate) fn at(&self, rank: usize) -> Option<T> {
        (rank < self.len).then(|| *self.item(&self.path_at(rank)))
    }

    /// Takes out the item with `rank` items before it.
    pub(crate) fn remove_at(&mut self, rank: usize) -> Option<T> {
        (rank < self.len).then(|| self.remove_path(&self.path_at(rank)))
    }

    /// The items of these ranks in turn, from either end; ranks past the last item are left out.
    pub(crate) fn range(&self, ranks: ops::Range<usize>) -> Range<'_, T, LEAF> {
        let end = ranks.end.min(self.len);
        Range::new(self, ranks.start.min(end)..end)
    }

    /// Frees leaves from the right end until `budget_items` items are gone or a few more, and says
    /// whether any are left. In between the tree is as good as ever.
    pub(crate) fn free_step(&mut self, budget_items: usize) -> bool {
        let len_wanted = self.len.saturating_sub(budget_items.max(1));
        while self.len > Self::FEW_AGAIN
            && let Root::Many(root) = &mut self.root
        {
            if self.len <= len_wanted {
                return true;
            }
            self.len -= root.free_last_leaf(&mut self.nodes);
            self.lower_root();
        }
        *self = Tree::new();
        false
    }

    /// The way to the item that `order` calls equal, else to the gap between those less and greater.
    fn find(&self, mut order: impl FnMut(&T) -> Ordering) -> Result<Path, Path> {
        let mut path = Path::default();
        let mut inner = match &self.root {
            Root::Few(items) => return search_leaf(items, path, &mut order),
            Root::Many(root) => &**root,
        };
        loop {
            let at = match search(inner.keys.as_slice(), &mut order) {
                Ok(at) => {
                    path.push(at);
                    path.on_key = true;
                    return Ok(path);
                }
                Err(at) => at,
            };
            path.push(at);
            match &inner.children {
                Children::Leaves(leaves) => {
                    return search_leaf(child(leaves, at).as_slice(), path, &mut order);
                }
                Children::Inners(inners) => inner = child(inners, at),
            }
        }
    }

    /// The way to the item with `rank` items before it, which exists.
    fn path_at(&self, mut rank: usize) -> Path {
        let mut path = Path::default();
        let mut inner = match &self.root {
            Root::Few(_) => return path.with_pos(rank),
            Root::Many(root) => &**root,
        };
        loop {
            let at = inner.child_of_gap(&mut rank);
            path.push(at);
            if rank == inner.counts[at] as usize {
                path.on_key = true;
                return path;
            }
            match &inner.children {
                Children::Leaves(_) => return path.with_pos(rank),
                Children::Inners(inners) => inner = child(inners, at),
            }
        }
    }

    /// How many items lie before the item or gap that `path` leads to.
    fn rank_at(&self, path: &Path) -> usize {
        let mut inner = match &self.root {
            Root::Few(_) => return path.pos(),
            Root::Many(root) => &**root,
        };
        let mut rank = 0;
        for level in 0.. {
            let at = path.at(level);
            rank += inner.items_before_child(at);
            if path.is_key_at(level) {
                rank += inner.counts[at] as usize;
                break;
            }
            match &inner.children {
                Children::Leaves(_) => {
                    rank += path.pos();
                    break;
                }
                Children::Inners(inners) => inner = child(inners, at),
            }
        }
        rank
    }

    /// The item that `path` leads to.
    fn item(&self, path: &Path) -> &T {
        let mut inner = match &self.root {
            Root::Few(items) => return &items[path.pos()],
            Root::Many(root) => &**root,
        };
        let mut level = 0;
        loop {
            let at = path.at(level);
            if path.is_key_at(level) {
                return &inner.keys.items[at];
            }
            match &inner.children {
                Children::Leaves(leaves) => return &child(leaves, at).items[path.pos()],
                Children::Inners(inners) => inner = child(inners, at),
            }
            level += 1;
        }
    }

    /// The item that `path` leads to.
    fn item_mut(&mut self, path: &Path) -> &mut T {
        let mut inner = match &mut self.root {
            Root::Few(items) => return &mut items[path.pos()],
            Root::Many(root) => &mut **root,
        };
        let mut level = 0;
        loop {
            let at = path.at(level);
            if path.is_key_at(level) {
                return &mut inner.keys.items[at];
            }
            match &mut inner.children {
                Children::Leaves(leaves) => return &mut child_mut(leaves, at).items[path.pos()],
                Children::Inners(inners) => inner = child_mut(inners, at),
            }
            level += 1;
        }
    }

    fn remove_path(&mut self, path: &Path) -> T {
        self.len -= 1;
        let root = match &mut self.root {
            Root::Few(items) => {
                let item = items.remove(path.pos());
                give_back_room(items);
                return item;
            }
            Root::Many(root) => root,
        };
        let item = root.remove(path, 0, &mut self.nodes);
        if self.len <= Self::FEW_AGAIN {
            self.root = Root::Few(self.range(0..self.len).collect());
            self.nodes = Nodes::NONE;
        } else {
            self.lower_root();
        }
        item
    }

    /// Takes a root away that has but one child.
    fn lower_root(&mut self) {
        if let Root::Many(root) = &mut self.root
            && root.keys.len() == 0
            && let Children::Inners(inners) = &mut root.children
            && let Some(only) = inners[0].take()
        {
            *root = only;
            self.nodes.inners -= 1;
        }
    }

    /// Puts a new root above the two halves of the old one.
    fn grow_root(&mut self, split: Split<T, LEAF>) {
        if let Root::Many(left) = mem::replace(&mut self.root, Root::Few(Vec::new())) {
            self.root = Root::Many(Inner::over(left, split, &mut self.nodes));
        }
    }
}

/// The place of the item called equal, else where it would be: about log2(n) comparisons.
#[inline]
fn search<T>(items: &[T], order: &mut impl FnMut(&T) -> Ordering) -> Result<usize, usize> {
    let (mut low, mut high) = (0, items.len());
    while low < high {
        let middle = (low + high) / 2;
        match order(&items[middle]) {
            Ordering::Less => low = middle + 1,
            Ordering::Greater => high = middle,
            Ordering::Equal => return Ok(middle),
        }
    }
    Err(low)
}

fn search_leaf<T>(
    items: &[T],
    path: Path,
    order: &mut impl FnMut(&T) -> Ordering,
) -> Result<Path, Path> {
    match search(items, order) {
        Ok(pos) => Ok(path.with_pos(pos)),
        Err(pos) => Err(path.with_pos(pos)),
    }
}

/// Makes room for one more in an array of the few, of a fourth of its length and up to `len_max`.
fn make_room<T>(items: &mut Vec<T>, len_max: usize) {
    let len = items.len();
    if len == items.capacity() {
        let wanted_bytes = (len + len / 4 + 1) * size_of::<T>();
        let room = good_size(wanted_bytes) / size_of::<T>();
        items.reserve_exact(room.min(len_max) - len);
    }
}

/// Gives back the room of an array that is less than half full, and all of an empty one.
fn give_back_room<T>(items: &mut Vec<T>) {
    let len = items.len();
    if len == 0 || len < items.capacity() / 2 {
        items.shrink_to(len + len / 4);
    }
}

fn few_bytes<T>(items: &Vec<T>) -> u64 {
    match items.capacity() {
        0 => 0,
        room => good_size(room * size_of::<T>()) as u64,
    }
}

fn block_bytes<X>() -> u64 {
    good_size(size_of::<X>()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    type Refs = Tree<u32, { leaf_items::<u32>() }>;
    /// As large as a pending entry of a stream.
    type Record = [u64; 5];
    type Records = Tree<Record, { leaf_items::<Record>() }>;

    /// Both ends, which only tests ask for.
    impl<T: Copy + Default, const LEAF: usize> Tree<T, LEAF> {
        /// The least item.
        fn first(&self) -> Option<T> {
            self.at(0)
        }

        /// The greatest item.
        fn last(&self) -> Option<T> {
            self.at(self.len.checked_sub(1)?)
        }

        /// Takes out the least item.
        fn pop_first(&mut self) -> Option<T> {
            self.remove_at(0)
        }

        /// Takes out the greatest item.
        fn pop_last(&mut self) -> Option<T> {
            self.remove_at(self.len.checked_sub(1)?)
        }
    }

    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) as usize % sides
        }
    }

    fn to(sought: u32) -> impl FnMut(&u32) -> Ordering {
        move |item| item.cmp(&sought)
    }

    fn filled<const LEAF: usize>(items: impl IntoIterator<Item = u32>) -> Tree<u32, LEAF> {
        let mut tree = Tree::new();
        for item in items {
            assert_eq!(tree.insert(item, to(item)), Ok(()));
        }
        tree
    }

    fn shuffled(count: u32) -> Vec<u32> {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        let mut items: Vec<u32> = (0..count).collect();
        for at in (1..items.len()).rev() {
            items.swap(at, dice.roll(at + 1));
        }
        items
    }

    /// Checks every node below: counts, kinds, lengths; returns items and depth.
    fn check_node<const LEAF: usize>(inner: &Inner<u32, LEAF>, at_end: bool) -> (usize, usize) {
        let last = inner.keys.len();
        let mut total = last;
        let mut depths = Vec::new();
        for at in 0..=last {
            let at_end = at_end && at == last;
            let (items, depth) = match &inner.children {
                Children::Leaves(leaves) => {
                    let len = child(leaves, at).len();
                    assert!(at_end && len >= 1 || len >= LEAF * 2 / 5, "a leaf of {len}");
                    (len, 1)
                }
                Children::Inners(inners) => {
                    let below = child(inners, at);
                    let keys = below.keys.len();
                    assert!(at_end && keys >= 1 || keys >= 12, "a node of {keys} keys");
                    let (items, depth) = check_node(below, at_end);
                    (items, depth + 1)
                }
            };
            assert_eq!(inner.counts[at] as usize, items);
            total += items;
            depths.push(depth);
        }
        assert!(depths.iter().all(|depth| *depth == depths[0]));
        let beyond = last + 1;
        assert!(inner.counts[beyond..].iter().all(|count| *count == 0));
        assert!(match &inner.children {
            Children::Leaves(leaves) => leaves[beyond..].iter().all(Option::is_none),
            Children::Inners(inners) => inners[beyond..].iter().all(Option::is_none),
        });
        (total, depths[0])
    }

    fn check<const LEAF: usize>(tree: &Tree<u32, LEAF>, model: &[u32]) {
        if let Root::Many(root) = &tree.root {
            assert!(root.keys.len() >= 1);
            assert_eq!(check_node(root, true).0, tree.len);
        }
        assert_eq!(tree.len(), model.len());
        assert_eq!(tree.is_empty(), model.is_empty());
        assert_eq!(tree.bytes(), tree.recount_bytes());
        assert!(tree.range(0..usize::MAX).eq(model.iter().copied()));
        assert!(
            tree.range(0..usize::MAX)
                .rev()
                .eq(model.iter().rev().copied())
        );
        assert_eq!(tree.first(), model.first().copied());
        assert_eq!(tree.last(), model.last().copied());
    }

    /// One random change or question, put to the tree and to a sorted array.
    fn step<const LEAF: usize>(
        tree: &mut Tree<u32, LEAF>,
        model: &mut Vec<u32>,
        dice: &mut Dice,
        grows: bool,
    ) {
        let item = dice.roll(40_000) as u32;
        let place = model.binary_search(&item);
        let rank = dice.roll(model.len() + 2);
        let in_model = (rank < model.len()).then_some(rank);
        match dice.roll(16) {
            kind @ 0..10 if (kind < 8) == grows => {
                let done = tree.insert(item, to(item));
                match place {
                    Ok(_) => assert_eq!(done, Err(item)),
                    Err(place) => {
                        assert_eq!(done, Ok(()));
                        model.insert(place, item);
                    }
                }
            }
            0 => assert_eq!(
                tree.remove(to(item)),
                place.ok().map(|place| model.remove(place))
            ),
            1..5 if in_model.is_some() => {
                let item = model.remove(rank);
                assert_eq!(tree.remove(to(item)), Some(item));
            }
            1..9 => {
                let removed = in_model.map(|rank| model.remove(rank));
                assert_eq!(tree.remove_at(rank), removed);
            }
            9 if !model.is_empty() => {
                assert_eq!(tree.pop_first(), Some(model.remove(0)));
                assert_eq!(tree.pop_last(), model.pop());
            }
            10 => {
                let place = model.partition_point(|other| *other < item);
                assert_eq!(tree.rank(to(item)), place);
            }
            11 => assert_eq!(tree.rank_of(to(item)), place.ok()),
            12 => assert_eq!(tree.get(to(item)), place.ok().map(|_| item)),
            13 => assert_eq!(tree.at(rank), in_model.map(|rank| model[rank])),
            14 => {
                let found = tree.find_mut(to(item)).map(|item| *item);
                assert_eq!(found, place.ok().map(|_| item));
            }
            _ => check_range(tree, model, rank..rank + dice.roll(300), dice),
        }
    }

    /// Walks a range from both ends by turns.
    fn check_range<const LEAF: usize>(
        tree: &Tree<u32, LEAF>,
        model: &[u32],
        ranks: ops::Range<usize>,
        dice: &mut Dice,
    ) {
        let end = ranks.end.min(model.len());
        let mut expected = model[ranks.start.min(end)..end].iter().copied();
        let mut walked = tree.range(ranks);
        loop {
            assert_eq!(walked.len(), expected.len());
            let (item, other) = match dice.roll(2) {
                0 => (walked.next(), expected.next()),
                _ => (walked.next_back(), expected.next_back()),
            };
            assert_eq!(item, other);
            if item.is_none() {
                return;
            }
        }
    }

    fn agrees_with_a_sorted_array<const LEAF: usize>(seed: u64, steps: usize) {
        let mut dice = Dice(seed);
        let mut tree = Tree::<u32, LEAF>::new();
        let mut model = Vec::new();
        let mut grows = true;
        let mut turn_len = 12_000;
        for number in 0..steps {
            step(&mut tree, &mut model, &mut dice, grows);
            if grows && model.len() >= turn_len || !grows && model.is_empty() {
                grows = !grows;
                turn_len = 20 + dice.roll(12_000);
            }
            if number % 997 == 0 {
                check(&tree, &model);
            }
        }
        check(&tree, &model);
        while tree.pop_first().is_some() {}
        check(&tree, &[]);
        assert_eq!(tree.bytes(), 0);
    }

    #[test]
    fn a_tree_of_tiny_leaves_agrees_with_a_sorted_array() {
        agrees_with_a_sorted_array::<4>(1, 200_000);
        agrees_with_a_sorted_array::<5>(2, 100_000);
        agrees_with_a_sorted_array::<7>(3, 100_000);
    }

    #[test]
    fn a_tree_of_full_sized_leaves_agrees_with_a_sorted_array() {
        agrees_with_a_sorted_array::<{ leaf_items::<u32>() }>(4, 200_000);
    }

    #[test]
    fn small_trees_agree_with_sorted_arrays_at_every_length() {
        for count in 0..200u32 {
            let mut tree = filled::<4>((0..count).rev());
            let mut model: Vec<u32> = (0..count).collect();
            check(&tree, &model);
            let mut dice = Dice(u64::from(count) + 1);
            while !model.is_empty() {
                let rank = dice.roll(model.len());
                assert_eq!(tree.remove_at(rank), Some(model.remove(rank)));
                check(&tree, &model);
            }
        }
    }

    #[test]
    fn an_empty_tree_takes_no_bytes() {
        let mut tree = Refs::new();
        assert_eq!((tree.bytes(), tree.len()), (0, 0));
        assert_eq!((tree.first(), tree.last(), tree.at(0)), (None, None, None));
        assert_eq!((tree.pop_first(), tree.pop_last()), (None, None));
        assert_eq!(tree.range(0..10).next(), None);
        assert_eq!(tree.rank(|_| Ordering::Less), 0);
        assert!(!tree.free_step(1));
    }

    #[test]
    fn an_equal_item_is_returned_and_not_inserted() {
        let mut tree = filled::<4>(shuffled(3000));
        for item in 0..3000 {
            assert_eq!(tree.insert(9999, to(item)), Err(item));
        }
        assert_eq!(tree.len(), 3000);
        assert_eq!(tree.last(), Some(2999));
    }

    #[test]
    fn a_rank_may_be_asked_of_an_order_that_many_items_equal() {
        let tree = filled::<4>(shuffled(3000));
        for hundred in 0..31 {
            let rank = tree.rank(|item| (item / 100).cmp(&hundred));
            assert_eq!(rank, (hundred as usize * 100).min(3000));
        }
    }

    #[test]
    fn an_item_changed_in_place_is_found_by_its_new_look() {
        let mut tree = Records::new();
        for key in shuffled(5000).into_iter().map(u64::from) {
            let done = tree.insert([key, 0, 0, 0, 0], |item| item[0].cmp(&key));
            assert_eq!(done, Ok(()));
        }
        for key in 0..5000 {
            let item = tree.find_mut(|item| item[0].cmp(&key));
            item.expect("it was inserted")[4] = key + 1;
        }
        let sum: u64 = tree
            .range(0..tree.len())
            .map(|item| item[4] - item[0])
            .sum();
        assert_eq!(sum, 5000);
        assert_eq!(tree.bytes(), tree.recount_bytes());
    }

    #[test]
    fn freeing_by_steps_frees_a_little_each_and_everything_in_the_end() {
        let mut tree = filled::<4>(shuffled(20_000));
        let mut steps = 0;
        loop {
            let len_before = tree.len();
            let is_more_left = tree.free_step(100);
            steps += 1;
            assert_eq!(tree.bytes(), tree.recount_bytes());
            assert!(len_before - tree.len() <= 105);
            if !is_more_left {
                break;
            }
        }
        assert_eq!((tree.bytes(), tree.len()), (0, 0));
        assert!(steps >= 190);
    }

    #[test]
    fn a_tree_half_freed_can_still_be_used() {
        for steps in (1..200).step_by(7) {
            let mut tree = filled::<4>(shuffled(5000));
            for _ in 0..steps {
                tree.free_step(25);
            }
            let mut model: Vec<u32> = (0..tree.len() as u32).collect();
            check(&tree, &model);
            for item in 6000..6100 {
                assert_eq!(tree.insert(item, to(item)), Ok(()));
                model.push(item);
                assert_eq!(tree.remove_at(0), Some(model.remove(0)));
            }
            assert!(tree.range(0..usize::MAX).eq(model.iter().copied()));
            while let Some(item) = tree.pop_last() {
                assert_eq!(Some(item), model.pop());
            }
            assert_eq!((tree.bytes(), model.len()), (0, 0));
        }
    }

    #[test]
    fn nodes_fill_the_blocks_they_are_meant_for() {
        assert_eq!(block_bytes::<Leaf<u32, { leaf_items::<u32>() }>>(), 320);
        assert_eq!(block_bytes::<Inner<u32, { leaf_items::<u32>() }>>(), 512);
        assert_eq!(
            block_bytes::<Leaf<Record, { leaf_items::<Record>() }>>(),
            1024
        );
    }

    #[test]
    fn a_reference_costs_less_than_six_bytes_in_random_order() {
        let tree = filled::<{ leaf_items::<u32>() }>(shuffled(200_000));
        assert!(tree.bytes() * 10 < 200_000 * 55, "{} bytes", tree.bytes());
    }

    #[test]
    fn a_reference_costs_little_more_than_itself_in_ascending_or_descending_order() {
        let ascending = filled::<{ leaf_items::<u32>() }>(0..200_000);
        let descending = filled::<{ leaf_items::<u32>() }>((0..200_000).rev());
        for tree in [ascending, descending] {
            assert!(tree.bytes() * 10 < 200_000 * 46, "{} bytes", tree.bytes());
        }
    }

    #[test]
    fn a_tree_that_lost_most_items_gives_their_memory_back() {
        let mut tree = filled::<{ leaf_items::<u32>() }>(shuffled(200_000));
        for item in shuffled(200_000).iter().skip(20_000) {
            assert_eq!(tree.remove(to(*item)), Some(*item));
        }
        assert!(tree.bytes() < 20_000 * 8, "{} bytes", tree.bytes());
    }
}
