//! How long one connection, or one core's batches, may keep the others of a core waiting within a turn.
//! Never looks at the clock for a few small commands: only where more bytes of one connection came than fit one buffer.
//! A connection that had its share keeps its bytes and goes on in the next turn, after what came for the others.

use super::Driver;
use crate::connection::Pause;

/// Batches are taken for so long from the start of a turn, in microseconds.
const BATCHES_US: u64 = 2000;

impl Driver {
    /// Runs the commands of the group at the expense of a connection of which more has come.
    pub(super) fn run_group_for(&mut self, place: u32) {
        let began_us = crate::clock::mono_us();
        self.run_group();
        self.spend(place, began_us);
    }

    /// Takes what passed since `began_us` off a connection's share; pauses it until the next turn when nothing is left.
    /// Answers the time.
    pub(super) fn spend(&mut self, place: u32, began_us: u64) -> u64 {
        let (turn_us, now_us) = (self.core.mono_us, crate::clock::mono_us());
        let connection = self.connections.at(place);
        let is_over = connection.share.spend(turn_us, now_us - began_us);
        if is_over && connection.pause == Pause::No {
            connection.pause = Pause::Turn;
            if !connection.resuming {
                connection.resuming = true;
                self.resumed.push(place);
            }
        }
        now_us
    }

    /// Whether batches have had their share of this turn.
    pub(super) fn batches_had_their_share(&self) -> bool {
        crate::clock::mono_us() > self.core.mono_us + BATCHES_US
    }
}
