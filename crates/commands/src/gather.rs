//! Commands over several shards, as data and plain functions: who takes part, each stage on a shard, one reply of all parts.
//! Nothing here moves anything between cores: the server does, and a test does it with a loop.
//! Decision 0001: keys are locked shard by shard in rising order, so that such a command is one moment over all shards.

pub use crate::plan::{Next, Place, Plan, Stage};
use crate::{
    Call, Command, Core, Error, Flags, Part, Progress, Reply, Run, ShardId, error, execute, joint,
    locks::Scope,
    log,
    reply_limit::ReplyLimit,
    room::{self, Room},
    row::{Decision, To, Turn},
    table::RowId,
};
use resp::{Args, Writer};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Where a command with this row and arguments runs. The server decides single-key commands itself; this serves all.
///
/// # Errors
/// What the row says of arguments that name no shard.
pub fn place(core: &Core, row: &Command, args: &Args<'_>) -> Result<Place, Error> {
    match row.run {
        Run::Here(_) | Run::Container => Ok(Place::Here),
        Run::Owner(_) => {
            let (hash, owner) = core.locate(args.at(row.keys.first as usize));
            Ok(Place::Owner(owner, hash))
        }
        Run::Fan(fan) => match fan.to {
            To::All => Ok(Place::Parts(everywhere(core.shards, fan.exclusive))),
            To::One(choose) => {
                let shard = choose(args, core.shards)?;
                Ok(Place::Parts(Plan {
                    shards: vec![(shard, None)],
                    locked: false,
                }))
            }
        },
        Run::Rounds(rounds) if core.shards > 1 && (rounds.is_wide)(args) => {
            Ok(Place::Parts(everywhere(core.shards, true)))
        }
        Run::Sum(_) | Run::Each(_) | Run::Atomic(_) | Run::Joint(_) | Run::Rounds(_) => {
            Ok(by_keys(core, row, args))
        }
    }
}

fn by_keys(core: &Core, row: &Command, args: &Args<'_>) -> Place {
    let mut located = row
        .keys
        .indexes(args)
        .map(|index| core.locate(args.at(index)));
    // Movable keys may be missing altogether; then the handler has an error to answer.
    let Some((first_hash, first_owner)) = located.next() else {
        return Place::Here;
    };
    if located.all(|(_, owner)| owner == first_owner) {
        return Place::Owner(first_owner, first_hash);
    }
    by_shards(core, row, args)
}

fn by_shards(core: &Core, row: &Command, args: &Args<'_>) -> Place {
    type Hashes = (Vec<u64>, Vec<u64>);
    let mut by_shard: Vec<Hashes> = vec![Hashes::default(); core.shards as usize];
    let changes = changes(row, args);
    for index in row.keys.indexes(args) {
        let (hash, owner) = core.locate(args.at(index));
        let (written, read) = &mut by_shard[owner.0 as usize];
        if changes(index) {
            written.push(hash);
        } else {
            read.push(hash);
        }
    }
    let concerned = |(shard, (written, mut read)): (usize, Hashes)| {
        read.retain(|hash| !written.contains(hash));
        let is_concerned = !written.is_empty() || !read.is_empty();
        let scope = Scope::Keys { written, read };
        is_concerned.then_some((ShardId(shard as u16), Some(scope)))
    };
    let shards = by_shard
        .into_iter()
        .enumerate()
        .filter_map(concerned)
        .collect();
    Place::Parts(Plan {
        shards,
        locked: true,
    })
}

/// Whether a command that runs whole on this core must wait for a lock; `hash` is that of its first key.
#[inline]
pub fn must_wait(core: &Core, row: &Command, args: &Args<'_>, hash: u64) -> bool {
    !core.locks.is_free() && meets_a_lock(core, row, args, hash)
}

#[inline(never)]
fn meets_a_lock(core: &Core, row: &Command, args: &Args<'_>, hash: u64) -> bool {
    let changes = changes(row, args);
    let blocks = |hash, writes| core.locks.blocks(hash) || writes && core.locks.is_read(hash);
    match row.run {
        Run::Owner(_) => blocks(hash, !row.flags.has(Flags::READONLY)),
        _ => row
            .keys
            .indexes(args)
            .any(|index| blocks(core.shard.hash(args.at(index)), changes(index))),
    }
}

/// Which of its keys a command may change, by their indexes.
fn changes(row: &Command, args: &Args<'_>) -> impl Fn(usize) -> bool + use<> {
    let writes = !row.flags.has(Flags::READONLY);
    let target = match row.run {
        Run::Joint(joint) => (joint.target)(args),
        _ => None,
    };
    move |index| writes && target.is_none_or(|target| target.index == index)
}

/// Table hashes of the keys that a command of this shard may change.
pub fn written(core: &Core, row: &Command, args: &Args<'_>) -> Vec<u64> {
    let changes = changes(row, args);
    let indexes = row.keys.indexes(args).filter(|&index| changes(index));
    indexes
        .map(|index| core.shard.hash(args.at(index)))
        .collect()
}

