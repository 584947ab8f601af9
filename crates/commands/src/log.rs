//! The log: lines on standard error, and on standard output what the start and the end have to say.
//! Never fails and never panics: where nobody can be told, because the reader has gone or the disk is full, the server goes on.
//! Source: none; `eprintln!` would end the process there.

use std::fmt::Arguments;
use std::io::Write;

/// Writes one line to the log.
pub fn line(text: Arguments<'_>) {
    // In one piece, so that lines of several cores do not mix.
    let line = format!("pinyon: {text}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Writes what a person who started the server looks at.
pub fn screen(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
