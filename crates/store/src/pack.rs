//! Owns the pack: a short sequence of strings and integers in one run of bytes.
//! Never happens here: what the elements mean, thresholds, or shrinking a buffer; callers do that.
//! Source: the element encodings of Redis' listpack, so that DUMP passes elements through.
//!
//! A pack is a 2-byte little-endian element count, then the elements. An element is its body, which
//! is encoding, length and data, then the body's length again, to be read from behind:
//!
//! | first byte   | body                                              |
//! |--------------|---------------------------------------------------|
//! | `0xxxxxxx`   | integer 0..=127                                   |
//! | `10llllll`   | string of up to 63 bytes                          |
//! | `110xxxxx`   | and 1 byte: integer of 13 bits, big end first     |
//! | `1110llll`   | and 1 byte: string of up to 4095 bytes            |
//! | `f0`         | and 4 bytes of length, little end first: string   |
//! | `f1` .. `f4` | integer of 16, 24, 32, 64 bits, little end first  |
//!
//! The length from behind is 1 to 5 groups of 7 bits, big end first; every byte but the first
//! carries the bit 0x80, so a reader coming from behind stops at the byte without it.
//!
//! Offsets are of elements' first bytes. Functions other than [`check`] trust the pack and panic on
//! one that is broken.
#![forbid(unsafe_code)]

pub use crate::item::{IntBuffer, Item};
use crate::value::canonical_int;

/// The element count in front, in bytes.
const COUNT_BYTES: usize = 2;

/// Stands for a count that is found by walking: the field is too narrow for it.
const COUNT_UNKNOWN: u16 = u16::MAX;

/// The most elements that the count in front can tell.
const COUNT_MAX: usize = COUNT_UNKNOWN as usize - 1;

/// An element is never shorter: one byte of body, one of its length.
const ELEMENT_BYTES_MIN: usize = 2;

/// The longest encoding before a string's bytes, or of a whole integer.
const HEAD_BYTES_MAX: usize = 9;

/// The longest length from behind: 35 bits in groups of 7.
const BACK_BYTES_MAX: usize = 5;

/// An element as it is written: what precedes a string's bytes or is an integer, then the string.
struct Element<'a> {
    head: [u8; HEAD_BYTES_MAX],
    head_len: usize,
    text: &'a [u8],
}

