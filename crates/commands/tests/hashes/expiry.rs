//! Fields that end.

use super::{SHARDS, ask, run_script, script, set_max_entries, sweep};
use testkit::Cluster;

#[test]
fn a_field_ends_when_its_time_has_come() {
    script(
        r#"
        hset h f v g w => 2
        hexpire h 10 fields 1 f => [1]
        hpexpire h 1500 fields 2 g nosuch => [1, -2]
        httl h fields 3 f g nosuch => [10, 2, -2]
        hpttl h fields 2 f g => [10000, 1500]
        +1500
        hget h g => "w"
        hpttl h fields 1 g => [0]
        httl h fields 1 g => [0]
        +1
        hget h g => nil
        httl h fields 2 g f => [-2, 9]
        hexists h g => 0
        hstrlen h g => 0
        hmget h f g => ["v", nil]
        hgetall h => ["f", "v"]
        hkeys h => ["f"]
        hvals h => ["v"]
        hscan h 0 => ["0", ["f", "v"]]
        hrandfield h 5 => ["f"]
        hrandfield h => "f"
        hlen h => 1
        hdel h g => 0
        hset h g again => 1
        httl h fields 1 g => [-1]
        hexpireat h 1700000100 fields 1 f => [1]
        hexpiretime h fields 2 f g => [1700000100, -1]
        hpexpireat h 1700000100001 fields 1 f => [1]
        hpexpiretime h fields 1 f => [1700000100001]
        hexpiretime h fields 1 f => [1700000101]
        "#,
    );
}

#[test]
fn a_condition_says_which_fields_get_a_new_time() {
    script(
        r#"
        hset h without v with v => 2
        hexpire h 100 fields 1 with => [1]
        hexpire h 200 nx fields 2 without with => [1, 0]
        hpersist h fields 1 without => [1]
        hexpire h 200 xx fields 2 without with => [0, 1]
        hexpire h 200 GT fields 2 without with => [0, 0]
        hexpire h 201 gt fields 2 without with => [0, 1]
        hexpire h 201 lt fields 1 with => [0]
        hexpire h 150 lt fields 2 without with => [1, 1]
        httl h fields 2 without with => [150, 150]
        hexpire h 0 gt fields 1 with => [0]
        hexpire h 0 nx fields 1 with => [0]
        hexpire h 0 lt fields 1 with => [2]
        hexists h with => 0
        "#,
    );
}

#[test]
fn a_time_that_has_come_removes_the_field_and_the_last_one_its_hash() {
    script(
        r#"
        hset h f v g w i x => 3
        hexpire h 0 fields 2 f f => [2, -2]
        hexpireat h 1 fields 1 g => [2]
        hlen h => 1
        hpexpireat h 1700000000000 fields 1 i => [2]
        exists h => 0
        hexpire h 100 fields 1 i => [-2]
        httl h fields 2 i j => [-2, -2]
        hpersist h fields 1 i => [-2]
        "#,
    );
}

#[test]
fn writing_a_field_takes_its_time_away_and_counting_keeps_it() {
    script(
        r#"
        hset h a 1 b 1 c 1 d 1 => 4
        hexpire h 100 fields 4 a b c d => [1, 1, 1, 1]
        hset h a 2 => 0
        hincrby h b 1 => 2
        hincrbyfloat h c 1 => "2"
        hsetnx h d 2 => 0
        httl h fields 4 a b c d => [-1, 100, 100, 100]
        hpersist h fields 3 a b nosuch => [-1, 1, -2]
        httl h fields 1 b => [-1]
        +100001
        hincrby h c 1 => 1
        httl h fields 1 c => [-1]
        hsetnx h d 2 => 1
        hgetall nok => []
        hlen h => 4
        "#,
    );
}

