//! Commands of one shard that do not run where they were decoded or arrived: they take long, or wait for one that does.
//! Nobody else is held up by one: it is a task by itself, of which a turn does one step, and one takes steps at a time.
//! Decision 0010 has the argument; a step is `commands::steps`'.

use super::{Driver, pending::Pending, tasks::Manners};
use crate::{
    connection::Pause,
    mesh::message::{Message, Task},
    refused::RefusedCommand,
};
use commands::{
    Call, ClientId, Flags, Part, ShardId,
    execute::{self, Ran},
    gather::{self, Plan, Stage},
    locks::Scope,
    steps::{Long, Stepped},
    table::RowId,
};
use memory::heap::travel::vec_bytes;
use resp::{OwnedArgs, Writer};
use std::collections::VecDeque;

/// How often a command in steps begins anew for commands over several shards, which hold locks elsewhere while they wait. Then these wait.
const INTERRUPTIONS_MAX: u8 = 3;

/// What a command that runs whole must know besides its plan.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    /// Table hash of its first key.
    pub(super) hash: u64,
    /// The place that was kept for its reply, where there is one.
    sequence: Option<u32>,
}

/// The commands that run whole on a core, and have not.
#[derive(Default)]
pub(super) struct Whole {
    /// Those that wait for a lock or for memory.
    waiting: VecDeque<Box<Task>>,
    /// Those that take steps, in the order in which they came; none has begun.
    next: VecDeque<Box<Task>>,
    /// The one that is taking steps; its keys are locked.
    long: Option<(Box<Task>, Box<Long>)>,
}

impl Whole {
    /// Whether there is nothing to be done for them now.
    pub(super) fn is_quiet(&self) -> bool {
        self.long.is_none() && self.next.is_empty()
    }

    /// Bytes of the queues.
    pub(super) fn heap_bytes(&self) -> usize {
        (self.waiting.capacity() + self.next.capacity()) * size_of::<Box<Task>>()
    }
}

impl Driver {
    /// Begins a command that was decoded here, ran up to where it would have taken long, and has done nothing.
    #[cold]
    pub(super) fn begin_long(&mut self, place: u32, command: &Pending, id: RowId, hash: u64) {
        self.core.long = None;
        let connection = self.connections.at(place);
        if connection.replies.awaited() > 0 {
            connection.pause = Pause::Barrier;
            return self.stop_at(command);
        }
        connection.pause = Pause::Task;
        let args = self.owned_args(command);
        let client = self.core.clients.at_mut(ClientId(place));
        client.commands += 1;
        let manners = Manners {
            db: client.db,
            proto: client.proto,
            no_touch: client.no_touch,
        };
        let asked = Asked {
            hash,
            sequence: None,
        };
        self.begin_whole(place, id, args, self.core.id, manners, asked);
    }

    /// Begins a command that another core did not run in a batch. What its connection asked before is answered.
    pub(super) fn begin_refused(&mut self, place: u32, command: RefusedCommand) {
        let terms = command.request.terms();
        let manners = Manners {
            db: terms.db,
            proto: terms.proto,
            no_touch: terms.no_touch,
        };
        let asked = Asked {
            hash: command.request.hash,
            sequence: Some(command.sequence),
        };
        self.begin_whole(
            place,
            terms.row,
            command.args,
            command.owner,
            manners,
            asked,
        );
    }

    fn begin_whole(
        &mut self,
        place: u32,
        row: RowId,
        args: OwnedArgs,
        owner: ShardId,
        manners: Manners,
        asked: Asked,
    ) {
        let plan = Plan {
            shards: vec![(owner, None)],
            locked: false,
        };
        let number = self.coordinate(place, row, args, plan, manners);
        let coordinated = self.coordinated.get_mut(&number).expect("it is new");
        coordinated.whole = Some(asked);
        self.send_task(number, 0, Stage::Whole);
    }

    /// Runs a command as soon as it need not wait for anything.
    pub(super) fn run_alone(&mut self, task: Box<Task>) {
        let mut bytes = Vec::new();
        loop {
            match self.try_alone(&task, &mut bytes) {
                Ran::Yes => return self.answer_whole(task, Part::Reply(vec![bytes])),
                Ran::NotSettled => self.settle_touched(),
                Ran::NotYet => return self.whole.waiting.push_back(task),
                Ran::InSteps => return self.go_on_when_free(task),
            }
        }
    }

    fn try_alone(&mut self, task: &Task, bytes: &mut Vec<u8>) -> Ran {
        let row = self.table.row(task.row);
        if gather::must_wait(&self.core, row, &task.args.as_args(), task.hash) {
            return Ran::NotYet;
        }
        let mut call = self.call_of(task);
        let ran = execute::run(&mut call, task.row, &mut Writer::new(bytes, task.proto));
        self.waits_for_room |= ran == Ran::NotYet;
        ran
    }

    fn call_of<'c>(&'c mut self, task: &'c Task) -> Call<'c> {
        let client = self.client_of(task);
        Call {
            core: &mut self.core,
            args: task.args.as_args(),
            db: usize::from(task.db),
            proto: task.proto,
            hash: task.hash,
            client,
            no_touch: task.no_touch,
        }
    }

    /// Begins with the steps of a task, unless another takes some.
    fn go_on_when_free(&mut self, task: Box<Task>) {
        let long = self.core.long.take().expect("a command in steps has one");
        // Who waits for locks gets them first, a few times.
        let gives_way = !self.lock_queue.is_empty() && task.interrupted < INTERRUPTIONS_MAX;
        if self.core.locks.is_stepping() || gives_way {
            return self.whole.next.push_back(task);
        }
        let (row, args) = (self.table.row(task.row), task.args.as_args());
        let written = gather::written(&self.core, row, &args);
        self.core
            .locks
            .begin_steps(long.keys().into(), written.into());
        if long.is_alone() {
            self.core.locks.be_alone();
        }
        self.whole.long = Some((task, long));
    }

