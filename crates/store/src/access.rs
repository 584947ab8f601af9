//! Owns the 16 bits of access metadata of a key and the shard's coarse clock behind them.
//! Never happens here: choosing a victim, or reading the time.
//! Source: idle × frequency × size as in GDSF (Cherkasova 1998), on a clock driven by insertions.
//!
//! Hits of one tick count once, as correlated references do in LRU-K (O'Neil and others, 1993): that
//! a key is read ten times in a row says little about whether it will be again. The first always counts.
//!
//! Under an LFU policy the same bits mean something else: see [`crate::frequency`].
#![forbid(unsafe_code)]

use crate::frequency::Frequency;
use crate::value::Millis;

/// Hit counts saturate here: three bits.
pub const HITS_MAX: u8 = 7;
/// Size classes end here: five bits.
pub(crate) const SIZE_CLASS_MAX: u8 = 31;
/// Ages saturate here. The clock has 256 ticks; a key older than this is pinned to it by the sweep
/// before its tick comes round again and makes it look young.
pub const AGE_TICKS_MAX: u8 = 191;

/// The clock ticks once every 1/16 of the shard's keys inserted.
const TICKS_PER_TURNOVER: usize = 16;
/// A small shard ticks at most once in so many insertions.
const INSERTIONS_PER_TICK_MIN: usize = 16;
/// Without insertions the clock ticks when the quiet has grown by an eighth: a tick then names a
/// moment to within an eighth of the quiet, and a day of quiet uses 115 of the 191 ticks.
const QUIET_SHARE: i64 = 8;
/// Every tick, 1/64 of the slots are swept and too old ones pinned: a key is met once in 64 ticks,
/// and 191 + 64 ticks are fewer than 256.
const PINNED_SHARE: usize = 64;
/// Bounds of a tick that time drives, in milliseconds.
const QUIET_TICK_MS_MIN: i64 = 1000;
const QUIET_TICK_MS_MAX: i64 = 900_000;

const SIZE_MASK: u16 = 0b1_1111;
const HITS_MASK: u16 = (HITS_MAX as u16) << 5;
const ONE_HIT: u16 = 1 << 5;

/// Access metadata of one key: tick of the last access (8 bits), hits (3), size class (5). Under an
/// LFU policy: tick of the last decay (8 bits), logarithmic counter (8).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct Access(u16);

impl Access {
    /// The metadata of an empty slot.
    pub(crate) const NEVER: Access = Access(0);

    #[inline(always)]
    fn new(tick: u8, hits: u8, size_class: u8) -> Access {
        debug_assert!(hits <= HITS_MAX && size_class < 32);
        Access(u16::from(tick) << 8 | u16::from(hits) << 5 | u16::from(size_class))
    }

    /// Hits and size class after an access in this tick: one hit more, unless that is too many to
    /// count or the last hit was in this tick as well.
    #[inline(always)]
    fn hit(self, tick: u8) -> u16 {
        let low = self.0 & 0xff;
        if low < HITS_MASK && (self.tick() != tick || low < ONE_HIT) {
            low + ONE_HIT
        } else {
            low
        }
    }

    #[inline(always)]
    fn with_low(self, bits: u16) -> Access {
        Access(self.0 | bits)
    }

