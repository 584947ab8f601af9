//! Commands of many connections for one shard, gathered in one turn, and their replies.
//! A batch goes out and comes back in the same buffers, is used again by the core that made it, and is never copied on the way.
//! It fits a cache line, and all of a request lies together, as all replies do: each line costs a journey between two caches.

use commands::table::RowId;
use memory::heap::travel::vec_bytes;
use resp::{Args, Proto, Span};
use std::ptr;

/// A batch. Where its replies belong stays with its maker: a core answers the batches of another in the order in which they came.
#[derive(Default)]
pub struct Batch {
    /// The core that made it and gets it back.
    pub maker: u16,
    /// The core that it is for.
    pub owner: u16,
    /// How many requests there are.
    count: u16,
    /// It is on its way back.
    pub is_answered: bool,
    /// How many of its bytes are known to be on their way, see `Core::travelling_bytes`.
    pub counted: i64,
    /// The commands.
    pub requests: Requests,
    /// Their replies, in the same order.
    pub replies: BatchReplies,
}

/// What the other core must know of a command besides its arguments. It is packed where it is made and read bit by bit where it
/// is needed, since most of it seldom is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Table hash of the first key.
    pub hash: u64,
    terms: u64,
}

/// How a command is to be run, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What to run.
    pub row: RowId,
    /// The client's database.
    pub db: u8,
    /// The client's protocol.
    pub proto: Proto,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// Place of the connection on its core, below [`Request::CONNECTIONS_MAX`].
    pub connection: u32,
    /// Which of two rounds of the connection it belongs to, see [`super::allowance`].
    pub round: bool,
}

impl Batch {
    /// Requests a batch takes: with their replies they stay in the nearest cache on both cores, and the other begins early.
    const REQUESTS_MAX: u16 = 128;
    /// Bytes of requests after which a batch goes on its way.
    const BYTES_MAX: usize = 32 * 1024;
    /// Bytes of replies after which a batch goes home, and the rest of its requests follow in another, so that no other
    /// connection waits for all of them.
    pub const REPLY_BYTES_MAX: usize = 1 << 20;

    /// An empty batch for another core, of the buffers of one that came home if there is one.
    pub fn between(maker: u16, owner: u16, spare: Option<Batch>) -> Batch {
        Batch {
            maker,
            owner,
            ..spare.unwrap_or_default()
        }
    }

    /// Adds a command.
    #[inline(always)]
    pub fn push(&mut self, args: &Args<'_>, request: Request) {
        self.requests.push(args, request);
        self.count += 1;
    }

    /// Whether it should go on its way before the turn ends.
    pub fn is_full(&self) -> bool {
        self.count >= Self::REQUESTS_MAX || self.requests.words.len() >= Self::BYTES_MAX / 8
    }

    /// Takes the requests from the one that begins at `start` on, which have no replies yet, into a batch of their own.
    pub fn split_off(&mut self, start: usize) -> Batch {
        Batch {
            maker: self.maker,
            owner: self.owner,
            requests: Requests {
                words: self.requests.words.split_off(start),
            },
            ..Batch::default()
        }
    }

    /// Bytes it holds. The buffer of replies grows where the batch is served, and a batch may be split there, but both are freed
    /// where it was made: they must be known exactly.
    pub fn heap_bytes(&self) -> usize {
        vec_bytes(&self.requests.words) + vec_bytes(&self.replies.bytes)
    }

    /// Counts its bytes as being on their way; answers how many that are more than before.
    pub fn count(&mut self) -> i64 {
        let bytes = self.heap_bytes() as i64;
        let before = std::mem::replace(&mut self.counted, bytes);
        bytes - before
    }

    /// How many of its bytes are counted.
    pub fn counted_bytes(&self) -> i64 {
        self.counted
    }

    /// Whether its buffers are too large to be kept for the next use.
    pub fn grew_large(&self) -> bool {
        const KEPT_BYTES_MAX: usize = 64 * 1024;
        self.requests.words.capacity() * 8 + self.replies.bytes.capacity() > KEPT_BYTES_MAX
    }

