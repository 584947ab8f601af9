//! Owns one segment of the index: up to 128 buckets in chunks of sixteen, and its header.
//! Never happens here: a look at a key, except through the caller's closure; the directory.
//! Source: bucketised linear probing with deletion by backward shift (Knuth 6.4, algorithm R).
//!
//! A slot's home bucket is `tag * buckets >> 16`: it follows from the tag and grows with it, so a
//! segment takes another size without reading a key. A slot sits in the first bucket, from its
//! home on and around the end, that had room: every bucket it passed is full. A look-up may
//! therefore stop at the first bucket that is not.

use std::mem::MaybeUninit;

use crate::access::Access;
use crate::slab::{BlockRef, Slab, prefetch};
use crate::value::Millis;

use super::bucket::{Bucket, LANES, Lanes, Slot};

/// The most buckets a segment has; it splits rather than grow further.
pub(crate) const BUCKETS_MAX: usize = 128;
/// Buckets in a chunk, the step by which a segment grows. Half of it would save 0.3 bytes a key and
/// lay slots out twice as often. A segment of fewer buckets is one smaller chunk.
const CHUNK_BUCKETS: usize = 16;
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

/// One cache line.
#[repr(C, align(64))]
struct Header {
    chunks: [BlockRef; CHUNKS_MAX],
    /// When the segment next deserves a sweep for expired keys.
    sweep_at: Millis,
    len: u16,
}

const _: () = assert!(size_of::<Header>() == 64);

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
    pub(super) number: usize,
    pub(super) lane: usize,
}

/// A slot that was found: where it is, and the block of its entry.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    segment: Segment,
    bucket: *mut Bucket,
    position: Position,
    pub(crate) block: BlockRef,
}

impl Found {
    /// Its access metadata.
    #[inline(always)]
    pub(crate) fn access(&self) -> Access {
        // SAFETY: a find is used before its index changes, so the bucket is where it was; no
        // borrow of a bucket outlives the statement it is made in.
        unsafe { (&(*self.bucket).access)[self.position.lane] }
    }

    /// Replaces its access metadata.
    #[inline(always)]
    pub(crate) fn set_access(&self, access: Access) {
        // SAFETY: as in `access`.
        unsafe { (&mut (*self.bucket).access)[self.position.lane] = access };
    }

    /// Replaces its block.
    #[inline(always)]
    pub(crate) fn set_block(&self, block: BlockRef) {
        // SAFETY: as in `access`.
        unsafe { (&mut (*self.bucket).blocks)[self.position.lane] = block };
    }

    /// Takes it out of its segment.
    pub(super) fn remove(mut self) {
        self.segment.remove(self.position);
    }
}

impl Segment {
    /// The segment whose header is in `block`.
    #[inline(always)]
    pub(super) fn at(slab: &Slab, block: BlockRef, buckets: usize) -> Segment {
        Segment {
            header: slab.pointer(block).cast::<Header>(),
            base: slab.base(),
            buckets,
        }
    }

    /// Makes a segment of what the layout holds; returns the block of its header.
    pub(super) fn create(slab: &mut Slab, layout: &Layout) -> BlockRef {
        let block = slab.alloc(HEADER_BYTES);
        let header = Header {
            chunks: [BlockRef::NONE; CHUNKS_MAX],
            sweep_at: Millis(i64::MAX),
            len: 0,
        };
        // SAFETY: the block is fresh, large enough, and 64-byte aligned as all blocks of 64 bytes
        // are.
        unsafe { slab.pointer(block).cast::<Header>().write(header) };
        let mut segment = Segment::at(slab, block, 0);
        segment.adopt(slab, layout);
        block
    }

    /// Frees the segment; what its slots refer to is the caller's.
    pub(super) fn destroy(mut self, slab: &mut Slab, block: BlockRef) {
        self.set_chunks(slab, 0);
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
        if bucket + 1 == self.buckets {
            0
        } else {
            bucket + 1
        }
    }

    /// How far `bucket` lies from `home`, around the end.
    fn distance(&self, home: usize, bucket: usize) -> usize {
        if bucket >= home {
            bucket - home
        } else {
            bucket + self.buckets - home
        }
    }

