//! XREAD of several long streams, and SORT by and of what keys made of elements hold: each answer is whole and of one moment.
//! Never measures time: what happens between two steps is left to chance, and many tries.
//! Source of what an answer may be: Redis, where nothing runs beside a command.

use testkit::{Client, client::encode};

use crate::balance::{REMAINDER_BYTES_MAX, assert_report_holds, remainder};
use crate::fixture::{bulk, error, eventually, ok, start, start_ours};
use crate::memory::stats;
use crate::reading::{CHUNK, MANY, beside, fill, texts, words};

/// How many shards there are, and with what keys begin, so that all lie on one of them or anywhere.
const PLACES: [(usize, &str); 5] = [(1, ""), (2, "{t}"), (2, ""), (4, "{t}"), (4, "")];

/// Where keys that patterns make lie with the elements.
const TOGETHER: [(usize, &str); 3] = [(1, ""), (2, "{t}"), (4, "{t}")];

/// A stream of so many entries, whose only field is the number of each.
fn fill_stream(client: &mut Client, key: &str, count: usize) {
    let entry = |number: usize| words(&format!("XADD {key} {}-1 f {number}", number + 1));
    client.pipeline(&(0..count).map(entry).collect::<Vec<_>>());
}

#[test]
fn long_streams_are_answered_whole_in_their_order_and_in_their_place_in_a_pipeline() {
    for (shards, at) in PLACES {
        let server = start(shards, &[]);
        let mut client = server.client();
        for (key, count) in [("a", MANY), ("b", MANY / 2), ("c", MANY / 2), ("few", 2)] {
            fill_stream(&mut client, &format!("{at}{key}"), count);
        }
        let line = |text: &str| words(&text.replace('~', at));
        for mut client in [server.client(), server.client_resp3()] {
            let one = |client: &mut Client, key: &str| {
                texts(&client.ask(&format!("XREAD STREAMS {at}{key} 0")))
            };
            let of = ["a", "b", "c", "few"].map(|key| one(&mut client, key));
            let [a, b, c, few] = of;
            let replies = client.pipeline(&[
                line("XREAD STREAMS ~a ~few ~b 0 0 0"),
                line("ECHO one"),
                line("XREAD STREAMS ~few ~none ~b ~c 0 0 0 0"),
                line("XREAD STREAMS ~few ~a ~few 2-1 0 $"),
                line("XREAD STREAMS ~few ~a ~string 0 0 x"),
                line("ECHO last"),
            ]);
            let told = format!("with {shards} shards, keys at {at:?}");
            assert!(texts(&replies[0]) == [&a[..], &few, &b].concat(), "{told}");
            assert_eq!(replies[1], bulk("one"));
            assert!(texts(&replies[2]) == [&few[..], &b, &c].concat(), "{told}");
            assert!(texts(&replies[3]) == a, "{told}");
            let refused = "ERR Invalid stream ID specified as stream command argument";
            assert_eq!(replies[4], error(refused), "{told}");
            assert_eq!(replies[5], bulk("last"));
        }
        client.ask("CONFIG RESETSTAT");
        client.ask(&format!("XREAD STREAMS {at}a {at}none {at}b 0 0 0"));
        let counted = client.infos(["keyspace_hits", "keyspace_misses"]);
        assert_eq!(counted, ["2".to_owned(), "1".to_owned()]);
        assert!(client.info("cmdstat_xread").starts_with("calls=1,"));
    }
}

#[test]
fn what_is_added_to_streams_meanwhile_is_in_an_answer_in_its_order() {
    for (shards, at) in PLACES {
        let server = start(shards, &[]);
        let mut client = server.client();
        let keys = ["a", "b"].map(|key| format!("{at}{key}"));
        for key in &keys {
            fill_stream(&mut client, key, MANY);
        }
        let [a, b] = &keys;
        let write = |client: &mut Client, number: usize| {
            if number % 2 == 1 || number > MANY {
                // One writer is enough, and what it adds has to be read.
                return assert_eq!(client.int(&format!("EXISTS {a}")), 1);
            }
            client.ask(&format!("XADD {a} * f new"));
            client.ask(&format!("XADD {b} * f new"));
        };
        beside(&server, write, || {
            for _ in 0..6 {
                let told = texts(&client.ask(&format!("XREAD STREAMS {b} {a} 0 0")));
                let first = told.iter().position(|text| text == a).expect("it is long");
                let of_b = (first - 1) / 3;
                let of_a = (told.len() - first - 1) / 3;
                // The first is written before the second, and by one client.
                assert!(
                    of_a == of_b || of_a == of_b + 1,
                    "{of_a} and {of_b} with {shards} shards, keys at {at:?}"
                );
            }
        });
    }
}

