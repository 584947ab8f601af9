//! Owns commands that edit a string in place: appending, and overwriting a range.
//! Never happens here: the limit of a string's length; the caller checks it before.
//! Source: APPEND and SETRANGE of Redis.
#![forbid(unsafe_code)]

use crate::entry::edit;
use crate::hasher::Key;
use crate::shard::Shard;
use crate::value::{Expiry, Millis, Value};

impl Shard {
    /// Appends to the string of a key, which may be missing. Returns its new length in bytes.
    pub fn append(&mut self, db: usize, key: Key, tail: &[u8], now: Millis) -> usize {
        let Some(entry) = self.peek(db, key, now) else {
            self.set(db, key, Value::from_bytes(tail), Expiry::Clear, now);
            return tail.len();
        };
        let len = entry.value_len();
        self.edit_string(db, key, len + tail.len(), now, |value| {
            value[len..].copy_from_slice(tail);
        })
    }

    /// Writes `bytes` into the string of a key from `offset` on, with zeroes before them where the
    /// string was shorter. Returns its new length in bytes. Writing nothing changes nothing.
    ///
    /// `offset` and length together are within what the caller allows a string to have.
    pub fn set_range(
        &mut self,
        db: usize,
        key: Key,
        offset: usize,
        bytes: &[u8],
        now: Millis,
    ) -> usize {
        let len = self.peek(db, key, now).map(|entry| entry.value_len());
        if bytes.is_empty() {
            return len.unwrap_or(0);
        }
        if len.is_none() {
            let nothing = Value::Bytes {
                bytes: &[],
                raw: true,
            };
            self.set(db, key, nothing, Expiry::Clear, now);
        }
        let end = offset + bytes.len();
        self.edit_string(db, key, end, now, |value| {
            value[offset..end].copy_from_slice(bytes);
        })
    }

    /// Makes the string of a key that is there at least `len` bytes long and lets `edit` change
    /// it. Returns its new length.
    fn edit_string(
        &mut self,
        db: usize,
        key: Key,
        len: usize,
        now: Millis,
        edit: impl FnOnce(&mut [u8]),
    ) -> usize {
        let Some(found) = self.find(db, key, now) else {
            unreachable!("the caller saw this key at the same moment")
        };
        let before = self.entry(found.block).footprint();
        let block = edit::lengthen_value(&mut self.slab, found.block, len, self.base);
        let value = edit::value_mut(&mut self.slab, block, self.base);
        let len = value.len();
        edit(value);
        // The expiry is what it was, and noted.
        self.changed(db, key.hash, found, block, before, None, now);
        len
    }
}
