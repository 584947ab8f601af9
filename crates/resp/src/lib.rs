//! The Redis wire protocol: bytes to commands and replies to bytes.
//! Never does input or output, reads a clock, or knows what a command means.
//! Source: the RESP2 and RESP3 specifications, and redis-server 7 asked for every edge.
//!
//! A server feeds what a client sent to a [`Decoder`] and gets [`Args`], ranges
//! of its own buffer; it answers through a [`Writer`], the only place that
//! knows RESP2 from RESP3. [`Reply`] reads answers back, for clients and tests.
//!
//! ```
//! use resp::{Args, Decoded, Decoder, Limits, Proto, Writer};
//!
//! let received = b"*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n";
//! let (mut decoder, mut spans) = (Decoder::new(), Vec::new());
//! let decoded = decoder.decode(received, 0, &Limits::default(), &mut spans)?;
//! assert_eq!(decoded, Decoded::Command { consumed: 22 });
//!
//! let args = Args::new(received, &spans);
//! let mut out = Vec::new();
//! Writer::new(&mut out, Proto::Resp2).bulk(args.at(1));
//! assert_eq!(out, b"$2\r\nhi\r\n");
//! # Ok::<(), resp::ProtocolError>(())
//! ```

#![forbid(unsafe_code)]

pub mod args;
pub mod decode;
pub mod encode;
pub mod inline;
pub mod number;
pub mod protocol_error;
pub mod reply;
#[cfg(test)]
mod testing;

pub use args::{Args, OwnedArgs, Span};
pub use decode::{Decoded, Decoder, Limits};
pub use encode::{Deferred, Proto, Writer};
pub use protocol_error::ProtocolError;
pub use reply::{InvalidReply, Reply};
