//! What a command is: one row with its name, arity, flags, keys, documentation, and where it runs.
//! A row never does anything itself; `execute` runs it on a core, the server carries it between cores.
//! Request and response policies are Redis' words for fan-out ("command tips").

pub use crate::positions::{Keys, Movable};

use crate::{Call, Error, Part, Progress, Reply};
use resp::{Args, Writer};
use store::Key;

/// One command or subcommand.
#[derive(Debug)]
pub struct Command {
    /// Lower case; a subcommand is written `container|subcommand`.
    pub name: &'static str,
    /// Number of arguments with the name; negative: at least that many. A subcommand counts its container's name too.
    pub arity: i32,
    /// Flags as COMMAND INFO shows them.
    pub flags: Flags,
    /// Where its keys lie.
    pub keys: Keys,
    /// How the keys are used, as COMMAND INFO's key specifications say it (`RW`, `access`, …); empty without keys.
    /// Where the first key is used in another way than the second, a `/` stands between the flags of each.
    pub key_flags: &'static [&'static str],
    /// ACL categories without `@`, beyond those that follow from the flags.
    pub categories: &'static [&'static str],
    /// Command tips: request and response policies and determinism.
    pub tips: &'static [&'static str],
    /// Where it runs and what does it.
    pub run: Run,
    /// What COMMAND DOCS says.
    pub doc: Doc,
    /// Subcommands, where `run` is `Container`.
    pub subcommands: &'static [Command],
}

/// Flags of a command, one bit each, named as COMMAND INFO names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u32);

impl Flags {
    /// Changes data.
    pub const WRITE: Flags = Flags(1);
    /// Reads data only.
    pub const READONLY: Flags = Flags(1 << 1);
    /// Refused when memory is at its limit.
    pub const DENYOOM: Flags = Flags(1 << 2);
    /// For operators.
    pub const ADMIN: Flags = Flags(1 << 3);
    /// Constant or logarithmic time.
    pub const FAST: Flags = Flags(1 << 4);
    /// Answered while data is loading.
    pub const LOADING: Flags = Flags(1 << 5);
    /// Answered by a stale replica.
    pub const STALE: Flags = Flags(1 << 6);
    /// Not allowed in a script.
    pub const NOSCRIPT: Flags = Flags(1 << 7);
    /// Allowed before the password.
    pub const NO_AUTH: Flags = Flags(1 << 8);
    /// Not shown by MONITOR or the slow log.
    pub const SKIP_MONITOR: Flags = Flags(1 << 9);
    /// As `SKIP_MONITOR`, for the slow log.
    pub const SKIP_SLOWLOG: Flags = Flags(1 << 10);
    /// Not allowed while a script blocks.
    pub const ALLOW_BUSY: Flags = Flags(1 << 11);
    /// Keys may be anywhere (MEMORY USAGE's container, SCAN).
    pub const TOUCHES_ARBITRARY_KEYS: Flags = Flags(1 << 12);
    /// Not to be queued in a transaction.
    pub const NO_MULTI: Flags = Flags(1 << 13);
    /// May wait for data.
    pub const BLOCKING: Flags = Flags(1 << 14);
    /// Names as COMMAND INFO prints them, by bit.
    pub const NAMES: [&'static str; 15] = [
        "write",
        "readonly",
        "denyoom",
        "admin",
        "fast",
        "loading",
        "stale",
        "noscript",
        "no_auth",
        "skip_monitor",
        "skip_slowlog",
        "allow_busy",
        "touches_arbitrary_keys",
        "no_multi",
        "blocking",
    ];

