//! Eviction: each policy takes what its name says, respects what must stay, and leaves books that balance.

use store::{Evicted, Eviction, Expiry, Key, Kind, Millis, Options, Order, Rng, Shard, Value};

const BASE: Millis = Millis(1_700_000_000_000);
const MINUTE_MS: i64 = 60_000;

fn shard(order: Order, only_expiring: bool) -> Shard {
    let mut shard = Shard::new(Options {
        seeds: [1, 2, 3, 4],
        base: BASE,
        ..Options::default()
    })
    .unwrap();
    let eviction = Eviction {
        order,
        only_expiring,
        samples: 40,
        ..Eviction::default()
    };
    shard.set_eviction(eviction, BASE);
    shard
}

fn key<'k>(shard: &Shard, name: &'k str) -> Key<'k> {
    shard.key(name.as_bytes())
}

fn set(shard: &mut Shard, name: &str, bytes: usize, expiry: Expiry, now: Millis) {
    let value = vec![b'v'; bytes];
    let key = key(shard, name);
    shard.set(0, key, Value::from_bytes(&value), expiry, now);
}

fn evict(shard: &mut Shard, now: Millis) -> Option<Evicted> {
    shard.evict(now, &mut |_, _| true)
}

fn evict_keys(shard: &mut Shard, keys: usize, now: Millis) {
    for _ in 0..keys {
        assert_eq!(evict(shard, now).map(|evicted| evicted.keys), Some(1));
    }
}

fn lives(shard: &mut Shard, name: &str, now: Millis) -> bool {
    let key = key(shard, name);
    shard.peek(0, key, now).is_some()
}

/// How many of `names` live.
fn living(shard: &mut Shard, names: &[String], now: Millis) -> usize {
    let lives = |name: &&String| lives(shard, name, now);
    names.iter().filter(lives).count()
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}:{n}")).collect()
}

#[test]
fn lru_takes_what_was_not_used_for_longest() {
    let mut shard = shard(Order::Lru, false);
    let (old, used) = (names("old", 10_000), names("used", 10_000));
    for name in old.iter().chain(&used) {
        set(&mut shard, name, 50, Expiry::Clear, BASE);
    }
    let now = BASE.plus(60_000);
    for name in &used {
        let key = key(&shard, name);
        assert!(shard.touch(0, key, now));
    }
    evict_keys(&mut shard, 7_500, now);
    assert!(living(&mut shard, &used, now) >= 9_950);
    shard.check();
}

#[test]
fn lfu_keeps_what_was_used_often_though_long_ago() {
    let mut shard = shard(Order::Lfu, false);
    let (hot, cold) = (names("hot", 1_000), names("cold", 10_000));
    for name in &hot {
        set(&mut shard, name, 50, Expiry::Clear, BASE);
        for _ in 0..100 {
            let key = key(&shard, name);
            shard.touch(0, key, BASE);
        }
    }
    for name in &cold {
        set(&mut shard, name, 50, Expiry::Clear, BASE);
    }
    evict_keys(&mut shard, 9_500, BASE);
    assert!(living(&mut shard, &hot, BASE) >= 970);
    shard.check();
}

#[test]
fn a_counter_of_lfu_decays_by_one_in_each_decay_time() {
    let mut shard = shard(Order::Lfu, false);
    set(&mut shard, "k", 10, Expiry::Clear, BASE);
    for _ in 0..10_000 {
        let key = key(&shard, "k");
        shard.touch(0, key, BASE);
    }
    let frequency = |shard: &mut Shard, now: Millis| {
        // As the background does, which meets every minute.
        shard.expire_step(now, 100);
        let key = shard.key(b"k");
        shard.frequency(0, key, now).unwrap()
    };
    let before = frequency(&mut shard, BASE);
    assert!(before > 30, "{before}");
    for minute in 1..=300 {
        let now = BASE.plus(minute * MINUTE_MS + 1);
        let expected = i64::from(before) - minute;
        assert_eq!(i64::from(frequency(&mut shard, now)), expected.max(0));
    }
}

