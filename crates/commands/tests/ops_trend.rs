//! MEMORY TREND and those findings of MEMORY DOCTOR that only time provokes, in clusters whose clock a test drives.
//!
//! The total is that of the process, in which other tests run; bytes of prefixes are each shard's own.

use memory::history::{Span, Trend};
use resp::{Proto, Reply};
use testkit::Cluster;
use testkit::fields::{Fields, field, int, pairs, text};

const SHARDS: [u16; 3] = [1, 2, 4];
const SPANS: [&str; 4] = ["1m", "10m", "1h", "24h"];

fn total(cluster: &mut Cluster) -> Fields {
    pairs(field(&pairs(&cluster.ask("MEMORY TREND")), "total"))
}

fn rows(cluster: &mut Cluster, line: &str) -> Vec<Fields> {
    let reply = pairs(&cluster.ask(line));
    let Reply::Array(rows) = field(&reply, "prefixes") else {
        panic!("prefixes are an array")
    };
    rows.iter().map(pairs).collect()
}

fn row(cluster: &mut Cluster, prefix: &str) -> Fields {
    let rows = rows(cluster, "MEMORY TREND COUNT 1000");
    let found = rows
        .into_iter()
        .find(|row| text(field(row, "prefix")) == prefix);
    found.unwrap_or_else(|| panic!("no row for {prefix}"))
}

fn growth(fields: &Fields, span: &str) -> Fields {
    pairs(field(fields, span))
}

fn dataset_bytes(cluster: &Cluster) -> i64 {
    let cores = cluster.cores().iter();
    let bytes = cores.map(|core| core.shard.accounts().account.bytes());
    bytes.sum::<u64>() as i64
}

/// Writes keys `prefix:from` to `prefix:to`, all of one size.
fn write(cluster: &mut Cluster, prefix: &str, numbers: std::ops::Range<usize>) {
    let value = "v".repeat(1000);
    for number in numbers {
        cluster.run(&["SET", &format!("{prefix}:{number:09}"), &value]);
    }
}

#[test]
fn a_trend_is_a_map_of_the_total_and_an_array_of_prefixes_in_both_protocols() {
    for shards in SHARDS {
        let mut cluster = Cluster::new(shards);
        write(&mut cluster, "a", 0..20);
        for proto in [Proto::Resp2, Proto::Resp3] {
            cluster.speak(proto);
            let reply = cluster.ask("MEMORY TREND");
            assert_eq!(matches!(reply, Reply::Map(_)), proto == Proto::Resp3);
            let names: Vec<String> = total(&mut cluster).into_iter().map(|one| one.0).collect();
            assert_eq!(names, [&["bytes", "maxmemory"], &SPANS[..]].concat());
            let row = row(&mut cluster, "a:");
            let names: Vec<String> = row.iter().map(|one| one.0.clone()).collect();
            assert_eq!(names, [&["prefix", "bytes", "keys"], &SPANS[..]].concat());
            let names: Vec<String> = growth(&row, "1m").into_iter().map(|one| one.0).collect();
            assert_eq!(
                names,
                [
                    "growth.bytes",
                    "covered.seconds",
                    "bytes.per.minute",
                    "seconds.until.maxmemory"
                ]
            );
        }
    }
}

#[test]
fn growth_of_a_prefix_is_told_over_every_span() {
    for shards in SHARDS {
        let mut cluster = Cluster::new(shards);
        cluster.tend();
        write(&mut cluster, "log", 0..100);
        let one = dataset_bytes(&cluster) / 100;
        // A key a minute for two days.
        for minute in 0..2 * 24 * 60 {
            cluster.advance_minutes(1);
            write(&mut cluster, "log", 100 + minute..101 + minute);
        }
        let row = row(&mut cluster, "log:");
        assert_eq!(int(&row, "bytes"), dataset_bytes(&cluster));
        for (span, minutes) in SPANS.iter().zip([1, 10, 60, 24 * 60]) {
            let growth = growth(&row, span);
            // What came after the mark of this minute is growth too.
            assert_eq!(int(&growth, "growth.bytes"), (minutes + 1) * one, "{span}");
            assert_eq!(int(&growth, "covered.seconds"), minutes * 60, "{span}");
            let rate = int(&growth, "bytes.per.minute");
            assert!((rate - one * (minutes + 1) / minutes).abs() <= i64::from(shards));
            assert_eq!(*field(&growth, "seconds.until.maxmemory"), Reply::Null);
        }
    }
}

#[test]
fn what_is_younger_than_a_span_tells_how_long_it_covers() {
    let mut cluster = Cluster::new(2);
    cluster.tend();
    cluster.advance_minutes(3);
    let total = total(&mut cluster);
    for (span, seconds) in SPANS.iter().zip([60, 180, 180, 180]) {
        assert_eq!(int(&growth(&total, span), "covered.seconds"), seconds);
    }
}

