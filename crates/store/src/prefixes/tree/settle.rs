//! Owns the way of a change to its account: by the shape of its key, or else by its prefix.
//! Never happens here: an account that is found by guessing; a key of unknown shape is looked at whole.
//! Source: as the tree's own.
#![forbid(unsafe_code)]

use crate::prefixes::long::{Counted, LONG_BYTES_MIN, WHOLE_BYTES_MAX};
use crate::prefixes::scan::{CHUNK, Seen};
use crate::prefixes::{Change, Sums};

use super::{NO_PREFIX, Node, Place, Tree};

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
        } else {
            match self.shortcuts.shapes().count_middle(key, change) {
                Some(true) => {}
                Some(false) => self.settle_second(key, change),
                None => self.settle_unshaped(key, change),
            }
        }
    }

    #[inline(never)]
    fn settle_short(&mut self, key: &[u8], change: Change) {
        if key.len() < CHUNK / 2 {
            self.settle_tiny(key, change);
        } else {
            match self.shortcuts.shapes().count_short(key, change) {
                Some(true) => {}
                Some(false) => self.settle_second(key, change),
                None => self.settle_unshaped_short(key, change),
            }
        }
    }

    #[inline(never)]
    fn settle_tiny(&mut self, key: &[u8], change: Change) {
        match self.shortcuts.shapes().count_tiny(key, change) {
            Some(true) => {}
            Some(false) => self.settle_second(key, change),
            None => self.settle_unshaped_short(key, change),
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
            Counted::Nowhere => self.settle_unshaped(key, change),
        }
    }

    #[inline(never)]
    fn settle_far(&mut self, key: &[u8], change: Change) {
        match self.shortcuts.count_far(key, change) {
            Counted::Yes => {}
            Counted::No => self.settle_second(key, change),
            Counted::NotYet => self.settle_one_of_several(key, change),
            Counted::Nowhere => self.settle_unshaped(key, change),
        }
    }

    #[inline(never)]
    fn settle_one_of_several(&mut self, key: &[u8], change: Change) {
        if !self.shortcuts.count_first(key, change) {
            self.settle_second(key, change);
        }
    }

    /// The same for a key of sixteen bytes or more of whose length no shape is known. Nothing was counted of it.
    #[inline(never)]
    fn settle_unshaped(&mut self, key: &[u8], change: Change) {
        if key.len() >= CHUNK && self.others.has_at_once(key) {
            return self.settle_other(key, change);
        }
        self.settle_stranger(key, change);
    }

    /// The same for one of fewer.
    #[inline(never)]
    fn settle_unshaped_short(&mut self, key: &[u8], change: Change) {
        if self.others.has_at_once(key) {
            return self.settle_other(key, change);
        }
        self.settle_stranger(key, change);
    }

    /// The same for a key whose shape is not in the place where it is looked for first.
    #[inline(never)]
    fn settle_second(&mut self, key: &[u8], change: Change) {
        if self.others.has_at_once(key) {
            self.shortcuts.take_back(key, change);
            return self.settle_other(key, change);
        }
        if !self.shortcuts.count_second(key, change) {
            self.settle_stranger(key, change);
        }
    }

    /// The same for a key whose shape is not known.
    #[inline(never)]
    fn settle_stranger(&mut self, key: &[u8], change: Change) {
        if self.others.has_soon(key) {
            return self.settle_other(key, change);
        }
        self.settle_seen(key, change);
    }

    /// The same for one that has to be looked at.
    #[inline(never)]
    fn settle_seen(&mut self, key: &[u8], change: Change) {
        let (seen, last) = self.shortcuts.look(key);
        let lacking = self.others.lacking();
        if lacking.is_some_and(|lacking| lacking.has(key, seen, last)) {
            return self.settle_other(key, change);
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
        self.others.take_pending();
        debug_assert!(self.nodes.iter().all(|node| node.sums.is_possible()));
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
        if self.nodes.is_empty() && self.others.has_none() {
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
            Err(_) => {
                self.note_names();
                self.settle_other(key, change);
            }
        }
    }

    /// Settles a change of a key that counts among others.
    #[inline(always)]
    fn settle_other(&mut self, key: &[u8], change: Change) {
        if self.others.count(change) {
            self.settle_loss(key, change);
        }
    }

    /// The same where it may be one that is told of; what goes is always asked.
    #[inline(never)]
    fn settle_loss(&mut self, key: &[u8], change: Change) {
        if self.others.note_loss(change) {
            self.tell_other(key, change);
        }
    }

    /// Tells of a key that counts among others to who nominates the heaviest.
    #[inline(never)]
    fn tell_other(&mut self, key: &[u8], change: Change) {
        let bytes = self.others.told(change);
        if let Place::Missing { name, .. } = self.find(key) {
            self.others.sketch_mut().change(name.text(), bytes);
        }
    }
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
            3 => format!("user{}:n{prefix}:", prefix % 100),
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
        for (prefixes, count, delimiters, depth) in [
            (40, 30_000, &b":"[..], 2),
            (60_000, 60_000, b":", 2),
            (60_000, 60_000, b":", 1),
            (60_000, 60_000, b":;", 2),
        ] {
            let mut rng = Rng::seeded(prefixes);
            let rules = PrefixRules::new(true, delimiters, depth).expect("they are allowed");
            let mut tree = Tree::new(&rules);
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