    #[inline(always)]
    fn tick(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// Hits and size class in one, or the counter of an LFU policy.
    #[inline(always)]
    pub(crate) fn low(self) -> u8 {
        self.0 as u8
    }

    #[inline]
    fn counted(tick: u8, counter: u8) -> Access {
        Access(u16::from(tick) << 8 | u16::from(counter))
    }

    /// Ticks since the key was made in which it was hit, at most 7; 0 only if it never was.
    pub fn hits(self) -> u8 {
        (self.0 >> 5) as u8 & HITS_MAX
    }

    /// The size of the entry in half octaves from 32 bytes on: 0 to 31.
    pub fn size_class(self) -> u8 {
        self.0 as u8 & 31
    }
}

/// The size class of an entry of so many bytes: two steps a power of two, 32 bytes to 1.5 MiB.
pub(crate) fn size_class_of(bytes: u64) -> u8 {
    let bytes = bytes.max(32);
    let octave = bytes.ilog2();
    let half = bytes >> (octave - 1) & 1;
    (u64::from(octave - 5) * 2 + half).min(31) as u8
}

/// The shard's coarse clock: ticks by insertions, and slower and slower by time while there are none.
#[derive(Debug)]
pub(crate) struct AccessClock {
    tick: u8,
    insertions_left: usize,
    /// The moment after which time drives the next tick.
    quiet_until_ms: i64,
    /// When the last tick driven by insertions began.
    insertion_tick_ms: i64,
    /// When each of the last 256 ticks began.
    tick_began_ms: Box<[i64; 256]>,
    /// Slots whose metadata the sweep still has to pin.
    owed_slots: usize,
    /// How long the last tick that insertions drove took.
    insertion_span_ms: i64,
    /// Whether a key was evicted since insertions last drove a tick.
    evicts: bool,
    /// How the metadata count under an LFU policy; `None` under any other.
    frequency: Option<Box<Frequency>>,
}

/// Ticks before the start, for keys that come with an idle time: ten seconds each for a good quarter of an hour, then
/// each a tenth longer, up to two months.
fn past_ticks(base: Millis) -> [i64; 256] {
    const EVEN_TICKS: u8 = 100;
    const EVEN_TICK_MS: i64 = 10_000;
    let mut began_ms = [base.0; 256];
    let mut past_ms = 0;
    for age in 1..=AGE_TICKS_MAX {
        past_ms += if age <= EVEN_TICKS {
            EVEN_TICK_MS
        } else {
            past_ms / 10
        };
        began_ms[usize::from(age.wrapping_neg())] = base.0.saturating_sub(past_ms);
    }
    began_ms
}

impl AccessClock {
    pub(crate) fn new(base: Millis) -> AccessClock {
        AccessClock {
            tick: 0,
            insertions_left: INSERTIONS_PER_TICK_MIN,
            quiet_until_ms: base.plus(QUIET_TICK_MS_MIN).0,
            insertion_tick_ms: base.0,
            tick_began_ms: Box::new(past_ticks(base)),
            owed_slots: 0,
            insertion_span_ms: 0,
            evicts: false,
            frequency: None,
        }
    }

    /// Has the metadata count as an LFU policy wants it, or as the others do. What was counted in
    /// the other way stays, and adjusts with time.
    pub(crate) fn count_frequency(&mut self, frequency: Option<Frequency>, now: Millis) {
        let is_other = self.frequency.is_some() != frequency.is_some();
        self.frequency = frequency.map(Box::new);
        if is_other {
            self.tick_began_ms[usize::from(self.tick)] = now.0;
        }
        self.quiet_until_ms = match &self.frequency {
            Some(frequency) => now.0.saturating_add(frequency.decay_ms()),
            None => now.plus(QUIET_TICK_MS_MIN).0,
        };
    }

    /// Whether the metadata are those of an LFU policy.
    pub(crate) fn counts_frequency(&self) -> bool {
        self.frequency.is_some()
    }

    /// A key was evicted: from here on insertions alone drive the clock while there are enough of
    /// them, so that ages compare by turnover and not by time.
    #[inline]
    pub(crate) fn note_eviction(&mut self) {
        self.evicts = true;
    }

    /// Whether time should drive the clock.
    #[inline(always)]
    pub(crate) fn is_quiet(&self, now: Millis) -> bool {
        now.0 > self.quiet_until_ms
    }

    /// Counts an insertion; whether it should drive the clock.
    #[inline(always)]
    pub(crate) fn count_insertion(&mut self) -> bool {
        self.insertions_left = self.insertions_left.saturating_sub(1);
        self.insertions_left == 0
    }

    /// Insertions drive the clock; `keys` is how many the shard holds.
    pub(crate) fn begin_insertion_tick(&mut self, now: Millis, keys: usize) {
        self.insertions_left = (keys / TICKS_PER_TURNOVER).max(INSERTIONS_PER_TICK_MIN);
        if self.frequency.is_some() {
            return;
        }
        self.insertion_span_ms = if self.evicts {
            now.0.saturating_sub(self.insertion_tick_ms)
        } else {
            0
        };
        self.evicts = false;
        self.insertion_tick_ms = now.0;
        self.begin_tick(now, keys);
    }

