//! Owns one shape: what keys have in common that count in one account, and what they add up to.
//! Never happens here: a choice among shapes.
//! Source: of sixteen bytes one step says whether each is what it may be; an identifier needs two.
#![forbid(unsafe_code)]

use super::Change;
use super::lanes::{Lane, Lanes};
use super::places::Places;
use super::scan::{self, CHUNK, ChunkRanges, Ranges};

/// What keys have in common that count in one account, as so many chunks of sixteen bytes tell it.
#[derive(Clone, Copy, Debug)]
#[repr(align(128))]
pub(super) struct Shape<const CHUNKS: usize> {
    pub(super) ranges: ChunkRanges<CHUNKS>,
    pub(super) pending: Change,
    /// What a key has to be equal in besides; what that is, is the affair of who keeps shapes.
    pub(super) mark: u32,
    pub(super) node: u16,
    /// Whether no delimiter may follow behind the chunks, where those are not all of a key.
    pub(super) is_open: bool,
}

impl<const CHUNKS: usize> Shape<CHUNKS> {
    /// No key has it, as none has this mark.
    pub(super) const NONE: Shape<CHUNKS> = Shape {
        ranges: [[Ranges::ANY; 2]; CHUNKS],
        pending: Change::NONE,
        mark: u32::MAX,
        node: 0,
        is_open: false,
    };

    /// The shape of which this may be where, by the place of each byte of each chunk in the key;
    /// none where a chunk goes on beyond the key.
    pub(super) fn new(
        node: u16,
        mark: u32,
        lanes: &Lanes,
        at: impl Fn(usize, usize) -> Option<usize>,
    ) -> Shape<CHUNKS> {
        let mut shape = Shape {
            mark,
            node,
            ..Shape::NONE
        };
        for (nth, [one, other]) in shape.ranges.iter_mut().enumerate() {
            for place in 0..CHUNK {
                let lane = at(nth, place).map_or(Lane::Any, |at| lanes[at]);
                let [first, second] = lane.ranges();
                one.set(place, first.0, first.1);
                other.set(place, second.0, second.1);
            }
        }
        shape
    }

    /// Whether a key of these chunks has it, if its mark is this.
    #[inline(always)]
    pub(super) fn is_of(&self, chunks: [&[u8; CHUNK]; CHUNKS], mark: u32) -> bool {
        scan::all_hold(&self.ranges, chunks, self.mark ^ mark)
    }

    /// Counts a key of these chunks and this mark if it has it.
    #[inline(always)]
    pub(super) fn count(
        &mut self,
        chunks: [&[u8; CHUNK]; CHUNKS],
        mark: u32,
        change: Change,
    ) -> bool {
        let has = self.is_of(chunks, mark);
        if has {
            self.pending.add(change);
        }
        has
    }
}

/// Where shapes are kept, each in one of two places that lie side by side.
impl<const CHUNKS: usize, const COUNT: usize> Places<Shape<CHUNKS>, COUNT> {
    /// Forgets every shape. What is kept beside them must have been taken.
    pub(super) fn forget(&mut self) {
        self.clear(Shape::NONE);
    }

    /// What is kept beside shapes, each with its account.
    pub(super) fn pending(&self) -> impl Iterator<Item = (u16, Change)> {
        self.iter().map(|shape| (shape.node, shape.pending))
    }

    /// The same, which is then no longer here.
    pub(super) fn take_pending(&mut self, mut each: impl FnMut(u16, Change)) {
        for shape in self.iter_mut() {
            each(shape.node, std::mem::take(&mut shape.pending));
        }
    }

    /// The account of the shape in a place.
    pub(super) fn node_at(&self, place: usize) -> u16 {
        self.at(place).expect("something is in it").node
    }

    /// Where a shape is to be kept that is looked for first in `place`: in a free one of its two, of a larger table if
    /// that is worth it, or else, unless what is there may stay, in one of them; `turn` says in which.
    pub(super) fn place_for(&mut self, place: usize, may_stay: bool, turn: usize) -> Option<usize> {
        let pair = [place, place ^ 1];
        loop {
            let free = pair.into_iter().find(|place| !self.is_taken(*place));
            if free.is_some() || !pair.iter().any(|place| self.may_part(*place)) {
                return free.or((!may_stay).then_some(place ^ (turn % 2)));
            }
            self.grow(Shape::NONE);
        }
    }

    /// Keeps a shape. Answers what was kept beside the one that goes.
    pub(super) fn keep(&mut self, place: usize, shape: Shape<CHUNKS>) -> (u16, Change) {
        let was = self.put(place, shape, Shape::NONE);
        (was.node, was.pending)
    }
}
