//! The lock table of one shard: keys held by commands over several shards, and who waits for them.
//! Ordinary commands pay one predictable branch (`is_free`); nothing is locked when one shard owns all keys.
//! Locks are taken shard by shard in rising order and all keys of a shard at once, so no circle of waiting can arise.

use crate::ShardId;
use hashbrown::{HashMap, HashSet};
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
    /// These keys, by table hash, none of them in both lists. Two keys with one hash share a lock, which is harmless.
    Keys {
        /// Those that it changes: nobody else has them meanwhile.
        written: Vec<u64>,
        /// Those that it only reads: others may read them too.
        read: Vec<u64>,
    },
    /// The whole shard.
    Everything,
}

impl Scope {
    /// Bytes it holds on the heap.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Scope::Keys { written, read } => vec_bytes(written) + vec_bytes(read),
            Scope::Everything => 0,
        }
    }
}

/// Who has a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// Who may change it.
    Writer(Transaction),
    /// So many who read it.
    Readers(u32),
}

/// The keys of a command of one shard that works in steps. Others may read them.
#[derive(Debug)]
struct Stepping {
    keys: Box<[u64]>,
    /// Those of them that it changes in its last step.
    written: Box<[u64]>,
    /// Whether nobody else may read them either.
    is_alone: bool,
    /// Those that it has met on its way, and reads.
    met: HashSet<u64>,
}

impl Stepping {
    fn has(&self, hash: u64) -> bool {
        self.keys.contains(&hash) || self.met.contains(&hash)
    }
}

