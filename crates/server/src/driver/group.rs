//! Commands of one turn in groups: decoded, hashed and prefetched together, then run one after the other.
//! A command runs in the order of its connection; a connection that must wait keeps its bytes and is decoded again.
//! Groups of 16: enough to overlap the misses, few enough that prefetched lines are still there when they are used.

use super::{
    Driver, Peer,
    pending::{From, GROUP_COMMANDS, Pending, Source, What},
};
use crate::{
    connection::Pause,
    mesh::{
        batch::{Batch, Request, Terms},
        owed::ReplyTo,
        spares::Spares,
    },
    net::buffers,
};
use commands::{
    Call, Client, ClientId, Error, Flags, Run, ShardId,
    clients::{Close, ReplyMode},
    error,
    execute::{self, Ran},
    gather::{self, Place},
    table::RowId,
};
use resp::{Args, Decoded, Limits, OwnedArgs, Span, Writer};

/// Replies that take more are settled before they can be taken for data.
pub(super) const LARGE_REPLY_BYTES: usize = 64 * 1024;
/// A connection with this much unsent is not served further until it reads.
pub(super) const UNSENT_BYTES_MAX: usize = 256 * 1024;

/// What violations of the protocol are counted by.
const VIOLATION_CODE: &[u8] = b"ERR";

/// Whether a command is a line of HTTP by which Redis knows, too, that a browser was made to send what its user never wrote:
/// commands may stand in the lines that follow.
fn is_of_http(name: &[u8]) -> bool {
    [&b"post"[..], b"host:"]
        .iter()
        .any(|line| name.eq_ignore_ascii_case(line))
}

/// Whether the reply to a command that has run is left out (CLIENT REPLY); `before` is the mode before it.
fn is_unwanted(client: &mut Client, before: ReplyMode) -> bool {
    if client.reply_mode == ReplyMode::SkipThis {
        client.reply_mode = ReplyMode::On;
        return true;
    }
    before == ReplyMode::Off && client.reply_mode != ReplyMode::On
}

/// The first command of a turn for another core. Apart from those that follow, which have the registers to themselves.
#[cold]
#[inline(never)]
fn begin_batch<'a>(
    outbox: &'a mut Option<Batch>,
    maker: ShardId,
    owner: ShardId,
    spares: &mut Spares,
) -> &'a mut Batch {
    outbox.insert(Batch::between(maker.0, owner.0, spares.take()))
}

impl Driver {
    /// Decodes all whole commands of these bytes into groups and runs the full groups.
    pub(super) fn decode(&mut self, place: u32, from: From) {
        self.connections.at(place).in_group = true;
        self.core.shortage.is_unsettled = true;
        self.group.sources.push(Source {
            place,
            from,
            decoded: 0,
            stopped_at: None,
            complete: false,
        });
        let mut limits = Limits {
            bulk_bytes_max: self.core.config.proto_max_bulk_len.min(u64::from(u32::MAX)) as u32,
            authenticated: self.core.clients.at(ClientId(place)).authenticated,
            ..Limits::default()
        };
        // What fits a buffer is too little to hold others up.
        let is_large =
            matches!(from, From::Input) && self.connections.at(place).input.len() > buffers::BYTES;
        let mut timed_since_us = is_large.then(crate::clock::mono_us);
        let mut at = 0;
        loop {
            // Before a client has said who it is, each command may change what the next may do.
            if self.group.is_full() || !limits.authenticated && !self.group.commands.is_empty() {
                self.run_commands();
                if let Some(since_us) = &mut timed_since_us {
                    *since_us = self.spend(place, *since_us);
                }
                if !self.connections.at(place).runs() {
                    break;
                }
                if !limits.authenticated {
                    limits.authenticated = self.core.clients.at(ClientId(place)).authenticated;
                }
            }
            match self.decode_one(place, from, at, &limits) {
                Some(consumed) => at += consumed,
                None => break,
            }
        }
        // A full group does not move the sources: this one is still the last.
        let source = self.group.sources.last_mut().expect("it was pushed above");
        source.decoded = at;
        source.complete = true;
        if self.group.commands.is_empty() {
            self.close_sources();
        }
    }

