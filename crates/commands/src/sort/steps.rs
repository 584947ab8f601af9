//! SORT of a large collection by its own elements, in bounded steps: loaded, weighed, ordered, answered or stored.
//! Never reads another key.
//! Source: `steps::Order`; the order is that of `order`, which sorts at once what is small.

use super::order;
use super::request::Request;
use crate::reading::{self, Budget, Reader};
use crate::steps::{self, Order, Pieces, Sources, Steps, Stop, Target, target};
use crate::{Call, Core, Error, Part, Progress, Reply, lookup};
use resp::{Proto, Writer};
use std::ops::Range;
use store::{Content, IntBuffer, Item, Key, Kind, Place, Strings, View};

/// Elements that are loaded, weighed or answered in a step: half a millisecond where nothing is cached.
const STEP_ELEMENTS: usize = 4096;
/// A step of loading ends with the element that brings it to so many bytes.
const STEP_BYTES: usize = 512 * 1024;

/// A SORT under way.
#[derive(Debug)]
pub struct Sorting {
    is_alpha: bool,
    is_descending: bool,
    /// What of the order is answered, as far as it is not.
    range: Range<usize>,
    elements: Strings,
    /// How many bytes at their beginning all elements share.
    common_bytes: usize,
    order: Order,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// Elements are copied; where to go on in a set, or how many there are of others.
    Load(Place),
    /// Elements get their weights.
    Weigh,
    /// They are brought into their order.
    Sort,
    /// Elements are answered.
    Answer,
}

/// Leaves a reading where it takes long to sort the elements, and nothing else is asked for.
///
/// # Errors
/// The one that stands for an answer in steps.
pub fn begin(call: &mut Call<'_>, stores: bool) -> Reply {
    let (key, db, now) = (call.key(1), call.db, call.now());
    let view = call.core.shard.view_beside(db, key, now);
    let Some(len) = view.and_then(long_len) else {
        return Ok(());
    };
    // What is wrong with the arguments is told by the rounds.
    let Ok(request) = Request::read(&call.args, stores) else {
        return Ok(());
    };
    if !request.gets.is_empty() || request.by.is_some() {
        return Ok(());
    }
    // It counts as read, which is counted when it is answered.
    lookup::view(call, key);
    let range = request.range(len);
    let answered = range.len();
    let sorting = Sorting {
        is_alpha: request.is_alpha,
        is_descending: request.is_descending,
        range,
        elements: Strings::default(),
        common_bytes: 0,
        order: Order::with_room(0, false),
        phase: Phase::Load(Place::default()),
    };
    if let Some(target) = request.target {
        let target = Target::new(db, call.other_key(target));
        return Err(begin_to_store(call, key, sorting, target));
    }
    let what = sorting;
    Err(reading::begin(call, what, |out| out.array(answered)))
}

fn begin_to_store(call: &mut Call<'_>, key: Key<'_>, sorting: Sorting, to: Target) -> Error {
    let sources = Sources::of(call, &[key]);
    let locked = sources.hashes().chain([to.key().hash]).collect();
    let lookups = sources.lookups();
    let course = |steps| store(steps, sources, sorting, to);
    steps::begin(call, locked, lookups, course)
}

async fn store(steps: Steps, sources: Sources, sorting: Sorting, to: Target) -> Result<Part, Stop> {
    let storing = Storing {
        sources,
        sorting,
        sorted: Strings::default(),
    };
    let storing = steps.work(storing, Storing::prepare).await?;
    let Storing {
        sources, sorted, ..
    } = steps.work(storing, Storing::piece).await?;
    let count = sorted.len();
    target::replace(&steps, sources, to, Content::List(sorted)).await?;
    Ok(Pieces::new(Proto::Resp2, |out| out.int(count as i64)).finish())
}

/// A SORT whose elements are stored.
struct Storing {
    sources: Sources,
    sorting: Sorting,
    /// The elements in their order, as far as they are there.
    sorted: Strings,
}

impl Storing {
    fn prepare(&mut self, core: &mut Core) -> Result<Progress, Stop> {
        let view = self.sources.view(core, 0)?.ok_or(Stop::Lost)?;
        match self.sorting.prepare(&view) {
            Some(Err(error)) => Err(error.into()),
            Some(Ok(())) => Ok(Progress::Again),
            None => {
                let Sorting {
                    range, elements, ..
                } = &self.sorting;
                let (count, of, bytes) = (range.len(), elements.len(), elements.text_bytes());
                let bytes = bytes as u128 * count as u128 / of.max(1) as u128;
                self.sorted = Strings::with_room(count, bytes as usize);
                Ok(Progress::Done)
            }
        }
    }

    fn piece(&mut self, _: &mut Core) -> Result<Progress, Stop> {
        let Storing {
            sorting, sorted, ..
        } = self;
        let start = sorted.len();
        let bytes_max = sorted.text_bytes() + STEP_BYTES;
        while let Some(element) = sorting.next() {
            sorted.push(element);
            if sorted.len() == start + STEP_ELEMENTS || sorted.text_bytes() >= bytes_max {
                return Ok(Progress::Again);
            }
        }
        Ok(Progress::Done)
    }
}

/// How many elements a value has, where it takes long to sort them.
fn long_len(view: View<'_>) -> Option<usize> {
    let (len, bytes) = extent(&view)?;
    let is_long = reading::is_long(bytes, || (len, len)) && u32::try_from(len).is_ok();
    is_long.then_some(len)
}

/// How many elements a value has that can be sorted, and how many bytes they take.
fn extent(view: &View<'_>) -> Option<(usize, u64)> {
    match view.kind() {
        Kind::Set => view.set().map(|set| (set.len(), set.bytes())),
        Kind::List => view.list().map(|list| (list.len(), list.bytes())),
        Kind::Zset => view.zset().map(|zset| (zset.len(), zset.bytes())),
        _ => None,
    }
}

