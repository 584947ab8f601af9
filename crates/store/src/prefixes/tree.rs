//! Owns the accounts of the prefixes of one database: which there are, and which of them a key counts in.
//! Never happens here: a key counted twice, or moved while it is written; accounts are joined only whole.
//! Source: our own; what is beyond the room is nominated by Space-Saving and told apart by a walk.
//!
//! The state of the tree alone says where a key counts, so what was added is found again when it
//! is taken away. A prefix gets an account only while `(other)` is empty: then no key of it can be
//! there. Below a collapsed prefix every key counts in `*`.
#![forbid(unsafe_code)]

mod find;
mod report;
mod settle;

use std::collections::HashMap;

use ahash::RandomState;

use crate::collections::heap_bytes;
use crate::hasher::Hasher;

use super::ids::is_id;
use super::lacking::Lacking;
use super::others::Others;
use super::past::Past;
use super::scan::Seen;
use super::shortcuts::{LONG_BYTES, Shortcuts};
use super::{PrefixRules, Sums};

/// The account of keys without a delimiter; the parent of accounts of one segment.
pub(super) const NO_PREFIX: u16 = 0;
/// Accounts of prefixes that a tree has room for.
pub(crate) const NODES_MAX: usize = 4096;
/// Prefixes of two segments that are told apart below one of one segment.
const FAN_OUT_MAX: usize = 64;
/// A name is no longer than what is seen of a key, but for `*` in the place of an empty segment.
pub(super) const NAME_BYTES_MAX: usize = super::scan::SEEN_BYTES + 2;

/// One account.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    sums: Sums,
    parent: u16,
    children: u16,
    /// The account of what is below without being told apart; 0 if there is none.
    star: u16,
    /// The delimiter behind that `*`.
    star_delimiter: u8,
    /// Whether nothing below is told apart.
    is_collapsed: bool,
}

/// A prefix as it is named.
#[derive(Clone, Copy)]
struct Name {
    bytes: [u8; NAME_BYTES_MAX],
    len: usize,
    /// Length of its first segment.
    first: usize,
}

impl Name {
    const EMPTY: Name = Name {
        bytes: [0; NAME_BYTES_MAX],
        len: 0,
        first: 0,
    };

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Adds a segment with its delimiter, as itself or as `*`.
    fn push_segment(&mut self, segment: &[u8], is_star: bool) {
        let (inner, delimiter) = segment.split_at(segment.len() - 1);
        if is_star || is_id(inner) {
            self.push(b"*");
            self.push(delimiter);
        } else {
            self.push(segment);
        }
        if self.first == 0 {
            self.first = self.len;
        }
    }

    fn text(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn first(&self) -> &[u8] {
        &self.bytes[..self.first]
    }

    fn has_second(&self) -> bool {
        self.len > self.first
    }
}

/// Where a key counts.
enum Place {
    Node(u16),
    /// Its prefix has no account; that of its first segment may.
    Missing {
        name: Name,
        parent: Option<u16>,
    },
}

/// The accounts of one database's prefixes.
#[derive(Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    shortcuts: Shortcuts,
    others: Others,
    past: Past,
    names: HashMap<Box<[u8]>, u16, RandomState>,
    /// Bytes of the names' blocks.
    names_bytes: u64,
    free: Vec<u16>,
    /// Whether empty accounts were looked for since the latest mark of time.
    is_pruned: bool,
}

impl Tree {
    pub(crate) fn new(rules: &PrefixRules) -> Tree {
        let [first, second, third, fourth] = Hasher::random_seeds();
        Tree {
            nodes: vec![Node::default()],
            shortcuts: Shortcuts::new(rules.delimiters, rules.depth),
            others: Others::of(Sums::default()),
            past: Past::default(),
            names: HashMap::with_hasher(RandomState::with_seeds(first, second, third, fourth)),
            names_bytes: 0,
            free: Vec::new(),
            is_pruned: false,
        }
    }

    /// A tree over keys that nobody has looked at: all of them count as others.
    pub(crate) fn unknown(rules: &PrefixRules, sums: Sums, minute: u32) -> Tree {
        let mut tree = Tree::new(rules);
        // Not even keys without a delimiter have their account.
        tree.nodes.clear();
        tree.others = Others::of(sums);
        tree.past = Past::unknown_before(minute, sums.bytes);
        tree
    }

