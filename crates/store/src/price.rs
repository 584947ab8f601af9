//! Owns what a shard's keys are worth where they go: a moving mean that shards compare.
//! Never happens here: a choice among keys, or a look at another shard.
//! Source: the price of a good is what the last of it fetches; scores as in GDSF (Cherkasova 1998).
#![forbid(unsafe_code)]

/// Steps of a price an octave.
pub const OCTAVE_STEPS: i32 = 64;

/// Victims that the mean is of, about.
const VICTIMS: i32 = 32;

/// The mean of what the last victims were worth.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Price {
    /// The mean times [`VICTIMS`].
    sum: Option<i32>,
}

impl Price {
    #[inline]
    pub(crate) fn note(&mut self, worth: i32) {
        self.sum = Some(match self.sum {
            Some(sum) => sum + worth - sum / VICTIMS,
            None => worth * VICTIMS,
        });
    }

    pub(crate) fn get(self) -> Option<i32> {
        self.sum.map(|sum| sum / VICTIMS)
    }
}

/// The logarithm of a time, in steps.
pub fn octave_steps(ms: i64) -> i32 {
    (OCTAVE_STEPS as f32 * ((ms.max(0) + 1) as f32).log2()) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_follows_what_victims_are_worth() {
        let mut price = Price::default();
        assert_eq!(price.get(), None);
        price.note(-700);
        assert_eq!(price.get(), Some(-700));
        for _ in 0..10 * VICTIMS {
            price.note(-300);
        }
        assert!((price.get().unwrap() + 300).abs() <= 1);
        price.note(3000);
        assert!(price.get().unwrap() < -150, "one victim moves it little");
    }

    #[test]
    fn twice_as_long_is_an_octave() {
        for ms in [100, 1 << 20, 1 << 40] {
            let step = octave_steps(2 * ms) - octave_steps(ms);
            assert!((step - OCTAVE_STEPS).abs() <= 1, "{ms}: {step}");
        }
        assert_eq!(octave_steps(-5), 0);
    }
}
