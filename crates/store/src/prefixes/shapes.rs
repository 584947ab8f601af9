//! Owns the quickest way from a key to its account: the shapes of the beginnings of keys met lately.
//! Never happens here: an answer that the tree would not give; whoever changes the tree clears this.
//! Source: direct-mapped caches; of sixteen bytes one step says whether each is what it may be.
//!
//! Keys of one shape count in one account: their prefix is the same but for the digits of numbers,
//! and a number is an identifier whatever its digits are.
#![forbid(unsafe_code)]

use super::scan::{self, CHUNK, Delimiters, Ranges};

const PLACES: usize = 128;
/// Odd, and its bits in no order.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
/// A shape in the place of another is replaced at every so many keys that come by without having it.
const PATIENCE: u32 = 8;

/// What chooses the place of a shape: up to eight bytes of the first segment, by where that ends.
static MASKS: [u64; CHUNK] = {
    let mut masks = [u64::MAX; CHUNK];
    let mut end = 0;
    while end < 7 {
        masks[end] = (1 << (8 * end + 8)) - 1;
        end += 1;
    }
    // It ends there or later.
    masks[CHUNK - 1] = 0;
    masks
};

/// What keys have in common that count in one account.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Shape {
    ranges: Ranges,
    /// Where delimiters are among the first sixteen bytes, as bits.
    delimiters: u32,
    node: u16,
    /// A longer key has this shape if no delimiter follows in what is seen of it.
    key_bytes_max: usize,
}

/// No key has it: of sixteen bytes no more can be delimiters.
const NONE: Shape = Shape {
    ranges: Ranges::ANY,
    delimiters: u32::MAX,
    node: 0,
    key_bytes_max: 0,
};

/// Shapes of keys, each in the one place it may be in.
#[derive(Debug)]
pub(super) struct Shapes {
    places: Box<[Shape; PLACES]>,
    /// Keys that did not have the shape in their place.
    strangers: u32,
}

impl Shapes {
    pub(super) fn new() -> Shapes {
        Shapes {
            places: Box::new([NONE; PLACES]),
            strangers: 0,
        }
    }

    pub(super) fn clear(&mut self) {
        self.places.fill(NONE);
    }

    pub(super) fn heap_bytes(&self) -> u64 {
        crate::collections::heap_bytes(size_of::<[Shape; PLACES]>())
    }

    /// The account of a key, if its shape is known. Nothing is where there are several delimiters.
    #[inline(always)]
    pub(super) fn find(&self, key: &[u8], delimiters: &Delimiters) -> Option<u16> {
        let (chunk, found) = scan::look_ahead(key, delimiters);
        let shape = &self.places[place_of(&chunk, found)];
        let fits = shape.delimiters == found
            && shape.ranges.hold(&chunk)
            && (key.len() <= shape.key_bytes_max || !scan::goes_on(key, delimiters));
        fits.then_some(shape.node)
    }

    /// Keeps the shape of a key whose account is known: its prefix ends with the lowest bit of
    /// `last`, and the key would have another if a delimiter followed, or not.
    #[inline(never)]
    pub(super) fn keep(
        &mut self,
        key: &[u8],
        last: u64,
        is_open: bool,
        delimiters: &Delimiters,
        node: u16,
    ) {
        let end = if last == 0 {
            0
        } else {
            last.trailing_zeros() as usize + 1
        };
        if delimiters.has_several() || end > CHUNK {
            return;
        }
        let (chunk, found) = scan::look_ahead(key, delimiters);
        let place = &mut self.places[place_of(&chunk, found)];
        self.strangers = self.strangers.wrapping_add(1);
        if place.delimiters != NONE.delimiters && !self.strangers.is_multiple_of(PATIENCE) {
            return;
        }
        *place = Shape {
            ranges: ranges_of(&chunk[..end], found),
            delimiters: found,
            node,
            key_bytes_max: if is_open { CHUNK } else { usize::MAX },
        };
    }
}

/// What the bytes of a prefix may be: themselves, or digits where a segment is a number.
fn ranges_of(prefix: &[u8], delimiters: u32) -> Ranges {
    let mut ranges = Ranges::ANY;
    let mut start = 0;
    for (end, byte) in prefix.iter().enumerate() {
        ranges.set(end, *byte..=*byte);
        if delimiters >> end & 1 == 1 {
            if prefix[start..end].iter().all(u8::is_ascii_digit) {
                (start..end).for_each(|digit| ranges.set(digit, b'0'..=b'9'));
            }
            start = end + 1;
        }
    }
    ranges
}

