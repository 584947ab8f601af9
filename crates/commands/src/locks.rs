//! The lock table of one shard: keys held by commands over several shards, and who waits for them.
//! Ordinary commands pay one predictable branch (`is_free`); nothing is locked when one shard owns all keys.
//! Locks are taken shard by shard in rising order and all keys of a shard at once, so no circle of waiting can arise.

use crate::ShardId;
use hashbrown::HashMap;
use memory::heap::travel::vec_bytes;

/// A command over several shards, unique while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Transaction {
    /// The core that coordinates it.
    pub coordinator: ShardId,
    /// Its number there.
    pub number: u32,
}

/// What a transaction wants to hold on one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// These keys, by table hash. Two keys with one hash share a lock, which is harmless.
    Keys(Vec<u64>),
    /// The whole shard.
    Everything,
}

impl Scope {
    /// Bytes it holds on the heap.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Scope::Keys(hashes) => vec_bytes(hashes),
            Scope::Everything => 0,
        }
    }
}

/// The lock table.
#[derive(Debug, Default)]
pub struct Locks {
    keys: HashMap<u64, Transaction>,
    everything: Option<Transaction>,
    /// The keys of a command that works in steps, which others may read too.
    reading: Option<Box<[u64]>>,
    /// How many locks there are.
    count: usize,
}

impl Locks {
    /// Whether nothing is locked on this shard.
    #[inline]
    pub fn is_free(&self) -> bool {
        self.count == 0
    }

    /// Whether any command on the key with this hash must wait.
    pub fn blocks(&self, hash: u64) -> bool {
        self.everything.is_some() || self.keys.contains_key(&hash)
    }

    /// Whether a command in steps has the key with this hash: a command that changes it must wait.
    pub fn is_read(&self, hash: u64) -> bool {
        self.reading
            .as_ref()
            .is_some_and(|read| read.contains(&hash))
    }

    /// Whether one has any key.
    pub fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// Whether the key with this hash is locked, be it alone or not: it must not be evicted.
    pub fn holds(&self, hash: u64) -> bool {
        self.keys.contains_key(&hash) || self.is_read(hash)
    }

    /// Locks keys against all others who change them, while a command works with them in steps. There is one such command
    /// at a time.
    pub fn begin_reading(&mut self, hashes: Box<[u64]>) {
        assert!(
            !self.is_reading() && !hashes.iter().any(|&hash| self.blocks(hash)),
            "one reads keys that are free"
        );
        self.reading = Some(hashes);
        self.recount();
    }

    /// Ends that.
    pub fn end_reading(&mut self) {
        assert!(self.is_reading(), "what has begun is ended once");
        self.reading = None;
        self.recount();
    }

    fn recount(&mut self) {
        let others = usize::from(self.everything.is_some()) + usize::from(self.reading.is_some());
        self.count = self.keys.len() + others;
    }

    /// Whether it is a command in steps that keeps `scope` from being locked.
    pub fn is_read_within(&self, scope: &Scope) -> bool {
        self.reading.as_ref().is_some_and(|read| match scope {
            Scope::Everything => true,
            Scope::Keys(hashes) => hashes.iter().any(|hash| read.contains(hash)),
        })
    }

    /// Whether the whole shard is locked.
    pub fn is_closed(&self) -> bool {
        self.everything.is_some()
    }

    /// Bytes of the table.
    pub fn heap_bytes(&self) -> usize {
        self.keys.allocation_size()
    }

    /// Takes all of `scope` for `transaction`, or nothing.
    pub fn try_lock(&mut self, transaction: Transaction, scope: &Scope) -> bool {
        if self.everything.is_some() || self.is_read_within(scope) {
            return false;
        }
        match scope {
            Scope::Everything if self.keys.is_empty() => self.everything = Some(transaction),
            Scope::Everything => return false,
            Scope::Keys(hashes) => {
                if hashes.iter().any(|hash| self.keys.contains_key(hash)) {
                    return false;
                }
                self.keys
                    .extend(hashes.iter().map(|&hash| (hash, transaction)));
            }
        }
        self.recount();
        true
    }

    /// Gives back what `transaction` holds of `scope`.
    pub fn release(&mut self, transaction: Transaction, scope: &Scope) {
        match scope {
            Scope::Everything => {
                assert_eq!(
                    self.everything,
                    Some(transaction),
                    "only the holder releases a shard"
                );
                self.everything = None;
            }
            Scope::Keys(hashes) => {
                for hash in hashes {
                    // A hash that stands twice in the scope was taken once.
                    let holder = self.keys.remove(hash);
                    assert!(
                        holder.is_none_or(|holder| holder == transaction),
                        "only the holder releases a key"
                    );
                }
                if self.keys.is_empty() {
                    self.keys.shrink_to_fit();
                }
            }
        }
        self.recount();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Transaction = Transaction {
        coordinator: ShardId(0),
        number: 1,
    };
    const SECOND: Transaction = Transaction {
        coordinator: ShardId(1),
        number: 1,
    };

    #[test]
    fn a_locked_key_blocks_commands_on_it_and_no_other() {
        let mut locks = Locks::default();
        assert!(locks.try_lock(FIRST, &Scope::Keys(vec![7])));
        assert!(locks.blocks(7) && !locks.blocks(8));
    }

    #[test]
    fn a_transaction_gets_all_its_keys_or_none() {
        let mut locks = Locks::default();
        assert!(locks.try_lock(FIRST, &Scope::Keys(vec![7])));
        assert!(!locks.try_lock(SECOND, &Scope::Keys(vec![8, 7])));
        assert!(!locks.blocks(8));
    }

    #[test]
    fn the_whole_shard_is_locked_only_when_no_key_is() {
        let mut locks = Locks::default();
        assert!(locks.try_lock(FIRST, &Scope::Keys(vec![7])));
        assert!(!locks.try_lock(SECOND, &Scope::Everything));
        locks.release(FIRST, &Scope::Keys(vec![7]));
        assert!(locks.try_lock(SECOND, &Scope::Everything));
        assert!(locks.blocks(1));
        assert!(!locks.try_lock(FIRST, &Scope::Keys(vec![7])));
        locks.release(SECOND, &Scope::Everything);
        assert!(locks.is_free());
    }

    #[test]
    fn a_key_that_is_read_is_locked_against_those_who_change_it_or_the_whole_shard() {
        let mut locks = Locks::default();
        locks.begin_reading([7].into());
        assert!(locks.is_read(7) && !locks.is_read(8) && !locks.blocks(7));
        assert!(locks.holds(7) && !locks.is_free());
        assert!(!locks.try_lock(FIRST, &Scope::Keys(vec![8, 7])));
        assert!(!locks.try_lock(FIRST, &Scope::Everything));
        assert!(locks.try_lock(FIRST, &Scope::Keys(vec![8])));
        locks.end_reading();
        assert!(!locks.is_free() && locks.try_lock(SECOND, &Scope::Keys(vec![7])));
        locks.release(SECOND, &Scope::Keys(vec![7]));
        locks.release(FIRST, &Scope::Keys(vec![8]));
        assert!(locks.is_free());
    }

    #[test]
    fn a_key_named_twice_is_locked_once_and_released_whole() {
        let mut locks = Locks::default();
        assert!(locks.try_lock(FIRST, &Scope::Keys(vec![7, 7])));
        locks.release(FIRST, &Scope::Keys(vec![7, 7]));
        assert!(locks.is_free());
    }
}
