//! Commands on whole databases.

use std::collections::BTreeSet;

use super::{SHARDS, ask, script, shown};
use resp::Reply;
use testkit::Cluster;

fn filled(shards: u16, keys: usize) -> Cluster {
    let mut cluster = Cluster::new(shards);
    for n in 0..keys {
        cluster.run(&["set", &format!("key:{n}"), "v"]);
    }
    cluster
}

fn bulks(reply: &Reply) -> Vec<String> {
    let Reply::Array(elements) = reply else {
        panic!("{reply:?} is no array")
    };
    let text = |element: &Reply| match element {
        Reply::Bulk(text) => String::from_utf8(text.clone()).unwrap(),
        other => panic!("{other:?} is no bulk string"),
    };
    elements.iter().map(text).collect()
}

/// All keys of a SCAN with these options, and how many calls it took.
fn scan(
    cluster: &mut Cluster,
    options: &str,
    mut between: impl FnMut(&mut Cluster),
) -> (Vec<String>, usize) {
    let (mut cursor, mut found, mut calls) = ("0".to_owned(), Vec::new(), 0);
    loop {
        let reply = cluster.ask(format!("scan {cursor} {options}").trim());
        let Reply::Array(page) = reply else {
            panic!("{reply:?}")
        };
        found.extend(bulks(&page[1]));
        cursor = bulks(&Reply::Array(vec![page[0].clone()])).remove(0);
        calls += 1;
        assert!(
            cursor.parse::<u64>().unwrap() < 1 << 53,
            "every client library can hold the cursor"
        );
        if cursor == "0" {
            return (found, calls);
        }
        between(cluster);
    }
}

#[test]
fn keys_returns_every_key_that_matches_once() {
    for shards in SHARDS {
        let mut cluster = filled(shards, 3000);
        let keys = bulks(&cluster.ask("keys *"));
        assert_eq!(keys.len(), 3000);
        assert_eq!(keys.into_iter().collect::<BTreeSet<_>>().len(), 3000);
        assert_eq!(bulks(&cluster.ask("keys key:1??")).len(), 100);
        assert_eq!(bulks(&cluster.ask("keys nosuch")).len(), 0);
    }
}

#[test]
fn scan_returns_every_key_whatever_the_count() {
    for shards in SHARDS {
        let mut cluster = filled(shards, 3000);
        for options in [
            "",
            "count 1",
            "count 100",
            "count 9223372036854775807",
            "match *",
            "type string",
            "TYPE STRING",
        ] {
            let (found, _) = scan(&mut cluster, options, |_| {});
            assert_eq!(found.len(), 3000, "{options}");
            assert_eq!(
                found.into_iter().collect::<BTreeSet<_>>().len(),
                3000,
                "{options}"
            );
        }
        let (found, calls) = scan(&mut cluster, "match key:12? count 500", |_| {});
        assert_eq!(found.len(), 10);
        assert!((3..=40).contains(&calls), "{calls} calls");
        assert_eq!(scan(&mut cluster, "type list", |_| {}).0.len(), 0);
    }
}

#[test]
fn scan_answers_about_as_many_keys_as_it_was_asked_for() {
    let mut cluster = filled(2, 3000);
    let (found, calls) = scan(&mut cluster, "count 10", |_| {});
    assert_eq!(found.len(), 3000);
    assert!((100..=400).contains(&calls), "{calls} calls");
}

#[test]
fn scan_misses_no_key_that_stays_while_the_tables_grow_and_shrink() {
    for shards in SHARDS {
        let mut cluster = filled(shards, 2000);
        let mut written = 0;
        let grow_and_shrink = |cluster: &mut Cluster| {
            for _ in 0..400 {
                written += 1;
                let (add, remove) = (format!("more:{written}"), format!("more:{}", written / 3));
                cluster.run(&["set", &add, "v"]);
                cluster.run(&["del", &remove]);
            }
        };
        let (found, _) = scan(&mut cluster, "match key:* count 50", grow_and_shrink);
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>().len(), 2000);
    }
}

#[test]
fn a_bad_cursor_or_option_is_refused() {
    for cursor in [
        "x",
        "-1",
        "1.0",
        "''",
        "+1",
        "18446744073709551616",
        "18446744073709551615",
    ] {
        script(&format!("scan {cursor} => (ERR invalid cursor)"));
    }
    script(
        r#"
        scan 0 count 0 => (ERR syntax error)
        scan 0 count -1 => (ERR syntax error)
        scan 0 count x => (ERR value is not an integer or out of range)
        scan 0 match => (ERR syntax error)
        scan 0 foo bar => (ERR syntax error)
        scan x foo => (ERR invalid cursor)
        scan => (ERR wrong number of arguments for 'scan' command)
        keys => (ERR wrong number of arguments for 'keys' command)
        "#,
    );
}

#[test]
fn a_cursor_of_a_shard_that_is_not_there_is_refused() {
    for shards in SHARDS {
        let mut cluster = Cluster::new(shards);
        let cursor = u64::from(shards) << store::CURSOR_BITS;
        assert_eq!(
            ask(&mut cluster, &format!("scan {cursor}")),
            "(ERR invalid cursor)"
        );
    }
}

#[test]
fn the_database_size_is_that_of_all_shards() {
    script(
        r#"
        dbsize => 0
        mset a 1 b 2 c 3 d 4 e 5 f 6 => OK
        dbsize => 6
        move a 1 => 1
        dbsize => 5
        "#,
    );
}