    /// Both sets together; `const`, for rows.
    pub const fn and(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Whether every bit of `other` is set.
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What COMMAND DOCS and docs/commands.md say of a command.
#[derive(Clone, Copy, Debug)]
pub struct Doc {
    /// One line.
    pub summary: &'static str,
    /// First version of Redis that has it, or `pinyon 0.1`.
    pub since: &'static str,
    /// Group: `string`, `generic`, `connection`, `server`.
    pub group: &'static str,
    /// Time complexity.
    pub complexity: &'static str,
    /// Syntax of the arguments in the notation of the Redis manual, without the name; also parsed into COMMAND DOCS' argument list.
    pub syntax: &'static str,
}

/// A function that answers from one core.
pub type Handler = fn(&mut Call<'_>, &mut Writer<'_>) -> Reply;
/// A function that does a command's share on one shard; it may ask to be called again, so that a long command works in bounded steps.
pub type PartHandler = fn(&mut Call<'_>, &mut Part) -> Result<Progress, Error>;
/// A function that makes one reply of all shards' parts, in shard order, on the coordinator.
pub type Merge = fn(&mut Call<'_>, &mut [Part], &mut Writer<'_>) -> Reply;

/// Where a command runs and what does it.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// Needs no shard's data: answered by the core that holds the connection; `Call::client` is there.
    Here(Handler),
    /// One key: answered by the shard that owns it.
    Owner(Handler),
    /// Several keys, a number for each, summed over all: one moment over all shards (response policy `agg_sum`).
    Sum(fn(&mut Call<'_>, Key<'_>) -> i64),
    /// Several keys, one reply element for each, in key order: one moment over all shards.
    Each(fn(&mut Call<'_>, Key<'_>, &mut Writer<'_>)),
    /// Several keys that change together: one moment over all shards. For what must not copy whole values.
    Atomic(Atomic),
    /// Several keys that are read, and at most one that is overwritten: one moment over all shards.
    Joint(Joint),
    /// Keys that are known only when others were read: one moment over all shards, in as many rounds as it takes.
    Rounds(Rounds),
    /// Every shard does a part, or the one shard that the arguments name; the coordinator merges.
    Fan(Fan),
    /// Has only subcommands.
    Container,
}

/// A command over several keys that change together. All keys are locked, shard by shard in rising order; then every
/// concerned shard prepares (reads, votes), the coordinator decides, and every concerned shard commits and unlocks.
/// When one shard owns all keys, the three run there one after the other and no lock is taken.
#[derive(Clone, Copy, Debug)]
pub struct Atomic {
    /// Looks at this shard's keys; changes nothing. `Call::args` is the whole command, `Call::owned` tells which keys lie here.
    pub prepare: fn(&mut Call<'_>, &mut Part) -> Reply,
    /// Sees every concerned shard's part in shard order: either writes the reply and stops, or goes on to commit.
    /// It may move figures or values between parts; commit gets its shard's part back.
    pub decide: fn(&mut Call<'_>, &mut [Part], &mut Writer<'_>) -> Result<Decision, Error>,
    /// Changes this shard's keys. Cannot fail: whatever can fail belongs to `prepare`.
    pub commit: fn(&mut Call<'_>, &mut Part),
}

/// A command over several keys whose handler works as if all of them lay on one shard.
///
/// Where one shard owns them all the handler runs there, on the keys themselves, and nothing else happens. Otherwise all
/// keys are locked as for [`Atomic`], each shard copies its keys' values out, and the handler runs on the coordinator over
/// the copies, in a database of their own (`Call::db`; the arguments stay as they are). What it leaves under the target's
/// key goes to the target's shard, with its expiry; when it leaves nothing there the target is removed. When it fails
/// nothing changes anywhere.
///
/// A handler takes its keys with [`Call::other_key`], looks nowhere but at the keys its row names, and changes none but the
/// target. `Call::owns` is of no use to it. Where the row's keys are movable and the arguments name none, it runs on the
/// coordinator's core to answer its error, and must have read its arguments before it looks at a key.
#[derive(Clone, Copy, Debug)]
pub struct Joint {
    /// What the command does.
    pub handler: Handler,
    /// Which key it overwrites; `None` for a command (or a call of it) that only reads.
    pub target: fn(&Args<'_>) -> Option<Target>,
}

/// The key that a joint command overwrites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its index among the arguments; one of the row's keys.
    pub index: usize,
    /// Whether the handler needs the old value (PFMERGE) or replaces it unseen (ZUNIONSTORE), so that it is not copied.
    pub reads: bool,
}

/// A command whose further keys are known only when others were read (SORT with BY or GET).
///
/// It goes in rounds. In each, every shard of the plan does its `part`, then the coordinator's `merge` sees all parts in
/// shard order and either asks for one more round, or writes the reply and ends, with a commit on every shard or without.
/// In the first round the parts are [`Part::Empty`]; later a shard gets its part as the last merge left it, so what merge
/// puts into the parts is the question of the next round (which keys to read), and what a shard makes of it the answer.
/// All locks are held from the first round to the last.
///
/// Where `is_wide` says that any key may be read or written, all shards take part, each locked as a whole; otherwise those
/// that own the keys named in the arguments, and only these keys are locked. Where that is one shard everything runs
/// there in a row, with one part. A part knows the named keys of its shard by [`Call::owns`], and those that it finds in
/// values by `call.core.owner(key) == call.core.id`.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    /// Whether the call may need other keys than its arguments name.
    pub is_wide: fn(&Args<'_>) -> bool,
    /// Where one shard owns all keys: leaves a reading if the command takes long there.
    pub in_steps: fn(&mut Call<'_>) -> Reply,
    /// One shard's share of a round; changes nothing. It fails in the first round on arguments that make no sense.
    pub part: PartHandler,
    /// What the round led to. It writes the reply when it answers anything but [`Turn::Again`].
    pub merge: fn(&mut Call<'_>, &mut [Part], &mut Writer<'_>) -> Result<Turn, Error>,
    /// After [`Turn::Commit`]: changes this shard's keys by what merge left in its part. Cannot fail.
    pub commit: fn(&mut Call<'_>, &mut Part),
}

/// What a round led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Another round over the parts as they are now. The reply is not written.
    Again,
    /// The reply is written; nothing changes.
    Done,
    /// The reply is written; every shard of the plan commits.
    Commit,
}

/// What a coordinator decided after all shards prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The reply is written; every shard commits.
    Commit,
    /// The reply is written; nothing changes.
    Abort,
}

/// A command that every shard has a part in.
#[derive(Clone, Copy, Debug)]
pub struct Fan {
    /// Which shards take part.
    pub to: To,
    /// Whether no other command may run between the first shard's part and the last's (FLUSHALL, SWAPDB).
    pub exclusive: bool,
    /// Checks arguments on the coordinator before anything is sent.
    pub check: fn(&mut Call<'_>) -> Reply,
    /// One shard's share.
    pub part: PartHandler,
    /// One reply of all parts.
    pub merge: Merge,
    /// What takes long on each shard and needs no lock; the reply waits for it.
    pub after: Option<PartHandler>,
}

/// Which shards a fan-out reaches.
#[derive(Clone, Copy, Debug)]
pub enum To {
    /// Every shard.
    All,
    /// The one shard that the arguments name (SCAN's cursor).
    One(fn(&Args<'_>, shards: u16) -> Result<crate::ShardId, Error>),
}
