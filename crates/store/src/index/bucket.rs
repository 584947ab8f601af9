//! Owns one bucket of the index: eight slots in one cache line, compared all at once.
//! Never happens here: which bucket a key belongs in.
//! Source: tag buckets as in F14 and Swiss tables, with 16-bit tags and the SSE2 of every x86_64.

use crate::access::Access;
use crate::slab::BlockRef;

/// Slots in a bucket.
pub(crate) const LANES: usize = 8;

/// Eight slots. Filled ones come first; an empty one has no block.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Bucket {
    pub(super) tags: [u16; LANES],
    pub(super) access: [Access; LANES],
    pub(super) blocks: [BlockRef; LANES],
}

const _: () = assert!(size_of::<Bucket>() == 64);

/// One slot, taken out of its bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Slot {
    pub(crate) tag: u16,
    pub(crate) access: Access,
    pub(crate) block: BlockRef,
}

/// Lanes of a bucket, as bits.
#[derive(Clone, Copy)]
pub(super) struct Lanes(u32);

impl Iterator for Lanes {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        // Below eight; saying so spares a check at every use.
        let lane = self.0.trailing_zeros() as usize % LANES;
        self.0 &= self.0 - 1;
        Some(lane)
    }
}

impl Bucket {
    pub(super) const EMPTY: Bucket = Bucket {
        tags: [0; LANES],
        access: [Access::NEVER; LANES],
        blocks: [BlockRef::NONE; LANES],
    };

    /// The lanes whose tag is this one; empty lanes may be among them.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn lanes_with(&self, tag: u16) -> Lanes {
        use std::arch::x86_64::*;
        // SAFETY: SSE2 is part of x86_64; the bucket is 64-byte aligned and its tags are its
        // first sixteen bytes.
        let equal = unsafe {
            let tags = _mm_load_si128(self.tags.as_ptr().cast::<__m128i>());
            let equal = _mm_cmpeq_epi16(tags, _mm_set1_epi16(tag.cast_signed()));
            _mm_movemask_epi8(_mm_packs_epi16(equal, _mm_setzero_si128()))
        };
        Lanes(equal.cast_unsigned())
    }

    /// The lanes whose tag is this one; empty lanes may be among them.
    #[cfg(not(target_arch = "x86_64"))]
    #[inline(always)]
    pub(super) fn lanes_with(&self, tag: u16) -> Lanes {
        let mut equal = 0;
        for (lane, other) in self.tags.iter().enumerate() {
            equal |= u32::from(*other == tag) << lane;
        }
        Lanes(equal)
    }

    /// Whether every lane is taken.
    #[inline(always)]
    pub(super) fn is_full(&self) -> bool {
        !self.blocks[LANES - 1].is_none()
    }

    /// How many lanes are taken.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        use std::arch::x86_64::*;
        // SAFETY: SSE2 is part of x86_64; the bucket is 64-byte aligned and its blocks are its
        // last 32 bytes.
        let empty = unsafe {
            let blocks = self.blocks.as_ptr().cast::<__m128i>();
            let is_none = |four| _mm_cmpeq_epi32(_mm_load_si128(four), _mm_setzero_si128());
            let eight = _mm_packs_epi32(is_none(blocks), is_none(blocks.add(1)));
            _mm_movemask_epi8(_mm_packs_epi16(eight, eight))
        };
        // Filled lanes come first.
        (empty.cast_unsigned() | 1 << LANES).trailing_zeros() as usize
    }

    /// How many lanes are taken.
    #[cfg(not(target_arch = "x86_64"))]
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.blocks
            .iter()
            .map(|block| usize::from(!block.is_none()))
            .sum()
    }

    /// The slot in a lane that is taken.
    #[inline(always)]
    pub(super) fn slot(&self, lane: usize) -> Slot {
        debug_assert!(!self.blocks[lane].is_none());
        Slot {
            tag: self.tags[lane],
            access: self.access[lane],
            block: self.blocks[lane],
        }
    }

    /// The slots that are taken.
    #[inline(always)]
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        (0..LANES).map_while(|lane| (!self.blocks[lane].is_none()).then(|| self.slot(lane)))
    }

    /// Puts a slot in a lane.
    #[inline(always)]
    pub(super) fn put(&mut self, lane: usize, slot: Slot) {
        self.tags[lane] = slot.tag;
        self.access[lane] = slot.access;
        self.blocks[lane] = slot.block;
    }

    /// Empties a lane; the last taken lane moves into it.
    pub(super) fn take(&mut self, lane: usize) {
        let last = self.len() - 1;
        debug_assert!(lane <= last);
        self.put(lane, self.slot(last));
        self.put(
            last,
            Slot {
                tag: 0,
                access: Access::NEVER,
                block: BlockRef::NONE,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket_of(tags: &[u16]) -> Bucket {
        let mut bucket = Bucket::EMPTY;
        for (lane, &tag) in tags.iter().enumerate() {
            let block = BlockRef::from_bits(lane as u32 + 1);
            bucket.put(
                lane,
                Slot {
                    tag,
                    access: Access::NEVER,
                    block,
                },
            );
        }
        bucket
    }

    #[test]
    fn every_lane_with_the_tag_is_found_and_no_other() {
        let bucket = bucket_of(&[7, 0xffff, 7, 0x8000, 0x7fff, 7, 0, 0x0700]);
        assert_eq!(bucket.lanes_with(7).collect::<Vec<_>>(), [0, 2, 5]);
        assert_eq!(bucket.lanes_with(0xffff).collect::<Vec<_>>(), [1]);
        assert_eq!(bucket.lanes_with(0x8000).collect::<Vec<_>>(), [3]);
        assert_eq!(bucket.lanes_with(9).count(), 0);
    }

    #[test]
    fn a_bucket_counts_what_it_holds() {
        for len in 0..=LANES {
            let bucket = bucket_of(&[5; LANES][..len]);
            assert_eq!((bucket.len(), bucket.is_full()), (len, len == LANES));
        }
    }

    #[test]
    fn taking_a_slot_moves_the_last_one_into_its_lane() {
        let mut bucket = bucket_of(&[1, 2, 3]);
        bucket.take(0);
        assert_eq!(
            bucket.slots().map(|slot| slot.tag).collect::<Vec<_>>(),
            [3, 2]
        );
        bucket.take(1);
        bucket.take(0);
        assert_eq!(bucket.len(), 0);
    }
}
