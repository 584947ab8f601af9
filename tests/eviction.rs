//! Eviction in the whole server: the limit holds under load, every shard gets its share, and only data that must go goes.
//! Never compares hit ratios; `benches/run replay` does.
//! Source: decision 0004 for the rules.

use resp::Reply;
use testkit::{Client, Server};

use crate::fixture::{Dice, bulk, eventually, ok, start, start_ours};
use crate::memory::{int_field, stats};

const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";
const MIB: i64 = 1 << 20;
/// What a shard may pass the limit by beside the value that is being written.
const SLACK_BYTES: i64 = 64 << 10;

fn number(client: &mut Client, field: &str) -> i64 {
    client.info(field).parse().expect("a number")
}

/// Bytes that count against the limit.
fn limited_bytes(client: &mut Client) -> i64 {
    let fields = client.infos(["used_memory", "mem_not_counted_for_evict"]);
    let [used, not_counted] = fields.map(|field| field.parse::<i64>().expect("a number"));
    used - not_counted
}

/// Sets keys `prefix0` to `prefixN` in batches; every one must be taken.
fn fill(client: &mut Client, prefix: &str, keys: usize, bytes: usize) {
    let value = "v".repeat(bytes);
    for start in (0..keys).step_by(1_000) {
        let commands: Vec<Vec<String>> = (start..keys.min(start + 1_000))
            .map(|n| vec!["SET".into(), format!("{prefix}{n}"), value.clone()])
            .collect();
        for reply in client.pipeline(&commands) {
            assert_eq!(reply, ok());
        }
    }
}

fn is_paid(client: &mut Client) -> bool {
    number(client, "current_eviction_exceeded_time") == 0
}

/// By how much the limit is passed once what is owed is paid: no more than is stated, at last. Batches that come home are
/// counted from then on, so a shard may owe for what is kept of them though all was paid.
fn over_when_paid(client: &mut Client, limit: i64, shards: usize) -> i64 {
    let mut over = i64::MAX;
    eventually("what is owed is paid", || {
        over = limited_bytes(client) - limit;
        is_paid(client) && over <= SLACK_BYTES * shards as i64
    });
    over
}

/// A server with its limit so much above what it holds empty.
fn with_room(shards: usize, policy: &str, room_bytes: i64) -> Option<(Server, i64)> {
    let server = start_ours(shards, &["--maxmemory", "0", "--maxmemory-policy", policy])?;
    let mut client = server.client();
    let limit = limited_bytes(&mut client) + room_bytes;
    assert_eq!(client.ask(&format!("CONFIG SET maxmemory {limit}")), ok());
    Some((server, limit))
}

#[test]
fn at_the_limit_writes_go_on_by_default_and_the_limit_holds() {
    for shards in [1, 2, 4] {
        let Some(server) = start_ours(shards, &["--maxmemory", "24mb"]) else {
            return;
        };
        let mut client = server.client();
        assert_eq!(client.info("maxmemory_policy"), "allkeys-ifs");
        fill(&mut client, "key:", 150_000, 300);
        let over = over_when_paid(&mut client, 24 * MIB, shards);
        assert!(over > -2 * MIB, "{over}: the limit is used");
        assert!(number(&mut client, "evicted_keys") > 50_000);
        assert_eq!(client.ask("SET k v"), ok());
        assert_eq!(client.ask("GET k"), bulk("v"));
    }
}

#[test]
fn under_random_load_the_limit_is_not_passed_by_more_than_is_stated_and_the_books_balance() {
    const VALUE_BYTES_MAX: usize = 200_000;
    for shards in [1, 2, 4] {
        let Some((server, limit)) = with_room(shards, "allkeys-lru", 6 * MIB) else {
            return;
        };
        let mut client = server.client();
        let mut witness = server.client_resp3();
        let mut dice = Dice::new(shards as u64);
        for round in 0..60 {
            let commands: Vec<Vec<String>> = (0..300).map(|_| command(&mut dice)).collect();
            for reply in client.pipeline(&commands) {
                assert!(!matches!(&reply, Reply::Error(text) if text.starts_with(b"OOM")));
            }
            let over = limited_bytes(&mut witness) - limit;
            let stats = stats(&mut witness);
            let allowed = VALUE_BYTES_MAX as i64 * 5 / 4 + SLACK_BYTES;
            assert!(
                over <= allowed * shards as i64,
                "{over} bytes over in round {round} of {shards} shards"
            );
            let sum = |name: &str| -> i64 {
                (0..shards as i64)
                    .map(|shard| stats.shard_int(shard, name))
                    .sum()
            };
            for name in ["total.allocated", "dataset.bytes", "keys.count"] {
                assert_eq!(sum(name), stats.int(name), "{name}");
            }
            assert_eq!(
                stats.int("total.allocated"),
                stats.int("dataset.bytes") + stats.int("overhead.total")
            );
        }
        assert!(number(&mut client, "evicted_keys") > 0);
        assert_eq!(client.ask("CONFIG SET maxmemory 0"), ok());
        let usage = usage_of_all(&mut client);
        let stats = stats(&mut client);
        let slots = 8 * stats.int("keys.count");
        assert_eq!(usage, stats.int("dataset.bytes") + slots);
    }
}

