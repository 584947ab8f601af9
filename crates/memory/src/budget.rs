//! Owns the memory limit of the process, and the leases by which shards share it.
//! Never happens here: counting bytes, choosing what to evict, or waiting for another shard.
//! Source: a shared remainder handed out in blocks, so that the common check is one comparison.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// What a lease grows by is this part of the limit. What idles in the leases of many shards is so a
/// small part of any limit.
const BLOCK_SHARE: i64 = 32 * 1024;
/// But so many bytes at least and at most: large enough that a shard under load touches the shared
/// remainder once in some ten writes, or some hundred.
const BLOCK_BYTES_MIN: i64 = 2 * 1024;
const BLOCK_BYTES_MAX: i64 = 64 * 1024;

/// A lease gives back what it has beyond its use when that is more than so many blocks. Two, so
/// that a shard whose use swings by less than one block does not trade at all.
const SURPLUS_BLOCKS: i64 = 2;

/// What stands for no limit: more than any machine has, and far from where sums overflow.
const NO_LIMIT_BYTES: i64 = i64::MAX / 4;

/// The limit of the process, shared by all shards.
///
/// At every moment limit = fixed charge + sum of leases + remainder. A write never brings the
/// remainder below zero; lowering the limit, a larger fixed charge, or buffers that grew can. While
/// it is below zero no lease covers anything: every shard refuses or frees.
#[derive(Debug)]
pub struct Budget {
    limit_bytes: AtomicI64,
    fixed_bytes: AtomicI64,
    remaining_bytes: AtomicI64,
}

impl Budget {
    /// A budget of `limit_bytes`; 0 is no limit.
    pub fn new(limit_bytes: u64) -> Arc<Budget> {
        let limit_bytes = effective(limit_bytes);
        Arc::new(Budget {
            limit_bytes: AtomicI64::new(limit_bytes),
            fixed_bytes: AtomicI64::new(0),
            remaining_bytes: AtomicI64::new(limit_bytes),
        })
    }

    /// The limit in bytes; 0 is none.
    pub fn limit_bytes(&self) -> u64 {
        match self.limit_bytes.load(Ordering::Relaxed) {
            NO_LIMIT_BYTES => 0,
            limit_bytes => limit_bytes as u64,
        }
    }

    /// Changes the limit while shards run; 0 is none.
    ///
    /// Below what is leased the remainder turns negative: no lease covers a write until enough
    /// was freed.
    pub fn set_limit(&self, limit_bytes: u64) {
        let new_bytes = effective(limit_bytes);
        let old_bytes = self.limit_bytes.swap(new_bytes, Ordering::Relaxed);
        self.remaining_bytes
            .fetch_add(new_bytes - old_bytes, Ordering::Relaxed);
    }

    /// Charges what the process holds outside its shards: start-up and threads of no shard.
    ///
    /// Replaces the charge of the call before, so it can be told again when it changes.
    pub fn charge_fixed(&self, bytes: u64) {
        let new_bytes = bytes.min(NO_LIMIT_BYTES as u64) as i64;
        let old_bytes = self.fixed_bytes.swap(new_bytes, Ordering::Relaxed);
        self.remaining_bytes
            .fetch_sub(new_bytes - old_bytes, Ordering::Relaxed);
    }

