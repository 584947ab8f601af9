//! What tests share: a server process, a client, an oracle, generators.
//! Never part of the server; nothing that ships depends on it.
//! Source: none of its own.

#![forbid(unsafe_code)]

pub mod client;
pub mod cluster;
pub mod fields;
pub mod generate;
pub mod oracle;
pub mod server;

pub use client::{Client, encode};
pub use cluster::Cluster;
pub use server::Server;
