//! Owns the instance that the tests of findings begin with: two even shards in good health.
//! Never happens here: a finding.
//! Source: figures of a small server, rounded.

use super::{Insight, Limits, PrefixFigures, findings, json, prose};
use crate::process::ProcessMemory;
use crate::report::MemoryReport;
use crate::shard::ShardMemory;

pub(super) const MIB: u64 = 1 << 20;

/// Limits far away.
pub(super) const ROOMY: Limits = Limits {
    maxmemory_bytes: 1000 * MIB,
    room_bytes: 800 * MIB,
    evicts: false,
    evicts_only_expiring: false,
    container_bytes: Some(1200 * MIB),
    machine_bytes: Some(8000 * MIB),
    defragments: false,
};

/// Two even shards of 100 MiB, in a resident set a little above.
pub(super) fn shards() -> Vec<ShardMemory> {
    let shard = ShardMemory {
        keys: 10_000,
        dataset_bytes: 90 * MIB,
        slab_used_bytes: 95 * MIB,
        slab_committed_bytes: 96 * MIB,
        heap_allocated_bytes: (5 * MIB) as i64,
        clients_normal_bytes: MIB,
        clients: 10,
        ..ShardMemory::default()
    };
    vec![shard.clone(), shard]
}

pub(super) fn process() -> ProcessMemory {
    ProcessMemory {
        resident_bytes: 210 * MIB,
        file_backed_bytes: 3 * MIB,
        startup_bytes: MIB,
        peak_bytes: 220 * MIB,
        ..ProcessMemory::default()
    }
}

pub(super) fn report() -> MemoryReport {
    MemoryReport::new(shards(), process())
}

/// The findings by name; every one of them is in both texts.
pub(super) fn ids(
    shards: Vec<ShardMemory>,
    process: ProcessMemory,
    limits: Limits,
    insight: &Insight,
) -> Vec<&'static str> {
    let report = MemoryReport::new(shards, process);
    let findings = findings(&report, &limits, insight);
    let (text, json) = (prose(&findings), json(&findings));
    for finding in &findings {
        assert!(text.contains(finding.id) && text.contains(&finding.remedy));
        assert!(json.contains(&format!("\"id\":\"{}\"", finding.id)));
        assert!(!finding.evidence.is_empty() && !finding.cause.is_empty());
        assert!(
            finding
                .cause
                .bytes()
                .all(|byte| byte.is_ascii_graphic() || byte == b' ')
        );
    }
    findings.into_iter().map(|finding| finding.id).collect()
}

/// The same of a healthy instance of which more is known.
pub(super) fn ids_with(insight: &Insight) -> Vec<&'static str> {
    ids(shards(), process(), ROOMY, insight)
}

/// A prefix of 1,000 keys, all of which expire.
pub(super) fn prefix(name: &[u8], shard_bytes: [u64; 2]) -> PrefixFigures {
    PrefixFigures {
        name: name.into(),
        bytes: shard_bytes.iter().sum(),
        keys: 1000,
        shard_bytes: shard_bytes.to_vec(),
        ..PrefixFigures::default()
    }
}
