//! Commands over several shards: their coordination here, and this shard's share in those of all cores.
//! A coordinator never waits on anything but tasks, and tasks never wait on batches, so locks are always given back.
//! Decision 0001 has the argument; what each stage does is `commands::gather`'s.

use super::{
    Driver,
    courses::{Course, Whose},
    whole,
};
use crate::{
    connection::Pause,
    mesh::message::{Message, Task},
    replies::block_bytes,
};
use commands::{
    Call, ClientId, Core, Error, Flags, Part, Progress, ShardId,
    gather::{self, Next, Plan, Stage},
    locks::Transaction,
    table::RowId,
};
use resp::{OwnedArgs, Proto, Writer};
use std::sync::Arc;

/// A command over several shards under way.
pub(super) struct Coordinated {
    pub(super) place: u32,
    pub(super) generation: u32,
    pub(super) row: RowId,
    plan: Plan,
    /// It runs whole on one shard.
    pub(super) whole: Option<whole::Asked>,
    args: Arc<OwnedArgs>,
    db: u8,
    proto: Proto,
    no_touch: bool,
    pub(super) parts: Vec<Part>,
    error: Option<Error>,
    /// Shards asked so far, in plan order.
    asked: usize,
    /// Shards that have not answered.
    outstanding: usize,
    /// The reply is known and waits for the last stage.
    reply: Option<Vec<Vec<u8>>>,
    /// Bytes of its arguments, parts and reply, which are counted as being on their way.
    pub(super) counted: i64,
}

impl Coordinated {
    /// What its conclusion needs: its call, its plan, and the parts that it concludes.
    pub(super) fn concluding<'c>(
        &'c mut self,
        core: &'c mut Core,
        client: Option<ClientId>,
    ) -> (Call<'c>, &'c Plan, &'c mut Vec<Part>) {
        let call = Call {
            core,
            args: self.args.as_args(),
            db: usize::from(self.db),
            proto: self.proto,
            hash: 0,
            client,
            no_touch: self.no_touch,
        };
        (call, &self.plan, &mut self.parts)
    }
}

/// How a client wants its command run.
#[derive(Clone, Copy)]
pub(super) struct Manners {
    pub(super) db: u8,
    pub(super) proto: Proto,
    pub(super) no_touch: bool,
}

impl Driver {
    /// Begins a command in parts for a connection, which pauses until it is answered.
    pub(super) fn begin(&mut self, place: u32, row: RowId, args: OwnedArgs, plan: Plan) {
        let client = self.core.clients.at_mut(ClientId(place));
        client.commands += 1;
        let (db, proto, no_touch) = (client.db, client.proto, client.no_touch);
        let checked = {
            let mut call = Call {
                core: &mut self.core,
                args: args.as_args(),
                db: usize::from(db),
                proto,
                hash: 0,
                client: Some(ClientId(place)),
                no_touch,
            };
            gather::check(&mut call, self.table.row(row))
        };
        self.connections.at(place).pause = Pause::Task;
        let manners = Manners {
            db,
            proto,
            no_touch,
        };
        let number = self.coordinate(place, row, args, plan, manners);
        let coordinated = self.coordinated.get_mut(&number).expect("it is new");
        coordinated.error = checked.err();
        self.ask(number);
    }

    /// A new record of a command for a connection; answers its number.
    pub(super) fn coordinate(
        &mut self,
        place: u32,
        row: RowId,
        args: OwnedArgs,
        plan: Plan,
        manners: Manners,
    ) -> u32 {
        let connection = self.connections.at(place);
        self.last_transaction = self.last_transaction.wrapping_add(1);
        let shards = plan.shards.len();
        let bytes = (block_bytes(args.heap_bytes()) + plan.heap_bytes()) as i64;
        let coordinated = Coordinated {
            place,
            generation: connection.generation,
            row,
            plan,
            whole: None,
            args: Arc::new(args),
            db: manners.db,
            proto: manners.proto,
            no_touch: manners.no_touch,
            parts: (0..shards).map(|_| Part::Empty).collect(),
            error: None,
            asked: 0,
            outstanding: 0,
            reply: None,
            counted: bytes,
        };
        self.core.travelling_bytes += bytes;
        self.coordinated.insert(self.last_transaction, coordinated);
        self.last_transaction
    }

