//! The data families, run in an in-process cluster: every command, its errors, and random loads against a model and a redis-server.
//! Never a thread, a socket of ours, or a clock: time passes when a test says so.
//! Source: redis-server 7 for every expected answer.

mod counters;
mod eviction;
mod expiry;
mod extremes;
mod geo;
mod keys;
mod keyspace;
mod lists;
mod model;
mod oracle;
mod sets;
mod sort;
mod strings;
mod zsets;

use resp::Reply;
use testkit::Cluster;

/// Numbers of shards that every behaviour is checked with.
const SHARDS: [u16; 3] = [1, 2, 4];

/// A reply as one line: `OK`, `"bulk"`, `5`, `nil`, `(ERR text)`, `[1, 2]`, `{"a": 1}`.
fn shown(reply: &Reply) -> String {
    let list = |replies: &[Reply]| replies.iter().map(shown).collect::<Vec<_>>().join(", ");
    match reply {
        Reply::Simple(text) => text.escape_ascii().to_string(),
        Reply::Error(text) => format!("({})", String::from_utf8_lossy(text)),
        Reply::Int(number) => number.to_string(),
        Reply::Bulk(text) => format!("\"{}\"", text.escape_ascii()),
        Reply::Null => "nil".to_owned(),
        Reply::Array(replies) => format!("[{}]", list(replies)),
        Reply::Map(pairs) => {
            let pairs: Vec<_> = pairs
                .iter()
                .map(|(key, value)| format!("{}: {}", shown(key), shown(value)))
                .collect();
            format!("{{{}}}", pairs.join(", "))
        }
        other => format!("{other:?}"),
    }
}

/// Runs a script with every number of shards, from every core in turn: one command a line, ` => `, and its reply.
/// The word `''` stands for an empty argument; `+5000` alone lets five seconds pass.
#[track_caller]
fn script(lines: &str) {
    for shards in SHARDS {
        let mut cluster = Cluster::new(shards);
        for (number, line) in lines
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .enumerate()
        {
            cluster.connect_to(number);
            if let Some(ms) = line.strip_prefix('+') {
                cluster.advance(ms.parse().expect("a number of milliseconds"));
                continue;
            }
            let (command, expected) = line.split_once(" => ").expect("a line has a reply");
            assert_eq!(
                ask(&mut cluster, command),
                expected,
                "{shards} shards, line {number}: {command}"
            );
        }
        cluster.cores().iter().for_each(|core| core.shard.check());
    }
}

fn ask(cluster: &mut Cluster, command: &str) -> String {
    let words: Vec<_> = command
        .split(' ')
        .map(|word| if word == "''" { "" } else { word })
        .collect();
    shown(&cluster.run(&words))
}

/// Two keys that lie on different shards, where there are several.
fn keys_apart(cluster: &Cluster) -> (String, String) {
    let first = "k0".to_owned();
    let shards = cluster.cores().len();
    let second = (1..)
        .map(|n| format!("k{n}"))
        .find(|key| shards == 1 || cluster.owner(key) != cluster.owner(&first));
    (first, second.expect("keys spread over the shards"))
}
