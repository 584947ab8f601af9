//! The rounds of a SORT as their coordinator sees them: elements, then what orders them, then what is answered of them.
//! Never holds a key of a shard; what rounds need from each other lies in the first share meanwhile.
//! Source: redis-server 7 for what is sorted and what is not.

use super::order;
use super::request::{Pattern, Request};
use super::share::{Loaded, Share, Work};
use crate::{Call, Error, reply_limit::ReplyLimit, row::Turn};
use resp::Writer;
use store::{Kind, Strings};

/// How elements are ordered.
enum Ordering {
    AsTheyAre,
    ByElement { is_alpha: bool },
    ByWeight,
}

fn ordering(request: &Request<'_>, loaded: &Loaded) -> Ordering {
    if !request.keeps_order {
        return match request.by {
            Some(_) => Ordering::ByWeight,
            None => Ordering::ByElement {
                is_alpha: request.is_alpha,
            },
        };
    }
    // What is stored of a set must not depend on how the set happens to lie.
    if loaded.kind == Kind::Set && request.target.is_some() {
        Ordering::ByElement { is_alpha: true }
    } else {
        Ordering::AsTheyAre
    }
}

/// Goes on with what the round has brought.
///
/// # Errors
/// Elements that must be numbers are none.
pub fn advance(
    call: &mut Call<'_>,
    request: &Request<'_>,
    shares: &mut [&mut Share],
    out: &mut Writer<'_>,
) -> Result<Turn, Error> {
    let (by, limit) = (request.by.as_slice(), ReplyLimit::of(call));
    let mut work = match shares[0].work.take() {
        Some(mut work) if work.order.is_none() => {
            let weights = work.answers(shares);
            let ordered = sorted(&work.elements, Some(&weights), request.is_alpha, request)?;
            work.order = Some(ordered);
            work
        }
        Some(work) => return work.conclude(limit, request, shares, out),
        None => {
            let mut work = Work::begin(request, shares)?;
            if work.order.is_none() {
                let all = 0..work.elements.len();
                work.ask(call, by, all, shares);
                shares[0].work = Some(work);
                return Ok(Turn::Again);
            }
            work
        }
    };
    let is_empty = work.order.as_ref().is_some_and(Vec::is_empty);
    if is_empty || !request.gets_keys() {
        return work.conclude(limit, request, shares, out);
    }
    let order = work.order.take().expect("it was found just now");
    work.ask(call, &request.gets, order.iter().copied(), shares);
    work.order = Some(order);
    shares[0].work = Some(work);
    Ok(Turn::Again)
}

/// Gives the target's shard what it is to store.
pub fn hand_over(shares: &mut [&mut Share], result: Strings) {
    let target = shares.iter_mut().find(|share| share.is_target);
    target.expect("a shard owns the target").result = Some(result);
}

fn sorted(
    elements: &Strings,
    weights: order::Weights<'_>,
    is_alpha: bool,
    request: &Request<'_>,
) -> Result<Vec<usize>, Error> {
    let (is_descending, range) = (request.is_descending, request.range(elements.len()));
    if is_alpha {
        Ok(order::by_text(elements, weights, is_descending, range))
    } else {
        order::by_number(elements, weights, is_descending, range)
    }
}

impl Work {
    /// Takes the loaded elements, and orders them if nothing else is needed for it.
    fn begin(request: &Request<'_>, shares: &mut [&mut Share]) -> Result<Work, Error> {
        let loaded = shares.iter_mut().find_map(|share| share.loaded.take());
        let (elements, order) = match loaded {
            None => (Strings::default(), Some(Vec::new())),
            Some(loaded) => {
                let order = match ordering(request, &loaded) {
                    _ if loaded.is_ordered => Some((0..loaded.elements.len()).collect()),
                    Ordering::AsTheyAre => Some(request.range(loaded.elements.len()).collect()),
                    Ordering::ByElement { is_alpha } => {
                        Some(sorted(&loaded.elements, None, is_alpha, request)?)
                    }
                    Ordering::ByWeight => None,
                };
                (loaded.elements, order)
            }
        };
        Ok(Work {
            elements,
            order,
            route: Vec::new(),
        })
    }

    /// Asks the shards for the keys that the patterns make of these elements.
    fn ask(
        &mut self,
        call: &Call<'_>,
        patterns: &[Pattern<'_>],
        indexes: impl Iterator<Item = usize>,
        shares: &mut [&mut Share],
    ) {
        let is_alone = shares.len() == 1;
        shares
            .iter_mut()
            .for_each(|share| share.begin_question(patterns));
        self.route.clear();
        let mut key = Vec::new();
        for index in indexes {
            for (number, pattern) in patterns.iter().enumerate() {
                if pattern.key_of(self.elements.at(index), &mut key) {
                    // Several shares are those of all shards, as keys are made of elements.
                    let place = if is_alone { 0 } else { call.core.owner(&key).0 };
                    self.route.push(place);
                    shares[usize::from(place)].ask(&key, number);
                }
            }
        }
    }

    /// What the keys hold, in the order of asking.
    fn answers<'s>(&self, shares: &'s [&mut Share]) -> Vec<Option<&'s [u8]>> {
        let mut asked = vec![0; shares.len()];
        let answer = |&place: &u16| {
            let place = usize::from(place);
            asked[place] += 1;
            shares[place].answer(asked[place] - 1)
        };
        self.route.iter().map(answer).collect()
    }

    /// Writes the reply, and leaves what is to be stored with the target's shard.
    ///
    /// # Errors
    /// The patterns name more than a reply may hold; elements alone, each once, have no limit.
    fn conclude(
        self,
        limit: ReplyLimit,
        request: &Request<'_>,
        shares: &mut [&mut Share],
        out: &mut Writer<'_>,
    ) -> Result<Turn, Error> {
        let order = self.order.as_deref().expect("it was found before");
        let answers = self.answers(shares);
        let count = order.len() * request.gets.len().max(1);
        if request.target.is_none() {
            let start = out.len();
            out.array(count);
            self.show(limit, request, order, &answers, |value| {
                match value {
                    Some(text) => out.bulk(text),
                    None => out.null(),
                }
                out.len() - start
            })?;
            return Ok(Turn::Done);
        }
        let mut result = Strings::default();
        self.show(limit, request, order, &answers, |value| {
            result.push(value.unwrap_or_default());
            result.text_bytes()
        })?;
        out.int(count as i64);
        hand_over(shares, result);
        Ok(Turn::Commit)
    }

    /// Shows what is answered, one after the other; `visit` says how many bytes it has by then.
    fn show(
        &self,
        limit: ReplyLimit,
        request: &Request<'_>,
        order: &[usize],
        answers: &[Option<&[u8]>],
        mut visit: impl FnMut(Option<&[u8]>) -> usize,
    ) -> Result<(), Error> {
        let mut answers = answers.iter();
        for &index in order {
            let element = self.elements.at(index);
            if request.gets.is_empty() {
                visit(Some(element));
            }
            for get in &request.gets {
                let value = match get {
                    Pattern::Element => Some(element),
                    Pattern::Nothing => None,
                    Pattern::Key { .. } => *answers.next().expect("every key was asked for"),
                };
                limit.check(visit(value))?;
            }
        }
        Ok(())
    }
}
