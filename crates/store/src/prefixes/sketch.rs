//! Owns the guess which prefixes without an account of their own are the heaviest.
//! Never happens here: a figure that anyone is told; a walk counts what is nominated.
//! Source: Space-Saving (Metwally, Agrawal, El Abbadi 2005), weighted by bytes, with deletions where they are known.
#![forbid(unsafe_code)]

use crate::collections::heap_bytes;

use super::scan;
use super::tree::NAME_BYTES_MAX;

/// Prefixes that are followed at once.
const PLACES: usize = 64;
/// Odd, and its bits in no order.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// A prefix and what is known of it beside its bytes.
#[derive(Clone, Debug)]
struct Place {
    name: [u8; NAME_BYTES_MAX],
    len: u8,
    /// What the place was taken over with.
    excess: u64,
}

/// The heaviest prefixes of a stream of additions, with a bound of how heavy they are at least.
#[derive(Debug, Default)]
pub(super) struct Sketch {
    places: Vec<Place>,
    /// For each place, in what most names differ: all of them are looked through for every change.
    tags: Vec<u32>,
    /// For each place, bytes, or more than there are by at most its excess.
    bytes: Vec<u64>,
}

impl Sketch {
    /// Notes bytes that came under a prefix or went from it. The lightest place goes to a prefix
    /// that has none and grows.
    pub(super) fn change(&mut self, name: &[u8], bytes: i64) {
        let tag = tag_of(name);
        // All of them without a jump: most names are not here.
        if self.tags.iter().fold(false, |any, one| any | (*one == tag)) {
            let tagged = self.tags.iter().enumerate().filter(|(_, one)| **one == tag);
            let is_it = |place: &usize| self.places[*place].text() == name;
            if let Some(place) = tagged.map(|(place, _)| place).find(is_it) {
                self.bytes[place] = self.bytes[place].saturating_add_signed(bytes);
                return;
            }
        }
        if bytes <= 0 {
            return;
        }
        let mut place = Place {
            name: [0; NAME_BYTES_MAX],
            len: name.len() as u8,
            excess: 0,
        };
        place.name[..name.len()].copy_from_slice(name);
        if self.places.len() < PLACES {
            self.places.push(place);
            self.tags.push(tag);
            self.bytes.push(bytes.unsigned_abs());
            return;
        }
        let (mut lightest, mut least) = (0, u64::MAX);
        for (place, held) in self.bytes.iter().enumerate() {
            if *held < least {
                (lightest, least) = (place, *held);
            }
        }
        place.excess = least;
        self.bytes[lightest] = least.saturating_add(bytes.unsigned_abs());
        self.tags[lightest] = tag;
        self.places[lightest] = place;
    }

    /// The prefixes with what they hold at least, heaviest first; those that may hold nothing are left out.
    pub(super) fn nominations(&self) -> Vec<(&[u8], u64)> {
        let places = self.places.iter().zip(&self.bytes);
        let held = places.map(|(place, bytes)| (place.text(), bytes.saturating_sub(place.excess)));
        let mut found: Vec<_> = held.filter(|(_, bytes)| *bytes > 0).collect();
        found.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        found
    }

    /// Bytes of its own.
    pub(super) fn heap_bytes(&self) -> u64 {
        heap_bytes(self.places.capacity() * size_of::<Place>())
            + heap_bytes(self.tags.capacity() * size_of::<u32>())
            + heap_bytes(self.bytes.capacity() * size_of::<u64>())
    }
}

impl Place {
    fn text(&self) -> &[u8] {
        &self.name[..usize::from(self.len)]
    }
}

/// What names of other lengths, beginnings or ends have another of, for the most part.
fn tag_of(name: &[u8]) -> u32 {
    let [low, high] = scan::head(name);
    let last = name
        .last_chunk()
        .map_or(0, |last| u64::from_le_bytes(*last));
    let both = (low ^ high.rotate_left(23)).wrapping_mul(FACTOR);
    ((both ^ last).wrapping_mul(FACTOR) >> u32::BITS) as u32 ^ name.len() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Rng;

    #[test]
    fn the_heaviest_of_many_prefixes_are_nominated() {
        let (mut sketch, mut rng) = (Sketch::default(), Rng::seeded(3));
        for round in 0..20_000u64 {
            let light = format!("light{}:", rng.below(2000));
            sketch.change(light.as_bytes(), 50);
            if round % 10 == 0 {
                sketch.change(format!("heavy{}:", round / 10 % 3).as_bytes(), 400);
            }
        }
        let mut names: Vec<_> = sketch.nominations()[..3]
            .iter()
            .map(|(name, _)| name.to_vec())
            .collect();
        names.sort();
        assert_eq!(names, [b"heavy0:", b"heavy1:", b"heavy2:"]);
    }

    #[test]
    fn what_was_deleted_is_nominated_no_more() {
        let mut sketch = Sketch::default();
        sketch.change(b"a:", 100);
        sketch.change(b"b:", 50);
        sketch.change(b"a:", -100);
        sketch.change(b"unknown:", -100);
        assert_eq!(sketch.nominations(), [(&b"b:"[..], 50)]);
    }
}
