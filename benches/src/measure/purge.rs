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

/// How memory is given back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// MEMORY PURGE, which answers when it is done.
    Purge,
    /// Active defragmentation, switched on after the deletion so that all of it is seen.
    Background,
}

/// Resident bytes to come down to, of those used.
const BAR: f64 = 1.3;
/// How long the background may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Fills, deletes a random 80 %, has memory given back, and reads every remaining value.
pub fn run(options: &Options) -> io::Result<()> {
    let cores = Cores::of_machine()?;
    sys::pin_thread(&[cores.generator])?;
    let keys = options.key_count(KEYS);
    let mut table = Table::new(
        format!(
            "Memory given back after deleting 80 % of {} keys of mixed sizes",
            grouped(keys)
        ),
        &[
            "server",
            "by",
            "full MiB",
            "before MiB",
            "after MiB",
            "used MiB",
            "after / used",
            "seconds",
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
        table.row(row(&recipe, keys, cores.generator, Way::Purge)?);
        if recipe.is_pinyon() {
            table.row(row(&recipe, keys, cores.generator, Way::Background)?);
        }
    }
    table.note(
        "Values of 8 to 2,063 bytes. Resident bytes when full, after the deletion, and after \
         memory was given back; used: used_memory of INFO. By MEMORY PURGE, with activedefrag off, \
         or by activedefrag alone: then the seconds are those until 1.3 times the used bytes were \
         resident. PING every millisecond meanwhile; own: as much of it as the server used CPU \
         meanwhile. Every remaining value was read back.",
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
        dialect: peer.dialect,
    };
    let mut load = Load::connect(&[peer.address], 8, 64, work)?;
    Ok(load.run(&[peer.process], Until::Exhausted)?.operations)
}

fn used_bytes(peer: &Peer) -> io::Result<u64> {
    let text = peer.client()?.info("memory", "used_memory")?;
    let used = text.and_then(|text| text.parse().ok());
    used.ok_or_else(|| io::Error::other("INFO memory has no used_memory"))
}

/// Switches active defragmentation, where the server has it.
fn switch(peer: &Peer, word: &str) -> io::Result<()> {
    if peer.is_pinyon {
        let mut client = peer.client()?;
        client.demand(&["CONFIG", "SET", "activedefrag", word])?;
    }
    Ok(())
}

/// Has memory given back; answers how many seconds that took.
fn give_back(peer: &Peer, way: Way) -> io::Result<f64> {
    let asked = Instant::now();
    match way {
        Way::Purge => {
            peer.client()?.demand(&["MEMORY", "PURGE"])?;
        }
        Way::Background => {
            switch(peer, "yes")?;
            let bar_bytes = used_bytes(peer)? as f64 * BAR;
            while peer.process.resident_bytes()? as f64 > bar_bytes {
                if asked.elapsed() > PATIENCE {
                    return Err(io::Error::other("the resident set did not come back"));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
    Ok(asked.elapsed().as_secs_f64())
}

fn row(recipe: &Recipe, keys: u64, core: usize, way: Way) -> io::Result<Vec<String>> {
    let peer = Peer::start(recipe)?;
    switch(&peer, "no")?;
    fill(&peer, 0, keys, ValueBytes::Mixed, false)?;
    let full_bytes = peer.process.resident_bytes()?;
    let deleted = visit(&peer, Operation::Del, keys, true)?;
    settle();
    let before_bytes = peer.process.resident_bytes()?;
    let probe = Probe::start(peer.address, peer.process, core, &[&["PING"]])?;
    let took_s = give_back(&peer, way)?;
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
        match way {
            Way::Purge => "PURGE".to_string(),
            Way::Background => "activedefrag".to_string(),
        },
        mib(full_bytes),
        mib(before_bytes),
        mib(after_bytes),
        mib(used_bytes),
        format!("{:.2}", after_bytes as f64 / used_bytes as f64),
        format!("{took_s:.2}"),
        format!("{:.2}", seen.latency.quantile_us(0.999) / 1e3),
        format!("{:.2}", seen.latency.max_us() / 1e3),
        format!("{:.2}", seen.own_latency.max_us() / 1e3),
        format!("{:.2}", seen.late_us_max / 1e3),
        seen.longest.text(),
    ])
}
