//! Commands that combine or store large collections in steps: each result is whole, of one moment, and in its place.
//! Never measures time: what happens between two steps is left to chance, and many tries.
//! Source of what a result may be: Redis, where nothing runs beside a command.

use testkit::{Client, client::encode};

use crate::balance::{REMAINDER_BYTES_MAX, assert_report_holds, remainder};
use crate::fixture::{bulk, eventually, ok, start, start_ours};
use crate::memory::stats;
use crate::reading::{MANY, beside, fill, fill_set, member, texts, words};

/// How many members both of `z1` and `z2` have.
const SHARED: usize = MANY / 2;

/// `z1` with all members, `z2` with the second half and as many more, `s` with those of `z1`; scores are numbers of members.
/// All lie on one shard.
fn fill_sources(client: &mut Client) {
    let scored = |first: usize| {
        move |number: usize| vec![(first + number).to_string(), member(first + number)]
    };
    fill(client, MANY, scored(0), ["ZADD", "{t}z1"]);
    fill(client, MANY, scored(SHARED), ["ZADD", "{t}z2"]);
    fill_set(client, "{t}s", MANY);
}

fn scored(scores: impl Iterator<Item = (usize, usize)>) -> Vec<String> {
    let mut all: Vec<_> = scores
        .map(|(number, score)| (score, member(number)))
        .collect();
    all.sort();
    all.into_iter()
        .flat_map(|(score, member)| [member, score.to_string()])
        .collect()
}

/// Commands that store, with how many elements they leave under `{t}d`, and which command answers them.
fn stores() -> Vec<(String, usize, String)> {
    let line =
        |text: &str, count, ask: &str| (text.replace('~', "{t}"), count, ask.replace('~', "{t}"));
    vec![
        line(
            "ZUNIONSTORE ~d 2 ~z1 ~z2",
            MANY + SHARED,
            "ZUNION 2 ~z1 ~z2 WITHSCORES",
        ),
        line(
            "ZINTERSTORE ~d 2 ~z2 ~z1",
            SHARED,
            "ZINTER 2 ~z1 ~z2 WITHSCORES",
        ),
        line(
            "ZDIFFSTORE ~d 2 ~z1 ~z2",
            SHARED,
            "ZDIFF 2 ~z1 ~z2 WITHSCORES",
        ),
        line(
            "ZUNIONSTORE ~d 3 ~z1 ~s ~none WEIGHTS 2 7 3 AGGREGATE MAX",
            MANY,
            "ZUNION 3 ~z1 ~s ~none WEIGHTS 2 7 3 AGGREGATE MAX WITHSCORES",
        ),
        line(
            "ZRANGESTORE ~d ~z1 3 -2",
            MANY - 4,
            "ZRANGE ~z1 3 -2 WITHSCORES",
        ),
    ]
}

#[test]
fn what_is_made_of_several_is_answered_whole_and_in_its_place_in_a_pipeline() {
    let union = scored((0..MANY + SHARED).map(|number| {
        let is_shared = (SHARED..MANY).contains(&number);
        (number, if is_shared { 2 * number } else { number })
    }));
    let inter = scored((SHARED..MANY).map(|number| (number, 2 * number)));
    let diff = scored((0..SHARED).map(|number| (number, number)));
    let weighed = scored((0..MANY).map(|number| (number, (2 * number).max(7))));
    let range = scored((3..MANY - 1).map(|number| (number, number)));
    let all = [union, inter, diff, weighed, range];
    for shards in [1, 2, 4] {
        let server = start(shards, &[]);
        fill_sources(&mut server.client());
        for mut client in [server.client(), server.client_resp3(), server.client()] {
            let mut commands = Vec::new();
            for (nth, (store, _, ask)) in stores().iter().enumerate() {
                commands.push(words(ask));
                commands.push(words(store));
                commands.push(words("ZRANGE {t}d 0 -1 WITHSCORES"));
                commands.push(words(&format!("ECHO {nth}")));
            }
            let replies = client.pipeline(&commands);
            for (nth, (store, count, ask)) in stores().into_iter().enumerate() {
                let of_this = &replies[4 * nth..][..4];
                assert!(texts(&of_this[0]) == all[nth], "{ask} with {shards} shards");
                assert_eq!(of_this[1], resp::Reply::Int(count as i64), "{store}");
                assert!(
                    texts(&of_this[2]) == all[nth],
                    "{store} with {shards} shards"
                );
                assert_eq!(of_this[3], bulk(nth.to_string()));
            }
            for (line, count) in [
                ("ZINTERCARD 2 {t}z1 {t}z2", SHARED),
                ("ZINTERCARD 2 {t}z1 {t}z2 LIMIT 9000", 9000),
                ("SORT {t}z1 ALPHA DESC LIMIT 5 25000 STORE {t}d", 25_000),
            ] {
                assert_eq!(client.int(line), count as i64, "{line}");
            }
            let sorted = texts(&client.ask("LRANGE {t}d 0 -1"));
            let expected = (0..MANY - 5).rev().map(member).take(25_000);
            assert!(sorted.into_iter().eq(expected), "with {shards} shards");
        }
    }
}

