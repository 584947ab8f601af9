//! The options that XADD and XTRIM share: what is trimmed, and how far.
//! Never a look at a key: what is wrong with options is said before.
//! Source: redis-server 7, in the order of its checks.

use super::ids::{self, NewId};
use crate::{Call, Error, error};
use store::{Keep, NodeLimits, Trim};

const TWO_STRATEGIES: &str =
    "ERR syntax error, MAXLEN and MINID options at the same time are not compatible";
const NEGATIVE_MAXLEN: &str = "ERR The MAXLEN argument must be >= 0.";
const NEGATIVE_LIMIT: &str = "ERR The LIMIT argument must be >= 0.";
const LIMIT_ALONE: &str =
    "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy";
const LIMIT_OF_EXACT: &str = "ERR syntax error, LIMIT cannot be used without the special ~ option";
const NO_STRATEGY: &str = "ERR syntax error, XTRIM must be called with a trimming strategy";

/// Whose options they are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Add,
    Trim,
}

/// Options as they were read.
pub(super) struct Options {
    keep: Option<Keep>,
    is_approximate: bool,
    limit: Option<u64>,
    /// Whether a missing stream stays missing.
    pub(super) no_stream: bool,
    /// The ID to add.
    pub(super) id: NewId,
    /// Index of the first argument behind the options and the ID.
    pub(super) rest: usize,
}

impl Options {
    pub(super) fn of(call: &Call<'_>, command: Command) -> Result<Options, Error> {
        let mut options = Options {
            keep: None,
            is_approximate: false,
            limit: None,
            no_stream: false,
            id: NewId::Auto,
            rest: 0,
        };
        let mut index = 2;
        while index < call.args.len() {
            let has_more = index + 1 < call.args.len();
            if command == Command::Add && call.args.at(index) == b"*" {
                break;
            } else if has_more && (call.is(index, "maxlen") || call.is(index, "minid")) {
                index = options.read_keep(call, index)?;
            } else if call.is(index, "limit") && has_more {
                index += 1;
                let limit = u64::try_from(call.int(index)?);
                options.limit = Some(limit.map_err(|_| NEGATIVE_LIMIT)?);
            } else if command == Command::Add && call.is(index, "nomkstream") {
                options.no_stream = true;
            } else if command == Command::Add {
                options.id = ids::parse_new(call.args.at(index))?;
                break;
            } else {
                return Err(error::SYNTAX.into());
            }
            index += 1;
        }
        options.rest = index + 1;
        options.check(command)?;
        Ok(options)
    }

    /// Reads MAXLEN or MINID at `index`, and answers where it ends.
    fn read_keep(&mut self, call: &Call<'_>, mut index: usize) -> Result<usize, Error> {
        if self.keep.is_some() {
            return Err(TWO_STRATEGIES.into());
        }
        let is_length = call.is(index, "maxlen");
        index += 1;
        if index + 1 < call.args.len() && matches!(call.args.at(index), b"~" | b"=") {
            self.is_approximate = call.args.at(index) == b"~";
            index += 1;
        }
        self.keep = Some(if is_length {
            let most = u64::try_from(call.int(index)?).map_err(|_| NEGATIVE_MAXLEN)?;
            Keep::Newest(most)
        } else {
            Keep::From(ids::parse(call.args.at(index), 0)?)
        });
        Ok(index)
    }

    fn check(&self, command: Command) -> Result<(), Error> {
        if self.keep.is_none() && self.limit.is_some_and(|limit| limit > 0) {
            return Err(LIMIT_ALONE.into());
        }
        if self.keep.is_none() && command == Command::Trim {
            return Err(NO_STRATEGY.into());
        }
        if self.limit.is_some() && !self.is_approximate {
            return Err(LIMIT_OF_EXACT.into());
        }
        Ok(())
    }

    /// How to trim, if at all.
    pub(super) fn trim(&self, limits: NodeLimits) -> Option<Trim> {
        /// What an approximate trim without LIMIT takes at most: this many nodes, and this many entries.
        const NODES: u64 = 100;
        const ENTRIES: u64 = 1_000_000;
        const ENTRIES_OF_UNLIMITED: u64 = 10_000;
        let entries_max = match (self.limit, self.is_approximate) {
            (Some(0), _) | (None, false) => None,
            (Some(limit), _) => Some(limit),
            (None, true) if limits.entries_max == 0 => Some(ENTRIES_OF_UNLIMITED),
            (None, true) => Some(
                (limits.entries_max as u64)
                    .saturating_mul(NODES)
                    .min(ENTRIES),
            ),
        };
        self.keep.map(|keep| Trim {
            keep,
            whole_nodes: self.is_approximate,
            entries_max,
        })
    }
}
