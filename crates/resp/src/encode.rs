//! Writes replies; the only place that knows RESP2 from RESP3.
//! Never lets text made of a client's bytes end its own line.
//! Source: the RESP2 and RESP3 specifications.

use crate::number::format_double;

/// The protocol version a connection speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proto {
    /// What every connection starts with.
    #[default]
    Resp2,
    /// After `HELLO 3`: maps, sets, doubles and pushes have types of their own.
    Resp3,
}

/// Appends replies to a buffer.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    proto: Proto,
}

/// An aggregate whose length is not known yet; see [`Writer::finish`].
#[derive(Debug)]
#[must_use = "an aggregate without its header is not a reply"]
pub struct Deferred {
    at: usize,
    kind: Kind,
}

/// The aggregates.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Array,
    Map,
    Set,
    Push,
}

/// Bytes of a type byte, the digits of a 64-bit number with its sign, and CRLF.
const HEADER_BYTES_MAX: usize = 1 + 20 + 2;

impl<'a> Writer<'a> {
    /// Appends to `out` what a connection of version `proto` understands.
    #[inline]
    pub fn new(out: &'a mut Vec<u8>, proto: Proto) -> Self {
        Writer { out, proto }
    }

    /// The version written.
    #[inline]
    pub fn proto(&self) -> Proto {
        self.proto
    }

