//! Owns what concerns the keys of a database as a whole: counting, scanning, a random one, its metadata.
//! Never happens here: matching patterns; the caller filters what it is shown.
//! Source: DBSIZE, SCAN, RANDOMKEY, OBJECT and SWAPDB of Redis.
#![forbid(unsafe_code)]

use crate::entry::Entry;
use crate::hasher::Key;
use crate::index::{Cursor, Rehash};
use crate::random::Rng;
use crate::shard::Shard;
use crate::value::Millis;

/// Bits of the cursor [`Shard::scan`] makes; the bits above are the caller's, who names a shard.
pub const CURSOR_BITS: u32 = crate::index::CURSOR_BITS;

/// Picks for a random key before giving up on a database full of expired ones.
const RANDOM_TRIES: usize = 1000;

impl Shard {
    /// Keys in a database, expired ones that nobody met yet included.
    pub fn len(&self, db: usize) -> usize {
        self.databases[db].index.len()
    }

    /// Whether no database holds a key.
    pub fn is_empty(&self) -> bool {
        self.databases
            .iter()
            .all(|database| database.index.len() == 0)
    }

    /// Keys of a database that have an expiry.
    pub fn expiring(&self, db: usize) -> usize {
        self.databases[db].ledger.account.expiring_keys as usize
    }

    /// Shows keys from `cursor` on to `visit`, looking at about `budget_slots` slots; expired keys
    /// are not shown. Returns where to go on, or 0 at the end. Begins at 0; a cursor is below
    /// 2^[`CURSOR_BITS`], and any number is accepted as one.
    ///
    /// Every key that is there from the first call to the last is shown, some more than once,
    /// whatever is written meanwhile.
    pub fn scan(
        &self,
        db: usize,
        cursor: u64,
        budget_slots: usize,
        now: Millis,
        visit: &mut dyn FnMut(&[u8], &Entry),
    ) -> u64 {
        let cursor = Cursor::from_bits(cursor);
        let Shard {
            slab, hasher, base, ..
        } = self;
        let rehash = Rehash {
            hasher,
            base: *base,
        };
        let index = &self.databases[db].index;
        let next = index.scan(slab, cursor, budget_slots, rehash, |block| {
            let entry = self.entry(block);
            if !entry.is_expired(now) {
                visit(entry.key(), &entry);
            }
        });
        next.map_or(0, Cursor::to_bits)
    }

    /// A key picked at random; `None` if the database has none, or almost only expired ones.
    pub fn random_key(&mut self, db: usize, rng: &mut Rng, now: Millis) -> Option<Vec<u8>> {
        for _ in 0..RANDOM_TRIES {
            let slot = self.databases[db].index.random_slot(&self.slab, rng)?;
            let entry = self.entry(slot.block);
            let key = entry.key().to_vec();
            if !entry.is_expired(now) {
                return Some(key);
            }
            let _ = self.find(db, self.hasher.key(&key), now);
        }
        None
    }

    /// Milliseconds since a key was last read or written, to within a second in a young or busy
    /// shard and an eighth of the time since the last insertions in a quiet one.
    pub fn idle_ms(&mut self, db: usize, key: Key, now: Millis) -> Option<i64> {
        let found = self.find(db, key, now)?;
        Some(self.clock.idle_ms(found.access(), now))
    }

    /// In how many ticks of the clock a key was read or overwritten since it was made, at most 7. The tick in
    /// which it was made does not count.
    pub fn hits(&mut self, db: usize, key: Key, now: Millis) -> Option<u8> {
        let found = self.find(db, key, now)?;
        Some(found.access().hits())
    }

    /// The counter of a key under an LFU policy, 0 to 255. `None` for a missing key.
    pub fn frequency(&mut self, db: usize, key: Key, now: Millis) -> Option<u8> {
        let found = self.find(db, key, now)?;
        Some(self.clock.decayed(found.access()))
    }

    /// Has a key count as last used so long ago. Without effect under an LFU policy, and on a
    /// missing key.
    pub fn set_idle(&mut self, db: usize, key: Key, idle_ms: i64, now: Millis) {
        if let Some(found) = self.find(db, key, now) {
            found.set_access(self.clock.idle_for(found.access(), idle_ms, now));
        }
    }

    /// Sets the counter of a key. Without effect but under an LFU policy, and on a missing key.
    pub fn set_frequency(&mut self, db: usize, key: Key, counter: u8, now: Millis) {
        if let Some(found) = self.find(db, key, now) {
            found.set_access(self.clock.with_counter(found.access(), counter));
        }
    }

    /// Exchanges two databases.
    pub fn swap_databases(&mut self, one: usize, other: usize) {
        self.databases.swap(one, other);
        self.upheavals += 1;
        self.curve.note_flush();
    }
}
