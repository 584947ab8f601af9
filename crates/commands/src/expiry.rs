//! EXPIRE and its kin, TTL and its kin, PERSIST; and what SET and GETEX make of a time.
//! Never reads a clock: the time of the call is the only one. A time that has passed deletes the key.
//! Source: redis-server 7.0, asked for the order of its checks and for every overflow.

use crate::row::{Doc, Keys};
use crate::{Call, Command, Error, Flags, Reply, Run, error, lookup};
use resp::Writer;
use store::{Entry, Millis};

const MS_PER_S: i64 = 1000;
const NX_AND_OTHERS: &str = "ERR NX and XX, GT or LT options at the same time are not compatible";
const GT_AND_LT: &str = "ERR GT and LT options at the same time are not compatible";

/// How a command means a number of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// Seconds, otherwise milliseconds.
    pub seconds: bool,
    /// From now, otherwise since 1970.
    pub relative: bool,
}

impl Meaning {
    /// Seconds from now (EX, EXPIRE).
    pub const SECONDS: Meaning = Meaning {
        seconds: true,
        relative: true,
    };
    /// Milliseconds from now (PX, PEXPIRE).
    pub const MILLIS: Meaning = Meaning {
        seconds: false,
        relative: true,
    };
    /// Unix time in seconds (EXAT, EXPIREAT).
    pub const UNIX_SECONDS: Meaning = Meaning {
        seconds: true,
        relative: false,
    };
    /// Unix time in milliseconds (PXAT, PEXPIREAT).
    pub const UNIX_MILLIS: Meaning = Meaning {
        seconds: false,
        relative: false,
    };

    /// The moment that `number` names, or `None` where it does not fit.
    fn moment(self, number: i64, now: Millis) -> Option<Millis> {
        let number_ms = if self.seconds {
            number.checked_mul(MS_PER_S)?
        } else {
            number
        };
        let since_ms = if self.relative { now.0 } else { 0 };
        number_ms.checked_add(since_ms).map(Millis)
    }
}

/// A time that makes no moment, in this command.
pub fn invalid_time(command: &str) -> Error {
    format!("ERR invalid expire time in '{command}' command").into()
}

/// The moment that argument `index` names where only times after 1970 are allowed: in SET, SETEX, PSETEX, GETEX.
///
/// # Errors
/// When it is no integer, not positive, or out of range.
pub fn positive_moment(
    call: &Call<'_>,
    index: usize,
    meaning: Meaning,
    command: &str,
) -> Result<Millis, Error> {
    let number = call.int(index)?;
    if number <= 0 {
        return Err(invalid_time(command));
    }
    meaning
        .moment(number, call.now())
        .ok_or_else(|| invalid_time(command))
}

/// Whether a key with this expiry would be gone already.
pub fn has_passed(call: &Call<'_>, moment: Millis) -> bool {
    moment < call.now()
}

/// Conditions of EXPIRE.
#[derive(Clone, Copy, Default)]
struct Conditions {
    without_expiry: bool,
    with_expiry: bool,
    later: bool,
    sooner: bool,
}

impl Conditions {
    fn parse(call: &Call<'_>) -> Result<Conditions, Error> {
        let mut conditions = Conditions::default();
        for index in 3..call.args.len() {
            if call.is(index, "nx") {
                conditions.without_expiry = true;
            } else if call.is(index, "xx") {
                conditions.with_expiry = true;
            } else if call.is(index, "gt") {
                conditions.later = true;
            } else if call.is(index, "lt") {
                conditions.sooner = true;
            } else {
                let option = call.args.at(index);
                return Err(error::quoting("ERR Unsupported option ", option, ""));
            }
        }
        let Conditions {
            without_expiry,
            with_expiry,
            later,
            sooner,
        } = conditions;
        if without_expiry && (with_expiry || later || sooner) {
            return Err(NX_AND_OTHERS.into());
        }
        if later && sooner {
            Err(GT_AND_LT.into())
        } else {
            Ok(conditions)
        }
    }

    /// Whether a key with this expiry gets the new one. A key without expiry lives longer than any other.
    fn allow(self, current: Option<Millis>, moment: Millis) -> bool {
        match current {
            None => !self.with_expiry && !self.later,
            Some(current) => {
                !(self.without_expiry
                    || self.later && moment <= current
                    || self.sooner && moment >= current)
            }
        }
    }
}

fn expire_with(
    call: &mut Call<'_>,
    out: &mut Writer<'_>,
    meaning: Meaning,
    command: &str,
) -> Reply {
    let conditions = Conditions::parse(call)?;
    let moment = meaning
        .moment(call.int(2)?, call.now())
        .ok_or_else(|| invalid_time(command))?;
    let key = call.key(1);
    let Some(entry) = lookup::before_write(call, key) else {
        out.int(0);
        return Ok(());
    };
    if !conditions.allow(entry.expiry(), moment) {
        out.int(0);
        return Ok(());
    }
    let (db, now) = (call.db, call.now());
    if moment <= now {
        call.core.shard.remove(db, key, now);
    } else {
        call.core.shard.set_expiry(db, key, Some(moment), now);
    }
    out.int(1);
    Ok(())
}

fn expire(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    expire_with(call, out, Meaning::SECONDS, "expire")
}

fn pexpire(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    expire_with(call, out, Meaning::MILLIS, "pexpire")
}

fn expireat(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    expire_with(call, out, Meaning::UNIX_SECONDS, "expireat")
}

fn pexpireat(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    expire_with(call, out, Meaning::UNIX_MILLIS, "pexpireat")
}

