//! HyperLogLogs: what a user sees, values byte for byte as redis-server writes them, and strange strings.

use crate::{Pair, script, words};
use resp::Reply;
use testkit::Cluster;
use testkit::generate::{Random, Words};

#[test]
fn distinct_elements_are_counted_once() {
    script(
        &mut Cluster::new(2),
        r#"
        pfadd k a b c => 1
        pfadd k a b => 0
        pfadd k d => 1
        pfcount k => 4
        pfcount k => 4
        pfcount nok => 0
        pfadd empty => 1
        pfadd empty => 0
        pfcount empty => 0
        type k => string
        object encoding k => "raw"
        pfselftest => OK
        "#,
    );
}

#[test]
fn several_sketches_count_and_merge_as_one() {
    script(
        &mut Cluster::new(4),
        r#"
        pfadd a 1 2 3 => 1
        pfadd b 3 4 5 => 1
        pfcount a b nok => 5
        pfmerge d a b nok => OK
        pfcount d => 5
        expire a 100 => 1
        pfmerge a b => OK
        ttl a => 100
        pfcount a => 5
        pfmerge e => OK
        pfcount e => 0
        pfdebug todense b => 1
        pfmerge e a b => OK
        pfdebug encoding e => dense
        pfcount e => 5
        "#,
    );
}

#[test]
fn what_is_no_sketch_is_refused() {
    script(
        &mut Cluster::new(2),
        r#"
        set s HYLL => OK
        set n 12 => OK
        pfadd s a => (WRONGTYPE Key is not a valid HyperLogLog string value.)
        pfcount n => (WRONGTYPE Key is not a valid HyperLogLog string value.)
        pfmerge s => (WRONGTYPE Key is not a valid HyperLogLog string value.)
        pfdebug encoding s => (WRONGTYPE Key is not a valid HyperLogLog string value.)
        pfdebug getreg nok => (ERR The specified key does not exist)
        pfadd k a => 1
        pfdebug nosuch k => (ERR Unknown PFDEBUG subcommand 'nosuch')
        pfdebug decode k => "Z:12711 v:2,1 Z:3672"
        setrange k 16 x => 21
        append k y => 22
        pfcount k => (INVALIDOBJ Corrupted HLL object detected)
        pfdebug todense k => (INVALIDOBJ Corrupted HLL object detected)
        "#,
    );
}

fn add(random: &mut Random, key: &str, count: u64, range: u64) -> Words {
    let mut command = words(&format!("pfadd {key}"));
    command.extend((0..count).map(|_| random.below(range).to_string().into_bytes()));
    command
}

/// Commands on the keys given, with the string itself after many of them.
fn next_command(random: &mut Random, keys: &[&str]) -> Words {
    let [key, other, third] = [(); 3].map(|()| *random.pick(keys));
    let line = match random.below(24) {
        0..8 => {
            let (count, range) = (
                1 + random.below(5),
                [30, 1000, 1 << 40][random.below(3) as usize],
            );
            return add(random, key, count, range);
        }
        8 => {
            let count = random.below(120);
            return add(random, key, count, 1 << 50);
        }
        9..13 => format!("pfcount {key}"),
        13 => format!("pfcount {key} {other} {third}"),
        14 => format!("pfmerge {key} {other} {third}"),
        15 => format!("pfmerge {key} {other}"),
        16 => format!("pfdebug decode {key}"),
        17 => format!("pfdebug encoding {key}"),
        18 if random.one_in(12) => format!("pfdebug todense {key}"),
        19 if random.one_in(12) => format!("pfdebug getreg {key}"),
        20 if random.one_in(3) => format!("del {key}"),
        21 if random.one_in(30) => {
            let bytes = ["3000", "0", "20", "200", "12000", "5mb"];
            format!("config set hll-sparse-max-bytes {}", random.pick(&bytes))
        }
        22 => format!("object encoding {key}"),
        _ => format!("get {key}"),
    };
    words(&line)
}

#[test]
fn values_are_byte_for_byte_those_of_redis() {
    const COMMANDS: usize = 8000;
    for (shards, seed) in [(1, 1), (2, 2), (4, 3)] {
        let Some(mut pair) = Pair::start("values_are_byte_for_byte_those_of_redis", shards) else {
            return;
        };
        let mut random = Random::new(seed);
        let keys = ["1", "2", "3", "{2}4"];
        for _ in 0..COMMANDS {
            pair.cluster
                .connect_to(random.below(u64::from(shards)) as usize);
            pair.ask(&next_command(&mut random, &keys));
            let get = words(&format!("get {}", random.pick(&keys)));
            pair.ask(&get);
        }
        pair.finish();
    }
}

#[test]
fn a_million_elements_are_estimated_as_redis_estimates_them() {
    let test = "a_million_elements_are_estimated_as_redis_estimates_them";
    let Some(mut pair) = Pair::start(test, 1) else {
        return;
    };
    let mut random = Random::new(9);
    for round in 0..500 {
        pair.ask(&add(&mut random, "k", 2000, u64::MAX));
        if round % 10 == 0 {
            pair.ask(&words("pfcount k"));
        }
    }
    pair.ask(&words("get k"));
    pair.finish();
}

/// A sketch with some of its bytes changed.
fn mutated(random: &mut Random, sketch: &[u8]) -> Vec<u8> {
    let mut bytes = sketch.to_vec();
    for _ in 0..1 + random.below(3) {
        let len = bytes.len() as u64;
        let reach = if random.one_in(3) { len.min(20) } else { len };
        let at = random.below(reach) as usize;
        match random.below(4) {
            0 if at > 0 => bytes.truncate(at),
            1 => bytes.insert(at, random.next_u64() as u8),
            _ => bytes[at] = random.next_u64() as u8,
        }
    }
    bytes
}

#[test]
fn strange_strings_are_refused_as_redis_refuses_them() {
    let Some(mut pair) = Pair::start("strange_strings_are_refused_as_redis_refuses_them", 2) else {
        return;
    };
    let mut random = Random::new(4);
    let mut sketches = Vec::new();
    for (key, count) in [("a", 1), ("b", 40), ("c", 700), ("d", 3000)] {
        pair.ask(&add(&mut random, key, count, 1 << 40));
        let Reply::Bulk(sketch) = pair.ask(&words(&format!("get {key}"))) else {
            panic!("a sketch is a string")
        };
        sketches.push(sketch);
    }
    for _ in 0..4000 {
        let sketch = random.pick(&sketches[..]).clone();
        let bytes = mutated(&mut random, &sketch);
        pair.ask(&vec![b"set".to_vec(), b"x".to_vec(), bytes]);
        // Redis adds to a corrupt sketch without noticing, and may fail an assertion of its own; it is only asked to read.
        for line in [
            "pfcount x",
            "pfcount x a",
            "pfmerge y x",
            "pfdebug encoding x",
        ] {
            pair.ask(&words(line));
        }
        let _ = pair.cluster.run(&words("pfadd x 1 2 3 4 5"));
        let _ = pair.cluster.run(&words("pfdebug decode x"));
        let _ = pair.cluster.run(&words("pfdebug getreg x"));
    }
    pair.finish();
}
