//! Owns the curve of all shards: merged, anchored at what was measured, with its error and its knee.
//! Never happens here: a look at a shard.
//! Source: hit(C) = Σ references × hit(C ÷ shards) ÷ Σ references; the knee as in Kneedle (Satopää and others, 2011).
//!
//! A few keys make most hits, and a sample has too many or too few of them. That falsifies the
//! sampled hit ratio of every size, but hardly how many misses one size has for each of another:
//! keys that always hit have none. So misses are scaled to those that were measured at today's size.
//! The error is found by leaving out one part of the sample after the other (Tukey's jackknife).
#![forbid(unsafe_code)]

use super::{Counts, Figures, GROUPS, Groups, SIZES, TIMES, TODAY};

/// Fewer sampled references draw no curve.
const REFERENCES_MIN: u64 = 1000;
/// Below this share of misses ratios of them say nothing.
const MISSES_MIN: f64 = 0.0005;
/// What is told as the error, in standard errors: by measurement, so that nearly all points keep it.
const STANDARD_ERRORS: f64 = 3.0;
/// What the simulation itself is off by, of any size but the one that was measured.
const MODEL_ERROR: f64 = 0.02;
/// Sizes that a change of the limit may come to.
const NEAR: std::ops::RangeInclusive<f64> = 0.5..=4.0;
/// A curve that rises by less has no knee.
const RISE_MIN: f64 = 0.01;

/// A size and the hit ratio it would have had.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// As a multiple of today's size.
    pub times: f64,
    /// Hits of reads, 0 to 1.
    pub hit_ratio: f64,
    /// How far that may be from the truth: some standard errors, and what the simulation is off by.
    pub error: f64,
}

/// The curve of the latest past.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MissRatioCurve {
    /// Reads that it stands for; of a prefix, an estimate.
    pub references: u64,
    /// Those of them that were sampled, of all prefixes.
    pub sampled_references: u64,
    /// Keys in the sample now, of all prefixes.
    pub sampled_keys: u64,
    /// The hit ratio that was measured.
    pub hit_ratio: f64,
    /// The largest error of a point from half to four times today's size.
    pub error: f64,
    /// How far the simulation of today's size was from the hit ratio before it was scaled.
    pub correction: f64,
    /// The hit ratio of each size, smallest first; empty before there were enough references.
    pub points: Vec<CurvePoint>,
}

impl MissRatioCurve {
    /// Of all keys of all shards.
    pub fn of(shards: &[Figures]) -> MissRatioCurve {
        let hits: u64 = shards.iter().map(|shard| shard.hits).sum();
        let misses: u64 = shards.iter().map(|shard| shard.misses).sum();
        let references = hits + misses;
        let hit_ratio = hits as f64 / references.max(1) as f64;
        let groups = sums(labels(shards).map(|(_, groups)| groups));
        MissRatioCurve::anchored(shards, references, hit_ratio, &groups)
    }

    /// Of the keys with a prefix, named with its delimiter or without; empty for those that are not
    /// counted by themselves. Without points where no shard counts it by itself.
    pub fn of_prefix(shards: &[Figures], prefix: &[u8]) -> MissRatioCurve {
        let is_named = |name: &[u8]| match name.split_last() {
            Some((_, head)) => name == prefix || (head == prefix),
            None => prefix.is_empty(),
        };
        let named = labels(shards).filter(|(name, _)| is_named(name));
        let groups = sums(named.map(|(_, groups)| groups));
        let counts = Counts::sum(&groups);
        let hit_ratio = counts.hits / counts.references.max(1.0);
        MissRatioCurve::anchored(shards, counts.references as u64, hit_ratio, &groups)
    }

    fn anchored(
        shards: &[Figures],
        references: u64,
        hit_ratio: f64,
        groups: &Groups,
    ) -> MissRatioCurve {
        let counts = Counts::sum(groups);
        let mut curve = MissRatioCurve {
            references,
            sampled_references: shards.iter().map(|shard| shard.sampled_references).sum(),
            sampled_keys: shards.iter().map(|shard| shard.sampled_keys).sum(),
            hit_ratio,
            ..MissRatioCurve::default()
        };
        if curve.sampled_references < REFERENCES_MIN || references == 0 || counts.references <= 0.0
        {
            return curve;
        }
        let simulated = counts.size_hits.map(|hits| hits / counts.references);
        let (measured_misses, misses) = (1.0 - hit_ratio, 1.0 - simulated[TODAY]);
        let correction = (measured_misses - misses).abs();
        curve.correction = correction;
        let scale = (misses.min(measured_misses) > MISSES_MIN).then(|| measured_misses / misses);
        let errors = scale.and_then(|_| standard_errors(groups, &counts));
        let point = |size: usize| {
            let hit_ratio = match scale {
                Some(scale) => 1.0 - (1.0 - simulated[size]) * scale,
                None => simulated[size] + misses - measured_misses,
            };
            let error = match &errors {
                Some(_) if size == TODAY => 0.0,
                Some(errors) => MODEL_ERROR + STANDARD_ERRORS * errors[size] * measured_misses,
                None => correction,
            };
            CurvePoint {
                times: TIMES[size],
                hit_ratio: hit_ratio.clamp(0.0, 1.0),
                error: error.min(1.0),
            }
        };
        curve.points = (0..SIZES).map(point).collect();
        let near = curve
            .points
            .iter()
            .filter(|point| NEAR.contains(&point.times));
        curve.error = near.map(|point| point.error).fold(0.0, f64::max);
        curve
    }

