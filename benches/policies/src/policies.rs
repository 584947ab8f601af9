//! Owns the comparison of eviction policies on traces: the server's own store under a limit, without a network.
//! Never here: a policy; those under measurement are the store's.
//! Source: the traces that are named on the command line.
//!
//! Every request asks, and stores what it missed; hit ratios are of requests and of bytes, with the
//! first request of each key counted as the miss it is. Time is the trace's.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use pinyon_trace::{Request, Trace};
use store::{Eviction, Expiry, Key, Millis, Options, Order, Shard, Value};

const BASE: Millis = Millis(1_700_000_000_000);
const SEEDS: [u64; 4] = [1, 2, 3, 4];
/// What a key costs beside its value, roughly: to size the caches.
const OVERHEAD_BYTES: u64 = 32;
/// Keys that the background looks at for expiry at each new second of the trace.
const EXPIRE_STEP_KEYS: usize = 512;
const EXPIRE_STEPS_MAX: usize = 64;

/// A policy with its parameters.
struct Contender {
    name: String,
    eviction: Eviction,
}

fn ifs(size_weight_percent: u8, fresh_weight_percent: u8, samples: usize) -> Contender {
    let name = format!(
        "ifs β={:.2} w={:.2} K={samples}",
        f64::from(size_weight_percent) / 100.0,
        f64::from(fresh_weight_percent) / 100.0
    );
    let eviction = Eviction {
        samples,
        size_weight_percent,
        fresh_weight_percent,
        ..Eviction::default()
    };
    Contender { name, eviction }
}

fn contenders() -> Vec<Contender> {
    let with = |name: &str, order, samples| Contender {
        name: name.into(),
        eviction: Eviction {
            order,
            samples,
            ..Eviction::default()
        },
    };
    vec![
        ifs(100, 50, 32),
        ifs(50, 50, 32),
        ifs(0, 50, 32),
        with("lru", Order::Lru, 40),
        with("lfu", Order::Lfu, 40),
        with("random", Order::Random, 1),
    ]
}

/// Hits of requests and of bytes.
#[derive(Default)]
struct Ratios {
    asked: u64,
    hits: u64,
    asked_bytes: u64,
    hit_bytes: u64,
}

impl Ratios {
    fn of_objects(&self) -> f64 {
        self.hits as f64 / self.asked.max(1) as f64
    }

    fn of_bytes(&self) -> f64 {
        self.hit_bytes as f64 / self.asked_bytes.max(1) as f64
    }
}

/// A cache of several shards with equal shares of a limit.
struct Cache {
    shards: Vec<Shard>,
    share_bytes: u64,
    ratios: Ratios,
    second: u32,
    values: Vec<u8>,
}

impl Cache {
    fn new(shards: usize, limit_bytes: u64, eviction: Eviction) -> Cache {
        let shard = |_| {
            let options = Options {
                seeds: SEEDS,
                base: BASE,
                ..Options::default()
            };
            let mut shard = Shard::new(options).expect("there is address space for a shard");
            shard.set_eviction(eviction, BASE);
            shard
        };
        Cache {
            shards: (0..shards).map(shard).collect(),
            share_bytes: limit_bytes / shards as u64,
            ratios: Ratios::default(),
            second: 0,
            values: Vec::new(),
        }
    }

    fn run(&mut self, request: &Request) {
        let now = BASE.plus(i64::from(request.second) * 1000);
        if request.second > self.second {
            self.second = request.second;
            self.expire(now);
        }
        let bytes = format!("{:016x}", request.key);
        let hash = self.shards[0].hash(bytes.as_bytes());
        let key = Key {
            bytes: bytes.as_bytes(),
            hash,
        };
        let place = ((hash >> 16 & 0xffff_ffff) * self.shards.len() as u64) >> 32;
        let shard = &mut self.shards[place as usize];
        if !request.is_set {
            self.ratios.asked += 1;
            self.ratios.asked_bytes += u64::from(request.bytes);
            if shard.read(0, key, now).is_some() {
                self.ratios.hits += 1;
                self.ratios.hit_bytes += u64::from(request.bytes);
                return;
            }
        }
        let len = request.bytes as usize;
        if self.values.len() < len {
            self.values.resize(len, b'v');
        }
        let expiry = match request.ttl_s {
            0 => Expiry::Clear,
            ttl_s => Expiry::At(now.plus(i64::from(ttl_s) * 1000)),
        };
        make_room(shard, hash, now, self.share_bytes, len as u64);
        shard.set(0, key, Value::from_bytes(&self.values[..len]), expiry, now);
    }

