//! Ends of ranges as sorted set commands are given them: scores, `(` before those that are left out; members behind `[` or `(`.
//! Never looks at a key.
//! Source: redis-server 7, which reads a bound of scores as C reads a number: more loosely than a score to store.

use std::ops::{Bound, Range};

use resp::number::parse_f64;
use store::{LexBound, ZsetView};

use crate::{Call, Error, error};

/// What a range of scores wants.
pub const NOT_A_SCORE_RANGE: &str = "ERR min or max is not a float";
/// What a range of members wants.
pub const NOT_A_LEX_RANGE: &str = "ERR min or max not valid string range item";

/// A range of a sorted set as a command was given it.
#[derive(Clone, Copy, Debug)]
pub enum Span<'a> {
    /// Ranks of the first and the last, counted from the end where negative.
    Ranks(i64, i64),
    /// Scores.
    Scores(Bound<f64>, Bound<f64>),
    /// Members.
    Lex(LexBound<'a>, LexBound<'a>),
}

/// What the ends of a range are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Ranks.
    Rank,
    /// Scores.
    Score,
    /// Members.
    Lex,
}

impl<'a> Span<'a> {
    /// The range whose ends are the arguments `min` and `max`.
    ///
    /// # Errors
    /// An argument is no such end.
    pub fn parse(call: &Call<'a>, by: By, min: usize, max: usize) -> Result<Span<'a>, Error> {
        let (min_text, max_text) = (call.args.at(min), call.args.at(max));
        Ok(match by {
            By::Rank => Span::Ranks(call.int(min)?, call.int(max)?),
            By::Score => Span::Scores(
                score_bound(min_text).ok_or(NOT_A_SCORE_RANGE)?,
                score_bound(max_text).ok_or(NOT_A_SCORE_RANGE)?,
            ),
            By::Lex => Span::Lex(
                lex_bound(min_text).ok_or(NOT_A_LEX_RANGE)?,
                lex_bound(max_text).ok_or(NOT_A_LEX_RANGE)?,
            ),
        })
    }

    /// The ranks that this is of a sorted set.
    pub fn ranks(&self, zset: ZsetView<'_>) -> Range<usize> {
        self.first_ranks(zset, usize::MAX, false)
    }

    /// As [`Span::ranks`], of scores and members only the `wanted` first, or where `is_reverse` the last; then ranks too were
    /// counted from the greatest on.
    pub fn first_ranks(&self, zset: ZsetView<'_>, wanted: usize, is_reverse: bool) -> Range<usize> {
        match *self {
            Span::Ranks(start, end) => {
                let len = zset.len();
                let ranks = ranks_of(start, end, len);
                if is_reverse {
                    len - ranks.end..len - ranks.start
                } else {
                    ranks
                }
            }
            Span::Scores(min, max) => zset.ranks_by_score(min, max, wanted, is_reverse),
            Span::Lex(min, max) => zset.ranks_by_lex(min, max, wanted, is_reverse),
        }
    }
}

/// The ranks from `start` to `end`, both included and counted from the end where negative.
fn ranks_of(start: i64, end: i64, len: usize) -> Range<usize> {
    let len = len as i64;
    let from_front = |rank: i64| if rank < 0 { rank + len } else { rank };
    let start = from_front(start).max(0);
    let end = from_front(end).min(len - 1);
    if start > end {
        return 0..0;
    }
    start as usize..end as usize + 1
}

fn score_bound(text: &[u8]) -> Option<Bound<f64>> {
    match text {
        [b'(', rest @ ..] => Some(Bound::Excluded(loose_score(rest)?)),
        text => Some(Bound::Included(loose_score(text)?)),
    }
}

/// A number as `strtod` reads it: after spaces, up to a zero byte, and however large or small.
fn loose_score(text: &[u8]) -> Option<f64> {
    let end = text.iter().position(|&byte| byte == 0);
    let text = &text[..end.unwrap_or(text.len())];
    if text.is_empty() {
        return Some(0.0);
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let digits = text.iter().position(|byte| !is_space(byte))?;
    let text = &text[digits..];
    parse_f64(text).or_else(|| {
        let number: f64 = str::from_utf8(text).ok()?.parse().ok()?;
        (!number.is_nan()).then_some(number)
    })
}

fn lex_bound(text: &[u8]) -> Option<LexBound<'_>> {
    match text {
        b"-" => Some(LexBound::Lowest),
        b"+" => Some(LexBound::Highest),
        [b'[', member @ ..] => Some(LexBound::Included(member)),
        [b'(', member @ ..] => Some(LexBound::Excluded(member)),
        _ => None,
    }
}

/// What Redis says of a count that is negative or no number.
pub const NEGATIVE: &str = "ERR value is out of range, must be positive";

/// Argument `index` as a number that is not negative.
///
/// # Errors
/// It is none, which is told by `mistake`.
pub fn natural(call: &Call<'_>, index: usize, mistake: &'static str) -> Result<u64, Error> {
    let number = call.int(index).ok();
    let number = number.and_then(|number| u64::try_from(number).ok());
    Ok(number.ok_or(mistake)?)
}

/// Argument `index` as a number above zero.
///
/// # Errors
/// It is none, which is told by `mistake`.
pub fn positive(call: &Call<'_>, index: usize, mistake: &'static str) -> Result<u64, Error> {
    let number = natural(call, index, mistake)?;
    Ok(Some(number).filter(|&number| number > 0).ok_or(mistake)?)
}

/// Argument `index` as a score or a weight.
///
/// # Errors
/// It is no number.
pub fn score(call: &Call<'_>, index: usize) -> Result<f64, Error> {
    Ok(parse_f64(call.args.at(index)).ok_or(error::NOT_A_FLOAT)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_counted_from_either_end() {
        assert_eq!(ranks_of(0, -1, 5), 0..5);
        assert_eq!(ranks_of(-2, -1, 5), 3..5);
        assert_eq!(ranks_of(-100, 1, 5), 0..2);
        assert_eq!(ranks_of(2, 100, 5), 2..5);
        assert!(ranks_of(3, 2, 5).is_empty());
        assert!(ranks_of(5, 9, 5).is_empty());
        assert!(ranks_of(0, -6, 5).is_empty());
        assert_eq!(ranks_of(i64::MIN, i64::MAX, 5), 0..5);
        assert!(ranks_of(i64::MAX, i64::MIN, 5).is_empty());
        assert!(ranks_of(0, -1, 0).is_empty());
    }

    #[test]
    fn bounds_of_scores_are_read_loosely() {
        for (text, number) in [
            ("1.5", 1.5),
            (" 1", 1.0),
            ("", 0.0),
            ("1e400", f64::INFINITY),
            ("-1e400", f64::NEG_INFINITY),
            ("1e-400", 0.0),
            ("-inf", f64::NEG_INFINITY),
            ("7\0x", 7.0),
            ("0x10", 16.0),
        ] {
            assert_eq!(loose_score(text.as_bytes()), Some(number), "{text:?}");
        }
        for text in ["x", "nan", "1 ", " ", "(1", "1x"] {
            assert_eq!(loose_score(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(score_bound(b"(2"), Some(Bound::Excluded(2.0)));
        assert_eq!(score_bound(b"("), Some(Bound::Excluded(0.0)));
    }

    #[test]
    fn bounds_of_members_need_their_mark() {
        assert_eq!(lex_bound(b"[a"), Some(LexBound::Included(b"a")));
        assert_eq!(lex_bound(b"("), Some(LexBound::Excluded(b"")));
        for text in [&b""[..], b"a", b"++", b"-inf"] {
            assert_eq!(lex_bound(text), None);
        }
    }
}
