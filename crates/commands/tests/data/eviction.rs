//! Eviction as commands meet it: at the limit writes go on, refusals leave nothing, and every shard gets its share.

use super::SHARDS;
use resp::Reply;
use testkit::Cluster;

const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";

/// What a write may pass the limit by beside its own value, for each shard.
const SLACK_BYTES: i64 = 64 * 1024;

/// A cluster with a policy and room for this many bytes of data more than it holds empty.
fn limited(shards: u16, policy: &str, room_bytes: i64) -> Cluster {
    let mut cluster = Cluster::new(shards);
    let ok = Reply::Simple(b"OK".to_vec());
    assert_eq!(
        cluster.ask(&format!("config set maxmemory-policy {policy}")),
        ok
    );
    // All cores of a test share a thread, whose heap each counts as its own.
    let limit = used_bytes(&cluster) + room_bytes;
    assert_eq!(cluster.ask(&format!("config set maxmemory {limit}")), ok);
    cluster
}

fn used_bytes(cluster: &Cluster) -> i64 {
    cluster
        .cores()
        .iter()
        .map(|core| core.limited_bytes())
        .sum()
}

fn limit_bytes(cluster: &Cluster) -> i64 {
    cluster.cores()[0].config.maxmemory_bytes as i64
}

fn is_ok(reply: &Reply) -> bool {
    *reply == Reply::Simple(b"OK".to_vec())
}

fn is_oom(reply: &Reply) -> bool {
    *reply == Reply::Error(OOM.into())
}

fn evicted_keys(cluster: &Cluster) -> u64 {
    let evicted = |core: &commands::Core| core.shard.evicted_keys();
    cluster.cores().iter().map(evicted).sum()
}

fn exists(cluster: &mut Cluster, key: &str) -> bool {
    cluster.ask(&format!("exists {key}")) == Reply::Int(1)
}

#[test]
fn with_any_policy_for_all_keys_writes_go_on_at_the_limit_and_the_limit_holds() {
    let value = "v".repeat(400);
    for policy in ["ifs", "lru", "lfu", "random"] {
        for shards in SHARDS {
            let mut cluster = limited(shards, &format!("allkeys-{policy}"), 4 << 20);
            let limit = limit_bytes(&cluster);
            for n in 0..30_000 {
                cluster.connect_to(n);
                let key = format!("key:{n}");
                let reply = cluster.run(&["set", &key, &value]);
                assert!(is_ok(&reply), "{reply:?} {policy}, {shards} shards");
                let over = used_bytes(&cluster) - limit;
                let allowed = SLACK_BYTES * i64::from(shards) + 1000;
                assert!(
                    over <= allowed,
                    "{over} bytes over, {policy}, {shards} shards"
                );
            }
            assert!(used_bytes(&cluster) > limit - (1 << 20), "room is used");
            assert!(evicted_keys(&cluster) > 15_000);
            cluster.cores().iter().for_each(|core| core.shard.check());
        }
    }
}

#[test]
fn without_eviction_a_write_is_refused_and_leaves_nothing() {
    for shards in SHARDS {
        let value = "v".repeat(400);
        let mut cluster = limited(shards, "noeviction", 1 << 20);
        let mut taken = 0;
        while is_ok(&cluster.run(&["set", &format!("key:{taken}"), &value])) {
            taken += 1;
        }
        let limit = used_bytes(&cluster) - (100 << 10);
        cluster.ask(&format!("config set maxmemory {limit}"));
        for line in [
            "incr n",
            "hset h f v",
            "mset {a}1 1 {a}2 2",
            "copy key:0 {key:0}copy",
        ] {
            assert!(is_oom(&cluster.ask(line)), "{line}, {shards} shards");
        }
        for key in ["n", "h", "{a}1", "{a}2", "{key:0}copy"] {
            assert!(!exists(&mut cluster, key), "{key}");
        }
        assert_eq!(evicted_keys(&cluster), 0);
        assert_eq!(cluster.ask("del key:0"), Reply::Int(1));
    }
}

#[test]
fn a_volatile_policy_refuses_when_nothing_has_an_expiry_and_spares_what_has_none() {
    let value = "v".repeat(400);
    for policy in ["ifs", "lru", "lfu", "random", "ttl"] {
        for shards in SHARDS {
            let mut cluster = limited(shards, &format!("volatile-{policy}"), 2 << 20);
            let mut stays = 0;
            while stays < 2_000 {
                let reply = cluster.run(&["set", &format!("stays:{stays}"), &value]);
                assert!(is_ok(&reply));
                stays += 1;
            }
            for n in 0..10_000 {
                let key = format!("goes:{n}");
                let reply = cluster.run(&["set", &key, &value, "ex", "1000"]);
                assert!(is_ok(&reply), "{reply:?} {policy}, {shards} shards");
            }
            assert!((0..stays).all(|n| exists(&mut cluster, &format!("stays:{n}"))));
            let mut n = 0;
            while is_ok(&cluster.run(&["set", &format!("more:{n}"), &value])) {
                n += 1;
                assert!(n < 10_000, "it never ends");
            }
            assert!((0..stays).all(|n| exists(&mut cluster, &format!("stays:{n}"))));
            let expiring: usize = cluster
                .cores()
                .iter()
                .map(|core| core.shard.expiring(0))
                .sum();
            assert!(expiring < 400, "{expiring} keys could have gone");
        }
    }
}

