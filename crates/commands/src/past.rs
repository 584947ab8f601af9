//! What a core held and did in past minutes: its dataset, its evictions and reads; on the first core the total of the process.
//! Nothing here is on the path of a command: the tick marks, and a report reads.
//! Source: `memory::history`; time is what the core's own clock says, which never goes back.

use crate::{Core, ShardId, core::Facts};
use memory::doctor::Traffic;
use memory::history::{History, MARK_MS};
use std::sync::atomic::Ordering;
use store::Millis;

/// Minutes over which traffic is told.
const TRAFFIC_MINUTES: usize = 10;

/// Keys that a walk looks at in one step where nobody else has a turn meanwhile.
const SKIP_STEP_SLOTS: usize = 4096;

/// The past of one core.
#[derive(Clone, Debug, Default)]
pub struct Past {
    minute: u32,
    /// The total of MEMORY STATS, on the first core; none before its first tick. No core has a share of it that means
    /// anything by itself: what one allocates another frees.
    total: Option<History>,
    /// Bytes of its keys.
    dataset: Option<History>,
    /// Evicted keys, hits and misses at the latest minutes.
    traffic: [[u64; 3]; TRAFFIC_MINUTES + 1],
}

impl Past {
    /// How the total of the process came to be, on the first core; none before its first tick.
    pub fn total(&self) -> Option<&History> {
        self.total.as_ref()
    }

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

    /// Milliseconds since the start, as histories count them.
    pub fn elapsed_ms(&self) -> u64 {
        self.mono_us / 1000 + self.skipped_ms
    }

    /// Has histories take so many minutes for passed, one after the other (DEBUG SKIP-MINUTES). No other clock is changed.
    pub fn skip_minutes(&mut self, minutes: u32) {
        for _ in 0..minutes {
            self.skipped_ms += MARK_MS;
            self.tend();
            while self.shard.survey_step(SKIP_STEP_SLOTS) {}
        }
    }

    /// Looks after books and past; called on every tick. Whether the shard's `survey_step` has something to do.
    pub fn tend(&mut self) -> bool {
        let minute = (self.elapsed_ms() / MARK_MS) as u32;
        if minute > self.past.minute || self.past.dataset.is_none() {
            self.mark(minute);
        }
        self.shard.tend_books(self.steady_now())
    }

    fn mark(&mut self, minute: u32) {
        let total_bytes = (self.id == ShardId(0)).then(|| self.facts.total_bytes_seen());
        let dataset_bytes = Some(self.shard.accounts().account.bytes());
        let counters = self.counters();
        let past = &mut self.past;
        for (history, bytes) in [
            (&mut past.total, total_bytes),
            (&mut past.dataset, dataset_bytes),
        ] {
            if let Some(bytes) = bytes {
                let history = history.get_or_insert_with(|| History::since(minute, bytes));
                history.mark(minute, bytes);
            }
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

impl Facts {
    /// The total of the process: all heaps now, and the slab of each shard at its last tick.
    fn total_bytes_seen(&self) -> u64 {
        let slabs = self.slab_bytes_seen.iter();
        let slab_bytes: u64 = slabs.map(|bytes| bytes.load(Ordering::Relaxed)).sum();
        memory::heap::process_allocated_bytes() + slab_bytes
    }
}
