//! Owns the process' allocator, which counts every block on the account of the thread that takes or gives it back.
//! Never happens here: a read-modify-write of shared memory on the way of an allocation, or mimalloc's own statistics.
//! Source: mimalloc v3 (Leijen, Zorn, de Moura 2019), whose `u` calls tell the size of the block they touch.

use std::alloc::{GlobalAlloc, Layout, handle_alloc_error};
use std::ffi::c_void;
use std::ptr::{self, NonNull};

use libmimalloc_sys as mi;

use crate::accounts::{self, settle};
use crate::large::{self, LARGE_BYTES, discard_if_pressed, free_large_block};
use crate::shard::ShardMemory;

pub use crate::accounts::{
    note_foreign_free, process_allocated_bytes, sharded_allocated_bytes, thread_allocated_bytes,
    thread_foreign_freed_bytes, unsharded_allocated_bytes,
};

// The calls of mimalloc v3 that report block sizes, which the bindings do not name.
unsafe extern "C" {
    fn mi_umalloc(size: usize, block_size: *mut usize) -> *mut c_void;
    fn mi_ucalloc(count: usize, size: usize, block_size: *mut usize) -> *mut c_void;
    fn mi_umalloc_aligned(size: usize, align: usize, block_size: *mut usize) -> *mut c_void;
    pub(crate) fn mi_uzalloc_aligned(
        size: usize,
        align: usize,
        block_size: *mut usize,
    ) -> *mut c_void;
    fn mi_urealloc(
        block: *mut c_void,
        new_size: usize,
        block_size_before: *mut usize,
        block_size_after: *mut usize,
    ) -> *mut c_void;
    fn mi_ufree(block: *mut c_void, block_size: *mut usize);
    pub(crate) fn mi_theap_get_default() -> *mut mi::mi_theap_t;
    pub(crate) fn mi_theap_visit_blocks(
        theap: *const mi::mi_theap_t,
        visit_blocks: bool,
        visitor: mi::mi_block_visit_fun,
        argument: *mut c_void,
    ) -> bool;
    pub(crate) fn mi_heap_visit_abandoned_blocks(
        heap: *mut mi::mi_heap_t,
        visit_blocks: bool,
        visitor: mi::mi_block_visit_fun,
        argument: *mut c_void,
    ) -> bool;
    fn mi_subproc_main() -> Subprocess;
    fn mi_subproc_visit_heaps(
        subprocess: Subprocess,
        visitor: HeapVisitor,
        argument: *mut c_void,
    ) -> bool;
}

/// `mi_subproc_id_t`: all heaps of the process belong to one.
#[repr(C)]
struct Subprocess(*mut c_void);

/// Every block mimalloc hands out is aligned to this, when it is at least as large.
const NATURAL_ALIGN_BYTES: usize = 16;

/// The global allocator: mimalloc, with every block charged to the thread that allocates it and
/// credited to the thread that frees it, at the size the block really has.
#[derive(Clone, Copy, Debug, Default)]
pub struct CountingAlloc;

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

/// Tidies the calling thread's heap; with `force` also frees its empty pages at once and returns
/// the allocator's unused memory of the whole process to the operating system.
pub fn collect(force: bool) {
    crate::compact::collect_spaces(force);
    // SAFETY: acts on the calling thread's own heap.
    unsafe { mi::mi_collect(force) }
}

/// The size in bytes of the block that a request of `size` bytes would get.
pub fn good_size(size: usize) -> usize {
    // SAFETY: computes from its argument alone.
    unsafe { mi::mi_good_size(size) }
}

/// How many bytes may be used from `block` to the end of the block it lies in.
///
/// # Safety
/// `block` came from this allocator and was not freed.
pub unsafe fn usable_size(block: NonNull<u8>) -> usize {
    // SAFETY: the caller's promise.
    unsafe { mi::mi_usable_size(block.as_ptr().cast::<c_void>()) }
}

