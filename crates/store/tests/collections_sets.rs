//! Sets against plain ones: random changes through all forms, samples that favour no member, and books that balance.

use std::collections::{BTreeMap, BTreeSet};

use store::{Encoding, IntBuffer, Item, Kind, Millis, Options, Rng, Shard, Thresholds};

const BASE: Millis = Millis(1_700_000_000_000);

fn shard() -> Shard {
    Shard::new(Options {
        seeds: [1, 2, 3, 4],
        base: BASE,
        ..Options::default()
    })
    .unwrap()
}

fn text(item: Item) -> Vec<u8> {
    item.text(&mut IntBuffer::new()).to_vec()
}

fn members_of(shard: &mut Shard, key: &[u8]) -> BTreeSet<Vec<u8>> {
    let key = shard.key(key);
    let mut members = BTreeSet::new();
    if let Some(view) = shard.view(0, key, true, BASE) {
        let set = view.set().unwrap();
        set.each(|member| assert!(members.insert(text(member)), "a member is shown once"));
        assert_eq!(set.len(), members.len());
    }
    members
}

fn encoding_of(shard: &mut Shard, key: &[u8]) -> Encoding {
    let key = shard.key(key);
    shard.peek(0, key, BASE).unwrap().encoding()
}

fn add(shard: &mut Shard, key: &[u8], members: impl IntoIterator<Item = String>) {
    let key = shard.key(key);
    let mut set = shard.open_or_new(0, key, Kind::Set, BASE).unwrap().set();
    for member in members {
        set.add(member.as_bytes());
    }
}

fn a_member(rng: &mut Rng, members: u64, are_ints: bool) -> Vec<u8> {
    let number = rng.below(members);
    match rng.below(50) {
        _ if are_ints => (number as i64 - 5).to_string().into_bytes(),
        0 => vec![b'm'; rng.below(400) as usize],
        1 => i64::MIN
            .wrapping_add(number as i64)
            .to_string()
            .into_bytes(),
        2..10 => number.to_string().into_bytes(),
        _ => format!("member:{number}").into_bytes(),
    }
}

#[test]
fn a_set_equals_a_plain_one_through_all_its_forms() {
    for (seed, members, are_ints) in [
        (1, 8, false),
        (2, 100, false),
        (3, 3000, false),
        (4, 300, true),
        (5, 3000, true),
    ] {
        let (mut shard, mut rng) = (shard(), Rng::seeded(seed));
        let mut model = BTreeSet::new();
        let mut met = BTreeSet::new();
        for step in 0..20_000u32 {
            let member = a_member(&mut rng, members, are_ints);
            let key = shard.key(b"set");
            let mut set = shard.open_or_new(0, key, Kind::Set, BASE).unwrap().set();
            match rng.below(400) {
                0 => {
                    let count = match rng.below(3) {
                        0 => rng.below(4) as usize,
                        1 => rng.below(members) as usize,
                        _ => (model.len() * 9 / 10).saturating_sub(rng.below(3) as usize),
                    };
                    let mut popped = 0;
                    set.pop(count, &mut rng, &mut |member| {
                        popped += 1;
                        assert!(model.remove(&text(member)));
                    });
                    assert!(popped == count || model.is_empty());
                }
                1..260 => assert_eq!(set.add(&member), model.insert(member)),
                _ => {
                    assert_eq!(set.view().contains(&member), model.contains(&member));
                    assert_eq!(set.remove(&member), model.remove(&member));
                }
            }
            drop(set);
            if !model.is_empty() && step % 10 == 0 {
                met.insert(encoding_of(&mut shard, b"set").name());
            }
            if step % 1000 == 0 {
                assert_eq!(members_of(&mut shard, b"set"), model);
                shard.check();
            }
        }
        let all = if are_ints { 2 } else { 3 };
        assert!(members < 3000 || met.len() == all, "{met:?}");
    }
}

#[test]
fn a_set_takes_the_forms_that_redis_gives_it() {
    let mut shard = shard();
    let ints = |range: std::ops::Range<i32>| range.map(|number| number.to_string());
    add(&mut shard, b"a", ints(0..512));
    assert_eq!(encoding_of(&mut shard, b"a"), Encoding::Intset);
    add(&mut shard, b"a", ints(512..513));
    assert_eq!(encoding_of(&mut shard, b"a"), Encoding::Hashtable);
    add(&mut shard, b"b", ints(0..127).chain(["x".to_owned()]));
    assert_eq!(encoding_of(&mut shard, b"b"), Encoding::Listpack);
    add(&mut shard, b"b", ["y".to_owned()]);
    assert_eq!(encoding_of(&mut shard, b"b"), Encoding::Hashtable);
    add(&mut shard, b"c", ints(0..128).chain(["x".to_owned()]));
    assert_eq!(encoding_of(&mut shard, b"c"), Encoding::Hashtable);
    add(&mut shard, b"d", ["x".repeat(64)]);
    assert_eq!(encoding_of(&mut shard, b"d"), Encoding::Listpack);
    add(&mut shard, b"d", ["x".repeat(65)]);
    assert_eq!(encoding_of(&mut shard, b"d"), Encoding::Hashtable);
    shard.set_thresholds(Thresholds {
        set_max_listpack_value: 3,
        ..Thresholds::default()
    });
    // The texts of integers count as well.
    add(&mut shard, b"e", ["-12".to_owned(), "x".to_owned()]);
    assert_eq!(encoding_of(&mut shard, b"e"), Encoding::Listpack);
    add(&mut shard, b"f", ["-123".to_owned(), "x".to_owned()]);
    assert_eq!(encoding_of(&mut shard, b"f"), Encoding::Hashtable);
    shard.check();
}

