//! The form of the MEMORY family's replies: fields, their order and types, texts, errors.
//! Never checks whether a figure is right; that is the business of `balance`.
//! Source: the fields of Redis' MEMORY STATS and the errors of redis-server 7.0.15.

use resp::Reply;
use testkit::Client;

use crate::fixture::{elements, error, ok, start, start_ours, text};

/// The fields that every MEMORY STATS begins with, in their order.
const FIFTEEN: [&str; 15] = [
    "peak.allocated",
    "total.allocated",
    "startup.allocated",
    "replication.backlog",
    "clients.slaves",
    "clients.normal",
    "aof.buffer",
    "lua.caches",
    "functions.caches",
    "overhead.total",
    "keys.count",
    "keys.bytes-per-key",
    "dataset.bytes",
    "dataset.percentage",
    "peak.percentage",
];

/// A MEMORY STATS reply, its fields in order.
#[derive(Debug)]
pub struct Stats(pub Vec<(String, Reply)>);

/// Asks for MEMORY STATS, in either protocol.
pub fn stats(client: &mut Client) -> Stats {
    Stats(pairs(client.ask("MEMORY STATS")))
}

/// The fields of a map, or of the flat array that stands for one in RESP2.
pub fn pairs(reply: Reply) -> Vec<(String, Reply)> {
    match reply {
        Reply::Map(pairs) => pairs
            .into_iter()
            .map(|(name, value)| (text(&name), value))
            .collect(),
        Reply::Array(flat) => flat
            .chunks(2)
            .map(|pair| (text(&pair[0]), pair[1].clone()))
            .collect(),
        other => panic!("{other:?} is no map"),
    }
}

pub fn field<'a>(fields: &'a [(String, Reply)], name: &str) -> &'a Reply {
    let found = fields.iter().find(|(field, _)| field == name);
    &found
        .unwrap_or_else(|| panic!("no field {name} in {fields:?}"))
        .1
}

pub fn int_field(fields: &[(String, Reply)], name: &str) -> i64 {
    match field(fields, name) {
        Reply::Int(number) => *number,
        other => panic!("{name} is {other:?}"),
    }
}

impl Stats {
    fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The value of an integer field.
    pub fn int(&self, name: &str) -> i64 {
        int_field(&self.0, name)
    }

    /// The value of a field that is a double, or its text in RESP2.
    pub fn double(&self, name: &str) -> f64 {
        match field(&self.0, name) {
            Reply::Double(number, _) => *number,
            other => text(other).trim_end_matches('%').parse().expect("a number"),
        }
    }

    /// One shard's share of an integer field.
    pub fn shard_int(&self, shard: i64, name: &str) -> i64 {
        int_field(&self.shard(shard), name)
    }

    pub fn shard(&self, shard: i64) -> Vec<(String, Reply)> {
        pairs(field(&self.0, &format!("shard.{shard}")).clone())
    }
}

#[test]
fn the_fifteen_fields_come_first_and_in_order_in_both_protocols() {
    let Some(server) = start_ours(2, &[]) else {
        return;
    };
    for mut client in [server.client(), server.client_resp3()] {
        let stats = stats(&mut client);
        assert_eq!(stats.names()[..15], FIFTEEN);
        for name in &FIFTEEN[..13] {
            assert!(stats.int(name) >= 0, "{name}");
        }
    }
}

#[test]
fn the_fields_of_redis_are_all_there_in_both_protocols() {
    for shards in [1, 2, 4] {
        let Some(server) = start_ours(shards, &[]) else {
            return;
        };
        server.client().ask("SET k v");
        let mut names = Vec::new();
        for mut client in [server.client(), server.client_resp3()] {
            let stats = stats(&mut client);
            for name in [
                "allocator.allocated",
                "allocator.active",
                "allocator.resident",
                "allocator-fragmentation.bytes",
                "allocator-rss.bytes",
                "rss-overhead.bytes",
                "fragmentation.bytes",
                "unaccounted.bytes",
            ] {
                assert!(matches!(field(&stats.0, name), Reply::Int(_)), "{name}");
            }
            for name in [
                "allocator-fragmentation.ratio",
                "allocator-rss.ratio",
                "rss-overhead.ratio",
                "fragmentation",
            ] {
                assert!(stats.double(name) >= 0.0, "{name}");
            }
            assert_eq!(stats.int("shards"), shards as i64);
            let db = pairs(field(&stats.0, "db.0").clone());
            let db_names: Vec<_> = db.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(
                db_names[..2],
                ["overhead.hashtable.main", "overhead.hashtable.expires"]
            );
            names.push(
                stats
                    .names()
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>(),
            );
        }
        assert_eq!(names[0], names[1], "RESP2 and RESP3 have the same fields");
    }
}

