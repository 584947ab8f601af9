//! The log: lines on standard error, and on standard output what the start and the end have to say.
//! Never fails, panics or waits: where nobody can be told, as the reader has gone or the disk is full, the server goes on.
//! Source: pipe(7) for what a pipe takes at once; `eprintln!` would end the process there, or wait.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fmt::Arguments;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

/// What a pipe that can be written to takes without waiting (PIPE_BUF), and in one piece, so that lines do not mix.
const LINE_BYTES_MAX: usize = 4096;

/// Lines that found no reader since the last that did. Held while a line is written: the room that one core has seen is not
/// to be filled by another meanwhile.
static LOST_LINES: Mutex<u64> = Mutex::new(0);

/// Writes one line to the log; a line longer than 4 KiB is cut.
pub fn line(text: Arguments<'_>) {
    let mut lost = LOST_LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let stderr = std::io::stderr();
    if !takes_bytes(&stderr) {
        *lost += 1;
        return;
    }
    let line = match std::mem::take(&mut *lost) {
        0 => format!("pinyon: {text}"),
        lines => format!("pinyon: ({lines} lines before this found no reader) {text}"),
    };
    let mut line = line.into_bytes();
    line.truncate(LINE_BYTES_MAX - 1);
    line.push(b'\n');
    let _ = stderr.lock().write_all(&line);
}

/// Writes what a person who started the server looks at.
pub fn screen(text: &str) {
    let mut out = std::io::stdout();
    if takes_bytes(&out) {
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// Whether a write of a line would not wait. A file that cannot be written at all says yes: the write fails at once.
fn takes_bytes(file: &impl AsFd) -> bool {
    let mut polled = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
    poll(&mut polled, PollTimeout::ZERO) != Ok(0)
}
