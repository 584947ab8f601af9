//! Where an element lies in a HyperLogLog: its register, and the value that register must have at least.
//! Never anything but a pure function of the element's bytes: every sketch that was ever stored depends on it.
//! Source: MurmurHash2 for 64 bits (Appleby, 2008, public domain), with the seed that Redis gives it.

use super::INDEX_BITS;

const SEED: u64 = 0xadc8_3b19;
const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;
const SHIFT: u32 = 47;

/// The bits of the hash that are left when the register is chosen; one is put above them, so that a run of zeroes ends.
const RUN_BITS: u32 = 50;

/// The register of an element, and its value: 1 and the number of zero bits the rest of the hash begins with.
pub fn place(element: &[u8]) -> (usize, u8) {
    let hash = murmur(element);
    let index = hash & ((1 << INDEX_BITS) - 1);
    let run = (hash >> INDEX_BITS) | 1 << RUN_BITS;
    (index as usize, run.trailing_zeros() as u8 + 1)
}

fn murmur(text: &[u8]) -> u64 {
    let (words, rest) = text.as_chunks::<8>();
    let mut hash = SEED ^ (text.len() as u64).wrapping_mul(MULTIPLIER);
    for word in words {
        let mut word = u64::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        word = (word ^ word >> SHIFT).wrapping_mul(MULTIPLIER);
        hash = (hash ^ word).wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ hash >> SHIFT).wrapping_mul(MULTIPLIER);
    hash ^ hash >> SHIFT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_lie_where_redis_puts_them() {
        // Asked by PFADD of each alone, then PFDEBUG DECODE.
        for (element, place_in_redis) in [("a", (12_711, 2)), ("b", (15_780, 1)), ("c", (8436, 1))]
        {
            assert_eq!(place(element.as_bytes()), place_in_redis, "{element}");
        }
    }

    #[test]
    fn a_value_is_never_zero_nor_beyond_what_a_register_holds() {
        for number in 0..100_000u64 {
            let (index, value) = place(&number.to_le_bytes());
            assert!(index < 16_384 && (1..=51).contains(&value));
        }
    }
}
