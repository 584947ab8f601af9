//! Bits of byte strings, many at a time: counting, finding, combining.
//! Never looks at a key. Bit 0 is the highest bit of the first byte, as Redis counts.
//! Source: carry-save adders over words (Warren, "Hacker's Delight", 5-2); the rest is our own.

const WORD_BYTES: usize = 8;
/// Words that one round of carry-save adders takes in.
const ROUND_WORDS: usize = 16;

/// The part of a string from one bit to another, both inside it and both counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first bit.
    pub first: u64,
    /// The last bit, not before the first.
    pub last: u64,
}

/// A span as the bits of its first byte, the whole bytes between, and the bits of its last byte.
struct Cut<'t> {
    head: u8,
    middle: &'t [u8],
    /// `None` where the span ends in the byte it begins in.
    tail: Option<u8>,
}

impl Span {
    /// Bits outside the span are 0; `flip` is 0xff to look at the complement.
    fn cut<'t>(&self, text: &'t [u8], flip: u8) -> Cut<'t> {
        debug_assert!(self.first <= self.last && self.last < text.len() as u64 * 8);
        let (start, end) = ((self.first / 8) as usize, (self.last / 8) as usize);
        let head_mask = 0xff_u8 >> (self.first % 8);
        let tail_mask = 0xff_u8 << (7 - self.last % 8);
        if start == end {
            return Cut {
                head: (text[start] ^ flip) & head_mask & tail_mask,
                middle: &[],
                tail: None,
            };
        }
        Cut {
            head: (text[start] ^ flip) & head_mask,
            middle: &text[start + 1..end],
            tail: Some((text[end] ^ flip) & tail_mask),
        }
    }

    /// How many bits of the span are set.
    pub fn count(&self, text: &[u8]) -> u64 {
        let cut = self.cut(text, 0);
        u64::from(cut.head.count_ones())
            + count(cut.middle)
            + cut.tail.map_or(0, |tail| u64::from(tail.count_ones()))
    }

    /// The first bit of the span that is `bit`.
    pub fn find(&self, text: &[u8], bit: bool) -> Option<u64> {
        let flip = if bit { 0 } else { 0xff };
        let cut = self.cut(text, flip);
        let in_byte = |byte: u8, at: u64| at * 8 + u64::from(byte.leading_zeros());
        let start = self.first / 8;
        if cut.head != 0 {
            return Some(in_byte(cut.head, start));
        }
        if let Some(at) = cut.middle_find(flip) {
            return Some((start + 1) * 8 + at);
        }
        match cut.tail {
            None | Some(0) => None,
            Some(tail) => Some(in_byte(tail, self.last / 8)),
        }
    }
}

impl Cut<'_> {
    /// The first bit of the middle that is set once every byte is combined with `flip`.
    fn middle_find(&self, flip: u8) -> Option<u64> {
        let (words, rest) = self.middle.as_chunks::<WORD_BYTES>();
        let flip_word = u64::from_ne_bytes([flip; WORD_BYTES]);
        if let Some(at) = words
            .iter()
            .position(|word| u64::from_ne_bytes(*word) != flip_word)
        {
            let word = u64::from_be_bytes(words[at]) ^ flip_word;
            return Some((at * WORD_BYTES * 8) as u64 + u64::from(word.leading_zeros()));
        }
        let at = rest.iter().position(|byte| *byte != flip)?;
        let bytes_before = (words.len() * WORD_BYTES + at) as u64;
        Some(bytes_before * 8 + u64::from((rest[at] ^ flip).leading_zeros()))
    }
}

/// How many bits of `bytes` are set.
pub fn count(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<WORD_BYTES>();
    let (rounds, words) = words.as_chunks::<ROUND_WORDS>();
    let ones = |word: u64| u64::from(word.count_ones());
    let of = |word: &[u8; WORD_BYTES]| ones(u64::from_ne_bytes(*word));
    count_rounds(rounds)
        + words.iter().map(of).sum::<u64>()
        + rest
            .iter()
            .map(|byte| u64::from(byte.count_ones()))
            .sum::<u64>()
}

/// Adds three bits at every place: their sum, and what carries.
#[inline(always)]
fn add(a: u64, b: u64, c: u64) -> (u64, u64) {
    let half = a ^ b;
    (half ^ c, (a & b) | (half & c))
}

