//! Owns the sampling of keys by their access metadata, from which eviction will choose.
//! Never happens here: the choice.
//! Source: sampled eviction as in Redis, on metadata that lies together.
#![forbid(unsafe_code)]

use crate::access::Access;
use crate::hasher::Key;
use crate::random::Rng;
use crate::shard::{Shard, Walk};
use crate::slab::BlockRef;
use crate::value::Millis;

/// So many insertions pay for pinning the metadata of one segment, while any is owed.
const INSERTIONS_PER_PINNING: u64 = 256;

/// A sampled key, valid until the shard changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    block: BlockRef,
    access: Access,
    age_ticks: u8,
}

impl Candidate {
    /// Its access metadata.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Ticks of the shard's coarse clock since the last access, at most
    /// [`crate::AGE_TICKS_MAX`].
    pub fn age_ticks(&self) -> u8 {
        self.age_ticks
    }
}

impl Shard {
    /// Adds up to `wanted` keys of a database that lie together at a random place to `out`.
    /// Reads no entry.
    pub fn sample(&self, db: usize, rng: &mut Rng, wanted: usize, out: &mut Vec<Candidate>) {
        let candidate = |slot: crate::index::Slot| Candidate {
            block: slot.block,
            access: slot.access,
            age_ticks: self.clock.age_ticks(slot.access),
        };
        let take = |slot| out.push(candidate(slot));
        self.databases[db]
            .index
            .sample(&self.slab, rng, wanted, take);
    }

    /// The key of a candidate that was sampled since the shard last changed.
    pub fn candidate_key(&self, candidate: &Candidate) -> Key<'_> {
        self.hasher.key(self.entry(candidate.block).key())
    }

    /// Whether a candidate is past its expiry, and so goes first.
    pub fn is_candidate_expired(&self, candidate: &Candidate, now: Millis) -> bool {
        self.entry(candidate.block).is_expired(now)
    }

    /// Removes a candidate that was sampled since the shard last changed. Returns the bytes of
    /// its blocks.
    pub fn evict(&mut self, db: usize, candidate: &Candidate) -> u64 {
        let entry = self.entry(candidate.block);
        let (hash, bytes) = (self.hasher.hash(entry.key()), entry.bytes());
        let found = self.databases[db]
            .index
            .find_block(&self.slab, hash, candidate.block);
        debug_assert!(
            found.is_some(),
            "a candidate outlived a change of its shard"
        );
        let Some(found) = found else {
            return 0;
        };
        self.discard(db, hash, found);
        bytes
    }

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
}
