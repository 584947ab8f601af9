//! LCS: the longest common subsequence of two strings, its length, and where its pieces lie.
//! Never holds the table of lengths: one bit a cell, where Redis keeps 32, with Redis' limit on the product of the lengths.
//! Algorithm: bit-parallel rows (Hyyrö, "Bit-parallel LCS-length computation revisited", 2004); the path back as Redis walks it.

use crate::row::{Doc, Joint, Keys};
use crate::{Call, Command, Error, Flags, Reply, Run, error, lookup};
use resp::Writer;

const WORD_BITS: usize = u64::BITS as usize;
/// Bytes of one cell in the table that Redis would allocate; the limit on it is part of the command's behaviour.
const REDIS_CELL_BYTES: u128 = 4;
const TABLE_TOO_LARGE: &str =
    "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len";
const LEN_AND_IDX: &str = "ERR If you want both the length and indexes, please just use IDX.";

#[derive(Default)]
struct Options {
    len: bool,
    idx: bool,
    with_match_len: bool,
    match_len_min: i64,
}

fn options(call: &Call<'_>) -> Result<Options, Error> {
    let mut options = Options::default();
    let mut index = 3;
    while index < call.args.len() {
        if call.is(index, "idx") {
            options.idx = true;
        } else if call.is(index, "len") {
            options.len = true;
        } else if call.is(index, "withmatchlen") {
            options.with_match_len = true;
        } else if call.is(index, "minmatchlen") && index + 1 < call.args.len() {
            index += 1;
            options.match_len_min = call.int(index)?.max(0);
        } else {
            return Err(error::SYNTAX.into());
        }
        index += 1;
    }
    if options.len && options.idx {
        Err(LEN_AND_IDX.into())
    } else {
        Ok(options)
    }
}

const NOT_STRINGS: &str = "ERR The specified keys must contain string values";

fn lcs(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let keys = [1, 2].map(|index| call.other_key(index));
    let mut lengths = [0; 2];
    for (length, key) in lengths.iter_mut().zip(keys) {
        let found = lookup::read_string(call, key).map_err(|_| NOT_STRINGS)?;
        *length = found.map_or(0, |value| value.len());
    }
    let options = options(call)?;
    check_table(call, lengths[0], lengths[1])?;
    let [first, second] = keys.map(|key| {
        let found = lookup::string_before_write(call, key).unwrap_or(None);
        found.map_or_else(Vec::new, |value| lookup::with_text(value, <[u8]>::to_vec))
    });
    if options.len {
        out.int(length(&first, &second) as i64);
        return Ok(());
    }
    let pieces = pieces(&first, &second);
    if options.idx {
        write_pieces(&pieces, &options, out);
    } else {
        let common: Vec<u8> = pieces
            .iter()
            .rev()
            .flat_map(|piece| &first[piece.first..][..piece.len])
            .copied()
            .collect();
        out.bulk(&common);
    }
    Ok(())
}

fn check_table(call: &Call<'_>, first_len: usize, second_len: usize) -> Reply {
    let cells = (first_len as u128 + 1) * (second_len as u128 + 1);
    let too_large = cells * REDIS_CELL_BYTES > u128::from(call.core.config.proto_max_bulk_len);
    if too_large {
        Err(TABLE_TOO_LARGE.into())
    } else {
        Ok(())
    }
}

fn write_pieces(pieces: &[Piece], options: &Options, out: &mut Writer<'_>) {
    let total: usize = pieces.iter().map(|piece| piece.len).sum();
    out.map(2);
    out.bulk(b"matches");
    let shown = pieces
        .iter()
        .filter(|piece| piece.len as i64 >= options.match_len_min);
    out.array(shown.clone().count());
    for piece in shown {
        out.array(if options.with_match_len { 3 } else { 2 });
        for start in [piece.first, piece.second] {
            out.array(2);
            out.int(start as i64);
            out.int((start + piece.len - 1) as i64);
        }
        if options.with_match_len {
            out.int(piece.len as i64);
        }
    }
    out.bulk(b"len");
    out.int(total as i64);
}

/// A run of equal bytes: where it starts in each string, and how long it is.
#[derive(Debug, PartialEq, Eq)]
struct Piece {
    first: usize,
    second: usize,
    len: usize,
}

/// For each byte that occurs in the first string, where it occurs in the second, one bit a position.
struct Occurrences {
    row_of: [u16; 256],
    rows: Vec<u64>,
    words: usize,
}

impl Occurrences {
    fn new(first: &[u8], second: &[u8]) -> Occurrences {
        const NONE: u16 = u16::MAX;
        let words = second.len().div_ceil(WORD_BITS);
        let mut row_of = [NONE; 256];
        let mut count = 0;
        for &byte in first {
            if row_of[byte as usize] == NONE {
                row_of[byte as usize] = count;
                count += 1;
            }
        }
        let mut rows = vec![0u64; count as usize * words];
        for (position, &byte) in second.iter().enumerate() {
            let row = row_of[byte as usize];
            if row != NONE {
                rows[row as usize * words + position / WORD_BITS] |= 1 << (position % WORD_BITS);
            }
        }
        Occurrences {
            row_of,
            rows,
            words,
        }
    }

