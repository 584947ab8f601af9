//! Large values that are copied, renamed and combined between shards in steps: each arrives whole, and nothing is left on its way.
//! Never measures time: what happens between two steps is left to chance, and many tries.
//! Source of what a result may be: Redis, where nothing runs beside a command.

use testkit::{Client, client::encode};

use crate::balance::{REMAINDER_BYTES_MAX, assert_report_holds, remainder};
use crate::fixture::{bulk, eventually, ok, start, start_ours};
use crate::memory::stats;
use crate::reading::{MANY, beside, fill, fill_all, fill_set, member, texts, words};

/// Collections that `fill_all` makes, and what answers them whole.
const KINDS: [(&str, &str); 4] = [
    ("set0", "SMEMBERS ~"),
    ("hash0", "HGETALL ~"),
    ("zset0", "ZRANGE ~ 0 -1 WITHSCORES"),
    ("list0", "LRANGE ~ 0 -1"),
];

/// All that a key holds, where the order says nothing in one order.
fn whole(client: &mut Client, key: &str, question: &str) -> Vec<String> {
    let mut all = texts(&client.ask(&question.replace('~', key)));
    if !question.starts_with("LRANGE") {
        all.sort();
    }
    all
}

/// Two sets of which half the members are the same, and a small one.
fn fill_sets(client: &mut Client) {
    fill_set(client, "s1", MANY);
    let later = |number: usize| vec![member(number + MANY / 2)];
    fill(client, MANY, later, ["SADD", "s2"]);
    client.ask("SADD small member:000001 member:029999 other");
}

/// What stores a set under a key, and how many members that has then.
const STORES: [(&str, usize); 4] = [
    ("SUNIONSTORE ~ s1 s2", MANY + MANY / 2),
    ("SINTERSTORE ~ s1 s2", MANY / 2),
    ("SDIFFSTORE ~ s1 s2", MANY / 2),
    ("SUNIONSTORE ~ s1 small s2", MANY + MANY / 2 + 1),
];

#[test]
fn a_large_value_is_copied_and_renamed_with_its_expiry_wherever_its_keys_lie() {
    for shards in [1, 2, 4] {
        let server = start(shards, &[]);
        let mut client = server.client();
        fill_all(&mut client, 0);
        for (key, question) in KINDS {
            let before = whole(&mut client, key, question);
            assert!(before.len() >= MANY);
            for nth in 0..6 {
                let (copy, other) = (format!("copy{nth}"), format!("other{nth}"));
                client.ask(&format!("PEXPIREAT {key} 999999999900{nth}"));
                let replies = client.pipeline(&[
                    words(&format!("SET {copy} old")),
                    words(&format!("COPY {key} {copy}")),
                    words(&format!("COPY {key} {copy} REPLACE")),
                    words(&format!("RENAMENX {copy} {key}")),
                    words(&format!("RENAME {copy} {other}")),
                    words(&format!("EXISTS {copy}")),
                    words(&format!("PEXPIRETIME {other}")),
                    words("ECHO last"),
                ]);
                let told: Vec<_> = replies[1..7]
                    .iter()
                    .map(|reply| format!("{reply:?}"))
                    .collect();
                let expected = format!(
                    "Int(0) Int(1) Int(0) {:?} Int(0) Int(999999999900{nth})",
                    ok()
                );
                assert_eq!(told.join(" "), expected, "{key} with {shards} shards");
                assert_eq!(replies[7], bulk("last"));
                let after = whole(&mut client, &other, question);
                assert!(after == before, "{key} with {shards} shards");
                assert!(whole(&mut client, key, question) == before);
            }
        }
        client.ask("COPY set0 set0 DB 3");
        client.ask("SELECT 3");
        assert_eq!(client.int("SCARD set0"), MANY as i64);
    }
}

/// A stream of many entries with a group.
fn fill_stream(client: &mut Client, key: &str) {
    let entries = (0..MANY).map(|number| words(&format!("XADD {key} {}-1 f {number}", number + 1)));
    client.pipeline(&entries.collect::<Vec<_>>());
    client.ask(&format!("XGROUP CREATE {key} group 0"));
}

/// A stream of many entries with a group that has some pending, and a hash of many fields of which every third expires, some of them soon.
fn fill_others(client: &mut Client) {
    fill_stream(client, "stream0");
    client.ask("XREADGROUP GROUP group one COUNT 9000 STREAMS stream0 >");
    client.ask("XACK stream0 group 7-1 8-1");
    fill_all(client, 0);
    let expire = |number: usize| {
        let ms = if number.is_multiple_of(2) {
            1
        } else {
            1_000_000
        };
        words(&format!("HPEXPIRE hash0 {ms} FIELDS 1 {}", member(number)))
    };
    client.pipeline(&(0..MANY).step_by(3).map(expire).collect::<Vec<_>>());
}

