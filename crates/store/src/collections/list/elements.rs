//! Owns reading a list: length, one element, a range from either end, and where equal elements lie; whatever the list's form.
//! Never happens here: a change, or a walk over elements that were not asked for.
//! Source: LRANGE, LINDEX and LPOS of Redis.

use super::List;
use super::skeleton::Place;
use crate::content::Strings;
use crate::pack::{self, IntBuffer, Item};

/// A list to be read.
#[derive(Clone, Copy, Debug)]
pub struct ListView<'a>(Form<'a>);

#[derive(Clone, Copy, Debug)]
enum Form<'a> {
    Packed(&'a [u8]),
    Big(&'a List),
}

impl<'a> ListView<'a> {
    /// A list that is one pack.
    pub(super) fn packed(pack: &'a [u8]) -> ListView<'a> {
        ListView(Form::Packed(pack))
    }

    /// A large list.
    pub(super) fn big(list: &'a List) -> ListView<'a> {
        ListView(Form::Big(list))
    }

    /// Number of elements.
    pub fn len(self) -> usize {
        match self.0 {
            Form::Packed(pack) => pack::len(pack),
            Form::Big(list) => list.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Bytes of the nodes; 0 where the elements lie in their key's entry.
    #[inline]
    pub fn bytes(self) -> u64 {
        match self.0 {
            Form::Packed(_) => 0,
            Form::Big(list) => list.bytes() as u64,
        }
    }

    /// The element at `index`, if the list is longer than that.
    pub fn at(self, index: usize) -> Option<Item<'a>> {
        (index < self.len()).then(|| self.cursor(index).item())
    }

    /// `count` elements from `start` on, fewer where the list ends before. Elements are looked up when they are asked for.
    pub fn range(self, start: usize, count: usize) -> Elements<'a> {
        let len = self.len();
        let start = start.min(len);
        Elements {
            view: self,
            start,
            end: start + count.min(len - start),
            front: None,
            back: None,
        }
    }

    /// All elements.
    pub fn iter(self) -> Elements<'a> {
        self.range(0, usize::MAX)
    }

    /// Index of the first element equal to `text`.
    pub fn find(self, text: &[u8]) -> Option<usize> {
        self.iter().position(|item| item.is(text))
    }

    /// Indexes of elements equal to `text`, in the order of the search: the first `skip` are passed over, at most `count_max`
    /// given, at most `compared_max` elements looked at. The search begins at the tail if `from_tail`.
    pub fn positions(
        self,
        text: &[u8],
        from_tail: bool,
        skip: usize,
        count_max: usize,
        compared_max: usize,
    ) -> Vec<usize> {
        let len = self.len();
        if from_tail {
            let equal = |(behind, item): (usize, Item<'_>)| item.is(text).then_some(behind);
            let looked_at = self.iter().rev().take(compared_max).enumerate();
            let found = looked_at.filter_map(equal).skip(skip).take(count_max);
            found.map(|behind| len - 1 - behind).collect()
        } else {
            let equal = |(index, item): (usize, Item<'_>)| item.is(text).then_some(index);
            let looked_at = self.iter().take(compared_max).enumerate();
            let found = looked_at.filter_map(equal).skip(skip).take(count_max);
            found.collect()
        }
    }

    /// All elements as plain data.
    pub fn to_strings(self) -> Strings {
        let (mut strings, mut buffer) = (Strings::default(), IntBuffer::new());
        for item in self.iter() {
            strings.push(item.text(&mut buffer));
        }
        strings
    }

    /// The place of the element at `index`, which is below `len`.
    fn cursor(self, index: usize) -> Cursor<'a> {
        match self.0 {
            Form::Packed(pack) => Cursor {
                list: None,
                pack: Some(pack),
                bytes: pack,
                at: pack::nth(pack, index as i64).expect("an index below the length"),
            },
            Form::Big(list) => {
                let (place, within) = list.skeleton.locate(index);
                let at = list.skeleton.node(place).offset(within);
                Cursor::in_node(list, place, at)
            }
        }
    }
}

/// One element's place.
#[derive(Clone, Copy, Debug)]
struct Cursor<'a> {
    /// The list and the node in it, where the list is large.
    list: Option<(&'a List, Place)>,
    /// The pack that holds the element, unless the element is a node by itself.
    pack: Option<&'a [u8]>,
    /// The pack, or the element itself.
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn in_node(list: &'a List, place: Place, at: usize) -> Cursor<'a> {
        let node = list.skeleton.node(place);
        Cursor {
            list: Some((list, place)),
            pack: (!node.is_plain()).then_some(node.bytes()),
            bytes: node.bytes(),
            at,
        }
    }

    #[inline]
    fn item(&self) -> Item<'a> {
        match self.pack {
            Some(pack) => pack::item(pack, self.at),
            None => Item::Bytes(self.bytes),
        }
    }

    /// Goes to the next element, which exists.
    #[inline]
    fn advance(&mut self) {
        match self.pack.and_then(|pack| pack::next(pack, self.at)) {
            Some(at) => self.at = at,
            None => {
                let (list, place) = self.list.expect("a pack has all elements of its list");
                let place = list.skeleton.next(place).expect("an element follows");
                *self = Cursor::in_node(list, place, list.skeleton.node(place).offset(0));
            }
        }
    }

    /// Goes to the element before, which exists.
    #[inline]
    fn retreat(&mut self) {
        match self.pack.and_then(|pack| pack::prev(pack, self.at)) {
            Some(at) => self.at = at,
            None => {
                let (list, place) = self.list.expect("a pack has all elements of its list");
                let place = list.skeleton.prev(place).expect("an element lies before");
                let node = list.skeleton.node(place);
                *self = Cursor::in_node(list, place, node.offset(node.len() - 1));
            }
        }
    }
}

/// Elements of a list in order, from either end.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    view: ListView<'a>,
    /// Index of the next element.
    start: usize,
    /// Index after the next element from behind.
    end: usize,
    /// Where the last element from the front was, once there was one.
    front: Option<Cursor<'a>>,
    /// Where the last element from behind was, once there was one.
    back: Option<Cursor<'a>>,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        if self.start == self.end {
            return None;
        }
        let cursor = match &mut self.front {
            Some(cursor) => {
                cursor.advance();
                cursor
            }
            None => self.front.insert(self.view.cursor(self.start)),
        };
        self.start += 1;
        Some(cursor.item())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.end - self.start, Some(self.end - self.start))
    }
}

impl DoubleEndedIterator for Elements<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.start == self.end {
            return None;
        }
        let cursor = match &mut self.back {
            Some(cursor) => {
                cursor.retreat();
                cursor
            }
            None => self.back.insert(self.view.cursor(self.end - 1)),
        };
        self.end -= 1;
        Some(cursor.item())
    }
}

impl ExactSizeIterator for Elements<'_> {}
impl std::iter::FusedIterator for Elements<'_> {}
