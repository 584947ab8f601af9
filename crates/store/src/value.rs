//! Owns the words of the store's interface: keys' values, expiry, encodings, time.
//! Never happens here: storage.
//! Source: Redis' string encodings as OBJECT ENCODING names them.
#![forbid(unsafe_code)]

/// Strings up to this many bytes are called `embstr`, longer ones `raw`, as Redis does.
pub const EMBSTR_BYTES_MAX: usize = 44;

/// The longest text of a 64-bit integer: 19 digits and a sign.
pub(crate) const INT_TEXT_BYTES_MAX: usize = 20;

/// A moment, in milliseconds since 1970 of the wall clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct Millis(pub i64);

impl Millis {
    /// This moment and `span_ms` more, held at the end of time.
    pub fn plus(self, span_ms: i64) -> Millis {
        Millis(self.0.saturating_add(span_ms))
    }

    /// Milliseconds from `earlier` to this moment, negative when it lies after; never wraps.
    pub fn since(self, earlier: Millis) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// What a string key holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value<'a> {
    /// Bytes; `raw` when a command edited them in place, which OBJECT ENCODING shows.
    Bytes {
        /// The string.
        bytes: &'a [u8],
        /// Whether the encoding is `raw` even for a short string.
        raw: bool,
    },
    /// The canonical text of this integer, stored in 1, 2, 4 or 8 bytes.
    Int(i64),
}

impl<'a> Value<'a> {
    /// The value these bytes are best stored as: an integer if they are the canonical text of one.
    #[inline]
    pub fn from_bytes(bytes: &'a [u8]) -> Value<'a> {
        match canonical_int(bytes) {
            Some(number) => Value::Int(number),
            None => Value::Bytes { bytes, raw: false },
        }
    }

    /// Length of the string in bytes, as STRLEN counts it.
    pub fn len(&self) -> usize {
        match self {
            Value::Bytes { bytes, .. } => bytes.len(),
            Value::Int(number) => int_text_len(*number),
        }
    }

    /// Whether the string is empty.
    pub fn is_empty(&self) -> bool {
        matches!(self, Value::Bytes { bytes: [], .. })
    }

    /// What OBJECT ENCODING answers.
    pub fn encoding(&self) -> Encoding {
        match self {
            Value::Int(_) => Encoding::Int,
            Value::Bytes { bytes, raw: false } if bytes.len() <= EMBSTR_BYTES_MAX => {
                Encoding::Embstr
            }
            Value::Bytes { .. } => Encoding::Raw,
        }
    }
}

/// What a write does with the key's expiry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expiry {
    /// The key lives until it is deleted.
    Clear,
    /// The key keeps the expiry it has.
    Keep,
    /// The key is gone once the clock is past this moment.
    At(Millis),
}

/// The type of a key's value, as TYPE answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A string.
    String,
    /// A list.
    List,
    /// A set.
    Set,
    /// A sorted set.
    Zset,
    /// A hash.
    Hash,
    /// A stream.
    Stream,
}

/// How many kinds there are.
pub const KINDS: usize = 6;

impl Kind {
    /// Every kind, in the order of the per-kind accounts.
    pub const ALL: [Kind; KINDS] = [
        Kind::String,
        Kind::List,
        Kind::Set,
        Kind::Zset,
        Kind::Hash,
        Kind::Stream,
    ];

    /// The name TYPE answers with.
    pub fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::List => "list",
            Kind::Set => "set",
            Kind::Zset => "zset",
            Kind::Hash => "hash",
            Kind::Stream => "stream",
        }
    }
}

/// How a value is stored, as OBJECT ENCODING answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    /// An integer.
    Int,
    /// A short string.
    Embstr,
    /// A longer string, or one that was edited in place.
    Raw,
    /// A small collection, packed.
    Listpack,
    /// A small hash with fields that expire, packed.
    ListpackEx,
    /// A small set of integers.
    Intset,
    /// A large set or hash.
    Hashtable,
    /// A large sorted set; the name is Redis', the structure a tree.
    Skiplist,
    /// A large list.
    Quicklist,
    /// A stream.
    Stream,
}

impl Encoding {
    /// The name OBJECT ENCODING answers with.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Int => "int",
            Encoding::Embstr => "embstr",
            Encoding::Raw => "raw",
            Encoding::Listpack => "listpack",
            Encoding::ListpackEx => "listpackex",
            Encoding::Intset => "intset",
            Encoding::Hashtable => "hashtable",
            Encoding::Skiplist => "skiplist",
            Encoding::Quicklist => "quicklist",
            Encoding::Stream => "stream",
        }
    }
}

/// The integer whose canonical text this is: no leading zero, no plus, no `-0`, within 64 bits.
#[inline]
pub fn canonical_int(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > INT_TEXT_BYTES_MAX {
        return None;
    }
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !is_negative => return Some(0),
        [b'1'..=b'9', ..] => {}
        _ => return None,
    }
    // Built up below zero, where there is room for the smallest integer.
    let mut number = 0i64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_sub(i64::from(digit))?;
    }
    if is_negative {
        Some(number)
    } else {
        number.checked_neg()
    }
}

/// Length of an integer's canonical text in bytes.
fn int_text_len(number: i64) -> usize {
    let digits = number.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 1;
    digits + usize::from(number < 0)
}

/// An integer's canonical text, on the stack.
pub(crate) struct IntText {
    text: [u8; INT_TEXT_BYTES_MAX],
    start: usize,
}

impl IntText {
    pub(crate) fn of(number: i64) -> IntText {
        let mut text = [0u8; INT_TEXT_BYTES_MAX];
        let mut start = text.len();
        let mut rest = number.unsigned_abs();
        loop {
            start -= 1;
            text[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if number < 0 {
            start -= 1;
            text[start] = b'-';
        }
        IntText { text, start }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.text[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_texts_are_integers() {
        for text in [
            "0",
            "1",
            "-1",
            "10",
            "9223372036854775807",
            "-9223372036854775808",
        ] {
            assert_eq!(
                canonical_int(text.as_bytes()),
                Some(text.parse().unwrap()),
                "{text}"
            );
        }
        let others = [
            "",
            "-",
            "+1",
            "-0",
            "01",
            " 1",
            "1 ",
            "1.0",
            "0x1",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
            "123456789012345678901",
            "-01",
            "1-",
            "a",
        ];
        for text in others {
            assert_eq!(canonical_int(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn an_integers_text_is_its_canonical_text() {
        for number in [0, 1, -1, 9, 10, 99, 100, -12345, i64::MAX, i64::MIN] {
            let text = IntText::of(number);
            assert_eq!(text.bytes(), number.to_string().as_bytes());
            assert_eq!(Value::Int(number).len(), text.bytes().len());
            assert_eq!(canonical_int(text.bytes()), Some(number));
        }
    }

    #[test]
    fn a_string_is_embstr_up_to_44_bytes_unless_it_was_edited() {
        let text = [b'x'; 45];
        let value = |len: usize, raw| Value::Bytes {
            bytes: &text[..len],
            raw,
        };
        assert_eq!(value(44, false).encoding(), Encoding::Embstr);
        assert_eq!(value(45, false).encoding(), Encoding::Raw);
        assert_eq!(value(3, true).encoding(), Encoding::Raw);
        assert_eq!(Value::from_bytes(b"12").encoding(), Encoding::Int);
    }

    #[test]
    fn time_does_not_wrap() {
        assert_eq!(Millis(i64::MAX).plus(1), Millis(i64::MAX));
        assert_eq!(Millis(i64::MIN).since(Millis(i64::MAX)), i64::MIN);
    }
}
