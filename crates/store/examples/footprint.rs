//! Prints what a shard costs: resident bytes a key while it grows, the longest single insert, and
//! nanoseconds per operation at ten million keys.
//!
//! `cargo run --release -p store --example footprint [value bytes] [millions of keys] [ttl] [huge]`
//!
//! Eight-byte values are eight digits, as load generators write them. `ttl` gives every key an
//! expiry, `huge` asks for huge pages.

use std::hint::black_box;
use std::time::Instant;

use store::{Expiry, Key, Millis, Options, Rng, Shard, Value};

const BASE: Millis = Millis(1_700_000_000_000);
const DAY_MS: i64 = 24 * 3600 * 1000;
/// Keys of one group that are fetched side by side.
const GROUP: usize = 16;
const OPERATIONS: u64 = 8_000_000;

/// The key of a number: sixteen bytes, as in `key:000000000042`.
fn key_of(number: u64) -> [u8; 16] {
    let mut key = *b"key:000000000000";
    let mut rest = number;
    for digit in key[4..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("procfs");
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|field| field.parse::<u64>().ok());
    pages.expect("a number of pages") * 4096
}

/// Nanoseconds this thread ran, and those it was ready and had to wait for a processor.
fn schedule_ns() -> [u64; 2] {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("procfs");
    let mut fields = text
        .split_whitespace()
        .map(|field| field.parse().expect("a number"));
    [(); 2].map(|()| fields.next().expect("two fields"))
}

fn ran_ns() -> u64 {
    schedule_ns()[0]
}

/// The longest of many short spans, less what the thread spent waiting for a processor.
struct Longest {
    us: u64,
    at: u64,
    waited_ns: u64,
}

impl Longest {
    fn note(&mut self, started: Instant, at: u64) {
        let took_us = started.elapsed().as_micros() as u64;
        if took_us > self.us {
            let waited_ns = schedule_ns()[1];
            let took_us = took_us.saturating_sub((waited_ns - self.waited_ns) / 1000);
            self.waited_ns = waited_ns;
            if took_us > self.us {
                (self.us, self.at) = (took_us, at);
            }
        }
    }
}

struct Load {
    shard: Shard,
    value: Vec<u8>,
    has_expiry: bool,
}

impl Load {
    fn expiry(&self, number: u64) -> Expiry {
        if self.has_expiry {
            Expiry::At(BASE.plus(DAY_MS + number as i64))
        } else {
            Expiry::Clear
        }
    }

    fn write(&mut self, number: u64, key: Key) {
        let expiry = self.expiry(number);
        self.shard
            .set(0, key, Value::from_bytes(&self.value), expiry, BASE);
    }

    /// Runs one operation over random keys, a group at a time; returns nanoseconds each.
    fn time(&mut self, keys: u64, mut operation: impl FnMut(&mut Load, Key)) -> f64 {
        let mut rng = Rng::seeded(1);
        let started_ns = ran_ns();
        for _ in 0..OPERATIONS / GROUP as u64 {
            self.group(std::array::from_fn(|_| rng.below(keys)), &mut operation);
        }
        (ran_ns() - started_ns) as f64 / OPERATIONS as f64
    }

    fn group(&mut self, numbers: [u64; GROUP], operation: &mut impl FnMut(&mut Load, Key)) {
        let bytes = numbers.map(key_of);
        let hashes: [u64; GROUP] = std::array::from_fn(|at| self.shard.hash(&bytes[at]));
        hashes
            .iter()
            .for_each(|hash| self.shard.prefetch_bucket(0, *hash));
        hashes
            .iter()
            .for_each(|hash| self.shard.prefetch_entry(0, *hash));
        for at in 0..GROUP {
            operation(
                self,
                Key {
                    bytes: &bytes[at],
                    hash: hashes[at],
                },
            );
        }
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let value_len = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(32usize);
    let millions = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20u64);
    let switches: Vec<String> = arguments.collect();
    let has = |name: &str| switches.iter().any(|switch| switch == name);
    let has_expiry = has("ttl");
    let huge_pages = has("huge");
    let shard = Shard::new(Options {
        seeds: [1, 2, 3, 4],
        base: BASE,
        huge_pages,
        ..Options::default()
    });
    let shard = shard.expect("address space");
    let value = if value_len == 8 {
        b"12345678".to_vec()
    } else {
        vec![b'x'; value_len]
    };
    let mut load = Load {
        shard,
        value,
        has_expiry,
    };
    let resident_before = resident_bytes();
    println!(
        "value {value_len} B, expiry {has_expiry}, huge pages {huge_pages}, resident before {resident_before}"
    );
    let keys = millions * 1_000_000;
    grow(&mut load, keys, resident_before);
    time_operations(&mut load, keys);
    thin_out(&mut load, keys, resident_before);
}

