//! The MEMORY family through clusters of 1, 2 and 4 shards: its shapes, its texts, and the balance of its books.
//!
//! The counters of threads that the figures include are shared by all shards of a cluster in one thread; what these
//! tests check are shapes and what a shard keeps itself. The server's tests check whole processes.

use commands::config::PercentSign;
use commands::{ClientId, Part};
use resp::{Proto, Reply};
use testkit::Cluster;
use testkit::fields::{field, int, pairs};
use testkit::generate::Random;

const FIFTEEN: [&str; 15] = [
    "peak.allocated",
    "total.allocated",
    "startup.allocated",
    "replication.backlog",
    "clients.slaves",
    "clients.normal",
    "aof.buffer",
    "lua.caches",
    "functions.caches",
    "overhead.total",
    "keys.count",
    "keys.bytes-per-key",
    "dataset.bytes",
    "dataset.percentage",
    "peak.percentage",
];

fn filled(shards: u16, keys: usize) -> Cluster {
    let mut cluster = Cluster::new(shards);
    let mut random = Random::new(7);
    for key in 0..keys {
        let value = "v".repeat(random.below(300) as usize);
        let name = format!("key:{key}");
        match random.below(3) {
            0 => cluster.run(&["SET", &name, &value, "EX", "1000"]),
            1 => cluster.run(&["SET", &name, "12345"]),
            _ => cluster.run(&["SET", &name, &value]),
        };
    }
    cluster
}

#[test]
fn stats_begin_with_the_fifteen_fields_in_their_order() {
    for shards in [1, 2, 4] {
        let mut cluster = filled(shards, 100);
        for proto in [Proto::Resp2, Proto::Resp3] {
            cluster.speak(proto);
            let fields = pairs(&cluster.ask("MEMORY STATS"));
            let names: Vec<&str> = fields.iter().map(|(name, _)| &name[..]).take(15).collect();
            assert_eq!(names, FIFTEEN);
            assert_eq!(int(&fields, "keys.count"), 100);
            assert_eq!(int(&fields, "shards"), shards.into());
            assert!(matches!(
                field(&fields, "db.0"),
                Reply::Map(_) | Reply::Array(_)
            ));
        }
    }
}

#[test]
fn percentages_are_texts_with_a_sign_for_people_and_numbers_for_libraries() {
    let mut cluster = filled(2, 10);
    let text = |cluster: &mut Cluster| match field(
        &pairs(&cluster.ask("MEMORY STATS")),
        "peak.percentage",
    ) {
        Reply::Bulk(text) => String::from_utf8(text.clone()).unwrap(),
        Reply::Double(..) => "double".to_owned(),
        other => panic!("{other:?}"),
    };
    let is_number =
        |text: &str| text.parse::<f64>().is_ok() && text.split_once('.').unwrap().1.len() == 2;
    let with_sign = text(&mut cluster);
    assert!(
        with_sign.strip_suffix('%').is_some_and(is_number),
        "{with_sign}"
    );
    cluster.ask("CLIENT SETINFO LIB-NAME redis-py");
    assert!(is_number(&text(&mut cluster)));
    cluster.ask("CONFIG SET memory-stats-percent-sign yes");
    assert_eq!(
        cluster.cores()[1].config.memory_stats_percent_sign,
        PercentSign::Yes
    );
    assert!(text(&mut cluster).ends_with('%'));
    cluster.cores_mut()[0]
        .clients
        .at_mut(ClientId(0))
        .library_name = Box::default();
    cluster.ask("CONFIG SET memory-stats-percent-sign no");
    assert!(is_number(&text(&mut cluster)));
    cluster.ask("CONFIG SET memory-stats-percent-sign yes");
    cluster.speak(Proto::Resp3);
    assert_eq!(text(&mut cluster), "double");
}

#[test]
fn shards_add_up_to_the_whole() {
    for shards in [1, 2, 4] {
        let mut cluster = filled(shards, 500);
        let fields = pairs(&cluster.ask("MEMORY STATS"));
        for name in ["keys.count", "dataset.bytes", "clients.normal"] {
            let sum: i64 = (0..shards)
                .map(|shard| int(&pairs(field(&fields, &format!("shard.{shard}"))), name))
                .sum();
            assert_eq!(sum, int(&fields, name), "{name}");
        }
        let Reply::Array(rows) = cluster.ask("MEMORY SHARDS") else {
            panic!("rows")
        };
        assert_eq!(rows.len(), shards as usize);
        let keys: i64 = rows.iter().map(|row| int(&pairs(row), "keys")).sum();
        assert_eq!(keys, 500);
    }
}

