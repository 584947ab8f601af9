//! Finds one command after another in what a client has sent so far.
//! Never reserves memory for bytes or arguments that were only announced.
//! Source: the RESP specification; limits and edges as redis-server 7 has them.

use crate::args::{OwnedArgs, Span};
use crate::inline::split_line;
use crate::number::parse_i64;
use crate::protocol_error::ProtocolError;

/// Arguments a command may have.
pub const ARGS_MAX: u32 = 1024 * 1024;
/// Arguments a client that has not authenticated may announce: enough for
/// HELLO with all its options.
pub const UNAUTHENTICATED_ARGS_MAX: u32 = 10;
/// Bytes of one argument of a client that has not authenticated: enough for any password.
pub const UNAUTHENTICATED_BULK_BYTES_MAX: u32 = 16 * 1024;
/// Bytes of one whole command, so that every position in it fits a [`Span`]
/// with room for what precedes it in the buffer.
pub const COMMAND_BYTES_MAX: usize = 1 << 31;

/// Bytes that end a bulk string.
const BULK_END_BYTES: usize = 2;

/// How much of a client is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one argument (`proto-max-bulk-len`).
    pub bulk_bytes_max: u32,
    /// Arguments of one command, its name included.
    pub args_max: u32,
    /// Bytes of an inline command, and of any line that announces a number.
    pub inline_bytes_max: u32,
    /// Whether the client has authenticated, or need not. If not, at most
    /// [`UNAUTHENTICATED_ARGS_MAX`] arguments of at most
    /// [`UNAUTHENTICATED_BULK_BYTES_MAX`] are accepted; so AUTH and HELLO must
    /// be executed before what follows them is decoded.
    pub authenticated: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            bulk_bytes_max: 512 * 1024 * 1024,
            args_max: ARGS_MAX,
            inline_bytes_max: 64 * 1024,
            authenticated: true,
        }
    }
}

impl Limits {
    /// The number a `*` line holds: 0 where there is nothing to execute.
    fn check_args(&self, announced: Option<i64>) -> Result<u32, ProtocolError> {
        match announced {
            None => Err(ProtocolError::InvalidMultibulkLength),
            Some(n) if n > i64::from(self.args_max) => Err(ProtocolError::InvalidMultibulkLength),
            Some(n) if !self.authenticated && n > i64::from(UNAUTHENTICATED_ARGS_MAX) => {
                Err(ProtocolError::UnauthenticatedMultibulkLength)
            }
            Some(n) => Ok(u32::try_from(n).unwrap_or(0)),
        }
    }

    /// The number a `$` line holds.
    fn check_bulk(&self, announced: Option<i64>) -> Result<u32, ProtocolError> {
        let len = announced
            .and_then(|n| u32::try_from(n).ok())
            .filter(|&len| len <= self.bulk_bytes_max)
            .ok_or(ProtocolError::InvalidBulkLength)?;
        if !self.authenticated && len > UNAUTHENTICATED_BULK_BYTES_MAX {
            return Err(ProtocolError::UnauthenticatedBulkLength);
        }
        Ok(len)
    }
}

/// What [`Decoder::decode`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A whole command whose spans were appended, as positions in the buffer.
    Command {
        /// Bytes of the command.
        consumed: usize,
    },
    /// A whole inline command, unquoted.
    Inline {
        /// Bytes of the line with its end.
        consumed: usize,
        /// Its words, at least one.
        args: OwnedArgs,
    },
    /// Bytes that ask for nothing: an empty line, `*0`, `*-1`.
    Nothing {
        /// How many bytes to skip.
        consumed: usize,
    },
    /// The command does not end within the buffer.
    Incomplete,
}

/// How far an unfinished command has been understood. Positions count from its start.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// First byte that has not been understood.
    pos: usize,
    /// Bytes after `pos` that hold no line end.
    searched_bytes: usize,
    /// Arguments not finished; 0 until the header has been read.
    args_left: u32,
    /// Length of the argument whose body starts at `pos`.
    bulk_len: Option<u32>,
}

/// The state of one connection's unfinished command.
///
/// Between commands it owns no heap memory; within one, eight bytes for each
/// argument that has arrived whole.
#[derive(Debug, Default)]
pub struct Decoder {
    progress: Progress,
    missing_bytes: usize,
    /// Finished arguments of the unfinished command, from its start.
    finished: Vec<Span>,
}

