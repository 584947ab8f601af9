//! What comes in: connections, bytes, ends, errors, messages of other cores.
//! Bytes are decoded where the kernel put them; only what is no whole command yet is copied.
//! Announced bytes reserve nothing; a client that does not read its replies is not read from.

use super::{Driver, pending::From};
use crate::{
    connection::Pause,
    mesh::{batch::Request, message::Message},
    net::{ring::Event, socket},
};
use commands::{Client, ClientId, clients::ReplyMode};
use resp::Proto;
use std::{
    os::fd::{AsFd, OwnedFd},
    sync::atomic::Ordering,
};

/// A paused client may have this much waiting here before it is no longer received from.
const PAUSED_INPUT_BYTES_MAX: usize = 64 * 1024;

impl Driver {
    pub(super) fn take_events(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        self.ring.events(&mut events);
        for event in events.drain(..) {
            match event {
                Event::Accepted {
                    listener,
                    result,
                    armed,
                } => self.accepted(listener, result, armed),
                Event::Received {
                    connection,
                    result,
                    buffer,
                    armed,
                } => {
                    self.received(connection, result, buffer, armed);
                }
                Event::Writable { connection } => self.writable(connection),
                Event::Nothing => {}
            }
        }
        self.events = events;
        self.run_group();
    }

    pub(super) fn take_messages(&mut self) {
        while let Some(mut message) = self.port.receive() {
            let is_large =
                matches!(&message, Message::Batch(batch) if !batch.is_answered && batch.is_full());
            if let Message::Task(task) | Message::TaskDone(task) = &mut message {
                self.receive_task(task);
            }
            self.take_message(message);
            if is_large && self.batches_had_their_share() {
                break;
            }
        }
    }

    pub(super) fn take_to_self(&mut self) {
        while let Some(message) = self.to_self.pop_front() {
            self.take_message(message);
        }
    }

    fn take_message(&mut self, message: Message) {
        match message {
            Message::Batch(batch) => self.batch_came(batch),
            Message::Task(task) => self.task_came(task),
            Message::TaskDone(task) => self.task_done(*task),
            // What this shard owes it pays at the end of every turn; the message makes it take one.
            Message::Pay => {}
        }
    }

    fn accepted(&mut self, listener: u32, result: Result<OwnedFd, i32>, armed: bool) {
        self.listeners[listener as usize].armed = armed;
        let socket = match result {
            Ok(socket) => socket,
            Err(errno) => {
                // Out of descriptors or memory: the next tick tries again, so that a failing accept neither spins nor stops.
                return self.background.accept_failed(errno, self.core.mono_us);
            }
        };
        if !armed {
            self.listen();
        }
        if self.listeners[listener as usize].is_http {
            return self.welcome_watcher(socket);
        }
        self.core.stats.connections_received += 1;
        let connected = self.core.facts.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let is_full = self.connections.len() >= Request::CONNECTIONS_MAX;
        if is_full || connected > u64::from(self.core.config.maxclients) {
            self.core.facts.connections.fetch_sub(1, Ordering::Relaxed);
            self.core.stats.connections_rejected += 1;
            // As far as the socket takes it: the client is not waited for.
            let _ = socket::send(socket.as_fd(), b"-ERR max number of clients reached\r\n");
            return;
        }
        self.welcome(socket);
    }

    pub(super) fn welcome(&mut self, socket: OwnedFd) -> u32 {
        socket::prepare(socket.as_fd(), u64::from(self.core.config.tcp_keepalive_s));
        let (address, local_address) = socket::addresses(socket.as_fd());
        let place = self.connections.insert(socket);
        let connection = self.connections.at(place);
        let descriptor = connection.descriptor();
        let addresses = address.len() + local_address.len();
        let total_bytes = self.record_bytes + connection.heap_bytes() + addresses;
        connection.receiving = true;
        let client = Client {
            number: self.core.facts.last_client.fetch_add(1, Ordering::Relaxed) + 1,
            descriptor,
            address,
            local_address,
            name: Box::default(),
            library_name: Box::default(),
            library_version: Box::default(),
            db: 0,
            proto: Proto::Resp2,
            authenticated: self.core.config.requirepass.is_empty(),
            no_evict: false,
            no_touch: false,
            reply_mode: ReplyMode::On,
            connected: self.core.now,
            last_active: self.core.now,
            last_command: None,
            query_bytes: 0,
            query_capacity_bytes: 0,
            output_bytes: 0,
            output_capacity_bytes: 0,
            total_bytes,
            input_total_bytes: 0,
            output_total_bytes: 0,
            commands: 0,
            close: None,
        };
        self.core.clients.insert(ClientId(place), client);
        self.ring.receive(place, descriptor);
        place
    }