#[test]
fn random_takes_any_key() {
    let mut shard = shard(Order::Random, false);
    let all = names("key", 10_000);
    for (nth, name) in all.iter().enumerate() {
        set(&mut shard, name, 10 + nth % 500, Expiry::Clear, BASE);
    }
    evict_keys(&mut shard, 5_000, BASE);
    let first = living(&mut shard, &all[..5_000], BASE);
    assert!((2_300..2_700).contains(&first), "{first}");
}

#[test]
fn ttl_takes_the_soonest_to_expire() {
    let mut shard = shard(Order::Ttl, true);
    let (soon, late, never) = (
        names("soon", 2_000),
        names("late", 2_000),
        names("never", 2_000),
    );
    for ((soon, late), never) in soon.iter().zip(&late).zip(&never) {
        set(&mut shard, soon, 50, Expiry::At(BASE.plus(100_000)), BASE);
        set(&mut shard, late, 50, Expiry::At(BASE.plus(900_000)), BASE);
        set(&mut shard, never, 50, Expiry::Clear, BASE);
    }
    evict_keys(&mut shard, 1_500, BASE);
    assert!(living(&mut shard, &late, BASE) >= 1_980);
    assert_eq!(living(&mut shard, &never, BASE), 2_000);
    evict_keys(&mut shard, 2_500, BASE);
    assert_eq!(evict(&mut shard, BASE), None);
    assert_eq!(living(&mut shard, &never, BASE), 2_000);
    shard.check();
}

#[test]
fn ifs_takes_the_large_the_idle_and_the_seldom_hit_first() {
    let mut shard = shard(Order::Ifs, false);
    let (small, large) = (names("small", 5_000), names("large", 5_000));
    for (small, large) in small.iter().zip(&large) {
        set(&mut shard, small, 50, Expiry::Clear, BASE);
        set(&mut shard, large, 1_000, Expiry::Clear, BASE);
    }
    evict_keys(&mut shard, 4_000, BASE);
    assert!(living(&mut shard, &small, BASE) >= 4_750, "by size");

    let mut shard = self::shard(Order::Ifs, false);
    let (hit, unhit) = (names("hit", 5_000), names("unhit", 5_000));
    hit.iter()
        .for_each(|name| set(&mut shard, name, 50, Expiry::Clear, BASE));
    // Seconds apart, as hits of one tick count once.
    let times = [1, 2, 3].map(|n| BASE.plus(n * 5_000));
    for now in times {
        for (hit, unhit) in hit.iter().zip(&unhit) {
            let key = key(&shard, hit);
            assert!(shard.touch(0, key, now));
            if now == times[2] {
                set(&mut shard, unhit, 50, Expiry::Clear, now);
            }
        }
    }
    let now = times[2];
    // Ages differ by more than that; among keys of one age it is hits that decide.
    evict_keys(&mut shard, 4_000, now);
    let (hit, unhit) = (
        living(&mut shard, &hit, now),
        living(&mut shard, &unhit, now),
    );
    assert!(hit > 2 * unhit, "{hit} {unhit}");
}

#[test]
fn without_weight_for_size_ifs_does_not_look_at_it() {
    let mut shard = shard(Order::Ifs, false);
    let eviction = Eviction {
        size_weight_percent: 0,
        ..Eviction::default()
    };
    shard.set_eviction(eviction, BASE);
    let (small, large) = (names("small", 5_000), names("large", 5_000));
    for (small, large) in small.iter().zip(&large) {
        set(&mut shard, small, 50, Expiry::Clear, BASE);
        set(&mut shard, large, 1_000, Expiry::Clear, BASE);
    }
    evict_keys(&mut shard, 4_000, BASE);
    let small = living(&mut shard, &small, BASE);
    assert!((2_700..3_300).contains(&small), "{small}");
}

