//! Owns the look at the first 64 bytes of a key, sixteen at once: where delimiters are, what begins with digits.
//! Never happens here: what a place means for the prefix of the key.
//! Source: byte comparisons with the SSE2 of every x86_64; bit by bit elsewhere.

/// So much of a key is looked at.
pub(super) const SEEN_BYTES: usize = 64;
/// Bytes compared at once.
pub(super) const CHUNK: usize = 16;
/// Length of a UUID as text.
pub(super) const UUID_BYTES: usize = 36;

/// The first sixteen bytes of a key as two words, zeroes behind a shorter one.
#[inline(always)]
pub(super) fn head(key: &[u8]) -> [u64; 2] {
    let len = key.len();
    if let Some(chunk) = key.first_chunk::<CHUNK>() {
        return words(chunk);
    }
    if let (Some(low), Some(high)) = (key.first_chunk::<8>(), key.last_chunk::<8>()) {
        let shift = 8 * (CHUNK - len) as u32;
        // Of eight bytes the second word would be shifted away whole.
        let high = u64::from_le_bytes(*high).checked_shr(shift).unwrap_or(0);
        return [u64::from_le_bytes(*low), high];
    }
    if let (Some(low), Some(high)) = (key.first_chunk::<4>(), key.last_chunk::<4>()) {
        let high = u64::from(u32::from_le_bytes(*high)) << (8 * (len - 4));
        return [u64::from(u32::from_le_bytes(*low)) | high, 0];
    }
    let mut word = 0;
    for (place, byte) in key.iter().enumerate() {
        word |= u64::from(*byte) << (8 * place);
    }
    [word, 0]
}

/// What is kept of the first bytes up to one at this place; nothing where that is beyond the head.
static MASKS: [[u64; 2]; 64] = {
    let mut masks = [[0; 2]; 64];
    let mut place = 0;
    while place < CHUNK {
        let both = u128::MAX >> (120 - 8 * place as u32);
        masks[place] = [both as u64, (both >> 64) as u64];
        place += 1;
    }
    masks
};
/// A head up to the place of the lowest bit of `last`, zeroes behind it.
#[inline(always)]
pub(super) fn masked(head: [u64; 2], last: u64) -> [u64; 2] {
    let mask = MASKS[last.trailing_zeros() as usize % 64];
    [head[0] & mask[0], head[1] & mask[1]]
}

/// A key of fewer than sixteen bytes, and zeroes behind it.
#[inline(always)]
pub(super) fn padded(key: &[u8]) -> [u8; CHUNK] {
    bytes(head(key))
}

/// Both words of a head in one, in which most heads differ.
#[inline(always)]
pub(super) fn folded([low, high]: [u64; 2]) -> u64 {
    low ^ high << FOLD_BITS
}

/// So that digits of both words do not meet.
const FOLD_BITS: i32 = 5;

/// A chunk up to the lowest of these places, folded as a head; 0 if there is none.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn folded_to(chunk: &[u8; CHUNK], places: u32) -> u64 {
    use std::arch::x86_64::*;
    // Nothing is left up to a place behind its end.
    let place = (places | 1 << CHUNK).trailing_zeros();
    let mask = &MASKS[place as usize];
    // SAFETY: SSE2 is part of x86_64; chunk and mask are sixteen bytes, and their loads need no alignment.
    let word = unsafe {
        let bytes = _mm_loadu_si128(chunk.as_ptr().cast());
        let kept = _mm_and_si128(bytes, _mm_loadu_si128(mask.as_ptr().cast()));
        let high = _mm_slli_epi64::<FOLD_BITS>(_mm_unpackhi_epi64(kept, kept));
        _mm_cvtsi128_si64(_mm_xor_si128(kept, high))
    };
    word.cast_unsigned()
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn folded_to(chunk: &[u8; CHUNK], places: u32) -> u64 {
    folded(masked(words(chunk), u64::from(places | 1 << CHUNK)))
}

#[inline(always)]
pub(super) fn words(chunk: &[u8; CHUNK]) -> [u64; 2] {
    let both = u128::from_le_bytes(*chunk);
    [both as u64, (both >> 64) as u64]
}

#[inline(always)]
fn bytes([low, high]: [u64; 2]) -> [u8; CHUNK] {
    (u128::from(low) | u128::from(high) << 64).to_le_bytes()
}

