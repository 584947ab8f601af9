//! Owns the diagnosis of a memory report: what is wrong, how it shows, why, and the command that helps.
//! Never happens here: measuring anything; every finding follows from figures that were read already.
//! Source: the questions Redis' MEMORY DOCTOR asks and some more, with thresholds apart from the words.

#![forbid(unsafe_code)]

mod clients;
mod keyspace;
mod leak;
mod limit;
mod process;
mod text;
mod unused;

#[cfg(test)]
mod fixture;

pub use clients::{CLIENT_PERCENT_MAX, CLIENTS_PERCENT_MAX};
pub use keyspace::{
    DOMINANT_KEY_PERCENT, DOMINANT_PREFIX_PERCENT, EVICTED_PERCENT_MAX, LASTING_KEYS_MIN,
    MISSES_PERCENT_MAX, OTHERS_PERCENT_MAX, SHARD_PERCENT_MAX,
};
pub use leak::{GROWING_TOLD_MAX, LEAK_BYTES_MIN, LEAKS_TOLD_MAX};
pub use limit::LIMIT_PERCENT_MAX;
pub use process::{EMPTY_BYTES_MAX, PEAK_PERCENT_MAX, PROCESS_BYTES_MIN, RESIDENT_PERCENT_MAX};
pub use text::{json, prose};
pub use unused::{COLD_PERCENT_MAX, UNREAD_KEYS_MIN, UNREAD_PERCENT_MAX, UNREAD_TOLD_MAX};

use crate::history::{History, Trend};
use crate::report::MemoryReport;

const MIB: u64 = 1 << 20;
/// Waste below this is not worth an action, whatever its proportion.
pub const WASTE_BYTES_MIN: u64 = 10 * MIB;

/// The limits around an instance that a diagnosis weighs its figures against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// `maxmemory` in bytes; 0 is none.
    pub maxmemory_bytes: u64,
    /// Bytes more until that limit, by what counts against it.
    pub room_bytes: u64,
    /// Whether keys are evicted at the limit; false is the policy `noeviction`.
    pub evicts: bool,
    /// Whether only keys with an expiry are.
    pub evicts_only_expiring: bool,
    /// The limit of the container around the process, where there is one.
    pub container_bytes: Option<u64>,
    /// The memory of the machine, where it is known.
    pub machine_bytes: Option<u64>,
    /// Whether blocks are moved together without anybody asking for it.
    pub defragments: bool,
}

/// What is known beside the report, each of it only if somebody keeps it.
#[derive(Clone, Debug, Default)]
pub struct Insight {
    /// The client that holds most.
    pub largest_client: Option<ClientFigures>,
    /// The largest prefixes of all shards.
    pub prefixes: Vec<PrefixFigures>,
    /// Bytes of keys whose prefix has no account of its own.
    pub others_bytes: u64,
    /// The largest key of each shard.
    pub largest_keys: Vec<Option<KeyFigures>>,
    /// The biggest keys with how they came to be, of all shards.
    pub growing_keys: Vec<GrowingKey>,
    /// What nobody uses.
    pub unused: UnusedFigures,
    /// How the bytes of all keys came to be.
    pub dataset: Option<Box<History>>,
    /// How the total has grown.
    pub total: Trend,
    /// Evictions and reads of the last minutes.
    pub traffic: Traffic,
    /// Whether the server watches what more memory would be good for.
    pub draws_curve: bool,
    /// What it has seen of that.
    pub more_memory: Option<MoreMemory>,
}

/// A client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientFigures {
    /// Its number, as CLIENT LIST has it.
    pub id: u64,
    /// Bytes of its record and buffers.
    pub bytes: u64,
}

/// A key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFigures {
    /// Its name.
    pub name: Box<[u8]>,
    /// Its database.
    pub db: u64,
    /// Bytes of its blocks.
    pub bytes: u64,
}

/// One of the biggest keys, and how it came to be as big.
#[derive(Clone, Debug)]
pub struct GrowingKey {
    /// The key.
    pub key: KeyFigures,
    /// The name of its type.
    pub kind: &'static str,
    /// Its shard.
    pub shard: u64,
    /// Whether it has an expiry.
    pub has_expiry: bool,
    /// How its bytes came to be.
    pub history: Box<History>,
}

/// What nobody uses, estimated from keys that were drawn at random and followed for a day.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UnusedFigures {
    /// How many were drawn.
    pub followed_keys: u64,
    /// Bytes of all keys that nobody used for a day.
    pub cold_bytes: f64,
    /// The square of the standard error of that.
    pub cold_variance: f64,
}

