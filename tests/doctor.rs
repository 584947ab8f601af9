//! MEMORY DOCTOR on a whole server: every finding is provoked, and silent once its cause is gone.
//! Never looks at words: a finding is its id and its figures. What days provoke is in `doctor_later`.
//! Source: the table of findings in docs/memory.md.

use std::collections::HashMap;

use resp::Reply;
use testkit::{Client, Server};

use crate::fixture::{Dice, bulk, eventually, ok, start_ours, text};
use crate::memory::{int_field, pairs};

/// A finding as a program reads it.
#[derive(Debug)]
pub struct Finding {
    pub severity: String,
    pub evidence: HashMap<String, f64>,
    pub remedy: String,
}

/// A JSON document, as far as the doctor's needs it.
#[derive(Debug)]
enum Json {
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads a value off the front of a text.
    fn take(text: &mut &str) -> Json {
        let first = text.chars().next().expect("a value follows");
        match first {
            '"' => Json::Text(Json::take_text(text)),
            '[' => Json::List(Json::take_all(text, ']', Json::take)),
            '{' => Json::Object(Json::take_all(text, '}', |text| {
                let name = Json::take_text(text);
                Json::expect(text, ':');
                (name, Json::take(text))
            })),
            _ => {
                let is_number = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
                let end = text.find(|c| !is_number(c)).unwrap_or(text.len());
                let (number, rest) = text.split_at(end);
                *text = rest;
                Json::Number(number.parse().expect("a number"))
            }
        }
    }

    fn expect(text: &mut &str, character: char) {
        *text = text
            .strip_prefix(character)
            .unwrap_or_else(|| panic!("{character} expected: {text}"));
    }

    fn take_all<T>(text: &mut &str, end: char, mut one: impl FnMut(&mut &str) -> T) -> Vec<T> {
        let mut all = Vec::new();
        *text = &text[1..];
        while !text.starts_with(end) {
            if !all.is_empty() {
                Json::expect(text, ',');
            }
            all.push(one(text));
        }
        *text = &text[1..];
        all
    }

    fn take_text(text: &mut &str) -> String {
        let mut taken = String::new();
        let mut characters = text[1..].char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    *text = &text[at + 2..];
                    return taken;
                }
                '\\' => match characters.next().expect("an escape ends").1 {
                    escaped @ ('"' | '\\') => taken.push(escaped),
                    other => panic!("no escape of ours: {other}"),
                },
                ' '.. => taken.push(character),
                _ => panic!("a control character stands bare"),
            }
        }
        panic!("a text ends")
    }

    fn text(self) -> String {
        match self {
            Json::Text(text) => text,
            other => panic!("{other:?} is no text"),
        }
    }
}

/// What the doctor finds, by id.
pub fn findings(client: &mut Client) -> HashMap<String, Finding> {
    let Reply::Bulk(json) = client.ask("MEMORY DOCTOR JSON") else {
        panic!("a bulk string")
    };
    let json = String::from_utf8(json).expect("JSON is UTF-8");
    let mut rest = &json[..];
    let Json::Object(mut document) = Json::take(&mut rest) else {
        panic!("an object")
    };
    assert_eq!(rest, "");
    let (name, Json::List(all)) = document.remove(0) else {
        panic!("a list")
    };
    assert!(document.is_empty() && name == "findings");
    let finding = |one: Json| {
        let Json::Object(fields) = one else {
            panic!("a finding is an object")
        };
        let mut fields: HashMap<String, Json> = fields.into_iter().collect();
        let mut take = |name: &str| fields.remove(name).expect("every finding has it");
        let (id, severity) = (take("id").text(), take("severity").text());
        let (cause, remedy) = (take("cause").text(), take("remedy").text());
        let Json::Object(evidence) = take("evidence") else {
            panic!("evidence is an object")
        };
        assert!(!cause.is_empty() && fields.is_empty());
        let number = |(name, figure)| match figure {
            Json::Number(number) => (name, number),
            other => panic!("{name} is {other:?}"),
        };
        let evidence = evidence.into_iter().map(number).collect();
        let finding = Finding {
            severity,
            evidence,
            remedy,
        };
        (id, finding)
    };
    all.into_iter().map(finding).collect()
}

