//! Owns what the steps of one walk have covered, so that a walk over a changing database shows no key twice.
//! Never happens here: the walk; SCAN, whose state is all in its cursor, does without and may repeat keys.
//! Source: the order of the scan cursor, which is that of the keys' hashes.
#![forbid(unsafe_code)]

use crate::index::{Cursor, DEPTH_MAX};

/// Which hashes the steps of one walk have covered, whatever split or merged between them.
#[derive(Clone, Debug, Default)]
pub struct Covered {
    /// Every prefix below this.
    below: u32,
    /// Segments that a step ended in. All of them hold the prefix `below`, so they lie within each
    /// other, and there are never more than the directory is deep.
    partial: Vec<Partial>,
}

/// A segment, as prefixes, of which a walk has covered the tags below `tag`.
#[derive(Clone, Copy, Debug)]
struct Partial {
    start: u32,
    end: u32,
    tag: usize,
}

impl Covered {
    /// Notes that a step ended at this cursor of [`crate::Shard::scan`].
    pub fn note(&mut self, cursor: u64) {
        let (start, end, tag) = Cursor::from_bits(cursor).covers();
        self.below = self.below.max(start);
        let below = self.below;
        self.partial.retain(|one| one.end > below);
        match self
            .partial
            .iter_mut()
            .find(|one| (one.start, one.end) == (start, end))
        {
            // Less than before where a merge made the walk begin again.
            Some(one) => one.tag = one.tag.max(tag),
            None if tag > 0 && end > below => self.partial.push(Partial { start, end, tag }),
            None => {}
        }
        debug_assert!(self.partial.len() <= DEPTH_MAX as usize + 1);
    }

    /// Whether a key with this hash was shown already, or came after the walk had passed its place.
    #[inline]
    pub fn has(&self, hash: u64) -> bool {
        let (prefix, tag) = (
            (hash >> (u64::BITS - DEPTH_MAX)) as u32,
            usize::from(hash as u16),
        );
        let is_in = |one: &Partial| (one.start..one.end).contains(&prefix) && tag < one.tag;
        prefix < self.below || self.partial.iter().any(is_in)
    }
}

#[cfg(test)]
mod tests {
    use crate::shard::{Options, Shard};
    use crate::value::{Expiry, Millis, Value};
    use std::collections::HashSet;

    use super::*;

    const NOW: Millis = Millis(1);

    fn set(shard: &mut Shard, key: String) {
        let key = shard.key(key.as_bytes());
        shard.set(0, key, Value::Int(1), Expiry::Clear, NOW);
    }

    fn remove(shard: &mut Shard, key: String) {
        let key = shard.key(key.as_bytes());
        shard.remove(0, key, NOW);
    }

    /// Walks in steps of `budget` slots, lets `between` change the shard after each, and returns
    /// how many of the keys `stay:N` were shown.
    fn walk(shard: &mut Shard, budget: usize, mut between: impl FnMut(&mut Shard, usize)) -> usize {
        let (mut covered, mut cursor, mut shown) = (Covered::default(), 0, HashSet::new());
        for step in 0.. {
            cursor = shard.scan(0, cursor, budget, NOW, &mut |key, _| {
                if !covered.has(shard.hash(key)) {
                    assert!(
                        shown.insert(key.to_vec()),
                        "{} is shown twice",
                        key.escape_ascii()
                    );
                }
            });
            if cursor == 0 {
                break;
            }
            covered.note(cursor);
            between(shard, step);
        }
        shown.iter().filter(|key| key.starts_with(b"stay:")).count()
    }

    #[test]
    fn a_walk_over_a_growing_and_shrinking_database_shows_every_key_once() {
        const STAY: usize = 2000;
        for budget in [128, 256, 512] {
            let mut shard = Shard::new(Options {
                seeds: [7; 4],
                ..Options::default()
            })
            .unwrap();
            (0..STAY).for_each(|number| set(&mut shard, format!("stay:{number}")));
            let shown = walk(&mut shard, budget, |shard, step| {
                assert!(step < 10_000, "the walk does not end");
                // Twenty steps of growth, then twenty that take it all away again.
                for number in 0..500 {
                    let key = format!("{}:{number}", step % 20);
                    if step % 40 < 20 {
                        set(shard, key)
                    } else {
                        remove(shard, key)
                    }
                }
            });
            assert_eq!(shown, STAY);
        }
    }
}
