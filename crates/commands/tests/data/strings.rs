//! GET, SET and their kin; ranges; LCS.

use super::{SHARDS, ask, keys_apart, script, shown};
use testkit::Cluster;

#[test]
fn a_value_that_was_set_is_returned() {
    script(
        r#"
        set k hello => OK
        get k => "hello"
        get nok => nil
        set k '' => OK
        get k => ""
        set '' v => OK
        get '' => "v"
        set k => (ERR wrong number of arguments for 'set' command)
        get => (ERR wrong number of arguments for 'get' command)
        "#,
    );
}

#[test]
fn set_takes_every_option() {
    script(
        r#"
        set k v xx => nil
        set k v nx => OK
        set k w nx => nil
        set k w XX => OK
        set k x get => "w"
        set nok x get => nil
        set k y nx get => "x"
        get k => "x"
        set k z xx get => "x"
        set absent z xx get => nil
        exists absent => 0
        set k v ex 10 => OK
        ttl k => 10
        set k v keepttl => OK
        ttl k => 10
        set k v => OK
        ttl k => -1
        set k v PX 1500 => OK
        pttl k => 1500
        set k v exat 1700000100 => OK
        ttl k => 100
        set k v pxat 1700000100500 => OK
        pttl k => 100500
        set k v ex 10 ex 20 => OK
        ttl k => 20
        "#,
    );
}

#[test]
fn set_refuses_options_that_exclude_each_other() {
    for options in [
        "nx xx",
        "xx nx",
        "ex 1 px 1",
        "px 1 ex 1",
        "keepttl ex 1",
        "ex 1 keepttl",
        "ex",
        "pxat",
        "persist",
        "foo",
        "exat 1 ex 1",
        "ex 1 nosuch",
    ] {
        script(&format!("set k v {options} => (ERR syntax error)"));
    }
}

#[test]
fn a_bad_time_is_refused_with_the_name_of_the_command() {
    script(
        r#"
        set k v ex 0 => (ERR invalid expire time in 'set' command)
        set k v px -1 => (ERR invalid expire time in 'set' command)
        set k v ex 9223372036854775807 => (ERR invalid expire time in 'set' command)
        set k v px 9223372036854775807 => (ERR invalid expire time in 'set' command)
        set k v ex x => (ERR value is not an integer or out of range)
        setex k 0 v => (ERR invalid expire time in 'setex' command)
        setex k x v => (ERR value is not an integer or out of range)
        psetex k -1 v => (ERR invalid expire time in 'psetex' command)
        exists k => 0
        set k v => OK
        getex k ex 0 => (ERR invalid expire time in 'getex' command)
        getex nok ex 0 => nil
        getex k ex x => (ERR value is not an integer or out of range)
        set k v pxat 9223372036854775807 => OK
        pexpiretime k => 9223372036854775807
        "#,
    );
}

#[test]
fn a_value_set_with_a_time_that_has_passed_is_gone() {
    script(
        r#"
        set k v => OK
        set k w exat 1 => OK
        exists k => 0
        set k v pxat 1 get => nil
        get k => nil
        dbsize => 0
        "#,
    );
}

#[test]
fn the_variants_of_set_and_get_do_both() {
    script(
        r#"
        setnx k v => 1
        setnx k w => 0
        get k => "v"
        setex k 10 w => OK
        ttl k => 10
        psetex k 2500 x => OK
        pttl k => 2500
        getset k y => "x"
        ttl k => -1
        getset absent v => nil
        getdel k => "y"
        getdel k => nil
        exists k => 0
        set k v => OK
        getex k => "v"
        getex k ex 10 => "v"
        ttl k => 10
        getex k persist => "v"
        ttl k => -1
        getex k pxat 1700000003000 => "v"
        pttl k => 3000
        getex k exat 1 => "v"
        get k => nil
        getex k keepttl => (ERR syntax error)
        getex k persist ex 1 => (ERR syntax error)
        getex k ex => (ERR syntax error)
        "#,
    );
}

#[test]
fn several_values_are_set_and_returned_in_the_order_of_their_keys() {
    script(
        r#"
        mset a 1 b 2 c 3 d 4 e 5 => OK
        mget e d nok c b a a => ["5", "4", nil, "3", "2", "1", "1"]
        mset a x a y => OK
        get a => "y"
        mset a 1 b => (ERR wrong number of arguments for 'mset' command)
        msetnx a 1 b => (ERR wrong number of arguments for 'msetnx' command)
        mset a => (ERR wrong number of arguments for 'mset' command)
        "#,
    );
}

