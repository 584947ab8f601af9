//! Owns a range of reserved address space whose pages a slab commits, populates and gives back.
//! Never happens here: deciding which pages live, counting live bytes, or touching memory behind the owner's back.
//! Source: the reserve-then-commit scheme of every arena allocator, by mmap, mprotect and madvise of Linux.

use std::ffi::c_void;
use std::io;
use std::ptr::NonNull;

/// Size of a page of the operating system as this module counts it, in bytes.
///
/// Offsets and lengths handed to a [`Region`] are multiples of it. Fixed rather than asked of the
/// kernel: a slab page is 64 KiB, a multiple of every page size Linux runs with.
pub const OS_PAGE_BYTES: usize = 4096;

/// Size of a page of the operating system as the kernel counts them, in bytes.
pub fn kernel_page_bytes() -> u64 {
    // SAFETY: asks a number of the C library and touches nothing.
    let answer = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(answer).unwrap_or(OS_PAGE_BYTES as u64)
}

/// Keeps huge pages out of this process, those a [`Region`] prefers too.
///
/// For systems that give them to everybody (`always`): there a page that holds a few blocks takes
/// 2 MiB, and neither idle use nor the resident set can be told from what is allocated.
///
/// # Errors
/// What prctl says; nothing is changed then.
pub fn forbid_huge_pages() -> io::Result<()> {
    // SAFETY: sets a flag of the process; no memory is named.
    outcome_of(unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) })
}

/// Gives whole pages of the kernel inside a block back to it, but never its first bytes, where an allocator links free blocks.
/// What was in them is lost, and they read as zero. A refusal of the system changes nothing.
///
/// # Safety
/// The caller owns so many writable, private bytes from `block` on, and needs none of them.
pub unsafe fn discard_inside(block: NonNull<u8>, bytes: usize) {
    const LINK_BYTES: usize = 16;
    let page_bytes = kernel_page_bytes() as usize;
    let start = block.as_ptr().addr();
    let first = (start + LINK_BYTES).next_multiple_of(page_bytes);
    let end = (start + bytes) / page_bytes * page_bytes;
    if first < end {
        let address = block.as_ptr().wrapping_add(first - start);
        // SAFETY: the range is inside the block, which nobody else refers to.
        let _ =
            unsafe { libc::madvise(address.cast::<c_void>(), end - first, libc::MADV_DONTNEED) };
    }
}

/// How many bytes of a range are in memory, counted in whole pages of the kernel that lie inside it; 0 where the kernel does not
/// say, as for what is not mapped. A system call for 4 MiB.
///
/// Source: mincore(2), which tells of private memory what the page tables say.
pub fn resident_inside(start: *const u8, bytes: usize) -> u64 {
    const PAGES_AT_ONCE: usize = 1024;
    let page_bytes = kernel_page_bytes() as usize;
    let mut first = start.addr().next_multiple_of(page_bytes);
    let end = start.addr().saturating_add(bytes) / page_bytes * page_bytes;
    let mut resident_pages = 0;
    while first < end {
        let pages = ((end - first) / page_bytes).min(PAGES_AT_ONCE);
        let mut states = [0u8; PAGES_AT_ONCE];
        let address = start.with_addr(first).cast_mut().cast::<c_void>();
        // SAFETY: only asks; a byte of `states` for each page is written, and there is room for so many.
        if unsafe { libc::mincore(address, pages * page_bytes, states.as_mut_ptr()) } != 0 {
            break;
        }
        resident_pages += states[..pages]
            .iter()
            .filter(|state| **state & 1 != 0)
            .count();
        first += pages * page_bytes;
    }
    (resident_pages * page_bytes) as u64
}

