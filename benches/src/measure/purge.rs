//! Owns what is given back after most keys are deleted, and what clients feel meanwhile.
//! Never here: a server's own idea of its resident set.
//! Source: none.

use std::io;
use std::time::{Duration, Instant};

use super::{Cores, both, fill, settle};
use crate::load::{Load, Until};
use crate::options::Options;
use crate::peer::{Peer, Recipe};
use crate::probe::Probe;
use crate::sys;
use crate::table::{Table, grouped, mib};
use crate::workload::{Keys, Operation, ValueBytes, Workload};

const KEYS: u64 = 5_000_000;

/// Fills, deletes a random 80 %, purges, and reads every remaining value.
pub fn run(options: &Options) -> io::Result<()> {
    let cores = Cores::of_machine()?;
    sys::pin_thread(&[cores.generator])?;
    let keys = options.key_count(KEYS);
    let mut table = Table::new(
        format!(
            "MEMORY PURGE after deleting 80 % of {} keys of mixed sizes",
            grouped(keys)
        ),
        &[
            "server",
            "full MiB",
            "before MiB",
            "after MiB",
            "used MiB",
            "after / used",
            "PURGE s",
            "PING p99.9 ms",
            "PING max ms",
            "own max ms",
            "probe late ms",
            "the longest",
        ],
    );
    for recipe in both(options, &cores) {
        let recipe = Recipe {
            shards: options.shards.unwrap_or(1),
            ..recipe
        };
        table.row(row(&recipe, keys, cores.generator)?);
    }
    table.note(
        "Values of 8 to 2,063 bytes. Resident bytes when full, after the deletion, and after the \
         purge; used: used_memory of INFO. PING every millisecond during the purge; own: as much of it \
         as the server used CPU meanwhile. Every remaining value was read back.",
    );
    table.publish(&options.out, "purge")
}

fn visit(peer: &Peer, operation: Operation, keys: u64, four_fifths: bool) -> io::Result<u64> {
    let keys = Keys::Picked {
        next: 0,
        end: keys,
        four_fifths,
    };
    let work = Workload {
        operation,
        keys,
        values: ValueBytes::Mixed,
        expires: false,
    };
    let mut load = Load::connect(peer.address, 8, 64, work)?;
    Ok(load.run(peer.process, Until::Exhausted)?.operations)
}

fn used_bytes(peer: &Peer) -> io::Result<u64> {
    let text = peer.client()?.info("memory", "used_memory")?;
    let used = text.and_then(|text| text.parse().ok());
    used.ok_or_else(|| io::Error::other("INFO memory has no used_memory"))
}

fn row(recipe: &Recipe, keys: u64, core: usize) -> io::Result<Vec<String>> {
    let peer = Peer::start(recipe)?;
    fill(&peer, 0, keys, ValueBytes::Mixed, false)?;
    let full_bytes = peer.process.resident_bytes()?;
    let deleted = visit(&peer, Operation::Del, keys, true)?;
    settle();
    let before_bytes = peer.process.resident_bytes()?;
    let probe = Probe::start(peer.address, peer.process, core, &[&["PING"]])?;
    let asked = Instant::now();
    peer.client()?.demand(&["MEMORY", "PURGE"])?;
    let purge_s = asked.elapsed().as_secs_f64();
    // Steps that follow the answer are felt, too.
    std::thread::sleep(Duration::from_secs(2));
    let seen = probe.finish()?;
    let after_bytes = peer.process.resident_bytes()?;
    let used_bytes = used_bytes(&peer)?;
    if visit(&peer, Operation::Get, keys, false)? != keys - deleted {
        return Err(io::Error::other("not every remaining key was read"));
    }
    Ok(vec![
        peer.name.clone(),
        mib(full_bytes),
        mib(before_bytes),
        mib(after_bytes),
        mib(used_bytes),
        format!("{:.2}", after_bytes as f64 / used_bytes as f64),
        format!("{purge_s:.2}"),
        format!("{:.2}", seen.latency.quantile_us(0.999) / 1e3),
        format!("{:.2}", seen.latency.max_us() / 1e3),
        format!("{:.2}", seen.own_latency.max_us() / 1e3),
        format!("{:.2}", seen.late_us_max / 1e3),
        seen.longest.text(),
    ])
}
