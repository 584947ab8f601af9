//! BITFIELD and BITFIELD_RO: integers of 1 to 64 bits at any bit of a string, read, set and added to.
//! Never makes a string longer for reading: what lies behind its end reads as zeroes.
//! Source: redis-server 7 for texts and order; sums are exact in 128 bits and fitted afterwards.

use super::bit_offset;
use crate::growth::check_room;
use crate::{Call, Error, Reply, error, lookup};
use resp::Writer;

const BAD_TYPE: &str = "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.";
const BAD_OVERFLOW: &str = "ERR Invalid OVERFLOW type specified";
const ONLY_GET: &str = "ERR BITFIELD_RO only supports the GET subcommand";

/// How an integer lies in its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Encoding {
    signed: bool,
    /// 1 to 64, without a sign to 63.
    bits: u32,
}

/// What becomes of a number that its bits cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overflow {
    /// Its lowest bits are kept.
    Wrap,
    /// It becomes the nearest one they can hold.
    Saturate,
    /// Nothing is written.
    Fail,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Get,
    Set(i64),
    Add(i64),
}

/// One subcommand.
#[derive(Clone, Copy, Debug)]
struct Step {
    encoding: Encoding,
    /// The first bit.
    offset: u64,
    action: Action,
    overflow: Overflow,
}

impl Encoding {
    fn parse(text: &[u8]) -> Result<Encoding, Error> {
        let (signed, digits) = match text {
            [b'i', digits @ ..] => (true, digits),
            [b'u', digits @ ..] => (false, digits),
            _ => return Err(BAD_TYPE.into()),
        };
        let bits_max = if signed { 64 } else { 63 };
        match resp::number::parse_i64(digits) {
            Some(bits) if (1..=bits_max).contains(&bits) => Ok(Encoding {
                signed,
                bits: bits as u32,
            }),
            _ => Err(BAD_TYPE.into()),
        }
    }

    /// The smallest and the largest number.
    fn range(self) -> (i128, i128) {
        if self.signed {
            let half = 1i128 << (self.bits - 1);
            (-half, half - 1)
        } else {
            (0, (1i128 << self.bits) - 1)
        }
    }

    /// The number that these bits, the lowest of `raw`, say.
    fn number(self, raw: u64) -> i64 {
        let unused = 64 - self.bits;
        if self.signed {
            (raw << unused) as i64 >> unused
        } else {
            (raw << unused >> unused) as i64
        }
    }

    /// The number itself where the bits can hold it, else what `overflow` makes of it.
    fn fit(self, exact: i128, overflow: Overflow) -> Option<i64> {
        let (smallest, largest) = self.range();
        if (smallest..=largest).contains(&exact) {
            return Some(exact as i64);
        }
        match overflow {
            Overflow::Wrap => Some(self.number(exact as u64)),
            Overflow::Saturate => Some(exact.clamp(smallest, largest) as i64),
            Overflow::Fail => None,
        }
    }

    /// What SET's argument is before it is fitted: without a sign, a negative one is far too large, not too small.
    fn argument(self, number: i64) -> i128 {
        if self.signed {
            i128::from(number)
        } else {
            i128::from(number as u64)
        }
    }
}

/// The bytes that any field at an offset touches at most: 64 bits that begin within a byte.
const WINDOW_BYTES: usize = 9;

/// The bytes around a field as one number, and how far the field lies from its low end.
fn window(text: &[u8], offset: u64, bits: u32) -> (u128, u32) {
    let at = ((offset / 8) as usize).min(text.len());
    let there = &text[at..text.len().min(at + WINDOW_BYTES)];
    let mut bytes = [0; 16];
    bytes[16 - WINDOW_BYTES..][..there.len()].copy_from_slice(there);
    let shift = (WINDOW_BYTES * 8) as u32 - (offset % 8) as u32 - bits;
    (u128::from_be_bytes(bytes), shift)
}

