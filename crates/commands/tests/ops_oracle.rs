//! The operator-facing families beside redis-server: error texts, simple answers, and the facts COMMAND INFO tells.

use resp::Reply;
use std::collections::BTreeSet;
use testkit::Cluster;
use testkit::oracle::Oracle;

/// Calls that must be answered as redis-server 7.0 answers them.
const SAME: &[&str] = &[
    "PING",
    "PING a",
    "PING a b",
    "ECHO",
    "ECHO hi",
    "HELLO 4",
    "HELLO abc",
    "HELLO 3 AUTH x",
    "HELLO 2 FOO",
    "HELLO 2 SETNAME",
    "HELLO 2 AUTH foo bar",
    "AUTH x",
    "AUTH default x",
    "AUTH foo x",
    "AUTH a b c",
    "SELECT 16",
    "SELECT -1",
    "SELECT abc",
    "SELECT 99999999999999999999",
    "SELECT 4294967296",
    "SELECT 1",
    "RESET",
    "RESET x",
    "CLIENT LIST TYPE foo",
    "CLIENT LIST TYPE",
    "CLIENT LIST ID 1 2 a",
    "CLIENT LIST ID",
    "CLIENT LIST ID 99999 100000",
    "CLIENT LIST FOO",
    "CLIENT LIST TYPE normal ID 3",
    "CLIENT GETNAME",
    "CLIENT SETNAME x",
    "CLIENT GETNAME",
    "CLIENT KILL 1.1.1.1:1",
    "CLIENT KILL ID 99999",
    "CLIENT KILL ID abc",
    "CLIENT KILL ID 0",
    "CLIENT KILL ID -1",
    "CLIENT KILL FOO bar",
    "CLIENT KILL ID 1 foo",
    "CLIENT KILL TYPE foo",
    "CLIENT KILL USER nosuch",
    "CLIENT KILL SKIPME maybe",
    "CLIENT KILL ADDR 1.1.1.1:9 LADDR 1.1.1.1:8",
    "CLIENT KILL",
    "CLIENT NO-EVICT on",
    "CLIENT NO-EVICT foo",
    "CLIENT REPLY foo",
    "CLIENT REPLY on",
    "CLIENT FOO",
    "CLIENT MAINT_NOTIFICATIONS on",
    "CLIENT",
    "CLIENT HELP x",
    "CONFIG",
    "CONFIG FOO",
    "CONFIG GET",
    "CONFIG SET",
    "CONFIG SET hz",
    "CONFIG SET hz 1 hz",
    "CONFIG SET hz 1 hz 2",
    "CONFIG SET nosuch 4",
    "CONFIG SET hz 5 nosuch 2",
    "CONFIG SET hz abc",
    "CONFIG SET hz 0",
    "CONFIG GET hz",
    "CONFIG SET hz 1000",
    "CONFIG GET HZ",
    "CONFIG SET timeout -1",
    "CONFIG SET timeout 0",
    "CONFIG SET maxmemory abc",
    "CONFIG SET maxmemory -1",
    "CONFIG SET maxmemory 2MB",
    "CONFIG GET maxmemory",
    "CONFIG SET maxmemory 0",
    "CONFIG SET databases 4",
    "CONFIG SET tcp-backlog 5",
    "CONFIG SET lazyfree-lazy-user-flush maybe",
    "CONFIG SET lazyfree-lazy-user-flush no",
    "CONFIG SET client-output-buffer-limit normal",
    "CONFIG SET proto-max-bulk-len 1.5mb",
    "CONFIG SET proto-max-bulk-len 1mb",
    "CONFIG GET proto-max-bulk-len",
    "CONFIG SET client-query-buffer-limit 10",
    "CONFIG SET hash-max-listpack-value 1kb",
    "CONFIG GET hash-max-ziplist-value",
    "CONFIG SET hash-max-listpack-value -1",
    "CONFIG SET zset-max-listpack-value 2k",
    "CONFIG GET zset-max-listpack-value",
    "CONFIG SET stream-node-max-bytes 64kb",
    "CONFIG GET stream-node-max-bytes",
    "CONFIG SET maxclients 0",
    "CONFIG GET nosuch",
    "CONFIG GET CONFIGURATION appendonly",
    "CONFIG RESETSTAT",
    "CONFIG RESETSTAT x",
    "CONFIG REWRITE",
    "CONFIG GET client-output-buffer-limit",
    "TIME x",
    "LOLWUT VERSION a",
    "SHUTDOWN FOO",
    "SHUTDOWN ABORT",
    "SHUTDOWN NOSAVE SAVE",
    "SHUTDOWN ABORT NOW",
    "INFO nosuch",
    "INFO keyspace",
    "INFO cluster",
    "MEMORY",
    "MEMORY FOO",
    "MEMORY USAGE",
    "MEMORY USAGE nosuch",
    "MEMORY USAGE nosuch SAMPLES",
    "MEMORY USAGE nosuch SAMPLES x",
    "MEMORY USAGE nosuch SAMPLES -1",
    "MEMORY USAGE nosuch FOO 1",
    "MEMORY STATS x",
    "MEMORY PURGE",
    "MEMORY DOCTOR x",
    "MEMORY HELP x",
    "DEBUG",
    "COMMAND FOO",
    "COMMAND COUNT x",
    "COMMAND INFO nosuch",
    "COMMAND INFO config|nosuch",
    "COMMAND INFO get|nosuch",
    "COMMAND LIST FILTERBY",
    "COMMAND LIST FILTERBY foo bar",
    "COMMAND LIST FILTERBY module x",
    "COMMAND LIST FILTERBY aclcat nosuch",
    "COMMAND LIST FOO",
    "COMMAND LIST FILTERBY pattern mget*",
    "COMMAND GETKEYS",
    "COMMAND GETKEYS get",
    "COMMAND GETKEYS nosuch a",
    "COMMAND GETKEYS config get a",
    "COMMAND GETKEYS get a b",
    "COMMAND GETKEYS set a b",
    "COMMAND GETKEYS mset a b c",
    "COMMAND GETKEYS mset a b c d",
    "COMMAND GETKEYS memory usage a",
    "COMMAND GETKEYSANDFLAGS set a b",
    "COMMAND GETKEYSANDFLAGS set a b get",
    "COMMAND GETKEYSANDFLAGS rename a b",
    "COMMAND GETKEYSANDFLAGS renamenx a b",
    "COMMAND GETKEYSANDFLAGS copy a b",
    "COMMAND GETKEYSANDFLAGS lcs a b",
    "COMMAND GETKEYSANDFLAGS del a b",
    "COMMAND DOCS nosuch",
];

