//! Owns a shard: its databases, its slab, and the door through which every entry comes and goes.
//! Never happens here: a clock, a lock, a wait, or the knowledge that there are other shards.
//! Source: shared-nothing shards as in Seastar and H-Store.
#![forbid(unsafe_code)]

use std::io;

use crate::access::AccessClock;
use crate::account::Footprint;
use crate::classes::Class;
use crate::collections::Thresholds;
use crate::curve::Curve;
use crate::detach::Graveyard;
use crate::entry::{Draft, Entry, NewValue, Scratch, edit};
use crate::evict::Chooser;
use crate::growing::Growing;
use crate::hasher::{Hasher, Key};
use crate::index::{Found, Index, Rehash};
use crate::ledger::Ledger;
use crate::prefixes::PrefixRules;
use crate::purge::{Moves, Purge};
use crate::slab::{BlockRef, REGION_BYTES, Slab};
use crate::survey::Tending;
use crate::unused::Panels;
use crate::value::{Expiry, Millis, Value};

/// How a shard is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// Seeds of the hash of keys; all shards of a process share them. See [`Hasher::random_seeds`].
    pub seeds: [u64; 4],
    /// The moment the shard is made: expiries up to 2.1 years later take four bytes, others eight.
    pub base: Millis,
    /// How many databases SELECT can choose from.
    pub databases: usize,
    /// Whether to ask for huge pages beyond the first 16 MiB: look-ups among millions of keys cost
    /// a third less, but memory comes and goes in steps of 2 MiB.
    pub huge_pages: bool,
}

impl Default for Options {
    /// Random seeds, sixteen databases, small pages, and time from 1970.
    fn default() -> Options {
        let seeds = Hasher::random_seeds();
        Options {
            seeds,
            base: Millis(0),
            databases: 16,
            huge_pages: false,
        }
    }
}

/// One database of a shard.
#[derive(Debug, Default)]
pub(crate) struct Database {
    pub(crate) index: Index,
    pub(crate) ledger: Ledger,
}

impl Database {
    /// A database that commands work in, of which no client knows.
    pub(crate) fn hidden() -> Database {
        Database {
            index: Index::default(),
            ledger: Ledger::of_hidden(),
        }
    }

    /// Bytes of its entries and of its index.
    pub(crate) fn bytes(&self) -> u64 {
        self.ledger.account.bytes() + self.index.bytes()
    }
}

/// How many databases commands may have borrowed before the list of all of them grows.
const BORROWED: usize = 4;

fn fresh_databases(known: usize) -> Vec<Database> {
    let mut databases = Vec::with_capacity(known + BORROWED);
    databases.resize_with(known, Database::default);
    databases
}

/// Where a walk over the segments of all databases stands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Walk {
    pub(crate) db: usize,
    pub(crate) prefix: u32,
}

/// One shard's data.
#[derive(Debug)]
pub struct Shard {
    pub(crate) slab: Slab,
    /// Those that SELECT can choose, and those that commands have borrowed.
    pub(crate) databases: Vec<Database>,
    /// How many of them SELECT can choose.
    known: usize,
    /// Which of the others are borrowed.
    borrowed: Vec<usize>,
    /// What was deleted at once and is being freed in steps.
    pub(crate) graveyard: Graveyard,
    pub(crate) thresholds: Thresholds,
    /// What the prefix of a key is.
    pub(crate) prefix_rules: PrefixRules,
    /// When the books of prefixes and biggest keys were looked after.
    pub(crate) tending: Tending,
    /// How the biggest keys came to be.
    pub(crate) growing: Growing,
    /// Keys that are followed to know what nobody uses.
    pub(crate) panels: Panels,
    /// Where packed collections are edited.
    pub(crate) pack_buffer: Vec<u8>,
    pub(crate) hasher: Hasher,
    pub(crate) base: Millis,
    pub(crate) clock: AccessClock,
    /// Where the pinning of old access metadata stands.
    pub(crate) pinning: Walk,
    pub(crate) insertions: u64,
    /// Where the sweep for expired keys stands.
    pub(crate) sweeping: Walk,
    pub(crate) expired_keys: u64,
    pub(crate) purge: Option<Purge>,
    /// Which keys go when memory is short.
    pub(crate) chooser: Chooser,
    /// Watches what is read and written, and changes nothing.
    pub(crate) curve: Curve,
    pub(crate) moves: Moves,
    pub(crate) upheavals: u64,
}