/// What tells two of these apart: entries and groups, or fields and when some of them expire.
const OTHERS: [(&str, [&str; 3]); 2] = [
    (
        "stream0",
        ["XRANGE ~ - +", "XINFO GROUPS ~", "XPENDING ~ group"],
    ),
    (
        "hash0",
        [
            "HGETALL ~",
            "HLEN ~",
            "HPEXPIRETIME ~ FIELDS 3 member:000003 member:000009 member:000007",
        ],
    ),
];

#[test]
fn a_stream_with_its_groups_and_a_hash_whose_fields_expire_are_copied_wherever_their_keys_lie() {
    for shards in [1, 2, 4] {
        let Some(server) = start_ours(shards, &[]) else {
            return;
        };
        let mut client = server.client();
        fill_others(&mut client);
        for (key, questions) in OTHERS {
            let told = |client: &mut Client, key: &str| {
                questions.map(|question| match question {
                    "HGETALL ~" => whole(client, key, question).join(" "),
                    _ => format!("{:?}", client.ask(&question.replace('~', key))),
                })
            };
            let before = told(&mut client, key);
            for nth in 0..6 {
                let (copy, other) = (format!("copy{nth}"), format!("other{nth}"));
                let replies = client.pipeline(&[
                    words(&format!("COPY {key} {copy} REPLACE")),
                    words(&format!("COPY {key} {copy}")),
                    words(&format!("RENAME {copy} {other}")),
                    words("ECHO last"),
                ]);
                let expected = [resp::Reply::Int(1), resp::Reply::Int(0), ok(), bulk("last")];
                assert_eq!(replies, expected, "{key} with {shards} shards");
                assert!(
                    told(&mut client, &other) == before,
                    "{key} with {shards} shards"
                );
                assert!(told(&mut client, key) == before);
                // It is a key's own now.
                let change = match key {
                    "hash0" => format!("HDEL {other} member:000001"),
                    _ => format!("XDEL {other} 5-1"),
                };
                assert_eq!(client.int(&change), 1);
                assert!(told(&mut client, key) == before);
            }
        }
        let mut client = server.client_resp3();
        assert_eq!(client.ask("FLUSHALL SYNC"), ok());
        eventually("nothing unexplained is left", || {
            let stats = stats(&mut client);
            remainder(&stats).abs() < REMAINDER_BYTES_MAX * shards as i64
        });
    }
}

#[test]
fn a_hash_whose_fields_all_end_meanwhile_is_copied_whole_or_not_at_all() {
    for shards in [1, 2, 4] {
        let Some(server) = start_ours(shards, &[]) else {
            return;
        };
        let mut client = server.client();
        for round in 0..20 {
            fill_all(&mut client, 0);
            let fields: Vec<String> = (0..MANY).map(member).collect();
            let line = format!(
                "HPEXPIRE hash0 {} FIELDS {MANY} {}",
                60 + 2 * round,
                fields.join(" ")
            );
            let key = format!("d{}", round % 3);
            let replies = client.pipeline(&[
                words(&line),
                words(&format!("COPY hash0 {key} REPLACE")),
                words(&format!("HLEN {key}")),
                words("ECHO last"),
            ]);
            let (copied, left) = (&replies[1], &replies[2]);
            let counts = [0, MANY as i64].map(resp::Reply::Int);
            assert!(counts.contains(left), "{left:?} with {shards} shards");
            assert!(*copied == resp::Reply::Int(1) || *left == counts[0]);
            assert_eq!(replies[3], bulk("last"));
            eventually("all have ended", || {
                client.int(&format!("EXISTS {key}")) == 0
            });
        }
    }
}

#[test]
fn a_large_value_is_dumped_whole_and_restored_from_that() {
    for shards in [1, 2] {
        let server = start(shards, &[]);
        let mut client = server.client();
        fill_all(&mut client, 0);
        fill_stream(&mut client, "stream0");
        client.ask("HEXPIRE hash0 1000 FIELDS 1 member:000001");
        for (key, question) in KINDS.into_iter().chain([("stream0", "XRANGE ~ - +")]) {
            let replies = client.pipeline(&[
                words(&format!("DUMP {key}")),
                words("ECHO behind"),
                words(&format!("DUMP {key}")),
            ]);
            let resp::Reply::Bulk(payload) = &replies[0] else {
                panic!("{key} is there");
            };
            assert_eq!(replies[1], bulk("behind"));
            assert!(replies[2] == replies[0], "{key} with {shards} shards");
            let (restored, before) = (
                format!("again:{key}"),
                client.ask(&question.replace('~', key)),
            );
            let parts: [&[u8]; 4] = [b"RESTORE", restored.as_bytes(), b"0", payload];
            assert_eq!(client.command(&parts), ok());
            if question.starts_with('X') {
                assert!(client.ask(&question.replace('~', &restored)) == before);
                assert_eq!(
                    client.ask(&format!("XINFO GROUPS {restored}")),
                    client.ask("XINFO GROUPS stream0")
                );
            } else {
                let after = whole(&mut client, &restored, question);
                assert!(
                    after == whole(&mut client, key, question),
                    "{key} with {shards} shards"
                );
            }
        }
        let expiry = |key: &str| format!("HPEXPIRETIME {key} FIELDS 1 member:000001");
        let times = ["hash0", "again:hash0"].map(|key| client.ask(&expiry(key)));
        assert_eq!(times[0], times[1]);
    }
}

