//! Owns the walk over the items between two ranks, from either end.
//! Never happens here: an allocation, a search; a step is O(1) on average.
//! Source: a stack of the nodes on the way down to the leaf.

use std::mem;
use std::ops;

use super::node::{Children, Inner, child};
use super::path::LEVELS_MAX;
use super::path::Path;
use super::{Root, Tree};

/// The items of a range of ranks, in turn.
pub(crate) struct Range<'a, T, const LEAF: usize> {
    tree: &'a Tree<T, LEAF>,
    start: usize,
    end: usize,
    /// The gap at `start`, once asked for.
    front: Option<Cursor<'a, T, LEAF>>,
    /// The gap at `end`, once asked for.
    back: Option<Cursor<'a, T, LEAF>>,
}

impl<'a, T, const LEAF: usize> Range<'a, T, LEAF> {
    /// The items of these ranks, which exist.
    pub(super) fn new(tree: &'a Tree<T, LEAF>, ranks: ops::Range<usize>) -> Self {
        Range {
            tree,
            start: ranks.start,
            end: ranks.end,
            front: None,
            back: None,
        }
    }
}

impl<T: Copy, const LEAF: usize> Range<'_, T, LEAF> {
    /// The item `steps` behind the one that `next` gives now, where that lies in the same leaf; it
    /// may be past the range.
    #[inline]
    pub(crate) fn ahead(&self, steps: usize) -> Option<T> {
        let front = self.front.as_ref()?;
        front.leaf.get(front.path.pos() + steps).copied()
    }

    /// As [`Range::ahead`], from the back.
    #[inline]
    pub(crate) fn ahead_back(&self, steps: usize) -> Option<T> {
        let back = self.back.as_ref()?;
        let place = back.path.pos().checked_sub(steps + 1)?;
        back.leaf.get(place).copied()
    }
}

impl<T: Copy + Default, const LEAF: usize> Iterator for Range<'_, T, LEAF> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if self.start == self.end {
            return None;
        }
        let cursor = self
            .front
            .get_or_insert_with(|| Cursor::new(self.tree, self.start));
        self.start += 1;
        cursor.forward()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.end - self.start;
        (left, Some(left))
    }
}

impl<T: Copy + Default, const LEAF: usize> DoubleEndedIterator for Range<'_, T, LEAF> {
    fn next_back(&mut self) -> Option<T> {
        if self.start == self.end {
            return None;
        }
        let cursor = self
            .back
            .get_or_insert_with(|| Cursor::new(self.tree, self.end));
        self.end -= 1;
        cursor.back()
    }
}

impl<T: Copy + Default, const LEAF: usize> ExactSizeIterator for Range<'_, T, LEAF> {}

/// A gap between two items, in a leaf, with the way down to that.
struct Cursor<'a, T, const LEAF: usize> {
    way: [Option<&'a Inner<T, LEAF>>; LEVELS_MAX],
    path: Path,
    leaf: &'a [T],
}

impl<'a, T: Copy + Default, const LEAF: usize> Cursor<'a, T, LEAF> {
    /// The gap before the item of this rank.
    fn new(tree: &'a Tree<T, LEAF>, rank: usize) -> Self {
        let mut cursor = Cursor {
            way: [None; LEVELS_MAX],
            path: Path::default(),
            leaf: &[],
        };
        match &tree.root {
            Root::Few(items) => {
                cursor.leaf = items;
                cursor.path.pos = rank as u32;
            }
            Root::Many(root) => {
                let mut rank = rank;
                cursor.descend(root, |inner| inner.child_of_gap(&mut rank));
                cursor.path.pos = rank as u32;
            }
        }
        cursor
    }

    /// Goes from `inner` down to a leaf, through the children that `choose` names.
    fn descend(
        &mut self,
        mut inner: &'a Inner<T, LEAF>,
        mut choose: impl FnMut(&Inner<T, LEAF>) -> usize,
    ) {
        loop {
            let at = choose(inner);
            self.way[usize::from(self.path.levels)] = Some(inner);
            self.path.push(at);
            match &inner.children {
                Children::Leaves(leaves) => {
                    self.leaf = child(leaves, at).as_slice();
                    return;
                }
                Children::Inners(inners) => inner = child(inners, at),
            }
        }
    }

    /// Steps over the next item.
    #[inline]
    fn forward(&mut self) -> Option<T> {
        if let Some(item) = self.leaf.get(self.path.pos()) {
            self.path.pos += 1;
            return Some(*item);
        }
        // Up to where there is a key to the right, over that, and down to the first leaf behind it.
        loop {
            let level = usize::from(self.path.levels.checked_sub(1)?);
            let inner = self.way[level]?;
            let at = self.path.at(level);
            self.path.levels -= 1;
            if at < inner.keys.len() {
                let mut next = at + 1;
                self.descend(inner, |_| mem::take(&mut next));
                self.path.pos = 0;
                return Some(inner.keys.items[at]);
            }
        }
    }

    /// Steps back over the item before.
    #[inline]
    fn back(&mut self) -> Option<T> {
        if self.path.pos > 0 {
            self.path.pos -= 1;
            return Some(self.leaf[self.path.pos()]);
        }
        loop {
            let level = usize::from(self.path.levels.checked_sub(1)?);
            let inner = self.way[level]?;
            let at = self.path.at(level);
            self.path.levels -= 1;
            if at > 0 {
                let mut before = Some(at - 1);
                self.descend(inner, |inner| before.take().unwrap_or(inner.keys.len()));
                self.path.pos = self.leaf.len() as u32;
                return Some(inner.keys.items[at - 1]);
            }
        }
    }
}
