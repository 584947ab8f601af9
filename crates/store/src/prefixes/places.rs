//! Owns tables of so many places that take no memory before something is kept in them.
//! Never happens here: a table that shrinks; what is cleared is about to be filled again.
//! Source: our own; of the tables that lead from keys to accounts, keys of one kind need one or two.
#![forbid(unsafe_code)]

/// A table of places, all empty as long as it is not there.
#[derive(Debug)]
pub(super) struct Places<T, const COUNT: usize> {
    table: Option<Box<[T; COUNT]>>,
}

impl<T: Copy, const COUNT: usize> Places<T, COUNT> {
    pub(super) const NONE: Places<T, COUNT> = Places { table: None };

    pub(super) fn clear(&mut self, empty: T) {
        if let Some(table) = &mut self.table {
            table.fill(empty);
        }
    }

    pub(super) fn heap_bytes(&self) -> u64 {
        let table = self.table.as_deref();
        table.map_or(0, |table| memory::heap::travel::box_bytes(table) as u64)
    }

    /// What is in a place; `None` where nothing is in any.
    #[inline(always)]
    pub(super) fn at(&self, place: usize) -> Option<&T> {
        Some(&self.table.as_ref()?[place])
    }

    /// A place that something is in.
    #[inline(always)]
    pub(super) fn taken(&mut self, place: usize) -> &mut T {
        let table = self.table.as_mut().expect("something is in it");
        &mut table[place]
    }

    /// A place to keep something in, among others that are empty.
    pub(super) fn keep_at(&mut self, place: usize, empty: T) -> &mut T {
        let table = self.table.get_or_insert_with(|| Box::new([empty; COUNT]));
        &mut table[place]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.table.iter().flat_map(|table| table.iter())
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.table.iter_mut().flat_map(|table| table.iter_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_memory_from_the_first_that_is_kept_on() {
        let mut places = Places::<u64, 512>::NONE;
        places.clear(7);
        assert_eq!((places.heap_bytes(), places.at(300)), (0, None));
        assert_eq!(places.iter().count() + places.iter_mut().count(), 0);
        *places.keep_at(300, 7) = 1;
        assert_eq!(*places.taken(300), 1);
        assert_eq!(
            [299, 300].map(|place| places.at(place)),
            [Some(&7), Some(&1)]
        );
        assert!(places.heap_bytes() >= 4096);
        places.clear(7);
        assert!(places.iter().all(|value| *value == 7));
    }
}
