//! Owns the estimate of how much of a shard nobody uses: keys drawn at random and followed for a day.
//! Never happens here: work on the path of a command, or a walk; once a minute the drawn keys are looked at, in steps.
//! Source: a cohort study; the variance is that of a stratified sample (Cochran, "Sampling Techniques", 1977).
//!
//! The clock behind access metadata reaches back for minutes where keys come all the time. Whoever looks at a key every
//! minute knows for how long nobody used it. What was not used for a day was there a day ago, so the keys that were drawn
//! then stand for all of it, whatever has come since; a large key that was not drawn counts as used.
#![forbid(unsafe_code)]

use std::collections::HashMap;

use crate::access::Access;
use crate::collections::heap_bytes;
use crate::random::Rng;
use crate::shard::Shard;
use crate::value::Millis;

/// Keys that are followed at a time: the share of what is cold is known to within about a twentieth.
pub const PANEL_KEYS: usize = 512;
/// Where memory is short fewer are, but so many: fewer say nothing of any prefix.
const PANEL_KEYS_MIN: usize = 64;
/// A key that was not used for so many minutes is cold: what is used once a day is not.
pub const COLD_MINUTES: u32 = 24 * 60;
/// A key that is there for fewer had no chance to be read.
pub const SETTLED_MINUTES: u32 = 60;
/// Keys looked at in one step: some microseconds.
const LOOKS_PER_STEP: usize = 64;

/// How much of a shard nobody uses, estimated. Figures of several shards add up.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Unused {
    /// Keys that were followed for a day.
    pub followed_keys: u64,
    /// Bytes of all cold keys.
    pub cold_bytes: f64,
    /// The square of the standard error of that.
    pub cold_variance: f64,
    /// The same by prefix, of those that were met.
    pub prefixes: Vec<(Box<[u8]>, UnusedOfPrefix)>,
}

/// What the keys of a prefix that were followed say of it.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct UnusedOfPrefix {
    /// Keys that were followed for an hour and are there.
    pub settled_keys: u64,
    /// Those of them that were neither read nor written again since they came.
    pub unread_keys: u64,
    /// Bytes of all cold keys, estimated.
    pub cold_bytes: f64,
}

impl UnusedOfPrefix {
    /// Adds what others say.
    pub fn merge(&mut self, other: &UnusedOfPrefix) {
        let UnusedOfPrefix {
            settled_keys,
            unread_keys,
            cold_bytes,
        } = other;
        self.settled_keys += settled_keys;
        self.unread_keys += unread_keys;
        self.cold_bytes += cold_bytes;
    }
}

/// A key that was drawn.
#[derive(Clone, Copy, Debug)]
struct Drawn {
    hash: u64,
    db: u16,
    /// Its metadata at the latest look.
    access: Access,
    /// Neither read, written nor deleted since it was drawn.
    is_unused: bool,
    is_gone: bool,
}

/// Keys that were drawn at a moment.
#[derive(Debug, Default)]
struct Panel {
    drawn_minute: u32,
    drawn: Vec<Drawn>,
    /// For each database with any: its number, how many keys it had, and how many of them were drawn.
    strata: Vec<(u16, u64, u64)>,
}

/// The keys that are followed: those of today, and those of yesterday, of which a day is known.
#[derive(Debug)]
pub(crate) struct Panels {
    rng: Rng,
    today: Option<Panel>,
    yesterday: Option<Panel>,
    minute: u32,
    /// Keys to draw.
    keys_max: usize,
    /// The key of both panels that is looked at next; past the last one between two minutes.
    next: usize,
}

impl Panels {
    pub(crate) fn new(seed: u64) -> Panels {
        Panels {
            rng: Rng::seeded(seed),
            today: None,
            yesterday: None,
            minute: 0,
            keys_max: PANEL_KEYS,
            next: usize::MAX,
        }
    }

