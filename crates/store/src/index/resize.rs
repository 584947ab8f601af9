//! Owns how an index grows and shrinks: a segment takes another size, splits, merges with its buddy.
//! Never happens here: more work at a time than one segment of a thousand slots, or the directory.
//! Source: extendible hashing with buddy merging; segment sizes in steps keep tables 86 % full.

use super::segment::{Division, Layout, buckets_after, buckets_for};
use super::*;

/// Two buddies merge when together they fill at most three quarters of a segment's slots; a split
/// leaves 92 %, so they do not merge and split in turns.
const MERGED_SLOTS_MAX: usize = BUCKETS_MAX * LANES * 3 / 4;
/// A merge is considered at every so many deletions, beside each time a segment shrinks.
const MERGE_PERIOD: usize = 16;

impl Index {
    /// Plants the first segment.
    pub(super) fn plant(&mut self, slab: &mut Slab) {
        let block = self.create_segment(slab, &Layout::new(1));
        self.directory = vec![DirectoryEntry::new(block, 1, 0)];
        self.depth = 0;
        self.deepest_segments = 1;
    }

    fn create_segment(&mut self, slab: &mut Slab, layout: &Layout) -> BlockRef {
        self.segment_bytes += (HEADER_BYTES + chunk_bytes(layout.buckets())) as u64;
        Segment::create(slab, layout)
    }

    pub(super) fn destroy_segment(&mut self, slab: &mut Slab, entry: DirectoryEntry) {
        self.segment_bytes -= (HEADER_BYTES + chunk_bytes(entry.buckets())) as u64;
        entry.segment(slab).destroy(slab, entry.block());
    }

    /// Replaces what a segment holds, and its size.
    fn adopt(&mut self, slab: &mut Slab, entry: DirectoryEntry, layout: &Layout) {
        self.segment_bytes += chunk_bytes(layout.buckets()) as u64;
        self.segment_bytes -= chunk_bytes(entry.buckets()) as u64;
        entry.segment(slab).adopt(slab, layout);
    }

    /// Lays the segment at `place` out in another number of buckets; reads no key.
    fn relay(&mut self, slab: &mut Slab, place: usize, buckets: usize) {
        let entry = self.directory[place];
        let mut layout = Layout::new(buckets);
        layout.fill(entry.segment(slab).slots());
        self.adopt(slab, entry, &layout);
        self.enter(
            place,
            DirectoryEntry::new(entry.block(), buckets, entry.depth()),
        );
    }

    pub(super) fn grow(&mut self, slab: &mut Slab, place: usize) {
        let buckets = buckets_after(self.directory[place].buckets());
        self.relay(slab, place, buckets);
    }

    /// Splits a full segment by the next bit of its keys' hashes: the only change that reads keys.
    pub(super) fn split(&mut self, slab: &mut Slab, mut place: usize, rehash: Rehash) {
        let entry = self.directory[place];
        if entry.depth() == self.depth {
            self.double();
            place *= 2;
        }
        let depth = entry.depth() + 1;
        let segment = entry.segment(slab);
        let division = segment.divide(slab, |slot| {
            rehash.hash_of(slab, slot.block) >> (64 - depth) & 1 == 1
        });
        let mut first = Layout::new(buckets_for(segment.len() - division.second));
        first.fill(segment.side(&division, false));
        let mut second = Layout::new(buckets_for(division.second));
        second.fill(segment.side(&division, true));
        // The first half gives chunks back before the second asks for some.
        self.adopt(slab, entry, &first);
        let first_entry = DirectoryEntry::new(entry.block(), first.buckets(), depth);
        let second_block = self.create_segment(slab, &second);
        let second_entry = DirectoryEntry::new(second_block, second.buckets(), depth);
        second_entry.segment(slab).set_sweep_at(segment.sweep_at());
        let (start, span) = self.extent(place);
        self.directory[start..start + span / 2].fill(first_entry);
        self.directory[start + span / 2..start + span].fill(second_entry);
        if depth == self.depth {
            self.deepest_segments += 2;
        }
    }

