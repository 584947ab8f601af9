//! Counters: INCR and its kin on 64-bit integers, INCRBYFLOAT on numbers of extended precision.
//! Never wraps, and never stores what is not a finite number.
//! Source: redis-server 7, asked for its error texts and for the encoding it leaves behind.

use crate::extended::{self, Parsed};
use crate::row::{Doc, Keys};
use crate::{Call, Command, Error, Flags, Reply, Run, error, lookup};
use resp::Writer;
use store::{Expiry, Value};

const WOULD_OVERFLOW: &str = "ERR increment or decrement would overflow";
const DECREMENT_WOULD_OVERFLOW: &str = "ERR decrement would overflow";
const NOT_FINITE: &str = "ERR increment would produce NaN or Infinity";

fn add(call: &mut Call<'_>, out: &mut Writer<'_>, increment: i64) -> Reply {
    let key = call.key(1);
    let current = match lookup::string_before_write(call, key)? {
        None => 0,
        Some(Value::Int(number)) => number,
        // INCRBYFLOAT leaves the text of an integer that is not stored as one.
        Some(Value::Bytes { bytes, .. }) => {
            resp::number::parse_i64(bytes).ok_or(error::NOT_AN_INTEGER)?
        }
    };
    let sum = current.checked_add(increment).ok_or(WOULD_OVERFLOW)?;
    let (db, now) = (call.db, call.now());
    call.core
        .shard
        .set(db, key, Value::Int(sum), Expiry::Keep, now);
    out.int(sum);
    Ok(())
}

fn incr(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    add(call, out, 1)
}

fn decr(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    add(call, out, -1)
}

fn incrby(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let increment = call.int(2)?;
    add(call, out, increment)
}

fn decrby(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let decrement = call.int(2)?;
    let increment = decrement.checked_neg().ok_or(DECREMENT_WOULD_OVERFLOW)?;
    add(call, out, increment)
}

fn incrbyfloat(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let key = call.key(1);
    let parse = |text: &[u8]| extended::parse(text).ok_or_else(|| Error::from(error::NOT_A_FLOAT));
    let current = match lookup::string_before_write(call, key)? {
        None => parse(b"0"),
        Some(value) => lookup::with_text(value, parse),
    }?;
    let increment = parse(call.args.at(2))?;
    let (Parsed::Finite(current), Parsed::Finite(increment)) = (current, increment) else {
        return Err(NOT_FINITE.into());
    };
    let text = current.add(increment).ok_or(NOT_FINITE)?.to_text();
    let value = Value::Bytes {
        bytes: text.as_bytes(),
        raw: false,
    };
    let (db, now) = (call.db, call.now());
    call.core.shard.set(db, key, value, Expiry::Keep, now);
    out.bulk(text.as_bytes());
    Ok(())
}

const fn row(
    name: &'static str,
    arity: i32,
    run: Run,
    since: &'static str,
    summary: &'static str,
    syntax: &'static str,
) -> Command {
    Command {
        name,
        arity,
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: Keys::FIRST,
        key_flags: &["RW", "access", "update"],
        categories: &["string"],
        tips: &[],
        run,
        doc: Doc {
            summary,
            since,
            group: "string",
            complexity: "O(1)",
            syntax,
        },
        subcommands: &[],
    }
}

/// The commands of this family.
pub const ROWS: &[Command] = &[
    row(
        "incr",
        2,
        Run::Owner(incr),
        "1.0.0",
        "Adds one to an integer, which starts at 0",
        "key",
    ),
    row(
        "decr",
        2,
        Run::Owner(decr),
        "1.0.0",
        "Takes one from an integer, which starts at 0",
        "key",
    ),
    row(
        "incrby",
        3,
        Run::Owner(incrby),
        "1.0.0",
        "Adds to an integer, which starts at 0",
        "key increment",
    ),
    row(
        "decrby",
        3,
        Run::Owner(decrby),
        "1.0.0",
        "Takes from an integer, which starts at 0",
        "key decrement",
    ),
    row(
        "incrbyfloat",
        3,
        Run::Owner(incrbyfloat),
        "2.6.0",
        "Adds to a decimal number, which starts at 0; computes with 64 bits of precision",
        "key increment",
    ),
];
