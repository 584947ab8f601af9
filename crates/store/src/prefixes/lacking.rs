//! Owns what says quickly that a prefix has no account: a bit for the beginning of each name that has one.
//! Never happens here: a name overlooked; a beginning that only seems to be here costs no more than time.
//! Source: Bloom (1970), with one hash.
#![forbid(unsafe_code)]

use super::ids::{is_id, is_id_by_digits};
use super::scan::{self, CHUNK, Delimiters, Seen, masked};

/// Sixty-four for each account that there can be: one beginning in sixty-four seems to have one.
const BITS: usize = 64 * super::tree::NODES_MAX;
/// Odd, and its bits in no order.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// What makes of the word of a first segment the one that says that `*` below it has an account.
const STAR: u64 = 0xd6e8_feb8_6659_fd93;

/// The beginnings of names that have an account, of one segment and of two. A key counts among others if its first
/// segment has none, or if that has one and both together have none.
#[derive(Debug)]
pub(super) struct Lacking {
    bits: [u64; BITS / 64],
    /// The delimiter that is looked for; there is no quick look where there are several.
    delimiter: [u8; CHUNK],
    has_one_delimiter: bool,
    /// Whether identifiers have an account.
    has_ids: bool,
    /// Whether second segments count.
    has_seconds: bool,
}

impl Lacking {
    /// Of these names, which are all that there are.
    pub(super) fn of<'a>(
        names: impl Iterator<Item = &'a [u8]>,
        delimiters: &Delimiters,
        has_seconds: bool,
    ) -> Box<Lacking> {
        let mut lacking = Box::new(Lacking {
            bits: [0; BITS / 64],
            delimiter: delimiters.first(),
            has_one_delimiter: !delimiters.has_several(),
            has_ids: false,
            has_seconds,
        });
        // What stands for no segment in sight is not lacking.
        lacking.note(0);
        for name in names {
            lacking.has_ids |= matches!(name, [b'*', _]);
            if name.len() <= CHUNK {
                lacking.note(scan::folded(scan::head(name)));
            }
            if let [first @ .., b'*', _] = name
                && (1..=CHUNK).contains(&first.len())
            {
                lacking.note(scan::folded(scan::head(first)) ^ STAR);
            }
        }
        lacking
    }

    fn note(&mut self, word: u64) {
        let place = place_of(word);
        self.bits[place / 64] |= 1 << (place % 64);
    }

    /// Whether one look at the first bytes of a key may tell anything without a doubt of identifiers.
    pub(super) fn may_be_asked_at_once(&self) -> bool {
        self.has_one_delimiter && !self.has_ids
    }

    /// Whether the first segment of a key surely has no account, as far as its first bytes tell.
    #[inline(always)]
    pub(super) fn has_at_once(&self, chunk: &[u8; CHUNK]) -> bool {
        self.lacks(scan::folded_to(chunk, scan::equal(chunk, &self.delimiter)))
    }

    /// Whether a key surely counts among others, as far as its first bytes tell.
    pub(super) fn has_soon(&self, chunk: &[u8; CHUNK]) -> bool {
        let places = scan::equal(chunk, &self.delimiter);
        let first = scan::folded_to(chunk, places);
        self.has_one_delimiter
            && (self.lacks(first) || self.has_seconds && self.lacks_second(chunk, places, first))
            && !(self.has_ids && may_be_id(chunk))
    }

    /// Whether the first two segments surely have no account, neither as they stand nor with `*` for the second.
    #[inline(always)]
    fn lacks_second(&self, chunk: &[u8; CHUNK], places: u32, first: u64) -> bool {
        let both = scan::folded_to(chunk, places & places.wrapping_sub(1));
        self.lacks(both) && self.lacks(first ^ STAR)
    }

    /// The same from a look at more of a key; `last` is where its last segment ends that counts.
    pub(super) fn has(&self, key: &[u8], seen: Seen, last: u64) -> bool {
        let end = seen.delimiters.trailing_zeros() as usize;
        if end >= key.len() {
            return false;
        }
        let is_id = is_id_at(key, end);
        if end >= CHUNK || is_id {
            return is_id && !self.has_ids;
        }
        let first = scan::folded(masked(seen.head, seen.delimiters));
        let both = scan::folded(masked(seen.head, last));
        let has_both = last != seen.delimiters && last.trailing_zeros() < CHUNK as u32;
        self.lacks(first) || has_both && self.lacks(both) && self.lacks(first ^ STAR)
    }

    #[inline(always)]
    fn lacks(&self, word: u64) -> bool {
        let place = place_of(word);
        self.bits[place / 64] >> (place % 64) & 1 == 0
    }
}

