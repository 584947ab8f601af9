//! Commands on whole databases: KEYS SCAN RANDOMKEY DBSIZE FLUSHALL FLUSHDB SWAPDB.
//! Never holds a core for longer than a step: walks and frees stop after a fixed amount of work and go on later.
//! Source: redis-server 7 for texts; SCAN's cursor has the shard in its upper bits and the place in its table below.

use crate::part::Walk;
use crate::row::{Doc, Fan, Keys, To};
use crate::{Call, Command, Error, Flags, Part, Progress, Reply, Run, ShardId, error, glob};
use resp::{Args, Proto, Writer};
use store::{Entry, Rng};

/// Slots of a table that one step of a walk visits: some tens of microseconds, a tenth of a millisecond when nothing is cached.
const SLOTS_PER_STEP: usize = 512;
/// Patterns up to this long cost a key no more than its visit; longer ones make steps shorter in proportion.
const PATTERN_BYTES_FREE: usize = 64;
/// The shortest step, a bucket of a table.
const SLOTS_PER_STEP_MIN: usize = 8;
/// Keys that one step of a flush frees; a key costs about as much as a visited slot.
const KEYS_FREED_PER_STEP: usize = 512;
/// Bits of SCAN's cursor below the shard. Ten bits remain for the shard within the 53 that every client library can hold.
const SHARD_SHIFT: u32 = store::CURSOR_BITS;
/// Slots that SCAN visits for each element it was asked for before it answers with fewer.
const SLOTS_PER_ELEMENT: u64 = 10;

const INVALID_CURSOR: &str = "ERR invalid cursor";

fn no_check(_: &mut Call<'_>) -> Reply {
    Ok(())
}

/// The walk of a part, begun if need be.
fn walk_of(part: &mut Part, start: u64) -> &mut Walk {
    if let Part::Empty = part {
        *part = Part::Walk(Walk {
            cursor: start,
            ..Walk::default()
        });
    }
    match part {
        Part::Walk(walk) => walk,
        other => unreachable!("a walk has no {other:?}"),
    }
}

/// What a walk looks for.
struct Filter<'a> {
    /// `None` is every key, the empty one included.
    pattern: Option<&'a [u8]>,
    /// Name of a type, in any case; `None` is every type.
    kind: Option<&'a [u8]>,
}

impl<'a> Filter<'a> {
    fn new(pattern: Option<&'a [u8]>, kind: Option<&'a [u8]>) -> Filter<'a> {
        Filter {
            pattern: pattern.filter(|&pattern| pattern != b"*"),
            kind,
        }
    }

    /// Slots that one step visits.
    fn slots_per_step(&self) -> usize {
        let pattern_bytes = self.pattern.map_or(0, <[u8]>::len).max(PATTERN_BYTES_FREE);
        (SLOTS_PER_STEP * PATTERN_BYTES_FREE / pattern_bytes).max(SLOTS_PER_STEP_MIN)
    }

    fn accepts(&self, key: &[u8], entry: &Entry<'_>) -> bool {
        self.pattern
            .is_none_or(|pattern| glob::matches(pattern, key))
            && self
                .kind
                .is_none_or(|kind| kind.eq_ignore_ascii_case(entry.kind().name().as_bytes()))
    }
}

/// One step of a walk. No key comes twice from one walk, whatever is written between its steps.
fn step(call: &mut Call<'_>, walk: &mut Walk, filter: &Filter<'_>, slots: usize) {
    let (db, now) = (call.db, call.now());
    let Walk {
        cursor,
        begun,
        covered,
        visited,
        seen,
        bytes,
        count,
    } = walk;
    // The encoding of a key is the same in both protocols.
    let mut out = Writer::new(bytes, Proto::Resp2);
    let shard = &call.core.shard;
    *cursor = shard.scan(db, *cursor, slots, now, &mut |key, entry| {
        *seen += 1;
        if filter.accepts(key, entry) && !(*begun && covered.has(shard.hash(key))) {
            out.bulk(key);
            *count += 1;
        }
    });
    *begun = true;
    covered.note(*cursor);
    *visited += slots as u64;
}

fn keys_part(call: &mut Call<'_>, part: &mut Part) -> Result<Progress, Error> {
    let filter = Filter::new(Some(call.args.at(1)), None);
    let walk = walk_of(part, 0);
    step(call, walk, &filter, filter.slots_per_step());
    Ok(if walk.cursor == 0 {
        Progress::Done
    } else {
        Progress::Again
    })
}

