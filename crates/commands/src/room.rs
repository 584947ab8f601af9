//! Room for writes: what happens when memory is at its limit, on the path of a write and between commands.
//! No lock and no wait for another core: shards know of each other's load by figures that each publishes of itself.
//! Decision 0004 has the rules and what they cost.
//!
//! The limit is kept by the budget: what is used beyond it is a debt that all shards see. A write that finds a debt evicts a
//! bounded number of keys of its own shard; what that does not bring in, shards pay between commands, those that hold most
//! first. A shard that holds less than its share does not evict for its own writes while others can.

use crate::{Call, Command, Core, ShardId, row::Run};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// How far a write may leave the limit passed when others are about to pay, in bytes.
pub const CREDIT_BYTES: i64 = 64 * 1024;

/// Keys that a write evicts at most: about a tenth of a millisecond.
const KEYS_PER_WRITE: usize = 256;
/// Keys that go between two rounds of commands.
const KEYS_PER_STEP: usize = 256;
/// Elements of what was evicted that a write frees.
const ELEMENTS_PER_WRITE: usize = 512;
/// While there is a large debt, a write brings in this much at least, and twice of what it needs.
const PAID_BYTES_MIN: i64 = 4096;
/// What a write may take beside its arguments: a slot, a header, rounding, and its share of a growing table.
const NEED_BYTES: i64 = 256;
/// A write that waits is refused when the debt has not become smaller for so long.
const PATIENCE_US: u64 = 200_000;
/// A shard looks at all shards' figures once in so many writes.
const LOOK_EVERY: u32 = 32;

/// Whether a command may take memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// It may.
    Yes,
    /// Not until clients' bytes are settled: what their buffers took may look like data.
    Unsettled,
    /// Not yet; it is tried again when memory has become free.
    Wait,
    /// No: nothing is left that may be evicted.
    No,
}

/// What one shard shows of itself. A cache line of its own: nobody else writes it.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct ShardLoad {
    /// Bytes of entries and tables.
    data_bytes: AtomicI64,
    /// Keys that may be evicted.
    evictable_keys: AtomicU64,
    /// Their bytes, taken to be as large as the others.
    evictable_bytes: AtomicI64,
    /// Bytes of its clients.
    pub(crate) client_bytes: AtomicU64,
    /// Bytes of clients' buffers, and of what is on its way between cores for them.
    pub(crate) buffer_bytes: AtomicU64,
    /// Bytes of the largest of them that may be closed.
    pub(crate) largest_client_bytes: AtomicU64,
}

/// What a core knows of the shortage of memory.
#[derive(Debug, Default)]
pub struct Shortage {
    /// Whether clients' bytes are up to date; the server says no at the start of a turn in which they can change.
    pub is_unsettled: bool,
    /// Other shards should pay: the server sends them word, and clears this.
    pub calls_others: bool,
    /// The debt, without what the resident set is charged with, when a write was last let through in spite of it.
    debt_let_bytes: Option<i64>,
    /// The least such debt that waiting writes have seen, and when.
    waiting: Option<(i64, u64)>,
    /// Whether this shard evicts for its own writes.
    gives: bool,
    looked: u32,
}

/// Whether a command that works in steps may store another value of so many bytes under the key with this hash.
pub fn ask_for(core: &mut Core, bytes: usize, hash: u64) -> Room {
    if !core.out_of_memory() {
        return Room::Yes;
    }
    if !core.config.maxmemory_policy.evicts() || !core.shard.has_room() {
        return Room::No;
    }
    core.make_room(bytes as i64 + NEED_BYTES, &[hash])
}

/// Whether a command with this row may take memory now; evicts if it must.
#[inline]
pub fn ask(call: &mut Call<'_>, row: &Command) -> Room {
    if call.core.out_of_memory() {
        return make(call, row);
    }
    Room::Yes
}