impl Decoder {
    /// A decoder that has seen nothing.
    pub const fn new() -> Self {
        Decoder {
            progress: Progress {
                pos: 0,
                searched_bytes: 0,
                args_left: 0,
                bulk_len: None,
            },
            missing_bytes: 0,
            finished: Vec::new(),
        }
    }

    /// Looks for one command in `buf[at..]`.
    ///
    /// `at` is the first byte of the command, also when earlier calls returned
    /// [`Decoded::Incomplete`] for it; then the bytes seen before must be there
    /// unchanged, though `at` may differ. The result does not depend on how the
    /// bytes were divided. Bytes of `buf` from 4 GiB on are not seen.
    ///
    /// # Errors
    /// What the client did wrong; the decoder is then as new, but the stream
    /// has lost its frame and must be closed.
    #[inline]
    pub fn decode(
        &mut self,
        buf: &[u8],
        at: usize,
        limits: &Limits,
        spans: &mut Vec<Span>,
    ) -> Result<Decoded, ProtocolError> {
        debug_assert!(at <= buf.len(), "a command starts within its buffer");
        let visible = &buf[..buf.len().min(u32::MAX as usize)];
        let command = visible.get(at..).unwrap_or_default();
        if self.progress.pos == 0
            && let Some(consumed) = read_small_command(command, at, limits, spans)
        {
            self.progress.searched_bytes = 0;
            return Ok(Decoded::Command { consumed });
        }
        let result = self.decode_in_steps(command, at, limits, spans);
        if result.is_err() {
            *self = Decoder::new();
        }
        result
    }

    /// How many more bytes the unfinished command needs at least, as far as a
    /// length was announced; 0 when unknown. Nothing may be reserved for it
    /// beyond a cap: it is the client's word only.
    pub fn missing_bytes(&self) -> usize {
        self.missing_bytes
    }

    /// Bytes of heap memory held.
    pub fn heap_bytes(&self) -> usize {
        self.finished.capacity() * size_of::<Span>()
    }

    /// Decodes what is not a small command that arrived whole.
    #[inline(never)]
    fn decode_in_steps(
        &mut self,
        command: &[u8],
        at: usize,
        limits: &Limits,
        spans: &mut Vec<Span>,
    ) -> Result<Decoded, ProtocolError> {
        let mut progress = self.progress;
        if progress.args_left == 0 {
            match command.first() {
                None => return Ok(Decoded::Incomplete),
                Some(b'*') => {}
                Some(_) => return self.decode_inline(command, limits),
            }
            match read_multibulk_header(command, &mut progress, limits)? {
                None => {
                    self.progress = progress;
                    return Ok(Decoded::Incomplete);
                }
                Some(0) => {
                    self.progress = Progress::default();
                    let consumed = progress.pos;
                    return Ok(Decoded::Nothing { consumed });
                }
                Some(args) => progress.args_left = args,
            }
        }
        if !self.finished.is_empty() {
            return self.resume(command, at, progress, limits, spans);
        }
        let spans_before = spans.len();
        match read_args(command, at as u32, &mut progress, limits, spans) {
            Ok(true) if progress.pos <= COMMAND_BYTES_MAX => {
                self.progress = Progress::default();
                self.missing_bytes = 0;
                let consumed = progress.pos;
                Ok(Decoded::Command { consumed })
            }
            Ok(true) => {
                spans.truncate(spans_before);
                Err(ProtocolError::InvalidBulkLength)
            }
            Ok(false) => {
                let from_start = |span: Span| Span {
                    start: span.start - at as u32,
                    len: span.len,
                };
                self.finished
                    .extend(spans.drain(spans_before..).map(from_start));
                self.suspend(command, progress)
            }
            Err(error) => {
                spans.truncate(spans_before);
                Err(error)
            }
        }
    }

    /// Goes on with a command of which some arguments were finished before.
    fn resume(
        &mut self,
        command: &[u8],
        at: usize,
        mut progress: Progress,
        limits: &Limits,
        spans: &mut Vec<Span>,
    ) -> Result<Decoded, ProtocolError> {
        if !read_args(command, 0, &mut progress, limits, &mut self.finished)? {
            return self.suspend(command, progress);
        }
        if progress.pos > COMMAND_BYTES_MAX {
            return Err(ProtocolError::InvalidBulkLength);
        }
        spans.extend(self.finished.iter().map(|span| Span {
            start: span.start + at as u32,
            len: span.len,
        }));
        *self = Decoder::new();
        Ok(Decoded::Command {
            consumed: progress.pos,
        })
    }

