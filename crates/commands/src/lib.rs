//! The table of commands, their handlers by family, and how per-shard parts merge.
//! Nothing here waits, locks, reads a clock, or knows about threads: a handler is a plain function of a core and its arguments.
//! Commands, key positions and the words for fan-out (request and response policies) follow Redis' command table.
#![forbid(unsafe_code)]

pub mod call;
pub mod clients;
pub mod config;
pub mod core;
pub mod error;
pub mod execute;
pub mod facts;
pub mod gather;
pub mod glob;
pub mod locks;
pub mod log;
pub mod part;
mod past;
pub mod row;
pub mod stats;
pub mod table;

mod bits;
mod client;
mod client_memory;
mod connection;
mod counters;
mod debug;
mod dump;
mod dumping;
mod element_scan;
mod expiry;
mod extended;
mod functions;
mod geo;
mod growth;
pub mod guard;
mod hashes;
mod hyperloglog;
mod introspection;
mod joint;
mod keys;
mod keyspace;
mod lcs;
mod lists;
mod lookup;
mod memory_family;
mod object;
mod picks;
mod plan;
mod positions;
pub mod pressure;
pub mod reading;
mod reply_limit;
pub mod room;
mod rounds;
mod server;
mod sets;
mod settings;
pub mod sharing;
mod sort;
pub mod steps;
mod streams;
mod strings;
mod tend;
mod texts;
mod zsets;

#[cfg(test)]
mod trial;

pub use call::Call;
pub use clients::{Client, ClientId, Clients};
pub use core::{Core, ShardId};
pub use error::{Error, Reply};
pub use facts::Facts;
pub use introspection::printed_reference;
pub use part::{Part, Progress};
pub use row::{Command, Flags, Run};
pub use table::Table;

/// Every family's rows, in the order COMMAND lists them.
fn families() -> &'static [&'static [Command]] {
    &[
        connection::ROWS,
        client::ROWS,
        keys::ROWS,
        expiry::ROWS,
        keyspace::ROWS,
        dump::ROWS,
        object::ROWS,
        strings::ROWS,
        lists::ROWS,
        zsets::ROWS,
        geo::ROWS,
        counters::ROWS,
        streams::ROWS,
        bits::ROWS,
        hyperloglog::ROWS,
        sets::ROWS,
        sort::ROWS,
        hashes::ROWS,
        server::ROWS,
        settings::ROWS,
        introspection::ROWS,
        debug::ROWS,
        functions::ROWS,
        memory_family::ROWS,
    ]
}
