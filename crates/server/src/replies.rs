//! The replies of one connection: put into the order of its commands, then sent.
//! Reply i answers command i, also when it comes from another core after reply i + 1.
//! A connection whose commands all run here never uses the second half of this.

use std::collections::VecDeque;

/// Bytes of the block behind a buffer of this capacity. What the allocator rounds small ones up by is not worth asking for;
/// large ones it rounds to an eighth of a power of two.
pub fn block_bytes(capacity: usize) -> usize {
    const LARGE_BYTES: usize = 32 * 1024;
    if capacity < LARGE_BYTES {
        return capacity;
    }
    let step = 1usize << ((capacity - 1).ilog2() - 3);
    capacity.next_multiple_of(step)
}

/// Replies on their way to a client.
pub struct Replies {
    /// Encoded replies in order, ready to be sent.
    out: Vec<u8>,
    /// How much of `out` the socket has taken.
    sent: usize,
    /// Sequence number of the first reply that is still awaited.
    first_awaited: u32,
    /// Replies from the first awaited one on.
    slots: VecDeque<Slot>,
    /// Bytes of replies that came before an earlier one.
    staged: Vec<u8>,
    awaited: u32,
    /// What an awaited reply is taken to be, by those that came: large ones count at once, small ones little by little.
    reply_bytes_expected: usize,
}

impl Default for Replies {
    fn default() -> Replies {
        Replies {
            out: Vec::new(),
            sent: 0,
            first_awaited: 0,
            slots: VecDeque::new(),
            staged: Vec::new(),
            awaited: 0,
            reply_bytes_expected: Self::FIRST_REPLY_BYTES_EXPECTED,
        }
    }
}

enum Slot {
    Awaited,
    Staged {
        start: u32,
        end: u32,
    },
    /// The client does not want to hear it (CLIENT REPLY); it still holds its place until it comes.
    Unwanted,
}

impl Replies {
    /// Before any reply came: a pipeline of 64 is not held back.
    const FIRST_REPLY_BYTES_EXPECTED: usize = 4096;
    /// Slots an idle connection keeps, so that a short pipeline allocates nothing.
    const IDLE_SLOTS_MAX: usize = 64;
    /// Staged bytes it keeps, for the same reason.
    const IDLE_STAGED_BYTES_MAX: usize = 1024;

