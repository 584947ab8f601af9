//! Walks over a whole shard: scanning while it changes, growing and shrinking, purging, freeing.

use std::collections::{HashMap, HashSet};

use store::{Expiry, Key, Millis, Options, Rng, Shard, StoreAccounts, Value};

const NOW: Millis = Millis(1_700_000_000_000);

fn shard() -> Shard {
    Shard::new(Options {
        seeds: [1, 2, 3, 4],
        base: NOW,
        databases: 16,
        ..Options::default()
    })
    .unwrap()
}

fn set(shard: &mut Shard, db: usize, name: &str, value: &[u8], expiry: Expiry) {
    let key = Key {
        bytes: name.as_bytes(),
        hash: shard.hash(name.as_bytes()),
    };
    assert!(shard.has_room());
    shard.set(db, key, Value::from_bytes(value), expiry, NOW);
}

fn remove(shard: &mut Shard, db: usize, name: &str) -> bool {
    let key = Key {
        bytes: name.as_bytes(),
        hash: shard.hash(name.as_bytes()),
    };
    shard.remove(db, key, NOW)
}

fn name(number: u64) -> String {
    format!("key:{number:012}")
}

fn fill(shard: &mut Shard, keys: u64, value_len: usize) {
    let value = vec![b'v'; value_len];
    for number in 0..keys {
        set(shard, 0, &name(number), &value, Expiry::Clear);
    }
}

/// Every key one whole scan shows, with how often.
fn scanned(shard: &Shard, budget_slots: usize) -> HashMap<Vec<u8>, u32> {
    let mut shown = HashMap::new();
    let mut cursor = 0;
    loop {
        cursor = shard.scan(0, cursor, budget_slots, NOW, &mut |key, entry| {
            assert_eq!(entry.key(), key);
            *shown.entry(key.to_vec()).or_default() += 1;
        });
        assert!(cursor < 1 << store::CURSOR_BITS);
        if cursor == 0 {
            return shown;
        }
    }
}

#[test]
fn a_new_shard_owns_no_tables_and_no_data() {
    let accounts = shard().accounts();
    assert_eq!(accounts.tables_bytes, 0);
    assert_eq!(accounts.account.bytes(), 0);
    assert_eq!(accounts.slab_used_bytes + accounts.slab_committed_bytes, 0);
}

#[test]
fn growing_to_200_000_keys_and_back_to_none_leaves_nothing() {
    let mut shard = shard();
    for number in 0..200_000 {
        set(&mut shard, 0, &name(number), b"value", Expiry::Clear);
        if number.is_power_of_two() || number % 50_000 == 0 {
            shard.check();
        }
    }
    shard.check();
    let mut numbers: Vec<u64> = (0..200_000).collect();
    shuffle(&mut numbers);
    for (done, number) in numbers.into_iter().enumerate() {
        assert!(remove(&mut shard, 0, &name(number)));
        assert!(!remove(&mut shard, 0, &name(number)));
        if done % 40_000 == 0 || done > 199_900 {
            shard.check();
        }
    }
    let accounts = shard.accounts();
    assert_eq!(shard.len(0), 0);
    assert_eq!(accounts.tables_bytes, 0);
    assert_eq!(accounts.slab_used_bytes, 0);
}

#[test]
fn an_index_costs_at_most_eleven_bytes_a_key_from_a_thousand_keys_on() {
    let mut shard = shard();
    for number in 0..300_000u64 {
        set(&mut shard, 0, &name(number), b"1", Expiry::Clear);
        if number > 1000 && number % 97 == 0 {
            let bytes_a_key = shard.accounts().tables_bytes as f64 / (number + 1) as f64;
            assert!(bytes_a_key < 11.0, "{bytes_a_key} bytes a key at {number}");
        }
    }
}

#[test]
fn a_scan_at_rest_shows_every_key_once() {
    let mut shard = shard();
    for keys in [1, 7, 100, 5_000, 60_000] {
        fill(&mut shard, keys, 5);
        for budget_slots in [1, 10, 1000, usize::MAX] {
            let shown = scanned(&shard, budget_slots);
            assert_eq!(shown.len(), keys as usize);
            assert!(shown.values().all(|times| *times == 1));
        }
    }
}

#[test]
fn scanning_an_empty_database_ends_at_once() {
    assert_eq!(shard().scan(3, 0, 10, NOW, &mut |_, _| panic!("a key")), 0);
}

#[test]
fn any_number_is_a_cursor() {
    let mut shard = shard();
    fill(&mut shard, 10_000, 5);
    let mut rng = Rng::seeded(5);
    for _ in 0..10_000 {
        let cursor = rng.next_u64() >> rng.below(60);
        assert!(shard.scan(0, cursor, 16, NOW, &mut |_, _| ()) < 1 << store::CURSOR_BITS);
    }
}

