//! The options of eviction: which keys go when memory is short.
//! Nothing here evicts; the store does, as `Config::eviction` tells it.
//! Names, ranges and defaults are Redis' where Redis has the option; the default policy is ours.

use super::{Kind, Setting, When};
use store::{Order, SAMPLES_MAX};

/// Keys that one of `maxmemory-samples` stands for: their metadata lie in one cache line.
pub(super) const KEYS_PER_SAMPLE: u32 = 8;

/// What happens when `maxmemory` is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxMemoryPolicy {
    /// Writes that need memory are refused.
    NoEviction,
    /// Ours, any key: by idle time, frequency and size together.
    AllKeysIfs,
    /// Ours, keys with an expiry.
    VolatileIfs,
    /// The longest not used of any.
    AllKeysLru,
    /// The longest not used of those with an expiry.
    VolatileLru,
    /// The least often used of any.
    AllKeysLfu,
    /// The least often used of those with an expiry.
    VolatileLfu,
    /// Any key.
    AllKeysRandom,
    /// Any key with an expiry.
    VolatileRandom,
    /// The soonest to expire.
    VolatileTtl,
}

/// The words of the option, in the order of [`MaxMemoryPolicy::ALL`].
const WORDS: &[&str] = &[
    "noeviction",
    "allkeys-ifs",
    "volatile-ifs",
    "allkeys-lru",
    "volatile-lru",
    "allkeys-lfu",
    "volatile-lfu",
    "allkeys-random",
    "volatile-random",
    "volatile-ttl",
];

impl MaxMemoryPolicy {
    /// Every policy.
    pub const ALL: [MaxMemoryPolicy; 10] = [
        MaxMemoryPolicy::NoEviction,
        MaxMemoryPolicy::AllKeysIfs,
        MaxMemoryPolicy::VolatileIfs,
        MaxMemoryPolicy::AllKeysLru,
        MaxMemoryPolicy::VolatileLru,
        MaxMemoryPolicy::AllKeysLfu,
        MaxMemoryPolicy::VolatileLfu,
        MaxMemoryPolicy::AllKeysRandom,
        MaxMemoryPolicy::VolatileRandom,
        MaxMemoryPolicy::VolatileTtl,
    ];

    /// As in the file and in INFO.
    pub fn name(self) -> &'static str {
        WORDS[self as usize]
    }

    /// Whether it evicts at all.
    pub fn evicts(self) -> bool {
        self != MaxMemoryPolicy::NoEviction
    }

    /// Whether it counts how often keys are used, and so does not know when.
    pub fn counts_frequency(self) -> bool {
        self.order().0 == Order::Lfu
    }

    /// What goes first, and whether only keys with an expiry go. Without eviction: how accesses are noted.
    pub(super) fn order(self) -> (Order, bool) {
        match self {
            MaxMemoryPolicy::NoEviction | MaxMemoryPolicy::AllKeysIfs => (Order::Ifs, false),
            MaxMemoryPolicy::VolatileIfs => (Order::Ifs, true),
            MaxMemoryPolicy::AllKeysLru => (Order::Lru, false),
            MaxMemoryPolicy::VolatileLru => (Order::Lru, true),
            MaxMemoryPolicy::AllKeysLfu => (Order::Lfu, false),
            MaxMemoryPolicy::VolatileLfu => (Order::Lfu, true),
            MaxMemoryPolicy::AllKeysRandom => (Order::Random, false),
            MaxMemoryPolicy::VolatileRandom => (Order::Random, true),
            MaxMemoryPolicy::VolatileTtl => (Order::Ttl, true),
        }
    }
}

pub(super) const POLICY: Setting = Setting {
    name: "maxmemory-policy",
    group: "Memory",
    kind: Kind::Word {
        words: WORDS,
        read: |config| config.maxmemory_policy as usize,
        write: |config, place| config.maxmemory_policy = MaxMemoryPolicy::ALL[place],
    },
    default: "allkeys-ifs",
    when: When::Anytime,
    summary: "What happens at the limit: which keys go; with noeviction, commands that need memory are refused.",
};

pub(super) const SAMPLES: Setting = Setting {
    name: "maxmemory-samples",
    group: "Memory",
    kind: Kind::Integer {
        min: 1,
        max: i32::MAX as i64,
        read: |config| config.maxmemory_samples.into(),
        write: |config, samples| config.maxmemory_samples = samples as u32,
    },
    default: "5",
    when: When::Anytime,
    summary: "Places looked at for each key that is evicted by lru, lfu and ttl; each holds up to eight keys.",
};

pub(super) const TENACITY: Setting = Setting {
    name: "maxmemory-eviction-tenacity",
    group: "Memory",
    kind: Kind::Integer {
        min: 0,
        max: 100,
        read: |config| config.maxmemory_eviction_tenacity.into(),
        write: |config, tenacity| config.maxmemory_eviction_tenacity = tenacity as u32,
    },
    default: "10",
    when: When::Anytime,
    summary: "Kept for tools that set it; a write evicts a bounded number of keys, the rest goes between commands.",
};

pub(super) const CLIENTS: Setting = Setting {
    name: "maxmemory-clients",
    group: "Memory",
    kind: Kind::ClientMemory,
    default: "0",
    when: When::Anytime,
    summary: "What all clients may hold together; beyond, the one that holds most is closed. 0 is no limit.",
};

pub(super) const LFU_FACTOR: Setting = Setting {
    name: "lfu-log-factor",
    group: "Memory",
    kind: Kind::Integer {
        min: 0,
        max: i32::MAX as i64,
        read: |config| config.lfu_log_factor.into(),
        write: |config, factor| config.lfu_log_factor = factor as u32,
    },
    default: "10",
    when: When::Anytime,
    summary: "How slowly the counters of the lfu policies grow: at 10, a million hits fill one.",
};

pub(super) const LFU_DECAY: Setting = Setting {
    name: "lfu-decay-time",
    group: "Memory",
    kind: Kind::Integer {
        min: 0,
        max: i32::MAX as i64,
        read: |config| config.lfu_decay_minutes.into(),
        write: |config, minutes| config.lfu_decay_minutes = minutes as u32,
    },
    default: "1",
    when: When::Anytime,
    summary: "Minutes in which a counter of the lfu policies loses one; 0 never.",
};

pub(super) const IFS_SAMPLES: Setting = Setting {
    name: "ifs-samples",
    group: "Memory",
    kind: Kind::Integer {
        min: 1,
        max: SAMPLES_MAX as i64,
        read: |config| config.ifs_samples.into(),
        write: |config, samples| config.ifs_samples = samples as u32,
    },
    default: "32",
    when: When::Anytime,
    summary: "Keys looked at for each that is evicted by the ifs policies.",
};

pub(super) const IFS_BETA: Setting = Setting {
    name: "ifs-beta",
    group: "Memory",
    kind: Kind::Integer {
        min: 0,
        max: 100,
        read: |config| config.ifs_beta.into(),
        write: |config, percent| config.ifs_beta = percent as u8,
    },
    default: "100",
    when: When::Anytime,
    summary: "What hits count under ifs, in hundredths, and the rest of them their bytes: 100 for most hits, 50 balanced, 0 for most bytes.",
};

pub(super) const IFS_FRESH: Setting = Setting {
    name: "ifs-fresh-weight",
    group: "Memory",
    kind: Kind::Integer {
        min: 1,
        max: 100,
        read: |config| config.ifs_fresh_weight.into(),
        write: |config, percent| config.ifs_fresh_weight = percent as u8,
    },
    default: "50",
    when: When::Anytime,
    summary: "What a key that was never read is worth under ifs, in hundredths of one that was.",
};
