//! MEMORY DOCTOR: gathers in one fan-out what the diagnosis weighs, and answers it as text or as JSON.
//! No judgement here: `memory::doctor` has the thresholds and the words.
//! Source: the contract in docs/memory.md.

use super::insight::{checked, collapsed, merged, prefix_reports, told_apart};
use super::trend::{room_bytes, total_trend};
use super::{all, shard_memory};
use crate::{Call, Core, Error, Part, Progress, Reply, Run, error};
use memory::doctor::{
    self, ClientFigures, GrowingKey, Insight, KeyFigures, Limits, MoreMemory, PrefixFigures,
    Traffic,
};
use memory::history::History;
use memory::process::{container_limit, machine_memory_bytes};
use memory::report::MemoryReport;
use memory::shard::ShardMemory;
use resp::Writer;
use std::collections::HashMap;
use store::curve::{Figures, MissRatioCurve};
use store::{FollowedKey, PrefixReport, Unused, UnusedOfPrefix};

/// Prefixes that each database of a shard tells of, the largest: one with a hundredth of the data is among them.
const PREFIXES_TOLD: usize = 128;

/// How much more memory is thought of when what clients work with does not fit.
const MORE_TIMES: f64 = 2.0;

/// MEMORY DOCTOR.
pub(super) const DOCTOR: Run = checked(|call| wants_json(call).map(drop), all(part, merge));

/// What one shard contributes.
#[derive(Debug)]
pub struct Checkup {
    memory: ShardMemory,
    limited_bytes: i64,
    total: Option<History>,
    dataset: Option<History>,
    prefixes: Vec<PrefixReport>,
    largest_key: Option<KeyFigures>,
    followed_keys: Vec<FollowedKey>,
    unused: Unused,
    largest_client: Option<ClientFigures>,
    traffic: Traffic,
    curve: Figures,
}

/// Without a word it is text. Any other word is one too many, as in Redis.
fn wants_json(call: &Call<'_>) -> Result<bool, Error> {
    match call.args.len() {
        2 => Ok(false),
        3 if call.is(2, "json") => Ok(true),
        _ => Err(error::wrong_arity("memory|doctor")),
    }
}

fn part(call: &mut Call<'_>, part: &mut Part) -> Result<Progress, Error> {
    call.core.tick_curve();
    let core = &*call.core;
    let largest_key = core.shard.top_keys(None, 1, core.now).keys.pop();
    let largest_client = core
        .clients
        .iter()
        .max_by_key(|(_, client)| client.total_bytes);
    *part = Part::Checkup(Box::new(Checkup {
        memory: shard_memory(core),
        limited_bytes: core.limited_bytes(),
        total: core.past.total().cloned(),
        dataset: core.past.dataset().cloned(),
        prefixes: prefix_reports(core, Some(PREFIXES_TOLD)),
        largest_key: largest_key.map(|key| KeyFigures {
            name: key.key,
            db: key.db as u64,
            bytes: key.bytes,
        }),
        followed_keys: core.shard.followed_keys(core.now),
        unused: core.shard.unused(core.now),
        largest_client: largest_client.map(|(_, client)| ClientFigures {
            id: client.number,
            bytes: client.total_bytes as u64,
        }),
        traffic: core.traffic(),
        curve: core.shard.curve().figures(),
    }));
    Ok(Progress::Done)
}

fn merge(call: &mut Call<'_>, parts: &mut [Part], out: &mut Writer<'_>) -> Reply {
    let is_json = wants_json(call)?;
    let (mut insight, mut shards, mut limited_bytes) = (Insight::default(), Vec::new(), 0);
    let (mut prefixes, mut curves, mut history) = (Vec::new(), Vec::new(), None);
    let mut unused_prefixes = Vec::new();
    for (shard, part) in parts.iter_mut().enumerate() {
        let Part::Checkup(checkup) = std::mem::take(part) else {
            unreachable!("every shard gives its figures")
        };
        let Checkup {
            memory,
            limited_bytes: own_limited_bytes,
            total,
            dataset,
            prefixes: own_prefixes,
            largest_key,
            followed_keys,
            unused,
            largest_client,
            traffic,
            curve,
        } = *checkup;
        let growing = followed_keys.into_iter().map(|one| growing_key(shard, one));
        insight.growing_keys.extend(growing);
        unused_prefixes.extend(add_unused(&mut insight, unused));
        curves.push(curve);
        shards.push(memory);
        limited_bytes += own_limited_bytes;
        history = history.or(total);
        match (&mut insight.dataset, dataset) {
            (Some(sum), Some(dataset)) => sum.merge(&dataset),
            (none, dataset) => *none = dataset.map(Box::new),
        }
        prefixes.push(own_prefixes);
        insight.largest_keys.push(largest_key);
        insight.largest_client = insight
            .largest_client
            .into_iter()
            .chain(largest_client)
            .max_by_key(|client| client.bytes);
        insight.traffic.merge(&traffic);
    }
    insight.others_bytes = others_bytes(&prefixes);
    let delimiters = call.core.config.prefix_rules.delimiters();
    insight.prefixes = prefix_figures(prefixes, unused_prefixes, &delimiters);
    insight.draws_curve = call.core.config.memory_curve;
    insight.more_memory = more_memory(&curves);
    let limits = limits(call.core, limited_bytes);
    let report = MemoryReport::take(shards);
    insight.total = total_trend(call.core, history.as_ref(), report.total_bytes());
    let findings = doctor::findings(&report, &limits, &insight);
    if is_json {
        out.bulk(doctor::json(&findings).as_bytes());
    } else {
        out.verbatim("txt", doctor::prose(&findings).as_bytes());
    }
    Ok(())
}

