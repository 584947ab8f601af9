//! Owns the order of a large list's nodes, and the sums of their elements and bytes.
//! Never happens here: what lies in a node, or a copy of everything when the list grows.
//! Source: a deque of blocks of nodes, each with the number of its elements, so that an index skips whole blocks.

use std::collections::VecDeque;

use memory::heap::SparsePages;

use super::node::{Node, rounded};
use crate::collections::HeapPlace;
use crate::index::Passed;

/// Nodes in a block: with full blocks, a walk over the blocks of ten million small elements is about a hundred steps.
const BLOCK_NODES_MAX: usize = 128;

/// Two neighbouring blocks with so few nodes in all become one.
const BLOCK_NODES_MERGED_MAX: usize = BLOCK_NODES_MAX / 2;

/// A deque of blocks smaller than this is not worth shrinking.
const BLOCKS_KEPT: usize = 16;

#[derive(Debug, Default)]
struct Block {
    nodes: VecDeque<Node>,
    len: usize,
}

/// Where a node lies; any insertion or removal of a node may change it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    block: usize,
    node: usize,
}

/// The nodes of a list in order. No block is empty.
#[derive(Debug, Default)]
pub(super) struct Skeleton {
    blocks: VecDeque<Block>,
    nodes: usize,
    len: usize,
    bytes: usize,
}

fn deque_bytes<T>(deque: &VecDeque<T>) -> usize {
    rounded(deque.capacity() * size_of::<T>())
}

impl Skeleton {
    /// Elements in all nodes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Number of nodes.
    pub(super) fn nodes(&self) -> usize {
        self.nodes
    }

    /// Heap blocks of nodes and skeleton, as the allocator rounds them.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The same by a walk over all nodes.
    pub(super) fn recount_bytes(&self) -> usize {
        let of_block = |block: &Block| {
            let nodes = block.nodes.iter().map(|node| rounded(node.capacity()));
            deque_bytes(&block.nodes) + nodes.sum::<usize>()
        };
        deque_bytes(&self.blocks) + self.blocks.iter().map(of_block).sum::<usize>()
    }

    pub(super) fn node(&self, place: Place) -> &Node {
        &self.blocks[place.block].nodes[place.node]
    }

    pub(super) fn first(&self) -> Option<Place> {
        (self.nodes > 0).then_some(Place { block: 0, node: 0 })
    }

    pub(super) fn last(&self) -> Option<Place> {
        let block = self.blocks.len().checked_sub(1)?;
        Some(Place {
            block,
            node: self.blocks[block].nodes.len() - 1,
        })
    }

    pub(super) fn next(&self, place: Place) -> Option<Place> {
        let node = place.node + 1;
        if node < self.blocks[place.block].nodes.len() {
            return Some(Place { node, ..place });
        }
        let block = place.block + 1;
        (block < self.blocks.len()).then_some(Place { block, node: 0 })
    }

    pub(super) fn prev(&self, place: Place) -> Option<Place> {
        if place.node > 0 {
            let node = place.node - 1;
            return Some(Place { node, ..place });
        }
        let block = place.block.checked_sub(1)?;
        Some(Place {
            block,
            node: self.blocks[block].nodes.len() - 1,
        })
    }

    /// The node that holds the element at `index`, which is below `len`, and the element's index there. Walks from the nearer end.
    pub(super) fn locate(&self, index: usize) -> (Place, usize) {
        debug_assert!(index < self.len);
        if index < self.len / 2 {
            self.locate_from_front(index)
        } else {
            self.locate_from_back(self.len - 1 - index)
        }
    }

    fn locate_from_front(&self, mut index: usize) -> (Place, usize) {
        for (block, Block { nodes, len }) in self.blocks.iter().enumerate() {
            if index >= *len {
                index -= len;
                continue;
            }
            for (node, held) in nodes.iter().enumerate() {
                if index < held.len() {
                    return (Place { block, node }, index);
                }
                index -= held.len();
            }
        }
        unreachable!("the blocks hold as many elements as the list")
    }

