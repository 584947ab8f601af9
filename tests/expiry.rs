//! Keys that expire: gone from every answer the moment they are due, and from memory soon after.
//! Never waits for a time to pass exactly; a sleep is only ever a lower bound.
//! Source: redis-server 7.0.15 for every answer.

use std::time::Duration;

use resp::Reply;
use testkit::Client;

use crate::fixture::{elements, eventually, ok, start};

/// Sets a key that is due when this returns, in a server that does not collect.
fn set_due(client: &mut Client, key: &str) {
    assert_eq!(client.command(&["SET", key, "v", "PX", "1"]), ok());
    std::thread::sleep(Duration::from_millis(2));
}

#[test]
fn an_expired_key_is_in_no_answer() {
    let server = start(2, &[]);
    let mut client = server.client();
    assert_eq!(client.ask("DEBUG SET-ACTIVE-EXPIRE 0"), ok());
    let nil_array = Reply::Array(vec![Reply::Null]);
    for (line, expected) in [
        ("GET k", Reply::Null),
        ("MGET k", nil_array),
        ("EXISTS k", Reply::Int(0)),
        ("TOUCH k", Reply::Int(0)),
        ("DEL k", Reply::Int(0)),
        ("UNLINK k", Reply::Int(0)),
        ("TTL k", Reply::Int(-2)),
        ("PTTL k", Reply::Int(-2)),
        ("EXPIRETIME k", Reply::Int(-2)),
        ("PERSIST k", Reply::Int(0)),
        ("EXPIRE k 100", Reply::Int(0)),
        ("STRLEN k", Reply::Int(0)),
        ("GETRANGE k 0 -1", Reply::Bulk(Vec::new())),
        ("GETDEL k", Reply::Null),
        ("GETEX k", Reply::Null),
        ("OBJECT ENCODING k", Reply::Null),
        ("COPY k other", Reply::Int(0)),
        ("MOVE k 1", Reply::Int(0)),
        ("TYPE k", Reply::Simple(b"none".to_vec())),
        ("RENAME k other", Reply::Error(b"ERR no such key".to_vec())),
        ("KEYS *", Reply::Array(Vec::new())),
        ("RANDOMKEY", Reply::Null),
        ("SET k v XX", Reply::Null),
        ("SET k v GET", Reply::Null),
        ("SETNX k v", Reply::Int(1)),
        ("MSETNX k v", Reply::Int(1)),
        ("INCR k", Reply::Int(1)),
        ("APPEND k x", Reply::Int(1)),
        ("SETRANGE k 1 x", Reply::Int(2)),
    ] {
        set_due(&mut client, "k");
        assert_eq!(client.ask(line), expected, "{line}");
        client.ask("DEL k");
    }
}

#[test]
fn expired_keys_are_collected_without_being_touched() {
    for shards in [1, 4] {
        let server = start(shards, &[]);
        let mut client = server.client();
        let commands: Vec<Vec<String>> = (0..20_000)
            .map(|n| match n % 10 {
                0 => vec!["SET".into(), format!("stays{n}"), "v".into()],
                1 => vec![
                    "SET".into(),
                    format!("later{n}"),
                    "v".into(),
                    "EX".into(),
                    "1000".into(),
                ],
                _ => vec![
                    "SET".into(),
                    format!("goes{n}"),
                    "v".into(),
                    "PX".into(),
                    (n % 300 + 1).to_string(),
                ],
            })
            .collect();
        client.pipeline(&commands);
        eventually("only keys that live are counted", || {
            client.int("DBSIZE") == 4_000
        });
        assert!(
            client
                .info("expired_keys")
                .parse::<u64>()
                .expect("a number")
                >= 16_000
        );
        assert_eq!(client.info("db0").split(',').next(), Some("keys=4000"));
    }
}

