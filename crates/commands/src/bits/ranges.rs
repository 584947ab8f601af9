//! BITCOUNT and BITPOS: what is asked of a part of a bitmap, the part given in bytes or in bits.
//! Never reads bits itself: the spans of `words` do.
//! Source: redis-server 7, asked for the order of its checks and for how it counts from the end.

use super::counting;
use super::words::Span;
use crate::{Call, Error, Reply, error, lookup};
use resp::Writer;

const NO_BIT: &str = "ERR The bit argument must be 1 or 0.";

/// A part of a string as the client gave it; what is negative counts from the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    start: i64,
    /// `None`: to the end of the string.
    end: Option<i64>,
    in_bits: bool,
}

impl Part {
    const WHOLE: Part = Part {
        start: 0,
        end: None,
        in_bits: false,
    };

    /// The bits it means of a string of `len` bytes; `None` where it means none.
    fn span(&self, len: usize) -> Option<Span> {
        let units = len as i64 * if self.in_bits { 8 } else { 1 };
        let from_start = |position: i64| {
            if position < 0 {
                (position + units).max(0)
            } else {
                position
            }
        };
        let start = from_start(self.start);
        let end = self.end.map_or(units - 1, from_start).min(units - 1);
        if start > end {
            return None;
        }
        let (start, end) = (start as u64, end as u64);
        Some(if self.in_bits {
            Span {
                first: start,
                last: end,
            }
        } else {
            Span {
                first: start * 8,
                last: end * 8 + 7,
            }
        })
    }
}

/// Whether argument `index`, which may be missing, says that positions are bits.
fn in_bits(call: &Call<'_>, index: usize) -> Result<bool, Error> {
    if index >= call.args.len() || call.is(index, "byte") {
        Ok(false)
    } else if call.is(index, "bit") {
        Ok(true)
    } else {
        Err(error::SYNTAX.into())
    }
}

/// The part that BITCOUNT's arguments name; `None` where it is empty whatever the string.
fn part_to_count(call: &Call<'_>) -> Result<Option<Part>, Error> {
    match call.args.len() {
        2 => Ok(Some(Part::WHOLE)),
        4 | 5 => {
            let (start, end) = (call.int(2)?, call.int(3)?);
            // Redis answers this before it looks at the unit.
            if start < 0 && end < 0 && start > end {
                return Ok(None);
            }
            Ok(Some(Part {
                start,
                end: Some(end),
                in_bits: in_bits(call, 4)?,
            }))
        }
        _ => Err(error::SYNTAX.into()),
    }
}

/// BITCOUNT: a missing key has no bits, whatever the other arguments.
pub fn bitcount(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let part = part_to_count(call);
    let key = call.key(1);
    let count = match lookup::read_string(call, key)? {
        None => 0,
        Some(value) => {
            let part = part?;
            let span = part.and_then(|part| part.span(value.len()));
            match span {
                Some(span) if counting::is_long(&span) => {
                    return Err(counting::begin(call, span));
                }
                Some(span) => lookup::with_text(value, |text| span.count(text)),
                None => 0,
            }
        }
    };
    out.int(count as i64);
    Ok(())
}

/// The part that BITPOS' arguments name.
fn part_to_search(call: &Call<'_>) -> Result<Part, Error> {
    let argc = call.args.len();
    if argc > 6 {
        return Err(error::SYNTAX.into());
    }
    let start = if argc > 3 { call.int(3)? } else { 0 };
    let in_bits = in_bits(call, 5)?;
    let end = if argc > 4 { Some(call.int(4)?) } else { None };
    Ok(Part {
        start,
        end,
        in_bits,
    })
}

/// BITPOS: a missing key is an endless row of zeroes; a string is one behind its end, unless an end was given.
pub fn bitpos(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let bit = match call.int(2)? {
        0 => false,
        1 => true,
        _ => return Err(NO_BIT.into()),
    };
    let part = part_to_search(call);
    let key = call.key(1);
    let position = match lookup::read_string(call, key)? {
        None if bit => None,
        None => Some(0),
        Some(value) => {
            let part = part?;
            lookup::with_text(value, |text| {
                let span = part.span(text.len())?;
                let behind = (!bit && part.end.is_none()).then_some(text.len() as u64 * 8);
                span.find(text, bit).or(behind)
            })
        }
    };
    out.int(position.map_or(-1, |position| position as i64));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: i64, end: Option<i64>, in_bits: bool, len: usize) -> Option<(u64, u64)> {
        let part = Part {
            start,
            end,
            in_bits,
        };
        part.span(len).map(|span| (span.first, span.last))
    }

    #[test]
    fn a_part_in_bytes_means_all_their_bits() {
        assert_eq!(span(0, None, false, 3), Some((0, 23)));
        assert_eq!(span(1, Some(1), false, 3), Some((8, 15)));
        assert_eq!(span(-2, Some(-1), false, 3), Some((8, 23)));
        assert_eq!(span(-100, Some(100), false, 3), Some((0, 23)));
    }

    #[test]
    fn a_part_in_bits_means_them_alone() {
        assert_eq!(span(5, Some(9), true, 3), Some((5, 9)));
        assert_eq!(span(-3, Some(-2), true, 3), Some((21, 22)));
        assert_eq!(span(i64::MIN, Some(i64::MAX), true, 3), Some((0, 23)));
    }

    #[test]
    fn what_lies_outside_or_backwards_is_empty() {
        assert_eq!(span(3, Some(9), false, 3), None);
        assert_eq!(span(2, Some(1), false, 3), None);
        assert_eq!(span(0, None, false, 0), None);
        assert_eq!(span(i64::MIN, Some(i64::MIN), true, 0), None);
    }
}