fn keys_merge(_: &mut Call<'_>, parts: &mut [Part], out: &mut Writer<'_>) -> Reply {
    let count = parts.iter().map(|part| walk_in(part).count as usize).sum();
    out.array(count);
    for part in parts {
        out.raw(&walk_in(part).bytes);
    }
    Ok(())
}

fn walk_in(part: &Part) -> &Walk {
    match part {
        Part::Walk(walk) => walk,
        other => unreachable!("a walk leaves no {other:?}"),
    }
}

/// The shard and the place in its table that a cursor names.
fn cursor_of(args: &Args<'_>, shards: u16) -> Result<(ShardId, u64), Error> {
    let text = args.at(1);
    let digits = text.iter().all(u8::is_ascii_digit) && !text.is_empty();
    let number: Option<u64> = std::str::from_utf8(text)
        .ok()
        .filter(|_| digits)
        .and_then(|text| text.parse().ok());
    let number = number.ok_or(INVALID_CURSOR)?;
    let (shard, place) = (number >> SHARD_SHIFT, number & ((1 << SHARD_SHIFT) - 1));
    if shard < u64::from(shards) {
        Ok((ShardId(shard as u16), place))
    } else {
        Err(INVALID_CURSOR.into())
    }
}

fn scan_shard(args: &Args<'_>, shards: u16) -> Result<ShardId, Error> {
    cursor_of(args, shards).map(|(shard, _)| shard)
}

/// What SCAN was asked for.
struct ScanOptions<'a> {
    filter: Filter<'a>,
    count: u64,
}

fn scan_options<'a>(call: &Call<'a>) -> Result<ScanOptions<'a>, Error> {
    const COUNT_DEFAULT: u64 = 10;
    let (mut pattern, mut kind, mut count) = (None, None, COUNT_DEFAULT);
    for index in (2..call.args.len()).step_by(2) {
        let Some(value) = call.args.get(index + 1) else {
            return Err(error::SYNTAX.into());
        };
        if call.is(index, "match") {
            pattern = Some(value);
        } else if call.is(index, "type") {
            kind = Some(value);
        } else if call.is(index, "count") {
            count = u64::try_from(call.int(index + 1)?)
                .ok()
                .filter(|&count| count > 0)
                .ok_or(error::SYNTAX)?;
        } else {
            return Err(error::SYNTAX.into());
        }
    }
    Ok(ScanOptions {
        filter: Filter::new(pattern, kind),
        count,
    })
}

fn scan_check(call: &mut Call<'_>) -> Reply {
    scan_options(call).map(|_| ())
}

fn scan_part(call: &mut Call<'_>, part: &mut Part) -> Result<Progress, Error> {
    let options = scan_options(call)?;
    let (_, start) = cursor_of(&call.args, call.core.shards)?;
    let walk = walk_of(part, start);
    // Steps small enough that a small COUNT is answered with about that many elements.
    let mut budget = options.filter.slots_per_step();
    let slots = usize::try_from(options.count).unwrap_or(budget).min(budget);
    let mut seen_or_done = false;
    while budget > 0 && !seen_or_done {
        step(call, walk, &options.filter, slots);
        budget = budget.saturating_sub(slots);
        seen_or_done = walk.cursor == 0
            || walk.seen >= options.count
            || walk.visited >= options.count.saturating_mul(SLOTS_PER_ELEMENT);
    }
    Ok(if seen_or_done {
        Progress::Done
    } else {
        Progress::Again
    })
}

fn scan_merge(call: &mut Call<'_>, parts: &mut [Part], out: &mut Writer<'_>) -> Reply {
    let (shard, _) = cursor_of(&call.args, call.core.shards)?;
    let walk = walk_in(&parts[0]);
    assert!(
        walk.cursor >> SHARD_SHIFT == 0,
        "a table's cursor leaves room for the shard"
    );
    let next_shard = u64::from(shard.0) + 1;
    let next = match walk.cursor {
        0 if next_shard < u64::from(call.core.shards) => next_shard << SHARD_SHIFT,
        0 => 0,
        cursor => u64::from(shard.0) << SHARD_SHIFT | cursor,
    };
    out.array(2);
    out.bulk_int(next as i64);
    out.array(walk.count as usize);
    out.raw(&walk.bytes);
    Ok(())
}

