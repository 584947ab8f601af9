//! Commands over several shards that wait for their locks on this one: first come, first served, where they want the same keys.
//! Never has one wait for another that wants other keys, nor has one pass another that wants one of its keys.
//! Decision 0001 has the argument why waiting ends.

use crate::mesh::message::Task;
use commands::locks::Scope;
use std::collections::{HashSet, VecDeque};

/// How many keys those may want in all that one is compared with: beyond them it waits its turn.
const COMPARED_KEYS: usize = 4096;

/// The queue.
#[derive(Default)]
pub(super) struct LockQueue {
    tasks: VecDeque<Box<Task>>,
}

impl LockQueue {
    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Those that wait.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Box<Task>> {
        self.tasks.iter()
    }

    /// Has a task wait behind the others.
    pub(super) fn push(&mut self, task: Box<Task>) {
        self.tasks.push_back(task);
    }

    /// Bytes of the queue.
    pub(super) fn heap_bytes(&self) -> usize {
        self.tasks.capacity() * size_of::<Box<Task>>()
    }

    /// Takes those out that get what they want: each is asked for once, unless one before it wants the same and waits.
    pub(super) fn take_ready(
        &mut self,
        mut locks: impl FnMut(&Task) -> bool,
    ) -> VecDeque<Box<Task>> {
        let (mut ready, mut wanted, mut index) = (VecDeque::new(), Wanted::default(), 0);
        while index < self.tasks.len() && wanted.is_comparable() {
            let task = &self.tasks[index];
            let scope = task.scope.as_ref().expect("only who wants locks waits");
            if !wanted.has_any(scope) && locks(task) {
                ready.extend(self.tasks.remove(index));
            } else {
                wanted.add(scope);
                index += 1;
            }
        }
        ready
    }
}

/// What those want that wait.
#[derive(Default)]
struct Wanted {
    written: HashSet<u64>,
    read: HashSet<u64>,
    everything: bool,
}

impl Wanted {
    fn is_comparable(&self) -> bool {
        !self.everything && self.written.len() + self.read.len() < COMPARED_KEYS
    }

    /// Whether somebody wants what rules out that this is had.
    fn has_any(&self, scope: &Scope) -> bool {
        let (writes, reads) = (&self.written, &self.read);
        match scope {
            Scope::Everything => !writes.is_empty() || !reads.is_empty(),
            Scope::Keys { written, read } => {
                let is_wanted = |hash| writes.contains(hash) || reads.contains(hash);
                written.iter().any(is_wanted) || read.iter().any(|hash| writes.contains(hash))
            }
        }
    }

    fn add(&mut self, scope: &Scope) {
        match scope {
            Scope::Everything => self.everything = true,
            Scope::Keys { written, read } => {
                self.written.extend(written);
                self.read.extend(read);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use commands::{Part, ShardId, Table, gather::Stage, locks::Locks, locks::Transaction};
    use resp::{OwnedArgs, Proto};
    use std::sync::Arc;

    fn task(number: u32, scope: Scope) -> Box<Task> {
        let mut args = OwnedArgs::new();
        args.push(b"time");
        let row = Table::instance().resolve(&args.as_args());
        Box::new(Task {
            transaction: Transaction {
                coordinator: ShardId(0),
                number,
            },
            place: 0,
            stage: Stage::Part,
            row: row.expect("it is a command"),
            args: Arc::new(args),
            db: 0,
            proto: Proto::Resp2,
            no_touch: false,
            hash: 0,
            interrupted: 0,
            scope: Some(scope),
            part: Part::Empty,
            error: None,
            counted: 0,
            handed: 0,
        })
    }

    fn keys(hashes: &[u64]) -> Scope {
        Scope::Keys {
            written: hashes.to_vec(),
            read: Vec::new(),
        }
    }

    /// The numbers of those that get what they want of what `held` leaves.
    fn ready(queue: &mut LockQueue, held: &Scope) -> Vec<u32> {
        let mut locks = Locks::default();
        let holder = Transaction {
            coordinator: ShardId(1),
            number: 0,
        };
        assert!(locks.try_lock(holder, held, true));
        let mut take = |task: &Task| {
            let scope = task.scope.as_ref().expect("it has one");
            locks.try_lock(task.transaction, scope, true)
        };
        let ready = queue.take_ready(&mut take);
        ready.iter().map(|task| task.transaction.number).collect()
    }

    #[test]
    fn who_wants_other_keys_passes_and_who_wants_one_of_the_same_does_not() {
        let mut queue = LockQueue::default();
        for (number, hashes) in [&[1, 2][..], &[3], &[2, 4], &[4, 5], &[6]]
            .iter()
            .enumerate()
        {
            queue.push(task(number as u32, keys(hashes)));
        }
        assert_eq!(ready(&mut queue, &keys(&[1])), [1, 4]);
        assert_eq!(ready(&mut queue, &keys(&[7])), [0]);
        assert_eq!(ready(&mut queue, &keys(&[7])), [2]);
        assert_eq!(ready(&mut queue, &keys(&[7])), [3]);
        assert!(queue.is_empty());
    }

    #[test]
    fn those_who_read_the_same_keys_pass_each_other_and_nobody_who_changes_them() {
        let read = |hashes: &[u64]| Scope::Keys {
            written: Vec::new(),
            read: hashes.to_vec(),
        };
        let mut queue = LockQueue::default();
        let scopes = [read(&[1, 2]), read(&[2, 3]), keys(&[3]), read(&[3])];
        for (number, scope) in scopes.into_iter().enumerate() {
            queue.push(task(number as u32, scope));
        }
        assert_eq!(ready(&mut queue, &keys(&[1])), [1]);
        assert_eq!(ready(&mut queue, &keys(&[4])), [0, 2]);
        assert_eq!(ready(&mut queue, &keys(&[4])), [3]);
    }

    #[test]
    fn nobody_passes_who_wants_a_whole_shard() {
        let mut queue = LockQueue::default();
        queue.push(task(0, keys(&[1])));
        queue.push(task(1, Scope::Everything));
        queue.push(task(2, keys(&[2])));
        assert_eq!(ready(&mut queue, &keys(&[3])), [0]);
        assert_eq!(ready(&mut queue, &keys(&[3])), [0; 0]);
        assert_eq!(ready(&mut queue, &keys(&[])), [1]);
        assert_eq!(ready(&mut queue, &keys(&[])), [2]);
    }

    #[test]
    fn who_wants_very_many_keys_is_not_compared_with_all() {
        let mut queue = LockQueue::default();
        let many: Vec<u64> = (0..COMPARED_KEYS as u64).collect();
        queue.push(task(0, keys(&many)));
        queue.push(task(1, keys(&[u64::MAX])));
        assert_eq!(ready(&mut queue, &keys(&[0])), [0; 0]);
        assert_eq!(ready(&mut queue, &keys(&[u64::MAX - 1])), [0, 1]);
    }
}