#[test]
fn a_random_key_is_any_key() {
    for shards in SHARDS {
        let mut cluster = Cluster::new(shards);
        assert_eq!(ask(&mut cluster, "randomkey"), "nil");
        for n in 0..20 {
            cluster.run(&["set", &format!("key:{n}"), "v"]);
        }
        let drawn: BTreeSet<_> = (0..2000).map(|_| ask(&mut cluster, "randomkey")).collect();
        assert_eq!(drawn.len(), 20);
    }
}

#[test]
fn flushing_leaves_no_key_and_no_byte() {
    for shards in SHARDS {
        for flush in [
            "flushall",
            "flushall sync",
            "FLUSHALL ASYNC",
            "flushdb",
            "flushdb async",
        ] {
            let mut cluster = filled(shards, 2500);
            cluster.run(&["set", "large", &"x".repeat(100_000)]);
            if flush.to_lowercase().starts_with("flushall") {
                cluster.run(&["copy", "key:1", "key:1", "db", "5"]);
            }
            assert_eq!(ask(&mut cluster, flush), "OK");
            assert_eq!(ask(&mut cluster, "dbsize"), "0");
            assert_eq!(ask(&mut cluster, "get key:1"), "nil");
            for core in cluster.cores_mut() {
                if flush.to_lowercase().ends_with("async") {
                    while core.shard.free_step(100) {}
                }
                let accounts = core.shard.accounts();
                assert_eq!(accounts.account.bytes(), 0, "{flush}");
                assert_eq!(accounts.tables_bytes, 0, "{flush}");
                assert_eq!(accounts.freeing_bytes, 0, "{flush}");
                assert_eq!(accounts.heap_bytes, 0, "{flush}");
                assert_eq!(accounts.slab_used_bytes, 0, "{flush}");
                core.shard.check();
            }
        }
    }
}

#[test]
fn flushing_one_database_leaves_the_others() {
    script(
        r#"
        set k v => OK
        copy k k db 1 => 1
        flushdb => OK
        swapdb 0 1 => OK
        get k => "v"
        flushall foo => (ERR syntax error)
        flushall sync async => (ERR syntax error)
        flushdb foo => (ERR syntax error)
        get k => "v"
        "#,
    );
}

#[test]
fn swapped_databases_have_each_others_keys() {
    script(
        r#"
        mset a 1 b 2 c 3 => OK
        swapdb 0 1 => OK
        dbsize => 0
        set a x => OK
        swapdb 1 0 => OK
        mget a b c => ["1", "2", "3"]
        swapdb 0 0 => OK
        dbsize => 3
        swapdb x 0 => (ERR invalid first DB index)
        swapdb 0 y => (ERR invalid second DB index)
        swapdb 0 99999999999 => (ERR invalid second DB index)
        swapdb 0 16 => (ERR DB index is out of range)
        swapdb -1 0 => (ERR DB index is out of range)
        "#,
    );
}

#[test]
fn a_walk_works_in_steps() {
    let mut cluster = filled(1, 5000);
    let row = commands::Table::instance().by_name(b"keys").unwrap();
    let mut args = resp::OwnedArgs::new();
    args.push(b"keys");
    args.push(b"*");
    let mut part = commands::Part::default();
    let core = &mut cluster.cores_mut()[0];
    let mut call = commands::Call {
        core,
        args: args.as_args(),
        db: 0,
        proto: resp::Proto::Resp2,
        hash: 0,
        client: None,
        no_touch: false,
    };
    let mut steps = 1;
    let stage = commands::gather::Stage::Part;
    while commands::gather::run_stage(&mut call, row, stage, &mut part).unwrap()
        == commands::Progress::Again
    {
        steps += 1;
    }
    assert!(steps >= 5, "{steps} steps");
}

#[test]
fn keys_that_are_written_while_keys_walks_are_not_returned_twice() {
    let mut cluster = filled(1, 1000);
    let row = commands::Table::instance().by_name(b"keys").unwrap();
    let mut args = resp::OwnedArgs::new();
    args.push(b"keys");
    args.push(b"*");
    let mut part = commands::Part::default();
    let mut written = 0;
    loop {
        let mut call = commands::Call {
            core: &mut cluster.cores_mut()[0],
            args: args.as_args(),
            db: 0,
            proto: resp::Proto::Resp2,
            hash: 0,
            client: None,
            no_touch: false,
        };
        let progress =
            commands::gather::run_stage(&mut call, row, commands::gather::Stage::Part, &mut part)
                .unwrap();
        if progress == commands::Progress::Done {
            break;
        }
        for _ in 0..700 {
            written += 1;
            cluster.run(&["set", &format!("more:{written}"), "v"]);
        }
        if written > 5000 {
            for n in 0..written {
                cluster.run(&["del", &format!("more:{n}")]);
            }
        }
    }
    let commands::Part::Walk(walk) = part else {
        panic!("KEYS walks")
    };
    let mut bytes = format!("*{}\r\n", walk.count).into_bytes();
    bytes.extend(&walk.bytes);
    let (reply, _) = Reply::parse(&bytes).unwrap().expect("a whole reply");
    let found = bulks(&reply);
    let distinct: BTreeSet<_> = found.iter().collect();
    assert_eq!(distinct.len(), found.len(), "a key comes twice");
    assert!(
        (0..1000).all(|n| distinct.contains(&format!("key:{n}"))),
        "{}",
        shown(&reply).len()
    );
}

#[test]
fn a_hostile_pattern_makes_a_walk_of_small_steps() {
    let mut cluster = filled(2, 400);
    let pattern = "k*e*y*".repeat(2000) + "z";
    assert_eq!(bulks(&cluster.run(&["keys", &pattern])).len(), 0);
    assert_eq!(
        scan(&mut cluster, &format!("count 1000 match {pattern}"), |_| {})
            .0
            .len(),
        0
    );
}
