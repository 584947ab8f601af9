//! Owns the large form of a sorted set: a table from members to scores, and the order of its entries.
//! Never happens here: a member in two places; the tree refers to the table's blocks.
//! Source: an entry's value is its score's eight bytes, so that another score is written in place.
#![forbid(unsafe_code)]

use std::cmp::Ordering;
use std::fmt;
use std::ops;

use memory::heap::SparsePages;

use crate::collections::{Arena, ArenaMut, Counted, HeapPlace, Table};
use crate::entry::{Entry, edit};
use crate::hasher::Key;
use crate::index::{Passage, Passed};
use crate::pack::Item;
use crate::slab::{BlockRef, Slab};
use crate::tree::{Range, Tree, leaf_items};
use crate::value::{Millis, Value};

use super::packed::compare;

const LEAF: usize = leaf_items::<BlockRef>();

/// Members never expire: any moment will do.
const NOW: Millis = Millis(0);

/// Members in order.
pub(super) type Blocks<'a> = Range<'a, BlockRef, LEAF>;

/// A large sorted set.
pub(crate) struct Zset {
    table: Table,
    order: Tree<BlockRef, LEAF>,
}

impl fmt::Debug for Zset {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Zset")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// The score of an entry of a large sorted set.
#[inline]
pub(super) fn score_of(entry: Entry) -> f64 {
    match entry.value() {
        Value::Bytes { bytes, .. } => {
            let bytes = bytes.try_into().expect("a score has eight bytes");
            f64::from_le_bytes(bytes)
        }
        Value::Int(_) => unreachable!("a score is stored raw"),
    }
}

/// Has the order refer to the block that an entry was moved to; the old one is not read.
fn refer_anew(order: &mut Tree<BlockRef, LEAF>, slab: &Slab, old: BlockRef, new: BlockRef) {
    let entry = Entry::at(slab, new, NOW);
    let (score, member) = (score_of(entry), entry.key());
    let item = order.find_mut(|other| {
        if *other == old {
            return Ordering::Equal;
        }
        lies(slab, *other, score, member)
    });
    *item.expect("the tree has every entry") = new;
}

/// How an entry lies to a score and a member.
#[inline]
fn lies(slab: &Slab, block: BlockRef, score: f64, member: &[u8]) -> Ordering {
    let entry = Entry::at(slab, block, NOW);
    compare(score_of(entry), score).then_with(|| entry.key().cmp(member))
}

impl Zset {
    pub(super) fn new() -> Zset {
        Zset {
            table: Table::default(),
            order: Tree::new(),
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// Those of [`Zset::bytes`] that are tables: the index by member and the order by score.
    pub(crate) fn tables_bytes(&self) -> u64 {
        self.table.index_bytes() + self.order.bytes()
    }

    /// Bytes of the table, its entries' blocks, and the tree.
    #[inline]
    pub(crate) fn bytes(&self) -> u64 {
        self.table.bytes() + self.order.bytes()
    }

    #[inline]
    pub(super) fn score(&self, arena: Arena, member: &[u8]) -> Option<f64> {
        let name = arena.hasher.key(member);
        Some(score_of(self.table.find(arena, name, NOW)?))
    }

    pub(super) fn rank(&self, arena: Arena, member: &[u8]) -> Option<(usize, f64)> {
        let block = self.table.block_of(arena, arena.hasher.key(member))?;
        let score = score_of(Entry::at(arena.slab, block, arena.base));
        let rank = self.order.rank_of(|other| {
            if *other == block {
                return Ordering::Equal;
            }
            lies(arena.slab, *other, score, member)
        });
        Some((rank.expect("the tree has every entry"), score))
    }

    pub(super) fn at<'a>(&self, arena: Arena<'a>, rank: usize) -> Option<(Item<'a>, f64)> {
        Some(super::element(arena, self.order.at(rank)?))
    }

    pub(super) fn blocks(&self, ranks: ops::Range<usize>) -> Blocks<'_> {
        self.order.range(ranks)
    }