#[test]
fn usage_of_all_keys_is_the_dataset_and_a_constant_for_each_key() {
    for shards in [1, 2, 4] {
        let mut cluster = filled(shards, 300);
        let constants = pairs(&cluster.ask("MEMORY EXPLAIN key:0"));
        let (slot, expiry) = (int(&constants, "slot.cost"), int(&constants, "expiry.cost"));
        let fields = pairs(&cluster.ask("MEMORY STATS"));
        let (mut usage, mut expiring) = (0, 0);
        for key in 0..300 {
            let Reply::Int(bytes) = cluster.ask(&format!("MEMORY USAGE key:{key}")) else {
                panic!("a number")
            };
            usage += bytes;
            expiring += i64::from(cluster.ask(&format!("TTL key:{key}")) != Reply::Int(-1));
        }
        assert!(expiring > 0);
        assert_eq!(
            usage,
            int(&fields, "dataset.bytes") + 300 * slot + expiring * expiry
        );
    }
}

#[test]
fn the_bill_of_a_key_adds_up_to_its_usage() {
    let mut cluster = filled(2, 50);
    for key in 0..50 {
        let Reply::Int(usage) = cluster.ask(&format!("MEMORY USAGE key:{key}")) else {
            panic!("a number")
        };
        let bill = pairs(&cluster.ask(&format!("MEMORY EXPLAIN key:{key}")));
        let items = bill
            .iter()
            .filter(|(name, _)| name.ends_with(".bytes") && name != "total.bytes");
        let sum: i64 = items.map(|(name, _)| int(&bill, name)).sum();
        assert_eq!((sum, int(&bill, "total.bytes")), (usage, usage));
    }
    assert_eq!(cluster.ask("MEMORY EXPLAIN nosuch"), Reply::Null);
}

#[test]
fn usage_touches_nothing_and_shows_no_expired_key() {
    let mut cluster = Cluster::new(1);
    cluster.ask("SET k v PX 5010");
    assert!(matches!(cluster.ask("MEMORY USAGE k"), Reply::Int(bytes) if bytes > 0));
    assert!(matches!(cluster.ask("MEMORY EXPLAIN k"), Reply::Array(_)));
    let stats = &cluster.cores()[0].stats;
    assert_eq!((stats.keyspace_hits, stats.keyspace_misses), (0, 0));
    cluster.advance(5000);
    let idle = cluster.ask("OBJECT IDLETIME k");
    cluster.ask("MEMORY USAGE k");
    assert_eq!(cluster.ask("OBJECT IDLETIME k"), idle);
    cluster.advance(11);
    assert_eq!(cluster.ask("MEMORY USAGE k"), Reply::Null);
    assert_eq!(cluster.ask("MEMORY EXPLAIN k"), Reply::Null);
}

#[test]
fn samples_are_checked_and_change_nothing() {
    let mut cluster = Cluster::new(1);
    cluster.ask("SET k v");
    let exact = cluster.ask("MEMORY USAGE k");
    assert_eq!(cluster.ask("MEMORY USAGE k SAMPLES 0"), exact);
    assert_eq!(cluster.ask("MEMORY USAGE k samples 5 samples 6"), exact);
    for (line, error) in [
        (
            "MEMORY USAGE k SAMPLES x",
            "ERR value is not an integer or out of range",
        ),
        ("MEMORY USAGE k SAMPLES -1", "ERR syntax error"),
        ("MEMORY USAGE k SAMPLES", "ERR syntax error"),
        ("MEMORY USAGE k WHAT 1", "ERR syntax error"),
        (
            "MEMORY USAGE nosuch SAMPLES x",
            "ERR value is not an integer or out of range",
        ),
        (
            "MEMORY USAGE",
            "ERR wrong number of arguments for 'memory|usage' command",
        ),
        (
            "MEMORY STATS x",
            "ERR wrong number of arguments for 'memory|stats' command",
        ),
        (
            "MEMORY WHAT",
            "ERR unknown subcommand 'WHAT'. Try MEMORY HELP.",
        ),
    ] {
        assert_eq!(cluster.ask(line), Reply::Error(error.into()), "{line}");
    }
}

