//! Owns one segment of the index: up to 128 buckets in chunks of eight, and its header.
//! Never happens here: a look at a key, except through the caller's closure; the directory.
//! Source: bucketised linear probing with deletion by backward shift (Knuth 6.4, algorithm R).
//!
//! A slot's home bucket is `tag * buckets >> 16`: it follows from the tag and grows with it, so a
//! segment takes another size without reading a key. A slot sits in the first bucket, from its
//! home on and around the end, that had room: every bucket it passed is full. A look-up may
//! therefore stop at the first bucket that is not.

use crate::slab::{BlockRef, Slab, prefetch};
use crate::value::Millis;

use super::bucket::{Bucket, LANES, Slot};

/// The most buckets a segment has; it splits rather than grow further.
pub(crate) const BUCKETS_MAX: usize = 128;
/// Buckets in a chunk. A segment of fewer is one smaller chunk.
const CHUNK_BUCKETS: usize = 8;
const CHUNKS_MAX: usize = BUCKETS_MAX / CHUNK_BUCKETS;
const BUCKET_BYTES: usize = size_of::<Bucket>();
/// Bytes of a segment's header.
pub(crate) const HEADER_BYTES: usize = size_of::<Header>();

/// A segment of so many buckets holds at most 59/64 of its slots, about 92 %.
pub(super) const fn slots_max(buckets: usize) -> usize {
    buckets * LANES * 59 / 64
}

/// The buckets a segment of so many slots should have: room for a sixteenth more.
pub(super) fn buckets_for(slots: usize) -> usize {
    let buckets = ((slots + slots / 16) * 64).div_ceil(59 * LANES).max(1);
    round_up(buckets).min(BUCKETS_MAX)
}

/// The next larger size of a segment.
pub(super) fn buckets_after(buckets: usize) -> usize {
    debug_assert!(buckets < BUCKETS_MAX);
    round_up(buckets + 1)
}

fn round_up(buckets: usize) -> usize {
    if buckets < CHUNK_BUCKETS {
        buckets.next_power_of_two()
    } else {
        buckets.next_multiple_of(CHUNK_BUCKETS)
    }
}

/// Bytes of the chunks of a segment of so many buckets.
pub(super) fn chunk_bytes(buckets: usize) -> usize {
    buckets * BUCKET_BYTES
}

/// First a line that every look-up reads, then one that changes read.
#[repr(C, align(64))]
struct Header {
    chunks: [BlockRef; CHUNKS_MAX],
    /// When the segment next deserves a sweep for expired keys.
    sweep_at: Millis,
    len: u16,
}

const _: () = assert!(size_of::<Header>() == 128);

/// A segment as long as nothing moves it: the caller got it from the directory just now.
#[derive(Clone, Copy)]
pub(super) struct Segment {
    header: *mut Header,
    base: *mut u8,
    buckets: usize,
}

/// A place in a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    pub(super) bucket: usize,
    pub(super) lane: usize,
}

impl Segment {
    /// The segment whose header is in `block`.
    #[inline(always)]
    pub(super) fn at(slab: &Slab, block: BlockRef, buckets: usize) -> Segment {
        Segment { header: slab.pointer(block).cast::<Header>(), base: slab.base(), buckets }
    }

    /// Makes an empty segment; returns the block of its header.
    pub(super) fn create(slab: &mut Slab, buckets: usize) -> BlockRef {
        let block = slab.alloc(HEADER_BYTES);
        let header = Header {
            chunks: [BlockRef::NONE; CHUNKS_MAX],
            sweep_at: Millis(i64::MAX),
            len: 0,
        };
        // SAFETY: the block is fresh, large enough, and 64-byte aligned as all blocks of 128
        // bytes are.
        unsafe { slab.pointer(block).cast::<Header>().write(header) };
        let mut segment = Segment::at(slab, block, 0);
        segment.set_buckets(slab, buckets);
        block
    }

    /// Frees the segment; what its slots refer to is the caller's.
    pub(super) fn destroy(mut self, slab: &mut Slab, block: BlockRef) {
        self.set_buckets(slab, 0);
        slab.free(block);
    }

