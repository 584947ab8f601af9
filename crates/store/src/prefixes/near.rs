//! Owns the shapes of keys that all of a key tells, its length included: those of one length in one rack.
//! Never happens here: an answer that the tree would not give; whoever changes the tree clears this.
//! Source: as racks; a cache of shapes that are lately met, as those of processors.
#![forbid(unsafe_code)]

use super::Change;
use super::rack::{Aim, Rack};
use super::scan::CHUNK;
use super::shape::Shape;

/// Places of a rack.
pub(super) const RACK_PLACES_MAX: usize = 64;
/// Aims that are tried at each number of places.
const TRIALS: u64 = 16;
/// So often the places are doubled before shapes are put beside one another's.
const DOUBLINGS: u32 = 2;

/// What may be taken from each byte where there is no prefix, so that all digits are alike: hexadecimal ones, or, if
/// a shape that begins with digits is not told from it then, decimal ones.
const PLAIN: [u8; 2] = *b"f9";

/// Shapes of keys of so many chunks and of so many lengths.
#[derive(Debug)]
pub(super) struct NearShapes<const CHUNKS: usize, const LENGTHS: usize> {
    racks: [Option<Rack<CHUNKS>>; LENGTHS],
    /// Places of all racks.
    places: usize,
    places_max: usize,
}

impl<const CHUNKS: usize, const LENGTHS: usize> NearShapes<CHUNKS, LENGTHS> {
    pub(super) fn new(places_max: usize) -> NearShapes<CHUNKS, LENGTHS> {
        NearShapes {
            racks: [const { None }; LENGTHS],
            places: 0,
            places_max,
        }
    }

    /// Counts a key of the nth length beside the shape that is in its place, and answers whether it has that. If
    /// not, [`NearShapes::count_second`] or [`NearShapes::take_back`] takes it back: to add before what is compared
    /// is known takes an instruction less than to add after it. `None` if there is no shape of that length, and
    /// nothing was counted.
    #[inline(always)]
    pub(super) fn count(
        &mut self,
        nth: usize,
        chunks: [&[u8; CHUNK]; CHUNKS],
        change: Change,
    ) -> Option<bool> {
        let shape = self.racks[nth].as_mut()?.of(chunks[0]);
        shape.pending.add(change);
        Some(shape.is_of(chunks))
    }

    /// The shapes of the nth length.
    #[inline(always)]
    pub(super) fn rack(&mut self, nth: usize) -> Option<&mut Rack<CHUNKS>> {
        self.racks[nth].as_mut()
    }

    /// Takes back what was counted beside the shape in the place of a key.
    #[inline(always)]
    pub(super) fn take_back(&mut self, nth: usize, chunk: &[u8; CHUNK], change: Change) {
        if let Some(rack) = &mut self.racks[nth] {
            rack.of(chunk).pending.subtract(change);
        }
    }

    /// Takes back what was counted beside the shape in the place of a key, and counts it beside the one next to
    /// that if it has it.
    #[inline(always)]
    pub(super) fn count_second(
        &mut self,
        nth: usize,
        chunk: &[u8; CHUNK],
        change: Change,
        has: impl Fn(&Shape<CHUNKS>) -> bool,
    ) -> bool {
        let Some(rack) = &mut self.racks[nth] else {
            return false;
        };
        rack.of(chunk).pending.subtract(change);
        let second = rack.second_of(chunk);
        let has = has(second);
        if has {
            second.pending.add(change);
        }
        has
    }

    /// The account of a key by the shape that it has.
    pub(super) fn node_of(&self, nth: usize, has: impl Fn(&Shape<CHUNKS>) -> bool) -> Option<u16> {
        let mut shapes = self.racks[nth].iter().flat_map(Rack::shapes);
        shapes.find(|shape| has(shape)).map(|shape| shape.node)
    }

    /// Whether a shape of the nth length may be kept.
    pub(super) fn has_room(&self, nth: usize, may_stay: bool) -> bool {
        match &self.racks[nth] {
            Some(rack) => !may_stay || !rack.aim().is_full,
            None => !may_stay || self.places < self.places_max,
        }
    }

    /// Keeps a shape of the nth length: in its place if that is free; or else in a rack made anew in which all
    /// have places; or else, unless what is there may stay, in the place of another. `each` is told what was
    /// kept beside those that go.
    pub(super) fn keep(
        &mut self,
        nth: usize,
        shape: Shape<CHUNKS>,
        may_stay: bool,
        turn: usize,
        mut each: impl FnMut(u16, Change),
    ) {
        if let Some(rack) = &mut self.racks[nth] {
            let place = rack.aim().place_of(&shape);
            let is_sure = rack.aim().is_sure_of(&shape);
            if is_sure && !rack.shapes()[place].is_kept {
                let was = rack.put(place, shape);
                return each(was.node, was.pending);
            }
        } else if self.places >= self.places_max {
            self.give_up(turn, &mut each);
        }
        if self.arrange(nth, shape, &mut each) || may_stay {
            return;
        }
        if let Some(rack) = &mut self.racks[nth] {
            if rack.aim().is_sure_of(&shape) {
                let place = rack.aim().place_of(&shape);
                let was = rack.put(place, shape);
                return each(was.node, was.pending);
            }
            // It would be looked for here and there. So those that are here are to come anew, beside it.
            self.give_up(nth, &mut each);
            self.arrange(nth, shape, &mut each);
        }
    }

