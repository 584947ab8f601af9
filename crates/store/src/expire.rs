//! Owns expiry: setting it, and removing keys that are past theirs without anybody asking.
//! Never happens here: a timer; the caller says when to step and how much.
//! Source: deadline per index segment, in place of a second table or a wheel: no byte per key.
//!
//! A segment remembers when it next deserves a sweep. That is not its earliest deadline, or a
//! thousand keys with spread deadlines would be read a thousand times. It is the moment by which
//! a sixteenth of its expiring keys will be due, or the earliest deadline and a slack, whichever
//! comes first. The slack grows with the database so that reading all of it once per slack takes
//! about one per cent of a core: 14 ms for ten thousand keys, 14 s for ten million.
#![forbid(unsafe_code)]

use crate::entry::{Entry, edit};
use crate::hasher::Key;
use crate::shard::{Database, Shard, Walk};
use crate::slab::BlockRef;
use crate::value::{Kind, Millis};

/// This share of a segment's expiring keys may be past their time before the next sweep.
const DUE_SHARE: usize = 16;
/// A millisecond of slack for so many keys: at 15 ns a key that is 1 % of a core.
pub(crate) const KEYS_PER_SLACK_MS: usize = 700;
/// A step counts passing a segment that is not due as looking at so many keys.
const PASSING_COST_KEYS: usize = 1;
/// Fields that one step looks at for expired ones, beside the keys of its segment; that many cost
/// about as much as these.
const FIELDS_PER_STEP: usize = 1024;
/// Slots a segment can have.
const SEGMENT_SLOTS_MAX: usize = 1024;

/// What one step of expiry did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Expired {
    /// Keys removed.
    pub removed: usize,
    /// Whether the pass over all databases is unfinished; the next step goes on with it.
    pub more: bool,
}

impl Shard {
    /// Gives a key an expiry, or takes it away. False for a missing key.
    pub fn set_expiry(&mut self, db: usize, key: Key, expiry: Option<Millis>, now: Millis) -> bool {
        let Some(found) = self.find(db, key, now) else {
            return false;
        };
        let before = self.entry(found.block).footprint();
        let block = edit::set_expiry(&mut self.slab, found.block, expiry, self.base);
        self.changed(db, key.hash, found, block, before, expiry, now);
        true
    }

    /// Removes keys that are past their expiry, looking at about `budget_keys` keys, a segment of
    /// up to a thousand at a time, and fields that are, looking at up to two thousand a segment.
    pub fn expire_step(&mut self, now: Millis, budget_keys: usize) -> Expired {
        self.expire_step_beside(now, budget_keys, &mut |_| false)
    }

    /// As [`Shard::expire_step`], but fields of the keys of which `is_kept` says so, by their hashes, stay where they are.
    pub fn expire_step_beside(
        &mut self,
        now: Millis,
        budget_keys: usize,
        is_kept: &mut dyn FnMut(u64) -> bool,
    ) -> Expired {
        // A shard that is only read has no insertions to pay for this.
        self.pin_segment();
        if self.clock.counts_frequency() {
            // Nor does it meet every moment at which counters decay.
            self.note_time(now);
        }
        let mut expired = Expired::default();
        let mut cost = 0;
        let mut walk = self.sweeping;
        while cost < budget_keys {
            let here = walk;
            let Some((db, place)) = self.next_expiring_segment(&mut walk) else {
                self.sweeping = Walk::default();
                return expired;
            };
            cost += PASSING_COST_KEYS;
            if self.databases[db].index.sweep_at(&self.slab, place) < now {
                cost += self.databases[db].index.segment_len(&self.slab, place);
                let (removed, fields_left) = self.sweep_segment(db, place, now, is_kept);
                expired.removed += removed;
                if fields_left {
                    // The next step goes on right here: what it costs to find the place is lost once.
                    walk = here;
                    break;
                }
            }
        }
        self.sweeping = walk;
        Expired {
            more: true,
            ..expired
        }
    }

    /// Keys removed because they were past their expiry, since the shard was made.
    pub fn expired_keys(&self) -> u64 {
        self.expired_keys
    }

    /// As `next_segment`, past databases without expiring keys. What a command has for itself stays as it is while that runs.
    fn next_expiring_segment(&self, walk: &mut Walk) -> Option<(usize, usize)> {
        while self
            .databases
            .get(walk.db)
            .is_some_and(|db| db.ledger.is_hidden || !db.ledger.account.may_expire())
        {
            *walk = Walk {
                db: walk.db + 1,
                prefix: 0,
            };
        }
        self.next_segment(walk)
    }

