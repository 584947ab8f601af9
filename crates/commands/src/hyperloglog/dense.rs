//! The dense form: 16384 registers of six bits, the lowest bits of the first byte first.
//! Never meets registers of another length: whoever calls has checked that.
//! Source: the layout of Redis' HYLL strings; four registers are three bytes.

use super::estimate::Histogram;
use super::{Registers, VALUE_MASK};

/// Bytes of all registers.
pub const BYTES: usize = super::REGISTERS * 6 / 8;

/// Registers that three bytes hold.
fn unpack([low, middle, high]: [u8; 3]) -> [u8; 4] {
    let word = u32::from_le_bytes([low, middle, high, 0]);
    [0, 6, 12, 18].map(|shift| (word >> shift) as u8 & VALUE_MASK)
}

fn groups(registers: &[u8]) -> impl Iterator<Item = [u8; 4]> + '_ {
    debug_assert_eq!(registers.len(), BYTES);
    let (groups, _) = registers.as_chunks::<3>();
    groups.iter().map(|group| unpack(*group))
}

/// The value of the register at `index`.
pub fn register(registers: &[u8], index: usize) -> u8 {
    let group = index / 4 * 3;
    unpack([registers[group], registers[group + 1], registers[group + 2]])[index % 4]
}

/// Makes the register at `index` at least `value`; says whether it was less.
pub fn raise(registers: &mut [u8], index: usize, value: u8) -> bool {
    let is_less = register(registers, index) < value;
    if is_less {
        let group = &mut registers[index / 4 * 3..][..3];
        let shift = index % 4 * 6;
        let word = u32::from_le_bytes([group[0], group[1], group[2], 0]);
        let word = word & !(u32::from(VALUE_MASK) << shift) | u32::from(value) << shift;
        group.copy_from_slice(&word.to_le_bytes()[..3]);
    }
    is_less
}

/// All registers, one a byte.
pub fn values(registers: &[u8]) -> impl Iterator<Item = u8> + '_ {
    groups(registers).flatten()
}

/// The dense form of registers, one a byte.
pub fn pack(values: &Registers) -> Vec<u8> {
    let mut registers = Vec::with_capacity(BYTES);
    let (groups, _) = values.as_chunks::<4>();
    for group in groups {
        let word = group
            .iter()
            .rev()
            .fold(0, |word, value| word << 6 | u32::from(*value));
        registers.extend_from_slice(&word.to_le_bytes()[..3]);
    }
    registers
}

/// Makes every one of `values` at least what it is here.
pub fn merge(registers: &[u8], values: &mut Registers) {
    let (lanes, _) = values.as_chunks_mut::<4>();
    for (group, lanes) in groups(registers).zip(lanes) {
        for (lane, value) in lanes.iter_mut().zip(group) {
            *lane = (*lane).max(value);
        }
    }
}

/// How many registers have each value.
pub fn histogram(registers: &[u8]) -> Histogram {
    // One for each place in a group: equal neighbours, which are common, would wait for each other in one.
    let mut lanes = [[0u32; 64]; 4];
    for group in groups(registers) {
        for (lane, value) in lanes.iter_mut().zip(group) {
            lane[value as usize] += 1;
        }
    }
    std::array::from_fn(|value| lanes.iter().map(|lane| lane[value]).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hyperloglog::REGISTERS;

    #[test]
    fn a_raised_register_has_its_value_and_its_neighbours_theirs() {
        let mut registers = vec![0; BYTES];
        let mut expected = [0u8; REGISTERS];
        for step in 0..100_000usize {
            let (index, value) = (step * 7919 % REGISTERS, (step * 31 % 64) as u8);
            let is_less = expected[index] < value;
            assert_eq!(raise(&mut registers, index, value), is_less);
            expected[index] = expected[index].max(value);
        }
        assert!(values(&registers).eq(expected.iter().copied()));
        assert_eq!(pack(&expected), registers);
        let index = REGISTERS - 1;
        assert_eq!(register(&registers, index), expected[index]);
    }

    #[test]
    fn the_first_register_lies_in_the_lowest_bits_of_the_first_byte() {
        let mut registers = vec![0; BYTES];
        raise(&mut registers, 0, 0b10_0001);
        raise(&mut registers, 1, 0b11);
        assert_eq!(registers[..3], [0b1110_0001, 0, 0]);
    }
}
