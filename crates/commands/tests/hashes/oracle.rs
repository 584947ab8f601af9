//! Generated commands on hashes, answered by the in-process cluster and by a redis-server.

use std::time::{SystemTime, UNIX_EPOCH};

use resp::{Proto, Reply};
use store::Millis;
use testkit::Cluster;
use testkit::generate::{Random, Words};
use testkit::oracle::{Oracle, compare, sorted};

/// Commands for each number of shards.
const COMMANDS: usize = 15_000;

const KEYS: [&str; 6] = ["h1", "h2", "{t}3", "h4", "str", ""];
const FIELDS: [&str; 12] = [
    "f",
    "g",
    "1",
    "2",
    "-7",
    "",
    "f1",
    "f2",
    "f3",
    "longer-field-name",
    "x",
    "y",
];
const INTEGERS: [&str; 10] = [
    "0",
    "1",
    "-1",
    "42",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "007",
    "abc",
    "",
];
const FLOATS: [&str; 12] = [
    "0.1", "-1.5", "3", "1e3", "inf", "-inf", "nan", "1e5000", "0x10", "abc", " 1", "1e4932",
];
const TEXTS: [&str; 8] = ["v", "hello", "", "10", "-3", "3.5", "12 ", "inf"];
const COUNTS: [&str; 10] = [
    "0",
    "1",
    "3",
    "-3",
    "100",
    "-50",
    "x",
    "9223372036854775807",
    "-9223372036854775808",
    "",
];

struct Commands(Random);

impl Commands {
    fn word(&mut self, word: &str) -> String {
        let random = &mut self.0;
        match word {
            "K" => random.pick(&KEYS).to_string(),
            // Now and then a field that makes the hash grow, or one that is too long to be packed.
            "F" => match random.below(12) {
                0 => format!("field:{}", random.below(60)),
                1 if random.one_in(20) => "f".repeat(60 + random.below(10) as usize),
                _ => random.pick(&FIELDS).to_string(),
            },
            "V" => match random.below(8) {
                0 => random.pick(&INTEGERS).to_string(),
                1 => random.pick(&FLOATS).to_string(),
                2 if random.one_in(20) => "v".repeat([63, 64, 65, 9000][random.below(4) as usize]),
                3 => random.next_u64().to_string(),
                _ => random.pick(&TEXTS).to_string(),
            },
            "I" => random.pick(&INTEGERS).to_string(),
            "D" => random.pick(&FLOATS).to_string(),
            "C" => random.pick(&COUNTS).to_string(),
            "G" => random
                .pick(&["*", "f*", "?", "[fg]", "nosuch", ""])
                .to_string(),
            word => word.to_owned(),
        }
    }

    /// The next command. RENAME and COPY are not among them: between shards a hash is built anew, and may be packed where
    /// Redis copies its table.
    fn next_command(&mut self) -> Words {
        const TEMPLATES: [&str; 42] = [
            "hset K F V",
            "hset K F V",
            "hset K F V F V F V",
            "hset K F V F V",
            "hset K F V F",
            "hmset K F V F V",
            "hsetnx K F V",
            "hget K F",
            "hget K F",
            "hmget K F F F",
            "hgetall K",
            "hgetall K",
            "hkeys K",
            "hvals K",
            "hlen K",
            "hlen K",
            "hstrlen K F",
            "hexists K F",
            "hdel K F",
            "hdel K F F F F",
            "hdel K F F F F F F F",
            "hincrby K F I",
            "hincrby K F I",
            "hincrbyfloat K F D",
            "hincrbyfloat K F D",
            "hrandfield K",
            "hrandfield K C",
            "hrandfield K C",
            "hrandfield K C withvalues",
            "hrandfield K C nosuch",
            "hscan K 0",
            "hscan K 0 match G",
            "hscan K 0 count C match G",
            "hscan K C",
            "object encoding K",
            "object encoding K",
            "type K",
            "exists K K",
            "del K",
            "set str V",
            "get K",
            "expire K 1000",
        ];
        let template = *self.0.pick(&TEMPLATES);
        let mut words: Vec<_> = template.split(' ').map(|word| self.word(word)).collect();
        if self.0.one_in(40) {
            let at = 1 + self.0.below(words.len() as u64) as usize;
            match self.0.below(2) {
                0 if at < words.len() => _ = words.remove(at),
                _ => words.insert(at, "nosuch".to_owned()),
            }
        }
        if self.0.one_in(4) {
            words[0].make_ascii_uppercase();
        }
        words.into_iter().map(String::into_bytes).collect()
    }
}

fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Millis(since.expect("the clock is past 1970").as_millis() as i64)
}

/// The pairs of a flat array, each in short.
fn pairs(elements: &[Reply]) -> Vec<String> {
    let mut pairs: Vec<_> = elements.chunks(2).map(|pair| format!("{pair:?}")).collect();
    pairs.sort();
    pairs
}

