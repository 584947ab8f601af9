//! The figures of MEMORY under random load: they must add up at every moment, to the byte where they can.
//! Never compares a figure with a constant of the implementation, but with other figures.
//! Source: the invariants of memory accounting, as docs/memory.md states them.

use std::sync::atomic::{AtomicBool, Ordering};

use resp::Reply;
use testkit::{Client, Server};

use crate::fixture::{Dice, elements, eventually, ok, start_ours};
use crate::memory::{Stats, field, int_field, pairs, stats};

/// What the bill of overhead may leave unexplained, for each shard.
pub const REMAINDER_BYTES_MAX: i64 = 64 << 10;

/// A key that the load uses.
fn load_key(dice: &mut Dice) -> String {
    match dice.roll(10) {
        0 => format!("{}:{}", "long-key".repeat(10), dice.roll(20)),
        1 => format!("{{tag}}:{}", dice.roll(20)),
        _ => format!("key:{}", dice.roll(200)),
    }
}

/// A value of a size that some entry of the store treats in its own way.
fn load_value(dice: &mut Dice) -> String {
    let size = match dice.roll(20) {
        0 => dice.roll(200_000),
        1 | 2 => dice.roll(20_000),
        3..=8 => dice.roll(600),
        _ => dice.roll(60),
    };
    match dice.roll(5) {
        0 => dice.roll(1 << 40).to_string(),
        _ => "x".repeat(size),
    }
}

fn load_command(dice: &mut Dice) -> Vec<String> {
    let (key, other) = (load_key(dice), load_key(dice));
    let small = dice.roll(1_000).to_string();
    let seconds = (dice.roll(1_000) + 500).to_string();
    let command: Vec<String> = match dice.roll(26) {
        0..=6 => vec!["SET".into(), key, load_value(dice)],
        7 | 8 => vec!["SET".into(), key, load_value(dice), "EX".into(), seconds],
        9 => vec!["SET".into(), key, load_value(dice), "PX".into(), "1".into()],
        10 => vec!["SET".into(), key, load_value(dice), "KEEPTTL".into()],
        11 => vec!["APPEND".into(), key, load_value(dice)],
        12 => vec![
            "SETRANGE".into(),
            key,
            dice.roll(5_000).to_string(),
            load_value(dice),
        ],
        13 => vec!["INCRBY".into(), key, small],
        14 => vec!["DEL".into(), key, other, load_key(dice)],
        15 => vec!["RENAME".into(), key, other],
        16 => vec!["COPY".into(), key, other, "REPLACE".into()],
        17 => vec!["EXPIRE".into(), key, seconds],
        18 => vec!["PERSIST".into(), key],
        19 => vec!["EXPIRE".into(), key, "-1".into()],
        20 => vec!["GETDEL".into(), key],
        21 => vec![
            "MSET".into(),
            key,
            load_value(dice),
            other,
            load_value(dice),
            load_key(dice),
            small,
        ],
        22 => vec!["MSETNX".into(), key, load_value(dice), other, small],
        23 => vec!["MOVE".into(), key, dice.roll(3).to_string()],
        24 => vec!["SELECT".into(), dice.roll(3).to_string()],
        _ => vec!["GETEX".into(), key, "EX".into(), seconds],
    };
    command
}

/// Sends random commands over its own connection, which is closed afterwards.
fn load(server: &Server, seed: u64, commands: usize) {
    let mut dice = Dice::new(seed);
    let mut client = server.client();
    for _ in 0..commands.div_ceil(50) {
        let pipeline: Vec<_> = (0..50).map(|_| load_command(&mut dice)).collect();
        client.pipeline(&pipeline);
    }
}

/// Every key of a database, after those whose time has come were removed.
fn live_keys(client: &mut Client, db: usize) -> Vec<Vec<u8>> {
    assert_eq!(client.ask(&format!("SELECT {db}")), ok());
    let keys = elements(client.ask("KEYS *"));
    keys.into_iter()
        .map(|key| match key {
            Reply::Bulk(key) => key,
            other => panic!("{other:?} is no key"),
        })
        .collect()
}

