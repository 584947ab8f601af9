//! Owns the choice of what goes when memory is short: policies, scores, and the search for a victim.
//! Never happens here: when to evict, or how much; the caller knows the limit.
//! Source: sampled eviction as in Redis, on metadata that lies together; idle × frequency × size in the log domain.
//!
//! A candidate costs no look at its key: eight slots' metadata share a cache line with their tags.
//! Only policies that need an expiry (`volatile-…`, `ttl`) read the headers of entries, and then
//! only in segments that have an expiring key.
#![forbid(unsafe_code)]

use crate::access::Access;
use crate::frequency::Frequency;
use crate::index::Slot;
use crate::price::{OCTAVE_STEPS, Price, octave_steps};
use crate::score::{IfsScores, LowScores};
use crate::shard::{Shard, Walk};
use crate::slab::BlockRef;
use crate::value::Millis;

/// Most candidates for one victim.
pub const SAMPLES_MAX: usize = 64;

/// Places tried at random for one victim before the search goes through the segments in turn.
const TRIES: usize = 8;
/// Segments passed in one search for a key with an expiry: their headers are a cache miss each.
const SEGMENTS_PASSED_MAX: usize = 4096;
/// Slots of entries read in one search for a key with an expiry.
const ENTRIES_READ_MAX: usize = 4096;

/// What goes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// The least hits + 1 ÷ idle for each byte, with the weight β on the request and 1 - β on its bytes.
    Ifs,
    /// The longest not used.
    Lru,
    /// The least often used.
    Lfu,
    /// Any.
    Random,
    /// The soonest to expire; only keys with an expiry.
    Ttl,
}

/// How keys are chosen to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Eviction {
    /// What goes first.
    pub order: Order,
    /// Whether only keys with an expiry may go.
    pub only_expiring: bool,
    /// Candidates for each victim, 1 to [`SAMPLES_MAX`].
    pub samples: usize,
    /// β in hundredths, at most 100: how much a hit's request counts under [`Order::Ifs`], and not its bytes.
    pub size_weight_percent: u8,
    /// What a key that was never hit is worth under [`Order::Ifs`], in hundredths of one that was; at least 1.
    pub fresh_weight_percent: u8,
    /// How slowly counters grow under [`Order::Lfu`].
    pub log_factor: u32,
    /// Minutes in which a counter loses one under [`Order::Lfu`]; 0 is never.
    pub decay_minutes: u32,
}

impl Default for Eviction {
    /// The best by measurement.
    fn default() -> Eviction {
        Eviction {
            order: Order::Ifs,
            only_expiring: false,
            samples: 32,
            size_weight_percent: 100,
            fresh_weight_percent: 50,
            log_factor: 10,
            decay_minutes: 1,
        }
    }
}

/// What went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Evicted {
    /// Keys that had to make room.
    pub keys: usize,
    /// Keys that were past their expiry and went in their stead.
    pub expired: usize,
}

/// Victims after which the mean size of the keys is reckoned anew.
const VICTIMS_WEIGHED_TOGETHER: usize = 64;

/// The state of choosing.
#[derive(Debug)]
pub(crate) struct Chooser {
    eviction: Eviction,
    scores: IfsScores,
    /// For the mean size of the keys.
    lows: LowScores,
    /// Victims until that is reckoned anew.
    victims_left: usize,
    /// What the keys of all shards have on the mean, where there are others; 0 is not known.
    mean_bytes: u64,
    price: Price,
    rng: crate::random::Rng,
    /// Where the search for keys with an expiry stands.
    walk: Walk,
    evicted_keys: u64,
}

impl Chooser {
    pub(crate) fn new(seed: u64) -> Chooser {
        Chooser {
            eviction: Eviction::default(),
            scores: IfsScores::new(Eviction::default()),
            lows: LowScores::UNSET,
            victims_left: 0,
            mean_bytes: 0,
            price: Price::default(),
            rng: crate::random::Rng::seeded(seed),
            walk: Walk::default(),
            evicted_keys: 0,
        }
    }

    fn set(&mut self, eviction: Eviction) {
        self.eviction = Eviction {
            samples: eviction.samples.clamp(1, SAMPLES_MAX),
            ..eviction
        };
        self.scores = IfsScores::new(eviction);
        self.lows = LowScores::UNSET;
        self.victims_left = 0;
        self.price = Price::default();
    }
}

/// A key that may go, with what speaks for it.
#[derive(Clone, Copy)]
struct Candidate {
    score: i64,
    block: BlockRef,
    access: Access,
}

/// The candidates for one victim.
struct Candidates {
    all: [Candidate; SAMPLES_MAX],
    len: usize,
}

impl Candidates {
    fn new() -> Candidates {
        let none = Candidate {
            score: i64::MIN,
            block: BlockRef::NONE,
            access: Access::NEVER,
        };
        Candidates {
            all: [none; SAMPLES_MAX],
            len: 0,
        }
    }

    fn add(&mut self, candidate: Candidate) {
        self.all[self.len] = candidate;
        self.len += 1;
    }

