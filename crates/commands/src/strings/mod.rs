//! Strings: GET and SET with their variants, and the commands that change several strings as one moment.
//! Never touches a key that another core owns: of several keys, each core takes those that lie on it.
//! Source: redis-server 7, asked for the order of checks; SET's options are those of 7.2.

mod options;
mod ranges;

use crate::expiry::{Meaning, has_passed, positive_moment};
use crate::row::{Atomic, Decision, Doc, Keys};
use crate::{Call, Command, Error, Flags, Part, Reply, Run, error, lcs, lookup};
use options::{Condition, Lifetime, Options};
use resp::Writer;
use store::{Expiry, Key, Value};

fn get(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let key = call.key(1);
    lookup::bulk_or_null(out, lookup::read_string(call, key)?);
    Ok(())
}

/// Stores the argument at `index`; a value whose expiry has passed already is not stored.
fn store(call: &mut Call<'_>, key: Key<'_>, index: usize, expiry: Expiry) {
    let (db, now) = (call.db, call.now());
    if let Expiry::At(moment) = expiry
        && has_passed(call, moment)
    {
        call.core.shard.remove(db, key, now);
        return;
    }
    let value = Value::from_bytes(call.args.at(index));
    call.core.shard.set(db, key, value, expiry, now);
}

fn set(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let key = call.key(1);
    if call.args.len() == 3 {
        store(call, key, 2, Expiry::Clear);
        out.ok();
        return Ok(());
    }
    let options = Options::of_set(call)?;
    let expiry = match options.lifetime {
        Lifetime::Unchanged => Expiry::Clear,
        Lifetime::Keep => Expiry::Keep,
        Lifetime::Persist => unreachable!("SET has no PERSIST"),
        Lifetime::Until(index, meaning) => {
            Expiry::At(positive_moment(call, index, meaning, "set")?)
        }
    };
    let exists = if options.get {
        lookup::bulk_or_null(out, lookup::read_string(call, key)?)
    } else {
        options.condition != Condition::Always && lookup::lives(call, key)
    };
    let goes_on = match options.condition {
        Condition::Always => true,
        Condition::Missing => !exists,
        Condition::Existing => exists,
    };
    if goes_on {
        store(call, key, 2, expiry);
    }
    match (options.get, goes_on) {
        (true, _) => {}
        (false, true) => out.ok(),
        (false, false) => out.null(),
    }
    Ok(())
}

fn setnx(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let key = call.key(1);
    let exists = lookup::lives(call, key);
    if !exists {
        store(call, key, 2, Expiry::Clear);
    }
    out.int(i64::from(!exists));
    Ok(())
}

fn setex(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    set_until(call, out, Meaning::SECONDS, "setex")
}

fn psetex(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    set_until(call, out, Meaning::MILLIS, "psetex")
}

fn set_until(call: &mut Call<'_>, out: &mut Writer<'_>, meaning: Meaning, command: &str) -> Reply {
    let moment = positive_moment(call, 2, meaning, command)?;
    let key = call.key(1);
    store(call, key, 3, Expiry::At(moment));
    out.ok();
    Ok(())
}

fn getset(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let key = call.key(1);
    lookup::bulk_or_null(out, lookup::read_string(call, key)?);
    store(call, key, 2, Expiry::Clear);
    Ok(())
}

fn getdel(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let key = call.key(1);
    if lookup::bulk_or_null(out, lookup::read_string(call, key)?) {
        let (db, now) = (call.db, call.now());
        call.core.shard.remove(db, key, now);
    }
    Ok(())
}

fn getex(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let options = Options::of_getex(call)?;
    let key = call.key(1);
    if !lookup::bulk_or_null(out, lookup::read_string(call, key)?) {
        return Ok(());
    }
    let (db, now) = (call.db, call.now());
    let expiry = match options.lifetime {
        Lifetime::Unchanged | Lifetime::Keep => return Ok(()),
        Lifetime::Persist => None,
        Lifetime::Until(index, meaning) => Some(positive_moment(call, index, meaning, "getex")?),
    };
    match expiry {
        Some(moment) if moment <= now => call.core.shard.remove(db, key, now),
        expiry => call.core.shard.set_expiry(db, key, expiry, now),
    };
    Ok(())
}

