//! What PFSELFTEST does: registers against plain bytes, estimates against true counts.
//! Never longer than some milliseconds, for a shard waits meanwhile, and never by chance: the elements are always the same.
//! Source: what Redis tests there, with fewer rounds.

use super::sketch::{Form, SketchBuf, cardinality_of};
use super::{REGISTERS, dense, element};

/// Registers that are raised in all.
const RAISED: u64 = 100_000;
/// Elements that are shown in all.
const ELEMENTS: u64 = 100_000;
/// The standard error is 1.04 over the root of the number of registers; six times it is never met by chance.
const ERROR_MAX: f64 = 6.0 * 1.04 / 128.0;
/// As the option's default.
const SPARSE_BYTES_MAX: u64 = 3000;

/// Runs the test.
///
/// # Errors
/// What went wrong.
pub fn run() -> Result<(), String> {
    registers()?;
    estimates()
}

fn registers() -> Result<(), String> {
    let mut packed = vec![0; dense::BYTES];
    let mut plain = [0; REGISTERS];
    for number in 0..RAISED {
        let (index, value) = element::place(&number.to_le_bytes());
        dense::raise(&mut packed, index, value);
        plain[index] = plain[index].max(value);
        if dense::register(&packed, index) != plain[index] {
            return Err(format!("register {index} is not {}", plain[index]));
        }
    }
    if dense::pack(&plain) == packed {
        Ok(())
    } else {
        Err("a register changed with another".to_owned())
    }
}

fn estimates() -> Result<(), String> {
    let mut sketch = SketchBuf::new();
    let mut plain = [0; REGISTERS];
    let mut checkpoint = 1;
    for number in 1..=ELEMENTS {
        let place = element::place(&number.to_le_bytes());
        let corrupt = |_| "a sketch of its own is corrupt".to_owned();
        sketch.raise(place, SPARSE_BYTES_MAX).map_err(corrupt)?;
        plain[place.0] = place.1.max(plain[place.0]);
        if number == checkpoint {
            let estimate = sketch.sketch().cardinality().map_err(corrupt)?;
            if estimate != cardinality_of(&plain) {
                return Err(format!("the forms tell {number} elements apart"));
            }
            let error = estimate.abs_diff(number);
            if error as f64 > (ERROR_MAX * number as f64).ceil() {
                return Err(format!("{number} elements are told as {estimate}"));
            }
            checkpoint *= 10;
        }
    }
    if sketch.sketch().form == Form::Dense {
        Ok(())
    } else {
        Err("a large sketch is still sparse".to_owned())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_self_test_passes() {
        assert_eq!(super::run(), Ok(()));
    }
}
