//! Commands whose handler wants all keys in one place, run over keys of several shards: copied out, put together, sent back.
//! Never changes a key but the target, and never leaves anything in the database that it borrows, whatever the handler does.
//! Source: decision 0001 for the one moment; the copies are the price of handlers that know nothing of shards.

use crate::{
    Call, Command, Core, Error, Part, error,
    part::Conclusion,
    plan::{Next, Plan},
    reading,
    row::Joint,
    steps::{self, Long, Lookups, Sources, Steps, Stop, Target, copy, target},
};
use hashbrown::HashSet;
use resp::{OwnedArgs, Proto, Writer};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use store::{Detached, Key};

/// Copies this shard's keys out and notes that they were read; a target that is replaced unseen stays where it is.
/// Hits and misses are counted where the handler looks.
pub fn copies_of_own(call: &mut Call<'_>, row: &Command, joint: &Joint) -> Result<Part, Error> {
    let target = (joint.target)(&call.args);
    let (args, db, now) = (call.args, call.db, call.now());
    let mut seen = HashSet::new();
    let (mut indexes, mut keys) = (Vec::new(), Vec::new());
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
        indexes.push(index);
        keys.push(key);
    }
    let takes_long = |key: &Key<'_>| {
        let view = call.core.shard.view_beside(db, *key, now);
        view.is_some_and(|view| copy::takes_long(&view))
    };
    if keys.iter().any(takes_long) {
        let sources = Sources::of(call, &keys);
        let course = |steps| async move {
            let copies = copy::copies(&steps, sources).await?;
            Ok(copies_at(indexes, copies))
        };
        return Err(steps::begin(call, Vec::new(), Lookups::default(), course));
    }
    let copies = keys
        .iter()
        .map(|key| call.core.shard.copy_out(db, *key, now));
    let copies = copies.collect();
    Ok(copies_at(indexes, copies))
}

fn copies_at(indexes: Vec<usize>, copies: Vec<Option<Detached>>) -> Part {
    let copies = indexes.into_iter().zip(copies);
    Part::Copies(
        copies
            .filter_map(|(index, copy)| Some((index, copy?)))
            .collect(),
    )
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
    if takes_long(parts) {
        conclude_in_steps(call, joint, parts);
        return Ok(Next::InSteps);
    }
    let borrowed = call.core.shard.borrow_database();
    let db = std::mem::replace(&mut call.db, borrowed);
    let outcome = catch_unwind(AssertUnwindSafe(|| over_copies(call, joint, parts, out)));
    call.db = db;
    if let Some(long) = call.core.long.take() {
        // Small copies of which much is made: the handler has said so in place of an answer.
        let asked = Asked::by(call, joint);
        go_on_in_steps(call, |steps| go_on(steps, asked, borrowed, long));
        return Ok(Next::InSteps);
    }
    call.core.shard.return_database(borrowed);
    let value = outcome.unwrap_or_else(|panic| resume_unwind(panic))?;
    Ok(hand_over(call, joint, plan, parts, value))
}

/// Gives the target's shard what the target is to hold, if there is one.
fn hand_over(
    call: &Call<'_>,
    joint: &Joint,
    plan: &Plan,
    parts: &mut [Part],
    value: Option<Detached>,
) -> Next {
    let Some(target) = (joint.target)(&call.args) else {
        return Next::Release;
    };
    let place = plan.place_of(call.core.owner(call.args.at(target.index)));
    parts[place] = Part::Values(vec![value]);
    Next::Commit
}

/// Whether it takes long to put the copies together.
fn takes_long(parts: &[Part]) -> bool {
    let copies = parts.iter().flat_map(|part| match part {
        Part::Copies(copies) => &copies[..],
        _ => &[],
    });
    let (mut elements, mut bytes) = (0, 0);
    for (_, copy) in copies {
        elements += copy.elements();
        bytes += copy.heap_bytes() as u64;
    }
    elements > 1 && reading::takes_long(elements, bytes)
}

