//! One connection: its socket, what it has sent and not been answered, and what stops it.
//! A connection never waits by blocking: it is a record that the driver picks up when something happened to it.
//! Its session (name, database, protocol) is the client record in `commands`.

use crate::{
    exchange::Exchange,
    refused::RefusedCommands,
    replies::{Pool, Replies, block_bytes},
    share::Share,
};
use resp::Decoder;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// An input of so many bytes grows by a quarter in the place of twofold: what many large commands leave unused counts. One
/// that is longer is a single command, and copied as seldom as may be: while it grows it is there twice.
const QUARTERED_BYTES: Range<usize> = 128 << 10..1 << 20;

/// One connection.
pub struct Connection {
    /// The socket.
    socket: OwnedFd,
    /// Which of the connections that had this place.
    pub generation: u32,
    /// Bytes received and not yet executed; starts with the first byte of a command.
    pub input: Vec<u8>,
    /// How far the unfinished command at the end is decoded.
    pub decoder: Decoder,
    /// Where it speaks HTTP: the request under way.
    pub exchange: Option<Box<Exchange>>,
    /// What goes back.
    pub replies: Replies,
    /// Why no further command of it is looked at now.
    pub pause: Pause,
    /// A multishot receive is under way.
    pub receiving: bool,
    /// That receive is to end, because the client sends faster than it reads.
    pub receive_stopped: bool,
    /// The driver will be told when the socket takes bytes again.
    pub awaiting_writable: bool,
    /// It was paused and will be looked at again in the next turn.
    pub resuming: bool,
    /// The peer sends no more.
    pub input_ended: bool,
    /// To be closed when its replies are sent.
    pub closing: bool,
    /// Shut down; its place is freed after the last completion.
    pub dead: bool,
    /// Some of its commands are decoded and not yet run.
    pub in_group: bool,
    /// It is in the list of those to be flushed this turn.
    pub dirty: bool,
    /// It is in that list, and nothing happened to it since it was settled.
    pub settled: bool,
    /// When its output first exceeded the soft limit, in microseconds; 0 when it does not.
    pub soft_limit_since_us: u64,
    /// How much of this turn it has had.
    pub share: Share,
    /// Which of two rounds its commands for other cores belong to, see [`crate::mesh::allowance`].
    pub round: bool,
    /// Commands that came back from other cores without having been run.
    pub refused: Option<Box<RefusedCommands>>,
}

/// Why a connection's next command has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// It need not.
    No,
    /// A key it wants is locked by a command over several shards.
    Locked,
    /// Its next command waits until all earlier ones are answered.
    Barrier,
    /// A command over several shards of its own is under way.
    Task,
    /// It does not read its replies.
    Output,
    /// It had its share of this turn.
    Turn,
    /// Other cores did not run commands of it, which come before any further.
    Refused,
    /// It speaks HTTP: none of its bytes is ever a command.
    Http,
}

impl Connection {
    /// A connection that was just accepted.
    pub fn new(socket: OwnedFd, generation: u32) -> Connection {
        Connection {
            socket,
            generation,
            input: Vec::new(),
            decoder: Decoder::new(),
            exchange: None,
            replies: Replies::default(),
            pause: Pause::No,
            receiving: false,
            receive_stopped: false,
            awaiting_writable: false,
            resuming: false,
            input_ended: false,
            closing: false,
            dead: false,
            in_group: false,
            dirty: false,
            settled: false,
            soft_limit_since_us: 0,
            share: Share::default(),
            round: false,
            refused: None,
        }
    }

    /// All that other cores were asked has come home: what they are asked from here on belongs to the next round.
    #[inline]
    pub fn begin_round(&mut self) {
        self.round = !self.round;
    }

    /// Whether all that other cores were asked has come home, run or not.
    pub fn is_all_home(&self) -> bool {
        let refused = self.refused.as_ref().map_or(0, |refused| refused.len());
        self.replies.awaited() as usize == refused
    }

    /// The socket's descriptor.
    pub fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// The socket.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether commands may be looked at.
    pub fn runs(&self) -> bool {
        self.pause == Pause::No && !self.closing && !self.dead
    }

    /// Whether nothing of what it sent is left to be run and it sends no more.
    pub fn is_finished(&self) -> bool {
        let rests = match self.pause {
            Pause::No => true,
            Pause::Http => self.input.is_empty(),
            _ => false,
        };
        self.input_ended && rests && !self.resuming && !self.in_group
    }

