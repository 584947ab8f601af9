//! Walks over all databases of a shard: digests of what is there, RELOAD through payloads, and POPULATE.
//! Never holds a core for longer than a step, nor shows a key twice.
//! Source: DEBUG DIGEST, RELOAD and POPULATE of redis-server 7.

use super::digest::{self, Digest};
use crate::room::{self, Room};
use crate::{Call, Error, Part, Progress, lookup};
use resp::Writer;
use store::{Covered, Detached, Expiry, Value};

/// Slots of a table that a step visits.
const SLOTS_PER_STEP: usize = 256;
/// Numbers that a step of POPULATE looks at.
const NUMBERS_PER_STEP: u64 = 4096;

/// A walk over all databases of a shard.
#[derive(Debug, Default)]
pub struct Tour {
    db: usize,
    cursor: u64,
    covered: Covered,
    begun: bool,
    /// The mixture of what was met.
    digest: Digest,
}

impl Tour {
    /// The keys of the next step, each shown once; `None` at the end.
    fn step(&mut self, call: &Call<'_>) -> Option<(usize, Vec<Vec<u8>>)> {
        let shard = &call.core.shard;
        let db = self.db;
        if db == shard.databases() {
            return None;
        }
        let mut keys = Vec::new();
        let Tour {
            covered,
            begun,
            cursor,
            ..
        } = self;
        *cursor = shard.scan(db, *cursor, SLOTS_PER_STEP, call.now(), &mut |key, _| {
            if !(*begun && covered.has(shard.hash(key))) {
                keys.push(key.to_vec());
            }
        });
        self.begun = true;
        self.covered.note(self.cursor);
        if self.cursor == 0 {
            *self = Tour {
                db: db + 1,
                digest: self.digest,
                ..Tour::default()
            };
        }
        Some((db, keys))
    }
}

fn tour_of(part: &mut Part) -> &mut Tour {
    if let Part::Empty = part {
        *part = Part::Tour(Box::default());
    }
    match part {
        Part::Tour(tour) => tour,
        other => unreachable!("a tour has no {other:?}"),
    }
}

/// Mixes the next keys into the digest.
pub fn digest_step(call: &mut Call<'_>, part: &mut Part) -> Progress {
    let tour = tour_of(part);
    let Some((db, keys)) = tour.step(call) else {
        return Progress::Done;
    };
    let now = call.now();
    for bytes in keys {
        let key = call.core.shard.key(&bytes);
        if let Some((content, expiry)) = call.core.shard.plain_copy(db, key, now) {
            tour.digest
                .mix(digest::of_key(db, &bytes, &content, expiry));
        }
    }
    Progress::Again
}

/// The digest of all shards.
pub fn mixed(parts: &[Part]) -> Digest {
    let mut mixed = Digest::default();
    for part in parts {
        match part {
            Part::Tour(tour) => mixed.mix(tour.digest),
            other => unreachable!("a digest has tours as parts, not {other:?}"),
        }
    }
    mixed
}

/// The digests of the values of those keys that lie here, with their places among the arguments.
pub fn digests_of_keys(call: &mut Call<'_>) -> Vec<(u64, String)> {
    let (db, now) = (call.db, call.now());
    let mut digests = Vec::new();
    for index in 2..call.args.len() {
        if call.owns(index) {
            let key = call.other_key(index);
            let copy = call.core.shard.plain_copy(db, key, now);
            let digest = copy.map_or(Digest::default(), |(content, _)| digest::of_value(&content));
            digests.push((index as u64, digest.text()));
        }
    }
    digests
}

/// Answers the digests in the order of the keys.
pub fn write_digests(call: &Call<'_>, parts: &mut [Part], out: &mut Writer<'_>) {
    let lines = |part| match part {
        Part::Lines(lines) => lines,
        other => unreachable!("digests come as lines, not {other:?}"),
    };
    let mut digests: Vec<(u64, String)> = parts
        .iter_mut()
        .map(std::mem::take)
        .flat_map(lines)
        .collect();
    digests.sort_unstable();
    out.array(call.args.len() - 2);
    digests.iter().for_each(|(_, text)| out.simple(text));
}

/// Takes the next keys through DUMP and RESTORE.
///
/// # Errors
/// A payload that does not come back is a mistake of ours.
pub fn reload_step(call: &mut Call<'_>, part: &mut Part) -> Result<Progress, Error> {
    let tour = tour_of(part);
    let Some((db, keys)) = tour.step(call) else {
        return Ok(Progress::Done);
    };
    let now = call.now();
    for bytes in keys {
        let key = call.core.shard.key(&bytes);
        let Some((content, expiry)) = call.core.shard.plain_copy(db, key, now) else {
            continue;
        };
        let payload = rdb::encode(&content);
        let content = rdb::decode(&payload, now).map_err(|_| {
            Error::from(format!(
                "ERR Error trying to load the value of {}",
                bytes.escape_ascii()
            ))
        })?;
        call.core
            .shard
            .put(db, key, Detached::of(content, expiry), now);
    }
    Ok(Progress::Again)
}

/// What POPULATE makes.
pub struct Population {
    count: u64,
    prefix: String,
    size: usize,
}

/// The keys that POPULATE is asked for.
///
/// # Errors
/// A count or size that is none.
pub fn population(call: &Call<'_>) -> Result<Population, Error> {
    let negative = |index| -> Result<u64, Error> {
        let number = call.int(index)?;
        u64::try_from(number).map_err(|_| "ERR value is out of range, must be positive".into())
    };
    let count = negative(2)?;
    let prefix = call.args.get(3).unwrap_or(b"key");
    let size = if call.args.len() == 5 {
        negative(4)? as usize
    } else {
        0
    };
    if size as u64 > call.core.config.proto_max_bulk_len {
        return Err(crate::error::OUT_OF_RANGE.into());
    }
    Ok(Population {
        count,
        prefix: String::from_utf8_lossy(prefix).into_owned(),
        size,
    })
}

/// Makes those of the next keys that belong here and are missing.
///
/// # Errors
/// No memory.
pub fn populate_step(
    call: &mut Call<'_>,
    part: &mut Part,
    population: &Population,
) -> Result<Progress, Error> {
    let start = match part {
        Part::Count(next) => *next as u64,
        _ => 0,
    };
    let end = start.saturating_add(NUMBERS_PER_STEP).min(population.count);
    let (db, now) = (call.db, call.now());
    for number in start..end {
        let text = format!("{}:{number}", population.prefix);
        if call.core.owner(text.as_bytes()) != call.core.id {
            continue;
        }
        let key = call.core.shard.key(text.as_bytes());
        if lookup::lives(call, key) {
            continue;
        }
        match room::ask_for(call.core, population.size, key.hash) {
            Room::Yes => {}
            Room::Unsettled | Room::Wait => {
                *part = Part::Count(number as i64);
                return Ok(Progress::Again);
            }
            Room::No => return Err(crate::error::OUT_OF_MEMORY.into()),
        }
        let mut value = format!("value:{number}").into_bytes();
        if population.size > 0 {
            value.resize(population.size, 0);
        }
        let value = Value::from_bytes(&value);
        call.core.shard.set(db, key, value, Expiry::Clear, now);
    }
    *part = Part::Count(end as i64);
    Ok(if end < population.count {
        Progress::Again
    } else {
        Progress::Done
    })
}
