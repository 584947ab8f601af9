//! Owns an element of a collection as a reader sees it: a string in place, or an integer.
//! Never happens here: how it is stored.
//! Source: as OBJECT ENCODING tells integers from strings.
#![forbid(unsafe_code)]

use crate::value::{IntText, Value, canonical_int};

/// An element, read in place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Item<'a> {
    /// A string.
    Bytes(&'a [u8]),
    /// The canonical text of this integer.
    Int(i64),
}

/// Room for the text of an integer element.
#[derive(Default)]
pub struct IntBuffer(Option<IntText>);

impl IntBuffer {
    /// An empty buffer, to be passed to [`Item::text`] any number of times.
    #[inline]
    pub fn new() -> IntBuffer {
        IntBuffer(None)
    }
}

impl<'a> Item<'a> {
    /// The element's text; an integer's is written into the buffer.
    #[inline]
    pub fn text<'b>(self, buffer: &'b mut IntBuffer) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Item::Bytes(bytes) => bytes,
            Item::Int(number) => buffer.0.insert(IntText::of(number)).bytes(),
        }
    }

    /// Whether the element's text is this one.
    #[inline]
    pub fn is(&self, text: &[u8]) -> bool {
        match *self {
            Item::Bytes(bytes) => bytes == text,
            Item::Int(number) => canonical_int(text) == Some(number),
        }
    }

    /// Whether the element's text is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Length of the element's text in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        match *self {
            Item::Bytes(bytes) => bytes.len(),
            Item::Int(number) => Value::Int(number).len(),
        }
    }

    /// The integer whose canonical text the element is.
    #[inline]
    pub fn int(&self) -> Option<i64> {
        match *self {
            // Only a foreign pack holds such a text as a string.
            Item::Bytes(bytes) => canonical_int(bytes),
            Item::Int(number) => Some(number),
        }
    }
}

impl<'a> From<Value<'a>> for Item<'a> {
    fn from(value: Value<'a>) -> Item<'a> {
        match value {
            Value::Bytes { bytes, .. } => Item::Bytes(bytes),
            Value::Int(number) => Item::Int(number),
        }
    }
}
