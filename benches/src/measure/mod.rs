//! Owns what the measurements share: the two servers, and interleaved windows of load.
//! Never here: one measurement's own table.
//! Source: interleaving A B A B with medians of ratios, since speed drifts on shared machines.

pub mod crosscheck;
pub mod expiry;
pub mod footprint;
pub mod free;
pub mod grow;
pub mod hop;
pub mod idle;
pub mod members;
pub mod purge;
pub mod replay;
pub mod resident;
pub mod server;
pub mod stats;
pub mod types;

use std::io;
use std::time::Duration;

use crate::load::{Load, Sample, Until};
use crate::options::Options;
use crate::peer::{Peer, Recipe};
use crate::sys;
use crate::workload::{Keys, Operation, ValueBytes, Workload};

/// Batches of this many commands fill a server.
const FILL_PIPELINE: usize = 64;
/// Connections that fill a server.
const FILL_CONNECTIONS: usize = 8;

/// Where servers and the generator run: the first core allowed, and the second.
pub struct Cores {
    /// For a server with one shard.
    pub server: usize,
    /// For the generator.
    pub generator: usize,
}

impl Cores {
    /// The first two cores that this process may use.
    pub fn of_machine() -> io::Result<Cores> {
        match sys::allowed_cores()?[..] {
            [server, generator, ..] => Ok(Cores { server, generator }),
            _ => Err(io::Error::other(
                "two cores are needed: one each for server and generator",
            )),
        }
    }
}

/// How to start pinyon with one shard on the server's core.
pub fn pinyon(options: &Options, cores: &Cores) -> Recipe {
    Recipe {
        program: options.pinyon.clone(),
        cores: vec![cores.server],
        shards: 1,
        log_dir: options.out.clone(),
    }
}

/// How to start redis-server on the server's core, unless it is left out.
pub fn redis(options: &Options, cores: &Cores) -> Option<Recipe> {
    let program = options.redis.clone()?;
    Some(Recipe {
        program,
        ..pinyon(options, cores)
    })
}

/// The server beside, if any, then pinyon.
pub fn both(options: &Options, cores: &Cores) -> Vec<Recipe> {
    redis(options, cores)
        .into_iter()
        .chain([pinyon(options, cores)])
        .collect()
}

/// Sets the keys from `start` to `end`; the server must then count `end`.
pub fn fill(
    peer: &Peer,
    start: u64,
    end: u64,
    values: ValueBytes,
    expires: bool,
) -> io::Result<Sample> {
    let work = Workload {
        expires,
        dialect: peer.dialect,
        ..Workload::fill(start, end, values)
    };
    let mut load = Load::connect(&[peer.address], FILL_CONNECTIONS, FILL_PIPELINE, work)?;
    let sample = load.run(&[peer.process], Until::Exhausted)?;
    let keys = peer.keys()?;
    if keys != end || sample.operations != end - start {
        return Err(io::Error::other(format!(
            "{} holds {keys} keys, not {end}",
            peer.name
        )));
    }
    Ok(sample)
}

/// One kind of load, for windows on any server.
#[derive(Clone, Copy)]
pub struct Kind {
    /// SET or GET.
    pub operation: Operation,
    /// Commands in a batch.
    pub pipeline: usize,
    /// Connections.
    pub connections: usize,
    /// Keys, which must exist for GET.
    pub keys: u64,
    /// Bytes a value.
    pub value_bytes: usize,
    /// Length of a window.
    pub window: Duration,
}

impl Kind {
    /// From the options, with a default for the number of keys.
    pub fn of(options: &Options, operation: Operation, pipeline: usize, keys: u64) -> Kind {
        Kind {
            operation,
            pipeline,
            connections: options.connections.unwrap_or(50),
            keys: options.key_count(keys),
            value_bytes: options.value_bytes(),
            window: Duration::from_secs_f64(options.seconds.unwrap_or(1.0)),
        }
    }

