//! Commands that work on keys of any kind, on hashes; and commands of other kinds, refused.

use super::{SHARDS, ask, run_script, script, set_max_entries};
use resp::Reply;
use testkit::Cluster;

const WRONG_TYPE: &str = "(WRONGTYPE Operation against a key holding the wrong kind of value)";

#[test]
fn commands_on_strings_refuse_a_hash() {
    for command in [
        "get h",
        "getset h v",
        "getdel h",
        "getex h ex 10",
        "set h v get",
        "append h v",
        "strlen h",
        "getrange h 0 -1",
        "substr h 0 -1",
        "setrange h 0 v",
        "incr h",
        "decr h",
        "incrby h 1",
        "decrby h 1",
        "incrbyfloat h 1",
        "lpush h v",
    ] {
        script(&format!(
            "hset h f v => 1\n{command} => {WRONG_TYPE}\nhget h f => \"v\""
        ));
    }
    script(
        r#"
        hset h f v => 1
        mget h nok => [nil, nil]
        setnx h v => 0
        set h v nx => nil
        msetnx h v other w => 0
        hget h f => "v"
        "#,
    );
}

#[test]
fn commands_on_hashes_refuse_a_string() {
    for command in [
        "hset k f v",
        "hmset k f v",
        "hsetnx k f v",
        "hget k f",
        "hmget k f",
        "hgetall k",
        "hkeys k",
        "hvals k",
        "hlen k",
        "hstrlen k f",
        "hexists k f",
        "hdel k f",
        "hincrby k f 1",
        "hincrbyfloat k f 1",
        "hrandfield k",
        "hrandfield k 2",
        "hscan k 0",
    ] {
        script(&format!(
            "set k v => OK\n{command} => {WRONG_TYPE}\nget k => \"v\""
        ));
    }
}

#[test]
fn set_takes_the_place_of_a_hash() {
    script(
        r#"
        hset h f v => 1
        set h text => OK
        get h => "text"
        type h => string
        hset i f v g w => 2
        mset i 1 j 2 => OK
        get i => "1"
        hset k f v => 1
        setex k 10 v => OK
        get k => "v"
        "#,
    );
}

#[test]
fn a_hash_ends_as_any_key_does() {
    script(
        r#"
        hset h f v => 1
        expire h 10 => 1
        ttl h => 10
        hset h g w => 1
        ttl h => 10
        hdel h g => 1
        persist h => 1
        ttl h => -1
        pexpire h 5 => 1
        +6
        exists h => 0
        hget h f => nil
        hset h f new => 1
        ttl h => -1
        expire h 0 => 1
        exists h => 0
        dbsize => 0
        "#,
    );
}

#[test]
fn a_hash_is_renamed_copied_and_moved_with_all_it_has() {
    for shards in SHARDS {
        for (max_entries, fields) in [(512, 3), (0, 3), (512, 2000)] {
            let mut cluster = Cluster::new(shards);
            set_max_entries(&mut cluster, max_entries);
            for number in 0..fields {
                ask(&mut cluster, &format!("hset h f{number} {number}"));
            }
            let script = r#"
                hexpire h 100 fields 2 f0 f1 => [1, 1]
                expire h 1000 => 1
                rename h other => OK
                exists h => 0
                httl other fields 3 f0 f1 f2 => [100, 100, -1]
                ttl other => 1000
                set third v => OK
                copy other third => 0
                copy other third replace => 1
                hmget third f0 f1 f2 => ["0", "1", "2"]
                httl third fields 3 f0 f1 f2 => [100, 100, -1]
                ttl third => 1000
                hset third f0 changed => 0
                hget other f0 => "0"
                renamenx third other => 0
                move third 1 => 1
                exists third => 0
                copy other fourth db 1 => 1
                +100001
                hmget other f0 f1 f2 => [nil, nil, "2"]
                del other => 1
                dbsize => 0
            "#;
            run_script(&mut cluster, script, max_entries);
            cluster.select(1);
            let script = r#"
                hmget third f0 f1 f2 => ["changed", nil, "2"]
                hmget fourth f0 f1 f2 => [nil, nil, "2"]
                unlink third fourth => 2
            "#;
            run_script(&mut cluster, script, max_entries);
        }
    }
}

