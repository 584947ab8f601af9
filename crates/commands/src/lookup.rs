//! Looking keys up for commands: with or without a touch, counted as hits and misses as Redis counts them.
//! Never changes a value, and never shows an expired key.
//! Source: redis-server 7 for which commands count and which touch.

use crate::{Call, Error, error};
use resp::Writer;
use store::{Door, Entry, Item, Key, Kind, Value, View, WrongKind};

/// Looks up a key that a command reads: counts a hit or a miss, and touches the key unless the client asked not to.
#[inline]
pub fn read<'c>(call: &'c mut Call<'_>, key: Key<'_>) -> Option<Entry<'c>> {
    if call.no_touch {
        return inspect(call, key);
    }
    let (db, now) = (call.db, call.now());
    let core = &mut *call.core;
    let found = core.shard.read(db, key, now);
    *(if found.is_some() {
        &mut core.stats.keyspace_hits
    } else {
        &mut core.stats.keyspace_misses
    }) += 1;
    found
}

/// Looks up a key that a command only asks about (TTL, TYPE, OBJECT): counts, and never touches.
#[inline]
pub fn inspect<'c>(call: &'c mut Call<'_>, key: Key<'_>) -> Option<Entry<'c>> {
    let (db, now) = (call.db, call.now());
    let core = &mut *call.core;
    let found = core.shard.peek(db, key, now);
    *(if found.is_some() {
        &mut core.stats.keyspace_hits
    } else {
        &mut core.stats.keyspace_misses
    }) += 1;
    found
}

/// Looks up a key that a command is about to write: neither counts nor touches.
#[inline]
pub fn before_write<'c>(call: &'c mut Call<'_>, key: Key<'_>) -> Option<Entry<'c>> {
    let (db, now) = (call.db, call.now());
    call.core.shard.peek(db, key, now)
}

/// Whether a key that a command is about to write lives.
#[inline]
pub fn lives(call: &mut Call<'_>, key: Key<'_>) -> bool {
    before_write(call, key).is_some()
}

/// As [`read`], for a command that works on strings.
#[inline]
pub fn read_string<'c>(call: &'c mut Call<'_>, key: Key<'_>) -> Result<Option<Value<'c>>, Error> {
    string_of(read(call, key))
}

/// As [`before_write`], for a command that works on strings.
#[inline]
pub fn string_before_write<'c>(
    call: &'c mut Call<'_>,
    key: Key<'_>,
) -> Result<Option<Value<'c>>, Error> {
    string_of(before_write(call, key))
}

#[inline]
fn string_of(found: Option<Entry<'_>>) -> Result<Option<Value<'_>>, Error> {
    match found {
        Some(entry) if entry.is_string() => Ok(Some(entry.value())),
        Some(_) => Err(error::WRONG_TYPE.into()),
        None => Ok(None),
    }
}

/// Looks up a key that a command reads, whatever it holds: counts and touches as [`read`] does.
pub fn view<'c>(call: &'c mut Call<'_>, key: Key<'_>) -> Option<View<'c>> {
    let (db, now, touches) = (call.db, call.now(), !call.no_touch);
    let core = &mut *call.core;
    let found = core.shard.view(db, key, touches, now);
    *(if found.is_some() {
        &mut core.stats.keyspace_hits
    } else {
        &mut core.stats.keyspace_misses
    }) += 1;
    found
}

/// As [`view`], for a command that works on one kind of collection: what `of` makes of it.
///
/// # Errors
/// The key holds another type.
pub fn read_as<'c, T>(
    call: &'c mut Call<'_>,
    key: Key<'_>,
    of: impl FnOnce(&View<'c>) -> Option<T>,
) -> Result<Option<T>, Error> {
    match view(call, key) {
        None => Ok(None),
        Some(view) => match of(&view) {
            Some(collection) => Ok(Some(collection)),
            None => Err(error::WRONG_TYPE.into()),
        },
    }
}

/// Opens the collection of a key for change; `None` if the key is missing.
///
/// # Errors
/// The key holds another type.
pub fn open<'c>(
    call: &'c mut Call<'_>,
    key: Key<'c>,
    kind: Kind,
) -> Result<Option<Door<'c>>, Error> {
    let (db, now) = (call.db, call.now());
    call.core
        .shard
        .open(db, key, kind, now)
        .map_err(|WrongKind| error::WRONG_TYPE.into())
}

/// Opens the collection of a key for change, a new one if the key is missing.
///
/// # Errors
/// The key holds another type.
pub fn open_or_new<'c>(
    call: &'c mut Call<'_>,
    key: Key<'c>,
    kind: Kind,
) -> Result<Door<'c>, Error> {
    let (db, now) = (call.db, call.now());
    call.core
        .shard
        .open_or_new(db, key, kind, now)
        .map_err(|WrongKind| error::WRONG_TYPE.into())
}

/// Writes an element as a bulk string.
#[inline]
pub fn bulk_item(out: &mut Writer<'_>, item: Item<'_>) {
    match item {
        Item::Bytes(bytes) => out.bulk(bytes),
        Item::Int(number) => out.bulk_int(number),
    }
}

/// Writes a value as a bulk string.
#[inline]
pub fn bulk(out: &mut Writer<'_>, value: Value<'_>) {
    match value {
        Value::Bytes { bytes, .. } => out.bulk(bytes),
        Value::Int(number) => out.bulk_int(number),
    }
}

/// Writes what a lookup found as a bulk string, or nil. Says whether it found something.
#[inline]
pub fn bulk_or_null(out: &mut Writer<'_>, found: Option<Value<'_>>) -> bool {
    match found {
        Some(value) => bulk(out, value),
        None => out.null(),
    }
    found.is_some()
}

/// Calls `with` with a value's text; an integer's is made on the stack.
#[inline]
pub fn with_text<T>(value: Value<'_>, with: impl FnOnce(&[u8]) -> T) -> T {
    match value {
        Value::Bytes { bytes, .. } => with(bytes),
        Value::Int(number) => with(itoa::Buffer::new().format(number).as_bytes()),
    }
}

/// Argument `index` as a 32-bit signed integer, with Redis' two texts for what is none.
pub fn int_32(call: &Call<'_>, index: usize) -> Result<i64, Error> {
    const RANGE: &str = "ERR value is out of range, value must between -2147483648 and 2147483647";
    let number = call.int(index)?;
    if i32::try_from(number).is_err() {
        Err(RANGE.into())
    } else {
        Ok(number)
    }
}

/// Argument `index` as a 64-bit signed integer whose negation is one too, as where its sign chooses a direction.
pub fn signed(call: &Call<'_>, index: usize) -> Result<i64, Error> {
    const RANGE: &str = "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
    match call.int(index)? {
        i64::MIN => Err(RANGE.into()),
        number => Ok(number),
    }
}

/// Argument `index` as the number of a database.
pub fn database(call: &Call<'_>, index: usize) -> Result<usize, Error> {
    let number = int_32(call, index)?;
    let databases = call.core.shard.databases() as i64;
    if (0..databases).contains(&number) {
        Ok(number as usize)
    } else {
        Err(error::DB_OUT_OF_RANGE.into())
    }
}
