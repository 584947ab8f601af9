//! Owns tables of places that take as much memory as what is kept in them has need of.
//! Never happens here: what is kept lost, when a table grows, but to who asked for its place.
//! Source: linear growth by doubling; where something may lie is told by so many low bits of a number as the table has places for.
#![forbid(unsafe_code)]

/// Places of the smallest table: two that lie side by side.
const PLACES_MIN: usize = 2;
/// A table grows for what finds its place taken when one in so many of its places is, and is halved when it is cleared and
/// one in twice as many was. So two find places of their own among sixteen for certain.
const CROWDED: usize = 8;
/// The number of a place that nothing is in.
const FREE: u16 = u16::MAX;

/// A table of up to so many places, a power of two; of none before the first is kept.
#[derive(Debug)]
pub(super) struct Places<T, const COUNT: usize> {
    table: Vec<T>,
    /// The low bits that tell a place of so large a table.
    mask: usize,
    /// For each place what number was asked for when something was kept there: it tells where that lies in a larger table.
    numbers: Vec<u16>,
}

impl<T: Copy, const COUNT: usize> Places<T, COUNT> {
    pub(super) const NONE: Places<T, COUNT> = Places {
        table: Vec::new(),
        mask: 0,
        numbers: Vec::new(),
    };

    /// Empties every place. Of a table that was hardly used half is given back.
    pub(super) fn clear(&mut self, empty: T) {
        let len = self.table.len();
        if len > PLACES_MIN && self.taken_places() * 2 * CROWDED < len {
            self.make(len / 2, empty);
        } else {
            self.table.fill(empty);
            self.numbers.fill(FREE);
        }
    }

    pub(super) fn heap_bytes(&self) -> u64 {
        let bytes = memory::heap::travel::vec_bytes(&self.table)
            + memory::heap::travel::vec_bytes(&self.numbers);
        bytes as u64
    }

    /// What is in the place of a number; `None` where nothing is in any.
    #[inline(always)]
    pub(super) fn at(&self, number: usize) -> Option<&T> {
        self.table.get(number & self.mask)
    }

    /// The place of a number, of a table that something is in.
    #[inline(always)]
    pub(super) fn taken(&mut self, number: usize) -> &mut T {
        &mut self.table[number & self.mask]
    }

    /// Whether something is in the place of a number.
    pub(super) fn is_taken(&self, number: usize) -> bool {
        let kept = self.numbers.get(number & self.mask);
        kept.is_some_and(|kept| *kept != FREE)
    }

    /// Whether what lies in the place of a number will lie in another than that in a larger table, and that is worth its memory.
    pub(super) fn may_part(&self, number: usize) -> bool {
        let kept = self.numbers.get(number & self.mask);
        let differs = |kept: u16| {
            kept != FREE && (usize::from(kept) ^ number) & (COUNT - 1) & !self.mask != 0
        };
        kept.is_some_and(|kept| differs(*kept)) && self.taken_places() * CROWDED >= self.table.len()
    }

    /// Doubles the table. What lies in a place will lie in one of two; in which half of a pair it lies stays as it is.
    pub(super) fn grow(&mut self, empty: T) {
        let (table, numbers) = (
            std::mem::take(&mut self.table),
            std::mem::take(&mut self.numbers),
        );
        self.make((table.len() * 2).clamp(PLACES_MIN, COUNT), empty);
        for (was, (kept, number)) in table.into_iter().zip(numbers).enumerate() {
            if number != FREE {
                let place = usize::from(number) & self.mask & !1 | was & 1;
                debug_assert!(!self.is_taken(place), "what lay apart lies apart");
                (self.table[place], self.numbers[place]) = (kept, number);
            }
        }
    }

    /// Keeps something in the place of a number, in a larger table if it is worth that. Answers what lay there.
    pub(super) fn put(&mut self, number: usize, kept: T, empty: T) -> T {
        while self.table.is_empty() || self.may_part(number) {
            self.grow(empty);
        }
        let place = number & self.mask;
        self.numbers[place] = (number % COUNT) as u16;
        std::mem::replace(&mut self.table[place], kept)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.table.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.table.iter_mut()
    }

