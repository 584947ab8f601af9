//! Owns the judgement whether a segment of a key is an identifier rather than a name.
//! Never happens here: a look at other keys; how many segments there are beside it is judged elsewhere.
//! Source: what applications put between delimiters: numbers, hashes in hexadecimal, UUIDs.
#![forbid(unsafe_code)]

/// From so many hexadecimal digits on, a segment is an identifier.
const HEX_DIGITS_MIN: usize = 8;
const UUID_BYTES: usize = 36;

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
    inner.iter().all(u8::is_ascii_digit)
        || inner.len() >= HEX_DIGITS_MIN && inner.iter().all(u8::is_ascii_hexdigit)
        || is_uuid(inner)
}

fn is_uuid(segment: &[u8]) -> bool {
    let fits = |(place, byte): (usize, &u8)| match place {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    segment.len() == UUID_BYTES && segment.iter().enumerate().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        }
    }
}