    /// Makes a rack for a shape and those that are there. Whether that was possible.
    fn arrange(
        &mut self,
        nth: usize,
        shape: Shape<CHUNKS>,
        each: &mut impl FnMut(u16, Change),
    ) -> bool {
        let former = self.racks[nth].as_mut().map(|rack| {
            let is_tried = std::mem::replace(&mut rack.aim_mut().is_full, true);
            (is_tried, rack.places())
        });
        let former_places = match former {
            Some((true, _)) => return false,
            Some((false, places)) => places,
            None => 0,
        };
        let room = self.places_max + former_places - self.places;
        let mut shapes = vec![shape];
        let there = self.racks[nth].iter().flat_map(Rack::shapes);
        shapes.extend(there.filter(|shape| shape.is_kept));
        let Some(mut rack) = arranged(&shapes, room.min(RACK_PLACES_MAX)) else {
            return false;
        };
        for shape in shapes {
            let place = rack.aim().place_of(&shape);
            let is_second = rack.shapes()[place].is_kept;
            rack.put(place ^ usize::from(is_second), shape);
        }
        // What was counted beside a place that nothing is in.
        let empty = self.racks[nth].iter().flat_map(Rack::shapes);
        let empty = empty.filter(|shape| !shape.is_kept);
        empty.for_each(|shape| each(shape.node, shape.pending));
        self.places = self.places - former_places + rack.places();
        self.racks[nth] = Some(rack);
        true
    }

    /// Forgets the shapes of one length, so that there is room for those of another.
    fn give_up(&mut self, turn: usize, each: &mut impl FnMut(u16, Change)) {
        let from = turn % LENGTHS;
        let mut order = (from..LENGTHS).chain(0..from);
        if let Some(mut rack) = order.find_map(|nth| self.racks[nth].take()) {
            self.places -= rack.places();
            take_pending(&mut rack, each);
        }
    }

    /// Forgets every shape. What is kept beside them must have been taken.
    pub(super) fn forget(&mut self) {
        self.racks = [const { None }; LENGTHS];
        self.places = 0;
    }

    pub(super) fn heap_bytes(&self) -> u64 {
        self.racks.iter().flatten().map(Rack::heap_bytes).sum()
    }

    /// What is kept beside shapes, each with its account.
    pub(super) fn pending(&self) -> impl Iterator<Item = (u16, Change)> {
        let shapes = self.racks.iter().flatten().flat_map(Rack::shapes);
        shapes.map(|shape| (shape.node, shape.pending))
    }

    /// The same, which is then no longer here.
    pub(super) fn take_pending(&mut self, mut each: impl FnMut(u16, Change)) {
        let racks = self.racks.iter_mut().flatten();
        racks.for_each(|rack| take_pending(rack, &mut each));
    }
}

fn take_pending<const CHUNKS: usize>(rack: &mut Rack<CHUNKS>, each: &mut impl FnMut(u16, Change)) {
    for shape in rack.shapes_mut() {
        each(shape.node, std::mem::take(&mut shape.pending));
    }
}

/// An empty rack in which each of these shapes has a place, all of them their own one if that is found, or some the
/// one beside it.
fn arranged<const CHUNKS: usize>(
    shapes: &[Shape<CHUNKS>],
    places_max: usize,
) -> Option<Rack<CHUNKS>> {
    let has_plain = shapes.iter().any(Shape::is_plain);
    let plains = if has_plain { &PLAIN[..] } else { &PLAIN[..1] };
    let found = plains
        .iter()
        .filter_map(|plain| arranged_with(shapes, *plain, places_max))
        // Where there is a plain one, that is what is looked at second.
        .find(|(seconds, _)| *seconds == 0 || !has_plain);
    found.map(|(_, aim)| Rack::new(aim))
}

/// How keys tell their places in it, and how many shapes are beside theirs; `plain` is taken where there is no prefix.
fn arranged_with<const CHUNKS: usize>(
    shapes: &[Shape<CHUNKS>],
    plain: u8,
    places_max: usize,
) -> Option<(usize, Aim)> {
    let takes = shapes.iter().map(|shape| shape.takes(plain));
    let takes = takes.reduce(|all, one| std::array::from_fn(|at| all[at].max(one[at])))?;
    // Half of them free, so that few trials are needed.
    let least = (2 * shapes.len() - 1).next_power_of_two();
    let sizes = (0..=DOUBLINGS).map(|times| least << times);
    let mut best: Option<(usize, Aim)> = None;
    for places in sizes.filter(|places| *places <= places_max) {
        for nth in 0..TRIALS {
            let aim = Aim::tried::<CHUNKS>(takes, plain, places, nth);
            let Some(seconds) = seconds(shapes, &aim) else {
                continue;
            };
            if seconds == 0 {
                return Some((0, aim));
            }
            if best.is_none_or(|(least, _)| seconds < least) {
                best = Some((seconds, aim));
            }
        }
    }
    best
}

/// How many of these shapes are beside their places, if there is room for all.
fn seconds<const CHUNKS: usize>(shapes: &[Shape<CHUNKS>], aim: &Aim) -> Option<usize> {
    let (mut taken, mut seconds) = (0_u64, 0);
    for shape in shapes {
        let place = aim.place_of(shape);
        let is_second = taken >> place & 1 == 1;
        let place = place ^ usize::from(is_second);
        if taken >> place & 1 == 1 {
            return None;
        }
        taken |= 1 << place;
        seconds += usize::from(is_second);
    }
    Some(seconds)
}
