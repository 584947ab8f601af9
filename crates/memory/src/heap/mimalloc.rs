//! Names the calls of mimalloc v3 that its bindings do not: those that tell the size of a block, and those that know heaps.
//! Never happens here: anything but naming.
//! Source: mimalloc.h of mimalloc 3.3.

use std::ffi::c_void;

use libmimalloc_sys as mi;

unsafe extern "C" {
    pub(super) fn mi_umalloc(size: usize, block_size: *mut usize) -> *mut c_void;
    pub(super) fn mi_ucalloc(count: usize, size: usize, block_size: *mut usize) -> *mut c_void;
    pub(super) fn mi_umalloc_aligned(
        size: usize,
        align: usize,
        block_size: *mut usize,
    ) -> *mut c_void;
    pub(super) fn mi_uzalloc_aligned(
        size: usize,
        align: usize,
        block_size: *mut usize,
    ) -> *mut c_void;
    pub(super) fn mi_urealloc(
        block: *mut c_void,
        new_size: usize,
        block_size_before: *mut usize,
        block_size_after: *mut usize,
    ) -> *mut c_void;
    pub(super) fn mi_ufree(block: *mut c_void, block_size: *mut usize);
    pub(super) fn mi_heap_of(block: *const c_void) -> *mut mi::mi_heap_t;
    pub(super) fn mi_heap_theap(heap: *mut mi::mi_heap_t) -> *mut mi::mi_theap_t;
    pub(super) fn mi_heap_visit_abandoned_blocks(
        heap: *mut mi::mi_heap_t,
        visit_blocks: bool,
        visitor: mi::mi_block_visit_fun,
        argument: *mut c_void,
    ) -> bool;
    pub(super) fn mi_theap_get_default() -> *mut mi::mi_theap_t;
    pub(super) fn mi_theap_collect(theap: *mut mi::mi_theap_t, force: bool);
    pub(super) fn mi_theap_malloc(theap: *mut mi::mi_theap_t, size: usize) -> *mut c_void;
    pub(super) fn mi_theap_visit_blocks(
        theap: *const mi::mi_theap_t,
        visit_blocks: bool,
        visitor: mi::mi_block_visit_fun,
        argument: *mut c_void,
    ) -> bool;
    pub(super) fn mi_subproc_main() -> Subprocess;
    pub(super) fn mi_subproc_visit_heaps(
        subprocess: Subprocess,
        visitor: HeapVisitor,
        argument: *mut c_void,
    ) -> bool;
}

/// `mi_subproc_id_t`: all heaps of the process belong to one.
#[repr(C)]
pub(super) struct Subprocess(*mut c_void);

/// What is called for each heap.
pub(super) type HeapVisitor =
    unsafe extern "C" fn(heap: *mut mi::mi_heap_t, argument: *mut c_void) -> bool;

/// `mi_option_purge_delay`: for how many milliseconds what is empty is kept.
pub(super) const PURGE_DELAY: mi::mi_option_t = 15;
