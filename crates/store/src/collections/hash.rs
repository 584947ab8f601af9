//! Owns hashes: fields with their values, and fields that expire.
//! Never happens here: parsing, replies; a field past its expiry is in no answer.
//! Source: HSET and its kin of Redis, HEXPIRE and its kin of Redis 7.4.
#![forbid(unsafe_code)]

mod packed;
mod pick;

pub(crate) use packed::first_expiry as packed_expiry;
pub use pick::FieldPicker;

use crate::content::Strings;
use crate::entry::{Entry, Held};
use crate::pack::{self, IntBuffer, Item};
use crate::value::{Expiry, Millis, Value};

use super::door::{Body, Open};
use super::{Arena, ArenaMut, Big, Door, PackForm, Place, Table};

use packed::{PLAIN, stride};

/// Fields past their expiry that a walk passes over before it stops.
const PASSED_MAX: usize = 8192;

/// A hash to read.
#[derive(Clone, Copy)]
pub struct HashView<'a> {
    held: Held<'a>,
    arena: Arena<'a>,
    now: Millis,
}

/// A hash open for change; the change is settled when it is dropped.
pub struct HashEdit<'s>(Door<'s>);

/// What becomes of a field's life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lifetime {
    /// It stays as it is.
    Keep,
    /// It ends at another moment, or never.
    Until(Option<Millis>),
    /// It ends now: the field goes.
    Over,
}

