//! Owns the way of a change to its account: by the shape of its key, or else by its prefix.
//! Never happens here: an account that is found by guessing; a key of unknown shape is looked at whole.
//! Source: as the tree's own.
#![forbid(unsafe_code)]

use crate::prefixes::long::{Counted, LONG_BYTES_MIN, WHOLE_BYTES_MAX};
use crate::prefixes::scan::{self, CHUNK, Seen};
use crate::prefixes::{Change, Sums};

use super::{NO_PREFIX, Node, Place, Tree};

/// Changes of so many bytes are all told to the sketch of what has no account.
const LARGE_BYTES_MIN: u64 = 1024;
/// Of keys that change by fewer, one in so many is.
const NOTICED_SHARE: i64 = 16;
/// Odd, and their bits in no order.
const FACTORS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xff51_afd7_ed55_8ccd];

impl Tree {
    /// Settles a change of a key in the account of its prefix. A call of its own, which needs no
    /// more registers than it may spoil: within a command it would drive others out of theirs. For
    /// the same reason keys of other lengths, and of other shapes, are in functions that it ends in.
    #[inline(never)]
    pub(crate) fn settle(&mut self, key: &[u8], change: Change) {
        if key.len() >= LONG_BYTES_MIN {
            self.settle_long(key, change);
        } else if key.len() < CHUNK {
            self.settle_short(key, change);
        } else if !self.shortcuts.shapes().count_middle(key, change) {
            self.settle_second(key, change);
        }
    }

    #[inline(never)]
    fn settle_short(&mut self, key: &[u8], change: Change) {
        if key.len() < CHUNK / 2 {
            self.settle_tiny(key, change);
        } else if !self.shortcuts.shapes().count_short(key, change) {
            self.settle_second(key, change);
        }
    }

    #[inline(never)]
    fn settle_tiny(&mut self, key: &[u8], change: Change) {
        if !self.shortcuts.shapes().count_tiny(key, change) {
            self.settle_second(key, change);
        }
    }

    #[inline(never)]
    fn settle_long(&mut self, key: &[u8], change: Change) {
        if key.len() > WHOLE_BYTES_MAX {
            return self.settle_far(key, change);
        }
        match self.shortcuts.shapes().count_whole(key, change) {
            Counted::Yes => {}
            Counted::No => self.settle_second(key, change),
            Counted::NotYet => self.settle_one_of_several(key, change),
        }
    }

    #[inline(never)]
    fn settle_far(&mut self, key: &[u8], change: Change) {
        match self.shortcuts.count_far(key, change) {
            Counted::Yes => {}
            Counted::No => self.settle_second(key, change),
            Counted::NotYet => self.settle_one_of_several(key, change),
        }
    }

    #[inline(never)]
    fn settle_one_of_several(&mut self, key: &[u8], change: Change) {
        if !self.shortcuts.count_first(key, change) {
            self.settle_second(key, change);
        }
    }

    /// The same for a key whose shape is not in the place where it is looked for first.
    #[inline(never)]
    fn settle_second(&mut self, key: &[u8], change: Change) {
        if !self.shortcuts.count_second(key, change) {
            self.settle_stranger(key, change);
        }
    }

    /// The same for a key whose shape is not known.
    #[inline(never)]
    fn settle_stranger(&mut self, key: &[u8], change: Change) {
        let (seen, last) = self.shortcuts.look(key);
        let firsts = self.firsts.as_ref().filter(|_| self.other.keys > 0);
        if firsts.is_some_and(|firsts| firsts.surely_lack(key, seen)) {
            self.settle_other(key, change);
            return;
        }
        if let Some((number, may_keep)) = self.shortcuts.count_beginning(key, change) {
            if may_keep {
                self.keep_shape(key, seen, last, number);
            }
            return;
        }
        let number = self.find_seen(key, seen, last);
        match number.filter(|number| usize::from(*number) < self.nodes.len()) {
            Some(number) => {
                self.nodes[usize::from(number)].sums.take_over(change);
                self.keep_shape(key, seen, last, number);
            }
            None => self.settle_anew(key, change),
        }
    }

    fn keep_shape(&mut self, key: &[u8], seen: Seen, last: u64, number: u16) {
        let Tree {
            nodes, shortcuts, ..
        } = self;
        let parent = nodes[usize::from(number)].parent;
        let is_joined = parent != NO_PREFIX && nodes[usize::from(parent)].is_collapsed;
        shortcuts.keep_shape(key, (seen, last), number, is_joined, |node, pending| {
            nodes[usize::from(node)].sums.take_over(pending);
        });
    }

    /// Takes what is kept beside shapes into the accounts.
    pub(super) fn take_pending(&mut self) {
        let Tree {
            nodes, shortcuts, ..
        } = self;
        shortcuts.take_pending(|node, pending| {
            if pending != Change::default() {
                nodes[usize::from(node)].sums.take_over(pending);
            }
        });
        debug_assert!(nodes.iter().all(|node| node.sums.is_possible()));
    }

