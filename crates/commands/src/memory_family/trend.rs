//! MEMORY TREND: how the total and the prefixes have grown over a minute, ten, an hour and a day, and when memory ends.
//! Nothing here remembers: the past is kept by shards and cores; growth is summed over them, times are derived after that.
//! Source: the contract in docs/memory.md.

use super::all;
use super::insight::{checked, count, int, merged, prefix_reports};
use crate::{Call, Core, Error, Part, Progress, Reply, Run, error};
use memory::heap::{process_allocated_bytes, unsharded_allocated_bytes};
use memory::history::{Growth, History, Span, Trend};
use resp::Writer;
use store::PrefixReport;

/// Rows without COUNT.
const ROWS_DEFAULT: usize = 10;

/// MEMORY TREND.
pub(super) const TREND: Run = checked(|call| words(call).map(drop), all(part, merge));

/// One shard's growth.
#[derive(Debug)]
pub struct TrendFigures {
    slab_used_bytes: u64,
    /// Bytes that count against the limit.
    limited_bytes: i64,
    /// The first core's.
    total: Option<History>,
    prefixes: Vec<PrefixReport>,
}

/// `[COUNT n]`.
fn words(call: &Call<'_>) -> Result<usize, Error> {
    let mut wanted = ROWS_DEFAULT;
    let mut at = 2;
    while at < call.args.len() {
        if at + 1 == call.args.len() || !call.is(at, "count") {
            return Err(error::SYNTAX.into());
        }
        wanted = count(call, at + 1)?;
        at += 2;
    }
    Ok(wanted)
}

fn part(call: &mut Call<'_>, part: &mut Part) -> Result<Progress, Error> {
    let core = &*call.core;
    *part = Part::Trend(Box::new(TrendFigures {
        slab_used_bytes: core.shard.slab_used_bytes(),
        limited_bytes: core.limited_bytes(),
        total: core.past.total().cloned(),
        prefixes: prefix_reports(core, None),
    }));
    Ok(Progress::Done)
}

/// Bytes left under a limit, by what all shards hold that counts against it; 0 without a limit.
pub(super) fn room_bytes(limit_bytes: u64, limited_bytes: i64) -> u64 {
    let used_bytes = (limited_bytes + unsharded_allocated_bytes()).max(0) as u64;
    limit_bytes.saturating_sub(used_bytes)
}

/// How the total has grown, by the history that the first core keeps.
pub(super) fn total_trend(core: &Core, history: Option<&History>, bytes: u64) -> Trend {
    // Cores started together, within milliseconds.
    history.map_or_else(Trend::default, |history| {
        history.trend(bytes, core.elapsed_ms())
    })
}

fn merge(call: &mut Call<'_>, parts: &mut [Part], out: &mut Writer<'_>) -> Reply {
    let wanted = words(call)?;
    let (mut slab_used_bytes, mut limited_bytes) = (0, 0);
    let (mut total, mut reports) = (None, Vec::new());
    for part in parts {
        let Part::Trend(figures) = std::mem::take(part) else {
            unreachable!("every shard gives its growth")
        };
        slab_used_bytes += figures.slab_used_bytes;
        limited_bytes += figures.limited_bytes;
        total = total.or(figures.total);
        reports.extend(figures.prefixes);
    }
    // What one core's heap allocates another frees: heaps are read together.
    let total_bytes = process_allocated_bytes() + slab_used_bytes;
    let total = total_trend(call.core, total.as_ref(), total_bytes);
    let limit_bytes = call.core.config.maxmemory_bytes;
    let room_bytes = (limit_bytes > 0).then(|| room_bytes(limit_bytes, limited_bytes));
    let (mut rows, _) = merged(reports, &call.core.config.prefix_rules.delimiters());
    rows.sort_by(|(name, one), (other_name, other)| {
        let rate = |trend: &Trend| trend.over(Span::Hour).minute_bytes;
        let fastest_first = rate(&other.row.trend).cmp(&rate(&one.row.trend));
        fastest_first.then_with(|| name.cmp(other_name))
    });
    rows.truncate(wanted);
    out.map(2);
    out.bulk(b"total");
    out.map(2 + Span::ALL.len());
    int(out, "bytes", total_bytes);
    int(out, "maxmemory", limit_bytes);
    write_trend(out, &total, room_bytes);
    out.bulk(b"prefixes");
    out.array(rows.len());
    for (name, one) in rows {
        out.map(3 + Span::ALL.len());
        out.bulk(b"prefix");
        out.bulk(&name);
        int(out, "bytes", one.row.bytes);
        int(out, "keys", one.row.keys);
        write_trend(out, &one.row.trend, room_bytes);
    }
    Ok(())
}

/// A field for each span.
fn write_trend(out: &mut Writer<'_>, trend: &Trend, room_bytes: Option<u64>) {
    for span in Span::ALL {
        let growth = trend.over(span);
        let Growth {
            bytes,
            covered_ms,
            minute_bytes,
        } = growth;
        out.bulk(span.name().as_bytes());
        out.map(4);
        out.bulk(b"growth.bytes");
        out.int(bytes);
        int(out, "covered.seconds", covered_ms / 1000);
        out.bulk(b"bytes.per.minute");
        out.int(minute_bytes);
        out.bulk(b"seconds.until.maxmemory");
        match room_bytes.and_then(|room_bytes| growth.seconds_until(room_bytes)) {
            Some(seconds) => out.int(i64::try_from(seconds).unwrap_or(i64::MAX)),
            None => out.null(),
        }
    }
}
