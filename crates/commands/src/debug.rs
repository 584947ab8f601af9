//! DEBUG: what tests and operators use to see how the server behaves when something is wrong.
//! Never reachable for clients that `enable-debug-command` shuts out; a panic asked for here is contained as any other.
//! Source: redis-server 7 for the texts; DEBUG is one row there, without subcommands in the table, and so it is here.

use crate::config::DebugAccess;
use crate::row::{Doc, Fan, Keys, To};
use crate::{Call, Command, Error, Flags, Part, Progress, Reply, Run, ShardId, error};
use resp::Writer;
use std::time::Duration;

const HELP: [&str; 11] = [
    "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "OBJECT <key>",
    "    How a key is held: encoding, bytes, and when it was last used.",
    "PANIC",
    "    A panic inside a command: the caller gets an error, the server lives.",
    "SET-ACTIVE-EXPIRE <0|1>",
    "    Whether expired keys are removed in the background, and not only when they are asked for.",
    "SLEEP <seconds>",
    "    Stops every shard for so long; fractions are allowed.",
    "HELP",
    "    Prints these lines.",
];

const NOT_ALLOWED: &str = "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can \
                           run it from a local connection, otherwise you need to set this option in the configuration \
                           file, and then restart the server.";

/// What a call of DEBUG asks for.
enum Order {
    Help,
    Object,
    Panic,
    SetActiveExpire(bool),
    Sleep(Duration),
}

fn order(call: &Call<'_>) -> Result<Order, Error> {
    let argc = call.args.len();
    if argc == 2 && call.is(1, "help") {
        Ok(Order::Help)
    } else if argc == 2 && call.is(1, "panic") {
        Ok(Order::Panic)
    } else if argc == 3 && call.is(1, "object") {
        Ok(Order::Object)
    } else if argc == 3 && call.is(1, "set-active-expire") {
        // As C's atoi: what is no number is 0.
        Ok(Order::SetActiveExpire(
            resp::number::parse_i64(call.args.at(2)).is_some_and(|number| number != 0),
        ))
    } else if argc == 3 && call.is(1, "sleep") {
        // As C's strtod: what is no number is 0.
        let seconds = resp::number::parse_f64(call.args.at(2)).unwrap_or(0.0);
        Ok(Order::Sleep(
            Duration::try_from_secs_f64(seconds).unwrap_or_default(),
        ))
    } else {
        let name = String::from_utf8_lossy(call.args.at(1));
        Err(format!(
            "ERR unknown subcommand or wrong number of arguments for '{name}'. Try DEBUG HELP."
        )
        .into())
    }
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
        Order::Help => {}
        Order::Object => {
            *part = Part::Lines(object(call).into_iter().map(|line| (0, line)).collect())
        }
        Order::Panic if call.core.id == ShardId(0) => panic!("asked for by DEBUG PANIC"),
        Order::Panic => {}
        Order::SetActiveExpire(active) => call.core.active_expire = active,
        Order::Sleep(duration) => std::thread::sleep(duration),
    }
    Ok(Progress::Done)
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
    let length = if entry.is_string() {
        crate::lookup::with_text(entry.value(), <[u8]>::len) as u64
    } else {
        entry.bytes()
    };
    let used_s = (now.0 / 1000 - idle_s).max(0);
    // Redis' fields in its order: there is no pointer to show, and lru is 24 bits of a clock in seconds.
    Some(format!(
        "Value at:0x0 refcount:1 encoding:{} serializedlength:{length} lru:{} lru_seconds_idle:{idle_s} bytes:{bytes}",
        entry.encoding().name(),
        used_s & 0xff_ffff,
    ))
}

fn merge(call: &mut Call<'_>, parts: &mut [Part], out: &mut Writer<'_>) -> Reply {
    match order(call)? {
        Order::Help => {
            out.array(HELP.len());
            HELP.iter().for_each(|line| out.simple(line));
        }
        Order::Object => {
            let found = parts.iter().find_map(|part| match part {
                Part::Lines(lines) => lines.first(),
                _ => None,
            });
            let (_, line) = found.ok_or(error::NO_SUCH_KEY)?;
            out.simple(line);
        }
        Order::Panic | Order::SetActiveExpire(_) | Order::Sleep(_) => out.ok(),
    }
    Ok(())
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
        syntax: "<OBJECT key-name | PANIC | SET-ACTIVE-EXPIRE active | SLEEP duration | HELP>",
    },
    subcommands: &[],
}];
