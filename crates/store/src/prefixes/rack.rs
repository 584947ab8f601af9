//! Owns shapes that a key may have by its length, in one block: what a key holds tells the one place to look in.
//! Never happens here: a choice of shapes to keep, or an answer whether a key has one.
//! Source: perfect hashing by trial (Fredman, Komlós, Szemerédi 1984); few shapes share a length, so trials are few.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use crate::collections::heap_bytes;

use super::scan::{CHUNK, Sieve};
use super::shape::Shape;

/// The bits of a product that choose begin here; those below are mixed less well.
const SHIFT: u32 = 40;

/// How a key tells a place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Aim {
    sieve: Sieve,
    factor: u64,
    /// What it leaves is how far from the first place the one of a key is, in bytes.
    mask: usize,
    /// What is taken from each byte for keys without a prefix.
    plain: u8,
    /// How far the place is where keys are looked for that are not in their own, if that is told.
    second: Option<usize>,
    /// Whether no place was found for a further shape.
    pub(super) is_full: bool,
}

/// The beginning of a block; shapes follow.
#[repr(C)]
struct Block<const CHUNKS: usize> {
    aim: Aim,
    shapes: [Shape<CHUNKS>; 0],
}

/// Shapes and the way to them. A block of its own, behind one pointer: of what a slice takes to be indexed each
/// new key would pay.
pub(super) struct Rack<const CHUNKS: usize> {
    block: NonNull<Block<CHUNKS>>,
}

// SAFETY: the block is this rack's alone, and holds nothing but figures.
unsafe impl<const CHUNKS: usize> Send for Rack<CHUNKS> {}

impl<const CHUNKS: usize> Rack<CHUNKS> {
    const STRIDE: usize = {
        assert!(size_of::<Shape<CHUNKS>>().is_power_of_two());
        size_of::<Shape<CHUNKS>>()
    };

    /// A rack of empty places, as many as the aim chooses among.
    pub(super) fn new(aim: Aim) -> Rack<CHUNKS> {
        let places = aim.mask / Self::STRIDE + 1;
        let layout = Self::layout(places);
        // SAFETY: the layout has a size.
        let block = unsafe { alloc(layout) }.cast::<Block<CHUNKS>>();
        let Some(block) = NonNull::new(block) else {
            handle_alloc_error(layout)
        };
        // SAFETY: the block is as long as its beginning and so many shapes, and is aligned for both.
        unsafe {
            (&raw mut (*block.as_ptr()).aim).write(aim);
            let first = (&raw mut (*block.as_ptr()).shapes).cast::<Shape<CHUNKS>>();
            (0..places).for_each(|place| first.add(place).write(Shape::NONE));
        }
        Rack { block }
    }

    fn layout(places: usize) -> Layout {
        let shapes = Layout::array::<Shape<CHUNKS>>(places);
        let whole = shapes.and_then(|shapes| Layout::new::<Block<CHUNKS>>().extend(shapes));
        whole.expect("some dozens of shapes are no large block").0
    }

    #[inline(always)]
    pub(super) fn aim(&self) -> &Aim {
        // SAFETY: the beginning was written when the block was made.
        unsafe { &self.block.as_ref().aim }
    }

    pub(super) fn aim_mut(&mut self) -> &mut Aim {
        // SAFETY: as above; nobody else has the block.
        unsafe { &mut self.block.as_mut().aim }
    }

    pub(super) fn places(&self) -> usize {
        self.aim().mask / Self::STRIDE + 1
    }

    pub(super) fn heap_bytes(&self) -> u64 {
        heap_bytes(Self::layout(self.places()).size())
    }

    /// What is so many bytes behind the first place; the distance is one that the aim leaves.
    #[inline(always)]
    fn behind(&mut self, distance: usize) -> &mut Shape<CHUNKS> {
        debug_assert!(distance & !self.aim().mask == 0);
        // SAFETY: the mask leaves but the distances of places, each of which was written.
        unsafe {
            let first = (&raw mut (*self.block.as_ptr()).shapes).cast::<Shape<CHUNKS>>();
            &mut *first.byte_add(distance)
        }
    }

