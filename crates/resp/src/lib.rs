//! The Redis wire protocol: incremental decoding and encoding, no I/O
