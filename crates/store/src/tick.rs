//! Owns what drives the shard's coarse clock, and the sweep that keeps old access metadata from looking young.
//! Never happens here: what the metadata mean.
//! Source: as the clock's own.
#![forbid(unsafe_code)]

use crate::shard::{Shard, Walk};
use crate::value::Millis;

/// So many insertions pay for pinning the metadata of one segment, while any is owed.
const INSERTIONS_PER_PINNING: u64 = 256;

impl Shard {
    /// Lets an insertion drive the coarse clock, and pays a share of the pinning it owes.
    #[inline]
    pub(crate) fn note_insertion(&mut self, now: Millis) {
        self.insertions += 1;
        if self.clock.count_insertion() {
            let keys = self.keys();
            self.clock.begin_insertion_tick(now, keys);
        }
        if self.insertions.is_multiple_of(INSERTIONS_PER_PINNING) {
            self.pin_segment();
        }
    }

    /// Pins the metadata of the next segment, if the clock owes any.
    #[cold]
    pub(crate) fn pin_segment(&mut self) {
        if !self.clock.owes_pinning() {
            return;
        }
        let mut walk: Walk = self.pinning;
        if let Some((db, place)) = self.next_segment(&mut walk) {
            let pinned = self.databases[db]
                .index
                .pin_access(&self.slab, place, &self.clock);
            self.clock.pay_pinning(pinned);
        }
        self.pinning = walk;
    }

    /// Lets time drive the coarse clock.
    #[inline(always)]
    pub(crate) fn note_time(&mut self, now: Millis) {
        if self.clock.is_quiet(now) {
            self.tick(now);
        }
    }

    #[cold]
    fn tick(&mut self, now: Millis) {
        let keys = self.keys();
        self.clock.begin_tick(now, keys);
    }
}
