//! MEMORY TYPES, PREFIXES and TOPKEYS on a whole server: they add up to the dataset, under load and after it.
//! Never compares with the order in which shards answer; a test knows what it wrote and what MEMORY STATS says.
//! Source: the invariants of memory accounting, as docs/memory.md states them.

use resp::Reply;
use testkit::{Client, Server};

use crate::fixture::{Dice, elements, error, eventually, ok, start_ours, text};
use crate::memory::{field, int_field, pairs, stats};

type Row = Vec<(String, Reply)>;

fn rows(client: &mut Client, command: &str) -> Vec<Row> {
    elements(client.ask(command))
        .into_iter()
        .map(pairs)
        .collect()
}

fn sum(rows: &[Row], name: &str) -> i64 {
    rows.iter().map(|row| int_field(row, name)).sum()
}

fn prefix_row(client: &mut Client, prefix: &str) -> Option<Row> {
    let rows = rows(client, "MEMORY PREFIXES COUNT 100000");
    rows.into_iter()
        .find(|row| text(field(row, "prefix")) == prefix)
}

/// Checks that rows add up to what MEMORY STATS says, between two reports that say the same: keys
/// that are due leave whenever the server comes round to them.
fn assert_rows_add_up(client: &mut Client) {
    let figures = |client: &mut Client| {
        let stats = stats(client);
        [stats.int("dataset.bytes"), stats.int("keys.count")]
    };
    let sums = |rows: &[Row]| [sum(rows, "bytes"), sum(rows, "keys")];
    for ask in [
        "MEMORY TYPES",
        "MEMORY PREFIXES COUNT 1",
        "MEMORY PREFIXES COUNT 7",
        "MEMORY PREFIXES COUNT 100000 BY KEYS",
    ] {
        eventually("two reports that say the same", || {
            let (before, rows, after) = (figures(client), rows(client, ask), figures(client));
            if before == after {
                assert_eq!(sums(&rows), before, "{ask}: {rows:?}");
            }
            before == after
        });
    }
}

fn load_key(dice: &mut Dice) -> String {
    let number = dice.roll(400);
    match dice.roll(7) {
        0 => format!("plain{number}"),
        1 => format!("user:{number}"),
        2 => format!("user:{number}:name"),
        3 => format!("{{tag}}:n{}:x", number % 20),
        4 => format!("app:m{number}:x"),
        5 => format!("p{number}x:y{}:z", number % 3),
        _ => format!("{}:{number}", "long-key".repeat(10)),
    }
}

fn load_command(dice: &mut Dice) -> Vec<String> {
    let (key, other) = (load_key(dice), load_key(dice));
    let value = "v".repeat([10, 100, 1000, 30_000][dice.roll(4)]);
    let words: Vec<String> = match dice.roll(20) {
        0..=5 => vec!["SET".into(), key, value],
        6 => vec!["SET".into(), key, value, "PX".into(), "1".into()],
        7 => vec!["SET".into(), key, value, "EX".into(), "100".into()],
        8 => vec!["APPEND".into(), key, value],
        9 => vec!["HSET".into(), key, format!("f{}", dice.roll(50)), value],
        10 => vec!["RPUSH".into(), key, value.clone(), value],
        11 => vec!["LPOP".into(), key],
        12 => vec!["DEL".into(), key, other],
        13 => vec!["RENAME".into(), key, other],
        14 => vec!["COPY".into(), key, other, "REPLACE".into()],
        15 => vec!["MOVE".into(), key, dice.roll(3).to_string()],
        16 => vec!["SELECT".into(), dice.roll(3).to_string()],
        17 => vec!["PERSIST".into(), key],
        18 => vec!["MSET".into(), key, value, other, "x".into()],
        _ => vec!["EXPIRE".into(), key, "100".into()],
    };
    words
}

fn load(server: &Server, seed: u64, commands: usize) {
    let mut dice = Dice::new(seed);
    let mut client = server.client();
    for _ in 0..commands.div_ceil(50) {
        let pipeline: Vec<_> = (0..50).map(|_| load_command(&mut dice)).collect();
        client.pipeline(&pipeline);
    }
}

#[test]
fn types_and_prefixes_add_up_to_the_dataset_whatever_was_written() {
    for shards in [1, 2, 4] {
        let Some(server) = start_ours(shards, &[]) else {
            return;
        };
        let mut client = server.client_resp3();
        for round in 0..4 {
            load(&server, 300 + round, 4_000);
            assert_rows_add_up(&mut client);
        }
        assert_eq!(client.ask("SWAPDB 0 1"), ok());
        assert_rows_add_up(&mut client);
        assert_eq!(client.ask("FLUSHDB ASYNC"), ok());
        assert_rows_add_up(&mut client);
        assert_eq!(client.ask("FLUSHALL"), ok());
        assert_rows_add_up(&mut client);
        assert_eq!(
            rows(&mut client, "MEMORY PREFIXES").len(),
            1,
            "only the others"
        );
        assert!(rows(&mut client, "MEMORY TOPKEYS").is_empty());
    }
}

