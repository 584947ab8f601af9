//! Owns the finding of a leak: a prefix that grows day after day, or fast towards the limit, and whose keys never expire.
//! Never happens here: an alarm about the day's own ups and downs, or about a cache that fills.
//! Source: minima against those of the day before; Mann (1945) and Kendall (1975) for a trend, Sen (1968) for its slope.
//!
//! A line through the figures takes every morning for a leak. Minima of an hour against those of the same hour yesterday do
//! not: they are compared now and six, twelve and eighteen hours ago, must all have grown, all alike, and that three hours
//! running; and the lowest of the day must have grown, which tells a saw from a slope where its teeth are as long. Before two days of history there are, the fast rule finds what would meet the limit within hours.

use super::text::human_time;
use super::{Amount, Finding, Insight, Limits, MIB, PrefixFigures, Severity, exceeds, quoted};
use crate::history::{FIVE_MINIMA, History};
use crate::report::MemoryReport;

/// A prefix with less than this does no harm yet.
pub const LEAK_BYTES_MIN: u64 = MIB;
/// Leaks that are told, the fastest first: who has more looks at MEMORY TREND.
pub const LEAKS_TOLD_MAX: usize = 3;
/// Hours back at which an hour is compared with that of the day before.
const HOURS_BACK: [u32; 4] = [0, 6, 12, 18];
/// For so many hours running.
const HOURS_RUNNING: u32 = 3;
/// A day's growth below this part is none.
const DAY_GROWTH_MIN: f64 = 0.02;
/// Growth of one hour is like that of another up to this factor.
const ALIKE_FACTOR: f64 = 3.0;
/// Mann and Kendall's z above this: one in 740 by chance.
const Z_MIN: f64 = 3.0;
/// Growth in an hour below this part is not fast.
const HOUR_GROWTH_MIN: f64 = 0.01;
/// With the limit farther away there is time for the slow rule.
const HOURS_LEFT_MAX: f64 = 6.0;
/// From this part of the limit on, in percent, a cache that evicts is full: then a prefix grows at the cost of others, and
/// its share is what is compared.
const FULL_PERCENT: u64 = 95;

/// Growth that is no chance, by the rule that found it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Leak {
    /// Bytes in a day, at the rate that was found.
    day_bytes: f64,
}

/// The fastest leaks.
pub(super) fn prefix_leaks(
    report: &MemoryReport,
    limits: &Limits,
    insight: &Insight,
) -> Vec<Finding> {
    let used_bytes = limits.maxmemory_bytes.saturating_sub(limits.room_bytes);
    let is_full = limits.maxmemory_bytes > 0
        && limits.evicts
        && exceeds(used_bytes, FULL_PERCENT, limits.maxmemory_bytes);
    let whole = insight.dataset.as_deref().filter(|_| is_full);
    // Where any key may go, a cache that fills up is doing what it is for.
    let fills_up = limits.maxmemory_bytes > 0 && limits.evicts && !limits.evicts_only_expiring;
    let room_bytes = room_bytes(report, limits).filter(|_| !fills_up);
    let never_expires = |prefix: &&PrefixFigures| {
        prefix.bytes >= LEAK_BYTES_MIN && prefix.lasting_keys * 2 > prefix.keys
    };
    let mut leaks: Vec<(Leak, &PrefixFigures)> = insight
        .prefixes
        .iter()
        .filter(never_expires)
        .filter_map(|prefix| {
            let history = prefix.history.as_deref()?;
            let leak = slow(history, whole).or_else(|| fast(history, room_bytes?))?;
            Some((leak, prefix))
        })
        .collect();
    leaks.sort_by(|(one, _), (other, _)| other.day_bytes.total_cmp(&one.day_bytes));
    let told = leaks.into_iter().take(LEAKS_TOLD_MAX);
    told.map(|(leak, prefix)| finding(leak, prefix, room_bytes))
        .collect()
}

/// Bytes until something refuses to give more: the limit, or what is around the process.
fn room_bytes(report: &MemoryReport, limits: &Limits) -> Option<u64> {
    if limits.maxmemory_bytes > 0 {
        return Some(limits.room_bytes);
    }
    let around = limits
        .container_bytes
        .into_iter()
        .chain(limits.machine_bytes);
    let around = around.min()?;
    Some(around.saturating_sub(report.process().resident_bytes))
}

fn finding(leak: Leak, prefix: &PrefixFigures, room_bytes: Option<u64>) -> Finding {
    let name = quoted(&prefix.name);
    let seconds = room_bytes.map(|room| (room as f64 / leak.day_bytes * 86_400.0) as u64);
    let mut evidence = vec![
        ("prefix.bytes", Amount::Bytes(prefix.bytes)),
        ("growth.per.day", Amount::Bytes(leak.day_bytes as u64)),
        ("keys", Amount::Count(prefix.keys)),
        ("keys.without.expiry", Amount::Count(prefix.lasting_keys)),
    ];
    evidence.extend(seconds.map(|seconds| ("time.left", Amount::Seconds(seconds))));
    let is_urgent = seconds.is_some_and(|seconds| seconds as f64 <= HOURS_LEFT_MAX * 3600.0);
    let end = seconds.map_or(String::new(), |seconds| {
        format!(
            " At this rate it takes what is left in {}.",
            human_time(seconds)
        )
    });
    Finding {
        id: "prefix-leak",
        severity: if is_urgent {
            Severity::Critical
        } else {
            Severity::Warning
        },
        evidence,
        cause: format!(
            "Keys under {name} become more and more and most of them never expire: nothing takes \
             away what is written there.{end}"
        ),
        remedy: "EXPIRE key seconds NX".to_owned(),
    }
}

