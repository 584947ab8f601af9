//! Fields and their values.

use super::{ask, script, set_max_entries, shown};
use resp::{Proto, Reply};
use std::collections::BTreeMap;
use testkit::Cluster;

#[test]
fn a_field_that_was_set_is_returned() {
    script(
        r#"
        hset h f v => 1
        hset h f w g x => 1
        hget h f => "w"
        hget h g => "x"
        hget h nosuch => nil
        hget nok f => nil
        hmget h f nosuch g f => ["w", nil, "x", "w"]
        hmget nok f g => [nil, nil]
        hset h '' '' => 1
        hget h '' => ""
        hmset h f 1 n 2 => OK
        hmget h f n => ["1", "2"]
        hsetnx h f 9 => 0
        hsetnx h new 9 => 1
        hsetnx created f v => 1
        hget created f => "v"
        hexists h new => 1
        hexists h nosuch => 0
        hexists nok f => 0
        hstrlen h f => 1
        hstrlen h nosuch => 0
        hset h n -1000 => 0
        hstrlen h n => 5
        hlen h => 5
        hlen nok => 0
        "#,
    );
}

#[test]
fn all_of_a_hash_is_shown() {
    script(
        r#"
        hset h f v => 1
        hgetall h => ["f", "v"]
        hkeys h => ["f"]
        hvals h => ["v"]
        hgetall nok => []
        hkeys nok => []
        hvals nok => []
        "#,
    );
    let mut cluster = Cluster::new(2);
    cluster.speak(Proto::Resp3);
    ask(&mut cluster, "hset h f v");
    assert_eq!(ask(&mut cluster, "hgetall h"), r#"{"f": "v"}"#);
    assert_eq!(ask(&mut cluster, "hgetall nok"), "{}");
    assert_eq!(ask(&mut cluster, "hkeys h"), r#"["f"]"#);
    assert_eq!(ask(&mut cluster, "hscan h 0"), r#"["0", ["f", "v"]]"#);
}

#[test]
fn a_hash_without_fields_is_gone() {
    script(
        r#"
        hset h f v g w => 2
        hdel h nosuch => 0
        hdel h f nosuch f => 1
        exists h => 1
        hdel h g => 1
        exists h => 0
        dbsize => 0
        hdel h g => 0
        "#,
    );
}

#[test]
fn integers_in_fields_are_counted() {
    script(
        r#"
        hincrby h f 5 => 5
        hincrby h f -7 => -2
        hget h f => "-2"
        hset h f 9223372036854775806 => 0
        hincrby h f 1 => 9223372036854775807
        hincrby h f 1 => (ERR increment or decrement would overflow)
        hget h f => "9223372036854775807"
        hset h f text => 0
        hincrby h f 1 => (ERR hash value is not an integer)
        hset h f 07 => 0
        hincrby h f 1 => (ERR hash value is not an integer)
        hincrby h f x => (ERR value is not an integer or out of range)
        hincrby h f 9223372036854775808 => (ERR value is not an integer or out of range)
        hincrby nok f x => (ERR value is not an integer or out of range)
        exists nok => 0
        "#,
    );
}

#[test]
fn decimal_numbers_in_fields_are_summed() {
    script(
        r#"
        hincrbyfloat h f 0.1 => "0.1"
        hincrbyfloat h f 0.2 => "0.3"
        hincrbyfloat h f 5.0e3 => "5000.29999999999999982"
        hset h n 10 => 1
        hincrbyfloat h n -1.5 => "8.5"
        hset h f text => 0
        hincrbyfloat h f 1 => (ERR hash value is not a float)
        hset h f inf => 0
        hincrbyfloat h f 1 => (ERR increment would produce NaN or Infinity)
        hset h f 1e4932 => 0
        hincrbyfloat h f 1e4932 => (ERR increment would produce NaN or Infinity)
        hincrbyfloat h f inf => (ERR value is NaN or Infinity)
        hincrbyfloat h f nan => (ERR value is not a valid float)
        hincrbyfloat h f x => (ERR value is not a valid float)
        hincrbyfloat nok f inf => (ERR value is NaN or Infinity)
        exists nok => 0
        "#,
    );
}

#[test]
fn wrong_numbers_of_arguments_are_refused() {
    for name in ["hset", "hmset"] {
        for arguments in ["", " h", " h f", " h f v g", " str f v g"] {
            script(&format!(
                "{name}{arguments} => (ERR wrong number of arguments for '{name}' command)"
            ));
        }
    }
    for call in [
        "hsetnx h f",
        "hget h",
        "hmget h",
        "hgetall",
        "hgetall h x",
        "hlen h x",
        "hstrlen h",
        "hexists h",
        "hdel h",
        "hincrby h f",
        "hincrbyfloat h f",
        "hscan h",
        "hrandfield",
        "hexpire h 1 fields 1",
        "httl h fields 1",
        "hgetdel h fields 1",
        "hsetex h fields 1 f",
    ] {
        let name = call.split(' ').next().unwrap();
        script(&format!(
            "{call} => (ERR wrong number of arguments for '{name}' command)"
        ));
    }
}

#[test]
fn a_long_value_or_many_fields_make_a_table() {
    let mut cluster = Cluster::new(1);
    let long = "v".repeat(65);
    for (field, value) in [("f", &long[..]), (&long[..], "v")] {
        ask(&mut cluster, "del h");
        ask(&mut cluster, "hset h a 1 b 2");
        assert_eq!(ask(&mut cluster, "object encoding h"), r#""listpack""#);
        cluster.run(&["hset", "h", field, value]);
        assert_eq!(ask(&mut cluster, "object encoding h"), r#""hashtable""#);
        assert_eq!(
            shown(&cluster.run(&["hget", "h", field])),
            format!("{value:?}")
        );
        assert_eq!(ask(&mut cluster, "hmget h a b"), r#"["1", "2"]"#);
    }
    for number in 0..512 {
        ask(&mut cluster, &format!("hset many f{number} {number}"));
    }
    assert_eq!(ask(&mut cluster, "object encoding many"), r#""listpack""#);
    ask(&mut cluster, "hset many f0 again");
    assert_eq!(ask(&mut cluster, "object encoding many"), r#""listpack""#);
    ask(&mut cluster, "hset many f512 512");
    assert_eq!(ask(&mut cluster, "object encoding many"), r#""hashtable""#);
    assert_eq!(ask(&mut cluster, "hlen many"), "513");
    cluster.cores().iter().for_each(|core| core.shard.check());
}

#[test]
fn large_values_come_back_whole() {
    let mut cluster = Cluster::new(2);
    let value: Vec<u8> = (0..1_000_000u32).map(|n| n as u8).collect();
    let field = vec![b'f'; 70_000];
    cluster.run(&[b"hset", &b"h"[..], &field, &value]);
    let reply = cluster.run(&[b"hget", &b"h"[..], &field]);
    assert_eq!(reply, Reply::Bulk(value.clone()));
    let reply = cluster.run(&["hgetall", "h"]);
    assert_eq!(
        reply,
        Reply::Array(vec![Reply::Bulk(field), Reply::Bulk(value)])
    );
    cluster.cores().iter().for_each(|core| core.shard.check());
}

/// All pairs of an HSCAN with these options, and how many calls it took.
fn scan(
    cluster: &mut Cluster,
    options: &str,
    mut between: impl FnMut(&mut Cluster),
) -> (Vec<Reply>, usize) {
    let (mut cursor, mut found, mut calls) = ("0".to_owned(), Vec::new(), 0);
    loop {
        let reply = cluster.ask(format!("hscan h {cursor} {options}").trim());
        let Reply::Array(page) = reply else {
            panic!("{reply:?}")
        };
        let [Reply::Bulk(next), Reply::Array(elements)] = &page[..] else {
            panic!("{page:?}")
        };
        found.extend(elements.clone());
        cursor = String::from_utf8(next.clone()).unwrap();
        calls += 1;
        if cursor == "0" {
            return (found, calls);
        }
        between(cluster);
    }
}

fn filled(fields: usize) -> Cluster {
    let mut cluster = Cluster::new(2);
    for number in 0..fields {
        ask(&mut cluster, &format!("hset h f{number} v{number}"));
    }
    cluster
}

#[test]
fn hscan_shows_every_field_with_its_value() {
    for fields in [0, 1, 300, 3000] {
        let mut cluster = filled(fields);
        let expected: BTreeMap<_, _> = (0..fields)
            .map(|number| (format!("\"f{number}\""), format!("\"v{number}\"")))
            .collect();
        for options in [
            "",
            "count 1",
            "count 500",
            "count 9223372036854775807",
            "match *",
        ] {
            let (found, calls) = scan(&mut cluster, options, |_| {});
            let pairs: BTreeMap<_, _> = found
                .chunks(2)
                .map(|pair| (shown(&pair[0]), shown(&pair[1])))
                .collect();
            assert_eq!(pairs, expected, "{options}");
            assert_eq!(found.len(), 2 * fields, "{options}");
            assert!(fields < 512 || options != "count 1" || calls > 100);
        }
        let (found, _) = scan(&mut cluster, "novalues", |_| {});
        assert_eq!(found.len(), fields);
        let (found, _) = scan(&mut cluster, "NoValues match f1? count 50", |_| {});
        assert_eq!(found.len(), if fields < 300 { 0 } else { 10 });
    }
}

#[test]
fn hscan_misses_no_field_that_stays_while_the_table_grows_and_shrinks() {
    let mut cluster = filled(2000);
    let mut written = 0;
    let (found, _) = scan(&mut cluster, "match f* count 50 novalues", |cluster| {
        for _ in 0..400 {
            written += 1;
            ask(cluster, &format!("hset h more{written} v"));
            ask(cluster, &format!("hdel h more{}", written / 3));
        }
    });
    let found: std::collections::BTreeSet<_> = found.iter().map(shown).collect();
    assert_eq!(found.len(), 2000);
}

#[test]
fn a_bad_cursor_or_option_of_hscan_is_refused() {
    script(
        r#"
        hset h f v => 1
        hscan h x => (ERR invalid cursor)
        hscan nok x => (ERR invalid cursor)
        hscan h 18446744073709551616 => (ERR invalid cursor)
        hscan nok 0 nosuch => ["0", []]
        hscan h 0 nosuch => (ERR syntax error)
        hscan h 0 match => (ERR syntax error)
        hscan h 0 count 0 => (ERR syntax error)
        hscan h 0 count x => (ERR value is not an integer or out of range)
        hscan h 0 type hash => (ERR syntax error)
        hscan h 0 match nosuch => ["0", []]
        hscan h 0 novalues => ["0", ["f"]]
        set str v => OK
        hscan str 0 nosuch => (WRONGTYPE Operation against a key holding the wrong kind of value)
        "#,
    );
    // Any number is a cursor, and none takes the server down.
    let mut cluster = Cluster::new(1);
    set_max_entries(&mut cluster, 0);
    (0..100).for_each(|n| _ = ask(&mut cluster, &format!("hset h f{n} v")));
    for cursor in [
        "1",
        "-1",
        "18446744073709551615",
        "9007199254740993",
        "123456789012345",
    ] {
        assert!(ask(&mut cluster, &format!("hscan h {cursor}")).starts_with('['));
    }
}
