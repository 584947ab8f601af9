//! Texts, each once, gathered step by step.
//! Never stops to grow: the table that finds them is in parts, each of which grows by itself and stays small.
//! Source: extendible hashing with a directory of fixed size; the hash is the shard's, which clients do not know.

use hashbrown::HashTable;
use store::Strings;

/// Texts that a part of the table has, on average, at most.
const PART_TEXTS: usize = 4096;

/// Texts in the order in which they came.
#[derive(Debug, Default)]
pub struct Distinct {
    texts: Strings,
    /// Places in `texts`. The highest bits of a hash choose the part.
    parts: Vec<HashTable<u32>>,
    shift: u32,
    /// The lower half of each one's hash.
    hashes: Vec<u32>,
}

/// The hash that a part of the table goes by: its lowest and its highest bits differ.
fn inside(half: u32) -> u64 {
    u64::from(half) << 32 | u64::from(half)
}

impl Distinct {
    /// None, with room for so many of so many bytes together.
    pub fn with_room(count: usize, text_bytes: usize) -> Distinct {
        let parts = (count / PART_TEXTS).next_power_of_two().max(2);
        Distinct {
            texts: Strings::with_room(count, text_bytes),
            parts: vec![HashTable::new(); parts],
            shift: 64 - parts.trailing_zeros(),
            hashes: Vec::with_capacity(count),
        }
    }

    /// The place of a text; `hash` is the shard's.
    pub fn find(&self, hash: u64, text: &[u8]) -> Option<usize> {
        // What has no room has no texts.
        let part = self.parts.get((hash >> self.shift) as usize)?;
        let found = part.find(inside(hash as u32), |&place| {
            self.texts.at(place as usize) == text
        });
        found.map(|&place| place as usize)
    }

    /// Adds a text that is not there.
    pub fn push(&mut self, hash: u64, text: &[u8]) {
        let place = u32::try_from(self.texts.len()).expect("there is memory for fewer");
        self.texts.push(text);
        self.hashes.push(hash as u32);
        let hashes = &self.hashes;
        let rehash = |place: &u32| inside(hashes[*place as usize]);
        let part = &mut self.parts[(hash >> self.shift) as usize];
        part.insert_unique(inside(hash as u32), place, rehash);
    }

    /// All of them.
    pub fn into_texts(self) -> Strings {
        self.texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_found_where_it_came_whether_hashes_are_alike_or_not() {
        for spread in [1, 0x9e37_79b9_7f4a_7c15_u64] {
            let mut distinct = Distinct::with_room(20_000, 100_000);
            let hash = |number: u64| (number % 5000).wrapping_mul(spread);
            for number in 0..10_000 {
                let text = number.to_string();
                assert_eq!(distinct.find(hash(number), text.as_bytes()), None);
                distinct.push(hash(number), text.as_bytes());
            }
            for number in 0..10_000 {
                let text = number.to_string();
                let place = distinct.find(hash(number), text.as_bytes());
                assert_eq!(place, Some(number as usize));
            }
            assert_eq!(distinct.into_texts().len(), 10_000);
        }
    }
}