    /// What a lease grows by, in bytes: a power of two.
    fn block_bytes(&self) -> i64 {
        let limit_bytes = self.limit_bytes.load(Ordering::Relaxed);
        let share_bytes = (limit_bytes / BLOCK_SHARE).clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX);
        1 << share_bytes.ilog2()
    }

    /// Bytes no shard has leased; below zero by what leases must still give back.
    pub fn remaining_bytes(&self) -> i64 {
        self.remaining_bytes.load(Ordering::Relaxed)
    }

    /// An empty lease for one shard.
    pub fn lease(self: &Arc<Budget>) -> Lease {
        Lease {
            budget: Arc::clone(self),
            granted_bytes: 0,
        }
    }

    /// Takes `wished_bytes` from the remainder, or else `needed_bytes`, or else nothing.
    fn take(&self, needed_bytes: i64, wished_bytes: i64) -> i64 {
        debug_assert!(0 < needed_bytes && needed_bytes <= wished_bytes);
        let mut remaining = self.remaining_bytes.load(Ordering::Relaxed);
        loop {
            let taken = if wished_bytes <= remaining {
                wished_bytes
            } else if needed_bytes <= remaining {
                needed_bytes
            } else {
                return 0;
            };
            match self.remaining_bytes.compare_exchange_weak(
                remaining,
                remaining - taken,
                // No other memory is published by this number, so no order is needed.
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return taken,
                Err(changed) => remaining = changed,
            }
        }
    }

    fn give_back(&self, bytes: i64) {
        if bytes != 0 {
            self.remaining_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

fn effective(limit_bytes: u64) -> i64 {
    match limit_bytes {
        0 => NO_LIMIT_BYTES,
        limit_bytes => limit_bytes.min(NO_LIMIT_BYTES as u64 - 1) as i64,
    }
}

/// What one shard may use of the limit. Owned by that shard alone; given back when dropped.
#[derive(Debug)]
pub struct Lease {
    budget: Arc<Budget>,
    granted_bytes: i64,
}

impl Lease {
    /// Whether the shard may write while it uses `used_bytes`: true within the lease, or when
    /// the lease can grow to cover it.
    ///
    /// False means that the shard frees memory first, or refuses. The value about to be written is
    /// not in `used_bytes`, so use passes the limit by that one value at most.
    #[inline]
    pub fn covers(&mut self, used_bytes: i64) -> bool {
        (used_bytes <= self.granted_bytes && self.budget.remaining_bytes() >= 0)
            || self.grow(used_bytes)
    }

    #[cold]
    fn grow(&mut self, used_bytes: i64) -> bool {
        // What this shard does not need may be what brings the sum below the limit again.
        self.settle(used_bytes.min(self.granted_bytes));
        let needed_bytes = used_bytes.saturating_sub(self.granted_bytes);
        if needed_bytes <= 0 {
            return self.budget.remaining_bytes() >= 0;
        }
        let block_bytes = self.budget.block_bytes();
        let wished_bytes = needed_bytes.saturating_add(block_bytes - 1) / block_bytes * block_bytes;
        // Near the limit a whole block may not be left though what is needed is: the last bytes
        // of the limit are to be used too.
        self.granted_bytes += self
            .budget
            .take(needed_bytes, wished_bytes.max(needed_bytes));
        used_bytes <= self.granted_bytes
    }

    /// Brings the lease in line with what the shard uses: takes what it uses beyond the lease
    /// without asking (buffers grow without a write), and gives back what it does not need.
    /// Called from the shard's tick and wherever much was freed.
    pub fn settle(&mut self, used_bytes: i64) {
        let surplus_bytes = self.granted_bytes.saturating_sub(used_bytes);
        let back_bytes = if surplus_bytes < 0 || self.budget.remaining_bytes() < 0 {
            surplus_bytes
        } else {
            self.beyond_blocks(surplus_bytes)
        };
        self.granted_bytes -= back_bytes;
        self.budget.give_back(back_bytes);
    }

    /// Of what the lease has beyond its use, what it need not keep for the writes to come.
    fn beyond_blocks(&self, surplus_bytes: i64) -> i64 {
        let block_bytes = self.budget.block_bytes();
        if surplus_bytes > SURPLUS_BLOCKS * block_bytes {
            surplus_bytes - block_bytes
        } else {
            0
        }
    }

    /// Gives back what the lease has beyond `used_bytes`, but not much more than what is missing to
    /// the limit: of what an evicting write freed beyond that, a block serves the writes after it.
    pub fn repay(&mut self, used_bytes: i64) {
        let surplus_bytes = self.granted_bytes.saturating_sub(used_bytes);
        let owed_bytes = self.budget.remaining_bytes().saturating_neg();
        let back_bytes = surplus_bytes
            .min(owed_bytes)
            .max(self.beyond_blocks(surplus_bytes));
        if back_bytes > 0 {
            self.granted_bytes -= back_bytes;
            self.budget.give_back(back_bytes);
        }
    }

    /// Bytes this shard may use now. Below zero on a shard that frees what others allocated, by
    /// what their leases are the larger for it.
    pub fn granted_bytes(&self) -> i64 {
        self.granted_bytes
    }

    /// The budget this lease is of.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budget
            .remaining_bytes
            .fetch_add(self.granted_bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    const MIB: i64 = 1 << 20;

    fn xorshift(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn one_shard_may_use_the_whole_limit_to_the_byte() {
        let budget = Budget::new(1_000_001);
        let mut lease = budget.lease();
        let _idle = budget.lease();
        assert!(lease.covers(1_000_001));
        assert!(!lease.covers(1_000_002));
        assert_eq!(budget.remaining_bytes(), 0);
    }

    #[test]
    fn use_within_the_lease_leaves_the_remainder_alone() {
        let budget = Budget::new(10 * MIB as u64);
        let mut lease = budget.lease();
        assert!(lease.covers(1));
        let remaining = budget.remaining_bytes();
        for used in 0..BLOCK_BYTES_MIN {
            assert!(lease.covers(used));
        }
        assert_eq!(budget.remaining_bytes(), remaining);
        assert_eq!(remaining, 10 * MIB - BLOCK_BYTES_MIN);
    }

    #[test]
    fn without_a_limit_everything_is_covered() {
        let budget = Budget::new(0);
        let mut lease = budget.lease();
        assert!(lease.covers(1 << 50));
        assert_eq!(budget.limit_bytes(), 0);
    }

    #[test]
    fn a_limit_set_while_running_counts_what_is_used_already() {
        let budget = Budget::new(0);
        let (mut one, mut other) = (budget.lease(), budget.lease());
        assert!(one.covers(6 * MIB));
        assert!(other.covers(2 * MIB));
        budget.set_limit(10 * MIB as u64);
        assert_eq!(budget.limit_bytes(), 10 * MIB as u64);
        assert_eq!(budget.remaining_bytes(), 2 * MIB);
        assert!(one.covers(8 * MIB));
        assert!(!other.covers(2 * MIB + 1));
        budget.set_limit(0);
        assert!(other.covers(100 * MIB));
    }

    #[test]
    fn freed_memory_of_one_shard_serves_another() {
        let budget = Budget::new(10 * MIB as u64);
        let (mut one, mut other) = (budget.lease(), budget.lease());
        assert!(one.covers(10 * MIB));
        assert!(!other.covers(1));
        one.settle(MIB);
        assert!(other.covers(8 * MIB));
        assert_eq!(one.granted_bytes(), MIB + BLOCK_BYTES_MIN);
    }

    #[test]
    fn a_swing_of_less_than_a_block_is_not_traded() {
        let budget = Budget::new(10 * MIB as u64);
        let mut lease = budget.lease();
        assert!(lease.covers(5 * MIB));
        let granted = lease.granted_bytes();
        lease.settle(5 * MIB - BLOCK_BYTES_MIN);
        assert_eq!(lease.granted_bytes(), granted);
    }

    #[test]
    fn a_lowered_limit_stops_every_shard_until_enough_is_freed() {
        let budget = Budget::new(100 * MIB as u64);
        let mut leases: Vec<Lease> = (0..4).map(|_| budget.lease()).collect();
        let used = [40 * MIB, 30 * MIB, 20 * MIB, 10 * MIB];
        for (lease, used) in leases.iter_mut().zip(used) {
            assert!(lease.covers(used));
        }
        budget.set_limit(50 * MIB as u64);
        for (lease, used) in leases.iter_mut().zip(used) {
            assert!(!lease.covers(used), "nobody writes while over the limit");
        }
        for (lease, used) in leases.iter_mut().zip(used) {
            lease.settle(used / 4);
        }
        for (lease, used) in leases.iter_mut().zip(used) {
            assert!(lease.covers(used / 4), "enough was freed");
        }
        let sum: i64 = leases.iter().map(Lease::granted_bytes).sum();
        assert_eq!(sum + budget.remaining_bytes(), 50 * MIB);
    }

    #[test]
    fn an_idle_surplus_is_what_a_lowered_limit_takes_first() {
        let budget = Budget::new(10 * MIB as u64);
        let (mut busy, mut idle) = (budget.lease(), budget.lease());
        assert!(busy.covers(4 * MIB));
        assert!(idle.covers(6 * MIB));
        budget.set_limit(5 * MIB as u64);
        idle.settle(0);
        assert_eq!(budget.remaining_bytes(), MIB);
        busy.settle(4 * MIB);
        assert!(busy.covers(4 * MIB));
    }

    #[test]
    fn the_fixed_charge_takes_from_the_limit_and_can_be_told_again() {
        let budget = Budget::new(10 * MIB as u64);
        budget.charge_fixed(3 * MIB as u64);
        let mut lease = budget.lease();
        assert!(!lease.covers(7 * MIB + 1));
        budget.charge_fixed(2 * MIB as u64);
        assert!(lease.covers(8 * MIB));
        assert!(!lease.covers(8 * MIB + 1));
    }

    #[test]
    fn what_a_shard_frees_for_another_is_not_counted_twice() {
        // One allocates 50 MiB in turns which the other frees: in all they use nothing.
        let budget = Budget::new(10 * MIB as u64);
        let (mut one, mut other) = (budget.lease(), budget.lease());
        for step in 1..=50 {
            assert!(one.covers(step * MIB), "step {step}");
            other.settle(-step * MIB);
        }
        assert_eq!(
            one.granted_bytes() + other.granted_bytes() + budget.remaining_bytes(),
            10 * MIB
        );
    }

    #[test]
    fn a_dropped_lease_returns_to_the_remainder() {
        let budget = Budget::new(MIB as u64);
        let mut lease = budget.lease();
        assert!(lease.covers(MIB));
        drop(lease);
        assert_eq!(budget.remaining_bytes(), MIB);
    }

    #[test]
    fn what_is_repaid_is_what_is_owed_and_what_was_freed_beyond_a_block() {
        let budget = Budget::new(10 * MIB as u64);
        let mut lease = budget.lease();
        assert!(lease.covers(10 * MIB));
        lease.settle(11 * MIB);
        assert_eq!(budget.remaining_bytes(), -MIB);
        lease.repay(10 * MIB + MIB / 2);
        assert_eq!(budget.remaining_bytes(), -MIB / 2);
        assert!(!lease.covers(10 * MIB + MIB / 2));
        let kept_bytes = BLOCK_BYTES_MIN / 2;
        lease.repay(10 * MIB - kept_bytes);
        assert_eq!(
            (budget.remaining_bytes(), lease.granted_bytes()),
            (0, 10 * MIB)
        );
        assert!(lease.covers(10 * MIB));
        lease.repay(9 * MIB);
        assert_eq!(budget.remaining_bytes(), MIB - BLOCK_BYTES_MIN);
    }

    #[test]
    fn what_idles_in_the_leases_of_many_shards_is_a_small_part_of_any_limit() {
        const SHARDS: i64 = 64;
        for limit_bytes in [64 * MIB, 1024 * MIB, 1 << 50] {
            let budget = Budget::new(limit_bytes as u64);
            let mut leases: Vec<Lease> = (0..SHARDS).map(|_| budget.lease()).collect();
            for lease in &mut leases {
                assert!(lease.covers(MIB));
                lease.settle(MIB / 2);
            }
            let idle_bytes = limit_bytes - budget.remaining_bytes() - SHARDS * MIB / 2;
            assert!(
                idle_bytes <= limit_bytes / 128,
                "{idle_bytes} of {limit_bytes}"
            );
        }
    }

    #[test]
    fn absurd_numbers_do_not_overflow() {
        let budget = Budget::new(u64::MAX);
        let mut lease = budget.lease();
        assert!(!lease.covers(i64::MAX));
        budget.charge_fixed(u64::MAX);
        budget.set_limit(1);
        lease.settle(i64::MAX);
        lease.settle(i64::MIN / 8);
        budget.set_limit(u64::MAX);
    }

    #[test]
    fn use_passes_the_limit_by_no_more_than_one_value_a_shard() {
        // A model of shards that write when covered and else evict, with limits that change.
        let limit = 4 * MIB;
        let value_bytes_max = 40_000;
        let budget = Budget::new(limit as u64);
        budget.charge_fixed(100_000);
        let mut random = 0x1234_5678_9ABC_DEF1;
        let mut shards: Vec<(Lease, i64)> = (0..4).map(|_| (budget.lease(), 0)).collect();
        for step in 0..200_000 {
            let place = xorshift(&mut random) as usize % shards.len();
            let bytes = 1 + (xorshift(&mut random) % value_bytes_max as u64) as i64;
            let (lease, used) = &mut shards[place];
            if lease.covers(*used) {
                *used += bytes;
            } else {
                *used = (*used - bytes).max(0);
            }
            if step % 64 == 0 {
                lease.settle(*used);
            }
            let leased: i64 = shards.iter().map(|shard| shard.0.granted_bytes()).sum();
            assert_eq!(leased + budget.remaining_bytes() + 100_000, limit);
            // Each shard may stand over its lease by the value that it was writing.
            assert!(budget.remaining_bytes() >= -4 * value_bytes_max);
            for (lease, used) in &shards {
                assert!(*used <= lease.granted_bytes() + value_bytes_max);
            }
        }
    }

    #[test]
    fn threads_never_lease_more_than_the_limit() {
        let limit = 16 * MIB;
        let budget = Budget::new(limit as u64);
        let done = AtomicBool::new(false);
        let leased: i64 = thread::scope(|scope| {
            let auditor = scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let remaining = budget.remaining_bytes();
                    assert!((0..=limit).contains(&remaining), "remaining {remaining}");
                }
            });
            let workers: Vec<_> = (1..=4u64)
                .map(|seed| {
                    let budget = &budget;
                    scope.spawn(move || {
                        let mut random = 0x9E37_79B9_7F4A_7C15 ^ seed;
                        let mut lease = budget.lease();
                        let mut used = 0i64;
                        for _ in 0..100_000 {
                            let bytes = (xorshift(&mut random) % 300_000) as i64;
                            if lease.covers(used + bytes) {
                                used += bytes;
                            } else {
                                used /= 2;
                            }
                            assert!(used <= lease.granted_bytes());
                            lease.settle(used);
                        }
                        lease
                    })
                })
                .collect();
            let leases: Vec<Lease> = workers
                .into_iter()
                .map(|worker| worker.join().unwrap())
                .collect();
            done.store(true, Ordering::Relaxed);
            auditor.join().unwrap();
            let leased: i64 = leases.iter().map(Lease::granted_bytes).sum();
            assert_eq!(leased + budget.remaining_bytes(), limit);
            leased
        });
        assert!(leased <= limit);
        assert_eq!(budget.remaining_bytes(), limit);
    }
}
