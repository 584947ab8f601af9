//! Large collections that are answered in steps: each answer is whole, of one moment, and in its place.
//! Never measures time: what happens between two steps is left to chance, and many tries.
//! Source of what an answer may be: Redis, where nothing runs beside a command.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use resp::Reply;
use testkit::{Client, Server, client::encode};

use crate::fixture::{bulk, elements, error, ok, start, start_ours, text};

/// Enough for several steps.
pub const MANY: usize = 30_000;
/// Elements that a command of a test adds.
pub const CHUNK: usize = 1_000;

pub fn member(number: usize) -> String {
    format!("member:{number:06}")
}

/// Runs commands that each add some of `count` elements.
pub fn fill(
    client: &mut Client,
    count: usize,
    command: impl Fn(usize) -> Vec<String>,
    head: [&str; 2],
) {
    let starts = (0..count).step_by(CHUNK);
    let commands: Vec<Vec<String>> = starts
        .map(|start| {
            let numbers = start..(start + CHUNK).min(count);
            let head = head.into_iter().map(String::from);
            head.chain(numbers.flat_map(&command)).collect()
        })
        .collect();
    client.pipeline(&commands);
}

pub fn fill_set(client: &mut Client, key: &str, count: usize) {
    fill(client, count, |number| vec![member(number)], ["SADD", key]);
}

/// A set, a hash, a sorted set, a list and one of numbers under keys that end so.
pub fn fill_all(client: &mut Client, end: usize) {
    let key = |kind: &str| format!("{kind}{end}");
    fill_set(client, &key("set"), MANY);
    let pair = |number| vec![member(number), number.to_string()];
    fill(client, MANY, pair, ["HSET", &key("hash")]);
    let scored = |number: usize| vec![number.to_string(), member(number)];
    fill(client, MANY, scored, ["ZADD", &key("zset")]);
    fill(
        client,
        MANY,
        |number| vec![member(number)],
        ["RPUSH", &key("list")],
    );
    // Each number once, in no order: 7 and 30,000 have no common divisor.
    let number = |number: usize| vec![(7 * number % MANY).to_string()];
    fill(client, MANY, number, ["RPUSH", &key("numbers")]);
}

pub fn words(line: &str) -> Vec<String> {
    line.split(' ').map(String::from).collect()
}

/// What a reply holds, one text after the other; scores of RESP3 as they are in RESP2.
pub fn texts(reply: &Reply) -> Vec<String> {
    match reply {
        Reply::Array(elements) | Reply::Set(elements) => elements.iter().flat_map(texts).collect(),
        Reply::Map(pairs) => pairs
            .iter()
            .flat_map(|(name, value)| [texts(name), texts(value)].concat())
            .collect(),
        Reply::Double(score, _) => vec![score.to_string()],
        other => vec![text(other)],
    }
}

/// Commands that read all, or most, of what `fill_all` made, with what they answer, sorted where no order is promised.
fn questions(end: usize) -> Vec<Question> {
    let all: Vec<String> = (0..MANY).map(member).collect();
    let scored = |numbers: &mut dyn Iterator<Item = usize>| -> Vec<String> {
        numbers
            .flat_map(|number| [member(number), number.to_string()])
            .collect()
    };
    let mut fields: Vec<String> = scored(&mut (0..MANY));
    fields.sort();
    let mut values: Vec<String> = (0..MANY).map(|number| number.to_string()).collect();
    values.sort();
    let backwards: Vec<String> = all.iter().rev().cloned().collect();
    vec![
        (format!("SMEMBERS set{end}"), false, all.clone()),
        (format!("HGETALL hash{end}"), false, fields),
        (format!("HKEYS hash{end}"), false, all.clone()),
        (format!("HVALS hash{end}"), false, values),
        (format!("LRANGE list{end} 0 -1"), true, all.clone()),
        (
            format!("LRANGE list{end} 7 -9"),
            true,
            all[7..MANY - 8].to_vec(),
        ),
        (format!("ZRANGE zset{end} 0 -1"), true, all.clone()),
        (
            format!("ZRANGE zset{end} 5 -1 WITHSCORES"),
            true,
            scored(&mut (5..MANY)),
        ),
        (
            format!("ZREVRANGEBYSCORE zset{end} +inf 3 WITHSCORES"),
            true,
            scored(&mut (3..MANY).rev()),
        ),
        (format!("ZREVRANGE zset{end} 0 -1"), true, backwards),
        (format!("SORT set{end} ALPHA"), true, all.clone()),
        (
            format!("SORT_RO zset{end} ALPHA DESC LIMIT 3 25000"),
            true,
            all[MANY - 25_003..MANY - 3].iter().rev().cloned().collect(),
        ),
        (
            format!("SORT numbers{end} LIMIT 5 -1"),
            true,
            (5..MANY).map(|number| number.to_string()).collect(),
        ),
        (
            format!("ZRANGE zset{end} ({} +inf BYSCORE LIMIT 2 25000", 9),
            true,
            all[12..25_012].to_vec(),
        ),
    ]
}