#[test]
fn mistakes_are_told_in_the_order_of_redis() {
    let wrong_type = "(WRONGTYPE Operation against a key holding the wrong kind of value)";
    let lines = r#"
        set str v => OK
        hset h f v => 1
        hexpire str x fields 1 f => WRONG
        httl str nosuch 1 f => WRONG
        hpersist str nosuch 1 f => WRONG
        hgetdel str nosuch 1 f => WRONG
        hgetex str nosuch 1 f => WRONG
        hsetex str nosuch fields 1 f v => (ERR unknown argument: nosuch)
        hsetex str fields 1 f v => WRONG
        hexpire h x fields 1 f => (ERR value is not an integer or out of range)
        hexpire h -1 fields 1 f => (ERR invalid expire time, must be >= 0)
        hexpire h 9223372036854775807 fields 1 f => (ERR invalid expire time in 'hexpire' command)
        hpexpire h 70368744177663 fields 1 f => (ERR invalid expire time in 'hpexpire' command)
        hexpireat h 70368744178 fields 1 f => (ERR invalid expire time in 'hexpireat' command)
        hpexpireat h 70368744177664 fields 1 f => (ERR invalid expire time in 'hpexpireat' command)
        hpexpireat h 70368744177663 fields 1 f => [1]
        hexpire h 10 zz fields 1 f => (ERR Mandatory argument FIELDS is missing or not at the right position)
        hexpire h 10 nx xx fields 1 f => (ERR Mandatory argument FIELDS is missing or not at the right position)
        httl h zz 1 f => (ERR Mandatory argument FIELDS is missing or not at the right position)
        hexpire h 10 fields 0 f => (ERR Parameter `numFields` should be greater than 0)
        hexpire h 10 fields x f => (ERR Parameter `numFields` should be greater than 0)
        hexpire h 10 fields 2 f => (ERR The `numfields` parameter must match the number of arguments)
        hexpire h 10 fields 9223372036854775807 f => (ERR The `numfields` parameter must match the number of arguments)
        httl h fields 0 f => (ERR Number of fields must be a positive integer)
        hpersist h fields -1 f => (ERR Number of fields must be a positive integer)
        hpersist h fields 1 f g => (ERR The `numfields` parameter must match the number of arguments)
        hexpire nok 10 fields 2 f g => [-2, -2]
        hexpire nok 10 fields 2 f => (ERR The `numfields` parameter must match the number of arguments)
        "#;
    script(&lines.replace("WRONG", wrong_type));
}

#[test]
fn fields_are_read_and_removed_or_given_a_time_at_once() {
    script(
        r#"
        hset h a 1 b 2 c 3 => 3
        hgetdel h fields 3 a nosuch a => ["1", nil, nil]
        hlen h => 2
        hgetdel nok fields 2 a b => [nil, nil]
        hgetex h fields 2 b nosuch => ["2", nil]
        httl h fields 1 b => [-1]
        hgetex h ex 10 fields 2 b c => ["2", "3"]
        hgetex h fields 1 b => ["2"]
        httl h fields 2 b c => [10, 10]
        hgetex h persist fields 1 b => ["2"]
        httl h fields 1 b => [-1]
        hgetex h PXAT 1700000002000 fields 1 b => ["2"]
        hpttl h fields 1 b => [2000]
        hgetex h exat 1 fields 1 b => ["2"]
        hexists h b => 0
        hgetex h px 0 fields 1 c => ["3"]
        exists h => 0
        hgetex nok px 10 fields 1 c => [nil]
        hset h a 1 => 1
        hgetex h ex -1 fields 1 a => (ERR invalid expire time, must be >= 0)
        hgetex h ex 99999999999 fields 1 a => (ERR invalid expire time in 'hgetex' command)
        hgetex h keepttl fields 1 a => (ERR Mandatory argument FIELDS is missing or not at the right position)
        hgetex h ex 10 fields => (ERR Number of fields must be a positive integer)
        hgetdel h fields 1 a => ["1"]
        exists h => 0
        "#,
    );
}

