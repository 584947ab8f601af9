//! Owns the sample of a shard's keys and the ten miniature caches that it lives in.
//! Never happens here: a look at the shard; it is told what was read, written and removed.
//! Source: SHARDS (Waldspurger and others, 2015) with a rate that grows with a key's size.
#![forbid(unsafe_code)]

mod members;

use super::miniature::{Miniature, UNIT};
use super::policy::{CLASSES, Policy};
use super::records::{NONE, RECORDS_MAX, Record, Records};
use super::window::{Served, Window, group_of};
use super::{Figures, Label, Memory, SIZES, Surroundings, TIMES};
use crate::access::size_class_of;
use crate::evict::Eviction;
use crate::prefixes::PREFIX_DELIMITERS_MAX;
use crate::random::Rng;
use crate::value::Millis;

/// A key many times the mean is sampled that much more often, up to so many times.
const WEIGHT_MAX: f64 = 64.0;
/// Under a policy whose access metadata do not know the size.
const WEIGHT_MAX_UNKNOWN: f64 = 16.0;
/// When the sample is full it is thinned to so many sixteenths.
const THINNED: u64 = 13;
/// The weights of sizes are reckoned anew when the mean has changed by this factor.
const MEAN_DRIFT: f64 = 2.0;
/// Of the keys that the shard holds, so many should be sampled: fewer say little of small sizes,
/// more cost more.
const HELD_WANTED: f64 = 320.0;
/// So large a share of the keys is sampled at most, and is wanted at least, if the sample has room.
const RATE_MAX: f64 = 0.125;
const RATE_WANTED_MIN: f64 = 1.0 / 320.0;
/// Records looked at for their expiry with each sampled reference, and at each tick.
const SWEPT_A_REFERENCE: usize = 2;
const SWEPT_A_TICK: usize = 512;
/// Keys that go from a miniature for one that comes, or at a tick: what is still too much goes later.
const EVICTED_AT_ONCE_MAX: usize = 64;
/// Reads of one key in a row that are put off, and how many of them a miniature is told of.
const REPEATS_MAX: u32 = 1 << 16;
const TOUCHES_MAX: u32 = 16;
/// Resolution of expiries.
const MS_PER_SPAN: i64 = 100;
/// A capacity that is never reached, far from overflowing.
const UNLIMITED: u64 = u64::MAX / 4;

/// Up to which sampling hash keys are sampled, by size class, and where the size is not known.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub(super) by_class: [u64; CLASSES],
    pub(super) unknown: u64,
}

/// The sample.
#[derive(Debug)]
pub(super) struct Sample {
    base: Millis,
    /// Keys of the smallest weight are sampled below this hash.
    threshold: u64,
    /// What one unit stands for, in keys.
    keys_per_unit: f64,
    mean_bytes: f64,
    /// The least units of a record there may be.
    units_min: u32,
    policy: Policy,
    records: Records,
    miniatures: [Miniature; SIZES],
    window: Window,
    surroundings: Option<Surroundings>,
    rng: Rng,
    swept: usize,
    is_filter_old: bool,
    repeated: Repeated,
}

/// The key that was hit last, and how often again with no other sampled key in between: a key that
/// takes a large part of all reads would cost much, and say the same again and again.
#[derive(Debug)]
struct Repeated {
    id: u64,
    at: Millis,
    times: u32,
}

impl Repeated {
    /// No sampled key has this hash.
    const NONE: Repeated = Repeated {
        id: u64::MAX,
        at: Millis(0),
        times: 0,
    };
}

impl Sample {
    pub(super) fn new(seed: u64, base: Millis) -> Sample {
        let mut sample = Sample {
            base,
            threshold: 0,
            keys_per_unit: 0.0,
            mean_bytes: 0.0,
            units_min: UNIT,
            policy: Policy::new(Eviction::default()),
            records: Records::new(RECORDS_MAX),
            miniatures: Default::default(),
            window: Window::new(),
            surroundings: None,
            rng: Rng::seeded(seed),
            swept: 0,
            is_filter_old: true,
            repeated: Repeated::NONE,
        };
        sample.set_threshold(threshold_of(RATE_MAX));
        sample
    }

    /// Up to where keys are sampled now, if that has changed since it was asked last.
    pub(super) fn changed_filter(&mut self) -> Option<Filter> {
        std::mem::take(&mut self.is_filter_old).then(|| self.filter())
    }

