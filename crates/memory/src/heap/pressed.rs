//! Owns whether pages are short, which means that the resident set is above its limit, and how soon the allocator gives back what is empty.
//! Never happens here: reading the resident set; whoever does says what it found.
//! Source: the option `purge_delay` of mimalloc v3.

use std::sync::atomic::{AtomicBool, Ordering};

use libmimalloc_sys as mi;

use super::mimalloc::PURGE_DELAY;
use super::spaces::collect;

/// How long the allocator keeps what is empty before it gives it back, unless told otherwise.
const PURGE_DELAY_MS: std::ffi::c_long = 100;
/// The same while the resident set is above its limit: at once.
const PURGE_DELAY_PRESSED_MS: std::ffi::c_long = 0;
/// Whether the resident set is above its limit.
static IS_PRESSED: AtomicBool = AtomicBool::new(false);

/// Has the allocator give back what becomes empty a tenth of a second later, in the whole process;
/// its own second makes for ten times the work at once. Where the resident set is above its limit, sooner.
pub fn set_purge_delay() {
    let is_pressed = IS_PRESSED.load(Ordering::Relaxed);
    let delay_ms = if is_pressed {
        PURGE_DELAY_PRESSED_MS
    } else {
        PURGE_DELAY_MS
    };
    // SAFETY: a number of the allocator's own options.
    unsafe { mi::mi_option_set(PURGE_DELAY, delay_ms) };
}

/// Says whether the resident set is above its limit, so that what becomes empty should go sooner.
pub fn press(is_pressed: bool) {
    if IS_PRESSED.swap(is_pressed, Ordering::Relaxed) != is_pressed {
        if is_pressed {
            // What waits for its time now would wait for as long as nothing waits.
            collect(true);
        }
        set_purge_delay();
    }
}

/// Whether the resident set is above its limit, as was last said.
#[inline]
pub fn is_pressed() -> bool {
    IS_PRESSED.load(Ordering::Relaxed)
}

/// Does `work` while whatever becomes empty is given back at once, so that the time this takes
/// falls on whoever has measured `work`, not on a later allocation of somebody else's.
pub fn purging_at_once<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: as above. Other threads that free meanwhile give back at once, too, and if two do
    // this the first to end ends it for both; neither matters.
    unsafe { mi::mi_option_set(PURGE_DELAY, 0) };
    let result = work();
    set_purge_delay();
    result
}
