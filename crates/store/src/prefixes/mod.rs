//! Owns the accounts of key prefixes: rules of what a prefix is, its sums, and the rows that are told.
//! Never happens here: a walk over keys; `survey` does that and fills a tree as any write does.
//! Source: hierarchical heavy hitters, kept exactly where there is room and as `(other)` beyond.

mod beginnings;
mod ids;
mod lacking;
mod lanes;
mod long;
mod near;
mod others;
mod past;
mod places;
mod rack;
mod scan;
mod shape;
mod shapes;
mod shortcuts;
mod sketch;
mod tree;

pub(crate) use tree::Tree;

use memory::history::{History, Trend};

use crate::account::Footprint;

/// Delimiters there can be.
pub const PREFIX_DELIMITERS_MAX: usize = 4;
/// Segments a prefix can have.
pub const PREFIX_DEPTH_MAX: usize = 2;

/// What a prefix is, and whether prefixes have accounts at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PrefixRules {
    /// Whether prefixes are counted.
    pub is_on: bool,
    /// One to four bytes that end a segment; the first is repeated where there are fewer.
    delimiters: [u8; PREFIX_DELIMITERS_MAX],
    depth: u8,
}

impl Default for PrefixRules {
    /// Counted, up to the second colon.
    fn default() -> PrefixRules {
        PrefixRules {
            is_on: true,
            delimiters: [b':'; PREFIX_DELIMITERS_MAX],
            depth: PREFIX_DEPTH_MAX as u8,
        }
    }
}

impl PrefixRules {
    /// Rules with these delimiters and so many segments; `None` unless there are one to four
    /// delimiters, none of them a letter, a digit, `*` or a zero byte, and one or two segments.
    pub fn new(is_on: bool, delimiters: &[u8], depth: usize) -> Option<PrefixRules> {
        let first = *delimiters.first()?;
        if delimiters.len() > PREFIX_DELIMITERS_MAX
            || delimiters
                .iter()
                .any(|byte| matches!(byte, 0 | b'*') || byte.is_ascii_alphanumeric())
            || !(1..=PREFIX_DEPTH_MAX).contains(&depth)
        {
            return None;
        }
        // A delimiter that differs from the first stands in the second place, if there is any.
        let mut all = [first; PREFIX_DELIMITERS_MAX];
        let others = delimiters.iter().filter(|other| **other != first);
        for (place, other) in all[1..].iter_mut().zip(others) {
            *place = *other;
        }
        Some(PrefixRules {
            is_on,
            delimiters: all,
            depth: depth as u8,
        })
    }
}

impl PrefixRules {
    /// The delimiters, each once.
    pub fn delimiters(&self) -> Vec<u8> {
        let [first, others @ ..] = self.delimiters;
        let others = others.into_iter().filter(|other| *other != first);
        [first].into_iter().chain(others).collect()
    }

    /// The delimiters, some of them more than once.
    pub(crate) fn delimiter_bytes(&self) -> [u8; PREFIX_DELIMITERS_MAX] {
        self.delimiters
    }

    /// Lets a prefix have so many segments, held between one and two.
    pub fn set_depth(&mut self, depth: usize) {
        self.depth = depth.clamp(1, PREFIX_DEPTH_MAX) as u8;
    }

    /// Segments that a prefix can have.
    pub fn depth(&self) -> usize {
        usize::from(self.depth)
    }
}

/// What the keys of one prefix add up to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) bytes: u64,
    pub(crate) keys: u64,
    /// Keys without an expiry.
    pub(crate) lasting_keys: u64,
}

impl Sums {
    /// Adds a change. Some of what it takes away may be in another that is still to come.
    pub(crate) fn take_over(&mut self, change: Change) {
        let [keys, expiring_keys] = change.keys();
        self.bytes = self.bytes.wrapping_add(change.bytes);
        self.keys = self.keys.wrapping_add_signed(keys);
        self.lasting_keys = self.lasting_keys.wrapping_add_signed(keys - expiring_keys);
    }

    /// Whether there can be keys like that.
    fn is_possible(&self) -> bool {
        self.lasting_keys <= self.keys && self.keys <= self.bytes
    }

    pub(crate) fn merge(&mut self, other: Sums) {
        let Sums {
            bytes,
            keys,
            lasting_keys,
        } = other;
        self.bytes += bytes;
        self.keys += keys;
        self.lasting_keys += lasting_keys;
    }
}