    /// Takes out the one that is to go first.
    fn pop(&mut self) -> Option<Candidate> {
        let candidates = self.all[..self.len].iter().enumerate();
        let (place, chosen) = candidates.max_by_key(|(_, candidate)| candidate.score)?;
        let chosen = *chosen;
        self.len -= 1;
        self.all[place] = self.all[self.len];
        Some(chosen)
    }
}

impl Shard {
    /// Has keys chosen in another way. The access metadata change their meaning when an LFU policy
    /// comes or goes, and take some time to adjust.
    pub fn set_eviction(&mut self, eviction: Eviction, now: Millis) {
        self.chooser.set(eviction);
        let frequency = (eviction.order == Order::Lfu)
            .then(|| Frequency::new(eviction.log_factor, eviction.decay_minutes));
        self.clock.count_frequency(frequency, now);
    }

    /// How keys are chosen.
    pub fn eviction(&self) -> Eviction {
        self.chooser.eviction
    }

    /// Keys evicted since the shard was made.
    pub fn evicted_keys(&self) -> u64 {
        self.chooser.evicted_keys
    }

    /// How many keys may be evicted.
    pub fn evictable_keys(&self) -> u64 {
        (0..self.databases()).map(|db| self.evictable_in(db)).sum()
    }

    /// How many keys there are, of all databases that SELECT can choose.
    pub fn all_keys(&self) -> u64 {
        (0..self.databases()).map(|db| self.len(db) as u64).sum()
    }

    /// Has sizes compare with the mean of all keys as it is now.
    fn weigh_keys(&mut self) {
        let accounts = (0..self.databases()).map(|db| &self.databases[db].ledger.account);
        let (keys, bytes) = accounts.fold((0, 0), |(keys, bytes), account| {
            (keys + account.keys(), bytes + account.bytes())
        });
        let Chooser {
            scores,
            lows,
            mean_bytes,
            ..
        } = &mut self.chooser;
        let mean_bytes = match *mean_bytes {
            0 => bytes / keys.max(1),
            of_all => of_all,
        };
        lows.set_mean(scores, mean_bytes);
        self.chooser.victims_left = VICTIMS_WEIGHED_TOGETHER;
    }

    fn evictable_in(&self, db: usize) -> u64 {
        let database = &self.databases[db];
        if self.chooser.eviction.only_expiring {
            database.ledger.account.expiring_keys
        } else {
            database.index.len() as u64
        }
    }

    /// Evicts one key, or removes expired keys and fields where the search meets a segment that is
    /// due for it. `may_go` is asked of the chosen key, by database and hash, and a no is respected.
    /// `None` if no key was found that may go.
    ///
    /// What the key owned is freed at once, but for the elements of a large collection: see
    /// [`Shard::doomed_bytes`].
    pub fn evict(
        &mut self,
        now: Millis,
        may_go: &mut dyn FnMut(usize, u64) -> bool,
    ) -> Option<Evicted> {
        if self.chooser.victims_left == 0 {
            self.weigh_keys();
        }
        self.chooser.victims_left -= 1;
        for _ in 0..TRIES {
            let db = self.choose_database()?;
            let place = self.databases[db].index.random_place(&mut self.chooser.rng);
            let evicted = self.evict_at(db, place, now, may_go);
            if evicted.is_some() {
                return evicted;
            }
        }
        self.evict_in_turn(now, may_go)
    }

    /// Bytes of what was deleted or evicted and is being freed in steps.
    pub fn doomed_bytes(&self) -> u64 {
        self.graveyard.bytes()
    }

    /// A database, each as likely as it has keys that may go.
    fn choose_database(&mut self) -> Option<usize> {
        let all = self.evictable_keys();
        if all == 0 {
            return None;
        }
        let mut nth = self.chooser.rng.below(all);
        (0..self.databases()).find(|&db| {
            let here = self.evictable_in(db);
            let is_it = nth < here;
            nth = nth.saturating_sub(here);
            is_it
        })
    }

    /// Evicts a key of the segment at a place, if one may go.
    fn evict_at(
        &mut self,
        db: usize,
        place: usize,
        now: Millis,
        may_go: &mut dyn FnMut(usize, u64) -> bool,
    ) -> Option<Evicted> {
        let sweep_at = self.databases[db].index.sweep_at(&self.slab, place);
        if sweep_at < now {
            let is_kept = &mut |hash| !may_go(db, hash);
            let (expired, fields_left) = self.sweep_segment(db, place, now, is_kept);
            let has_freed = expired > 0 || fields_left;
            // What the sweep took out may have changed where segments lie: the search begins anew.
            return has_freed.then_some(Evicted { keys: 0, expired });
        }
        let only_expiring = self.chooser.eviction.only_expiring;
        if only_expiring && sweep_at == Millis(i64::MAX) {
            return None;
        }
        let mut candidates = self.candidates_at(db, place);
        while let Some(candidate) = candidates.pop() {
            let block = candidate.block;
            let hash = self.hash_of(block);
            if !may_go(db, hash) {
                continue;
            }
            let found = self.databases[db].index.find_block(&self.slab, hash, block);
            debug_assert!(found.is_some(), "a candidate lies where its hash leads");
            self.note_price(candidate, now);
            self.discard(db, hash, found?);
            self.chooser.evicted_keys += 1;
            self.clock.note_eviction();
            return Some(Evicted {
                keys: 1,
                expired: 0,
            });
        }
        None
    }