/// As `over_copies`, in steps, in a database that is borrowed.
fn conclude_in_steps(call: &mut Call<'_>, joint: &Joint, parts: &mut [Part]) {
    let copies = parts
        .iter_mut()
        .flat_map(|part| match std::mem::take(part) {
            Part::Copies(copies) => copies,
            other => unreachable!("a joint command has copies as parts, not {other:?}"),
        });
    let copies: Vec<_> = copies.collect();
    let bytes: usize = copies.iter().map(|(_, copy)| copy.heap_bytes()).sum();
    let asked = Asked::by(call, joint);
    go_on_in_steps(call, |steps| conclusion(steps, asked, copies));
    let long = call.core.long.as_mut().expect("it was begun");
    long.hold(bytes);
}

/// The locks of all shards' keys are held already.
fn go_on_in_steps<F>(call: &mut Call<'_>, course: impl FnOnce(Steps) -> F)
where
    F: Future<Output = Result<Part, Stop>> + 'static,
{
    steps::begin(call, Vec::new(), Lookups::default(), course);
}

/// A joint command without its call.
struct Asked {
    args: OwnedArgs,
    proto: Proto,
    no_touch: bool,
    joint: Joint,
}

impl Asked {
    fn by(call: &Call<'_>, joint: &Joint) -> Asked {
        Asked {
            args: OwnedArgs::from_args(call.args),
            proto: call.proto,
            no_touch: call.no_touch,
            joint: *joint,
        }
    }

    fn call<'c>(&'c self, core: &'c mut Core, db: usize) -> Call<'c> {
        Call {
            core,
            args: self.args.as_args(),
            db,
            proto: self.proto,
            hash: 0,
            client: None,
            no_touch: self.no_touch,
        }
    }

    fn key<'c>(&'c self, core: &Core, index: usize) -> Key<'c> {
        core.shard.key(self.args.as_args().at(index))
    }
}

async fn conclusion(
    steps: Steps,
    asked: Asked,
    copies: Vec<(usize, Detached)>,
) -> Result<Part, Stop> {
    let (asked, db) = (Rc::new(asked), steps.borrow_database().await);
    for (index, copy) in copies {
        let asked = Rc::clone(&asked);
        let target = steps.ask(move |core| Target::new(db, asked.key(core, index)));
        target::put(&steps, None, target.await, copy).await?;
    }
    let reply = handled(&steps, &asked, db).await?;
    outcome(&steps, asked, db, reply).await
}

/// Goes on with what the handler has begun over the copies.
async fn go_on(steps: Steps, asked: Asked, db: usize, long: Box<Long>) -> Result<Part, Stop> {
    steps.adopt_database(db);
    let reply = answered(&steps, long).await?;
    outcome(&steps, Rc::new(asked), db, reply).await
}

/// The reply, and what the target is to hold.
async fn outcome(
    steps: &Steps,
    asked: Rc<Asked>,
    db: usize,
    reply: Vec<Vec<u8>>,
) -> Result<Part, Stop> {
    let target = (asked.joint.target)(&asked.args.as_args());
    let value = match target {
        Some(target) => {
            let asked = Rc::clone(&asked);
            let source = move |core: &mut Core| {
                let key = asked.key(core, target.index);
                Sources::of(&asked.call(core, db), &[key])
            };
            let sources = steps.ask(source).await;
            Some(copy::copies(steps, sources).await?.pop().flatten())
        }
        None => None,
    };
    Ok(Part::Concluded(Box::new(Conclusion { reply, value })))
}

/// The reply of the handler, be it at once or in steps.
async fn handled(steps: &Steps, asked: &Rc<Asked>, db: usize) -> Result<Vec<Vec<u8>>, Stop> {
    let asked = Rc::clone(asked);
    let run = move |core: &mut Core| {
        let mut bytes = Vec::new();
        let out = &mut Writer::new(&mut bytes, asked.proto);
        let done = (asked.joint.handler)(&mut asked.call(core, db), out);
        (core.long.take(), done, bytes)
    };
    match steps.ask(run).await {
        (None, done, bytes) => {
            done?;
            Ok(vec![bytes])
        }
        (Some(long), ..) => answered(steps, long).await,
    }
}

/// What a handler in steps answers.
async fn answered(steps: &Steps, long: Box<Long>) -> Result<Vec<Vec<u8>>, Stop> {
    match steps.take_over(long).await? {
        Part::Reply(pieces) => Ok(pieces),
        other => unreachable!("a handler in steps is answered, not {other:?}"),
    }
}

