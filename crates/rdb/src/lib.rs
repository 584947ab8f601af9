//! Owns the payload of DUMP and RESTORE: a value as the bytes that Redis writes and reads.
//! Never happens here: storage, a clock, or a panic for what a client sent.
//! Source: the RDB format, versions 1 to 12, as redis-server 2.6 to 7.4 writes it.
//!
//! A payload is a type byte, a body, the version of the format in 2 bytes, and a CRC-64 of all that in 8:
//! little-endian both. What is announced is never believed before the bytes for it are seen, and what is
//! expanded (LZF, the field names that the entries of a stream share) stays within [`EXPANSION_RATIO_MAX`].
//!
//! ```
//! use store::{Content, Millis};
//!
//! let content = Content::String(b"12".to_vec());
//! let payload = rdb::encode(&content);
//! assert_eq!(payload[..3], [0, 0xc0, 12]);
//! assert_eq!(rdb::decode(&payload, Millis(0)), Ok(content));
//! ```

#![forbid(unsafe_code)]

mod decode;
mod encode;
mod kind;
mod listpack;
mod lzf;
mod pieces;
mod reader;
mod stream_decode;
mod stream_encode;
#[cfg(test)]
mod tests;
mod writing;
mod ziplist;

use std::fmt;

use crc::{CRC_64_REDIS, Crc, Table};
use store::{Content, Millis};

use reader::Reader;

pub use encode::INT_SET_MEMBERS_MAX;
pub use pieces::{Body, Sealing, string_head};
pub use reader::{EXPANSION_BYTES_MIN, EXPANSION_RATIO_MAX};

/// The newest version of the format that is read.
pub const VERSION_MAX: u16 = 12;

/// The version that payloads are written in; every type but a hash with field expiries is older.
const VERSION: u16 = 11;
/// The first version with field expiries.
const VERSION_FIELD_EXPIRIES: u16 = 12;
const VERSION_BYTES: usize = 2;
const CHECKSUM_BYTES: usize = 8;

/// Bytes behind the value in a payload: the version, the checksum.
pub const FOOTER_BYTES: usize = VERSION_BYTES + CHECKSUM_BYTES;
/// Bytes of a payload that are not the value's: its type and the footer.
pub const OVERHEAD_BYTES: usize = 1 + FOOTER_BYTES;

static CHECKSUM: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);

/// Why a payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// It is of a newer version than [`VERSION_MAX`], or too short to have one.
    Version,
    /// Its bytes are not those that the checksum was made of.
    Checksum,
    /// It does not hold a value that could be stored.
    Format,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::Version | Error::Checksum => "DUMP payload version or checksum are wrong",
            Error::Format => "Bad data format",
        })
    }
}

impl std::error::Error for Error {}

/// The payload of a value.
///
/// A collection has an element, each member or field is there once, and no score is NaN; a stream's
/// entries and pending entries are in rising order. [`decode`] accepts what is made of that.
pub fn encode(content: &Content) -> Vec<u8> {
    let mut payload = Vec::with_capacity(encode::bytes_expected(content) + OVERHEAD_BYTES);
    let kind = encode::value(content, &mut payload);
    let version = match kind {
        kind::HASH_METADATA => VERSION_FIELD_EXPIRIES,
        _ => VERSION,
    };
    seal(&mut payload, version);
    payload
}

/// The value of a payload. Fields of a hash whose time has come at `now` are left out; where no field
/// stays, the hash is empty and there is nothing to store.
///
/// Takes memory in proportion to the payload, and for compressed strings and the shared field names of
/// streams at most [`EXPANSION_RATIO_MAX`] times its length, or [`EXPANSION_BYTES_MIN`] if that is more.
///
/// # Errors
/// Footer first: [`Error::Version`], then [`Error::Checksum`], then whatever is wrong with the value.
pub fn decode(payload: &[u8], now: Millis) -> Result<Content, Error> {
    let (checked, checksum) = payload
        .split_last_chunk::<CHECKSUM_BYTES>()
        .ok_or(Error::Version)?;
    let (value, version) = checked
        .split_last_chunk::<VERSION_BYTES>()
        .ok_or(Error::Version)?;
    if u16::from_le_bytes(*version) > VERSION_MAX {
        return Err(Error::Version);
    }
    if CHECKSUM.checksum(checked) != u64::from_le_bytes(*checksum) {
        return Err(Error::Checksum);
    }
    let mut reader = Reader::new(value);
    let content = decode::value(&mut reader, now)?;
    reader.finish()?;
    Ok(content)
}

/// Appends the footer.
fn seal(payload: &mut Vec<u8>, version: u16) {
    payload.extend_from_slice(&version.to_le_bytes());
    let checksum = CHECKSUM.checksum(payload);
    payload.extend_from_slice(&checksum.to_le_bytes());
}
