//! Owns reading a key's value, whatever it holds.
//! Never happens here: a change; a view is read before its shard does anything else.
//! Source: as the forms in the parent module.
#![forbid(unsafe_code)]

use crate::content::Content;
use crate::entry::{Entry, Held};
use crate::hasher::Key;
use crate::shard::Shard;
use crate::value::{IntText, Kind, Millis, Value};

use super::hash::HashView;
use super::list::ListView;
use super::set::SetView;
use super::zset::ZsetView;
use super::{Arena, Thresholds};

/// A key that was found, to read its value.
#[derive(Clone, Copy)]
pub struct View<'a> {
    entry: Entry<'a>,
    arena: Arena<'a>,
    now: Millis,
}

impl<'a> View<'a> {
    /// The key's entry.
    pub fn entry(&self) -> Entry<'a> {
        self.entry
    }

    /// The type of the value.
    pub fn kind(&self) -> Kind {
        self.entry.kind()
    }

    /// The value as a hash, if it is one.
    pub fn hash(&self) -> Option<HashView<'a>> {
        let held = self.held_as(Kind::Hash)?;
        Some(HashView::new(held, self.arena, self.now))
    }

    /// The value as a sorted set, if it is one.
    pub fn zset(&self) -> Option<ZsetView<'a>> {
        Some(ZsetView::new(self.held_as(Kind::Zset)?, self.arena))
    }

    /// The value as a set, if it is one.
    pub fn set(&self) -> Option<SetView<'a>> {
        let held = self.held_as(Kind::Set)?;
        Some(SetView::new(held, self.arena, self.now))
    }

    /// The value as a list, if it is one.
    pub fn list(&self) -> Option<ListView<'a>> {
        self.held_as(Kind::List).map(ListView::of)
    }

    /// Where a large collection, or the text of a string, is, by which one who reads it in steps knows that it is still the
    /// same: another one in its place lies elsewhere. The same may be told for another while nothing refers to it any more.
    pub fn large_at(&self) -> Option<usize> {
        match self.entry.held() {
            Some(Held::Big(big)) => Some(std::ptr::from_ref(big).addr()),
            Some(Held::Packed(..)) => None,
            None => self.text().map(|text| text.as_ptr().addr()),
        }
    }

    /// The text of a string that is not kept as an integer.
    pub fn text(&self) -> Option<&'a [u8]> {
        match self.kind() {
            Kind::String => match self.entry.value() {
                Value::Bytes { bytes, .. } => Some(bytes),
                Value::Int(_) => None,
            },
            _ => None,
        }
    }

    /// The value as plain data.
    pub(crate) fn plain(&self) -> Content {
        let elements = self.elements();
        elements.unwrap_or_else(|| match self.entry.value() {
            Value::Int(number) => Content::String(IntText::of(number).bytes().to_vec()),
            Value::Bytes { bytes, .. } => Content::String(bytes.to_vec()),
        })
    }

    /// The elements as plain data; `None` for a string.
    fn elements(&self) -> Option<Content> {
        match self.kind() {
            Kind::String => None,
            Kind::Hash => {
                let (pairs, expiries) = self.hash()?.content();
                Some(Content::Hash { pairs, expiries })
            }
            Kind::Zset => {
                let (members, scores) = self.zset()?.content();
                Some(Content::Zset { members, scores })
            }
            Kind::Set => Some(Content::Set(self.set()?.content())),
            Kind::Stream => Some(Content::Stream(self.stream()?.to_content())),
            Kind::List => Some(Content::List(self.list()?.to_strings())),
        }
    }

    fn held_as(&self, kind: Kind) -> Option<Held<'a>> {
        self.entry.held().filter(|_| self.entry.kind() == kind)
    }
}

impl Shard {
    /// Looks a key up to read its value, whatever it holds, and notes the access if it `touches`.
    /// An expired key is removed and not found.
    pub fn view(&mut self, db: usize, key: Key, touches: bool, now: Millis) -> Option<View<'_>> {
        let block = if touches {
            self.locate_and_touch(db, key, now)?
        } else {
            self.find(db, key, now)?.block
        };
        Some(View {
            entry: self.entry(block),
            arena: self.arena(),
            now,
        })
    }

    /// As [`Shard::view`], beside views of other keys: notes no access, and an expired key is not
    /// found but stays.
    pub fn view_beside(&self, db: usize, key: Key, now: Millis) -> Option<View<'_>> {
        let arena = self.arena();
        let found = self.databases[db].index.find(arena.slab, key, arena.base)?;
        let entry = self.entry(found.block);
        (!entry.is_expired(now)).then_some(View { entry, arena, now })
    }

    pub(crate) fn arena(&self) -> Arena<'_> {
        Arena {
            slab: &self.slab,
            hasher: &self.hasher,
            base: self.base,
        }
    }

    /// Sets up to where collections stay packed; holds from their next change on.
    pub fn set_thresholds(&mut self, thresholds: Thresholds) {
        self.thresholds = thresholds;
    }
}