    /// Removes what is due from one segment, but no fields of keys that are kept. Returns how many keys went, and whether
    /// other hashes of it still have fields that are due.
    pub(crate) fn sweep_segment(
        &mut self,
        db: usize,
        place: usize,
        now: Millis,
        is_kept: &mut dyn FnMut(u64) -> bool,
    ) -> (usize, bool) {
        let slack_ms = self.slack_ms(db);
        let Shard {
            slab,
            databases,
            base,
            graveyard,
            hasher,
            prefix_rules,
            ..
        } = self;
        let (Database { index, ledger }, base) = (&mut databases[db], *base);
        let hash_of = |entry: &Entry<'_>| {
            let stored = entry.stored_hash();
            stored.unwrap_or_else(|| hasher.hash(entry.key()))
        };
        let mut deadlines = Deadlines::new();
        let mut due_fields: Vec<BlockRef> = Vec::new();
        let division = index.divide(slab, place, |block| {
            let entry = Entry::at(slab, block, base);
            let is_due = entry.is_expired(now);
            if !is_due && let Some(at) = entry.next_expiry() {
                if now > at && is_kept(hash_of(&entry)) {
                    // Not before now, or nothing else of the segment would have a turn until it is let go.
                    deadlines.add(now);
                    return is_due;
                }
                deadlines.add(at);
                if now > at {
                    due_fields.push(block);
                }
            }
            is_due
        });
        let sweep_at = deadlines.next_sweep(slack_ms);
        let removed = index.take_out(slab, place, &division, sweep_at, |slab, block| {
            let entry = Entry::at(slab, block, base);
            let key = Key {
                bytes: entry.key(),
                hash: hash_of(&entry),
            };
            ledger.settle(key, Some(entry.footprint()), None, prefix_rules);
            graveyard.take(edit::destroy(slab, block, base));
        });
        self.expired_keys += removed as u64;
        let fields_left = !due_fields.is_empty() && self.expire_fields_of(db, &due_fields, now);
        (removed, fields_left)
    }

    /// Removes fields that are past their expiry from the hashes whose entries these are, up to a
    /// limit. Returns whether any are left; then their segment is due at once.
    fn expire_fields_of(&mut self, db: usize, hashes: &[BlockRef], now: Millis) -> bool {
        let mut looked_at = 0;
        for &block in hashes {
            // The entry stays where it is while those of other keys change.
            let bytes = self.entry(block).key().to_vec();
            let key = self.hasher.key(&bytes);
            if looked_at < FIELDS_PER_STEP {
                looked_at += self.expire_fields(db, key, now, FIELDS_PER_STEP - looked_at);
            }
            if let Some(found) = self.databases[db].index.find(&self.slab, key, self.base)
                && let Some(at) = self.entry(found.block).next_expiry()
                && now > at
            {
                self.databases[db].index.sweep_by(&self.slab, key.hash, at);
                return true;
            }
        }
        false
    }

    /// Removes fields of a hash that are past their expiry, looking at about so many of a large
    /// one. Returns at how many it looked. Nobody accessed the hash: its access stays as it was.
    fn expire_fields(&mut self, db: usize, key: Key, now: Millis, budget_fields: usize) -> usize {
        let find = |shard: &Shard| shard.databases[db].index.find(&shard.slab, key, shard.base);
        let access = find(self).map(|found| found.access());
        let Ok(Some(door)) = self.open(db, key, Kind::Hash, now) else {
            return 0;
        };
        let looked_at = door.hash().expire_step(budget_fields);
        if let Some(found) = find(self)
            && let Some(access) = access
        {
            let bytes = self.entry(found.block).bytes();
            found.set_access(self.clock.resized(access, bytes));
        }
        looked_at
    }

    /// Notes a new expiry in the segment of its key.
    #[inline]
    pub(crate) fn note_expiry(&mut self, db: usize, hash: u64, at: Millis) {
        let sweep_at = self.sweep_time(db, at);
        self.databases[db]
            .index
            .sweep_by(&self.slab, hash, sweep_at);
    }

    /// When the segment of a key that expires at `at` should be swept for it.
    pub(crate) fn sweep_time(&self, db: usize, at: Millis) -> Millis {
        at.plus(self.slack_ms(db))
    }

    fn slack_ms(&self, db: usize) -> i64 {
        (self.databases[db].index.len() / KEYS_PER_SLACK_MS) as i64
    }
}

/// The deadlines of one segment's keys that are not yet due.
struct Deadlines {
    times: [Millis; SEGMENT_SLOTS_MAX],
    len: usize,
}

impl Deadlines {
    fn new() -> Deadlines {
        Deadlines {
            times: [Millis(i64::MAX); SEGMENT_SLOTS_MAX],
            len: 0,
        }
    }

    fn add(&mut self, at: Millis) {
        self.times[self.len] = at;
        self.len += 1;
    }

    /// When enough of them will be due, or one of them for long enough.
    fn next_sweep(&mut self, slack_ms: i64) -> Millis {
        let times = &mut self.times[..self.len];
        if times.is_empty() {
            return Millis(i64::MAX);
        }
        let enough = times.len() / DUE_SHARE;
        let (sooner, enough_due, _) = times.select_nth_unstable(enough);
        let earliest = sooner.iter().min().copied().unwrap_or(*enough_due);
        (*enough_due).min(earliest.plus(slack_ms))
    }
}
