//! Owns one shard's data: entries, index, expiry, scanning, purging.
//! Never happens here: a clock, a lock, a wait, or the knowledge of cores; `now` is an argument.
//! Source: shared-nothing shards, so that a test of a cluster is a `Vec<Shard>` and a loop.
//!
//! A key is one [`Entry`] in one block of the shard's slab, found through the index of its database.
//! Blocks beyond 8 KiB lie on the allocator's heap and belong to the entry that refers to them.

mod access;
mod account;
mod books;
mod classes;
mod collections;
mod content;
mod covered;
pub mod curve;
mod detach;
mod entry;
mod evict;
mod expire;
mod frequency;
mod growing;
mod hasher;
mod heap;
mod index;
mod intset;
mod item;
mod keys;
mod ledger;
mod pack;
mod prefixes;
pub mod price;
mod purge;
mod random;
mod score;
mod shard;
mod slab;
mod stream;
mod strings;
mod survey;
mod tick;
mod tops;
mod tree;
mod unused;
mod value;
mod watch;

pub use access::HITS_MAX;
pub use account::{Account, KindAccount};
pub use books::StoreAccounts;
pub use classes::{BLOCK_BYTES_MAX, CLASSES, block_bytes};
pub use collections::{
    AddRule, Added, Door, Elements, FieldPicker, HashEdit, HashView, LexBound, Lifetime, ListEdit,
    ListEnd, ListView, NotANumber, Place, Presence, SetEdit, SetView, StreamEdit, Thresholds, View,
    WrongKind, ZsetEdit, ZsetRange, ZsetView,
};
pub use content::{
    ConsumerContent, Content, GroupContent, PendingContent, StreamContent, StreamId, Strings,
};
pub use covered::Covered;
pub use detach::Detached;
pub use entry::{Bill, EXPIRY_BYTES, Entry, SLOT_BYTES};
pub use evict::{Evicted, Eviction, Order, SAMPLES_MAX};
pub use expire::Expired;
pub use growing::{FOLLOWED_BYTES_MIN, FOLLOWED_KEYS_MAX, FollowedKey};
pub use hasher::{Hasher, Key};
pub use item::{IntBuffer, Item};
pub use keys::CURSOR_BITS;
pub use prefixes::{PREFIX_DELIMITERS_MAX, PREFIX_DEPTH_MAX, PrefixReport, PrefixRow, PrefixRules};
pub use purge::Moves;
pub use random::Rng;
pub use shard::{Options, Shard};
pub use slab::SizeClass;
pub use stream::{
    Backward, Consumer, ConsumerId, Fields, Forward, Group, Keep, NodeLimits, PendingEntry, Stream,
    StreamCopy, StreamEntry, Trim,
};
pub use survey::{TopKey, TopKeys};
pub use tops::TOP_KEYS_MAX;
pub use unused::{COLD_MINUTES, PANEL_KEYS, SETTLED_MINUTES, Unused, UnusedOfPrefix};
pub use value::{EMBSTR_BYTES_MAX, Encoding, Expiry, KINDS, Kind, Millis, Value, canonical_int};
