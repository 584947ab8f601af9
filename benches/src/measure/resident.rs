//! Owns the resident set under a limit while the sizes of values change: the whole of it, as the kernel counts.
//! Never here: a server's own idea of its resident set, or time as a result.
//! Source: proc(5), statm, read every 20 ms; sizes that change every few seconds leave pages of the last size behind.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Cores, pinyon, redis};
use crate::client::Client;
use crate::load::{Load, Until};
use crate::options::Options;
use crate::peer::{Peer, Recipe};
use crate::sys;
use crate::table::{Table, mib, quantile};
use crate::workload::{Keys, Operation, ValueBytes, Workload};

const LIMIT_MIB: usize = 64;
/// Many more than fit, so that most writes are of new keys.
const KEYS: u64 = 20_000_000;
const CONNECTIONS: usize = 4;
const PIPELINE: usize = 16;
const PHASE_SECONDS: f64 = 5.0;
/// Between two looks at the resident set.
const PERIOD: Duration = Duration::from_millis(20);
/// What `used_memory` is asked for once in so many looks.
const LOOKS_A_QUESTION: usize = 5;
/// What counts as the time right after a change of sizes.
const CHANGE: Duration = Duration::from_secs(1);
/// Size of a page of the kernel: statm counts in them.
const PAGE_BYTES: u64 = 4096;

/// Sizes of values, one after the other: small to large, large to small, all at once, and back.
const PHASES: &[(&str, ValueBytes)] = &[
    ("20 B", ValueBytes::Fixed(20)),
    ("100 B", ValueBytes::Fixed(100)),
    ("1 KB", ValueBytes::Fixed(1_000)),
    ("10 KB", ValueBytes::Fixed(10_000)),
    ("100 KB", ValueBytes::Fixed(100_000)),
    ("1 KB", ValueBytes::Fixed(1_000)),
    ("20 B", ValueBytes::Fixed(20)),
    ("100 KB", ValueBytes::Fixed(100_000)),
    ("8 B to 128 KB", ValueBytes::Wide),
    ("100 B", ValueBytes::Fixed(100)),
    ("10 KB", ValueBytes::Fixed(10_000)),
    ("8 B to 2 KB", ValueBytes::Mixed),
];

/// Every server, with one shard and with two, under the policy that both know and our own.
pub fn run(options: &Options) -> io::Result<()> {
    let cores = Cores::of_machine()?;
    sys::pin_thread(&[cores.generator])?;
    let mut table = Table::new(
        format!(
            "Resident set under a limit of {} MiB while sizes of values change",
            limit_bytes(options) >> 20
        ),
        &[
            "server",
            "shards",
            "policy",
            "values",
            "sets",
            "first s max",
            "max",
            "p99",
            "mean",
            "used max",
        ],
    );
    for contender in contenders(options, &cores) {
        let (rows, empty_bytes) = rows(&contender, options)?;
        rows.into_iter().for_each(|row| table.row(row));
        table.note(format!(
            "{} with {} shards holds {} MiB when it is empty.",
            contender.recipe.name(),
            contender.recipe.shards,
            mib(empty_bytes)
        ));
    }
    table.note(
        "The whole resident set (program, buffers of clients and all) over the limit, read every 20 ms: the most in the \
         first second of a phase, in all of it, the 99th percentile and the mean. Used: used_memory over the limit. SET of \
         random keys of twenty million, 4 connections with 16 commands each on the way.",
    );
    table.publish(&options.out, "resident")
}

fn limit_bytes(options: &Options) -> u64 {
    (options.limit_mib.unwrap_or(LIMIT_MIB) as u64) << 20
}

/// A server with a policy.
struct Contender {
    recipe: Recipe,
    policy: &'static str,
}

fn contenders(options: &Options, cores: &Cores) -> Vec<Contender> {
    let beside = redis(options, cores).map(|recipe| Contender {
        recipe,
        policy: "allkeys-lru",
    });
    let mut contenders: Vec<Contender> = beside.into_iter().collect();
    for shards in [1, 2] {
        if options.shards.is_some_and(|only| only != shards) {
            continue;
        }
        for policy in ["allkeys-lru", "allkeys-ifs"] {
            let mut recipe = Recipe {
                shards,
                ..pinyon(options, cores)
            };
            if shards > 1 {
                recipe.cores.push(cores.generator);
            }
            contenders.push(Contender { recipe, policy });
        }
    }
    contenders
}