/// Scans in small steps while `change` writes between them; the keys below `kept` are never
/// touched and must all be shown.
fn scan_while(
    shard: &mut Shard,
    kept: u64,
    budget_slots: usize,
    mut change: impl FnMut(&mut Shard, u64),
) {
    let mut missing: HashSet<Vec<u8>> = (0..kept).map(|number| name(number).into_bytes()).collect();
    let (mut cursor, mut step) = (0, 0);
    loop {
        cursor = shard.scan(0, cursor, budget_slots, NOW, &mut |key, _| {
            missing.remove(key);
        });
        if cursor == 0 {
            break;
        }
        change(shard, step);
        step += 1;
        assert!(step < 100_000, "a scan must end");
    }
    assert!(
        missing.is_empty(),
        "{} keys were never shown",
        missing.len()
    );
}

#[test]
fn a_scan_shows_every_lasting_key_while_the_shard_grows() {
    for kept in [10, 500, 3_000] {
        let mut shard = shard();
        fill(&mut shard, kept, 5);
        let mut next = kept;
        scan_while(&mut shard, kept, 16, |shard, _| {
            for _ in 0..200 {
                if next < 150_000 {
                    set(shard, 0, &name(next), b"new", Expiry::Clear);
                    next += 1;
                }
            }
        });
        shard.check();
    }
}

#[test]
fn a_scan_shows_every_lasting_key_while_the_shard_shrinks() {
    for kept in [0, 10, 500, 3_000] {
        let mut shard = shard();
        fill(&mut shard, 100_000, 5);
        let mut next = 100_000;
        scan_while(&mut shard, kept, 64, |shard, _| {
            for _ in 0..100 {
                if next > kept {
                    next -= 1;
                    remove(shard, 0, &name(next));
                }
            }
        });
        shard.check();
    }
}

#[test]
fn a_scan_shows_every_lasting_key_while_the_shard_grows_and_shrinks_in_turns() {
    for seed in 0..6 {
        let kept = 1_000;
        let mut shard = shard();
        fill(&mut shard, kept, 5);
        let mut rng = Rng::seeded(seed);
        let (mut low, mut high) = (kept, kept);
        scan_while(&mut shard, kept, 24, |shard, step| {
            let count = rng.below(600);
            for _ in 0..count {
                if step / 40 % 2 == 0 && high < 200_000 {
                    set(shard, 0, &name(high), b"new", Expiry::Clear);
                    high += 1;
                } else if low < high {
                    remove(shard, 0, &name(low));
                    low += 1;
                }
            }
        });
        shard.check();
    }
}

#[test]
fn a_scan_ends_however_often_the_shard_doubles_and_halves() {
    let kept = 2_000;
    for budget_slots in [1, 16, 100] {
        let mut shard = shard();
        fill(&mut shard, kept, 5);
        scan_while(&mut shard, kept, budget_slots, |shard, step| {
            for number in 0..500 {
                let name = format!("{}:{number}", step % 20);
                match step / 20 % 2 {
                    0 => set(shard, 0, &name, b"new", Expiry::Clear),
                    _ => _ = remove(shard, 0, &name),
                }
            }
        });
    }
}

#[test]
fn a_purge_after_deleting_a_random_80_percent_gives_the_memory_back() {
    let mut shard = shard();
    fill(&mut shard, 300_000, 32);
    let before = shard.accounts();
    let mut rng = Rng::seeded(3);
    for number in 0..300_000 {
        if rng.below(100) < 80 {
            remove(&mut shard, 0, &name(number));
        }
    }
    let sparse = shard.accounts();
    assert!(sparse.slab_committed_bytes > before.slab_committed_bytes * 9 / 10);
    purge(&mut shard, 1000);
    shard.check();
    let after = shard.accounts();
    assert_eq!(after.account, sparse.account);
    let (committed, used) = (after.slab_committed_bytes, after.slab_used_bytes);
    assert!(
        committed * 10 <= used * 11,
        "{committed} committed for {used} used"
    );
    let shown = scanned(&shard, 100);
    assert_eq!(shown.len(), shard.len(0));
}

#[test]
fn a_purge_may_be_interleaved_with_writes() {
    let mut shard = shard();
    let mut model = HashMap::new();
    let mut rng = Rng::seeded(11);
    for _ in 0..6 {
        for _ in 0..20_000 {
            let number = rng.below(40_000);
            let len = rng.below(400) as usize;
            set(
                &mut shard,
                0,
                &name(number),
                &vec![b'x'; len],
                Expiry::Clear,
            );
            model.insert(number, len);
        }
        shard.purge_begin();
        let mut more = true;
        while more {
            more = shard.purge_step(300);
            for _ in 0..150 {
                let number = rng.below(40_000);
                assert_eq!(
                    remove(&mut shard, 0, &name(number)),
                    model.remove(&number).is_some()
                );
            }
        }
        shard.check();
    }
    assert!(!shard.is_purging());
    for (number, len) in &model {
        let bytes = name(*number).into_bytes();
        let key = Key {
            bytes: &bytes,
            hash: shard.hash(&bytes),
        };
        assert_eq!(shard.read(0, key, NOW).unwrap().value_len(), *len);
    }
}

