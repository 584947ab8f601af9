//! Owns the shard's accounts as others read them: figures, the bill of a key, and the recount.
//! Never happens here: changing a figure; the door of the shard does that.
//! Source: double-entry books; `recount` walks everything and must agree to the byte.
#![forbid(unsafe_code)]

use crate::account::Account;
use crate::entry::{Bill, Entry, Held};
use crate::hasher::Key;
use crate::index::Rehash;
use crate::shard::{Database, Shard};
use crate::slab::SizeClass;
use crate::value::Millis;

/// The figures of one shard. All are sums: those of several shards may be added.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StoreAccounts {
    /// Keys and bytes of all databases, by kind; keys with an expiry.
    pub account: Account,
    /// Bytes of indexes: directories, segment headers, buckets.
    pub tables_bytes: u64,
    /// Bytes of entries and indexes of databases that were emptied and are not yet freed, and of those
    /// of which no client knows.
    pub freeing_bytes: u64,
    /// Bytes of what the shard keeps beside: page table of the slab, coarse clock, the accounts of
    /// prefixes and the lists of the biggest keys.
    pub bookkeeping_bytes: u64,
    /// Bytes of live slab blocks; part of the dataset, of tables, and of what is being freed.
    pub slab_used_bytes: u64,
    /// Bytes of slab pages that were touched and not given back.
    pub slab_committed_bytes: u64,
    /// Bytes of values and keys on the allocator's heap; part of the dataset and of what is being freed.
    pub heap_bytes: u64,
}

impl Shard {
    /// The shard's figures; costs nothing worth mentioning.
    pub fn accounts(&self) -> StoreAccounts {
        let mut account = Account::default();
        let mut tables_bytes = 0;
        let (known, hidden) = self.databases.split_at(self.databases());
        for database in known {
            account.merge(&database.ledger.account);
            tables_bytes += database.index.bytes();
        }
        let hidden_bytes: u64 = hidden.iter().map(Database::bytes).sum();
        let freeing_bytes = self.graveyard.bytes() + hidden_bytes;
        let directories_bytes: u64 = self
            .every_database()
            .map(|one| one.index.directory_bytes())
            .sum();
        let slab_used_bytes = self.slab.used_bytes();
        StoreAccounts {
            account,
            tables_bytes,
            freeing_bytes,
            bookkeeping_bytes: self.bookkeeping_bytes(),
            slab_used_bytes,
            slab_committed_bytes: self.slab.committed_bytes(),
            // Every byte of entries and tables is in the slab, a directory, or on the heap.
            heap_bytes: account.bytes() + tables_bytes + freeing_bytes
                - directories_bytes
                - slab_used_bytes,
        }
    }

    /// Bytes that all of the shard takes on the allocator's heap.
    pub fn owned_heap_bytes(&self) -> u64 {
        let databases: u64 = self.every_database().map(Database::bytes).sum();
        databases + self.graveyard.values_bytes() + self.bookkeeping_bytes()
            - self.slab.used_bytes()
    }

    /// Bytes of live slab blocks: one load, for the check that every write makes.
    #[inline]
    pub fn slab_used_bytes(&self) -> u64 {
        self.slab.used_bytes()
    }

    /// Bytes of entries and tables of all databases.
    pub fn data_bytes(&self) -> u64 {
        self.databases.iter().map(Database::bytes).sum()
    }

    /// The account of one database.
    pub fn database_account(&self, db: usize) -> Account {
        self.databases[db].ledger.account
    }

    /// Bytes of one database's index; an empty database has none.
    pub fn database_tables_bytes(&self, db: usize) -> u64 {
        self.databases[db].index.bytes()
    }