/// Milliseconds as whole seconds, halves upwards; exact up to the last millisecond of the range.
fn rounded_seconds(ms: i64) -> i64 {
    ((ms as u64 + MS_PER_S as u64 / 2) / MS_PER_S as u64) as i64
}

/// Answers -2 without a key, -1 without expiry, and else what `answer` makes of the expiry and the time of the call.
fn ask(call: &mut Call<'_>, out: &mut Writer<'_>, answer: fn(Millis, Millis) -> i64) -> Reply {
    let (key, now) = (call.key(1), call.now());
    let expiry = lookup::inspect(call, key).map(|entry: Entry<'_>| entry.expiry());
    out.int(match expiry {
        None => -2,
        Some(None) => -1,
        Some(Some(moment)) => answer(moment, now),
    });
    Ok(())
}

fn ttl(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    ask(call, out, |moment, now| {
        rounded_seconds(moment.since(now).max(0))
    })
}

fn pttl(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    ask(call, out, |moment, now| moment.since(now).max(0))
}

fn expiretime(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    ask(call, out, |moment, _| rounded_seconds(moment.0))
}

fn pexpiretime(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    ask(call, out, |moment, _| moment.0)
}

fn persist(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let key = call.key(1);
    let has_expiry = lookup::before_write(call, key).is_some_and(|entry| entry.expiry().is_some());
    if has_expiry {
        let (db, now) = (call.db, call.now());
        call.core.shard.set_expiry(db, key, None, now);
    }
    out.int(i64::from(has_expiry));
    Ok(())
}

const fn writer(
    name: &'static str,
    run: Run,
    arity: i32,
    since: &'static str,
    doc: (&'static str, &'static str),
) -> Command {
    Command {
        name,
        arity,
        flags: Flags::WRITE.and(Flags::FAST),
        keys: Keys::FIRST,
        key_flags: &["RW", "update"],
        categories: &["keyspace"],
        tips: &[],
        run,
        doc: Doc {
            summary: doc.0,
            since,
            group: "generic",
            complexity: "O(1)",
            syntax: doc.1,
        },
        subcommands: &[],
    }
}

const fn reader(
    name: &'static str,
    run: Run,
    tips: &'static [&'static str],
    since: &'static str,
    summary: &'static str,
) -> Command {
    Command {
        name,
        arity: 2,
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::FIRST,
        key_flags: &["RO", "access"],
        categories: &["keyspace"],
        tips,
        run,
        doc: Doc {
            summary,
            since,
            group: "generic",
            complexity: "O(1)",
            syntax: "key",
        },
        subcommands: &[],
    }
}

const CHANGES_WITH_TIME: &[&str] = &["nondeterministic_output"];

/// The commands of this family.
pub const ROWS: &[Command] = &[
    writer(
        "expire",
        Run::Owner(expire),
        -3,
        "1.0.0",
        (
            "Lets a key live for so many more seconds",
            "key seconds [NX | XX | GT | LT]",
        ),
    ),
    writer(
        "pexpire",
        Run::Owner(pexpire),
        -3,
        "2.6.0",
        (
            "Lets a key live for so many more milliseconds",
            "key milliseconds [NX | XX | GT | LT]",
        ),
    ),
    writer(
        "expireat",
        Run::Owner(expireat),
        -3,
        "1.2.0",
        (
            "Lets a key live until a Unix time in seconds",
            "key unix-time-seconds [NX | XX | GT | LT]",
        ),
    ),
    writer(
        "pexpireat",
        Run::Owner(pexpireat),
        -3,
        "2.6.0",
        (
            "Lets a key live until a Unix time in milliseconds",
            "key unix-time-milliseconds [NX | XX | GT | LT]",
        ),
    ),
    reader(
        "ttl",
        Run::Owner(ttl),
        CHANGES_WITH_TIME,
        "1.0.0",
        "How many seconds a key has left",
    ),
    reader(
        "pttl",
        Run::Owner(pttl),
        CHANGES_WITH_TIME,
        "2.6.0",
        "How many milliseconds a key has left",
    ),
    reader(
        "expiretime",
        Run::Owner(expiretime),
        &[],
        "7.0.0",
        "The Unix time in seconds at which a key ends",
    ),
    reader(
        "pexpiretime",
        Run::Owner(pexpiretime),
        &[],
        "7.0.0",
        "The Unix time in milliseconds at which a key ends",
    ),
    writer(
        "persist",
        Run::Owner(persist),
        2,
        "2.2.0",
        ("Takes a key's expiry away", "key"),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_does_not_fit_is_no_moment() {
        assert_eq!(Meaning::SECONDS.moment(i64::MAX, Millis(0)), None);
        assert_eq!(Meaning::SECONDS.moment(i64::MIN, Millis(0)), None);
        assert_eq!(Meaning::MILLIS.moment(i64::MAX, Millis(1)), None);
        assert_eq!(
            Meaning::UNIX_MILLIS.moment(i64::MAX, Millis(1)),
            Some(Millis(i64::MAX))
        );
        assert_eq!(
            Meaning::UNIX_SECONDS.moment(-1, Millis(1)),
            Some(Millis(-1000))
        );
    }

    #[test]
    fn seconds_are_rounded_to_the_nearest() {
        assert_eq!([499, 500, 1499, 1500].map(rounded_seconds), [0, 1, 1, 2]);
        assert_eq!(rounded_seconds(i64::MAX), 9_223_372_036_854_776);
    }
}
