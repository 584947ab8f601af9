//! Owns the quick way from a short prefix to its account: a small table of prefixes seen before.
//! Never happens here: an answer that the tree would not give; whoever changes the tree clears this.
//! Source: direct-mapped caches; prefixes of up to sixteen bytes are compared as two words.
#![forbid(unsafe_code)]

use super::lanes::Found;
use super::long::Counted;
use super::places::Places;
use super::scan::{self, Delimiters, Seen, masked};
use super::shapes::Shapes;
use super::{Change, PREFIX_DELIMITERS_MAX};

const PLACES: usize = 512;
const LONG_PLACES: usize = 256;
/// Longer ones are found in a table of their own.
pub(super) const HEAD_BYTES: usize = 16;
/// Longer prefixes have no shortcut.
pub(super) const LONG_BYTES: usize = 2 * HEAD_BYTES;
/// Odd, and its bits in no order.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// No prefix: those end in a delimiter.
const NOWHERE: Shortcut = Shortcut {
    head: [u64::MAX; 2],
    node: 0,
};

/// A prefix as it stands in keys, and its account.
#[derive(Clone, Copy, Debug)]
struct Shortcut {
    /// The prefix with its last delimiter, zeroes behind it.
    head: [u64; 2],
    node: u16,
}

/// The same for a prefix of 17 to 32 bytes.
#[derive(Clone, Copy, Debug)]
struct LongShortcut {
    heads: [[u64; 2]; 2],
    node: u16,
}

const LONG_NOWHERE: LongShortcut = LongShortcut {
    heads: [[u64::MAX; 2]; 2],
    node: 0,
};

/// The quick way to accounts.
#[derive(Debug)]
pub(super) struct Shortcuts {
    shapes: Shapes,
    places: Places<Shortcut, PLACES>,
    long_places: Places<LongShortcut, LONG_PLACES>,
    delimiters: Delimiters,
    depth: u8,
}

impl Shortcuts {
    pub(super) fn new(delimiters: [u8; PREFIX_DELIMITERS_MAX], depth: u8) -> Shortcuts {
        Shortcuts {
            shapes: Shapes::new(),
            places: Places::NONE,
            long_places: Places::NONE,
            delimiters: Delimiters::new(delimiters),
            depth,
        }
    }

    pub(super) fn clear(&mut self) {
        self.shapes.clear();
        self.places.clear(NOWHERE);
        self.long_places.clear(LONG_NOWHERE);
    }

    pub(super) fn heap_bytes(&self) -> u64 {
        self.places.heap_bytes() + self.long_places.heap_bytes() + self.shapes.heap_bytes()
    }

    /// What ends a segment.
    pub(super) fn delimiters(&self) -> &Delimiters {
        &self.delimiters
    }

    /// Segments that count.
    pub(super) fn depth(&self) -> u8 {
        self.depth
    }

    /// The shapes of keys.
    #[inline(always)]
    pub(super) fn shapes(&mut self) -> &mut Shapes {
        &mut self.shapes
    }

    /// Counts a key of more than 48 bytes beside its shape, if that is known.
    #[inline(always)]
    pub(super) fn count_far(&mut self, key: &[u8], change: Change) -> Counted {
        self.shapes.count_far(key, &self.delimiters, change)
    }

    /// The same for one of more than 32 of whose length several shapes are known.
    #[inline(always)]
    pub(super) fn count_first(&mut self, key: &[u8], change: Change) -> bool {
        self.shapes.count_first(key, &self.delimiters, change)
    }

    /// Takes back what was counted of a key that has not the shape that was looked at; counts it beside the one
    /// next to that if it has that.
    #[inline(always)]
    pub(super) fn count_second(&mut self, key: &[u8], change: Change) -> bool {
        self.shapes.count_second(key, &self.delimiters, change)
    }

    /// Takes back what was counted of a key beside the shape that was looked at.
    #[inline(always)]
    pub(super) fn take_back(&mut self, key: &[u8], change: Change) {
        self.shapes.take_back(key, change);
    }

    /// Counts a key beside the shape of its beginning, if that is known. Answers its account, and
    /// whether it is time to keep a shape that is quicker told.
    pub(super) fn count_beginning(&mut self, key: &[u8], change: Change) -> Option<(u16, bool)> {
        self.shapes.count_beginning(key, &self.delimiters, change)
    }

    /// The accounts of a key by the shapes that it has.
    pub(super) fn nodes_by_shape(&self, key: &[u8]) -> [Option<u16>; 2] {
        self.shapes.nodes_of(key, &self.delimiters)
    }

    /// Keeps the shape of a key that counts in this account. `each` is told what was kept beside the
    /// one that goes for it.
    pub(super) fn keep_shape(
        &mut self,
        key: &[u8],
        (seen, last): (Seen, u64),
        node: u16,
        is_joined: bool,
        each: impl FnMut(u16, Change),
    ) {
        let end = |bits: u64| {
            if bits == 0 {
                0
            } else {
                bits.trailing_zeros() as usize + 1
            }
        };
        let has_second = last != seen.delimiters;
        let found = Found {
            node,
            ends: [end(seen.delimiters), if has_second { end(last) } else { 0 }],
            is_open: self.depth > 1 && !has_second || last == 0,
            is_joined: has_second && is_joined,
        };
        self.shapes.keep(key, &found, &self.delimiters, each);
    }