/// The lock table.
#[derive(Debug, Default)]
pub struct Locks {
    keys: HashMap<u64, Holder>,
    everything: Option<Transaction>,
    stepping: Option<Stepping>,
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
        let alone = self.stepping.as_ref().filter(|stepping| stepping.is_alone);
        self.everything.is_some()
            || matches!(self.keys.get(&hash), Some(Holder::Writer(_)))
            || alone.is_some_and(|stepping| stepping.keys.contains(&hash))
    }

    /// Whether somebody reads the key with this hash for longer than a moment: a command that changes it must wait.
    pub fn is_read(&self, hash: u64) -> bool {
        matches!(self.keys.get(&hash), Some(Holder::Readers(_))) || self.has_stepping(hash)
    }

    fn has_stepping(&self, hash: u64) -> bool {
        let stepping = self.stepping.as_ref();
        stepping.is_some_and(|stepping| stepping.has(hash))
    }

    /// Whether a command works in steps.
    pub fn is_stepping(&self) -> bool {
        self.stepping.is_some()
    }

    /// Whether the key with this hash is locked, be it alone or not: it must not be evicted.
    pub fn holds(&self, hash: u64) -> bool {
        self.keys.contains_key(&hash) || self.has_stepping(hash)
    }

    /// Locks keys against all others who change them, while a command works with them in steps; those of them that are `written`
    /// also against commands over several shards that read them, for which nothing may change. There is one such command at a time.
    pub fn begin_steps(&mut self, keys: Box<[u64]>, written: Box<[u64]>) {
        assert!(
            !self.is_stepping()
                && !keys.iter().any(|&hash| self.blocks(hash))
                && !written.iter().any(|&hash| self.is_read(hash)),
            "one works with keys that are free"
        );
        self.stepping = Some(Stepping {
            keys,
            written,
            is_alone: false,
            met: HashSet::new(),
        });
        self.recount();
    }

    /// Locks the keys of the command in steps against those who read them too.
    pub fn be_alone(&mut self) {
        let stepping = self.stepping.as_mut();
        stepping.expect("it has begun").is_alone = true;
    }

    /// Makes room for so many keys that a command in steps will meet on its way.
    pub fn expect_to_meet(&mut self, keys: usize) {
        if let Some(stepping) = &mut self.stepping {
            stepping.met.reserve(keys);
        }
    }

    /// Locks a key that a command in steps meets on its way, as those with which it began. Not where somebody changes it: who has
    /// all his locks here never waits for one that this command has, so that he comes to his end.
    pub fn meet(&mut self, hash: u64) -> bool {
        if self.blocks(hash) {
            return false;
        }
        if let Some(stepping) = &mut self.stepping {
            stepping.met.insert(hash);
        }
        true
    }

    /// Ends that.
    pub fn end_steps(&mut self) {
        assert!(self.is_stepping(), "what has begun is ended once");
        self.stepping = None;
        self.recount();
    }

    fn recount(&mut self) {
        let others = usize::from(self.everything.is_some()) + usize::from(self.stepping.is_some());
        self.count = self.keys.len() + others;
    }

    /// Whether it is a command in steps that keeps `scope` from being locked.
    pub fn is_stepping_within(&self, scope: &Scope) -> bool {
        self.stepping.as_ref().is_some_and(|stepping| match scope {
            Scope::Everything => true,
            Scope::Keys { written, read } => {
                written.iter().any(|&hash| stepping.has(hash))
                    || read.iter().any(|hash| stepping.written.contains(hash))
            }
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

    /// Takes all of `scope` for `transaction`, or nothing. With `may_join` keys that others read may be read beside them; without
    /// it they end first, so that somebody who waits to change such a key has his turn.
    pub fn try_lock(&mut self, transaction: Transaction, scope: &Scope, may_join: bool) -> bool {
        if self.everything.is_some() || self.is_stepping_within(scope) {
            return false;
        }
        match scope {
            Scope::Everything if self.keys.is_empty() => self.everything = Some(transaction),
            Scope::Everything => return false,
            Scope::Keys { written, read } => {
                let is_shared = |hash| match self.keys.get(hash) {
                    None => true,
                    Some(Holder::Readers(_)) => may_join,
                    Some(Holder::Writer(_)) => false,
                };
                let is_taken = written.iter().any(|hash| self.keys.contains_key(hash));
                if is_taken || !read.iter().all(is_shared) {
                    return false;
                }
                let writer = Holder::Writer(transaction);
                self.keys.extend(written.iter().map(|&hash| (hash, writer)));
                read.iter().for_each(|&hash| self.join(hash));
            }
        }
        self.recount();
        true
    }

    fn join(&mut self, hash: u64) {
        match self.keys.entry(hash).or_insert(Holder::Readers(0)) {
            Holder::Readers(count) => *count += 1,
            Holder::Writer(_) => unreachable!("nobody reads what somebody changes"),
        }
    }

    fn leave(&mut self, hash: u64) {
        match self.keys.get_mut(&hash) {
            Some(Holder::Readers(count)) if *count > 1 => *count -= 1,
            Some(Holder::Readers(_)) => _ = self.keys.remove(&hash),
            other => unreachable!("only a reader stops reading, not {other:?}"),
        }
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
            Scope::Keys { written, read } => {
                for hash in written {
                    // A hash that stands twice in the scope was taken once.
                    let holder = self.keys.remove(hash);
                    assert!(
                        holder.is_none_or(|holder| holder == Holder::Writer(transaction)),
                        "only the holder releases a key"
                    );
                }
                read.iter().for_each(|&hash| self.leave(hash));
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

    fn written(hashes: &[u64]) -> Scope {
        Scope::Keys {
            written: hashes.to_vec(),
            read: Vec::new(),
        }
    }

    fn read(hashes: &[u64]) -> Scope {
        Scope::Keys {
            written: Vec::new(),
            read: hashes.to_vec(),
        }
    }

    #[test]
    fn those_who_read_a_key_share_it_and_who_changes_it_waits_for_all() {
        let mut locks = Locks::default();
        assert!(locks.try_lock(FIRST, &read(&[7, 7]), true));
        assert!(locks.is_read(7) && locks.holds(7) && !locks.blocks(7));
        assert!(!locks.try_lock(SECOND, &written(&[7]), true));
        assert!(
            !locks.try_lock(SECOND, &read(&[7]), false),
            "somebody waits"
        );
        assert!(locks.try_lock(SECOND, &read(&[8, 7]), true));
        locks.release(FIRST, &read(&[7, 7]));
        assert!(locks.is_read(7) && !locks.try_lock(FIRST, &written(&[7]), true));
        locks.release(SECOND, &read(&[8, 7]));
        assert!(locks.is_free() && locks.try_lock(FIRST, &written(&[7]), true));
        assert!(!locks.try_lock(SECOND, &read(&[7]), true));
    }

    #[test]
    fn what_a_command_in_steps_will_change_is_read_by_single_commands_alone() {
        let mut locks = Locks::default();
        locks.begin_steps([7, 8].into(), [8].into());
        assert!(!locks.blocks(7) && !locks.blocks(8));
        assert!(locks.try_lock(FIRST, &read(&[7]), true));
        assert!(!locks.try_lock(SECOND, &read(&[8]), true));
        assert!(locks.is_stepping_within(&read(&[8])) && !locks.is_stepping_within(&read(&[7])));
        locks.end_steps();
        assert!(locks.try_lock(SECOND, &read(&[8]), true) && locks.is_read(7));
    }

    #[test]
    fn a_locked_key_blocks_commands_on_it_and_no_other() {
        let mut locks = Locks::default();
        assert!(locks.try_lock(FIRST, &written(&[7]), true));
        assert!(locks.blocks(7) && !locks.blocks(8));
    }

    #[test]
    fn a_transaction_gets_all_its_keys_or_none() {
        let mut locks = Locks::default();
        assert!(locks.try_lock(FIRST, &written(&[7]), true));
        assert!(!locks.try_lock(SECOND, &written(&[8, 7]), true));
        assert!(!locks.blocks(8));
    }

    #[test]
    fn the_whole_shard_is_locked_only_when_no_key_is() {
        let mut locks = Locks::default();
        assert!(locks.try_lock(FIRST, &written(&[7]), true));
        assert!(!locks.try_lock(SECOND, &Scope::Everything, true));
        locks.release(FIRST, &written(&[7]));
        assert!(locks.try_lock(SECOND, &Scope::Everything, true));
        assert!(locks.blocks(1));
        assert!(!locks.try_lock(FIRST, &written(&[7]), true));
        locks.release(SECOND, &Scope::Everything);
        assert!(locks.is_free());
    }

    #[test]
    fn a_key_that_is_read_is_locked_against_those_who_change_it_or_the_whole_shard() {
        let mut locks = Locks::default();
        locks.begin_steps([7].into(), [].into());
        assert!(locks.is_read(7) && !locks.is_read(8) && !locks.blocks(7));
        assert!(locks.holds(7) && !locks.is_free());
        assert!(!locks.try_lock(FIRST, &written(&[8, 7]), true));
        assert!(!locks.try_lock(FIRST, &Scope::Everything, true));
        assert!(locks.try_lock(FIRST, &written(&[8]), true));
        locks.end_steps();
        assert!(!locks.is_free() && locks.try_lock(SECOND, &written(&[7]), true));
        locks.release(SECOND, &written(&[7]));
        locks.release(FIRST, &written(&[8]));
        assert!(locks.is_free());
    }

    #[test]
    fn a_key_named_twice_is_locked_once_and_released_whole() {
        let mut locks = Locks::default();
        assert!(locks.try_lock(FIRST, &written(&[7, 7]), true));
        locks.release(FIRST, &written(&[7, 7]));
        assert!(locks.is_free());
    }
}
