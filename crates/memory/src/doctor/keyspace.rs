//! Owns the findings about who holds the data: shards, keys and prefixes out of balance, expiry, eviction.
//! Never happens here: growth over time, which `leak` judges.
//! Source: what goes wrong in caches: one hash tag, one huge key, keys without an expiry, a working set that does not fit.

use super::{
    Amount, Finding, Insight, Limits, MIB, PrefixFigures, Severity, WASTE_BYTES_MIN, exceeds,
    quoted,
};
use crate::report::{MemoryReport, percentage};
use crate::shard::ShardMemory;

/// A shard that uses more than this many percent of its siblings' mean is out of balance: hashing
/// spreads keys far more evenly, so large keys or one hash tag must be the cause, or, under a limit
/// that all share by what their keys are worth, keys that are asked for far more.
pub const SHARD_PERCENT_MAX: u64 = 200;
/// A key with more than this part of its shard's data, in percent, decides alone what the shard can hold.
pub const DOMINANT_KEY_PERCENT: u64 = 30;
/// A prefix with more than this part of a shard's data does, if its other shards hold less than half as much of it: where all
/// keys have one prefix, every shard has its share and nothing is wrong.
pub const DOMINANT_PREFIX_PERCENT: u64 = 50;
/// Evictions in ten minutes of more than this part of the keys, in percent, leave a key less than twenty minutes ...
pub const EVICTED_PERCENT_MAX: u64 = 50;
/// ... and if this part of the reads find nothing, in percent, the keys were still wanted.
pub const MISSES_PERCENT_MAX: u64 = 10;
/// Fewer evictions and reads say nothing.
const TRAFFIC_MIN: u64 = 1000;
/// Where more memory buys less than this of the hit ratio, it is not worth its price.
const GAIN_MIN: f64 = 0.01;
/// So many keys without an expiry are more than a few counters and settings among sessions.
pub const LASTING_KEYS_MIN: u64 = 100;
/// Keys without a row of their prefix that hold more than this part of the data, in percent, leave the reader of MEMORY
/// PREFIXES blind.
pub const OTHERS_PERCENT_MAX: u64 = 30;

pub(super) fn shard_above_siblings(report: &MemoryReport) -> Option<Finding> {
    let shards = report.shards();
    if shards.len() < 2 {
        return None;
    }
    // Not the counters of their heaps, of which one frees what another allocated.
    let held = |shard: &ShardMemory| shard.dataset_bytes + shard.tables_bytes;
    let (place, largest) = shards
        .iter()
        .enumerate()
        .max_by_key(|(_, shard)| held(shard))?;
    let used = held(largest);
    let mean = (held(report.merged()) - used) / (shards.len() as u64 - 1);
    let is_large =
        used.saturating_sub(mean) >= WASTE_BYTES_MIN && exceeds(used, SHARD_PERCENT_MAX, mean);
    is_large.then(|| Finding {
        id: "shard-above-siblings",
        severity: Severity::Warning,
        evidence: vec![
            ("shard", Amount::Count(place as u64)),
            ("shard.bytes", Amount::Bytes(used)),
            ("siblings.mean", Amount::Bytes(mean)),
        ],
        cause: format!(
            "Shard {place} holds far more than its siblings: a few very large keys live there, \
             or many keys share one hash tag. At 'maxmemory' the others make room for such keys \
             as long as these are asked for more."
        ),
        remedy: "MEMORY SHARDS".to_owned(),
    })
}

/// Of every shard the key that dominates it, or else the prefix.
pub(super) fn dominated_shards(report: &MemoryReport, insight: &Insight) -> Vec<Finding> {
    let shards = 0..report.shards().len();
    shards
        .filter_map(|shard| {
            dominant_key(report, insight, shard).or_else(|| dominant_prefix(report, insight, shard))
        })
        .collect()
}