fn randomkey_part(call: &mut Call<'_>, part: &mut Part) -> Result<Progress, Error> {
    let (db, now) = (call.db, call.now());
    let mut rng = Rng::seeded(call.core.random());
    let key = call.core.shard.random_key(db, &mut rng, now);
    *part = Part::Drawn {
        key,
        keys: call.core.shard.len(db) as u64,
    };
    Ok(Progress::Done)
}

/// Draws among the shards' draws, each as likely as its shard has keys.
fn randomkey_merge(call: &mut Call<'_>, parts: &mut [Part], out: &mut Writer<'_>) -> Reply {
    let drawn = || {
        parts.iter().filter_map(|part| match part {
            Part::Drawn {
                key: Some(key),
                keys,
            } => Some((key, *keys)),
            _ => None,
        })
    };
    let total: u64 = drawn().map(|(_, keys)| keys).sum();
    if total == 0 {
        out.null();
        return Ok(());
    }
    let mut place = call.core.random() % total;
    for (key, keys) in drawn() {
        if place < keys {
            out.bulk(key);
            return Ok(());
        }
        place -= keys;
    }
    unreachable!("the place lies below the total")
}

fn dbsize_part(call: &mut Call<'_>, part: &mut Part) -> Result<Progress, Error> {
    *part = Part::Count(call.core.shard.len(call.db) as i64);
    Ok(Progress::Done)
}

fn sum_merge(_: &mut Call<'_>, parts: &mut [Part], out: &mut Writer<'_>) -> Reply {
    let counts = parts.iter().map(|part| match part {
        Part::Count(count) => *count,
        other => unreachable!("a sum has no {other:?}"),
    });
    out.int(counts.sum());
    Ok(())
}

fn ok_merge(_: &mut Call<'_>, _: &mut [Part], out: &mut Writer<'_>) -> Reply {
    out.ok();
    Ok(())
}

/// Whether the caller waits until everything is freed.
fn frees_at_once(call: &Call<'_>) -> Result<bool, Error> {
    match call.args.len() {
        1 => Ok(!call.core.config.lazyfree_lazy_user_flush),
        2 if call.is(1, "sync") => Ok(true),
        2 if call.is(1, "async") => Ok(false),
        _ => Err(error::SYNTAX.into()),
    }
}

fn flush_check(call: &mut Call<'_>) -> Reply {
    frees_at_once(call).map(|_| ())
}

/// Detaches the databases, which empties them for everybody at once.
fn flushall_part(call: &mut Call<'_>, _: &mut Part) -> Result<Progress, Error> {
    for db in 0..call.core.shard.databases() {
        call.core.shard.detach_database(db);
    }
    Ok(Progress::Done)
}

fn flushdb_part(call: &mut Call<'_>, _: &mut Part) -> Result<Progress, Error> {
    let db = call.db;
    call.core.shard.detach_database(db);
    Ok(Progress::Done)
}

/// Frees what was detached, step by step, while others go on; for ASYNC the core's background work does it.
fn free_part(call: &mut Call<'_>, _: &mut Part) -> Result<Progress, Error> {
    let more = frees_at_once(call)? && call.core.shard.free_step(KEYS_FREED_PER_STEP);
    Ok(if more {
        Progress::Again
    } else {
        Progress::Done
    })
}

fn swap_databases(call: &Call<'_>) -> Result<[usize; 2], Error> {
    let database = |index: usize, text: &'static str| {
        let number = resp::number::parse_i64(call.args.at(index));
        number
            .and_then(|number| i32::try_from(number).ok())
            .ok_or_else(|| Error::from(text))
    };
    let pair = [
        database(1, "ERR invalid first DB index")?,
        database(2, "ERR invalid second DB index")?,
    ];
    let databases = call.core.shard.databases() as i64;
    if pair
        .iter()
        .all(|&db| (0..databases).contains(&i64::from(db)))
    {
        Ok(pair.map(|db| db as usize))
    } else {
        Err(error::DB_OUT_OF_RANGE.into())
    }
}

fn swapdb_check(call: &mut Call<'_>) -> Reply {
    swap_databases(call).map(|_| ())
}

fn swapdb_part(call: &mut Call<'_>, _: &mut Part) -> Result<Progress, Error> {
    let [first, second] = swap_databases(call)?;
    call.core.shard.swap_databases(first, second);
    Ok(Progress::Done)
}