    /// Decodes one command; answers how many bytes it took, or `None` when there is no further whole command.
    fn decode_one(&mut self, place: u32, from: From, at: usize, limits: &Limits) -> Option<usize> {
        let Driver {
            ring,
            connections,
            group,
            core,
            table,
            ..
        } = self;
        let connection = connections.at(place);
        let crate::connection::Connection { input, decoder, .. } = connection;
        let bytes = match from {
            From::Buffer { buffer, len } => ring.bytes(buffer, len),
            From::Input => input,
        };
        if at >= bytes.len() {
            return None;
        }
        let first_span = group.spans.len();
        let source = group.sources.len() - 1;
        let mut pending = |what, inline: Option<Box<OwnedArgs>>, spans: &[Span]| {
            let mut command = Pending {
                source,
                offset: at,
                what,
                spans: first_span..spans.len(),
                inline,
                hash: 0,
                owner: core.id,
            };
            let args = match &command.inline {
                Some(owned) => owned.as_args(),
                None => Args::new(bytes, &spans[first_span..]),
            };
            if let What::Row(_) = command.what {
                match table.resolve(&args) {
                    Ok(id) => {
                        let row = table.row(id);
                        if let Run::Owner(_) = row.run {
                            (command.hash, command.owner) =
                                core.locate(args.at(row.keys.first as usize));
                        }
                        command.what = What::Row(id);
                    }
                    Err(_) if is_of_http(args.at(0)) => command.what = What::Http,
                    Err(error) => {
                        command.what = What::Refused(Box::new((error, table.meant(&args))));
                    }
                }
            }
            group.here += usize::from(command.owner == core.id);
            group.commands.push(command);
        };
        match decoder.decode(bytes, at, limits, &mut group.spans) {
            Ok(Decoded::Command { consumed }) => {
                pending(What::Row(RowId(0)), None, &group.spans);
                Some(consumed)
            }
            Ok(Decoded::Inline { consumed, args }) => {
                pending(What::Row(RowId(0)), Some(Box::new(args)), &group.spans);
                Some(consumed)
            }
            Ok(Decoded::Nothing { consumed }) => Some(consumed),
            Ok(Decoded::Incomplete) => None,
            Err(violation) => {
                pending(What::Violation(violation), None, &group.spans);
                None
            }
        }
    }

    /// Runs what is decoded and settles its bytes.
    pub(super) fn run_group(&mut self) {
        self.run_commands();
        self.close_sources();
    }

    fn run_commands(&mut self) {
        let mut commands = std::mem::take(&mut self.group.commands);
        if commands.len() > 1 {
            self.prefetch(&commands);
        }
        for command in &commands {
            self.run_one(command);
        }
        commands.clear();
        self.group.commands = commands;
        self.group.here = 0;
        self.group.spans.clear();
    }

    fn prefetch(&self, commands: &[Pending]) {
        let here = commands.iter().filter_map(|command| {
            if command.hash == 0 || command.owner != self.core.id {
                return None;
            }
            // A client may be gone since its commands were decoded.
            let place = self.group.sources[command.source].place;
            let client = self.core.clients.find(ClientId(place))?;
            Some((usize::from(client.db), command.hash))
        });
        let mut keys = [(0, 0); GROUP_COMMANDS];
        let mut count = 0;
        for (key, (db, hash)) in keys.iter_mut().zip(here) {
            *key = (db, hash);
            self.core.shard.prefetch_bucket(db, hash);
            count += 1;
        }
        for &(db, hash) in &keys[..count] {
            self.core.shard.prefetch_entry(db, hash);
        }
    }

    /// The connections whose commands are in the group.
    pub(super) fn group_places(&self) -> Vec<u32> {
        let sources = &self.group.sources;
        sources.iter().map(|source| source.place).collect()
    }

    fn close_sources(&mut self) {
        let mut sources = std::mem::take(&mut self.group.sources);
        for source in sources.drain(..) {
            debug_assert!(
                source.complete,
                "sources are closed when nothing is being decoded"
            );
            self.close_source(&source);
        }
        self.group.sources = sources;
    }

    /// Keeps what was not run, and gives the rest back.
    fn close_source(&mut self, source: &Source) {
        let connection = self.connections.at(source.place);
        connection.in_group = false;
        let done = source.stopped_at.unwrap_or(source.decoded);
        if source.stopped_at.is_some() {
            connection.decoder = resp::Decoder::new();
        }
        match source.from {
            From::Input => connection.consume(done, &mut self.pool),
            From::Buffer { buffer, len } => {
                let rest = &self.ring.bytes(buffer, len)[done..];
                if !rest.is_empty() && !connection.dead {
                    connection.keep(rest, &mut self.pool);
                }
                self.ring.recycle(buffer);
            }
        }
        let connection = self.connections.at(source.place);
        if connection.dead {
            connection.drop_buffers();
        }
        self.mark_dirty(source.place);
    }

    fn run_one(&mut self, command: &Pending) {
        let place = self.group.sources[command.source].place;
        if !self.connections.at(place).runs() || self.must_pause_for_output(place) {
            return self.stop_at(command);
        }
        match &command.what {
            What::Row(id) => self.run_row(place, command, *id),
            What::Refused(refused) => self.reject(place, refused.1, &refused.0),
            What::Violation(violation) => {
                self.core.stats.count_error(VIOLATION_CODE);
                let connection = self.connections.at(place);
                connection.replies.equip(&mut self.pool);
                connection.replies.local(|out| violation.write_to(out));
                connection.closing = true;
            }
            What::Http => self.connections.at(place).closing = true,
        }
    }

