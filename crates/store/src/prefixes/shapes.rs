//! Owns the quickest way from a key to its account: the shapes of the beginnings of keys met lately.
//! Never happens here: an answer that the tree would not give; whoever changes the tree clears this.
//! Source: direct-mapped caches; of sixteen bytes one step says whether each is what it may be.
//!
//! Keys of one shape count in one account: their prefix is the same but for the digits of
//! identifiers. What they add up to is kept beside the shape until the account is asked for.
#![forbid(unsafe_code)]

use super::Change;
use super::lanes::{Found, Lane, lanes_of};
use super::long::{LONG_BYTES_MIN, LongShapes};
use super::scan::{self, CHUNK, Delimiters, Ranges, SEEN_BYTES};

const PLACES: usize = 128;
/// Odd, and their bits in no order.
const FACTORS: [u32; 2] = [0x9e37_79b1, 0x85eb_ca6b];
/// A shape in the place of another is replaced at every so many keys that come by without having it.
const PATIENCE: u32 = 8;
/// Among the marks of a short shape: it has hexadecimal digits.
const IS_HEX: u32 = 1 << 31;

/// What keys have in common that count in one account.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Shape {
    ranges: Ranges,
    pending: Change,
    node: u16,
    /// Where a hexadecimal digit must be, as bits; the range of such a byte has more in it.
    hex_digits: u16,
    /// Of a key of less than sixteen bytes where delimiters are, as bits, and its length.
    marks: u32,
    /// A longer key has this shape only if more is looked at.
    key_bytes_max: u8,
    /// Whether no delimiter may follow.
    is_open: bool,
}

/// No key has it.
const NONE: Shape = Shape {
    ranges: Ranges::ANY,
    pending: Change::NONE,
    node: 0,
    hex_digits: 0,
    marks: u32::MAX,
    key_bytes_max: 0,
    is_open: false,
};

/// Where a shape is: in this place of those of its lengths.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spot {
    /// Keys of less than sixteen bytes.
    Short(usize),
    /// Keys of sixteen and more of which the first sixteen tell most.
    Middle(usize),
    /// Keys of which more is compared.
    Long(usize),
}

/// Shapes of keys, each in the one place it may be in.
#[derive(Debug)]
pub(super) struct Shapes {
    short: Box<[Shape; PLACES]>,
    middle: Box<[Shape; PLACES]>,
    long: LongShapes,
    /// Keys that did not have the shape in their place.
    strangers: u32,
}

impl Shapes {
    pub(super) fn new() -> Shapes {
        Shapes {
            short: Box::new([NONE; PLACES]),
            middle: Box::new([NONE; PLACES]),
            long: LongShapes::new(),
            strangers: 0,
        }
    }

    /// Forgets every shape. What is kept beside them must have been taken.
    pub(super) fn clear(&mut self) {
        debug_assert!(self.pending().all(|(_, pending)| pending == Change::NONE));
        self.short.fill(NONE);
        self.middle.fill(NONE);
        self.long.clear();
    }

    pub(super) fn heap_bytes(&self) -> u64 {
        2 * crate::collections::heap_bytes(size_of::<[Shape; PLACES]>()) + self.long.heap_bytes()
    }

    /// What is kept beside shapes, each with its account.
    pub(super) fn pending(&self) -> impl Iterator<Item = (u16, Change)> {
        let shapes = self.short.iter().chain(self.middle.iter());
        let shapes = shapes.map(|shape| (shape.node, shape.pending));
        shapes.chain(self.long.pending())
    }

    /// The same, which is then no longer here.
    pub(super) fn take_pending(&mut self, mut each: impl FnMut(u16, Change)) {
        for shape in self.short.iter_mut().chain(self.middle.iter_mut()) {
            each(shape.node, std::mem::take(&mut shape.pending));
        }
        self.long.take_pending(&mut each);
    }

