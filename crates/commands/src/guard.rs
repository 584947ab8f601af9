//! The second guard of the limit: what the kernel counts as resident, fragmentation and all, against `maxmemory`.
//! Never evicts by itself: it says when pages are short, and charges the limit with what is resident beyond what is allowed.
//! Decision 0004 has the rule.

/// Resident may pass the limit by this share of it before entries are moved together for it, and by what pages of many
/// sizes leave unused in a small process in any case.
const PRESSED_SHARE: u64 = 20;
const PRESSED_BYTES_MIN: u64 = 3 << 20;
/// By so many quarters of that before data have to make room, and before writes wait until they have.
const CHARGED_QUARTERS: u64 = 6;
const CHOKED_QUARTERS: u64 = 7;
/// So many times what is resident beyond that is charged: what is evicted does not leave whole pages at once.
const CHARGE_FACTOR: u64 = 2;
/// At most this share of the limit is taken away.
const CHARGE_SHARE_MAX: u64 = 2;
/// Time between two looks of the core that looks without a write.
const LOOK_US: u64 = 200_000;
/// A pass over all keys is asked for once in so many of those, while pages are short.
const LOOKS_PER_PURGE: u32 = 3;

/// What a resident set means for the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What was judged.
    pub resident_bytes: u64,
    /// Pages are short: what becomes empty goes back at once, and entries are moved together.
    pub is_pressed: bool,
    /// Bytes that the limit is charged with, so that data make room for what does not come back.
    pub charge_bytes: u64,
    /// Writes are ahead of what makes room for them.
    pub is_choked: bool,
}

impl Verdict {
    /// The same while it is too early to take room from data.
    pub fn without_charge(self) -> Verdict {
        Verdict {
            charge_bytes: 0,
            ..self
        }
    }
}

/// Judges resident bytes, those of clients' buffers left out, under a limit; 0 is none. `certain_bytes` are those that are no
/// buffer's whatever grows: data make room for these only, while giving pages back and waiting cost no key.
pub fn judge(resident_bytes: u64, certain_bytes: u64, limit_bytes: u64) -> Verdict {
    if limit_bytes == 0 {
        return Verdict {
            resident_bytes,
            ..Verdict::default()
        };
    }
    let pressed_bytes = PRESSED_BYTES_MIN.max(limit_bytes / PRESSED_SHARE);
    let beyond_bytes = resident_bytes.saturating_sub(limit_bytes);
    let charged_bytes = pressed_bytes * CHARGED_QUARTERS / 4;
    let over_bytes = certain_bytes.saturating_sub(limit_bytes + charged_bytes);
    Verdict {
        resident_bytes,
        is_pressed: beyond_bytes > pressed_bytes,
        charge_bytes: (CHARGE_FACTOR * over_bytes).min(limit_bytes / CHARGE_SHARE_MAX),
        is_choked: beyond_bytes > pressed_bytes * CHOKED_QUARTERS / 4,
    }
}

/// When the core looks that does so without a write; one core has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    looked_us: u64,
    /// Looks while pages are short.
    looks: u32,
}

impl Guard {
    /// Whether it is time for another look: reading the resident set takes some microseconds.
    pub fn is_due(&self, mono_us: u64) -> bool {
        mono_us >= self.looked_us + LOOK_US
    }

    /// Takes note of a look. Whether every shard is to move its entries together.
    pub fn asks_for_purge(&mut self, verdict: Verdict, mono_us: u64) -> bool {
        self.looked_us = mono_us;
        if !verdict.is_pressed {
            self.looks = 0;
            return false;
        }
        self.looks += 1;
        self.looks % LOOKS_PER_PURGE == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const LIMIT: u64 = 1000 * MIB;

    /// What is judged of the limit and so many MiB.
    fn beyond(mib: u64) -> Verdict {
        judge(LIMIT + mib * MIB, LIMIT + mib * MIB, LIMIT)
    }

    #[test]
    fn a_twentieth_above_the_limit_is_nothing_to_worry_about() {
        assert!(!beyond(50).is_pressed);
        assert!(!judge(19 * MIB, 19 * MIB, 16 * MIB).is_pressed);
    }

    #[test]
    fn pages_are_given_back_before_data_make_room_and_that_before_writes_wait() {
        assert!(beyond(51).is_pressed);
        assert_eq!(beyond(75).charge_bytes, 0);
        assert_eq!(beyond(85).charge_bytes, 20 * MIB);
        assert!(!beyond(87).is_choked);
        assert!(beyond(88).is_choked);
    }

    #[test]
    fn no_more_than_half_of_the_limit_is_taken_away_and_all_comes_back() {
        assert_eq!(beyond(2000).charge_bytes, LIMIT / 2);
        assert_eq!(beyond(0).charge_bytes, 0);
    }

    #[test]
    fn what_may_be_a_buffer_has_pages_given_back_and_costs_no_key() {
        let verdict = judge(LIMIT + 200 * MIB, LIMIT + 75 * MIB, LIMIT);
        assert!(verdict.is_pressed && verdict.is_choked);
        assert_eq!(verdict.charge_bytes, 0);
    }

    #[test]
    fn without_a_limit_there_is_nothing_to_guard() {
        let verdict = judge(u64::MAX / 8, u64::MAX / 8, 0);
        assert!(!verdict.is_pressed && !verdict.is_choked && verdict.charge_bytes == 0);
    }

    #[test]
    fn purges_are_asked_for_now_and_then_while_pages_are_short() {
        let mut guard = Guard::default();
        let short = judge(2 * LIMIT, 2 * LIMIT, LIMIT);
        let asked: Vec<bool> = (0..5)
            .map(|n| guard.asks_for_purge(short, n * LOOK_US))
            .collect();
        assert_eq!(asked, [true, false, false, true, false]);
        assert!(!guard.asks_for_purge(Verdict::default(), 0));
        assert!(guard.asks_for_purge(short, 0));
    }
}