    /// Empties it for the next use; keeps its buffers.
    pub fn clear(&mut self) {
        self.count = 0;
        self.is_answered = false;
        self.requests.words.clear();
        self.replies.bytes.clear();
    }
}

/// Commands one behind the other in words of eight bytes: hash, terms, spans, bytes.
#[derive(Default)]
pub struct Requests {
    words: Vec<u64>,
}

/// A request where it lies.
pub struct Arrived<'a> {
    /// The command.
    pub request: Request,
    /// Where it begins.
    pub start: usize,
    /// Where the next begins.
    pub end: usize,
    spans: &'a [Span],
    /// From its first byte on.
    bytes: &'a [u8],
    len: usize,
}

impl<'a> Arrived<'a> {
    /// Its arguments.
    #[inline(always)]
    pub fn args(&self) -> Args<'a> {
        Args::new(&self.bytes[..self.len], self.spans)
    }
}

impl Requests {
    const HEAD_WORDS: usize = 2;

    /// Adds a command. Its arguments lie in order in what the client sent, and are copied in one piece with what stands
    /// between them: one copy costs less than one for each.
    #[inline(always)]
    fn push(&mut self, args: &Args<'_>, request: Request) {
        let spans = args.spans();
        debug_assert!(spans.is_sorted_by_key(|span| span.start));
        let (first, others) = spans.split_first().expect("a command has a name");
        let last = others.last().unwrap_or(first);
        let (start, end) = (first.start, last.start + last.len);
        let piece = &args.bytes()[start as usize..end as usize];
        let count = Self::HEAD_WORDS + spans.len() + piece.len().div_ceil(8);
        self.words.reserve(count);
        // SAFETY: room for `count` words was reserved behind those there are. All of them are written: two of the head, one a
        // span, and the piece in the rest, whose last word is made 0 before since the piece may fill it in part.
        unsafe {
            let words = self.words.as_mut_ptr().add(self.words.len());
            words.add(count - 1).write(0);
            words
                .cast::<[u64; Self::HEAD_WORDS]>()
                .write(request.head(spans.len()));
            let places = words.add(Self::HEAD_WORDS);
            places.write(word_of(0, first.len));
            // Nearly all commands have one, two or three arguments: no loop for them.
            match others {
                [] => {}
                [second] => places.add(1).write(word_from(second, start)),
                [second, third] => {
                    places.add(1).write(word_from(second, start));
                    places.add(2).write(word_from(third, start));
                }
                _ => write_spans(others, start, places.add(1)),
            }
            copy(piece, places.add(spans.len()).cast());
            self.words.set_len(self.words.len() + count);
        }
    }

    /// Whether the last request ends at `end`.
    pub fn end_at(&self, end: usize) -> bool {
        end == self.words.len()
    }

    /// The requests in order, from the one that begins at `start`.
    pub fn from(&self, mut start: usize) -> impl Iterator<Item = Arrived<'_>> {
        std::iter::from_fn(move || {
            let arrived = self.at(start)?;
            start = arrived.end;
            Some(arrived)
        })
    }

    /// What is known of the requests beside their arguments, in order, from the one that begins at `start`.
    #[inline(always)]
    pub fn heads_from(&self, mut start: usize) -> impl Iterator<Item = Request> {
        std::iter::from_fn(move || {
            let (request, span_count) = Request::of_head(*self.words.get(start..)?.first_chunk()?);
            let last = start + Self::HEAD_WORDS + span_count - 1;
            let [last_span] = spans_of(self.words.get(last..=last)?) else {
                return None;
            };
            start = last + 1 + ((last_span.start + last_span.len) as usize).div_ceil(8);
            Some(request)
        })
    }

    /// The request that begins at `start`, if there is one.
    #[inline(always)]
    pub fn at(&self, start: usize) -> Option<Arrived<'_>> {
        let (head, rest) = self.words.get(start..)?.split_first_chunk()?;
        let (request, span_count) = Request::of_head(*head);
        let (spans, rest) = rest.split_at(span_count);
        let spans = spans_of(spans);
        let last = spans.last().expect("a command has a name");
        let len = (last.start + last.len) as usize;
        Some(Arrived {
            request,
            start,
            end: start + Self::HEAD_WORDS + span_count + len.div_ceil(8),
            spans,
            bytes: bytes_of(rest),
            len,
        })
    }
}