    /// Time drives the clock; `keys` is how many the shard holds.
    pub(crate) fn begin_tick(&mut self, now: Millis, keys: usize) {
        self.owed_slots = (self.owed_slots + keys / PINNED_SHARE + 1).min(keys);
        if let Some(frequency) = &self.frequency {
            let began_ms = self.tick_began_ms[usize::from(self.tick)];
            let passed_ms = now.0.saturating_sub(began_ms).max(0);
            let periods = passed_ms / frequency.decay_ms();
            let ticks = periods.min(AGE_TICKS_MAX.into()) as u8;
            self.tick = self.tick.wrapping_add(ticks);
            let began_ms = began_ms + periods * frequency.decay_ms();
            self.tick_began_ms[usize::from(self.tick)] = began_ms;
            self.quiet_until_ms = began_ms.saturating_add(frequency.decay_ms());
            return;
        }
        self.tick = self.tick.wrapping_add(1);
        self.tick_began_ms[usize::from(self.tick)] = now.0;
        let quiet_ms = now.0.saturating_sub(self.insertion_tick_ms);
        let span_ms = (quiet_ms / QUIET_SHARE).clamp(QUIET_TICK_MS_MIN, QUIET_TICK_MS_MAX);
        // Where keys are evicted insertions are due to drive the next tick; only when they come
        // half as often does time step in.
        let span_ms = span_ms.max(self.insertion_span_ms.saturating_mul(2));
        self.quiet_until_ms = now.0.saturating_add(span_ms);
    }

    /// Metadata of a key written now.
    #[inline]
    pub(crate) fn fresh(&self, bytes: u64) -> Access {
        if self.frequency.is_some() {
            return Access::counted(self.tick, crate::frequency::COUNTER_FRESH);
        }
        Access::new(self.tick, 0, size_class_of(bytes))
    }

    /// The same key, read now.
    #[inline(always)]
    pub(crate) fn touched(&mut self, access: Access) -> Access {
        if self.frequency.is_some() {
            return self.counted_up(access);
        }
        Access::new(self.tick, 0, 0).with_low(access.hit(self.tick))
    }

    #[inline(never)]
    fn counted_up(&mut self, access: Access) -> Access {
        let decayed = self.decayed(access);
        match &mut self.frequency {
            Some(frequency) => Access::counted(self.tick, frequency.count(decayed)),
            None => access,
        }
    }

    /// The counter of a key under an LFU policy, less what it lost since it was last used.
    pub(crate) fn decayed(&self, access: Access) -> u8 {
        access.low().saturating_sub(self.age_ticks(access))
    }

    /// Metadata of a key that was last used so long ago; unchanged under an LFU policy.
    pub(crate) fn idle_for(&self, access: Access, idle_ms: i64, now: Millis) -> Access {
        if self.frequency.is_some() {
            return access;
        }
        let since_ms = now.0.saturating_sub(idle_ms);
        let age = (0..AGE_TICKS_MAX)
            .find(|&age| self.tick_began_ms[usize::from(self.tick.wrapping_sub(age))] <= since_ms);
        let tick = self.tick.wrapping_sub(age.unwrap_or(AGE_TICKS_MAX));
        Access::new(tick, 0, 0).with_low(access.0 & 0xff)
    }

    /// Metadata with this counter under an LFU policy; unchanged under any other.
    pub(crate) fn with_counter(&self, access: Access, counter: u8) -> Access {
        if self.frequency.is_some() {
            return Access::counted(self.tick, counter);
        }
        access
    }

    /// The same key, overwritten now by an entry of so many bytes.
    #[inline]
    pub(crate) fn rewritten(&mut self, access: Access, bytes: u64) -> Access {
        if self.frequency.is_some() {
            return self.counted_up(access);
        }
        let hits = access.hit(self.tick) & !SIZE_MASK;
        Access::new(self.tick, 0, size_class_of(bytes)).with_low(hits)
    }

    /// The same key, changed by nobody's access to so many bytes.
    pub(crate) fn resized(&self, access: Access, bytes: u64) -> Access {
        Access::new(access.tick(), access.hits(), size_class_of(bytes))
    }

    /// Ticks since the last access, at most [`AGE_TICKS_MAX`].
    #[inline]
    pub(crate) fn age_ticks(&self, access: Access) -> u8 {
        self.tick.wrapping_sub(access.tick()).min(AGE_TICKS_MAX)
    }

    /// Whether a key was used between two looks at its metadata, of which the second is now. Not told of a use in the
    /// same tick by one whose hits are too many to count.
    pub(crate) fn is_used_since(&self, before: Access, now: Access) -> bool {
        // What is as old as can be has its tick changed by the sweep.
        let is_other_tick = now.tick() != before.tick() && self.age_ticks(now) < AGE_TICKS_MAX;
        is_other_tick || now.hits() != before.hits()
    }

    /// The same metadata, held at the greatest age if it is beyond: what the sweep writes.
    #[inline]
    pub(crate) fn pinned(&self, access: Access) -> Access {
        if self.frequency.is_some() {
            return Access::counted(self.tick, self.decayed(access));
        }
        let tick = self.tick.wrapping_sub(self.age_ticks(access));
        Access::new(tick, access.hits(), access.size_class())
    }