#[test]
fn every_answer_is_whole_and_in_its_place_among_those_of_a_pipeline() {
    ask_in_pipelines(fill_all, questions);
}

/// A command, whether its answer has an order, and the answer; sorted where it has none.
pub type Question = (String, bool, Vec<String>);

/// Asks all questions about what `fill` makes, in pipelines, on one shard and on several.
pub fn ask_in_pipelines(fill: fn(&mut Client, usize), questions: fn(usize) -> Vec<Question>) {
    for shards in [1, 2, 4] {
        let server = start(shards, &[]);
        let mut filler = server.client();
        // Some of them are on the shard of whichever connection asks, and some are not.
        (0..3).for_each(|end| fill(&mut filler, end));
        for mut client in [server.client(), server.client_resp3(), server.client()] {
            let mut commands = Vec::new();
            let asked: Vec<_> = (0..3).flat_map(questions).collect();
            for (nth, (question, ..)) in asked.iter().enumerate() {
                commands.push(words(&format!("SET before{nth} {nth}")));
                commands.push(words(question));
                commands.push(words(&format!("GET before{nth}")));
                commands.push(words(&format!("ECHO {nth}")));
            }
            let replies = client.pipeline(&commands);
            for (nth, (question, is_ordered, expected)) in asked.iter().enumerate() {
                let of_this = &replies[4 * nth..][..4];
                assert_eq!(of_this[0], ok());
                let mut answered = texts(&of_this[1]);
                if !is_ordered {
                    answered.sort();
                }
                assert!(answered == *expected, "{question} with {shards} shards");
                let number = nth.to_string();
                assert_eq!(of_this[2..], [bulk(&number), bulk(&number)]);
            }
        }
    }
}

#[test]
fn what_cannot_be_sorted_is_told_in_the_place_of_the_answer() {
    for shards in [1, 2] {
        let server = start(shards, &[]);
        let mut client = server.client();
        let key = |end: usize| format!("set{end}");
        (0..3).for_each(|end| fill_set(&mut client, &key(end), MANY));
        client.ask("CONFIG RESETSTAT");
        for end in 0..3 {
            let commands = [
                words("ECHO before"),
                words(&format!("SORT {}", key(end))),
                words("ECHO after"),
            ];
            let told = "ERR One or more scores can't be converted into double";
            let expected = [bulk("before"), error(told), bulk("after")];
            assert_eq!(client.pipeline(&commands), expected);
        }
        let stats = client.info("cmdstat_sort");
        assert!(stats.starts_with("calls=3,"), "{stats}");
        assert!(stats.ends_with("failed_calls=3"), "{stats}");
    }
}

#[test]
fn what_a_connection_writes_is_in_its_next_answer_and_not_in_the_one_before() {
    for shards in [1, 2, 4] {
        let server = start(shards, &[]);
        let mut client = server.client();
        for end in 0..4 {
            let key = format!("set{end}");
            fill_set(&mut client, &key, MANY);
            let smembers = words(&format!("SMEMBERS {key}"));
            let commands = [
                smembers.clone(),
                words(&format!("SADD {key} one two")),
                smembers.clone(),
                words(&format!("SREM {key} one")),
                smembers.clone(),
                words(&format!("DEL {key}")),
                smembers,
            ];
            let replies = client.pipeline(&commands);
            let lengths: Vec<_> = replies.iter().step_by(2).map(|r| texts(r).len()).collect();
            assert_eq!(lengths, [MANY, MANY + 2, MANY + 1, 0]);
        }
    }
}

/// Runs `write` on a connection of its own again and again while `read` runs.
pub fn beside(server: &Server, write: impl Fn(&mut Client, usize) + Sync, read: impl FnOnce()) {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (is_over, write) = (&is_over, &write);
            scope.spawn(move || {
                let mut client = server.client();
                let mut number = writer;
                while !is_over.load(Ordering::Relaxed) {
                    write(&mut client, number);
                    number += 2;
                }
            });
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
        is_over.store(true, Ordering::Relaxed);
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
}

