//! Owns the quickest way from a key to its account: the shapes of keys met lately.
//! Never happens here: an answer that the tree would not give; whoever changes the tree clears this.
//! Source: our own; which shape a key may have is told by its length and how it begins.
//!
//! Keys of one shape count in one account: their prefix is the same but for the digits of
//! identifiers. What they add up to is kept beside the shape until the account is asked for.
#![forbid(unsafe_code)]

use super::Change;
use super::beginnings::Beginnings;
use super::lanes::{Found, lanes_of};
use super::long::{LONG_BYTES_MIN, LongShapes};
use super::near::NearShapes;
use super::scan::{self, CHUNK, Delimiters};

/// A shape in the place of another is replaced at every so many keys that come by without having it.
const PATIENCE: u32 = 8;
/// The same for keys whose beginning has a shape, which takes them not so long.
const FAR_PATIENCE: u32 = 64;

/// Shapes of keys. Those of each class of lengths take memory from the first on that is kept.
#[derive(Debug)]
pub(super) struct Shapes {
    short: NearShapes<1>,
    middle: NearShapes<2>,
    long: LongShapes,
    beginnings: Beginnings,
    /// Keys of whose length no shape was known.
    strangers: u32,
}

impl Shapes {
    pub(super) fn new() -> Shapes {
        Shapes {
            short: NearShapes::new(),
            middle: NearShapes::new(),
            long: LongShapes::new(),
            beginnings: Beginnings::new(),
            strangers: 0,
        }
    }

    /// Forgets every shape. What is kept beside them must have been taken.
    pub(super) fn clear(&mut self) {
        debug_assert!(self.pending().all(|(_, pending)| pending == Change::NONE));
        self.short.places.forget();
        self.middle.places.forget();
        self.long.whole.forget();
        self.long.far.forget();
        self.beginnings.places.forget();
    }

    pub(super) fn heap_bytes(&self) -> u64 {
        self.short.places.heap_bytes()
            + self.middle.places.heap_bytes()
            + self.long.whole.heap_bytes()
            + self.long.far.heap_bytes()
            + self.beginnings.places.heap_bytes()
    }

    /// What is kept beside shapes, each with its account.
    pub(super) fn pending(&self) -> impl Iterator<Item = (u16, Change)> {
        let near = self.short.places.pending();
        let near = near.chain(self.middle.places.pending());
        let long = self.long.whole.pending().chain(self.long.far.pending());
        near.chain(long).chain(self.beginnings.places.pending())
    }

    /// The same, which is then no longer here.
    pub(super) fn take_pending(&mut self, mut each: impl FnMut(u16, Change)) {
        self.short.places.take_pending(&mut each);
        self.middle.places.take_pending(&mut each);
        self.long.whole.take_pending(&mut each);
        self.long.far.take_pending(&mut each);
        self.beginnings.places.take_pending(&mut each);
    }

    /// Counts a key of sixteen to 32 bytes beside its shape, if that is where it is looked for first.
    /// None is where there are several delimiters.
    #[inline(always)]
    pub(super) fn count_middle(&mut self, key: &[u8], change: Change) -> bool {
        match ends(key) {
            Some(ends) => self.middle.count(key.len(), ends, change),
            None => false,
        }
    }

    /// The same for one of eight to fifteen bytes.
    #[inline(always)]
    pub(super) fn count_short(&mut self, key: &[u8], change: Change) -> bool {
        match scan::glance_at_halves(key) {
            Some(chunk) => self.short.count(key.len(), [&chunk], change),
            None => false,
        }
    }

    /// The same for one of fewer.
    #[inline(always)]
    pub(super) fn count_tiny(&mut self, key: &[u8], change: Change) -> bool {
        self.short.count(key.len(), [&scan::glance(key)], change)
    }

    /// The same for a longer one.
    #[inline(always)]
    pub(super) fn count_long(
        &mut self,
        key: &[u8],
        delimiters: &Delimiters,
        change: Change,
    ) -> bool {
        self.long.count(key, delimiters, change)
    }

    /// Takes back what was counted of a long key that has not the shape in its place.
    #[inline(always)]
    pub(super) fn take_long_back(&mut self, key: &[u8], change: Change) {
        self.long.take_back(key, change);
    }