#[inline(always)]
fn place_of(chunk: &[u8; CHUNK], delimiters: u32) -> usize {
    const SHIFT: u32 = u64::BITS - PLACES.ilog2();
    const LAST: u32 = 1 << (CHUNK - 1);
    let [head, _] = scan::words(chunk);
    let first = head & MASKS[(delimiters | LAST).trailing_zeros() as usize % CHUNK];
    ((first ^ u64::from(delimiters)).wrapping_mul(FACTOR) >> SHIFT) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prefixes::shortcuts::Shortcuts;
    use crate::random::Rng;
    use std::collections::HashMap;

    /// The prefix of a key byte by byte, numbers as `*`; up to so many segments.
    fn prefix_of(key: &[u8], depth: usize) -> Vec<u8> {
        let seen = &key[..key.len().min(scan::SEEN_BYTES)];
        let mut segments: Vec<&[u8]> = seen.split(|byte| *byte == b':').collect();
        // What follows the last delimiter is in no prefix.
        segments.pop();
        segments.truncate(depth);
        let mut prefix = Vec::new();
        for segment in segments {
            let is_number = !segment.is_empty() && segment.iter().all(u8::is_ascii_digit);
            prefix.extend_from_slice(if is_number { b"*" } else { segment });
            prefix.push(b':');
        }
        prefix
    }

    fn keep(shortcuts: &mut Shortcuts, key: &[u8], node: u16) {
        let (seen, last) = shortcuts.look(key);
        shortcuts.keep_shape(key, seen, last, node);
    }

    fn random_key(rng: &mut Rng) -> Vec<u8> {
        let bytes = b"::::::ab{}/;0123456789\0\xff";
        let len_max = if rng.below(8) == 0 { 90 } else { 24 };
        let len = rng.below(len_max);
        let pick = |_| bytes[rng.below(bytes.len() as u64) as usize];
        let mut key: Vec<u8> = (0..len).map(pick).collect();
        // What applications have, so that shapes are met again.
        if rng.below(3) > 0 {
            let names: [&[u8]; 4] = [b"user:", b"us:", b"42:", b"a:b2:"];
            key.splice(..0, names[rng.below(4) as usize].iter().copied());
        }
        key
    }

    #[test]
    fn a_shape_answers_for_any_key_what_a_look_at_each_byte_does() {
        for depth in [1, 2] {
            let mut rng = Rng::seeded(depth as u64);
            let mut shortcuts = Shortcuts::new([b':'; 4], depth as u8);
            let mut nodes: HashMap<Vec<u8>, u16> = HashMap::new();
            let mut hits = [0; 2];
            for _ in 0..60_000 {
                let key = random_key(&mut rng);
                let next = u16::try_from(nodes.len()).expect("fewer keys than numbers");
                let node = *nodes.entry(prefix_of(&key, depth)).or_insert(next);
                match shortcuts.find_by_shape(&key) {
                    Some(found) => {
                        assert_eq!(found, node, "{}", key.escape_ascii());
                        hits[usize::from(key.len() > CHUNK)] += 1;
                    }
                    None => keep(&mut shortcuts, &key, node),
                }
            }
            assert!(hits.iter().all(|hits| *hits > 1000), "{hits:?}");
        }
    }

    #[test]
    fn numbers_of_one_length_have_one_shape() {
        let mut shortcuts = Shortcuts::new([b':'; 4], 2);
        let finds = |key: &[u8]| shortcuts.find_by_shape(key);
        assert_eq!(finds(b"user:0000000042:name"), None);
        keep(&mut shortcuts, b"user:0000000042:name", 7);
        let finds = |key: &[u8]| shortcuts.find_by_shape(key);
        assert_eq!(finds(b"user:9876543210:mail:and more"), Some(7));
        assert_eq!(finds(b"user:987654321:mail"), None);
        assert_eq!(finds(b"user:987654321f:mail"), None);
        assert_eq!(finds(b"used:9876543210:mail"), None);
    }

    #[test]
    fn a_delimiter_that_follows_makes_another_prefix() {
        let mut shortcuts = Shortcuts::new([b':'; 4], 2);
        keep(&mut shortcuts, b"session:1", 7);
        keep(&mut shortcuts, b"nothing", 8);
        let long = |end: &[u8]| [b"session:", &[b'x'; 40][..], end].concat();
        assert_eq!(shortcuts.find_by_shape(&long(b"")), Some(7));
        assert_eq!(shortcuts.find_by_shape(&long(b":")), None);
        assert_eq!(shortcuts.find_by_shape(b"session:1:"), None);
        assert_eq!(shortcuts.find_by_shape(b"a longer one without"), Some(8));
        shortcuts.clear();
        assert_eq!(shortcuts.find_by_shape(b"session:1"), None);
    }

    #[test]
    fn one_shape_takes_the_place_of_another_only_with_patience() {
        let mut shortcuts = Shortcuts::new([b':'; 4], 2);
        // The second segment does not choose the place.
        keep(&mut shortcuts, b"user:mail:1", 7);
        for _ in 0..PATIENCE - 2 {
            keep(&mut shortcuts, b"user:name:1", 8);
            assert_eq!(shortcuts.find_by_shape(b"user:mail:2"), Some(7));
        }
        keep(&mut shortcuts, b"user:name:1", 8);
        assert_eq!(shortcuts.find_by_shape(b"user:name:2"), Some(8));
        assert_eq!(shortcuts.find_by_shape(b"user:mail:2"), None);
    }

    #[test]
    fn no_shape_is_kept_of_several_delimiters() {
        let mut shortcuts = Shortcuts::new(*b":/::", 2);
        keep(&mut shortcuts, b"user:1", 7);
        assert_eq!(shortcuts.find_by_shape(b"user:1"), None);
    }
}
