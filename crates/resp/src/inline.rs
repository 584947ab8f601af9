//! Inline commands: one line of words, as a person types them or a probe sends them.
//! Never sees the line's end; the decoder finds it and holds the line to its limit.
//! Source: the quoting rules redis-server 7 applies, found by asking it.

use crate::args::OwnedArgs;
use crate::protocol_error::ProtocolError;

/// Splits one line, without its end, into its words.
///
/// `"..."` knows `\n \r \t \b \a \xHH` and takes any other escaped byte as
/// itself; `'...'` knows `\'` alone. A double quote may open inside a word, and
/// what follows a closing quote must be a space or the end.
///
/// # Errors
/// [`ProtocolError::UnbalancedQuotes`] when a quote stays open or closes in mid-word.
pub fn split_line(line: &[u8]) -> Result<OwnedArgs, ProtocolError> {
    let mut args = OwnedArgs::new();
    let mut rest = skip_spaces(line);
    while !rest.is_empty() {
        rest = skip_spaces(word(rest, &mut args)?);
        args.close_arg();
    }
    Ok(args)
}

/// Adds the bytes of the word that `rest` starts with; returns what follows it.
fn word<'a>(mut rest: &'a [u8], args: &mut OwnedArgs) -> Result<&'a [u8], ProtocolError> {
    while let [byte, tail @ ..] = rest {
        match byte {
            // Fewer bytes end a word than are skipped between words; so it is in Redis.
            b' ' | b'\n' | b'\r' | b'\t' => break,
            b'"' => return double_quoted(tail, args),
            b'\'' => return single_quoted(tail, args),
            _ => args.push_byte(*byte),
        }
        rest = tail;
    }
    Ok(rest)
}

fn double_quoted<'a>(mut rest: &'a [u8], args: &mut OwnedArgs) -> Result<&'a [u8], ProtocolError> {
    loop {
        rest = match rest {
            [b'\\', b'x', high, low, tail @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                args.push_byte(hex_value(*high) << 4 | hex_value(*low));
                tail
            }
            [b'\\', escaped, tail @ ..] => {
                args.push_byte(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                tail
            }
            [b'"', tail @ ..] => return after_quote(tail),
            [byte, tail @ ..] => {
                args.push_byte(*byte);
                tail
            }
            [] => return Err(ProtocolError::UnbalancedQuotes),
        };
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], args: &mut OwnedArgs) -> Result<&'a [u8], ProtocolError> {
    loop {
        rest = match rest {
            [b'\\', b'\'', tail @ ..] => {
                args.push_byte(b'\'');
                tail
            }
            [b'\'', tail @ ..] => return after_quote(tail),
            [byte, tail @ ..] => {
                args.push_byte(*byte);
                tail
            }
            [] => return Err(ProtocolError::UnbalancedQuotes),
        };
    }
}

fn after_quote(rest: &[u8]) -> Result<&[u8], ProtocolError> {
    match rest {
        [byte, ..] if !is_space(*byte) => Err(ProtocolError::UnbalancedQuotes),
        _ => Ok(rest),
    }
}

fn skip_spaces(line: &[u8]) -> &[u8] {
    let words_at = line.iter().position(|&byte| !is_space(byte));
    &line[words_at.unwrap_or(line.len())..]
}

/// The bytes of C's `isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | 0x09..=0x0d)
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
        let args = split_line(line).ok()?;
        Some(args.as_args().iter().map(<[u8]>::to_vec).collect())
    }

    fn some(words: &[&[u8]]) -> Option<Vec<Vec<u8>>> {
        Some(words.iter().map(|word| word.to_vec()).collect())
    }

    #[test]
    fn words_are_parted_by_any_number_of_spaces() {
        assert_eq!(words(b"\t SET  k\tv \r"), some(&[b"SET", b"k", b"v"]));
        assert_eq!(words(b""), some(&[]));
        assert_eq!(words(b" \t\x0b\x0c "), some(&[]));
        assert_eq!(words(b"PING hi\rthere"), some(&[b"PING", b"hi", b"there"]));
    }

    #[test]
    fn a_vertical_tab_inside_a_word_belongs_to_it() {
        assert_eq!(words(b"a\x0bb\x0c"), some(&[b"a\x0bb\x0c"]));
    }

    #[test]
    fn double_quotes_know_escapes() {
        assert_eq!(
            words(br#""a\x41\n\r\t\b\a\\\q\"""#),
            some(&[b"aA\n\r\t\x08\x07\\q\""])
        );
        assert_eq!(words(br#""\xZZ\x4""#), some(&[b"xZZx4"]));
        assert_eq!(words(br#""\xfF""#), some(&[b"\xff"]));
    }

    #[test]
    fn single_quotes_know_only_the_escaped_quote() {
        assert_eq!(words(br"'a\'b\n'"), some(&[br"a'b\n"]));
    }

    #[test]
    fn quotes_make_empty_words() {
        assert_eq!(words(br#"ECHO """#), some(&[b"ECHO", b""]));
        assert_eq!(words(b"''"), some(&[b""]));
    }

    #[test]
    fn a_quote_may_open_inside_a_word() {
        assert_eq!(words(br#"a"b c""#), some(&[b"ab c"]));
        assert_eq!(words(b"a'b c'"), some(&[b"ab c"]));
    }

    #[test]
    fn escapes_outside_quotes_are_plain_bytes() {
        assert_eq!(words(br"a\x41\"), some(&[br"a\x41\"]));
    }

    #[test]
    fn a_zero_byte_is_a_byte_of_its_word() {
        assert_eq!(words(b"a\0b \"\0\""), some(&[b"a\0b", b"\0"]));
    }

    #[test]
    fn unbalanced_quotes_are_refused() {
        for line in [
            &br#""abc"#[..],
            b"'abc",
            br#""a"b"#,
            b"a'b'c",
            br#""a\"#,
            br"'a\\'b",
            br"'a\",
            br#"""""#,
        ] {
            assert_eq!(words(line), None, "{}", line.escape_ascii());
        }
    }
}
