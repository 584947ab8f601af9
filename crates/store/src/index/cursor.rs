//! Owns the order in which SCAN visits an index, and the cursor that names a place in it.
//! Never happens here: state between calls; all of it is in the cursor.
//! Source: after the reverse-binary cursor of Redis; here segments split by prefix, so plain order does.
//!
//! The order is that of the keys' hashes: segments by the prefix their keys share, and within one
//! by tag. Growing and shrinking a segment keep the order of tags. After a split both halves go
//! on from the same tag or start again; after a merge the segment starts again, since its other
//! half may not have been visited. So a key that is there all the while is returned, some twice.
#![forbid(unsafe_code)]

use crate::slab::Slab;

use super::segment::Segment;
use super::{BlockRef, DEPTH_MAX, Index, LANES, PREFIX_END};

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
        Cursor {
            prefix: (bits >> (DEPTH_BITS + TAG_BITS)) as u32 & (PREFIX_END - 1),
            depth: (bits >> TAG_BITS) as u32 & ((1 << DEPTH_BITS) - 1),
            tag: bits as usize & ((1 << TAG_BITS) - 1),
        }
    }

    /// What lies behind this place: every prefix below the first figure, and of the prefixes up to
    /// the second the tags below the third.
    pub(crate) fn covers(self) -> (u32, u32, usize) {
        let depth = self.depth.min(DEPTH_MAX);
        (self.prefix, self.prefix + (PREFIX_END >> depth), self.tag)
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
        mut visit: impl FnMut(BlockRef),
    ) -> Option<Cursor> {
        let mut seen_slots = 0;
        loop {
            let (place, next_prefix) = self.segment_at(cursor.prefix)?;
            let entry = self.directory[place];
            let segment = entry.segment(slab);
            // A segment less deep than the cursor was merged since.
            let mut tag = if entry.depth() >= cursor.depth { cursor.tag } else { 0 };
            for bucket in segment.home(tag as u16)..segment.buckets() {
                if seen_slots >= budget_slots {
                    let prefix = (place as u32) << (DEPTH_MAX - self.depth);
                    return Some(Cursor { prefix, depth: entry.depth(), tag });
                }
                visit_home(&segment, bucket, tag, &mut visit);
                seen_slots += LANES;
                tag = segment.first_tag(bucket + 1);
            }
            if next_prefix == PREFIX_END {
                return None;
            }
            cursor = Cursor { prefix: next_prefix, depth: 0, tag: 0 };
            if seen_slots >= budget_slots {
                return Some(cursor);
            }
        }
    }
}

/// Visits the slots whose home is `home` and whose tag is not below `tag`.
fn visit_home(segment: &Segment, home: usize, tag: usize, visit: &mut impl FnMut(BlockRef)) {
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
        for prefix in [0, 1, PREFIX_END / 2, PREFIX_END - 1] {
            for (depth, tag) in [(0, 0), (22, 0xffff), (7, 1)] {
                let cursor = Cursor { prefix, depth, tag };
                assert!(cursor.to_bits() < 1 << CURSOR_BITS);
                assert_eq!(Cursor::from_bits(cursor.to_bits()), cursor);
            }
        }
    }
}