    fn filter(&self) -> Filter {
        let below = |units: u32| {
            let threshold = u128::from(self.threshold) * u128::from(UNIT) / u128::from(units);
            u64::try_from(threshold).unwrap_or(u64::MAX)
        };
        // Where the shard does not know sizes it passes on whatever may be sampled.
        let class_units = |class: usize| match self.policy.counts_frequency() {
            true => (f64::from(UNIT) / WEIGHT_MAX_UNKNOWN) as u32,
            false => self.policy.units_of(class as u8),
        };
        Filter {
            by_class: std::array::from_fn(|class| below(class_units(class))),
            unknown: below(self.units_min),
        }
    }

    fn is_sampled(&self, id: u64, class: u8) -> bool {
        let units = u128::from(self.policy.units_of(class));
        u128::from(id) * units < u128::from(self.threshold) * u128::from(UNIT)
    }

    fn set_threshold(&mut self, threshold: u64) {
        self.threshold = threshold.clamp(1, threshold_of(RATE_MAX));
        self.is_filter_old = true;
        let rate = self.threshold as f64 / u64::MAX as f64;
        self.keys_per_unit = 1.0 / (rate * f64::from(UNIT));
        self.set_capacities();
    }

    fn set_capacities(&mut self) {
        let Some(surroundings) = self.surroundings else {
            return self
                .miniatures
                .iter_mut()
                .for_each(|miniature| miniature.set_capacity(UNLIMITED));
        };
        for (miniature, times) in self.miniatures.iter_mut().zip(TIMES) {
            let capacity = match surroundings.data_bytes(times) {
                Some(bytes) => (bytes as f64 / self.keys_per_unit) as u64,
                None => UNLIMITED,
            };
            miniature.set_capacity(capacity.min(UNLIMITED));
        }
    }

    /// Counts a read of the key that was read last; false if something else came in between.
    #[inline]
    pub(super) fn hit_again(&mut self, id: u64) -> bool {
        let is_same = id == self.repeated.id && self.repeated.times < REPEATS_MAX;
        self.repeated.times += u32::from(is_same);
        is_same
    }

    /// Counts the repeated reads that were put off.
    #[inline]
    fn settle(&mut self) {
        let Repeated { id, at, times } = std::mem::replace(&mut self.repeated, Repeated::NONE);
        if times > 0
            && let Some(number) = self.records.find(id)
        {
            self.count(number, true, times);
            (0..times.min(TOUCHES_MAX)).for_each(|_| self.touch(number, at));
        }
    }

    /// Counts a read that found its key.
    pub(super) fn hit(
        &mut self,
        id: u64,
        key: &[u8],
        bytes: u64,
        expiry: Option<Millis>,
        now: Millis,
    ) {
        self.settle();
        self.sweep(SWEPT_A_REFERENCE, now);
        let Some(number) = self.find(id, now) else {
            // Not met since it is sampled: nothing is known of its past.
            return self.create(id, key, bytes, expiry, now);
        };
        self.count(number, true, 1);
        self.refer(number, true, now);
        self.records.at_mut(number).is_missed = false;
        self.repeated = Repeated {
            id,
            at: now,
            times: 0,
        };
    }

    /// Counts a read that found nothing.
    pub(super) fn miss(&mut self, id: u64, key: &[u8], now: Millis) {
        self.settle();
        self.sweep(SWEPT_A_REFERENCE, now);
        if let Some(number) = self.find(id, now) {
            self.count(number, false, 1);
            self.touch(number, now);
            self.records.at_mut(number).is_missed = true;
        } else if id < self.threshold {
            let label = self.window.label(key);
            let weight = self.keys_per_unit * f64::from(UNIT);
            self.window.count(label, group_of(id), weight, 1, false, 0);
        }
    }

    /// Notes a write; `is_new` if the shard did not have the key.
    pub(super) fn written(
        &mut self,
        id: u64,
        key: &[u8],
        bytes: u64,
        expiry: Option<Millis>,
        is_new: bool,
        now: Millis,
    ) {
        self.settle();
        self.sweep(SWEPT_A_REFERENCE, now);
        let Some(number) = self.find(id, now) else {
            return self.create(id, key, bytes, expiry, now);
        };
        let expiry = self.expiry_of(expiry);
        let record = self.records.at_mut(number);
        record.expiry = expiry;
        // A cache that had the key would not have been given it after that miss.
        let is_fill = std::mem::take(&mut record.is_missed) && is_new;
        if !self.resize(number, bytes) {
            return;
        }
        self.refer(number, !is_fill, now);
    }

