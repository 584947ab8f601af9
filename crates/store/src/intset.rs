//! Owns the intset: a sorted set of integers in one run of bytes.
//! Never happens here: thresholds, or shrinking a buffer; callers do that.
//! Source: Redis' intset: one width for all integers, found by halving.
//!
//! An intset is the width of its integers in bytes, 2, 4 or 8, then the integers, little end first,
//! ascending. An integer that needs more width widens all; removing one never narrows them.
//! Functions trust the intset and panic on one that is broken.
#![forbid(unsafe_code)]

/// The width in front, in bytes.
const WIDTH_BYTES: usize = 1;

/// The least width, in bytes, that holds this integer.
#[inline]
fn width_of(number: i64) -> usize {
    if i16::try_from(number).is_ok() {
        2
    } else if i32::try_from(number).is_ok() {
        4
    } else {
        8
    }
}

/// The width of the integers in bytes.
#[inline]
fn width(set: &[u8]) -> usize {
    usize::from(set[0])
}

/// The integer of this width with this index.
#[inline]
fn read(set: &[u8], width: usize, index: usize) -> i64 {
    let at = WIDTH_BYTES + index * width;
    match (width, &set[at..at + width]) {
        (2, &[a, b]) => i64::from(i16::from_le_bytes([a, b])),
        (4, &[a, b, c, d]) => i64::from(i32::from_le_bytes([a, b, c, d])),
        (8, &[a, b, c, d, e, f, g, h]) => i64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => unreachable!("an integer is 2, 4 or 8 bytes wide"),
    }
}

