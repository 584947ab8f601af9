//! Keys over shards: that they spread, that tags keep them together, and that commands on several keys are one moment.
//! Never assumes where a single key lives: the hash is secret.
//! Source of the atomicity promised: the commands of Redis, where one thread gives it.

use std::sync::atomic::{AtomicUsize, Ordering};

use resp::Reply;
use testkit::{Client, Server};

use crate::fixture::{bulk, elements, ok, start, start_ours};
use crate::memory::stats;

/// Keys on each shard, as MEMORY STATS tells them.
fn keys_by_shard(server: &Server) -> Vec<i64> {
    let stats = stats(&mut server.client_resp3());
    (0..stats.int("shards"))
        .map(|shard| stats.shard_int(shard, "keys.count"))
        .collect()
}

#[test]
fn keys_spread_over_all_shards() {
    let Some(server) = start_ours(4, &[]) else {
        return;
    };
    let commands: Vec<Vec<String>> = (0..4_000)
        .map(|n| vec!["SET".into(), format!("key:{n}"), "v".into()])
        .collect();
    server.client().pipeline(&commands);
    let keys = keys_by_shard(&server);
    assert_eq!(keys.iter().sum::<i64>(), 4_000);
    assert!(
        keys.iter().all(|&keys| keys > 600),
        "unevenly spread: {keys:?}"
    );
}

#[test]
fn keys_of_one_hash_tag_share_a_shard() {
    let Some(server) = start_ours(4, &[]) else {
        return;
    };
    let commands: Vec<Vec<String>> = (0..500)
        .map(|n| {
            vec![
                "SET".into(),
                format!("a{n}{{same}}b{n}{{x{n}}}"),
                "v".into(),
            ]
        })
        .collect();
    server.client().pipeline(&commands);
    let mut keys = keys_by_shard(&server);
    keys.sort_unstable();
    assert_eq!(keys, [0, 0, 0, 500]);
}

#[test]
fn braces_that_hold_nothing_are_no_hash_tag() {
    let Some(server) = start_ours(4, &[]) else {
        return;
    };
    let commands: Vec<Vec<String>> = (0..2_000)
        .map(|n| vec!["SET".into(), format!("{{}}key{n}"), "v".into()])
        .collect();
    server.client().pipeline(&commands);
    let keys = keys_by_shard(&server);
    assert!(
        keys.iter().all(|&keys| keys > 200),
        "unevenly spread: {keys:?}"
    );
}

#[test]
fn commands_on_many_keys_answer_in_the_order_of_their_keys() {
    for shards in [1, 2, 4] {
        let server = start(shards, &[]);
        let mut client = server.client();
        let mut set = vec!["MSET".to_string()];
        let mut ask = vec!["MGET".to_string()];
        for n in 0..300 {
            set.extend([format!("k{n}"), format!("v{n}")]);
            ask.extend([format!("k{n}"), format!("absent{n}")]);
        }
        assert_eq!(client.command(&set), ok());
        for (nth, reply) in elements(client.command(&ask)).iter().enumerate() {
            let expected = if nth % 2 == 0 {
                bulk(format!("v{}", nth / 2))
            } else {
                Reply::Null
            };
            assert_eq!(*reply, expected, "element {nth} with {shards} shards");
        }
        assert_eq!(client.command(&["MGET", "k1", "k1", "k2", "k1"]), {
            Reply::Array(vec![bulk("v1"), bulk("v1"), bulk("v2"), bulk("v1")])
        });
        assert_eq!(
            client.command(&["MSET", "twice", "1", "k0", "0", "twice", "2"]),
            ok()
        );
        assert_eq!(
            client.ask("GET twice"),
            bulk("2"),
            "the last of equal keys wins"
        );
    }
}

#[test]
fn counts_over_many_keys_add_up() {
    for shards in [1, 2, 4] {
        let server = start(shards, &[]);
        let mut client = server.client();
        assert_eq!(client.ask("MSET a 1 b 2 c 3 d 4 e 5 f 6"), ok());
        assert_eq!(client.int("EXISTS a b c d e f nope"), 6);
        assert_eq!(client.int("EXISTS a a a b"), 4);
        assert_eq!(client.int("TOUCH a b nope"), 2);
        assert_eq!(client.int("DEL a a b nope"), 2);
        assert_eq!(client.int("UNLINK c d nope"), 2);
        assert_eq!(client.int("DBSIZE"), 2);
        assert_eq!(client.int("MSETNX e 1 new 2"), 0);
        assert_eq!(client.int("EXISTS new"), 0);
        assert_eq!(client.int("MSETNX new1 1 new2 2 new3 3"), 1);
        let mut keys = elements(client.ask("KEYS *"))
            .iter()
            .map(crate::fixture::text)
            .collect::<Vec<_>>();
        keys.sort();
        assert_eq!(keys, ["e", "f", "new1", "new2", "new3"]);
    }
}

