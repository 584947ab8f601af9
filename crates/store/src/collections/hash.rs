//! Owns hashes: fields with their values, and fields that expire.
//! Never happens here: parsing, replies; a field past its expiry is in no answer.
//! Source: HSET and its kin of Redis, HEXPIRE and its kin of Redis 7.4.
#![forbid(unsafe_code)]

use crate::content::Strings;
use crate::entry::Held;
use crate::pack::{self, IntBuffer, Item};
use crate::random::Rng;
use crate::value::{Expiry, IntText, Millis, Value};

use super::door::{Body, Open};
use super::{Arena, ArenaMut, Big, Door, PackForm, Table};

/// Elements of a field in a pack: field, value, and an expiry in one form.
const PLAIN: usize = 2;
const WITH_EXPIRY: usize = 3;

/// A hash to read.
#[derive(Clone, Copy)]
pub struct HashView<'a> {
    held: Held<'a>,
    arena: Arena<'a>,
    now: Millis,
}

/// A hash open for change; the change is settled when it is dropped.
pub struct HashEdit<'s>(Door<'s>);

/// A field of a pack.
struct Packed<'a> {
    at: usize,
    field: Item<'a>,
    value: Item<'a>,
    expiry: Option<Millis>,
}

/// The fields of a pack in order.
fn packed_fields(form: PackForm, pack: &[u8]) -> impl Iterator<Item = Packed<'_>> {
    let mut at = pack::first(pack);
    std::iter::from_fn(move || {
        let field = at?;
        let value = pack::next(pack, field)?;
        let mut last = value;
        let mut expiry = None;
        if form == PackForm::HashEx {
            last = pack::next(pack, value)?;
            expiry = expiry_of(pack::item(pack, last));
        }
        at = pack::next(pack, last);
        Some(Packed {
            at: field,
            field: pack::item(pack, field),
            value: pack::item(pack, value),
            expiry,
        })
    })
}

fn expiry_of(item: Item) -> Option<Millis> {
    item.int().filter(|&at| at != 0).map(Millis)
}

/// Elements that a field takes in a pack of this form.
fn stride(form: PackForm) -> usize {
    if form == PackForm::HashEx {
        WITH_EXPIRY
    } else {
        PLAIN
    }
}

/// When the first field of a pack with expiries expires, where any does.
pub(crate) fn packed_expiry(pack: &[u8]) -> Option<Millis> {
    packed_fields(PackForm::HashEx, pack)
        .filter_map(|packed| packed.expiry)
        .min()
}

fn is_past(expiry: Option<Millis>, now: Millis) -> bool {
    expiry.is_some_and(|at| now > at)
}