    /// An empty tree with room for what is heaviest here, nominated prefixes included.
    pub(crate) fn successor(&self, rules: &PrefixRules) -> Tree {
        let mut tree = Tree::new(rules);
        for name in self.collapsed() {
            if let Ok(node) = tree.find_or_make(name) {
                tree.nodes[usize::from(node)].is_collapsed = true;
            }
        }
        let mut wanted: Vec<(&[u8], u64)> = self.others.sketch().nominations();
        let (held, sums) = (self.names.iter(), self.settled());
        wanted.extend(held.map(|(name, node)| (&**name, sums[usize::from(*node)].bytes)));
        wanted.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        for (text, bytes) in wanted {
            if bytes > 0 && tree.names.len() + 2 <= NODES_MAX {
                // As a key below the prefix would. Where there is no room after all it has none.
                let _ = tree.find_or_make(text);
            }
        }
        tree
    }

    /// Takes over what is known of the past, from the tree that counted before; what that did not tell apart begins now.
    pub(crate) fn inherit(&mut self, former: &mut Tree, minute: u32) {
        self.take_pending();
        self.past = Past::unknown_before(minute, self.other_bytes());
        for (name, node) in &self.names {
            let known = former.names.get(name).copied();
            let known = known.map(|known| (&mut former.past, known));
            let bytes = self.nodes[usize::from(*node)].sums.bytes;
            self.past.inherit(*node, bytes, known);
        }
        let known = (!former.nodes.is_empty()).then_some((&mut former.past, NO_PREFIX));
        let none_bytes = self.nodes[usize::from(NO_PREFIX)].sums.bytes;
        self.past.inherit(NO_PREFIX, none_bytes, known);
    }

    fn node(&self, number: u16) -> &Node {
        &self.nodes[usize::from(number)]
    }

    /// Where a key counts.
    fn find(&self, key: &[u8]) -> Place {
        let [first, second] = self.cuts(key);
        let mut name = Name::EMPTY;
        if first == 0 {
            return if self.nodes.is_empty() {
                Place::Missing { name, parent: None }
            } else {
                Place::Node(NO_PREFIX)
            };
        }
        name.push_segment(&key[..first], false);
        let parent = self.names.get(name.text()).copied();
        if second > 0 {
            let is_collapsed = parent.is_some_and(|parent| self.node(parent).is_collapsed);
            name.push_segment(&key[first..second], is_collapsed);
        }
        match (parent, second) {
            (Some(node), 0) => Place::Node(node),
            (None, _) => Place::Missing { name, parent },
            (Some(_), _) => match self.names.get(name.text()) {
                Some(node) => Place::Node(*node),
                None => Place::Missing { name, parent },
            },
        }
    }

    /// Where a key counts, in an account made for it if need be and possible; else the name the
    /// account would have.
    fn find_or_make(&mut self, key: &[u8]) -> Result<u16, Name> {
        let mut place = self.find(key);
        if let Place::Missing { .. } = place
            && self.others.has_none()
            && self.names.len() + 2 > NODES_MAX
            && !self.is_pruned
        {
            self.prune();
            place = self.find(key);
        }
        let (name, parent) = match place {
            Place::Node(node) => return Ok(node),
            Place::Missing { name, parent } => (name, parent),
        };
        let wanted = usize::from(parent.is_none()) + usize::from(name.has_second());
        if !self.others.has_none() || self.names.len() + wanted > NODES_MAX {
            return Err(name);
        }
        let parent = parent.unwrap_or_else(|| self.add(name.first(), 0, NO_PREFIX));
        if !name.has_second() {
            return Ok(parent);
        }
        let Some(star) = self.star_instead(&name, parent) else {
            return Ok(self.add(name.text(), name.first, parent));
        };
        match self.names.get(star.text()) {
            Some(node) => Ok(*node),
            None => Ok(self.add(star.text(), star.first, parent)),
        }
    }

