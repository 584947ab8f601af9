//! What travels between cores: batches of single-key commands with their replies, and tasks of commands over several shards.
//! A batch goes out and comes back in the same buffers and is used again by the core that made it.
//! Arguments are ranges of one buffer, never copies of their own.

use crate::replies::block_bytes;
use commands::{
    Part,
    gather::Stage,
    locks::{Scope, Transaction},
    table::RowId,
};
use memory::travel::vec_bytes;
use resp::{Args, OwnedArgs, Proto, Span};
use std::sync::Arc;

/// A message between two cores.
pub enum Message {
    /// Commands for the receiver's shard.
    Requests(Box<Batch>),
    /// The same batch with its replies, back at its maker.
    Replies(Box<Batch>),
    /// One shard's stage of a command over several shards.
    Task(Box<Task>),
    /// The same task, done, back at its coordinator.
    TaskDone(Box<Task>),
    /// The limit is passed, and the receiver should evict its part.
    Pay,
}

/// Commands of many connections for one shard, gathered in one turn.
#[derive(Default)]
pub struct Batch {
    /// The core that made it and gets it back.
    pub maker: u16,
    /// Arguments of all requests, end to end.
    pub bytes: Vec<u8>,
    /// Where each argument lies.
    pub spans: Vec<Span>,
    /// The requests in order.
    pub requests: Vec<Request>,
    /// Where the reply of each belongs. Apart from the requests, so that it stays in the cache of the core that made it.
    pub reply_to: Vec<ReplyTo>,
    /// Replies of all requests, end to end.
    pub replies: Vec<u8>,
    /// End of each reply.
    pub reply_ends: Vec<u32>,
    /// How many of its bytes are known to be on their way, see `Core::travelling_bytes`.
    pub counted: i64,
}

/// One command of a batch: what the other core must know besides its arguments.
#[derive(Clone, Copy)]
pub struct Request {
    /// Table hash of the first key.
    pub hash: u64,
    /// End of its spans; they begin where those of the request before end.
    pub span_end: u32,
    /// What to run.
    pub row: RowId,
    /// The client's database.
    pub db: u8,
    /// The client's protocol.
    pub proto: Proto,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
}

/// Which reply of which connection is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// Place of the connection on its core.
    pub connection: u32,
    /// Which of the connections that had this place.
    pub generation: u32,
    /// Number of the reply among those of the connection.
    pub sequence: u32,
}

impl ReplyTo {
    /// Whether both are replies of one connection.
    pub fn is_to_same(&self, other: &ReplyTo) -> bool {
        (self.connection, self.generation) == (other.connection, other.generation)
    }
}

impl Batch {
    /// Requests a batch takes: with their replies they stay in the nearest cache on both cores, and the other begins early.
    const REQUESTS_MAX: usize = 128;
    /// Bytes of arguments after which a batch goes on its way.
    const BYTES_MAX: usize = 32 * 1024;

    /// Bytes of replies after which a batch goes home, and the rest of its requests follow in another: the places of replies
    /// have 32 bits, and no other connection waits for all of them.
    pub const REPLY_BYTES_MAX: usize = 1 << 20;

    /// Adds a command. Its arguments lie in order in what the client sent, and are copied in one piece with what stands
    /// between them: one copy costs less than one for each.
    pub fn push(&mut self, args: &Args<'_>, request: Request, reply_to: ReplyTo) {
        let spans = args.spans();
        debug_assert!(spans.is_sorted_by_key(|span| span.start));
        let (first, last) = (spans[0], spans[spans.len() - 1]);
        let (start, end) = (first.start, last.start + last.len);
        let shift = (self.bytes.len() as u32).wrapping_sub(start);
        let piece = &args.bytes()[start as usize..end as usize];
        self.bytes.extend_from_slice(piece);
        self.spans.extend(spans.iter().map(|span| Span {
            start: span.start.wrapping_add(shift),
            ..*span
        }));
        self.requests.push(Request {
            span_end: self.spans.len() as u32,
            ..request
        });
        self.reply_to.push(reply_to);
    }

    /// Whether it should go on its way before the turn ends.
    pub fn is_full(&self) -> bool {
        self.requests.len() >= Self::REQUESTS_MAX || self.bytes.len() >= Self::BYTES_MAX
    }

    /// Takes the requests from number `first` on, which have no replies yet, into a batch of their own.
    pub fn split_off(&mut self, first: usize) -> Batch {
        debug_assert_eq!(self.reply_ends.len(), first);
        let span_first = self.requests[first - 1].span_end;
        let mut rest = Batch {
            maker: self.maker,
            spans: self.spans.split_off(span_first as usize),
            requests: self.requests.split_off(first),
            reply_to: self.reply_to.split_off(first),
            ..Batch::default()
        };
        let start = rest
            .spans
            .first()
            .map_or(self.bytes.len() as u32, |span| span.start);
        rest.bytes = self.bytes.split_off(start as usize);
        rest.spans.iter_mut().for_each(|span| span.start -= start);
        rest.requests
            .iter_mut()
            .for_each(|request| request.span_end -= span_first);
        rest
    }