    /// Whether the sweep has slots to pin.
    pub(crate) fn owes_pinning(&self) -> bool {
        self.owed_slots > 0
    }

    /// The sweep pinned so many slots.
    pub(crate) fn pay_pinning(&mut self, slots: usize) {
        self.owed_slots = self.owed_slots.saturating_sub(slots);
    }

    /// Milliseconds since the tick of the last access began: the idle time to within that tick.
    pub(crate) fn idle_ms(&self, access: Access, now: Millis) -> i64 {
        let tick = self.tick.wrapping_sub(self.age_ticks(access));
        now.0
            .saturating_sub(self.tick_began_ms[usize::from(tick)])
            .max(0)
    }

    /// Bytes this clock owns on the heap.
    pub(crate) fn heap_bytes(&self) -> u64 {
        let frequency_bytes = self.frequency.as_deref().map_or(0, size_of_val);
        (size_of_val(&*self.tick_began_ms) + frequency_bytes) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> AccessClock {
        AccessClock::new(Millis(0))
    }

    #[test]
    fn a_fresh_key_has_no_hits_and_no_age() {
        let clock = clock();
        let access = clock.fresh(100);
        assert_eq!((access.hits(), clock.age_ticks(access)), (0, 0));
    }

    #[test]
    fn hits_count_once_a_tick_and_saturate() {
        let mut clock = clock();
        let mut access = clock.fresh(100);
        for tick in 0..20 {
            for _ in 0..3 {
                access = clock.touched(access);
            }
            assert_eq!(access.hits(), HITS_MAX.min(tick + 1));
            assert_eq!(access.size_class(), size_class_of(100));
            clock.begin_tick(Millis(0), 1000);
        }
    }

    #[test]
    fn overwriting_counts_as_a_hit_but_not_in_the_tick_of_another() {
        let mut clock = clock();
        let access = clock.fresh(100);
        let access = clock.rewritten(access, 200);
        assert_eq!(
            (access.hits(), access.size_class()),
            (1, size_class_of(200))
        );
        assert_eq!(clock.rewritten(access, 200), access);
        clock.begin_tick(Millis(0), 1000);
        let access = clock.rewritten(access, 300);
        assert_eq!(
            (access.hits(), access.size_class()),
            (2, size_class_of(300))
        );
    }

    #[test]
    fn the_clock_ticks_every_sixteenth_of_the_keys_inserted() {
        let mut clock = clock();
        clock.begin_insertion_tick(Millis(0), 16_000);
        assert!((0..999).all(|_| !clock.count_insertion()));
        assert!(clock.count_insertion());
    }

    #[test]
    fn ages_saturate_and_a_swept_key_never_turns_young() {
        let mut clock = clock();
        let mut access = clock.fresh(100);
        for tick in 0..1000u32 {
            clock.begin_tick(Millis(0), 1000);
            if tick % 64 == 0 {
                access = clock.pinned(access);
            }
            assert_eq!(u32::from(clock.age_ticks(access)), (tick + 1).min(191));
        }
    }

    #[test]
    fn idle_time_is_known_within_a_second_at_first_and_an_eighth_later() {
        let mut clock = clock();
        let access = clock.fresh(100);
        for second in 1..=3600 {
            let now = Millis(second * 1000);
            if clock.is_quiet(now) {
                clock.begin_tick(now, 1000);
            }
            let idle_ms = clock.idle_ms(access, now);
            assert_eq!(idle_ms, second * 1000);
            let read_now = clock.touched(access);
            assert!(clock.idle_ms(read_now, now) <= 1000.max(second * 1000 / 8));
        }
    }

    #[test]
    fn a_key_may_come_with_an_idle_time_from_before_the_start() {
        let clock = clock();
        let access = clock.fresh(100);
        for second in [10, 1000, 1500, 86_400, 2_000_000] {
            let idle_ms =
                clock.idle_ms(clock.idle_for(access, second * 1000, Millis(0)), Millis(0));
            assert!(
                (second * 1000..=second * 1100).contains(&idle_ms),
                "{second}: {idle_ms}"
            );
        }
    }

    #[test]
    fn size_classes_grow_by_half_octaves_and_saturate() {
        let classes = [1, 32, 47, 48, 64, 95, 96, 1 << 20, 3 << 19, 1 << 40].map(size_class_of);
        assert_eq!(classes, [0, 0, 0, 1, 2, 2, 3, 30, 31, 31]);
    }
}
