//! Owns the one way in which a collection changes: taken out of its entry, edited, put back, settled.
//! Never happens here: what elements mean; a change that no account sees.
//! Source: read, copy, update for packed forms; large ones are edited where they are.
#![forbid(unsafe_code)]

use crate::account::Footprint;
use crate::entry::{Draft, Held, NewValue, Scratch, edit};
use crate::hasher::Key;
use crate::index::Found;
use crate::pack;
use crate::shard::Shard;
use crate::slab::BlockRef;
use crate::stream::Stream;
use crate::value::{Kind, Millis};

use super::{Arena, ArenaMut, Big, PackForm, Thresholds};

/// The buffer for packed elements is kept for the next change up to this size.
const BUFFER_BYTES_KEPT: usize = 16 * 1024;

/// A collection while it is open for change.
#[derive(Debug)]
pub(crate) enum Body {
    /// Packed elements.
    Packed(PackForm, Vec<u8>),
    /// Elements in a structure.
    Big(Box<Big>),
}

impl Body {
    fn fresh(kind: Kind, mut buffer: Vec<u8>) -> Body {
        buffer.clear();
        let form = match kind {
            Kind::Hash => PackForm::Hash,
            Kind::List => PackForm::List,
            Kind::Zset => PackForm::Zset,
            Kind::Set => {
                buffer.extend_from_slice(&crate::intset::new());
                return Body::Packed(PackForm::Ints, buffer);
            }
            Kind::Stream => return Body::Big(Box::new(Big::Stream(Stream::new()))),
            Kind::String => unreachable!("a string is no collection"),
        };
        buffer.extend_from_slice(&pack::new());
        Body::Packed(form, buffer)
    }

    fn is_empty(&self) -> bool {
        match self {
            Body::Packed(form, pack) => form.is_empty(pack),
            Body::Big(big) => big.is_empty() && big.kind() != Kind::Stream,
        }
    }
}

/// A key's collection, open for change. Closing it, by dropping it, puts it back into its entry,
/// settles the account, and removes the key if nothing is left in it.
pub struct Door<'s> {
    shard: &'s mut Shard,
    db: usize,
    key: Key<'s>,
    now: Millis,
    /// The key, if it was there, and what it counted for.
    found: Option<(Found, Footprint)>,
    /// `None` once closed.
    body: Option<Body>,
    /// Whether the body must be written back.
    is_changed: bool,
}

/// The key holds another type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WrongKind;

/// Everything an edit works with.
pub(crate) struct Open<'d> {
    pub(crate) body: &'d mut Body,
    pub(crate) arena: ArenaMut<'d>,
    pub(crate) thresholds: &'d Thresholds,
    pub(crate) now: Millis,
}

impl<'s> Door<'s> {
    /// The body to change, and what it lies in. Whoever asks changes it, as far as the account knows.
    pub(crate) fn open(&mut self) -> Open<'_> {
        self.is_changed = true;
        let Shard {
            slab,
            hasher,
            base,
            thresholds,
            ..
        } = &mut *self.shard;
        Open {
            body: self.body.as_mut().expect("an open door has a body"),
            arena: ArenaMut {
                slab,
                hasher,
                base: *base,
            },
            thresholds,
            now: self.now,
        }
    }

    /// Puts another body in the place of this one, which is freed.
    pub(crate) fn replace(&mut self, body: Body) {
        self.is_changed = true;
        let old = self.body.replace(body).expect("an open door has a body");
        self.shard.free_body(old);
    }

    /// The body to read.
    pub(crate) fn look(&self) -> (Held<'_>, Arena<'_>) {
        let held = match self.body.as_ref().expect("an open door has a body") {
            Body::Packed(form, pack) => Held::Packed(*form, pack),
            Body::Big(big) => Held::Big(big),
        };
        (held, self.shard.arena())
    }

    /// Up to where collections stay packed, and the sizes of nodes.
    pub(crate) fn thresholds(&self) -> &Thresholds {
        &self.shard.thresholds
    }

    /// The moment of the call.
    pub(crate) fn now(&self) -> Millis {
        self.now
    }

    /// Whether the key was there when it was opened.
    pub fn existed(&self) -> bool {
        self.found.is_some()
    }

    /// Frees what was taken out of the collection, in steps unless it is small.
    pub(super) fn bury(&mut self, part: Box<Big>) {
        self.shard.bury(part);
    }

    fn close(&mut self, body: Body) {
        match (self.found, body.is_empty()) {
            (None, true) => self.shard.free_body(body),
            (None, false) => {
                let expiry = body_field_expiry(&body);
                self.shard
                    .insert_body(self.db, self.key, body, expiry, self.now);
            }
            (Some((found, before)), true) => {
                self.shard.free_body(body);
                self.shard.remove_shell(self.db, self.key, found, before);
            }
            (Some((found, before)), false) => {
                if !self.is_changed
                    && let Body::Packed(_, buffer) = body
                {
                    return self.shard.keep_buffer(buffer);
                }
                let expiry = body_field_expiry(&body);
                let block = self.shard.put_body(found, body);
                self.shard.changed(
                    self.db,
                    self.key.hash,
                    found,
                    block,
                    before,
                    expiry,
                    self.now,
                );
            }
        }
    }
}

