//! The buffers a ring receives into, and the ring of descriptions by which the kernel finds free ones.
//! A buffer is either the kernel's or ours, never both: it is ours from its completion to `recycle`.
//! Layout and the place of the tail: io_uring_register_buf_ring(3).

use io_uring::types::BufRingEntry;
use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
    ptr::NonNull,
    sync::atomic::{AtomicU16, Ordering},
};

/// How many buffers a core has; when more connections speak at once, the others are received in the next round.
pub const COUNT: u16 = 128;
/// Bytes of one buffer: a pipeline of 64 small commands fits.
pub const BYTES: usize = 8192;
/// The kernel wants the descriptions on a page of their own.
const RING_ALIGN: usize = 4096;

/// Provided buffers of one ring.
pub struct Buffers {
    ring: NonNull<BufRingEntry>,
    area: NonNull<u8>,
    tail: u16,
}

/// Apart and by value, so that neither is kept in memory for it where all is well.
#[cold]
#[inline(never)]
fn outside(buffer: u16, len: usize) -> ! {
    panic!("buffer {buffer} of {len} bytes is outside the area")
}

impl Buffers {
    /// Allocates all buffers and offers them to the kernel.
    pub fn new() -> Buffers {
        let ring = zeroed(ring_layout()).cast::<BufRingEntry>();
        let area = zeroed(area_layout());
        let mut buffers = Buffers {
            ring,
            area,
            tail: 0,
        };
        for buffer in 0..COUNT {
            buffers.offer(buffer);
        }
        buffers.publish();
        buffers
    }

    /// Address of the descriptions.
    pub fn ring_address(&self) -> u64 {
        self.ring.as_ptr() as u64
    }

    /// How many descriptions there are.
    pub fn entries(&self) -> u16 {
        COUNT
    }

    /// The first `len` bytes of a buffer that the kernel has handed over.
    pub fn bytes(&self, buffer: u16, len: usize) -> &[u8] {
        if buffer >= COUNT || len > BYTES {
            outside(buffer, len);
        }
        // SAFETY: inside the area, and the kernel does not write to a buffer between its completion and `recycle`,
        // which needs the exclusive borrow that this shared one excludes.
        unsafe {
            std::slice::from_raw_parts(self.area.as_ptr().add(usize::from(buffer) * BYTES), len)
        }
    }

    /// Gives a buffer back.
    pub fn recycle(&mut self, buffer: u16) {
        assert!(buffer < COUNT, "buffer {buffer} does not exist");
        self.offer(buffer);
        self.publish();
    }

    fn offer(&mut self, buffer: u16) {
        let place = usize::from(self.tail & (COUNT - 1));
        // SAFETY: `place` is inside the ring; entries past the published tail are ours to write. The tail field shares the
        // first entry's reserved bytes, which these setters leave alone.
        unsafe {
            let entry = &mut *self.ring.as_ptr().add(place);
            entry.set_addr(self.area.as_ptr().add(usize::from(buffer) * BYTES) as u64);
            entry.set_len(BYTES as u32);
            entry.set_bid(buffer);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&mut self) {
        // SAFETY: the tail lies in the ring's first entry and is shared with the kernel, which reads it atomically.
        unsafe {
            let tail = BufRingEntry::tail(self.ring.as_ptr()).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: both were allocated with these layouts; the ring that used them is gone.
        unsafe {
            dealloc(self.ring.as_ptr().cast(), ring_layout());
            dealloc(self.area.as_ptr(), area_layout());
        }
    }
}

fn ring_layout() -> Layout {
    Layout::from_size_align(usize::from(COUNT) * size_of::<BufRingEntry>(), RING_ALIGN)
        .expect("a valid layout")
}

fn area_layout() -> Layout {
    Layout::from_size_align(usize::from(COUNT) * BYTES, RING_ALIGN).expect("a valid layout")
}

fn zeroed(layout: Layout) -> NonNull<u8> {
    // SAFETY: the layout has a size above zero.
    let memory = unsafe { alloc_zeroed(layout) };
    NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout))
}