fn dominant_key(report: &MemoryReport, insight: &Insight, shard: usize) -> Option<Finding> {
    let key = insight.largest_keys.get(shard)?.as_ref()?;
    let dataset = report.shards()[shard].dataset_bytes;
    let dominates =
        key.bytes >= WASTE_BYTES_MIN && exceeds(key.bytes, DOMINANT_KEY_PERCENT, dataset);
    dominates.then(|| {
        let name = quoted(&key.name);
        Finding {
            id: "key-dominates-shard",
            severity: Severity::Warning,
            evidence: vec![
                ("shard", Amount::Count(shard as u64)),
                ("db", Amount::Count(key.db)),
                ("key.bytes", Amount::Bytes(key.bytes)),
                ("dataset.bytes", Amount::Bytes(dataset)),
                (
                    "percentage",
                    Amount::Percent(percentage(key.bytes, dataset)),
                ),
            ],
            cause: format!(
                "The key {name} holds a large part of shard {shard}. A key lives on one shard: \
                 split it over several, or let it expire."
            ),
            remedy: format!("MEMORY EXPLAIN {name}"),
        }
    })
}

fn dominant_prefix(report: &MemoryReport, insight: &Insight, shard: usize) -> Option<Finding> {
    let siblings = report.shards().len() as u64 - 1;
    if siblings == 0 {
        return None;
    }
    let on_shard = |prefix: &&PrefixFigures| prefix.shard_bytes.get(shard).copied().unwrap_or(0);
    let prefix = insight.prefixes.iter().max_by_key(on_shard)?;
    let bytes = on_shard(&prefix);
    let mean = prefix.bytes.saturating_sub(bytes) / siblings;
    let dataset = report.shards()[shard].dataset_bytes;
    let dominates = bytes >= WASTE_BYTES_MIN
        && exceeds(bytes, DOMINANT_PREFIX_PERCENT, dataset)
        && exceeds(bytes, SHARD_PERCENT_MAX, mean);
    dominates.then(|| Finding {
        id: "prefix-dominates-shard",
        severity: Severity::Warning,
        evidence: vec![
            ("shard", Amount::Count(shard as u64)),
            ("prefix.bytes", Amount::Bytes(bytes)),
            ("siblings.mean", Amount::Bytes(mean)),
            ("dataset.bytes", Amount::Bytes(dataset)),
            ("percentage", Amount::Percent(percentage(bytes, dataset))),
        ],
        cause: format!(
            "Keys under {} hold most of shard {shard} and little of the others: they share a hash \
             tag, or a few of them are very large. Without the tag they spread over all shards.",
            quoted(&prefix.name)
        ),
        remedy: "MEMORY TOPKEYS".to_owned(),
    })
}

pub(super) fn eviction_thrash(
    report: &MemoryReport,
    limits: &Limits,
    insight: &Insight,
) -> Option<Finding> {
    let traffic = &insight.traffic;
    let (keys, reads) = (report.merged().keys, traffic.hits + traffic.misses);
    let thrashes = traffic.evicted_keys >= TRAFFIC_MIN
        && reads >= TRAFFIC_MIN
        && exceeds(traffic.evicted_keys, EVICTED_PERCENT_MAX, keys)
        && exceeds(traffic.misses, MISSES_PERCENT_MAX, reads);
    thrashes.then(|| {
        let covered = traffic.covered_ms / 1000;
        let lifetime = u128::from(keys) * u128::from(covered) / u128::from(traffic.evicted_keys);
        let mut evidence = vec![
            ("evicted.keys", Amount::Count(traffic.evicted_keys)),
            ("keys", Amount::Count(keys)),
            ("covered", Amount::Seconds(covered)),
            ("key.lifetime", Amount::Seconds(lifetime as u64)),
            (
                "hit.ratio",
                Amount::Percent(percentage(traffic.hits, reads)),
            ),
        ];
        let (advice, remedy) = more_memory(limits, insight, &mut evidence);
        Finding {
            id: "eviction-thrash",
            severity: Severity::Warning,
            evidence,
            cause: format!(
                "Keys are evicted nearly as fast as they come, and many reads find nothing: what \
                 clients work with does not fit. {advice}"
            ),
            remedy,
        }
    })
}

