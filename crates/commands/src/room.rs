//! Room for writes: what happens when memory is at its limit, on the path of a write and between commands.
//! No lock and no wait for another core: shards know of each other's load by figures that each publishes of itself.
//! Decision 0004 has the rules and what they cost.
//!
//! The limit is kept by the budget: what is used beyond it is a debt that all shards see. A write that finds a debt evicts a
//! bounded number of keys of its own shard; what that does not bring in, shards pay between commands, those whose keys are
//! worth least. A shard whose keys are worth more does not evict for its own writes while others can. `sharing.rs` has
//! these terms.

use crate::{Call, Command, Core, row::Run};
use std::sync::atomic::Ordering;

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
/// No more than this is counted between two tries: where the machine took the processor away, others may not have had it either.
const PATIENCE_STEP_US: u64 = 20_000;
/// A shard looks at all shards' figures once in so many writes.
const LOOK_EVERY: u32 = 8;

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

/// What a core knows of the shortage of memory.
#[derive(Debug, Default)]
pub struct Shortage {
    /// Whether clients' bytes are up to date; the server says no at the start of a turn in which they can change.
    pub is_unsettled: bool,
    /// Other shards should pay: the server sends them word, and clears this.
    pub calls_others: bool,
    /// The debt, without what the resident set is charged with, when a write was last let through in spite of it.
    debt_let_bytes: Option<i64>,
    /// Writes wait.
    waiting: Option<Waiting>,
    /// The debt when this shard, which owes nothing of it, last called those that do; 0 while there is none.
    called_bytes: i64,
    /// Whether this shard evicts for its own writes.
    gives: bool,
    looked: u32,
}

/// What writes that wait have seen.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// The least debt.
    least_bytes: i64,
    /// For how long there was no less, as far as this core ran.
    waited_us: u64,
    /// When it was last looked at.
    looked_us: u64,
}

