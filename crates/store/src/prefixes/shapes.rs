//! Owns the quickest way from a key to its account: the shapes of keys met lately.
//! Never happens here: an answer that the tree would not give; whoever changes the tree clears this.
//! Source: our own; which shape a key may have is told by its length and how it begins.
//!
//! Keys of one shape count in one account: their prefix is the same but for the digits of
//! identifiers. What they add up to is kept beside the shape until the account is asked for.
#![forbid(unsafe_code)]

use super::Change;
use super::beginnings::Beginnings;
use super::lanes::{Found, Lanes, lanes_of};
use super::long::{Counted, LONG_BYTES_MIN, LongShapes};
use super::near::NearShapes;
use super::scan::{self, CHUNK, Delimiters};
use super::shape::Shape;

/// A shape in the place of another is replaced at every so many keys that come by without having it.
const PATIENCE: u32 = 8;
/// The same for keys whose beginning has a shape, which takes them not so long.
const FAR_PATIENCE: u32 = 64;

const MIDDLE_LENGTHS: usize = LONG_BYTES_MIN - CHUNK;
/// Places of shapes, for each class of lengths.
const PLACES_MAX: usize = 128;

/// Shapes of keys. Those of each class of lengths take memory from the first on that is kept.
#[derive(Debug)]
pub(super) struct Shapes {
    /// Of up to fifteen bytes.
    short: NearShapes<1, CHUNK>,
    /// Of sixteen to 32.
    middle: NearShapes<2, MIDDLE_LENGTHS>,
    long: LongShapes,
    beginnings: Beginnings,
    /// Keys of whose length no shape was known.
    strangers: u32,
}

impl Shapes {
    pub(super) fn new() -> Shapes {
        Shapes {
            short: NearShapes::new(PLACES_MAX),
            middle: NearShapes::new(PLACES_MAX),
            long: LongShapes::new(),
            beginnings: Beginnings::new(),
            strangers: 0,
        }
    }

    /// Forgets every shape. What is kept beside them must have been taken.
    pub(super) fn clear(&mut self) {
        debug_assert!(self.pending().all(|(_, pending)| pending == Change::NONE));
        self.short.forget();
        self.middle.forget();
        self.long.whole.forget();
        self.long.far.forget();
        self.beginnings.places.forget();
    }

    pub(super) fn heap_bytes(&self) -> u64 {
        self.short.heap_bytes()
            + self.middle.heap_bytes()
            + self.long.whole.heap_bytes()
            + self.long.far.heap_bytes()
            + self.beginnings.places.heap_bytes()
    }

    /// What is kept beside shapes, each with its account.
    pub(super) fn pending(&self) -> impl Iterator<Item = (u16, Change)> {
        let near = self.short.pending();
        let near = near.chain(self.middle.pending());
        let long = self.long.whole.pending().chain(self.long.far.pending());
        near.chain(long).chain(self.beginnings.places.pending())
    }

    /// The same, which is then no longer here.
    pub(super) fn take_pending(&mut self, mut each: impl FnMut(u16, Change)) {
        self.short.take_pending(&mut each);
        self.middle.take_pending(&mut each);
        self.long.whole.take_pending(&mut each);
        self.long.far.take_pending(&mut each);
        self.beginnings.places.take_pending(&mut each);
    }

    /// Counts a key of sixteen to 32 bytes beside its shape, if that is where it is looked for first. `None` if no
    /// shape of its length is known, as where there are several delimiters.
    #[inline(always)]
    pub(super) fn count_middle(&mut self, key: &[u8], change: Change) -> Option<bool> {
        self.middle.count(key.len() - CHUNK, ends(key)?, change)
    }

    /// The same for one of eight to fifteen bytes.
    #[inline(always)]
    pub(super) fn count_short(&mut self, key: &[u8], change: Change) -> Option<bool> {
        let chunk = scan::glance_at_halves(key)?;
        self.short.count(key.len(), [&chunk], change)
    }

    /// The same for one of fewer.
    #[inline(always)]
    pub(super) fn count_tiny(&mut self, key: &[u8], change: Change) -> Option<bool> {
        self.short.count(key.len(), [&scan::glance(key)], change)
    }

    /// The same for one of 33 to 48.
    #[inline(always)]
    pub(super) fn count_whole(&mut self, key: &[u8], change: Change) -> Counted {
        self.long.count_whole(key, change)
    }

    /// The same for a longer one.
    #[inline(always)]
    pub(super) fn count_far(
        &mut self,
        key: &[u8],
        delimiters: &Delimiters,
        change: Change,
    ) -> Counted {
        self.long.count_far(key, delimiters, change)
    }

    /// The same for one of more than 32 bytes of whose length there are several.
    pub(super) fn count_first(
        &mut self,
        key: &[u8],
        delimiters: &Delimiters,
        change: Change,
    ) -> bool {
        self.long.count_first(key, delimiters, change)
    }

