//! Owns the layout of an entry: key, value and expiry of one key in one block of the slab.
//! Never happens here: the index, or counting; a caller that changes an entry settles its account.
//! Source: length-prefixed records with a bit-packed header; large parts by reference to the heap.
//!
//! ```text
//! header u32 │ expiry 0, 4 or 8 bytes │ key, or 32-byte reference │ value, or 24-byte reference
//!
//! header, from bit 0: key length 8 │ value length 13 │ shape 4 │ long key 1 │ expiry form 2 │ expiry high 4
//! ```
//!
//! A short expiry counts milliseconds from the shard's base in 36 bits, 4 of them in the header:
//! it reaches 2.1 years and costs four bytes. Any other moment takes eight.

mod bill;
mod draft;
pub(crate) mod edit;

pub use bill::Bill;
pub(crate) use draft::{Draft, NewValue, Scratch};

use crate::collections::{Big, PackForm};
use crate::heap::HeapBlock;
use crate::slab::{BlockRef, Slab};
use crate::value::{Encoding, Kind, Millis, Value};

/// What a slot of the index costs a key: tag, access metadata and block reference.
pub const SLOT_BYTES: u64 = 8;
/// What an expiry costs a key beside its entry: nothing, it lies in the entry.
pub const EXPIRY_BYTES: u64 = 0;

const HEADER_BYTES: usize = 4;
/// Keys up to this long lie in their entry; longer ones on the heap.
const INLINE_KEY_BYTES_MAX: usize = 255;
/// A reference to a key on the heap: address, length, capacity, hash.
const LONG_KEY_BYTES: usize = 32;
/// A reference to a value on the heap: address, length, capacity.
const LARGE_VALUE_BYTES: usize = 24;
/// A reference to a large collection: its address.
const BIG_VALUE_BYTES: usize = 8;
/// Bits of a short expiry, and those of them that lie in the header.
const SHORT_EXPIRY_BITS: u32 = 36;
const EXPIRY_HIGH_BITS: u32 = 4;

/// How the value is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
enum Shape {
    /// Its bytes.
    Str = 0,
    /// Its bytes, edited in place once.
    StrRaw = 1,
    /// An integer in 1, 2, 4 or 8 bytes.
    Int = 2,
    /// A reference to a block on the heap.
    Large = 3,
    /// A small collection: its elements, packed, in the order of [`PackForm`].
    PackedList = 4,
    PackedSet = 5,
    IntSet = 6,
    PackedZset = 7,
    PackedHash = 8,
    PackedHashEx = 9,
    /// The address of a large collection.
    Boxed = 10,
}

impl Shape {
    const ALL: [Shape; 11] = [
        Shape::Str,
        Shape::StrRaw,
        Shape::Int,
        Shape::Large,
        Shape::PackedList,
        Shape::PackedSet,
        Shape::IntSet,
        Shape::PackedZset,
        Shape::PackedHash,
        Shape::PackedHashEx,
        Shape::Boxed,
    ];

    fn of(form: PackForm) -> Shape {
        match form {
            PackForm::List => Shape::PackedList,
            PackForm::Set => Shape::PackedSet,
            PackForm::Ints => Shape::IntSet,
            PackForm::Zset => Shape::PackedZset,
            PackForm::Hash => Shape::PackedHash,
            PackForm::HashEx => Shape::PackedHashEx,
        }
    }

    #[inline(always)]
    fn is_string(self) -> bool {
        self as u32 <= Shape::Large as u32
    }

    fn form(self) -> Option<PackForm> {
        match self {
            Shape::Str | Shape::StrRaw | Shape::Int | Shape::Large | Shape::Boxed => None,
            Shape::PackedList => Some(PackForm::List),
            Shape::PackedSet => Some(PackForm::Set),
            Shape::IntSet => Some(PackForm::Ints),
            Shape::PackedZset => Some(PackForm::Zset),
            Shape::PackedHash => Some(PackForm::Hash),
            Shape::PackedHashEx => Some(PackForm::HashEx),
        }
    }
}