    /// Whether there are keys to look at.
    pub(crate) fn owes_looks(&self) -> bool {
        self.next != usize::MAX
    }

    fn both(&mut self) -> impl Iterator<Item = &mut Panel> {
        self.today.iter_mut().chain(&mut self.yesterday)
    }

    pub(crate) fn heap_bytes(&self) -> u64 {
        let panels = self.today.iter().chain(&self.yesterday);
        let bytes = panels.map(|panel| {
            heap_bytes(panel.drawn.capacity() * size_of::<Drawn>())
                + heap_bytes(panel.strata.capacity() * size_of::<(u16, u64, u64)>())
        });
        bytes.sum()
    }
}

impl Shard {
    /// Sets how many bytes the keys may take that are drawn next, within bounds of their own.
    pub fn allow_followed(&mut self, bytes: u64) {
        let keys = bytes / size_of::<Drawn>() as u64;
        self.panels.keys_max = keys.clamp(PANEL_KEYS_MIN as u64, PANEL_KEYS as u64) as usize;
    }

    /// Begins to look at the keys of both panels, at the beginning of a minute; once a day others are drawn.
    pub(crate) fn begin_looks(&mut self, minute: u32) {
        let panels = &mut self.panels;
        panels.minute = minute;
        if self.clock.counts_frequency() {
            // Those metadata do not say whether a key was used.
            (panels.today, panels.yesterday) = (None, None);
            panels.next = usize::MAX;
            return;
        }
        let is_over = |panel: &Panel| minute - panel.drawn_minute >= COLD_MINUTES;
        if panels.today.as_ref().is_none_or(is_over) {
            let drawn = self.draw(minute);
            self.panels.yesterday = std::mem::replace(&mut self.panels.today, drawn);
        }
        self.panels.next = 0;
    }

    /// Draws keys, of each database by its share of all.
    fn draw(&mut self, minute: u32) -> Option<Panel> {
        let all = self.all_keys();
        let mut panel = Panel {
            drawn_minute: minute,
            ..Panel::default()
        };
        for db in 0..self.databases() {
            let index = &self.databases[db].index;
            let keys = index.len() as u64;
            if keys == 0 {
                continue;
            }
            let wanted = (keys * self.panels.keys_max as u64).div_ceil(all);
            panel.drawn.reserve_exact(wanted as usize);
            let before = panel.drawn.len();
            for _ in 0..wanted {
                if let Some(slot) = index.random_slot(&self.slab, &mut self.panels.rng) {
                    panel.drawn.push(Drawn {
                        hash: self.hash_of(slot.block),
                        db: db as u16,
                        access: slot.access,
                        is_unused: true,
                        is_gone: false,
                    });
                }
            }
            let drawn = (panel.drawn.len() - before) as u64;
            panel.strata.push((db as u16, keys, drawn));
        }
        (!panel.drawn.is_empty()).then_some(panel)
    }

    /// Looks at some keys of the panels. Whether there are more.
    pub(crate) fn look_step(&mut self) -> bool {
        for _ in 0..LOOKS_PER_STEP {
            let next = self.panels.next;
            let Some(Drawn {
                hash, db, is_gone, ..
            }) = self.drawn(next).copied()
            else {
                self.panels.next = usize::MAX;
                return false;
            };
            let access = if is_gone {
                None
            } else {
                self.access_of(usize::from(db), hash)
            };
            let used = access.map(|now| {
                let before = self.drawn(next).map_or(now, |drawn| drawn.access);
                self.clock.is_used_since(before, now)
            });
            if let Some(drawn) = self.drawn(next) {
                drawn.is_gone = access.is_none();
                drawn.is_unused &= used == Some(false);
                drawn.access = access.unwrap_or(drawn.access);
            }
            self.panels.next += 1;
        }
        true
    }

    fn drawn(&mut self, nth: usize) -> Option<&mut Drawn> {
        let mut before = 0;
        for panel in self.panels.both() {
            let len = panel.drawn.len();
            if nth - before < len {
                return panel.drawn.get_mut(nth - before);
            }
            before += len;
        }
        None
    }

