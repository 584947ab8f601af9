//! A cluster in one thread: cores as values, routed exactly as the server routes, with a clock that a test sets.
//! Never a thread, a socket, or a wait: a message between cores is a function call.
//! Source: decision 0001 for the stages of commands over several shards.

use std::sync::Arc;

use commands::gather::{self, Next, Place, Plan, Stage};
use commands::locks::Transaction;
use commands::table::RowId;
use commands::{
    Call, Client, ClientId, Core, Error, Facts, Part, Progress, ShardId, Table,
    config::Config,
    execute::{self, Ran},
};
use resp::{OwnedArgs, Proto, Reply, Writer};
use store::Millis;

/// When a cluster's clock starts: 2023-11-14, in milliseconds.
pub const START: Millis = Millis(1_700_000_000_000);
/// The place of the one client on every core.
const CLIENT: ClientId = ClientId(0);
const SEEDS: [u64; 4] = [1, 2, 3, 4];

/// A command that waits for memory is tried so often, a millisecond apart.
const TRIES_MAX: usize = 10_000;
/// Entries freed in one step between two tries.
const FREE_STEP_KEYS: usize = 512;
/// Keys in one step of a walk over the books.
const SURVEY_STEP_KEYS: usize = 512;

/// Cores of one process, and a client on each.
pub struct Cluster {
    cores: Vec<Core>,
    coordinator: usize,
    transactions: u32,
}

impl Cluster {
    /// A cluster of empty shards with the default configuration. The same keys lie on the same shards every time.
    pub fn new(shards: u16) -> Cluster {
        Cluster::starting_at(shards, START)
    }

    /// As [`Cluster::new`], with a clock that starts at `now`.
    pub fn starting_at(shards: u16, now: Millis) -> Cluster {
        let mut facts = Facts::of_this_process(shards, 0, String::new(), now);
        facts.hash_seeds = SEEDS;
        let facts = Arc::new(facts);
        let cores = (0..shards)
            .map(|shard| core(ShardId(shard), &facts))
            .collect();
        Cluster {
            cores,
            coordinator: 0,
            transactions: 0,
        }
    }

    /// Goes on as the client on another core; `core` counts round.
    pub fn connect_to(&mut self, core: usize) {
        self.coordinator = core % self.cores.len();
    }

    /// Selects a database for the clients on all cores.
    pub fn select(&mut self, db: u8) {
        for core in &mut self.cores {
            core.clients.at_mut(CLIENT).db = db;
        }
    }

    /// Lets the clients on all cores speak a protocol.
    pub fn speak(&mut self, proto: Proto) {
        for core in &mut self.cores {
            core.clients.at_mut(CLIENT).proto = proto;
        }
    }

    /// Lets time pass on every core.
    pub fn advance(&mut self, ms: i64) {
        for core in &mut self.cores {
            core.now = core.now.plus(ms);
            core.mono_us += ms as u64 * 1000;
        }
    }

    /// Lets so many minutes pass on every core, each with what a tick does for the books.
    pub fn advance_minutes(&mut self, minutes: u32) {
        for _ in 0..minutes {
            self.advance(60_000);
            self.tend();
        }
    }

    /// Does what a tick does for the books of every core, to its end.
    pub fn tend(&mut self) {
        self.cores.iter().for_each(Core::publish_bytes);
        for core in &mut self.cores {
            core.tend();
            while core.shard.survey_step(SURVEY_STEP_KEYS) {}
        }
    }

    /// The time on every core.
    pub fn now(&self) -> Millis {
        self.cores[0].now
    }

    /// Sets the time on every core.
    pub fn set_now(&mut self, now: Millis) {
        for core in &mut self.cores {
            core.now = now;
        }
    }

    /// The cores, to look at.
    pub fn cores(&self) -> &[Core] {
        &self.cores
    }

    /// The cores, to change.
    pub fn cores_mut(&mut self) -> &mut [Core] {
        &mut self.cores
    }

    /// The shard that owns a key.
    pub fn owner(&self, key: impl AsRef<[u8]>) -> usize {
        self.cores[0].owner(key.as_ref()).0 as usize
    }

    /// Runs a command, its words separated by single spaces.
    pub fn ask(&mut self, line: &str) -> Reply {
        let words: Vec<_> = line.split(' ').collect();
        self.run(&words)
    }

    /// Runs a command to its end and answers its reply.
    ///
    /// # Panics
    /// When the reply is not exactly one reply, or when a shard is left locked.
    pub fn run<A: AsRef<[u8]>>(&mut self, words: &[A]) -> Reply {
        let bytes = self.run_raw(words);
        let (reply, len) = Reply::parse(&bytes)
            .unwrap_or_else(|error| panic!("{error:?}: {}", bytes.escape_ascii()))
            .unwrap_or_else(|| panic!("half a reply: {}", bytes.escape_ascii()));
        assert_eq!(
            len,
            bytes.len(),
            "more than one reply: {}",
            bytes.escape_ascii()
        );
        reply
    }

