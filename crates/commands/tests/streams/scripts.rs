//! What streams answer where 7.0 has no answer to compare with, and every refusal beside redis-server's own.

use crate::{SHARDS, shown, words};
use testkit::Cluster;
use testkit::oracle::Oracle;

/// Runs a script with every number of shards, from every core in turn: one command a line, ` => `, and its reply.
/// A line `+5000` lets five seconds pass.
#[track_caller]
fn script(lines: &str) {
    for shards in SHARDS {
        let mut cluster = Cluster::new(shards);
        let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
        for (number, line) in lines.enumerate() {
            cluster.connect_to(number);
            if let Some(ms) = line.strip_prefix('+') {
                cluster.advance(ms.parse().expect("a number of milliseconds"));
                continue;
            }
            let (command, expected) = line.split_once(" => ").expect("a line has a reply");
            let reply = shown(&cluster.run(&words(command)));
            assert_eq!(reply, expected, "{shards} shards, line {number}: {command}");
        }
        cluster.cores().iter().for_each(|core| core.shard.check());
    }
}

#[test]
fn ids_follow_the_clock_unless_it_is_behind() {
    script(
        "XADD s * a b => \"1700000000000-0\"
         XADD s * a b => \"1700000000000-1\"
         +5
         XADD s * a b => \"1700000000005-0\"
         XADD s 1800000000000-7 a b => \"1800000000000-7\"
         XADD s * a b => \"1800000000000-8\"
         XADD s 18446744073709551615-18446744073709551615 a b => \"18446744073709551615-18446744073709551615\"
         XADD s * a b => (ERR The stream has exhausted the last possible ID, unable to add more items)",
    );
}

