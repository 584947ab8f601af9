//! Owns the way out of sparse pages of the heap: which pages those are, and others that their blocks can move to.
//! Never happens here: who refers to a block; its owner hands it in and takes its new address.
//! Source: the two spaces of a copying collector, as two heaps of mimalloc v3 beside each thread's own.
//!
//! The allocator never moves a block, and it does not let one choose a page: a block that is
//! allocated anew may come from the very page that was to become empty. But a second heap has
//! pages of its own. So what lies in sparse pages of the thread's own heap and of one of its two
//! spaces moves to the other space, where it fills what holes there are and then new pages. Once
//! blocks have ended there, too, the spaces change parts.

use std::collections::VecDeque;
use std::ffi::c_void;
use std::ptr::{self, NonNull};

use libmimalloc_sys as mi;

use super::accounts::settle;
use super::blocks::usable_size;
use super::large::free_large_block;
use super::mimalloc::{
    mi_heap_of, mi_heap_visit_abandoned_blocks, mi_theap_malloc, mi_theap_visit_blocks,
};
use super::pressed::is_pressed;
use super::spaces::{heaps, own_theap, space, theap_of};

/// A page is sparse when less than three quarters of what was handed out of it is in use.
const FULL_ENOUGH: (usize, usize) = (3, 4);
/// The same while the resident set is above its limit.
const FULL_ENOUGH_PRESSED: (usize, usize) = (7, 8);
/// Pages that one round empties at most: looking one up stays short, and so does sorting them.
const PAGES_MAX: usize = 8192;

/// Less than this that is free in the sparse pages of one size is not worth looking for its blocks.
const SIZE_FREE_BYTES_MIN: usize = 64 << 10;

/// A page that is to become empty.
#[derive(Clone, Copy, Debug)]
struct Page {
    start: usize,
    end: usize,
    block_bytes: usize,
    free_bytes: usize,
}

/// The sparse pages of one thread's heap, found at one moment.
#[derive(Debug, Default)]
pub struct SparsePages {
    /// In the order of their addresses.
    pages: Vec<Page>,
    /// The space that blocks move to.
    to: usize,
}

impl SparsePages {
    /// The sparse pages of the calling thread, where moving their blocks gives whole pages back,
    /// and those of no thread, which may hold blocks of several. Costs a few nanoseconds for each
    /// page with a free block.
    pub fn find() -> SparsePages {
        let [one, other] = heaps();
        let (in_one, in_other) = (visit_space(one), visit_space(other));
        // The emptier space gives, the other takes.
        let to = usize::from(free_bytes(&in_one) > free_bytes(&in_other));
        let mut pages = visit(ptr::null_mut(), own_theap());
        pages.extend(if to == 1 { in_one } else { in_other });
        pages.truncate(PAGES_MAX);
        keep_worthwhile(&mut pages);
        pages.sort_unstable_by_key(|page| page.start);
        SparsePages { pages, to }
    }

    /// Whether there is nothing to move.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Bytes of free blocks in these pages.
    pub fn free_bytes(&self) -> u64 {
        free_bytes(&self.pages) as u64
    }

    /// Whether a block lies in one of them. A page that became empty may be one of the other space
    /// by now: what lies there has moved already.
    #[inline]
    pub fn has<T>(&self, block: *const T) -> bool {
        let address = block.addr();
        let after = self.pages.partition_point(|page| page.start <= address);
        if after == 0 || address >= self.pages[after - 1].end {
            return false;
        }
        // SAFETY: any address may be asked for.
        let heap = unsafe { mi_heap_of(block.cast::<c_void>()) };
        heap != heaps()[self.to]
    }

    /// Moves a block out of these pages, if it lies in one. What it holds comes along.
    ///
    /// # Safety
    /// `block` came from this process' allocator and was not freed, and nobody refers to it but
    /// the caller, who uses the answer from now on.
    pub unsafe fn relocate(&self, block: NonNull<u8>) -> Option<NonNull<u8>> {
        if !self.has(block.as_ptr()) {
            return None;
        }
        // SAFETY: the caller promises a live block of the allocator.
        let bytes = unsafe { usable_size(block) };
        let target = space(self.to)?;
        // SAFETY: the theap is the calling thread's own.
        let new = NonNull::new(unsafe { mi_theap_malloc(target, bytes) }.cast::<u8>())?;
        // SAFETY: both blocks are live and at least so long; one was just made, so they are two.
        unsafe {
            ptr::copy_nonoverlapping(block.as_ptr(), new.as_ptr(), bytes);
            settle_move(block, new);
        }
        Some(new)
    }

    /// As [`SparsePages::relocate`], for what a vector holds. Returns the bytes that were moved.
    pub fn relocate_vec<T>(&self, vec: &mut Vec<T>) -> usize {
        const {
            assert!(
                align_of::<T>() <= 16,
                "blocks have the alignment of any block"
            )
        };
        let bytes = vec.capacity() * size_of::<T>();
        if bytes == 0 || !self.has(vec.as_ptr()) {
            return 0;
        }
        let mut old = std::mem::ManuallyDrop::new(std::mem::take(vec));
        let (start, len, capacity) = (old.as_mut_ptr(), old.len(), old.capacity());
        // SAFETY: a vector with capacity has a block of the global allocator, and this one's is
        // its own no longer; a value may be moved byte by byte. Blocks of one size are aligned
        // alike, in whatever heap they lie.
        unsafe {
            let block = NonNull::new_unchecked(start.cast::<u8>());
            let moved = self.relocate(block);
            let start = moved.unwrap_or(block).as_ptr().cast::<T>();
            *vec = Vec::from_raw_parts(start, len, capacity);
            moved.map_or(0, |_| bytes)
        }
    }

