//! DEBUG: what tests and operators use to see how the server behaves when something is wrong.
//! Never reachable for clients that `enable-debug-command` shuts out; a panic asked for here is contained as any other.
//! Source: redis-server 7 for the texts; DEBUG is one row there, without subcommands in the table, and so it is here.

use crate::config::{DebugAccess, memory_bytes};
use crate::row::{Doc, Fan, Keys, To};
use crate::{
    Call, Command, Core, Error, Flags, Part, Progress, Reply, Run, ShardId, error, glob, log,
};
use memory::pages::Region;
use resp::{Proto, Writer};
use std::time::Duration;

mod digest;
mod protocol;
mod reload;

pub use reload::Tour;

const HELP: [&str; 37] = [
    "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CHANGE-REPL-ID",
    "    Accepted: there is no replication whose identity could change.",
    "DIGEST",
    "    A digest of all keys of all databases; equal data have equal digests.",
    "DIGEST-VALUE <key> [<key> ...]",
    "    A digest of each key's value.",
    "ERROR <text>",
    "    Answers this error.",
    "HOLD-MEMORY <bytes>",
    "    Takes so many bytes, in whole MiB, that are on no account of memory; 0 gives them back.",
    "LISTPACK <key>",
    "    Accepted for a packed collection.",
    "LOG <text>",
    "    Writes a line to the log.",
    "OBJECT <key>",
    "    How a key is held: encoding, bytes, and when it was last used.",
    "PANIC",
    "    A panic inside a command: the caller gets an error, the server lives.",
    "POPULATE <count> [<prefix>] [<size>]",
    "    Makes so many string keys, those that are missing.",
    "PROTOCOL <type>",
    "    Answers a reply of this type: string, integer, double, null, array, set, map, attrib, push, verbatim, true, false, bignum.",
    "QUICKLIST-PACKED-THRESHOLD <size>",
    "    Accepted: nodes of lists have no such threshold.",
    "RELOAD [MERGE] [NOFLUSH] [NOSAVE]",
    "    Takes every key through DUMP and RESTORE.",
    "SET-ACTIVE-EXPIRE <0|1>",
    "    Whether expired keys are removed in the background, and not only when they are asked for.",
    "SKIP-MINUTES <minutes>",
    "    Has the histories behind MEMORY TREND and MEMORY DOCTOR take so many minutes for passed; expiry and idle times do not.",
    "SLEEP <seconds>",
    "    Stops every shard for so long; fractions are allowed.",
    "STRINGMATCH-LEN <pattern> <text>",
    "    Whether a text matches a pattern.",
    "HELP",
    "    Prints these lines.",
];

const NOT_ALLOWED: &str = "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can \
                           run it from a local connection, otherwise you need to set this option in the configuration \
                           file, and then restart the server.";

const RELOAD_WORDS: [&str; 3] = ["merge", "noflush", "nosave"];
const RELOAD_SYNTAX: &str = "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.";
const THRESHOLD_RANGE: &str =
    "ERR argument must be a memory value bigger than 1 and smaller than 4gb";
/// A week: more than any history reaches back.
const SKIP_MINUTES_MAX: i64 = 7 * 24 * 60;
const SKIP_RANGE: &str = "ERR value is out of range, must be between 1 and 10080";
/// What DEBUG HOLD-MEMORY takes at most, in MiB.
const HOLD_MIB_MAX: u64 = 1024;
const HOLD_RANGE: &str = "ERR argument must be a memory value of at most 1gb";
const NOT_HELD: &str = "ERR the system does not give so much memory";
const NOT_PACKED: &str = "ERR Not a listpack encoded object.";
const NO_PUSH: &str = "ERR RESP2 is not supported by this command";
const NO_SUCH_TYPE: &str = "ERR Wrong protocol type name. Please use one of the following: string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false";

/// What a call of DEBUG asks for.
enum Order {
    /// Something that is accepted and changes nothing here.
    Accepted,
    Digest,
    DigestValue,
    Error,
    Help,
    /// So many MiB.
    HoldMemory(usize),
    Listpack,
    Log,
    Object,
    Panic,
    Populate(reload::Population),
    Protocol,
    Reload,
    SetActiveExpire(bool),
    SkipMinutes(u32),
    Sleep(Duration),
    StringMatch,
}

