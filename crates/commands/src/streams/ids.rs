//! IDs of streams' entries, as clients write and read them, and entries in replies.
//! Never a stream here: what an ID means to one is its caller's.
//! Source: redis-server 7, down to what its number parser lets pass.

use crate::{Call, Error};
use resp::{Writer, number};
use store::{StreamEntry, StreamId};

/// What is no ID.
pub(super) const INVALID_ID: &str = "ERR Invalid stream ID specified as stream command argument";
const INVALID_START: &str = "ERR invalid start ID for the interval";
const INVALID_END: &str = "ERR invalid end ID for the interval";

/// The longest text that may be an ID.
const TEXT_BYTES_MAX: usize = 127;

/// Half of an ID. Redis takes what strtoull takes: space before it, a plus, zeros in front.
fn half(text: &[u8]) -> Option<u64> {
    if let Some(number) = number::parse_u64(text) {
        return Some(number);
    }
    let text = text.trim_ascii_start();
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
    match &digits[zeros..] {
        _ if !all_digits => None,
        [] => Some(0),
        significant => number::parse_u64(significant),
    }
}

/// Both halves of a text at its first dash; the second is missing where there is none.
fn halves(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|&byte| byte == b'-') {
        Some(dash) => (&text[..dash], Some(&text[dash + 1..])),
        None => (text, None),
    }
}

/// An ID, without the words `-` and `+`; `missing_seq` stands for a second half that is not given.
pub(super) fn parse(text: &[u8], missing_seq: u64) -> Result<StreamId, Error> {
    let parsed = || {
        let (ms, seq) = halves(text);
        Some(StreamId {
            ms: half(ms)?,
            seq: seq.map_or(Some(missing_seq), half)?,
        })
    };
    let fits = text.len() <= TEXT_BYTES_MAX;
    fits.then(parsed).flatten().ok_or_else(|| INVALID_ID.into())
}

/// The ID of an entry that is to be added: complete, or without a number within its millisecond.
#[derive(Clone, Copy)]
pub(super) enum NewId {
    Auto,
    Within(u64),
    Given(StreamId),
}

/// As [`parse`], with `5-*` for any number within a millisecond.
pub(super) fn parse_new(text: &[u8]) -> Result<NewId, Error> {
    match halves(text) {
        (ms, Some(b"*")) if text.len() <= TEXT_BYTES_MAX => {
            half(ms).map(NewId::Within).ok_or_else(|| INVALID_ID.into())
        }
        _ => parse(text, 0).map(NewId::Given),
    }
}

/// As [`parse`], with the words `-` and `+`.
pub(super) fn parse_or_edge(text: &[u8], missing_seq: u64) -> Result<StreamId, Error> {
    match text {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        text => parse(text, missing_seq),
    }
}

/// The first ID of an interval: an ID, an edge, or `(` and an ID that does not belong to it.
pub(super) fn parse_start(text: &[u8]) -> Result<StreamId, Error> {
    match text {
        [b'(', id @ ..] if !id.is_empty() => {
            parse(id, 0)?.next().ok_or_else(|| INVALID_START.into())
        }
        text => parse_or_edge(text, 0),
    }
}

/// The last ID of an interval, as [`parse_start`].
pub(super) fn parse_end(text: &[u8]) -> Result<StreamId, Error> {
    match text {
        [b'(', id @ ..] if !id.is_empty() => parse(id, u64::MAX)?
            .prev()
            .ok_or_else(|| INVALID_END.into()),
        text => parse_or_edge(text, u64::MAX),
    }
}

/// The arguments from `index` on as IDs.
pub(super) fn parse_rest(call: &Call<'_>, index: usize) -> Result<Vec<StreamId>, Error> {
    let rest = index..call.args.len();
    rest.map(|index| parse(call.args.at(index), 0)).collect()
}

/// Two numbers of 20 digits and a dash.
const ID_BYTES_MAX: usize = 41;

/// Writes an ID.
pub(super) fn write(out: &mut Writer<'_>, id: StreamId) {
    let (mut text, mut len) = ([0u8; ID_BYTES_MAX], 0);
    let mut put = |part: &[u8]| {
        text[len..len + part.len()].copy_from_slice(part);
        len += part.len();
    };
    put(itoa::Buffer::new().format(id.ms).as_bytes());
    put(b"-");
    put(itoa::Buffer::new().format(id.seq).as_bytes());
    out.bulk(&text[..len]);
}

/// Writes an entry: its ID, and names and values in turn.
pub(super) fn write_entry(out: &mut Writer<'_>, entry: &StreamEntry<'_>) {
    out.array(2);
    write(out, entry.id);
    let fields = entry.fields();
    out.array(2 * fields.len());
    for (name, value) in fields {
        crate::lookup::bulk(out, name);
        crate::lookup::bulk(out, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_redis_reads_them() {
        let id = |ms, seq| Some(StreamId { ms, seq });
        let cases = [
            ("5", id(5, 9)),
            ("5-7", id(5, 7)),
            ("005-07", id(5, 7)),
            ("+5- 7", id(5, 7)),
            ("0-0", id(0, 0)),
            (
                "18446744073709551615-18446744073709551615",
                id(u64::MAX, u64::MAX),
            ),
            ("18446744073709551616-0", None),
            ("000018446744073709551616", None),
            ("-5", None),
            ("5-", None),
            ("5--6", None),
            ("5-6-7", None),
            ("-", None),
            ("+", None),
            ("5-*", None),
            ("", None),
            ("5x", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text.as_bytes(), 9).ok(), expected, "{text}");
        }
        assert!(parse(&[b'0'; 127], 0).is_ok());
        assert!(parse(&[b'0'; 128], 0).is_err());
    }
}
