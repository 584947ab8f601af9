//! Commands whose handler wants all keys in one place, run over keys of several shards: copied out, put together, sent back.
//! Never changes a key but the target, and never leaves anything in the scratch database, whatever the handler does.
//! Source: decision 0001 for the one moment; the copies are the price of handlers that know nothing of shards.

use crate::{
    Call, Command, Error, Part, error,
    gather::{Next, Plan},
    row::Joint,
};
use hashbrown::HashSet;
use resp::Writer;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use store::Detached;

/// Copies this shard's keys out and notes that they were read; a target that is replaced unseen stays where it is.
/// Hits and misses are counted where the handler looks.
pub fn copies_of_own(call: &mut Call<'_>, row: &Command, joint: &Joint) -> Result<Part, Error> {
    let target = (joint.target)(&call.args);
    let (args, db, now) = (call.args, call.db, call.now());
    let mut seen = HashSet::new();
    let mut copies = Vec::new();
    for index in row.keys.indexes(&args) {
        if !call.owns(index) {
            continue;
        }
        if let Some(target) = target.filter(|target| target.index == index) {
            // Committing cannot fail: the room for the new value must be there.
            if !call.core.shard.has_room() {
                return Err(error::OUT_OF_MEMORY.into());
            }
            if !target.reads {
                continue;
            }
        }
        if !seen.insert(args.at(index)) {
            continue;
        }
        let key = call.other_key(index);
        if !call.no_touch {
            call.core.shard.touch(db, key, now);
        }
        let copy = call.core.shard.copy_out(db, key, now);
        copies.extend(copy.map(|copy| (index, copy)));
    }
    Ok(Part::Copies(copies))
}

/// Runs the handler over all copies on the coordinator, and leaves the target's new value in its shard's part.
///
/// # Errors
/// The handler's own.
pub fn conclude(
    call: &mut Call<'_>,
    joint: &Joint,
    plan: &Plan,
    parts: &mut [Part],
    out: &mut Writer<'_>,
) -> Result<Next, Error> {
    let scratch = call.core.shard.scratch();
    let db = std::mem::replace(&mut call.db, scratch);
    let outcome = catch_unwind(AssertUnwindSafe(|| over_copies(call, joint, parts, out)));
    call.db = db;
    call.core.shard.clear_scratch();
    let value = outcome.unwrap_or_else(|panic| resume_unwind(panic))?;
    let Some(target) = (joint.target)(&call.args) else {
        return Ok(Next::Release);
    };
    let place = plan.place_of(call.core.owner(call.args.at(target.index)));
    parts[place] = Part::Values(vec![value]);
    Ok(Next::Commit)
}

/// The value that the handler leaves for the target, if it leaves one.
fn over_copies(
    call: &mut Call<'_>,
    joint: &Joint,
    parts: &mut [Part],
    out: &mut Writer<'_>,
) -> Result<Option<Detached>, Error> {
    let now = call.now();
    for part in parts {
        let copies = match std::mem::take(part) {
            Part::Copies(copies) => copies,
            other => unreachable!("a joint command has copies as parts, not {other:?}"),
        };
        for (index, copy) in copies {
            if !call.core.shard.has_room() {
                return Err(error::OUT_OF_MEMORY.into());
            }
            let key = call.other_key(index);
            call.core.shard.put(call.db, key, copy, now);
        }
    }
    (joint.handler)(call, out)?;
    let target = (joint.target)(&call.args);
    Ok(target.and_then(|target| {
        let key = call.other_key(target.index);
        call.core.shard.take(call.db, key, now)
    }))
}

/// Stores the target's new value on its shard, or removes the target.
pub fn commit(call: &mut Call<'_>, joint: &Joint, part: &mut Part) {
    let Part::Values(mut values) = std::mem::take(part) else {
        return;
    };
    let target = (joint.target)(&call.args).expect("only a command with a target commits");
    let (key, db, now) = (call.other_key(target.index), call.db, call.now());
    match values.pop().flatten() {
        Some(value) => call.core.shard.put(db, key, value, now),
        None => call.core.shard.remove(db, key, now),
    };
}
