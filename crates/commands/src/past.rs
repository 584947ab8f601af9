//! What a core held and did in past minutes: its total, its dataset, its evictions and reads.
//! Nothing here is on the path of a command: the tick marks, and a report reads.
//! Source: `memory::history`; time is what the core's own clock says, which never goes back.

use crate::{Core, ShardId};
use memory::doctor::Traffic;
use memory::history::{History, MARK_MS, Trend};
use store::Millis;

/// Minutes over which traffic is told.
const TRAFFIC_MINUTES: usize = 10;

/// The past of one core.
#[derive(Clone, Debug, Default)]
pub struct Past {
    minute: u32,
    /// What the shard holds, as its share of MEMORY STATS' total; none before the first tick.
    total: Option<History>,
    /// Bytes of its keys.
    dataset: Option<History>,
    /// Evicted keys, hits and misses at the latest minutes.
    traffic: [[u64; 3]; TRAFFIC_MINUTES + 1],
}

impl Past {
    /// How the bytes of the keys came to be; none before the first tick.
    pub fn dataset(&self) -> Option<&History> {
        self.dataset.as_ref()
    }
}

impl Core {
    /// The moment by the clock that never goes back: the start, and the time that has passed since.
    pub fn steady_now(&self) -> Millis {
        self.facts.started.plus(self.elapsed_ms() as i64)
    }

    fn elapsed_ms(&self) -> u64 {
        self.mono_us / 1000
    }

    /// Looks after books and past; called on every tick. Whether the shard's `survey_step` has something to do.
    pub fn tend(&mut self) -> bool {
        let minute = (self.elapsed_ms() / MARK_MS) as u32;
        if minute > self.past.minute || self.past.total.is_none() {
            self.mark(minute);
        }
        self.shard.tend_books(self.steady_now())
    }

    fn mark(&mut self, minute: u32) {
        let (held_bytes, dataset_bytes) =
            (self.held_bytes(), self.shard.accounts().account.bytes());
        let counters = self.counters();
        let past = &mut self.past;
        for (history, bytes) in [
            (&mut past.total, held_bytes),
            (&mut past.dataset, dataset_bytes),
        ] {
            let history = history.get_or_insert_with(|| History::since(minute, bytes));
            history.mark(minute, bytes);
        }
        // A core that stood still has done nothing meanwhile.
        let left_out = minute
            .saturating_sub(TRAFFIC_MINUTES as u32)
            .max(past.minute + 1);
        for minute in left_out..=minute {
            past.traffic[minute as usize % past.traffic.len()] = counters;
        }
        past.minute = minute;
    }

    /// What this core holds, live: its share of MEMORY STATS' total. What belongs to no core is the first one's.
    pub fn held_bytes(&self) -> u64 {
        let mut bytes =
            memory::alloc::thread_allocated_bytes() + self.shard.slab_used_bytes() as i64;
        if self.id == ShardId(0) {
            bytes += memory::alloc::unsharded_allocated_bytes();
        }
        bytes.max(0) as u64
    }

    /// How what it holds has grown.
    pub fn trend(&self) -> Trend {
        let (bytes, elapsed_ms) = (self.held_bytes(), self.elapsed_ms());
        match &self.past.total {
            Some(history) => history.trend(bytes, elapsed_ms),
            None => Trend::default(),
        }
    }

    fn counters(&self) -> [u64; 3] {
        let stats = &self.stats;
        [
            self.shard.evicted_keys(),
            stats.keyspace_hits,
            stats.keyspace_misses,
        ]
    }

    /// What went through in the last ten minutes, or since the start.
    pub fn traffic(&self) -> Traffic {
        let past = &self.past;
        let since = past.minute.saturating_sub(TRAFFIC_MINUTES as u32);
        let before = past.traffic[since as usize % past.traffic.len()];
        let now = self.counters();
        // CONFIG RESETSTAT begins reads anew.
        let counted = |at: usize| now[at].checked_sub(before[at]).unwrap_or(now[at]);
        Traffic {
            evicted_keys: counted(0),
            hits: counted(1),
            misses: counted(2),
            covered_ms: self.elapsed_ms() - u64::from(since) * MARK_MS,
        }
    }
}