#[test]
fn with_equal_weights_ifs_spares_the_small_but_makes_no_difference_among_the_large() {
    let mut shard = shard(Order::Ifs, false);
    let eviction = Eviction {
        size_weight_percent: 50,
        ..Eviction::default()
    };
    shard.set_eviction(eviction, BASE);
    let sizes = [("small", 50), ("large", 20_000), ("larger", 60_000)];
    let [small, large, larger] = sizes.map(|(name, _)| names(name, 1_000));
    let many = names("many", 20_000);
    for n in 0..20_000 {
        set(&mut shard, &many[n], 100, Expiry::Clear, BASE);
        if n % 20 == 0 {
            for (names, (_, bytes)) in [&small, &large, &larger].into_iter().zip(sizes) {
                set(&mut shard, &names[n / 20], bytes, Expiry::Clear, BASE);
            }
        }
    }
    evict_keys(&mut shard, 1_000, BASE);
    let [small, large, larger] =
        [&small, &large, &larger].map(|names| living(&mut shard, names, BASE));
    assert!(small >= 990, "{small}");
    assert!(large < 800 && larger < 800, "{large} {larger}");
    assert!(large < larger * 3 / 2, "{large} {larger}");
}

#[test]
fn a_volatile_policy_finds_the_few_keys_that_expire_and_no_other() {
    for order in [
        Order::Ifs,
        Order::Lru,
        Order::Lfu,
        Order::Random,
        Order::Ttl,
    ] {
        let mut shard = shard(order, true);
        let stays = names("stays", 100_000);
        for name in &stays {
            set(&mut shard, name, 10, Expiry::Clear, BASE);
        }
        let later = Expiry::At(BASE.plus(1_000_000));
        for name in names("goes", 10) {
            set(&mut shard, &name, 10, later, BASE);
        }
        assert_eq!(shard.evictable_keys(), 10);
        evict_keys(&mut shard, 10, BASE);
        assert_eq!(evict(&mut shard, BASE), None, "{order:?}");
        assert_eq!((shard.len(0), shard.evicted_keys()), (100_000, 10));
        shard.check();
    }
}

#[test]
fn among_the_candidates_what_is_past_its_expiry_goes_first() {
    let mut shard = shard(Order::Ifs, false);
    // Few enough to lie in one segment.
    let (due, alive) = (names("due", 300), names("alive", 300));
    for (due, alive) in due.iter().zip(&alive) {
        set(&mut shard, due, 50, Expiry::At(BASE.plus(1_000)), BASE);
        set(&mut shard, alive, 50, Expiry::Clear, BASE);
    }
    let now = BASE.plus(60_000);
    let gone = Evicted {
        keys: 0,
        expired: 300,
    };
    assert_eq!(evict(&mut shard, now), Some(gone));
    assert_eq!(living(&mut shard, &alive, now), 300);
    assert_eq!((shard.expired_keys(), shard.evicted_keys()), (300, 0));
    evict_keys(&mut shard, 1, now);
}

#[test]
fn a_key_that_must_stay_stays_though_it_is_the_only_one() {
    for order in [Order::Ifs, Order::Lru, Order::Random] {
        let mut shard = shard(order, false);
        let kept = names("kept", 50);
        for name in kept.iter().chain(&names("free", 50)) {
            set(&mut shard, name, 50, Expiry::Clear, BASE);
        }
        let hashes: Vec<u64> = kept
            .iter()
            .map(|name| shard.hash(name.as_bytes()))
            .collect();
        let mut may_go = |_: usize, hash: u64| !hashes.contains(&hash);
        for _ in 0..50 {
            assert!(shard.evict(BASE, &mut may_go).is_some());
        }
        assert_eq!(shard.evict(BASE, &mut may_go), None);
        assert_eq!(living(&mut shard, &kept, BASE), 50);
    }
}

#[test]
fn every_database_gives_by_its_keys() {
    let mut shard = shard(Order::Random, false);
    for (db, keys) in [(0, 1_000), (7, 3_000)] {
        for name in names("key", keys) {
            let key = key(&shard, &name);
            shard.set(db, key, Value::Int(1), Expiry::Clear, BASE);
        }
    }
    let borrowed = shard.borrow_database();
    let copied = shard.key(b"copied");
    shard.set(borrowed, copied, Value::Int(1), Expiry::Clear, BASE);
    evict_keys(&mut shard, 2_000, BASE);
    assert!((350..650).contains(&shard.len(0)), "{}", shard.len(0));
    evict_keys(&mut shard, 2_000, BASE);
    assert_eq!(evict(&mut shard, BASE), None);
    assert_eq!(shard.len(borrowed), 1, "what a command works with stays");
}