/// Sixteen words are added bit by bit into counters of one, two, four and eight before anything is counted, so that one
/// word in sixteen is: counting the bits of a word is slow on a processor of which nothing newer is asked than 2003's.
fn count_rounds(rounds: &[[[u8; WORD_BYTES]; ROUND_WORDS]]) -> u64 {
    let [mut ones, mut twos, mut fours, mut eights] = [0u64; 4];
    let mut sixteens_count = 0u64;
    for round in rounds {
        let word = |at: usize| u64::from_ne_bytes(round[at]);
        let mut fours_carried = [0; 2];
        let mut eights_carried = [0; 2];
        for (half, eights_out) in eights_carried.iter_mut().enumerate() {
            for (quarter, fours_out) in fours_carried.iter_mut().enumerate() {
                let at = half * 8 + quarter * 4;
                let (sum, twos_a) = add(ones, word(at), word(at + 1));
                let (sum, twos_b) = add(sum, word(at + 2), word(at + 3));
                ones = sum;
                (twos, *fours_out) = add(twos, twos_a, twos_b);
            }
            (fours, *eights_out) = add(fours, fours_carried[0], fours_carried[1]);
        }
        let sixteens;
        (eights, sixteens) = add(eights, eights_carried[0], eights_carried[1]);
        sixteens_count += u64::from(sixteens.count_ones());
    }
    let left = [ones, twos, fours, eights];
    let left_count: u64 = left
        .iter()
        .enumerate()
        .map(|(power, word)| u64::from(word.count_ones()) << power)
        .sum();
    sixteens_count * 16 + left_count
}

/// What BITOP does with its sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Bits set in every source.
    And,
    /// Bits set in any source.
    Or,
    /// Bits set in an odd number of sources.
    Xor,
    /// Bits not set in the one source.
    Not,
}

impl Operation {
    /// Takes one source more into the `result` so far; the shorter of the two counts as filled up with zeroes.
    pub fn fold(self, result: &mut Vec<u8>, source: &[u8]) {
        if result.len() < source.len() {
            result.resize(source.len(), 0);
        }
        let (common, beyond) = result.split_at_mut(source.len());
        // Plain loops over bytes: the compiler makes them loops over the widest words there are.
        let pairs = common.iter_mut().zip(source);
        match self {
            Operation::And => {
                pairs.for_each(|(result, source)| *result &= source);
                beyond.fill(0);
            }
            Operation::Or => pairs.for_each(|(result, source)| *result |= source),
            Operation::Xor => pairs.for_each(|(result, source)| *result ^= source),
            Operation::Not => unreachable!("NOT has one source"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bit(text: &[u8], at: u64) -> bool {
        text[(at / 8) as usize] >> (7 - at % 8) & 1 == 1
    }

    /// Texts of many lengths, from empty to full of ones.
    fn texts() -> impl Iterator<Item = Vec<u8>> {
        let mut state = 99u64;
        (0..600usize).map(move |len| {
            let density = len % 5;
            (0..len)
                .map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    match density {
                        0 => 0,
                        1 => 0xff,
                        2 => u8::from(state.is_multiple_of(97)) << (state >> 32 & 7),
                        3 => !(u8::from(state.is_multiple_of(97)) << (state >> 32 & 7)),
                        _ => state as u8,
                    }
                })
                .collect()
        })
    }

    #[test]
    fn counting_many_words_at_once_counts_every_bit() {
        for text in texts() {
            let expected: u32 = text.iter().map(|byte| byte.count_ones()).sum();
            assert_eq!(count(&text), u64::from(expected), "{} bytes", text.len());
        }
    }

    #[test]
    fn spans_count_and_find_what_looking_at_every_bit_does() {
        for text in texts().skip(1).step_by(3) {
            let bits = text.len() as u64 * 8;
            for n in 0..40 {
                let first = n * 7919 % bits;
                let last = first + n * 104_729 % (bits - first);
                let span = Span { first, last };
                let set = (first..=last).filter(|&at| bit(&text, at));
                assert_eq!(span.count(&text), set.clone().count() as u64);
                assert_eq!(span.find(&text, true), set.clone().next());
                let clear = (first..=last).find(|&at| !bit(&text, at));
                assert_eq!(span.find(&text, false), clear);
            }
        }
    }

    #[test]
    fn a_shorter_source_counts_as_filled_up_with_zeroes() {
        let fold = |operation: Operation, sources: [&[u8]; 2]| {
            let mut result = sources[0].to_vec();
            operation.fold(&mut result, sources[1]);
            result
        };
        let (long, short) = (&[0xff, 0x0f, 0xff][..], &[0xf0, 0x3c][..]);
        for sources in [[long, short], [short, long]] {
            assert_eq!(fold(Operation::And, sources), [0xf0, 0x0c, 0]);
            assert_eq!(fold(Operation::Or, sources), [0xff, 0x3f, 0xff]);
            assert_eq!(fold(Operation::Xor, sources), [0x0f, 0x33, 0xff]);
        }
    }
}
