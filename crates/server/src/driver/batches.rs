//! Commands of other cores for this shard, and the replies that come back for this core's clients.
//! A batch whose next key is locked waits, and with it those behind it, so that no command overtakes another.
//! The same buffers carry the requests out and the replies home.

use super::{
    Driver, Peer,
    group::{LARGE_REPLY_BYTES, UNSENT_BYTES_MAX},
};
use crate::{
    connection::{Connection, Pause},
    mesh::{
        batch::{Arrived, Batch, BatchReplies, Refusal, Requests},
        message::Message,
        owed::ReplyTo,
    },
    refused::RefusedCommand,
};
use commands::{
    Call, ShardId,
    execute::{self, Ran},
    gather,
};
use resp::{OwnedArgs, Writer};

/// Requests whose buckets and entries are prefetched together; see `group`.
const GROUP_REQUESTS: usize = 16;
/// Batches kept for the next turn hold this part of the shard's share of what the limit leaves beside the start at most.
const SPARE_PART: u64 = 64;

impl Driver {
    /// A batch has come: commands of another core, or replies for this one.
    pub(super) fn batch_came(&mut self, batch: Batch) {
        self.take_over(batch.counted);
        if batch.is_answered {
            self.replies_came(batch);
        } else if self.stalled_batches.is_empty() {
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

    fn serve_from(&mut self, mut batch: Batch, start: usize) {
        let waiting = self.run_batch(&mut batch, start);
        if let Some(next) = waiting.filter(|_| batch.replies.len() > Batch::REPLY_BYTES_MAX) {
            let rest = batch.split_off(next);
            self.send_home(batch);
            self.stall(rest, 0);
            // It need not wait for a lock: the next turn looks at it.
            self.unlocked = true;
            return;
        }
        match waiting {
            Some(next) => self.stall(batch, next),
            None => self.send_home(batch),
        }
    }

    fn stall(&mut self, mut batch: Batch, next: usize) {
        self.core.travelling_bytes += batch.count();
        self.core.note_buffers();
        self.stalled_batches.push_front((batch, next));
    }

    fn send_home(&mut self, mut batch: Batch) {
        self.core.travelling_bytes += batch.count();
        self.core.note_buffers();
        self.let_go(batch.counted);
        batch.is_answered = true;
        let maker = usize::from(batch.maker);
        self.port.send(maker, Message::Batch(batch));
    }

    /// Runs the requests of a batch from `start` on; answers the beginning of one that must wait for a lock, for memory, or
    /// because the replies before it are large.
    fn run_batch(&mut self, batch: &mut Batch, mut start: usize) -> Option<usize> {
        loop {
            match self.run_requests(batch, start)? {
                (waiting, Ran::NotSettled) => {
                    self.core.travelling_bytes += batch.count();
                    self.settle_touched();
                    start = waiting;
                }
                (waiting, _) => return Some(waiting),
            }
        }
    }

    /// As `run_batch`, and why the request could not run.
    fn run_requests(&mut self, batch: &mut Batch, mut start: usize) -> Option<(usize, Ran)> {
        let Batch {
            maker,
            requests,
            replies,
            ..
        } = batch;
        loop {
            self.prefetch_requests(requests, start);
            for _ in 0..GROUP_REQUESTS {
                let arrived = requests.at(start)?;
                start = arrived.end;
                if self.allowances.refuses(*maker, arrived.request) {
                    replies.refuse(Refusal::Unread);
                    continue;
                }
                match self.run_request(*maker, &arrived, replies) {
                    Ran::Yes => {}
                    Ran::InSteps => {
                        self.core.long = None;
                        replies.refuse(Refusal::Long);
                        // What its connection has asked behind it must not overtake it.
                        self.allowances.note(*maker, arrived.request, usize::MAX);
                        continue;
                    }
                    ran => return Some((arrived.start, ran)),
                }
                if replies.len() > LARGE_REPLY_BYTES {
                    self.core.shortage.is_unsettled = true;
                    if replies.len() > Batch::REPLY_BYTES_MAX && !requests.end_at(arrived.end) {
                        return Some((arrived.end, Ran::NotYet));
                    }
                }
            }
        }
    }

    /// Prefetches for a group of requests, unless it is a single one.
    fn prefetch_requests(&self, requests: &Requests, start: usize) {
        let mut keys = [(0, 0); GROUP_REQUESTS];
        let mut count = 0;
        for (key, request) in keys.iter_mut().zip(requests.heads_from(start)) {
            let (db, hash) = (usize::from(request.terms().db), request.hash);
            *key = (db, hash);
            self.core.shard.prefetch_bucket(db, hash);
            count += 1;
        }
        if count > 1 {
            for &(db, hash) in &keys[..count] {
                self.core.shard.prefetch_entry(db, hash);
            }
        }
    }

    /// Runs one request, or leaves no trace of it.
    #[inline]
    fn run_request(
        &mut self,
        maker: u16,
        arrived: &Arrived<'_>,
        replies: &mut BatchReplies,
    ) -> Ran {
        let Driver { core, table, .. } = self;
        let terms = arrived.request.terms();
        let hash = arrived.request.hash;
        if !core.locks.is_free()
            && gather::must_wait(core, table.row(terms.row), &arrived.args(), hash)
        {
            // Who waits for a lock must not hold up the others of the batch: it may be long.
            return Ran::InSteps;
        }
        let mut call = Call {
            core,
            args: arrived.args(),
            db: usize::from(terms.db),
            proto: terms.proto,
            hash,
            client: None,
            no_touch: terms.no_touch,
        };
        let start = replies.begin();
        let mut out = Writer::new(replies.out(), terms.proto);
        let ran = execute::run(&mut call, terms.row, &mut out);
        if ran == Ran::Yes {
            core.stats.hops_served += 1;
            let reply_bytes = replies.end(start);
            self.allowances.note(maker, arrived.request, reply_bytes);
        } else {
            replies.abandon(start);
            self.waits_for_room |= ran == Ran::NotYet;
        }
        ran
    }

    /// Hands the replies of a batch to the connections that await them.
    fn replies_came(&mut self, batch: Batch) {
        self.core.note_buffers();
        self.hand_out(&batch);
        self.core.travelling_bytes -= self.spares.keep(batch);
    }

    fn hand_out(&mut self, batch: &Batch) {
        let owner = usize::from(batch.owner);
        let (mut told, mut number) = (batch.replies.told(), 0);
        while !told.is_over() {
            let owed = &mut self.peers[owner].owed;
            let first = owed.first().expect("a reply for each request").first;
            let mut connection = self.connections.still(first.connection, first.generation);
            while !told.is_over()
                && let Some(run) = owed.first().filter(|run| run.first.is_to_same(&first))
            {
                let replies = told.by_ref().take(run.count as usize);
                let mut count = match &mut connection {
                    Some(connection) => {
                        let Connection {
                            replies: before, ..
                        } = connection;
                        before.arrived(run.first.sequence, replies, &mut self.pool)
                    }
                    None => replies.count(),
                };
                if count < run.count as usize
                    && let Some(refusal) = told.refusal()
                {
                    if let Some(connection) = &mut connection {
                        let sequence = run.first.sequence.wrapping_add(count as u32);
                        keep_refused(connection, batch, number + count, sequence, refusal);
                    }
                    count += 1;
                }
                owed.came(count as u32);
                number += count;
            }
            self.replies_came_for(first);
        }
    }

    /// Lets the connection go on that some replies have come for.
    fn replies_came_for(&mut self, to: ReplyTo) {
        let Some(connection) = self.connections.still(to.connection, to.generation) else {
            return;
        };
        match connection.pause {
            Pause::Barrier if connection.replies.awaited() == 0 => self.unpause(to.connection),
            Pause::Refused if connection.is_all_home() => {
                // Where the socket does not take it, it will say when it does.
                self.flush(to.connection);
                self.ask_again(to.connection);
            }
            _ => {}
        }
        self.mark_dirty(to.connection);
    }

    /// Asks other cores again for what they did not run, as much of it as is likely to have room, if the client has read.
    pub(super) fn ask_again(&mut self, place: u32) {
        let connection = self.connections.at(place);
        let unsent_bytes = connection.replies.unsent_bytes();
        if connection.dead || !connection.is_all_home() || unsent_bytes > UNSENT_BYTES_MAX / 2 {
            return;
        }
        let Some(mut refused) = connection.refused.take() else {
            return;
        };
        connection.begin_round();
        if refused.is_next_long() {
            let command = refused.take().expect("there is a next one");
            // It is asked on when that is answered.
            connection.refused = Some(refused);
            return self.begin_refused(place, command);
        }
        let connection = self.connections.at(place);
        let (generation, round) = (connection.generation, connection.round);
        for _ in 0..connection.replies.fit_in(UNSENT_BYTES_MAX) {
            if refused.is_next_long() {
                break;
            }
            let Some(command) = refused.take() else {
                break;
            };
            let to = usize::from(command.owner.0);
            let Peer { outbox, owed } = &mut self.peers[to];
            let batch = outbox.get_or_insert_with(|| {
                let spare = self.spares.take();
                Batch::between(self.core.id.0, command.owner.0, spare)
            });
            batch.push(&command.args.as_args(), command.request.in_round(round));
            owed.push(ReplyTo {
                connection: place,
                generation,
                sequence: command.sequence,
            });
            if batch.is_full() {
                self.dispatch(to);
            }
        }
        if refused.is_empty() {
            self.unpause(place);
            self.to_receive.push(place);
        } else {
            self.connections.at(place).refused = Some(refused);
        }
    }

    /// Gives up the batches that are kept for the next turn, and room for more replies than are usually owed.
    pub(super) fn trim_batches(&mut self) {
        self.core.travelling_bytes -= self.spares.clear();
        self.spares.allow(self.core.room_share_bytes() / SPARE_PART);
        self.allowances.trim();
        for peer in &mut self.peers {
            peer.owed.trim();
        }
    }
}

/// Keeps a command that came home as it was sent; nothing further of its connection is run before it.
#[cold]
fn keep_refused(
    connection: &mut Connection,
    batch: &Batch,
    number: usize,
    sequence: u32,
    refusal: Refusal,
) {
    let asked = batch.requests.from(0).nth(number);
    let asked = asked.expect("a request for each reply");
    connection.pause = Pause::Refused;
    let refused = connection.refused.get_or_insert_default();
    refused.keep(RefusedCommand {
        owner: ShardId(batch.owner),
        sequence,
        request: asked.request,
        args: OwnedArgs::from_args(asked.args()),
        is_long: refusal == Refusal::Long,
    });
}
