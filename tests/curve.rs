//! MEMORY CURVE on a whole server: what it foretells of other sizes, through changes of limit and policy, and what it takes.
//! Never asks for more than a curve can promise; how exact it is, the store's tests and `benches/run curve` say.
//! Source: docs/memory.md; the foretold server is started and asked.

use resp::Reply;
use testkit::{Client, Server};

use crate::fixture::{Dice, bulk, elements, error, eventually, ok, start_ours, text};
use crate::memory::{field, int_field, pairs, stats};

const MIB: i64 = 1 << 20;
const KEYS: usize = 60_000;
const READS_A_BATCH: usize = 200;
const POLICIES: [&str; 9] = [
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-ifs",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
    "allkeys-ifs",
];

type Fields = Vec<(String, Reply)>;

fn curve(client: &mut Client) -> Fields {
    pairs(client.ask("MEMORY CURVE"))
}

fn ratio(fields: &Fields, name: &str) -> f64 {
    number(field(fields, name))
}

fn number(reply: &Reply) -> f64 {
    match reply {
        Reply::Double(number, _) => *number,
        other => text(other).parse().expect("a ratio"),
    }
}

/// Sizes and hit ratios, smallest size first.
fn points(fields: &Fields) -> Vec<(i64, f64)> {
    let point = |point| match &elements(point)[..] {
        [Reply::Int(bytes), ratio, _] => (*bytes, number(ratio)),
        other => panic!("{other:?}"),
    };
    let points = elements(field(fields, "points").clone());
    points.into_iter().map(point).collect()
}

/// Reads keys, low numbers more often, and stores what was missed, as an application does.
fn read_through(client: &mut Client, dice: &mut Dice, reads: usize) {
    for _ in 0..reads / READS_A_BATCH {
        let keys: Vec<String> = (0..READS_A_BATCH)
            .map(|_| {
                let below = 1 + dice.roll(KEYS);
                format!("user:{}", dice.roll(below))
            })
            .collect();
        let gets: Vec<Vec<String>> = keys
            .iter()
            .map(|key| vec!["GET".into(), key.clone()])
            .collect();
        let replies = client.pipeline(&gets);
        let missed = keys
            .iter()
            .zip(replies)
            .filter(|(_, reply)| *reply == Reply::Null);
        let sets: Vec<Vec<String>> = missed
            .map(|(key, _)| {
                let last = usize::from(key.as_bytes()[key.len() - 1]);
                let bytes = 100 << ((key.len() + last) % 3);
                vec![
                    "SET".into(),
                    key.clone(),
                    "v".repeat(bytes),
                    "EX".into(),
                    "10000".into(),
                ]
            })
            .collect();
        assert!(client.pipeline(&sets).iter().all(|reply| *reply == ok()));
    }
}

/// Reads of a server that was warmed by as many, its hit ratio, and its curve of them.
fn served(server: &Server, reads: usize) -> (f64, Fields) {
    let mut client = server.client_resp3();
    let mut dice = Dice::new(7);
    read_through(&mut client, &mut dice, reads);
    assert_eq!(client.ask("CONFIG RESETSTAT"), ok());
    curve(&mut client);
    read_through(&mut client, &mut dice, reads);
    let mut count = |name: &str| client.info(name).parse::<f64>().expect("a number");
    let (hits, misses) = (count("keyspace_hits"), count("keyspace_misses"));
    assert_eq!((hits + misses) as usize, reads);
    (hits / (hits + misses), curve(&mut client))
}

#[test]
fn the_curve_of_skewed_reads_foretells_what_a_server_with_twice_the_limit_does() {
    for shards in [1, 2, 4] {
        let (limit, twice) = (format!("{}mb", 8), format!("{}mb", 16));
        let Some(server) = start_ours(shards, &["--maxmemory", &limit]) else {
            return;
        };
        let (hit_ratio, curve) = served(&server, 120_000);
        assert_eq!(field(&curve, "memory.basis"), &bulk("maxmemory"));
        assert_eq!(int_field(&curve, "memory.bytes"), 8 * MIB);
        assert_eq!(field(&curve, "policy"), &bulk("allkeys-ifs"));
        assert_eq!(int_field(&curve, "references"), 120_000);
        assert!((ratio(&curve, "hit-ratio") - hit_ratio).abs() < 0.001);
        let points = points(&curve);
        assert_eq!((points.len(), points[4].0), (10, 8 * MIB));
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let (half, more) = (
            ratio(&curve, "hit-ratio.0.5x"),
            ratio(&curve, "hit-ratio.2x"),
        );
        assert!(
            half + 0.05 < hit_ratio && hit_ratio + 0.05 < more,
            "{half} {hit_ratio} {more}"
        );
        assert!(ratio(&curve, "hit-ratio.4x") + 0.02 > more);
        let knee = int_field(&curve, "knee.bytes");
        assert!(points.iter().any(|(bytes, _)| *bytes == knee));
        let error = ratio(&curve, "error");
        // Which keys are sampled is the hash's choice, and so is how much it says that it may be off: 0.35 was seen.
        assert!(error < 0.5, "{error}");
        drop(server);
        let Some(larger) = start_ours(shards, &["--maxmemory", &twice]) else {
            return;
        };
        let (came, _) = served(&larger, 120_000);
        let off = (more - came).abs();
        assert!(
            off < error + 0.02,
            "{more} was foretold, with {error}; {came} came"
        );
    }
}

