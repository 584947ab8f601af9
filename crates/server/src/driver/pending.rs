//! The commands of one turn that are decoded and have not run, and the bytes that they were decoded from.
//! Never here: decoding, an order other than that in which they came, or a byte of an argument.
//! Kept from turn to turn for its room; what a large command took of that goes back.

use commands::{Error, ShardId, table::RowId};
use resp::{OwnedArgs, ProtocolError, Span};

/// Commands of a group that run on this core.
pub(super) const GROUP_COMMANDS: usize = 16;
/// Commands of a group with those for other cores, which need no prefetching here.
const GROUP_COMMANDS_ALL: usize = 64;

/// Where a connection's bytes lie.
#[derive(Clone, Copy, Debug)]
pub(super) enum From {
    /// In a provided buffer.
    Buffer {
        /// Which.
        buffer: u16,
        /// How many bytes.
        len: usize,
    },
    /// In the connection's own input.
    Input,
}

/// Bytes that are being decoded and run.
pub(super) struct Source {
    pub(super) place: u32,
    pub(super) from: From,
    /// End of the last whole command.
    pub(super) decoded: usize,
    /// Start of the first command that could not run yet.
    pub(super) stopped_at: Option<usize>,
    /// All its commands are in the group or done.
    pub(super) complete: bool,
}

/// One decoded command.
pub(super) struct Pending {
    pub(super) source: usize,
    pub(super) offset: usize,
    pub(super) what: What,
    pub(super) spans: std::ops::Range<usize>,
    pub(super) inline: Option<Box<OwnedArgs>>,
    pub(super) hash: u64,
    pub(super) owner: ShardId,
}

pub(super) enum What {
    Row(RowId),
    /// Why, and what it is counted on where a command is named.
    Refused(Box<(Error, Option<RowId>)>),
    Violation(ProtocolError),
    /// A line of an HTTP request.
    Http,
}

/// The commands decoded and not yet run.
#[derive(Default)]
pub(super) struct Group {
    pub(super) commands: Vec<Pending>,
    /// How many of them run on this core.
    pub(super) here: usize,
    pub(super) spans: Vec<Span>,
    pub(super) sources: Vec<Source>,
}

impl Group {
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.here >= GROUP_COMMANDS || self.commands.len() >= GROUP_COMMANDS_ALL
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.commands.capacity() * size_of::<Pending>()
            + self.spans.capacity() * size_of::<Span>()
            + self.sources.capacity() * size_of::<Source>()
    }

    /// Gives up room for more than so many arguments: a command of a million takes 8 to 16 MB.
    pub(super) fn trim_spans(&mut self, kept: usize) {
        self.spans.shrink_to(kept);
    }

    /// Gives up all room.
    pub(super) fn trim(&mut self) {
        self.commands.shrink_to_fit();
        self.spans.shrink_to_fit();
        self.sources.shrink_to_fit();
    }
}