#[test]
fn operators_read_the_answers_redis_gives() {
    let Some(mut oracle) = Oracle::start("operators_read_the_answers_redis_gives") else {
        return;
    };
    for shards in [1, 2] {
        let mut cluster = Cluster::new(shards);
        oracle.run(&["RESET"]);
        for line in SAME {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(
                cluster.run(&words),
                oracle.run(&words),
                "{line}, {shards} shards"
            );
        }
    }
}

/// What COMMAND INFO tells of one command or subcommand.
#[derive(Debug, PartialEq)]
struct Facts {
    name: String,
    arity: i64,
    flags: BTreeSet<String>,
    keys: [i64; 3],
    categories: BTreeSet<String>,
    tips: BTreeSet<String>,
    key_specs: Vec<Reply>,
}

fn text(reply: &Reply) -> String {
    match reply {
        Reply::Simple(text) | Reply::Bulk(text) => String::from_utf8(text.clone()).unwrap(),
        other => panic!("a text was expected, not {other:?}"),
    }
}

fn set(reply: &Reply) -> BTreeSet<String> {
    match reply {
        Reply::Array(elements) | Reply::Set(elements) => elements.iter().map(text).collect(),
        other => panic!("words were expected, not {other:?}"),
    }
}

/// A key specification without the sentence that Redis adds to some; a sentence is no fact.
fn without_notes(spec: &Reply) -> Reply {
    match spec {
        Reply::Array(pairs) if pairs.first() == Some(&Reply::Bulk(b"notes".to_vec())) => {
            Reply::Array(pairs[2..].to_vec())
        }
        other => other.clone(),
    }
}

fn facts(reply: &Reply) -> Option<Facts> {
    let Reply::Array(fields) = reply else {
        return None;
    };
    let number = |at: usize| match fields[at] {
        Reply::Int(number) => number,
        ref other => panic!("{other:?}"),
    };
    let Reply::Array(key_specs) = &fields[8] else {
        panic!("key specifications")
    };
    let key_specs = key_specs.iter().map(without_notes).collect();
    Some(Facts {
        name: text(&fields[0]),
        arity: number(1),
        flags: set(&fields[2]),
        keys: [number(3), number(4), number(5)],
        categories: set(&fields[6]),
        tips: set(&fields[7]),
        key_specs,
    })
}