impl Reader for Sorting {
    fn read(
        &mut self,
        view: &View<'_>,
        out: &mut Writer<'_>,
        step: &mut Budget,
    ) -> Result<bool, Error> {
        match self.prepare(view) {
            Some(prepared) => prepared.map(|()| true),
            None => Ok(self.answer(out, step)),
        }
    }
}

impl Sorting {
    /// Works on, as long as nothing can be answered.
    fn prepare(&mut self, view: &View<'_>) -> Option<Result<(), Error>> {
        match &mut self.phase {
            Phase::Load(place) => {
                let place = *place;
                self.load(view, place);
            }
            Phase::Weigh => {
                if let Err(error) = self.weigh() {
                    return Some(Err(error));
                }
            }
            Phase::Sort => {
                if self.order.step(Some(&self.elements)) == Progress::Done {
                    self.phase = Phase::Answer;
                }
            }
            Phase::Answer => return None,
        }
        Some(Ok(()))
    }

    fn load(&mut self, view: &View<'_>, place: Place) {
        let (mut buffer, loaded) = (IntBuffer::new(), self.elements.len());
        if loaded == 0 {
            // They are not copied again as they become more; what is not written takes no memory.
            let (len, bytes) = extent(view).expect("it can be sorted");
            self.elements = Strings::with_room(len, bytes as usize);
            self.order = Order::with_room(len, self.is_descending);
        }
        let (elements, common_bytes) = (&mut self.elements, &mut self.common_bytes);
        let bytes_max = elements.text_bytes() + STEP_BYTES;
        let mut push = |element: Item<'_>| {
            let text = element.text(&mut buffer);
            *common_bytes = if elements.is_empty() {
                text.len()
            } else {
                shared(&elements.at(0)[..*common_bytes], text)
            };
            elements.push(text);
            elements.len() < loaded + STEP_ELEMENTS && elements.text_bytes() < bytes_max
        };
        let next = match view.kind() {
            Kind::Set => view.set().expect("it is a set").walk(place, push),
            Kind::List => {
                let list = view.list().expect("it is a list");
                let is_all = list.range(loaded, usize::MAX).all(&mut push);
                (!is_all && self.elements.len() < list.len()).then_some(place)
            }
            _ => {
                let zset = view.zset().expect("it is a sorted set");
                let mut members = zset.range(loaded..zset.len());
                let is_all = members.all(|(member, _)| push(member));
                (!is_all && self.elements.len() < zset.len()).then_some(place)
            }
        };
        self.phase = next.map_or(Phase::Weigh, Phase::Load);
    }

    fn weigh(&mut self) -> Result<(), Error> {
        let (len, start) = (self.elements.len(), self.order.len());
        for index in start..len.min(start + STEP_ELEMENTS) {
            let text = self.elements.at(index);
            self.order.push(if self.is_alpha {
                order::beginning(&text[self.common_bytes..])
            } else {
                order::weight(text)?
            });
        }
        if self.order.len() == len {
            self.phase = Phase::Sort;
        }
        Ok(())
    }

    /// The next element of what is answered.
    fn next(&mut self) -> Option<&[u8]> {
        let rank = self.range.next()?;
        Some(self.elements.at(self.order.at(rank)?))
    }

    /// Answers some elements. Whether there are more.
    fn answer(&mut self, out: &mut Writer<'_>, step: &mut Budget) -> bool {
        while let Some(element) = self.next() {
            out.bulk(element);
            if !step.goes_on(out) {
                break;
            }
        }
        !self.range.is_empty()
    }
}

/// How many bytes at their beginning two texts share.
fn shared(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorting(texts: &[String], is_alpha: bool, is_descending: bool) -> Sorting {
        let elements: Strings = texts.iter().map(|text| text.as_bytes()).collect();
        let common_bytes = texts.iter().fold(texts[0].len(), |bytes, text| {
            shared(&texts[0].as_bytes()[..bytes], text.as_bytes())
        });
        Sorting {
            is_alpha,
            is_descending,
            range: 0..texts.len(),
            elements,
            common_bytes,
            order: Order::with_room(texts.len(), is_descending),
            phase: Phase::Weigh,
        }
    }

    #[test]
    fn the_order_in_steps_is_that_at_once() {
        let mut rng = store::Rng::seeded(5);
        for count in [1, 2, 1023, 1024, 1025, 2048, 5000, 20_001] {
            for is_alpha in [false, true] {
                let sign = |low| if low == 0 { "-" } else { "" };
                let mut text = || match (is_alpha, rng.below(3)) {
                    (false, low) => format!("{}{}.{}", sign(low), rng.below(99), rng.below(9)),
                    (true, 0) => format!("key:{}", rng.below(50)),
                    (true, 1) => format!("key:{:020}", rng.below(500)),
                    (true, _) => format!("key:{}\0", rng.below(9)),
                };
                let texts: Vec<_> = (0..count).map(|_| text()).collect();
                for is_descending in [false, true] {
                    let mut sorting = sorting(&texts, is_alpha, is_descending);
                    while matches!(sorting.phase, Phase::Weigh) {
                        sorting.weigh().expect("they are numbers");
                    }
                    while sorting.order.step(Some(&sorting.elements)) == Progress::Again {}
                    let elements = &sorting.elements;
                    let expected = if is_alpha {
                        order::by_text(elements, None, is_descending, 0..count)
                    } else {
                        order::by_number(elements, None, is_descending, 0..count).expect("numbers")
                    };
                    let order = (0..count).map_while(|rank| sorting.order.at(rank));
                    assert!(order.eq(expected), "{count} {is_alpha} {is_descending}");
                }
            }
        }
    }
}
