//! Keys that end.

use super::{SHARDS, ask, script};
use testkit::Cluster;

#[test]
fn a_key_ends_after_its_time() {
    script(
        r#"
        set k v => OK
        expire k 10 => 1
        +10000
        get k => "v"
        +1
        get k => nil
        exists k => 0
        ttl k => -2
        type k => none
        "#,
    );
}

#[test]
fn no_command_shows_a_key_that_has_ended() {
    for command in [
        "get k => nil",
        "mget k => [nil]",
        "strlen k => 0",
        "getrange k 0 -1 => \"\"",
        "exists k => 0",
        "touch k => 0",
        "del k => 0",
        "unlink k => 0",
        "type k => none",
        "ttl k => -2",
        "pexpiretime k => -2",
        "persist k => 0",
        "expire k 10 => 0",
        "getdel k => nil",
        "getset k w => nil",
        "set k w get => nil",
        "set k w xx => nil",
        "set k w nx => OK",
        "setnx k w => 1",
        "msetnx k w other x => 1",
        "append k w => 1",
        "setrange k 1 w => 2",
        "incr k => 1",
        "rename k other => (ERR no such key)",
        "copy k other => 0",
        "move k 1 => 0",
        "keys * => []",
        "scan 0 => SCANNED",
        "randomkey => nil",
        "object encoding k => nil",
        "object idletime k => nil",
        "lcs k k => \"\"",
    ] {
        let (command, expected) = command.split_once(" => ").unwrap();
        for shards in SHARDS {
            let mut cluster = Cluster::new(shards);
            assert_eq!(ask(&mut cluster, "set k 100 px 1"), "OK");
            cluster.advance(2);
            let answer = ask(&mut cluster, command);
            match expected {
                "SCANNED" => assert!(answer.ends_with("[]]"), "{command}: {answer}"),
                expected => assert_eq!(answer, expected, "{command}"),
            }
        }
    }
}

#[test]
fn a_key_that_ended_can_be_overwritten_by_renaming() {
    script(
        r#"
        set source v => OK
        set target w px 1 => OK
        +5
        renamenx source target => 1
        get target => "v"
        ttl target => -1
        "#,
    );
}

#[test]
fn times_are_taken_in_seconds_and_milliseconds_from_now_and_since_1970() {
    script(
        r#"
        set k v => OK
        expire k 100 => 1
        pttl k => 100000
        pexpire k 1499 => 1
        ttl k => 1
        expireat k 1700000200 => 1
        ttl k => 200
        expiretime k => 1700000200
        pexpireat k 1700000200501 => 1
        expiretime k => 1700000201
        pexpiretime k => 1700000200501
        persist k => 1
        persist k => 0
        ttl k => -1
        pexpiretime k => -1
        expiretime nok => -2
        "#,
    );
}

#[test]
fn a_time_that_has_passed_deletes_the_key_and_answers_1() {
    for command in [
        "expire k 0",
        "expire k -1",
        "pexpire k -5000",
        "expireat k 1",
        "pexpireat k 1699999999999",
    ] {
        script(&format!("set k v => OK\n{command} => 1\nexists k => 0"));
    }
}

#[test]
fn conditions_choose_which_keys_get_a_time() {
    script(
        r#"
        set k v => OK
        expire k 10 xx => 0
        expire k 10 gt => 0
        ttl k => -1
        expire k 10 nx => 1
        expire k 20 nx => 0
        expire k 5 gt => 0
        expire k 10 gt => 0
        expire k 20 GT => 1
        expire k 30 lt => 0
        expire k 20 lt => 0
        expire k 15 xx lt => 1
        ttl k => 15
        persist k => 1
        expire k 100 lt => 1
        expire k 200 xx gt => 1
        ttl k => 200
        expire nok 10 xx => 0
        "#,
    );
}

#[test]
fn conditions_that_exclude_each_other_are_refused() {
    script(
        r#"
        expire k 1 nx xx => (ERR NX and XX, GT or LT options at the same time are not compatible)
        expire k 1 gt nx => (ERR NX and XX, GT or LT options at the same time are not compatible)
        expire k 1 gt lt => (ERR GT and LT options at the same time are not compatible)
        expire k x foo => (ERR Unsupported option foo)
        expire k x => (ERR value is not an integer or out of range)
        expire k => (ERR wrong number of arguments for 'expire' command)
        "#,
    );
}

#[test]
fn a_time_that_does_not_fit_is_refused() {
    script(
        r#"
        set k v => OK
        expire k 9223372036854775807 => (ERR invalid expire time in 'expire' command)
        expire k -9223372036854775808 => (ERR invalid expire time in 'expire' command)
        expire nok 9223372036854775807 => (ERR invalid expire time in 'expire' command)
        pexpire k 9223372036854775807 => (ERR invalid expire time in 'pexpire' command)
        expireat k 9223372036854775807 => (ERR invalid expire time in 'expireat' command)
        ttl k => -1
        pexpireat k 9223372036854775807 => 1
        pexpiretime k => 9223372036854775807
        expiretime k => 9223372036854776
        expireat k -9223372036854775 => 1
        exists k => 0
        "#,
    );
}

#[test]
fn an_expiry_moves_with_its_value() {
    script(
        r#"
        set a v ex 100 => OK
        rename a b => OK
        ttl b => 100
        copy b c => 1
        ttl c => 100
        move c 1 => 1
        copy b d db 1 => 1
        swapdb 0 1 => OK
        ttl c => 100
        ttl d => 100
        "#,
    );
}
