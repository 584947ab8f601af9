//! Owns entries as they change in their blocks: written, given another expiry, lengthened, taken apart.
//! Never happens here: the index, or counting; a changed block reference goes back to the caller.
//! Source: as the layout in the parent module.

use memory::heap::SparsePages;

use crate::classes::{BLOCK_BYTES_MAX, Class};
use crate::collections::{Big, PackForm};
use crate::heap::HeapBlock;
use crate::slab::{BlockRef, Slab};
use crate::value::{IntText, Millis, Value};

use super::{
    BIG_VALUE_BYTES, Draft, EXPIRY_MASK, Entry, FORM_NONE, FORM_SHORT, HEADER_BYTES, Header, Held,
    LARGE_VALUE_BYTES, Shape, StoredExpiry, address_bytes, reference_bytes, word_of,
};

impl Draft<'_> {
    /// Writes the entry into a block of at least [`Draft::len`] bytes that holds none.
    #[inline(always)]
    pub(crate) fn write(self, slab: &mut Slab, block: BlockRef) {
        debug_assert!(self.len() <= slab.class_of(block).bytes());
        let start = slab.pointer(block);
        // SAFETY: the block is live and at least `len` bytes, and the key lies within it; it is
        // no part of the slab, being borrowed from a caller who gave us the slab alone.
        unsafe {
            let at_key = start.add(self.header.key_offset());
            at_key.copy_from_nonoverlapping(self.key.as_ptr(), self.key.len());
            self.write_around_key(start);
        }
    }

    /// Writes the entry over another one of the same key, which refers to nothing on the heap.
    #[inline(always)]
    pub(crate) fn write_over(self, slab: &mut Slab, block: BlockRef, base: Millis) {
        let old = Entry::at(slab, block, base).header;
        debug_assert!(self.key.len() == old.key_len() && !self.header.is_key_long());
        if old.key_offset() == self.header.key_offset() {
            debug_assert!(self.len() <= slab.class_of(block).bytes());
            // SAFETY: the block is live and at least `len` bytes, and the key is where it belongs.
            unsafe { self.write_around_key(slab.pointer(block)) }
        } else {
            self.write(slab, block);
        }
    }

    /// Writes everything but the key.
    ///
    /// # Safety
    /// `start` is that of a live block of at least [`Draft::len`] bytes.
    #[inline(always)]
    unsafe fn write_around_key(self, start: *mut u8) {
        // SAFETY: the parts lie one after the other within the block; the value is no part of the
        // slab, being borrowed from a caller who gave us the slab alone.
        unsafe {
            start.cast::<u32>().write_unaligned(self.header.0);
            let at_expiry = start.add(HEADER_BYTES);
            match self.header.expiry_form() {
                FORM_NONE => {}
                FORM_SHORT => at_expiry
                    .cast::<u32>()
                    .write_unaligned(self.expiry_word as u32),
                _ => at_expiry.cast::<u64>().write_unaligned(self.expiry_word),
            }
            let at_value = start.add(self.header.value_offset());
            at_value.copy_from_nonoverlapping(self.value.as_ptr(), self.value.len());
        }
    }
}

/// What an entry leaves behind when it ends.
#[must_use]
#[derive(Debug)]
pub(crate) enum Remains {
    /// Nothing.
    Nothing,
    /// A string on the heap.
    Text(HeapBlock),
    /// A large collection, which is to be taken down in steps.
    Big(Box<Big>),
}

impl Remains {
    /// The large collection, if it is one; a string is freed.
    pub(crate) fn big(self) -> Option<Box<Big>> {
        match self {
            Remains::Big(big) => Some(big),
            Remains::Nothing | Remains::Text(_) => None,
        }
    }
}

/// Frees an entry: its block, and what it owns on the heap but for a large collection.
#[inline]
pub(crate) fn destroy(slab: &mut Slab, block: BlockRef, base: Millis) -> Option<Box<Big>> {
    if Entry::at(slab, block, base).owns_heap() {
        dissolve(slab, block, base).big()
    } else {
        slab.free(block);
        None
    }
}

/// Frees an entry but for what its value refers to.
pub(crate) fn dissolve(slab: &mut Slab, block: BlockRef, base: Millis) -> Remains {
    let entry = Entry::at(slab, block, base);
    let header = entry.header;
    let reference = |offset| {
        let part = entry.part(offset, LARGE_VALUE_BYTES);
        [word_of(part, 0), word_of(part, 8), word_of(part, 16)]
    };
    // SAFETY: each reference was made by `into_words`, and the entry that holds it ends here.
    let key = unsafe {
        header
            .is_key_long()
            .then(|| HeapBlock::from_words(reference(header.key_offset())))
    };
    let remains = match header.shape() {
        Shape::Large => {
            // SAFETY: as for the key.
            let text = unsafe { HeapBlock::from_words(reference(header.value_offset())) };
            Remains::Text(text)
        }
        Shape::Boxed => Remains::Big(lift_big(slab, block, base)),
        _ => Remains::Nothing,
    };
    drop(key);
    slab.free(block);
    remains
}