const fn row(
    name: &'static str,
    arity: i32,
    flags: Flags,
    categories: &'static [&'static str],
    tips: &'static [&'static str],
    fan: Fan,
    doc: Doc,
) -> Command {
    Command {
        name,
        arity,
        flags,
        keys: Keys::NONE,
        key_flags: &[],
        categories,
        tips,
        run: Run::Fan(fan),
        doc,
        subcommands: &[],
    }
}

const FAST_READ: Flags = Flags::READONLY.and(Flags::FAST);
const KEYSPACE: &[&str] = &["keyspace"];
const DANGEROUS: &[&str] = &["keyspace", "dangerous"];
const ALL_SUCCEEDED: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];

/// The commands of this family.
pub const ROWS: &[Command] = &[
    row(
        "keys",
        2,
        Flags::READONLY,
        DANGEROUS,
        &["request_policy:all_shards", "nondeterministic_output_order"],
        Fan {
            to: To::All,
            exclusive: false,
            check: no_check,
            part: keys_part,
            merge: keys_merge,
            after: None,
        },
        Doc {
            summary: "All keys that match a pattern",
            since: "1.0.0",
            group: "generic",
            complexity: "O(N) where N is the number of keys in the database",
            syntax: "pattern",
        },
    ),
    row(
        "scan",
        -2,
        Flags::READONLY,
        KEYSPACE,
        &["nondeterministic_output", "request_policy:special"],
        Fan {
            to: To::One(scan_shard),
            exclusive: false,
            check: scan_check,
            part: scan_part,
            merge: scan_merge,
            after: None,
        },
        Doc {
            summary: "Some keys, and a cursor from which to go on",
            since: "2.8.0",
            group: "generic",
            complexity: "O(COUNT) a call, O(N) for all N keys",
            syntax: "cursor [MATCH pattern] [COUNT count] [TYPE type]",
        },
    ),
    row(
        "randomkey",
        1,
        Flags::READONLY,
        KEYSPACE,
        &["request_policy:all_shards", "nondeterministic_output"],
        Fan {
            to: To::All,
            exclusive: false,
            check: no_check,
            part: randomkey_part,
            merge: randomkey_merge,
            after: None,
        },
        Doc {
            summary: "Any key of the database",
            since: "1.0.0",
            group: "generic",
            complexity: "O(1)",
            syntax: "",
        },
    ),
    row(
        "dbsize",
        1,
        FAST_READ,
        KEYSPACE,
        &["request_policy:all_shards", "response_policy:agg_sum"],
        Fan {
            to: To::All,
            exclusive: false,
            check: no_check,
            part: dbsize_part,
            merge: sum_merge,
            after: None,
        },
        Doc {
            summary: "The number of keys in the database",
            since: "1.0.0",
            group: "server",
            complexity: "O(1)",
            syntax: "",
        },
    ),
    row(
        "flushall",
        -1,
        Flags::WRITE,
        DANGEROUS,
        ALL_SUCCEEDED,
        Fan {
            to: To::All,
            exclusive: true,
            check: flush_check,
            part: flushall_part,
            merge: ok_merge,
            after: Some(free_part),
        },
        Doc {
            summary: "Deletes every key of every database",
            since: "1.0.0",
            group: "server",
            complexity: "O(N) where N is the number of keys; others wait for none of it",
            syntax: "[ASYNC | SYNC]",
        },
    ),
    row(
        "flushdb",
        -1,
        Flags::WRITE,
        DANGEROUS,
        ALL_SUCCEEDED,
        Fan {
            to: To::All,
            exclusive: true,
            check: flush_check,
            part: flushdb_part,
            merge: ok_merge,
            after: Some(free_part),
        },
        Doc {
            summary: "Deletes every key of the database",
            since: "1.0.0",
            group: "server",
            complexity: "O(N) where N is the number of keys",
            syntax: "[ASYNC | SYNC]",
        },
    ),
    row(
        "swapdb",
        3,
        Flags::WRITE.and(Flags::FAST),
        DANGEROUS,
        &[],
        Fan {
            to: To::All,
            exclusive: true,
            check: swapdb_check,
            part: swapdb_part,
            merge: ok_merge,
            after: None,
        },
        Doc {
            summary: "Exchanges the content of two databases",
            since: "4.0.0",
            group: "server",
            complexity: "O(1)",
            syntax: "index1 index2",
        },
    ),
];
