//! MEMORY CURVE: the hit ratio that other sizes of memory would have had.
//! No simulation here: shards watch their own reads, the store merges what they saw.
//! Source: docs/memory.md.

use crate::config::MaxMemoryPolicy;
use crate::{Call, Core, Error, Part, Progress, Reply, error};
use resp::Writer;
use store::curve::{CurvePoint, Figures, Memory, MissRatioCurve, SIZES, Served};

/// Points that may be asked for.
const POINTS_MIN: i64 = 2;
const POINTS_MAX: i64 = 100;
const POINTS_RANGE: &str = "ERR POINTS must be between 2 and 100";
const CURVE_OFF: &str = "ERR the curve is not drawn while 'memory-curve' is no";
/// Keys whose prefix is not counted by itself.
const OTHER: &[u8] = b"(other)";
/// Prefixes that are listed.
const PREFIXES_MAX: usize = 16;
/// Sizes are multiples of the limit from this share of it on that is used, in hundredths; of what is used below. They stay
/// multiples of the limit down to the second.
const LIMIT_BINDS_PERCENT: u64 = 50;
const LIMIT_STAYS_PERCENT: u64 = 40;
/// The curve's sample takes about this part of a shard's share of the limit at most: what it takes is room for keys.
const CURVE_PART: u64 = 64;
/// Nor more than this part of its share of what the limit leaves beside the start: what an empty server has is no room for
/// keys, and of many shards it is the most.
const CURVE_PART_OF_ROOM: u64 = 32;
/// Keys that are followed to know what nobody uses take this part of the same. From the second day on there are two such lists.
const FOLLOWED_PART: u64 = 128;

impl Core {
    /// Tells the shard's miss-ratio curve what the memory is. A few times a second, and before the curve is asked for.
    pub fn tick_curve(&mut self) {
        let room_bytes = self.room_share_bytes();
        let limit_bytes = match self.config.maxmemory_bytes {
            0 => u64::MAX,
            limit_bytes => limit_bytes / u64::from(self.shards),
        };
        let allowed_bytes = (limit_bytes / CURVE_PART).min(room_bytes / CURVE_PART_OF_ROOM);
        self.shard.allow_curve(allowed_bytes, self.now);
        self.shard.allow_followed(room_bytes / FOLLOWED_PART);
        let memory = self.curve_memory();
        let served = Served {
            hits: self.stats.keyspace_hits,
            misses: self.stats.keyspace_misses,
        };
        self.shard.tick_curve(memory, served, self.now);
    }

    fn curve_memory(&self) -> Memory {
        let limit_bytes = self.config.maxmemory_bytes;
        let room_bytes = -self.debt_bytes();
        let used_bytes = limit_bytes.saturating_add_signed(-room_bytes);
        let percent = if self.shard.curve().is_limited() {
            LIMIT_STAYS_PERCENT
        } else {
            LIMIT_BINDS_PERCENT
        };
        if limit_bytes == 0 || used_bytes / percent < limit_bytes / 100 {
            return Memory {
                limit_bytes: None,
                share_bytes: self.limited_bytes().max(0) as u64,
                room_bytes: 0,
            };
        }
        let share = self.data_share();
        Memory {
            limit_bytes: Some(limit_bytes),
            share_bytes: (limit_bytes as f64 * share) as u64,
            room_bytes: (room_bytes as f64 * share) as i64,
        }
    }
}

/// What a call asks for.
struct Asked<'a> {
    points: usize,
    prefix: Option<&'a [u8]>,
}

fn asked<'a>(call: &'a Call<'_>) -> Result<Asked<'a>, Error> {
    let mut asked = Asked {
        points: SIZES,
        prefix: None,
    };
    let mut at = 2;
    while at < call.args.len() {
        if at + 1 == call.args.len() {
            return Err(error::SYNTAX.into());
        }
        if call.is(at, "points") {
            let points = call.int(at + 1)?;
            if !(POINTS_MIN..=POINTS_MAX).contains(&points) {
                return Err(POINTS_RANGE.into());
            }
            asked.points = points as usize;
        } else if call.is(at, "prefix") {
            let prefix = call.args.at(at + 1);
            asked.prefix = Some(if prefix == OTHER { b"" } else { prefix });
        } else {
            return Err(error::SYNTAX.into());
        }
        at += 2;
    }
    if !call.core.config.memory_curve {
        return Err(CURVE_OFF.into());
    }
    Ok(asked)
}

pub(super) fn check(call: &mut Call<'_>) -> Reply {
    asked(call).map(drop)
}

pub(super) fn part(call: &mut Call<'_>, part: &mut Part) -> Result<Progress, Error> {
    call.core.tick_curve();
    *part = Part::Curve(Box::new(call.core.shard.curve().figures()));
    Ok(Progress::Done)
}