    /// Counts a key of up to 32 bytes beside its shape, if that is in the second place.
    #[inline(always)]
    pub(super) fn count_second(&mut self, key: &[u8], change: Change) -> bool {
        let len = key.len();
        let has = match ends(key) {
            Some(ends) => len < LONG_BYTES_MIN && self.middle.count_second(len, ends, change),
            None => self.short.count_second(len, [&scan::glance(key)], change),
        };
        if has && self.note_stranger() {
            self.prefer_second(key);
        }
        has
    }

    #[cold]
    #[inline(never)]
    fn prefer_second(&mut self, key: &[u8]) {
        match key.first_chunk() {
            Some(first) => self.middle.prefer_second(key.len(), first),
            None => self.short.prefer_second(key.len(), &scan::glance(key)),
        }
    }

    /// Counts a key beside the shape of its beginning. Answers its account, and whether to keep a shape
    /// that is found quicker.
    pub(super) fn count_beginning(
        &mut self,
        key: &[u8],
        delimiters: &Delimiters,
        change: Change,
    ) -> Option<(u16, bool)> {
        let node = self.beginnings.count(key, delimiters, change)?;
        Some((node, self.note_stranger()))
    }

    /// The accounts of a key by the shapes that it has.
    pub(super) fn nodes_of(&self, key: &[u8], delimiters: &Delimiters) -> [Option<u16>; 2] {
        let len = key.len();
        let node = if len >= LONG_BYTES_MIN {
            self.long.node_of(key, delimiters)
        } else if let Some(ends) = ends(key) {
            let place = self.middle.find(len, ends);
            place.map(|place| self.middle.places.node_at(place))
        } else {
            let place = self.short.find(len, [&scan::glance(key)]);
            place.map(|place| self.short.places.node_at(place))
        };
        let beginning = self.beginnings.find(key, delimiters);
        [
            node,
            beginning.map(|place| self.beginnings.places.node_at(place)),
        ]
    }

    /// Keeps the shape of a key of which it is known where it counts. `each` is told what was kept
    /// beside the shapes that go.
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
        let has_beginning = self.beginnings.find(key, delimiters).is_some();
        let patience = if has_beginning {
            FAR_PATIENCE
        } else {
            self.note_stranger();
            PATIENCE
        };
        let may_stay = !self.strangers.is_multiple_of(patience);
        // Of two that are taken, each goes in its turn.
        let turn = (self.strangers / patience) as usize;
        let beginning = (!has_beginning)
            .then(|| {
                self.beginnings
                    .place_for(key, found, delimiters, may_stay, turn)
            })
            .flatten();
        let len = key.len();
        let whole = if len >= LONG_BYTES_MIN {
            self.long.wants(key, found, may_stay).then_some(0)
        } else if let Some(first) = key.first_chunk() {
            self.middle.place_for(len, first, may_stay, turn)
        } else {
            self.short
                .place_for(len, &scan::glance(key), may_stay, turn)
        };
        if whole.is_none() && beginning.is_none() {
            return;
        }
        let Some(lanes) = lanes_of(key, found, delimiter) else {
            return;
        };
        if let Some(place) = beginning {
            let (node, pending) = self.beginnings.keep(place, found, &lanes);
            each(node, pending);
        }
        let Some(place) = whole else {
            return;
        };
        let (node, pending) = if len >= LONG_BYTES_MIN {
            self.long.keep(key, found, &lanes)
        } else if len >= CHUNK {
            let at = |nth, place| Some(nth * (len - CHUNK) + place);
            self.middle.keep(place, len, found.node, &lanes, at)
        } else {
            let at = |_, place| scan::glanced(len, place);
            self.short.keep(place, len, found.node, &lanes, at)
        };
        each(node, pending);
    }

    /// Notes a key whose shape was not where it is looked for first. Whether one may go for its sake.
    #[inline(always)]
    fn note_stranger(&mut self) -> bool {
        self.strangers = self.strangers.wrapping_add(1);
        self.strangers.is_multiple_of(PATIENCE)
    }
}

/// The first sixteen bytes of a key, and the last sixteen.
#[inline(always)]
fn ends(key: &[u8]) -> Option<[&[u8; CHUNK]; 2]> {
    Some([key.first_chunk()?, key.last_chunk()?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prefixes::ids::is_id;
    use crate::prefixes::scan::SEEN_BYTES;
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
