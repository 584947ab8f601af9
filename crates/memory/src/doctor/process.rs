//! Owns the findings about the process as a whole: its peak, its resident set, what nobody explains, scripts.
//! Never happens here: a figure of a key or a client.
//! Source: Redis' MEMORY DOCTOR, with the resident set taken apart by the accounts.

use super::text::human_bytes;
use super::{Amount, Finding, Limits, MIB, Severity, WASTE_BYTES_MIN, exceeds};
use crate::report::MemoryReport;

/// Below this total the start-up bytes drown every proportion.
pub const EMPTY_BYTES_MAX: u64 = 5 * MIB;
/// A peak this far above the total, in percent, means that memory was given up for good or that
/// a burst may come again: worth knowing when sizing the machine.
pub const PEAK_PERCENT_MAX: u64 = 150;
/// A resident set this far above what is used, in percent, is more than rounding, page slack and the
/// program's own code come to.
pub const RESIDENT_PERCENT_MAX: u64 = 140;
/// What the process holds besides data is normal up to this: the program's own pages, its stacks and what the runtime maps
/// come to half of it.
pub const PROCESS_BYTES_MIN: u64 = 20 * MIB;

pub(super) fn empty_instance(report: &MemoryReport) -> Finding {
    Finding {
        id: "empty-instance",
        severity: Severity::Note,
        evidence: vec![("total.allocated", Amount::Bytes(report.total_bytes()))],
        cause: format!(
            "There is too little in this instance to judge it: below {} the bytes of the start \
             outweigh the data.",
            human_bytes(EMPTY_BYTES_MAX)
        ),
        remedy: String::new(),
    }
}

/// MEMORY PURGE, where the server does not do the same by itself.
fn purge(limits: &Limits) -> String {
    if limits.defragments {
        String::new()
    } else {
        "MEMORY PURGE".to_owned()
    }
}

pub(super) fn peak_above_total(report: &MemoryReport, limits: &Limits) -> Option<Finding> {
    let (peak, total) = (report.peak_bytes(), report.total_bytes());
    exceeds(peak, PEAK_PERCENT_MAX, total).then(|| Finding {
        id: "peak-above-total",
        severity: Severity::Note,
        evidence: vec![
            ("peak.allocated", Amount::Bytes(peak)),
            ("total.allocated", Amount::Bytes(total)),
        ],
        cause: if limits.defragments {
            "This instance once held far more than now. Size the machine for the peak if it can \
             come again; what it left behind in the resident set is given back by itself."
        } else {
            "This instance once held far more than now. Size the machine for the peak if it can \
             come again; what it left behind in the resident set can be given back."
        }
        .to_owned(),
        remedy: purge(limits),
    })
}

/// Which part of the resident set stands out beside the data. Buffers of clients are no part of what `maxmemory`
/// limits, so they may be what makes the process large.
pub(super) fn resident_above_used(report: &MemoryReport, limits: &Limits) -> Option<Finding> {
    let (resident, total) = (report.process().resident_bytes, report.total_bytes());
    let merged = report.merged();
    let clients = merged.clients_normal_bytes + merged.clients_replicas_bytes;
    let used = total.saturating_sub(clients);
    let waste = resident.saturating_sub(used);
    let slab = report.slab_slack_bytes();
    let heap = report.heap_slack_bytes();
    let process = waste.saturating_sub(slab + heap + clients);
    // A little of each is what every server has.
    let largest = slab.max(heap).max(clients);
    let is_large =
        process >= PROCESS_BYTES_MIN.max(largest) || largest >= WASTE_BYTES_MIN.max(process);
    if waste < WASTE_BYTES_MIN || !is_large || !exceeds(resident, RESIDENT_PERCENT_MAX, used) {
        return None;
    }
    let (id, cause, remedy) = if slab >= heap.max(process).max(clients) {
        (
            "slab-fragmentation",
            "Deleted and overwritten keys left holes in the pages that hold entries.",
            purge(limits),
        )
    } else if heap >= process.max(clients) {
        (
            "heap-slack",
            "Freed large values and buffers left free blocks in the heap's pages.",
            purge(limits),
        )
    } else if clients >= process {
        (
            "clients-resident",
            "The buffers of clients, which do not count against maxmemory, make the process much \
             larger than its data.",
            "CLIENT LIST".to_owned(),
        )
    } else {
        (
            "process-overhead",
            "Memory outside the data's own allocators is large: program files, thread stacks, or \
             pages that were freed but not yet given back.",
            "MEMORY MALLOC-STATS".to_owned(),
        )
    };
    let what_helps = match (id, limits.defragments) {
        ("slab-fragmentation" | "heap-slack", true) => {
            " activedefrag is on: the server moves blocks together and frees whole pages by itself."
        }
        ("slab-fragmentation" | "heap-slack", false) => {
            " Moving blocks together frees whole pages; with activedefrag it happens by itself."
        }
        _ => "",
    };
    Some(Finding {
        id,
        severity: Severity::Warning,
        evidence: vec![
            ("resident", Amount::Bytes(resident)),
            ("used", Amount::Bytes(used)),
            ("slab.slack", Amount::Bytes(slab)),
            ("heap.slack", Amount::Bytes(heap)),
            ("clients", Amount::Bytes(clients)),
            ("process", Amount::Bytes(process)),
        ],
        cause: format!("{cause}{what_helps}"),
        remedy,
    })
}

