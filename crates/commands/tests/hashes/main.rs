//! The hash family, run in an in-process cluster: scripts, fields that end, and generated commands beside a redis-server.
//! Never a thread, a socket of ours, or a clock: time passes when a test says so.
//! Source: redis-server 7 for expected answers; the documentation of Redis 7.4 and 8 for what it lacks.

mod expiry;
mod fields;
mod generic;
mod oracle;
mod random;

use resp::Reply;
use testkit::Cluster;

/// Numbers of shards that behaviours are checked with.
const SHARDS: [u16; 3] = [1, 2, 4];

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

/// What a command answers; `''` stands for an empty argument.
fn ask(cluster: &mut Cluster, command: &str) -> String {
    let words: Vec<_> = command
        .split(' ')
        .map(|word| if word == "''" { "" } else { word })
        .collect();
    shown(&cluster.run(&words))
}

/// Runs a script with every number of shards, small hashes packed and then all in tables: one command a line, ` => `, and
/// its reply. `+5000` alone lets five seconds pass.
#[track_caller]
fn script(lines: &str) {
    for shards in SHARDS {
        for max_entries in [512, 0] {
            let mut cluster = Cluster::new(shards);
            set_max_entries(&mut cluster, max_entries);
            run_script(&mut cluster, lines, max_entries);
        }
    }
}

#[track_caller]
fn run_script(cluster: &mut Cluster, lines: &str, max_entries: usize) {
    let lines = lines.lines().map(str::trim);
    for (number, line) in lines.filter(|line| !line.is_empty()).enumerate() {
        cluster.connect_to(number);
        if let Some(ms) = line.strip_prefix('+') {
            cluster.advance(ms.parse().expect("a number of milliseconds"));
            continue;
        }
        let (command, expected) = line.split_once(" => ").expect("a line has a reply");
        assert_eq!(
            ask(cluster, command),
            expected,
            "hash-max-listpack-entries {max_entries}, line {number}: {command}"
        );
    }
    cluster.cores().iter().for_each(|core| core.shard.check());
}

fn set_max_entries(cluster: &mut Cluster, max_entries: usize) {
    let set = format!("config set hash-max-listpack-entries {max_entries}");
    assert_eq!(ask(cluster, &set), "OK");
}

/// Lets the background remove what is past its time.
fn sweep(cluster: &mut Cluster) {
    const KEYS_PER_STEP: usize = 1000;
    for core in cluster.cores_mut() {
        let now = core.now;
        while core.shard.expire_step(now, KEYS_PER_STEP).more {}
    }
}