    #[inline(always)]
    fn bucket_pointer(&self, number: usize) -> *mut Bucket {
        debug_assert!(number < self.buckets);
        // SAFETY: the header's chunks are live blocks, one for every eight of the segment's
        // buckets; the slab's base and references span its region.
        unsafe {
            let chunks = &raw const (*self.header).chunks;
            let chunk = *chunks.cast::<BlockRef>().add(number / CHUNK_BUCKETS);
            chunk
                .pointer_from(self.base)
                .cast::<Bucket>()
                .add(number % CHUNK_BUCKETS)
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

    /// The slots with this tag, in the order of a search.
    #[inline(always)]
    pub(super) fn slots_with(self, tag: u16) -> SlotsWith {
        let number = self.home(tag);
        let bucket = self.bucket_pointer(number);
        SlotsWith {
            segment: self,
            tag,
            number,
            bucket,
            lanes: self.bucket(number).lanes_with(tag),
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
        let Position {
            mut number,
            mut lane,
        } = position;
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
            let slot = self.bucket(from.number).slot(from.lane);
            self.bucket_mut(number).put(LANES - 1, slot);
            (number, lane) = (from.number, from.lane);
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
                    return Some(Position { number, lane });
                }
            }
            if !bucket.is_full() {
                return None;
            }
            number = self.after(number);
        }
        None
    }

    /// Replaces what the segment holds, and its size, by a layout.
    pub(super) fn adopt(&mut self, slab: &mut Slab, layout: &Layout) {
        self.set_chunks(slab, layout.buckets);
        for (number, bucket) in layout.image().iter().enumerate() {
            // SAFETY: the bucket lies in a chunk that was just made sure of; it is written, not
            // read, so it need not be initialised.
            unsafe { self.bucket_pointer(number).write(*bucket) };
        }
        self.header_mut().len = layout.len as u16;
    }

    /// Frees and allocates chunks until there are as many as so many buckets need.
    fn set_chunks(&mut self, slab: &mut Slab, buckets: usize) {
        for number in 0..CHUNKS_MAX {
            let (old, new) = (
                chunk_size(self.buckets, number),
                chunk_size(buckets, number),
            );
            if old == new {
                continue;
            }
            if old > 0 {
                slab.free(self.header().chunks[number]);
            }
            self.header_mut().chunks[number] = if new > 0 {
                slab.alloc(new)
            } else {
                BlockRef::NONE
            };
        }
        self.buckets = buckets;
    }

    /// Every slot, nearly in the order of their tags.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        (0..self.buckets).flat_map(|number| self.bucket(number).slots())
    }

    /// Shows slots in the order of [`Segment::slots`] from a place on, as long as `visit` says so; entries are prefetched
    /// ahead of it. Returns where to go on, unless it came to the end.
    #[inline]
    pub(super) fn each_while(
        &self,
        slab: &Slab,
        from: usize,
        mut visit: impl FnMut(Slot) -> bool,
    ) -> Option<usize> {
        let prefetch = |number: usize| {
            if number < self.buckets {
                let slots = self.bucket(number).slots();
                slots.for_each(|slot| slab.prefetch(slot.block));
            }
        };
        let (first, mut lane) = (from / LANES, from % LANES);
        prefetch(first);
        prefetch(first + 1);
        for number in first..self.buckets {
            prefetch(number + 2);
            for slot in self.bucket(number).slots().skip(lane) {
                lane += 1;
                if !visit(slot) {
                    return Some(number * LANES + lane);
                }
            }
            lane = 0;
        }
        None
    }

    /// Asks of every slot which of two sides it belongs to; entries are prefetched ahead of the
    /// question.
    pub(super) fn divide(&self, slab: &Slab, mut is_second: impl FnMut(Slot) -> bool) -> Division {
        let mut division = Division {
            marks: [0; BUCKETS_MAX],
            second: 0,
        };
        for number in 0..self.buckets {
            // Two buckets ahead are enough to hide the way to memory behind sixteen questions.
            if number + 2 < self.buckets {
                self.bucket(number + 2)
                    .slots()
                    .for_each(|slot| slab.prefetch(slot.block));
            }
            for (lane, slot) in self.bucket(number).slots().enumerate() {
                let mark = is_second(slot);
                division.marks[number] |= u8::from(mark) << lane;
                division.second += usize::from(mark);
            }
        }
        division
    }

    /// The slots on one side of a division that was made of this segment just now.
    pub(super) fn side<'a>(
        &'a self,
        division: &'a Division,
        second: bool,
    ) -> impl Iterator<Item = Slot> + 'a {
        (0..self.buckets).flat_map(move |number| {
            let wanted = move |lane: usize| (division.marks[number] >> lane & 1 == 1) == second;
            let slots = self.bucket(number).slots().enumerate();
            slots
                .filter(move |(lane, _)| wanted(*lane))
                .map(|(_, slot)| slot)
        })
    }

    /// The blocks the segment itself consists of, but for its header, to look at or move.
    pub(super) fn chunks_mut(&mut self) -> &mut [BlockRef] {
        let chunks = self.buckets.div_ceil(CHUNK_BUCKETS);
        &mut self.header_mut().chunks[..chunks]
    }
}

