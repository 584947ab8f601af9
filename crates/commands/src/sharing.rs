//! How shards share the limit: what each shows of itself, and which of them pay when it is passed.
//! No lock and no wait for another core: whoever asks reads what the others last showed, and all come to the same parts.
//! Source: GDSF's least value (Cherkasova 1998) as the price of room, which is the same everywhere where room is used best.
//!
//! A shard's price is what the keys are worth for each byte that it evicts, or would next. Where it is lower than the
//! mean of all, room is worth more elsewhere: that shard pays, by how much lower it is. A shard whose price is higher
//! writes on credit. What a shard holds counts against it a little, so that shards of the same price do not drift
//! apart, and one that is small already never pays.

use crate::{Core, ShardId};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use store::price::{OCTAVE_STEPS, octave_steps};

/// A shard pays for its own writes up to this much above the mean price: what chance does to prices.
const BAND: i64 = OCTAVE_STEPS as i64 / 8;
/// Twice the bytes count as a price lower by this part of an octave.
const LEAN: i64 = 4;
/// A shard that holds less than this part of the mean pays nothing.
const FLOOR: i64 = 8;
/// What has no price shows this.
const NO_STANDING: i64 = i64::MAX;
/// What a shard shows that has not looked for its largest client.
pub(crate) const NOT_LOOKED: u64 = u64::MAX;
/// Keys that a shard looks at for its price at each tick, when it may not have evicted any.
const LOOKS_PER_TICK: usize = 8;

/// What one shard shows of itself. A cache line of its own: nobody else writes it.
#[derive(Debug)]
#[repr(align(64))]
pub struct ShardLoad {
    /// Bytes of entries and tables.
    data_bytes: AtomicI64,
    /// Keys, and those that may be evicted.
    keys: AtomicU64,
    evictable_keys: AtomicU64,
    /// Its price, less for what it holds, in steps of an octave.
    standing: AtomicI64,
    /// Bytes of its clients.
    pub(crate) client_bytes: AtomicU64,
    /// Bytes on its thread's heap that count against the limit: all but clients' buffers, and what is on its way for them.
    pub(crate) heap_data_bytes: AtomicI64,
    /// Bytes of the largest of its clients that may be closed; [`NOT_LOOKED`] while it has no need to know.
    pub(crate) largest_client_bytes: AtomicU64,
}

impl Default for ShardLoad {
    fn default() -> ShardLoad {
        ShardLoad {
            data_bytes: AtomicI64::new(0),
            keys: AtomicU64::new(0),
            evictable_keys: AtomicU64::new(0),
            standing: AtomicI64::new(NO_STANDING),
            client_bytes: AtomicU64::new(0),
            heap_data_bytes: AtomicI64::new(0),
            largest_client_bytes: AtomicU64::new(NOT_LOOKED),
        }
    }
}

impl ShardLoad {
    pub(crate) fn show(&self, data_bytes: u64, keys: u64, evictable_keys: u64, price: Option<i32>) {
        let standing = price.map_or(NO_STANDING, |price| {
            i64::from(price) - i64::from(octave_steps(data_bytes as i64)) / LEAN
        });
        self.data_bytes.store(data_bytes as i64, Ordering::Relaxed);
        self.keys.store(keys, Ordering::Relaxed);
        self.evictable_keys.store(evictable_keys, Ordering::Relaxed);
        self.standing.store(standing, Ordering::Relaxed);
    }

    fn data_bytes(&self) -> i64 {
        self.data_bytes.load(Ordering::Relaxed).max(0)
    }

    fn can_pay(&self) -> bool {
        self.evictable_keys.load(Ordering::Relaxed) > 0
    }

    /// Bytes of what may be evicted, taken to be as large as the others.
    fn evictable_bytes(&self) -> i64 {
        let keys = self.keys.load(Ordering::Relaxed).max(1);
        let evictable_keys = self.evictable_keys.load(Ordering::Relaxed).min(keys);
        let bytes = self.data_bytes() as i128 * i128::from(evictable_keys) / i128::from(keys);
        bytes as i64
    }

    fn standing(&self) -> Option<i64> {
        let standing = self.standing.load(Ordering::Relaxed);
        (standing != NO_STANDING).then_some(standing)
    }
}

/// On what terms shards pay a debt, as they last showed themselves.
#[derive(Clone, Copy, Debug)]
struct Terms {
    /// Less than this pays nothing.
    floor_bytes: i64,
    /// Nor does what stands higher.
    standing_max: i64,
    /// What all that pay weigh, and how many can if none does by its standing.
    weight: i64,
    payers: i64,
    /// Bytes a key.
    key_bytes: u64,
}

