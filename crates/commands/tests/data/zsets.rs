//! ZADD and its kin, and generated sorted set commands against a redis-server.

use resp::{Proto, Reply};
use testkit::Cluster;
use testkit::generate::{Random, Words};
use testkit::oracle::{Oracle, compare};

use super::{SHARDS, keys_apart, script, shown};

#[test]
fn members_are_added_under_conditions() {
    script(
        r#"
        zadd z 1 a 2 b => 2
        zadd z 1 a 3 b 3 c => 1
        zadd z ch 1 a 4 b 4 c => 2
        zadd z nx 9 a 9 d => 1
        zadd z xx 8 a 8 e => 0
        zadd z gt ch 9 a 1 b 1 e => 2
        zadd z lt ch 10 a 3 b => 1
        zrange z 0 -1 withscores => ["e", "1", "b", "3", "c", "4", "a", "9", "d", "9"]
        zadd z incr 2 e => "3"
        zadd z nx incr 2 e => nil
        zadd z xx incr 2 f => nil
        zadd z gt incr -1 e => nil
        zincrby z -1.5 e => "1.5"
        zincrby z 5 new => "5"
        zadd z => (ERR wrong number of arguments for 'zadd' command)
        zadd z 1 a 2 => (ERR syntax error)
        zadd z nx xx 1 a => (ERR XX and NX options at the same time are not compatible)
        zadd z gt lt 1 a => (ERR GT, LT, and/or NX options at the same time are not compatible)
        zadd z nx gt 1 a => (ERR GT, LT, and/or NX options at the same time are not compatible)
        zadd z incr 1 a 2 b => (ERR INCR option supports a single increment-element pair)
        zadd z 1 x nan y => (ERR value is not a valid float)
        zscore z x => nil
        zincrby z +inf i => "inf"
        zincrby z -inf i => (ERR resulting score is not a number (NaN))
        zscore z i => "inf"
        zadd none xx 1 a => 0
        exists none => 0
        "#,
    );
}

#[test]
fn scores_are_written_as_short_as_they_can_be() {
    script(
        r#"
        zadd z 0.1 a 3 b 1e21 c -inf d 1e17 e -0 f 123456789012345680 g => 7
        zscore z a => "0.1"
        zmscore z b c d none e f g => ["3", "1e+21", "-inf", nil, "100000000000000000", "0", "123456789012345680"]
        zincrby z 0.2 a => "0.30000000000000004"
        zscan z 0 match [ab] => ["0", ["a", "0.30000000000000004", "b", "3"]]
        "#,
    );
}

#[test]
fn ranks_come_with_their_scores_when_asked_for() {
    script(
        r#"
        zadd z 1 a 2 b 3.5 c => 3
        zrank z a => 0
        zrank z c withscore => [2, "3.5"]
        zrevrank z c => 0
        zrevrank z a withscore => [2, "1"]
        zrank z none => nil
        zrank z none withscore => nil
        zrank none a withscore => nil
        zrank z a withscores => (ERR syntax error)
        zrank z a withscore x => (ERR wrong number of arguments for 'zrank' command)
        "#,
    );
}

