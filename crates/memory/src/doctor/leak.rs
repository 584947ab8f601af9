//! Owns the findings of leaks: a prefix or a big key that grows day after day, or fast towards the limit, and never expires.
//! Never happens here: an alarm about the day's own ups and downs, or about a cache that fills.
//! Source: minima against those of the day before; Mann (1945) and Kendall (1975) for a trend, Sen (1968) for its slope.
//!
//! A line through the figures takes every morning for a leak. Minima of an hour against those of the same hour yesterday do
//! not: they are compared now and six, twelve and eighteen hours ago, must all have grown, all alike, and that three hours
//! running; and the lowest of the day must have grown, which tells a saw from a slope where its teeth are as long. Before two days of history there are, the fast rule finds what would
//! meet the limit within hours; once it knows a day it tells only of what is above all of that.

use super::text::human_time;
use super::{
    Amount, Finding, GrowingKey, Insight, Limits, MIB, PrefixFigures, Severity, exceeds, quoted,
};
use crate::history::{FIVE_MINIMA, History};
use crate::report::MemoryReport;

/// A prefix with less than this does no harm yet.
pub const LEAK_BYTES_MIN: u64 = MIB;
/// Leaks that are told, the fastest first: who has more looks at MEMORY TREND.
pub const LEAKS_TOLD_MAX: usize = 3;
/// Growing keys that are told, the fastest first.
pub const GROWING_TOLD_MAX: usize = 3;
/// A prefix is not told beside a key of it that is told and has more than this part of the prefix' bytes, in percent.
const KEY_OF_PREFIX_PERCENT: u64 = 50;
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

/// Bytes that are left to grow into where growing fast is wrong. Where any key may go, a cache that fills up is doing what it
/// is for.
fn fast_room_bytes(report: &MemoryReport, limits: &Limits) -> Option<u64> {
    let fills_up = limits.maxmemory_bytes > 0 && limits.evicts && !limits.evicts_only_expiring;
    room_bytes(report, limits).filter(|_| !fills_up)
}

/// Big keys without an expiry that grow steadily, the fastest.
pub(super) fn growing_keys<'a>(
    report: &MemoryReport,
    limits: &Limits,
    insight: &'a Insight,
) -> Vec<(&'a GrowingKey, Finding)> {
    let room_bytes = fast_room_bytes(report, limits);
    let mut growing: Vec<(Leak, &GrowingKey)> = insight
        .growing_keys
        .iter()
        .filter(|one| !one.has_expiry && one.key.bytes >= LEAK_BYTES_MIN)
        .filter_map(|one| {
            let leak = slow(&one.history, None).or_else(|| fast(&one.history, room_bytes?))?;
            Some((leak, one))
        })
        .collect();
    growing.sort_by(|(one, _), (other, _)| other.day_bytes.total_cmp(&one.day_bytes));
    let told = growing.into_iter().take(GROWING_TOLD_MAX);
    told.map(|(leak, one)| (one, key_finding(leak, one, room_bytes)))
        .collect()
}

fn key_finding(leak: Leak, one: &GrowingKey, room_bytes: Option<u64>) -> Finding {
    let name = quoted(&one.key.name);
    let pace = Pace::of(leak, room_bytes);
    let mut evidence = vec![
        ("shard", Amount::Count(one.shard)),
        ("db", Amount::Count(one.key.db)),
        ("key.bytes", Amount::Bytes(one.key.bytes)),
        ("growth.per.day", Amount::Bytes(leak.day_bytes as u64)),
    ];
    evidence.extend(pace.evidence());
    Finding {
        id: "key-grows",
        severity: pace.severity(),
        evidence,
        cause: format!(
            "The {} {name} becomes larger and larger: what is added to it is never taken away.{}",
            one.kind,
            pace.words()
        ),
        remedy: match one.kind {
            "list" => format!("LTRIM {name} -count -1"),
            "stream" => format!("XTRIM {name} MAXLEN ~ count"),
            "zset" => format!("ZREMRANGEBYRANK {name} 0 -count"),
            _ => format!("MEMORY EXPLAIN {name}"),
        },
    }
}

