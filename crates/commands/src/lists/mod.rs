//! Lists: LPUSH and its kin, from pushing and popping at both ends to moving elements from list to list.
//! Never copies a list: what goes to another shard is the elements that move.
//! Source: redis-server 7.0, asked for texts and the order of checks; forms change where those of 7.2 change.

mod change;
mod ends;
mod moves;
mod read;

use crate::row::{Atomic, Doc, Keys};
use crate::{Call, Command, Error, Flags, Run, error, lookup};
use resp::Writer;
use store::{Key, ListEnd, ListView, View};

/// The list of a key to read it; `None` if the key is missing.
fn list<'c>(call: &'c mut Call<'_>, key: Key<'_>) -> Result<Option<ListView<'c>>, Error> {
    lookup::read_as(call, key, View::list)
}

/// Argument `index` as an end of a list.
fn list_end(call: &Call<'_>, index: usize) -> Result<ListEnd, Error> {
    if call.is(index, "left") {
        Ok(ListEnd::Front)
    } else if call.is(index, "right") {
        Ok(ListEnd::Back)
    } else {
        Err(error::SYNTAX.into())
    }
}

/// A client's index as one from the head: negative ones count from the tail. `None` outside of the list.
fn index_from_head(index: i64, len: usize) -> Option<usize> {
    let index = if index < 0 { index + len as i64 } else { index };
    usize::try_from(index).ok().filter(|&index| index < len)
}

/// A client's first and last index as a first index and a number of elements, which is 0 where the two enclose nothing.
fn span(start: i64, end: i64, len: usize) -> (usize, usize) {
    let from_head = |index: i64| if index < 0 { index + len as i64 } else { index };
    let (start, end) = (from_head(start).max(0), from_head(end).min(len as i64 - 1));
    if start > end {
        (0, 0)
    } else {
        (start as usize, (end - start) as usize + 1)
    }
}

/// Writes up to `count` elements from an end on as an array.
fn write_from(out: &mut Writer<'_>, list: ListView<'_>, end: ListEnd, count: usize) {
    let count = count.min(list.len());
    out.array(count);
    write_elements(out, list, end, count);
}

/// Writes as many elements as there are from an end on.
fn write_elements(out: &mut Writer<'_>, list: ListView<'_>, end: ListEnd, count: usize) {
    match end {
        ListEnd::Front => list
            .range(0, count)
            .for_each(|item| lookup::bulk_item(out, item)),
        ListEnd::Back => list
            .range(list.len() - count, count)
            .rev()
            .for_each(|item| lookup::bulk_item(out, item)),
    }
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
        categories: &["list"],
        tips: &[],
        run,
        doc,
        subcommands: &[],
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
        group: "list",
        complexity,
        syntax,
    }
}

const READ: Flags = Flags::READONLY;
const WRITE: Flags = Flags::WRITE;
const GROWS: Flags = WRITE.and(Flags::DENYOOM);
const FAST_GROWS: Flags = GROWS.and(Flags::FAST);
const FAST_WRITE: Flags = WRITE.and(Flags::FAST);
const ACCESS: &[&str] = &["RO", "access"];
const INSERTS: &[&str] = &["RW", "insert"];
const DELETES: &[&str] = &["RW", "delete"];
const TAKES: &[&str] = &["RW", "access", "delete"];
const TAKES_AND_INSERTS: &[&str] = &["RW", "access", "delete", "/", "RW", "insert"];
const PER_ELEMENT: &str = "O(N) where N is the number of elements given";
const PER_TAKEN: &str = "O(N) where N is the number of elements taken";
const BY_INDEX: &str = "O(N) in the number of the list's blocks of nodes: O(1) near either end";
const PER_WALKED: &str = "O(N) where N is the number of elements walked over";

const MOVE: Run = Run::Atomic(Atomic {
    prepare: moves::prepare_move,
    decide: moves::decide_move,
    commit: moves::commit_move,
});

