//! Owns the look at the first 64 bytes of a key, sixteen at once: where delimiters are, where digits.
//! Never happens here: what a place means for the prefix of the key.
//! Source: byte comparisons with the SSE2 of every x86_64; bit by bit elsewhere.

/// So much of a key is looked at.
pub(super) const SEEN_BYTES: usize = 64;
/// Bytes compared at once.
const CHUNK: usize = 16;

/// The first sixteen bytes of a key as two words, zeroes behind a shorter one.
#[inline(always)]
pub(super) fn head(key: &[u8]) -> [u64; 2] {
    let len = key.len();
    if let Some(chunk) = key.first_chunk::<CHUNK>() {
        let both = u128::from_le_bytes(*chunk);
        return [both as u64, (both >> 64) as u64];
    }
    if let (Some(low), Some(high)) = (key.first_chunk::<8>(), key.last_chunk::<8>()) {
        let shift = 8 * (CHUNK - len) as u32;
        // Of eight bytes the second word would be shifted away whole.
        let high = u64::from_le_bytes(*high).checked_shr(shift).unwrap_or(0);
        return [u64::from_le_bytes(*low), high];
    }
    let mut word = 0;
    for (place, byte) in key.iter().enumerate() {
        word |= u64::from(*byte) << (8 * place);
    }
    [word, 0]
}

/// Delimiters as they are looked for, each sixteen times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delimiters {
    each: [[u8; CHUNK]; 4],
    has_several: bool,
}

impl Delimiters {
    pub(super) fn new(delimiters: [u8; 4]) -> Delimiters {
        Delimiters {
            each: delimiters.map(|delimiter| [delimiter; CHUNK]),
            has_several: delimiters[1] != delimiters[0],
        }
    }
}

/// The places among the first 64 bytes that hold one of the delimiters, as bits.
#[inline(always)]
pub(super) fn delimiters(key: &[u8], head: [u64; 2], delimiters: &Delimiters) -> u64 {
    let [first, others @ ..] = &delimiters.each;
    if delimiters.has_several {
        let look = |chunk: &[u8; CHUNK]| {
            let others = others.iter().map(|other| equal(chunk, other));
            others.fold(equal(chunk, first), |all, one| all | one)
        };
        return marks_of_several(key, head, look);
    }
    marks(key, head, |chunk| equal(chunk, first))
}

/// The places among the first 64 bytes that hold a decimal digit, as bits.
#[inline(always)]
pub(super) fn digits(key: &[u8], head: [u64; 2]) -> u64 {
    marks(key, head, decimal)
}

#[inline(never)]
fn marks_of_several(key: &[u8], head: [u64; 2], look: impl Fn(&[u8; CHUNK]) -> u32) -> u64 {
    marks(key, head, look)
}

#[inline(always)]
fn marks(key: &[u8], head: [u64; 2], look: impl Fn(&[u8; CHUNK]) -> u32) -> u64 {
    let Some(chunk) = key.first_chunk() else {
        let both = u128::from(head[0]) | u128::from(head[1]) << 64;
        return u64::from(look(&both.to_le_bytes()));
    };
    let mut found = u64::from(look(chunk));
    if key.len() > CHUNK {
        let seen = &key[..key.len().min(SEEN_BYTES)];
        for at in [CHUNK, 2 * CHUNK] {
            if let Some(chunk) = seen[at.min(seen.len())..].first_chunk() {
                found |= u64::from(look(chunk)) << at;
            }
        }
        // The last chunk overlaps the one before; a place found twice is the same bit.
        if let Some(chunk) = seen.last_chunk() {
            found |= u64::from(look(chunk)) << (seen.len() - CHUNK);
        }
    }
    found
}

/// The places of a chunk that hold the same byte as another.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn equal(chunk: &[u8; CHUNK], other: &[u8; CHUNK]) -> u32 {
    use std::arch::x86_64::*;
    // SAFETY: SSE2 is part of x86_64; both are sixteen bytes, and the loads need no alignment.
    let found = unsafe {
        let bytes = _mm_loadu_si128(chunk.as_ptr().cast());
        let others = _mm_loadu_si128(other.as_ptr().cast());
        _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, others))
    };
    found.cast_unsigned()
}

/// The places of a chunk that hold a decimal digit.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn decimal(chunk: &[u8; CHUNK]) -> u32 {
    use std::arch::x86_64::*;
    // SAFETY: SSE2 is part of x86_64; the chunk is sixteen bytes, and the load needs no alignment.
    let found = unsafe {
        let bytes = _mm_loadu_si128(chunk.as_ptr().cast());
        let values = _mm_sub_epi8(bytes, _mm_set1_epi8(b'0'.cast_signed()));
        let nine = _mm_set1_epi8(9);
        _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(values, nine), values))
    };
    found.cast_unsigned()
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn equal(chunk: &[u8; CHUNK], other: &[u8; CHUNK]) -> u32 {
    bits(chunk, |byte| byte == other[0])
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn decimal(chunk: &[u8; CHUNK]) -> u32 {
    bits(chunk, |byte| byte.is_ascii_digit())
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn bits(chunk: &[u8; CHUNK], holds: impl Fn(u8) -> bool) -> u32 {
    let bit = |(place, byte): (usize, &u8)| u32::from(holds(*byte)) << place;
    chunk.iter().enumerate().map(bit).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Rng;

    fn expected(key: &[u8], holds: impl Fn(u8) -> bool) -> u64 {
        let seen = key.iter().take(SEEN_BYTES).enumerate();
        seen.filter(|(_, byte)| holds(**byte))
            .map(|(place, _)| 1 << place)
            .sum()
    }

    #[test]
    fn delimiters_and_digits_are_found_in_keys_of_every_length() {
        let mut rng = Rng::seeded(1);
        for len in 0..200 {
            for _ in 0..20 {
                let key: Vec<u8> = (0..len)
                    .map(|_| b"ab:/;0059\xff|"[rng.below(11) as usize])
                    .collect();
                let head = head(&key);
                let one = delimiters(&key, head, &Delimiters::new([b':'; 4]));
                assert_eq!(
                    one,
                    expected(&key, |byte| byte == b':'),
                    "{}",
                    key.escape_ascii()
                );
                let several = delimiters(&key, head, &Delimiters::new([b':', b'/', b'|', b':']));
                assert_eq!(several, expected(&key, |byte| b":/|".contains(&byte)));
                assert_eq!(
                    digits(&key, head),
                    expected(&key, |byte| byte.is_ascii_digit())
                );
            }
        }
    }

    #[test]
    fn the_head_of_a_short_key_ends_in_zeroes() {
        let key = b"0123456789abcdefgh";
        for len in 0..key.len() {
            let [low, high] = head(&key[..len]);
            let mut bytes = [0; 16];
            bytes[..len.min(16)].copy_from_slice(&key[..len.min(16)]);
            assert_eq!(
                u128::from(low) | u128::from(high) << 64,
                u128::from_le_bytes(bytes)
            );
        }
    }
}
