//! Owns the guess which prefixes without an account of their own are the heaviest.
//! Never happens here: a figure that anyone is told; a walk counts what is nominated.
//! Source: Space-Saving (Metwally, Agrawal, El Abbadi 2005), weighted by bytes, with deletions where they are known.
#![forbid(unsafe_code)]

use super::tree::NAME_BYTES_MAX;

/// Prefixes that are followed at once.
const PLACES: usize = 64;
/// Bytes of names that are compared first.
const HEAD_BYTES: usize = 16;

/// A prefix and what is known of its bytes.
#[derive(Clone, Debug)]
struct Place {
    name: [u8; NAME_BYTES_MAX],
    len: u8,
    /// Bytes, or more than there are by at most `excess`.
    bytes: u64,
    /// What the place was taken over with.
    excess: u64,
}

/// The heaviest prefixes of a stream of additions, with a bound of how heavy they are at least.
#[derive(Debug, Default)]
pub(super) struct Sketch {
    places: Vec<Place>,
}

impl Sketch {
    /// Notes bytes that came under a prefix or went from it. The lightest place goes to a prefix
    /// that has none and grows.
    pub(super) fn change(&mut self, name: &[u8], bytes: i64) {
        let mut kept = [0; NAME_BYTES_MAX];
        kept[..name.len()].copy_from_slice(name);
        let len = name.len() as u8;
        // Most differ in their length or in how they begin.
        let [head, ..] = kept.as_chunks::<HEAD_BYTES>().0 else {
            unreachable!("a name has more room than a head")
        };
        let is_it = |place: &&mut Place| {
            place.len == len && place.name.starts_with(head) && place.name == kept
        };
        if let Some(place) = self.places.iter_mut().find(is_it) {
            place.bytes = place.bytes.saturating_add_signed(bytes);
            return;
        }
        if bytes <= 0 {
            return;
        }
        let mut place = Place {
            name: kept,
            len,
            bytes: bytes.unsigned_abs(),
            excess: 0,
        };
        if self.places.len() < PLACES {
            self.places.push(place);
        } else if let Some(lightest) = self.places.iter_mut().min_by_key(|place| place.bytes) {
            place.excess = lightest.bytes;
            place.bytes += lightest.bytes;
            *lightest = place;
        }
    }

    /// The prefixes with what they hold at least, heaviest first; those that may hold nothing are left out.
    pub(super) fn nominations(&self) -> Vec<(&[u8], u64)> {
        let mut found: Vec<_> = self
            .places
            .iter()
            .map(|place| {
                let bytes = place.bytes.saturating_sub(place.excess);
                (&place.name[..usize::from(place.len)], bytes)
            })
            .filter(|(_, bytes)| *bytes > 0)
            .collect();
        found.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        found
    }

    /// Bytes of its own.
    pub(super) fn heap_bytes(&self) -> u64 {
        crate::collections::heap_bytes(self.places.capacity() * size_of::<Place>())
    }
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