/// The slow rule; `whole` is what the figure is a share of, if shares are compared.
fn slow(history: &History, whole: Option<&History>) -> Option<Leak> {
    let minimum = |hours_ago: u32| -> Option<f64> {
        let own = history.hour_minimum(hours_ago)?;
        match whole {
            None => Some(own),
            Some(whole) => Some(own / whole.hour_minimum(hours_ago)?.max(1.0)),
        }
    };
    let growth = |hours_ago: u32| -> Option<f64> {
        let before = minimum(hours_ago + 24)?;
        (before > 0.0).then_some(minimum(hours_ago)? / before - 1.0)
    };
    for running in 0..HOURS_RUNNING {
        let (mut least, mut most) = (f64::INFINITY, 0.0f64);
        for back in HOURS_BACK {
            let growth = growth(back + running)?;
            (least, most) = (least.min(growth), most.max(growth));
        }
        if least < DAY_GROWTH_MIN || most > least * ALIKE_FACTOR {
            return None;
        }
    }
    let lowest = |hours: std::ops::Range<u32>| -> Option<f64> {
        let mut hours = hours.map(minimum);
        hours.try_fold(f64::INFINITY, |least, one| Some(least.min(one?)))
    };
    if lowest(0..24)? < lowest(24..48)? * (1.0 + DAY_GROWTH_MIN) {
        return None;
    }
    let day_bytes = history.hour_minimum(0)? - history.hour_minimum(24)?;
    Some(Leak {
        // A share can grow while bytes do not.
        day_bytes: day_bytes.max(1.0),
    })
}

/// The fast rule: the minima of the last hour.
fn fast(history: &History, room_bytes: u64) -> Option<Leak> {
    let minima = history.five_minima()?;
    let (mut rises, mut slopes) = (0i32, Vec::new());
    for later in 0..FIVE_MINIMA {
        for earlier in 0..later {
            let difference = minima[later] - minima[earlier];
            rises += i32::from(difference > 0.0) - i32::from(difference < 0.0);
            slopes.push(difference / (later - earlier) as f64);
        }
    }
    let count = FIVE_MINIMA as f64;
    let variance = count * (count - 1.0) * (2.0 * count + 5.0) / 18.0;
    let z = (f64::from(rises) - 1.0) / variance.sqrt();
    slopes.sort_by(f64::total_cmp);
    let hour_bytes = 12.0 * slopes[slopes.len() / 2];
    let is_fast = z > Z_MIN
        && hour_bytes > minima[FIVE_MINIMA - 1] * HOUR_GROWTH_MIN
        && (room_bytes as f64) < hour_bytes * HOURS_LEFT_MAX;
    is_fast.then_some(Leak {
        day_bytes: hour_bytes * 24.0,
    })
}

#[cfg(test)]
mod tests {
    use super::super::findings;
    use super::super::fixture::{ROOMY, ids, ids_with, process, report, shards};
    use super::*;

    const HOUR: u32 = 60;
    const DAY: u32 = 24 * HOUR;

    fn history(minutes: u32, bytes: impl Fn(f64) -> f64) -> Box<History> {
        let mut history = History::since(0, bytes(0.0) as u64);
        (1..=minutes).for_each(|minute| history.mark(minute, bytes(f64::from(minute)) as u64));
        Box::new(history)
    }

    fn insight(history: Box<History>) -> Insight {
        Insight {
            prefixes: vec![PrefixFigures {
                name: b"log:".as_slice().into(),
                bytes: 40 * MIB,
                keys: 1000,
                lasting_keys: 1000,
                shard_bytes: vec![20 * MIB; 2],
                history: Some(history),
            }],
            ..Insight::default()
        }
    }

    const START: f64 = 40e6;

    /// A wave of one day.
    fn wave(minute: f64) -> f64 {
        (minute / f64::from(DAY) * std::f64::consts::TAU).sin()
    }

    #[test]
    fn a_prefix_that_grows_day_after_day_without_expiry_is_a_leak() {
        // 0.3 % an hour on top of the day's ups and downs, of which the latter are far larger.
        let grows =
            |minute: f64| START * (1.0 + 0.003 * minute / 60.0) * (1.0 + 0.3 * wave(minute));
        let insight = insight(history(49 * HOUR, grows));
        assert_eq!(ids_with(&insight), ["prefix-leak"]);
        let found = &findings(&report(), &ROOMY, &insight)[0];
        assert!(found.cause.contains("\"log:\""), "{}", found.cause);
        let Amount::Bytes(day_bytes) = found.evidence[1].1 else {
            panic!("bytes a day")
        };
        assert!((1_500_000..5_000_000).contains(&day_bytes), "{day_bytes}");
    }

