//! MEMORY TYPES, PREFIXES and TOPKEYS: who holds the dataset, by type, by prefix, and key by key.
//! Nothing here looks at the keyspace: shards copy accounts that every write keeps, and these are merged by name.
//! Source: the contract in docs/memory.md; Redis' texts for what is wrong with the arguments.

use std::collections::{HashMap, HashSet};

use super::{all, wants_percent_sign, write_percentage};
use crate::row::Fan;
use crate::{Call, Core, Error, Part, Progress, Reply, Run, error};
use memory::history::Span;
use resp::Writer;
use store::{Kind, KindAccount, PrefixReport, PrefixRow, TOP_KEYS_MAX, TopKey, TopKeys};

const NOT_POSITIVE: &str = "ERR value is out of range, must be positive";
const PREFIXES_OFF: &str = "ERR prefixes are not counted while 'memory-prefixes' is no";
/// Rows of MEMORY PREFIXES without COUNT.
const PREFIXES_DEFAULT: usize = 64;
/// Rows of MEMORY TOPKEYS without COUNT.
const TOP_KEYS_DEFAULT: usize = 10;
/// Keys without a delimiter; a prefix ends in one.
const NO_PREFIX: &[u8] = b"(none)";
/// Keys whose prefix has no row.
const OTHER: &[u8] = b"(other)";

/// One type's account on a shard, and the biggest of its keys there.
#[derive(Debug)]
pub struct TypeFigures {
    account: KindAccount,
    biggest: TopKeys,
}

/// By which figure prefixes are ordered.
#[derive(Clone, Copy)]
enum By {
    Bytes,
    Keys,
    Growth,
}

/// MEMORY TYPES.
pub(super) const TYPES: Run = all(types_part, types);
/// MEMORY PREFIXES.
pub(super) const PREFIXES: Run = checked(
    |call| prefix_words(call).map(drop),
    all(prefixes_part, prefixes),
);
/// MEMORY TOPKEYS.
pub(super) const TOP_KEYS: Run = checked(
    |call| top_key_words(call).map(drop),
    all(top_keys_part, top_keys),
);

