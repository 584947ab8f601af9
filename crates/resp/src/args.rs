//! The arguments of one command: ranges of a buffer, borrowed or owned.
//! Never copies a borrowed argument and never interprets one.
//! Source: our own; a command that stays on its shard is read where it arrived.

use std::fmt;
use std::ops::Index;

/// Where one argument lies in a buffer of less than 4 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Span {
    /// Position of the first byte.
    pub start: u32,
    /// Length in bytes.
    pub len: u32,
}

/// The arguments of one command, its name first, as ranges of one buffer.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// Arguments at `spans` of `bytes`. Every span must lie within `bytes`.
    #[inline]
    pub fn new(bytes: &'a [u8], spans: &'a [Span]) -> Self {
        debug_assert!(
            spans
                .iter()
                .all(|s| s.start as usize + s.len as usize <= bytes.len()),
            "an argument reaches past its buffer"
        );
        Args { bytes, spans }
    }

    /// How many arguments there are, the name included.
    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is not even a name.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Argument `i`, if there are that many.
    #[inline]
    pub fn get(&self, i: usize) -> Option<&'a [u8]> {
        self.spans.get(i).map(|&span| slice(self.bytes, span))
    }

    /// Argument `i`, with the lifetime of the buffer.
    ///
    /// # Panics
    /// When there are not that many: the arity was checked before.
    #[inline]
    pub fn at(&self, i: usize) -> &'a [u8] {
        slice(self.bytes, self.spans[i])
    }

    /// The arguments in order.
    #[inline]
    pub fn iter(
        &self,
    ) -> impl ExactSizeIterator<Item = &'a [u8]> + DoubleEndedIterator + Clone + use<'a> {
        let bytes = self.bytes;
        self.spans.iter().map(move |&span| slice(bytes, span))
    }

    /// The arguments from `i` on; none when there are not that many.
    #[inline]
    pub fn from(&self, i: usize) -> Args<'a> {
        Args {
            bytes: self.bytes,
            spans: self.spans.get(i..).unwrap_or_default(),
        }
    }

    /// The ranges, as positions in [`Args::bytes`].
    #[inline]
    pub fn spans(&self) -> &'a [Span] {
        self.spans
    }

    /// The whole buffer the ranges refer to.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

#[inline]
fn slice(bytes: &[u8], span: Span) -> &[u8] {
    let start = span.start as usize;
    &bytes[start..start + span.len as usize]
}

impl Index<usize> for Args<'_> {
    type Output = [u8];

    #[inline]
    fn index(&self, i: usize) -> &[u8] {
        self.at(i)
    }
}

impl fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        for arg in self.iter() {
            list.entry(&format_args!("{}", arg.escape_ascii()));
        }
        list.finish()
    }
}

/// Arguments that own their bytes, side by side in one block.
///
/// Used when a command goes to another shard, and for inline commands, whose
/// quoted arguments are not ranges of what the client sent.
#[derive(Default, Clone, Debug, PartialEq, Eq)]
pub struct OwnedArgs {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl OwnedArgs {
    /// No arguments, and no memory yet.
    pub const fn new() -> Self {
        OwnedArgs {
            bytes: Vec::new(),
            spans: Vec::new(),
        }
    }

    /// A copy of `args`.
    pub fn from_args(args: Args<'_>) -> Self {
        let bytes = args.iter().map(<[u8]>::len).sum();
        let mut owned = OwnedArgs {
            bytes: Vec::with_capacity(bytes),
            spans: Vec::with_capacity(args.len()),
        };
        for arg in args.iter() {
            owned.push(arg);
        }
        owned
    }

    /// Bytes reserved for the arguments and for where they lie.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.spans.capacity() * size_of::<Span>()
    }

    /// Adds one argument.
    ///
    /// # Panics
    /// When all arguments together would reach 4 GiB; a decoded command never does.
    pub fn push(&mut self, arg: &[u8]) {
        self.bytes.extend_from_slice(arg);
        self.close_arg();
    }

    /// Adds a byte to the argument that [`OwnedArgs::close_arg`] will end.
    pub(crate) fn push_byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// Makes an argument of the bytes added since the last one.
    pub(crate) fn close_arg(&mut self) {
        let start = self.spans.last().map_or(0, |last| last.start + last.len);
        let end = u32::try_from(self.bytes.len()).expect("a command is shorter than 4 GiB");
        self.spans.push(Span {
            start,
            len: end - start,
        });
    }

    /// The arguments as ranges of the owned block.
    #[inline]
    pub fn as_args(&self) -> Args<'_> {
        Args {
            bytes: &self.bytes,
            spans: &self.spans,
        }
    }

    /// How many arguments there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are no arguments.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Removes all arguments and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
    }

    /// Bytes of heap memory held, used or not.
    pub fn capacity_bytes(&self) -> usize {
        self.bytes.capacity() + self.spans.capacity() * size_of::<Span>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(args: &[&[u8]]) -> OwnedArgs {
        let mut owned = OwnedArgs::new();
        for arg in args {
            owned.push(arg);
        }
        owned
    }

    #[test]
    fn arguments_are_read_in_order_from_both_ends() {
        let owned = owned(&[b"SET", b"", b"v"]);
        let args = owned.as_args();
        assert_eq!(
            args.iter().collect::<Vec<_>>(),
            [&b"SET"[..], &b""[..], &b"v"[..]]
        );
        assert_eq!(args.iter().next_back(), Some(&b"v"[..]));
        assert_eq!(args.iter().len(), 3);
        assert_eq!(&args[2], b"v");
        assert_eq!(args.get(3), None);
    }

    #[test]
    fn the_tail_of_nothing_is_empty() {
        let owned = owned(&[b"a", b"b"]);
        let args = owned.as_args();
        assert_eq!(args.from(1).at(0), b"b");
        assert!(args.from(2).is_empty());
        assert!(args.from(usize::MAX).is_empty());
    }

    #[test]
    fn a_copy_holds_only_the_bytes_of_its_arguments() {
        let buffer = b"....keyvalue....";
        let spans = [Span { start: 7, len: 5 }, Span { start: 4, len: 3 }];
        let copy = OwnedArgs::from_args(Args::new(buffer, &spans));
        assert_eq!(copy.as_args().bytes(), b"valuekey");
        assert_eq!(
            copy.as_args().iter().collect::<Vec<_>>(),
            [&b"value"[..], b"key"]
        );
    }

    #[test]
    fn cleared_arguments_keep_their_memory_for_the_next_command() {
        let mut args = owned(&[b"abc"]);
        let held = args.capacity_bytes();
        args.clear();
        assert!(args.is_empty());
        assert_eq!(args.capacity_bytes(), held);
        args.push(b"x");
        assert_eq!(args.as_args().at(0), b"x");
    }

    #[test]
    fn debug_text_shows_binary_arguments_escaped() {
        let owned = owned(&[b"GET", b"\x00\r"]);
        assert_eq!(format!("{:?}", owned.as_args()), "[GET, \\x00\\r]");
    }
}
