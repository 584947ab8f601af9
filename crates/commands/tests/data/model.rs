//! Random loads against a map that anyone can check by reading.

use std::collections::HashMap;

use super::SHARDS;
use resp::Reply;
use testkit::Cluster;
use testkit::generate::Random;

/// What one database should hold: values and when they end.
#[derive(Default)]
struct Model {
    keys: HashMap<String, (String, Option<i64>)>,
    now: i64,
}

impl Model {
    fn advance(&mut self, ms: i64) {
        self.now += ms;
        let now = self.now;
        self.keys
            .retain(|_, (_, ends)| ends.is_none_or(|ends| now <= ends));
    }

    fn get(&self, key: &str) -> Reply {
        self.keys.get(key).map_or(Reply::Null, |(value, _)| {
            Reply::Bulk(value.clone().into_bytes())
        })
    }

    fn has(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    fn put(&mut self, key: &str, value: &str, ends: Option<i64>) {
        self.keys.insert(key.to_owned(), (value.to_owned(), ends));
    }
}

fn ok() -> Reply {
    Reply::Simple(b"OK".to_vec())
}

fn int(number: usize) -> Reply {
    Reply::Int(number as i64)
}

fn value(random: &mut Random) -> String {
    match random.below(4) {
        0 => random.below(1_000_000).to_string(),
        1 => "x".repeat(random.below(300) as usize),
        2 if random.one_in(20) => "y".repeat(8000 + random.below(20_000) as usize),
        _ => format!("value-{}", random.below(100)),
    }
}

/// One random command: its words, and the reply that the model expects.
fn step(model: &mut Model, random: &mut Random) -> (Vec<String>, Reply) {
    let key = |random: &mut Random| format!("key:{}", random.below(60));
    let (a, b, c) = (key(random), key(random), key(random));
    let text = value(random);
    let words = |words: &[&str]| {
        words
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    match random.below(13) {
        0 | 1 => {
            model.put(&a, &text, None);
            (words(&["set", &a, &text]), ok())
        }
        2 => {
            let ms = 1 + random.below(5000) as i64;
            model.put(&a, &text, Some(model.now + ms));
            (words(&["set", &a, &text, "px", &ms.to_string()]), ok())
        }
        3 => (words(&["get", &a]), model.get(&a)),
        4 => (
            words(&["mget", &a, &b, &c]),
            Reply::Array([&a, &b, &c].map(|key| model.get(key)).to_vec()),
        ),
        5 => {
            model.put(&a, &text, None);
            model.put(&b, "2", None);
            model.put(&c, "3", None);
            (words(&["mset", &a, &text, &b, "2", &c, "3"]), ok())
        }
        6 => {
            let sets = ![&a, &b, &c].iter().any(|key| model.has(key));
            if sets {
                model.put(&a, &text, None);
                model.put(&b, &text, None);
                model.put(&c, &text, None);
            }
            (
                words(&["msetnx", &a, &text, &b, &text, &c, &text]),
                int(usize::from(sets)),
            )
        }
        7 => {
            let removed = [&a, &b]
                .iter()
                .filter(|key| model.keys.remove(key.as_str()).is_some())
                .count();
            (words(&["del", &a, &b]), int(removed))
        }
        8 => (
            words(&["exists", &a, &b, &c]),
            int([&a, &b, &c].iter().filter(|key| model.has(key)).count()),
        ),
        9 => {
            let (mut text_before, ends) = model.keys.get(&a).cloned().unwrap_or_default();
            text_before.push_str(&text);
            model.put(&a, &text_before, ends);
            (words(&["append", &a, &text]), int(text_before.len()))
        }
        10 => {
            let ends = model.keys.get(&a).map(|(_, ends)| *ends);
            let left = match ends {
                None => -2,
                Some(None) => -1,
                Some(Some(ends)) => ends - model.now,
            };
            (words(&["pttl", &a]), Reply::Int(left))
        }
        _ => move_step(model, random, &a, &b),
    }
}

/// RENAME, RENAMENX or COPY, and what becomes of the model.
fn move_step(model: &mut Model, random: &mut Random, a: &str, b: &str) -> (Vec<String>, Reply) {
    let words = |name: &str| vec![name.to_owned(), a.to_owned(), b.to_owned()];
    let missing = Reply::Error(b"ERR no such key".to_vec());
    let (source, target_lives) = (model.keys.get(a).cloned(), model.has(b));
    match (random.below(3), source) {
        (0, None) => (words("rename"), missing),
        (0, Some(source)) => {
            model.keys.remove(a);
            model.keys.insert(b.to_owned(), source);
            (words("rename"), ok())
        }
        (1, None) => (words("renamenx"), missing),
        (1, Some(_)) if target_lives => (words("renamenx"), int(0)),
        (1, Some(source)) => {
            model.keys.remove(a);
            model.keys.insert(b.to_owned(), source);
            (words("renamenx"), int(1))
        }
        (_, _) if a == b => (
            words("copy"),
            Reply::Error(b"ERR source and destination objects are the same".to_vec()),
        ),
        (_, None) => (words("copy"), int(0)),
        (_, Some(_)) if target_lives => (words("copy"), int(0)),
        (_, Some(source)) => {
            model.keys.insert(b.to_owned(), source);
            (words("copy"), int(1))
        }
    }
}

#[test]
fn a_cluster_of_any_size_does_what_one_map_does() {
    const STEPS: usize = 8000;
    for shards in SHARDS {
        let mut random = Random::new(u64::from(shards));
        let mut cluster = Cluster::new(shards);
        let mut model = Model {
            now: cluster.now().0,
            ..Model::default()
        };
        for number in 0..STEPS {
            let (words, expected) = step(&mut model, &mut random);
            cluster.connect_to(random.below(u64::from(shards)) as usize);
            let reply = cluster.run(&words);
            assert_eq!(reply, expected, "{shards} shards, step {number}: {words:?}");
            if random.one_in(10) {
                let ms = random.below(400) as i64;
                model.advance(ms);
                cluster.advance(ms);
            }
            if random.one_in(500) {
                check(&mut cluster, &model);
            }
        }
        check(&mut cluster, &model);
    }
}

/// The books balance, the background finds what has ended, and every key is where it belongs.
fn check(cluster: &mut Cluster, model: &Model) {
    let now = cluster.now();
    for core in cluster.cores_mut() {
        while core.shard.expire_step(now, 1000).more {}
        core.shard.check();
    }
    assert_eq!(cluster.ask("dbsize"), int(model.keys.len()));
    let expiring: usize = cluster
        .cores()
        .iter()
        .map(|core| core.shard.expiring(0))
        .sum();
    assert_eq!(
        expiring,
        model
            .keys
            .values()
            .filter(|(_, ends)| ends.is_some())
            .count()
    );
    for key in model.keys.keys() {
        assert_eq!(cluster.run(&["get", key]), model.get(key), "{key}");
    }
}
