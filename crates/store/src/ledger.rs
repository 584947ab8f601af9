//! Owns everything that is kept in sum about the keys of one database: account, prefixes, biggest keys.
//! Never happens here: a look at an entry, or a figure that is changed anywhere but in `settle`.
//! Source: double-entry books; a full recount must always agree.
#![forbid(unsafe_code)]

use crate::account::{Account, Footprint, Packed};
use crate::hasher::Key;
use crate::prefixes::{Change, PrefixRules, Sums, Tree};
use crate::survey::Survey;
use crate::tops::Tops;

/// The books of one database.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) account: Account,
    /// The accounts of prefixes, while they are on and the database has had a key.
    pub(crate) tree: Option<Box<Tree>>,
    pub(crate) tops: Option<Box<Tops>>,
    /// The walk that makes a new tree or new lists of the biggest keys, while there is one.
    pub(crate) survey: Option<Box<Survey>>,
    /// A hidden database has an account and nothing else.
    pub(crate) is_hidden: bool,
}

impl Ledger {
    pub(crate) fn of_hidden() -> Ledger {
        Ledger {
            is_hidden: true,
            ..Ledger::default()
        }
    }

    /// The one door for bytes: what an entry counted for before, and what it counts for now.
    #[inline(always)]
    pub(crate) fn settle(
        &mut self,
        key: Key,
        before: Option<Footprint>,
        after: Option<Footprint>,
        rules: &PrefixRules,
    ) {
        if before == after {
            return;
        }
        if let Some(before) = before {
            self.account.subtract(before);
        }
        if let Some(after) = after {
            self.account.add(after);
        }
        self.settle_tree(key.bytes, Change::between(before, after), rules);
        if self.tops.is_none() {
            self.begin_tops();
        }
        if let Some(tops) = &mut self.tops {
            tops.settle(key.hash, before, after);
        }
        if self.survey.is_some() {
            self.settle_survey(key, Packed::of(before), Packed::of(after));
        }
    }

    /// As [`Ledger::settle`], for a key that was not there.
    #[inline(always)]
    pub(crate) fn add(&mut self, key: Key, footprint: Footprint, rules: &PrefixRules) {
        self.account.add(footprint);
        self.settle_tree(key.bytes, Change::between(None, Some(footprint)), rules);
        if self.tops.is_none() {
            self.begin_tops();
        }
        if let Some(tops) = &mut self.tops {
            tops.settle(key.hash, None, Some(footprint));
        }
        if self.survey.is_some() {
            self.settle_survey(key, Packed::of(None), Packed::of(Some(footprint)));
        }
    }

    /// As [`Ledger::settle`], for a key that goes.
    #[inline(always)]
    pub(crate) fn remove(&mut self, key: Key, footprint: Footprint, rules: &PrefixRules) {
        self.account.subtract(footprint);
        self.settle_tree(key.bytes, Change::between(Some(footprint), None), rules);
        if self.tops.is_none() {
            self.begin_tops();
        }
        if let Some(tops) = &mut self.tops {
            tops.settle(key.hash, Some(footprint), None);
        }
        if self.survey.is_some() {
            self.settle_survey(key, Packed::of(Some(footprint)), Packed::of(None));
        }
    }

    #[inline(always)]
    fn settle_tree(&mut self, key: &[u8], change: Change, rules: &PrefixRules) {
        if let Some(tree) = &mut self.tree {
            tree.settle(key, change);
        } else if rules.is_on {
            self.begin_tree(key, change, rules);
        }
    }

    /// Begins counting prefixes with the first key of a database.
    #[cold]
    #[inline(never)]
    fn begin_tree(&mut self, key: &[u8], change: Change, rules: &PrefixRules) {
        if !self.is_hidden {
            let tree = self.tree.insert(Box::new(Tree::new(rules)));
            tree.settle(key, change);
        }
    }

    #[cold]
    #[inline(never)]
    fn begin_tops(&mut self) {
        if !self.is_hidden {
            self.tops = Some(Box::new(Tops::new()));
        }
    }

    #[cold]
    #[inline(never)]
    fn settle_survey(&mut self, key: Key, before: Packed, after: Packed) {
        if let Some(survey) = &mut self.survey {
            survey.settle(key, before.footprint(), after.footprint());
        }
    }

    /// The sums of all prefixes together.
    pub(crate) fn sums(&self) -> Sums {
        Sums {
            bytes: self.account.bytes(),
            keys: self.account.keys(),
            lasting_keys: self.account.keys() - self.account.expiring_keys,
        }
    }

    /// Asserts that the books are what these keys, which are all there are, make of them.
    pub(crate) fn check(&self, keys: &[(&[u8], u64, Footprint)]) {
        if let Some(tree) = &self.tree {
            assert_eq!(tree.sums(), self.sums());
            tree.check(keys.iter().map(|(key, _, footprint)| (*key, *footprint)));
        }
        if let Some(tops) = &self.tops {
            tops.check(keys.iter().map(|(_, hash, footprint)| (*hash, *footprint)));
        }
        if let Some(survey) = &self.survey {
            survey.check(keys);
        }
    }

    /// Bytes of the books themselves.
    pub(crate) fn heap_bytes(&self) -> u64 {
        let tree = self.tree.as_ref().map_or(0, |tree| tree.heap_bytes());
        let tops = self.tops.as_ref().map_or(0, |tops| tops.heap_bytes());
        let survey = self.survey.as_ref().map_or(0, |survey| survey.heap_bytes());
        tree + tops + survey
    }
}