    /// Adds an account; the last segment of its name begins at `start`.
    fn add(&mut self, name: &[u8], start: usize, parent: u16) -> u16 {
        let node = Node {
            parent,
            ..Node::default()
        };
        let number = match self.free.pop() {
            Some(number) => {
                self.nodes[usize::from(number)] = node;
                number
            }
            None => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as u16
            }
        };
        self.others.forget_names();
        if parent != NO_PREFIX {
            self.nodes[usize::from(parent)].children += 1;
        }
        if let [.., b'*', delimiter] = name
            && name.len() == start + 2
        {
            let parent = &mut self.nodes[usize::from(parent)];
            (parent.star, parent.star_delimiter) = (number, *delimiter);
        }
        self.names_bytes += heap_bytes(name.len());
        let was = self.names.insert(name.into(), number);
        debug_assert!(was.is_none(), "a prefix has one account");
        number
    }

    /// The name to use instead where one more name below a prefix would be too many.
    fn star_instead(&mut self, name: &Name, parent: u16) -> Option<Name> {
        let mut star = Name::EMPTY;
        star.push(name.first());
        star.first = name.first;
        star.push_segment(&name.text()[name.first..], true);
        if star.text() == name.text() || usize::from(self.node(parent).children) < FAN_OUT_MAX {
            return None;
        }
        self.collapse(name.first(), parent);
        Some(star)
    }

    /// Joins all that is told apart below a prefix in `*`, one for each delimiter.
    fn collapse(&mut self, first: &[u8], parent: u16) {
        self.clear_shortcuts();
        let is_below = |node: u16| self.nodes[usize::from(node)].parent == parent;
        let below: Vec<(Box<[u8]>, u16)> =
            self.names.extract_if(|_, node| is_below(*node)).collect();
        let node = &mut self.nodes[usize::from(parent)];
        (node.children, node.star, node.is_collapsed) = (0, 0, true);
        for (name, node) in below {
            self.names_bytes -= heap_bytes(name.len());
            // What is free holds nothing, or it would be marked.
            let sums = std::mem::take(&mut self.nodes[usize::from(node)].sums);
            self.free.push(node);
            let from = node;
            let star = [first, b"*", &name[name.len() - 1..]].concat();
            let node = match self.names.get(&star[..]) {
                Some(node) => *node,
                None => self.add(&star, first.len(), parent),
            };
            // The account of `*` may have taken the number of the first that is joined.
            if node != from {
                self.past.join(from, node);
            }
            self.nodes[usize::from(node)].sums.merge(sums);
        }
    }

    /// Removes accounts that hold nothing and, while there is room, held nothing lately; has names told apart again where
    /// nothing is left.
    fn prune(&mut self) {
        let has_room = self.names.len() <= NODES_MAX / 2;
        self.is_pruned = true;
        self.clear_shortcuts();
        let mut has_keys_below = vec![false; self.nodes.len()];
        for node in self.names.values().map(|number| self.node(*number)) {
            has_keys_below[usize::from(node.parent)] |= node.sums.keys > 0;
        }
        for number in self.names.values() {
            let node = &mut self.nodes[usize::from(*number)];
            node.is_collapsed &= has_keys_below[usize::from(*number)];
        }
        // Those of two segments first, so that the others have nothing below them.
        for is_second in [true, false] {
            let (nodes, free) = (&mut self.nodes, &mut self.free);
            let (names_bytes, past) = (&mut self.names_bytes, &mut self.past);
            self.names.retain(|name, number| {
                let Node {
                    sums,
                    parent,
                    children,
                    is_collapsed,
                    ..
                } = nodes[usize::from(*number)];
                let siblings = if is_second {
                    nodes[usize::from(parent)].children
                } else {
                    0
                };
                let is_kept = sums.keys > 0
                    || children > 0
                    || is_collapsed
                    || is_second != (parent != NO_PREFIX)
                    || has_room
                        && usize::from(siblings) <= FAN_OUT_MAX / 2
                        && past.remembers(*number);
                if !is_kept {
                    past.forget(*number);
                    *names_bytes -= heap_bytes(name.len());
                    free.push(*number);
                    let parent = &mut nodes[usize::from(parent)];
                    if parent.star == *number {
                        parent.star = 0;
                    }
                    if is_second {
                        parent.children -= 1;
                    }
                }
                is_kept
            });
        }
        self.others.forget_names();
    }

    /// Notes which names have an account, when the first key comes that has none.
    fn note_names(&mut self) {
        if self.others.wants_names() {
            let has_seconds = self.shortcuts.depth() > 1;
            let names = self.names.keys().map(|name| &**name);
            let lacking = Lacking::of(names, self.shortcuts.delimiters(), has_seconds);
            self.others.note(lacking);
        }
    }

    /// Where the segments of a key end, their delimiters included; 0 for one that is not there.
    fn cuts(&self, key: &[u8]) -> [usize; 2] {
        let (seen, last) = self.shortcuts.look(key);
        let end = |bits: u64| {
            if bits == 0 {
                0
            } else {
                bits.trailing_zeros() as usize + 1
            }
        };
        let has_second = last != seen.delimiters;
        [end(seen.delimiters), if has_second { end(last) } else { 0 }]
    }

    /// Keeps the ways to the accounts that have the name of the beginning of a key.
    fn keep_shortcuts(&mut self, key: &[u8]) {
        let (Seen { head, delimiters }, last) = self.shortcuts.look(key);
        for last in [delimiters, last] {
            let end = last.trailing_zeros() as usize + 1;
            if end <= LONG_BYTES
                && let Some(node) = self.names.get(&key[..end])
            {
                self.shortcuts.keep(key, head, last, *node);
            }
        }
    }

    /// Begins to mark what every account holds at the beginning of a minute; [`Tree::mark_step`] goes on.
    pub(crate) fn mark_begin(&mut self, minute: u32) {
        let has_others = !self.others.has_none();
        if !has_others {
            self.others.forget_told();
            self.prune();
        }
        self.is_pruned = false;
        let other_bytes = self.other_bytes();
        self.past.begin(minute, has_others, other_bytes);
    }

    /// Marks so many accounts. Whether there are more.
    pub(crate) fn mark_step(&mut self, count: usize) -> bool {
        self.take_pending();
        let bytes = self.nodes.iter().map(|node| node.sums.bytes);
        self.past.step(bytes, count)
    }

    /// Whether a prefix that has no account seems heavier than one that has, by so much that it is
    /// worth a walk over all keys.
    pub(crate) fn is_worth_a_walk(&self) -> bool {
        if self.others.has_none() {
            return false;
        }
        let nominations = self.others.sketch().nominations();
        let Some((_, heaviest)) = nominations.first() else {
            return false;
        };
        let sums = self.settled();
        let held = self.names.values().map(|node| sums[usize::from(*node)]);
        let live = held.clone().filter(|sums| sums.keys > 0).count();
        let lightest = held.map(|sums| sums.bytes).filter(|bytes| *bytes > 0).min();
        live + 2 <= NODES_MAX || *heaviest > 2 * lightest.unwrap_or(0)
    }

    /// The sums of all accounts.
    pub(crate) fn sums(&self) -> Sums {
        let mut sums = self.others.sums();
        let held = self.settled().into_iter().enumerate();
        // What is free has its old figures.
        held.filter(|(number, _)| !self.free.contains(&(*number as u16)))
            .for_each(|(_, held)| sums.merge(held));
        sums
    }

    /// Bytes of keys without an account of their own.
    pub(crate) fn other_bytes(&self) -> u64 {
        self.others.sums().bytes
    }

    fn collapsed(&self) -> impl Iterator<Item = &Box<[u8]>> {
        let held = self.names.iter();
        held.filter(|(_, node)| self.node(**node).is_collapsed)
            .map(|(name, _)| name)
    }

    /// Bytes of its own.
    pub(crate) fn heap_bytes(&self) -> u64 {
        // A table of the standard library: places for an eighth more, and a byte for each.
        let places = (self.names.capacity() * 8).div_ceil(7);
        let names = places * (size_of::<(Box<[u8]>, u16)>() + 1);
        heap_bytes(size_of::<Tree>())
            + heap_bytes(self.nodes.capacity() * size_of::<Node>())
            + heap_bytes(names)
            + self.names_bytes
            + heap_bytes(self.free.capacity() * size_of::<u16>())
            + self.past.heap_bytes()
            + self.shortcuts.heap_bytes()
            + self.others.heap_bytes()
    }
}