fn mget_element(call: &mut Call<'_>, key: Key<'_>, out: &mut Writer<'_>) {
    // What is no string is nil here, not an error.
    lookup::bulk_or_null(out, lookup::read_string(call, key).unwrap_or(None));
}

fn check_pairs(call: &Call<'_>, command: &str) -> Reply {
    if call.args.len().is_multiple_of(2) {
        Err(error::wrong_arity(command))
    } else {
        Ok(())
    }
}

fn prepare_mset(call: &mut Call<'_>, _: &mut Part) -> Reply {
    check_pairs(call, "mset")
}

fn decide_mset(_: &mut Call<'_>, _: &mut [Part], out: &mut Writer<'_>) -> Result<Decision, Error> {
    out.ok();
    Ok(Decision::Commit)
}

fn commit_mset(call: &mut Call<'_>, _: &mut Part) {
    for index in (1..call.args.len()).step_by(2) {
        if call.owns(index) {
            let key = call.other_key(index);
            // The check before the command asked for room for one key; this keeps the reserve up for the next.
            call.core.shard.has_room();
            store(call, key, index + 1, Expiry::Clear);
        }
    }
}

/// Votes with the number of its keys that exist already.
fn prepare_msetnx(call: &mut Call<'_>, part: &mut Part) -> Reply {
    check_pairs(call, "msetnx")?;
    let mut existing = 0;
    for index in (1..call.args.len()).step_by(2) {
        if call.owns(index) {
            let key = call.other_key(index);
            existing += i64::from(lookup::lives(call, key));
        }
    }
    *part = Part::Count(existing);
    Ok(())
}

fn decide_msetnx(
    _: &mut Call<'_>,
    parts: &mut [Part],
    out: &mut Writer<'_>,
) -> Result<Decision, Error> {
    let none_exists = parts.iter().all(|part| matches!(part, Part::Count(0)));
    out.int(i64::from(none_exists));
    Ok(if none_exists {
        Decision::Commit
    } else {
        Decision::Abort
    })
}

const fn row(
    name: &'static str,
    arity: i32,
    flags: Flags,
    key_flags: &'static [&'static str],
    run: Run,
    doc: Doc,
) -> Command {
    Command {
        name,
        arity,
        flags,
        keys: Keys::FIRST,
        key_flags,
        categories: &["string"],
        tips: &[],
        run,
        doc,
        subcommands: &[],
    }
}

const fn several(row: Command, keys: Keys, tips: &'static [&'static str]) -> Command {
    Command { keys, tips, ..row }
}

const fn doc(
    since: &'static str,
    complexity: &'static str,
    summary: &'static str,
    syntax: &'static str,
) -> Doc {
    Doc {
        summary,
        since,
        group: "string",
        complexity,
        syntax,
    }
}

const READ: Flags = Flags::READONLY;
const FAST_READ: Flags = READ.and(Flags::FAST);
const WRITE: Flags = Flags::WRITE;
const GROWS: Flags = WRITE.and(Flags::DENYOOM);
const FAST_GROWS: Flags = GROWS.and(Flags::FAST);
const ACCESS: &[&str] = &["RO", "access"];
const CHANGES: &[&str] = &["RW", "update"];
const GETS_AND_CHANGES: &[&str] = &["RW", "access", "update"];
const SETS: &[&str] = &["OW", "update"];
const INSERTS: &[&str] = &["OW", "insert"];
const PER_KEY: &str = "O(N) where N is the number of keys";
const PER_RESULT: &str = "O(N) where N is the length of the answer";

