//! SCAN over the wire: every key that is there throughout is returned, whatever happens meanwhile.
//! Never looks at what a cursor means.
//! Source: the guarantees of Redis' SCAN.

use std::collections::HashSet;

use resp::Reply;
use testkit::Client;

use crate::fixture::{Dice, elements, ok, start, text};

/// One step: the next cursor and the keys.
fn step(client: &mut Client, cursor: &str, options: &str) -> (String, Vec<String>) {
    let mut reply = elements(client.ask(&format!("SCAN {cursor} {options}"))).into_iter();
    let cursor = text(&reply.next().expect("a cursor"));
    // Clients keep cursors in doubles.
    assert!(
        cursor.parse::<u64>().expect("a cursor is a number") < 1 << 53,
        "cursor {cursor}"
    );
    (
        cursor,
        elements(reply.next().expect("keys"))
            .iter()
            .map(text)
            .collect(),
    )
}

/// A whole iteration, with something done between its steps.
fn scan(client: &mut Client, options: &str, mut between: impl FnMut(usize)) -> Vec<String> {
    let (mut cursor, mut keys) = step(client, "0", options);
    let mut steps = 1;
    while cursor != "0" {
        between(steps);
        let (next, more) = step(client, &cursor, options);
        cursor = next;
        keys.extend(more);
        steps += 1;
        assert!(steps < 1_000_000, "the iteration does not end");
    }
    keys
}

fn fill(client: &mut Client, prefix: &str, range: std::ops::Range<usize>) {
    let commands: Vec<Vec<String>> = range
        .map(|n| vec!["SET".into(), format!("{prefix}{n}"), "v".into()])
        .collect();
    client.pipeline(&commands);
}

fn remove(client: &mut Client, prefix: &str, range: std::ops::Range<usize>) {
    let commands: Vec<Vec<String>> = range
        .map(|n| vec!["DEL".into(), format!("{prefix}{n}")])
        .collect();
    client.pipeline(&commands);
}

fn assert_all_there(found: Vec<String>, prefix: &str, count: usize) {
    let found: HashSet<String> = found.into_iter().collect();
    for n in 0..count {
        assert!(
            found.contains(&format!("{prefix}{n}")),
            "{prefix}{n} was not returned"
        );
    }
}

#[test]
fn a_scan_of_a_still_database_returns_every_key_once() {
    for shards in [1, 2, 4] {
        let server = start(shards, &[]);
        let mut client = server.client();
        assert!(scan(&mut client, "", |_| {}).is_empty());
        fill(&mut client, "k", 0..5_000);
        for options in ["", "COUNT 1", "COUNT 77", "COUNT 1000", "COUNT 1000000"] {
            let found = scan(&mut client, options, |_| {});
            assert_eq!(found.len(), 5_000, "{options:?} with {shards} shards");
            assert_all_there(found, "k", 5_000);
        }
    }
}

#[test]
fn a_scan_survives_growth() {
    for shards in [1, 2] {
        let server = start(shards, &[]);
        let (mut client, mut other) = (server.client(), server.client());
        fill(&mut client, "stable", 0..2_000);
        let found = scan(&mut client, "COUNT 40", |step| {
            if step <= 40 {
                fill(&mut other, "new", step * 1_000..(step + 1) * 1_000);
            }
        });
        assert_all_there(found, "stable", 2_000);
    }
}

#[test]
fn a_scan_survives_shrinking() {
    for shards in [1, 2] {
        let server = start(shards, &[]);
        let (mut client, mut other) = (server.client(), server.client());
        fill(&mut client, "stable", 0..1_000);
        fill(&mut client, "old", 0..60_000);
        let found = scan(&mut client, "COUNT 500", |step| {
            if step <= 60 {
                remove(&mut other, "old", (step - 1) * 1_000..step * 1_000);
            }
        });
        assert_all_there(found, "stable", 1_000);
    }
}

#[test]
fn a_scan_survives_random_growth_and_shrinking_and_purging() {
    let server = start(2, &[]);
    let (mut client, mut other) = (server.client(), server.client());
    fill(&mut client, "stable", 0..3_000);
    for seed in 0..3 {
        let mut dice = Dice::new(seed);
        let mut churned = 0;
        let found = scan(&mut client, "COUNT 100", |_| {
            if churned < 60_000 {
                let start = dice.roll(20_000);
                let range = start..start + dice.roll(3_000);
                churned += range.len();
                match dice.roll(5) {
                    0..=2 => fill(&mut other, "churn", range),
                    3 => remove(&mut other, "churn", range),
                    _ => assert_eq!(other.ask("MEMORY PURGE"), ok()),
                }
            }
        });
        assert_all_there(found, "stable", 3_000);
    }
}

#[test]
fn match_and_type_filter_and_still_let_the_cursor_go_on() {
    let server = start(2, &[]);
    let mut client = server.client();
    fill(&mut client, "user:", 0..500);
    fill(&mut client, "item:", 0..2_000);
    let users = scan(&mut client, "MATCH user:* COUNT 50", |_| {});
    assert_eq!(users.len(), 500);
    assert_eq!(
        scan(&mut client, "MATCH user:1? COUNT 50", |_| {}).len(),
        10
    );
    assert_eq!(
        scan(&mut client, "MATCH user:[12]7 TYPE string", |_| {}).len(),
        2
    );
    assert_eq!(
        scan(&mut client, "TYPE string COUNT 100", |_| {}).len(),
        2_500
    );
    assert_eq!(scan(&mut client, "TYPE list COUNT 100", |_| {}).len(), 0);
    assert_eq!(
        scan(&mut client, "MATCH nothing* COUNT 100", |_| {}).len(),
        0
    );
}

#[test]
fn cursors_that_were_never_given_end_or_are_refused() {
    let server = start(2, &[]);
    let mut client = server.client();
    fill(&mut client, "k", 0..1_000);
    for line in ["SCAN x", "SCAN 18446744073709551616", "SCAN 1.5"] {
        assert_eq!(client.error(line), "ERR invalid cursor", "{line}");
    }
    let mut dice = Dice::new(5);
    for _ in 0..200 {
        let cursor = dice.roll(1 << 31) * dice.roll(1 << 22);
        assert!(matches!(
            client.ask(&format!("SCAN {cursor}")),
            Reply::Array(_) | Reply::Error(_)
        ));
    }
    assert!(matches!(
        client.ask("SCAN 18446744073709551615"),
        Reply::Array(_) | Reply::Error(_)
    ));
    assert_eq!(client.error("SCAN 0 COUNT"), "ERR syntax error");
    assert_eq!(
        client.error("SCAN 0 COUNT x"),
        "ERR value is not an integer or out of range"
    );
    assert_eq!(client.error("SCAN 0 NOPE x"), "ERR syntax error");
    assert_eq!(
        client.error("SCAN"),
        "ERR wrong number of arguments for 'scan' command"
    );
}

#[test]
fn a_large_keys_reply_comes_whole_while_others_are_served() {
    let server = start(2, &[]);
    let (mut client, mut other) = (server.client(), server.client());
    fill(&mut client, "k", 0..50_000);
    client.send(b"KEYS *\r\n");
    for n in 0..50 {
        assert_eq!(other.ask(&format!("SET other{n} v")), ok());
    }
    let keys: Vec<String> = elements(client.reply()).iter().map(text).collect();
    assert_all_there(keys, "k", 50_000);
}
