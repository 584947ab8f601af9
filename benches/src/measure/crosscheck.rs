//! Owns the main table once more with redis-benchmark as the generator.
//! Never here: our own generator, but to fill.
//! Source: redis-benchmark's manual; its keys `key:` and twelve digits are ours, too.

use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::{Cores, both, fill};
use crate::options::Options;
use crate::peer::Peer;
use crate::sys;
use crate::table::{Table, median, quantile};
use crate::workload::ValueBytes;

const KEYS: u64 = 1_000_000;

/// What one run of redis-benchmark amounted to.
struct Figures {
    cpu_us: f64,
    rate: f64,
    busy: f64,
}

/// SET and GET at each pipeline depth, runs in turn.
pub fn run(options: &Options) -> io::Result<()> {
    let cores = Cores::of_machine()?;
    sys::pin_thread(&[cores.generator])?;
    let recipes = both(options, &cores);
    let peers: Vec<Peer> = recipes.iter().map(Peer::start).collect::<io::Result<_>>()?;
    for peer in &peers {
        fill(
            peer,
            0,
            options.key_count(KEYS),
            ValueBytes::Fixed(options.value_bytes()),
            false,
        )?;
    }
    let mut table = table(&peers);
    let rounds = options.rounds.unwrap_or(5);
    for operation in options.operations() {
        let test = &format!("{operation:?}").to_lowercase();
        for pipeline in options.pipelines(&[1, 16, 64]) {
            let mut figures: Vec<Vec<Figures>> = peers.iter().map(|_| Vec::new()).collect();
            for _ in 0..rounds {
                for (peer, list) in peers.iter().zip(&mut figures) {
                    list.push(once(options, peer, test, pipeline)?);
                }
            }
            table.row(row(test, pipeline, &figures));
        }
    }
    table.note("redis-benchmark -c 50 -r 1000000 -d 32, start and end of it included.");
    table.publish(&options.out, "crosscheck")
}

/// Operations that take about a second of a window at this depth.
fn operations(options: &Options, pipeline: usize) -> u64 {
    let a_second = if pipeline == 1 {
        100_000.0
    } else {
        1_000_000.0
    };
    (a_second * options.seconds.unwrap_or(1.0)) as u64
}

fn once(options: &Options, peer: &Peer, test: &str, pipeline: usize) -> io::Result<Figures> {
    let operations = operations(options, pipeline);
    let before_ns = peer.process.usage()?.cpu_ns;
    let started = Instant::now();
    let output = Command::new(PathBuf::from("redis-benchmark"))
        .args(["-p", &peer.address.port().to_string(), "-t", test, "-q"])
        .args(["-c", &options.connections.unwrap_or(50).to_string()])
        .args(["-P", &pipeline.to_string(), "-n", &operations.to_string()])
        .args(["-r", &options.key_count(KEYS).to_string()])
        .args(["-d", &options.value_bytes().to_string()])
        .stdin(Stdio::null())
        .output()?;
    let wall_s = started.elapsed().as_secs_f64();
    let cpu_ns = peer.process.usage()?.cpu_ns - before_ns;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || !text.contains("requests per second") {
        return Err(io::Error::other(format!("redis-benchmark {test}: {text}")));
    }
    Ok(Figures {
        cpu_us: cpu_ns as f64 / 1e3 / operations as f64,
        rate: operations as f64 / wall_s,
        busy: cpu_ns as f64 / 1e9 / wall_s,
    })
}

fn table(peers: &[Peer]) -> Table {
    let mut columns = vec!["command".to_string(), "pipeline".into()];
    for peer in peers {
        columns.extend(["µs/op", "ops/s", "busy"].map(|name| format!("{} {name}", peer.name)));
    }
    if peers.len() == 2 {
        columns.extend(["ratio".into(), "(range)".into()]);
    }
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    Table::new("Server CPU per operation under redis-benchmark", &columns)
}

fn row(test: &str, pipeline: usize, figures: &[Vec<Figures>]) -> Vec<String> {
    let mut cells = vec![test.to_uppercase(), pipeline.to_string()];
    for list in figures {
        let over = |of: &dyn Fn(&Figures) -> f64| median(&list.iter().map(of).collect::<Vec<_>>());
        cells.push(format!("{:.3}", over(&|one| one.cpu_us)));
        cells.push(format!("{:.0}k", over(&|one| one.rate) / 1e3));
        cells.push(format!("{:.0} %", over(&|one| one.busy) * 100.0));
    }
    if let [first, second] = figures {
        let pairs = first.iter().zip(second);
        let ratios: Vec<f64> = pairs
            .map(|(one, other)| other.cpu_us / one.cpu_us)
            .collect();
        cells.push(format!("{:.2}", median(&ratios)));
        cells.push(format!(
            "{:.2}–{:.2}",
            quantile(&ratios, 0.0),
            quantile(&ratios, 1.0)
        ));
    }
    cells
}