    /// What is in the place of a key of this first chunk.
    #[inline(always)]
    pub(super) fn of(&mut self, chunk: &[u8; CHUNK]) -> &mut Shape<CHUNKS> {
        let distance = self.aim().distance(chunk);
        self.behind(distance)
    }

    /// What is in the only place, if there is no other.
    #[inline(always)]
    pub(super) fn only(&mut self) -> Option<&mut Shape<CHUNKS>> {
        (self.aim().mask == 0).then(|| self.behind(0))
    }

    /// Where else a key may be: the shape of keys without a prefix, if it is here, as nothing says where those
    /// are looked for first; or else what is beside its place. Where there is one place alone, that.
    pub(super) fn second_of(&mut self, chunk: &[u8; CHUNK]) -> &mut Shape<CHUNKS> {
        let aim = self.aim();
        let beside = || aim.distance(chunk) ^ Self::STRIDE & aim.mask;
        let distance = aim.second.unwrap_or_else(beside);
        self.behind(distance)
    }

    /// Keeps a shape in a place. Answers what was there.
    pub(super) fn put(&mut self, place: usize, shape: Shape<CHUNKS>) -> Shape<CHUNKS> {
        let was = std::mem::replace(&mut self.shapes_mut()[place], shape);
        let plain = self.shapes().iter().position(Shape::is_plain);
        self.aim_mut().second = plain.map(|place| place * Self::STRIDE);
        was
    }

    pub(super) fn shapes(&self) -> &[Shape<CHUNKS>] {
        // SAFETY: so many places follow the beginning, each of which was written.
        unsafe {
            let first = (&raw const (*self.block.as_ptr()).shapes).cast();
            std::slice::from_raw_parts(first, self.places())
        }
    }

    pub(super) fn shapes_mut(&mut self) -> &mut [Shape<CHUNKS>] {
        let places = self.places();
        // SAFETY: as above; nobody else has the block.
        unsafe {
            let first = (&raw mut (*self.block.as_ptr()).shapes).cast();
            std::slice::from_raw_parts_mut(first, places)
        }
    }
}

impl<const CHUNKS: usize> Drop for Rack<CHUNKS> {
    fn drop(&mut self) {
        let layout = Self::layout(self.places());
        // SAFETY: it was taken with this layout; shapes have nothing to drop.
        unsafe { dealloc(self.block.as_ptr().cast(), layout) }
    }
}

impl<const CHUNKS: usize> std::fmt::Debug for Rack<CHUNKS> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_list().entries(self.shapes()).finish()
    }
}

impl Aim {
    #[inline(always)]
    fn distance(&self, chunk: &[u8; CHUNK]) -> usize {
        let product = self.sieve.word(chunk).wrapping_mul(self.factor);
        (product >> SHIFT) as usize & self.mask
    }

    /// An aim at so many places for these shapes, by the number of the trial.
    pub(super) fn tried<const CHUNKS: usize>(
        takes: [u8; CHUNK],
        plain: u8,
        places: usize,
        nth: u64,
    ) -> Aim {
        let [low, high, factor] = [0, 1, 2].map(|one| mixed(3 * nth + one));
        let weights = u128::from(low) | u128::from(high) << 64;
        Aim {
            sieve: Sieve {
                takes,
                weights: weights.to_le_bytes(),
            },
            factor: factor | 1,
            mask: (places - 1) * Rack::<CHUNKS>::STRIDE,
            plain,
            second: None,
            is_full: false,
        }
    }

    /// Whether every key that has this shape is led to one place.
    pub(super) fn is_sure_of<const CHUNKS: usize>(&self, shape: &Shape<CHUNKS>) -> bool {
        let takes = self.sieve.takes.into_iter().zip(shape.takes(self.plain));
        takes.into_iter().all(|(taken, needed)| taken >= needed)
    }

    /// The place of keys of this shape, as a number.
    pub(super) fn place_of<const CHUNKS: usize>(&self, shape: &Shape<CHUNKS>) -> usize {
        self.distance(&shape.example()) / Rack::<CHUNKS>::STRIDE
    }
}

/// A number whose bits are in no order (the finaliser of SplitMix64).
fn mixed(number: u64) -> u64 {
    let one = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let two = (one ^ one >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let three = (two ^ two >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    three ^ three >> 31
}
