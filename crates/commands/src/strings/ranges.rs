//! Parts of strings: APPEND, STRLEN, GETRANGE, SETRANGE.
//! Never makes a string longer than `proto-max-bulk-len`, nor longer than the memory limit has room for.
//! Source: redis-server 7, asked for its limits and for how it counts from the end.

use crate::growth::check_growth;
use crate::{Call, Reply, lookup};
use resp::Writer;
use store::{Expiry, Value};

const OFFSET_OUT_OF_RANGE: &str = "ERR offset is out of range";

/// APPEND: answers the new length.
pub fn append(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (key, added) = (call.key(1), call.args.at(2));
    let len = lookup::string_before_write(call, key)?.map(|value| value.len() as u64);
    let (db, now) = (call.db, call.now());
    let new_len = match len {
        None => {
            call.core
                .shard
                .set(db, key, Value::from_bytes(added), Expiry::Clear, now);
            added.len() as u64
        }
        Some(len) => {
            check_growth(call, len, len.checked_add(added.len() as u64))?;
            call.core.shard.append(db, key, added, now) as u64
        }
    };
    out.int(new_len as i64);
    Ok(())
}

/// STRLEN: 0 without a key.
pub fn strlen(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let key = call.key(1);
    let len = lookup::read_string(call, key)?.map_or(0, |value| value.len());
    out.int(len as i64);
    Ok(())
}

/// GETRANGE and SUBSTR: negative positions count from the end; out of range is an empty string.
pub fn getrange(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (start, end) = (call.int(2)?, call.int(3)?);
    let key = call.key(1);
    match lookup::read_string(call, key)? {
        None => out.bulk(b""),
        Some(value) => {
            lookup::with_text(value, |text| out.bulk(&text[range(start, end, text.len())]))
        }
    }
    Ok(())
}

/// The bytes from `start` to `end`, both inclusive, of a string of `len` bytes.
fn range(start: i64, end: i64, len: usize) -> std::ops::Range<usize> {
    let len = len as i64;
    // Both before the string's start still name its first byte, unless they stand in the wrong order.
    if len == 0 || start < 0 && end < 0 && start > end {
        return 0..0;
    }
    let from_start = |position: i64| {
        if position < 0 {
            (position + len).max(0)
        } else {
            position
        }
    };
    let (start, end) = (from_start(start), from_start(end).min(len - 1));
    if start > end {
        0..0
    } else {
        start as usize..end as usize + 1
    }
}

/// SETRANGE: answers the new length.
pub fn setrange(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (offset, patch) = (call.int(2)?, call.args.at(3));
    let offset = u64::try_from(offset).map_err(|_| OFFSET_OUT_OF_RANGE)?;
    let key = call.key(1);
    let len = lookup::string_before_write(call, key)?.map_or(0, |value| value.len() as u64);
    if patch.is_empty() {
        out.int(len as i64);
        return Ok(());
    }
    check_growth(call, len, offset.checked_add(patch.len() as u64))?;
    let (db, now) = (call.db, call.now());
    let new_len = call
        .core
        .shard
        .set_range(db, key, offset as usize, patch, now);
    out.int(new_len as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_from_either_end() {
        assert_eq!(range(0, -1, 5), 0..5);
        assert_eq!(range(1, 2, 5), 1..3);
        assert_eq!(range(-3, -2, 5), 2..4);
        assert_eq!(range(3, 100, 5), 3..5);
    }

    #[test]
    fn what_lies_outside_is_empty() {
        assert_eq!(range(5, 10, 5), 0..0);
        assert_eq!(range(3, 1, 5), 0..0);
        assert_eq!(range(-1, -3, 5), 0..0);
        assert_eq!(range(0, -1, 0), 0..0);
        assert_eq!(range(i64::MAX, i64::MAX, 5), 0..0);
    }

    #[test]
    fn positions_before_the_start_name_the_first_byte() {
        assert_eq!(range(-100, -90, 5), 0..1);
        assert_eq!(range(0, -100, 5), 0..1);
        assert_eq!(range(i64::MIN, i64::MIN, 5), 0..1);
    }
}
