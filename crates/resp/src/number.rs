//! Numbers as the protocol and the commands write and read them.
//! Never accepts what Redis would not store, and never panics on a client's text.
//! Source: redis-server 7.0 for what is accepted, 7.2 for how a double is printed.

/// Digits that always fit 64 bits.
const DIGITS_SAFE: usize = 19;

/// An integer, written the one way it can be: no sign but `-`, no leading
/// zeros, no spaces, no `-0`.
#[inline]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    match text {
        [b'-', digits @ ..] => match parse_u64(digits)? {
            0 => None,
            magnitude => 0i64.checked_sub_unsigned(magnitude),
        },
        digits => i64::try_from(parse_u64(digits)?).ok(),
    }
}

/// An integer that is not negative, written the one way it can be.
#[inline]
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    match text {
        [] => return None,
        [b'0', _, ..] => return None,
        _ => {}
    }
    let (safe, last) = text.split_at(text.len().min(DIGITS_SAFE));
    let mut value = 0u64;
    for byte in safe {
        value = value * 10 + digit(*byte)?;
    }
    match last {
        [] => Some(value),
        [byte] => value.checked_mul(10)?.checked_add(digit(*byte)?),
        _ => None,
    }
}

#[inline]
fn digit(byte: u8) -> Option<u64> {
    let digit = byte.wrapping_sub(b'0');
    (digit <= 9).then_some(u64::from(digit))
}

/// Appends the shortest text that reads back as `value`: `3`, `0.1`, `1e+21`,
/// `inf`, `-inf`, `nan`.
pub fn format_double(value: f64, out: &mut Vec<u8>) {
    /// Doubles up to here that are whole are printed as integers.
    const WHOLE_MAX: f64 = (1u64 << 62) as f64;
    if value.is_nan() {
        return out.extend_from_slice(b"nan");
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let magnitude = value.abs();
    if magnitude.is_infinite() {
        out.extend_from_slice(b"inf");
    } else if magnitude <= WHOLE_MAX && magnitude.fract() == 0.0 {
        out.extend_from_slice(itoa::Buffer::new().format(magnitude as u64).as_bytes());
    } else {
        format_fraction(magnitude, out);
    }
}

/// Lays out the shortest digits of a positive number: plain where few zeros
/// are needed, else with an exponent.
fn format_fraction(magnitude: f64, out: &mut Vec<u8>) {
    let (digits, len, point) = shortest_digits(magnitude);
    let digits = &digits[..len];
    let len = len as i32;
    // The value is 0.DIGITS times ten to the power of `point`.
    let first_exponent = point - 1;
    let trailing_zeros = point - len;
    if trailing_zeros >= 0 && first_exponent.abs() < len + 7 {
        out.extend_from_slice(digits);
        out.extend(std::iter::repeat_n(b'0', trailing_zeros as usize));
    } else if trailing_zeros < 0 && (trailing_zeros > -7 || first_exponent.abs() < 4) {
        if point <= 0 {
            out.extend_from_slice(b"0.");
            out.extend(std::iter::repeat_n(b'0', -point as usize));
            out.extend_from_slice(digits);
        } else {
            let (whole, fraction) = digits.split_at(point as usize);
            out.extend_from_slice(whole);
            out.push(b'.');
            out.extend_from_slice(fraction);
        }
    } else {
        out.push(digits[0]);
        if len > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.extend_from_slice(if first_exponent < 0 { b"e-" } else { b"e+" });
        let exponent = first_exponent.unsigned_abs();
        out.extend_from_slice(itoa::Buffer::new().format(exponent).as_bytes());
    }
}

/// The fewest decimal digits that name this positive finite number, how many
/// they are, and where the decimal point stands relative to the first.
fn shortest_digits(magnitude: f64) -> ([u8; 24], usize, i32) {
    let mut ryu = ryu::Buffer::new();
    let text = ryu.format_finite(magnitude).as_bytes();
    let mut digits = [0u8; 24];
    let mut len = 0;
    let mut point = 0;
    let mut seen_point = false;
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            b'.' => seen_point = true,
            b'e' => {
                point +=
                    parse_i64(&text[at + 1..]).expect("ryu prints its exponent as we do") as i32;
                break;
            }
            b'0' if len == 0 => point -= i32::from(seen_point),
            _ => {
                digits[len] = byte;
                len += 1;
                point += i32::from(!seen_point);
            }
        }
    }
    while digits[len - 1] == b'0' {
        len -= 1;
    }
    (digits, len, point)
}