/// Delimiters as they are looked for, each sixteen times.
#[derive(Clone, Copy, Debug)]
#[repr(align(16))]
pub(super) struct Delimiters {
    each: [[u8; CHUNK]; 4],
    /// Keys of sixteen bytes and up to so many are looked at in one step: sixteen where there is
    /// one delimiter, none where there are several.
    quick_bytes_max: usize,
}

impl Delimiters {
    pub(super) fn new(delimiters: [u8; 4]) -> Delimiters {
        let has_several = delimiters[1] != delimiters[0];
        Delimiters {
            each: delimiters.map(|delimiter| [delimiter; CHUNK]),
            quick_bytes_max: if has_several { 0 } else { CHUNK },
        }
    }
}

impl Delimiters {
    pub(super) fn has_several(&self) -> bool {
        self.quick_bytes_max == 0
    }

    /// The delimiter, if there is one alone.
    pub(super) fn only(&self) -> Option<u8> {
        (!self.has_several()).then_some(self.each[0][0])
    }

    /// The first of them, as it is looked for.
    pub(super) fn first(&self) -> [u8; CHUNK] {
        self.each[0]
    }

    /// The places of a chunk that hold the only delimiter there is.
    #[inline(always)]
    pub(super) fn places(&self, chunk: &[u8; CHUNK]) -> u32 {
        equal(chunk, &self.each[0])
    }
}

/// Sixteen bytes that stand for a key: its first sixteen, or of a shorter one its first eight and
/// its last eight, or four and four, or all that there are.
#[inline(always)]
pub(super) fn glance(key: &[u8]) -> [u8; CHUNK] {
    if let Some(chunk) = key.first_chunk() {
        return *chunk;
    }
    if let Some(chunk) = glance_at_halves(key) {
        return chunk;
    }
    if let (Some(low), Some(high)) = (key.first_chunk(), key.last_chunk()) {
        let [low, high] = [low, high].map(|half| u64::from(u32::from_le_bytes(*half)));
        return bytes([low | high << 32, 0]);
    }
    bytes(head(key))
}

/// The same for a key of eight to fifteen bytes.
#[inline(always)]
pub(super) fn glance_at_halves(key: &[u8]) -> Option<[u8; CHUNK]> {
    let (low, high) = (key.first_chunk()?, key.last_chunk()?);
    Some(bytes([u64::from_le_bytes(*low), u64::from_le_bytes(*high)]))
}

/// Which byte of a key of this length stands at a place of [`glance`]; none where zeroes do.
pub(super) fn glanced(len: usize, place: usize) -> Option<usize> {
    let half = match len {
        CHUNK.. => return Some(place),
        8.. => 8,
        4.. => 4,
        _ => return (place < len).then_some(place),
    };
    match place / half {
        0 => Some(place),
        1 => Some(len + place - 2 * half),
        _ => None,
    }
}

/// Whether the only delimiter there is follows behind the first sixteen bytes, in what is seen of a key.
#[inline(never)]
pub(super) fn goes_on(key: &[u8], delimiters: &Delimiters) -> bool {
    let seen = &key[..key.len().min(SEEN_BYTES)];
    if seen.len() <= 2 * CHUNK {
        return goes_on_soon(seen, delimiters);
    }
    let Some(last) = seen.last_chunk() else {
        return false;
    };
    let (chunks, _) = seen[CHUNK..].as_chunks();
    delimiters.places(last) != 0 || chunks.iter().any(|chunk| delimiters.places(chunk) != 0)
}

/// The same for a key of at most 32 bytes.
#[inline(always)]
pub(super) fn goes_on_soon(key: &[u8], delimiters: &Delimiters) -> bool {
    // Of the last chunk that overlaps the first one, what lies behind that.
    let behind = |last| delimiters.places(last) >> (2 * CHUNK - key.len());
    key.last_chunk().is_some_and(|last| behind(last) != 0)
}

/// What each of sixteen bytes may be: its first value, and how many others follow that.
#[derive(Clone, Copy, Debug)]
#[repr(align(16))]
pub(super) struct Ranges {
    /// What to take from each byte, so that its first value becomes the least of signed ones.
    shifts: [u8; CHUNK],
    /// What its last value becomes.
    lasts: [u8; CHUNK],
}

const SIGN: u8 = 0x80;

impl Ranges {
    /// Every byte must be zero.
    pub(super) const ZEROES: Ranges = Ranges {
        shifts: [SIGN; CHUNK],
        lasts: [SIGN; CHUNK],
    };