/// Takes the large collection out of a boxed entry, which holds a mere number from then on.
pub(crate) fn lift_big(slab: &mut Slab, block: BlockRef, base: Millis) -> Box<Big> {
    let entry = Entry::at(slab, block, base);
    let header = entry.header;
    assert_eq!(header.shape(), Shape::Boxed, "only boxes are lifted");
    let address = word_of(entry.value_part(), 0) as usize;
    let shell = header.with_value(Shape::Int, BIG_VALUE_BYTES);
    // SAFETY: `address_bytes` made the address of a box. The entry that holds it is written over
    // with another shape, so that no second box is made of it.
    unsafe {
        slab.pointer(block).cast::<u32>().write_unaligned(shell.0);
        Box::from_raw(std::ptr::with_exposed_provenance_mut::<Big>(address))
    }
}

/// Puts a large collection into an entry in the place of a value that owns nothing. The block
/// moves if the entry needs another size.
pub(crate) fn put_big(slab: &mut Slab, block: BlockRef, big: Box<Big>, base: Millis) -> BlockRef {
    debug_assert!(!Entry::at(slab, block, base).header.owns_value());
    replace_value(slab, block, base, Shape::Boxed, &address_bytes(big))
}

/// Puts packed elements into an entry in the place of a value that owns nothing. The block moves
/// if the entry needs another size; `None` if no block is large enough.
pub(crate) fn put_packed(
    slab: &mut Slab,
    block: BlockRef,
    form: PackForm,
    pack: &[u8],
    base: Millis,
) -> Option<BlockRef> {
    let header = Entry::at(slab, block, base).header;
    debug_assert!(!header.owns_value());
    (header.value_offset() + pack.len() <= BLOCK_BYTES_MAX)
        .then(|| replace_value(slab, block, base, Shape::of(form), pack))
}

/// Gives an entry another expiry, or none. The block moves if the entry needs another size.
pub(crate) fn set_expiry(
    slab: &mut Slab,
    block: BlockRef,
    expiry: Option<Millis>,
    base: Millis,
) -> BlockRef {
    let header = Entry::at(slab, block, base).header;
    let stored = StoredExpiry::of(expiry, base);
    let new_header = Header(header.0 & !EXPIRY_MASK | stored.header_bits);
    let body_len = header.entry_len() - header.key_offset();
    if new_header.entry_len() > BLOCK_BYTES_MAX {
        return evict_value_then_set_expiry(slab, block, expiry, base);
    }
    let target = fitting_block(slab, block, new_header.entry_len());
    // SAFETY: both blocks are live and hold their entry lengths; when they are the same block the
    // ranges may overlap, which `copy` allows, and the body moves before the expiry is written.
    unsafe {
        let from = slab.pointer(block);
        let to = slab.pointer(target);
        to.add(new_header.key_offset())
            .copy_from(from.add(header.key_offset()), body_len);
        to.cast::<u32>().write_unaligned(new_header.0);
        match new_header.expiry_form() {
            FORM_NONE => {}
            FORM_SHORT => to
                .add(HEADER_BYTES)
                .cast::<u32>()
                .write_unaligned(stored.word as u32),
            _ => to
                .add(HEADER_BYTES)
                .cast::<u64>()
                .write_unaligned(stored.word),
        }
    }
    if target != block {
        slab.free(block);
    }
    target
}

/// The rare entry that fills its block to within an expiry: its value goes to the heap first.
#[cold]
fn evict_value_then_set_expiry(
    slab: &mut Slab,
    block: BlockRef,
    expiry: Option<Millis>,
    base: Millis,
) -> BlockRef {
    let entry = Entry::at(slab, block, base);
    let block = if let Some(Held::Packed(form, pack)) = entry.held() {
        let big = Box::new(Big::Packed(form, pack.to_vec()));
        replace_value(slab, block, base, Shape::Boxed, &address_bytes(big))
    } else {
        let Value::Bytes { bytes, .. } = entry.value() else {
            unreachable!("an integer fills no block")
        };
        let value = HeapBlock::concat(&[bytes]);
        replace_value(slab, block, base, Shape::Large, &reference_bytes(value))
    };
    set_expiry(slab, block, expiry, base)
}

/// Makes the value of an entry plain bytes that can be edited, at least `len` of them; new ones
/// are zero. The block moves if the entry needs another size.
pub(crate) fn lengthen_value(
    slab: &mut Slab,
    block: BlockRef,
    len: usize,
    base: Millis,
) -> BlockRef {
    let entry = Entry::at(slab, block, base);
    let header = entry.header;
    match entry.value() {
        _ if header.shape() == Shape::Large => {
            lengthen_on_heap(slab, block, header, len);
            block
        }
        Value::Int(number) => {
            let text = IntText::of(number);
            let block = replace_value(slab, block, base, Shape::StrRaw, text.bytes());
            lengthen_value(slab, block, len, base)
        }
        Value::Bytes { bytes, .. } => {
            let len = len.max(bytes.len());
            if header.value_offset() + len <= BLOCK_BYTES_MAX {
                return lengthen_inline(slab, block, header, len);
            }
            let mut value = HeapBlock::concat(&[bytes]);
            value.extend_zeroed(len);
            replace_value(slab, block, base, Shape::Large, &reference_bytes(value))
        }
    }
}