    /// The bytes that a client gets for a command.
    pub fn run_raw<A: AsRef<[u8]>>(&mut self, words: &[A]) -> Vec<u8> {
        let before = memory::heap::thread_allocated_bytes();
        let mut args = OwnedArgs::new();
        words.iter().for_each(|word| args.push(word.as_ref()));
        // All cores count the heap of the one thread, and all of them leave out what is the client's.
        let client_bytes = memory::heap::thread_allocated_bytes() - before;
        self.settle_clients(client_bytes as usize);
        let mut bytes = Vec::new();
        self.dispatch(&args, &mut bytes);
        self.settle_clients(0);
        assert!(
            self.cores.iter().all(|core| core.locks.is_free()),
            "a command leaves a lock behind"
        );
        bytes
    }

    fn settle_clients(&mut self, bytes: usize) {
        for core in &mut self.cores {
            core.clients.settle(CLIENT, bytes);
        }
    }

    fn dispatch(&mut self, args: &OwnedArgs, bytes: &mut Vec<u8>) {
        let coordinator = self.coordinator;
        let core = &self.cores[coordinator];
        let placed = Table::instance().resolve(&args.as_args()).and_then(|id| {
            let row = Table::instance().row(id);
            Ok((id, gather::place(core, row, &args.as_args())?))
        });
        match placed {
            Err(error) => self.refuse(args, error, bytes),
            Ok((id, Place::Here)) => self.run_whole(coordinator, id, args, 0, bytes),
            Ok((id, Place::Owner(owner, hash))) => {
                self.run_whole(owner.0 as usize, id, args, hash, bytes)
            }
            Ok((id, Place::Parts(plan))) => self.run_parts(id, &plan, args, bytes),
        }
    }

    fn refuse(&mut self, args: &OwnedArgs, error: Error, bytes: &mut Vec<u8>) {
        let proto = self.cores[self.coordinator].clients.at(CLIENT).proto;
        let mut call = self.call(self.coordinator, args, 0);
        execute::refuse(&mut call, error, &mut Writer::new(bytes, proto));
    }

    /// The call as one core sees it: only the coordinator knows the client.
    fn call<'c>(&'c mut self, core: usize, args: &'c OwnedArgs, hash: u64) -> Call<'c> {
        let client = self.cores[self.coordinator].clients.at(CLIENT);
        let (db, proto, no_touch) = (client.db as usize, client.proto, client.no_touch);
        let client = (core == self.coordinator).then_some(CLIENT);
        Call {
            core: &mut self.cores[core],
            args: args.as_args(),
            db,
            proto,
            hash,
            client,
            no_touch,
        }
    }

    fn run_whole(
        &mut self,
        core: usize,
        id: RowId,
        args: &OwnedArgs,
        hash: u64,
        bytes: &mut Vec<u8>,
    ) {
        let row = Table::instance().row(id);
        let mut call = self.call(core, args, hash);
        assert!(
            !gather::must_wait(call.core, row, &args.as_args(), hash),
            "nothing runs that could hold a lock"
        );
        let proto = call.proto;
        let mut tries = 0;
        loop {
            match execute::run(&mut call, id, &mut Writer::new(bytes, proto)) {
                Ran::Yes => return,
                Ran::InSteps => return go_on(&mut call, id, bytes),
                Ran::NotSettled | Ran::NotYet => tries += 1,
            }
            assert!(tries < TRIES_MAX, "a command waits without end");
            self.pay_for_room();
            call = self.call(core, args, hash);
        }
    }

    /// What every core does between two turns when memory is short; a millisecond passes.
    pub fn pay_for_room(&mut self) {
        for core in &mut self.cores {
            core.mono_us += 1000;
            core.shard.free_step(FREE_STEP_KEYS);
            core.publish_load();
            core.pay_step();
        }
    }

