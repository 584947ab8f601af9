//! Strings of any bytes as text: what JSON and labels hold for keys and prefixes.
//! Never loses a byte but of very long strings, and says so: the text can be turned back.
//! Source: the escapes of redis-cli, less those that JSON and labels have themselves.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Bytes of a string that are shown; a key may have 512 MiB, which nobody reads every two seconds.
const SHOWN_BYTES_MAX: usize = 1024;

/// The text of a binary string: UTF-8 as it is, a byte that is no part of any as `\xff`, a backslash as `\\`. A string
/// above 1,024 bytes is cut, and how much is missing stands at the end.
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    if bytes.len() > SHOWN_BYTES_MAX {
        let (shown, rest) = bytes.split_at(SHOWN_BYTES_MAX);
        return Cow::Owned(format!("{}… and {} bytes", text(shown), rest.len()));
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text.contains('\\')
    {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        escaped.push_str(&chunk.valid().replace('\\', "\\\\"));
        for byte in chunk.invalid() {
            let _ = write!(escaped, "\\x{byte:02x}");
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_tells_every_byte() {
        assert_eq!(text(b"user:1"), "user:1");
        assert_eq!(text("über".as_bytes()), "über");
        assert_eq!(text(b"a\xff\xfeb"), "a\\xff\\xfeb");
        assert_eq!(text(b"a\\xffb"), "a\\\\xffb");
        assert_eq!(text(b"\xe2\x82"), "\\xe2\\x82");
        assert_eq!(text(b""), "");
    }

    #[test]
    fn a_very_long_string_is_cut_and_says_so() {
        let long = vec![b'k'; SHOWN_BYTES_MAX + 5];
        assert!(text(&long).ends_with("kk… and 5 bytes"));
        assert_eq!(text(&long[..SHOWN_BYTES_MAX]).len(), SHOWN_BYTES_MAX);
    }
}