    /// The reply of request number `index`.
    pub fn reply(&self, index: usize) -> &[u8] {
        let start = if index == 0 {
            0
        } else {
            self.reply_ends[index - 1] as usize
        };
        &self.replies[start..self.reply_ends[index] as usize]
    }

    /// Bytes it holds.
    pub fn heap_bytes(&self) -> usize {
        block_bytes(self.bytes.capacity())
            + self.spans.capacity() * size_of::<Span>()
            + self.requests.capacity() * size_of::<Request>()
            + self.reply_to.capacity() * size_of::<ReplyTo>()
            // These grow where the batch is served and are freed where it was made: they must be known exactly.
            + vec_bytes(&self.replies)
            + vec_bytes(&self.reply_ends)
            + size_of::<Batch>()
    }

    /// Counts its bytes as being on their way; answers how many that are more than before.
    pub fn count(&mut self) -> i64 {
        let bytes = self.heap_bytes() as i64;
        let before = std::mem::replace(&mut self.counted, bytes);
        bytes - before
    }

    /// Has arrived where it was made; answers how many of its bytes were counted.
    pub fn uncount(&mut self) -> i64 {
        std::mem::take(&mut self.counted)
    }

    /// Empties it for the next use; keeps its buffers unless they grew large.
    pub fn clear(&mut self) {
        const KEPT_BYTES_MAX: usize = 64 * 1024;
        if self.heap_bytes() > KEPT_BYTES_MAX {
            *self = Batch::default();
            return;
        }
        self.bytes.clear();
        self.spans.clear();
        self.requests.clear();
        self.reply_to.clear();
        self.replies.clear();
        self.reply_ends.clear();
    }
}

/// One shard's stage of a command over several shards.
pub struct Task {
    /// The command it belongs to.
    pub transaction: Transaction,
    /// Which of the concerned shards this is, by position in the plan.
    pub place: usize,
    /// What to do.
    pub stage: Stage,
    /// What to run.
    pub row: RowId,
    /// The whole command, shared by all its tasks.
    pub args: Arc<OwnedArgs>,
    /// The client's database.
    pub db: u8,
    /// The client's protocol.
    pub proto: Proto,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// What to lock before the part, and to release after the last stage.
    pub scope: Option<Scope>,
    /// The shard's contribution.
    pub part: Part,
    /// Why the part failed.
    pub error: Option<commands::Error>,
    /// Bytes of the part that are counted as being on their way, see `Core::travelling_bytes`.
    pub counted: i64,
    /// Bytes of the part that are on no core's account while it is between two.
    pub handed: i64,
}

impl Task {
    /// Bytes of its record and of what it locks, which the coordinator takes and gets back.
    pub fn own_bytes(&self) -> i64 {
        let scope_bytes = self.scope.as_ref().map_or(0, Scope::heap_bytes);
        (size_of::<Task>() + scope_bytes) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch of commands, each with the arguments of a line.
    fn batch(lines: &[&str]) -> Batch {
        let mut batch = Batch {
            maker: 3,
            ..Batch::default()
        };
        for (sequence, line) in lines.iter().enumerate() {
            let owned = line.split(' ').fold(OwnedArgs::new(), |mut args, word| {
                args.push(word.as_bytes());
                args
            });
            let request = Request {
                hash: sequence as u64,
                span_end: 0,
                row: RowId(0),
                db: 0,
                proto: Proto::Resp2,
                no_touch: false,
            };
            let reply_to = ReplyTo {
                connection: 0,
                generation: 0,
                sequence: sequence as u32,
            };
            batch.push(&owned.as_args(), request, reply_to);
        }
        batch
    }

    fn lines(batch: &Batch) -> Vec<(u64, u32, String)> {
        let mut first = 0;
        let mut lines = Vec::new();
        for (request, reply_to) in batch.requests.iter().zip(&batch.reply_to) {
            let end = request.span_end as usize;
            let args = Args::new(&batch.bytes, &batch.spans[first..end]);
            let words: Vec<_> = args.iter().map(String::from_utf8_lossy).collect();
            lines.push((request.hash, reply_to.sequence, words.join(" ")));
            first = end;
        }
        lines
    }

    #[test]
    fn a_batch_that_is_split_anywhere_holds_the_same_commands_in_two() {
        let all = ["GET a", "SET b value", "GET ccc", "SETEX d 100 v"];
        for first in 1..all.len() {
            let mut head = batch(&all);
            let whole = lines(&head);
            head.reply_ends = vec![0; first];
            let rest = head.split_off(first);
            assert_eq!(rest.maker, head.maker);
            assert_eq!(lines(&head), whole[..first]);
            assert_eq!(lines(&rest), whole[first..]);
        }
    }
}
