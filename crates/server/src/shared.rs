//! What all cores and the main thread share: whether the process is to end.
//! Everything else is either a core's own or goes through the mesh.
//! One flag, looked at once a turn.

use std::sync::atomic::{AtomicBool, Ordering};

/// Shared by all threads.
#[derive(Debug, Default)]
pub struct Shared {
    stopping: AtomicBool,
}

impl Shared {
    /// Asks every core to end; they see it within a tenth of a second.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether the process is to end.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}