/// Where the parts of a word lie that holds all a request has beside its hash: how far from the lowest bit, and how many bits.
mod field {
    pub const ROW: (u32, u32) = (0, 12);
    pub const DB: (u32, u32) = (12, 8);
    pub const RESP3: (u32, u32) = (20, 1);
    pub const NO_TOUCH: (u32, u32) = (21, 1);
    pub const ROUND: (u32, u32) = (22, 1);
    pub const SPANS: (u32, u32) = (23, 21);
    pub const CONNECTION: (u32, u32) = (44, 20);
}

const _: () = assert!(
    resp::decode::ARGS_MAX < 1 << field::SPANS.1,
    "the arguments of a command can be counted"
);

#[inline(always)]
fn put((shift, bits): (u32, u32), value: u64) -> u64 {
    debug_assert!(value >> bits == 0, "it has its room");
    value << shift
}

#[inline(always)]
fn get((shift, bits): (u32, u32), word: u64) -> u64 {
    word >> shift & ((1 << bits) - 1)
}

impl Request {
    /// Connections of a core that can be told apart.
    pub const CONNECTIONS_MAX: usize = 1 << field::CONNECTION.1;

    /// A request.
    #[inline(always)]
    pub fn new(hash: u64, terms: Terms) -> Request {
        let terms = put(field::ROW, u64::from(terms.row.0))
            | put(field::DB, u64::from(terms.db))
            | put(field::RESP3, u64::from(terms.proto == Proto::Resp3))
            | put(field::NO_TOUCH, u64::from(terms.no_touch))
            | put(field::ROUND, u64::from(terms.round))
            | put(field::CONNECTION, u64::from(terms.connection));
        Request { hash, terms }
    }

    /// How it is to be run, and whose it is.
    #[inline(always)]
    pub fn terms(&self) -> Terms {
        Terms {
            row: RowId(get(field::ROW, self.terms) as u16),
            db: get(field::DB, self.terms) as u8,
            proto: if get(field::RESP3, self.terms) == 1 {
                Proto::Resp3
            } else {
                Proto::Resp2
            },
            no_touch: get(field::NO_TOUCH, self.terms) == 1,
            connection: get(field::CONNECTION, self.terms) as u32,
            round: get(field::ROUND, self.terms) == 1,
        }
    }

    /// The same in another round.
    pub fn in_round(&self, round: bool) -> Request {
        let terms = Terms {
            round,
            ..self.terms()
        };
        Request::new(self.hash, terms)
    }

    fn head(&self, span_count: usize) -> [u64; Requests::HEAD_WORDS] {
        [self.hash, self.terms | put(field::SPANS, span_count as u64)]
    }

    #[inline(always)]
    fn of_head([hash, word]: [u64; Requests::HEAD_WORDS]) -> (Request, usize) {
        let span_count = get(field::SPANS, word);
        let terms = word ^ put(field::SPANS, span_count);
        (Request { hash, terms }, span_count as usize)
    }
}

const _: () = assert!(size_of::<Span>() == 8 && align_of::<Span>() <= 8);

/// The span as it lies in memory.
fn word_of(start: u32, len: u32) -> u64 {
    if cfg!(target_endian = "little") {
        u64::from(len) << 32 | u64::from(start)
    } else {
        u64::from(start) << 32 | u64::from(len)
    }
}

/// The span as it lies in memory, counted from `start`, which is not behind it.
fn word_from(span: &Span, start: u32) -> u64 {
    // Nothing is borrowed from the length.
    word_of(span.start, span.len).wrapping_sub(word_of(start, 0))
}

