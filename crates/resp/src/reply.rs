//! Replies read back from bytes, for clients and tests.
//! Never recurses deeper than a fixed bound, nor reserves for announced lengths.
//! Source: the RESP2 and RESP3 specifications.

use std::fmt;

use crate::number::{parse_f64, parse_i64};

/// Aggregates within aggregates that [`Reply::parse`] accepts.
pub const DEPTH_MAX: usize = 64;
/// Bytes of a string that [`Reply::parse`] accepts.
pub const BULK_BYTES_MAX: usize = 1 << 31;

/// One reply of a server.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// A status line.
    Simple(Vec<u8>),
    /// An error; its text starts with a code.
    Error(Vec<u8>),
    /// An integer.
    Int(i64),
    /// A string of any bytes.
    Bulk(Vec<u8>),
    /// No value, or no array.
    Null,
    /// Replies in order.
    Array(Vec<Reply>),
    /// Keys and values in order.
    Map(Vec<(Reply, Reply)>),
    /// Replies without order.
    Set(Vec<Reply>),
    /// A floating-point number and its text.
    Double(f64, Vec<u8>),
    /// A truth value.
    Bool(bool),
    /// Text for people: three letters of format, and the text.
    Verbatim([u8; 3], Vec<u8>),
    /// A message that answers no command.
    Push(Vec<Reply>),
    /// The digits of an integer of any size.
    BigNumber(Vec<u8>),
}

/// Bytes that are no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidReply(&'static str);

impl fmt::Display for InvalidReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid reply: {}", self.0)
    }
}

impl std::error::Error for InvalidReply {}

impl Reply {
    /// The reply at the start of `bytes` and how many bytes it takes; None when
    /// it does not end there.
    ///
    /// # Errors
    /// When no bytes to come could make a reply of them, or it nests deeper
    /// than [`DEPTH_MAX`].
    pub fn parse(bytes: &[u8]) -> Result<Option<(Reply, usize)>, InvalidReply> {
        let mut reader = Reader { bytes, at: 0 };
        match reader.reply(0) {
            Ok(reply) => Ok(Some((reply, reader.at))),
            Err(Stop::Incomplete) => Ok(None),
            Err(Stop::Invalid(why)) => Err(InvalidReply(why)),
        }
    }
}

/// Why reading went no further.
enum Stop {
    Incomplete,
    Invalid(&'static str),
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn reply(&mut self, depth: usize) -> Result<Reply, Stop> {
        if depth > DEPTH_MAX {
            return Err(Stop::Invalid("nested too deep"));
        }
        let line = self.line()?;
        let Some((&kind, text)) = line.split_first() else {
            return Err(Stop::Invalid("empty line"));
        };
        Ok(match kind {
            b'+' => Reply::Simple(text.to_vec()),
            b'-' => Reply::Error(text.to_vec()),
            b':' => Reply::Int(parse_i64(text).ok_or(Stop::Invalid("integer"))?),
            b',' => Reply::Double(parse_double(text)?, text.to_vec()),
            b'#' => match text {
                b"t" => Reply::Bool(true),
                b"f" => Reply::Bool(false),
                _ => return Err(Stop::Invalid("truth value")),
            },
            b'(' => match text.strip_prefix(b"-").unwrap_or(text) {
                [] => return Err(Stop::Invalid("big number")),
                digits if !digits.iter().all(u8::is_ascii_digit) => {
                    return Err(Stop::Invalid("big number"));
                }
                _ => Reply::BigNumber(text.to_vec()),
            },
            b'_' if text.is_empty() => Reply::Null,
            b'$' | b'*' if text == b"-1" => Reply::Null,
            b'$' => Reply::Bulk(self.bulk(text)?.to_vec()),
            b'!' => Reply::Error(self.bulk(text)?.to_vec()),
            b'=' => match self.bulk(text)? {
                [a, b, c, b':', text @ ..] => Reply::Verbatim([*a, *b, *c], text.to_vec()),
                _ => return Err(Stop::Invalid("verbatim text")),
            },
            b'*' => Reply::Array(self.replies(text, depth)?),
            b'~' => Reply::Set(self.replies(text, depth)?),
            b'>' => Reply::Push(self.replies(text, depth)?),
            b'%' => Reply::Map(self.pairs(text, depth)?),
            _ => return Err(Stop::Invalid("type")),
        })
    }

    fn line(&mut self) -> Result<&'a [u8], Stop> {
        let rest = &self.bytes[self.at..];
        let end = memchr::memchr(b'\r', rest).ok_or(Stop::Incomplete)?;
        match rest.get(end + 1) {
            None => Err(Stop::Incomplete),
            Some(b'\n') => {
                self.at += end + 2;
                Ok(&rest[..end])
            }
            Some(_) => Err(Stop::Invalid("CR without LF")),
        }
    }