/// What more memory would buy, in words and as evidence, and the command that follows from it.
fn more_memory(
    limits: &Limits,
    insight: &Insight,
    evidence: &mut Vec<(&'static str, Amount)>,
) -> (String, String) {
    let Some(more) = &insight.more_memory else {
        let (advice, remedy) = if insight.draws_curve {
            ("is not known yet", "MEMORY CURVE")
        } else {
            ("a curve would tell", "CONFIG SET memory-curve yes")
        };
        let advice = format!("How much more memory would help {advice}.");
        return (advice, remedy.to_owned());
    };
    let percent = |ratio: f64| Amount::Percent(ratio * 100.0);
    evidence.extend([
        ("curve.hit.ratio", percent(more.hit_ratio_now)),
        ("more.memory.hit.ratio", percent(more.hit_ratio)),
        ("curve.error", percent(more.error)),
    ]);
    let buys = format!(
        "{} times the memory would have had a hit ratio of {:.1} % instead of {:.1} % (MEMORY \
         CURVE)",
        more.times,
        more.hit_ratio * 100.0,
        more.hit_ratio_now * 100.0
    );
    if more.hit_ratio - more.hit_ratio_now < GAIN_MIN {
        let advice = format!("{buys}: more memory buys little, shorter expiries may.");
        return (advice, "MEMORY CURVE".to_owned());
    }
    let limit = (limits.maxmemory_bytes as f64 * more.times) as u64;
    (format!("{buys}."), format!("CONFIG SET maxmemory {limit}"))
}

/// Keys without an expiry among those of a prefix that has one.
pub(super) fn lasting_beside_expiring(insight: &Insight) -> Option<Finding> {
    let is_mixed = |prefix: &&PrefixFigures| {
        let expiring = prefix.keys.saturating_sub(prefix.lasting_keys);
        prefix.lasting_keys >= LASTING_KEYS_MIN && expiring > prefix.lasting_keys
    };
    let mixed = insight.prefixes.iter().filter(is_mixed);
    let prefix = mixed.max_by_key(|prefix| prefix.lasting_keys)?;
    let PrefixFigures {
        bytes,
        keys,
        lasting_keys,
        ..
    } = prefix;
    Some(Finding {
        id: "lasting-beside-expiring",
        severity: Severity::Note,
        evidence: vec![
            ("keys.without.expiry", Amount::Count(*lasting_keys)),
            ("keys", Amount::Count(*keys)),
            ("prefix.bytes", Amount::Bytes(*bytes)),
        ],
        cause: format!(
            "Most keys under {} expire and some never do: one place that writes them gives no \
             expiry, or a SET without KEEPTTL takes it away.",
            quoted(&prefix.name)
        ),
        remedy: "EXPIRE key seconds NX".to_owned(),
    })
}

/// A policy that evicts only keys with an expiry, where most have none.
pub(super) fn nothing_evictable(report: &MemoryReport, limits: &Limits) -> Option<Finding> {
    let (keys, expiring) = (report.merged().keys, report.merged().expiring_keys);
    let lasting = keys.saturating_sub(expiring);
    let is_stuck = limits.maxmemory_bytes > 0
        && limits.evicts
        && limits.evicts_only_expiring
        && lasting >= LASTING_KEYS_MIN
        && lasting > expiring;
    is_stuck.then(|| Finding {
        id: "lasting-keys-stay",
        severity: Severity::Warning,
        evidence: vec![
            ("keys.without.expiry", Amount::Count(lasting)),
            ("keys", Amount::Count(keys)),
            ("maxmemory", Amount::Bytes(limits.maxmemory_bytes)),
        ],
        cause: "The policy evicts only keys with an expiry, and most keys have none: at the limit \
                the few that expire make all the room, and then writes are refused."
            .to_owned(),
        remedy: "CONFIG SET maxmemory-policy allkeys-ifs".to_owned(),
    })
}

pub(super) fn ids_as_prefixes(report: &MemoryReport, insight: &Insight) -> Option<Finding> {
    let (others, dataset) = (insight.others_bytes, report.dataset_bytes());
    let is_blind = others >= MIB && exceeds(others, OTHERS_PERCENT_MAX, dataset);
    is_blind.then(|| Finding {
        id: "ids-as-prefixes",
        severity: Severity::Note,
        evidence: vec![
            ("others.bytes", Amount::Bytes(others)),
            ("dataset.bytes", Amount::Bytes(dataset)),
            ("percentage", Amount::Percent(percentage(others, dataset))),
        ],
        cause: "There are more prefixes than have room: names of things stand where their kind \
                should, as in \"anna:cart\" for \"cart:anna\". Growth and leaks of the others are \
                not seen."
            .to_owned(),
        remedy: "CONFIG SET memory-prefix-depth 1".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{ROOMY, ids, ids_with, prefix, process, report, shards};
    use super::super::{KeyFigures, MoreMemory, Traffic, findings};
    use super::*;

    const NONE: Vec<&str> = Vec::new();

    #[test]
    fn a_shard_far_above_its_siblings_is_told_by_number() {
        let mut uneven = shards();
        uneven[1].dataset_bytes += 80 * MIB;
        uneven[1].tables_bytes += 11 * MIB;
        uneven[1].slab_used_bytes += 101 * MIB;
        uneven[1].slab_committed_bytes += 101 * MIB;
        let mut process = process();
        process.resident_bytes += 101 * MIB;
        let insight = Insight::default();
        assert_eq!(
            ids(uneven.clone(), process, ROOMY, &insight),
            ["shard-above-siblings"]
        );
        let report = MemoryReport::new(uneven.clone(), process);
        let found = findings(&report, &ROOMY, &insight);
        assert!(found[0].cause.contains("Shard 1"));
        uneven[1].tables_bytes -= MIB;
        uneven[1].heap_allocated_bytes += (100 * MIB) as i64;
        uneven[0].heap_allocated_bytes -= (100 * MIB) as i64;
        assert_eq!(ids(uneven, process, ROOMY, &insight), NONE);
    }

    #[test]
    fn a_single_shard_has_no_siblings_to_stand_above() {
        let mut alone = shards();
        alone.truncate(1);
        let mut process = process();
        process.resident_bytes = 110 * MIB;
        process.peak_bytes = 100 * MIB;
        let insight = Insight {
            prefixes: vec![prefix(b"all:", [90 * MIB, 0])],
            ..Insight::default()
        };
        assert_eq!(ids(alone, process, ROOMY, &insight), NONE);
    }

    #[test]
    fn a_key_that_dominates_its_shard_is_named() {
        let of_key = |bytes| Insight {
            largest_keys: vec![
                None,
                Some(KeyFigures {
                    name: b"big\"\xff".as_slice().into(),
                    db: 3,
                    bytes,
                }),
            ],
            ..Insight::default()
        };
        assert_eq!(ids_with(&of_key(27 * MIB)), NONE);
        let insight = of_key(27 * MIB + 1);
        assert_eq!(ids_with(&insight), ["key-dominates-shard"]);
        let found = &findings(&report(), &ROOMY, &insight)[0];
        assert_eq!(found.remedy, r#"MEMORY EXPLAIN "big\"\xff""#);
        assert_eq!(found.evidence[0], ("shard", Amount::Count(1)));
    }

    #[test]
    fn a_prefix_that_dominates_one_shard_alone_is_named() {
        let of_prefix = |shard_bytes| Insight {
            prefixes: vec![prefix(b"small:", [MIB, MIB]), prefix(b"{t}:", shard_bytes)],
            ..Insight::default()
        };
        assert_eq!(
            ids_with(&of_prefix([80 * MIB, 80 * MIB])),
            NONE,
            "every shard has its share"
        );
        assert_eq!(ids_with(&of_prefix([45 * MIB, MIB])), NONE);
        let insight = of_prefix([46 * MIB, 22 * MIB]);
        assert_eq!(ids_with(&insight), ["prefix-dominates-shard"]);
        let found = &findings(&report(), &ROOMY, &insight)[0];
        assert!(found.cause.contains("\"{t}:\""), "{}", found.cause);
        assert_eq!(ids_with(&of_prefix([46 * MIB, 23 * MIB])), NONE);
    }

    #[test]
    fn a_prefix_is_not_blamed_for_the_key_that_is_named() {
        let insight = Insight {
            prefixes: vec![prefix(b"a:", [60 * MIB, MIB])],
            largest_keys: vec![
                Some(KeyFigures {
                    name: b"a:1".as_slice().into(),
                    db: 0,
                    bytes: 50 * MIB,
                }),
                None,
            ],
            ..Insight::default()
        };
        assert_eq!(ids_with(&insight), ["key-dominates-shard"]);
    }

    fn thrash(evicted_keys: u64, misses: u64) -> Insight {
        Insight {
            traffic: Traffic {
                evicted_keys,
                hits: 9000,
                misses,
                covered_ms: 600_000,
            },
            ..Insight::default()
        }
    }

    #[test]
    fn evicting_what_is_still_wanted_is_told() {
        assert_eq!(ids_with(&thrash(10_001, 1001)), ["eviction-thrash"]);
        assert_eq!(ids_with(&thrash(10_000, 1001)), NONE, "half of the keys");
        assert_eq!(
            ids_with(&thrash(10_001, 1000)),
            NONE,
            "a tenth of the reads"
        );
        let found = &findings(&report(), &ROOMY, &thrash(40_000, 3000))[0];
        assert_eq!(found.evidence[3], ("key.lifetime", Amount::Seconds(300)));
        assert_eq!(found.remedy, "CONFIG SET memory-curve yes");
        let insight = Insight {
            draws_curve: true,
            ..thrash(40_000, 3000)
        };
        let found = &findings(&report(), &ROOMY, &insight)[0];
        assert_eq!(found.remedy, "MEMORY CURVE");
    }

    #[test]
    fn what_more_memory_would_buy_is_told_where_it_is_known() {
        let mut insight = thrash(40_000, 3000);
        insight.more_memory = Some(MoreMemory {
            times: 2.0,
            hit_ratio: 0.9,
            hit_ratio_now: 0.75,
            error: 0.01,
        });
        let found = &findings(&report(), &ROOMY, &insight)[0];
        let said = "2 times the memory would have had a hit ratio of 90.0 % instead of 75.0 %";
        assert!(found.cause.contains(said), "{}", found.cause);
        assert_eq!(found.remedy, format!("CONFIG SET maxmemory {}", 2000 * MIB));
        insight.more_memory.as_mut().unwrap().hit_ratio = 0.755;
        let found = &findings(&report(), &ROOMY, &insight)[0];
        assert!(found.cause.contains("buys little"));
        assert_eq!(found.remedy, "MEMORY CURVE");
    }

    #[test]
    fn keys_that_never_expire_beside_keys_that_do_are_told() {
        let of = |keys, lasting_keys| {
            let mut one = prefix(b"session:", [MIB, MIB]);
            (one.keys, one.lasting_keys) = (keys, lasting_keys);
            Insight {
                prefixes: vec![one],
                ..Insight::default()
            }
        };
        assert_eq!(ids_with(&of(1000, 100)), ["lasting-beside-expiring"]);
        assert_eq!(ids_with(&of(1000, 99)), NONE);
        assert_eq!(ids_with(&of(1000, 500)), NONE, "as many do as do not");
        assert_eq!(ids_with(&of(1000, 1000)), NONE, "none was meant to");
    }

    #[test]
    fn a_policy_that_may_evict_hardly_anything_is_told() {
        let limits = Limits {
            evicts: true,
            evicts_only_expiring: true,
            ..ROOMY
        };
        let with_expiry = |expiring_keys| {
            let mut shards = shards();
            shards[0].expiring_keys = expiring_keys;
            ids(shards, process(), limits, &Insight::default())
        };
        assert_eq!(with_expiry(9_999), ["lasting-keys-stay"]);
        assert_eq!(with_expiry(10_000), NONE);
        let any = Limits {
            evicts_only_expiring: false,
            ..limits
        };
        assert_eq!(ids(shards(), process(), any, &Insight::default()), NONE);
    }

    #[test]
    fn more_prefixes_than_have_rows_are_told() {
        let others = |others_bytes| Insight {
            others_bytes,
            ..Insight::default()
        };
        assert_eq!(ids_with(&others(54 * MIB + 1)), ["ids-as-prefixes"]);
        assert_eq!(ids_with(&others(54 * MIB)), NONE);
    }
}