/// Whether answers that have no order of their own say the same.
fn agree(words: &Words, ours: &Reply, theirs: &Reply) -> Result<(), String> {
    let name = words[0].to_ascii_lowercase();
    let count = words.get(2).and_then(|word| resp::number::parse_i64(word));
    let same = match (&name[..], ours, theirs) {
        (b"hgetall", Reply::Array(ours), Reply::Array(theirs)) => pairs(ours) == pairs(theirs),
        (b"hgetall", Reply::Map(ours), Reply::Map(theirs)) => {
            let sorted = |map: &[(Reply, Reply)]| {
                let mut map: Vec<_> = map.iter().map(|pair| format!("{pair:?}")).collect();
                map.sort();
                map
            };
            sorted(ours) == sorted(theirs)
        }
        (b"hkeys" | b"hvals", Reply::Array(ours), Reply::Array(theirs)) => {
            sorted(ours) == sorted(theirs)
        }
        (b"hscan", Reply::Array(ours), Reply::Array(theirs)) => match (&ours[..], &theirs[..]) {
            ([cursor, Reply::Array(ours)], [their_cursor, Reply::Array(theirs)]) => {
                // A part of a table is as good as another.
                let end = Reply::Bulk(b"0".to_vec());
                *cursor != end
                    || *their_cursor != end
                    || words[2] != b"0"
                    || pairs(ours) == pairs(theirs)
            }
            _ => false,
        },
        (b"hrandfield", Reply::Bulk(_), Reply::Bulk(_)) => true,
        (b"hrandfield", Reply::Array(ours), Reply::Array(theirs)) => {
            // All fields, or as many of them.
            let is_whole = count.is_some_and(|count| count > 60);
            ours.len() == theirs.len() && (!is_whole || sorted(ours) == sorted(theirs))
        }
        _ => return compare(words, ours, theirs),
    };
    if same {
        Ok(())
    } else {
        Err(format!("{words:?}\n  ours:  {ours:?}\n  redis: {theirs:?}"))
    }
}

#[test]
fn every_generated_command_is_answered_as_redis_answers_it() {
    let test = "every_generated_command_is_answered_as_redis_answers_it (hashes)";
    let Some(mut oracle) = Oracle::start(test) else {
        return;
    };
    let mut differences = Vec::new();
    let runs = [
        (1, Proto::Resp2, "512"),
        (2, Proto::Resp3, "20"),
        (4, Proto::Resp2, "0"),
        (2, Proto::Resp2, "5"),
    ];
    for (shards, proto, max_entries) in runs {
        let mut cluster = Cluster::starting_at(shards, now());
        cluster.speak(proto);
        oracle.connect(proto);
        oracle.run(&["flushall"]);
        let set = ["config", "set", "hash-max-listpack-entries", max_entries];
        assert_eq!(cluster.run(&set), oracle.run(&set));
        let seed = u64::from(shards) + 1000;
        let (mut commands, mut random) = (Commands(Random::new(seed)), Random::new(seed));
        for number in 0..COMMANDS {
            let words = commands.next_command();
            cluster.connect_to(random.below(u64::from(shards)) as usize);
            let (ours, theirs) = (cluster.run(&words), oracle.run(&words));
            if let Err(difference) = agree(&words, &ours, &theirs) {
                differences.push(format!("{shards} shards, command {number}: {difference}"));
            }
        }
        cluster.cores().iter().for_each(|core| core.shard.check());
    }
    assert!(
        differences.is_empty(),
        "{} differences, the first of them:\n{}",
        differences.len(),
        differences[..differences.len().min(15)].join("\n")
    );
}

#[test]
fn decimal_sums_in_fields_are_those_of_redis_to_the_last_digit() {
    let test = "decimal_sums_in_fields_are_those_of_redis_to_the_last_digit";
    let Some(mut oracle) = Oracle::start(test) else {
        return;
    };
    const SUMS: usize = 3000;
    let mut cluster = Cluster::new(1);
    let mut random = Random::new(5);
    for _ in 0..SUMS {
        let number = |random: &mut Random| {
            let sign = *random.pick(&["", "-"]);
            format!(
                "{sign}{}.{}e{}",
                random.below(1000),
                random.next_u64(),
                random.below(40) as i64 - 20
            )
        };
        let set = [
            "hset".to_owned(),
            "h".to_owned(),
            "f".to_owned(),
            number(&mut random),
        ];
        let add = [
            "hincrbyfloat".to_owned(),
            "h".to_owned(),
            "f".to_owned(),
            number(&mut random),
        ];
        assert_eq!(cluster.run(&set), oracle.run(&set));
        assert_eq!(
            cluster.run(&add),
            oracle.run(&add),
            "{} + {}",
            set[3],
            add[3]
        );
    }
}
