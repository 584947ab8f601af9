//! Owns one miniature cache: the sampled keys that a cache of one size would hold, and what it evicts next.
//! Never happens here: a look at a key; records are known by number, and say where they lie.
//! Source: miniature simulation (Waldspurger and others, 2017), with the shard's own clock and scores.
#![forbid(unsafe_code)]

use super::SLOT_SHARE_BYTES;
use super::policy::{Policy, held};
use super::records::Records;
use crate::evict::Order;
use crate::random::Rng;
use crate::score::LowScores;

/// Units of a key that is sampled as seldom as any: what it counts for. One that is sampled more
/// often for its size counts for less.
pub(super) const UNIT: u32 = 1024;

/// As the shard's clock: ticks for each turnover of the keys, and insertions a tick at least.
const TICKS_PER_TURNOVER: u64 = 16;
const INSERTIONS_PER_TICK_MIN: u64 = 16;

/// Of a multiplicative generator; its upper bits are as good as is needed.
const DICE_FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// The resident keys of one cache size, in no order.
#[derive(Debug)]
pub(super) struct Miniature {
    /// Bytes times units that fit, and those that are there.
    capacity: u64,
    used: u64,
    /// Units of the keys that are there.
    population: u64,
    /// Units to be inserted before the next tick.
    insertions_left: u64,
    tick: u16,
    ticks: Vec<u16>,
    lows: Vec<u8>,
    records: Vec<u16>,
    /// For the mean size of the keys, as it was when the tick began.
    scores: LowScores,
}

impl Default for Miniature {
    fn default() -> Miniature {
        Miniature {
            capacity: 0,
            used: 0,
            population: 0,
            insertions_left: 0,
            tick: 0,
            ticks: Vec::new(),
            lows: Vec::new(),
            records: Vec::new(),
            scores: LowScores::UNSET,
        }
    }
}

impl Miniature {
    pub(super) fn set_capacity(&mut self, capacity: u64) {
        self.capacity = capacity;
    }

