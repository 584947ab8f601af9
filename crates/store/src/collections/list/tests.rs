//! Lists in both forms against a deque: random changes, and the promises of size.
//! Never a shard or a door; those have tests of their own.
//! Source: our own; the pseudo-random numbers are those of the shard.

use super::edit::Form;
use super::*;
use crate::collections::door::Body;
use crate::collections::{Big, PackForm};
use crate::entry::Held;
use crate::pack::Item;
use crate::random::Rng;
use std::collections::VecDeque;

type Model = VecDeque<Vec<u8>>;

fn text(item: Item<'_>) -> Vec<u8> {
    item.text(&mut IntBuffer::new()).to_vec()
}

fn texts<'a>(items: impl Iterator<Item = Item<'a>>) -> Vec<Vec<u8>> {
    items.map(text).collect()
}

/// A list outside of a shard.
struct Bare {
    body: Body,
    limits: ListLimits,
}

impl Bare {
    fn new(limits: ListLimits) -> Bare {
        let body = Body::Packed(PackForm::List, pack::new());
        Bare { body, limits }
    }

    fn form(&mut self) -> Form<'_> {
        Form {
            body: &mut self.body,
            limits: self.limits,
        }
    }

    fn view(&self) -> ListView<'_> {
        match &self.body {
            Body::Packed(_, pack) => ListView::packed(pack),
            Body::Big(big) => ListView::of(Held::Big(big)),
        }
    }

    fn big(&self) -> Option<&List> {
        match &self.body {
            Body::Packed(..) => None,
            Body::Big(big) => match &**big {
                Big::List(list) => Some(list),
                other => panic!("{other:?} is no list"),
            },
        }
    }

    fn push(&mut self, end: ListEnd, text: &[u8]) {
        self.form().push(end, std::iter::once(text));
    }

    fn pop(&mut self, end: ListEnd) -> Option<Vec<u8>> {
        let last = self.view().len().checked_sub(1)?;
        let index = if end == ListEnd::Front { 0 } else { last };
        let popped = text(self.view().at(index)?);
        self.form().remove(index, 1);
        Some(popped)
    }
}

fn assert_same(list: &Bare, model: &Model) {
    let view = list.view();
    assert_eq!(view.len(), model.len());
    assert!(texts(view.iter()).iter().eq(model.iter()));
    assert!(texts(view.iter().rev()).iter().eq(model.iter().rev()));
    if let Some(list) = list.big() {
        list.check();
        assert_eq!(list.bytes(), list.recount_bytes());
    }
}

fn below(rng: &mut Rng, bound: usize) -> usize {
    rng.below(bound as u64) as usize
}

/// Few different texts, so that equal ones are met: numbers, short texts, some near the limit of a node, a few beyond.
fn some_text(rng: &mut Rng) -> Vec<u8> {
    match below(rng, 100) {
        0..40 => below(rng, 5).to_string().into_bytes(),
        40..80 => vec![b'a' + below(rng, 3) as u8; below(rng, 20)],
        80..97 => vec![b'm'; 100 + below(rng, 3) * 700],
        _ => vec![b'z'; 4000 + below(rng, 300)],
    }
}

fn remove_equal(model: &mut Model, text: &[u8], count_max: usize, from_tail: bool) -> usize {
    let before = model.len();
    let mut left = count_max;
    let mut keep = |element: &Vec<u8>| {
        let goes = left > 0 && element == text;
        left -= usize::from(goes);
        !goes
    };
    let kept: Vec<Vec<u8>> = if from_tail {
        let mut kept: Vec<_> = model.drain(..).rev().filter(|e| keep(e)).collect();
        kept.reverse();
        kept
    } else {
        model.drain(..).filter(|e| keep(e)).collect()
    };
    *model = kept.into();
    before - model.len()
}

