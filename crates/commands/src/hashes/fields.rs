//! The grammar that commands on several fields share: FIELDS, how many, and their names; and the times of fields.
//! Never looks at a key: the caller does so first, since a key of another type comes before every mistake of grammar.
//! Source: the commands on expiring fields of Redis 7.4.

use crate::expiry::{Meaning, invalid_time};
use crate::{Call, Error};
use resp::Args;
use store::Millis;

/// What commands that read say to a bad number of fields.
pub const NOT_POSITIVE: &str = "ERR Number of fields must be a positive integer";
/// What HEXPIRE and its kin say to it.
pub const NOT_ABOVE_ZERO: &str = "ERR Parameter `numFields` should be greater than 0";
const NO_FIELDS: &str = "ERR Mandatory argument FIELDS is missing or not at the right position";
const NUMBER_DIFFERS: &str = "ERR The `numfields` parameter must match the number of arguments";
const NEGATIVE_TIME: &str = "ERR invalid expire time, must be >= 0";

/// The latest moment at which a field can end: 46 bits of milliseconds, the year 4199.
const MOMENT_MS_MAX: i64 = (1 << 46) - 1;
const MS_PER_S: i64 = 1000;

/// `FIELDS numfields field [field ...]` at the end of a command.
pub struct Fields<'a> {
    /// The names, at least one.
    pub names: Args<'a>,
}

impl<'a> Fields<'a> {
    /// Reads them from argument `at` on; `bad_number` is said to a number that is none, or not positive.
    ///
    /// # Errors
    /// The grammar's.
    pub fn read(call: &Call<'a>, at: usize, bad_number: &'static str) -> Result<Fields<'a>, Error> {
        if !call.is(at, "fields") {
            return Err(NO_FIELDS.into());
        }
        let number = call.args.get(at + 1).and_then(resp::number::parse_i64);
        let number = number.filter(|&number| number > 0).ok_or(bad_number)?;
        let names = call.args.from(at + 2);
        if usize::try_from(number) != Ok(names.len()) {
            return Err(NUMBER_DIFFERS.into());
        }
        Ok(Fields { names })
    }
}

/// The moment that argument `index` names as a field's end.
///
/// # Errors
/// It is no integer, negative, or out of range.
pub fn moment(
    call: &Call<'_>,
    index: usize,
    meaning: Meaning,
    command: &str,
) -> Result<Millis, Error> {
    let number = call.int(index)?;
    if number < 0 {
        return Err(NEGATIVE_TIME.into());
    }
    let unit_ms = if meaning.seconds { MS_PER_S } else { 1 };
    let since_ms = if meaning.relative { call.now().0 } else { 0 };
    number
        .checked_mul(unit_ms)
        .and_then(|number_ms| number_ms.checked_add(since_ms))
        .filter(|&moment_ms| moment_ms <= MOMENT_MS_MAX)
        .map(Millis)
        .ok_or_else(|| invalid_time(command))
}