#[test]
fn a_reader_of_the_newest_entry_gets_one() {
    script(
        "XADD s 1-1 a b => \"1-1\"
         XADD s 2-1 c d => \"2-1\"
         XREAD STREAMS s missing + + => [[\"s\", [[\"2-1\", [\"c\", \"d\"]]]]]
         XREAD COUNT 9 STREAMS s + => [[\"s\", [[\"2-1\", [\"c\", \"d\"]]]]]
         XDEL s 1-1 2-1 => 2
         XREAD STREAMS s + => nil",
    );
}

#[test]
fn a_reader_that_would_wait_gets_nil_at_once() {
    script(
        "XREAD BLOCK 0 STREAMS s $ => nil
         XGROUP CREATE s g $ MKSTREAM => OK
         XREADGROUP GROUP g c BLOCK 10000 STREAMS s > => nil
         TYPE s => stream",
    );
}

#[test]
fn consumers_are_made_whether_or_not_they_get_anything_and_tell_when_they_did() {
    script(
        "XGROUP CREATE s g 0 MKSTREAM => OK
         XREADGROUP GROUP g c STREAMS s > => nil
         XCLAIM s g d 0 1-1 => []
         XAUTOCLAIM s g e 0 0 => [\"0-0\", [], []]
         +1000
         XINFO CONSUMERS s g => [[\"name\", \"c\", \"pending\", 0, \"idle\", 1000, \"inactive\", -1], \
         [\"name\", \"d\", \"pending\", 0, \"idle\", 1000, \"inactive\", -1], \
         [\"name\", \"e\", \"pending\", 0, \"idle\", 1000, \"inactive\", -1]]
         XADD s 1-1 a b => \"1-1\"
         XREADGROUP GROUP g c NOACK STREAMS s > => [[\"s\", [[\"1-1\", [\"a\", \"b\"]]]]]
         XADD s 2-1 a b => \"2-1\"
         XREADGROUP GROUP g d STREAMS s > => [[\"s\", [[\"2-1\", [\"a\", \"b\"]]]]]
         +500
         XREADGROUP GROUP g d STREAMS s > => nil
         XINFO CONSUMERS s g => [[\"name\", \"c\", \"pending\", 0, \"idle\", 500, \"inactive\", -1], \
         [\"name\", \"d\", \"pending\", 1, \"idle\", 0, \"inactive\", 500], \
         [\"name\", \"e\", \"pending\", 0, \"idle\", 1500, \"inactive\", -1]]",
    );
}

#[test]
fn a_stream_named_twice_is_not_delivered_twice() {
    script(
        "XGROUP CREATE s g 0 MKSTREAM => OK
         XADD s 1-1 a b => \"1-1\"
         XADD s 2-1 a b => \"2-1\"
         XREADGROUP GROUP g c COUNT 1 STREAMS s s > > => [[\"s\", [[\"1-1\", [\"a\", \"b\"]]]], \
         [\"s\", [[\"2-1\", [\"a\", \"b\"]]]]]
         XPENDING s g => [2, \"1-1\", \"2-1\", [[\"c\", \"2\"]]]
         XREADGROUP GROUP g c STREAMS s s > > => nil",
    );
}

#[test]
fn a_refusal_of_one_stream_leaves_all_as_they_were() {
    for shards in SHARDS {
        let mut cluster = Cluster::new(shards);
        for key in 0..8 {
            cluster.ask(&format!("XADD s{key} 1-1 a b"));
            cluster.ask(&format!("XGROUP CREATE s{key} g 0"));
        }
        let refusal =
            "(NOGROUP No such key 'missing' or consumer group 'g' in XREADGROUP with GROUP option)";
        let reply = cluster.ask("XREADGROUP GROUP g c STREAMS s0 s1 s2 s3 missing > > > > >");
        assert_eq!(shown(&reply), refusal);
        for key in 0..8 {
            assert_eq!(
                shown(&cluster.ask(&format!("XINFO CONSUMERS s{key} g"))),
                "[]"
            );
        }
    }
}

#[test]
fn an_empty_stream_stays_and_a_deleted_one_is_freed() {
    script(
        "XADD s 1-1 a b => \"1-1\"
         XDEL s 1-1 => 1
         EXISTS s => 1
         XTRIM s MAXLEN 0 => 0
         XSETID s 0-5 => (ERR The ID specified in XSETID is smaller than current max_deleted_entry_id)
         OBJECT ENCODING s => \"stream\"
         DEL s => 1
         XADD s NOMKSTREAM 1-1 a b => nil
         EXISTS s => 0",
    );
}

/// Calls that must be answered as redis-server 7.0 answers them, one after the other.
const SAME: &[&str] = &[
    "XADD s 1-1 a b",
    "XADD s 1-1 a b",
    "XADD s 0-0 a b",
    "XADD s 0 a b",
    "XADD s 1-* a b",
    "XADD s 0-* a b",
    "XADD z 0-* a b",
    "XADD s abc a b",
    "XADD s 5 a",
    "XADD s 5 a b c",
    "XADD s 5",
    "XADD s *",
    "XADD s MAXLEN 5 5 a b",
    "XADD s LIMIT 5 6 a b",
    "XADD s LIMIT 0 6 a b",
    "XADD s LIMIT x 7 a b",
    "XADD s MAXLEN = 5 LIMIT 3 8 a b",
    "XADD s MAXLEN 5 LIMIT 3 8 a b",
    "XADD s MAXLEN ~ 5 LIMIT -1 8 a b",
    "XADD s MAXLEN -1 8 a b",
    "XADD s MAXLEN x 8 a b",
    "XADD s MAXLEN ~",
    "XADD s MAXLEN ~ x LIMIT 5 8 a b",
    "XADD s MAXLEN 5 MINID 4 8 a b",
    "XADD s MAXLEN 5 MAXLEN 4 8 a b",
    "XADD s MINID x 8 a b",
    "XADD s MINID - 8 a b",
    "XADD s ~ 5 8 a b",
    "XADD s NOMKSTREAM 8",
    "XADD n NOMKSTREAM 8 a b",
    "XADD s - a b",
    "XADD s + a b",
    "XADD s *-* a b",
    "XADD s 6- a b",
    "XADD s -6 a b",
    "XADD s 6-6-6 a b",
    "XADD s 7-x a b",
    "XADD s +70-1 a b",
    "XADD s 0070-1 a b",
    "XADD s 18446744073709551616-1 a b",
    "XTRIM s",
    "XTRIM s MAXLEN",
    "XTRIM s MAXLEN 3 4",
    "XTRIM s LIMIT 3",
    "XTRIM s LIMIT 0 LIMIT 0",
    "XTRIM s NOMKSTREAM MAXLEN 1",
    "XTRIM s MAXLEN 9223372036854775808",
    "XTRIM s MAXLEN 5 LIMIT 0",
    "XTRIM s MAXLEN ~ 5 LIMIT 0",
    "XTRIM missing MAXLEN 3",
    "XRANGE s ( +",
    "XRANGE s (18446744073709551615-18446744073709551615 +",
    "XRANGE s - (0-0",
    "XRANGE s - + COUNT",
    "XRANGE s - + COUNT 0",
    "XRANGE s - + COUNT -1",
    "XRANGE s - + FOO 1",
    "XRANGE s - + COUNT x",
    "XRANGE s - + COUNT 1 COUNT 2",
    "XRANGE s * +",
    "XRANGE s 5-* +",
    "XRANGE s (5 (70",
    "XRANGE missing - + COUNT 0",
    "XREVRANGE s - +",
    "XREVRANGE s (70 -",
    "XREVRANGE s + (18446744073709551615-18446744073709551615",
    "XREVRANGE s (0-0 -",
    "XDEL s",
    "XDEL s x",
    "XDEL s -",
    "XDEL s 1-1 x",
    "XDEL missing x",
    "SET str x",
    "XADD str 1 a b",
    "XLEN str",
    "XDEL str x",
    "XTRIM str MAXLEN 1",
    "XRANGE str - +",
    "XRANGE str - + COUNT 0",
    "XREAD STREAMS s",
    "XREAD COUNT x STREAMS s 0",
    "XREAD COUNT STREAMS s 0",
    "XREAD COUNT -5 STREAMS s 0",
    "XREAD BLOCK -1 STREAMS s 0",
    "XREAD BLOCK x STREAMS s 0",
    "XREAD s 0",
    "XREAD FOO s 0",
    "XREAD STREAMS s t 0",
    "XREAD COUNT 1 STREAMS s >",
    "XREAD NOACK STREAMS s 0",
    "XREAD GROUP a b STREAMS s >",
    "XREAD STREAMS missing $",
    "XREAD STREAMS str 0",
    "XREAD STREAMS s str 0 0",
    "XREAD STREAMS s str x 0",
    "XREAD STREAMS s str 0 x",
    "XREAD STREAMS str s 0 x",
    "XREAD STREAMS s -",
    "XREAD STREAMS s *",
    "XREADGROUP GROUP g c STREAMS s >",
    "XREADGROUP STREAMS s >",
    "XREADGROUP GROUP g c COUNT 1",
    "XREADGROUP GROUP g c STREAMS s x",
    "XREADGROUP GROUP g c FOO s >",
    "XREADGROUP COUNT 1 NOACK STREAMS s >",
    "XREADGROUP GROUP g c STREAMS s 0 0",
    "XREADGROUP GROUP g c STREAMS str >",
    "XREADGROUP GROUP g c STREAMS s str > >",
    "XGROUP CREATE missing g 0",
    "XGROUP CREATE missing g x MKSTREAM",
    "XGROUP CREATE missing g 0 MKSTREAM ENTRIESREAD",
    "XGROUP CREATE s g 0 FOO",
    "XGROUP CREATE s g 0 ENTRIESREAD -2",
    "XGROUP CREATE s g 0 ENTRIESREAD x",
    "XGROUP CREATE s g 0 ENTRIESREAD 3 ENTRIESREAD 4 MKSTREAM",
    "XGROUP CREATE s g x",
    "XGROUP CREATE s g -",
    "XGROUP CREATE s g 0",
    "XGROUP CREATE s g 0",
    "XGROUP CREATE s",
    "XGROUP CREATE str g 0",
    "XGROUP SETID s nog 0",
    "XGROUP SETID s g 0 MKSTREAM",
    "XGROUP SETID s g $ FOO",
    "XGROUP SETID s g",
    "XGROUP SETID s g -",
    "XGROUP SETID s g 5 ENTRIESREAD -1",
    "XGROUP SETID s g 5 ENTRIESREAD 1 ENTRIESREAD 2",
    "XGROUP DESTROY missing g",
    "XGROUP DESTROY s nog",
    "XGROUP CREATECONSUMER s nog c",
    "XGROUP CREATECONSUMER missing g c",
    "XGROUP DELCONSUMER s nog c",
    "XGROUP DELCONSUMER s g c",
    "XGROUP FOO",
    "XGROUP HELP x",
    "XGROUP",
    "XREADGROUP GROUP nog c STREAMS s >",
    "XREADGROUP GROUP g c STREAMS missing >",
    "XREADGROUP GROUP g c GROUP nog c STREAMS s >",
    "XREADGROUP GROUP g c STREAMS s $",
    "XREADGROUP GROUP g c STREAMS s -",
    "XREADGROUP GROUP g c STREAMS s 0",
    "XREADGROUP GROUP g c STREAMS s 18446744073709551615-18446744073709551615",
    "XACK s g x",
    "XACK missing g x",
    "XACK s nog x",
    "XACK s g",
    "XACK str g 1",
    "XPENDING s nog",
    "XPENDING missing g",
    "XPENDING str g",
    "XPENDING s g -",
    "XPENDING s g - +",
    "XPENDING s g - + x",
    "XPENDING s g - + -1",
    "XPENDING s g IDLE 1 - +",
    "XPENDING s g IDLE x - + 1",
    "XPENDING s g - + 1 nobody",
    "XPENDING s g - + 1 nobody d",
    "XPENDING s g IDLE 1 - + 1 c d",
    "XPENDING s g (18446744073709551615-18446744073709551615 + 1",
    "XPENDING s g IDLE -5 - + 0",
    "XPENDING missing g - + 1",
    "XCLAIM s g c x 1",
    "XCLAIM s g c 0 x",
    "XCLAIM s g c 0 1 FOO",
    "XCLAIM s nog c x 1",
    "XCLAIM missing g c 0 1",
    "XCLAIM str g c 0 1",
    "XCLAIM s g c 0 1 IDLE x",
    "XCLAIM s g c 0 1 IDLE",
    "XCLAIM s g c 0 1 IDLE -9223372036854775808",
    "XCLAIM s g c 0 1 TIME x",
    "XCLAIM s g c 0 1 RETRYCOUNT x",
    "XCLAIM s g c 0 1 RETRYCOUNT -1",
    "XCLAIM s g c 0 1 LASTID x",
    "XCLAIM s g c 0 1 JUSTID 2",
    "XAUTOCLAIM s g c 0 x",
    "XAUTOCLAIM s g c x 0",
    "XAUTOCLAIM s g c -1 -",
    "XAUTOCLAIM s g c 0 (",
    "XAUTOCLAIM s g c 0 0 COUNT 0",
    "XAUTOCLAIM s g c 0 0 COUNT x",
    "XAUTOCLAIM s g c 0 0 COUNT",
    "XAUTOCLAIM s g c 0 0 FOO",
    "XAUTOCLAIM s nog c 0 0",
    "XAUTOCLAIM str g c 0 0",
    "XAUTOCLAIM s g c 0 0 COUNT 576460752303423488",
    "XINFO STREAM missing",
    "XINFO STREAM str",
    "XINFO STREAM s FOO",
    "XINFO STREAM s FULL FOO",
    "XINFO STREAM s FULL COUNT x",
    "XINFO STREAM s FULL COUNT 0 1",
    "XINFO STREAM missing FOO",
    "XINFO GROUPS missing",
    "XINFO GROUPS str",
    "XINFO CONSUMERS s nog",
    "XINFO CONSUMERS missing g",
    "XINFO CONSUMERS s",
    "XINFO FOO",
    "XINFO HELP x",
    "XINFO STREAM",
    "XINFO",
    "XSETID missing 1-1",
    "XSETID str 1-1",
    "XSETID s 0-1",
    "XSETID s x",
    "XSETID s 99-1 ENTRIESADDED -1",
    "XSETID s 99-1 ENTRIESADDED x",
    "XSETID s 99-1 ENTRIESADDED 0",
    "XSETID s 99-1 MAXDELETEDID 100-1",
    "XSETID s 99-1 MAXDELETEDID x",
    "XSETID s 99-1 FOO 3",
    "XSETID s 99-1 ENTRIESADDED 50 MAXDELETEDID 0-0",
];

#[test]
fn every_refusal_has_the_words_of_redis() {
    let Some(mut oracle) = Oracle::start("every_refusal_has_the_words_of_redis") else {
        return;
    };
    let mut differences = Vec::new();
    for shards in SHARDS {
        let mut cluster = Cluster::new(shards);
        oracle.run(&["flushall"]);
        for (number, line) in SAME.iter().enumerate() {
            cluster.connect_to(number);
            let ours = shown(&cluster.run(&words(line)));
            let theirs = shown(&oracle.run(&words(line)));
            if ours != theirs {
                differences.push(format!(
                    "{shards} shards: {line}\n  ours:  {ours}\n  redis: {theirs}"
                ));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
