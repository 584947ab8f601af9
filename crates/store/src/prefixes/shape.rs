//! Owns one shape: what keys have in common that count in one account, and what they add up to.
//! Never happens here: a choice among shapes.
//! Source: of sixteen bytes one step says whether each is what it may be; an identifier needs two.
#![forbid(unsafe_code)]

use super::Change;
use super::lanes::{Lane, Lanes};
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

    /// Whether nothing is here.
    pub(super) fn is_none(&self) -> bool {
        self.mark == u32::MAX
    }
}