fn order(call: &Call<'_>) -> Result<Order, Error> {
    let argc = call.args.len();
    let name = call.args.at(1).to_ascii_lowercase();
    Ok(match (&name[..], argc) {
        (b"help", 2) => Order::Help,
        (b"panic", 2) => Order::Panic,
        (b"object", 3 | 4) => Order::Object,
        (b"digest", 2) => Order::Digest,
        (b"digest-value", 3..) => Order::DigestValue,
        (b"error", 3) => Order::Error,
        (b"log", 3) => Order::Log,
        (b"listpack", 3) => Order::Listpack,
        (b"protocol", 3) => Order::Protocol,
        (b"stringmatch-len", 4) => Order::StringMatch,
        (b"change-repl-id" | b"stringmatch-len", 2)
        | (b"set-disable-deny-scripts" | b"pause-cron" | b"dict-resizing", 3) => Order::Accepted,
        (b"quicklist-packed-threshold", 3) => {
            let bytes = std::str::from_utf8(call.args.at(2))
                .ok()
                .and_then(memory_bytes);
            match bytes {
                Some(0..0x1_0000_0000) => Order::Accepted,
                _ => return Err(THRESHOLD_RANGE.into()),
            }
        }
        (b"hold-memory", 3) => {
            let text = std::str::from_utf8(call.args.at(2)).ok();
            let mib = text.and_then(memory_bytes).ok_or(HOLD_RANGE)? >> 20;
            match mib {
                0..=HOLD_MIB_MAX => Order::HoldMemory(mib as usize),
                _ => return Err(HOLD_RANGE.into()),
            }
        }
        (b"skip-minutes", 3) => match call.int(2)? {
            minutes @ 1..=SKIP_MINUTES_MAX => Order::SkipMinutes(minutes as u32),
            _ => return Err(SKIP_RANGE.into()),
        },
        (b"reload", 2..) => {
            let known = |index| RELOAD_WORDS.iter().any(|word| call.is(index, word));
            if !(2..argc).all(known) {
                return Err(RELOAD_SYNTAX.into());
            }
            Order::Reload
        }
        (b"populate", 3..=5) => Order::Populate(reload::population(call)?),
        // As C's atoi and strtod: what is no number is 0.
        (b"set-active-expire", 3) => Order::SetActiveExpire(
            resp::number::parse_i64(call.args.at(2)).is_some_and(|number| number != 0),
        ),
        (b"sleep", 3) => {
            let seconds = resp::number::parse_f64(call.args.at(2)).unwrap_or(0.0);
            Order::Sleep(Duration::try_from_secs_f64(seconds).unwrap_or_default())
        }
        _ => {
            return Err(error::quoting(
                "ERR unknown subcommand or wrong number of arguments for '",
                call.args.at(1),
                "'. Try DEBUG HELP.",
            ));
        }
    })
}

fn check(call: &mut Call<'_>) -> Reply {
    let is_local = call.client.is_none_or(|id| {
        let address = &call.core.clients.at(id).address;
        address.starts_with("127.") || address.starts_with("[::1]") || address.starts_with("::1")
    });
    match call.core.config.enable_debug_command {
        DebugAccess::Yes => {}
        DebugAccess::Local if is_local => {}
        DebugAccess::Local | DebugAccess::No => return Err(NOT_ALLOWED.into()),
    }
    order(call).map(drop)
}

fn part(call: &mut Call<'_>, part: &mut Part) -> Result<Progress, Error> {
    match order(call)? {
        Order::Accepted
        | Order::Error
        | Order::Help
        | Order::Log
        | Order::Protocol
        | Order::StringMatch => {}
        Order::Object => {
            *part = Part::Lines(object(call).into_iter().map(|line| (0, line)).collect())
        }
        Order::Listpack => {
            let line = encoding(call).map(|encoding| (0, encoding.to_owned()));
            *part = Part::Lines(line.into_iter().collect());
        }
        Order::Panic if call.core.id == ShardId(0) => panic!("asked for by DEBUG PANIC"),
        Order::Panic => {}
        Order::Digest => return Ok(reload::digest_step(call, part)),
        Order::DigestValue => *part = Part::Lines(reload::digests_of_keys(call)),
        Order::Reload => return reload::reload_step(call, part),
        Order::Populate(population) => return reload::populate_step(call, part, &population),
        Order::SetActiveExpire(active) => call.core.active_expire = active,
        Order::SkipMinutes(minutes) => call.core.skip_minutes(minutes),
        // It is the process that holds it, and one of its cores is enough.
        Order::HoldMemory(mib) if call.core.id == ShardId(0) => hold_memory(call.core, mib)?,
        Order::HoldMemory(_) => {}
        Order::Sleep(duration) => std::thread::sleep(duration),
    }
    Ok(Progress::Done)
}