    fn expire(&mut self, now: Millis) {
        for shard in &mut self.shards {
            for _ in 0..EXPIRE_STEPS_MAX {
                if !shard.expire_step(now, EXPIRE_STEP_KEYS).more {
                    break;
                }
            }
        }
    }
}

/// Evicts until the value fits.
fn make_room(shard: &mut Shard, written: u64, now: Millis, share_bytes: u64, value_bytes: u64) {
    let wanted_bytes = value_bytes + OVERHEAD_BYTES;
    while used_bytes(shard) + wanted_bytes > share_bytes
        && shard.evict(now, &mut |_, hash| hash != written).is_some()
    {}
}

fn used_bytes(shard: &Shard) -> u64 {
    let account = shard.database_account(0);
    account.bytes() + shard.database_tables_bytes(0)
}

fn measure(trace: &Trace, limit_bytes: u64, shards: usize, eviction: Eviction) -> (Ratios, f64) {
    let mut cache = Cache::new(shards, limit_bytes, eviction);
    let started = Instant::now();
    trace.requests.iter().for_each(|request| cache.run(request));
    let nanoseconds = started.elapsed().as_nanos() as f64;
    (cache.ratios, nanoseconds / trace.requests.len() as f64)
}

fn compare(trace: &Trace, percents: &[u64], shard_counts: &[usize], contenders: &[Contender]) {
    let footprint_bytes = trace.footprint_bytes(OVERHEAD_BYTES);
    println!(
        "\n{}: {} requests, {} MiB of different keys",
        trace.name,
        trace.requests.len(),
        footprint_bytes >> 20
    );
    println!(
        "| memory | policy | shards | objects | bytes | ns a request |\n|---|---|---|---|---|---|"
    );
    for &percent in percents {
        let limit_bytes = footprint_bytes * percent / 100;
        for contender in contenders {
            for &shards in shard_counts {
                let (ratios, ns) = measure(trace, limit_bytes, shards, contender.eviction);
                println!(
                    "| {percent} % | {} | {shards} | {:.4} | {:.4} | {ns:.0} |",
                    contender.name,
                    ratios.of_objects(),
                    ratios.of_bytes()
                );
            }
        }
    }
}

fn numbers<T: std::str::FromStr>(text: &str) -> Option<Vec<T>> {
    text.split(',')
        .map(|part| part.trim().parse().ok())
        .collect()
}

fn run() -> Result<(), String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (mut place, mut percents, mut shards) = (String::new(), vec![1, 3, 10, 30], vec![1, 4, 16]);
    let mut chosen = Vec::new();
    for pair in words.chunks(2) {
        let wrong = || format!("{}: no such option or value", pair.join(" "));
        match pair {
            [name, value] if name == "--traces" => place = value.clone(),
            [name, value] if name == "--percent" => percents = numbers(value).ok_or_else(wrong)?,
            [name, value] if name == "--ifs" => {
                let three: Vec<u8> = numbers(value).ok_or_else(wrong)?;
                let &[beta, fresh, samples] = &three[..] else {
                    return Err(wrong());
                };
                chosen.push(ifs(beta, fresh, samples.into()));
            }
            [name, value] if name == "--shards" => shards = numbers(value).ok_or_else(wrong)?,
            _ => return Err(wrong()),
        }
    }
    if chosen.is_empty() {
        chosen = contenders();
    }
    let told = |error: std::io::Error| format!("{place}: {error}");
    for path in pinyon_trace::paths(Path::new(&place)).map_err(told)? {
        compare(
            &Trace::read(&path).map_err(told)?,
            &percents,
            &shards,
            &chosen,
        );
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!(
                "policies: {text}\nusage: pinyon-policies --traces DIRECTORY [--percent 1,3,10,30] [--shards 1,4,16] [--ifs β,w,K]..."
            );
            ExitCode::from(2)
        }
    }
}
