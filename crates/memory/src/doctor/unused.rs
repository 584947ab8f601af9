//! Owns the findings about what nobody uses: bytes that lie cold, and prefixes that are written and never read.
//! Never happens here: a look at a key; what was seen of some that were drawn at random is handed in.
//! Source: a bound that chance passes in one case of forty: an estimate less two of its standard errors.

use super::{Amount, Finding, Insight, PrefixFigures, Severity, WASTE_BYTES_MIN, exceeds, quoted};
use crate::report::{MemoryReport, percentage};

/// Bytes that nobody uses for a day are more than this part of the data, in percent: below, what is kept for the rare reader
/// costs less than the care for it.
pub const COLD_PERCENT_MAX: u64 = 30;
/// With more than this part of its keys never used, in percent, a prefix is written for nobody.
pub const UNREAD_PERCENT_MAX: u64 = 80;
/// Of fewer keys of a prefix that were drawn nothing is said: all of so many by chance are unread where four fifths
/// are, in one case of a million.
pub const UNREAD_KEYS_MIN: u64 = 64;
/// Prefixes never read that are told, the largest.
pub const UNREAD_TOLD_MAX: usize = 3;
/// Standard errors that an estimate has to stand above its threshold.
const ERRORS_ABOVE: f64 = 2.0;
/// One prefix is named if it has more than this part of what is cold, in percent.
const MOSTLY_PERCENT: u64 = 50;

pub(super) fn cold_bytes(report: &MemoryReport, insight: &Insight) -> Option<Finding> {
    let unused = insight.unused;
    let dataset = report.dataset_bytes();
    let margin = ERRORS_ABOVE * unused.cold_variance.sqrt();
    let least = (unused.cold_bytes - margin).max(0.0) as u64;
    if least < WASTE_BYTES_MIN || !exceeds(least, COLD_PERCENT_MAX, dataset) {
        return None;
    }
    let cold = (unused.cold_bytes as u64).min(dataset);
    let coldest = insight
        .prefixes
        .iter()
        .max_by(|one, other| one.cold_bytes.total_cmp(&other.cold_bytes))
        .filter(|prefix| exceeds(prefix.cold_bytes as u64, MOSTLY_PERCENT, cold));
    let place = coldest.map_or(String::new(), |prefix| {
        format!(" Most of it lies under {}.", quoted(&prefix.name))
    });
    let (advice, remedy) = if insight.draws_curve {
        (
            "MEMORY CURVE says what a smaller limit would cost in hits",
            "MEMORY CURVE",
        )
    } else {
        (
            "a curve would say what a smaller limit costs in hits",
            "CONFIG SET memory-curve yes",
        )
    };
    Some(Finding {
        id: "cold-bytes",
        severity: Severity::Note,
        evidence: vec![
            ("cold.bytes", Amount::Bytes(cold)),
            ("cold.bytes.error", Amount::Bytes(margin as u64)),
            ("dataset.bytes", Amount::Bytes(dataset)),
            ("percentage", Amount::Percent(percentage(cold, dataset))),
            ("sampled.keys", Amount::Count(unused.followed_keys)),
        ],
        cause: format!(
            "A large part of the data was neither read nor written for a day, by an estimate from \
             keys drawn at random.{place} Let such keys expire, or have fewer of them: {advice}."
        ),
        remedy: remedy.to_owned(),
    })
}

/// The largest prefixes whose keys are hardly ever used.
pub(super) fn unread_prefixes(insight: &Insight) -> Vec<Finding> {
    let mut unread: Vec<&PrefixFigures> = insight
        .prefixes
        .iter()
        .filter(|prefix| is_unread(prefix))
        .collect();
    unread.sort_by_key(|prefix| std::cmp::Reverse(prefix.bytes));
    let told = unread.into_iter().take(UNREAD_TOLD_MAX);
    told.map(|prefix| Finding {
        id: "prefix-never-read",
        severity: Severity::Note,
        evidence: vec![
            ("prefix.bytes", Amount::Bytes(prefix.bytes)),
            ("keys", Amount::Count(prefix.keys)),
            ("sampled.keys", Amount::Count(prefix.settled_keys)),
            ("sampled.keys.unread", Amount::Count(prefix.unread_keys)),
            (
                "percentage",
                Amount::Percent(percentage(prefix.unread_keys, prefix.settled_keys)),
            ),
        ],
        cause: format!(
            "Most keys under {} were not used once since they were written, an hour ago or longer, \
             by what was seen of some drawn at random: nobody needs them, or not for so long.",
            quoted(&prefix.name)
        ),
        remedy: "EXPIRE key seconds LT".to_owned(),
    })
    .collect()
}