    /// Whether something must go before `charge` fits in.
    #[inline]
    pub(super) fn is_short_of(&self, charge: u64) -> bool {
        self.used + charge > self.capacity
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Notes an access to the key at a place.
    #[inline]
    pub(super) fn touch(&mut self, place: u16, policy: &mut Policy) {
        let place = usize::from(place);
        let ticks = self.tick.wrapping_sub(self.ticks[place]);
        self.lows[place] = policy.hit(self.lows[place], ticks);
        self.ticks[place] = self.tick;
    }

    /// Adds a key and answers its place.
    pub(super) fn push(&mut self, record: u16, low: u8, units: u32, charge: u64) -> u16 {
        self.used += charge;
        self.population += u64::from(units);
        self.ticks.push(self.tick);
        self.lows.push(low);
        self.records.push(record);
        (self.records.len() - 1) as u16
    }

    /// Exchanges the last key with one at random, so that those that lie together have nothing in
    /// common. Answers the place and the record that came to the end.
    pub(super) fn mix(&mut self, rng: &mut Rng) -> (u16, u16) {
        let last = self.records.len() - 1;
        let place = rng.below(self.records.len() as u64) as usize;
        self.ticks.swap(place, last);
        self.lows.swap(place, last);
        self.records.swap(place, last);
        (place as u16, self.records[last])
    }

    /// Takes out the key at a place; answers the record that lies there now, if one does.
    pub(super) fn take(&mut self, place: u16, units: u32, charge: u64) -> Option<u16> {
        let place = usize::from(place);
        debug_assert!(self.used >= charge && self.population >= u64::from(units));
        self.used -= charge;
        self.population -= u64::from(units);
        self.ticks.swap_remove(place);
        self.lows.swap_remove(place);
        self.records.swap_remove(place);
        self.records.get(place).copied()
    }

    /// The key at a place has another size.
    pub(super) fn resize(&mut self, place: u16, low: u8, before: (u32, u64), after: (u32, u64)) {
        self.population = self.population - u64::from(before.0) + u64::from(after.0);
        self.used = self.used - before.1 + after.1;
        self.lows[usize::from(place)] = low;
    }

    pub(super) fn low(&self, place: u16) -> u8 {
        self.lows[usize::from(place)]
    }

    pub(super) fn record(&self, place: usize) -> u16 {
        self.records[place]
    }

    /// Forgets what keys count for; [`Miniature::recount`] says it anew.
    pub(super) fn begin_recount(&mut self) {
        (self.used, self.population) = (0, 0);
    }

    pub(super) fn recount(&mut self, units: u32, charge: u64) {
        self.used += charge;
        self.population += u64::from(units);
    }

    /// Lets insertions drive the clock.
    pub(super) fn note_insertion(&mut self, units: u32, policy: &Policy) {
        self.insertions_left = self.insertions_left.saturating_sub(units.into());
        if self.insertions_left == 0 {
            self.tick = self.tick.wrapping_add(1);
            let least = INSERTIONS_PER_TICK_MIN * u64::from(UNIT);
            self.insertions_left = (self.population / TICKS_PER_TURNOVER).max(least);
            let mean_bytes = self.used / self.population.max(1);
            policy.weigh(
                &mut self.scores,
                mean_bytes.saturating_sub(SLOT_SHARE_BYTES),
            );
        }
    }

    /// Sets the clock, where time alone drives it.
    pub(super) fn set_tick(&mut self, tick: u16) {
        self.tick = tick;
    }

    pub(super) fn clear(&mut self) {
        *self = Miniature {
            capacity: self.capacity,
            tick: self.tick,
            ..Miniature::default()
        };
    }

    /// The place that goes first among keys that lie together at random. `None` if none of them may.
    pub(super) fn victim(&self, policy: &Policy, records: &Records, rng: &mut Rng) -> Option<u16> {
        if self.records.is_empty() {
            return None;
        }
        let start = rng.below(self.records.len() as u64) as usize;
        let dice = rng.next_u64();
        if policy.spares_lasting() {
            return self.expiring_victim(policy, records, start);
        }
        let units = |place: usize| policy.units(self.lows[place]);
        let place = match policy.order() {
            Order::Ifs => self.best(policy, start, dice, units, |low, ticks| {
                policy.ifs_score(&self.scores, low, ticks)
            }),
            Order::Lru => self.best(policy, start, dice, units, |_, ticks| held(ticks).into()),
            Order::Lfu => {
                let class = |place: usize| records.at(self.records[place]).class;
                let units = |place: usize| policy.units_of(class(place));
                self.best(policy, start, dice, units, |low, ticks| {
                    -i32::from(policy.decayed(low, ticks))
                })
            }
            Order::Random | Order::Ttl => self.best(policy, start, dice, units, |_, _| 0),
        };
        Some(place)
    }

    /// The place with the highest score among so many as the policy wants, from a place on and
    /// around the end.
    #[inline(always)]
    fn best(
        &self,
        policy: &Policy,
        start: usize,
        dice: u64,
        units: impl Fn(usize) -> u32,
        score: impl Fn(u8, u16) -> i32,
    ) -> u16 {
        let (len, now) = (self.records.len(), self.tick);
        let (lows, ticks) = (&self.lows[..len], &self.ticks[..len]);
        let mut dice = dice;
        let mut wanted = policy.samples();
        // Score and place in one number, so that the larger of two is one comparison.
        let mut best = i32::MIN | start as i32;
        let mut place = start;
        for _ in 0..len {
            let units = units(place);
            // A key comes up as often as the keys that it stands for.
            let mut is_up = units == UNIT;
            if !is_up {
                dice = dice.rotate_left(11).wrapping_mul(DICE_FACTOR);
                is_up = dice >> 54 < u64::from(units);
            }
            if is_up {
                let score = score(lows[place], now.wrapping_sub(ticks[place]));
                best = best.max(score << 16 | place as i32);
                wanted -= 1;
                if wanted == 0 {
                    break;
                }
            }
            place += 1;
            if place == len {
                place = 0;
            }
        }
        best as u16
    }

    /// As [`Miniature::victim`], where only keys with an expiry may go.
    #[inline(never)]
    fn expiring_victim(&self, policy: &Policy, records: &Records, start: usize) -> Option<u16> {
        let len = self.records.len();
        let score = |place: usize| {
            let expiry = match records.at(self.records[place]).expiry {
                0 => return None,
                expiry => expiry,
            };
            let (low, ticks) = (self.lows[place], self.tick.wrapping_sub(self.ticks[place]));
            let score = match policy.order() {
                Order::Ifs => policy.ifs_score(&self.scores, low, ticks).into(),
                Order::Lru => held(ticks).into(),
                Order::Lfu => -i64::from(policy.decayed(low, ticks)),
                Order::Random => 0,
                Order::Ttl => -i64::from(expiry),
            };
            Some((score, place as u16))
        };
        let candidates = (start..len).chain(0..start).filter_map(score);
        let best = candidates.take(policy.samples()).max()?;
        Some(best.1)
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.ticks.capacity() * 2 + self.lows.capacity() + self.records.capacity() * 2
    }
}
