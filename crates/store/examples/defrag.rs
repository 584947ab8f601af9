//! Prints how long the steps of moving blocks together are: the beginning, steps of 128 slots, giving pages back.
//!
//! `cargo run --release -p store --example defrag [millions of keys] [fields of a large hash, in millions]`
//!
//! Values have 8 to 1,031 bytes; a random 80 % of keys and fields are deleted before. Where others want the processor, too,
//! the longest steps are theirs.

use std::time::Instant;

use memory::heap::CountingAlloc;
use store::{Expiry, Kind, Millis, Options, Rng, Shard, Value};

#[global_allocator]
static ALLOCATOR: CountingAlloc = CountingAlloc;

const NOW: Millis = Millis(1_700_000_000_000);
const STEP_SLOTS: usize = 128;

fn millions(place: usize, default: u64) -> u64 {
    let word = std::env::args().nth(place);
    word.map_or(default, |word| word.parse().expect("a number of millions")) * 1_000_000
}

fn value_of(number: u64) -> Vec<u8> {
    let scrambled = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let bits = 3 + (scrambled >> 40) % 8;
    vec![b'v'; 8 + (scrambled >> 50) as usize % (1 << bits)]
}

/// Lengths of steps in microseconds.
#[derive(Default)]
struct Steps(Vec<f64>);

impl Steps {
    fn time<R>(&mut self, step: impl FnOnce() -> R) -> R {
        let started = Instant::now();
        let result = step();
        self.0.push(started.elapsed().as_secs_f64() * 1e6);
        result
    }

    fn print(mut self, what: &str) {
        self.0.sort_by(f64::total_cmp);
        let at = |share: f64| self.0.get((self.0.len() as f64 * share) as usize).copied();
        let [half, most, all] =
            [at(0.5), at(0.99), self.0.last().copied()].map(Option::unwrap_or_default);
        let total_ms = self.0.iter().sum::<f64>() / 1e3;
        println!(
            "{what}: {} steps in {total_ms:.0} ms; half up to {half:.0} us, 99 % up to {most:.0}, the longest {all:.0}",
            self.0.len()
        );
    }
}

fn main() {
    let (keys, fields) = (millions(1, 5), millions(2, 1));
    let mut shard = Shard::new(Options {
        base: NOW,
        ..Options::default()
    })
    .expect("address space");
    let hash_name = shard.key(b"hash");
    for number in 0..keys.max(fields) {
        let (name, value) = (format!("key:{number:012}"), value_of(number));
        if number < keys {
            let key = shard.key(name.as_bytes());
            shard.set(0, key, Value::from_bytes(&value), Expiry::Clear, NOW);
        }
        if number < fields {
            let door = shard
                .open_or_new(0, hash_name, Kind::Hash, NOW)
                .expect("a hash");
            door.hash().set(name.as_bytes(), &value, Expiry::Clear);
        }
    }
    let mut rng = Rng::seeded(2);
    for number in 0..keys.max(fields) {
        let name = format!("key:{number:012}");
        if number < keys && rng.below(5) > 0 {
            let key = shard.key(name.as_bytes());
            shard.remove(0, key, NOW);
        }
        if number < fields && rng.below(5) > 0 {
            let door = shard.open(0, hash_name, Kind::Hash, NOW).expect("a hash");
            door.expect("it is there").hash().remove(name.as_bytes());
        }
    }
    let mib = |bytes: u64| bytes >> 20;
    let print = |shard: &Shard| {
        let accounts = shard.accounts();
        let (used, committed) = (accounts.slab_used_bytes, accounts.slab_committed_bytes);
        println!("slab: {} MiB used, {} committed", mib(used), mib(committed));
    };
    print(&shard);
    let (mut beginning, mut moving, mut releasing) = Default::default();
    Steps::time(&mut beginning, || shard.defrag_begin());
    while Steps::time(&mut moving, || shard.purge_step(STEP_SLOTS)) {}
    while Steps::time(&mut releasing, || shard.release_step()) {}
    print(&shard);
    Steps::print(beginning, "beginning");
    Steps::print(moving, "moving");
    Steps::print(releasing, "releasing");
}