/// Removes keys that have expired and not yet been collected, by touching all that the load may have used.
fn remove_expired(client: &mut Client) {
    let mut touch = vec!["EXISTS".to_string()];
    touch.extend((0..200).map(|n| format!("key:{n}")));
    touch.extend((0..20).map(|n| format!("{{tag}}:{n}")));
    touch.extend((0..20).map(|n| format!("{}:{n}", "long-key".repeat(10))));
    for db in 0..3 {
        assert_eq!(client.ask(&format!("SELECT {db}")), ok());
        client.command(&touch);
    }
    assert_eq!(client.ask("SELECT 0"), ok());
}

/// Checks what must hold in any report, whatever else is going on.
pub fn assert_report_holds(stats: &Stats, shards: usize) {
    for (name, value) in &stats.0 {
        if let Reply::Int(number) = value {
            let may_be_negative = name == "unaccounted.bytes"
                || name.ends_with("fragmentation.bytes")
                || name.contains("rss");
            assert!(may_be_negative || *number >= 0, "{name} is {number}");
            assert!(number.unsigned_abs() < 1 << 50, "{name} is {number}");
        }
    }
    let int = |name: &str| stats.int(name);
    assert!(int("peak.allocated") >= int("total.allocated"), "{stats:?}");
    assert_eq!(
        int("overhead.total") + int("dataset.bytes"),
        int("total.allocated")
    );
    let beyond_start = int("total.allocated") - int("startup.allocated");
    let per_key = if int("keys.count") == 0 {
        0
    } else {
        beyond_start.max(0) / int("keys.count")
    };
    assert_eq!(int("keys.bytes-per-key"), per_key);
    let percentage = |part: i64, whole: i64| part as f64 * 100.0 / whole as f64;
    assert_near(
        stats.double("peak.percentage"),
        percentage(int("total.allocated"), int("peak.allocated")),
    );
    assert!(stats.double("peak.percentage") <= 100.0);
    if int("dataset.bytes") > 0 && beyond_start > 0 {
        let expected = percentage(int("dataset.bytes"), beyond_start).min(100.0);
        assert_near(stats.double("dataset.percentage").min(100.0), expected);
    }
    let left = remainder(stats);
    assert!(
        left < REMAINDER_BYTES_MAX * shards as i64,
        "{left} of {stats:?}"
    );
    assert_shards_add_up(stats, shards);
}

fn assert_near(figure: f64, expected: f64) {
    assert!(
        (figure - expected).abs() <= 0.011,
        "{figure} instead of {expected}"
    );
}

/// The maps `db.N` among the fields.
fn databases(fields: &[(String, Reply)]) -> impl Iterator<Item = Vec<(String, Reply)>> {
    fields
        .iter()
        .filter(|(name, _)| name.starts_with("db."))
        .map(|(_, db)| pairs(db.clone()))
}

/// Checks that each summed field is the sum of the shards' shares.
fn assert_shards_add_up(stats: &Stats, shards: usize) {
    let shares: Vec<_> = (0..shards).map(|shard| stats.shard(shard as i64)).collect();
    let mut summed = 0;
    for table in ["overhead.hashtable.main", "overhead.hashtable.expires"] {
        let of = |fields: &[(String, Reply)]| {
            databases(fields)
                .map(|db| int_field(&db, table))
                .sum::<i64>()
        };
        assert_eq!(
            shares.iter().map(|share| of(share)).sum::<i64>(),
            of(&stats.0),
            "{table}"
        );
    }
    for (name, _) in &shares[0] {
        if let Some((_, Reply::Int(merged))) = stats.0.iter().find(|(field, _)| field == name) {
            let sum: i64 = shares.iter().map(|share| int_field(share, name)).sum();
            assert_eq!(sum, *merged, "{name} of the shards: {shares:?}");
            summed += 1;
        }
    }
    assert!(
        summed >= 10,
        "shares name too few fields of the report: {shares:?}"
    );
}

