//! Owns the index of one database: from a key's hash to the block of its entry, and its metadata.
//! Never happens here: the content of an entry beyond its key; time; counting of entries' bytes.
//! Source: extendible hashing (Fagin et al. 1979) over segments of tag buckets.
//!
//! The upper bits of a hash choose a directory entry and with it a segment, the lower sixteen are
//! the tag that chooses a bucket and is compared there. An empty index owns nothing at all.

mod bucket;
mod cursor;
mod evacuate;
mod resize;
mod segment;
mod walk;

pub(crate) use bucket::Slot;
pub(crate) use cursor::{CURSOR_BITS, Cursor};
pub(crate) use evacuate::{Passage, Passed};
pub(crate) use segment::Found;
pub use walk::Place;

use crate::access::Access;
use crate::entry::Entry;
use crate::hasher::{Hasher, Key};
use crate::slab::{BlockRef, Slab};
use crate::value::Millis;

use bucket::LANES;
use segment::{BUCKETS_MAX, HEADER_BYTES, Segment, chunk_bytes, slots_max};

/// The directory has at most 2^22 entries: four million segments, beyond what a shard's blocks
/// can fill.
pub(crate) const DEPTH_MAX: u32 = 22;

/// One past the last prefix.
pub(crate) const PREFIX_END: u32 = 1 << DEPTH_MAX;

/// Where a segment is, how large, and how many bits of the hash its keys share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct DirectoryEntry(u64);

impl DirectoryEntry {
    fn new(block: BlockRef, buckets: usize, depth: u32) -> DirectoryEntry {
        debug_assert!(buckets <= BUCKETS_MAX && depth <= DEPTH_MAX);
        let bits = (buckets as u64) << 32 | u64::from(depth) << 48;
        DirectoryEntry(bits | u64::from(block.to_bits()))
    }

    #[inline(always)]
    fn block(self) -> BlockRef {
        BlockRef::from_bits(self.0 as u32)
    }

    #[inline(always)]
    fn buckets(self) -> usize {
        usize::from((self.0 >> 32) as u16)
    }

    #[inline(always)]
    fn depth(self) -> u32 {
        (self.0 >> 48) as u32
    }

    #[inline(always)]
    fn segment(self, slab: &Slab) -> Segment {
        Segment::at(slab, self.block(), self.buckets())
    }
}

/// What the index must know to place an entry anew when a segment splits.
#[derive(Clone, Copy)]
pub(crate) struct Rehash<'a> {
    pub(crate) hasher: &'a Hasher,
    pub(crate) base: Millis,
}

impl Rehash<'_> {
    pub(crate) fn hash_of(&self, slab: &Slab, block: BlockRef) -> u64 {
        let entry = Entry::at(slab, block, self.base);
        entry
            .stored_hash()
            .unwrap_or_else(|| self.hasher.hash(entry.key()))
    }
}

/// The index of one database.
#[derive(Debug, Default)]
pub(crate) struct Index {
    directory: Vec<DirectoryEntry>,
    /// Bits of the hash that choose a directory entry.
    depth: u32,
    /// Segments that use all of those bits; without any the directory can be halved.
    deepest_segments: usize,
    len: usize,
    /// Bytes of the segments, headers included.
    segment_bytes: u64,
}

impl Index {
    /// Keys in the index.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of directory and segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.segment_bytes + self.directory_bytes()
    }

    /// As [`Index::bytes`], with the directory as the allocator rounds it.
    #[inline]
    pub(crate) fn table_bytes(&self) -> u64 {
        self.segment_bytes + crate::collections::heap_bytes(self.directory_bytes() as usize)
    }

    /// Bytes of the directory, the one part outside the slab.
    pub(crate) fn directory_bytes(&self) -> u64 {
        (self.directory.capacity() * size_of::<DirectoryEntry>()) as u64
    }

    #[inline(always)]
    fn place_of(&self, hash: u64) -> usize {
        // Shifting by 64 is not a shift; by one and then by 63 is.
        ((hash >> 1) >> (63 - self.depth)) as usize
    }

    /// Finds a key.
    #[inline(always)]
    #[expect(
        clippy::manual_find,
        reason = "what `Iterator::find` makes of this is not inlined"
    )]
    pub(crate) fn find(&self, slab: &Slab, key: Key, base: Millis) -> Option<Found> {
        let entry = *self.directory.get(self.place_of(key.hash))?;
        for found in entry.segment(slab).slots_with(key.hash as u16) {
            if Entry::at(slab, found.block, base).is_of(key.bytes) {
                return Some(found);
            }
        }
        None
    }

    /// Hints the processor to fetch the bucket this hash belongs in.
    #[inline(always)]
    pub(crate) fn prefetch_bucket(&self, slab: &Slab, hash: u64) {
        if let Some(entry) = self.directory.get(self.place_of(hash)) {
            entry.segment(slab).prefetch_home(hash as u16);
        }
    }

    /// Hints the processor to fetch what a search for this hash meets after its first bucket: the
    /// entry it may belong to, or the next bucket. Reads the first one.
    #[inline(always)]
    pub(crate) fn prefetch_entry(&self, slab: &Slab, hash: u64) {
        if let Some(entry) = self.directory.get(self.place_of(hash)) {
            entry.segment(slab).prefetch_after(slab, hash as u16);
        }
    }

    /// Adds a key that is not there yet; `sweep_at` is when its segment should be swept for it.
    pub(crate) fn insert(
        &mut self,
        slab: &mut Slab,
        hash: u64,
        block: BlockRef,
        access: Access,
        sweep_at: Option<Millis>,
        rehash: Rehash,
    ) {
        if self.directory.is_empty() {
            self.plant(slab);
        }
        let mut segment = self.segment_with_room(slab, hash, rehash);
        segment.insert(Slot {
            tag: hash as u16,
            access,
            block,
        });
        if let Some(at) = sweep_at {
            segment.set_sweep_at(segment.sweep_at().min(at));
        }
        self.len += 1;
    }

    fn segment_with_room(&mut self, slab: &mut Slab, hash: u64, rehash: Rehash) -> Segment {
        loop {
            let place = self.place_of(hash);
            let entry = self.directory[place];
            let segment = entry.segment(slab);
            if segment.len() < slots_max(entry.buckets()) {
                return segment;
            }
            if entry.buckets() < BUCKETS_MAX {
                self.grow(slab, place);
            } else if entry.depth() < DEPTH_MAX {
                self.split(slab, place, rehash);
            } else {
                // Seeded hashes do not get here: it takes a billion keys, or as many collisions.
                assert!(
                    segment.len() + 2 <= BUCKETS_MAX * LANES,
                    "an index without room"
                );
                return segment;
            }
        }
    }

    /// Takes a found key out.
    pub(crate) fn remove(&mut self, slab: &mut Slab, hash: u64, found: Found) {
        found.remove();
        self.len -= 1;
        self.settle(slab, hash);
    }

    /// Has the segment of this hash swept for expired keys no later than at `at`.
    pub(crate) fn sweep_by(&mut self, slab: &Slab, hash: u64, at: Millis) {
        let mut segment = self.directory[self.place_of(hash)].segment(slab);
        segment.set_sweep_at(segment.sweep_at().min(at));
    }
}