#[test]
fn shards_add_up_to_the_trend_of_the_whole() {
    for shards in SHARDS {
        let mut cluster = Cluster::new(shards);
        for minute in 0..200 {
            cluster.advance_minutes(1);
            write(&mut cluster, "a", minute * 7..minute * 8);
            write(&mut cluster, "b", 0..minute % 13);
        }
        let told = total(&mut cluster);
        let slabs = cluster.cores().iter();
        let slab_bytes: u64 = slabs.map(|core| core.shard.slab_used_bytes()).sum();
        let bytes = (memory::heap::process_allocated_bytes() + slab_bytes) as i64;
        // Other tests run in this process.
        assert!((int(&told, "bytes") - bytes).abs() < 64 << 20);
        assert!(int(&growth(&told, "24h"), "growth.bytes") > dataset_bytes(&cluster));
        // Of prefixes nothing else allocates: to the byte.
        for prefix in ["a:", "b:"] {
            let row = row(&mut cluster, prefix);
            let mut sum = Trend::default();
            for core in cluster.cores() {
                let reports = core.shard.prefix_reports(core.steady_now(), None);
                let own = reports.iter().flat_map(|report| &report.prefixes);
                own.filter(|(name, _)| **name == *prefix.as_bytes())
                    .for_each(|(_, row)| sum.merge(&row.trend));
            }
            for (span, name) in Span::ALL.into_iter().zip(SPANS) {
                let growth = growth(&row, name);
                assert_eq!(int(&growth, "growth.bytes"), sum.over(span).bytes);
                assert_eq!(
                    int(&growth, "bytes.per.minute"),
                    sum.over(span).minute_bytes
                );
            }
        }
    }
}

#[test]
fn the_time_until_the_limit_follows_from_what_is_left() {
    let mut cluster = Cluster::new(1);
    cluster.ask("CONFIG SET maxmemory 100mb");
    cluster.tend();
    for minute in 0..30 {
        cluster.advance_minutes(1);
        write(&mut cluster, "a", minute * 100..minute * 100 + 100);
    }
    let row = row(&mut cluster, "a:");
    let growth = growth(&row, "10m");
    let Reply::Int(seconds) = field(&growth, "seconds.until.maxmemory") else {
        panic!("it grows")
    };
    let room = 100 * 1024 * 1024 - cluster.cores()[0].limited_bytes();
    let expected = room * 60 / int(&growth, "bytes.per.minute");
    assert!(
        (seconds - expected).abs() <= expected / 20 + 1,
        "{seconds} {expected}"
    );
    cluster.advance_minutes(3 * 24 * 60);
    let growth = pairs(field(&total(&mut cluster), "1h"));
    assert!(int(&growth, "bytes.per.minute") < 1000);
}

#[test]
fn prefixes_come_the_fastest_first_and_as_many_as_are_asked_for() {
    let mut cluster = Cluster::new(2);
    cluster.tend();
    write(&mut cluster, "large", 0..500);
    cluster.advance_minutes(120);
    write(&mut cluster, "fast", 0..50);
    write(&mut cluster, "slow", 0..5);
    for number in 0..400 {
        cluster.ask(&format!("DEL large:{number:09}"));
    }
    let names = |cluster: &mut Cluster, line: &str| -> Vec<String> {
        let rows = rows(cluster, line);
        rows.iter().map(|row| text(field(row, "prefix"))).collect()
    };
    assert_eq!(
        names(&mut cluster, "MEMORY TREND"),
        ["fast:", "slow:", "large:"]
    );
    assert_eq!(names(&mut cluster, "MEMORY TREND COUNT 1"), ["fast:"]);
    cluster.ask("CONFIG SET memory-prefixes no");
    assert_eq!(names(&mut cluster, "MEMORY TREND"), Vec::<String>::new());
}

#[test]
fn what_makes_no_sense_is_refused_in_redis_words() {
    let mut cluster = Cluster::new(2);
    for (line, error) in [
        ("MEMORY TREND COUNT", "ERR syntax error"),
        ("MEMORY TREND BY bytes", "ERR syntax error"),
        (
            "MEMORY TREND COUNT 0",
            "ERR value is out of range, must be positive",
        ),
        (
            "MEMORY TREND COUNT x",
            "ERR value is not an integer or out of range",
        ),
        (
            "MEMORY DOCTOR text",
            "ERR wrong number of arguments for 'memory|doctor' command",
        ),
        (
            "MEMORY DOCTOR JSON JSON",
            "ERR wrong number of arguments for 'memory|doctor' command",
        ),
    ] {
        assert_eq!(cluster.ask(line), Reply::Error(error.into()), "{line}");
    }
    let Reply::Array(help) = cluster.ask("MEMORY HELP") else {
        panic!("lines")
    };
    let help: Vec<String> = help
        .iter()
        .map(|line| match line {
            Reply::Bulk(text) | Reply::Simple(text) => String::from_utf8_lossy(text).into_owned(),
            other => panic!("{other:?} is no line"),
        })
        .collect();
    for line in ["DOCTOR [JSON]", "TREND [COUNT"] {
        assert!(help.iter().any(|one| one.starts_with(line)), "{help:?}");
    }
}

