//! Bitmaps: strings as rows of bits, set, read, counted, searched, combined, and cut into integers.
//! Never makes a string longer than `proto-max-bulk-len` allows an offset to reach, nor than memory has room for.
//! Source: redis-server 7, asked for its texts and for the order of checks.

mod counting;
mod field;
mod ranges;
mod words;

use crate::growth::check_room;
use crate::row::{Doc, Joint, Keys, Target};
use crate::{Call, Command, Error, Flags, Reply, Run, error, lookup};
use resp::Writer;
use store::{Expiry, Value};
use words::Operation;

const BAD_OFFSET: &str = "ERR bit offset is not an integer or out of range";
const BAD_BIT: &str = "ERR bit is not an integer or out of range";
const NOT_TAKES_ONE: &str = "ERR BITOP NOT must be called with a single source key.";

/// Argument `index` as the offset of a bit. With `bits`, `#n` is the offset of the n-th field of so many bits.
fn bit_offset(call: &Call<'_>, index: usize, bits: Option<u32>) -> Result<u64, Error> {
    let text = call.args.at(index);
    let (digits, unit) = match (text, bits) {
        ([b'#', digits @ ..], Some(bits)) => (digits, u64::from(bits)),
        _ => (text, 1),
    };
    resp::number::parse_u64(digits)
        .and_then(|number| number.checked_mul(unit))
        .filter(|offset| offset / 8 < call.core.config.proto_max_bulk_len)
        .ok_or_else(|| BAD_OFFSET.into())
}

/// SETBIT: answers the bit that was there.
fn setbit(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let offset = bit_offset(call, 2, None)?;
    let bit = match resp::number::parse_i64(call.args.at(3)) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(BAD_BIT.into()),
    };
    let key = call.key(1);
    let len = lookup::string_before_write(call, key)?.map_or(0, |value| value.len() as u64);
    let reach = offset / 8 + 1;
    check_room(call, reach.saturating_sub(len))?;
    let (db, now) = (call.db, call.now());
    let mask = 0x80_u8 >> (offset % 8);
    let was_set = call
        .core
        .shard
        .edit(db, key, reach as usize, now, |text: &mut [u8]| {
            let byte = &mut text[(offset / 8) as usize];
            let was_set = *byte & mask != 0;
            if bit {
                *byte |= mask;
            } else {
                *byte &= !mask;
            }
            was_set
        });
    out.int(i64::from(was_set));
    Ok(())
}

/// GETBIT: what lies behind the end is 0.
fn getbit(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let offset = bit_offset(call, 2, None)?;
    let key = call.key(1);
    let byte = lookup::read_string(call, key)?.and_then(|value| {
        lookup::with_text(value, |text| text.get((offset / 8) as usize).copied())
    });
    let is_set = byte.is_some_and(|byte| byte << (offset % 8) & 0x80 != 0);
    out.int(i64::from(is_set));
    Ok(())
}

const DESTINATION: usize = 2;
const FIRST_SOURCE: usize = 3;

/// BITOP: answers the length of the result, which takes the destination's place whatever that held.
fn bitop(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    const WORDS: [(&str, Operation); 4] = [
        ("and", Operation::And),
        ("or", Operation::Or),
        ("xor", Operation::Xor),
        ("not", Operation::Not),
    ];
    let named = WORDS.iter().find(|(word, _)| call.is(1, word));
    let &(_, operation) = named.ok_or(error::SYNTAX)?;
    if operation == Operation::Not && call.args.len() != FIRST_SOURCE + 1 {
        return Err(NOT_TAKES_ONE.into());
    }
    let mut len = 0;
    for index in FIRST_SOURCE..call.args.len() {
        let key = call.other_key(index);
        let source_len = lookup::read_string(call, key)?.map_or(0, |value| value.len());
        len = len.max(source_len);
    }
    let destination = call.other_key(DESTINATION);
    let (db, now) = (call.db, call.now());
    if len == 0 {
        call.core.shard.remove(db, destination, now);
    } else {
        // The result is made aside and then copied: the sources must not change meanwhile, and the destination may be one.
        check_room(call, 2 * len as u64)?;
        let result = combined(call, operation, len)?;
        let value = Value::Bytes {
            bytes: &result,
            raw: true,
        };
        call.core
            .shard
            .set(db, destination, value, Expiry::Clear, now);
    }
    out.int(len as i64);
    Ok(())
}