/// A change of sums, or several that are not in them yet. What is taken away wraps around.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Change {
    bytes: u64,
    /// Keys, and from the 33rd bit on those with an expiry. They are taken apart as signed numbers:
    /// changes are taken over every minute, in which no half of 2^32 keys come or go.
    counts: u64,
}

impl Change {
    const NONE: Change = Change {
        bytes: 0,
        counts: 0,
    };

    /// What one entry adds.
    #[inline(always)]
    fn of(footprint: Footprint) -> Change {
        Change {
            bytes: footprint.bytes,
            counts: 1 | u64::from(footprint.has_expiry) << u32::BITS,
        }
    }

    #[inline(always)]
    pub(crate) fn between(before: Option<Footprint>, after: Option<Footprint>) -> Change {
        let [before, after] = [before, after].map(|one| one.map_or(Change::NONE, Change::of));
        Change {
            bytes: after.bytes.wrapping_sub(before.bytes),
            counts: after.counts.wrapping_sub(before.counts),
        }
    }

    #[inline(always)]
    fn add(&mut self, other: Change) {
        self.bytes = self.bytes.wrapping_add(other.bytes);
        self.counts = self.counts.wrapping_add(other.counts);
    }

    #[inline(always)]
    fn subtract(&mut self, other: Change) {
        self.bytes = self.bytes.wrapping_sub(other.bytes);
        self.counts = self.counts.wrapping_sub(other.counts);
    }

    /// Keys, and those with an expiry.
    fn keys(self) -> [i64; 2] {
        let keys = i64::from(self.counts as i32);
        let expiring = self.counts.wrapping_add_signed(-keys).cast_signed() >> u32::BITS;
        [keys, expiring]
    }
}

/// The account of one prefix, of one shard or of several.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct PrefixRow {
    /// Bytes of the blocks of its keys, allocator rounding included.
    pub bytes: u64,
    /// Its keys, expired ones that nobody met yet included.
    pub keys: u64,
    /// Those of them without an expiry.
    pub lasting_keys: u64,
    /// How its bytes have grown.
    pub trend: Trend,
    /// How they came to be, where that was asked for and is worth telling.
    pub history: Option<Box<History>>,
}

impl PrefixRow {
    fn of(sums: Sums, trend: Trend) -> PrefixRow {
        let Sums {
            bytes,
            keys,
            lasting_keys,
        } = sums;
        PrefixRow {
            bytes,
            keys,
            lasting_keys,
            trend,
            history: None,
        }
    }

    /// Adds another row to this one.
    pub fn merge(&mut self, other: &PrefixRow) {
        let PrefixRow {
            bytes,
            keys,
            lasting_keys,
            trend,
            history,
        } = other;
        self.bytes += bytes;
        self.keys += keys;
        self.lasting_keys += lasting_keys;
        self.trend.merge(trend);
        match (&mut self.history, history) {
            (Some(own), Some(theirs)) => own.merge(theirs),
            (own @ None, theirs) => own.clone_from(theirs),
            (Some(_), None) => {}
        }
    }
}

/// The accounts of the prefixes of one database of a shard. All rows together are its dataset.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct PrefixReport {
    /// Prefixes with an account of their own, each as it is named, and their rows. A prefix of two
    /// segments is not part of the one of its first segment. Those without keys are among them.
    pub prefixes: Vec<(Box<[u8]>, PrefixRow)>,
    /// Prefixes of one segment whose second segments are not told apart.
    pub collapsed: Vec<Box<[u8]>>,
    /// Keys without a delimiter.
    pub none: PrefixRow,
    /// Keys whose prefix has no account of its own.
    pub other: PrefixRow,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_take_one_to_four_delimiters_and_one_or_two_segments() {
        assert_eq!(
            PrefixRules::new(true, b":", 2),
            Some(PrefixRules::default())
        );
        assert_eq!(
            PrefixRules::new(true, b"::", 2),
            Some(PrefixRules::default())
        );
        assert!(PrefixRules::new(true, b":/|.", 1).is_some());
        for (delimiters, depth) in [
            (&b""[..], 1),
            (b":/|.-", 1),
            (b"\0", 1),
            (b"*", 1),
            (b":x", 1),
            (b":", 0),
            (b":", 3),
        ] {
            assert_eq!(PrefixRules::new(true, delimiters, depth), None);
        }
    }
}
