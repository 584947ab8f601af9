//! Owns the reading of traces: requests in the order in which a cache got them.
//! Never here: a cache.
//! Source: records of 24 bytes, little-endian: key u64, second u32, bytes u32, time to live in
//! seconds u32, prefix u16, operation u8 (0 GET, 1 SET), one byte of nothing.

use std::collections::HashMap;
use std::fs;
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

const RECORD_BYTES: usize = 24;
/// The ending of a trace's file; with `.zst` behind it, it is compressed.
const ENDING: &str = ".ktr";

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which key.
    pub key: u64,
    /// When, in seconds from the start of the trace.
    pub second: u32,
    /// Bytes of the value.
    pub bytes: u32,
    /// Seconds until the value expires once it is stored; 0 is never.
    pub ttl_s: u32,
    /// Whether it stores the value; if not it asks, and stores it where it was missed.
    pub is_set: bool,
}

/// A trace.
pub struct Trace {
    /// Name of its file without the endings.
    pub name: String,
    /// All requests.
    pub requests: Vec<Request>,
}

impl Trace {
    /// Reads a trace; one that is compressed through the program `zstd`.
    pub fn read(path: &Path) -> io::Result<Trace> {
        let file_name = path.file_name().unwrap_or_default().to_string_lossy();
        let bytes = if file_name.ends_with(".zst") {
            let output = Command::new("zstd").arg("-dcq").arg(path).output()?;
            if !output.status.success() {
                let text = String::from_utf8_lossy(&output.stderr);
                return Err(io::Error::other(format!("{}: {text}", path.display())));
            }
            output.stdout
        } else {
            fs::read(path)?
        };
        let name = file_name.split(ENDING).next().unwrap_or_default();
        let records = bytes.chunks_exact(RECORD_BYTES);
        if !records.remainder().is_empty() {
            return Err(io::Error::other(format!(
                "{}: not a whole number of records",
                path.display()
            )));
        }
        Ok(Trace {
            name: name.into(),
            requests: records.map(request).collect(),
        })
    }

    /// Bytes of all values that are different keys', each with `overhead_bytes` more: what it
    /// takes never to miss twice.
    pub fn footprint_bytes(&self, overhead_bytes: u64) -> u64 {
        let mut largest: HashMap<u64, u32, BuildHasherDefault<Spread>> = HashMap::default();
        for request in &self.requests {
            let bytes = largest.entry(request.key).or_default();
            *bytes = (*bytes).max(request.bytes);
        }
        let values: u64 = largest.values().map(|&bytes| u64::from(bytes)).sum();
        values + largest.len() as u64 * overhead_bytes
    }
}

/// The paths of the traces in a directory, or the one that is a file.
pub fn paths(place: &Path) -> io::Result<Vec<PathBuf>> {
    if place.is_file() {
        return Ok(vec![place.into()]);
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(place)? {
        let path = entry?.path();
        if path.to_string_lossy().contains(ENDING) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn request(record: &[u8]) -> Request {
    let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| record[at + byte]));
    Request {
        key: u64::from(word(4)) << 32 | u64::from(word(0)),
        second: word(8),
        bytes: word(12),
        ttl_s: word(16),
        is_set: record[22] == 1,
    }
}

/// Keys of traces are numbers, and many.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let mut record = Vec::new();
        record.extend_from_slice(&0x0102_0304_0506_0708u64.to_le_bytes());
        for word in [9u32, 10, 11] {
            record.extend_from_slice(&word.to_le_bytes());
        }
        record.extend_from_slice(&[12, 0, 1, 0]);
        let expected = Request {
            key: 0x0102_0304_0506_0708,
            second: 9,
            bytes: 10,
            ttl_s: 11,
            is_set: true,
        };
        assert_eq!(request(&record), expected);
    }

    #[test]
    fn the_footprint_counts_each_key_once() {
        let request = |key, bytes| Request {
            key,
            second: 0,
            bytes,
            ttl_s: 0,
            is_set: false,
        };
        let trace = Trace {
            name: String::new(),
            requests: vec![request(1, 10), request(2, 20), request(1, 30)],
        };
        assert_eq!(trace.footprint_bytes(5), 30 + 20 + 2 * 5);
    }
}