/// What the operation makes of the sources, the longest of which has `len` bytes.
fn combined(call: &mut Call<'_>, operation: Operation, len: usize) -> Result<Vec<u8>, Error> {
    let mut result = Vec::with_capacity(len);
    for index in FIRST_SOURCE..call.args.len() {
        let key = call.other_key(index);
        let mut fold = |source: &[u8]| match operation {
            Operation::Not => result.extend(source.iter().map(|byte| !byte)),
            _ if index == FIRST_SOURCE => result.extend_from_slice(source),
            _ => operation.fold(&mut result, source),
        };
        match lookup::string_before_write(call, key)? {
            None => fold(b""),
            Some(value) => lookup::with_text(value, fold),
        }
    }
    result.resize(len, 0);
    Ok(result)
}

const fn row(
    name: &'static str,
    arity: i32,
    flags: Flags,
    key_flags: &'static [&'static str],
    run: Run,
    doc: Doc,
) -> Command {
    Command {
        name,
        arity,
        flags,
        keys: Keys::FIRST,
        key_flags,
        categories: &["bitmap"],
        tips: &[],
        run,
        doc,
        subcommands: &[],
    }
}

const fn doc(
    since: &'static str,
    complexity: &'static str,
    summary: &'static str,
    syntax: &'static str,
) -> Doc {
    Doc {
        summary,
        since,
        group: "bitmap",
        complexity,
        syntax,
    }
}

const READ: Flags = Flags::READONLY;
const GROWS: Flags = Flags::WRITE.and(Flags::DENYOOM);
const ACCESS: &[&str] = &["RO", "access"];
const PER_BYTE: &str = "O(N) where N is the length of the part";

/// The commands of this family.
pub const ROWS: &[Command] = &[
    row(
        "setbit",
        4,
        GROWS,
        &["RW", "access", "update"],
        Run::Owner(setbit),
        doc(
            "2.2.0",
            "O(1), besides the time to make the string longer",
            "Sets or clears a bit and answers what it was",
            "key offset value",
        ),
    ),
    row(
        "getbit",
        3,
        READ.and(Flags::FAST),
        ACCESS,
        Run::Owner(getbit),
        doc("2.2.0", "O(1)", "A bit of a string", "key offset"),
    ),
    row(
        "bitcount",
        -2,
        READ,
        ACCESS,
        Run::Owner(ranges::bitcount),
        doc(
            "2.6.0",
            PER_BYTE,
            "How many bits are set in a string or a part of it",
            "key [start end [BYTE | BIT]]",
        ),
    ),
    row(
        "bitpos",
        -3,
        READ,
        ACCESS,
        Run::Owner(ranges::bitpos),
        doc(
            "2.8.7",
            PER_BYTE,
            "Where the first bit that is set, or not set, lies in a string or a part of it",
            "key bit [start [end [BYTE | BIT]]]",
        ),
    ),
    Command {
        keys: Keys::range(2, -1, 1),
        ..row(
            "bitop",
            -4,
            GROWS,
            &["OW", "update", "/", "RO", "access"],
            Run::Joint(Joint {
                handler: bitop,
                target: |_| {
                    Some(Target {
                        index: DESTINATION,
                        reads: false,
                    })
                },
            }),
            doc(
                "2.6.0",
                "O(N) where N is the length of all strings",
                "Combines the bits of strings and keeps the result under a key",
                "<AND | OR | XOR | NOT> destkey key [key ...]",
            ),
        )
    },
    row(
        "bitfield",
        -2,
        GROWS,
        &["RW", "access", "update", "variable_flags"],
        Run::Owner(field::bitfield),
        doc(
            "3.2.0",
            "O(1) for each integer",
            "Reads, sets and adds to integers of any width inside a string",
            "key [GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] <SET encoding offset value | \
             INCRBY encoding offset increment> ...]",
        ),
    ),
    row(
        "bitfield_ro",
        -2,
        READ.and(Flags::FAST),
        ACCESS,
        Run::Owner(field::bitfield_ro),
        doc(
            "6.0.0",
            "O(1) for each integer",
            "Reads integers of any width inside a string",
            "key [GET encoding offset ...]",
        ),
    ),
];
