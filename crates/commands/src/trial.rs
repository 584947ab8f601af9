//! Runs rows that stand in no table, on cores in one thread: what the tests of joint commands and of rounds share.
//! Never checks arity, never locks, and contains no panic; the server's part of that is tested with real commands.
//! Source: decision 0001 for the stages.

use crate::{
    Call, Command, Core, Error, Facts, Part, Progress, ShardId, Table,
    config::Config,
    execute::{self, Ran},
    gather::{self, Next, Place, Plan, Stage},
    steps::Stepped,
};
use resp::{OwnedArgs, Proto, Writer};
use std::cell::Cell;
use std::sync::Arc;
use store::{AddRule, Door, Expiry, Kind, Millis, StreamId, Value};

pub(crate) const START: Millis = Millis(1_700_000_000_000);

/// Cores of one process.
pub struct Trial {
    pub cores: Vec<Core>,
    /// The core that coordinates.
    pub coordinator: usize,
    /// How many stages the last command in parts ran before its reply.
    pub rounds: usize,
}

thread_local! {
    /// Whether this thread answers at once what takes long, to compare that with an answer in steps.
    pub static AT_ONCE: Cell<bool> = const { Cell::new(false) };
}

/// Runs a command of the table on a core, as the server does up to where it goes on in steps.
pub fn run_row(core: &mut Core, line: &str, proto: Proto) -> (Ran, Vec<u8>) {
    let mut args = OwnedArgs::new();
    line.split(' ').for_each(|word| args.push(word.as_bytes()));
    let args = args.as_args();
    let table = Table::instance();
    let id = table.resolve(&args).expect("it is a command");
    let placed = gather::place(core, table.row(id), &args);
    let Place::Owner(_, hash) = placed.expect("it names its shard") else {
        panic!("one shard has all");
    };
    let mut call = Call {
        core,
        args,
        db: 0,
        proto,
        hash,
        client: None,
        no_touch: false,
    };
    let mut bytes = Vec::new();
    let ran = execute::run(&mut call, id, &mut Writer::new(&mut bytes, proto));
    (ran, bytes)
}

/// The answer to a command that must take several steps.
pub fn in_steps(core: &mut Core, line: &str, proto: Proto) -> Vec<u8> {
    let hits = core.stats.keyspace_hits;
    assert_eq!(run_row(core, line, proto), (Ran::InSteps, Vec::new()));
    assert_eq!(core.stats.keyspace_hits, hits, "it is counted at the end");
    let mut long = core.long.take().expect("it was left");
    let (mut steps, mut stepped) = (1, long.step(core));
    while matches!(stepped, Stepped::More) {
        steps += 1;
        stepped = long.step(core);
    }
    long.end(core);
    assert!(steps > 1, "{line} takes one step");
    match stepped {
        Stepped::Done(Part::Reply(pieces)) => pieces.concat(),
        other => panic!("{other:?} in {line}"),
    }
}

/// The answer to a command, in steps and at once, which must be the same.
pub fn both_ways(core: &mut Core, line: &str, proto: Proto) -> Vec<u8> {
    let stepped = in_steps(core, line, proto);
    AT_ONCE.set(true);
    let (ran, bytes) = run_row(core, line, proto);
    AT_ONCE.set(false);
    assert_eq!(ran, Ran::Yes);
    assert!(stepped == bytes, "{line} in {proto:?}");
    bytes
}

fn open<'s>(core: &'s mut Core, key: &'s str, kind: Kind) -> Door<'s> {
    let key = core.shard.key(key.as_bytes());
    let door = core.shard.open_or_new(0, key, kind, START);
    door.unwrap_or_else(|_| panic!("it is of this kind"))
}

/// The names of so many members.
fn names(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("member:{number}"))
}

/// Makes a set of so many members.
pub fn fill_set(core: &mut Core, key: &str, count: usize) {
    let mut set = open(core, key, Kind::Set).set();
    names(count).for_each(|name| _ = set.add(name.as_bytes()));
}

/// Makes a hash of so many fields; the value of each is its number.
pub fn fill_hash(core: &mut Core, key: &str, count: usize) {
    let mut hash = open(core, key, Kind::Hash).hash();
    for (number, name) in names(count).enumerate() {
        hash.set(
            name.as_bytes(),
            number.to_string().as_bytes(),
            Expiry::Clear,
        );
    }
}

/// Makes a sorted set of so many members; the score of each is a quarter of its number.
pub fn fill_zset(core: &mut Core, key: &str, count: usize) {
    let mut zset = open(core, key, Kind::Zset).zset();
    for (number, name) in names(count).enumerate() {
        let added = zset.add(name.as_bytes(), number as f64 / 4.0, AddRule::default());
        assert!(added.is_ok(), "it is a score");
    }
}

/// Makes a stream of so many entries; the value of the only field of each is its number.
pub fn fill_stream(core: &mut Core, key: &str, count: usize) {
    let mut stream = open(core, key, Kind::Stream).stream();
    let limits = stream.node_limits();
    for number in 0..count {
        let (ms, value) = (1 + number as u64, number.to_string());
        let fields = [b"f", value.as_bytes()].into_iter();
        stream.add(StreamId { ms, seq: 0 }, fields, limits);
    }
}