#[cold]
#[inline(never)]
fn make(call: &mut Call<'_>, row: &Command) -> Room {
    if call.core.shortage.is_unsettled {
        return Room::Unsettled;
    }
    if !call.core.config.maxmemory_policy.evicts() || !call.core.shard.has_room() {
        return Room::No;
    }
    let written = match row.run {
        Run::Owner(_) => vec![call.hash],
        _ => {
            let keys = row.keys.indexes(&call.args);
            keys.map(|index| call.core.shard.hash(call.args.at(index)))
                .collect()
        }
    };
    let arguments: usize = call.args.iter().map(<[u8]>::len).sum();
    call.core.make_room(arguments as i64 + NEED_BYTES, &written)
}

impl Core {
    /// Makes room for a write that needs so many bytes, on a shard that its lease does not cover.
    fn make_room(&mut self, need_bytes: i64, written: &[u64]) -> Room {
        self.lease.settle(self.limited_bytes());
        if self.debt_bytes() <= 0 {
            return self.let_through(None);
        }
        self.look();
        // Looking at the resident set may charge the limit; moving entries frees blocks and takes others.
        self.relieve(need_bytes);
        let used_bytes = self.limited_bytes();
        self.lease.settle(used_bytes);
        let debt_bytes = self.debt_bytes();
        if self.shard.owes_freeing() {
            self.shard.free_step(ELEMENTS_PER_WRITE);
        }
        let target_bytes = if debt_bytes <= CREDIT_BYTES {
            debt_bytes
        } else {
            debt_bytes.min(PAID_BYTES_MIN.max(2 * need_bytes))
        };
        let others_can = self.others_can();
        let is_impatient = self.waited_us() > PATIENCE_US / 2;
        let mut is_exhausted = false;
        if self.shortage.gives || !others_can || is_impatient {
            is_exhausted = self.evict(target_bytes, KEYS_PER_WRITE, written);
        }
        let freed_bytes = used_bytes - self.limited_bytes();
        self.note_freed(freed_bytes, need_bytes);
        self.lease.repay(used_bytes - freed_bytes);
        let debt_bytes = self.debt_bytes();
        if self.must_wait_for_pages() {
            // The patience with a debt does not run out meanwhile.
            self.shortage.waiting = None;
            self.shortage.calls_others |= others_can;
            return Room::Wait;
        }
        if debt_bytes <= 0 {
            return self.let_through(None);
        }
        self.shortage.calls_others |= others_can;
        // What the resident set is charged with comes and goes: it has data make room, but nobody waits or is refused for it.
        let own_bytes = debt_bytes - self.charged_bytes();
        let own_can = !is_exhausted && self.shard.evictable_keys() > 0;
        if own_bytes > 0 && !own_can && !others_can && !self.shard.owes_freeing() {
            return Room::No;
        }
        if own_bytes <= CREDIT_BYTES {
            return self.let_through(Some(own_bytes));
        }
        let brings_in = freed_bytes >= need_bytes && need_bytes <= CREDIT_BYTES;
        let let_bytes = self
            .shortage
            .debt_let_bytes
            .unwrap_or(i64::MAX - CREDIT_BYTES);
        // A command may take more than its arguments say: the next one waits until that is paid.
        if brings_in && own_bytes <= let_bytes + CREDIT_BYTES {
            return self.let_through(Some(own_bytes));
        }
        self.wait(own_bytes)
    }

    /// Whether memory has room for so many bytes more, or would have it after evicting.
    pub fn may_grow(&mut self, growth_bytes: i64) -> bool {
        let wanted_bytes = self.limited_bytes().saturating_add(growth_bytes);
        if self.lease.covers(wanted_bytes) {
            return true;
        }
        if !self.config.maxmemory_policy.evicts() {
            return false;
        }
        self.publish_load();
        let short_bytes = wanted_bytes
            .saturating_sub(self.lease.granted_bytes())
            .saturating_add(self.debt_bytes());
        let loads = self.facts.loads.iter();
        let evictable_bytes = loads.map(|load| load.evictable_bytes.load(Ordering::Relaxed));
        short_bytes <= evictable_bytes.sum()
    }

