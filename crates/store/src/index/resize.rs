//! Owns how an index grows and shrinks: a segment takes another size, splits, merges with its buddy.
//! Never happens here: more work at a time than one segment of a thousand slots, or the directory.
//! Source: extendible hashing with buddy merging; segment sizes in steps keep tables 86 % full.

use super::segment::{Division, Snapshot, buckets_after, buckets_for};
use super::*;

/// Two buddies merge when together they fill at most three quarters of a segment's slots; a split
/// leaves 92 %, so they do not merge and split in turns.
const MERGED_SLOTS_MAX: usize = BUCKETS_MAX * LANES * 3 / 4;
/// A merge is considered at every so many deletions, beside each time a segment shrinks.
const MERGE_PERIOD: usize = 16;

impl Index {
    /// Plants the first segment.
    pub(super) fn plant(&mut self, slab: &mut Slab) {
        let block = self.create_segment(slab, 1);
        self.directory = vec![DirectoryEntry::new(block, 1, 0)];
        self.depth = 0;
        self.deepest_segments = 1;
    }

    fn create_segment(&mut self, slab: &mut Slab, buckets: usize) -> BlockRef {
        self.segment_bytes += (HEADER_BYTES + chunk_bytes(buckets)) as u64;
        Segment::create(slab, buckets)
    }

    pub(super) fn destroy_segment(&mut self, slab: &mut Slab, entry: DirectoryEntry) {
        self.segment_bytes -= (HEADER_BYTES + chunk_bytes(entry.buckets())) as u64;
        entry.segment(slab).destroy(slab, entry.block());
    }

    /// Gives an emptied segment another size; its slots are the caller's to fill in again.
    fn resize(&mut self, slab: &mut Slab, segment: &mut Segment, buckets: usize) {
        self.segment_bytes += chunk_bytes(buckets) as u64;
        self.segment_bytes -= chunk_bytes(segment.buckets()) as u64;
        segment.set_buckets(slab, buckets);
    }

    /// Lays the segment at `place` out in another number of buckets; reads no key.
    fn relay(&mut self, slab: &mut Slab, place: usize, buckets: usize) {
        let entry = self.directory[place];
        let mut segment = entry.segment(slab);
        let snapshot = Snapshot::of(&segment);
        self.resize(slab, &mut segment, buckets);
        segment.fill(snapshot.slots());
        self.enter(place, DirectoryEntry::new(entry.block(), buckets, entry.depth()));
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
        let mut first = entry.segment(slab);
        let snapshot = Snapshot::of(&first);
        let division = snapshot.divide(slab, |slot| {
            rehash.hash_of(slab, slot.block) >> (64 - depth) & 1 == 1
        });
        let first_buckets = buckets_for(first.len() - division.second);
        let second_buckets = buckets_for(division.second);
        let sweep_at = first.sweep_at();
        // The first half gives its chunks back before the second asks for some.
        self.resize(slab, &mut first, first_buckets);
        first.fill(snapshot.side(&division, false));
        let second_block = self.create_segment(slab, second_buckets);
        let second_entry = DirectoryEntry::new(second_block, second_buckets, depth);
        let mut second = second_entry.segment(slab);
        second.fill(snapshot.side(&division, true));
        second.set_sweep_at(sweep_at);
        let (start, span) = self.extent(place);
        self.directory[start..start + span / 2]
            .fill(DirectoryEntry::new(entry.block(), first_buckets, depth));
        self.directory[start + span / 2..start + span].fill(second_entry);
        if depth == self.depth {
            self.deepest_segments += 2;
        }
    }

    /// Keeps only the slots on one side of a sweep in the segment at `place`, then shrinks what
    /// can be shrunk.
    pub(super) fn retain(
        &mut self,
        slab: &mut Slab,
        place: usize,
        snapshot: &Snapshot,
        division: &Division,
    ) {
        let entry = self.directory[place];
        let mut segment = entry.segment(slab);
        let kept = segment.len() - division.second;
        let buckets = buckets_for(kept).min(entry.buckets());
        self.resize(slab, &mut segment, buckets);
        segment.fill(snapshot.side(division, false));
        self.enter(place, DirectoryEntry::new(entry.block(), buckets, entry.depth()));
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
        let snapshots = [Snapshot::of(&one), Snapshot::of(&other)];
        let sweep_at = one.sweep_at().min(other.sweep_at());
        self.destroy_segment(slab, buddy);
        let buckets = buckets_for(len);
        self.resize(slab, &mut one, buckets);
        one.fill(snapshots.iter().flat_map(Snapshot::slots));
        one.set_sweep_at(sweep_at);
        if entry.depth() == self.depth {
            self.deepest_segments -= 2;
        }
        let merged = DirectoryEntry::new(entry.block(), buckets, entry.depth() - 1);
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
        self.deepest_segments =
            self.directory.iter().filter(|entry| entry.depth() == depth).count();
    }
}
