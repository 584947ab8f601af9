//! Members of large sorted sets and sets, gathered piece by piece: of any input, of all, of the first alone, or of a range.
//! Never takes inputs in another order than at once, so that sums come out the same to the last digit.
//! Source: as in `combine`; members are gathered as texts, which mean the same in every input.

use super::STEP_MEMBERS;
use crate::steps::{Distinct, Sources, Stop};
use crate::zsets::combine::{Aggregate, Input, Source, number};
use crate::{Core, Progress};
use std::ops::Range;
use store::{IntBuffer, Item, Place, Strings};

/// A step of gathering ends with the member that brings it to so many bytes.
const STEP_BYTES: usize = 512 * 1024;
/// Members of a packed input that are passed over in the time that one is found in a large input.
const PASSED_MEMBERS: usize = 16;

/// What a step may still do.
pub(super) struct Left {
    pub(super) members: usize,
    pub(super) bytes: usize,
}

impl Left {
    pub(super) fn of(members: usize) -> Left {
        Left {
            members: members.max(1),
            bytes: STEP_BYTES,
        }
    }

    /// Whether there is anything left once a member of so many bytes was met.
    pub(super) fn goes_on(&mut self, bytes: usize) -> bool {
        self.members = self.members.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.members > 0 && self.bytes > 0
    }
}

/// How far an input was walked.
#[derive(Default)]
pub(super) struct At {
    pub(super) rank: usize,
    pub(super) place: Place,
}

impl At {
    /// Shows members from here on with their scores, not weighted, as long as `visit` says so. Whether there may be more.
    pub(super) fn walk<'a>(
        &mut self,
        source: Source<'a>,
        mut visit: impl FnMut(Item<'a>, f64) -> bool,
    ) -> bool {
        match source {
            Source::Missing => false,
            Source::Zset(zset) => {
                let mut range = zset.range(self.rank..usize::MAX);
                !range.all(|(member, score)| {
                    self.rank += 1;
                    visit(member, score)
                })
            }
            Source::Set(set) => {
                let next = set.walk(self.place, |member| visit(member, 1.0));
                self.place = next.unwrap_or_default();
                next.is_some()
            }
        }
    }
}

/// The members that any input has.
pub(super) struct Union {
    pub(super) sources: Sources,
    pub(super) weights: Vec<f64>,
    pub(super) aggregate: Aggregate,
    /// The input that is walked, and where it is gone on with.
    pub(super) input: usize,
    pub(super) at: At,
    pub(super) members: Distinct,
    pub(super) scores: Vec<f64>,
}

impl Union {
    pub(super) fn of(sources: Sources, weights: Vec<f64>, aggregate: Aggregate) -> Union {
        Union {
            sources,
            weights,
            aggregate,
            input: 0,
            at: At::default(),
            members: Distinct::default(),
            scores: Vec::new(),
        }
    }

    /// Makes room, which is no more than what all have.
    pub(super) fn begin(&mut self, core: &mut Core) -> Result<Progress, Stop> {
        let (mut count, mut bytes) = (0, 0);
        for index in 0..self.sources.len() {
            let source = Source::of(self.sources.view(core, index)?);
            count += source.len();
            bytes += source.bytes() as usize;
        }
        self.members = Distinct::with_room(count, bytes);
        self.scores = Vec::with_capacity(count);
        Ok(Progress::Done)
    }

    pub(super) fn piece(&mut self, core: &mut Core) -> Result<Progress, Stop> {
        let Union {
            sources,
            weights,
            aggregate,
            input,
            at,
            members,
            scores,
        } = self;
        let (mut left, mut buffer) = (Left::of(STEP_MEMBERS), IntBuffer::new());
        while *input < sources.len() {
            let (source, weight) = (Source::of(sources.view(core, *input)?), weights[*input]);
            let has_more = at.walk(source, |member, score| {
                let (text, score) = (member.text(&mut buffer), number(score * weight));
                let hash = core.shard.hash(text);
                if let Some(found) = members.find(hash, text) {
                    scores[found] = aggregate.of(scores[found], score);
                } else {
                    members.push(hash, text);
                    scores.push(score);
                }
                left.goes_on(text.len())
            });
            if !has_more {
                *at = At::default();
                *input += 1;
            }
            // A look at a key counts as well.
            if has_more || !left.goes_on(0) {
                return Ok(Progress::Again);
            }
        }
        Ok(Progress::Done)
    }
}

