//! When a core moves blocks together: begun where it is worth it, in slices of a tenth of a millisecond, ended by itself.
//! Nothing is moved here; the shard does that. A core without fragmentation pays for one sum over size classes a tick, and
//! an idle one does not look at its heap at all.
//! Source: the thresholds and cycles of Redis' active defragmentation; the pause after a slice makes its share of the time.

use super::Driver;
use memory::heap::{SparsePages, collect, thread_allocated_bytes};

/// How long a slice may take; it ends with the step during which this passes.
const SLICE_US: u64 = 80;
/// Keys and elements looked at in a step, 5 to 20 microseconds.
const STEP_SLOTS: usize = 128;
/// A pass that won less than one in so many of the bytes it was begun for was not worth it.
const WORTH_IT: u64 = 4;
/// The limit is nearly reached when less than one in so many of its bytes remain.
const NEARLY: u64 = 8;
/// How long the next pass waits then; twice as long each time in a row.
const PAUSE_MIN_US: u64 = 1_000_000;
/// As long as it gets.
const PAUSE_MAX_US: u64 = 64_000_000;

/// The heap is looked at no more often, and for no more than a thousandth of the time.
const LOOK_INTERVAL_US: u64 = 1_000_000;
const LOOK_SHARE: u64 = 1000;

/// A core's defragmentation.
#[derive(Default)]
pub(super) struct Defrag {
    pass: Option<Pass>,
    heap: Heap,
    /// No pass begins before this.
    wait_until_us: u64,
    /// How long the last pause was, if the last pass was not worth it.
    pause_us: u64,
}

/// What was seen when the heap was last looked at.
#[derive(Default)]
struct Heap {
    sparse_bytes: u64,
    /// What the thread had allocated then; if that has not changed, neither has the rest.
    allocated_bytes: i64,
    next_look_us: u64,
}

impl Heap {
    /// Bytes that moving blocks of the heap could give back. Also has the allocator give back what is empty already.
    fn look(&mut self, now_us: u64) -> u64 {
        let allocated_bytes = thread_allocated_bytes();
        if now_us >= self.next_look_us && allocated_bytes != self.allocated_bytes {
            let (_, began_us) = crate::clock::read();
            collect(false);
            self.sparse_bytes = SparsePages::find().free_bytes();
            self.allocated_bytes = allocated_bytes;
            let (_, ended_us) = crate::clock::read();
            let rest_us = (ended_us - began_us) * LOOK_SHARE;
            self.next_look_us = ended_us + rest_us.max(LOOK_INTERVAL_US);
        }
        self.sparse_bytes
    }
}

/// One pass over all keys.
struct Pass {
    began_us: u64,
    /// When the next slice is due.
    next_us: u64,
    /// Per cent of the time it takes.
    share_percent: u32,
    /// Bytes that it was begun for.
    sparse_bytes: u64,
}

impl Defrag {
    /// Whether a slice is due.
    pub(super) fn is_due(&self, now_us: u64) -> bool {
        self.next_us().is_some_and(|at| at <= now_us)
    }

    /// When the next slice is due, if one will be.
    pub(super) fn next_us(&self) -> Option<u64> {
        self.pass.as_ref().map(|pass| pass.next_us)
    }

    /// Ends the pass, which left so many bytes of those it was begun for.
    fn finish(&mut self, sparse_bytes: u64, now_us: u64) {
        let Some(pass) = self.pass.take() else {
            return;
        };
        let won_bytes = pass.sparse_bytes.saturating_sub(sparse_bytes);
        self.pause_us = if won_bytes < pass.sparse_bytes / WORTH_IT {
            (2 * self.pause_us).clamp(PAUSE_MIN_US, PAUSE_MAX_US)
        } else {
            0
        };
        self.wait_until_us = now_us + self.pause_us;
    }
}

/// How long to rest after a slice of so many microseconds, for it to have been this share of the time.
fn rest_us(slice_us: u64, share_percent: u32) -> u64 {
    let share = u64::from(share_percent.clamp(1, 99));
    slice_us * (100 - share) / share
}

