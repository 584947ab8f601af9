//! Expiry: its forms, its laziness, and the sweep that removes what nobody asks for.

use store::{Expiry, Key, Millis, Options, Rng, Shard, Value};

const BASE: Millis = Millis(1_700_000_000_000);
const YEAR_MS: i64 = 365 * 24 * 3600 * 1000;

fn shard() -> Shard {
    Shard::new(Options {
        seeds: [1, 2, 3, 4],
        base: BASE,
        databases: 2,
        ..Options::default()
    })
    .unwrap()
}

fn set(shard: &mut Shard, name: &str, expiry: Expiry) {
    let key = Key {
        bytes: name.as_bytes(),
        hash: shard.hash(name.as_bytes()),
    };
    let value = Value::Bytes {
        bytes: b"value of a key",
        raw: false,
    };
    shard.set(0, key, value, expiry, BASE);
}

fn expiry_of(shard: &mut Shard, name: &str, now: Millis) -> Option<Option<Millis>> {
    let key = Key {
        bytes: name.as_bytes(),
        hash: shard.hash(name.as_bytes()),
    };
    shard.peek(0, key, now).map(|entry| entry.expiry())
}

fn sweep(shard: &mut Shard, now: Millis) -> usize {
    let mut removed = 0;
    loop {
        let step = shard.expire_step(now, 1000);
        removed += step.removed;
        if !step.more {
            return removed;
        }
    }
}

#[test]
fn an_expired_key_is_not_returned_and_counts_as_expired() {
    let mut shard = shard();
    set(&mut shard, "k", Expiry::At(BASE.plus(100)));
    assert!(expiry_of(&mut shard, "k", BASE.plus(100)).is_some());
    assert_eq!(shard.len(0), 1);
    assert!(expiry_of(&mut shard, "k", BASE.plus(101)).is_none());
    assert_eq!(
        (shard.len(0), shard.expiring(0), shard.expired_keys()),
        (0, 0, 1)
    );
}

#[test]
fn removing_an_expired_key_finds_nothing() {
    let mut shard = shard();
    set(&mut shard, "k", Expiry::At(BASE.plus(100)));
    let key = shard.hash(b"k");
    assert!(!shard.remove(
        0,
        Key {
            bytes: b"k",
            hash: key
        },
        BASE.plus(200)
    ));
}

#[test]
fn every_moment_can_be_an_expiry() {
    let mut shard = shard();
    let moments = [
        i64::MIN,
        -1,
        0,
        BASE.0 - 1,
        BASE.0,
        BASE.0 + 1,
        BASE.0 + 2 * YEAR_MS,
        BASE.0 + (1 << 36) - 1,
        BASE.0 + (1 << 36),
        BASE.0 + 50 * YEAR_MS,
        i64::MAX,
    ];
    // Looked at from the beginning of time nothing is expired yet.
    let now = Millis(i64::MIN);
    for one in moments {
        for other in moments {
            set(&mut shard, "k", Expiry::At(Millis(one)));
            assert_eq!(expiry_of(&mut shard, "k", now), Some(Some(Millis(one))));
            let key = shard.hash(b"k");
            let key = Key {
                bytes: b"k",
                hash: key,
            };
            assert!(shard.set_expiry(0, key, Some(Millis(other)), now));
            assert_eq!(expiry_of(&mut shard, "k", now), Some(Some(Millis(other))));
            assert!(shard.set_expiry(0, key, None, now));
            assert_eq!(expiry_of(&mut shard, "k", now), Some(None));
            assert!(matches!(
                shard.peek(0, key, now).unwrap().value(),
                Value::Bytes {
                    bytes: b"value of a key",
                    raw: false
                }
            ));
        }
    }
    shard.check();
}

#[test]
fn an_expiry_costs_four_bytes_at_most_within_two_years() {
    let mut shard = shard();
    set(&mut shard, "k", Expiry::At(BASE.plus(2 * YEAR_MS)));
    let key = shard.hash(b"k");
    let bill = shard
        .explain(
            0,
            Key {
                bytes: b"k",
                hash: key,
            },
            BASE,
        )
        .unwrap();
    assert_eq!(bill.expiry_bytes, 4);
}

#[test]
fn an_entry_that_fills_its_block_can_be_given_an_expiry() {
    let mut shard = shard();
    let (name, value) = (b"key", [b'x'; 8192 - 4 - 3]);
    let key = Key {
        bytes: name,
        hash: shard.hash(name),
    };
    shard.set(
        0,
        key,
        Value::Bytes {
            bytes: &value,
            raw: false,
        },
        Expiry::Clear,
        BASE,
    );
    assert_eq!(shard.usage(0, key, BASE), Some(8192 + 8));
    assert!(shard.set_expiry(0, key, Some(BASE.plus(5)), BASE));
    assert_eq!(shard.peek(0, key, BASE).unwrap().value_len(), value.len());
    shard.check();
}

#[test]
fn the_sweep_removes_every_key_that_is_long_past_its_time_and_no_other() {
    let mut shard = shard();
    let mut rng = Rng::seeded(4);
    let mut lasting = 0;
    for number in 0..50_000 {
        let span_ms = rng.below(20_000) as i64;
        let expiry = match number % 5 {
            0 => Expiry::Clear,
            _ => Expiry::At(BASE.plus(span_ms)),
        };
        lasting += usize::from(number % 5 == 0 || span_ms >= 10_000);
        set(&mut shard, &format!("key:{number}"), expiry);
    }
    sweep(&mut shard, BASE.plus(10_000));
    // A sixteenth of what expires may be left for the next sweep.
    assert!(shard.len(0) >= lasting && shard.len(0) - lasting < 40_000 / 16);
    shard.check();
    sweep(&mut shard, BASE.plus(30_000));
    assert_eq!((shard.len(0), shard.expiring(0)), (10_000, 0));
    shard.check();
    assert_eq!(shard.expired_keys(), 40_000);
}