/// The keys of a prefix.
#[derive(Clone, Debug, Default)]
pub struct PrefixFigures {
    /// The prefix.
    pub name: Box<[u8]>,
    /// Bytes of the keys' blocks.
    pub bytes: u64,
    /// How many there are.
    pub keys: u64,
    /// Those of them without an expiry.
    pub lasting_keys: u64,
    /// Of its keys that were drawn at random those that are there for an hour or longer.
    pub settled_keys: u64,
    /// Those of them that nobody used since they were written.
    pub unread_keys: u64,
    /// Bytes of its keys that nobody used for a day, estimated.
    pub cold_bytes: f64,
    /// How much of the bytes each shard holds.
    pub shard_bytes: Vec<u64>,
    /// How the bytes came to be.
    pub history: Option<Box<History>>,
}

/// What went through in the last minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Keys that were evicted.
    pub evicted_keys: u64,
    /// Reads that found their key.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Milliseconds in which all this was counted; of several shards the longest.
    pub covered_ms: u64,
}

impl Traffic {
    /// Adds another shard's.
    pub fn merge(&mut self, other: &Traffic) {
        let Traffic {
            evicted_keys,
            hits,
            misses,
            covered_ms,
        } = other;
        self.evicted_keys += evicted_keys;
        self.hits += hits;
        self.misses += misses;
        self.covered_ms = self.covered_ms.max(*covered_ms);
    }
}

/// The hit ratio that another size of memory would have had.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MoreMemory {
    /// How many times today's memory.
    pub times: f64,
    /// The hit ratio it would have had, 0 to 1.
    pub hit_ratio: f64,
    /// The one that was measured.
    pub hit_ratio_now: f64,
    /// How far off the former may be.
    pub error: f64,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing to do, or nothing urgent.
    Note,
    /// Memory is wasted or out of balance.
    Warning,
    /// Writes will fail or the process will be killed.
    Critical,
}

impl Severity {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// A figure that shows something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// Bytes.
    Bytes(u64),
    /// A number of things, or a number that names one.
    Count(u64),
    /// A part of a whole in percent.
    Percent(f64),
    /// A time in seconds.
    Seconds(u64),
}

/// One thing found.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// A name that stays the same whatever the words become.
    pub id: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// The figures that show it, by name.
    pub evidence: Vec<(&'static str, Amount)>,
    /// Why it is so, in a sentence or two. Names of keys are escaped: it is printable ASCII.
    pub cause: String,
    /// The command that helps, or looks closer; empty when there is nothing to do.
    pub remedy: String,
}

/// Everything worth telling about a report, the most severe first.
pub fn findings(report: &MemoryReport, limits: &Limits, insight: &Insight) -> Vec<Finding> {
    let mut findings: Vec<Finding> = [
        limit::near_limit(report, limits, insight),
        limit::container_below_limit(report, limits),
    ]
    .into_iter()
    .flatten()
    .collect();
    if report.total_bytes() < EMPTY_BYTES_MAX {
        findings.push(process::empty_instance(report));
    } else {
        let growing = leak::growing_keys(report, limits, insight);
        findings.extend(leak::prefix_leaks(report, limits, insight, &growing));
        findings.extend(growing.into_iter().map(|(_, finding)| finding));
        findings.extend(process::resident_above_used(report, limits));
        findings.extend(process::unaccounted(report));
        findings.extend(clients::large_clients(report, limits, insight));
        findings.extend(clients::large_client(report, insight));
        findings.extend(keyspace::shard_above_siblings(report));
        findings.extend(keyspace::dominated_shards(report, insight));
        findings.extend(keyspace::eviction_thrash(report, limits, insight));
        findings.extend(keyspace::lasting_beside_expiring(insight));
        findings.extend(keyspace::nothing_evictable(report, limits));
        findings.extend(process::many_scripts(report));
        findings.extend(unused::cold_bytes(report, insight));
        findings.extend(unused::unread_prefixes(insight));
        findings.extend(keyspace::ids_as_prefixes(report, insight));
        findings.extend(process::peak_above_total(report, limits));
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// `part` is more than `percent` of `whole`.
fn exceeds(part: u64, percent: u64, whole: u64) -> bool {
    u128::from(part) * 100 > u128::from(whole) * u128::from(percent)
}

/// A key or prefix as words can have it: printable, in quotes.
fn quoted(name: &[u8]) -> String {
    format!("\"{}\"", name.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::fixture::{MIB, ROOMY, ids, process, report, shards};
    use super::*;

    #[test]
    fn a_healthy_instance_gets_the_all_clear() {
        let findings = findings(&report(), &ROOMY, &Insight::default());
        assert_eq!(findings, []);
        assert!(prose(&findings).starts_with("No memory problem found"));
    }

    #[test]
    fn the_most_severe_comes_first() {
        let mut process = process();
        process.peak_bytes = 900 * MIB;
        let limits = Limits {
            maxmemory_bytes: 205 * MIB,
            ..Limits::default()
        };
        assert_eq!(
            ids(shards(), process, limits, &Insight::default()),
            ["near-limit", "peak-above-total"]
        );
    }
}