#[test]
fn nobody_sees_half_of_what_another_connection_has_written() {
    for shards in [1, 2, 4] {
        let server = start(shards, &[]);
        fill_all(&mut server.client(), 0);
        let write = |client: &mut Client, number: usize| {
            let (one, other) = (format!("one:{number}"), format!("two:{number}"));
            client.command(&["SADD", "set0", &one, &other]);
            client.command(&["HSET", "hash0", "one:", &one, "two:", &other]);
            let score = (number % 50_000).to_string();
            client.command(&["ZADD", "zset0", &score, "one:", &score, "two:"]);
            client.ask("LMOVE list0 list0 LEFT RIGHT");
            if number % 8 < 2 {
                client.command(&["SREM", "set0", &one, &other]);
            }
        };
        beside(&server, write, || {
            let mut client = server.client();
            for round in 0..16 {
                let question = ["SMEMBERS set0", "SORT set0 ALPHA"][round % 2];
                let members = texts(&client.ask(question));
                let with = |prefix: &str| {
                    let of = members
                        .iter()
                        .filter_map(|member| member.strip_prefix(prefix));
                    let mut of: Vec<_> = of.collect();
                    of.sort_unstable();
                    of
                };
                assert!(with("one:") == with("two:"), "with {shards} shards");
                let fields = texts(&client.ask("HGETALL hash0"));
                let (pairs, _) = fields.as_chunks::<2>();
                let pairs: BTreeMap<_, _> = pairs.iter().map(|[a, b]| (a, b)).collect();
                let of = |name: &str| pairs.get(&name.to_string()).map(|value| &value[4..]);
                assert_eq!(of("one:"), of("two:"), "with {shards} shards");
                let scored = texts(&client.ask("ZRANGE zset0 0 -1 WITHSCORES"));
                let place = |name: &str| scored.iter().position(|text| text == name);
                let score = |name: &str| place(name).map(|at| &scored[at + 1]);
                assert_eq!(score("one:"), score("two:"), "with {shards} shards");
                let mut list = texts(&client.ask("LRANGE list0 0 -1"));
                list.sort();
                assert!(
                    list.iter()
                        .eq((0..MANY).map(member).collect::<Vec<_>>().iter())
                );
            }
        });
    }
}

#[test]
fn a_set_that_is_replaced_whole_is_never_answered_as_a_mixture() {
    for shards in [1, 2, 4] {
        let server = start(shards, &[]);
        let fill_generation = |client: &mut Client, key: &str, generation: usize| {
            let of = |number| vec![format!("{generation}:{number}")];
            fill(client, MANY, of, ["SADD", key]);
        };
        fill_generation(&mut server.client(), "set", 0);
        let replace = |client: &mut Client, number: usize| {
            let next = format!("next{}", number % 2);
            fill_generation(client, &next, number);
            match number % 4 {
                0 | 1 => client.command(&["RENAME", &next, "set"]),
                _ => client.command(&["SUNIONSTORE", "set", &next, &next]),
            };
            client.command(&["DEL", &next]);
        };
        beside(&server, replace, || {
            let mut client = server.client();
            for _ in 0..20 {
                let members = texts(&client.ask("SMEMBERS set"));
                let generation = members[0].split(':').next().expect("it has two parts");
                let prefix = format!("{generation}:");
                assert_eq!(members.len(), MANY, "with {shards} shards");
                assert!(members.iter().all(|member| member.starts_with(&prefix)));
            }
        });
    }
}

#[test]
fn a_client_that_leaves_while_its_answer_is_made_leaves_no_lock() {
    for shards in [1, 2, 4] {
        let server = start(shards, &[]);
        let mut client = server.client();
        for end in 0..3 {
            let key = format!("set{end}");
            fill_set(&mut client, &key, 2 * MANY);
            for round in 0..6 {
                let mut leaving = server.client();
                leaving.send(&encode(&["SMEMBERS", &key]));
                drop(leaving);
                assert_eq!(client.int(&format!("SADD {key} {round}")), 1);
            }
            assert_eq!(client.int(&format!("SCARD {key}")), 2 * MANY as i64 + 6);
        }
        assert_eq!(client.ask("FLUSHALL"), ok());
    }
}

