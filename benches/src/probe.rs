//! Owns the probe: one connection that asks a thousand times a second how long an answer takes.
//! Never here: load; a probe must cost the server nothing.
//! Source: HdrHistogram's correction for coordinated omission: what fell due during a stall counts, too.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::client::{Client, Reply};
use crate::histogram::Histogram;
use crate::process::{Process, Usage};
use crate::sys;

/// Between two questions.
pub const PERIOD: Duration = Duration::from_millis(1);

/// What a probe saw.
pub struct Seen {
    /// Time to each answer.
    pub latency: Histogram,
    /// As much of it as the server used CPU since the last answer: on a shared
    /// machine, what of a stall is the server's own work.
    pub own_latency: Histogram,
    /// Longest that the probe itself was late; stalls of this size say nothing.
    pub late_us_max: f64,
    /// The longest of all.
    pub longest: Stall,
}

impl Seen {
    /// Counts an answer, and what questions due in the meantime would have waited.
    fn take(&mut self, at: Duration, latency: Duration, used: Usage) {
        let latency_ns = latency.as_nanos() as u64;
        let own_ns = latency_ns.min(used.cpu_ns);
        for (histogram, waited_ns) in [
            (&mut self.latency, latency_ns),
            (&mut self.own_latency, own_ns),
        ] {
            let mut waited_ns = waited_ns;
            histogram.record(waited_ns, 1);
            while waited_ns > 2 * PERIOD.as_nanos() as u64 {
                waited_ns -= PERIOD.as_nanos() as u64;
                histogram.record(waited_ns, 1);
            }
        }
        if latency_ns > self.longest.latency_ns {
            self.longest = Stall {
                latency_ns,
                at,
                server_cpu_ns: used.cpu_ns,
            };
        }
    }
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
    let started = Instant::now();
    let mut due = started;
    let mut before = process.usage()?;
    for question in words.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let asked = Instant::now();
        let late_us = (asked - due).as_secs_f64() * 1e6;
        seen.late_us_max = seen.late_us_max.max(late_us);
        if let Reply::Error(text) = client.ask(question)? {
            return Err(io::Error::other(format!("the probe got: {text}")));
        }
        let latency = asked.elapsed();
        let now = process.usage()?;
        seen.take(asked - started, latency, now.since(before));
        before = now;
        // Questions that fell due during the wait were counted by `take`.
        due = (due + PERIOD).max(Instant::now());
    }
    Ok(seen)
}
