//! Owns the blocks of up to 8 KiB of one shard: pages in reserved address space, size classes, exact counters.
//! Never happens here: what a block holds; a system call per freed block; a wait.
//! Source: the slab of Bonwick with per-page free lists, 32-bit block references, and pages given back in batches.

mod evacuate;

use std::io;

use memory::pages::Region;

use crate::classes::{CLASSES, Class};

/// Address space reserved per shard, in bytes: all that 32-bit references in units of eight reach.
pub(crate) const REGION_BYTES: usize = 1 << 35;
/// Bytes of a slab page; every block of a page has the same size class.
pub(crate) const PAGE_BYTES: usize = 1 << 16;
/// Block references in one page.
const UNITS_PER_PAGE_LOG2: u32 = (PAGE_BYTES / UNIT_BYTES).ilog2();
/// A block reference counts units of this many bytes.
const UNIT_BYTES: usize = 8;
/// Pages made accessible by one system call: 2 MiB, so that huge pages find room if they are wanted.
const COMMIT_STEP_PAGES: usize = 32;
/// Huge pages begin here, so that a shard with little data uses little memory: 16 MiB.
const HUGE_FROM_BYTES: usize = 16 << 20;
/// Pages that stay obtainable without a system call, so that one write cannot fail half way: an
/// entry (1), a split that fills the other half of a segment (chunks and header: 1 + 1), moved
/// entries of other classes, doubled for safety.
const RESERVE_PAGES: usize = 8;
/// Empty pages kept for reuse before the background step gives any back: 1 MiB.
pub(crate) const EMPTY_PAGES_KEPT: usize = 16;
/// Empty pages given back by one step, about a tenth of a millisecond; neighbours share a system
/// call: 512 KiB.
pub(crate) const RELEASE_STEP_PAGES: usize = 8;

/// Bytes of a cache line.
const LINE_BYTES: usize = 64;

/// End of a free list inside a page.
const NO_BLOCK: u16 = u16::MAX;
/// End of a list of pages: page 0 is never used, so that reference 0 can mean "none".
const NO_PAGE: u32 = 0;

/// Names a block by its distance from the base of the region, in units of eight bytes; 0 is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub(crate) struct BlockRef(u32);

impl BlockRef {
    pub(crate) const NONE: BlockRef = BlockRef(0);

    #[inline(always)]
    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }

    /// For packing into a directory entry.
    #[inline(always)]
    pub(crate) fn to_bits(self) -> u32 {
        self.0
    }

    /// Back from a directory entry.
    #[inline(always)]
    pub(crate) fn from_bits(bits: u32) -> BlockRef {
        BlockRef(bits)
    }

    /// Where the block is, from the base of the region.
    #[inline(always)]
    pub(crate) fn pointer_from(self, base: *mut u8) -> *mut u8 {
        debug_assert!(!self.is_none());
        base.wrapping_add(self.0 as usize * UNIT_BYTES)
    }

    #[inline(always)]
    fn page(self) -> usize {
        (self.0 >> UNITS_PER_PAGE_LOG2) as usize
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum PageState {
    /// Empty and still backed by memory.
    Empty,
    /// Empty, its memory given back.
    Released,
    /// Holds blocks of its class; new ones may go here.
    Live,
    /// Holds blocks that a purge is moving out; new ones do not go here.
    Evacuating,
}

/// What is known of a page, apart from the page, so that bookkeeping never touches cold blocks.
#[derive(Clone, Copy, Debug)]
struct Page {
    /// First free block as a unit within the page; free blocks are linked through their first two bytes.
    free: u16,
    /// Blocks carved off so far; those beyond were never handed out and are in no list.
    carved: u16,
    used: u16,
    class: u8,
    state: PageState,
    prev: u32,
    next: u32,
}

/// The pages of one class.
#[derive(Clone, Copy, Debug, Default)]
struct ClassPages {
    /// First of the live pages that have room.
    with_room: u32,
    pages: u32,
    used_blocks: u32,
}

/// Empty pages, linked through their `next`.
#[derive(Debug, Default)]
struct Pool {
    first: u32,
    pages: usize,
}

/// Figures of one size class, for the allocator's report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SizeClass {
    /// Size of a block in bytes.
    pub block_bytes: usize,
    /// Live blocks.
    pub used_blocks: u64,
    /// Pages that hold them, in bytes.
    pub committed_bytes: u64,
}

