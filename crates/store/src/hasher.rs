//! Owns the hash of a key: one keyed 64-bit hash that places it in a shard's index.
//! Never happens here: the choice of a shard.
//! Source: aHash with seeds of the process, so that no client can aim keys at one bucket.
#![forbid(unsafe_code)]

use std::hash::{BuildHasher, Hasher as _};

use ahash::RandomState;

/// A key and its hash, computed once per command.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The key; any bytes, also none.
    pub bytes: &'a [u8],
    /// Its hash by the [`Hasher`] all shards share. The index uses the upper 22 and the lower 16
    /// bits; what lies between is free for whoever places keys on shards.
    pub hash: u64,
}

/// The keyed hash function of the process; all shards share its seeds.
#[derive(Clone, Debug)]
pub struct Hasher {
    state: RandomState,
}

impl Hasher {
    /// The function these seeds make; equal seeds make equal functions.
    pub fn with_seeds(seeds: [u64; 4]) -> Hasher {
        let [first, second, third, fourth] = seeds;
        Hasher {
            state: RandomState::with_seeds(first, second, third, fourth),
        }
    }

    /// Seeds drawn from the operating system's randomness.
    pub fn random_seeds() -> [u64; 4] {
        // The standard library draws SipHash keys from the system; hashing four numbers with them
        // makes four words that cannot be guessed.
        let source = std::collections::hash_map::RandomState::new();
        [1u64, 2, 3, 4].map(|word| source.hash_one(word))
    }

    /// The hash of a key.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.state.build_hasher();
        hasher.write(key);
        hasher.finish()
    }

    /// A key with its hash.
    #[inline]
    pub fn key<'a>(&self, bytes: &'a [u8]) -> Key<'a> {
        Key {
            bytes,
            hash: self.hash(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_make_equal_hashes_and_others_do_not() {
        let hash = |seeds| Hasher::with_seeds(seeds).hash(b"user:1");
        assert_eq!(hash([1, 2, 3, 4]), hash([1, 2, 3, 4]));
        assert_ne!(hash([1, 2, 3, 4]), hash([1, 2, 3, 5]));
    }

    #[test]
    fn random_seeds_differ() {
        assert_ne!(Hasher::random_seeds(), Hasher::random_seeds());
    }

    #[test]
    fn top_and_bottom_bits_are_spread_evenly() {
        let hasher = Hasher::with_seeds([1, 2, 3, 4]);
        let (mut top, mut bottom) = ([0u32; 64], [0u32; 64]);
        for number in 0..64_000u32 {
            let hash = hasher.hash(format!("key:{number:010}").as_bytes());
            top[(hash >> 58) as usize] += 1;
            bottom[(hash & 63) as usize] += 1;
        }
        for count in top.iter().chain(&bottom) {
            assert!((800..1200).contains(count), "{count} of 1000 expected");
        }
    }
}