/// Where we differ from 7.0.15 with a reason: the command, what differs, and why.
const REASONED: &[(&str, &str, &str)] = &[
    ("zrank", "arity", "7.2 added WITHSCORE"),
    ("zrevrank", "arity", "7.2 added WITHSCORE"),
    ("memory|doctor", "arity", "JSON is our own"),
    (
        "client|setname",
        "tips",
        "7.2 added request and response policies",
    ),
    (
        "config|resetstat",
        "tips",
        "7.2 added request and response policies",
    ),
    (
        "config|rewrite",
        "tips",
        "7.2 added request and response policies",
    ),
];

/// Commands that 7.0.15 does not have.
const NOT_IN_7_0: &[(&str, &str)] = &[
    ("client|no-touch", "7.2"),
    ("client|setinfo", "7.2"),
    ("hexpire", "7.4"),
    ("hexpireat", "7.4"),
    ("hexpiretime", "7.4"),
    ("hpersist", "7.4"),
    ("hpexpire", "7.4"),
    ("hpexpireat", "7.4"),
    ("hpexpiretime", "7.4"),
    ("hpttl", "7.4"),
    ("httl", "7.4"),
    ("hgetdel", "8.0"),
    ("hgetex", "8.0"),
    ("hsetex", "8.0"),
    ("memory|curve", "our own"),
    ("memory|defrag", "our own"),
    ("memory|explain", "our own"),
    ("memory|prefixes", "our own"),
    ("memory|shards", "our own"),
    ("memory|topkeys", "our own"),
    ("memory|trend", "our own"),
    ("memory|types", "our own"),
];

#[test]
fn command_info_tells_the_facts_redis_tells() {
    let Some(mut oracle) = Oracle::start("command_info_tells_the_facts_redis_tells") else {
        return;
    };
    let mut cluster = Cluster::new(1);
    let mut differences = Vec::new();
    for (_, row) in commands::Table::instance().rows() {
        let words = ["COMMAND", "INFO", row.name];
        let (Reply::Array(ours), Reply::Array(theirs)) = (cluster.run(&words), oracle.run(&words))
        else {
            panic!("COMMAND INFO answers arrays")
        };
        let ours = facts(&ours[0]).expect("we have our own commands");
        let Some(theirs) = facts(&theirs[0]) else {
            if !NOT_IN_7_0.iter().any(|(name, _)| *name == row.name) {
                differences.push(format!("{}: redis-server has none", row.name));
            }
            continue;
        };
        let mut differ = |what: &str, ours: String, theirs: String| {
            let is_reasoned = REASONED
                .iter()
                .any(|(name, reasoned, _)| *name == row.name && *reasoned == what);
            if ours != theirs && !is_reasoned {
                differences.push(format!(
                    "{}: {what}\n  ours   {ours}\n  theirs {theirs}",
                    row.name
                ));
            }
        };
        differ("name", ours.name.clone(), theirs.name.clone());
        differ("arity", ours.arity.to_string(), theirs.arity.to_string());
        differ(
            "flags",
            format!("{:?}", ours.flags),
            format!("{:?}", theirs.flags),
        );
        differ(
            "keys",
            format!("{:?}", ours.keys),
            format!("{:?}", theirs.keys),
        );
        differ(
            "categories",
            format!("{:?}", ours.categories),
            format!("{:?}", theirs.categories),
        );
        differ(
            "tips",
            format!("{:?}", ours.tips),
            format!("{:?}", theirs.tips),
        );
        differ(
            "key specifications",
            format!("{:?}", ours.key_specs),
            format!("{:?}", theirs.key_specs),
        );
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn every_reasoned_difference_is_still_one() {
    let Some(mut oracle) = Oracle::start("every_reasoned_difference_is_still_one") else {
        return;
    };
    let mut cluster = Cluster::new(1);
    let mut both = |name: &str| {
        let words = ["COMMAND", "INFO", name];
        (cluster.run(&words), oracle.run(&words))
    };
    for (name, _, reason) in REASONED {
        let (ours, theirs) = both(name);
        assert_ne!(ours, theirs, "{name} differs no longer: {reason}");
    }
    for (name, _) in NOT_IN_7_0 {
        assert_eq!(both(name).1, Reply::Array(vec![Reply::Null]), "{name}");
    }
}
