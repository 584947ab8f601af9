//! Owns the shapes of keys of more than 32 bytes: one for each length, told by 48 bytes at once.
//! Never happens here: an answer that the tree would not give; whoever changes the tree clears this.
//! Source: as shapes of shorter keys; long keys are names with UUIDs or hashes, all of one length.
#![forbid(unsafe_code)]

use super::Change;
use super::lanes::{Found, Lane};
use super::scan::{self, CHUNK, Delimiters, LongRanges, Ranges, SEEN_BYTES};

/// Shorter keys are not looked for here.
pub(super) const LONG_BYTES_MIN: usize = 2 * CHUNK + 1;
/// Each length up to what is seen of a key has a place, and one is for all that are longer.
const PLACES: usize = SEEN_BYTES + 2 - LONG_BYTES_MIN;

/// What keys of one length have in common that count in one account.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Shape {
    ranges: LongRanges,
    pending: Change,
    node: u16,
    /// Whether a key has it if its first sixteen bytes say so and no delimiter follows.
    is_open: bool,
    /// Not 0 unless a key has it if its first 48 bytes say so, or of a shorter one all.
    is_not_whole: i32,
}

const NONE: Shape = Shape {
    ranges: [[Ranges::ANY; 2]; 3],
    pending: Change::NONE,
    node: 0,
    is_open: false,
    is_not_whole: 1,
};

/// Shapes of long keys.
#[derive(Debug)]
pub(super) struct LongShapes {
    places: Box<[Shape; PLACES]>,
}

impl LongShapes {
    pub(super) fn new() -> LongShapes {
        LongShapes {
            places: Box::new([NONE; PLACES]),
        }
    }

    pub(super) fn clear(&mut self) {
        self.places.fill(NONE);
    }

    pub(super) fn heap_bytes(&self) -> u64 {
        crate::collections::heap_bytes(size_of::<[Shape; PLACES]>())
    }

    pub(super) fn pending(&self) -> impl Iterator<Item = (u16, Change)> {
        self.places.iter().map(|shape| (shape.node, shape.pending))
    }

    pub(super) fn take_pending(&mut self, mut each: impl FnMut(u16, Change)) {
        for shape in self.places.iter_mut() {
            each(shape.node, std::mem::take(&mut shape.pending));
        }
    }

    /// The place of the shape that a long key has.
    #[inline(always)]
    pub(super) fn find(&self, key: &[u8], delimiters: &Delimiters) -> Option<usize> {
        let ([first, second], last) = (chunks(key)?, key.last_chunk()?);
        if key.len() <= 3 * CHUNK {
            let place = key.len() - LONG_BYTES_MIN;
            let shape = &self.places[place];
            let has = scan::all_hold(&shape.ranges, [first, second, last], shape.is_not_whole);
            return has.then_some(place);
        }
        let place = place_of(key);
        let shape = &self.places[place];
        let [.., third] = chunks::<3>(key)?;
        let has = if shape.is_not_whole == 0 {
            scan::all_hold(&shape.ranges, [first, second, third], 0)
        } else {
            let behind = match chunks::<4>(key) {
                Some([.., fourth]) => [second, third, fourth],
                None => [second, third, last],
            };
            shape.is_open && shape.ranges[0][0].hold(first) && delimiters.places_of_any(behind) == 0
        };
        has.then_some(place)
    }

    /// What is kept beside a shape.
    #[inline(always)]
    pub(super) fn pending_at(&mut self, place: usize) -> &mut Change {
        &mut self.places[place].pending
    }

    /// The account of a shape.
    pub(super) fn node_at(&self, place: usize) -> u16 {
        self.places[place].node
    }

    /// Whether the shape of a long key can be kept, and in the place of what is there.
    pub(super) fn wants(&self, key: &[u8], found: &Found, is_patient: bool) -> bool {
        let place = &self.places[place_of(key)];
        let is_taken = place.is_open || place.is_not_whole == 0;
        let [is_open, is_whole] = tellings(key.len(), found);
        (is_open || is_whole) && !(is_taken && is_patient)
    }

    /// Keeps the shape of a long key; as for shorter ones.
    pub(super) fn keep(
        &mut self,
        key: &[u8],
        found: &Found,
        lanes: &[Lane; SEEN_BYTES],
        mut each: impl FnMut(u16, Change),
    ) {
        let [is_open, is_whole] = tellings(key.len(), found);
        let place = &mut self.places[place_of(key)];
        each(place.node, place.pending);
        *place = Shape {
            ranges: ranges_of(key.len(), lanes),
            pending: Change::NONE,
            node: found.node,
            is_open,
            is_not_whole: i32::from(!is_whole),
        };
    }
}

/// Whether sixteen bytes and a look for delimiters tell the shape of a key of this length, and
/// whether 48 bytes do.
fn tellings(len: usize, found: &Found) -> [bool; 2] {
    let is_open = found.is_open && found.end() <= CHUNK;
    let is_whole = len <= 3 * CHUNK || !found.is_open && found.end() <= 3 * CHUNK;
    [is_open, is_whole]
}

/// What may be where in the chunks of a key that are compared.
fn ranges_of(len: usize, lanes: &[Lane; SEEN_BYTES]) -> LongRanges {
    let mut ranges = NONE.ranges;
    let starts = [0, CHUNK, (len - CHUNK).min(2 * CHUNK)];
    for (start, pair) in starts.into_iter().zip(&mut ranges) {
        for place in 0..CHUNK {
            let [one, other] = lanes[start + place].ranges();
            pair[0].set(place, one.0, one.1);
            pair[1].set(place, other.0, other.1);
        }
    }
    ranges
}

#[inline(always)]
fn place_of(key: &[u8]) -> usize {
    (key.len() - LONG_BYTES_MIN).min(PLACES - 1)
}

/// The first so many chunks of a key that has them.
#[inline(always)]
fn chunks<const N: usize>(key: &[u8]) -> Option<[&[u8; CHUNK]; N]> {
    let (chunks, _) = key.as_chunks();
    chunks.first_chunk::<N>().map(|chunks| chunks.each_ref())
}
