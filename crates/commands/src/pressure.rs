//! What writes at the limit do for the resident set: they look at it, move entries together, and give empty pages back.
//! Never on the way of a read, or of a write below the limit; never longer than a write may evict.
//! Source: the step of a collector that is as long as what was allocated since the last one; decision 0004.

use crate::Core;

/// Writes look at the resident set once in so large a part of the limit that they take, but not for less than this.
const LOOK_SHARE: i64 = 256;
const LOOK_BYTES_MIN: i64 = 64 << 10;
/// While pages are short, a pass over all keys takes as long as writes take so large a part of the limit.
const PASS_SHARE: i64 = 32;
/// Slots that one write looks at, at least and at most: a few microseconds, and about as long as it may evict.
const SLOTS_MIN: usize = 32;
const SLOTS_MAX: usize = 2048;
/// Writes that are ahead of what makes room for them wait for so long at most, then some go on.
const CHOKE_US: u64 = 50_000;
const CHOKE_REST_US: u64 = 2_000;
/// They go on for longer where waiting won nothing: what fills memory is then nothing that goes away.
const CHOKE_VAIN_REST_US: u64 = 1_000_000;

/// What a core knows of the resident set.
#[derive(Debug, Default)]
pub struct Pressure {
    /// Bytes taken since it was looked at.
    unlooked_bytes: i64,
    /// Bytes taken since a pass began.
    pass_bytes: i64,
    /// Whether pages were short then.
    is_pressed: bool,
    /// Whether writes were ahead then.
    is_choked: bool,
    /// When writes last began to wait for that, and what was resident then.
    choked_us: u64,
    /// Nothing where writes were not ahead since.
    choked_bytes: u64,
    /// A write waits.
    is_waiting: bool,
}

impl Core {
    /// Does for the resident set what taking, or evicting, so many bytes at the limit calls for.
    pub(crate) fn relieve(&mut self, bytes: i64) {
        let limit_bytes = self.facts.budget.limit_bytes() as i64;
        self.pressure.unlooked_bytes += bytes;
        self.pressure.pass_bytes += bytes;
        if self.pressure.is_choked
            || self.pressure.unlooked_bytes >= LOOK_BYTES_MIN.max(limit_bytes / LOOK_SHARE)
        {
            self.pressure.unlooked_bytes = 0;
            self.look_at_resident();
            if self.pressure.is_pressed {
                self.shard.release_step();
                self.begin_pass(limit_bytes);
            }
        }
        if self.pressure.is_pressed && self.shard.is_purging() {
            let pass_bytes = (limit_bytes / PASS_SHARE).max(1) as u128;
            let slots = u128::from(self.shard.all_keys()) * bytes.max(0) as u128 / pass_bytes;
            self.purge_step((slots as usize).clamp(SLOTS_MIN, SLOTS_MAX));
        }
    }

    /// Takes note of what eviction has freed: as much will be taken by writes that find room then, and look at nothing.
    pub(crate) fn note_freed(&mut self, freed_bytes: i64, need_bytes: i64) {
        let unseen_bytes = (freed_bytes - need_bytes).max(0);
        self.pressure.unlooked_bytes += unseen_bytes;
        self.pressure.pass_bytes += unseen_bytes;
    }

    fn look_at_resident(&mut self) {
        self.publish_load();
        let verdict = self.facts.hold_resident(self.now);
        self.pressure.is_pressed = verdict.is_pressed;
        self.pressure.is_choked = verdict.is_choked;
        if !verdict.is_choked {
            self.pressure.choked_bytes = 0;
        }
        if verdict.is_choked && !self.is_choking() {
            self.choke(verdict.resident_bytes);
        }
    }

    /// Has writes wait from now on, if they may again.
    fn choke(&mut self, resident_bytes: u64) {
        let won = resident_bytes < self.pressure.choked_bytes;
        let rest_us = if won {
            CHOKE_REST_US
        } else {
            CHOKE_VAIN_REST_US
        };
        let is_new = self.pressure.choked_bytes == 0;
        if is_new || self.mono_us >= self.pressure.choked_us + CHOKE_US + rest_us {
            self.pressure.choked_us = self.mono_us;
            self.pressure.choked_bytes = resident_bytes;
        }
    }

