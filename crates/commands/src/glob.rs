//! Glob patterns as KEYS, SCAN and CONFIG GET take them: `*`, `?`, `[a-z]`, `[^a]`, and `\` before any byte.
//! Never recurses and never allocates; the time is at most pattern length times text length, whatever a client sends.
//! Algorithm: one remembered star (Krauss, "Matching Wildcards", 2008); every other token takes exactly one byte.

/// Whether `text` matches `pattern`.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    matches_with(pattern, text, |byte| byte)
}

/// As `matches`, but ASCII letters match in either case.
pub fn matches_ignoring_case(pattern: &[u8], text: &[u8]) -> bool {
    matches_with(pattern, text, |byte| byte.to_ascii_lowercase())
}

fn matches_with(pattern: &[u8], text: &[u8], fold: impl Fn(u8) -> u8 + Copy) -> bool {
    // Redis matches the empty text with the empty pattern only, not even with `*`; KEYS and SCAN treat a lone `*` apart.
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut p, mut t) = (0, 0);
    // Position after the last star, and where in the text its match ends for now.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            if p == pattern.len() {
                return true;
            }
            star = Some((p, t));
            continue;
        }
        if p < pattern.len() {
            let (fits, next) = token(&pattern[p..], text[t], fold);
            if fits {
                p += next;
                t += 1;
                continue;
            }
        }
        // Only the last star has to give: an earlier one that took more bytes would leave the later one fewer to choose from.
        let Some((after_star, taken)) = star else {
            return false;
        };
        star = Some((after_star, taken + 1));
        p = after_star;
        t = taken + 1;
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// Whether the first token of `pattern` accepts `byte`, and the token's length. The token is no star.
#[inline]
fn token(pattern: &[u8], byte: u8, fold: impl Fn(u8) -> u8 + Copy) -> (bool, usize) {
    match pattern[0] {
        b'?' => (true, 1),
        b'[' => class(pattern, byte, fold),
        b'\\' if pattern.len() > 1 => (fold(pattern[1]) == fold(byte), 2),
        literal => (fold(literal) == fold(byte), 1),
    }
}

/// A class of bytes; one that is not closed reaches to the end of the pattern.
fn class(pattern: &[u8], byte: u8, fold: impl Fn(u8) -> u8) -> (bool, usize) {
    let byte = fold(byte);
    let negated = pattern.get(1) == Some(&b'^');
    let mut at = if negated { 2 } else { 1 };
    let mut found = false;
    loop {
        match &pattern[at.min(pattern.len())..] {
            [] => return (found != negated, pattern.len()),
            [b'\\', escaped, ..] => {
                found |= fold(*escaped) == byte;
                at += 2;
            }
            [b']', ..] => return (found != negated, at + 1),
            [from, b'-', to, ..] => {
                let (from, to) = (fold(*from.min(to)), fold(*from.max(to)));
                found |= (from..=to).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= fold(*literal) == byte;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, expected: bool) {
        assert_eq!(
            matches(pattern.as_bytes(), text.as_bytes()),
            expected,
            "{pattern} on {text}"
        );
    }

    #[test]
    fn a_star_takes_any_number_of_bytes() {
        check("*", "abc", true);
        check("a*c", "abbbc", true);
        check("a*c", "ac", true);
        check("a*c", "abcd", false);
        check("a*b*c", "axbxbxc", true);
        check("*ab", "aab", true);
        check("a***", "a", true);
    }

    #[test]
    fn a_question_mark_takes_exactly_one_byte() {
        check("h?llo", "hello", true);
        check("h?llo", "hllo", false);
        check("?", "", false);
    }

    #[test]
    fn a_class_takes_one_of_its_bytes() {
        check("h[ae]llo", "hallo", true);
        check("h[ae]llo", "hillo", false);
        check("h[a-c]llo", "hbllo", true);
        check("h[c-a]llo", "hbllo", true);
        check("h[^e]llo", "hallo", true);
        check("h[^e]llo", "hello", false);
        check("[\\]]", "]", true);
        check("[a-", "-", true);
    }

    #[test]
    fn a_class_that_is_not_closed_reaches_to_the_end() {
        check("[abc", "b", true);
        check("[", "a", false);
        check("[^", "a", true);
    }

    #[test]
    fn a_backslash_takes_the_meaning_from_the_next_byte() {
        check("h\\*llo", "h*llo", true);
        check("h\\*llo", "hello", false);
        check("a\\", "a\\", true);
    }

    #[test]
    fn the_empty_text_matches_only_the_empty_pattern() {
        check("", "", true);
        check("*", "", false);
        check("", "a", false);
    }

    #[test]
    fn letters_match_in_either_case_when_asked() {
        assert!(matches_ignoring_case(b"MAX[M-O]em*", b"maxmemory"));
        assert!(!matches(b"MAX*", b"maxmemory"));
    }

    #[test]
    fn a_hostile_pattern_ends_in_time() {
        let text = vec![b'a'; 20_000];
        let mut pattern = b"a*".repeat(5_000);
        pattern.push(b'b');
        assert!(!matches(&pattern, &text));
    }
}