/// A list of numbers, and keys made of each: a weight that turns their order around, a text, and a hash.
fn fill_sorted(client: &mut Client, at: &str, count: usize) {
    let number = |number: usize| vec![number.to_string()];
    fill(client, count, number, ["RPUSH", &format!("{at}l")]);
    fill(client, count, number, ["SADD", &format!("{at}s")]);
    for start in (0..count).step_by(CHUNK) {
        let numbers = start..(start + CHUNK).min(count);
        let commands: Vec<_> = numbers
            .flat_map(|number| {
                [
                    words(&format!("SET {at}w_{number} {}", count - number)),
                    words(&format!("SET {at}x_{number} 0")),
                    words(&format!("HSET {at}h_{number} f value:{number}")),
                ]
            })
            .collect();
        client.pipeline(&commands);
    }
}

#[test]
fn elements_are_ordered_by_what_keys_hold_and_stand_for_that_in_an_answer_or_a_target() {
    for (shards, at) in TOGETHER.into_iter().chain([(2, "")]) {
        let server = start(shards, &[]);
        let mut client = server.client();
        fill_sorted(&mut client, at, MANY);
        let line = |text: &str| words(&text.replace('~', at));
        let backwards: Vec<String> = (0..MANY).rev().map(|number| number.to_string()).collect();
        for mut client in [server.client(), server.client_resp3()] {
            let replies = client.pipeline(&[
                line("SORT ~l BY ~w_*"),
                line("SORT ~s BY ~w_* GET # GET ~h_*->f GET ~none_*"),
                line("ECHO one"),
                line("SORT ~l BY ~w_* STORE ~d"),
                line("LRANGE ~d 0 -1"),
                line("SORT_RO ~l BY nosort DESC GET ~h_*->f"),
                line("SORT ~s BY ~x_* ALPHA GET ~w_* LIMIT 3 25000 STORE ~d"),
                line("LLEN ~d"),
                line("SORT ~l BY ~h_*->f"),
                line("ECHO last"),
            ]);
            let told = format!("with {shards} shards, keys at {at:?}");
            assert!(texts(&replies[0]) == backwards, "{told}");
            let resp::Reply::Array(shown) = &replies[1] else {
                panic!("{told}")
            };
            let expected = (0..MANY).rev().flat_map(|number| {
                let value = format!("value:{number}");
                [bulk(number.to_string()), bulk(value), resp::Reply::Null]
            });
            assert!(shown.iter().cloned().eq(expected), "{told}");
            assert_eq!(replies[2], bulk("one"));
            assert_eq!(replies[3], resp::Reply::Int(MANY as i64));
            assert!(texts(&replies[4]) == backwards, "{told}");
            let values = backwards.iter().map(|number| format!("value:{number}"));
            assert!(texts(&replies[5]).into_iter().eq(values), "{told}");
            assert_eq!(replies[6], resp::Reply::Int(25_000));
            assert_eq!(replies[7], resp::Reply::Int(25_000));
            let refused = "ERR One or more scores can't be converted into double";
            assert_eq!(replies[8], error(refused));
            assert_eq!(replies[9], bulk("last"));
        }
    }
}

#[test]
fn what_is_sorted_is_stored_whole_wherever_the_keys_lie() {
    for (shards, at) in PLACES {
        let server = start(shards, &[]);
        let mut client = server.client();
        let number = |number: usize| vec![(7 * number % MANY).to_string()];
        fill(&mut client, MANY, number, ["RPUSH", &format!("{at}l")]);
        for nth in 0..4 {
            let target = format!("{at}d{nth}");
            let ways = [
                ("", MANY),
                ("DESC LIMIT 10 25000", 25_000),
                ("ALPHA GET # GET nothing", 2 * MANY),
                ("BY nosort", MANY),
            ];
            let (way, count) = ways[nth];
            let line = format!("SORT {at}l {way} STORE {target}");
            assert_eq!(client.int(&line.replace("  ", " ")), count as i64, "{line}");
            let stored = texts(&client.ask(&format!("LRANGE {target} 0 -1")));
            let line = format!("SORT {at}l {way}").trim().to_owned();
            let answered: Vec<String> = match client.ask(&line) {
                resp::Reply::Array(all) => all
                    .iter()
                    .map(|one| match one {
                        resp::Reply::Null => String::new(),
                        text => crate::fixture::text(text),
                    })
                    .collect(),
                other => panic!("{other:?}"),
            };
            assert!(
                stored == answered,
                "{line} with {shards} shards, keys at {at:?}"
            );
        }
        client.ask(&format!("RPUSH {at}l x"));
        let told = "ERR One or more scores can't be converted into double";
        assert_eq!(client.error(&format!("SORT {at}l STORE {at}d0")), told);
        assert_eq!(client.int(&format!("LLEN {at}d0")), MANY as i64);
    }
}

