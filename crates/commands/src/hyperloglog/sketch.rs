//! A whole HyperLogLog as the string that a key holds: a header, then registers in the sparse or the dense form.
//! Never trusts a string: clients may have written it byte by byte.
//! Source: Redis' HYLL strings, so that a value moves between the two servers as it is.
//!
//! The header: `HYLL`, one byte that says the form, three unused, and the cardinality counted last, low byte first, whose
//! highest bit says that it is out of date.

use super::estimate::{self, Histogram};
use super::sparse::Raised;
use super::{REGISTERS, Registers, dense, sparse};
use crate::Error;

/// Bytes before the registers.
const HEADER_BYTES: usize = 16;
const MAGIC: &[u8] = b"HYLL";
const FORM_AT: usize = 4;
const CACHE: std::ops::Range<usize> = 8..16;
/// In the last byte of the cache.
const OUT_OF_DATE: u8 = 0x80;

const NOT_ONE: &str = "WRONGTYPE Key is not a valid HyperLogLog string value.";
const CORRUPT: &str = "INVALIDOBJ Corrupted HLL object detected";

/// How the registers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Six bits each.
    Dense,
    /// Runs of equal ones.
    Sparse,
}

/// A string that says it is a HyperLogLog; its registers may still turn out to be corrupt.
#[derive(Clone, Copy, Debug)]
pub struct Sketch<'t> {
    text: &'t [u8],
    /// How the registers are written.
    pub form: Form,
}

impl<'t> Sketch<'t> {
    /// Reads the header.
    ///
    /// # Errors
    /// The string is no HyperLogLog.
    pub fn of(text: &'t [u8]) -> Result<Sketch<'t>, Error> {
        let is_one = text.len() >= HEADER_BYTES && text.starts_with(MAGIC);
        let form = match text.get(FORM_AT) {
            Some(0) if is_one && text.len() == HEADER_BYTES + dense::BYTES => Form::Dense,
            Some(1) if is_one => Form::Sparse,
            _ => return Err(NOT_ONE.into()),
        };
        Ok(Sketch { text, form })
    }

    fn registers(&self) -> &'t [u8] {
        &self.text[HEADER_BYTES..]
    }

    /// The cardinality counted last, if it still holds.
    pub fn cached(&self) -> Option<u64> {
        let (_, cache) = self.text[..HEADER_BYTES].split_last_chunk::<8>()?;
        let cardinality = u64::from_le_bytes(*cache);
        (cache[7] & OUT_OF_DATE == 0).then_some(cardinality)
    }

    /// How many distinct elements it has seen, counted anew.
    ///
    /// # Errors
    /// The registers are corrupt.
    pub fn cardinality(&self) -> Result<u64, Error> {
        let histogram = match self.form {
            Form::Dense => dense::histogram(self.registers()),
            Form::Sparse => sparse::histogram(self.registers()).ok_or(CORRUPT)?,
        };
        Ok(estimate::cardinality(&histogram))
    }

    /// Makes every one of `values` at least what it is here.
    ///
    /// # Errors
    /// The registers are corrupt; some of them may be merged then.
    pub fn merge(&self, values: &mut Registers) -> Result<(), Error> {
        match self.form {
            Form::Dense => dense::merge(self.registers(), values),
            Form::Sparse => sparse::merge(self.registers(), values).ok_or(CORRUPT)?,
        }
        Ok(())
    }

    /// Whether the register at `index` is less than `value`.
    ///
    /// # Errors
    /// The registers are corrupt.
    pub fn is_below(&self, (index, value): (usize, u8)) -> Result<bool, Error> {
        let there = match self.form {
            Form::Dense => dense::register(self.registers(), index),
            Form::Sparse => sparse::register(self.registers(), index).ok_or(CORRUPT)?,
        };
        Ok(there < value)
    }

    /// The runs of the sparse form as a text; `None` of the dense form.
    ///
    /// # Errors
    /// The registers are corrupt.
    pub fn decoded(&self) -> Result<Option<String>, Error> {
        match self.form {
            Form::Dense => Ok(None),
            Form::Sparse => Ok(Some(sparse::decoded(self.registers()).ok_or(CORRUPT)?)),
        }
    }

