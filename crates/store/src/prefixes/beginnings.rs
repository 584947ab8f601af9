//! Owns the shapes of the beginnings of keys: sixteen bytes, whatever length a key has.
//! Never happens here: an answer that the tree would not give; whoever changes the tree clears this.
//! Source: as shapes of whole keys; names and paths behind a prefix have many lengths.
#![forbid(unsafe_code)]

use super::Change;
use super::lanes::{Found, Lanes};
use super::places::Places;
use super::scan::{self, CHUNK, Delimiters};
use super::shape::Shape;

const PLACES: usize = 32;
/// Odd, and their bits in no order.
const FACTORS: [u32; 2] = [0x9e37_79b1, 0x85eb_ca6b];

/// Shapes of beginnings, each in one of the two places where it may be.
#[derive(Debug)]
pub(super) struct Beginnings {
    pub(super) places: Places<Shape<1>, PLACES>,
}

impl Beginnings {
    pub(super) fn new() -> Beginnings {
        Beginnings {
            places: Places::NONE,
        }
    }

    /// The place of the shape that the beginning of a key has.
    pub(super) fn find(&self, key: &[u8], delimiters: &Delimiters) -> Option<usize> {
        let chunk = key.first_chunk()?;
        let place = place_of(chunk, delimiters);
        let has = |place: &usize| {
            self.places.at(*place).is_some_and(|shape| {
                shape.is_of([chunk]) && !(shape.is_open && scan::goes_on(key, delimiters))
            })
        };
        [place, place ^ 1].into_iter().find(has)
    }

    /// Counts a key beside the shape of its beginning. Answers its account.
    pub(super) fn count(
        &mut self,
        key: &[u8],
        delimiters: &Delimiters,
        change: Change,
    ) -> Option<u16> {
        let place = self.find(key, delimiters)?;
        let shape = self.places.taken(place);
        shape.pending.add(change);
        Some(shape.node)
    }

    /// Where the shape of the beginning of a key is to be kept, if that tells its account: in a free
    /// place, or else, unless what is there may stay, in one of the two; `turn` says in which.
    pub(super) fn place_for(
        &mut self,
        key: &[u8],
        found: &Found,
        delimiters: &Delimiters,
        may_stay: bool,
        turn: usize,
    ) -> Option<usize> {
        let chunk = key.first_chunk().filter(|_| found.end() <= CHUNK)?;
        let place = place_of(chunk, delimiters);
        self.places.place_for(place, may_stay, turn)
    }

    /// Keeps the shape of a beginning. Answers what was kept beside the one that goes.
    pub(super) fn keep(&mut self, place: usize, found: &Found, lanes: &Lanes) -> (u16, Change) {
        let shape = Shape::new(found.node, found.is_open, lanes, |_, place| Some(place));
        self.places.keep(place, shape)
    }
}

/// The first place where a shape may be: by how a key begins and where its delimiters are.
fn place_of(chunk: &[u8; CHUNK], delimiters: &Delimiters) -> usize {
    const SHIFT: u32 = u32::BITS - PLACES.ilog2();
    let [first, second] = FACTORS;
    let mixed = scan::initials(chunk) ^ delimiters.places(chunk).wrapping_mul(first);
    (mixed.wrapping_mul(second) >> SHIFT) as usize
}