    /// Forgets shapes and shortcuts, before what they say is no longer so.
    pub(super) fn clear_shortcuts(&mut self) {
        self.take_pending();
        self.shortcuts.clear();
    }

    /// What every account holds, by number.
    pub(super) fn settled(&self) -> Vec<Sums> {
        let mut sums: Vec<Sums> = self.nodes.iter().map(|node| node.sums).collect();
        for (node, pending) in self.shortcuts.pending() {
            if pending != Change::default() {
                sums[usize::from(node)].take_over(pending);
            }
        }
        sums
    }

    #[inline(never)]
    fn settle_anew(&mut self, key: &[u8], change: Change) {
        if self.nodes.is_empty() && self.other.keys == 0 {
            self.nodes.push(Node::default());
        }
        let known = self.names.len();
        match self.find_or_make(key) {
            Ok(node) => {
                self.nodes[usize::from(node)].sums.take_over(change);
                self.keep_shortcuts(key);
                // Of a new account, only when a second key comes: where every key has a prefix of
                // its own that would be for nothing.
                if self.names.len() == known {
                    let (seen, last) = self.shortcuts.look(key);
                    self.keep_shape(key, seen, last, node);
                }
            }
            Err(name) => {
                if self.firsts.is_none() {
                    self.note_firsts();
                }
                self.other.take_over(change);
                if let Some(bytes) = noticed_bytes(key, change) {
                    self.sketch.change(name.text(), bytes);
                }
            }
        }
    }

    /// Settles a change of a key that counts among others.
    fn settle_other(&mut self, key: &[u8], change: Change) {
        self.other.take_over(change);
        if let Some(bytes) = noticed_bytes(key, change)
            && let Place::Missing { name, .. } = self.find(key)
        {
            self.sketch.change(name.text(), bytes);
        }
    }
}

/// What the sketch is told of a change of a key: all of a large one; of small ones, to spare work,
/// those of one key in sixteen, the same ones whenever they change, as so much more.
fn noticed_bytes(key: &[u8], change: Change) -> Option<i64> {
    let bytes = change.bytes.cast_signed();
    if bytes.unsigned_abs() >= LARGE_BYTES_MIN {
        return Some(bytes);
    }
    let [low, high] = scan::head(key);
    let last = key.last_chunk().map_or(0, |last| u64::from_le_bytes(*last));
    let mixed = (low ^ high.rotate_left(29)).wrapping_mul(FACTORS[0]);
    let mixed = (mixed ^ last).wrapping_mul(FACTORS[1]);
    let is_noticed = mixed >> (u64::BITS - NOTICED_SHARE.ilog2()) == 0;
    is_noticed.then(|| bytes * NOTICED_SHARE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Footprint;
    use crate::prefixes::PrefixRules;
    use crate::random::Rng;
    use crate::value::Kind;

    /// A key of one of so many prefixes, of any length from 3 to 100 bytes.
    fn random_key(rng: &mut Rng, prefixes: u64) -> Vec<u8> {
        let prefix = rng.below(prefixes);
        let mut key = match rng.below(6) {
            0 => format!("{prefix}:"),
            1 => format!("n{prefix}x:"),
            2 => format!("N{}:{:08x}:", prefix % 5, rng.next_u64() as u32),
            3 => format!("user:n{prefix}:"),
            4 => format!("same:nam{}:", prefix % 10),
            _ => String::new(),
        };
        key.extend((0..rng.below(90)).map(|_| char::from(b'0' + rng.below(9) as u8)));
        key.push_str("end");
        key.into_bytes()
    }

    #[test]
    fn keys_of_every_length_and_shape_are_counted_once_and_taken_away_once() {
        // Some dozens of prefixes that have accounts, and more than there can be.
        for (prefixes, count) in [(40, 30_000), (60_000, 60_000)] {
            let mut rng = Rng::seeded(prefixes);
            let mut tree = Tree::new(&PrefixRules::default());
            let mut keys: Vec<(Vec<u8>, Footprint)> = Vec::new();
            for step in 0..count {
                let grows = step < count / 2 || step > count * 3 / 4;
                if grows || keys.is_empty() {
                    let key = random_key(&mut rng, prefixes);
                    let footprint = Footprint {
                        kind: Kind::String,
                        bytes: 100 + rng.below(2000),
                        has_expiry: rng.below(2) == 0,
                        has_field_expiry: false,
                    };
                    tree.settle(&key, Change::between(None, Some(footprint)));
                    keys.push((key, footprint));
                } else {
                    let nth = rng.below(keys.len() as u64) as usize;
                    let (key, footprint) = keys.swap_remove(nth);
                    tree.settle(&key, Change::between(Some(footprint), None));
                }
                if step % 15_000 == 0 {
                    tree.check(keys.iter().map(|(key, footprint)| (&key[..], *footprint)));
                }
            }
            tree.check(keys.iter().map(|(key, footprint)| (&key[..], *footprint)));
            assert_eq!(tree.other_bytes() > 0, prefixes == 60_000);
        }
    }
}