fn growing_key(shard: usize, one: FollowedKey) -> GrowingKey {
    GrowingKey {
        key: KeyFigures {
            name: one.key,
            db: one.db as u64,
            bytes: one.bytes,
        },
        kind: one.kind.name(),
        shard: shard as u64,
        has_expiry: one.has_expiry,
        history: one.history,
    }
}

/// Adds what nobody uses on a shard; gives back what is known of it by prefix.
fn add_unused(insight: &mut Insight, unused: Unused) -> Vec<(Box<[u8]>, UnusedOfPrefix)> {
    let Unused {
        followed_keys,
        cold_bytes,
        cold_variance,
        prefixes,
    } = unused;
    insight.unused.followed_keys += followed_keys;
    insight.unused.cold_bytes += cold_bytes;
    insight.unused.cold_variance += cold_variance;
    prefixes
}

/// What twice the memory would have been good for, where there is a curve.
fn more_memory(curves: &[Figures]) -> Option<MoreMemory> {
    let curve = MissRatioCurve::of(curves);
    let more = curve.at(MORE_TIMES)?;
    Some(MoreMemory {
        times: MORE_TIMES,
        hit_ratio: more.hit_ratio,
        hit_ratio_now: curve.hit_ratio,
        error: more.error,
    })
}

fn limits(core: &Core, limited_bytes: i64) -> Limits {
    let config = &core.config;
    let maxmemory_bytes = config.maxmemory_bytes;
    Limits {
        maxmemory_bytes,
        room_bytes: room_bytes(maxmemory_bytes, limited_bytes),
        evicts: config.maxmemory_policy.evicts(),
        evicts_only_expiring: config.eviction().only_expiring,
        container_bytes: container_limit().map(|limit| limit.bytes),
        machine_bytes: machine_memory_bytes(),
        defragments: config.defrag.active,
    }
}

/// Bytes of keys that no row of their prefix counts, but for those that are being counted anew.
fn others_bytes(shards: &[Vec<PrefixReport>]) -> u64 {
    let reports = shards.iter().flatten();
    let counted = reports.filter(|report| !report.prefixes.is_empty());
    counted.map(|report| report.other.bytes).sum()
}

/// The prefixes of all shards, each with what every shard holds of it and with what is unused.
fn prefix_figures(
    shards: Vec<Vec<PrefixReport>>,
    unused: Vec<(Box<[u8]>, UnusedOfPrefix)>,
    delimiters: &[u8],
) -> Vec<PrefixFigures> {
    let count = shards.len();
    let mut held: HashMap<Box<[u8]>, Vec<u64>> = HashMap::new();
    let reports: Vec<PrefixReport> = shards.concat();
    let joined = collapsed(&reports);
    for (shard, reports) in shards.into_iter().enumerate() {
        for (name, row) in reports.into_iter().flat_map(|report| report.prefixes) {
            let name = told_apart(name, &joined, delimiters);
            held.entry(name).or_insert_with(|| vec![0; count])[shard] += row.bytes;
        }
    }
    let mut unused_by_name: HashMap<Box<[u8]>, UnusedOfPrefix> = HashMap::new();
    for (name, one) in unused {
        let name = told_apart(name, &joined, delimiters);
        unused_by_name.entry(name).or_default().merge(&one);
    }
    let (rows, _) = merged(reports, delimiters);
    let figures = rows.into_iter().map(|(name, one)| {
        let unused = unused_by_name.remove(&name).unwrap_or_default();
        PrefixFigures {
            bytes: one.row.bytes,
            keys: one.row.keys,
            lasting_keys: one.row.lasting_keys,
            settled_keys: unused.settled_keys,
            unread_keys: unused.unread_keys,
            cold_bytes: unused.cold_bytes,
            shard_bytes: held.remove(&name).unwrap_or_default(),
            history: one.row.history,
            name,
        }
    });
    figures.collect()
}