    pub(super) fn set(&mut self, place: usize, first: u8, others: u8) {
        self.shifts[place] = first ^ SIGN;
        self.lasts[place] = others ^ SIGN;
    }

    /// The first value of a byte, and how many others follow.
    pub(super) fn of(&self, place: usize) -> (u8, u8) {
        (self.shifts[place] ^ SIGN, self.lasts[place] ^ SIGN)
    }

    /// Ones in the bytes that are something else.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn beyond(&self, chunk: std::arch::x86_64::__m128i) -> std::arch::x86_64::__m128i {
        use std::arch::x86_64::*;
        // SAFETY: SSE2 is part of x86_64; both are sixteen bytes at the alignment of the whole.
        unsafe {
            let load = |bytes: &[u8; CHUNK]| _mm_load_si128(bytes.as_ptr().cast());
            let values = _mm_sub_epi8(chunk, load(&self.shifts));
            _mm_cmpgt_epi8(values, load(&self.lasts))
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn holds(&self, place: usize, byte: u8) -> bool {
        byte.wrapping_sub(self.shifts[place]) ^ SIGN <= self.lasts[place] ^ SIGN
    }
}

/// What each byte of some chunks may be: what the first or the second says.
pub(super) type ChunkRanges<const CHUNKS: usize> = [[Ranges; 2]; CHUNKS];

/// Whether every byte of these chunks is what it may be.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn all_hold<const CHUNKS: usize>(
    ranges: &ChunkRanges<CHUNKS>,
    chunks: [&[u8; CHUNK]; CHUNKS],
) -> bool {
    use std::arch::x86_64::*;
    // SAFETY: SSE2 is part of x86_64; each chunk is sixteen bytes, and its load needs no alignment.
    let beyond = unsafe {
        let mut all = _mm_setzero_si128();
        for nth in 0..CHUNKS {
            let [one, other] = &ranges[nth];
            let chunk = _mm_loadu_si128(chunks[nth].as_ptr().cast());
            let beyond = _mm_and_si128(one.beyond(chunk), other.beyond(chunk));
            all = _mm_or_si128(all, beyond);
        }
        _mm_movemask_epi8(all)
    };
    beyond == 0
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn all_hold<const CHUNKS: usize>(
    ranges: &ChunkRanges<CHUNKS>,
    chunks: [&[u8; CHUNK]; CHUNKS],
) -> bool {
    let mut pairs = ranges.iter().zip(chunks);
    pairs.all(|([one, other], chunk)| {
        (0..CHUNK).all(|at| one.holds(at, chunk[at]) || other.holds(at, chunk[at]))
    })
}

/// What tells chunks apart by some of their bytes, and by how much those are beyond a value.
#[derive(Clone, Copy, Debug)]
#[repr(align(16))]
pub(super) struct Sieve {
    /// What is taken from each byte; what would be less than nothing is nothing.
    pub(super) takes: [u8; CHUNK],
    /// How far what is left is from these is summed up.
    pub(super) weights: [u8; CHUNK],
}

impl Sieve {
    /// The sum of the first eight bytes, and from the 33rd bit on that of the others.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn word(&self, chunk: &[u8; CHUNK]) -> u64 {
        use std::arch::x86_64::*;
        // SAFETY: SSE2 is part of x86_64; chunk and bytes are sixteen, and those at the alignment of the whole.
        let both = unsafe {
            let load = |bytes: &[u8; CHUNK]| _mm_load_si128(bytes.as_ptr().cast());
            let bytes = _mm_loadu_si128(chunk.as_ptr().cast());
            let left = _mm_subs_epu8(bytes, load(&self.takes));
            let sums = _mm_sad_epu8(left, load(&self.weights));
            _mm_cvtsi128_si64(_mm_packs_epi32(sums, sums))
        };
        both.cast_unsigned()
    }

    #[cfg(not(target_arch = "x86_64"))]
    pub(super) fn word(&self, chunk: &[u8; CHUNK]) -> u64 {
        let one = |at: usize| {
            let left = chunk[at].saturating_sub(self.takes[at]);
            u64::from(left.abs_diff(self.weights[at]))
        };
        let [low, high] = [0..CHUNK / 2, CHUNK / 2..CHUNK].map(|half| half.map(one).sum::<u64>());
        low | high << 32
    }
}

