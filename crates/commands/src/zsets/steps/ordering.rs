//! What was gathered, brought into the order of a sorted set, and laid out to be stored or answered.
//! Never looks at the inputs any more.
//! Source: `steps::Order`.

use super::gathering::Left;
use super::{STEP_MEMBERS, header};
use crate::reading::Budget;
use crate::steps::{Order, Pieces, Steps, Stop, weight};
use crate::zsets::read::write_pair;
use crate::{Core, Progress};
use resp::Proto;
use store::{Item, Strings};

/// Scores that are weighed in a step.
const STEP_SCORES: usize = 8192;

/// Members and their scores, and the order of a sorted set.
pub(super) struct Ordered {
    pub(super) members: Strings,
    pub(super) scores: Vec<f64>,
    pub(super) order: Order,
}

impl Ordered {
    pub(super) fn of(members: Strings, scores: Vec<f64>) -> Ordered {
        Ordered {
            members,
            scores,
            order: Order::with_room(0, false),
        }
    }

    pub(super) fn weigh(&mut self, _: &mut Core) -> Result<Progress, Stop> {
        let (start, len) = (self.order.len(), self.scores.len());
        if start == 0 {
            self.order = Order::with_room(len, false);
        }
        for &score in &self.scores[start..len.min(start + STEP_SCORES)] {
            self.order.push(weight(score));
        }
        Ok(if self.order.len() == len {
            Progress::Done
        } else {
            Progress::Again
        })
    }

    pub(super) fn sort(&mut self, _: &mut Core) -> Result<Progress, Stop> {
        Ok(self.order.step(Some(&self.members)))
    }

    /// The member of a rank and its score.
    pub(super) fn at(&self, rank: usize) -> Option<(&[u8], f64)> {
        let index = self.order.at(rank)?;
        Some((self.members.at(index), self.scores[index]))
    }
}

/// Members and scores, one after the other as they are ordered.
pub(super) async fn in_order(steps: &Steps, ordered: Ordered) -> Result<(Strings, Vec<f64>), Stop> {
    if ordered.order.is_as_given() {
        return Ok((ordered.members, ordered.scores));
    }
    let laid = Laid {
        members: Strings::with_room(ordered.members.len(), ordered.members.text_bytes()),
        scores: Vec::with_capacity(ordered.scores.len()),
        ordered,
    };
    let laid = steps.work(laid, Laid::piece).await?;
    Ok((laid.members, laid.scores))
}

pub(super) struct Laid {
    pub(super) ordered: Ordered,
    pub(super) members: Strings,
    pub(super) scores: Vec<f64>,
}

impl Laid {
    pub(super) fn piece(&mut self, _: &mut Core) -> Result<Progress, Stop> {
        let mut left = Left::of(STEP_MEMBERS);
        while let Some((member, score)) = self.ordered.at(self.scores.len()) {
            self.members.push(member);
            self.scores.push(score);
            if !left.goes_on(member.len()) {
                return Ok(Progress::Again);
            }
        }
        Ok(Progress::Done)
    }
}

/// Members that are answered.
pub(super) struct Answer {
    pub(super) ordered: Ordered,
    pub(super) with_scores: bool,
    pub(super) nests: bool,
    pub(super) answered: usize,
    pub(super) pieces: Pieces,
}

impl Answer {
    pub(super) fn of(ordered: Ordered, proto: Proto, with_scores: bool) -> Answer {
        let count = ordered.members.len();
        Answer {
            ordered,
            with_scores,
            nests: proto == Proto::Resp3,
            answered: 0,
            pieces: Pieces::new(proto, |out| header(out, with_scores, count)),
        }
    }

    pub(super) fn piece(&mut self, _: &mut Core) -> Result<Progress, Stop> {
        let Answer {
            ordered,
            with_scores,
            nests,
            answered,
            pieces,
        } = self;
        let has_more = pieces.write(|out, step: &mut Budget| {
            while let Some((member, score)) = ordered.at(*answered) {
                if *with_scores {
                    write_pair(out, Item::Bytes(member), score, *nests);
                } else {
                    out.bulk(member);
                }
                *answered += 1;
                if !step.goes_on(out) {
                    return true;
                }
            }
            false
        });
        Ok(if has_more {
            Progress::Again
        } else {
            Progress::Done
        })
    }
}