impl Driver {
    /// Begins a pass if one is worth it, and ends one that is no longer wanted. Once a tick.
    pub(super) fn consider_defrag(&mut self) {
        let options = &self.core.config.defrag;
        let now_us = self.core.mono_us;
        if self.background.defrag.pass.is_some() {
            if !options.active {
                self.core.shard.purge_end();
                self.end_pass();
            }
            return;
        }
        let on_heap_bytes = self.background.defrag.heap.look(now_us);
        let shard = &self.core.shard;
        // What is being freed leaves its pages by itself, and a purge does all that this would.
        if shard.is_purging()
            || shard.owes_freeing()
            || now_us < self.background.defrag.wait_until_us
        {
            return;
        }
        let sparse_bytes = shard.sparse_bytes() + on_heap_bytes;
        let used_bytes = shard.slab_used_bytes() + thread_allocated_bytes().max(0) as u64;
        let share_percent =
            options.share_percent(sparse_bytes, used_bytes, self.core.shards, self.is_short());
        if share_percent > 0 {
            self.core.shard.defrag_begin();
            self.core.stats.defrag_percent = share_percent;
            self.background.defrag.pass = Some(Pass {
                began_us: now_us,
                next_us: now_us,
                share_percent,
                sparse_bytes,
            });
        }
    }

    /// Whether the memory limit is nearly reached.
    fn is_short(&self) -> bool {
        let budget = &self.core.facts.budget;
        let limit_bytes = budget.limit_bytes();
        limit_bytes > 0 && budget.remaining_bytes() < (limit_bytes / NEARLY) as i64
    }

    /// Works for a slice, if one is due.
    pub(super) fn defrag_when_due(&mut self) {
        if !self.background.defrag.is_due(self.core.mono_us) {
            return;
        }
        let (_, began_us) = crate::clock::read();
        let (mut now_us, mut has_more) = (began_us, true);
        while has_more && now_us < began_us + SLICE_US {
            has_more = self.core.purge_step(STEP_SLOTS);
            (_, now_us) = crate::clock::read();
        }
        let slice_us = now_us - began_us;
        self.core.stats.defrag_us += slice_us;
        if let Some(pass) = &mut self.background.defrag.pass {
            pass.next_us = now_us + rest_us(slice_us, pass.share_percent);
            self.core.stats.defrag_current_us = now_us - pass.began_us;
        }
        if !has_more {
            self.end_pass();
        }
    }

    fn end_pass(&mut self) {
        let now_us = self.core.mono_us;
        let heap = &mut self.background.defrag.heap;
        *heap = Heap::default();
        let sparse_bytes = self.core.shard.sparse_bytes() + heap.look(now_us);
        self.background.defrag.finish(sparse_bytes, now_us);
        self.core.stats.defrag_percent = 0;
        self.core.stats.defrag_current_us = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(sparse_bytes: u64) -> Option<Pass> {
        Some(Pass {
            began_us: 0,
            next_us: 500,
            share_percent: 25,
            sparse_bytes,
        })
    }

    #[test]
    fn a_slice_is_followed_by_as_much_rest_as_its_share_asks_for() {
        assert_eq!(rest_us(100, 25), 300);
        assert_eq!(rest_us(100, 1), 9_900);
        assert_eq!(rest_us(100, 99), 1);
        assert_eq!(rest_us(100, 0), 9_900);
    }

    #[test]
    fn a_slice_is_due_when_its_time_has_come_and_none_without_a_pass() {
        let mut defrag = Defrag::default();
        assert!(!defrag.is_due(u64::MAX));
        defrag.pass = pass(100);
        assert_eq!((defrag.is_due(499), defrag.is_due(500)), (false, true));
    }

    #[test]
    fn passes_that_win_little_come_ever_more_seldom_and_one_that_wins_ends_that() {
        let mut defrag = Defrag::default();
        let mut after = |won: u64| {
            defrag.pass = pass(100);
            defrag.finish(100 - won, 0);
            defrag.wait_until_us
        };
        assert_eq!(
            (after(24), after(0), after(10)),
            (1_000_000, 2_000_000, 4_000_000)
        );
        assert_eq!((0..20).map(|_| after(1)).max(), Some(PAUSE_MAX_US));
        assert_eq!(after(25), 0);
        assert_eq!(after(0), PAUSE_MIN_US);
    }
}