/// The commands of this family.
pub const ROWS: &[Command] = &[
    row(
        "get",
        2,
        FAST_READ,
        ACCESS,
        Run::Owner(get),
        doc("1.0.0", "O(1)", "The value of a key", "key"),
    ),
    row(
        "set",
        -3,
        GROWS,
        &["RW", "access", "update", "variable_flags"],
        Run::Owner(set),
        doc(
            "1.0.0",
            "O(1)",
            "Gives a key a value, whatever it held before",
            "key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | \
             PXAT unix-time-milliseconds | KEEPTTL]",
        ),
    ),
    row(
        "setnx",
        3,
        FAST_GROWS,
        INSERTS,
        Run::Owner(setnx),
        doc(
            "1.0.0",
            "O(1)",
            "Gives a key a value unless it has one",
            "key value",
        ),
    ),
    row(
        "setex",
        4,
        GROWS,
        SETS,
        Run::Owner(setex),
        doc(
            "2.0.0",
            "O(1)",
            "Gives a key a value for so many seconds",
            "key seconds value",
        ),
    ),
    row(
        "psetex",
        4,
        GROWS,
        SETS,
        Run::Owner(psetex),
        doc(
            "2.6.0",
            "O(1)",
            "Gives a key a value for so many milliseconds",
            "key milliseconds value",
        ),
    ),
    row(
        "getset",
        3,
        FAST_GROWS,
        GETS_AND_CHANGES,
        Run::Owner(getset),
        doc(
            "1.0.0",
            "O(1)",
            "Gives a key a value and answers the one before",
            "key value",
        ),
    ),
    row(
        "getdel",
        2,
        WRITE.and(Flags::FAST),
        &["RW", "access", "delete"],
        Run::Owner(getdel),
        doc(
            "6.2.0",
            "O(1)",
            "The value of a key, which is then deleted",
            "key",
        ),
    ),
    row(
        "getex",
        -2,
        WRITE.and(Flags::FAST),
        GETS_AND_CHANGES,
        Run::Owner(getex),
        doc(
            "6.2.0",
            "O(1)",
            "The value of a key, whose expiry may change with it",
            "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]",
        ),
    ),
    several(
        row(
            "mget",
            -2,
            FAST_READ,
            ACCESS,
            Run::Each(mget_element),
            doc("1.0.0", PER_KEY, "The values of keys", "key [key ...]"),
        ),
        Keys::ALL,
        &["request_policy:multi_shard"],
    ),
    several(
        row(
            "mset",
            -3,
            GROWS,
            SETS,
            Run::Atomic(Atomic {
                prepare: prepare_mset,
                decide: decide_mset,
                commit: commit_mset,
            }),
            doc(
                "1.0.1",
                PER_KEY,
                "Gives keys their values as one moment",
                "key value [key value ...]",
            ),
        ),
        Keys::ALTERNATE,
        &[
            "request_policy:multi_shard",
            "response_policy:all_succeeded",
        ],
    ),
    several(
        row(
            "msetnx",
            -3,
            GROWS,
            INSERTS,
            Run::Atomic(Atomic {
                prepare: prepare_msetnx,
                decide: decide_msetnx,
                commit: commit_mset,
            }),
            doc(
                "1.0.1",
                PER_KEY,
                "Gives keys their values unless one of them has one",
                "key value [key value ...]",
            ),
        ),
        Keys::ALTERNATE,
        &["request_policy:multi_shard", "response_policy:agg_min"],
    ),
    row(
        "append",
        3,
        FAST_GROWS,
        &["RW", "insert"],
        Run::Owner(ranges::append),
        doc(
            "2.0.0",
            "O(1) amortized",
            "Adds to the end of a string",
            "key value",
        ),
    ),
    row(
        "strlen",
        2,
        FAST_READ,
        &["RO"],
        Run::Owner(ranges::strlen),
        doc("2.2.0", "O(1)", "The length of a string", "key"),
    ),
    row(
        "getrange",
        4,
        READ,
        ACCESS,
        Run::Owner(ranges::getrange),
        doc("2.4.0", PER_RESULT, "A part of a string", "key start end"),
    ),
    row(
        "substr",
        4,
        READ,
        ACCESS,
        Run::Owner(ranges::getrange),
        doc(
            "1.0.0",
            PER_RESULT,
            "A part of a string, under its old name",
            "key start end",
        ),
    ),
    row(
        "setrange",
        4,
        GROWS,
        CHANGES,
        Run::Owner(ranges::setrange),
        doc(
            "2.2.0",
            "O(1), besides the time to copy the value",
            "Overwrites a part of a string, filling up with zero bytes",
            "key offset value",
        ),
    ),
    lcs::ROW,
];