fn rows(contender: &Contender, options: &Options) -> io::Result<(Vec<Vec<String>>, u64)> {
    let peer = Peer::start(&contender.recipe)?;
    let mut client = peer.client()?;
    client.demand(&["CONFIG", "SET", "maxmemory-policy", contender.policy])?;
    client.demand(&[
        "CONFIG",
        "SET",
        "maxmemory",
        &limit_bytes(options).to_string(),
    ])?;
    let empty_bytes = peer.process.resident_bytes()?;
    let seconds = Duration::from_secs_f64(options.seconds.unwrap_or(PHASE_SECONDS));
    let work = Workload {
        operation: Operation::Set,
        keys: Keys::uniform(KEYS, 1),
        values: PHASES[0].1,
        expires: false,
        dialect: peer.dialect,
    };
    let pipeline = options.pipelines(&[PIPELINE])[0];
    let connections = options.connections.unwrap_or(CONNECTIONS);
    let mut load = Load::connect(&[peer.address], connections, pipeline, work)?;
    let watch = Watch::start(&peer)?;
    let mut sets = Vec::new();
    for (phase, (name, values)) in PHASES.iter().enumerate() {
        load.change_values(*values);
        watch.phase.store(phase, Ordering::Relaxed);
        let sample = load.run(&[peer.process], Until::Elapsed(Duration::ZERO, seconds));
        let sample = sample.map_err(|error| {
            io::Error::other(format!(
                "{}, values of {name}: {error}",
                contender.recipe.name()
            ))
        })?;
        sets.push(sample.operations);
    }
    let looks = watch.finish()?;
    let rows = PHASES
        .iter()
        .zip(sets)
        .enumerate()
        .map(|(phase, ((name, _), sets))| {
            let mut row = vec![
                contender.recipe.name(),
                contender.recipe.shards.to_string(),
                contender.policy.to_owned(),
                (*name).to_owned(),
                sets.to_string(),
            ];
            row.extend(cells(&looks, phase, limit_bytes(options)));
            row
        });
    Ok((rows.collect(), empty_bytes))
}

/// What was seen at one moment.
struct Look {
    phase: usize,
    /// Since the phase began.
    at: Duration,
    resident_bytes: u64,
    /// Where it was asked for.
    used_bytes: Option<u64>,
}

fn cells(looks: &[Look], phase: usize, limit_bytes: u64) -> Vec<String> {
    let share = |bytes: u64| bytes as f64 / limit_bytes as f64;
    let of_phase = || looks.iter().filter(|look| look.phase == phase);
    let resident: Vec<f64> = of_phase().map(|look| share(look.resident_bytes)).collect();
    let most = |shares: &mut dyn Iterator<Item = f64>| shares.fold(0.0, f64::max);
    let just_changed = of_phase().filter(|look| look.at < CHANGE);
    let used = of_phase().filter_map(|look| look.used_bytes);
    let figures = [
        most(&mut just_changed.map(|look| share(look.resident_bytes))),
        most(&mut resident.iter().copied()),
        quantile(&resident, 0.99),
        resident.iter().sum::<f64>() / resident.len().max(1) as f64,
        most(&mut used.map(share)),
    ];
    figures
        .iter()
        .map(|figure| format!("{figure:.2}"))
        .collect()
}

/// Looks at a server in a thread of its own.
struct Watch {
    phase: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Vec<Look>>>,
}

impl Watch {
    fn start(peer: &Peer) -> io::Result<Watch> {
        let statm = File::open(format!("/proc/{}/statm", peer.process.pid))?;
        let client = peer.client()?;
        let phase = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (shown, stopped) = (phase.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            sys::real_time_thread();
            look_on(&statm, client, &shown, &stopped)
        });
        Ok(Watch {
            phase,
            stop,
            thread,
        })
    }

    fn finish(self) -> io::Result<Vec<Look>> {
        self.stop.store(true, Ordering::Relaxed);
        let looks = self.thread.join();
        looks.map_err(|_| io::Error::other("the watch panicked"))?
    }
}

fn look_on(
    statm: &File,
    mut client: Client,
    shown: &AtomicUsize,
    stop: &AtomicBool,
) -> io::Result<Vec<Look>> {
    let mut looks: Vec<Look> = Vec::new();
    let (mut phase, mut began) = (0, Instant::now());
    while !stop.load(Ordering::Relaxed) {
        if shown.load(Ordering::Relaxed) != phase {
            (phase, began) = (shown.load(Ordering::Relaxed), Instant::now());
        }
        let at = began.elapsed();
        let resident_bytes = resident_bytes(statm)?;
        let used_bytes = if looks.len().is_multiple_of(LOOKS_A_QUESTION) {
            let used = client.info("memory", "used_memory")?;
            used.and_then(|text| text.parse().ok())
        } else {
            None
        };
        looks.push(Look {
            phase,
            at,
            resident_bytes,
            used_bytes,
        });
        std::thread::sleep(PERIOD);
    }
    Ok(looks)
}

fn resident_bytes(statm: &File) -> io::Result<u64> {
    let mut text = [0u8; 160];
    let len = statm.read_at(&mut text, 0)?;
    let text = String::from_utf8_lossy(&text[..len]);
    let pages = text
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse::<u64>().ok());
    pages
        .map(|pages| pages * PAGE_BYTES)
        .ok_or_else(|| io::Error::other("statm has no second column"))
}