    /// The shape of a key, if it is known and quickly told. None is where there are several
    /// delimiters.
    #[inline(always)]
    pub(super) fn find(&self, key: &[u8], delimiters: &Delimiters) -> Option<Spot> {
        let Some(chunk) = key.first_chunk() else {
            let chunk = scan::glance(key);
            let marks = short_marks(key, &chunk, delimiters);
            let place = place_of(&chunk, marks);
            let has = |place: usize| self.short[place].is_of_short(marks, &chunk);
            return self.either(place, has).map(Spot::Short);
        };
        if key.len() < LONG_BYTES_MIN {
            let place = place_of(chunk, delimiters.places(chunk));
            let has = |place: usize| {
                let shape = &self.middle[place];
                shape.ranges.hold(chunk) && shape.allows(key, chunk, delimiters)
            };
            return self.either(place, has).map(Spot::Middle);
        }
        self.long.find(key, delimiters).map(Spot::Long)
    }

    /// The same for a long key whose length has another shape: its beginning may have one.
    pub(super) fn find_far(&self, key: &[u8], delimiters: &Delimiters) -> Option<Spot> {
        let chunk = key.first_chunk().filter(|_| key.len() >= LONG_BYTES_MIN)?;
        let place = place_of(chunk, delimiters.places(chunk));
        let has = |place: usize| {
            let shape = &self.middle[place];
            let is_it = shape.key_bytes_max > 0 || shape.is_hex(chunk);
            is_it && shape.ranges.hold(chunk) && !(shape.is_open && scan::goes_on(key, delimiters))
        };
        self.either(place, has).map(Spot::Middle)
    }

    /// A place or the one beside it, in which a shape may be as well.
    #[inline(always)]
    fn either(&self, place: usize, has: impl Fn(usize) -> bool) -> Option<usize> {
        if has(place) {
            Some(place)
        } else {
            let other = place ^ 1;
            has(other).then_some(other)
        }
    }

    /// What is kept beside a shape.
    #[inline(always)]
    pub(super) fn pending_at(&mut self, spot: Spot) -> &mut Change {
        match spot {
            Spot::Short(place) => &mut self.short[place].pending,
            Spot::Middle(place) => &mut self.middle[place].pending,
            Spot::Long(place) => self.long.pending_at(place),
        }
    }

    /// The account of a shape.
    pub(super) fn node_at(&self, spot: Spot) -> u16 {
        match spot {
            Spot::Short(place) => self.short[place].node,
            Spot::Middle(place) => self.middle[place].node,
            Spot::Long(place) => self.long.node_at(place),
        }
    }

    /// Keeps the shape of a key of which it is known where it counts. `each` is told what was kept
    /// beside the shape that goes.
    pub(super) fn keep(
        &mut self,
        key: &[u8],
        found: &Found,
        delimiters: &Delimiters,
        mut each: impl FnMut(u16, Change),
    ) {
        let Some(delimiter) = delimiters.only() else {
            return;
        };
        let is_patient = !self.note_stranger();
        let is_long = key.len() >= LONG_BYTES_MIN && self.long.wants(key, found, is_patient);
        let near = self.near_place(key, found, delimiters, is_patient);
        if !is_long && near.is_none() {
            return;
        }
        let Some(lanes) = lanes_of(key, found, delimiter) else {
            return;
        };
        if is_long {
            self.long.keep(key, found, &lanes, &mut each);
        }
        if let Some((spot, marks)) = near {
            let place = match spot {
                Spot::Short(place) => &mut self.short[place],
                Spot::Middle(place) | Spot::Long(place) => &mut self.middle[place],
            };
            each(place.node, place.pending);
            *place = Shape::of(key.len(), found, &lanes, marks);
        }
    }

    /// Notes a key that no shape has told quickly. Whether a shape goes for its sake.
    pub(super) fn note_stranger(&mut self) -> bool {
        self.strangers = self.strangers.wrapping_add(1);
        self.strangers.is_multiple_of(PATIENCE)
    }

