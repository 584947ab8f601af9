//! DUMP and RESTORE: a value as the payload that Redis writes and reads.
//! Never stores what a payload only announces, and never harms the key it should replace when the payload is refused.
//! Source: redis-server 7 for the order of checks and the texts; the format is `rdb`'s.

use crate::row::{Doc, Keys};
use crate::{Call, Command, Error, Flags, Reply, Run, dumping, error, lookup, texts};
use resp::Writer;
use store::{Content, Detached, Millis};

const BUSY_KEY: &str = "BUSYKEY Target key name already exists.";
const INVALID_TTL: &str = "ERR Invalid TTL value, must be >= 0";
const INVALID_IDLE: &str = "ERR Invalid IDLETIME value, must be >= 0";
const INVALID_FREQ: &str = "ERR Invalid FREQ value, must be >= 0 and <= 255";

fn dump(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (key, db, now) = (call.key(1), call.db, call.now());
    let copy = match lookup::view(call, key) {
        Some(view) => {
            let text_bytes = view.text().map(<[u8]>::len);
            if let Some(text_bytes) = text_bytes {
                texts::dump_if_long(call, text_bytes)?;
            } else {
                dumping::if_long(call, key)?;
            }
            call.core.shard.plain_copy(db, key, now)
        }
        None => None,
    };
    match copy {
        Some((content, _)) => out.bulk(&rdb::encode(&content)),
        None => out.null(),
    }
    Ok(())
}

/// What RESTORE was asked for beside key, time and payload.
#[derive(Default)]
struct Options {
    replace: bool,
    absolute: bool,
    /// Seconds since the value was last used; without effect under an LFU policy.
    idle_s: Option<i64>,
    /// The counter of an LFU policy; without effect under any other.
    frequency: Option<u8>,
}

fn options(call: &Call<'_>) -> Result<Options, Error> {
    let (mut options, mut index) = (Options::default(), 4);
    while index < call.args.len() {
        let has_value = index + 1 < call.args.len();
        if call.is(index, "replace") {
            options.replace = true;
        } else if call.is(index, "absttl") {
            options.absolute = true;
        // A value has one of the two: they say the same to different policies.
        } else if call.is(index, "idletime") && has_value && options.frequency.is_none() {
            index += 1;
            let idle_s = call.int(index)?;
            if idle_s < 0 {
                return Err(INVALID_IDLE.into());
            }
            options.idle_s = Some(idle_s);
        } else if call.is(index, "freq") && has_value && options.idle_s.is_none() {
            index += 1;
            let frequency = u8::try_from(call.int(index)?);
            options.frequency = Some(frequency.map_err(|_| Error::from(INVALID_FREQ))?);
        } else {
            return Err(error::SYNTAX.into());
        }
        index += 1;
    }
    Ok(options)
}

fn restore(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let options = options(call)?;
    let (key, db, now) = (call.key(1), call.db, call.now());
    if !options.replace && lookup::lives(call, key) {
        return Err(BUSY_KEY.into());
    }
    let ttl = call.int(2)?;
    if ttl < 0 {
        return Err(INVALID_TTL.into());
    }
    let expiry = match ttl {
        0 => None,
        at if options.absolute => Some(Millis(at)),
        span => Some(now.plus(span)),
    };
    let content = rdb::decode(call.args.at(3), now)
        .map_err(|refusal| Error::from(format!("ERR {refusal}")))?;
    call.core.shard.remove(db, key, now);
    let is_over = expiry.is_some_and(|at| at < now);
    if !is_over && !is_empty(&content) {
        let value = Detached::of(content, expiry);
        let shard = &mut call.core.shard;
        shard.put(db, key, value, now);
        if let Some(idle_s) = options.idle_s {
            shard.set_idle(db, key, idle_s.saturating_mul(1000), now);
        }
        if let Some(frequency) = options.frequency {
            shard.set_frequency(db, key, frequency, now);
        }
    }
    out.ok();
    Ok(())
}

/// Whether nothing is left to store: a hash whose fields have all expired.
fn is_empty(content: &Content) -> bool {
    matches!(content, Content::Hash { pairs, .. } if pairs.is_empty())
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
        categories: &["keyspace"],
        tips: &[],
        run,
        doc,
        subcommands: &[],
    }
}

/// The commands of this family.
pub const ROWS: &[Command] = &[
    Command {
        tips: &["nondeterministic_output"],
        ..row(
            "dump",
            2,
            Flags::READONLY,
            &["RO", "access"],
            Run::Owner(dump),
            Doc {
                summary: "A value as a payload that RESTORE takes",
                since: "2.6.0",
                group: "generic",
                complexity: "O(N) where N is the size of the value",
                syntax: "key",
            },
        )
    },
    Command {
        categories: &["keyspace", "dangerous"],
        ..row(
            "restore",
            -4,
            Flags::WRITE.and(Flags::DENYOOM),
            &["OW", "update"],
            Run::Owner(restore),
            Doc {
                summary: "Gives a key the value of a payload that DUMP made",
                since: "2.6.0",
                group: "generic",
                complexity: "O(N) where N is the size of the value",
                syntax: "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]",
            },
        )
    },
];