impl<'a> HashView<'a> {
    pub(crate) fn new(held: Held<'a>, arena: Arena<'a>, now: Millis) -> HashView<'a> {
        HashView { held, arena, now }
    }

    /// Fields. Costs nothing as long as none has expired; else what holds expired ones is walked.
    pub fn len(&self) -> usize {
        match self.packed() {
            Some((PackForm::HashEx, pack)) => {
                let mut live = 0;
                packed::each(PackForm::HashEx, pack, |_, _, expiry| {
                    live += usize::from(!is_past(expiry, self.now));
                });
                live
            }
            Some((_, pack)) => pack::len(pack) / PLAIN,
            None => self.table().live_len(self.arena, self.now),
        }
    }

    /// Fields, those that have expired and are there yet included.
    #[inline]
    pub fn stored_len(&self) -> usize {
        match self.packed() {
            Some((form, pack)) => pack::len(pack) / stride(form),
            None => self.table().len(),
        }
    }

    /// Whether there are no fields, which is so only when all have expired.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many fields there are, with those that have expired and still lie there.
    pub fn len_with_expired(&self) -> usize {
        match self.packed() {
            Some((form, pack)) => pack::len(pack) / stride(form),
            None => self.table().len(),
        }
    }

    /// The value of a field and when the field expires.
    pub fn field(&self, field: &[u8]) -> Option<(Item<'a>, Option<Millis>)> {
        match self.packed() {
            Some((form, pack)) => {
                let packed = packed::find(form, pack, field)?;
                (!packed.is_past(self.now)).then_some((packed.value, packed.expiry))
            }
            None => {
                let entry = self.entry(field)?;
                Some((Item::from(entry.value()), entry.expiry()))
            }
        }
    }

    /// The value of a field.
    #[inline]
    pub fn value(&self, field: &[u8]) -> Option<Item<'a>> {
        Some(self.field(field)?.0)
    }

    fn entry(&self, field: &[u8]) -> Option<Entry<'a>> {
        let name = self.arena.hasher.key(field);
        self.table().find(self.arena, name, self.now)
    }

    /// Shows every field, its value and its expiry.
    pub fn each(&self, visit: &mut dyn FnMut(Item<'a>, Item<'a>, Option<Millis>)) {
        match self.packed() {
            Some((form, pack)) => packed::each(form, pack, |field, value, expiry| {
                if !is_past(expiry, self.now) {
                    visit(field, value, expiry);
                }
            }),
            None => {
                self.table().walk(self.arena, Place::default(), |entry| {
                    if !entry.is_expired(self.now) {
                        let (field, value) = (Item::Bytes(entry.key()), entry.value());
                        visit(field, Item::from(value), entry.expiry());
                    }
                    true
                });
            }
        }
    }

    /// Bytes of the fields and of what they are found by; 0 where they lie in their key's entry.
    #[inline]
    pub fn bytes(&self) -> u64 {
        match self.held {
            Held::Big(Big::Hash(table)) => table.bytes(),
            _ => 0,
        }
    }

    /// Whether any field ever expires.
    pub fn expires(&self) -> bool {
        match self.held {
            Held::Big(big) => big.field_expiry().is_some(),
            Held::Packed(form, _) => form == PackForm::HashEx,
        }
    }

    /// Shows fields and values from a place on, as long as `visit` says so; a small hash is shown
    /// whole. Returns where to go on, which holds as long as the hash does not change, or `None` at
    /// the end. It also stops where it has passed over many that have expired.
    pub fn walk(
        &self,
        place: Place,
        mut visit: impl FnMut(Item<'a>, Item<'a>) -> bool,
    ) -> Option<Place> {
        self.walk_with_expiries(place, |field, value, _| visit(field, value))
    }

    /// As [`HashView::walk`], with when each field expires.
    pub fn walk_with_expiries(
        &self,
        place: Place,
        mut visit: impl FnMut(Item<'a>, Item<'a>, Option<Millis>) -> bool,
    ) -> Option<Place> {
        if self.packed().is_some() {
            self.each(&mut |field, value, expiry| _ = visit(field, value, expiry));
            return None;
        }
        let mut passed = 0;
        self.table().walk(self.arena, place, |entry| {
            if entry.is_expired(self.now) {
                passed += 1;
                return passed < PASSED_MAX;
            }
            let (field, value) = (Item::Bytes(entry.key()), Item::from(entry.value()));
            visit(field, value, entry.expiry())
        })
    }

    /// Shows fields and values from `cursor` on, looking at about `budget_slots` slots; a small
    /// hash is shown whole. Returns where to go on, or 0 at the end.
    pub fn scan(
        &self,
        cursor: u64,
        budget_slots: usize,
        visit: &mut dyn FnMut(Item<'a>, Item<'a>),
    ) -> u64 {
        if self.packed().is_some() {
            self.each(&mut |field, value, _| visit(field, value));
            return 0;
        }
        self.table()
            .scan(self.arena, cursor, budget_slots, self.now, |entry| {
                visit(Item::Bytes(entry.key()), Item::from(entry.value()));
            })
    }

    /// All fields and values as plain data, and the expiries of fields where there are any.
    pub(crate) fn content(&self) -> (Strings, Vec<Option<Millis>>) {
        let packed_bytes = self.packed().map_or(0, |(_, pack)| pack.len());
        let mut pairs = Strings::with_room(2 * self.len(), packed_bytes);
        let mut expiries = Vec::with_capacity(self.len());
        let (mut one, mut other) = (IntBuffer::new(), IntBuffer::new());
        self.each(&mut |field, value, expiry| {
            pairs.push(field.text(&mut one));
            pairs.push(value.text(&mut other));
            expiries.push(expiry);
        });
        if expiries.iter().all(Option::is_none) {
            expiries = Vec::new();
        }
        (pairs, expiries)
    }

    #[inline]
    fn packed(&self) -> Option<(PackForm, &'a [u8])> {
        match self.held {
            Held::Packed(form, pack) => Some((form, pack)),
            Held::Big(Big::Packed(form, pack)) => Some((*form, pack)),
            Held::Big(_) => None,
        }
    }

    fn table(&self) -> &'a Table {
        match self.held {
            Held::Big(Big::Hash(table)) => table,
            _ => unreachable!("a hash that is not packed has a table"),
        }
    }
}

fn is_past(expiry: Option<Millis>, now: Millis) -> bool {
    expiry.is_some_and(|at| now > at)
}

fn table_of(big: &mut Big) -> &mut Table {
    match big {
        Big::Hash(table) => table,
        other => unreachable!("a hash is no {:?}", other.kind()),
    }
}

impl<'s> Door<'s> {
    /// The collection as a hash, which its opener asked for.
    pub fn hash(self) -> HashEdit<'s> {
        let mut edit = HashEdit(self);
        edit.drop_expired();
        edit
    }
}

