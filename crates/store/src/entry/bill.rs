//! Owns the bill of one key.
//! Never happens here: an estimate; the items add up to what the accounts hold.
//! Source: MEMORY USAGE of Redis, itemised.
#![forbid(unsafe_code)]

use super::Entry;
use crate::account::Footprint;
use crate::value::Kind;

/// What one key costs, item by item; the items add up to MEMORY USAGE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bill {
    /// Its slot in the index.
    pub slot_bytes: u64,
    /// The entry's header.
    pub header_bytes: u64,
    /// Its expiry.
    pub expiry_bytes: u64,
    /// The key.
    pub key_bytes: u64,
    /// The value: of a large collection the blocks of its elements and what holds them together.
    pub value_bytes: u64,
    /// Tables by which the elements of a large collection are found.
    pub tables_bytes: u64,
    /// References to parts outside the block.
    pub reference_bytes: u64,
    /// What the allocators rounded up, spare capacity included.
    pub rounding_bytes: u64,
}

impl Entry<'_> {
    /// What the entry counts for in the accounts.
    #[inline(always)]
    pub(crate) fn footprint(&self) -> Footprint {
        if !self.is_string() || self.owns_heap() {
            return self.footprint_beyond_block();
        }
        Footprint {
            kind: Kind::String,
            bytes: self.block_bytes() as u64,
            has_expiry: self.has_expiry(),
            has_field_expiry: false,
        }
    }

    #[inline(never)]
    fn footprint_beyond_block(&self) -> Footprint {
        Footprint {
            kind: self.kind(),
            bytes: self.bytes(),
            has_expiry: self.has_expiry(),
            has_field_expiry: self.may_expire_fields(),
        }
    }
}

impl Bill {
    /// The sum of all items.
    pub fn total_bytes(&self) -> u64 {
        let Bill {
            slot_bytes,
            header_bytes,
            expiry_bytes,
            key_bytes,
            value_bytes,
            tables_bytes,
            reference_bytes,
            rounding_bytes,
        } = *self;
        slot_bytes
            + header_bytes
            + expiry_bytes
            + key_bytes
            + value_bytes
            + tables_bytes
            + reference_bytes
            + rounding_bytes
    }
}
