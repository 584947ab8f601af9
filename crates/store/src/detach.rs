//! Owns values on their way out of a shard: renamed, copied, moved; and whole databases to be freed.
//! Never happens here: the way itself; a detached value may go to any thread.
//! Source: RENAME, COPY, MOVE and FLUSHDB ASYNC of Redis.
#![forbid(unsafe_code)]

use memory::heap::travel::box_bytes;
use std::ops::Range;

use crate::collections::{AddRule, Big, HashEdit, ListEnd, PackForm, View};
use crate::content::{Content, Strings};
use crate::entry::edit::Remains;
use crate::entry::{Entry, Held, NewValue, edit};
use crate::hasher::Key;
use crate::heap::HeapBlock;
use crate::ledger::Ledger;
use crate::shard::{Database, Shard};
use crate::slab::Slab;
use crate::stream::Stream;
use crate::value::{Expiry, Kind, Millis, Value, canonical_int};

/// A value without a key and outside of any shard, with its expiry.
#[derive(Debug)]
pub struct Detached {
    body: Body,
    expiry: Option<Millis>,
}

#[derive(Debug)]
enum Body {
    Int(i64),
    Bytes {
        bytes: Box<[u8]>,
        raw: bool,
    },
    Heap(HeapBlock),
    Packed(PackForm, Box<[u8]>),
    Content(Box<Content>),
    /// As it lies: no part of it refers to a shard.
    Stream(Box<Stream>),
}

impl Detached {
    /// The value of a string; `None` for any other kind.
    pub fn text(&self) -> Option<Value<'_>> {
        match &self.body {
            Body::Int(number) => Some(Value::Int(*number)),
            Body::Bytes { bytes, raw } => Some(Value::Bytes { bytes, raw: *raw }),
            Body::Heap(block) => Some(Value::Bytes {
                bytes: block.bytes(),
                raw: true,
            }),
            Body::Packed(..) | Body::Content(_) | Body::Stream(_) => None,
        }
    }

    /// A value of plain data.
    pub fn of(content: Content, expiry: Option<Millis>) -> Detached {
        let body = match content {
            Content::String(bytes) => match canonical_int(&bytes) {
                Some(number) => Body::Int(number),
                None => Body::Bytes {
                    bytes: bytes.into(),
                    raw: false,
                },
            },
            content => Body::Content(Box::new(content)),
        };
        Detached { body, expiry }
    }

    /// A copy of a stream.
    pub fn of_stream(stream: Stream, expiry: Option<Millis>) -> Detached {
        let body = Body::Stream(Box::new(stream));
        Detached { body, expiry }
    }

    /// Bytes of its blocks on the heap, as the allocator rounds them: what changes hands when it goes to another thread.
    pub fn heap_bytes(&self) -> usize {
        match &self.body {
            Body::Int(_) => 0,
            Body::Bytes { bytes, .. } | Body::Packed(_, bytes) => box_bytes(&**bytes),
            Body::Heap(block) => block.block_bytes(),
            Body::Content(content) => box_bytes(&**content) + content.heap_bytes(),
            Body::Stream(stream) => box_bytes(&**stream) + stream.bytes() as usize,
        }
    }

    /// How many elements it has, where it is a large collection.
    pub fn elements(&self) -> usize {
        match &self.body {
            Body::Content(content) => content.elements(),
            _ => 1,
        }
    }

    /// The large collection, where it is one that grows by elements, with its expiry.
    ///
    /// # Errors
    /// It is none.
    pub fn into_elements(self) -> Result<(Content, Option<Millis>), Detached> {
        match self.body {
            Body::Content(content) if content.kind() != Kind::Stream => Ok((*content, self.expiry)),
            body => Err(Detached { body, ..self }),
        }
    }

    /// When it expires, if it does.
    pub fn expiry(&self) -> Option<Millis> {
        self.expiry
    }

    fn copy_of(view: View) -> Detached {
        let entry = view.entry();
        let (expiry, on_heap) = (entry.expiry(), entry.is_value_on_heap());
        let body = match entry.held() {
            // What is packed means the same on every shard.
            Some(Held::Packed(form, pack)) => Body::Packed(form, pack.into()),
            Some(Held::Big(Big::Stream(stream))) => Body::Stream(Box::new(stream.copied())),
            Some(Held::Big(_)) => Body::Content(Box::new(view.plain())),
            None => match entry.value() {
                Value::Int(number) => Body::Int(number),
                Value::Bytes { bytes, .. } if on_heap => Body::Heap(HeapBlock::concat(&[bytes])),
                Value::Bytes { bytes, raw } => Body::Bytes {
                    bytes: bytes.into(),
                    raw,
                },
            },
        };
        Detached { body, expiry }
    }
}

