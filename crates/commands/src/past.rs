//! What a core held and did in past minutes: its dataset, its evictions and reads; on the first core the total of the process.
//! Nothing here is on the path of a command: the tick marks, and a report reads.
//! Source: `memory::history`; time is what the core's own clock says, which never goes back.

use memory::doctor::Traffic;
use memory::history::{History, MARK_MS};

/// Minutes over which traffic is told.
const TRAFFIC_MINUTES: usize = 10;

/// Evicted keys, hits and misses.
pub type Counters = [u64; 3];

/// The past of one core.
#[derive(Clone, Debug, Default)]
pub struct Past {
    minute: u32,
    /// The total of MEMORY STATS, on the first core; none before its first tick. No core has a share of it that means
    /// anything by itself: what one allocates another frees.
    total: Option<History>,
    /// Bytes of its keys.
    dataset: Option<History>,
    /// Counters at the latest minutes.
    traffic: [Counters; TRAFFIC_MINUTES + 1],
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

    /// Whether `minute` is one that nothing was marked for.
    pub fn is_due(&self, minute: u32) -> bool {
        minute > self.minute || self.dataset.is_none()
    }

    /// Marks what is there at a minute; the total on the first core.
    pub fn mark(
        &mut self,
        minute: u32,
        total_bytes: Option<u64>,
        dataset_bytes: u64,
        counters: Counters,
    ) {
        for (history, bytes) in [
            (&mut self.total, total_bytes),
            (&mut self.dataset, Some(dataset_bytes)),
        ] {
            if let Some(bytes) = bytes {
                let history = history.get_or_insert_with(|| History::since(minute, bytes));
                history.mark(minute, bytes);
            }
        }
        // A core that stood still has done nothing meanwhile.
        let left_out = minute
            .saturating_sub(TRAFFIC_MINUTES as u32)
            .max(self.minute + 1);
        for minute in left_out..=minute {
            self.traffic[minute as usize % self.traffic.len()] = counters;
        }
        self.minute = minute;
    }

    /// What went through in the last ten minutes, or since the start; `now` is what the counters say, `elapsed_ms` since the start.
    pub fn traffic(&self, now: Counters, elapsed_ms: u64) -> Traffic {
        let since = self.minute.saturating_sub(TRAFFIC_MINUTES as u32);
        let before = self.traffic[since as usize % self.traffic.len()];
        // CONFIG RESETSTAT begins reads anew.
        let counted = |at: usize| now[at].checked_sub(before[at]).unwrap_or(now[at]);
        Traffic {
            evicted_keys: counted(0),
            hits: counted(1),
            misses: counted(2),
            covered_ms: elapsed_ms - u64::from(since) * MARK_MS,
        }
    }
}