impl Shard {
    /// Makes an empty shard. It reserves 32 GiB of address space and uses no memory to speak of.
    ///
    /// # Errors
    /// The system's, when the address space is not to be had.
    pub fn new(options: Options) -> io::Result<Shard> {
        let Options {
            seeds,
            base,
            databases,
            huge_pages,
        } = options;
        Ok(Shard {
            slab: Slab::new(REGION_BYTES, huge_pages)?,
            databases: fresh_databases(databases),
            known: databases,
            borrowed: Vec::with_capacity(BORROWED),
            graveyard: Graveyard::default(),
            thresholds: Thresholds::default(),
            prefix_rules: PrefixRules::default(),
            tending: Tending::new(base),
            growing: Growing::default(),
            panels: Panels::new(seeds[2]),
            pack_buffer: Vec::new(),
            hasher: Hasher::with_seeds(seeds),
            base,
            clock: AccessClock::new(base),
            pinning: Walk::default(),
            insertions: 0,
            sweeping: Walk::default(),
            expired_keys: 0,
            purge: None,
            chooser: Chooser::new(seeds[1]),
            curve: Curve::default(),
            moves: Moves::default(),
            upheavals: 0,
        })
    }

    /// The hash of a key.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash(key)
    }

    /// A key with its hash.
    #[inline]
    pub fn key<'a>(&self, bytes: &'a [u8]) -> Key<'a> {
        self.hasher.key(bytes)
    }

    /// How many databases there are; every `db` argument is below it, or a hidden one.
    pub fn databases(&self) -> usize {
        self.known
    }

    /// A database for one command alone, which no client knows: in it values grow that are to go
    /// elsewhere, or lie that were copied from other shards.
    pub fn borrow_database(&mut self) -> usize {
        let mut places = self.databases()..;
        let db = places.find(|db| !self.borrowed.contains(db));
        let db = db.expect("there is always one more");
        if db == self.databases.len() {
            self.databases.push(Database::hidden());
        }
        self.borrowed.push(db);
        db
    }

    /// Takes it back, with all that is in it. It stays in the list: a walk may stand in it.
    pub fn return_database(&mut self, db: usize) {
        self.detach_database(db);
        self.borrowed.retain(|borrowed| *borrowed != db);
    }

    /// Whether no client knows of a database.
    #[inline]
    pub fn is_hidden(&self, db: usize) -> bool {
        db >= self.databases()
    }

    /// How often whole databases were emptied or changed places.
    pub fn upheavals(&self) -> u64 {
        self.upheavals
    }

    /// Whether the next write surely finds its memory. Asked before every write of one key; a
    /// write begun after a "no" may find the slab's address space used up, which ends the process.
    #[inline]
    pub fn has_room(&mut self) -> bool {
        self.slab.has_room() || self.slab.make_room()
    }

    /// First of two stages that hide the way to memory behind other keys of a batch: fetches the
    /// bucket of a hash.
    #[inline]
    pub fn prefetch_bucket(&self, db: usize, hash: u64) {
        self.databases[db].index.prefetch_bucket(&self.slab, hash);
    }

    /// Second stage: fetches the entry, once the bucket has had time to arrive.
    #[inline]
    pub fn prefetch_entry(&self, db: usize, hash: u64) {
        self.databases[db].index.prefetch_entry(&self.slab, hash);
    }

    /// The entry of a key, and notes the access. An expired key is removed and not found.
    pub fn read(&mut self, db: usize, key: Key, now: Millis) -> Option<Entry<'_>> {
        let block = self.locate_and_touch(db, key, now)?;
        Some(self.entry(block))
    }

    #[inline(always)]
    pub(crate) fn locate_and_touch(
        &mut self,
        db: usize,
        key: Key,
        now: Millis,
    ) -> Option<BlockRef> {
        let Some(found) = self.locate(db, key, now) else {
            self.watch_miss(db, &key, now);
            return None;
        };
        self.note_time(now);
        let access = self.clock.touched(found.access());
        found.set_access(access);
        self.watch_hit(db, &key, access, found.block, now);
        Some(found.block)
    }

    /// As [`Shard::read`], without noting the access.
    pub fn peek(&mut self, db: usize, key: Key, now: Millis) -> Option<Entry<'_>> {
        let found = self.locate(db, key, now)?;
        Some(self.entry(found.block))
    }

    /// Notes an access without reading; false for a missing key.
    pub fn touch(&mut self, db: usize, key: Key, now: Millis) -> bool {
        self.read(db, key, now).is_some()
    }

    /// Stores a value under a key, whatever was there. Returns whether the key was there already.
    pub fn set(&mut self, db: usize, key: Key, value: Value, expiry: Expiry, now: Millis) -> bool {
        self.store(db, key, NewValue::Copy(value), expiry, now)
    }

    #[inline(always)]
    pub(crate) fn store(
        &mut self,
        db: usize,
        key: Key,
        value: NewValue,
        expiry: Expiry,
        now: Millis,
    ) -> bool {
        let mut scratch = Scratch::default();
        let found = self.locate(db, key, now);
        let expiry = match (expiry, found) {
            (Expiry::Clear, _) | (Expiry::Keep, None) => None,
            (Expiry::At(at), _) => Some(at),
            (Expiry::Keep, Some(found)) => self.entry(found.block).expiry(),
        };
        let draft = Draft::new(key, value, expiry, self.base, &mut scratch);
        match found {
            Some(found) => self.replace(db, key.hash, found, draft, expiry, now),
            None => self.insert(db, key.hash, draft, expiry, now),
        }
        found.is_some()
    }

    /// Removes a key; false if it was not there, or there but expired.
    pub fn remove(&mut self, db: usize, key: Key, now: Millis) -> bool {
        let Some(found) = self.find(db, key, now) else {
            return false;
        };
        self.discard(db, key.hash, found);
        self.watch_removal(db, key.hash);
        true
    }

    /// The place of a key that is not expired; one that is goes away.
    pub(crate) fn find(&mut self, db: usize, key: Key, now: Millis) -> Option<Found> {
        self.locate(db, key, now)
    }

    /// As `find`, for the few callers that are worth a copy of it.
    #[inline(always)]
    fn locate(&mut self, db: usize, key: Key, now: Millis) -> Option<Found> {
        let found = self.databases[db].index.find(&self.slab, key, self.base)?;
        if self.entry(found.block).is_expired(now) {
            self.expire(db, &key);
            return None;
        }
        Some(found)
    }

    #[inline(always)]
    pub(crate) fn entry(&self, block: BlockRef) -> Entry<'_> {
        Entry::at(&self.slab, block, self.base)
    }

    /// Removes an expired key. It is looked up again, so that finding others costs less.
    #[cold]
    #[inline(never)]
    fn expire(&mut self, db: usize, key: &Key) {
        if let Some(found) = self.databases[db].index.find(&self.slab, *key, self.base) {
            self.discard(db, key.hash, found);
            self.expired_keys += 1;
        }
    }

    /// Adds an entry for a key that has none.
    #[inline(never)]
    pub(crate) fn insert(
        &mut self,
        db: usize,
        hash: u64,
        draft: Draft,
        expiry: Option<Millis>,
        now: Millis,
    ) {
        let block = self.slab.alloc(draft.len());
        draft.write(&mut self.slab, block);
        let footprint = self.entry(block).footprint();
        let sweep_at = expiry.map(|at| self.sweep_time(db, at));
        self.note_time(now);
        let access = self.clock.fresh(footprint.bytes);
        let Shard {
            slab,
            databases,
            hasher,
            base,
            prefix_rules,
            ..
        } = self;
        let rehash = Rehash {
            hasher,
            base: *base,
        };
        let Database { index, ledger } = &mut databases[db];
        index.insert(slab, hash, block, access, sweep_at, rehash);
        // Handed in, the key would cost a write that finds its key.
        let bytes = Entry::at(slab, block, *base).key();
        ledger.add(Key { bytes, hash }, footprint, prefix_rules);
        self.note_insertion(now);
        self.watch_write(db, hash, access, block, true, now);
    }

    /// Puts an entry in the place of another of the same key, in the same block if it fits.
    #[inline(always)]
    fn replace(
        &mut self,
        db: usize,
        hash: u64,
        found: Found,
        draft: Draft,
        expiry: Option<Millis>,
        now: Millis,
    ) {
        let old = self.entry(found.block);
        let class = self.slab.class_of(found.block);
        let is_inline = !old.owns_heap() && !draft.owns_heap();
        let is_counted_alike = old.is_string() && draft.is_string();
        if is_inline
            && is_counted_alike
            && old.has_expiry() == draft.has_expiry()
            && Class::of(draft.len()) == class
        {
            // Nothing that is counted changes.
            draft.write_over(&mut self.slab, found.block, self.base);
            self.note_time(now);
            let access = self.clock.touched(found.access());
            found.set_access(access);
            if let Some(at) = expiry {
                self.note_expiry(db, hash, at);
            }
            self.watch_write(db, hash, access, found.block, false, now);
        } else {
            self.replace_block(db, hash, found, draft, expiry, now);
        }
    }

    /// Puts an entry in the place of another of the same key, in a block of its own.
    #[inline(never)]
    fn replace_block(
        &mut self,
        db: usize,
        hash: u64,
        found: Found,
        draft: Draft,
        expiry: Option<Millis>,
        now: Millis,
    ) {
        let before = self.entry(found.block).footprint();
        let block = self.slab.alloc(draft.len());
        draft.write(&mut self.slab, block);
        let remains = edit::destroy(&mut self.slab, found.block, self.base);
        self.changed(db, hash, found, block, before, expiry, now);
        remains.into_iter().for_each(|big| self.bury(big));
    }

    /// Settles what changing an entry changed: its account, its place, its expiry, its access.
    #[expect(
        clippy::too_many_arguments,
        reason = "the one place where all of it comes together"
    )]
    pub(crate) fn changed(
        &mut self,
        db: usize,
        hash: u64,
        found: Found,
        block: BlockRef,
        before: Footprint,
        expiry: Option<Millis>,
        now: Millis,
    ) {
        let after = self.entry(block).footprint();
        self.settle(db, hash, block, Some(before), Some(after));
        found.set_block(block);
        self.note_time(now);
        let access = self.clock.rewritten(found.access(), after.bytes);
        found.set_access(access);
        if let Some(at) = expiry {
            self.note_expiry(db, hash, at);
        }
        self.watch_write(db, hash, access, block, false, now);
    }

    /// Takes a found key out of the index and frees its entry.
    pub(crate) fn discard(&mut self, db: usize, hash: u64, found: Found) {
        let footprint = self.entry(found.block).footprint();
        let Shard {
            slab,
            databases,
            base,
            prefix_rules,
            ..
        } = self;
        let Database { index, ledger } = &mut databases[db];
        index.remove(slab, hash, found);
        let bytes = Entry::at(slab, found.block, *base).key();
        ledger.remove(Key { bytes, hash }, footprint, prefix_rules);
        let remains = edit::destroy(&mut self.slab, found.block, self.base);
        remains.into_iter().for_each(|big| self.bury(big));
    }

    /// Settles what the entry in a block counted for before, and what it counts for now.
    #[inline]
    pub(crate) fn settle(
        &mut self,
        db: usize,
        hash: u64,
        block: BlockRef,
        before: Option<Footprint>,
        after: Option<Footprint>,
    ) {
        if before == after {
            return;
        }
        let Shard {
            slab,
            databases,
            base,
            prefix_rules,
            ..
        } = self;
        let bytes = Entry::at(slab, block, *base).key();
        let ledger = &mut databases[db].ledger;
        ledger.settle(Key { bytes, hash }, before, after, prefix_rules);
    }

    /// Keys of all databases.
    pub(crate) fn keys(&self) -> usize {
        self.databases
            .iter()
            .map(|database| database.index.len())
            .sum()
    }

    /// Where the walk stands: a database and the directory place of a segment. Moves it on past
    /// that segment. `None` past the last segment of the last database.
    pub(crate) fn next_segment(&self, walk: &mut Walk) -> Option<(usize, usize)> {
        while walk.db < self.databases.len() {
            let (db, prefix) = (walk.db, walk.prefix);
            match self.databases[db].index.segment_at(prefix) {
                Some((place, next)) if next < crate::index::PREFIX_END => {
                    walk.prefix = next;
                    return Some((db, place));
                }
                last => {
                    *walk = Walk {
                        db: db + 1,
                        prefix: 0,
                    };
                    if let Some((place, _)) = last {
                        return Some((db, place));
                    }
                }
            }
        }
        *walk = Walk::default();
        None
    }
}