    /// A copy that can change.
    ///
    /// # Errors
    /// The registers are corrupt: more of them than there can be.
    pub fn to_owned(self) -> Result<SketchBuf, Error> {
        if self.form == Form::Sparse && self.registers().len() > sparse::BYTES_MAX {
            return Err(CORRUPT.into());
        }
        Ok(SketchBuf {
            text: self.text.to_vec(),
            form: self.form,
        })
    }
}

/// A HyperLogLog outside of the store, to be changed.
#[derive(Clone, Debug)]
pub struct SketchBuf {
    text: Vec<u8>,
    form: Form,
}

impl SketchBuf {
    /// One that has seen nothing, in the sparse form.
    pub fn new() -> SketchBuf {
        let mut text = vec![0; HEADER_BYTES];
        text[..MAGIC.len()].copy_from_slice(MAGIC);
        text[FORM_AT] = 1;
        text.extend_from_slice(&sparse::empty());
        SketchBuf {
            text,
            form: Form::Sparse,
        }
    }

    /// The string to store.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// To look at.
    pub fn sketch(&self) -> Sketch<'_> {
        Sketch {
            text: &self.text,
            form: self.form,
        }
    }

    /// Makes a register at least `value`, in the dense form if the sparse one would pass `sparse_bytes_max`, header
    /// included. Says whether the register was less.
    ///
    /// # Errors
    /// The registers are corrupt.
    pub fn raise(&mut self, place: (usize, u8), sparse_bytes_max: u64) -> Result<bool, Error> {
        let (index, value) = place;
        if self.form == Form::Sparse {
            let raised =
                sparse::raise(&mut self.text, HEADER_BYTES, index, value, sparse_bytes_max);
            match raised {
                Raised::Unchanged => return Ok(false),
                Raised::Changed => {
                    expire_cache(&mut self.text);
                    return Ok(true);
                }
                Raised::TooLarge => self.make_dense()?,
                Raised::Corrupt => return Err(CORRUPT.into()),
            }
        }
        Ok(raise_dense(&mut self.text, place))
    }

    /// Says that the cached cardinality is out of date.
    pub fn expire_cache(&mut self) {
        expire_cache(&mut self.text);
    }

    /// Turns to the dense form, if it is not there yet. The cached cardinality stays.
    ///
    /// # Errors
    /// The registers are corrupt.
    pub fn make_dense(&mut self) -> Result<(), Error> {
        if self.form == Form::Sparse {
            let mut values = [0; REGISTERS];
            self.sketch().merge(&mut values)?;
            self.set_dense(&values);
        }
        Ok(())
    }

    /// Gives it these registers, in the dense form. The header stays as it is but for the form.
    pub fn set_dense(&mut self, values: &Registers) {
        self.text.truncate(HEADER_BYTES);
        self.text.extend_from_slice(&dense::pack(values));
        self.text[FORM_AT] = 0;
        self.form = Form::Dense;
    }
}

/// Makes a register of a string in the dense form at least `value`; says whether it was less.
pub fn raise_dense(text: &mut [u8], (index, value): (usize, u8)) -> bool {
    let is_less = dense::raise(&mut text[HEADER_BYTES..], index, value);
    if is_less {
        expire_cache(text);
    }
    is_less
}

fn expire_cache(text: &mut [u8]) {
    text[CACHE.end - 1] |= OUT_OF_DATE;
}

/// Notes the cardinality just counted in the header.
pub fn cache(text: &mut [u8], cardinality: u64) {
    text[CACHE].copy_from_slice(&cardinality.to_le_bytes());
}

/// How many distinct elements registers, one a byte, have seen.
pub fn cardinality_of(values: &Registers) -> u64 {
    let mut histogram: Histogram = [0; 64];
    for value in values {
        histogram[usize::from(*value)] += 1;
    }
    estimate::cardinality(&histogram)
}