    /// Slots taken.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        usize::from(self.header().len)
    }

    /// How many buckets the segment has.
    pub(super) fn buckets(&self) -> usize {
        self.buckets
    }

    /// When to look for expired keys here.
    pub(super) fn sweep_at(&self) -> Millis {
        self.header().sweep_at
    }

    pub(super) fn set_sweep_at(&mut self, at: Millis) {
        self.header_mut().sweep_at = at;
    }

    #[inline(always)]
    fn header(&self) -> &Header {
        // SAFETY: the directory names live segments only, and the shard is one thread's; no
        // mutable borrow of a header outlives the statement it is made in.
        unsafe { &*self.header }
    }

    #[inline(always)]
    fn header_mut(&mut self) -> &mut Header {
        // SAFETY: as in `header`.
        unsafe { &mut *self.header }
    }

    /// The first bucket a slot of this tag may be in.
    #[inline(always)]
    pub(super) fn home(&self, tag: u16) -> usize {
        (usize::from(tag) * self.buckets) >> 16
    }

    /// The smallest tag whose home is `bucket`; 65,536 past the last bucket.
    pub(super) fn first_tag(&self, bucket: usize) -> usize {
        (bucket << 16).div_ceil(self.buckets)
    }

    /// The bucket after this one, around the end.
    #[inline(always)]
    pub(super) fn after(&self, bucket: usize) -> usize {
        if bucket + 1 == self.buckets { 0 } else { bucket + 1 }
    }

    /// How far `bucket` lies from `home`, around the end.
    fn distance(&self, home: usize, bucket: usize) -> usize {
        if bucket >= home { bucket - home } else { bucket + self.buckets - home }
    }

    #[inline(always)]
    fn bucket_pointer(&self, number: usize) -> *mut Bucket {
        debug_assert!(number < self.buckets);
        // SAFETY: the header's chunks are live blocks, one for every eight of the segment's
        // buckets; the slab's base and references span its region.
        unsafe {
            let chunk = (*self.header).chunks[number / CHUNK_BUCKETS];
            chunk.pointer_from(self.base).cast::<Bucket>().add(number % CHUNK_BUCKETS)
        }
    }

    #[inline(always)]
    pub(super) fn bucket(&self, number: usize) -> &Bucket {
        // SAFETY: buckets of a live segment are initialised, and no mutable borrow of one
        // outlives the statement it is made in.
        unsafe { &*self.bucket_pointer(number) }
    }

    #[inline(always)]
    pub(super) fn bucket_mut(&mut self, number: usize) -> &mut Bucket {
        // SAFETY: as in `bucket`.
        unsafe { &mut *self.bucket_pointer(number) }
    }

    /// Fetches the bucket where a tag's search begins.
    #[inline(always)]
    pub(super) fn prefetch_home(&self, tag: u16) {
        prefetch(self.bucket_pointer(self.home(tag)).cast::<u8>());
    }

    /// Fetches what a tag's search meets after its first bucket: an entry, or another bucket.
    #[inline(always)]
    pub(super) fn prefetch_after(&self, slab: &Slab, tag: u16) {
        let home = self.home(tag);
        let bucket = self.bucket(home);
        match bucket.lanes_with(tag).next() {
            Some(lane) if !bucket.blocks[lane].is_none() => slab.prefetch(bucket.blocks[lane]),
            _ if bucket.is_full() => {
                prefetch(self.bucket_pointer(self.after(home)).cast::<u8>());
            }
            _ => {}
        }
    }

    /// The slot with this tag whose block is the wanted one.
    #[inline(always)]
    pub(super) fn find(
        &self,
        tag: u16,
        is_wanted: impl Fn(BlockRef) -> bool,
    ) -> Option<(Position, BlockRef)> {
        let mut number = self.home(tag);
        loop {
            let bucket = self.bucket(number);
            for lane in bucket.lanes_with(tag) {
                let block = bucket.blocks[lane];
                if !block.is_none() && is_wanted(block) {
                    return Some((Position { bucket: number, lane }, block));
                }
            }
            if !bucket.is_full() {
                return None;
            }
            number = self.after(number);
        }
    }

    /// Puts a slot where a search for it will come by. At least two lanes must be free: one for
    /// it, one to end searches.
    #[inline]
    pub(super) fn insert(&mut self, slot: Slot) {
        debug_assert!(self.len() + 1 < self.buckets * LANES);
        let mut number = self.home(slot.tag);
        while self.bucket(number).is_full() {
            number = self.after(number);
        }
        let bucket = self.bucket_mut(number);
        bucket.put(bucket.len(), slot);
        self.header_mut().len += 1;
    }

    /// Takes a slot out, and closes the gap it leaves in the way of others.
    pub(super) fn remove(&mut self, position: Position) {
        let Position { bucket: mut number, mut lane } = position;
        self.header_mut().len -= 1;
        loop {
            let was_full = self.bucket(number).is_full();
            self.bucket_mut(number).take(lane);
            if !was_full {
                return;
            }
            let Some(from) = self.straggler(number) else {
                return;
            };
            let slot = self.bucket(from.bucket).slot(from.lane);
            self.bucket_mut(number).put(LANES - 1, slot);
            (number, lane) = (from.bucket, from.lane);
        }
    }

    /// The nearest slot behind `hole` that passed by it when it was full.
    fn straggler(&self, hole: usize) -> Option<Position> {
        let mut number = self.after(hole);
        while number != hole {
            let bucket = self.bucket(number);
            let passed = self.distance(hole, number);
            for (lane, slot) in bucket.slots().enumerate() {
                if self.distance(self.home(slot.tag), number) >= passed {
                    return Some(Position { bucket: number, lane });
                }
            }
            if !bucket.is_full() {
                return None;
            }
            number = self.after(number);
        }
        None
    }

    /// Gives the segment another number of buckets and empties them all.
    pub(super) fn set_buckets(&mut self, slab: &mut Slab, buckets: usize) {
        let (old, new) = (chunk_sizes(self.buckets), chunk_sizes(buckets));
        for number in 0..CHUNKS_MAX {
            if old[number] == new[number] {
                continue;
            }
            if old[number] > 0 {
                slab.free(self.header().chunks[number]);
                self.header_mut().chunks[number] = BlockRef::NONE;
            }
            if new[number] > 0 {
                let chunk = slab.alloc(new[number]);
                self.header_mut().chunks[number] = chunk;
            }
        }
        self.buckets = buckets;
        self.header_mut().len = 0;
        for number in 0..buckets {
            // SAFETY: the bucket lies in a chunk that was just made sure of; it is written, not
            // read, so it need not be initialised.
            unsafe { self.bucket_pointer(number).write(Bucket::EMPTY) };
        }
    }

    /// Fills an emptied segment with slots.
    pub(super) fn fill(&mut self, slots: impl Iterator<Item = Slot>) {
        let mut lens = [0u8; BUCKETS_MAX];
        let mut count = 0;
        for slot in slots {
            let mut number = self.home(slot.tag);
            while usize::from(lens[number]) == LANES {
                number = self.after(number);
            }
            self.bucket_mut(number).put(usize::from(lens[number]), slot);
            lens[number] += 1;
            count += 1;
        }
        debug_assert!(count < self.buckets * LANES);
        self.header_mut().len += count as u16;
    }

    /// The blocks the segment itself consists of, but for its header, to look at or move.
    pub(super) fn chunks_mut(&mut self) -> &mut [BlockRef] {
        let chunks = self.buckets.div_ceil(CHUNK_BUCKETS);
        &mut self.header_mut().chunks[..chunks]
    }
}

