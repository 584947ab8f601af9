//! Owns changing a list whatever its form, and the passage from one form to the other.
//! Never happens here: reading beyond what a change needs (`elements`), or the entry that holds the list.
//! Source: Redis 7.2, when a list of one listpack becomes a quicklist and when it is one listpack again.

use super::{List, ListLimits, ListView};
use crate::collections::door::{Body, Door};
use crate::collections::{Big, PackForm};
use crate::content::Strings;
use crate::entry::Held;
use crate::pack::{self, IntBuffer};

/// A listpack's header and end byte are this much longer than a pack's header; the limits are those of listpacks.
const LISTPACK_BYTES_MORE: usize = 5;

/// What an element counts at least against the limit of a pack, so that empty strings count too.
const COUNTED_BYTES_MIN: usize = 2;

/// The size of a pack's elements as a listpack, which the limits speak of.
pub(super) fn listpack_bytes(pack: &[u8]) -> usize {
    pack.len() + LISTPACK_BYTES_MORE
}

/// One of a list's ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListEnd {
    /// The head, index 0.
    Front,
    /// The tail.
    Back,
}

/// A list open for change; the change is settled when it is dropped.
pub struct ListEdit<'s>(Door<'s>);

impl<'s> Door<'s> {
    /// The collection as a list, which its opener asked for.
    pub fn list(self) -> ListEdit<'s> {
        ListEdit(self)
    }
}

impl ListEdit<'_> {
    /// The list as it is now.
    pub fn view(&self) -> ListView<'_> {
        let (held, _) = self.0.look();
        ListView::of(held)
    }

    /// Adds elements at an end, one after the other. They decide together whether the list becomes a large one.
    pub fn push<'t>(&mut self, end: ListEnd, texts: impl Iterator<Item = &'t [u8]> + Clone) {
        self.form().push(end, texts);
    }

    /// Adds plain data at the tail; only what is there already decides the form.
    pub(crate) fn fill(&mut self, elements: &Strings) {
        let mut form = self.form();
        for text in elements.iter() {
            form.push(ListEnd::Back, std::iter::once(text));
        }
    }

    /// Inserts before the element at `index`; `index` is at most the list's length.
    pub fn insert(&mut self, index: usize, text: &[u8]) {
        self.form().insert(index, text);
    }

    /// Puts another text in the place of the element at `index`, which is below the list's length.
    pub fn set(&mut self, index: usize, text: &[u8]) {
        self.form().set(index, text);
    }

    /// Removes `count` elements from `index` on, fewer where the list ends before.
    pub fn remove(&mut self, index: usize, count: usize) {
        self.form().remove(index, count);
    }

    /// Removes `count` elements at an end, fewer where there are no more.
    pub fn drop_at(&mut self, end: ListEnd, count: usize) {
        let len = self.view().len();
        let count = count.min(len);
        let index = match end {
            ListEnd::Front => 0,
            ListEnd::Back => len - count,
        };
        self.form().remove(index, count);
    }

    /// Moves the element at an end to the other end.
    pub fn rotate(&mut self, from: ListEnd) {
        let view = self.view();
        let (index, to) = match from {
            ListEnd::Front => (0, ListEnd::Back),
            ListEnd::Back => (view.len().saturating_sub(1), ListEnd::Front),
        };
        let Some(element) = view.at(index) else {
            return;
        };
        let element = element.text(&mut IntBuffer::new()).to_vec();
        self.remove(index, 1);
        self.push(to, std::iter::once(&element[..]));
    }

    /// Keeps `count` elements from `start` on and removes all others.
    pub fn keep(&mut self, start: usize, count: usize) {
        self.form().keep(start, count);
    }

    /// Removes elements equal to `text`: the first `count_max`, the last `count_max` if `from_tail`. Returns how many went.
    pub fn remove_equal(&mut self, text: &[u8], count_max: usize, from_tail: bool) -> usize {
        self.form().remove_equal(text, count_max, from_tail)
    }

    fn form(&mut self) -> Form<'_> {
        let open = self.0.open();
        Form {
            body: open.body,
            limits: ListLimits::of(open.thresholds),
        }
    }
}

/// A list's body with the limits it keeps.
pub(super) struct Form<'b> {
    pub(super) body: &'b mut Body,
    pub(super) limits: ListLimits,
}

