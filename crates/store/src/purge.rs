//! Owns giving memory back: releasing empty pages, and emptying sparse ones by moving their blocks.
//! Never happens here: a clock; who calls the steps says when, and how long they may be.
//! Source: as the slab's evacuation; the walk is the index's, and goes into large collections.
//!
//! Between two steps anything may happen to a collection that is being walked. It is found again by
//! its key's hash, never by an address: one that went, or got another name, is passed over.
#![forbid(unsafe_code)]

use memory::heap::SparsePages;

use crate::access::size_class_of;
use crate::classes::BLOCK_BYTES_MAX;
use crate::collections::{Arena, HeapPlace};
use crate::entry::{Entry, Held, edit};
use crate::index::{Passage, Passed};
use crate::shard::{Database, Shard};
use crate::slab::{BlockRef, EMPTY_PAGES_KEPT, PAGE_BYTES, Slab};
use crate::value::Kind;

/// What looking up a collection, or passing an empty database, costs in slots.
const VISIT_COST_SLOTS: usize = 8;

/// Rounds after the first one that a purge makes, as long as they move anything.
const FURTHER_ROUNDS_MAX: u32 = 3;

/// A purge under way.
#[derive(Debug)]
pub(crate) enum Purge {
    /// Moving blocks out of sparse pages.
    Moving(Moving),
    /// Giving empty pages back.
    Releasing,
}

/// Where moving stands.
#[derive(Debug, Default)]
pub(crate) struct Moving {
    db: usize,
    at: Passage,
    /// Large collections whose entries were passed and whose elements were not.
    nested: Vec<Nested>,
    /// Pages of the heap that are to become empty, too.
    sparse: SparsePages,
    /// Whether empty pages are given back at the end, to the last one.
    releases: bool,
    /// Whether it is one of many in a row: what metadata hide is left to another.
    hurries: bool,
    /// Blocks moved in this round, and rounds that may follow: one looks at so many pages of the
    /// heap, and what it fills another may empty.
    moved: usize,
    rounds_left: u32,
}

/// A large collection, and where moving stands in it.
#[derive(Debug)]
struct Nested {
    db: usize,
    hash: u64,
    at: Part,
}

/// What of a collection is being moved, and where that stands.
#[derive(Debug)]
enum Part {
    /// Elements in the slab.
    Elements(Passage),
    /// Blocks on the heap.
    Heap(HeapPlace),
}

/// What moving blocks together did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Moves {
    /// Blocks that were moved: entries, elements, parts of tables.
    pub moved_blocks: u64,
    /// Blocks that were looked at and left where they are.
    pub passed_blocks: u64,
    /// Keys whose entry or elements were moved, as often as it was.
    pub moved_keys: u64,
    /// Keys that were looked at and left where they are.
    pub passed_keys: u64,
}

impl Nested {
    fn new(db: usize, hash: u64) -> Nested {
        Nested {
            db,
            hash,
            at: Part::Elements(Passage::default()),
        }
    }
}

impl Moves {
    /// Adds other figures to these.
    pub fn merge(&mut self, other: &Moves) {
        let Moves {
            moved_blocks,
            passed_blocks,
            moved_keys,
            passed_keys,
        } = other;
        self.moved_blocks += moved_blocks;
        self.passed_blocks += passed_blocks;
        self.moved_keys += moved_keys;
        self.passed_keys += passed_keys;
    }
}

impl Shard {
    /// Begins a purge: marks the pages that its steps will empty. Begins anew if one is under way.
    pub fn purge_begin(&mut self) {
        self.begin(true, FURTHER_ROUNDS_MAX, false);
    }

    /// Begins what a purge begins, but leaves the empty pages to [`Shard::release_step`].
    pub fn defrag_begin(&mut self) {
        self.begin(false, 0, false);
    }

    /// Begins one round of a purge, for one that is repeated as long as pages are short: among
    /// strings it reads only those that are large by their metadata, since reading the others, most
    /// of which are in no cache, takes ten times as long as all the rest.
    pub fn press_begin(&mut self) {
        self.begin(true, 0, true);
    }

    fn begin(&mut self, releases: bool, rounds_left: u32, hurries: bool) {
        let doomed_blocks = self.slab.begin_evacuation();
        let sparse = SparsePages::find();
        self.purge = if doomed_blocks > 0 || !sparse.is_empty() {
            Some(Purge::Moving(Moving {
                releases,
                rounds_left,
                hurries,
                sparse,
                ..Moving::default()
            }))
        } else {
            releases.then_some(Purge::Releasing)
        };
    }

    /// Does a part of the purge: looks at about `budget_slots` keys and elements, or gives up to
    /// 512 KiB of empty pages back. Returns whether there is more to do.
    pub fn purge_step(&mut self, budget_slots: usize) -> bool {
        match self.purge.take() {
            None => false,
            Some(Purge::Moving(mut moving)) => {
                if self.move_blocks(&mut moving, budget_slots) {
                    self.purge = Some(Purge::Moving(moving));
                } else if moving.moved > 0 && moving.rounds_left > 0 {
                    self.begin(moving.releases, moving.rounds_left - 1, moving.hurries);
                } else {
                    self.slab.end_evacuation();
                    self.purge = moving.releases.then_some(Purge::Releasing);
                }
                self.purge.is_some()
            }
            Some(Purge::Releasing) => {
                let has_more = self.slab.release_pages(0);
                self.purge = has_more.then_some(Purge::Releasing);
                has_more
            }
        }
    }

