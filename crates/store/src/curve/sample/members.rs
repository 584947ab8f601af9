//! Owns where sampled keys lie: what a reference does to the miniatures, and who leaves them.
//! Never happens here: which keys are sampled, and when; the sample decides.
//! Source: as the sample's.
#![forbid(unsafe_code)]

use super::{EVICTED_AT_ONCE_MAX, Sample};
use crate::access::size_class_of;
use crate::curve::records::NONE;
use crate::curve::window::group_of;
use crate::curve::{SIZES, SLOT_SHARE_BYTES};
use crate::value::Millis;

impl Sample {
    /// Counts references to a record as it stands.
    #[inline]
    pub(super) fn count(&mut self, number: u16, is_hit: bool, times: u32) {
        let record = self.records.at(number);
        let weight = f64::from(self.policy.units_of(record.class)) * self.keys_per_unit;
        let group = group_of(record.id);
        self.window
            .count(record.label, group, weight, times, is_hit, record.present);
    }

    /// Has every miniature touch a record that it has.
    pub(super) fn touch(&mut self, number: u16, now: Millis) {
        self.set_ticks(now);
        let record = self.records.at(number);
        for (miniature, &place) in self.miniatures.iter_mut().zip(&record.places) {
            if place != NONE {
                miniature.touch(place, &mut self.policy);
            }
        }
    }

    /// Has every miniature take in a record that it has not, and, if asked to, touch one that it has.
    pub(super) fn refer(&mut self, number: u16, touches: bool, now: Millis) {
        if touches {
            self.touch(number, now);
        } else {
            self.set_ticks(now);
        }
        let present = self.records.at(number).present;
        if present == (1 << SIZES) - 1 {
            return;
        }
        for size in 0..SIZES {
            if present >> size & 1 == 0 {
                self.admit(number, size);
            }
        }
        if self.records.at(number).present == 0 {
            self.records.remove(number);
        }
    }

    pub(super) fn set_ticks(&mut self, now: Millis) {
        if let Some(tick) = self.policy.tick(now) {
            self.miniatures
                .iter_mut()
                .for_each(|miniature| miniature.set_tick(tick));
        }
    }

    /// What a record counts for, in units and in bytes times units.
    #[inline]
    pub(super) fn weight_of(&self, number: u16) -> (u32, u64) {
        let record = self.records.at(number);
        let units = self.policy.units_of(record.class);
        let bytes = u64::from(record.bytes) + SLOT_SHARE_BYTES;
        (units, bytes * u64::from(units))
    }

    pub(super) fn admit(&mut self, number: u16, size: usize) {
        let (units, charge) = self.weight_of(number);
        let fresh = self.policy.fresh(self.records.at(number).bytes.into());
        let grows = !self.miniatures[size].is_short_of(charge);
        if !self.make_room(size, charge) {
            return;
        }
        let miniature = &mut self.miniatures[size];
        let place = miniature.push(number, fresh, units, charge);
        miniature.note_insertion(units, &self.policy);
        let record = self.records.at_mut(number);
        record.places[size] = place;
        record.present |= 1 << size;
        if grows {
            let (place, other) = self.miniatures[size].mix(&mut self.rng);
            let last = self.miniatures[size].len() - 1;
            self.records.at_mut(other).places[size] = last as u16;
            self.records.at_mut(number).places[size] = place;
        }
    }

    /// Evicts until there is room, or enough for now; false if nothing may go.
    pub(super) fn make_room(&mut self, size: usize, charge: u64) -> bool {
        for _ in 0..EVICTED_AT_ONCE_MAX {
            if !self.miniatures[size].is_short_of(charge) {
                break;
            }
            let miniature = &self.miniatures[size];
            let victim = miniature.victim(&self.policy, &self.records, &mut self.rng);
            let Some(place) = victim else {
                // What is larger than the whole cache is there alone until the next key comes.
                return miniature.len() == 0;
            };
            let number = self.miniatures[size].record(place.into());
            self.leave(number, size);
            if self.records.at(number).present == 0 {
                self.records.remove(number);
            }
        }
        true
    }

    /// Takes a record out of one miniature.
    pub(super) fn leave(&mut self, number: u16, size: usize) {
        let (units, charge) = self.weight_of(number);
        let place = std::mem::replace(&mut self.records.at_mut(number).places[size], NONE);
        self.records.at_mut(number).present &= !(1 << size);
        if let Some(moved) = self.miniatures[size].take(place, units, charge) {
            self.records.at_mut(moved).places[size] = place;
        }
    }

    /// Takes a record out of all.
    pub(super) fn remove(&mut self, number: u16) {
        for size in 0..SIZES {
            if self.records.at(number).present >> size & 1 == 1 {
                self.leave(number, size);
            }
        }
        self.records.remove(number);
    }

    /// Gives a record another size; false if it is none any more.
    pub(super) fn resize(&mut self, number: u16, bytes: u64) -> bool {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if bytes == self.records.at(number).bytes {
            return true;
        }
        let class = size_class_of(bytes.into());
        if !self.is_sampled(self.records.at(number).id, class) {
            self.remove(number);
            return false;
        }
        let before = self.weight_of(number);
        let record = self.records.at_mut(number);
        (record.bytes, record.class) = (bytes, class);
        let after = self.weight_of(number);
        self.note_units(after.0);
        let record = self.records.at(number);
        for (miniature, &place) in self.miniatures.iter_mut().zip(&record.places) {
            if place != NONE {
                let low = self.policy.resized(miniature.low(place), bytes.into());
                miniature.resize(place, low, before, after);
            }
        }
        for size in 0..SIZES {
            if self.records.is_live(number) && !self.make_room(size, 0) {
                break;
            }
        }
        self.records.is_live(number)
    }
}