impl Drop for Shard {
    /// Frees what entries own on the heap; the slab's blocks go with their region.
    fn drop(&mut self) {
        if self.accounts().heap_bytes > 0 {
            (0..self.databases.len()).for_each(|db| self.detach_database(db));
            while self.free_step(usize::MAX) {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_may_move_to_another_thread() {
        fn moves<T: Send>() {}
        moves::<Shard>();
        moves::<crate::Detached>();
    }

    #[test]
    fn a_dropped_shard_frees_what_its_entries_own_on_the_heap() {
        let mut shard = Shard::new(Options::default()).unwrap();
        let before = memory::heap::thread_allocated_bytes();
        let (long, large) = (vec![b'k'; 5000], vec![b'v'; 500_000]);
        for db in 0..3 {
            let key = Key {
                bytes: &long,
                hash: shard.hash(&long),
            };
            let value = Value::Bytes {
                bytes: &large,
                raw: false,
            };
            shard.set(db, key, value, Expiry::Clear, Millis(0));
        }
        assert!(memory::heap::thread_allocated_bytes() - before > 1_500_000);
        drop(shard);
        assert!(memory::heap::thread_allocated_bytes() <= before);
    }

    #[test]
    fn a_shard_with_huge_pages_serves_as_any_other() {
        let options = Options {
            huge_pages: true,
            ..Options::default()
        };
        let mut shard = Shard::new(options).unwrap();
        let value = [b'v'; 4000];
        for number in 0..10_000u32 {
            let bytes = number.to_le_bytes();
            let key = Key {
                bytes: &bytes,
                hash: shard.hash(&bytes),
            };
            let value = Value::Bytes {
                bytes: &value,
                raw: false,
            };
            shard.set(0, key, value, Expiry::Clear, Millis(0));
        }
        shard.check();
    }
}