#[test]
fn a_target_may_be_a_source_and_what_comes_out_empty_removes_it() {
    for shards in [1, 2] {
        let server = start(shards, &[]);
        let mut client = server.client();
        fill_sources(&mut client);
        let all = (MANY + SHARED) as i64;
        assert_eq!(client.int("ZUNIONSTORE {t}z1 2 {t}z2 {t}z1"), all);
        assert_eq!(client.int("ZCARD {t}z1"), all);
        assert_eq!(
            client.int("SORT {t}s ALPHA LIMIT 0 22000 STORE {t}s"),
            22_000
        );
        assert_eq!(client.text("TYPE {t}s"), "list");
        assert_eq!(client.int("ZDIFFSTORE {t}z2 2 {t}z2 {t}z1"), 0);
        assert_eq!(client.int("EXISTS {t}z2"), 0);
        let told = "ERR One or more scores can't be converted into double";
        assert_eq!(client.error("SORT {t}s STORE {t}z1"), told);
        assert_eq!(client.int("ZCARD {t}z1"), all);
    }
}

#[test]
fn what_others_write_to_a_source_is_in_a_result_whole_or_not_at_all() {
    for shards in [1, 2, 4] {
        let server = start(shards, &[]);
        fill_sources(&mut server.client());
        let write = |client: &mut Client, number: usize| {
            let score = (100_000 + number).to_string();
            // Members at both ends, the one gathered long before the other.
            client.command(&["ZADD", "{t}z1", &score, "a", &score, "z"]);
            client.command(&["ZREM", "{t}z1", "a", "z"]);
        };
        beside(&server, write, || {
            let mut client = server.client();
            for _ in 0..5 {
                for (store, ..) in stores().iter().filter(|(store, ..)| !store.contains("MAX")) {
                    client.ask(store);
                    let score =
                        |client: &mut Client, name: &str| client.command(&["ZSCORE", "{t}d", name]);
                    let (one, other) = (score(&mut client, "a"), score(&mut client, "z"));
                    if store.starts_with("ZUNION") || store.starts_with("ZDIFF") {
                        assert_eq!(one, other, "{store} with {shards} shards");
                    }
                }
            }
        });
    }
}

#[test]
fn a_target_is_seen_as_it_was_or_as_it_is_and_never_in_part() {
    for shards in [1, 2, 4] {
        let server = start(shards, &[]);
        fill_sources(&mut server.client());
        server.client().ask("ZUNIONSTORE {t}d 2 {t}z1 {t}z2");
        let store = |client: &mut Client, number: usize| {
            let all = stores();
            let (store, count, _) = &all[number % all.len()];
            assert_eq!(client.int(store), *count as i64, "{store}");
        };
        beside(&server, store, || {
            let mut client = server.client();
            let counts: Vec<i64> = stores().iter().map(|(_, count, _)| *count as i64).collect();
            for _ in 0..300 {
                let count = client.int("ZCARD {t}d");
                assert!(counts.contains(&count), "{count} with {shards} shards");
            }
        });
    }
}

#[test]
fn what_is_emptied_or_swapped_away_meanwhile_leaves_nothing_of_it() {
    let away: [&[&str]; 3] = [
        &["FLUSHALL"],
        &["SWAPDB 0 1", "FLUSHDB"],
        &["UNLINK {t}z1 {t}z2 {t}s {t}d"],
    ];
    for shards in [1, 2, 4] {
        let server = start(shards, &[]);
        let (mut storing, mut other) = (server.client(), server.client());
        for commands in away {
            for (store, count, _) in stores() {
                fill_sources(&mut other);
                storing.send(&encode(&words(&store)));
                for command in commands {
                    other.ask(command);
                }
                let told = match storing.reply() {
                    resp::Reply::Int(told) => told,
                    reply => panic!("{store}: {reply:?}"),
                };
                let what = format!("{store} beside {commands:?} with {shards} shards");
                assert!([0, count as i64].contains(&told), "{told}: {what}");
                assert_eq!(other.int("EXISTS {t}d"), 0, "{what}");
                assert_eq!(other.ask("FLUSHALL"), ok());
            }
        }
    }
}

#[test]
fn hits_misses_and_calls_are_counted_once() {
    for shards in [1, 2] {
        let server = start(shards, &[]);
        let mut client = server.client();
        fill_sources(&mut client);
        client.ask("CONFIG RESETSTAT");
        client.ask("ZUNIONSTORE {t}d 3 {t}z1 {t}none {t}z2");
        client.ask("ZINTERCARD 2 {t}z1 {t}z2");
        client.ask("ZRANGESTORE {t}d {t}z1 0 -1");
        client.ask("SORT {t}s ALPHA STORE {t}d");
        let counted = client.infos(["keyspace_hits", "keyspace_misses"]);
        assert_eq!(counted, ["6".to_owned(), "1".to_owned()]);
        for name in ["zunionstore", "zintercard", "zrangestore", "sort"] {
            let stats = client.info(&format!("cmdstat_{name}"));
            assert!(stats.starts_with("calls=1,"), "{name}: {stats}");
        }
    }
}

#[test]
fn the_figures_of_memory_add_up_while_results_grow_and_nothing_is_left_of_them() {
    for shards in [1, 2] {
        let Some(server) = start_ours(shards, &[]) else {
            return;
        };
        fill_sources(&mut server.client());
        let store = |client: &mut Client, number: usize| {
            let all = stores();
            let (store, _, ask) = &all[number % all.len()];
            client.ask(if number.is_multiple_of(3) { ask } else { store });
            client.ask("SORT {t}s ALPHA STORE {t}d");
        };
        beside(&server, store, || {
            let mut client = server.client_resp3();
            for _ in 0..100 {
                assert_report_holds(&stats(&mut client), shards);
            }
        });
        let mut client = server.client_resp3();
        assert_eq!(client.ask("FLUSHALL SYNC"), ok());
        eventually("nothing unexplained is left", || {
            let stats = stats(&mut client);
            remainder(&stats).abs() < REMAINDER_BYTES_MAX * shards as i64
        });
    }
}