    /// Drops the first `count` bytes of the input; gives its buffer back when nothing is left.
    pub fn consume(&mut self, count: usize, pool: &mut Pool) {
        if count == self.input.len() {
            self.input.clear();
            pool.give(std::mem::take(&mut self.input));
        } else if count > 0 {
            self.input.drain(..count);
        }
    }

    /// Keeps bytes until they make a whole command.
    pub fn keep(&mut self, bytes: &[u8], pool: &mut Pool) {
        if self.input.capacity() == 0 {
            self.input = pool.take();
        }
        let len = self.input.len() + bytes.len();
        if len > self.input.capacity() && QUARTERED_BYTES.contains(&len) {
            self.input.reserve_exact(bytes.len() + len / 4);
        }
        self.input.extend_from_slice(bytes);
    }

    /// Frees what it has received and not sent, once it has ended: its client is gone, and what nobody counts would pass for
    /// data until the kernel is done with it. Not while commands in its input are being run.
    pub fn drop_buffers(&mut self) {
        debug_assert!(self.dead && !self.in_group, "nothing reads them any more");
        self.input = Vec::new();
        self.decoder = Decoder::new();
        self.replies = Replies::default();
        self.refused = None;
    }

    /// Every byte it holds on the heap besides its own record.
    pub fn heap_bytes(&self) -> usize {
        block_bytes(self.input.capacity())
            + self.decoder.heap_bytes()
            + self.replies.heap_bytes()
            + self
                .refused
                .as_ref()
                .map_or(0, |refused| refused.total_bytes())
            + self
                .exchange
                .as_ref()
                .map_or(0, |exchange| exchange.total_bytes())
    }
}

/// The connections of a core, by place.
#[derive(Default)]
pub struct Connections {
    places: Vec<Option<Box<Connection>>>,
    free: Vec<u32>,
    generation: u32,
}

impl Connections {
    /// Adds a connection and answers its place.
    pub fn insert(&mut self, socket: OwnedFd) -> u32 {
        self.generation = self.generation.wrapping_add(1);
        let connection = Box::new(Connection::new(socket, self.generation));
        if let Some(place) = self.free.pop() {
            self.places[place as usize] = Some(connection);
            return place;
        }
        self.places.push(Some(connection));
        (self.places.len() - 1) as u32
    }

    /// Frees a place and closes its socket.
    pub fn remove(&mut self, place: u32) {
        let removed = self.places[place as usize].take();
        assert!(removed.is_some(), "a place is freed once");
        self.free.push(place);
    }

    /// The connection at a place that is in use.
    #[inline]
    pub fn at(&mut self, place: u32) -> &mut Connection {
        self.places[place as usize]
            .as_mut()
            .expect("the place is in use")
    }

    /// The connection at a place, if it is still the one meant.
    pub fn still(&mut self, place: u32, generation: u32) -> Option<&mut Connection> {
        let connection = self.places.get_mut(place as usize)?.as_mut()?;
        (connection.generation == generation && !connection.dead).then_some(connection)
    }

    /// The connection at a place, if it is one that has ended.
    pub fn dead(&mut self, place: u32) -> Option<&mut Connection> {
        self.places
            .get_mut(place as usize)?
            .as_deref_mut()
            .filter(|connection| connection.dead)
    }

    /// Places in use.
    pub fn places(&self) -> Vec<u32> {
        (0..self.places.len() as u32)
            .filter(|&place| self.places[place as usize].is_some())
            .collect()
    }

    /// How many there are, with those that have ended and are still named.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Bytes of the table itself.
    pub fn heap_bytes(&self) -> usize {
        self.places.capacity() * size_of::<Option<Box<Connection>>>()
            + self.free.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_of_many_large_commands_leaves_little_of_its_buffer_unused() {
        let socket = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let mut connection = Connection::new(socket, 1);
        let mut pool = Pool::default();
        for piece in 0..400u32 {
            connection.keep(&[piece as u8; 8192], &mut pool);
            let (len, capacity) = (connection.input.len(), connection.input.capacity());
            let is_quartered = (2 * QUARTERED_BYTES.start..QUARTERED_BYTES.end).contains(&len);
            assert!(!is_quartered || capacity <= len + len / 4 + 8192);
        }
        let mut pieces = connection.input.chunks(8192).zip(0u32..);
        assert!(pieces.all(|(piece, number)| piece.iter().all(|byte| *byte == number as u8)));
    }
}