    /// Remembers how far a command was understood until more bytes arrive.
    fn suspend(&mut self, command: &[u8], progress: Progress) -> Result<Decoded, ProtocolError> {
        let known_end = match progress.bulk_len {
            Some(len) => progress.pos + len as usize + BULK_END_BYTES,
            None => command.len(),
        };
        if known_end > COMMAND_BYTES_MAX {
            return Err(ProtocolError::InvalidBulkLength);
        }
        debug_assert!(
            progress.args_left > 0,
            "an unfinished command lacks arguments"
        );
        self.missing_bytes = known_end - command.len();
        self.progress = progress;
        Ok(Decoded::Incomplete)
    }

    fn decode_inline(&mut self, command: &[u8], limits: &Limits) -> Result<Decoded, ProtocolError> {
        let searched_bytes = &mut self.progress.searched_bytes;
        let Some(end) = find_line_end(command, b'\n', searched_bytes, limits)
            .map_err(|TooLong| ProtocolError::InlineTooLong)?
        else {
            return Ok(Decoded::Incomplete);
        };
        self.progress = Progress::default();
        let line = &command[..end];
        let args = split_line(line.strip_suffix(b"\r").unwrap_or(line))?;
        let consumed = end + 1;
        if args.is_empty() {
            return Ok(Decoded::Nothing { consumed });
        }
        Ok(Decoded::Inline { consumed, args })
    }
}

/// Decodes a command of at most nine arguments of at most four digits of
/// length that lies in the buffer whole, as nearly every command does; returns
/// its bytes. Anything else is left to [`Decoder::decode_in_steps`], which
/// looks at these bytes again.
#[inline(never)]
fn read_small_command(
    command: &[u8],
    at: usize,
    limits: &Limits,
    spans: &mut Vec<Span>,
) -> Option<usize> {
    let [b'*', args @ b'1'..=b'9', b'\r', _, rest @ ..] = command else {
        return None;
    };
    let args = u32::from(args - b'0');
    if args > limits.args_max || limits.bulk_bytes_max < SHORT_NUMBER_MAX {
        return None;
    }
    let mut rest = rest;
    let end = at + command.len();
    let spans_before = spans.len();
    for _ in 0..args {
        let Some((len, body, next)) = read_small_arg(rest) else {
            spans.truncate(spans_before);
            return None;
        };
        let start = (end - body.len()) as u32;
        spans.push(Span { start, len });
        rest = next;
    }
    Some(command.len() - rest.len())
}

/// The length of the argument `rest` starts with, what follows its line, and
/// what follows it.
#[inline(always)]
fn read_small_arg(rest: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let (len, body) = short_bulk_line(rest)?;
    Some((len, body, body.get(len as usize + BULK_END_BYTES..)?))
}

/// Reads arguments until none is left (true) or the bytes end (false).
/// Appends the finished ones to `spans`, `base` added to their positions.
fn read_args(
    command: &[u8],
    base: u32,
    progress: &mut Progress,
    limits: &Limits,
    spans: &mut Vec<Span>,
) -> Result<bool, ProtocolError> {
    while progress.args_left > 0 {
        let len = match progress.bulk_len {
            Some(len) => len,
            None => match read_bulk_header(command, progress, limits)? {
                Some(len) => len,
                None => return Ok(false),
            },
        };
        let end = progress.pos + len as usize + BULK_END_BYTES;
        if end > command.len() {
            progress.bulk_len = Some(len);
            return Ok(false);
        }
        // The two bytes after the body are not looked at, as in Redis.
        let start = base + progress.pos as u32;
        spans.push(Span { start, len });
        progress.bulk_len = None;
        progress.pos = end;
        progress.args_left -= 1;
    }
    Ok(true)
}

/// The number of arguments, once its line is there.
fn read_multibulk_header(
    command: &[u8],
    progress: &mut Progress,
    limits: &Limits,
) -> Result<Option<u32>, ProtocolError> {
    match read_line(command, progress, limits) {
        Ok(None) => Ok(None),
        Ok(Some(line)) => limits.check_args(parse_i64(&line[1..])).map(Some),
        Err(TooLong) => Err(ProtocolError::MultibulkLineTooLong),
    }
}

