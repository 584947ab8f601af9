//! Owns the distribution of latencies: counts in buckets of at most 1.6 % width.
//! Never here: a clock; it is told nanoseconds.
//! Source: the log-linear bucketing of HdrHistogram, with 64 steps a power of two.

const STEP_BITS: u32 = 6;
const STEPS: usize = 1 << STEP_BITS;
const BUCKETS: usize = STEPS * (64 - STEP_BITS as usize + 1);

/// Latencies in nanoseconds.
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max_ns: u64,
}

fn bucket_of(value_ns: u64) -> usize {
    let bits = 64 - value_ns.leading_zeros();
    let shift = bits.saturating_sub(STEP_BITS + 1);
    shift as usize * STEPS + (value_ns >> shift) as usize
}

fn top_of(bucket: usize) -> u64 {
    if bucket < 2 * STEPS {
        return bucket as u64;
    }
    let shift = bucket / STEPS - 1;
    let mantissa = (bucket % STEPS + STEPS) as u64;
    ((mantissa + 1) << shift) - 1
}

impl Histogram {
    /// Without any latency.
    pub fn new() -> Histogram {
        Histogram {
            counts: vec![0; BUCKETS],
            total: 0,
            max_ns: 0,
        }
    }

    /// Counts `times` operations that took this long.
    pub fn record(&mut self, latency_ns: u64, times: u64) {
        self.counts[bucket_of(latency_ns)] += times;
        self.total += times;
        self.max_ns = self.max_ns.max(latency_ns);
    }

    /// Microseconds that this share (0 to 1) of the operations did not exceed.
    pub fn quantile_us(&self, share: f64) -> f64 {
        let rank = (share * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return top_of(bucket).min(self.max_ns) as f64 / 1e3;
            }
        }
        0.0
    }

    /// The longest, in microseconds.
    pub fn max_us(&self) -> f64 {
        self.max_ns as f64 / 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_ends_where_the_next_begins() {
        for bucket in 0..BUCKETS - STEPS {
            assert_eq!(bucket_of(top_of(bucket)), bucket);
            assert_eq!(bucket_of(top_of(bucket) + 1), bucket + 1);
        }
        assert!(bucket_of(u64::MAX) < BUCKETS);
    }

    #[test]
    fn a_quantile_is_within_two_percent() {
        let mut histogram = Histogram::new();
        for value in 1..=100_000_u64 {
            histogram.record(value * 1000, 1);
        }
        for share in [0.5, 0.99, 0.999] {
            let exact = share * 100_000.0;
            let found = histogram.quantile_us(share);
            assert!((found / exact - 1.0).abs() < 0.02, "{share}: {found}");
        }
    }
}
