//! Whether a string may grow: the limit of its length, and the limit of memory.
//! Never makes anything grow; a command asks here before it does.
//! Source: redis-server 7 for the texts; that growth asks the memory limit is our own.

use crate::{Call, Error, Reply, error};

const TOO_LONG: &str = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";

/// Growth beyond this asks the memory limit first: the general check before a command sees only what is used already.
const GROWTH_UNASKED_BYTES: u64 = 64 * 1024;

/// Whether a string of `len` bytes may become one of `wanted`, which is `None` beyond all numbers.
///
/// # Errors
/// The string would be too long, or memory has no room for it.
pub fn check_growth(call: &mut Call<'_>, len: u64, wanted: Option<u64>) -> Result<(), Error> {
    let longest = call.core.config.proto_max_bulk_len;
    let wanted = wanted.filter(|&wanted| wanted <= longest).ok_or(TOO_LONG)?;
    check_room(call, wanted.saturating_sub(len))
}

/// Whether memory has room for so many bytes more.
///
/// # Errors
/// It has not.
pub fn check_room(call: &mut Call<'_>, growth_bytes: u64) -> Reply {
    if growth_bytes > GROWTH_UNASKED_BYTES {
        let growth_bytes = i64::try_from(growth_bytes).unwrap_or(i64::MAX);
        if !call.core.may_grow(growth_bytes) {
            return Err(error::OUT_OF_MEMORY.into());
        }
    }
    Ok(())
}