impl<'a> Element<'a> {
    fn of(text: &'a [u8]) -> Element<'a> {
        match canonical_int(text) {
            Some(number) => Element::of_int(number),
            None => Element::of_string(text),
        }
    }

    fn of_string(text: &'a [u8]) -> Element<'a> {
        let len = u32::try_from(text.len()).expect("an element is below 4 GiB");
        let (lead, head_len) = match len {
            0..=63 => (0x80 | len as u8, 1),
            64..=4095 => (0xe0 | (len >> 8) as u8, 2),
            _ => (0xf0, 5),
        };
        Element::new(lead, u64::from(len), head_len, text)
    }

    fn of_int(number: i64) -> Element<'a> {
        let (lead, head_len) = match number {
            0..=127 => (number as u8, 1),
            -4096..=4095 => (0xc0 | (number >> 8) as u8 & 0x1f, 2),
            -0x8000..=0x7fff => (0xf1, 3),
            -0x80_0000..=0x7f_ffff => (0xf2, 4),
            -0x8000_0000..=0x7fff_ffff => (0xf3, 5),
            _ => (0xf4, 9),
        };
        Element::new(lead, number as u64, head_len, &[])
    }

    fn new(lead: u8, number: u64, head_len: usize, text: &'a [u8]) -> Element<'a> {
        let mut head = [lead; HEAD_BYTES_MAX];
        head[1..].copy_from_slice(&number.to_le_bytes());
        Element {
            head,
            head_len,
            text,
        }
    }

    fn body_len(&self) -> usize {
        self.head_len + self.text.len()
    }

    /// Length of the whole element in bytes.
    fn len(&self) -> usize {
        self.body_len() + back_len(self.body_len())
    }

    /// Writes the whole element, which takes `out` exactly.
    fn write(&self, out: &mut [u8]) {
        let (body, back) = out.split_at_mut(self.body_len());
        body[..self.head_len].copy_from_slice(&self.head[..self.head_len]);
        body[self.head_len..].copy_from_slice(self.text);
        write_back(back, body.len());
    }

    /// Appends the whole element.
    fn push(&self, pack: &mut Vec<u8>) {
        pack.reserve(self.len());
        pack.extend_from_slice(&self.head[..self.head_len]);
        pack.extend_from_slice(self.text);
        let mut back = [0u8; BACK_BYTES_MAX];
        let back = &mut back[..back_len(self.body_len())];
        write_back(back, self.body_len());
        pack.extend_from_slice(back);
        count_up(pack, 1);
    }
}

/// How many bytes the length from behind takes. The odd limits are the format's: a group is added
/// one number before it is needed.
#[inline]
fn back_len(body_len: usize) -> usize {
    match body_len {
        0..=0x7f => 1,
        0x80..=0x3ffe => 2,
        0x3fff..=0x1f_fffe => 3,
        0x1f_ffff..=0x0fff_fffe => 4,
        _ => BACK_BYTES_MAX,
    }
}

/// Writes the length from behind, which takes `out` exactly.
fn write_back(out: &mut [u8], body_len: usize) {
    debug_assert_eq!(out.len(), back_len(body_len));
    let mut rest = body_len;
    for byte in out.iter_mut().rev() {
        *byte = 0x80 | (rest & 0x7f) as u8;
        rest >>= 7;
    }
    out[0] &= 0x7f;
}

/// The body's length as read from behind, of the element that ends before `end`.
#[inline]
fn read_back(pack: &[u8], end: usize) -> usize {
    let mut body_len = 0;
    for group in 0..BACK_BYTES_MAX {
        let byte = pack[end - 1 - group];
        body_len |= usize::from(byte & 0x7f) << (7 * group);
        if byte & 0x80 == 0 {
            break;
        }
    }
    body_len
}

/// An element as it was read.
struct Read<'a> {
    item: Item<'a>,
    body_len: usize,
    back_len: usize,
}

impl<'a> Read<'a> {
    /// The element in front of these bytes, up to its length from behind, or nothing when they start
    /// with none; they may be any bytes.
    #[inline]
    fn of(bytes: &'a [u8]) -> Option<Read<'a>> {
        match *bytes.first()? {
            lead @ 0..=0x7f => Some(Read::new(Item::Int(lead.into()), 1)),
            lead @ 0x80..=0xbf => {
                let body_len = 1 + usize::from(lead & 0x3f);
                Some(Read::new(Item::Bytes(bytes.get(1..body_len)?), body_len))
            }
            _ => Read::of_long(bytes),
        }
    }

    /// [`Read::of`] what is neither a tiny integer nor a short string.
    fn of_long(bytes: &'a [u8]) -> Option<Read<'a>> {
        let string = |head_len, len| {
            let text = bytes[head_len..].get(..len)?;
            Some(Read::new(Item::Bytes(text), head_len + len))
        };
        let int = |number, body_len| Some(Read::new(Item::Int(number), body_len));
        match *bytes {
            [lead @ 0xc0..=0xdf, low, ..] => {
                let high_bits = u16::from_be_bytes([lead, low]) << 3;
                int((high_bits as i16 >> 3).into(), 2)
            }
            [lead @ 0xe0..=0xef, low, ..] => {
                string(2, u16::from_be_bytes([lead & 0x0f, low]).into())
            }
            [0xf0, a, b, c, d, ..] => {
                let len = u32::from_le_bytes([a, b, c, d]);
                string(5, usize::try_from(len).ok()?)
            }
            [0xf1, a, b, ..] => int(i16::from_le_bytes([a, b]).into(), 3),
            [0xf2, a, b, c, ..] => int((i32::from_le_bytes([0, a, b, c]) >> 8).into(), 4),
            [0xf3, a, b, c, d, ..] => int(i32::from_le_bytes([a, b, c, d]).into(), 5),
            [0xf4, ..] => int(i64::from_le_bytes(bytes.get(1..9)?.try_into().ok()?), 9),
            _ => None,
        }
    }

    #[inline]
    fn new(item: Item<'a>, body_len: usize) -> Read<'a> {
        Read {
            item,
            body_len,
            back_len: back_len(body_len),
        }
    }

    /// The element at `at` of a sound pack.
    #[inline]
    fn at(pack: &'a [u8], at: usize) -> Read<'a> {
        Read::of(&pack[at..]).expect("an element starts here")
    }

    /// Length of the whole element in bytes.
    #[inline]
    fn len(&self) -> usize {
        self.body_len + self.back_len
    }
}

/// The empty pack.
pub(crate) fn new() -> Vec<u8> {
    vec![0; COUNT_BYTES]
}

/// How many elements there are.
#[inline]
pub(crate) fn len(pack: &[u8]) -> usize {
    match count(pack) {
        COUNT_UNKNOWN => walk_len(pack),
        count => usize::from(count),
    }
}

/// The count as it stands in front.
fn count(pack: &[u8]) -> u16 {
    u16::from_le_bytes([pack[0], pack[1]])
}

/// Sets the count in front.
fn set_count(pack: &mut [u8], elements: usize) {
    let count = if elements <= COUNT_MAX {
        elements as u16
    } else {
        COUNT_UNKNOWN
    };
    pack[..COUNT_BYTES].copy_from_slice(&count.to_le_bytes());
}

/// Counts `elements` more, unless the count is not known.
fn count_up(pack: &mut [u8], elements: usize) {
    let count = count(pack);
    if count != COUNT_UNKNOWN {
        set_count(pack, usize::from(count) + elements);
    }
}

/// How many elements there are, whatever the count in front says.
fn walk_len(pack: &[u8]) -> usize {
    let (mut at, mut elements) = (COUNT_BYTES, 0);
    while at < pack.len() {
        at += Read::at(pack, at).len();
        elements += 1;
    }
    elements
}

/// Offset of the first element.
#[inline]
pub(crate) fn first(pack: &[u8]) -> Option<usize> {
    (pack.len() > COUNT_BYTES).then_some(COUNT_BYTES)
}

/// Offset of the last element.
#[inline]
pub(crate) fn last(pack: &[u8]) -> Option<usize> {
    prev(pack, pack.len())
}

/// Offset of the element after the one at `at`.
#[inline]
pub(crate) fn next(pack: &[u8], at: usize) -> Option<usize> {
    let next = at + Read::at(pack, at).len();
    (next < pack.len()).then_some(next)
}

/// Offset of the element before the one at `at`; before the end of the pack that is the last one.
#[inline]
pub(crate) fn prev(pack: &[u8], at: usize) -> Option<usize> {
    debug_assert!(at <= pack.len());
    if at <= COUNT_BYTES {
        return None;
    }
    let body_len = read_back(pack, at);
    Some(at - body_len - back_len(body_len))
}

/// Offset of the element with this index, a negative one counted from the end; walked to from the
/// nearer end.
pub(crate) fn nth(pack: &[u8], index: i64) -> Option<usize> {
    let mut index = index;
    let count = count(pack);
    if count != COUNT_UNKNOWN {
        let count = i64::from(count);
        if index < -count || index >= count {
            return None;
        }
        // The other way of saying the same index, when that is the shorter way.
        if index > count / 2 {
            index -= count;
        } else if index < -(count / 2) {
            index += count;
        }
    }
    let mut at;
    if index >= 0 {
        at = first(pack)?;
        for _ in 0..index {
            at = next(pack, at)?;
        }
    } else {
        at = last(pack)?;
        for _ in index + 1..0 {
            at = prev(pack, at)?;
        }
    }
    Some(at)
}

/// The element at `at`.
#[inline]
pub(crate) fn item(pack: &[u8], at: usize) -> Item<'_> {
    Read::at(pack, at).item
}

/// The element at `at`, and the offset behind it.
#[inline]
pub(crate) fn read(pack: &[u8], at: usize) -> (Item<'_>, usize) {
    let element = Read::at(pack, at);
    (element.item, at + element.len())
}

/// Appends this text; the canonical text of an integer is stored as the integer.
pub(crate) fn push(pack: &mut Vec<u8>, text: &[u8]) {
    Element::of(text).push(pack);
}

/// Appends this integer.
pub(crate) fn push_int(pack: &mut Vec<u8>, number: i64) {
    Element::of_int(number).push(pack);
}

/// Makes the `old_len` bytes at `at` `new_len` long, moving what follows once.
fn resize_at(pack: &mut Vec<u8>, at: usize, old_len: usize, new_len: usize) {
    let pack_len = pack.len();
    if new_len > old_len {
        pack.resize(pack_len + (new_len - old_len), 0);
    }
    pack.copy_within(at + old_len..pack_len, at + new_len);
    pack.truncate(pack_len - old_len + new_len);
}

/// Inserts this text before the element at `at`; the end of the pack appends.
pub(crate) fn insert(pack: &mut Vec<u8>, at: usize, text: &[u8]) {
    insert_all(pack, at, &[text]);
}

/// Inserts these texts in their order before the element at `at`; the end of the pack appends.
pub(crate) fn insert_all(pack: &mut Vec<u8>, at: usize, texts: &[&[u8]]) {
    debug_assert!(at >= COUNT_BYTES);
    let added_len = texts.iter().map(|text| stored_len(text)).sum();
    resize_at(pack, at, 0, added_len);
    let mut rest = &mut pack[at..at + added_len];
    for text in texts {
        let element = Element::of(text);
        let (out, after) = rest.split_at_mut(element.len());
        element.write(out);
        rest = after;
    }
    count_up(pack, texts.len());
}

/// Puts this text in the place of the element at `at`.
pub(crate) fn replace(pack: &mut Vec<u8>, at: usize, text: &[u8]) {
    let element = Element::of(text);
    let (old_len, new_len) = (Read::at(pack, at).len(), element.len());
    if new_len != old_len {
        resize_at(pack, at, old_len, new_len);
    }
    element.write(&mut pack[at..at + new_len]);
}

/// Removes `elements` elements from the one at `at` on; they are there.
pub(crate) fn remove(pack: &mut Vec<u8>, at: usize, elements: usize) {
    let mut end = at;
    for _ in 0..elements {
        end += Read::at(pack, end).len();
    }
    resize_at(pack, at, end - at, 0);
    match count(pack) {
        // Once the pack is too short for an uncountable number, the count is known again.
        COUNT_UNKNOWN if pack.len() - COUNT_BYTES <= COUNT_MAX * ELEMENT_BYTES_MIN => {
            let elements = walk_len(pack);
            set_count(pack, elements);
        }
        COUNT_UNKNOWN => {}
        count => set_count(pack, usize::from(count) - elements),
    }
}

/// Offset of the first element of this text: the one at `from` is compared, then after every `skip`
/// elements the next. The end of the pack as `from` finds nothing.
#[inline]
pub(crate) fn find(pack: &[u8], text: &[u8], from: usize, skip: usize) -> Option<usize> {
    debug_assert!(from >= COUNT_BYTES);
    let number = canonical_int(text);
    let mut at = from;
    while at < pack.len() {
        let here = Read::at(pack, at);
        let is_found = match here.item {
            Item::Int(found) => number == Some(found),
            // Names of one length often differ in their last byte only.
            Item::Bytes(found) => {
                found.len() == text.len() && found.last() == text.last() && found == text
            }
        };
        if is_found {
            return Some(at);
        }
        at += here.len();
        for _ in 0..skip {
            if at >= pack.len() {
                return None;
            }
            at += Read::at(pack, at).len();
        }
    }
    None
}

/// The elements in their order.
#[inline]
pub(crate) fn iter(pack: &[u8]) -> Iter<'_> {
    Iter {
        pack,
        front: COUNT_BYTES,
        back: pack.len(),
        left: len(pack),
    }
}

/// The elements of a pack, from either end.
#[derive(Clone)]
pub(crate) struct Iter<'a> {
    pack: &'a [u8],
    /// Offset of the next element.
    front: usize,
    /// Offset after the next element from behind.
    back: usize,
    left: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        if self.front >= self.back {
            return None;
        }
        let element = Read::at(self.pack, self.front);
        self.front += element.len();
        self.left -= 1;
        Some(element.item)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.front >= self.back {
            return None;
        }
        self.back = prev(self.pack, self.back)?;
        self.left -= 1;
        Some(item(self.pack, self.back))
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// How many bytes this text takes as an element.
#[inline]
pub(crate) fn stored_len(text: &[u8]) -> usize {
    Element::of(text).len()
}

/// Whether these bytes are a whole valid pack; they may be any bytes. An element in a longer
/// encoding than it needs is valid.
pub(crate) fn check(bytes: &[u8]) -> bool {
    if bytes.len() < COUNT_BYTES {
        return false;
    }
    let mut rest = &bytes[COUNT_BYTES..];
    let mut elements = 0usize;
    while !rest.is_empty() {
        let Some(element) = Read::of(rest) else {
            return false;
        };
        let mut back = [0u8; BACK_BYTES_MAX];
        let back = &mut back[..element.back_len];
        write_back(back, element.body_len);
        let Some(after) = rest[element.body_len..].strip_prefix(&*back) else {
            return false;
        };
        rest = after;
        elements += 1;
    }
    let count = count(bytes);
    count == COUNT_UNKNOWN || usize::from(count) == elements
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Rng;

    const INTEGERS: [i64; 25] = [
        0,
        1,
        127,
        128,
        -1,
        4095,
        4096,
        -4096,
        -4097,
        32767,
        32768,
        -32768,
        -32769,
        8_388_607,
        8_388_608,
        -8_388_608,
        -8_388_609,
        2_147_483_647,
        2_147_483_648,
        -2_147_483_648,
        -2_147_483_649,
        i64::MAX,
        i64::MIN,
        1_000_000,
        -1_000_000_000_000,
    ];

    /// Text lengths on both sides of every limit of head and length from behind.
    const TEXT_LENS: [usize; 16] = [
        0, 1, 2, 63, 64, 125, 126, 4095, 4096, 16377, 16378, 16379, 65535, 65536, 70000, 21,
    ];

    fn some_text(rng: &mut Rng) -> Vec<u8> {
        match rng.below(8) {
            0 => INTEGERS[rng.below(25) as usize].to_string().into_bytes(),
            1 => {
                let bits = rng.below(64);
                ((rng.next_u64() as i64) >> bits).to_string().into_bytes()
            }
            2 if rng.below(12) == 0 => text_of_len(TEXT_LENS[rng.below(16) as usize], rng),
            2 => text_of_len(TEXT_LENS[rng.below(7) as usize], rng),
            3 => format!("{:03}", rng.below(100)).into_bytes(),
            4 => rng.below(20).to_string().into_bytes(),
            _ => text_of_len(rng.below(4) as usize, rng),
        }
    }

    fn text_of_len(len: usize, rng: &mut Rng) -> Vec<u8> {
        (0..len).map(|_| b'a' + rng.below(3) as u8).collect()
    }

    fn stored(text: &[u8]) -> Item<'_> {
        canonical_int(text).map_or(Item::Bytes(text), Item::Int)
    }

    fn packed(texts: &[Vec<u8>]) -> Vec<u8> {
        let mut pack = new();
        for text in texts {
            push(&mut pack, text);
        }
        pack
    }

    fn text_at(pack: &[u8], at: usize) -> Vec<u8> {
        item(pack, at).text(&mut IntBuffer::new()).to_vec()
    }

    fn offset(pack: &[u8], index: usize) -> usize {
        nth(pack, index as i64).unwrap_or(pack.len())
    }

    fn assert_holds(pack: &[u8], model: &[Vec<u8>]) {
        assert!(check(pack));
        assert_eq!(len(pack), model.len());
        let mut buffer = IntBuffer::new();
        assert_eq!(iter(pack).len(), model.len());
        for (item, text) in iter(pack).zip(model) {
            assert_eq!(item.text(&mut buffer), text);
            assert_eq!(item.len(), text.len());
            assert_eq!(item.int(), canonical_int(text));
            assert!(item.is(text));
        }
        assert!(
            iter(pack)
                .rev()
                .eq(model.iter().rev().map(|text| stored(text)))
        );
        let bytes: usize = model.iter().map(|text| stored_len(text)).sum();
        assert_eq!(pack.len(), COUNT_BYTES + bytes);
    }

    #[test]
    fn any_changes_leave_what_a_vector_would_hold() {
        for seed in 0..60 {
            let mut rng = Rng::seeded(seed);
            let (mut pack, mut model) = (new(), Vec::<Vec<u8>>::new());
            for _ in 0..150 {
                let index = rng.below(model.len() as u64 + 1) as usize;
                let at = offset(&pack, index);
                match rng.below(8) {
                    0 | 1 => {
                        let text = some_text(&mut rng);
                        push(&mut pack, &text);
                        model.push(text);
                    }
                    2 => {
                        let number = INTEGERS[rng.below(25) as usize];
                        push_int(&mut pack, number);
                        model.push(number.to_string().into_bytes());
                    }
                    3 => {
                        let text = some_text(&mut rng);
                        insert(&mut pack, at, &text);
                        model.insert(index, text);
                    }
                    4 => {
                        let count = rng.below(4);
                        let texts: Vec<_> = (0..count).map(|_| some_text(&mut rng)).collect();
                        let slices: Vec<_> = texts.iter().map(Vec::as_slice).collect();
                        insert_all(&mut pack, at, &slices);
                        model.splice(index..index, texts);
                    }
                    5 | 6 if index < model.len() => {
                        let text = some_text(&mut rng);
                        replace(&mut pack, at, &text);
                        model[index] = text;
                    }
                    _ => {
                        let count = rng.below(5).min((model.len() - index) as u64) as usize;
                        remove(&mut pack, at, count);
                        model.drain(index..index + count);
                    }
                }
                assert_holds(&pack, &model);
            }
        }
    }

    #[test]
    fn a_walk_either_way_meets_every_element() {
        let mut rng = Rng::seeded(1);
        for elements in 0..40 {
            let model: Vec<_> = (0..elements).map(|_| some_text(&mut rng)).collect();
            let pack = packed(&model);
            let (mut ahead, mut behind) = (Vec::new(), Vec::new());
            let mut at = first(&pack);
            while let Some(here) = at {
                ahead.push(text_at(&pack, here));
                at = next(&pack, here);
            }
            let mut at = last(&pack);
            while let Some(here) = at {
                behind.push(text_at(&pack, here));
                at = prev(&pack, here);
            }
            behind.reverse();
            assert_eq!(ahead, model);
            assert_eq!(behind, model);
        }
    }

    #[test]
    fn an_index_counts_from_either_end() {
        let mut rng = Rng::seeded(2);
        for elements in 0..30i64 {
            let model: Vec<_> = (0..elements).map(|_| some_text(&mut rng)).collect();
            let pack = packed(&model);
            for index in 0..elements {
                let text = &model[index as usize];
                assert_eq!(&text_at(&pack, nth(&pack, index).unwrap()), text);
                assert_eq!(nth(&pack, index), nth(&pack, index - elements));
            }
            for index in [elements, -elements - 1, i64::MAX, i64::MIN] {
                assert_eq!(nth(&pack, index), None);
            }
        }
    }

    #[test]
    fn a_search_finds_the_first_equal_element_that_is_not_skipped() {
        let mut rng = Rng::seeded(3);
        for _ in 0..400 {
            let model: Vec<_> = (0..rng.below(30)).map(|_| some_text(&mut rng)).collect();
            let pack = packed(&model);
            let from = rng.below(model.len() as u64 + 1) as usize;
            let skip = rng.below(4) as usize;
            let text = match model.first() {
                Some(_) if rng.below(3) > 0 => &model[rng.below(model.len() as u64) as usize],
                _ => &some_text(&mut rng),
            };
            let found = (from..model.len())
                .step_by(skip + 1)
                .find(|&i| model[i] == *text);
            assert_eq!(
                find(&pack, text, offset(&pack, from), skip),
                found.map(|index| offset(&pack, index))
            );
        }
    }

    #[test]
    fn the_two_ends_of_an_iterator_meet_once() {
        let mut rng = Rng::seeded(4);
        for _ in 0..100 {
            let model: Vec<_> = (0..rng.below(20)).map(|_| some_text(&mut rng)).collect();
            let pack = packed(&model);
            let (mut items, mut texts) = (iter(&pack), model.iter());
            for _ in 0..model.len() + 2 {
                let (item, text) = match rng.below(2) {
                    0 => (items.next(), texts.next()),
                    _ => (items.next_back(), texts.next_back()),
                };
                assert_eq!(item, text.map(|text| stored(text)));
                assert_eq!(items.len(), texts.len());
            }
        }
    }

    #[test]
    fn every_length_and_width_is_read_as_it_was_written() {
        let mut rng = Rng::seeded(5);
        let mut model: Vec<_> = INTEGERS
            .map(|number| number.to_string().into_bytes())
            .into();
        model.extend(TEXT_LENS.map(|len| text_of_len(len, &mut rng)));
        model.push(text_of_len(0x1f_ffff, &mut rng));
        let pack = packed(&model);
        assert_holds(&pack, &model);
    }

    #[test]
    fn the_bytes_are_those_of_listpack_elements() {
        let cases: [(&[u8], &[u8]); 12] = [
            (b"127", &[0x7f, 1]),
            (b"", &[0x80, 1]),
            (b"ab", &[0x82, b'a', b'b', 3]),
            (b"-1", &[0xdf, 0xff, 2]),
            (b"128", &[0xc0, 0x80, 2]),
            (b"4095", &[0xcf, 0xff, 2]),
            (b"-4096", &[0xd0, 0x00, 2]),
            (b"4096", &[0xf1, 0x00, 0x10, 3]),
            (b"32768", &[0xf2, 0x00, 0x80, 0x00, 4]),
            (b"-8388609", &[0xf3, 0xff, 0xff, 0x7f, 0xff, 5]),
            (b"4294967296", &[0xf4, 0, 0, 0, 0, 1, 0, 0, 0, 9]),
            (b"01", &[0x82, b'0', b'1', 3]),
        ];
        for (text, element) in cases {
            assert_eq!(packed(&[text.to_vec()])[COUNT_BYTES..], *element);
        }
        let heads_and_backs: [(usize, &[u8], &[u8]); 6] = [
            (64, &[0xe0, 64], &[66]),
            (126, &[0xe0, 126], &[0x01, 0x80]),
            (4095, &[0xef, 0xff], &[0x20, 0x81]),
            (4096, &[0xf0, 0, 0x10, 0, 0], &[0x20, 0x85]),
            (16377, &[0xf0, 0xf9, 0x3f, 0, 0], &[0x7f, 0xfe]),
            (16378, &[0xf0, 0xfa, 0x3f, 0, 0], &[0x00, 0xff, 0xff]),
        ];
        for (len, head, back) in heads_and_backs {
            let pack = packed(&[vec![b'x'; len]]);
            assert_eq!(pack.len(), COUNT_BYTES + head.len() + len + back.len());
            assert!(pack[COUNT_BYTES..].starts_with(head));
            assert!(pack.ends_with(back));
        }
    }

    #[test]
    fn more_elements_than_the_count_can_tell_are_counted_by_walking() {
        let mut pack = new();
        for number in 0..COUNT_MAX as i64 {
            push_int(&mut pack, number % 100);
        }
        assert_eq!((count(&pack), len(&pack)), (65534, 65534));
        push(&mut pack, b"x");
        assert_eq!((count(&pack), len(&pack)), (COUNT_UNKNOWN, 65535));
        insert(&mut pack, COUNT_BYTES, b"first");
        assert_eq!(len(&pack), 65536);
        assert_eq!(iter(&pack).len(), 65536);
        assert!(check(&pack));
        assert_eq!(text_at(&pack, nth(&pack, -65536).unwrap()), b"first");
        assert_eq!(text_at(&pack, nth(&pack, 65535).unwrap()), b"x");
        assert_eq!((nth(&pack, 65536), nth(&pack, -65537)), (None, None));
        assert_eq!(nth(&pack, i64::MIN), None);
        remove(&mut pack, COUNT_BYTES, 10);
        assert_eq!((count(&pack), len(&pack)), (65526, 65526));
    }

    #[test]
    fn a_pack_emptied_is_the_empty_pack() {
        let mut pack = packed(&[b"a".to_vec(), b"7".to_vec()]);
        remove(&mut pack, COUNT_BYTES, 2);
        assert_eq!(pack, new());
        assert_eq!(
            (first(&pack), last(&pack), nth(&pack, 0)),
            (None, None, None)
        );
        assert_eq!(find(&pack, b"a", COUNT_BYTES, 0), None);
    }

    #[test]
    fn a_longer_encoding_than_needed_is_read_and_found() {
        let pack = [
            4, 0, 0x81, b'5', 2, 0xe0, 1, b'a', 3, 0xf0, 1, 0, 0, 0, b'b', 6, 0xf4, 9, 0, 0, 0, 0,
            0, 0, 0, 9,
        ];
        assert!(check(&pack));
        assert_eq!(item(&pack, 2).int(), Some(5));
        for (index, text) in [b"5", b"a", b"b", b"9"].into_iter().enumerate() {
            assert_eq!(
                find(&pack, text, COUNT_BYTES, 0),
                Some(offset(&pack, index))
            );
            assert_eq!(text_at(&pack, offset(&pack, index)), text);
        }
    }

    #[test]
    fn broken_bytes_are_refused() {
        let whole = packed(&[b"abc".to_vec(), b"70000".to_vec(), vec![b'x'; 200]]);
        for len in 0..whole.len() {
            assert!(!check(&whole[..len]), "cut at {len}");
        }
        let broken: [&[u8]; 9] = [
            &[1, 0],
            &[0, 0, 5, 1],
            &[1, 0, 0xf5, 1],
            &[1, 0, 0xff],
            &[1, 0, 5, 2],
            &[1, 0, 0xf0, 0xff, 0xff, 0xff, 0xff, b'a', 1],
            &[1, 0, 0xf0, 1],
            &[1, 0, 0xe1],
            &[1, 0, 5, 0x81],
        ];
        for bytes in broken {
            assert!(!check(bytes), "{bytes:?}");
        }
    }

    #[test]
    fn bytes_that_pass_the_check_can_be_walked_whatever_they_are() {
        let mut rng = Rng::seeded(6);
        let mut passed = 0;
        for _ in 0..60_000 {
            let texts: Vec<_> = (0..rng.below(6))
                .map(|_| text_of_len(3, &mut rng))
                .collect();
            let mut bytes = packed(&texts);
            for _ in 0..rng.below(4) {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = rng.next_u64() as u8;
            }
            if check(&bytes) {
                passed += 1;
                let ahead: Vec<_> = iter(&bytes).collect();
                let mut behind: Vec<_> = iter(&bytes).rev().collect();
                behind.reverse();
                assert_eq!(ahead, behind);
                assert_eq!(ahead.len(), len(&bytes));
            }
        }
        assert!(passed > 1000);
    }
}
