//! The order of texts by weights, found step by step: sorted in runs, which are merged.
//! Never compares texts that their weights tell apart, and never leaves a tie to chance: what is equal, or has no texts, keeps its order.
//! Source: bottom-up merge sort (Knuth 5.2.4).

use crate::Progress;
use std::cmp::Ordering;
use store::Strings;

/// Texts of a run, which is sorted in a step: less than two milliseconds where all weigh the same.
const RUN_TEXTS: usize = 1024;
/// Runs that are sorted in a step where they already were.
const STEP_RUNS: usize = 8;
/// Texts that are merged in a step.
const MERGED_TEXTS: usize = 8192;

/// A number by which most texts are told apart, in their order, and which one it is.
type Weighed = (u64, u32);

/// An order under way, or found.
#[derive(Debug)]
pub struct Order {
    is_descending: bool,
    items: Vec<Weighed>,
    merged: Vec<Weighed>,
    phase: Phase,
    /// Whether they came in their order.
    is_as_given: bool,
}

#[derive(Debug)]
enum Phase {
    /// Runs from this place on are sorted; whether those before it are, taken together.
    Sort { start: usize, is_sorted: bool },
    /// Sorted runs are merged, two by two.
    Merge(Merging),
    /// All are in their order.
    Done,
}

/// Two neighbouring runs that are being merged.
#[derive(Debug)]
struct Merging {
    /// Texts of a run.
    width: usize,
    /// Where the first begins.
    start: usize,
    /// What is left of both.
    left: usize,
    right: usize,
}

impl Merging {
    fn of(width: usize, start: usize, len: usize) -> Merging {
        Merging {
            width,
            start,
            left: start,
            right: (start + width).min(len),
        }
    }
}

impl Order {
    /// Of so many texts.
    pub fn with_room(count: usize, is_descending: bool) -> Order {
        Order {
            is_descending,
            items: Vec::with_capacity(count),
            merged: Vec::new(),
            phase: Phase::Sort {
                start: 0,
                is_sorted: true,
            },
            is_as_given: true,
        }
    }

    /// Adds the weight of the next text, before the first step.
    pub fn push(&mut self, weight: u64) {
        let index = u32::try_from(self.items.len()).expect("there is memory for fewer");
        self.items.push((weight, index));
    }

    /// How many weights there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Which text has this rank, once all steps are done.
    pub fn at(&self, rank: usize) -> Option<usize> {
        self.items.get(rank).map(|item| item.1 as usize)
    }

    /// Whether each text's rank is its index.
    pub fn is_as_given(&self) -> bool {
        self.is_as_given
    }

    /// Does a step. Ties are told apart by the texts, where there are any.
    pub fn step(&mut self, texts: Option<&Strings>) -> Progress {
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Sort { start, is_sorted } => self.sort(texts, start, is_sorted),
            Phase::Merge(at) => self.merge(texts, at),
            Phase::Done => {}
        }
        if matches!(self.phase, Phase::Done) {
            self.merged = Vec::new();
            return Progress::Done;
        }
        Progress::Again
    }

    fn sort(&mut self, texts: Option<&Strings>, mut start: usize, mut is_sorted: bool) {
        let (len, is_descending) = (self.items.len(), self.is_descending);
        for _ in 0..STEP_RUNS {
            let end = (start + RUN_TEXTS).min(len);
            let compare =
                |one: &Weighed, other: &Weighed| compare(texts, is_descending, one, other);
            let run = &mut self.items[start..end];
            let was_sorted = run.is_sorted_by(|one, other| compare(one, other).is_le());
            if !was_sorted {
                run.sort_unstable_by(compare);
                self.is_as_given = false;
            }
            is_sorted &= start == 0 || compare(&self.items[start - 1], &self.items[start]).is_le();
            start = end;
            if start == len || !was_sorted {
                break;
            }
        }
        self.phase = if start < len {
            Phase::Sort { start, is_sorted }
        } else if is_sorted {
            Phase::Done
        } else {
            self.is_as_given = false;
            self.merged.reserve_exact(len);
            Phase::Merge(Merging::of(RUN_TEXTS, 0, len))
        };
    }

    fn merge(&mut self, texts: Option<&Strings>, mut at: Merging) {
        let len = self.items.len();
        let until = (self.merged.len() + MERGED_TEXTS).min(len);
        while self.merged.len() < until {
            let middle = (at.start + at.width).min(len);
            let end = (middle + at.width).min(len);
            let (left, right) = (self.items.get(at.left), self.items.get(at.right));
            let takes_left = at.right == end
                || at.left < middle
                    && left.zip(right).is_some_and(|(left, right)| {
                        compare(texts, self.is_descending, left, right).is_le()
                    });
            let taken = if takes_left {
                &mut at.left
            } else {
                &mut at.right
            };
            self.merged.push(self.items[*taken]);
            *taken += 1;
            if at.left == middle && at.right == end {
                at = Merging::of(at.width, end, len);
            }
        }
        if until == len {
            std::mem::swap(&mut self.items, &mut self.merged);
            self.merged.clear();
            at = Merging::of(2 * at.width, 0, len);
        }
        if at.width < len {
            self.phase = Phase::Merge(at);
        }
    }
}