    /// `index` counts from the last element on.
    fn locate_from_back(&self, mut index: usize) -> (Place, usize) {
        for (block, Block { nodes, len }) in self.blocks.iter().enumerate().rev() {
            if index >= *len {
                index -= len;
                continue;
            }
            for (node, held) in nodes.iter().enumerate().rev() {
                if index < held.len() {
                    return (Place { block, node }, held.len() - 1 - index);
                }
                index -= held.len();
            }
        }
        unreachable!("the blocks hold as many elements as the list")
    }

    /// Changes a node, but never to an empty one, and keeps the sums.
    pub(super) fn edit<R>(&mut self, place: Place, change: impl FnOnce(&mut Node) -> R) -> R {
        let block = &mut self.blocks[place.block];
        let node = &mut block.nodes[place.node];
        let (len, capacity) = (node.len(), node.capacity());
        let result = change(node);
        block.len = block.len - len + node.len();
        self.len = self.len - len + node.len();
        if node.capacity() != capacity {
            self.bytes = self.bytes - rounded(capacity) + rounded(node.capacity());
        }
        result
    }

    /// Moves nodes out of sparse pages, from `at` on, looking at about so many. Returns what it did
    /// and whether there is more.
    pub(super) fn relocate(
        &mut self,
        sparse: &SparsePages,
        at: &mut HeapPlace,
        budget: usize,
    ) -> (Passed, bool) {
        let mut passed = Passed::default();
        while let Some(block) = self.blocks.get_mut(at.part) {
            if at.place == 0 {
                passed += Passed::of_heap(sparse.relocate_deque(&mut block.nodes));
            }
            while let Some(node) = block.nodes.get_mut(at.place) {
                passed += Passed::of_heap(node.relocate(sparse));
                at.place += 1;
                if passed.cost_slots >= budget {
                    return (passed, true);
                }
            }
            *at = HeapPlace {
                part: at.part + 1,
                place: 0,
            };
        }
        (passed, false)
    }

    pub(super) fn push_front(&mut self, node: Node) {
        let full = |block: &Block| block.nodes.len() == BLOCK_NODES_MAX;
        if self.blocks.front().is_none_or(full) {
            self.change_blocks(|blocks| blocks.push_front(Block::default()));
        }
        self.put(Place { block: 0, node: 0 }, node);
    }

    pub(super) fn push_back(&mut self, node: Node) {
        let full = |block: &Block| block.nodes.len() == BLOCK_NODES_MAX;
        if self.blocks.back().is_none_or(full) {
            self.change_blocks(|blocks| blocks.push_back(Block::default()));
        }
        let block = self.blocks.len() - 1;
        let place = Place {
            block,
            node: self.blocks[block].nodes.len(),
        };
        self.put(place, node);
    }

    /// Puts a node after another; says where it lies now.
    pub(super) fn insert_after(&mut self, mut place: Place, node: Node) -> Place {
        if self.blocks[place.block].nodes.len() == BLOCK_NODES_MAX {
            self.split_block(place.block);
            if place.node >= BLOCK_NODES_MAX / 2 {
                place.block += 1;
                place.node -= BLOCK_NODES_MAX / 2;
            }
        }
        place.node += 1;
        self.put(place, node);
        place
    }

    /// Takes a node out. Says where the node lies that followed it, if one did.
    pub(super) fn remove(&mut self, place: Place) -> (Node, Option<Place>) {
        let block = &mut self.blocks[place.block];
        let node = block.nodes.remove(place.node).expect("a node of the list");
        block.len -= node.len();
        self.len -= node.len();
        self.nodes -= 1;
        self.bytes -= rounded(node.capacity());
        let Place { block, node: index } = self.settle_block(place);
        let following = if self.blocks.get(block).is_none_or(|b| index < b.nodes.len()) {
            Place { block, node: index }
        } else {
            let block = block + 1;
            Place { block, node: 0 }
        };
        let exists = following.block < self.blocks.len();
        (node, exists.then_some(following))
    }