/// Whether every byte of a chunk is what it may be, and three others have no delimiter. There is
/// only one delimiter.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn holds_alone(
    [one, other]: &[Ranges; 2],
    chunk: &[u8; CHUNK],
    behind: [&[u8; CHUNK]; 3],
    delimiters: &Delimiters,
) -> bool {
    use std::arch::x86_64::*;
    // SAFETY: SSE2 is part of x86_64; all chunks are sixteen bytes, and their loads need no alignment.
    let found = unsafe {
        let load = |chunk: &[u8; CHUNK]| _mm_loadu_si128(chunk.as_ptr().cast());
        let delimiter = load(&delimiters.each[0]);
        let chunk = load(chunk);
        let mut all = _mm_and_si128(one.beyond(chunk), other.beyond(chunk));
        for chunk in behind {
            all = _mm_or_si128(all, _mm_cmpeq_epi8(load(chunk), delimiter));
        }
        _mm_movemask_epi8(all)
    };
    found == 0
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn holds_alone(
    ranges: &[Ranges; 2],
    chunk: &[u8; CHUNK],
    behind: [&[u8; CHUNK]; 3],
    delimiters: &Delimiters,
) -> bool {
    let has_delimiter = |chunk: &[u8; CHUNK]| delimiters.places(chunk) != 0;
    all_hold(&[*ranges], [chunk]) && !behind.into_iter().any(has_delimiter)
}

/// Four bytes that tell names apart by how they begin, and no identifier from another: what the
/// first four letters are beyond `f`; 0 in the place of a digit, of a lower letter and of most signs.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn initials(chunk: &[u8; CHUNK]) -> u32 {
    use std::arch::x86_64::*;
    // SAFETY: SSE2 is part of x86_64; the chunk is sixteen bytes, and its load needs no alignment.
    let first = unsafe {
        let bytes = _mm_loadu_si128(chunk.as_ptr().cast());
        let small = _mm_or_si128(bytes, _mm_set1_epi8(CASE.cast_signed()));
        let beyond = _mm_subs_epu8(small, _mm_set1_epi8(b'f'.cast_signed()));
        _mm_cvtsi128_si32(beyond)
    };
    first.cast_unsigned()
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn initials(chunk: &[u8; CHUNK]) -> u32 {
    let beyond = |at: usize| (chunk[at] | CASE).saturating_sub(b'f');
    u32::from_le_bytes([0, 1, 2, 3].map(beyond))
}

/// What makes a small letter of a capital one.
const CASE: u8 = 0x20;

/// What is seen of a key.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    /// Its first sixteen bytes, as [`head`] has them.
    pub(super) head: [u64; 2],
    /// The places among the first 64 bytes that hold a delimiter, as bits.
    pub(super) delimiters: u64,
}

/// Looks at a key.
#[inline(always)]
pub(super) fn look(key: &[u8], delimiters: &Delimiters) -> Seen {
    match key.first_chunk::<CHUNK>() {
        Some(chunk) if key.len() <= delimiters.quick_bytes_max => Seen {
            head: words(chunk),
            delimiters: u64::from(equal(chunk, &delimiters.each[0])),
        },
        None if key.len() >= 8 && delimiters.quick_bytes_max > 0 => {
            let head = head(key);
            Seen {
                head,
                delimiters: u64::from(equal(&bytes(head), &delimiters.each[0])),
            }
        }
        _ => look_at_all(key, delimiters),
    }
}

#[inline(never)]
fn look_at_all(key: &[u8], delimiters: &Delimiters) -> Seen {
    let [first, others @ ..] = &delimiters.each;
    let head = head(key);
    let found = if delimiters.quick_bytes_max > 0 {
        marks(key, head, |chunk| equal(chunk, first))
    } else {
        marks(key, head, |chunk| {
            let others = others.iter().map(|other| equal(chunk, other));
            others.fold(equal(chunk, first), |all, one| all | one)
        })
    };
    Seen {
        head,
        delimiters: found,
    }
}

/// How many of the bytes from `start` on are hexadecimal digits, and how many decimal; sixteen at most.
#[inline(always)]
pub(super) fn leading_digits(key: &[u8], start: usize) -> (u32, u32) {
    let rest = &key[start..];
    let found = match (rest.first_chunk(), key.last_chunk()) {
        (Some(chunk), _) => digits(chunk),
        // The end of the key, and before it what is not asked for.
        (None, Some(chunk)) => digits(chunk).map(|found| found >> (CHUNK - rest.len())),
        (None, None) => digits(&bytes(head(rest))),
    };
    let [hexadecimal, decimal] = found.map(u32::trailing_ones);
    (hexadecimal, decimal)
}

