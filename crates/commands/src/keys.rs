//! Commands on keys whatever they hold: DEL UNLINK EXISTS TOUCH TYPE, and RENAME RENAMENX COPY MOVE.
//! Never shows an expired key, and never loses one on its way: what moves is put in place or never taken.
//! Source: redis-server 7; between shards decision 0001, a value travels detached from both.

use crate::row::{Atomic, Decision, Doc, Keys};
use crate::steps::{self, Lookups, Pieces, Sources, Stop, Target, copy, target};
use crate::{Call, Command, Error, Flags, Part, Reply, Run, error, lookup};
use resp::{Proto, Writer};
use store::{Detached, Key};

const SAME_OBJECT: &str = "ERR source and destination objects are the same";

fn delete(call: &mut Call<'_>, key: Key<'_>) -> i64 {
    let (db, now) = (call.db, call.now());
    i64::from(call.core.shard.remove(db, key, now))
}

fn exists(call: &mut Call<'_>, key: Key<'_>) -> i64 {
    i64::from(lookup::inspect(call, key).is_some())
}

fn touch(call: &mut Call<'_>, key: Key<'_>) -> i64 {
    // TOUCH is there to touch: a client's NO-TOUCH does not hold for it.
    let no_touch = std::mem::replace(&mut call.no_touch, false);
    let found = lookup::read(call, key).is_some();
    call.no_touch = no_touch;
    i64::from(found)
}

fn type_of(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let key = call.key(1);
    out.simple(lookup::inspect(call, key).map_or("none", |entry| entry.kind().name()));
    Ok(())
}

/// Which of a move's two keys lie on this core.
enum Side {
    Both,
    Source,
    Target,
}

fn side(call: &Call<'_>) -> Side {
    match (call.owns(1), call.owns(2)) {
        (true, true) => Side::Both,
        (true, false) => Side::Source,
        (false, true) => Side::Target,
        (false, false) => unreachable!("a core takes part only with a key of its own"),
    }
}

/// Bits of the number with which a core votes on a move within it, or towards it.
const SOURCE_LIVES: i64 = 1;
const TARGET_LIVES: i64 = 2;

/// Whether there is anything to move: not of a hash whose fields have all expired, which copies as a missing key.
fn has_content(call: &mut Call<'_>, key: Key<'_>) -> bool {
    let (db, now) = (call.db, call.now());
    let view = call.core.shard.view(db, key, false, now);
    view.is_some_and(|view| !view.hash().is_some_and(|hash| hash.is_empty()))
}

/// Says which of the keys live here; where the target lies elsewhere, hands over a copy of the source.
fn prepare_move(call: &mut Call<'_>, part: &mut Part, target_db: usize) -> Reply {
    if !call.owns(1) && !call.core.shard.has_room() {
        return Err(error::OUT_OF_MEMORY.into());
    }
    let (source, target) = (call.other_key(1), call.other_key(2));
    let (db, now) = (call.db, call.now());
    let target_vote = if call.core.shard.peek(target_db, target, now).is_some() {
        TARGET_LIVES
    } else {
        0
    };
    *part = match side(call) {
        Side::Both if has_content(call, source) => Part::Count(target_vote | SOURCE_LIVES),
        Side::Both | Side::Target => Part::Count(target_vote),
        Side::Source if takes_long(call, source) => {
            let sources = Sources::of(call, &[source]);
            let course = |steps| async move {
                let copies = copy::copies(&steps, sources).await?;
                Ok(Part::Values(copies))
            };
            return Err(steps::begin(call, Vec::new(), Lookups::default(), course));
        }
        Side::Source => Part::Values(vec![call.core.shard.copy_out(db, source, now)]),
    };
    Ok(())
}

/// Whether it takes long to copy what a key holds.
fn takes_long(call: &Call<'_>, key: Key<'_>) -> bool {
    let view = call.core.shard.view_beside(call.db, key, call.now());
    view.is_some_and(|view| copy::takes_long(&view))
}

/// Whether the source lives, and whether the target does.
fn votes(parts: &[Part]) -> (bool, bool) {
    parts
        .iter()
        .fold((false, false), |(source, target), part| match part {
            Part::Count(vote) => (
                source || vote & SOURCE_LIVES != 0,
                target || vote & TARGET_LIVES != 0,
            ),
            Part::Values(values) => (source || values[0].is_some(), target),
            other => unreachable!("a move has votes and values as parts, not {other:?}"),
        })
}

/// Gives the source's copy to the core that owns the target.
fn hand_over(parts: &mut [Part]) {
    if let [first, second] = parts {
        std::mem::swap(first, second);
    }
}