/// Keys with values of one size, four of five of them deleted again.
fn thinned(shards: u16) -> Cluster {
    let mut cluster = Cluster::new(shards);
    let value = "v".repeat(200);
    for key in 0..20_000 {
        cluster.run(&["SET", &format!("key:{key:05}"), &value]);
    }
    for key in (0..20_000).filter(|key| key % 5 != 0) {
        cluster.run(&["DEL", &format!("key:{key:05}")]);
    }
    cluster
}

#[test]
fn purge_gives_back_what_deleted_keys_held() {
    let mut cluster = thinned(2);
    let committed = |cluster: &Cluster| -> u64 {
        cluster
            .cores()
            .iter()
            .map(|core| core.shard.accounts().slab_committed_bytes)
            .sum()
    };
    let before = committed(&cluster);
    assert_eq!(cluster.ask("MEMORY PURGE"), Reply::Simple(b"OK".to_vec()));
    assert!(
        committed(&cluster) < before / 2,
        "{} of {before}",
        committed(&cluster)
    );
    assert_eq!(cluster.ask("DBSIZE"), Reply::Int(4000));
    cluster.cores().iter().for_each(|core| core.shard.check());
}

#[test]
fn purge_works_in_bounded_steps() {
    let mut cluster = thinned(1);
    let mut args = resp::OwnedArgs::new();
    ["MEMORY", "PURGE"]
        .iter()
        .for_each(|word| args.push(word.as_bytes()));
    let row = commands::Table::instance()
        .resolve(&args.as_args())
        .unwrap();
    let (mut part, mut steps) = (Part::default(), 0);
    loop {
        let core = &mut cluster.cores_mut()[0];
        let mut call = commands::Call {
            core,
            args: args.as_args(),
            db: 0,
            proto: Proto::Resp2,
            hash: 0,
            client: None,
            no_touch: false,
        };
        let progress =
            commands::gather::run_stage(&mut call, row, commands::gather::Stage::Part, &mut part)
                .unwrap();
        steps += 1;
        if progress == commands::Progress::Done {
            break;
        }
    }
    assert!(steps > 5, "{steps}");
}

#[test]
fn after_everything_is_deleted_the_dataset_and_the_tables_are_empty() {
    for shards in [1, 2, 4] {
        let mut cluster = filled(shards, 2000);
        cluster.ask("FLUSHALL");
        cluster.ask("MEMORY PURGE");
        let fields = pairs(&cluster.ask("MEMORY STATS"));
        assert_eq!(
            (int(&fields, "dataset.bytes"), int(&fields, "keys.count")),
            (0, 0)
        );
        assert!(fields.iter().all(|(name, _)| !name.starts_with("db.")));
        let tables = int(&pairs(field(&fields, "overhead.items")), "tables");
        assert_eq!(tables, 0);
    }
}

#[test]
fn the_overhead_is_explained_item_by_item() {
    let mut cluster = filled(2, 1000);
    let fields = pairs(&cluster.ask("MEMORY STATS"));
    let items = pairs(field(&fields, "overhead.items"));
    let sum: i64 = items.iter().map(|(name, _)| int(&items, name)).sum();
    assert_eq!(sum, int(&fields, "overhead.total"));
    assert_eq!(
        int(&fields, "total.allocated") - int(&fields, "dataset.bytes"),
        int(&fields, "overhead.total")
    );
    assert!(int(&fields, "peak.allocated") >= int(&fields, "total.allocated"));
}

#[test]
fn texts_for_people_are_texts_in_both_protocols() {
    let mut cluster = filled(2, 100);
    for line in ["MEMORY DOCTOR", "MEMORY MALLOC-STATS"] {
        cluster.speak(Proto::Resp2);
        assert!(
            matches!(cluster.ask(line), Reply::Bulk(text) if text.len() > 20),
            "{line}"
        );
        cluster.speak(Proto::Resp3);
        assert!(
            matches!(cluster.ask(line), Reply::Verbatim(format, text) if format == *b"txt" && text.len() > 20)
        );
    }
}

#[test]
fn malloc_stats_list_every_shard() {
    let mut cluster = filled(2, 100);
    let Reply::Bulk(text) = cluster.ask("MEMORY MALLOC-STATS") else {
        panic!("a text")
    };
    let text = String::from_utf8(text).unwrap();
    for part in [
        "shard 0",
        "shard 1",
        "allocated",
        "committed",
        "resident",
        "slab, all shards",
        "heap, whole process",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