/// Holds so many MiB instead of those before.
fn hold_memory(core: &mut Core, mib: usize) -> Reply {
    core.held_memory = None;
    if mib > 0 {
        let held = Region::reserve(mib << 20).and_then(|region| {
            region.commit(0, mib << 20)?;
            region.populate(0, mib << 20)?;
            Ok(region)
        });
        core.held_memory = Some(held.map_err(|_| NOT_HELD)?);
    }
    Ok(())
}

/// The encoding of a key of this shard.
fn encoding(call: &mut Call<'_>) -> Option<&'static str> {
    if !call.owns(2) {
        return None;
    }
    let (key, now) = (call.other_key(2), call.now());
    Some(call.core.shard.peek(call.db, key, now)?.encoding().name())
}

/// Says how a key of this shard is held.
fn object(call: &mut Call<'_>) -> Option<String> {
    if !call.owns(2) {
        return None;
    }
    let (key, now) = (call.other_key(2), call.now());
    let bytes = call.core.shard.usage(call.db, key, now)?;
    let idle_s = call.core.shard.idle_ms(call.db, key, now)? / 1000;
    let entry = call.core.shard.peek(call.db, key, now)?;
    let encoding = entry.encoding().name();
    let (content, _) = call.core.shard.plain_copy(call.db, key, now)?;
    // As Redis counts it: the value's type and what follows the value are no part of its length.
    let length = rdb::encode(&content).len() - rdb::OVERHEAD_BYTES;
    let used_s = (now.0 / 1000 - idle_s).max(0);
    // Redis' fields in its order: there is no pointer to show, and lru is 24 bits of a clock in seconds.
    Some(format!(
        "Value at:0x0 refcount:1 encoding:{} serializedlength:{length} lru:{} lru_seconds_idle:{idle_s} bytes:{bytes}",
        encoding,
        used_s & 0xff_ffff,
    ))
}

fn merge(call: &mut Call<'_>, parts: &mut [Part], out: &mut Writer<'_>) -> Reply {
    match order(call)? {
        Order::Help => {
            out.array(HELP.len());
            HELP.iter().for_each(|line| out.simple(line));
        }
        Order::Object => out.simple(first_line(parts).ok_or(error::NO_SUCH_KEY)?),
        Order::Listpack => match first_line(parts) {
            None => return Err(error::NO_SUCH_KEY.into()),
            Some("listpack" | "listpackex") => out.simple("Listpack structure printed on stdout"),
            Some(_) => return Err(NOT_PACKED.into()),
        },
        Order::Error => return Err(Error(call.args.at(2).to_vec().into())),
        Order::Log => {
            log::line(format_args!(
                "DEBUG LOG: {}",
                call.args.at(2).escape_ascii()
            ));
            out.ok();
        }
        Order::Protocol if call.is(2, "push") && out.proto() == Proto::Resp2 => {
            return Err(NO_PUSH.into());
        }
        Order::Protocol => protocol::write(call.args.at(2), out).ok_or(NO_SUCH_TYPE)?,
        Order::StringMatch => {
            out.int(i64::from(glob::matches(call.args.at(2), call.args.at(3))));
        }
        Order::Digest => out.simple(&reload::mixed(parts).text()),
        Order::DigestValue => reload::write_digests(call, parts, out),
        Order::Accepted
        | Order::HoldMemory(_)
        | Order::Panic
        | Order::Populate(_)
        | Order::Reload
        | Order::SetActiveExpire(_)
        | Order::SkipMinutes(_)
        | Order::Sleep(_) => out.ok(),
    }
    Ok(())
}

/// The line that the owner of a key gave.
fn first_line(parts: &[Part]) -> Option<&str> {
    parts.iter().find_map(|part| match part {
        Part::Lines(lines) => lines.first().map(|(_, line)| &line[..]),
        _ => None,
    })
}

/// The row of this family.
pub const ROWS: &[Command] = &[Command {
    name: "debug",
    arity: -2,
    flags: Flags::ADMIN
        .and(Flags::NOSCRIPT)
        .and(Flags::LOADING)
        .and(Flags::STALE),
    keys: Keys::NONE,
    key_flags: &[],
    categories: &[],
    tips: &[],
    run: Run::Fan(Fan {
        to: To::All,
        exclusive: false,
        check,
        part,
        merge,
        after: None,
    }),
    doc: Doc {
        summary: "Stops shards, panics, or looks inside, for tests; enable-debug-command says who may",
        since: "1.0.0",
        group: "server",
        complexity: "Depends on the subcommand.",
        syntax: "<OBJECT key-name | PANIC | SET-ACTIVE-EXPIRE active | SKIP-MINUTES minutes | HOLD-MEMORY bytes | SLEEP duration | HELP>",
    },
    subcommands: &[],
}];