/// The copy that a decision handed to the target's core.
fn handed_over(part: &mut Part) -> Detached {
    match std::mem::take(part) {
        Part::Values(mut values) => values
            .pop()
            .flatten()
            .expect("the decision handed a value over"),
        other => unreachable!("the target's core gets a value, not {other:?}"),
    }
}

fn prepare_rename(call: &mut Call<'_>, part: &mut Part) -> Reply {
    prepare_move(call, part, call.db)
}

fn decide_rename(
    call: &mut Call<'_>,
    parts: &mut [Part],
    out: &mut Writer<'_>,
) -> Result<Decision, Error> {
    let (source_lives, _) = votes(parts);
    if !source_lives {
        return Err(error::NO_SUCH_KEY.into());
    }
    out.ok();
    if call.args.at(1) == call.args.at(2) {
        return Ok(Decision::Abort);
    }
    hand_over(parts);
    Ok(Decision::Commit)
}

fn decide_renamenx(
    _: &mut Call<'_>,
    parts: &mut [Part],
    out: &mut Writer<'_>,
) -> Result<Decision, Error> {
    let (source_lives, target_lives) = votes(parts);
    if !source_lives {
        return Err(error::NO_SUCH_KEY.into());
    }
    out.int(i64::from(!target_lives));
    if target_lives {
        return Ok(Decision::Abort);
    }
    hand_over(parts);
    Ok(Decision::Commit)
}

fn commit_rename(call: &mut Call<'_>, part: &mut Part) {
    let (source, target) = (call.other_key(1), call.other_key(2));
    let (db, now) = (call.db, call.now());
    match side(call) {
        Side::Both => {
            // The source may have ended since the vote; then both are gone, as if it had ended right afterwards.
            if !call.core.shard.rename((db, source), (db, target), now) {
                call.core.shard.remove(db, target, now);
            }
        }
        Side::Source => {
            call.core.shard.remove(db, source, now);
        }
        Side::Target => target::put_now_or_in_steps(call, db, target, handed_over(part)),
    }
}

/// Target database of COPY, and whether it replaces.
fn copy_options(call: &Call<'_>) -> Result<(usize, bool), Error> {
    let (mut target_db, mut replace) = (call.db, false);
    let mut index = 3;
    while index < call.args.len() {
        if call.is(index, "replace") {
            replace = true;
        } else if call.is(index, "db") && index + 1 < call.args.len() {
            index += 1;
            target_db = lookup::database(call, index)?;
        } else {
            return Err(error::SYNTAX.into());
        }
        index += 1;
    }
    Ok((target_db, replace))
}

fn prepare_copy(call: &mut Call<'_>, part: &mut Part) -> Reply {
    let (target_db, _) = copy_options(call)?;
    if target_db == call.db && call.args.at(1) == call.args.at(2) {
        return Err(SAME_OBJECT.into());
    }
    if call.owns(1) {
        let source = call.other_key(1);
        lookup::read(call, source);
    }
    prepare_move(call, part, target_db)
}

fn decide_copy(
    call: &mut Call<'_>,
    parts: &mut [Part],
    out: &mut Writer<'_>,
) -> Result<Decision, Error> {
    let (_, replace) = copy_options(call)?;
    let (source_lives, target_lives) = votes(parts);
    let copies = source_lives && (replace || !target_lives);
    out.int(i64::from(copies));
    if !copies {
        return Ok(Decision::Abort);
    }
    hand_over(parts);
    Ok(Decision::Commit)
}

fn commit_copy(call: &mut Call<'_>, part: &mut Part) {
    let (source, target) = (call.other_key(1), call.other_key(2));
    let (target_db, _) = copy_options(call).expect("the options were read before");
    let (db, now) = (call.db, call.now());
    let copy = match side(call) {
        Side::Both if takes_long(call, source) => {
            return copy_in_steps(call, source, (target_db, target));
        }
        Side::Both => call.core.shard.copy_out(db, source, now),
        Side::Source => None,
        Side::Target => Some(handed_over(part)),
    };
    if let Some(copy) = copy {
        target::put_now_or_in_steps(call, target_db, target, copy);
    }
}

