//! Owns what the shard tells its miss-ratio curve: reads, writes and removals of sampled keys.
//! Never happens here: the curve itself, and work for a key that is not sampled.
//! Source: as the curve's own.
#![forbid(unsafe_code)]

use crate::access::Access;
use crate::curve::{Curve, Memory, Served, Surroundings};
use crate::entry::Entry;
use crate::hasher::Key;
use crate::shard::Shard;
use crate::slab::BlockRef;
use crate::value::Millis;

impl Shard {
    /// Has the miss-ratio curve drawn, from nothing, or stops it and forgets it.
    pub fn set_curve(&mut self, is_on: bool) {
        if is_on != self.curve.is_on() {
            self.curve = if is_on {
                Curve::new(self.hasher.hash(b"curve"), self.base)
            } else {
                Curve::default()
            };
            let delimiters = self.prefix_rules.delimiter_bytes();
            self.curve.set_delimiters(delimiters);
        }
    }

    /// Sets how many bytes the curve's sample may take.
    pub fn allow_curve(&mut self, bytes: u64, now: Millis) {
        self.curve.allow(bytes, now);
    }

    /// Tells the curve what its sizes are multiples of, and the reads that the shard answered.
    pub fn tick_curve(&mut self, memory: Memory, served: Served, now: Millis) {
        if !self.curve.is_on() {
            return;
        }
        let (mut keys, mut dataset_bytes) = (0, 0);
        for database in &self.databases {
            keys += database.index.len() as u64;
            dataset_bytes += database.ledger.account.bytes();
        }
        let surroundings = Surroundings {
            memory,
            keys,
            dataset_bytes,
            eviction: self.eviction(),
            served,
        };
        self.curve.tick(surroundings, now);
    }

    /// The miss-ratio curve, as far as the shard knows it.
    pub fn curve(&self) -> &Curve {
        &self.curve
    }
}

impl Shard {
    #[inline(always)]
    pub(crate) fn watch_hit(
        &mut self,
        db: usize,
        key: &Key,
        access: Access,
        block: BlockRef,
        now: Millis,
    ) {
        let id = Curve::id(db, key.hash);
        if self.curve.samples(id, access) {
            self.note_hit(db, id, block, now);
        }
    }

    #[cold]
    #[inline(never)]
    fn note_hit(&mut self, db: usize, id: u64, block: BlockRef, now: Millis) {
        if self.curve.note_hit_again(id) || self.is_hidden(db) {
            return;
        }
        let entry = Entry::at(&self.slab, block, self.base);
        self.curve
            .note_hit(id, entry.key(), entry.bytes(), entry.expiry(), now);
    }

    #[inline(always)]
    pub(crate) fn watch_miss(&mut self, db: usize, key: &Key, now: Millis) {
        let id = Curve::id(db, key.hash);
        if self.curve.may_sample(id) && !self.is_hidden(db) {
            self.curve.note_miss(id, key.bytes, now);
        }
    }

    #[inline(always)]
    pub(crate) fn watch_write(
        &mut self,
        db: usize,
        hash: u64,
        access: Access,
        block: BlockRef,
        is_new: bool,
        now: Millis,
    ) {
        let id = Curve::id(db, hash);
        if self.curve.samples(id, access) {
            self.note_write(db, id, block, is_new, now);
        }
    }

    #[cold]
    #[inline(never)]
    fn note_write(&mut self, db: usize, id: u64, block: BlockRef, is_new: bool, now: Millis) {
        if self.is_hidden(db) {
            return;
        }
        let entry = Entry::at(&self.slab, block, self.base);
        self.curve
            .note_write(id, entry.key(), entry.bytes(), entry.expiry(), is_new, now);
    }

    #[inline(always)]
    pub(crate) fn watch_removal(&mut self, db: usize, hash: u64) {
        let id = Curve::id(db, hash);
        if self.curve.may_sample(id) && !self.is_hidden(db) {
            self.curve.note_removal(id);
        }
    }
}
