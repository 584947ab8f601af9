//! Owns what other clients feel while a collection of ten million members is deleted, overwritten, or expires.
//! Never here: how long the freeing takes as a whole, but beside.
//! Source: none.

use std::io;
use std::time::{Duration, Instant};

use super::{Cores, both};
use crate::client::Client;
use crate::options::Options;
use crate::peer::Peer;
use crate::probe::{Probe, Seen};
use crate::sys;
use crate::table::{Table, grouped};

const MEMBERS: u64 = 10_000_000;
/// Members that one command adds.
const MEMBERS_A_COMMAND: u64 = 100;

/// A kind of collection, and the words that add a member.
type Kind = (&'static str, &'static str, fn(u64) -> Vec<String>);

const KINDS: &[Kind] = &[
    ("set", "SADD", |number| vec![format!("m{number:09}")]),
    ("hash", "HSET", |number| {
        vec![format!("f{number:09}"), "value".into()]
    }),
    ("sorted set", "ZADD", |number| {
        vec![number.to_string(), format!("m{number:09}")]
    }),
    ("list", "RPUSH", |number| vec![format!("e{number:09}")]),
];

/// How a collection goes: what the table calls it, and the command.
const ENDS: &[(&str, &[&str])] = &[
    ("UNLINK", &["UNLINK", "big"]),
    ("DEL", &["DEL", "big"]),
    ("SET over it", &["SET", "big", "small"]),
    ("expiry", &["PEXPIRE", "big", "1"]),
];

/// Fills, deletes, and probes meanwhile.
pub fn run(options: &Options) -> io::Result<()> {
    let cores = Cores::of_machine()?;
    sys::pin_thread(&[cores.generator])?;
    let members = options.key_count(MEMBERS);
    let mut table = Table::new(
        format!(
            "Stalls while a collection of {} members comes and goes",
            grouped(members)
        ),
        &[
            "server",
            "collection",
            "event",
            "PING p99.9 ms",
            "PING max ms",
            "own max ms",
            "probe late ms",
            "the longest",
        ],
    );
    for recipe in both(options, &cores) {
        for (name, command, words) in KINDS {
            let peer = Peer::start(&recipe)?;
            let mut client = peer.client()?;
            for (end, ending) in ENDS {
                let growth = probed(&peer, cores.generator, Duration::ZERO, || {
                    fill(&mut client, command, *words, members)
                })?;
                if *end == "UNLINK" {
                    table.row(row(&peer, name, "growing", &growth));
                }
                let going = probed(&peer, cores.generator, Duration::from_secs(2), || {
                    client.demand(ending).map(drop)
                })?;
                table.row(row(&peer, name, end, &going));
                client.demand(&["DEL", "big"])?;
            }
        }
    }
    table
        .note("PING every millisecond; own: as much of the wait as the server used CPU meanwhile.");
    table.publish(&options.out, "free")
}

fn fill(
    client: &mut Client,
    command: &str,
    words: fn(u64) -> Vec<String>,
    members: u64,
) -> io::Result<()> {
    let commands = (0..members.div_ceil(MEMBERS_A_COMMAND)).map(|part| {
        let mut all = vec![command.to_string(), "big".to_string()];
        let start = part * MEMBERS_A_COMMAND;
        (start..(start + MEMBERS_A_COMMAND).min(members))
            .for_each(|number| all.extend(words(number)));
        all
    });
    client.pour(commands)
}

/// Probes while something is done, and for a while afterwards.
fn probed(
    peer: &Peer,
    core: usize,
    afterwards: Duration,
    act: impl FnOnce() -> io::Result<()>,
) -> io::Result<Seen> {
    let probe = Probe::start(peer.address, peer.process, core, &[&["PING"]])?;
    let started = Instant::now();
    act()?;
    std::thread::sleep(afterwards.saturating_sub(started.elapsed()));
    probe.finish()
}

fn row(peer: &Peer, name: &str, event: &str, seen: &Seen) -> Vec<String> {
    vec![
        peer.name.clone(),
        name.to_string(),
        event.to_string(),
        format!("{:.2}", seen.latency.quantile_us(0.999) / 1e3),
        format!("{:.2}", seen.latency.max_us() / 1e3),
        format!("{:.2}", seen.own_latency.max_us() / 1e3),
        format!("{:.2}", seen.late_us_max / 1e3),
        seen.longest.text(),
    ]
}