/// Copies what takes long, where both keys are here.
fn copy_in_steps(call: &mut Call<'_>, source: Key<'_>, (db, target): (usize, Key<'_>)) {
    let sources = Sources::of(call, &[source]);
    let (locked, lookups) = (vec![source.hash, target.hash], sources.lookups());
    let target = Target::new(db, target);
    let course = |steps| async move {
        let (sources, mut copies) = copy::copies_of(&steps, sources).await?;
        let copy = copies.pop().flatten().ok_or(Stop::Lost)?;
        target::put(&steps, Some(sources), target, copy).await?;
        Ok(Pieces::new(Proto::Resp2, |out| out.int(1)).finish())
    };
    // The failure that this is is told by whoever called.
    steps::begin(call, locked, lookups, course);
}

fn move_to(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let target_db = lookup::database(call, 2)?;
    if target_db == call.db {
        return Err(SAME_OBJECT.into());
    }
    let (key, db, now) = (call.key(1), call.db, call.now());
    let moves = lookup::lives(call, key) && call.core.shard.peek(target_db, key, now).is_none();
    if moves {
        call.core.shard.rename((db, key), (target_db, key), now);
    }
    out.int(i64::from(moves));
    Ok(())
}

const fn row(
    name: &'static str,
    arity: i32,
    flags: Flags,
    keys: Keys,
    run: Run,
    doc: Doc,
) -> Command {
    Command {
        name,
        arity,
        flags,
        keys,
        key_flags: &["RO"],
        categories: &["keyspace"],
        tips: &[],
        run,
        doc,
        subcommands: &[],
    }
}

/// A command that counts keys, summed over the shards.
const fn counting(row: Command, key_flags: &'static [&'static str]) -> Command {
    Command {
        key_flags,
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        ..row
    }
}

const fn moving(row: Command, key_flags: &'static [&'static str]) -> Command {
    Command { key_flags, ..row }
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
        group: "generic",
        complexity,
        syntax,
    }
}

const FAST_WRITE: Flags = Flags::WRITE.and(Flags::FAST);
const FAST_READ: Flags = Flags::READONLY.and(Flags::FAST);
const PER_KEY: &str = "O(N) where N is the number of keys";
const BY_LENGTH: &str = "O(1) on one shard, O(N) between shards where N is the length of the value";

/// The commands of this family.
pub const ROWS: &[Command] = &[
    counting(
        row(
            "del",
            -2,
            Flags::WRITE,
            Keys::ALL,
            Run::Sum(delete),
            doc("1.0.0", PER_KEY, "Deletes keys", "key [key ...]"),
        ),
        &["RM", "delete"],
    ),
    counting(
        row(
            "unlink",
            -2,
            FAST_WRITE,
            Keys::ALL,
            Run::Sum(delete),
            doc(
                "4.0.0",
                PER_KEY,
                "Deletes keys; large values are freed later",
                "key [key ...]",
            ),
        ),
        &["RM", "delete"],
    ),
    counting(
        row(
            "exists",
            -2,
            FAST_READ,
            Keys::ALL,
            Run::Sum(exists),
            doc(
                "1.0.0",
                PER_KEY,
                "How many of the keys exist, each counted as often as it is named",
                "key [key ...]",
            ),
        ),
        &["RO"],
    ),
    counting(
        row(
            "touch",
            -2,
            FAST_READ,
            Keys::ALL,
            Run::Sum(touch),
            doc(
                "3.2.1",
                PER_KEY,
                "Marks keys as used just now and counts those that exist",
                "key [key ...]",
            ),
        ),
        &["RO"],
    ),
    row(
        "type",
        2,
        FAST_READ,
        Keys::FIRST,
        Run::Owner(type_of),
        doc("1.0.0", "O(1)", "What kind of value a key has", "key"),
    ),
    moving(
        row(
            "rename",
            3,
            Flags::WRITE,
            Keys::PAIR,
            Run::Atomic(Atomic {
                prepare: prepare_rename,
                decide: decide_rename,
                commit: commit_rename,
            }),
            doc(
                "1.0.0",
                BY_LENGTH,
                "Gives a value another key, over whatever that key held",
                "key newkey",
            ),
        ),
        &["RW", "access", "delete", "/", "OW", "update"],
    ),
    moving(
        row(
            "renamenx",
            3,
            FAST_WRITE,
            Keys::PAIR,
            Run::Atomic(Atomic {
                prepare: prepare_rename,
                decide: decide_renamenx,
                commit: commit_rename,
            }),
            doc(
                "1.0.0",
                BY_LENGTH,
                "Gives a value another key unless that key exists",
                "key newkey",
            ),
        ),
        &["RW", "access", "delete", "/", "OW", "insert"],
    ),
    moving(
        row(
            "copy",
            -3,
            Flags::WRITE.and(Flags::DENYOOM),
            Keys::PAIR,
            Run::Atomic(Atomic {
                prepare: prepare_copy,
                decide: decide_copy,
                commit: commit_copy,
            }),
            doc(
                "6.2.0",
                "O(N) where N is the length of the value",
                "Copies a value and its expiry to another key",
                "source destination [DB destination-db] [REPLACE]",
            ),
        ),
        &["RO", "access", "/", "OW", "update"],
    ),
    moving(
        row(
            "move",
            3,
            FAST_WRITE,
            Keys::FIRST,
            Run::Owner(move_to),
            doc("1.0.0", "O(1)", "Takes a key to another database", "key db"),
        ),
        &["RW", "access", "update"],
    ),
];
