//! What a core looks after on every tick: its books, and its past by the clock that never goes back.
//! Nothing here is on the path of a command.
//! Source: decision 0004 for what is tended; `past` for what is kept.

use crate::{Core, ShardId, past::Counters};
use memory::doctor::Traffic;
use memory::history::MARK_MS;
use store::Millis;

/// Keys that a walk looks at in one step where nobody else has a turn meanwhile.
const SKIP_STEP_SLOTS: usize = 4096;

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
        if self.past.is_due(minute) {
            let total_bytes = (self.id == ShardId(0)).then(|| self.facts.total_bytes_seen());
            let dataset_bytes = self.shard.accounts().account.bytes();
            let counters = self.counters();
            self.past.mark(minute, total_bytes, dataset_bytes, counters);
        }
        self.shard.tend_books(self.steady_now())
    }

    fn counters(&self) -> Counters {
        let stats = &self.stats;
        [
            self.shard.evicted_keys(),
            stats.keyspace_hits,
            stats.keyspace_misses,
        ]
    }

    /// What went through in the last ten minutes, or since the start.
    pub fn traffic(&self) -> Traffic {
        self.past.traffic(self.counters(), self.elapsed_ms())
    }
}
