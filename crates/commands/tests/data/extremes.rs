//! Numbers at and beyond every edge, in every place where a command takes one, beside a redis-server.
//! Never may a shard count overflow, take memory for what is not there, or answer otherwise than Redis.

use crate::oracle::now;
use resp::Reply;
use testkit::Cluster;
use testkit::generate::Words;
use testkit::oracle::{Oracle, compare};

/// What a client may write where a number belongs.
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "-100",
    "100",
    "2147483647",
    "2147483648",
    "-2147483648",
    "-2147483649",
    "4294967295",
    "4294967296",
    "-4294967297",
    "1125899906842624",
    "9223372036854775806",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775807",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "inf",
    "-inf",
    "nan",
    "1e308",
    "1e400",
    "-1e400",
    "0.5",
    "0x10",
    "+1",
    "01",
    "''",
    "text",
];

/// Keys of every type that the commands below find.
const SETUP: &[&str] = &[
    "SET s hello",
    "SET s2 yellow",
    "SET n 10",
    "SET bits abcdefgh",
    "RPUSH l a b c a d",
    "HSET h a 1 b 2 c 3",
    "SADD t a b c d e",
    "ZADD z 1 a 2 b 3 c 4 d 5 e",
    "GEOADD g 13.361389 38.115556 a 15.087269 37.502669 b",
    "XADD x 1-1 f v",
    "XADD x 5-1 f v",
    "XADD x 9-9 f v",
    "XGROUP CREATE x gr 0",
    "XREADGROUP GROUP gr c COUNT 2 STREAMS x >",
];

/// Commands with `#` in the place of a number, and `tmp` for a copy of the key before the colon.
const COMMANDS: &[&str] = &[
    "s:GETRANGE tmp # #",
    "s:SUBSTR tmp # #",
    "s:SETRANGE tmp # ''",
    "s:LCS tmp s2 LEN",
    "s:LCS tmp s2 IDX MINMATCHLEN #",
    "s:SET tmp v EX #",
    "s:SET tmp v PX #",
    "s:SET tmp v EXAT #",
    "s:SET tmp v PXAT #",
    "s:SETEX tmp # v",
    "s:PSETEX tmp # v",
    "s:GETEX tmp EX #",
    "s:GETEX tmp PXAT #",
    "s:EXPIRE tmp #",
    "s:PEXPIRE tmp #",
    "s:EXPIREAT tmp #",
    "s:PEXPIREAT tmp #",
    "s:COPY tmp other DB #",
    "s:MOVE tmp #",
    "n:INCRBY tmp #",
    "n:DECRBY tmp #",
    "n:INCRBYFLOAT tmp #",
    "bits:GETBIT tmp #",
    "bits:BITCOUNT tmp # #",
    "bits:BITCOUNT tmp # # BIT",
    "bits:BITPOS tmp 1 # #",
    "bits:BITPOS tmp 0 # # BIT",
    "bits:BITFIELD tmp GET u8 #",
    "bits:BITFIELD tmp GET i64 ##",
    "bits:BITFIELD_RO tmp GET u63 #",
    "bits:BITFIELD tmp INCRBY u8 0 #",
    "bits:BITFIELD tmp OVERFLOW SAT INCRBY i64 0 #",
    "bits:BITFIELD tmp OVERFLOW FAIL INCRBY i64 0 #",
    "bits:BITFIELD tmp SET i64 0 #",
    "l:LRANGE tmp # #",
    "l:LTRIM tmp # #",
    "l:LINDEX tmp #",
    "l:LSET tmp # v",
    "l:LREM tmp # a",
    "l:LPOP tmp #",
    "l:RPOP tmp #",
    "l:LPOS tmp a RANK #",
    "l:LPOS tmp a COUNT #",
    "l:LPOS tmp a MAXLEN #",
    "l:LMPOP # tmp LEFT",
    "l:LMPOP 1 tmp LEFT COUNT #",
    "l:SORT tmp ALPHA LIMIT # #",
    "h:HINCRBY tmp a #",
    "h:HINCRBYFLOAT tmp a #",
    "t:SINTERCARD # tmp",
    "t:SINTERCARD 1 tmp LIMIT #",
    "z:ZADD tmp # m",
    "z:ZADD tmp INCR # a",
    "z:ZADD tmp GT # a",
    "z:ZINCRBY tmp # a",
    "z:ZRANGE tmp # #",
    "z:ZRANGE tmp # # REV WITHSCORES",
    "z:ZREVRANGE tmp # #",
    "z:ZRANGE tmp # # BYSCORE",
    "z:ZRANGE tmp -inf +inf BYSCORE LIMIT # #",
    "z:ZRANGEBYSCORE tmp (# #",
    "z:ZREVRANGEBYSCORE tmp # #",
    "z:ZRANGEBYLEX tmp - + LIMIT # #",
    "z:ZCOUNT tmp # #",
    "z:ZREMRANGEBYRANK tmp # #",
    "z:ZREMRANGEBYSCORE tmp # #",
    "z:ZPOPMIN tmp #",
    "z:ZPOPMAX tmp #",
    "z:ZMPOP # tmp MIN",
    "z:ZMPOP 1 tmp MIN COUNT #",
    "z:ZINTERCARD 1 tmp LIMIT #",
    "z:ZUNION # tmp",
    "z:ZUNION 1 tmp WEIGHTS # WITHSCORES",
    "z:ZRANGESTORE other tmp # #",
    "g:GEOADD tmp # # c",
    "g:GEOSEARCH tmp FROMMEMBER a BYRADIUS # km ASC",
    "g:GEOSEARCH tmp FROMMEMBER a BYBOX # # m ASC",
    "g:GEOSEARCH tmp FROMMEMBER a BYRADIUS 500 km ASC COUNT #",
    "g:GEOSEARCH tmp FROMLONLAT # # BYRADIUS 100 km ASC",
    "x:XADD tmp #-# f v",
    "x:XADD tmp # f v",
    "x:XADD tmp MAXLEN # 99-1 f v",
    "x:XADD tmp MAXLEN ~ 1 LIMIT # 99-1 f v",
    "x:XADD tmp MINID # 99-1 f v",
    "x:XTRIM tmp MAXLEN #",
    "x:XTRIM tmp MAXLEN ~ 0 LIMIT #",
    "x:XTRIM tmp MINID #",
    "x:XRANGE tmp # #",
    "x:XREVRANGE tmp # #",
    "x:XRANGE tmp (# #",
    "x:XRANGE tmp - + COUNT #",
    "x:XREAD COUNT # STREAMS tmp 0",
    "x:XREAD STREAMS tmp #",
    "x:XDEL tmp #",
    "x:XSETID tmp #",
    "x:XSETID tmp 99-1 ENTRIESADDED # MAXDELETEDID 1-1",
    "x:XGROUP SETID tmp gr # ENTRIESREAD #",
    "x:XPENDING tmp gr - + #",
    "x:XPENDING tmp gr # # 10",
    "x:XACK tmp gr #",
    "x:XAUTOCLAIM tmp gr d 0 0 COUNT # JUSTID",
    "x:XCLAIM tmp gr d 0 1-1 RETRYCOUNT # JUSTID",
];