    /// Where the shape of a key would be that a glance at it tells, and the marks of a short one;
    /// nowhere as long as what is there may stay.
    fn near_place(
        &self,
        key: &[u8],
        found: &Found,
        delimiters: &Delimiters,
        is_patient: bool,
    ) -> Option<(Spot, u32)> {
        if found.end() > CHUNK || self.find_far(key, delimiters).is_some() {
            return None;
        }
        let chunk = scan::glance(key);
        let is_short = key.len() < CHUNK;
        let (places, marks) = if is_short {
            (&self.short, short_marks(key, &chunk, delimiters))
        } else {
            (&self.middle, delimiters.places(&chunk))
        };
        let place = place_of(&chunk, marks);
        let is_free = |place: &usize| places[*place].marks == NONE.marks;
        let free = [place, place ^ 1].into_iter().find(is_free);
        // Of two that are taken, each goes in its turn.
        let taken = place ^ ((self.strangers / PATIENCE) as usize % 2);
        let place = free.or((!is_patient).then_some(taken))?;
        Some(if is_short {
            (Spot::Short(place), marks)
        } else {
            (Spot::Middle(place), 0)
        })
    }
}

impl Shape {
    /// What keys have in common with one of this length, of which it is known what may be where.
    fn of(len: usize, found: &Found, lanes: &[Lane; SEEN_BYTES], marks: u32) -> Shape {
        let (mut ranges, mut hex_digits) = (Ranges::ANY, 0);
        for place in 0..CHUNK {
            let Some(lane) = scan::glanced(len, place).map(|at| lanes[at]) else {
                continue;
            };
            let (first, others) = lane.range();
            ranges.set(place, first, others);
            if matches!(lane, Lane::Hex(_)) {
                hex_digits |= 1 << place;
            }
        }
        let is_hex = hex_digits != 0;
        Shape {
            ranges,
            pending: Change::NONE,
            node: found.node,
            hex_digits,
            marks: marks | if is_hex { IS_HEX } else { 0 },
            key_bytes_max: match (is_hex, found.is_open) {
                (true, _) => 0,
                (false, true) => CHUNK as u8,
                (false, false) => u8::MAX,
            },
            is_open: found.is_open,
        }
    }

    /// Whether a key of less than sixteen bytes with these marks has it.
    #[inline(always)]
    fn is_of_short(&self, marks: u32, chunk: &[u8; CHUNK]) -> bool {
        let is_it = self.marks == marks || self.marks == marks | IS_HEX && self.is_hex(chunk);
        is_it && self.ranges.hold(chunk)
    }

    /// Whether one of sixteen to 32 bytes of which the first sixteen are what they may be has it.
    #[inline(always)]
    fn allows(&self, key: &[u8], chunk: &[u8; CHUNK], delimiters: &Delimiters) -> bool {
        key.len() as u8 <= self.key_bytes_max
            || (self.key_bytes_max > 0 || self.is_hex(chunk))
                && !(self.is_open && key.len() > CHUNK && scan::goes_on_soon(key, delimiters))
    }

    /// Whether hexadecimal digits are where they must be; nothing has none to have.
    fn is_hex(&self, chunk: &[u8; CHUNK]) -> bool {
        let needed = u32::from(self.hex_digits);
        needed != 0 && scan::hex_digits_of(chunk) & needed == needed
    }
}

/// Where delimiters are in the glance at a key of less than sixteen bytes, and its length.
#[inline(always)]
fn short_marks(key: &[u8], chunk: &[u8; CHUNK], delimiters: &Delimiters) -> u32 {
    delimiters.places(chunk) | (key.len() as u32) << CHUNK
}

