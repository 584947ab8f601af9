//! The replies of one connection: put into the order of its commands, then sent.
//! Reply i answers command i, also when it comes from another core after reply i + 1.
//! A connection whose commands all run here has no holes among its replies and never uses the second half of this.

use memory::heap::good_size;
use std::collections::VecDeque;

/// Bytes of the block behind a buffer of this capacity. What the allocator rounds small ones up by is not worth asking for.
pub fn block_bytes(capacity: usize) -> usize {
    const LARGE_BYTES: usize = 32 * 1024;
    if capacity < LARGE_BYTES {
        capacity
    } else {
        good_size(capacity)
    }
}

/// Large replies in the pieces that they were made in.
#[derive(Default)]
struct Pieces {
    queue: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Pieces {
    fn push(&mut self, piece: Vec<u8>) {
        self.bytes += piece.len();
        self.queue.push_back(piece);
    }

    #[cold]
    fn heap_bytes(&self) -> usize {
        let each = self.queue.iter();
        size_of::<Pieces>()
            + self.queue.capacity() * size_of::<Vec<u8>>()
            + each
                .map(|piece| block_bytes(piece.capacity()))
                .sum::<usize>()
    }
}

/// What is left to send is moved to the beginning of its buffer only where it is no more than this.
const MOVED_BYTES_MAX: usize = 256 * 1024;

/// Replies on their way to a client.
///
/// While other cores owe some, those known here lie one behind the other in `staged`, and each owed one is a hole between them.
pub struct Replies {
    /// Encoded replies in order, ready to be sent.
    out: Vec<u8>,
    /// What goes before `out`, where large replies are on their way; none of it is empty.
    pieces: Option<Box<Pieces>>,
    /// How much of what goes first, a piece or `out`, the socket has taken.
    sent: usize,
    /// Sequence number of the first hole.
    first_awaited: u32,
    /// Replies that are owed, and those that came before an earlier one.
    holes: Holes,
    /// Replies that come after a hole.
    staged: Vec<u8>,
    /// How much of `staged` is in `out` already.
    staged_done: usize,
    /// Replies that came before an earlier one that is owed.
    early: Vec<u8>,
    awaited: u32,
    /// What an awaited reply is taken to be, by those that came: large ones count at once, small ones little by little.
    reply_bytes_expected: usize,
}

/// What an awaited reply is taken to be after this one, see [`Replies::reply_bytes_expected`].
#[inline]
fn expected_after(bytes_expected: usize, reply: &[u8]) -> usize {
    reply.len().max(bytes_expected - bytes_expected / 8)
}

/// A place among the replies for one that another core owes.
#[derive(Clone, Copy)]
struct Hole {
    /// How much of `staged` goes before it.
    staged_before: u32,
    state: State,
}

/// The holes in order, behind those that are closed already.
#[derive(Default)]
struct Holes {
    list: Vec<Hole>,
    /// How many at the beginning of the list are closed.
    closed: usize,
}

impl Holes {
    fn open(&self) -> &[Hole] {
        &self.list[self.closed..]
    }

    fn open_count(&self) -> u32 {
        (self.list.len() as u32).wrapping_sub(self.closed as u32)
    }

    /// Closes the first `count`. Those that are open move to the beginning where they are fewer than the closed ones.
    fn close(&mut self, count: usize) {
        self.closed += count;
        if self.closed == self.list.len() {
            self.list.clear();
            self.closed = 0;
        } else if self.closed > self.list.len() / 2 {
            self.list.drain(..self.closed);
            self.closed = 0;
        }
    }
}

#[derive(Clone, Copy)]
enum State {
    Awaited,
    /// The client does not want to hear it (CLIENT REPLY); it still holds its place until it comes.
    Unwanted,
    /// It came and lies in `early`.
    Early {
        start: u32,
        end: u32,
    },
}

impl Default for Replies {
    fn default() -> Replies {
        Replies {
            out: Vec::new(),
            pieces: None,
            sent: 0,
            first_awaited: 0,
            holes: Holes::default(),
            staged: Vec::new(),
            staged_done: 0,
            early: Vec::new(),
            awaited: 0,
            reply_bytes_expected: Self::FIRST_REPLY_BYTES_EXPECTED,
        }
    }
}

impl Replies {
    /// Before any reply came: a pipeline of 64 is not held back.
    const FIRST_REPLY_BYTES_EXPECTED: usize = 4096;
    /// Holes an idle connection keeps room for, so that a short pipeline allocates nothing.
    const IDLE_HOLES_MAX: usize = 64;

