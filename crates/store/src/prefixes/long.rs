//! Owns the shapes of keys of more than 32 bytes: told by 48 bytes at once, and found by their lengths.
//! Never happens here: an answer that the tree would not give; whoever changes the tree clears this.
//! Source: as shapes of shorter keys; long keys are names with UUIDs or hashes, all of one length.
#![forbid(unsafe_code)]

use super::Change;
use super::lanes::{Found, Lanes};
use super::near::NearShapes;
use super::rack::Rack;
use super::scan::{self, CHUNK, Delimiters, SEEN_BYTES};
use super::shape::Shape;

/// Shorter keys are not looked for here.
pub(super) const LONG_BYTES_MIN: usize = 2 * CHUNK + 1;
/// Chunks that are compared.
const CHUNKS: usize = 3;
/// Longer keys are not compared whole.
pub(super) const WHOLE_BYTES_MAX: usize = CHUNKS * CHUNK;
/// Lengths of keys that are compared whole.
const WHOLE_LENGTHS: usize = WHOLE_BYTES_MAX + 1 - LONG_BYTES_MIN;
/// Shapes of longer keys are chosen by the length as well, for no other reason than to have few in one rack.
const FAR_LENGTHS: usize = 32;
/// Places of shapes, for each of both.
const PLACES_MAX: usize = 64;

/// Shapes of long keys.
#[derive(Debug)]
pub(super) struct LongShapes {
    pub(super) whole: NearShapes<CHUNKS, WHOLE_LENGTHS>,
    pub(super) far: NearShapes<CHUNKS, FAR_LENGTHS>,
}

/// What came of counting a key beside the only shape of its length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Counted {
    Yes,
    No,
    /// There is more than one, and nothing was counted.
    NotYet,
    /// There is none, and nothing was counted.
    Nowhere,
}

impl LongShapes {
    pub(super) fn new() -> LongShapes {
        LongShapes {
            whole: NearShapes::new(PLACES_MAX),
            far: NearShapes::new(PLACES_MAX),
        }
    }

    /// Counts a key of up to 48 bytes beside the shape of its length, if there is one alone, and answers whether
    /// it has that. If not, [`LongShapes::count_second`] has to follow, as for shorter keys.
    #[inline(always)]
    pub(super) fn count_whole(&mut self, key: &[u8], change: Change) -> Counted {
        let nth = key.len() - LONG_BYTES_MIN;
        count_only(self.whole.rack(nth), change, |shape| has_whole(shape, key))
    }

    /// The same for a longer one.
    #[inline(always)]
    pub(super) fn count_far(
        &mut self,
        key: &[u8],
        delimiters: &Delimiters,
        change: Change,
    ) -> Counted {
        let rack = self.far.rack(key.len() % FAR_LENGTHS);
        count_only(rack, change, |shape| has_far(shape, key, delimiters))
    }

    /// The same beside that of several shapes that is looked at first.
    pub(super) fn count_first(
        &mut self,
        key: &[u8],
        delimiters: &Delimiters,
        change: Change,
    ) -> bool {
        let len = key.len();
        let rack = if len <= WHOLE_BYTES_MAX {
            self.whole.rack(len - LONG_BYTES_MIN)
        } else {
            self.far.rack(len % FAR_LENGTHS)
        };
        let (Some(rack), Some(chunk)) = (rack, key.first_chunk()) else {
            return false;
        };
        let shape = rack.of(chunk);
        shape.pending.add(change);
        if len <= WHOLE_BYTES_MAX {
            has_whole(shape, key)
        } else {
            has_far(shape, key, delimiters)
        }
    }

    /// Takes back what was counted of a key.
    #[inline(always)]
    pub(super) fn take_back(&mut self, key: &[u8], change: Change) {
        let (Some(chunk), len) = (key.first_chunk(), key.len()) else {
            return;
        };
        if len <= WHOLE_BYTES_MAX {
            self.whole.take_back(len - LONG_BYTES_MIN, chunk, change);
        } else {
            self.far.take_back(len % FAR_LENGTHS, chunk, change);
        }
    }