    /// How much nobody uses: what the keys say that are followed for long enough. Nothing before the second day, and
    /// under an LFU policy. Notes no access.
    pub fn unused(&self, now: Millis) -> Unused {
        let mut unused = Unused::default();
        let panels = &self.panels;
        let settled = panels.today.iter().chain(&panels.yesterday);
        let mut settled =
            settled.filter(|panel| panels.minute - panel.drawn_minute >= SETTLED_MINUTES);
        if let Some(panel) = settled.next() {
            self.judge(panel, now, false, &mut unused);
        }
        if let Some(panel) = &panels.yesterday {
            unused.followed_keys = panel.drawn.len() as u64;
            self.judge(panel, now, true, &mut unused);
        }
        unused
    }

    /// Adds what the keys of a panel say: which are cold, or which were never read.
    fn judge(&self, panel: &Panel, now: Millis, of_cold: bool, unused: &mut Unused) {
        for &(db, keys, drawn_keys) in &panel.strata {
            let tree = self.databases[usize::from(db)].ledger.tree.as_deref();
            let mut prefixes: HashMap<u16, UnusedOfPrefix> = HashMap::new();
            let (mut cold_bytes, mut cold_squares) = (0.0, 0.0);
            let scale = keys as f64 / drawn_keys.max(1) as f64;
            for drawn in panel
                .drawn
                .iter()
                .filter(|one| one.db == db && !one.is_gone)
            {
                let Some(entry) = self.entry_of(usize::from(db), drawn.hash) else {
                    continue;
                };
                if entry.is_expired(now) {
                    continue;
                }
                let account = tree.and_then(|tree| tree.account_of(entry.key()));
                let mut prefix = account.map(|account| prefixes.entry(account).or_default());
                if of_cold && drawn.is_unused {
                    let bytes = entry.footprint().bytes as f64;
                    cold_bytes += bytes;
                    cold_squares += bytes * bytes;
                    if let Some(prefix) = &mut prefix {
                        prefix.cold_bytes += bytes * scale;
                    }
                }
                if let Some(prefix) = prefix.filter(|_| !of_cold) {
                    prefix.settled_keys += 1;
                    let is_unread = drawn.is_unused && drawn.access.hits() == 0;
                    prefix.unread_keys += u64::from(is_unread);
                }
            }
            let spread = cold_squares - cold_bytes * cold_bytes / drawn_keys.max(1) as f64;
            unused.cold_bytes += cold_bytes * scale;
            unused.cold_variance += spread.max(0.0) * scale * scale;
            let is_met = |account: u16| prefixes.contains_key(&account);
            let named = tree.map_or(Vec::new(), |tree| tree.names_of(is_met));
            let named = named
                .into_iter()
                .map(|(name, account)| (name, prefixes[&account]));
            unused.prefixes.extend(named);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evict::{Eviction, Order};
    use crate::hasher::Key;
    use crate::shard::Options;
    use crate::value::{Expiry, Value};
    use memory::history::MARK_MS;

    fn shard(seed: u64) -> Shard {
        Shard::new(Options {
            seeds: [1, 2, seed, 4],
            ..Options::default()
        })
        .unwrap()
    }

    fn key<'a>(shard: &Shard, name: &'a str) -> Key<'a> {
        Key {
            bytes: name.as_bytes(),
            hash: shard.hash(name.as_bytes()),
        }
    }

    /// A moment so many minutes after the start.
    fn at(minute: u32) -> Millis {
        Millis(i64::from(minute) * MARK_MS as i64)
    }

    fn set(shard: &mut Shard, db: usize, name: &str, bytes: usize, minute: u32) {
        let value = vec![b'v'; bytes];
        let value = Value::Bytes {
            bytes: &value,
            raw: false,
        };
        let key = key(shard, name);
        shard.set(db, key, value, Expiry::Clear, at(minute));
    }