impl Waiting {
    fn look(&mut self, now_us: u64) {
        self.waited_us += (now_us - self.looked_us).min(PATIENCE_STEP_US);
        self.looked_us = now_us;
    }
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
        self.note_wait();
        self.settle_lease();
        if self.debt_bytes() <= 0 {
            return self.let_through(None);
        }
        self.look();
        // Looking at the resident set may charge the limit; moving entries frees blocks and takes others.
        self.relieve(need_bytes);
        let used_bytes = self.settle_lease();
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
        } else {
            self.shard.appraise(self.now);
        }
        let freed_bytes = used_bytes - self.limited_bytes();
        self.note_freed(freed_bytes, need_bytes);
        self.lease.repay(used_bytes - freed_bytes);
        let debt_bytes = self.debt_bytes();
        if self.must_wait_for_pages() {
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
        // Who brings in what it takes, if only after a while, leaves the others no worse.
        if brings_in && self.waited_us() > PATIENCE_US {
            return self.let_through(Some(own_bytes));
        }
        self.wait(own_bytes, own_can || others_can)
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
        let short_bytes = wanted_bytes
            .saturating_sub(self.lease.granted_bytes())
            .saturating_add(self.debt_bytes());
        short_bytes <= self.evictable_bytes()
    }

    fn let_through(&mut self, debt_bytes: Option<i64>) -> Room {
        self.shortage.debt_let_bytes = debt_bytes;
        self.shortage.waiting = None;
        Room::Yes
    }

    /// Has a write wait. Where pages are, or just were, short and keys can go, patience ends in going on: waiting for pages is
    /// part of it, and nobody is refused for that.
    fn wait(&mut self, debt_bytes: i64, keys_can_go: bool) -> Room {
        let least_bytes = self
            .shortage
            .waiting
            .map_or(i64::MAX, |waiting| waiting.least_bytes);
        if debt_bytes < least_bytes {
            self.shortage.waiting = Some(Waiting {
                least_bytes: debt_bytes,
                waited_us: 0,
                looked_us: self.mono_us,
            });
        }
        if self.waited_us() <= PATIENCE_US {
            return Room::Wait;
        }
        if keys_can_go && self.was_short_of_pages(PATIENCE_US) {
            return self.let_through(Some(debt_bytes));
        }
        self.shortage.waiting = None;
        Room::No
    }

    /// Pays a step of what this shard owes to the limit, where it owes anything. Whether it owes more and can pay it.
    #[inline]
    pub fn pay_step(&mut self) -> bool {
        let beyond_bytes = self.limited_bytes() - self.lease.granted_bytes();
        if beyond_bytes.abs() > CREDIT_BYTES {
            // A large value was written, and the others are to see it now; or what a buffer held while it was not known to be
            // one was leased, and others have need of it.
            self.settle_lease();
        }
        if self.debt_bytes() <= 0 {
            self.shortage.called_bytes = 0;
            return false;
        }
        self.pay()
    }

    #[cold]
    fn pay(&mut self) -> bool {
        let used_bytes = self.settle_lease();
        if !self.config.maxmemory_policy.evicts() || self.locks.is_closed() {
            return false;
        }
        let owed_bytes = self.owed_bytes();
        if owed_bytes <= 0 {
            self.call_debtors();
            return false;
        }
        // Who pays may be another in a moment: that one is called then, whatever was called for before.
        self.shortage.called_bytes = 0;
        let is_exhausted = self.evict(owed_bytes, KEYS_PER_STEP, &[]);
        self.relieve(used_bytes - self.limited_bytes());
        let used_bytes = self.limited_bytes();
        self.lease.repay(used_bytes);
        self.publish_load();
        !is_exhausted && self.debt_bytes() > 0
    }

    /// Has the shards called that owe what grew here without a write, buffers that are kept or a table: they may sleep. Once
    /// for so much more debt, so that shards that all owe nothing do not keep each other awake.
    fn call_debtors(&mut self) {
        let debt_bytes = self.debt_bytes();
        if debt_bytes > self.shortage.called_bytes + CREDIT_BYTES {
            self.shortage.called_bytes = debt_bytes;
            self.shortage.calls_others |= self.others_can();
        }
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

    /// Evicts so many bytes, those counted that are already on their way out; whether nothing is left to evict.
    fn evict(&mut self, bytes: i64, keys_max: usize, written: &[u64]) -> bool {
        let Core {
            shard, locks, now, ..
        } = self;
        let held =
            |shard: &store::Shard| shard.slab_used_bytes() as i64 - shard.doomed_bytes() as i64;
        let before = held(shard) + memory::heap::thread_allocated_bytes();
        let doomed_bytes = shard.doomed_bytes() as i64;
        for _ in 0..keys_max {
            let gone_bytes = before - held(shard) - memory::heap::thread_allocated_bytes();
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
        self.shortage.gives = self.gives();
    }

    /// Whether a write that waits should have another try.
    pub fn may_retry(&mut self) -> bool {
        self.note_wait();
        if self.is_waiting_for_pages() {
            return self.has_pages_again();
        }
        let own_bytes = self.debt_bytes() - self.charged_bytes();
        own_bytes <= CREDIT_BYTES || self.waited_us() > PATIENCE_US / 2
    }

    /// Counts the time that passed since this was last done, while writes wait. A core with writes that wait looks all the time:
    /// where it did not for long, they are gone, or it did not run, and waiting begins anew.
    fn note_wait(&mut self) {
        if let Some(waiting) = &mut self.shortage.waiting {
            if self.mono_us - waiting.looked_us > PATIENCE_US {
                self.shortage.waiting = None;
            } else {
                waiting.look(self.mono_us);
            }
        }
    }

    /// For how long writes have waited without any progress.
    fn waited_us(&self) -> u64 {
        let waiting = self.shortage.waiting;
        waiting.map_or(0, |waiting| waiting.waited_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Facts, ShardId, config::Config};
    use std::sync::{Arc, mpsc};
    use store::{Expiry, Millis, Value};

    const MIB: usize = 1 << 20;
    const VALUE_BYTES: usize = 100_000;

    /// Holds pages that no eviction frees, and that no account of allocations knows, while `work` runs.
    fn with_pages_held(work: impl FnOnce()) {
        const HELD_BYTES: usize = 96 * MIB;
        let (held, is_held) = mpsc::channel();
        let (end, ends) = mpsc::channel::<()>();
        let holder = std::thread::Builder::new().stack_size(2 * HELD_BYTES);
        let holder = holder.spawn(move || {
            let pages = std::hint::black_box([1u8; HELD_BYTES]);
            held.send(()).unwrap();
            let _ = ends.recv();
            std::hint::black_box(&pages);
        });
        is_held.recv().unwrap();
        work();
        drop(end);
        holder.unwrap().join().unwrap();
        memory::heap::press(false);
    }

    fn core_short_of_pages() -> Core {
        let mut facts = Facts::of_this_process(1, 64 * MIB as u64, String::new(), Millis(1));
        facts.holds_resident = true;
        let mut core = Core::new(ShardId(0), Config::default(), Arc::new(facts)).unwrap();
        (core.now, core.mono_us) = (Millis(1), 1_000_000);
        core
    }

    /// Writes a value as soon as it may be written; `meanwhile` runs in each millisecond before. How many passed.
    fn write(core: &mut Core, number: usize, mut meanwhile: impl FnMut(&mut Core)) -> u64 {
        let name = number.to_string();
        let hash = core.shard.hash(name.as_bytes());
        let mut waited_ms = 0;
        loop {
            match ask_for(core, VALUE_BYTES, hash) {
                Room::Yes => break,
                Room::Wait => {}
                refused => panic!("{refused:?} for {number} after {waited_ms} ms"),
            }
            loop {
                waited_ms += 1;
                (core.now.0, core.mono_us) = (core.now.0 + 1, core.mono_us + 1_000);
                meanwhile(core);
                if core.may_retry() {
                    break;
                }
            }
        }
        let (now, key) = (core.now, core.shard.key(name.as_bytes()));
        let value = vec![b'v'; VALUE_BYTES];
        core.shard
            .set(0, key, Value::from_bytes(&value), Expiry::Clear, now);
        waited_ms
    }

    #[test]
    fn writes_that_wait_for_pages_that_never_come_go_on_and_are_not_refused() {
        with_pages_held(|| {
            let mut core = core_short_of_pages();
            let pay = |core: &mut Core| {
                core.pay_step();
            };
            let waits_ms: Vec<u64> = (0..2_000).map(|n| write(&mut core, n, pay)).collect();
            assert!(waits_ms.iter().any(|ms| *ms > 0), "pages were short");
            assert!(waits_ms.iter().all(|ms| *ms < 200), "{waits_ms:?}");
            assert!(core.shard.evictable_keys() > 0);
        });
    }

    #[test]
    fn a_write_goes_on_though_others_take_more_than_it_frees_while_pages_are_short() {
        with_pages_held(|| {
            let mut core = core_short_of_pages();
            for number in 0..600 {
                write(&mut core, number, |_| ());
            }
            let mut other = core.facts.budget.lease();
            let own_bytes = -core.debt_bytes() + core.charged_bytes();
            let mut taken_bytes = own_bytes + 4 * MIB as i64;
            other.settle(taken_bytes);
            let waited_ms = write(&mut core, 600, |core| {
                assert!(core.shard.evictable_keys() > 0);
                taken_bytes += 3 * VALUE_BYTES as i64;
                other.settle(taken_bytes);
            });
            assert!(waited_ms > 0 && waited_ms < 500, "{waited_ms} ms");
        });
    }

    #[test]
    fn a_write_is_refused_after_waiting_itself_and_not_for_a_shortage_long_past() {
        let limit_bytes = 64 * MIB as u64;
        let facts = Facts::of_this_process(2, limit_bytes, String::new(), Millis(1));
        let mut core = Core::new(ShardId(0), Config::default(), Arc::new(facts)).unwrap();
        core.publish_load();
        core.facts.loads[1].show(limit_bytes, 1, 1, None);
        let mut other = core.facts.budget.lease();
        other.settle(limit_bytes as i64 + MIB as i64);
        assert_eq!(core.make_room(100_000, &[]), Room::Wait);
        core.mono_us += 10_000_000;
        let began_us = core.mono_us;
        while core.make_room(100_000, &[]) == Room::Wait {
            core.mono_us += PATIENCE_STEP_US / 2;
        }
        let waited_us = core.mono_us - began_us;
        assert!(
            (PATIENCE_US..2 * PATIENCE_US).contains(&waited_us),
            "{waited_us}"
        );
    }

    #[test]
    fn a_shard_that_owes_nothing_calls_those_that_do_once_for_so_much_debt() {
        let facts = Arc::new(Facts::of_this_process(
            2,
            64 * MIB as u64,
            String::new(),
            Millis(1),
        ));
        let mut core = Core::new(ShardId(0), Config::default(), Arc::clone(&facts)).unwrap();
        core.publish_load();
        facts.loads[1].show(64 * MIB as u64, 1, 1, None);
        let mut other = facts.budget.lease();
        let mut calls = |over_bytes: i64| {
            let other_bytes = other.granted_bytes();
            other.settle(other_bytes + facts.budget.remaining_bytes() + over_bytes);
            assert!(!core.pay_step(), "it has nothing to pay with");
            std::mem::take(&mut core.shortage.calls_others)
        };
        assert!(!calls(CREDIT_BYTES / 2));
        assert!(calls(3 * CREDIT_BYTES));
        assert!(!calls(3 * CREDIT_BYTES));
        assert!(calls(5 * CREDIT_BYTES));
        assert!(!calls(-2 * CREDIT_BYTES));
        assert!(calls(3 * CREDIT_BYTES), "the debt was paid in between");
    }
}