impl<'a> HashView<'a> {
    pub(crate) fn new(held: Held<'a>, arena: Arena<'a>, now: Millis) -> HashView<'a> {
        HashView { held, arena, now }
    }

    /// Fields. Of a large hash, those that have expired and were not yet met are among them.
    pub fn len(&self) -> usize {
        match self.packed() {
            Some((PackForm::HashEx, _)) => {
                let mut fields = 0;
                self.each(&mut |_, _, _| fields += 1);
                fields
            }
            Some((_, pack)) => pack::len(pack) / PLAIN,
            None => self.table().len(),
        }
    }

    /// Whether there are no fields, which is so only when all have expired.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a field and when the field expires.
    pub fn field(&self, field: &[u8]) -> Option<(Item<'a>, Option<Millis>)> {
        match self.packed() {
            Some((form, pack)) => {
                let packed = find_packed(form, pack, field)?;
                (!is_past(packed.expiry, self.now)).then_some((packed.value, packed.expiry))
            }
            None => {
                let name = self.arena.hasher.key(field);
                let entry = self.table().find(self.arena, name, self.now)?;
                Some((Item::from(entry.value()), entry.expiry()))
            }
        }
    }

    /// The value of a field.
    #[inline]
    pub fn value(&self, field: &[u8]) -> Option<Item<'a>> {
        Some(self.field(field)?.0)
    }

    /// Shows every field, its value and its expiry.
    pub fn each(&self, visit: &mut dyn FnMut(Item<'a>, Item<'a>, Option<Millis>)) {
        match self.packed() {
            Some((form, pack)) => packed_fields(form, pack)
                .filter(|packed| !is_past(packed.expiry, self.now))
                .for_each(|packed| visit(packed.field, packed.value, packed.expiry)),
            None => self
                .table()
                .entries(self.arena)
                .filter(|entry| !entry.is_expired(self.now))
                .for_each(|entry| {
                    visit(
                        Item::Bytes(entry.key()),
                        Item::from(entry.value()),
                        entry.expiry(),
                    );
                }),
        }
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

    /// A field picked at random with its value, each as likely as another. `None` if there is
    /// none, or almost only expired ones.
    pub fn random(&self, rng: &mut Rng) -> Option<(Item<'a>, Item<'a>)> {
        const TRIES: usize = 1000;
        match self.packed() {
            Some((form, pack)) => {
                let live =
                    || packed_fields(form, pack).filter(|packed| !is_past(packed.expiry, self.now));
                let count = if form == PackForm::HashEx {
                    live().count()
                } else {
                    pack::len(pack) / PLAIN
                };
                if count == 0 {
                    return None;
                }
                let packed = live().nth(rng.below(count as u64) as usize)?;
                Some((packed.field, packed.value))
            }
            None => (0..TRIES).find_map(|_| {
                let entry = self.table().random(self.arena, rng)?;
                (!entry.is_expired(self.now))
                    .then(|| (Item::Bytes(entry.key()), Item::from(entry.value())))
            }),
        }
    }

    /// All fields and values as plain data, and the expiries of fields where there are any.
    pub(crate) fn content(&self) -> (Strings, Vec<Option<Millis>>) {
        let (mut pairs, mut expiries) = (Strings::default(), Vec::new());
        let (mut one, mut other) = (IntBuffer::new(), IntBuffer::new());
        self.each(&mut |field, value, expiry| {
            pairs.push(field.text(&mut one));
            pairs.push(value.text(&mut other));
            expiries.push(expiry);
        });
        if expiries.iter().all(Option::is_none) {
            expiries.clear();
        }
        (pairs, expiries)
    }

    fn packed(&self) -> Option<(PackForm, &'a [u8])> {
        match self.held {
            Held::Packed(form, pack) => Some((form, pack)),
            Held::Big(Big::Packed(form, pack)) => Some((*form, pack)),
            Held::Big(_) => None,
        }
    }

    fn table(&self) -> &'a Table {
        match self.held {
            Held::Big(big) => table(big),
            Held::Packed(..) => unreachable!("a packed hash has no table"),
        }
    }
}

fn table(big: &Big) -> &Table {
    match big {
        Big::Hash(table) => table,
        other => unreachable!("a hash is no {:?}", other.kind()),
    }
}

fn table_mut(big: &mut Big) -> &mut Table {
    match big {
        Big::Hash(table) => table,
        other => unreachable!("a hash is no {:?}", other.kind()),
    }
}

fn find_packed<'a>(form: PackForm, pack: &'a [u8], field: &[u8]) -> Option<Packed<'a>> {
    let at = pack::find(pack, field, pack::first(pack)?, stride(form) - 1)?;
    let value = pack::next(pack, at)?;
    let expiry = if form == PackForm::HashEx {
        expiry_of(pack::item(pack, pack::next(pack, value)?))
    } else {
        None
    };
    Some(Packed {
        at,
        field: pack::item(pack, at),
        value: pack::item(pack, value),
        expiry,
    })
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
            let is_small = field.len() <= value_max && value.len() <= value_max;
            if is_small && let Some(is_new) = set_packed(form, pack, field, value, expiry) {
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
        !table_mut(big).put(&mut arena, name, value, expiry, now)
    }

    /// Gives a field that is there another expiry, or none; false if it is not there.
    pub fn set_expiry(&mut self, field: &[u8], expiry: Option<Millis>) -> bool {
        if self.view().field(field).is_none() {
            return false;
        }
        let Open {
            body, mut arena, ..
        } = self.0.open();
        match body {
            Body::Packed(form, pack) => {
                if expiry.is_some() {
                    with_expiries(form, pack);
                }
                if *form == PackForm::HashEx {
                    let packed = find_packed(*form, pack, field).expect("it was found just now");
                    let at = expiry_place(pack, packed.at);
                    write_expiry(pack, at, expiry);
                }
                true
            }
            Body::Big(big) => {
                let name = arena.hasher.key(field);
                table_mut(big).set_expiry(&mut arena, name, expiry)
            }
        }
    }

    /// Removes a field. Returns whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        if self.view().field(field).is_none() {
            return false;
        }
        let Open {
            body,
            mut arena,
            now,
            ..
        } = self.0.open();
        match body {
            Body::Packed(form, pack) => {
                let packed = find_packed(*form, pack, field).expect("it was found just now");
                let at = packed.at;
                pack::remove(pack, at, stride(*form));
                true
            }
            Body::Big(big) => {
                let name = arena.hasher.key(field);
                table_mut(big).remove(&mut arena, name, now)
            }
        }
    }

    /// Removes fields that are past their expiry: of a large hash, those of up to
    /// `budget_segments` segments of its table that hold any.
    pub(crate) fn expire_step(&mut self, budget_segments: usize) {
        let Open {
            body,
            mut arena,
            now,
            ..
        } = self.0.open();
        // Opening has dropped those of a small hash.
        if let Body::Big(big) = body {
            table_mut(big).expire_step(&mut arena, budget_segments, now);
        }
    }

    /// Drops the expired fields of a small hash. Returns how many went.
    fn drop_expired(&mut self) -> usize {
        let now = self.0.now();
        let (held, _) = self.0.look();
        let Held::Packed(PackForm::HashEx, pack) = held else {
            return 0;
        };
        if !is_past(packed_expiry(pack), now) {
            return 0;
        }
        let Body::Packed(form, pack) = self.0.open().body else {
            unreachable!("it was packed just now")
        };
        let mut removed = 0;
        loop {
            let due = packed_fields(*form, pack)
                .find(|packed| is_past(packed.expiry, now))
                .map(|packed| packed.at);
            let Some(at) = due else {
                return removed;
            };
            pack::remove(pack, at, WITH_EXPIRY);
            removed += 1;
        }
    }
}

