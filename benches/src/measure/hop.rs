//! Owns the price of a second shard: server CPU per operation of all threads.
//! Never here: redis-server.
//! Source: none.

use std::io;

use super::{Cores, Kind, fill, medians, pinyon, ratios};
use crate::load::Sample;
use crate::options::Options;
use crate::peer::{Peer, Recipe};
use crate::sys;
use crate::table::{Table, median, quantile};
use crate::wake;
use crate::workload::ValueBytes;

const KEYS: u64 = 1_000_000;

/// Servers, and where the generator runs while they are loaded.
struct Seat {
    peers: Vec<Peer>,
    generator_cores: Vec<usize>,
}

/// One shard with a core of its own; as many servers of one shard as there are
/// cores, which share them with the generator, and whose commands are all at
/// home; as many shards likewise; several on one core, which need no core to be
/// woken.
fn seats(options: &Options, cores: &Cores, shards: usize) -> io::Result<[Seat; 4]> {
    let (first, second) = (cores.server, cores.generator);
    let alone = pinyon(options, cores);
    let seat = |servers: &[&[usize]], shards, generator_cores| {
        let start = |&server_cores: &&[usize]| {
            Peer::start(&Recipe {
                cores: server_cores.to_vec(),
                shards,
                ..alone.clone()
            })
        };
        io::Result::Ok(Seat {
            peers: servers.iter().map(start).collect::<io::Result<_>>()?,
            generator_cores,
        })
    };
    Ok([
        seat(&[&[first]], 1, vec![second])?,
        seat(&[&[first], &[second]], 1, vec![first, second])?,
        seat(&[&[first, second]], shards, vec![first, second])?,
        seat(&[&[first]], shards, vec![second])?,
    ])
}

/// The price of several shards against one, and of waking a core.
pub fn run(options: &Options) -> io::Result<()> {
    let cores = Cores::of_machine()?;
    let shards = options.shards.unwrap_or(2);
    let seats = seats(options, &cores, shards)?;
    let values = ValueBytes::Fixed(options.value_bytes());
    for peer in seats.iter().flat_map(|seat| &seat.peers) {
        fill(peer, 0, options.key_count(KEYS), values, false)?;
    }
    let mut table = Table::new(
        format!("Server CPU per operation, {shards} shards against one"),
        &[
            "command",
            "pipeline",
            "1 shard µs/op",
            "all at home µs/op",
            "spread µs/op",
            "ratio",
            "(range)",
            "ratio to at home",
            "on one core µs/op",
            "ratio of these",
            "1 shard ops/s",
            "spread ops/s",
            "spread busy cores",
            "spread p99 µs",
        ],
    );
    for operation in options.operations() {
        for pipeline in options.pipelines(&[1, 16, 64]) {
            let kind = Kind::of(options, operation, pipeline, KEYS);
            table.row(row(&kind, &seats, options.rounds.unwrap_or(7))?);
        }
    }
    table.note(
        "Ratio: spread against one shard whose generator has the other core. With spread shards \
         the generator takes its share of the same two cores; `all at home` are two servers of \
         one shard in the same place, whose commands never go to another core: what that costs \
         is the machine's, what is more is the hop's. Shards on one core never wake another: what is more there is \
         the work of the hop itself.",
    );
    let wake = wake::cost(cores.server, cores.generator)?;
    table.note(format!(
        "Waking a core that sleeps, on this machine: {:.1} µs of the one who wakes it, {:.1} µs of \
         the one who is woken.",
        wake.waker_us, wake.sleeper_us
    ));
    table.publish(&options.out, "hop")
}

fn row(kind: &Kind, seats: &[Seat; 4], rounds: usize) -> io::Result<Vec<String>> {
    let mut samples: [Vec<Sample>; 4] = Default::default();
    for round in 0..rounds {
        for (seat, list) in seats.iter().zip(&mut samples) {
            sys::pin_thread(&seat.generator_cores)?;
            list.push(kind.window_over(&seat.peers, round)?);
        }
    }
    let [alone, home, spread, together] = samples.each_ref().map(|list| medians(list));
    let to_alone = ratios(&samples[0], &samples[2], Sample::cpu_us);
    let to_together = ratios(&samples[0], &samples[3], Sample::cpu_us);
    let to_home = ratios(&samples[1], &samples[2], Sample::cpu_us);
    Ok(vec![
        format!("{:?}", kind.operation).to_uppercase(),
        kind.pipeline.to_string(),
        format!("{:.3}", alone.cpu_us),
        format!("{:.3}", home.cpu_us),
        format!("{:.3}", spread.cpu_us),
        format!("{:.2}", median(&to_alone)),
        format!(
            "{:.2}–{:.2}",
            quantile(&to_alone, 0.0),
            quantile(&to_alone, 1.0)
        ),
        format!("{:.2}", median(&to_home)),
        format!("{:.3}", together.cpu_us),
        format!("{:.2}", median(&to_together)),
        format!("{:.0}k", alone.rate / 1e3),
        format!("{:.0}k", spread.rate / 1e3),
        format!("{:.2}", spread.busy),
        format!("{:.0}", spread.latency_us[1]),
    ])
}
