//! Owns the size classes of the slab: which block size serves which request.
//! Never happens here: memory; these are tables computed at compile time.
//! Source: linear steps for small sizes, then sixteen steps a power of two, as size-class allocators do.

/// The largest block the slab serves, in bytes; anything larger lives on the allocator's heap.
pub const BLOCK_BYTES_MAX: usize = 8192;

/// How many size classes there are: 8-byte steps to 128, 16-byte steps to 512, then sixteen
/// steps a power of two, so that rounding costs at most 6.25 % from there on.
pub const CLASSES: usize = 104;

/// Steps of eight bytes end here.
const FINE_BYTES_MAX: usize = 128;
/// Steps of sixteen bytes end here.
const MEDIUM_BYTES_MAX: usize = 512;
/// Steps a power of two beyond that.
const STEPS_PER_DOUBLING: usize = 16;

/// One size class, a number below [`CLASSES`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Class(u8);

impl Class {
    /// The class whose blocks are the smallest that hold `size` bytes (at most 8 KiB).
    #[inline(always)]
    pub(crate) fn of(size: usize) -> Class {
        debug_assert!(size <= BLOCK_BYTES_MAX);
        Class(CLASS_OF_EIGHTHS[size.div_ceil(8)])
    }

    /// Bytes of a block of this class.
    #[inline(always)]
    pub(crate) fn bytes(self) -> usize {
        usize::from(BYTES_OF_CLASS[usize::from(self.0)])
    }

    #[inline(always)]
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The class with this number, which a page remembers.
    #[inline(always)]
    pub(crate) fn from_index(index: u8) -> Class {
        debug_assert!(usize::from(index) < CLASSES);
        Class(index)
    }

    /// Blocks of this class that fit `page_bytes`.
    pub(crate) const fn capacities(page_bytes: usize) -> [u16; CLASSES] {
        let mut table = [0u16; CLASSES];
        let mut class = 0;
        while class < CLASSES {
            table[class] = (page_bytes / BYTES_OF_CLASS[class] as usize) as u16;
            class += 1;
        }
        table
    }

    /// Every class, smallest first.
    pub(crate) fn all() -> impl Iterator<Item = Class> {
        (0..CLASSES as u8).map(Class)
    }
}

/// Bytes of the block that serves a request of `size` bytes, at most [`BLOCK_BYTES_MAX`].
#[inline]
pub fn block_bytes(size: usize) -> usize {
    Class::of(size).bytes()
}

const BYTES_OF_CLASS: [u16; CLASSES] = {
    let mut table = [0u16; CLASSES];
    let mut class = 0;
    let mut bytes = 0;
    while class < CLASSES {
        bytes += if bytes < FINE_BYTES_MAX {
            8
        } else if bytes < MEDIUM_BYTES_MAX {
            16
        } else {
            // The largest power of two not above the last size, in sixteen steps.
            (1 << bytes.ilog2()) / STEPS_PER_DOUBLING
        };
        table[class] = bytes as u16;
        class += 1;
    }
    assert!(bytes == BLOCK_BYTES_MAX);
    table
};

/// The class of a size by its eighth, rounded up: one byte load instead of three branches.
const CLASS_OF_EIGHTHS: [u8; BLOCK_BYTES_MAX / 8 + 1] = {
    let mut table = [0u8; BLOCK_BYTES_MAX / 8 + 1];
    let mut eighths = 0;
    let mut class = 0;
    while eighths < table.len() {
        if eighths * 8 > BYTES_OF_CLASS[class] as usize {
            class += 1;
        }
        table[eighths] = class as u8;
        eighths += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_fits_its_block_and_no_smaller_class_would_do() {
        for size in 1..=BLOCK_BYTES_MAX {
            let class = Class::of(size);
            assert!(class.bytes() >= size);
            if class.index() > 0 {
                assert!(usize::from(BYTES_OF_CLASS[class.index() - 1]) < size);
            }
        }
    }

    #[test]
    fn rounding_costs_at_most_a_sixteenth_from_512_bytes_on() {
        for size in MEDIUM_BYTES_MAX..=BLOCK_BYTES_MAX {
            let lost = block_bytes(size) - size;
            assert!(lost * STEPS_PER_DOUBLING < size, "{size} loses {lost}");
        }
    }

    #[test]
    fn small_blocks_come_in_steps_of_eight_and_sixteen() {
        assert_eq!(block_bytes(1), 8);
        assert_eq!(block_bytes(25), 32);
        assert_eq!(block_bytes(128), 128);
        assert_eq!(block_bytes(129), 144);
        assert_eq!(block_bytes(512), 512);
        assert_eq!(block_bytes(513), 544);
        assert_eq!(block_bytes(8192), 8192);
    }

    #[test]
    fn every_block_size_is_a_multiple_of_eight() {
        for class in Class::all() {
            assert_eq!(class.bytes() % 8, 0);
            assert_eq!(Class::of(class.bytes()), class);
        }
    }
}
