//! Owns sets: members without an order, packed as integers or as elements, or in a table.
//! Never happens here: parsing, replies; a set that was converted is never packed again.
//! Source: SADD and its kin of Redis 7.2; samples in one walk are Algorithm S (Knuth, TAOCP 3.4.2).
#![forbid(unsafe_code)]

use std::collections::HashSet;

use crate::content::Strings;
use crate::entry::{Entry, Held};
use crate::intset;
use crate::pack::{self, IntBuffer, Item};
use crate::random::Rng;
use crate::value::{Millis, Value, canonical_int};

use super::door::{Body, Open};
use super::{Arena, ArenaMut, Big, Door, PackForm, Place, Table, Thresholds};

/// A sample of more than one member in so many is taken in a walk over all of them: a walk costs a
/// member a tenth of what a pick does.
const WALK_SHARE: usize = 10;
/// A pop that takes at least so many members for each that stays builds a set of those that stay.
const POPPED_PER_KEPT: usize = 5;

/// A set to read.
#[derive(Clone, Copy)]
pub struct SetView<'a> {
    form: Form<'a>,
    arena: Arena<'a>,
    now: Millis,
}

#[derive(Clone, Copy)]
enum Form<'a> {
    Ints(&'a [u8]),
    Pack(&'a [u8]),
    Table(&'a Table),
}

/// A set open for change; the change is settled when it is dropped.
pub struct SetEdit<'s>(Door<'s>);

/// Chooses members out of so many in one walk, every choice as likely as another.
struct Choice {
    left: usize,
    wanted: usize,
}

impl Choice {
    /// Whether the next member is chosen.
    fn takes(&mut self, rng: &mut Rng) -> bool {
        let is_taken = self.wanted > 0 && (rng.below(self.left as u64) as usize) < self.wanted;
        self.left -= 1;
        self.wanted -= usize::from(is_taken);
        is_taken
    }
}

impl<'a> Form<'a> {
    fn packed(form: PackForm, pack: &'a [u8]) -> Form<'a> {
        match form {
            PackForm::Ints => Form::Ints(pack),
            PackForm::Set => Form::Pack(pack),
            other => unreachable!("a set is not packed as {other:?}"),
        }
    }
}

impl<'a> SetView<'a> {
    pub(crate) fn new(held: Held<'a>, arena: Arena<'a>, now: Millis) -> SetView<'a> {
        let form = match held {
            Held::Packed(form, pack) => Form::packed(form, pack),
            Held::Big(Big::Packed(form, pack)) => Form::packed(*form, pack),
            Held::Big(big) => Form::Table(table(big)),
        };
        SetView { form, arena, now }
    }

    /// Members.
    #[inline]
    pub fn len(&self) -> usize {
        match self.form {
            Form::Ints(ints) => intset::len(ints),
            Form::Pack(pack) => pack::len(pack),
            Form::Table(table) => table.len(),
        }
    }

    /// Whether there are none, which is never so outside of an edit.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this is a member.
    #[inline]
    pub fn contains(&self, member: &[u8]) -> bool {
        match self.form {
            Form::Ints(ints) => {
                canonical_int(member).is_some_and(|number| intset::contains(ints, number))
            }
            Form::Pack(pack) => find_packed(pack, member).is_some(),
            Form::Table(table) => {
                let name = self.arena.hasher.key(member);
                table.find(self.arena, name, self.now).is_some()
            }
        }
    }

    /// Whether looking for a member takes a walk over them.
    #[inline]
    pub fn is_walked(&self) -> bool {
        matches!(self.form, Form::Pack(_))
    }

    /// As [`SetView::contains`], for an element of another collection.
    #[inline]
    pub fn contains_item(&self, member: Item) -> bool {
        match (self.form, member) {
            (Form::Ints(ints), Item::Int(number)) => intset::contains(ints, number),
            _ => self.contains(member.text(&mut IntBuffer::new())),
        }
    }

    /// Shows every member.
    #[inline]
    pub fn each(&self, mut visit: impl FnMut(Item<'a>)) {
        self.each_while(|member| {
            visit(member);
            true
        });
    }

    /// Shows members as long as `visit` says so. Returns whether it has said so of all.
    #[inline]
    pub fn each_while(&self, mut visit: impl FnMut(Item<'a>) -> bool) -> bool {
        match self.form {
            Form::Ints(ints) => intset::iter(ints).all(|number| visit(Item::Int(number))),
            Form::Pack(pack) => pack::iter(pack).all(visit),
            Form::Table(table) => {
                let mut goes_on = true;
                table.walk(self.arena, Place::default(), |entry| {
                    goes_on = visit(Item::Bytes(entry.key()));
                    goes_on
                });
                goes_on
            }
        }
    }

    /// Bytes of the members and of what they are found by; 0 where they lie in their key's entry.
    #[inline]
    pub fn bytes(&self) -> u64 {
        match self.form {
            Form::Table(table) => table.bytes(),
            Form::Ints(_) | Form::Pack(_) => 0,
        }
    }

    /// Shows members from a place on, as long as `visit` says so; a small set is shown whole. Returns
    /// where to go on, which holds as long as the set does not change, or `None` at the end.
    pub fn walk(&self, place: Place, mut visit: impl FnMut(Item<'a>) -> bool) -> Option<Place> {
        let Form::Table(table) = self.form else {
            self.each(|member| _ = visit(member));
            return None;
        };
        table.walk(self.arena, place, |entry| visit(Item::Bytes(entry.key())))
    }

    /// Shows members from `cursor` on, looking at about `budget_slots` slots; a small set is shown
    /// whole. Returns where to go on, or 0 at the end.
    pub fn scan(&self, cursor: u64, budget_slots: usize, visit: &mut dyn FnMut(Item<'a>)) -> u64 {
        let Form::Table(table) = self.form else {
            self.each(visit);
            return 0;
        };
        table.scan(self.arena, cursor, budget_slots, self.now, |entry| {
            visit(Item::Bytes(entry.key()));
        })
    }

    /// A member picked at random, each as likely as another; `None` if there is none.
    pub fn random(&self, rng: &mut Rng) -> Option<Item<'a>> {
        if self.is_empty() {
            return None;
        }
        let place = |rng: &mut Rng| rng.below(self.len() as u64) as usize;
        match self.form {
            Form::Ints(ints) => Some(Item::Int(intset::at(ints, place(rng)))),
            Form::Pack(pack) => {
                let at = pack::nth(pack, place(rng) as i64)?;
                Some(pack::item(pack, at))
            }
            Form::Table(table) => {
                let entry = table.random(self.arena, rng)?;
                Some(Item::Bytes(entry.key()))
            }
        }
    }

    /// As [`SetView::random`] of a large set, and a number that no other member has as long as the set does not change;
    /// `None` for a small one.
    pub fn random_spot(&self, rng: &mut Rng) -> Option<(u64, Item<'a>)> {
        let Form::Table(table) = self.form else {
            return None;
        };
        let (spot, entry) = table.random_spot(self.arena, rng)?;
        Some((spot, Item::Bytes(entry.key())))
    }

    /// Shows `count` different members, all if there are fewer; every choice is as likely as another.
    pub fn sample(&self, count: usize, rng: &mut Rng, visit: &mut dyn FnMut(Item<'a>)) {
        let len = self.len();
        if count >= len {
            return self.each(visit);
        }
        let mut choice = Choice {
            left: len,
            wanted: count,
        };
        match self.form {
            Form::Table(table) if count < len / WALK_SHARE => {
                let mut seen = HashSet::with_capacity(count);
                while seen.len() < count {
                    let entry = table.random(self.arena, rng).expect("it is not empty");
                    // Members of one table never lie at one address.
                    if seen.insert(entry.key().as_ptr().addr()) {
                        visit(Item::Bytes(entry.key()));
                    }
                }
            }
            Form::Table(table) => table
                .blocks(self.arena)
                .filter(|_| choice.takes(rng))
                .map(|block| Entry::at(self.arena.slab, block, self.arena.base))
                .for_each(|entry| visit(Item::Bytes(entry.key()))),
            Form::Ints(_) | Form::Pack(_) => self.each(|member| {
                if choice.takes(rng) {
                    visit(member);
                }
            }),
        }
    }

    /// All members as plain data.
    pub(crate) fn content(&self) -> Strings {
        let (mut members, mut buffer) = (Strings::default(), IntBuffer::new());
        self.each(|member| members.push(member.text(&mut buffer)));
        members
    }
}

fn table(big: &Big) -> &Table {
    match big {
        Big::Set(table) => table,
        other => unreachable!("a set is no {:?}", other.kind()),
    }
}

fn table_mut(big: &mut Big) -> &mut Table {
    match big {
        Big::Set(table) => table,
        other => unreachable!("a set is no {:?}", other.kind()),
    }
}

fn find_packed(pack: &[u8], member: &[u8]) -> Option<usize> {
    pack::find(pack, member, pack::first(pack)?, 0)
}

impl<'s> Door<'s> {
    /// The collection as a set, which its opener asked for.
    pub fn set(self) -> SetEdit<'s> {
        SetEdit(self)
    }
}

impl SetEdit<'_> {
    /// The set as it is now.
    pub fn view(&self) -> SetView<'_> {
        let (held, arena) = self.0.look();
        SetView::new(held, arena, self.0.now())
    }

    /// Adds a member. Returns whether it is new.
    pub fn add(&mut self, member: &[u8]) -> bool {
        let Open {
            body,
            mut arena,
            thresholds,
            ..
        } = self.0.open();
        add_to(body, &mut arena, thresholds, member)
    }

    /// Adds members, each of them once, to an empty set.
    pub fn fill(&mut self, members: &Strings) {
        debug_assert!(self.view().is_empty());
        let Open {
            body,
            mut arena,
            thresholds,
            ..
        } = self.0.open();
        fill(body, &mut arena, thresholds, members);
    }

    /// Removes a member. Returns whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        if let Held::Packed(..) = self.0.look().0
            && !self.view().contains(member)
        {
            // Nothing is opened, so nothing is written back.
            return false;
        }
        let Open {
            body,
            mut arena,
            now,
            ..
        } = self.0.open();
        match body {
            Body::Packed(PackForm::Ints, ints) => {
                canonical_int(member).is_some_and(|number| intset::remove(ints, number))
            }
            Body::Packed(_, pack) => {
                let found = find_packed(pack, member);
                if let Some(at) = found {
                    pack::remove(pack, at, 1);
                }
                found.is_some()
            }
            Body::Big(big) => {
                let name = arena.hasher.key(member);
                table_mut(big).remove(&mut arena, name, now)
            }
        }
    }

    /// Removes `count` members picked at random, every choice as likely as another, and shows each
    /// before it goes; all if there are fewer.
    pub fn pop(&mut self, count: usize, rng: &mut Rng, visit: &mut dyn FnMut(Item)) {
        let len = self.view().len();
        let kept = len.saturating_sub(count);
        if count == 0 {
            return;
        }
        if count >= kept.saturating_mul(POPPED_PER_KEPT) {
            return self.keep(kept, rng, visit);
        }
        let Open {
            body, mut arena, ..
        } = self.0.open();
        match body {
            Body::Packed(form, pack) if count == 1 => pop_packed(*form, pack, rng, visit),
            Body::Packed(..) => self.keep(kept, rng, visit),
            Body::Big(big) => {
                let table = table_mut(big);
                for _ in 0..count {
                    table.pop(&mut arena, rng, |entry| visit(Item::Bytes(entry.key())));
                }
            }
        }
    }

    /// Removes all but `kept` members picked at random, in one walk, and shows those that go. What
    /// is left of a table becomes a set anew, in the form that suits it.
    fn keep(&mut self, kept: usize, rng: &mut Rng, visit: &mut dyn FnMut(Item)) {
        let view = self.view();
        let mut choice = Choice {
            left: view.len(),
            wanted: kept,
        };
        let mut stay = Strings::default();
        let (mut left, mut buffer) = (
            Body::Packed(PackForm::Ints, intset::new()),
            IntBuffer::new(),
        );
        match view.form {
            Form::Pack(_) => {
                let mut pack = pack::new();
                view.each(|member| {
                    if choice.takes(rng) {
                        pack::push(&mut pack, member.text(&mut buffer));
                    } else {
                        visit(member);
                    }
                });
                left = Body::Packed(PackForm::Set, pack);
            }
            Form::Ints(_) | Form::Table(_) => view.each(|member| {
                if choice.takes(rng) {
                    stay.push(member.text(&mut buffer));
                } else {
                    visit(member);
                }
            }),
        }
        let Open {
            mut arena,
            thresholds,
            ..
        } = self.0.open();
        fill(&mut left, &mut arena, thresholds, &stay);
        self.0.replace(left);
    }
}

fn pop_packed(form: PackForm, pack: &mut Vec<u8>, rng: &mut Rng, visit: &mut dyn FnMut(Item)) {
    if form == PackForm::Ints {
        let index = rng.below(intset::len(pack) as u64) as usize;
        let number = intset::at(pack, index);
        visit(Item::Int(number));
        intset::remove(pack, number);
        return;
    }
    let index = rng.below(pack::len(pack) as u64) as i64;
    let at = pack::nth(pack, index).expect("it lies below the length");
    visit(pack::item(pack, at));
    pack::remove(pack, at, 1);
}

/// Adds a member in the form that the set has, or takes. Returns whether it is new.
fn add_to(body: &mut Body, arena: &mut ArenaMut, limits: &Thresholds, member: &[u8]) -> bool {
    match body {
        Body::Packed(form @ PackForm::Ints, ints) => {
            if let Some(number) = canonical_int(member) {
                let is_new = intset::insert(ints, number);
                if is_new && intset::len(ints) > limits.set_max_intset_entries {
                    unpack(body, arena);
                }
                return is_new;
            }
            if intset::len(ints) < limits.set_max_listpack_entries
                && member.len().max(longest_text(ints)) <= limits.set_max_listpack_value
            {
                let mut pack = pack::new();
                intset::iter(ints).for_each(|number| pack::push_int(&mut pack, number));
                pack::push(&mut pack, member);
                (*form, *ints) = (PackForm::Set, pack);
                return true;
            }
            unpack(body, arena);
        }
        Body::Packed(_, pack) => {
            if find_packed(pack, member).is_some() {
                return false;
            }
            if pack::len(pack) < limits.set_max_listpack_entries
                && member.len() <= limits.set_max_listpack_value
            {
                pack::push(pack, member);
                return true;
            }
            unpack(body, arena);
        }
        Body::Big(_) => {}
    }
    let Body::Big(big) = body else {
        unreachable!("it was just unpacked")
    };
    let name = arena.hasher.key(member);
    arena.slab.has_room();
    table_mut(big).add_name(arena, name)
}

/// Adds members, each of them once, to an empty set; a set that can only become a table is one at once.
fn fill(body: &mut Body, arena: &mut ArenaMut, limits: &Thresholds, members: &Strings) {
    let is_large = members.len() > limits.set_max_listpack_entries
        && (members.len() > limits.set_max_intset_entries
            || members.iter().any(|member| canonical_int(member).is_none()));
    if !is_large {
        for member in members.iter() {
            add_to(body, arena, limits, member);
        }
        return;
    }
    let mut table = Table::default();
    for member in members.iter() {
        let name = arena.hasher.key(member);
        arena.slab.has_room();
        table.add_valued(arena, name, Value::from_bytes(b""));
    }
    *body = Body::Big(Box::new(Big::Set(table)));
}

/// Length of the longest text of a set of integers, in bytes: that of the smallest or the largest.
fn longest_text(ints: &[u8]) -> usize {
    let ends = [intset::iter(ints).next(), intset::iter(ints).next_back()];
    let lengths = ends.into_iter().flatten().map(|end| Item::Int(end).len());
    lengths.max().unwrap_or(0)
}

/// Makes a table of a pack.
fn unpack(body: &mut Body, arena: &mut ArenaMut) {
    let Body::Packed(form, pack) = body else {
        return;
    };
    let (mut table, mut buffer) = (Table::default(), IntBuffer::new());
    let mut add = |member: Item| {
        let name = arena.hasher.key(member.text(&mut buffer));
        arena.slab.has_room();
        table.add_name(arena, name);
    };
    match Form::packed(*form, pack) {
        Form::Ints(ints) => intset::iter(ints).for_each(|number| add(Item::Int(number))),
        Form::Pack(pack) => pack::iter(pack).for_each(add),
        Form::Table(_) => unreachable!("a pack is no table"),
    }
    *body = Body::Big(Box::new(Big::Set(table)));
}