    /// Begins to move entries together, unless that is under way or was begun a moment ago.
    fn begin_pass(&mut self, limit_bytes: i64) {
        let share_bytes = limit_bytes / PASS_SHARE / 2;
        let is_worth_it = || self.shard.sparse_bytes() as i64 >= share_bytes;
        let is_due =
            self.pressure.pass_bytes >= share_bytes || self.pressure.is_choked && is_worth_it();
        if is_due && !self.shard.is_purging() && !self.shard.owes_freeing() {
            self.pressure.pass_bytes = 0;
            self.shard.press_begin();
        }
    }

    /// Whether entries are being moved together because pages are short: then it goes on between commands, too.
    pub fn is_relieving(&self) -> bool {
        self.pressure.is_pressed && self.shard.is_purging()
    }

    /// Whether pages were short at the last look, or writes waited for them so lately.
    pub(crate) fn was_short_of_pages(&self, lately_us: u64) -> bool {
        let choked_us = self.pressure.choked_us;
        let has_waited = choked_us > 0 && self.mono_us <= choked_us + CHOKE_US + lately_us;
        self.pressure.is_pressed || has_waited
    }

    /// Whether a write is to wait until pages are free.
    pub(crate) fn must_wait_for_pages(&mut self) -> bool {
        self.pressure.is_waiting = self.is_choking();
        self.pressure.is_waiting
    }

    fn is_choking(&self) -> bool {
        self.pressure.is_choked && self.mono_us < self.pressure.choked_us + CHOKE_US
    }

    pub(crate) fn is_waiting_for_pages(&self) -> bool {
        self.pressure.is_waiting
    }

    /// Looks on for a write that waits for pages. Whether it should have another try.
    pub(crate) fn has_pages_again(&mut self) -> bool {
        self.relieve(0);
        self.pressure.is_waiting = self.is_choking();
        !self.pressure.is_waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Facts, ShardId, config::Config};
    use std::sync::Arc;
    use store::Millis;

    const LIMIT_BYTES: u64 = 1 << 20;

    #[test]
    fn what_one_eviction_frees_counts_as_taken_since_the_writes_that_find_room_in_it_look_at_nothing()
     {
        let mut facts = Facts::of_this_process(1, LIMIT_BYTES, String::new(), Millis(1));
        facts.holds_resident = true;
        let mut core = Core::new(ShardId(0), Config::default(), Arc::new(facts)).unwrap();
        // More than the limit allows, so that a look finds that pages are short.
        let held = vec![1u8; 32 << 20];
        core.relieve(100);
        assert!(!core.pressure.is_pressed, "nobody has looked yet");
        core.note_freed(LOOK_BYTES_MIN, 100);
        core.relieve(100);
        assert!(core.pressure.is_pressed);
        memory::heap::press(false);
        assert!(held.iter().all(|byte| *byte == 1));
    }

    #[test]
    fn writes_wait_again_soon_only_where_waiting_won_something() {
        const MIB: u64 = 1 << 20;
        let facts = Facts::of_this_process(1, 64 * MIB, String::new(), Millis(1));
        let mut core = Core::new(ShardId(0), Config::default(), Arc::new(facts)).unwrap();
        core.pressure.is_choked = true;
        let mut waits_at = |mono_us: u64, resident_mib: u64| {
            core.mono_us = mono_us;
            if !core.is_choking() {
                core.choke(resident_mib * MIB);
            }
            core.is_choking()
        };
        assert!(waits_at(1_000_000, 80));
        let soon_us = CHOKE_US + CHOKE_REST_US;
        assert!(!waits_at(1_000_000 + CHOKE_US, 79));
        assert!(waits_at(1_000_000 + soon_us, 79));
        assert!(!waits_at(1_000_000 + 2 * soon_us, 80), "nothing was won");
        assert!(waits_at(
            1_000_000 + soon_us + CHOKE_US + CHOKE_VAIN_REST_US,
            80
        ));
    }
}