/// `bits` bits from `offset` on.
fn read(text: &[u8], offset: u64, bits: u32) -> u64 {
    let (window, shift) = window(text, offset, bits);
    (window >> shift) as u64 & (u64::MAX >> (64 - bits))
}

/// Overwrites `bits` bits from `offset` on, which lie inside the text, with the lowest of `raw`.
fn write(text: &mut [u8], offset: u64, bits: u32, raw: u64) {
    let (window, shift) = window(text, offset, bits);
    let mask = u64::MAX >> (64 - bits);
    let changed = window & !(u128::from(mask) << shift) | u128::from(raw & mask) << shift;
    let at = (offset / 8) as usize;
    let end = text.len().min(at + WINDOW_BYTES);
    let bytes = changed.to_be_bytes();
    text[at..end].copy_from_slice(&bytes[16 - WINDOW_BYTES..][..end - at]);
}

impl Step {
    /// Where the string must reach for this step, in bytes; 0 for reading.
    fn reach_bytes(&self) -> u64 {
        match self.action {
            Action::Get => 0,
            Action::Set(_) | Action::Add(_) => {
                (self.offset + u64::from(self.encoding.bits)).div_ceil(8)
            }
        }
    }

    /// The field as a number.
    fn read(&self, text: &[u8]) -> i64 {
        let Encoding { bits, .. } = self.encoding;
        self.encoding.number(read(text, self.offset, bits))
    }

    /// Does the step on a string that reaches far enough, and answers it: `None` where it failed.
    fn run(&self, text: &mut [u8]) -> Option<i64> {
        let old = self.read(text);
        let (exact, answers_new) = match self.action {
            Action::Get => return Some(old),
            Action::Set(number) => (self.encoding.argument(number), false),
            Action::Add(number) => (i128::from(old) + i128::from(number), true),
        };
        let new = self.encoding.fit(exact, self.overflow)?;
        write(text, self.offset, self.encoding.bits, new as u64);
        Some(if answers_new { new } else { old })
    }
}

/// The steps that the arguments say.
fn steps(call: &Call<'_>) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    let mut overflow = Overflow::Wrap;
    let mut index = 2;
    while index < call.args.len() {
        let left = call.args.len() - index - 1;
        if call.is(index, "overflow") && left >= 1 {
            overflow = overflow_at(call, index + 1)?;
            index += 2;
            continue;
        }
        let is_get = call.is(index, "get") && left >= 2;
        let is_set = call.is(index, "set") && left >= 3;
        let is_add = call.is(index, "incrby") && left >= 3;
        if !is_get && !is_set && !is_add {
            return Err(error::SYNTAX.into());
        }
        let encoding = Encoding::parse(call.args.at(index + 1))?;
        let offset = bit_offset(call, index + 2, Some(encoding.bits))?;
        let action = if is_get {
            Action::Get
        } else if is_set {
            Action::Set(call.int(index + 3)?)
        } else {
            Action::Add(call.int(index + 3)?)
        };
        steps.push(Step {
            encoding,
            offset,
            action,
            overflow,
        });
        index += if is_get { 3 } else { 4 };
    }
    Ok(steps)
}

fn overflow_at(call: &Call<'_>, index: usize) -> Result<Overflow, Error> {
    const WORDS: [(&str, Overflow); 3] = [
        ("wrap", Overflow::Wrap),
        ("sat", Overflow::Saturate),
        ("fail", Overflow::Fail),
    ];
    let named = WORDS.iter().find(|(word, _)| call.is(index, word));
    named
        .map(|(_, overflow)| *overflow)
        .ok_or_else(|| BAD_OVERFLOW.into())
}

/// BITFIELD: steps in order, one answer for each. Without a step that writes nothing is made.
pub fn bitfield(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let steps = steps(call)?;
    let reach_bytes = steps.iter().map(Step::reach_bytes).max().unwrap_or(0);
    if reach_bytes == 0 {
        return answer_reads(call, &steps, out);
    }
    let key = call.key(1);
    let len = lookup::string_before_write(call, key)?.map_or(0, |value| value.len() as u64);
    check_room(call, reach_bytes.saturating_sub(len))?;
    out.array(steps.len());
    let (db, now) = (call.db, call.now());
    call.core
        .shard
        .edit(db, key, reach_bytes as usize, now, |text| {
            for step in &steps {
                match step.run(text) {
                    Some(number) => out.int(number),
                    None => out.null(),
                }
            }
        });
    Ok(())
}

