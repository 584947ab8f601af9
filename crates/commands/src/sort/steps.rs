//! SORT of a large collection by its own elements, in bounded steps: loaded, weighed, ordered in runs, merged, answered.
//! Never reads another key, and never compares what weights tell apart.
//! Source: bottom-up merge sort (Knuth 5.2.4); the order is that of `order`, which sorts at once what is small.

use super::order;
use super::request::Request;
use crate::reading::{self, Budget, Step, What};
use crate::{Call, Error, Reply, lookup};
use resp::Writer;
use std::cmp::Ordering;
use std::ops::Range;
use store::{IntBuffer, Item, Kind, Place, Strings, View};

/// Elements that are loaded, weighed or answered in a step: half a millisecond where nothing is cached.
const STEP_ELEMENTS: usize = 4096;
/// A step of loading ends with the element that brings it to so many bytes.
const STEP_BYTES: usize = 512 * 1024;
/// Elements of a run, which is sorted in a step: less than two milliseconds where all compare by their texts.
const RUN_ELEMENTS: usize = 1024;
/// Elements that are merged in a step.
const MERGED_ELEMENTS: usize = 8192;

/// A number by which most elements are told apart, in their order, and which one it is.
type Weighed = (u64, u32);

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
    items: Vec<Weighed>,
    merged: Vec<Weighed>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// Elements are copied; where to go on in a set, or how many there are of others.
    Load(Place),
    /// Elements get their weights.
    Weigh,
    /// Runs from this one on are sorted.
    Sort(usize),
    /// Sorted runs are merged, two by two.
    Merge(Merging),
    /// Elements are answered.
    Answer,
}

/// Two neighbouring runs that are being merged.
#[derive(Debug)]
struct Merging {
    /// Elements of a run.
    width: usize,
    /// Where the first begins.
    start: usize,
    /// What is left of both.
    left: usize,
    right: usize,
}

impl Merging {
    fn of(width: usize, start: usize, len: usize) -> Merging {
        Merging {
            width,
            start,
            left: start,
            right: (start + width).min(len),
        }
    }
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
    if request.target.is_some() || !request.gets.is_empty() || request.by.is_some() {
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
        items: Vec::new(),
        merged: Vec::new(),
        phase: Phase::Load(Place::default()),
    };
    let what = What::Sorted(Box::new(sorting));
    Err(reading::begin(call, what, |out| out.array(answered)))
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

impl Sorting {
    /// Works on, as long as nothing can be answered.
    pub fn prepare(&mut self, view: &View<'_>) -> Option<Step> {
        match &mut self.phase {
            Phase::Load(place) => {
                let place = *place;
                self.load(view, place);
            }
            Phase::Weigh => {
                if let Err(error) = self.weigh() {
                    return Some(Step::Failed(error));
                }
            }
            Phase::Sort(start) => {
                let start = *start;
                self.sort_run(start);
            }
            Phase::Merge(_) => self.merge(),
            Phase::Answer => return None,
        }
        Some(Step::More)
    }

    fn load(&mut self, view: &View<'_>, place: Place) {
        let (mut buffer, loaded) = (IntBuffer::new(), self.elements.len());
        if loaded == 0 {
            // They are not copied again as they become more; what is not written takes no memory.
            let (len, bytes) = extent(view).expect("it can be sorted");
            self.elements = Strings::with_room(len, bytes as usize);
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
        let len = self.elements.len();
        if self.items.capacity() == 0 {
            self.items.reserve_exact(len);
            self.merged.reserve_exact(len);
        }
        let start = self.items.len();
        for index in start..len.min(start + STEP_ELEMENTS) {
            let text = self.elements.at(index);
            let weight = if self.is_alpha {
                order::beginning(&text[self.common_bytes..])
            } else {
                order::weight(text)?
            };
            self.items.push((weight, index as u32));
        }
        if self.items.len() == len {
            self.phase = Phase::Sort(0);
        }
        Ok(())
    }

    fn sort_run(&mut self, start: usize) {
        let end = (start + RUN_ELEMENTS).min(self.items.len());
        let mut items = std::mem::take(&mut self.items);
        items[start..end].sort_unstable_by(|one, other| self.compare(one, other));
        self.items = items;
        self.phase = if end < self.items.len() {
            Phase::Sort(end)
        } else {
            Phase::Merge(Merging::of(RUN_ELEMENTS, 0, end))
        };
    }

    fn compare(&self, one: &Weighed, other: &Weighed) -> Ordering {
        let text = |item: &Weighed| self.elements.at(item.1 as usize);
        let order = one.0.cmp(&other.0);
        let order = order.then_with(|| text(one).cmp(text(other)));
        let order = if self.is_descending {
            order.reverse()
        } else {
            order
        };
        order.then(one.1.cmp(&other.1))
    }

    fn merge(&mut self) {
        let Phase::Merge(mut at) = std::mem::replace(&mut self.phase, Phase::Answer) else {
            unreachable!("runs are being merged")
        };
        let len = self.items.len();
        let until = (self.merged.len() + MERGED_ELEMENTS).min(len);
        while self.merged.len() < until {
            let middle = (at.start + at.width).min(len);
            let end = (middle + at.width).min(len);
            let takes_left = at.right == end
                || at.left < middle
                    && self
                        .compare(&self.items[at.left], &self.items[at.right])
                        .is_le();
            let taken = if takes_left {
                &mut at.left
            } else {
                &mut at.right
            };
            self.merged.push(self.items[*taken]);
            *taken += 1;
            if at.left == middle && at.right == end {
                at = Merging::of(at.width, end, len);
            }
        }
        if until == len {
            std::mem::swap(&mut self.items, &mut self.merged);
            self.merged.clear();
            at = Merging::of(2 * at.width, 0, len);
        }
        if at.width < len {
            self.phase = Phase::Merge(at);
        }
    }

    /// Answers some elements. Whether there are more.
    pub fn answer(&mut self, out: &mut Writer<'_>) -> bool {
        let mut step = Budget::default();
        while let Some((_, index)) = self.items.get(self.range.start)
            && self.range.start < self.range.end
        {
            out.bulk(self.elements.at(*index as usize));
            self.range.start += 1;
            if !step.goes_on(out) {
                break;
            }
        }
        self.range.start < self.range.end
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
            items: Vec::new(),
            merged: Vec::new(),
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
                    while !matches!(sorting.phase, Phase::Answer) {
                        match &sorting.phase {
                            Phase::Weigh => sorting.weigh().expect("they are numbers"),
                            Phase::Sort(start) => sorting.sort_run(*start),
                            _ => sorting.merge(),
                        }
                    }
                    let elements = &sorting.elements;
                    let expected = if is_alpha {
                        order::by_text(elements, None, is_descending, 0..count)
                    } else {
                        order::by_number(elements, None, is_descending, 0..count).expect("numbers")
                    };
                    let order = sorting.items.iter().map(|(_, index)| *index as usize);
                    assert!(order.eq(expected), "{count} {is_alpha} {is_descending}");
                }
            }
        }
    }
}
