//! Streams: entries in the order of their IDs, and consumer groups.
//! Never a wait: what would block answers at once, as if its time had passed.
//! Source: redis-server 7, asked for the order of checks; replies about consumers are those of 7.2.

mod entries;
mod full;
mod groups;
mod ids;
mod info;
mod pending;
mod read;
mod several;
mod steps;
mod trimming;

pub use several::{Answer, heap_bytes};

use crate::row::{Doc, Handler, Keys};
use crate::{Command, Flags, Run};

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
        categories: &["stream"],
        tips: &[],
        run,
        doc,
        subcommands: &[],
    }
}

/// A row whose answers depend on more than the data.
const fn varying(row: Command) -> Command {
    Command {
        tips: &["nondeterministic_output"],
        ..row
    }
}

/// A row of a command that reads several streams.
const fn several(row: Command, keys: Keys) -> Command {
    Command {
        keys,
        categories: &["stream", "blocking"],
        ..row
    }
}

/// A row of a subcommand, whose key is behind its name.
const fn sub(row: Command) -> Command {
    Command {
        keys: Keys::SECOND,
        ..row
    }
}

const fn help(name: &'static str, handler: Handler) -> Command {
    Command {
        keys: Keys::NONE,
        ..row(
            name,
            2,
            Flags::LOADING.and(Flags::STALE),
            &[],
            Run::Here(handler),
            doc("5.0.0", "O(1)", "Lists the subcommands", ""),
        )
    }
}

const fn container(
    name: &'static str,
    summary: &'static str,
    subcommands: &'static [Command],
) -> Command {
    Command {
        keys: Keys::NONE,
        categories: &[],
        subcommands,
        ..row(
            name,
            -2,
            Flags(0),
            &[],
            Run::Container,
            doc("5.0.0", "Depends on subcommand.", summary, ""),
        )
    }
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
        group: "stream",
        complexity,
        syntax,
    }
}

const READ: Flags = Flags::READONLY;
const WRITE: Flags = Flags::WRITE;
const FAST_WRITE: Flags = WRITE.and(Flags::FAST);
const GROW: Flags = WRITE.and(Flags::DENYOOM);
const FAST_GROW: Flags = GROW.and(Flags::FAST);
const PER_ID: &str = "O(N) where N is the number of IDs";
const PER_ENTRY: &str =
    "O(log(S)+N) where S is the length of the stream and N the number of entries returned";

/// The commands of this family.
pub const ROWS: &[Command] = &[
    varying(row(
        "xadd",
        -5,
        FAST_GROW,
        &["RW", "update"],
        Run::Owner(entries::add),
        doc(
            "5.0.0",
            "O(1), and O(N) for N entries that are trimmed",
            "Appends an entry to a stream, and may trim it",
            "key [NOMKSTREAM] [<MAXLEN | MINID> [= | ~] threshold [LIMIT count]] <* | id> field value [field value ...]",
        ),
    )),
    row(
        "xlen",
        2,
        READ.and(Flags::FAST),
        &["RO"],
        Run::Owner(entries::len),
        doc("5.0.0", "O(1)", "How many entries a stream has", "key"),
    ),
    row(
        "xdel",
        -3,
        FAST_WRITE,
        &["RW", "delete"],
        Run::Owner(entries::delete),
        doc(
            "5.0.0",
            PER_ID,
            "Deletes entries of a stream",
            "key id [id ...]",
        ),
    ),
    varying(row(
        "xtrim",
        -4,
        WRITE,
        &["RW", "delete"],
        Run::Owner(entries::trim),
        doc(
            "5.0.0",
            "O(N) where N is the number of entries that go",
            "Deletes the oldest entries of a stream",
            "key <MAXLEN | MINID> [= | ~] threshold [LIMIT count]",
        ),
    )),
    row(
        "xsetid",
        -3,
        FAST_GROW,
        &["RW", "update"],
        Run::Owner(entries::set_id),
        doc(
            "5.0.0",
            "O(1)",
            "Sets a stream's last ID and its counters",
            "key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]",
        ),
    ),
    row(
        "xrange",
        -4,
        READ,
        &["RO", "access"],
        Run::Owner(entries::range),
        doc(
            "5.0.0",
            PER_ENTRY,
            "Entries between two IDs, oldest first",
            "key start end [COUNT count]",
        ),
    ),
    row(
        "xrevrange",
        -4,
        READ,
        &["RO", "access"],
        Run::Owner(entries::range_back),
        doc(
            "5.0.0",
            PER_ENTRY,
            "Entries between two IDs, newest first",
            "key end start [COUNT count]",
        ),
    ),
    several(
        row(
            "xread",
            -4,
            READ.and(Flags::BLOCKING),
            &["RO", "access"],
            Run::Atomic(read::READ),
            doc(
                "5.0.0",
                PER_ENTRY,
                "Entries of streams above the given IDs",
                "[COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]",
            ),
        ),
        Keys::STREAMS,
    ),
    several(
        row(
            "xreadgroup",
            -7,
            WRITE.and(Flags::BLOCKING),
            &["RO", "access"],
            Run::Atomic(read::READ_GROUP),
            doc(
                "5.0.0",
                PER_ENTRY,
                "Entries of streams for a consumer: new ones, which become pending, or those it has pending",
                "GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key [key ...] id [id ...]",
            ),
        ),
        Keys::GROUP_STREAMS,
    ),
    container("xgroup", "Commands on consumer groups", GROUP_ROWS),
    row(
        "xack",
        -4,
        FAST_WRITE,
        &["RW", "update"],
        Run::Owner(groups::acknowledge),
        doc(
            "5.0.0",
            PER_ID,
            "Tells a group that entries were dealt with",
            "key group id [id ...]",
        ),
    ),
    varying(row(
        "xpending",
        -3,
        READ,
        &["RO", "access"],
        Run::Owner(pending::pending),
        doc(
            "5.0.0",
            "O(log(P)+N) where P is what the group has pending and N the number of entries looked at",
            "What a group or a consumer has pending",
            "key group [[IDLE min-idle-time] start end count [consumer]]",
        ),
    )),
    varying(row(
        "xclaim",
        -6,
        FAST_WRITE,
        &["RW", "update"],
        Run::Owner(pending::claim),
        doc(
            "5.0.0",
            "O(log(P)) an ID, where P is what the group has pending",
            "Makes pending entries those of another consumer",
            "key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-milliseconds] [RETRYCOUNT count] \
             [FORCE] [JUSTID] [LASTID lastid]",
        ),
    )),
    varying(row(
        "xautoclaim",
        -6,
        FAST_WRITE,
        &["RW", "delete"],
        Run::Owner(pending::auto_claim),
        doc(
            "6.2.0",
            "O(1) for a small COUNT",
            "Makes the next idle pending entries those of a consumer",
            "key group consumer min-idle-time start [COUNT count] [JUSTID]",
        ),
    )),
    container("xinfo", "Commands that look at streams", INFO_ROWS),
];

