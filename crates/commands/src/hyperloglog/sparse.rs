//! The sparse form: runs of equal registers, one or two bytes each.
//! Never trusts its bytes: what does not describe exactly 16384 registers is corrupt, and is never read beyond its end.
//! Source: the opcodes of Redis' HYLL strings, and its rules for splitting and joining them, to the byte.
//!
//! `00xxxxxx` is 1 to 64 registers of value 0, `01xxxxxx yyyyyyyy` 1 to 16384 of them, `1vvvvvxx` 1 to 4 registers of value 1 to 32.

use super::estimate::Histogram;
use super::{REGISTERS, Registers};
use std::fmt::Write as _;

/// The largest value a run can have.
pub const VALUE_MAX: u8 = 32;
const SHORT_ZEROES_MAX: usize = 64;
const VALUE_RUN_MAX: usize = 4;
/// Runs that are looked at for joining after a change, the one before it included.
const JOINED_RUNS: usize = 5;
/// No form is longer: each of at most 16384 runs has at most two bytes.
pub const BYTES_MAX: usize = 2 * REGISTERS;

/// Registers of one value that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    value: u8,
    registers: usize,
    /// Bytes that it takes here.
    bytes: usize,
}

impl Run {
    /// The run that `body` begins with; `None` at its end, or where it breaks off.
    #[inline]
    fn first(body: &[u8]) -> Option<Run> {
        let (value, registers, bytes) = match *body {
            [] | [0x40..0x80] => return None,
            [code @ 0x80..=0xff, ..] => ((code >> 2 & 0x1f) + 1, usize::from(code & 3) + 1, 1),
            [code @ 0x40..0x80, low, ..] => {
                (0, (usize::from(code & 0x3f) << 8 | usize::from(low)) + 1, 2)
            }
            [code, ..] => (0, usize::from(code) + 1, 1),
        };
        Some(Run {
            value,
            registers,
            bytes,
        })
    }

    /// Appends the shortest code of so many registers of this value; nothing for none.
    fn push(code: &mut Vec<u8>, value: u8, registers: usize) {
        match (value, registers) {
            (_, 0) => {}
            (0, 1..=SHORT_ZEROES_MAX) => code.push(registers as u8 - 1),
            (0, _) => {
                let less = registers as u16 - 1;
                code.extend_from_slice(&(0x4000 | less).to_be_bytes());
            }
            _ => code.push(value_code(value, registers)),
        }
    }
}

fn value_code(value: u8, registers: usize) -> u8 {
    debug_assert!((1..=VALUE_MAX).contains(&value) && (1..=VALUE_RUN_MAX).contains(&registers));
    0x80 | (value - 1) << 2 | (registers as u8 - 1)
}

/// The form in which every register is 0.
pub fn empty() -> [u8; 2] {
    (0x4000 | (REGISTERS as u16 - 1)).to_be_bytes()
}

/// Shows every run to `visit`, as the index of its first register, its value and its number of registers. `None`, after
/// some runs maybe, where they are not exactly all registers.
fn walk(body: &[u8], mut visit: impl FnMut(usize, u8, usize)) -> Option<()> {
    let (mut at, mut index) = (0, 0);
    while at < body.len() {
        let run = Run::first(&body[at..])?;
        if run.registers > REGISTERS - index {
            return None;
        }
        visit(index, run.value, run.registers);
        index += run.registers;
        at += run.bytes;
    }
    (index == REGISTERS).then_some(())
}

/// How many registers have each value; `None` if the bytes are corrupt.
pub fn histogram(body: &[u8]) -> Option<Histogram> {
    let mut histogram = [0; 64];
    walk(body, |_, value, registers| {
        histogram[usize::from(value)] += registers as u32;
    })?;
    Some(histogram)
}

