//! Owns the quick way from a key to the account of its prefix: a small table of prefixes seen before.
//! Never happens here: an answer that the tree would not give; whoever changes the tree clears this.
//! Source: direct-mapped caches; prefixes of up to sixteen bytes are compared as two words.
#![forbid(unsafe_code)]

use super::PREFIX_DELIMITERS_MAX;
use super::scan::{self, Delimiters};

/// The account of keys without a delimiter.
pub(super) const NO_PREFIX: u16 = 0;

const PLACES: usize = 512;
const HEAD_BYTES: usize = 16;
/// Odd, and its bits in no order.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// What is kept of so many first bytes.
static MASKS: [[u64; 2]; HEAD_BYTES + 1] = {
    let mut masks = [[0; 2]; HEAD_BYTES + 1];
    let mut bytes = 1;
    while bytes <= HEAD_BYTES {
        let both = u128::MAX >> (128 - 8 * bytes as u32);
        masks[bytes] = [both as u64, (both >> 64) as u64];
        bytes += 1;
    }
    masks
};

/// A prefix as it stands in keys, and its account.
#[derive(Clone, Copy, Debug, Default)]
struct Shortcut {
    /// The prefix with its last delimiter, zeroes behind it; all zeroes in an empty place.
    head: [u64; 2],
    node: u16,
    /// The account of what lies below the prefix without being told apart; 0 if there is none.
    star: u16,
    /// The delimiter behind that.
    delimiter: u8,
    /// Whether nothing below is told apart.
    is_collapsed: bool,
}

/// Where the segments of a key end, their delimiters included; 0 for a segment that is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cuts {
    pub(super) first: usize,
    pub(super) second: usize,
}

/// What a first segment leads to.
#[derive(Clone, Copy)]
pub(super) struct Star {
    pub(super) node: u16,
    pub(super) delimiter: u8,
    pub(super) is_collapsed: bool,
}

/// The quick way to accounts.
#[derive(Debug)]
pub(super) struct Shortcuts {
    places: Box<[Shortcut; PLACES]>,
    delimiters: Delimiters,
    depth: u8,
}

impl Shortcuts {
    pub(super) fn new(delimiters: [u8; PREFIX_DELIMITERS_MAX], depth: u8) -> Shortcuts {
        Shortcuts {
            places: Box::new([Shortcut::default(); PLACES]),
            delimiters: Delimiters::new(delimiters),
            depth,
        }
    }

    pub(super) fn clear(&mut self) {
        self.places.fill(Shortcut::default());
    }

    pub(super) fn heap_bytes(&self) -> u64 {
        crate::collections::heap_bytes(size_of::<[Shortcut; PLACES]>())
    }

    /// Where the segments of a key end.
    pub(super) fn cuts(&self, key: &[u8]) -> Cuts {
        self.cuts_of(key, scan::head(key))
    }

    #[inline(always)]
    fn cuts_of(&self, key: &[u8], head: [u64; 2]) -> Cuts {
        let marks = scan::delimiters(key, head, &self.delimiters);
        if marks == 0 {
            return Cuts {
                first: 0,
                second: 0,
            };
        }
        let rest = marks & (marks - 1);
        let second = if rest == 0 || self.depth == 1 {
            0
        } else {
            rest.trailing_zeros() as usize + 1
        };
        Cuts {
            first: marks.trailing_zeros() as usize + 1,
            second,
        }
    }

    /// The account of a key, if it is known here.
    #[inline(always)]
    pub(super) fn find(&self, key: &[u8]) -> Option<u16> {
        let head = scan::head(key);
        let Cuts { first, second } = self.cuts_of(key, head);
        if first == 0 {
            return Some(NO_PREFIX);
        }
        if second == 0 {
            return Some(self.at(head, first)?.node);
        }
        self.find_below(key, head, first, second)
    }

    #[inline(always)]
    fn find_below(&self, key: &[u8], head: [u64; 2], first: usize, second: usize) -> Option<u16> {
        let begins_as_number = key[first].is_ascii_digit();
        if !begins_as_number && let Some(shortcut) = self.at(head, second) {
            return Some(shortcut.node);
        }
        if let Some(shortcut) = self.at(head, first)
            && shortcut.star != 0
            && shortcut.delimiter == key[second - 1]
        {
            let is_star = shortcut.is_collapsed
                || begins_as_number && {
                    let others = !scan::digits(key, head) >> first;
                    first + others.trailing_zeros() as usize >= second - 1
                };
            if is_star {
                return Some(shortcut.star);
            }
        }
        Some(self.at(head, second)?.node)
    }

