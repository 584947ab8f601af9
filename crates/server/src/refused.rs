//! Commands of one connection that other cores did not run: it has to read large replies first, or one of them takes long.
//! Never lets one overtake another: they are asked for again in the order of the connection, before any further command.
//! See `mesh::allowance` and `driver::whole` for when that happens.

use crate::mesh::batch::Request;
use commands::ShardId;
use resp::OwnedArgs;
use std::collections::VecDeque;

/// A command that is to be asked for again.
pub struct RefusedCommand {
    /// The shard that it is for.
    pub owner: ShardId,
    /// Number of its reply among those of the connection.
    pub sequence: u32,
    /// What it is.
    pub request: Request,
    /// Its arguments.
    pub args: OwnedArgs,
    /// It is to come as a task of its own.
    pub is_long: bool,
}

/// Those of one connection, in its order.
#[derive(Default)]
pub struct RefusedCommands {
    commands: VecDeque<RefusedCommand>,
    args_bytes: usize,
}

impl RefusedCommands {
    /// Adds one that has come home. They come home in order from each core, but not from all of them.
    pub fn keep(&mut self, command: RefusedCommand) {
        let sequence = command.sequence;
        self.args_bytes += command.args.capacity_bytes();
        // Sequence numbers wrap around, but what is owed at one moment lies close together.
        let is_before = |other: &RefusedCommand| (other.sequence.wrapping_sub(sequence) as i32) < 0;
        let place = self.commands.partition_point(is_before);
        self.commands.insert(place, command);
    }

    /// Whether the first is to come as a task of its own.
    pub fn is_next_long(&self) -> bool {
        self.commands.front().is_some_and(|next| next.is_long)
    }

    /// Takes the first.
    pub fn take(&mut self) -> Option<RefusedCommand> {
        let command = self.commands.pop_front()?;
        self.args_bytes -= command.args.capacity_bytes();
        Some(command)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Every byte they hold on the heap, this record included.
    pub fn total_bytes(&self) -> usize {
        size_of::<RefusedCommands>()
            + self.commands.capacity() * size_of::<RefusedCommand>()
            + self.args_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::batch::Terms;
    use commands::table::RowId;
    use resp::Proto;

    #[test]
    fn they_are_asked_for_in_the_order_of_the_connection_whoever_sent_them_home_first() {
        let terms = Terms {
            row: RowId(0),
            db: 0,
            proto: Proto::Resp2,
            no_touch: false,
            connection: 0,
            round: false,
        };
        let request = Request::new(1, terms);
        let mut refused = RefusedCommands::default();
        for sequence in [u32::MAX, 1, 3, u32::MAX - 1, 0, 2] {
            let mut args = OwnedArgs::new();
            args.push(&sequence.to_ne_bytes());
            refused.keep(RefusedCommand {
                owner: ShardId(1),
                sequence,
                request,
                args,
                is_long: false,
            });
        }
        assert!(refused.total_bytes() > 6 * 4 && refused.len() == 6);
        for sequence in [u32::MAX - 1, u32::MAX, 0, 1, 2, 3] {
            let command = refused.take().expect("there are six");
            assert_eq!(command.sequence, sequence);
            assert_eq!(command.args.as_args().at(0), sequence.to_ne_bytes());
        }
        assert!(refused.is_empty() && refused.take().is_none());
    }
}