    /// Notes that a key was deleted.
    pub(super) fn forget(&mut self, id: u64) {
        self.settle();
        if let Some(number) = self.records.find(id) {
            self.remove(number);
        }
    }

    /// Notes that all keys were deleted.
    pub(super) fn clear(&mut self) {
        self.repeated = Repeated::NONE;
        self.miniatures.iter_mut().for_each(Miniature::clear);
        self.records = Records::new(self.records.room());
        self.units_min = UNIT;
        self.is_filter_old = true;
    }

    fn note_units(&mut self, units: u32) {
        if units < self.units_min {
            self.units_min = units;
            self.is_filter_old = true;
        }
    }

    fn find(&mut self, id: u64, now: Millis) -> Option<u16> {
        let number = self.records.find(id)?;
        if self.is_expired(number, now) {
            self.remove(number);
            return None;
        }
        Some(number)
    }

    fn create(&mut self, id: u64, key: &[u8], bytes: u64, expiry: Option<Millis>, now: Millis) {
        let class = size_class_of(bytes);
        // Of a few records one step may thin none.
        while self.is_sampled(id, class) && self.records.is_full() {
            self.thin();
        }
        if !self.is_sampled(id, class) {
            return;
        }
        self.note_units(self.policy.units_of(class));
        let number = self.records.add(Record {
            id,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            expiry: self.expiry_of(expiry),
            places: [NONE; SIZES],
            present: 0,
            class,
            label: self.window.label(key),
            is_missed: false,
        });
        self.refer(number, false, now);
    }

    fn expiry_of(&self, expiry: Option<Millis>) -> u32 {
        let Some(at) = expiry else {
            return 0;
        };
        let spans = at.0.saturating_sub(self.base.0).max(0) / MS_PER_SPAN;
        u32::try_from(spans).unwrap_or(u32::MAX).max(1)
    }

    fn is_expired(&self, number: u16, now: Millis) -> bool {
        let expiry = self.records.at(number).expiry;
        expiry != 0 && now.0.saturating_sub(self.base.0) / MS_PER_SPAN > i64::from(expiry)
    }

    /// Looks at a few records for their expiry.
    fn sweep(&mut self, wanted: usize, now: Millis) {
        for _ in 0..wanted {
            self.swept += 1;
            if self.swept >= self.records.numbers().end.into() {
                self.swept = 0;
            }
            let number = self.swept as u16;
            if self.records.numbers().contains(&number)
                && self.records.is_live(number)
                && self.is_expired(number, now)
            {
                self.remove(number);
            }
        }
    }

    /// Lowers the rate, and drops who is not sampled any more.
    fn thin(&mut self) {
        self.set_threshold(self.threshold / 16 * THINNED);
        self.drop_unsampled();
    }

    fn drop_unsampled(&mut self) {
        for number in self.records.numbers() {
            let record = self.records.at(number);
            if self.records.is_live(number) && !self.is_sampled(record.id, record.class) {
                self.remove(number);
            }
        }
    }

    /// Reckons anew how much more often larger keys are sampled.
    fn weigh(&mut self, mean_bytes: f64) {
        self.mean_bytes = mean_bytes;
        let rate = self.threshold as f64 / u64::MAX as f64;
        let most = if self.policy.counts_frequency() {
            WEIGHT_MAX_UNKNOWN
        } else {
            WEIGHT_MAX
        };
        let weight_max = most.min(1.0 / rate).max(1.0);
        self.policy.set_units(std::array::from_fn(|class| {
            let bytes = 32.0 * 2f64.powf(class as f64 / 2.0);
            let weight = (bytes / mean_bytes).clamp(1.0, weight_max);
            (f64::from(UNIT) / weight).ceil() as u32
        }));
        for number in self.records.numbers() {
            if self.records.is_live(number) {
                let bytes = self.records.at(number).bytes;
                self.records.at_mut(number).class = size_class_of(bytes.into());
            }
        }
        self.recount();
        self.drop_unsampled();
    }

