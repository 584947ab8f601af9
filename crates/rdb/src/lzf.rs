//! Owns undoing the compression of strings.
//! Never reserves more than the compressed bytes can stand for; nothing is compressed here.
//! Source: the LZF format of Marc Lehmann's LibLZF.

use crate::Error;

/// The most that three compressed bytes, the longest way to refer back, stand for.
const REFERENCE_LEN_MAX: usize = 264;
const REFERENCE_BYTES: usize = 3;
/// Control bytes below this one announce literals, one more than they say.
const LITERALS_END: u8 = 1 << 5;
/// A length in the three high bits that says that a byte with the rest of it follows.
const LEN_CONTINUES: usize = 7;
/// What every reference is longer than its length says.
const LEN_EXTRA: usize = 2;

/// What `compressed` stands for, which is `len` bytes.
pub(crate) fn decompress(compressed: &[u8], len: usize) -> Result<Vec<u8>, Error> {
    // Held against the input first: so much is all that could ever come out.
    if len / REFERENCE_LEN_MAX > compressed.len() / REFERENCE_BYTES {
        return Err(Error::Format);
    }
    let mut out = Vec::with_capacity(len);
    let mut rest = compressed;
    while let [control, behind @ ..] = rest {
        rest = if *control < LITERALS_END {
            let (literals, behind) = behind
                .split_at_checked(usize::from(*control) + 1)
                .ok_or(Error::Format)?;
            if len - out.len() < literals.len() {
                return Err(Error::Format);
            }
            out.extend_from_slice(literals);
            behind
        } else {
            let (run, low, behind) = match (usize::from(control >> 5), behind) {
                (LEN_CONTINUES, [more, low, behind @ ..]) => {
                    (LEN_CONTINUES + usize::from(*more), low, behind)
                }
                (run, [low, behind @ ..]) if run < LEN_CONTINUES => (run, low, behind),
                _ => return Err(Error::Format),
            };
            let distance = usize::from(u16::from_be_bytes([control & 0x1f, *low])) + 1;
            let start = out.len().checked_sub(distance).ok_or(Error::Format)?;
            repeat(&mut out, start, run + LEN_EXTRA, len)?;
            behind
        };
    }
    if out.len() == len {
        Ok(out)
    } else {
        Err(Error::Format)
    }
}

/// Appends `run` bytes from `start` on, which may reach into what is appended.
fn repeat(out: &mut Vec<u8>, start: usize, run: usize, len: usize) -> Result<(), Error> {
    if len - out.len() < run {
        return Err(Error::Format);
    }
    let mut left = run;
    while left > 0 {
        let piece = left.min(out.len() - start);
        out.extend_from_within(start..start + piece);
        left -= piece;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_come_out_as_they_are() {
        assert_eq!(decompress(b"\x02abc", 3), Ok(b"abc".to_vec()));
        assert_eq!(decompress(b"", 0), Ok(Vec::new()));
    }

    #[test]
    fn a_run_may_reach_into_itself() {
        assert_eq!(decompress(b"\x01ab\x60\x01", 7), Ok(b"abababa".to_vec()));
        assert_eq!(decompress(b"\x00a\xe0\xff\x00", 265), Ok(vec![b'a'; 265]));
    }

    #[test]
    fn another_length_than_announced_is_refused() {
        for len in [0, 2, 4, 1 << 40] {
            assert_eq!(decompress(b"\x02abc", len), Err(Error::Format), "{len}");
            assert_eq!(decompress(b"\x00a\x20\x00", len.max(5)), Err(Error::Format));
        }
    }

    #[test]
    fn what_ends_early_or_points_before_the_start_is_refused() {
        for bad in [
            &b"\x02ab"[..],
            b"\x00a\x20",
            b"\x00a\xe0\xff",
            b"\x00a\x20\x01",
            b"\x20\x00",
        ] {
            for len in 0..300 {
                assert_eq!(decompress(bad, len), Err(Error::Format), "{bad:?}");
            }
        }
    }
}