#[test]
fn renames_and_copies_work_between_shards() {
    let server = start(4, &[]);
    let mut client = server.client();
    for n in 0..100 {
        let (from, to) = (format!("from{n}"), format!("to{n}"));
        assert_eq!(client.command(&["SET", &from, "v", "PX", "100000"]), ok());
        assert_eq!(client.command(&["RENAME", &from, &to]), ok());
        assert_eq!(client.command(&["EXISTS", &from]), Reply::Int(0));
        assert_eq!(client.command(&["GET", &to]), bulk("v"));
        assert!(
            client.int(&format!("PTTL {to}")) > 0,
            "the expiry moves along"
        );
        assert_eq!(client.command(&["COPY", &to, &from]), Reply::Int(1));
        assert_eq!(client.command(&["COPY", &to, &from]), Reply::Int(0));
        assert_eq!(client.command(&["RENAMENX", &to, &from]), Reply::Int(0));
        assert_eq!(
            client.command(&["COPY", &to, &from, "REPLACE", "DB", "3"]),
            Reply::Int(1)
        );
    }
    assert_eq!(client.error("RENAME absent x"), "ERR no such key");
    assert_eq!(client.int("DBSIZE"), 200);
    assert_eq!(client.ask("SELECT 3"), ok());
    assert_eq!(client.int("DBSIZE"), 100);
}

/// Runs writers to their end and watchers for as long as any of them writes.
/// A watcher looks once more after the last write.
fn watch(
    server: &Server,
    writers: &[&(dyn Fn(&mut Client) + Sync)],
    watcher: &(dyn Fn(&mut Client) + Sync),
) {
    let writing = AtomicUsize::new(writers.len());
    std::thread::scope(|scope| {
        let writing = &writing;
        for writer in writers {
            scope.spawn(move || {
                // Counted down also by a panic, or the watchers would never end.
                let _done = CountDown(writing);
                writer(&mut server.client());
            });
        }
        for _ in 0..3 {
            scope.spawn(move || {
                let mut client = server.client();
                while writing.load(Ordering::Acquire) > 0 {
                    watcher(&mut client);
                }
                watcher(&mut client);
            });
        }
    });
}

struct CountDown<'a>(&'a AtomicUsize);

impl Drop for CountDown<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

const ROUNDS: usize = 1_500;
const KEYS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

fn mset(value: &str) -> Vec<String> {
    let pairs = KEYS
        .iter()
        .flat_map(|key| [key.to_string(), value.to_string()]);
    std::iter::once("MSET".to_string()).chain(pairs).collect()
}

/// Watches that MGET of all keys, in two orders, sees one value everywhere.
fn sees_one_value(client: &mut Client) {
    let forwards: Vec<&str> = std::iter::once("MGET").chain(KEYS).collect();
    let backwards: Vec<&str> = std::iter::once("MGET")
        .chain(KEYS.iter().rev().copied())
        .collect();
    for command in [forwards, backwards] {
        let values = elements(client.command(&command));
        assert!(
            values.iter().all(|value| *value == values[0]),
            "half an MSET was seen: {values:?}"
        );
    }
}

#[test]
fn no_one_sees_half_an_mset() {
    for shards in [1, 2, 4] {
        let server = start(shards, &[]);
        let writer = |name: &'static str| {
            move |client: &mut Client| {
                for round in 0..ROUNDS {
                    assert_eq!(client.command(&mset(&format!("{name}{round}"))), ok());
                }
            }
        };
        watch(
            &server,
            &[&writer("first"), &writer("second")],
            &sees_one_value,
        );
    }
}

#[test]
fn strings_of_two_shards_are_compared_as_if_they_lay_on_one() {
    let texts = ["ohmytext", "mynewtext", "", "12345", "-7", "xohmnewt"];
    let mut replies_of_one_shard = Vec::new();
    for shards in [1, 2, 4] {
        let server = start(shards, &[]);
        let mut client = server.client();
        for (n, text) in texts.iter().enumerate() {
            assert_eq!(client.command(&["SET", &format!("k{n}"), text]), ok());
        }
        let mut replies = Vec::new();
        for first in 0..=texts.len() {
            for second in 0..=texts.len() {
                for options in ["", " LEN", " IDX WITHMATCHLEN", " LEN IDX"] {
                    replies.push(client.ask(&format!("LCS k{first} k{second}{options}")));
                }
            }
        }
        assert_eq!(client.int("DBSIZE"), texts.len() as i64);
        if shards == 1 {
            replies_of_one_shard = replies;
        } else {
            assert_eq!(replies, replies_of_one_shard, "with {shards} shards");
        }
    }
}

