//! Facts of the process that all cores know: who it is, its secret, its budget, and what each shard last told of itself.
//! Never happens here: a figure of a core's own; a core tells, and whoever needs all of them adds up.
//! The resident set is held against the limit here, since it is one for all.

use crate::{
    guard::{self, Verdict},
    sharing::ShardLoad,
};
use memory::budget::Budget;
use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};
use store::{Hasher, Millis};

/// Facts of the process that do not change after the start, but for the counters that hand out numbers.
#[derive(Debug)]
pub struct Facts {
    /// 40 hexadecimal digits, new at each start.
    pub run_id: String,
    /// Path of the configuration file; empty without one.
    pub config_file: String,
    /// Path of the binary.
    pub executable: String,
    /// Process number.
    pub process_id: u32,
    /// Unix time of the start.
    pub started: Millis,
    /// Seeds of the hash of keys; a secret of the process.
    pub hash_seeds: [u64; 4],
    /// Last client number handed out.
    pub last_client: AtomicU64,
    /// Connections of all cores, for `maxclients`.
    pub connections: AtomicU64,
    /// Bytes that `maxmemory auto` stands for.
    pub memory_limit_auto_bytes: u64,
    /// Memory the process may use at most: the machine's or its container's.
    pub available_memory_bytes: u64,
    /// The memory budget all shards draw from.
    pub budget: Arc<Budget>,
    /// Bytes each shard held at its last tick; for the peak between reports, not for reports.
    pub shard_bytes_seen: Box<[AtomicI64]>,
    /// Bytes of slab blocks of each shard at its last tick; for the history of the total.
    pub slab_bytes_seen: Box<[AtomicU64]>,
    /// Counts the purges that the guard of the resident set has asked for; every core begins each once.
    pub purges_asked: AtomicU64,
    /// Whether the resident set is held against the limit: not where others share the process, as in tests.
    pub holds_resident: bool,
    /// What clients' buffers held of the resident set a moment ago.
    pub buffer_bytes_lately: AtomicU64,
    /// Since when the resident set is too large, in Unix milliseconds; 0 while it is not.
    pub too_large_since_ms: AtomicI64,
    /// Bytes that the guard charges the limit with.
    pub guard_bytes: AtomicU64,
    /// What each shard shows of its load, for the others to share the limit by.
    pub loads: Box<[ShardLoad]>,
}

impl Facts {
    /// The facts of this process, for `shards` shards under a limit of `maxmemory_bytes` (0 is none).
    pub fn of_this_process(
        shards: u16,
        maxmemory_bytes: u64,
        config_file: String,
        started: Millis,
    ) -> Facts {
        let hash_seeds = Hasher::random_seeds();
        let run_hasher = Hasher::with_seeds(Hasher::random_seeds());
        let run_id: String = (0..3u8)
            .map(|part| format!("{:016x}", run_hasher.hash(&[part])))
            .collect();
        Facts {
            run_id: run_id[..40].to_owned(),
            config_file,
            executable: std::env::current_exe()
                .map_or_else(|_| String::new(), |path| path.display().to_string()),
            process_id: std::process::id(),
            started,
            hash_seeds,
            last_client: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            memory_limit_auto_bytes: memory::process::memory_limit_auto().0,
            available_memory_bytes: available_memory_bytes(),
            budget: Budget::new(maxmemory_bytes),
            shard_bytes_seen: (0..shards).map(|_| AtomicI64::new(0)).collect(),
            slab_bytes_seen: (0..shards).map(|_| AtomicU64::new(0)).collect(),
            purges_asked: AtomicU64::new(0),
            holds_resident: false,
            buffer_bytes_lately: AtomicU64::new(0),
            too_large_since_ms: AtomicI64::new(0),
            guard_bytes: AtomicU64::new(0),
            loads: (0..shards).map(|_| ShardLoad::default()).collect(),
        }
    }

    /// Holds the resident set against the limit, and charges the limit with what it must. A read of the kernel's figure.
    pub fn hold_resident(&self, now: Millis) -> Verdict {
        if !self.holds_resident {
            return Verdict::default();
        }
        // Before and after: buffers come and go meanwhile.
        self.remember_buffers();
        let resident = memory::process::resident();
        self.remember_buffers();
        let resident_bytes = resident.resident_bytes - resident.file_backed_bytes;
        let verdict = guard::judge(
            resident_bytes.saturating_sub(self.buffer_bytes()),
            resident_bytes.saturating_sub(self.buffers_resident_bytes()),
            self.budget.limit_bytes(),
        );
        memory::heap::press(verdict.is_pressed);
        let verdict = if self.lasts(verdict.charge_bytes > 0, now) {
            verdict
        } else {
            verdict.without_charge()
        };
        // Nobody is to see a charge in the debt that is no longer known as one: it would pass for data.
        if verdict.charge_bytes < self.guard_bytes.load(Ordering::Relaxed) {
            self.charge_unsharded_and(verdict.charge_bytes);
        }
        self.guard_bytes
            .store(verdict.charge_bytes, Ordering::Relaxed);
        self.charge_unsharded();
        verdict
    }

