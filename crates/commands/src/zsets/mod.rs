//! Sorted sets: ZADD and its kin, from single members to ranges, ends, and combinations of several keys.
//! Never copies a sorted set to take a few members from it.
//! Source: redis-server 7.0, asked for texts and the order of checks; scores are written and ranks answered as 7.2 does.

mod add;
mod bounds;
mod combine;
mod range;
mod read;
mod remove;
mod steps;

pub(crate) use add::add_scored;
pub(crate) use range::store;
pub(crate) use read::{read, read_key, write_pair};

use crate::row::{Atomic, Doc, Joint, Keys, Target};
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
        categories: &["sortedset"],
        tips: &[],
        run,
        doc,
        subcommands: &[],
    }
}

const fn several(row: Command, keys: Keys) -> Command {
    Command { keys, ..row }
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
        group: "sorted-set",
        complexity,
        syntax,
    }
}

/// The key that a result is stored under, whatever it held.
const DESTINATION: Option<Target> = Some(Target {
    index: 1,
    reads: false,
});

const READ: Flags = Flags::READONLY;
const FAST_READ: Flags = READ.and(Flags::FAST);
const WRITE: Flags = Flags::WRITE;
const FAST_WRITE: Flags = WRITE.and(Flags::FAST);
const GROWS: Flags = WRITE.and(Flags::DENYOOM);
const FAST_GROWS: Flags = GROWS.and(Flags::FAST);
const ACCESS: &[&str] = &["RO", "access"];
const CHANGES: &[&str] = &["RW", "update"];
const DELETES: &[&str] = &["RW", "delete"];
const TAKES: &[&str] = &["RW", "access", "delete"];