#[test]
fn a_purge_may_be_begun_again_half_way() {
    let mut shard = shard();
    fill(&mut shard, 50_000, 32);
    for number in 0..50_000 {
        if number % 4 != 0 {
            remove(&mut shard, 0, &name(number));
        }
    }
    shard.purge_begin();
    assert!(shard.purge_step(500));
    purge(&mut shard, 500);
    shard.check();
    let accounts = shard.accounts();
    assert!(accounts.slab_committed_bytes * 10 <= accounts.slab_used_bytes * 11 + 10 * 65_536 * 8);
}

#[test]
fn a_flushed_database_is_empty_at_once_and_freed_in_steps() {
    let mut shard = shard();
    fill(&mut shard, 50_000, 32);
    set(&mut shard, 0, "large", &[b'x'; 100_000], Expiry::Clear);
    let full = shard.accounts();
    shard.detach_database(0);
    let flushed = shard.accounts();
    assert_eq!(
        (
            shard.len(0),
            flushed.account.keys(),
            flushed.account.bytes()
        ),
        (0, 0, 0)
    );
    assert_eq!(
        flushed.freeing_bytes,
        full.account.bytes() + full.tables_bytes
    );
    let mut steps = 0;
    while shard.free_step(1000) {
        steps += 1;
        shard.check();
    }
    assert!(steps > 10);
    purge(&mut shard, 1000);
    let bookkeeping_bytes = shard.accounts().bookkeeping_bytes;
    let nothing = StoreAccounts {
        bookkeeping_bytes,
        ..StoreAccounts::default()
    };
    assert_eq!(shard.accounts(), nothing);
}

#[test]
fn a_flushed_database_can_be_written_while_the_old_one_is_freed() {
    let mut shard = shard();
    fill(&mut shard, 20_000, 32);
    shard.detach_database(0);
    fill(&mut shard, 5_000, 10);
    while shard.free_step(100) {}
    shard.check();
    assert_eq!(scanned(&shard, 100).len(), 5_000);
}

#[test]
fn surplus_pages_are_given_back_without_a_purge() {
    let mut shard = shard();
    fill(&mut shard, 100_000, 100);
    shard.detach_database(0);
    while shard.free_step(10_000) {}
    assert!(shard.accounts().slab_committed_bytes > 10 << 20);
    while shard.release_step() {}
    assert!(shard.accounts().slab_committed_bytes <= 1 << 20);
    shard.check();
    fill(&mut shard, 100_000, 100);
    shard.check();
}

#[test]
fn swapped_databases_exchange_their_keys() {
    let mut shard = shard();
    fill(&mut shard, 1_000, 5);
    set(&mut shard, 1, "one", b"1", Expiry::Clear);
    shard.swap_databases(0, 1);
    assert_eq!((shard.len(0), shard.len(1)), (1, 1_000));
    assert!(remove(&mut shard, 0, "one"));
    shard.check();
}

#[test]
fn every_key_is_about_as_likely_to_be_the_random_one() {
    let mut shard = shard();
    fill(&mut shard, 100, 5);
    let mut rng = Rng::seeded(9);
    let mut times: HashMap<Vec<u8>, u32> = HashMap::new();
    for _ in 0..100_000 {
        *times
            .entry(shard.random_key(0, &mut rng, NOW).unwrap())
            .or_default() += 1;
    }
    assert_eq!(times.len(), 100);
    assert!(
        times.values().all(|count| (500..2000).contains(count)),
        "{times:?}"
    );
    assert_eq!(shard.random_key(1, &mut rng, NOW), None);
}

#[test]
fn usage_of_all_keys_adds_up_to_the_dataset_and_the_slots() {
    let mut shard = shard();
    for number in 0..5_000u64 {
        let expiry = if number % 3 == 0 {
            Expiry::At(NOW.plus(1000))
        } else {
            Expiry::Clear
        };
        set(
            &mut shard,
            0,
            &name(number),
            &vec![b'x'; number as usize * 3],
            expiry,
        );
    }
    let mut usage = 0;
    for bytes in scanned(&shard, usize::MAX).keys() {
        let key = Key {
            bytes,
            hash: shard.hash(bytes),
        };
        usage += shard.usage(0, key, NOW).unwrap();
    }
    let account = shard.accounts().account;
    let expected = account.bytes()
        + account.keys() * store::SLOT_BYTES
        + account.expiring_keys * store::EXPIRY_BYTES;
    assert_eq!(usage, expected);
}

fn purge(shard: &mut Shard, budget: usize) {
    shard.purge_begin();
    while shard.purge_step(budget) {}
}

fn shuffle(numbers: &mut [u64]) {
    let mut rng = Rng::seeded(77);
    for at in (1..numbers.len()).rev() {
        numbers.swap(at, rng.below(at as u64 + 1) as usize);
    }
}
