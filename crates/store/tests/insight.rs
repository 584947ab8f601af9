//! Prefixes, types and biggest keys of a shard under random writes: `check` recounts them from every key.

use std::collections::HashMap;

use memory::history::Span;

use store::{
    Expiry, Key, Kind, Millis, Options, PrefixReport, PrefixRow, PrefixRules, Rng, Shard,
    TOP_KEYS_MAX, Value,
};

const NOW: Millis = Millis(1_000_000);

fn shard() -> Shard {
    Shard::new(Options {
        seeds: [1, 2, 3, 4],
        base: NOW,
        databases: 3,
        ..Options::default()
    })
    .unwrap()
}

fn set(shard: &mut Shard, key: &str, bytes: usize) {
    let key = shard.key(key.as_bytes());
    let value = vec![b'v'; bytes];
    let value = Value::Bytes {
        bytes: &value,
        raw: false,
    };
    shard.set(0, key, value, Expiry::Clear, NOW);
}

fn remove(shard: &mut Shard, key: &str) -> bool {
    let key = shard.key(key.as_bytes());
    shard.remove(0, key, NOW)
}

/// Every row of all databases; keys without a prefix under "", others under "(other)".
fn rows(shard: &Shard, now: Millis) -> Vec<(String, PrefixRow)> {
    let own = |report: PrefixReport| {
        let prefixes = report.prefixes.into_iter();
        let named = prefixes.map(|(name, row)| (String::from_utf8(name.to_vec()).unwrap(), row));
        let rest = [("", report.none), ("(other)", report.other)];
        let rest = rest.map(|(name, row)| (name.to_owned(), row));
        named.chain(rest).collect::<Vec<_>>()
    };
    shard
        .prefix_reports(now, None)
        .into_iter()
        .flat_map(own)
        .collect()
}

/// Keys by prefix.
fn keys(shard: &Shard) -> HashMap<String, u64> {
    let mut found = HashMap::new();
    for (name, row) in rows(shard, NOW) {
        *found.entry(name).or_default() += row.keys;
    }
    found.retain(|_, keys| *keys > 0);
    found
}

fn expected(rows: &[(&str, u64)]) -> HashMap<String, u64> {
    rows.iter()
        .map(|(name, keys)| ((*name).to_owned(), *keys))
        .collect()
}

fn assert_adds_up(shard: &Shard) {
    shard.check();
    let account = shard.accounts().account;
    let rows = rows(shard, NOW);
    if rows.is_empty() {
        return;
    }
    let (mut bytes, mut keys, mut lasting_keys) = (0, 0, 0);
    for (_, row) in rows {
        bytes += row.bytes;
        keys += row.keys;
        lasting_keys += row.lasting_keys;
    }
    assert_eq!((bytes, keys), (account.bytes(), account.keys()));
    assert_eq!(lasting_keys, account.keys() - account.expiring_keys);
}

fn survey(shard: &mut Shard) {
    for _ in 0..100_000 {
        if !shard.survey_step(64) {
            return;
        }
    }
    panic!("a walk does not end");
}

#[test]
fn a_key_counts_at_its_longest_prefix_of_up_to_two_segments() {
    let mut shard = shard();
    for key in [
        "plain",
        "user:1",
        "user:2",
        "user:name:1",
        "user:name:x:y",
        "a:b:c:d",
    ] {
        set(&mut shard, key, 10);
    }
    let rows = [("", 1), ("user:", 2), ("user:name:", 2), ("a:b:", 1)];
    assert_eq!(keys(&shard), expected(&rows));
    assert_adds_up(&shard);
}

#[test]
fn identifiers_are_not_told_apart() {
    let mut shard = shard();
    for number in 0..500u64 {
        set(&mut shard, &format!("user:{number}:name"), 10);
        set(
            &mut shard,
            &format!(
                "session:{:016x}:data",
                number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ),
            10,
        );
        set(&mut shard, &format!("{number}:name"), 10);
        set(
            &mut shard,
            &format!("doc:123e4567-e89b-12d3-a456-{number:012}:body"),
            10,
        );
    }
    let rows = [
        ("user:*:", 500),
        ("session:*:", 500),
        ("*:", 500),
        ("doc:*:", 500),
    ];
    assert_eq!(keys(&shard), expected(&rows));
    assert_adds_up(&shard);
}

