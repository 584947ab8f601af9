//! All rows, and the way from a command's words to its row.
//! Nothing else lists commands: COMMAND, its documentation, and the refusal under memory pressure all read this.
//! Look-up is one multiplication over the name's first eight bytes and one comparison.

use crate::{Command, Error, Run, error};
use resp::Args;
use std::sync::LazyLock;

/// A row's number in the table; the same in all cores of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RowId(pub u16);

/// The table of commands and subcommands.
pub struct Table {
    rows: Vec<&'static Command>,
    top_level: usize,
    /// First subcommand row of each top-level row; its subcommands follow each other.
    children: Vec<std::ops::Range<u16>>,
    slots: Vec<Slot>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::new(crate::families()));

const SLOTS_BITS: u32 = 11;
/// So much of a name is compared at once.
const WORD_BYTES: usize = 8;
const EMPTY: u16 = u16::MAX;

impl Table {
    /// The table of this program.
    pub fn instance() -> &'static Table {
        &TABLE
    }

    fn new(families: &[&'static [Command]]) -> Table {
        let mut rows: Vec<&'static Command> =
            families.iter().flat_map(|family| family.iter()).collect();
        let top_level = rows.len();
        let mut children = Vec::with_capacity(top_level);
        for index in 0..top_level {
            let start = rows.len() as u16;
            rows.extend(rows[index].subcommands.iter());
            children.push(start..rows.len() as u16);
        }
        let mut slots = vec![Slot::EMPTY; 1 << SLOTS_BITS];
        for (index, row) in rows.iter().enumerate().take(top_level) {
            let word = first_word(row.name.as_bytes());
            let mut slot = slot_of(word, row.name.len());
            while slots[slot].row != EMPTY {
                assert!(
                    rows[slots[slot].row as usize].name != row.name,
                    "command {} stands twice",
                    row.name
                );
                slot = (slot + 1) & (slots.len() - 1);
            }
            slots[slot] = Slot::new(index as u16, row.name.as_bytes());
        }
        Table {
            rows,
            top_level,
            children,
            slots,
        }
    }

    /// The row of a number.
    #[inline]
    pub fn row(&self, id: RowId) -> &'static Command {
        self.rows[id.0 as usize]
    }

    /// All rows, commands first, then subcommands.
    pub fn rows(&self) -> impl Iterator<Item = (RowId, &'static Command)> + '_ {
        self.rows
            .iter()
            .enumerate()
            .map(|(index, row)| (RowId(index as u16), *row))
    }

    /// Commands without subcommands' rows.
    pub fn commands(&self) -> &[&'static Command] {
        &self.rows[..self.top_level]
    }

    /// How many rows there are, subcommands included.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Never: a server has commands.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The row of a command's name, in any case; subcommands are not looked at.
    #[inline]
    pub fn by_name(&self, name: &[u8]) -> Option<RowId> {
        let word = first_word(name);
        let mut place = slot_of(word, name.len());
        loop {
            let slot = &self.slots[place];
            if slot.starts(word)
                && usize::from(slot.len) == name.len()
                && (name.len() <= WORD_BYTES || self.ends(slot.row, name))
            {
                return Some(RowId(slot.row));
            }
            if slot.row == EMPTY {
                return None;
            }
            place = (place + 1) & (self.slots.len() - 1);
        }
    }

    /// Whether a name that begins as a row's ends as that, in any case.
    #[inline(never)]
    fn ends(&self, row: u16, name: &[u8]) -> bool {
        let ends = |row: &&Command| {
            let row = row.name.as_bytes();
            row[WORD_BYTES..].eq_ignore_ascii_case(&name[WORD_BYTES..])
        };
        // An empty place has no row.
        self.rows.get(usize::from(row)).is_some_and(ends)
    }

    /// The row of a subcommand of a container.
    pub fn subcommand(&self, container: RowId, name: &[u8]) -> Option<RowId> {
        let row = self.row(container);
        let range = self.children.get(container.0 as usize)?.clone();
        let prefix = row.name.len() + 1;
        range
            .map(RowId)
            .find(|&id| self.row(id).name.as_bytes()[prefix..].eq_ignore_ascii_case(name))
    }

    /// The row that a call's words name, its arity checked.
    ///
    /// # Errors
    /// Redis' texts for an unknown command, an unknown subcommand, or a wrong number of arguments.
    #[inline]
    pub fn resolve(&self, args: &Args<'_>) -> Result<RowId, Error> {
        let id = self
            .by_name(args.at(0))
            .ok_or_else(|| error::unknown_command(args.at(0), args.from(1).iter()))?;
        let row = self.row(id);
        // COMMAND has subcommands and also runs without one.
        if !row.subcommands.is_empty() && (args.len() > 1 || matches!(row.run, Run::Container)) {
            return self.resolve_subcommand(id, row, args);
        }
        if arity_fits(row.arity, args.len()) {
            Ok(id)
        } else {
            Err(error::wrong_arity(row.name))
        }
    }

    /// The command that is meant, whatever its arguments are worth: what a refusal is counted on.
    #[cold]
    pub fn meant(&self, args: &Args<'_>) -> Option<RowId> {
        let id = self.by_name(args.at(0))?;
        match args.get(1) {
            Some(name) if !self.row(id).subcommands.is_empty() => self.subcommand(id, name),
            _ => Some(id),
        }
    }

    fn resolve_subcommand(
        &self,
        id: RowId,
        container: &Command,
        args: &Args<'_>,
    ) -> Result<RowId, Error> {
        let Some(name) = args.get(1) else {
            return Err(error::wrong_arity(container.name));
        };
        let id = self
            .subcommand(id, name)
            .ok_or_else(|| error::unknown_subcommand(name, container.name))?;
        let row = self.row(id);
        if arity_fits(row.arity, args.len()) {
            Ok(id)
        } else {
            Err(error::wrong_arity(row.name))
        }
    }
}

