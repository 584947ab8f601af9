//! Owns the main table: server CPU per operation beside redis-server, one core each.
//! Never here: more than one shard.
//! Source: none.

use std::io;

use super::{Cores, Kind, both, fill, matched_windows, medians, ratios};
use crate::load::Sample;
use crate::options::Options;
use crate::peer::{Peer, Recipe};
use crate::sys;
use crate::table::{Table, median, quantile};
use crate::workload::{Operation, ValueBytes};

const KEYS: u64 = 1_000_000;

/// Runs SET and GET at each pipeline depth on both servers, window by window in
/// turn. Every round starts fresh servers in the opposite order, because where
/// the system happens to place a process' memory is worth up to 15 %.
pub fn run(options: &Options) -> io::Result<()> {
    let cores = Cores::of_machine()?;
    sys::pin_thread(&[cores.generator])?;
    let recipes = both(options, &cores);
    let kinds: Vec<Kind> = options
        .operations()
        .into_iter()
        .flat_map(|operation| {
            let depths = options.pipelines(&[1, 16, 64]);
            depths
                .into_iter()
                .map(move |depth| Kind::of(options, operation, depth, KEYS))
        })
        .collect();
    // For each kind, for each server: its windows.
    let mut samples: Vec<Vec<Vec<Sample>>> = kinds
        .iter()
        .map(|_| recipes.iter().map(|_| Vec::new()).collect())
        .collect();
    for round in 0..options.rounds.unwrap_or(7) {
        sitting(&recipes, &kinds, round, &mut samples)?;
    }
    let mut cpu = cpu_table(&recipes);
    let mut latency = latency_table(&recipes);
    for (kind, lists) in kinds.iter().zip(&samples) {
        let name = format!("{:?}", kind.operation).to_uppercase();
        cpu.row(cpu_row(&name, kind.pipeline, lists));
        latency.row(latency_row(&name, kind.pipeline, lists));
    }
    cpu.note(note(options));
    cpu.publish(&options.out, "server")?;
    latency.publish(&options.out, "server-latency")
}

/// One round: fresh servers, a window of each kind on each.
fn sitting(
    recipes: &[Recipe],
    kinds: &[Kind],
    round: usize,
    samples: &mut [Vec<Vec<Sample>>],
) -> io::Result<()> {
    let mut order: Vec<usize> = (0..recipes.len()).collect();
    if round % 2 == 1 {
        order.reverse();
    }
    let mut peers = Vec::new();
    for &at in &order {
        let peer = Peer::start(&recipes[at])?;
        fill(
            &peer,
            0,
            kinds[0].keys,
            ValueBytes::Fixed(kinds[0].value_bytes),
            false,
        )?;
        peers.push(peer);
    }
    let peers: Vec<&Peer> = peers.iter().collect();
    for (kind, lists) in kinds.iter().zip(samples) {
        for (at, sample) in order.iter().zip(matched_windows(kind, &peers, round)?) {
            lists[*at].push(sample);
        }
    }
    Ok(())
}

fn note(options: &Options) -> String {
    let kind = Kind::of(options, Operation::Set, 1, KEYS);
    format!(
        "{} connections, {} random keys of 16 bytes, values of {} bytes; {} rounds of {:?}, \
         medians. Ratio: median over rounds (least to most). Busy, generator: share of their core \
         that server and generator used. Disturbed: share of the time that other processes had \
         either core.",
        kind.connections,
        crate::table::grouped(kind.keys),
        kind.value_bytes,
        options.rounds.unwrap_or(7),
        kind.window,
    )
}

fn columns(recipes: &[Recipe], of_each: &[&str], last: &[&str]) -> Vec<String> {
    let mut columns: Vec<String> = vec!["command".into(), "pipeline".into()];
    for recipe in recipes {
        columns.extend(
            of_each
                .iter()
                .map(|name| format!("{} {name}", recipe.name())),
        );
    }
    columns.extend(last.iter().map(ToString::to_string));
    columns
}

fn table(title: &str, columns: &[String]) -> Table {
    Table::new(
        title,
        &columns.iter().map(String::as_str).collect::<Vec<_>>(),
    )
}

fn cpu_table(recipes: &[Recipe]) -> Table {
    let last: &[&str] = if recipes.len() == 2 {
        &["ratio", "(range)"]
    } else {
        &[]
    };
    table(
        "Server CPU per operation, one core",
        &columns(
            recipes,
            &["µs/op", "ops/s", "busy", "generator", "disturbed"],
            last,
        ),
    )
}

fn cpu_row(name: &str, pipeline: usize, samples: &[Vec<Sample>]) -> Vec<String> {
    let mut cells = vec![name.to_string(), pipeline.to_string()];
    for list in samples {
        let figures = medians(list);
        cells.push(format!("{:.3}", figures.cpu_us));
        cells.push(format!("{:.0}k", figures.rate / 1e3));
        cells.push(format!("{:.0} %", figures.busy * 100.0));
        cells.push(format!("{:.0} %", figures.generator_busy * 100.0));
        cells.push(format!("{:.0} %", figures.disturbance * 100.0));
    }
    if let [first, second] = samples {
        let ratios = ratios(first, second, Sample::cpu_us);
        cells.push(format!("{:.2}", median(&ratios)));
        cells.push(format!(
            "{:.2}–{:.2}",
            quantile(&ratios, 0.0),
            quantile(&ratios, 1.0)
        ));
    }
    cells
}

fn latency_table(recipes: &[Recipe]) -> Table {
    let last: &[&str] = if recipes.len() == 2 {
        &["p99 ratio"]
    } else {
        &[]
    };
    table(
        "Time to the replies of a batch under that load, µs",
        &columns(recipes, &["p50", "p99", "p99.9"], last),
    )
}

fn latency_row(name: &str, pipeline: usize, samples: &[Vec<Sample>]) -> Vec<String> {
    let mut cells = vec![name.to_string(), pipeline.to_string()];
    for list in samples {
        cells.extend(medians(list).latency_us.map(|us| format!("{us:.0}")));
    }
    if let [first, second] = samples {
        let ratios = ratios(first, second, |one| one.latency.quantile_us(0.99));
        cells.push(format!("{:.2}", median(&ratios)));
    }
    cells
}