    fn read(shard: &mut Shard, db: usize, name: &str, minute: u32) {
        let key = key(shard, name);
        assert!(shard.touch(db, key, at(minute)));
    }

    /// Lets a minute begin, with all that is done then.
    fn begin(shard: &mut Shard, minute: u32) {
        shard.tend_books(at(minute));
        while shard.survey_step(512) {}
    }

    fn of(unused: &Unused, prefix: &str) -> UnusedOfPrefix {
        let mut sum = UnusedOfPrefix::default();
        let named = unused.prefixes.iter();
        named
            .filter(|(name, _)| &**name == prefix.as_bytes())
            .for_each(|(_, one)| sum.merge(one));
        sum
    }

    #[test]
    fn of_a_shard_without_keys_nothing_is_unused() {
        let mut shard = shard(3);
        for minute in [1, 2, 2000, 4000] {
            begin(&mut shard, minute);
            assert_eq!(shard.unused(at(minute)), Unused::default());
        }
        assert_eq!(shard.panels.heap_bytes(), 0);
    }

    #[test]
    fn the_estimate_is_within_three_errors_of_the_truth() {
        let mut beyond = 0;
        for seed in 0..40 {
            let mut shard = shard(seed);
            // Cold will be 3000 keys of 300 bytes in one database, 1000 of 100 in another.
            let all = [(0, "a", 12_000, 300), (3, "b", 4000, 100)];
            for (db, prefix, keys, bytes) in all {
                (0..keys).for_each(|nth| set(&mut shard, db, &format!("{prefix}:{nth}"), bytes, 0));
            }
            begin(&mut shard, 1);
            let mut truth = 0;
            for (db, prefix, keys, _) in all {
                for nth in 0..keys {
                    let name = format!("{prefix}:{nth}");
                    if nth % 4 > 0 {
                        read(&mut shard, db, &name, 5);
                    } else {
                        let key = key(&shard, &name);
                        truth += shard.usage(db, key, at(5)).unwrap() - crate::SLOT_BYTES;
                    }
                }
            }
            begin(&mut shard, 6);
            assert_eq!(shard.unused(at(6)), Unused::default());
            begin(&mut shard, 1 + COLD_MINUTES);
            // What comes later is no part of it, and what goes is not either.
            (0..9000).for_each(|nth| set(&mut shard, 0, &format!("c:{nth}"), 300, 1500));
            let unused = shard.unused(at(1500));
            assert!((512..514).contains(&unused.followed_keys));
            let error = (unused.cold_bytes - truth as f64).abs();
            beyond += u32::from(error > 3.0 * unused.cold_variance.sqrt());
            let of_prefixes = of(&unused, "a:").cold_bytes + of(&unused, "b:").cold_bytes;
            assert!((unused.cold_bytes - of_prefixes).abs() < 1.0);
            shard.detach_database(0);
            assert!(shard.unused(at(1500)).cold_bytes < 300_000.0);
            shard.check();
        }
        assert!(beyond <= 1, "{beyond} of 40 samples");
    }

    #[test]
    fn a_large_key_that_is_drawn_by_chance_is_an_error_as_large_as_itself() {
        for seed in 0..20 {
            let mut shard = shard(seed);
            (0..1000).for_each(|nth| set(&mut shard, 0, &format!("a:{nth}"), 50, 0));
            set(&mut shard, 0, "a:big", 5_000_000, 0);
            begin(&mut shard, 1);
            (0..1000).for_each(|nth| read(&mut shard, 0, &format!("a:{nth}"), 2));
            begin(&mut shard, 3);
            begin(&mut shard, 1 + COLD_MINUTES);
            let unused = shard.unused(at(2000));
            let least = unused.cold_bytes - 2.0 * unused.cold_variance.sqrt();
            assert!(least <= 0.0, "{least} of {}", unused.cold_bytes);
        }
    }