fn everywhere(shards: u16, locked: bool) -> Plan {
    let scope = locked.then_some(Scope::Everything);
    Plan {
        shards: (0..shards)
            .map(|shard| (ShardId(shard), scope.clone()))
            .collect(),
        locked,
    }
}

/// Runs one stage of a command on this core. A part that answers `Again` is called again after other work.
///
/// # Errors
/// The part's own, the refusal under memory pressure, or the internal error where a handler panicked.
pub fn run_stage(
    call: &mut Call<'_>,
    id: RowId,
    stage: Stage,
    part: &mut Part,
) -> Result<Progress, Error> {
    let row = crate::Table::instance().row(id);
    if stage == Stage::Part && row.flags.has(Flags::DENYOOM) {
        match room::ask(call, row) {
            Room::Yes => {}
            Room::Unsettled | Room::Wait => return Ok(Progress::Again),
            Room::No => return Err(error::OUT_OF_MEMORY.into()),
        }
    }
    let done = catch_unwind(AssertUnwindSafe(|| stage_of(call, row, stage, part)));
    done.unwrap_or_else(|_| {
        call.core.long = None;
        log::line(format_args!(
            "command '{}' panicked; its client got an error",
            row.name
        ));
        Err(error::INTERNAL.into())
    })
}

/// As [`run_stage`], for a row that need not stand in the table, with nothing refused or contained.
pub(crate) fn stage_of(
    call: &mut Call<'_>,
    row: &Command,
    stage: Stage,
    part: &mut Part,
) -> Result<Progress, Error> {
    let done = at_once(call, row, stage, part);
    if call.core.long.is_some() {
        return Ok(Progress::InSteps);
    }
    done
}

/// Runs a stage, or has it go on in steps.
fn at_once(
    call: &mut Call<'_>,
    row: &Command,
    stage: Stage,
    part: &mut Part,
) -> Result<Progress, Error> {
    match (stage, row.run) {
        (Stage::Release, _) => {}
        (Stage::Whole, _) => unreachable!("runs through `execute`"),
        (Stage::Commit, Run::Atomic(atomic)) => (atomic.commit)(call, part),
        (Stage::Commit, Run::Joint(joint)) => joint::commit(call, &joint, part),
        (Stage::Commit, Run::Rounds(rounds)) => (rounds.commit)(call, part),
        (Stage::Commit, _) => unreachable!("only commands that change keys together commit"),
        (Stage::Part | Stage::Again, Run::Rounds(rounds)) => return (rounds.part)(call, part),
        (Stage::Again, _) => unreachable!("only a command in rounds has a second"),
        (Stage::Part, Run::Fan(fan)) => return (fan.part)(call, part),
        (Stage::After, Run::Fan(fan)) => {
            return fan
                .after
                .map_or(Ok(Progress::Done), |after| after(call, part));
        }
        (Stage::After, _) => unreachable!("only fan-outs have a long rest"),
        (Stage::Part, Run::Atomic(atomic)) => (atomic.prepare)(call, part)?,
        (Stage::Part, Run::Joint(joint)) => *part = joint::copies_of_own(call, row, &joint)?,
        (Stage::Part, Run::Sum(count)) => *part = Part::Count(sum_of_own(call, row, count)),
        (Stage::Part, Run::Each(element)) => *part = own_elements(call, row, element)?,
        (Stage::Part, Run::Here(_) | Run::Owner(_) | Run::Container) => {
            unreachable!("has no parts")
        }
    }
    Ok(Progress::Done)
}

fn sum_of_own(
    call: &mut Call<'_>,
    row: &Command,
    count: fn(&mut Call<'_>, store::Key<'_>) -> i64,
) -> i64 {
    let mut sum = 0;
    for index in row.keys.indexes(&call.args) {
        if call.owns(index) {
            let key = call.other_key(index);
            sum += count(call, key);
        }
    }
    sum
}

