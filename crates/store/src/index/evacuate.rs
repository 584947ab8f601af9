//! Owns moving an index and what its slots refer to out of sparse pages, part by part.
//! Never happens here: choosing pages; a pointer kept between parts: a place is a prefix and a tag.
//! Source: as the other walks over an index, cut at buckets so that a part is short.
#![forbid(unsafe_code)]

use std::ops::AddAssign;

use crate::slab::Slab;

use super::*;

/// Buckets between fetching a block and moving it.
const BUCKETS_AHEAD: usize = 2;

/// Where a move stands in an index: what lies before it was looked at. Any change of the index
/// leaves it a valid place, though slots may then be passed over or met twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Passage {
    prefix: u32,
    /// Lowest tag of the next bucket of that segment; 0 at its beginning.
    tag: u16,
}

/// What a part of a move did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Passed {
    /// Slots and blocks of segments that were looked at.
    pub(crate) seen: usize,
    /// Those of them that were moved.
    pub(crate) moved: usize,
    /// What all of it cost, as looks at so many slots.
    pub(crate) cost_slots: usize,
}

impl Passed {
    /// A look at a block of the heap, of which so many bytes were moved.
    pub(crate) fn of_heap(moved_bytes: usize) -> Passed {
        /// Copying so many bytes costs what a look does.
        const COPIED_BYTES_PER_SLOT: usize = 512;
        Passed {
            seen: 1,
            moved: usize::from(moved_bytes > 0),
            cost_slots: 1 + moved_bytes / COPIED_BYTES_PER_SLOT,
        }
    }

    /// One look.
    fn look() -> Passed {
        Passed {
            seen: 1,
            moved: 0,
            cost_slots: 1,
        }
    }
}

impl AddAssign for Passed {
    fn add_assign(&mut self, other: Passed) {
        self.seen += other.seen;
        self.moved += other.moved;
        self.cost_slots += other.cost_slots;
    }
}

impl Index {
    /// Moves what lies in pages being evacuated, from `at` on: segments, and the entries their
    /// slots refer to. Ends at the first bucket past `budget_slots`. Tells `met` of the block before
    /// and after of every entry whose metadata say this size class or a larger one, if it wants to
    /// know; it answers what that cost. Returns what was done and whether there is more.
    pub(crate) fn evacuate<F: FnMut(&mut Slab, BlockRef, BlockRef) -> usize>(
        &mut self,
        slab: &mut Slab,
        at: &mut Passage,
        budget_slots: usize,
        met_from: u8,
        mut met: Option<F>,
    ) -> (Passed, bool) {
        let mut passed = Passed::default();
        while passed.cost_slots < budget_slots {
            let Some((place, next)) = self.segment_at(at.prefix) else {
                return (passed, false);
            };
            if at.tag == 0 {
                passed += self.evacuate_segment(slab, place);
            }
            let segment = self.directory[place].segment(slab);
            let mut number = segment.home(at.tag);
            // One at least, so that steps of any budget come to an end.
            while number < segment.buckets() {
                let met_from = met.is_some().then_some(met_from);
                fetch_ahead(slab, segment, number + BUCKETS_AHEAD, met_from);
                let budget_left = budget_slots.saturating_sub(passed.cost_slots);
                let met = met.as_mut().zip(met_from);
                let (bucket, is_done) = evacuate_bucket(slab, segment, number, budget_left, met);
                passed += bucket;
                number += usize::from(is_done);
                if passed.cost_slots >= budget_slots {
                    break;
                }
            }
            if number < segment.buckets() {
                at.tag = segment.first_tag(number) as u16;
                return (passed, true);
            }
            if next >= PREFIX_END {
                return (passed, false);
            }
            *at = Passage {
                prefix: next,
                tag: 0,
            };
        }
        (passed, true)
    }

    /// Moves the header and the chunks of a segment.
    fn evacuate_segment(&mut self, slab: &mut Slab, place: usize) -> Passed {
        let entry = self.directory[place];
        let mut segment = entry.segment(slab);
        let mut passed = Passed::look();
        for chunk in segment.chunks_mut() {
            passed += Passed::look();
            if slab.is_evacuating(*chunk) {
                *chunk = slab.relocate(*chunk);
                passed.moved += 1;
            }
        }
        if slab.is_evacuating(entry.block()) {
            let moved = slab.relocate(entry.block());
            let (start, span) = self.extent(place);
            self.directory[start..start + span].fill(DirectoryEntry::new(
                moved,
                entry.buckets(),
                entry.depth(),
            ));
            passed.moved += 1;
        }
        passed
    }

    /// The slot of a key with this hash, whichever if there are several.
    pub(crate) fn find_hash(&self, slab: &Slab, hash: u64, rehash: Rehash) -> Option<Found> {
        let segment = self.directory.get(self.place_of(hash))?.segment(slab);
        segment
            .slots_with(hash as u16)
            .find(|found| rehash.hash_of(slab, found.block) == hash)
    }
}

fn fetch_ahead(slab: &Slab, segment: Segment, number: usize, met_from: Option<u8>) {
    if number < segment.buckets() {
        let is_met = |access: Access| met_from.is_some_and(|from| access.size_class() >= from);
        segment
            .bucket(number)
            .slots()
            .filter(|slot| is_met(slot.access) || slab.is_evacuating(slot.block))
            .for_each(|slot| slab.prefetch(slot.block));
    }
}

/// Moves what a bucket refers to, all of it unless what `met` does costs more than the budget. Then
/// it is not done, and what was moved will not be moved again.
fn evacuate_bucket<F: FnMut(&mut Slab, BlockRef, BlockRef) -> usize>(
    slab: &mut Slab,
    mut segment: Segment,
    number: usize,
    budget_slots: usize,
    mut met: Option<(&mut F, u8)>,
) -> (Passed, bool) {
    let slots = segment.bucket(number).len();
    let mut passed = Passed {
        seen: slots,
        moved: 0,
        // A bucket is a look at memory even if nothing is in it.
        cost_slots: slots.max(1),
    };
    for lane in 0..slots {
        let old = segment.bucket(number).blocks[lane];
        let mut new = old;
        if slab.is_evacuating(old) {
            new = slab.relocate(old);
            segment.bucket_mut(number).blocks[lane] = new;
            passed.moved += 1;
        }
        if let Some((met, from)) = &mut met
            && segment.bucket(number).access[lane].size_class() >= *from
        {
            let cost_slots = met(slab, old, new);
            passed.cost_slots += cost_slots;
            if cost_slots > budget_slots {
                return (passed, lane + 1 == slots);
            }
        }
    }
    (passed, true)
}