/// The commands of this family.
pub const ROWS: &[Command] = &[
    row(
        "lpush",
        -3,
        FAST_GROWS,
        INSERTS,
        Run::Owner(ends::lpush),
        doc(
            "1.0.0",
            PER_ELEMENT,
            "Adds elements before the first, one after the other; makes the list if need be",
            "key element [element ...]",
        ),
    ),
    row(
        "rpush",
        -3,
        FAST_GROWS,
        INSERTS,
        Run::Owner(ends::rpush),
        doc(
            "1.0.0",
            PER_ELEMENT,
            "Adds elements behind the last; makes the list if need be",
            "key element [element ...]",
        ),
    ),
    row(
        "lpushx",
        -3,
        FAST_GROWS,
        INSERTS,
        Run::Owner(ends::lpushx),
        doc(
            "2.2.0",
            PER_ELEMENT,
            "Adds elements before the first of a list that exists",
            "key element [element ...]",
        ),
    ),
    row(
        "rpushx",
        -3,
        FAST_GROWS,
        INSERTS,
        Run::Owner(ends::rpushx),
        doc(
            "2.2.0",
            PER_ELEMENT,
            "Adds elements behind the last of a list that exists",
            "key element [element ...]",
        ),
    ),
    row(
        "lpop",
        -2,
        FAST_WRITE,
        TAKES,
        Run::Owner(ends::lpop),
        doc(
            "1.0.0",
            PER_TAKEN,
            "Takes the first element, or as many as are asked for",
            "key [count]",
        ),
    ),
    row(
        "rpop",
        -2,
        FAST_WRITE,
        TAKES,
        Run::Owner(ends::rpop),
        doc(
            "1.0.0",
            PER_TAKEN,
            "Takes the last element, or as many as are asked for, the last first",
            "key [count]",
        ),
    ),
    row(
        "llen",
        2,
        READ.and(Flags::FAST),
        &["RO"],
        Run::Owner(read::llen),
        doc("1.0.0", "O(1)", "How many elements a list has", "key"),
    ),
    row(
        "lrange",
        4,
        READ,
        ACCESS,
        Run::Owner(read::lrange),
        doc(
            "1.0.0",
            "O(S+N) where S is the number of blocks of nodes up to the nearer end and N that of elements answered",
            "The elements from one index to another, both included",
            "key start stop",
        ),
    ),
    row(
        "lindex",
        3,
        READ,
        ACCESS,
        Run::Owner(read::lindex),
        doc("1.0.0", BY_INDEX, "The element at an index", "key index"),
    ),
    row(
        "lpos",
        -3,
        READ,
        ACCESS,
        Run::Owner(read::lpos),
        doc(
            "6.0.6",
            PER_WALKED,
            "Where elements lie that equal a given one",
            "key element [RANK rank] [COUNT num-matches] [MAXLEN len]",
        ),
    ),
    row(
        "lset",
        4,
        GROWS,
        &["RW", "update"],
        Run::Owner(change::lset),
        doc(
            "1.0.0",
            BY_INDEX,
            "Puts another element in the place of the one at an index",
            "key index element",
        ),
    ),
    row(
        "linsert",
        5,
        GROWS,
        INSERTS,
        Run::Owner(change::linsert),
        doc(
            "2.2.0",
            PER_WALKED,
            "Inserts an element next to the first that equals a given one",
            "key <BEFORE | AFTER> pivot element",
        ),
    ),
    row(
        "lrem",
        4,
        WRITE,
        DELETES,
        Run::Owner(change::lrem),
        doc(
            "1.0.0",
            PER_WALKED,
            "Removes elements that equal a given one: the first so many, the last with a negative count, all with 0",
            "key count element",
        ),
    ),
    row(
        "ltrim",
        4,
        WRITE,
        DELETES,
        Run::Owner(change::ltrim),
        doc(
            "1.0.0",
            "O(N) where N is the number of nodes that go",
            "Keeps the elements from one index to another and removes all others",
            "key start stop",
        ),
    ),
    Command {
        keys: Keys::PAIR,
        ..row(
            "lmove",
            5,
            GROWS,
            TAKES_AND_INSERTS,
            MOVE,
            doc(
                "6.2.0",
                "O(1)",
                "Takes an element from an end of one list and adds it at an end of another, or of the same",
                "source destination <LEFT | RIGHT> <LEFT | RIGHT>",
            ),
        )
    },
    Command {
        keys: Keys::PAIR,
        ..row(
            "rpoplpush",
            3,
            GROWS,
            TAKES_AND_INSERTS,
            MOVE,
            doc(
                "1.2.0",
                "O(1)",
                "Takes the last element of one list and adds it before the first of another, or of the same",
                "source destination",
            ),
        )
    },
    Command {
        keys: Keys::COUNTED,
        ..row(
            "lmpop",
            -4,
            WRITE,
            TAKES,
            Run::Atomic(Atomic {
                prepare: moves::prepare_mpop,
                decide: moves::decide_mpop,
                commit: moves::commit_mpop,
            }),
            doc(
                "7.0.0",
                "O(N+M) where N is the number of keys and M that of elements taken",
                "Takes elements from an end of the first of several lists that exists",
                "numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
            ),
        )
    },
];
