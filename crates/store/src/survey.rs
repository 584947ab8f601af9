//! Owns the walk over all keys of a database that makes its prefixes or its biggest keys anew, and when to make one.
//! Never happens here: a step that takes long, or a figure told before the walk has ended.
//! Source: incremental building beside the old structure, in hash order, so that what was covered is known of any key.
//!
//! What the walk has covered, the new structures count: a key that is met, and every later write to
//! a key whose place was passed. At the end they count every key once and take over.
#![forbid(unsafe_code)]

use memory::history::MARK_MS;

use crate::access::Access;
use crate::account::Footprint;
use crate::collections::heap_bytes;
use crate::covered::Covered;
use crate::entry::Entry;
use crate::hasher::Key;
use crate::index::{Cursor, Found, Rehash};
use crate::ledger::Ledger;
use crate::prefixes::{Change, PrefixReport, PrefixRules, Tree};
use crate::shard::{Database, Shard};
use crate::tops::{Member, Tops};
use crate::value::{Kind, Millis};

/// Accounts of prefixes that are marked in one step.
const MARKS_PER_STEP: usize = 128;
/// The shortest and the longest time between two walks for prefixes of a database. It doubles while
/// they bring nothing.
const WALK_PAUSE_MS: [i64; 2] = [30_000, 3_600_000];

/// A walk under way, and what it makes.
#[derive(Debug)]
pub(crate) struct Survey {
    cursor: Cursor,
    covered: Covered,
    tree: Option<Box<Tree>>,
    tops: Option<Box<Tops>>,
}

/// When the books of a shard were looked after.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tending {
    /// The beginning of minute 0.
    begun: Millis,
    /// The latest minute that was begun to be marked.
    minute: u32,
    is_marking: bool,
    /// No walk for prefixes begins before.
    next_walk: Millis,
    pause_ms: i64,
}

impl Tending {
    pub(crate) fn new(now: Millis) -> Tending {
        Tending {
            begun: now,
            minute: 0,
            is_marking: false,
            next_walk: now,
            pause_ms: WALK_PAUSE_MS[0],
        }
    }

    /// Milliseconds since minute 0 began.
    fn elapsed_ms(&self, now: Millis) -> u64 {
        now.since(self.begun).max(0) as u64
    }
}

impl Survey {
    fn new(tree: Option<Tree>, tops: bool) -> Box<Survey> {
        Box::new(Survey {
            cursor: Cursor::from_bits(0),
            covered: Covered::default(),
            tree: tree.map(Box::new),
            tops: tops.then(|| Box::new(Tops::new())),
        })
    }

    /// Settles a change of a key that the walk has passed.
    pub(crate) fn settle(&mut self, key: Key, before: Option<Footprint>, after: Option<Footprint>) {
        if self.covered.has(key.hash) {
            self.count(key, before, after);
        }
    }

    fn count(&mut self, key: Key, before: Option<Footprint>, after: Option<Footprint>) {
        if let Some(tree) = &mut self.tree {
            tree.settle(key.bytes, Change::between(before, after));
        }
        if let Some(tops) = &mut self.tops {
            tops.settle(key.hash, before, after);
        }
    }

    pub(crate) fn heap_bytes(&self) -> u64 {
        let tree = self.tree.as_ref().map_or(0, |tree| tree.heap_bytes());
        let tops = self.tops.as_ref().map_or(0, |tops| tops.heap_bytes());
        heap_bytes(size_of::<Survey>()) + tree + tops
    }

    /// Asserts that what was made counts the covered ones of these keys.
    pub(crate) fn check(&self, keys: &[(&[u8], u64, Footprint)]) {
        let covered = keys.iter().filter(|(_, hash, _)| self.covered.has(*hash));
        if let Some(tree) = &self.tree {
            tree.check(
                covered
                    .clone()
                    .map(|(key, _, footprint)| (*key, *footprint)),
            );
        }
        if let Some(tops) = &self.tops {
            tops.check(covered.map(|(_, hash, footprint)| (*hash, *footprint)));
        }
    }
}

/// One of the biggest keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopKey {
    /// The key.
    pub key: Box<[u8]>,
    /// Its database.
    pub db: usize,
    /// Its type.
    pub kind: Kind,
    /// Bytes of its blocks, allocator rounding included.
    pub bytes: u64,
}