    fn received(&mut self, place: u32, result: i32, buffer: Option<u16>, armed: bool) {
        let connection = self.connections.at(place);
        connection.receiving = armed;
        if !armed {
            self.to_receive.push(place);
        }
        if connection.dead {
            if let Some(buffer) = buffer {
                self.ring.recycle(buffer);
            }
            return;
        }
        match (result, buffer) {
            (1.., Some(buffer)) => self.bytes_came(place, buffer, result as usize),
            (0, _) => self.input_ended(place),
            // No buffer was free, or we asked to stop: `restart_receiving` decides.
            (errno, _) if [-libc::ENOBUFS, -libc::ECANCELED, -libc::EINTR].contains(&errno) => {}
            _ => self.kill(place),
        }
    }

    fn bytes_came(&mut self, place: u32, buffer: u16, len: usize) {
        self.core.stats.net_input_bytes += len as u64;
        self.core.stats.reads_processed += 1;
        self.core.clients.at_mut(ClientId(place)).input_total_bytes += len as u64;
        if self.connections.at(place).in_group {
            self.run_group_for(place);
        }
        let connection = self.connections.at(place);
        if connection.runs() && connection.input.is_empty() {
            return self.decode(place, From::Buffer { buffer, len });
        }
        connection.keep(self.ring.bytes(buffer, len), &mut self.pool);
        self.ring.recycle(buffer);
        self.mark_dirty(place);
        self.go_on(place);
        self.limit_input(place);
    }

    /// Runs what a connection has sent, if it may run.
    pub(super) fn go_on(&mut self, place: u32) {
        if self.connections.at(place).in_group {
            self.run_group();
        }
        let connection = self.connections.at(place);
        if !connection.receiving && !connection.dead {
            self.to_receive.push(place);
        }
        if connection.runs() && !connection.input.is_empty() {
            return self.decode(place, From::Input);
        }
        self.mark_dirty(place);
        if self.connections.at(place).pause == Pause::Http {
            self.serve_http(place);
        }
    }

    fn limit_input(&mut self, place: u32) {
        let limit = self.core.config.client_query_buffer_limit;
        let connection = self.connections.at(place);
        if connection.dead {
            return;
        }
        if connection.input.len() as u64 > limit {
            self.core.stats.query_limit_disconnections += 1;
            return self.kill(place);
        }
        let full = connection.input.len() > PAUSED_INPUT_BYTES_MAX;
        if full
            && connection.pause != Pause::No
            && connection.receiving
            && !connection.receive_stopped
        {
            connection.receive_stopped = true;
            self.ring.stop_receiving(place);
        }
    }

    fn input_ended(&mut self, place: u32) {
        let connection = self.connections.at(place);
        connection.input_ended = true;
        if connection.pause == Pause::Http {
            self.serve_http(place);
        }
        self.mark_dirty(place);
    }

    /// Starts receiving again where a receive has ended and more may come.
    pub(super) fn restart_receiving(&mut self) {
        for index in 0..self.to_receive.len() {
            let place = self.to_receive[index];
            let connection = self.connections.at(place);
            if connection.receiving {
                continue;
            }
            connection.receive_stopped = false;
            if connection.dead {
                self.to_bury.push(place);
                continue;
            }
            let full =
                connection.input.len() > PAUSED_INPUT_BYTES_MAX && connection.pause != Pause::No;
            if !connection.input_ended && !connection.closing && !full {
                connection.receiving = true;
                let descriptor = connection.descriptor();
                self.ring.receive(place, descriptor);
            }
        }
        self.to_receive.clear();
    }
}
