//! Owns the packed form of a sorted set: member and score in turn, by score and member.
//! Never happens here: a threshold; the caller says when a pack has become too large.
//! Source: Redis' packed sorted sets; a whole score is an integer, any other its shortest text.
#![forbid(unsafe_code)]

use std::cmp::Ordering;
use std::ops;

use crate::pack::{self, IntBuffer, Item};
use crate::value::IntText;

/// Elements of a member in a pack.
pub(super) const STRIDE: usize = 2;

/// Whole scores up to here are stored as integers: all of them are doubles.
const WHOLE_MAX: f64 = (1u64 << 53) as f64;

/// A member that was found in a pack.
pub(super) struct Found {
    pub(super) at: usize,
    pub(super) score: f64,
}

pub(super) fn len(pack: &[u8]) -> usize {
    pack::len(pack) / STRIDE
}

pub(super) fn find(pack: &[u8], member: &[u8]) -> Option<Found> {
    let at = pack::find(pack, member, pack::first(pack)?, STRIDE - 1)?;
    let (_, score_at) = pack::read(pack, at);
    Some(Found {
        at,
        score: score_of(pack::item(pack, score_at)),
    })
}

pub(super) fn rank(pack: &[u8], member: &[u8]) -> Option<(usize, f64)> {
    range(pack, 0..usize::MAX)
        .enumerate()
        .find(|(_, (other, _))| other.is(member))
        .map(|(rank, (_, score))| (rank, score))
}

pub(super) fn at(pack: &[u8], rank: usize) -> Option<(Item<'_>, f64)> {
    range(pack, rank..rank.saturating_add(1)).next()
}

/// How many members are before the first of which `holds` is false.
pub(super) fn count_while<'a>(
    pack: &'a [u8],
    mut holds: impl FnMut(Item<'a>, f64) -> bool,
) -> usize {
    range(pack, 0..usize::MAX)
        .take_while(|(member, score)| holds(*member, *score))
        .count()
}

/// Where a member with this score belongs.
pub(super) fn place(pack: &[u8], score: f64, member: &[u8]) -> usize {
    let mut buffer = IntBuffer::new();
    let mut lies_before = |(other, other_score): (Item, f64)| {
        compare(other_score, score)
            .then_with(|| other.text(&mut buffer).cmp(member))
            .is_lt()
    };
    // Members often come in their order.
    if range(pack, 0..usize::MAX)
        .next_back()
        .is_none_or(&mut lies_before)
    {
        return pack.len();
    }
    let mut all = range(pack, 0..usize::MAX);
    loop {
        let at = all.front();
        if !all.next().is_some_and(&mut lies_before) {
            return at;
        }
    }
}

/// Inserts a member that is not there.
pub(super) fn insert(pack: &mut Vec<u8>, score: f64, member: &[u8]) {
    let at = place(pack, score, member);
    with_text(score, |text| pack::insert_all(pack, at, &[member, text]));
}

/// Scores in their order; none is NaN, and both zeroes are the same.
pub(super) fn compare(one: f64, other: f64) -> Ordering {
    one.partial_cmp(&other).unwrap_or(Ordering::Equal)
}

fn score_of(item: Item) -> f64 {
    match item {
        Item::Int(number) => number as f64,
        Item::Bytes(text) => std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok())
            .expect("a score in a pack is a number"),
    }
}

fn with_text(score: f64, write: impl FnOnce(&[u8])) {
    if score.is_infinite() {
        write(if score > 0.0 { b"inf" } else { b"-inf" });
    } else if score.fract() == 0.0 && score.abs() <= WHOLE_MAX {
        // A zero loses its sign here, as it does in Redis.
        write(IntText::of(score as i64).bytes());
    } else {
        write(ryu::Buffer::new().format_finite(score).as_bytes());
    }
}

/// The members of a range of ranks, in turn.
pub(super) fn range(pack: &[u8], ranks: ops::Range<usize>) -> Range<'_> {
    let len = len(pack);
    let end = ranks.end.min(len);
    Range {
        pack,
        len,
        start: ranks.start.min(end),
        end,
        front: None,
        back: None,
    }
}

pub(super) struct Range<'a> {
    pack: &'a [u8],
    len: usize,
    start: usize,
    end: usize,
    /// Offset of the member at `start`, once asked for.
    front: Option<usize>,
    /// Offset behind the score of the last member before `end`, once asked for.
    back: Option<usize>,
}

impl Range<'_> {
    /// Offset of the member at `start`, or the end of the pack.
    pub(super) fn front(&mut self) -> usize {
        let (pack, len, start) = (self.pack, self.len, self.start);
        *self.front.get_or_insert_with(|| offset(pack, len, start))
    }
}

/// Offset of the member of this rank, or the end of the pack.
fn offset(pack: &[u8], len: usize, rank: usize) -> usize {
    if rank == len {
        return pack.len();
    }
    pack::nth(pack, (rank * STRIDE) as i64).expect("a rank below the length exists")
}

impl<'a> Iterator for Range<'a> {
    type Item = (Item<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.start == self.end {
            return None;
        }
        let at = self.front();
        let (member, score_at) = pack::read(self.pack, at);
        let (score, next) = pack::read(self.pack, score_at);
        self.start += 1;
        self.front = Some(next);
        Some((member, score_of(score)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.end - self.start;
        (left, Some(left))
    }
}

impl DoubleEndedIterator for Range<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.start == self.end {
            return None;
        }
        let (pack, len, end) = (self.pack, self.len, self.end);
        let behind = *self.back.get_or_insert_with(|| offset(pack, len, end));
        let score_at = pack::prev(pack, behind).expect("a member lies before");
        let member_at = pack::prev(pack, score_at).expect("a score has a member");
        self.end -= 1;
        self.back = Some(member_at);
        Some((
            pack::item(pack, member_at),
            score_of(pack::item(pack, score_at)),
        ))
    }
}