/// Whether the first segment of a key may be an identifier, from how that begins.
fn may_be_id(key: &[u8]) -> bool {
    match key {
        [b'{', first, ..] | [first, ..] => first.is_ascii_hexdigit(),
        [] => false,
    }
}

/// Whether the first segment of a key, which ends there, is an identifier.
fn is_id_at(key: &[u8], end: usize) -> bool {
    let segment = &key[..end];
    may_be_id(segment)
        && is_id_by_digits(segment, scan::leading_digits(key, 0)).unwrap_or_else(|| is_id(segment))
}

#[inline(always)]
fn place_of(word: u64) -> usize {
    const SHIFT: u32 = u64::BITS - BITS.ilog2();
    (word.wrapping_mul(FACTOR) >> SHIFT) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prefixes::shortcuts::Shortcuts;

    fn lacking(names: &[String]) -> Box<Lacking> {
        let names = names.iter().map(String::as_bytes);
        Lacking::of(names, &Delimiters::new([b':'; 4]), true)
    }

    fn has(lacking: &Lacking, key: &str) -> bool {
        let (seen, last) = Shortcuts::new([b':'; 4], 2).look(key.as_bytes());
        let has = lacking.has(key.as_bytes(), seen, last);
        let chunk = scan::padded(key.as_bytes());
        let soon = lacking.has_soon(&chunk);
        assert!(has || !soon, "{key}: soon, and not when it is looked at");
        let at_once = lacking.may_be_asked_at_once() && lacking.has_at_once(&chunk);
        assert!(soon || !at_once, "{key}: at once, and not soon");
        has
    }

    #[test]
    fn no_beginning_that_has_an_account_is_said_to_be_lacking() {
        let mut names: Vec<String> = (0..2000).map(|nth| format!("n{nth}:")).collect();
        names.extend((0..1000).map(|nth| format!("n{nth}:of{nth}:")));
        let lacking = lacking(&names);
        for name in &names {
            assert!(!has(&lacking, &format!("{name}key")), "{name}");
        }
        for nth in 1000..2000 {
            // Nobody has this, but it may seem so.
            has(&lacking, &format!("n{nth}:of{nth}:key"));
        }
        let count =
            |name: fn(usize) -> String| (0..2000).filter(|nth| has(&lacking, &name(*nth))).count();
        assert!(count(|nth| format!("o{nth}:key")) > 1900);
        assert!(count(|nth| format!("n{nth}:by{nth}:key")) > 1800);
        for unsure in ["plain", "a-long-first-segment:x", "n1:a-long-second:x"] {
            assert!(!has(&lacking, unsure), "{unsure}");
        }
    }

    #[test]
    fn an_identifier_may_have_the_account_of_identifiers() {
        let names = ["*:", "user:", "user:*:"].map(str::to_owned);
        for key in [
            "42:x",
            "{42}:x",
            "deadbeef:x",
            "user:1",
            "user:42:x",
            "user:name:x",
        ] {
            assert!(!has(&lacking(&names), key), "{key}");
        }
        for key in ["cart:x", "{a}:x", "deadbee:x", "item:1"] {
            assert!(has(&lacking(&names), key), "{key}");
        }
        let uuid = "123e4567-e89b-12d3-a456-426614174000:x";
        for key in ["42:x", uuid, "{deadbeef00112233}:x"] {
            assert!(
                has(&lacking(&[]), key) && !has(&lacking(&names), key),
                "{key}"
            );
        }
        assert!(!has(&lacking(&[]), "no delimiter") && !has(&lacking(&[]), ""));
    }
}
