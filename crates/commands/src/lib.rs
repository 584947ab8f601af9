//! The table of commands, their handlers, and how per-shard parts merge