    /// Does a step of a command that takes long, if there is one.
    #[inline]
    pub(super) fn step_on(&mut self) {
        if !self.courses.is_empty() {
            // Who holds locks on several shards goes first.
            self.step_of_stage();
        } else if !self.whole.is_quiet() {
            self.take_step();
        }
    }

    fn take_step(&mut self) {
        let Some((mut task, mut long)) = self.whole.long.take() else {
            if let Some(task) = self.whole.next.pop_front() {
                self.run_alone(task);
            }
            return;
        };
        if self.is_abandoned(&task) {
            self.end_long(&mut task, long);
            return self.answer_whole(task, Part::Reply(Vec::new()));
        }
        let (step, lookups) = (long.step(&mut self.core), long.counted());
        self.core.travelling_bytes += long.held_bytes() - task.counted;
        task.counted = long.held_bytes();
        match step {
            Stepped::More => self.whole.long = Some((task, long)),
            Stepped::Lost => {
                self.end_long(&mut task, long);
                self.run_alone(task);
            }
            Stepped::Failed(error) => {
                self.end_long(&mut task, long);
                let mut bytes = Vec::new();
                let out = &mut Writer::new(&mut bytes, task.proto);
                let counted = (task.row, lookups);
                execute::fail_long(&mut self.call_of(&task), counted, error, out);
                self.answer_whole(task, Part::Reply(vec![bytes]));
            }
            Stepped::Done(part) => {
                execute::count_long(&mut self.core.stats, task.row, lookups);
                self.end_long(&mut task, long);
                self.answer_whole(task, part);
            }
        }
    }

    /// Whether the client that asked is known to be gone, and nothing is left of its command but an answer.
    fn is_abandoned(&mut self, task: &Task) -> bool {
        self.table.row(task.row).flags.has(Flags::READONLY)
            && task.transaction.coordinator == self.core.id
            && self.client_of(task).is_none()
    }

    /// Unlocks the keys of a command in steps. What it has made and nobody has taken is gone.
    fn end_long(&mut self, task: &mut Task, mut long: Box<Long>) {
        long.end(&mut self.core);
        drop(long);
        self.core.travelling_bytes -= std::mem::take(&mut task.counted);
        self.core.locks.end_steps();
        self.unlocked = true;
    }

    /// Has the command in steps that has a key which one over several shards wants to lock begin anew behind that, as it would
    /// hold up others on other shards.
    pub(super) fn interrupt_long(&mut self, scope: &Scope) {
        if !self.core.locks.is_stepping_within(scope) {
            return;
        }
        let is_firm = |(task, long): &mut (Box<Task>, Box<Long>)| {
            let is_patient = matches!(scope, Scope::Keys { .. });
            long.is_alone() || is_patient && task.interrupted >= INTERRUPTIONS_MAX
        };
        if self.whole.long.as_mut().is_some_and(is_firm) {
            return;
        }
        let long = self.whole.long.take();
        let (mut task, long) = long.expect("what is locked for a command in steps is under way");
        self.end_long(&mut task, long);
        task.interrupted = task.interrupted.saturating_add(1);
        self.whole.next.push_front(task);
    }

    /// Sends the answer of a command home.
    fn answer_whole(&mut self, mut task: Box<Task>, answer: Part) {
        let Part::Reply(pieces) = &answer else {
            unreachable!("what runs whole is answered, not {answer:?}")
        };
        let each = pieces.iter().map(vec_bytes);
        task.counted = (vec_bytes(pieces) + each.sum::<usize>()) as i64;
        self.core.travelling_bytes += task.counted;
        task.part = answer;
        let home = task.transaction.coordinator;
        self.send_to(home, Message::TaskDone(task));
        self.close_marked();
    }

    /// Whether any wait for a lock or for memory.
    pub(super) fn has_whole_waiting(&self) -> bool {
        !self.whole.waiting.is_empty()
    }

    /// Lets those go on that waited for a lock or for memory.
    pub(super) fn retry_whole(&mut self) {
        for _ in 0..self.whole.waiting.len() {
            let task = self.whole.waiting.pop_front();
            self.run_alone(task.expect("as many as were counted"));
        }
    }

    /// Gives a connection the answer of a command that ran whole, and lets it go on.
    pub(super) fn deliver_whole(&mut self, number: u32) {
        let coordinated = self.coordinated.remove(&number);
        let mut coordinated = coordinated.expect("it is delivered once");
        self.core.travelling_bytes -= coordinated.counted;
        let (place, asked) = (coordinated.place, coordinated.whole);
        let generation = coordinated.generation;
        let pieces = match coordinated.parts.pop() {
            Some(Part::Reply(pieces)) => pieces,
            other => unreachable!("what runs whole is answered, not {other:?}"),
        };
        let Some(connection) = self.connections.still(place, generation) else {
            return;
        };
        connection.replies.equip(&mut self.pool);
        if let Some(sequence) = asked.and_then(|asked| asked.sequence) {
            connection.replies.arrived_in_pieces(sequence, pieces);
            self.flush(place);
            self.ask_again(place);
        } else {
            if self.core.clients.at_mut(ClientId(place)).wants_reply() {
                connection.replies.adopt(pieces);
            }
            self.unpause(place);
        }
        self.mark_dirty(place);
    }
}