#[test]
fn the_key_that_is_written_is_not_evicted_for_itself() {
    for shards in SHARDS {
        let mut cluster = limited(shards, "allkeys-random", 6 << 20);
        let piece = "v".repeat(1_000);
        for n in 0..8_000 {
            assert!(is_ok(&cluster.run(&["set", &format!("key:{n}"), &piece])));
        }
        for n in 1..=500 {
            let reply = cluster.run(&["append", "grows", &piece]);
            assert_eq!(reply, Reply::Int(n * 1_000), "{shards} shards");
        }
    }
}

#[test]
fn all_keys_under_one_hash_tag_use_the_whole_limit_and_give_it_back_to_others() {
    let value = "v".repeat(1_000);
    for shards in [2, 4] {
        let mut cluster = limited(shards, "allkeys-ifs", 8 << 20);
        for n in 0..12_000 {
            assert!(is_ok(&cluster.run(&[
                "set",
                &format!("{{one}}:{n}"),
                &value
            ])));
        }
        let one = cluster.owner("{one}");
        let data = |cluster: &Cluster, shard: usize| cluster.cores()[shard].shard.data_bytes();
        assert!(data(&cluster, one) > 7 << 20, "{}", data(&cluster, one));
        // The others get what they ask for without evicting what is theirs, up to their share.
        let other = (one + 1) % usize::from(shards);
        let before: Vec<u64> = cluster
            .cores()
            .iter()
            .map(|core| core.shard.evicted_keys())
            .collect();
        let mut written = 0;
        for n in 0.. {
            let key = format!("other:{n}");
            if cluster.owner(&key) != other {
                continue;
            }
            assert!(is_ok(&cluster.run(&["set", &key, &value])));
            written += 1;
            if written == 1_500 {
                break;
            }
        }
        let evicted = cluster.cores()[other].shard.evicted_keys() - before[other];
        assert_eq!(evicted, 0, "{shards} shards");
        assert!(cluster.cores()[one].shard.evicted_keys() > before[one]);
    }
}

#[test]
fn one_large_value_goes_in_and_what_it_displaces_goes_in_steps() {
    // Of values on the heap each core of a test would count its own.
    for shards in [1] {
        let large = vec![b'x'; 12 << 20];
        let mut cluster = limited(shards, "allkeys-lru", 20 << 20);
        let value = "v".repeat(150);
        for n in 0..120_000 {
            assert!(is_ok(&cluster.run(&["set", &format!("key:{n}"), &value])));
        }
        let limit = limit_bytes(&cluster);
        assert!(is_ok(&cluster.run(&[&b"set"[..], b"large", &large])));
        let debt = used_bytes(&cluster) - limit;
        assert!(debt > 0 && debt < (12 << 20) + SLACK_BYTES * i64::from(shards));
        // Small writes go on meanwhile, each for its own.
        let mut most = 0;
        for n in 0..1_000 {
            let evicted = evicted_keys(&cluster);
            assert!(is_ok(&cluster.run(&["set", &format!("more:{n}"), &value])));
            most = most.max(evicted_keys(&cluster) - evicted);
        }
        assert!(most <= 256 * 2, "a write evicted {most} keys");
        let mut steps = 0;
        while cluster.cores()[0].is_limit_exceeded() {
            cluster.pay_for_room();
            steps += 1;
            assert!(steps < 2_000);
        }
        assert!(steps > 5, "{steps}");
        let used = used_bytes(&cluster);
        assert!(
            used > limit - (1 << 20),
            "no more went than had to: {used} of {limit}"
        );
        assert_eq!(cluster.ask("strlen large"), Reply::Int(12 << 20));
    }
}

#[test]
fn a_second_large_value_waits_until_the_first_is_paid_for() {
    let large = vec![b'x'; 6 << 20];
    let mut cluster = limited(1, "allkeys-lru", 20 << 20);
    let value = "v".repeat(150);
    for n in 0..120_000 {
        assert!(is_ok(&cluster.run(&["set", &format!("key:{n}"), &value])));
    }
    let limit = limit_bytes(&cluster);
    for key in ["one", "two", "three"] {
        assert!(is_ok(&cluster.run(&[&b"set"[..], key.as_bytes(), &large])));
        let over = used_bytes(&cluster) - limit;
        assert!(over < (6 << 20) + 3 * SLACK_BYTES, "{over}");
    }
}

