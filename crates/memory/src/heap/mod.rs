//! Owns the heap: the process' allocator, who holds how much of it, and how its sparse pages become empty.
//! Never happens here: what a block is for.
//! Source: mimalloc v3 (Leijen, Zorn, de Moura 2019); decision 0005.

mod accounts;
mod areas;
mod blocks;
mod global;
mod large;
mod mimalloc;
mod pressed;
mod spaces;
mod sparse;
pub mod travel;

pub use accounts::{
    note_foreign_free, process_allocated_bytes, sharded_allocated_bytes, thread_allocated_bytes,
    thread_foreign_freed_bytes, unsharded_allocated_bytes,
};
pub use areas::{
    HeapAreas, SizeClass, abandoned_areas, charge_thread_to, heap_areas, process_areas,
};
pub use blocks::{alloc_block, free_block, good_size, realloc_block, try_alloc_block, usable_size};
pub use global::CountingAlloc;
pub use large::free_large_block;
pub use pressed::{is_pressed, press, purging_at_once, set_purge_delay};
pub use spaces::collect;
pub use sparse::SparsePages;