impl Shard {
    /// Gives a value and its expiry another key, or the same in another database, over whatever
    /// that held; a large value is not copied. False if the key is missing.
    pub fn rename(
        &mut self,
        (db, key): (usize, Key),
        (new_db, new_key): (usize, Key),
        now: Millis,
    ) -> bool {
        let Some(found) = self.find(db, key, now) else {
            return false;
        };
        let entry = self.entry(found.block);
        let (footprint, expiry) = (entry.footprint(), entry.expiry());
        let small = match entry.held() {
            Some(Held::Packed(form, pack)) => Some(Small::Packed(form, pack.to_vec())),
            Some(Held::Big(_)) => None,
            None if entry.is_value_on_heap() => None,
            None => Some(Small::Text(match entry.value() {
                Value::Int(number) => Body::Int(number),
                Value::Bytes { bytes, raw } => Body::Bytes {
                    bytes: bytes.into(),
                    raw,
                },
            })),
        };
        self.databases[db]
            .index
            .remove(&mut self.slab, key.hash, found);
        self.settle(db, key.hash, found.block, Some(footprint), None);
        let remains = edit::dissolve(&mut self.slab, found.block, self.base);
        self.watch_removal(db, key.hash);
        let expiry = expiry.map_or(Expiry::Clear, Expiry::At);
        let value = match (&small, remains) {
            (Some(Small::Packed(form, pack)), _) => NewValue::Packed(*form, pack),
            (Some(Small::Text(Body::Int(number))), _) => NewValue::Copy(Value::Int(*number)),
            (Some(Small::Text(Body::Bytes { bytes, raw })), _) => {
                NewValue::Copy(Value::Bytes { bytes, raw: *raw })
            }
            (_, Remains::Text(block)) => NewValue::Heap(block),
            (_, Remains::Big(big)) => NewValue::Big(big),
            (_, Remains::Nothing) => unreachable!("a small value was copied, a large one remains"),
        };
        self.store(new_db, new_key, value, expiry, now);
        if footprint.has_field_expiry {
            self.sweep_fields_of(new_db, new_key, now);
        }
        true
    }

    /// Has the segment of a hash swept when the first of its fields expires.
    fn sweep_fields_of(&mut self, db: usize, key: Key, now: Millis) {
        let first = self
            .peek(db, key, now)
            .and_then(|entry| entry.next_expiry());
        if let Some(at) = first {
            self.note_expiry(db, key.hash, at);
        }
    }

    /// Copies a value out; the key stays and its access is not noted. There is nothing to copy of a
    /// hash whose fields have all expired.
    pub fn copy_out(&mut self, db: usize, key: Key, now: Millis) -> Option<Detached> {
        let view = self.view(db, key, false, now)?;
        let is_over = view.hash().is_some_and(|hash| hash.is_empty());
        (!is_over).then(|| Detached::copy_of(view))
    }

    /// As [`Shard::copy_out`], as plain data with the expiry.
    pub fn plain_copy(
        &mut self,
        db: usize,
        key: Key,
        now: Millis,
    ) -> Option<(Content, Option<Millis>)> {
        let view = self.view(db, key, false, now)?;
        let is_over = view.hash().is_some_and(|hash| hash.is_empty());
        (!is_over).then(|| (view.plain(), view.entry().expiry()))
    }

