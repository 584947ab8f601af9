//! Owns the order in which SCAN visits an index, and the cursor that names a place in it.
//! Never happens here: state between calls; all of it is in the cursor.
//! Source: after the reverse-binary cursor of Redis; here segments split by prefix, so plain order does.
//!
//! The order is that of the keys' hashes: by the prefix that the keys of a segment share, and within
//! it by tag. A cursor says: every key of a lower prefix was shown, and of this cell of prefixes
//! those of a lower tag. Growing and shrinking a segment keep the order of tags. If the cell was
//! split since, its first part goes on from the tag and the others begin anew, so keys may be shown
//! twice. If it was merged, the larger segment is searched for the keys of the cell alone. So a
//! cursor only moves forward, a scan ends, and a key that is there all the while is shown.
#![forbid(unsafe_code)]

use crate::slab::Slab;

use super::segment::Segment;
use super::{BlockRef, DEPTH_MAX, Index, LANES, PREFIX_END, Rehash};

const TAG_BITS: u32 = 16;
const DEPTH_BITS: u32 = 5;
/// Bits of a cursor: prefix 22, depth 5, tag 16.
pub(crate) const CURSOR_BITS: u32 = DEPTH_MAX + DEPTH_BITS + TAG_BITS;

/// A place in the order of an index; zero is both its beginning and, as an answer, its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cursor {
    prefix: u32,
    depth: u32,
    tag: usize,
}

impl Cursor {
    /// The place a number names; any number names one.
    pub(crate) fn from_bits(bits: u64) -> Cursor {
        let depth = ((bits >> TAG_BITS) as u32 & ((1 << DEPTH_BITS) - 1)).min(DEPTH_MAX);
        let prefix = (bits >> (DEPTH_BITS + TAG_BITS)) as u32 & (PREFIX_END - 1);
        Cursor {
            // A cell begins at a multiple of its size; ours do.
            prefix: prefix & !((PREFIX_END >> depth) - 1),
            depth,
            tag: bits as usize & ((1 << TAG_BITS) - 1),
        }
    }

    /// Whether the cell at this place, of so many bits, has the keys of a hash.
    fn cell_has(self, depth: u32, hash: u64) -> bool {
        (hash >> (u64::BITS - DEPTH_MAX)) as u32 >> (DEPTH_MAX - depth)
            == self.prefix >> (DEPTH_MAX - depth)
    }

    /// The beginning of the largest cell after the one at this place of so many bits.
    fn next_cell(self, depth: u32) -> Option<Cursor> {
        let prefix = self.prefix + (PREFIX_END >> depth);
        let depth = DEPTH_MAX - prefix.trailing_zeros().min(DEPTH_MAX);
        (prefix < PREFIX_END).then_some(Cursor {
            prefix,
            depth,
            tag: 0,
        })
    }

    /// What lies behind this place: every prefix below the first figure, and of the prefixes up to
    /// the second the tags below the third.
    pub(crate) fn covers(self) -> (u32, u32, usize) {
        (
            self.prefix,
            self.prefix + (PREFIX_END >> self.depth),
            self.tag,
        )
    }

    /// The number of this place, below 2^43.
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.prefix) << (DEPTH_BITS + TAG_BITS)
            | u64::from(self.depth) << TAG_BITS
            | self.tag as u64
    }
}

impl Index {
    /// Visits keys from `cursor` on until about `budget_slots` slots were looked at; returns
    /// where to go on, or `None` at the end.
    pub(crate) fn scan(
        &self,
        slab: &Slab,
        mut cursor: Cursor,
        budget_slots: usize,
        rehash: Rehash,
        mut visit: impl FnMut(BlockRef),
    ) -> Option<Cursor> {
        let mut seen_slots = 0;
        loop {
            let (place, _) = self.segment_at(cursor.prefix)?;
            let entry = self.directory[place];
            let segment = entry.segment(slab);
            let depth = cursor.depth.max(entry.depth());
            let is_part = entry.depth() < depth;
            let mut tag = cursor.tag;
            for bucket in segment.home(tag as u16)..segment.buckets() {
                if seen_slots >= budget_slots {
                    return Some(Cursor {
                        depth,
                        tag,
                        ..cursor
                    });
                }
                visit_home(&segment, bucket, tag, |block| {
                    if !is_part || cursor.cell_has(depth, rehash.hash_of(slab, block)) {
                        visit(block);
                    }
                });
                seen_slots += LANES;
                tag = segment.first_tag(bucket + 1);
            }
            cursor = cursor.next_cell(depth)?;
            if seen_slots >= budget_slots {
                return Some(cursor);
            }
        }
    }
}

/// Visits the slots whose home is `home` and whose tag is not below `tag`.
fn visit_home(segment: &Segment, home: usize, tag: usize, mut visit: impl FnMut(BlockRef)) {
    let mut number = home;
    loop {
        let bucket = segment.bucket(number);
        for slot in bucket.slots() {
            if usize::from(slot.tag) >= tag && segment.home(slot.tag) == home {
                visit(slot.block);
            }
        }
        number = segment.after(number);
        if !bucket.is_full() || number == home {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_being_a_number() {
        for depth in [0, 1, 7, 22] {
            for (cell, tag) in [(0, 0), ((1 << depth) - 1, 0xffff), (1 << depth >> 1, 1)] {
                let cursor = Cursor {
                    prefix: cell << (DEPTH_MAX - depth),
                    depth,
                    tag,
                };
                assert!(cursor.to_bits() < 1 << CURSOR_BITS);
                assert_eq!(Cursor::from_bits(cursor.to_bits()), cursor);
            }
        }
    }

    #[test]
    fn the_cells_after_a_small_one_grow_until_the_end() {
        let mut cursor = Cursor {
            prefix: 5,
            depth: DEPTH_MAX,
            tag: 0,
        };
        while let Some(next) = cursor.next_cell(cursor.depth) {
            assert!(next.depth < cursor.depth && next.prefix > cursor.prefix);
            cursor = next;
        }
        assert_eq!((cursor.depth, cursor.prefix), (1, PREFIX_END / 2));
    }
}
