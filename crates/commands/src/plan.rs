//! How a command over several shards is taken apart: who takes part, what each is asked, what a round leads to. Plain data.
//! Nothing here runs or moves anything.
//! Source: decision 0001.

use crate::{ShardId, locks::Scope};
use memory::heap::travel::vec_bytes;

/// Where a command runs.
#[derive(Debug)]
pub enum Place {
    /// Whole on this core, through `execute::run`.
    Here,
    /// Whole on the one shard that owns all its keys; with the table hash of the first key.
    Owner(ShardId, u64),
    /// In parts on several shards, or in steps on one.
    Parts(Plan),
}

/// Which shards a command concerns and what it locks there.
#[derive(Debug)]
pub struct Plan {
    /// The shards in rising order, each with what must be locked before its part runs, if anything.
    pub shards: Vec<(ShardId, Option<Scope>)>,
    /// Whether the shards run their parts one after the other under locks, and are told to finish afterwards.
    pub locked: bool,
}

impl Plan {
    /// Bytes it holds on the heap.
    pub fn heap_bytes(&self) -> usize {
        let scopes = self.shards.iter().filter_map(|(_, scope)| scope.as_ref());
        vec_bytes(&self.shards) + scopes.map(Scope::heap_bytes).sum::<usize>()
    }

    /// Which part is that of `shard`, which takes part.
    pub fn place_of(&self, shard: ShardId) -> usize {
        self.shards
            .iter()
            .position(|(one, _)| *one == shard)
            .expect("every owner takes part")
    }
}

/// What a shard is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its part; after its locks are taken, where the plan has some.
    Part,
    /// All of a command whose keys lie on this shard, through `execute::run`, as soon as none of them is locked.
    Whole,
    /// Its part in a further round; its locks are held since the first.
    Again,
    /// What follows a decision to commit; then its locks are given back.
    Commit,
    /// Its locks are given back first, then what takes long and needs none (FLUSHALL's freeing).
    After,
    /// Nothing but giving back its locks.
    Release,
}

/// What a finished round of parts leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The reply is not written: every shard does its part once more (`Stage::Again`), then comes the next conclusion.
    Again,
    /// The reply is not written: `Core::long` makes it in steps.
    InSteps,
    /// The reply is written. Locks are given back.
    Release,
    /// The reply is written. Every shard commits, then gives back its locks.
    Commit,
    /// The reply is written. Every shard gives back its locks, then does the long rest; the reply waits for it.
    After,
}