#[test]
fn every_report_taken_under_load_holds() {
    for shards in [1, 2, 4] {
        let Some(server) = start_ours(shards, &[]) else {
            return;
        };
        let loading = AtomicBool::new(true);
        std::thread::scope(|scope| {
            let (server, loading) = (&server, &loading);
            let loaders: Vec<_> = (0..2)
                .map(|seed| scope.spawn(move || load(server, seed + 7, 6_000)))
                .collect();
            let watcher = scope.spawn(move || {
                let mut client = server.client_resp3();
                let mut reports = 0;
                while loading.load(Ordering::Acquire) || reports < 20 {
                    let stats = stats(&mut client);
                    assert_report_holds(&stats, shards);
                    assert_unaccounted_is_small(server, &stats);
                    reports += 1;
                }
            });
            let loaded: Vec<_> = loaders.into_iter().map(|loader| loader.join()).collect();
            loading.store(false, Ordering::Release);
            watcher.join().expect("every report holds");
            assert!(loaded.iter().all(Result::is_ok));
        });
    }
}

fn assert_unaccounted_is_small(server: &Server, stats: &Stats) {
    let unaccounted = stats.int("unaccounted.bytes").unsigned_abs();
    let resident = server.resident_bytes();
    assert!(
        unaccounted <= (resident / 20).max(8 << 20),
        "{unaccounted} of {resident} resident bytes are unexplained: {stats:?}"
    );
}

#[test]
fn the_usage_of_all_keys_adds_up_to_the_dataset_to_the_byte() {
    for shards in [1, 2, 4] {
        let Some(server) = start_ours(shards, &[]) else {
            return;
        };
        for round in 0..4 {
            load(&server, 100 + round, 3_000);
            let mut client = server.client_resp3();
            // Keys set to live a millisecond are due by now.
            std::thread::sleep(std::time::Duration::from_millis(3));
            remove_expired(&mut client);
            assert_usage_adds_up(&mut client);
        }
    }
}

fn assert_usage_adds_up(client: &mut Client) {
    let (mut keys, mut expiring, mut usage) = (0, 0, 0);
    let mut costs = None;
    for db in 0..3 {
        for key in live_keys(client, db) {
            let Reply::Int(bytes) = client.command(&[&b"MEMORY"[..], b"USAGE", &key]) else {
                panic!("a live key has no usage")
            };
            usage += bytes;
            keys += 1;
            expiring += i64::from(client.command(&[&b"PTTL"[..], &key]) != Reply::Int(-1));
            if costs.is_none() {
                let bill = pairs(client.command(&[&b"MEMORY"[..], b"EXPLAIN", &key]));
                costs = Some((
                    int_field(&bill, "slot.cost"),
                    int_field(&bill, "expiry.cost"),
                ));
            }
        }
    }
    let (slot_cost, expiry_cost) = costs.expect("the load leaves keys");
    let stats = stats(client);
    assert_eq!(stats.int("keys.count"), keys);
    assert_eq!(
        usage,
        stats.int("dataset.bytes") + keys * slot_cost + expiring * expiry_cost
    );
}

#[test]
fn the_items_of_overhead_add_up_to_it() {
    for shards in [1, 2, 4] {
        let Some(server) = start_ours(shards, &[]) else {
            return;
        };
        for round in 0..3 {
            load(&server, 50 + round, 2_000);
            let stats = stats(&mut server.client_resp3());
            let items = pairs(field(&stats.0, "overhead.items").clone());
            let sum: i64 = items.iter().map(|(name, _)| int_field(&items, name)).sum();
            assert_eq!(sum, stats.int("overhead.total"), "{items:?}");
            assert!(
                remainder(&stats) < REMAINDER_BYTES_MAX * shards as i64,
                "{items:?}"
            );
            let tables: i64 = databases(&stats.0)
                .map(|db| int_field(&db, "overhead.hashtable.main"))
                .sum();
            assert_eq!(int_field(&items, "tables"), tables);
        }
    }
}

/// What `overhead.items` of a report leaves unexplained.
pub fn remainder(stats: &Stats) -> i64 {
    int_field(
        &pairs(field(&stats.0, "overhead.items").clone()),
        "remainder",
    )
}