#[test]
fn a_large_collection_that_is_evicted_is_not_followed_by_more_than_is_needed() {
    let value = "v".repeat(7_000);
    let mut cluster = limited(1, "allkeys-lru", 4 << 20);
    for n in 0..20_000 {
        cluster.ask(&format!("hset hash a-field-of-some-length:{n} {n}"));
    }
    cluster.advance(60_000);
    // The hash is among the candidates where there are few keys beside it.
    let before = used_bytes(&cluster);
    for n in 0..20 {
        assert!(is_ok(&cluster.run(&["set", &format!("key:{n}"), &value])));
    }
    let limit = used_bytes(&cluster) + 1_000;
    assert!(limit - before < 200_000);
    cluster.ask(&format!("config set maxmemory {limit}"));
    for n in 0..10 {
        assert!(is_ok(&cluster.run(&["set", &format!("more:{n}"), &value])));
    }
    assert!(!exists(&mut cluster, "hash"));
    assert_eq!(evicted_keys(&cluster), 1);
    assert_eq!(cluster.ask("dbsize"), Reply::Int(30));
}

#[test]
fn frequency_and_idle_time_are_told_under_the_policies_that_know_them() {
    let mut cluster = Cluster::new(2);
    cluster.ask("set k v");
    let no_frequency = "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note \
                        that when switching between policies at runtime LRU and LFU data will take some time to adjust.";
    let no_idle = "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when \
                   switching between policies at runtime LRU and LFU data will take some time to adjust.";
    assert_eq!(
        cluster.ask("object freq k"),
        Reply::Error(no_frequency.into())
    );
    assert_eq!(cluster.ask("object idletime k"), Reply::Int(0));
    assert!(is_ok(
        &cluster.ask("config set maxmemory-policy allkeys-lfu")
    ));
    assert_eq!(
        cluster.ask("object idletime k"),
        Reply::Error(no_idle.into())
    );
    assert_eq!(cluster.ask("object freq none"), Reply::Null);
    cluster.ask("set fresh v");
    assert_eq!(cluster.ask("object freq fresh"), Reply::Int(5));
    for _ in 0..1_000 {
        cluster.ask("get fresh");
    }
    let Reply::Int(hot) = cluster.ask("object freq fresh") else {
        panic!("a number")
    };
    assert!((12..40).contains(&hot), "{hot}");
}

#[test]
fn restore_takes_over_idle_time_and_frequency() {
    let mut cluster = Cluster::new(1);
    cluster.ask("set k v");
    let Reply::Bulk(payload) = cluster.ask("dump k") else {
        panic!("a payload")
    };
    cluster.advance(10_000_000);
    cluster.ask("get k");
    cluster.ask("set recent v");
    let words: [&[u8]; 6] = [b"restore", b"idle", b"0", &payload, b"idletime", b"5000"];
    assert!(is_ok(&cluster.run(&words)));
    let Reply::Int(idle) = cluster.ask("object idletime idle") else {
        panic!("a number")
    };
    assert!((5_000..=10_000).contains(&idle), "{idle}");
    cluster.ask("config set maxmemory-policy allkeys-lfu");
    let words: [&[u8]; 6] = [b"restore", b"often", b"0", &payload, b"freq", b"77"];
    assert!(is_ok(&cluster.run(&words)));
    assert_eq!(cluster.ask("object freq often"), Reply::Int(77));
}

#[test]
fn restore_takes_an_idle_time_or_a_frequency_and_never_both() {
    let mut cluster = Cluster::new(1);
    let refused = Reply::Error(b"ERR syntax error".to_vec());
    for options in [
        "idletime 5 freq 6",
        "freq 6 idletime 5",
        "freq 6 idletime -1",
    ] {
        let line = format!("restore k 0 payload {options}");
        assert_eq!(cluster.ask(&line), refused, "{line}");
    }
    // The same one twice is taken, so what is refused next is the payload.
    let twice = cluster.ask("restore k 0 payload freq 6 freq 7");
    let text = b"ERR DUMP payload version or checksum are wrong";
    assert_eq!(twice, Reply::Error(text.to_vec()));
}

#[test]
fn evicted_keys_are_counted_and_the_count_can_be_reset() {
    let mut cluster = limited(2, "allkeys-lru", 1 << 20);
    let value = "v".repeat(400);
    for n in 0..5_000 {
        cluster.run(&["set", &format!("key:{n}"), &value]);
    }
    let told = |cluster: &mut Cluster| -> u64 {
        let Reply::Bulk(text) = cluster.ask("info stats") else {
            panic!("a text")
        };
        let text = String::from_utf8(text).unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("evicted_keys:"));
        line.unwrap().parse().unwrap()
    };
    assert_eq!(told(&mut cluster), evicted_keys(&cluster));
    cluster.ask("config resetstat");
    assert_eq!(told(&mut cluster), 0);
}