/// A double as `strtod` reads it, hexadecimal and infinity included, all of
/// `text` being the number. Not a number, and numbers that overflow or vanish,
/// are refused.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let unsigned = match text {
        [b'+' | b'-', rest @ ..] => rest,
        _ => text,
    };
    if let [b'0', b'x' | b'X', hex @ ..] = unsigned {
        let magnitude = parse_hex_f64(hex)?;
        return Some(if text[0] == b'-' {
            -magnitude
        } else {
            magnitude
        });
    }
    let value: f64 = str::from_utf8(text).ok()?.parse().ok()?;
    let spelled_out = unsigned.first().is_some_and(u8::is_ascii_alphabetic);
    if value.is_nan() || (value.is_infinite() && !spelled_out) {
        return None;
    }
    if value == 0.0 && !spells_zero(unsigned) {
        return None;
    }
    Some(value)
}

/// Whether a decimal number has no digit but 0 before its exponent.
fn spells_zero(unsigned: &[u8]) -> bool {
    unsigned
        .iter()
        .take_while(|byte| !matches!(byte, b'e' | b'E'))
        .all(|byte| matches!(byte, b'0' | b'.'))
}

/// What follows `0x`: hexadecimal digits with an optional point and an optional
/// binary exponent `p`.
fn parse_hex_f64(text: &[u8]) -> Option<f64> {
    let mantissa_bytes = text
        .iter()
        .position(|byte| matches!(byte, b'p' | b'P'))
        .unwrap_or(text.len());
    let (mantissa_text, exponent_text) = text.split_at(mantissa_bytes);
    let mut mantissa = 0u64;
    let mut exponent = 0i64;
    let mut inexact = false;
    let mut digits = 0;
    let mut seen_point = false;
    for &byte in mantissa_text {
        if byte == b'.' && !seen_point {
            seen_point = true;
            continue;
        }
        let digit = u64::from((byte as char).to_digit(16)?);
        digits += 1;
        if mantissa >> 60 == 0 {
            mantissa = mantissa << 4 | digit;
            exponent -= if seen_point { 4 } else { 0 };
        } else {
            inexact |= digit != 0;
            exponent += if seen_point { 0 } else { 4 };
        }
    }
    if digits == 0 {
        return None;
    }
    if let [_, exponent_text @ ..] = exponent_text {
        exponent = exponent.saturating_add(parse_exponent(exponent_text)?);
    }
    if mantissa == 0 {
        return Some(0.0);
    }
    scale_to_f64(mantissa, inexact, exponent)
}

/// A decimal exponent with an optional sign, at the ends of the range when out of it.
fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = 0i64;
    for &byte in digits {
        let digit = i64::from((byte as char).to_digit(10)?);
        value = value.saturating_mul(10).saturating_add(digit);
    }
    Some(if negative { -value } else { value })
}