/// A collection as its entry holds it.
#[derive(Clone, Copy)]
pub(crate) enum Held<'a> {
    /// Small: its elements, packed.
    Packed(PackForm, &'a [u8]),
    /// Large.
    Big(&'a Big),
}

/// The first word of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Header(u32);

const VALUE_LEN_SHIFT: u32 = 8;
const VALUE_LEN_MASK: u32 = (1 << 13) - 1;
const SHAPE_SHIFT: u32 = 21;
const LONG_KEY_BIT: u32 = 1 << 25;
const EXPIRY_FORM_SHIFT: u32 = 26;
const EXPIRY_HIGH_SHIFT: u32 = 28;

/// Expiry forms; a form times four is what it takes in the block.
const FORM_NONE: u32 = 0;
const FORM_SHORT: u32 = 1;
const FORM_LONG: u32 = 2;
/// Form and high bits, all that an expiry occupies in the header.
const EXPIRY_MASK: u32 = 0b11 << EXPIRY_FORM_SHIFT | 0b1111 << EXPIRY_HIGH_SHIFT;

impl Header {
    #[inline(always)]
    fn key_len(self) -> usize {
        (self.0 & 0xff) as usize
    }

    #[inline(always)]
    fn value_len(self) -> usize {
        (self.0 >> VALUE_LEN_SHIFT & VALUE_LEN_MASK) as usize
    }

    #[inline(always)]
    fn shape(self) -> Shape {
        let number = (self.0 >> SHAPE_SHIFT & 0xf) as usize;
        debug_assert!(number < Shape::ALL.len());
        Shape::ALL[number]
    }

    #[inline(always)]
    fn is_key_long(self) -> bool {
        self.0 & LONG_KEY_BIT != 0
    }

    #[inline(always)]
    fn expiry_form(self) -> u32 {
        self.0 >> EXPIRY_FORM_SHIFT & 0b11
    }

    #[inline(always)]
    fn expiry_bytes(self) -> usize {
        self.expiry_form() as usize * 4
    }

    #[inline(always)]
    fn key_offset(self) -> usize {
        HEADER_BYTES + self.expiry_bytes()
    }

    #[inline(always)]
    fn value_offset(self) -> usize {
        self.key_offset() + self.key_len()
    }

    #[inline(always)]
    fn entry_len(self) -> usize {
        self.value_offset() + self.value_len()
    }

    /// Whether the value part refers to something that the entry owns.
    #[inline(always)]
    fn owns_value(self) -> bool {
        matches!(self.shape(), Shape::Large | Shape::Boxed)
    }

    /// The same header for another value part.
    #[inline(always)]
    fn with_value(self, shape: Shape, len: usize) -> Header {
        debug_assert!(len <= VALUE_LEN_MASK as usize);
        let cleared = self.0 & !(VALUE_LEN_MASK << VALUE_LEN_SHIFT | 0xf << SHAPE_SHIFT);
        Header(cleared | (len as u32) << VALUE_LEN_SHIFT | (shape as u32) << SHAPE_SHIFT)
    }
}

/// An expiry as an entry stores it: bits of the header, and up to eight bytes.
#[derive(Clone, Copy)]
struct StoredExpiry {
    header_bits: u32,
    word: u64,
}

impl StoredExpiry {
    #[inline(always)]
    fn of(expiry: Option<Millis>, base: Millis) -> StoredExpiry {
        let Some(at) = expiry else {
            return StoredExpiry {
                header_bits: FORM_NONE << EXPIRY_FORM_SHIFT,
                word: 0,
            };
        };
        match at.0.checked_sub(base.0) {
            Some(span_ms) if (0..1 << SHORT_EXPIRY_BITS).contains(&span_ms) => {
                let high = (span_ms as u64 >> (SHORT_EXPIRY_BITS - EXPIRY_HIGH_BITS)) as u32;
                StoredExpiry {
                    header_bits: FORM_SHORT << EXPIRY_FORM_SHIFT | high << EXPIRY_HIGH_SHIFT,
                    word: span_ms as u64 & u64::from(u32::MAX),
                }
            }
            _ => StoredExpiry {
                header_bits: FORM_LONG << EXPIRY_FORM_SHIFT,
                word: at.0.cast_unsigned(),
            },
        }
    }
}

/// One key of a shard as a reader sees it.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    slab: &'a Slab,
    start: *const u8,
    header: Header,
    base: Millis,
}