#[test]
fn without_a_limit_the_curve_tells_what_less_memory_would_do() {
    let Some(server) = start_ours(2, &["--maxmemory", "0"]) else {
        return;
    };
    let (hit_ratio, curve) = served(&server, 60_000);
    assert_eq!(field(&curve, "memory.basis"), &bulk("used-memory"));
    let mut client = server.client();
    let used = stats(&mut client).int("total.allocated");
    assert!((int_field(&curve, "memory.bytes") - used).abs() < MIB);
    assert!(ratio(&curve, "hit-ratio.0.5x") < hit_ratio);
    assert!((ratio(&curve, "hit-ratio.4x") - hit_ratio).abs() < 0.001);
}

#[test]
fn every_policy_has_its_curve_and_a_change_begins_a_new_one() {
    let Some(server) = start_ours(2, &["--maxmemory", "8mb"]) else {
        return;
    };
    let mut client = server.client_resp3();
    let mut dice = Dice::new(3);
    read_through(&mut client, &mut dice, 40_000);
    for policy in POLICIES {
        assert_eq!(
            client.ask(&format!("CONFIG SET maxmemory-policy {policy}")),
            ok()
        );
        assert_eq!(
            int_field(&curve(&mut client), "references"),
            0,
            "of {policy}"
        );
        read_through(&mut client, &mut dice, 60_000);
        let curve = curve(&mut client);
        assert_eq!(field(&curve, "policy"), &bulk(policy));
        let points = points(&curve);
        assert_eq!(points.len(), 10, "of {policy}");
        assert!(
            points.windows(2).all(|pair| pair[0].1 <= pair[1].1 + 0.03),
            "{policy}: {points:?}"
        );
        assert!(points[0].1 + 0.05 < points[9].1, "{policy}: {points:?}");
    }
}

#[test]
fn another_limit_has_another_curve_and_after_flushall_it_goes_on() {
    let Some(server) = start_ours(2, &["--maxmemory", "8mb"]) else {
        return;
    };
    let mut client = server.client_resp3();
    let mut dice = Dice::new(4);
    read_through(&mut client, &mut dice, 60_000);
    assert_eq!(client.ask("CONFIG SET maxmemory 6mb"), ok());
    let fresh = curve(&mut client);
    assert_eq!(int_field(&fresh, "memory.bytes"), 6 * MIB);
    assert_eq!(int_field(&fresh, "references"), 0);
    assert_eq!(client.ask("FLUSHALL"), ok());
    eventually("the sample is empty", || {
        int_field(&curve(&mut client), "sampled.keys") == 0
    });
    read_through(&mut client, &mut dice, 60_000);
    assert_eq!(points(&curve(&mut client)).len(), 10);
}

#[test]
fn the_sample_is_on_the_books_and_takes_less_than_a_mebibyte_a_shard() {
    for shards in [1, 2, 4] {
        let Some(server) = start_ours(shards, &["--maxmemory", "0"]) else {
            return;
        };
        let mut client = server.client_resp3();
        read_through(&mut client, &mut Dice::new(5), 60_000);
        let most = shards as i64 * MIB;
        let items = |client: &mut Client| {
            let stats = stats(client);
            let Reply::Map(items) = field(&stats.0, "overhead.items").clone() else {
                panic!("items are a map");
            };
            let items = pairs(Reply::Map(items));
            let remainder = int_field(&items, "remainder");
            assert!(remainder.abs() < shards as i64 * (64 << 10), "{remainder}");
            int_field(&items, "expiry")
        };
        let on = items(&mut client);
        assert_eq!(client.ask("CONFIG SET memory-curve no"), ok());
        let sample = on - items(&mut client);
        assert!((32 << 10..most).contains(&sample), "{sample} bytes");
        let off = "ERR the curve is not drawn while 'memory-curve' is no";
        assert_eq!(client.ask("MEMORY CURVE"), error(off));
    }
}

#[test]
fn help_names_the_curve() {
    let Some(server) = start_ours(1, &[]) else {
        return;
    };
    let lines = elements(server.client().ask("MEMORY HELP"));
    assert!(lines.iter().any(|line| text(line).starts_with("CURVE")));
}