#[test]
fn what_is_taken_away_while_it_is_read_is_answered_whole_or_not_at_all() {
    let away: [&[&str]; 6] = [
        &["DEL set"],
        &["FLUSHALL"],
        &["SWAPDB 0 1", "FLUSHALL"],
        &["PEXPIRE set 1"],
        &["RENAME set elsewhere", "DEL elsewhere"],
        &["MOVE set 3", "FLUSHALL"],
    ];
    for shards in [1, 2, 4] {
        let server = start(shards, &[]);
        let (mut reader, mut other) = (server.client(), server.client());
        for commands in away {
            for _ in 0..3 {
                fill_set(&mut other, "set", MANY);
                reader.send(&encode(&["SMEMBERS", "set"]));
                for command in commands {
                    other.ask(command);
                }
                let len = texts(&reader.reply()).len();
                assert!(
                    [0, MANY].contains(&len),
                    "{len} after {commands:?} with {shards} shards"
                );
                assert_eq!(other.ask("FLUSHALL"), ok());
            }
        }
    }
}

#[test]
fn blocks_that_move_while_they_are_read_are_read_once() {
    let Some(server) = start_ours(2, &["--activedefrag", "yes"]) else {
        return;
    };
    let mut filler = server.client();
    fill_all(&mut filler, 0);
    // Every second of what was filled in goes, and leaves holes between the others.
    for key in ["set1", "set2"] {
        fill_set(&mut filler, key, MANY);
        let removed = |number: usize| vec![member(number & !1)];
        fill(&mut filler, MANY, removed, ["SREM", key]);
    }
    let purge = |client: &mut Client, _| {
        client.ask("MEMORY PURGE");
    };
    beside(&server, purge, || {
        let mut client = server.client();
        for _ in 0..5 {
            for (question, is_ordered, expected) in questions(0) {
                let mut answered = texts(&client.ask(&question));
                if !is_ordered {
                    answered.sort();
                }
                assert!(answered == expected, "{question}");
            }
            for key in ["set1", "set2"] {
                let members = texts(&client.ask(&format!("SMEMBERS {key}")));
                assert_eq!(members.len(), MANY / 2);
            }
        }
    });
}

#[test]
fn keys_that_are_evicted_beside_it_leave_a_collection_whole_or_missing() {
    let Some(server) = start_ours(
        2,
        &["--maxmemory", "24mb", "--maxmemory-policy", "allkeys-lru"],
    ) else {
        return;
    };
    let value = "v".repeat(1000);
    let write = |client: &mut Client, number: usize| {
        let commands: Vec<Vec<String>> = (0..50)
            .map(|nth| {
                vec![
                    "SET".into(),
                    format!("k{}", 50 * number + nth),
                    value.clone(),
                ]
            })
            .collect();
        client.pipeline(&commands);
    };
    beside(&server, write, || {
        let mut client = server.client();
        for _ in 0..20 {
            fill_set(&mut client, "set", MANY);
            let before = client.int("SCARD set") as usize;
            let len = texts(&client.ask("SMEMBERS set")).len();
            assert!(len == before || len == 0, "{len} of {before}");
        }
    });
}

#[test]
fn a_client_that_does_not_read_a_large_answer_is_closed_at_its_limit() {
    let limit = ["--client-output-buffer-limit", "normal 1mb 0 0"];
    let Some(server) = start_ours(2, &limit) else {
        return;
    };
    let mut client = server.client();
    let long = "x".repeat(300);
    let of = |number: usize| vec![format!("{number}{long}")];
    // More than kernels keep for a connection.
    fill(&mut client, 2 * MANY, of, ["SADD", "set"]);
    for _ in 0..2 {
        let mut reader = server.client();
        reader.send(&encode(&["SMEMBERS", "set"]));
        assert!(reader.read_to_end().len() < 2 * MANY * 300);
    }
    assert_eq!(client.int("SADD set another"), 1);
}

#[test]
fn hits_and_calls_are_counted_once_for_an_answer_in_steps() {
    for shards in [1, 2] {
        let server = start(shards, &[]);
        let mut client = server.client();
        for end in 0..4 {
            fill_set(&mut client, &format!("set{end}"), MANY);
        }
        client.ask("CONFIG RESETSTAT");
        for end in 0..4 {
            let reply = client.ask(&format!("SMEMBERS set{end}"));
            assert_eq!(elements(reply).len(), MANY);
        }
        assert_eq!(client.info("keyspace_hits"), "4");
        assert_eq!(client.info("keyspace_misses"), "0");
        let stats = client.info("cmdstat_smembers");
        assert!(stats.starts_with("calls=4,"), "{stats}");
    }
}
