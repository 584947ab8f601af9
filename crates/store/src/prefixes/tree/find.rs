//! Owns the ways to the account of a key that make up no name: what a key of no known shape takes.
//! Never happens here: a change, or an answer that the names would not give.
//! Source: as the tree's own.
#![forbid(unsafe_code)]

use crate::prefixes::ids::{is_id, is_id_by_digits};
use crate::prefixes::scan::{self, Seen};
use crate::prefixes::shortcuts::{HEAD_BYTES, LONG_BYTES};

use super::{NO_PREFIX, Name, Tree};

impl Tree {
    /// Where a key counts, if that is found without making up the name of its prefix.
    #[inline(always)]
    pub(super) fn find_seen(&self, key: &[u8], seen: Seen, last: u64) -> Option<u16> {
        if last == 0 {
            return Some(NO_PREFIX);
        }
        let found = self.shortcuts.find(seen.head, last);
        found.or_else(|| self.find_below(key, seen, last))
    }

    /// The same for what the table of short prefixes does not have.
    #[inline(never)]
    fn find_below(&self, key: &[u8], seen: Seen, last: u64) -> Option<u16> {
        if let Some(found) = self.find_below_id(key, seen, last) {
            return Some(found);
        }
        // A short one was looked for already; what takes longest is put off.
        match last.trailing_zeros() as usize {
            ..HEAD_BYTES => self.find_star(key, seen, last),
            HEAD_BYTES..LONG_BYTES => {
                let found = self.find_named(key, seen, last);
                found.or_else(|| self.find_star(key, seen, last))
            }
            _ => {
                let found = self.find_star(key, seen, last);
                found.or_else(|| self.find_named(key, seen, last))
            }
        }
    }

    /// The same for what counts in `*` below its first segment.
    fn find_star(&self, key: &[u8], seen: Seen, last: u64) -> Option<u16> {
        if last == seen.delimiters {
            return None;
        }
        let parent = self.node(self.find_named(key, seen, seen.delimiters)?);
        let first = seen.delimiters.trailing_zeros() as usize + 1;
        let second = last.trailing_zeros() as usize;
        if parent.star == 0 || parent.star_delimiter != key[second] {
            return None;
        }
        let is_star = parent.is_collapsed || {
            let segment = &key[first..second];
            let by_digits = is_id_by_digits(segment, scan::leading_digits(key, first));
            by_digits.unwrap_or_else(|| is_id(segment))
        };
        is_star.then_some(parent.star)
    }

    /// The same for what counts below an identifier.
    fn find_below_id(&self, key: &[u8], seen: Seen, last: u64) -> Option<u16> {
        let first = seen.delimiters.trailing_zeros() as usize;
        let root = self.nodes.first()?;
        let is_id = |from: usize, to: usize| {
            let segment = &key[from..to];
            let by_digits = is_id_by_digits(segment, scan::leading_digits(key, from));
            by_digits.unwrap_or_else(|| is_id(segment))
        };
        if root.star == 0 || root.star_delimiter != key[first] || !is_id(0, first) {
            return None;
        }
        if last == seen.delimiters {
            return Some(root.star);
        }
        let (parent, second) = (self.node(root.star), last.trailing_zeros() as usize);
        if parent.is_collapsed || is_id(first + 1, second) {
            let is_it = parent.star != 0 && parent.star_delimiter == key[second];
            return is_it.then_some(parent.star);
        }
        let mut name = Name::EMPTY;
        name.push(b"*");
        name.push(&key[first..=second]);
        self.names.get(name.text()).copied()
    }

    /// The account whose name is the beginning of a key as it stands there. No identifier is in a
    /// name, so such a beginning has none.
    #[inline(always)]
    fn find_named(&self, key: &[u8], seen: Seen, last: u64) -> Option<u16> {
        match last.trailing_zeros() as usize {
            ..HEAD_BYTES => self.shortcuts.find(seen.head, last),
            HEAD_BYTES..LONG_BYTES => self.shortcuts.find_long(key, seen.head, last),
            place => self.names.get(&key[..=place]).copied(),
        }
    }
}
