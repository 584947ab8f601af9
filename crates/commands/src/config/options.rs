//! The table of options: name, kind, default, when it may change, and one line of documentation.
//! Nothing else lists options: CONFIG, config/pinyon.conf, and the command line read this table.
//! Names and ranges are Redis' where Redis has the option.

use super::{DebugAccess, Kind, PercentSign, defrag, policy, thresholds, watching};
use store::PREFIX_DEPTH_MAX;

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// As in the file and in CONFIG GET.
    pub name: &'static str,
    /// The part of the file it stands in.
    pub group: &'static str,
    /// What its value may be, and its field.
    pub kind: Kind,
    /// Its default, as one would write it.
    pub default: &'static str,
    /// When it may change.
    pub when: When,
    /// What it does, in one line.
    pub summary: &'static str,
}

/// When an option may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Only at the start.
    Start,
    /// At any time, by CONFIG SET.
    Anytime,
}

const INT_MAX: i64 = i32::MAX as i64;

/// A command is at most 2 GiB (`resp::decode::COMMAND_BYTES_MAX`); this leaves room for its other arguments.
const BULK_BYTES_MAX: u64 = (2 << 30) - (1 << 20);

/// Every option, in the order of the file.
pub const OPTIONS: &[Setting] = &[
    Setting {
        name: "bind",
        group: "Network",
        kind: Kind::Addresses,
        default: "127.0.0.1",
        when: When::Start,
        summary: "Addresses to listen on; a leading - forgives one that does not exist, * and -::* are all.",
    },
    Setting {
        name: "port",
        group: "Network",
        kind: Kind::Integer {
            min: 0,
            max: 65535,
            read: |config| config.port.into(),
            write: |config, port| config.port = port as u16,
        },
        default: "6379",
        when: When::Start,
        summary: "TCP port.",
    },
    Setting {
        name: "tcp-backlog",
        group: "Network",
        kind: Kind::Integer {
            min: 0,
            max: INT_MAX,
            read: |config| config.tcp_backlog.into(),
            write: |config, backlog| config.tcp_backlog = backlog as u32,
        },
        default: "511",
        when: When::Start,
        summary: "Connections that may wait in the kernel to be accepted; the kernel's own limit may be lower.",
    },
    Setting {
        name: "tcp-keepalive",
        group: "Network",
        kind: Kind::Integer {
            min: 0,
            max: INT_MAX,
            read: |config| config.tcp_keepalive_s.into(),
            write: |config, seconds| config.tcp_keepalive_s = seconds as u32,
        },
        default: "300",
        when: When::Anytime,
        summary: "Seconds of silence after which the kernel asks a client for a sign of life; 0 never asks.",
    },
    Setting {
        name: "timeout",
        group: "Network",
        kind: Kind::Integer {
            min: 0,
            max: INT_MAX,
            read: |config| config.timeout_s.into(),
            write: |config, seconds| config.timeout_s = seconds as u32,
        },
        default: "0",
        when: When::Anytime,
        summary: "Seconds after which an idle client is closed; 0 never closes one.",
    },
    watching::PORT,
    watching::PREFIXES,
    watching::HOSTS,
    Setting {
        name: "requirepass",
        group: "Clients",
        kind: Kind::Text {
            read: |config| &config.requirepass,
            write: |config, password| config.requirepass = password.to_owned(),
        },
        default: "",
        when: When::Anytime,
        summary: "Password that clients must give by AUTH or HELLO; empty asks for none.",
    },
    Setting {
        name: "maxclients",
        group: "Clients",
        kind: Kind::Integer {
            min: 1,
            max: u32::MAX as i64,
            read: |config| config.maxclients.into(),
            write: |config, clients| config.maxclients = clients as u32,
        },
        default: "10000",
        when: When::Anytime,
        summary: "Connections at once; one more gets an error and is closed.",
    },
    Setting {
        name: "proto-max-bulk-len",
        group: "Clients",
        kind: Kind::Size {
            min: 1 << 20,
            max: BULK_BYTES_MAX,
            read: |config| config.proto_max_bulk_len,
            write: |config, bytes| config.proto_max_bulk_len = bytes,
        },
        default: "512mb",
        when: When::Anytime,
        summary: "Longest single argument of a command, and so the longest value.",
    },
    Setting {
        name: "client-query-buffer-limit",
        group: "Clients",
        kind: Kind::Size {
            min: 1 << 20,
            max: i64::MAX as u64,
            read: |config| config.client_query_buffer_limit,
            write: |config, bytes| config.client_query_buffer_limit = bytes,
        },
        default: "1gb",
        when: When::Anytime,
        summary: "Most bytes of one client's commands that are not complete; a client that passes it is closed.",
    },
    Setting {
        name: "client-output-buffer-limit",
        group: "Clients",
        kind: Kind::OutputLimits,
        default: "normal 0 0 0 replica 256mb 64mb 60 pubsub 32mb 8mb 60",
        when: When::Anytime,
        summary: "When a client that does not read its replies is closed; even without limits it is not read while many wait.",
    },
    Setting {
        name: "enable-debug-command",
        group: "Clients",
        kind: Kind::Word {
            words: &["local", "yes", "no"],
            read: |config| match config.enable_debug_command {
                DebugAccess::Local => 0,
                DebugAccess::Yes => 1,
                DebugAccess::No => 2,
            },
            write: |config, place| {
                config.enable_debug_command =
                    [DebugAccess::Local, DebugAccess::Yes, DebugAccess::No][place];
            },
        },
        default: "local",
        when: When::Start,
        summary: "Who may use DEBUG, which can stop every shard: clients of this machine, all, or none.",
    },
    Setting {
        name: "maxmemory",
        group: "Memory",
        kind: Kind::MemoryLimit,
        default: "auto",
        when: When::Anytime,
        summary: "Memory limit; auto leaves a reserve of what the machine or container has.",
    },
    policy::POLICY,
    policy::SAMPLES,
    policy::TENACITY,
    policy::CLIENTS,
    policy::LFU_FACTOR,
    policy::LFU_DECAY,
    policy::IFS_SAMPLES,
    policy::IFS_BETA,
    policy::IFS_FRESH,
    Setting {
        name: "memory-curve",
        group: "Memory",
        kind: Kind::YesNo {
            read: |config| config.memory_curve,
            write: |config, yes| config.memory_curve = yes,
        },
        default: "yes",
        when: When::Anytime,
        summary: "Whether reads are sampled for MEMORY CURVE; no forgets what was sampled.",
    },
    Setting {
        name: "memory-stats-percent-sign",
        group: "Memory",
        kind: Kind::Word {
            words: &["auto", "yes", "no"],
            read: |config| match config.memory_stats_percent_sign {
                PercentSign::Auto => 0,
                PercentSign::Yes => 1,
                PercentSign::No => 2,
            },
            write: |config, place| {
                config.memory_stats_percent_sign =
                    [PercentSign::Auto, PercentSign::Yes, PercentSign::No][place];
            },
        },
        default: "auto",
        when: When::Anytime,
        summary: "Percent signs in MEMORY STATS under RESP2; auto leaves them out for client libraries, which read numbers.",
    },
    defrag::ACTIVE,
    defrag::IGNORE_BYTES,
    defrag::THRESHOLD_LOWER,
    defrag::THRESHOLD_UPPER,
    defrag::CYCLE_MIN,
    defrag::CYCLE_MAX,
    Setting {
        name: "memory-prefixes",
        group: "Memory",
        kind: Kind::YesNo {
            read: |config| config.prefix_rules.is_on,
            write: |config, yes| config.prefix_rules.is_on = yes,
        },
        default: "yes",
        when: When::Anytime,
        summary: "Keeps account of key prefixes for MEMORY PREFIXES; once turned on, keys that are there are counted step by step.",
    },
    Setting {
        name: "memory-prefix-delimiters",
        group: "Memory",
        kind: Kind::Delimiters,
        default: ":",
        when: When::Anytime,
        summary: "What ends a segment of a prefix: any of these signs. A change counts all keys anew, step by step.",
    },
    Setting {
        name: "memory-prefix-depth",
        group: "Memory",
        kind: Kind::Integer {
            min: 1,
            max: PREFIX_DEPTH_MAX as i64,
            read: |config| config.prefix_rules.depth() as i64,
            write: |config, depth| config.prefix_rules.set_depth(depth as usize),
        },
        default: "2",
        when: When::Anytime,
        summary: "Segments that a prefix has at most. A change counts all keys anew, step by step.",
    },
    Setting {
        name: "lazyfree-lazy-user-flush",
        group: "Memory",
        kind: Kind::YesNo {
            read: |config| config.lazyfree_lazy_user_flush,
            write: |config, yes| config.lazyfree_lazy_user_flush = yes,
        },
        default: "no",
        when: When::Anytime,
        summary: "Whether FLUSHALL and FLUSHDB answer before the memory is free, as with ASYNC, when neither word is given.",
    },
    Setting {
        name: "hll-sparse-max-bytes",
        group: "Memory",
        kind: Kind::Size {
            min: 0,
            max: i64::MAX as u64,
            read: |config| config.hll_sparse_max_bytes,
            write: |config, bytes| config.hll_sparse_max_bytes = bytes,
        },
        default: "3000",
        when: When::Anytime,
        summary: "Longest HyperLogLog, header included, that is kept in the sparse form; longer ones take 12 KiB.",
    },
    Setting {
        name: "shards",
        group: "Cores",
        kind: Kind::Integer {
            min: 0,
            max: 1023,
            read: |config| config.shards.into(),
            write: |config, shards| config.shards = shards as u16,
        },
        default: "0",
        when: When::Start,
        summary: "Shards, each on a core of its own; 0 is one for each core.",
    },
    Setting {
        name: "spin-before-park",
        group: "Cores",
        kind: Kind::Integer {
            min: 0,
            max: 10_000,
            read: |config| config.spin_before_park_us.into(),
            write: |config, microseconds| config.spin_before_park_us = microseconds as u32,
        },
        default: "0",
        when: When::Start,
        summary: "Microseconds an idle core looks for work before it sleeps: quicker answers for more CPU.",
    },
    Setting {
        name: "hz",
        group: "Cores",
        kind: Kind::Integer {
            min: 0,
            max: INT_MAX,
            read: |config| config.hz.into(),
            // Redis takes any number that is not negative and pulls it into 1 to 500.
            write: |config, hz| config.hz = hz.clamp(1, 500) as u32,
        },
        default: "10",
        when: When::Anytime,
        summary: "Pulled into 1 to 500 and kept for tools that set it; background work follows what there is to do.",
    },
    thresholds::HASH_ENTRIES,
    thresholds::HASH_VALUE,
    thresholds::LIST_SIZE,
    thresholds::LIST_DEPTH,
    thresholds::SET_INTS,
    thresholds::SET_ENTRIES,
    thresholds::SET_VALUE,
    thresholds::ZSET_ENTRIES,
    thresholds::ZSET_VALUE,
    thresholds::STREAM_BYTES,
    thresholds::STREAM_ENTRIES,
    Setting {
        name: "databases",
        group: "What is fixed",
        kind: Kind::Fixed("16"),
        default: "16",
        when: When::Start,
        summary: "Databases.",
    },
    Setting {
        name: "save",
        group: "What is fixed",
        kind: Kind::Fixed(""),
        default: "",
        when: When::Anytime,
        summary: "Snapshots: there are none yet.",
    },
    Setting {
        name: "appendonly",
        group: "What is fixed",
        kind: Kind::Fixed("no"),
        default: "no",
        when: When::Anytime,
        summary: "Append-only file: there is none yet.",
    },
];