/// The same with its arguments checked before any shard is asked.
pub(super) const fn checked(check: fn(&mut Call<'_>) -> Reply, run: Run) -> Run {
    match run {
        Run::Fan(fan) => Run::Fan(Fan { check, ..fan }),
        other => other,
    }
}

fn types_part(call: &mut Call<'_>, part: &mut Part) -> Result<Progress, Error> {
    let (shard, now) = (&call.core.shard, call.core.now);
    let account = shard.accounts().account;
    let figures = Kind::ALL.map(|kind| TypeFigures {
        account: account.kinds[kind as usize],
        biggest: shard.top_keys(Some(kind), 1, now),
    });
    *part = Part::Types(Box::new(figures));
    Ok(Progress::Done)
}

fn types(_: &mut Call<'_>, parts: &mut [Part], out: &mut Writer<'_>) -> Reply {
    out.array(Kind::ALL.len());
    for kind in Kind::ALL {
        let mut account = KindAccount::default();
        let mut lists = Vec::new();
        for part in parts.iter() {
            let Part::Types(figures) = part else {
                unreachable!("every shard gives its types, not {part:?}")
            };
            let TypeFigures {
                account: KindAccount { keys, bytes },
                biggest,
            } = &figures[kind as usize];
            account.keys += keys;
            account.bytes += bytes;
            lists.push(biggest.clone());
        }
        let biggest = joined(lists);
        write_type(out, kind, account, biggest.first());
    }
    Ok(())
}

fn write_type(out: &mut Writer<'_>, kind: Kind, account: KindAccount, biggest: Option<&TopKey>) {
    let KindAccount { keys, bytes } = account;
    out.map(7);
    out.bulk(b"type");
    out.bulk(kind.name().as_bytes());
    int(out, "keys", keys);
    int(out, "bytes", bytes);
    int(out, "bytes.per.key", bytes.checked_div(keys).unwrap_or(0));
    out.bulk(b"largest.key");
    match biggest {
        Some(key) => out.bulk(&key.key),
        None => out.null(),
    }
    int(
        out,
        "largest.key.db",
        biggest.map_or(0, |key| key.db as u64),
    );
    int(out, "largest.key.bytes", biggest.map_or(0, |key| key.bytes));
}

pub(super) fn int(out: &mut Writer<'_>, name: &str, number: u64) {
    out.bulk(name.as_bytes());
    out.int(number as i64);
}

/// The biggest keys of all lists, biggest first, as far down as no list may lack one.
fn joined(lists: Vec<TopKeys>) -> Vec<TopKey> {
    let floor_bytes = lists.iter().map(|list| list.floor_bytes).max();
    let floor_bytes = floor_bytes.unwrap_or(0);
    let mut keys: Vec<TopKey> = lists
        .into_iter()
        .flat_map(|list| list.keys)
        .filter(|key| key.bytes >= floor_bytes)
        .collect();
    keys.sort_by(|one, other| {
        let biggest_first = other.bytes.cmp(&one.bytes);
        biggest_first
            .then_with(|| one.key.cmp(&other.key))
            .then(one.db.cmp(&other.db))
    });
    keys
}

/// `COUNT n` at an index.
pub(super) fn count(call: &Call<'_>, at: usize) -> Result<usize, Error> {
    match call.int(at)? {
        ..1 => Err(NOT_POSITIVE.into()),
        number => Ok(usize::try_from(number).unwrap_or(usize::MAX)),
    }
}

/// `[COUNT n] [TYPE t]`.
fn top_key_words(call: &Call<'_>) -> Result<(usize, Option<Kind>), Error> {
    let (mut wanted, mut kind) = (TOP_KEYS_DEFAULT, None);
    let mut at = 2;
    while at < call.args.len() {
        if at + 1 == call.args.len() {
            return Err(error::SYNTAX.into());
        }
        if call.is(at, "count") {
            wanted = count(call, at + 1)?;
        } else if call.is(at, "type") {
            let named = Kind::ALL
                .into_iter()
                .find(|kind| call.is(at + 1, kind.name()));
            kind = Some(named.ok_or("ERR unknown type name")?);
        } else {
            return Err(error::SYNTAX.into());
        }
        at += 2;
    }
    Ok((wanted.min(TOP_KEYS_MAX), kind))
}

fn top_keys_part(call: &mut Call<'_>, part: &mut Part) -> Result<Progress, Error> {
    let (wanted, kind) = top_key_words(call)?;
    let found = call.core.shard.top_keys(kind, wanted, call.core.now);
    *part = Part::TopKeys(Box::new(found));
    Ok(Progress::Done)
}

fn top_keys(call: &mut Call<'_>, parts: &mut [Part], out: &mut Writer<'_>) -> Reply {
    let (wanted, _) = top_key_words(call)?;
    let list = |part: &mut Part| match std::mem::take(part) {
        Part::TopKeys(list) => *list,
        other => unreachable!("every shard gives its biggest keys, not {other:?}"),
    };
    let mut keys = joined(parts.iter_mut().map(list).collect());
    keys.truncate(wanted);
    out.array(keys.len());
    for TopKey {
        key,
        db,
        kind,
        bytes,
    } in keys
    {
        out.map(4);
        out.bulk(b"key");
        out.bulk(&key);
        int(out, "db", db as u64);
        out.bulk(b"type");
        out.bulk(kind.name().as_bytes());
        int(out, "bytes", bytes);
    }
    Ok(())
}

/// `[COUNT n] [BY bytes|keys|growth]`.
fn prefix_words(call: &Call<'_>) -> Result<(usize, By), Error> {
    let (mut wanted, mut by) = (PREFIXES_DEFAULT, By::Bytes);
    let mut at = 2;
    while at < call.args.len() {
        if at + 1 == call.args.len() {
            return Err(error::SYNTAX.into());
        }
        if call.is(at, "count") {
            wanted = count(call, at + 1)?;
        } else if call.is(at, "by") {
            let names = [
                ("bytes", By::Bytes),
                ("keys", By::Keys),
                ("growth", By::Growth),
            ];
            let named = names.into_iter().find(|(name, _)| call.is(at + 1, name));
            by = named.ok_or(error::SYNTAX)?.1;
        } else {
            return Err(error::SYNTAX.into());
        }
        at += 2;
    }
    if !call.core.config.prefix_rules.is_on {
        return Err(PREFIXES_OFF.into());
    }
    Ok((wanted, by))
}

fn prefixes_part(call: &mut Call<'_>, part: &mut Part) -> Result<Progress, Error> {
    *part = Part::Prefixes(prefix_reports(call.core, None));
    Ok(Progress::Done)
}

fn prefixes(call: &mut Call<'_>, parts: &mut [Part], out: &mut Writer<'_>) -> Reply {
    let (wanted, by) = prefix_words(call)?;
    let list = |part: &mut Part| match std::mem::take(part) {
        Part::Prefixes(reports) => reports,
        other => unreachable!("every shard gives its prefixes, not {other:?}"),
    };
    let reports: Vec<PrefixReport> = parts.iter_mut().flat_map(list).collect();
    let delimiters = call.core.config.prefix_rules.delimiters();
    let (mut rows, mut other) = merged(reports, &delimiters);
    rows.sort_by(|(name, one), (other_name, other)| {
        let (one, other) = (&one.row, &other.row);
        let greatest_first = match by {
            By::Bytes => other.bytes.cmp(&one.bytes),
            By::Keys => other.keys.cmp(&one.keys),
            By::Growth => minute_growth(other).cmp(&minute_growth(one)),
        };
        greatest_first.then_with(|| name.cmp(other_name))
    });
    let total_bytes = rows.iter().map(|(_, one)| one.row.bytes).sum::<u64>() + other.bytes;
    for (_, folded) in rows.drain(wanted.min(rows.len())..) {
        other.merge(&folded.row);
    }
    let sign = wants_percent_sign(call);
    let other = Merged {
        row: other,
        is_whole: true,
    };
    out.array(rows.len() + 1);
    for (name, one) in rows.iter().chain([&(OTHER.into(), other)]) {
        write_prefix(out, name, one, total_bytes, sign);
    }
    Ok(())
}

/// A core's accounts of prefixes, or so many of the largest with their histories.
pub(super) fn prefix_reports(core: &Core, largest: Option<usize>) -> Vec<PrefixReport> {
    core.shard.prefix_reports(core.steady_now(), largest)
}

fn minute_growth(row: &PrefixRow) -> i64 {
    row.trend.over(Span::Minute).minute_bytes
}

/// A prefix of all shards.
pub(super) struct Merged {
    pub(super) row: PrefixRow,
    /// Whether none of its keys may count as others on some shard.
    is_whole: bool,
}

/// Prefixes by name.
pub(super) type Named = Vec<(Box<[u8]>, Merged)>;

/// The rows of all reports by name, and that of the others. What one report does not tell apart no row does.
pub(super) fn merged(reports: Vec<PrefixReport>, delimiters: &[u8]) -> (Named, PrefixRow) {
    let collapsed = collapsed(&reports);
    let has_others = |report: &PrefixReport| report.other.keys > 0;
    let doubtful = reports.iter().filter(|report| has_others(report)).count();
    let mut rows: HashMap<Box<[u8]>, (PrefixRow, usize)> = HashMap::new();
    let (mut none, mut other) = (PrefixRow::default(), PrefixRow::default());
    for report in reports {
        let has_others = has_others(&report);
        none.merge(&report.none);
        other.merge(&report.other);
        // Several prefixes of a report may come to have one name.
        let mut named = HashSet::new();
        for (name, row) in report.prefixes {
            let name = told_apart(name, &collapsed, delimiters);
            let (sum, told) = rows.entry(name.clone()).or_default();
            sum.merge(&row);
            if has_others && named.insert(name) {
                *told += 1;
            }
        }
    }
    let whole = |(name, (row, told))| {
        let is_whole = told == doubtful;
        (name, Merged { row, is_whole })
    };
    let none = Merged {
        row: none,
        is_whole: true,
    };
    let rows = rows
        .into_iter()
        .map(whole)
        .chain([(NO_PREFIX.into(), none)]);
    (rows.filter(|(_, one)| one.row.keys > 0).collect(), other)
}

/// Prefixes of one segment whose second segments some report does not tell apart.
pub(super) fn collapsed(reports: &[PrefixReport]) -> HashSet<Box<[u8]>> {
    let collapsed = reports.iter().flat_map(|report| &report.collapsed);
    collapsed.cloned().collect()
}

/// The name, with `*` for its second segment where some report does not tell second segments apart.
pub(super) fn told_apart(
    name: Box<[u8]>,
    collapsed: &HashSet<Box<[u8]>>,
    delimiters: &[u8],
) -> Box<[u8]> {
    let first = name.iter().position(|byte| delimiters.contains(byte));
    match first {
        Some(place) if place + 1 < name.len() && collapsed.contains(&name[..=place]) => {
            [&name[..=place], b"*", &name[name.len() - 1..]]
                .concat()
                .into()
        }
        _ => name,
    }
}

fn write_prefix(out: &mut Writer<'_>, name: &[u8], merged: &Merged, total_bytes: u64, sign: bool) {
    let PrefixRow {
        bytes,
        keys,
        lasting_keys,
        trend,
        history: _,
    } = &merged.row;
    out.map(7);
    out.bulk(b"prefix");
    out.bulk(name);
    int(out, "bytes", *bytes);
    int(out, "keys", *keys);
    out.bulk(b"percentage");
    let percentage = memory::report::percentage(*bytes, total_bytes);
    write_percentage(out, percentage, sign);
    out.bulk(b"growth.per.minute");
    out.int(trend.over(Span::Minute).minute_bytes);
    int(out, "keys.without.expiry", *lasting_keys);
    int(out, "exact", u64::from(merged.is_whole));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(bytes: u64) -> PrefixRow {
        PrefixRow {
            bytes,
            keys: 1,
            ..PrefixRow::default()
        }
    }

    fn report(rows: &[(&str, u64)], collapsed: &[&str], others: u64) -> PrefixReport {
        PrefixReport {
            prefixes: rows
                .iter()
                .map(|(name, bytes)| (name.as_bytes().into(), row(*bytes)))
                .collect(),
            collapsed: collapsed
                .iter()
                .map(|name| name.as_bytes().into())
                .collect(),
            none: PrefixRow::default(),
            other: PrefixRow {
                keys: others,
                ..PrefixRow::default()
            },
        }
    }

    fn told(reports: Vec<PrefixReport>) -> Vec<(String, u64, bool)> {
        let (rows, _) = merged(reports, b":");
        let mut told: Vec<_> = rows
            .into_iter()
            .map(|(name, one)| {
                let name = String::from_utf8(name.to_vec()).unwrap();
                (name, one.row.bytes, one.is_whole)
            })
            .collect();
        told.sort();
        told
    }

    #[test]
    fn prefixes_of_several_shards_are_merged_by_name() {
        let one = report(&[("a:", 1), ("a:b:", 2)], &[], 0);
        let other = report(&[("a:", 10)], &[], 0);
        let expected = [("a:".to_owned(), 11, true), ("a:b:".to_owned(), 2, true)];
        assert_eq!(told(vec![one, other]), expected);
    }

    #[test]
    fn what_one_shard_does_not_tell_apart_no_row_does() {
        let one = report(&[("a:", 1), ("a:*:", 2)], &["a:"], 0);
        let other = report(&[("a:x:", 10), ("a:y:", 20), ("b:x:", 5)], &[], 0);
        let expected = [
            ("a:".to_owned(), 1, true),
            ("a:*:".to_owned(), 32, true),
            ("b:x:".to_owned(), 5, true),
        ];
        assert_eq!(told(vec![one, other]), expected);
    }

    #[test]
    fn a_prefix_that_may_have_keys_among_the_others_of_a_shard_is_not_whole() {
        let one = report(&[("a:", 1), ("b:", 2)], &[], 7);
        let other = report(&[("a:", 10), ("c:", 3)], &[], 0);
        let expected = [
            ("a:".to_owned(), 11, true),
            ("b:".to_owned(), 2, true),
            ("c:".to_owned(), 3, false),
        ];
        assert_eq!(told(vec![one, other]), expected);
    }

    #[test]
    fn biggest_keys_are_told_as_far_down_as_every_list_goes() {
        let key = |name: &str, bytes| TopKey {
            key: name.as_bytes().into(),
            db: 0,
            kind: Kind::String,
            bytes,
        };
        let one = TopKeys {
            keys: vec![key("a", 50), key("b", 20)],
            floor_bytes: 20,
        };
        let other = TopKeys {
            keys: vec![key("c", 30)],
            floor_bytes: 30,
        };
        let names: Vec<_> = joined(vec![one, other])
            .into_iter()
            .map(|one| one.key)
            .collect();
        assert_eq!(names, [b"a"[..].into(), b"c"[..].into()] as [Box<[u8]>; 2]);
    }
}
