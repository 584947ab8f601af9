//! Owns the arithmetic of LFU policies: an 8-bit counter that grows by logarithm and decays with time.
//! Never happens here: the clock whose ticks it decays by; its tick is one `lfu-decay-time`.
//! Source: Morris' probabilistic counter (1978), with the parameters that Redis' options name.
#![forbid(unsafe_code)]

/// The counter of a new key: above 0, or it would go before it had a chance to be read.
pub(crate) const COUNTER_FRESH: u8 = 5;

const MS_PER_MINUTE: i64 = 60_000;

/// How counters grow and decay.
#[derive(Clone, Debug)]
pub(crate) struct Frequency {
    /// A hit lifts counter `n` when a 32-bit random number is at most `chances[n]`.
    chances: [u32; 256],
    decay_ms: i64,
    /// State of a xorshift generator.
    dice: u32,
}

impl Frequency {
    /// `log_factor`: the chance of a lift is one in `(counter - 5) * log_factor + 1`.
    /// `decay_minutes`: a counter loses one in so many minutes; 0 is never.
    pub(crate) fn new(log_factor: u32, decay_minutes: u32) -> Frequency {
        let chance = |counter: usize| {
            let above = counter.saturating_sub(COUNTER_FRESH.into()) as f64;
            let odds = above * f64::from(log_factor) + 1.0;
            (f64::from(u32::MAX) / odds) as u32
        };
        let mut chances = std::array::from_fn(chance);
        chances[255] = 0;
        Frequency {
            chances,
            decay_ms: match decay_minutes {
                0 => i64::MAX,
                minutes => i64::from(minutes) * MS_PER_MINUTE,
            },
            dice: 0x9e37_79b9,
        }
    }

    /// Milliseconds in which a counter loses one.
    pub(crate) fn decay_ms(&self) -> i64 {
        self.decay_ms
    }

    /// A counter after one more hit.
    #[inline]
    pub(crate) fn count(&mut self, counter: u8) -> u8 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 17;
        self.dice ^= self.dice << 5;
        // The generator never makes a 0, so that a full counter is never lifted.
        counter.wrapping_add(u8::from(self.dice <= self.chances[usize::from(counter)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(hits: usize, log_factor: u32) -> u8 {
        let mut frequency = Frequency::new(log_factor, 1);
        (0..hits).fold(COUNTER_FRESH, |counter, _| frequency.count(counter))
    }

    #[test]
    fn counters_grow_as_the_table_in_the_documentation_of_the_option_says() {
        // Hits, factor, and what Redis' documentation measured.
        for (hits, factor, expected) in [
            (100, 10, 10),
            (1000, 10, 18),
            (100_000, 10, 142),
            (1000, 100, 11),
            (1000, 1, 49),
        ] {
            let counter = i32::from(after(hits, factor));
            assert!(
                (counter - expected).abs() <= 3 + expected / 7,
                "{hits} hits at factor {factor}: {counter}, not about {expected}"
            );
        }
    }

    #[test]
    fn a_counter_ends_at_255() {
        assert_eq!(after(1000, 0), 255);
    }

    #[test]
    fn without_a_decay_time_nothing_decays() {
        assert_eq!(Frequency::new(10, 0).decay_ms(), i64::MAX);
    }
}