/// A set of more than 16 strings is a table.
fn few_packed() -> Thresholds {
    Thresholds {
        set_max_listpack_entries: 16,
        ..Thresholds::default()
    }
}

/// The members of a set in each of its forms, few enough to draw each often.
fn forms() -> Vec<(Encoding, Shard, usize)> {
    let names = |count: usize| (0..count).map(|number| format!("m{number}"));
    let (mut ints, mut pack, mut table) = (shard(), shard(), shard());
    add(&mut ints, b"set", (0..40).map(|number| number.to_string()));
    add(&mut pack, b"set", names(40));
    table.set_thresholds(few_packed());
    add(&mut table, b"set", names(40));
    vec![
        (Encoding::Intset, ints, 40),
        (Encoding::Listpack, pack, 40),
        (Encoding::Hashtable, table, 40),
    ]
}

/// Asserts that counts of equally likely outcomes are as even as chance makes them: chi-square
/// lies within five standard deviations of its mean.
fn assert_even(drawn: &BTreeMap<Vec<u8>, u64>, outcomes: usize) {
    let total: u64 = drawn.values().sum();
    let expected = total as f64 / outcomes as f64;
    assert!(expected > 100.0);
    let missed = (outcomes - drawn.len()) as f64 * expected;
    let square = |&count: &u64| (count as f64 - expected).powi(2) / expected;
    let chi_square = drawn.values().map(square).sum::<f64>() + missed;
    let freedom = (outcomes - 1) as f64;
    let distance = (chi_square - freedom) / (2.0 * freedom).sqrt();
    assert!(distance.abs() < 5.0, "{chi_square} of {freedom}");
}

#[test]
fn every_member_is_drawn_as_often_as_another() {
    for (encoding, mut shard, members) in forms() {
        assert_eq!(encoding_of(&mut shard, b"set"), encoding);
        let (mut rng, key) = (Rng::seeded(9), shard.key(b"set"));
        let mut drawn = BTreeMap::new();
        let set = shard.view(0, key, true, BASE).unwrap().set().unwrap();
        for _ in 0..members * 300 {
            *drawn
                .entry(text(set.random(&mut rng).unwrap()))
                .or_default() += 1;
        }
        assert_even(&drawn, members);
    }
}

#[test]
fn every_member_is_in_as_many_samples_as_another() {
    for (_, mut shard, members) in forms() {
        let (mut rng, key) = (Rng::seeded(10), shard.key(b"set"));
        let set = shard.view(0, key, true, BASE).unwrap().set().unwrap();
        for count in [2, members / 15, members / 3, members - 2] {
            let mut drawn = BTreeMap::new();
            for _ in 0..members * 300 / count.max(1) {
                let mut sample = BTreeSet::new();
                set.sample(count, &mut rng, &mut |member| {
                    assert!(sample.insert(text(member)), "a sample has no member twice");
                });
                assert_eq!(sample.len(), count);
                // One of each, as members of one sample do not depend on chance alone.
                let place = rng.below(count as u64) as usize;
                let one = sample.into_iter().nth(place).unwrap();
                *drawn.entry(one).or_default() += count as u64;
            }
            drawn
                .values_mut()
                .for_each(|count_of| *count_of /= count as u64);
            if drawn.values().sum::<u64>() > 100 * members as u64 {
                assert_even(&drawn, members);
            }
        }
    }
}

#[test]
fn every_member_is_popped_as_often_as_another() {
    for (encoding, mut shard, members) in forms() {
        let all = members_of(&mut shard, b"set");
        let mut rng = Rng::seeded(11);
        for count in [1, 3, members * 2 / 3, members - 1] {
            let mut drawn = BTreeMap::new();
            for _ in 0..members * 110 {
                let key = shard.key(b"set");
                let mut popped = Vec::new();
                {
                    let mut set = shard.open(0, key, Kind::Set, BASE).unwrap().unwrap().set();
                    set.pop(count, &mut rng, &mut |member| popped.push(text(member)));
                    popped.iter().for_each(|member| {
                        assert!(set.add(member), "what was popped is gone");
                    });
                }
                assert_eq!(popped.len(), count);
                let one = popped.swap_remove(rng.below(count as u64) as usize);
                *drawn.entry(one).or_default() += 1;
            }
            assert_even(&drawn, members);
        }
        assert_eq!(members_of(&mut shard, b"set"), all);
        if encoding != Encoding::Hashtable {
            assert_eq!(encoding_of(&mut shard, b"set"), encoding);
        }
        shard.check();
    }
}

