//! A client that sends arbitrary bytes, divided arbitrarily.
//! Never may the decoder panic, find other commands than in the undivided
//! bytes, point outside the buffer, or hold memory for what was only announced.
//! Source: the contract of `Decoder::decode`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use resp::{Args, Decoded, Decoder, Limits, OwnedArgs, ProtocolError, Span};

/// What a stream of bytes asks for, and how it ends.
#[derive(Debug, PartialEq)]
struct Stream {
    commands: Vec<OwnedArgs>,
    error: Option<ProtocolError>,
    left_bytes: usize,
}

/// A connection: what it has received and not executed.
struct Connection {
    decoder: Decoder,
    buf: Vec<u8>,
    at: usize,
    stream: Stream,
}

impl Connection {
    fn new() -> Self {
        Connection {
            decoder: Decoder::new(),
            buf: Vec::new(),
            at: 0,
            stream: Stream {
                commands: Vec::new(),
                error: None,
                left_bytes: 0,
            },
        }
    }

    /// Takes a piece of the stream; false once the stream is broken.
    fn receive(&mut self, piece: &[u8], limits: &Limits) -> bool {
        self.buf.extend_from_slice(piece);
        let mut spans = Vec::new();
        loop {
            spans.clear();
            let decoded = self.decoder.decode(&self.buf, self.at, limits, &mut spans);
            match decoded {
                Ok(Decoded::Command { consumed }) => {
                    let end = self.at + consumed;
                    assert!(!spans.is_empty() && end <= self.buf.len());
                    assert!(spans.iter().all(|s| s.start as usize >= self.at));
                    assert!(spans.iter().all(|s| (s.start + s.len) as usize <= end));
                    assert_eq!(self.decoder.heap_bytes(), 0);
                    let args = Args::new(&self.buf, &spans);
                    self.stream.commands.push(OwnedArgs::from_args(args));
                    self.at = end;
                }
                Ok(Decoded::Inline { consumed, args }) => {
                    assert!(consumed > 0 && !args.is_empty());
                    self.stream.commands.push(args);
                    self.at += consumed;
                }
                Ok(Decoded::Nothing { consumed }) => {
                    assert!(consumed > 0);
                    self.at += consumed;
                }
                Ok(Decoded::Incomplete) => break,
                Err(error) => {
                    let mut reply = Vec::new();
                    error.write_to(&mut reply);
                    assert!(matches!(
                        resp::Reply::parse(&reply),
                        Ok(Some((resp::Reply::Error(_), taken))) if taken == reply.len()
                    ));
                    self.stream.error = Some(error);
                    return false;
                }
            }
        }
        assert!(spans.is_empty());
        // An argument takes six bytes at least, and a vector at most doubles.
        let unfinished_bytes = self.buf.len() - self.at;
        let args_max = unfinished_bytes / 6;
        assert!(self.decoder.heap_bytes() <= (2 * args_max + 4) * size_of::<Span>());
        self.stream.left_bytes = unfinished_bytes;
        true
    }

    /// Drops the bytes of executed commands.
    fn compact(&mut self) {
        self.buf.drain(..self.at);
        self.at = 0;
    }
}

fuzz_target!(|input: &[u8]| {
    let [choice, cuts, input @ ..] = input else {
        return;
    };
    let mut limits = Limits {
        authenticated: choice & 1 == 0,
        ..Limits::default()
    };
    if choice & 2 == 0 {
        limits.inline_bytes_max = 24;
        limits.bulk_bytes_max = 40;
        limits.args_max = 12;
    }
    let Some((steps, bytes)) = input.split_at_checked(usize::from(cuts % 32)) else {
        return;
    };

    let mut whole = Connection::new();
    whole.receive(bytes, &limits);

    let mut pieces = Connection::new();
    let (mut rest, mut sound) = (bytes, true);
    for step in steps {
        let (piece, behind) = rest.split_at(usize::from(*step).min(rest.len()));
        rest = behind;
        sound = sound && pieces.receive(piece, &limits);
        if sound && choice & 4 == 0 {
            pieces.compact();
        }
    }
    if sound {
        pieces.receive(rest, &limits);
    }
    if whole.stream.error.is_some() {
        // What was left before the error depends on when the bytes came.
        whole.stream.left_bytes = 0;
        pieces.stream.left_bytes = 0;
    }
    assert_eq!(pieces.stream, whole.stream);
});
