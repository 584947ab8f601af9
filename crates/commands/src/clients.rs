//! The clients of one core, as data: what CLIENT LIST shows and CLIENT KILL marks.
//! Sockets and buffers are the server's; it keeps the figures here up to date and closes what is marked.
//! Client numbers are unique over all cores and only rise.

use resp::Proto;
use store::Millis;

/// A client's place among the clients of its core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientId(pub u32);

/// What a client wants to hear (CLIENT REPLY).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ReplyMode {
    /// Every reply.
    #[default]
    On,
    /// None.
    Off,
    /// The reply to the next command is left out.
    SkipNext,
    /// The reply to the command that runs now is left out, unless it is CLIENT REPLY ON.
    SkipThis,
}

/// One connection's state that commands read and change.
#[derive(Debug)]
pub struct Client {
    /// Number of the connection, unique in the process.
    pub number: u64,
    /// Its socket's descriptor.
    pub descriptor: i32,
    /// Peer address and port as text.
    pub address: Box<str>,
    /// Local address and port as text.
    pub local_address: Box<str>,
    /// CLIENT SETNAME.
    pub name: Box<[u8]>,
    /// CLIENT SETINFO LIB-NAME; empty when none was sent.
    pub library_name: Box<[u8]>,
    /// CLIENT SETINFO LIB-VER.
    pub library_version: Box<[u8]>,
    /// Selected database.
    pub db: u8,
    /// RESP2 or RESP3.
    pub proto: Proto,
    /// Whether the password was given, or none is asked.
    pub authenticated: bool,
    /// CLIENT NO-EVICT.
    pub no_evict: bool,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// CLIENT REPLY.
    pub reply_mode: ReplyMode,
    /// When it connected.
    pub connected: Millis,
    /// When it last sent a command.
    pub last_active: Millis,
    /// Row of its last command, if any.
    pub last_command: Option<u16>,
    /// Bytes in its query buffer.
    pub query_bytes: usize,
    /// Bytes reserved for its query buffer.
    pub query_capacity_bytes: usize,
    /// Bytes waiting to be sent to it.
    pub output_bytes: usize,
    /// Bytes reserved for its output.
    pub output_capacity_bytes: usize,
    /// Every byte this client holds on this core, its own record included; the server keeps it.
    pub total_bytes: usize,
    /// Bytes read from it.
    pub input_total_bytes: u64,
    /// Bytes sent to it.
    pub output_total_bytes: u64,
    /// Commands it has run.
    pub commands: u64,
    /// It is to be closed, at once or when its replies are sent.
    pub close: Option<Close>,
}

impl Client {
    /// What a call takes over from its client: database, protocol, and whether reads leave no trace.
    pub fn manners(&self) -> (usize, Proto, bool) {
        (usize::from(self.db), self.proto, self.no_touch)
    }

    /// Whether the reply that is due now is wanted; counts it for CLIENT REPLY SKIP.
    #[inline]
    pub fn wants_reply(&mut self) -> bool {
        self.reply_mode == ReplyMode::On || self.leaves_out_reply()
    }

    #[cold]
    fn leaves_out_reply(&mut self) -> bool {
        if self.reply_mode != ReplyMode::Off {
            self.reply_mode = ReplyMode::On;
        }
        false
    }
}

/// How a marked client ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// After what is waiting for it was sent (QUIT, a protocol error, a client that kills itself).
    AfterReplies,
    /// At once.
    Now,
}

/// The clients of one core.
#[derive(Debug, Default)]
pub struct Clients {
    slots: Vec<Option<Box<Client>>>,
    marked: Vec<ClientId>,
    count: usize,
    bytes: u64,
}

impl Clients {
    /// Adds a client at a place the server chose; the place must be free.
    pub fn insert(&mut self, id: ClientId, client: Client) {
        let index = id.0 as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        assert!(self.slots[index].is_none(), "client place {index} is taken");
        self.bytes += client.total_bytes as u64;
        self.slots[index] = Some(Box::new(client));
        self.count += 1;
    }

    /// Takes a client out.
    pub fn remove(&mut self, id: ClientId) -> Option<Box<Client>> {
        let client = self.slots.get_mut(id.0 as usize)?.take()?;
        self.bytes -= client.total_bytes as u64;
        self.count -= 1;
        Some(client)
    }

    /// The client at a place. Panics where none is: a place belongs to a live connection.
    pub fn at(&self, id: ClientId) -> &Client {
        self.slots[id.0 as usize]
            .as_ref()
            .expect("a live connection has its client record")
    }

    /// The client at a place, if there is one.
    pub fn find(&self, id: ClientId) -> Option<&Client> {
        self.slots.get(id.0 as usize)?.as_deref()
    }

    /// As `at`, to change it.
    pub fn at_mut(&mut self, id: ClientId) -> &mut Client {
        self.slots[id.0 as usize]
            .as_mut()
            .expect("a live connection has its client record")
    }

    /// All clients, by place.
    pub fn iter(&self) -> impl Iterator<Item = (ClientId, &Client)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(index, slot)| Some((ClientId(index as u32), slot.as_deref()?)))
    }

    /// Marks a client to be closed; the server takes the marks after the command.
    pub fn close(&mut self, id: ClientId, how: Close) {
        self.at_mut(id).close = Some(how);
        self.marked.push(id);
    }

    /// The clients marked since the last call.
    pub fn take_marked(&mut self) -> Vec<ClientId> {
        std::mem::take(&mut self.marked)
    }

    /// Whether any client is marked.
    pub fn has_marked(&self) -> bool {
        !self.marked.is_empty()
    }

    /// Records what a client holds now.
    pub fn settle(&mut self, id: ClientId, total_bytes: usize) {
        let client = self.slots[id.0 as usize]
            .as_mut()
            .expect("a live connection has its client record");
        let before = std::mem::replace(&mut client.total_bytes, total_bytes);
        self.bytes = self.bytes + total_bytes as u64 - before as u64;
    }

    /// Bytes of the list of clients itself.
    pub fn table_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Option<Box<Client>>>()
    }

    /// How many clients this core holds.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of all clients of this core: records, buffers, replies on their way.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}