    /// Whether the resident set has been too large for so long that it is nothing that was just freed. Writes that wait have it in hand meanwhile.
    fn lasts(&self, is_too_large: bool, now: Millis) -> bool {
        const LASTS_MS: i64 = 100;
        let since_ms = self.too_large_since_ms.load(Ordering::Relaxed);
        let has_begun = since_ms != 0;
        if has_begun != is_too_large {
            let since_ms = if is_too_large { now.0 } else { 0 };
            self.too_large_since_ms.store(since_ms, Ordering::Relaxed);
        }
        has_begun && is_too_large && (now.0 - since_ms).abs() >= LASTS_MS
    }

    /// What clients' buffers may hold of the resident set at most. They cost no key.
    fn buffers_resident_bytes(&self) -> u64 {
        let lately_bytes = self.buffer_bytes_lately.load(Ordering::Relaxed);
        self.buffer_bytes_at_most().max(lately_bytes)
    }

    /// What clients' buffers hold, and what is on its way between cores for them: all that shards hold on the heap now, but for
    /// what counted against the limit when each last settled. So a buffer is known while the turn goes on that fills it.
    fn buffer_bytes(&self) -> u64 {
        let data_bytes: i64 = self.loads.iter().map(ShardLoad::heap_data_bytes).sum();
        (memory::heap::sharded_allocated_bytes() - data_bytes).max(0) as u64
    }

    /// A buffer that grows is there twice for a moment: any of many small ones, but also a single large one.
    fn buffer_bytes_at_most(&self) -> u64 {
        const SMALL_BYTES: u64 = 16 << 20;
        let bytes = self.buffer_bytes();
        bytes + (bytes / 2).max(bytes.saturating_sub(SMALL_BYTES))
    }

    /// Remembers what clients' buffers hold, since what is freed does not go back at once.
    pub(crate) fn remember_buffers(&self) {
        let bytes = self.buffer_bytes_at_most();
        self.buffer_bytes_lately.fetch_max(bytes, Ordering::Relaxed);
    }

    /// Forgets half of what clients' buffers held and do not hold any more; a few times a second.
    pub fn forget_buffers(&self) {
        let lately_bytes = self.buffer_bytes_lately.load(Ordering::Relaxed);
        self.buffer_bytes_lately
            .store(lately_bytes / 2, Ordering::Relaxed);
        self.remember_buffers();
    }

    /// Charges the limit with what belongs to no shard: the main thread's and the runtime's helpers', and the guard's charge.
    pub fn charge_unsharded(&self) {
        self.charge_unsharded_and(self.guard_bytes.load(Ordering::Relaxed));
    }

    fn charge_unsharded_and(&self, guard_bytes: u64) {
        let bytes = memory::heap::unsharded_allocated_bytes();
        self.budget.charge_fixed(bytes.max(0) as u64 + guard_bytes);
    }

    /// The total of the process: all heaps now, and the slab of each shard at its last tick.
    pub(crate) fn total_bytes_seen(&self) -> u64 {
        let slabs = self.slab_bytes_seen.iter();
        let slab_bytes: u64 = slabs.map(|bytes| bytes.load(Ordering::Relaxed)).sum();
        memory::heap::process_allocated_bytes() + slab_bytes
    }

    /// Lifts the peak of the process by what the shards held at their last ticks.
    pub fn lift_peak(&self) {
        let shards: i64 = self
            .shard_bytes_seen
            .iter()
            .map(|bytes| bytes.load(Ordering::Relaxed))
            .sum();
        let used_bytes = (shards + memory::heap::unsharded_allocated_bytes()).max(0) as u64;
        memory::process::lift_peak(used_bytes);
    }
}

/// The machine's memory, or its container's where that is less; 0 when neither is known.
fn available_memory_bytes() -> u64 {
    let container = memory::process::container_limit().map(|limit| limit.bytes);
    let machine = memory::process::machine_memory_bytes();
    container.into_iter().chain(machine).min().unwrap_or(0)
}