    /// Stores a detached value with its expiry under a key, whatever was there. Returns whether
    /// the key was there already.
    pub fn put(&mut self, db: usize, key: Key, detached: Detached, now: Millis) -> bool {
        let Detached { body, expiry } = detached;
        let at = expiry.map_or(Expiry::Clear, Expiry::At);
        match body {
            Body::Int(number) => self.set(db, key, Value::Int(number), at, now),
            Body::Bytes { bytes, raw } => {
                self.set(db, key, Value::Bytes { bytes: &bytes, raw }, at, now)
            }
            Body::Heap(block) => self.store(db, key, NewValue::Heap(block), at, now),
            Body::Packed(form, pack) => {
                let existed = self.store(db, key, NewValue::Packed(form, &pack), at, now);
                if form == PackForm::HashEx {
                    self.sweep_fields_of(db, key, now);
                }
                existed
            }
            Body::Stream(stream) => {
                let big = Box::new(Big::Stream(*stream));
                self.store(db, key, NewValue::Big(big), at, now)
            }
            Body::Content(content) => {
                let existed = self.remove(db, key, now);
                self.fill(db, key, &content, now);
                if expiry.is_some() {
                    self.set_expiry(db, key, expiry, now);
                }
                existed
            }
        }
    }

    /// Stores a collection under a key that is missing.
    fn fill(&mut self, db: usize, key: Key, content: &Content, now: Millis) {
        let kind = content.kind();
        let door = self
            .open_or_new(db, key, kind, now)
            .expect("a missing key has no kind");
        match content {
            Content::Hash { pairs, expiries } => {
                let mut hash = door.hash();
                (0..pairs.len() / 2).for_each(|index| set_field(&mut hash, pairs, expiries, index));
            }
            Content::Zset { members, scores } => {
                let mut zset = door.zset();
                for (member, score) in members.iter().zip(scores) {
                    let done = zset.add(member, *score, AddRule::default());
                    debug_assert!(done.is_ok(), "only an increment may fail");
                }
            }
            Content::String(_) => unreachable!("a string is no collection"),
            Content::Set(members) => door.set().fill(members),
            Content::List(elements) => door.list().fill(elements),
            Content::Stream(content) => {
                let mut edit = door.stream();
                let stream = Stream::from_content(content, edit.node_limits());
                *edit = stream.expect("whoever takes a stream from outside checks it");
            }
        }
    }

    /// Adds some elements of a collection of plain data, which all together, in their order, become a new one under the key.
    /// A stream is no sequence of elements, and none here.
    pub fn grow(
        &mut self,
        db: usize,
        key: Key,
        content: &Content,
        part: Range<usize>,
        now: Millis,
    ) {
        let door = self.open_or_new(db, key, content.kind(), now);
        let door = door.expect("what grows has one kind");
        match content {
            Content::Set(members) => {
                let mut set = door.set();
                part.for_each(|index| _ = set.add(members.at(index)));
            }
            Content::List(elements) => {
                let elements = part.map(|index| elements.at(index));
                door.list().push(ListEnd::Back, elements);
            }
            Content::Hash { pairs, expiries } => {
                let mut hash = door.hash();
                part.for_each(|index| set_field(&mut hash, pairs, expiries, index));
            }
            Content::Zset { members, scores } => {
                let mut zset = door.zset();
                for index in part {
                    let done = zset.add(members.at(index), scores[index], AddRule::default());
                    debug_assert!(done.is_ok(), "only an increment may fail");
                }
            }
            Content::String(_) | Content::Stream(_) => unreachable!("does not grow by elements"),
        }
    }

    /// Empties a database at once: its keys are gone for every reader and every count. Their
    /// memory is freed by [`Shard::free_step`].
    pub fn detach_database(&mut self, db: usize) {
        let empty = if self.is_hidden(db) {
            Database::hidden()
        } else {
            Database::default()
        };
        let mut database = std::mem::replace(&mut self.databases[db], empty);
        // What is being freed has an account alone.
        database.ledger = Ledger {
            account: database.ledger.account,
            ..Ledger::of_hidden()
        };
        if !self.is_hidden(db) {
            self.upheavals += 1;
        }
        if database.index.len() > 0 {
            self.graveyard.databases.push(database);
            if !self.is_hidden(db) {
                self.curve.note_flush();
            }
        }
    }

