//! Hashes: their commands, row by row.
//! Never touches more than one key; the store keeps an emptied hash from staying behind.
//! Source: redis-server 7 for the facts of each command; the documentation of Redis 7.4 and 8 for those it lacks.

mod fields;
mod lifetimes;
mod random;
mod read;
mod write;

use crate::row::{Doc, Handler, Keys};
use crate::{Command, Flags, Run};

const fn row(
    name: &'static str,
    arity: i32,
    flags: Flags,
    key_flags: &'static [&'static str],
    handler: Handler,
    doc: Doc,
) -> Command {
    Command {
        name,
        arity,
        flags,
        keys: Keys::FIRST,
        key_flags,
        categories: &["hash"],
        tips: &[],
        run: Run::Owner(handler),
        doc,
        subcommands: &[],
    }
}

const fn with_tips(row: Command, tips: &'static [&'static str]) -> Command {
    Command { tips, ..row }
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
        group: "hash",
        complexity,
        syntax,
    }
}

const READ: Flags = Flags::READONLY;
const FAST_READ: Flags = Flags::READONLY.and(Flags::FAST);
const FAST_WRITE: Flags = Flags::WRITE.and(Flags::FAST);
const FAST_GROWS: Flags = FAST_WRITE.and(Flags::DENYOOM);

const CHANGES: &[&str] = &["RW", "update"];
const INSERTS: &[&str] = &["RW", "insert"];
const ACCESS: &[&str] = &["RO", "access"];
const ASKS: &[&str] = &["RO"];
const DELETES: &[&str] = &["RW", "delete"];
const GETS_AND_CHANGES: &[&str] = &["RW", "access", "update"];
const GETS_AND_DELETES: &[&str] = &["RW", "access", "delete"];

const ANY_OUTPUT: &[&str] = &["nondeterministic_output"];
const ANY_ORDER: &[&str] = &["nondeterministic_output_order"];

const PER_FIELD: &str = "O(N) where N is the number of fields named";
const WHOLE: &str = "O(N) where N is the number of fields in the hash";
const COUNTED: &str =
    "O(1), or O(N) while some of the N fields have expired and were not yet removed";

