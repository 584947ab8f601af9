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

/// What the other core must know of a command besides its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Table hash of the first key.
    pub hash: u64,
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

/// Which reply of which connection is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// Place of the connection on its core.
    pub connection: u32,
    /// Which of the connections that had this place.
    pub generation: u32,
    /// Number of the reply among those of the connection.
    pub sequence: u32,
}

impl ReplyTo {
    /// Whether both are replies of one connection.
    pub fn is_to_same(&self, other: &ReplyTo) -> bool {
        (self.connection, self.generation) == (other.connection, other.generation)
    }
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

/// Commands one behind the other in words of eight bytes: hash, manners, spans, bytes.
#[derive(Default)]
pub struct Requests {
    words: Vec<u64>,
}

/// A request where it lies.
pub struct Arrived<'a> {
    /// The command.
    pub request: Request,
    /// Its arguments.
    pub args: Args<'a>,
    /// Where it begins.
    pub start: usize,
    /// Where the next begins.
    pub end: usize,
}

impl Requests {
    const HEAD_WORDS: usize = 2;

    /// Adds a command. Its arguments lie in order in what the client sent, and are copied in one piece with what stands
    /// between them: one copy costs less than one for each.
    fn push(&mut self, args: &Args<'_>, request: Request) {
        let spans = args.spans();
        debug_assert!(spans.is_sorted_by_key(|span| span.start));
        let (first, last) = (spans[0], spans[spans.len() - 1]);
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
            let mut places = words.add(Self::HEAD_WORDS);
            for span in spans {
                places.write(word_of(span.start - start, span.len));
                places = places.add(1);
            }
            ptr::copy_nonoverlapping(piece.as_ptr(), places.cast(), piece.len());
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

    #[inline]
    fn at(&self, start: usize) -> Option<Arrived<'_>> {
        let (head, rest) = self.words[start..].split_first_chunk()?;
        let (request, span_count) = Request::of_head(*head);
        let (spans, rest) = rest.split_at(span_count);
        let spans = spans_of(spans);
        let last = spans[span_count - 1];
        let len = (last.start + last.len) as usize;
        Some(Arrived {
            request,
            args: Args::new(&bytes_of(rest)[..len], spans),
            start,
            end: start + Self::HEAD_WORDS + span_count + len.div_ceil(8),
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

    fn head(&self, span_count: usize) -> [u64; Requests::HEAD_WORDS] {
        let manners = put(field::ROW, u64::from(self.row.0))
            | put(field::DB, u64::from(self.db))
            | put(field::RESP3, u64::from(self.proto == Proto::Resp3))
            | put(field::NO_TOUCH, u64::from(self.no_touch))
            | put(field::ROUND, u64::from(self.round))
            | put(field::SPANS, span_count as u64)
            | put(field::CONNECTION, u64::from(self.connection));
        [self.hash, manners]
    }

    fn of_head([hash, manners]: [u64; Requests::HEAD_WORDS]) -> (Request, usize) {
        let request = Request {
            hash,
            row: RowId(get(field::ROW, manners) as u16),
            db: get(field::DB, manners) as u8,
            proto: if get(field::RESP3, manners) == 1 {
                Proto::Resp3
            } else {
                Proto::Resp2
            },
            no_touch: get(field::NO_TOUCH, manners) == 1,
            connection: get(field::CONNECTION, manners) as u32,
            round: get(field::ROUND, manners) == 1,
        };
        (request, get(field::SPANS, manners) as usize)
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

fn spans_of(words: &[u64]) -> &[Span] {
    // SAFETY: a span is two u32 without padding, takes a word, and any bits are one.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len()) }
}

fn bytes_of(words: &[u64]) -> &[u8] {
    // SAFETY: a word is eight bytes.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) }
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

    /// Has `write` append a reply to the buffer; what it appended is taken away again where it answers that there is none.
    #[inline]
    pub fn write(&mut self, write: impl FnOnce(&mut Vec<u8>) -> bool) {
        let head = self.bytes.len();
        self.bytes.extend_from_slice(&[0; Self::HEAD_BYTES]);
        let start = self.bytes.len();
        if write(&mut self.bytes) {
            let len = (self.bytes.len() - start) as u64;
            self.bytes[head..start].copy_from_slice(&len.to_ne_bytes());
        } else {
            self.bytes.truncate(head);
        }
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

    /// The replies in order, or why a request was not run.
    pub fn iter(&self) -> impl Iterator<Item = Result<&[u8], Refusal>> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let (head, after) = rest.split_first_chunk()?;
            let len = u64::from_ne_bytes(*head);
            if len >= Self::REFUSED_IN_BATCHES {
                rest = after;
                return Some(Err(if len == Self::REFUSED {
                    Refusal::Unread
                } else {
                    Refusal::Long
                }));
            }
            let (reply, others) = after.split_at(len as usize);
            rest = others;
            Some(Ok(reply))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use resp::OwnedArgs;

    fn request(number: u64) -> Request {
        Request {
            hash: number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            row: RowId(number as u16),
            db: (number % 16) as u8,
            proto: [Proto::Resp2, Proto::Resp3][number as usize % 2],
            no_touch: number.is_multiple_of(3),
            connection: (number * 8191) as u32,
            round: number.is_multiple_of(5),
        }
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
            assert!(arrived.args.iter().eq(args(number as u64).as_args().iter()));
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
            replies.write(|out| {
                out.extend(std::iter::repeat_n(number as u8, number));
                number % 7 != 3
            });
        }
        let given = (0..100usize).filter(|number| number % 7 != 3);
        assert!(
            replies
                .iter()
                .map(|reply| reply.map(<[u8]>::to_vec))
                .eq(given.map(|number| Ok(vec![number as u8; number])))
        );
    }

    #[test]
    fn a_request_that_was_not_run_is_told_from_one_without_a_reply() {
        let mut replies = BatchReplies::default();
        replies.write(|_| true);
        replies.refuse(Refusal::Unread);
        replies.refuse(Refusal::Long);
        replies.write(|out| {
            out.push(b'x');
            true
        });
        let told: Vec<_> = replies.iter().collect();
        let (unread, long) = (Err(Refusal::Unread), Err(Refusal::Long));
        assert_eq!(told, [Ok(&b""[..]), unread, long, Ok(b"x")]);
    }
}
