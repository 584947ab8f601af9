//! Numbers of 80-bit extended precision: what INCRBYFLOAT adds, so that 0.1 and 0.2 make 0.3 as in Redis on x86-64.
//! Never uses the machine's floating point: every step is exact arithmetic on integers and one rounding.
//! Format: 64 bits of significand, exponents from -16445 to 16383 (Intel SDM, volume 1, 4.2); text as C's `strtold` and `%.17Lf`.

use num_bigint::{BigInt, BigUint, Sign};

/// Redis reads numbers into a buffer of 5 KiB; a longer text is no number.
const TEXT_BYTES_MAX: usize = 5 * 1024 - 1;
const SIGNIFICAND_BITS: i64 = 64;
/// Exponent of the last bit of the smallest positive number.
const EXPONENT_MIN: i64 = -16_445;
/// Exponent of the last bit of the largest number.
const EXPONENT_MAX: i64 = 16_383 - 63;
/// Digits after the point that are printed.
const FRACTION_DIGITS: u32 = 17;
/// No decimal exponent beyond this can lead to a number, however many digits stand before it.
const DECIMAL_EXPONENT_MAX: i64 = 20_000;

/// A finite number: `significand` times two to the power of `exponent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extended {
    negative: bool,
    significand: u64,
    exponent: i64,
}

/// What a text names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A finite number.
    Finite(Extended),
    /// `inf` or `infinity`, in any case, with or without sign.
    Infinite,
}

/// Reads a number: decimal or hexadecimal, with sign and exponent, no white space. Numbers too large, too small for
/// the format but not zero, and `nan` are none.
pub fn parse(text: &[u8]) -> Option<Parsed> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if rest.eq_ignore_ascii_case(b"inf") || rest.eq_ignore_ascii_case(b"infinity") {
        return Some(Parsed::Infinite);
    }
    let finite = match rest {
        [b'0', b'x' | b'X', hex @ ..] => hexadecimal(negative, hex),
        decimals => decimal(negative, decimals),
    };
    finite.map(Parsed::Finite)
}

fn decimal(negative: bool, text: &[u8]) -> Option<Extended> {
    let (digits, exponent) = digits_and_exponent(text, 10, b'e')?;
    if digits == BigUint::ZERO {
        return Some(Extended {
            negative,
            significand: 0,
            exponent: 0,
        });
    }
    if exponent.abs() > DECIMAL_EXPONENT_MAX {
        return None;
    }
    let fives = BigUint::from(5u8).pow(exponent.unsigned_abs() as u32);
    if exponent >= 0 {
        return round(negative, digits * fives, exponent, false);
    }
    // Enough bits for the quotient that its rounding needs nothing but whether a remainder is left.
    let shift = (fives.bits() as i64 + SIGNIFICAND_BITS + 2 - digits.bits() as i64).max(0);
    let dividend = digits << shift as usize;
    let (quotient, remainder) = (&dividend / &fives, &dividend % &fives);
    round(
        negative,
        quotient,
        exponent - shift,
        remainder != BigUint::ZERO,
    )
}

fn hexadecimal(negative: bool, text: &[u8]) -> Option<Extended> {
    let (digits, exponent) = digits_and_exponent(text, 16, b'p')?;
    round(negative, digits, exponent, false)
}

/// The digits as one integer, and the power (of ten, or of two) to multiply it with.
fn digits_and_exponent(text: &[u8], radix: u32, marker: u8) -> Option<(BigUint, i64)> {
    let mantissa_end = text
        .iter()
        .position(|byte| byte.eq_ignore_ascii_case(&marker))
        .unwrap_or(text.len());
    let (mantissa, exponent) = text.split_at(mantissa_end);
    let point = mantissa
        .iter()
        .position(|&byte| byte == b'.')
        .unwrap_or(mantissa.len());
    let (whole, fraction) = (
        &mantissa[..point],
        mantissa.get(point + 1..).unwrap_or_default(),
    );
    let digits = [whole, fraction].concat();
    let is_digit = |byte: &u8| (*byte as char).is_digit(radix);
    if digits.is_empty() || !digits.iter().all(is_digit) {
        return None;
    }
    let exponent = match exponent {
        [] => 0,
        [_, rest @ ..] => exponent_of(rest)?,
    };
    let per_digit = if radix == 16 { 4 } else { 1 };
    let number = BigUint::parse_bytes(&digits, radix)?;
    Some((number, exponent - fraction.len() as i64 * per_digit))
}

fn exponent_of(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // Far outside every range is all that matters of a long exponent.
    let magnitude = digits.iter().fold(0i64, |sum, digit| {
        (sum * 10 + i64::from(digit - b'0')).min(1 << 40)
    });
    Some(if negative { -magnitude } else { magnitude })
}

