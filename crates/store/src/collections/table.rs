//! Owns the table of a large hash, set or sorted set: an index of its own, over entries in the shard's slab.
//! Never happens here: what a value means; the account of the key, which reads this one's bytes.
//! Source: the keyspace itself: a field is a key, its value a value, its expiry an expiry.
#![forbid(unsafe_code)]

use crate::access::Access;
use crate::classes::Class;
use crate::entry::{Draft, Entry, NewValue, Scratch, edit};
use crate::hasher::Key;
use crate::index::{Cursor, Found, Index, PREFIX_END, Passage, Passed, Place};
use crate::random::Rng;
use crate::slab::{BlockRef, Slab};
use crate::value::{Expiry, Millis, Value};

use super::{Arena, ArenaMut, Counted, Lifetime};

/// Elements by name.
#[derive(Debug, Default)]
pub(crate) struct Table {
    index: Index,
    /// Bytes of the elements' blocks.
    entries_bytes: u64,
    /// Elements that have an expiry.
    expiring: usize,
    /// No element expires before this moment, where any ever does.
    first_expiry: Option<Millis>,
    /// The pass over the segments that looks for expired elements.
    sweep: Sweep,
}

/// Where a pass over the segments stands.
#[derive(Debug)]
struct Sweep {
    prefix: u32,
    /// No element of the segments behind expires before this moment.
    earliest: Millis,
}

impl Default for Sweep {
    fn default() -> Sweep {
        Sweep {
            prefix: 0,
            earliest: Millis(i64::MAX),
        }
    }
}

impl Table {
    /// Elements, expired ones that nobody met yet included.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Bytes of the index.
    pub(crate) fn index_bytes(&self) -> u64 {
        self.index.table_bytes()
    }

    /// Bytes of the index and of the elements' blocks.
    #[inline]
    pub(crate) fn bytes(&self) -> u64 {
        self.index.table_bytes() + self.entries_bytes
    }

    /// A moment before which no element expires, if any ever does.
    fn first_expiry(&self) -> Option<Millis> {
        self.first_expiry.filter(|_| self.expiring > 0)
    }

    /// When the table deserves a sweep for expired elements, if it ever does: a while after the
    /// first is due, so that reading all elements of a large one costs about one per cent of a core.
    #[inline]
    pub(crate) fn sweep_at(&self) -> Option<Millis> {
        let slack_ms = (self.index.len() / crate::expire::KEYS_PER_SLACK_MS) as i64;
        Some(self.first_expiry()?.plus(slack_ms))
    }

    /// Elements that have not expired. Where one may have, the segments that hold any are walked.
    pub(crate) fn live_len(&self, arena: Arena, now: Millis) -> usize {
        if self.first_expiry().is_none_or(|first| now <= first) {
            return self.len();
        }
        let (mut expired, mut prefix) = (0, 0);
        while prefix < PREFIX_END
            && let Some((place, next)) = self.index.segment_at(prefix)
        {
            if self.index.sweep_at(arena.slab, place) < now {
                self.index.divide(arena.slab, place, |block| {
                    let is_past = Entry::at(arena.slab, block, arena.base).is_expired(now);
                    expired += usize::from(is_past);
                    is_past
                });
            }
            prefix = next;
        }
        self.len() - expired
    }