const GROUP_ROWS: &[Command] = &[
    sub(row(
        "xgroup|create",
        -5,
        GROW,
        &["RW", "insert"],
        Run::Owner(groups::create),
        doc(
            "5.0.0",
            "O(1)",
            "Makes a consumer group",
            "key group <id | $> [MKSTREAM] [ENTRIESREAD entries-read]",
        ),
    )),
    sub(row(
        "xgroup|setid",
        -5,
        WRITE,
        &["RW", "update"],
        Run::Owner(groups::set_id),
        doc(
            "5.0.0",
            "O(1)",
            "Sets up to which entry a group was delivered",
            "key group <id | $> [ENTRIESREAD entries-read]",
        ),
    )),
    sub(row(
        "xgroup|destroy",
        4,
        WRITE,
        &["RW", "delete"],
        Run::Owner(groups::destroy),
        doc(
            "5.0.0",
            "O(N) where N is what the group has pending",
            "Removes a consumer group",
            "key group",
        ),
    )),
    sub(row(
        "xgroup|createconsumer",
        5,
        GROW,
        &["RW", "insert"],
        Run::Owner(groups::create_consumer),
        doc(
            "6.2.0",
            "O(1)",
            "Makes a consumer in a group",
            "key group consumer",
        ),
    )),
    sub(row(
        "xgroup|delconsumer",
        5,
        WRITE,
        &["RW", "delete"],
        Run::Owner(groups::delete_consumer),
        doc(
            "5.0.0",
            "O(N) where N is what the consumer has pending",
            "Removes a consumer from a group",
            "key group consumer",
        ),
    )),
    help("xgroup|help", groups::help),
];

const INFO_ROWS: &[Command] = &[
    sub(row(
        "xinfo|stream",
        -3,
        READ,
        &["RO", "access"],
        Run::Owner(info::stream),
        doc(
            "5.0.0",
            "O(1), and O(N) for N entries that FULL shows",
            "Figures of a stream",
            "key [FULL [COUNT count]]",
        ),
    )),
    sub(row(
        "xinfo|groups",
        3,
        READ,
        &["RO", "access"],
        Run::Owner(info::groups),
        doc(
            "5.0.0",
            "O(N) where N is the number of groups",
            "The consumer groups of a stream",
            "key",
        ),
    )),
    sub(varying(row(
        "xinfo|consumers",
        4,
        READ,
        &["RO", "access"],
        Run::Owner(info::consumers),
        doc(
            "5.0.0",
            "O(N) where N is the number of consumers",
            "The consumers of a group",
            "key group",
        ),
    ))),
    help("xinfo|help", info::help),
];