fn compare(
    texts: Option<&Strings>,
    is_descending: bool,
    one: &Weighed,
    other: &Weighed,
) -> Ordering {
    let by_text = || match texts {
        Some(texts) => texts.at(one.1 as usize).cmp(texts.at(other.1 as usize)),
        None => Ordering::Equal,
    };
    let order = one.0.cmp(&other.0).then_with(by_text);
    let order = if is_descending {
        order.reverse()
    } else {
        order
    };
    order.then(one.1.cmp(&other.1))
}

/// A number, which is not NaN, as one that is in the order of such numbers.
pub fn weight(number: f64) -> u64 {
    const SIGN: u64 = 1 << 63;
    // The two zeros are the same number.
    let bits = (number + 0.0).to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order_of(texts: &Strings, weights: &[u64], is_descending: bool) -> Order {
        let mut order = Order::with_room(texts.len(), is_descending);
        weights.iter().for_each(|&weight| order.push(weight));
        while order.step(Some(texts)) == Progress::Again {}
        order
    }

    #[test]
    fn texts_in_their_order_are_found_to_be_and_others_are_brought_into_it() {
        for count in [0, 1, 2, 1023, 1024, 1025, 8192, 20_001] {
            let texts: Vec<String> = (0..count).map(|index| format!("{index:06}")).collect();
            let texts: Strings = texts.iter().map(|text| text.as_bytes()).collect();
            let rising: Vec<u64> = (0..count).map(|index| index / 3).collect();
            let order = order_of(&texts, &rising, false);
            assert!(order.is_as_given(), "{count}");
            assert!((0..count as usize).all(|rank| order.at(rank) == Some(rank)));
            let order = order_of(&texts, &rising, true);
            assert_eq!(order.is_as_given(), count < 2, "{count}");
            let backwards = (0..count as usize).rev();
            assert!(
                backwards
                    .enumerate()
                    .all(|(rank, index)| order.at(rank) == Some(index))
            );
            assert_eq!(order.at(count as usize), None);
        }
    }

    #[test]
    fn without_texts_what_weighs_the_same_keeps_its_order_in_both_directions() {
        for count in [0, 1, 1024, 1025, 20_001] {
            for is_descending in [false, true] {
                let mut expected: Vec<(u64, usize)> = (0..count)
                    .map(|index| (index as u64 * 7919 % 97, index))
                    .collect();
                let mut order = Order::with_room(count, is_descending);
                expected.iter().for_each(|&(weight, _)| order.push(weight));
                while order.step(None) == Progress::Again {}
                expected.sort_by(|one, other| match is_descending {
                    false => one.0.cmp(&other.0),
                    true => other.0.cmp(&one.0),
                });
                let ordered = (0..count).map_while(|rank| order.at(rank));
                assert!(ordered.eq(expected.into_iter().map(|(_, index)| index)));
            }
        }
    }

    #[test]
    fn weights_are_in_the_order_of_numbers_and_both_zeros_weigh_the_same() {
        let numbers = [
            f64::NEG_INFINITY,
            -1e300,
            -1.5,
            -f64::MIN_POSITIVE,
            -0.0,
            0.0,
            5e-324,
            1.0,
            1.0 + f64::EPSILON,
            f64::INFINITY,
        ];
        let weights = numbers.map(weight);
        assert!(weights.is_sorted());
        assert_eq!(weights[4], weights[5]);
        let mut distinct = weights.to_vec();
        distinct.dedup();
        assert_eq!(distinct.len(), 9);
    }
}