pub(super) fn unaccounted(report: &MemoryReport) -> Option<Finding> {
    let (bytes, resident) = (report.unaccounted_bytes(), report.process().resident_bytes);
    report.is_unexplained().then(|| Finding {
        id: "unaccounted",
        severity: Severity::Warning,
        evidence: vec![
            ("unaccounted.bytes", Amount::Bytes(bytes)),
            ("resident", Amount::Bytes(resident)),
        ],
        cause:
            "No account explains a part of the resident set, and giving back what the allocator \
                kept did not lower it: something allocates outside the books."
                .to_owned(),
        remedy: "MEMORY PURGE".to_owned(),
    })
}

pub(super) fn many_scripts(report: &MemoryReport) -> Option<Finding> {
    let merged = report.merged();
    let bytes = merged.scripts_bytes + merged.functions_bytes;
    (bytes >= WASTE_BYTES_MIN).then(|| Finding {
        id: "many-scripts",
        severity: Severity::Warning,
        evidence: vec![
            ("lua.caches", Amount::Bytes(merged.scripts_bytes)),
            ("functions.caches", Amount::Bytes(merged.functions_bytes)),
        ],
        cause: "Cached scripts take much memory: clients make up a new text for every call \
                instead of passing what changes as an argument. Cached scripts never expire."
            .to_owned(),
        remedy: "SCRIPT FLUSH".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{MIB, ROOMY, process, shards};
    use super::super::{Insight, findings, fixture};
    use super::*;
    use crate::process::ProcessMemory;
    use crate::shard::ShardMemory;

    fn ids(shards: Vec<ShardMemory>, process: ProcessMemory) -> Vec<&'static str> {
        fixture::ids(shards, process, ROOMY, &Insight::default())
    }

    fn first(shards: Vec<ShardMemory>, process: ProcessMemory, limits: Limits) -> Finding {
        let report = MemoryReport::new(shards, process);
        findings(&report, &limits, &Insight::default()).remove(0)
    }

    #[test]
    fn an_empty_instance_is_not_judged() {
        let mut little = process();
        little.heap_unsharded_bytes = (EMPTY_BYTES_MAX - 1) as i64;
        assert_eq!(ids(vec![], little), ["empty-instance"]);
        little.heap_unsharded_bytes = EMPTY_BYTES_MAX as i64;
        assert!(!ids(vec![], little).contains(&"empty-instance"));
    }

    #[test]
    fn a_peak_far_above_the_total_is_told() {
        let mut process = process();
        process.peak_bytes = 300 * MIB;
        assert_eq!(ids(shards(), process), Vec::<&str>::new());
        process.peak_bytes += MIB;
        assert_eq!(ids(shards(), process), ["peak-above-total"]);
    }

    #[test]
    fn holes_in_slab_pages_are_named_and_purged() {
        let mut holed = shards();
        holed[0].slab_committed_bytes += 85 * MIB;
        let mut process = process();
        process.resident_bytes += 85 * MIB;
        assert_eq!(ids(holed.clone(), process), ["slab-fragmentation"]);
        assert_eq!(first(holed, process, ROOMY).remedy, "MEMORY PURGE");
    }

    #[test]
    fn nobody_is_told_to_purge_what_the_server_purges_itself() {
        let mut holed = shards();
        holed[0].slab_committed_bytes += 85 * MIB;
        let mut process = process();
        process.resident_bytes += 85 * MIB;
        let limits = Limits {
            defragments: true,
            ..ROOMY
        };
        let finding = first(holed, process, limits);
        assert_eq!(
            (finding.id, &finding.remedy[..]),
            ("slab-fragmentation", "")
        );
        assert!(finding.cause.contains("by itself"));
        process = fixture::process();
        process.peak_bytes = 400 * MIB;
        let finding = first(shards(), process, limits);
        assert_eq!((finding.id, &finding.remedy[..]), ("peak-above-total", ""));
    }

    #[test]
    fn free_blocks_of_the_heap_are_named_and_purged() {
        let mut loose = shards();
        loose[1].heap_slack_bytes += 85 * MIB;
        let mut process = process();
        process.resident_bytes += 85 * MIB;
        assert_eq!(ids(loose, process), ["heap-slack"]);
    }

    #[test]
    fn clients_that_make_the_process_large_are_named() {
        let mut crowded = shards();
        crowded[0].clients_normal_bytes += 85 * MIB;
        crowded[0].heap_allocated_bytes += (85 * MIB) as i64;
        let mut process = process();
        process.resident_bytes += 85 * MIB;
        process.peak_bytes += 85 * MIB;
        assert_eq!(ids(crowded, process), ["clients-resident", "large-clients"]);
    }

    #[test]
    fn what_the_process_holds_besides_is_named() {
        let mut process = process();
        process.resident_bytes += 85 * MIB;
        process.file_backed_bytes += 85 * MIB;
        assert_eq!(ids(shards(), process), ["process-overhead"]);
    }

    #[test]
    fn a_small_waste_is_not_worth_a_word() {
        let small = ShardMemory {
            slab_used_bytes: 6 * MIB,
            slab_committed_bytes: 14 * MIB,
            ..ShardMemory::default()
        };
        let mut process = process();
        process.resident_bytes = 6 * MIB + WASTE_BYTES_MIN - 1;
        process.peak_bytes = 0;
        assert_eq!(ids(vec![small], process), Vec::<&str>::new());
    }

    #[test]
    fn a_little_of_each_kind_is_what_a_small_server_has() {
        let small = ShardMemory {
            slab_used_bytes: 20 * MIB,
            slab_committed_bytes: 22 * MIB,
            heap_slack_bytes: 3 * MIB,
            ..ShardMemory::default()
        };
        let mut process = process();
        process.resident_bytes = 34 * MIB;
        process.file_backed_bytes = 9 * MIB;
        process.peak_bytes = 0;
        assert_eq!(ids(vec![small.clone()], process), Vec::<&str>::new());
        let mut holed = (small.clone(), process);
        holed.0.slab_committed_bytes += 8 * MIB;
        holed.1.resident_bytes += 8 * MIB;
        assert_eq!(ids(vec![holed.0], holed.1), ["slab-fragmentation"]);
        process.resident_bytes += 11 * MIB - 1;
        process.file_backed_bytes += 11 * MIB - 1;
        assert_eq!(ids(vec![small.clone()], process), Vec::<&str>::new());
        process.resident_bytes += 1;
        assert_eq!(ids(vec![small], process), ["process-overhead"]);
    }

    #[test]
    fn resident_bytes_nobody_explains_are_told() {
        let mut process = process();
        // Explained: 200 allocated, 2 of slab slack, 3 of files.
        process.resident_bytes = 205 * MIB + 11 * MIB;
        assert_eq!(ids(shards(), process), ["unaccounted"]);
        process.resident_bytes = 205 * MIB + 10 * MIB;
        assert_eq!(ids(shards(), process), Vec::<&str>::new());
    }

    #[test]
    fn many_cached_scripts_are_told() {
        let mut scripted = shards();
        scripted[0].scripts_bytes = 5 * MIB;
        scripted[1].scripts_bytes = 5 * MIB - 1;
        assert_eq!(ids(scripted.clone(), process()), Vec::<&str>::new());
        scripted[1].functions_bytes = 1;
        assert_eq!(ids(scripted.clone(), process()), ["many-scripts"]);
        assert_eq!(first(scripted, process(), ROOMY).remedy, "SCRIPT FLUSH");
    }
}