/// Bytes of each chunk of a segment of so many buckets.
fn chunk_sizes(buckets: usize) -> [usize; CHUNKS_MAX] {
    std::array::from_fn(|number| {
        chunk_bytes(buckets.saturating_sub(number * CHUNK_BUCKETS).min(CHUNK_BUCKETS))
    })
}

/// A copy of a segment's buckets, to fill segments from.
pub(super) struct Snapshot {
    buckets: [Bucket; BUCKETS_MAX],
    taken: usize,
}

impl Snapshot {
    pub(super) fn of(segment: &Segment) -> Snapshot {
        let mut snapshot = Snapshot { buckets: [Bucket::EMPTY; BUCKETS_MAX], taken: segment.buckets };
        for number in 0..segment.buckets {
            snapshot.buckets[number] = *segment.bucket(number);
        }
        snapshot
    }

    /// The copied slots, nearly in the order of their tags.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.buckets[..self.taken].iter().flat_map(Bucket::slots)
    }

    /// Asks of every slot whether it belongs in the second of two segments; entries are
    /// prefetched ahead of the question.
    pub(super) fn divide(&self, slab: &Slab, mut is_second: impl FnMut(Slot) -> bool) -> Division {
        let mut division = Division { marks: [0; BUCKETS_MAX], second: 0 };
        let buckets = &self.buckets[..self.taken];
        for (number, bucket) in buckets.iter().enumerate() {
            // Two buckets ahead are enough to hide the way to memory behind sixteen questions.
            if let Some(ahead) = buckets.get(number + 2) {
                ahead.slots().for_each(|slot| slab.prefetch(slot.block));
            }
            for (lane, slot) in bucket.slots().enumerate() {
                let mark = is_second(slot);
                division.marks[number] |= u8::from(mark) << lane;
                division.second += usize::from(mark);
            }
        }
        division
    }

    /// The slots on one side of a division.
    pub(super) fn side<'a>(
        &'a self,
        division: &'a Division,
        second: bool,
    ) -> impl Iterator<Item = Slot> + 'a {
        let buckets = self.buckets[..self.taken].iter().zip(division.marks);
        buckets.flat_map(move |(bucket, marks)| {
            let wanted = move |lane: usize| (marks >> lane & 1 == 1) == second;
            bucket.slots().enumerate().filter(move |(lane, _)| wanted(*lane)).map(|(_, slot)| slot)
        })
    }
}

/// Which slots of a snapshot belong in the second of two segments.
pub(super) struct Division {
    marks: [u8; BUCKETS_MAX],
    /// How many do.
    pub(super) second: usize,
}
