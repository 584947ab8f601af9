//! SORT and SORT_RO: the elements of a list, set or sorted set in an order, and what keys made of them hold.
//! Never reads a key that neither the arguments name nor a pattern makes, and never changes one but the target.
//! Source: redis-server 7 for grammar, texts, ties and limits; text is compared by its bytes, as in C's own locale.

mod order;
mod patterns;
mod request;
mod share;
mod steps;
mod work;

pub use share::Share;

use crate::row::{Doc, Keys, Rounds, Turn};
use crate::steps::target;
use crate::{Call, Command, Error, Flags, Part, Progress, Run};
use request::Request;
use resp::{Args, Writer};
use store::{Content, Detached};

/// Whether keys are made of elements, which may lie anywhere.
fn is_wide<const STORES: bool>(args: &Args<'_>) -> bool {
    Request::read(args, STORES).is_ok_and(|request| request.makes_keys())
}

fn part<const STORES: bool>(call: &mut Call<'_>, part: &mut Part) -> Result<Progress, Error> {
    match part {
        Part::Empty => {
            let request = Request::read(&call.args, STORES)?;
            if call.owns(1) && request.target.is_some_and(|target| !call.owns(target)) {
                steps::begin_share(call, STORES)?;
            }
            *part = Part::Sort(Box::new(Share::first(call, &request)?));
            Ok(Progress::Done)
        }
        part => share_of(part).look_up(call),
    }
}

fn merge<const STORES: bool>(
    call: &mut Call<'_>,
    parts: &mut [Part],
    out: &mut Writer<'_>,
) -> Result<Turn, Error> {
    let request = Request::read(&call.args, STORES)?;
    let mut shares: Vec<&mut Share> = parts.iter_mut().map(share_of).collect();
    if let Some(sorted) = shares.iter_mut().find_map(|share| share.sorted.take()) {
        out.int(sorted.len() as i64);
        work::hand_over(&mut shares, sorted);
        return Ok(Turn::Commit);
    }
    work::advance(call, &request, &mut shares, out)
}

/// Stores the sorted elements under the target, or removes it when there are none.
fn commit<const STORES: bool>(call: &mut Call<'_>, part: &mut Part) {
    // What else a share has goes now, not when all is stored.
    let Some(result) = share_of(&mut std::mem::take(part)).result.take() else {
        return;
    };
    let request = Request::read(&call.args, STORES).expect("the arguments were read before");
    let target = request.target.expect("only what is stored is committed");
    let (key, db, now) = (call.other_key(target), call.db, call.now());
    if result.is_empty() {
        call.core.shard.remove(db, key, now);
    } else {
        let list = Detached::of(Content::List(result), None);
        target::put_now_or_in_steps(call, db, key, list);
    }
}

fn share_of(part: &mut Part) -> &mut Share {
    match part {
        Part::Sort(share) => share,
        other => unreachable!("a shard's share in SORT is not {other:?}"),
    }
}

const fn row(
    name: &'static str,
    flags: Flags,
    keys: Keys,
    key_flags: &'static [&'static str],
    rounds: Rounds,
    doc: Doc,
) -> Command {
    Command {
        name,
        arity: -2,
        flags,
        keys,
        key_flags,
        categories: &["set", "sortedset", "list", "dangerous"],
        tips: &[],
        run: Run::Rounds(rounds),
        doc,
        subcommands: &[],
    }
}

const COMPLEXITY: &str =
    "O(N+M*log(M)) where N is the number of elements and M how many are answered";

/// The commands of this family.
pub const ROWS: &[Command] = &[
    row(
        "sort",
        Flags::WRITE.and(Flags::DENYOOM),
        Keys::SORT,
        &["RO", "access", "/", "RO", "access", "/", "OW", "update"],
        Rounds {
            is_wide: is_wide::<true>,
            in_steps: |call| steps::begin(call, true),
            part: part::<true>,
            merge: merge::<true>,
            commit: commit::<true>,
        },
        Doc {
            summary: "The elements of a list, set or sorted set in an order, or what keys made of them hold; answers or stores them",
            since: "1.0.0",
            group: "generic",
            complexity: COMPLEXITY,
            syntax: "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC|DESC] [ALPHA] [STORE destination]",
        },
    ),
    row(
        "sort_ro",
        Flags::READONLY,
        Keys::SORT_RO,
        &["RO", "access", "/", "RO", "access"],
        Rounds {
            is_wide: is_wide::<false>,
            in_steps: |call| steps::begin(call, false),
            part: part::<false>,
            merge: merge::<false>,
            commit: commit::<false>,
        },
        Doc {
            summary: "As SORT, without storing anything",
            since: "7.0.0",
            group: "generic",
            complexity: COMPLEXITY,
            syntax: "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC|DESC] [ALPHA]",
        },
    ),
];
