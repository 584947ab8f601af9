//! A bounded queue from one core to one other: one writes, one reads, nobody waits.
//! Nothing is allocated after the start, and neither side ever takes a lock or a read-modify-write instruction.
//! The classic ring of Lamport (1977) with cached indexes of the other side (Rigtorp's and Torquati's refinement).

use super::sync::{Arc, AtomicUsize, Ordering, UnsafeCell};
use std::mem::MaybeUninit;

/// A pair of cache lines: adjacent-line prefetch would share a single one.
#[repr(align(128))]
struct Padded<T>(T);

/// A message's place: lines of its own, so that a short message is one journey from cache to cache.
#[repr(align(64))]
struct Slot<T>(UnsafeCell<MaybeUninit<T>>);

struct Queue<T> {
    /// Next place to read; written by the receiver.
    head: Padded<AtomicUsize>,
    /// Next place to write; written by the sender.
    tail: Padded<AtomicUsize>,
    slots: Box<[Slot<T>]>,
}

// SAFETY: a slot is touched by the sender between reading `head` and publishing `tail`, and by the receiver between
// reading `tail` and publishing `head`; the indexes order the two, so values only move between threads (`T: Send`).
unsafe impl<T: Send> Sync for Queue<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Queue<T> {}

/// The writing end.
pub struct Sender<T> {
    queue: Arc<Queue<T>>,
    tail: usize,
    head_seen: usize,
}

/// The reading end.
pub struct Receiver<T> {
    queue: Arc<Queue<T>>,
    head: usize,
    tail_seen: usize,
}

/// Makes a queue for `capacity` messages, a power of two.
pub fn queue<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(
        capacity.is_power_of_two(),
        "the capacity of a queue is a power of two"
    );
    let slots = (0..capacity)
        .map(|_| Slot(UnsafeCell::new(MaybeUninit::uninit())))
        .collect();
    let queue = Arc::new(Queue {
        head: Padded(AtomicUsize::new(0)),
        tail: Padded(AtomicUsize::new(0)),
        slots,
    });
    (
        Sender {
            queue: queue.clone(),
            tail: 0,
            head_seen: 0,
        },
        Receiver {
            queue,
            head: 0,
            tail_seen: 0,
        },
    )
}

impl<T> Sender<T> {
    /// Puts a message in, or gives it back when the queue is full.
    pub fn push(&mut self, message: T) -> Result<(), T> {
        let capacity = self.queue.slots.len();
        if self.tail.wrapping_sub(self.head_seen) == capacity {
            self.head_seen = self.queue.head.0.load(Ordering::Acquire);
            if self.tail.wrapping_sub(self.head_seen) == capacity {
                return Err(message);
            }
        }
        let slot = &self.queue.slots[self.tail & (capacity - 1)];
        slot.0.with_mut(|slot| {
            // SAFETY: the receiver has passed this place (`head_seen`) and will not read it before `tail` is published.
            unsafe { (*slot).write(message) };
        });
        self.tail = self.tail.wrapping_add(1);
        self.queue.tail.0.store(self.tail, Ordering::Release);
        Ok(())
    }
}

impl<T> Receiver<T> {
    /// Takes the oldest message.
    pub fn pop(&mut self) -> Option<T> {
        if self.head == self.tail_seen {
            self.tail_seen = self.queue.tail.0.load(Ordering::Acquire);
            if self.head == self.tail_seen {
                return None;
            }
        }
        let slot = &self.queue.slots[self.head & (self.queue.slots.len() - 1)];
        // SAFETY: the sender has published this place and will not write it again before `head` is published.
        let message = slot.0.with(|slot| unsafe { (*slot).assume_init_read() });
        self.head = self.head.wrapping_add(1);
        self.queue.head.0.store(self.head, Ordering::Release);
        Some(message)
    }

    /// Whether no message waits.
    pub fn is_empty(&self) -> bool {
        self.queue.tail.0.load(Ordering::Acquire) == self.head
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_in_the_order_they_went_in() {
        let (mut sender, mut receiver) = queue(4);
        for round in 0..10 {
            assert!(sender.push(2 * round).is_ok() && sender.push(2 * round + 1).is_ok());
            assert_eq!(receiver.pop(), Some(2 * round));
            assert_eq!(receiver.pop(), Some(2 * round + 1));
        }
        assert_eq!(receiver.pop(), None);
    }

    #[test]
    fn a_full_queue_gives_the_message_back() {
        let (mut sender, mut receiver) = queue(2);
        assert!(sender.push(1).is_ok() && sender.push(2).is_ok());
        assert_eq!(sender.push(3), Err(3));
        assert_eq!(receiver.pop(), Some(1));
        assert!(sender.push(3).is_ok());
    }

    #[test]
    fn messages_nobody_took_are_dropped_with_the_queue() {
        let counted = std::sync::Arc::new(());
        let (mut sender, receiver) = queue(4);
        assert!(sender.push(counted.clone()).is_ok());
        drop((sender, receiver));
        assert_eq!(std::sync::Arc::strong_count(&counted), 1);
    }
}

#[cfg(all(test, feature = "loom"))]
mod tests {
    use super::*;

    #[test]
    fn every_message_arrives_once_and_in_order_under_every_interleaving() {
        loom::model(|| {
            let (mut sender, mut receiver) = queue(2);
            let writer = loom::thread::spawn(move || {
                for message in 0..3 {
                    let mut message = Box::new(message);
                    while let Err(back) = sender.push(message) {
                        message = back;
                        loom::thread::yield_now();
                    }
                }
            });
            for expected in 0..3 {
                let received = loop {
                    if let Some(received) = receiver.pop() {
                        break received;
                    }
                    loom::thread::yield_now();
                };
                assert_eq!(*received, expected);
            }
            writer.join().unwrap();
        });
    }
}
