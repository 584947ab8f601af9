//! What several sets make together: intersections, unions and differences, answered, counted or stored.
//! Never changes a source; a target is replaced whole, whatever it held.
//! Source: the smallest set first, as in redis-server; the way of a difference is chosen by its cost, also as there.

use super::steps::{self, End};
use super::{as_set, whole};
use crate::steps::Target;
use crate::{Call, Error, Reply, error, lookup, reading};
use hashbrown::HashSet;
use resp::Writer;
use std::ops::Range;
use store::{IntBuffer, Item, Key, Kind, SetView, Strings, canonical_int};

/// Members met so far.
type Gathered<'a> = HashSet<Item<'a>>;

/// A member in the one form it has in every set.
fn canonical(member: Item<'_>) -> Item<'_> {
    match member {
        Item::Bytes(text) => canonical_int(text).map_or(member, Item::Int),
        Item::Int(_) => member,
    }
}

/// A set that is asked for many members.
enum Asked<'a> {
    /// It finds them itself.
    Set(SetView<'a>),
    /// Its members were gathered, as it would walk over them for each.
    Gathered(Gathered<'a>),
}

impl<'a> Asked<'a> {
    /// A set that is asked so many times.
    fn new(set: SetView<'a>, times: usize) -> Asked<'a> {
        /// Gathering members costs as much as a few walks over them.
        const WALKS_MAX: usize = 4;
        if !set.is_walked() || times <= WALKS_MAX {
            return Asked::Set(set);
        }
        let mut gathered = Gathered::with_capacity(set.len());
        set.each(|member| {
            gathered.insert(canonical(member));
        });
        Asked::Gathered(gathered)
    }

    fn has(&self, member: Item<'_>) -> bool {
        match self {
            Asked::Set(set) => set.contains_item(member),
            Asked::Gathered(members) => members.contains(&canonical(member)),
        }
    }
}

/// The keys at these indexes, counted as read.
///
/// # Errors
/// One of them holds another type.
fn read_keys<'a>(call: &mut Call<'a>, indexes: Range<usize>) -> Result<Vec<Key<'a>>, Error> {
    let mut keys = Vec::with_capacity(indexes.len());
    for index in indexes {
        let key = call.other_key(index);
        lookup::read_as(call, key, as_set)?;
        keys.push(key);
    }
    Ok(keys)
}

/// The sets of keys that were read just now; `None` where one is missing.
fn views<'c>(call: &'c Call<'_>, keys: &[Key<'_>]) -> Vec<Option<SetView<'c>>> {
    let (db, now) = (call.db, call.now());
    let view = |key: &Key<'_>| call.core.shard.view_beside(db, *key, now)?.set();
    keys.iter().map(view).collect()
}

/// Shows the members that all sets have, as long as `visit` says so.
fn intersect(sets: Vec<Option<SetView<'_>>>, mut visit: impl FnMut(Item<'_>) -> bool) {
    let Some(mut sets) = sets.into_iter().collect::<Option<Vec<_>>>() else {
        return;
    };
    sets.sort_by_key(SetView::len);
    let Some((smallest, others)) = sets.split_first() else {
        return;
    };
    let times = smallest.len();
    let others: Vec<_> = others.iter().map(|set| Asked::new(*set, times)).collect();
    smallest.each_while(|member| !others.iter().all(|set| set.has(member)) || visit(member));
}

/// Shows every member of any set once.
fn unite(sets: Vec<Option<SetView<'_>>>, mut visit: impl FnMut(Item<'_>)) {
    let mut sets: Vec<_> = sets.into_iter().flatten().collect();
    let largest = (0..sets.len()).max_by_key(|&place| sets[place].len());
    let large = largest
        .filter(|&place| sets.len() == 1 || !sets[place].is_walked())
        .map(|place| sets.remove(place));
    if let Some(large) = large {
        large.each(&mut visit);
    }
    let mut gathered = Gathered::default();
    for set in sets {
        set.each(|member| {
            let is_new = large.is_none_or(|large| !large.contains_item(member))
                && gathered.insert(canonical(member));
            if is_new {
                visit(member);
            }
        });
    }
}

/// Shows the members of the first set that no other has.
fn subtract(sets: Vec<Option<SetView<'_>>>, mut visit: impl FnMut(Item<'_>)) {
    let mut sets = sets.into_iter();
    let Some(first) = sets.next().flatten() else {
        return;
    };
    let mut others: Vec<_> = sets.flatten().collect();
    // The larger a set, the likelier it ends the search.
    others.sort_by_key(|set| std::cmp::Reverse(set.len()));
    let members: usize = others.iter().map(SetView::len).sum();
    if members >= first.len().saturating_mul(others.len()) / 2 {
        let times = first.len();
        let others: Vec<_> = others
            .into_iter()
            .map(|set| Asked::new(set, times))
            .collect();
        return first.each(|member| {
            if !others.iter().any(|set| set.has(member)) {
                visit(member);
            }
        });
    }
    let mut gone = Gathered::default();
    let asked = Asked::new(first, members);
    for set in others {
        set.each(|member| {
            if asked.has(member) {
                gone.insert(canonical(member));
            }
        });
    }
    first.each(|member| {
        if gone.is_empty() || !gone.contains(&canonical(member)) {
            visit(member);
        }
    });
}

