//! Generated commands, answered by the in-process cluster and by a redis-server.

use std::time::{SystemTime, UNIX_EPOCH};

use resp::{Proto, Reply};
use store::Millis;
use testkit::Cluster;
use testkit::generate::{Commands, Random, Words};
use testkit::oracle::{Oracle, answer, compare};

/// Commands for each number of shards.
const COMMANDS: usize = 12_000;
/// Commands after which both change the database that the client has selected.
const SELECT_EVERY: usize = 700;

fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    Millis(since.as_millis() as i64)
}

fn flush(oracle: &mut Oracle) {
    assert_eq!(oracle.run(&["flushall"]), Reply::Simple(b"OK".to_vec()));
}

/// Both sides forget what has ended: a key that SET gave a past time counts in Redis until something looks at it.
fn settle(words: &Words, oracle: &mut Oracle) {
    if let Some(key) = words.get(1) {
        oracle.run(&[b"exists".to_vec(), key.clone()]);
    }
}

#[test]
fn every_generated_command_is_answered_as_redis_answers_it() {
    let Some(mut oracle) = Oracle::start("every_generated_command_is_answered_as_redis_answers_it") else { return };
    let mut differences = Vec::new();
    for (shards, proto) in [(1, Proto::Resp2), (2, Proto::Resp3), (4, Proto::Resp2)] {
        let mut cluster = Cluster::new(shards);
        cluster.set_now(now());
        cluster.speak(proto);
        match proto {
            Proto::Resp2 => {}
            Proto::Resp3 => oracle.speak_resp3(),
        }
        flush(&mut oracle);
        let seed = u64::from(shards) + 100;
        let (mut commands, mut random) = (Commands::new(seed), Random::new(seed));
        for number in 0..COMMANDS {
            if number % SELECT_EVERY == SELECT_EVERY - 1 {
                let db = random.below(3) as u8;
                cluster.select(db);
                oracle.run(&["select".to_owned(), db.to_string()]);
            }
            let words = commands.next_command();
            cluster.connect_to(random.below(u64::from(shards)) as usize);
            let ours = answer(&words, |words| cluster.run(words));
            let theirs = answer(&words, |words| oracle.run(words));
            settle(&words, &mut oracle);
            if let Err(difference) = compare(&words, &ours, &theirs) {
                differences.push(format!("{shards} shards, command {number}: {difference}"));
            }
        }
        cluster.cores().iter().for_each(|core| core.shard.check());
    }
    assert!(
        differences.is_empty(),
        "{} differences, the first of them:\n{}",
        differences.len(),
        differences[..differences.len().min(20)].join("\n")
    );
}

#[test]
fn decimal_sums_are_those_of_redis_to_the_last_digit() {
    let Some(mut oracle) = Oracle::start("decimal_sums_are_those_of_redis_to_the_last_digit") else { return };
    const PAIRS: usize = 5000;
    let mut cluster = Cluster::new(1);
    let mut random = Random::new(7);
    for _ in 0..PAIRS {
        let (value, increment) = (number(&mut random), number(&mut random));
        let set: Words = ["set", "k", &value].map(|word| word.as_bytes().to_vec()).to_vec();
        let add: Words = ["incrbyfloat", "k", &increment].map(|word| word.as_bytes().to_vec()).to_vec();
        assert_eq!(cluster.run(&set), oracle.run(&set));
        assert_eq!(cluster.run(&add), oracle.run(&add), "{value} + {increment}");
    }
}

/// A number in one of the forms that C reads, rarely one that it does not.
fn number(random: &mut Random) -> String {
    let mut digits = |most: u64| {
        let len = 1 + random.below(most);
        (0..len).map(|_| char::from(b'0' + random.below(10) as u8)).collect::<String>()
    };
    let (whole, fraction, long) = (digits(4), digits(20), digits(25));
    let exponent = random.below(60) as i64 - 30;
    let far = random.below(9990) as i64 - 5000;
    let sign = *random.pick(&["", "-", "", "+"]);
    let number = match random.below(8) {
        0 => whole,
        1 => format!("{whole}.{fraction}"),
        2 => format!("0.{fraction}"),
        3 => long,
        4 => format!("{whole}.{fraction}e{exponent}"),
        5 => format!("{long}e{far}"),
        6 => format!("0x{:x}.{:x}p{exponent}", random.next_u64(), random.below(4096)),
        _ => (random.next_u64() as f64 / random.next_u64() as f64).to_string(),
    };
    format!("{sign}{number}")
}