    /// Adds up anew what the miniatures hold.
    fn recount(&mut self) {
        self.miniatures
            .iter_mut()
            .for_each(Miniature::begin_recount);
        self.units_min = UNIT;
        self.is_filter_old = true;
        for number in self.records.numbers() {
            if !self.records.is_live(number) {
                continue;
            }
            let (units, charge) = self.weight_of(number);
            self.note_units(units);
            let present = self.records.at(number).present;
            for (size, miniature) in self.miniatures.iter_mut().enumerate() {
                if present >> size & 1 == 1 {
                    miniature.recount(units, charge);
                }
            }
        }
    }

    /// Sets what the sample may take; it begins anew where that is room for more or fewer keys.
    pub(super) fn allow(&mut self, bytes: u64, now: Millis) {
        let room = Records::room_in(bytes);
        if room == self.records.room() {
            return;
        }
        self.records = Records::new(room);
        self.clear();
        if let Some(surroundings) = self.surroundings {
            self.window.begin(surroundings.served, now);
        }
    }

    /// Takes note of what the shard is at.
    pub(super) fn tick(&mut self, surroundings: Surroundings, now: Millis) {
        self.settle();
        self.sweep(SWEPT_A_TICK, now);
        let before = self.surroundings.replace(surroundings);
        if surroundings.eviction != self.policy.eviction() {
            self.clear();
            self.policy = Policy::new(surroundings.eviction);
            self.weigh(surroundings.mean_bytes());
            self.window.begin(surroundings.served, now);
        } else if before.is_none_or(|before| !before.is_continued_by(&surroundings)) {
            self.window.begin(surroundings.served, now);
        }
        let mean_bytes = surroundings.mean_bytes();
        let drift = mean_bytes / self.mean_bytes;
        if mean_bytes > 0.0 && !(1.0 / MEAN_DRIFT..MEAN_DRIFT).contains(&drift) {
            self.weigh(mean_bytes);
        }
        self.set_capacities();
        for size in 0..SIZES {
            // Where all that is read is there, no key that comes would see to it.
            self.make_room(size, 0);
        }
        let wanted = self.wanted_threshold();
        if self.threshold / 8 * 7 > wanted {
            self.set_threshold(wanted);
            self.drop_unsampled();
        }
        if self.window.is_due(now) {
            self.turn(surroundings.served, now);
        }
    }

    /// Up to where keys should be sampled, if they fit.
    fn wanted_threshold(&self) -> u64 {
        let keys = self.surroundings.map_or(0, |now| now.keys);
        let rate = HELD_WANTED / keys.max(1) as f64;
        threshold_of(rate.clamp(RATE_WANTED_MIN, RATE_MAX))
    }

    fn turn(&mut self, served: Served, now: Millis) {
        let labels = self.window.turn(served, now);
        for number in self.records.numbers() {
            let label = &mut self.records.at_mut(number).label;
            *label = labels[usize::from(*label)];
        }
        let has_room = self.records.len() < self.records.room() / 4;
        if has_room && self.threshold < self.wanted_threshold() / 2 {
            self.set_threshold(self.threshold * 2);
        }
        self.recount();
    }

    /// Has prefixes end with other delimiters.
    pub(super) fn set_delimiters(&mut self, delimiters: [u8; PREFIX_DELIMITERS_MAX]) {
        if self.window.set_delimiters(delimiters) {
            // Keys get their new labels as they come back.
            self.clear();
        }
    }

    /// Today's size, once it was told.
    pub(super) fn memory(&self) -> Option<Memory> {
        Some(self.surroundings?.memory)
    }

    /// What is known.
    pub(super) fn figures(&self) -> Figures {
        let served = self
            .surroundings
            .map_or(Served::default(), |now| now.served);
        let began = self.window.served();
        let label = |(name, groups): (&[u8], _)| Label {
            name: name.into(),
            groups,
        };
        Figures {
            memory: self.memory(),
            hits: served.hits.saturating_sub(began.hits),
            misses: served.misses.saturating_sub(began.misses),
            sampled_references: self.window.sampled(),
            sampled_keys: self.records.len() as u64,
            labels: self.window.labels().map(label).collect(),
        }
    }

    pub(super) fn heap_bytes(&self) -> u64 {
        let miniatures: usize = self.miniatures.iter().map(Miniature::heap_bytes).sum();
        (size_of::<Sample>() + miniatures + self.records.heap_bytes() + self.window.heap_bytes())
            as u64
    }
}

/// Up to where so large a share of the hashes lies.
fn threshold_of(rate: f64) -> u64 {
    (rate * u64::MAX as f64) as u64
}
