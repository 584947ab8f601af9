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
use crate::value::{Kind, Millis};

/// This share of a segment's expiring keys may be past their time before the next sweep.
const DUE_SHARE: usize = 16;
/// A millisecond of slack for so many keys: at 15 ns a key that is 1 % of a core.
const KEYS_PER_SLACK_MS: usize = 700;
/// A step counts passing a segment that is not due as looking at so many keys.
const PASSING_COST_KEYS: usize = 1;
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
    /// up to a thousand at a time.
    pub fn expire_step(&mut self, now: Millis, budget_keys: usize) -> Expired {
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
            let Some((db, place)) = self.next_expiring_segment(&mut walk) else {
                self.sweeping = Walk::default();
                return expired;
            };
            cost += PASSING_COST_KEYS;
            if self.databases[db].index.sweep_at(&self.slab, place) < now {
                cost += self.databases[db].index.segment_len(&self.slab, place);
                expired.removed += self.sweep_segment(db, place, now);
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

    /// As `next_segment`, past databases without expiring keys.
    fn next_expiring_segment(&self, walk: &mut Walk) -> Option<(usize, usize)> {
        while self
            .databases
            .get(walk.db)
            .is_some_and(|db| !db.account.may_expire())
        {
            *walk = Walk {
                db: walk.db + 1,
                prefix: 0,
            };
        }
        self.next_segment(walk)
    }

    /// Removes what is due from one segment. Returns how many keys went.
    pub(crate) fn sweep_segment(&mut self, db: usize, place: usize, now: Millis) -> usize {
        let slack_ms = self.slack_ms(db);
        let Shard {
            slab,
            databases,
            base,
            graveyard,
            ..
        } = self;
        let (Database { index, account }, base) = (&mut databases[db], *base);
        let mut deadlines = Deadlines::new();
        let mut due_fields: Vec<Vec<u8>> = Vec::new();
        let division = index.divide(slab, place, |block| {
            let entry = Entry::at(slab, block, base);
            let is_due = entry.is_expired(now);
            if !is_due && let Some(at) = entry.next_expiry() {
                deadlines.add(at);
                if now > at {
                    due_fields.push(entry.key().to_vec());
                }
            }
            is_due
        });
        let sweep_at = deadlines.next_sweep(slack_ms);
        let removed = index.take_out(slab, place, &division, sweep_at, |slab, block| {
            account.subtract(Entry::at(slab, block, base).footprint());
            graveyard.take(edit::destroy(slab, block, base));
        });
        self.expired_keys += removed as u64;
        for key in due_fields {
            self.expire_fields(db, self.hasher.key(&key), now);
        }
        removed
    }

    /// Removes fields of a hash that are past their expiry; of a large hash a part, the rest the
    /// next time its segment is swept.
    fn expire_fields(&mut self, db: usize, key: Key, now: Millis) {
        const SEGMENTS_PER_STEP: usize = 4;
        if let Ok(Some(door)) = self.open(db, key, Kind::Hash, now) {
            let mut hash = door.hash();
            hash.expire_step(SEGMENTS_PER_STEP);
        }
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