fn own_elements(
    call: &mut Call<'_>,
    row: &Command,
    element: fn(&mut Call<'_>, store::Key<'_>, &mut Writer<'_>),
) -> Result<Part, Error> {
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    for index in row.keys.indexes(&call.args) {
        if call.owns(index) {
            let key = call.other_key(index);
            element(call, key, &mut Writer::new(&mut bytes, call.proto));
            ends.push(bytes.len());
            ReplyLimit::of(call).check(bytes.len())?;
        }
    }
    Ok(Part::Elements { bytes, ends })
}

/// Makes the reply of all parts, on the coordinator, and says how the command ends.
pub fn conclude(
    call: &mut Call<'_>,
    id: RowId,
    plan: &Plan,
    parts: &mut [Part],
    failed: Option<Error>,
    out: &mut Writer<'_>,
) -> Next {
    let row = crate::Table::instance().row(id);
    let start = out.len();
    if row.flags.has(Flags::DENYOOM) && failed == Some(error::OUT_OF_MEMORY.into()) {
        call.core.stats.calls[id.0 as usize].rejected += 1;
        execute::refuse(call, error::OUT_OF_MEMORY.into(), out);
        return Next::Release;
    }
    call.core.stats.commands_processed += 1;
    call.core.stats.calls[id.0 as usize].calls += 1;
    let concluded = match failed {
        Some(error) => Err(error),
        None => catch_unwind(AssertUnwindSafe(|| merge(call, row, plan, parts, out)))
            .unwrap_or_else(|_| {
                call.core.long = None;
                Err(error::INTERNAL.into())
            }),
    };
    match concluded {
        Ok(next) => {
            if next == Next::Again {
                // It is counted in its last round.
                call.core.stats.commands_processed -= 1;
                call.core.stats.calls[id.0 as usize].calls -= 1;
            }
            next
        }
        Err(error) => {
            out.truncate(start);
            call.core.stats.calls[id.0 as usize].failed += 1;
            execute::refuse(call, error, out);
            Next::Release
        }
    }
}

/// The reply that a conclusion in steps has led to, and how the command ends.
pub fn concluded(
    call: &mut Call<'_>,
    id: RowId,
    plan: &Plan,
    parts: &mut [Part],
    led_to: Result<Part, Error>,
) -> (Vec<Vec<u8>>, Next) {
    let row = crate::Table::instance().row(id);
    match (led_to, row.run) {
        (Ok(Part::Concluded(conclusion)), Run::Joint(joint)) => {
            joint::concluded(call, &joint, plan, parts, *conclusion)
        }
        (Ok(Part::Concluded(conclusion)), Run::Atomic(_)) => (conclusion.reply, Next::Release),
        (Ok(other), _) => unreachable!("a conclusion in steps leads to no {other:?}"),
        (Err(error), _) => {
            let mut bytes = Vec::new();
            call.core.stats.calls[id.0 as usize].failed += 1;
            execute::refuse(call, error, &mut Writer::new(&mut bytes, call.proto));
            (vec![bytes], Next::Release)
        }
    }
}

/// As [`conclude`], for a row that need not stand in the table, with nothing counted or contained.
pub(crate) fn merge(
    call: &mut Call<'_>,
    row: &Command,
    plan: &Plan,
    parts: &mut [Part],
    out: &mut Writer<'_>,
) -> Result<Next, Error> {
    match row.run {
        Run::Sum(_) => out.int(parts.iter().map(count_of).sum()),
        Run::Each(_) => in_key_order(call, row, plan, parts, out),
        Run::Fan(fan) => {
            (fan.merge)(call, parts, out)?;
            return Ok(if fan.after.is_some() {
                Next::After
            } else {
                Next::Release
            });
        }
        Run::Atomic(atomic) => {
            let decision = (atomic.decide)(call, parts, out)?;
            return Ok(match decision {
                _ if call.core.long.is_some() => Next::InSteps,
                Decision::Commit => Next::Commit,
                Decision::Abort => Next::Release,
            });
        }
        Run::Joint(joint) => return joint::conclude(call, &joint, plan, parts, out),
        Run::Rounds(rounds) => {
            return Ok(match (rounds.merge)(call, parts, out)? {
                Turn::Again => Next::Again,
                Turn::Done => Next::Release,
                Turn::Commit => Next::Commit,
            });
        }
        Run::Here(_) | Run::Owner(_) | Run::Container => unreachable!("has no parts"),
    }
    Ok(Next::Release)
}

fn count_of(part: &Part) -> i64 {
    match part {
        Part::Count(count) => *count,
        other => unreachable!("a sum has counts as parts, not {other:?}"),
    }
}

/// Puts the shards' elements back into the order of the keys in the command.
fn in_key_order(
    call: &mut Call<'_>,
    row: &Command,
    plan: &Plan,
    parts: &[Part],
    out: &mut Writer<'_>,
) {
    let mut taken = vec![0usize; plan.shards.len()];
    let indexes = row.keys.indexes(&call.args);
    out.array(indexes.clone().count());
    for index in indexes {
        let (_, owner) = call.core.locate(call.args.at(index));
        let place = plan.place_of(owner);
        let Part::Elements { bytes, ends } = &parts[place] else {
            unreachable!("elements were asked for")
        };
        let nth = taken[place];
        let start = if nth == 0 { 0 } else { ends[nth - 1] };
        out.raw(&bytes[start..ends[nth]]);
        taken[place] += 1;
    }
}

/// The check that a fan-out makes on the coordinator before anything is sent.
///
/// # Errors
/// The command's own.
pub fn check(call: &mut Call<'_>, row: &Command) -> Reply {
    match row.run {
        Run::Fan(fan) => (fan.check)(call),
        _ => Ok(()),
    }
}
