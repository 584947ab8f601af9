//! Owns one shape: what keys have in common that count in one account, and what they add up to.
//! Never happens here: a choice among shapes.
//! Source: of sixteen bytes one step says whether each is what it may be; an identifier needs two.
#![forbid(unsafe_code)]

use super::Change;
use super::lanes::{Lane, Lanes};
use super::places::Places;
use super::scan::{self, CHUNK, ChunkRanges, Ranges};
use super::tree::NO_PREFIX;

/// What keys have in common that count in one account, as so many chunks of sixteen bytes tell it.
#[derive(Clone, Copy, Debug)]
#[repr(align(128))]
pub(super) struct Shape<const CHUNKS: usize> {
    pub(super) ranges: ChunkRanges<CHUNKS>,
    pub(super) pending: Change,
    pub(super) node: u16,
    /// Whether no delimiter may follow behind the chunks, where those are not all of a key.
    pub(super) is_open: bool,
    /// Whether it was learned from a key.
    pub(super) is_kept: bool,
}

impl<const CHUNKS: usize> Shape<CHUNKS> {
    /// What is where nothing is kept: the shape of keys of zeroes, which are in no prefix as no zero is a delimiter.
    /// So there is nothing to compare that says whether something is here.
    pub(super) const NONE: Shape<CHUNKS> = Shape {
        ranges: [[Ranges::ZEROES; 2]; CHUNKS],
        pending: Change::NONE,
        node: NO_PREFIX,
        is_open: true,
        is_kept: false,
    };

    /// The shape of which this may be where, by the place of each byte of each chunk in the key;
    /// none where a chunk goes on beyond the key.
    pub(super) fn new(
        node: u16,
        is_open: bool,
        lanes: &Lanes,
        at: impl Fn(usize, usize) -> Option<usize>,
    ) -> Shape<CHUNKS> {
        let mut shape = Shape {
            node,
            is_open,
            is_kept: true,
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

    /// Whether a key of these chunks has it, as far as those tell.
    #[inline(always)]
    pub(super) fn is_of(&self, chunks: [&[u8; CHUNK]; CHUNKS]) -> bool {
        scan::all_hold(&self.ranges, chunks)
    }

    /// Whether it is that of keys without a prefix.
    pub(super) fn is_plain(&self) -> bool {
        self.is_kept && self.node == NO_PREFIX
    }

    /// Of each byte of the first chunk, what to take from it for nothing to be left that differs among keys. Of those
    /// without a prefix that is `plain`, of which nothing is left of digits: of all, no shape would be told from others.
    pub(super) fn takes(&self, plain: u8) -> [u8; CHUNK] {
        if self.is_plain() {
            return [plain; CHUNK];
        }
        let [[one, other], ..] = &self.ranges[..] else {
            return [0; CHUNK];
        };
        std::array::from_fn(|place| {
            let both = [one, other].map(|ranges| ranges.of(place));
            let [(value, 0), (same, 0)] = both else {
                // What a range goes round is all there is.
                let lasts = both.map(|(first, others)| first.checked_add(others));
                let [one, other] = lasts.map(|last| last.unwrap_or(u8::MAX));
                return one.max(other);
            };
            if value == same { 0 } else { value.max(same) }
        })
    }

    /// The first chunk of a key that has it, but for what is taken from it anyway.
    pub(super) fn example(&self) -> [u8; CHUNK] {
        if self.is_plain() {
            return [0; CHUNK];
        }
        let [[one, _], ..] = &self.ranges[..] else {
            return [0; CHUNK];
        };
        std::array::from_fn(|place| one.of(place).0)
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
