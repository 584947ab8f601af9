//! Ranges of sorted sets: ZRANGE and the older commands that are forms of it, and ZRANGESTORE.
//! Never copies what it answers: members go from the set to the reply.
//! Source: redis-server 7, asked for the order of checks.

use std::ops::Range;

use resp::{Proto, Writer};
use store::{Content, Detached, IntBuffer, Strings, View, ZsetView};

use super::bounds::{By, Span};
use super::read::{read, read_key, write_pair};
use super::steps;
use crate::reading::{self, Budget, Reader};
use crate::steps::Target;
use crate::{Call, Error, Reply, error, lookup};

const LIMIT_BY_RANK: &str =
    "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX";
const SCORES_BY_LEX: &str = "ERR syntax error, WITHSCORES not supported in combination with BYLEX";

/// What is fixed by a command's name.
#[derive(Clone, Copy)]
struct Form {
    /// Index of the key; the ends follow.
    source: usize,
    by: Option<By>,
    is_reverse: Option<bool>,
    /// Whether members go to another key, which has scores in any case.
    stores: bool,
}

const fn older(by: By, is_reverse: bool) -> Form {
    Form {
        source: 1,
        by: Some(by),
        is_reverse: Some(is_reverse),
        stores: false,
    }
}

/// What a call asks for.
struct Asked<'a> {
    span: Span<'a>,
    is_reverse: bool,
    with_scores: bool,
    offset: i64,
    limit: i64,
}

