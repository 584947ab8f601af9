//! Owns listpacks: the elements of small collections in one block, each with its length behind it.
//! Never trusts a length, a count or a back length that another server wrote.
//! Source: the listpack format of Redis.

use store::canonical_int;

use crate::Error;

const HEADER_BYTES: usize = 6;
const END: u8 = 0xff;
/// A count of elements that says that they have to be counted.
const COUNT_UNKNOWN: u16 = u16::MAX;

/// An element of a listpack or a ziplist.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Element<'a> {
    Bytes(&'a [u8]),
    Int(i64),
}

impl Element<'_> {
    /// The element as a string.
    pub(crate) fn text<'t>(&'t self, buffer: &'t mut itoa::Buffer) -> &'t [u8] {
        match self {
            Element::Bytes(bytes) => bytes,
            Element::Int(number) => buffer.format(*number).as_bytes(),
        }
    }

    /// The element as an integer.
    pub(crate) fn int(&self) -> Result<i64, Error> {
        match self {
            Element::Bytes(bytes) => canonical_int(bytes).ok_or(Error::Format),
            Element::Int(number) => Ok(*number),
        }
    }
}

/// The elements of a listpack in order. An error ends them.
pub(crate) struct Elements<'a> {
    rest: &'a [u8],
    announced: Option<u16>,
    seen: usize,
}

impl<'a> Elements<'a> {
    /// Checks the frame; the elements are checked as they are reached.
    pub(crate) fn new(listpack: &'a [u8]) -> Result<Elements<'a>, Error> {
        let (header, elements) = listpack
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(Error::Format)?;
        let [b0, b1, b2, b3, c0, c1] = *header;
        let total_bytes = u32::from_le_bytes([b0, b1, b2, b3]);
        let count = u16::from_le_bytes([c0, c1]);
        match elements {
            [rest @ .., END] if usize::try_from(total_bytes) == Ok(listpack.len()) => {
                Ok(Elements {
                    rest,
                    announced: (count != COUNT_UNKNOWN).then_some(count),
                    seen: 0,
                })
            }
            _ => Err(Error::Format),
        }
    }

    /// The next element, which there must be.
    pub(crate) fn need(&mut self) -> Result<Element<'a>, Error> {
        self.next().ok_or(Error::Format)?
    }

    /// The next element, which must be an integer.
    pub(crate) fn need_int(&mut self) -> Result<i64, Error> {
        self.need()?.int()
    }

    fn step(&mut self) -> Option<Element<'a>> {
        let (head_bytes, data_bytes) = extent(self.rest)?;
        let len = head_bytes.checked_add(data_bytes)?;
        let (element, rest) = self.rest.split_at_checked(len)?;
        let back = BackLen::of(len);
        self.rest = rest.strip_prefix(back.bytes())?;
        self.seen += 1;
        let data = &element[head_bytes..];
        Some(match element[0] {
            first if first < 0x80 => Element::Int(i64::from(first)),
            first if first & 0xe0 == 0xc0 => Element::Int(int_13_bits(first, data[0])),
            0xf1..=0xf4 => Element::Int(int_le(data)),
            _ => Element::Bytes(data),
        })
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Element<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            // Once: whoever goes on after an error is at the end.
            let announced = self.announced.take().map_or(self.seen, usize::from);
            return (announced != self.seen).then_some(Err(Error::Format));
        }
        let element = self.step();
        if element.is_none() {
            self.rest = &[];
            self.announced = None;
        }
        Some(element.ok_or(Error::Format))
    }
}

/// How many bytes of an element say what it is, and how many are its data.
fn extent(element: &[u8]) -> Option<(usize, usize)> {
    let first = *element.first()?;
    Some(match first {
        0x00..=0x7f => (1, 0),
        0x80..=0xbf => (1, usize::from(first & 0x3f)),
        0xc0..=0xdf => (1, 1),
        0xe0..=0xef => {
            let len = u16::from_be_bytes([first & 0x0f, *element.get(1)?]);
            (2, usize::from(len))
        }
        0xf0 => {
            let len = element.get(1..5)?.first_chunk()?;
            (5, usize::try_from(u32::from_le_bytes(*len)).ok()?)
        }
        0xf1 => (1, 2),
        0xf2 => (1, 3),
        0xf3 => (1, 4),
        0xf4 => (1, 8),
        _ => return None,
    })
}