    #[test]
    fn ups_and_downs_are_no_leak() {
        let noise = |minute: f64| (minute * 12.9898).sin() * 43_758.545_3 % 1.0;
        type Figure<'a> = &'a dyn Fn(f64) -> f64;
        let stable: Figure<'_> = &|minute| START * (1.0 + 0.01 * noise(minute));
        let daily: Figure<'_> = &|minute| START * (1.0 + 0.5 * wave(minute));
        let saw: Figure<'_> = &|minute| START * (1.0 + (minute % 337.0) / 337.0);
        let filled: Figure<'_> = &|minute| START * (1.0 - (-minute / 900.0).exp());
        let falling: Figure<'_> = &|minute| START * (1.0 - 0.0001 * minute);
        for length in (10..2000).step_by(7).map(f64::from) {
            let teeth = |minute: f64| START * (1.0 + (minute % length) / length);
            assert_eq!(
                slow(&history(80 * HOUR, teeth), None),
                None,
                "teeth of {length}"
            );
        }
        for (name, figure) in [
            ("stable", stable),
            ("daily", daily),
            ("saw", saw),
            ("filled", filled),
            ("falling", falling),
        ] {
            for hours in 1..100 {
                let history = history(hours * HOUR, figure);
                assert_eq!(slow(&history, None), None, "{name} after {hours} h");
            }
        }
    }

    #[test]
    fn keys_that_expire_are_no_leak() {
        let grows = |minute: f64| START * (1.0 + 0.003 * minute / 60.0);
        let mut insight = insight(history(49 * HOUR, grows));
        insight.prefixes[0].lasting_keys = 500;
        assert_eq!(ids_with(&insight), Vec::<&str>::new());
        insight.prefixes[0].lasting_keys = 501;
        assert_eq!(ids_with(&insight), ["prefix-leak"]);
        insight.prefixes[0].bytes = LEAK_BYTES_MIN - 1;
        assert_eq!(ids_with(&insight), Vec::<&str>::new());
    }

    #[test]
    fn what_would_meet_the_limit_within_hours_is_told_within_an_hour() {
        // 60 MB in an hour; 300 MB are left.
        let insight = insight(history(61, |minute| START + 1e6 * minute));
        let limits = |room_bytes| super::Limits {
            room_bytes,
            ..ROOMY
        };
        let ids_of = |room_bytes| ids(shards(), process(), limits(room_bytes), &insight);
        assert_eq!(ids_of(300_000_000), ["prefix-leak"]);
        assert_eq!(ids_of(400_000_000), Vec::<&str>::new(), "there is time");
        let found = &findings(&report(), &limits(300_000_000), &insight)[0];
        assert_eq!(found.severity, Severity::Critical);
        assert_eq!(found.evidence[4], ("time.left", Amount::Seconds(18_000)));
    }

    #[test]
    fn a_cache_that_fills_up_is_no_leak_where_any_key_may_go() {
        let insight = insight(history(61, |minute| START + 1e6 * minute));
        let mut limits = super::Limits {
            room_bytes: 300_000_000,
            evicts: true,
            ..ROOMY
        };
        assert_eq!(
            ids(shards(), process(), limits, &insight),
            Vec::<&str>::new()
        );
        limits.evicts_only_expiring = true;
        assert!(ids(shards(), process(), limits, &insight).contains(&"prefix-leak"));
    }

    #[test]
    fn in_a_full_cache_the_share_is_what_grows() {
        let grows = |minute: f64| START * (1.0 + 0.003 * minute / 60.0);
        let mut insight = insight(history(49 * HOUR, grows));
        let limits = super::Limits {
            room_bytes: MIB,
            evicts: true,
            ..ROOMY
        };
        // The whole grows as fast: nothing is pushed out by it.
        insight.dataset = Some(history(49 * HOUR, |minute| 4.0 * grows(minute)));
        assert_eq!(
            ids(shards(), process(), limits, &insight),
            Vec::<&str>::new()
        );
        insight.dataset = Some(history(49 * HOUR, |_| 4.0 * START));
        assert_eq!(ids(shards(), process(), limits, &insight), ["prefix-leak"]);
    }

    #[test]
    fn only_the_fastest_leaks_are_told() {
        let mut insight = insight(history(61, |minute| START + 1e6 * minute));
        let first = insight.prefixes[0].clone();
        for speed in 2..6 {
            let mut other = first.clone();
            other.name = format!("log{speed}:").into_bytes().into();
            let grows = |minute: f64| START + f64::from(speed) * 1e6 * minute;
            other.history = Some(history(61, grows));
            insight.prefixes.push(other);
        }
        let limits = super::Limits {
            room_bytes: MIB,
            ..ROOMY
        };
        let found = findings(&report(), &limits, &insight);
        assert_eq!(found.len(), LEAKS_TOLD_MAX);
        assert!(found[0].cause.contains("\"log5:\""));
    }
}