#[test]
fn more_than_64_names_below_a_prefix_are_joined_and_told_apart_again_once_they_are_gone() {
    let mut shard = shard();
    let name = |number: usize| format!("queue:n{number}:x");
    (0..64).for_each(|number| set(&mut shard, &name(number), 10));
    assert_eq!(keys(&shard).len(), 64);
    (64..100).for_each(|number| set(&mut shard, &name(number), 10));
    assert_eq!(keys(&shard), expected(&[("queue:*:", 100)]));
    assert_adds_up(&shard);
    (0..100).for_each(|number| assert!(remove(&mut shard, &name(number))));
    shard.tend_books(NOW.plus(60_000));
    set(&mut shard, &name(7), 10);
    assert_eq!(keys(&shard), expected(&[("queue:n7:", 1)]));
    assert_adds_up(&shard);
}

#[test]
fn a_heavy_prefix_beyond_the_room_gets_an_account_by_a_walk() {
    let mut shard = shard();
    for number in 0..5000 {
        set(&mut shard, &format!("p{number}x:1"), 10);
    }
    assert_eq!(keys(&shard)["(other)"], 5000 - 4096);
    for number in 0..300 {
        set(&mut shard, &format!("heavy:{number}"), 200);
    }
    assert!(!keys(&shard).contains_key("heavy:"));
    assert!(shard.tend_books(NOW.plus(60_000)));
    // Writes during the walk are counted once.
    let mut number = 0;
    while shard.survey_step(64) {
        number += 1;
        set(&mut shard, &format!("heavy:{}", number % 400), 300);
        remove(&mut shard, &format!("heavy:{}", (number * 7) % 400));
        remove(&mut shard, &format!("p{number}x:1"));
        if number % 16 == 0 {
            assert_adds_up(&shard);
        }
    }
    assert_adds_up(&shard);
    assert!(keys(&shard)["heavy:"] > 100, "{number} steps");
    assert!(keys(&shard)["(other)"] < 1000);
}

#[test]
fn turning_prefixes_off_and_on_counts_every_key_anew() {
    let mut shard = shard();
    for number in 0..3000 {
        set(&mut shard, &format!("a:{number}"), 10);
        set(&mut shard, &format!("b/{number}"), 10);
    }
    let off = PrefixRules::new(false, b":", 2).unwrap();
    shard.set_prefix_rules(off);
    assert_eq!(shard.prefix_reports(NOW, None), []);
    set(&mut shard, "a:7", 5000);
    assert_adds_up(&shard);
    shard.set_prefix_rules(PrefixRules::new(true, b":/", 1).unwrap());
    assert_eq!(keys(&shard), expected(&[("(other)", 6000)]));
    assert!(shard.survey_step(64));
    remove(&mut shard, "a:7");
    assert_adds_up(&shard);
    survey(&mut shard);
    assert_eq!(keys(&shard), expected(&[("a:", 2999), ("b/", 3000)]));
    assert_adds_up(&shard);
}

#[test]
fn an_emptied_database_has_no_prefixes_and_an_exchanged_one_keeps_its_own() {
    let mut shard = shard();
    set(&mut shard, "a:1", 10);
    let key = shard.key(b"b:1");
    shard.set(1, key, Value::Int(1), Expiry::Clear, NOW);
    shard.swap_databases(0, 1);
    shard.detach_database(1);
    assert_eq!(keys(&shard), expected(&[("b:", 1)]));
    assert_adds_up(&shard);
    shard.detach_database(0);
    assert_eq!(keys(&shard), expected(&[]));
    assert!(shard.top_keys(None, 10, NOW).keys.is_empty());
    while shard.free_step(100) {}
    assert_adds_up(&shard);
}

#[test]
fn growth_is_over_the_latest_minutes() {
    let mut shard = shard();
    let later = |minutes: i64| NOW.plus(60_000 * minutes);
    set(&mut shard, "a:1", 8000);
    shard.tend_books(later(1));
    shard.tend_books(later(2));
    let growth = |shard: &Shard| {
        rows(shard, later(2))[0]
            .1
            .trend
            .over(Span::Minute)
            .minute_bytes
    };
    assert_eq!(growth(&shard), 0);
    let before = shard.accounts().account.bytes();
    set(&mut shard, "a:2", 6000);
    let grown = (shard.accounts().account.bytes() - before) as i64;
    assert_eq!(growth(&shard), grown);
}