/// BITFIELD_RO: only steps that read.
pub fn bitfield_ro(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let steps = steps(call)?;
    if steps.iter().any(|step| step.action != Action::Get) {
        return Err(ONLY_GET.into());
    }
    answer_reads(call, &steps, out)
}

fn answer_reads(call: &mut Call<'_>, steps: &[Step], out: &mut Writer<'_>) -> Reply {
    let key = call.key(1);
    let mut answer = |text: &[u8]| {
        out.array(steps.len());
        steps.iter().for_each(|step| out.int(step.read(text)));
    };
    match lookup::read_string(call, key)? {
        None => answer(b""),
        Some(value) => lookup::with_text(value, answer),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_at_any_bit_is_read_there_and_nothing_else_changes() {
        for bits in 1..=64 {
            for offset in 0..20 {
                for background in [0, 0xff, 0x5a] {
                    let mut text = vec![background; (offset as usize + bits as usize).div_ceil(8)];
                    let before = text.clone();
                    let old = read(&text, offset, bits);
                    let raw = 0x9e37_79b9_7f4a_7c15u64 >> (64 - bits);
                    write(&mut text, offset, bits, raw);
                    assert_eq!(read(&text, offset, bits), raw);
                    write(&mut text, offset, bits, old);
                    assert_eq!(text, before, "{bits} bits at {offset}");
                }
            }
        }
    }

    #[test]
    fn a_field_beyond_the_end_reads_as_zeroes() {
        assert_eq!(read(b"\xff", 4, 8), 0xf0);
        assert_eq!(read(b"\xff", 8, 64), 0);
        assert_eq!(read(b"", u64::MAX / 2, 64), 0);
    }

    #[test]
    fn a_number_too_large_for_its_bits_is_fitted_as_asked() {
        let i8s = Encoding::parse(b"i8").unwrap();
        let u63s = Encoding::parse(b"u63").unwrap();
        assert_eq!(i8s.fit(128, Overflow::Wrap), Some(-128));
        assert_eq!(i8s.fit(128, Overflow::Saturate), Some(127));
        assert_eq!(i8s.fit(-129, Overflow::Saturate), Some(-128));
        assert_eq!(i8s.fit(-129, Overflow::Wrap), Some(127));
        assert_eq!(i8s.fit(128, Overflow::Fail), None);
        assert_eq!(u63s.fit(-1, Overflow::Wrap), Some(i64::MAX));
        assert_eq!(u63s.fit(-1, Overflow::Saturate), Some(0));
        assert_eq!(
            u63s.fit(u63s.argument(-1), Overflow::Saturate),
            Some(i64::MAX)
        );
        let i64s = Encoding::parse(b"i64").unwrap();
        let beyond = i128::from(i64::MAX) + 1;
        assert_eq!(i64s.fit(beyond, Overflow::Wrap), Some(i64::MIN));
        assert_eq!(i64s.fit(beyond, Overflow::Saturate), Some(i64::MAX));
    }

    #[test]
    fn the_smallest_number_saturates_to_the_smallest() {
        for bits in 1..64 {
            let encoding = Encoding { signed: true, bits };
            let (smallest, _) = encoding.range();
            let fitted = encoding.fit(i128::from(i64::MIN), Overflow::Saturate);
            assert_eq!(fitted, Some(smallest as i64));
        }
    }

    #[test]
    fn only_types_that_exist_are_taken() {
        for text in ["", "i", "i0", "u64", "i65", "u-1", "I8", "8", "i08", "i8 "] {
            assert!(Encoding::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(Encoding::parse(b"i64").is_ok() && Encoding::parse(b"u1").is_ok());
    }
}
