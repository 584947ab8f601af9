//! Owns the score of a key under idle × frequency × size: a sum of two numbers from small tables.
//! Never happens here: a look at a key, or a choice among keys.
//! Source: GDSF (Cherkasova 1998), where a hit is worth the request and the bytes, each by its weight.
//!
//! A hit counts β for the request and 1 - β for its bytes, these in units of half the mean size. So a
//! byte of the cache is worth `rate × (β ÷ size + 2 · (1 - β) ÷ mean size)` where it holds a key of that
//! size and rate, and this is what is to be kept; the rate is told by hits and age. With β = 1 it is
//! rate ÷ size, with 0 the rate alone. A power of the size between the two is no such sum: where
//! sizes differ by a thousand, size^-½ keeps hardly more bytes than size^-1.
#![forbid(unsafe_code)]

use crate::access::{HITS_MAX, SIZE_CLASS_MAX, size_class_of};
use crate::evict::Eviction;

/// Half the mean size is what most keys have, where a few large ones make the mean: in units of it β = ½ weighs requests and
/// bytes alike for them.
const MEANS_OF_A_REQUEST: f64 = 2.0;
/// Steps of a score an octave.
const OCTAVE: f64 = 64.0;
const HITS: usize = HITS_MAX as usize + 1;
/// The difference of two size classes, with the largest negative one as 0.
const DIFFERENCES: usize = 2 * SIZE_CLASS_MAX as usize + 1;

/// What speaks for a key to go, in logarithms: by age in ticks, by hits, and by how much larger
/// than the mean it is. Their sum is the largest for the key that goes.
#[derive(Clone, Debug)]
pub(crate) struct IfsScores {
    /// Longer than is needed, so that no index needs a check.
    ages: [i16; 256],
    hits: [i16; HITS],
    sizes: [i16; DIFFERENCES],
}

impl IfsScores {
    pub(crate) fn new(eviction: Eviction) -> IfsScores {
        let size_weight = f64::from(eviction.size_weight_percent.min(100)) / 100.0;
        let fresh_weight = f64::from(eviction.fresh_weight_percent.max(1)) / 100.0;
        let score = |octaves: f64| (OCTAVE * octaves) as i16;
        IfsScores {
            ages: std::array::from_fn(|age| score((age as f64 + 0.5).log2())),
            hits: std::array::from_fn(|hits| {
                let worth = (hits + 1) as f64 * if hits == 0 { fresh_weight } else { 1.0 };
                score(-worth.log2())
            }),
            sizes: std::array::from_fn(|place| {
                let octaves = (place as f64 - f64::from(SIZE_CLASS_MAX)) / 2.0;
                let bytes_weight = MEANS_OF_A_REQUEST * (1.0 - size_weight);
                let worth = size_weight * (-octaves).exp2() + bytes_weight;
                score(-worth.log2())
            }),
        }
    }

    /// Of a key with these hits and this size class in one, and an age of at most [`AGE_TICKS_MAX`].
    ///
    /// [`AGE_TICKS_MAX`]: crate::access::AGE_TICKS_MAX
    #[inline(always)]
    pub(crate) fn of(&self, lows: &LowScores, low: u8, age_ticks: u8) -> i32 {
        i32::from(self.ages[usize::from(age_ticks)]) + i32::from(lows.scores[usize::from(low)])
    }
}

/// What hits and size class, in one, say for a key to go among keys of a certain mean size.
#[derive(Clone, Debug)]
pub(crate) struct LowScores {
    scores: [i16; 256],
    /// Size class of the mean; `None` before it is known.
    mean_class: Option<u8>,
}

impl LowScores {
    /// Of no use before the mean is set.
    pub(crate) const UNSET: LowScores = LowScores {
        scores: [0; 256],
        mean_class: None,
    };

    /// Has the scores be those for keys of so many bytes on the mean.
    pub(crate) fn set_mean(&mut self, scores: &IfsScores, mean_bytes: u64) {
        let mean_class = size_class_of(mean_bytes);
        if self.mean_class == Some(mean_class) {
            return;
        }
        self.mean_class = Some(mean_class);
        let smallest = usize::from(SIZE_CLASS_MAX - mean_class);
        self.scores = std::array::from_fn(|low| {
            let (hits, size_class) = (low >> 5, low & usize::from(SIZE_CLASS_MAX));
            scores.hits[hits] + scores.sizes[smallest + size_class]
        });
    }
}

impl LowScores {
    /// What hits and size class, in one, speak for a key to stay, on a scale that is the same for every mean.
    pub(crate) fn worth(&self, low: u8) -> i32 {
        let mean_octaves = i32::from(self.mean_class.unwrap_or(0)) * (OCTAVE as i32 / 2);
        -i32::from(self.scores[usize::from(low)]) - mean_octaves
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The score of a key that was hit once, by β in hundredths, among keys of 4096 bytes.
    fn score(size_weight_percent: u8, bytes: u64) -> i32 {
        let scores = IfsScores::new(Eviction {
            size_weight_percent,
            ..Eviction::default()
        });
        let mut lows = LowScores::UNSET;
        lows.set_mean(&scores, 4096);
        scores.of(&lows, 1 << 5 | size_class_of(bytes), 4)
    }

    fn octaves(size_weight_percent: u8, small_bytes: u64, large_bytes: u64) -> f64 {
        let (small, large) = (
            score(size_weight_percent, small_bytes),
            score(size_weight_percent, large_bytes),
        );
        f64::from(large - small) / OCTAVE
    }

    #[test]
    fn with_all_weight_on_requests_a_key_is_worth_as_much_less_as_it_is_larger() {
        assert_eq!(octaves(100, 32, 1 << 20), 15.0);
        assert_eq!(octaves(100, 4096, 8192), 1.0);
    }

    #[test]
    fn with_all_weight_on_bytes_size_says_nothing() {
        assert_eq!(octaves(0, 32, 1 << 20), 0.0);
    }

    #[test]
    fn with_equal_weights_size_counts_below_half_the_mean_and_hardly_above() {
        // Worth for each byte: 1 + 1 at half the mean, 1 + 64 at a 128th of it, 1 + ½ at the mean, 1 + 1/256 at 128 times.
        assert!((octaves(50, 32, 4096) - (65.0f64 / 1.5).log2()).abs() < 0.05);
        assert!((octaves(50, 2048, 4096) - (2.0f64 / 1.5).log2()).abs() < 0.05);
        assert!((octaves(50, 4096, 4096 * 128) - 1.5f64.log2()).abs() < 0.05);
    }

    #[test]
    fn the_mean_moves_no_key_past_another_where_only_requests_count() {
        let scores = IfsScores::new(Eviction::default());
        let of = |mean_bytes, low| {
            let mut lows = LowScores::UNSET;
            lows.set_mean(&scores, mean_bytes);
            scores.of(&lows, low, 4)
        };
        let shifts: Vec<i32> = (0..=255)
            .map(|low| of(100, low) - of(1 << 20, low))
            .collect();
        assert!(shifts.iter().all(|shift| (shift - shifts[0]).abs() <= 1));
    }
}