    /// Frees a large collection, in steps unless it is small.
    pub(crate) fn bury(&mut self, mut big: Box<Big>) {
        if big.free_step(&mut self.slab, self.base, FREED_AT_ONCE) {
            self.graveyard.take(Some(big));
        }
    }

    /// Frees about `budget_keys` keys or elements of what was deleted, a segment of up to a
    /// thousand at a time. Returns whether there are more.
    pub fn free_step(&mut self, budget_keys: usize) -> bool {
        let Shard {
            slab,
            graveyard,
            base,
            ..
        } = self;
        graveyard.free_values(slab, *base, budget_keys);
        if graveyard.values.is_empty() {
            graveyard.free_databases(slab, *base, budget_keys);
        }
        graveyard.is_owing()
    }

    /// Deleted keys and collections that are still to be freed.
    pub fn freeing_objects(&self) -> u64 {
        let keys = self.graveyard.databases.iter().map(|one| one.index.len());
        (self.graveyard.values.len() + keys.sum::<usize>()) as u64
    }

    /// Keys and collections freed after the command that deleted them, since the shard was made.
    pub fn freed_objects(&self) -> u64 {
        self.graveyard.freed_objects
    }

    /// Whether [`Shard::free_step`] has something to do.
    #[inline]
    pub fn owes_freeing(&self) -> bool {
        self.graveyard.is_owing()
    }
}

fn set_field(hash: &mut HashEdit, pairs: &Strings, expiries: &[Option<Millis>], index: usize) {
    let expiry = expiries.get(index).copied().flatten();
    let expiry = expiry.map_or(Expiry::Clear, Expiry::At);
    hash.set(pairs.at(2 * index), pairs.at(2 * index + 1), expiry);
}

/// A value that lies in its entry, copied on its way to another.
enum Small {
    Packed(PackForm, Vec<u8>),
    Text(Body),
}

/// Elements of a deleted collection that are freed with it; the others go in steps.
const FREED_AT_ONCE: usize = 512;

/// What was deleted and is not yet freed.
#[derive(Debug, Default)]
pub(crate) struct Graveyard {
    databases: Vec<Database>,
    #[expect(clippy::vec_box, reason = "their entries hand them over boxed")]
    values: Vec<Box<Big>>,
    /// Bytes of `values`.
    values_bytes: u64,
    /// Keys and values freed so far.
    freed_objects: u64,
}

impl Graveyard {
    pub(crate) fn databases(&self) -> &[Database] {
        &self.databases
    }

    pub(crate) fn values(&self) -> &[Box<Big>] {
        &self.values
    }

    /// Bytes of what is no database.
    pub(crate) fn values_bytes(&self) -> u64 {
        self.values_bytes
    }

    /// Bytes of everything.
    pub(crate) fn bytes(&self) -> u64 {
        self.values_bytes + self.databases.iter().map(Database::bytes).sum::<u64>()
    }

    fn is_owing(&self) -> bool {
        !self.values.is_empty() || !self.databases.is_empty()
    }

    /// Takes what a deleted entry left.
    pub(crate) fn take(&mut self, remains: Option<Box<Big>>) {
        if let Some(big) = remains {
            self.values_bytes += big.bytes();
            self.values.push(big);
        }
    }

    fn free_values(&mut self, slab: &mut Slab, base: Millis, budget: usize) {
        /// What a collection costs to free beside its elements.
        const VALUE_COST: usize = 16;
        let mut spent = 0;
        while spent < budget
            && let Some(mut big) = self.values.pop()
        {
            self.values_bytes -= big.bytes();
            let has_more = big.free_step(slab, base, budget - spent);
            if has_more {
                self.take(Some(big));
                return;
            }
            self.freed_objects += 1;
            spent += VALUE_COST;
        }
    }