/// The length of the next argument, once its line is there.
#[inline]
fn read_bulk_header(
    command: &[u8],
    progress: &mut Progress,
    limits: &Limits,
) -> Result<Option<u32>, ProtocolError> {
    let rest = command.get(progress.pos..).unwrap_or_default();
    if let Some((len, body)) = short_bulk_line(rest)
        && len <= limits.bulk_bytes_max
    {
        progress.pos += rest.len() - body.len();
        progress.searched_bytes = 0;
        return Ok(Some(len));
    }
    match read_line(command, progress, limits) {
        Ok(None) => Ok(None),
        Ok(Some([b'$', number @ ..])) => limits.check_bulk(parse_i64(number)).map(Some),
        Ok(Some(line)) => Err(ProtocolError::ExpectedBulk(
            line.first().copied().unwrap_or(b'\r'),
        )),
        Err(TooLong) => Err(ProtocolError::BulkLineTooLong),
    }
}

/// The largest number [`short_bulk_line`] reads. No client is refused an argument
/// of so few bytes, authenticated or not.
const SHORT_NUMBER_MAX: u32 = 9999;
const _: () = assert!(SHORT_NUMBER_MAX < UNAUTHENTICATED_BULK_BYTES_MAX);

/// The number of a line that announces an argument of up to four digits, and
/// what follows the line. None where [`read_line`] must have a look.
#[inline(always)]
fn short_bulk_line(rest: &[u8]) -> Option<(u32, &[u8])> {
    const DIGITS_MAX: u32 = 4;
    let [b'$', digit, rest @ ..] = rest else {
        return None;
    };
    let mut number = u32::from(digit.wrapping_sub(b'0'));
    if number > 9 {
        return None;
    }
    let mut rest = rest;
    for _ in 0..DIGITS_MAX {
        // The byte after CR must be there and is not looked at, as in Redis.
        let [byte, _, tail @ ..] = rest else {
            return None;
        };
        if *byte == b'\r' {
            return Some((number, tail));
        }
        let digit = u32::from(byte.wrapping_sub(b'0'));
        if digit > 9 || number == 0 {
            return None;
        }
        number = number * 10 + digit;
        rest = &rest[1..];
    }
    None
}

/// A line without an end within the limit.
struct TooLong;

/// The line at `progress.pos` without its CR and the byte after it, and
/// `progress` moved behind them.
fn read_line<'a>(
    command: &'a [u8],
    progress: &mut Progress,
    limits: &Limits,
) -> Result<Option<&'a [u8]>, TooLong> {
    let rest = command.get(progress.pos..).unwrap_or_default();
    let Some(end) = find_line_end(rest, b'\r', &mut progress.searched_bytes, limits)? else {
        return Ok(None);
    };
    if end + 1 == rest.len() {
        return Ok(None);
    }
    progress.searched_bytes = 0;
    progress.pos += end + 2;
    Ok(Some(&rest[..end]))
}