/// All registers of a string in the dense form.
///
/// # Panics
/// It is not in the dense form.
pub fn dense_values(text: &[u8]) -> impl Iterator<Item = u8> + '_ {
    dense::values(&text[HEADER_BYTES..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hyperloglog::element::place;

    const SPARSE_BYTES_MAX: u64 = 3000;

    fn with_elements(count: u64, sparse_bytes_max: u64) -> SketchBuf {
        let mut sketch = SketchBuf::new();
        for number in 0..count {
            let place = place(number.to_string().as_bytes());
            sketch.raise(place, sparse_bytes_max).unwrap();
        }
        sketch
    }

    #[test]
    fn both_forms_tell_the_same_cardinality() {
        for count in [0, 1, 10, 200, 600] {
            let (sparse, dense) = (
                with_elements(count, SPARSE_BYTES_MAX),
                with_elements(count, 0),
            );
            assert_eq!(sparse.form, Form::Sparse);
            assert_eq!(
                dense.form,
                if count == 0 {
                    Form::Sparse
                } else {
                    Form::Dense
                }
            );
            let cardinality = sparse.sketch().cardinality().unwrap();
            assert_eq!(dense.sketch().cardinality().unwrap(), cardinality);
            assert!(cardinality.abs_diff(count) <= count / 50);
        }
    }

    #[test]
    fn a_sketch_that_grows_past_the_limit_turns_dense_and_loses_nothing() {
        let (small, large) = (
            with_elements(3000, SPARSE_BYTES_MAX),
            with_elements(3000, 1 << 20),
        );
        assert_eq!((small.form, large.form), (Form::Dense, Form::Sparse));
        let (mut ours, mut theirs) = ([0; REGISTERS], [0; REGISTERS]);
        small.sketch().merge(&mut ours).unwrap();
        large.sketch().merge(&mut theirs).unwrap();
        assert_eq!(ours, theirs);
    }

    #[test]
    fn a_cached_cardinality_holds_until_a_register_is_raised() {
        let mut sketch = with_elements(10, SPARSE_BYTES_MAX);
        assert_eq!(sketch.sketch().cached(), None);
        cache(&mut sketch.text, 10);
        assert_eq!(sketch.sketch().cached(), Some(10));
        assert!(!sketch.raise(place(b"3"), SPARSE_BYTES_MAX).unwrap());
        assert_eq!(sketch.sketch().cached(), Some(10));
        assert!(sketch.raise(place(b"11"), SPARSE_BYTES_MAX).unwrap());
        assert_eq!(sketch.sketch().cached(), None);
    }

    #[test]
    fn no_bytes_make_a_decoder_panic_or_take_memory_beyond_their_length() {
        let mut state = 77u64;
        let mut random = move |bound: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 16) as usize % bound
        };
        let whole = [
            with_elements(0, SPARSE_BYTES_MAX).text,
            with_elements(300, SPARSE_BYTES_MAX).text,
            with_elements(900, SPARSE_BYTES_MAX).text,
            with_elements(900, 0).text,
        ];
        for round in 0..20_000 {
            let mut text = whole[round % whole.len()].clone();
            for _ in 0..1 + random(6) {
                let reach = [24, 4000][random(2)];
                let at = random(text.len().min(reach));
                match random(5) {
                    0 => text.truncate(at.max(1)),
                    1 => text.insert(at, random(256) as u8),
                    2 => _ = text.remove(at.min(text.len() - 2)),
                    3 => text.extend_from_within(at..),
                    _ => text[at] = random(256) as u8,
                }
                if text.len() < 2 {
                    text.resize(20, 0xff);
                }
            }
            let Ok(sketch) = Sketch::of(&text) else {
                continue;
            };
            let _ = (sketch.cached(), sketch.cardinality(), sketch.decoded());
            let _ = sketch.merge(&mut [0; REGISTERS]);
            let Ok(mut sketch) = sketch.to_owned() else {
                continue;
            };
            for _ in 0..10 {
                let place = (random(REGISTERS), 1 + random(40) as u8);
                let _ = sketch.sketch().is_below(place);
                let _ = sketch.raise(place, SPARSE_BYTES_MAX);
            }
            assert!(sketch.text.len() <= text.len().max(HEADER_BYTES + dense::BYTES));
        }
    }
}
