//! Executors, connections, the mesh between shards, background work: everything that moves.
//! What commands mean is not known here; this is the only crate that names the runtime and the kernel's interfaces.
//! `driver` is the heart: one turn of one core.

mod clock;
mod connection;
mod cores;
mod driver;
mod exchange;
mod limits;
mod mesh;
mod net;
mod refusal;
mod refused;
mod replies;
mod share;
mod shared;
mod signals;
mod start;

pub use start::run;
