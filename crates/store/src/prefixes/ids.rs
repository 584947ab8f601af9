//! Owns the judgement whether a segment of a key is an identifier rather than a name.
//! Never happens here: a look at other keys; how many segments there are beside it is judged elsewhere.
//! Source: what applications put between delimiters: numbers, hashes in hexadecimal, UUIDs.
#![forbid(unsafe_code)]

use super::scan::{UUID_BYTES, hex_digits};

/// From so many hexadecimal digits on, a segment is an identifier.
const HEX_DIGITS_MIN: usize = 8;
const UUID_DASHES: [usize; 4] = [8, 13, 18, 23];

/// Whether a segment, without its delimiter, is all digits, eight or more hexadecimal digits, or a
/// UUID; the same within braces, as hash tags have them.
pub(super) fn is_id(segment: &[u8]) -> bool {
    let inner = match segment {
        [b'{', inner @ .., b'}'] => inner,
        whole => whole,
    };
    match inner.first() {
        Some(first) if first.is_ascii_hexdigit() => {}
        _ => return false,
    }
    is_uuid(inner)
        || inner.iter().all(u8::is_ascii_digit)
        || inner.len() >= HEX_DIGITS_MIN && inner.iter().all(u8::is_ascii_hexdigit)
}

/// The same from how many hexadecimal and decimal digits a segment begins with, at most sixteen of
/// each. `None` where only a look at all its bytes can tell.
#[inline(always)]
pub(super) fn is_id_by_digits(segment: &[u8], (hexadecimal, decimal): (u32, u32)) -> Option<bool> {
    let (hexadecimal, decimal) = (hexadecimal as usize, decimal as usize);
    if hexadecimal == 0 {
        (segment.first() != Some(&b'{')).then_some(false)
    } else if hexadecimal >= segment.len() {
        Some(decimal >= segment.len() || segment.len() >= HEX_DIGITS_MIN)
    } else {
        let may_go_on = hexadecimal == 16 || segment.len() == UUID_BYTES;
        (!may_go_on).then_some(false)
    }
}

fn is_uuid(segment: &[u8]) -> bool {
    let Some(segment) = segment
        .first_chunk::<UUID_BYTES>()
        .filter(|_| segment.len() == UUID_BYTES)
    else {
        return false;
    };
    let dashes: u64 = UUID_DASHES.iter().map(|place| 1 << place).sum();
    hex_digits(segment) == (1 << UUID_BYTES) - 1 - dashes
        && UUID_DASHES.iter().all(|place| segment[*place] == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_digits(segment: &str) -> Option<bool> {
        let leading = |holds: fn(&u8) -> bool| {
            let found = segment.as_bytes().iter().take_while(|byte| holds(byte));
            found.count().min(16) as u32
        };
        let digits = (leading(u8::is_ascii_hexdigit), leading(u8::is_ascii_digit));
        is_id_by_digits(segment.as_bytes(), digits)
    }

    #[test]
    fn numbers_hashes_and_uuids_are_identifiers() {
        for id in [
            "0",
            "12345678901234567890",
            "deadbeef",
            "0123456789ABCDEFabcd",
            "123e4567-e89b-12d3-a456-426614174000",
            "{42}",
            "{123e4567-e89b-12d3-a456-426614174000}",
        ] {
            assert!(is_id(id.as_bytes()), "{id}");
            assert_ne!(by_digits(id), Some(false), "{id}");
        }
    }

    #[test]
    fn names_are_no_identifiers() {
        for name in [
            "",
            "{}",
            "user",
            "v2",
            "facade",
            "2024-01-01",
            "123e4567-e89b-12d3-a456_426614174000",
            "{user}",
            "-1",
        ] {
            assert!(!is_id(name.as_bytes()), "{name}");
            assert_ne!(by_digits(name), Some(true), "{name}");
        }
    }
}