    /// Asks the next shard under locks, or all shards at once without; concludes when there is nobody left to ask.
    fn ask(&mut self, number: u32) {
        let coordinated = self.coordinated.get_mut(&number).expect("it is under way");
        let count = coordinated.plan.shards.len();
        if coordinated.error.is_some() || coordinated.asked == count {
            return self.conclude(number);
        }
        let until = if coordinated.plan.locked {
            coordinated.asked + 1
        } else {
            count
        };
        for place in coordinated.asked..until {
            self.send_task(number, place, Stage::Part);
        }
        let coordinated = self.coordinated.get_mut(&number).expect("it is under way");
        coordinated.asked = until;
    }

    pub(super) fn send_task(&mut self, number: u32, place: usize, stage: Stage) {
        let coordinated = self.coordinated.get_mut(&number).expect("it is under way");
        coordinated.outstanding += 1;
        let (shard, scope) = &coordinated.plan.shards[place];
        // Giving back locks needs nothing else, and what the command held is freed when its reply is delivered.
        let (args, part) = match stage {
            Stage::Release => (self.no_args.clone(), Part::Empty),
            _ => (
                coordinated.args.clone(),
                std::mem::take(&mut coordinated.parts[place]),
            ),
        };
        let task = Box::new(Task {
            transaction: Transaction {
                coordinator: self.core.id,
                number,
            },
            place,
            stage,
            row: coordinated.row,
            args,
            db: coordinated.db,
            proto: coordinated.proto,
            no_touch: coordinated.no_touch,
            hash: coordinated.whole.as_ref().map_or(0, |asked| asked.hash),
            interrupted: 0,
            scope: scope.clone(),
            part,
            error: None,
            counted: 0,
            handed: 0,
        });
        let shard = *shard;
        self.core.travelling_bytes += task.own_bytes();
        self.send_to(shard, Message::Task(task));
    }

    pub(super) fn send_to(&mut self, shard: ShardId, mut message: Message) {
        if shard == self.core.id {
            return self.to_self.push_back(message);
        }
        if let Message::Task(task) | Message::TaskDone(task) = &mut message {
            let carried_bytes = task.part.carried_bytes() as i64;
            task.handed = if carried_bytes > 0 {
                carried_bytes
            } else {
                task.counted
            };
            memory::heap::travel::hand_over(task.handed);
            self.core.travelling_bytes -= task.counted;
        }
        self.port.send(shard.0 as usize, message);
    }

    /// A task came from another core: what it carries is this one's now.
    pub(super) fn receive_task(&mut self, task: &mut Task) {
        memory::heap::travel::hand_over(-std::mem::take(&mut task.handed));
        self.core.travelling_bytes += task.counted;
    }

    /// A shard has answered its stage.
    pub(super) fn task_done(&mut self, task: Task) {
        self.core.travelling_bytes -= task.own_bytes();
        let number = task.transaction.number;
        // A release is not waited for: its command is gone by now.
        let Some(coordinated) = self.coordinated.get_mut(&number) else {
            return;
        };
        coordinated.outstanding -= 1;
        coordinated.counted += task.counted;
        coordinated.parts[task.place] = task.part;
        if coordinated.error.is_none() {
            coordinated.error = task.error;
        }
        if coordinated.whole.is_some() {
            self.deliver_whole(number);
        } else if coordinated.reply.is_some() {
            if coordinated.outstanding == 0 {
                self.deliver(number);
            }
        } else if coordinated.outstanding == 0 {
            self.ask(number);
        }
    }

    fn conclude(&mut self, number: u32) {
        let coordinated = self.coordinated.get_mut(&number).expect("it is under way");
        let client = self
            .connections
            .still(coordinated.place, coordinated.generation)
            .map(|_| ClientId(coordinated.place));
        let mut reply = Vec::new();
        let failed = coordinated.error.take();
        let (row, out) = (
            coordinated.row,
            &mut Writer::new(&mut reply, coordinated.proto),
        );
        let (mut call, plan, parts) = coordinated.concluding(&mut self.core, client);
        let next = gather::conclude(&mut call, row, plan, parts, failed, out);
        match next {
            Next::Again => self.ask_all_again(number),
            Next::InSteps => self.begin_course(Whose::Conclusion(number)),
            _ => self.end(number, vec![reply], next),
        }
    }