/// What is made of several sets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// The members that any has.
    Union,
    /// Those that all have.
    Inter,
    /// Those of the first that no other has.
    Diff,
}

impl Operation {
    /// Shows the members.
    fn show(self, sets: Vec<Option<SetView<'_>>>, mut visit: impl FnMut(Item<'_>)) {
        match self {
            Operation::Union => unite(sets, visit),
            Operation::Diff => subtract(sets, visit),
            Operation::Inter => intersect(sets, |member| {
                visit(member);
                true
            }),
        }
    }

    /// Whether it takes long to find them.
    fn takes_long(self, sets: &[Option<SetView<'_>>]) -> bool {
        let mut lens = sets.iter().map(|set| set.map_or(0, |set| set.len()));
        let met = match self {
            Operation::Union => lens.sum(),
            Operation::Inter => lens.min().unwrap_or(0).saturating_mul(sets.len()),
            Operation::Diff => {
                let first = lens.next().unwrap_or(0);
                first
                    .saturating_mul(sets.len())
                    .min(first + lens.sum::<usize>())
            }
        };
        reading::takes_long(met, 0)
    }
}

/// Replies with what the sets at all arguments make.
fn answer(call: &mut Call<'_>, out: &mut Writer<'_>, operation: Operation) -> Reply {
    let keys = read_keys(call, 1..call.args.len())?;
    let sets = views(call, &keys);
    if operation.takes_long(&sets) {
        return Err(steps::begin(
            call,
            operation,
            &keys,
            End::Answer(out.proto()),
        ));
    }
    if let [Some(set)] = &sets[..] {
        whole(set, out);
        return Ok(());
    }
    let (reply, mut count) = (out.deferred_set(), 0);
    operation.show(sets, |member| {
        count += 1;
        lookup::bulk_item(out, member);
    });
    out.finish(reply, count);
    Ok(())
}

/// Stores what the sets from the second argument on make, and replies with the number of members.
fn store(call: &mut Call<'_>, out: &mut Writer<'_>, operation: Operation) -> Reply {
    let keys = read_keys(call, 2..call.args.len())?;
    let (target, db, now) = (call.other_key(1), call.db, call.now());
    let sets = views(call, &keys);
    if operation.takes_long(&sets) {
        let end = End::Store(Target::new(db, target));
        return Err(steps::begin(call, operation, &keys, end));
    }
    let (mut members, mut buffer) = (Strings::default(), IntBuffer::new());
    operation.show(sets, |member| members.push(member.text(&mut buffer)));
    call.core.shard.remove(db, target, now);
    if !members.is_empty() {
        lookup::open_or_new(call, target, Kind::Set)?
            .set()
            .fill(&members);
    }
    out.int(members.len() as i64);
    Ok(())
}

pub fn sinter(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    answer(call, out, Operation::Inter)
}

pub fn sinterstore(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    store(call, out, Operation::Inter)
}

pub fn sunion(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    answer(call, out, Operation::Union)
}

pub fn sunionstore(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    store(call, out, Operation::Union)
}

pub fn sdiff(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    answer(call, out, Operation::Diff)
}

pub fn sdiffstore(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    store(call, out, Operation::Diff)
}

pub fn sintercard(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    const NO_KEYS: &str = "ERR numkeys should be greater than 0";
    const TOO_MANY_KEYS: &str = "ERR Number of keys can't be greater than number of args";
    const NEGATIVE_LIMIT: &str = "ERR LIMIT can't be negative";
    let number = |index| resp::number::parse_i64(call.args.at(index));
    let numkeys = number(1)
        .and_then(|numkeys| usize::try_from(numkeys).ok())
        .filter(|&numkeys| numkeys > 0)
        .ok_or(NO_KEYS)?;
    if numkeys > call.args.len() - 2 {
        return Err(TOO_MANY_KEYS.into());
    }
    let (mut limit, mut index) = (0, 2 + numkeys);
    while index < call.args.len() {
        if !call.is(index, "limit") || index + 1 == call.args.len() {
            return Err(error::SYNTAX.into());
        }
        limit = number(index + 1)
            .filter(|&limit| limit >= 0)
            .ok_or(NEGATIVE_LIMIT)?;
        index += 2;
    }
    let keys = read_keys(call, 2..2 + numkeys)?;
    let sets = views(call, &keys);
    if Operation::Inter.takes_long(&sets) {
        let most = if limit == 0 { i64::MAX } else { limit };
        let end = End::Count(most as usize);
        return Err(steps::begin(call, Operation::Inter, &keys, end));
    }
    let mut count = 0;
    intersect(sets, |_| {
        count += 1;
        count != limit
    });
    out.int(count);
    Ok(())
}
