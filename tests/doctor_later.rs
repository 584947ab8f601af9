//! MEMORY DOCTOR on a whole server that DEBUG brings into states which take days, or a fault, to come to.
//! Never waits: DEBUG SKIP-MINUTES moves the clock of the histories, and no other.
//! Source: the table of findings in docs/memory.md.

use std::collections::HashMap;

use testkit::{Client, Server};

use crate::doctor::{Finding, assert_silent, findings, found, run, set, start};
use crate::fixture::{eventually, ok};

fn skip(client: &mut Client, minutes: usize) {
    let line = format!("DEBUG SKIP-MINUTES {minutes}");
    assert_eq!(client.ask(&line), ok());
}

/// Writes keys `prefix:from` to `prefix:to` of a kilobyte each.
fn write(client: &mut Client, prefix: &str, numbers: std::ops::Range<usize>) {
    run(client, numbers.map(|n| set(format!("{prefix}:{n}"), 1000)));
}

/// Runs a command on each of these keys.
fn each(client: &mut Client, command: &str, prefix: &str, numbers: std::ops::Range<usize>) {
    let one = |n| {
        let line = command.replace("KEY", &format!("{prefix}:{n}"));
        line.split(' ').map(str::to_owned).collect()
    };
    run(client, numbers.map(one));
}

#[test]
fn a_prefix_that_grows_day_after_day_is_told_until_its_keys_expire() {
    let Some(server) = start(&["--maxmemory", "1gb"]) else {
        return;
    };
    let mut client = server.client();
    write(&mut client, "user", 0..10_000);
    write(&mut client, "log", 0..10_000);
    for hour in 0..50 {
        if hour < 44 {
            assert_silent(&mut client, "prefix-leak");
        }
        let from = 10_000 + hour * 100;
        write(&mut client, "log", from..from + 100);
        // Keys that expire come and go beside it.
        let spread = 2000 + (hour % 24) * 100;
        each(&mut client, "SET KEY value EX 3000", "session", 0..spread);
        each(&mut client, "DEL KEY", "session", spread..5000);
        skip(&mut client, 60);
    }
    let finding = found(&mut client, "prefix-leak");
    assert_eq!(finding.severity, "warning");
    assert_eq!(finding.evidence["keys"], 15_000.0);
    assert_eq!(finding.evidence["keys.without.expiry"], 15_000.0);
    let day_bytes = finding.evidence["growth.per.day"];
    assert!((2.4e6..3e6).contains(&day_bytes), "{day_bytes}");
    // The limit keeps what is written while it fills up: no time is told where any key may go.
    assert!(!finding.evidence.contains_key("time.left"));
    assert_eq!(finding.remedy, "EXPIRE key seconds NX");
    each(&mut client, "EXPIRE KEY 10000 NX", "log", 0..15_000);
    assert_silent(&mut client, "prefix-leak");
}

#[test]
fn a_prefix_that_meets_the_limit_within_hours_is_told_within_one() {
    let Some(server) = start(&["--maxmemory", "80mb", "--maxmemory-policy", "noeviction"]) else {
        return;
    };
    let mut client = server.client();
    write(&mut client, "user", 0..10_000);
    for minute in 0..62 {
        if minute < 55 {
            assert_silent(&mut client, "prefix-leak");
        }
        write(&mut client, "log", minute * 300..(minute + 1) * 300);
        skip(&mut client, 1);
    }
    let finding = found(&mut client, "prefix-leak");
    assert_eq!(finding.severity, "critical");
    let left = finding.evidence["time.left"];
    assert!((3600.0..6.0 * 3600.0).contains(&left), "{left} s");
    client.ask("CONFIG SET maxmemory 1gb");
    assert_silent(&mut client, "prefix-leak");
}

#[test]
fn a_big_key_that_grows_day_after_day_is_told_until_it_is_trimmed() {
    let Some(server) = start(&["--maxmemory", "1gb"]) else {
        return;
    };
    let mut client = server.client();
    write(&mut client, "user", 0..10_000);
    let push = |client: &mut Client, key: &str, count: usize| {
        let one = vec!["RPUSH".to_owned(), key.to_owned(), "x".repeat(1000)];
        run(client, std::iter::repeat_n(one, count));
    };
    push(&mut client, "queue", 2000);
    push(&mut client, "events", 2000);
    for hour in 0..50 {
        if hour < 44 {
            assert_silent(&mut client, "key-grows");
        }
        push(&mut client, "events", 20);
        push(&mut client, "queue", 500);
        client.ask("LTRIM queue -2000 -1");
        skip(&mut client, 60);
    }
    let finding = found(&mut client, "key-grows");
    assert_eq!(finding.severity, "warning");
    assert!(finding.evidence["key.bytes"] > 3e6);
    let day_bytes = finding.evidence["growth.per.day"];
    assert!((4e5..7e5).contains(&day_bytes), "{day_bytes}");
    assert_eq!(finding.remedy, "LTRIM \"events\" -count -1");
    client.ask("LTRIM events -100 -1");
    assert_silent(&mut client, "key-grows");
}

/// What the doctor finds once holes are filled again and what buffers held went back, which takes moments and no help.
fn lasting(client: &mut Client) -> HashMap<String, Finding> {
    let mut found = HashMap::new();
    eventually("what was freed went back", || {
        found = findings(client);
        let moments = ["slab-fragmentation", "heap-slack", "unaccounted"];
        !moments.iter().any(|id| found.contains_key(*id))
    });
    found
}

/// A server with 20,000 keys under `page:` and 15,000 under `archive:`, all a minute old.
fn with_archive(options: &[&str]) -> Option<Server> {
    let server = start(&[&["--maxmemory", "1gb"], options].concat())?;
    let mut client = server.client();
    write(&mut client, "page", 0..20_000);
    write(&mut client, "archive", 0..15_000);
    skip(&mut client, 1);
    Some(server)
}