#[test]
fn sets_of_several_shards_are_combined_whole_and_in_their_place_in_a_pipeline() {
    let numbers = |numbers: std::ops::Range<usize>| numbers.map(member).collect::<Vec<_>>();
    let mut with_other = numbers(0..MANY + MANY / 2);
    with_other.push("other".to_owned());
    let expected = [
        numbers(0..MANY + MANY / 2),
        numbers(MANY / 2..MANY),
        numbers(0..MANY / 2),
        with_other,
    ];
    for shards in [1, 2, 4] {
        let server = start(shards, &[]);
        fill_sets(&mut server.client());
        for mut client in [server.client(), server.client_resp3()] {
            let mut commands = Vec::new();
            for (nth, (store, _)) in STORES.iter().enumerate() {
                let key = format!("d{nth}");
                commands.push(words(&store.replace("STORE ~", "")));
                commands.push(words(&store.replace('~', &key)));
                commands.push(words(&format!("SMEMBERS {key}")));
                commands.push(words(&format!("ECHO {nth}")));
            }
            let replies = client.pipeline(&commands);
            for (nth, (store, count)) in STORES.iter().enumerate() {
                let of_this = &replies[4 * nth..][..4];
                assert_eq!(of_this[1], resp::Reply::Int(*count as i64), "{store}");
                for answer in [&of_this[0], &of_this[2]] {
                    let mut members = texts(answer);
                    members.sort();
                    assert!(members == expected[nth], "{store} with {shards} shards");
                }
                assert_eq!(of_this[3], bulk(nth.to_string()));
            }
            assert_eq!(client.int("SINTERCARD 2 s1 s2"), (MANY / 2) as i64);
            assert_eq!(client.int("SINTERCARD 3 s1 s2 small LIMIT 1"), 1);
        }
    }
}

#[test]
fn much_that_small_sets_of_several_shards_make_is_made_as_well() {
    for shards in [1, 2, 4] {
        let server = start(shards, &[]);
        let mut client = server.client();
        for (key, first) in [("a", 0), ("b", 1)] {
            let of = |number: usize| vec![member(number + first)];
            fill(&mut client, 4_000, of, ["SADD", key]);
        }
        let again = " b".repeat(30);
        assert_eq!(client.int(&format!("SINTERSTORE d a{again}")), 3_999);
        assert_eq!(client.int("SCARD d"), 3_999);
        let members = texts(&client.ask(&format!("SINTER a{again}")));
        assert_eq!(members.len(), 3_999, "with {shards} shards");
        assert_eq!(client.int(&format!("SINTERCARD 31 a{again} LIMIT 7")), 7);
    }
}

#[test]
fn what_others_write_to_a_source_is_copied_and_combined_whole_or_not_at_all() {
    for shards in [1, 2, 4] {
        let server = start(shards, &[]);
        fill_sets(&mut server.client());
        let write = |client: &mut Client, number: usize| {
            let (one, other) = (format!("one:{number}"), format!("two:{number}"));
            client.command(&["SADD", "s1", &one, &other]);
            client.command(&["SREM", "s1", &one, &other]);
        };
        beside(&server, write, || {
            let mut client = server.client();
            for round in 0..24 {
                let key = format!("d{}", round % 3);
                client.ask(
                    &["SUNIONSTORE ~ s2 s1", "COPY s1 ~ REPLACE"][round % 2].replace('~', &key),
                );
                let members = texts(&client.ask(&format!("SMEMBERS {key}")));
                let with = |prefix: &str| {
                    let mut of: Vec<_> = members
                        .iter()
                        .filter_map(|name| name.strip_prefix(prefix))
                        .collect();
                    of.sort_unstable();
                    of.join(" ")
                };
                assert_eq!(with("one:"), with("two:"), "with {shards} shards");
            }
        });
    }
}