    fn of(&self, byte: u8) -> &[u64] {
        let row = self.row_of[byte as usize] as usize;
        &self.rows[row * self.words..][..self.words]
    }
}

/// The row of the length table after one more byte of the first string. A zero bit says that the length grows by one
/// at that position; bits beyond the second string stay set.
fn advance(row: &mut [u64], occurrences: &[u64]) {
    let mut carry = false;
    for (word, &matching) in row.iter_mut().zip(occurrences) {
        let candidates = *word & matching;
        let (sum, first_carry) = word.overflowing_add(candidates);
        let (sum, second_carry) = sum.overflowing_add(u64::from(carry));
        carry = first_carry || second_carry;
        *word = sum | (*word & !matching);
    }
}

fn length(first: &[u8], second: &[u8]) -> usize {
    let occurrences = Occurrences::new(first, second);
    let mut row = vec![u64::MAX; occurrences.words];
    for &byte in first {
        advance(&mut row, occurrences.of(byte));
    }
    row.iter().map(|word| word.count_zeros() as usize).sum()
}

#[inline]
fn grows(row: &[u64], position: usize) -> bool {
    row[position / WORD_BITS] >> (position % WORD_BITS) & 1 == 0
}

/// The pieces of the subsequence that Redis finds, the last one first.
fn pieces(first: &[u8], second: &[u8]) -> Vec<Piece> {
    let occurrences = Occurrences::new(first, second);
    let words = occurrences.words;
    let mut rows: Vec<u64> = Vec::with_capacity(first.len() * words);
    let mut row = vec![u64::MAX; words];
    for &byte in first {
        advance(&mut row, occurrences.of(byte));
        rows.extend_from_slice(&row);
    }
    let mut pieces: Vec<Piece> = Vec::new();
    let (mut i, mut j) = (first.len(), second.len());
    let mut in_piece = false;
    while i > 0 && j > 0 {
        if first[i - 1] == second[j - 1] {
            (i, j) = (i - 1, j - 1);
            match pieces.last_mut() {
                Some(piece) if in_piece => {
                    *piece = Piece {
                        first: i,
                        second: j,
                        len: piece.len + 1,
                    }
                }
                _ => pieces.push(Piece {
                    first: i,
                    second: j,
                    len: 1,
                }),
            }
            in_piece = true;
        } else {
            // Where the length does not come from the left it comes from above; where it may come from both, Redis goes left.
            if grows(&rows[(i - 1) * words..][..words], j - 1) {
                i -= 1
            } else {
                j -= 1
            }
            in_piece = false;
        }
    }
    pieces
}

/// The row of LCS.
pub const ROW: Command = Command {
    name: "lcs",
    arity: -3,
    flags: Flags::READONLY,
    keys: Keys::PAIR,
    key_flags: &["RO", "access"],
    categories: &["string"],
    tips: &[],
    run: Run::Joint(Joint {
        handler: lcs,
        target: |_| None,
    }),
    doc: Doc {
        summary: "The longest subsequence that two strings have in common",
        since: "7.0.0",
        group: "string",
        complexity: "O(N*M) where N and M are the lengths of the strings; one step covers 64 bytes",
        syntax: "key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]",
    },
    subcommands: &[],
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The plain table of lengths, walked back as Redis does.
    fn by_table(first: &[u8], second: &[u8]) -> (usize, Vec<Piece>) {
        let mut table = vec![vec![0usize; second.len() + 1]; first.len() + 1];
        for i in 1..=first.len() {
            for j in 1..=second.len() {
                table[i][j] = if first[i - 1] == second[j - 1] {
                    table[i - 1][j - 1] + 1
                } else {
                    table[i - 1][j].max(table[i][j - 1])
                };
            }
        }
        let (mut i, mut j) = (first.len(), second.len());
        let (mut pieces, mut in_piece) = (Vec::<Piece>::new(), false);
        while i > 0 && j > 0 {
            if first[i - 1] == second[j - 1] {
                (i, j) = (i - 1, j - 1);
                match pieces.last_mut() {
                    Some(piece) if in_piece => {
                        *piece = Piece {
                            first: i,
                            second: j,
                            len: piece.len + 1,
                        }
                    }
                    _ => pieces.push(Piece {
                        first: i,
                        second: j,
                        len: 1,
                    }),
                }
                in_piece = true;
            } else {
                if table[i - 1][j] > table[i][j - 1] {
                    i -= 1
                } else {
                    j -= 1
                }
                in_piece = false;
            }
        }
        (table[first.len()][second.len()], pieces)
    }

    #[test]
    fn rows_of_bits_find_what_the_table_of_lengths_finds() {
        let mut state = 7u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..400 {
            let letters = 1 + random() % 6;
            let mut text = |len_max: u64| -> Vec<u8> {
                (0..random() % len_max)
                    .map(|_| b'a' + (random() % letters) as u8)
                    .collect()
            };
            let (first, second) = (text(150), text(150));
            let (expected_length, expected_pieces) = by_table(&first, &second);
            assert_eq!(length(&first, &second), expected_length);
            assert_eq!(pieces(&first, &second), expected_pieces);
        }
    }
}