#[test]
fn a_prefix_that_takes_the_place_of_a_joined_one_has_no_past_of_its() {
    let mut shard = shard();
    let later = |minutes: i64| NOW.plus(60_000 * minutes);
    (0..64).for_each(|number| set(&mut shard, &format!("queue:n{number}:x"), 5000));
    (1..5).for_each(|minute| _ = shard.tend_books(later(minute)));
    set(&mut shard, "queue:n64:x", 5000);
    (5..9).for_each(|minute| _ = shard.tend_books(later(minute)));
    (0..50).for_each(|number| set(&mut shard, &format!("a{number}:x"), 5000));
    let growth = |shard: &Shard, prefix: &str| {
        let rows = rows(shard, later(9));
        let row = rows.into_iter().find(|(name, _)| name == prefix);
        let row = row.expect("it has a row").1;
        (row.bytes as i64, row.trend.over(Span::Hour).bytes)
    };
    for number in 0..50 {
        let (bytes, grown) = growth(&shard, &format!("a{number}:"));
        assert_eq!(grown, bytes, "a{number}:");
    }
    let (bytes, grown) = growth(&shard, "queue:*:");
    assert_eq!(
        (grown, bytes > 60 * 5000),
        (bytes, true),
        "all since minute 0"
    );
    assert_adds_up(&shard);
}

#[test]
fn a_prefix_that_was_empty_for_a_while_remembers_what_it_held() {
    let mut shard = shard();
    let later = |minutes: i64| NOW.plus(60_000 * minutes);
    set(&mut shard, "other:1", 10);
    set(&mut shard, "job:1", 5000);
    (1..20).for_each(|minute| _ = shard.tend_books(later(minute)));
    assert!(remove(&mut shard, "job:1"));
    (20..31).for_each(|minute| _ = shard.tend_books(later(minute)));
    set(&mut shard, "job:1", 5000);
    let rows = rows(&shard, later(30));
    let (_, row) = rows.iter().find(|(name, _)| name == "job:").unwrap();
    let grown = [Span::Minute, Span::TenMinutes].map(|span| row.trend.over(span).bytes);
    assert_eq!(grown, [row.bytes as i64; 2]);
    (31..76).for_each(|minute| _ = shard.tend_books(later(minute)));
    let rows = self::rows(&shard, later(76));
    let (_, row) = rows.iter().find(|(name, _)| name == "job:").unwrap();
    assert_eq!(
        row.trend.over(Span::Hour).bytes,
        0,
        "an hour ago it was the same"
    );
}

#[test]
fn marking_thousands_of_prefixes_goes_in_steps() {
    let mut shard = shard();
    for number in 0..4000 {
        set(&mut shard, &format!("p{number}x:1"), 10);
    }
    for minute in 1..4 {
        let mut steps = 1;
        assert!(shard.tend_books(NOW.plus(60_000 * minute)));
        while shard.survey_step(64) {
            steps += 1;
        }
        assert!(steps > 30, "{steps}");
    }
    let rows = rows(&shard, NOW.plus(3 * 60_000));
    let grown = |(_, row): &(String, PrefixRow)| row.trend.over(Span::Minute).bytes;
    assert_eq!(rows.iter().map(grown).sum::<i64>(), 0);
    assert_adds_up(&shard);
}

#[test]
fn the_biggest_keys_are_named_in_order() {
    let mut shard = shard();
    for number in 0..998 {
        set(&mut shard, &format!("key:{number}"), number);
    }
    set(&mut shard, "key:998", 1_000_000);
    set(&mut shard, "key:999", 2_000_000);
    let key = shard.key(b"hash");
    let hash = shard.open_or_new(0, key, Kind::Hash, NOW).unwrap();
    hash.hash().set(b"field", &[b'x'; 3_000_000], Expiry::Clear);
    let names = |kind| {
        let top = shard.top_keys(kind, 3, NOW);
        let names = top
            .keys
            .iter()
            .map(|one| String::from_utf8(one.key.to_vec()).unwrap());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(None), ["hash", "key:999", "key:998"]);
    assert_eq!(names(Some(Kind::Hash)), ["hash"]);
    assert_eq!(names(Some(Kind::String))[0], "key:999");
    assert_eq!(shard.top_keys(None, 1000, NOW).keys.len(), TOP_KEYS_MAX);
}