fn positions(
    model: &Model,
    text: &[u8],
    from_tail: bool,
    (skip, count, compared): (usize, usize, usize),
) -> Vec<usize> {
    let mut indexes: Vec<usize> = (0..model.len()).collect();
    if from_tail {
        indexes.reverse();
    }
    let looked_at = indexes.into_iter().take(compared);
    let equal = looked_at.filter(|&index| model[index] == text);
    equal.skip(skip).take(count).collect()
}

/// One random step on both; `grows` says whether the list should become longer on the whole.
fn step(rng: &mut Rng, list: &mut Bare, model: &mut Model, grows: bool) {
    let len = model.len();
    let element = some_text(rng);
    let some_index = below(rng, len.max(1));
    match below(rng, if grows { 14 } else { 30 }) {
        0..4 => {
            list.push(ListEnd::Back, &element);
            model.push_back(element);
        }
        4..8 => {
            list.push(ListEnd::Front, &element);
            model.push_front(element);
        }
        8..11 => {
            let index = below(rng, len + 1);
            list.form().insert(index, &element);
            model.insert(index, element);
        }
        11 if len > 0 => {
            list.form().set(some_index, &element);
            model[some_index] = element;
        }
        12 => assert_eq!(list.pop(ListEnd::Front), model.pop_front()),
        13 => assert_eq!(list.pop(ListEnd::Back), model.pop_back()),
        14..20 if len > 0 => {
            let count = below(rng, 8);
            list.form().remove(some_index, count);
            model.drain(some_index..(some_index + count).min(len));
        }
        20 => {
            let (count, from_tail) = (1 + below(rng, 60), below(rng, 2) == 0);
            assert_eq!(
                list.form().remove_equal(&element, count, from_tail),
                remove_equal(model, &element, count, from_tail)
            );
        }
        21 if below(rng, 10) == 0 => {
            assert_eq!(
                list.form().remove_equal(&element, usize::MAX, false),
                remove_equal(model, &element, usize::MAX, false)
            );
        }
        22 if len > 0 => {
            let start = below(rng, (len / 10).max(1));
            let count = len - start - below(rng, (len / 10).max(1)).min(len - start);
            list.form().keep(start, count);
            model.truncate(start + count);
            model.drain(..start);
        }
        23 => {
            let search = (below(rng, 3), below(rng, 5), below(rng, len + 10));
            let from_tail = below(rng, 2) == 0;
            let (skip, count, compared) = search;
            assert_eq!(
                list.view()
                    .positions(&element, from_tail, skip, count, compared),
                positions(model, &element, from_tail, search)
            );
        }
        24 if len > 0 => {
            let count = below(rng, 50);
            let found = texts(list.view().range(some_index, count));
            assert!(found.iter().eq(model.iter().skip(some_index).take(count)));
            let found = list.view().at(some_index).map(text);
            assert_eq!(found.as_ref(), model.get(some_index));
            assert!(list.view().at(len).is_none());
        }
        _ => {}
    }
}

fn run(seed: u64, limits: ListLimits, steps: usize) {
    let mut rng = Rng::seeded(seed);
    let (mut list, mut model) = (Bare::new(limits), Model::new());
    let mut big = false;
    for done in 0..steps {
        step(&mut rng, &mut list, &mut model, (done / 1500) % 2 == 0);
        big |= list.big().is_some();
        if done % 50 == 0 {
            assert_same(&list, &model);
        }
    }
    assert_same(&list, &model);
    assert!(big, "the test should reach the large form");
    let strings = list.view().to_strings();
    assert!(strings.iter().eq(model.iter().map(Vec::as_slice)));
}

#[test]
fn any_changes_leave_what_a_deque_would_hold() {
    for (seed, option) in [(1, -1), (2, -2), (3, 1), (4, 3), (5, 100), (6, -1), (7, 0)] {
        run(seed, ListLimits::from_option(option), 6_000);
    }
}