#[test]
fn members_are_taken_from_the_first_sorted_set_that_exists() {
    for shards in SHARDS {
        let mut cluster = Cluster::new(shards);
        let (one, other) = keys_apart(&cluster);
        cluster.run(&["zadd", &one, "1", "a", "2", "b", "3", "c"]);
        cluster.run(&["zadd", &other, "9", "z"]);
        let mut ask = |words: &[&str]| shown(&cluster.run(words));
        let expected = format!(r#"["{one}", [["a", "1"], ["b", "2"]]]"#);
        let words = ["zmpop", "3", "none", &one, &other, "min", "count", "2"];
        assert_eq!(ask(&words), expected);
        let expected = format!(r#"["{other}", [["z", "9"]]]"#);
        assert_eq!(ask(&["zmpop", "2", &other, &one, "max"]), expected);
        assert_eq!(ask(&["exists", &other]), "0");
        let expected = format!(r#"["{one}", [["c", "3"]]]"#);
        assert_eq!(
            ask(&["zmpop", "2", &other, &one, "max", "count", "99"]),
            expected
        );
        assert_eq!(ask(&["zmpop", "2", &other, &one, "max"]), "nil");
        cluster.cores().iter().for_each(|core| core.shard.check());
    }
}

#[test]
fn picks_at_random_are_members_and_different_unless_repeats_are_asked_for() {
    for members in [5, 1000] {
        let mut cluster = Cluster::new(1);
        for number in 0..members {
            cluster.run(&["zadd", "z", &number.to_string(), &format!("m{number}")]);
        }
        let mut picked = |words: &[&str]| match cluster.run(words) {
            Reply::Array(picked) => picked,
            other => vec![other],
        };
        for count in [1, 3, 5, 100, 900, 2000] {
            let text = count.to_string();
            let mut some = picked(&["zrandmember", "z", &text]);
            assert_eq!(some.len(), count.min(members));
            some.sort_by_key(shown);
            some.dedup();
            assert_eq!(some.len(), count.min(members));
            let text = format!("-{count}");
            assert_eq!(picked(&["zrandmember", "z", &text]).len(), count);
            let pairs = picked(&["zrandmember", "z", &text, "withscores"]);
            for pair in pairs.chunks(2) {
                let (Reply::Bulk(member), Reply::Bulk(score)) = (&pair[0], &pair[1]) else {
                    panic!("{pair:?} is no member with its score")
                };
                assert_eq!(member[1..], score[..]);
            }
        }
        assert!(matches!(
            picked(&["zrandmember", "z"])[..],
            [Reply::Bulk(_)]
        ));
        for (count, text) in [
            ("-9223372036854775807", "(ERR value is out of range)"),
            ("x", "(ERR value is not an integer or out of range)"),
        ] {
            assert_eq!(shown(&picked(&["zrandmember", "z", count])[0]), text);
        }
    }
}

#[test]
fn a_walk_over_a_large_sorted_set_meets_every_member() {
    let mut cluster = Cluster::new(2);
    for number in 0..3000 {
        cluster.run(&["zadd", "z", &number.to_string(), &format!("m{number}")]);
    }
    let (mut cursor, mut seen) = ("0".to_owned(), std::collections::BTreeSet::new());
    loop {
        let Reply::Array(page) = cluster.run(&["zscan", "z", &cursor, "count", "50"]) else {
            panic!("ZSCAN answers an array")
        };
        let [Reply::Bulk(next), Reply::Array(pairs)] = &page[..] else {
            panic!("ZSCAN answers a cursor and pairs")
        };
        assert!(pairs.len() < 2000);
        seen.extend(
            pairs
                .chunks(2)
                .map(|pair| (shown(&pair[0]), shown(&pair[1]))),
        );
        cursor = String::from_utf8(next.clone()).unwrap();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), 3000);
    assert!(seen.iter().all(|(member, score)| member[2..] == score[1..]));
}

#[test]
fn results_go_to_other_shards_and_take_the_place_of_what_is_there() {
    for shards in SHARDS {
        let mut cluster = Cluster::new(shards);
        let (one, other) = keys_apart(&cluster);
        for number in 0..1000 {
            cluster.run(&["zadd", &one, &number.to_string(), &format!("m{number}")]);
        }
        cluster.run(&["set", &other, "text"]);
        let mut ask = |words: &[&str]| shown(&cluster.run(words));
        assert_eq!(ask(&["zrangestore", &other, &one, "0", "499"]), "500");
        assert_eq!(ask(&["object", "encoding", &other]), "\"skiplist\"");
        assert_eq!(ask(&["zdiffstore", &one, "2", &one, &other]), "500");
        assert_eq!(ask(&["zinterstore", &one, "2", &one, &other]), "0");
        assert_eq!(ask(&["exists", &one]), "0");
        let words = [
            "zunionstore",
            &one,
            "2",
            &other,
            &other,
            "weights",
            "1",
            "10",
        ];
        assert_eq!(ask(&words), "500");
        assert_eq!(ask(&["zscore", &one, "m7"]), "\"77\"");
        cluster.cores().iter().for_each(|core| core.shard.check());
    }
}

const KEYS: [&str; 8] = ["a", "b", "c", "{t}1", "{t}2", "str", "s", "none"];
const MEMBERS: [&str; 14] = [
    "a", "b", "c", "d", "e", "10", "9", "-5", "07", "", "aa", "member:1", "z\u{fc}", "3.5",
];
const SCORES: [&str; 22] = [
    "0",
    "1",
    "2",
    "3",
    "-1",
    "1.5",
    "10",
    "0.25",
    "-2.75",
    "inf",
    "-inf",
    "1e3",
    "100",
    "-0",
    "+5",
    "1e10",
    "9007199254740993",
    "0x10",
    "4611686018427387904",
    "nan",
    "x",
    "1e400",
];
const BOUNDS: [&str; 16] = [
    "-inf", "+inf", "-inf", "+inf", "0", "1", "(1", "(2", "1.5", "3", "-1", "(-inf", "x", "", " 1",
    "nan",
];
const LEX: [&str; 14] = [
    "-", "+", "-", "+", "[a", "(a", "[c", "(c", "[aa", "(", "[", "x", "", "[1",
];
const RANKS: [&str; 13] = [
    "0",
    "-1",
    "0",
    "-1",
    "1",
    "2",
    "-2",
    "-3",
    "5",
    "100",
    "-100",
    "9223372036854775807",
    "-9223372036854775808",
];
const COUNTS: [&str; 10] = [
    "0",
    "1",
    "2",
    "3",
    "10",
    "-1",
    "-2",
    "x",
    "9223372036854775807",
    "-9223372036854775808",
];

/// Commands; capital letters stand for words of a kind.
const PATTERNS: &[&str] = &[
    "zadd K S M",
    "zadd K S M",
    "zadd K S M S M S M",
    "zadd K S M S M S M S M S M",
    "zadd K O S M",
    "zadd K O S M S M",
    "zadd K O O S M",
    "zadd K O O O S M S M",
    "zadd K S M S",
    "zincrby K S M",
    "zincrby K S M",
    "zincrby K O M",
    "zcard K",
    "zcount K B B",
    "zcount K B B",
    "zlexcount K L L",
    "zscore K M",
    "zmscore K M M M",
    "zrank K M",
    "zrevrank K M",
    "zrange K R R",
    "zrange K R R withscores",
    "zrange K R R V",
    "zrange K B B byscore V",
    "zrange K B B byscore limit N N V",
    "zrange K L L bylex V",
    "zrange K L L bylex limit N N",
    "zrange K R R limit N N",
    "zrange K R R rev withscores",
    "zrange K 0 -1 withscores",
    "zrevrange K R R withscores",
    "zrevrange K R R",
    "zrangebyscore K B B",
    "zrangebyscore K B B withscores limit N N",
    "zrevrangebyscore K B B limit N N",
    "zrevrangebyscore K B B withscores",
    "zrangebylex K L L",
    "zrangebylex K L L limit N N",
    "zrevrangebylex K L L",
    "zrevrangebylex K L L V",
    "zrangestore K K R R",
    "zrangestore K K B B byscore limit N N",
    "zrangestore K K L L bylex",
    "zrangestore K K R R V",
    "zrem K M",
    "zrem K M M M M",
    "zremrangebyrank K R R",
    "zremrangebyscore K B B",
    "zremrangebylex K L L",
    "zpopmin K",
    "zpopmax K",
    "zpopmin K N",
    "zpopmax K N",
    "zmpop 1 K E",
    "zmpop 2 K K E count N",
    "zmpop 3 K K K E",
    "zmpop N K K E",
    "zrandmember K N",
    "zrandmember K",
    "zrandmember K 2 withscores",
    "zscan K 0",
    "zscan K 0 match *a*",
    "zscan K 0 count N",
    "zscan K x",
    "zunion 2 K K",
    "zunion 3 K K K withscores",
    "zunion 2 K K weights W W withscores",
    "zunion 2 K K weights W W aggregate A withscores",
    "zunion N K K V",
    "zinter 2 K K withscores",
    "zinter 3 K K K weights W W W aggregate A withscores",
    "zinter N K K",
    "zdiff 2 K K withscores",
    "zdiff 3 K K K",
    "zdiff 1 K withscores",
    "zdiff N K K aggregate A",
    "zintercard 2 K K",
    "zintercard 2 K K limit N",
    "zintercard 3 K K K limit 1",
    "zintercard N K K",
    "zunionstore K 2 K K",
    "zunionstore K 2 K K weights W W aggregate A",
    "zunionstore K N K K",
    "zinterstore K 2 K K",
    "zinterstore K 2 K K aggregate A",
    "zdiffstore K 2 K K",
    "zdiffstore K 3 K K K withscores",
    "sadd s M M M",
    "srem s M M",
    "del K",
    "set str M",
    "get K",
    "type K",
    "exists K",
];

/// Generated commands.
struct Zsets {
    random: Random,
    /// How many members of a hundred are drawn from many.
    many_of_100: u64,
    /// Whether all scores are the same, so that ranges of members mean something.
    one_score: bool,
}

impl Zsets {
    fn word(&mut self, letter: &str) -> String {
        let words: &[&str] = match letter {
            "K" => &KEYS,
            "M" => {
                if self.random.below(100) < self.many_of_100 {
                    return format!("many:{}", self.random.below(2000));
                }
                if self.random.one_in(150) {
                    return "long".repeat(20);
                }
                &MEMBERS
            }
            "S" if self.one_score => &["0"],
            "S" => {
                if self.random.one_in(3) {
                    return (self.random.below(4000) as f64 / 8.0 - 200.0).to_string();
                }
                &SCORES
            }
            "B" => {
                if self.random.one_in(3) {
                    return (self.random.below(4000) as f64 / 8.0 - 200.0).to_string();
                }
                &BOUNDS
            }
            "L" => {
                if self.random.one_in(4) {
                    return format!("[many:{}", self.random.below(2000));
                }
                &LEX
            }
            "R" => &RANKS,
            "N" => &COUNTS,
            "O" => &["nx", "xx", "gt", "lt", "ch", "incr", "NX", "Ch", "zz"],
            "E" => &["min", "max", "MIN", "x"],
            "A" => &["sum", "min", "max", "MAX", "x"],
            "W" => &["1", "2", "-1", "0.5", "inf", "0", "x"],
            "V" => &["rev", "REV", "withscores", "bylex", "byscore"],
            other => return other.to_owned(),
        };
        self.random.pick(words).to_string()
    }

    fn next_command(&mut self) -> Words {
        let pattern = *self.random.pick(PATTERNS);
        let words = pattern.split(' ').map(|letter| self.word(letter));
        words.map(String::into_bytes).collect()
    }
}

/// A reply with every number written one way: 7.0 writes all 17 digits. A zero has no sign: whether it keeps one depends on
/// the form, and a copy on its way between shards may have another form than the original.
fn plain(reply: Reply) -> Reply {
    let written = |value: f64| (value + 0.0).to_string().into_bytes();
    let number = |text: &[u8]| -> Option<f64> {
        let text = std::str::from_utf8(text).ok()?;
        let is_one = text.contains(['.', 'e']) || text.len() > 15 || text == "-0";
        is_one.then(|| text.parse().ok()).flatten()
    };
    match reply {
        Reply::Bulk(text) => Reply::Bulk(number(&text).map_or(text, written)),
        Reply::Double(value, _) => Reply::Double(value, written(value)),
        Reply::Array(replies) => Reply::Array(replies.into_iter().map(plain).collect()),
        other => other,
    }
}

/// Members and scores of a whole walk, in order.
fn walked(words: &Words, mut run: impl FnMut(&Words) -> Reply) -> Reply {
    let (mut words, mut pairs) = (words.clone(), Vec::new());
    loop {
        let reply = run(&words);
        let Reply::Array(page) = &reply else {
            return reply;
        };
        let [Reply::Bulk(next), Reply::Array(elements)] = &page[..] else {
            return reply;
        };
        pairs.extend(elements.chunks(2).map(|pair| Reply::Array(pair.to_vec())));
        words[2].clone_from(next);
        if next == b"0" {
            break;
        }
    }
    pairs.sort_by_key(|pair| format!("{pair:?}"));
    pairs.dedup();
    Reply::Array(pairs)
}

/// Of members picked at random only their number is the same.
fn picked(reply: Reply) -> Reply {
    match reply {
        Reply::Array(members) => Reply::Int(members.len() as i64),
        Reply::Bulk(_) => Reply::Int(-1),
        other => other,
    }
}

fn assert_same_encoding(key: &str, cluster: &mut Cluster, oracle: &mut Oracle) {
    let words = ["object", "encoding", key];
    let (ours, theirs) = (cluster.run(&words), oracle.run(&words));
    // Sets that are not integers have had another form since.
    if theirs != Reply::Bulk(b"hashtable".to_vec()) {
        assert_eq!(shown(&ours), shown(&theirs), "{key}");
    }
}

#[test]
fn every_generated_sorted_set_command_is_answered_as_redis_answers_it() {
    const COMMANDS: usize = 10_000;
    let Some(mut oracle) = Oracle::start("every_generated_sorted_set_command") else {
        return;
    };
    let runs = [
        (1, Proto::Resp2, "128", 0, false),
        (2, Proto::Resp3, "128", 50, false),
        (4, Proto::Resp2, "4", 10, false),
        (2, Proto::Resp2, "0", 0, true),
        (4, Proto::Resp3, "64", 70, true),
        (1, Proto::Resp3, "4", 20, true),
    ];
    for (number, (shards, proto, entries, many_of_100, one_score)) in runs.into_iter().enumerate() {
        let mut cluster = Cluster::new(shards);
        cluster.speak(proto);
        oracle.connect(proto);
        oracle.run(&["flushall"]);
        let set = ["config", "set", "zset-max-listpack-entries", entries];
        assert_eq!(cluster.run(&set), oracle.run(&set));
        let mut zsets = Zsets {
            random: Random::new(number as u64 + 1),
            many_of_100,
            one_score,
        };
        for command in 0..COMMANDS {
            let words = zsets.next_command();
            // Ranges of members are nothing that Redis promises where scores differ.
            let is_lex = words.iter().any(|word| word.eq_ignore_ascii_case(b"bylex"));
            let is_lex = is_lex || words[0].ends_with(b"lex") || words[0] == b"zlexcount";
            // A member of a set counts with the score 1.
            if is_lex && !one_score || words[0] == b"sadd" && one_score {
                continue;
            }
            let core = zsets.random.below(u64::from(shards)) as usize;
            cluster.connect_to(core);
            let mut ours = walked_if_scan(&words, |words| cluster.run(words));
            let mut theirs = walked_if_scan(&words, |words| oracle.run(words));
            if words[0] == b"zrandmember" {
                (ours, theirs) = (picked(ours), picked(theirs));
            }
            let (ours, theirs) = (plain(ours), plain(theirs));
            compare(&words, &ours, &theirs).unwrap_or_else(|difference| {
                panic!("run {number}, command {command}: {difference}")
            });
            if command % 100 == 0 {
                cluster.cores().iter().for_each(|core| core.shard.check());
                KEYS.iter()
                    .for_each(|key| assert_same_encoding(key, &mut cluster, &mut oracle));
            }
        }
        cluster.cores().iter().for_each(|core| core.shard.check());
    }
}

fn walked_if_scan(words: &Words, mut run: impl FnMut(&Words) -> Reply) -> Reply {
    if words[0] == b"zscan" {
        walked(words, run)
    } else {
        run(words)
    }
}

#[test]
fn rows_of_sorted_sets_say_what_redis_says() {
    super::oracle::assert_rows(
        "rows_of_sorted_sets_say_what_redis_says",
        "zadd zincrby zcard zcount zlexcount zscore zmscore zrange zrangestore zrevrange zrangebyscore \
         zrevrangebyscore zrangebylex zrevrangebylex zrem zremrangebyrank zremrangebyscore zremrangebylex zpopmin \
         zpopmax zmpop zrandmember zscan zunion zinter zdiff zintercard zunionstore zinterstore zdiffstore",
    );
}