/// One range of reserved address space, inaccessible until a part of it is committed.
///
/// Reserving costs address space only: neither memory nor the commit limit of the machine.
/// Dropping the region unmaps all of it, so whoever holds pointers into it must go first.
#[derive(Debug)]
pub struct Region {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a Region is the sole owner of its mapping; moving it to another thread moves that
// ownership, and every method is a system call that any thread may make.
unsafe impl Send for Region {}

impl Region {
    /// Reserves `len` bytes of address space, rounded up to whole pages.
    ///
    /// # Errors
    /// What mmap says: usually out of address space, or `RLIMIT_AS`. A zero length is refused as
    /// invalid input.
    pub fn reserve(len: usize) -> io::Result<Region> {
        if len == 0 {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let len = len
            .checked_next_multiple_of(OS_PAGE_BYTES)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice touches nothing
        // that exists.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(address.cast::<u8>())
            .ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        Ok(Region { base, len })
    }

    /// Where the region begins; aligned to a page.
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// How many bytes of address space are reserved.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Always false: a region of no bytes cannot be reserved.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes `len` bytes from `offset` readable and writable; they read as zero until written.
    ///
    /// Committing twice is allowed and keeps what was written. No memory is used before a page is
    /// touched.
    ///
    /// # Errors
    /// What mprotect says: the commit limit under strict overcommit, or too many mappings. The
    /// range is then still inaccessible and the caller answers with an out-of-memory error.
    pub fn commit(&self, offset: usize, len: usize) -> io::Result<()> {
        let address = self.part(offset, len)?;
        // SAFETY: `part` proved that the range lies in this mapping, which we own.
        let outcome = unsafe { libc::mprotect(address, len, libc::PROT_READ | libc::PROT_WRITE) };
        outcome_of(outcome)
    }

    /// Gives the memory of `len` committed bytes from `offset` back to the operating system.
    ///
    /// The range stays committed and reads as zero afterwards: what was in it is lost.
    ///
    /// # Errors
    /// What madvise says; a locked mapping, for one, keeps its memory.
    pub fn release(&self, offset: usize, len: usize) -> io::Result<()> {
        let address = self.part(offset, len)?;
        // SAFETY: the range lies in this mapping, and the owner of the region says that nothing
        // in it is needed; later reads see zeroes, which is initialised memory.
        let outcome = unsafe { libc::madvise(address, len, libc::MADV_DONTNEED) };
        outcome_of(outcome)
    }

    /// Faults in `len` committed bytes from `offset` in one call, so that later writes do not.
    ///
    /// A kernel before 5.14 does not know the advice; that is no error, the pages then come one
    /// by one as they are touched.
    ///
    /// # Errors
    /// What madvise says, when memory is short for one.
    pub fn populate(&self, offset: usize, len: usize) -> io::Result<()> {
        self.advise(offset, len, libc::MADV_POPULATE_WRITE)
    }

    /// Asks for huge pages behind `len` bytes from `offset`; a kernel without them is no error.
    ///
    /// # Errors
    /// What madvise says.
    pub fn prefer_huge_pages(&self, offset: usize, len: usize) -> io::Result<()> {
        self.advise(offset, len, libc::MADV_HUGEPAGE)
    }

    fn advise(&self, offset: usize, len: usize, advice: libc::c_int) -> io::Result<()> {
        let address = self.part(offset, len)?;
        // SAFETY: the range lies in this mapping, and neither advice changes what it holds.
        let outcome = unsafe { libc::madvise(address, len, advice) };
        match outcome_of(outcome) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
            other => other,
        }
    }