pub fn finds(client: &mut Client, id: &str) -> bool {
    findings(client).contains_key(id)
}

#[track_caller]
pub fn found(client: &mut Client, id: &str) -> Finding {
    let mut all = findings(client);
    let known = format!("{all:?}");
    all.remove(id)
        .unwrap_or_else(|| panic!("{id} is not in {known}"))
}

#[track_caller]
pub fn assert_silent(client: &mut Client, id: &str) {
    let all = findings(client);
    assert!(!all.contains_key(id), "{all:?}");
}

/// Runs commands in pipelines.
pub fn run(client: &mut Client, commands: impl Iterator<Item = Vec<String>>) {
    let commands: Vec<Vec<String>> = commands.collect();
    for chunk in commands.chunks(1000) {
        client.pipeline(chunk);
    }
}

pub fn set(key: String, bytes: usize) -> Vec<String> {
    vec!["SET".into(), key, "v".repeat(bytes)]
}

pub fn start(options: &[&str]) -> Option<Server> {
    start_ours(2, options)
}

#[test]
fn an_empty_instance_is_not_judged_and_a_filled_one_is() {
    let Some(server) = start_ours(1, &[]) else {
        return;
    };
    let mut client = server.client();
    assert_eq!(found(&mut client, "empty-instance").severity, "note");
    run(&mut client, (0..8000).map(|n| set(format!("k:{n}"), 1000)));
    assert_silent(&mut client, "empty-instance");
}

#[test]
fn a_healthy_server_gets_the_all_clear() {
    let Some(server) = start(&["--maxmemory", "1gb"]) else {
        return;
    };
    let mut client = server.client();
    run(
        &mut client,
        (0..40_000).map(|n| set(format!("user:{n}"), 1000)),
    );
    eventually("all is clear", || findings(&mut client).is_empty());
    let said = text(&client.ask("MEMORY DOCTOR"));
    assert!(said.starts_with("No memory problem found"), "{said}");
    assert_eq!(client.ask("memory doctor json"), bulk("{\"findings\":[]}"));
}

#[test]
fn a_peak_far_above_now_is_told_until_there_is_as_much_again() {
    let Some(server) = start(&[]) else {
        return;
    };
    let mut client = server.client();
    let fill = |client: &mut Client| {
        run(client, (0..30_000).map(|n| set(format!("k:{n}"), 1000)));
    };
    fill(&mut client);
    assert_silent(&mut client, "peak-above-total");
    run(
        &mut client,
        (8000..30_000).map(|n| vec!["DEL".into(), format!("k:{n}")]),
    );
    let finding = found(&mut client, "peak-above-total");
    assert!(finding.evidence["peak.allocated"] > 1.5 * finding.evidence["total.allocated"]);
    assert_eq!(finding.remedy, "", "activedefrag gives it back");
    fill(&mut client);
    assert_silent(&mut client, "peak-above-total");
}

/// Fills a server that does not defragment and deletes four fifths of it.
fn holed(bytes: impl Fn(&mut Dice) -> usize, keys: usize) -> Option<Server> {
    let server = start(&["--activedefrag", "no"])?;
    let mut client = server.client();
    let mut dice = Dice::new(7);
    let sets = (0..keys).map(|n| set(format!("k:{n}"), bytes(&mut dice)));
    run(&mut client, sets);
    let mut dice = Dice::new(8);
    let gone = (0..keys).filter(|_| dice.roll(5) > 0);
    let gone: Vec<_> = gone
        .map(|n| vec!["DEL".to_owned(), format!("k:{n}")])
        .collect();
    run(&mut client, gone.into_iter());
    Some(server)
}

#[test]
fn holes_between_entries_are_told_until_they_are_purged() {
    let Some(server) = holed(|dice| 400 + dice.roll(4) * 40, 100_000) else {
        return;
    };
    let mut client = server.client();
    let finding = found(&mut client, "slab-fragmentation");
    assert!(finding.evidence["slab.slack"] > 20e6);
    assert_eq!(finding.remedy, "MEMORY PURGE");
    assert_eq!(client.ask(&finding.remedy), ok());
    eventually("the pages are gone", || {
        !finds(&mut client, "slab-fragmentation")
    });
}

