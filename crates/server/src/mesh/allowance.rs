//! How much the connections of other cores have been answered here in large replies, and when one must read before it gets more.
//! Never holds up a connection for what others asked, and never lets a later command of one overtake an earlier.
//! The rule is that of a window of credit: a core that owes knows what it has sent, and who asks says when all of it came.
//!
//! The commands of a connection travel in rounds. A round ends when all that was asked in it has come home; the next has the other
//! number. Once a connection was answered too much in a round, whatever else it asked in the same is not run, in this batch and
//! those behind it, and goes home as it came. Its core asks again, in a new round, when the client has read.

use super::batch::{Request, Terms};
use std::collections::HashMap;

/// Replies up to this size do not count: a pipeline of those is bounded where it is asked.
const LARGE_REPLY_BYTES: usize = 8 * 1024;
/// Bytes of large replies to a connection in one round after which it must read first.
const ROUND_BYTES_MAX: usize = 256 * 1024;

/// What was answered to whom, by the connection's core and place: those with large replies in their latest round here.
#[derive(Default)]
pub struct Allowances {
    answered: HashMap<(u16, u32), Answered>,
}

struct Answered {
    round: bool,
    bytes: usize,
}

impl Allowances {
    /// Whether a request of that core must not be run in its round.
    #[inline]
    pub fn refuses(&mut self, maker: u16, request: Request) -> bool {
        !self.answered.is_empty() && self.refuses_one(maker, request)
    }

    #[cold]
    fn refuses_one(&mut self, maker: u16, request: Request) -> bool {
        let Terms {
            connection, round, ..
        } = request.terms();
        let asker = (maker, connection);
        match self.answered.get(&asker) {
            None => false,
            Some(answered) if answered.round == round => answered.bytes > ROUND_BYTES_MAX,
            Some(_) => {
                self.answered.remove(&asker);
                false
            }
        }
    }

    /// Notes the length of a reply to a request that was run.
    #[inline]
    pub fn note(&mut self, maker: u16, request: Request, reply_bytes: usize) {
        if reply_bytes > LARGE_REPLY_BYTES {
            self.note_large(maker, request, reply_bytes);
        }
    }

    #[cold]
    fn note_large(&mut self, maker: u16, request: Request, reply_bytes: usize) {
        let Terms {
            connection, round, ..
        } = request.terms();
        let answered = self
            .answered
            .entry((maker, connection))
            .or_insert(Answered { round, bytes: 0 });
        if answered.round != round {
            (answered.round, answered.bytes) = (round, 0);
        }
        answered.bytes = answered.bytes.saturating_add(reply_bytes);
    }

    /// Bytes of the table.
    pub fn heap_bytes(&self) -> usize {
        self.answered.capacity() * size_of::<((u16, u32), Answered)>()
    }

    /// Gives back room that only many connections need. What is known of each stays: its commands may be under way.
    pub fn trim(&mut self) {
        self.answered.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use commands::table::RowId;
    use resp::Proto;

    fn asked(connection: u32, round: bool) -> Request {
        let terms = Terms {
            row: RowId(0),
            db: 0,
            proto: Proto::Resp2,
            no_touch: false,
            connection,
            round,
        };
        Request::new(1, terms)
    }

    #[test]
    fn who_was_answered_too_much_is_refused_until_its_next_round() {
        let mut allowances = Allowances::default();
        allowances.note(0, asked(7, false), ROUND_BYTES_MAX);
        assert!(!allowances.refuses(0, asked(7, false)));
        allowances.note(0, asked(7, false), LARGE_REPLY_BYTES + 1);
        assert!(allowances.refuses(0, asked(7, false)));
        assert!(allowances.refuses(0, asked(7, false)));
        assert!(!allowances.refuses(0, asked(7, true)));
        assert!(!allowances.refuses(0, asked(7, false)));
    }

    #[test]
    fn nobody_pays_for_what_another_connection_or_another_core_asked() {
        let mut allowances = Allowances::default();
        allowances.note(0, asked(7, false), ROUND_BYTES_MAX + 1);
        assert!(!allowances.refuses(0, asked(8, false)));
        assert!(!allowances.refuses(1, asked(7, false)));
    }

    #[test]
    fn small_replies_and_those_of_an_earlier_round_do_not_count() {
        let mut allowances = Allowances::default();
        for _ in 0..100 {
            allowances.note(0, asked(7, false), LARGE_REPLY_BYTES);
        }
        assert_eq!(allowances.heap_bytes(), 0);
        allowances.note(0, asked(7, false), ROUND_BYTES_MAX);
        allowances.note(0, asked(7, true), ROUND_BYTES_MAX);
        assert!(!allowances.refuses(0, asked(7, true)));
    }
}
