//! Owns walks over an index, segment by segment: sweeping, sampling, checking, taking down.
//! Never happens here: state between steps; a prefix of the hash says where a walk goes on.
//! Source: as the SCAN cursor, without its tags.
#![forbid(unsafe_code)]

use crate::access::AccessClock;
use crate::random::Rng;
use crate::slab::Slab;
use crate::value::Millis;

use super::segment::Division;
use super::*;

/// Where a walk in steps stands, which begins at the default place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Place {
    prefix: u32,
    /// Of the segment of that prefix.
    slot: usize,
}

/// The number of a slot of the segment that begins at a place of the directory.
fn spot(place: usize, slot: usize) -> u64 {
    ((place as u64) << u32::BITS) | slot as u64
}

impl Index {
    /// The directory entry where the segment of `prefix` begins, and the prefix after it.
    /// `None` for an empty index.
    pub(crate) fn segment_at(&self, prefix: u32) -> Option<(usize, u32)> {
        debug_assert!(prefix < PREFIX_END);
        let shift = DEPTH_MAX - self.depth;
        let place = (prefix >> shift) as usize;
        if place >= self.directory.len() {
            return None;
        }
        let (start, span) = self.extent(place);
        Some((start, ((start + span) as u32) << shift))
    }

    /// When the segment at a place wants to be swept.
    pub(crate) fn sweep_at(&self, slab: &Slab, place: usize) -> Millis {
        self.directory[place].segment(slab).sweep_at()
    }

    /// Keys in the segment at a place.
    pub(crate) fn segment_len(&self, slab: &Slab, place: usize) -> usize {
        self.directory[place].segment(slab).len()
    }

    /// Asks of every key in the segment at `place` whether it must go; the entries are fetched
    /// ahead.
    pub(crate) fn divide(
        &self,
        slab: &Slab,
        place: usize,
        mut must_go: impl FnMut(BlockRef) -> bool,
    ) -> Division {
        self.directory[place]
            .segment(slab)
            .divide(slab, |slot| must_go(slot.block))
    }

    /// Takes out of the segment at `place` what was said must go, hands it to `doom`, and notes
    /// when the segment should be swept next. Returns how many keys went.
    pub(crate) fn take_out(
        &mut self,
        slab: &mut Slab,
        place: usize,
        division: &Division,
        sweep_at: Millis,
        mut doom: impl FnMut(&mut Slab, BlockRef),
    ) -> usize {
        let mut segment = self.directory[place].segment(slab);
        segment.set_sweep_at(sweep_at);
        if division.second > 0 {
            segment
                .side(division, true)
                .for_each(|slot| doom(slab, slot.block));
            self.retain(slab, place, division);
        }
        division.second
    }

    /// Pins the metadata of a segment's keys, so that old ones do not come to look young.
    pub(crate) fn pin_access(&mut self, slab: &Slab, place: usize, clock: &AccessClock) -> usize {
        let mut segment = self.directory[place].segment(slab);
        for number in 0..segment.buckets() {
            for access in &mut segment.bucket_mut(number).access {
                *access = clock.pinned(*access);
            }
        }
        segment.len()
    }

    /// Takes the last segment of an index down and hands its blocks to `doom`. Afterwards the
    /// index serves nothing but further calls of this. Returns how many keys went, `None` at the end.
    pub(crate) fn fell(
        &mut self,
        slab: &mut Slab,
        mut doom: impl FnMut(&mut Slab, BlockRef),
    ) -> Option<usize> {
        let entry = *self.directory.last()?;
        let segment = entry.segment(slab);
        let len = segment.len();
        segment.slots().for_each(|slot| slab.prefetch(slot.block));
        segment.slots().for_each(|slot| doom(slab, slot.block));
        let (start, _) = self.extent(self.directory.len() - 1);
        self.directory.truncate(start);
        self.destroy_segment(slab, entry);
        self.len -= len;
        if start == 0 {
            *self = Index::default();
        }
        Some(len)
    }

    /// A slot picked at random, each as likely as another; `None` if the index is empty. Only in
    /// an index so sparse that a thousand picks hit nothing are the first slots likelier.
    pub(crate) fn random_slot(&self, slab: &Slab, rng: &mut Rng) -> Option<Slot> {
        Some(self.random_spot(slab, rng)?.1)
    }

    /// As [`Index::random_slot`], and with the slot a number that no other has, and that it keeps as long as no key comes
    /// or goes, wherever its entry moves.
    pub(crate) fn random_spot(&self, slab: &Slab, rng: &mut Rng) -> Option<(u64, Slot)> {
        const TRIES: usize = 1000;
        if self.directory.is_empty() {
            return None;
        }
        // A pick outside of a smaller segment is rejected, and so is all but one of the places of
        // a segment that several share: no slot is likelier for lying in a sparser part.
        let buckets_max = if self.directory.len() == 1 {
            self.directory[0].buckets()
        } else {
            BUCKETS_MAX
        };
        for _ in 0..TRIES {
            let place = rng.below(self.directory.len() as u64) as usize;
            let slot = rng.below((buckets_max * LANES) as u64) as usize;
            let (number, lane) = (slot / LANES, slot % LANES);
            let entry = self.directory[place];
            if number >= entry.buckets() || self.extent(place).0 != place {
                continue;
            }
            let segment = entry.segment(slab);
            let bucket = segment.bucket(number);
            if lane < bucket.len() {
                return Some((spot(place, slot), bucket.slot(lane)));
            }
        }
        let firsts = self.segments(slab).flat_map(|(place, segment)| {
            (0..segment.buckets()).map(move |number| (place, number, segment))
        });
        let mut taken = firsts.filter(|(_, number, segment)| segment.bucket(*number).len() > 0);
        let (place, number, segment) = taken.next()?;
        Some((spot(place, number * LANES), segment.bucket(number).slot(0)))
    }