/// Allocates a block of at least `size` bytes, aligned to 8 (to 16 from 16 bytes on), and tells
/// how large it is. `None` when there is no memory.
pub fn try_alloc_block(size: usize) -> Option<(NonNull<u8>, usize)> {
    let mut block_bytes = 0usize;
    // SAFETY: a plain call; the out parameter is a live local.
    let block = unsafe { mi_umalloc(size, &mut block_bytes) };
    let block = NonNull::new(block.cast::<u8>())?;
    settle(block_bytes as i64);
    Some((block, block_bytes))
}

/// As [`try_alloc_block`]; without memory the process ends with the allocation error of the
/// standard library.
pub fn alloc_block(size: usize) -> (NonNull<u8>, usize) {
    try_alloc_block(size).unwrap_or_else(|| out_of_memory(size))
}

/// Grows or shrinks a block, moving it if need be, and tells how large it is now.
///
/// What both blocks can hold is kept. Without memory the process ends.
///
/// # Safety
/// `block` came from [`alloc_block`], [`try_alloc_block`] or this function and was not freed;
/// afterwards only the returned pointer may be used.
pub unsafe fn realloc_block(block: NonNull<u8>, new_size: usize) -> (NonNull<u8>, usize) {
    let (mut before_bytes, mut after_bytes) = (0usize, 0usize);
    // SAFETY: the caller's promise; the out parameters are live locals.
    let moved = unsafe {
        mi_urealloc(
            block.as_ptr().cast::<c_void>(),
            new_size,
            &mut before_bytes,
            &mut after_bytes,
        )
    };
    let Some(moved) = NonNull::new(moved.cast::<u8>()) else {
        out_of_memory(new_size)
    };
    settle(after_bytes as i64 - before_bytes as i64);
    (moved, after_bytes)
}

/// Frees a block and tells how large it was.
///
/// # Safety
/// `block` came from [`alloc_block`], [`try_alloc_block`] or [`realloc_block`] and was not freed.
pub unsafe fn free_block(block: NonNull<u8>) -> usize {
    let mut block_bytes = 0usize;
    // SAFETY: the caller's promise; the out parameter is a live local.
    unsafe { mi_ufree(block.as_ptr().cast::<c_void>(), &mut block_bytes) };
    settle(-(block_bytes as i64));
    block_bytes
}

/// Frees a block in favour of a new one that was not counted, and charges the calling thread with
/// the difference.
///
/// # Safety
/// Both are live blocks of the allocator; afterwards only the new one may be used.
pub(crate) unsafe fn settle_move(old: NonNull<u8>, new: NonNull<u8>) {
    // SAFETY: the caller's promise.
    let new_bytes = unsafe { usable_size(new) };
    settle(new_bytes as i64);
    // SAFETY: the caller's promise. What moves leaves a page together with others only at the end of a pass.
    unsafe { free_large_block(old, usable_size(old)) };
}

#[cold]
fn out_of_memory(size: usize) -> ! {
    let layout = Layout::from_size_align(size, 1).unwrap_or(Layout::new::<u8>());
    handle_alloc_error(layout)
}