    /// Asks for a further round. All locks are held: nobody waits for another.
    fn ask_all_again(&mut self, number: u32) {
        let coordinated = self.coordinated.get_mut(&number).expect("it is under way");
        for place in 0..coordinated.asked {
            self.send_task(number, place, Stage::Again);
        }
    }

    /// The reply is known: sends it, unless the last stage is waited for, which is begun.
    pub(super) fn end(&mut self, number: u32, reply: Vec<Vec<u8>>, next: Next) {
        let coordinated = self.coordinated.get_mut(&number).expect("it is under way");
        let asked = coordinated.asked;
        let each = reply.iter().map(|piece| block_bytes(piece.capacity()));
        let bytes = each.sum::<usize>() as i64;
        coordinated.counted += bytes;
        self.core.travelling_bytes += bytes;
        coordinated.reply = Some(reply);
        let (stage, waited_for) = match next {
            Next::Again | Next::InSteps => unreachable!("there is no reply then"),
            Next::Commit => (Stage::Commit, true),
            Next::After => (Stage::After, true),
            Next::Release => (Stage::Release, false),
        };
        if waited_for || coordinated.plan.locked {
            for place in 0..asked {
                self.send_task(number, place, stage);
            }
        }
        if !waited_for || asked == 0 {
            self.deliver(number);
        }
        self.close_marked();
    }

    /// Gives the connection its reply and lets it go on.
    fn deliver(&mut self, number: u32) {
        let coordinated = self
            .coordinated
            .remove(&number)
            .expect("it is delivered once");
        self.core.travelling_bytes -= coordinated.counted;
        let reply = match coordinated.error {
            // What was to be stored found no room.
            Some(error) => {
                let mut refusal = Vec::new();
                self.core.stats.count_error(&error.0);
                Writer::new(&mut refusal, coordinated.proto).error_bytes(&error.0);
                vec![refusal]
            }
            None => coordinated.reply.expect("it was concluded"),
        };
        let Some(connection) = self
            .connections
            .still(coordinated.place, coordinated.generation)
        else {
            return;
        };
        if connection.exchange.is_some() {
            return self.take_answer(coordinated.place, reply.concat());
        }
        connection.replies.equip(&mut self.pool);
        let client = self.core.clients.at_mut(ClientId(coordinated.place));
        if client.wants_reply() {
            match &reply[..] {
                [short] => connection.replies.local(|out| out.extend_from_slice(short)),
                _ => connection.replies.adopt(reply),
            }
        }
        self.unpause(coordinated.place);
        self.mark_dirty(coordinated.place);
    }

    /// A stage for this shard.
    pub(super) fn task_came(&mut self, task: Box<Task>) {
        match (&task.scope, task.stage) {
            (Some(_), Stage::Part) => {
                if self.lock_queue.is_empty() && !self.owes_turn() && self.take_locks(&task) {
                    self.run_task(task);
                } else {
                    self.lock_queue.push(task);
                    // It may want other keys than those before it.
                    self.unlocked = true;
                }
            }
            (_, Stage::Whole) => self.run_alone(task),
            (Some(_), Stage::After) => {
                self.release(&task);
                self.run_task(task);
            }
            _ => self.run_task(task),
        }
    }

    /// Runs one step of a task, and sends it home when it is done.
    pub(super) fn run_task(&mut self, mut task: Box<Task>) {
        self.settle_touched();
        self.core.mesh_bytes = self.mesh_bytes();
        let client = self.client_of(&task);
        let mut call = Call {
            core: &mut self.core,
            args: task.args.as_args(),
            db: usize::from(task.db),
            proto: task.proto,
            hash: 0,
            client,
            no_touch: task.no_touch,
        };
        let before = memory::heap::thread_allocated_bytes();
        let outcome = gather::run_stage(&mut call, task.row, task.stage, &mut task.part);
        let reports = matches!(task.part, Part::Figures(..) | Part::Memory(..));
        let is_over = !matches!(outcome, Ok(Progress::InSteps));
        if is_over && (reports || self.table.row(task.row).flags.has(Flags::READONLY)) {
            // What a command that only reads leaves on the heap is its part of the reply.
            let bytes = memory::heap::thread_allocated_bytes() - before;
            self.core.travelling_bytes += bytes;
            task.counted += bytes;
        }
        match outcome {
            Ok(Progress::Again) => return self.jobs.push_back(task),
            Ok(Progress::InSteps) => return self.begin_course(Whose::Task(task)),
            Ok(Progress::Done) => {}
            Err(error) => task.error = Some(error),
        }
        self.finish_task(task);
    }