    /// Keeps the way to the account of a prefix that ends at `end` of a key, and for one segment
    /// what lies below it.
    pub(super) fn keep(&mut self, key: &[u8], end: usize, node: u16, star: Option<Star>) {
        if end > HEAD_BYTES {
            return;
        }
        let head = masked(scan::head(key), end);
        let star = star.unwrap_or(Star {
            node: 0,
            delimiter: 0,
            is_collapsed: false,
        });
        self.places[place_of(head)] = Shortcut {
            head,
            node,
            star: star.node,
            delimiter: star.delimiter,
            is_collapsed: star.is_collapsed,
        };
    }

    #[inline(always)]
    fn at(&self, head: [u64; 2], end: usize) -> Option<&Shortcut> {
        let mask = MASKS.get(end)?;
        let head = [head[0] & mask[0], head[1] & mask[1]];
        let shortcut = &self.places[place_of(head)];
        (shortcut.head == head).then_some(shortcut)
    }
}

fn masked(head: [u64; 2], end: usize) -> [u64; 2] {
    [head[0] & MASKS[end][0], head[1] & MASKS[end][1]]
}

#[inline(always)]
fn place_of([low, high]: [u64; 2]) -> usize {
    const SHIFT: u32 = u64::BITS - PLACES.ilog2();
    ((low ^ high.rotate_left(29)).wrapping_mul(FACTOR) >> SHIFT) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_end_behind_their_delimiters_within_the_first_64_bytes() {
        let cuts = |depth, key: &[u8]| {
            let Cuts { first, second } = Shortcuts::new(*b":/::", depth).cuts(key);
            (first, second)
        };
        assert_eq!(cuts(2, b"plain"), (0, 0));
        assert_eq!(cuts(2, b"a:b"), (2, 0));
        assert_eq!(cuts(2, b"a/b:c:d"), (2, 4));
        assert_eq!(cuts(1, b"a:b:c"), (2, 0));
        assert_eq!(cuts(2, b"::"), (1, 2));
        let long = [&[b'x'; 62][..], b"/::"].concat();
        assert_eq!(cuts(2, &long), (63, 64));
        assert_eq!(cuts(2, &long[1..]), (62, 63));
        assert_eq!(cuts(2, &[&b"yy"[..], &long].concat()), (0, 0));
    }

    #[test]
    fn the_way_to_a_prefix_serves_its_keys_alone() {
        let mut shortcuts = Shortcuts::new([b':'; 4], 2);
        shortcuts.keep(b"user:1", 5, 7, None);
        assert_eq!(shortcuts.find(b"user:2"), Some(7));
        assert_eq!(shortcuts.find(b"usee:2"), None);
        assert_eq!(shortcuts.find(b"user:name:2"), None);
        assert_eq!(shortcuts.find(b"user"), Some(NO_PREFIX));
        shortcuts.keep(b"user:name:3", 10, 8, None);
        assert_eq!(shortcuts.find(b"user:name:2"), Some(8));
        shortcuts.clear();
        assert_eq!(shortcuts.find(b"user:2"), None);
    }

    #[test]
    fn numbers_below_a_prefix_lead_to_its_star() {
        let mut shortcuts = Shortcuts::new([b':'; 4], 2);
        let star = |is_collapsed| {
            Some(Star {
                node: 9,
                delimiter: b':',
                is_collapsed,
            })
        };
        shortcuts.keep(b"user:1:x", 5, 7, star(false));
        assert_eq!(shortcuts.find(b"user:12345678901234:x"), Some(9));
        assert_eq!(shortcuts.find(b"user:1a:x"), None);
        assert_eq!(shortcuts.find(b"user:name:x"), None);
        shortcuts.keep(b"user:1:x", 5, 7, star(true));
        assert_eq!(shortcuts.find(b"user:name:x"), Some(9));
    }
}