#[test]
fn times_to_live_count_down_from_what_was_set() {
    let server = start(2, &[]);
    let mut client = server.client();
    assert_eq!(client.ask("SET k v EX 100"), ok());
    assert!((1..=100).contains(&client.int("TTL k")));
    assert!((1..=100_000).contains(&client.int("PTTL k")));
    assert_eq!(client.int("EXPIREAT k 33177117420"), 1);
    assert_eq!(client.int("EXPIRETIME k"), 33_177_117_420);
    assert_eq!(client.int("PEXPIRETIME k"), 33_177_117_420_000);
    assert_eq!(client.int("PEXPIREAT k 33177117420123 LT"), 0);
    assert_eq!(client.int("PEXPIREAT k 33177117420123 GT"), 1);
    assert_eq!(client.int("PEXPIRETIME k"), 33_177_117_420_123);
    assert_eq!(client.int("EXPIRE k 10 NX"), 0);
    assert_eq!(client.int("EXPIRE k 10 XX"), 1);
    assert_eq!(client.int("PERSIST k"), 1);
    assert_eq!(client.int("PERSIST k"), 0);
    assert_eq!(client.int("TTL k"), -1);
    assert_eq!(client.int("EXPIRE k 10 XX"), 0);
    assert_eq!(
        client.int("EXPIRE k 10 GT"),
        0,
        "no expiry counts as forever"
    );
    assert_eq!(client.int("EXPIRE k 10 LT"), 1);
    assert_eq!(
        client.error("EXPIRE k 10 NX XX"),
        "ERR NX and XX, GT or LT options at the same time are not compatible"
    );
    assert_eq!(
        client.error("EXPIRE k 10 nope"),
        "ERR Unsupported option nope"
    );
}

#[test]
fn a_time_in_the_past_deletes_at_once() {
    let server = start(2, &[]);
    let mut client = server.client();
    for line in [
        "EXPIRE k 0",
        "EXPIRE k -1",
        "PEXPIREAT k 1",
        "EXPIREAT k 1",
        "PEXPIRE k -1000000",
    ] {
        assert_eq!(client.ask("SET k v"), ok());
        assert_eq!(client.int(line), 1, "{line}");
        assert_eq!(client.int("DBSIZE"), 0, "{line}");
    }
    assert_eq!(client.ask("SET k v"), ok());
    assert_eq!(client.ask("GETEX k EXAT 1"), Reply::Bulk(b"v".to_vec()));
    assert_eq!(client.int("EXISTS k"), 0);
}

#[test]
fn overwriting_clears_an_expiry_and_changing_keeps_it() {
    let server = start(2, &[]);
    let mut client = server.client();
    for (line, keeps) in [
        ("SET k 1", false),
        ("GETSET k 1", false),
        ("MSET k 1", false),
        ("SET k 1 KEEPTTL", true),
        ("APPEND k 1", true),
        ("INCR k", true),
        ("INCRBYFLOAT k 1", true),
        ("SETRANGE k 0 1", true),
        ("GETEX k", true),
        ("GETEX k PERSIST", false),
    ] {
        assert_eq!(client.ask("SET k 5 EX 1000"), ok());
        client.ask(line);
        assert_eq!(client.int("TTL k") > 0, keeps, "{line}");
    }
}

#[test]
fn scan_returns_no_expired_key() {
    let server = start(2, &[]);
    let mut client = server.client();
    assert_eq!(client.ask("DEBUG SET-ACTIVE-EXPIRE 0"), ok());
    let commands: Vec<Vec<String>> = (0..1_000)
        .map(|n| match n % 2 {
            0 => vec!["SET".into(), format!("stays{n}"), "v".into()],
            _ => vec![
                "SET".into(),
                format!("goes{n}"),
                "v".into(),
                "PX".into(),
                "1".into(),
            ],
        })
        .collect();
    client.pipeline(&commands);
    std::thread::sleep(Duration::from_millis(2));
    let mut cursor = "0".to_string();
    let mut found = 0;
    loop {
        let mut reply = elements(client.ask(&format!("SCAN {cursor} COUNT 100"))).into_iter();
        cursor = crate::fixture::text(&reply.next().expect("a cursor"));
        for key in elements(reply.next().expect("keys")) {
            assert!(crate::fixture::text(&key).starts_with("stays"), "{key:?}");
            found += 1;
        }
        if cursor == "0" {
            break;
        }
    }
    assert!(found >= 500);
}
