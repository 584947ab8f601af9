//! Owns what a tree tells of its accounts, and the proof that they are right.
//! Never happens here: a change.
//! Source: as the tree's own.
#![forbid(unsafe_code)]

use std::cmp::Reverse;

use crate::account::Footprint;
use crate::prefixes::lacking::Lacking;
use crate::prefixes::{Change, PrefixReport, PrefixRow, Sums};

use super::{NO_PREFIX, NODES_MAX, Place, Tree};

impl Tree {
    /// Every account, or only so many of the largest, and those with their histories; `elapsed_ms` are since minute 0.
    pub(crate) fn report(&self, elapsed_ms: u64, largest: Option<usize>) -> PrefixReport {
        let settled = self.settled();
        let row = |node: u16| {
            let sums = settled[usize::from(node)];
            PrefixRow::of(sums, self.past.trend(node, sums.bytes, elapsed_ms))
        };
        let named = self.names.iter();
        let mut named: Vec<(&[u8], u16)> = named.map(|(name, node)| (&**name, *node)).collect();
        if let Some(count) = largest {
            let bytes = |(_, node): &(_, u16)| Reverse(settled[usize::from(*node)].bytes);
            named.sort_unstable_by_key(bytes);
            named.truncate(count);
        }
        let told = |(name, node): (&[u8], u16)| {
            let history = largest.and_then(|_| self.past.copy(node));
            let row = row(node);
            (name.into(), PrefixRow { history, ..row })
        };
        let prefixes = named.into_iter().map(told).collect();
        let none = (!self.nodes.is_empty()).then(|| row(NO_PREFIX));
        let other = self.others.sums();
        let other_trend = self.past.trend_of_other(other.bytes, elapsed_ms);
        PrefixReport {
            prefixes,
            collapsed: self.collapsed().cloned().collect(),
            none: none.unwrap_or_default(),
            other: PrefixRow::of(other, other_trend),
        }
    }

    /// The account of a key's prefix, if it has one.
    pub(crate) fn account_of(&self, key: &[u8]) -> Option<u16> {
        match self.find(key) {
            Place::Node(NO_PREFIX) | Place::Missing { .. } => None,
            Place::Node(node) => Some(node),
        }
    }

    /// The names of accounts for which `is_wanted`, each with its number, in no order.
    pub(crate) fn names_of(&self, is_wanted: impl Fn(u16) -> bool) -> Vec<(Box<[u8]>, u16)> {
        let named = self.names.iter();
        let wanted = named.filter(|(_, node)| is_wanted(**node));
        wanted.map(|(name, node)| (name.clone(), *node)).collect()
    }

    /// Asserts that these keys are what the accounts say.
    pub(crate) fn check<'a>(&self, keys: impl Iterator<Item = (&'a [u8], Footprint)>) {
        let mut sums = vec![Sums::default(); self.nodes.len()];
        let mut other = Sums::default();
        for (key, footprint) in keys {
            let place = match self.find(key) {
                Place::Node(node) => {
                    let (seen, last) = self.shortcuts.look(key);
                    let [by_shape, by_beginning] = self.shortcuts.nodes_by_shape(key);
                    for quick in [self.find_seen(key, seen, last), by_shape, by_beginning] {
                        assert_eq!(
                            quick.unwrap_or(node),
                            node,
                            "a quick way of {}",
                            key.escape_ascii()
                        );
                    }
                    let lacks = |lacking: &Lacking| lacking.has(key, seen, last);
                    let is_other = self.others.has_at_once(key)
                        || self.others.has_soon(key)
                        || self.others.lacking().is_some_and(lacks);
                    assert!(!is_other, "{} has an account", key.escape_ascii());
                    &mut sums[usize::from(node)]
                }
                Place::Missing { .. } => &mut other,
            };
            place.take_over(Change::between(None, Some(footprint)));
        }
        assert_eq!(other, self.others.sums());
        for (number, settled) in self.settled().into_iter().enumerate() {
            if !self.free.contains(&(number as u16)) {
                assert_eq!(sums[number], settled);
            }
        }
        let held = self.names.len() + self.free.len();
        assert_eq!(held, self.nodes.len().saturating_sub(1));
        assert!(self.names.len() <= NODES_MAX);
        for (name, number) in &self.names {
            let children = self
                .names
                .values()
                .filter(|node| self.node(**node).parent == *number);
            assert_eq!(
                children.count(),
                usize::from(self.node(*number).children),
                "{}",
                name.escape_ascii()
            );
        }
    }
}
