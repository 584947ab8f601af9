//! Owns the miss-ratio curve of a shard: what hit ratio caches of ten sizes would have had.
//! Never happens here: an effect on what the shard holds; it is told, and only watches.
//! Source: miniature simulation of the policy in use on a spatial sample (Waldspurger and others, 2015, 2017).
//!
//! A key is in the sample by its hash alone, so all its references are. What is not sampled costs
//! a product and a comparison.
#![forbid(unsafe_code)]

mod miniature;
mod policy;
mod records;
mod report;
mod sample;
mod window;

pub use report::{CurvePoint, MissRatioCurve};
pub use window::{Counts, GROUPS, Groups, Served};

use crate::access::Access;
use crate::evict::Eviction;
use crate::prefixes::PREFIX_DELIMITERS_MAX;
use crate::value::Millis;
use sample::{Filter, Sample};

/// Cache sizes that are simulated.
pub const SIZES: usize = 10;
/// The sizes as multiples of the limit, or of what is used where there is none.
pub const TIMES: [f64; SIZES] = [0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 8.0];
/// Which of them is today's.
pub const TODAY: usize = 4;
/// What a key takes of the tables, in the mean.
pub const SLOT_SHARE_BYTES: u64 = 10;

/// Of a multiplicative hash: its upper bits depend on all bits of a key's hash, so that neither the
/// index's bits nor those that choose a shard decide what is sampled.
const HASH_FACTOR: u64 = 0xd6e8_feb8_6659_fd93;

/// The memory that sizes are multiples of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// The limit of the whole process, where the sizes are multiples of it; otherwise they are
    /// multiples of what is used.
    pub limit_bytes: Option<u64>,
    /// The shard's part of today's size: of the limit, or of what is used.
    pub share_bytes: u64,
    /// How much more data the shard could hold at today's size; below 0 if it holds too much.
    pub room_bytes: i64,
}

/// What a shard is at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Surroundings {
    pub(crate) memory: Memory,
    pub(crate) keys: u64,
    /// Bytes of their entries.
    pub(crate) dataset_bytes: u64,
    /// The policy to simulate.
    pub(crate) eviction: Eviction,
    /// Reads answered until now.
    pub(crate) served: Served,
}

impl Surroundings {
    /// The data that a cache of so many times the size would hold at most; `None` for any. What is
    /// no data does not grow with it.
    fn data_bytes(&self, times: f64) -> Option<u64> {
        if self.memory.limit_bytes.is_none() && times >= 1.0 {
            return None;
        }
        let today_bytes = (self.dataset_bytes + self.keys * SLOT_SHARE_BYTES) as i64;
        let growth_bytes = self.memory.share_bytes as f64 * (times - 1.0);
        let bytes = today_bytes as f64 + self.memory.room_bytes as f64 + growth_bytes;
        Some(bytes.max(0.0) as u64)
    }

    fn mean_bytes(&self) -> f64 {
        self.dataset_bytes as f64 / self.keys.max(1) as f64
    }

    /// Whether what was counted before goes on to mean the same.
    fn is_continued_by(&self, later: &Surroundings) -> bool {
        self.memory.limit_bytes == later.memory.limit_bytes
            && self.served.hits <= later.served.hits
            && self.served.misses <= later.served.misses
    }
}

/// Reads of keys that begin alike.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Label {
    /// The key's part up to its first delimiter; empty for all keys without a label of their own.
    pub name: Box<[u8]>,
    /// What was counted, by parts of the sample.
    pub groups: Groups,
}

/// What one shard knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Today's size.
    pub memory: Option<Memory>,
    /// Reads in the window that found their key.
    pub hits: u64,
    /// And those that did not.
    pub misses: u64,
    /// How many of both were of sampled keys.
    pub sampled_references: u64,
    /// Keys in the sample now.
    pub sampled_keys: u64,
    /// What was counted, by label.
    pub labels: Vec<Label>,
}

/// The watch over one shard's reads and writes.
#[derive(Debug, Default)]
pub struct Curve {
    filter: Filter,
    sample: Option<Box<Sample>>,
}

