//! Owns hashes as packs: where a field lies among the elements, and what follows it.
//! Never happens here: a threshold, or the moment now; the edit that calls knows both.
//! Source: the list packs of Redis, with an expiry after each value where any field has one.
#![forbid(unsafe_code)]

use crate::collections::PackForm;
use crate::pack::{self, IntBuffer, Item};
use crate::value::{Expiry, IntText, Millis};

/// Elements of a field in a pack: field, value, and an expiry in one form.
pub(super) const PLAIN: usize = 2;
pub(super) const WITH_EXPIRY: usize = 3;

/// A field of a pack.
pub(super) struct Packed<'a> {
    pub(super) at: usize,
    pub(super) field: Item<'a>,
    pub(super) value: Item<'a>,
    pub(super) expiry: Option<Millis>,
}

impl Packed<'_> {
    pub(super) fn is_past(&self, now: Millis) -> bool {
        self.expiry.is_some_and(|at| now > at)
    }
}

/// Elements that a field takes in a pack of this form.
pub(super) fn stride(form: PackForm) -> usize {
    if form == PackForm::HashEx {
        WITH_EXPIRY
    } else {
        PLAIN
    }
}

/// The field at an offset.
pub(super) fn at(form: PackForm, pack: &[u8], at: usize) -> Option<Packed<'_>> {
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

/// The fields of a pack in order.
pub(super) fn fields(form: PackForm, pack: &[u8]) -> impl Iterator<Item = Packed<'_>> {
    let mut next = pack::first(pack);
    std::iter::from_fn(move || {
        let packed = self::at(form, pack, next?)?;
        next = (0..stride(form)).try_fold(packed.at, |at, _| pack::next(pack, at));
        Some(packed)
    })
}

/// Shows the fields of a pack in order.
pub(super) fn each<'a>(
    form: PackForm,
    pack: &'a [u8],
    mut visit: impl FnMut(Item<'a>, Item<'a>, Option<Millis>),
) {
    let mut items = pack::iter(pack);
    while let (Some(field), Some(value)) = (items.next(), items.next()) {
        let expiry = match form {
            PackForm::HashEx => items.next().and_then(expiry_of),
            _ => None,
        };
        visit(field, value, expiry);
    }
}

/// The field of this name.
#[inline]
pub(super) fn find<'a>(form: PackForm, pack: &'a [u8], field: &[u8]) -> Option<Packed<'a>> {
    let found = pack::find(pack, field, pack::first(pack)?, stride(form) - 1)?;
    at(form, pack, found)
}

/// When the first field of a pack with expiries expires, where any does.
pub(crate) fn first_expiry(pack: &[u8]) -> Option<Millis> {
    let mut first = None;
    each(PackForm::HashEx, pack, |_, _, expiry| {
        first = first.into_iter().chain(expiry).min();
    });
    first
}

/// Sets a field. Returns whether it is new.
pub(super) fn set(
    form: &mut PackForm,
    pack: &mut Vec<u8>,
    field: &[u8],
    value: &[u8],
    expiry: Expiry,
) -> bool {
    if let Expiry::At(_) = expiry {
        with_expiries(form, pack);
    }
    let from = pack::first(pack);
    let found = from.and_then(|from| pack::find(pack, field, from, stride(*form) - 1));
    let Some(at) = found else {
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
        return true;
    };
    let value_at = pack::next(pack, at).expect("a field has a value");
    pack::replace(pack, value_at, value);
    if *form == PackForm::HashEx {
        match expiry {
            Expiry::Keep => {}
            Expiry::Clear => write_expiry(pack, at, None),
            Expiry::At(moment) => write_expiry(pack, at, Some(moment)),
        }
    }
    false
}

/// Gives the field at `at` of a pack with expiries another expiry, or none.
pub(super) fn write_expiry(pack: &mut Vec<u8>, at: usize, expiry: Option<Millis>) {
    let value = pack::next(pack, at).expect("a field has a value");
    let place = pack::next(pack, value).expect("a value has an expiry in this form");
    let text = IntText::of(expiry.map_or(0, |moment| moment.0));
    pack::replace(pack, place, text.bytes());
}

/// Gives a pack room for expiries.
pub(super) fn with_expiries(form: &mut PackForm, pack: &mut Vec<u8>) {
    if *form == PackForm::HashEx {
        return;
    }
    let mut with = pack::new();
    let (mut one, mut other) = (IntBuffer::new(), IntBuffer::new());
    each(*form, pack, |field, value, _| {
        pack::push(&mut with, field.text(&mut one));
        pack::push(&mut with, value.text(&mut other));
        pack::push_int(&mut with, 0);
    });
    *form = PackForm::HashEx;
    *pack = with;
}

/// Drops the fields of a pack with expiries that are past theirs.
pub(super) fn drop_expired(pack: &mut Vec<u8>, now: Millis) {
    let form = PackForm::HashEx;
    let mut kept = pack::new();
    let (mut one, mut other) = (IntBuffer::new(), IntBuffer::new());
    each(form, pack, |field, value, expiry| {
        if expiry.is_none_or(|at| now <= at) {
            pack::push(&mut kept, field.text(&mut one));
            pack::push(&mut kept, value.text(&mut other));
            pack::push_int(&mut kept, expiry.map_or(0, |at| at.0));
        }
    });
    *pack = kept;
}

fn expiry_of(item: Item) -> Option<Millis> {
    item.int().filter(|&at| at != 0).map(Millis)
}
