//! Owns what happens to large blocks while the resident set is above its limit: their pages go back to the kernel at once.
//! Never happens here: a system call while pages are not short, or for a small block.
//! Source: MADV_DONTNEED, madvise(2), on blocks that the allocator keeps for the next one of their size.

use std::ptr::NonNull;

use super::blocks::free_block;
use super::pressed::is_pressed;
use crate::pages::discard_inside;

/// A block from this size on is given back at once while the resident set is above its limit: a system call is little beside
/// writing to it.
pub(super) const LARGE_BYTES: usize = 64 << 10;

/// Gives the pages of a block that is about to be freed back while the resident set is above its limit.
///
/// # Safety
/// The block is live, the caller's own, and at least so long.
#[cold]
pub(super) unsafe fn discard_if_pressed(block: *mut u8, bytes: usize) {
    if let (true, Some(block)) = (is_pressed(), NonNull::new(block)) {
        // SAFETY: the caller's promise.
        unsafe { discard_inside(block, bytes) };
    }
}

/// As [`crate::heap::free_block`], for a block of many pages of the kernel: while the resident set is above its limit, these
/// are given back at once, whatever else the allocator keeps in the same place. They come back, page by page, when the block
/// is used again.
///
/// # Safety
/// That of [`crate::heap::free_block`]; `bytes` is what the allocator said of the block when it was handed out.
pub unsafe fn free_large_block(block: NonNull<u8>, bytes: usize) -> usize {
    if is_pressed() {
        // SAFETY: the caller's promise: the block is live, its own, and as long.
        unsafe { discard_inside(block, bytes) };
    }
    // SAFETY: the caller's promise.
    unsafe { free_block(block) }
}