/// Makes every one of `values` at least what it is here; `None`, with some of them raised, if the bytes are corrupt.
pub fn merge(body: &[u8], values: &mut Registers) -> Option<()> {
    walk(body, |index, value, registers| {
        if value > 0 {
            for lane in &mut values[index..index + registers] {
                *lane = (*lane).max(value);
            }
        }
    })
}

/// The runs as PFDEBUG DECODE shows them; `None` where one breaks off.
pub fn decoded(body: &[u8]) -> Option<String> {
    let (mut at, mut text) = (0, String::new());
    while at < body.len() {
        let Run {
            value,
            registers,
            bytes,
        } = Run::first(&body[at..])?;
        let _ = match (value, bytes) {
            (0, 1) => write!(text, "z:{registers} "),
            (0, _) => write!(text, "Z:{registers} "),
            _ => write!(text, "v:{value},{registers} "),
        };
        at += bytes;
    }
    text.truncate(text.trim_end().len());
    Some(text)
}

/// The run that a register lies in.
struct Place {
    run: Run,
    /// Where the run begins.
    at: usize,
    /// Where the run before it begins; the same place if there is none.
    before: usize,
    /// The run's first register.
    first: usize,
}

fn find(body: &[u8], index: usize) -> Option<Place> {
    let Skipped {
        mut at,
        mut before,
        mut first,
    } = skip(body, index);
    loop {
        let run = Run::first(body.get(at..)?)?;
        if index < first + run.registers {
            return Some(Place {
                run,
                at,
                before,
                first,
            });
        }
        before = at;
        at += run.bytes;
        first += run.registers;
    }
}

/// How far a search for a register has come: the run at `at` begins with the register `first`.
#[derive(Clone, Copy, Default)]
struct Skipped {
    at: usize,
    before: usize,
    first: usize,
}

/// Passes runs that end before the register at `index`, eight at once where each is one byte. A sketch of a thousand
/// elements is two thousand runs long, so this is most of what finding a register costs.
fn skip(body: &[u8], index: usize) -> Skipped {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let mut skipped = Skipped::default();
    while let Some((word, _)) = body[skipped.at..].split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*word);
        // 01xxxxxx begins a run of two bytes: that one is passed alone.
        let is_long = !word & (word << 1) & (EACH << 7);
        if is_long != 0 {
            let Some(run) = Run::first(&body[skipped.at..]) else {
                return skipped;
            };
            if index < skipped.first + run.registers {
                return skipped;
            }
            skipped.before = skipped.at;
            skipped.at += run.bytes;
            skipped.first += run.registers;
            continue;
        }
        // 1vvvvvxx has two bits of length, 00xxxxxx six; each means one more.
        let of_value = (word >> 7 & EACH) * 0xff;
        let lengths = (word & ((EACH * 3) | (!of_value & (EACH * 0x3f)))) + EACH;
        let pairs = (lengths & 0x00ff_00ff_00ff_00ff) + (lengths >> 8 & 0x00ff_00ff_00ff_00ff);
        let registers = (pairs.wrapping_mul(0x0001_0001_0001_0001) >> 48) as usize;
        if index < skipped.first + registers {
            return skipped;
        }
        skipped.before = skipped.at + 7;
        skipped.at += 8;
        skipped.first += registers;
    }
    skipped
}

/// The value of the register at `index`; `None` if the bytes are corrupt before it.
pub fn register(body: &[u8], index: usize) -> Option<u8> {
    find(body, index).map(|place| place.run.value)
}

/// What came of raising a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raised {
    /// It had the value already, or a larger one.
    Unchanged,
    /// It has the value now.
    Changed,
    /// The sparse form cannot hold it within the limit; nothing has changed.
    TooLarge,
    /// The bytes are corrupt; nothing has changed.
    Corrupt,
}

