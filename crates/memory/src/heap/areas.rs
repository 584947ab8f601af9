//! Owns what is told of the allocator's pages: how many there are of each size of block, and what they hold.
//! Never happens here: an allocation during a visit, or mimalloc's own statistics.
//! Source: the visits of mimalloc v3, which read page headers.

use std::ffi::c_void;
use std::ptr;

use libmimalloc_sys as mi;

use super::accounts::{self, thread_allocated_bytes, thread_foreign_freed_bytes};
use super::blocks::CLASS_BYTES_MAX;
use super::mimalloc::{
    HeapVisitor, mi_heap_visit_abandoned_blocks, mi_subproc_main, mi_subproc_visit_heaps,
    mi_theap_visit_blocks,
};
use super::spaces::{own_theap, spaces};
use crate::pages::resident_inside;
use crate::shard::ShardMemory;

/// From how many bytes of a page that were never handed out on it is asked whether they are in memory: less is not worth a
/// system call.
const REST_BYTES_MIN: usize = 64 << 10;
/// Room for every size class of the allocator (it has 73) and the one for what is larger.
const CLASSES_MAX: usize = 96;

/// What the allocator holds of one size of block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeClass {
    /// Size of a block; 0 for the class of all blocks beyond 512 KiB.
    pub block_bytes: u64,
    /// Pages of the allocator that hold such blocks.
    pub areas: u64,
    /// Live blocks.
    pub blocks: u64,
    /// Bytes of live blocks.
    pub used_bytes: u64,
    /// Bytes of blocks that were ever handed out of these pages, live or free, and of the rest what is in memory, as it is
    /// where a page lies in the place of a former one: memory that is in use as the operating system sees it.
    pub committed_bytes: u64,
}

/// What pages the allocator holds, by size class in rising order, the largest blocks last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeapAreas {
    /// One entry a size class that has any page.
    pub classes: Vec<SizeClass>,
}

impl HeapAreas {
    /// Bytes of live blocks in these pages.
    pub fn used_bytes(&self) -> u64 {
        self.classes.iter().map(|class| class.used_bytes).sum()
    }

    /// Bytes of blocks, live or free, in these pages.
    pub fn committed_bytes(&self) -> u64 {
        self.classes.iter().map(|class| class.committed_bytes).sum()
    }

    /// Bytes of free blocks in these pages: memory that is taken and holds nothing.
    pub fn slack_bytes(&self) -> u64 {
        self.committed_bytes().saturating_sub(self.used_bytes())
    }
}

/// Fills in the figures of the calling thread's heap, and makes the thread that shard's: its bytes
/// count as the shard's from here on, and no longer as the process' own.
///
/// One shard to a thread: two that share one would both report all of it.
pub fn charge_thread_to(shard: &mut ShardMemory) {
    accounts::mark_shard();
    shard.heap_slack_bytes = heap_areas().slack_bytes();
    shard.heap_allocated_bytes = thread_allocated_bytes();
    shard.foreign_freed_bytes = thread_foreign_freed_bytes();
}

/// The pages the calling thread holds.
///
/// A page that is full is let go by its thread until one of its blocks is freed, so the bytes in
/// use are not all of the thread's (its counter is that), but the free blocks are: every page with
/// a free block is here, or among the [`abandoned_areas`].
pub fn heap_areas() -> HeapAreas {
    let mut tally = Tally::new();
    // SAFETY: the heap is the calling thread's own, and the visitor neither allocates nor frees.
    unsafe {
        let own = own_theap();
        for theap in spaces().chain([own]) {
            mi_theap_visit_blocks(
                theap,
                false,
                Some(tally_area),
                ptr::from_mut(&mut tally).cast::<c_void>(),
            );
        }
    }
    tally.into_areas()
}

/// The pages with free blocks that no thread holds, of the whole process.
///
/// Read while other threads may take pages up: each figure is true, all together not of one
/// moment.
pub fn abandoned_areas() -> HeapAreas {
    areas_of_all_heaps(visit_abandoned)
}

/// All pages of the process, full ones too, whoever holds them.
///
/// Read while other threads allocate, as [`abandoned_areas`] is; exact when none does. It costs
/// a few nanoseconds for each 64 KiB of memory, so it is for reports that list size classes.
pub fn process_areas() -> HeapAreas {
    areas_of_all_heaps(visit_all)
}

fn areas_of_all_heaps(visit: HeapVisitor) -> HeapAreas {
    let mut tally = Tally::new();
    // SAFETY: without visiting blocks the visits only read page headers, which stay mapped for
    // good; heaps are never deleted, and the visitors neither allocate nor free.
    unsafe {
        let argument = ptr::from_mut(&mut tally).cast::<c_void>();
        mi_subproc_visit_heaps(mi_subproc_main(), visit, argument);
    }
    tally.into_areas()
}

/// Visits the pages of a heap that no thread holds.
///
/// # Safety
/// Called with a live heap and the `Tally` handed to the visit.
unsafe extern "C" fn visit_abandoned(heap: *mut mi::mi_heap_t, argument: *mut c_void) -> bool {
    // SAFETY: see above.
    unsafe { mi_heap_visit_abandoned_blocks(heap, false, Some(tally_area), argument) };
    true
}