#[test]
fn a_lone_key_is_swept_as_soon_as_it_is_past_its_time() {
    let mut shard = shard();
    set(&mut shard, "k", Expiry::At(BASE.plus(100)));
    assert_eq!(sweep(&mut shard, BASE.plus(100)), 0);
    assert_eq!(sweep(&mut shard, BASE.plus(101)), 1);
    assert_eq!(shard.accounts().slab_used_bytes, 0);
}

#[test]
fn keys_that_expire_at_once_go_in_steps_of_bounded_work() {
    let mut shard = shard();
    for number in 0..30_000 {
        set(
            &mut shard,
            &format!("key:{number}"),
            Expiry::At(BASE.plus(100)),
        );
    }
    let mut steps = 0;
    loop {
        let step = shard.expire_step(BASE.plus(1000), 1000);
        assert!(step.removed < 1000 + 1024);
        steps += 1;
        if !step.more {
            break;
        }
    }
    assert!(steps > 10);
    assert_eq!(shard.len(0), 0);
}

#[test]
fn segments_without_due_keys_are_passed_without_reading_them() {
    let mut shard = shard();
    for number in 0..100_000 {
        set(
            &mut shard,
            &format!("key:{number}"),
            Expiry::At(BASE.plus(1_000_000)),
        );
    }
    // A whole pass fits a budget of a few hundred keys, though there are 100,000.
    assert!(!shard.expire_step(BASE.plus(1000), 500).more);
}

#[test]
fn overwriting_keeps_clears_or_replaces_the_expiry() {
    let mut shard = shard();
    let at = BASE.plus(1000);
    set(&mut shard, "k", Expiry::At(at));
    set(&mut shard, "k", Expiry::Keep);
    assert_eq!(expiry_of(&mut shard, "k", BASE), Some(Some(at)));
    set(&mut shard, "k", Expiry::Clear);
    assert_eq!(expiry_of(&mut shard, "k", BASE), Some(None));
    assert_eq!(shard.expiring(0), 0);
    set(&mut shard, "fresh", Expiry::Keep);
    assert_eq!(expiry_of(&mut shard, "fresh", BASE), Some(None));
}

#[test]
fn an_expired_key_does_not_hand_its_expiry_on() {
    let mut shard = shard();
    set(&mut shard, "k", Expiry::At(BASE.plus(10)));
    let key = shard.hash(b"k");
    let later = BASE.plus(1000);
    let there = shard.set(
        0,
        Key {
            bytes: b"k",
            hash: key,
        },
        Value::Int(1),
        Expiry::Keep,
        later,
    );
    assert!(!there);
    assert_eq!(expiry_of(&mut shard, "k", later), Some(None));
}

#[test]
fn expired_keys_are_neither_scanned_nor_random() {
    let mut shard = shard();
    for number in 0..1000 {
        set(
            &mut shard,
            &format!("gone:{number}"),
            Expiry::At(BASE.plus(10)),
        );
    }
    set(&mut shard, "here", Expiry::Clear);
    let later = BASE.plus(1000);
    let mut shown = Vec::new();
    let end = shard.scan(0, 0, usize::MAX, later, &mut |key, _| {
        shown.push(key.to_vec())
    });
    assert_eq!((end, shown), (0, vec![b"here".to_vec()]));
    let mut rng = Rng::seeded(1);
    while let Some(key) = shard.random_key(0, &mut rng, later) {
        assert_eq!(key, b"here");
        if shard.len(0) == 1 {
            break;
        }
    }
}

#[test]
fn idle_time_and_hits_follow_reads() {
    let mut shard = shard();
    set(&mut shard, "k", Expiry::Clear);
    let key = shard.hash(b"k");
    let key = Key {
        bytes: b"k",
        hash: key,
    };
    assert_eq!(shard.idle_ms(0, key, BASE.plus(3000)), Some(3000));
    assert_eq!(shard.hits(0, key, BASE), Some(0));
    assert!(shard.touch(0, key, BASE.plus(3000)));
    assert_eq!(shard.hits(0, key, BASE), Some(1));
    assert!(shard.idle_ms(0, key, BASE.plus(3000)).unwrap() < 1000);
    assert!(shard.idle_ms(0, key, BASE.plus(8000)).unwrap() >= 5000);
    shard.peek(0, key, BASE.plus(8000));
    assert_eq!(shard.hits(0, key, BASE), Some(1));
}

#[test]
fn what_a_command_has_for_itself_is_not_swept_away_under_it() {
    let mut shard = shard();
    let borrowed = shard.borrow_database();
    let key = shard.key(b"copy");
    for db in [0, borrowed] {
        shard.set(db, key, Value::Int(1), Expiry::At(BASE.plus(10)), BASE);
    }
    while shard.expire_step(BASE.plus(100_000), 1000).more {}
    assert_eq!((shard.len(0), shard.len(borrowed)), (0, 1));
    shard.return_database(borrowed);
    assert_eq!(shard.len(borrowed), 0);
    shard.check();
}