    /// What is kept beside shapes, each with its account.
    pub(super) fn pending(&self) -> impl Iterator<Item = (u16, Change)> {
        self.shapes.pending()
    }

    /// The same, which is then no longer here.
    pub(super) fn take_pending(&mut self, each: impl FnMut(u16, Change)) {
        self.shapes.take_pending(each);
    }

    /// Looks at a key: where its first segment ends, and the last one that counts, each as a bit;
    /// zeroes for a key without a delimiter.
    #[inline(always)]
    pub(super) fn look(&self, key: &[u8]) -> (Seen, u64) {
        let seen = scan::look(key, &self.delimiters);
        let rest = seen.delimiters & seen.delimiters.wrapping_sub(1);
        let last = if rest == 0 || self.depth == 1 {
            seen.delimiters
        } else {
            rest
        };
        (seen, last)
    }

    /// The account of the prefix that ends with the lowest bit of `last`, if it is known here.
    #[inline(always)]
    pub(super) fn find(&self, head: [u64; 2], last: u64) -> Option<u16> {
        let head = masked(head, last);
        let shortcut = self.places.at(place_of(head))?;
        (shortcut.head == head).then_some(shortcut.node)
    }

    /// As [`Shortcuts::find`], for a prefix of 17 to 32 bytes.
    #[inline(always)]
    pub(super) fn find_long(&self, key: &[u8], head: [u64; 2], last: u64) -> Option<u16> {
        let heads = [head, masked(scan::second_head(key), last >> HEAD_BYTES)];
        let shortcut = self.long_places.at(long_place_of(heads))?;
        (shortcut.heads == heads).then_some(shortcut.node)
    }

    /// Keeps the way to the account of the prefix that ends with the lowest bit of `last`.
    pub(super) fn keep(&mut self, key: &[u8], head: [u64; 2], last: u64, node: u16) {
        match last.trailing_zeros() as usize {
            ..HEAD_BYTES => {
                let head = masked(head, last);
                let shortcut = Shortcut { head, node };
                self.places.put(place_of(head), shortcut, NOWHERE);
            }
            HEAD_BYTES..LONG_BYTES => {
                let heads = [head, masked(scan::second_head(key), last >> HEAD_BYTES)];
                let place = long_place_of(heads);
                let shortcut = LongShortcut { heads, node };
                self.long_places.put(place, shortcut, LONG_NOWHERE);
            }
            _ => {}
        }
    }
}

#[inline(always)]
fn long_place_of([first, [low, high]]: [[u64; 2]; 2]) -> usize {
    place_of([first[0] ^ low, first[1] ^ high.rotate_left(7)]) % LONG_PLACES
}

#[inline(always)]
fn place_of([low, high]: [u64; 2]) -> usize {
    const SHIFT: u32 = u64::BITS - PLACES.ilog2();
    ((low ^ high).wrapping_mul(FACTOR) >> SHIFT) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_end_with_their_delimiters_within_the_first_64_bytes() {
        let ends = |depth, key: &[u8]| {
            let (seen, last) = Shortcuts::new(*b":/::", depth).look(key);
            [seen.delimiters, last].map(|bits| bits.trailing_zeros())
        };
        assert_eq!(ends(2, b"plain"), [64, 64]);
        assert_eq!(ends(2, b"a:b"), [1, 1]);
        assert_eq!(ends(2, b"a/b:c:d"), [1, 3]);
        assert_eq!(ends(1, b"a:b:c"), [1, 1]);
        assert_eq!(ends(2, b"::"), [0, 1]);
        let long = [&[b'x'; 62][..], b"/::"].concat();
        assert_eq!(ends(2, &long), [62, 63]);
        assert_eq!(ends(2, &long[1..]), [61, 62]);
        assert_eq!(ends(2, &[&b"yy"[..], &long].concat()), [64, 64]);
    }

    #[test]
    fn the_way_to_a_prefix_serves_its_keys_alone() {
        let mut shortcuts = Shortcuts::new([b':'; 4], 2);
        let find = |shortcuts: &Shortcuts, key| {
            let (seen, last) = shortcuts.look(key);
            shortcuts.find(seen.head, last)
        };
        let keep = |shortcuts: &mut Shortcuts, key, node| {
            let (seen, last) = shortcuts.look(key);
            shortcuts.keep(key, seen.head, last, node);
        };
        keep(&mut shortcuts, b"user:1", 7);
        assert_eq!(find(&shortcuts, b"user:2"), Some(7));
        assert_eq!(find(&shortcuts, b"usee:2"), None);
        assert_eq!(find(&shortcuts, b"user:name:2"), None);
        keep(&mut shortcuts, b"user:name:3", 8);
        assert_eq!(find(&shortcuts, b"user:name:2"), Some(8));
        shortcuts.clear();
        assert_eq!(find(&shortcuts, b"user:2"), None);
        keep(&mut shortcuts, b"seventeen letters:1", 9);
        assert_eq!(find(&shortcuts, b"seventeen letters:1"), None);
        let find_long = |shortcuts: &Shortcuts, key| {
            let (seen, last) = shortcuts.look(key);
            shortcuts.find_long(key, seen.head, last)
        };
        assert_eq!(find_long(&shortcuts, b"seventeen letters:22"), Some(9));
        assert_eq!(find_long(&shortcuts, b"seventeen lettert:22"), None);
    }
}