    pub(crate) fn hash_of(&self, block: BlockRef) -> u64 {
        let entry = self.entry(block);
        entry
            .stored_hash()
            .unwrap_or_else(|| self.hasher.hash(entry.key()))
    }

    /// Keys that lie together from a random slot of a segment on and may go by their kind.
    fn candidates_at(&mut self, db: usize, place: usize) -> Candidates {
        let mut candidates = Candidates::new();
        let wanted = self.chooser.eviction.samples;
        let only_expiring = self.chooser.eviction.only_expiring;
        let draw = self.chooser.rng.next_u64();
        let index = &self.databases[db].index;
        index.slots_from(&self.slab, place, draw, only_expiring, |slot| {
            if let Some(candidate) = self.candidate(slot) {
                candidates.add(candidate);
            }
            candidates.len < wanted
        });
        candidates
    }

    fn candidate(&self, slot: Slot) -> Option<Candidate> {
        let chooser = &self.chooser;
        let Slot { block, access, .. } = slot;
        let expiry = if chooser.eviction.only_expiring {
            Some(self.entry(block).expiry()?)
        } else {
            None
        };
        let score = match chooser.eviction.order {
            Order::Ifs => self.ifs_score(access),
            Order::Lru => self.clock.age_ticks(access).into(),
            Order::Lfu => -i64::from(self.clock.decayed(access)),
            Order::Random => 0,
            Order::Ttl => -expiry.or_else(|| self.entry(block).expiry())?.0,
        };
        Some(Candidate {
            score,
            block,
            access,
        })
    }

    /// Takes note of what a key is worth that goes, or would go next.
    fn note_price(&mut self, candidate: Candidate, now: Millis) {
        let Candidate { score, access, .. } = candidate;
        let worth = match self.chooser.eviction.order {
            Order::Ifs => {
                let lows = &self.chooser.lows;
                lows.worth(access.low()) - octave_steps(self.clock.idle_ms(access, now))
            }
            Order::Lru => -octave_steps(self.clock.idle_ms(access, now)),
            Order::Lfu => -score as i32 * OCTAVE_STEPS,
            Order::Random => 0,
            Order::Ttl => octave_steps((-score).saturating_sub(now.0)),
        };
        self.chooser.price.note(worth);
    }

    /// What the keys are worth for each byte that this shard gives up, or would, in logarithms; the same
    /// scale on all shards. `None` before any went.
    pub fn price(&self) -> Option<i32> {
        self.chooser.price.get()
    }

    /// Looks at what would go next, for [`Shard::price`].
    pub fn appraise(&mut self, now: Millis) {
        if self.chooser.victims_left == 0 {
            self.weigh_keys();
        }
        let Some(db) = self.choose_database() else {
            return;
        };
        let place = self.databases[db].index.random_place(&mut self.chooser.rng);
        if let Some(candidate) = self.candidates_at(db, place).pop() {
            self.note_price(candidate, now);
        }
    }

    /// Has sizes compare with the mean of all shards' keys, in bytes.
    pub fn weigh_against(&mut self, mean_bytes: u64) {
        self.chooser.mean_bytes = mean_bytes;
    }

    #[inline]
    fn ifs_score(&self, access: Access) -> i64 {
        let age_ticks = self.clock.age_ticks(access);
        let Chooser { scores, lows, .. } = &self.chooser;
        scores.of(lows, access.low(), age_ticks).into()
    }

    /// Evicts the first key that may go, segment by segment from where the last search ended. For
    /// databases in which few keys may go.
    fn evict_in_turn(
        &mut self,
        now: Millis,
        may_go: &mut dyn FnMut(usize, u64) -> bool,
    ) -> Option<Evicted> {
        let mut walk = self.chooser.walk;
        let (mut passed, mut read, mut ends) = (0, 0, 0);
        let mut evicted = None;
        // Past the end the walk begins anew, once: then everything was met, wherever it stood.
        while evicted.is_none()
            && ends < 2
            && passed < SEGMENTS_PASSED_MAX
            && read < ENTRIES_READ_MAX
        {
            let Some((db, place)) = self.next_segment(&mut walk) else {
                ends += 1;
                continue;
            };
            passed += 1;
            if self.is_hidden(db) {
                continue;
            }
            if self.chooser.eviction.only_expiring {
                let index = &self.databases[db].index;
                if index.sweep_at(&self.slab, place) == Millis(i64::MAX) {
                    continue;
                }
                read += index.segment_len(&self.slab, place);
            }
            evicted = self.evict_at(db, place, now, may_go);
        }
        self.chooser.walk = walk;
        evicted
    }
}