    /// Bytes now in the buffer, those before the first reply included.
    #[inline]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether the buffer holds nothing.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Cuts the buffer back to `len` bytes, to take back a reply begun.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.out.truncate(len);
    }

    /// Bytes that are a reply already.
    #[inline]
    pub fn raw(&mut self, encoded: &[u8]) {
        self.out.extend_from_slice(encoded);
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// A status line. CR and LF in it become spaces.
    #[inline]
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error line; `text` starts with the code: `ERR syntax error`. CR and LF
    /// in it become spaces.
    #[inline]
    pub fn error(&mut self, text: &str) {
        self.line(b'-', text.as_bytes());
    }

    /// An error line that quotes bytes of the client, which need not be UTF-8.
    #[inline]
    pub fn error_bytes(&mut self, text: &[u8]) {
        self.line(b'-', text);
    }

    /// An integer.
    #[inline]
    pub fn int(&mut self, value: i64) {
        match usize::try_from(value) {
            Ok(value) => self.length(b':', value),
            Err(_) => self.header(b':', value),
        }
    }

    /// A string of any bytes.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.out.reserve(HEADER_BYTES_MAX + bytes.len() + 2);
        self.length(b'$', bytes.len());
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// An integer as the string of its digits.
    #[inline]
    pub fn bulk_int(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }

    /// No value.
    #[inline]
    pub fn null(&mut self) {
        match self.proto {
            Proto::Resp2 => self.out.extend_from_slice(b"$-1\r\n"),
            Proto::Resp3 => self.out.extend_from_slice(b"_\r\n"),
        }
    }

    /// No array.
    #[inline]
    pub fn null_array(&mut self) {
        match self.proto {
            Proto::Resp2 => self.out.extend_from_slice(b"*-1\r\n"),
            Proto::Resp3 => self.out.extend_from_slice(b"_\r\n"),
        }
    }

    /// The header of an array of `len` replies, which follow.
    #[inline]
    pub fn array(&mut self, len: usize) {
        self.length(b'*', len);
    }

    /// The header of a map of `pairs` keys and values, which follow in turn.
    #[inline]
    pub fn map(&mut self, pairs: usize) {
        self.aggregate(Kind::Map, pairs);
    }

    /// The header of a set of `len` replies, which follow.
    #[inline]
    pub fn set(&mut self, len: usize) {
        self.aggregate(Kind::Set, len);
    }

    /// The header of a message that answers no command, of `len` replies.
    #[inline]
    pub fn push(&mut self, len: usize) {
        self.aggregate(Kind::Push, len);
    }

    /// The header of `pairs` attributes of the reply that follows them, names and values in turn.
    /// RESP2 has none: false, and nothing is written.
    pub fn attributes(&mut self, pairs: usize) -> bool {
        if self.proto == Proto::Resp3 {
            self.length(b'|', pairs);
        }
        self.proto == Proto::Resp3
    }

    /// Begins an array whose length [`Writer::finish`] will tell.
    #[inline]
    pub fn deferred_array(&mut self) -> Deferred {
        self.deferred(Kind::Array)
    }

    /// Begins a map whose number of pairs [`Writer::finish`] will tell.
    #[inline]
    pub fn deferred_map(&mut self) -> Deferred {
        self.deferred(Kind::Map)
    }

    /// Begins a set whose length [`Writer::finish`] will tell.
    #[inline]
    pub fn deferred_set(&mut self) -> Deferred {
        self.deferred(Kind::Set)
    }

    /// Puts the header of `count` replies, or of as many pairs for a map,
    /// before what was written since `deferred` was begun. Moves those bytes,
    /// so it is for replies of moderate size.
    ///
    /// # Panics
    /// When the buffer was truncated to before the aggregate.
    pub fn finish(&mut self, deferred: Deferred, count: usize) {
        let body_end = self.out.len();
        assert!(deferred.at <= body_end, "a deferred reply was cut off");
        self.aggregate(deferred.kind, count);
        let header_bytes = self.out.len() - body_end;
        self.out[deferred.at..].rotate_right(header_bytes);
    }

    /// A floating-point number; in RESP2 the string of it.
    pub fn double(&mut self, value: f64) {
        match self.proto {
            Proto::Resp2 => self.bulk_double(value),
            Proto::Resp3 => {
                self.out.push(b',');
                format_double(value, self.out);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// A floating-point number as the string of its digits.
    pub fn bulk_double(&mut self, value: f64) {
        if let Some(whole) = whole(value) {
            return self.bulk_int(whole);
        }
        let mut text = Vec::with_capacity(24);
        format_double(value, &mut text);
        self.bulk(&text);
    }

    /// A truth value; in RESP2 1 or 0.
    #[inline]
    pub fn boolean(&mut self, value: bool) {
        self.out.extend_from_slice(match (self.proto, value) {
            (Proto::Resp2, false) => b":0\r\n",
            (Proto::Resp2, true) => b":1\r\n",
            (Proto::Resp3, false) => b"#f\r\n",
            (Proto::Resp3, true) => b"#t\r\n",
        });
    }

    /// Text for people; `format` is three letters, `txt` or `mkd`. In RESP2 a string.
    pub fn verbatim(&mut self, format: &str, text: &[u8]) {
        debug_assert_eq!(format.len(), 3, "a verbatim format has three letters");
        match self.proto {
            Proto::Resp2 => self.bulk(text),
            Proto::Resp3 => {
                self.length(b'=', format.len() + 1 + text.len());
                self.out.extend_from_slice(format.as_bytes());
                self.out.push(b':');
                self.out.extend_from_slice(text);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// An integer of any size as its digits; in RESP2 a string.
    pub fn big_number(&mut self, digits: &str) {
        match self.proto {
            Proto::Resp2 => self.bulk(digits.as_bytes()),
            Proto::Resp3 => self.line(b'(', digits.as_bytes()),
        }
    }

    fn deferred(&mut self, kind: Kind) -> Deferred {
        let at = self.out.len();
        Deferred { at, kind }
    }

    fn aggregate(&mut self, kind: Kind, count: usize) {
        match (self.proto, kind) {
            (_, Kind::Array) | (Proto::Resp2, Kind::Set | Kind::Push) => self.length(b'*', count),
            (Proto::Resp2, Kind::Map) => self.length(b'*', count * 2),
            (Proto::Resp3, Kind::Map) => self.length(b'%', count),
            (Proto::Resp3, Kind::Set) => self.length(b'~', count),
            (Proto::Resp3, Kind::Push) => self.length(b'>', count),
        }
    }

    /// One line whose text cannot end it early.
    fn line(&mut self, kind: u8, text: &[u8]) {
        self.out.reserve(1 + text.len() + 2);
        self.out.push(kind);
        let text_at = self.out.len();
        self.out.extend_from_slice(text);
        for byte in &mut self.out[text_at..] {
            if matches!(*byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// A number that is not negative, in as few instructions as the short
    /// ones, nearly all, allow.
    #[inline]
    fn length(&mut self, kind: u8, len: usize) {
        match len {
            0..=9 => {
                self.out
                    .extend_from_slice(&[kind, b'0' + len as u8, b'\r', b'\n']);
            }
            10..=99 => {
                let (tens, ones) = (len as u8 / 10, len as u8 % 10);
                self.out
                    .extend_from_slice(&[kind, b'0' + tens, b'0' + ones, b'\r', b'\n']);
            }
            _ => self.header(kind, len as i64),
        }
    }

    fn header(&mut self, kind: u8, value: i64) {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(value).as_bytes();
        self.out.reserve(HEADER_BYTES_MAX);
        self.out.push(kind);
        self.out.extend_from_slice(digits);
        self.out.extend_from_slice(b"\r\n");
    }
}

/// The integer that a number is, where it is printed as one; most are.
#[inline]
fn whole(value: f64) -> Option<i64> {
    const WHOLE_MAX: f64 = (1u64 << 53) as f64;
    let is_negative_zero = value == 0.0 && value.is_sign_negative();
    (value.abs() <= WHOLE_MAX && value.fract() == 0.0 && !is_negative_zero).then_some(value as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(proto: Proto, write: impl FnOnce(&mut Writer<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Writer::new(&mut out, proto));
        String::from_utf8(out).expect("the tests write UTF-8")
    }

    /// What both versions write for the same reply.
    fn both(write: impl Fn(&mut Writer<'_>)) -> [String; 2] {
        [written(Proto::Resp2, &write), written(Proto::Resp3, &write)]
    }

    #[test]
    fn plain_replies_are_the_same_in_both_versions() {
        let same = |text: &str| [text.to_string(), text.to_string()];
        assert_eq!(both(|w| w.ok()), same("+OK\r\n"));
        assert_eq!(both(|w| w.simple("QUEUED")), same("+QUEUED\r\n"));
        assert_eq!(both(|w| w.error("ERR no")), same("-ERR no\r\n"));
        assert_eq!(both(|w| w.int(i64::MIN)), same(":-9223372036854775808\r\n"));
        assert_eq!(both(|w| w.bulk(b"")), same("$0\r\n\r\n"));
        assert_eq!(both(|w| w.bulk_int(-7)), same("$2\r\n-7\r\n"));
        assert_eq!(both(|w| w.array(0)), same("*0\r\n"));
        assert_eq!(both(|w| w.raw(b":1\r\n")), same(":1\r\n"));
    }

    #[test]
    fn typed_replies_fall_back_in_the_older_version() {
        let pair = |old: &str, new: &str| [old.to_string(), new.to_string()];
        assert_eq!(both(|w| w.null()), pair("$-1\r\n", "_\r\n"));
        assert_eq!(both(|w| w.null_array()), pair("*-1\r\n", "_\r\n"));
        assert_eq!(both(|w| w.map(2)), pair("*4\r\n", "%2\r\n"));
        assert_eq!(both(|w| w.set(2)), pair("*2\r\n", "~2\r\n"));
        assert_eq!(both(|w| w.push(2)), pair("*2\r\n", ">2\r\n"));
        assert_eq!(both(|w| w.double(0.5)), pair("$3\r\n0.5\r\n", ",0.5\r\n"));
        assert_eq!(both(|w| w.boolean(true)), pair(":1\r\n", "#t\r\n"));
        assert_eq!(both(|w| w.boolean(false)), pair(":0\r\n", "#f\r\n"));
        assert_eq!(
            both(|w| w.verbatim("txt", b"ok")),
            pair("$2\r\nok\r\n", "=6\r\ntxt:ok\r\n")
        );
        assert_eq!(
            both(|w| w.big_number("12")),
            pair("$2\r\n12\r\n", "(12\r\n")
        );
    }

    #[test]
    fn lengths_of_any_size_are_written_in_full() {
        for len in [0, 9, 10, 32, 99, 100, 12345, u32::MAX as usize] {
            let expected = format!("*{len}\r\n");
            assert_eq!(written(Proto::Resp2, |w| w.array(len)), expected);
        }
    }

    #[test]
    fn an_error_that_quotes_the_client_stays_on_one_line() {
        assert_eq!(
            written(Proto::Resp2, |w| w.error("ERR unknown 'a\r\n+OK\r\n'")),
            "-ERR unknown 'a  +OK  '\r\n"
        );
        let mut out = Vec::new();
        Writer::new(&mut out, Proto::Resp3).error_bytes(b"ERR \xff\n");
        assert_eq!(out, b"-ERR \xff \r\n");
        assert_eq!(written(Proto::Resp2, |w| w.simple("a\nb")), "+a b\r\n");
    }

    #[test]
    fn a_deferred_header_stands_before_what_was_written() {
        let nested = |w: &mut Writer<'_>| {
            w.ok();
            let outer = w.deferred_map();
            w.bulk(b"keys");
            let inner = w.deferred_array();
            for i in 0..12 {
                w.int(i % 10);
            }
            w.finish(inner, 12);
            w.finish(outer, 1);
        };
        let inner = "$4\r\nkeys\r\n*12\r\n:0\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n:8\r\n:9\r\n:0\r\n:1\r\n";
        assert_eq!(
            both(nested),
            [
                format!("+OK\r\n*2\r\n{inner}"),
                format!("+OK\r\n%1\r\n{inner}")
            ]
        );
    }

    #[test]
    fn an_empty_deferred_set_is_an_empty_set() {
        let empty = |w: &mut Writer<'_>| {
            let set = w.deferred_set();
            w.finish(set, 0);
        };
        assert_eq!(both(empty), ["*0\r\n", "~0\r\n"]);
    }

    #[test]
    fn a_reply_begun_can_be_taken_back() {
        let text = written(Proto::Resp2, |w| {
            w.ok();
            let begun = w.len();
            w.array(3);
            w.int(1);
            w.truncate(begun);
            w.error("ERR no");
        });
        assert_eq!(text, "+OK\r\n-ERR no\r\n");
    }
}
