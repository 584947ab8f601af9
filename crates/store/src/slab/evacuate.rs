//! Owns giving memory back: choosing sparse pages to evacuate, and releasing empty ones in batches.
//! Never happens here: moving blocks; their owners do, since only they know who refers to them.
//! Source: mark the emptiest pages, move their blocks into the fullest, as compacting slabs do.
#![forbid(unsafe_code)]

use super::*;

impl Slab {
    /// Whether a block lies in a page that should become empty.
    #[inline(always)]
    pub(crate) fn is_evacuating(&self, block: BlockRef) -> bool {
        self.pages[block.page()].state == PageState::Evacuating
    }

    /// Marks the pages that are not needed: in every class the emptiest ones, beyond as many as
    /// its blocks would fill. Returns how many blocks they hold.
    pub(crate) fn begin_evacuation(&mut self) -> u64 {
        self.end_evacuation();
        let mut surplus = self.surplus_by_fill();
        let mut doomed_blocks = 0;
        for number in 1..self.pages.len() {
            let page = self.pages[number];
            if page.state != PageState::Live {
                continue;
            }
            let surplus = &mut surplus[usize::from(page.class)];
            let marks =
                page.used < surplus.below || page.used == surplus.below && surplus.pages_at > 0;
            if !marks {
                continue;
            }
            if page.used == surplus.below {
                surplus.pages_at -= 1;
            }
            self.unlink(number as u32);
            self.pages[number].state = PageState::Evacuating;
            doomed_blocks += u64::from(page.used);
        }
        doomed_blocks
    }

    /// Pages beyond as many as the blocks of each class would fill.
    pub(crate) fn sparse_pages(&self) -> u64 {
        let surplus = |(pages, capacity): (&ClassPages, &u16)| {
            u64::from(pages.pages - pages.used_blocks.div_ceil(u32::from(*capacity)))
        };
        self.classes.iter().zip(&CAPACITY).map(surplus).sum()
    }

    /// Takes pages that still hold blocks back into service.
    pub(crate) fn end_evacuation(&mut self) {
        for number in 1..self.pages.len() {
            let page = &mut self.pages[number];
            if page.state == PageState::Evacuating {
                page.state = PageState::Live;
                self.link(number as u32);
            }
        }
    }

    /// Gives up to one batch of empty pages back, but keeps `kept`; neighbours share a system
    /// call. Returns whether more remain to be given.
    pub(crate) fn release_pages(&mut self, kept: usize) -> bool {
        let count = self
            .empty
            .pages
            .saturating_sub(kept)
            .min(RELEASE_STEP_PAGES);
        let mut batch = [0u32; RELEASE_STEP_PAGES];
        let batch = &mut batch[..count];
        for number in batch.iter_mut() {
            *number = pop(&mut self.empty, &self.pages);
        }
        batch.sort_unstable();
        let mut all_released = true;
        for run in batch.chunk_by(|one, next| one + 1 == *next) {
            let offset = run[0] as usize * PAGE_BYTES;
            let is_released = self.region.release(offset, run.len() * PAGE_BYTES).is_ok();
            for number in run {
                self.shelve(*number, is_released);
            }
            all_released &= is_released;
        }
        // What the system refuses to take it will refuse again: then we are done as well.
        all_released && self.empty.pages > kept
    }

    fn shelve(&mut self, number: u32, is_released: bool) {
        let (pool, state) = if is_released {
            (&mut self.released, PageState::Released)
        } else {
            (&mut self.empty, PageState::Empty)
        };
        let page = &mut self.pages[number as usize];
        page.state = state;
        page.next = pool.first;
        pool.first = number;
        pool.pages += 1;
    }

    /// By class, how full a page must be to be kept.
    fn surplus_by_fill(&self) -> Vec<Surplus> {
        let mut pages_by_fill: Vec<Vec<u32>> = CAPACITY
            .iter()
            .map(|capacity| vec![0; usize::from(*capacity) + 1])
            .collect();
        for page in self
            .pages
            .iter()
            .skip(1)
            .filter(|page| page.state == PageState::Live)
        {
            pages_by_fill[usize::from(page.class)][usize::from(page.used)] += 1;
        }
        let surplus_of = |(class, by_fill): (usize, &Vec<u32>)| {
            let pages = self.classes[class];
            let needed = pages.used_blocks.div_ceil(u32::from(CAPACITY[class]));
            let mut surplus = pages.pages - needed;
            for (fill, count) in by_fill.iter().enumerate() {
                if *count >= surplus {
                    return Surplus {
                        below: fill as u16,
                        pages_at: surplus,
                    };
                }
                surplus -= count;
            }
            unreachable!("a class has as many pages as their fills add up to")
        };
        pages_by_fill.iter().enumerate().map(surplus_of).collect()
    }

    /// Asserts everything the slab promises itself.
    pub(crate) fn check(&self) {
        let mut classes = [ClassPages::default(); CLASSES];
        let (mut live, mut empty, mut released, mut used_bytes) = (0, 0, 0, 0);
        for page in self.pages.iter().skip(1) {
            match page.state {
                PageState::Empty => empty += 1,
                PageState::Released => released += 1,
                PageState::Live | PageState::Evacuating => {
                    let class = Class::from_index(page.class);
                    assert!(page.used > 0 && page.used <= CAPACITY[class.index()]);
                    assert!(page.used <= page.carved);
                    live += 1;
                    classes[class.index()].pages += 1;
                    classes[class.index()].used_blocks += u32::from(page.used);
                    used_bytes += u64::from(page.used) * class.bytes() as u64;
                }
            }
        }
        assert_eq!((live, empty), (self.live_pages, self.empty.pages));
        assert_eq!(released, self.released.pages);
        assert_eq!(used_bytes, self.used_bytes);
        for (class, expected) in classes.iter().enumerate() {
            let kept = self.classes[class];
            assert_eq!(kept.pages, expected.pages);
            assert_eq!(kept.used_blocks, expected.used_blocks);
            self.check_pages_with_room(class);
        }
    }

    fn check_pages_with_room(&self, class: usize) {
        let has_room = |page: &&Page| {
            page.state == PageState::Live
                && usize::from(page.class) == class
                && page.used < CAPACITY[class]
        };
        let expected = self.pages.iter().skip(1).filter(has_room).count();
        let (mut number, mut linked) = (self.classes[class].with_room, 0);
        while number != NO_PAGE {
            let page = &self.pages[number as usize];
            assert!(has_room(&page));
            linked += 1;
            number = page.next;
        }
        assert_eq!(linked, expected, "pages with room are all in their list");
    }
}

/// Which pages of a class are not needed: those with fewer blocks than `below`, and `pages_at` of
/// those with exactly so many.
struct Surplus {
    below: u16,
    pages_at: u32,
}