/// Writes the keys, a group at a time, and prints what a key costs on the way.
fn grow(load: &mut Load, keys: u64, resident_before: u64) {
    let mut longest = Longest {
        us: 0,
        at: 0,
        waited_ns: schedule_ns()[1],
    };
    let started_ns = ran_ns();
    for first in (0..keys).step_by(GROUP) {
        let mut number = first;
        load.group(
            std::array::from_fn(|at| first + at as u64),
            &mut |load, key| {
                let started = Instant::now();
                load.write(number, key);
                longest.note(started, number);
                number += 1;
            },
        );
        if first % (1 << 14) == 0 {
            longest.waited_ns = schedule_ns()[1];
        }
        let written = number;
        if written % 1_000_000 == 0 && (written % 5_000_000 == 0 || written == 1_000_000) {
            let resident = resident_bytes() - resident_before;
            let accounts = load.shard.accounts();
            println!(
                "{:>3} M keys: resident {:6.2} B/key, dataset {:6.2}, tables {:5.2}, committed {:6.2}; \
                 {:4.0} ns an insert so far, longest {} us at {}",
                written / 1_000_000,
                resident as f64 / written as f64,
                accounts.account.bytes() as f64 / written as f64,
                accounts.tables_bytes as f64 / written as f64,
                accounts.slab_committed_bytes as f64 / written as f64,
                (ran_ns() - started_ns) as f64 / written as f64,
                longest.us,
                longest.at,
            );
        }
    }
}

/// Prints what operations on random keys cost.
fn time_operations(load: &mut Load, keys: u64) {
    let nothing = {
        let mut rng = Rng::seeded(1);
        let started_ns = ran_ns();
        for _ in 0..OPERATIONS {
            black_box(load.shard.hash(&key_of(rng.below(keys))));
        }
        (ran_ns() - started_ns) as f64 / OPERATIONS as f64
    };
    let read = load.time(keys, |load, key| {
        black_box(
            load.shard
                .read(0, key, BASE)
                .map(|entry| match entry.value() {
                    Value::Bytes { bytes, .. } => bytes.iter().map(|byte| u64::from(*byte)).sum(),
                    Value::Int(number) => number.cast_unsigned(),
                }),
        );
    });
    let miss = load.time(keys, |load, key| {
        let mut bytes = *b"nil:000000000000";
        bytes[4..].copy_from_slice(&key.bytes[4..]);
        black_box(load.shard.read(0, load.shard.key(&bytes), BASE).is_some());
    });
    let write = load.time(keys, |load, key| {
        let value = std::mem::take(&mut load.value);
        load.shard
            .set(0, key, Value::from_bytes(&value), Expiry::Keep, BASE);
        load.value = value;
    });
    println!(
        "ns an operation in groups of {GROUP}: making and hashing the key {nothing:.0}, read {read:.0}, miss (not grouped) {miss:.0}, overwrite {write:.0}"
    );
}

/// Deletes a random 80 % of the keys, purges, and prints what that gives back.
fn thin_out(load: &mut Load, keys: u64, resident_before: u64) {
    let print = |load: &Load, when: &str| {
        let accounts = load.shard.accounts();
        let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
        println!(
            "{when}: used {:.1} MiB, committed {:.1}, resident {:.1}",
            mib(accounts.slab_used_bytes),
            mib(accounts.slab_committed_bytes),
            mib(resident_bytes() - resident_before),
        );
    };
    let mut rng = Rng::seeded(2);
    let started_ns = ran_ns();
    for number in 0..keys {
        if rng.below(100) < 80 {
            let bytes = key_of(number);
            load.shard.remove(0, load.shard.key(&bytes), BASE);
        }
    }
    let removed = keys - load.shard.len(0) as u64;
    print(load, "after deleting 80 %");
    println!(
        "ns a deletion {:.0}",
        (ran_ns() - started_ns) as f64 / removed as f64
    );
    let started_ns = ran_ns();
    let mut longest = Longest {
        us: 0,
        at: 0,
        waited_ns: schedule_ns()[1],
    };
    let started = Instant::now();
    load.shard.purge_begin();
    longest.note(started, 0);
    loop {
        let started = Instant::now();
        let more = load.shard.purge_step(1000);
        longest.note(started, 0);
        if !more {
            break;
        }
    }
    print(load, "after the purge");
    let took_ms = (ran_ns() - started_ns) / 1_000_000;
    println!(
        "purge took {took_ms} ms, its longest step {} us",
        longest.us
    );
}