/// Sets a field in a pack; `None` where the pack cannot hold what is asked, which is left undone.
fn set_packed(
    form: &mut PackForm,
    pack: &mut Vec<u8>,
    field: &[u8],
    value: &[u8],
    expiry: Expiry,
) -> Option<bool> {
    if let Expiry::At(_) = expiry {
        with_expiries(form, pack);
    }
    let found = find_packed(*form, pack, field).map(|packed| packed.at);
    match found {
        Some(at) => {
            let value_at = pack::next(pack, at).expect("a field has a value");
            pack::replace(pack, value_at, value);
            if *form == PackForm::HashEx {
                let place = expiry_place(pack, at);
                match expiry {
                    Expiry::Keep => {}
                    Expiry::Clear => write_expiry(pack, place, None),
                    Expiry::At(moment) => write_expiry(pack, place, Some(moment)),
                }
            }
        }
        None => {
            pack::push(pack, field);
            pack::push(pack, value);
            if *form == PackForm::HashEx {
                pack::push_int(
                    pack,
                    match expiry {
                        Expiry::At(moment) => moment.0,
                        Expiry::Clear | Expiry::Keep => 0,
                    },
                );
            }
        }
    }
    Some(found.is_none())
}

/// Where the expiry of the field at `at` lies.
fn expiry_place(pack: &[u8], at: usize) -> usize {
    let value = pack::next(pack, at).expect("a field has a value");
    pack::next(pack, value).expect("a value has an expiry in this form")
}

fn write_expiry(pack: &mut Vec<u8>, at: usize, expiry: Option<Millis>) {
    let text = IntText::of(expiry.map_or(0, |moment| moment.0));
    pack::replace(pack, at, text.bytes());
}

/// Gives a pack room for expiries.
fn with_expiries(form: &mut PackForm, pack: &mut Vec<u8>) {
    if *form == PackForm::HashEx {
        return;
    }
    let mut with = pack::new();
    let (mut one, mut other) = (IntBuffer::new(), IntBuffer::new());
    for packed in packed_fields(*form, pack) {
        pack::push(&mut with, packed.field.text(&mut one));
        pack::push(&mut with, packed.value.text(&mut other));
        pack::push_int(&mut with, 0);
    }
    *form = PackForm::HashEx;
    *pack = with;
}

/// Makes a table of a pack.
fn unpack(body: &mut Body, arena: &mut ArenaMut, now: Millis) {
    let Body::Packed(form, pack) = body else {
        return;
    };
    let mut table = Table::default();
    let (mut one, mut other) = (IntBuffer::new(), IntBuffer::new());
    for packed in packed_fields(*form, pack) {
        let name = arena.hasher.key(packed.field.text(&mut one));
        let value = Value::from_bytes(packed.value.text(&mut other));
        let expiry = packed.expiry.map_or(Expiry::Clear, Expiry::At);
        arena.slab.has_room();
        table.put(arena, name, value, expiry, now);
    }
    *body = Body::Big(Box::new(Big::Hash(table)));
}