#[test]
fn values_of_keys_that_patterns_make_are_those_of_one_moment() {
    for (shards, at) in TOGETHER.into_iter().chain([(2, "")]) {
        let server = start(shards, &[]);
        let mut client = server.client();
        fill_sorted(&mut client, at, MANY);
        let (first, last) = (format!("{at}x_0"), format!("{at}x_{}", MANY - 1));
        let write = |client: &mut Client, number: usize| {
            if number % 2 == 1 {
                // One writer is enough.
                return assert_eq!(client.int(&format!("EXISTS {first}")), 1);
            }
            client.ask(&format!("SET {first} {number}"));
            client.ask(&format!("SET {last} {number}"));
        };
        beside(&server, write, || {
            let mut before = 0;
            for _ in 0..10 {
                let shown = texts(&client.ask(&format!("SORT {at}l BY nosort GET {at}x_*")));
                let ends = [&shown[0], &shown[MANY - 1]].map(|text| text.parse::<usize>());
                let [Ok(first), Ok(last)] = ends else {
                    panic!("{ends:?}")
                };
                assert!(
                    first == last || first == last + 2,
                    "{first} and {last} with {shards} shards, keys at {at:?}"
                );
                assert!(first >= before);
                before = first;
            }
        });
    }
}

#[test]
fn keys_that_commands_over_several_shards_change_are_waited_for_and_wait() {
    for shards in [2, 4] {
        let server = start(shards, &[]);
        let mut client = server.client();
        // What lies with the elements is met in steps.
        fill_sorted(&mut client, "{t}", MANY);
        let write = |client: &mut Client, number: usize| {
            let line = format!(
                "MSET {{t}}x_0 {number} far {number} {{t}}x_{} {number}",
                MANY - 1
            );
            assert_eq!(client.ask(&line), ok());
        };
        beside(&server, write, || {
            for _ in 0..10 {
                let shown = texts(&client.ask("SORT {t}l BY nosort GET {t}x_*"));
                assert_eq!(shown[0], shown[MANY - 1], "with {shards} shards");
                client.ask("SORT {t}l BY {t}x_* LIMIT 0 10 GET {t}x_* STORE {t}d");
            }
        });
    }
}

/// Commands that look keys up in steps.
fn long_lines(at: &str) -> Vec<String> {
    [
        "SORT ~l BY ~w_*",
        "SORT ~s BY nosort GET ~x_* STORE ~d",
        "SORT ~l STORE ~d",
        "XREAD STREAMS ~a ~b 0 0",
    ]
    .map(|line| line.replace('~', at))
    .into()
}

#[test]
fn who_leaves_or_empties_all_meanwhile_leaves_no_lock_and_no_memory() {
    for (shards, at) in PLACES {
        let Some(server) = start_ours(shards, &[]) else {
            return;
        };
        let mut client = server.client_resp3();
        for line in long_lines(at) {
            fill_sorted(&mut client, at, MANY);
            fill_stream(&mut client, &format!("{at}a"), MANY);
            fill_stream(&mut client, &format!("{at}b"), MANY);
            for _ in 0..3 {
                let mut leaving = server.client();
                leaving.send(&encode(&words(&line)));
                drop(leaving);
                assert_eq!(client.ask(&format!("SET {at}w_{} 7", MANY - 1)), ok());
                assert_eq!(client.ask(&format!("SET {at}x_0 7")), ok());
                client.ask(&format!("RPUSH {at}l 7"));
            }
            let mut beside = server.client();
            beside.send(&encode(&words(&line)));
            assert_eq!(client.ask("FLUSHALL"), ok());
            beside.reply();
            assert!(client.int("DBSIZE") <= 1, "{line}");
        }
        assert_eq!(client.ask("FLUSHALL SYNC"), ok());
        eventually("nothing unexplained is left", || {
            let stats = stats(&mut client);
            remainder(&stats).abs() < REMAINDER_BYTES_MAX * shards as i64
        });
    }
}

#[test]
fn the_figures_of_memory_add_up_while_keys_are_looked_up_in_steps() {
    for (shards, at) in PLACES {
        let Some(server) = start_ours(shards, &[]) else {
            return;
        };
        let mut client = server.client_resp3();
        fill_sorted(&mut client, at, MANY);
        fill_stream(&mut client, &format!("{at}a"), MANY);
        fill_stream(&mut client, &format!("{at}b"), MANY);
        let lines = long_lines(at);
        let run = |client: &mut Client, number: usize| {
            client.ask(&lines[number % lines.len()]);
        };
        beside(&server, run, || {
            for _ in 0..60 {
                assert_report_holds(&stats(&mut client), shards);
            }
        });
    }
}

#[test]
fn the_figures_of_memory_add_up_while_what_was_sorted_by_other_shards_keys_is_stored_in_steps() {
    for shards in [2, 4] {
        let Some(server) = start_ours(shards, &[]) else {
            return;
        };
        let mut client = server.client_resp3();
        fill_sorted(&mut client, "", MANY);
        let run = |client: &mut Client, number: usize| {
            client.ask(&format!("SORT l BY w_* STORE d{}", number % 8));
        };
        beside(&server, run, || {
            for _ in 0..300 {
                assert_report_holds(&stats(&mut client), shards);
            }
        });
    }
}