    #[test]
    fn a_key_is_unread_when_an_hour_has_passed() {
        let mut shard = shard(3);
        for nth in 0..200 {
            for prefix in ["never", "before", "later"] {
                set(&mut shard, 0, &format!("{prefix}:{nth}"), 50, 0);
            }
            read(&mut shard, 0, &format!("before:{nth}"), 0);
        }
        begin(&mut shard, 1);
        begin(&mut shard, SETTLED_MINUTES);
        (0..200).for_each(|nth| read(&mut shard, 0, &format!("later:{nth}"), 60));
        (0..200).for_each(|nth| set(&mut shard, 0, &format!("new:{nth}"), 50, 60));
        assert_eq!(shard.unused(at(60)), Unused::default());
        begin(&mut shard, 1 + SETTLED_MINUTES);
        let unused = shard.unused(at(61));
        let counts = |prefix| {
            let one = of(&unused, prefix);
            (one.settled_keys > 100, one.unread_keys, one.settled_keys)
        };
        let (is_known, unread, settled) = counts("never:");
        assert!(is_known && unread == settled);
        assert!(counts("before:").0 && counts("before:").1 == 0);
        assert!(counts("later:").0 && counts("later:").1 == 0);
        assert_eq!(counts("new:"), (false, 0, 0));
        assert_eq!((unused.cold_bytes, unused.followed_keys), (0.0, 0));
    }

    #[test]
    fn a_use_is_seen_however_fast_the_clock_of_accesses_runs() {
        let mut shard = shard(3);
        for nth in 0..200 {
            set(&mut shard, 0, &format!("cold:{nth}"), 50, 0);
            set(&mut shard, 0, &format!("daily:{nth}"), 50, 0);
        }
        for minute in 1..=1 + COLD_MINUTES {
            begin(&mut shard, minute);
            // A turnover every three minutes, so that ages end at half an hour.
            for nth in 0..150 {
                let name = format!("churn:{nth}");
                let key = key(&shard, &name);
                shard.remove(0, key, at(minute));
                set(&mut shard, 0, &name, 50, minute);
            }
            if minute == 700 {
                (0..200).for_each(|nth| read(&mut shard, 0, &format!("daily:{nth}"), minute));
            }
        }
        let now = at(1 + COLD_MINUTES);
        let cold = key(&shard, "cold:1");
        assert!(shard.idle_ms(0, cold, now).unwrap() < 3_600_000);
        let unused = shard.unused(now);
        let (cold, daily) = (of(&unused, "cold:"), of(&unused, "daily:"));
        assert!(cold.cold_bytes > 0.8 * 200.0 * 72.0, "{cold:?}");
        assert_eq!(daily.cold_bytes, 0.0);
        assert_eq!(of(&unused, "churn:").cold_bytes, 0.0);
    }

    #[test]
    fn under_an_lfu_policy_nobody_is_followed() {
        let mut shard = shard(3);
        set(&mut shard, 0, "a:1", 50, 0);
        begin(&mut shard, 1);
        assert!(shard.panels.today.is_some());
        let eviction = Eviction {
            order: Order::Lfu,
            ..Eviction::default()
        };
        shard.set_eviction(eviction, at(1));
        begin(&mut shard, 1 + COLD_MINUTES);
        assert_eq!(shard.unused(at(2000)), Unused::default());
        assert_eq!(shard.panels.heap_bytes(), 0);
    }

    #[test]
    fn looking_at_a_key_is_no_use_of_it() {
        let mut shard = shard(3);
        set(&mut shard, 0, "a:1", 50, 0);
        (1..100).for_each(|minute| begin(&mut shard, minute));
        let _ = shard.unused(at(99));
        let key = key(&shard, "a:1");
        assert_eq!(shard.hits(0, key, at(99)), Some(0));
        assert!(shard.idle_ms(0, key, at(99)).unwrap() >= 99 * 60_000);
    }
}