/// Writes the integer of this width with this index.
#[inline]
fn write(set: &mut [u8], width: usize, index: usize, number: i64) {
    debug_assert!(width_of(number) <= width);
    let at = WIDTH_BYTES + index * width;
    set[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
}

/// The index of this integer, or the index where it belongs.
#[inline]
fn position(set: &[u8], number: i64) -> Result<usize, usize> {
    let width = width(set);
    let (mut low, mut high) = (0, len(set));
    // Integers often come in ascending order.
    if high == 0 || number > read(set, width, high - 1) {
        return Err(high);
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if read(set, width, middle) < number {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    // The last integer is not below this one, so there is one at `low`.
    if read(set, width, low) == number {
        Ok(low)
    } else {
        Err(low)
    }
}

/// The empty intset.
pub(crate) fn new() -> Vec<u8> {
    vec![2]
}

/// How many integers there are.
#[inline]
pub(crate) fn len(set: &[u8]) -> usize {
    (set.len() - WIDTH_BYTES) / width(set)
}

/// Whether this integer is in the set.
#[inline]
pub(crate) fn contains(set: &[u8], number: i64) -> bool {
    position(set, number).is_ok()
}

/// Adds this integer; whether it was not there.
pub(crate) fn insert(set: &mut Vec<u8>, number: i64) -> bool {
    let width = width(set);
    if width_of(number) > width {
        widen_with(set, number);
        return true;
    }
    let Err(index) = position(set, number) else {
        return false;
    };
    let (at, set_len) = (WIDTH_BYTES + index * width, set.len());
    set.resize(set_len + width, 0);
    set.copy_within(at..set_len, at + width);
    write(set, width, index, number);
    true
}

/// Widens all integers for this one, which lies outside of them all.
fn widen_with(set: &mut Vec<u8>, number: i64) {
    let (old_width, new_width) = (width(set), width_of(number));
    let integers = len(set);
    set.resize(WIDTH_BYTES + (integers + 1) * new_width, 0);
    let shift = usize::from(number < 0);
    // From the last one, so that none is overwritten before it is read.
    for index in (0..integers).rev() {
        let moved = read(set, old_width, index);
        write(set, new_width, index + shift, moved);
    }
    set[0] = new_width as u8;
    let index = if number < 0 { 0 } else { integers };
    write(set, new_width, index, number);
}

/// Removes this integer; whether it was there.
pub(crate) fn remove(set: &mut Vec<u8>, number: i64) -> bool {
    let Ok(index) = position(set, number) else {
        return false;
    };
    let width = width(set);
    let at = WIDTH_BYTES + index * width;
    set.drain(at..at + width);
    true
}

/// The integer with this index in ascending order, which is below [`len`].
#[inline]
pub(crate) fn at(set: &[u8], index: usize) -> i64 {
    read(set, width(set), index)
}

/// The integers in ascending order.
#[inline]
pub(crate) fn iter(set: &[u8]) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator + Clone {
    let width = width(set);
    (0..len(set)).map(move |index| read(set, width, index))
}

/// Whether these bytes are a whole valid intset; they may be any bytes.
#[cfg(test)]
pub(crate) fn check(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(2 | 4 | 8))
        && (bytes.len() - WIDTH_BYTES).is_multiple_of(width(bytes))
        && iter(bytes)
            .zip(iter(bytes).skip(1))
            .all(|(one, next)| one < next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Rng;
    use std::collections::BTreeSet;

    fn holding(numbers: &[i64]) -> Vec<u8> {
        let mut set = new();
        for &number in numbers {
            insert(&mut set, number);
        }
        set
    }

    #[test]
    fn any_changes_leave_what_an_ordered_set_would_hold() {
        for seed in 0..100 {
            let mut rng = Rng::seeded(seed);
            let (mut set, mut model) = (new(), BTreeSet::new());
            // Most sets stay narrow for a while, so that widening meets sets of many sizes.
            let shift_min = 40 * rng.below(2) + 8 * rng.below(3);
            for _ in 0..300 {
                let shift = (shift_min + rng.below(64)).min(61);
                let number = (rng.next_u64() as i64) >> shift;
                if rng.below(3) > 0 {
                    assert_eq!(insert(&mut set, number), model.insert(number));
                } else {
                    let number = match model.range(number..).next() {
                        Some(&there) if rng.below(4) > 0 => there,
                        _ => number,
                    };
                    assert_eq!(remove(&mut set, number), model.remove(&number));
                }
                assert_eq!(contains(&set, number), model.contains(&number));
                assert!(check(&set));
                assert_eq!((len(&set), iter(&set).len()), (model.len(), model.len()));
                assert!(iter(&set).eq(model.iter().copied()));
                assert!(iter(&set).rev().eq(model.iter().rev().copied()));
            }
            for (index, number) in model.into_iter().enumerate() {
                assert_eq!(at(&set, index), number);
                assert!(contains(&set, number));
            }
        }
    }

    #[test]
    fn an_integer_too_wide_widens_all_others() {
        let mut set = holding(&[5, -3, 32767, -32768]);
        assert_eq!((set[0], set.len()), (2, 9));
        assert!(!contains(&set, 32768));
        assert!(insert(&mut set, 32768));
        assert_eq!((set[0], set.len()), (4, 21));
        assert!(insert(&mut set, i64::MIN));
        assert_eq!((set[0], set.len()), (8, 49));
        let all = [i64::MIN, -32768, -3, 5, 32767, 32768];
        assert!(iter(&set).eq(all));
        assert!(remove(&mut set, i64::MIN));
        assert_eq!(set[0], 8);
    }

    #[test]
    fn an_integer_is_there_once() {
        let mut set = holding(&[1, 2]);
        assert!(!insert(&mut set, 2));
        assert!(remove(&mut set, 2));
        assert!(!remove(&mut set, 2));
        assert!(!remove(&mut set, 1 << 40));
        assert_eq!(len(&set), 1);
    }

    #[test]
    fn broken_bytes_are_refused() {
        assert!(check(&new()));
        assert!(check(&holding(&[1, 70000, -1])));
        let broken: [&[u8]; 8] = [
            &[],
            &[0],
            &[3, 0, 0, 0],
            &[2, 1],
            &[2, 1, 0, 1, 0],
            &[2, 2, 0, 1, 0],
            &[4, 1, 0],
            &[8, 0, 0, 0, 0, 0, 0, 0],
        ];
        for bytes in broken {
            assert!(!check(bytes), "{bytes:?}");
        }
    }
}