    /// The size classes of the slab, smallest first.
    pub fn size_classes(&self) -> impl Iterator<Item = SizeClass> + '_ {
        self.slab.size_classes()
    }

    /// Bytes a key costs: its blocks as the allocators round them, and its slot. `None` for a
    /// missing key. The access is not noted.
    pub fn usage(&mut self, db: usize, key: Key, now: Millis) -> Option<u64> {
        Some(self.peek(db, key, now)?.usage())
    }

    /// The bill behind [`Shard::usage`].
    pub fn explain(&mut self, db: usize, key: Key, now: Millis) -> Option<Bill> {
        Some(self.peek(db, key, now)?.bill())
    }

    /// The figures of [`Shard::accounts`], from a walk over every entry.
    pub fn recount(&self) -> StoreAccounts {
        let mut counted = StoreAccounts {
            bookkeeping_bytes: self.bookkeeping_bytes(),
            slab_used_bytes: self
                .slab
                .size_classes()
                .map(|class| class.used_bytes())
                .sum(),
            slab_committed_bytes: self.slab.committed_bytes(),
            ..StoreAccounts::default()
        };
        let (known, hidden) = self.databases.split_at(self.databases());
        for database in known {
            let (account, heap_bytes) = self.recount_entries(database);
            counted.account.merge(&account);
            counted.heap_bytes += heap_bytes;
            counted.tables_bytes += database.index.bytes();
        }
        for database in self.graveyard.databases().iter().chain(hidden) {
            let (account, heap_bytes) = self.recount_entries(database);
            counted.heap_bytes += heap_bytes;
            counted.freeing_bytes += account.bytes() + database.index.bytes();
        }
        for big in self.graveyard.values() {
            let recounted = big.recount(self.arena());
            counted.heap_bytes += recounted.heap_bytes;
            counted.freeing_bytes += recounted.bytes;
        }
        counted
    }

    /// Asserts every invariant of the shard; reads every key.
    pub fn check(&self) {
        self.slab.check();
        let rehash = Rehash {
            hasher: &self.hasher,
            base: self.base,
        };
        for database in &self.databases {
            database.index.check(&self.slab, rehash);
            assert_eq!(database.ledger.account.keys(), database.index.len() as u64);
        }
        assert_eq!(self.accounts(), self.recount());
        self.databases
            .iter()
            .for_each(|database| self.check_ledger(database));
    }

    fn recount_entries(&self, database: &Database) -> (Account, u64) {
        let (mut account, mut heap_bytes) = (Account::default(), 0);
        for slot in database.index.slots(&self.slab) {
            let entry: Entry = self.entry(slot.block);
            account.add(entry.footprint());
            let [key_bytes, value_bytes] = entry.heap_capacities();
            heap_bytes += key_bytes as u64;
            heap_bytes += match entry.held() {
                Some(Held::Big(big)) => {
                    big.check(self.arena());
                    big.recount(self.arena()).heap_bytes
                }
                _ => value_bytes as u64,
            };
        }
        (account, heap_bytes)
    }

    fn bookkeeping_bytes(&self) -> u64 {
        let ledgers = self.databases.iter().map(|one| one.ledger.heap_bytes());
        self.slab.bookkeeping_bytes()
            + self.clock.heap_bytes()
            + self.curve.heap_bytes()
            + self.growing.heap_bytes()
            + self.panels.heap_bytes()
            + ledgers.sum::<u64>()
    }

    /// Asserts that prefixes and biggest keys are what a look at every key says.
    fn check_ledger(&self, database: &Database) {
        let rehash = Rehash {
            hasher: &self.hasher,
            base: self.base,
        };
        let mut keys = Vec::new();
        for slot in database.index.slots(&self.slab) {
            let entry = self.entry(slot.block);
            let hash = rehash.hash_of(&self.slab, slot.block);
            keys.push((entry.key(), hash, entry.footprint()));
        }
        database.ledger.check(&keys);
    }

    fn every_database(&self) -> impl Iterator<Item = &Database> {
        self.databases.iter().chain(self.graveyard.databases())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::Options;
    use crate::value::{Expiry, Value};

    const NOW: Millis = Millis(0);

    fn bill_of(key: &[u8], value: &[u8], expiry: Expiry) -> Bill {
        let mut shard = Shard::new(Options::default()).unwrap();
        let key = Key {
            bytes: key,
            hash: shard.hash(key),
        };
        shard.set(0, key, Value::from_bytes(value), expiry, NOW);
        let bill = shard.explain(0, key, NOW).unwrap();
        assert_eq!(shard.usage(0, key, NOW), Some(bill.total_bytes()));
        bill
    }

    #[test]
    fn a_small_key_costs_a_slot_a_header_and_its_bytes() {
        let bill = bill_of(b"sixteen byte key", &[b'v'; 32], Expiry::Clear);
        let expected = Bill {
            slot_bytes: 8,
            header_bytes: 4,
            expiry_bytes: 0,
            key_bytes: 16,
            value_bytes: 32,
            tables_bytes: 0,
            reference_bytes: 0,
            rounding_bytes: 4,
        };
        assert_eq!(bill, expected);
    }

    #[test]
    fn eight_digits_take_four_bytes() {
        let bill = bill_of(b"sixteen byte key", b"12345678", Expiry::Clear);
        assert_eq!((bill.value_bytes, bill.rounding_bytes), (4, 0));
    }

    #[test]
    fn an_expiry_takes_four_bytes_of_the_entry() {
        let bill = bill_of(b"sixteen byte key", &[b'v'; 32], Expiry::At(Millis(1000)));
        assert_eq!((bill.expiry_bytes, bill.rounding_bytes), (4, 0));
    }

    #[test]
    fn long_keys_and_large_values_are_billed_with_their_references() {
        let bill = bill_of(&[b'k'; 1000], &[b'v'; 100_000], Expiry::Clear);
        assert_eq!((bill.key_bytes, bill.value_bytes), (1000, 100_000));
        assert_eq!(bill.reference_bytes, 32 + 24);
        assert!(bill.rounding_bytes < 30_000);
    }

    #[test]
    fn the_empty_key_and_the_empty_value_are_billed() {
        let bill = bill_of(b"", b"", Expiry::Clear);
        assert_eq!(
            (bill.key_bytes, bill.value_bytes, bill.rounding_bytes),
            (0, 0, 4)
        );
    }
}
