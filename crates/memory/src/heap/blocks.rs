//! Owns blocks of the heap as such: taken, grown and given back, each at the size it really has, on the account of the thread that does so.
//! Never happens here: a read-modify-write of shared memory, or mimalloc's own statistics.
//! Source: mimalloc v3 (Leijen, Zorn, de Moura 2019), whose `u` calls tell the size of the block they touch.

use std::alloc::{Layout, handle_alloc_error};
use std::ffi::c_void;
use std::ptr::NonNull;

use libmimalloc_sys as mi;

use super::accounts::settle;
use super::mimalloc::{mi_ufree, mi_umalloc, mi_urealloc};

/// Blocks up to this many bytes come in size classes; a larger one has pages of its own.
pub(super) const CLASS_BYTES_MAX: usize = 512 * 1024;

/// The size in bytes of the block that a request of `size` bytes would get.
pub fn good_size(size: usize) -> usize {
    if size > CLASS_BYTES_MAX {
        return large_size(size);
    }
    // SAFETY: computes from its argument alone.
    unsafe { mi::mi_good_size(size) }
}

/// The size of a block with pages of its own, which `mi_good_size` does not tell: rounded up the more the larger it is, so that
/// such blocks fit into each other's places.
fn large_size(size: usize) -> usize {
    const STEPS: [(usize, usize); 3] = [
        (2 << 20, 64 << 10),
        (8 << 20, 256 << 10),
        (32 << 20, 1 << 20),
    ];
    const LAST_STEP: usize = 4 << 20;
    let step = STEPS
        .iter()
        .find(|(below, _)| size < *below)
        .map_or(LAST_STEP, |(_, step)| *step);
    size.checked_next_multiple_of(step).unwrap_or(size)
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

#[cold]
fn out_of_memory(size: usize) -> ! {
    let layout = Layout::from_size_align(size, 1).unwrap_or(Layout::new::<u8>());
    handle_alloc_error(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::thread_allocated_bytes;

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
    fn the_size_of_a_block_is_known_before_it_is_taken() {
        let sizes = (0..40).flat_map(|step| {
            let size = 8usize << (step / 2);
            let size = if step % 2 == 0 { size } else { size + size / 2 };
            [size - 1, size, size + 1, size + size / 5]
        });
        for size in sizes.chain([700_000, 1_500_000, 3_000_000, 10_000_001, 100_000_000]) {
            let (block, bytes) = alloc_block(size);
            assert_eq!(good_size(size), bytes, "a block of {size}");
            // SAFETY: the block is live and not used again.
            unsafe { free_block(block) };
        }
        assert_eq!(good_size(usize::MAX - 1), usize::MAX - 1);
    }

    #[test]
    fn a_block_nobody_can_have_is_refused() {
        assert!(try_alloc_block(usize::MAX / 2 + 1).is_none());
    }
}
