//! Differential over the wire: the server and a redis-server get the same commands and must give the same replies.
//! Never compares what may rightly differ; what that is stands in testkit's oracle with its reasons.
//! Source: the redis-server of this machine, asked at the same time.

use resp::Reply;
use testkit::Client;
use testkit::generate::{Commands, Words};
use testkit::oracle::{Oracle, answer, compare};

use crate::fixture::{elements, start, text};

/// Differences shown before a run is given up.
const DIFFERENCES_MAX: usize = 10;
const COMMANDS: usize = 8_000;

/// Whether both should answer the same. Cursors that no SCAN gave are each server's own business: Redis takes
/// what C's strtoul takes, signs and empty text included.
fn is_comparable(words: &Words) -> bool {
    const CURSORS: [&[u8]; 4] = [b"0", b"x", b"1.0", b"99999999999999999999999"];
    let is_scan = words[0].eq_ignore_ascii_case(b"scan");
    !is_scan
        || words
            .get(1)
            .is_none_or(|cursor| CURSORS.contains(&&cursor[..]))
}

/// Sends a stream of commands to both and compares every reply.
fn assert_same(client: &mut Client, oracle: &mut Oracle, commands: impl Iterator<Item = Words>) {
    let mut differences = Vec::new();
    for words in commands.filter(is_comparable) {
        let ours = answer(&words, |words| client.command(words));
        let theirs = answer(&words, |words| oracle.run(words));
        differences.extend(compare(&words, &ours, &theirs).err());
        // A key that SET gave a past time counts in Redis until something looks at it.
        if let Some(key) = words.get(1) {
            oracle.run(&[&b"exists"[..], key]);
        }
        if differences.len() == DIFFERENCES_MAX {
            break;
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn assert_generated_commands_agree(shards: usize, seed: u64, resp3: bool) {
    let Some(mut oracle) = Oracle::start("the comparison with redis-server") else {
        return;
    };
    let server = start(shards, &[]);
    let mut client = if resp3 {
        server.client_resp3()
    } else {
        server.client()
    };
    if resp3 {
        oracle.connect(resp::Proto::Resp3);
    }
    let mut stream = Commands::new(seed);
    let commands = (0..COMMANDS).map(|_| stream.next_command());
    assert_same(&mut client, &mut oracle, commands);
}

#[test]
fn generated_commands_agree_with_redis_on_one_shard() {
    assert_generated_commands_agree(1, 101, false);
}

#[test]
fn generated_commands_agree_with_redis_on_two_shards() {
    assert_generated_commands_agree(2, 102, false);
}

#[test]
fn generated_commands_agree_with_redis_on_four_shards() {
    assert_generated_commands_agree(4, 103, false);
}

#[test]
fn generated_commands_agree_with_redis_in_resp3() {
    assert_generated_commands_agree(2, 104, true);
}

/// The names of a server's commands.
fn command_names(client: &mut Client) -> Vec<String> {
    elements(client.ask("COMMAND LIST"))
        .iter()
        .map(text)
        .collect()
}

#[test]
fn every_command_without_its_arguments_is_refused_as_redis_refuses_it() {
    let Some(mut oracle) = Oracle::start("refusals compared with redis-server") else {
        return;
    };
    let server = start(2, &[]);
    let mut client = server.client();
    let refused = |name: &String| {
        let reply = oracle.run(&[name]);
        let is_arity =
            matches!(&reply, Reply::Error(text) if text.starts_with(b"ERR wrong number"));
        is_arity.then(|| vec![name.clone().into_bytes()])
    };
    // Asked on its own connection, because some of them end it.
    const ENDING: [&str; 4] = ["shutdown", "quit", "monitor", "sync"];
    let mut names = command_names(&mut client);
    names.retain(|name| !ENDING.contains(&name.as_str()));
    let commands: Vec<Words> = names.iter().filter_map(refused).collect();
    assert!(commands.len() > 40, "{commands:?}");
    assert_same(&mut client, &mut oracle, commands.into_iter());
}

#[test]
fn arity_and_key_positions_of_every_command_are_those_of_redis() {
    let Some(mut oracle) = Oracle::start("rows compared with redis-server") else {
        return;
    };
    let server = start(1, &[]);
    let mut client = server.client();
    // Redis 7.2 lowered it: a command without arguments has no keys, which is another error.
    // ZRANK and ZREVRANK have WITHSCORE since then.
    // MEMORY DOCTOR has a word of our own, JSON.
    const CHANGED_SINCE: [&str; 5] = [
        "command|getkeys",
        "command|getkeysandflags",
        "memory|doctor",
        "zrank",
        "zrevrank",
    ];
    let mut compared = 0;
    let mut names = command_names(&mut client);
    names.retain(|name| !CHANGED_SINCE.contains(&name.as_str()));
    for name in names {
        let ask = ["COMMAND", "INFO", &name];
        let (ours, theirs) = (elements(client.command(&ask)), elements(oracle.run(&ask)));
        // What came after version 7.0 cannot be asked there.
        if theirs[0] == Reply::Null {
            continue;
        }
        // Name, arity, then after the flags first key, last key, step.
        let facts = |row: &Reply| {
            let row = elements(row.clone());
            [0, 1, 3, 4, 5].map(|field| row[field].clone())
        };
        assert_eq!(facts(&ours[0]), facts(&theirs[0]), "{name}");
        compared += 1;
    }
    assert!(compared > 80, "only {compared} commands were compared");
}
