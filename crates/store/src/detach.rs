//! Owns values on their way out of a shard: renamed, copied, moved; and whole databases to be freed.
//! Never happens here: the way itself; a detached value may go to any thread.
//! Source: RENAME, COPY, MOVE and FLUSHDB ASYNC of Redis.
#![forbid(unsafe_code)]

use crate::entry::{Entry, NewValue, edit};
use crate::hasher::Key;
use crate::heap::HeapBlock;
use crate::shard::Shard;
use crate::value::{Expiry, Millis, Value};

/// A value without a key and outside of any shard, with its expiry.
#[derive(Debug)]
pub struct Detached {
    body: Body,
    expiry: Option<Millis>,
}

#[derive(Debug)]
enum Body {
    Int(i64),
    Bytes { bytes: Box<[u8]>, raw: bool },
    Heap(HeapBlock),
}

impl Detached {
    /// The value.
    pub fn value(&self) -> Value<'_> {
        match &self.body {
            Body::Int(number) => Value::Int(*number),
            Body::Bytes { bytes, raw } => Value::Bytes { bytes, raw: *raw },
            Body::Heap(block) => Value::Bytes {
                bytes: block.bytes(),
                raw: true,
            },
        }
    }

    /// When it expires, if it does.
    pub fn expiry(&self) -> Option<Millis> {
        self.expiry
    }

    fn copy_of(entry: Entry) -> Detached {
        let (expiry, on_heap) = (entry.expiry(), entry.is_value_on_heap());
        let body = match entry.value() {
            Value::Int(number) => Body::Int(number),
            Value::Bytes { bytes, .. } if on_heap => Body::Heap(HeapBlock::concat(&[bytes])),
            Value::Bytes { bytes, raw } => Body::Bytes {
                bytes: bytes.into(),
                raw,
            },
        };
        Detached { body, expiry }
    }
}

impl Shard {
    /// Takes a value out; its key is gone. A large value is not copied.
    pub fn take(&mut self, db: usize, key: Key, now: Millis) -> Option<Detached> {
        let found = self.find(db, key, now)?;
        let entry = self.entry(found.block);
        let (footprint, expiry) = (entry.footprint(), entry.expiry());
        let copy = (!entry.is_value_on_heap()).then(|| Detached::copy_of(entry));
        self.databases[db]
            .index
            .remove(&mut self.slab, key.hash, found);
        let heap = edit::dissolve(&mut self.slab, found.block, self.base);
        self.settle(db, Some(footprint), None);
        copy.or(heap.map(|block| Detached {
            body: Body::Heap(block),
            expiry,
        }))
    }

    /// Copies a value out; the key stays and its access is not noted.
    pub fn copy_out(&mut self, db: usize, key: Key, now: Millis) -> Option<Detached> {
        let entry = self.peek(db, key, now)?;
        Some(Detached::copy_of(entry))
    }

    /// Stores a detached value with its expiry under a key, whatever was there. Returns whether
    /// the key was there already.
    pub fn put(&mut self, db: usize, key: Key, detached: Detached, now: Millis) -> bool {
        let Detached { body, expiry } = detached;
        let expiry = expiry.map_or(Expiry::Clear, Expiry::At);
        match body {
            Body::Int(number) => self.set(db, key, Value::Int(number), expiry, now),
            Body::Bytes { bytes, raw } => {
                self.set(db, key, Value::Bytes { bytes: &bytes, raw }, expiry, now)
            }
            Body::Heap(block) => self.store(db, key, NewValue::Heap(block), expiry, now),
        }
    }

    /// Empties a database at once: its keys are gone for every reader and every count. Their
    /// memory is freed by [`Shard::free_step`].
    pub fn detach_database(&mut self, db: usize) {
        let database = std::mem::take(&mut self.databases[db]);
        if database.index.len() > 0 {
            self.graveyard.push(database);
        }
    }

    /// Empties the scratch database and frees all it held.
    pub fn clear_scratch(&mut self) {
        let waiting = self.graveyard.len();
        self.detach_database(self.scratch());
        while self.graveyard.len() > waiting {
            self.free_step(1);
        }
    }