/// The places of a segment as long as a UUID that hold a hexadecimal digit, as bits.
pub(super) fn hex_digits(segment: &[u8; UUID_BYTES]) -> u64 {
    let chunks = [0, CHUNK, UUID_BYTES - CHUNK];
    let found = chunks.into_iter().filter_map(|at| {
        let chunk = segment[at..].first_chunk()?;
        Some(u64::from(digits(chunk)[0]) << at)
    });
    found.fold(0, |all, one| all | one)
}

/// The words of a key of more than sixteen bytes behind its head, zeroes behind its end.
#[inline(always)]
pub(super) fn second_head(key: &[u8]) -> [u64; 2] {
    match (key[CHUNK..].first_chunk(), key.last_chunk::<CHUNK>()) {
        (Some(chunk), _) => words(chunk),
        (None, Some(chunk)) => {
            let both = u128::from_le_bytes(*chunk) >> (8 * (2 * CHUNK - key.len()));
            [both as u64, (both >> 64) as u64]
        }
        (None, None) => unreachable!("the key is longer than a chunk"),
    }
}

#[inline(always)]
fn marks(key: &[u8], head: [u64; 2], look: impl Fn(&[u8; CHUNK]) -> u32) -> u64 {
    let Some(chunk) = key.first_chunk() else {
        return u64::from(look(&bytes(head)));
    };
    let mut found = u64::from(look(chunk));
    let seen = &key[..key.len().min(SEEN_BYTES)];
    // The last chunk overlaps the one before; a place found twice is the same bit.
    if let Some(chunk) = seen.last_chunk() {
        found |= u64::from(look(chunk)) << (seen.len() - CHUNK);
    }
    if seen.len() > 2 * CHUNK {
        for at in [CHUNK, 2 * CHUNK] {
            if let Some(chunk) = seen[at..].first_chunk() {
                found |= u64::from(look(chunk)) << at;
            }
        }
    }
    found
}

/// The places of a chunk that hold the same byte as another.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn equal(chunk: &[u8; CHUNK], other: &[u8; CHUNK]) -> u32 {
    use std::arch::x86_64::*;
    // SAFETY: SSE2 is part of x86_64; both are sixteen bytes, and the loads need no alignment.
    let found = unsafe {
        let bytes = _mm_loadu_si128(chunk.as_ptr().cast());
        let others = _mm_loadu_si128(other.as_ptr().cast());
        _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, others))
    };
    found.cast_unsigned()
}