fn command(dice: &mut Dice) -> Vec<String> {
    let key = format!("key:{}", dice.roll(20_000));
    let bytes = match dice.roll(200) {
        0 => dice.roll(200_000),
        1..20 => dice.roll(10_000),
        _ => dice.roll(500),
    };
    let value = "x".repeat(bytes);
    match dice.roll(12) {
        0..6 => vec!["SET".into(), key, value],
        6 => vec!["SET".into(), key, value, "EX".into(), "1000000".into()],
        7 => vec!["DEL".into(), key],
        8 => vec!["GETDEL".into(), key],
        9 => vec!["PERSIST".into(), key],
        _ => vec!["GET".into(), key],
    }
}

/// The sum of MEMORY USAGE over all keys.
fn usage_of_all(client: &mut Client) -> i64 {
    let keys = match client.ask("KEYS *") {
        Reply::Array(keys) => keys,
        other => panic!("{other:?}"),
    };
    let mut sum = 0;
    for chunk in keys.chunks(1_000) {
        let commands: Vec<Vec<Vec<u8>>> = chunk
            .iter()
            .map(|key| match key {
                Reply::Bulk(key) => vec![b"MEMORY".to_vec(), b"USAGE".to_vec(), key.clone()],
                other => panic!("{other:?}"),
            })
            .collect();
        for reply in client.pipeline(&commands) {
            match reply {
                Reply::Int(bytes) => sum += bytes,
                other => panic!("{other:?}"),
            }
        }
    }
    sum
}

#[test]
fn one_large_value_among_small_keys_is_taken_and_only_what_must_go_goes() {
    // Where there are several shards the value is smaller than the share of one.
    for (shards, large_bytes) in [(1, 64 << 20), (2, 24 << 20)] {
        // LRU, since ours would soon take the large value for the worst one.
        let Some((server, limit)) = with_room(shards, "allkeys-lru", 100 * MIB) else {
            return;
        };
        let mut client = server.client();
        fill(&mut client, "key:", 260_000, 400);
        let large = "x".repeat(large_bytes);
        assert_eq!(client.command(&["SET", "large", &large]), ok());
        // Writes of others go on while the debt is paid.
        fill(&mut client, "more:", 2_000, 400);
        let over = over_when_paid(&mut client, limit, shards);
        assert_eq!(client.int("STRLEN large"), large_bytes as i64);
        assert!(over > -4 * MIB, "{over}: more went than had to");
    }
}

#[test]
fn one_hash_tag_can_use_the_whole_limit_and_others_get_their_share_back() {
    let Some((server, limit)) = with_room(4, "allkeys-ifs", 32 * MIB) else {
        return;
    };
    let mut client = server.client();
    fill(&mut client, "{one}:", 120_000, 400);
    let alone = stats(&mut client);
    let data = alone.int("dataset.bytes");
    assert!(
        data > 27 * MIB,
        "one shard holds {data} bytes under a limit of {limit}"
    );
    let evicted = number(&mut client, "evicted_keys");
    // Far less than the share of a shard: none of these may be lost.
    fill(&mut client, "few:", 4_000, 400);
    let lost: Vec<i64> = (0..4_000)
        .map(|n| client.int(&format!("EXISTS few:{n}")))
        .filter(|there| *there == 0)
        .collect();
    // Those that share the shard of the tag compete there.
    assert!(lost.len() < 1_500, "{} were lost", lost.len());
    assert!(number(&mut client, "evicted_keys") > evicted);
    let used = limited_bytes(&mut client);
    assert!(used <= limit + 4 * SLACK_BYTES, "{used} of {limit}");
}