    /// The point of a size between those that were simulated, in proportion to the logarithm of the
    /// size; the ratio of the nearest beyond them. `None` without points.
    pub fn at(&self, times: f64) -> Option<CurvePoint> {
        let (first, last) = (self.points.first()?, self.points.last()?);
        let above = self.points.partition_point(|point| point.times < times);
        if above == 0 {
            return Some(CurvePoint { times, ..*first });
        }
        let Some(high) = self.points.get(above) else {
            return Some(CurvePoint { times, ..*last });
        };
        let low = self.points[above - 1];
        let part = (times / low.times).ln() / (high.times / low.times).ln();
        let between = |low: f64, high: f64| low + part * (high - low);
        Some(CurvePoint {
            times,
            hit_ratio: between(low.hit_ratio, high.hit_ratio),
            error: between(low.error, high.error),
        })
    }

    /// So many points, from the smallest size to the largest by equal factors; those that were
    /// simulated if `wanted` is as many.
    pub fn points_at_equal_factors(&self, wanted: usize) -> Vec<CurvePoint> {
        let (Some(first), Some(last)) = (self.points.first(), self.points.last()) else {
            return Vec::new();
        };
        if wanted == self.points.len() {
            return self.points.clone();
        }
        let factor = (last.times / first.times).ln() / (wanted.max(2) - 1) as f64;
        let times = |nth: usize| first.times * (factor * nth as f64).exp();
        (0..wanted).filter_map(|nth| self.at(times(nth))).collect()
    }

    /// Where more memory begins to buy much less: the point farthest above the line from the first
    /// to the last. `None` if the curve is flat.
    pub fn knee(&self) -> Option<CurvePoint> {
        let (first, last) = (self.points.first()?, self.points.last()?);
        let rise = last.hit_ratio - first.hit_ratio;
        if rise < RISE_MIN {
            return None;
        }
        let above = |point: &CurvePoint| {
            let way = (point.times - first.times) / (last.times - first.times);
            (point.hit_ratio - first.hit_ratio) / rise - way
        };
        let best = self
            .points
            .iter()
            .max_by(|one, other| above(one).total_cmp(&above(other)))?;
        Some(*best)
    }

    /// The prefixes that are counted by themselves, those that are read most first, each with its
    /// share of the references. The rest has no name and stands last.
    pub fn prefixes(shards: &[Figures]) -> Vec<(Box<[u8]>, f64)> {
        let mut shares: Vec<(Box<[u8]>, f64)> = Vec::new();
        let mut all = 0.0;
        for (name, groups) in labels(shards) {
            let counts = Counts::sum(groups);
            all += counts.references;
            match shares.iter_mut().find(|(known, _)| **known == *name) {
                Some((_, sum)) => *sum += counts.references,
                None => shares.push((name.into(), counts.references)),
            }
        }
        shares.retain(|(_, references)| *references > 0.0);
        shares.iter_mut().for_each(|(_, sum)| *sum /= all);
        let rank = |(name, share): &(Box<[u8]>, f64)| (name.is_empty(), -share);
        shares.sort_by(|one, other| rank(one).partial_cmp(&rank(other)).expect("no NaN"));
        shares
    }
}

fn labels(shards: &[Figures]) -> impl Iterator<Item = (&[u8], &Groups)> {
    let labels = shards.iter().flat_map(|shard| &shard.labels);
    labels.map(|label| (&*label.name, &label.groups))
}

fn sums<'a>(all: impl Iterator<Item = &'a Groups>) -> Groups {
    let mut sums = Groups::default();
    for groups in all {
        for (sum, one) in sums.iter_mut().zip(groups) {
            sum.add(one);
        }
    }
    sums
}