    fn bulk(&mut self, len_text: &[u8]) -> Result<&'a [u8], Stop> {
        let len = length(len_text)?;
        if len > BULK_BYTES_MAX {
            return Err(Stop::Invalid("string too long"));
        }
        let rest = &self.bytes[self.at..];
        let body = rest.get(..len).ok_or(Stop::Incomplete)?;
        match rest[len..] {
            [b'\r', b'\n', ..] => {}
            [] | [b'\r'] => return Err(Stop::Incomplete),
            _ => return Err(Stop::Invalid("string without its end")),
        }
        self.at += len + 2;
        Ok(body)
    }

    fn replies(&mut self, len_text: &[u8], depth: usize) -> Result<Vec<Reply>, Stop> {
        let mut replies = Vec::new();
        for _ in 0..length(len_text)? {
            replies.push(self.reply(depth + 1)?);
        }
        Ok(replies)
    }

    fn pairs(&mut self, len_text: &[u8], depth: usize) -> Result<Vec<(Reply, Reply)>, Stop> {
        let mut pairs = Vec::new();
        for _ in 0..length(len_text)? {
            pairs.push((self.reply(depth + 1)?, self.reply(depth + 1)?));
        }
        Ok(pairs)
    }
}

fn length(text: &[u8]) -> Result<usize, Stop> {
    parse_i64(text)
        .and_then(|len| usize::try_from(len).ok())
        .ok_or(Stop::Invalid("length"))
}