    /// Ends a purge where it stands.
    pub fn purge_end(&mut self) {
        if self.purge.take().is_some() {
            self.slab.end_evacuation();
        }
    }

    /// Whether a purge is under way.
    pub fn is_purging(&self) -> bool {
        self.purge.is_some()
    }

    /// What moving blocks together did since this was asked last.
    pub fn take_moves(&mut self) -> Moves {
        std::mem::take(&mut self.moves)
    }

    /// Bytes of the slab's pages that would be empty if its blocks lay close together.
    pub fn sparse_bytes(&self) -> u64 {
        self.slab.sparse_pages() * PAGE_BYTES as u64
    }

    /// Gives up to 512 KiB of empty pages back, beyond the first MiB, which is kept for reuse.
    /// Returns whether there is more to give.
    pub fn release_step(&mut self) -> bool {
        self.slab.surplus_pages() > 0 && self.slab.release_pages(EMPTY_PAGES_KEPT)
    }

    /// Moves blocks until about so many were looked at. Returns whether there are more.
    fn move_blocks(&mut self, moving: &mut Moving, budget_slots: usize) -> bool {
        let mut spent = 0;
        while spent < budget_slots {
            let budget_left = budget_slots - spent;
            if let Some(nested) = moving.nested.last_mut() {
                let (passed, has_more) = self.move_part(nested, &moving.sparse, budget_left);
                if !has_more {
                    moving.nested.pop();
                }
                moving.moved += passed.moved;
                spent += passed.cost_slots + VISIT_COST_SLOTS;
            } else if moving.db < self.databases.len() {
                spent += self.move_entries(moving, budget_left);
            } else {
                return false;
            }
        }
        true
    }

    /// Moves entries and tables of a database, and notes the large collections among them.
    /// Returns what it cost.
    fn move_entries(&mut self, moving: &mut Moving, budget_slots: usize) -> usize {
        let Shard {
            slab,
            databases,
            hasher,
            base,
            clock,
            ..
        } = self;
        let Database { index, ledger } = &mut databases[moving.db];
        let account = &ledger.account;
        let (db, base) = (moving.db, *base);
        let (nested, sparse) = (&mut moving.nested, &moving.sparse);
        let mut on_heap = Passed::default();
        // Reading entries costs more than all else: only where some can refer to other blocks.
        let has_nested = [Kind::Hash, Kind::Set, Kind::Zset]
            .iter()
            .any(|kind| account.kinds[*kind as usize].keys > 0);
        let met = |slab: &mut Slab, _: BlockRef, block: BlockRef| {
            let entry = Entry::at(slab, block, base);
            if !entry.owns_heap() {
                return 0;
            }
            if let Some(Held::Big(big)) = entry.held()
                && (big.has_blocks() || !sparse.is_empty())
            {
                let arena = Arena { slab, hasher, base };
                let hash = arena.rehash().hash_of(slab, block);
                nested.push(Nested::new(db, hash));
            }
            let moved = Passed::of_heap(edit::relocate_heap(slab, block, sparse, base));
            on_heap += moved;
            moved.cost_slots
        };
        let met = (has_nested || !sparse.is_empty()).then_some(met);
        let all_strings = account.kinds[Kind::String as usize].keys == account.keys();
        let met_from = if moving.hurries && all_strings && !clock.counts_frequency() {
            size_class_of(BLOCK_BYTES_MAX as u64)
        } else {
            0
        };
        let (passed, has_more) = index.evacuate(slab, &mut moving.at, budget_slots, met_from, met);
        if !has_more {
            moving.db += 1;
            moving.at = Passage::default();
        }
        moving.moved += passed.moved + on_heap.moved;
        self.moves.moved_keys += passed.moved as u64;
        self.moves.passed_keys += (passed.seen - passed.moved) as u64;
        self.count_moves(passed);
        self.count_moves(on_heap);
        passed.cost_slots + VISIT_COST_SLOTS
    }

    /// Moves a part of a large collection, if that is still there. Returns what it did and whether
    /// there is more of the collection.
    fn move_part(
        &mut self,
        nested: &mut Nested,
        sparse: &SparsePages,
        budget_slots: usize,
    ) -> (Passed, bool) {
        let arena = self.arena();
        let index = &self.databases[nested.db].index;
        let found = index.find_hash(arena.slab, nested.hash, arena.rehash());
        let Some(found) = found.filter(|found| self.entry(found.block).is_boxed()) else {
            return (Passed::default(), false);
        };
        let mut big = edit::lift_big(&mut self.slab, found.block, self.base);
        let (passed, has_more) = match &mut nested.at {
            Part::Elements(at) => {
                let (passed, has_more) = big.evacuate(&mut self.slab, at, budget_slots);
                if !has_more {
                    nested.at = Part::Heap(HeapPlace::default());
                }
                (passed, has_more || !sparse.is_empty())
            }
            Part::Heap(at) => {
                let (mut passed, has_more) = big.relocate(sparse, at, budget_slots);
                passed += Passed::of_heap(sparse.relocate_box(&mut big));
                (passed, has_more)
            }
        };
        let block = edit::put_big(&mut self.slab, found.block, big, self.base);
        debug_assert_eq!(block, found.block, "the same value fits where it was");
        self.moves.moved_keys += u64::from(passed.moved > 0);
        self.count_moves(passed);
        (passed, has_more)
    }

    fn count_moves(&mut self, passed: Passed) {
        self.moves.moved_blocks += passed.moved as u64;
        self.moves.passed_blocks += (passed.seen - passed.moved) as u64;
    }
}
