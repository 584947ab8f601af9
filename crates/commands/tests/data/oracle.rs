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

pub fn now() -> Millis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970");
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
    let Some(mut oracle) = Oracle::start("every_generated_command_is_answered_as_redis_answers_it")
    else {
        return;
    };
    let mut differences = Vec::new();
    for (shards, proto) in [(1, Proto::Resp2), (2, Proto::Resp3), (4, Proto::Resp2)] {
        let mut cluster = Cluster::starting_at(shards, now());
        cluster.speak(proto);
        oracle.connect(proto);
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
    let Some(mut oracle) = Oracle::start("decimal_sums_are_those_of_redis_to_the_last_digit")
    else {
        return;
    };
    const PAIRS: usize = 5000;
    let mut cluster = Cluster::new(1);
    let mut random = Random::new(7);
    for _ in 0..PAIRS {
        let (value, increment) = (number(&mut random), number(&mut random));
        let set: Words = ["set", "k", &value]
            .map(|word| word.as_bytes().to_vec())
            .to_vec();
        let add: Words = ["incrbyfloat", "k", &increment]
            .map(|word| word.as_bytes().to_vec())
            .to_vec();
        assert_eq!(cluster.run(&set), oracle.run(&set));
        assert_eq!(cluster.run(&add), oracle.run(&add), "{value} + {increment}");
    }
}

/// A number in one of the forms that C reads, rarely one that it does not.
fn number(random: &mut Random) -> String {
    let mut digits = |most: u64| {
        let len = 1 + random.below(most);
        (0..len)
            .map(|_| char::from(b'0' + random.below(10) as u8))
            .collect::<String>()
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
        6 => format!(
            "0x{:x}.{:x}p{exponent}",
            random.next_u64(),
            random.below(4096)
        ),
        _ => (random.next_u64() as f64 / random.next_u64() as f64).to_string(),
    };
    format!("{sign}{number}")
}

#[test]
fn patterns_match_what_they_match_in_redis() {
    let Some(mut oracle) = Oracle::start("patterns_match_what_they_match_in_redis") else {
        return;
    };
    const PATTERNS: usize = 4000;
    let mut cluster = Cluster::new(1);
    let mut random = Random::new(11);
    let word = |random: &mut Random, letters: &[u8]| -> Vec<u8> {
        let len = random.below(7);
        (0..len).map(|_| *random.pick(letters)).collect()
    };
    for _ in 0..150 {
        let set: Words = vec![
            b"set".to_vec(),
            word(&mut random, b"abc-]^\\"),
            b"v".to_vec(),
        ];
        assert_eq!(cluster.run(&set), oracle.run(&set));
    }
    for _ in 0..PATTERNS {
        let keys: Words = vec![b"keys".to_vec(), word(&mut random, b"aabbc***??[[]]^-\\\\")];
        let (ours, theirs) = (cluster.run(&keys), oracle.run(&keys));
        compare(&keys, &ours, &theirs).unwrap_or_else(|difference| panic!("{difference}"));
    }
}

/// What COMMAND INFO says of one command: name, arity, flags, positions of its keys, and tips.
type Row = (String, i64, Vec<String>, [i64; 3], Vec<String>);

fn texts(reply: &Reply) -> Vec<String> {
    let (Reply::Array(elements) | Reply::Set(elements)) = reply else {
        panic!("{reply:?} is no list")
    };
    let text = |element: &Reply| match element {
        Reply::Simple(text) | Reply::Bulk(text) => {
            String::from_utf8(text.clone()).expect("names are text")
        }
        other => panic!("{other:?} is no name"),
    };
    let mut texts: Vec<_> = elements.iter().map(text).collect();
    texts.sort();
    texts
}

fn row(reply: &Reply) -> Row {
    let Reply::Array(fields) = reply else {
        panic!("{reply:?} is no command")
    };
    let number = |index: usize| match fields[index] {
        Reply::Int(number) => number,
        ref other => panic!("{other:?} is no number"),
    };
    let name = texts(&Reply::Array(vec![fields[0].clone()])).remove(0);
    (
        name,
        number(1),
        texts(&fields[2]),
        [number(3), number(4), number(5)],
        texts(&fields[7]),
    )
}

#[test]
fn rows_say_of_commands_what_redis_says() {
    assert_rows(
        "rows_say_of_commands_what_redis_says",
        "del unlink exists touch type rename renamenx copy move expire pexpire expireat pexpireat ttl pttl \
                 expiretime pexpiretime persist keys scan randomkey dbsize flushall flushdb swapdb object \
                 object|encoding object|freq object|help object|idletime object|refcount get set setnx setex psetex \
                 getset getdel getex mget mset msetnx append strlen getrange substr setrange lcs incr decr incrby \
                 decrby incrbyfloat",
    );
}

/// Compares what COMMAND INFO says of these commands.
pub(super) fn assert_rows(test: &str, names: &str) {
    let Some(mut oracle) = Oracle::start(test) else {
        return;
    };
    let mut cluster = Cluster::new(1);
    let words: Vec<_> = ["command", "info"]
        .into_iter()
        .chain(names.split_whitespace())
        .collect();
    let (Reply::Array(ours), Reply::Array(theirs)) = (cluster.run(&words), oracle.run(&words))
    else {
        panic!("COMMAND INFO answers an array");
    };
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(row(ours), row(theirs));
    }
}
