//! Owns the older blocks of elements, ziplists and zipmaps: reading them.
//! Never writes one: no server of today does.
//! Source: the ziplist and zipmap formats of Redis before 7.0.

use crate::Error;
use crate::listpack::{Element, int_le};

const HEADER_BYTES: usize = 10;
const END: u8 = 0xff;
/// A count of elements that says that they have to be counted.
const COUNT_UNKNOWN: u16 = u16::MAX;
/// The first byte of a length of the element before that takes 4 more.
const PREVIOUS_IS_LONG: u8 = 0xfe;

/// The elements of a ziplist in order. An error ends them.
pub(crate) struct Elements<'a> {
    rest: &'a [u8],
    announced: Option<u16>,
    seen: usize,
    /// Where the last element begins, as the header says.
    tail: usize,
    /// Where `rest` begins.
    at: usize,
    previous_bytes: usize,
}

impl<'a> Elements<'a> {
    /// Checks the frame; the elements are checked as they are reached.
    pub(crate) fn new(ziplist: &'a [u8]) -> Result<Elements<'a>, Error> {
        let (header, elements) = ziplist
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(Error::Format)?;
        let [b0, b1, b2, b3, t0, t1, t2, t3, c0, c1] = *header;
        let total_bytes = u32::from_le_bytes([b0, b1, b2, b3]);
        let tail = u32::from_le_bytes([t0, t1, t2, t3]);
        let count = u16::from_le_bytes([c0, c1]);
        match elements {
            [rest @ .., END] if usize::try_from(total_bytes) == Ok(ziplist.len()) => Ok(Elements {
                rest,
                announced: (count != COUNT_UNKNOWN).then_some(count),
                seen: 0,
                tail: usize::try_from(tail).map_err(|_| Error::Format)?,
                at: HEADER_BYTES,
                previous_bytes: 0,
            }),
            _ => Err(Error::Format),
        }
    }

    fn step(&mut self) -> Option<Element<'a>> {
        let (previous_bytes, behind) = match self.rest {
            [PREVIOUS_IS_LONG, b0, b1, b2, b3, behind @ ..] => {
                let len = u32::from_le_bytes([*b0, *b1, *b2, *b3]);
                (usize::try_from(len).ok()?, behind)
            }
            [len, behind @ ..] if *len < PREVIOUS_IS_LONG => (usize::from(*len), behind),
            _ => return None,
        };
        if previous_bytes != self.previous_bytes {
            return None;
        }
        let (element, behind) = element(behind)?;
        self.previous_bytes = self.rest.len() - behind.len();
        if behind.is_empty() && self.at != self.tail {
            return None;
        }
        self.at += self.previous_bytes;
        self.rest = behind;
        self.seen += 1;
        Some(element)
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

/// The element at the start of `bytes`, behind the length of the one before, and what follows it.
fn element(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (first, behind) = bytes.split_first()?;
    let int = |width: usize| {
        let (number, behind) = behind.split_at_checked(width)?;
        Some((Element::Int(int_le(number)), behind))
    };
    let (len, behind) = match first {
        0x00..=0x3f => (usize::from(*first), behind),
        0x40..=0x7f => {
            let (low, behind) = behind.split_first()?;
            let len = u16::from_be_bytes([first & 0x3f, *low]);
            (usize::from(len), behind)
        }
        0x80..=0xbf => {
            let (len, behind) = behind.split_first_chunk()?;
            (usize::try_from(u32::from_be_bytes(*len)).ok()?, behind)
        }
        0xc0 => return int(2),
        0xd0 => return int(4),
        0xe0 => return int(8),
        0xf0 => return int(3),
        0xfe => return int(1),
        0xf1..=0xfd => return Some((Element::Int(i64::from(first & 0x0f) - 1), behind)),
        _ => return None,
    };
    let (string, behind) = behind.split_at_checked(len)?;
    Some((Element::Bytes(string), behind))
}

/// The first byte of a zipmap's length that takes 4 more.
const ZIPMAP_LEN_IS_LONG: u8 = 0xfe;

/// Fields and values of a zipmap in turn. An error ends them.
pub(crate) struct ZipmapElements<'a> {
    rest: &'a [u8],
    announced: Option<u8>,
    seen: usize,
}

impl<'a> ZipmapElements<'a> {
    pub(crate) fn new(zipmap: &'a [u8]) -> Result<ZipmapElements<'a>, Error> {
        match zipmap {
            [count, rest @ .., END] => Ok(ZipmapElements {
                rest,
                announced: (*count < ZIPMAP_LEN_IS_LONG).then_some(*count),
                seen: 0,
            }),
            _ => Err(Error::Format),
        }
    }

    fn step(&mut self) -> Option<Element<'a>> {
        let (len, behind) = match self.rest {
            [ZIPMAP_LEN_IS_LONG, b0, b1, b2, b3, behind @ ..] => {
                let len = u32::from_le_bytes([*b0, *b1, *b2, *b3]);
                (usize::try_from(len).ok()?, behind)
            }
            [len, behind @ ..] if *len < ZIPMAP_LEN_IS_LONG => (usize::from(*len), behind),
            _ => return None,
        };
        let is_value = self.seen % 2 == 1;
        // Behind a value some bytes may lie unused.
        let (unused, behind) = if is_value {
            behind
                .split_first()
                .map(|(n, rest)| (usize::from(*n), rest))?
        } else {
            (0, behind)
        };
        let (string, behind) = behind.split_at_checked(len)?;
        self.rest = behind.get(unused..)?;
        self.seen += 1;
        Some(Element::Bytes(string))
    }
}

impl<'a> Iterator for ZipmapElements<'a> {
    type Item = Result<Element<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            let seen = self.seen / 2;
            let announced = self.announced.take().map_or(seen, usize::from);
            return (announced != seen).then_some(Err(Error::Format));
        }
        let element = self.step();
        if element.is_none() {
            self.rest = &[];
            self.announced = None;
        }
        Some(element.ok_or(Error::Format))
    }
}