#[test]
fn large_replies_on_their_way_are_on_an_account() {
    const KEYS: usize = 40_000;
    const REPORTS: usize = 150;
    for shards in [1, 2, 4] {
        let Some(server) = start_ours(shards, &[]) else {
            return;
        };
        let key = |n: usize| format!("a-key-with-a-name-of-its-own:{n}");
        let sets: Vec<_> = (0..KEYS)
            .map(|n| vec!["SET".to_string(), key(n), "value".repeat(n % 50)])
            .collect();
        for pipeline in sets.chunks(1_000) {
            server.client().pipeline(pipeline);
        }
        let many = (0..5_000).map(key).collect::<Vec<_>>().join(" ");
        let members = (0..20_000)
            .map(|n| format!("member:{n}"))
            .collect::<Vec<_>>()
            .join(" ");
        server.client().ask(&format!("SADD here {members}"));
        server.client().ask(&format!("SADD there {members}"));
        let asked = [
            "KEYS *",
            "SCAN 0 COUNT 100000",
            "SUNIONSTORE both here there",
            &format!("MGET {many}"),
        ];
        let asking = AtomicBool::new(true);
        std::thread::scope(|scope| {
            for line in asked {
                let (server, asking) = (&server, &asking);
                scope.spawn(move || {
                    let mut client = server.client();
                    while asking.load(Ordering::Acquire) {
                        client.ask(line);
                    }
                });
            }
            let mut client = server.client_resp3();
            let remainders: Vec<_> = (0..REPORTS)
                .map(|_| remainder(&stats(&mut client)))
                .collect();
            asking.store(false, Ordering::Release);
            let largest = remainders.iter().max().expect("reports were taken");
            assert!(
                *largest < REMAINDER_BYTES_MAX * shards as i64,
                "{remainders:?}"
            );
        });
    }
}

#[test]
fn what_many_idle_connections_cost_is_on_the_account_of_clients() {
    const CONNECTIONS: usize = 2_000;
    let Some(server) = start_ours(1, &[]) else {
        return;
    };
    let held: Vec<_> = (0..CONNECTIONS).map(|_| server.client()).collect();
    let stats = stats(&mut server.client_resp3());
    assert_eq!(
        stats.shard_int(0, "clients.normal"),
        stats.int("clients.normal")
    );
    assert!(stats.int("clients.normal") > 300 * CONNECTIONS as i64);
    assert!(
        remainder(&stats) < REMAINDER_BYTES_MAX,
        "{}",
        remainder(&stats)
    );
    drop(held);
}

#[test]
fn flushing_and_purging_give_everything_back() {
    for shards in [1, 2, 4] {
        let Some(server) = start_ours(shards, &[]) else {
            return;
        };
        let mut client = server.client_resp3();
        // Once before, so that code and threads that run for the first time have what they keep.
        load(&server, 1, 500);
        let before = emptied(&mut client, "FLUSHALL");
        for way in ["FLUSHALL", "FLUSHALL SYNC", "FLUSHALL ASYNC"] {
            load(&server, 2, 5_000);
            assert!(stats(&mut client).int("dataset.bytes") > 0);
            let after = emptied(&mut client, way);
            let (total, stood) = (after.int("total.allocated"), before.int("total.allocated"));
            let slack = (stood / 100).max(REMAINDER_BYTES_MAX * shards as i64);
            assert!(
                (total - stood).abs() <= slack,
                "{total} instead of {stood} bytes after {way} on {shards} shards:\n{:?}\n{:?}",
                field(&before.0, "overhead.items"),
                field(&after.0, "overhead.items")
            );
        }
    }
}

/// Empties a server that only this client still uses, and reports when all is freed.
fn emptied(client: &mut Client, way: &str) -> Stats {
    eventually("the load is gone", || {
        client.info("connected_clients") == "1"
    });
    assert_eq!(client.ask(way), ok());
    let freeing = |client: &mut Client| {
        int_field(
            &pairs(field(&stats(client).0, "overhead.items").clone()),
            "freeing",
        )
    };
    eventually("what was deleted is freed", || freeing(client) == 0);
    assert_eq!(client.ask("MEMORY PURGE"), ok());
    let report = stats(client);
    assert_eq!(report.int("dataset.bytes"), 0, "after {way}");
    assert_eq!(report.int("keys.count"), 0, "after {way}");
    report
}