#[test]
fn a_large_collection_goes_at_once_and_its_elements_in_steps() {
    let mut shard = shard(Order::Ifs, false);
    let big = shard.key(b"big");
    let mut hash = shard.open_or_new(0, big, Kind::Hash, BASE).unwrap().hash();
    for n in 0..20_000 {
        let field = format!("field:{n}");
        hash.set(field.as_bytes(), &[b'v'; 50], Expiry::Clear);
    }
    drop(hash);
    let used = shard.accounts().account.bytes();
    evict_keys(&mut shard, 1, BASE);
    assert_eq!(shard.len(0), 0);
    let doomed = shard.doomed_bytes();
    assert!(doomed > used * 9 / 10, "{doomed} of {used}");
    let mut steps = 0;
    while shard.free_step(512) {
        steps += 1;
    }
    assert!(steps > 10);
    assert_eq!(shard.doomed_bytes(), 0);
    shard.check();
}

#[test]
fn the_books_balance_whatever_is_written_read_evicted_and_expired() {
    for (order, only_expiring) in [
        (Order::Ifs, false),
        (Order::Lru, true),
        (Order::Lfu, false),
        (Order::Ttl, true),
    ] {
        let mut shard = shard(order, only_expiring);
        let mut rng = Rng::seeded(7);
        let mut now = BASE;
        for step in 0..60_000 {
            now = now.plus(rng.below(3) as i64);
            let name = format!("key:{}", rng.below(4_000));
            let expiry = match rng.below(3) {
                0 => Expiry::Clear,
                1 => Expiry::At(now.plus(1 + rng.below(5_000) as i64)),
                _ => Expiry::Keep,
            };
            match rng.below(10) {
                0..5 => set(&mut shard, &name, rng.below(300) as usize, expiry, now),
                5..8 => {
                    let key = key(&shard, &name);
                    shard.touch(0, key, now);
                }
                _ => {
                    let before = shard.len(0);
                    if let Some(evicted) = evict(&mut shard, now) {
                        let went = before - shard.len(0);
                        assert_eq!(went, evicted.keys + evicted.expired);
                        assert!(went > 0);
                    }
                }
            }
            if step % 5_000 == 0 {
                shard.check();
            }
        }
        shard.check();
    }
}

/// What keys of so many bytes, so long not used, are worth where they go.
fn price(order: Order, keys: usize, bytes: usize, idle_ms: i64) -> i32 {
    let mut shard = shard(order, false);
    let names = names("key", keys);
    for name in &names {
        set(&mut shard, name, bytes, Expiry::Clear, BASE);
    }
    assert_eq!(shard.price(), None);
    for _ in 0..200 {
        shard.appraise(BASE.plus(idle_ms));
    }
    assert_eq!(shard.evicted_keys(), 0, "looking takes nothing");
    shard.price().unwrap()
}

#[test]
fn prices_compare_between_shards_of_different_sizes_and_clocks() {
    let octave = store::price::OCTAVE_STEPS;
    for order in [Order::Ifs, Order::Lru] {
        let few = price(order, 500, 100, 60_000);
        let many = price(order, 20_000, 100, 60_000);
        assert!((few - many).abs() < octave / 8, "{few} {many}");
        let old = price(order, 2_000, 100, 4 * 60_000);
        assert!((few - old - 2 * octave).abs() < octave / 8, "{few} {old}");
    }
    // The larger a key, the less it is worth for each byte, among keys of any mean.
    let (small, large) = (
        price(Order::Ifs, 500, 100, 1000),
        price(Order::Ifs, 500, 12_800, 1000),
    );
    assert!(
        (small - large - 7 * octave).abs() <= octave,
        "{small} {large}"
    );
}

#[test]
fn what_goes_sets_the_price() {
    let mut shard = shard(Order::Ifs, false);
    for name in names("key", 2_000) {
        set(&mut shard, &name, 100, Expiry::Clear, BASE);
    }
    evict_keys(&mut shard, 100, BASE.plus(1_000));
    let before = shard.price().unwrap();
    evict_keys(&mut shard, 200, BASE.plus(64_000));
    let fallen = before - shard.price().unwrap();
    assert!(fallen > 5 * store::price::OCTAVE_STEPS, "{fallen}");
}