impl SizeClass {
    /// Bytes of live blocks.
    pub fn used_bytes(&self) -> u64 {
        self.used_blocks * self.block_bytes as u64
    }

    /// Bytes of committed pages that hold no live block.
    pub fn waste_bytes(&self) -> u64 {
        self.committed_bytes - self.used_bytes()
    }
}

/// Blocks up to 8 KiB of one shard.
#[derive(Debug)]
pub(crate) struct Slab {
    region: Region,
    /// The side table; its length is the first page never used.
    pages: Vec<Page>,
    classes: [ClassPages; CLASSES],
    empty: Pool,
    released: Pool,
    /// Pages below this one are accessible.
    accessible: usize,
    /// Pages the region has room for.
    pages_max: usize,
    used_bytes: u64,
    live_pages: usize,
}

const _: () = assert!(size_of::<Page>() == 16);

/// Blocks that fit a page, by class.
const CAPACITY: [u16; CLASSES] = Class::capacities(PAGE_BYTES);

impl Slab {
    /// Reserves address space, at most [`REGION_BYTES`]; uses no memory yet.
    ///
    /// # Errors
    /// The system's, when the address space is not to be had.
    pub(crate) fn new(region_bytes: usize, huge_pages: bool) -> io::Result<Slab> {
        let nothing = Page {
            free: NO_BLOCK,
            carved: 0,
            used: 0,
            class: 0,
            state: PageState::Live,
            prev: NO_PAGE,
            next: NO_PAGE,
        };
        let mut slab = Slab {
            region: Region::reserve(region_bytes)?,
            pages: vec![nothing],
            classes: [ClassPages::default(); CLASSES],
            empty: Pool::default(),
            released: Pool::default(),
            accessible: 0,
            pages_max: region_bytes / PAGE_BYTES,
            used_bytes: 0,
            live_pages: 0,
        };
        if huge_pages && region_bytes > HUGE_FROM_BYTES {
            slab.region
                .prefer_huge_pages(HUGE_FROM_BYTES, region_bytes - HUGE_FROM_BYTES)?;
        }
        slab.commit_ahead()?;
        Ok(slab)
    }