    /// The element of this name, unless it has expired.
    #[inline]
    pub(crate) fn find<'a>(&self, arena: Arena<'a>, name: Key, now: Millis) -> Option<Entry<'a>> {
        let found = self.index.find(arena.slab, name, arena.base)?;
        let entry = Entry::at(arena.slab, found.block, arena.base);
        (!entry.is_expired(now)).then_some(entry)
    }

    /// The block of the element of this name, whether or not it has expired.
    #[inline]
    pub(crate) fn block_of(&self, arena: Arena, name: Key) -> Option<BlockRef> {
        Some(self.index.find(arena.slab, name, arena.base)?.block)
    }

    /// Gives the element of this name a value. Returns whether it was there, not expired.
    pub(crate) fn put(
        &mut self,
        arena: &mut ArenaMut,
        name: Key,
        value: Value,
        expiry: Expiry,
        now: Millis,
    ) -> bool {
        let base = arena.base;
        let found = self.index.find(arena.slab, name, base);
        let old = found.map(|found| Entry::at(arena.slab, found.block, base));
        let existed = old.is_some_and(|old| !old.is_expired(now));
        let expiry = match (expiry, old) {
            (Expiry::At(at), _) => Some(at),
            (Expiry::Keep, Some(old)) if existed => old.expiry(),
            (Expiry::Clear | Expiry::Keep, _) => None,
        };
        let mut scratch = Scratch::default();
        let draft = Draft::new(name, NewValue::Copy(value), expiry, base, &mut scratch);
        let Some(found) = found else {
            self.insert(arena, name.hash, draft, expiry);
            return false;
        };
        self.uncount(Entry::at(arena.slab, found.block, base));
        let is_inline = old.is_some_and(|old| !old.owns_heap()) && !draft.owns_heap();
        let block = if is_inline && Class::of(draft.len()) == arena.slab.class_of(found.block) {
            draft.write_over(arena.slab, found.block, base);
            found.block
        } else {
            let block = arena.slab.alloc(draft.len());
            draft.write(arena.slab, block);
            let nothing = edit::destroy(arena.slab, found.block, base);
            debug_assert!(nothing.is_none(), "elements are no collections");
            found.set_block(block);
            block
        };
        self.count(Entry::at(arena.slab, block, base));
        self.note_expiry(arena, name.hash, expiry);
        existed
    }

    /// Adds an element that is not there, and says where it lies.
    pub(crate) fn add_valued(&mut self, arena: &mut ArenaMut, name: Key, value: Value) -> BlockRef {
        let mut scratch = Scratch::default();
        let draft = Draft::new(name, NewValue::Copy(value), None, arena.base, &mut scratch);
        self.insert(arena, name.hash, draft, None)
    }

    /// Removes the element in a block of this table.
    pub(crate) fn remove_block(&mut self, arena: &mut ArenaMut, block: BlockRef) {
        let entry = Entry::at(arena.slab, block, arena.base);
        let hash = arena.read().rehash().hash_of(arena.slab, block);
        let found = self
            .index
            .find_block(arena.slab, hash, block)
            .expect("the block is one of this table");
        self.uncount(entry);
        self.index.remove(arena.slab, hash, found);
        let nothing = edit::destroy(arena.slab, block, arena.base);
        debug_assert!(nothing.is_none(), "elements are no collections");
    }

    #[inline(never)]
    fn insert(
        &mut self,
        arena: &mut ArenaMut,
        hash: u64,
        draft: Draft,
        expiry: Option<Millis>,
    ) -> BlockRef {
        let block = arena.slab.alloc(draft.len());
        draft.write(arena.slab, block);
        self.count(Entry::at(arena.slab, block, arena.base));
        let rehash = crate::index::Rehash {
            hasher: arena.hasher,
            base: arena.base,
        };
        self.index
            .insert(arena.slab, hash, block, Access::NEVER, expiry, rehash);
        self.note_expiry(arena, hash, expiry);
        block
    }

    /// Adds an element with nothing but its name. Returns whether it was not there.
    pub(crate) fn add_name(&mut self, arena: &mut ArenaMut, name: Key) -> bool {
        if self.index.find(arena.slab, name, arena.base).is_some() {
            return false;
        }
        self.add_valued(arena, name, Value::from_bytes(b""));
        true
    }

    /// Lets `decide` say what becomes of the life of an element, given its expiry; `None` if the
    /// element is not there.
    pub(crate) fn change_lifetime(
        &mut self,
        arena: &mut ArenaMut,
        name: Key,
        now: Millis,
        decide: impl FnOnce(Option<Millis>) -> Lifetime,
    ) -> Option<Lifetime> {
        let found = self.index.find(arena.slab, name, arena.base)?;
        let entry = Entry::at(arena.slab, found.block, arena.base);
        if entry.is_expired(now) {
            return None;
        }
        let lifetime = decide(entry.expiry());
        match lifetime {
            Lifetime::Keep => {}
            Lifetime::Over => self.take_away(arena, name.hash, found),
            Lifetime::Until(expiry) => {
                self.uncount(entry);
                let block = edit::set_expiry(arena.slab, found.block, expiry, arena.base);
                found.set_block(block);
                self.count(Entry::at(arena.slab, block, arena.base));
                self.note_expiry(arena, name.hash, expiry);
            }
        }
        Some(lifetime)
    }

    /// Removes the element of this name. Returns whether it was there, not expired.
    pub(crate) fn remove(&mut self, arena: &mut ArenaMut, name: Key, now: Millis) -> bool {
        let Some(found) = self.index.find(arena.slab, name, arena.base) else {
            return false;
        };
        let existed = !Entry::at(arena.slab, found.block, arena.base).is_expired(now);
        self.take_away(arena, name.hash, found);
        existed
    }

    fn take_away(&mut self, arena: &mut ArenaMut, hash: u64, found: Found) {
        self.uncount(Entry::at(arena.slab, found.block, arena.base));
        self.index.remove(arena.slab, hash, found);
        let nothing = edit::destroy(arena.slab, found.block, arena.base);
        debug_assert!(nothing.is_none(), "elements are no collections");
    }

    /// An element picked at random, each as likely as another. It may have expired.
    pub(crate) fn random<'a>(&self, arena: Arena<'a>, rng: &mut Rng) -> Option<Entry<'a>> {
        let slot = self.index.random_slot(arena.slab, rng)?;
        Some(Entry::at(arena.slab, slot.block, arena.base))
    }

    /// As [`Table::random`], and a number that no other element has as long as none comes or goes.
    pub(crate) fn random_spot<'a>(
        &self,
        arena: Arena<'a>,
        rng: &mut Rng,
    ) -> Option<(u64, Entry<'a>)> {
        let (spot, slot) = self.index.random_spot(arena.slab, rng)?;
        Some((spot, Entry::at(arena.slab, slot.block, arena.base)))
    }

    /// Removes an element picked at random, each as likely as another, and shows it before it goes.
    /// False if there is none.
    pub(crate) fn pop(
        &mut self,
        arena: &mut ArenaMut,
        rng: &mut Rng,
        visit: impl FnOnce(Entry),
    ) -> bool {
        let Some(slot) = self.index.random_slot(arena.slab, rng) else {
            return false;
        };
        visit(Entry::at(arena.slab, slot.block, arena.base));
        self.remove_block(arena, slot.block);
        true
    }

    /// The blocks of every element, in the order of [`Table::entries`]; none is read.
    pub(crate) fn blocks<'a>(&'a self, arena: Arena<'a>) -> impl Iterator<Item = BlockRef> + 'a {
        self.index.slots(arena.slab).map(|slot| slot.block)
    }

    /// Every element, expired ones included, in the order of their hashes' segments.
    pub(crate) fn entries<'a>(&'a self, arena: Arena<'a>) -> impl Iterator<Item = Entry<'a>> + 'a {
        self.index
            .slots(arena.slab)
            .map(move |slot| Entry::at(arena.slab, slot.block, arena.base))
    }

    /// Shows elements from a place on, expired ones included, as long as `visit` says so. Returns
    /// where to go on, which holds as long as no element comes or goes; `None` at the end.
    pub(crate) fn walk<'a>(
        &self,
        arena: Arena<'a>,
        place: Place,
        mut visit: impl FnMut(Entry<'a>) -> bool,
    ) -> Option<Place> {
        self.index.walk(arena.slab, place, |slot| {
            visit(Entry::at(arena.slab, slot.block, arena.base))
        })
    }

    /// Shows elements from `cursor` on that have not expired; see [`crate::Shard::scan`].
    pub(crate) fn scan<'a>(
        &self,
        arena: Arena<'a>,
        cursor: u64,
        budget_slots: usize,
        now: Millis,
        mut visit: impl FnMut(Entry<'a>),
    ) -> u64 {
        let cursor = Cursor::from_bits(cursor);
        let next = self.index.scan(
            arena.slab,
            cursor,
            budget_slots,
            arena.rehash(),
            |block: BlockRef| {
                let entry = Entry::at(arena.slab, block, arena.base);
                if !entry.is_expired(now) {
                    visit(entry);
                }
            },
        );
        next.map_or(0, Cursor::to_bits)
    }

    /// Goes on with a pass that removes elements past their expiry, until it looked at about so
    /// many or came to its end. Returns at how many it looked.
    pub(crate) fn expire_step(
        &mut self,
        arena: &mut ArenaMut,
        budget: usize,
        now: Millis,
    ) -> usize {
        let mut looked_at = 0;
        if self.sweep.prefix == 0 {
            // What was noted since the last pass is in the segments.
            self.sweep = Sweep::default();
        }
        while let Some((place, next)) = self.index.segment_at(self.sweep.prefix) {
            looked_at += 1;
            if self.index.sweep_at(arena.slab, place) < now {
                looked_at += self.index.segment_len(arena.slab, place);
                self.sweep_segment(arena, place, now);
            }
            // Shrinking may have merged the segment with its neighbour, or removed the last.
            if let Some((place, _)) = self.index.segment_at(self.sweep.prefix) {
                let at = self.index.sweep_at(arena.slab, place);
                self.sweep.earliest = self.sweep.earliest.min(at);
            }
            if next >= PREFIX_END {
                break;
            }
            self.sweep.prefix = next;
            if looked_at >= budget {
                return looked_at;
            }
        }
        self.first_expiry = Some(std::mem::take(&mut self.sweep).earliest);
        looked_at.max(1)
    }

    fn sweep_segment(&mut self, arena: &mut ArenaMut, place: usize, now: Millis) {
        let base = arena.base;
        let mut next_expiry = Millis(i64::MAX);
        let division = self.index.divide(arena.slab, place, |block| {
            let entry = Entry::at(arena.slab, block, base);
            let is_due = entry.is_expired(now);
            if !is_due && let Some(at) = entry.expiry() {
                next_expiry = next_expiry.min(at);
            }
            is_due
        });
        let (mut bytes, mut expiring) = (0, 0);
        self.index
            .take_out(arena.slab, place, &division, next_expiry, |slab, block| {
                bytes += Entry::at(slab, block, base).bytes();
                expiring += 1;
                let nothing = edit::destroy(slab, block, base);
                debug_assert!(nothing.is_none(), "elements are no collections");
            });
        self.entries_bytes -= bytes;
        self.expiring -= expiring;
    }

    /// Frees about so many elements. Returns whether there are more; meanwhile the table serves
    /// nothing else.
    pub(crate) fn free_step(&mut self, slab: &mut Slab, base: Millis, budget: usize) -> bool {
        let mut freed = 0;
        while freed < budget {
            let entries_bytes = &mut self.entries_bytes;
            let felled = self.index.fell(slab, |slab, block| {
                *entries_bytes -= Entry::at(slab, block, base).bytes();
                let nothing = edit::destroy(slab, block, base);
                debug_assert!(nothing.is_none(), "elements are no collections");
            });
            match felled {
                Some(count) => freed += count,
                None => break,
            }
        }
        if self.index.len() == 0 {
            debug_assert_eq!(self.entries_bytes, 0);
            self.expiring = 0;
        }
        self.index.len() > 0
    }

    /// Moves elements and index out of pages being evacuated; see [`Index::evacuate`]. Nothing that
    /// is counted changes.
    pub(crate) fn evacuate<F: FnMut(&mut Slab, BlockRef, BlockRef) -> usize>(
        &mut self,
        slab: &mut Slab,
        at: &mut Passage,
        budget_slots: usize,
        met: Option<F>,
    ) -> (Passed, bool) {
        self.index.evacuate(slab, at, budget_slots, 0, met)
    }

    fn count(&mut self, entry: Entry) {
        self.entries_bytes += entry.bytes();
        self.expiring += usize::from(entry.has_expiry());
    }

    fn uncount(&mut self, entry: Entry) {
        self.entries_bytes -= entry.bytes();
        self.expiring -= usize::from(entry.has_expiry());
    }

    fn note_expiry(&mut self, arena: &ArenaMut, hash: u64, expiry: Option<Millis>) {
        if let Some(at) = expiry {
            self.index.sweep_by(arena.slab, hash, at);
            let first = self.first_expiry().unwrap_or(at);
            self.first_expiry = Some(first.min(at));
            self.sweep.earliest = self.sweep.earliest.min(at);
        }
    }

    /// The bytes of [`Table::bytes`] from a walk.
    pub(crate) fn recount(&self, arena: Arena) -> Counted {
        let directory_bytes = super::heap_bytes(self.index.directory_bytes() as usize);
        let mut counted = Counted {
            bytes: self.index.table_bytes(),
            heap_bytes: directory_bytes,
        };
        for entry in self.entries(arena) {
            counted.bytes += entry.bytes();
            counted.heap_bytes += entry.heap_capacities().iter().sum::<usize>() as u64;
        }
        counted
    }

    /// Asserts what the table promises itself.
    pub(crate) fn check(&self, arena: Arena) {
        self.index.check(arena.slab, arena.rehash());
        let expiring = self.entries(arena).filter(Entry::has_expiry).count();
        assert_eq!(expiring, self.expiring);
        let first = self.entries(arena).filter_map(|entry| entry.expiry()).min();
        assert!(first.is_none_or(|first| self.first_expiry.is_some_and(|bound| bound <= first)));
    }
}