#[test]
fn no_one_compares_halves_of_two_msets() {
    for shards in [1, 2, 4] {
        let server = start(shards, &[]);
        assert_eq!(server.client().command(&mset("xxxxxxxxxx")), ok());
        let writer = |letter: &'static str| {
            move |client: &mut Client| {
                for _ in 0..ROUNDS / 2 {
                    assert_eq!(client.command(&mset(&letter.repeat(10))), ok());
                }
            }
        };
        let watcher = |client: &mut Client| {
            for pair in KEYS.windows(2) {
                let [first, second] = pair else { return };
                let common = client.int(&format!("LCS {second} {first} LEN"));
                assert_eq!(common, 10, "half an MSET was seen in {first} and {second}");
            }
        };
        watch(&server, &[&writer("a"), &writer("b")], &watcher);
    }
}

#[test]
fn no_one_sees_half_a_pipeline_of_msets_and_deletions() {
    let server = start(2, &[]);
    let writer = |client: &mut Client| {
        let deletion: Vec<String> = std::iter::once("DEL")
            .chain(KEYS)
            .map(String::from)
            .collect();
        for round in 0..ROUNDS / 10 {
            let mut commands = Vec::new();
            for nth in 0..10 {
                commands.push(mset(&format!("{round}-{nth}")));
                commands.push(deletion.clone());
            }
            let replies = client.pipeline(&commands);
            for pair in replies.chunks(2) {
                assert_eq!(pair, [ok(), Reply::Int(KEYS.len() as i64)]);
            }
        }
    };
    let watcher = |client: &mut Client| {
        sees_one_value(client);
        let exist = client.int("EXISTS a b c d e f g h");
        assert!(exist == 0 || exist == 8, "{exist} of 8 keys were seen");
    };
    watch(&server, &[&writer], &watcher);
}

#[test]
fn an_msetnx_happens_whole_or_not_at_all() {
    let server = start(2, &[]);
    let won = AtomicUsize::new(0);
    let writer = |name: &'static str| {
        let won = &won;
        move |client: &mut Client| {
            for round in 0..ROUNDS {
                let mut command = mset(&format!("{name}{round}"));
                command[0] = "MSETNX".into();
                if client.command(&command) == Reply::Int(1) {
                    won.fetch_add(1, Ordering::Relaxed);
                    let deleted = client.ask("DEL a b c d e f g h");
                    assert_eq!(
                        deleted,
                        Reply::Int(8),
                        "what one MSETNX set, another touched"
                    );
                }
            }
        }
    };
    watch(
        &server,
        &[&writer("first"), &writer("second")],
        &sees_one_value,
    );
    assert!(won.load(Ordering::Relaxed) > 0);
}

#[test]
fn a_key_that_is_renamed_to_and_fro_is_always_in_exactly_one_place() {
    let server = start(4, &[]);
    let mut client = server.client();
    for n in 0..4 {
        assert_eq!(
            client.command(&["SET", &format!("here{n}"), &n.to_string()]),
            ok()
        );
    }
    let writer = |client: &mut Client| {
        for _ in 0..ROUNDS / 4 {
            for n in 0..4 {
                assert_eq!(client.ask(&format!("RENAME here{n} there{n}")), ok());
            }
            for n in 0..4 {
                assert_eq!(
                    client.ask(&format!("RENAMENX there{n} here{n}")),
                    Reply::Int(1)
                );
            }
        }
    };
    let watcher = |client: &mut Client| {
        for n in 0..4 {
            let found = elements(client.ask(&format!("MGET here{n} there{n}")));
            let values = found
                .iter()
                .filter(|value| **value == bulk(n.to_string()))
                .count();
            assert_eq!(values, 1, "the key was seen as {found:?}");
        }
    };
    watch(&server, &[&writer], &watcher);
}

