//! One shard's data: entries, index, expiry, scanning, purging