#[inline]
fn arity_fits(arity: i32, argc: usize) -> bool {
    if arity >= 0 {
        argc == arity as usize
    } else {
        argc >= arity.unsigned_abs() as usize
    }
}

/// One place of the look-up table.
#[derive(Clone, Copy)]
struct Slot {
    /// First eight bytes of the row's name.
    word: u64,
    /// The bit that tells upper from lower case, at every letter of `word`.
    case_bits: u64,
    row: u16,
    /// Length of the row's name.
    len: u16,
}

impl Slot {
    /// No name is as long.
    const EMPTY: Slot = Slot {
        word: 0,
        case_bits: 0,
        row: EMPTY,
        len: u16::MAX,
    };

    fn new(row: u16, name: &[u8]) -> Slot {
        let word = first_word(name);
        let case_bit = |byte: u8| if byte.is_ascii_alphabetic() { 0x20 } else { 0 };
        let case_bits = u64::from_le_bytes(word.to_le_bytes().map(case_bit));
        Slot {
            word,
            case_bits,
            row,
            len: name.len() as u16,
        }
    }

    /// Whether a name that begins with `word` begins as the row's, in any case.
    fn starts(&self, word: u64) -> bool {
        (self.word ^ word) & !self.case_bits == 0
    }
}

/// The first eight bytes of a name, filled up with zeros. Two loads that overlap serve every length from four on.
#[inline]
fn first_word(name: &[u8]) -> u64 {
    if let Some(word) = name.first_chunk::<WORD_BYTES>() {
        return u64::from_le_bytes(*word);
    }
    let len = name.len();
    if let (Some(low), Some(high)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        let [low, high] = [low, high].map(|half| u64::from(u32::from_le_bytes(*half)));
        return low | high << (8 * (len - 4));
    }
    match name {
        [] => 0,
        _ => {
            u64::from(name[0])
                | u64::from(name[len / 2]) << (8 * (len / 2))
                | u64::from(name[len - 1]) << (8 * (len - 1))
        }
    }
}

/// Setting bit 5 of every byte folds the case of letters; other bytes that it makes equal are told apart by the comparison.
#[inline]
fn slot_of(word: u64, len: usize) -> usize {
    let mixed = ((word | 0x2020_2020_2020_2020) ^ len as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> (64 - SLOTS_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_by_its_name_in_any_case() {
        let table = Table::instance();
        for row in table.commands() {
            let upper = row.name.to_ascii_uppercase();
            let mixed: String = row
                .name
                .char_indices()
                .map(|(at, c)| {
                    if at % 2 == 0 {
                        c.to_ascii_uppercase()
                    } else {
                        c
                    }
                })
                .collect();
            for name in [row.name, &upper, &mixed] {
                let found = table.by_name(name.as_bytes()).map(|id| table.row(id).name);
                assert_eq!(found, Some(row.name));
            }
        }
    }

    #[test]
    fn a_command_that_runs_at_the_owner_of_its_key_has_the_key_in_a_fixed_place() {
        for (_, row) in Table::instance().rows() {
            if let Run::Owner(_) = row.run {
                assert!(row.keys.first > 0 && !row.keys.moves(), "{}", row.name);
            }
        }
    }

    #[test]
    fn a_name_that_differs_in_more_than_case_is_not_found() {
        let table = Table::instance();
        for name in [
            "",
            "g",
            "ge",
            "getx",
            "gets",
            "g%t",
            "GE\x14",
            "ge\0",
            "incrbyfloa",
            "incrbyfloatt",
            "incrbyfl0at",
            "set\0",
        ] {
            assert!(table.by_name(name.as_bytes()).is_none(), "{name:?}");
        }
        // Bytes that differ from letters only by the bit that tells upper from lower case.
        assert!(table.by_name(b"\x07et").is_none());
        assert!(table.by_name(b"flush\x01ll").is_none());
    }
}