    /// Whether the next write surely finds its blocks.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        let fresh = self.accessible - self.pages.len();
        fresh + self.empty.pages + self.released.pages >= RESERVE_PAGES
    }

    /// Tries again for room after a failed commit; asked only when `has_room` says no.
    pub(crate) fn make_room(&mut self) -> bool {
        self.has_room() || (self.commit_ahead().is_ok() && self.has_room())
    }

    /// Bytes of live blocks, rounding included.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    /// Bytes of pages that were touched and not given back.
    pub(crate) fn committed_bytes(&self) -> u64 {
        ((self.live_pages + self.empty.pages) * PAGE_BYTES) as u64
    }

    /// Bytes of the side table of pages.
    pub(crate) fn bookkeeping_bytes(&self) -> u64 {
        (self.pages.capacity() * size_of::<Page>()) as u64
    }

    /// Empty pages beyond those worth keeping.
    pub(crate) fn surplus_pages(&self) -> usize {
        self.empty.pages.saturating_sub(EMPTY_PAGES_KEPT)
    }

    pub(crate) fn size_classes(&self) -> impl Iterator<Item = SizeClass> + '_ {
        Class::all().map(|class| {
            let pages = &self.classes[class.index()];
            SizeClass {
                block_bytes: class.bytes(),
                used_blocks: u64::from(pages.used_blocks),
                committed_bytes: u64::from(pages.pages) * PAGE_BYTES as u64,
            }
        })
    }

    /// The class of a live block.
    #[inline(always)]
    pub(crate) fn class_of(&self, block: BlockRef) -> Class {
        let page = &self.pages[block.page()];
        debug_assert!(page.used > 0, "the block of an empty page was asked for");
        Class::from_index(page.class)
    }

    /// The class of the live block at an address.
    #[inline(always)]
    pub(crate) fn class_at(&self, start: *const u8) -> Class {
        let offset = start.addr() - self.base().addr();
        Class::from_index(self.pages[offset / PAGE_BYTES].class)
    }

    /// Where a block is. It stays valid until the block is freed.
    #[inline(always)]
    pub(crate) fn pointer(&self, block: BlockRef) -> *mut u8 {
        block.pointer_from(self.base())
    }

    /// Where the region begins; it never moves.
    #[inline(always)]
    pub(crate) fn base(&self) -> *mut u8 {
        self.region.base().as_ptr()
    }

    /// A block of at least `size` bytes, at most 8 KiB. Its content is whatever was there.
    ///
    /// The caller asked [`Slab::has_room`] before the write this belongs to.
    #[inline]
    pub(crate) fn alloc(&mut self, size: usize) -> BlockRef {
        let class = Class::of(size);
        let mut number = self.classes[class.index()].with_room;
        if number == NO_PAGE {
            number = self.add_page(class);
        }
        let pages = &mut self.classes[class.index()];
        let page = &mut self.pages[number as usize];
        pages.used_blocks += 1;
        self.used_bytes += class.bytes() as u64;
        page.used += 1;
        let has_room = page.used < CAPACITY[class.index()];
        let unit = if page.free != NO_BLOCK {
            u32::from(page.free)
        } else {
            page.carved += 1;
            u32::from(page.carved - 1) * (class.bytes() / UNIT_BYTES) as u32
        };
        let block = BlockRef((number << UNITS_PER_PAGE_LOG2) | unit);
        if self.pages[number as usize].free != NO_BLOCK {
            self.pages[number as usize].free = self.link_of(block);
        }
        if !has_room {
            self.unlink(number);
        }
        block
    }

    /// Ends a block. An emptied page waits in the pool for reuse or for the next release.
    #[inline]
    pub(crate) fn free(&mut self, block: BlockRef) {
        let number = block.page();
        let head = self.pages[number].free;
        self.set_link(block, head);
        let page = &mut self.pages[number];
        debug_assert!(page.used > 0, "a block was freed twice");
        page.free = (block.0 & ((1 << UNITS_PER_PAGE_LOG2) - 1)) as u16;
        let was_full = page.used == CAPACITY[usize::from(page.class)];
        page.used -= 1;
        let class = Class::from_index(page.class);
        let (used, state) = (page.used, page.state);
        self.classes[class.index()].used_blocks -= 1;
        self.used_bytes -= class.bytes() as u64;
        if used == 0 {
            self.retire(number as u32);
        } else if was_full && state == PageState::Live {
            self.link(number as u32);
        }
    }

    /// Moves a block out of a page that is being evacuated; its content goes along.
    pub(crate) fn relocate(&mut self, block: BlockRef) -> BlockRef {
        let bytes = self.class_of(block).bytes();
        let new = self.alloc(bytes);
        // SAFETY: both are live blocks of `bytes` bytes, and a block just handed out is no other.
        unsafe { std::ptr::copy_nonoverlapping(self.pointer(block), self.pointer(new), bytes) };
        self.free(block);
        new
    }

    /// Hints the processor to fetch a block, or the first two lines of a large one.
    #[inline(always)]
    pub(crate) fn prefetch(&self, block: BlockRef) {
        let start = self.pointer(block);
        prefetch(start);
        let last = self.class_of(block).bytes().min(2 * LINE_BYTES) - 1;
        prefetch(start.wrapping_add(last));
    }

    /// The link inside a free block.
    #[inline(always)]
    fn link_of(&self, block: BlockRef) -> u16 {
        // SAFETY: a block is at least eight bytes and eight-aligned; a free one holds a link.
        unsafe { self.pointer(block).cast::<u16>().read() }
    }

    #[inline(always)]
    fn set_link(&mut self, block: BlockRef, next: u16) {
        // SAFETY: as above; the block was just given up, so nobody reads it as data.
        unsafe { self.pointer(block).cast::<u16>().write(next) };
    }

    /// Puts a page at the head of its class's pages with room: the last to become not full is the
    /// fullest, so sparse pages sink and drain.
    fn link(&mut self, number: u32) {
        let class = usize::from(self.pages[number as usize].class);
        let first = self.classes[class].with_room;
        self.pages[number as usize].prev = NO_PAGE;
        self.pages[number as usize].next = first;
        if first != NO_PAGE {
            self.pages[first as usize].prev = number;
        }
        self.classes[class].with_room = number;
    }

    /// Takes a page out of its class's pages with room.
    fn unlink(&mut self, number: u32) {
        let page = self.pages[number as usize];
        if page.prev == NO_PAGE {
            debug_assert_eq!(self.classes[usize::from(page.class)].with_room, number);
            self.classes[usize::from(page.class)].with_room = page.next;
        } else {
            self.pages[page.prev as usize].next = page.next;
        }
        if page.next != NO_PAGE {
            self.pages[page.next as usize].prev = page.prev;
        }
    }

    /// Gives a class another page: an empty one, one whose memory was given back, or a new one.
    #[cold]
    fn add_page(&mut self, class: Class) -> u32 {
        let number = if self.empty.pages > 0 {
            pop(&mut self.empty, &self.pages)
        } else if self.released.pages > 0 {
            pop(&mut self.released, &self.pages)
        } else {
            self.fresh_page()
        };
        let page = &mut self.pages[number as usize];
        page.free = NO_BLOCK;
        page.carved = 0;
        page.class = class.index() as u8;
        page.state = PageState::Live;
        self.classes[class.index()].pages += 1;
        self.live_pages += 1;
        self.link(number);
        number
    }

    fn fresh_page(&mut self) -> u32 {
        let number = self.pages.len();
        assert!(
            number < self.accessible,
            "a write was begun without asking for room"
        );
        let mut page = self.pages[0];
        page.state = PageState::Released;
        self.pages.push(page);
        if self.accessible - self.pages.len() < RESERVE_PAGES {
            // A failure shows in `has_room`, before the next write begins.
            let _ = self.commit_ahead();
        }
        number as u32
    }

    fn commit_ahead(&mut self) -> io::Result<()> {
        let pages = COMMIT_STEP_PAGES.min(self.pages_max - self.accessible);
        if pages > 0 {
            self.region
                .commit(self.accessible * PAGE_BYTES, pages * PAGE_BYTES)?;
            self.accessible += pages;
        }
        Ok(())
    }

    /// Puts a page without blocks into the pool of empty ones.
    fn retire(&mut self, number: u32) {
        let page = self.pages[number as usize];
        if page.state == PageState::Live {
            self.unlink(number);
        }
        self.classes[usize::from(page.class)].pages -= 1;
        self.live_pages -= 1;
        let page = &mut self.pages[number as usize];
        page.state = PageState::Empty;
        page.next = self.empty.first;
        self.empty.first = number;
        self.empty.pages += 1;
    }
}