/// The standard error of the misses of each size for each of today's.
/// `None` if all misses of today's size are in one part of the sample.
fn standard_errors(groups: &Groups, all: &Counts) -> Option<[f64; SIZES]> {
    let misses = |counts: &Counts, size: usize| counts.references - counts.size_hits[size];
    let without = |one: &Counts, size: usize| misses(all, size) - misses(one, size);
    if groups.iter().any(|one| without(one, TODAY) <= 0.0) {
        return None;
    }
    let parts = GROUPS as f64;
    Some(std::array::from_fn(|size| {
        let ratios = groups
            .each_ref()
            .map(|one| without(one, size) / without(one, TODAY));
        let mean = ratios.iter().sum::<f64>() / parts;
        let squares: f64 = ratios.iter().map(|ratio| (ratio - mean).powi(2)).sum();
        (squares * (parts - 1.0) / parts).sqrt()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::Label;

    fn figures(hits: u64, misses: u64, name: &[u8], size_hits: [f64; SIZES]) -> Figures {
        let part = Counts {
            references: 1000.0 / GROUPS as f64,
            hits: 500.0 / GROUPS as f64,
            size_hits: size_hits.map(|hits| hits / GROUPS as f64),
        };
        Figures {
            hits,
            misses,
            sampled_references: 5000,
            sampled_keys: 100,
            labels: vec![Label {
                name: name.into(),
                groups: [part; GROUPS],
            }],
            ..Figures::default()
        }
    }

    fn rising() -> [f64; SIZES] {
        [
            200.0, 300.0, 400.0, 450.0, 500.0, 520.0, 540.0, 550.0, 560.0, 570.0,
        ]
    }

    #[test]
    fn todays_point_is_what_was_measured_and_the_others_follow() {
        let curve = MissRatioCurve::of(&[figures(600, 400, b"", rising())]);
        assert!((curve.points[TODAY].hit_ratio - 0.6).abs() < 1e-9);
        assert!((curve.correction - 0.1).abs() < 1e-9);
        let error = curve.error - MODEL_ERROR;
        assert!(error.abs() < 1e-9, "all parts of the sample say the same");
        // Misses are scaled by 0.4 / 0.5.
        assert!((curve.points[0].hit_ratio - (1.0 - 0.8 * 0.8)).abs() < 1e-9);
    }

    #[test]
    fn shards_count_by_their_references() {
        let busy = figures(900, 100, b"", [900.0; SIZES]);
        let idle = figures(0, 100, b"", [0.0; SIZES]);
        let mut idle = idle;
        let groups = &mut idle.labels[0].groups;
        groups.iter_mut().for_each(|one| one.references /= 10.0);
        let curve = MissRatioCurve::of(&[busy, idle]);
        assert_eq!(curve.references, 1100);
        assert!((curve.points[0].hit_ratio - 900.0 / 1100.0).abs() < 1e-9);
    }

    #[test]
    fn the_error_grows_with_the_differences_between_parts_of_the_sample() {
        let mut shard = figures(500, 500, b"", rising());
        let error = |shard: &Figures| MissRatioCurve::of(std::slice::from_ref(shard)).error;
        let mut before = error(&shard);
        for _ in 0..3 {
            shard.labels[0].groups[2].size_hits[2] += 10.0;
            assert!(error(&shard) > before + 0.01);
            before = error(&shard);
        }
        // By hand, for two values a and seven times b: 3 × ½ × 7/8 × |a − b|.
        let ratio = |group: f64| (600.0 - 30.0 - group) / (500.0 - 62.5);
        let by_hand = 3.0 / 2.0 * 7.0 / 8.0 * (ratio(75.0) - ratio(45.0)).abs();
        let before = before - MODEL_ERROR;
        assert!((before - by_hand).abs() < 1e-9, "{before} {by_hand}");
    }

    #[test]
    fn few_references_draw_no_curve() {
        let mut few = figures(6, 4, b"", rising());
        few.sampled_references = REFERENCES_MIN - 1;
        let curve = MissRatioCurve::of(&[few]);
        assert!(curve.points.is_empty() && curve.knee().is_none() && curve.at(1.0).is_none());
    }

    #[test]
    fn between_points_the_curve_goes_by_the_logarithm_of_the_size() {
        let curve = MissRatioCurve::of(&[figures(500, 500, b"", rising())]);
        let middle = curve.at(2f64.sqrt() * 4.0).unwrap().hit_ratio;
        assert!((middle - 0.565).abs() < 1e-9);
        assert_eq!(curve.at(100.0).unwrap().hit_ratio, 0.57);
        let points = curve.points_at_equal_factors(6);
        assert_eq!(points.len(), 6);
        assert!((points[2].times - 1.0).abs() < 1e-9 && (points[5].times - 8.0).abs() < 1e-9);
    }

    #[test]
    fn the_knee_is_where_the_curve_bends() {
        let curve = MissRatioCurve::of(&[figures(500, 500, b"", rising())]);
        assert_eq!(curve.knee().unwrap().times, 1.4);
        let flat = MissRatioCurve::of(&[figures(500, 500, b"", [500.0; SIZES])]);
        assert_eq!(flat.knee(), None);
    }

    #[test]
    fn a_prefix_has_a_curve_of_its_own() {
        let shards = [
            figures(5, 5, b"user:", rising()),
            figures(5, 5, b"", [0.0; SIZES]),
        ];
        let curve = MissRatioCurve::of_prefix(&shards, b"user");
        assert_eq!(MissRatioCurve::of_prefix(&shards, b"user:"), curve);
        assert_eq!((curve.references, curve.hit_ratio), (1000, 0.5));
        assert_eq!(curve.at(8.0).unwrap().hit_ratio, 0.57);
        let prefixes = MissRatioCurve::prefixes(&shards);
        assert_eq!(
            prefixes,
            [(b"user:"[..].into(), 0.5), (b""[..].into(), 0.5)]
        );
        assert!(
            MissRatioCurve::of_prefix(&shards, b"other")
                .points
                .is_empty()
        );
    }
}
