//! A server that answers arbitrary bytes.
//! Never may the parser panic, take more than is there, or change its mind
//! about a reply when more bytes follow it.
//! Source: the contract of `Reply::parse`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use resp::Reply;

fuzz_target!(|bytes: &[u8]| {
    match Reply::parse(bytes) {
        Ok(Some((reply, taken))) => {
            assert!(taken > 0 && taken <= bytes.len());
            // By their text, because a double may be not a number.
            let alone = Reply::parse(&bytes[..taken]);
            assert_eq!(
                format!("{alone:?}"),
                format!("Ok(Some(({reply:?}, {taken})))")
            );
            assert_eq!(Reply::parse(&bytes[..taken - 1]), Ok(None));
        }
        Ok(None) => {
            let shorter = bytes.len() / 2;
            assert_eq!(Reply::parse(&bytes[..shorter]), Ok(None));
        }
        Err(error) => {
            let longer = [bytes, b"\r\n:1\r\n"].concat();
            assert_eq!(Reply::parse(&longer), Err(error));
        }
    }
});
