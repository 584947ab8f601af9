//! What travels between cores: batches of single-key commands with their replies, and tasks of commands over several shards.
//! Nothing is shared on the way: who sends a message has done with it.
//! A message is a cache line, since each line costs a journey from one core's cache to the other's.

use super::batch::Batch;
use commands::{
    Part,
    gather::Stage,
    locks::{Scope, Transaction},
    table::RowId,
};
use resp::{OwnedArgs, Proto};
use std::sync::Arc;

/// A message between two cores.
pub enum Message {
    /// Commands for the receiver's shard; or the same batch with its replies, back at its maker.
    Batch(Batch),
    /// One shard's stage of a command over several shards.
    Task(Box<Task>),
    /// The same task, done, back at its coordinator.
    TaskDone(Box<Task>),
    /// The limit is passed, and the receiver should evict its part.
    Pay,
}

// A place of a queue is a cache line, and all of a message is in it.
const _: () = assert!(size_of::<Message>() == 64);

/// One shard's stage of a command over several shards.
pub struct Task {
    /// The command it belongs to.
    pub transaction: Transaction,
    /// Which of the concerned shards this is, by position in the plan.
    pub place: usize,
    /// What to do.
    pub stage: Stage,
    /// What to run.
    pub row: RowId,
    /// The whole command, shared by all its tasks.
    pub args: Arc<OwnedArgs>,
    /// The client's database.
    pub db: u8,
    /// The client's protocol.
    pub proto: Proto,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// Table hash of the first key, where the stage is all of a command.
    pub hash: u64,
    /// How often its reading in steps had to begin anew for a command over several shards.
    pub interrupted: u8,
    /// What to lock before the part, and to release after the last stage.
    pub scope: Option<Scope>,
    /// The shard's contribution.
    pub part: Part,
    /// Why the part failed.
    pub error: Option<commands::Error>,
    /// Bytes of the part that are counted as being on their way, see `Core::travelling_bytes`.
    pub counted: i64,
    /// Bytes of the part that are on no core's account while it is between two.
    pub handed: i64,
}

impl Task {
    /// Bytes of its record and of what it locks, which the coordinator takes and gets back.
    pub fn own_bytes(&self) -> i64 {
        let scope_bytes = self.scope.as_ref().map_or(0, Scope::heap_bytes);
        (size_of::<Task>() + scope_bytes) as i64
    }
}
