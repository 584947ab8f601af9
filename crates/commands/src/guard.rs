//! The second guard of the limit: what the kernel counts as resident, fragmentation and all, against `maxmemory`.
//! Never evicts by itself: it asks for purges, and charges the limit with what purges do not give back.
//! Decision 0004 has the rule.

/// Resident may pass the limit by a tenth before anything is done, and by what a small process needs in any case.
const ALLOWED_SHARE: u64 = 10;
const ALLOWED_BYTES_MIN: u64 = 12 << 20;
/// Time between two looks.
const LOOK_US: u64 = 200_000;
/// A purge is given so many looks to show.
const LOOKS_PER_PURGE: u32 = 3;
/// At most this share of the limit is taken away.
const CHARGE_SHARE_MAX: u64 = 2;

/// What the guard has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Every shard is to move its entries together and give pages back.
    pub purge: bool,
    /// Resident is above what is allowed: what becomes empty is to go back sooner.
    pub pressed: bool,
    /// Bytes that the limit is charged with, so that data make room for what does not come back.
    pub charge_bytes: u64,
}

/// The state of the guard; one core has it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Guard {
    looked_us: u64,
    /// Looks since the last purge began, while resident is above what is allowed.
    looks: u32,
    charge_bytes: u64,
}

impl Guard {
    /// Whether it is time for another look: reading the resident set takes some microseconds.
    pub fn is_due(&self, mono_us: u64) -> bool {
        mono_us >= self.looked_us + LOOK_US
    }

    /// Looks at resident bytes, those of clients' buffers left out, under a limit; 0 is none.
    pub fn look(&mut self, resident_bytes: u64, limit_bytes: u64, mono_us: u64) -> Verdict {
        self.looked_us = mono_us;
        let allowed_bytes = limit_bytes + ALLOWED_BYTES_MIN.max(limit_bytes / ALLOWED_SHARE);
        if limit_bytes == 0 || resident_bytes <= allowed_bytes {
            self.looks = 0;
            let is_well_below = resident_bytes <= limit_bytes;
            // What was charged is given back slowly, and only when there is room for it.
            if limit_bytes == 0 {
                self.charge_bytes = 0;
            } else if is_well_below {
                self.charge_bytes -= self.charge_bytes.div_ceil(8);
            }
            return self.verdict(false, false);
        }
        let purge = self.looks.is_multiple_of(LOOKS_PER_PURGE);
        if self.looks >= LOOKS_PER_PURGE {
            // A purge did not help enough: half of what is too much goes at every look.
            let over_bytes = resident_bytes - allowed_bytes;
            let charge_bytes = self.charge_bytes + over_bytes.div_ceil(2);
            self.charge_bytes = charge_bytes.min(limit_bytes / CHARGE_SHARE_MAX);
        }
        self.looks += 1;
        self.verdict(purge, true)
    }

    fn verdict(&self, purge: bool, pressed: bool) -> Verdict {
        Verdict {
            purge,
            pressed,
            charge_bytes: self.charge_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const LIMIT: u64 = 1000 * MIB;

    fn looks(guard: &mut Guard, resident_bytes: u64, looks: u64) -> Vec<Verdict> {
        let look = |n| guard.look(resident_bytes, LIMIT, n * LOOK_US);
        (0..looks).map(look).collect()
    }

    #[test]
    fn a_tenth_above_the_limit_is_nothing_to_worry_about() {
        let mut guard = Guard::default();
        let all = looks(&mut guard, 1100 * MIB, 10);
        assert!(all.iter().all(|one| *one == Verdict::default()));
    }

    #[test]
    fn more_is_purged_first_and_evicted_only_when_that_does_not_help() {
        let mut guard = Guard::default();
        let all = looks(&mut guard, 1300 * MIB, 5);
        assert_eq!(
            all[0],
            Verdict {
                purge: true,
                pressed: true,
                charge_bytes: 0
            }
        );
        assert_eq!(
            all[2],
            Verdict {
                purge: false,
                pressed: true,
                charge_bytes: 0
            }
        );
        assert_eq!(
            all[3],
            Verdict {
                purge: true,
                pressed: true,
                charge_bytes: 100 * MIB
            }
        );
        assert_eq!(all[4].charge_bytes, 200 * MIB);
    }

    #[test]
    fn no_more_than_half_of_the_limit_is_taken_away_and_all_comes_back() {
        let mut guard = Guard::default();
        let all = looks(&mut guard, 3000 * MIB, 20);
        assert_eq!(all[19].charge_bytes, 500 * MIB);
        let all = looks(&mut guard, 1050 * MIB, 5);
        assert_eq!(all[4].charge_bytes, 500 * MIB, "there is no room yet");
        let all = looks(&mut guard, 800 * MIB, 200);
        assert_eq!(all[199].charge_bytes, 0);
    }

    #[test]
    fn without_a_limit_there_is_nothing_to_guard() {
        let mut guard = Guard::default();
        assert_eq!(guard.look(u64::MAX / 4, 0, 0), Verdict::default());
    }
}
