//! Long pipelines: order, correctness over shards, and bounds for clients that do not read.
//! Never measures speed.
//! Source: none; a model in a few lines says what each reply must be.

use std::collections::HashMap;

use resp::Reply;
use testkit::encode;

use crate::fixture::{Dice, bulk, error, ok, skipped, start, start_ours};

/// Random commands on few keys and the reply each must get.
struct Script {
    dice: Dice,
    values: HashMap<String, String>,
    bytes: Vec<u8>,
    replies: Vec<Reply>,
    /// Lengths of the values beside their number.
    value_lens: &'static [usize],
}

impl Script {
    fn new(seed: u64) -> Script {
        Script {
            dice: Dice::new(seed),
            values: HashMap::new(),
            bytes: Vec::new(),
            replies: Vec::new(),
            value_lens: &[0],
        }
    }

    fn key(&mut self) -> String {
        format!("key:{}", self.dice.roll(50))
    }

    fn expect(&mut self, command: &[&str], reply: Reply) {
        self.bytes.extend(encode(command));
        self.replies.push(reply);
    }

    fn add(&mut self, nth: usize) {
        let key = self.key();
        let old = self.values.get(&key).cloned();
        let old_reply = old.as_ref().map_or(Reply::Null, bulk);
        let value_len = self.value_lens[self.dice.roll(self.value_lens.len())];
        let value = format!("value:{nth}{}", "x".repeat(value_len));
        match self.dice.roll(9) {
            0 | 1 => {
                self.expect(&["SET", &key, &value], ok());
                self.values.insert(key, value);
            }
            2 | 3 => self.expect(&["GET", &key], old_reply),
            4 => self.expect(&["ECHO", &value], bulk(&value)),
            5 => {
                self.expect(&["DEL", &key], Reply::Int(old.is_some().into()));
                self.values.remove(&key);
            }
            6 => {
                let longer = old.unwrap_or_default() + "+";
                self.expect(&["APPEND", &key, "+"], Reply::Int(longer.len() as i64));
                self.values.insert(key, longer);
            }
            7 => {
                let other = self.key();
                let other_reply = self.values.get(&other).map_or(Reply::Null, bulk);
                self.expect(
                    &["MGET", &key, &other],
                    Reply::Array(vec![old_reply, other_reply]),
                );
            }
            _ => {
                let other = self.key();
                self.expect(&["MSET", &key, &value, &other, &value], ok());
                self.values.insert(key, value.clone());
                self.values.insert(other, value);
            }
        }
        if nth.is_multiple_of(97) {
            let text = "ERR wrong number of arguments for 'get' command";
            self.expect(&["GET"], error(text));
        }
    }
}

fn assert_script_holds(shards: usize, commands: usize, seed: u64) {
    assert_holds(shards, commands, seed, Script::new(seed));
}

fn assert_holds(shards: usize, commands: usize, seed: u64, mut script: Script) {
    let server = start(shards, &[]);
    (0..commands).for_each(|nth| script.add(nth));
    let replies = server
        .client()
        .pipeline_bytes(&script.bytes, script.replies.len());
    for (nth, (reply, expected)) in replies.iter().zip(&script.replies).enumerate() {
        assert!(
            reply == expected,
            "reply {nth} of seed {seed} with {shards} shards is another command's"
        );
    }
}

#[test]
fn ten_thousand_mixed_commands_in_one_write_are_answered_in_order_by_one_shard() {
    assert_script_holds(1, 10_000, 1);
}

#[test]
fn ten_thousand_mixed_commands_in_one_write_are_answered_in_order_by_two_shards() {
    assert_script_holds(2, 10_000, 2);
}

#[test]
fn ten_thousand_mixed_commands_in_one_write_are_answered_in_order_by_four_shards() {
    assert_script_holds(4, 10_000, 3);
}

#[test]
fn large_replies_of_several_shards_are_waited_for_and_nothing_overtakes_them() {
    for shards in [2, 4] {
        let seed = 40 + shards as u64;
        let mut script = Script::new(seed);
        script.value_lens = &[0, 0, 0, 0, 10, 9_000, 9_000, 60_000, 300_000];
        assert_holds(shards, 1_500, seed, script);
    }
}

