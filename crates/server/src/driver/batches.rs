//! Commands of other cores for this shard, and the replies that come back for this core's clients.
//! A batch whose next key is locked waits, and with it those behind it, so that no command overtakes another.
//! The same buffers carry the requests out and the replies home.

use super::Driver;
use crate::{
    connection::Pause,
    mesh::message::{Batch, Message},
};
use commands::{Call, execute, gather};
use resp::{Args, Writer};

/// Requests whose buckets and entries are prefetched together; see `group`.
const GROUP_REQUESTS: usize = 16;
/// Batches kept for the next turn.
const SPARE_BATCHES_MAX: usize = 32;

impl Driver {
    /// Runs a batch of another core.
    pub(super) fn serve(&mut self, batch: Box<Batch>) {
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
        match self.run_batch(&mut batch, first) {
            Some(locked) => self.stalled_batches.push_front((batch, locked)),
            None => self
                .port
                .send(usize::from(batch.maker), Message::Replies(batch)),
        }
    }

    /// Runs the requests of a batch from `first` on; answers the number of one that must wait for a lock.
    fn run_batch(&mut self, batch: &mut Batch, first: usize) -> Option<usize> {
        let Driver { core, table, .. } = self;
        let Batch {
            maker: _,
            bytes,
            spans,
            requests,
            replies,
            reply_ends,
        } = batch;
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
            let span_first = request.span_first as usize;
            let args = Args::new(
                bytes,
                &spans[span_first..span_first + request.span_count as usize],
            );
            if gather::must_wait(core, table.row(request.row), &args, request.hash) {
                return Some(index);
            }
            core.stats.hops_served += 1;
            let mut call = Call {
                core,
                args,
                db: usize::from(request.db),
                proto: request.proto,
                hash: request.hash,
                client: None,
                no_touch: request.no_touch,
            };
            execute::run(
                &mut call,
                request.row,
                &mut Writer::new(replies, request.proto),
            );
            reply_ends.push(replies.len() as u32);
        }
        None
    }

    /// Hands the replies of a batch to the connections that await them.
    pub(super) fn replies_came(&mut self, mut batch: Box<Batch>) {
        for index in 0..batch.requests.len() {
            let to = batch.requests[index].reply_to;
            let Some(connection) = self.connections.still(to.connection, to.generation) else {
                continue;
            };
            connection.replies.arrived(to.sequence, batch.reply(index));
            if connection.replies.awaited() == 0 && connection.pause == Pause::Barrier {
                self.unpause(to.connection);
            }
            self.mark_dirty(to.connection);
        }
        if self.spare_batches.len() < SPARE_BATCHES_MAX {
            batch.clear();
            self.spare_batches.push(batch);
        }
    }
}