#[test]
fn volatile_policies_take_what_expires_and_refuse_when_nothing_does() {
    for policy in [
        "volatile-ifs",
        "volatile-lru",
        "volatile-lfu",
        "volatile-ttl",
    ] {
        for shards in [1, 2] {
            let Some((server, _)) = with_room(shards, policy, 8 * MIB) else {
                return;
            };
            let mut client = server.client();
            fill(&mut client, "stays:", 8_000, 300);
            let value = "v".repeat(300);
            for n in 0..30_000 {
                let key = format!("goes:{n}");
                let reply = client.command(&["SET", &key, &value, "EX", "5000"]);
                assert_eq!(reply, ok(), "{policy}");
            }
            assert!(number(&mut client, "evicted_keys") > 5_000);
            let mut n = 0;
            let text = loop {
                match client.command(&["SET", &format!("more:{n}"), &value]) {
                    Reply::Error(text) => break text,
                    reply => assert_eq!(reply, ok()),
                }
                n += 1;
                assert!(n < 60_000, "it never ends");
            };
            assert_eq!(String::from_utf8_lossy(&text), OOM);
            let there: i64 = (0..8_000)
                .step_by(50)
                .map(|n| client.int(&format!("EXISTS stays:{n}")))
                .sum();
            assert_eq!(there, 8_000 / 50, "{policy}");
        }
    }
}

#[test]
fn buffers_of_clients_evict_nothing() {
    let Some((server, _)) = with_room(2, "allkeys-lru", 32 * MIB) else {
        return;
    };
    let mut client = server.client();
    fill(&mut client, "key:", 40_000, 400);
    let value = "x".repeat(8 << 20);
    assert_eq!(client.command(&["SET", "large", &value]), ok());
    eventually("what is owed is paid", || is_paid(&mut client));
    let keys = client.int("DBSIZE");
    // Replies of 8 MiB that nobody reads, and half a command of 32 MiB.
    let mut gluttons: Vec<Client> = (0..6).map(|_| server.client()).collect();
    for glutton in &mut gluttons {
        glutton.send(b"GET large\r\nGET large\r\nGET large\r\n");
    }
    let mut slow = server.client();
    slow.send(b"*3\r\n$3\r\nSET\r\n$4\r\nslow\r\n$33554432\r\n");
    slow.send(&vec![b'x'; 30 << 20]);
    eventually("buffers are larger than the room for data", || {
        stats(&mut client).int("clients.normal") > 40 * MIB
    });
    for n in 0..100 {
        assert_eq!(client.ask(&format!("SET key:{n} v")), ok());
    }
    let lost = keys - client.int("DBSIZE");
    assert!(lost < 200, "{lost} keys went for buffers");
}

#[test]
fn what_a_client_leaves_behind_when_it_is_closed_evicts_nothing() {
    let Some((server, _)) = with_room(1, "allkeys-lru", 32 * MIB) else {
        return;
    };
    let mut client = server.client();
    fill(&mut client, "key:", 80_000, 400);
    eventually("what is owed is paid", || is_paid(&mut client));
    let evicted = number(&mut client, "evicted_keys");
    assert!(evicted > 0);
    for _ in 0..4 {
        let mut fat = server.client();
        let id = fat.int("CLIENT ID");
        fat.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$33554432\r\n");
        fat.send(&vec![b'x'; 20 << 20]);
        eventually("it holds much", || {
            stats(&mut client).int("clients.normal") > 20 * MIB
        });
        assert_eq!(client.int(&format!("CLIENT KILL ID {id}")), 1);
        eventually("it is gone", || {
            stats(&mut client).int("clients.normal") < MIB
        });
    }
    let lost = number(&mut client, "evicted_keys") - evicted;
    assert!(lost < 100, "{lost} keys went for closed clients");
}