    fn run_parts(&mut self, id: RowId, plan: &Plan, args: &OwnedArgs, bytes: &mut Vec<u8>) {
        let row = Table::instance().row(id);
        let coordinator = self.coordinator;
        let mut call = self.call(coordinator, args, 0);
        if let Err(error) = gather::check(&mut call, row) {
            return self.refuse(args, error, bytes);
        }
        self.transactions += 1;
        let transaction = Transaction {
            coordinator: ShardId(coordinator as u16),
            number: self.transactions,
        };
        self.lock(plan, transaction);
        let mut parts: Vec<_> = plan.shards.iter().map(|_| Part::default()).collect();
        let mut stage = Stage::Part;
        let next = loop {
            let failed = self.run_stage(id, plan, stage, args, &mut parts).err();
            let mut call = self.call(coordinator, args, 0);
            let mut out = Writer::new(bytes, call.proto);
            match gather::conclude(&mut call, id, plan, &mut parts, failed, &mut out) {
                Next::Again => stage = Stage::Again,
                Next::InSteps => {
                    let long = call.core.long.take().expect("it was left");
                    let led_to = long.finish(call.core);
                    let (reply, next) = gather::concluded(&mut call, id, plan, &mut parts, led_to);
                    bytes.extend(reply.into_iter().flatten());
                    break next;
                }
                next => break next,
            }
        };
        if next == Next::Commit {
            self.run_stage(id, plan, Stage::Commit, args, &mut parts)
                .expect("a commit cannot fail");
        }
        self.release(plan, transaction);
        if next == Next::After {
            self.run_stage(id, plan, Stage::After, args, &mut parts)
                .expect("what follows a reply cannot fail");
        }
    }

    /// One step of every unfinished part in turn, until all are finished or one fails.
    fn run_stage(
        &mut self,
        id: RowId,
        plan: &Plan,
        stage: Stage,
        args: &OwnedArgs,
        parts: &mut [Part],
    ) -> Result<(), Error> {
        let mut unfinished: Vec<usize> = (0..parts.len()).collect();
        while !unfinished.is_empty() {
            let mut again = Vec::new();
            for nth in unfinished {
                let shard = plan.shards[nth].0;
                let mut call = self.call(shard.0 as usize, args, 0);
                match gather::run_stage(&mut call, id, stage, &mut parts[nth])? {
                    Progress::Done => {}
                    Progress::Again => again.push(nth),
                    Progress::InSteps => {
                        let long = call.core.long.take().expect("it was left");
                        parts[nth] = long.finish(call.core)?;
                    }
                }
            }
            unfinished = again;
            if self.cores[0].is_limit_exceeded() {
                self.pay_for_room();
            }
        }
        Ok(())
    }

    fn lock(&mut self, plan: &Plan, transaction: Transaction) {
        for (shard, scope) in &plan.shards {
            if let Some(scope) = scope {
                let locked = self.cores[shard.0 as usize]
                    .locks
                    .try_lock(transaction, scope, true);
                assert!(locked, "nothing runs that could hold a lock");
            }
        }
    }

    fn release(&mut self, plan: &Plan, transaction: Transaction) {
        for (shard, scope) in &plan.shards {
            if let Some(scope) = scope {
                self.cores[shard.0 as usize]
                    .locks
                    .release(transaction, scope);
            }
        }
    }
}

/// Answers a command by taking all of its steps.
fn go_on(call: &mut Call<'_>, id: RowId, bytes: &mut Vec<u8>) {
    let long = call.core.long.take().expect("a command in steps has one");
    let lookups = long.counted();
    let row = Table::instance().row(id);
    let written = gather::written(call.core, row, &call.args);
    call.core
        .locks
        .begin_steps(long.keys().into(), written.into());
    match long.finish(call.core) {
        Ok(Part::Reply(pieces)) => {
            execute::count_long(&mut call.core.stats, id, lookups);
            bytes.extend(pieces.into_iter().flatten());
        }
        Ok(other) => unreachable!("what runs whole is answered, not {other:?}"),
        Err(error) => {
            let mut out = Writer::new(bytes, call.proto);
            execute::fail_long(call, (id, lookups), error, &mut out);
        }
    }
    call.core.locks.end_steps();
}

fn core(id: ShardId, facts: &Arc<Facts>) -> Core {
    let core = Core::new(id, Config::default(), Arc::clone(facts));
    let mut core = core.expect("there is address space for a shard");
    core.clients.insert(CLIENT, client(u64::from(id.0) + 1));
    core
}

fn client(number: u64) -> Client {
    Client {
        number,
        descriptor: -1,
        address: "127.0.0.1:1".into(),
        local_address: "127.0.0.1:6379".into(),
        name: Box::default(),
        library_name: Box::default(),
        library_version: Box::default(),
        db: 0,
        proto: Proto::Resp2,
        authenticated: true,
        no_evict: false,
        no_touch: false,
        reply_mode: commands::clients::ReplyMode::On,
        connected: START,
        last_active: START,
        last_command: None,
        query_bytes: 0,
        query_capacity_bytes: 0,
        output_bytes: 0,
        output_capacity_bytes: 0,
        total_bytes: 0,
        input_total_bytes: 0,
        output_total_bytes: 0,
        commands: 0,
        close: None,
    }
}
