//! Owns the shapes of keys of one to 32 bytes that all of a key tells, its length included.
//! Never happens here: an answer that the tree would not give; whoever changes the tree clears this.
//! Source: two-way associative caches.
#![forbid(unsafe_code)]

use super::Change;
use super::lanes::Lanes;
use super::places::Places;
use super::scan::{self, CHUNK};
use super::shape::Shape;

const PLACES: usize = 64;
/// Odd, and its bits in no order.
const FACTOR: u32 = 0x27d4_eb2f;

/// Shapes of keys of so many chunks, each in one of the two places where it may be.
#[derive(Debug)]
pub(super) struct NearShapes<const CHUNKS: usize> {
    pub(super) places: Places<Shape<CHUNKS>, PLACES>,
}

impl<const CHUNKS: usize> NearShapes<CHUNKS> {
    pub(super) fn new() -> NearShapes<CHUNKS> {
        NearShapes {
            places: Places::NONE,
        }
    }

    /// Counts a key of these chunks beside the shape that is where it is looked for first, and answers
    /// whether it has that. If not, [`NearShapes::count_second`] takes it back: to add before what is
    /// compared is known takes an instruction less than to add after it.
    #[inline(always)]
    pub(super) fn count(
        &mut self,
        len: usize,
        chunks: [&[u8; CHUNK]; CHUNKS],
        change: Change,
    ) -> bool {
        let Some(shape) = self.places.at_mut(place_of(len, chunks[0])) else {
            return false;
        };
        shape.pending.add(change);
        shape.is_of(chunks, len as u32)
    }

    /// Counts such a key beside the shape in the other place, if it has that.
    #[inline(always)]
    pub(super) fn count_second(
        &mut self,
        len: usize,
        chunks: [&[u8; CHUNK]; CHUNKS],
        change: Change,
    ) -> bool {
        let place = place_of(len, chunks[0]);
        let Some(shape) = self.places.at_mut(place) else {
            return false;
        };
        shape.pending.subtract(change);
        let second = self.places.taken(place ^ 1);
        second.count(chunks, len as u32, change)
    }

    /// Has what is in the other place for such a key looked for first from here on.
    pub(super) fn prefer_second(&mut self, len: usize, chunk: &[u8; CHUNK]) {
        let place = place_of(len, chunk);
        self.places.swap(place, place ^ 1);
    }

    /// The place of the shape that a key of these chunks has.
    pub(super) fn find(&self, len: usize, chunks: [&[u8; CHUNK]; CHUNKS]) -> Option<usize> {
        let place = place_of(len, chunks[0]);
        let has = |place: &usize| {
            let shape = self.places.at(*place);
            shape.is_some_and(|shape| shape.is_of(chunks, len as u32))
        };
        [place, place ^ 1].into_iter().find(has)
    }

    /// Where the shape of a key with this first chunk is to be kept: in a free place, or else, unless
    /// what is there may stay, in one of the two; `turn` says in which.
    pub(super) fn place_for(
        &mut self,
        len: usize,
        chunk: &[u8; CHUNK],
        may_stay: bool,
        turn: usize,
    ) -> Option<usize> {
        let place = place_of(len, chunk);
        self.places.place_for(place, may_stay, turn)
    }

    /// Keeps the shape of a key of this length. Answers what was kept beside the one that goes.
    pub(super) fn keep(
        &mut self,
        place: usize,
        len: usize,
        node: u16,
        lanes: &Lanes,
        at: impl Fn(usize, usize) -> Option<usize>,
    ) -> (u16, Change) {
        let shape = Shape::new(node, len as u32, lanes, at);
        self.places.keep(place, shape)
    }
}

/// The first place where a shape may be: by how a key begins and by its length.
#[inline(always)]
fn place_of(len: usize, chunk: &[u8; CHUNK]) -> usize {
    const SHIFT: u32 = u32::BITS - PLACES.ilog2();
    let mixed = scan::initials(chunk).wrapping_add(8 * len as u32);
    (mixed.wrapping_mul(FACTOR) >> SHIFT) as usize
}