#[test]
fn pipelines_of_several_connections_do_not_mix() {
    let server = start(2, &[]);
    let port = server.port();
    std::thread::scope(|scope| {
        for client in 0..8 {
            scope.spawn(move || {
                let commands: Vec<Vec<String>> = (0..2_000)
                    .map(|nth| match nth % 2 {
                        0 => vec![
                            "SET".into(),
                            format!("{client}:{}", nth % 40),
                            format!("{client}-{nth}"),
                        ],
                        _ => vec!["GET".into(), format!("{client}:{}", (nth - 1) % 40)],
                    })
                    .collect();
                let replies = testkit::Client::connect(port).pipeline(&commands);
                for (nth, reply) in replies.iter().enumerate() {
                    let expected = match nth % 2 {
                        0 => ok(),
                        _ => bulk(format!("{client}-{}", nth - 1)),
                    };
                    assert_eq!(*reply, expected, "client {client}, command {nth}");
                }
            });
        }
    });
}

#[test]
fn a_connection_reads_its_own_writes_over_shards() {
    let server = start(4, &[]);
    let mut client = server.client();
    for nth in 0..500 {
        let key = format!("k{nth}");
        client.send(
            &[
                encode(&["SET", &key, "1"]),
                encode(&["INCR", &key]),
                encode(&["GET", &key]),
            ]
            .concat(),
        );
        assert_eq!(
            [client.reply(), client.reply(), client.reply()],
            [ok(), Reply::Int(2), bulk("2")]
        );
    }
}

#[test]
fn what_a_connection_changes_about_itself_holds_from_the_next_command_of_the_pipeline() {
    let server = start(2, &[]);
    let mut client = server.client();
    client.send(b"SET k zero\r\nSELECT 3\r\nSET k three\r\nGET k\r\nHELLO 3\r\nGET none\r\nSELECT 0\r\nGET k\r\n");
    assert_eq!(client.reply(), ok());
    assert_eq!(client.reply(), ok());
    assert_eq!(client.reply(), ok());
    assert_eq!(client.reply(), bulk("three"));
    assert!(matches!(client.reply(), Reply::Map(_)));
    assert_eq!(client.reply(), Reply::Null);
    assert_eq!(client.reply(), ok());
    assert_eq!(client.reply(), bulk("zero"));
    client.send(b"CLIENT REPLY SKIP\r\nGET k\r\nPING\r\nCLIENT REPLY OFF\r\nGET k\r\nCLIENT REPLY ON\r\nGET k\r\n");
    assert_eq!(client.reply(), Reply::Simple(b"PONG".to_vec()));
    assert_eq!(client.reply(), ok());
    assert_eq!(client.reply(), bulk("zero"));
}

#[test]
fn large_replies_of_other_shards_come_each_to_its_own_command() {
    const KEYS: usize = 24;
    const VALUE_BYTES: usize = 200_000;
    let server = start(4, &[]);
    let value = |n: usize| format!("{n}:").repeat(VALUE_BYTES / 4);
    let mut client = server.client();
    for n in 0..KEYS {
        assert_eq!(
            client.command(&["SET", &format!("key:{n}"), &value(n)]),
            ok()
        );
    }
    // Small ones between them, and writes: none may overtake another.
    let commands: Vec<_> = (0..4 * KEYS)
        .flat_map(|n| {
            let key = format!("key:{}", n % KEYS);
            let count = vec!["INCR".to_string(), format!("count:{key}")];
            [vec!["GET".to_string(), key], count]
        })
        .collect();
    let replies = client.pipeline(&commands);
    for (n, reply) in replies.iter().enumerate() {
        let (key, round) = (n / 2 % KEYS, n / 2 / KEYS);
        let expected = match n % 2 {
            0 => bulk(value(key)),
            _ => Reply::Int(round as i64 + 1),
        };
        assert!(*reply == expected, "reply {n} is another command's");
    }
}

#[test]
fn a_reply_that_is_skipped_is_never_the_one_to_client_reply_on() {
    let server = start(2, &[]);
    let mut client = server.client();
    client.send(b"CLIENT REPLY SKIP\r\nCLIENT REPLY ON\r\nPING\r\n");
    assert_eq!(client.reply(), ok());
    assert_eq!(client.reply(), Reply::Simple(b"PONG".to_vec()));
    // RESET says nothing where its reply was to be skipped, and the next is heard.
    client.send(b"CLIENT REPLY SKIP\r\nRESET\r\nPING\r\n");
    assert_eq!(client.reply(), Reply::Simple(b"PONG".to_vec()));
}