impl Curve {
    /// A curve that is drawn; [`Curve::default`] is one that is not.
    pub fn new(seed: u64, base: Millis) -> Curve {
        let mut curve = Curve {
            filter: Filter::default(),
            sample: Some(Box::new(Sample::new(seed, base))),
        };
        curve.tell(|_| ());
        curve
    }

    /// Whether it is drawn.
    pub fn is_on(&self) -> bool {
        self.sample.is_some()
    }

    /// The sampling hash of a key.
    #[inline(always)]
    pub fn id(db: usize, hash: u64) -> u64 {
        (hash ^ db as u64).wrapping_mul(HASH_FACTOR)
    }

    /// Whether a key is sampled that has these access metadata.
    #[inline(always)]
    pub fn samples(&self, id: u64, access: Access) -> bool {
        id < self.filter.by_class[usize::from(access.size_class())]
    }

    /// Whether a key may be sampled whose size is not known.
    #[inline(always)]
    pub fn may_sample(&self, id: u64) -> bool {
        id < self.filter.unknown
    }

    /// A key was read, the same as before; false if it was not the same or something came in between,
    /// and [`Curve::note_hit`] must be told.
    #[inline]
    pub fn note_hit_again(&mut self, id: u64) -> bool {
        let sample = self.sample.as_mut();
        sample.is_some_and(|sample| sample.hit_again(id))
    }

    /// A key was read; `bytes` are those of its entry.
    #[cold]
    #[inline(never)]
    pub fn note_hit(
        &mut self,
        id: u64,
        key: &[u8],
        bytes: u64,
        expiry: Option<Millis>,
        now: Millis,
    ) {
        self.tell(|sample| sample.hit(id, key, bytes, expiry, now));
    }

    /// A key was asked for that is not there.
    #[cold]
    #[inline(never)]
    pub fn note_miss(&mut self, id: u64, key: &[u8], now: Millis) {
        self.tell(|sample| sample.miss(id, key, now));
    }

    /// A key was written; `bytes` are those of its entry, `is_new` if it was not there.
    #[cold]
    #[inline(never)]
    pub fn note_write(
        &mut self,
        id: u64,
        key: &[u8],
        bytes: u64,
        expiry: Option<Millis>,
        is_new: bool,
        now: Millis,
    ) {
        self.tell(|sample| sample.written(id, key, bytes, expiry, is_new, now));
    }

    /// A key was deleted, by a client.
    #[cold]
    #[inline(never)]
    pub fn note_removal(&mut self, id: u64) {
        self.tell(|sample| sample.forget(id));
    }

    /// All keys were deleted.
    pub fn note_flush(&mut self) {
        self.tell(Sample::clear);
    }

    /// Has the prefixes of keys end with these.
    pub(crate) fn set_delimiters(&mut self, delimiters: [u8; PREFIX_DELIMITERS_MAX]) {
        self.tell(|sample| sample.set_delimiters(delimiters));
    }

    /// Sets how many bytes it may take, within bounds of its own.
    pub(crate) fn allow(&mut self, bytes: u64, now: Millis) {
        self.tell(|sample| sample.allow(bytes, now));
    }

    /// What the shard is at; called a few times a second and before [`Curve::figures`].
    pub(crate) fn tick(&mut self, surroundings: Surroundings, now: Millis) {
        self.tell(|sample| sample.tick(surroundings, now));
    }

    /// What is known.
    pub fn figures(&self) -> Figures {
        self.sample
            .as_ref()
            .map_or_else(Figures::default, |sample| sample.figures())
    }

    /// Whether the sizes are multiples of a limit.
    pub fn is_limited(&self) -> bool {
        let memory = self.sample.as_ref().and_then(|sample| sample.memory());
        memory.is_some_and(|memory| memory.limit_bytes.is_some())
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> u64 {
        self.sample.as_ref().map_or(0, |sample| sample.heap_bytes())
    }

    fn tell(&mut self, what: impl FnOnce(&mut Sample)) {
        if let Some(sample) = &mut self.sample {
            what(sample);
            if let Some(filter) = sample.changed_filter() {
                self.filter = filter;
            }
        }
    }
}