    /// Frees about `budget_keys` keys of detached databases, a segment of up to a thousand at a
    /// time. Returns whether there are more.
    pub fn free_step(&mut self, budget_keys: usize) -> bool {
        let mut freed = 0;
        while let Some(mut database) = self.graveyard.pop() {
            let base = self.base;
            let account = &mut database.account;
            let felled = database.index.fell(&mut self.slab, |slab, block| {
                account.subtract(Entry::at(slab, block, base).footprint());
                edit::destroy(slab, block, base);
            });
            freed += felled.unwrap_or(0);
            if database.index.len() > 0 {
                self.graveyard.push(database);
            } else {
                debug_assert_eq!(database.account, crate::account::Account::default());
            }
            if freed >= budget_keys {
                break;
            }
        }
        !self.graveyard.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::Options;

    const NOW: Millis = Millis(0);

    fn shard() -> Shard {
        Shard::new(Options {
            seeds: [1, 2, 3, 4],
            ..Options::default()
        })
        .unwrap()
    }

    fn address(value: Value) -> usize {
        match value {
            Value::Bytes { bytes, .. } => bytes.as_ptr().addr(),
            Value::Int(_) => 0,
        }
    }

    #[test]
    fn a_large_value_moves_between_shards_without_being_copied() {
        let (mut one, mut other) = (shard(), shard());
        let (from, to) = (one.key(b"from"), other.key(b"to"));
        let value = Value::Bytes {
            bytes: &[b'x'; 100_000],
            raw: false,
        };
        one.set(0, from, value, Expiry::At(Millis(5)), NOW);
        let before = address(one.peek(0, from, NOW).unwrap().value());
        let detached = one.take(0, from, NOW).unwrap();
        assert_eq!((one.len(0), one.accounts().heap_bytes), (0, 0));
        assert!(!other.put(0, to, detached, NOW));
        let entry = other.peek(0, to, NOW).unwrap();
        assert_eq!(address(entry.value()), before);
        assert_eq!(entry.expiry(), Some(Millis(5)));
        one.check();
        other.check();
    }

    #[test]
    fn a_copy_leaves_the_key_and_its_access_alone() {
        let mut shard = shard();
        let key = shard.key(b"key");
        shard.set(0, key, Value::Int(7), Expiry::Clear, NOW);
        assert_eq!(shard.copy_out(0, key, NOW).unwrap().value(), Value::Int(7));
        assert_eq!((shard.len(0), shard.hits(0, key, NOW)), (1, Some(0)));
        let missing = shard.key(b"missing");
        assert!(shard.copy_out(0, missing, NOW).is_none());
    }

    #[test]
    fn clearing_the_scratch_database_frees_it_and_nothing_else() {
        let mut shard = shard();
        let scratch = shard.scratch();
        assert_eq!(scratch, shard.databases());
        let fill = |shard: &mut Shard, db, keys: u32| {
            for number in 0..keys {
                let bytes = number.to_le_bytes();
                let key = shard.key(&bytes);
                let value = Value::from_bytes(&[b'x'; 20_000]);
                shard.set(db, key, value, Expiry::Clear, NOW);
            }
        };
        fill(&mut shard, 0, 3);
        fill(&mut shard, 1, 3);
        shard.detach_database(1);
        let before = shard.accounts();
        fill(&mut shard, scratch, 3_000);
        shard.clear_scratch();
        assert_eq!((shard.len(scratch), shard.len(0)), (0, 3));
        let after = shard.accounts();
        assert_eq!(after.heap_bytes, before.heap_bytes);
        assert_eq!(after.tables_bytes, before.tables_bytes);
        assert_eq!(after.freeing_bytes, before.freeing_bytes);
        shard.check();
        assert!(!shard.free_step(100));
    }

    #[test]
    fn a_detached_value_may_be_dropped_on_another_thread() {
        let mut shard = shard();
        let key = shard.key(b"key");
        let value = Value::Bytes {
            bytes: &[b'x'; 100_000],
            raw: false,
        };
        shard.set(0, key, value, Expiry::Clear, NOW);
        let detached = shard.take(0, key, NOW).unwrap();
        std::thread::spawn(move || drop(detached)).join().unwrap();
    }

    #[test]
    fn whether_a_short_string_was_edited_travels_with_it() {
        let mut shard = shard();
        let key = shard.key(b"key");
        shard.append(0, key, b"ab", NOW);
        shard.append(0, key, b"cd", NOW);
        let detached = shard.take(0, key, NOW).unwrap();
        assert_eq!(
            detached.value(),
            Value::Bytes {
                bytes: b"abcd",
                raw: true
            }
        );
    }
}
