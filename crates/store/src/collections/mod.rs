//! Owns the values that hold elements: small ones packed in their entry, large ones boxed beside it.
//! Never happens here: the key's account; the door settles it whenever a collection closes.
//! Source: compact forms for few elements as in Redis; tables of ordinary entries for many.

mod door;
pub(crate) mod hash;
mod list;
mod set;
mod stream;
mod table;
mod view;
mod zset;

pub use door::{Door, WrongKind};
pub use hash::{FieldPicker, HashEdit, HashView, Lifetime};
pub use list::{Elements, ListEdit, ListEnd, ListView};
pub use set::{SetEdit, SetView};
pub use stream::StreamEdit;
pub use view::View;
pub use zset::{AddRule, Added, LexBound, NotANumber, Presence, ZsetEdit, ZsetRange, ZsetView};

pub(crate) use list::List;
pub(crate) use table::Table;

use memory::heap::SparsePages;
use memory::heap::good_size;

use crate::hasher::Hasher;
pub use crate::index::Place;
use crate::index::{Passage, Passed, Rehash};
use crate::slab::{BlockRef, Slab};
use crate::stream::Stream;
use crate::value::{Encoding, Kind, Millis};

use zset::Zset;

/// Up to where collections stay packed, and the sizes of the nodes of large ones. The fields are
/// the options of the same names, which have Redis' meanings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Thresholds {
    /// Fields of a packed hash.
    pub hash_max_listpack_entries: usize,
    /// Bytes of a field or value of a packed hash.
    pub hash_max_listpack_value: usize,
    /// Positive: elements of a node of a list; -1 to -5: its bytes, 4 KiB to 64 KiB.
    pub list_max_listpack_size: i32,
    /// Members of a packed set.
    pub set_max_listpack_entries: usize,
    /// Bytes of a member of a packed set.
    pub set_max_listpack_value: usize,
    /// Members of a set of integers.
    pub set_max_intset_entries: usize,
    /// Members of a packed sorted set.
    pub zset_max_listpack_entries: usize,
    /// Bytes of a member of a packed sorted set.
    pub zset_max_listpack_value: usize,
    /// Bytes of a node of a stream; 0 is no limit.
    pub stream_node_max_bytes: usize,
    /// Entries of a node of a stream; 0 is no limit.
    pub stream_node_max_entries: usize,
}

impl Default for Thresholds {
    /// The defaults of Redis 7.2.
    fn default() -> Thresholds {
        Thresholds {
            hash_max_listpack_entries: 512,
            hash_max_listpack_value: 64,
            list_max_listpack_size: -2,
            set_max_listpack_entries: 128,
            set_max_listpack_value: 64,
            set_max_intset_entries: 512,
            zset_max_listpack_entries: 128,
            zset_max_listpack_value: 64,
            stream_node_max_bytes: 4096,
            stream_node_max_entries: 100,
        }
    }
}

/// What the entries and tables of a shard lie in, to read.
#[derive(Clone, Copy)]
pub(crate) struct Arena<'a> {
    pub(crate) slab: &'a Slab,
    pub(crate) hasher: &'a Hasher,
    pub(crate) base: Millis,
}

/// What the entries and tables of a shard lie in, to change.
pub(crate) struct ArenaMut<'a> {
    pub(crate) slab: &'a mut Slab,
    pub(crate) hasher: &'a Hasher,
    pub(crate) base: Millis,
}

impl ArenaMut<'_> {
    pub(crate) fn read(&self) -> Arena<'_> {
        Arena {
            slab: self.slab,
            hasher: self.hasher,
            base: self.base,
        }
    }
}

impl<'a> Arena<'a> {
    pub(crate) fn rehash(&self) -> Rehash<'a> {
        Rehash {
            hasher: self.hasher,
            base: self.base,
        }
    }
}

/// What the packed elements of a small collection mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PackForm {
    /// Elements from head to tail.
    List,
    /// Members.
    Set,
    /// Members that are all integers, as an `intset`.
    Ints,
    /// Members and scores in turn, by score and member.
    Zset,
    /// Fields and values in turn.
    Hash,
    /// Fields, values and expiries in turn, 0 for none.
    HashEx,
}

