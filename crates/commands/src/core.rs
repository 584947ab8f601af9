//! Everything one core owns: its shard, its clients, its copy of the configuration, its counters.
//! Nothing here is shared with another core but the facts of the process and the memory budget.
//! A cluster in a test is a list of cores and a loop.

use crate::{
    Clients, call,
    config::Config,
    facts::Facts,
    locks::Locks,
    past::Past,
    pressure::Pressure,
    room::Shortage,
    stats::{CommandStats, CoreStats, ShardCounts},
    steps::Long,
};
use memory::budget::Lease;
use memory::pages::Region;
use std::sync::{Arc, atomic::Ordering};
use store::{Millis, Shard};

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
    /// What the command that just ran is to be answered by in steps.
    pub long: Option<Box<Long>>,
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

impl Core {
    /// The shard's share of what the limit leaves beside what an empty server has; without a limit there is no end to it.
    pub fn room_share_bytes(&self) -> u64 {
        match self.config.maxmemory_bytes {
            0 => u64::MAX,
            limit_bytes => {
                let room_bytes =
                    limit_bytes.saturating_sub(memory::process::startup_allocated_bytes());
                room_bytes / u64::from(self.shards)
            }
        }
    }

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
            long: None,
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
        self.locate(key).1
    }

    /// The hash of a key and the shard that owns it.
    pub fn locate(&self, key: &[u8]) -> (u64, ShardId) {
        let hash = self.shard.hash(key);
        if self.shards == 1 {
            return (hash, ShardId(0));
        }
        let placement = if call::has_brace(key) {
            self.placement_by_tag(key, hash)
        } else {
            hash
        };
        (hash, call::place(placement, self.shards))
    }

    #[cold]
    fn placement_by_tag(&self, key: &[u8], hash: u64) -> u64 {
        call::hash_tag(key).map_or(hash, |tag| self.shard.hash(tag))
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