/// Writes spans as [`word_from`] has them.
///
/// # Safety
/// `to` must be valid for writes of as many words.
#[inline(never)]
unsafe fn write_spans(spans: &[Span], start: u32, to: *mut u64) {
    for (place, span) in spans.iter().enumerate() {
        // SAFETY: as the caller says.
        unsafe { to.add(place).write(word_from(span, start)) };
    }
}

fn spans_of(words: &[u64]) -> &[Span] {
    // SAFETY: a span is two u32 without padding, takes a word, and any bits are one.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len()) }
}

fn bytes_of(words: &[u64]) -> &[u8] {
    // SAFETY: a word is eight bytes.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) }
}

/// Copies `piece` to where there is room for it. Most commands with a key alone have 16 to 32 bytes: their beginning and their
/// end, which may overlap, take less than a call.
///
/// # Safety
/// `to` must be valid for writes of `piece.len()` bytes, none of which are in `piece`.
#[inline(always)]
unsafe fn copy(piece: &[u8], to: *mut u8) {
    if let (Some(first), Some(last)) = (piece.first_chunk::<16>(), piece.last_chunk::<16>())
        && piece.len() <= 32
    {
        // SAFETY: there are at least 16 bytes.
        unsafe {
            to.cast::<[u8; 16]>().write(*first);
            to.add(piece.len() - 16).cast::<[u8; 16]>().write(*last);
        }
    } else {
        // SAFETY: as the caller says.
        unsafe { ptr::copy_nonoverlapping(piece.as_ptr(), to, piece.len()) }
    }
}

/// Why a request was not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The connection must read first what it was answered.
    Unread,
    /// It takes longer than others may be held up, or waits for one that does: it comes again as a task.
    Long,
}

/// Replies one behind the other, each behind its length.
#[derive(Default)]
pub struct BatchReplies {
    bytes: Vec<u8>,
}

impl BatchReplies {
    const HEAD_BYTES: usize = 8;
    /// In the place of a length: the request was not run, see [`Refusal`].
    const REFUSED: u64 = u64::MAX;
    const REFUSED_IN_BATCHES: u64 = u64::MAX - 1;

    /// Begins a reply; answers where.
    #[inline]
    pub fn begin(&mut self) -> usize {
        self.bytes.extend_from_slice(&[0; Self::HEAD_BYTES]);
        self.bytes.len()
    }

    /// Where the reply that was begun is to be appended.
    #[inline]
    pub fn out(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Ends the reply that was begun at `start`; answers how long it is.
    #[inline]
    pub fn end(&mut self, start: usize) -> usize {
        let len = self.bytes.len() - start;
        let head = self.bytes[start - Self::HEAD_BYTES..].first_chunk_mut();
        *head.expect("it was begun") = (len as u64).to_ne_bytes();
        len
    }

    /// Takes back the reply that was begun at `start`: there is none.
    #[inline]
    pub fn abandon(&mut self, start: usize) {
        self.bytes.truncate(start - Self::HEAD_BYTES);
    }

    /// Says of the next request that it was not run, and why.
    pub fn refuse(&mut self, refusal: Refusal) {
        let head = match refusal {
            Refusal::Unread => Self::REFUSED,
            Refusal::Long => Self::REFUSED_IN_BATCHES,
        };
        self.bytes.extend_from_slice(&head.to_ne_bytes());
    }

    /// Bytes of all replies.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The replies, to be read in their order.
    pub fn told(&self) -> Told<'_> {
        Told { rest: &self.bytes }
    }
}

/// Replies that are being read. As an iterator it gives those up to the next request that was not run.
pub struct Told<'a> {
    rest: &'a [u8],
}