    /// The ranks of the members that are not below and are within: of these the `wanted` first, or
    /// the last where `from_end` says so. An end without a condition is open.
    pub(super) fn ranks_between<'a>(
        &self,
        arena: Arena<'a>,
        is_below: Option<impl Fn(Entry<'a>) -> bool>,
        is_within: Option<impl Fn(Entry<'a>) -> bool>,
        (wanted, from_end): (usize, bool),
    ) -> ops::Range<usize> {
        let start_after = |end: usize| match &is_below {
            None => 0,
            Some(is_below) if from_end => {
                let found = self.gallop(end, wanted, |steps| {
                    !is_below(self.entry(arena, end - steps))
                });
                end - found.unwrap_or_else(|| end - self.count_while(arena, is_below).min(end))
            }
            Some(is_below) => self.count_while(arena, is_below),
        };
        let end_after = |start: usize| match &is_within {
            None => self.len(),
            Some(is_within) if !from_end => {
                let left = self.len() - start;
                let found = self.gallop(left, wanted, |steps| {
                    is_within(self.entry(arena, start + steps - 1))
                });
                found.map_or_else(|| self.count_while(arena, is_within), |found| start + found)
            }
            Some(is_within) => self.count_while(arena, is_within),
        };
        let (start, end) = if from_end {
            let end = end_after(0);
            (start_after(end), end)
        } else {
            let start = start_after(0);
            (start, end_after(start))
        };
        super::cut(start..end, wanted, from_end)
    }

    fn entry<'a>(&self, arena: Arena<'a>, rank: usize) -> Entry<'a> {
        let block = self.order.at(rank).expect("the rank is below the length");
        Entry::at(arena.slab, block, arena.base)
    }

    /// How many steps of `left` can be taken while `holds`, as far as a few looks tell: a short way
    /// is measured without a search through the whole order. Never says more than `wanted`.
    fn gallop(
        &self,
        left: usize,
        wanted: usize,
        mut holds: impl FnMut(usize) -> bool,
    ) -> Option<usize> {
        /// The ways looked at, each a look dearer than the one before.
        const WAYS: [usize; 2] = [8, 64];
        let most = wanted.min(left);
        if most == 0 || wanted < left && holds(most) {
            return Some(most);
        }
        let mut low = 0;
        for way in WAYS {
            let high = way.min(most);
            if !holds(high) {
                // The last step that holds lies between: a search over few entries.
                let mut high = high;
                while high - low > 1 {
                    let middle = (low + high) / 2;
                    if holds(middle) {
                        low = middle;
                    } else {
                        high = middle;
                    }
                }
                return Some(low);
            }
            if high == most {
                return Some(most);
            }
            low = high;
        }
        None
    }

    /// How many members are before the first of which `holds` is false.
    pub(super) fn count_while<'a>(
        &self,
        arena: Arena<'a>,
        holds: impl Fn(Entry<'a>) -> bool,
    ) -> usize {
        self.order.rank(|block| {
            if holds(Entry::at(arena.slab, *block, arena.base)) {
                Ordering::Less
            } else {
                Ordering::Greater
            }
        })
    }

    pub(super) fn scan<'a>(
        &self,
        arena: Arena<'a>,
        cursor: u64,
        budget_slots: usize,
        visit: &mut dyn FnMut(Item<'a>, f64),
    ) -> u64 {
        self.table.scan(arena, cursor, budget_slots, NOW, |entry| {
            visit(Item::Bytes(entry.key()), score_of(entry));
        })
    }

    /// The block of a member, and its score.
    #[inline]
    pub(super) fn find(&self, arena: Arena, name: Key) -> Option<(BlockRef, f64)> {
        let block = self.table.block_of(arena, name)?;
        Some((block, score_of(Entry::at(arena.slab, block, arena.base))))
    }

    /// Adds a member that is not there.
    pub(super) fn insert(&mut self, arena: &mut ArenaMut, name: Key, score: f64) {
        arena.slab.make_room();
        let value = Value::Bytes {
            bytes: &score.to_le_bytes(),
            // Only such a value may be written in place.
            raw: true,
        };
        let block = self.table.add_valued(arena, name, value);
        let done = self
            .order
            .insert(block, |other| lies(arena.slab, *other, score, name.bytes));
        debug_assert!(done.is_ok(), "the tree has what the table has");
    }

