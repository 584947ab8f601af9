//! How long a reply may get where the client alone decides how often the same bytes stand in it.
//! Never bounds what a command tells once: HGETALL is as long as its hash.
//! Source: none; redis-server has no such limit, and lets one command take all memory.

use crate::{Call, Error, error};

/// As much as one value can be: `proto-max-bulk-len`.
#[derive(Clone, Copy, Debug)]
pub struct ReplyLimit {
    bytes_max: u64,
}

impl ReplyLimit {
    /// The limit as it is configured.
    pub fn of(call: &Call<'_>) -> ReplyLimit {
        ReplyLimit {
            bytes_max: call.core.config.proto_max_bulk_len,
        }
    }

    /// Refuses a reply of which so many bytes are there.
    ///
    /// # Errors
    /// They are more than the limit.
    #[inline]
    pub fn check(self, bytes: usize) -> Result<(), Error> {
        if bytes as u64 <= self.bytes_max {
            return Ok(());
        }
        Err(error::REPLY_TOO_LONG.into())
    }

    /// Refuses a reply of so many elements before it is begun.
    ///
    /// # Errors
    /// They are more than the limit, however short they are.
    pub fn check_count(self, elements: u64) -> Result<(), Error> {
        const ELEMENT_BYTES_MIN: u64 = b"$0\r\n\r\n".len() as u64;
        if elements.saturating_mul(ELEMENT_BYTES_MIN) <= self.bytes_max {
            return Ok(());
        }
        Err(error::OUT_OF_RANGE.into())
    }
}
