//! Somebody who sends arbitrary bytes to the port of metrics, divided arbitrarily.
//! Never may the decoder panic, find other requests than in the undivided bytes, take more than there is, or wait for ever;
//! nor may a request lead to a command that is not on the list.
//! Source: the contract of `watch::request::decode`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use watch::request::{Decoded, HEAD_BYTES_MAX, decode};
use watch::{Request, Route, Settings, Status};

/// What a stream of bytes asks for, and how it ends.
#[derive(Debug, Default, PartialEq)]
struct Stream {
    requests: Vec<Request>,
    refused: Option<Status>,
}

/// A connection: what it has received and not served.
#[derive(Default)]
struct Connection {
    buf: Vec<u8>,
    stream: Stream,
}

impl Connection {
    /// Takes a piece of the stream; false once it is refused.
    fn receive(&mut self, piece: &[u8]) -> bool {
        if self.stream.refused.is_some() {
            return false;
        }
        self.buf.extend_from_slice(piece);
        loop {
            match decode(&self.buf) {
                Decoded::Request { request, consumed } => {
                    assert!((1..=self.buf.len().min(HEAD_BYTES_MAX)).contains(&consumed));
                    serve(&request);
                    self.stream.requests.push(request);
                    self.buf.drain(..consumed);
                }
                Decoded::Incomplete => {
                    assert!(self.buf.len() < HEAD_BYTES_MAX);
                    return true;
                }
                Decoded::Refused(status) => {
                    self.stream.refused = Some(status);
                    return false;
                }
            }
        }
    }
}

/// Routes a request, answers its commands with whatever, and looks at the result.
fn serve(request: &Request) {
    let settings = Settings {
        prefixes: 3,
        hosts: "metrics.example",
    };
    let response = match watch::route(request, settings) {
        Route::Answered(response) => response,
        Route::Asks(ask) => {
            for command in &ask.commands {
                let name = command.as_args().at(0).to_ascii_uppercase();
                assert!(name == b"MEMORY" || name == b"INFO");
            }
            let replies = vec![request.query.as_bytes().to_vec(); ask.commands.len()];
            ask.answer.of(&replies)
        }
    };
    let (mut whole, mut head) = (Vec::new(), Vec::new());
    response.write(&mut whole, false, request.keeps_alive);
    response.write(&mut head, true, request.keeps_alive);
    assert!(whole.starts_with(&head) && head.ends_with(b"\r\n\r\n"));
}

fuzz_target!(|input: &[u8]| {
    let [cuts, input @ ..] = input else {
        return;
    };
    let Some((steps, bytes)) = input.split_at_checked(usize::from(cuts % 32)) else {
        return;
    };
    let mut whole = Connection::default();
    whole.receive(bytes);

    let mut pieces = Connection::default();
    let mut rest = bytes;
    for step in steps {
        let (piece, behind) = rest.split_at(usize::from(*step).min(rest.len()));
        rest = behind;
        pieces.receive(piece);
    }
    pieces.receive(rest);
    assert_eq!(pieces.stream, whole.stream);
});
