//! How many distinct elements a sketch has seen, told from how many of its registers have each value.
//! Never looks at registers one by one: their histogram is all that counts.
//! Source: Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", arXiv:1702.01284, section 4.

use super::REGISTERS;

/// How many registers have each value. Six bits can say more than a hash can give; only corrupt sketches have such.
pub type Histogram = [u32; 64];

/// The largest value that a hash gives.
const VALUE_MAX: usize = 51;
/// 1 / (2 ln 2), with the digits that Redis gives it.
#[expect(clippy::excessive_precision, reason = "as it is written there")]
const ALPHA: f64 = 0.721347520444481703680;

/// The estimate, to the same integer as Redis'.
pub fn cardinality(histogram: &Histogram) -> u64 {
    let registers = REGISTERS as f64;
    let below_top = registers - f64::from(histogram[VALUE_MAX]);
    let mut sum = registers * tau(below_top / registers);
    for count in histogram[1..VALUE_MAX].iter().rev() {
        sum = (sum + f64::from(*count)) * 0.5;
    }
    sum += registers * sigma(f64::from(histogram[0]) / registers);
    let estimate = (ALPHA * registers * registers / sum).round();
    // Beyond the range, which only corrupt registers reach, C's conversion gives the smallest integer.
    if estimate < i64::MAX as f64 {
        estimate as u64
    } else {
        i64::MIN as u64
    }
}

/// What the registers at the top stand for, where `share` is the share of all others.
fn tau(share: f64) -> f64 {
    if share == 0.0 || share == 1.0 {
        return 0.0;
    }
    let (mut root, mut weight, mut sum) = (share, 1.0, 1.0 - share);
    loop {
        let before = sum;
        root = root.sqrt();
        weight *= 0.5;
        sum -= (1.0 - root) * (1.0 - root) * weight;
        if sum == before {
            return sum / 3.0;
        }
    }
}

/// What the registers that no element has reached stand for, where `share` is their share.
fn sigma(share: f64) -> f64 {
    if share == 1.0 {
        return f64::INFINITY;
    }
    let (mut power, mut weight, mut sum) = (share, 1.0, share);
    loop {
        let before = sum;
        power *= power;
        sum += power * weight;
        weight += weight;
        if sum == before {
            return sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_sketch_has_seen_nothing() {
        let mut histogram = [0; 64];
        histogram[0] = REGISTERS as u32;
        assert_eq!(cardinality(&histogram), 0);
    }

    #[test]
    fn a_few_registers_are_a_few_elements() {
        for elements in 1..100u32 {
            let mut histogram = [0; 64];
            histogram[0] = REGISTERS as u32 - elements;
            histogram[1] = elements;
            assert_eq!(cardinality(&histogram), u64::from(elements));
        }
    }

    #[test]
    fn every_histogram_has_an_estimate() {
        for value in 0..64 {
            let mut histogram = [0; 64];
            histogram[value] = REGISTERS as u32;
            let _ = cardinality(&histogram);
        }
        assert_eq!(cardinality(&[0; 64]), 1 << 63);
    }
}
