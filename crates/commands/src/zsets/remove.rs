//! Removing from sorted sets: by member, by range, and from either end.
//! Never removes members one by one where all of them go: the key goes, and is freed in steps.
//! Source: redis-server 7; ZMPOP encodes on the key's shard what it will remove there.

use std::ops::Range;

use resp::{Proto, Writer};
use store::{Door, Key, Kind, ZsetView};

use super::bounds::{By, NEGATIVE, Span, natural, positive};
use super::read::write_pair;
use crate::part::Taken;
use crate::row::Decision;
use crate::steps::taking::{self, Taker};
use crate::{Call, Error, Part, Reply, error, lookup, reading};

/// The sorted set that a command is about to change: neither counted nor touched.
fn before_write<'c>(call: &'c mut Call<'_>, key: Key<'_>) -> Result<Option<ZsetView<'c>>, Error> {
    let (db, now) = (call.db, call.now());
    match call.core.shard.view(db, key, false, now) {
        None => Ok(None),
        Some(view) => Ok(Some(view.zset().ok_or(error::WRONG_TYPE)?)),
    }
}

/// Removes the members of these ranks from a key that has `len`.
fn remove_ranks(call: &mut Call<'_>, key: Key<'_>, ranks: Range<usize>, len: usize) {
    if ranks.len() == len {
        let (db, now) = (call.db, call.now());
        call.core.shard.remove(db, key, now);
    } else if !ranks.is_empty()
        && let Ok(Some(door)) = open_again(call, key)
    {
        door.zset().remove_ranks(ranks);
    }
}

fn open_again<'c>(call: &'c mut Call<'_>, key: Key<'c>) -> Result<Option<store::Door<'c>>, Error> {
    lookup::open(call, key, Kind::Zset)
}

/// ZREM.
pub fn zrem(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (args, key) = (call.args, call.key(1));
    let mut removed = 0;
    if let Some(door) = lookup::open(call, key, Kind::Zset)? {
        let mut zset = door.zset();
        for index in 2..args.len() {
            removed += i64::from(zset.remove(args.at(index)));
        }
    }
    out.int(removed);
    Ok(())
}

/// ZREMRANGEBYRANK.
pub fn zremrangebyrank(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    remove_span(call, out, By::Rank)
}

/// ZREMRANGEBYSCORE.
pub fn zremrangebyscore(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    remove_span(call, out, By::Score)
}

/// ZREMRANGEBYLEX.
pub fn zremrangebylex(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    remove_span(call, out, By::Lex)
}

fn remove_span(call: &mut Call<'_>, out: &mut Writer<'_>, by: By) -> Reply {
    let span = Span::parse(call, by, 2, 3)?;
    let key = call.key(1);
    let found = before_write(call, key)?.map(|zset| (span.ranks(zset), zset.len()));
    let (ranks, len) = found.unwrap_or((0..0, 0));
    out.int(ranks.len() as i64);
    if is_long(call, key, &ranks, len) {
        let count = ranks.len() as i64;
        let (start, left) = (ranks.start, ranks.len());
        let taker = Removing { start, left };
        return Err(taking::begin(call, (key, Kind::Zset), taker, |out| {
            out.int(count);
        }));
    }
    if len > 0 {
        remove_ranks(call, key, ranks, len);
    }
    Ok(())
}

/// Which end a pop takes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Min,
    Max,
}

/// The ranks of the `count` members at an end.
fn ranks_at(end: End, count: u64, len: usize) -> Range<usize> {
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(len);
    match end {
        End::Min => 0..count,
        End::Max => len - count..len,
    }
}

/// Writes members from an end on.
fn write_from(out: &mut Writer<'_>, zset: ZsetView<'_>, end: End, count: u64, nests: bool) {
    let mut range = zset.range(ranks_at(end, count, zset.len()));
    while let Some((member, score)) = match end {
        End::Min => range.next(),
        End::Max => range.next_back(),
    } {
        write_pair(out, member, score, nests);
    }
}

/// ZPOPMIN.
pub fn zpopmin(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    pop(call, out, End::Min)
}

/// ZPOPMAX.
pub fn zpopmax(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    pop(call, out, End::Max)
}

fn pop(call: &mut Call<'_>, out: &mut Writer<'_>, end: End) -> Reply {
    let (count, nests) = match call.args.len() {
        2 => (1, false),
        3 => (natural(call, 2, NEGATIVE)?, out.proto() == Proto::Resp3),
        _ => return Err(error::SYNTAX.into()),
    };
    let key = call.key(1);
    let Some(zset) = before_write(call, key)? else {
        out.array(0);
        return Ok(());
    };
    let len = zset.len();
    let ranks = ranks_at(end, count, len);
    if reading::is_long(zset.bytes(), || (ranks.len(), len)) {
        let left = ranks.len();
        let taker = Popping { end, nests, left };
        let header = if nests { left } else { 2 * left };
        return Err(taking::begin(call, (key, Kind::Zset), taker, |out| {
            out.array(header);
        }));
    }
    out.array(if nests { ranks.len() } else { 2 * ranks.len() });
    write_from(out, zset, end, count, nests);
    remove_ranks(call, key, ranks, len);
    Ok(())
}

