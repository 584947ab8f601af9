//! Sets: their members, one key at a time; SMOVE, and what combines several sets, stand in modules of their own.
//! Never parses or stores an element; how members lie is the store's business.
//! Source: redis-server 7 for replies, texts and the order of checks; encodings and options are those of 7.2.

mod combine;
mod draw;
mod moves;
mod steps;

use crate::reading::{self, Budget, Reader};
use crate::row::{Atomic, Doc, Handler, Joint, Keys, Target};
use crate::{Call, Command, Error, Flags, Reply, Run, element_scan, lookup};
use resp::Writer;
use store::{Kind, Place, SetView, View};

pub(crate) fn as_set<'c>(view: &View<'c>) -> Option<SetView<'c>> {
    view.set()
}

fn sadd(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (key, args) = (call.key(1), call.args);
    let mut set = lookup::open_or_new(call, key, Kind::Set)?.set();
    let mut added = 0;
    for index in 2..args.len() {
        added += i64::from(set.add(args.at(index)));
    }
    drop(set);
    out.int(added);
    Ok(())
}

fn srem(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (key, args) = (call.key(1), call.args);
    let mut removed = 0;
    if let Some(door) = lookup::open(call, key, Kind::Set)? {
        let mut set = door.set();
        for index in 2..args.len() {
            removed += i64::from(set.remove(args.at(index)));
        }
    }
    out.int(removed);
    Ok(())
}

fn smembers(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let key = call.key(1);
    match lookup::read_as(call, key, as_set)? {
        Some(set) if reading::is_long(set.bytes(), || (set.len(), set.len())) => {
            let (len, what) = (set.len(), Members(Place::default()));
            return Err(reading::begin(call, what, |out| out.set(len)));
        }
        Some(set) => whole(&set, out),
        None => out.set(0),
    }
    Ok(())
}

/// Replies with all members.
fn whole(set: &SetView<'_>, out: &mut Writer<'_>) {
    out.set(set.len());
    set.each(|member| lookup::bulk_item(out, member));
}

fn scard(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let key = call.key(1);
    let set = lookup::read_as(call, key, as_set)?;
    out.int(set.map_or(0, |set| set.len() as i64));
    Ok(())
}

fn sismember(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (key, member) = (call.key(1), call.args.at(2));
    let set = lookup::read_as(call, key, as_set)?;
    out.int(i64::from(set.is_some_and(|set| set.contains(member))));
    Ok(())
}

fn smismember(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (key, args) = (call.key(1), call.args);
    let set = lookup::read_as(call, key, as_set)?;
    out.array(args.len() - 2);
    for index in 2..args.len() {
        let is_member = set.is_some_and(|set| set.contains(args.at(index)));
        out.int(i64::from(is_member));
    }
    Ok(())
}

fn sscan(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let cursor = element_scan::cursor(call, 2)?;
    let options = element_scan::Options::read(call, 3);
    let key = call.key(1);
    if lookup::read_as(call, key, as_set)?.is_none() {
        element_scan::nothing(out);
        return Ok(());
    }
    element_scan::answer(call, out, cursor, options?)
}

const FAST_WRITE: Flags = Flags::WRITE.and(Flags::FAST);
const FAST_READ: Flags = Flags::READONLY.and(Flags::FAST);
const ANY_ORDER: &[&str] = &["nondeterministic_output_order"];
const ANY_OUTPUT: &[&str] = &["nondeterministic_output"];
const PER_MEMBER: &str = "O(1) for each member";

const fn row(
    name: &'static str,
    arity: i32,
    flags: Flags,
    (keys, key_flags): (Keys, &'static [&'static str]),
    tips: &'static [&'static str],
    run: Run,
    doc: Doc,
) -> Command {
    Command {
        name,
        arity,
        flags,
        keys,
        key_flags,
        categories: &["set"],
        tips,
        run,
        doc,
        subcommands: &[],
    }
}

/// Replies with what several sets make together.
const fn answering(handler: Handler) -> Run {
    Run::Joint(Joint {
        handler,
        target: |_| None,
    })
}

/// Stores what several sets make together under the first key, whatever that held.
const fn storing(handler: Handler) -> Run {
    Run::Joint(Joint {
        handler,
        target: |_| {
            Some(Target {
                index: 1,
                reads: false,
            })
        },
    })
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
        group: "set",
        complexity,
        syntax,
    }
}

const READS: &[&str] = &["RO", "access"];
const OVERWRITES: &[&str] = &["OW", "update", "/", "RO", "access"];
const BY_SMALLEST: &str = "O(N*M) where N is the size of the smallest set and M the number of sets";
const BY_ALL: &str = "O(N) where N is the number of members of all sets";