    /// Writes a reply that is known now, in its place. `write` appends to the buffer it is given.
    #[inline]
    pub fn local<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        write(if self.holes.list.is_empty() {
            &mut self.out
        } else {
            &mut self.staged
        })
    }

    /// Keeps a place for a reply that another core owes; answers its sequence number.
    pub fn await_one(&mut self, wanted: bool, pool: &mut Pool) -> u32 {
        if self.staged.capacity() == 0 {
            pool.equip(&mut self.staged);
        }
        let sequence = self.first_awaited.wrapping_add(self.holes.open_count());
        self.holes.list.push(Hole {
            staged_before: self.staged.len() as u32,
            state: if wanted {
                State::Awaited
            } else {
                State::Unwanted
            },
        });
        self.awaited += 1;
        sequence
    }

    /// Takes replies that were awaited one behind the other, from `sequence` on; answers how many there were.
    #[inline(never)]
    pub fn arrived<'a>(
        &mut self,
        sequence: u32,
        replies: impl Iterator<Item = &'a [u8]>,
        pool: &mut Pool,
    ) -> usize {
        if sequence != self.first_awaited {
            return self.arrived_early(sequence, replies, pool);
        }
        self.equip(pool);
        let (mut count, mut done) = (0, self.staged_done);
        let mut bytes_expected = self.reply_bytes_expected;
        for (hole, reply) in self.holes.open().iter().zip(replies) {
            let staged = &self.staged[done..hole.staged_before as usize];
            if !staged.is_empty() {
                self.out.extend_from_slice(staged);
                done = hole.staged_before as usize;
            }
            match hole.state {
                State::Awaited => self.out.extend_from_slice(reply),
                State::Unwanted => {}
                State::Early { .. } => unreachable!("a reply arrives once"),
            }
            bytes_expected = expected_after(bytes_expected, reply);
            count += 1;
        }
        (self.staged_done, self.reply_bytes_expected) = (done, bytes_expected);
        self.awaited -= count as u32;
        self.close_holes(count);
        self.bring_what_follows();
        count
    }

    /// Brings what was behind a hole that was closed just now.
    #[inline]
    fn bring_what_follows(&mut self) {
        if self.holes.open().len() > self.awaited as usize {
            self.bring_early();
        }
        if self.awaited == 0 {
            self.bring_staged(self.staged.len());
            self.staged.clear();
            self.staged_done = 0;
        }
    }

    /// As [`Replies::arrived`], of the first that is awaited, for a reply in pieces.
    pub fn arrived_in_pieces(&mut self, sequence: u32, pieces: Vec<Vec<u8>>) {
        assert_eq!(sequence, self.first_awaited, "earlier ones have come");
        self.awaited -= 1;
        let hole = self.holes.open()[0];
        self.close_holes(1);
        self.bring_staged(hole.staged_before as usize);
        if let State::Awaited = hole.state {
            self.adopt(pieces);
        }
        self.bring_what_follows();
    }

    /// Takes a reply in pieces that is known now; none is owed. Large ones are not copied.
    pub fn adopt(&mut self, mut pieces: Vec<Vec<u8>>) {
        /// What is not larger is copied.
        const SMALL_BYTES: usize = 4096;
        pieces.retain(|piece| !piece.is_empty());
        if pieces.iter().map(Vec::len).sum::<usize>() <= SMALL_BYTES {
            pieces
                .iter()
                .for_each(|piece| self.out.extend_from_slice(piece));
            return;
        }
        let queue = self.pieces.get_or_insert_default();
        if !self.out.is_empty() {
            queue.push(std::mem::take(&mut self.out));
        }
        pieces.into_iter().for_each(|piece| queue.push(piece));
    }

    /// Keeps replies that came before an earlier one that is owed.
    #[inline(never)]
    fn arrived_early<'a>(
        &mut self,
        sequence: u32,
        replies: impl Iterator<Item = &'a [u8]>,
        pool: &mut Pool,
    ) -> usize {
        if self.early.capacity() == 0 {
            self.early = pool.take();
        }
        let before = sequence.wrapping_sub(self.first_awaited) as usize;
        let mut count = 0;
        for (hole, reply) in self.holes.list[self.holes.closed + before..]
            .iter_mut()
            .zip(replies)
        {
            let start = self.early.len() as u32;
            match hole.state {
                State::Awaited => self.early.extend_from_slice(reply),
                State::Unwanted => {}
                State::Early { .. } => unreachable!("a reply arrives once"),
            }
            hole.state = State::Early {
                start,
                end: self.early.len() as u32,
            };
            self.reply_bytes_expected = expected_after(self.reply_bytes_expected, reply);
            count += 1;
        }
        self.awaited -= count as u32;
        count
    }

    /// Moves what is staged before `end` to what can be sent.
    fn bring_staged(&mut self, end: usize) {
        self.out
            .extend_from_slice(&self.staged[self.staged_done..end]);
        self.staged_done = end;
    }

    /// Moves early replies that are no longer behind an owed one to what can be sent.
    fn bring_early(&mut self) {
        let mut count = 0;
        for hole in self.holes.open() {
            let State::Early { start, end } = hole.state else {
                break;
            };
            let staged_before = hole.staged_before as usize;
            self.out
                .extend_from_slice(&self.staged[self.staged_done..staged_before]);
            self.staged_done = staged_before;
            self.out
                .extend_from_slice(&self.early[start as usize..end as usize]);
            count += 1;
        }
        self.close_holes(count);
        if self.holes.open().len() == self.awaited as usize {
            self.early.clear();
        }
    }

    fn close_holes(&mut self, count: usize) {
        self.first_awaited = self.first_awaited.wrapping_add(count as u32);
        self.holes.close(count);
    }

    /// Bytes that will wait for the client when everything awaited has come.
    pub fn expected_bytes(&self) -> usize {
        self.pending_bytes() + self.awaited as usize * self.reply_bytes_expected
    }

    /// For how many replies at a time there is room within `room_bytes`, by those that came; one at least.
    pub fn fit_in(&self, room_bytes: usize) -> usize {
        (room_bytes / self.reply_bytes_expected).max(1)
    }

    /// How many replies other cores owe.
    pub fn awaited(&self) -> u32 {
        self.awaited
    }

    /// Bytes that can be sent, of those that go first.
    #[inline]
    pub fn unsent(&self) -> &[u8] {
        let first = match &self.pieces {
            None => &self.out,
            Some(pieces) => &pieces.queue[0],
        };
        &first[self.sent..]
    }

    /// How many bytes can be sent.
    #[inline]
    pub fn unsent_bytes(&self) -> usize {
        let pieces = self.pieces.as_ref().map_or(0, |pieces| pieces.bytes);
        pieces + self.out.len() - self.sent
    }

    /// Bytes held for the client, sendable or not.
    pub fn pending_bytes(&self) -> usize {
        self.unsent_bytes() + self.staged.len() + self.early.len()
    }

    /// Records that the socket took `count` bytes; the buffer goes back to `pool` when all is sent.
    pub fn took(&mut self, count: usize, pool: &mut Pool) {
        self.sent += count;
        if self.pieces.is_some() {
            return self.took_of_piece();
        }
        debug_assert!(
            self.sent <= self.out.len(),
            "no more can be sent than there is"
        );
        if self.sent == self.out.len() {
            self.sent = 0;
            self.out.clear();
            pool.give(std::mem::take(&mut self.out));
        } else if self.sent > self.out.len() / 2 && self.out.len() - self.sent <= MOVED_BYTES_MAX {
            self.out.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Frees the first piece if all of it is sent.
    #[cold]
    fn took_of_piece(&mut self) {
        let pieces = self.pieces.as_mut().expect("there are pieces");
        if self.sent == pieces.queue[0].len() {
            pieces.bytes -= std::mem::take(&mut self.sent);
            pieces.queue.pop_front();
        }
        if pieces.queue.is_empty() {
            self.pieces = None;
        }
    }

    /// Takes a buffer from the pool where this has none.
    pub fn equip(&mut self, pool: &mut Pool) {
        if self.out.capacity() == 0 {
            self.out = pool.take();
        }
    }

    /// Gives up what only a busy connection needs.
    pub fn settle(&mut self, pool: &mut Pool) {
        if !self.holes.list.is_empty() {
            return;
        }
        if self.holes.list.capacity() > Self::IDLE_HOLES_MAX {
            self.holes = Holes::default();
        }
        for buffer in [&mut self.staged, &mut self.early] {
            pool.give(std::mem::take(buffer));
        }
    }

    /// Bytes reserved.
    pub fn heap_bytes(&self) -> usize {
        let pieces = self.pieces.as_ref();
        pieces.map_or(0, |pieces| pieces.heap_bytes())
            + block_bytes(self.out.capacity())
            + block_bytes(self.staged.capacity())
            + block_bytes(self.early.capacity())
            + self.holes.list.capacity() * size_of::<Hole>()
    }
}

/// Buffers that idle connections do not need, for the next busy one; the last given is the first taken, while it is in the cache.
#[derive(Default)]
pub struct Pool {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Pool {
    /// Buffers kept at most.
    const BUFFERS_MAX: usize = 64;
    /// A larger buffer is freed rather than kept.
    const BUFFER_BYTES_MAX: usize = 64 * 1024;

    /// An empty buffer.
    pub fn take(&mut self) -> Vec<u8> {
        let buffer = self.buffers.pop().unwrap_or_default();
        self.bytes -= buffer.capacity();
        buffer
    }

    /// Gives a buffer to who has none. Seldom, and so apart from what is done for each command.
    #[cold]
    #[inline(never)]
    fn equip(&mut self, buffer: &mut Vec<u8>) {
        *buffer = self.take();
    }

    /// Keeps an empty buffer, or frees it.
    #[inline]
    pub fn give(&mut self, buffer: Vec<u8>) {
        debug_assert!(buffer.is_empty(), "only empty buffers are kept");
        let fits = (1..=Self::BUFFER_BYTES_MAX).contains(&buffer.capacity());
        if fits && self.buffers.len() < Self::BUFFERS_MAX {
            self.bytes += buffer.capacity();
            self.buffers.push(buffer);
        }
    }

    /// Frees all but `kept` buffers.
    pub fn trim(&mut self, kept: usize) {
        self.buffers.truncate(kept);
        self.bytes = self.buffers.iter().map(Vec::capacity).sum();
    }

    /// Bytes it keeps.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(replies: &Replies) -> &str {
        std::str::from_utf8(replies.unsent()).unwrap()
    }

    fn arrived(replies: &mut Replies, sequence: u32, reply: &[u8], pool: &mut Pool) {
        assert_eq!(replies.arrived(sequence, [reply].into_iter(), pool), 1);
    }

    #[test]
    fn replies_that_are_all_local_go_straight_out() {
        let mut replies = Replies::default();
        replies.local(|out| out.extend_from_slice(b"a"));
        replies.local(|out| out.extend_from_slice(b"b"));
        assert_eq!(text_of(&replies), "ab");
    }

    #[test]
    fn a_late_reply_holds_back_those_behind_it_and_only_those() {
        let (mut replies, mut pool) = (Replies::default(), Pool::default());
        replies.local(|out| out.extend_from_slice(b"a"));
        let first = replies.await_one(true, &mut pool);
        replies.local(|out| out.extend_from_slice(b"c"));
        let second = replies.await_one(true, &mut pool);
        replies.local(|out| out.extend_from_slice(b"e"));
        assert_eq!(text_of(&replies), "a");
        arrived(&mut replies, second, b"d", &mut pool);
        assert_eq!(text_of(&replies), "a");
        arrived(&mut replies, first, b"b", &mut pool);
        assert_eq!(text_of(&replies), "abcde");
        assert_eq!(replies.awaited(), 0);
    }

    /// Replies with a model that knows what the client must hear: each reply is its own number.
    #[test]
    fn replies_leave_in_the_order_of_their_commands_in_whatever_order_they_arrive() {
        for seed in 0..200 {
            let mut rng = store::Rng::seeded(seed);
            let mut below = |bound: usize| rng.below(bound as u64) as usize;
            let (mut replies, mut pool) = (Replies::default(), Pool::default());
            let (mut awaited, mut heard) = (Vec::new(), String::new());
            let (mut number, mut expected) = (0, String::new());
            let pieces_of = |text: &str, below: &mut dyn FnMut(usize) -> usize| {
                // Some are long enough not to be copied.
                let text = text.repeat(1 + below(2) * 2000);
                let cut = below(text.len() + 1);
                let (one, other) = text.as_bytes().split_at(cut);
                (text.clone(), vec![one.to_vec(), Vec::new(), other.to_vec()])
            };
            for _ in 0..1 + below(60) {
                if awaited.is_empty() {
                    let (text, pieces) = pieces_of(&format!("{number},"), &mut below);
                    number += 1;
                    expected.push_str(&text);
                    replies.adopt(pieces);
                }
                for _ in 0..below(9) {
                    let text = format!("{number},");
                    number += 1;
                    match below(5) {
                        0 => awaited.push((replies.await_one(false, &mut pool), text)),
                        1 | 2 => {
                            expected.push_str(&text);
                            awaited.push((replies.await_one(true, &mut pool), text));
                        }
                        _ => {
                            expected.push_str(&text);
                            replies.local(|out| out.extend_from_slice(text.as_bytes()));
                        }
                    }
                }
                for _ in 0..below(9).min(awaited.len()) {
                    // Mostly the first: a core answers in order, and often those behind it too.
                    let index = below(awaited.len()) * below(2);
                    let first: u32 = awaited[index].0;
                    let follows = |(past, (sequence, _)): &(u32, &(u32, String))| {
                        *sequence == first.wrapping_add(*past)
                    };
                    let run = (0..).zip(&awaited[index..]).take_while(follows).count();
                    let run: Vec<_> = awaited.drain(index..index + 1 + below(run)).collect();
                    let texts = run.iter().map(|(_, text)| text.as_bytes());
                    assert_eq!(replies.arrived(first, texts, &mut pool), run.len());
                    if awaited.is_empty() {
                        break;
                    }
                }
                let count = below(replies.unsent().len() + 1);
                if replies.pieces.is_none() {
                    assert_eq!(replies.unsent_bytes(), replies.unsent().len());
                }
                heard.push_str(&text_of(&replies)[..count]);
                replies.took(count, &mut pool);
                replies.settle(&mut pool);
                assert_eq!(replies.awaited() as usize, awaited.len());
                assert!(
                    expected.starts_with(&heard),
                    "{heard} is no beginning of {expected}"
                );
            }
            for (sequence, text) in awaited {
                arrived(&mut replies, sequence, text.as_bytes(), &mut pool);
            }
            while replies.unsent_bytes() > 0 {
                heard.push_str(text_of(&replies));
                replies.took(replies.unsent().len(), &mut pool);
            }
            assert_eq!(heard, expected);
            assert!(replies.pieces.is_none());
            assert_eq!(replies.pending_bytes(), replies.unsent().len());
        }
    }

    #[test]
    fn a_large_reply_in_pieces_is_not_copied_and_holds_its_place() {
        let (mut replies, mut pool) = (Replies::default(), Pool::default());
        replies.local(|out| out.extend_from_slice(b"a"));
        let first = replies.await_one(true, &mut pool);
        replies.local(|out| out.extend_from_slice(b"c"));
        let second = replies.await_one(true, &mut pool);
        replies.local(|out| out.extend_from_slice(b"e"));
        let piece = vec![b'b'; 10_000];
        let lies_at = piece.as_ptr();
        arrived(&mut replies, second, b"d", &mut pool);
        replies.arrived_in_pieces(first, vec![piece]);
        assert_eq!((text_of(&replies), replies.unsent_bytes()), ("a", 10_004));
        replies.took(1, &mut pool);
        assert_eq!(replies.unsent().as_ptr(), lies_at);
        assert!(replies.heap_bytes() >= 10_000);
        replies.took(9_999, &mut pool);
        assert_eq!((text_of(&replies), replies.unsent_bytes()), ("b", 4));
        replies.took(1, &mut pool);
        assert_eq!((text_of(&replies), replies.pending_bytes()), ("cde", 3));
    }

    #[test]
    fn a_client_that_is_always_owed_something_takes_no_more_room_for_it() {
        let (mut replies, mut pool) = (Replies::default(), Pool::default());
        let mut next = replies.await_one(true, &mut pool);
        for _ in 0..10_000 {
            let behind = replies.await_one(true, &mut pool);
            arrived(&mut replies, next, b"a", &mut pool);
            replies.took(1, &mut pool);
            next = behind;
        }
        assert_eq!(replies.awaited(), 1);
        assert!(replies.holes.list.capacity() <= Replies::IDLE_HOLES_MAX);
    }

    #[test]
    fn an_unwanted_reply_keeps_its_place_and_says_nothing() {
        let (mut replies, mut pool) = (Replies::default(), Pool::default());
        let unwanted = replies.await_one(false, &mut pool);
        replies.local(|out| out.extend_from_slice(b"b"));
        arrived(&mut replies, unwanted, b"a", &mut pool);
        assert_eq!(text_of(&replies), "b");
    }

    #[test]
    fn a_buffer_that_is_sent_goes_back_to_the_pool_and_serves_again() {
        let (mut replies, mut pool) = (Replies::default(), Pool::default());
        replies.local(|out| out.extend_from_slice(b"abc"));
        replies.took(1, &mut pool);
        assert_eq!(text_of(&replies), "bc");
        replies.took(2, &mut pool);
        assert_eq!(replies.heap_bytes(), 0);
        assert!(pool.bytes() > 0);
        replies.equip(&mut pool);
        assert_eq!(pool.bytes(), 0);
    }
}