#[test]
fn small_values_after_large_ones_do_not_leave_the_pages_of_those_resident() {
    const LIMIT_BYTES: i64 = 64 * MIB;
    for shards in [1, 2] {
        let Some(server) = start_ours(shards, &["--maxmemory", "64mb"]) else {
            return;
        };
        let empty_bytes = server.resident_bytes() as i64;
        let mut client = server.client();
        fill(&mut client, "large:", 1_500, 100_000);
        let (value, mut most_bytes) = ("v".repeat(1_000), 0);
        for start in (0..40_000).step_by(200) {
            let commands: Vec<Vec<String>> = (start..start + 200)
                .map(|n| vec!["SET".into(), format!("small:{n}"), value.clone()])
                .collect();
            for reply in client.pipeline(&commands) {
                assert_eq!(reply, ok());
            }
            most_bytes = most_bytes.max(server.resident_bytes() as i64 - empty_bytes);
        }
        assert!(number(&mut client, "evicted_keys") > 900);
        assert!(
            most_bytes < LIMIT_BYTES / 4 * 5,
            "{most_bytes} bytes more than empty under a limit of {LIMIT_BYTES}"
        );
    }
}

#[test]
fn a_lowered_limit_is_met_without_a_write() {
    let Some((server, limit)) = with_room(2, "allkeys-ifs", 32 * MIB) else {
        return;
    };
    let mut client = server.client();
    fill(&mut client, "key:", 60_000, 300);
    let lower = limit - 20 * MIB;
    assert_eq!(client.ask(&format!("CONFIG SET maxmemory {lower}")), ok());
    eventually("the new limit is met", || {
        limited_bytes(&mut client) <= lower + 2 * SLACK_BYTES
    });
    let used = limited_bytes(&mut client);
    assert!(used > lower - 2 * MIB, "{used} of {lower}");
    assert!(number(&mut client, "total_eviction_exceeded_time") >= 0);
}

#[test]
fn a_limit_that_cannot_be_met_refuses_writes_and_says_so() {
    let server = start(
        2,
        &["--maxmemory", "0", "--maxmemory-policy", "allkeys-lru"],
    );
    let mut client = server.client();
    assert_eq!(client.ask("SET k v"), ok());
    assert_eq!(client.ask("CONFIG SET maxmemory 1"), ok());
    eventually("nothing is left to evict", || {
        client.int("DBSIZE") == 0 || {
            client.ask("SET other v");
            false
        }
    });
    assert_eq!(client.error("SET k v"), OOM);
    assert_eq!(client.ask("CONFIG SET maxmemory 0"), ok());
    assert_eq!(client.ask("SET k v"), ok());
}

#[test]
fn lfu_keeps_the_keys_that_are_read_often() {
    for shards in [1, 2] {
        let Some((server, _)) = with_room(shards, "allkeys-lfu", 8 * MIB) else {
            return;
        };
        let mut client = server.client();
        fill(&mut client, "hot:", 1_000, 300);
        let reads: Vec<Vec<String>> = (0..1_000)
            .flat_map(|n| std::iter::repeat_n(vec!["GET".to_string(), format!("hot:{n}")], 30))
            .collect();
        reads
            .chunks(3_000)
            .for_each(|chunk| _ = client.pipeline(chunk));
        fill(&mut client, "cold:", 100_000, 300);
        let kept: i64 = (0..1_000)
            .map(|n| client.int(&format!("EXISTS hot:{n}")))
            .sum();
        assert!(kept > 900, "{kept} of 1,000 with {shards} shards");
        assert!(client.int("OBJECT FREQ hot:1") > 5 || client.int("EXISTS hot:1") == 0);
    }
}

#[test]
fn the_client_that_holds_most_is_closed_when_all_hold_too_much() {
    let Some(server) = start_ours(2, &["--maxmemory-clients", "16mb"]) else {
        return;
    };
    let mut client = server.client();
    assert_eq!(
        client.command(&["SET", "large", &"x".repeat(4 << 20)]),
        ok()
    );
    let mut spared = server.client();
    assert_eq!(spared.ask("CLIENT NO-EVICT ON"), ok());
    spared.send(&b"GET large\r\n".repeat(2));
    let mut glutton = server.client();
    glutton.send(&b"GET large\r\n".repeat(2));
    let mut worse = server.client();
    worse.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$33554432\r\n");
    worse.send_until_refused(&vec![b'x'; 32 << 20]);
    eventually("the largest is gone", || {
        number(&mut client, "evicted_clients") >= 1
    });
    assert!(worse.is_closed());
    assert_eq!(spared.reply(), bulk("x".repeat(4 << 20)));
    assert_eq!(client.text("PING"), "PONG");
    let items = stats(&mut client);
    assert!(int_field(&items.0, "clients.normal") < 16 * MIB);
}
