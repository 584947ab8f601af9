//! Owns the sampled keys: found by their sampling hash, numbered, and where each lies in the miniatures.
//! Never happens here: what is sampled, or what a miniature does.
//! Source: linear probing with deletion by backward shift (Knuth 6.4, algorithm R).
#![forbid(unsafe_code)]

use super::SIZES;

/// Sampled keys at most.
pub(super) const RECORDS_MAX: usize = 8192;
/// Sampled keys that there is room for at least; fewer would say nothing.
const RECORDS_MIN: usize = 32;
/// What one takes: its record, two places of the table, and its place in each miniature.
const RECORD_BYTES: usize = size_of::<Record>() + 4 + SIZES * 5;
/// No record, or no place.
pub(super) const NONE: u16 = u16::MAX;

/// One sampled key.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// Its sampling hash.
    pub(super) id: u64,
    /// Bytes of its entry.
    pub(super) bytes: u32,
    /// When it expires; 0 is never.
    pub(super) expiry: u32,
    /// Where it lies in each miniature that holds it.
    pub(super) places: [u16; SIZES],
    /// The miniatures that hold it, a bit each.
    pub(super) present: u16,
    /// The class by which it is sampled.
    pub(super) class: u8,
    /// Its label.
    pub(super) label: u8,
    /// Whether the shard missed it and has not got it since.
    pub(super) is_missed: bool,
}

/// The sampled keys.
#[derive(Debug)]
pub(super) struct Records {
    all: Vec<Record>,
    free: Vec<u16>,
    /// Twice as many places as there is room for records, once there is one.
    table: Vec<u16>,
    /// How many there may be, a power of two.
    room: usize,
}

impl Records {
    /// None, and room for so many: [`Records::room_in`].
    pub(super) fn new(room: usize) -> Records {
        debug_assert!(room.is_power_of_two() && room <= RECORDS_MAX);
        Records {
            all: Vec::new(),
            free: Vec::new(),
            table: Vec::new(),
            room,
        }
    }

    /// How many records take no more than these bytes, but for what vectors reserve while they grow.
    pub(super) fn room_in(bytes: u64) -> usize {
        let records = bytes / RECORD_BYTES as u64;
        let records = records.clamp(RECORDS_MIN as u64, RECORDS_MAX as u64) as usize;
        1 << records.ilog2()
    }

    /// How many there may be.
    pub(super) fn room(&self) -> usize {
        self.room
    }

    pub(super) fn len(&self) -> usize {
        self.all.len() - self.free.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= self.room
    }

    #[inline]
    pub(super) fn at(&self, number: u16) -> &Record {
        &self.all[usize::from(number)]
    }

    #[inline]
    pub(super) fn at_mut(&mut self, number: u16) -> &mut Record {
        &mut self.all[usize::from(number)]
    }

    /// Numbers that records may have; [`Records::is_live`] says which have one.
    pub(super) fn numbers(&self) -> std::ops::Range<u16> {
        0..self.all.len() as u16
    }

    pub(super) fn is_live(&self, number: u16) -> bool {
        self.at(number).present != 0
    }

    #[inline]
    pub(super) fn find(&self, id: u64) -> Option<u16> {
        if self.table.is_empty() {
            return None;
        }
        let last = self.table.len() - 1;
        let mut place = self.home(id);
        loop {
            let number = self.table[place];
            if number == NONE {
                return None;
            }
            if self.all[usize::from(number)].id == id {
                return Some(number);
            }
            place = (place + 1) & last;
        }
    }

    /// Adds a record. There is room, and none of this hash.
    pub(super) fn add(&mut self, record: Record) -> u16 {
        debug_assert!(!self.is_full());
        if self.table.is_empty() {
            self.table = vec![NONE; self.room * 2];
        }
        let last = self.table.len() - 1;
        let mut place = self.home(record.id);
        while self.table[place] != NONE {
            place = (place + 1) & last;
        }
        let number = match self.free.pop() {
            Some(number) => {
                self.all[usize::from(number)] = record;
                number
            }
            None => {
                self.all.push(record);
                (self.all.len() - 1) as u16
            }
        };
        self.table[place] = number;
        number
    }

    /// Takes out a record that no miniature holds any more.
    pub(super) fn remove(&mut self, number: u16) {
        let record = &self.all[usize::from(number)];
        debug_assert!(record.present == 0);
        let last = self.table.len() - 1;
        let mut hole = self.home(record.id);
        while self.table[hole] != number {
            debug_assert!(self.table[hole] != NONE, "a record is in the table");
            hole = (hole + 1) & last;
        }
        let mut place = hole;
        loop {
            place = (place + 1) & last;
            let next = self.table[place];
            if next == NONE {
                break;
            }
            let way = place.wrapping_sub(self.home(self.at(next).id)) & last;
            if way >= place.wrapping_sub(hole) & last {
                self.table[hole] = next;
                hole = place;
            }
        }
        self.table[hole] = NONE;
        self.free.push(number);
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.all.capacity() * size_of::<Record>()
            + (self.free.capacity() + self.table.capacity()) * size_of::<u16>()
    }

    /// A sampled hash has small upper bits; these are as good as any.
    #[inline]
    fn home(&self, id: u64) -> usize {
        (id >> 20) as usize & (self.table.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Rng;

    #[test]
    fn records_are_found_until_they_are_removed() {
        let mut records = Records::new(RECORDS_MAX);
        let mut rng = Rng::seeded(3);
        let mut known: Vec<(u64, u16)> = Vec::new();
        for step in 0..50_000 {
            if known.len() < RECORDS_MAX && (step % 3 > 0 || known.is_empty()) {
                // Few homes, so that they run into each other.
                let id = rng.below(1 << 40) << 20 & !(0xff << 26) | step;
                known.push((id, records.add(record(id))));
            } else {
                let (id, number) = known.swap_remove(rng.below(known.len() as u64) as usize);
                assert_eq!(records.find(id), Some(number));
                records.at_mut(number).present = 0;
                records.remove(number);
                assert_eq!(records.find(id), None);
            }
            assert_eq!(records.len(), known.len());
        }
        for (id, number) in known {
            assert_eq!(records.find(id), Some(number));
        }
    }

    #[test]
    fn there_is_room_for_as_many_as_the_bytes_hold_within_bounds() {
        assert_eq!(Records::room_in(0), RECORDS_MIN);
        assert_eq!(Records::room_in(RECORD_BYTES as u64 * 1000), 512);
        assert_eq!(Records::room_in(u64::MAX), RECORDS_MAX);
    }

    fn record(id: u64) -> Record {
        Record {
            id,
            bytes: 0,
            expiry: 0,
            places: [NONE; SIZES],
            present: 1,
            class: 0,
            label: 0,
            is_missed: false,
        }
    }
}