    fn taken_places(&self) -> usize {
        self.numbers
            .iter()
            .filter(|number| **number != FREE)
            .count()
    }

    fn make(&mut self, len: usize, empty: T) {
        const { assert!(COUNT.is_power_of_two() && COUNT >= PLACES_MIN && COUNT <= FREE as usize) }
        self.table = vec![empty; len];
        self.numbers = vec![FREE; len];
        self.mask = len - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Rng;
    use std::collections::HashMap;

    #[test]
    fn a_table_takes_memory_from_the_first_that_is_kept_on_and_more_with_more() {
        let mut places = Places::<u64, 512>::NONE;
        places.clear(7);
        assert_eq!((places.heap_bytes(), places.at(300)), (0, None));
        assert_eq!(places.iter().count() + places.iter_mut().count(), 0);
        assert_eq!(places.put(300, 1, 7), 7);
        assert_eq!(*places.taken(300), 1);
        assert!(places.heap_bytes() <= 64);
        let mut before = places.heap_bytes();
        for number in 0..512 {
            places.put(number, number as u64, 7);
            let bytes = places.heap_bytes();
            assert!(bytes <= before || places.taken_places() * CROWDED * 2 >= places.table.len());
            before = bytes;
        }
        assert!((0..512).all(|number| places.at(number) == Some(&(number as u64))));
        assert!(places.heap_bytes() >= 4096);
    }

    #[test]
    fn what_is_kept_stays_where_it_is_looked_for_while_a_table_grows() {
        for seed in 0..200 {
            let (mut places, mut rng) = (Places::<u64, 64>::NONE, Rng::seeded(seed));
            let mut kept: HashMap<u64, usize> = HashMap::new();
            for value in 1..100 {
                let number = rng.below(64) as usize;
                let was = places.put(number, value, 0);
                // Only what lies in the place goes, and nothing else.
                assert!(was == 0 || kept.remove(&was).is_some());
                kept.insert(value, number);
                for (value, number) in &kept {
                    assert_eq!(places.at(*number), Some(value));
                }
                assert_eq!(places.taken_places(), kept.len());
            }
            assert_eq!(places.table.len(), 64);
        }
    }

    #[test]
    fn a_table_does_not_grow_for_what_would_lie_in_one_place_in_any_or_for_one_among_many_free() {
        let mut places = Places::<u64, 64>::NONE;
        (0..10).for_each(|value| {
            places.put(5, value, 0);
        });
        assert_eq!(places.table.len(), PLACES_MIN);
        places.put(5 + 32, 1, 0);
        assert_eq!(places.table.len(), 2 * CROWDED);
        assert_eq!(places.taken_places(), 1);
    }

    #[test]
    fn of_a_pair_the_first_stays_the_first_when_the_table_grows() {
        let mut places = Places::<u64, 64>::NONE;
        places.put(0b100, 1, 0);
        places.put(0b101, 2, 0);
        for _ in 0..3 {
            places.grow(0);
            assert_eq!(
                [0b100, 0b101].map(|number| places.at(number)),
                [Some(&1), Some(&2)]
            );
        }
        assert_eq!(places.taken_places(), 2);
    }

    #[test]
    fn a_table_that_was_hardly_used_is_smaller_when_it_is_cleared() {
        let mut places = Places::<u64, 64>::NONE;
        (0..64).for_each(|number| {
            places.put(number, 1, 7);
        });
        let full = places.heap_bytes();
        places.clear(7);
        assert_eq!(places.heap_bytes(), full);
        places.put(3, 1, 7);
        for _ in 0..10 {
            places.clear(7);
        }
        assert!(places.heap_bytes() * 8 < full);
        assert!(places.iter().all(|value| *value == 7));
    }
}