// SAFETY: mimalloc is a correct allocator; each call passes sizes and alignments on as the trait
// states them, and counting touches no block.
unsafe impl GlobalAlloc for CountingAlloc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut block_bytes = 0usize;
        // SAFETY: the out parameter is a live local; the trait promises a power of two.
        let block = unsafe {
            if layout.align() <= NATURAL_ALIGN_BYTES {
                // A block at least as large as the alignment asked for is aligned to it.
                mi_umalloc(layout.size().max(layout.align()), &mut block_bytes)
            } else {
                mi_umalloc_aligned(layout.size(), layout.align(), &mut block_bytes)
            }
        };
        if !block.is_null() {
            settle(block_bytes as i64);
        }
        block.cast::<u8>()
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let mut block_bytes = 0usize;
        // SAFETY: as in `alloc`.
        let block = unsafe {
            if layout.align() <= NATURAL_ALIGN_BYTES {
                mi_ucalloc(1, layout.size().max(layout.align()), &mut block_bytes)
            } else {
                mi_uzalloc_aligned(layout.size(), layout.align(), &mut block_bytes)
            }
        };
        if !block.is_null() {
            settle(block_bytes as i64);
        }
        block.cast::<u8>()
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if layout.size() >= LARGE_BYTES {
            // SAFETY: the trait promises a live block of ours, as long as the layout says.
            unsafe { discard_if_pressed(block, layout.size()) };
        }
        let mut block_bytes = 0usize;
        // SAFETY: the trait promises a block of ours; the out parameter is a live local.
        unsafe { mi_ufree(block.cast::<c_void>(), &mut block_bytes) };
        settle(-(block_bytes as i64));
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if layout.align() > NATURAL_ALIGN_BYTES {
            // SAFETY: the trait's promises on `realloc` are those of the three calls.
            return unsafe { self.realloc_aligned(block, layout, new_size) };
        }
        if layout.size() >= LARGE_BYTES {
            // SAFETY: as above.
            return unsafe { large::realloc_large(self, block, layout, new_size) };
        }
        // SAFETY: as above.
        unsafe { realloc_natural(block, layout, new_size) }
    }
}

/// Reallocates what needs no more than the allocator's own alignment. Null without memory.
///
/// # Safety
/// That of [`GlobalAlloc::realloc`].
#[inline(always)]
pub(crate) unsafe fn realloc_natural(block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
    let (mut before_bytes, mut after_bytes) = (0usize, 0usize);
    // SAFETY: the caller's promise; the out parameters are live locals.
    let moved = unsafe {
        mi_urealloc(
            block.cast::<c_void>(),
            new_size.max(layout.align()),
            &mut before_bytes,
            &mut after_bytes,
        )
    };
    if !moved.is_null() {
        settle(after_bytes as i64 - before_bytes as i64);
    }
    moved.cast::<u8>()
}