/// The biggest keys of a shard.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TopKeys {
    /// Biggest first.
    pub keys: Vec<TopKey>,
    /// Keys of more bytes than this are all among them, up to as many as were asked for.
    pub floor_bytes: u64,
}

impl Shard {
    /// Changes what a prefix is, or whether prefixes are counted. Where there are keys a walk begins,
    /// a few keys with every [`Shard::survey_step`]; until it ends all of them count as others.
    pub fn set_prefix_rules(&mut self, rules: PrefixRules) {
        if rules == self.prefix_rules {
            return;
        }
        self.prefix_rules = rules;
        let minute = self.tending.minute;
        self.curve.set_delimiters(rules.delimiter_bytes());
        for Database { index, ledger } in &mut self.databases {
            ledger.tree = None;
            let wants_tops = ledger
                .survey
                .take()
                .is_some_and(|survey| survey.tops.is_some());
            let has_keys = index.len() > 0 && !ledger.is_hidden;
            if has_keys && rules.is_on {
                ledger.tree = Some(Box::new(Tree::unknown(&rules, ledger.sums(), minute)));
                ledger.survey = Some(Survey::new(Some(Tree::new(&rules)), wants_tops));
            } else if wants_tops {
                ledger.survey = Some(Survey::new(None, true));
            }
        }
    }

    /// Looks after the books now and then: marks what prefixes hold, once a minute, and begins walks
    /// that are worth it. Returns whether [`Shard::survey_step`] has something to do.
    ///
    /// Time never goes back here; it is counted from the moment the shard was made.
    pub fn tend_books(&mut self, now: Millis) -> bool {
        let minute = (self.tending.elapsed_ms(now) / MARK_MS) as u32;
        let is_minute = minute > self.tending.minute;
        if is_minute {
            self.tending.minute = minute;
            self.tending.is_marking = true;
            self.mark_biggest(minute);
            self.begin_looks(minute);
        }
        let may_walk = now >= self.tending.next_walk;
        let mut is_walking = false;
        for Database { ledger, .. } in &mut self.databases {
            if is_minute && let Some(tree) = &mut ledger.tree {
                tree.mark_begin(minute);
            }
            if ledger.survey.is_none() {
                let tree = ledger.tree.as_ref();
                let tree = tree.filter(|tree| may_walk && tree.is_worth_a_walk());
                let tree = tree.map(|tree| tree.successor(&self.prefix_rules));
                let tops = ledger.tops.as_ref().is_some_and(|tops| tops.wants_refill());
                if tree.is_some() || tops {
                    ledger.survey = Some(Survey::new(tree, tops));
                }
            }
            is_walking |= ledger.survey.is_some();
        }
        if may_walk {
            self.tending.next_walk = now.plus(self.tending.pause_ms);
        }
        self.mark_step();
        is_walking || self.tending.is_marking || self.panels.owes_looks()
    }

    /// Marks some of the accounts that the minute under way has not come to.
    fn mark_step(&mut self) {
        if self.tending.is_marking {
            let mut ledgers = self.databases.iter_mut().map(|one| &mut one.ledger);
            let has_more = |ledger: &mut Ledger| {
                let tree = ledger.tree.as_mut();
                tree.is_some_and(|tree| tree.mark_step(MARKS_PER_STEP))
            };
            self.tending.is_marking = ledgers.any(has_more);
        }
    }

    /// Marks some prefixes, looks at some keys that are followed, or looks at about `budget_slots` keys of a walk that has begun. Returns whether there are more.
    pub fn survey_step(&mut self, budget_slots: usize) -> bool {
        if self.tending.is_marking {
            self.mark_step();
            return self.tending.is_marking || self.panels.owes_looks() || self.is_surveying();
        }
        if self.panels.owes_looks() {
            return self.look_step() || self.is_surveying();
        }
        let walking = |database: &Database| database.ledger.survey.is_some();
        let Some(db) = self.databases.iter().position(walking) else {
            return false;
        };
        let Shard {
            slab,
            databases,
            hasher,
            base,
            ..
        } = self;
        let Database { index, ledger } = &mut databases[db];
        let Some(mut survey) = ledger.survey.take() else {
            return false;
        };
        let rehash = Rehash {
            hasher,
            base: *base,
        };
        let next = index.scan(slab, survey.cursor, budget_slots, rehash, |block| {
            let entry = Entry::at(slab, block, *base);
            let hash = rehash.hash_of(slab, block);
            if !survey.covered.has(hash) {
                let key = Key {
                    bytes: entry.key(),
                    hash,
                };
                survey.count(key, None, Some(entry.footprint()));
            }
        });
        match next {
            Some(cursor) => {
                survey.covered.note(cursor.to_bits());
                survey.cursor = cursor;
                ledger.survey = Some(survey);
            }
            None => self.end_survey(db, *survey),
        }
        self.databases.iter().any(walking)
    }