    /// The address of a part, after checking that it lies inside and begins and ends on pages.
    fn part(&self, offset: usize, len: usize) -> io::Result<*mut c_void> {
        let aligned = offset.is_multiple_of(OS_PAGE_BYTES) && len.is_multiple_of(OS_PAGE_BYTES);
        let inside = offset.checked_add(len).is_some_and(|end| end <= self.len);
        if !aligned || !inside {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        // SAFETY: `offset` was just checked to lie within the mapping.
        Ok(unsafe { self.base.as_ptr().add(offset) }.cast::<c_void>())
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, whole, and this is the last moment anybody can name it.
        let outcome = unsafe { libc::munmap(self.base.as_ptr().cast::<c_void>(), self.len) };
        debug_assert_eq!(outcome, 0, "munmap refused a mapping of our own");
    }
}

fn outcome_of(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_range_only_touched_pages_are_in_memory() {
        let page_bytes = kernel_page_bytes() as usize;
        let region = Region::reserve(1536 * page_bytes).unwrap();
        region.commit(0, region.len()).unwrap();
        let base = region.base().as_ptr();
        assert_eq!(resident_inside(base, region.len()), 0);
        for page in [0, 1, 700, 1535] {
            // SAFETY: inside the region, which is writable.
            unsafe { base.add(page * page_bytes).write(1) };
        }
        assert_eq!(resident_inside(base, region.len()), 4 * page_bytes as u64);
        // A page that is only partly inside does not count.
        let inside = resident_inside(base.wrapping_add(1), region.len() - 2);
        assert_eq!(inside, 2 * page_bytes as u64);
    }

    const PAGE: usize = OS_PAGE_BYTES;

    fn write(region: &Region, offset: usize, byte: u8) {
        // SAFETY: the tests write only where they committed.
        unsafe { region.base().as_ptr().add(offset).write_volatile(byte) }
    }

    fn read(region: &Region, offset: usize) -> u8 {
        // SAFETY: the tests read only where they committed.
        unsafe { region.base().as_ptr().add(offset).read_volatile() }
    }

    #[test]
    fn a_committed_page_holds_what_is_written() {
        let region = Region::reserve(16 * PAGE).unwrap();
        region.commit(4 * PAGE, 2 * PAGE).unwrap();
        write(&region, 4 * PAGE, 7);
        write(&region, 6 * PAGE - 1, 9);
        assert_eq!(read(&region, 4 * PAGE), 7);
        assert_eq!(read(&region, 6 * PAGE - 1), 9);
    }

    #[test]
    fn committing_again_keeps_what_was_written() {
        let region = Region::reserve(4 * PAGE).unwrap();
        region.commit(0, PAGE).unwrap();
        write(&region, 0, 7);
        region.commit(0, 4 * PAGE).unwrap();
        assert_eq!(read(&region, 0), 7);
    }

    #[test]
    fn a_released_page_reads_as_zero_and_can_be_written_again() {
        let region = Region::reserve(4 * PAGE).unwrap();
        region.commit(0, 4 * PAGE).unwrap();
        write(&region, PAGE, 7);
        write(&region, 2 * PAGE, 8);
        region.release(PAGE, PAGE).unwrap();
        assert_eq!(read(&region, PAGE), 0);
        assert_eq!(read(&region, 2 * PAGE), 8);
        write(&region, PAGE, 5);
        assert_eq!(read(&region, PAGE), 5);
    }

    #[test]
    fn releasing_lets_the_memory_go() {
        let pages = 256;
        let region = Region::reserve(pages * PAGE).unwrap();
        region.commit(0, pages * PAGE).unwrap();
        for page in 0..pages {
            write(&region, page * PAGE, 1);
        }
        assert_eq!(resident_pages(&region), pages);
        region.release(0, pages * PAGE).unwrap();
        assert_eq!(resident_pages(&region), 0);
    }

    #[test]
    fn populating_brings_the_memory_in() {
        let pages = 64;
        let region = Region::reserve(pages * PAGE).unwrap();
        region.commit(0, pages * PAGE).unwrap();
        assert_eq!(resident_pages(&region), 0);
        region.populate(0, pages * PAGE).unwrap();
        // A kernel without the advice leaves it at none; it never leaves it half done.
        assert!(matches!(resident_pages(&region), 0 | 64));
        assert_eq!(read(&region, PAGE), 0);
    }

    #[test]
    fn a_huge_reservation_costs_no_memory() {
        let region = Region::reserve(1 << 40).unwrap();
        assert_eq!(region.len(), 1 << 40);
        region.commit((1 << 40) - PAGE, PAGE).unwrap();
        write(&region, (1 << 40) - 1, 1);
    }

    #[test]
    fn a_range_outside_or_between_pages_is_refused() {
        let region = Region::reserve(4 * PAGE).unwrap();
        for (offset, len) in [
            (4 * PAGE, PAGE),
            (0, 5 * PAGE),
            (1, PAGE),
            (0, 1),
            (usize::MAX - PAGE + 1, PAGE),
        ] {
            let error = region.commit(offset, len).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(region.release(offset, len).is_err());
            assert!(region.populate(offset, len).is_err());
        }
    }

    #[test]
    fn a_reservation_that_cannot_be_met_is_an_error() {
        assert!(Region::reserve(0).is_err());
        assert!(Region::reserve(usize::MAX).is_err());
        assert!(Region::reserve(usize::MAX - 2 * PAGE).is_err());
    }

    #[test]
    fn a_region_can_move_to_another_thread() {
        let region = Region::reserve(PAGE).unwrap();
        let byte = std::thread::spawn(move || {
            region.commit(0, PAGE).unwrap();
            write(&region, 0, 3);
            read(&region, 0)
        })
        .join()
        .unwrap();
        assert_eq!(byte, 3);
    }

    #[test]
    fn whole_pages_inside_a_block_are_given_back_and_what_is_around_them_stays() {
        let region = Region::reserve(8 * PAGE).unwrap();
        region.commit(0, 8 * PAGE).unwrap();
        for page in 0..8 {
            write(&region, page * PAGE, 7);
            write(&region, page * PAGE + 100, 7);
        }
        let block = NonNull::new(region.base().as_ptr().wrapping_add(PAGE)).unwrap();
        // SAFETY: the block is the middle of our own region.
        unsafe { discard_inside(block, 4 * PAGE + 50) };
        let kept: Vec<u8> = (0..8).map(|page| read(&region, page * PAGE)).collect();
        assert_eq!(kept, [7, 7, 0, 0, 0, 7, 7, 7]);
        assert_eq!(read(&region, PAGE + 100), 7, "the first bytes are linked");
    }

    fn resident_pages(region: &Region) -> usize {
        let mut states = vec![0u8; region.len() / PAGE];
        // SAFETY: the vector has one byte a page of the region.
        let outcome = unsafe {
            libc::mincore(
                region.base().as_ptr().cast::<c_void>(),
                region.len(),
                states.as_mut_ptr(),
            )
        };
        assert_eq!(outcome, 0);
        states.iter().filter(|state| **state & 1 == 1).count()
    }
}