#[test]
fn fields_are_set_for_a_time_if_they_may_be() {
    script(
        r#"
        hsetex h ex 10 fields 2 a 1 b 2 => 1
        httl h fields 2 a b => [10, 10]
        hsetex h keepttl fields 1 a 3 => 1
        httl h fields 1 a => [10]
        hsetex h fields 1 a 4 => 1
        httl h fields 1 a => [-1]
        hsetex h fnx fields 2 c 1 a 9 => 0
        hsetex h fxx fields 2 c 1 a 9 => 0
        hexists h c => 0
        hsetex h FNX PX 1500 fields 1 c 1 => 1
        hsetex h pxat 1700000005000 fxx fields 2 a 5 c 6 => 1
        hmget h a c => ["5", "6"]
        hpttl h fields 2 a c => [5000, 5000]
        hsetex h exat 1 fields 1 a 7 => 1
        hexists h a => 0
        hsetex nok fxx fields 1 a 1 => 0
        hsetex nok ex 0 fields 1 a 1 => 1
        exists nok => 0
        hsetex h fnx fxx fields 1 a 1 => (ERR Only one of FXX or FNX arguments can be specified)
        hsetex h ex 1 px 1 fields 1 a 1 => (ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified)
        hsetex h keepttl px 1 fields 1 a 1 => (ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified)
        hsetex h ex x fields 1 a 1 => (ERR value is not an integer or out of range)
        hsetex h fnx fnx fnx ex => (ERR Only one of FXX or FNX arguments can be specified)
        hsetex h fnx keepttl persist ex => (ERR unknown argument: persist)
        hsetex h fnx 1 2 ex => (ERR unknown argument: 1)
        hsetex h fields 0 a 1 => (ERR invalid number of fields)
        hsetex h fields x a 1 => (ERR invalid number of fields)
        hsetex h fields 2 a 1 => (ERR wrong number of arguments for 'hsetex' command)
        hsetex h fields 1 a 1 b => (ERR wrong number of arguments for 'hsetex' command)
        "#,
    );
    let mut cluster = Cluster::new(1);
    assert_eq!(
        ask(&mut cluster, "hsetex h fnx fxx keepttl a"),
        "(ERR Only one of FXX or FNX arguments can be specified)"
    );
    assert_eq!(
        ask(&mut cluster, "hsetex h fnx ex 5 px"),
        "(ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified)"
    );
    assert_eq!(
        ask(&mut cluster, "hsetex h fnx keepttl keepttl"),
        "(ERR wrong number of arguments for 'hsetex' command)"
    );
}

#[test]
fn a_hash_whose_fields_have_all_ended_is_there_until_it_is_swept() {
    for shards in SHARDS {
        for max_entries in [512, 0] {
            let mut cluster = Cluster::new(shards);
            set_max_entries(&mut cluster, max_entries);
            let before = r#"
                hset h a 1 b 2 => 2
                hpexpire h 10 fields 2 a b => [1, 1]
                +11
                hlen h => 0
                hgetall h => []
                hkeys h => []
                hscan h 0 => ["0", []]
                hrandfield h => nil
                hrandfield h 3 => []
                hrandfield h -3 => []
                hmget h a b => [nil, nil]
                exists h => 1
                type h => hash
                ttl h => -1
            "#;
            run_script(&mut cluster, before, max_entries);
            sweep(&mut cluster);
            let after = r#"
                exists h => 0
                type h => none
                dbsize => 0
            "#;
            run_script(&mut cluster, after, max_entries);
        }
    }
}

#[test]
fn fields_end_in_the_background() {
    for shards in SHARDS {
        for max_entries in [512, 0] {
            let mut cluster = Cluster::new(shards);
            set_max_entries(&mut cluster, max_entries);
            for key in 0..50 {
                for field in 0..20 {
                    ask(&mut cluster, &format!("hset h{key} f{field} v"));
                    if field % 2 == 0 {
                        ask(
                            &mut cluster,
                            &format!("hpexpire h{key} {} fields 1 f{field}", 10 * field + 1),
                        );
                    }
                }
                ask(&mut cluster, &format!("hset all{key} f v"));
                ask(
                    &mut cluster,
                    &format!("hpexpire all{key} {} fields 1 f", key + 1),
                );
            }
            assert_eq!(ask(&mut cluster, "dbsize"), "100");
            cluster.advance(10_000);
            sweep(&mut cluster);
            assert_eq!(ask(&mut cluster, "dbsize"), "50");
            for key in 0..50 {
                assert_eq!(ask(&mut cluster, &format!("hlen h{key}")), "10");
            }
            cluster.cores().iter().for_each(|core| core.shard.check());
        }
    }
}

#[test]
fn the_encoding_tells_that_a_small_hash_has_fields_that_end() {
    let mut cluster = Cluster::new(1);
    run_script(
        &mut cluster,
        r#"
        hset h f v g w => 2
        object encoding h => "listpack"
        hexpire h 10 fields 1 nosuch => [-2]
        hexpire h 10 xx fields 1 f => [0]
        hexpire h 0 gt fields 1 f => [0]
        hpersist h fields 1 f => [-1]
        object encoding h => "listpack"
        hexpire h 10 fields 1 f => [1]
        object encoding h => "listpackex"
        hgetall h => ["f", "v", "g", "w"]
        "#,
        512,
    );
}