    pub(super) fn stop_at(&mut self, command: &Pending) {
        let source = &mut self.group.sources[command.source];
        source.stopped_at.get_or_insert(command.offset);
    }

    fn must_pause_for_output(&mut self, place: u32) -> bool {
        if self.connections.at(place).replies.pending_bytes() <= UNSENT_BYTES_MAX {
            return false;
        }
        self.flush(place);
        let connection = self.connections.at(place);
        if connection.dead {
            return true;
        }
        if connection.replies.unsent_bytes() > UNSENT_BYTES_MAX {
            connection.pause = Pause::Output;
        } else if connection.replies.pending_bytes() > UNSENT_BYTES_MAX {
            // What is behind replies that other cores owe cannot leave before they come.
            connection.pause = Pause::Barrier;
        }
        !connection.runs()
    }

    /// Answers a command that is refused before it runs.
    fn reject(&mut self, place: u32, row: Option<RowId>, error: &Error) {
        if let Some(id) = row {
            self.core.stats.calls[id.0 as usize].rejected += 1;
        }
        self.answer_error(place, error);
    }

    fn answer_error(&mut self, place: u32, error: &Error) {
        self.core.stats.count_error(&error.0);
        let client = self.core.clients.at_mut(ClientId(place));
        let wanted = client.wants_reply();
        let proto = client.proto;
        let connection = self.connections.at(place);
        connection.replies.equip(&mut self.pool);
        if wanted {
            connection
                .replies
                .local(|out| Writer::new(out, proto).error_bytes(&error.0));
        }
    }

    fn run_row(&mut self, place: u32, command: &Pending, id: RowId) {
        let row = self.table.row(id);
        let client = self.core.clients.at_mut(ClientId(place));
        if !client.authenticated && !row.flags.has(Flags::NO_AUTH) {
            return self.reject(place, Some(id), &error::NO_AUTH.into());
        }
        client.last_active = self.core.now;
        client.last_command = Some(id.0);
        let (owner, hash) = match row.run {
            Run::Here(_) => (self.core.id, 0),
            Run::Owner(_) => (command.owner, command.hash),
            _ => match self.whole_or_parts(place, command, id) {
                Some(whole) => whole,
                None => return,
            },
        };
        if owner == self.core.id {
            self.run_here(place, command, id, hash);
        } else {
            self.run_there(place, command, id, owner, hash);
        }
    }

    /// For a command of several keys or shards: its only owner, or `None` when it was begun in parts, refused, or must wait.
    fn whole_or_parts(
        &mut self,
        place: u32,
        command: &Pending,
        id: RowId,
    ) -> Option<(ShardId, u64)> {
        let row = self.table.row(id);
        let placed = self.with_args(command, |driver, args| {
            gather::place(&driver.core, row, &args)
        });
        match placed {
            Ok(Place::Here) => Some((self.core.id, 0)),
            Ok(Place::Owner(owner, hash)) => Some((owner, hash)),
            Ok(Place::Parts(plan)) => {
                let connection = self.connections.at(place);
                if connection.replies.awaited() > 0 {
                    connection.pause = Pause::Barrier;
                    self.stop_at(command);
                } else {
                    let args = self.with_args(command, |_, args| OwnedArgs::from_args(args));
                    self.begin(place, id, args, plan);
                }
                None
            }
            Err(error) => {
                execute::count_failed(&mut self.core.stats, id);
                self.answer_error(place, &error);
                None
            }
        }
    }

