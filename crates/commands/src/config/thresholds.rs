//! The options that say up to where collections stay packed, and the old names of those that have one.
//! Nothing here applies a value: every core tells its shard after a change.
//! Names, defaults and ranges are those of Redis 7.2.

use super::{Config, Kind, Setting, When};

/// Old names, which Redis still takes, and what they stand for.
pub const ALIASES: &[(&str, &str)] = &[
    ("hash-max-ziplist-entries", "hash-max-listpack-entries"),
    ("hash-max-ziplist-value", "hash-max-listpack-value"),
    ("list-max-ziplist-size", "list-max-listpack-size"),
    ("zset-max-ziplist-entries", "zset-max-listpack-entries"),
    ("zset-max-ziplist-value", "zset-max-listpack-value"),
];

const fn threshold(
    name: &'static str,
    default: &'static str,
    summary: &'static str,
    read: fn(&Config) -> i64,
    write: fn(&mut Config, i64),
) -> Setting {
    Setting {
        name,
        group: "Data types",
        kind: Kind::Integer {
            min: 0,
            max: i64::MAX,
            read,
            write,
        },
        default,
        when: When::Anytime,
        summary,
    }
}

/// One in bytes, which takes Redis' units.
const fn threshold_bytes(
    name: &'static str,
    default: &'static str,
    summary: &'static str,
    read: fn(&Config) -> u64,
    write: fn(&mut Config, u64),
) -> Setting {
    Setting {
        kind: Kind::Size {
            min: 0,
            max: i64::MAX as u64,
            read,
            write,
        },
        ..threshold(name, default, summary, |_| 0, |_, _| {})
    }
}

pub(super) const HASH_ENTRIES: Setting = threshold(
    "hash-max-listpack-entries",
    "512",
    "Fields up to which a hash stays packed in one block.",
    |config| config.thresholds.hash_max_listpack_entries as i64,
    |config, fields| config.thresholds.hash_max_listpack_entries = fields as usize,
);
pub(super) const HASH_VALUE: Setting = threshold_bytes(
    "hash-max-listpack-value",
    "64",
    "Bytes of a field or value up to which a hash stays packed.",
    |config| config.thresholds.hash_max_listpack_value as u64,
    |config, bytes| config.thresholds.hash_max_listpack_value = bytes as usize,
);
pub(super) const LIST_SIZE: Setting = Setting {
    kind: Kind::Integer {
        min: i32::MIN as i64,
        max: i32::MAX as i64,
        read: |config| config.thresholds.list_max_listpack_size.into(),
        write: |config, size| config.thresholds.list_max_listpack_size = size as i32,
    },
    ..threshold(
        "list-max-listpack-size",
        "-2",
        "Elements of a node of a list, or -1 to -5 for its bytes: 4, 8, 16, 32, 64 KiB.",
        |_| 0,
        |_, _| {},
    )
};
pub(super) const LIST_DEPTH: Setting = Setting {
    kind: Kind::Integer {
        min: 0,
        max: i32::MAX as i64,
        read: |config| config.list_compress_depth.into(),
        write: |config, depth| config.list_compress_depth = depth as u32,
    },
    ..threshold(
        "list-compress-depth",
        "0",
        "Kept for tools that set it: nodes of lists are never compressed.",
        |_| 0,
        |_, _| {},
    )
};
pub(super) const SET_INTS: Setting = threshold(
    "set-max-intset-entries",
    "512",
    "Members up to which a set of integers stays a sorted array.",
    |config| config.thresholds.set_max_intset_entries as i64,
    |config, members| config.thresholds.set_max_intset_entries = members as usize,
);
pub(super) const SET_ENTRIES: Setting = threshold(
    "set-max-listpack-entries",
    "128",
    "Members up to which a set stays packed in one block.",
    |config| config.thresholds.set_max_listpack_entries as i64,
    |config, members| config.thresholds.set_max_listpack_entries = members as usize,
);
pub(super) const SET_VALUE: Setting = threshold_bytes(
    "set-max-listpack-value",
    "64",
    "Bytes of a member up to which a set stays packed.",
    |config| config.thresholds.set_max_listpack_value as u64,
    |config, bytes| config.thresholds.set_max_listpack_value = bytes as usize,
);
pub(super) const ZSET_ENTRIES: Setting = threshold(
    "zset-max-listpack-entries",
    "128",
    "Members up to which a sorted set stays packed in one block.",
    |config| config.thresholds.zset_max_listpack_entries as i64,
    |config, members| config.thresholds.zset_max_listpack_entries = members as usize,
);
pub(super) const ZSET_VALUE: Setting = threshold_bytes(
    "zset-max-listpack-value",
    "64",
    "Bytes of a member up to which a sorted set stays packed.",
    |config| config.thresholds.zset_max_listpack_value as u64,
    |config, bytes| config.thresholds.zset_max_listpack_value = bytes as usize,
);
pub(super) const STREAM_BYTES: Setting = threshold_bytes(
    "stream-node-max-bytes",
    "4096",
    "Bytes of a node of a stream; 0 is no limit.",
    |config| config.thresholds.stream_node_max_bytes as u64,
    |config, bytes| config.thresholds.stream_node_max_bytes = bytes as usize,
);
pub(super) const STREAM_ENTRIES: Setting = threshold(
    "stream-node-max-entries",
    "100",
    "Entries of a node of a stream; 0 is no limit.",
    |config| config.thresholds.stream_node_max_entries as i64,
    |config, entries| config.thresholds.stream_node_max_entries = entries as usize,
);
