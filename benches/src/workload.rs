//! Owns what is asked and what must come back: keys, values, operations.
//! Never here: a socket, a clock, or how a command is written.
//! Source: Marsaglia's xorshift64* and the finaliser of splitmix64.

use crate::dialect::{Dialect, Order};

/// What every command of a load is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// SET key value, or SET key value EX seconds.
    Set,
    /// GET key; the key must exist with the value that Set gave it.
    Get,
    /// DEL key; the key must exist.
    Del,
}

/// How long values are.
#[derive(Clone, Copy)]
pub enum ValueBytes {
    /// All the same.
    Fixed(usize),
    /// 8 to 2,063 bytes, fixed for each key; every power of two equally often.
    Mixed,
    /// 8 bytes to 128 KiB, fixed for each key; every power of two equally often.
    Wide,
}

/// Which keys a load visits.
pub enum Keys {
    /// Uniformly random below `count`, without end.
    Uniform {
        /// Keys that exist.
        count: u64,
        /// State of the generator; not 0.
        random: u64,
    },
    /// Each number once, in order.
    Each {
        /// The next.
        next: u64,
        /// One past the last.
        end: u64,
    },
    /// As `Each`, but only a random four fifths, or only the other fifth.
    Picked {
        /// The next that is looked at.
        next: u64,
        /// One past the last.
        end: u64,
        /// Whether the four fifths, the same ones every time, are visited.
        four_fifths: bool,
    },
}

/// Bytes of every key.
pub const KEY_BYTES: usize = 16;

/// Scrambles a key's number; the same result for the same number.
pub fn scramble(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Whether this number is among the four fifths of `Keys::Picked`.
fn is_in_four_fifths(number: u64) -> bool {
    !scramble(number).is_multiple_of(5)
}

impl Keys {
    /// Random keys below `count`.
    pub fn uniform(count: u64, seed: u64) -> Keys {
        Keys::Uniform {
            count,
            random: scramble(seed) | 1,
        }
    }

    /// The next key's number; None when all were visited.
    pub fn next(&mut self) -> Option<u64> {
        match self {
            Keys::Uniform { count, random } => {
                *random ^= *random >> 12;
                *random ^= *random << 25;
                *random ^= *random >> 27;
                let bits = random.wrapping_mul(0x2545_f491_4f6c_dd1d);
                Some(((u128::from(bits) * u128::from(*count)) >> 64) as u64)
            }
            Keys::Each { next, end } => {
                let number = *next;
                *next += 1;
                (number < *end).then_some(number)
            }
            Keys::Picked {
                next,
                end,
                four_fifths,
            } => {
                while *next < *end && is_in_four_fifths(*next) != *four_fifths {
                    *next += 1;
                }
                let number = *next;
                *next += 1;
                (number < *end).then_some(number)
            }
        }
    }
}

impl ValueBytes {
    /// Length of the value of this key.
    pub fn of(self, number: u64) -> usize {
        match self {
            ValueBytes::Fixed(bytes) => bytes,
            ValueBytes::Mixed => of_powers(number, 8),
            ValueBytes::Wide => of_powers(number, 14),
        }
    }
}

/// From 8 bytes on, every one of so many powers of two equally often, and evenly up to the next.
fn of_powers(number: u64, powers: u64) -> usize {
    let mixed = scramble(number ^ 0x5eed);
    let low = 1 << (3 + mixed % powers);
    (low + (mixed >> 8) % low) as usize
}

/// A load's commands, written and checked.
pub struct Workload {
    /// What every command is.
    pub operation: Operation,
    /// Which keys.
    pub keys: Keys,
    /// How long the values are (Set, Get).
    pub values: ValueBytes,
    /// Whether Set gives every key a time to live.
    pub expires: bool,
    /// How the server wants it written.
    pub dialect: Dialect,
}

const FILLER: &[u8; 64] = b"-the-value-of-a-benchmark-is-the-same-every-time-it-is-asked-for";

/// Appends the key of this number: `key:` and twelve digits.
pub fn push_key(out: &mut Vec<u8>, number: u64) {
    let mut text = *b"key:000000000000";
    let mut rest = number;
    for digit in text[4..].iter_mut().rev() {
        if rest == 0 {
            break;
        }
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&text);
}

/// Appends the value of this key: never an integer, never compressible to one.
pub fn push_value(out: &mut Vec<u8>, number: u64, bytes: usize) {
    let mut head = *b"v0000000";
    for (place, digit) in head[1..].iter_mut().rev().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (4 * place) & 15) as usize];
    }
    let mut left = bytes;
    let first = left.min(head.len());
    out.extend_from_slice(&head[..first]);
    left -= first;
    while left > 0 {
        let part = left.min(FILLER.len());
        out.extend_from_slice(&FILLER[..part]);
        left -= part;
    }
}

impl Workload {
    /// Sets each key from `start` to `end` once.
    pub fn fill(start: u64, end: u64, values: ValueBytes) -> Workload {
        let keys = Keys::Each { next: start, end };
        Workload {
            operation: Operation::Set,
            keys,
            values,
            expires: false,
            dialect: Dialect::Resp,
        }
    }

    fn order(&self, number: u64) -> Order {
        Order {
            operation: self.operation,
            number,
            value_bytes: self.values.of(number),
            expires: self.expires,
        }
    }

    /// Appends the command for one key.
    pub fn push_request(&self, out: &mut Vec<u8>, number: u64) {
        self.dialect.push_request(out, self.order(number));
    }

    /// Appends the reply that the command for this key must get.
    pub fn push_reply(&self, out: &mut Vec<u8>, number: u64) {
        self.dialect.push_reply(out, self.order(number));
    }

    /// Length of that reply.
    pub fn reply_bytes(&self, number: u64) -> usize {
        self.dialect.reply_bytes(self.order(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_keys_cover_the_keyspace_evenly() {
        let mut keys = Keys::uniform(10, 42);
        let mut seen = [0_u32; 10];
        for _ in 0..100_000 {
            seen[keys.next().unwrap() as usize] += 1;
        }
        assert!(
            seen.iter().all(|&count| (9_000..11_000).contains(&count)),
            "{seen:?}"
        );
    }

    #[test]
    fn four_fifths_are_about_four_fifths() {
        let mut keys = Keys::Picked {
            next: 0,
            end: 100_000,
            four_fifths: true,
        };
        let count = std::iter::from_fn(|| keys.next()).count();
        assert!((79_000..81_000).contains(&count), "{count}");
        let mut keys = Keys::Picked {
            next: 0,
            end: 100_000,
            four_fifths: false,
        };
        assert_eq!(std::iter::from_fn(|| keys.next()).count(), 100_000 - count);
    }

    #[test]
    fn mixed_values_keep_their_length() {
        for number in 0..10_000 {
            let bytes = ValueBytes::Mixed.of(number);
            assert!((8..2064).contains(&bytes));
            assert_eq!(bytes, ValueBytes::Mixed.of(number));
            assert!((8..131_072).contains(&ValueBytes::Wide.of(number)));
        }
    }
}
