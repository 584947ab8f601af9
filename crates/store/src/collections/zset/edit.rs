//! Owns the changes of a sorted set: adding under conditions, incrementing, removing.
//! Never happens here: a reply; a change that leaves a score not a number.
//! Source: ZADD and its kin of Redis for what each condition means.
#![forbid(unsafe_code)]

use std::ops::Range;

use crate::collections::door::{Body, Open};
use crate::collections::{ArenaMut, Big, Door};
use crate::pack::{self, IntBuffer};

use super::packed::{self, STRIDE};
use super::{Zset, ZsetView};

/// A sorted set open for change; the change is settled when it is dropped.
pub struct ZsetEdit<'s>(Door<'s>);

/// Which members an addition concerns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Presence {
    /// All.
    #[default]
    Any,
    /// Those that are not there yet.
    Missing,
    /// Those that are there already.
    Existing,
}

/// What an addition does with a member that is there already, or is not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AddRule {
    /// Which members it concerns.
    pub presence: Presence,
    /// A member keeps its score unless the new one is greater.
    pub only_greater: bool,
    /// A member keeps its score unless the new one is less.
    pub only_less: bool,
    /// The score is added to the one that the member has.
    pub is_increment: bool,
}

/// What an addition did.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Added {
    /// The member is new.
    New,
    /// The member has another score.
    Changed,
    /// The member had this score before.
    Same,
    /// The rule forbade a change.
    Refused,
}

/// The sum of two scores is not a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotANumber;

impl AddRule {
    /// The score that a member with an old score gets, `None` to leave it alone.
    fn new_score(self, old: f64, given: f64) -> Result<Option<f64>, NotANumber> {
        if self.presence == Presence::Missing {
            return Ok(None);
        }
        let score = if self.is_increment {
            old + given
        } else {
            given
        };
        if score.is_nan() {
            return Err(NotANumber);
        }
        let is_refused = self.only_less && score >= old || self.only_greater && score <= old;
        Ok((!is_refused).then_some(score))
    }
}

impl<'s> Door<'s> {
    /// The collection as a sorted set, which its opener asked for.
    pub fn zset(self) -> ZsetEdit<'s> {
        ZsetEdit(self)
    }
}

impl ZsetEdit<'_> {
    /// The sorted set as it is now.
    pub fn view(&self) -> ZsetView<'_> {
        let (held, arena) = self.0.look();
        ZsetView::new(held, arena)
    }

    /// Gives a member a score, as far as `rule` lets it; `score` is a number. Returns what it did,
    /// and the score that the member has now or was refused.
    ///
    /// # Errors
    /// The sum of the old score and an increment is not a number; nothing changed.
    pub fn add(
        &mut self,
        member: &[u8],
        score: f64,
        rule: AddRule,
    ) -> Result<(Added, f64), NotANumber> {
        debug_assert!(!score.is_nan());
        let Open {
            body,
            mut arena,
            thresholds,
            ..
        } = self.0.open();
        if let Body::Packed(_, pack) = body {
            if let Some(found) = packed::find(pack, member) {
                let Some(new) = rule.new_score(found.score, score)? else {
                    return Ok((Added::Refused, score));
                };
                if new == found.score {
                    return Ok((Added::Same, new));
                }
                pack::remove(pack, found.at, STRIDE);
                packed::insert(pack, new, member);
                return Ok((Added::Changed, new));
            }
            if rule.presence == Presence::Existing {
                return Ok((Added::Refused, score));
            }
            if member.len() <= thresholds.zset_max_listpack_value
                && packed::len(pack) < thresholds.zset_max_listpack_entries
            {
                packed::insert(pack, score, member);
                return Ok((Added::New, score));
            }
            unpack(body, &mut arena);
        }
        add_large(large(body), &mut arena, member, score, rule)
    }

    /// Removes a member. Returns whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        let Open {
            body, mut arena, ..
        } = self.0.open();
        match body {
            Body::Packed(_, pack) => {
                let Some(found) = packed::find(pack, member) else {
                    return false;
                };
                pack::remove(pack, found.at, STRIDE);
                true
            }
            Body::Big(_) => {
                let zset = large(body);
                let name = arena.hasher.key(member);
                let Some((block, _)) = zset.find(arena.read(), name) else {
                    return false;
                };
                zset.remove(&mut arena, block);
                true
            }
        }
    }

    /// Removes the members of these ranks; ranks past the last member do not matter. Returns how
    /// many went.
    pub fn remove_ranks(&mut self, ranks: Range<usize>) -> usize {
        let end = ranks.end.min(self.view().len());
        let ranks = ranks.start.min(end)..end;
        if ranks.is_empty() {
            return 0;
        }
        let Open {
            body, mut arena, ..
        } = self.0.open();
        match body {
            Body::Packed(_, pack) => {
                let at = packed::range(pack, ranks.clone()).front();
                pack::remove(pack, at, ranks.len() * STRIDE);
            }
            Body::Big(_) => large(body).remove_ranks(&mut arena, ranks.clone()),
        }
        ranks.len()
    }
}

fn add_large(
    zset: &mut Zset,
    arena: &mut ArenaMut,
    member: &[u8],
    score: f64,
    rule: AddRule,
) -> Result<(Added, f64), NotANumber> {
    let name = arena.hasher.key(member);
    let Some((block, old)) = zset.find(arena.read(), name) else {
        if rule.presence == Presence::Existing {
            return Ok((Added::Refused, score));
        }
        zset.insert(arena, name, score);
        return Ok((Added::New, score));
    };
    match rule.new_score(old, score)? {
        None => Ok((Added::Refused, score)),
        Some(new) if new == old => Ok((Added::Same, new)),
        Some(new) => {
            zset.replace(arena, block, new);
            Ok((Added::Changed, new))
        }
    }
}

fn large(body: &mut Body) -> &mut Zset {
    match body {
        Body::Big(big) => match &mut **big {
            Big::Zset(zset) => zset,
            other => unreachable!("a sorted set is no {:?}", other.kind()),
        },
        Body::Packed(..) => unreachable!("a pack is no large sorted set"),
    }
}

/// Makes the large form of a pack.
fn unpack(body: &mut Body, arena: &mut ArenaMut) {
    let Body::Packed(_, pack) = body else {
        return;
    };
    let mut zset = Zset::new();
    let mut buffer = IntBuffer::new();
    for (member, score) in packed::range(pack, 0..usize::MAX) {
        let name = arena.hasher.key(member.text(&mut buffer));
        zset.insert(arena, name, score);
    }
    *body = Body::Big(Box::new(Big::Zset(zset)));
}
