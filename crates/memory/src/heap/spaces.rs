//! Owns the heaps of the calling thread: its own, and two spaces beside it that blocks move to.
//! Never happens here: choosing what moves.
//! Source: heaps of mimalloc v3, which any number of may lie beside a thread's own.

use std::cell::Cell;
use std::ptr;

use libmimalloc_sys as mi;

use super::mimalloc::{mi_heap_theap, mi_theap_collect, mi_theap_get_default};

thread_local! {
    static SPACES: Cell<[*mut mi::mi_heap_t; 2]> = const { Cell::new([ptr::null_mut(); 2]) };
}

/// The two heaps; null until first used.
pub(super) fn heaps() -> [*mut mi::mi_heap_t; 2] {
    SPACES.get()
}

/// The calling thread's heaps beside its own, those that were ever used.
pub(super) fn spaces() -> impl Iterator<Item = *mut mi::mi_theap_t> {
    let theaps = SPACES.get().map(theap_of);
    theaps.into_iter().filter(|theap| !theap.is_null())
}

/// Tidies them as [`collect`] does the thread's own.
fn collect_spaces(force: bool) {
    for theap in spaces() {
        // SAFETY: the theap is the calling thread's own.
        unsafe { mi_theap_collect(theap, force) };
    }
}

/// That of the thread's own heap.
pub(super) fn own_theap() -> *mut mi::mi_theap_t {
    // SAFETY: names the calling thread's own.
    unsafe { mi_theap_get_default() }
}

/// The calling thread's part of a heap, null where there is no heap.
pub(super) fn theap_of(heap: *mut mi::mi_heap_t) -> *mut mi::mi_theap_t {
    if heap.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: the heap was made below, for this thread, and is never deleted.
    unsafe { mi_heap_theap(heap) }
}

/// One of the thread's spaces, made when it is first needed.
pub(super) fn space(number: usize) -> Option<*mut mi::mi_theap_t> {
    let mut heaps = SPACES.get();
    if heaps[number].is_null() {
        // SAFETY: makes a heap of its own; null when there is no memory.
        heaps[number] = unsafe { mi::mi_heap_new() };
        SPACES.set(heaps);
    }
    let theap = theap_of(heaps[number]);
    (!theap.is_null()).then_some(theap)
}

/// Tidies the calling thread's heap; with `force` also frees its empty pages at once and returns
/// the allocator's unused memory of the whole process to the operating system.
pub fn collect(force: bool) {
    collect_spaces(force);
    // SAFETY: acts on the calling thread's own heap.
    unsafe { mi::mi_collect(force) }
}
