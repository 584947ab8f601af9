//! Owns reading a payload's body: lengths, strings, numbers, and how far they may expand.
//! Never reserves for what is only announced.
//! Source: the RDB format.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::{Error, kind, lzf};

/// How many times its own length a payload may expand to, over what it holds plainly.
/// A run of equal bytes compresses to 1 in 88; a stream of short values under long names comes after that.
pub const EXPANSION_RATIO_MAX: usize = 256;
/// Bytes any payload may expand to, however short it is.
pub const EXPANSION_BYTES_MIN: usize = 1 << 20;

/// What is left to read of a body.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    expansion_bytes_left: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Reader<'a> {
        let expansion_bytes_left = body
            .len()
            .saturating_mul(EXPANSION_RATIO_MAX)
            .max(EXPANSION_BYTES_MIN);
        Reader {
            rest: body,
            expansion_bytes_left,
        }
    }

    /// Checks that nothing is left.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Error::Format)
        }
    }

    /// Checks that so much more may be made of bytes that stand for many, and takes it from the allowance.
    pub(crate) fn expand(&mut self, bytes: usize) -> Result<(), Error> {
        let left = self.expansion_bytes_left.checked_sub(bytes);
        self.expansion_bytes_left = left.ok_or(Error::Format)?;
        Ok(())
    }

    pub(crate) fn bytes(&mut self, len: u64) -> Result<&'a [u8], Error> {
        let len = usize::try_from(len).map_err(|_| Error::Format)?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Error::Format)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Error::Format)?;
        self.rest = rest;
        Ok(*bytes)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.array::<1>()?[0])
    }

    /// A little-endian number of 64 bits.
    pub(crate) fn i64(&mut self) -> Result<i64, Error> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// A length, or any number that is written as one.
    pub(crate) fn len(&mut self) -> Result<u64, Error> {
        let first = self.byte()?;
        self.len_after(first)
    }

    fn len_after(&mut self, first: u8) -> Result<u64, Error> {
        let low = first & 0x3f;
        Ok(match first {
            _ if first >> 6 == kind::LEN_6_BITS => u64::from(low),
            _ if first >> 6 == kind::LEN_14_BITS => {
                u64::from(u16::from_be_bytes([low, self.byte()?]))
            }
            kind::LEN_32_BITS => u64::from(u32::from_be_bytes(self.array()?)),
            kind::LEN_64_BITS => u64::from_be_bytes(self.array()?),
            _ => return Err(Error::Format),
        })
    }

    /// How many things of at least `bytes_each_min` bytes follow; there is room for them.
    pub(crate) fn count(&mut self, bytes_each_min: usize) -> Result<usize, Error> {
        let count = usize::try_from(self.len()?).map_err(|_| Error::Format)?;
        if count > self.rest.len() / bytes_each_min {
            return Err(Error::Format);
        }
        Ok(count)
    }

    /// As [`Reader::count`], for collections: there is at least one.
    pub(crate) fn count_some(&mut self, bytes_each_min: usize) -> Result<usize, Error> {
        match self.count(bytes_each_min)? {
            0 => Err(Error::Format),
            count => Ok(count),
        }
    }

    /// A string, whatever its encoding.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, [u8]>, Error> {
        let first = self.byte()?;
        if first >> 6 != kind::LEN_SPECIAL {
            let len = self.len_after(first)?;
            return Ok(Cow::Borrowed(self.bytes(len)?));
        }
        let number = match first & 0x3f {
            kind::STRING_INT_8 => i32::from(i8::from_le_bytes(self.array()?)),
            kind::STRING_INT_16 => i32::from(i16::from_le_bytes(self.array()?)),
            kind::STRING_INT_32 => i32::from_le_bytes(self.array()?),
            kind::STRING_LZF => return self.compressed().map(Cow::Owned),
            _ => return Err(Error::Format),
        };
        let text = itoa::Buffer::new().format(number).as_bytes().to_vec();
        Ok(Cow::Owned(text))
    }

    fn compressed(&mut self) -> Result<Vec<u8>, Error> {
        let compressed_len = self.len()?;
        let len = usize::try_from(self.len()?).map_err(|_| Error::Format)?;
        let compressed = self.bytes(compressed_len)?;
        self.expand(len)?;
        lzf::decompress(compressed, len)
    }
}

/// Checks that no name is there twice.
pub(crate) fn check_distinct<'n>(
    names: impl ExactSizeIterator<Item = &'n [u8]>,
) -> Result<(), Error> {
    let mut seen = HashSet::with_capacity(names.len());
    for name in names {
        if !seen.insert(name) {
            return Err(Error::Format);
        }
    }
    Ok(())
}