/// A text that takes several steps to read, and has hardly any pattern.
pub fn long_text() -> String {
    let mut state = 7u64;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        char::from(b'!' + (state >> 33) as u8 % 90)
    })
    .take((9 << 20) + 77)
    .collect()
}

/// Checks that every database that a command had for itself is given back.
pub fn assert_nothing_is_borrowed(core: &mut Core) {
    let first = core.shard.borrow_database();
    assert_eq!(first, core.shard.databases());
    assert_eq!(core.shard.len(first), 0);
    core.shard.return_database(first);
    core.shard.check();
}

/// A row with the flags and texts of another.
pub fn row() -> Command {
    let table = Table::instance();
    let copy = table.row(table.by_name(b"copy").expect("COPY is a command"));
    Command { ..*copy }
}

impl Trial {
    pub fn new(shards: u16) -> Trial {
        let mut facts = Facts::of_this_process(shards, 0, String::new(), START);
        facts.hash_seeds = [1, 2, 3, 4];
        let facts = Arc::new(facts);
        let core = |shard| {
            let core = Core::new(ShardId(shard), Config::default(), Arc::clone(&facts));
            core.expect("there is address space for a shard")
        };
        Trial {
            cores: (0..shards).map(core).collect(),
            coordinator: 0,
            rounds: 0,
        }
    }

    pub fn set(&mut self, key: &str, value: &str, expiry: Expiry) {
        let owner = self.cores[0].owner(key.as_bytes()).0 as usize;
        let shard = &mut self.cores[owner].shard;
        let (key, value) = (shard.key(key.as_bytes()), value.as_bytes());
        shard.set(0, key, Value::from_bytes(value), expiry, START);
    }

    /// A key's text and expiry.
    pub fn value(&mut self, key: &str) -> Option<(String, Option<Millis>)> {
        let owner = self.cores[0].owner(key.as_bytes()).0 as usize;
        let shard = &mut self.cores[owner].shard;
        let entry = shard.peek(0, shard.key(key.as_bytes()), START)?;
        let text = crate::lookup::with_text(entry.value(), <[u8]>::to_vec);
        let text = String::from_utf8(text).expect("tests store text");
        Some((text, entry.expiry()))
    }

    /// The reply to a command as the wire has it.
    pub fn run(&mut self, row: &Command, line: &str) -> String {
        let mut args = OwnedArgs::new();
        line.split(' ').for_each(|word| args.push(word.as_bytes()));
        let mut bytes = Vec::new();
        let placed = gather::place(&self.cores[self.coordinator], row, &args.as_args());
        let done = match placed.expect("the row names its shards") {
            Place::Here => self.run_whole(self.coordinator, row, &args, &mut bytes),
            Place::Owner(owner, _) => self.run_whole(owner.0 as usize, row, &args, &mut bytes),
            Place::Parts(plan) => self.run_parts(row, &plan, &args, &mut bytes),
        };
        if let Err(error) = done {
            bytes = [b"-", &*error.0, b"\r\n"].concat();
        }
        self.cores.iter_mut().for_each(assert_nothing_is_borrowed);
        String::from_utf8(bytes).expect("tests reply with text")
    }

    fn call<'c>(&'c mut self, core: usize, args: &'c OwnedArgs) -> Call<'c> {
        Call {
            core: &mut self.cores[core],
            args: args.as_args(),
            db: 0,
            proto: Proto::Resp2,
            hash: 0,
            client: None,
            no_touch: false,
        }
    }

    fn run_whole(
        &mut self,
        core: usize,
        row: &Command,
        args: &OwnedArgs,
        bytes: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let out = &mut Writer::new(bytes, Proto::Resp2);
        execute::several_here(&mut self.call(core, args), row, out)
    }

    fn run_parts(
        &mut self,
        row: &Command,
        plan: &Plan,
        args: &OwnedArgs,
        bytes: &mut Vec<u8>,
    ) -> Result<(), Error> {
        assert!(plan.locked, "nothing may run between the parts");
        let mut parts: Vec<_> = plan.shards.iter().map(|_| Part::Empty).collect();
        let (mut stage, coordinator) = (Stage::Part, self.coordinator);
        self.rounds = 0;
        loop {
            self.rounds += 1;
            self.run_stage(row, plan, stage, args, &mut parts)?;
            let out = &mut Writer::new(bytes, Proto::Resp2);
            let mut call = self.call(coordinator, args);
            match gather::merge(&mut call, row, plan, &mut parts, out)? {
                Next::Again => stage = Stage::Again,
                Next::Commit => {
                    return self.run_stage(row, plan, Stage::Commit, args, &mut parts);
                }
                Next::Release => return Ok(()),
                Next::InSteps => unreachable!("nothing here takes long"),
                Next::After => unreachable!("a fan-out's"),
            }
        }
    }

    fn run_stage(
        &mut self,
        row: &Command,
        plan: &Plan,
        stage: Stage,
        args: &OwnedArgs,
        parts: &mut [Part],
    ) -> Result<(), Error> {
        for ((shard, _), part) in plan.shards.iter().zip(parts) {
            let mut call = self.call(shard.0 as usize, args);
            while gather::stage_of(&mut call, row, stage, part)? == Progress::Again {}
        }
        Ok(())
    }
}