    fn let_through(&mut self, debt_bytes: Option<i64>) -> Room {
        self.shortage.debt_let_bytes = debt_bytes;
        self.shortage.waiting = None;
        Room::Yes
    }

    fn wait(&mut self, debt_bytes: i64) -> Room {
        let least_bytes = self.shortage.waiting.map_or(i64::MAX, |(bytes, _)| bytes);
        if debt_bytes < least_bytes {
            self.shortage.waiting = Some((debt_bytes, self.mono_us));
        } else if self.waited_us() > PATIENCE_US {
            self.shortage.waiting = None;
            return Room::No;
        }
        Room::Wait
    }

    /// Pays a step of what this shard owes to the limit, where it owes anything. Whether it owes more and can pay it.
    #[inline]
    pub fn pay_step(&mut self) -> bool {
        let used_bytes = self.limited_bytes();
        if used_bytes > self.lease.granted_bytes() + CREDIT_BYTES {
            // A large value was written: the others are to see it now.
            self.lease.settle(used_bytes);
        }
        if self.debt_bytes() <= 0 {
            return false;
        }
        self.pay(used_bytes)
    }

    #[cold]
    fn pay(&mut self, used_bytes: i64) -> bool {
        self.lease.settle(used_bytes);
        if !self.config.maxmemory_policy.evicts() || self.locks.is_closed() {
            return false;
        }
        self.publish_load();
        let owed_bytes = self.owed_bytes();
        if owed_bytes <= 0 {
            return false;
        }
        let is_exhausted = self.evict(owed_bytes, KEYS_PER_STEP, &[]);
        self.relieve(used_bytes - self.limited_bytes());
        let used_bytes = self.limited_bytes();
        self.lease.repay(used_bytes);
        self.publish_load();
        !is_exhausted && self.debt_bytes() > 0
    }

    /// Whether more is used than the limit allows.
    pub fn is_limit_exceeded(&self) -> bool {
        self.debt_bytes() > 0
    }

    /// What is used beyond the limit, by all shards together; below zero is what is left.
    pub(crate) fn debt_bytes(&self) -> i64 {
        -self.lease.budget().remaining_bytes()
    }

    /// What of it is no data, but a charge for what pages leave unused.
    fn charged_bytes(&self) -> i64 {
        self.facts.guard_bytes.load(Ordering::Relaxed) as i64
    }

    /// This shard's part of the data of all, as the shards last showed it.
    pub(crate) fn data_share(&self) -> f64 {
        let loads = &self.facts.loads;
        let bytes = |load: &ShardLoad| load.data_bytes.load(Ordering::Relaxed).max(0) as f64;
        let all: f64 = loads.iter().map(bytes).sum();
        if all > 0.0 {
            bytes(&loads[usize::from(self.id.0)]) / all
        } else {
            1.0 / loads.len() as f64
        }
    }

    /// This shard's part of the debt: by how much it holds more than the mean of all, among those that have anything to evict.
    fn owed_bytes(&self) -> i64 {
        let loads = &self.facts.loads;
        let data_bytes = |load: &ShardLoad| load.data_bytes.load(Ordering::Relaxed);
        let mean_bytes = loads.iter().map(data_bytes).sum::<i64>() / loads.len() as i64;
        let can_pay = |load: &&ShardLoad| load.evictable_keys.load(Ordering::Relaxed) > 0;
        let excess_bytes = |load: &ShardLoad| (data_bytes(load) - mean_bytes).max(0);
        let payers = loads.iter().filter(can_pay).count() as i64;
        let own = &loads[usize::from(self.id.0)];
        if !can_pay(&own) {
            return 0;
        }
        let all_bytes: i64 = loads.iter().filter(can_pay).map(excess_bytes).sum();
        let debt_bytes = self.debt_bytes();
        if all_bytes == 0 {
            return debt_bytes / payers + 1;
        }
        let part = i128::from(debt_bytes) * i128::from(excess_bytes(own)) / i128::from(all_bytes);
        let rounding = i64::from(excess_bytes(own) > 0);
        part as i64 + rounding
    }

