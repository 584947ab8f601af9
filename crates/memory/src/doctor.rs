//! Owns the diagnosis of a memory report: what is wrong, how it shows, why, and the command that helps.
//! Never happens here: measuring anything; every finding follows from figures that were read already.
//! Source: the questions Redis' MEMORY DOCTOR asks, with thresholds apart from the words.

#![forbid(unsafe_code)]

use std::fmt::Write;

use crate::report::MemoryReport;

const MIB: u64 = 1 << 20;

/// Below this total the start-up bytes drown every proportion.
pub const EMPTY_BYTES_MAX: u64 = 5 * MIB;
/// A peak this far above the total, in percent, means that memory was given up for good or that
/// a burst may come again: worth knowing when sizing the machine.
pub const PEAK_PERCENT_MAX: u64 = 150;
/// A resident set this far above the total, in percent, is more than rounding, page slack and the
/// program's own code come to.
pub const RESIDENT_PERCENT_MAX: u64 = 140;
/// Waste below this is not worth an action, whatever its proportion.
pub const WASTE_BYTES_MIN: u64 = 10 * MIB;
/// Clients that hold more than this part of the total, in percent, crowd out data.
pub const CLIENTS_PERCENT_MAX: u64 = 20;
/// A shard that uses more than this many percent of its siblings' mean is out of balance: hashing
/// spreads keys far more evenly, so large keys or one hash tag must be the cause.
pub const SHARD_PERCENT_MAX: u64 = 200;
/// From this part of the limit on, in percent, an instance that evicts nothing soon refuses writes.
pub const LIMIT_PERCENT_MAX: u64 = 90;
/// Unexplained resident bytes are normal up to this part of the resident set, in percent ...
pub const UNACCOUNTED_PERCENT_MAX: u64 = 5;
/// ... or up to this many, whichever is more: thread stacks and freed pages not yet given back.
pub const UNACCOUNTED_BYTES_MIN: u64 = 8 * MIB;

/// The limits around an instance that a diagnosis weighs its figures against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// `maxmemory` in bytes; 0 is none.
    pub maxmemory_bytes: u64,
    /// Whether keys are evicted at the limit; false is the policy `noeviction`.
    pub evicts: bool,
    /// The limit of the container around the process, where there is one.
    pub container_bytes: Option<u64>,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing to do.
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

/// One thing found.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// A name that stays the same whatever the words become.
    pub id: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// The figures that show it, by name, in bytes.
    pub evidence: Vec<(&'static str, u64)>,
    /// Why it is so, in a sentence.
    pub cause: String,
    /// The command that helps, or looks closer; empty when there is nothing to do.
    pub remedy: String,
}

