//! Owns what the miniatures know of the eviction policy: how a hit is noted, and how keys compare.
//! Never happens here: the scores themselves; they are those of the shard's own eviction.
//! Source: `evict` and `frequency`.
#![forbid(unsafe_code)]

use super::miniature::UNIT;
use crate::access::{AGE_TICKS_MAX, HITS_MAX, size_class_of};
use crate::evict::{Eviction, Order};
use crate::frequency::{COUNTER_FRESH, Frequency};
use crate::score::{IfsScores, LowScores};
use crate::value::Millis;

/// Size classes, as the shard's access metadata know them.
pub(super) const CLASSES: usize = 32;
const HITS_SHIFT: u32 = 5;
const CLASS_MASK: u8 = 31;

/// The policy, as the miniatures follow it.
#[derive(Debug)]
pub(super) struct Policy {
    eviction: Eviction,
    scores: IfsScores,
    frequency: Option<Frequency>,
    /// What a key of each size class counts for.
    units: [u32; CLASSES],
}

impl Policy {
    pub(super) fn new(eviction: Eviction) -> Policy {
        let frequency = (eviction.order == Order::Lfu)
            .then(|| Frequency::new(eviction.log_factor, eviction.decay_minutes));
        Policy {
            eviction,
            scores: IfsScores::new(eviction),
            frequency,
            units: [UNIT; CLASSES],
        }
    }

    pub(super) fn eviction(&self) -> Eviction {
        self.eviction
    }

    pub(super) fn set_units(&mut self, units: [u32; CLASSES]) {
        self.units = units;
    }

    /// Whether the shard's access metadata count hits and know no size.
    pub(super) fn counts_frequency(&self) -> bool {
        self.frequency.is_some()
    }

    /// What a key of a class counts for.
    #[inline]
    pub(super) fn units_of(&self, class: u8) -> u32 {
        self.units[usize::from(class)]
    }

    /// What the key behind these metadata counts for, unless they count hits.
    #[inline]
    pub(super) fn units(&self, low: u8) -> u32 {
        self.units[usize::from(low & CLASS_MASK)]
    }

    /// Candidates for one victim.
    pub(super) fn samples(&self) -> usize {
        self.eviction.samples
    }

    /// The tick of a clock that time drives; `None` where insertions do.
    pub(super) fn tick(&self, now: Millis) -> Option<u16> {
        let frequency = self.frequency.as_ref()?;
        Some((now.0 / frequency.decay_ms()) as u16)
    }

    /// Metadata of a key written now.
    pub(super) fn fresh(&self, bytes: u64) -> u8 {
        if self.frequency.is_some() {
            return COUNTER_FRESH;
        }
        size_class_of(bytes)
    }

    /// Metadata of a key hit now, that was last used so many ticks ago.
    #[inline]
    pub(super) fn hit(&mut self, low: u8, ticks: u16) -> u8 {
        match &mut self.frequency {
            Some(frequency) => frequency.count(low.saturating_sub(held(ticks))),
            None => {
                let hits = low >> HITS_SHIFT;
                let counts = hits < HITS_MAX && (ticks > 0 || hits == 0);
                low + (u8::from(counts) << HITS_SHIFT)
            }
        }
    }

    /// Metadata of a key that has another size now.
    pub(super) fn resized(&self, low: u8, bytes: u64) -> u8 {
        if self.frequency.is_some() {
            return low;
        }
        low & !CLASS_MASK | size_class_of(bytes)
    }

    /// Whether only keys with an expiry may go.
    pub(super) fn spares_lasting(&self) -> bool {
        self.eviction.only_expiring || self.eviction.order == Order::Ttl
    }

    pub(super) fn order(&self) -> Order {
        self.eviction.order
    }

    /// What speaks for a key to go under [`Order::Ifs`].
    #[inline(always)]
    pub(super) fn ifs_score(&self, lows: &LowScores, low: u8, ticks: u16) -> i32 {
        self.scores.of(lows, low, held(ticks))
    }

    /// Has scores be those for keys of so many bytes on the mean.
    pub(super) fn weigh(&self, lows: &mut LowScores, mean_bytes: u64) {
        lows.set_mean(&self.scores, mean_bytes);
    }

    /// What is left of the counter of a key under [`Order::Lfu`].
    #[inline(always)]
    pub(super) fn decayed(&self, low: u8, ticks: u16) -> u8 {
        low.saturating_sub(held(ticks))
    }
}

/// Ages saturate as the shard's do.
#[inline(always)]
pub(super) fn held(ticks: u16) -> u8 {
    ticks.min(AGE_TICKS_MAX.into()) as u8
}
