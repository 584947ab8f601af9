//! The keys that a command in steps reads, and what they held when it began.
//! Never shows another value in the place of one that is gone: then the command begins anew.
//! Writers of these keys wait meanwhile, so only expiry, and what empties whole databases, takes a value away.

use super::{Lookups, Stop};
use crate::{Call, Core};
use store::{Detached, Key, Millis, View};

/// What a key held.
#[derive(Debug, PartialEq, Eq)]
enum Held {
    Nothing,
    /// What lies in the key's entry.
    Small,
    /// What lies beside it, at this place.
    Large(usize),
}

impl Held {
    fn of(view: Option<&View<'_>>) -> Held {
        match view.map(View::large_at) {
            None => Held::Nothing,
            Some(None) => Held::Small,
            Some(Some(place)) => Held::Large(place),
        }
    }
}

/// A key that is read.
#[derive(Debug)]
pub struct Source {
    key: Box<[u8]>,
    hash: u64,
    held: Held,
}

impl Source {
    /// The key.
    pub fn key(&self) -> Key<'_> {
        Key {
            bytes: &self.key,
            hash: self.hash,
        }
    }
}

/// All keys that a command reads, in one database, at one moment as far as expiry is concerned.
#[derive(Debug)]
pub struct Sources {
    db: usize,
    since: Millis,
    all: Vec<Source>,
}

impl Sources {
    /// The keys, which were looked up just now.
    pub fn of(call: &Call<'_>, keys: &[Key<'_>]) -> Sources {
        let (db, since) = (call.db, call.now());
        let source = |key: &Key<'_>| {
            let view = call.core.shard.view_beside(db, *key, since);
            Source {
                key: key.bytes.into(),
                hash: key.hash,
                held: Held::of(view.as_ref()),
            }
        };
        Sources {
            db,
            since,
            all: keys.iter().map(source).collect(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Their table hashes.
    pub fn hashes(&self) -> impl Iterator<Item = u64> + '_ {
        self.all.iter().map(|source| source.hash)
    }

    /// The lookups that told them.
    pub fn lookups(&self) -> Lookups {
        let misses = self
            .all
            .iter()
            .filter(|source| source.held == Held::Nothing);
        let misses = misses.count() as u64;
        Lookups {
            hits: self.all.len() as u64 - misses,
            misses,
        }
    }

    /// What one of them holds.
    ///
    /// # Errors
    /// It is not what it was.
    pub fn view<'c>(&self, core: &'c Core, index: usize) -> Result<Option<View<'c>>, Stop> {
        let source = &self.all[index];
        let view = core.shard.view_beside(self.db, source.key(), self.since);
        if Held::of(view.as_ref()) == source.held {
            Ok(view)
        } else {
            Err(Stop::Lost)
        }
    }

    /// Key `index` of them.
    pub fn key(&self, index: usize) -> Key<'_> {
        self.all[index].key()
    }

    /// A copy of what one of them holds, made at once.
    pub fn copy_out(&self, core: &mut Core, index: usize) -> Option<Detached> {
        core.shard.copy_out(self.db, self.key(index), self.since)
    }

    /// Whether all hold what they held.
    ///
    /// # Errors
    /// One does not.
    pub fn check(&self, core: &Core) -> Result<(), Stop> {
        (0..self.len()).try_for_each(|index| self.view(core, index).map(|_| ()))
    }
}