impl HashEdit<'_> {
    /// The hash as it is now.
    pub fn view(&self) -> HashView<'_> {
        let (held, arena) = self.0.look();
        HashView::new(held, arena, self.0.now())
    }

    /// Gives a field a value. Returns whether the field is new.
    pub fn set(&mut self, field: &[u8], value: &[u8], expiry: Expiry) -> bool {
        let Open {
            body,
            mut arena,
            thresholds,
            now,
        } = self.0.open();
        let value_max = thresholds.hash_max_listpack_value;
        if let Body::Packed(form, pack) = body {
            if field.len() <= value_max && value.len() <= value_max {
                let is_new = packed::set(form, pack, field, value, expiry);
                let fields = pack::len(pack) / stride(*form);
                if fields > thresholds.hash_max_listpack_entries {
                    unpack(body, &mut arena, now);
                }
                return is_new;
            }
            unpack(body, &mut arena, now);
        }
        let Body::Big(big) = body else {
            unreachable!("it was just unpacked")
        };
        let name = arena.hasher.key(field);
        arena.slab.has_room();
        let value = Value::from_bytes(value);
        !table_of(big).put(&mut arena, name, value, expiry, now)
    }

    /// Gives a field that is there another expiry, or none; false if it is not there.
    pub fn set_expiry(&mut self, field: &[u8], expiry: Option<Millis>) -> bool {
        self.change_lifetime(field, |_| Lifetime::Until(expiry))
            .is_some()
    }

    /// Lets `decide` say what becomes of the life of a field, given its expiry. Returns what it
    /// said, `None` without asking if the field is not there.
    pub fn change_lifetime(
        &mut self,
        field: &[u8],
        decide: impl FnOnce(Option<Millis>) -> Lifetime,
    ) -> Option<Lifetime> {
        let (held, _) = self.0.look();
        let Held::Packed(form, pack) = held else {
            let Open {
                body: Body::Big(big),
                mut arena,
                now,
                ..
            } = self.0.open()
            else {
                unreachable!("it was large just now")
            };
            let name = arena.hasher.key(field);
            arena.slab.has_room();
            return table_of(big).change_lifetime(&mut arena, name, now, decide);
        };
        let found = packed::find(form, pack, field)?;
        let (at, lifetime) = (found.at, decide(found.expiry));
        if lifetime == Lifetime::Keep {
            return Some(lifetime);
        }
        let Body::Packed(form, pack) = self.0.open().body else {
            unreachable!("it was packed just now")
        };
        match lifetime {
            Lifetime::Keep => {}
            Lifetime::Over => pack::remove(pack, at, stride(*form)),
            Lifetime::Until(None) if *form == PackForm::Hash => {}
            Lifetime::Until(expiry) => {
                let is_plain = *form == PackForm::Hash;
                packed::with_expiries(form, pack);
                let at = if is_plain {
                    let moved = packed::find(*form, pack, field);
                    moved.expect("it was found just now").at
                } else {
                    at
                };
                packed::write_expiry(pack, at, expiry);
            }
        }
        Some(lifetime)
    }

    /// Removes a field. Returns whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        let (held, _) = self.0.look();
        let at = match held {
            Held::Packed(form, pack) => match packed::find(form, pack, field) {
                Some(found) => found.at,
                None => return false,
            },
            Held::Big(_) => 0,
        };
        let Open {
            body,
            mut arena,
            now,
            ..
        } = self.0.open();
        match body {
            Body::Packed(form, pack) => {
                pack::remove(pack, at, stride(*form));
                true
            }
            Body::Big(big) => {
                let name = arena.hasher.key(field);
                table_of(big).remove(&mut arena, name, now)
            }
        }
    }

    /// Removes fields that are past their expiry, looking at about `budget_fields` of a large
    /// hash. Returns how many it looked at.
    pub(crate) fn expire_step(&mut self, budget_fields: usize) -> usize {
        let Open {
            body,
            mut arena,
            now,
            ..
        } = self.0.open();
        match body {
            // Opening has dropped those of a small hash.
            Body::Packed(form, pack) => 1 + pack::len(pack) / stride(*form),
            Body::Big(big) => table_of(big).expire_step(&mut arena, budget_fields, now),
        }
    }

    /// Drops the expired fields of a small hash.
    fn drop_expired(&mut self) {
        let now = self.0.now();
        let (held, _) = self.0.look();
        let Held::Packed(PackForm::HashEx, pack) = held else {
            return;
        };
        if is_past(packed_expiry(pack), now)
            && let Body::Packed(_, pack) = self.0.open().body
        {
            packed::drop_expired(pack, now);
        }
    }
}

/// Makes a table of a pack.
fn unpack(body: &mut Body, arena: &mut ArenaMut, now: Millis) {
    let Body::Packed(form, pack) = body else {
        return;
    };
    let mut table = Table::default();
    let (mut one, mut other) = (IntBuffer::new(), IntBuffer::new());
    packed::each(*form, pack, |field, value, expiry| {
        let name = arena.hasher.key(field.text(&mut one));
        let value = Value::from_bytes(value.text(&mut other));
        let expiry = expiry.map_or(Expiry::Clear, Expiry::At);
        arena.slab.has_room();
        table.put(arena, name, value, expiry, now);
    });
    *body = Body::Big(Box::new(Big::Hash(table)));
}
