//! Owns the making of an entry: its parts put together, to be written into a block.
//! Never happens here: a choice of block; what an entry counts for.
//! Source: as the layout in the parent module.
#![forbid(unsafe_code)]

use crate::classes::BLOCK_BYTES_MAX;
use crate::collections::{Big, PackForm};
use crate::hasher::Key;
use crate::heap::HeapBlock;
use crate::value::{Millis, Value};

use super::{
    BIG_VALUE_BYTES, FORM_NONE, Header, INLINE_KEY_BYTES_MAX, LARGE_VALUE_BYTES, LONG_KEY_BIT,
    LONG_KEY_BYTES, Shape, StoredExpiry, address_bytes, reference_bytes,
};

/// A value on its way into an entry.
#[derive(Debug)]
pub(crate) enum NewValue<'a> {
    /// A value to copy; it goes to the heap if the entry would not fit a block.
    Copy(Value<'a>),
    /// A value on the heap already.
    Heap(HeapBlock),
    /// A packed collection to copy; it is boxed if the entry would not fit a block.
    Packed(PackForm, &'a [u8]),
    /// A large collection.
    Big(Box<Big>),
}

/// Where the parts of a draft are put that are neither the caller's key nor its value.
#[derive(Default)]
pub(crate) struct Scratch {
    key: [u8; LONG_KEY_BYTES],
    value: [u8; LARGE_VALUE_BYTES],
}

/// Everything of an entry but the block it goes into.
pub(crate) struct Draft<'a> {
    pub(super) header: Header,
    pub(super) expiry_word: u64,
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
}

impl<'a> Draft<'a> {
    /// Drafts the entry of a key. What must lie on the heap is put there now, so the draft has to
    /// be written.
    #[inline(always)]
    pub(crate) fn new(
        key: Key<'a>,
        value: NewValue<'a>,
        expiry: Option<Millis>,
        base: Millis,
        scratch: &'a mut Scratch,
    ) -> Draft<'a> {
        let expiry = StoredExpiry::of(expiry, base);
        let (key, key_bits) = if key.bytes.len() <= INLINE_KEY_BYTES_MAX {
            (key.bytes, key.bytes.len() as u32)
        } else {
            refer_to_key(key, &mut scratch.key);
            (&scratch.key[..], LONG_KEY_BYTES as u32 | LONG_KEY_BIT)
        };
        let prefix = Header(expiry.header_bits | key_bits);
        let room = BLOCK_BYTES_MAX - prefix.value_offset();
        let (shape, value) = match value {
            NewValue::Copy(Value::Bytes { bytes, raw }) if bytes.len() <= room => {
                (if raw { Shape::StrRaw } else { Shape::Str }, bytes)
            }
            NewValue::Copy(Value::Int(number)) => {
                scratch.value[..8].copy_from_slice(&number.to_le_bytes());
                (Shape::Int, &scratch.value[..int_bytes(number)])
            }
            NewValue::Copy(Value::Bytes { bytes, .. }) => {
                scratch.value = reference_bytes(HeapBlock::concat(&[bytes]));
                (Shape::Large, &scratch.value[..])
            }
            NewValue::Heap(block) => {
                scratch.value = reference_bytes(block);
                (Shape::Large, &scratch.value[..])
            }
            NewValue::Packed(form, pack) if pack.len() <= room => (Shape::of(form), pack),
            NewValue::Packed(form, pack) => {
                let big = Box::new(Big::Packed(form, pack.to_vec()));
                (Shape::Boxed, refer_to_big(big, &mut scratch.value))
            }
            NewValue::Big(big) => (Shape::Boxed, refer_to_big(big, &mut scratch.value)),
        };
        let header = prefix.with_value(shape, value.len());
        Draft {
            header,
            expiry_word: expiry.word,
            key,
            value,
        }
    }

    /// Bytes the entry takes.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.header.entry_len()
    }

    /// Whether the entry has an expiry.
    #[inline(always)]
    pub(crate) fn has_expiry(&self) -> bool {
        self.header.expiry_form() != FORM_NONE
    }

    /// Whether the value is a string.
    #[inline(always)]
    pub(crate) fn is_string(&self) -> bool {
        self.header.shape().is_string()
    }

    /// Whether the entry refers to the heap.
    #[inline(always)]
    pub(crate) fn owns_heap(&self) -> bool {
        self.header.is_key_long() || self.header.owns_value()
    }
}

/// How many bytes an integer is stored in.
#[inline(always)]
fn int_bytes(number: i64) -> usize {
    // Without its copies of the sign, and with one.
    let bits = 65 - (number ^ number >> 63).leading_zeros();
    (bits.div_ceil(8) as usize).next_power_of_two()
}

fn refer_to_big(big: Box<Big>, part: &mut [u8; LARGE_VALUE_BYTES]) -> &[u8] {
    part[..BIG_VALUE_BYTES].copy_from_slice(&address_bytes(big));
    &part[..BIG_VALUE_BYTES]
}

#[cold]
fn refer_to_key(key: Key, reference: &mut [u8; LONG_KEY_BYTES]) {
    let block = HeapBlock::concat(&[key.bytes]);
    reference[..LARGE_VALUE_BYTES].copy_from_slice(&reference_bytes(block));
    reference[LARGE_VALUE_BYTES..].copy_from_slice(&key.hash.to_le_bytes());
}