#[test]
fn msetnx_sets_all_or_nothing_wherever_the_keys_lie() {
    for shards in SHARDS {
        let mut cluster = Cluster::new(shards);
        let (first, second) = keys_apart(&cluster);
        assert_eq!(
            ask(&mut cluster, &format!("msetnx {first} 1 {second} 2")),
            "1"
        );
        assert_eq!(ask(&mut cluster, &format!("del {first}")), "1");
        assert_eq!(
            ask(&mut cluster, &format!("msetnx {first} 3 {second} 4")),
            "0"
        );
        assert_eq!(
            ask(&mut cluster, &format!("mget {first} {second}")),
            r#"[nil, "2"]"#
        );
    }
}

#[test]
fn mset_takes_expiries_away() {
    script(
        r#"
        set a 1 ex 100 => OK
        mset a 2 b 3 => OK
        ttl a => -1
        "#,
    );
}

#[test]
fn parts_of_strings_are_read_and_written() {
    script(
        r#"
        append k hello => 5
        append k _world => 11
        get k => "hello_world"
        strlen k => 11
        strlen nok => 0
        getrange k 0 4 => "hello"
        getrange k -5 -1 => "world"
        substr k 6 100 => "world"
        getrange k 5 3 => ""
        getrange nok 0 -1 => ""
        getrange k 0 x => (ERR value is not an integer or out of range)
        setrange k 6 W => 11
        get k => "hello_World"
        setrange new 3 x => 4
        get new => "\x00\x00\x00x"
        setrange new 0 '' => 4
        setrange absent 5 '' => 0
        exists absent => 0
        set n 12345 => OK
        getrange n 1 2 => "23"
        strlen n => 5
        setrange n 1 xx => 5
        get n => "1xx45"
        append n 6 => 6
        append absent '' => 0
        exists absent => 1
        "#,
    );
}

#[test]
fn a_string_does_not_grow_beyond_the_limit() {
    script(
        r#"
        setrange k 536870912 x => (ERR string exceeds maximum allowed size (proto-max-bulk-len))
        setrange k 9223372036854775807 x => (ERR string exceeds maximum allowed size (proto-max-bulk-len))
        setrange k 536870912 '' => 0
        setrange k -1 x => (ERR offset is out of range)
        setrange k x x => (ERR value is not an integer or out of range)
        exists k => 0
        "#,
    );
    let mut cluster = Cluster::new(1);
    cluster.cores_mut()[0].config.proto_max_bulk_len = 10;
    assert_eq!(ask(&mut cluster, "append k 0123456789"), "10");
    let too_long = "(ERR string exceeds maximum allowed size (proto-max-bulk-len))";
    assert_eq!(ask(&mut cluster, "append k 0"), too_long);
    assert_eq!(ask(&mut cluster, "setrange k 10 x"), too_long);
    assert_eq!(ask(&mut cluster, "setrange k 9 x"), "10");
}

