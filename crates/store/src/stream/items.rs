//! Owns the codec of what lies in a node: numbers of variable length, and fields as strings or integers.
//! Never happens here: an allocation to read, or bytes that came from outside.
//! Source: LEB128 for numbers; a field that is the canonical text of an integer takes the integer's bytes.

use crate::value::{Value, canonical_int};

/// First bytes below this are the length of a short string.
const SHORT_STRINGS: u8 = 0x80;
/// Integers below this lie in the first byte itself.
const SMALL_INTS: u8 = 96;
/// From here the first byte says in how many bytes an integer follows.
const INTS: u8 = SHORT_STRINGS + SMALL_INTS;
/// From here the first byte says in how many bytes a long string's length follows.
const LONG_STRINGS: u8 = INTS + 8;

/// Bytes that [`put_number`] takes for `number`.
pub(super) fn number_len(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends a number, seven bits a byte, lowest first.
pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads the number at `at` and moves past it.
#[inline]
pub(super) fn take_number(bytes: &[u8], at: &mut usize) -> u64 {
    let (mut number, mut shift) = (0u64, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return number;
        }
        shift += 7;
    }
}

/// How many low bytes hold a signed number.
fn int_bytes(number: i64) -> usize {
    let magnitude = if number < 0 { !number } else { number } as u64;
    (64 - magnitude.leading_zeros() as usize) / 8 + 1
}

/// How many low bytes hold a length.
fn length_bytes(len: usize) -> usize {
    (64 - (len as u64 | 1).leading_zeros() as usize).div_ceil(8)
}

/// Bytes that [`put_item`] takes for `text`.
pub(super) fn item_len(text: &[u8]) -> usize {
    match canonical_int(text) {
        Some(number) if (0..i64::from(SMALL_INTS)).contains(&number) => 1,
        Some(number) => 1 + int_bytes(number),
        None if text.len() < usize::from(SHORT_STRINGS) => 1 + text.len(),
        None => 1 + length_bytes(text.len()) + text.len(),
    }
}

/// Appends a field's name or value.
pub(super) fn put_item(out: &mut Vec<u8>, text: &[u8]) {
    match canonical_int(text) {
        Some(number) if (0..i64::from(SMALL_INTS)).contains(&number) => {
            out.push(SHORT_STRINGS + number as u8);
        }
        Some(number) => {
            let len = int_bytes(number);
            out.push(INTS + len as u8 - 1);
            out.extend_from_slice(&number.to_le_bytes()[..len]);
        }
        None => {
            if text.len() < usize::from(SHORT_STRINGS) {
                out.push(text.len() as u8);
            } else {
                let len = length_bytes(text.len());
                out.push(LONG_STRINGS + len as u8 - 1);
                out.extend_from_slice(&(text.len() as u64).to_le_bytes()[..len]);
            }
            out.extend_from_slice(text);
        }
    }
}

/// Whether an item that was read has this text.
pub(super) fn is_text(item: Value<'_>, text: &[u8]) -> bool {
    match item {
        Value::Bytes { bytes, .. } => bytes == text,
        Value::Int(number) => canonical_int(text) == Some(number),
    }
}

/// Reads the item at `at` and moves past it.
#[inline]
pub(super) fn take_item<'a>(bytes: &'a [u8], at: &mut usize) -> Value<'a> {
    let first = bytes[*at];
    *at += 1;
    let len = match first {
        ..SHORT_STRINGS => usize::from(first),
        SHORT_STRINGS..INTS => return Value::Int(i64::from(first - SHORT_STRINGS)),
        INTS..LONG_STRINGS => {
            let len = usize::from(first - INTS) + 1;
            let low = take_low_bytes(bytes, at, len);
            let unused_bits = 64 - 8 * len as u32;
            return Value::Int((low << unused_bits) as i64 >> unused_bits);
        }
        LONG_STRINGS.. => take_low_bytes(bytes, at, usize::from(first - LONG_STRINGS) + 1) as usize,
    };
    let start = *at;
    *at += len;
    string(&bytes[start..start + len])
}

fn string(bytes: &[u8]) -> Value<'_> {
    Value::Bytes { bytes, raw: false }
}

fn take_low_bytes(bytes: &[u8], at: &mut usize, len: usize) -> u64 {
    let mut low = [0u8; 8];
    low[..len].copy_from_slice(&bytes[*at..*at + len]);
    *at += len;
    u64::from_le_bytes(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_take_the_bytes_announced() {
        let numbers = (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        for number in numbers.chain([u64::MAX]) {
            let mut bytes = vec![7];
            put_number(&mut bytes, number);
            assert_eq!(bytes.len() - 1, number_len(number), "{number}");
            let mut at = 1;
            assert_eq!(take_number(&bytes, &mut at), number);
            assert_eq!(at, bytes.len());
        }
    }

    #[test]
    fn integers_come_back_at_every_width() {
        let edges =
            (0..63).flat_map(|bit| [(1i64 << bit) - 1, 1 << bit, -(1 << bit), -(1 << bit) - 1]);
        for number in edges.chain([i64::MIN, i64::MAX, 95, 96]) {
            let text = number.to_string();
            let mut bytes = Vec::new();
            put_item(&mut bytes, text.as_bytes());
            assert_eq!(bytes.len(), item_len(text.as_bytes()));
            assert!(bytes.len() <= text.len() + 1);
            let mut at = 0;
            assert_eq!(take_item(&bytes, &mut at), Value::Int(number));
            assert_eq!(at, bytes.len());
        }
    }

    #[test]
    fn strings_come_back_whatever_their_length_and_bytes() {
        for len in [0, 1, 127, 128, 255, 256, 65_535, 65_536, 70_000] {
            let text: Vec<u8> = (0..len).map(|place| (place * 7 + 200) as u8).collect();
            let mut bytes = Vec::new();
            put_item(&mut bytes, &text);
            assert_eq!(bytes.len(), item_len(&text));
            let mut at = 0;
            assert_eq!(take_item(&bytes, &mut at), string(&text));
        }
        for text in [&b"007"[..], b"-0", b"+1", b"9223372036854775808", b" 1"] {
            let mut bytes = Vec::new();
            put_item(&mut bytes, text);
            assert_eq!(take_item(&bytes, &mut 0), string(text));
        }
    }
}