impl Terms {
    fn of(loads: &[ShardLoad]) -> Terms {
        let data_bytes: i64 = loads.iter().map(ShardLoad::data_bytes).sum();
        let keys: u64 = loads
            .iter()
            .map(|load| load.keys.load(Ordering::Relaxed))
            .sum();
        let floor_bytes = data_bytes / loads.len() as i64 / FLOOR;
        let (mut sum, mut count) = (0, 0);
        for load in loads {
            if let Some(standing) = load.standing()
                && load.can_pay()
                && load.data_bytes() >= floor_bytes
            {
                sum += standing;
                count += 1;
            }
        }
        let mut terms = Terms {
            floor_bytes,
            standing_max: sum / count.max(1) + BAND,
            weight: 0,
            payers: loads.iter().filter(|load| load.can_pay()).count() as i64,
            key_bytes: data_bytes as u64 / keys.max(1),
        };
        terms.weight = loads.iter().map(|load| terms.weight_of(load)).sum();
        terms
    }

    /// How much a shard pays beside others.
    fn weight_of(&self, load: &ShardLoad) -> i64 {
        if !load.can_pay() || load.data_bytes() < self.floor_bytes {
            return 0;
        }
        let standing = load.standing().unwrap_or(self.standing_max - BAND);
        (self.standing_max - standing).max(0)
    }

    /// Whether a shard pays for its own writes.
    fn gives(&self, load: &ShardLoad) -> bool {
        self.weight <= 0 || self.weight_of(load) > 0
    }

    /// A shard's part of a debt, rounded up.
    fn part_of(&self, load: &ShardLoad, debt_bytes: i64) -> i64 {
        if !load.can_pay() {
            return 0;
        }
        let (weight, all) = if self.weight > 0 {
            (self.weight_of(load), self.weight)
        } else {
            (1, self.payers.max(1))
        };
        let part = i128::from(debt_bytes) * i128::from(weight) / i128::from(all);
        part as i64 + i64::from(weight > 0)
    }
}

impl Core {
    /// Shows the other shards what this one holds.
    pub fn publish_load(&self) {
        let load = self.load_of(self.id);
        let shard = &self.shard;
        load.show(
            shard.data_bytes(),
            shard.all_keys(),
            shard.evictable_keys(),
            shard.price(),
        );
        load.client_bytes
            .store(self.clients.bytes(), Ordering::Relaxed);
    }

    fn load_of(&self, shard: ShardId) -> &ShardLoad {
        &self.facts.loads[usize::from(shard.0)]
    }

    /// Looks at what this shard would evict next while the limit is near: what nobody asked for grows old, and gives way.
    pub fn tend_price(&mut self) {
        let is_near =
            self.debt_bytes() > -(self.facts.loads.len() as i64 * super::room::CREDIT_BYTES);
        if self.facts.loads.len() > 1 && is_near && self.config.maxmemory_policy.evicts() {
            for _ in 0..LOOKS_PER_TICK {
                self.shard.appraise(self.now);
            }
        }
    }

    /// The terms as they are now, this shard's figures new among them.
    fn terms(&mut self) -> Terms {
        if self.facts.loads.len() > 1 && self.shard.price().is_none() {
            self.shard.appraise(self.now);
        }
        self.publish_load();
        let terms = Terms::of(&self.facts.loads);
        if self.facts.loads.len() > 1 {
            self.shard.weigh_against(terms.key_bytes);
        }
        terms
    }

    /// Whether this shard pays for its own writes.
    pub(crate) fn gives(&mut self) -> bool {
        self.facts.loads.len() == 1 || {
            let terms = self.terms();
            terms.gives(self.load_of(self.id))
        }
    }

    /// This shard's part of the debt.
    pub(crate) fn owed_bytes(&mut self) -> i64 {
        let terms = self.terms();
        terms.part_of(self.load_of(self.id), self.debt_bytes())
    }

    /// The shards that are to pay when this one calls.
    pub fn payers(&self) -> Vec<ShardId> {
        let terms = Terms::of(&self.facts.loads);
        let loads = self.facts.loads.iter().enumerate();
        let pays = loads
            .filter(|(shard, load)| *shard != usize::from(self.id.0) && terms.part_of(load, 1) > 0);
        pays.map(|(shard, _)| ShardId(shard as u16)).collect()
    }

    /// Whether another shard has keys to evict.
    pub(crate) fn others_can(&self) -> bool {
        let others = self.facts.loads.iter().enumerate();
        others
            .filter(|(shard, _)| *shard != usize::from(self.id.0))
            .any(|(_, load)| load.can_pay())
    }

    /// Bytes of what all shards may evict.
    pub(crate) fn evictable_bytes(&self) -> i64 {
        self.publish_load();
        let loads = self.facts.loads.iter();
        loads.map(ShardLoad::evictable_bytes).sum()
    }

