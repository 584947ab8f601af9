//! What can be wrong with the bytes of a client, and the texts that say so.
//! Never concerns a well-formed command; after any of these the connection closes.
//! Source: the texts of redis-server 7, byte for byte.

use std::fmt;

/// Bytes that are not the protocol. The connection is closed after the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// The number after `*` is not a number, or more than the limit.
    InvalidMultibulkLength,
    /// A client that has not authenticated announced too many arguments.
    UnauthenticatedMultibulkLength,
    /// An argument starts with this byte instead of `$`.
    ExpectedBulk(u8),
    /// The number after `$` is not a number, is negative, or more than the limit.
    InvalidBulkLength,
    /// A client that has not authenticated announced too long an argument.
    UnauthenticatedBulkLength,
    /// A line that starts with `*` does not end.
    MultibulkLineTooLong,
    /// A line that announces an argument does not end.
    BulkLineTooLong,
    /// An inline command does not end.
    InlineTooLong,
    /// A quote of an inline command is not closed, or closed in mid-word.
    UnbalancedQuotes,
}

impl ProtocolError {
    /// Appends the error reply, `-ERR Protocol error: ...` and its CRLF.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"-ERR Protocol error: ");
        if let ProtocolError::ExpectedBulk(got) = *self {
            // The client's byte goes back as it is, unless it would end the line.
            let shown = if matches!(got, b'\r' | b'\n') {
                b' '
            } else {
                got
            };
            out.extend_from_slice(b"expected '$', got '");
            out.extend_from_slice(&[shown, b'\'']);
        } else {
            out.extend_from_slice(self.text().as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }

    fn text(&self) -> &'static str {
        match self {
            ProtocolError::InvalidMultibulkLength => "invalid multibulk length",
            ProtocolError::UnauthenticatedMultibulkLength => "unauthenticated multibulk length",
            ProtocolError::ExpectedBulk(_) => "expected '$'",
            ProtocolError::InvalidBulkLength => "invalid bulk length",
            ProtocolError::UnauthenticatedBulkLength => "unauthenticated bulk length",
            ProtocolError::MultibulkLineTooLong => "too big mbulk count string",
            ProtocolError::BulkLineTooLong => "too big bulk count string",
            ProtocolError::InlineTooLong => "too big inline request",
            ProtocolError::UnbalancedQuotes => "unbalanced quotes in request",
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Protocol error: {}", self.text())?;
        match self {
            ProtocolError::ExpectedBulk(got) => write!(f, ", got '{}'", got.escape_ascii()),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for ProtocolError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form_is_one_error_line_whatever_byte_the_client_sent() {
        for got in 0..=255u8 {
            let mut out = Vec::new();
            ProtocolError::ExpectedBulk(got).write_to(&mut out);
            assert!(out.starts_with(b"-ERR Protocol error: expected '$', got '"));
            assert!(out.ends_with(b"'\r\n"));
            let line = &out[..out.len() - 2];
            assert!(!line.contains(&b'\r') && !line.contains(&b'\n'));
        }
    }

    #[test]
    fn a_log_line_shows_an_unprintable_byte_escaped() {
        assert_eq!(
            ProtocolError::ExpectedBulk(0xff).to_string(),
            "Protocol error: expected '$', got '\\xff'"
        );
    }
}