/// Everything worth telling about a report, the most severe first.
pub fn findings(report: &MemoryReport, limits: &Limits) -> Vec<Finding> {
    let mut findings: Vec<Finding> = [
        near_limit(report, limits),
        container_below_limit(report, limits),
    ]
    .into_iter()
    .flatten()
    .collect();
    if report.total_bytes() < EMPTY_BYTES_MAX {
        findings.push(empty_instance(report));
    } else {
        findings.extend(resident_above_used(report));
        findings.extend(unaccounted(report));
        findings.extend(large_clients(report));
        findings.extend(shard_above_siblings(report));
        findings.extend(peak_above_total(report));
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// `part` is more than `percent` of `whole`.
fn exceeds(part: u64, percent: u64, whole: u64) -> bool {
    u128::from(part) * 100 > u128::from(whole) * u128::from(percent)
}

fn empty_instance(report: &MemoryReport) -> Finding {
    Finding {
        id: "empty-instance",
        severity: Severity::Note,
        evidence: vec![("total.allocated", report.total_bytes())],
        cause: format!(
            "There is too little in this instance to judge it: below {} the bytes of the start \
             outweigh the data.",
            human(EMPTY_BYTES_MAX)
        ),
        remedy: String::new(),
    }
}

fn peak_above_total(report: &MemoryReport) -> Option<Finding> {
    let (peak, total) = (report.peak_bytes(), report.total_bytes());
    exceeds(peak, PEAK_PERCENT_MAX, total).then(|| Finding {
        id: "peak-above-total",
        severity: Severity::Note,
        evidence: vec![("peak.allocated", peak), ("total.allocated", total)],
        cause: "This instance once held far more than now. Size the machine for the peak if it \
                can come again; what it left behind in the resident set can be given back."
            .to_owned(),
        remedy: "MEMORY PURGE".to_owned(),
    })
}

/// Which part of the resident set stands out beside what is in use.
fn resident_above_used(report: &MemoryReport) -> Option<Finding> {
    let (resident, total) = (report.process().resident_bytes, report.total_bytes());
    let waste = resident.saturating_sub(total);
    if waste < WASTE_BYTES_MIN || !exceeds(resident, RESIDENT_PERCENT_MAX, total) {
        return None;
    }
    let slab = report.slab_slack_bytes();
    let heap = report.heap_slack_bytes();
    let process = waste.saturating_sub(slab + heap);
    let (id, cause, remedy) = if slab >= heap.max(process) {
        (
            "slab-fragmentation",
            "Deleted and overwritten keys left holes in the pages that hold entries. Moving \
             entries together frees whole pages.",
            "MEMORY PURGE",
        )
    } else if heap >= process {
        (
            "heap-slack",
            "Freed large values and buffers left free blocks in the heap's pages. The ones that \
             are empty throughout can be given back.",
            "MEMORY PURGE",
        )
    } else {
        (
            "process-overhead",
            "Memory outside the data's own allocators is large: program files, thread stacks, \
             or pages that were freed but not yet given back.",
            "MEMORY MALLOC-STATS",
        )
    };
    Some(Finding {
        id,
        severity: Severity::Warning,
        evidence: vec![
            ("resident", resident),
            ("total.allocated", total),
            ("slab.slack", slab),
            ("heap.slack", heap),
            ("process", process),
        ],
        cause: cause.to_owned(),
        remedy: remedy.to_owned(),
    })
}

fn unaccounted(report: &MemoryReport) -> Option<Finding> {
    let (bytes, resident) = (report.unaccounted_bytes(), report.process().resident_bytes);
    let is_large =
        bytes > UNACCOUNTED_BYTES_MIN && exceeds(bytes, UNACCOUNTED_PERCENT_MAX, resident);
    is_large.then(|| Finding {
        id: "unaccounted",
        severity: Severity::Warning,
        evidence: vec![("unaccounted.bytes", bytes), ("resident", resident)],
        cause: "No account explains a part of the resident set. Right after much was freed it is \
                memory on its way back to the operating system; if it stays, something allocates \
                outside the books."
            .to_owned(),
        remedy: "MEMORY PURGE".to_owned(),
    })
}

fn large_clients(report: &MemoryReport) -> Option<Finding> {
    let merged = report.merged();
    let bytes = merged.clients_normal_bytes + merged.clients_replicas_bytes;
    let total = report.total_bytes();
    let is_large = bytes >= WASTE_BYTES_MIN && exceeds(bytes, CLIENTS_PERCENT_MAX, total);
    is_large.then(|| Finding {
        id: "large-clients",
        severity: Severity::Warning,
        evidence: vec![
            ("clients", bytes),
            ("total.allocated", total),
            (
                "bytes.per.client",
                bytes.checked_div(merged.clients).unwrap_or(bytes),
            ),
        ],
        cause: format!(
            "The buffers of {} clients take a large part of the memory: some read slower than \
             they ask, or send requests of great size.",
            merged.clients
        ),
        remedy: "CLIENT LIST".to_owned(),
    })
}

fn shard_above_siblings(report: &MemoryReport) -> Option<Finding> {
    let shards = report.shards();
    if shards.len() < 2 {
        return None;
    }
    let (place, largest) = shards
        .iter()
        .enumerate()
        .max_by_key(|(_, shard)| shard.used_bytes())?;
    let used = largest.used_bytes().max(0) as u64;
    let others = (report.merged().used_bytes() - largest.used_bytes()).max(0) as u64;
    let mean = others / (shards.len() as u64 - 1);
    let is_large =
        used.saturating_sub(mean) >= WASTE_BYTES_MIN && exceeds(used, SHARD_PERCENT_MAX, mean);
    is_large.then(|| Finding {
        id: "shard-above-siblings",
        severity: Severity::Warning,
        evidence: vec![("shard", used), ("siblings.mean", mean)],
        cause: format!(
            "Shard {place} holds far more than its siblings: a few very large keys live there, \
             or many keys share one hash tag."
        ),
        remedy: "MEMORY SHARDS".to_owned(),
    })
}

fn near_limit(report: &MemoryReport, limits: &Limits) -> Option<Finding> {
    let (total, limit) = (report.total_bytes(), limits.maxmemory_bytes);
    let is_near = limit > 0 && !limits.evicts && exceeds(total, LIMIT_PERCENT_MAX, limit);
    is_near.then(|| Finding {
        id: "near-limit",
        severity: Severity::Critical,
        evidence: vec![("total.allocated", total), ("maxmemory", limit)],
        cause: "Memory is nearly at its limit and the policy is noeviction: writes will be \
                refused. Delete keys, or raise the limit."
            .to_owned(),
        remedy: format!("CONFIG SET maxmemory {}", limit + limit / 4),
    })
}

fn container_below_limit(report: &MemoryReport, limits: &Limits) -> Option<Finding> {
    let container = limits.container_bytes?;
    let limit = limits.maxmemory_bytes;
    if limit > 0 && limit <= container {
        return None;
    }
    let wanted = container / 100 * crate::process::LIMIT_AUTO_PERCENT;
    let (said, evidence) = if limit == 0 {
        ("has no limit of its own", vec![("container", container)])
    } else {
        (
            "may use more than its container",
            vec![("maxmemory", limit), ("container", container)],
        )
    };
    Some(Finding {
        id: "container-below-limit",
        // Without data there is time; near the container's limit there is none.
        severity: if exceeds(
            report.process().resident_bytes,
            LIMIT_PERCENT_MAX,
            container,
        ) {
            Severity::Critical
        } else {
            Severity::Warning
        },
        evidence,
        cause: format!(
            "The instance {said}: before it evicts or refuses anything the system kills it, and \
             all data with it."
        ),
        remedy: format!("CONFIG SET maxmemory {wanted}"),
    })
}

/// The findings as text for a person; says so when there are none.
pub fn prose(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "No memory problem found: use is near its peak and explained, no shard and no \
                client stands out.\n"
            .to_owned();
    }
    let mut text = String::new();
    for finding in findings {
        let Finding {
            id,
            severity,
            evidence,
            cause,
            remedy,
        } = finding;
        let figures: Vec<String> = evidence
            .iter()
            .map(|(name, bytes)| format!("{name} {}", human(*bytes)))
            .collect();
        // Writing to a String cannot fail.
        let _written = write!(
            text,
            "* {id} ({}): {cause}\n  Evidence: {}\n",
            severity.word(),
            figures.join(", ")
        );
        if !remedy.is_empty() {
            let _written = writeln!(text, "  Try: {remedy}");
        }
    }
    text
}

/// Bytes for a person: `512 B`, `1.50 MiB`.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut amount = bytes as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    format!("{amount:.2} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::ProcessMemory;
    use crate::shard::ShardMemory;

    /// Two even shards of 100 MiB, in a resident set a little above.
    fn shards() -> Vec<ShardMemory> {
        let shard = ShardMemory {
            keys: 1000,
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

    fn process() -> ProcessMemory {
        ProcessMemory {
            resident_bytes: 210 * MIB,
            file_backed_bytes: 3 * MIB,
            startup_bytes: MIB,
            peak_bytes: 220 * MIB,
            ..ProcessMemory::default()
        }
    }

    const ROOMY: Limits = Limits {
        maxmemory_bytes: 1000 * MIB,
        evicts: false,
        container_bytes: Some(1200 * MIB),
    };

    fn ids(shards: Vec<ShardMemory>, process: ProcessMemory, limits: Limits) -> Vec<&'static str> {
        let report = MemoryReport::new(shards, process);
        let findings = findings(&report, &limits);
        let text = prose(&findings);
        for finding in &findings {
            assert!(text.contains(finding.id) && text.contains(&finding.remedy));
        }
        findings.into_iter().map(|finding| finding.id).collect()
    }

    #[test]
    fn a_healthy_instance_gets_the_all_clear() {
        let report = MemoryReport::new(shards(), process());
        let findings = findings(&report, &ROOMY);
        assert_eq!(findings, []);
        assert!(prose(&findings).starts_with("No memory problem found"));
    }

    #[test]
    fn an_empty_instance_is_not_judged() {
        let mut little = process();
        little.heap_unsharded_bytes = (EMPTY_BYTES_MAX - 1) as i64;
        assert_eq!(ids(vec![], little, ROOMY), ["empty-instance"]);
        little.heap_unsharded_bytes = EMPTY_BYTES_MAX as i64;
        assert!(!ids(vec![], little, ROOMY).contains(&"empty-instance"));
    }

    #[test]
    fn a_peak_far_above_the_total_is_told() {
        let mut process = process();
        process.peak_bytes = 300 * MIB;
        assert_eq!(ids(shards(), process, ROOMY), Vec::<&str>::new());
        process.peak_bytes += MIB;
        assert_eq!(ids(shards(), process, ROOMY), ["peak-above-total"]);
    }

    #[test]
    fn holes_in_slab_pages_are_named_and_purged() {
        let mut holed = shards();
        holed[0].slab_committed_bytes += 85 * MIB;
        let mut process = process();
        process.resident_bytes += 85 * MIB;
        assert_eq!(ids(holed.clone(), process, ROOMY), ["slab-fragmentation"]);
        let report = MemoryReport::new(holed, process);
        assert_eq!(findings(&report, &ROOMY)[0].remedy, "MEMORY PURGE");
    }

    #[test]
    fn free_blocks_of_the_heap_are_named_and_purged() {
        let mut loose = shards();
        loose[1].heap_slack_bytes += 85 * MIB;
        let mut process = process();
        process.resident_bytes += 85 * MIB;
        assert_eq!(ids(loose, process, ROOMY), ["heap-slack"]);
    }

    #[test]
    fn what_the_process_holds_besides_is_named() {
        let mut process = process();
        process.resident_bytes += 85 * MIB;
        process.file_backed_bytes += 85 * MIB;
        assert_eq!(ids(shards(), process, ROOMY), ["process-overhead"]);
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
        assert_eq!(ids(vec![small], process, ROOMY), Vec::<&str>::new());
    }

    #[test]
    fn resident_bytes_nobody_explains_are_told() {
        let mut process = process();
        // Explained: 200 allocated, 2 of slab slack, 3 of files.
        process.resident_bytes = 205 * MIB + 11 * MIB;
        assert_eq!(ids(shards(), process, ROOMY), ["unaccounted"]);
        process.resident_bytes = 205 * MIB + 10 * MIB;
        assert_eq!(ids(shards(), process, ROOMY), Vec::<&str>::new());
    }

    #[test]
    fn clients_that_take_a_large_part_are_told() {
        let mut crowded = shards();
        crowded[0].clients_normal_bytes = 39 * MIB;
        assert_eq!(ids(crowded.clone(), process(), ROOMY), Vec::<&str>::new());
        crowded[0].clients_normal_bytes = 40 * MIB;
        assert_eq!(ids(crowded, process(), ROOMY), ["large-clients"]);
    }

    #[test]
    fn a_shard_far_above_its_siblings_is_told_by_number() {
        let mut uneven = shards();
        uneven[1].slab_used_bytes += 101 * MIB;
        uneven[1].slab_committed_bytes += 101 * MIB;
        let mut process = process();
        process.resident_bytes += 101 * MIB;
        assert_eq!(
            ids(uneven.clone(), process, ROOMY),
            ["shard-above-siblings"]
        );
        let report = MemoryReport::new(uneven.clone(), process);
        assert!(findings(&report, &ROOMY)[0].cause.contains("Shard 1"));
        uneven[1].slab_used_bytes -= MIB;
        assert_eq!(ids(uneven, process, ROOMY), Vec::<&str>::new());
    }

    #[test]
    fn a_single_shard_has_no_siblings_to_stand_above() {
        let mut alone = shards();
        alone.truncate(1);
        let mut process = process();
        process.resident_bytes = 110 * MIB;
        process.peak_bytes = 100 * MIB;
        assert_eq!(ids(alone, process, ROOMY), Vec::<&str>::new());
    }

    #[test]
    fn a_limit_about_to_be_met_without_eviction_is_critical() {
        let mut limits = Limits {
            maxmemory_bytes: 210 * MIB,
            ..ROOMY
        };
        assert_eq!(ids(shards(), process(), limits), ["near-limit"]);
        let report = MemoryReport::new(shards(), process());
        assert_eq!(findings(&report, &limits)[0].severity, Severity::Critical);
        limits.evicts = true;
        assert_eq!(ids(shards(), process(), limits), Vec::<&str>::new());
        limits.evicts = false;
        limits.maxmemory_bytes = 230 * MIB;
        assert_eq!(ids(shards(), process(), limits), Vec::<&str>::new());
    }

    #[test]
    fn a_limit_beyond_the_container_is_told_with_one_that_fits() {
        let mut limits = Limits {
            container_bytes: Some(900 * MIB),
            ..ROOMY
        };
        assert_eq!(ids(shards(), process(), limits), ["container-below-limit"]);
        limits.maxmemory_bytes = 0;
        assert_eq!(ids(shards(), process(), limits), ["container-below-limit"]);
        let report = MemoryReport::new(shards(), process());
        let remedy = &findings(&report, &limits)[0].remedy;
        assert_eq!(
            remedy,
            &format!("CONFIG SET maxmemory {}", 900 * MIB / 100 * 80)
        );
        limits.container_bytes = None;
        assert_eq!(ids(shards(), process(), limits), Vec::<&str>::new());
        limits.maxmemory_bytes = 900 * MIB;
        limits.container_bytes = Some(900 * MIB);
        assert_eq!(ids(shards(), process(), limits), Vec::<&str>::new());
    }

    #[test]
    fn the_most_severe_comes_first() {
        let mut process = process();
        process.peak_bytes = 900 * MIB;
        let limits = Limits {
            maxmemory_bytes: 205 * MIB,
            evicts: false,
            container_bytes: None,
        };
        assert_eq!(
            ids(shards(), process, limits),
            ["near-limit", "peak-above-total"]
        );
    }

    #[test]
    fn bytes_are_written_for_a_person() {
        assert_eq!(human(512), "512 B");
        assert_eq!(human(1536), "1.50 KiB");
        assert_eq!(human(5 * MIB), "5.00 MiB");
        assert_eq!(human(3 << 40), "3.00 TiB");
        assert!(human(u64::MAX).ends_with("PiB"));
    }
}
