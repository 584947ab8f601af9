//! The orders of SORT: by numbers or by texts, of the elements or of what stands for them.
//! Never sorts more than is answered, and leaves no tie to chance: what is equal keeps the order of the value.
//! Source: redis-server 7 for what is a number (C's `strtod`), and for ties of numbers, which the elements' texts break.

use crate::{Error, steps};
use std::cmp::Ordering;
use std::ops::Range;
use store::{Strings, canonical_int};

const NO_NUMBER: &str = "ERR One or more scores can't be converted into double";

/// What elements are ordered by: for each, what stands for it, if anything does.
pub type Weights<'a> = Option<&'a [Option<&'a [u8]>]>;

/// Indexes of the elements in this range of their order by numbers. What nothing stands for counts as 0.
///
/// # Errors
/// A text is no number.
pub fn by_number(
    elements: &Strings,
    weights: Weights<'_>,
    is_descending: bool,
    range: Range<usize>,
) -> Result<Vec<usize>, Error> {
    let number = |index: usize| {
        let text = match weights {
            Some(weights) => weights[index],
            None => Some(elements.at(index)),
        };
        let number = text.map_or(Some(0.0), number).ok_or(NO_NUMBER)?;
        Ok((number, index))
    };
    let numbers: Result<Vec<(f64, usize)>, Error> = (0..elements.len()).map(number).collect();
    let compare = |one: &(f64, usize), other: &(f64, usize)| {
        let order = one.0.partial_cmp(&other.0).expect("none is NaN");
        directed(
            order.then_with(|| elements.at(one.1).cmp(elements.at(other.1))),
            is_descending,
        )
        .then(one.1.cmp(&other.1))
    };
    let ordered = front_of(numbers?, range, compare);
    Ok(ordered.into_iter().map(|(_, index)| index).collect())
}

/// Indexes of the elements in this range of their order by texts. What nothing stands for comes first.
pub fn by_text(
    elements: &Strings,
    weights: Weights<'_>,
    is_descending: bool,
    range: Range<usize>,
) -> Vec<usize> {
    let text = |index: usize| match weights {
        Some(weights) => weights[index],
        None => Some(elements.at(index)),
    };
    let compare = |one: &usize, other: &usize| {
        directed(text(*one).cmp(&text(*other)), is_descending).then(one.cmp(other))
    };
    front_of((0..elements.len()).collect(), range, compare)
}

fn directed(order: Ordering, is_descending: bool) -> Ordering {
    if is_descending {
        order.reverse()
    } else {
        order
    }
}

/// What lies in this range once all were sorted; what lies behind it is not sorted.
fn front_of<T>(
    mut all: Vec<T>,
    range: Range<usize>,
    compare: impl Fn(&T, &T) -> Ordering,
) -> Vec<T> {
    if range.is_empty() {
        return Vec::new();
    }
    if range.end < all.len() {
        all.select_nth_unstable_by(range.end - 1, &compare);
        all.truncate(range.end);
    }
    all.sort_unstable_by(&compare);
    all.drain(..range.start);
    all
}

/// A text's number, as one that is in the order of such numbers.
///
/// # Errors
/// It is no number.
pub fn weight(text: &[u8]) -> Result<u64, Error> {
    Ok(steps::weight(number(text).ok_or(NO_NUMBER)?))
}

/// The first eight bytes of a text, as a number that is in the order of texts as far as these tell.
pub fn beginning(text: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let len = text.len().min(bytes.len());
    bytes[..len].copy_from_slice(&text[..len]);
    u64::from_be_bytes(bytes)
}

/// A number as C reads it: after white space, up to the end or to a zero byte; nothing is 0. What is no number, too large,
/// or so small that digits are lost, is none.
fn number(text: &[u8]) -> Option<f64> {
    if let Some(number) = canonical_int(text) {
        return Some(number as f64);
    }
    let end = text.iter().position(|&byte| byte == 0);
    let text = &text[..end.unwrap_or(text.len())];
    if text.is_empty() {
        return Some(0.0);
    }
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'\x0b';
    let start = text.iter().position(|byte| !is_space(byte))?;
    resp::number::parse_f64(&text[start..]).filter(|number| !number.is_subnormal())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_c_reads() {
        let read = |text: &str| number(text.as_bytes());
        for (text, expected) in [
            ("", 0.0),
            ("7", 7.0),
            ("-7.25e2", -725.0),
            (" \t\n\x0b\x0c\r5", 5.0),
            ("0x10", 16.0),
            ("+1", 1.0),
            ("5\0x", 5.0),
            ("\0", 0.0),
            ("9223372036854775807", i64::MAX as f64),
            ("inf", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
        ] {
            assert_eq!(read(text), Some(expected), "{text:?}");
        }
        for text in [
            " ", "5 ", "x", "nan", "-nan", "1e400", "1e-400", "1e-310", "--1", "0x", "1,5",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn weights_and_beginnings_are_in_the_order_of_what_they_stand_for() {
        let numbers = [
            "-inf", "-1e300", "-2", "-1.5", "-0", "0", "1e-300", "1", "7", "inf",
        ];
        let weights = numbers.map(|text| weight(text.as_bytes()).expect("it is a number"));
        assert!(weights.is_sorted());
        assert_eq!(weights[4], weights[5]);
        assert_eq!(
            weights
                .iter()
                .collect::<std::collections::BTreeSet<_>>()
                .len(),
            9
        );
        let texts: [&[u8]; 6] = [b"", b"\0", b"a", b"a\0b", b"abcdefgh", b"b"];
        assert!(texts.map(beginning).is_sorted());
        assert!(weight(b"x").is_err());
    }

    #[test]
    fn a_part_of_the_order_is_that_part_of_the_whole() {
        let mut rng = store::Rng::seeded(3);
        let texts: Vec<_> = (0..200).map(|_| rng.below(50).to_string()).collect();
        let elements: Strings = texts.iter().map(|text| text.as_bytes()).collect();
        for is_descending in [false, true] {
            let number = |range| by_number(&elements, None, is_descending, range).expect("numbers");
            let text = |range| by_text(&elements, None, is_descending, range);
            let (numbers, all) = (number(0..200), text(0..200));
            for range in [0..1, 0..200, 5..5, 17..80, 150..200, 199..200] {
                assert_eq!(number(range.clone()), numbers[range.clone()]);
                assert_eq!(text(range.clone()), all[range]);
            }
            let rank = |index: &usize| texts[*index].parse::<u64>().expect("numbers");
            let is_sorted = numbers.iter().map(rank).is_sorted_by(|one, other| {
                if is_descending {
                    one >= other
                } else {
                    one <= other
                }
            });
            assert!(is_sorted);
        }
    }
}