/// What a body is to be changed as.
enum Parts<'b> {
    Packed(&'b mut Vec<u8>),
    Big(&'b mut List),
}

impl Form<'_> {
    fn parts(&mut self) -> Parts<'_> {
        match self.body {
            Body::Packed(_, pack) => Parts::Packed(pack),
            Body::Big(big) => match &mut **big {
                Big::List(list) => Parts::Big(list),
                other => unreachable!("a list is no {:?}", other.kind()),
            },
        }
    }

    pub(super) fn push<'t>(&mut self, end: ListEnd, texts: impl Iterator<Item = &'t [u8]> + Clone) {
        self.grow(texts.clone());
        let limits = self.limits;
        match (self.parts(), end) {
            (Parts::Packed(pack), ListEnd::Back) => texts.for_each(|text| pack::push(pack, text)),
            (Parts::Packed(pack), ListEnd::Front) => texts.for_each(|text| {
                let at = pack::first(pack).unwrap_or(pack.len());
                pack::insert(pack, at, text);
            }),
            (Parts::Big(list), ListEnd::Back) => {
                texts.for_each(|text| list.push_back(text, limits));
            }
            (Parts::Big(list), ListEnd::Front) => {
                texts.for_each(|text| list.push_front(text, limits));
            }
        }
    }

    pub(super) fn insert(&mut self, index: usize, text: &[u8]) {
        self.grow(std::iter::once(text));
        let limits = self.limits;
        match self.parts() {
            Parts::Packed(pack) => {
                let at = pack::nth(pack, index as i64).unwrap_or(pack.len());
                pack::insert(pack, at, text);
            }
            Parts::Big(list) => list.insert(index, text, limits),
        }
    }

    pub(super) fn set(&mut self, index: usize, text: &[u8]) {
        self.grow(std::iter::once(text));
        let limits = self.limits;
        match self.parts() {
            Parts::Packed(pack) => {
                let at = pack::nth(pack, index as i64).expect("an index below the length");
                pack::replace(pack, at, text);
            }
            Parts::Big(list) => list.set(index, text, limits),
        }
        self.shrink();
    }

    pub(super) fn remove(&mut self, index: usize, count: usize) {
        let limits = self.limits;
        match self.parts() {
            Parts::Packed(pack) => remove_packed(pack, index, count),
            Parts::Big(list) => list.remove(index, count, limits),
        }
        self.shrink();
    }

    pub(super) fn keep(&mut self, start: usize, count: usize) {
        let limits = self.limits;
        match self.parts() {
            Parts::Packed(pack) => {
                remove_packed(pack, start.saturating_add(count), usize::MAX);
                remove_packed(pack, 0, start);
            }
            Parts::Big(list) => list.keep(start, count, limits),
        }
        self.shrink();
    }

    pub(super) fn remove_equal(&mut self, text: &[u8], count_max: usize, from_tail: bool) -> usize {
        let limits = self.limits;
        let removed = match self.parts() {
            Parts::Packed(pack) => {
                let view = ListView::packed(pack);
                let mut found = view.positions(text, from_tail, 0, count_max, usize::MAX);
                // From the tail on, so that the other indexes stay right.
                if !from_tail {
                    found.reverse();
                }
                for &index in &found {
                    remove_packed(pack, index, 1);
                }
                found.len()
            }
            Parts::Big(list) => list.remove_equal(text, count_max, from_tail, limits),
        };
        self.shrink();
        removed
    }

    /// Takes the large form if one pack would go past the limits with these texts added.
    fn grow<'t>(&mut self, texts: impl Iterator<Item = &'t [u8]>) {
        let Body::Packed(_, pack) = &mut *self.body else {
            return;
        };
        let (mut bytes, mut elements) = (listpack_bytes(pack), pack::len(pack));
        for text in texts {
            bytes += text.len().max(COUNTED_BYTES_MIN);
            elements += 1;
        }
        if bytes > self.limits.node_bytes || elements > self.limits.node_elements {
            let list = List::from_pack(std::mem::take(pack), self.limits);
            *self.body = Body::Big(Box::new(Big::List(list)));
        }
    }

    /// Takes the packed form if the list has shrunk that far.
    fn shrink(&mut self) {
        if let Body::Big(big) = &mut *self.body
            && let Big::List(list) = &mut **big
            && list.should_be_packed(self.limits)
        {
            *self.body = Body::Packed(PackForm::List, list.take_pack());
        }
    }
}

impl<'a> ListView<'a> {
    /// What an entry holds, which is a list.
    pub(crate) fn of(held: Held<'a>) -> ListView<'a> {
        match held {
            Held::Packed(_, pack) => ListView::packed(pack),
            Held::Big(Big::Packed(_, pack)) => ListView::packed(pack),
            Held::Big(Big::List(list)) => ListView::big(list),
            Held::Big(other) => unreachable!("a list is no {:?}", other.kind()),
        }
    }
}

fn remove_packed(pack: &mut Vec<u8>, index: usize, count: usize) {
    let count = count.min(pack::len(pack).saturating_sub(index));
    if count > 0
        && let Some(at) = pack::nth(pack, index as i64)
    {
        pack::remove(pack, at, count);
    }
}