#[test]
fn the_options_number_means_bytes_or_elements() {
    let limits = |number| {
        let limits = ListLimits::from_option(number);
        (limits.node_bytes, limits.node_elements)
    };
    assert_eq!(limits(-1), (4096, usize::MAX));
    assert_eq!(limits(-2), (8192, usize::MAX));
    assert_eq!(limits(-5), (65536, usize::MAX));
    assert_eq!(limits(i64::MIN), (65536, usize::MAX));
    assert_eq!(limits(0), (8192, 1));
    assert_eq!(limits(128), (8192, 128));
    assert_eq!(limits(i64::MAX), (8192, 32767));
}

#[test]
fn a_million_small_elements_take_at_most_twelve_and_a_half_bytes_each() {
    let limits = ListLimits::from_option(-2);
    let mut list = List::new();
    for number in 0..1_000_000 {
        list.push_back(format!("e{number:09}").as_bytes(), limits);
    }
    assert!(list.bytes() <= 12_500_000, "{} bytes", list.bytes());
    assert_eq!(list.bytes(), list.recount_bytes());
    list.check();
}

#[test]
fn an_element_in_the_middle_of_many_nodes_is_found_and_changed() {
    let limits = ListLimits::from_option(1);
    let mut list = List::new();
    for number in 0..50_000 {
        list.push_back(number.to_string().as_bytes(), limits);
    }
    for index in [0, 1, 127, 128, 129, 24_999, 25_000, 49_998, 49_999] {
        assert_eq!(
            text(ListView::big(&list).at(index).unwrap()),
            index.to_string().into_bytes()
        );
    }
    list.insert(25_000, b"new", limits);
    list.remove(100, 20_000, limits);
    assert_eq!(text(ListView::big(&list).at(5_000).unwrap()), b"new");
    assert_eq!(list.len(), 30_001);
    list.check();
}

#[test]
fn a_list_becomes_large_past_the_limit_and_packed_again_at_half_of_it() {
    let mut list = Bare::new(ListLimits::from_option(-2));
    while list.big().is_none() {
        list.push(ListEnd::Back, &[b'x'; 100]);
    }
    let longest = list.view().len();
    assert!((75..=81).contains(&longest), "{longest}");
    while list.big().is_some() {
        list.pop(ListEnd::Front);
    }
    let len = list.view().len();
    assert!((30..=40).contains(&len), "{len}");
    list.push(ListEnd::Front, &[b'x'; 9000]);
    assert!(list.big().is_some());
    list.pop(ListEnd::Front);
    assert!(list.big().is_none());
}

#[test]
fn an_element_of_any_size_comes_back() {
    let mut list = Bare::new(ListLimits::from_option(-2));
    for len in [8170, 8180, 8181, 8182, 8190, 8192, 100_000] {
        list.push(ListEnd::Back, &vec![b'l'; len]);
    }
    list.form().set(6, b"small");
    list.form().set(0, &[b'l'; 70_000]);
    let lens: Vec<usize> = list.view().iter().map(|item| item.len()).collect();
    assert_eq!(lens, [70_000, 8180, 8181, 8182, 8190, 8192, 5]);
    list.big().expect("such a list is large").check();
}

#[test]
fn a_list_is_freed_in_steps_down_to_no_bytes_of_nodes() {
    let limits = ListLimits::from_option(10);
    let mut list = List::new();
    (0..1_000).for_each(|_| list.push_back(b"element", limits));
    let mut steps = 1;
    while list.free_step(30) {
        steps += 1;
        list.check();
    }
    assert_eq!((steps, list.len()), (4, 0));
    assert!(list.bytes() < 1024, "{}", list.bytes());
}

#[test]
fn removing_every_other_element_merges_nodes() {
    let limits = ListLimits::from_option(-2);
    let mut list = List::new();
    for number in 0..100_000 {
        list.push_back(if number % 8 == 0 { b"kept" } else { b"gone" }, limits);
    }
    let before = list.bytes();
    assert_eq!(list.remove_equal(b"gone", usize::MAX, true, limits), 87_500);
    list.check();
    assert!(list.bytes() < before / 4, "{} of {before}", list.bytes());
}

#[test]
fn a_list_may_go_to_another_thread() {
    fn goes<T: Send>(_: T) {}
    goes(List::new());
}