#[test]
fn purge_gives_sparse_pages_back_to_the_system() {
    const KEYS: usize = 200_000;
    let options = ["--maxmemory", "1gb", "--activedefrag", "no"];
    let Some(server) = start_ours(2, &options) else {
        return;
    };
    let mut client = server.client();
    let empty = server.resident_bytes();
    let value = "v".repeat(200);
    for chunk in (0..KEYS).collect::<Vec<_>>().chunks(10_000) {
        let commands: Vec<Vec<String>> = chunk
            .iter()
            .map(|n| vec!["SET".into(), format!("key:{n}"), value.clone()])
            .collect();
        client.pipeline(&commands);
    }
    let mut dice = Dice::new(80);
    let mut delete: Vec<Vec<String>> = Vec::new();
    for n in 0..KEYS {
        if dice.roll(5) > 0 {
            delete.push(vec!["DEL".into(), format!("key:{n}")]);
        }
    }
    delete
        .chunks(10_000)
        .for_each(|chunk| _ = client.pipeline(chunk));
    let full = server.resident_bytes() - empty;
    assert_eq!(client.ask("MEMORY PURGE"), ok());
    let kept = server.resident_bytes() - empty;
    let stats = stats(&mut client);
    let live = (stats.int("total.allocated") - stats.int("startup.allocated")) as u64;
    // The bound of 1.1 is measured with 5 million keys; here the fixed parts weigh more.
    assert!(
        kept <= live * 5 / 4 + (4 << 20),
        "{kept} of {full} bytes stay for {live} in use"
    );
    assert_eq!(client.int("DBSIZE"), (KEYS - delete.len()) as i64);
}

#[test]
fn an_idle_server_is_small_and_its_databases_have_no_tables() {
    let Some(server) = start_ours(2, &[]) else {
        return;
    };
    let stats = stats(&mut server.client());
    assert!(stats.int("total.allocated") < 5 << 20, "{stats:?}");
    assert_eq!(stats.int("dataset.bytes"), 0);
    assert_eq!(stats.int("keys.bytes-per-key"), 0);
    for (name, tables) in &stats.0 {
        if name.starts_with("db.") {
            let tables = pairs(tables.clone());
            assert_eq!(int_field(&tables, "overhead.hashtable.main"), 0, "{name}");
        }
    }
}

#[test]
fn what_a_command_of_very_many_arguments_took_goes_back_by_itself() {
    for shards in [1, 2] {
        let Some(server) = start_ours(shards, &[]) else {
            return;
        };
        let mut client = server.client();
        let members = (0..200_000).map(|member: i32| member.to_string());
        let mut command = vec!["SADD".to_owned(), "set".to_owned()];
        command.extend(members);
        assert_eq!(client.pipeline(&[command]), [Reply::Int(200_000)]);
        let kept = |client: &mut Client| client.info("mem_mesh").parse::<u64>().expect("a number");
        eventually("the room of its arguments went back", || {
            kept(&mut client) < 200_000
        });
    }
}

#[test]
fn the_figures_of_info_are_those_of_memory_stats() {
    let Some(server) = start_ours(2, &[]) else {
        return;
    };
    let mut client = server.client();
    // What is due stays until somebody asks for it, and nobody does between the two questions.
    assert_eq!(client.ask("DEBUG SET-ACTIVE-EXPIRE 0"), ok());
    load(&server, 9, 1_000);
    let number =
        |client: &mut Client, name: &str| client.info(name).parse::<i64>().expect("a number");
    let stats = stats(&mut client);
    assert_eq!(
        number(&mut client, "used_memory_dataset"),
        stats.int("dataset.bytes")
    );
    assert_eq!(
        number(&mut client, "used_memory_startup"),
        stats.int("startup.allocated")
    );
    let used = number(&mut client, "used_memory");
    assert!(
        (used - stats.int("total.allocated")).abs() < 1 << 20,
        "only buffers differ between two commands"
    );
    assert!(number(&mut client, "used_memory_peak") >= used);
}
