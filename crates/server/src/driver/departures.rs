//! What goes out: batches to other cores, replies to clients, and the ends of connections.
//! A connection gets one send a turn; what the socket does not take waits until it is writable.
//! A place is freed when the kernel has answered everything that names it.

use super::{Driver, group::UNSENT_BYTES_MAX};
use crate::{connection::Pause, mesh::message::Message, net::socket};
use commands::ClientId;
use std::{io::ErrorKind, sync::atomic::Ordering};

/// A connection that reads as fast as it is sent to gets this much in a turn: a quarter of a millisecond to half of one.
const SENT_BYTES_MAX: usize = 1 << 20;
/// Replies up to this many bytes wait for those of the same connection that other cores owe.
const HELD_BYTES_MAX: usize = 64 * 1024;

impl Driver {
    /// Has a connection flushed at the end of the turn.
    pub(super) fn mark_dirty(&mut self, place: u32) {
        let connection = self.connections.at(place);
        if !connection.dirty {
            connection.dirty = true;
            self.core.shortage.is_unsettled = true;
            self.dirty.push(place);
        } else if connection.settled {
            connection.settled = false;
            self.core.shortage.is_unsettled = true;
            self.touched_again.push(place);
        }
    }

    /// Sends the batches of this turn and rings the bells of cores that sleep.
    pub(super) fn send_outbox(&mut self) {
        for to in 0..self.peers.len() {
            self.dispatch(to);
        }
        let ring = &mut self.ring;
        let mut rung = false;
        self.port.bells(|bell| {
            ring.ring_bell(bell);
            rung = true;
        });
        if rung {
            // The woken core works while this one sends; its replies then find this one awake.
            ring.enter();
        }
    }

    /// Sends the batch gathered for another core, if there is one.
    pub(super) fn dispatch(&mut self, to: usize) {
        if let Some(mut batch) = self.peers[to].outbox.take() {
            self.core.travelling_bytes += batch.count();
            self.let_go(batch.counted);
            self.port.send(to, Message::Batch(batch));
        }
    }

    /// Takes bytes that leave for another core off this core's account.
    pub(super) fn let_go(&mut self, bytes: i64) {
        self.core.travelling_bytes -= bytes;
        memory::heap::travel::hand_over(bytes);
    }

    /// Takes bytes that came from another core on this core's account, as being on their way.
    pub(super) fn take_over(&mut self, bytes: i64) {
        self.core.travelling_bytes += bytes;
        memory::heap::travel::hand_over(-bytes);
    }

    /// Flushes every connection that something happened to.
    pub(super) fn depart(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        self.settled = 0;
        self.touched_again.clear();
        for place in dirty.drain(..) {
            let connection = self.connections.at(place);
            connection.dirty = false;
            connection.settled = false;
            // What other cores owe comes within microseconds: one send then carries all.
            let complete = connection.replies.awaited() == 0;
            if complete || connection.replies.unsent_bytes() > HELD_BYTES_MAX {
                self.flush(place);
            }
            self.settle(place);
        }
        // Ends of connections may have marked others; they are few and flushed next turn.
        dirty.append(&mut self.dirty);
        self.dirty = dirty;
        self.core.note_buffers();
    }