impl<'a> Asked<'a> {
    fn parse(call: &Call<'a>, form: Form) -> Result<Asked<'a>, Error> {
        let (mut with_scores, mut offset, mut limit) = (false, 0, -1);
        let (mut by, mut is_reverse) = (form.by, form.is_reverse);
        let mut at = form.source + 3;
        while at < call.args.len() {
            let left = call.args.len() - at - 1;
            if !form.stores && call.is(at, "withscores") {
                with_scores = true;
            } else if left >= 2 && call.is(at, "limit") {
                (offset, limit) = (call.int(at + 1)?, call.int(at + 2)?);
                at += 2;
            } else if is_reverse.is_none() && call.is(at, "rev") {
                is_reverse = Some(true);
            } else if by.is_none() && call.is(at, "bylex") {
                by = Some(By::Lex);
            } else if by.is_none() && call.is(at, "byscore") {
                by = Some(By::Score);
            } else {
                return Err(error::SYNTAX.into());
            }
            at += 1;
        }
        let (by, is_reverse) = (by.unwrap_or(By::Rank), is_reverse.unwrap_or(false));
        if limit != -1 && by == By::Rank {
            return Err(LIMIT_BY_RANK.into());
        }
        if with_scores && by == By::Lex {
            return Err(SCORES_BY_LEX.into());
        }
        let (mut min, mut max) = (form.source + 1, form.source + 2);
        if is_reverse && by != By::Rank {
            (min, max) = (max, min);
        }
        Ok(Asked {
            span: Span::parse(call, by, min, max)?,
            is_reverse,
            with_scores,
            offset,
            limit,
        })
    }

    /// The ranks asked for, after LIMIT.
    fn ranks(&self, zset: ZsetView<'_>) -> Range<usize> {
        // A negative offset passes everything over, a negative limit is none.
        let offset = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let wanted = offset.saturating_add(limit);
        let Range { start, end } = self.span.first_ranks(zset, wanted, self.is_reverse);
        if matches!(self.span, Span::Ranks(..)) {
            return start..end;
        }
        let len = end - start;
        let passed = offset.min(len);
        let kept = limit.min(len - passed);
        if self.is_reverse {
            end - passed - kept..end - passed
        } else {
            start + passed..start + passed + kept
        }
    }
}

fn answer(call: &mut Call<'_>, out: &mut Writer<'_>, form: Form) -> Reply {
    let asked = Asked::parse(call, form)?;
    let Some(zset) = read(call)? else {
        out.array(0);
        return Ok(());
    };
    let ranks = asked.ranks(zset);
    let nests = asked.with_scores && out.proto() == Proto::Resp3;
    let flat = if asked.with_scores && !nests { 2 } else { 1 };
    let (count, is_reverse, with_scores) = (ranks.len(), asked.is_reverse, asked.with_scores);
    if reading::is_long(zset.bytes(), || (count, zset.len())) {
        let what = Ranks {
            ranks,
            is_reverse,
            with_scores,
        };
        return Err(reading::begin(call, what, |out| out.array(flat * count)));
    }
    out.array(flat * count);
    let mut range = zset.range(ranks);
    while let Some((member, score)) = if asked.is_reverse {
        range.next_back()
    } else {
        range.next()
    } {
        if asked.with_scores {
            write_pair(out, member, score, nests);
        } else {
            lookup::bulk_item(out, member);
        }
    }
    Ok(())
}

/// ZRANGE.
pub fn zrange(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let form = Form {
        source: 1,
        by: None,
        is_reverse: None,
        stores: false,
    };
    answer(call, out, form)
}

/// ZREVRANGE.
pub fn zrevrange(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    answer(call, out, older(By::Rank, true))
}

/// ZRANGEBYSCORE.
pub fn zrangebyscore(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    answer(call, out, older(By::Score, false))
}

/// ZREVRANGEBYSCORE.
pub fn zrevrangebyscore(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    answer(call, out, older(By::Score, true))
}

/// ZRANGEBYLEX.
pub fn zrangebylex(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    answer(call, out, older(By::Lex, false))
}

/// ZREVRANGEBYLEX.
pub fn zrevrangebylex(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    answer(call, out, older(By::Lex, true))
}

/// ZRANGESTORE.
pub fn zrangestore(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let form = Form {
        source: 2,
        by: None,
        is_reverse: None,
        stores: true,
    };
    let asked = Asked::parse(call, form)?;
    let (mut members, mut scores) = (Strings::default(), Vec::new());
    let mut buffer = IntBuffer::new();
    let key = call.other_key(form.source);
    if let Some(zset) = read_key(call, key)? {
        let ranks = asked.ranks(zset);
        if reading::is_long(zset.bytes(), || (ranks.len(), zset.len())) {
            let target = Target::new(call.db, call.other_key(1));
            return Err(steps::begin_range(call, key, ranks, target));
        }
        for (member, score) in zset.range(ranks) {
            members.push(member.text(&mut buffer));
            scores.push(score);
        }
    }
    out.int(store(call, 1, members, scores));
    Ok(())
}

/// Puts a sorted set in the place of whatever the key at `index` holds; without members the key goes. Answers their number.
pub fn store(call: &mut Call<'_>, index: usize, members: Strings, scores: Vec<f64>) -> i64 {
    let (key, db, now) = (call.other_key(index), call.db, call.now());
    let len = scores.len();
    if len == 0 {
        call.core.shard.remove(db, key, now);
    } else {
        let content = Content::Zset { members, scores };
        let value = Detached::of(content, None);
        call.core.shard.put(db, key, value, now);
    }
    len as i64
}

/// Members of a sorted set, read for an answer.
#[derive(Debug)]
struct Ranks {
    /// Those not shown yet.
    ranks: Range<usize>,
    /// From the last to the first.
    is_reverse: bool,
    /// Each with its score.
    with_scores: bool,
}

impl Reader for Ranks {
    fn read(
        &mut self,
        view: &View<'_>,
        out: &mut Writer<'_>,
        step: &mut Budget,
    ) -> Result<bool, Error> {
        let zset = view.zset().expect("a sorted set stays one");
        let (ranks, nests) = (&mut self.ranks, out.proto() == Proto::Resp3);
        let mut range = zset.range(ranks.clone());
        while let Some((member, score)) = if self.is_reverse {
            range.next_back()
        } else {
            range.next()
        } {
            if self.with_scores {
                write_pair(out, member, score, nests);
            } else {
                lookup::bulk_item(out, member);
            }
            if self.is_reverse {
                ranks.end -= 1;
            } else {
                ranks.start += 1;
            }
            if !step.goes_on(out) {
                break;
            }
        }
        Ok(ranks.start < ranks.end)
    }
}