#[test]
fn a_value_that_moves_between_keys_is_always_under_one_of_them() {
    for shards in [2, 4] {
        let server = start(shards, &[]);
        let mut mover = server.client();
        fill_set(&mut mover, "k0", MANY);
        let look = |client: &mut Client, _| {
            assert_eq!(client.int("EXISTS k0 k1 k2 k3"), 1);
            let lengths =
                client.pipeline(&[words("SCARD k0"), words("SCARD k1"), words("SCARD k2")]);
            for length in lengths {
                assert!(
                    [0, MANY as i64].map(resp::Reply::Int).contains(&length),
                    "{length:?}"
                );
            }
        };
        beside(&server, look, || {
            for round in 0..40 {
                let (from, to) = (round % 4, (round + 1) % 4);
                assert_eq!(mover.ask(&format!("RENAME k{from} k{to}")), ok());
            }
        });
        assert_eq!(mover.int("SCARD k0"), MANY as i64);
    }
}

#[test]
fn sources_that_end_meanwhile_are_in_a_result_whole_or_not_at_all() {
    for shards in [1, 2, 4] {
        let server = start(shards, &[]);
        let mut client = server.client();
        fill_sets(&mut client);
        for round in 0..30 {
            let key = format!("d{}", round % 3);
            client.ask("COPY s2 ends REPLACE");
            client.ask(&format!("PEXPIRE ends {}", 1 + 3 * round));
            let told = client.int(&format!("SUNIONSTORE {key} s1 ends"));
            let counts = [MANY, MANY + MANY / 2].map(|count| count as i64);
            assert!(counts.contains(&told), "{told} with {shards} shards");
            assert_eq!(client.int(&format!("SCARD {key}")), told);
            client.ask("COPY s2 ends REPLACE");
            client.ask(&format!("PEXPIRE ends {}", 1 + round));
            let copied = client.int(&format!("COPY ends {key} REPLACE"));
            let left = client.int(&format!("SCARD {key}"));
            let is_whole = left == MANY as i64 || left == if copied == 0 { told } else { 0 };
            assert!(is_whole, "{left} with {shards} shards");
        }
    }
}

/// Commands that take steps on several shards.
fn long_lines() -> Vec<String> {
    let stores = STORES.map(|(store, _)| store.replace('~', "d"));
    let others = [
        "COPY s1 c REPLACE",
        "RENAME d c",
        "SUNION s1 s2",
        "SINTERCARD 2 s1 s2",
    ];
    stores.into_iter().chain(others.map(String::from)).collect()
}

#[test]
fn a_client_that_leaves_meanwhile_leaves_no_lock_and_no_memory() {
    for shards in [1, 2, 4] {
        let Some(server) = start_ours(shards, &[]) else {
            return;
        };
        let mut client = server.client_resp3();
        fill_sets(&mut client);
        for line in long_lines() {
            for _ in 0..4 {
                let mut leaving = server.client();
                leaving.send(&encode(&words(&line)));
                drop(leaving);
                assert_eq!(client.int("SADD s1 new"), 1, "{line} with {shards} shards");
                assert_eq!(client.int("SREM s1 new"), 1);
                client.ask("SADD d new");
                client.ask("SADD c new");
            }
        }
        assert_eq!(client.ask("FLUSHALL SYNC"), ok());
        eventually("nothing unexplained is left", || {
            let stats = stats(&mut client);
            remainder(&stats).abs() < REMAINDER_BYTES_MAX * shards as i64
        });
    }
}

#[test]
fn emptying_everything_meanwhile_leaves_nothing_and_every_command_is_answered() {
    for shards in [1, 2, 4] {
        let server = start(shards, &[]);
        let (mut one, mut other) = (server.client(), server.client());
        for empty in ["FLUSHALL", "FLUSHDB", "SWAPDB 0 1"] {
            for line in long_lines() {
                fill_sets(&mut other);
                one.send(&encode(&words(&line)));
                other.ask(empty);
                one.reply();
                let keys = other.int("DBSIZE");
                assert!(
                    keys <= 1,
                    "{keys} after {line} beside {empty} with {shards} shards"
                );
                assert_eq!(other.ask("FLUSHALL"), ok());
                assert_eq!(other.int("DBSIZE"), 0);
            }
        }
    }
}

#[test]
fn a_server_that_is_asked_to_end_meanwhile_ends() {
    for shards in [1, 2, 4] {
        let mut server = start(shards, &[]);
        fill_sets(&mut server.client());
        let mut clients: Vec<Client> = long_lines()
            .iter()
            .map(|line| {
                let mut client = server.client();
                client.send(&encode(&words(line)));
                client
            })
            .collect();
        server.signal("TERM");
        assert!(server.wait().success(), "with {shards} shards");
        clients
            .iter_mut()
            .for_each(|client| _ = client.read_to_end());
    }
}

#[test]
fn the_figures_of_memory_add_up_while_values_travel_in_steps() {
    for shards in [2, 4] {
        let Some(server) = start_ours(shards, &[]) else {
            return;
        };
        fill_sets(&mut server.client());
        let lines = long_lines();
        let run = |client: &mut Client, number: usize| {
            client.ask(&lines[number % lines.len()]);
        };
        beside(&server, run, || {
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