    /// Calls `with` with the arguments of a command; for what is not the common path, so it may copy.
    fn with_args<R>(
        &mut self,
        command: &Pending,
        with: impl FnOnce(&mut Driver, Args<'_>) -> R,
    ) -> R {
        let owned = self.owned_args(command);
        with(self, owned.as_args())
    }

    pub(super) fn owned_args(&mut self, command: &Pending) -> OwnedArgs {
        if let Some(inline) = &command.inline {
            return (**inline).clone();
        }
        let source = &self.group.sources[command.source];
        let bytes = match source.from {
            From::Buffer { buffer, len } => self.ring.bytes(buffer, len),
            From::Input => &self.connections.at(source.place).input,
        };
        OwnedArgs::from_args(Args::new(bytes, &self.group.spans[command.spans.clone()]))
    }

    fn run_here(&mut self, place: u32, command: &Pending, id: RowId, hash: u64) {
        loop {
            match self.try_here(place, command, id, hash) {
                Ran::Yes => return,
                Ran::NotSettled => self.settle_touched(),
                Ran::InSteps => return self.begin_long(place, command, id, hash),
                Ran::NotYet => {
                    let connection = self.connections.at(place);
                    connection.pause = Pause::Locked;
                    self.stalled.push((place, connection.generation));
                    return self.stop_at(command);
                }
            }
        }
    }

    fn try_here(&mut self, place: u32, command: &Pending, id: RowId, hash: u64) -> Ran {
        let Driver {
            core,
            ring,
            connections,
            group,
            pool,
            table,
            waits_for_room,
            ..
        } = self;
        let connection = connections.at(place);
        connection.replies.equip(pool);
        let crate::connection::Connection { input, replies, .. } = connection;
        let bytes = match group.sources[command.source].from {
            From::Buffer { buffer, len } => ring.bytes(buffer, len),
            From::Input => input,
        };
        let args = match &command.inline {
            Some(inline) => inline.as_args(),
            None => Args::new(bytes, &group.spans[command.spans.clone()]),
        };
        let row = table.row(id);
        if !matches!(row.run, Run::Here(_)) && gather::must_wait(core, row, &args, hash) {
            return Ran::NotYet;
        }
        let client = core.clients.at_mut(ClientId(place));
        client.commands += 1;
        let ((db, proto, no_touch), mode) = (client.manners(), client.reply_mode);
        let plain = mode == ReplyMode::On && !matches!(row.run, Run::Here(_));
        let mut call = Call {
            core,
            args,
            db,
            proto,
            hash,
            client: Some(ClientId(place)),
            no_touch,
        };
        if mode == ReplyMode::SkipNext {
            call.core.clients.at_mut(ClientId(place)).reply_mode = ReplyMode::SkipThis;
        }
        let (ran, is_large) = replies.local(|out| {
            let start = out.len();
            let ran = execute::run(&mut call, id, &mut Writer::new(out, proto));
            let is_large = out.len() > LARGE_REPLY_BYTES;
            call.core.shortage.is_unsettled |= is_large;
            if !plain && is_unwanted(call.core.clients.at_mut(ClientId(place)), mode) {
                out.truncate(start);
            }
            (ran, is_large)
        });
        if ran != Ran::Yes {
            let client = call.core.clients.at_mut(ClientId(place));
            client.commands -= 1;
            client.reply_mode = mode;
            *waits_for_room |= ran == Ran::NotYet;
        } else if !plain {
            self.close_marked();
        }
        if is_large {
            // The others must not take it for data meanwhile.
            self.settle_figures(place);
            self.core.note_buffers();
        }
        ran
    }

    #[inline(never)]
    fn run_there(&mut self, place: u32, command: &Pending, id: RowId, owner: ShardId, hash: u64) {
        let connection = self.connections.at(place);
        if connection.replies.awaited() == 0 {
            connection.begin_round();
        } else if connection.replies.expected_bytes() > UNSENT_BYTES_MAX {
            connection.pause = Pause::Barrier;
            return self.stop_at(command);
        }
        let client = self.core.clients.at_mut(ClientId(place));
        client.commands += 1;
        // One after the other, each with what it needs at hand: its place, who is owed, what to run, the arguments.
        let wanted = client.wants_reply();
        let sequence = connection.replies.await_one(wanted, &mut self.pool);
        let Peer { outbox, owed } = &mut self.peers[usize::from(owner.0)];
        owed.push(ReplyTo {
            connection: place,
            generation: connection.generation,
            sequence,
        });
        let batch = match outbox {
            Some(batch) => batch,
            None => begin_batch(outbox, self.core.id, owner, &mut self.spares),
        };
        let terms = Terms {
            row: id,
            db: client.db,
            proto: client.proto,
            no_touch: client.no_touch,
            connection: place,
            round: connection.round,
        };
        let request = Request::new(hash, terms);
        let bytes = match self.group.sources[command.source].from {
            From::Buffer { buffer, len } => self.ring.bytes(buffer, len),
            From::Input => &connection.input,
        };
        let args = match &command.inline {
            Some(inline) => inline.as_args(),
            None => Args::new(bytes, &self.group.spans[command.spans.clone()]),
        };
        batch.push(&args, request);
        if batch.is_full() {
            self.dispatch(usize::from(owner.0));
        }
    }

    /// Closes the clients that a command has marked.
    pub(super) fn close_marked(&mut self) {
        if !self.core.clients.has_marked() {
            return;
        }
        for id in self.core.clients.take_marked() {
            // One that was marked twice may be gone by its second mark.
            match self.core.clients.find(id).and_then(|client| client.close) {
                Some(Close::AfterReplies) => {
                    self.connections.at(id.0).closing = true;
                    self.mark_dirty(id.0);
                }
                Some(Close::Now) => self.kill(id.0),
                None => {}
            }
        }
    }
}
