//! Owns what happens to large blocks while the resident set is above its limit: their pages go back to the kernel at once.
//! Never happens here: a system call while pages are not short, or for a small block.
//! Source: MADV_DONTNEED, madvise(2), on blocks that the allocator keeps for the next one of their size.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::c_void;
use std::ptr::{self, NonNull};

use libmimalloc_sys as mi;

use crate::accounts::settle;
use crate::alloc::{CountingAlloc, free_block, realloc_natural};
use crate::compact::is_pressed;
use crate::pages::discard_inside;

/// A block from this size on is given back at once while the resident set is above its limit: a system call is little beside
/// writing to it.
pub(crate) const LARGE_BYTES: usize = 64 << 10;

/// Gives the pages of a block that is about to be freed back while the resident set is above its limit.
///
/// # Safety
/// The block is live, the caller's own, and at least so long.
#[cold]
pub(crate) unsafe fn discard_if_pressed(block: *mut u8, bytes: usize) {
    if let (true, Some(block)) = (is_pressed(), NonNull::new(block)) {
        // SAFETY: the caller's promise.
        unsafe { discard_inside(block, bytes) };
    }
}

/// As [`crate::alloc::free_block`], for a block of many pages of the kernel: while the resident set is above its limit, these
/// are given back at once, whatever else the allocator keeps in the same place. They come back, page by page, when the block
/// is used again.
///
/// # Safety
/// That of [`crate::alloc::free_block`]; `bytes` is what the allocator said of the block when it was handed out.
pub unsafe fn free_large_block(block: NonNull<u8>, bytes: usize) -> usize {
    if is_pressed() {
        // SAFETY: the caller's promise: the block is live, its own, and as long.
        unsafe { discard_inside(block, bytes) };
    }
    // SAFETY: the caller's promise.
    unsafe { free_block(block) }
}

/// Reallocates a large block. While it is copied it is there twice, and counts twice for those who look meanwhile: they hold
/// the resident set against what is counted.
///
/// # Safety
/// That of [`GlobalAlloc::realloc`].
#[cold]
pub(crate) unsafe fn realloc_large(
    allocator: &CountingAlloc,
    block: *mut u8,
    layout: Layout,
    new_size: usize,
) -> *mut u8 {
    if is_pressed() {
        // SAFETY: the caller's promise.
        return unsafe { realloc_pressed(allocator, block, layout, new_size) };
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
unsafe fn realloc_pressed(
    allocator: &CountingAlloc,
    block: *mut u8,
    layout: Layout,
    new_size: usize,
) -> *mut u8 {
    // SAFETY: the trait's promises on `realloc` are those of the calls; both blocks hold what is copied.
    unsafe {
        let usable_bytes = mi::mi_usable_size(block.cast::<c_void>());
        if (usable_bytes / 2..=usable_bytes).contains(&new_size) {
            return block;
        }
        let new_layout = Layout::from_size_align_unchecked(new_size, layout.align());
        let moved = allocator.alloc(new_layout);
        if !moved.is_null() {
            ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size));
            allocator.dealloc(block, layout);
        }
        moved
    }
}