/// `mantissa` times two to the power of `exponent`, rounded to the nearest
/// double and to even; `inexact` says that non-zero digits were left off.
/// None when the result overflows or vanishes.
fn scale_to_f64(mantissa: u64, inexact: bool, exponent: i64) -> Option<f64> {
    let top_bit = i64::from(63 - mantissa.leading_zeros());
    let top_exponent = exponent.saturating_add(top_bit);
    if !(-1075..=1023).contains(&top_exponent) {
        return None;
    }
    // A normal double keeps 53 bits; below 2^-1022 there are fewer.
    let is_normal = top_exponent >= -1022;
    let kept_bits = if is_normal { 53 } else { top_exponent + 1075 };
    let dropped_bits = top_bit + 1 - kept_bits;
    let kept = if dropped_bits <= 0 {
        mantissa << -dropped_bits
    } else {
        let wide = u128::from(mantissa);
        let below = wide & ((1u128 << dropped_bits) - 1);
        let half = 1u128 << (dropped_bits - 1);
        let floor = (wide >> dropped_bits) as u64;
        let round_up = below > half || (below == half && (inexact || floor & 1 == 1));
        floor + u64::from(round_up)
    };
    // The hidden bit of a normal number, and a carry of the rounding, step the
    // exponent field up by themselves.
    let exponent_field = if is_normal {
        (top_exponent + 1022) as u64
    } else {
        0
    };
    let value = f64::from_bits((exponent_field << 52) + kept);
    (value.is_finite() && value != 0.0).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    fn double_text(value: f64) -> String {
        let mut out = Vec::new();
        format_double(value, &mut out);
        String::from_utf8(out).expect("numbers are ASCII")
    }

    #[test]
    fn integers_are_read_up_to_the_ends_of_their_range() {
        for value in [0, 7, -7, 10, i64::MAX, i64::MIN, i64::MIN + 1] {
            assert_eq!(parse_i64(value.to_string().as_bytes()), Some(value));
        }
        for value in [0, 9, u64::MAX, 10_000_000_000_000_000_000] {
            assert_eq!(parse_u64(value.to_string().as_bytes()), Some(value));
        }
    }

    #[test]
    fn integers_written_another_way_are_refused() {
        for text in [
            "",
            "-",
            "+1",
            "-0",
            "00",
            "01",
            "-01",
            " 1",
            "1 ",
            "1a",
            "--1",
            "1.0",
            "0x1",
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551616",
            "100000000000000000000",
        ] {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text:?}");
        }
        for text in [
            "",
            "-1",
            "+1",
            "01",
            "18446744073709551616",
            "99999999999999999999",
        ] {
            assert_eq!(parse_u64(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn doubles_are_printed_as_redis_7_2_prints_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-3.0, "-3"),
            (0.1, "0.1"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1.5, "1.5"),
            (-1234.5678, "-1234.5678"),
            (33.33, "33.33"),
            (1e15, "1000000000000000"),
            (1e18, "1000000000000000000"),
            (4611686018427387904.0, "4611686018427387904"),
            (1e19, "1e+19"),
            (1e21, "1e+21"),
            (1.234567890123456e21, "1234567890123456000000"),
            (1.5e300, "1.5e+300"),
            (f64::MAX, "1.7976931348623157e+308"),
            (1e-5, "0.00001"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1.5e-7, "1.5e-7"),
            (0.00012345678, "1.2345678e-4"),
            (0.0012345678, "0.0012345678"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (-f64::NAN, "nan"),
        ] {
            assert_eq!(double_text(value), text);
        }
    }

    #[test]
    fn a_printed_double_reads_back_as_itself() {
        let mut random = Random::new(3);
        for _ in 0..200_000 {
            let value = f64::from_bits(random.next());
            if value.is_nan() {
                continue;
            }
            let text = double_text(value);
            assert!(text.len() <= 25, "{text}");
            let back = parse_f64(text.as_bytes()).expect(&text);
            assert_eq!(back.to_bits(), value.to_bits(), "{text}");
        }
    }

    #[test]
    fn doubles_are_read_as_redis_reads_them() {
        for (text, value) in [
            ("0x10", 16.0),
            ("0X1p3", 8.0),
            ("0x.8", 0.5),
            ("0x1.8p-1", 0.75),
            ("-0x1P+1", -2.0),
            ("0x1p-1074", 5e-324),
            ("0x1.8p-1075", 5e-324),
            ("0x1.fffffffffffff8p0", 2.0),
            ("0x0p-5000", 0.0),
            ("inf", f64::INFINITY),
            ("+inf", f64::INFINITY),
            ("-INF", f64::NEG_INFINITY),
            ("Infinity", f64::INFINITY),
            ("1e5", 1e5),
            (".5", 0.5),
            ("5.", 5.0),
            ("+5", 5.0),
            ("00005", 5.0),
            ("-0", 0.0),
            ("0e-999", 0.0),
            ("4e-324", 5e-324),
            ("1e+5", 1e5),
        ] {
            assert_eq!(parse_f64(text.as_bytes()), Some(value), "{text}");
        }
    }

    #[test]
    fn texts_that_are_no_double_are_refused() {
        for text in [
            "",
            " 1",
            "1 ",
            "\x0b1",
            "1\0",
            "+",
            ".",
            "--5",
            "1e",
            "1_0",
            "1d5",
            "infi",
            "nan",
            "-nan",
            "NaN",
            "nan(1)",
            "1e999",
            "-1e999",
            "1e-999",
            "2e-324",
            "0x",
            "0x1p",
            "0x.",
            "0x1p-2000",
            "0x1p2000",
            "0x1p-1075",
            "0x1..8",
            "0x1p1.5",
            "0xg",
            "0x1p9999999999999999999",
        ] {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse_f64(b"1\xff"), None);
    }

    #[test]
    fn hexadecimal_doubles_round_to_the_nearest_and_to_even() {
        for (text, value) in [
            ("0x20000000000001", 9007199254740992.0),
            ("0x20000000000003", 9007199254740996.0),
            ("0x1.fffffffffffffp1023", f64::MAX),
        ] {
            assert_eq!(parse_f64(text.as_bytes()), Some(value), "{text}");
        }
        // A digit far beyond the precision breaks the tie upwards.
        let tie = parse_f64(b"0x1.00000000000008p0");
        let above = parse_f64(b"0x1.000000000000080000000000001p0");
        assert_eq!(tie, Some(1.0));
        assert_eq!(above, Some(1.0 + f64::EPSILON));
        assert_eq!(parse_f64(b"0x1.fffffffffffff8p1023"), None);
    }

    #[test]
    fn any_double_written_in_hexadecimal_reads_back() {
        let mut random = Random::new(5);
        for _ in 0..100_000 {
            let bits = random.next() & (u64::MAX >> 1);
            let (field, fraction) = (bits >> 52, bits & ((1 << 52) - 1));
            if field == 0x7ff || bits == 0 {
                continue;
            }
            let text = match field {
                0 => format!("0x0.{fraction:013x}p-1022"),
                _ => format!("0x1.{fraction:013x}p{}", field as i64 - 1023),
            };
            assert_eq!(
                parse_f64(text.as_bytes()),
                Some(f64::from_bits(bits)),
                "{text}"
            );
        }
    }
}
