//! Owns the process' allocator, which counts every block on the account of the thread that takes or gives it back.
//! Never happens here: a read-modify-write of shared memory on the way of an allocation.
//! Source: mimalloc v3 (Leijen, Zorn, de Moura 2019), whose `u` calls tell the size of the block they touch.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::c_void;
use std::ptr;

use libmimalloc_sys as mi;

use super::accounts::settle;
use super::blocks::good_size;
use super::large::{LARGE_BYTES, discard_if_pressed};
use super::mimalloc::{
    mi_ucalloc, mi_ufree, mi_umalloc, mi_umalloc_aligned, mi_urealloc, mi_uzalloc_aligned,
};
use super::pressed::is_pressed;

/// Every block mimalloc hands out is aligned to this, when it is at least as large.
const NATURAL_ALIGN_BYTES: usize = 16;

/// The global allocator: mimalloc, with every block charged to the thread that allocates it and
/// credited to the thread that frees it, at the size the block really has.
#[derive(Clone, Copy, Debug, Default)]
pub struct CountingAlloc;

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
            // What mimalloc's counting call cannot.
            // SAFETY: the trait's promises on `realloc` are those of the calls.
            return unsafe { realloc_by_moving(block, layout, new_size) };
        }
        if new_size < layout.size() {
            // SAFETY: as above.
            return unsafe { shrink(block, layout, new_size) };
        }
        if layout.size() >= LARGE_BYTES {
            // SAFETY: as above.
            return unsafe { realloc_large(block, layout, new_size) };
        }
        // SAFETY: as above.
        unsafe { realloc_natural(block, layout, new_size) }
    }
}

/// Makes a block smaller. mimalloc leaves it where it is while half of it is used; here it moves as soon as a smaller one will do,
/// so that what a buffer holds follows from its capacity.
///
/// # Safety
/// That of [`GlobalAlloc::realloc`].
#[cold]
unsafe fn shrink(block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe {
        if good_size(new_size.max(layout.align())) >= mi::mi_usable_size(block.cast::<c_void>()) {
            return block;
        }
        realloc_by_moving(block, layout, new_size)
    }
}

/// Reallocates what needs no more than the allocator's own alignment. Null without memory.
///
/// # Safety
/// That of [`GlobalAlloc::realloc`].
#[inline(always)]
unsafe fn realloc_natural(block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
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

/// Reallocates by taking a block, copying and freeing. Null without memory.
///
/// # Safety
/// That of [`GlobalAlloc::realloc`].
#[cold]
unsafe fn realloc_by_moving(block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
    // SAFETY: the alignment is valid, and the caller promises a size above zero that fits it. The blocks are two live ones that
    // do not overlap, each at least as long as what is copied; the old one is the caller's to give.
    unsafe {
        let new_layout = Layout::from_size_align_unchecked(new_size, layout.align());
        let moved = CountingAlloc.alloc(new_layout);
        if !moved.is_null() {
            ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size));
            CountingAlloc.dealloc(block, layout);
        }
        moved
    }
}

/// Reallocates a large block. While it is copied it is there twice, and counts twice for those who look meanwhile: they hold
/// the resident set against what is counted.
///
/// # Safety
/// That of [`GlobalAlloc::realloc`].
#[cold]
unsafe fn realloc_large(block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
    if is_pressed() {
        // SAFETY: the caller's promise.
        return unsafe { realloc_pressed(block, layout, new_size) };
    }
    settle(layout.size() as i64);
    // SAFETY: the caller's promise.
    let moved = unsafe { realloc_natural(block, layout, new_size) };
    settle(-(layout.size() as i64));
    moved
}

/// Reallocates a large block while the resident set is above its limit: where it moves, what it leaves is given back.
///
/// # Safety
/// That of [`GlobalAlloc::realloc`].
unsafe fn realloc_pressed(block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe {
        if new_size <= mi::mi_usable_size(block.cast::<c_void>()) {
            return block;
        }
        realloc_by_moving(block, layout, new_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::thread_allocated_bytes;

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
    fn a_block_that_shrinks_is_as_large_as_one_made_so() {
        for (size, smaller) in [
            (13_000, 8_100),
            (1000, 990),
            (300_000, 200_000),
            (3 << 20, 2_900_000),
        ] {
            let layout = |size| Layout::from_size_align(size, 1).unwrap();
            let before = thread_allocated_bytes();
            // SAFETY: every access is within the live block, which is freed once, with its layout.
            unsafe {
                let block = CountingAlloc.alloc(layout(size));
                block.write_bytes(7, size);
                let block = CountingAlloc.realloc(block, layout(size), smaller);
                assert_eq!(thread_allocated_bytes() - before, good_size(smaller) as i64);
                let kept = std::slice::from_raw_parts(block, smaller);
                assert!(kept.iter().all(|byte| *byte == 7));
                CountingAlloc.dealloc(block, layout(smaller));
            }
            assert_eq!(thread_allocated_bytes(), before);
        }
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
}