/// Visits all pages of a heap.
///
/// # Safety
/// As for `visit_abandoned`.
unsafe extern "C" fn visit_all(heap: *mut mi::mi_heap_t, argument: *mut c_void) -> bool {
    // SAFETY: see above.
    unsafe { mi::mi_heap_visit_blocks(heap, false, Some(tally_area), argument) };
    true
}

/// Gathers areas by class in place: during a visit nothing may be allocated.
struct Tally {
    classes: [SizeClass; CLASSES_MAX],
    len: usize,
}

impl Tally {
    fn new() -> Tally {
        Tally {
            classes: [SizeClass::default(); CLASSES_MAX],
            // The first place is the class of the largest blocks.
            len: 1,
        }
    }

    fn add(&mut self, block_bytes: u64, blocks: u64, committed_bytes: u64) {
        let place = self.place_of(block_bytes);
        let class = &mut self.classes[place];
        class.areas += 1;
        class.blocks += blocks;
        class.used_bytes += blocks * block_bytes;
        class.committed_bytes += committed_bytes;
    }

    fn place_of(&mut self, block_bytes: u64) -> usize {
        if block_bytes > CLASS_BYTES_MAX as u64 {
            return 0;
        }
        let known = &self.classes[1..self.len];
        if let Some(place) = known
            .iter()
            .position(|class| class.block_bytes == block_bytes)
        {
            return place + 1;
        }
        if self.len == CLASSES_MAX {
            return 0;
        }
        self.classes[self.len].block_bytes = block_bytes;
        self.len += 1;
        self.len - 1
    }

    fn into_areas(self) -> HeapAreas {
        let mut classes: Vec<SizeClass> = self.classes[..self.len]
            .iter()
            .filter(|class| class.areas > 0)
            .copied()
            .collect();
        classes.sort_unstable_by_key(|class| class.block_bytes.wrapping_sub(1));
        HeapAreas { classes }
    }
}

/// The visitor of areas.
///
/// # Safety
/// Called by mimalloc with a live area, and as argument the `Tally` handed to the visit.
unsafe extern "C" fn tally_area(
    _heap: *const mi::mi_heap_t,
    area: *const mi::mi_heap_area_t,
    _block: *mut c_void,
    _block_size: usize,
    argument: *mut c_void,
) -> bool {
    // SAFETY: see above.
    let (area, tally) = unsafe { (&*area, &mut *argument.cast::<Tally>()) };
    // A page that another thread frees this moment may show any mix of old figures and zero.
    if area.full_block_size > 0 {
        let rest_bytes = area.reserved.saturating_sub(area.committed);
        let mut committed_bytes = area.committed as u64;
        if rest_bytes >= REST_BYTES_MIN {
            let rest = area.blocks.cast::<u8>().wrapping_add(area.committed);
            committed_bytes += resident_inside(rest, rest_bytes);
        }
        let block_bytes = area.full_block_size as u64;
        tally.add(block_bytes, area.used as u64, committed_bytes);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::{alloc_block, collect, free_block, good_size, note_foreign_free};

    #[test]
    fn a_thread_charged_to_a_shard_is_reported_there() {
        std::thread::spawn(|| {
            let (block, bytes) = alloc_block(300_000);
            note_foreign_free(77);
            let mut shard = ShardMemory::default();
            charge_thread_to(&mut shard);
            assert_eq!(shard.heap_allocated_bytes, thread_allocated_bytes());
            assert!(shard.heap_allocated_bytes >= bytes as i64);
            assert_eq!(shard.foreign_freed_bytes, 77);
            // SAFETY: the block is live and not used again.
            unsafe { free_block(block) };
        })
        .join()
        .unwrap();
    }

    #[test]
    fn freed_blocks_show_as_slack_of_this_thread_until_collected() {
        let blocks: Vec<_> = (0..400).map(|_| alloc_block(1500).0).collect();
        let class_bytes = good_size(1500) as u64;
        for (place, block) in blocks.iter().enumerate() {
            if place % 4 != 0 {
                // SAFETY: each block is freed once here or below.
                unsafe { free_block(*block) };
            }
        }
        let areas = heap_areas();
        let class = areas
            .classes
            .iter()
            .find(|class| class.block_bytes == class_bytes)
            .expect("the class has pages");
        assert!(class.committed_bytes >= 300 * class_bytes);
        assert!(class.committed_bytes - class.used_bytes >= 250 * class_bytes);
        assert!(areas.slack_bytes() >= 250 * class_bytes);
        for block in blocks.iter().step_by(4) {
            // SAFETY: the ones left alive above.
            unsafe { free_block(*block) };
        }
        collect(true);
        let after = heap_areas();
        assert!(after.slack_bytes() < areas.slack_bytes());
    }

    #[test]
    fn size_classes_are_in_rising_order_with_the_largest_blocks_last() {
        let held: Vec<_> = [8usize, 900, 40_000, 2 << 20, 3 << 20]
            .iter()
            .map(|size| alloc_block(*size).0)
            .collect();
        let areas = process_areas();
        let sizes: Vec<u64> = areas
            .classes
            .iter()
            .map(|class| class.block_bytes)
            .collect();
        assert_eq!(sizes.last(), Some(&0));
        assert!(sizes[..sizes.len() - 1].is_sorted());
        assert!(areas.classes.last().unwrap().used_bytes >= 5 << 20);
        for block in held {
            // SAFETY: each block is freed once.
            unsafe { free_block(block) };
        }
    }
}