/// What silent clients cost that ask again and again for values of this size.
fn assert_silent_clients_are_bounded(shards: usize, clients: usize, value_len: usize) {
    const BOUND_BYTES: u64 = 64 << 20;
    // More than the sockets between the two hold.
    const REQUESTS: usize = 2_000_000;
    let Some(server) = start_ours(shards, &[]) else {
        return;
    };
    let mut witness = server.client();
    for key in ["big0", "big1", "big2", "big3"] {
        assert_eq!(witness.command(&["SET", key, &"x".repeat(value_len)]), ok());
    }
    assert_eq!(witness.command(&["SET", "small", "s"]), ok());
    let before = server.resident_bytes();
    let request = ["big0", "big1", "big2", "big3"]
        .map(|key| format!("GET {key}\r\n").into_bytes())
        .concat()
        .repeat(REQUESTS / 4);
    let port = server.port();
    // Kept to the end of the test: an open connection with its replies unread.
    let silent: Vec<_> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..clients)
            .map(|_| {
                let request = &request;
                scope.spawn(move || {
                    let mut client = testkit::Client::connect(port);
                    let sent = client.send_until_refused(request);
                    (client, sent)
                })
            })
            .collect();
        for nth in 0..300 {
            assert_eq!(witness.command(&["SET", &format!("k{nth}"), "v"]), ok());
            assert_eq!(witness.command(&["GET", "small"]), bulk("s"));
        }
        senders
            .into_iter()
            .map(|sender| sender.join().expect("a sender does not panic"))
            .collect()
    });
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(
        grown < BOUND_BYTES,
        "{clients} silent clients of {shards} shards cost {grown} bytes"
    );
    let taken: usize = silent.iter().filter_map(|(_, sent)| *sent).sum();
    assert!(
        taken < clients * request.len(),
        "requests of clients that do not read were all taken"
    );
    assert_eq!(witness.int("DBSIZE"), 305);
}

#[test]
fn clients_that_pipeline_and_never_read_are_bounded_and_disturb_no_one() {
    assert_silent_clients_are_bounded(2, 8, 20_000);
}

#[test]
fn clients_that_never_read_large_values_are_bounded_and_disturb_no_one() {
    assert_silent_clients_are_bounded(2, 10, 1_000_000);
    assert_silent_clients_are_bounded(4, 10, 1_000_000);
}

#[test]
fn clients_that_reset_in_the_middle_of_a_pipeline_end_only_themselves() {
    use std::io::Write;
    let gets: Vec<u8> = (0..20)
        .flat_map(|key| encode(&["GET".to_owned(), format!("k{key}")]))
        .collect();
    for shards in [1, 2] {
        let server = start(shards, &[]);
        let mut witness = server.client();
        for _ in 0..200 {
            let mut stream = std::net::TcpStream::connect(("127.0.0.1", server.port())).unwrap();
            stream.write_all(b"PING\r\n").unwrap();
            // A socket that is closed with something unread resets the connection.
            stream.peek(&mut [0]).unwrap();
            stream.write_all(&gets).unwrap();
        }
        assert_eq!(witness.ask("PING"), Reply::Simple(b"PONG".to_vec()));
    }
}

#[test]
fn a_client_that_reads_late_gets_every_reply_in_order() {
    let server = start(2, &[]);
    let mut client = server.client();
    let value = "x".repeat(10_000);
    assert_eq!(client.command(&["SET", "k", &value]), ok());
    let commands: Vec<Vec<String>> = (0..4_000)
        .map(|nth| match nth % 2 {
            0 => vec!["GET".into(), "k".into()],
            _ => vec!["ECHO".into(), nth.to_string()],
        })
        .collect();
    for (nth, reply) in client.pipeline(&commands).iter().enumerate() {
        let expected = if nth % 2 == 0 {
            bulk(&value)
        } else {
            bulk(nth.to_string())
        };
        assert_eq!(*reply, expected, "reply {nth}");
    }
}

#[test]
fn redis_cli_can_pipe_commands_in() {
    let Some(cli) = testkit::server::find_program("redis-cli") else {
        return skipped("redis-cli --pipe", "there is no redis-cli");
    };
    let server = start(2, &[]);
    let commands: String = (0..1_000).map(|n| format!("SET k{n} v{n}\r\n")).collect();
    let mut child = std::process::Command::new(cli)
        .args(["-p", &server.port().to_string(), "--pipe"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("redis-cli runs");
    let mut stdin = child.stdin.take().expect("a pipe was asked for");
    std::io::Write::write_all(&mut stdin, commands.as_bytes()).expect("redis-cli reads");
    drop(stdin);
    let output = child.wait_with_output().expect("redis-cli ends");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("errors: 0, replies: 1000"), "{said}");
    assert_eq!(server.client().int("DBSIZE"), 1_000);
}
