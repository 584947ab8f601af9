//! Owns what says quickly that a prefix has no account: bits of the first segments that have one.
//! Never happens here: a segment overlooked; one too many that seems to be here costs no more than time.
//! Source: Bloom (1970), with one hash.
#![forbid(unsafe_code)]

use super::scan::{self, Seen};
use super::shortcuts::{HEAD_BYTES, masked};

/// Eight for each account that there can be.
const BITS: usize = 8 * super::tree::NODES_MAX;
/// Odd, and its bits in no order.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// The first segments that have an account.
#[derive(Debug)]
pub(super) struct Firsts {
    bits: Box<[u64; BITS / 64]>,
}

impl Firsts {
    pub(super) fn new() -> Firsts {
        Firsts {
            bits: Box::new([0; BITS / 64]),
        }
    }

    pub(super) fn heap_bytes(&self) -> u64 {
        crate::collections::heap_bytes(size_of_val(&*self.bits))
    }

    /// Notes the name of an account of one segment.
    pub(super) fn note(&mut self, name: &[u8]) {
        if name.len() <= HEAD_BYTES {
            let place = place_of(scan::head(name));
            self.bits[place / 64] |= 1 << (place % 64);
        }
    }

    /// Whether a key has a first segment, and that surely has no account, neither as it stands nor
    /// as an identifier.
    pub(super) fn surely_lack(&self, key: &[u8], seen: Seen) -> bool {
        if seen.delimiters.trailing_zeros() as usize >= HEAD_BYTES || may_be_id(key) {
            return false;
        }
        let place = place_of(masked(seen.head, seen.delimiters));
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

fn place_of([low, high]: [u64; 2]) -> usize {
    const SHIFT: u32 = u64::BITS - BITS.ilog2();
    ((low ^ high.rotate_left(23)).wrapping_mul(FACTOR) >> SHIFT) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prefixes::scan::{Delimiters, look};

    #[test]
    fn no_segment_that_was_noted_is_said_to_be_lacking() {
        let delimiters = Delimiters::new([b':'; 4]);
        let mut firsts = Firsts::new();
        let lacks = |firsts: &Firsts, key: &str| {
            let seen = look(key.as_bytes(), &delimiters);
            firsts.surely_lack(key.as_bytes(), seen)
        };
        let names: Vec<String> = (0..2000).map(|number| format!("n{number}:")).collect();
        names.iter().for_each(|name| firsts.note(name.as_bytes()));
        assert!(
            names
                .iter()
                .all(|name| !lacks(&firsts, &format!("{name}key")))
        );
        let others = (0..2000).filter(|number| lacks(&firsts, &format!("o{number}:key")));
        assert!(others.count() > 1500);
        for unsure in ["plain", "42:x", "{42}:x", "a-long-first-segment:x"] {
            assert!(!lacks(&firsts, unsure), "{unsure}");
        }
        assert!(lacks(&Firsts::new(), "n1:key"));
    }
}
