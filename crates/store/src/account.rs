//! Owns the running account of one database: keys, expiring keys and bytes, by kind of value.
//! Never happens here: a look at an entry; the door of the shard settles what changed.
//! Source: double-entry books; a full recount must always agree.
#![forbid(unsafe_code)]

use crate::value::{KINDS, Kind};

/// What one entry counts for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Footprint {
    pub(crate) kind: Kind,
    pub(crate) bytes: u64,
    pub(crate) has_expiry: bool,
    /// Whether fields of it may expire.
    pub(crate) has_field_expiry: bool,
}

/// What an entry counts for, or that there is none, in two words: it passes in registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packed {
    bytes: u64,
    marks: u32,
}

impl Packed {
    const NONE: u32 = u32::MAX;

    #[inline(always)]
    pub(crate) fn of(footprint: Option<Footprint>) -> Packed {
        match footprint {
            Some(Footprint {
                kind,
                bytes,
                has_expiry,
                has_field_expiry,
            }) => Packed {
                bytes,
                marks: kind as u32 | u32::from(has_expiry) << 8 | u32::from(has_field_expiry) << 9,
            },
            None => Packed {
                bytes: 0,
                marks: Packed::NONE,
            },
        }
    }

    pub(crate) fn footprint(self) -> Option<Footprint> {
        let Packed { bytes, marks } = self;
        (marks != Packed::NONE).then(|| Footprint {
            kind: Kind::ALL[(marks & 0xff) as usize],
            bytes,
            has_expiry: marks >> 8 & 1 != 0,
            has_field_expiry: marks >> 9 & 1 != 0,
        })
    }
}

/// Keys of one kind and the bytes of their entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KindAccount {
    /// Keys.
    pub keys: u64,
    /// Bytes of their blocks, allocator rounding included.
    pub bytes: u64,
}

/// What the keys of one database, or of several, add up to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Account {
    /// By kind, in the order of [`Kind::ALL`].
    pub kinds: [KindAccount; KINDS],
    /// Keys that have an expiry.
    pub expiring_keys: u64,
    /// Hashes with fields that have an expiry.
    pub field_expiring_keys: u64,
}

impl Account {
    /// Keys of every kind.
    #[inline]
    pub fn keys(&self) -> u64 {
        self.kinds.iter().map(|kind| kind.keys).sum()
    }

    /// Whether anything may expire.
    pub(crate) fn may_expire(&self) -> bool {
        self.expiring_keys + self.field_expiring_keys > 0
    }

    /// Bytes of every kind.
    pub fn bytes(&self) -> u64 {
        self.kinds.iter().map(|kind| kind.bytes).sum()
    }

    #[inline(always)]
    pub(crate) fn add(&mut self, footprint: Footprint) {
        let kind = &mut self.kinds[footprint.kind as usize];
        kind.keys += 1;
        kind.bytes += footprint.bytes;
        self.expiring_keys += u64::from(footprint.has_expiry);
        self.field_expiring_keys += u64::from(footprint.has_field_expiry);
    }

    #[inline(always)]
    pub(crate) fn subtract(&mut self, footprint: Footprint) {
        let kind = &mut self.kinds[footprint.kind as usize];
        debug_assert!(kind.keys > 0 && kind.bytes >= footprint.bytes);
        kind.keys -= 1;
        kind.bytes -= footprint.bytes;
        debug_assert!(!footprint.has_expiry || self.expiring_keys > 0);
        self.expiring_keys -= u64::from(footprint.has_expiry);
        debug_assert!(!footprint.has_field_expiry || self.field_expiring_keys > 0);
        self.field_expiring_keys -= u64::from(footprint.has_field_expiry);
    }

    /// Adds another account to this one.
    pub fn merge(&mut self, other: &Account) {
        let Account {
            kinds,
            expiring_keys,
            field_expiring_keys,
        } = other;
        for (mine, theirs) in self.kinds.iter_mut().zip(kinds) {
            let KindAccount { keys, bytes } = theirs;
            mine.keys += keys;
            mine.bytes += bytes;
        }
        self.expiring_keys += expiring_keys;
        self.field_expiring_keys += field_expiring_keys;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_and_subtracted_leaves_nothing() {
        let footprint = Footprint {
            kind: Kind::String,
            bytes: 56,
            has_expiry: true,
            has_field_expiry: false,
        };
        let mut account = Account::default();
        account.add(footprint);
        assert_eq!(
            (account.keys(), account.bytes(), account.expiring_keys),
            (1, 56, 1)
        );
        account.subtract(footprint);
        assert_eq!(account, Account::default());
    }

    #[test]
    fn a_packed_footprint_is_the_same_again() {
        for kind in Kind::ALL {
            for has_expiry in [false, true] {
                let footprint = Footprint {
                    kind,
                    bytes: 1 << 40,
                    has_expiry,
                    has_field_expiry: !has_expiry,
                };
                assert_eq!(Packed::of(Some(footprint)).footprint(), Some(footprint));
            }
        }
        assert_eq!(Packed::of(None).footprint(), None);
    }

    #[test]
    fn merging_adds_every_figure() {
        let footprint = Footprint {
            kind: Kind::String,
            bytes: 40,
            has_expiry: false,
            has_field_expiry: false,
        };
        let (mut one, mut other) = (Account::default(), Account::default());
        one.add(footprint);
        other.add(footprint);
        one.merge(&other);
        assert_eq!((one.keys(), one.bytes(), one.expiring_keys), (2, 80, 0));
    }
}
