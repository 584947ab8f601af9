//! Commands of one shard that do not run where they were decoded or arrived: they read a large collection, or wait for one that does.
//! Nobody else is held up by one: it is a task by itself, of which a turn does one step, and one collection is read at a time.
//! Decision 0010 has the argument; a step is `commands::reading`'s.

use super::{Driver, pending::Pending, tasks::Manners};
use crate::{
    connection::Pause,
    mesh::message::{Message, Task},
    refused::RefusedCommand,
};
use commands::{
    Call, ClientId, Part, ShardId,
    execute::{self, Ran},
    gather::{self, Plan, Stage},
    locks::Scope,
    reading::{Reading, Step},
    table::RowId,
};
use memory::heap::travel::vec_bytes;
use resp::{OwnedArgs, Writer};
use std::collections::VecDeque;

/// How often a reading begins anew for commands over several shards, which hold locks elsewhere while they wait. Then these wait.
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
    /// Those that read large collections, in the order in which they came; none has begun.
    next: VecDeque<Box<Task>>,
    /// The one whose collection is being read; its key is locked.
    reading: Option<(Box<Task>, Box<Reading>)>,
}

impl Whole {
    /// Whether there is nothing to be done for them now.
    pub(super) fn is_quiet(&self) -> bool {
        self.reading.is_none() && self.next.is_empty()
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
        self.core.reading = None;
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
                Ran::Yes => return self.finish_whole(task, vec![bytes]),
                Ran::NotSettled => self.settle_touched(),
                Ran::NotYet => return self.whole.waiting.push_back(task),
                Ran::InSteps => return self.read_when_free(task),
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

    /// Begins to read what a task has found to be large, unless another collection is being read.
    fn read_when_free(&mut self, task: Box<Task>) {
        let reading = self
            .core
            .reading
            .take()
            .expect("a command in steps has one");
        // Who waits for locks gets them first, a few times.
        let gives_way = !self.lock_queue.is_empty() && task.interrupted < INTERRUPTIONS_MAX;
        if self.core.locks.is_reading() || gives_way {
            return self.whole.next.push_back(task);
        }
        self.core.locks.begin_reading(reading.hash());
        self.whole.reading = Some((task, reading));
    }

    /// Does a step of reading a large collection, if there is one to be read.
    #[inline]
    pub(super) fn read_on(&mut self) {
        if !self.whole.is_quiet() {
            self.read_step();
        }
    }

    fn read_step(&mut self) {
        let Some((mut task, mut reading)) = self.whole.reading.take() else {
            if let Some(task) = self.whole.next.pop_front() {
                self.run_alone(task);
            }
            return;
        };
        if self.is_abandoned(&task) {
            self.end_reading(&mut task, reading);
            return self.finish_whole(task, Vec::new());
        }
        let before = memory::heap::thread_allocated_bytes();
        let step = reading.step(&self.core);
        let bytes = memory::heap::thread_allocated_bytes() - before;
        self.core.travelling_bytes += bytes;
        task.counted += bytes;
        match step {
            Step::More => self.whole.reading = Some((task, reading)),
            Step::Lost => {
                self.end_reading(&mut task, reading);
                self.run_alone(task);
            }
            Step::Failed(error) => {
                self.end_reading(&mut task, reading);
                let mut bytes = Vec::new();
                let out = &mut Writer::new(&mut bytes, task.proto);
                execute::fail_read(&mut self.call_of(&task), task.row, error, out);
                self.finish_whole(task, vec![bytes]);
            }
            Step::Done(pieces) => {
                execute::count_read(&mut self.core, task.row);
                self.end_reading(&mut task, reading);
                self.finish_whole(task, pieces);
            }
        }
    }

    /// Whether the client that asked is known to be gone.
    fn is_abandoned(&mut self, task: &Task) -> bool {
        task.transaction.coordinator == self.core.id && self.client_of(task).is_none()
    }

    /// Unlocks the key that was read. What of the answer was made and not taken is gone.
    fn end_reading(&mut self, task: &mut Task, reading: Box<Reading>) {
        drop(reading);
        self.core.travelling_bytes -= std::mem::take(&mut task.counted);
        self.core.locks.end_reading();
        self.unlocked = true;
    }

    /// Has the reading of a key that a command over several shards wants to lock begin anew behind it, as it would hold up
    /// others on other shards.
    pub(super) fn interrupt_reading(&mut self, scope: &Scope) {
        if !self.core.locks.is_read_within(scope) {
            return;
        }
        let is_firm = |(task, _): &mut (Box<Task>, Box<Reading>)| {
            matches!(scope, Scope::Keys(_)) && task.interrupted >= INTERRUPTIONS_MAX
        };
        if self.whole.reading.as_mut().is_some_and(is_firm) {
            return;
        }
        let reading = self.whole.reading.take();
        let (mut task, reading) = reading.expect("a key that is locked for reading is being read");
        self.end_reading(&mut task, reading);
        task.interrupted = task.interrupted.saturating_add(1);
        self.whole.next.push_front(task);
    }

    /// Sends the answer of a command home.
    fn finish_whole(&mut self, mut task: Box<Task>, pieces: Vec<Vec<u8>>) {
        let each = pieces.iter().map(vec_bytes);
        task.counted = (vec_bytes(&pieces) + each.sum::<usize>()) as i64;
        self.core.travelling_bytes += task.counted;
        task.part = Part::Reply(pieces);
        let home = task.transaction.coordinator;
        self.send_to(home, Message::TaskDone(task));
        self.close_marked();
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