    /// Takes back what was counted of a key that has not the shape in its place.
    #[inline(always)]
    pub(super) fn take_back(&mut self, key: &[u8], change: Change) {
        let len = key.len();
        match key.first_chunk() {
            _ if len >= LONG_BYTES_MIN => self.long.take_back(key, change),
            Some(chunk) => self.middle.take_back(len - CHUNK, chunk, change),
            None => self.short.take_back(len, &scan::glance(key), change),
        }
    }

    /// Takes back what was counted of a key that has not the shape in its place; counts it beside the one next
    /// to that if it has that.
    #[inline(always)]
    pub(super) fn count_second(
        &mut self,
        key: &[u8],
        delimiters: &Delimiters,
        change: Change,
    ) -> bool {
        let len = key.len();
        match ends(key) {
            _ if len >= LONG_BYTES_MIN => self.long.count_second(key, delimiters, change),
            Some(ends) => {
                let has = |shape: &Shape<2>| shape.is_of(ends);
                self.middle.count_second(len - CHUNK, ends[0], change, has)
            }
            None => {
                let chunk = scan::glance(key);
                let has = |shape: &Shape<1>| shape.is_of([&chunk]);
                self.short.count_second(len, &chunk, change, has)
            }
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
        let node = match ends(key) {
            _ if len >= LONG_BYTES_MIN => self.long.node_of(key, delimiters),
            Some(ends) => self.middle.node_of(len - CHUNK, |shape| shape.is_of(ends)),
            None => {
                let chunk = scan::glance(key);
                self.short.node_of(len, |shape| shape.is_of([&chunk]))
            }
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
        let is_wanted = match len {
            LONG_BYTES_MIN.. => self.long.wants(key, found, may_stay),
            CHUNK.. => self.middle.has_room(len - CHUNK, may_stay),
            _ => self.short.has_room(len, may_stay),
        };
        if !is_wanted && beginning.is_none() {
            return;
        }
        let Some(lanes) = lanes_of(key, found, delimiter) else {
            return;
        };
        if let Some(place) = beginning {
            let (node, pending) = self.beginnings.keep(place, found, &lanes);
            each(node, pending);
        }
        if is_wanted {
            self.keep_whole(key, found, &lanes, (may_stay, turn), each);
        }
    }

    fn keep_whole(
        &mut self,
        key: &[u8],
        found: &Found,
        lanes: &Lanes,
        (may_stay, turn): (bool, usize),
        each: impl FnMut(u16, Change),
    ) {
        let (len, node) = (key.len(), found.node);
        if len >= LONG_BYTES_MIN {
            self.long.keep(key, found, lanes, (may_stay, turn), each);
        } else if len >= CHUNK {
            let at = |nth, place| Some(nth * (len - CHUNK) + place);
            let shape = Shape::new(node, found.is_open, lanes, at);
            self.middle.keep(len - CHUNK, shape, may_stay, turn, each);
        } else {
            let at = |_, place| scan::glanced(len, place);
            let shape = Shape::new(node, found.is_open, lanes, at);
            self.short.keep(len, shape, may_stay, turn, each);
        }
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
    use crate::prefixes::near::RACK_PLACES_MAX;
    use crate::prefixes::scan::SEEN_BYTES;
    use crate::prefixes::shortcuts::Shortcuts;
    use crate::prefixes::tree::NO_PREFIX;
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
            let mut nodes: HashMap<Vec<u8>, u16> = HashMap::from([(Vec::new(), NO_PREFIX)]);
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

    /// How many of these keys are counted beside the shape that is looked at first.
    fn firsts(shortcuts: &mut Shortcuts, keys: &[String]) -> usize {
        let counted = keys.iter().filter(|key| {
            let (key, change) = (key.as_bytes(), Change::NONE);
            let counted = match key.len() {
                CHUNK.. => shortcuts.shapes().count_middle(key, change),
                _ => shortcuts.shapes().count_short(key, change),
            };
            counted == Some(true)
        });
        counted.count()
    }

    #[test]
    fn names_of_one_length_have_places_of_their_own() {
        let mut shortcuts = Shortcuts::new([b':'; 4], 2);
        let names = [
            "user:mail:",
            "user:name:",
            "user:city:",
            "item:mail:",
            "item:name:",
            "USER:MAIL:",
            "USER:NAME:",
            "session:m:",
            "session:n:",
            "a:bbbbbbb:",
            "something:",
            "somethink:",
        ];
        for id in [1, 1_000_000] {
            let keys: Vec<String> = names.iter().map(|name| format!("{name}{id}")).collect();
            for (node, key) in keys.iter().enumerate() {
                assert_eq!(node_of(&shortcuts, key.as_bytes()), None);
                keep(&mut shortcuts, key.as_bytes(), node as u16 + 1);
            }
            let others = names.map(|name| format!("{name}{}", id * 9));
            for (node, key) in others.iter().enumerate() {
                let known = node_of(&shortcuts, key.as_bytes());
                assert_eq!(known, Some(node as u16 + 1), "{key}");
            }
            assert_eq!(firsts(&mut shortcuts, &others), names.len());
        }
    }

    #[test]
    fn what_names_begin_with_does_not_matter_where_names_are_told_apart_by_nothing_else() {
        let mut shortcuts = Shortcuts::new([b':'; 4], 2);
        // The second has letters where the first has what it has for a name.
        keep(&mut shortcuts, b"user:alice", 7);
        keep(&mut shortcuts, b"post:1:abc", 8);
        let keys = ["user:bobby", "user:carol", "post:9:xyz", "post:0:zyx"].map(str::to_owned);
        assert_eq!(firsts(&mut shortcuts, &keys), keys.len());
        // So the third is beside the second, or nowhere.
        keep(&mut shortcuts, b"post:1:7:a", 9);
        assert_eq!(node_of(&shortcuts, b"user:david"), Some(7));
    }

    #[test]
    fn keys_without_a_prefix_are_found_whatever_they_begin_with() {
        let mut shortcuts = Shortcuts::new([b':'; 4], 2);
        let known = ["user:1", "item:1", "123456", "tail:1", "123:me"];
        for (node, key) in [7, 8, 0, 9, 10].into_iter().zip(known) {
            keep(&mut shortcuts, key.as_bytes(), node);
        }
        let mut is_counted = |key: &str| {
            let (key, change) = (key.as_bytes(), Change::NONE);
            let is_first = shortcuts.shapes().count_tiny(key, change) == Some(true);
            [is_first, is_first || shortcuts.count_second(key, change)]
        };
        for key in ["user:2", "item:3", "tail:4", "765432", "987:us"] {
            assert_eq!(is_counted(key), [true; 2], "{key}");
        }
        for key in ["visits", "orders", "zz top", "123xyz"] {
            assert!(is_counted(key)[1], "{key}");
        }
    }

    #[test]
    fn where_there_is_no_room_a_shape_takes_the_place_of_another_only_with_patience() {
        let mut shortcuts = Shortcuts::new([b':'; 4], 2);
        // More than a length has places for.
        let keys: Vec<String> = (0..200).map(|nth| format!("n{nth:03}e:1")).collect();
        let mut knows = Vec::new();
        for (node, key) in keys.iter().enumerate() {
            keep(&mut shortcuts, key.as_bytes(), node as u16 + 1);
            let known = keys.iter().enumerate().filter(|(node, key)| {
                let found = node_of(&shortcuts, key.as_bytes());
                assert!(found.is_none_or(|found| usize::from(found) == node + 1));
                found.is_some()
            });
            knows.push(known.count());
        }
        let most = *knows.iter().max().expect("some are known");
        assert!((8..=RACK_PLACES_MAX).contains(&most), "{most}");
        // It goes on with those that come, at every few keys.
        let last = (0..2 * PATIENCE).any(|_| {
            keep(&mut shortcuts, b"n999e:1", 999);
            node_of(&shortcuts, b"n999e:2") == Some(999)
        });
        assert!(last);
    }

    #[test]
    fn a_full_rack_goes_for_a_shape_that_it_has_no_way_to() {
        let mut shortcuts = Shortcuts::new([b':'; 4], 2);
        for nth in 0..200 {
            keep(
                &mut shortcuts,
                format!("n{nth:03}e:123").as_bytes(),
                nth + 1,
            );
        }
        // Digits are where those have letters, by which they are told apart.
        let keys = ["k:1234567", "k:9999999", "k:1020304"].map(str::to_owned);
        assert!(firsts(&mut shortcuts, &keys) < keys.len());
        for _ in 0..2 * PATIENCE {
            keep(&mut shortcuts, b"k:1234567", 999);
        }
        assert_eq!(firsts(&mut shortcuts, &keys), keys.len());
    }

    #[test]
    fn more_lengths_than_there_is_room_for_have_their_turns() {
        let mut shortcuts = Shortcuts::new([b':'; 4], 2);
        let mut key = |name: usize, len: usize| {
            let key = format!("name{name:02}:{}", "1".repeat(len - 7));
            for _ in 0..4 * PATIENCE {
                keep(&mut shortcuts, key.as_bytes(), name as u16 + 1);
            }
            let found = node_of(&shortcuts, key.as_bytes());
            assert_eq!(found, Some(name as u16 + 1), "{key}");
            assert!(shortcuts.heap_bytes() < 128 << 10);
        };
        for name in 0..40 {
            (8..=48).for_each(|len| key(name, len));
        }
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
