//! What one core does: its turn is events in, commands run, messages out, replies sent, then the next turn.
//! Nothing in a turn waits; long work is done in steps between turns; an idle core sleeps in its ring.
//! Decision 0002 says why sockets are driven here and not by the runtime's own streams.

mod arrivals;
mod background;
mod batches;
mod courses;
mod defrag;
mod departures;
mod gateway;
mod group;
mod lock_queue;
mod pending;
mod shares;
mod tasks;
mod whole;

use crate::{
    connection::{Connection, Connections, Pause},
    mesh::{
        Port,
        allowance::Allowances,
        batch::Batch,
        message::{Message, Task},
        owed::Owed,
        spares::Spares,
    },
    net::ring::{Event, Ring},
    replies::Pool,
    shared::Shared,
};
use commands::{Client, Core, Table};
use courses::Course;
pub use gateway::HTTP_CONNECTIONS_MAX;
use lock_queue::LockQueue;
use memory::heap::good_size;
use pending::Group;
use resp::OwnedArgs;
use std::{
    collections::{HashMap, VecDeque},
    os::fd::{AsRawFd, OwnedFd},
    sync::Arc,
    time::Duration,
};
use tasks::Coordinated;

/// One core at work.
pub struct Driver {
    core: Core,
    table: &'static Table,
    shared: Arc<Shared>,
    ring: Ring,
    port: Port,
    listeners: Vec<Listener>,
    connections: Connections,
    /// Places of connections that speak HTTP.
    http_places: Vec<u32>,
    pool: Pool,
    group: Group,
    /// What is between this core and each.
    peers: Vec<Peer>,
    /// Batches that are kept for more.
    spares: Spares,
    /// How much of large replies the connections of other cores have had.
    allowances: Allowances,
    /// Batches with a request whose key is locked, and those behind them; with where the next request begins.
    stalled_batches: VecDeque<(Batch, usize)>,
    /// Commands over several shards that this core coordinates.
    coordinated: HashMap<u32, Coordinated>,
    /// What a task that needs no arguments has.
    no_args: Arc<OwnedArgs>,
    last_transaction: u32,
    /// Messages of this core to itself.
    to_self: VecDeque<Message>,
    /// Parts that work in steps.
    jobs: VecDeque<Box<Task>>,
    /// Stages of commands over several shards that take steps, one after the other.
    courses: VecDeque<Course>,
    /// Commands that run whole here, as tasks.
    whole: whole::Whole,
    /// Tasks that wait for locks, first come first served.
    lock_queue: LockQueue,
    /// Connections whose next command wants a locked key.
    stalled: Vec<(u32, u32)>,
    /// A lock was released since they were last looked at.
    unlocked: bool,
    /// Connections that may go on with what they have sent.
    resumed: Vec<u32>,
    /// Blocks of the two records of a connection.
    record_bytes: usize,
    /// Connections to be flushed at the end of the turn.
    dirty: Vec<u32>,
    /// How many of them are settled already.
    settled: usize,
    /// Those among them that something happened to since they were settled.
    touched_again: Vec<u32>,
    /// Something waits until memory has become free.
    waits_for_room: bool,
    /// Connections whose receive must be started again.
    to_receive: Vec<u32>,
    /// Places to be freed at the end of the turn.
    to_bury: Vec<u32>,
    events: Vec<Event>,
    background: background::Background,
}

/// What is between this core and another.
#[derive(Default)]
struct Peer {
    /// Commands for it, gathered this turn.
    outbox: Option<Batch>,
    /// What it owes.
    owed: Owed,
}

struct Listener {
    socket: OwnedFd,
    /// Who comes here speaks HTTP.
    is_http: bool,
    armed: bool,
}

/// Sockets to accept connections from.
#[derive(Default)]
pub struct Listeners {
    /// For clients.
    pub resp: Vec<OwnedFd>,
    /// For metrics and the page.
    pub http: Vec<OwnedFd>,
}

impl Listeners {
    fn into_all(self) -> Vec<Listener> {
        let listener = |is_http| {
            move |socket| Listener {
                socket,
                is_http,
                armed: false,
            }
        };
        let resp = self.resp.into_iter().map(listener(false));
        resp.chain(self.http.into_iter().map(listener(true)))
            .collect()
    }
}

impl Driver {
    /// A driver on the calling thread's own ring.
    pub fn new(
        core: Core,
        shared: Arc<Shared>,
        ring: Ring,
        port: Port,
        listeners: Listeners,
    ) -> Driver {
        port.announce(ring.descriptor());
        let cores = core.shards as usize;
        Driver {
            core,
            table: Table::instance(),
            shared,
            ring,
            port,
            listeners: listeners.into_all(),
            connections: Connections::default(),
            http_places: Vec::new(),
            pool: Pool::default(),
            group: Group::default(),
            peers: (0..cores).map(|_| Peer::default()).collect(),
            spares: Spares::default(),
            allowances: Allowances::default(),
            stalled_batches: VecDeque::new(),
            coordinated: HashMap::new(),
            no_args: Arc::new(OwnedArgs::new()),
            last_transaction: 0,
            to_self: VecDeque::new(),
            jobs: VecDeque::new(),
            courses: VecDeque::new(),
            whole: whole::Whole::default(),
            lock_queue: LockQueue::default(),
            stalled: Vec::new(),
            unlocked: false,
            resumed: Vec::new(),
            record_bytes: good_size(size_of::<Connection>()) + good_size(size_of::<Client>()),
            dirty: Vec::new(),
            settled: 0,
            touched_again: Vec::new(),
            waits_for_room: false,
            to_receive: Vec::new(),
            to_bury: Vec::new(),
            events: Vec::new(),
            background: background::Background::default(),
        }
    }