/// Whether it takes long to remove these ranks, but not all.
fn is_long(call: &Call<'_>, key: Key<'_>, ranks: &Range<usize>, len: usize) -> bool {
    // Where all go it is not done one by one.
    ranks.len() < len && !ranks.is_empty() && {
        let view = call.core.shard.view_beside(call.db, key, call.now());
        let bytes = view
            .and_then(|view| view.zset())
            .map_or(0, |zset| zset.bytes());
        reading::is_long(bytes, || (ranks.len(), len))
    }
}

/// Members of ranks that are removed.
struct Removing {
    start: usize,
    left: usize,
}

impl Taker for Removing {
    fn take(&mut self, door: Door<'_>, _: &mut Writer<'_>) -> bool {
        let mut zset = door.zset();
        let count = taking::share(self.left, (zset.view().len(), zset.view().bytes()));
        zset.remove_ranks(self.start..self.start + count);
        self.left -= count;
        self.left > 0
    }
}

/// Members that are popped from an end.
struct Popping {
    end: End,
    nests: bool,
    left: usize,
}

impl Taker for Popping {
    fn take(&mut self, door: Door<'_>, out: &mut Writer<'_>) -> bool {
        let mut zset = door.zset();
        let len = zset.view().len();
        let count = taking::share(self.left, (len, zset.view().bytes()));
        write_from(out, zset.view(), self.end, count as u64, self.nests);
        zset.remove_ranks(ranks_at(self.end, count as u64, len));
        self.left -= count;
        self.left > 0
    }
}

/// What ZMPOP is asked for.
struct Mpop {
    keys: usize,
    end: End,
    count: u64,
}

impl Mpop {
    fn parse(call: &Call<'_>) -> Result<Mpop, Error> {
        const BAD_KEYS: &str = "ERR numkeys should be greater than 0";
        const BAD_COUNT: &str = "ERR count should be greater than 0";
        let keys = usize::try_from(positive(call, 1, BAD_KEYS)?).unwrap_or(usize::MAX);
        let word = keys.saturating_add(2);
        let end = if call.is(word, "min") {
            End::Min
        } else if call.is(word, "max") {
            End::Max
        } else {
            return Err(error::SYNTAX.into());
        };
        let (mut count, mut at) = (None, word + 1);
        while at < call.args.len() {
            if count.is_some() || !call.is(at, "count") || at + 1 == call.args.len() {
                return Err(error::SYNTAX.into());
            }
            count = Some(positive(call, at + 1, BAD_COUNT)?);
            at += 2;
        }
        Ok(Mpop {
            keys,
            end,
            count: count.unwrap_or(1),
        })
    }
}

/// Encodes what the first of this core's keys that exists would give.
pub fn prepare_zmpop(call: &mut Call<'_>, part: &mut Part) -> Reply {
    let Mpop { keys, end, count } = Mpop::parse(call)?;
    for index in 2..2 + keys {
        if !call.owns(index) {
            continue;
        }
        let (key, proto) = (call.other_key(index), call.proto);
        let content = match before_write(call, key) {
            Ok(None) => continue,
            Ok(Some(zset)) => {
                let mut reply = Vec::new();
                let mut out = Writer::new(&mut reply, proto);
                out.array(2);
                out.bulk(key.bytes);
                out.array(ranks_at(end, count, zset.len()).len());
                write_from(&mut out, zset, end, count, true);
                Ok(reply)
            }
            Err(error) => Err(error),
        };
        *part = Part::Taken(Taken { index, content });
        break;
    }
    Ok(())
}

/// Answers what the first key that exists gives, and has its shard remove that.
pub fn decide_zmpop(
    _: &mut Call<'_>,
    parts: &mut [Part],
    out: &mut Writer<'_>,
) -> Result<Decision, Error> {
    let first = parts
        .iter_mut()
        .filter_map(|part| match std::mem::take(part) {
            Part::Taken(taken) => Some((part, taken)),
            _ => None,
        })
        .min_by_key(|(_, taken)| taken.index);
    let Some((part, Taken { index, content })) = first else {
        out.null_array();
        return Ok(Decision::Abort);
    };
    out.raw(&content?);
    *part = Part::Count(index as i64);
    Ok(Decision::Commit)
}

/// Removes what was answered, on the shard that has it.
pub fn commit_zmpop(call: &mut Call<'_>, part: &mut Part) {
    let Part::Count(index) = *part else {
        return;
    };
    let Mpop { end, count, .. } = Mpop::parse(call).expect("the arguments were read before");
    let key = call.other_key(index as usize);
    if let Ok(Some(zset)) = before_write(call, key) {
        let len = zset.len();
        remove_ranks(call, key, ranks_at(end, count, len), len);
    }
}