/// A search of a segment for a tag.
pub(super) struct SlotsWith {
    segment: Segment,
    tag: u16,
    number: usize,
    bucket: *mut Bucket,
    lanes: Lanes,
}

impl Iterator for SlotsWith {
    type Item = Found;

    #[inline(always)]
    fn next(&mut self) -> Option<Found> {
        loop {
            // SAFETY: the bucket is one of the segment's, which nothing changes during a search.
            let bucket = unsafe { &*self.bucket };
            for lane in self.lanes.by_ref() {
                let block = bucket.blocks[lane];
                if !block.is_none() {
                    let Self {
                        segment,
                        number,
                        bucket,
                        ..
                    } = *self;
                    let position = Position { number, lane };
                    return Some(Found {
                        segment,
                        bucket,
                        position,
                        block,
                    });
                }
            }
            if !bucket.is_full() {
                return None;
            }
            self.number = self.segment.after(self.number);
            self.bucket = self.segment.bucket_pointer(self.number);
            self.lanes = self.segment.bucket(self.number).lanes_with(self.tag);
        }
    }
}

/// Bytes of one chunk of a segment of so many buckets.
fn chunk_size(buckets: usize, chunk: usize) -> usize {
    chunk_bytes(
        buckets
            .saturating_sub(chunk * CHUNK_BUCKETS)
            .min(CHUNK_BUCKETS),
    )
}

/// Which side of two each slot of a segment belongs to.
pub(crate) struct Division {
    marks: [u8; BUCKETS_MAX],
    /// How many slots belong to the second side.
    pub(super) second: usize,
}

/// Slots laid out for a segment of some size, before it is theirs.
pub(super) struct Layout {
    /// Of these the first `buckets` are initialised.
    image: [MaybeUninit<Bucket>; BUCKETS_MAX],
    lens: [u8; BUCKETS_MAX],
    buckets: usize,
    len: usize,
}

impl Layout {
    /// A layout of so many buckets without slots.
    #[inline(always)]
    pub(super) fn new(buckets: usize) -> Layout {
        let mut image = [const { MaybeUninit::uninit() }; BUCKETS_MAX];
        image[..buckets].fill(MaybeUninit::new(Bucket::EMPTY));
        Layout {
            image,
            lens: [0; BUCKETS_MAX],
            buckets,
            len: 0,
        }
    }

    /// Adds slots, for which there is room.
    #[inline]
    pub(super) fn fill(&mut self, slots: impl Iterator<Item = Slot>) {
        slots.for_each(|slot| self.add(slot));
    }

    /// How many buckets it has.
    pub(super) fn buckets(&self) -> usize {
        self.buckets
    }

    fn image(&self) -> &[Bucket] {
        let image = &self.image[..self.buckets];
        // SAFETY: these were initialised when the layout was made.
        unsafe { &*(std::ptr::from_ref(image) as *const [Bucket]) }
    }

    #[inline(always)]
    fn add(&mut self, slot: Slot) {
        let mut number = (usize::from(slot.tag) * self.buckets) >> 16;
        while usize::from(self.lens[number]) == LANES {
            number = if number + 1 == self.buckets {
                0
            } else {
                number + 1
            };
        }
        // SAFETY: the number is below `buckets`, so the bucket was initialised.
        let bucket = unsafe { self.image[number].assume_init_mut() };
        bucket.put(usize::from(self.lens[number]), slot);
        self.lens[number] += 1;
        self.len += 1;
        debug_assert!(self.len < self.buckets * LANES);
    }
}
