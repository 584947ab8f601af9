//! Owns a cache of several shards under a limit, as the server would hold it, without a network.
//! Never here: a policy or a curve; both are the store's.
//! Source: every read of a trace asks, and stores what it missed; time is the trace's.

use std::ops::Range;

use pinyon_trace::Request;
use store::curve::{Figures, Memory, Served};
use store::{Eviction, Expiry, Key, Millis, Options, Shard, Value};

const BASE: Millis = Millis(1_700_000_000_000);
const SEEDS: [u64; 4] = [1, 2, 3, 4];
/// Keys that the background looks at for expiry at each new second of the trace.
const EXPIRE_STEP_KEYS: usize = 512;
const EXPIRE_STEPS_MAX: usize = 64;
/// The part of a shard's share of the room for keys that the server lets the curve's sample take.
const SAMPLE_PART: u64 = 32;
/// Requests between two ticks of the curve.
const TICK_REQUESTS: u64 = 1000;

/// One shard and its reads.
struct Part {
    shard: Shard,
    served: Served,
}

/// What the curve knew at a moment.
pub struct Look {
    /// The numbers of the reads that it stands for, the last one excluded.
    pub reads: Range<u64>,
    /// Of each shard.
    pub figures: Vec<Figures>,
}

/// A cache whose shards have equal shares of a limit.
pub struct Cache {
    parts: Vec<Part>,
    share_bytes: u64,
    second: u32,
    requests: u64,
    value: Vec<u8>,
    /// Reads and hits at each tick.
    history: Vec<(u64, u64)>,
    /// Requests between two looks at the curve, where one is drawn.
    looks_apart: Option<usize>,
    looks: Vec<Look>,
}

impl Cache {
    /// An empty one; with a curve that is looked at after so many requests, again and again.
    pub fn new(
        shards: usize,
        limit_bytes: u64,
        eviction: Eviction,
        looks_apart: Option<usize>,
    ) -> Cache {
        let part = |_| {
            let options = Options {
                seeds: SEEDS,
                base: BASE,
                ..Options::default()
            };
            let mut shard = Shard::new(options).expect("there is address space for a shard");
            shard.set_eviction(eviction, BASE);
            shard.set_curve(looks_apart.is_some());
            shard.allow_curve(limit_bytes / shards as u64 / SAMPLE_PART, BASE);
            Part {
                shard,
                served: Served::default(),
            }
        };
        let mut cache = Cache {
            parts: (0..shards).map(part).collect(),
            share_bytes: limit_bytes / shards as u64,
            second: 0,
            requests: 0,
            value: Vec::new(),
            history: Vec::new(),
            looks_apart,
            looks: Vec::new(),
        };
        cache.tick(BASE);
        cache
    }

    /// Serves one request.
    pub fn run(&mut self, request: &Request) {
        let now = BASE.plus(i64::from(request.second) * 1000);
        if request.second > self.second {
            self.second = request.second;
            self.expire(now);
        }
        self.requests += 1;
        if self.requests.is_multiple_of(TICK_REQUESTS) {
            self.tick(now);
        }
        if let Some(apart) = self.looks_apart
            && self.requests.is_multiple_of(apart as u64)
        {
            self.look(now);
        }
        let bytes = format!("{:016x}", request.key);
        let hash = self.parts[0].shard.hash(bytes.as_bytes());
        let key = Key {
            bytes: bytes.as_bytes(),
            hash,
        };
        let place = ((hash >> 16 & 0xffff_ffff) * self.parts.len() as u64) >> 32;
        let Part { shard, served } = &mut self.parts[place as usize];
        if !request.is_set {
            if shard.read(0, key, now).is_some() {
                served.hits += 1;
                return;
            }
            served.misses += 1;
        }
        let len = request.bytes as usize;
        if self.value.len() < len {
            self.value.resize(len, b'v');
        }
        let expiry = match request.ttl_s {
            0 => Expiry::Clear,
            ttl_s => Expiry::At(now.plus(i64::from(ttl_s) * 1000)),
        };
        let wanted_bytes = len as u64 + 32;
        while used_bytes(shard) + wanted_bytes > self.share_bytes
            && shard
                .evict(now, &mut |_, candidate| candidate != hash)
                .is_some()
        {}
        shard.set(0, key, Value::from_bytes(&self.value[..len]), expiry, now);
    }

    fn expire(&mut self, now: Millis) {
        for part in &mut self.parts {
            for _ in 0..EXPIRE_STEPS_MAX {
                if !part.shard.expire_step(now, EXPIRE_STEP_KEYS).more {
                    break;
                }
            }
        }
    }

    fn tick(&mut self, now: Millis) {
        let served = self.served();
        self.history.push(served);
        for Part { shard, served } in &mut self.parts {
            let memory = Memory {
                limit_bytes: Some(self.share_bytes),
                share_bytes: self.share_bytes,
                room_bytes: self.share_bytes as i64 - used_bytes(shard) as i64,
            };
            shard.tick_curve(memory, *served, now);
        }
    }

    fn look(&mut self, now: Millis) {
        self.tick(now);
        let curves = self.parts.iter().map(|part| part.shard.curve());
        let figures: Vec<Figures> = curves.map(|curve| curve.figures()).collect();
        let seen: u64 = figures.iter().map(|one| one.hits + one.misses).sum();
        let (reads, _) = self.served();
        self.looks.push(Look {
            reads: reads - seen..reads,
            figures,
        });
    }

    /// What the curve knew, look by look.
    pub fn looks(&self) -> &[Look] {
        &self.looks
    }

    fn served(&self) -> (u64, u64) {
        let hits: u64 = self.parts.iter().map(|part| part.served.hits).sum();
        let misses: u64 = self.parts.iter().map(|part| part.served.misses).sum();
        (hits + misses, hits)
    }

    /// Hits of the reads with these numbers, to within a tick.
    pub fn hit_ratio(&self, reads: &Range<u64>) -> f64 {
        let at = |read: u64| {
            let place = self.history.partition_point(|&(before, _)| before < read);
            self.history[place.min(self.history.len() - 1)]
        };
        let (first, last) = (at(reads.start), at(reads.end));
        (last.1 - first.1) as f64 / (last.0 - first.0).max(1) as f64
    }
}

fn used_bytes(shard: &Shard) -> u64 {
    let account = shard.database_account(0);
    account.bytes() + shard.database_tables_bytes(0)
}