impl CountingAlloc {
    /// Reallocates what is aligned beyond 16 bytes, which mimalloc's counting call cannot.
    ///
    /// # Safety
    /// That of [`GlobalAlloc::realloc`].
    #[cold]
    unsafe fn realloc_aligned(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the alignment is valid, and the caller promises that the size fits it.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: the caller promises a size above zero.
        let moved = unsafe { self.alloc(new_layout) };
        if !moved.is_null() {
            // SAFETY: two live blocks that do not overlap, each at least this long.
            unsafe {
                ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
        }
        moved
    }
}

/// Blocks up to this many bytes come in size classes; a larger one has pages of its own.
const CLASS_BYTES_MAX: usize = 512 * 1024;

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
    /// Bytes of blocks that were ever handed out of these pages, live or free: memory that is in
    /// use as the operating system sees it.
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

/// The pages the calling thread holds.
///
/// A page that is full is let go by its thread until one of its blocks is freed, so the bytes in
/// use are not all of the thread's (its counter is that), but the free blocks are: every page with
/// a free block is here, or among the [`abandoned_areas`].
pub fn heap_areas() -> HeapAreas {
    let mut tally = Tally::new();
    // SAFETY: the heap is the calling thread's own, and the visitor neither allocates nor frees.
    unsafe {
        let own = mi_theap_get_default();
        for theap in crate::compact::spaces().chain([own]) {
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

type HeapVisitor = unsafe extern "C" fn(heap: *mut mi::mi_heap_t, argument: *mut c_void) -> bool;

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
        tally.add(
            area.full_block_size as u64,
            area.used as u64,
            area.committed as u64,
        );
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    // Unit tests run on several threads at once, so each looks at its own thread's counter. The
    // sums over threads are tested in `tests/allocator.rs`, alone in its process.

    #[test]
    fn a_block_is_charged_at_its_real_size_and_credited_when_freed() {
        let before = thread_allocated_bytes();
        let (block, bytes) = alloc_block(10_000);
        assert!(bytes >= 10_000);
        assert_eq!(bytes, good_size(10_000));
        // SAFETY: the block is live.
        assert_eq!(bytes, unsafe { usable_size(block) });
        assert_eq!(thread_allocated_bytes() - before, bytes as i64);
        // SAFETY: the block is live and not used again.
        assert_eq!(unsafe { free_block(block) }, bytes);
        assert_eq!(thread_allocated_bytes(), before);
    }

    #[test]
    fn a_block_that_grows_and_shrinks_keeps_its_beginning_and_the_books() {
        let before = thread_allocated_bytes();
        let (mut block, mut bytes) = alloc_block(100);
        // SAFETY: within the block.
        unsafe { block.as_ptr().write_bytes(0xA5, 100) };
        for size in [5_000, 70_000, 3 << 20, 300, 1] {
            // SAFETY: the block is live; the old pointer is not used again.
            (block, bytes) = unsafe { realloc_block(block, size) };
            assert!(bytes >= size);
            assert_eq!(thread_allocated_bytes() - before, bytes as i64);
            // SAFETY: within the block.
            assert_eq!(unsafe { block.as_ptr().read() }, 0xA5);
        }
        // SAFETY: the block is live and not used again.
        assert_eq!(unsafe { free_block(block) }, bytes);
        assert_eq!(thread_allocated_bytes(), before);
    }

    #[test]
    fn a_block_nobody_can_have_is_refused() {
        assert!(try_alloc_block(usize::MAX / 2 + 1).is_none());
    }

    #[test]
    fn layouts_of_every_alignment_are_aligned_and_settle_to_nothing() {
        let before = thread_allocated_bytes();
        for align_log2 in 0..=16 {
            for size in [1usize, 3, 8, 24, 100, 1000, 20_000, 700_000] {
                let layout = Layout::from_size_align(size, 1 << align_log2).unwrap();
                // SAFETY: the size is above zero; each block is freed once, with its layout.
                unsafe {
                    let block = CountingAlloc.alloc(layout);
                    assert_eq!(block.addr() % layout.align(), 0, "{layout:?}");
                    assert!(thread_allocated_bytes() >= before + size as i64);
                    let moved = CountingAlloc.realloc(block, layout, size * 3);
                    assert_eq!(moved.addr() % layout.align(), 0, "{layout:?} grown");
                    let grown = Layout::from_size_align(size * 3, layout.align()).unwrap();
                    CountingAlloc.dealloc(moved, grown);

                    let zeroed = CountingAlloc.alloc_zeroed(layout);
                    assert_eq!(zeroed.addr() % layout.align(), 0, "{layout:?} zeroed");
                    assert!(
                        std::slice::from_raw_parts(zeroed, size)
                            .iter()
                            .all(|b| *b == 0)
                    );
                    CountingAlloc.dealloc(zeroed, layout);
                }
            }
        }
        assert_eq!(thread_allocated_bytes(), before);
    }

    #[test]
    fn an_aligned_block_keeps_its_content_when_it_grows() {
        let layout = Layout::from_size_align(100, 64).unwrap();
        // SAFETY: every access is within the live block.
        unsafe {
            let block = CountingAlloc.alloc(layout);
            block.write_bytes(7, 100);
            let moved = CountingAlloc.realloc(block, layout, 5000);
            assert!(
                std::slice::from_raw_parts(moved, 100)
                    .iter()
                    .all(|b| *b == 7)
            );
            CountingAlloc.dealloc(moved, Layout::from_size_align(5000, 64).unwrap());
        }
    }

    #[test]
    fn foreign_frees_are_counted_as_they_are_noted() {
        let before = thread_foreign_freed_bytes();
        note_foreign_free(100);
        note_foreign_free(28);
        assert_eq!(thread_foreign_freed_bytes() - before, 128);
    }

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
