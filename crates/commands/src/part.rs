//! What one shard contributes to a command of several shards.
//! A part holds plain data that can move between threads; it never borrows from a shard.
//! Which merge a command uses is said by its row.

use crate::Error;
use crate::debug::Tour;
use crate::memory_family::{BySize, Checkup, TrendFigures, TypeFigures};
use crate::stats::CoreStats;
use memory::{heap::travel::vec_bytes, shard::ShardMemory};
use store::{Covered, Detached, KINDS, PrefixReport, TopKeys};

/// One shard's contribution. Each command knows which form its own parts have.
#[derive(Debug, Default)]
pub enum Part {
    /// Nothing yet, or nothing to say.
    #[default]
    Empty,
    /// A number.
    Count(i64),
    /// A reply, in pieces one after the other.
    Reply(Vec<Vec<u8>>),
    /// Encoded reply elements, and where each ends.
    Elements {
        /// The elements, one after the other.
        bytes: Vec<u8>,
        /// End of each element in `bytes`.
        ends: Vec<usize>,
    },
    /// What streams answer.
    Answers(Vec<crate::streams::Answer>),
    /// A walk over the keyspace in steps: where it stands and what it has found.
    Walk(Walk),
    /// What would be taken from one of the command's keys.
    Taken(Taken),
    /// Values that move from one key to another, in key order; nothing where a key is missing.
    Values(Vec<Option<Detached>>),
    /// Copies of values, each with the index of its key among the arguments; missing keys have none.
    Copies(Vec<(usize, Detached)>),
    /// A key and how many keys it was drawn from.
    Drawn {
        /// The key, where the shard has one.
        key: Option<Vec<u8>>,
        /// Live keys of the database on that shard.
        keys: u64,
    },
    /// A shard's memory figures.
    Memory(Box<ShardMemory>),
    /// A shard's memory and traffic figures.
    Figures(Box<ShardMemory>, Box<CoreStats>),
    /// A shard's memory figures, and the blocks of its slab and of its heap pages by size.
    Allocator {
        /// The figures.
        memory: Box<ShardMemory>,
        /// Blocks of the slab.
        slab: BySize,
        /// Blocks of the pages its thread has in hand.
        heap: BySize,
    },
    /// What a shard knows of the miss-ratio curve.
    Curve(Box<store::curve::Figures>),
    /// A shard's types.
    Types(Box<[TypeFigures; KINDS]>),
    /// Prefixes of each database of a shard.
    Prefixes(Vec<PrefixReport>),
    /// A shard's biggest keys.
    TopKeys(Box<TopKeys>),
    /// A shard's growth.
    Trend(Box<TrendFigures>),
    /// What a shard contributes to a diagnosis.
    Checkup(Box<Checkup>),
    /// A walk over all databases.
    Tour(Box<Tour>),
    /// A shard's share of a SORT.
    Sort(Box<crate::sort::Share>),
    /// What a command over several shards has come to, where that took steps.
    Concluded(Box<Conclusion>),
    /// Lines of text, sorted or joined by the merge.
    Lines(Vec<(u64, String)>),
}

impl Part {
    /// Bytes on the heap of what a part carries from one shard to another to be kept there, as the allocator rounds them;
    /// 0 of a report.
    pub fn carried_bytes(&self) -> usize {
        match self {
            Part::Elements { bytes, ends } => vec_bytes(bytes) + vec_bytes(ends),
            Part::Taken(taken) => taken.content.as_ref().map_or(0, vec_bytes),
            Part::Values(values) => {
                let each = values.iter().flatten().map(Detached::heap_bytes);
                vec_bytes(values) + each.sum::<usize>()
            }
            Part::Copies(copies) => {
                let each = copies.iter().map(|(_, copy)| copy.heap_bytes());
                vec_bytes(copies) + each.sum::<usize>()
            }
            Part::Answers(answers) => crate::streams::heap_bytes(answers),
            Part::Sort(share) => share.carried_bytes(),
            _ => 0,
        }
    }
}

/// What a command over several shards comes to.
#[derive(Debug)]
pub struct Conclusion {
    /// The reply, in pieces one after the other.
    pub reply: Vec<Vec<u8>>,
    /// What the target is to hold, where there is one.
    pub value: Option<Option<Detached>>,
}

/// What would be taken from a key.
#[derive(Debug)]
pub struct Taken {
    /// The key's place among the arguments.
    pub index: usize,
    /// What goes, as its command passes it on, or why nothing can be taken.
    pub content: Result<Vec<u8>, Error>,
}

/// The state of a walk over one shard's keyspace.
#[derive(Debug, Default)]
pub struct Walk {
    /// Index part of the cursor; 0 before the first step and after the last.
    pub cursor: u64,
    /// Whether the first step has been taken.
    pub begun: bool,
    /// What earlier steps have covered, for walks that show no key twice.
    pub covered: Covered,
    /// Table slots visited so far.
    pub visited: u64,
    /// Live keys seen so far.
    pub seen: u64,
    /// Found elements, encoded.
    pub bytes: Vec<u8>,
    /// How many elements `bytes` holds.
    pub count: u64,
}

/// Whether a part is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The part is complete.
    Done,
    /// Call again when other work of the core had its turn.
    Again,
    /// It goes on in steps, which `Core::long` holds.
    InSteps,
}
