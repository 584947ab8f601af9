//! What every test here begins with: a server, dice, and short names for replies.
//! Never decides what a right answer is.
//! Source of the dice: Marsaglia's xorshift64*.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use resp::Reply;
use testkit::Server;

/// The server program under test.
pub fn binary() -> PathBuf {
    let other = std::env::var_os("PINYON_TEST_BINARY").map(PathBuf::from);
    other.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_pinyon")))
}

/// A server with this many shards and further options.
pub fn start(shards: usize, options: &[&str]) -> Server {
    let shards = shards.to_string();
    let mut all = vec!["--shards", &shards];
    all.extend(options);
    Server::start(binary(), &all)
}

/// A server for a test of something that Redis does not have; None, and a
/// word about it, where the server under test is Redis.
pub fn start_ours(shards: usize, options: &[&str]) -> Option<Server> {
    if binary().ends_with("redis-server") {
        skipped(
            "a test of what only Pinyon does",
            "the server under test is redis-server",
        );
        return None;
    }
    Some(start(shards, options))
}

/// Says that something was not tested, past the test harness' capture.
pub fn skipped(what: &str, why: &str) {
    // A closed stderr is no reason to fail.
    let _ = writeln!(std::io::stderr(), "SKIPPED {what}: {why}");
}

/// Whether this environment variable asks that nothing be skipped.
pub fn is_required(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|value| !value.is_empty() && value != "0")
}

/// `+OK`
pub fn ok() -> Reply {
    Reply::Simple(b"OK".to_vec())
}

/// A string reply.
pub fn bulk<A: AsRef<[u8]>>(bytes: A) -> Reply {
    Reply::Bulk(bytes.as_ref().to_vec())
}

/// An error reply.
pub fn error(text: &str) -> Reply {
    Reply::Error(text.as_bytes().to_vec())
}

/// The text of a string reply. Panics on any other.
pub fn text(reply: &Reply) -> String {
    match reply {
        Reply::Bulk(text) | Reply::Simple(text) | Reply::Verbatim(_, text) => {
            String::from_utf8_lossy(text).into_owned()
        }
        other => panic!("{other:?} is no text"),
    }
}

/// The elements of an array reply. Panics on any other.
pub fn elements(reply: Reply) -> Vec<Reply> {
    match reply {
        Reply::Array(elements) => elements,
        other => panic!("{other:?} is no array"),
    }
}

/// Looks again and again until `done`; panics when it has not come true after a
/// time in which any machine would have got there.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    const PATIENCE: Duration = Duration::from_secs(30);
    let started = Instant::now();
    while !done() {
        assert!(
            started.elapsed() < PATIENCE,
            "it never came true that {what}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Numbers that look random and are the same in every run.
pub struct Dice(u64);

impl Dice {
    /// Dice that roll as the seed says.
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        (high as usize) % sides
    }
}