    /// Keeps only the first side of a division of the segment at `place`, then shrinks what can
    /// be shrunk.
    pub(super) fn retain(&mut self, slab: &mut Slab, place: usize, division: &Division) {
        let entry = self.directory[place];
        let segment = entry.segment(slab);
        let kept = segment.len() - division.second;
        let buckets = buckets_for(kept).min(entry.buckets());
        let mut layout = Layout::new(buckets);
        layout.fill(segment.side(division, false));
        self.adopt(slab, entry, &layout);
        self.enter(
            place,
            DirectoryEntry::new(entry.block(), buckets, entry.depth()),
        );
        self.len -= division.second;
        self.merge_upwards(slab, place);
    }

    /// After a removal: the segment of this hash shrinks or merges if it has become too empty.
    pub(super) fn settle(&mut self, slab: &mut Slab, hash: u64) {
        let place = self.place_of(hash);
        let entry = self.directory[place];
        let len = entry.segment(slab).len();
        let is_sparse = len * 4 < slots_max(entry.buckets()) * 3;
        if is_sparse && buckets_for(len) < entry.buckets() {
            self.relay(slab, place, buckets_for(len));
            self.merge_upwards(slab, place);
        } else if len.is_multiple_of(MERGE_PERIOD) {
            self.merge_upwards(slab, place);
        }
    }

    /// Merges the segment at `place` with its buddy, and the result with its own, while they fit.
    fn merge_upwards(&mut self, slab: &mut Slab, mut place: usize) {
        if self.len == 0 {
            return self.uproot(slab);
        }
        while self.merge(slab, place) {
            while self.deepest_segments == 0 {
                self.halve();
                place /= 2;
            }
        }
    }

    fn merge(&mut self, slab: &mut Slab, place: usize) -> bool {
        let entry = self.directory[place];
        if entry.depth() == 0 {
            return false;
        }
        let (start, span) = self.extent(place);
        let buddy = self.directory[start ^ span];
        if buddy.depth() != entry.depth() {
            return false;
        }
        let (mut one, other) = (entry.segment(slab), buddy.segment(slab));
        let len = one.len() + other.len();
        if len > MERGED_SLOTS_MAX {
            return false;
        }
        let mut layout = Layout::new(buckets_for(len));
        layout.fill(one.slots());
        layout.fill(other.slots());
        one.set_sweep_at(one.sweep_at().min(other.sweep_at()));
        self.destroy_segment(slab, buddy);
        self.adopt(slab, entry, &layout);
        if entry.depth() == self.depth {
            self.deepest_segments -= 2;
        }
        let merged = DirectoryEntry::new(entry.block(), layout.buckets(), entry.depth() - 1);
        let first = start & !span;
        self.directory[first..first + 2 * span].fill(merged);
        true
    }

    /// Frees what is left of an index without keys.
    fn uproot(&mut self, slab: &mut Slab) {
        let mut place = 0;
        while place < self.directory.len() {
            let (_, span) = self.extent(place);
            self.destroy_segment(slab, self.directory[place]);
            place += span;
        }
        *self = Index::default();
    }

    /// First directory entry of the segment at `place`, and how many it has.
    pub(super) fn extent(&self, place: usize) -> (usize, usize) {
        let span = 1 << (self.depth - self.directory[place].depth());
        (place & !(span - 1), span)
    }

    /// Writes a segment's directory entries anew.
    fn enter(&mut self, place: usize, entry: DirectoryEntry) {
        let (start, span) = self.extent(place);
        self.directory[start..start + span].fill(entry);
    }

    fn double(&mut self) {
        let mut doubled = Vec::with_capacity(self.directory.len() * 2);
        doubled.extend(self.directory.iter().flat_map(|entry| [*entry, *entry]));
        self.directory = doubled;
        self.depth += 1;
        self.deepest_segments = 0;
    }

    fn halve(&mut self) {
        debug_assert!(self.depth > 0);
        self.directory = self.directory.iter().copied().step_by(2).collect();
        self.depth -= 1;
        let depth = self.depth;
        self.deepest_segments = self
            .directory
            .iter()
            .filter(|entry| entry.depth() == depth)
            .count();
    }
}