/// The place of a shape: by the first four bytes and where delimiters are. Where digits are among
/// the four the shape is in several places.
#[inline(always)]
fn place_of(chunk: &[u8; CHUNK], marks: u32) -> usize {
    const SHIFT: u32 = u32::BITS - PLACES.ilog2();
    let [first, second] = FACTORS;
    let [head, _] = scan::words(chunk);
    let mixed = (head as u32) ^ marks.wrapping_mul(first);
    (mixed.wrapping_mul(second) >> SHIFT) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prefixes::ids::is_id;
    use crate::prefixes::shortcuts::Shortcuts;
    use crate::random::Rng;
    use std::collections::HashMap;

    /// The prefix of a key byte by byte, identifiers as `*`; up to so many segments.
    fn prefix_of(key: &[u8], depth: usize) -> Vec<u8> {
        let seen = &key[..key.len().min(SEEN_BYTES)];
        let mut segments: Vec<&[u8]> = seen.split(|byte| *byte == b':').collect();
        // What follows the last delimiter is in no prefix.
        segments.pop();
        segments.truncate(depth);
        let mut prefix = Vec::new();
        for segment in segments {
            prefix.extend_from_slice(if is_id(segment) { b"*" } else { segment });
            prefix.push(b':');
        }
        prefix
    }

    /// What both ways say, which is the same where both say something.
    fn node_of(shortcuts: &Shortcuts, key: &[u8]) -> Option<u16> {
        let [node, far] = shortcuts.nodes_by_shape(key);
        assert!(node.is_none() || far.is_none() || node == far);
        node.or(far)
    }

    fn keep(shortcuts: &mut Shortcuts, key: &[u8], node: u16) {
        let looked = shortcuts.look(key);
        shortcuts.keep_shape(key, looked, node, false, |_, _| {});
    }

    fn random_key(rng: &mut Rng) -> Vec<u8> {
        let bytes = b"::::::ab{}/;0123456789\0\xff";
        let len_max = [90, 24, 24, 24, 6, 6][rng.below(6) as usize];
        let len = rng.below(len_max);
        let pick = |_| bytes[rng.below(bytes.len() as u64) as usize];
        let mut key: Vec<u8> = (0..len).map(pick).collect();
        // What applications have, so that shapes are met again.
        if rng.below(3) > 0 {
            let names: [&[u8]; 6] = [
                b"user:",
                b"us:",
                b"42:",
                b"a:b2:",
                b"{7}:",
                b"aa-long-name:",
            ];
            let (mut name, id) = (names[rng.below(6) as usize].to_vec(), rng.next_u64());
            let id = match rng.below(6) {
                0 => format!("{id:016x}:"),
                1 => format!("{:08X}:", id as u32),
                2 => format!("{{{:03}}}:", id % 1000),
                3 => format!("{:08x}-e89b-12d3-a456-{:012x}:", id as u32, id >> 16),
                _ => String::new(),
            };
            match rng.below(3) {
                0 => name = id.into_bytes(),
                _ => name.extend_from_slice(id.as_bytes()),
            }
            key.splice(..0, name);
        }
        key
    }

    #[test]
    fn a_shape_answers_for_any_key_what_a_look_at_each_byte_does() {
        for depth in [1, 2] {
            let mut rng = Rng::seeded(depth as u64);
            let mut shortcuts = Shortcuts::new([b':'; 4], depth as u8);
            let mut nodes: HashMap<Vec<u8>, u16> = HashMap::new();
            let mut hits = [0; 3];
            for _ in 0..60_000 {
                let key = random_key(&mut rng);
                let next = u16::try_from(nodes.len()).expect("fewer keys than numbers");
                let node = *nodes.entry(prefix_of(&key, depth)).or_insert(next);
                match node_of(&shortcuts, &key) {
                    Some(found) => {
                        assert_eq!(found, node, "{}", key.escape_ascii());
                        hits[(key.len() / CHUNK).min(2)] += 1;
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
        let finds = |key: &[u8]| node_of(&shortcuts, key);
        assert_eq!(finds(b"user:0000000042:name"), None);
        keep(&mut shortcuts, b"user:0000000042:name", 7);
        let finds = |key: &[u8]| node_of(&shortcuts, key);
        assert_eq!(finds(b"user:9876543210:mail:and more"), Some(7));
        assert_eq!(finds(b"user:987654321:mail"), None);
        assert_eq!(finds(b"user:987654321f:mail"), None);
        assert_eq!(finds(b"used:9876543210:mail"), None);
    }

    #[test]
    fn a_delimiter_that_follows_makes_another_prefix() {
        let mut shortcuts = Shortcuts::new([b':'; 4], 2);
        keep(&mut shortcuts, b"session:12345678", 7);
        keep(&mut shortcuts, b"nothing in sight", 8);
        let long = |end: &[u8]| [b"session:", &[b'x'; 40][..], end].concat();
        assert_eq!(node_of(&shortcuts, &long(b"")), Some(7));
        assert_eq!(node_of(&shortcuts, &long(b":")), None);
        assert_eq!(node_of(&shortcuts, b"session:1:2345678"), None);
        assert_eq!(node_of(&shortcuts, b"nothing to be seen"), Some(8));
        shortcuts.clear();
        assert_eq!(node_of(&shortcuts, b"session:12345678"), None);
    }

    #[test]
    fn a_third_shape_takes_the_place_of_one_of_two_only_with_patience() {
        let mut shortcuts = Shortcuts::new([b':'; 4], 2);
        // The second segment does not choose the place.
        keep(&mut shortcuts, b"user:mail:1", 7);
        keep(&mut shortcuts, b"user:name:1", 8);
        let knows = |shortcuts: &Shortcuts| {
            let keys = [b"user:mail:2", b"user:name:2", b"user:city:2"];
            keys.map(|key| node_of(shortcuts, key))
        };
        for _ in 0..PATIENCE - 3 {
            keep(&mut shortcuts, b"user:city:1", 9);
            assert_eq!(knows(&shortcuts), [Some(7), Some(8), None]);
        }
        keep(&mut shortcuts, b"user:city:1", 9);
        let [mail, name, city] = knows(&shortcuts);
        assert_eq!(city, Some(9));
        assert!(mail.is_none() != name.is_none());
    }

    #[test]
    fn identifiers_of_one_length_have_one_shape_and_names_like_them_have_not() {
        let mut shortcuts = Shortcuts::new([b':'; 4], 2);
        let uuid = |digit: char, other: &str| {
            let group = |len| digit.to_string().repeat(len);
            let groups = [8, 4, 4, 4, 11].map(group);
            format!("basket:{}{other}:items", groups.join("-"))
        };
        keep(&mut shortcuts, uuid('a', "9").as_bytes(), 7);
        let node = |shortcuts: &Shortcuts, key: String| node_of(shortcuts, key.as_bytes());
        for (digit, other) in [('0', "f"), ('f', "0"), ('9', "a")] {
            assert_eq!(node(&shortcuts, uuid(digit, other)), Some(7));
        }
        for other in ["g", "`", "/", ":", "-", "A", "_", "@", "\u{7f}"] {
            assert_eq!(node(&shortcuts, uuid('0', other)), None, "{other}");
        }
        keep(&mut shortcuts, b"api:deadbeef:hits", 8);
        keep(&mut shortcuts, b"a:deadbeef:x", 9);
        assert_eq!(node_of(&shortcuts, b"api:0123abcd:hits"), Some(8));
        assert_eq!(node_of(&shortcuts, b"a:de23abcd:x"), Some(9));
        for key in ["api:deadbeeg:hits", "api:dead_eef:hits", "a:deadbe`f:x"] {
            assert_eq!(node_of(&shortcuts, key.as_bytes()), None, "{key}");
        }
    }

    #[test]
    fn no_shape_is_kept_of_several_delimiters() {
        let mut shortcuts = Shortcuts::new(*b":/::", 2);
        keep(&mut shortcuts, b"user:1", 7);
        assert_eq!(node_of(&shortcuts, b"user:1"), None);
    }
}
