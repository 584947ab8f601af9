//! Owns the program's start: which measurement, with which options.
//! Never here: a measurement.
//! Source: none.

mod client;
mod dialect;
mod histogram;
mod load;
mod measure;
mod options;
mod peer;
mod probe;
mod process;
mod sys;
mod table;
mod wake;
mod workload;

use std::io;
use std::process::ExitCode;

use options::Options;

type Measurement = fn(&Options) -> io::Result<()>;

/// Name, what it shows, how.
const MEASUREMENTS: &[(&str, &str, Measurement)] = &[
    (
        "server",
        "server CPU per operation and latency, SET and GET, pipeline 1, 16, 64",
        measure::server::run,
    ),
    (
        "crosscheck",
        "the same with redis-benchmark as the generator",
        measure::crosscheck::run,
    ),
    (
        "hop",
        "two shards on two cores against one shard, server CPU per operation",
        measure::hop::run,
    ),
    (
        "footprint",
        "resident bytes a key at several numbers of keys and sizes of value",
        measure::footprint::run,
    ),
    (
        "grow",
        "the longest stall while filling to 20 million keys",
        measure::grow::run,
    ),
    (
        "stats",
        "what MEMORY STATS ten times a second costs the load",
        |options| measure::stats::run(options, &measure::stats::STATS),
    ),
    (
        "looking",
        "what STATS, PREFIXES, TOPKEYS and CURVE ten times a second cost a load on ten million keys",
        |options| measure::stats::run(options, &measure::stats::LOOKING),
    ),
    (
        "expiry",
        "the longest stall while a million keys expire in one second",
        measure::expiry::run,
    ),
    (
        "purge",
        "what MEMORY PURGE and activedefrag give back after deleting 80 %, and their stalls",
        measure::purge::run,
    ),
    (
        "types",
        "server CPU per operation of every type's common write and read",
        measure::types::run,
    ),
    (
        "members",
        "resident bytes a member of collections of several types and sizes",
        measure::members::run,
    ),
    (
        "free",
        "the longest stall while a collection of ten million members goes",
        measure::free::run,
    ),
    (
        "replay",
        "hit ratios of replayed traces beside redis-server",
        measure::replay::run,
    ),
    (
        "resident",
        "the resident set under a limit while sizes of values change, beside redis-server",
        measure::resident::run,
    ),
    (
        "idle",
        "memory and CPU of ten thousand idle connections",
        measure::idle::run,
    ),
];

fn usage() -> String {
    let mut text = String::from("usage: pinyon-bench <measurement> [options]\n\n");
    for (name, what, _) in MEASUREMENTS {
        text.push_str(&format!("  {name:<12} {what}\n"));
    }
    format!("{text}\n{}\n", options::OPTIONS_HELP)
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let chosen = words
        .first()
        .and_then(|word| MEASUREMENTS.iter().find(|row| row.0 == word));
    let Some((name, _, measurement)) = chosen else {
        eprint!("{}", usage());
        return ExitCode::from(2);
    };
    let options = match Options::parse(&words[1..]) {
        Ok(options) => options,
        Err(text) => {
            eprintln!("{text}\n\n{}", usage());
            return ExitCode::from(2);
        }
    };
    println!("{name}: {}", process::machine());
    match measurement(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name} failed: {error}");
            ExitCode::FAILURE
        }
    }
}