    /// Sends what the socket takes, or what a turn has time for; ends the connection when it is due.
    pub(super) fn flush(&mut self, place: u32) {
        let mut sent_bytes = 0;
        loop {
            let connection = self.connections.at(place);
            if connection.dead
                || connection.awaiting_writable
                || connection.replies.unsent().is_empty()
            {
                break;
            }
            if sent_bytes >= SENT_BYTES_MAX {
                self.send_on_later(place);
                break;
            }
            let unsent = connection.replies.unsent();
            let unsent = &unsent[..unsent.len().min(SENT_BYTES_MAX)];
            match socket::send(connection.socket(), unsent) {
                Ok(count) => {
                    sent_bytes += count;
                    connection.replies.took(count, &mut self.pool);
                    self.core.stats.net_output_bytes += count as u64;
                    self.core.stats.writes_processed += 1;
                    self.core.clients.at_mut(ClientId(place)).output_total_bytes += count as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.send_on_later(place),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.kill(place),
            }
        }
        let connection = self.connections.at(place);
        if connection.dead {
            return;
        }
        let answered = connection.replies.awaited() == 0 && connection.replies.unsent().is_empty();
        // Who kills itself hears of it when all shards have counted.
        let closes = connection.closing && connection.pause != Pause::Task;
        let over = closes || connection.is_finished();
        if answered && over {
            self.kill(place);
        }
    }

    /// Has the ring say when the socket takes more, be it at once.
    fn send_on_later(&mut self, place: u32) {
        let connection = self.connections.at(place);
        connection.awaiting_writable = true;
        let descriptor = connection.descriptor();
        self.ring.await_writable(place, descriptor);
    }

    pub(super) fn writable(&mut self, place: u32) {
        let connection = self.connections.at(place);
        connection.awaiting_writable = false;
        if connection.dead {
            self.to_bury.push(place);
            return;
        }
        self.flush(place);
        let connection = self.connections.at(place);
        if connection.dead {
            return;
        }
        if connection.pause == Pause::Output
            && connection.replies.unsent_bytes() <= UNSENT_BYTES_MAX / 2
        {
            self.unpause(place);
            self.to_receive.push(place);
        }
        match self.connections.at(place).pause {
            Pause::Http => self.go_on(place),
            Pause::Refused => self.ask_again(place),
            _ => {}
        }
        self.mark_dirty(place);
    }

    /// Settles the clients that something happened to since this was last done in this turn, so that what their buffers took
    /// is not taken for data.
    pub(super) fn settle_touched(&mut self) {
        self.core.shortage.is_unsettled = false;
        let mut touched = std::mem::take(&mut self.touched_again);
        touched.extend_from_slice(&self.dirty[self.settled..]);
        touched.extend(self.group_places());
        self.settled = self.dirty.len();
        for place in touched {
            self.settle_figures(place);
            let connection = self.connections.at(place);
            connection.settled = connection.dirty;
        }
        let peers = self.peers.iter_mut();
        let leaving = peers.filter_map(|peer| peer.outbox.as_mut());
        self.core.travelling_bytes += leaving.map(|batch| batch.count()).sum::<i64>();
    }

    /// Brings a client's figures up to date and holds its output against the limits.
    fn settle(&mut self, place: u32) {
        self.settle_figures(place);
        let connection = self.connections.at(place);
        if connection.dead {
            return;
        }
        let output_bytes = connection.replies.pending_bytes() as u64;
        let limits = &self.core.config.client_output_buffer_limits.normal;
        if limits.hard_bytes > 0 && output_bytes > limits.hard_bytes {
            self.core.stats.output_limit_disconnections += 1;
            return self.kill(place);
        }
        if limits.soft_bytes == 0 || output_bytes <= limits.soft_bytes {
            connection.soft_limit_since_us = 0;
        } else if connection.soft_limit_since_us == 0 {
            connection.soft_limit_since_us = self.core.mono_us.max(1);
        }
    }

    pub(super) fn settle_figures(&mut self, place: u32) {
        let connection = self.connections.at(place);
        if connection.dead {
            return;
        }
        connection.replies.settle(&mut self.pool);
        let id = ClientId(place);
        let client = self.core.clients.at_mut(id);
        client.query_bytes = connection.input.len();
        client.query_capacity_bytes = connection.input.capacity();
        client.output_bytes = connection.replies.pending_bytes();
        client.output_capacity_bytes = connection.replies.heap_bytes();
        let names = client.name.len() + client.library_name.len() + client.library_version.len();
        let addresses = client.address.len() + client.local_address.len();
        let total_bytes = self.record_bytes + connection.heap_bytes() + names + addresses;
        if total_bytes != client.total_bytes {
            self.core.clients.settle(id, total_bytes);
        }
    }

    /// Ends a connection now: its replies are dropped, its record is gone, its place follows when the kernel is done with it.
    pub(super) fn kill(&mut self, place: u32) {
        let connection = self.connections.at(place);
        if connection.dead {
            return;
        }
        connection.dead = true;
        if !connection.in_group {
            connection.drop_buffers();
        }
        socket::shutdown(connection.socket());
        let is_http = connection.exchange.is_some();
        self.core.clients.remove(ClientId(place));
        if is_http {
            self.http_places.retain(|&other| other != place);
        } else {
            self.core.facts.connections.fetch_sub(1, Ordering::Relaxed);
        }
        self.to_bury.push(place);
        self.background.connection_closed();
    }

    /// Frees the places of dead connections that nothing names any more.
    pub(super) fn bury(&mut self) {
        for place in std::mem::take(&mut self.to_bury) {
            let Some(connection) = self.connections.dead(place) else {
                continue;
            };
            let listed = connection.dirty || connection.resuming;
            if !connection.receiving && !connection.awaiting_writable && !listed {
                self.connections.remove(place);
            } else if listed {
                self.to_bury.push(place);
            }
        }
    }
}