    fn free_databases(&mut self, slab: &mut Slab, base: Millis, budget: usize) {
        let mut freed = 0;
        while freed < budget
            && let Some(mut database) = self.databases.pop()
        {
            let account = &mut database.ledger.account;
            let (mut remains, keys_before) = (Vec::new(), database.index.len());
            let felled = database.index.fell(slab, |slab, block| {
                account.subtract(Entry::at(slab, block, base).footprint());
                remains.extend(edit::destroy(slab, block, base));
            });
            freed += felled.unwrap_or(0);
            self.freed_objects += (keys_before - database.index.len()) as u64;
            if database.index.len() > 0 {
                self.databases.push(database);
            } else {
                debug_assert_eq!(database.ledger.account, crate::account::Account::default());
            }
            if !remains.is_empty() {
                remains.into_iter().for_each(|big| self.take(Some(big)));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::Options;

    const NOW: Millis = Millis(0);

    fn shard() -> Shard {
        Shard::new(Options {
            seeds: [1, 2, 3, 4],
            ..Options::default()
        })
        .unwrap()
    }

    fn address(value: Value) -> usize {
        match value {
            Value::Bytes { bytes, .. } => bytes.as_ptr().addr(),
            Value::Int(_) => 0,
        }
    }

    #[test]
    fn a_large_value_gets_another_key_without_being_copied() {
        let mut one = shard();
        let (from, to) = (one.key(b"from"), one.key(b"to"));
        let value = Value::Bytes {
            bytes: &[b'x'; 100_000],
            raw: false,
        };
        one.set(0, from, value, Expiry::At(Millis(5)), NOW);
        let before = address(one.peek(0, from, NOW).unwrap().value());
        assert!(one.rename((0, from), (1, to), NOW));
        assert_eq!((one.len(0), one.len(1)), (0, 1));
        let entry = one.peek(1, to, NOW).unwrap();
        assert_eq!(address(entry.value()), before);
        assert_eq!(entry.expiry(), Some(Millis(5)));
        one.check();
    }

    #[test]
    fn a_copy_leaves_the_key_and_its_access_alone() {
        let mut shard = shard();
        let key = shard.key(b"key");
        shard.set(0, key, Value::Int(7), Expiry::Clear, NOW);
        assert_eq!(
            shard.copy_out(0, key, NOW).unwrap().text(),
            Some(Value::Int(7))
        );
        assert_eq!((shard.len(0), shard.hits(0, key, NOW)), (1, Some(0)));
        let missing = shard.key(b"missing");
        assert!(shard.copy_out(0, missing, NOW).is_none());
    }

    #[test]
    fn a_database_that_is_given_back_is_empty_and_freed_later() {
        let mut shard = shard();
        let fill = |shard: &mut Shard, db, keys: u32| {
            for number in 0..keys {
                let bytes = number.to_le_bytes();
                let key = shard.key(&bytes);
                let value = Value::from_bytes(&[b'x'; 20_000]);
                shard.set(db, key, value, Expiry::Clear, NOW);
            }
        };
        fill(&mut shard, 0, 3);
        fill(&mut shard, 1, 3);
        shard.detach_database(1);
        let before = shard.accounts();
        let borrowed = shard.borrow_database();
        assert!(borrowed >= shard.databases());
        fill(&mut shard, borrowed, 3_000);
        shard.return_database(borrowed);
        assert_eq!((shard.len(borrowed), shard.len(0)), (0, 3));
        assert!(shard.accounts().freeing_bytes > before.freeing_bytes);
        while shard.free_step(100) {}
        let after = shard.accounts();
        assert_eq!(after.tables_bytes, before.tables_bytes);
        assert_eq!(after.freeing_bytes, 0);
        shard.check();
    }

    #[test]
    fn a_detached_value_may_be_dropped_on_another_thread() {
        let mut shard = shard();
        let key = shard.key(b"key");
        let value = Value::Bytes {
            bytes: &[b'x'; 100_000],
            raw: false,
        };
        shard.set(0, key, value, Expiry::Clear, NOW);
        let detached = shard.copy_out(0, key, NOW).unwrap();
        std::thread::spawn(move || drop(detached)).join().unwrap();
    }

    #[test]
    fn whether_a_short_string_was_edited_travels_with_it() {
        let mut shard = shard();
        let key = shard.key(b"key");
        shard.append(0, key, b"ab", NOW);
        shard.append(0, key, b"cd", NOW);
        let detached = shard.copy_out(0, key, NOW).unwrap();
        assert_eq!(
            detached.text(),
            Some(Value::Bytes {
                bytes: b"abcd",
                raw: true
            })
        );
    }
}