/// Members of the first input that all others have, or none.
pub(super) struct Sieve {
    pub(super) sources: Sources,
    pub(super) weights: Vec<f64>,
    pub(super) aggregate: Aggregate,
    /// Whether a member that passes is in all others; in none if not, and its score is not weighted.
    pub(super) wants: bool,
    pub(super) limit: usize,
    /// Whether those that pass are not only counted.
    pub(super) keeps: bool,
    pub(super) at: At,
    pub(super) passed: usize,
    pub(super) members: Strings,
    pub(super) scores: Vec<f64>,
}

impl Sieve {
    pub(super) fn of(sources: Sources, weights: Vec<f64>, aggregate: Aggregate) -> Sieve {
        Sieve {
            sources,
            weights,
            aggregate,
            wants: true,
            limit: usize::MAX,
            keeps: true,
            at: At::default(),
            passed: 0,
            members: Strings::default(),
            scores: Vec::new(),
        }
    }

    pub(super) fn begin(&mut self, core: &mut Core) -> Result<Progress, Stop> {
        if self.keeps {
            let first = Source::of(self.sources.view(core, 0)?);
            self.members = Strings::with_room(first.len(), first.bytes() as usize);
            self.scores = Vec::with_capacity(first.len());
        }
        Ok(Progress::Done)
    }

    pub(super) fn piece(&mut self, core: &mut Core) -> Result<Progress, Stop> {
        let mut inputs = Vec::with_capacity(self.sources.len());
        for (index, &weight) in self.weights.iter().enumerate() {
            let source = Source::of(self.sources.view(core, index)?);
            inputs.push(Input {
                number: index,
                source,
                weight,
            });
        }
        let Some((first, others)) = inputs.split_first() else {
            return Ok(Progress::Done);
        };
        let asking: usize = others.iter().map(cost).sum();
        let mut left = Left::of(STEP_MEMBERS / (1 + asking));
        let (mut buffer, aggregate) = (IntBuffer::new(), self.aggregate);
        let has_more = self.at.walk(first.source, |member, score| {
            let score = if self.wants {
                let first = number(score * first.weight);
                others.iter().try_fold(first, |sum, other| {
                    let score = other.score(member, &mut buffer)?;
                    Some(aggregate.of(sum, score * other.weight))
                })
            } else {
                let is_in = |other: &Input<'_>| other.score(member, &mut buffer).is_some();
                (!others.iter().any(is_in)).then_some(score)
            };
            let text = member.text(&mut buffer);
            // What is small is shown whole, whatever is said here.
            if let Some(score) = score.filter(|_| self.passed < self.limit) {
                self.passed += 1;
                if self.keeps {
                    self.members.push(text);
                    self.scores.push(score);
                }
            }
            left.goes_on(text.len()) && self.passed < self.limit
        });
        Ok(if has_more && self.passed < self.limit {
            Progress::Again
        } else {
            Progress::Done
        })
    }
}

/// What it costs to ask an input for a member: 1 where it need not be walked.
fn cost(input: &Input<'_>) -> usize {
    let is_walked = match input.source {
        Source::Missing => false,
        Source::Zset(zset) => zset.bytes() == 0,
        Source::Set(set) => set.is_walked(),
    };
    if is_walked {
        1 + input.source.len() / PASSED_MEMBERS
    } else {
        1
    }
}

/// Members of a range, one after the other.
pub(super) struct Copying {
    pub(super) sources: Sources,
    pub(super) ranks: Range<usize>,
    pub(super) members: Strings,
    pub(super) scores: Vec<f64>,
}

impl Copying {
    pub(super) fn begin(&mut self, core: &mut Core) -> Result<Progress, Stop> {
        let (source, count) = (Source::of(self.sources.view(core, 0)?), self.ranks.len());
        // As many as are copied of it.
        let bytes = u128::from(source.bytes()) * count as u128 / source.len().max(1) as u128;
        self.members = Strings::with_room(count, bytes as usize);
        self.scores = Vec::with_capacity(count);
        Ok(Progress::Done)
    }

    pub(super) fn piece(&mut self, core: &mut Core) -> Result<Progress, Stop> {
        let (mut left, mut buffer) = (Left::of(2 * STEP_MEMBERS), IntBuffer::new());
        if let Source::Zset(zset) = Source::of(self.sources.view(core, 0)?) {
            for (member, score) in zset.range(self.ranks.clone()) {
                let text = member.text(&mut buffer);
                self.members.push(text);
                self.scores.push(score);
                self.ranks.start += 1;
                if !left.goes_on(text.len()) {
                    break;
                }
            }
        }
        Ok(if self.ranks.is_empty() {
            Progress::Done
        } else {
            Progress::Again
        })
    }
}