    /// Writes a reply that is known now, in its place. `write` appends to the buffer it is given.
    #[inline]
    pub fn local<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        if self.slots.is_empty() {
            return write(&mut self.out);
        }
        let start = self.staged.len() as u32;
        let result = write(&mut self.staged);
        self.slots.push_back(Slot::Staged {
            start,
            end: self.staged.len() as u32,
        });
        result
    }

    /// Takes back the place of the reply that was written last, into which nothing was written.
    pub fn forget_local(&mut self) {
        let place = self.slots.pop_back();
        debug_assert!(
            place.is_none_or(|slot| matches!(slot, Slot::Staged { start, end } if start == end)),
            "only a reply of nothing is taken back"
        );
    }

    /// Keeps a place for a reply that another core owes; answers its sequence number.
    pub fn await_one(&mut self, wanted: bool) -> u32 {
        let sequence = self.first_awaited.wrapping_add(self.slots.len() as u32);
        self.slots.push_back(if wanted {
            Slot::Awaited
        } else {
            Slot::Unwanted
        });
        self.awaited += 1;
        sequence
    }

    /// Takes a reply that was awaited.
    pub fn arrived(&mut self, sequence: u32, reply: &[u8]) {
        let place = sequence.wrapping_sub(self.first_awaited) as usize;
        self.awaited -= 1;
        self.reply_bytes_expected = reply
            .len()
            .max(self.reply_bytes_expected - self.reply_bytes_expected / 8);
        let wanted = match self.slots[place] {
            Slot::Awaited => true,
            Slot::Unwanted => false,
            Slot::Staged { .. } => unreachable!("a reply arrives once"),
        };
        let reply = if wanted { reply } else { &[] };
        if place > 0 {
            let start = self.staged.len() as u32;
            self.staged.extend_from_slice(reply);
            self.slots[place] = Slot::Staged {
                start,
                end: self.staged.len() as u32,
            };
            return;
        }
        self.out.extend_from_slice(reply);
        self.pop_slot();
        while let Some(&Slot::Staged { start, end }) = self.slots.front() {
            self.out
                .extend_from_slice(&self.staged[start as usize..end as usize]);
            self.pop_slot();
        }
        if self.slots.is_empty() {
            self.staged.clear();
        }
    }

    fn pop_slot(&mut self) {
        self.slots.pop_front();
        self.first_awaited = self.first_awaited.wrapping_add(1);
    }

    /// Bytes that will wait for the client when everything awaited has come.
    pub fn expected_bytes(&self) -> usize {
        self.pending_bytes() + self.awaited as usize * self.reply_bytes_expected
    }

    /// How many replies other cores owe.
    pub fn awaited(&self) -> u32 {
        self.awaited
    }

    /// Bytes that can be sent.
    pub fn unsent(&self) -> &[u8] {
        &self.out[self.sent..]
    }

    /// Bytes held for the client, sendable or not.
    pub fn pending_bytes(&self) -> usize {
        self.out.len() - self.sent + self.staged.len()
    }

    /// Records that the socket took `count` bytes; the buffer goes back to `pool` when all is sent.
    pub fn took(&mut self, count: usize, pool: &mut Pool) {
        self.sent += count;
        debug_assert!(
            self.sent <= self.out.len(),
            "no more can be sent than there is"
        );
        if self.sent == self.out.len() {
            self.sent = 0;
            self.out.clear();
            pool.give(std::mem::take(&mut self.out));
        } else if self.sent > self.out.len() / 2 {
            self.out.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Takes a buffer from the pool where this has none.
    pub fn equip(&mut self, pool: &mut Pool) {
        if self.out.capacity() == 0 {
            self.out = pool.take();
        }
    }

    /// Gives up what only a busy connection needs.
    pub fn settle(&mut self) {
        if !self.slots.is_empty() {
            return;
        }
        if self.slots.capacity() > Self::IDLE_SLOTS_MAX {
            self.slots = VecDeque::new();
        }
        if self.staged.capacity() > Self::IDLE_STAGED_BYTES_MAX {
            self.staged = Vec::new();
        }
    }

    /// Bytes reserved.
    pub fn heap_bytes(&self) -> usize {
        block_bytes(self.out.capacity())
            + block_bytes(self.staged.capacity())
            + self.slots.capacity() * size_of::<Slot>()
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

    /// Keeps an empty buffer, or frees it.
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
    #[test]
    fn the_block_of_a_large_buffer_is_known_within_an_eighth() {
        for capacity in [
            33_000,
            100_000,
            600_000,
            (1 << 20) + 1,
            8_388_620,
            33_558_528,
        ] {
            let (_, real) = memory::alloc::alloc_block(capacity);
            let (known, real) = (super::block_bytes(capacity) as f64, real as f64);
            assert!((known / real - 1.0).abs() < 0.126, "{known} for {real}");
        }
    }

    use super::*;

    fn text(replies: &Replies) -> &str {
        std::str::from_utf8(replies.unsent()).unwrap()
    }

    #[test]
    fn replies_that_are_all_local_go_straight_out() {
        let mut replies = Replies::default();
        replies.local(|out| out.extend_from_slice(b"a"));
        replies.local(|out| out.extend_from_slice(b"b"));
        assert_eq!(text(&replies), "ab");
    }

    #[test]
    fn a_late_reply_holds_back_those_behind_it_and_only_those() {
        let mut replies = Replies::default();
        replies.local(|out| out.extend_from_slice(b"a"));
        let first = replies.await_one(true);
        replies.local(|out| out.extend_from_slice(b"c"));
        let second = replies.await_one(true);
        replies.local(|out| out.extend_from_slice(b"e"));
        assert_eq!(text(&replies), "a");
        replies.arrived(second, b"d");
        assert_eq!(text(&replies), "a");
        replies.arrived(first, b"b");
        assert_eq!(text(&replies), "abcde");
        assert_eq!(replies.awaited(), 0);
    }

    #[test]
    fn an_unwanted_reply_keeps_its_place_and_says_nothing() {
        let mut replies = Replies::default();
        let unwanted = replies.await_one(false);
        replies.local(|out| out.extend_from_slice(b"b"));
        replies.arrived(unwanted, b"a");
        assert_eq!(text(&replies), "b");
    }

    #[test]
    fn a_buffer_that_is_sent_goes_back_to_the_pool_and_serves_again() {
        let (mut replies, mut pool) = (Replies::default(), Pool::default());
        replies.local(|out| out.extend_from_slice(b"abc"));
        replies.took(1, &mut pool);
        assert_eq!(text(&replies), "bc");
        replies.took(2, &mut pool);
        assert_eq!(replies.heap_bytes(), 0);
        assert!(pool.bytes() > 0);
        replies.equip(&mut pool);
        assert_eq!(pool.bytes(), 0);
    }
}
