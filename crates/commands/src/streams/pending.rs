//! Commands on what a group has pending: XPENDING XCLAIM XAUTOCLAIM.
//! Never an entry that was deleted: what claims meet of it is dropped from the group.
//! Source: redis-server 7, in the order of its checks.

use super::groups::{open_group, read_group};
use super::ids;
use crate::{Call, Error, Reply, error, reply_limit::ReplyLimit};
use resp::Writer;
use std::collections::HashSet;
use store::{ConsumerId, Group, Millis, PendingEntry, StreamEdit, StreamId};

/// The part of XPENDING's arguments that asks for single entries.
struct Extended {
    idle_ms_min: i64,
    start: StreamId,
    end: StreamId,
    count: usize,
    /// Index of the consumer's name.
    consumer: Option<usize>,
}

impl Extended {
    /// Reads it; nothing where only a summary is asked for.
    fn of(call: &Call<'_>) -> Result<Option<Extended>, Error> {
        let argc = call.args.len();
        match argc {
            3 => return Ok(None),
            6..=9 => {}
            _ => return Err(error::SYNTAX.into()),
        }
        let (mut index, mut idle_ms_min) = (3, 0);
        if call.is(3, "idle") {
            idle_ms_min = call.int(4)?;
            if argc < 8 {
                return Err(error::SYNTAX.into());
            }
            index = 5;
        }
        let count = call.int(index + 2)?.max(0) as usize;
        Ok(Some(Extended {
            idle_ms_min,
            start: ids::parse_start(call.args.at(index))?,
            end: ids::parse_end(call.args.at(index + 1))?,
            count,
            consumer: (index + 3 < argc).then_some(index + 3),
        }))
    }
}

pub(super) fn pending(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (extended, args, now) = (Extended::of(call)?, call.args, call.now());
    let (_, group) = read_group(call)?;
    let Some(asked) = extended else {
        write_summary(out, group);
        return Ok(());
    };
    let Some(index) = asked.consumer else {
        write_pending(out, group, group.pending_from(asked.start), &asked, now);
        return Ok(());
    };
    match group.find_consumer(args.at(index)) {
        Some(consumer) => {
            let own = group.pending_of(consumer, asked.start);
            write_pending(out, group, own, &asked, now);
        }
        None => out.array(0),
    }
    Ok(())
}

fn write_summary(out: &mut Writer<'_>, group: &Group) {
    out.array(4);
    out.int(group.pending_len() as i64);
    let mut all = group.pending_from(StreamId::MIN);
    let Some(first) = all.next() else {
        out.null();
        out.null();
        out.null_array();
        return;
    };
    ids::write(out, first.id);
    ids::write(out, all.next_back().unwrap_or(first).id);
    let owners = || {
        group
            .consumers()
            .filter(|(_, consumer)| consumer.pending_len() > 0)
    };
    out.array(owners().count());
    for (_, consumer) in owners() {
        out.array(2);
        out.bulk(consumer.name());
        out.bulk_int(consumer.pending_len() as i64);
    }
}

fn write_pending(
    out: &mut Writer<'_>,
    group: &Group,
    walk: impl Iterator<Item = PendingEntry>,
    asked: &Extended,
    now: Millis,
) {
    let is_idle = |entry: &PendingEntry| {
        asked.idle_ms_min == 0 || now.since(entry.delivered) >= asked.idle_ms_min
    };
    let mut written = 0;
    let array = out.deferred_array();
    let within = walk.take_while(|entry| entry.id <= asked.end);
    for entry in within.filter(is_idle).take(asked.count) {
        out.array(4);
        ids::write(out, entry.id);
        out.bulk(group.consumer(entry.consumer).name());
        out.int(now.since(entry.delivered).max(0));
        out.int(entry.deliveries as i64);
        written += 1;
    }
    out.finish(array, written);
}

/// Argument `index` as an integer, with an error text of its option's own.
fn int_of(call: &Call<'_>, index: usize, refusal: &'static str) -> Result<i64, Error> {
    call.int(index).map_err(|_| refusal.into())
}

