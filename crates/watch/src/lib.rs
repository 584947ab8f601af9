//! What a browser and a scraper see: HTTP requests in, the commands behind them, JSON and metrics out, and the page.
//! Never touches a socket, a shard, or a clock: the server carries bytes here and runs the commands that are named here.
//! Sources: RFC 9112 for the framing, the OpenMetrics specification, and redis_exporter for the names of metrics.
//!
//! Decision 0007 says why HTTP is a gateway to commands and not a second way into the figures.
#![forbid(unsafe_code)]

mod escape;
mod host;
mod json;
mod metrics;
mod page;
pub mod request;
pub mod response;
pub mod routes;

pub use request::{Decoded, Request};
pub use response::{Response, Status};
pub use routes::{Answer, Ask, Route, Settings, route};