/// The two percentages as the connection sees them.
fn percentages(client: &mut Client) -> [Reply; 2] {
    let stats = stats(client);
    [
        field(&stats.0, "dataset.percentage").clone(),
        field(&stats.0, "peak.percentage").clone(),
    ]
}

fn is_percent_text(reply: &Reply, with_sign: bool) -> bool {
    let text = text(reply);
    let number = if with_sign {
        text.strip_suffix('%')
    } else {
        Some(text.as_str())
    };
    let Some((whole, decimals)) = number.and_then(|number| number.split_once('.')) else {
        return false;
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && digits(decimals) && decimals.len() == 2
}

#[test]
fn a_person_sees_percent_signs_and_a_library_numbers() {
    let Some(server) = start_ours(2, &[]) else {
        return;
    };
    let mut client = server.client();
    assert_eq!(client.command(&["SET", "k", &"v".repeat(1000)]), ok());
    for reply in percentages(&mut client) {
        assert!(is_percent_text(&reply, true), "{reply:?}");
    }
    assert_eq!(client.ask("CLIENT SETINFO LIB-VER 1.0"), ok());
    assert!(
        is_percent_text(&percentages(&mut client)[0], true),
        "a version names no library"
    );
    assert_eq!(client.ask("CLIENT SETINFO LIB-NAME probe"), ok());
    for reply in percentages(&mut client) {
        assert!(is_percent_text(&reply, false), "{reply:?}");
    }
    let mut other = server.client();
    assert!(
        is_percent_text(&percentages(&mut other)[0], true),
        "the rule is each connection's own"
    );
    let mut resp3 = server.client_resp3();
    for reply in percentages(&mut resp3) {
        assert!(matches!(reply, Reply::Double(_, _)), "{reply:?}");
    }
}

#[test]
fn the_percent_sign_can_be_fixed_either_way() {
    for (setting, with_sign) in [("yes", true), ("no", false)] {
        let Some(server) = start_ours(1, &["--memory-stats-percent-sign", setting]) else {
            return;
        };
        let mut client = server.client();
        assert!(is_percent_text(&percentages(&mut client)[0], with_sign));
        client.ask("CLIENT SETINFO LIB-NAME probe");
        assert!(is_percent_text(&percentages(&mut client)[0], with_sign));
        assert_eq!(
            client.ask("CONFIG SET memory-stats-percent-sign auto"),
            ok()
        );
        assert!(
            is_percent_text(&percentages(&mut client)[0], false),
            "a library has been named"
        );
        assert!(matches!(
            percentages(&mut server.client_resp3())[0],
            Reply::Double(_, _)
        ));
    }
}

#[test]
fn memory_errors_have_the_texts_of_redis() {
    let server = start(2, &[]);
    let mut client = server.client();
    assert_eq!(client.ask("SET k v"), ok());
    for (line, text) in [
        (
            "MEMORY nope",
            "ERR unknown subcommand 'nope'. Try MEMORY HELP.",
        ),
        (
            "MEMORY",
            "ERR wrong number of arguments for 'memory' command",
        ),
        (
            "MEMORY USAGE",
            "ERR wrong number of arguments for 'memory|usage' command",
        ),
        (
            "MEMORY STATS x",
            "ERR wrong number of arguments for 'memory|stats' command",
        ),
        (
            "MEMORY PURGE x",
            "ERR wrong number of arguments for 'memory|purge' command",
        ),
        (
            "MEMORY DOCTOR x",
            "ERR wrong number of arguments for 'memory|doctor' command",
        ),
        (
            "MEMORY MALLOC-STATS x",
            "ERR wrong number of arguments for 'memory|malloc-stats' command",
        ),
        (
            "MEMORY HELP x",
            "ERR wrong number of arguments for 'memory|help' command",
        ),
        (
            "MEMORY USAGE k SAMPLES x",
            "ERR value is not an integer or out of range",
        ),
        ("MEMORY USAGE k SAMPLES -1", "ERR syntax error"),
        ("MEMORY USAGE k SAMPLES", "ERR syntax error"),
        ("MEMORY USAGE k nope 1", "ERR syntax error"),
    ] {
        assert_eq!(client.ask(line), error(text), "{line}");
    }
}

#[test]
fn memory_usage_is_a_number_for_a_key_and_nil_for_none() {
    let server = start(2, &[]);
    let mut client = server.client();
    client.command(&["SET", "small", "v"]);
    client.command(&["SET", "large", &"v".repeat(100_000)]);
    client.command(&["SET", "gone", "v", "PX", "1"]);
    assert_eq!(client.ask("MEMORY USAGE none"), Reply::Null);
    assert!((1..1_000).contains(&client.int("MEMORY USAGE small")));
    assert!((100_000..140_000).contains(&client.int("MEMORY USAGE large")));
    assert_eq!(
        client.int("memory usage large samples 0"),
        client.int("MEMORY USAGE large SAMPLES 9")
    );
    std::thread::sleep(std::time::Duration::from_millis(3));
    if !server.is_redis() {
        // Redis still counts a key that is due and not yet collected.
        assert_eq!(client.ask("MEMORY USAGE gone"), Reply::Null);
    }
}

#[test]
fn memory_stats_and_its_siblings_say_how_they_fan_out() {
    let server = start(1, &[]);
    let mut client = server.client();
    let fields = elements(elements(client.ask("COMMAND INFO memory|stats")).remove(0));
    assert_eq!(text(&fields[0]), "memory|stats");
    assert_eq!(fields[1], Reply::Int(2));
    let tips: Vec<_> = elements(fields[7].clone()).iter().map(text).collect();
    assert_eq!(
        tips,
        [
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special"
        ]
    );
    let fields = elements(elements(client.ask("COMMAND INFO memory|usage")).remove(0));
    assert_eq!(
        [&fields[1], &fields[3], &fields[4], &fields[5]],
        [-3, 2, 2, 1].map(Reply::Int).each_ref()
    );
}

#[test]
fn the_texts_for_people_are_text_in_both_protocols() {
    let server = start(2, &[]);
    for (line, words) in [("MEMORY DOCTOR", ""), ("MEMORY MALLOC-STATS", "")] {
        let Reply::Bulk(plain) = server.client().ask(line) else {
            panic!("{line} is no string in RESP2")
        };
        assert!(!plain.is_empty() && String::from_utf8_lossy(&plain).contains(words));
        let Reply::Verbatim(format, _) = server.client_resp3().ask(line) else {
            panic!("{line} is no verbatim text in RESP3")
        };
        assert_eq!(&format, b"txt");
    }
    let help: Vec<_> = elements(server.client().ask("MEMORY HELP"))
        .iter()
        .map(text)
        .collect();
    for subcommand in ["DOCTOR", "USAGE", "STATS", "PURGE", "MALLOC-STATS", "HELP"] {
        assert!(
            help.iter().any(|line| line.starts_with(subcommand)),
            "HELP does not name {subcommand}"
        );
    }
}

#[test]
fn every_shard_has_a_row() {
    let Some(server) = start_ours(4, &[]) else {
        return;
    };
    let commands: Vec<Vec<String>> = (0..400)
        .map(|n| vec!["SET".into(), format!("k{n}"), "v".into()])
        .collect();
    let mut client = server.client_resp3();
    client.pipeline(&commands);
    let rows = match client.ask("MEMORY SHARDS") {
        Reply::Map(rows) => rows.into_iter().map(|(_, row)| row).collect(),
        other => elements(other),
    };
    assert_eq!(rows.len(), 4);
    let keys: i64 = rows
        .into_iter()
        .map(|row| int_field(&pairs(row), "keys"))
        .sum();
    assert_eq!(keys, 400);
}

#[test]
fn the_bill_of_a_key_adds_up_to_its_usage() {
    let Some(server) = start_ours(2, &[]) else {
        return;
    };
    let mut client = server.client_resp3();
    client.command(&["SET", "text", "hello"]);
    client.command(&["SET", "number", "12345"]);
    client.command(&["SET", "long", &"x".repeat(50_000)]);
    client.command(&["SET", "brief", "v", "EX", "1000"]);
    assert_eq!(client.ask("MEMORY EXPLAIN none"), Reply::Null);
    for key in ["text", "number", "long", "brief"] {
        let bill = pairs(client.ask(&format!("MEMORY EXPLAIN {key}")));
        let usage = client.int(&format!("MEMORY USAGE {key}"));
        assert_eq!(int_field(&bill, "total.bytes"), usage, "{key}");
        let parts: i64 = bill
            .iter()
            .filter(|(name, _)| is_part_of_bill(name))
            .map(|(name, _)| int_field(&bill, name))
            .sum();
        assert_eq!(parts, usage, "{key}: {bill:?}");
    }
}

/// Whether a line of MEMORY EXPLAIN is an item of the sum.
fn is_part_of_bill(name: &str) -> bool {
    name.ends_with(".bytes") && name != "total.bytes"
}