impl<'a> Entry<'a> {
    /// Reads the header of the entry in a block that holds one.
    #[inline(always)]
    pub(crate) fn at(slab: &'a Slab, block: BlockRef, base: Millis) -> Entry<'a> {
        let start = slab.pointer(block).cast_const();
        // SAFETY: blocks in the index hold entries, and an entry begins with its header.
        let header = Header(unsafe { start.cast::<u32>().read_unaligned() });
        Entry {
            slab,
            start,
            header,
            base,
        }
    }

    /// The key.
    pub fn key(&self) -> &'a [u8] {
        let key_part = self.part(self.header.key_offset(), self.header.key_len());
        if self.header.is_key_long() {
            self.referenced(key_part)
        } else {
            key_part
        }
    }

    /// Whether the value is a string.
    #[inline(always)]
    pub fn is_string(&self) -> bool {
        self.header.shape().is_string()
    }

    /// The value of a string.
    #[inline(always)]
    pub fn value(&self) -> Value<'a> {
        let shape = self.header.shape();
        if shape as u32 <= Shape::StrRaw as u32 {
            let (bytes, raw) = (self.value_part(), shape == Shape::StrRaw);
            return Value::Bytes { bytes, raw };
        }
        self.value_not_as_it_lies()
    }

    #[inline(never)]
    fn value_not_as_it_lies(&self) -> Value<'a> {
        let bytes = self.value_part();
        match self.header.shape() {
            Shape::Int => Value::Int(int_of(bytes)),
            Shape::Large => Value::Bytes {
                bytes: self.referenced(bytes),
                raw: true,
            },
            _ => not_a_string(),
        }
    }

    /// The collection that the value is, if it is none but a string.
    #[inline]
    pub(crate) fn held(&self) -> Option<Held<'a>> {
        match self.header.shape() {
            Shape::Boxed => Some(Held::Big(self.big())),
            shape => Some(Held::Packed(shape.form()?, self.value_part())),
        }
    }

    #[inline(always)]
    fn value_part(&self) -> &'a [u8] {
        self.part(self.header.value_offset(), self.header.value_len())
    }

    /// The large collection a boxed entry refers to.
    #[inline]
    fn big(&self) -> &'a Big {
        let address = word_of(self.value_part(), 0) as usize;
        // SAFETY: the shape says that the value part is the address of a `Big` that the entry
        // owns; it is changed or freed only by whoever has the slab for itself.
        unsafe { &*std::ptr::with_exposed_provenance::<Big>(address) }
    }

    /// Length of the string in bytes, without reading it.
    pub fn value_len(&self) -> usize {
        self.value().len()
    }

    /// When the key expires, if it does.
    #[inline(always)]
    pub fn expiry(&self) -> Option<Millis> {
        // SAFETY: the form says how many bytes of expiry follow the header.
        unsafe {
            let word = self.start.add(HEADER_BYTES);
            match self.header.expiry_form() {
                FORM_NONE => None,
                FORM_SHORT => {
                    let high = u64::from(self.header.0 >> EXPIRY_HIGH_SHIFT) << 32;
                    let span_ms = high | u64::from(word.cast::<u32>().read_unaligned());
                    Some(Millis(self.base.0 + span_ms as i64))
                }
                _ => Some(Millis(word.cast::<i64>().read_unaligned())),
            }
        }
    }

    /// Whether the key is past its expiry: gone for every reader, though still stored.
    #[inline(always)]
    pub fn is_expired(&self, now: Millis) -> bool {
        self.has_expiry() && self.expiry().is_some_and(|at| now > at)
    }

    /// Whether the key has an expiry at all.
    #[inline(always)]
    pub fn has_expiry(&self) -> bool {
        self.header.expiry_form() != FORM_NONE
    }

    /// The type of the value.
    #[inline]
    pub fn kind(&self) -> Kind {
        match self.held() {
            None => Kind::String,
            Some(Held::Packed(form, _)) => form.kind(),
            Some(Held::Big(big)) => big.kind(),
        }
    }

    /// How the value is stored.
    pub fn encoding(&self) -> Encoding {
        match self.held() {
            None => self.value().encoding(),
            Some(Held::Packed(form, _)) => form.encoding(),
            Some(Held::Big(big)) => big.encoding(),
        }
    }

    /// When the key or the first of its fields expires, whatever comes first.
    pub(crate) fn next_expiry(&self) -> Option<Millis> {
        match (self.expiry(), self.field_expiry()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// When the first field of a hash expires, where any does.
    fn field_expiry(&self) -> Option<Millis> {
        match self.header.shape() {
            Shape::PackedHashEx => crate::collections::hash::packed_expiry(self.value_part()),
            Shape::Boxed => self.big().field_expiry(),
            _ => None,
        }
    }

    /// Bytes of the blocks that hold key and value, as the allocator rounds them.
    pub fn bytes(&self) -> u64 {
        (self.block_bytes() + self.heap_capacities().iter().sum::<usize>()) as u64
    }

    /// What MEMORY USAGE answers: [`Entry::bytes`] and the share of the index.
    pub fn usage(&self) -> u64 {
        self.bytes() + SLOT_BYTES + if self.has_expiry() { EXPIRY_BYTES } else { 0 }
    }

    /// The bill behind [`Entry::usage`].
    pub fn bill(&self) -> Bill {
        let [key_capacity, value_capacity] = self.heap_capacities();
        let key_on_heap = if self.header.is_key_long() {
            self.key().len()
        } else {
            0
        };
        let (value_on_heap, tables_bytes) = match self.header.shape() {
            Shape::Large => (self.value_len(), 0),
            Shape::Boxed => (value_capacity, self.big().tables_bytes()),
            _ => (0, 0),
        };
        let part = |on_heap: usize, inline: usize| if on_heap > 0 { on_heap } else { inline };
        let reference = |on_heap: usize, inline: usize| if on_heap > 0 { inline } else { 0 };
        let (key_len, value_len) = (self.header.key_len(), self.header.value_len());
        let block_slack = self.block_bytes() - self.header.entry_len();
        let heap_slack = key_capacity + value_capacity - key_on_heap - value_on_heap;
        Bill {
            slot_bytes: SLOT_BYTES,
            header_bytes: HEADER_BYTES as u64,
            expiry_bytes: self.header.expiry_bytes() as u64,
            key_bytes: part(key_on_heap, key_len) as u64,
            value_bytes: part(value_on_heap, value_len) as u64 - tables_bytes,
            tables_bytes,
            reference_bytes: (reference(key_on_heap, key_len) + reference(value_on_heap, value_len))
                as u64,
            rounding_bytes: (block_slack + heap_slack) as u64,
        }
    }

    /// Whether this is the entry of `key`.
    #[inline(always)]
    pub(crate) fn is_of(&self, key: &[u8]) -> bool {
        if self.header.is_key_long() {
            return self.is_of_long(key);
        }
        self.header.key_len() == key.len()
            && are_same(self.part(self.header.key_offset(), key.len()), key)
    }

    #[cold]
    #[inline(never)]
    fn is_of_long(&self, key: &[u8]) -> bool {
        self.key() == key
    }

    /// The hash of the key if the entry remembers it; only a long key's is worth its bytes.
    pub(crate) fn stored_hash(&self) -> Option<u64> {
        self.header.is_key_long().then(|| {
            let part = self.part(self.header.key_offset(), LONG_KEY_BYTES);
            word_of(part, LARGE_VALUE_BYTES)
        })
    }

    #[inline(always)]
    fn may_expire_fields(&self) -> bool {
        match self.header.shape() {
            Shape::PackedHashEx => true,
            Shape::Boxed => self.big().field_expiry().is_some(),
            _ => false,
        }
    }

    /// Bytes set aside for the key and for the value outside the block.
    #[inline(always)]
    pub(crate) fn heap_capacities(&self) -> [usize; 2] {
        let capacity = |offset: usize| word_of(self.part(offset, LARGE_VALUE_BYTES), 16) as usize;
        let key = if self.header.is_key_long() {
            capacity(self.header.key_offset())
        } else {
            0
        };
        let value = match self.header.shape() {
            Shape::Large => capacity(self.header.value_offset()),
            Shape::Boxed => self.big().bytes() as usize,
            _ => 0,
        };
        [key, value]
    }

    /// Whether the value is a string on the heap.
    #[inline(always)]
    pub(crate) fn is_value_on_heap(&self) -> bool {
        self.header.shape() == Shape::Large
    }

    /// Whether the value is a large collection in a box.
    #[inline]
    pub(crate) fn is_boxed(&self) -> bool {
        self.header.shape() == Shape::Boxed
    }

    /// Whether key or value live on the heap.
    #[inline(always)]
    pub(crate) fn owns_heap(&self) -> bool {
        self.header.is_key_long() || self.header.owns_value()
    }

    #[inline(always)]
    fn part(&self, offset: usize, len: usize) -> &'a [u8] {
        debug_assert!(offset + len <= self.block_bytes());
        // SAFETY: the header describes the entry it begins, which lies within its block; the
        // slab is borrowed for 'a, so the block is neither freed nor written meanwhile.
        unsafe { std::slice::from_raw_parts(self.start.add(offset), len) }
    }

    #[inline(always)]
    fn block_bytes(&self) -> usize {
        self.slab.class_at(self.start).bytes()
    }

    /// The bytes a reference points at.
    #[inline]
    fn referenced(&self, reference: &'a [u8]) -> &'a [u8] {
        let pointer = std::ptr::with_exposed_provenance(word_of(reference, 0) as usize);
        // SAFETY: the reference was made from a live heap block, which the entry owns and which
        // is neither freed nor grown while the slab is borrowed.
        unsafe { std::slice::from_raw_parts(pointer, word_of(reference, 8) as usize) }
    }
}

#[cold]
fn not_a_string() -> ! {
    panic!("the value of a collection is not a string")
}

/// Whether two slices of one length hold the same bytes. Keys are short: words compared in line
/// are faster than a call.
#[inline(always)]
fn are_same(one: &[u8], other: &[u8]) -> bool {
    debug_assert_eq!(one.len(), other.len());
    let len = one.len();
    if len < 8 {
        return one.iter().zip(other).all(|(a, b)| a == b);
    }
    // SAFETY: every offset is at most eight below the length of both slices.
    let differs = |at: usize| unsafe {
        let (one, other) = (one.as_ptr().add(at), other.as_ptr().add(at));
        one.cast::<u64>().read_unaligned() != other.cast::<u64>().read_unaligned()
    };
    let mut at = 0;
    while at < len - 8 {
        if differs(at) {
            return false;
        }
        at += 8;
    }
    // The last word overlaps the one before.
    !differs(len - 8)
}

#[inline(always)]
fn word_of(bytes: &[u8], offset: usize) -> u64 {
    let mut word = [0u8; 8];
    word.copy_from_slice(&bytes[offset..offset + 8]);
    u64::from_le_bytes(word)
}

#[inline(always)]
fn int_of(bytes: &[u8]) -> i64 {
    match *bytes {
        [a] => i64::from(a.cast_signed()),
        [a, b] => i64::from(i16::from_le_bytes([a, b])),
        [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
        _ => word_of(bytes, 0).cast_signed(),
    }
}

/// A block of the heap as an entry refers to it.
fn reference_bytes(block: HeapBlock) -> [u8; LARGE_VALUE_BYTES] {
    let mut bytes = [0u8; LARGE_VALUE_BYTES];
    for (part, word) in bytes.chunks_exact_mut(8).zip(block.into_words()) {
        part.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// A large collection as an entry refers to it.
fn address_bytes(big: Box<Big>) -> [u8; BIG_VALUE_BYTES] {
    (Box::into_raw(big).expose_provenance() as u64).to_le_bytes()
}