/// What a conclusion in steps has led to: the reply, and how the command ends.
pub fn concluded(
    call: &Call<'_>,
    joint: &Joint,
    plan: &Plan,
    parts: &mut [Part],
    conclusion: Conclusion,
) -> (Vec<Vec<u8>>, Next) {
    let Conclusion { reply, value } = conclusion;
    let next = match value {
        Some(value) => hand_over(call, joint, plan, parts, value),
        None => Next::Release,
    };
    (reply, next)
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
        call.core.shard.copy_out(call.db, key, now)
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
        Some(value) => target::put_now_or_in_steps(call, db, key, value),
        None => _ = call.core.shard.remove(db, key, now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{Keys, Target};
    use crate::trial::{self, Trial};
    use crate::{Reply, Run, lookup};
    use store::{Expiry, Millis, Value};

    const LATER: Millis = Millis(1_800_000_000_000);

    /// `concat destination numkeys key [key ...]`: the keys' texts one after the other, with the first one's expiry.
    fn concat(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
        let count = call.int(2)?;
        let indexes = crate::row::Keys::COUNTED_SECOND.indexes(&call.args);
        if count < 1 || indexes.clone().count() == 0 {
            return Err(error::SYNTAX.into());
        }
        let (mut text, mut expiry) = (Vec::new(), None);
        for index in indexes {
            let key = call.other_key(index);
            if let Some(entry) = lookup::read(call, key) {
                expiry = expiry.or(entry.expiry());
                lookup::with_text(entry.value(), |part| text.extend_from_slice(part));
            }
        }
        store_text(call, &text, expiry);
        match &text[..] {
            b"fails" => return Err(error::SYNTAX.into()),
            b"panics" => panic!("as it was told"),
            _ => {}
        }
        out.bulk(&text);
        Ok(())
    }

    fn store_text(call: &mut Call<'_>, text: &[u8], expiry: Option<Millis>) {
        let (key, db, now) = (call.other_key(1), call.db, call.now());
        if text.is_empty() {
            call.core.shard.remove(db, key, now);
            return;
        }
        let expiry = expiry.map_or(Expiry::Clear, Expiry::At);
        let value = Value::from_bytes(text);
        call.core.shard.set(db, key, value, expiry, now);
    }

    /// `extend destination key`: appends the key's text, and keeps the destination's expiry.
    fn extend(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
        let (mut text, mut expiry) = (Vec::new(), None);
        for index in [1, 2] {
            let key = call.other_key(index);
            if let Some(entry) = lookup::read(call, key) {
                expiry = expiry.or(entry.expiry());
                lookup::with_text(entry.value(), |part| text.extend_from_slice(part));
            }
        }
        store_text(call, &text, expiry);
        out.int(text.len() as i64);
        Ok(())
    }

    fn concat_row() -> Command {
        Command {
            keys: Keys::DESTINATION_COUNTED,
            run: Run::Joint(Joint {
                handler: concat,
                target: |_| {
                    Some(Target {
                        index: 1,
                        reads: false,
                    })
                },
            }),
            ..trial::row()
        }
    }

    fn extend_row() -> Command {
        Command {
            keys: Keys::PAIR,
            run: Run::Joint(Joint {
                handler: extend,
                target: |_| {
                    Some(Target {
                        index: 1,
                        reads: true,
                    })
                },
            }),
            ..trial::row()
        }
    }

    /// Trials with one, two and four shards, and every core as coordinator.
    fn everywhere(mut test: impl FnMut(&mut Trial)) {
        for shards in [1, 2, 4] {
            for coordinator in 0..shards {
                let mut trial = Trial::new(shards);
                trial.coordinator = coordinator.into();
                test(&mut trial);
            }
        }
    }

    #[test]
    fn keys_of_several_shards_are_read_as_if_they_lay_on_one() {
        everywhere(|trial| {
            for n in 0..20 {
                trial.set(&format!("k{n}"), &format!("<{n}>"), Expiry::Clear);
            }
            trial.set("k3", "<3>", Expiry::At(LATER));
            let sent = trial.run(&concat_row(), "concat d 5 k7 k3 missing k12 k7");
            assert_eq!(sent, "$13\r\n<7><3><12><7>\r\n");
            let stored = ("<7><3><12><7>".to_owned(), Some(LATER));
            assert_eq!(trial.value("d"), Some(stored));
            assert_eq!(trial.value("k7").unwrap().0, "<7>");
        });
    }

    #[test]
    fn a_target_that_is_also_a_source_is_read_before_it_is_replaced() {
        everywhere(|trial| {
            trial.set("a", "1", Expiry::Clear);
            trial.set("b", "2", Expiry::Clear);
            trial.run(&concat_row(), "concat a 3 b a b");
            assert_eq!(trial.value("a"), Some(("212".to_owned(), None)));
        });
    }

    #[test]
    fn a_target_that_the_handler_leaves_empty_is_removed() {
        everywhere(|trial| {
            trial.set("d", "old", Expiry::Clear);
            trial.run(&concat_row(), "concat d 2 missing absent");
            assert_eq!(trial.value("d"), None);
        });
    }

    #[test]
    fn a_target_that_is_read_keeps_what_the_handler_keeps() {
        everywhere(|trial| {
            trial.set("d", "old", Expiry::At(LATER));
            trial.set("s", "new", Expiry::Clear);
            assert_eq!(trial.run(&extend_row(), "extend d s"), ":6\r\n");
            assert_eq!(trial.value("d"), Some(("oldnew".to_owned(), Some(LATER))));
        });
    }

    #[test]
    fn a_handler_that_fails_between_shards_changes_nothing() {
        for shards in [2, 4] {
            let mut trial = Trial::new(shards);
            let keys: Vec<String> = (0..20).map(|n| format!("k{n}")).collect();
            let owner = |trial: &Trial, key: &str| trial.cores[0].owner(key.as_bytes());
            let elsewhere = |key: &&String| owner(&trial, key) != owner(&trial, "d");
            let source = keys.iter().find(elsewhere).unwrap().clone();
            trial.set(&source, "fails", Expiry::Clear);
            trial.set("d", "old", Expiry::Clear);
            let sent = trial.run(&concat_row(), &format!("concat d 1 {source}"));
            assert_eq!(sent, "-ERR syntax error\r\n");
            assert_eq!(trial.value("d"), Some(("old".to_owned(), None)));
        }
    }

    #[test]
    fn a_handler_that_panics_leaves_nothing_in_the_database_it_had() {
        let mut trial = Trial::new(4);
        for n in 0..4 {
            trial.set(&format!("k{n}"), ["p", "an", "ic", "s"][n], Expiry::Clear);
        }
        trial.set("d", "old", Expiry::Clear);
        let run = AssertUnwindSafe(|| trial.run(&concat_row(), "concat d 4 k0 k1 k2 k3"));
        assert!(catch_unwind(run).is_err());
        trial
            .cores
            .iter_mut()
            .for_each(trial::assert_nothing_is_borrowed);
        assert_eq!(trial.value("d"), Some(("old".to_owned(), None)));
    }

    #[test]
    fn arguments_without_keys_are_answered_by_the_handler() {
        everywhere(|trial| {
            let row = Command {
                keys: Keys::COUNTED_SECOND,
                ..concat_row()
            };
            for count in ["0", "9", "x"] {
                let sent = trial.run(&row, &format!("concat d {count} a b"));
                assert!(sent.starts_with("-ERR"), "{sent}");
            }
        });
    }

    #[test]
    fn source_keys_count_as_used_on_their_shards() {
        let mut trial = Trial::new(4);
        for n in 0..8 {
            trial.set(&format!("k{n}"), "v", Expiry::Clear);
        }
        let idle_ms = |trial: &mut Trial, set_ms: Option<i64>| -> Vec<Option<i64>> {
            let found = (0..8).map(|n| {
                let name = format!("k{n}");
                let owner = trial.cores[0].owner(name.as_bytes()).0 as usize;
                let shard = &mut trial.cores[owner].shard;
                let key = shard.key(name.as_bytes());
                if let Some(set_ms) = set_ms {
                    shard.set_idle(0, key, set_ms, trial::START);
                }
                shard.idle_ms(0, key, trial::START)
            });
            found.collect()
        };
        assert_eq!(idle_ms(&mut trial, Some(60_000)), [Some(60_000); 8]);
        trial.run(&concat_row(), "concat d 8 k0 k1 k2 k3 k4 k5 k6 k7");
        assert_eq!(idle_ms(&mut trial, None), [Some(0); 8]);
    }
}
