//! A redis-server of this machine to compare with, and what may differ between its answers and ours.
//! Never hides a difference: each that is allowed has its reason here.
//! Source: redis-server 7, from `$REDIS_SERVER` or the path.

use std::io::Write;
use std::path::PathBuf;

use resp::{Proto, Reply};

use crate::client::Client;
use crate::generate::Words;
use crate::server::{Server, find_program};

/// Set to `1` where a missing redis-server is a failure and not a reason to skip.
pub const REQUIRE: &str = "PINYON_REQUIRE_ORACLE";
/// Names the redis-server to compare with.
pub const PROGRAM: &str = "REDIS_SERVER";

/// A running redis-server and a connection to it.
#[derive(Debug)]
pub struct Oracle {
    server: Server,
    client: Client,
}

impl Oracle {
    /// Starts one. Where there is no redis-server, says that `test` is skipped and returns nothing.
    ///
    /// # Panics
    /// Where there is none and [`REQUIRE`] is set.
    pub fn start(test: &str) -> Option<Oracle> {
        let program = std::env::var_os(PROGRAM)
            .map(PathBuf::from)
            .or_else(|| find_program("redis-server"));
        let Some(program) = program else {
            let required = std::env::var_os(REQUIRE).is_some_and(|value| value == "1");
            assert!(
                !required,
                "{test}: {REQUIRE}=1, but there is no redis-server"
            );
            // Written past the capture of the test harness, so that it is seen though the test passes.
            let note = format!("SKIPPED {test}: no redis-server in the path and no ${PROGRAM}\n");
            let _ = std::io::stderr().write_all(note.as_bytes());
            return None;
        };
        let server = Server::start(program, &[]);
        let client = server.client();
        Some(Oracle { server, client })
    }

    /// Goes on with a new connection.
    pub fn connect(&mut self, proto: Proto) {
        self.client = match proto {
            Proto::Resp2 => self.server.client(),
            Proto::Resp3 => self.server.client_resp3(),
        };
    }

    /// What it answers to a command.
    pub fn run<A: AsRef<[u8]>>(&mut self, words: &[A]) -> Reply {
        self.client.command(words)
    }
}

/// The answer to a command. A SCAN from the start is followed to its end, and answers an array of all its keys in order.
pub fn answer(words: &Words, mut run: impl FnMut(&Words) -> Reply) -> Reply {
    let first = run(words);
    let is_scan =
        words[0].eq_ignore_ascii_case(b"scan") && words.get(1).is_some_and(|cursor| cursor == b"0");
    let Some((mut cursor, mut found)) = scan_page(&first).filter(|_| is_scan) else {
        return first;
    };
    let mut words = words.clone();
    while cursor != b"0" {
        words[1] = cursor;
        let reply = run(&words);
        let (next, keys) =
            scan_page(&reply).unwrap_or_else(|| panic!("SCAN went on with {reply:?}"));
        found.extend(keys);
        cursor = next;
    }
    found.sort_by(|a, b| format!("{a:?}").cmp(&format!("{b:?}")));
    found.dedup();
    Reply::Array(found)
}

/// The cursor and the keys of one answer to SCAN.
fn scan_page(reply: &Reply) -> Option<(Vec<u8>, Vec<Reply>)> {
    match reply {
        Reply::Array(page) => match &page[..] {
            [Reply::Bulk(cursor), Reply::Array(keys)] => Some((cursor.clone(), keys.clone())),
            _ => None,
        },
        _ => None,
    }
}

/// How far two remaining lives may lie apart, in seconds: a test takes less, and generated times differ by more.
const TIME_TOLERANCE_S: i64 = 90;
const MS_PER_S: i64 = 1000;

/// Whether our answer to a command is as good as Redis' answer.
///
/// # Errors
/// Both answers, where they differ without a reason.
pub fn compare(words: &Words, ours: &Reply, theirs: &Reply) -> Result<(), String> {
    let name = words[0].to_ascii_lowercase();
    let same = match (&name[..], ours, theirs) {
        (_, ours, theirs) if ours == theirs => true,
        // Remaining lives go down while the test runs.
        (b"ttl" | b"expiretime", Reply::Int(ours), Reply::Int(theirs)) => {
            near(*ours, *theirs, TIME_TOLERANCE_S)
        }
        (b"pttl" | b"pexpiretime", Reply::Int(ours), Reply::Int(theirs)) => {
            near(*ours, *theirs, TIME_TOLERANCE_S * MS_PER_S)
        }
        // Without an order.
        (b"keys", Reply::Array(ours), Reply::Array(theirs)) => sorted(ours) == sorted(theirs),
        // Any key is a right answer; that there is one must be the same.
        (b"randomkey", Reply::Bulk(_), Reply::Bulk(_)) => true,
        // Redis reads a cursor as C reads a number and takes any; ours names a shard, and what names none is refused.
        (b"scan", Reply::Error(ours), _) => ours == b"ERR invalid cursor" && !is_cursor(words),
        (b"object", _, _) => object(words, ours, theirs),
        _ => false,
    };
    if same {
        return Ok(());
    }
    let words: Vec<_> = words
        .iter()
        .map(|word| word.escape_ascii().to_string())
        .collect();
    Err(format!(
        "{words:?}\n  ours:  {}\n  redis: {}",
        short(ours),
        short(theirs)
    ))
}

/// Whether a SCAN's cursor is one that a server with few shards could have given.
fn is_cursor(words: &Words) -> bool {
    const CURSORS: u64 = 1 << 53;
    let text = words
        .get(1)
        .and_then(|cursor| std::str::from_utf8(cursor).ok())
        .unwrap_or_default();
    text.bytes().all(|byte| byte.is_ascii_digit())
        && text.parse::<u64>().is_ok_and(|cursor| cursor < CURSORS)
}

fn object(words: &Words, ours: &Reply, theirs: &Reply) -> bool {
    let subcommand = words
        .get(1)
        .map(|word| word.to_ascii_lowercase())
        .unwrap_or_default();
    match (&subcommand[..], ours, theirs) {
        // Redis shares integers below 10,000 and shows that; nothing is shared here.
        (b"refcount", Reply::Int(1), Reply::Int(2_147_483_647)) => true,
        // Clocks of different coarseness.
        (b"idletime", Reply::Int(ours), Reply::Int(theirs)) => {
            near(*ours, *theirs, TIME_TOLERANCE_S)
        }
        // The text for people is our own.
        (b"help", Reply::Array(_), Reply::Array(_)) => true,
        _ => false,
    }
}

/// Both negative figures (no key, no expiry) and all others are told apart exactly.
fn near(ours: i64, theirs: i64, tolerance: i64) -> bool {
    ours >= 0 && theirs >= 0 && ours.abs_diff(theirs) <= tolerance as u64
}

/// The elements of a reply in an order of their own.
pub fn sorted(elements: &[Reply]) -> Vec<String> {
    let mut texts: Vec<_> = elements
        .iter()
        .map(|element| format!("{element:?}"))
        .collect();
    texts.sort();
    texts
}

fn short(reply: &Reply) -> String {
    const SHOWN_CHARS: usize = 300;
    let text = match reply {
        Reply::Simple(text) | Reply::Error(text) | Reply::Bulk(text) => {
            text.escape_ascii().to_string()
        }
        other => format!("{other:?}"),
    };
    text.chars().take(SHOWN_CHARS).collect()
}
