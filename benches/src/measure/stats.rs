//! Owns what looking costs: the same load with and without questions of the MEMORY family ten times a second.
//! Never here: redis-server.
//! Source: windows in the order A B B A, so that a drift of the machine cancels.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Cores, Kind, fill, medians, pinyon, ratios};
use crate::load::Sample;
use crate::options::Options;
use crate::peer::{Peer, Recipe};
use crate::sys;
use crate::table::{Table, grouped, median, quantile};
use crate::workload::ValueBytes;

const PERIOD: Duration = Duration::from_millis(100);

/// What is asked meanwhile, and of how many keys.
pub struct Questions {
    name: &'static str,
    asked: &'static [&'static [&'static str]],
    keys: u64,
}

/// MEMORY STATS alone.
pub const STATS: Questions = Questions {
    name: "stats",
    asked: &[&["MEMORY", "STATS"]],
    keys: 1_000_000,
};

/// What a dashboard asks.
pub const LOOKING: Questions = Questions {
    name: "looking",
    asked: &[
        &["MEMORY", "STATS"],
        &["MEMORY", "PREFIXES"],
        &["MEMORY", "TOPKEYS"],
        &["MEMORY", "CURVE"],
    ],
    keys: 10_000_000,
};

impl Questions {
    /// The subcommands, in a line.
    fn names(&self) -> String {
        let names: Vec<&str> = self
            .asked
            .iter()
            .filter_map(|words| words.last())
            .copied()
            .collect();
        names.join(", ")
    }
}

/// Asks ten times a second until it is stopped.
struct Asker {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Vec<f64>>>,
}

impl Asker {
    fn start(peer: &Peer, questions: &Questions) -> io::Result<Asker> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let mut client = peer.client()?;
        let asked = questions.asked;
        let thread = std::thread::spawn(move || {
            let mut times_us = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let began = Instant::now();
                for question in asked {
                    let answer = client.demand(question)?;
                    let keys = answer.field("keys.count").and_then(|count| count.number());
                    if question.contains(&"STATS") && keys.unwrap_or(0.0) <= 0.0 {
                        return Err(io::Error::other("MEMORY STATS counts no keys"));
                    }
                }
                times_us.push(began.elapsed().as_secs_f64() * 1e6);
                std::thread::sleep(PERIOD.saturating_sub(began.elapsed()));
            }
            Ok(times_us)
        });
        Ok(Asker { stop, thread })
    }

    /// Microseconds that each answer took.
    fn finish(self) -> io::Result<Vec<f64>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| io::Error::other("the asker panicked"))?
    }
}

/// Interleaves windows with and without the questions.
pub fn run(options: &Options, questions: &Questions) -> io::Result<()> {
    let cores = Cores::of_machine()?;
    sys::pin_thread(&[cores.generator])?;
    let shards = options.shards.unwrap_or(1);
    let mut recipe = Recipe {
        shards,
        ..pinyon(options, &cores)
    };
    if shards > 1 {
        recipe.cores = sys_cores(&cores);
        sys::pin_thread(&recipe.cores)?;
    }
    let peer = Peer::start(&recipe)?;
    fill(
        &peer,
        0,
        options.key_count(questions.keys),
        ValueBytes::Fixed(options.value_bytes()),
        false,
    )?;
    let mut table = Table::new(
        format!(
            "The load with MEMORY {} ten times a second, against the same without",
            questions.names()
        ),
        &[
            "command",
            "pipeline",
            "CPU/op ratio",
            "(quartiles)",
            "ops/s ratio",
            "(quartiles)",
            "p99 ratio",
            "p99 without µs",
            "p99 with µs",
            "answered in µs",
        ],
    );
    let rounds = options.rounds.unwrap_or(16);
    for operation in options.operations() {
        for pipeline in options.pipelines(&[16]) {
            let mut kind = Kind::of(options, operation, pipeline, questions.keys);
            kind.window = Duration::from_secs_f64(options.seconds.unwrap_or(2.0));
            table.row(row(&kind, &peer, questions, rounds)?);
        }
    }
    table.note(format!(
        "{} keys, {shards} shards, {rounds} pairs of windows each, medians.",
        grouped(options.key_count(questions.keys))
    ));
    table.publish(&options.out, questions.name)
}

fn sys_cores(cores: &Cores) -> Vec<usize> {
    vec![cores.server, cores.generator]
}

fn row(kind: &Kind, peer: &Peer, questions: &Questions, rounds: usize) -> io::Result<Vec<String>> {
    let (mut without, mut with, mut times_us) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let asked_first = round % 2 == 1;
        for asked in [asked_first, !asked_first] {
            if asked {
                let asker = Asker::start(peer, questions)?;
                with.push(kind.window(peer, round)?);
                times_us.extend(asker.finish()?);
            } else {
                without.push(kind.window(peer, round)?);
            }
        }
    }
    let cpu = ratios(&without, &with, Sample::cpu_us);
    let rate = ratios(&without, &with, Sample::rate);
    let p99 = ratios(&without, &with, |one| one.latency.quantile_us(0.99));
    let quartiles =
        |list: &[f64]| format!("{:.3}–{:.3}", quantile(list, 0.25), quantile(list, 0.75));
    Ok(vec![
        format!("{:?}", kind.operation).to_uppercase(),
        kind.pipeline.to_string(),
        format!("{:.3}", median(&cpu)),
        quartiles(&cpu),
        format!("{:.3}", median(&rate)),
        quartiles(&rate),
        format!("{:.3}", median(&p99)),
        format!("{:.0}", medians(&without).latency_us[1]),
        format!("{:.0}", medians(&with).latency_us[1]),
        format!("{:.0}", median(&times_us)),
    ])
}
