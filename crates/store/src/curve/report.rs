//! Owns the curve of all shards: merged, anchored at what was measured, with its error.
//! Never happens here: a look at a shard.
//! Source: hit(C) = Σ references × hit(C ÷ shards) ÷ Σ references; the knee as in Kneedle (Satopää and others, 2011).
#![forbid(unsafe_code)]

use super::{Counts, Figures, SIZES, TIMES, TODAY};

/// Fewer sampled references draw no curve.
const REFERENCES_MIN: u64 = 2000;

/// A size and the hit ratio it would have had.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// As a multiple of the limit, or of what is used where there is none.
    pub times: f64,
    /// Hits of reads, 0 to 1.
    pub hit_ratio: f64,
}

/// The curve.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MissRatioCurve {
    /// Reads that it stands for.
    pub references: u64,
    /// Those of them that were sampled.
    pub sampled_references: u64,
    /// Keys in the sample.
    pub sampled_keys: u64,
    /// The hit ratio that was measured.
    pub hit_ratio: f64,
    /// How far the simulation of today's size was from it.
    pub error: f64,
    /// The hit ratio of each size, smallest first; empty before there were enough references.
    pub points: Vec<CurvePoint>,
}

impl MissRatioCurve {
    /// Of all shards, or of one prefix of keys.
    pub fn of(shards: &[Figures], prefix: Option<&[u8]>) -> MissRatioCurve {
        let mut all = Counts::default();
        let mut curve = MissRatioCurve::default();
        let (mut hits, mut misses) = (0, 0);
        for shard in shards {
            for label in &shard.labels {
                if prefix.is_none_or(|prefix| *label.name == *prefix) {
                    all.add(&label.counts);
                }
            }
            hits += shard.hits;
            misses += shard.misses;
            curve.sampled_references += shard.sampled_references;
            curve.sampled_keys += shard.sampled_keys;
        }
        curve.references = hits + misses;
        curve.hit_ratio = hits as f64 / (hits + misses).max(1) as f64;
        if curve.sampled_references < REFERENCES_MIN || all.references <= 0.0 {
            return curve;
        }
        let sampled = |hits: f64| hits / all.references;
        curve.error = (sampled(all.size_hits[TODAY]) - curve.hit_ratio).abs();
        curve.points = (0..SIZES)
            .map(|size| CurvePoint {
                times: TIMES[size],
                hit_ratio: sampled(all.size_hits[size]),
            })
            .collect();
        curve
    }
}
