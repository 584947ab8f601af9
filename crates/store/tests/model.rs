//! A shard against a plain map: random operations over the whole interface, both must agree.

use std::collections::HashMap;

use store::{Expiry, Key, Millis, Options, Rng, Shard, Value, canonical_int};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    bytes: Vec<u8>,
    is_int: bool,
    expiry: Option<Millis>,
}

/// A shard and the map it should equal, under one virtual clock.
struct Pair {
    shard: Shard,
    model: Vec<HashMap<Vec<u8>, Kept>>,
    now: Millis,
    rng: Rng,
    /// Keys are drawn from so many.
    keyspace: u64,
}

const BASE: Millis = Millis(1_700_000_000_000);
const YEAR_MS: i64 = 365 * 24 * 3600 * 1000;

impl Pair {
    fn new(seed: u64, keyspace: u64) -> Pair {
        let options = Options {
            seeds: [seed, 2, 3, 4],
            base: BASE,
            databases: 3,
            ..Options::default()
        };
        Pair {
            shard: Shard::new(options).unwrap(),
            model: vec![HashMap::new(); 3],
            now: BASE,
            rng: Rng::seeded(seed),
            keyspace,
        }
    }

    fn key(&mut self) -> Vec<u8> {
        let number = self.rng.below(self.keyspace);
        match number % 64 {
            0 if number == 0 => Vec::new(),
            1 => format!("{number:0>300}").into_bytes(),
            2 => format!("{number:0>255}").into_bytes(),
            3 => format!("{number:0>256}").into_bytes(),
            _ => format!("key:{number}").into_bytes(),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        let fill = self.rng.next_u64() as u8;
        let len = match self.rng.below(32) {
            0 => self.rng.below(20_000),
            1 => 7_800 + self.rng.below(600),
            2..6 => self.rng.below(1500),
            6..12 => return self.rng.next_u64().cast_signed().to_string().into_bytes(),
            12..16 => return self.rng.below(300).to_string().into_bytes(),
            _ => self.rng.below(80),
        };
        vec![fill; len as usize]
    }

    fn expiry(&mut self) -> Option<Millis> {
        match self.rng.below(12) {
            0 => Some(Millis(i64::MAX)),
            1 => Some(Millis(i64::MIN)),
            2 => Some(BASE.plus(2 * YEAR_MS)),
            3 => Some(BASE.plus(3 * YEAR_MS)),
            4 => Some(self.now.plus(-1)),
            5..9 => Some(self.now.plus(self.rng.below(5000) as i64)),
            _ => None,
        }
    }

    /// What the map holds under a key, unless it is expired; then it goes.
    fn kept(&mut self, db: usize, key: &[u8]) -> Option<Kept> {
        let kept = self.model[db].get(key)?.clone();
        if kept.expiry.is_some_and(|at| self.now > at) {
            self.model[db].remove(key);
            return None;
        }
        Some(kept)
    }

    fn step(&mut self, deletions: u64) {
        let db = self.rng.below(2) as usize;
        let bytes = self.key();
        let key = Key {
            bytes: &bytes,
            hash: self.shard.hash(&bytes),
        };
        let expected = self.kept(db, &bytes);
        assert!(self.shard.has_room());
        match self.rng.below(20 + deletions) {
            0..7 => self.set(db, key, expected),
            7..10 => self.compare(db, key, expected),
            10 => self.append(db, key, expected),
            11 => self.set_range(db, key, expected),
            12..14 => {
                let expiry = self.expiry();
                let done = self.shard.set_expiry(db, key, expiry, self.now);
                assert_eq!(done, expected.is_some());
                if let Some(kept) = expected {
                    self.model[db].insert(bytes.clone(), Kept { expiry, ..kept });
                }
            }
            14 => self.carry(db, key, expected),
            15 => {
                assert_eq!(self.shard.touch(db, key, self.now), expected.is_some());
                assert_eq!(
                    self.shard.hits(db, key, self.now).is_some(),
                    expected.is_some()
                );
            }
            16 => self.now = self.now.plus(self.rng.below(40) as i64),
            17 => {
                self.shard.expire_step(self.now, 500);
            }
            18 => {
                let mut rng = self.rng.clone();
                if let Some(random) = self.shard.random_key(db, &mut rng, self.now) {
                    assert!(self.kept(db, &random).is_some());
                }
            }
            _ => {
                assert_eq!(self.shard.remove(db, key, self.now), expected.is_some());
                self.model[db].remove(&bytes);
            }
        }
    }

    fn set(&mut self, db: usize, key: Key, expected: Option<Kept>) {
        let bytes = self.value();
        let (expiry, stored) = match self.expiry() {
            Some(at) => (Expiry::At(at), Some(at)),
            None if self.rng.below(2) == 0 => (Expiry::Clear, None),
            None => (Expiry::Keep, expected.as_ref().and_then(|kept| kept.expiry)),
        };
        let was_there = self
            .shard
            .set(db, key, Value::from_bytes(&bytes), expiry, self.now);
        assert_eq!(was_there, expected.is_some());
        let is_int = canonical_int(&bytes).is_some();
        self.model[db].insert(
            key.bytes.to_vec(),
            Kept {
                bytes,
                is_int,
                expiry: stored,
            },
        );
    }

    fn append(&mut self, db: usize, key: Key, expected: Option<Kept>) {
        let tail = self.value();
        let mut kept = expected.unwrap_or(Kept {
            bytes: Vec::new(),
            is_int: true,
            expiry: None,
        });
        let is_new = !self.model[db].contains_key(key.bytes);
        kept.bytes.extend_from_slice(&tail);
        kept.is_int = is_new && canonical_int(&tail).is_some();
        assert_eq!(
            self.shard.append(db, key, &tail, self.now),
            kept.bytes.len()
        );
        self.model[db].insert(key.bytes.to_vec(), kept);
    }

    fn set_range(&mut self, db: usize, key: Key, expected: Option<Kept>) {
        let (offset, bytes) = (self.rng.below(300) as usize, self.value());
        let is_new = expected.is_none();
        let mut kept = expected.unwrap_or(Kept {
            bytes: Vec::new(),
            is_int: false,
            expiry: None,
        });
        if !bytes.is_empty() {
            let end = offset + bytes.len();
            kept.bytes.resize(kept.bytes.len().max(end), 0);
            kept.bytes[offset..end].copy_from_slice(&bytes);
            kept.is_int = false;
        }
        let len = self.shard.set_range(db, key, offset, &bytes, self.now);
        assert_eq!(len, kept.bytes.len());
        if !(is_new && bytes.is_empty()) {
            self.model[db].insert(key.bytes.to_vec(), kept);
        }
    }

    /// Moves a value to another key, or copies it there by way of outside.
    fn carry(&mut self, db: usize, key: Key, expected: Option<Kept>) {
        let target = self.key();
        let target_key = self.shard.key(&target);
        let there = self.kept(1 - db, &target).is_some();
        if self.rng.below(2) == 0 {
            let detached = self.shard.copy_out(db, key, self.now);
            assert_eq!(detached.is_some(), expected.is_some());
            let Some(detached) = detached else {
                return;
            };
            assert_eq!(
                detached.expiry(),
                expected.as_ref().and_then(|kept| kept.expiry)
            );
            let was_there = self.shard.put(1 - db, target_key, detached, self.now);
            assert_eq!(was_there, there);
        } else {
            self.model[db].remove(key.bytes);
            let moved = self.shard.rename((db, key), (1 - db, target_key), self.now);
            assert_eq!(moved, expected.is_some());
        }
        if let Some(kept) = expected {
            self.model[1 - db].insert(target.clone(), kept);
        }
    }

    fn compare(&mut self, db: usize, key: Key, expected: Option<Kept>) {
        let entry = self.shard.read(db, key, self.now);
        assert_eq!(entry.is_some(), expected.is_some());
        if let (Some(entry), Some(kept)) = (entry, expected) {
            assert_eq!(entry.key(), key.bytes);
            assert_eq!(entry.expiry(), kept.expiry);
            assert_eq!(entry.value_len(), kept.bytes.len());
            match entry.value() {
                Value::Bytes { bytes, .. } => {
                    assert!(!kept.is_int);
                    assert_eq!(bytes, kept.bytes);
                }
                Value::Int(number) => {
                    assert!(kept.is_int);
                    assert_eq!(number.to_string().into_bytes(), kept.bytes);
                }
            }
            let (usage, bill) = (entry.usage(), entry.bill());
            assert_eq!(bill.total_bytes(), usage);
            assert_eq!(self.shard.usage(db, key, self.now), Some(usage));
        }
    }

    fn compare_all(&mut self) {
        self.shard.check();
        for db in 0..2 {
            let keys: Vec<Vec<u8>> = self.model[db].keys().cloned().collect();
            for bytes in keys {
                let expected = self.kept(db, &bytes);
                let key = Key {
                    bytes: &bytes,
                    hash: self.shard.hash(&bytes),
                };
                self.compare(db, key, expected);
            }
            while self.shard.expire_step(self.now, usize::MAX).more {}
            let expiring = self.model[db]
                .values()
                .filter(|kept| kept.expiry.is_some())
                .count();
            // Keys past their time by less than the slack may remain.
            assert!(self.shard.len(db) >= self.model[db].len());
            assert!(self.shard.expiring(db) >= expiring);
        }
    }
}

fn run(seed: u64, keyspace: u64, steps: u32, check_every: u32) {
    let mut pair = Pair::new(seed, keyspace);
    for step in 0..steps {
        // Deletions outweigh writes in every other stretch, so that the index shrinks as well.
        let deletions = if step / (steps / 4) % 2 == 1 { 40 } else { 0 };
        pair.step(deletions);
        if step % check_every == 0 {
            assert_eq!(pair.shard.accounts(), pair.shard.recount());
        }
        if step % (check_every * 16) == 0 {
            pair.compare_all();
        }
    }
    pair.compare_all();
    for db in 0..2 {
        pair.shard.detach_database(db);
    }
    while pair.shard.free_step(1000) {}
    pair.shard.check();
    let accounts = pair.shard.accounts();
    assert_eq!(accounts.slab_used_bytes, 0);
    assert_eq!(accounts.heap_bytes, 0);
}

#[test]
fn a_shard_agrees_with_a_map_on_a_handful_of_keys() {
    for seed in 0..20 {
        run(seed, 12, 3_000, 10);
    }
}

#[test]
fn a_shard_agrees_with_a_map_on_hundreds_of_keys() {
    for seed in 100..104 {
        run(seed, 800, 20_000, 200);
    }
}

#[test]
fn a_shard_agrees_with_a_map_on_thousands_of_keys() {
    run(200, 30_000, 200_000, 10_000);
}