/// The places of a chunk that hold a hexadecimal digit, and those that hold a decimal one.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn digits(chunk: &[u8; CHUNK]) -> [u32; 2] {
    use std::arch::x86_64::*;
    // SAFETY: SSE2 is part of x86_64; the chunk is sixteen bytes, and the load needs no alignment.
    let found = unsafe {
        let bytes = _mm_loadu_si128(chunk.as_ptr().cast());
        let are_up_to =
            |values, last| _mm_cmpeq_epi8(_mm_min_epu8(values, _mm_set1_epi8(last)), values);
        let values = _mm_sub_epi8(bytes, _mm_set1_epi8(b'0'.cast_signed()));
        let small = _mm_or_si128(bytes, _mm_set1_epi8(CASE.cast_signed()));
        let letters = _mm_sub_epi8(small, _mm_set1_epi8(b'a'.cast_signed()));
        let decimal = are_up_to(values, 9);
        let hexadecimal = _mm_or_si128(decimal, are_up_to(letters, 5));
        [_mm_movemask_epi8(hexadecimal), _mm_movemask_epi8(decimal)]
    };
    found.map(i32::cast_unsigned)
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(super) fn equal(chunk: &[u8; CHUNK], other: &[u8; CHUNK]) -> u32 {
    bits(chunk, |byte| byte == other[0])
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn digits(chunk: &[u8; CHUNK]) -> [u32; 2] {
    [
        bits(chunk, |byte| byte.is_ascii_hexdigit()),
        bits(chunk, |byte| byte.is_ascii_digit()),
    ]
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
                let signs = b"ab:/;0059\xff|gG@`fFA";
                let key: Vec<u8> = (0..len).map(|_| signs[rng.below(18) as usize]).collect();
                let seen = |delimiters| look(&key, &Delimiters::new(delimiters));
                let one = seen([b':'; 4]);
                assert_eq!(one.delimiters, expected(&key, |byte| byte == b':'));
                assert_eq!(one.head, head(&key));
                let several = seen([b':', b'/', b'|', b':']);
                assert_eq!(
                    several.delimiters,
                    expected(&key, |byte| b":/|".contains(&byte))
                );
                for start in 0..len.min(60) {
                    let rest = &key[start..];
                    let leading = |holds: fn(&u8) -> bool| {
                        let found = rest.iter().take_while(|byte| holds(byte)).count();
                        found.min(CHUNK) as u32
                    };
                    let digits = (leading(u8::is_ascii_hexdigit), leading(u8::is_ascii_digit));
                    assert_eq!(leading_digits(&key, start), digits);
                }
            }
        }
    }

    #[test]
    fn ranges_hold_when_each_byte_is_within_one_of_its_two() {
        let mut rng = Rng::seeded(2);
        let mut held = 0;
        for _ in 0..10_000 {
            let mut ranges = [[Ranges::ZEROES; 2]; 2];
            let mut each = [[(0, u8::MAX); 2]; 2 * CHUNK];
            let places = (0..2 * CHUNK).flat_map(|place| [(place, 0), (place, 1)]);
            places
                .for_each(|(place, one)| ranges[place / CHUNK][one].set(place % CHUNK, 0, u8::MAX));
            let bounded = rng.below(12) as usize;
            for _ in 0..bounded {
                let place = rng.below(2 * CHUNK as u64) as usize;
                for (one, ranges) in ranges[place / CHUNK].iter_mut().enumerate() {
                    let (first, others) = (rng.next_u64() as u8, rng.next_u64() as u8);
                    each[place][one] = (first, others);
                    ranges.set(place % CHUNK, first, others);
                }
            }
            let chunks = [(); 2].map(|()| [(); CHUNK].map(|()| rng.next_u64() as u8));
            let bytes = chunks.concat();
            let is_in = |byte: u8, (first, others): (u8, u8)| byte.wrapping_sub(first) <= others;
            let holds = bytes
                .iter()
                .zip(each)
                .all(|(byte, ranges)| ranges.into_iter().any(|range| is_in(*byte, range)));
            assert_eq!(all_hold(&ranges, chunks.each_ref()), holds);
            held += usize::from(holds);
        }
        assert!((1000..9000).contains(&held), "{held}");
    }

    #[test]
    fn a_sieve_sums_up_what_is_left_of_each_half() {
        let mut rng = Rng::seeded(4);
        for _ in 0..1000 {
            let [takes, weights, chunk] =
                [(); 3].map(|()| [(); CHUNK].map(|()| rng.next_u64() as u8));
            let sum = |half: std::ops::Range<usize>| {
                let left = half.map(|at| chunk[at].saturating_sub(takes[at]).abs_diff(weights[at]));
                left.map(u64::from).sum::<u64>()
            };
            let expected = sum(0..8) | sum(8..16) << 32;
            assert_eq!(Sieve { takes, weights }.word(&chunk), expected);
        }
    }

    #[test]
    fn initials_tell_names_apart_and_no_digits() {
        let of = |key: &[u8]| initials(&glance(key));
        assert_eq!(of(b"12:9"), of(b"aF:0"));
        assert_eq!(of(b"user:1"), of(b"USER:f"));
        assert_eq!(of(b"{9}:"), of(b"{0}:"));
        for other in [&b"item:1"[..], b"uses:1", b"u4er:1", b"9ser:1", b"{42}:1"] {
            assert_ne!(of(b"user:1"), of(other), "{}", other.escape_ascii());
        }
    }

    #[test]
    fn the_second_head_ends_in_zeroes_too() {
        let key = b"0123456789abcdefghijklmnopqrstuvwxyz";
        for len in 17..key.len() {
            let [low, high] = second_head(&key[..len]);
            let mut bytes = [0; 16];
            bytes[..len.min(32) - 16].copy_from_slice(&key[16..len.min(32)]);
            let both = u128::from(low) | u128::from(high) << 64;
            assert_eq!(both, u128::from_le_bytes(bytes));
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