/// The fastest leaks, but for prefixes that grow by a key which is told itself.
pub(super) fn prefix_leaks(
    report: &MemoryReport,
    limits: &Limits,
    insight: &Insight,
    growing: &[(&GrowingKey, Finding)],
) -> Vec<Finding> {
    let used_bytes = limits.maxmemory_bytes.saturating_sub(limits.room_bytes);
    let is_full = limits.maxmemory_bytes > 0
        && limits.evicts
        && exceeds(used_bytes, FULL_PERCENT, limits.maxmemory_bytes);
    let whole = insight.dataset.as_deref().filter(|_| is_full);
    let room_bytes = fast_room_bytes(report, limits);
    let is_of_a_key = |prefix: &&PrefixFigures| {
        growing.iter().any(|(one, _)| {
            one.key.name.starts_with(&prefix.name)
                && exceeds(one.key.bytes, KEY_OF_PREFIX_PERCENT, prefix.bytes)
        })
    };
    let never_expires = |prefix: &&PrefixFigures| {
        prefix.bytes >= LEAK_BYTES_MIN && prefix.lasting_keys * 2 > prefix.keys
    };
    let mut leaks: Vec<(Leak, &PrefixFigures)> = insight
        .prefixes
        .iter()
        .filter(never_expires)
        .filter(|prefix| !is_of_a_key(prefix))
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

/// How long what is left lasts at a rate, where it is known how much is left.
struct Pace {
    seconds_left: Option<u64>,
}

impl Pace {
    fn of(leak: Leak, room_bytes: Option<u64>) -> Pace {
        let seconds = |room: u64| (room as f64 / leak.day_bytes * 86_400.0) as u64;
        Pace {
            seconds_left: room_bytes.map(seconds),
        }
    }

    fn severity(&self) -> Severity {
        let is_urgent = |seconds: u64| seconds as f64 <= HOURS_LEFT_MAX * 3600.0;
        if self.seconds_left.is_some_and(is_urgent) {
            Severity::Critical
        } else {
            Severity::Warning
        }
    }

    fn evidence(&self) -> Option<(&'static str, Amount)> {
        let seconds = self.seconds_left?;
        Some(("time.left", Amount::Seconds(seconds)))
    }

    fn words(&self) -> String {
        self.seconds_left.map_or(String::new(), |seconds| {
            format!(
                " At this rate it takes what is left in {}.",
                human_time(seconds)
            )
        })
    }
}

fn finding(leak: Leak, prefix: &PrefixFigures, room_bytes: Option<u64>) -> Finding {
    let name = quoted(&prefix.name);
    let pace = Pace::of(leak, room_bytes);
    let mut evidence = vec![
        ("prefix.bytes", Amount::Bytes(prefix.bytes)),
        ("growth.per.day", Amount::Bytes(leak.day_bytes as u64)),
        ("keys", Amount::Count(prefix.keys)),
        ("keys.without.expiry", Amount::Count(prefix.lasting_keys)),
    ];
    evidence.extend(pace.evidence());
    Finding {
        id: "prefix-leak",
        severity: pace.severity(),
        evidence,
        cause: format!(
            "Keys under {name} become more and more and most of them never expire: nothing takes \
             away what is written there.{}",
            pace.words()
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

/// The highest minimum of an hour of the day that ended two hours ago, where all of it is known.
fn highest_of_the_day(history: &History) -> Option<f64> {
    let mut hours = (2..26).map(|hours_ago| history.hour_minimum(hours_ago));
    hours.try_fold(0.0, |highest: f64, one| Some(highest.max(one?)))
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
    // What was there yesterday may come again: a wave, or the tooth of a saw. Its highest
    // stands at most two hours of growth above the minimum of an hour: the one that it rose in, or the one before its fall.
    let was_there = |highest: f64| minima[FIVE_MINIMA - 1] <= highest + 2.0 * hour_bytes;
    let is_fast = z > Z_MIN
        && hour_bytes > minima[FIVE_MINIMA - 1] * HOUR_GROWTH_MIN
        && (room_bytes as f64) < hour_bytes * HOURS_LEFT_MAX
        && !highest_of_the_day(history).is_some_and(was_there);
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
                ..PrefixFigures::default()
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
                // With no room but for what fills up, once a day is known; what sinks or stays needs none.
                let filling = START - figure(f64::from(hours * HOUR));
                let room_bytes = if name == "filled" { filling } else { 0.0 };
                if hours > 26 || ["stable", "falling"].contains(&name) {
                    let found = fast(&history, room_bytes as u64);
                    assert_eq!(found, None, "{name} after {hours} h");
                }
            }
        }
    }

    #[test]
    fn on_the_first_day_ups_are_no_leak_where_there_is_room_for_them() {
        type Figure<'a> = &'a dyn Fn(f64) -> f64;
        let daily: Figure<'_> = &|minute| START * (1.0 + 0.5 * wave(minute));
        let saw: Figure<'_> = &|minute| START * (1.0 + (minute % 337.0) / 337.0);
        let filled: Figure<'_> = &|minute| START * (1.0 - (-minute / 900.0).exp());
        // The end is at least as far above the highest as that is above the lowest.
        for (name, figure, end) in [
            ("daily", daily, 2.5),
            ("saw", saw, 3.2),
            ("filled", filled, 2.0),
        ] {
            for minutes in (HOUR..DAY + 2 * HOUR).step_by(5) {
                let room_bytes = START * end - figure(f64::from(minutes));
                let history = history(minutes, figure);
                let found = fast(&history, room_bytes as u64);
                assert_eq!(found, None, "{name} after {minutes} minutes");
            }
        }
    }

    #[test]
    fn what_leaks_fast_is_told_on_any_day() {
        for (hours, since) in [(2, 70), (20, 70), (30, 200), (90, 200)] {
            let begun = f64::from(hours * HOUR - since);
            let leaks = |minute: f64| START + 1e6 * (minute - begun).max(0.0);
            let history = history(hours * HOUR, leaks);
            assert!(fast(&history, 100_000_000).is_some(), "{hours}");
            assert_eq!(fast(&history, 500_000_000), None, "there is time");
        }
    }

    fn growing(kind: &'static str, bytes: u64, history: Box<History>) -> Insight {
        let key = super::super::KeyFigures {
            name: b"log:all".as_slice().into(),
            db: 2,
            bytes,
        };
        Insight {
            growing_keys: vec![GrowingKey {
                key,
                kind,
                shard: 1,
                has_expiry: false,
                history,
            }],
            ..Insight::default()
        }
    }

    #[test]
    fn a_big_key_that_grows_day_after_day_is_told_with_what_trims_it() {
        let grows = |minute: f64| START * (1.0 + 0.003 * minute / 60.0);
        for (kind, remedy) in [
            ("list", "LTRIM \"log:all\" -count -1"),
            ("stream", "XTRIM \"log:all\" MAXLEN ~ count"),
            ("zset", "ZREMRANGEBYRANK \"log:all\" 0 -count"),
            ("hash", "MEMORY EXPLAIN \"log:all\""),
            ("set", "MEMORY EXPLAIN \"log:all\""),
        ] {
            let insight = growing(kind, 5 * MIB, history(50 * HOUR, grows));
            assert_eq!(ids_with(&insight), ["key-grows"]);
            let found = &findings(&report(), &ROOMY, &insight)[0];
            assert_eq!(found.remedy, remedy);
            assert_eq!(found.severity, Severity::Warning);
            assert_eq!(found.evidence[0], ("shard", Amount::Count(1)));
            assert!(found.cause.contains(kind), "{}", found.cause);
        }
        let none = Vec::<&str>::new();
        let small = growing("list", LEAK_BYTES_MIN - 1, history(50 * HOUR, grows));
        assert_eq!(ids_with(&small), none);
        let mut expiring = growing("list", 5 * MIB, history(50 * HOUR, grows));
        expiring.growing_keys[0].has_expiry = true;
        assert_eq!(ids_with(&expiring), none);
        let daily = |minute: f64| START * (1.0 + 0.5 * wave(minute));
        for hours in 27..80 {
            let up_and_down = growing("list", 5 * MIB, history(hours * HOUR, daily));
            assert_eq!(ids_with(&up_and_down), none, "{hours} h");
        }
    }

    #[test]
    fn a_big_key_that_would_meet_the_limit_within_hours_is_critical_unless_keys_may_go() {
        let grows = history(61, |minute| START + 1e6 * minute);
        let insight = growing("stream", 90 * MIB, grows);
        let mut limits = super::Limits {
            room_bytes: 300_000_000,
            ..ROOMY
        };
        let found = &findings(&report(), &limits, &insight)[0];
        assert_eq!(
            (found.id, found.severity),
            ("key-grows", Severity::Critical)
        );
        assert_eq!(found.evidence[4], ("time.left", Amount::Seconds(18_000)));
        limits.evicts = true;
        assert_eq!(findings(&report(), &limits, &insight), []);
    }

    #[test]
    fn a_prefix_is_not_told_beside_the_key_it_grows_by() {
        let grows = |minute: f64| START * (1.0 + 0.003 * minute / 60.0);
        let mut both = insight(history(50 * HOUR, grows));
        both.growing_keys = growing("list", 21 * MIB, history(50 * HOUR, grows)).growing_keys;
        assert_eq!(ids_with(&both), ["key-grows"]);
        both.growing_keys[0].key.bytes = 20 * MIB;
        assert_eq!(ids_with(&both), ["prefix-leak", "key-grows"]);
        both.growing_keys[0].key.bytes = 21 * MIB;
        both.growing_keys[0].key.name = b"other".as_slice().into();
        assert_eq!(ids_with(&both), ["prefix-leak", "key-grows"]);
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