impl PackForm {
    pub(crate) fn kind(self) -> Kind {
        match self {
            PackForm::List => Kind::List,
            PackForm::Set | PackForm::Ints => Kind::Set,
            PackForm::Zset => Kind::Zset,
            PackForm::Hash | PackForm::HashEx => Kind::Hash,
        }
    }

    pub(crate) fn encoding(self) -> Encoding {
        match self {
            PackForm::Ints => Encoding::Intset,
            PackForm::HashEx => Encoding::ListpackEx,
            _ => Encoding::Listpack,
        }
    }

    /// Whether a pack of this form holds nothing.
    pub(crate) fn is_empty(self, pack: &[u8]) -> bool {
        match self {
            PackForm::Ints => crate::intset::len(pack) == 0,
            _ => crate::pack::len(pack) == 0,
        }
    }
}

/// A large collection, or a packed one that does not fit a block.
#[derive(Debug)]
pub(crate) enum Big {
    /// Packed elements.
    Packed(PackForm, Vec<u8>),
    /// Elements in packed nodes.
    List(List),
    /// Fields with their values.
    Hash(Table),
    /// Members, with empty values.
    Set(Table),
    /// Members with scores, and their order.
    Zset(Zset),
    /// Entries and groups.
    Stream(Stream),
}

/// Where moving stands among a collection's blocks on the heap. A change of the collection leaves
/// it a valid place, or one past its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct HeapPlace {
    /// A block of nodes, or a rank.
    pub(crate) part: usize,
    /// A node in the block.
    pub(crate) place: usize,
}

/// What a walk over a collection counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counted {
    /// All bytes.
    pub(crate) bytes: u64,
    /// Those of them on the allocator's heap.
    pub(crate) heap_bytes: u64,
}

