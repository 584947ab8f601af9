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
    slots: Vec<u16>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::new(crate::families()));

const SLOTS_BITS: u32 = 11;
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
        let mut slots = vec![EMPTY; 1 << SLOTS_BITS];
        for (index, row) in rows.iter().enumerate().take(top_level) {
            let mut slot = slot_of(row.name.as_bytes());
            while slots[slot] != EMPTY {
                assert!(
                    rows[slots[slot] as usize].name != row.name,
                    "command {} stands twice",
                    row.name
                );
                slot = (slot + 1) & (slots.len() - 1);
            }
            slots[slot] = index as u16;
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
        let mut slot = slot_of(name);
        loop {
            let index = self.slots[slot];
            if index == EMPTY {
                return None;
            }
            if self.rows[index as usize]
                .name
                .as_bytes()
                .eq_ignore_ascii_case(name)
            {
                return Some(RowId(index));
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
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

/// Setting bit 5 of every byte folds the case of letters; other bytes that it makes equal are told apart by the comparison.
#[inline]
fn slot_of(name: &[u8]) -> usize {
    let mut word = [0u8; 8];
    let taken = name.len().min(8);
    word[..taken].copy_from_slice(&name[..taken]);
    let folded = u64::from_le_bytes(word) | 0x2020_2020_2020_2020;
    let mixed = (folded ^ (name.len() as u64)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> (64 - SLOTS_BITS)) as usize
}
