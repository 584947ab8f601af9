//! Owns the longest stall that a client feels while the table grows.
//! Never here: throughput as a goal; the load is kept short so that stalls are not queues.
//! Source: none.

use std::io;

use super::{Cores, both};
use crate::load::{Load, Until};
use crate::options::Options;
use crate::peer::{Peer, Recipe};
use crate::probe::Probe;
use crate::sys;
use crate::table::{Table, grouped, mib};
use crate::workload::{ValueBytes, Workload};

const KEYS: u64 = 20_000_000;
/// Few and short batches: 128 commands at most stand before the probe's.
const CONNECTIONS: usize = 8;
const PIPELINE: usize = 16;

/// Fills each server while a probe asks PING and GET a thousand times a second.
pub fn run(options: &Options) -> io::Result<()> {
    let cores = Cores::of_machine()?;
    sys::pin_thread(&[cores.generator])?;
    let keys = options.key_count(KEYS);
    let mut table = Table::new(
        format!(
            "Longest stall while growing from nothing to {} keys, ms",
            grouped(keys)
        ),
        &[
            "server",
            "ops/s",
            "µs CPU/op",
            "p50",
            "p99.9",
            "max",
            "own p99.9",
            "own max",
            "probe late",
            "load max",
            "resident MiB",
            "the longest",
        ],
    );
    for recipe in both(options, &cores) {
        let recipe = Recipe {
            shards: options.shards.unwrap_or(1),
            ..recipe
        };
        table.row(row(&recipe, options, keys, cores.generator)?);
    }
    table.note(
        "SET of new keys; time to the answer of a PING or GET asked every millisecond; p50 and \
         p99.9 count what would have been asked during a stall, too. Own: as much of it as the server \
         used CPU meanwhile; the rest of a stall is the machine's. Probe late: the longest that the probe itself was not run; stalls of that size \
         say nothing about the server. Load max: the longest that a batch of the load took; a stall \
         that the load does not share is one connection's alone.",
    );
    table.publish(&options.out, "grow")
}

fn row(recipe: &Recipe, options: &Options, keys: u64, core: usize) -> io::Result<Vec<String>> {
    let peer = Peer::start(recipe)?;
    let questions: [&[&str]; 2] = [&["PING"], &["GET", "key:000000000000"]];
    let probe = Probe::start(peer.address, peer.process, core, &questions)?;
    let work = Workload::fill(0, keys, ValueBytes::Fixed(options.value_bytes()));
    let pipeline = options.pipelines(&[PIPELINE])[0];
    let connections = options.connections.unwrap_or(CONNECTIONS);
    let mut load = Load::connect(&[peer.address], connections, pipeline, work)?;
    let sample = load.run(&[peer.process], Until::Exhausted)?;
    let seen = probe.finish()?;
    if peer.keys()? != keys {
        return Err(io::Error::other(format!("{} lost keys", peer.name)));
    }
    let ms = |us: f64| format!("{:.2}", us / 1e3);
    Ok(vec![
        peer.name.clone(),
        format!("{:.0}k", sample.rate() / 1e3),
        format!("{:.3}", sample.cpu_us()),
        ms(seen.latency.quantile_us(0.5)),
        ms(seen.latency.quantile_us(0.999)),
        ms(seen.latency.max_us()),
        ms(seen.own_latency.quantile_us(0.999)),
        ms(seen.own_latency.max_us()),
        ms(seen.late_us_max),
        ms(sample.latency.max_us()),
        mib(peer.process.resident_bytes()?),
        seen.longest.text(),
    ])
}
