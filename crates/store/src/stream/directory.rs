//! Owns the order of a stream's nodes, in chunks, and the exact bytes of nodes and chunks.
//! Never happens here: a step over all nodes, but for a recount.
//! Source: a B-tree of two levels, both of rings: nodes come at the end and go at the front.

use super::node::Node;
use crate::collections::HeapPlace;
use crate::content::StreamId;
use crate::index::Passed;
use memory::heap::SparsePages;
use memory::heap::good_size;
use std::collections::VecDeque;
use std::mem::size_of;

/// Nodes of a chunk: what a removal in the middle moves is at most half as many, and half of the chunks' handles.
const CHUNK_NODES: usize = 128;

#[derive(Debug)]
struct Chunk {
    /// The first ID of its first node.
    first: StreamId,
    nodes: VecDeque<Node>,
}

impl Chunk {
    fn table_bytes(&self) -> usize {
        good_size(self.nodes.capacity() * size_of::<Node>())
    }
}

/// Where a node lies, until nodes are added or removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    chunk: usize,
    node: usize,
}

/// All nodes by their first IDs.
#[derive(Debug, Default)]
pub(super) struct Directory {
    chunks: VecDeque<Chunk>,
    nodes: usize,
    /// Bytes of chunks' tables and of nodes' blocks; the ring's own come on top.
    bytes: usize,
}

impl Directory {
    /// How many nodes there are.
    pub(super) fn len(&self) -> usize {
        self.nodes
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.ring_bytes()
    }

    fn ring_bytes(&self) -> usize {
        match self.chunks.capacity() {
            0 => 0,
            capacity => good_size(capacity * size_of::<Chunk>()),
        }
    }

    /// As [`Directory::bytes`], by a walk over all nodes.
    pub(super) fn recount_bytes(&self) -> usize {
        let chunk_bytes = |chunk: &Chunk| {
            chunk.table_bytes() + chunk.nodes.iter().map(Node::heap_bytes).sum::<usize>()
        };
        self.ring_bytes() + self.chunks.iter().map(chunk_bytes).sum::<usize>()
    }

