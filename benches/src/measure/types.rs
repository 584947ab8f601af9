//! Owns what the common write and the common read of every type cost, beside redis-server.
//! Never here: strings, which have tables of their own; our own generator.
//! Source: redis-benchmark's manual; `__rand_int__` stands for twelve digits.

use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{Cores, both};
use crate::options::Options;
use crate::peer::Peer;
use crate::sys;
use crate::table::{Table, median, quantile};

/// What a command is, and the words that redis-benchmark repeats.
struct Work {
    /// As the table names it.
    name: &'static str,
    words: &'static [&'static str],
    /// Random numbers are drawn from so many.
    range: u64,
}

const fn work(name: &'static str, words: &'static [&'static str], range: u64) -> Work {
    Work { name, words, range }
}

/// Each write first, so that the reads after it find something.
const WORKS: &[Work] = &[
    work(
        "HSET, small hashes",
        &[
            "HSET",
            "hash:__rand_int__",
            "field:1",
            "value",
            "field:2",
            "__rand_int__",
        ],
        100_000,
    ),
    work(
        "HGET, small hashes",
        &["HGET", "hash:__rand_int__", "field:2"],
        100_000,
    ),
    work(
        "HSET, one hash of 100,000",
        &["HSET", "hash", "field:__rand_int__", "__rand_int__"],
        100_000,
    ),
    work(
        "HGET, one hash of 100,000",
        &["HGET", "hash", "field:__rand_int__"],
        100_000,
    ),
    work(
        "HGETALL, small hashes",
        &["HGETALL", "hash:__rand_int__"],
        100_000,
    ),
    work(
        "RPUSH, one list",
        &["RPUSH", "list", "element:__rand_int__"],
        100_000,
    ),
    work("LPOP, one list", &["LPOP", "list"], 100_000),
    work(
        "LPUSH, small lists",
        &["LPUSH", "list:__rand_int__", "element"],
        100_000,
    ),
    work(
        "LRANGE 0 9, small lists",
        &["LRANGE", "list:__rand_int__", "0", "9"],
        100_000,
    ),
    work(
        "SADD, one set of 100,000",
        &["SADD", "set", "member:__rand_int__"],
        100_000,
    ),
    work(
        "SISMEMBER, one set",
        &["SISMEMBER", "set", "member:__rand_int__"],
        100_000,
    ),
    work(
        "SADD, small sets",
        &["SADD", "set:__rand_int__", "member", "other"],
        100_000,
    ),
    work(
        "ZADD, one of 100,000",
        &["ZADD", "zset", "__rand_int__", "member:__rand_int__"],
        100_000,
    ),
    work(
        "ZSCORE, one of 100,000",
        &["ZSCORE", "zset", "member:__rand_int__"],
        100_000,
    ),
    work(
        "ZRANK, one of 100,000",
        &["ZRANK", "zset", "member:__rand_int__"],
        100_000,
    ),
    work("ZRANGE 0 9", &["ZRANGE", "zset", "0", "9"], 100_000),
    work(
        "ZADD, small ones",
        &["ZADD", "zset:__rand_int__", "1", "member", "2", "other"],
        100_000,
    ),
    work(
        "XADD, one stream",
        &[
            "XADD",
            "stream",
            "MAXLEN",
            "~",
            "100000",
            "*",
            "field",
            "__rand_int__",
        ],
        100_000,
    ),
    work(
        "XRANGE - + COUNT 10",
        &["XRANGE", "stream", "-", "+", "COUNT", "10"],
        100_000,
    ),
    work(
        "SETBIT",
        &["SETBIT", "bits:__rand_int__", "70", "1"],
        1_000_000,
    ),
    work("GETBIT", &["GETBIT", "bits:__rand_int__", "70"], 1_000_000),
    work(
        "PFADD",
        &["PFADD", "sketch:__rand_int__", "element:__rand_int__"],
        1000,
    ),
    work(
        "GEOADD",
        &["GEOADD", "places", "13.361", "38.115", "place:__rand_int__"],
        100_000,
    ),
];

/// Runs of every work at pipeline 1 and 16 on both servers, in turn.
pub fn run(options: &Options) -> io::Result<()> {
    let cores = Cores::of_machine()?;
    sys::pin_thread(&[cores.generator])?;
    let recipes = both(options, &cores);
    let peers: Vec<Peer> = recipes.iter().map(Peer::start).collect::<io::Result<_>>()?;
    let mut table = table(&peers);
    for work in WORKS {
        for peer in &peers {
            // The first pass makes what the measured ones meet.
            once(options, peer, work, 16, 200_000)?;
        }
        for pipeline in options.pipelines(&[1, 16]) {
            let mut costs_us: Vec<Vec<f64>> = peers.iter().map(|_| Vec::new()).collect();
            for _ in 0..options.rounds.unwrap_or(5) {
                for (peer, list) in peers.iter().zip(&mut costs_us) {
                    let operations = if pipeline == 1 { 50_000 } else { 300_000 };
                    list.push(once(options, peer, work, pipeline, operations)?);
                }
            }
            table.row(row(work.name, pipeline, &costs_us));
        }
    }
    table.note("redis-benchmark -c 50; start and end of it included; one core, one shard. Ratio: median over rounds (least to most).");
    table.publish(&options.out, "types")
}

/// Server CPU microseconds an operation.
fn once(
    options: &Options,
    peer: &Peer,
    work: &Work,
    pipeline: usize,
    operations: u64,
) -> io::Result<f64> {
    let operations = (operations as f64 * options.seconds.unwrap_or(1.0)).max(1000.0) as u64;
    let before_ns = peer.process.usage()?.cpu_ns;
    let output = Command::new(PathBuf::from("redis-benchmark"))
        .args(["-p", &peer.address.port().to_string(), "-q", "-c", "50"])
        .args(["-P", &pipeline.to_string(), "-n", &operations.to_string()])
        .args(["-r", &work.range.to_string()])
        .args(work.words)
        .stdin(Stdio::null())
        .output()?;
    let cpu_ns = peer.process.usage()?.cpu_ns - before_ns;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || !text.contains("requests per second") {
        return Err(io::Error::other(format!(
            "redis-benchmark {}: {text}",
            work.name
        )));
    }
    Ok(cpu_ns as f64 / 1e3 / operations as f64)
}

fn table(peers: &[Peer]) -> Table {
    let mut columns = vec!["command".to_string(), "pipeline".into()];
    columns.extend(peers.iter().map(|peer| format!("{} µs/op", peer.name)));
    if peers.len() == 2 {
        columns.extend(["ratio".into(), "(range)".into()]);
    }
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    Table::new("Server CPU per operation by type", &columns)
}

fn row(name: &str, pipeline: usize, costs_us: &[Vec<f64>]) -> Vec<String> {
    let mut cells = vec![name.to_string(), pipeline.to_string()];
    cells.extend(costs_us.iter().map(|list| format!("{:.3}", median(list))));
    if let [first, second] = costs_us {
        let ratios: Vec<f64> = first
            .iter()
            .zip(second)
            .map(|(one, other)| other / one)
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
