//! Sorted sets against a plain map: random changes through the door, every way of reading, and books that balance.

use std::collections::BTreeMap;
use std::ops::Bound;

use store::{
    AddRule, Added, Encoding, IntBuffer, Kind, LexBound, Millis, NotANumber, Options, Presence,
    Rng, Shard, ZsetView,
};

const NOW: Millis = Millis(1_700_000_000_000);
const ANY: AddRule = AddRule {
    presence: Presence::Any,
    only_greater: false,
    only_less: false,
    is_increment: false,
};

fn shard() -> Shard {
    Shard::new(Options {
        seeds: [1, 2, 3, 4],
        base: NOW,
        ..Options::default()
    })
    .unwrap()
}

type Model = BTreeMap<Vec<u8>, f64>;
type Pairs = Vec<(Vec<u8>, f64)>;

fn in_order(model: &Model) -> Pairs {
    let mut pairs: Pairs = model.iter().map(|(m, s)| (m.clone(), *s)).collect();
    pairs.sort_by(|a, b| a.1.partial_cmp(&b.1).unwrap().then_with(|| a.0.cmp(&b.0)));
    pairs
}

/// What `with` makes of the sorted set, if there is one.
fn read<T>(shard: &mut Shard, with: impl FnOnce(ZsetView<'_>) -> T) -> Option<T> {
    let key = shard.key(b"zset");
    let view = shard.view(0, key, true, NOW)?;
    Some(with(view.zset().unwrap()))
}

macro_rules! shown {
    ($range:expr) => {{
        let mut buffer = IntBuffer::new();
        $range
            .map(|(member, score)| (member.text(&mut buffer).to_vec(), score))
            .collect::<Pairs>()
    }};
}

fn score(rng: &mut Rng) -> f64 {
    match rng.below(12) {
        0 => f64::INFINITY,
        1 => f64::NEG_INFINITY,
        2 => -0.0,
        3 => 1e300 * (1.0 + rng.below(7) as f64),
        4..7 => rng.below(1 << 40) as f64 / 1024.0 - 1e6,
        _ => rng.below(20) as f64 - 10.0,
    }
}

fn member(rng: &mut Rng, members: u64) -> Vec<u8> {
    let number = rng.below(members);
    match number % 9 {
        0 => number.to_string().into_bytes(),
        1 if number % 90 == 1 => format!("{number}{}", "x".repeat(300)).into_bytes(),
        _ => format!("member:{number}").into_bytes(),
    }
}

/// What adding should do by the words of the manual.
fn add_to_model(
    model: &mut Model,
    member: Vec<u8>,
    given: f64,
    rule: AddRule,
) -> Result<Added, NotANumber> {
    let Some(old) = model.get(&member).copied() else {
        if rule.presence == Presence::Existing {
            return Ok(Added::Refused);
        }
        model.insert(member, given);
        return Ok(Added::New);
    };
    if rule.presence == Presence::Missing {
        return Ok(Added::Refused);
    }
    let new = if rule.is_increment {
        old + given
    } else {
        given
    };
    if new.is_nan() {
        return Err(NotANumber);
    }
    if rule.only_greater && new <= old || rule.only_less && new >= old {
        return Ok(Added::Refused);
    }
    if new == old {
        return Ok(Added::Same);
    }
    model.insert(member, new);
    Ok(Added::Changed)
}

fn change(shard: &mut Shard, model: &mut Model, rng: &mut Rng, members: u64) {
    let member = member(rng, members);
    let key = shard.key(b"zset");
    let mut zset = shard.open_or_new(0, key, Kind::Zset, NOW).unwrap().zset();
    match rng.below(20) {
        0..12 => {
            let rule = AddRule {
                presence: [
                    Presence::Any,
                    Presence::Any,
                    Presence::Missing,
                    Presence::Existing,
                ][rng.below(4) as usize],
                only_greater: rng.below(8) == 0,
                only_less: rng.below(8) == 0,
                is_increment: rng.below(4) == 0,
            };
            let score = score(rng);
            let done = zset.add(&member, score, rule).map(|(added, _)| added);
            assert_eq!(done, add_to_model(model, member, score, rule));
        }
        12..19 => assert_eq!(zset.remove(&member), model.remove(&member).is_some()),
        _ => {
            let len = model.len() as u64;
            let start = rng.below(len + 2) as usize;
            let end = start + rng.below(members / 20 + 3) as usize;
            let gone = in_order(model);
            let gone = &gone[start.min(gone.len())..end.min(gone.len())];
            assert_eq!(zset.remove_ranks(start..end), gone.len());
            gone.iter().for_each(|(member, _)| _ = model.remove(member));
        }
    }
}

fn check_reads(shard: &mut Shard, model: &Model, rng: &mut Rng, members: u64) {
    let expected = in_order(model);
    let len = expected.len();
    let all = read(shard, |zset| shown!(zset.iter())).unwrap_or_default();
    assert_eq!(all, expected);
    if len == 0 {
        return;
    }
    let back = read(shard, |zset| shown!(zset.iter().rev())).unwrap();
    assert!(back.iter().rev().eq(expected.iter()));
    for _ in 0..20 {
        let start = rng.below(len as u64 + 2) as usize;
        let end = start + rng.below(30) as usize;
        let wanted = &expected[start.min(len)..end.min(len)];
        let found = read(shard, |zset| shown!(zset.range(start..end))).unwrap();
        assert_eq!(found, wanted);
        let found = read(shard, |zset| shown!(zset.range(start..end).rev())).unwrap();
        assert!(found.iter().rev().eq(wanted));
        let member = member(rng, members);
        let place = expected.iter().position(|(other, _)| *other == member);
        let rank = read(shard, |zset| zset.rank(&member)).unwrap();
        assert_eq!(rank, place.map(|place| (place, expected[place].1)));
        assert_eq!(
            read(shard, |zset| zset.score(&member)).unwrap(),
            model.get(&member).copied()
        );
        let (one, other) = (score(rng), score(rng));
        let (most, from_end) = match rng.below(3) {
            0 => (usize::MAX, false),
            1 => (rng.below(100) as usize, false),
            _ => (rng.below(100) as usize, true),
        };
        let ranks = read(shard, |zset| {
            let (min, max) = (Bound::Included(one), Bound::Excluded(other));
            zset.ranks_by_score(min, max, most, from_end)
        });
        let wanted: Vec<usize> = (0..len)
            .filter(|rank| expected[*rank].1 >= one && expected[*rank].1 < other)
            .collect();
        let kept = most.min(wanted.len());
        let wanted = if from_end {
            &wanted[wanted.len() - kept..]
        } else {
            &wanted[..kept]
        };
        assert!(ranks.unwrap().eq(wanted.iter().copied()));
    }
    let mut seen = Pairs::new();
    let mut cursor = 0;
    loop {
        let key = shard.key(b"zset");
        let view = shard.view(0, key, true, NOW).unwrap();
        let mut buffer = IntBuffer::new();
        cursor = view
            .zset()
            .unwrap()
            .scan(cursor, 100, &mut |member, score| {
                seen.push((member.text(&mut buffer).to_vec(), score));
            });
        if cursor == 0 {
            break;
        }
    }
    seen.sort_by(|a, b| a.1.partial_cmp(&b.1).unwrap().then_with(|| a.0.cmp(&b.0)));
    seen.dedup();
    assert_eq!(seen, expected);
}

#[test]
fn a_sorted_set_equals_a_map_through_all_its_forms() {
    for (seed, members) in [(1, 8), (2, 100), (3, 3000)] {
        let (mut shard, mut model, mut rng) = (shard(), Model::new(), Rng::seeded(seed));
        for step in 0..30_000u32 {
            change(&mut shard, &mut model, &mut rng, members);
            if step % 500 == 0 {
                check_reads(&mut shard, &model, &mut rng, members);
                shard.check();
            }
        }
    }
}

#[test]
fn members_of_one_score_are_found_by_their_bytes() {
    for count in [50, 2000] {
        let mut shard = shard();
        let key = shard.key(b"zset");
        let mut zset = shard.open_or_new(0, key, Kind::Zset, NOW).unwrap().zset();
        for number in 0..count {
            zset.add(format!("{number:05}").as_bytes(), 0.0, ANY)
                .unwrap();
        }
        let ranks = |min, max| zset.view().ranks_by_lex(min, max, usize::MAX, false);
        use LexBound::{Excluded, Highest, Included, Lowest};
        assert_eq!(ranks(Lowest, Highest), 0..count);
        assert_eq!(ranks(Included(b"00010"), Excluded(b"00020")), 10..20);
        assert_eq!(ranks(Excluded(b"00010"), Included(b"00020")), 11..21);
        assert_eq!(ranks(Excluded(b"00010x"), Highest), 11..count);
        assert!(ranks(Highest, Lowest).is_empty());
        assert!(ranks(Included(b"00020"), Included(b"00010")).is_empty());
    }
}

#[test]
fn both_zeroes_are_one_place_in_the_order_and_keep_their_signs_in_a_large_set() {
    for count in [10, 500] {
        let mut shard = shard();
        let key = shard.key(b"zset");
        let mut zset = shard.open_or_new(0, key, Kind::Zset, NOW).unwrap().zset();
        for number in 0..count {
            let zero = if number % 2 == 0 { 0.0 } else { -0.0 };
            zset.add(format!("{number:05}").as_bytes(), zero, ANY)
                .unwrap();
        }
        let last = format!("{:05}", count - 1);
        let is_negative = zset
            .view()
            .score(last.as_bytes())
            .unwrap()
            .is_sign_negative();
        assert_eq!(is_negative, count > 128);
        assert!(zset.view().score(b"00002").unwrap().is_sign_positive());
        let view = zset.view();
        let members = shown!(view.iter());
        assert!(members.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(zset.add(b"00001", 0.0, ANY), Ok((Added::Same, 0.0)));
    }
}

#[test]
fn a_small_set_is_packed_and_a_large_one_or_one_with_a_long_member_is_not() {
    let mut shard = shard();
    let encoding = |shard: &mut Shard| {
        let key = shard.key(b"zset");
        shard.peek(0, key, NOW).unwrap().encoding()
    };
    let key = shard.key(b"zset");
    let add = |shard: &mut Shard, member: &str| {
        let mut zset = shard.open_or_new(0, key, Kind::Zset, NOW).unwrap().zset();
        zset.add(member.as_bytes(), 1.0, ANY).unwrap();
    };
    (0..128).for_each(|number| add(&mut shard, &number.to_string()));
    assert_eq!(encoding(&mut shard), Encoding::Listpack);
    add(&mut shard, "one more");
    assert_eq!(encoding(&mut shard), Encoding::Skiplist);
    assert!(shard.remove(0, key, NOW));
    add(&mut shard, &"x".repeat(64));
    assert_eq!(encoding(&mut shard), Encoding::Listpack);
    add(&mut shard, &"x".repeat(65));
    assert_eq!(encoding(&mut shard), Encoding::Skiplist);
    shard.check();
}

fn filled(members: u32) -> Shard {
    let mut shard = shard();
    let key = shard.key(b"zset");
    let mut zset = shard.open_or_new(0, key, Kind::Zset, NOW).unwrap().zset();
    let mut rng = Rng::seeded(7);
    for number in 0..members {
        let score = rng.below(1 << 50) as f64 / 64.0;
        zset.add(format!("{number:010}").as_bytes(), score, ANY)
            .unwrap();
    }
    drop(zset);
    shard
}

#[test]
fn a_member_of_ten_bytes_costs_at_most_45_bytes() {
    let shard = filled(1_000_000);
    let bytes = shard.accounts().account.bytes();
    eprintln!("{} bytes a member", bytes as f64 / 1e6);
    assert!(bytes <= 45_000_000, "{bytes} bytes");
}

#[test]
fn a_large_sorted_set_is_freed_in_steps_and_leaves_nothing() {
    let mut shard = filled(100_000);
    let key = shard.key(b"zset");
    let bytes = shard.accounts().account.bytes();
    assert!(shard.remove(0, key, NOW));
    assert_eq!(shard.accounts().account.bytes(), 0);
    assert!(shard.accounts().freeing_bytes > bytes * 9 / 10);
    let mut steps = 0;
    while shard.free_step(512) {
        steps += 1;
        if steps % 30 == 0 {
            shard.check();
        }
    }
    assert!(steps > 50);
    shard.check();
    let accounts = shard.accounts();
    assert_eq!(
        (
            accounts.freeing_bytes,
            accounts.slab_used_bytes,
            accounts.heap_bytes
        ),
        (0, 0, 0)
    );
}

#[test]
fn a_sorted_set_moves_to_another_shard_whole() {
    for members in [3, 1000] {
        let (mut one, mut other) = (filled(members), shard());
        let key = one.key(b"zset");
        let before = read(&mut one, |zset| shown!(zset.iter())).unwrap();
        let copy = one.copy_out(0, key, NOW).unwrap();
        other.put(0, key, copy, NOW);
        assert_eq!(read(&mut other, |zset| shown!(zset.iter())), Some(before));
        let encoding = |shard: &mut Shard| shard.peek(0, key, NOW).unwrap().encoding();
        assert_eq!(encoding(&mut one), encoding(&mut other));
        other.check();
    }
}

#[test]
fn a_member_picked_at_random_is_any_of_them() {
    for members in [20, 300] {
        let mut shard = filled(members);
        let mut rng = Rng::seeded(3);
        let mut seen = std::collections::HashSet::new();
        for _ in 0..members * 20 {
            let picked = read(&mut shard, |zset| shown!(zset.random(&mut rng).into_iter()));
            seen.insert(picked.unwrap()[0].0.clone());
        }
        assert_eq!(seen.len(), members as usize);
    }
}
