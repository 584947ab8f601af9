//! SIGTERM and SIGINT end the server in order; a second one ends it at once.
//! A signal only sets a flag that every core looks at; nothing else happens in a handler.
//! SIGPIPE is ignored by Rust's runtime; sends say so themselves.

use crate::shared::Shared;
use signal_hook::{consts::TERM_SIGNALS, iterator::Signals};
use std::sync::Arc;

/// Watches for signals on a thread of its own.
///
/// # Errors
/// One line, when the system refuses.
pub fn watch(shared: Arc<Shared>) -> Result<(), String> {
    let mut signals =
        Signals::new(TERM_SIGNALS).map_err(|error| format!("cannot watch for signals: {error}"))?;
    let watch = move || {
        for signal in signals.forever() {
            if shared.is_stopping() {
                std::process::exit(128 + signal);
            }
            shared.stop();
        }
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(watch)
        .map(drop)
        .map_err(|error| format!("cannot start a thread: {error}"))
}