fn int_13_bits(first: u8, low: u8) -> i64 {
    let raw = u16::from_be_bytes([first & 0x1f, low]);
    // Shifted up and down again to extend the sign.
    i64::from((raw << 3) as i16 >> 3)
}

/// A little-endian signed integer of at most 8 bytes.
pub(crate) fn int_le(bytes: &[u8]) -> i64 {
    let mut all = [0; 8];
    all[8 - bytes.len()..].copy_from_slice(bytes);
    i64::from_le_bytes(all) >> (64 - 8 * bytes.len())
}

/// The length of an element, written so that it is read backwards: seven bits a byte, the first byte
/// without a continuation bit.
struct BackLen {
    bytes: [u8; 5],
    len: usize,
}

impl BackLen {
    fn of(element_bytes: usize) -> BackLen {
        // The largest number of each width is written with a byte more.
        let len = match element_bytes {
            0..=127 => 1,
            128..=16_382 => 2,
            16_383..=2_097_150 => 3,
            2_097_151..=268_435_454 => 4,
            _ => 5,
        };
        let mut bytes = [0; 5];
        for (place, byte) in bytes[..len].iter_mut().rev().enumerate() {
            let continues = if place + 1 < len { 0x80 } else { 0 };
            *byte = (element_bytes >> (7 * place)) as u8 & 0x7f | continues;
        }
        BackLen { bytes, len }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// A listpack that is being written.
pub(crate) struct Builder {
    bytes: Vec<u8>,
    count: usize,
}

impl Builder {
    pub(crate) fn new() -> Builder {
        Builder {
            bytes: vec![0; HEADER_BYTES],
            count: 0,
        }
    }

    /// How many bytes it takes so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Appends a string, as an integer where it reads like one.
    pub(crate) fn push(&mut self, text: &[u8]) {
        if let Some(number) = canonical_int(text) {
            return self.push_int(number);
        }
        let start = self.bytes.len();
        match text.len() {
            len @ 0..=0x3f => self.bytes.push(0x80 | len as u8),
            len @ 0x40..=0xfff => self
                .bytes
                .extend_from_slice(&(0xe000 | len as u16).to_be_bytes()),
            len => {
                let len = u32::try_from(len).expect("a listpack is shorter than 4 GiB");
                self.bytes.push(0xf0);
                self.bytes.extend_from_slice(&len.to_le_bytes());
            }
        }
        self.bytes.extend_from_slice(text);
        self.end_element(start);
    }

    pub(crate) fn push_int(&mut self, number: i64) {
        let start = self.bytes.len();
        let (first, width) = match number {
            0..=0x7f => (number as u8, 0),
            -0x1000..=0xfff => {
                let raw = number as u16 & 0x1fff | 0xc000;
                self.bytes.extend_from_slice(&raw.to_be_bytes());
                return self.end_element(start);
            }
            -0x8000..=0x7fff => (0xf1, 2),
            -0x80_0000..=0x7f_ffff => (0xf2, 3),
            -0x8000_0000..=0x7fff_ffff => (0xf3, 4),
            _ => (0xf4, 8),
        };
        self.bytes.push(first);
        self.bytes.extend_from_slice(&number.to_le_bytes()[..width]);
        self.end_element(start);
    }

    fn end_element(&mut self, start: usize) {
        let back = BackLen::of(self.bytes.len() - start);
        self.bytes.extend_from_slice(back.bytes());
        self.count += 1;
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.bytes.push(END);
        let total = u32::try_from(self.bytes.len()).expect("a listpack is shorter than 4 GiB");
        let count = u16::try_from(self.count).unwrap_or(COUNT_UNKNOWN);
        self.bytes[..4].copy_from_slice(&total.to_le_bytes());
        self.bytes[4..HEADER_BYTES].copy_from_slice(&count.to_le_bytes());
        self.bytes
    }
}
