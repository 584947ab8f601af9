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

/// How many shards there are, and with what keys begin, so that all lie on one of them or anywhere.
const PLACES: [(usize, &str); 5] = [(1, ""), (2, "{t}"), (2, ""), (4, "{t}"), (4, "")];

/// `z1` with all members, `z2` with the second half and as many more, `s` with those of `z1`; scores are numbers of members.
fn fill_sources(client: &mut Client, at: &str) {
    let scored = |first: usize| {
        move |number: usize| vec![(first + number).to_string(), member(first + number)]
    };
    fill(client, MANY, scored(0), ["ZADD", &format!("{at}z1")]);
    fill(client, MANY, scored(SHARED), ["ZADD", &format!("{at}z2")]);
    fill_set(client, &format!("{at}s"), MANY);
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

/// Commands that store, with how many elements they leave under `d`, and which command answers them.
fn stores(at: &str) -> Vec<(String, usize, String)> {
    let line = |text: &str, count, ask: &str| (text.replace('~', at), count, ask.replace('~', at));
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
    for (shards, at) in PLACES {
        let server = start(shards, &[]);
        fill_sources(&mut server.client(), at);
        for mut client in [server.client(), server.client_resp3(), server.client()] {
            let mut commands = Vec::new();
            for (nth, (store, _, ask)) in stores(at).iter().enumerate() {
                commands.push(words(ask));
                commands.push(words(store));
                commands.push(words(&format!("ZRANGE {at}d 0 -1 WITHSCORES")));
                commands.push(words(&format!("ECHO {nth}")));
            }
            let replies = client.pipeline(&commands);
            for (nth, (store, count, ask)) in stores(at).into_iter().enumerate() {
                let of_this = &replies[4 * nth..][..4];
                assert!(
                    texts(&of_this[0]) == all[nth],
                    "{ask} with {shards} shards, keys at {at:?}"
                );
                assert_eq!(of_this[1], resp::Reply::Int(count as i64), "{store}");
                assert!(
                    texts(&of_this[2]) == all[nth],
                    "{store} with {shards} shards, keys at {at:?}"
                );
                assert_eq!(of_this[3], bulk(nth.to_string()));
            }
            for (line, count) in [
                (format!("ZINTERCARD 2 {at}z1 {at}z2"), SHARED),
                (format!("ZINTERCARD 2 {at}z1 {at}z2 LIMIT 9000"), 9000),
                (
                    format!("SORT {at}z1 ALPHA DESC LIMIT 5 25000 STORE {at}d"),
                    25_000,
                ),
            ] {
                assert_eq!(client.int(&line), count as i64, "{line}");
            }
            let sorted = texts(&client.ask(&format!("LRANGE {at}d 0 -1")));
            let expected = (0..MANY - 5).rev().map(member).take(25_000);
            assert!(
                sorted.into_iter().eq(expected),
                "with {shards} shards, keys at {at:?}"
            );
        }
    }
}

#[test]
fn members_that_lie_somewhere_are_stored_whole_wherever_the_keys_lie() {
    let place = |number: usize| {
        let (x, y) = (number % 997, number / 997);
        let (longitude, latitude) = (x as f64 / 3.0 - 166.0, y as f64 * 2.0 - 60.0);
        vec![longitude.to_string(), latitude.to_string(), member(number)]
    };
    for (shards, at) in PLACES {
        let server = start(shards, &[]);
        let mut client = server.client();
        fill(&mut client, MANY, place, ["GEOADD", &format!("{at}g")]);
        let line = |text: &str| words(&text.replace('~', at));
        for (line_of_store, count) in [
            (
                "GEOSEARCHSTORE ~d ~g FROMLONLAT 0 0 BYRADIUS 20100 km",
                MANY,
            ),
            ("GEORADIUS ~g 0 0 20100 km COUNT 21000 STORE ~d", 21_000),
        ] {
            let replies = client.pipeline(&[
                line("SET ~d old"),
                line(line_of_store),
                line("ZCARD ~d"),
                line("GEOPOS ~d member:000000"),
                line("GEOPOS ~g member:000000"),
                words("ECHO last"),
            ]);
            let told = format!("{line_of_store} with {shards} shards, keys at {at:?}");
            assert_eq!(replies[1], resp::Reply::Int(count as i64), "{told}");
            assert_eq!(replies[2], resp::Reply::Int(count as i64), "{told}");
            if count == MANY {
                assert_eq!(replies[3], replies[4], "{told}");
            }
            assert_eq!(replies[5], bulk("last"));
        }
        let scored = |key: &str| format!("ZRANGE {at}{key} 0 -1 WITHSCORES");
        client.ask(&format!(
            "GEOSEARCHSTORE {at}d {at}g FROMLONLAT 0 0 BYRADIUS 20100 km"
        ));
        let (from, stored) = (client.ask(&scored("g")), client.ask(&scored("d")));
        assert!(from == stored, "with {shards} shards, keys at {at:?}");
        let nearest = format!(
            "GEOSEARCHSTORE {at}d {at}g FROMMEMBER member:000000 BYRADIUS 20100 km STOREDIST COUNT 20500"
        );
        assert_eq!(client.int(&nearest), 20_500);
        let distances = texts(&client.ask(&scored("d")));
        assert_eq!(distances[..2], ["member:000000", "0"]);
        assert_eq!(distances.len(), 2 * 20_500);
        let none = format!("GEOSEARCHSTORE {at}g {at}g FROMLONLAT 0 85 BYBOX 1 1 km");
        assert_eq!(client.int(&none), 0);
        assert_eq!(client.int(&format!("EXISTS {at}g")), 0);
    }
}

#[test]
fn a_target_may_be_a_source_and_what_comes_out_empty_removes_it() {
    for (shards, at) in PLACES {
        let server = start(shards, &[]);
        let mut client = server.client();
        fill_sources(&mut client, at);
        let all = (MANY + SHARED) as i64;
        assert_eq!(
            client.int(&format!("ZUNIONSTORE {at}z1 2 {at}z2 {at}z1")),
            all
        );
        assert_eq!(client.int(&format!("ZCARD {at}z1")), all);
        assert_eq!(
            client.int(&format!("SORT {at}s ALPHA LIMIT 0 22000 STORE {at}s")),
            22_000
        );
        assert_eq!(client.text(&format!("TYPE {at}s")), "list");
        assert_eq!(client.int(&format!("ZDIFFSTORE {at}z2 2 {at}z2 {at}z1")), 0);
        assert_eq!(client.int(&format!("EXISTS {at}z2")), 0);
        let told = "ERR One or more scores can't be converted into double";
        assert_eq!(client.error(&format!("SORT {at}s STORE {at}z1")), told);
        assert_eq!(client.int(&format!("ZCARD {at}z1")), all);
    }
}

#[test]
fn what_others_write_to_a_source_is_in_a_result_whole_or_not_at_all() {
    for (shards, at) in PLACES {
        let server = start(shards, &[]);
        fill_sources(&mut server.client(), at);
        let write = |client: &mut Client, number: usize| {
            let (key, score) = (format!("{at}z1"), (100_000 + number).to_string());
            // Members at both ends, the one gathered long before the other.
            client.command(&["ZADD", &key, &score, "a", &score, "z"]);
            client.command(&["ZREM", &key, "a", "z"]);
        };
        beside(&server, write, || {
            let mut client = server.client();
            for _ in 0..5 {
                for (store, ..) in stores(at)
                    .iter()
                    .filter(|(store, ..)| !store.contains("MAX"))
                {
                    client.ask(store);
                    let score = |client: &mut Client, name: &str| {
                        client.ask(&format!("ZSCORE {at}d {name}"))
                    };
                    let (one, other) = (score(&mut client, "a"), score(&mut client, "z"));
                    if store.starts_with("ZUNION") || store.starts_with("ZDIFF") {
                        assert_eq!(one, other, "{store} with {shards} shards, keys at {at:?}");
                    }
                }
            }
        });
    }
}

#[test]
fn a_target_is_seen_as_it_was_or_as_it_is_and_never_in_part() {
    for (shards, at) in PLACES {
        let server = start(shards, &[]);
        fill_sources(&mut server.client(), at);
        server
            .client()
            .ask(&format!("ZUNIONSTORE {at}d 2 {at}z1 {at}z2"));
        let store = |client: &mut Client, number: usize| {
            let all = stores(at);
            let (store, count, _) = &all[number % all.len()];
            assert_eq!(client.int(store), *count as i64, "{store}");
        };
        beside(&server, store, || {
            let mut client = server.client();
            let counts: Vec<i64> = stores(at)
                .iter()
                .map(|(_, count, _)| *count as i64)
                .collect();
            for _ in 0..300 {
                let count = client.int(&format!("ZCARD {at}d"));
                assert!(
                    counts.contains(&count),
                    "{count} with {shards} shards, keys at {at:?}"
                );
            }
        });
    }
}

#[test]
fn what_is_emptied_or_swapped_away_meanwhile_leaves_nothing_of_it() {
    for (shards, at) in PLACES {
        let unlink = format!("UNLINK {at}z1 {at}z2 {at}s {at}d");
        let away: [&[&str]; 3] = [&["FLUSHALL"], &["SWAPDB 0 1", "FLUSHDB"], &[&unlink]];
        let server = start(shards, &[]);
        let (mut storing, mut other) = (server.client(), server.client());
        for commands in away {
            for (store, count, _) in stores(at) {
                fill_sources(&mut other, at);
                storing.send(&encode(&words(&store)));
                for command in commands {
                    other.ask(command);
                }
                let told = match storing.reply() {
                    resp::Reply::Int(told) => told,
                    reply => panic!("{store}: {reply:?}"),
                };
                let what =
                    format!("{store} beside {commands:?} with {shards} shards, keys at {at:?}");
                assert!([0, count as i64].contains(&told), "{told}: {what}");
                assert_eq!(other.int(&format!("EXISTS {at}d")), 0, "{what}");
                assert_eq!(other.ask("FLUSHALL"), ok());
            }
        }
    }
}

#[test]
fn hits_misses_and_calls_are_counted_once() {
    for (shards, at) in PLACES {
        let server = start(shards, &[]);
        let mut client = server.client();
        fill_sources(&mut client, at);
        client.ask("CONFIG RESETSTAT");
        client.ask(&format!("ZUNIONSTORE {at}d 3 {at}z1 {at}none {at}z2"));
        client.ask(&format!("ZINTERCARD 2 {at}z1 {at}z2"));
        client.ask(&format!("ZRANGESTORE {at}d {at}z1 0 -1"));
        client.ask(&format!("SORT {at}s ALPHA STORE {at}d"));
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
    for (shards, at) in PLACES {
        let Some(server) = start_ours(shards, &[]) else {
            return;
        };
        fill_sources(&mut server.client(), at);
        let store = |client: &mut Client, number: usize| {
            let all = stores(at);
            let (store, _, ask) = &all[number % all.len()];
            client.ask(if number.is_multiple_of(3) { ask } else { store });
            client.ask(&format!("SORT {at}s ALPHA STORE {at}d"));
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