#[test]
fn a_prefix_tells_its_keys_of_all_shards_and_databases() {
    let Some(server) = start_ours(2, &[]) else {
        return;
    };
    let mut client = server.client_resp3();
    for number in 0..100 {
        client.ask(&format!("SET user:{number}:name x EX 1000"));
        client.ask(&format!("SET cache:{number} {}", "v".repeat(500)));
    }
    assert_eq!(client.ask("SELECT 3"), ok());
    client.ask("SET cache:0 other");
    client.ask("SET plain other");
    let row = prefix_row(&mut client, "user:*:").expect("users have a row");
    assert_eq!(
        (
            int_field(&row, "keys"),
            int_field(&row, "keys.without.expiry")
        ),
        (100, 0)
    );
    let row = prefix_row(&mut client, "cache:").expect("the cache has a row");
    assert_eq!(
        (
            int_field(&row, "keys"),
            int_field(&row, "keys.without.expiry")
        ),
        (101, 101)
    );
    assert!(int_field(&row, "growth.per.minute") > 50_000);
    assert_eq!(int_field(&row, "exact"), 1);
    let row = prefix_row(&mut client, "(none)").expect("a key has no prefix");
    assert_eq!(int_field(&row, "keys"), 1);

    let first = |client: &mut Client, by: &str| {
        let rows = rows(client, &format!("MEMORY PREFIXES COUNT 1 BY {by}"));
        assert_eq!(rows.len(), 2);
        assert_eq!(text(field(&rows[1], "prefix")), "(other)");
        text(field(&rows[0], "prefix"))
    };
    client.ask("DEL cache:0");
    client.ask("SELECT 0");
    client.ask("DEL cache:0 cache:1 cache:2");
    for (by, prefix) in [
        ("bytes", "cache:"),
        ("KEYS", "user:*:"),
        ("growth", "cache:"),
    ] {
        assert_eq!(first(&mut client, by), prefix);
    }
}

#[test]
fn the_biggest_keys_are_told_in_order_with_type_and_database() {
    let Some(server) = start_ours(4, &[]) else {
        return;
    };
    let mut client = server.client();
    for number in 0..300 {
        client.ask(&format!(
            "SET key:{number} {}",
            "v".repeat(number * number / 2)
        ));
    }
    client.ask("SELECT 2");
    client.ask(&format!("RPUSH list {}", "e".repeat(100_000)));
    let told = |client: &mut Client, command: &str| {
        let name = |row: &Row| text(field(row, "key"));
        rows(client, command).iter().map(name).collect::<Vec<_>>()
    };
    let top = told(&mut client, "MEMORY TOPKEYS COUNT 300");
    assert_eq!(top.len(), 128);
    assert_eq!(top[0], "list");
    assert_eq!(told(&mut client, "MEMORY TOPKEYS TYPE list"), ["list"]);
    assert_eq!(told(&mut client, "MEMORY TOPKEYS").len(), 10);
    let row = &rows(&mut client, "MEMORY TOPKEYS COUNT 1")[0];
    assert_eq!(
        (int_field(row, "db"), text(field(row, "type"))),
        (2, "list".into())
    );
    let Reply::Int(usage) = client.ask("MEMORY USAGE list") else {
        panic!("the list has a usage")
    };
    assert_eq!(int_field(row, "bytes") + 8, usage);
    let types = rows(&mut client, "MEMORY TYPES");
    let list = types.iter().find(|row| text(field(row, "type")) == "list");
    assert_eq!(
        text(field(list.expect("lists have a row"), "largest.key")),
        "list"
    );
}

#[test]
fn prefixes_can_be_turned_off_and_on_and_cut_otherwise() {
    let Some(server) = start_ours(2, &[]) else {
        return;
    };
    let mut client = server.client();
    for number in 0..20_000 {
        client.ask(&format!("SET a/b:{number} x"));
    }
    assert_eq!(client.ask("CONFIG SET memory-prefixes no"), ok());
    let off = error("ERR prefixes are not counted while 'memory-prefixes' is no");
    assert_eq!(client.ask("MEMORY PREFIXES"), off);
    assert_eq!(
        client.ask("CONFIG SET memory-prefixes yes memory-prefix-delimiters /:"),
        ok()
    );
    assert_rows_add_up(&mut client);
    eventually("all keys are counted anew", || {
        assert_rows_add_up(&mut client);
        prefix_row(&mut client, "a/b:").is_some_and(|row| int_field(&row, "keys") == 20_000)
    });
    assert_eq!(client.ask("CONFIG SET memory-prefix-depth 1"), ok());
    eventually("all keys are counted anew", || {
        prefix_row(&mut client, "a/").is_some()
    });
}

#[test]
fn what_makes_no_sense_is_refused_in_redis_words() {
    let Some(server) = start_ours(2, &[]) else {
        return;
    };
    let mut client = server.client();
    let syntax = "ERR syntax error";
    for (line, expected) in [
        ("MEMORY PREFIXES COUNT", syntax),
        (
            "MEMORY PREFIXES COUNT 0",
            "ERR value is out of range, must be positive",
        ),
        (
            "MEMORY PREFIXES COUNT x",
            "ERR value is not an integer or out of range",
        ),
        ("MEMORY PREFIXES BY size", syntax),
        ("MEMORY PREFIXES OF x", syntax),
        (
            "MEMORY TOPKEYS COUNT -1",
            "ERR value is out of range, must be positive",
        ),
        ("MEMORY TOPKEYS TYPE widget", "ERR unknown type name"),
        ("MEMORY TOPKEYS 5", syntax),
        (
            "MEMORY TYPES x",
            "ERR wrong number of arguments for 'memory|types' command",
        ),
    ] {
        assert_eq!(client.ask(line), error(expected), "{line}");
    }
}
