//! Owns the commands whose instructions are counted, and the replies they must get.
//! Never here: how they are run.
//! Source: none.

use std::io::Write;

use resp::{Proto, Writer};

/// Keys that exist before anything is measured.
pub const KEYS: u64 = 100_000;
/// Commands of each kind.
pub const COUNT: usize = 10_000;
/// Keys of an MGET.
const MGET_KEYS: u64 = 10;

/// Where the integers lie among the keys; DEL takes keys before it, reads after.
const INTEGERS: u64 = 20_000;

/// A reply to compare with, and to encode alone.
pub enum Answer {
    /// +OK
    Ok,
    /// A number.
    Int(i64),
    /// Nothing.
    Null,
    /// A value.
    Bulk(Vec<u8>),
    /// Several values.
    Array(Vec<Vec<u8>>),
}

impl Answer {
    /// Writes it as the handlers do.
    #[inline(always)]
    pub fn write(&self, out: &mut Writer<'_>) {
        match self {
            Answer::Ok => out.ok(),
            Answer::Int(number) => out.int(*number),
            Answer::Null => out.null(),
            Answer::Bulk(bytes) => out.bulk(bytes),
            Answer::Array(values) => {
                out.array(values.len());
                for value in values {
                    out.bulk(value);
                }
            }
        }
    }
}

/// Commands of one kind, end to end.
pub struct Asked {
    /// For the table.
    pub name: &'static str,
    /// The commands.
    pub bytes: Vec<u8>,
    /// Where each begins.
    pub starts: Vec<usize>,
    /// What each must answer.
    pub replies: Vec<Answer>,
}

impl Asked {
    /// All replies as bytes.
    pub fn expected(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for reply in &self.replies {
            reply.write(&mut Writer::new(&mut out, Proto::Resp2));
        }
        out
    }
}

fn key(number: u64) -> Vec<u8> {
    format!("key:{number:012}").into_bytes()
}

/// A value of 32 bytes.
pub fn value(number: u64) -> Vec<u8> {
    format!("v{number:07x}-twenty-four-more-bytes").into_bytes()
}

/// Appends a command.
pub fn push(bytes: &mut Vec<u8>, words: &[&[u8]]) {
    // Writing into a Vec cannot fail.
    let _ = write!(bytes, "*{}\r\n", words.len());
    for word in words {
        let _ = write!(bytes, "${}\r\n", word.len());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
}

/// The commands that set every key.
pub fn fill(bytes: &mut Vec<u8>) {
    for number in 0..KEYS {
        let integer = (INTEGERS..INTEGERS + COUNT as u64).contains(&number);
        let value = if integer {
            number.to_string().into_bytes()
        } else {
            value(number)
        };
        push(bytes, &[b"SET", &key(number), &value]);
    }
}

/// The commands that set so many keys beside those, and delete them again: the index then has grown.
pub fn grow(bytes: &mut Vec<u8>, keys: u64) {
    for number in KEYS..KEYS + keys {
        push(bytes, &[b"SET", &key(number), &value(number)]);
    }
    for number in KEYS..KEYS + keys {
        push(bytes, &[b"DEL", &key(number)]);
    }
}

/// Numbers below `count`, in no order that a cache could foresee.
pub fn scattered(index: usize, start: u64, count: u64) -> u64 {
    // A prime larger than any count here, so that no number comes twice.
    start + (index as u64 * 1_000_003) % count
}

/// A kind of which `one` writes the command with an index and says what it must answer.
pub fn asked(name: &'static str, one: impl Fn(usize, &mut Vec<u8>) -> Answer) -> Asked {
    let (mut bytes, mut starts, mut replies) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..COUNT {
        starts.push(bytes.len());
        replies.push(one(index, &mut bytes));
    }
    Asked {
        name,
        bytes,
        starts,
        replies,
    }
}

/// Commands on strings.
pub fn strings() -> Vec<Asked> {
    let reads = INTEGERS + COUNT as u64;
    let held = move |index: usize| scattered(index, reads, KEYS - reads);
    vec![
        asked("GET, hit", |index, bytes| {
            push(bytes, &[b"GET", &key(held(index))]);
            Answer::Bulk(value(held(index)))
        }),
        asked("GET, miss", |index, bytes| {
            push(bytes, &[b"GET", &key(index as u64 + 2 * KEYS)]);
            Answer::Null
        }),
        asked("SET, overwrite", |index, bytes| {
            push(bytes, &[b"SET", &key(held(index)), &value(held(index))]);
            Answer::Ok
        }),
        asked("SET, new key", |index, bytes| {
            push(bytes, &[b"SET", &key(index as u64 + 3 * KEYS), &value(7)]);
            Answer::Ok
        }),
        asked("SET, new key below an id", |index, bytes| {
            let key = format!("user:{index:010}:name").into_bytes();
            push(bytes, &[b"SET", &key, &value(7)]);
            Answer::Ok
        }),
        asked("INCR", |index, bytes| {
            let number = scattered(index, INTEGERS, COUNT as u64);
            push(bytes, &[b"INCR", &key(number)]);
            Answer::Int(number as i64 + 1)
        }),
        asked("MGET of 10", |index, bytes| {
            let numbers = (0..MGET_KEYS).map(|at| held(index * MGET_KEYS as usize + at as usize));
            let keys: Vec<Vec<u8>> = numbers.clone().map(key).collect();
            let words: Vec<&[u8]> = std::iter::once(&b"MGET"[..])
                .chain(keys.iter().map(Vec::as_slice))
                .collect();
            push(bytes, &words);
            Answer::Array(numbers.map(value).collect())
        }),
        asked("DEL of 1", |index, bytes| {
            push(bytes, &[b"DEL", &key(scattered(index, 0, COUNT as u64))]);
            Answer::Int(1)
        }),
    ]
}