impl Told<'_> {
    /// Whether all was read.
    pub fn is_over(&self) -> bool {
        self.rest.is_empty()
    }

    /// Why the next request was not run, if it was not.
    pub fn refusal(&mut self) -> Option<Refusal> {
        let (head, after) = self.rest.split_first_chunk()?;
        let refusal = match u64::from_ne_bytes(*head) {
            BatchReplies::REFUSED => Refusal::Unread,
            BatchReplies::REFUSED_IN_BATCHES => Refusal::Long,
            _ => return None,
        };
        self.rest = after;
        Some(refusal)
    }
}

impl<'a> Iterator for Told<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let (head, after) = self.rest.split_first_chunk()?;
        let len = u64::from_ne_bytes(*head);
        if len >= BatchReplies::REFUSED_IN_BATCHES {
            return None;
        }
        let (reply, rest) = after.split_at(len as usize);
        self.rest = rest;
        Some(reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use resp::OwnedArgs;

    fn request(number: u64) -> Request {
        let terms = Terms {
            row: RowId(number as u16),
            db: (number % 16) as u8,
            proto: [Proto::Resp2, Proto::Resp3][number as usize % 2],
            no_touch: number.is_multiple_of(3),
            connection: (number * 8191) as u32,
            round: number.is_multiple_of(5),
        };
        let request = Request::new(number.wrapping_mul(0x9e37_79b9_7f4a_7c15), terms);
        assert_eq!(request.terms(), terms);
        request
    }

    /// `number` arguments of all lengths, the empty one too.
    fn args(number: u64) -> OwnedArgs {
        let mut args = OwnedArgs::new();
        for index in 0..=number % 40 {
            args.push(&vec![index as u8; (index * number % 67) as usize]);
        }
        args
    }

    #[test]
    fn commands_arrive_as_they_were_sent() {
        let mut batch = Batch::default();
        for number in 0..120 {
            batch.push(&args(number).as_args(), request(number));
        }
        let mut starts = Vec::new();
        for (number, arrived) in batch.requests.from(0).enumerate() {
            assert_eq!(arrived.request, request(number as u64));
            assert!(
                arrived
                    .args()
                    .iter()
                    .eq(args(number as u64).as_args().iter())
            );
            starts.push(arrived.start);
        }
        assert_eq!(starts.len(), 120);
        // One that had to wait is found again, with those behind it.
        assert_eq!(batch.requests.from(starts[100]).count(), 20);
        for first in [119, 60, 1, 0] {
            let rest = batch.split_off(starts[first]);
            let arrived = rest.requests.from(0).next().expect("there is one");
            assert_eq!(arrived.request, request(first as u64));
            assert_eq!(batch.requests.from(0).count(), first);
        }
    }

    #[test]
    fn replies_come_back_in_order_without_those_that_were_not_given() {
        let mut replies = BatchReplies::default();
        for number in 0..100usize {
            let start = replies.begin();
            replies
                .out()
                .extend(std::iter::repeat_n(number as u8, number));
            if number % 7 == 3 {
                replies.abandon(start);
            } else {
                assert_eq!(replies.end(start), number);
            }
        }
        let given = (0..100usize).filter(|number| number % 7 != 3);
        assert!(
            replies
                .told()
                .map(<[u8]>::to_vec)
                .eq(given.map(|number| vec![number as u8; number]))
        );
    }

    #[test]
    fn a_request_that_was_not_run_is_told_from_one_without_a_reply() {
        let mut replies = BatchReplies::default();
        let start = replies.begin();
        replies.end(start);
        replies.refuse(Refusal::Unread);
        replies.refuse(Refusal::Long);
        let start = replies.begin();
        replies.out().push(b'x');
        replies.end(start);
        let mut told = replies.told();
        assert_eq!(told.refusal(), None);
        assert_eq!(told.by_ref().collect::<Vec<_>>(), [b""]);
        assert_eq!(told.refusal(), Some(Refusal::Unread));
        assert_eq!(told.next(), None);
        assert_eq!(told.refusal(), Some(Refusal::Long));
        assert_eq!((told.refusal(), told.is_over()), (None, false));
        assert_eq!(told.by_ref().collect::<Vec<_>>(), [b"x"]);
        assert!(told.is_over());
    }
}