    /// Evicts so many bytes, those counted that are already on their way out; whether nothing is left to evict.
    fn evict(&mut self, bytes: i64, keys_max: usize, written: &[u64]) -> bool {
        let Core {
            shard, locks, now, ..
        } = self;
        let held =
            |shard: &store::Shard| shard.slab_used_bytes() as i64 - shard.doomed_bytes() as i64;
        let before = held(shard) + memory::alloc::thread_allocated_bytes();
        let doomed_bytes = shard.doomed_bytes() as i64;
        for _ in 0..keys_max {
            let gone_bytes = before - held(shard) - memory::alloc::thread_allocated_bytes();
            if gone_bytes + doomed_bytes >= bytes {
                return false;
            }
            let may_go = &mut |_, hash| !locks.holds(hash) && !written.contains(&hash);
            if shard.evict(*now, may_go).is_none() {
                return true;
            }
        }
        false
    }

    /// Looks at the shards' figures, now and then.
    fn look(&mut self) {
        self.shortage.looked = self.shortage.looked.wrapping_add(1);
        if !self.shortage.looked.is_multiple_of(LOOK_EVERY) && self.shortage.gives {
            return;
        }
        self.publish_load();
        let loads = &self.facts.loads;
        let data_bytes = |load: &ShardLoad| load.data_bytes.load(Ordering::Relaxed);
        let mean_bytes = loads.iter().map(data_bytes).sum::<i64>() / loads.len() as i64;
        // A sixteenth below the mean is what chance does to evenly spread keys.
        let own_bytes = data_bytes(&loads[usize::from(self.id.0)]);
        self.shortage.gives = own_bytes >= mean_bytes - mean_bytes / 16;
    }

    /// Whether another shard has keys to evict.
    fn others_can(&self) -> bool {
        let others = self.facts.loads.iter().enumerate();
        others
            .filter(|(shard, _)| *shard != usize::from(self.id.0))
            .any(|(_, load)| load.evictable_keys.load(Ordering::Relaxed) > 0)
    }

    /// The shards that are to pay when this one calls.
    pub fn payers(&self) -> Vec<ShardId> {
        let loads = self.facts.loads.iter().enumerate();
        let can_pay = loads.filter(|(shard, load)| {
            *shard != usize::from(self.id.0) && load.evictable_keys.load(Ordering::Relaxed) > 0
        });
        can_pay.map(|(shard, _)| ShardId(shard as u16)).collect()
    }

    /// Whether a write that waits should have another try.
    pub fn may_retry(&mut self) -> bool {
        if self.is_waiting_for_pages() {
            return self.has_pages_again();
        }
        let own_bytes = self.debt_bytes() - self.charged_bytes();
        own_bytes <= CREDIT_BYTES || self.waited_us() > PATIENCE_US / 2
    }

    /// For how long writes have waited without any progress.
    fn waited_us(&self) -> u64 {
        let since_us = self
            .shortage
            .waiting
            .map_or(self.mono_us, |(_, since_us)| since_us);
        self.mono_us - since_us
    }

    /// Shows the other shards what this one holds.
    pub fn publish_load(&self) {
        let load = &self.facts.loads[usize::from(self.id.0)];
        let (data_bytes, keys) = (self.shard.data_bytes(), self.shard.evictable_keys());
        let all_keys = self.shard.all_keys().max(1);
        let evictable_bytes = u128::from(data_bytes) * u128::from(keys) / u128::from(all_keys);
        load.data_bytes.store(data_bytes as i64, Ordering::Relaxed);
        load.evictable_keys.store(keys, Ordering::Relaxed);
        load.evictable_bytes
            .store(evictable_bytes as i64, Ordering::Relaxed);
        load.client_bytes
            .store(self.clients.bytes(), Ordering::Relaxed);
    }
}