    /// The directory place where a segment picked at random begins. The index is not empty.
    pub(crate) fn random_place(&self, rng: &mut Rng) -> usize {
        self.extent(rng.below(self.directory.len() as u64) as usize)
            .0
    }

    /// Shows the slots of the segment at a place, all around from the bucket that `draw` chooses,
    /// until `take` has enough. With `entries`, the entries are fetched ahead.
    pub(crate) fn slots_from(
        &self,
        slab: &Slab,
        place: usize,
        draw: u64,
        entries: bool,
        mut take: impl FnMut(Slot) -> bool,
    ) {
        let segment = self.directory[place].segment(slab);
        let start = draw as usize % segment.buckets();
        let mut number = start;
        loop {
            let next = segment.after(number);
            let bucket = segment.bucket(number);
            if entries {
                let ahead = segment.bucket(next).slots();
                ahead.for_each(|slot| slab.prefetch(slot.block));
            }
            if !bucket.slots().all(&mut take) || next == start {
                return;
            }
            number = next;
        }
    }

    /// The metadata of the key whose entry is `block`, if the hash leads to it.
    pub(crate) fn find_block(&self, slab: &Slab, hash: u64, block: BlockRef) -> Option<Found> {
        let segment = self.directory.get(self.place_of(hash))?.segment(slab);
        segment
            .slots_with(hash as u16)
            .find(|found| found.block == block)
    }

    /// The key with this hash whose block is the one looked for.
    pub(crate) fn find_where(
        &self,
        slab: &Slab,
        hash: u64,
        is_it: impl Fn(BlockRef) -> bool,
    ) -> Option<Found> {
        let segment = self.directory.get(self.place_of(hash))?.segment(slab);
        segment
            .slots_with(hash as u16)
            .find(|found| is_it(found.block))
    }

    /// Shows slots from a place on, as long as `visit` says so; their entries are fetched ahead.
    /// Returns where to go on, which holds as long as no key comes or goes, or `None` at the end.
    pub(crate) fn walk(
        &self,
        slab: &Slab,
        mut at: Place,
        mut visit: impl FnMut(Slot) -> bool,
    ) -> Option<Place> {
        while at.prefix < PREFIX_END {
            let (place, next) = self.segment_at(at.prefix)?;
            let segment = self.directory[place].segment(slab);
            if let Some(slot) = segment.each_while(slab, at.slot, &mut visit) {
                return Some(Place { slot, ..at });
            }
            at = Place {
                prefix: next,
                slot: 0,
            };
        }
        None
    }

    /// Every slot.
    pub(crate) fn slots<'a>(&'a self, slab: &'a Slab) -> impl Iterator<Item = Slot> + 'a {
        self.segments(slab)
            .flat_map(|(_, segment)| segment.slots().collect::<Vec<_>>())
    }

    /// Every segment with the directory place where it begins.
    fn segments<'a>(&'a self, slab: &'a Slab) -> impl Iterator<Item = (usize, Segment)> + 'a {
        let begins = |place: &usize| self.extent(*place).0 == *place;
        (0..self.directory.len())
            .filter(begins)
            .map(|place| (place, self.directory[place].segment(slab)))
    }

    /// Asserts everything an index promises itself; reads every key.
    pub(crate) fn check(&self, slab: &Slab, rehash: Rehash) {
        let (mut len, mut bytes, mut deepest) = (0, 0, 0);
        for (place, segment) in self.segments(slab) {
            let entry = self.directory[place];
            let (start, span) = self.extent(place);
            assert!(
                self.directory[start..start + span]
                    .iter()
                    .all(|other| *other == entry)
            );
            deepest += usize::from(entry.depth() == self.depth);
            bytes += (HEADER_BYTES + chunk_bytes(entry.buckets())) as u64;
            let mut slots = 0;
            for number in 0..segment.buckets() {
                let bucket = segment.bucket(number);
                let taken = bucket.len();
                assert!(bucket.blocks[taken..].iter().all(|block| block.is_none()));
                slots += taken;
                for slot in bucket.slots() {
                    let hash = rehash.hash_of(slab, slot.block);
                    assert_eq!(hash as u16, slot.tag, "a slot has its key's tag");
                    assert_eq!(
                        self.extent(self.place_of(hash)).0,
                        place,
                        "a key is in its segment"
                    );
                    let mut passed = segment.home(slot.tag);
                    while passed != number {
                        assert!(
                            segment.bucket(passed).is_full(),
                            "a slot passed a bucket with room"
                        );
                        passed = segment.after(passed);
                    }
                }
            }
            assert_eq!(slots, segment.len());
            assert!(slots <= slots_max(segment.buckets()));
            len += slots;
        }
        assert_eq!(len, self.len);
        assert_eq!(bytes, self.segment_bytes);
        assert_eq!(deepest, self.deepest_segments);
        assert!(
            self.directory.is_empty() || deepest > 0,
            "a directory is no deeper than it needs"
        );
        assert_eq!(
            self.directory.is_empty(),
            self.len == 0,
            "an empty index owns nothing"
        );
    }
}