    /// Sends a task home, which has done what it was to do here.
    pub(super) fn finish_task(&mut self, task: Box<Task>) {
        if std::mem::take(&mut self.core.trim_buffers) {
            self.trim();
        }
        if matches!(task.stage, Stage::Commit | Stage::Release) {
            self.release(&task);
        }
        let home = task.transaction.coordinator;
        self.send_to(home, Message::TaskDone(task));
        self.close_marked();
    }

    /// The client that asked, where its connection is held by this core and still there.
    pub(super) fn client_of(&mut self, task: &Task) -> Option<ClientId> {
        if task.transaction.coordinator != self.core.id {
            return None;
        }
        let coordinated = self.coordinated.get(&task.transaction.number)?;
        let (place, generation) = (coordinated.place, coordinated.generation);
        self.connections
            .still(place, generation)
            .map(|_| ClientId(place))
    }

    /// Bytes of the parts here that are not counted as being on their way, because a shard is to keep them.
    pub(super) fn parts_to_be_stored(&self) -> usize {
        let is_kept = |row| !self.table.row(row).flags.has(Flags::READONLY);
        let gathered = self
            .coordinated
            .values()
            .filter(|command| is_kept(command.row));
        let gathered = gathered.flat_map(|command| &command.parts);
        let to_self = self.to_self.iter().filter_map(|message| match message {
            Message::Task(task) | Message::TaskDone(task) => Some(task),
            _ => None,
        });
        let waiting = self
            .jobs
            .iter()
            .chain(self.lock_queue.iter())
            .chain(to_self);
        let in_steps = self.courses.iter().filter_map(Course::task);
        let waiting = waiting
            .map(Box::as_ref)
            .chain(in_steps)
            .filter(|task| is_kept(task.row))
            .map(|task| &task.part);
        gathered.chain(waiting).map(Part::carried_bytes).sum()
    }

    /// Takes all that a task wants to lock, or nothing.
    fn take_locks(&mut self, task: &Task) -> bool {
        let scope = task.scope.as_ref();
        let scope = scope.expect("only tasks with a scope wait for locks");
        self.interrupt_long(scope);
        // Or those who read a key would follow each other for as long as they like.
        let may_join = !self.has_waiting();
        self.core.locks.try_lock(task.transaction, scope, may_join)
    }

    fn release(&mut self, task: &Task) {
        if let Some(scope) = &task.scope {
            self.core.locks.release(task.transaction, scope);
            self.unlocked = true;
        }
    }

    /// One step of every part that works in steps.
    pub(super) fn run_jobs(&mut self) {
        for _ in 0..self.jobs.len() {
            let task = self.jobs.pop_front().expect("as many as were counted");
            self.run_task(task);
        }
    }

    /// Whether commands of one key wait that may go on now: they take no time, and get their turn before anybody locks their keys
    /// again.
    fn owes_turn(&self) -> bool {
        self.unlocked && self.has_waiting()
    }

    /// Whether commands of one key wait.
    fn has_waiting(&self) -> bool {
        !self.stalled.is_empty() || !self.stalled_batches.is_empty() || self.has_whole_waiting()
    }

    /// Gives locks to those commands over several shards that get all they want.
    pub(super) fn serve_lock_queue(&mut self) {
        let mut queue = std::mem::take(&mut self.lock_queue);
        let ready = queue.take_ready(|task| self.take_locks(task));
        self.lock_queue = queue;
        ready.into_iter().for_each(|task| self.run_task(task));
    }

    /// Lets those go on that waited for a lock on their only key.
    pub(super) fn retry_locked(&mut self) {
        self.retry_whole();
        self.serve_stalled();
        for (place, generation) in std::mem::take(&mut self.stalled) {
            if let Some(connection) = self.connections.still(place, generation)
                && connection.pause == Pause::Locked
            {
                self.unpause(place);
            }
        }
    }
}
