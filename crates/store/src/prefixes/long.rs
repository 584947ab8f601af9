//! Owns the shapes of keys of more than 32 bytes: told by 48 bytes at once, and found by their lengths.
//! Never happens here: an answer that the tree would not give; whoever changes the tree clears this.
//! Source: as shapes of shorter keys; long keys are names with UUIDs or hashes, all of one length.
#![forbid(unsafe_code)]

use super::Change;
use super::lanes::{Found, Lanes};
use super::places::Places;
use super::scan::{self, CHUNK, Delimiters, SEEN_BYTES};
use super::shape::Shape;

/// Shorter keys are not looked for here.
pub(super) const LONG_BYTES_MIN: usize = 2 * CHUNK + 1;
/// Chunks that are compared.
const CHUNKS: usize = 3;
/// Longer keys are not compared whole.
const WHOLE_BYTES_MAX: usize = CHUNKS * CHUNK;
/// One for each length of keys that are compared whole.
const WHOLE_PLACES: usize = WHOLE_BYTES_MAX + 1 - LONG_BYTES_MIN;
/// Those of longer keys are chosen by the length as well, for no other reason than to have several.
const FAR_PLACES: usize = 32;
/// The mark of a shape that a key has if the bytes compared say so. Of keys that are compared whole it is their length.
const BY_CHUNKS: u32 = 0;
/// The mark of one that a key has if its first sixteen bytes say so and no delimiter follows.
const IS_OPEN: u32 = 1;

/// Shapes of long keys.
#[derive(Debug)]
pub(super) struct LongShapes {
    pub(super) whole: Places<Shape<CHUNKS>, WHOLE_PLACES>,
    pub(super) far: Places<Shape<CHUNKS>, FAR_PLACES>,
}

impl LongShapes {
    pub(super) fn new() -> LongShapes {
        LongShapes {
            whole: Places::NONE,
            far: Places::NONE,
        }
    }

    /// Counts a long key beside the shape that is where it is looked for, and answers whether it has
    /// that. If not, [`LongShapes::take_back`] has to follow, as for shorter keys.
    #[inline(always)]
    pub(super) fn count(&mut self, key: &[u8], delimiters: &Delimiters, change: Change) -> bool {
        let len = key.len();
        if len <= WHOLE_BYTES_MAX {
            let Some(shape) = self.whole.at_mut(len - LONG_BYTES_MIN) else {
                return false;
            };
            shape.pending.add(change);
            return ends(key).is_some_and(|ends| shape.is_of(ends, len as u32));
        }
        let Some(shape) = self.far.at_mut(len % FAR_PLACES) else {
            return false;
        };
        shape.pending.add(change);
        if shape.mark != IS_OPEN {
            return chunks(key).is_some_and(|chunks| shape.is_of(chunks, BY_CHUNKS));
        }
        has_open(shape, key, delimiters)
    }

    /// Takes back what was counted of a key that has not the shape that is where it is looked for.
    pub(super) fn take_back(&mut self, key: &[u8], change: Change) {
        let len = key.len();
        let shape = if len <= WHOLE_BYTES_MAX {
            self.whole.at_mut(len - LONG_BYTES_MIN)
        } else {
            self.far.at_mut(len % FAR_PLACES)
        };
        if let Some(shape) = shape {
            shape.pending.subtract(change);
        }
    }

    /// The account of the shape that a long key has.
    pub(super) fn node_of(&self, key: &[u8], delimiters: &Delimiters) -> Option<u16> {
        let shape = self.at(key)?;
        let has = if key.len() <= WHOLE_BYTES_MAX {
            has_whole(shape, key)
        } else {
            has_far(shape, key, delimiters)
        };
        has.then_some(shape.node)
    }

    fn at(&self, key: &[u8]) -> Option<&Shape<CHUNKS>> {
        if key.len() <= WHOLE_BYTES_MAX {
            self.whole.at(key.len() - LONG_BYTES_MIN)
        } else {
            self.far.at(key.len() % FAR_PLACES)
        }
    }

