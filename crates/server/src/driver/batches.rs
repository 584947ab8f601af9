//! Commands of other cores for this shard, and the replies that come back for this core's clients.
//! A batch whose next key is locked waits, and with it those behind it, so that no command overtakes another.
//! The same buffers carry the requests out and the replies home.

use super::{Driver, group::LARGE_REPLY_BYTES};
use crate::{
    connection::Pause,
    mesh::message::{Batch, Message},
};
use commands::{
    Call,
    execute::{self, Ran},
    gather,
};
use resp::{Args, Writer};

/// Requests whose buckets and entries are prefetched together; see `group`.
const GROUP_REQUESTS: usize = 16;
/// Batches kept for the next turn.
const SPARE_BATCHES_MAX: usize = 32;

impl Driver {
    /// Runs a batch of another core.
    pub(super) fn serve(&mut self, batch: Box<Batch>) {
        self.take_over(batch.counted);
        if self.stalled_batches.is_empty() {
            self.serve_from(batch, 0);
        } else {
            self.stalled_batches.push_back((batch, 0));
        }
    }

    /// Goes on with the batches that waited for a lock.
    pub(super) fn serve_stalled(&mut self) {
        let mut stalled = std::mem::take(&mut self.stalled_batches);
        while let Some((batch, next)) = stalled.pop_front() {
            self.serve_from(batch, next);
            if !self.stalled_batches.is_empty() {
                self.stalled_batches.append(&mut stalled);
            }
        }
    }

    fn serve_from(&mut self, mut batch: Box<Batch>, first: usize) {
        let waiting = self.run_batch(&mut batch, first);
        if let Some(next) = waiting.filter(|_| batch.replies.len() > Batch::REPLY_BYTES_MAX) {
            let rest = batch.split_off(next);
            self.send_home(batch);
            self.stall(Box::new(rest), 0);
            // It need not wait for a lock: the next turn looks at it.
            self.unlocked = true;
            return;
        }
        match waiting {
            Some(next) => self.stall(batch, next),
            None => self.send_home(batch),
        }
    }

    fn stall(&mut self, mut batch: Box<Batch>, next: usize) {
        self.core.travelling_bytes += batch.count();
        self.core.tell_buffers();
        self.stalled_batches.push_front((batch, next));
    }

    fn send_home(&mut self, mut batch: Box<Batch>) {
        self.core.travelling_bytes += batch.count();
        self.core.tell_buffers();
        self.let_go(batch.counted);
        let maker = usize::from(batch.maker);
        self.port.send(maker, Message::Replies(batch));
    }

    /// Runs the requests of a batch from `first` on; answers the number of one that must wait for a lock, for memory, or
    /// because the replies before it are large.
    fn run_batch(&mut self, batch: &mut Batch, mut first: usize) -> Option<usize> {
        loop {
            match self.run_requests(batch, first)? {
                (index, Ran::NotSettled) => {
                    self.core.travelling_bytes += batch.count();
                    self.settle_touched();
                    first = index;
                }
                (index, _) => return Some(index),
            }
        }
    }

    /// As `run_batch`, and why the request could not run.
    fn run_requests(&mut self, batch: &mut Batch, first: usize) -> Option<(usize, Ran)> {
        let Driver {
            core,
            table,
            waits_for_room,
            ..
        } = self;
        let Batch {
            maker: _,
            bytes,
            spans,
            requests,
            reply_to: _,
            replies,
            reply_ends,
            counted: _,
        } = batch;
        let mut span_first = match first {
            0 => 0,
            _ => requests[first - 1].span_end as usize,
        };
        for (index, request) in requests.iter().enumerate().skip(first) {
            if (index - first).is_multiple_of(GROUP_REQUESTS) {
                let ahead = || requests[index..].iter().take(GROUP_REQUESTS);
                ahead().for_each(|request| {
                    core.shard
                        .prefetch_bucket(usize::from(request.db), request.hash)
                });
                ahead().for_each(|request| {
                    core.shard
                        .prefetch_entry(usize::from(request.db), request.hash)
                });
            }
            let span_end = request.span_end as usize;
            let args = Args::new(bytes, &spans[span_first..span_end]);
            span_first = span_end;
            if gather::must_wait(core, table.row(request.row), &args, request.hash) {
                return Some((index, Ran::NotYet));
            }
            let mut call = Call {
                core,
                args,
                db: usize::from(request.db),
                proto: request.proto,
                hash: request.hash,
                client: None,
                no_touch: request.no_touch,
            };
            let ran = execute::run(
                &mut call,
                request.row,
                &mut Writer::new(replies, request.proto),
            );
            if ran != Ran::Yes {
                *waits_for_room |= ran == Ran::NotYet;
                return Some((index, ran));
            }
            if replies.len() > LARGE_REPLY_BYTES {
                core.shortage.is_unsettled = true;
            }
            core.stats.hops_served += 1;
            reply_ends.push(replies.len() as u32);
            if replies.len() > Batch::REPLY_BYTES_MAX && index + 1 < requests.len() {
                return Some((index + 1, Ran::NotYet));
            }
        }
        None
    }

    /// Hands the replies from number `first` on to the connection that awaits them, as far as they are for the same;
    /// answers the number of the first that is for another.
    fn replies_came_for_one(&mut self, batch: &Batch, first: usize) -> usize {
        let to = batch.reply_to[first];
        let rest = batch.reply_to[first..].iter();
        let count = rest.take_while(|other| other.is_to_same(&to)).count();
        let Some(connection) = self.connections.still(to.connection, to.generation) else {
            return first + count;
        };
        for index in first..first + count {
            let sequence = batch.reply_to[index].sequence;
            connection.replies.arrived(sequence, batch.reply(index));
        }
        if connection.replies.awaited() == 0 && connection.pause == Pause::Barrier {
            self.unpause(to.connection);
        }
        self.mark_dirty(to.connection);
        first + count
    }

    /// Hands the replies of a batch to the connections that await them.
    pub(super) fn replies_came(&mut self, mut batch: Box<Batch>) {
        self.take_over(batch.counted);
        self.core.tell_buffers();
        let mut next = 0;
        while next < batch.reply_to.len() {
            next = self.replies_came_for_one(&batch, next);
        }
        self.core.travelling_bytes -= batch.uncount();
        if self.spare_batches.len() < SPARE_BATCHES_MAX {
            batch.clear();
            self.spare_batches.push(batch);
        }
    }
}
