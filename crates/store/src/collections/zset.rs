//! Owns sorted sets: members with scores, in the order of score and member.
//! Never happens here: parsing, replies; a score that is not a number is never stored.
//! Source: packed as in Redis; large ones a table, and a counted tree of its entries' blocks.
#![forbid(unsafe_code)]

mod edit;
mod large;
mod packed;

use std::ops::{Bound, Range};

use crate::content::Strings;
use crate::entry::{Entry, Held};
use crate::pack::{IntBuffer, Item};
use crate::random::Rng;
use crate::slab::BlockRef;

use super::{Arena, Big};

pub use edit::{AddRule, Added, NotANumber, Presence, ZsetEdit};
pub(crate) use large::Zset;

/// A sorted set to read. Ranks count from the least score on.
#[derive(Clone, Copy)]
pub struct ZsetView<'a> {
    held: Held<'a>,
    arena: Arena<'a>,
}

/// An end of a range of members in the order of their bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LexBound<'a> {
    /// Before every member.
    Lowest,
    /// Behind every member.
    Highest,
    /// This member and what lies to the range's side of it.
    Included(&'a [u8]),
    /// What lies to the range's side of this member.
    Excluded(&'a [u8]),
}

/// How many members ahead of a walk the processor is asked to fetch entries.
const PREFETCHED: usize = 6;

/// Where the elements lie.
#[derive(Clone, Copy)]
enum Form<'a> {
    Packed(&'a [u8]),
    Large(&'a Zset),
}

impl<'a> ZsetView<'a> {
    pub(crate) fn new(held: Held<'a>, arena: Arena<'a>) -> ZsetView<'a> {
        ZsetView { held, arena }
    }

    /// Members.
    pub fn len(&self) -> usize {
        match self.form() {
            Form::Packed(pack) => packed::len(pack),
            Form::Large(zset) => zset.len(),
        }
    }

    /// Whether there are no members, which is so only while the set is changed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the members and of what they are found by; 0 where they lie in their key's entry.
    #[inline]
    pub fn bytes(&self) -> u64 {
        match self.form() {
            Form::Packed(_) => 0,
            Form::Large(zset) => zset.bytes(),
        }
    }

    /// The score of a member.
    #[inline]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match self.form() {
            Form::Packed(pack) => packed::find(pack, member).map(|found| found.score),
            Form::Large(zset) => zset.score(self.arena, member),
        }
    }

    /// How many members lie before this one, and its score.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        match self.form() {
            Form::Packed(pack) => packed::rank(pack, member),
            Form::Large(zset) => zset.rank(self.arena, member),
        }
    }

    /// The member of this rank.
    pub fn at(&self, rank: usize) -> Option<(Item<'a>, f64)> {
        match self.form() {
            Form::Packed(pack) => packed::at(pack, rank),
            Form::Large(zset) => zset.at(self.arena, rank),
        }
    }

    /// The members of these ranks with their scores, from either end; ranks past the last member
    /// are left out.
    pub fn range(&self, ranks: Range<usize>) -> ZsetRange<'a> {
        ZsetRange(match self.form() {
            Form::Packed(pack) => Walk::Packed(packed::range(pack, ranks)),
            Form::Large(zset) => Walk::Large(zset.blocks(ranks), self.arena),
        })
    }

    /// All members with their scores, in order.
    pub fn iter(&self) -> ZsetRange<'a> {
        self.range(0..usize::MAX)
    }

    /// The ranks of the members whose scores lie between two bounds, an empty range if there are none:
    /// of these the `wanted` first, or the last where `from_end` says so.
    pub fn ranks_by_score(
        &self,
        min: Bound<f64>,
        max: Bound<f64>,
        wanted: usize,
        from_end: bool,
    ) -> Range<usize> {
        let is_below = |score: f64| match min {
            Bound::Included(min) => score < min,
            Bound::Excluded(min) => score <= min,
            Bound::Unbounded => false,
        };
        let is_within = |score: f64| match max {
            Bound::Included(max) => score <= max,
            Bound::Excluded(max) => score < max,
            Bound::Unbounded => true,
        };
        let is_empty = match (min, max) {
            (Bound::Included(min), Bound::Included(max)) => min > max,
            (
                Bound::Included(min) | Bound::Excluded(min),
                Bound::Included(max) | Bound::Excluded(max),
            ) => min >= max,
            _ => false,
        };
        if is_empty {
            return 0..0;
        }
        match self.form() {
            Form::Packed(pack) => {
                let start = packed::count_while(pack, |_, score| is_below(score));
                let end = packed::count_while(pack, |_, score| is_within(score));
                cut(start..end, wanted, from_end)
            }
            Form::Large(zset) => {
                let open_start = min == Bound::Included(f64::NEG_INFINITY);
                let open_end = max == Bound::Included(f64::INFINITY);
                zset.ranks_between(
                    self.arena,
                    (!open_start).then_some(|entry| is_below(large::score_of(entry))),
                    (!open_end).then_some(|entry| is_within(large::score_of(entry))),
                    (wanted, from_end),
                )
            }
        }
    }

    /// As [`ZsetView::ranks_by_score`], of the members between two bounds in the order of bytes. It
    /// is what it says only where all scores are the same.
    pub fn ranks_by_lex(
        &self,
        min: LexBound,
        max: LexBound,
        wanted: usize,
        from_end: bool,
    ) -> Range<usize> {
        let is_below = |member: &[u8]| match min {
            LexBound::Lowest => false,
            LexBound::Highest => true,
            LexBound::Included(min) => member < min,
            LexBound::Excluded(min) => member <= min,
        };
        let is_within = |member: &[u8]| match max {
            LexBound::Lowest => false,
            LexBound::Highest => true,
            LexBound::Included(max) => member <= max,
            LexBound::Excluded(max) => member < max,
        };
        match self.form() {
            Form::Packed(pack) => {
                let mut buffer = IntBuffer::new();
                let start =
                    packed::count_while(pack, |member, _| is_below(member.text(&mut buffer)));
                let end =
                    packed::count_while(pack, |member, _| is_within(member.text(&mut buffer)));
                cut(start..end, wanted, from_end)
            }
            Form::Large(zset) => zset.ranks_between(
                self.arena,
                (min != LexBound::Lowest).then_some(|entry: Entry| is_below(entry.key())),
                (max != LexBound::Highest).then_some(|entry: Entry| is_within(entry.key())),
                (wanted, from_end),
            ),
        }
    }

    /// A member picked at random with its score, each as likely as another.
    pub fn random(&self, rng: &mut Rng) -> Option<(Item<'a>, f64)> {
        let len = self.len();
        if len == 0 {
            return None;
        }
        self.at(rng.below(len as u64) as usize)
    }

    /// Shows members and scores from `cursor` on, looking at about `budget_slots` slots; a small
    /// set is shown whole. Returns where to go on, or 0 at the end.
    pub fn scan(
        &self,
        cursor: u64,
        budget_slots: usize,
        visit: &mut dyn FnMut(Item<'a>, f64),
    ) -> u64 {
        match self.form() {
            Form::Packed(_) => {
                self.iter().for_each(|(member, score)| visit(member, score));
                0
            }
            Form::Large(zset) => zset.scan(self.arena, cursor, budget_slots, visit),
        }
    }

    /// All members and scores as plain data.
    pub(crate) fn content(&self) -> (Strings, Vec<f64>) {
        let mut members = Strings::default();
        let mut scores = Vec::with_capacity(self.len());
        let mut buffer = IntBuffer::new();
        for (member, score) in self.iter() {
            members.push(member.text(&mut buffer));
            scores.push(score);
        }
        (members, scores)
    }

    #[inline]
    fn form(&self) -> Form<'a> {
        match self.held {
            Held::Packed(_, pack) => Form::Packed(pack),
            Held::Big(Big::Packed(_, pack)) => Form::Packed(pack),
            Held::Big(Big::Zset(zset)) => Form::Large(zset),
            Held::Big(other) => unreachable!("a sorted set is no {:?}", other.kind()),
        }
    }
}