#[test]
fn a_hash_says_what_it_is() {
    let mut cluster = Cluster::new(2);
    for number in 0..3 {
        ask(&mut cluster, &format!("set s{number} v"));
        ask(&mut cluster, &format!("hset h{number} f v"));
    }
    assert_eq!(ask(&mut cluster, "type h1"), "hash");
    assert_eq!(ask(&mut cluster, "object encoding h1"), r#""listpack""#);
    assert_eq!(ask(&mut cluster, "object refcount h1"), "1");
    assert_eq!(ask(&mut cluster, "touch h0 h1 nok"), "2");
    let (mut cursor, mut found) = ("0".to_owned(), 0);
    loop {
        let Reply::Array(page) = cluster.ask(&format!("scan {cursor} type hash count 2")) else {
            panic!("SCAN answers an array")
        };
        let [Reply::Bulk(next), Reply::Array(keys)] = &page[..] else {
            panic!("{page:?}")
        };
        assert!(
            keys.iter()
                .all(|key| matches!(key, Reply::Bulk(key) if key[0] == b'h'))
        );
        found += keys.len();
        cursor = String::from_utf8(next.clone()).unwrap();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(found, 3);
    set_max_entries(&mut cluster, 0);
    ask(&mut cluster, "hset h1 g w");
    assert_eq!(ask(&mut cluster, "object encoding h1"), r#""hashtable""#);
}

#[test]
fn debug_object_tells_how_a_hash_is_held() {
    let mut cluster = Cluster::new(2);
    ask(&mut cluster, "hset h f v");
    assert!(ask(&mut cluster, "debug object h").contains(" encoding:listpack "));
    ask(&mut cluster, "hexpire h 10 fields 1 f");
    assert!(ask(&mut cluster, "debug object h").contains(" encoding:listpackex "));
    set_max_entries(&mut cluster, 0);
    ask(&mut cluster, "hset h g v");
    assert!(ask(&mut cluster, "debug object h").contains(" encoding:hashtable "));
}

#[test]
fn there_is_nothing_to_copy_of_a_hash_whose_fields_have_all_ended() {
    script(
        r#"
        hset h f v => 1
        hpexpire h 10 fields 1 f => [1]
        set other v => OK
        +11
        copy h other replace => 0
        copy h third => 0
        rename h third => (ERR no such key)
        dump h => nil
        get other => "v"
        exists third => 0
        "#,
    );
}

#[test]
fn what_a_hash_costs_is_explained() {
    for fields in [3, 5000] {
        let mut cluster = Cluster::new(1);
        for number in 0..fields {
            ask(&mut cluster, &format!("hset h f{number} value{number}"));
        }
        let Reply::Int(usage) = cluster.ask("memory usage h") else {
            panic!("MEMORY USAGE answers a number")
        };
        let Reply::Array(bill) = cluster.ask("memory explain h") else {
            panic!("MEMORY EXPLAIN answers a list")
        };
        let item = |name: &str| {
            let at = bill
                .iter()
                .position(|item| *item == Reply::Bulk(name.into()));
            match bill[at.expect("the bill has this item") + 1] {
                Reply::Int(bytes) => bytes,
                ref other => panic!("{other:?} is no number"),
            }
        };
        assert_eq!(item("total.bytes"), usage);
        assert_eq!(item("tables.bytes") > 0, fields > 512);
        let items = bill.iter().step_by(2).zip(bill.iter().skip(1).step_by(2));
        let sum: i64 = items
            .take_while(|(name, _)| **name != Reply::Bulk(b"total.bytes".to_vec()))
            .map(|(_, bytes)| match bytes {
                Reply::Int(bytes) => *bytes,
                other => panic!("{other:?} is no number"),
            })
            .sum();
        assert_eq!(sum, usage);
    }
}
