//! Owns what other clients feel while a million keys fall due in one second.
//! Never here: keys that a command meets past their expiry; nothing asks for them.
//! Source: none.

use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Cores, both};
use crate::options::Options;
use crate::peer::Peer;
use crate::probe::Probe;
use crate::sys;
use crate::table::{Table, grouped};

const KEYS: u64 = 1_000_000;
/// From the first SET until the second in which all keys fall due.
const LEAD: Duration = Duration::from_secs(20);
/// When keys that are not gone yet are given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fills, waits for the second, and probes until the last key is gone.
pub fn run(options: &Options) -> io::Result<()> {
    let cores = Cores::of_machine()?;
    sys::pin_thread(&[cores.generator])?;
    let keys = options.key_count(KEYS);
    let mut table = Table::new(
        format!("Stalls while {} keys expire in one second", grouped(keys)),
        &[
            "server",
            "p99.9 ms",
            "max ms",
            "own max ms",
            "probe late ms",
            "gone after s",
        ],
    );
    for recipe in both(options, &cores) {
        let peer = Peer::start(&recipe)?;
        table.row(row(&peer, cores.generator, keys)?);
    }
    table.note(
        "A PING and a GET in turn, one every millisecond; own: as much of the wait as the server used CPU \
         meanwhile. Gone: from the end of that second until DBSIZE is 1.",
    );
    table.publish(&options.out, "expiry")
}

fn row(peer: &Peer, core: usize, keys: u64) -> io::Result<Vec<String>> {
    let mut client = peer.client()?;
    client.demand(&["SET", "stays", "value"])?;
    let began = Instant::now();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let due_ms = (now.map_err(io::Error::other)? + LEAD).as_millis() as u64;
    let sets = (0..keys).map(|number| {
        let at_ms = due_ms + number * 1000 / keys;
        let words = [
            "SET",
            &format!("key:{number:012}"),
            "some value of some bytes",
            "PXAT",
        ];
        let mut words = words.map(str::to_string).to_vec();
        words.push(at_ms.to_string());
        words
    });
    client.pour(sets)?;
    if began.elapsed() > LEAD {
        return Err(io::Error::other("the fill took longer than the keys live"));
    }
    std::thread::sleep(LEAD.saturating_sub(began.elapsed()));
    let probe = Probe::start(
        peer.address,
        peer.process,
        core,
        &[&["PING"], &["GET", "stays"]],
    )?;
    let due = began + LEAD + Duration::from_secs(1);
    while client.demand(&["DBSIZE"])?.number() != Some(1.0) {
        if due.elapsed() > PATIENCE {
            return Err(io::Error::other("keys are left after a minute"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let gone_s = due.elapsed().as_secs_f64();
    let seen = probe.finish()?;
    Ok(vec![
        peer.name.clone(),
        format!("{:.2}", seen.latency.quantile_us(0.999) / 1e3),
        format!("{:.2}", seen.latency.max_us() / 1e3),
        format!("{:.2}", seen.own_latency.max_us() / 1e3),
        format!("{:.2}", seen.late_us_max / 1e3),
        format!("{gone_s:.2}"),
    ])
}
