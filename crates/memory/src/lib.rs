//! The allocator, its accounts, and the report of where memory is
