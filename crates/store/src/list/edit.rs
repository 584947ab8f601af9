//! Owns changing a list whatever its form, and the passage from one form to the other.
//! Never happens here: reading beyond what a change needs (`elements`), or the entry that holds the list.
//! Source: Redis 7.2, when a list of one listpack becomes a quicklist and when it is one listpack again.

use super::{List, ListLimits, ListView};
use crate::content::Strings;
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

/// A list to be changed.
#[derive(Debug)]
pub enum ListEdit {
    /// One pack.
    Packed(Vec<u8>),
    /// Many nodes.
    Big(Box<List>),
}

impl Default for ListEdit {
    fn default() -> ListEdit {
        ListEdit::new()
    }
}

impl ListEdit {
    /// An empty list.
    pub fn new() -> ListEdit {
        ListEdit::Packed(pack::new())
    }

    /// A list of these elements.
    pub fn from_strings(strings: &Strings, limits: ListLimits) -> ListEdit {
        let mut list = ListEdit::new();
        for string in strings.iter() {
            list.push(ListEnd::Back, string, limits);
        }
        list
    }

    /// A reader of the list.
    pub fn view(&self) -> ListView<'_> {
        match self {
            ListEdit::Packed(pack) => ListView::Packed(pack),
            ListEdit::Big(list) => ListView::Big(list),
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.view().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an element at an end.
    pub fn push(&mut self, end: ListEnd, text: &[u8], limits: ListLimits) {
        self.push_all(end, std::iter::once(text), limits);
    }

    /// Adds elements at an end, one after the other. They decide together whether the list becomes a large one.
    pub fn push_all<'t>(
        &mut self,
        end: ListEnd,
        texts: impl Iterator<Item = &'t [u8]> + Clone,
        limits: ListLimits,
    ) {
        self.grow(texts.clone(), limits);
        match (self, end) {
            (ListEdit::Packed(pack), ListEnd::Back) => {
                texts.for_each(|text| pack::push(pack, text))
            }
            (ListEdit::Packed(pack), ListEnd::Front) => texts.for_each(|text| {
                let at = pack::first(pack).unwrap_or(pack.len());
                pack::insert(pack, at, text);
            }),
            (ListEdit::Big(list), ListEnd::Back) => {
                texts.for_each(|text| list.push_back(text, limits));
            }
            (ListEdit::Big(list), ListEnd::Front) => {
                texts.for_each(|text| list.push_front(text, limits));
            }
        }
    }

    /// Takes the element at an end out.
    pub fn pop(&mut self, end: ListEnd, limits: ListLimits) -> Option<Vec<u8>> {
        let last = self.len().checked_sub(1)?;
        let index = match end {
            ListEnd::Front => 0,
            ListEnd::Back => last,
        };
        let item = self.view().at(index)?;
        let text = item.text(&mut IntBuffer::new()).to_vec();
        self.remove(index, 1, limits);
        Some(text)
    }

    /// Inserts before the element at `index`; `index` is at most `len`.
    pub fn insert(&mut self, index: usize, text: &[u8], limits: ListLimits) {
        self.grow(std::iter::once(text), limits);
        match self {
            ListEdit::Packed(pack) => {
                let at = pack::nth(pack, index as i64).unwrap_or(pack.len());
                pack::insert(pack, at, text);
            }
            ListEdit::Big(list) => list.insert(index, text, limits),
        }
    }

    /// Puts another text in the place of the element at `index`, which is below `len`.
    pub fn set(&mut self, index: usize, text: &[u8], limits: ListLimits) {
        self.grow(std::iter::once(text), limits);
        match self {
            ListEdit::Packed(pack) => {
                let at = pack::nth(pack, index as i64).expect("an index below the length");
                pack::replace(pack, at, text);
            }
            ListEdit::Big(list) => list.set(index, text, limits),
        }
        self.shrink(limits);
    }

    /// Removes `count` elements from `index` on, fewer where the list ends before.
    pub fn remove(&mut self, index: usize, count: usize, limits: ListLimits) {
        match self {
            ListEdit::Packed(pack) => {
                let count = count.min(pack::len(pack).saturating_sub(index));
                if count > 0
                    && let Some(at) = pack::nth(pack, index as i64)
                {
                    pack::remove(pack, at, count);
                }
            }
            ListEdit::Big(list) => list.remove(index, count, limits),
        }
        self.shrink(limits);
    }

    /// Keeps `count` elements from `start` on and removes all others.
    pub fn keep(&mut self, start: usize, count: usize, limits: ListLimits) {
        match self {
            ListEdit::Packed(_) => {
                self.remove(start.saturating_add(count), usize::MAX, limits);
                self.remove(0, start, limits);
            }
            ListEdit::Big(list) => {
                list.keep(start, count, limits);
                self.shrink(limits);
            }
        }
    }

    /// Removes elements equal to `text`: all, or the first `count_max`, the last `count_max` if `from_tail`. Returns how many.
    pub fn remove_equal(
        &mut self,
        text: &[u8],
        count_max: usize,
        from_tail: bool,
        limits: ListLimits,
    ) -> usize {
        let removed = match self {
            ListEdit::Packed(pack) => {
                let view = ListView::Packed(pack);
                let mut found = view.positions(text, from_tail, 0, count_max, usize::MAX);
                // From the tail on, so that the other indexes stay right.
                if !from_tail {
                    found.reverse();
                }
                for &index in &found {
                    let at = pack::nth(pack, index as i64).expect("an index below the length");
                    pack::remove(pack, at, 1);
                }
                found.len()
            }
            ListEdit::Big(list) => list.remove_equal(text, count_max, from_tail, limits),
        };
        self.shrink(limits);
        removed
    }

    /// Takes the large form if one pack would go past the limits with these texts added.
    fn grow<'t>(&mut self, texts: impl Iterator<Item = &'t [u8]>, limits: ListLimits) {
        let ListEdit::Packed(pack) = self else {
            return;
        };
        let (mut bytes, mut elements) = (listpack_bytes(pack), pack::len(pack));
        for text in texts {
            bytes += text.len().max(COUNTED_BYTES_MIN);
            elements += 1;
        }
        if bytes > limits.node_bytes || elements > limits.node_elements {
            let list = List::from_pack(std::mem::take(pack), limits);
            *self = ListEdit::Big(Box::new(list));
        }
    }

    /// Takes the packed form if the list has shrunk that far.
    fn shrink(&mut self, limits: ListLimits) {
        if let ListEdit::Big(list) = self
            && list.should_be_packed(limits)
        {
            let list = std::mem::take(&mut **list);
            let pack = list.into_pack(limits).expect("it should be packed");
            *self = ListEdit::Packed(pack);
        }
    }
}
