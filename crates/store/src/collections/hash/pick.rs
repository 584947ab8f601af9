//! Owns picking fields of a hash at random.
//! Never happens here: a copy of a field; what was picked is shown where it lies.
//! Source: rejection and selection sampling (Knuth 3.4.2, algorithm S), so that each field is as likely as another.
#![forbid(unsafe_code)]

use std::collections::HashSet;

use crate::collections::PackForm;
use crate::entry::Entry;
use crate::pack::{self, Item};
use crate::random::Rng;

use super::{HashView, packed};

/// Picks that may meet expired fields before the fields are listed to pick among them.
const TRIES: usize = 100;
/// Up to this share of the fields is picked one by one; more are chosen on a walk over all.
const PICKED_SHARE: usize = 3;

/// Picks fields of a hash at random, any number of times.
pub struct FieldPicker<'a> {
    hash: HashView<'a>,
    /// What is picked from, once it was listed.
    listed: Option<Listed<'a>>,
}

/// The fields of a hash that have not expired.
enum Listed<'a> {
    /// Offsets in a pack.
    Packed(PackForm, &'a [u8], Vec<u32>),
    Entries(Vec<Entry<'a>>),
}

impl<'a> FieldPicker<'a> {
    /// The next field with its value, each as likely as another; `None` if there is none.
    pub fn pick(&mut self, rng: &mut Rng) -> Option<(Item<'a>, Item<'a>)> {
        if self.listed.is_none() && self.hash.packed().is_none() {
            let arena = self.hash.arena;
            let live = (0..TRIES)
                .map_while(|_| self.hash.table().random(arena, rng))
                .find(|entry| !entry.is_expired(self.hash.now));
            if let Some(entry) = live {
                return Some(pair_of(entry));
            }
        }
        let hash = self.hash;
        match self.listed.get_or_insert_with(|| list(hash)) {
            Listed::Packed(form, pack, offsets) => {
                let offset = *offsets.get(below(rng, offsets.len())?)?;
                let packed = packed::at(*form, pack, offset as usize)?;
                Some((packed.field, packed.value))
            }
            Listed::Entries(entries) => entries
                .get(below(rng, entries.len())?)
                .map(|entry| pair_of(*entry)),
        }
    }
}

fn below(rng: &mut Rng, bound: usize) -> Option<usize> {
    (bound > 0).then(|| rng.below(bound as u64) as usize)
}

fn pair_of(entry: Entry<'_>) -> (Item<'_>, Item<'_>) {
    (Item::Bytes(entry.key()), Item::from(entry.value()))
}

fn list(hash: HashView<'_>) -> Listed<'_> {
    match hash.packed() {
        Some((form, pack)) => {
            let live = packed::fields(form, pack).filter(|packed| !packed.is_past(hash.now));
            let offsets = live.map(|packed| packed.at as u32).collect();
            Listed::Packed(form, pack, offsets)
        }
        None => {
            let entries = hash.table().entries(hash.arena);
            Listed::Entries(
                entries
                    .filter(|entry| !entry.is_expired(hash.now))
                    .collect(),
            )
        }
    }
}

impl<'a> HashView<'a> {
    /// A field picked at random with its value, each as likely as another; `None` if there is none.
    pub fn random(&self, rng: &mut Rng) -> Option<(Item<'a>, Item<'a>)> {
        if let Some((PackForm::Hash, pack)) = self.packed() {
            let field = below(rng, pack::len(pack) / packed::PLAIN)? * packed::PLAIN;
            let packed = packed::at(PackForm::Hash, pack, pack::nth(pack, field as i64)?)?;
            return Some((packed.field, packed.value));
        }
        self.picker().pick(rng)
    }

    /// A field of a large hash picked at random with its value, and a number that no other field has as long as the hash
    /// does not change; nothing where the pick met one that has expired, or the hash is small.
    pub fn random_spot(&self, rng: &mut Rng) -> Option<(u64, Item<'a>, Item<'a>)> {
        if self.packed().is_some() {
            return None;
        }
        let (spot, entry) = self.table().random_spot(self.arena, rng)?;
        let (field, value) = pair_of(entry);
        (!entry.is_expired(self.now)).then_some((spot, field, value))
    }

    /// For picking fields again and again, where one may come twice.
    pub fn picker(&self) -> FieldPicker<'a> {
        FieldPicker {
            hash: *self,
            listed: None,
        }
    }

    /// Shows so many fields, or all if there are fewer, each at most once and as likely as another.
    /// Returns how many.
    pub fn sample(
        &self,
        wanted: usize,
        rng: &mut Rng,
        visit: &mut dyn FnMut(Item<'a>, Item<'a>),
    ) -> usize {
        let live = self.len();
        if self.packed().is_none() {
            let stored = self.table().len();
            let is_sparse = wanted < live / PICKED_SHARE && live > stored / 2;
            if is_sparse {
                self.pick_apart(wanted, rng, visit);
                return wanted;
            }
        }
        let (mut left, mut missing) = (live, wanted.min(live));
        self.each(&mut |field, value, _| {
            if missing > 0 && (rng.below(left as u64) as usize) < missing {
                visit(field, value);
                missing -= 1;
            }
            left -= 1;
        });
        wanted.min(live)
    }

    /// As [`HashView::sample`], where most picks hit a field that was not picked yet.
    fn pick_apart(&self, wanted: usize, rng: &mut Rng, visit: &mut dyn FnMut(Item<'a>, Item<'a>)) {
        let mut picked = HashSet::with_capacity(wanted);
        while picked.len() < wanted {
            let entry = self.table().random(self.arena, rng);
            let entry = entry.expect("most fields of this hash live");
            if !entry.is_expired(self.now) && picked.insert(entry.key().as_ptr()) {
                let (field, value) = pair_of(entry);
                visit(field, value);
            }
        }
    }
}