/// Members with their scores in order, from either end.
pub struct ZsetRange<'a>(Walk<'a>);

#[expect(
    clippy::large_enum_variant,
    reason = "it lives on the stack, where a walk begins"
)]
enum Walk<'a> {
    Packed(packed::Range<'a>),
    Large(large::Blocks<'a>, Arena<'a>),
}

/// The first or the last so many of a range, which may be the wrong way round.
fn cut(ranks: Range<usize>, wanted: usize, from_end: bool) -> Range<usize> {
    let Range { start, end } = ranks;
    let kept = wanted.min(end.saturating_sub(start));
    if from_end {
        end - kept..end
    } else {
        start..start + kept
    }
}

fn element(arena: Arena<'_>, block: BlockRef) -> (Item<'_>, f64) {
    let entry = Entry::at(arena.slab, block, arena.base);
    (Item::Bytes(entry.key()), large::score_of(entry))
}

impl<'a> Iterator for ZsetRange<'a> {
    type Item = (Item<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Walk::Packed(range) => range.next(),
            Walk::Large(blocks, arena) => {
                let block = blocks.next()?;
                if let Some(soon) = blocks.ahead(PREFETCHED) {
                    arena.slab.prefetch(soon);
                }
                Some(element(*arena, block))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Walk::Packed(range) => range.size_hint(),
            Walk::Large(blocks, _) => blocks.size_hint(),
        }
    }
}

impl DoubleEndedIterator for ZsetRange<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Walk::Packed(range) => range.next_back(),
            Walk::Large(blocks, arena) => {
                let block = blocks.next_back()?;
                if let Some(soon) = blocks.ahead_back(PREFETCHED) {
                    arena.slab.prefetch(soon);
                }
                Some(element(*arena, block))
            }
        }
    }
}

impl ExactSizeIterator for ZsetRange<'_> {}