#[test]
fn crossing_commands_on_the_same_keys_never_block_each_other_for_good() {
    let server = start(4, &[]);
    let port = server.port();
    std::thread::scope(|scope| {
        for client in 0..6 {
            scope.spawn(move || {
                let mut dice = crate::fixture::Dice::new(client);
                let mut connection = Client::connect(port);
                let commands: Vec<Vec<String>> = (0..1_000)
                    .map(|_| {
                        let mut keys: Vec<String> = KEYS.iter().map(ToString::to_string).collect();
                        let turn = dice.roll(keys.len());
                        keys.rotate_left(turn);
                        match dice.roll(7) {
                            0 => vec!["RENAME".into(), keys[0].clone(), keys[1].clone()],
                            1 => vec![
                                "COPY".into(),
                                keys[0].clone(),
                                keys[1].clone(),
                                "REPLACE".into(),
                            ],
                            2 => std::iter::once("DEL".into()).chain(keys).collect(),
                            3 => std::iter::once("MGET".into()).chain(keys).collect(),
                            4 => vec!["SET".into(), keys[0].clone(), "v".into()],
                            5 => vec!["LCS".into(), keys[0].clone(), keys[1].clone()],
                            _ => {
                                let pairs = keys.into_iter().flat_map(|key| [key, "v".to_string()]);
                                std::iter::once("MSET".into()).chain(pairs).collect()
                            }
                        }
                    })
                    .collect();
                assert_eq!(connection.pipeline(&commands).len(), commands.len());
            });
        }
    });
    assert_eq!(server.client().text("PING"), "PONG");
}

#[test]
fn on_a_busy_machine_no_command_is_left_waiting() {
    let server = start(2, &[]);
    let mut client = server.client();
    let running = AtomicUsize::new(1);
    std::thread::scope(|scope| {
        let _done = CountDown(&running);
        // More work than cores, so that shards are interrupted at every point of their turn.
        for _ in 0..3 {
            scope.spawn(|| {
                while running.load(Ordering::Acquire) > 0 {
                    std::hint::spin_loop();
                }
            });
        }
        for round in 0..500 {
            let value = round.to_string();
            assert_eq!(client.command(&mset(&value)), ok());
            assert_eq!(client.command(&["RENAME", "a", "z"]), ok());
            assert_eq!(client.command(&["GET", "z"]), bulk(&value));
            assert_eq!(client.int("DBSIZE"), KEYS.len() as i64);
        }
    });
}

#[test]
fn databases_are_apart_on_every_shard() {
    let server = start(2, &[]);
    let mut client = server.client();
    for db in 0..16 {
        assert_eq!(client.ask(&format!("SELECT {db}")), ok());
        for key in 0..=db {
            assert_eq!(client.ask(&format!("SET key{key} {db}")), ok());
        }
    }
    for db in 0..16 {
        assert_eq!(client.ask(&format!("SELECT {db}")), ok());
        assert_eq!(client.int("DBSIZE"), db + 1);
        assert_eq!(client.ask("GET key0"), bulk(db.to_string()));
    }
    assert_eq!(client.error("SELECT 16"), "ERR DB index is out of range");
    assert_eq!(client.ask("SWAPDB 15 0"), ok());
    assert_eq!(client.ask("GET key0"), bulk("0"));
    assert_eq!(client.int("DBSIZE"), 1);
    assert_eq!(client.ask("FLUSHDB"), ok());
    assert_eq!(client.ask("SELECT 0"), ok());
    assert_eq!(client.int("DBSIZE"), 16);
    assert_eq!(client.int("MOVE key15 15"), 1);
    assert_eq!(client.int("MOVE key14 1"), 1);
    assert_eq!(client.int("MOVE key1 1"), 0);
    assert_eq!(client.ask("FLUSHALL ASYNC"), ok());
    for db in 0..16 {
        assert_eq!(client.ask(&format!("SELECT {db}")), ok());
        assert_eq!(client.int("DBSIZE"), 0);
    }
}

#[test]
fn what_travels_between_shards_stays_on_no_shards_account() {
    let Some(server) = start_ours(2, &["--metrics-port", "0"]) else {
        return;
    };
    let mut client = server.client();
    let key = |number: usize| format!("key:{number}");
    let value = "v".repeat(2000);
    for number in 0..200 {
        client.command(&["SET", &key(number), &value]);
    }
    let commands: Vec<Vec<String>> = (0..200)
        .map(|number| vec!["GET".to_owned(), key(number)])
        .collect();
    for _ in 0..300 {
        client.pipeline(&commands);
        client.ask("INFO everything");
        client.ask("MEMORY STATS");
    }
    let rows = elements(server.client_resp3().ask("MEMORY SHARDS"));
    for row in rows {
        let Reply::Map(fields) = row else {
            panic!("a row is a map")
        };
        let field = |name: &str| {
            let mut named = fields.iter().filter(|(field, _)| *field == bulk(name));
            match named.next() {
                Some((_, Reply::Int(value))) => *value,
                other => panic!("{name} is {other:?}"),
            }
        };
        let overhead_bytes = field("overhead.bytes");
        assert!(
            (0..3 << 20).contains(&overhead_bytes),
            "{overhead_bytes} bytes of overhead"
        );
    }
}