fn body_field_expiry(body: &Body) -> Option<Millis> {
    match body {
        Body::Packed(PackForm::HashEx, pack) => super::hash::packed_expiry(pack),
        Body::Packed(..) => None,
        Body::Big(big) => big.field_expiry(),
    }
}

impl Drop for Door<'_> {
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            self.close(body);
        }
    }
}

impl Shard {
    /// Opens the collection of a key for change; `None` if the key is missing.
    ///
    /// # Errors
    /// The key holds another type.
    pub fn open<'s>(
        &'s mut self,
        db: usize,
        key: Key<'s>,
        kind: Kind,
        now: Millis,
    ) -> Result<Option<Door<'s>>, WrongKind> {
        match self.find(db, key, now) {
            Some(found) => self.open_found(db, key, found, kind, now).map(Some),
            None => Ok(None),
        }
    }

    fn open_found<'s>(
        &'s mut self,
        db: usize,
        key: Key<'s>,
        found: Found,
        kind: Kind,
        now: Millis,
    ) -> Result<Door<'s>, WrongKind> {
        let entry = self.entry(found.block);
        if entry.kind() != kind {
            return Err(WrongKind);
        }
        let before = entry.footprint();
        let (body, is_changed) = self.take_body(found);
        Ok(Door {
            shard: self,
            db,
            key,
            now,
            found: Some((found, before)),
            body: Some(body),
            is_changed,
        })
    }

    /// Opens the collection of a key for change, a new and empty one if the key is missing.
    ///
    /// # Errors
    /// The key holds another type.
    pub fn open_or_new<'s>(
        &'s mut self,
        db: usize,
        key: Key<'s>,
        kind: Kind,
        now: Millis,
    ) -> Result<Door<'s>, WrongKind> {
        if let Some(found) = self.find(db, key, now) {
            return self.open_found(db, key, found, kind, now);
        }
        let body = Body::fresh(kind, std::mem::take(&mut self.pack_buffer));
        Ok(Door {
            shard: self,
            db,
            key,
            now,
            found: None,
            body: Some(body),
            is_changed: true,
        })
    }

    /// Takes the collection out of its entry, and says whether it must be written back.
    fn take_body(&mut self, found: Found) -> (Body, bool) {
        match self.entry(found.block).held() {
            None => unreachable!("a string has no body"),
            Some(Held::Packed(form, _)) => {
                let mut buffer = std::mem::take(&mut self.pack_buffer);
                buffer.clear();
                let Some(Held::Packed(_, pack)) = self.entry(found.block).held() else {
                    unreachable!("nothing happened between two looks")
                };
                buffer.extend_from_slice(pack);
                (Body::Packed(form, buffer), false)
            }
            Some(Held::Big(_)) => {
                let mut big = edit::lift_big(&mut self.slab, found.block, self.base);
                match &mut *big {
                    Big::Packed(form, pack) => (Body::Packed(*form, std::mem::take(pack)), true),
                    _ => (Body::Big(big), true),
                }
            }
        }
    }

    /// Puts a collection into the entry it was taken out of.
    fn put_body(&mut self, found: Found, body: Body) -> BlockRef {
        let base = self.base;
        match body {
            Body::Big(big) => edit::put_big(&mut self.slab, found.block, big, base),
            Body::Packed(form, pack) => {
                match edit::put_packed(&mut self.slab, found.block, form, &pack, base) {
                    Some(block) => {
                        self.keep_buffer(pack);
                        block
                    }
                    None => {
                        let mut pack = pack;
                        pack.shrink_to_fit();
                        let big = Box::new(Big::Packed(form, pack));
                        edit::put_big(&mut self.slab, found.block, big, base)
                    }
                }
            }
        }
    }

    /// Stores a collection under a key that is not there.
    fn insert_body(
        &mut self,
        db: usize,
        key: Key,
        body: Body,
        expiry: Option<Millis>,
        now: Millis,
    ) {
        let mut scratch = Scratch::default();
        match body {
            Body::Big(big) => {
                let draft = Draft::new(key, NewValue::Big(big), None, self.base, &mut scratch);
                self.insert(db, key.hash, draft, None, now);
            }
            Body::Packed(form, pack) => {
                let value = NewValue::Packed(form, &pack);
                let draft = Draft::new(key, value, None, self.base, &mut scratch);
                self.insert(db, key.hash, draft, None, now);
                self.keep_buffer(pack);
            }
        }
        if let Some(at) = expiry {
            self.note_expiry(db, key.hash, at);
        }
    }

    /// Takes a key out whose collection was taken out before and is empty.
    fn remove_shell(&mut self, db: usize, key: Key, found: Found, before: Footprint) {
        self.databases[db]
            .index
            .remove(&mut self.slab, key.hash, found);
        self.settle(db, key.hash, found.block, Some(before), None);
        let nothing = edit::destroy(&mut self.slab, found.block, self.base);
        debug_assert!(nothing.is_none(), "the collection was taken out");
        self.watch_removal(db, key.hash);
    }

    fn free_body(&mut self, body: Body) {
        match body {
            Body::Packed(_, buffer) => self.keep_buffer(buffer),
            Body::Big(big) => self.bury(big),
        }
    }

    fn keep_buffer(&mut self, buffer: Vec<u8>) {
        if buffer.capacity() <= BUFFER_BYTES_KEPT && buffer.capacity() > self.pack_buffer.capacity()
        {
            self.pack_buffer = buffer;
        }
    }
}
