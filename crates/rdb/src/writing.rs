//! Owns writing what every body is made of: lengths, numbers and strings.
//! Never compresses.
//! Source: the RDB format.

use store::canonical_int;

use crate::kind;

/// Appends a length, or any number as one.
pub(crate) fn len(len: u64, out: &mut Vec<u8>) {
    match len {
        0..0x40 => out.push(len as u8),
        0x40..0x4000 => {
            let first_bits = u16::from(kind::LEN_14_BITS) << 14;
            out.extend_from_slice(&(len as u16 | first_bits).to_be_bytes());
        }
        0x4000..0x1_0000_0000 => {
            out.push(kind::LEN_32_BITS);
            out.extend_from_slice(&(len as u32).to_be_bytes());
        }
        _ => {
            out.push(kind::LEN_64_BITS);
            out.extend_from_slice(&len.to_be_bytes());
        }
    }
}

/// Appends a string, as an integer where it reads like one of up to 32 bits.
pub(crate) fn string(text: &[u8], out: &mut Vec<u8>) {
    let special = |encoding: u8| kind::LEN_SPECIAL << 6 | encoding;
    match canonical_int(text) {
        Some(number @ -0x80..=0x7f) => {
            out.extend_from_slice(&[special(kind::STRING_INT_8), number as u8]);
        }
        Some(number @ -0x8000..=0x7fff) => {
            out.push(special(kind::STRING_INT_16));
            out.extend_from_slice(&(number as i16).to_le_bytes());
        }
        Some(number @ -0x8000_0000..=0x7fff_ffff) => {
            out.push(special(kind::STRING_INT_32));
            out.extend_from_slice(&(number as i32).to_le_bytes());
        }
        _ => raw(text, out),
    }
}

/// Appends a string as its bytes.
pub(crate) fn raw(bytes: &[u8], out: &mut Vec<u8>) {
    len(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}