#[test]
fn the_list_of_the_biggest_is_refilled_when_they_are_deleted() {
    let mut shard = shard();
    for number in 0..2000 {
        set(&mut shard, &format!("key:{number}"), number);
    }
    for number in 1800..2000 {
        remove(&mut shard, &format!("key:{number}"));
    }
    assert!(shard.top_keys(None, 128, NOW).keys.len() < 64);
    assert!(shard.tend_books(NOW));
    let mut number = 0;
    while shard.survey_step(64) {
        number += 1;
        set(&mut shard, &format!("late:{number}"), 1700 + number);
        assert_adds_up(&shard);
    }
    let top = shard.top_keys(None, 128, NOW);
    assert_eq!(top.keys.len(), 128);
    assert_adds_up(&shard);
}

/// A key of one of many shapes.
fn random_key(rng: &mut Rng) -> String {
    let number = rng.below(3000);
    match rng.below(10) {
        0 => format!("plain{number}"),
        1 => format!("user:{number}"),
        2 => format!("user:{number}:name"),
        3 => format!("app:n{}:{number}", rng.below(90)),
        4 => format!("p{number}x:{}", rng.below(3)),
        5 => format!("q{number}x:name:{}", rng.below(3)),
        6 => format!("{:064}:long:{number}", number % 7),
        7 => format!("{}:{}:x", "s".repeat(62), number % 5),
        8 => format!("{number:08x}:n{}:z", number % 3),
        _ => format!(":{}::{number}", number % 2),
    }
}

#[test]
fn under_random_writes_all_books_agree_with_a_recount() {
    for (seed, walks) in [(1, false), (2, true), (3, true)] {
        let mut shard = shard();
        let mut rng = Rng::seeded(seed);
        let mut now = NOW;
        for step in 0..60_000u64 {
            let bytes = random_key(&mut rng).into_bytes();
            let key = shard.key(&bytes);
            let db = rng.below(2) as usize;
            // Half of the time it grows, then it shrinks.
            let removals = if step / 10_000 % 2 == 0 { 1 } else { 8 };
            match rng.below(12 + removals) {
                0..8 => {
                    let value = vec![b'v'; rng.below(400) as usize];
                    let expiry = match rng.below(6) {
                        0 => Expiry::At(now.plus(rng.below(5000) as i64)),
                        1 => Expiry::Keep,
                        _ => Expiry::Clear,
                    };
                    shard.set(db, key, Value::from_bytes(&value), expiry, now);
                }
                8 => {
                    shard.append(db, key, &[b'a'; 700], now);
                }
                9 => {
                    let other = random_key(&mut rng).into_bytes();
                    let other = Key {
                        bytes: &other,
                        hash: shard.hash(&other),
                    };
                    shard.rename((db, key), (1 - db, other), now);
                }
                10 => {
                    let expiry = (rng.below(2) == 0).then(|| now.plus(3000));
                    shard.set_expiry(db, key, expiry, now);
                }
                11 => {
                    now = now.plus(rng.below(100) as i64);
                    shard.expire_step(now, 300);
                    shard.free_step(100);
                    shard.purge_step(100);
                    if walks {
                        shard.tend_books(now);
                        shard.survey_step(200);
                    }
                }
                _ => {
                    shard.remove(db, key, now);
                }
            }
            match rng.below(20_000) {
                0 => shard.swap_databases(0, 1),
                1 => shard.detach_database(db),
                2 => shard.purge_begin(),
                3..6 if walks => {
                    let delimiters = [&b":"[..], b":/"][rng.below(2) as usize];
                    let rules =
                        PrefixRules::new(rng.below(3) > 0, delimiters, 1 + rng.below(2) as usize);
                    shard.set_prefix_rules(rules.unwrap());
                }
                _ => {}
            }
            if step % 1000 == 0 {
                assert_adds_up(&shard);
            }
        }
        survey(&mut shard);
        assert_adds_up(&shard);
    }
}
