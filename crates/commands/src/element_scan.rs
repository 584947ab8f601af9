//! The arguments of commands that scan one key's elements (SSCAN, HSCAN): cursor, MATCH, COUNT; and how far one answer goes.
//! Never touches a key; the order of checks is the caller's, who looks the key up between cursor and options.
//! Source: redis-server 7 for what is a cursor: what C reads as an unsigned number.

use crate::{Call, Error, error, glob};

/// Slots visited for each element asked for before an answer has fewer.
const SLOTS_PER_ELEMENT: u64 = 10;

/// The cursor at argument `index`. A sign is read as C reads it, and nothing is 0.
///
/// # Errors
/// It is no number of 64 bits.
pub fn cursor(call: &Call<'_>, index: usize) -> Result<u64, Error> {
    const INVALID: &str = "ERR invalid cursor";
    let text = call.args.at(index);
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() && !text.is_empty() {
        return Err(INVALID.into());
    }
    let read = |sum: Option<u64>, digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum?.checked_mul(10)?.checked_add(digit)
    };
    let number = digits.iter().fold(Some(0), read).ok_or(INVALID)?;
    Ok(if is_negative {
        number.wrapping_neg()
    } else {
        number
    })
}

/// What a scan was asked for.
pub struct Options<'a> {
    pattern: Option<&'a [u8]>,
    count: u64,
    /// Whether the answer has elements without their values.
    pub no_values: bool,
}

impl<'a> Options<'a> {
    /// The options from argument `from` on.
    ///
    /// # Errors
    /// The grammar's, or a count's.
    pub fn read(call: &Call<'a>, from: usize) -> Result<Options<'a>, Error> {
        Options::read_with(call, from, false)
    }

    /// The options of HSCAN, which has one more: NOVALUES.
    ///
    /// # Errors
    /// As of [`Options::read`].
    pub fn read_of_hash(call: &Call<'a>, from: usize) -> Result<Options<'a>, Error> {
        Options::read_with(call, from, true)
    }

    fn read_with(call: &Call<'a>, from: usize, of_hash: bool) -> Result<Options<'a>, Error> {
        const COUNT_DEFAULT: u64 = 10;
        let (mut pattern, mut count, mut no_values) = (None, COUNT_DEFAULT, false);
        let mut index = from;
        while index < call.args.len() {
            if of_hash && call.is(index, "novalues") {
                no_values = true;
                index += 1;
                continue;
            }
            let Some(value) = call.args.get(index + 1) else {
                return Err(error::SYNTAX.into());
            };
            if call.is(index, "match") {
                pattern = Some(value);
            } else if call.is(index, "count") {
                count = u64::try_from(call.int(index + 1)?)
                    .ok()
                    .filter(|&count| count > 0)
                    .ok_or(error::SYNTAX)?;
            } else {
                return Err(error::SYNTAX.into());
            }
            index += 2;
        }
        Ok(Options {
            pattern: pattern.filter(|&pattern| pattern != b"*"),
            count,
            no_values,
        })
    }

    /// Whether an element is asked for.
    pub fn accepts(&self, text: &[u8]) -> bool {
        self.pattern
            .is_none_or(|pattern| glob::matches(pattern, text))
    }

    /// Steps from `cursor` on until the answer is long enough. `step` is given a cursor and a number of slots, and answers
    /// where to go on, 0 at the end, and how many elements it has met.
    pub fn walk(&self, mut cursor: u64, mut step: impl FnMut(u64, usize) -> (u64, u64)) -> u64 {
        let slots = usize::try_from(self.count).unwrap_or(usize::MAX);
        let (mut visited, mut seen) = (0u64, 0u64);
        loop {
            let (next, met) = step(cursor, slots);
            visited = visited.saturating_add(self.count);
            seen += met;
            cursor = next;
            let is_enough =
                seen >= self.count || visited >= self.count.saturating_mul(SLOTS_PER_ELEMENT);
            if cursor == 0 || is_enough {
                return cursor;
            }
        }
    }
}