/// What XCLAIM's arguments say.
struct Claim {
    idle_ms_min: i64,
    ids: Vec<StreamId>,
    /// When the entries count as delivered.
    delivered: Millis,
    deliveries: Option<u64>,
    forces: bool,
    only_ids: bool,
    last_id: StreamId,
}

impl Claim {
    fn of(call: &Call<'_>) -> Result<Claim, Error> {
        const IDLE_MIN: &str = "ERR Invalid min-idle-time argument for XCLAIM";
        const IDLE: &str = "ERR Invalid IDLE option argument for XCLAIM";
        const TIME: &str = "ERR Invalid TIME option argument for XCLAIM";
        const RETRYCOUNT: &str = "ERR Invalid RETRYCOUNT option argument for XCLAIM";
        let (args, now) = (call.args, call.now());
        let mut claim = Claim {
            idle_ms_min: int_of(call, 4, IDLE_MIN)?.max(0),
            ids: Vec::new(),
            delivered: now,
            deliveries: None,
            forces: false,
            only_ids: false,
            last_id: StreamId::MIN,
        };
        claim
            .ids
            .extend((5..args.len()).map_while(|index| ids::parse(args.at(index), 0).ok()));
        let mut index = 5 + claim.ids.len();
        while index < args.len() {
            let has_more = index + 1 < args.len();
            if call.is(index, "force") {
                claim.forces = true;
            } else if call.is(index, "justid") {
                claim.only_ids = true;
            } else if has_more && call.is(index, "idle") {
                index += 1;
                claim.delivered = Millis(now.0.saturating_sub(int_of(call, index, IDLE)?));
            } else if has_more && call.is(index, "time") {
                index += 1;
                claim.delivered = Millis(int_of(call, index, TIME)?);
            } else if has_more && call.is(index, "retrycount") {
                index += 1;
                claim.deliveries = u64::try_from(int_of(call, index, RETRYCOUNT)?).ok();
            } else if has_more && call.is(index, "lastid") {
                index += 1;
                claim.last_id = ids::parse(args.at(index), 0)?;
            } else {
                let option = args.at(index);
                return Err(error::quoting(
                    "ERR Unrecognized XCLAIM option '",
                    option,
                    "'",
                ));
            }
            index += 1;
        }
        // A moment that cannot be is a client's wrong clock, not an error.
        if !(0..=now.0).contains(&claim.delivered.0) {
            claim.delivered = now;
        }
        Ok(claim)
    }
}

pub(super) fn claim(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (claim, args, now) = (Claim::of(call), call.args, call.now());
    let limit = ReplyLimit::of(call);
    let (mut stream, group) = open_group(call)?;
    let claim = claim?;
    if !claim.only_ids {
        limit.check(claim.bytes_again(&stream))?;
    }
    let consumer = stream.edit_group(group, |group| {
        if claim.last_id > group.last_id() {
            group.set_last_id(claim.last_id, group.entries_read());
        }
        opened(group, args.at(3), now)
    });
    let mut claimed = 0;
    let array = out.deferred_array();
    for &id in &claim.ids {
        let before = stream.group(group).pending(id);
        if stream.entry(id).is_none() {
            if before.is_some() {
                stream.edit_group(group, |group| group.acknowledge(id));
            }
            continue;
        }
        let before = match before {
            Some(before) if now.since(before.delivered) >= claim.idle_ms_min => Some(before),
            Some(_) => None,
            None if claim.forces => Some(PendingEntry {
                id,
                consumer,
                delivered: now,
                deliveries: 1,
            }),
            None => None,
        };
        let Some(before) = before else { continue };
        let counted = before.deliveries.saturating_add(u64::from(!claim.only_ids));
        let deliveries = claim.deliveries.unwrap_or(counted);
        take_over(
            &mut stream,
            group,
            id,
            consumer,
            (claim.delivered, deliveries),
            now,
        );
        write_claimed(out, &stream, id, claim.only_ids);
        claimed += 1;
    }
    out.finish(array, claimed);
    Ok(())
}

impl Claim {
    /// Bytes of entries that are named again, as often as they are.
    fn bytes_again(&self, stream: &StreamEdit<'_>) -> usize {
        let mut named = HashSet::new();
        let again = self.ids.iter().filter(|&&id| !named.insert(id));
        let entries = again.filter_map(|&id| stream.entry(id));
        entries
            .flat_map(|entry| entry.fields())
            .map(|(name, value)| name.len() + value.len())
            .sum()
    }
}