#[test]
fn free_blocks_of_the_heap_are_told_until_they_are_purged() {
    let Some(server) = holed(|dice| 9_000 + dice.roll(9) * 700, 5_000) else {
        return;
    };
    let mut client = server.client();
    let finding = found(&mut client, "heap-slack");
    assert!(finding.evidence["heap.slack"] > finding.evidence["slab.slack"]);
    assert_eq!(finding.remedy, "MEMORY PURGE");
    assert_eq!(client.ask(&finding.remedy), ok());
    eventually("the pages are gone", || !finds(&mut client, "heap-slack"));
}

/// Connections with a request each of which so many bytes have come, and not all.
fn unfinished(server: &Server, clients: usize, bytes: usize) -> Vec<Client> {
    let mut asker = server.client();
    let before: i64 = asker.info("mem_clients_normal").parse().expect("a number");
    let begin = |_| {
        let mut client = server.client();
        let head = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", 2 * bytes);
        client.send(head.as_bytes());
        client.send(&vec![b'x'; bytes]);
        client
    };
    let all: Vec<Client> = (0..clients).map(begin).collect();
    eventually("all of it has come", || {
        let now: i64 = asker.info("mem_clients_normal").parse().expect("a number");
        now - before >= (clients * bytes) as i64
    });
    all
}

#[test]
fn clients_with_large_buffers_are_told_until_they_are_gone() {
    let Some(server) = start(&["--maxmemory", "1gb"]) else {
        return;
    };
    let mut client = server.client();
    run(
        &mut client,
        (0..20_000).map(|n| set(format!("k:{n}"), 1000)),
    );
    assert_silent(&mut client, "large-clients");
    let others = unfinished(&server, 40, 1 << 20);
    let finding = found(&mut client, "large-clients");
    assert!(finding.evidence["clients.bytes"] > 40e6);
    // The connection that watched may still be there.
    assert!((41.0..=42.0).contains(&finding.evidence["clients"]));
    assert!(finding.evidence["largest.client.bytes"] > 1e6);
    assert_eq!(client.ask(&finding.remedy), ok());
    let finding = found(&mut client, "clients-resident");
    assert!(finding.evidence["clients"] > finding.evidence["process"]);
    assert_silent(&mut client, "large-client");
    drop(others);
    eventually("the clients are gone", || {
        let all = findings(&mut client);
        !all.contains_key("large-clients") && !all.contains_key("clients-resident")
    });
}

#[test]
fn one_client_with_a_large_buffer_is_told_by_its_id_and_can_be_closed() {
    let Some(server) = start(&[]) else {
        return;
    };
    let mut client = server.client();
    run(
        &mut client,
        (0..20_000).map(|n| set(format!("k:{n}"), 1000)),
    );
    let _other = unfinished(&server, 1, 24 << 20);
    let finding = found(&mut client, "large-client");
    assert!(finding.evidence["client.bytes"] > 24e6);
    let id = finding.evidence["client.id"];
    assert_eq!(finding.remedy, format!("CLIENT KILL ID {id}"));
    assert_eq!(client.ask(&finding.remedy), Reply::Int(1));
    eventually("it is closed", || !finds(&mut client, "large-client"));
}

