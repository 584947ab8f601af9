//! Running a row on a core: the refusals that hold for every command, the counters, and the containment of panics.
//! A handler that fails leaves nothing of its reply behind; a handler that panics answers an error and the core lives on.
//! Commands over several keys whose keys all lie here run whole, without locks.

use crate::{
    Call, Error, Flags, Part, Reply, Run, error, log,
    reply_limit::ReplyLimit,
    room::{self, Room},
    rounds,
    row::Decision,
    stats::CoreStats,
    steps::{self, Lookups},
    table::{RowId, Table},
};
use resp::Writer;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Ran {
    /// It is answered.
    Yes,
    /// Nothing happened yet: clients' bytes must be settled first.
    NotSettled,
    /// Nothing happened yet: it needs memory that is being freed.
    NotYet,
    /// Nothing happened yet: `Core::long` holds what it goes on with in steps.
    InSteps,
}

/// Runs a command whose data lie on this core, start to end, and writes its reply.
pub fn run(call: &mut Call<'_>, id: RowId, out: &mut Writer<'_>) -> Ran {
    let row = Table::instance().row(id);
    let start = out.len();
    if row.flags.has(Flags::DENYOOM) {
        match room::ask(call, row) {
            Room::Yes => {}
            Room::Unsettled => return Ran::NotSettled,
            Room::Wait => return Ran::NotYet,
            Room::No => {
                call.core.stats.calls[id.0 as usize].rejected += 1;
                refuse(call, error::OUT_OF_MEMORY.into(), out);
                return Ran::Yes;
            }
        }
    }
    call.core.stats.commands_processed += 1;
    call.core.stats.calls[id.0 as usize].calls += 1;
    let outcome = catch_unwind(AssertUnwindSafe(|| match row.run {
        Run::Here(handler) | Run::Owner(handler) => handler(call, out),
        _ => several_here(call, row, out),
    }));
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            out.truncate(start);
            if let Some(long) = &call.core.long {
                uncount(&mut call.core.stats, id, long.counted());
                return Ran::InSteps;
            }
            call.core.stats.calls[id.0 as usize].failed += 1;
            refuse(call, error, out);
        }
        Err(_) => {
            out.truncate(start);
            call.core.stats.calls[id.0 as usize].failed += 1;
            log::line(format_args!(
                "command '{}' panicked; its client got an error",
                row.name
            ));
            refuse(call, error::INTERNAL.into(), out);
        }
    }
    Ran::Yes
}

/// Counts a command that is answered, now that all of its steps are done.
pub fn count_long(stats: &mut CoreStats, id: RowId, lookups: Lookups) {
    stats.commands_processed += 1;
    stats.calls[id.0 as usize].calls += 1;
    stats.keyspace_hits += lookups.hits;
    stats.keyspace_misses += lookups.misses;
}

/// Counts a command that failed before any shard could run it.
pub fn count_failed(stats: &mut CoreStats, id: RowId) {
    count_long(stats, id, Lookups::default());
    stats.calls[id.0 as usize].failed += 1;
}

/// Counts a command that failed in one of its steps, and writes why.
pub fn fail_long(
    call: &mut Call<'_>,
    (id, lookups): (RowId, Lookups),
    error: Error,
    out: &mut Writer<'_>,
) {
    count_long(&mut call.core.stats, id, lookups);
    call.core.stats.calls[id.0 as usize].failed += 1;
    refuse(call, error, out);
}

/// Takes back what was counted of a command that is to be answered in steps.
#[cold]
fn uncount(stats: &mut CoreStats, id: RowId, lookups: Lookups) {
    stats.commands_processed -= 1;
    stats.calls[id.0 as usize].calls -= 1;
    stats.keyspace_hits -= lookups.hits;
    stats.keyspace_misses -= lookups.misses;
}

/// Writes an error reply and counts it.
pub fn refuse(call: &mut Call<'_>, error: Error, out: &mut Writer<'_>) {
    call.core.stats.count_error(&error.0);
    out.error_bytes(&error.0);
}

/// A command over several keys or shards, where this core alone is concerned.
pub(crate) fn several_here(
    call: &mut Call<'_>,
    row: &crate::Command,
    out: &mut Writer<'_>,
) -> Reply {
    match row.run {
        Run::Joint(joint) => (joint.handler)(call, out),
        Run::Rounds(rounds) => rounds::run_here(call, &rounds, out),
        Run::Sum(count) => {
            let mut sum = 0;
            for index in row.keys.indexes(&call.args) {
                let key = call.other_key(index);
                sum += count(call, key);
            }
            out.int(sum);
            Ok(())
        }
        Run::Each(element) => {
            let (indexes, start) = (row.keys.indexes(&call.args), out.len());
            out.array(indexes.clone().count());
            for index in indexes {
                let key = call.other_key(index);
                element(call, key, out);
                ReplyLimit::of(call).check(out.len() - start)?;
            }
            Ok(())
        }
        Run::Atomic(atomic) => {
            let mut parts = [Part::Empty];
            (atomic.prepare)(call, &mut parts[0])?;
            if (atomic.decide)(call, &mut parts, out)? == Decision::Commit {
                (atomic.commit)(call, &mut parts[0]);
            }
            if call.core.long.is_some() {
                return Err(steps::under_way());
            }
            Ok(())
        }
        Run::Here(_) | Run::Owner(_) | Run::Fan(_) | Run::Container => {
            unreachable!("runs by its own handler, or in parts")
        }
    }
}