#[test]
fn bytes_that_nobody_used_for_a_day_are_told_until_somebody_does() {
    let Some(server) = with_archive(&[]) else {
        return;
    };
    let mut client = server.client();
    each(&mut client, "GET KEY", "page", 0..20_000);
    skip(&mut client, 1439);
    assert_silent(&mut client, "cold-bytes");
    skip(&mut client, 1);
    let finding = found(&mut client, "cold-bytes");
    assert_eq!(finding.severity, "note");
    let evidence = &finding.evidence;
    let truth = 15_000.0 * 1040.0;
    let error = (evidence["cold.bytes"] - truth).abs();
    assert!(error < 2.0 * evidence["cold.bytes.error"], "{evidence:?}");
    assert!((1024.0..1030.0).contains(&evidence["sampled.keys"]));
    assert_eq!(finding.remedy, "MEMORY CURVE");
    each(&mut client, "GET KEY", "archive", 0..15_000);
    skip(&mut client, 1);
    assert_silent(&mut client, "cold-bytes");
    skip(&mut client, 1441);
    each(&mut client, "DEL KEY", "archive", 0..15_000);
    each(&mut client, "DEL KEY", "page", 16_000..20_000);
    let evidence = found(&mut client, "cold-bytes").evidence;
    assert!(evidence["percentage"] > 80.0, "{evidence:?}");
}

#[test]
fn a_prefix_that_is_written_and_never_read_is_told_until_it_is_read() {
    let Some(server) = with_archive(&[]) else {
        return;
    };
    let mut client = server.client();
    each(&mut client, "GET KEY", "page", 0..20_000);
    skip(&mut client, 59);
    assert_silent(&mut client, "prefix-never-read");
    skip(&mut client, 1);
    let finding = found(&mut client, "prefix-never-read");
    assert_eq!(finding.severity, "note");
    let evidence = &finding.evidence;
    assert_eq!(evidence["keys"], 15_000.0);
    assert_eq!(evidence["percentage"], 100.0);
    assert!((350.0..550.0).contains(&evidence["sampled.keys"]));
    assert_eq!(lasting(&mut client).len(), 1, "page: is read");
    each(&mut client, "GET KEY", "archive", 0..5_000);
    skip(&mut client, 1);
    assert_silent(&mut client, "prefix-never-read");
}

#[test]
fn under_an_lfu_policy_nothing_is_said_of_what_nobody_uses() {
    let Some(server) = with_archive(&["--maxmemory-policy", "allkeys-lfu"]) else {
        return;
    };
    let mut client = server.client();
    skip(&mut client, 3000);
    assert_eq!(lasting(&mut client).len(), 0);
}

#[test]
fn a_server_with_busy_days_and_quiet_nights_gets_the_all_clear_at_any_hour() {
    let Some(server) = start(&["--maxmemory", "1gb"]) else {
        return;
    };
    let mut client = server.client();
    write(&mut client, "user", 0..20_000);
    each(&mut client, "RPUSH KEY some elements", "queue", 0..1000);
    for hour in 0..75 {
        let wave = (f64::from(hour) / 24.0 * std::f64::consts::TAU).sin();
        let sessions = (10_000.0 + 5_000.0 * wave) as usize;
        each(&mut client, "SET KEY value EX 5000", "session", 0..sessions);
        each(&mut client, "DEL KEY", "session", sessions..16_000);
        let cart = (hour as usize % 6) * 1000;
        write(&mut client, "cart", 0..cart);
        each(&mut client, "DEL KEY", "cart", cart..6_000);
        if hour % 5 == 0 {
            each(&mut client, "GET KEY", "user", 0..20_000);
            each(&mut client, "LLEN KEY", "queue", 0..1000);
            each(&mut client, "GET KEY", "cart", 0..cart);
        }
        skip(&mut client, 60);
        let found = lasting(&mut client);
        assert!(found.is_empty(), "hour {hour}: {found:?}");
    }
}

#[test]
fn memory_on_no_account_is_told_until_it_is_given_back() {
    let Some(server) = start(&["--maxmemory", "1gb"]) else {
        return;
    };
    let mut client = server.client();
    run(
        &mut client,
        (0..100_000).map(|n| set(format!("k:{n}"), 1000)),
    );
    eventually("all is clear", || findings(&mut client).is_empty());
    assert_eq!(client.ask("DEBUG HOLD-MEMORY 16mb"), ok());
    let finding = found(&mut client, "unaccounted");
    assert!(finding.evidence["unaccounted.bytes"] > 12e6);
    assert!(finding.evidence["unaccounted.bytes"] < 32e6);
    assert_silent(&mut client, "process-overhead");

    // So much that the process is what stands out of the resident set.
    assert_eq!(client.ask("DEBUG HOLD-MEMORY 80mb"), ok());
    let evidence = found(&mut client, "process-overhead").evidence;
    assert!(evidence["process"] > 75e6, "{evidence:?}");
    for part in ["slab.slack", "heap.slack", "clients"] {
        assert!(evidence["process"] > evidence[part], "{evidence:?}");
    }
    let rest = evidence["resident"] - evidence["used"];
    let parts = ["slab.slack", "heap.slack", "clients", "process"].map(|part| evidence[part]);
    assert_eq!(rest, parts.iter().sum::<f64>());
    for id in ["slab-fragmentation", "heap-slack", "clients-resident"] {
        assert_silent(&mut client, id);
    }
    assert_eq!(client.ask("DEBUG HOLD-MEMORY 0"), ok());
    assert_silent(&mut client, "process-overhead");
    assert_silent(&mut client, "unaccounted");
}