/// The number next to `integer` times two to the power of `exponent`; ties go to the even neighbour. `more` says that
/// the true value lies a little above; then `integer` must have more bits than a significand.
fn round(negative: bool, integer: BigUint, exponent: i64, more: bool) -> Option<Extended> {
    if integer == BigUint::ZERO {
        return Some(Extended {
            negative,
            significand: 0,
            exponent: 0,
        });
    }
    let bits = integer.bits() as i64;
    let last_bit = (exponent + bits - SIGNIFICAND_BITS).max(EXPONENT_MIN);
    if last_bit > EXPONENT_MAX || exponent + bits < EXPONENT_MIN {
        return None;
    }
    let dropped = last_bit - exponent;
    if dropped <= 0 {
        debug_assert!(!more, "too few bits to round from");
        let significand = low_bits(&(integer << (-dropped) as usize));
        return Some(Extended {
            negative,
            significand,
            exponent: last_bit,
        });
    }
    let kept = &integer >> dropped as usize;
    let rest = integer - (&kept << dropped as usize);
    let half = BigUint::from(1u8) << (dropped - 1) as usize;
    let odd = kept.bit(0);
    let up = rest > half || (rest == half && (more || odd));
    let kept = if up { kept + 1u8 } else { kept };
    let (significand, exponent) = if kept.bits() as i64 > SIGNIFICAND_BITS {
        (1 << 63, last_bit + 1)
    } else {
        (low_bits(&kept), last_bit)
    };
    (significand != 0 && exponent <= EXPONENT_MAX).then_some(Extended {
        negative,
        significand,
        exponent,
    })
}

fn low_bits(integer: &BigUint) -> u64 {
    integer.iter_u64_digits().next().unwrap_or(0)
}

impl Extended {
    /// The sum, rounded once; `None` where it is too large to be finite.
    pub fn add(self, other: Extended) -> Option<Extended> {
        let exponent = self.exponent.min(other.exponent);
        let sum = self.scaled(exponent) + other.scaled(exponent);
        // A sum of two numbers is a multiple of the smallest one, so it never vanishes by rounding.
        round(
            sum.sign() == Sign::Minus,
            sum.into_parts().1,
            exponent,
            false,
        )
    }

    fn scaled(self, exponent: i64) -> BigInt {
        let sign = if self.negative {
            Sign::Minus
        } else {
            Sign::Plus
        };
        if self.significand == 0 {
            return BigInt::ZERO;
        }
        BigInt::from_biguint(
            sign,
            BigUint::from(self.significand) << (self.exponent - exponent) as usize,
        )
    }

    /// Decimal text with at most 17 digits after the point and no zeros at its end.
    pub fn to_text(self) -> String {
        let sign = if self.negative { "-" } else { "" };
        if self.exponent >= 0 {
            let integer = BigUint::from(self.significand) << self.exponent as usize;
            let sign = if self.significand == 0 { "" } else { sign };
            return format!("{sign}{integer}");
        }
        let scale = 10u128.pow(FRACTION_DIGITS);
        let scaled = half_even(
            u128::from(self.significand) * scale,
            self.exponent.unsigned_abs(),
        );
        let (whole, fraction) = (scaled / scale, scaled % scale);
        let sign = if scaled == 0 { "" } else { sign };
        let text = format!("{sign}{whole}.{fraction:017}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// `number` divided by two to the power of `shift`; ties go to the even neighbour.
fn half_even(number: u128, shift: u64) -> u128 {
    if shift > 127 {
        // A significand times ten to the power of 17 has at most 121 bits: less than half of the divisor.
        return 0;
    }
    let (kept, rest, half) = (
        number >> shift,
        number & ((1 << shift) - 1),
        1u128 << (shift - 1),
    );
    kept + u128::from(rest > half || (rest == half && kept & 1 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finite(text: &str) -> Extended {
        match parse(text.as_bytes()) {
            Some(Parsed::Finite(number)) => number,
            other => panic!("{text} is {other:?}"),
        }
    }

    #[track_caller]
    fn sum(a: &str, b: &str, expected: &str) {
        assert_eq!(
            finite(a).add(finite(b)).unwrap().to_text(),
            expected,
            "{a} + {b}"
        );
    }

    #[test]
    fn sums_are_those_of_the_x87_unit() {
        sum("0.1", "0.2", "0.3");
        sum("10.5", "0.1", "10.6");
        sum("5.0e3", "2.0e2", "5200");
        sum("3", "-3", "0");
        sum("-0", "-0", "0");
        sum("9223372036854775807", "1", "9223372036854775808");
        sum("1e18", "0.5", "1000000000000000000.5");
        sum("1e19", "0.5", "10000000000000000000");
        sum("1e20", "0.5", "100000000000000000000");
    }

    #[test]
    fn a_number_is_printed_with_17_digits_after_the_point() {
        sum("0", "0.1", "0.1");
        sum("0", "1e-17", "0.00000000000000001");
        sum("0", "4e-18", "0");
        sum("0", "-1e-30", "0");
        sum("0", "1.000000000000000005", "1");
    }

    #[test]
    fn hexadecimal_numbers_are_read() {
        sum("0", "0x10", "16");
        sum("0", "0X1.8p1", "3");
        sum("0", "-0x.8P-2", "-0.125");
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "", ".", "-", "1e", "1e+", "0x", "0xp3", "0x1p", "nan", "1 ", " 1", "1_0", "1e5000",
            "1e-5000", "1..2", "1e1e1", "1\0",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse(&[b'1'; 5120]), None);
        assert_eq!(parse(b"-Infinity"), Some(Parsed::Infinite));
    }

    #[test]
    fn a_sum_beyond_the_largest_number_is_none() {
        assert_eq!(finite("1e4932").add(finite("1e4932")), None);
        assert_eq!(finite("0e99999999999999999999").to_text(), "0");
    }

    #[test]
    fn a_huge_exponent_costs_nothing() {
        assert_eq!(parse(b"1e-99999999999999999999999"), None);
        assert_eq!(parse(b"0x1p99999999999999999999999"), None);
    }
}