    /// This shard's part of the data of all, as the shards last showed it.
    pub(crate) fn data_share(&self) -> f64 {
        let loads = &self.facts.loads;
        let all: i64 = loads.iter().map(ShardLoad::data_bytes).sum();
        if all > 0 {
            self.load_of(self.id).data_bytes() as f64 / all as f64
        } else {
            1.0 / loads.len() as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const DEBT_BYTES: i64 = 1_000_000;

    /// What a shard shows that holds so many MiB, all of which may go at a price in octaves.
    fn load(mib: u64, octaves: f64) -> ShardLoad {
        let load = ShardLoad::default();
        let price = (octaves * f64::from(OCTAVE_STEPS)) as i32;
        load.show(mib * MIB, mib * 1000, mib * 1000, Some(price));
        load
    }

    fn parts(loads: &[ShardLoad]) -> Vec<i64> {
        let terms = Terms::of(loads);
        loads
            .iter()
            .map(|load| terms.part_of(load, DEBT_BYTES))
            .collect()
    }

    fn givers(loads: &[ShardLoad]) -> Vec<bool> {
        let terms = Terms::of(loads);
        loads.iter().map(|load| terms.gives(load)).collect()
    }

    #[test]
    fn a_shard_of_worthless_keys_pays_for_one_with_valuable_keys() {
        for price in [-20.0, 0.0, 7.0] {
            let loads = [load(10, price), load(10, price + 2.0)];
            assert_eq!(givers(&loads), [true, false]);
            assert_eq!(parts(&loads), [DEBT_BYTES + 1, 0]);
        }
    }

    #[test]
    fn the_cheapest_of_three_pays_most() {
        let paid = parts(&[load(10, -0.2), load(10, 0.0), load(10, 0.03)]);
        assert!(
            paid[0] > 2 * paid[1] && paid[1] > paid[2] && paid[2] > 0,
            "{paid:?}"
        );
    }

    #[test]
    fn what_chance_does_to_prices_has_nobody_write_on_credit() {
        let loads = [0.04, -0.04, 0.0, 0.06].map(|octaves| load(10, octaves));
        assert_eq!(givers(&loads), [true; 4]);
    }

    #[test]
    fn what_is_paid_is_the_debt() {
        for octaves in 0..40 {
            let loads: Vec<ShardLoad> = (0..16)
                .map(|shard| {
                    load(
                        1 + shard * 7 % 11,
                        f64::from(octaves) * (shard % 5) as f64 / 10.0,
                    )
                })
                .collect();
            let sum: i64 = parts(&loads).iter().sum();
            assert!((DEBT_BYTES..=DEBT_BYTES + 16).contains(&sum), "{sum}");
        }
    }

    #[test]
    fn at_the_same_price_the_larger_shard_pays_until_they_are_about_equal() {
        assert_eq!(givers(&[load(40, 0.0), load(4, 0.0)]), [true, false]);
        assert_eq!(givers(&[load(24, 0.0), load(20, 0.0)]), [true, true]);
    }

    #[test]
    fn no_shard_is_drained_below_an_eighth_of_the_mean() {
        let mut bytes = [64 * MIB, 64 * MIB, 64 * MIB];
        for _ in 0..10_000 {
            let loads: Vec<ShardLoad> = bytes
                .iter()
                .zip([-30, 0, 0])
                .map(|(bytes, price)| {
                    let load = ShardLoad::default();
                    load.show(*bytes, 1000, 1000, Some(price * OCTAVE_STEPS));
                    load
                })
                .collect();
            // Each pays, and what was paid is filled by the others.
            for (bytes, part) in bytes.iter_mut().zip(parts(&loads)) {
                *bytes -= part as u64;
            }
            bytes[1] += DEBT_BYTES as u64 / 2;
            bytes[2] += DEBT_BYTES as u64 / 2;
        }
        let mean = bytes.iter().sum::<u64>() / 3;
        let (floor, step) = (mean / 8, DEBT_BYTES as u64 + 1);
        assert!(bytes[0] < floor && bytes[0] + step >= floor, "{bytes:?}");
        assert!(bytes[1] > mean && bytes[2] > mean);
    }

    #[test]
    fn a_shard_without_keys_that_may_go_pays_nothing_and_one_below_the_floor_pays_where_no_other_can()
     {
        let stuck = load(100, -9.0);
        stuck.evictable_keys.store(0, Ordering::Relaxed);
        let loads = [stuck, load(1, 0.0)];
        assert_eq!(parts(&loads), [0, DEBT_BYTES + 1]);
        assert!(givers(&loads)[1]);
    }

    #[test]
    fn a_shard_without_a_price_pays_as_one_at_the_mean() {
        let unknown = load(10, 0.0);
        unknown.standing.store(NO_STANDING, Ordering::Relaxed);
        let loads = [unknown, load(10, 3.0)];
        assert_eq!(givers(&loads), [true, true]);
    }

    #[test]
    fn one_shard_that_holds_everything_pays_for_all() {
        let loads = [load(1000, 5.0), load(1, -5.0), load(0, 0.0), load(2, 0.0)];
        assert_eq!(givers(&loads), [true, false, false, false]);
        assert_eq!(parts(&loads)[1..], [0, 0, 0]);
    }
}
