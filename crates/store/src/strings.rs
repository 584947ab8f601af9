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
        self.edit(db, key, len + tail.len(), now, |value| {
            value[len..].copy_from_slice(tail);
            value.len()
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
        if bytes.is_empty() {
            return self.peek(db, key, now).map_or(0, |entry| entry.value_len());
        }
        let end = offset + bytes.len();
        self.edit(db, key, end, now, |value| {
            value[offset..end].copy_from_slice(bytes);
            value.len()
        })
    }

    /// Makes the string of a key, which may be missing, at least `len` bytes long, with zeroes at
    /// its end, and lets `edit` change it in place. Returns what `edit` returns.
    pub fn edit<T>(
        &mut self,
        db: usize,
        key: Key,
        len: usize,
        now: Millis,
        edit: impl FnOnce(&mut [u8]) -> T,
    ) -> T {
        let found = self.find(db, key, now).or_else(|| {
            let nothing = Value::Bytes {
                bytes: &[],
                raw: true,
            };
            self.set(db, key, nothing, Expiry::Clear, now);
            self.find(db, key, now)
        });
        let Some(found) = found else {
            unreachable!("the key was made at the same moment")
        };
        let before = self.entry(found.block).footprint();
        let block = edit::lengthen_value(&mut self.slab, found.block, len, self.base);
        let result = edit(edit::value_mut(&mut self.slab, block, self.base));
        // The expiry is what it was, and noted.
        self.changed(db, key.hash, found, block, before, None, now);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::Options;
    use crate::value::Encoding;

    const NOW: Millis = Millis(0);

    fn shard() -> Shard {
        Shard::new(Options {
            seeds: [1, 2, 3, 4],
            ..Options::default()
        })
        .unwrap()
    }

    fn key(shard: &Shard) -> Key<'static> {
        Key {
            bytes: b"key",
            hash: shard.hash(b"key"),
        }
    }

    fn text(shard: &mut Shard) -> (Vec<u8>, Encoding) {
        let key = key(shard);
        let entry = shard.read(0, key, NOW).unwrap();
        match entry.value() {
            Value::Bytes { bytes, .. } => (bytes.to_vec(), entry.encoding()),
            Value::Int(number) => (number.to_string().into_bytes(), entry.encoding()),
        }
    }

    #[test]
    fn appending_to_a_missing_key_makes_it() {
        let mut shard = shard();
        let key = key(&shard);
        assert_eq!(shard.append(0, key, b"12", NOW), 2);
        assert_eq!(text(&mut shard), (b"12".to_vec(), Encoding::Int));
    }

    #[test]
    fn appending_to_an_integer_appends_to_its_text() {
        let mut shard = shard();
        let key = key(&shard);
        shard.set(0, key, Value::Int(-7), Expiry::Clear, NOW);
        assert_eq!(shard.append(0, key, b"8", NOW), 3);
        assert_eq!(text(&mut shard), (b"-78".to_vec(), Encoding::Raw));
    }

    #[test]
    fn a_string_appended_to_byte_by_byte_grows_through_every_size() {
        let mut shard = shard();
        let key = key(&shard);
        let mut expected = Vec::new();
        for number in 0..20_000u32 {
            expected.push(number as u8);
            assert_eq!(shard.append(0, key, &[number as u8], NOW), expected.len());
        }
        assert_eq!(text(&mut shard), (expected, Encoding::Raw));
        shard.check();
    }

    #[test]
    fn appending_to_a_large_string_copies_it_seldom() {
        let mut shard = shard();
        let key = key(&shard);
        shard.append(0, key, &[b'x'; 100_000], NOW);
        let mut sizes = std::collections::HashSet::new();
        for _ in 0..100_000 {
            shard.append(0, key, b"y", NOW);
            sizes.insert(shard.usage(0, key, NOW));
        }
        assert!(sizes.len() < 12, "{} sizes", sizes.len());
    }

    #[test]
    fn writing_a_range_pads_with_zeroes_and_keeps_what_lies_beyond() {
        let mut shard = shard();
        let key = key(&shard);
        assert_eq!(shard.set_range(0, key, 3, b"abc", NOW), 6);
        assert_eq!(text(&mut shard), (b"\0\0\0abc".to_vec(), Encoding::Raw));
        assert_eq!(shard.set_range(0, key, 1, b"z", NOW), 6);
        assert_eq!(text(&mut shard).0, b"\0z\0abc");
        assert_eq!(shard.set_range(0, key, 100_000, b"end", NOW), 100_003);
        assert_eq!(text(&mut shard).0.len(), 100_003);
        shard.check();
    }

    #[test]
    fn writing_an_empty_range_changes_nothing() {
        let mut shard = shard();
        let key = key(&shard);
        assert_eq!(shard.set_range(0, key, 10, b"", NOW), 0);
        assert_eq!(shard.len(0), 0);
        shard.set(0, key, Value::Int(12), Expiry::Clear, NOW);
        assert_eq!(shard.set_range(0, key, 10, b"", NOW), 2);
        assert_eq!(text(&mut shard).1, Encoding::Int);
    }

    #[test]
    fn editing_makes_a_missing_key_of_zeroes_and_answers_what_the_edit_answers() {
        let mut shard = shard();
        let key = key(&shard);
        let first = shard.edit(0, key, 3, NOW, |value| {
            value[2] = 7;
            value[0]
        });
        assert_eq!(first, 0);
        assert_eq!(shard.edit(0, key, 1, NOW, |value| value.len()), 3);
        assert_eq!(text(&mut shard), (b"\0\0\x07".to_vec(), Encoding::Raw));
        shard.check();
    }

    #[test]
    fn editing_keeps_the_expiry() {
        let mut shard = shard();
        let key = key(&shard);
        let at = Millis(5000);
        shard.set(0, key, Value::Int(1), Expiry::At(at), NOW);
        shard.append(0, key, b"abc", NOW);
        shard.set_range(0, key, 9000, b"abc", NOW);
        assert_eq!(shard.peek(0, key, NOW).unwrap().expiry(), Some(at));
        assert_eq!(shard.expiring(0), 1);
    }
}
