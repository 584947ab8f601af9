//! Reading a list: its length, elements by index, and where equal elements lie.
//! Never looks at an element that the answer does not need.
//! Source: redis-server 7, also for which mistakes a missing key hides.

use super::{index_from_head, list, span};
use crate::reading::{self, Budget, Reader};
use crate::{Call, Error, Reply, error, lookup};
use resp::Writer;
use std::ops::Range;
use store::View;

const ZERO_RANK: &str = "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... \
                         or use negative to start from the end of the list";
const NEGATIVE_COUNT: &str = "ERR COUNT can't be negative";
const NEGATIVE_MAXLEN: &str = "ERR MAXLEN can't be negative";

pub fn llen(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let key = call.key(1);
    let len = list(call, key)?.map_or(0, |list| list.len());
    out.int(len as i64);
    Ok(())
}

pub fn lrange(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (key, start, end) = (call.key(1), call.int(2)?, call.int(3)?);
    let Some(list) = list(call, key)? else {
        out.array(0);
        return Ok(());
    };
    let (start, count) = span(start, end, list.len());
    if reading::is_long(list.bytes(), || (count, list.len())) {
        let what = Elements(start..start + count);
        return Err(reading::begin(call, what, |out| out.array(count)));
    }
    out.array(count);
    list.range(start, count)
        .for_each(|item| lookup::bulk_item(out, item));
    Ok(())
}

pub fn lindex(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (key, index) = (call.key(1), call.int(2));
    let Some(list) = list(call, key)? else {
        out.null();
        return Ok(());
    };
    match index_from_head(index?, list.len()).and_then(|index| list.at(index)) {
        Some(item) => lookup::bulk_item(out, item),
        None => out.null(),
    }
    Ok(())
}

/// What LPOS is asked for.
struct Search {
    from_tail: bool,
    /// Matches passed over.
    skip: usize,
    /// `None` without COUNT: one position, not an array.
    count: Option<usize>,
    compared_max: usize,
}

/// A number in which 0 stands for no limit.
fn limit(call: &Call<'_>, index: usize, mistake: &'static str) -> Result<usize, Error> {
    let number = call.int(index).ok().filter(|&number| number >= 0);
    Ok(match number.ok_or(mistake)? {
        0 => usize::MAX,
        number => number as usize,
    })
}

fn search(call: &Call<'_>) -> Result<Search, Error> {
    let mut search = Search {
        from_tail: false,
        skip: 0,
        count: None,
        compared_max: usize::MAX,
    };
    let mut index = 3;
    while index < call.args.len() {
        let value = index + 1;
        let has_value = value < call.args.len();
        if call.is(index, "rank") && has_value {
            let rank = lookup::signed(call, value)?;
            if rank == 0 {
                return Err(ZERO_RANK.into());
            }
            search.from_tail = rank < 0;
            search.skip = (rank.unsigned_abs() - 1) as usize;
        } else if call.is(index, "count") && has_value {
            search.count = Some(limit(call, value, NEGATIVE_COUNT)?);
        } else if call.is(index, "maxlen") && has_value {
            search.compared_max = limit(call, value, NEGATIVE_MAXLEN)?;
        } else {
            return Err(error::SYNTAX.into());
        }
        index += 2;
    }
    Ok(search)
}

pub fn lpos(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (key, element) = (call.key(1), call.args.at(2));
    let Search {
        from_tail,
        skip,
        count,
        compared_max,
    } = search(call)?;
    let found = match list(call, key)? {
        Some(list) => list.positions(element, from_tail, skip, count.unwrap_or(1), compared_max),
        None => Vec::new(),
    };
    match (count, found.first()) {
        (Some(_), _) => {
            out.array(found.len());
            found.iter().for_each(|&index| out.int(index as i64));
        }
        (None, Some(&index)) => out.int(index as i64),
        (None, None) => out.null(),
    }
    Ok(())
}

/// Elements of a list that are left, read for an answer.
#[derive(Debug)]
struct Elements(Range<usize>);

impl Reader for Elements {
    fn read(
        &mut self,
        view: &View<'_>,
        out: &mut Writer<'_>,
        step: &mut Budget,
    ) -> Result<bool, Error> {
        let (list, left) = (view.list().expect("a list stays one"), &mut self.0);
        for element in list.range(left.start, left.len()) {
            lookup::bulk_item(out, element);
            left.start += 1;
            if !step.goes_on(out) {
                break;
            }
        }
        Ok(left.start < left.end)
    }
}
