//! The `pinyon` binary: arguments and start.
fn main() {}