    /// As [`SparsePages::relocate`], for what a deque holds; it is short enough to be put in order.
    pub fn relocate_deque<T>(&self, deque: &mut VecDeque<T>) -> usize {
        if !self.has(deque.as_slices().0.as_ptr()) {
            return 0;
        }
        let mut vec = Vec::from(std::mem::take(deque));
        let moved_bytes = self.relocate_vec(&mut vec);
        *deque = vec.into();
        moved_bytes
    }

    /// As [`SparsePages::relocate`], for what a box holds. Returns the bytes that were moved.
    pub fn relocate_box<T>(&self, boxed: &mut Box<T>) -> usize {
        const {
            assert!(
                align_of::<T>() <= 16,
                "blocks have the alignment of any block"
            )
        };
        if size_of::<T>() == 0 || !self.has(&raw const **boxed) {
            return 0;
        }
        // SAFETY: the box is taken out and another put in its place before anybody can see it:
        // nothing in between unwinds. For the block itself as in `relocate_vec`.
        unsafe {
            let block = NonNull::from(&mut **boxed).cast::<u8>();
            let Some(moved) = self.relocate(block) else {
                return 0;
            };
            ptr::write(boxed, Box::from_raw(moved.as_ptr().cast::<T>()));
            size_of::<T>()
        }
    }
}

fn visit_space(heap: *mut mi::mi_heap_t) -> Vec<Page> {
    match theap_of(heap) {
        theap if theap.is_null() => Vec::new(),
        theap => visit(heap, theap),
    }
}

/// The sparse pages of a heap (null is that of the process): the calling thread's, and those that
/// no thread holds, as the allocator has it with large ones that were full once.
fn visit(heap: *mut mi::mi_heap_t, theap: *mut mi::mi_theap_t) -> Vec<Page> {
    let mut gathered = Gathered::default();
    // During a visit nothing may be allocated: the first one counts.
    for round in 0..2 {
        let argument = ptr::from_mut(&mut gathered).cast::<c_void>();
        // SAFETY: the theap is the calling thread's own. Pages that no thread holds are only read,
        // and their headers stay mapped for good. The visitor neither allocates nor frees.
        unsafe {
            mi_theap_visit_blocks(theap, false, Some(gather), argument);
            mi_heap_visit_abandoned_blocks(heap, false, Some(gather), argument);
        }
        if round == 0 {
            gathered.pages.reserve_exact(gathered.met.min(PAGES_MAX));
        }
    }
    gathered.pages
}

/// Sparse pages met in a visit, as many of them as there is room for.
#[derive(Default)]
struct Gathered {
    met: usize,
    pages: Vec<Page>,
}

/// The visitor of pages.
///
/// # Safety
/// Called by mimalloc with a live area, and as argument what was handed to the visit.
unsafe extern "C" fn gather(
    _heap: *const mi::mi_heap_t,
    area: *const mi::mi_heap_area_t,
    _block: *mut c_void,
    _block_size: usize,
    argument: *mut c_void,
) -> bool {
    // SAFETY: see above.
    let (area, gathered) = unsafe { (&*area, &mut *argument.cast::<Gathered>()) };
    // A page that another thread takes up this moment may show any mix of old figures and zero.
    let used_bytes = area.used.saturating_mul(area.full_block_size);
    let (share, of) = if is_pressed() {
        FULL_ENOUGH_PRESSED
    } else {
        FULL_ENOUGH
    };
    if used_bytes > 0 && used_bytes < area.committed / of * share {
        gathered.met += 1;
        if gathered.pages.len() < gathered.pages.capacity() {
            let start = area.blocks.addr();
            gathered.pages.push(Page {
                start,
                end: start + area.reserved,
                block_bytes: area.full_block_size,
                free_bytes: area.committed - used_bytes,
            });
        }
    }
    true
}

fn free_bytes(pages: &[Page]) -> usize {
    pages.iter().map(|page| page.free_bytes).sum()
}

/// Leaves out sizes with little to win: what the server allocates for itself leaves a page of each
/// partly free, and nobody will move that.
fn keep_worthwhile(pages: &mut Vec<Page>) {
    pages.sort_unstable_by_key(|page| page.block_bytes);
    let mut kept = 0;
    let mut at = 0;
    while at < pages.len() {
        let size = pages[at].block_bytes;
        let same = pages[at..].partition_point(|page| page.block_bytes == size);
        if free_bytes(&pages[at..at + same]) > SIZE_FREE_BYTES_MIN {
            pages.copy_within(at..at + same, kept);
            kept += same;
        }
        at += same;
    }
    pages.truncate(kept);
}

/// Frees a block in favour of a new one that was not counted, and charges the calling thread with
/// the difference.
///
/// # Safety
/// Both are live blocks of the allocator; afterwards only the new one may be used.
unsafe fn settle_move(old: NonNull<u8>, new: NonNull<u8>) {
    // SAFETY: the caller's promise.
    let new_bytes = unsafe { usable_size(new) };
    settle(new_bytes as i64);
    // SAFETY: the caller's promise. What moves leaves a page together with others only at the end of a pass.
    unsafe { free_large_block(old, usable_size(old)) };
}
