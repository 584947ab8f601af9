//! Commands on keys whatever they hold.

use super::{SHARDS, ask, keys_apart, script};
use testkit::Cluster;

#[test]
fn keys_are_counted_as_often_as_they_are_named() {
    script(
        r#"
        mset a 1 b 2 c 3 => OK
        exists a b c nok a => 4
        touch a a nok => 2
        del a a nok => 1
        unlink b c => 2
        exists a b c => 0
        type d => none
        set d v => OK
        type d => string
        del => (ERR wrong number of arguments for 'del' command)
        "#,
    );
}

#[test]
fn a_renamed_value_is_under_its_new_key_only() {
    script(
        r#"
        set a v => OK
        rename a b => OK
        mget a b => [nil, "v"]
        rename a b => (ERR no such key)
        set c w => OK
        rename b c => OK
        get c => "v"
        rename c c => OK
        get c => "v"
        renamenx c c => 0
        set d x => OK
        renamenx c d => 0
        renamenx c e => 1
        mget c d e => [nil, "x", "v"]
        renamenx nok e => (ERR no such key)
        rename nok nok => (ERR no such key)
        dbsize => 2
        "#,
    );
}

#[test]
fn values_of_every_kind_survive_a_way_between_shards() {
    for shards in SHARDS {
        let mut cluster = Cluster::new(shards);
        let (here, there) = keys_apart(&cluster);
        for (value, encoding) in [
            ("12", "int"),
            ("short", "embstr"),
            (&"x".repeat(100), "raw"),
            (&"x".repeat(100_000), "raw"),
        ] {
            cluster.run(&["set", &here, value, "ex", "100"]);
            assert_eq!(ask(&mut cluster, &format!("rename {here} {there}")), "OK");
            assert_eq!(
                cluster.run(&["get", &there]),
                resp::Reply::Bulk(value.into())
            );
            assert_eq!(
                ask(&mut cluster, &format!("object encoding {there}")),
                format!("\"{encoding}\"")
            );
            assert_eq!(ask(&mut cluster, &format!("ttl {there}")), "100");
            assert_eq!(ask(&mut cluster, &format!("copy {there} {here}")), "1");
            assert_eq!(
                cluster.run(&["get", &here]),
                resp::Reply::Bulk(value.into())
            );
            assert_eq!(ask(&mut cluster, &format!("copy {there} {here}")), "0");
            assert_eq!(ask(&mut cluster, &format!("renamenx {there} {here}")), "0");
            assert_eq!(ask(&mut cluster, "dbsize"), "2");
            assert_eq!(ask(&mut cluster, &format!("del {here} {there}")), "2");
            cluster.cores().iter().for_each(|core| core.shard.check());
        }
    }
}

#[test]
fn a_copy_replaces_only_when_it_was_told_to() {
    script(
        r#"
        mset a 1 b 2 => OK
        copy a b => 0
        copy a b replace => 1
        get b => "1"
        copy nok b replace => 0
        get b => "1"
        copy a a => (ERR source and destination objects are the same)
        copy a a db 0 => (ERR source and destination objects are the same)
        copy a a db 3 => 1
        copy a a DB 3 => 0
        copy a a DB 3 REPLACE => 1
        copy a b db 16 => (ERR DB index is out of range)
        copy a b db -1 => (ERR DB index is out of range)
        copy a b db x => (ERR value is not an integer or out of range)
        copy a b db 99999999999 => (ERR value is out of range, value must between -2147483648 and 2147483647)
        copy a b db => (ERR syntax error)
        copy a b foo => (ERR syntax error)
        "#,
    );
}

#[test]
fn a_moved_key_is_in_the_other_database_only() {
    script(
        r#"
        set k v => OK
        move k 1 => 1
        exists k => 0
        swapdb 0 1 => OK
        get k => "v"
        move k 0 => (ERR source and destination objects are the same)
        move nok 1 => 0
        copy k k db 1 => 1
        move k 1 => 0
        get k => "v"
        move k 16 => (ERR DB index is out of range)
        move k x => (ERR value is not an integer or out of range)
        move k 99999999999 => (ERR value is out of range, value must between -2147483648 and 2147483647)
        "#,
    );
}

#[test]
fn object_tells_how_a_value_is_stored() {
    script(
        r#"
        set n 12 => OK
        object encoding n => "int"
        set s hello => OK
        object encoding s => "embstr"
        append s x => 6
        OBJECT ENCODING s => "raw"
        object refcount s => 1
        object refcount n => 1
        object freq s => (ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.)
        object freq nok => nil
        object encoding nok => nil
        object refcount nok => nil
        object idletime nok => nil
        object nosuch k => (ERR unknown subcommand 'nosuch'. Try OBJECT HELP.)
        object => (ERR wrong number of arguments for 'object' command)
        object freq => (ERR wrong number of arguments for 'object|freq' command)
        object help x => (ERR wrong number of arguments for 'object|help' command)
        "#,
    );
}

#[test]
fn an_idle_key_grows_older_and_touching_it_ends_that() {
    let idle =
        |cluster: &mut Cluster| -> i64 { ask(cluster, "object idletime k").parse().unwrap() };
    let mut cluster = Cluster::new(1);
    ask(&mut cluster, "set k v");
    cluster.advance(1_000_000);
    assert!(
        (850..=1000).contains(&idle(&mut cluster)),
        "{}",
        idle(&mut cluster)
    );
    ask(&mut cluster, "ttl k");
    ask(&mut cluster, "exists k");
    assert!(
        idle(&mut cluster) > 850,
        "asking about a key does not touch it"
    );
    ask(&mut cluster, "get k");
    assert!(idle(&mut cluster) < 150, "{}", idle(&mut cluster));
}

#[test]
fn a_client_that_asked_for_no_touch_leaves_keys_idle_but_for_touch() {
    let mut cluster = Cluster::new(1);
    ask(&mut cluster, "set k v");
    cluster.cores_mut()[0]
        .clients
        .at_mut(commands::ClientId(0))
        .no_touch = true;
    cluster.advance(1_000_000);
    ask(&mut cluster, "get k");
    let idle: i64 = ask(&mut cluster, "object idletime k").parse().unwrap();
    assert!(idle > 850);
    ask(&mut cluster, "touch k");
    let idle: i64 = ask(&mut cluster, "object idletime k").parse().unwrap();
    assert!(idle < 150);
}

#[test]
fn lookups_count_as_hits_and_misses() {
    let mut cluster = Cluster::new(2);
    for command in [
        "set k v",
        "get k",
        "get nok",
        "mget k nok",
        "exists k nok",
        "ttl k",
        "strlen nok",
        "set k w",
        "incr n",
    ] {
        ask(&mut cluster, command);
    }
    let sum = |figure: fn(&commands::Core) -> u64| cluster.cores().iter().map(figure).sum::<u64>();
    assert_eq!(sum(|core| core.stats.keyspace_hits), 4);
    assert_eq!(sum(|core| core.stats.keyspace_misses), 4);
}
