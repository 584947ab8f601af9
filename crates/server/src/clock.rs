//! The two clocks of a core, read once a turn, and by those who hold the others of their core up.
//! Nothing else in the program reads a clock for a client's sake.
//! Wall time is for expiry, which clients give in wall time; the other never goes back: see clock_gettime(2).

use std::time::{Instant, SystemTime, UNIX_EPOCH};
use store::Millis;

std::thread_local! {
    static START: Instant = Instant::now();
}

/// Unix milliseconds, and microseconds since this thread's start.
pub fn read() -> (Millis, u64) {
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64);
    (Millis(wall), mono_us())
}

/// Microseconds since this thread's start.
pub fn mono_us() -> u64 {
    START.with(|start| start.elapsed().as_micros() as u64) + 1
}
