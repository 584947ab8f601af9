//! Owns what the process knows about its memory: the allocator and its counters, the figures of a
//! shard, of the process, the report they merge into, its diagnosis, and the limit shards share.
//! Never happens here: a key, a command, a socket, or the wire; whoever renders a report reads
//! its list of fields.
//!
//! Every byte is on one account. A figure is *summed* over shards, *read once* for the process, or
//! *derived* after the merge; its documentation says which.

#![deny(unsafe_op_in_unsafe_fn)]

pub mod budget;
pub mod doctor;
pub mod heap;
pub mod history;
pub mod pages;
pub mod process;
pub mod report;
pub mod shard;