    /// Drops a block that became empty, or joins it with a neighbour when both have few nodes. Says where `place` lies now.
    fn settle_block(&mut self, place: Place) -> Place {
        let index = place.block;
        let len_of = |blocks: &VecDeque<Block>, index: usize| {
            blocks.get(index).map_or(usize::MAX / 2, |b| b.nodes.len())
        };
        let len = len_of(&self.blocks, index);
        if len == 0 {
            self.drop_block(index);
            return Place {
                block: index,
                node: 0,
            };
        }
        // Only where a block is sparse: a look at the neighbours at each removal from an end is not needed.
        if len <= BLOCK_NODES_MERGED_MAX {
            if index > 0 {
                let before = len_of(&self.blocks, index - 1);
                if before + len <= BLOCK_NODES_MERGED_MAX {
                    self.join_blocks(index - 1);
                    let node = place.node + before;
                    return Place {
                        block: index - 1,
                        node,
                    };
                }
            }
            if len + len_of(&self.blocks, index + 1) <= BLOCK_NODES_MERGED_MAX {
                self.join_blocks(index);
            }
        }
        place
    }

    fn put(&mut self, place: Place, node: Node) {
        let block = &mut self.blocks[place.block];
        self.len += node.len();
        self.nodes += 1;
        block.len += node.len();
        let before = deque_bytes(&block.nodes);
        self.bytes += rounded(node.capacity());
        block.nodes.insert(place.node, node);
        self.bytes = self.bytes - before + deque_bytes(&block.nodes);
    }

    fn change_blocks(&mut self, change: impl FnOnce(&mut VecDeque<Block>)) {
        let before = deque_bytes(&self.blocks);
        change(&mut self.blocks);
        self.bytes = self.bytes - before + deque_bytes(&self.blocks);
    }

    fn split_block(&mut self, index: usize) {
        let block = &mut self.blocks[index];
        let before = deque_bytes(&block.nodes);
        let nodes = block.nodes.split_off(BLOCK_NODES_MAX / 2);
        let len = nodes.iter().map(Node::len).sum();
        block.len -= len;
        self.bytes = self.bytes - before + deque_bytes(&block.nodes) + deque_bytes(&nodes);
        self.change_blocks(|blocks| blocks.insert(index + 1, Block { nodes, len }));
    }

    fn join_blocks(&mut self, index: usize) {
        let mut next = self.blocks.remove(index + 1).expect("a block follows");
        let block = &mut self.blocks[index];
        let before = deque_bytes(&block.nodes) + deque_bytes(&next.nodes);
        block.nodes.append(&mut next.nodes);
        block.len += next.len;
        self.bytes = self.bytes - before + deque_bytes(&block.nodes);
        self.shrink_blocks();
    }

    fn drop_block(&mut self, index: usize) {
        let block = self.blocks.remove(index).expect("a block of the list");
        debug_assert!(block.nodes.is_empty() && block.len == 0);
        self.bytes -= deque_bytes(&block.nodes);
        self.shrink_blocks();
    }

    fn shrink_blocks(&mut self) {
        let (len, capacity) = (self.blocks.len(), self.blocks.capacity());
        if capacity > BLOCKS_KEPT && len < capacity / 4 {
            self.change_blocks(|blocks| blocks.shrink_to((2 * len).max(BLOCKS_KEPT)));
        }
    }

    /// Asserts that every kept sum is right.
    pub(super) fn check(&self) {
        let mut nodes = 0;
        for block in &self.blocks {
            assert!(!block.nodes.is_empty() && block.nodes.len() <= BLOCK_NODES_MAX);
            assert_eq!(block.len, block.nodes.iter().map(Node::len).sum::<usize>());
            block.nodes.iter().for_each(Node::check);
            nodes += block.nodes.len();
        }
        assert_eq!(self.nodes, nodes);
        let len = self.blocks.iter().map(|block| block.len).sum::<usize>();
        assert_eq!(self.len, len);
        assert_eq!(self.bytes, self.recount_bytes());
    }
}