impl Big {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Big::Packed(form, _) => form.kind(),
            Big::List(_) => Kind::List,
            Big::Hash(_) => Kind::Hash,
            Big::Set(_) => Kind::Set,
            Big::Zset(_) => Kind::Zset,
            Big::Stream(_) => Kind::Stream,
        }
    }

    pub(crate) fn encoding(&self) -> Encoding {
        match self {
            Big::Packed(form, _) => form.encoding(),
            Big::List(_) => Encoding::Quicklist,
            Big::Hash(_) | Big::Set(_) => Encoding::Hashtable,
            Big::Zset(_) => Encoding::Skiplist,
            Big::Stream(_) => Encoding::Stream,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Big::Packed(form, pack) => form.is_empty(pack),
            Big::List(list) => list.is_empty(),
            Big::Hash(table) | Big::Set(table) => table.len() == 0,
            Big::Zset(zset) => zset.is_empty(),
            Big::Stream(stream) => stream.is_empty(),
        }
    }

    /// Bytes of all its blocks as the allocators round them, this one's box included.
    #[inline]
    pub(crate) fn bytes(&self) -> u64 {
        box_bytes()
            + match self {
                Big::Packed(_, pack) => heap_bytes(pack.capacity()),
                Big::List(list) => list.bytes() as u64,
                Big::Hash(table) | Big::Set(table) => table.bytes(),
                Big::Zset(zset) => zset.bytes(),
                Big::Stream(stream) => stream.bytes(),
            }
    }

    /// Those of [`Big::bytes`] that are tables: the indexes by which elements are found.
    pub(crate) fn tables_bytes(&self) -> u64 {
        match self {
            Big::Packed(..) | Big::List(_) | Big::Stream(_) => 0,
            Big::Hash(table) | Big::Set(table) => table.index_bytes(),
            Big::Zset(zset) => zset.tables_bytes(),
        }
    }

    /// When a hash should be looked through for fields that have expired, if ever.
    #[inline]
    pub(crate) fn field_expiry(&self) -> Option<Millis> {
        match self {
            Big::Packed(PackForm::HashEx, pack) => hash::packed_expiry(pack),
            Big::Hash(table) => table.sweep_at(),
            _ => None,
        }
    }

    /// Frees about so many elements, so that a large collection goes in steps. Returns whether
    /// there are more; then the collection serves nothing but further calls of this.
    pub(crate) fn free_step(&mut self, slab: &mut Slab, base: Millis, budget: usize) -> bool {
        match self {
            Big::Packed(..) => false,
            Big::List(list) => list.free_step(budget),
            Big::Hash(table) | Big::Set(table) => table.free_step(slab, base, budget),
            Big::Zset(zset) => zset.free_step(slab, base, budget),
            Big::Stream(stream) => stream.free_step(budget),
        }
    }

    /// Moves blocks on the heap out of sparse pages, from `at` on, looking at about so many. Returns
    /// what it did and whether there is more. Directories of tables stay where they are.
    pub(crate) fn relocate(
        &mut self,
        sparse: &SparsePages,
        at: &mut HeapPlace,
        budget: usize,
    ) -> (Passed, bool) {
        match self {
            Big::Packed(_, pack) => (Passed::of_heap(sparse.relocate_vec(pack)), false),
            Big::List(list) => list.relocate(sparse, at, budget),
            Big::Stream(stream) => stream.relocate(sparse, at, budget),
            Big::Zset(zset) => zset.relocate(sparse, at, budget),
            Big::Hash(_) | Big::Set(_) => (Passed::default(), false),
        }
    }

    /// Whether elements lie in blocks of the slab, beside the entry's own.
    pub(crate) fn has_blocks(&self) -> bool {
        matches!(self, Big::Hash(_) | Big::Set(_) | Big::Zset(_))
    }

    /// Moves blocks of elements out of pages being evacuated, from `at` on, looking at about so
    /// many. Returns what it did and whether there is more.
    pub(crate) fn evacuate(
        &mut self,
        slab: &mut Slab,
        at: &mut Passage,
        budget_slots: usize,
    ) -> (Passed, bool) {
        const UNHEARD: Option<fn(&mut Slab, BlockRef, BlockRef) -> usize> = None;
        match self {
            Big::Hash(table) | Big::Set(table) => table.evacuate(slab, at, budget_slots, UNHEARD),
            Big::Zset(zset) => zset.evacuate(slab, at, budget_slots),
            _ => (Passed::default(), false),
        }
    }

    /// [`Big::bytes`] from a walk over everything.
    pub(crate) fn recount(&self, arena: Arena) -> Counted {
        let own = box_bytes();
        let counted = match self {
            Big::Packed(_, pack) => {
                let bytes = heap_bytes(pack.capacity());
                Counted {
                    bytes,
                    heap_bytes: bytes,
                }
            }
            Big::List(list) => {
                let bytes = list.recount_bytes() as u64;
                Counted {
                    bytes,
                    heap_bytes: bytes,
                }
            }
            Big::Hash(table) | Big::Set(table) => table.recount(arena),
            Big::Zset(zset) => zset.recount(arena),
            Big::Stream(stream) => {
                let bytes = stream.recount_bytes();
                Counted {
                    bytes,
                    heap_bytes: bytes,
                }
            }
        };
        Counted {
            bytes: counted.bytes + own,
            heap_bytes: counted.heap_bytes + own,
        }
    }

    /// Asserts what a collection promises itself.
    pub(crate) fn check(&self, arena: Arena) {
        match self {
            Big::Packed(..) | Big::Stream(_) => {}
            Big::List(list) => list.check(),
            Big::Hash(table) | Big::Set(table) => table.check(arena),
            Big::Zset(zset) => zset.check(arena),
        }
        assert_eq!(self.recount(arena).bytes, self.bytes());
        assert!(!self.is_empty() || self.kind() == Kind::Stream);
    }
}

#[inline]
fn box_bytes() -> u64 {
    good_size(size_of::<Big>()) as u64
}

/// What a block of the heap of so many bytes takes; none for none.
#[inline]
pub(crate) fn heap_bytes(capacity: usize) -> u64 {
    if capacity == 0 {
        0
    } else {
        good_size(capacity) as u64
    }
}
