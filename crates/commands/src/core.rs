//! Everything one core owns: its shard, its clients, its copy of the configuration, its counters.
//! Nothing here is shared with another core but the facts of the process and the memory budget.
//! A cluster in a test is a list of cores and a loop.

use crate::{
    Clients, call,
    config::Config,
    guard::{self, Verdict},
    locks::Locks,
    past::Past,
    pressure::Pressure,
    room::Shortage,
    sharing::ShardLoad,
    stats::{CommandStats, CoreStats, ShardCounts},
};
use memory::budget::{Budget, Lease};
use memory::pages::Region;
use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};
use store::{Hasher, Millis, Shard};

/// A shard's number, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ShardId(pub u16);

/// One core's state.
pub struct Core {
    /// This core's shard number.
    pub id: ShardId,
    /// How many shards there are.
    pub shards: u16,
    /// The data.
    pub shard: Shard,
    /// Connections held by this core.
    pub clients: Clients,
    /// This core's copy of the configuration; CONFIG SET changes all copies.
    pub config: Config,
    /// Traffic counters of this core.
    pub stats: CoreStats,
    /// Keys locked by commands over several shards.
    pub locks: Locks,
    /// This shard's share of the memory limit.
    pub lease: Lease,
    /// What is known when that share is used up.
    pub shortage: Shortage,
    /// What is known of the resident set.
    pub pressure: Pressure,
    /// What it held and did in past minutes.
    pub past: Past,
    /// Facts of the process.
    pub facts: Arc<Facts>,
    /// Unix time in milliseconds; set once a round by the server, or by a test.
    pub now: Millis,
    /// Time that never goes back, in microseconds, from an arbitrary start.
    pub mono_us: u64,
    /// Set when SHUTDOWN was accepted; the server ends.
    pub shutdown: bool,
    /// Bytes of buffers that travel between this core and others.
    pub mesh_bytes: u64,
    /// Bytes of commands and replies between this core and others that this core holds now, which like clients' buffers do not
    /// count against the limit.
    pub travelling_bytes: i64,
    /// Bytes of clients' buffers here when all buffers were last remembered.
    pub(crate) noted_buffer_bytes: u64,
    /// Set by MEMORY PURGE: the server gives up the buffers it keeps for speed, and clears this.
    pub trim_buffers: bool,
    /// State of the pseudo-random generator for RANDOMKEY and sampling; not for secrets.
    pub random_state: u64,
    /// Whether due keys are removed in the background (DEBUG SET-ACTIVE-EXPIRE).
    pub active_expire: bool,
    /// Time that histories take for passed besides what has (DEBUG SKIP-MINUTES), in milliseconds.
    pub skipped_ms: u64,
    /// Memory that is on no account (DEBUG HOLD-MEMORY).
    pub held_memory: Option<Region>,
}

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

impl Core {
    /// The core of shard `id` with nothing in it. Its lease counts what its thread allocates, so it is made on that thread.
    ///
    /// # Errors
    /// The system's, when the shard's address space is not to be had.
    pub fn new(id: ShardId, config: Config, facts: Arc<Facts>) -> std::io::Result<Core> {
        let shards = facts.shard_bytes_seen.len() as u16;
        let options = store::Options {
            seeds: facts.hash_seeds,
            base: facts.started,
            ..store::Options::default()
        };
        let stats = CoreStats {
            calls: vec![CommandStats::default(); crate::Table::instance().len()],
            ..CoreStats::default()
        };
        let mut shard = Shard::new(options)?;
        shard.set_thresholds(config.thresholds);
        shard.set_eviction(config.eviction(), facts.started);
        shard.set_curve(config.memory_curve);
        shard.set_prefix_rules(config.prefix_rules);
        Ok(Core {
            id,
            shards,
            shard,
            clients: Clients::default(),
            config,
            stats,
            locks: Locks::default(),
            lease: facts.budget.lease(),
            shortage: Shortage::default(),
            pressure: Pressure::default(),
            past: Past::default(),
            now: facts.started,
            mono_us: 0,
            shutdown: false,
            mesh_bytes: 0,
            travelling_bytes: 0,
            noted_buffer_bytes: 0,
            trim_buffers: false,
            random_state: facts.hash_seeds[0]
                ^ (u64::from(id.0) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
                | 1,
            active_expire: true,
            skipped_ms: 0,
            held_memory: None,
            facts,
        })
    }

    /// The shard that owns a key.
    pub fn owner(&self, key: &[u8]) -> ShardId {
        let placed_by = call::hash_tag(key).unwrap_or(key);
        call::place(self.shard.hash(placed_by), self.shards)
    }

    /// The hash of a key and the shard that owns it.
    pub fn locate(&self, key: &[u8]) -> (u64, ShardId) {
        let hash = self.shard.hash(key);
        if self.shards == 1 {
            return (hash, ShardId(0));
        }
        let placement = call::hash_tag(key).map_or(hash, |tag| self.shard.hash(tag));
        (hash, call::place(placement, self.shards))
    }

    /// Does a part of the purge under way and counts what it moved. Returns whether there is more to do.
    pub fn purge_step(&mut self, budget_slots: usize) -> bool {
        // Whoever asked for this step pays for giving back what it empties, not who allocates next.
        let has_more = memory::heap::purging_at_once(|| {
            let has_more = self.shard.purge_step(budget_slots);
            if !has_more {
                // The allocator keeps an empty page of each size for a while: as much as was won, if that was little.
                memory::heap::collect(true);
            }
            has_more
        });
        self.stats.defrag.merge(&self.shard.take_moves());
        has_more
    }

    /// Bytes this core's thread and shard hold that count against `maxmemory`: everything but client buffers, and
    /// what is on its way between cores.
    pub fn limited_bytes(&self) -> i64 {
        memory::heap::thread_allocated_bytes() + self.shard.slab_used_bytes() as i64
            - self.clients.bytes() as i64
            - self.travelling_bytes
    }

    /// Brings the lease in line with what counts against the limit, while clients' bytes are settled. How much that is.
    pub fn settle_lease(&mut self) -> i64 {
        let used_bytes = self.limited_bytes();
        self.lease.settle(used_bytes);
        let heap_bytes = used_bytes - self.shard.slab_used_bytes() as i64;
        self.facts.loads[usize::from(self.id.0)].show_heap_data(heap_bytes);
        used_bytes
    }

    /// Tells the process what this shard holds, for the peak between reports.
    pub fn publish_bytes(&self) {
        let (shard, slab_bytes) = (self.id.0 as usize, self.shard.slab_used_bytes());
        let bytes = memory::heap::thread_allocated_bytes() + slab_bytes as i64;
        self.facts.shard_bytes_seen[shard].store(bytes, Ordering::Relaxed);
        self.facts.slab_bytes_seen[shard].store(slab_bytes, Ordering::Relaxed);
    }

    /// Whether the next write is beyond the limit, unless something is evicted.
    #[inline]
    pub fn out_of_memory(&mut self) -> bool {
        let used = self.limited_bytes();
        !self.lease.covers(used) || !self.shard.has_room()
    }

    /// Takes over what the shard has counted itself.
    pub fn take_shard_counts(&mut self) {
        self.stats.take_shard_counts(ShardCounts {
            expired_keys: self.shard.expired_keys(),
            evicted_keys: self.shard.evicted_keys(),
            lazyfreed_objects: self.shard.freed_objects(),
        });
        self.stats.lazyfree_pending_objects = self.shard.freeing_objects();
    }

    /// The next pseudo-random number (xorshift64*, Vigna 2016).
    pub fn random(&mut self) -> u64 {
        let mut x = self.random_state;
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random_state = x;
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
