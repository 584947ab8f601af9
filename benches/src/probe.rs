//! Owns the probe: one connection that asks a thousand times a second how long an answer takes.
//! Never here: load; a probe must cost the server nothing.
//! Source: correction for coordinated omission: what was due during a stall waited since it was due.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::client::{Client, Reply};
use crate::histogram::Histogram;
use crate::process::Process;
use crate::sys;

/// Between two questions.
pub const PERIOD: Duration = Duration::from_millis(1);

/// What a probe saw.
pub struct Seen {
    /// Time to each answer, from when it was due.
    pub latency: Histogram,
    /// The same less what the server's threads spent waiting for a core meanwhile:
    /// on a shared machine, the part of a stall that is the server's own.
    pub own_latency: Histogram,
    /// Longest that the probe itself was late; stalls of this size say nothing.
    pub late_us_max: f64,
    /// The longest of all.
    pub longest: Stall,
}

/// What is known about one stall.
#[derive(Clone, Copy, Default)]
pub struct Stall {
    /// Its length.
    pub latency_ns: u64,
    /// When it began, from the start of the probe.
    pub at: Duration,
    /// CPU that the server used meanwhile: as long as the stall, the server was
    /// busy; much less, it was asleep or not let run.
    pub server_cpu_ns: u64,
}

impl Stall {
    /// `at 1.2 s, server CPU 5.0 ms`
    pub fn text(&self) -> String {
        format!(
            "at {:.1} s, server CPU {:.1} ms",
            self.at.as_secs_f64(),
            self.server_cpu_ns as f64 / 1e6
        )
    }
}

/// A probe that runs in a thread of its own.
pub struct Probe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Seen>>,
}

impl Probe {
    /// Starts asking; `questions` take turns. No answer may be an error.
    pub fn start(
        address: SocketAddr,
        process: Process,
        core: usize,
        questions: &[&[&str]],
    ) -> io::Result<Probe> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let questions: Vec<Vec<String>> = questions
            .iter()
            .map(|words| words.iter().map(ToString::to_string).collect())
            .collect();
        let client = Client::connect(address)?;
        let thread = std::thread::spawn(move || {
            sys::pin_thread(&[core])?;
            sys::real_time_thread();
            watch(client, process, &questions, &stopped)
        });
        Ok(Probe { stop, thread })
    }

    /// Stops asking.
    pub fn finish(self) -> io::Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| io::Error::other("the probe panicked"))?
    }
}

fn watch(
    mut client: Client,
    process: Process,
    questions: &[Vec<String>],
    stop: &AtomicBool,
) -> io::Result<Seen> {
    let words: Vec<Vec<&str>> = questions
        .iter()
        .map(|words| words.iter().map(String::as_str).collect())
        .collect();
    let mut seen = Seen {
        latency: Histogram::new(),
        own_latency: Histogram::new(),
        late_us_max: 0.0,
        longest: Stall::default(),
    };
    let mut due = Instant::now();
    let mut answered = due;
    let started = due;
    let mut before = process.usage()?;
    for question in words.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        // Missed because the answer before was late: it waits since it was due.
        let mut since = due;
        if answered <= due {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            since = Instant::now();
            seen.late_us_max = seen.late_us_max.max((since - due).as_secs_f64() * 1e6);
            if since - due > PERIOD {
                due = since;
            }
        }
        if let Reply::Error(text) = client.ask(question)? {
            return Err(io::Error::other(format!("the probe got: {text}")));
        }
        answered = Instant::now();
        let latency_ns = (answered - since).as_nanos() as u64;
        let now = process.usage()?;
        let used = now.since(before);
        before = now;
        seen.latency.record(latency_ns, 1);
        seen.own_latency
            .record(latency_ns.saturating_sub(used.waited_ns), 1);
        if latency_ns > seen.longest.latency_ns {
            seen.longest = Stall {
                latency_ns,
                at: since.duration_since(started),
                server_cpu_ns: used.cpu_ns,
            };
        }
        due += PERIOD;
    }
    Ok(seen)
}
