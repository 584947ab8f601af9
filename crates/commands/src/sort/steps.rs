//! Elements of a large collection that SORT loads, weighs and orders in bounded steps.
//! Never reads another key: `patterns` does, where patterns make some, and answers or stores.
//! Source: `steps::Order`; the order is that of `order`, which sorts at once what is small.

use super::order;
use super::patterns::Looking;
use super::request::Request;
use crate::reading;
use crate::steps::{Order, Target};
use crate::{Call, Error, Reply, lookup};
use std::ops::Range;
use store::{IntBuffer, Item, Key, Kind, Place, Strings, View};

/// Elements that are loaded, weighed or answered in a step: half a millisecond where nothing is cached.
pub(super) const STEP_ELEMENTS: usize = 4096;
/// A step of loading ends with the element that brings it to so many bytes.
const STEP_BYTES: usize = 512 * 1024;

/// A SORT under way.
#[derive(Debug)]
pub struct Sorting {
    pub(super) is_alpha: bool,
    pub(super) is_descending: bool,
    /// What of the order is answered.
    pub(super) range: Range<usize>,
    pub(super) elements: Strings,
    /// How many bytes at their beginning all texts share that are compared.
    pub(super) common_bytes: usize,
    pub(super) order: Order,
    /// Where to go on in a set, until all elements are copied.
    place: Option<Place>,
}

/// Leaves what works in steps where it takes long to sort the elements.
///
/// # Errors
/// The one that stands for an answer in steps.
pub fn begin(call: &mut Call<'_>, stores: bool) -> Reply {
    let key = call.key(1);
    let Some((kind, range)) = long_range(call, key, stores) else {
        return Ok(());
    };
    let request = Request::read(&call.args, stores).expect("it was read just now");
    // It counts as read, which is counted when it is answered.
    lookup::view(call, key);
    let looking = Looking::of(call, (&request, stores), kind, range);
    let target = request.target.map(|index| call.other_key(index));
    let target = target.map(|key| Target::new(call.db, key));
    Err(looking.begin(call, target))
}

/// As [`begin`], on the shard of the elements, where what is answered goes to another shard.
///
/// # Errors
/// The one that stands for a stage in steps.
pub fn begin_share(call: &mut Call<'_>, stores: bool) -> Reply {
    let key = call.other_key(1);
    let Some((kind, range)) = long_range(call, key, stores) else {
        return Ok(());
    };
    let request = Request::read(&call.args, stores).expect("it was read just now");
    if request.makes_keys() {
        return Ok(());
    }
    lookup::view(call, key);
    let looking = Looking::of(call, (&request, stores), kind, range);
    Err(looking.begin_share(call))
}

/// What a key holds, and which of its elements are answered in their order, where it takes long to find that.
fn long_range(call: &Call<'_>, key: Key<'_>, stores: bool) -> Option<(Kind, Range<usize>)> {
    let view = call.core.shard.view_beside(call.db, key, call.now())?;
    let (len, bytes) = extent(&view)?;
    let mut found = None;
    let is_long = reading::is_long(bytes, || {
        // What is wrong with the arguments is told by the rounds.
        let Ok(request) = Request::read(&call.args, stores) else {
            return (0, len);
        };
        let range = request.range(len);
        // What keeps its order is read no further than it is answered.
        let keeps_order = request.keeps_order && view.kind() != Kind::Set;
        let count = if keeps_order { range.len() } else { len };
        found = Some((view.kind(), range));
        (count, len)
    });
    found.filter(|_| is_long && u32::try_from(len).is_ok())
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
    /// A SORT of which nothing is done yet.
    pub(super) fn of(request: &Request<'_>, range: Range<usize>) -> Sorting {
        Sorting {
            is_alpha: request.is_alpha,
            is_descending: request.is_descending,
            range,
            elements: Strings::default(),
            common_bytes: 0,
            order: Order::with_room(0, false),
            place: Some(Place::default()),
        }
    }

    /// Copies some elements, if there are more. Whether there are.
    pub(super) fn load_some(&mut self, view: &View<'_>) -> bool {
        if let Some(place) = self.place {
            self.load(view, place);
        }
        self.place.is_some()
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
        self.place = next;
    }

    pub(super) fn weigh(&mut self) -> Result<(), Error> {
        let (len, start) = (self.elements.len(), self.order.len());
        for index in start..len.min(start + STEP_ELEMENTS) {
            let text = self.elements.at(index);
            self.order.push(if self.is_alpha {
                order::beginning(&text[self.common_bytes..])
            } else {
                order::weight(text)?
            });
        }
        Ok(())
    }
}

/// How many bytes at their beginning two texts share.
pub(super) fn shared(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Progress;

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
            place: None,
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
                    while sorting.order.len() < count {
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
