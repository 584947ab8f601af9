//! SMOVE: a member leaves one set and joins another, which may lie on another shard.
//! Never carries more than the member between shards, and it is among the arguments.
//! Source: redis-server 7 for the order of checks; decision 0001 for the one moment.

use crate::{Call, Error, Part, Reply, error, lookup, row::Decision};
use resp::Writer;
use store::Kind;

/// Bits of the number with which a shard votes.
const SOURCE_LIVES: i64 = 1;
const HAS_MEMBER: i64 = 2;
const WRONG_TYPE: i64 = 4;

/// Says whether the source has the member, and whether a key here is no set.
pub fn prepare(call: &mut Call<'_>, part: &mut Part) -> Reply {
    let (db, now, args) = (call.db, call.now(), call.args);
    let mut vote = 0;
    if call.owns(1) {
        let key = call.other_key(1);
        if let Some(view) = call.core.shard.view(db, key, false, now) {
            vote |= SOURCE_LIVES;
            vote |= match view.set() {
                Some(set) if set.contains(args.at(3)) => HAS_MEMBER,
                Some(_) => 0,
                None => WRONG_TYPE,
            };
        }
    }
    if call.owns(2) {
        let key = call.other_key(2);
        let target = call.core.shard.view(db, key, false, now);
        if target.is_some_and(|view| view.kind() != Kind::Set) {
            vote |= WRONG_TYPE;
        }
        // Committing cannot fail: the room for the member must be there.
        if !call.core.shard.has_room() {
            return Err(error::OUT_OF_MEMORY.into());
        }
    }
    *part = Part::Count(vote);
    Ok(())
}

pub fn decide(
    call: &mut Call<'_>,
    parts: &mut [Part],
    out: &mut Writer<'_>,
) -> Result<Decision, Error> {
    let vote = parts.iter().fold(0, |votes, part| match part {
        Part::Count(vote) => votes | vote,
        other => unreachable!("SMOVE has votes as parts, not {other:?}"),
    });
    if vote & SOURCE_LIVES == 0 {
        out.int(0);
        return Ok(Decision::Abort);
    }
    if vote & WRONG_TYPE != 0 {
        return Err(error::WRONG_TYPE.into());
    }
    let has_member = vote & HAS_MEMBER != 0;
    out.int(i64::from(has_member));
    let stays = !has_member || call.args.at(1) == call.args.at(2);
    Ok(if stays {
        Decision::Abort
    } else {
        Decision::Commit
    })
}

/// Neither key can hold another type by now; either may have ended since the vote, as if right after the move, or before it.
pub fn commit(call: &mut Call<'_>, _: &mut Part) {
    let member = call.args.at(3);
    if call.owns(1) {
        let key = call.other_key(1);
        if let Ok(Some(door)) = lookup::open(call, key, Kind::Set) {
            door.set().remove(member);
        }
    }
    if call.owns(2) {
        let key = call.other_key(2);
        if let Ok(door) = lookup::open_or_new(call, key, Kind::Set) {
            door.set().add(member);
        }
    }
}