fn pop(pool: &mut Pool, pages: &[Page]) -> u32 {
    let number = pool.first;
    pool.first = pages[number as usize].next;
    pool.pages -= 1;
    number
}

/// Hints the processor to fetch the cache line at `pointer`; any address is allowed.
#[inline(always)]
pub(crate) fn prefetch(pointer: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch never faults, whatever the address; SSE is part of x86_64.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(pointer.cast::<i8>());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = pointer;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Rng;

    fn slab() -> Slab {
        Slab::new(REGION_BYTES, false).unwrap()
    }

    fn fill(slab: &mut Slab, block: BlockRef, byte: u8, len: usize) {
        // SAFETY: the tests write into live blocks of at least this length.
        unsafe { slab.pointer(block).write_bytes(byte, len) };
    }

    fn holds(slab: &Slab, block: BlockRef, byte: u8, len: usize) -> bool {
        // SAFETY: the tests read what they wrote.
        let bytes = unsafe { std::slice::from_raw_parts(slab.pointer(block), len) };
        bytes.iter().all(|one| *one == byte)
    }

    #[test]
    fn blocks_of_all_sizes_keep_what_is_written_to_them() {
        let mut slab = slab();
        let mut rng = Rng::seeded(1);
        let mut live: Vec<(BlockRef, u8, usize)> = Vec::new();
        for step in 0..40_000 {
            if rng.below(5) < 3 {
                let (len, byte) = (1 + rng.below(8192) as usize, step as u8);
                let block = slab.alloc(len);
                fill(&mut slab, block, byte, len);
                live.push((block, byte, len));
            } else if !live.is_empty() {
                let at = rng.below(live.len() as u64) as usize;
                let (block, byte, len) = live.swap_remove(at);
                assert!(holds(&slab, block, byte, len));
                slab.free(block);
            }
        }
        slab.check();
        for (block, byte, len) in live {
            assert!(holds(&slab, block, byte, len));
            slab.free(block);
        }
        slab.check();
        assert_eq!((slab.used_bytes(), slab.live_pages), (0, 0));
    }

    #[test]
    fn the_counters_are_exact() {
        let mut slab = slab();
        let blocks: Vec<BlockRef> = (0..1000).map(|_| slab.alloc(50)).collect();
        assert_eq!(slab.used_bytes(), 56_000);
        let class = slab
            .size_classes()
            .find(|class| class.block_bytes == 56)
            .unwrap();
        assert_eq!((class.used_blocks, class.used_bytes()), (1000, 56_000));
        assert_eq!(class.committed_bytes, slab.committed_bytes());
        assert_eq!(class.waste_bytes(), slab.committed_bytes() - 56_000);
        blocks.into_iter().for_each(|block| slab.free(block));
        assert_eq!(slab.used_bytes(), 0);
    }

    #[test]
    fn a_freed_block_is_the_next_one_handed_out() {
        let mut slab = slab();
        let blocks: Vec<BlockRef> = (0..5000).map(|_| slab.alloc(64)).collect();
        slab.free(blocks[777]);
        assert_eq!(slab.alloc(64), blocks[777]);
    }

    #[test]
    fn cache_lines_of_a_block_of_whole_lines_are_whole() {
        let mut slab = slab();
        for len in [64, 128, 256, 512, 1024] {
            for _ in 0..100 {
                let block = slab.alloc(len);
                assert!(slab.pointer(block).addr().is_multiple_of(64));
            }
        }
    }

    #[test]
    fn a_full_region_is_foreseen_and_room_comes_back() {
        let mut slab = Slab::new(64 * PAGE_BYTES, false).unwrap();
        let mut blocks = Vec::new();
        while slab.make_room() {
            // As much as one write may ask for after a yes.
            for class in 0..RESERVE_PAGES {
                blocks.push(slab.alloc(8192 - 256 * class));
            }
        }
        assert!(!slab.has_room());
        assert!(slab.committed_bytes() <= 64 * PAGE_BYTES as u64);
        blocks.into_iter().for_each(|block| slab.free(block));
        assert!(slab.has_room());
        slab.check();
    }

    #[test]
    fn released_pages_are_used_again() {
        let mut slab = Slab::new(256 * PAGE_BYTES, true).unwrap();
        for _ in 0..5 {
            let blocks: Vec<BlockRef> = (0..1600).map(|_| slab.alloc(8192)).collect();
            for block in blocks {
                fill(&mut slab, block, 1, 8192);
                slab.free(block);
            }
            while slab.release_pages(EMPTY_PAGES_KEPT) {}
            assert_eq!(
                slab.committed_bytes(),
                (EMPTY_PAGES_KEPT * PAGE_BYTES) as u64
            );
            slab.check();
        }
    }

    #[test]
    fn evacuation_marks_the_emptiest_pages_and_can_be_called_off() {
        let mut slab = slab();
        let blocks: Vec<BlockRef> = (0..64 * 64).map(|_| slab.alloc(1024)).collect();
        for (at, block) in blocks.iter().enumerate() {
            // A page in four keeps everything, the others one block in eight.
            if at / 64 % 4 != 0 && at % 8 != 0 {
                slab.free(*block);
            }
        }
        let doomed = slab.begin_evacuation();
        assert!(
            blocks
                .iter()
                .step_by(64 * 4)
                .all(|block| !slab.is_evacuating(*block))
        );
        assert_eq!(doomed, 42 * 8);
        slab.check();
        slab.end_evacuation();
        assert!(
            blocks
                .iter()
                .step_by(64)
                .all(|block| !slab.is_evacuating(*block))
        );
        slab.check();
    }
}