    /// Has what a walk has made take over.
    fn end_survey(&mut self, db: usize, survey: Survey) {
        let minute = self.tending.minute;
        let ledger = &mut self.databases[db].ledger;
        if let Some(mut tree) = survey.tree {
            debug_assert_eq!(tree.sums(), ledger.sums());
            if let Some(former) = &mut ledger.tree {
                tree.inherit(former, minute);
                let has_brought = tree.other_bytes() < former.other_bytes() / 10 * 9;
                let [shortest, longest] = WALK_PAUSE_MS;
                self.tending.pause_ms = if has_brought {
                    shortest
                } else {
                    (self.tending.pause_ms * 2).min(longest)
                };
            }
            ledger.tree = Some(tree);
        }
        if let Some(tops) = survey.tops {
            ledger.tops = Some(tops);
        }
    }

    /// Whether a walk is under way.
    pub fn is_surveying(&self) -> bool {
        self.databases.iter().any(|one| one.ledger.survey.is_some())
    }

    /// The accounts of prefixes of each database that has any, or of each the so many largest with their histories; none
    /// while they are off. Reads no key.
    pub fn prefix_reports(&self, now: Millis, largest: Option<usize>) -> Vec<PrefixReport> {
        let elapsed_ms = self.tending.elapsed_ms(now);
        let trees = self.databases.iter().flat_map(|one| &one.ledger.tree);
        trees.map(|tree| tree.report(elapsed_ms, largest)).collect()
    }

    /// The biggest keys of all databases, of one kind or of any, at most `count` and
    /// [`crate::TOP_KEYS_MAX`]. Reads the entries of those that it names.
    pub fn top_keys(&self, kind: Option<Kind>, count: usize, now: Millis) -> TopKeys {
        let mut found: Vec<(Member, usize, Kind)> = Vec::new();
        let mut floor_bytes = 0;
        for (db, database) in self.databases.iter().enumerate() {
            let Some(tops) = &database.ledger.tops else {
                continue;
            };
            for one in Kind::ALL {
                if kind.is_none_or(|wanted| wanted == one) {
                    floor_bytes = floor_bytes.max(tops.floor_bytes(one));
                    found.extend(tops.members(one).iter().map(|member| (*member, db, one)));
                }
            }
        }
        found.sort_by_key(|(member, ..)| std::cmp::Reverse(*member));
        let named = found.into_iter().filter_map(|(member, db, kind)| {
            let entry = self.entry_of(db, member.hash)?;
            (!entry.is_expired(now)).then(|| TopKey {
                key: entry.key().into(),
                db,
                kind,
                bytes: member.bytes,
            })
        });
        TopKeys {
            keys: named.take(count.min(crate::TOP_KEYS_MAX)).collect(),
            floor_bytes,
        }
    }

    /// The entry of the key with a hash.
    pub(crate) fn entry_of(&self, db: usize, hash: u64) -> Option<Entry<'_>> {
        Some(self.entry(self.find_by_hash(db, hash)?.block))
    }

    /// The access metadata of the key with a hash.
    pub(crate) fn access_of(&self, db: usize, hash: u64) -> Option<Access> {
        Some(self.find_by_hash(db, hash)?.access())
    }

    fn find_by_hash(&self, db: usize, hash: u64) -> Option<Found> {
        let rehash = Rehash {
            hasher: &self.hasher,
            base: self.base,
        };
        let is_it = |block| rehash.hash_of(&self.slab, block) == hash;
        let index = &self.databases[db].index;
        index.find_where(&self.slab, hash, is_it)
    }
}