    /// Takes back what was counted of a key that has not the shape that is where it is looked for; counts it
    /// beside that in another place if it has that.
    pub(super) fn count_second(
        &mut self,
        key: &[u8],
        delimiters: &Delimiters,
        change: Change,
    ) -> bool {
        let Some(chunk) = key.first_chunk() else {
            return false;
        };
        let len = key.len();
        if len <= WHOLE_BYTES_MAX {
            let has = |shape: &_| has_whole(shape, key);
            let nth = len - LONG_BYTES_MIN;
            return self.whole.count_second(nth, chunk, change, has);
        }
        let has = |shape: &_| has_far(shape, key, delimiters);
        self.far.count_second(len % FAR_LENGTHS, chunk, change, has)
    }

    /// The account of a long key by the shape that it has.
    pub(super) fn node_of(&self, key: &[u8], delimiters: &Delimiters) -> Option<u16> {
        let len = key.len();
        if len <= WHOLE_BYTES_MAX {
            let nth = len - LONG_BYTES_MIN;
            return self.whole.node_of(nth, |shape| has_whole(shape, key));
        }
        let has = |shape: &_| has_far(shape, key, delimiters);
        self.far.node_of(len % FAR_LENGTHS, has)
    }

    /// Whether the shape of a long key can be kept, and in the place of what is there.
    pub(super) fn wants(&self, key: &[u8], found: &Found, may_stay: bool) -> bool {
        let len = key.len();
        if len <= WHOLE_BYTES_MAX {
            return self.whole.has_room(len - LONG_BYTES_MIN, may_stay);
        }
        let seen = if found.is_open {
            CHUNK
        } else {
            WHOLE_BYTES_MAX
        };
        found.end() <= seen && self.far.has_room(len % FAR_LENGTHS, may_stay)
    }

    /// Keeps the shape of a long key that is wanted; `each` is told what was kept beside those that go.
    pub(super) fn keep(
        &mut self,
        key: &[u8],
        found: &Found,
        lanes: &Lanes,
        (may_stay, turn): (bool, usize),
        each: impl FnMut(u16, Change),
    ) {
        let len = key.len();
        let starts = [0, CHUNK, (len - CHUNK).min(2 * CHUNK)];
        let at = |nth: usize, place: usize| Some(starts[nth] + place);
        let shape = Shape::new(found.node, found.is_open, lanes, at);
        if len <= WHOLE_BYTES_MAX {
            let nth = len - LONG_BYTES_MIN;
            self.whole.keep(nth, shape, may_stay, turn, each);
        } else {
            let nth = len % FAR_LENGTHS;
            self.far.keep(nth, shape, may_stay, turn, each);
        }
    }
}

/// Counts a key beside the only shape of a rack.
#[inline(always)]
fn count_only(
    rack: Option<&mut Rack<CHUNKS>>,
    change: Change,
    has: impl Fn(&Shape<CHUNKS>) -> bool,
) -> Counted {
    let Some(rack) = rack else {
        return Counted::Nowhere;
    };
    let Some(shape) = rack.only() else {
        return Counted::NotYet;
    };
    shape.pending.add(change);
    if has(shape) {
        Counted::Yes
    } else {
        Counted::No
    }
}

/// Whether a key of 33 to 48 bytes has a shape.
#[inline(always)]
fn has_whole(shape: &Shape<CHUNKS>, key: &[u8]) -> bool {
    ends(key).is_some_and(|ends| shape.is_of(ends))
}

/// Whether a key of more than 48 bytes has a shape.
#[inline(always)]
fn has_far(shape: &Shape<CHUNKS>, key: &[u8], delimiters: &Delimiters) -> bool {
    if shape.is_open {
        has_open(shape, key, delimiters)
    } else {
        chunks(key).is_some_and(|chunks| shape.is_of(chunks))
    }
}

/// Whether one begins as this says and has no further delimiter.
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