#[test]
fn a_shard_with_most_of_the_data_is_told_and_the_prefix_or_the_key_that_makes_it_so() {
    let Some(server) = start(&[]) else {
        return;
    };
    let mut client = server.client();
    run(
        &mut client,
        (0..20_000).map(|n| set(format!("user:{n}"), 200)),
    );
    for id in [
        "shard-above-siblings",
        "prefix-dominates-shard",
        "key-dominates-shard",
    ] {
        assert_silent(&mut client, id);
    }
    run(
        &mut client,
        (0..25_000).map(|n| set(format!("{{tag}}:{n}"), 1000)),
    );
    let shard = found(&mut client, "shard-above-siblings").evidence["shard"];
    let finding = found(&mut client, "prefix-dominates-shard");
    assert_eq!(finding.evidence["shard"], shard);
    assert!(finding.evidence["prefix.bytes"] > 25e6);
    assert_eq!(finding.evidence["siblings.mean"], 0.0);
    assert_silent(&mut client, "key-dominates-shard");

    client.command(&["SET", "big\"key\n", &"v".repeat(40_000_000)]);
    let finding = found(&mut client, "key-dominates-shard");
    assert!(finding.evidence["key.bytes"] >= 40e6);
    assert!(finding.evidence["percentage"] > 30.0);
    assert_eq!(finding.remedy, r#"MEMORY EXPLAIN "big\"key\n""#);
    client.command(&["DEL", "big\"key\n"]);
    run(
        &mut client,
        (0..25_000).map(|n| vec!["DEL".into(), format!("{{tag}}:{n}")]),
    );
    for id in [
        "shard-above-siblings",
        "prefix-dominates-shard",
        "key-dominates-shard",
    ] {
        eventually("all is even again", || !finds(&mut client, id));
    }
}

#[test]
fn a_limit_that_is_nearly_met_is_told_where_nothing_may_go() {
    let Some(server) = start(&["--maxmemory", "40mb", "--maxmemory-policy", "noeviction"]) else {
        return;
    };
    let mut client = server.client();
    run(
        &mut client,
        (0..10_000).map(|n| set(format!("k:{n}"), 1000)),
    );
    assert_silent(&mut client, "near-limit");
    run(
        &mut client,
        (0..45_000).map(|n| set(format!("k:{n}"), 1000)),
    );
    let finding = found(&mut client, "near-limit");
    assert_eq!(finding.severity, "critical");
    assert_eq!(finding.evidence["maxmemory"], f64::from(40 << 20));
    client.ask("CONFIG SET maxmemory-policy volatile-lru");
    assert!(finds(&mut client, "near-limit"), "no key has an expiry");
    client.ask("CONFIG SET maxmemory-policy allkeys-lru");
    assert_silent(&mut client, "near-limit");
    client.ask("CONFIG SET maxmemory-policy noeviction");
    let finding = found(&mut client, "near-limit");
    assert_eq!(client.ask(&finding.remedy), ok());
    assert_silent(&mut client, "near-limit");
}

#[test]
fn a_limit_beyond_what_the_system_has_is_told() {
    let Some(server) = start(&["--maxmemory", "1000000gb"]) else {
        return;
    };
    let mut client = server.client();
    let finding = found(&mut client, "container-below-limit");
    assert_eq!(finding.severity, "warning");
    assert_eq!(client.ask(&finding.remedy), ok());
    assert_silent(&mut client, "container-below-limit");
}

/// Reads keys at random and stores what is missing.
fn read_through(client: &mut Client, dice: &mut Dice, reads: usize, keys: usize) {
    for _ in 0..reads / 100 {
        let wanted: Vec<String> = (0..100)
            .map(|_| format!("page:{}", dice.roll(keys)))
            .collect();
        let gets: Vec<_> = wanted
            .iter()
            .map(|key| vec!["GET".to_owned(), key.clone()])
            .collect();
        let replies = client.pipeline(&gets);
        let missing = wanted.into_iter().zip(replies);
        let sets: Vec<_> = missing
            .filter(|(_, reply)| *reply == Reply::Null)
            .map(|(key, _)| set(key, 1000))
            .collect();
        client.pipeline(&sets);
    }
}

#[test]
fn evicting_what_is_still_read_is_told_with_what_more_memory_would_buy() {
    let Some(server) = start(&["--maxmemory", "24mb"]) else {
        return;
    };
    let mut client = server.client();
    let mut dice = Dice::new(3);
    read_through(&mut client, &mut dice, 10_000, 5_000);
    assert_silent(&mut client, "eviction-thrash");
    read_through(&mut client, &mut dice, 100_000, 40_000);
    let finding = found(&mut client, "eviction-thrash");
    assert!(finding.evidence["evicted.keys"] > 1000.0);
    assert!(finding.evidence["hit.ratio"] < 90.0);
    assert!(finding.evidence["key.lifetime"] < 1200.0);
    // All that is read fits into twice the memory.
    assert!(finding.evidence["more.memory.hit.ratio"] > finding.evidence["hit.ratio"] + 10.0);
    assert!(finding.remedy.starts_with("CONFIG SET maxmemory "));
    // It is over once all fits and ten minutes have passed.
    assert_eq!(client.ask(&finding.remedy), ok());
    read_through(&mut client, &mut dice, 1_000, 40_000);
    assert!(finds(&mut client, "eviction-thrash"));
    assert_eq!(client.ask("DEBUG SKIP-MINUTES 11"), ok());
    assert_silent(&mut client, "eviction-thrash");
}

#[test]
fn keys_that_never_expire_beside_keys_that_do_are_told_until_they_expire_too() {
    let Some(server) = start(&[]) else {
        return;
    };
    let mut client = server.client();
    let expiring = |n: usize| {
        let mut words = set(format!("session:{n}"), 4000);
        words.extend(["EX".into(), "10000".into()]);
        words
    };
    run(&mut client, (0..2000).map(expiring));
    assert_silent(&mut client, "lasting-beside-expiring");
    run(
        &mut client,
        (2000..2300).map(|n| set(format!("session:{n}"), 4000)),
    );
    let finding = found(&mut client, "lasting-beside-expiring");
    assert_eq!(finding.severity, "note");
    assert_eq!(finding.evidence["keys.without.expiry"], 300.0);
    assert_eq!(finding.evidence["keys"], 2300.0);
    run(
        &mut client,
        (2000..2300).map(|n| vec!["EXPIRE".into(), format!("session:{n}"), "100".into()]),
    );
    assert_silent(&mut client, "lasting-beside-expiring");
}

#[test]
fn a_policy_that_may_evict_hardly_anything_is_told() {
    let Some(server) = start(&["--maxmemory", "1gb", "--maxmemory-policy", "volatile-lru"]) else {
        return;
    };
    let mut client = server.client();
    run(&mut client, (0..3000).map(|n| set(format!("k:{n}"), 4000)));
    let finding = found(&mut client, "lasting-keys-stay");
    assert_eq!(finding.evidence["keys.without.expiry"], 3000.0);
    assert_eq!(client.ask(&finding.remedy), ok());
    assert_silent(&mut client, "lasting-keys-stay");
}

#[test]
fn more_prefixes_than_have_rows_are_told_until_fewer_are_told_apart() {
    let Some(server) = start_ours(1, &[]) else {
        return;
    };
    let mut client = server.client();
    run(
        &mut client,
        (0..4000).map(|n| set(format!("user-{n}x:cart"), 500)),
    );
    assert_silent(&mut client, "ids-as-prefixes");
    run(
        &mut client,
        (0..20_000).map(|n| set(format!("user-{n}x:cart"), 500)),
    );
    let finding = found(&mut client, "ids-as-prefixes");
    assert!(finding.evidence["percentage"] > 30.0);
    assert_eq!(
        client.ask("CONFIG SET memory-prefix-delimiters -"),
        ok(),
        "so that the names begin alike"
    );
    eventually("they are counted anew", || {
        !finds(&mut client, "ids-as-prefixes")
    });
}

#[test]
fn a_trend_tells_of_a_whole_server_what_it_has_seen() {
    let Some(server) = start(&["--maxmemory", "1gb"]) else {
        return;
    };
    let mut client = server.client_resp3();
    run(
        &mut client,
        (0..20_000).map(|n| set(format!("user:{n}"), 1000)),
    );
    let trend = pairs(client.ask("MEMORY TREND COUNT 1"));
    let total = pairs(crate::memory::field(&trend, "total").clone());
    assert_eq!(int_field(&total, "maxmemory"), 1 << 30);
    let used: i64 = client.info("used_memory").parse().expect("a number");
    assert!((int_field(&total, "bytes") - used).abs() < 1 << 20);
    for span in ["1m", "10m", "1h", "24h"] {
        let growth = pairs(crate::memory::field(&total, span).clone());
        assert!(int_field(&growth, "growth.bytes") > 20_000_000, "{span}");
        assert!(int_field(&growth, "covered.seconds") < 100, "{span}");
        assert!(
            int_field(&growth, "bytes.per.minute") > 10_000_000,
            "{span}"
        );
        assert!(int_field(&growth, "seconds.until.maxmemory") < 10_000);
    }
    let Reply::Array(rows) = crate::memory::field(&trend, "prefixes") else {
        panic!("prefixes are an array")
    };
    let row = pairs(rows[0].clone());
    assert_eq!(text(crate::memory::field(&row, "prefix")), "user:");
    let growth = pairs(crate::memory::field(&row, "24h").clone());
    assert_eq!(int_field(&growth, "growth.bytes"), int_field(&row, "bytes"));
}
