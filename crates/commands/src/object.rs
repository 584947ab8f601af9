//! OBJECT: how a value is stored and when its key was last used.
//! Never touches what it looks at.
//! Source: redis-server 7 for texts; the figures are the store's own.

use crate::row::{Doc, Keys};
use crate::{Call, Command, Flags, Reply, Run, lookup};
use resp::Writer;

const NO_FREQUENCY: &str = "ERR An LFU maxmemory policy is not selected, access frequency not tracked. \
                            Please note that when switching between policies at runtime LRU and LFU data \
                            will take some time to adjust.";

const NO_IDLE_TIME: &str = "ERR An LFU maxmemory policy is selected, idle time not tracked. \
                            Please note that when switching between policies at runtime LRU and LFU data \
                            will take some time to adjust.";

const MS_PER_S: i64 = 1000;

const HELP: &[&str] = &[
    "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "ENCODING <key>",
    "    How the value of a key is stored: int, embstr or raw for strings.",
    "FREQ <key>",
    "    How often a key is used, on a logarithmic scale; only with an LFU policy.",
    "IDLETIME <key>",
    "    Seconds since a key was last used, roughly.",
    "REFCOUNT <key>",
    "    How many references a value has: always 1, since no value is shared.",
    "HELP",
    "    This text.",
];

fn encoding(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let key = call.key(2);
    match lookup::inspect(call, key) {
        Some(entry) => out.bulk(entry.encoding().name().as_bytes()),
        None => out.null(),
    }
    Ok(())
}

/// Redis answers 2147483647 for integers up to 9999, which it shares; nothing is shared here, so 1 is the truth.
fn refcount(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let key = call.key(2);
    match lookup::inspect(call, key) {
        Some(_) => out.int(1),
        None => out.null(),
    }
    Ok(())
}

fn idletime(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (key, now) = (call.key(2), call.now());
    let lives = lookup::inspect(call, key).is_some();
    if lives && call.core.config.maxmemory_policy.counts_frequency() {
        return Err(NO_IDLE_TIME.into());
    }
    match call.core.shard.idle_ms(call.db, key, now).filter(|_| lives) {
        Some(idle_ms) => out.int(idle_ms / MS_PER_S),
        None => out.null(),
    }
    Ok(())
}

fn freq(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (key, now) = (call.key(2), call.now());
    let lives = lookup::inspect(call, key).is_some();
    if lives && !call.core.config.maxmemory_policy.counts_frequency() {
        return Err(NO_FREQUENCY.into());
    }
    match call.core.shard.frequency(call.db, key, now) {
        Some(counter) => out.int(counter.into()),
        None => out.null(),
    }
    Ok(())
}

fn help(_: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    out.array(HELP.len());
    for line in HELP {
        out.simple(line);
    }
    Ok(())
}

const fn subcommand(
    name: &'static str,
    run: Run,
    since: &'static str,
    summary: &'static str,
) -> Command {
    Command {
        name,
        arity: 3,
        flags: Flags::READONLY,
        keys: Keys::SECOND,
        key_flags: &["RO"],
        categories: &["keyspace"],
        tips: &["nondeterministic_output"],
        run,
        doc: Doc {
            summary,
            since,
            group: "generic",
            complexity: "O(1)",
            syntax: "key",
        },
        subcommands: &[],
    }
}

const SUBCOMMANDS: &[Command] = &[
    subcommand(
        "object|encoding",
        Run::Owner(encoding),
        "2.2.3",
        "How the value of a key is stored",
    ),
    subcommand(
        "object|freq",
        Run::Owner(freq),
        "4.0.0",
        "How often a key is used, on a logarithmic scale",
    ),
    Command {
        name: "object|help",
        arity: 2,
        flags: Flags::LOADING.and(Flags::STALE),
        keys: Keys::NONE,
        key_flags: &[],
        categories: &["keyspace"],
        tips: &[],
        run: Run::Here(help),
        doc: Doc {
            summary: "What OBJECT's subcommands do",
            since: "6.2.0",
            group: "generic",
            complexity: "O(1)",
            syntax: "",
        },
        subcommands: &[],
    },
    subcommand(
        "object|idletime",
        Run::Owner(idletime),
        "2.2.3",
        "Seconds since a key was last used",
    ),
    subcommand(
        "object|refcount",
        Run::Owner(refcount),
        "2.2.3",
        "How many references a value has",
    ),
];

/// The commands of this family.
pub const ROWS: &[Command] = &[Command {
    name: "object",
    arity: -2,
    flags: Flags(0),
    keys: Keys::NONE,
    key_flags: &[],
    categories: &[],
    tips: &[],
    run: Run::Container,
    doc: Doc {
        summary: "Commands that look at how keys are stored",
        since: "2.2.3",
        group: "generic",
        complexity: "Depends on subcommand.",
        syntax: "",
    },
    subcommands: SUBCOMMANDS,
}];