/// Where the first `end` byte of `rest` is. Looks at no byte twice over several
/// calls, and at no byte past the limit, so that a line is refused or accepted
/// whatever pieces it came in.
fn find_line_end(
    rest: &[u8],
    end: u8,
    searched_bytes: &mut usize,
    limits: &Limits,
) -> Result<Option<usize>, TooLong> {
    let window_bytes = limits.inline_bytes_max as usize + 1;
    let window = &rest[..rest.len().min(window_bytes)];
    let fresh = window.get(*searched_bytes..).unwrap_or_default();
    if let Some(found) = memchr::memchr(end, fresh) {
        let found_at = *searched_bytes + found;
        *searched_bytes = found_at;
        return Ok(Some(found_at));
    }
    *searched_bytes = window.len();
    if window.len() == window_bytes {
        return Err(TooLong);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Args;
    use crate::testing::Random;

    /// What a stream of bytes asks for, and how it ends.
    #[derive(Debug, PartialEq)]
    struct Stream {
        commands: Vec<Vec<Vec<u8>>>,
        error: Option<ProtocolError>,
        left_bytes: usize,
    }

    fn words(args: Args<'_>) -> Vec<Vec<u8>> {
        args.iter().map(<[u8]>::to_vec).collect()
    }

    /// Decodes `bytes` as they arrive in pieces that end at `cuts`; the buffer
    /// is compacted after every command whenever `compact` says so.
    fn decode_pieces(bytes: &[u8], cuts: &[usize], limits: &Limits, compact: bool) -> Stream {
        let mut decoder = Decoder::new();
        let (mut buf, mut at, mut spans) = (Vec::new(), 0, Vec::new());
        let mut stream = Stream {
            commands: Vec::new(),
            error: None,
            left_bytes: 0,
        };
        let mut fed = 0;
        for cut in cuts.iter().copied().chain([bytes.len()]) {
            buf.extend_from_slice(&bytes[fed..cut]);
            fed = cut;
            loop {
                spans.clear();
                match decoder.decode(&buf, at, limits, &mut spans) {
                    Ok(Decoded::Command { consumed }) => {
                        stream.commands.push(words(Args::new(&buf, &spans)));
                        assert_eq!(decoder.heap_bytes(), 0);
                        at += consumed;
                    }
                    Ok(Decoded::Inline { consumed, args }) => {
                        stream.commands.push(words(args.as_args()));
                        at += consumed;
                    }
                    Ok(Decoded::Nothing { consumed }) => at += consumed,
                    Ok(Decoded::Incomplete) => break,
                    Err(error) => {
                        assert!(spans.is_empty());
                        assert_eq!(decoder.heap_bytes(), 0);
                        stream.error = Some(error);
                        return stream;
                    }
                }
            }
            assert!(spans.is_empty());
            if compact {
                buf.drain(..at);
                at = 0;
            }
        }
        stream.left_bytes = buf.len() - at;
        stream
    }

    fn decode_all(bytes: &[u8]) -> Stream {
        decode_pieces(bytes, &[], &Limits::default(), false)
    }

    fn error_of(bytes: &[u8], limits: &Limits) -> Option<ProtocolError> {
        decode_pieces(bytes, &[], limits, false).error
    }

    fn multibulk(args: &[&[u8]]) -> Vec<u8> {
        let mut out = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            out.extend_from_slice(arg);
            out.extend_from_slice(b"\r\n");
        }
        out
    }

    const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

    /// Streams with every kind of command, oddity and error.
    fn corpus() -> Vec<Vec<u8>> {
        let long = vec![b'v'; 300];
        let mut corpus: Vec<Vec<u8>> = [
            &b"*0\r\n*-1\r\n*-5\r\n*-9223372036854775808\r\n"[..],
            b"\r\n\n   \r\nPING\r\nPING\nSET k \"a b\\x00\"\r\n",
            b"*1\rX$4\rXPINGxy",
            b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n",
            b"*1\r\n$4\r\nPI\r\nAA",
            b"\r",
            b" *3\r\n",
            b"*1\n$4\nPING\n",
            b"*+3\r\n",
            b"*01\r\n",
            b"*1\r\nx\r\n",
            b"*1\r\n\r\n",
            b"*2\r\n$3\r\nGET\r\n$-1\r\n",
            b"*2\r\n$3\r\nGET\r\n:1\r\n",
            b"*1\r\n$9223372036854775807\r\n",
            b"GET 'k\r\n",
            b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000\r\nabc",
        ]
        .map(<[u8]>::to_vec)
        .to_vec();
        corpus.push(multibulk(&[b"SET", b"key:000000012345", &long]));
        corpus.push(multibulk(&[b"MSET", b"", b"\r\n", b"$1\r\n", b"*1\r\n"]));
        corpus.push(multibulk(&[&b"x"[..]; 25]));
        for stream in &mut corpus {
            let mut between = multibulk(&[b"GET", b"k"]);
            between.append(stream);
            between.extend_from_slice(PING);
            *stream = between;
        }
        corpus
    }

    #[test]
    fn a_command_cut_anywhere_decodes_as_the_whole() {
        let limits = Limits::default();
        for stream in corpus() {
            let whole = decode_all(&stream);
            for cut in 0..=stream.len() {
                for compact in [false, true] {
                    let cut_once = decode_pieces(&stream, &[cut], &limits, compact);
                    assert_eq!(cut_once, whole, "{} at {cut}", stream.escape_ascii());
                }
            }
        }
    }

    #[test]
    fn a_command_that_comes_byte_by_byte_decodes_as_the_whole() {
        let limits = Limits::default();
        for stream in corpus() {
            let cuts: Vec<usize> = (0..=stream.len()).collect();
            for compact in [false, true] {
                let bytewise = decode_pieces(&stream, &cuts, &limits, compact);
                assert_eq!(bytewise, decode_all(&stream), "{}", stream.escape_ascii());
            }
        }
    }

    #[test]
    fn random_pipelines_in_random_pieces_come_out_as_they_went_in() {
        let mut random = Random::new(7);
        for _ in 0..200 {
            let (mut bytes, mut sent) = (Vec::new(), Vec::new());
            for _ in 0..random.below(20) {
                let args: Vec<Vec<u8>> = (0..=random.below(12))
                    .map(|_| {
                        let len = random.below(40) * random.below(40);
                        random.bytes(len)
                    })
                    .collect();
                bytes.extend(multibulk(
                    &args.iter().map(Vec::as_slice).collect::<Vec<_>>(),
                ));
                sent.push(args);
            }
            let mut cuts: Vec<usize> = (0..random.below(30))
                .map(|_| random.below(bytes.len() + 1))
                .collect();
            cuts.sort_unstable();
            let got = decode_pieces(&bytes, &cuts, &Limits::default(), random.below(2) == 0);
            assert_eq!(got.commands, sent);
            assert_eq!((got.error, got.left_bytes), (None, 0));
        }
    }

    #[test]
    fn garbage_decodes_the_same_however_it_is_cut() {
        let mut random = Random::new(11);
        let alphabet = b"*$\r\n0123456789- \"'\\xaG\0";
        let limits = Limits {
            inline_bytes_max: 20,
            bulk_bytes_max: 30,
            args_max: 12,
            authenticated: true,
        };
        for _ in 0..20_000 {
            let len = random.below(60);
            let bytes: Vec<u8> = (0..len)
                .map(|_| alphabet[random.below(alphabet.len())])
                .collect();
            let cuts: Vec<usize> = (0..=bytes.len()).filter(|_| random.below(3) == 0).collect();
            let pieces = decode_pieces(&bytes, &cuts, &limits, random.below(2) == 0);
            assert_eq!(pieces, decode_pieces(&bytes, &[], &limits, false));
        }
    }

    #[test]
    fn spans_are_positions_in_the_buffer_and_come_after_those_before() {
        let bytes = [PING, &multibulk(&[b"GET", b"k"])].concat();
        let mut spans = vec![Span { start: 9, len: 9 }];
        let decoded = Decoder::new().decode(&bytes, PING.len(), &Limits::default(), &mut spans);
        let consumed = bytes.len() - PING.len();
        assert_eq!(decoded, Ok(Decoded::Command { consumed }));
        assert_eq!(spans[0], Span { start: 9, len: 9 });
        assert_eq!(Args::new(&bytes, &spans).from(1).at(0), b"GET");
        assert_eq!(Args::new(&bytes, &spans).from(1).at(1), b"k");
    }

    #[test]
    fn commands_of_nothing_are_skipped() {
        for skipped in [
            &b"*0\r\n"[..],
            b"*-1\r\n",
            b"*-9223372036854775808\r\n",
            b"\r\n",
            b"\n",
        ] {
            let mut spans = Vec::new();
            let decoded = Decoder::new().decode(skipped, 0, &Limits::default(), &mut spans);
            let consumed = skipped.len();
            assert_eq!(decoded, Ok(Decoded::Nothing { consumed }));
        }
    }

    #[test]
    fn numbers_that_redis_refuses_are_refused() {
        let limits = Limits::default();
        for text in [
            "1048577",
            "1000000000",
            "2147483648",
            "-9223372036854775809",
            "+3",
            "-0",
            "01",
            "",
            " 1",
            "1 ",
            "1a",
            "18446744073709551617",
            "0000000001",
        ] {
            assert_eq!(
                error_of(format!("*{text}\r\n").as_bytes(), &limits),
                Some(ProtocolError::InvalidMultibulkLength),
                "*{text}"
            );
        }
        for text in [
            "-1",
            "-0",
            "",
            "+4",
            "04",
            "536870913",
            "4294967300",
            "9223372036854775807",
            "18446744073709551620",
        ] {
            assert_eq!(
                error_of(format!("*1\r\n${text}\r\n").as_bytes(), &limits),
                Some(ProtocolError::InvalidBulkLength),
                "${text}"
            );
        }
    }

    #[test]
    fn limits_are_the_last_value_accepted() {
        let limits = Limits {
            args_max: 3,
            bulk_bytes_max: 5,
            ..Limits::default()
        };
        assert_eq!(error_of(b"*3\r\n$5\r\n", &limits), None);
        assert_eq!(
            error_of(b"*4\r\n", &limits),
            Some(ProtocolError::InvalidMultibulkLength)
        );
        assert_eq!(
            error_of(b"*3\r\n$6\r\n", &limits),
            Some(ProtocolError::InvalidBulkLength)
        );
        let defaults = Limits::default();
        assert_eq!(error_of(b"*1048576\r\n$536870912\r\n", &defaults), None);
    }

    #[test]
    fn a_client_that_has_not_authenticated_may_say_little() {
        let limits = Limits {
            authenticated: false,
            ..Limits::default()
        };
        assert_eq!(error_of(b"*10\r\n$16384\r\n", &limits), None);
        assert_eq!(
            error_of(b"*11\r\n", &limits),
            Some(ProtocolError::UnauthenticatedMultibulkLength)
        );
        assert_eq!(
            error_of(b"*1\r\n$16385\r\n", &limits),
            Some(ProtocolError::UnauthenticatedBulkLength)
        );
        assert_eq!(
            error_of(b"*1\r\n$-1\r\n", &limits),
            Some(ProtocolError::InvalidBulkLength)
        );
        assert_eq!(
            error_of(b"*3000000000\r\n", &limits),
            Some(ProtocolError::InvalidMultibulkLength)
        );
    }

    #[test]
    fn lines_without_an_end_are_refused_past_the_limit() {
        let line = |start: &[u8], filler: u8, line_bytes: usize| {
            let header_bytes = start.len() - 1;
            let mut bytes = start.to_vec();
            bytes.resize(header_bytes + line_bytes, filler);
            bytes
        };
        for (start, filler, error) in [
            (&b"*"[..], b'1', ProtocolError::MultibulkLineTooLong),
            (b"*1\r\n$", b'1', ProtocolError::BulkLineTooLong),
            (b"a", b'a', ProtocolError::InlineTooLong),
        ] {
            let limits = Limits::default();
            assert_eq!(error_of(&line(start, filler, 65536), &limits), None);
            assert_eq!(error_of(&line(start, filler, 65537), &limits), Some(error));
            let ended_too_late = [&line(start, filler, 70_000)[..], b"\r\n"].concat();
            assert_eq!(error_of(&ended_too_late, &limits), Some(error));
        }
    }

    #[test]
    fn a_long_line_is_searched_once_however_slowly_it_comes() {
        let limits = Limits::default();
        let bytes = vec![b'a'; 65536];
        let mut decoder = Decoder::new();
        for len in 1..=bytes.len() {
            let decoded = decoder.decode(&bytes[..len], 0, &limits, &mut Vec::new());
            assert_eq!(decoded, Ok(Decoded::Incomplete));
            assert_eq!(decoder.progress.searched_bytes, len);
        }
    }

    #[test]
    fn finished_arguments_are_not_looked_at_again() {
        let mut bytes = multibulk(&[b"SET", b"k", b"v"]);
        let mut decoder = Decoder::new();
        let (mut spans, limits) = (Vec::new(), Limits::default());
        let cut = bytes.len() - 3;
        let decoded = decoder.decode(&bytes[..cut], 0, &limits, &mut spans);
        assert_eq!(decoded, Ok(Decoded::Incomplete));
        // Headers already read may hold anything now: they are not read again.
        bytes[..4].fill(b'?');
        bytes[4..8].fill(b'?');
        let decoded = decoder.decode(&bytes, 0, &limits, &mut spans);
        let consumed = bytes.len();
        assert_eq!(decoded, Ok(Decoded::Command { consumed }));
        assert_eq!(Args::new(&bytes, &spans).at(0), b"SET");
    }

    #[test]
    fn announced_bytes_and_arguments_reserve_no_memory() {
        let limits = Limits::default();
        for announced in [&b"*1048576\r\n"[..], b"*1048576\r\n$536870912\r\n"] {
            let (mut decoder, mut spans) = (Decoder::new(), Vec::new());
            let decoded = decoder.decode(announced, 0, &limits, &mut spans);
            assert_eq!(decoded, Ok(Decoded::Incomplete));
            assert_eq!((decoder.heap_bytes(), spans.capacity()), (0, 0));
        }
    }

    #[test]
    fn memory_follows_the_arguments_that_arrived_and_goes_with_the_command() {
        let mut bytes = b"*1048576\r\n".to_vec();
        let (mut decoder, mut spans) = (Decoder::new(), Vec::new());
        let limits = Limits::default();
        for arrived in 1..1000 {
            bytes.extend_from_slice(b"$1\r\nx\r\n");
            let decoded = decoder.decode(&bytes, 0, &limits, &mut spans);
            assert_eq!(decoded, Ok(Decoded::Incomplete));
            assert!(decoder.heap_bytes() <= (2 * arrived + 8) * size_of::<Span>());
        }
        bytes.extend_from_slice(b"?\r\n");
        let decoded = decoder.decode(&bytes, 0, &limits, &mut spans);
        assert_eq!(decoded, Err(ProtocolError::ExpectedBulk(b'?')));
        assert_eq!(decoder.heap_bytes(), 0);
    }

    #[test]
    fn the_announced_remainder_is_told() {
        let mut decoder = Decoder::new();
        let mut spans = Vec::new();
        let bytes = b"*2\r\n$3\r\nGET\r\n$100\r\nabc";
        for (len, missing) in [(2, 0), (4, 0), (8, 5), (13, 0), (bytes.len(), 99)] {
            let decoded = decoder.decode(&bytes[..len], 0, &Limits::default(), &mut spans);
            assert_eq!(decoded, Ok(Decoded::Incomplete));
            assert_eq!(decoder.missing_bytes(), missing, "after {len} bytes");
        }
    }

    #[test]
    fn a_command_of_more_than_two_gibibytes_is_refused_when_announced() {
        let limits = Limits {
            bulk_bytes_max: u32::MAX,
            ..Limits::default()
        };
        assert_eq!(
            error_of(b"*1\r\n$4294967295\r\n", &limits),
            Some(ProtocolError::InvalidBulkLength)
        );
        assert_eq!(error_of(b"*1\r\n$2147483000\r\n", &limits), None);
    }

    #[test]
    fn a_command_of_more_than_two_gibibytes_is_refused_when_it_is_there() {
        // Zeroed memory that is never touched takes no room.
        let bulk_bytes = 536_870_912;
        let mut bytes = vec![0; 4 * (bulk_bytes + 14) + 4];
        bytes[..4].copy_from_slice(b"*4\r\n");
        for i in 0..4 {
            let at = 4 + i * (bulk_bytes + 14);
            bytes[at..at + 12].copy_from_slice(b"$536870912\r\n");
        }
        let mut spans = Vec::new();
        let decoded = Decoder::new().decode(&bytes, 0, &Limits::default(), &mut spans);
        assert_eq!(decoded, Err(ProtocolError::InvalidBulkLength));
        assert!(spans.is_empty());
    }

    #[test]
    fn a_decoder_is_as_new_after_an_error() {
        let mut decoder = Decoder::new();
        let (mut spans, limits) = (Vec::new(), Limits::default());
        let broken = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\nx\r\n";
        assert!(
            decoder
                .decode(&broken[..20], 0, &limits, &mut spans)
                .is_ok()
        );
        assert!(decoder.decode(broken, 0, &limits, &mut spans).is_err());
        let consumed = PING.len();
        let decoded = decoder.decode(PING, 0, &limits, &mut spans);
        assert_eq!(decoded, Ok(Decoded::Command { consumed }));
    }

    #[test]
    fn each_error_has_the_text_of_redis() {
        for (bytes, text) in [
            (&b"*x\r\n"[..], &b"invalid multibulk length"[..]),
            (b"*1\r\n$x\r\n", b"invalid bulk length"),
            (b"*1\r\nx\r\n", b"expected '$', got 'x'"),
            (b"*1\r\n\xff\r\n", b"expected '$', got '\xff'"),
            (b"*1\r\n\r\n", b"expected '$', got ' '"),
            (b"*1\r\n\n\r\n", b"expected '$', got ' '"),
            (b"GET \"k\r\n", b"unbalanced quotes in request"),
        ] {
            let error = error_of(bytes, &Limits::default()).expect("an error");
            let mut out = Vec::new();
            error.write_to(&mut out);
            assert_eq!(out, [b"-ERR Protocol error: ", text, b"\r\n"].concat());
        }
    }
}
