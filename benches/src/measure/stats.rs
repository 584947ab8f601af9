//! Owns what looking costs: the same load with and without MEMORY STATS ten times a second.
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
use crate::table::{Table, median, quantile};
use crate::workload::ValueBytes;

const KEYS: u64 = 1_000_000;
const PERIOD: Duration = Duration::from_millis(100);

/// Asks MEMORY STATS ten times a second until it is stopped.
struct Asker {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Vec<f64>>>,
}

impl Asker {
    fn start(peer: &Peer) -> io::Result<Asker> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let mut client = peer.client()?;
        let thread = std::thread::spawn(move || {
            let mut times_us = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let asked = Instant::now();
                let stats = client.demand(&["MEMORY", "STATS"])?;
                times_us.push(asked.elapsed().as_secs_f64() * 1e6);
                if stats
                    .field("keys.count")
                    .and_then(|count| count.number())
                    .unwrap_or(0.0)
                    <= 0.0
                {
                    return Err(io::Error::other("MEMORY STATS counts no keys"));
                }
                std::thread::sleep(PERIOD.saturating_sub(asked.elapsed()));
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
pub fn run(options: &Options) -> io::Result<()> {
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
        options.key_count(KEYS),
        ValueBytes::Fixed(options.value_bytes()),
        false,
    )?;
    let mut table = Table::new(
        "The load with MEMORY STATS ten times a second, against the same without",
        &[
            "command",
            "pipeline",
            "shards",
            "CPU/op ratio",
            "(quartiles)",
            "ops/s ratio",
            "(quartiles)",
            "p99 ratio",
            "p99 without µs",
            "p99 with µs",
            "STATS answered in µs",
        ],
    );
    let rounds = options.rounds.unwrap_or(16);
    for operation in options.operations() {
        for pipeline in options.pipelines(&[16]) {
            let mut kind = Kind::of(options, operation, pipeline, KEYS);
            kind.window = Duration::from_secs_f64(options.seconds.unwrap_or(2.0));
            table.row(row(&kind, &peer, shards, rounds)?);
        }
    }
    table.note(format!(
        "{rounds} pairs of windows each, medians; to reach: within 1 %."
    ));
    table.publish(&options.out, "stats")
}

fn sys_cores(cores: &Cores) -> Vec<usize> {
    vec![cores.server, cores.generator]
}

fn row(kind: &Kind, peer: &Peer, shards: usize, rounds: usize) -> io::Result<Vec<String>> {
    let (mut without, mut with, mut times_us) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let asked_first = round % 2 == 1;
        for asked in [asked_first, !asked_first] {
            if asked {
                let asker = Asker::start(peer)?;
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
        shards.to_string(),
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
