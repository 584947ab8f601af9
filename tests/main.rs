//! The whole server as clients meet it: a real process, real connections, real signals.
//! Never looks inside; what a test knows came over the wire or from the kernel.
//! Where Pinyon answers as Redis does, the same tests pass with PINYON_TEST_BINARY=redis-server.

mod balance;
mod clients;
mod curve;
mod defrag;
mod doctor;
mod doctor_later;
mod eviction;
mod expiry;
mod fixture;
mod insight;
mod lifecycle;
mod limits;
mod long_commands;
mod long_copies;
mod long_lookups;
mod long_takes;
mod memory;
mod metrics;
mod options;
mod oracle;
mod page;
mod pipelining;
mod protocol;
mod reading;
mod reading_later;
mod scan;
mod sharding;
mod tidy;
mod watching;
