//! Owns what each byte of a key may be while its account stays the same.
//! Never happens here: a guess; what is not certain is taken to be the byte as it is.
//! Source: the rules of prefixes; an identifier is one whatever its digits are.
#![forbid(unsafe_code)]

use super::ids::is_id;
use super::scan::SEEN_BYTES;

/// The first and the last letter among hexadecimal digits.
const LOWER: [u8; 2] = *b"af";
const UPPER: [u8; 2] = *b"AF";

/// What one byte may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lane {
    /// Anything.
    Any,
    /// Anything but this, which is the delimiter.
    Not(u8),
    /// This alone.
    One(u8),
    /// A decimal digit.
    Digit,
    /// A decimal digit, or a letter from one to another.
    Hex([u8; 2]),
}

impl Lane {
    /// Two ranges, in one of which the byte must be: each its first value and how many others follow.
    pub(super) fn ranges(self) -> [(u8, u8); 2] {
        match self {
            Lane::Any => [(0, u8::MAX); 2],
            Lane::Not(delimiter) => [(delimiter.wrapping_add(1), u8::MAX - 1); 2],
            Lane::One(byte) => [(byte, 0); 2],
            Lane::Digit => [(b'0', 9); 2],
            Lane::Hex([first, last]) => [(b'0', 9), (first, last - first)],
        }
    }
}

/// What the bytes of a key that are seen may be.
pub(super) type Lanes = [Lane; SEEN_BYTES];

/// Where a key counts, and why.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) node: u16,
    /// Lengths of its segments with their delimiters, all before them included; 0 for one that is not there.
    pub(super) ends: [usize; 2],
    /// Whether it would count elsewhere if another delimiter followed.
    pub(super) is_open: bool,
    /// Whether it counts here whatever its second segment is.
    pub(super) is_joined: bool,
}

impl Found {
    /// Bytes of its prefix.
    pub(super) fn end(&self) -> usize {
        self.ends[0].max(self.ends[1])
    }
}

/// What the bytes of a key that are seen may be for another to count where this one does; `None` if
/// that would have to be told in too many words.
pub(super) fn lanes_of(key: &[u8], found: &Found, delimiter: u8) -> Option<Lanes> {
    let behind = if found.is_open {
        Lane::Not(delimiter)
    } else {
        Lane::Any
    };
    let mut lanes = [behind; SEEN_BYTES];
    let mut start = 0;
    for (nth, end) in found.ends.into_iter().enumerate() {
        if end == 0 {
            break;
        }
        let lanes = &mut lanes[start..end];
        if nth == 1 && found.is_joined {
            lanes.fill(Lane::Not(delimiter));
            lanes[end - start - 1] = Lane::One(delimiter);
        } else {
            segment(&key[start..end], lanes)?;
        }
        start = end;
    }
    Some(lanes)
}

/// The same for a segment with its delimiter.
fn segment(segment: &[u8], lanes: &mut [Lane]) -> Option<()> {
    let inner = &segment[..segment.len() - 1];
    let is_number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'{' | b'}');
    let has = |is: fn(&u8) -> bool| inner.iter().any(is);
    let digit = match is_id(inner) {
        false => None,
        true if inner.iter().all(is_number) => Some(Lane::Digit),
        true => match (has(u8::is_ascii_lowercase), has(u8::is_ascii_uppercase)) {
            (true, true) => return None,
            (_, false) => Some(Lane::Hex(LOWER)),
            (false, true) => Some(Lane::Hex(UPPER)),
        },
    };
    for (lane, byte) in lanes.iter_mut().zip(segment) {
        *lane = match digit {
            Some(digit) if byte.is_ascii_hexdigit() => digit,
            _ => Lane::One(*byte),
        };
    }
    Some(())
}