/// The commands of this family.
pub const ROWS: &[Command] = &[
    row(
        "sadd",
        -3,
        FAST_WRITE.and(Flags::DENYOOM),
        (Keys::FIRST, &["RW", "insert"]),
        &[],
        Run::Owner(sadd),
        doc(
            "1.0.0",
            PER_MEMBER,
            "Adds members to a set, which is made if the key is missing",
            "key member [member ...]",
        ),
    ),
    row(
        "srem",
        -3,
        FAST_WRITE,
        (Keys::FIRST, &["RW", "delete"]),
        &[],
        Run::Owner(srem),
        doc(
            "1.0.0",
            PER_MEMBER,
            "Removes members from a set; an empty set is deleted",
            "key member [member ...]",
        ),
    ),
    row(
        "smembers",
        2,
        Flags::READONLY,
        (Keys::FIRST, READS),
        ANY_ORDER,
        Run::Owner(smembers),
        doc(
            "1.0.0",
            "O(N) where N is the size of the set",
            "All members of a set",
            "key",
        ),
    ),
    row(
        "scard",
        2,
        FAST_READ,
        (Keys::FIRST, &["RO"]),
        &[],
        Run::Owner(scard),
        doc("1.0.0", "O(1)", "How many members a set has", "key"),
    ),
    row(
        "sismember",
        3,
        FAST_READ,
        (Keys::FIRST, &["RO"]),
        &[],
        Run::Owner(sismember),
        doc(
            "1.0.0",
            "O(1)",
            "Whether a member is in a set",
            "key member",
        ),
    ),
    row(
        "smismember",
        -3,
        FAST_READ,
        (Keys::FIRST, READS),
        &[],
        Run::Owner(smismember),
        doc(
            "6.2.0",
            PER_MEMBER,
            "Whether each of several members is in a set",
            "key member [member ...]",
        ),
    ),
    row(
        "srandmember",
        -2,
        Flags::READONLY,
        (Keys::FIRST, READS),
        ANY_OUTPUT,
        Run::Owner(draw::srandmember),
        doc(
            "1.0.0",
            "O(N) where N is the count, or the size of the set where the count is no small part of it",
            "Members picked at random: different ones, or with repeats where the count is negative",
            "key [count]",
        ),
    ),
    row(
        "spop",
        -2,
        FAST_WRITE,
        (Keys::FIRST, &["RW", "access", "delete"]),
        ANY_OUTPUT,
        Run::Owner(draw::spop),
        doc(
            "1.0.0",
            "O(N) where N is the count, or the size of the set where the count is most of it",
            "Removes members picked at random and answers them",
            "key [count]",
        ),
    ),
    row(
        "smove",
        4,
        FAST_WRITE,
        (Keys::PAIR, &["RW", "access", "delete", "/", "RW", "insert"]),
        &[],
        Run::Atomic(Atomic {
            prepare: moves::prepare,
            decide: moves::decide,
            commit: moves::commit,
        }),
        doc(
            "1.0.0",
            "O(1)",
            "Takes a member from one set to another",
            "source destination member",
        ),
    ),
    row(
        "sscan",
        -3,
        Flags::READONLY,
        (Keys::FIRST, READS),
        ANY_OUTPUT,
        Run::Owner(sscan),
        doc(
            "2.8.0",
            "O(1) for a call, O(N) for all of them where N is the size of the set",
            "Shows the members of a set a few at a time; who is there all the while is shown",
            "key cursor [MATCH pattern] [COUNT count]",
        ),
    ),
    row(
        "sinter",
        -2,
        Flags::READONLY,
        (Keys::ALL, READS),
        ANY_ORDER,
        answering(combine::sinter),
        doc(
            "1.0.0",
            BY_SMALLEST,
            "Members that all of the sets have",
            "key [key ...]",
        ),
    ),
    row(
        "sintercard",
        -3,
        Flags::READONLY,
        (Keys::COUNTED, READS),
        &[],
        answering(combine::sintercard),
        doc(
            "7.0.0",
            BY_SMALLEST,
            "How many members all of the sets have, counted up to a limit",
            "numkeys key [key ...] [LIMIT limit]",
        ),
    ),
    row(
        "sinterstore",
        -3,
        Flags::WRITE.and(Flags::DENYOOM),
        (Keys::ALL, &["RW", "update", "/", "RO", "access"]),
        &[],
        storing(combine::sinterstore),
        doc(
            "1.0.0",
            BY_SMALLEST,
            "Stores the members that all of the sets have",
            "destination key [key ...]",
        ),
    ),
    row(
        "sunion",
        -2,
        Flags::READONLY,
        (Keys::ALL, READS),
        ANY_ORDER,
        answering(combine::sunion),
        doc(
            "1.0.0",
            BY_ALL,
            "Members that any of the sets has",
            "key [key ...]",
        ),
    ),
    row(
        "sunionstore",
        -3,
        Flags::WRITE.and(Flags::DENYOOM),
        (Keys::ALL, OVERWRITES),
        &[],
        storing(combine::sunionstore),
        doc(
            "1.0.0",
            BY_ALL,
            "Stores the members that any of the sets has",
            "destination key [key ...]",
        ),
    ),
    row(
        "sdiff",
        -2,
        Flags::READONLY,
        (Keys::ALL, READS),
        ANY_ORDER,
        answering(combine::sdiff),
        doc(
            "1.0.0",
            BY_ALL,
            "Members of the first set that no other has",
            "key [key ...]",
        ),
    ),
    row(
        "sdiffstore",
        -3,
        Flags::WRITE.and(Flags::DENYOOM),
        (Keys::ALL, OVERWRITES),
        &[],
        storing(combine::sdiffstore),
        doc(
            "1.0.0",
            BY_ALL,
            "Stores the members of the first set that no other has",
            "destination key [key ...]",
        ),
    ),
];
/// The members of a set from a place on, read for an answer.
#[derive(Debug)]
struct Members(Place);

impl Reader for Members {
    fn read(
        &mut self,
        view: &View<'_>,
        out: &mut Writer<'_>,
        step: &mut Budget,
    ) -> Result<bool, Error> {
        let set = view.set().expect("a set stays one");
        let next = set.walk(self.0, |member| {
            lookup::bulk_item(out, member);
            step.goes_on(out)
        });
        Ok(next.map(|next| self.0 = next).is_some())
    }
}
