//! Owns the findings about limits: the instance's own, its container's, its machine's.
//! Never happens here: a figure of a key or a client.
//! Source: a cache without room refuses writes, one without a limit is killed.

use super::text::human_time;
use super::{Amount, Finding, Insight, Limits, Severity, exceeds};
use crate::history::Span;
use crate::process::LIMIT_AUTO_PERCENT;
use crate::report::MemoryReport;

/// From this part of the limit on, in percent, an instance that evicts nothing soon refuses writes.
pub const LIMIT_PERCENT_MAX: u64 = 90;

pub(super) fn near_limit(
    report: &MemoryReport,
    limits: &Limits,
    insight: &Insight,
) -> Option<Finding> {
    let (total, limit) = (report.total_bytes(), limits.maxmemory_bytes);
    let nothing_goes =
        !limits.evicts || limits.evicts_only_expiring && report.merged().expiring_keys == 0;
    let is_near = limit > 0 && nothing_goes && exceeds(total, LIMIT_PERCENT_MAX, limit);
    is_near.then(|| {
        let mut evidence = vec![
            ("total.allocated", Amount::Bytes(total)),
            ("maxmemory", Amount::Bytes(limit)),
        ];
        let growth = insight.total.over(Span::TenMinutes);
        let seconds = growth.seconds_until(limits.room_bytes);
        evidence.extend(seconds.map(|seconds| ("time.left", Amount::Seconds(seconds))));
        let why = if limits.evicts {
            "the policy evicts only keys with an expiry, of which there is none"
        } else {
            "the policy is noeviction"
        };
        let when = seconds.map_or("soon".to_owned(), |seconds| {
            format!("in {} at the rate of the last minutes", human_time(seconds))
        });
        Finding {
            id: "near-limit",
            severity: Severity::Critical,
            evidence,
            cause: format!(
                "Memory is nearly at its limit and {why}: writes will be refused {when}. Delete \
                 keys, let keys be evicted, or raise the limit."
            ),
            remedy: format!("CONFIG SET maxmemory {}", limit + limit / 4),
        }
    })
}

pub(super) fn container_below_limit(report: &MemoryReport, limits: &Limits) -> Option<Finding> {
    let limit = limits.maxmemory_bytes;
    // Nobody is surprised that a machine without a container or a limit has an end.
    let machine = limits.machine_bytes.filter(|_| limit > 0);
    let container = limits.container_bytes.into_iter().chain(machine).min()?;
    if limit > 0 && limit <= container {
        return None;
    }
    let around = if limits.container_bytes == Some(container) {
        ("container", "its container")
    } else {
        ("machine", "the machine")
    };
    let wanted = container / 100 * LIMIT_AUTO_PERCENT;
    let mut evidence = vec![(around.0, Amount::Bytes(container))];
    let said = if limit == 0 {
        "has no limit of its own".to_owned()
    } else {
        evidence.insert(0, ("maxmemory", Amount::Bytes(limit)));
        format!("may use more than {} has", around.1)
    };
    let resident = report.process().resident_bytes;
    Some(Finding {
        id: "container-below-limit",
        // Without data there is time; near the container's limit there is none.
        severity: if exceeds(resident, LIMIT_PERCENT_MAX, container) {
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

#[cfg(test)]
mod tests {
    use super::super::findings;
    use super::super::fixture::{MIB, ROOMY, ids, process, report, shards};
    use super::*;
    use crate::history::{History, MARK_MS};

    fn ids_at(limits: Limits) -> Vec<&'static str> {
        ids(shards(), process(), limits, &Insight::default())
    }

    #[test]
    fn a_limit_about_to_be_met_without_eviction_is_critical() {
        let mut limits = Limits {
            maxmemory_bytes: 210 * MIB,
            ..ROOMY
        };
        assert_eq!(ids_at(limits), ["near-limit"]);
        let found = findings(&report(), &limits, &Insight::default());
        assert_eq!(found[0].severity, Severity::Critical);
        limits.evicts = true;
        assert_eq!(ids_at(limits), Vec::<&str>::new());
        limits.evicts_only_expiring = true;
        assert_eq!(ids_at(limits)[0], "near-limit", "no key has an expiry");
        let mut expiring = shards();
        expiring[0].expiring_keys = 1;
        let insight = Insight::default();
        assert!(!ids(expiring, process(), limits, &insight).contains(&"near-limit"));
        limits.evicts = false;
        limits.maxmemory_bytes = 230 * MIB;
        assert_eq!(ids_at(limits), Vec::<&str>::new());
    }

    #[test]
    fn the_time_that_is_left_is_told_where_the_total_grows() {
        let limits = Limits {
            maxmemory_bytes: 210 * MIB,
            room_bytes: 10 * MIB,
            ..ROOMY
        };
        let insight = Insight {
            total: History::since(0, 190 * MIB).trend(200 * MIB, 10 * MARK_MS),
            ..Insight::default()
        };
        let found = &findings(&report(), &limits, &insight)[0];
        assert_eq!(found.evidence[2], ("time.left", Amount::Seconds(600)));
        assert!(found.cause.contains("in 10 min 0 s"), "{}", found.cause);
    }

    #[test]
    fn a_limit_beyond_the_container_is_told_with_one_that_fits() {
        let mut limits = Limits {
            container_bytes: Some(900 * MIB),
            ..ROOMY
        };
        assert_eq!(ids_at(limits), ["container-below-limit"]);
        limits.maxmemory_bytes = 0;
        assert_eq!(ids_at(limits), ["container-below-limit"]);
        let remedy = &findings(&report(), &limits, &Insight::default())[0].remedy;
        assert_eq!(
            remedy,
            &format!("CONFIG SET maxmemory {}", 900 * MIB / 100 * 80)
        );
        limits.container_bytes = None;
        assert_eq!(ids_at(limits), Vec::<&str>::new());
        limits.maxmemory_bytes = 900 * MIB;
        limits.container_bytes = Some(900 * MIB);
        assert_eq!(ids_at(limits), Vec::<&str>::new());
    }

    #[test]
    fn a_limit_beyond_the_machine_is_told_too() {
        let mut limits = Limits {
            container_bytes: None,
            maxmemory_bytes: 8001 * MIB,
            ..ROOMY
        };
        assert_eq!(ids_at(limits), ["container-below-limit"]);
        let found = &findings(&report(), &limits, &Insight::default())[0];
        assert_eq!(found.evidence[1].0, "machine");
        limits.maxmemory_bytes = 8000 * MIB;
        assert_eq!(ids_at(limits), Vec::<&str>::new());
    }
}