pub(super) fn merge(call: &mut Call<'_>, parts: &mut [Part], out: &mut Writer<'_>) -> Reply {
    let figures = |part: &mut Part| match std::mem::take(part) {
        Part::Curve(figures) => *figures,
        other => unreachable!("every shard gives its figures, not {other:?}"),
    };
    let shards: Vec<Figures> = parts.iter_mut().map(figures).collect();
    let Asked { points, prefix } = asked(call)?;
    let curve = match prefix {
        Some(prefix) => MissRatioCurve::of_prefix(&shards, prefix),
        None => MissRatioCurve::of(&shards),
    };
    let memory = |figures: &Figures| figures.memory;
    let limit_bytes = shards.iter().find_map(|shard| memory(shard)?.limit_bytes);
    let used_bytes: u64 = shards
        .iter()
        .filter_map(memory)
        .map(|memory| memory.share_bytes)
        .sum();
    let today = Today {
        bytes: limit_bytes.unwrap_or(used_bytes),
        basis: if limit_bytes.is_some() {
            "maxmemory"
        } else {
            "used-memory"
        },
        policy: simulated(call.core.config.maxmemory_policy).name(),
    };
    write(
        out,
        &curve,
        &today,
        points,
        &MissRatioCurve::prefixes(&shards),
    );
    Ok(())
}

/// The policy that is simulated. Without eviction: what our own would have made of each size.
fn simulated(policy: MaxMemoryPolicy) -> MaxMemoryPolicy {
    match policy {
        MaxMemoryPolicy::NoEviction => MaxMemoryPolicy::AllKeysIfs,
        policy => policy,
    }
}

/// What the sizes are multiples of.
struct Today {
    bytes: u64,
    basis: &'static str,
    policy: &'static str,
}

impl Today {
    fn bytes_of(&self, point: &CurvePoint) -> i64 {
        (self.bytes as f64 * point.times) as i64
    }
}

fn write(
    out: &mut Writer<'_>,
    curve: &MissRatioCurve,
    today: &Today,
    points: usize,
    prefixes: &[(Box<[u8]>, f64)],
) {
    let is_drawn = !curve.points.is_empty();
    let at = |times: f64| Some(curve.at(times)?.hit_ratio);
    out.map(16);
    text(out, "policy", today.policy);
    int(
        out,
        "references",
        if is_drawn { curve.references as i64 } else { 0 },
    );
    int(out, "sampled.references", curve.sampled_references as i64);
    int(out, "sampled.keys", curve.sampled_keys as i64);
    text(out, "memory.basis", today.basis);
    int(out, "memory.bytes", today.bytes as i64);
    ratio(out, "hit-ratio", is_drawn.then_some(curve.hit_ratio));
    ratio(out, "hit-ratio.0.5x", at(0.5));
    ratio(out, "hit-ratio.2x", at(2.0));
    ratio(out, "hit-ratio.4x", at(4.0));
    ratio(out, "error", is_drawn.then_some(curve.error));
    ratio(out, "correction", is_drawn.then_some(curve.correction));
    let knee = curve.knee();
    out.bulk(b"knee.bytes");
    match &knee {
        Some(knee) => out.int(today.bytes_of(knee)),
        None => out.null(),
    }
    ratio(out, "knee.hit-ratio", knee.map(|knee| knee.hit_ratio));
    out.bulk(b"points");
    let points = curve.points_at_equal_factors(points);
    out.array(points.len());
    for point in points {
        out.array(3);
        out.int(today.bytes_of(&point));
        out.double(rounded(point.hit_ratio));
        out.double(rounded(point.error));
    }
    out.bulk(b"prefixes");
    let prefixes = &prefixes[..prefixes.len().min(PREFIXES_MAX)];
    out.map(prefixes.len());
    for (name, share) in prefixes {
        out.bulk(if name.is_empty() { OTHER } else { name });
        out.double(rounded(*share));
    }
}

fn text(out: &mut Writer<'_>, name: &str, value: &str) {
    out.bulk(name.as_bytes());
    out.bulk(value.as_bytes());
}

fn int(out: &mut Writer<'_>, name: &str, value: i64) {
    out.bulk(name.as_bytes());
    out.int(value);
}

/// Of 0 to 1; null where nothing is known.
fn ratio(out: &mut Writer<'_>, name: &str, ratio: Option<f64>) {
    out.bulk(name.as_bytes());
    match ratio {
        Some(ratio) => out.double(rounded(ratio)),
        None => out.null(),
    }
}

/// What is beyond four decimals is noise.
fn rounded(ratio: f64) -> f64 {
    (ratio * 10_000.0).round() / 10_000.0
}