fn parse_double(text: &[u8]) -> Result<f64, Stop> {
    match text {
        b"nan" => Ok(f64::NAN),
        _ => parse_f64(text).ok_or(Stop::Invalid("double")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::{Proto, Writer};
    use crate::testing::Random;

    fn parse(bytes: &[u8]) -> Option<Reply> {
        match Reply::parse(bytes) {
            Ok(Some((reply, consumed))) => {
                assert_eq!(consumed, bytes.len());
                Some(reply)
            }
            _ => None,
        }
    }

    /// Writes random replies and says what they should read back as.
    fn write_random(w: &mut Writer<'_>, random: &mut Random, depth: usize) -> Reply {
        let old = w.proto() == Proto::Resp2;
        let kinds = if depth < 4 { 16 } else { 12 };
        let len = random.below(5);
        let text = random.bytes(len * 7);
        match random.below(kinds) {
            0 => {
                w.ok();
                Reply::Simple(b"OK".to_vec())
            }
            1 => {
                w.error("ERR a\r\nb");
                Reply::Error(b"ERR a  b".to_vec())
            }
            2 => {
                let value = random.next() as i64 >> random.below(64);
                w.int(value);
                Reply::Int(value)
            }
            3 => {
                w.null();
                Reply::Null
            }
            4 => {
                w.null_array();
                Reply::Null
            }
            5 => {
                let value = random.next() as i32 as f64 / 64.0;
                w.double(value);
                let text = value.to_string().into_bytes();
                if old {
                    Reply::Bulk(text)
                } else {
                    Reply::Double(value, text)
                }
            }
            6 => {
                let value = random.below(2) == 1;
                w.boolean(value);
                if old {
                    Reply::Int(value.into())
                } else {
                    Reply::Bool(value)
                }
            }
            7 => {
                w.verbatim("txt", &text);
                if old {
                    Reply::Bulk(text)
                } else {
                    Reply::Verbatim(*b"txt", text)
                }
            }
            8 => {
                w.big_number("-123456789012345678901234567890");
                let digits = b"-123456789012345678901234567890".to_vec();
                if old {
                    Reply::Bulk(digits)
                } else {
                    Reply::BigNumber(digits)
                }
            }
            9..=11 => {
                w.bulk(&text);
                Reply::Bulk(text)
            }
            12 => {
                let map = w.deferred_map();
                let pairs: Vec<(Reply, Reply)> = (0..len)
                    .map(|_| {
                        let key = write_random(w, random, depth + 1);
                        (key, write_random(w, random, depth + 1))
                    })
                    .collect();
                w.finish(map, pairs.len());
                if old {
                    Reply::Array(pairs.into_iter().flat_map(|(k, v)| [k, v]).collect())
                } else {
                    Reply::Map(pairs)
                }
            }
            kind => {
                match kind {
                    13 => w.array(len),
                    14 => w.set(len),
                    _ => w.push(len),
                }
                let replies = (0..len)
                    .map(|_| write_random(w, random, depth + 1))
                    .collect();
                match kind {
                    14 if !old => Reply::Set(replies),
                    15 if !old => Reply::Push(replies),
                    _ => Reply::Array(replies),
                }
            }
        }
    }

    #[test]
    fn whatever_is_written_reads_back_in_both_versions() {
        for proto in [Proto::Resp2, Proto::Resp3] {
            let mut random = Random::new(17);
            for _ in 0..3000 {
                let mut out = Vec::new();
                let written = write_random(&mut Writer::new(&mut out, proto), &mut random, 0);
                assert_eq!(parse(&out), Some(written), "{}", out.escape_ascii());
            }
        }
    }

    #[test]
    fn a_reply_cut_anywhere_is_not_there_yet() {
        let mut random = Random::new(23);
        for _ in 0..300 {
            let mut out = Vec::new();
            write_random(&mut Writer::new(&mut out, Proto::Resp3), &mut random, 0);
            for cut in 0..out.len() {
                assert_eq!(Reply::parse(&out[..cut]), Ok(None));
            }
        }
    }

    #[test]
    fn only_the_first_reply_is_taken() {
        let first = Reply::parse(b":1\r\n:2\r\n");
        assert_eq!(first, Ok(Some((Reply::Int(1), 4))));
    }

    #[test]
    fn an_error_may_be_a_bulk_string() {
        assert_eq!(
            parse(b"!5\r\nERR x\r\n"),
            Some(Reply::Error(b"ERR x".to_vec()))
        );
    }

    #[test]
    fn special_doubles_are_read() {
        assert!(matches!(parse(b",nan\r\n"), Some(Reply::Double(value, _)) if value.is_nan()));
        let inf = Reply::Double(f64::NEG_INFINITY, b"-inf".to_vec());
        assert_eq!(parse(b",-inf\r\n"), Some(inf));
    }

    #[test]
    fn bytes_that_are_no_reply_are_refused() {
        for bytes in [
            &b"\r\n"[..],
            b"x\r\n",
            b":x\r\n",
            b"$-2\r\n",
            b"$1\r\nabc",
            b"*x\r\n",
            b"#x\r\n",
            b"=2\r\nab\r\n",
            b"(1x\r\n",
            b"(-\r\n",
            b",x\r\n",
            b"_x\r\n",
            b"+a\rb",
            b"$9223372036854775807\r\n",
        ] {
            assert!(Reply::parse(bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn nesting_has_a_bound() {
        let nested = |depth: usize| [b"*1\r\n".repeat(depth), b":1\r\n".to_vec()].concat();
        assert!(parse(&nested(DEPTH_MAX)).is_some());
        assert!(Reply::parse(&nested(DEPTH_MAX + 1)).is_err());
        assert!(Reply::parse(&nested(1_000_000)).is_err());
    }

    #[test]
    fn announced_lengths_are_waited_for_without_memory() {
        for bytes in [
            &b"*9223372036854775807\r\n:1\r\n"[..],
            b"%1000000000\r\n",
            b"$2147483648\r\n",
        ] {
            assert_eq!(Reply::parse(bytes), Ok(None));
        }
    }
}
