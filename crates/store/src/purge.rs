//! Owns giving memory back: releasing empty pages, and emptying sparse ones by moving their blocks.
//! Never happens here: the allocator's heap; its owner collects that.
//! Source: as the slab's evacuation; the walk is the index's.
#![forbid(unsafe_code)]

use crate::shard::{Shard, Walk};
use crate::slab::EMPTY_PAGES_KEPT;

/// A purge under way.
#[derive(Debug)]
pub(crate) enum Purge {
    /// Moving blocks out of sparse pages; the walk stands here.
    Moving(Walk),
    /// Giving empty pages back.
    Releasing,
}

impl Shard {
    /// Begins a purge: marks the pages that its steps will empty. Begins anew if one is under way.
    pub fn purge_begin(&mut self) {
        let doomed_blocks = self.slab.begin_evacuation();
        self.purge = Some(if doomed_blocks > 0 {
            Purge::Moving(Walk::default())
        } else {
            Purge::Releasing
        });
    }

    /// Does a part of the purge: looks at about `budget_keys` keys, a segment of up to a thousand
    /// at a time, or gives up to 8 MiB of empty pages back. Returns whether there is more to do.
    pub fn purge_step(&mut self, budget_keys: usize) -> bool {
        match self.purge.take() {
            None => false,
            Some(Purge::Moving(walk)) => {
                self.purge = Some(self.move_blocks(walk, budget_keys));
                true
            }
            Some(Purge::Releasing) => {
                let has_more = self.slab.release_pages(0);
                self.purge = has_more.then_some(Purge::Releasing);
                has_more
            }
        }
    }

    /// Whether a purge is under way.
    pub fn is_purging(&self) -> bool {
        self.purge.is_some()
    }

    /// Gives up to 8 MiB of empty pages back, beyond the first MiB, which is kept for reuse.
    /// Returns whether there is more to give.
    pub fn release_step(&mut self) -> bool {
        self.slab.surplus_pages() > 0 && self.slab.release_pages(EMPTY_PAGES_KEPT)
    }

    fn move_blocks(&mut self, mut walk: Walk, budget_keys: usize) -> Purge {
        let mut seen = 0;
        while seen < budget_keys {
            let Some((db, place)) = self.next_segment(&mut walk) else {
                self.slab.end_evacuation();
                return Purge::Releasing;
            };
            seen += self.databases[db].index.evacuate(&mut self.slab, place);
        }
        Purge::Moving(walk)
    }
}