/// Makes the register at `index` at least `value`. The form lies in `text` from `start` on, and `text` becomes no longer
/// than `bytes_max`, unless it is already.
pub fn raise(text: &mut Vec<u8>, start: usize, index: usize, value: u8, bytes_max: u64) -> Raised {
    if value > VALUE_MAX {
        return Raised::TooLarge;
    }
    let Some(place) = find(&text[start..], index) else {
        return Raised::Corrupt;
    };
    let run = place.run;
    if run.value >= value {
        return Raised::Unchanged;
    }
    let mut code = Vec::with_capacity(5);
    let behind = place.first + run.registers - 1 - index;
    Run::push(&mut code, run.value, index - place.first);
    Run::push(&mut code, value, 1);
    Run::push(&mut code, run.value, behind);
    let len = text.len() - run.bytes + code.len();
    if code.len() > run.bytes && len as u64 > bytes_max {
        return Raised::TooLarge;
    }
    let at = start + place.at;
    text.splice(at..at + run.bytes, code);
    join(text, start + place.before);
    Raised::Changed
}

/// Joins neighbours of one value from the run at `at` on, as far as a change there can have made such neighbours.
fn join(text: &mut Vec<u8>, mut at: usize) {
    for _ in 0..JOINED_RUNS {
        let Some(run) = text.get(at..).and_then(Run::first) else {
            return;
        };
        let next = text.get(at + run.bytes..).and_then(Run::first);
        match next {
            Some(next)
                if run.value > 0
                    && run.value == next.value
                    && run.registers + next.registers <= VALUE_RUN_MAX =>
            {
                text[at + 1] = value_code(run.value, run.registers + next.registers);
                text.remove(at);
            }
            _ => at += run.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(body: &[u8]) -> Registers {
        let mut values = [0; REGISTERS];
        merge(body, &mut values).expect("the form is whole");
        values
    }

    #[test]
    fn raised_registers_have_their_values_and_the_others_theirs() {
        let mut state = 5u64;
        let mut body = empty().to_vec();
        let mut expected = [0u8; REGISTERS];
        for _ in 0..6000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // Small values close together, so that runs grow, meet, and split.
            let (index, value) = (
                (state % 500) as usize * 9 % REGISTERS,
                (state >> 40) as u8 % 3 + 1,
            );
            let before = expected[index];
            expected[index] = before.max(value);
            let raised = raise(&mut body, 0, index, value, 1 << 20);
            let changed = [Raised::Unchanged, Raised::Changed][usize::from(before < value)];
            assert_eq!(raised, changed);
            assert_eq!(register(&body, index), Some(expected[index]));
        }
        assert_eq!(all(&body), expected);
    }

    #[test]
    fn neighbours_of_one_value_become_one_run() {
        let mut body = empty().to_vec();
        for index in [5, 7, 6, 4, 8] {
            raise(&mut body, 0, index, 3, 1 << 20);
        }
        assert_eq!(decoded(&body).unwrap(), "z:4 v:3,4 v:3,1 Z:16375");
    }

    #[test]
    fn the_limit_and_large_values_ask_for_the_dense_form() {
        let mut body = empty().to_vec();
        assert_eq!(raise(&mut body, 0, 9, 33, 1 << 20), Raised::TooLarge);
        assert_eq!(raise(&mut body, 0, 9, 3, 3), Raised::TooLarge);
        assert_eq!(body, empty());
        assert_eq!(raise(&mut body, 0, 9, 32, 4), Raised::Changed);
        assert_eq!(raise(&mut body, 0, 9, 32, 0), Raised::Unchanged);
    }

    #[test]
    fn what_is_not_all_registers_is_corrupt() {
        let whole = empty();
        for body in [
            &b""[..],
            &b"\x00"[..],
            &whole[..1],
            &[whole[0], whole[1], 0][..],
            &[0xff][..],
            &[whole[0], whole[1], 0x7f][..],
        ] {
            assert_eq!(histogram(body), None, "{body:?}");
            assert_eq!(merge(body, &mut [0; REGISTERS]), None, "{body:?}");
        }
    }
}