/// The bytes of a value that [`lengthen_value`] made editable.
pub(crate) fn value_mut(slab: &mut Slab, block: BlockRef, base: Millis) -> &mut [u8] {
    let header = Entry::at(slab, block, base).header;
    debug_assert!(matches!(header.shape(), Shape::StrRaw | Shape::Large));
    // SAFETY: the header tells where the value lies, in the block or on the heap; either is owned
    // by the entry, and the slab that reaches it is borrowed alone.
    unsafe {
        let at_value = slab.pointer(block).add(header.value_offset());
        if header.shape() == Shape::Large {
            let part = std::slice::from_raw_parts(at_value, LARGE_VALUE_BYTES);
            let pointer = std::ptr::with_exposed_provenance_mut(word_of(part, 0) as usize);
            std::slice::from_raw_parts_mut(pointer, word_of(part, 8) as usize)
        } else {
            std::slice::from_raw_parts_mut(at_value, header.value_len())
        }
    }
}

/// Moves the key and the string that an entry has on the heap out of sparse pages. Returns the
/// bytes that were moved.
pub(crate) fn relocate_heap(
    slab: &mut Slab,
    block: BlockRef,
    sparse: &SparsePages,
    base: Millis,
) -> usize {
    let header = Entry::at(slab, block, base).header;
    let offsets = [
        header.is_key_long().then(|| header.key_offset()),
        (header.shape() == Shape::Large).then(|| header.value_offset()),
    ];
    let mut moved_bytes = 0;
    for offset in offsets.into_iter().flatten() {
        // SAFETY: the header says that a reference made by `into_words` is there. Its block is
        // taken from it and put back, wherever it lies then, before anybody else looks.
        unsafe {
            let words = slab.pointer(block).add(offset).cast::<[u64; 3]>();
            let mut heap = HeapBlock::from_words(words.read_unaligned().map(u64::from_le));
            moved_bytes += heap.relocate(sparse);
            words.write_unaligned(heap.into_words().map(u64::to_le));
        }
    }
    moved_bytes
}

fn lengthen_on_heap(slab: &mut Slab, block: BlockRef, header: Header, len: usize) {
    // SAFETY: the entry's shape says that its value part is a reference made by `into_words`;
    // the block taken from it replaces it before anybody else looks.
    unsafe {
        let at_value = slab.pointer(block).add(header.value_offset());
        let part = std::slice::from_raw_parts(at_value, LARGE_VALUE_BYTES);
        let words = [word_of(part, 0), word_of(part, 8), word_of(part, 16)];
        let mut value = HeapBlock::from_words(words);
        value.extend_zeroed(len);
        let reference = reference_bytes(value);
        at_value.copy_from_nonoverlapping(reference.as_ptr(), reference.len());
    }
}

fn lengthen_inline(slab: &mut Slab, block: BlockRef, header: Header, len: usize) -> BlockRef {
    let new_header = header.with_value(Shape::StrRaw, len);
    let target = fitting_block(slab, block, new_header.entry_len());
    // SAFETY: the target holds the new length; if it is another block the two do not overlap,
    // and if it is the same one everything stays where it is but the new zeroes at the end.
    unsafe {
        let to = slab.pointer(target);
        if target != block {
            to.copy_from_nonoverlapping(slab.pointer(block), header.entry_len());
        }
        to.cast::<u32>().write_unaligned(new_header.0);
        to.add(header.entry_len())
            .write_bytes(0, len - header.value_len());
    }
    if target != block {
        slab.free(block);
    }
    target
}

/// Puts `part` in the place of the value part; what the old part referred to is the caller's.
fn replace_value(
    slab: &mut Slab,
    block: BlockRef,
    base: Millis,
    shape: Shape,
    part: &[u8],
) -> BlockRef {
    let header = Entry::at(slab, block, base).header;
    let new_header = header.with_value(shape, part.len());
    let target = fitting_block(slab, block, new_header.entry_len());
    // SAFETY: the target holds the new length; `part` is the caller's own and not in the slab.
    unsafe {
        let to = slab.pointer(target);
        if target != block {
            to.copy_from_nonoverlapping(slab.pointer(block), header.value_offset());
        }
        to.cast::<u32>().write_unaligned(new_header.0);
        to.add(header.value_offset())
            .copy_from_nonoverlapping(part.as_ptr(), part.len());
    }
    if target != block {
        slab.free(block);
    }
    target
}

/// The block itself if an entry of `len` bytes belongs in its class, another one if not.
fn fitting_block(slab: &mut Slab, block: BlockRef, len: usize) -> BlockRef {
    if Class::of(len) == slab.class_of(block) {
        block
    } else {
        slab.alloc(len)
    }
}