    /// Moves nodes out of sparse pages of the heap, from `at` on, looking at about so many. Returns what it did and whether
    /// there is more.
    pub(super) fn relocate(
        &mut self,
        sparse: &SparsePages,
        at: &mut HeapPlace,
        budget: usize,
    ) -> (Passed, bool) {
        let mut passed = Passed::default();
        while let Some(chunk) = self.chunks.get_mut(at.part) {
            if at.place == 0 {
                passed += Passed::of_heap(sparse.relocate_deque(&mut chunk.nodes));
            }
            while let Some(node) = chunk.nodes.get_mut(at.place) {
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

    /// Appends a node whose IDs are above all others.
    pub(super) fn push(&mut self, node: Node) {
        if self
            .chunks
            .back()
            .is_none_or(|last| last.nodes.len() >= CHUNK_NODES)
        {
            if self.chunks.capacity() == 0 {
                self.chunks.reserve_exact(1);
            }
            self.chunks.push_back(Chunk {
                first: node.first_id(),
                nodes: VecDeque::new(),
            });
        } else {
            self.bytes -= self.chunks[self.chunks.len() - 1].table_bytes();
        }
        let nodes = &mut self.chunks.back_mut().expect("there is one now").nodes;
        if nodes.len() == nodes.capacity() {
            nodes.reserve_exact(nodes.len().clamp(1, CHUNK_NODES - nodes.len()));
        }
        self.bytes += node.heap_bytes();
        nodes.push_back(node);
        self.bytes += self.chunks[self.chunks.len() - 1].table_bytes();
        self.nodes += 1;
    }

    /// The node at a place.
    pub(super) fn at(&self, place: Place) -> &Node {
        &self.chunks[place.chunk].nodes[place.node]
    }

    /// Changes the node at a place.
    pub(super) fn edit<R>(&mut self, place: Place, change: impl FnOnce(&mut Node) -> R) -> R {
        let node = &mut self.chunks[place.chunk].nodes[place.node];
        let before = node.heap_bytes();
        let result = change(node);
        self.bytes = self.bytes + node.heap_bytes() - before;
        result
    }

    pub(super) fn first(&self) -> Option<Place> {
        (self.nodes > 0).then_some(Place { chunk: 0, node: 0 })
    }

    pub(super) fn last(&self) -> Option<Place> {
        let chunk = self.chunks.len().checked_sub(1)?;
        let node = self.chunks[chunk].nodes.len() - 1;
        Some(Place { chunk, node })
    }

    /// The place after this one.
    pub(super) fn next(&self, place: Place) -> Option<Place> {
        if place.node + 1 < self.chunks[place.chunk].nodes.len() {
            Some(Place {
                node: place.node + 1,
                ..place
            })
        } else {
            let chunk = place.chunk + 1;
            (chunk < self.chunks.len()).then_some(Place { chunk, node: 0 })
        }
    }

    /// The place before this one.
    pub(super) fn prev(&self, place: Place) -> Option<Place> {
        if let Some(node) = place.node.checked_sub(1) {
            return Some(Place { node, ..place });
        }
        let chunk = place.chunk.checked_sub(1)?;
        let node = self.chunks[chunk].nodes.len() - 1;
        Some(Place { chunk, node })
    }

    /// The last node whose first ID is not above `id`: the only one that may hold it.
    pub(super) fn find(&self, id: StreamId) -> Option<Place> {
        let chunk = self
            .chunks
            .partition_point(|chunk| chunk.first <= id)
            .checked_sub(1)?;
        let nodes = &self.chunks[chunk].nodes;
        let node = nodes.partition_point(|node| node.first_id() <= id) - 1;
        Some(Place { chunk, node })
    }

    /// How many nodes may hold IDs from `start` to `end`. Costs a step for each chunk between.
    pub(super) fn between(&self, start: StreamId, end: StreamId) -> usize {
        let Some(last) = self.find(end).filter(|_| start <= end) else {
            return 0;
        };
        let first = self.find(start).unwrap_or(Place { chunk: 0, node: 0 });
        let chunks = self.chunks.range(first.chunk..last.chunk);
        let nodes = chunks.map(|chunk| chunk.nodes.len()).sum::<usize>() + last.node + 1;
        nodes - first.node
    }

    /// Removes the node at a place.
    pub(super) fn remove(&mut self, place: Place) {
        let chunk = &mut self.chunks[place.chunk];
        self.bytes -= chunk.table_bytes();
        let node = chunk
            .nodes
            .remove(place.node)
            .expect("there is one at every place");
        self.bytes -= node.heap_bytes();
        self.nodes -= 1;
        if chunk.nodes.is_empty() {
            self.chunks.remove(place.chunk);
            self.shrink_ring();
            return;
        }
        chunk.first = chunk.nodes[0].first_id();
        if chunk.nodes.len() * 4 <= chunk.nodes.capacity() {
            // A fresh block: shrinking in place would keep half of the old one.
            let mut nodes = VecDeque::with_capacity(chunk.nodes.len() * 2);
            nodes.append(&mut chunk.nodes);
            chunk.nodes = nodes;
        }
        self.bytes += self.chunks[place.chunk].table_bytes();
        self.join_next(place.chunk);
    }

    /// Joins a chunk with the next one when both are small.
    fn join_next(&mut self, index: usize) {
        let joined_len = |chunk: &Chunk, next: &Chunk| chunk.nodes.len() + next.nodes.len();
        let joins = self
            .chunks
            .get(index + 1)
            .is_some_and(|next| joined_len(&self.chunks[index], next) <= CHUNK_NODES / 2);
        if !joins {
            return;
        }
        let mut next = self.chunks.remove(index + 1).expect("it was looked at");
        self.bytes -= next.table_bytes();
        let chunk = &mut self.chunks[index];
        self.bytes -= chunk.table_bytes();
        chunk.nodes.reserve_exact(next.nodes.len());
        chunk.nodes.append(&mut next.nodes);
        self.bytes += chunk.table_bytes();
        self.shrink_ring();
    }

    fn shrink_ring(&mut self) {
        if self.chunks.len() * 4 <= self.chunks.capacity() {
            let mut ring = VecDeque::with_capacity(self.chunks.len() * 2);
            ring.append(&mut self.chunks);
            self.chunks = ring;
        }
    }

    /// Frees up to `budget` nodes from the end; whether more are left.
    pub(super) fn free_step(&mut self, budget: usize) -> bool {
        for _ in 0..budget {
            match self.last() {
                Some(place) => self.remove(place),
                None => break,
            }
        }
        self.nodes > 0
    }
}