/// A consumer that claims, made if it is not there.
fn opened(group: &mut Group, name: &[u8], now: Millis) -> ConsumerId {
    let (consumer, _) = group.open_consumer(name, now);
    group.saw(consumer, now);
    consumer
}

fn take_over(
    stream: &mut StreamEdit<'_>,
    group: usize,
    id: StreamId,
    consumer: ConsumerId,
    (delivered, deliveries): (Millis, u64),
    now: Millis,
) {
    stream.edit_group(group, |group| {
        group.assign(id, consumer, delivered, deliveries);
        group.served(consumer, now);
    });
}

fn write_claimed(out: &mut Writer<'_>, stream: &StreamEdit<'_>, id: StreamId, only_ids: bool) {
    match stream.entry(id) {
        Some(entry) if !only_ids => ids::write_entry(out, &entry),
        _ => ids::write(out, id),
    }
}

/// What XAUTOCLAIM's arguments say.
struct AutoClaim {
    idle_ms_min: i64,
    start: StreamId,
    count: usize,
    only_ids: bool,
}

/// Pending entries that XAUTOCLAIM looks at for each it may claim.
const ATTEMPTS: usize = 10;

impl AutoClaim {
    fn of(call: &Call<'_>) -> Result<AutoClaim, Error> {
        const IDLE_MIN: &str = "ERR Invalid min-idle-time argument for XAUTOCLAIM";
        const COUNT: &str = "ERR COUNT must be > 0";
        /// Redis' bound, which keeps its own products within 64 bits.
        const COUNT_MAX: i64 = i64::MAX / 16;
        let mut asked = AutoClaim {
            idle_ms_min: int_of(call, 4, IDLE_MIN)?.max(0),
            start: ids::parse_start(call.args.at(5))?,
            count: 100,
            only_ids: false,
        };
        let mut index = 6;
        while index < call.args.len() {
            if call.is(index, "count") && index + 1 < call.args.len() {
                index += 1;
                asked.count = match int_of(call, index, COUNT)? {
                    count @ 1..=COUNT_MAX => count as usize,
                    _ => return Err(COUNT.into()),
                };
            } else if call.is(index, "justid") {
                asked.only_ids = true;
            } else {
                return Err(error::SYNTAX.into());
            }
            index += 1;
        }
        Ok(asked)
    }
}

pub(super) fn auto_claim(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (asked, args, now) = (AutoClaim::of(call)?, call.args, call.now());
    let (mut stream, group) = open_group(call)?;
    let consumer = stream.edit_group(group, |group| opened(group, args.at(3), now));
    let (mut claimed, mut deleted) = (Vec::new(), Vec::new());
    let mut attempts = asked.count.saturating_mul(ATTEMPTS);
    let mut next = pending_from(&stream, group, Some(asked.start));
    while attempts > 0
        && claimed.len() + deleted.len() < asked.count
        && let Some(pending) = next
    {
        attempts -= 1;
        let id = pending.id;
        if stream.entry(id).is_none() {
            stream.edit_group(group, |group| group.acknowledge(id));
            deleted.push(id);
        } else if now.since(pending.delivered) >= asked.idle_ms_min {
            let deliveries = pending
                .deliveries
                .saturating_add(u64::from(!asked.only_ids));
            take_over(&mut stream, group, id, consumer, (now, deliveries), now);
            claimed.push(id);
        }
        next = pending_from(&stream, group, id.next());
    }
    out.array(3);
    ids::write(out, next.map_or(StreamId::MIN, |pending| pending.id));
    out.array(claimed.len());
    for id in claimed {
        write_claimed(out, &stream, id, asked.only_ids);
    }
    out.array(deleted.len());
    deleted.into_iter().for_each(|id| ids::write(out, id));
    Ok(())
}

/// The first pending entry from an ID on.
fn pending_from(
    stream: &StreamEdit<'_>,
    group: usize,
    id: Option<StreamId>,
) -> Option<PendingEntry> {
    stream.group(group).pending_from(id?).next()
}
