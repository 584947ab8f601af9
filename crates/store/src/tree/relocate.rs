//! Owns moving a tree's nodes out of sparse pages of the heap, part by part.
//! Never happens here: a change of what the tree holds, or of what it counts.
//! Source: a walk by rank, so that a place between two parts is a number whatever happened since.

use memory::heap::SparsePages;

use super::node::{Children, Inner};
use super::{Root, Tree};
use crate::index::Passed;

impl<T: Copy + Default, const LEAF: usize> Tree<T, LEAF> {
    /// Moves nodes that lie in sparse pages, from the item of this rank on, looking at about so
    /// many. Returns what it did and whether there is more.
    pub(crate) fn relocate(
        &mut self,
        sparse: &SparsePages,
        rank: &mut usize,
        budget: usize,
    ) -> (Passed, bool) {
        let len = self.len();
        let mut passed = Passed::default();
        match &mut self.root {
            Root::Few(items) => {
                passed += Passed::of_heap(sparse.relocate_vec(items));
                return (passed, false);
            }
            Root::Many(root) => {
                passed += Passed::of_heap(sparse.relocate_box(root));
                // Some leaves at least, so that parts of any budget come to an end.
                while *rank < len {
                    *rank += root.relocate(sparse, *rank, &mut passed).max(1);
                    if passed.cost_slots >= budget {
                        break;
                    }
                }
            }
        }
        (passed, *rank < len)
    }
}

impl<T: Copy + Default, const LEAF: usize> Inner<T, LEAF> {
    /// Moves the nodes on the way to the leaves around an item, and those leaves. Returns how many
    /// items further the next ones begin.
    fn relocate(&mut self, sparse: &SparsePages, rank: usize, passed: &mut Passed) -> usize {
        let total = self.total() as usize;
        let keys = self.keys.len();
        match &mut self.children {
            Children::Leaves(leaves) => {
                for leaf in leaves.iter_mut().flatten() {
                    *passed += Passed::of_heap(sparse.relocate_box(leaf));
                }
                total.saturating_sub(rank)
            }
            Children::Inners(inners) => {
                let mut start = 0;
                for (at, inner) in inners.iter_mut().enumerate().take(keys + 1) {
                    let count = self.counts[at] as usize;
                    // The key behind a child goes with it.
                    if rank <= start + count {
                        let Some(inner) = inner else { break };
                        *passed += Passed::of_heap(sparse.relocate_box(inner));
                        let further = inner.relocate(sparse, rank - start, passed);
                        return further + 1;
                    }
                    start += count + 1;
                }
                total.saturating_sub(rank)
            }
        }
    }
}