    /// Whether the shape of a long key can be kept, and in the place of what is there.
    pub(super) fn wants(&self, key: &[u8], found: &Found, may_stay: bool) -> bool {
        let len = key.len();
        let finds_place = if len <= WHOLE_BYTES_MAX {
            let place = len - LONG_BYTES_MIN;
            !self.whole.is_taken(place) || self.whole.may_part(place)
        } else {
            !self.far.is_taken(len % FAR_PLACES) || self.far.may_part(len % FAR_PLACES)
        };
        mark_of(len, found).is_some() && (finds_place || !may_stay)
    }

    /// Keeps the shape of a long key that is wanted. Answers what was kept beside the one that goes.
    pub(super) fn keep(&mut self, key: &[u8], found: &Found, lanes: &Lanes) -> (u16, Change) {
        let mark = mark_of(key.len(), found).expect("such a shape is wanted");
        let starts = [0, CHUNK, (key.len() - CHUNK).min(2 * CHUNK)];
        let at = |nth: usize, place: usize| Some(starts[nth] + place);
        let shape = Shape::new(found.node, mark, lanes, at);
        let len = key.len();
        if len <= WHOLE_BYTES_MAX {
            self.whole.keep(len - LONG_BYTES_MIN, shape)
        } else {
            self.far.keep(len % FAR_PLACES, shape)
        }
    }
}

/// How a shape tells keys of this length, if it can.
fn mark_of(len: usize, found: &Found) -> Option<u32> {
    if len <= WHOLE_BYTES_MAX {
        Some(len as u32)
    } else if !found.is_open && found.end() <= WHOLE_BYTES_MAX {
        Some(BY_CHUNKS)
    } else {
        (found.is_open && found.end() <= CHUNK).then_some(IS_OPEN)
    }
}

/// Whether a key of 33 to 48 bytes has a shape.
fn has_whole(shape: &Shape<CHUNKS>, key: &[u8]) -> bool {
    ends(key).is_some_and(|ends| shape.is_of(ends, key.len() as u32))
}

/// Whether a longer one has it.
fn has_far(shape: &Shape<CHUNKS>, key: &[u8], delimiters: &Delimiters) -> bool {
    match (shape.mark, chunks(key)) {
        (BY_CHUNKS, Some(chunks)) => shape.is_of(chunks, BY_CHUNKS),
        (IS_OPEN, _) => has_open(shape, key, delimiters),
        _ => false,
    }
}

/// Whether a longer one begins as this says and has no further delimiter.
#[inline(always)]
fn has_open(shape: &Shape<CHUNKS>, key: &[u8], delimiters: &Delimiters) -> bool {
    let seen = &key[..key.len().min(SEEN_BYTES)];
    let (Some([first, second, third]), Some(last)) = (chunks(key), seen.last_chunk()) else {
        return false;
    };
    let [beginning, ..] = &shape.ranges;
    scan::holds_alone(beginning, first, [second, third, last], delimiters)
}

/// The first three chunks of a key that has them.
#[inline(always)]
fn chunks(key: &[u8]) -> Option<[&[u8; CHUNK]; CHUNKS]> {
    let first = key.first_chunk::<WHOLE_BYTES_MAX>()?;
    let (Some(one), Some(two), Some(three)) = (
        first[..].first_chunk(),
        first[CHUNK..].first_chunk(),
        first[2 * CHUNK..].first_chunk(),
    ) else {
        return None;
    };
    Some([one, two, three])
}

/// The first two chunks of a key, and its last.
#[inline(always)]
fn ends(key: &[u8]) -> Option<[&[u8; CHUNK]; CHUNKS]> {
    let first = key.first_chunk::<{ 2 * CHUNK }>()?;
    let (one, two) = (first.first_chunk()?, first.last_chunk()?);
    Some([one, two, key.last_chunk()?])
}