    /// Makes what the first turn would make, so that it counts as start-up memory.
    pub fn prepare(&mut self) {
        self.set_clock();
        // From here on what this thread allocates is the shard's, not the process' own.
        memory::heap::set_purge_delay();
        memory::heap::charge_thread_to(&mut memory::shard::ShardMemory::default());
        self.core.settle_lease();
        self.core.publish_bytes();
    }

    /// Sends what is ready, as far as sockets take it, and closes all connections.
    pub fn say_goodbye(&mut self) {
        self.depart();
        for place in self.connections.places() {
            self.kill(place);
        }
    }

    /// Starts accepting on every listener that does not.
    pub fn listen(&mut self) {
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            if !listener.armed {
                listener.armed = true;
                self.ring.accept(index as u32, listener.socket.as_raw_fd());
            }
        }
    }

    /// One turn.
    pub fn turn(&mut self) {
        self.ring.enter();
        self.set_clock();
        self.tick_when_due();
        self.take_events();
        self.take_messages();
        let has_unlocked = std::mem::take(&mut self.unlocked);
        self.resume(has_unlocked);
        self.run_group();
        if has_unlocked {
            self.serve_lock_queue();
        }
        self.run_jobs();
        self.step_on();
        self.background_step();
        self.take_to_self();
        self.call_for_room();
        self.send_outbox();
        self.depart();
        self.pay_for_room();
        self.restart_receiving();
        self.bury();
        if self.core.shutdown {
            self.shared.stop();
        }
    }

    /// Whether a turn would do nothing; only then may the core sleep.
    pub fn is_quiet(&mut self) -> bool {
        self.jobs.is_empty()
            && self.courses.is_empty()
            && self.whole.is_quiet()
            && self.to_self.is_empty()
            && self.resumed.is_empty()
            && !self.unlocked
            && !self.waits_for_room
            && !self.background.is_due(self.core.mono_us)
            && self.port.is_quiet()
            && self.ring.is_quiet()
    }

    /// Sleeps until something comes or the next tick is due. A message put into the mesh meanwhile rings this core's bell.
    pub fn sleep(&mut self) {
        self.port.lie_down();
        if self.is_quiet() {
            let (_, now_us) = crate::clock::read();
            let until_due_us = self.background.next_due_us().saturating_sub(now_us);
            self.ring.wait(Duration::from_micros(until_due_us));
        }
        self.port.rise();
    }

    /// Whether the process is to end.
    pub fn is_stopping(&self) -> bool {
        self.shared.is_stopping()
    }

    fn set_clock(&mut self) {
        let (now, mono_us) = crate::clock::read();
        self.core.now = now;
        self.core.mono_us = mono_us;
    }

    fn resume(&mut self, has_unlocked: bool) {
        if has_unlocked {
            self.retry_locked();
        }
        // Connections that are resumed while these run are looked at in the next turn.
        for place in std::mem::take(&mut self.resumed) {
            let connection = self.connections.at(place);
            if connection.pause == Pause::Turn {
                if connection.share.is_of(self.core.mono_us) {
                    self.resumed.push(place);
                    continue;
                }
                connection.pause = Pause::No;
            }
            connection.resuming = false;
            self.go_on(place);
        }
    }

    /// Lets a connection go on with what it has sent, in the next turn.
    fn unpause(&mut self, place: u32) {
        let connection = self.connections.at(place);
        connection.pause = Pause::No;
        if !connection.resuming {
            connection.resuming = true;
            self.resumed.push(place);
        }
    }

    /// Bytes of this core's buffers that belong to no single client, and of what is on its way.
    fn mesh_bytes(&self) -> u64 {
        let batches = self.stalled_batches.capacity();
        let owed = self
            .peers
            .iter()
            .map(|peer| peer.owed.heap_bytes())
            .sum::<usize>();
        let tables = self.connections.heap_bytes()
            + self.core.clients.table_bytes()
            + self.core.locks.heap_bytes()
            + self.group.heap_bytes()
            + self.whole.heap_bytes()
            + self.courses.capacity() * size_of::<Course>()
            + self.lock_queue.heap_bytes()
            + self.allowances.heap_bytes()
            + self.port.heap_bytes()
            + batches * size_of::<Batch>()
            + owed
            + self.coordinated.capacity() * size_of::<(u32, Coordinated)>();
        let kept =
            self.spares.list_bytes() + self.pool.bytes() + tables + self.parts_to_be_stored();
        // Batches that wait, leave or are kept are among what is counted as being on its way.
        kept as u64 + self.core.travelling_bytes.max(0) as u64
    }
}
