//! Owns the common write and the common read of every type of value but strings, as commands to count.
//! Never here: how they are run.
//! Source: none.

use crate::commands_asked::{Answer, Asked, COUNT, asked, push, scattered};

/// The words of a command, in one line.
fn ask(bytes: &mut Vec<u8>, line: &str) {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    push(bytes, &words);
}

fn bulk(text: String) -> Answer {
    Answer::Bulk(text.into_bytes())
}

/// Commands on hashes: of two fields each, and one of many.
fn hashes() -> Vec<Asked> {
    vec![
        asked("HSET, new hash", |index, bytes| {
            ask(bytes, &format!("HSET hash:{index:06} first value"));
            Answer::Int(1)
        }),
        asked("HSET, second field", |index, bytes| {
            ask(bytes, &format!("HSET hash:{index:06} second value"));
            Answer::Int(1)
        }),
        asked("HGET, two fields", |index, bytes| {
            let number = scattered(index, 0, COUNT as u64);
            ask(bytes, &format!("HGET hash:{number:06} second"));
            Answer::Bulk(b"value".to_vec())
        }),
        asked("HSET, 10,000 fields", |index, bytes| {
            ask(bytes, &format!("HSET hash field:{index:06} {index}"));
            Answer::Int(1)
        }),
        asked("HGET, 10,000 fields", |index, bytes| {
            let number = scattered(index, 0, COUNT as u64);
            ask(bytes, &format!("HGET hash field:{number:06}"));
            bulk(number.to_string())
        }),
    ]
}

/// Commands on one list and one set.
fn lists_and_sets() -> Vec<Asked> {
    vec![
        asked("RPUSH, one list", |index, bytes| {
            ask(bytes, &format!("RPUSH list element:{index:06}"));
            Answer::Int(index as i64 + 1)
        }),
        asked("LPOP, one list", |index, bytes| {
            ask(bytes, "LPOP list");
            bulk(format!("element:{index:06}"))
        }),
        asked("SADD, one set", |index, bytes| {
            ask(bytes, &format!("SADD set member:{index:06}"));
            Answer::Int(1)
        }),
        asked("SISMEMBER, one set", |index, bytes| {
            let number = scattered(index, 0, COUNT as u64);
            ask(bytes, &format!("SISMEMBER set member:{number:06}"));
            Answer::Int(1)
        }),
    ]
}

/// Commands on one sorted set, and on places, which are one as well.
fn sorted_sets() -> Vec<Asked> {
    let score = |index: usize| scattered(index, 0, COUNT as u64);
    vec![
        asked("ZADD, one sorted set", |index, bytes| {
            ask(
                bytes,
                &format!("ZADD zset {} member:{:06}", score(index), score(index)),
            );
            Answer::Int(1)
        }),
        asked("ZSCORE, one sorted set", |index, bytes| {
            ask(bytes, &format!("ZSCORE zset member:{:06}", score(index)));
            bulk(score(index).to_string())
        }),
        asked("ZRANK, one sorted set", |index, bytes| {
            ask(bytes, &format!("ZRANK zset member:{:06}", score(index)));
            Answer::Int(score(index) as i64)
        }),
        asked("GEOADD, one sorted set", |index, bytes| {
            let (longitude, latitude) = (score(index) % 180, index % 80);
            ask(
                bytes,
                &format!("GEOADD places {longitude} {latitude} place:{index:06}"),
            );
            Answer::Int(1)
        }),
    ]
}

/// Commands on one stream, and on strings of bits and of registers.
fn others() -> Vec<Asked> {
    vec![
        asked("XADD, one stream", |index, bytes| {
            ask(
                bytes,
                &format!("XADD stream {}-0 field value:{index:06}", index + 1),
            );
            bulk(format!("{}-0", index + 1))
        }),
        asked("SETBIT, new bitmap", |index, bytes| {
            ask(bytes, &format!("SETBIT bits:{index:06} 70 1"));
            Answer::Int(0)
        }),
        asked("GETBIT", |index, bytes| {
            let number = scattered(index, 0, COUNT as u64);
            ask(bytes, &format!("GETBIT bits:{number:06} 70"));
            Answer::Int(1)
        }),
        asked("PFADD, new sketch", |index, bytes| {
            ask(bytes, &format!("PFADD sketch:{index:06} element"));
            Answer::Int(1)
        }),
    ]
}

/// Every kind, each read after the write that it reads.
pub fn kinds() -> Vec<Asked> {
    [hashes(), lists_and_sets(), sorted_sets(), others()]
        .into_iter()
        .flatten()
        .collect()
}
