//! Owns blocks on the allocator's heap: values and keys too large for the slab.
//! Never happens here: the slab, the index, or counting; whoever holds a block asks its size.
//! Source: a growing array with spare capacity of an eighth, the block's own rounding included.

use std::ptr::NonNull;

use memory::heap::SparsePages;
use memory::heap::free_large_block;
use memory::heap::{alloc_block, realloc_block};

/// A growing block keeps 1/8 of its length spare, so that appending copies each byte about eight
/// times in all.
const SPARE_SHIFT: u32 = 3;

/// A block of bytes on the allocator's heap; freed when dropped, on any thread.
#[derive(Debug)]
pub(crate) struct HeapBlock {
    pointer: NonNull<u8>,
    len: usize,
    capacity: usize,
}

// SAFETY: a HeapBlock is the sole owner of its bytes, and the allocator frees from any thread.
unsafe impl Send for HeapBlock {}

impl HeapBlock {
    /// A block that holds a copy of `parts`, one after the other, with no room asked beyond.
    pub(crate) fn concat(parts: &[&[u8]]) -> HeapBlock {
        let len = parts.iter().map(|part| part.len()).sum();
        let mut block = HeapBlock::empty(len);
        for part in parts {
            block.push(part);
        }
        block
    }

    fn empty(capacity: usize) -> HeapBlock {
        let (pointer, capacity) = alloc_block(capacity);
        HeapBlock {
            pointer,
            len: 0,
            capacity,
        }
    }

    /// Bytes of the block.
    pub(crate) fn block_bytes(&self) -> usize {
        self.capacity
    }

    /// The bytes in use.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the first `len` bytes of our own block were written.
        unsafe { std::slice::from_raw_parts(self.pointer.as_ptr(), self.len) }
    }

    /// Appends, growing with room to spare.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let len = self.len + bytes.len();
        self.reserve(len);
        // SAFETY: `reserve` made room for `len` bytes, and nobody can hold a borrow of ours.
        unsafe {
            let end = self.pointer.as_ptr().add(self.len);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), end, bytes.len());
        }
        self.len = len;
    }

    /// Lengthens with zeroes to `len`, growing with room to spare; never shortens.
    pub(crate) fn extend_zeroed(&mut self, len: usize) {
        if len <= self.len {
            return;
        }
        self.reserve(len);
        // SAFETY: `reserve` made room for `len` bytes.
        unsafe {
            self.pointer
                .as_ptr()
                .add(self.len)
                .write_bytes(0, len - self.len)
        };
        self.len = len;
    }

    fn reserve(&mut self, len: usize) {
        if len > self.capacity {
            let spare = if self.len == 0 { 0 } else { len >> SPARE_SHIFT };
            // SAFETY: the pointer came from the allocator and is replaced at once.
            (self.pointer, self.capacity) = unsafe { realloc_block(self.pointer, len + spare) };
        }
    }

    /// Moves the block if it lies in a sparse page. Returns the bytes that were moved.
    pub(crate) fn relocate(&mut self, sparse: &SparsePages) -> usize {
        // SAFETY: the pointer came from the allocator, is ours alone, and is replaced at once.
        match unsafe { sparse.relocate(self.pointer) } {
            Some(moved) => {
                self.pointer = moved;
                self.capacity
            }
            None => 0,
        }
    }

    /// Gives the block up to three words, which [`HeapBlock::from_words`] takes back.
    pub(crate) fn into_words(self) -> [u64; 3] {
        let block = std::mem::ManuallyDrop::new(self);
        let address = block.pointer.as_ptr().expose_provenance();
        [address as u64, block.len as u64, block.capacity as u64]
    }

    /// Takes a block back from the words it was given up to.
    ///
    /// # Safety
    /// The words came from [`HeapBlock::into_words`], and no other block was made of them since.
    pub(crate) unsafe fn from_words(words: [u64; 3]) -> HeapBlock {
        let pointer = std::ptr::with_exposed_provenance_mut::<u8>(words[0] as usize);
        HeapBlock {
            // SAFETY: by the caller's promise this is the address of a live block.
            pointer: unsafe { NonNull::new_unchecked(pointer) },
            len: words[1] as usize,
            capacity: words[2] as usize,
        }
    }
}

impl Drop for HeapBlock {
    fn drop(&mut self) {
        // SAFETY: the pointer came from the allocator and this is its only owner.
        unsafe { free_large_block(self.pointer, self.capacity) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_holds_its_parts_in_order() {
        let block = HeapBlock::concat(&[b"one", b"", b"two"]);
        assert_eq!(block.bytes(), b"onetwo");
        assert!(block.capacity >= 6);
    }

    #[test]
    fn appending_keeps_what_was_there() {
        let mut block = HeapBlock::concat(&[b"start"]);
        for _ in 0..10_000 {
            block.push(b"xy");
        }
        assert_eq!(block.len, 20_005);
        assert!(block.bytes().starts_with(b"startxyxy"));
    }

    #[test]
    fn lengthening_fills_with_zeroes() {
        let mut block = HeapBlock::concat(&[b"ab"]);
        block.extend_zeroed(5);
        assert_eq!(block.bytes(), b"ab\0\0\0");
        block.extend_zeroed(3);
        assert_eq!(block.len, 5);
    }

    #[test]
    fn a_block_survives_being_given_up_and_taken_back() {
        let words = HeapBlock::concat(&[b"bytes"]).into_words();
        // SAFETY: the words were just made and are used once.
        let block = unsafe { HeapBlock::from_words(words) };
        assert_eq!(block.bytes(), b"bytes");
    }

    #[test]
    fn a_block_may_be_dropped_on_another_thread() {
        let block = HeapBlock::concat(&[&[7u8; 100_000]]);
        std::thread::spawn(move || assert_eq!(block.bytes()[99_999], 7))
            .join()
            .unwrap();
    }
}