    /// Moves nodes of the order out of sparse pages of the heap, from the member at `at.part` on.
    pub(crate) fn relocate(
        &mut self,
        sparse: &SparsePages,
        at: &mut HeapPlace,
        budget: usize,
    ) -> (Passed, bool) {
        self.order.relocate(sparse, &mut at.part, budget)
    }

    /// Gives the member in a block another score.
    pub(super) fn replace(&mut self, arena: &mut ArenaMut, block: BlockRef, score: f64) {
        self.take_out(arena, block);
        edit::value_mut(arena.slab, block, arena.base).copy_from_slice(&score.to_le_bytes());
        let slab = &*arena.slab;
        let member = Entry::at(slab, block, arena.base).key();
        let done = self
            .order
            .insert(block, |other| lies(slab, *other, score, member));
        debug_assert!(done.is_ok(), "it was taken out just now");
    }

    /// Removes the member in a block.
    pub(super) fn remove(&mut self, arena: &mut ArenaMut, block: BlockRef) {
        self.take_out(arena, block);
        self.table.remove_block(arena, block);
    }

    /// Removes the members of these ranks.
    pub(super) fn remove_ranks(&mut self, arena: &mut ArenaMut, ranks: ops::Range<usize>) {
        for _ in ranks.clone() {
            let block = self.order.remove_at(ranks.start).expect("the rank exists");
            self.table.remove_block(arena, block);
        }
    }

    /// Moves entries and their index out of pages being evacuated; see [`Table::evacuate`].
    pub(crate) fn evacuate(
        &mut self,
        slab: &mut Slab,
        at: &mut Passage,
        budget_slots: usize,
    ) -> (Passed, bool) {
        /// A moved entry is looked up in the order: as dear as so many slots.
        const MOVE_COST_SLOTS: usize = 16;
        let Zset { table, order } = self;
        let met = |slab: &mut Slab, old: BlockRef, new: BlockRef| {
            if old == new {
                return 0;
            }
            refer_anew(order, slab, old, new);
            MOVE_COST_SLOTS
        };
        table.evacuate(slab, at, budget_slots, Some(met))
    }

    fn take_out(&mut self, arena: &ArenaMut, block: BlockRef) {
        let entry = Entry::at(arena.slab, block, arena.base);
        let (score, member) = (score_of(entry), entry.key());
        let taken = self.order.remove(|other| {
            if *other == block {
                return Ordering::Equal;
            }
            lies(arena.slab, *other, score, member)
        });
        debug_assert_eq!(taken, Some(block), "the tree has every entry");
    }

    /// Frees about so many elements; see [`Table::free_step`].
    pub(crate) fn free_step(&mut self, slab: &mut Slab, base: Millis, budget: usize) -> bool {
        let has_entries = self.table.free_step(slab, base, budget);
        // Never behind the table, which says whether the set is empty.
        let has_nodes = self.order.free_step(budget);
        has_entries || has_nodes
    }

    /// [`Zset::bytes`] from a walk.
    pub(crate) fn recount(&self, arena: Arena) -> Counted {
        let (table, nodes_bytes) = (self.table.recount(arena), self.order.recount_bytes());
        Counted {
            bytes: table.bytes + nodes_bytes,
            heap_bytes: table.heap_bytes + nodes_bytes,
        }
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.table.len() == 0 && self.order.is_empty()
    }

    /// Asserts what a sorted set promises itself.
    pub(crate) fn check(&self, arena: Arena) {
        self.table.check(arena);
        assert_eq!(self.table.len(), self.order.len());
        let mut before: Option<Entry> = None;
        for block in self.order.range(0..usize::MAX) {
            let entry = Entry::at(arena.slab, block, arena.base);
            assert!(!score_of(entry).is_nan());
            if let Some(before) = before {
                let order = compare(score_of(before), score_of(entry))
                    .then_with(|| before.key().cmp(entry.key()));
                assert_eq!(order, Ordering::Less, "members lie in their order");
            }
            let name = arena.hasher.key(entry.key());
            assert_eq!(self.table.block_of(arena, name), Some(block));
            before = Some(entry);
        }
    }
}