#[test]
fn a_scan_shows_every_member_that_stays() {
    for (_, mut shard, members) in forms() {
        let (mut cursor, mut shown) = (0, BTreeSet::new());
        loop {
            let key = shard.key(b"set");
            let set = shard.view(0, key, true, BASE).unwrap().set().unwrap();
            cursor = set.scan(cursor, 8, &mut |member| {
                shown.insert(text(member));
            });
            if cursor == 0 {
                break;
            }
            add(
                &mut shard,
                b"set",
                (0..5).map(|n| format!("other:{cursor}:{n}")),
            );
        }
        shown.retain(|member| !member.starts_with(b"other"));
        assert_eq!(shown.len(), members);
    }
}

#[test]
fn nearly_all_of_a_large_set_is_popped_at_once_and_the_rest_is_small_again() {
    let mut shard = shard();
    add(&mut shard, b"set", (0..100_000).map(|n| format!("m{n}")));
    let (key, mut popped) = (shard.key(b"set"), 0);
    shard
        .open(0, key, Kind::Set, BASE)
        .unwrap()
        .unwrap()
        .set()
        .pop(99_990, &mut Rng::seeded(1), &mut |_| popped += 1);
    assert_eq!(popped, 99_990);
    assert_eq!(members_of(&mut shard, b"set").len(), 10);
    assert_eq!(encoding_of(&mut shard, b"set"), Encoding::Listpack);
    shard.check();
    while shard.free_step(512) {}
    assert!(shard.accounts().slab_used_bytes < 100_000);
    shard.check();
}

#[test]
fn a_large_set_is_freed_in_steps_and_leaves_nothing() {
    let mut shard = shard();
    add(&mut shard, b"set", (0..100_000).map(|n| format!("m{n}")));
    let key = shard.key(b"set");
    assert!(shard.remove(0, key, BASE));
    let mut steps = 0;
    while shard.free_step(512) {
        steps += 1;
    }
    assert!(steps > 50);
    shard.check();
    let accounts = shard.accounts();
    let left = (
        accounts.freeing_bytes,
        accounts.slab_used_bytes,
        accounts.heap_bytes,
    );
    assert_eq!(left, (0, 0, 0));
}

#[test]
fn a_set_travels_to_another_shard_and_keeps_its_form() {
    for (encoding, mut one, _) in forms() {
        let mut other = shard();
        if encoding == Encoding::Hashtable {
            other.set_thresholds(few_packed());
        }
        let (key, to) = (one.key(b"set"), one.key(b"to"));
        let all = members_of(&mut one, b"set");
        one.set_expiry(0, key, Some(BASE.plus(5)), BASE);
        let copy = one.copy_out(0, key, BASE).unwrap();
        other.put(0, to, copy, BASE);
        assert_eq!(members_of(&mut other, b"to"), all);
        assert_eq!(encoding_of(&mut other, b"to"), encoding);
        assert_eq!(
            other.peek(0, to, BASE).unwrap().expiry(),
            Some(BASE.plus(5))
        );
        assert!(one.rename((0, key), (0, to), BASE));
        assert_eq!(members_of(&mut one, b"to"), all);
        one.check();
        other.check();
    }
}

#[test]
fn what_a_set_lacks_is_removed_without_a_change() {
    for (_, mut shard, members) in forms() {
        let key = shard.key(b"set");
        let mut set = shard.open(0, key, Kind::Set, BASE).unwrap().unwrap().set();
        for missing in ["x", "-7", "900000", ""] {
            assert!(!set.remove(missing.as_bytes()));
        }
        drop(set);
        assert_eq!(members_of(&mut shard, b"set").len(), members);
        shard.check();
    }
}

#[test]
fn a_view_beside_others_shows_no_expired_key() {
    let mut shard = shard();
    add(&mut shard, b"set", ["a".to_owned()]);
    let key = shard.key(b"set");
    assert!(shard.view_beside(0, key, BASE).is_some());
    shard.set_expiry(0, key, Some(BASE.plus(5)), BASE);
    assert!(shard.view_beside(0, key, BASE.plus(5)).is_some());
    assert!(shard.view_beside(0, key, BASE.plus(6)).is_none());
}

/// The goal for large sets: 28 bytes a member of 10 bytes, all told.
#[test]
fn many_members_of_ten_bytes_take_28_bytes_each() {
    let mut shard = shard();
    let members = 300_000;
    add(&mut shard, b"set", (0..members).map(|n| format!("m{n:09}")));
    let bytes = shard.accounts().account.bytes();
    assert!(bytes <= 28 * members as u64);
}
