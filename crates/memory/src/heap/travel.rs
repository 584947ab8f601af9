//! Owns what threads must tell their counters when live blocks go from one thread to another.
//! Never happens here: sending anything; whoever sends knows what it carries.
//! Source: the allocator's own word on the size of a block.

use libmimalloc_sys as mi;

use std::ffi::c_void;

use super::accounts;

/// Takes bytes of live blocks off the calling thread's counter: another thread holds them from here on and will free them.
/// It takes them by the same call with the sign turned; until then they are on nobody's, but for
/// [`crate::heap::sharded_allocated_bytes`].
pub fn hand_over(bytes: i64) {
    accounts::hand_over(bytes);
}

/// Bytes of the block behind a vector, or what was asked for where it is not of this allocator.
pub fn vec_bytes<T>(vec: &Vec<T>) -> usize {
    block_bytes(vec.as_ptr().cast(), vec.capacity() * size_of::<T>())
}

/// Bytes of the block behind a box, as [`vec_bytes`].
pub fn box_bytes<T: ?Sized>(boxed: &T) -> usize {
    block_bytes((&raw const *boxed).cast(), size_of_val(boxed))
}

fn block_bytes(block: *const c_void, asked_bytes: usize) -> usize {
    // SAFETY: the first takes any address; the second a live block of this allocator, which the first has told.
    let known = unsafe { mi::mi_is_in_heap_region(block).then(|| mi::mi_usable_size(block)) };
    known.unwrap_or(asked_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_nothing_has_no_block() {
        assert_eq!(vec_bytes(&Vec::<u64>::new()), 0);
        assert_eq!(box_bytes(&*Box::<[u8]>::default()), 0);
    }

    #[test]
    fn a_block_is_at_least_what_was_asked_for() {
        assert!(vec_bytes(&vec![0u8; 1000]) >= 1000);
        assert!(box_bytes(&*vec![0u8; 300].into_boxed_slice()) >= 300);
    }
}
