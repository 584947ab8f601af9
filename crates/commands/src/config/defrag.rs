//! The options of active defragmentation: when blocks are moved together in the background, and for how much of the time.
//! Nothing here moves anything; every core reads its copy ten times a second.
//! Names and meanings are Redis'; defaults are ours where deleting is to give memory back soon, without being asked.

use super::{Config, Kind, Setting, When};

/// When and how much a core defragments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DefragOptions {
    /// Whether it does in the background.
    pub active: bool,
    /// Bytes of all shards that could be given back and are not worth the work.
    pub ignore_bytes: u64,
    /// Of 100 used bytes, how many could be given back before it begins.
    pub threshold_lower: u32,
    /// Likewise, from where on it works at its most.
    pub threshold_upper: u32,
    /// Per cent of the time it takes at the lower threshold.
    pub cycle_min: u32,
    /// Per cent of the time it takes at the upper one.
    pub cycle_max: u32,
}

const fn number(
    name: &'static str,
    (min, max): (i64, i64),
    default: &'static str,
    summary: &'static str,
    read: fn(&Config) -> i64,
    write: fn(&mut Config, i64),
) -> Setting {
    Setting {
        name,
        group: "Memory",
        kind: Kind::Integer {
            min,
            max,
            read,
            write,
        },
        default,
        when: When::Anytime,
        summary,
    }
}

pub(super) const ACTIVE: Setting = Setting {
    name: "activedefrag",
    group: "Memory",
    kind: Kind::YesNo {
        read: |config| config.defrag.active,
        write: |config, yes| config.defrag.active = yes,
    },
    default: "yes",
    when: When::Anytime,
    summary: "Whether blocks are moved out of sparse pages in the background, so that deleting gives memory back.",
};
pub(super) const IGNORE_BYTES: Setting = Setting {
    name: "active-defrag-ignore-bytes",
    group: "Memory",
    kind: Kind::Size {
        min: 1,
        max: i64::MAX as u64,
        read: |config| config.defrag.ignore_bytes,
        write: |config, bytes| config.defrag.ignore_bytes = bytes,
    },
    default: "1mb",
    when: When::Anytime,
    summary: "Less than this to be won, over all shards, is not worth moving anything.",
};
pub(super) const THRESHOLD_LOWER: Setting = number(
    "active-defrag-threshold-lower",
    (0, 1000),
    "10",
    "Moving begins when this many per cent of the used bytes could be given back.",
    |config| config.defrag.threshold_lower.into(),
    |config, percent| config.defrag.threshold_lower = percent as u32,
);
pub(super) const THRESHOLD_UPPER: Setting = number(
    "active-defrag-threshold-upper",
    (0, 1000),
    "50",
    "From this many per cent on it takes active-defrag-cycle-max of the time, between the two a share between.",
    |config| config.defrag.threshold_upper.into(),
    |config, percent| config.defrag.threshold_upper = percent as u32,
);
pub(super) const CYCLE_MIN: Setting = number(
    "active-defrag-cycle-min",
    (1, 99),
    "5",
    "Per cent of a core's time that moving takes at the lower threshold, in steps of a tenth of a millisecond.",
    |config| config.defrag.cycle_min.into(),
    |config, percent| config.defrag.cycle_min = percent as u32,
);
pub(super) const CYCLE_MAX: Setting = number(
    "active-defrag-cycle-max",
    (1, 99),
    "25",
    "Per cent of a core's time that moving takes at the upper threshold.",
    |config| config.defrag.cycle_max.into(),
    |config, percent| config.defrag.cycle_max = percent as u32,
);

impl DefragOptions {
    /// The per cent of its time that a shard should spend on moving blocks: 0 when `sparse_bytes`, which could be given
    /// back beside `used_bytes` that could not, are not worth it. Where memory is short it does its utmost.
    pub fn share_percent(
        &self,
        sparse_bytes: u64,
        used_bytes: u64,
        shards: u16,
        is_short: bool,
    ) -> u32 {
        let percent = sparse_bytes.saturating_mul(100) / used_bytes.max(1);
        let (lower, upper) = (
            u64::from(self.threshold_lower),
            u64::from(self.threshold_upper),
        );
        let is_worth_it = sparse_bytes > self.ignore_bytes / u64::from(shards.max(1));
        if !self.active || !is_worth_it || percent < lower {
            return 0;
        }
        let (min, max) = (u64::from(self.cycle_min), u64::from(self.cycle_max));
        if percent >= upper || is_short {
            return max as u32;
        }
        // Here lower <= percent < upper; a minimum above the maximum gives way to it.
        let more = max.saturating_sub(min) * (percent - lower) / (upper - lower);
        (min + more).min(max) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn share(sparse_bytes: u64, used_bytes: u64, shards: u16) -> u32 {
        let options = Config::default().defrag;
        options.share_percent(sparse_bytes, used_bytes, shards, false)
    }

    #[test]
    fn the_share_of_time_grows_from_the_lower_threshold_to_the_upper() {
        assert_eq!(share(9 * MIB, 100 * MIB, 1), 0);
        assert_eq!(share(10 * MIB, 100 * MIB, 1), 5);
        assert_eq!(share(30 * MIB, 100 * MIB, 1), 15);
        assert_eq!(share(50 * MIB, 100 * MIB, 1), 25);
        assert_eq!(share(900 * MIB, 100 * MIB, 1), 25);
        assert_eq!(share(900 * MIB, 0, 1), 25);
    }

    #[test]
    fn what_is_little_is_left_alone_and_each_shard_has_its_part_of_that() {
        assert_eq!(share(MIB, MIB, 1), 0);
        assert_eq!(share(MIB, MIB, 2), 25);
        assert_eq!(share(MIB / 4, MIB, 4), 0);
    }

    #[test]
    fn thresholds_and_cycles_the_wrong_way_round_are_taken_as_they_stand() {
        let mut options = Config::default().defrag;
        (options.threshold_lower, options.threshold_upper) = (50, 20);
        (options.cycle_min, options.cycle_max) = (90, 10);
        let share =
            |options: &DefragOptions, sparse| options.share_percent(sparse, 100 * MIB, 1, false);
        assert_eq!(share(&options, 40 * MIB), 0);
        assert_eq!(share(&options, 50 * MIB), 10);
        options.active = false;
        assert_eq!(share(&options, 50 * MIB), 0);
    }

    #[test]
    fn where_memory_is_short_it_does_its_utmost_from_the_lower_threshold_on() {
        let options = Config::default().defrag;
        assert_eq!(options.share_percent(9 * MIB, 100 * MIB, 1, true), 0);
        assert_eq!(options.share_percent(10 * MIB, 100 * MIB, 1, true), 25);
    }
}