    /// A window of this load on fresh connections, after a warm-up.
    pub fn window(&self, peer: &Peer, round: usize) -> io::Result<Sample> {
        self.window_over(std::slice::from_ref(peer), round)
    }

    /// A window of this load on several servers at once, each with its share of the connections.
    pub fn window_over(&self, peers: &[Peer], round: usize) -> io::Result<Sample> {
        let values = ValueBytes::Fixed(self.value_bytes);
        let keys = Keys::uniform(self.keys, round as u64 + 1);
        let work = Workload {
            operation: self.operation,
            keys,
            values,
            expires: false,
            dialect: peers[0].dialect,
        };
        let addresses: Vec<_> = peers.iter().map(|peer| peer.address).collect();
        let servers: Vec<_> = peers.iter().map(|peer| peer.process).collect();
        let mut load = Load::connect(&addresses, self.connections, self.pipeline, work)?;
        let warm_up =
            (self.window / 4).clamp(Duration::from_millis(50), Duration::from_millis(500));
        let sample = load.run(&servers, Until::Elapsed(warm_up, self.window))?;
        if sample.operations == 0 || sample.server.cpu_ns == 0 {
            return Err(io::Error::other(format!(
                "{}: a window without operations",
                peers[0].name
            )));
        }
        Ok(sample)
    }
}

/// Windows of this many tries at most are taken for one that nothing disturbed.
const TRIES: usize = 4;
/// Above this share of the time lost to other processes a window is tried again.
const DISTURBANCE_LIMIT: f64 = 0.03;

/// One window on each server, directly one after the other. Windows that other
/// processes disturbed are tried again, all of them; the least disturbed counts.
pub fn matched_windows(kind: &Kind, peers: &[&Peer], round: usize) -> io::Result<Vec<Sample>> {
    let mut best: Option<(f64, Vec<Sample>)> = None;
    for _ in 0..TRIES {
        let samples: Vec<Sample> = peers
            .iter()
            .map(|peer| kind.window(peer, round))
            .collect::<io::Result<_>>()?;
        let worst = samples.iter().map(Sample::disturbance).fold(0.0, f64::max);
        if best.as_ref().is_none_or(|(least, _)| worst < *least) {
            best = Some((worst, samples));
        }
        if worst <= DISTURBANCE_LIMIT {
            break;
        }
    }
    best.map(|(_, samples)| samples)
        .ok_or_else(|| io::Error::other("no window was tried"))
}

/// Medians of one server's windows of one kind.
pub struct Medians {
    /// Server CPU microseconds an operation.
    pub cpu_us: f64,
    /// Operations a second.
    pub rate: f64,
    /// Cores the server kept busy.
    pub busy: f64,
    /// Share of its core that the generator used.
    pub generator_busy: f64,
    /// Share of the time that something else had the core of either.
    pub disturbance: f64,
    /// Medians over windows of the 50th, 99th and 99.9th percentile.
    pub latency_us: [f64; 3],
}

/// Medians of several windows.
pub fn medians(samples: &[Sample]) -> Medians {
    let over = |of: &dyn Fn(&Sample) -> f64| {
        crate::table::median(&samples.iter().map(of).collect::<Vec<f64>>())
    };
    Medians {
        cpu_us: over(&Sample::cpu_us),
        rate: over(&Sample::rate),
        busy: over(&Sample::busy),
        generator_busy: over(&Sample::generator_busy),
        disturbance: over(&Sample::disturbance),
        latency_us: [0.5, 0.99, 0.999].map(|share| over(&|one| one.latency.quantile_us(share))),
    }
}

/// For each round, a figure of the second over that of the first.
pub fn ratios(first: &[Sample], second: &[Sample], of: impl Fn(&Sample) -> f64) -> Vec<f64> {
    first
        .iter()
        .zip(second)
        .map(|(one, other)| of(other) / of(one))
        .collect()
}

/// Waits while a server settles after a fill: tables rehash, memory is given back.
pub fn settle() {
    std::thread::sleep(Duration::from_millis(1500));
}