#[test]
fn a_subsequence_common_to_two_strings_is_found_wherever_they_lie() {
    for shards in SHARDS {
        let mut cluster = Cluster::new(shards);
        let (x, y) = keys_apart(&cluster);
        for (x, y) in [(x.clone(), y.clone()), (y, x)] {
            ask(&mut cluster, &format!("mset {x} ohmytext {y} mynewtext"));
            let mut lcs =
                |options: &str| ask(&mut cluster, format!("lcs {x} {y} {options}").trim());
            assert_eq!(lcs(""), r#""mytext""#);
            assert_eq!(lcs("len"), "6");
            assert_eq!(
                lcs("IDX"),
                r#"["matches", [[[4, 7], [5, 8]], [[2, 3], [0, 1]]], "len", 6]"#
            );
            assert_eq!(
                lcs("idx minmatchlen 4 withmatchlen"),
                r#"["matches", [[[4, 7], [5, 8], 4]], "len", 6]"#
            );
            assert_eq!(lcs("minmatchlen -1"), r#""mytext""#);
            assert_eq!(
                lcs("len idx"),
                "(ERR If you want both the length and indexes, please just use IDX.)"
            );
            assert_eq!(lcs("minmatchlen"), "(ERR syntax error)");
            assert_eq!(
                lcs("minmatchlen x"),
                "(ERR value is not an integer or out of range)"
            );
            assert_eq!(lcs("foo"), "(ERR syntax error)");
        }
    }
    script(
        r#"
        lcs nok nok2 => ""
        lcs nok nok2 len => 0
        lcs nok nok2 idx => ["matches", [], "len", 0]
        set n 123 => OK
        lcs n n => "123"
        "#,
    );
}

#[test]
fn a_comparison_that_redis_has_no_memory_for_is_refused() {
    let mut cluster = Cluster::new(2);
    let (x, y) = keys_apart(&cluster);
    let long = "x".repeat(12_000);
    cluster.run(&["mset", &x, &long, &y, &long]);
    let refused = "(ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len)";
    assert_eq!(shown(&cluster.run(&["lcs", &x, &y])), refused);
    assert_eq!(shown(&cluster.run(&["lcs", &x, &x])), refused);
    assert_eq!(shown(&cluster.run(&["lcs", &x, "nok", "len"])), "0");
}

#[test]
fn under_resp3_a_missing_value_is_null_and_matches_are_a_map() {
    let mut cluster = Cluster::new(2);
    cluster.speak(resp::Proto::Resp3);
    assert_eq!(cluster.run_raw(&["get", "nok"]), b"_\r\n");
    assert_eq!(cluster.run_raw(&["mget", "nok"]), b"*1\r\n_\r\n");
    assert_eq!(
        ask(&mut cluster, "lcs nok nok idx"),
        r#"{"matches": [], "len": 0}"#
    );
}

#[test]
fn a_large_value_comes_back_whole() {
    for shards in SHARDS {
        let mut cluster = Cluster::new(shards);
        let value: Vec<u8> = (0..1_000_000u32).map(|n| n as u8).collect();
        cluster.run(&[b"set", &b"k"[..], &value]);
        assert_eq!(cluster.run(&["get", "k"]), resp::Reply::Bulk(value.clone()));
        cluster.run(&["append", "k", "x"]);
        assert_eq!(ask(&mut cluster, "strlen k"), "1000001");
        cluster.cores().iter().for_each(|core| core.shard.check());
    }
}

#[test]
fn a_value_that_is_named_many_times_does_not_make_a_reply_without_bound() {
    let refused = "(ERR reply exceeds maximum allowed size (proto-max-bulk-len))";
    for shards in SHARDS {
        let mut cluster = Cluster::new(shards);
        let value = "v".repeat(600 << 10);
        cluster.ask("CONFIG SET proto-max-bulk-len 1mb");
        let (key, other) = keys_apart(&cluster);
        for key in [&key, &other] {
            cluster.run(&["SET", key, &value]);
        }
        cluster.run(&["HSET", "h", "f", &value]);
        let many = format!("MGET {key} {key} {other}");
        assert_eq!(ask(&mut cluster, &many), refused, "{shards} shards");
        assert_eq!(ask(&mut cluster, "HMGET h f f"), refused);
        assert_eq!(
            ask(&mut cluster, "HMGET h f none"),
            format!("[\"{value}\", nil]")
        );
    }
}

#[test]
fn what_is_told_once_has_no_bound_and_what_is_named_again_and_again_has() {
    let refused = "(ERR reply exceeds maximum allowed size (proto-max-bulk-len))";
    for shards in SHARDS {
        let mut cluster = Cluster::new(shards);
        let value = "v".repeat(600 << 10);
        cluster.ask("CONFIG SET proto-max-bulk-len 1mb");
        for words in [
            ["RPUSH", "list", &value].as_slice(),
            &["RPUSH", "list", &value],
            &["RPUSH", "same", "x", "x"],
            &["SET", "of-x", &value],
            &["ZADD", "zset", "1", &value],
            &["XADD", "stream", "1-1", "f", &value],
            &["XADD", "other", "1-1", "f", &value],
            &["XGROUP", "CREATE", "stream", "g", "0"],
            &["HSET", "hash", "f", &value],
        ] {
            cluster.run(words);
        }
        for told in [
            "SORT list BY nosort",
            "SORT list BY nosort LIMIT 0 1 GET #",
            "SORT same ALPHA LIMIT 0 1 GET of-*",
            "ZRANDMEMBER zset -1",
            "XREAD STREAMS stream other 0 0",
            "XREAD STREAMS stream stream 0 1-1",
            "XREADGROUP GROUP g a STREAMS stream stream > >",
            "XCLAIM stream g b 0 1-1 1-1",
            "HGETEX hash FIELDS 1 f",
        ] {
            let reply = ask(&mut cluster, told);
            assert!(reply.contains(&value), "{told} with {shards} shards");
        }
        for again in [
            "SORT list BY nosort GET #",
            "SORT list BY nosort LIMIT 0 1 GET # GET #",
            "SORT list BY nosort GET # STORE target",
            "SORT same ALPHA GET of-*",
            "SORT same ALPHA GET of-* STORE target",
            "ZRANDMEMBER zset -2",
            "XREAD STREAMS stream stream stream 0 0 0",
            "XREADGROUP GROUP g b STREAMS stream stream stream 0 0 0",
            "XCLAIM stream g b 0 1-1 1-1 1-1",
            "HGETEX hash PX 1 FIELDS 2 f f",
            &format!("COMMAND DOCS{}", " set".repeat(1000)),
            &format!("COMMAND INFO{}", " set".repeat(4000)),
        ] {
            assert_eq!(
                ask(&mut cluster, again),
                refused,
                "{again} with {shards} shards"
            );
        }
        assert_eq!(ask(&mut cluster, "EXISTS target"), "0");
        assert_eq!(ask(&mut cluster, "HTTL hash FIELDS 1 f"), "[-1]");
    }
}
