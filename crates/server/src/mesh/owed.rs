//! What one other core owes: where its replies belong, in the order in which they will come.
//! Never travels: a core answers the batches of another in their order, so no reply needs to say whose it is.
//! What a connection awaits one behind the other is one entry, which is found, compared and left behind once.

use std::collections::VecDeque;

/// Which reply of which connection is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplyTo {
    /// Place of the connection on its core.
    pub connection: u32,
    /// Which of the connections that had this place.
    pub generation: u32,
    /// Number of the reply among those of the connection.
    pub sequence: u32,
}

impl ReplyTo {
    /// Whether both are replies of one connection.
    pub fn is_to_same(&self, other: &ReplyTo) -> bool {
        // Without a branch between the two: they are seldom alike in one alone.
        (self.connection ^ other.connection) | (self.generation ^ other.generation) == 0
    }
}

/// Replies of one connection without another of its replies between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// The first.
    pub first: ReplyTo,
    /// How many there are.
    pub count: u32,
}

impl Run {
    fn is_followed_by(&self, to: &ReplyTo) -> bool {
        let next = self.first.sequence.wrapping_add(self.count);
        self.first.is_to_same(to) && next == to.sequence
    }
}

/// What one other core owes.
#[derive(Default)]
pub struct Owed {
    /// All runs but the last.
    runs: VecDeque<Run>,
    /// The run that may grow yet; empty where nothing is owed.
    last: Run,
}

impl Owed {
    /// Runs that room is kept for.
    const IDLE_RUNS: usize = 128;

    /// Adds the reply that will come last.
    #[inline]
    pub fn push(&mut self, to: ReplyTo) {
        if !self.last.is_followed_by(&to) {
            self.begin_run(to);
        }
        self.last.count += 1;
    }

    fn begin_run(&mut self, first: ReplyTo) {
        if self.last.count > 0 {
            self.runs.push_back(self.last);
        }
        self.last = Run { first, count: 0 };
    }

    /// The run that comes first.
    #[inline]
    pub fn first(&self) -> Option<Run> {
        let first = self.runs.front().unwrap_or(&self.last);
        (first.count > 0).then_some(*first)
    }

    /// The first `count` of the first run have come.
    #[inline]
    pub fn came(&mut self, count: u32) {
        let run = self.runs.front_mut().unwrap_or(&mut self.last);
        run.count -= count;
        run.first.sequence = run.first.sequence.wrapping_add(count);
        if run.count == 0 {
            self.runs.pop_front();
        }
    }

    /// Bytes reserved.
    pub fn heap_bytes(&self) -> usize {
        self.runs.capacity() * size_of::<Run>()
    }

    /// Gives up room for more than is usually owed.
    pub fn trim(&mut self) {
        self.runs.shrink_to(Self::IDLE_RUNS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(connection: u32, generation: u32, sequence: u32) -> ReplyTo {
        ReplyTo {
            connection,
            generation,
            sequence,
        }
    }

    #[test]
    fn replies_come_in_the_order_in_which_they_were_owed_in_runs_of_any_size() {
        for seed in 0..100 {
            let mut rng = store::Rng::seeded(seed);
            let mut below = |bound: u32| rng.below(u64::from(bound)) as u32;
            let (mut owed, mut expected) = (Owed::default(), VecDeque::new());
            let mut next = [u32::MAX - 5; 3];
            for _ in 0..200 {
                let connection = below(3);
                let place = &mut next[connection as usize];
                // Often the next of its connection, sometimes one behind a reply that is owed elsewhere.
                *place = place.wrapping_add(1 + below(4) / 3);
                let to = reply(connection, below(9) / 8, *place);
                owed.push(to);
                expected.push_back(to);
                if below(3) == 0 {
                    let run = owed.first().expect("one was just pushed");
                    let came = 1 + below(run.count);
                    for past in 0..came {
                        let sequence = run.first.sequence.wrapping_add(past);
                        let to = ReplyTo {
                            sequence,
                            ..run.first
                        };
                        assert_eq!(Some(to), expected.pop_front());
                    }
                    owed.came(came);
                }
            }
            let left: u32 = owed.runs.iter().map(|run| run.count).sum();
            assert_eq!((left + owed.last.count) as usize, expected.len());
        }
    }

    #[test]
    fn what_a_connection_awaits_one_behind_the_other_takes_one_place() {
        let mut owed = Owed::default();
        for sequence in [u32::MAX - 1, u32::MAX, 0, 1] {
            owed.push(reply(7, 1, sequence));
        }
        assert_eq!((owed.runs.len(), owed.last.count), (0, 4));
        // Another reply is between, another connection, another that has its place.
        for other in [reply(7, 1, 3), reply(8, 1, 4), reply(8, 2, 5)] {
            owed.push(other);
        }
        assert_eq!((owed.runs.len(), owed.last.count), (3, 1));
    }

    #[test]
    fn room_for_more_than_is_usually_owed_goes_back() {
        let mut owed = Owed::default();
        for sequence in 0..1000 {
            owed.push(reply(1, 1, 2 * sequence));
        }
        while let Some(run) = owed.first() {
            owed.came(run.count);
        }
        assert!(owed.heap_bytes() >= 1000 * size_of::<Run>());
        owed.trim();
        assert!(owed.heap_bytes() <= 2 * Owed::IDLE_RUNS * size_of::<Run>());
    }
}
