//! Owns a copy of a stream that is made some nodes at a time: nodes as they lie, then groups and what they have pending.
//! Never happens here: a look at entries; what was deleted within a node stays in the copy's as in the stream's.
//! Source: Redis' COPY of streams; nobody changes the stream meanwhile.

use super::directory::Place;
use super::group::Group;
use super::{Stream, StreamId};

/// Pending entries that cost as much as a node: each goes into two trees.
const PENDING_OF_NODE: usize = 8;

/// A copy under way.
#[derive(Debug)]
pub struct StreamCopy {
    copy: Stream,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// This node is the next.
    Nodes(Place),
    /// The group of this index is, or is gone on with from this ID.
    Groups(usize, Option<StreamId>),
}

impl StreamCopy {
    /// A copy of which nothing is there yet.
    pub fn of(stream: &Stream) -> StreamCopy {
        let copy = Stream {
            nodes: Default::default(),
            groups: Default::default(),
            ..*stream
        };
        let first = stream.nodes.first();
        StreamCopy {
            copy,
            phase: first.map_or(Phase::Groups(0, None), Phase::Nodes),
        }
    }

    /// Copies up to so many nodes, or as much of groups. Whether there is more.
    pub fn step(&mut self, stream: &Stream, budget_nodes: usize) -> bool {
        match self.phase {
            Phase::Nodes(place) => self.nodes(stream, place, budget_nodes),
            Phase::Groups(index, next) => {
                return self.group(stream, (index, next), budget_nodes * PENDING_OF_NODE);
            }
        }
        true
    }

    fn nodes(&mut self, stream: &Stream, first: Place, budget: usize) {
        let mut next = Some(first);
        for _ in 0..budget {
            let Some(place) = next else { break };
            self.copy.nodes.push(stream.nodes.at(place).clone());
            next = stream.nodes.next(place);
        }
        self.phase = next.map_or(Phase::Groups(0, None), Phase::Nodes);
    }

    fn group(
        &mut self,
        stream: &Stream,
        (index, next): (usize, Option<StreamId>),
        budget: usize,
    ) -> bool {
        let Some(group) = stream.groups.iter().nth(index) else {
            return false;
        };
        let start = next.unwrap_or_else(|| {
            self.copy.groups.push(group.copy_beside_pending());
            StreamId::MIN
        });
        let mut left = group.pending_from(start);
        let assign = |copy: &mut Group| {
            for pending in left.by_ref().take(budget) {
                let (consumer, deliveries) = (pending.consumer, pending.deliveries);
                copy.assign(pending.id, consumer, pending.delivered, deliveries);
            }
        };
        self.copy.groups.edit(index, assign);
        let next = left.next().map(|pending| pending.id);
        self.phase = Phase::Groups(index + usize::from(next.is_none()), next);
        true
    }

    /// The copy, once all steps are done.
    pub fn finish(self) -> Stream {
        self.copy
    }
}

impl Stream {
    /// A copy, made at once.
    pub(crate) fn copied(&self) -> Stream {
        let mut copy = StreamCopy::of(self);
        while copy.step(self, usize::MAX / PENDING_OF_NODE) {}
        copy.finish()
    }
}
