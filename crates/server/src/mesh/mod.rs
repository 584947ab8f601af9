//! The mesh: a queue for every ordered pair of cores, and a doorbell for every core.
//! Nobody waits here: a full queue keeps its messages on the sender's side until the next turn.
//! Decision 0002 has what a hop costs.

pub mod allowance;
pub mod batch;
pub mod doorbell;
pub mod message;
pub mod owed;
pub mod queue;
pub mod spares;
mod sync;

use doorbell::Doorbell;
use message::Message;
use queue::{Receiver, Sender, queue};
use std::{
    collections::VecDeque,
    os::fd::RawFd,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
};

/// Messages a queue holds; a turn sends at most a few a peer. A cache line each.
const QUEUE_MESSAGES: usize = 128;

/// What all cores know of each core. On lines of its own, since it is written whenever the core sleeps.
#[repr(align(128))]
pub struct Sleeper {
    doorbell: Doorbell,
    ring: AtomicI32,
}

/// One core's end of the mesh.
pub struct Port {
    me: usize,
    outgoing: Vec<Option<Sender<Message>>>,
    /// Messages that found their queue full, by peer.
    waiting: Vec<VecDeque<Message>>,
    incoming: Vec<Receiver<Message>>,
    sleepers: Arc<[Sleeper]>,
    /// Peers that got something since the last `bells`.
    touched: Vec<usize>,
}

/// Makes the mesh of `cores` cores.
pub fn mesh(cores: usize) -> Vec<Port> {
    let sleepers: Arc<[Sleeper]> = (0..cores)
        .map(|_| Sleeper {
            doorbell: Doorbell::new(),
            ring: AtomicI32::new(-1),
        })
        .collect();
    let mut ports: Vec<Port> = (0..cores)
        .map(|me| Port {
            me,
            outgoing: (0..cores).map(|_| None).collect(),
            waiting: (0..cores).map(|_| VecDeque::new()).collect(),
            incoming: Vec::new(),
            sleepers: sleepers.clone(),
            touched: Vec::new(),
        })
        .collect();
    for from in 0..cores {
        for to in (0..cores).filter(|&to| to != from) {
            let (sender, receiver) = queue(QUEUE_MESSAGES);
            ports[from].outgoing[to] = Some(sender);
            ports[to].incoming.push(receiver);
        }
    }
    ports
}

impl Port {
    /// Says where this core's bell is.
    pub fn announce(&self, ring: RawFd) {
        self.sleepers[self.me].ring.store(ring, Ordering::Release);
    }

    /// Sends a message to another core; in order, also when the queue is full.
    pub fn send(&mut self, to: usize, message: Message) {
        debug_assert_ne!(to, self.me, "what stays on this core does not travel");
        let sender = self.outgoing[to]
            .as_mut()
            .expect("a queue to every other core");
        let waiting = &mut self.waiting[to];
        let sent = match waiting.is_empty() {
            true => sender.push(message),
            false => Err(message),
        };
        if let Err(message) = sent {
            waiting.push_back(message);
        }
        if !self.touched.contains(&to) {
            self.touched.push(to);
        }
    }

    /// Has another core take a turn after this moment. Where its queue is full it has messages that it has not taken yet, so it
    /// will, and nothing is sent.
    pub fn nudge(&mut self, to: usize) {
        let sender = self.outgoing[to]
            .as_mut()
            .expect("a queue to every other core");
        if self.waiting[to].is_empty()
            && sender.push(Message::Pay).is_ok()
            && !self.touched.contains(&to)
        {
            self.touched.push(to);
        }
    }

    fn push_waiting(&mut self, to: usize) {
        let sender = self.outgoing[to]
            .as_mut()
            .expect("a queue to every other core");
        while let Some(message) = self.waiting[to].pop_front() {
            if let Err(message) = sender.push(message) {
                self.waiting[to].push_front(message);
                return;
            }
        }
        if self.waiting[to].capacity() > QUEUE_MESSAGES {
            self.waiting[to] = VecDeque::new();
        }
    }

    /// Bytes of what waits for room, without what the messages hold.
    pub fn heap_bytes(&self) -> usize {
        self.waiting
            .iter()
            .map(|waiting| waiting.capacity() * size_of::<Message>())
            .sum()
    }

    /// Takes the next message from any core, the cores in turn.
    pub fn receive(&mut self) -> Option<Message> {
        self.incoming.iter_mut().find_map(Receiver::pop)
    }

    /// Calls `ring` for every sleeping core that got a message since the last call.
    pub fn bells(&mut self, mut ring: impl FnMut(RawFd)) {
        for to in 0..self.waiting.len() {
            if !self.waiting[to].is_empty() {
                self.push_waiting(to);
                self.touched.push(to);
            }
        }
        if self.touched.is_empty() {
            return;
        }
        doorbell::after_messages();
        for to in self.touched.drain(..) {
            let sleeper = &self.sleepers[to];
            if sleeper.doorbell.must_ring() {
                ring(sleeper.ring.load(Ordering::Acquire));
            }
        }
    }

    /// Whether nothing has arrived and nothing waits for room.
    pub fn is_quiet(&self) -> bool {
        self.incoming.iter().all(Receiver::is_empty) && self.waiting.iter().all(VecDeque::is_empty)
    }

    /// This core is about to sleep; it must ask `is_quiet` once more.
    pub fn lie_down(&self) {
        self.sleepers[self.me].doorbell.lie_down();
    }

    /// This core is awake.
    pub fn rise(&self) {
        self.sleepers[self.me].doorbell.rise();
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;

    #[test]
    fn a_core_that_does_not_look_is_not_sent_more_than_its_queue_holds() {
        let mut ports = mesh(2);
        for _ in 0..10 * QUEUE_MESSAGES {
            ports[0].nudge(1);
        }
        assert_eq!(ports[0].heap_bytes(), 0);
        let taken = std::iter::from_fn(|| ports[1].receive()).count();
        assert_eq!(taken, QUEUE_MESSAGES);
        ports[0].nudge(1);
        assert!(ports[1].receive().is_some());
    }

    #[test]
    fn messages_that_waited_for_room_leave_none_behind() {
        let mut ports = mesh(2);
        for _ in 0..10 * QUEUE_MESSAGES {
            ports[0].send(1, Message::Pay);
        }
        assert!(ports[0].heap_bytes() > 0);
        let mut taken = 0;
        while !ports[0].is_quiet() || !ports[1].is_quiet() {
            taken += std::iter::from_fn(|| ports[1].receive()).count();
            ports[0].bells(|_| {});
        }
        assert_eq!((taken, ports[0].heap_bytes()), (10 * QUEUE_MESSAGES, 0));
    }
}