fn findings(cluster: &mut Cluster) -> String {
    text(&cluster.ask("MEMORY DOCTOR JSON"))
}

/// Days in which a prefix grows by a key every five minutes, and another goes up and down with the hour of the day.
fn live(cluster: &mut Cluster, days: usize, is_leaky: bool, expiry: &[&str]) {
    let value = "v".repeat(4000);
    for five in 0..days * 24 * 12 {
        cluster.advance_minutes(5);
        let hour = five / 12 % 24;
        if is_leaky {
            let key = format!("log:{five:09}");
            cluster.run(&[&["SET", &key, &value], expiry].concat());
        }
        let key = format!("day:{:09}", five % 288);
        if hour < 12 {
            cluster.run(&["SET", &key, &value]);
        } else {
            cluster.run(&["DEL", &format!("day:{:09}", five % 288 - 144)]);
        }
    }
}

#[test]
fn a_prefix_that_grows_for_days_without_expiry_is_found_and_one_with_the_days_ups_and_downs_is_not()
{
    for shards in SHARDS {
        let mut cluster = Cluster::new(shards);
        cluster.tend();
        write(&mut cluster, "log", 0..1500);
        write(&mut cluster, "day", 1_000_000..1_008_000);
        live(&mut cluster, 2, false, &[]);
        assert!(!findings(&mut cluster).contains("prefix-leak"));
        live(&mut cluster, 3, true, &[]);
        let found = findings(&mut cluster);
        assert!(
            found.contains("\"id\":\"prefix-leak\"") && found.contains("\\\"log:\\\""),
            "{shards} shards: {found}"
        );
        assert!(!found.contains("\\\"day:\\\""), "{found}");
        let prose = text(&cluster.ask("MEMORY DOCTOR"));
        assert!(prose.contains("Keys under \"log:\" become more and more"));
    }
}

#[test]
fn a_prefix_that_grows_with_keys_that_expire_is_no_leak() {
    let mut cluster = Cluster::new(2);
    cluster.tend();
    write(&mut cluster, "day", 1_000_000..1_008_000);
    live(&mut cluster, 4, true, &["EX", "100000000"]);
    assert!(!findings(&mut cluster).contains("prefix-leak"));
}

#[test]
fn growth_that_meets_the_limit_within_hours_is_found_within_little_more_than_one() {
    for (policy, is_found) in [("noeviction", true), ("allkeys-ifs", false)] {
        let mut cluster = Cluster::new(2);
        cluster.ask("CONFIG SET maxmemory 200mb");
        cluster.ask(&format!("CONFIG SET maxmemory-policy {policy}"));
        cluster.tend();
        for minute in 0..70 {
            cluster.advance_minutes(1);
            write(&mut cluster, "log", minute * 500..minute * 500 + 500);
        }
        let found = findings(&mut cluster);
        assert_eq!(found.contains("prefix-leak"), is_found, "{policy}: {found}");
        assert_eq!(found.contains("time.left"), is_found, "{policy}: {found}");
    }
}

#[test]
fn books_agree_whatever_time_passes_and_their_memory_is_accounted_for() {
    let mut cluster = Cluster::new(2);
    for round in 0..50 {
        cluster.advance_minutes(1 + round % 7);
        write(&mut cluster, &format!("p{round}x"), 0..20);
        if round % 10 == 9 {
            cluster.ask("FLUSHALL");
        }
        cluster.cores().iter().for_each(|core| core.shard.check());
    }
    write(&mut cluster, "a", 0..1);
    cluster.advance_minutes(1);
    let bookkeeping = |cluster: &Cluster| {
        let cores = cluster.cores().iter();
        let bytes = cores.map(|core| core.shard.accounts().bookkeeping_bytes);
        bytes.sum::<u64>()
    };
    let before = bookkeeping(&cluster);
    for prefix in 0..100 {
        write(&mut cluster, &format!("q{prefix}x"), 0..20);
    }
    cluster.advance_minutes(1);
    let after = bookkeeping(&cluster);
    assert!(after - before > 100 * 450, "{before} {after}");
    cluster.advance_minutes(3000);
    let later = bookkeeping(&cluster);
    // Two days of keys that are followed, of each shard; the first were drawn when there were fewer.
    let followed_bytes = 2 * 2 * 20 * store::PANEL_KEYS as u64;
    assert!(later - after <= followed_bytes, "{after} {later}");
    cluster.advance_minutes(1500);
    assert_eq!(bookkeeping(&cluster), later, "time takes no memory");
}
