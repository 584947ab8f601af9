//! Connections that speak HTTP: their requests become commands of an allow-list, the replies become a page, JSON or metrics.
//! No byte of theirs is ever decoded as a command, and they stand outside `maxclients`; their number, heads, patience and
//! unread answers are bounded here.
//! Source: decision 0007; what is served is `watch`'.

use super::{Driver, group::UNSENT_BYTES_MAX};
use crate::{connection::Pause, exchange::Exchange};
use commands::{
    Call, ClientId, Run, execute,
    gather::{self, Place},
};
use resp::{OwnedArgs, Proto, Writer};
use std::os::fd::OwnedFd;
use watch::{Decoded, Request, Response, Route, Settings};

/// Connections of this kind at once; one more takes the place of that which was silent longest.
pub const HTTP_CONNECTIONS_MAX: usize = 64;
/// How long one may be silent: longer than most scrapers wait between two scrapes.
const SILENCE_MS_MAX: i64 = 300_000;
/// How long one may take to send a request, or to read its answer.
const SLOWNESS_MS_MAX: i64 = 20_000;

impl Driver {
    /// Takes a new connection of this kind.
    pub(super) fn welcome_watcher(&mut self, socket: OwnedFd) {
        if self.http_places.len() >= HTTP_CONNECTIONS_MAX {
            let last_active = |&place: &u32| self.core.clients.at(ClientId(place)).last_active.0;
            let silent = self.http_places.iter().copied().min_by_key(last_active);
            self.kill(silent.expect("there are some"));
        }
        let place = self.welcome(socket);
        self.http_places.push(place);
        let connection = self.connections.at(place);
        connection.pause = Pause::Http;
        connection.exchange = Some(Box::default());
        let client = self.core.clients.at_mut(ClientId(place));
        client.name = Box::from(&b"metrics"[..]);
        client.proto = Proto::Resp3;
        // Whoever may connect here may read; no other command is ever run for it.
        client.authenticated = true;
        self.mark_dirty(place);
    }

    /// Answers the requests that have come whole, one after the other.
    pub(super) fn serve_http(&mut self, place: u32) {
        loop {
            let connection = self.connections.at(place);
            if connection.dead || connection.closing || connection.pause != Pause::Http {
                return;
            }
            if connection.replies.unsent_bytes() > UNSENT_BYTES_MAX {
                return self.wait_for_reader(place);
            }
            match watch::request::decode(&connection.input) {
                Decoded::Incomplete => {
                    connection.closing = connection.input_ended;
                    return;
                }
                Decoded::Refused(status) => {
                    let len = connection.input.len();
                    connection.consume(len, &mut self.pool);
                    self.exchange(place).begin(false, false);
                    return self.respond(place, &watch::routes::refusal(status));
                }
                Decoded::Request { request, consumed } => {
                    connection.consume(consumed, &mut self.pool);
                    self.serve_request(place, &request);
                }
            }
        }
    }

    /// Goes on in the next turn, or when the socket takes bytes again.
    fn wait_for_reader(&mut self, place: u32) {
        let connection = self.connections.at(place);
        if !connection.awaiting_writable && !connection.resuming {
            connection.resuming = true;
            self.resumed.push(place);
        }
    }

    fn exchange(&mut self, place: u32) -> &mut Exchange {
        let exchange = self.connections.at(place).exchange.as_mut();
        exchange.expect("only connections that speak HTTP come here")
    }

    fn serve_request(&mut self, place: u32, request: &Request) {
        self.core.clients.at_mut(ClientId(place)).last_active = self.core.now;
        let settings = Settings {
            prefixes: match &self.core.config {
                config if config.prefix_rules.is_on => config.metrics_prefixes,
                _ => 0,
            },
            hosts: &self.core.config.metrics_hosts,
        };
        let route = watch::route(request, settings);
        let exchange = self.exchange(place);
        exchange.begin(request.is_head, request.keeps_alive);
        match route {
            Route::Answered(response) => self.respond(place, &response),
            Route::Asks(ask) => {
                exchange.ask(ask);
                self.run_next(place);
            }
        }
    }

    /// Runs the commands of a request until one has to wait for other shards; answers when there is none left.
    fn run_next(&mut self, place: u32) {
        while let Some(args) = self.exchange(place).next_command() {
            match self.table.resolve(&args.as_args()) {
                Ok(id) => {
                    self.core.clients.at_mut(ClientId(place)).last_command = Some(id.0);
                    let row = self.table.row(id);
                    match gather::place(&self.core, row, &args.as_args()) {
                        Ok(Place::Parts(plan)) => return self.begin(place, id, args, plan),
                        Ok(_) => self.run_whole(place, &args, id),
                        Err(error) => self.take_error(place, &error.0),
                    }
                }
                Err(error) => self.take_error(place, &error.0),
            }
        }
        self.connections.at(place).pause = Pause::Http;
        let response = self.exchange(place).conclude();
        self.respond(place, &response);
    }

    /// Runs a command that concerns no shard.
    fn run_whole(&mut self, place: u32, args: &OwnedArgs, id: commands::table::RowId) {
        assert!(
            matches!(self.table.row(id).run, Run::Here(_)),
            "the allow-list has no command on keys"
        );
        let mut call = Call {
            core: &mut self.core,
            args: args.as_args(),
            db: 0,
            proto: Proto::Resp3,
            hash: 0,
            client: Some(ClientId(place)),
            no_touch: true,
        };
        let mut reply = Vec::new();
        let ran = execute::run(&mut call, id, &mut Writer::new(&mut reply, Proto::Resp3));
        debug_assert_eq!(ran, execute::Ran::Yes, "what reads needs no memory");
        self.exchange(place).take(reply);
    }

    /// Takes a refusal as a reply. No client made a mistake, so it is not counted as one.
    fn take_error(&mut self, place: u32, text: &[u8]) {
        let mut reply = Vec::new();
        Writer::new(&mut reply, Proto::Resp3).error_bytes(text);
        self.exchange(place).take(reply);
    }

    /// Takes the reply of a command over several shards, and goes on.
    pub(super) fn take_answer(&mut self, place: u32, reply: Vec<u8>) {
        self.exchange(place).take(reply);
        self.mark_dirty(place);
        self.run_next(place);
        // Its next request may have come meanwhile; others get their turn first.
        let connection = self.connections.at(place);
        if connection.pause == Pause::Http && !connection.dead {
            self.wait_for_reader(place);
        }
    }

    fn respond(&mut self, place: u32, response: &Response) {
        let (is_head, keeps_alive) = self.exchange(place).manners();
        let connection = self.connections.at(place);
        connection.replies.equip(&mut self.pool);
        connection
            .replies
            .local(|out| response.write(out, is_head, keeps_alive));
        connection.closing |= !keeps_alive;
        self.mark_dirty(place);
    }

    /// Closes those that are silent, or slow, for longer than anybody who looks would be.
    pub(super) fn hold_http_time_limits(&mut self) {
        if self.http_places.is_empty() {
            return;
        }
        let now = self.core.now;
        for index in (0..self.http_places.len()).rev() {
            let place = self.http_places[index];
            let silent_ms = now.0 - self.core.clients.at(ClientId(place)).last_active.0;
            let connection = self.connections.at(place);
            let owes = !connection.input.is_empty() || !connection.replies.unsent().is_empty();
            let exchange = self.exchange(place);
            let since = exchange.slow_since.unwrap_or(now);
            exchange.slow_since = owes.then_some(since);
            if silent_ms > SILENCE_MS_MAX || now.0 - since.0 > SLOWNESS_MS_MAX {
                self.kill(place);
            }
        }
        self.bury();
    }
}