/// The commands of this family.
pub const ROWS: &[Command] = &[
    row(
        "hset",
        -4,
        FAST_GROWS,
        CHANGES,
        write::hset,
        doc(
            "2.0.0",
            PER_FIELD,
            "Gives fields of a hash their values",
            "key field value [field value ...]",
        ),
    ),
    row(
        "hsetnx",
        4,
        FAST_GROWS,
        INSERTS,
        write::hsetnx,
        doc(
            "2.0.0",
            "O(1)",
            "Gives a field a value unless it has one",
            "key field value",
        ),
    ),
    row(
        "hmset",
        -4,
        FAST_GROWS,
        CHANGES,
        write::hmset,
        doc(
            "2.0.0",
            PER_FIELD,
            "As HSET, answering OK",
            "key field value [field value ...]",
        ),
    ),
    row(
        "hget",
        3,
        FAST_READ,
        ACCESS,
        read::hget,
        doc("2.0.0", "O(1)", "The value of a field", "key field"),
    ),
    row(
        "hmget",
        -3,
        FAST_READ,
        ACCESS,
        read::hmget,
        doc(
            "2.0.0",
            PER_FIELD,
            "The values of fields",
            "key field [field ...]",
        ),
    ),
    with_tips(
        row(
            "hgetall",
            2,
            READ,
            ACCESS,
            read::hgetall,
            doc("2.0.0", WHOLE, "Every field with its value", "key"),
        ),
        ANY_ORDER,
    ),
    with_tips(
        row(
            "hkeys",
            2,
            READ,
            ACCESS,
            read::hkeys,
            doc("2.0.0", WHOLE, "Every field", "key"),
        ),
        ANY_ORDER,
    ),
    with_tips(
        row(
            "hvals",
            2,
            READ,
            ACCESS,
            read::hvals,
            doc("2.0.0", WHOLE, "The value of every field", "key"),
        ),
        ANY_ORDER,
    ),
    row(
        "hlen",
        2,
        FAST_READ,
        ASKS,
        read::hlen,
        doc(
            "2.0.0",
            COUNTED,
            "How many fields there are; none that has expired is counted",
            "key",
        ),
    ),
    row(
        "hstrlen",
        3,
        FAST_READ,
        ASKS,
        read::hstrlen,
        doc(
            "3.2.0",
            "O(1)",
            "The length of a field's value",
            "key field",
        ),
    ),
    row(
        "hexists",
        3,
        FAST_READ,
        ASKS,
        read::hexists,
        doc("2.0.0", "O(1)", "Whether there is a field", "key field"),
    ),
    row(
        "hdel",
        -3,
        FAST_WRITE,
        DELETES,
        write::hdel,
        doc(
            "2.0.0",
            PER_FIELD,
            "Removes fields; a hash without any is removed itself",
            "key field [field ...]",
        ),
    ),
    row(
        "hincrby",
        4,
        FAST_GROWS,
        GETS_AND_CHANGES,
        write::hincrby,
        doc(
            "2.0.0",
            "O(1)",
            "Adds to the integer in a field, which starts at 0",
            "key field increment",
        ),
    ),
    row(
        "hincrbyfloat",
        4,
        FAST_GROWS,
        GETS_AND_CHANGES,
        write::hincrbyfloat,
        doc(
            "2.6.0",
            "O(1)",
            "Adds to the decimal number in a field, which starts at 0; computes with 64 bits of precision",
            "key field increment",
        ),
    ),
    with_tips(
        row(
            "hrandfield",
            -2,
            READ,
            ACCESS,
            random::hrandfield,
            doc(
                "6.2.0",
                "O(N) where N is the number of fields returned",
                "Fields picked at random: each once, or with a negative count any number of times",
                "key [count [WITHVALUES]]",
            ),
        ),
        ANY_OUTPUT,
    ),
    with_tips(
        row(
            "hscan",
            -3,
            READ,
            ACCESS,
            read::hscan,
            doc(
                "2.8.0",
                "O(COUNT) a call, O(N) for all N fields",
                "Some fields with their values, and a cursor from which to go on",
                "key cursor [MATCH pattern] [COUNT count] [NOVALUES]",
            ),
        ),
        ANY_OUTPUT,
    ),
    row(
        "hgetdel",
        -5,
        FAST_WRITE,
        GETS_AND_DELETES,
        write::hgetdel,
        doc(
            "8.0.0",
            PER_FIELD,
            "The values of fields, which are then removed",
            "key FIELDS numfields field [field ...]",
        ),
    ),
    row(
        "hgetex",
        -5,
        FAST_WRITE,
        GETS_AND_CHANGES,
        lifetimes::hgetex,
        doc(
            "8.0.0",
            PER_FIELD,
            "The values of fields, whose expiry may change with it",
            "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST] FIELDS numfields field [field ...]",
        ),
    ),
    row(
        "hsetex",
        -6,
        FAST_GROWS,
        CHANGES,
        lifetimes::hsetex,
        doc(
            "8.0.0",
            PER_FIELD,
            "Gives fields their values for a time, if none or all of them are there",
            "key [FNX | FXX] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL] FIELDS numfields field value [field value ...]",
        ),
    ),
    row(
        "hexpire",
        -6,
        FAST_GROWS,
        CHANGES,
        lifetimes::hexpire,
        doc(
            "7.4.0",
            PER_FIELD,
            "Lets fields live for so many more seconds",
            "key seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
        ),
    ),
    row(
        "hpexpire",
        -6,
        FAST_GROWS,
        CHANGES,
        lifetimes::hpexpire,
        doc(
            "7.4.0",
            PER_FIELD,
            "Lets fields live for so many more milliseconds",
            "key milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
        ),
    ),
    row(
        "hexpireat",
        -6,
        FAST_GROWS,
        CHANGES,
        lifetimes::hexpireat,
        doc(
            "7.4.0",
            PER_FIELD,
            "Lets fields live until a Unix time in seconds",
            "key unix-time-seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
        ),
    ),
    row(
        "hpexpireat",
        -6,
        FAST_GROWS,
        CHANGES,
        lifetimes::hpexpireat,
        doc(
            "7.4.0",
            PER_FIELD,
            "Lets fields live until a Unix time in milliseconds",
            "key unix-time-milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
        ),
    ),
    with_tips(
        row(
            "httl",
            -5,
            FAST_READ,
            ACCESS,
            lifetimes::httl,
            doc(
                "7.4.0",
                PER_FIELD,
                "How many seconds fields have left",
                "key FIELDS numfields field [field ...]",
            ),
        ),
        ANY_OUTPUT,
    ),
    with_tips(
        row(
            "hpttl",
            -5,
            FAST_READ,
            ACCESS,
            lifetimes::hpttl,
            doc(
                "7.4.0",
                PER_FIELD,
                "How many milliseconds fields have left",
                "key FIELDS numfields field [field ...]",
            ),
        ),
        ANY_OUTPUT,
    ),
    row(
        "hexpiretime",
        -5,
        FAST_READ,
        ACCESS,
        lifetimes::hexpiretime,
        doc(
            "7.4.0",
            PER_FIELD,
            "The Unix time in seconds at which fields end",
            "key FIELDS numfields field [field ...]",
        ),
    ),
    row(
        "hpexpiretime",
        -5,
        FAST_READ,
        ACCESS,
        lifetimes::hpexpiretime,
        doc(
            "7.4.0",
            PER_FIELD,
            "The Unix time in milliseconds at which fields end",
            "key FIELDS numfields field [field ...]",
        ),
    ),
    row(
        "hpersist",
        -5,
        FAST_WRITE,
        CHANGES,
        lifetimes::hpersist,
        doc(
            "7.4.0",
            PER_FIELD,
            "Takes the expiry of fields away",
            "key FIELDS numfields field [field ...]",
        ),
    ),
];