fn is_unread(prefix: &PrefixFigures) -> bool {
    if prefix.bytes < WASTE_BYTES_MIN || prefix.settled_keys < UNREAD_KEYS_MIN {
        return false;
    }
    let settled = prefix.settled_keys as f64;
    let part = prefix.unread_keys as f64 / settled;
    let error = (part * (1.0 - part) / settled).sqrt();
    (part - ERRORS_ABOVE * error) * 100.0 > UNREAD_PERCENT_MAX as f64
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{MIB, ids_with, prefix, report};
    use super::super::{UnusedFigures, findings, fixture};
    use super::*;

    fn cold(bytes: u64, error_bytes: u64) -> Insight {
        Insight {
            unused: UnusedFigures {
                followed_keys: 1024,
                cold_bytes: bytes as f64,
                cold_variance: (error_bytes as f64).powi(2),
            },
            ..Insight::default()
        }
    }

    #[test]
    fn bytes_that_nobody_uses_are_told_when_chance_is_no_excuse() {
        // Thirty percent of 180 MiB are 54.
        assert_eq!(ids_with(&cold(54 * MIB + 1, 0)), ["cold-bytes"]);
        assert_eq!(ids_with(&cold(54 * MIB, 0)), Vec::<&str>::new());
        assert_eq!(ids_with(&cold(60 * MIB, 2 * MIB)), ["cold-bytes"]);
        assert_eq!(ids_with(&cold(60 * MIB, 3 * MIB)), Vec::<&str>::new());
        assert_eq!(ids_with(&cold(900 * MIB, 900 * MIB)), Vec::<&str>::new());
        let found = &findings(&report(), &fixture::ROOMY, &cold(200 * MIB, 0))[0];
        assert_eq!(found.evidence[0], ("cold.bytes", Amount::Bytes(180 * MIB)));
        assert_eq!(found.remedy, "CONFIG SET memory-curve yes");
    }

    #[test]
    fn the_prefix_with_most_of_what_is_cold_is_named() {
        let mut insight = cold(100 * MIB, 0);
        insight.draws_curve = true;
        for (name, bytes) in [("a:", 49 * MIB), ("b:", 51 * MIB)] {
            let mut one = prefix(name.as_bytes(), [60 * MIB, 60 * MIB]);
            one.cold_bytes = bytes as f64;
            insight.prefixes.push(one);
        }
        let found = &findings(&report(), &fixture::ROOMY, &insight)[0];
        assert!(found.cause.contains("under \"b:\""), "{}", found.cause);
        assert_eq!(found.remedy, "MEMORY CURVE");
        insight.prefixes[1].cold_bytes = 50.0 * MIB as f64;
        let found = &findings(&report(), &fixture::ROOMY, &insight)[0];
        assert!(!found.cause.contains("under"), "{}", found.cause);
    }

    #[test]
    fn a_prefix_that_is_written_and_never_read_is_told() {
        let of = |bytes: u64, settled_keys, unread_keys| {
            let mut one = prefix(b"log:", [bytes / 2, bytes / 2]);
            (one.settled_keys, one.unread_keys) = (settled_keys, unread_keys);
            Insight {
                prefixes: vec![one],
                ..Insight::default()
            }
        };
        let none = Vec::<&str>::new();
        assert_eq!(ids_with(&of(10 * MIB, 64, 64)), ["prefix-never-read"]);
        assert_eq!(ids_with(&of(10 * MIB, 63, 63)), none, "too few were drawn");
        assert_eq!(ids_with(&of(10 * MIB - 2, 64, 64)), none, "too small");
        // Four fifths and two errors: 80 % + 2 × 1.7 % of 500.
        assert_eq!(ids_with(&of(10 * MIB, 500, 416)), none);
        assert_eq!(ids_with(&of(10 * MIB, 500, 417)), ["prefix-never-read"]);
        assert_eq!(ids_with(&of(10 * MIB, 500, 0)), none);
        let found = &findings(&report(), &fixture::ROOMY, &of(10 * MIB, 64, 64))[0];
        assert!(found.cause.contains("\"log:\""), "{}", found.cause);
        assert_eq!(found.remedy, "EXPIRE key seconds LT");
    }

    #[test]
    fn only_the_largest_prefixes_never_read_are_told() {
        let mut insight = Insight::default();
        for nth in 1..=5 {
            let mut one = prefix(format!("p{nth}:").as_bytes(), [nth * 6 * MIB; 2]);
            (one.settled_keys, one.unread_keys) = (100, 100);
            insight.prefixes.push(one);
        }
        let found = findings(&report(), &fixture::ROOMY, &insight);
        assert_eq!(found.len(), UNREAD_TOLD_MAX);
        assert!(found[0].cause.contains("\"p5:\""));
    }
}
