//! Commands that take many elements out of a collection in steps: nobody sees the middle, and everybody else goes on.
//! Never measures time: what happens between two steps is left to chance, and many tries.
//! Source of what an answer may be: Redis, where nothing runs beside a command.

use testkit::{Client, client::encode};

use crate::balance::{REMAINDER_BYTES_MAX, assert_report_holds, remainder};
use crate::fixture::{bulk, eventually, ok, start, start_ours};
use crate::memory::stats;
use crate::reading::{MANY, beside, fill, member, texts, words};

/// What is left of `MANY` elements.
const LEFT: usize = 7;

/// Commands that leave so many, and what counts them.
const TAKES: [(&str, &str); 5] = [
    ("ZPOPMIN z 29993", "ZCARD z"),
    ("ZPOPMAX z 29993", "ZCARD z"),
    ("ZREMRANGEBYRANK z 3 -5", "ZCARD z"),
    ("LPOP l 29993", "LLEN l"),
    ("RPOP l 29993", "LLEN l"),
];

fn fill_both(client: &mut Client) {
    client.ask("DEL z l");
    let scored = |number: usize| vec![number.to_string(), member(number)];
    fill(client, MANY, scored, ["ZADD", "z"]);
    fill(client, MANY, |number| vec![member(number)], ["RPUSH", "l"]);
}

#[test]
fn what_is_taken_is_answered_in_its_order_and_its_place_in_a_pipeline() {
    for shards in [1, 2] {
        let server = start(shards, &[]);
        let mut client = server.client();
        for (take, count) in TAKES {
            fill_both(&mut client);
            let replies = client.pipeline(&[words(take), words("ECHO behind"), words(count)]);
            match take.split(' ').next() {
                Some("LPOP" | "RPOP") => {
                    let told = texts(&replies[0]);
                    let all: Vec<_> = (0..MANY).map(member).collect();
                    let expected: Vec<_> = match take.starts_with('L') {
                        true => all[..MANY - LEFT].to_vec(),
                        false => all[LEFT..].iter().rev().cloned().collect(),
                    };
                    assert!(told == expected, "{take} with {shards} shards");
                }
                Some("ZPOPMIN" | "ZPOPMAX") => {
                    assert_eq!(texts(&replies[0]).len(), 2 * (MANY - LEFT), "{take}");
                }
                _ => assert_eq!(replies[0], resp::Reply::Int((MANY - LEFT) as i64)),
            }
            assert_eq!(replies[1], bulk("behind"));
            assert_eq!(replies[2], resp::Reply::Int(LEFT as i64), "{take}");
        }
    }
}

#[test]
fn others_see_all_or_what_is_left_and_never_the_middle() {
    for shards in [1, 2] {
        let server = start(shards, &[]);
        let mut client = server.client();
        client.ask("SET other 1");
        let look = |client: &mut Client, number: usize| {
            let counts: Vec<i64> = ["ZCARD z", "LLEN l", "EXISTS z l"]
                .map(|line| client.int(line))
                .into();
            // It is filled a thousand at a time.
            let is_whole = |count: i64| count % 1_000 == 0 || count == LEFT as i64;
            assert!(is_whole(counts[0]) && is_whole(counts[1]), "{counts:?}");
            assert_eq!(client.ask("GET other"), bulk("1"));
            client.ask(["SUNION none other2", "MGET other none"][number % 2]);
        };
        beside(&server, look, || {
            for (take, count) in TAKES.into_iter().chain(TAKES) {
                fill_both(&mut client);
                client.ask(take);
                assert_eq!(client.int(count), LEFT as i64);
            }
        });
    }
}

#[test]
fn who_empties_all_meanwhile_waits_and_who_leaves_has_taken() {
    for shards in [1, 2] {
        let Some(server) = start_ours(shards, &[]) else {
            return;
        };
        let (mut client, mut other) = (server.client_resp3(), server.client());
        for (take, count) in TAKES {
            for empty in ["FLUSHALL", "SWAPDB 0 1", "FLUSHDB"] {
                fill_both(&mut client);
                other.send(&encode(&words(take)));
                assert_eq!(client.ask(empty), ok());
                let told = format!("{:?}", other.reply());
                let is_none = ["Array([])", "Null", "Int(0)"].contains(&&*told);
                let is_all = told.len() > 100 || told == "Int(29993)";
                assert!(is_none || is_all, "{told} of {take} beside {empty}");
                assert_eq!(client.int("DBSIZE"), 0, "{take} beside {empty}");
                assert_eq!(client.ask("FLUSHALL"), ok());
            }
            fill_both(&mut client);
            let mut leaving = server.client();
            leaving.send(&encode(&words(take)));
            drop(leaving);
            eventually("it takes or it never came", || {
                [MANY, LEFT].contains(&(client.int(count) as usize))
            });
        }
        assert_eq!(client.ask("FLUSHALL SYNC"), ok());
        eventually("nothing unexplained is left", || {
            let stats = stats(&mut client);
            remainder(&stats).abs() < REMAINDER_BYTES_MAX * shards as i64
        });
    }
}

#[test]
fn the_figures_of_memory_add_up_while_elements_are_taken() {
    for shards in [1, 2] {
        let Some(server) = start_ours(shards, &[]) else {
            return;
        };
        let run = |client: &mut Client, number: usize| {
            if number.is_multiple_of(2) {
                fill_both(client);
            }
            client.ask(TAKES[number % TAKES.len()].0);
        };
        beside(&server, run, || {
            let mut client = server.client_resp3();
            for _ in 0..60 {
                assert_report_holds(&stats(&mut client), shards);
            }
        });
    }
}