/// The commands of this family.
pub const ROWS: &[Command] = &[
    row(
        "zadd",
        -4,
        FAST_GROWS,
        CHANGES,
        Run::Owner(add::zadd),
        doc(
            "1.2.0",
            "O(log(N)) for each member added, where N is the number of members",
            "Gives members scores; they are added where they are not there yet",
            "key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]",
        ),
    ),
    row(
        "zincrby",
        4,
        FAST_GROWS,
        &["RW", "access", "update"],
        Run::Owner(add::zincrby),
        doc(
            "1.2.0",
            "O(log(N)) where N is the number of members",
            "Adds to the score of a member, which is 0 where it is not there yet",
            "key increment member",
        ),
    ),
    row(
        "zcard",
        2,
        FAST_READ,
        &["RO"],
        Run::Owner(read::zcard),
        doc("1.2.0", "O(1)", "How many members a sorted set has", "key"),
    ),
    row(
        "zcount",
        4,
        FAST_READ,
        ACCESS,
        Run::Owner(read::zcount),
        doc(
            "2.0.0",
            "O(log(N)) where N is the number of members",
            "How many members have scores between two bounds",
            "key min max",
        ),
    ),
    row(
        "zlexcount",
        4,
        FAST_READ,
        ACCESS,
        Run::Owner(read::zlexcount),
        doc(
            "2.8.9",
            "O(log(N)) where N is the number of members",
            "How many members lie between two others in the order of bytes, where all scores are the same",
            "key min max",
        ),
    ),
    row(
        "zscore",
        3,
        FAST_READ,
        ACCESS,
        Run::Owner(read::zscore),
        doc("1.2.0", "O(1)", "The score of a member", "key member"),
    ),
    row(
        "zmscore",
        -3,
        FAST_READ,
        ACCESS,
        Run::Owner(read::zmscore),
        doc(
            "6.2.0",
            "O(N) where N is the number of members asked for",
            "The scores of members",
            "key member [member ...]",
        ),
    ),
    row(
        "zrank",
        -3,
        FAST_READ,
        ACCESS,
        Run::Owner(read::zrank),
        doc(
            "2.0.0",
            "O(log(N)) where N is the number of members",
            "How many members lie before one, by rising score",
            "key member [WITHSCORE]",
        ),
    ),
    row(
        "zrevrank",
        -3,
        FAST_READ,
        ACCESS,
        Run::Owner(read::zrevrank),
        doc(
            "2.0.0",
            "O(log(N)) where N is the number of members",
            "How many members lie before one, by falling score",
            "key member [WITHSCORE]",
        ),
    ),
    row(
        "zrange",
        -4,
        READ,
        ACCESS,
        Run::Owner(range::zrange),
        doc(
            "1.2.0",
            "O(log(N)+M) where N is the number of members and M that of members answered",
            "The members between two ranks, scores or members",
            "key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]",
        ),
    ),
    several(
        row(
            "zrangestore",
            -5,
            GROWS,
            &["OW", "update", "/", "RO", "access"],
            Run::Joint(Joint {
                handler: range::zrangestore,
                target: |_| DESTINATION,
            }),
            doc(
                "6.2.0",
                "O(log(N)+M) where N is the number of members and M that of members answered",
                "Stores the members between two ranks, scores or members under another key",
                "destination source min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]",
            ),
        ),
        Keys::PAIR,
    ),
    row(
        "zrevrange",
        -4,
        READ,
        ACCESS,
        Run::Owner(range::zrevrange),
        doc(
            "1.2.0",
            "O(log(N)+M) where N is the number of members and M that of members answered",
            "The members between two ranks, by falling score",
            "key start stop [WITHSCORES]",
        ),
    ),
    row(
        "zrangebyscore",
        -4,
        READ,
        ACCESS,
        Run::Owner(range::zrangebyscore),
        doc(
            "1.0.5",
            "O(log(N)+M) where N is the number of members and M that of members answered",
            "The members with scores between two bounds",
            "key min max [WITHSCORES] [LIMIT offset count]",
        ),
    ),
    row(
        "zrevrangebyscore",
        -4,
        READ,
        ACCESS,
        Run::Owner(range::zrevrangebyscore),
        doc(
            "2.2.0",
            "O(log(N)+M) where N is the number of members and M that of members answered",
            "The members with scores between two bounds, by falling score",
            "key max min [WITHSCORES] [LIMIT offset count]",
        ),
    ),
    row(
        "zrangebylex",
        -4,
        READ,
        ACCESS,
        Run::Owner(range::zrangebylex),
        doc(
            "2.8.9",
            "O(log(N)+M) where N is the number of members and M that of members answered",
            "The members between two others in the order of bytes, where all scores are the same",
            "key min max [LIMIT offset count]",
        ),
    ),
    row(
        "zrevrangebylex",
        -4,
        READ,
        ACCESS,
        Run::Owner(range::zrevrangebylex),
        doc(
            "2.8.9",
            "O(log(N)+M) where N is the number of members and M that of members answered",
            "The members between two others in the order of bytes, the last first",
            "key max min [LIMIT offset count]",
        ),
    ),
    row(
        "zrem",
        -3,
        FAST_WRITE,
        DELETES,
        Run::Owner(remove::zrem),
        doc(
            "1.2.0",
            "O(M*log(N)) where N is the number of members and M that of members that go",
            "Removes members",
            "key member [member ...]",
        ),
    ),
    row(
        "zremrangebyrank",
        4,
        WRITE,
        DELETES,
        Run::Owner(remove::zremrangebyrank),
        doc(
            "2.0.0",
            "O(M*log(N)) where N is the number of members and M that of members that go",
            "Removes the members between two ranks",
            "key start stop",
        ),
    ),
    row(
        "zremrangebyscore",
        4,
        WRITE,
        DELETES,
        Run::Owner(remove::zremrangebyscore),
        doc(
            "1.2.0",
            "O(M*log(N)) where N is the number of members and M that of members that go",
            "Removes the members with scores between two bounds",
            "key min max",
        ),
    ),
    row(
        "zremrangebylex",
        4,
        WRITE,
        DELETES,
        Run::Owner(remove::zremrangebylex),
        doc(
            "2.8.9",
            "O(M*log(N)) where N is the number of members and M that of members that go",
            "Removes the members between two others in the order of bytes, where all scores are the same",
            "key min max",
        ),
    ),
    row(
        "zpopmin",
        -2,
        FAST_WRITE,
        TAKES,
        Run::Owner(remove::zpopmin),
        doc(
            "5.0.0",
            "O(M*log(N)) where N is the number of members and M that of members that go",
            "Takes the members with the least scores",
            "key [count]",
        ),
    ),
    row(
        "zpopmax",
        -2,
        FAST_WRITE,
        TAKES,
        Run::Owner(remove::zpopmax),
        doc(
            "5.0.0",
            "O(M*log(N)) where N is the number of members and M that of members that go",
            "Takes the members with the greatest scores",
            "key [count]",
        ),
    ),
    several(
        row(
            "zmpop",
            -4,
            WRITE,
            TAKES,
            Run::Atomic(Atomic {
                prepare: remove::prepare_zmpop,
                decide: remove::decide_zmpop,
                commit: remove::commit_zmpop,
            }),
            doc(
                "7.0.0",
                "O(K)+O(M*log(N)) where K is the number of keys, N that of members and M that of members that go",
                "Takes members with the least or greatest scores from the first key that exists",
                "numkeys key [key ...] <MIN | MAX> [COUNT count]",
            ),
        ),
        Keys::COUNTED,
    ),
    Command {
        tips: &["nondeterministic_output"],
        ..row(
            "zrandmember",
            -2,
            READ,
            ACCESS,
            Run::Owner(read::zrandmember),
            doc(
                "6.2.0",
                "O(N*log(M)) where N is the number of members answered and M that of members",
                "Members picked at random",
                "key [count [WITHSCORES]]",
            ),
        )
    },
    Command {
        tips: &["nondeterministic_output"],
        ..row(
            "zscan",
            -3,
            READ,
            ACCESS,
            Run::Owner(read::zscan),
            doc(
                "2.8.0",
                "O(1) for each call, O(N) for a whole walk, where N is the number of members",
                "Walks over the members of a sorted set, some with each call",
                "key cursor [MATCH pattern] [COUNT count]",
            ),
        )
    },
    several(
        row(
            "zunion",
            -3,
            READ,
            ACCESS,
            Run::Joint(Joint {
                handler: combine::zunion,
                target: |_| None,
            }),
            doc(
                "6.2.0",
                "O(N)+O(M*log(M)) where N is the number of members of all keys and M that of the result",
                "The members that are in any of several sorted sets or sets",
                "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]",
            ),
        ),
        Keys::COUNTED,
    ),
    several(
        row(
            "zinter",
            -3,
            READ,
            ACCESS,
            Run::Joint(Joint {
                handler: combine::zinter,
                target: |_| None,
            }),
            doc(
                "6.2.0",
                "O(N*K)+O(M*log(M)) where N is the size of the smallest key, K the number of keys and M the size of the result",
                "The members that are in all of several sorted sets or sets",
                "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]",
            ),
        ),
        Keys::COUNTED,
    ),
    several(
        row(
            "zdiff",
            -3,
            READ,
            ACCESS,
            Run::Joint(Joint {
                handler: combine::zdiff,
                target: |_| None,
            }),
            doc(
                "6.2.0",
                "O(N*K)+O(M*log(M)) where N is the size of the first key, K the number of keys and M the size of the result",
                "The members of one sorted set or set that are in none of the others",
                "numkeys key [key ...] [WITHSCORES]",
            ),
        ),
        Keys::COUNTED,
    ),
    several(
        row(
            "zintercard",
            -3,
            READ,
            ACCESS,
            Run::Joint(Joint {
                handler: combine::zintercard,
                target: |_| None,
            }),
            doc(
                "7.0.0",
                "O(N*K)+O(M*log(M)) where N is the size of the smallest key, K the number of keys and M the size of the result",
                "How many members are in all of several sorted sets or sets, counted up to a limit",
                "numkeys key [key ...] [LIMIT limit]",
            ),
        ),
        Keys::COUNTED,
    ),
    several(
        row(
            "zunionstore",
            -4,
            GROWS,
            &["OW", "update", "/", "RO", "access"],
            Run::Joint(Joint {
                handler: combine::zunionstore,
                target: |_| DESTINATION,
            }),
            doc(
                "2.0.0",
                "O(N)+O(M*log(M)) where N is the number of members of all keys and M that of the result",
                "Stores the members that are in any of several sorted sets or sets",
                "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>]",
            ),
        ),
        Keys::DESTINATION_COUNTED,
    ),
    several(
        row(
            "zinterstore",
            -4,
            GROWS,
            &["OW", "update", "/", "RO", "access"],
            Run::Joint(Joint {
                handler: combine::zinterstore,
                target: |_| DESTINATION,
            }),
            doc(
                "2.0.0",
                "O(N*K)+O(M*log(M)) where N is the size of the smallest key, K the number of keys and M the size of the result",
                "Stores the members that are in all of several sorted sets or sets",
                "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>]",
            ),
        ),
        Keys::DESTINATION_COUNTED,
    ),
    several(
        row(
            "zdiffstore",
            -4,
            GROWS,
            &["OW", "update", "/", "RO", "access"],
            Run::Joint(Joint {
                handler: combine::zdiffstore,
                target: |_| DESTINATION,
            }),
            doc(
                "6.2.0",
                "O(N*K)+O(M*log(M)) where N is the size of the first key, K the number of keys and M the size of the result",
                "Stores the members of one sorted set or set that are in none of the others",
                "destination numkeys key [key ...]",
            ),
        ),
        Keys::DESTINATION_COUNTED,
    ),
];