fn words(line: &str, number: &str) -> Words {
    line.split(' ')
        .map(|word| word.replace('#', number).replace("''", "").into_bytes())
        .collect()
}

/// Whether answers mean the same that are not written the same.
fn is_equal(line: &str, number: &str, ours: &Reply, theirs: &Reply) -> bool {
    match (ours, theirs) {
        // 7.2 writes large numbers with all digits, 7.0 with an exponent.
        (Reply::Bulk(ours), Reply::Bulk(theirs)) => {
            let float = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<f64>().ok();
            ours == theirs || float(ours).is_some_and(|ours| float(theirs) == Some(ours))
        }
        // How long an entry has been pending is the clock's affair.
        (Reply::Array(ours), Reply::Array(theirs)) if line.starts_with("XPENDING") => {
            ours.len() == theirs.len()
        }
        (Reply::Array(ours), Reply::Array(theirs)) => {
            let mut pairs = ours.iter().zip(theirs);
            ours.len() == theirs.len() && pairs.all(|(a, b)| is_equal(line, number, a, b))
        }
        // 7.0 negates what has no negation.
        (Reply::Error(_), Reply::Int(_)) => {
            line.contains("RANK #") && number == "-9223372036854775808"
        }
        // Redis reserves memory for as many as asked for.
        (Reply::Array(_), Reply::Error(text)) => text.ends_with(b"COUNT too high."),
        _ => ours == theirs,
    }
}

#[test]
fn a_number_beyond_any_edge_is_answered_as_redis_answers_it_and_takes_no_memory() {
    let test = "a_number_beyond_any_edge_is_answered_as_redis_answers_it_and_takes_no_memory";
    let Some(mut oracle) = Oracle::start(test) else {
        return;
    };
    let mut cluster = Cluster::starting_at(2, now());
    for line in SETUP {
        assert_eq!(
            cluster.run(&words(line, "")),
            oracle.run(&words(line, "")),
            "{line}"
        );
    }
    let mut differences = Vec::new();
    for command in COMMANDS {
        let (source, line) = command.split_once(':').expect("a key comes first");
        for number in NUMBERS {
            for before in [
                "DEL tmp other".to_string(),
                format!("COPY {source} tmp REPLACE"),
            ] {
                cluster.run(&words(&before, ""));
                oracle.run(&words(&before, ""));
            }
            let words = words(line, number);
            let held_before = memory::heap::thread_allocated_bytes();
            let ours = cluster.run(&words);
            let held = memory::heap::thread_allocated_bytes() - held_before;
            assert!(held < 1 << 20, "{line} with {number} took {held} bytes");
            let theirs = oracle.run(&words);
            if !is_equal(line, number, &ours, &theirs)
                && let Err(difference) = compare(&words, &ours, &theirs)
            {
                differences.push(difference);
            }
        }
        cluster.cores().iter().for_each(|core| core.shard.check());
    }
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

#[test]
fn an_offset_that_redis_has_memory_for_is_held_against_the_limit() {
    let mut cluster = Cluster::new(1);
    cluster.ask("CONFIG SET maxmemory 100mb maxmemory-policy noeviction");
    let refused = Reply::Error(b"OOM command not allowed when used memory > 'maxmemory'.".to_vec());
    for command in [
        "SETRANGE k 536870911 x",
        "SETBIT k 4294967295 1",
        "BITFIELD k SET u8 4294967280 1",
    ] {
        assert_eq!(cluster.ask(command), refused, "{command}");
        assert_eq!(cluster.ask("EXISTS k"), Reply::Int(0));
    }
    for (command, text) in [
        (
            "SETRANGE k 536870912 x",
            "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
        ),
        (
            "SETBIT k 4294967296 1",
            "ERR bit offset is not an integer or out of range",
        ),
        (
            "BITFIELD k SET u8 4294967296 1",
            "ERR bit offset is not an integer or out of range",
        ),
    ] {
        assert_eq!(
            cluster.ask(command),
            Reply::Error(text.as_bytes().to_vec()),
            "{command}"
        );
    }
    cluster.cores().iter().for_each(|core| core.shard.check());
}
