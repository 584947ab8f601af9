//! Hashes: what an expired field is to whoever asks, sweeps in steps, and fields picked at random.

use std::collections::{BTreeMap, BTreeSet};

use store::{Encoding, Expiry, HashView, IntBuffer, Kind, Lifetime, Millis, Options, Rng, Shard};

const BASE: Millis = Millis(1_700_000_000_000);

fn shard() -> Shard {
    Shard::new(Options {
        seeds: [1, 2, 3, 4],
        base: BASE,
        ..Options::default()
    })
    .unwrap()
}

/// A hash of so many fields, each with the expiry that `expiry_of` says.
fn fill(shard: &mut Shard, name: &[u8], fields: u32, expiry_of: impl Fn(u32) -> Expiry) {
    let key = shard.key(name);
    let mut hash = shard.open_or_new(0, key, Kind::Hash, BASE).unwrap().hash();
    for number in 0..fields {
        let field = format!("field:{number}");
        hash.set(field.as_bytes(), b"some value", expiry_of(number));
    }
}

fn view<'s>(shard: &'s mut Shard, name: &[u8], now: Millis) -> HashView<'s> {
    let key = shard.key(name);
    shard.view(0, key, false, now).unwrap().hash().unwrap()
}

fn name(field: store::Item) -> Vec<u8> {
    field.text(&mut IntBuffer::new()).to_vec()
}

/// Every other field ends at `BASE`.
fn odd_ones_end(number: u32) -> Expiry {
    if number % 2 == 1 {
        Expiry::At(BASE)
    } else {
        Expiry::Clear
    }
}

#[test]
fn an_expired_field_is_not_counted_before_anything_removes_it() {
    for fields in [10, 500, 5000] {
        let mut shard = shard();
        fill(&mut shard, b"hash", fields, odd_ones_end);
        assert_eq!(view(&mut shard, b"hash", BASE).len(), fields as usize);
        let later = BASE.plus(1);
        let hash = view(&mut shard, b"hash", later);
        assert_eq!(hash.len(), fields as usize / 2);
        assert!(hash.value(b"field:1").is_none() && hash.value(b"field:2").is_some());
        let mut shown = 0;
        hash.each(&mut |_, _, _| shown += 1);
        assert_eq!(shown, fields as usize / 2);
        shard.check();
    }
}

#[test]
fn a_field_that_expired_is_new_when_it_is_set_again() {
    for fields in [10, 5000] {
        let mut shard = shard();
        fill(&mut shard, b"hash", fields, odd_ones_end);
        let (key, later) = (shard.key(b"hash"), BASE.plus(1));
        let door = shard.open(0, key, Kind::Hash, later).unwrap().unwrap();
        let mut hash = door.hash();
        assert!(!hash.remove(b"field:1"));
        assert!(!hash.set_expiry(b"field:3", None));
        assert!(hash.set(b"field:5", b"new", Expiry::Keep));
        assert_eq!(hash.view().field(b"field:5").unwrap().1, None);
        drop(hash);
        assert_eq!(
            view(&mut shard, b"hash", later).len(),
            fields as usize / 2 + 1
        );
        shard.check();
    }
}

#[test]
fn what_becomes_of_a_field_is_decided_by_its_expiry() {
    for fields in [10, 5000] {
        let mut shard = shard();
        fill(&mut shard, b"hash", fields, |_| Expiry::Clear);
        let key = shard.key(b"hash");
        let mut hash = shard.open_or_new(0, key, Kind::Hash, BASE).unwrap().hash();
        let at = Some(BASE.plus(9));
        let mut change = |field: &[u8], lifetime| {
            let mut seen = None;
            let said = hash.change_lifetime(field, |expiry| {
                seen = Some(expiry);
                lifetime
            });
            assert_eq!(
                said,
                seen.map(|_| lifetime),
                "asked only about what is there"
            );
            seen
        };
        assert_eq!(change(b"field:1", Lifetime::Keep), Some(None));
        assert_eq!(change(b"field:1", Lifetime::Until(None)), Some(None));
        assert_eq!(change(b"field:1", Lifetime::Until(at)), Some(None));
        assert_eq!(change(b"field:1", Lifetime::Keep), Some(at));
        assert_eq!(change(b"field:1", Lifetime::Until(None)), Some(at));
        assert_eq!(change(b"field:1", Lifetime::Over), Some(None));
        assert_eq!(change(b"field:1", Lifetime::Over), None);
        assert_eq!(change(b"nosuch", Lifetime::Over), None);
        drop(hash);
        shard.check();
    }
}

#[test]
fn the_first_expiry_of_a_small_hash_changes_its_form() {
    let mut shard = shard();
    let encoding = |shard: &mut Shard| {
        let key = shard.key(b"hash");
        shard.peek(0, key, BASE).unwrap().encoding()
    };
    fill(&mut shard, b"hash", 3, |_| Expiry::Clear);
    assert_eq!(encoding(&mut shard), Encoding::Listpack);
    fill(&mut shard, b"hash", 1, |_| Expiry::At(BASE.plus(5)));
    assert_eq!(encoding(&mut shard), Encoding::ListpackEx);
    fill(&mut shard, b"hash", 600, |_| Expiry::Clear);
    assert_eq!(encoding(&mut shard), Encoding::Hashtable);
}

#[test]
fn a_large_hash_whose_fields_all_end_at_once_is_swept_in_steps() {
    const FIELDS: u32 = 100_000;
    let mut shard = shard();
    fill(&mut shard, b"hash", FIELDS, |_| Expiry::At(BASE));
    let later = BASE.plus(10_000);
    let mut steps = 0;
    while shard.len(0) > 0 {
        let left = view(&mut shard, b"hash", BASE).len();
        let more = shard.expire_step(later, 500).more;
        if shard.len(0) > 0 {
            assert!(more, "something is due");
            let gone = left - view(&mut shard, b"hash", BASE).len();
            assert!((1..=2000).contains(&gone), "{gone} fields in one step");
        }
        steps += 1;
        if steps % 16 == 0 {
            shard.check();
        }
    }
    assert!((50..=200).contains(&steps), "{steps} steps");
    shard.check();
}

#[test]
fn a_thousand_small_hashes_that_are_due_together_are_swept_in_steps() {
    let mut shard = shard();
    for number in 0..1000u32 {
        let name = number.to_string();
        fill(&mut shard, name.as_bytes(), 40, odd_ones_end);
    }
    let later = BASE.plus(10_000);
    let mut steps = 1;
    while shard.expire_step(later, 500).more {
        steps += 1;
    }
    assert!((20..=200).contains(&steps), "{steps} steps");
    for number in 0..1000u32 {
        let name = number.to_string();
        assert_eq!(view(&mut shard, name.as_bytes(), BASE).len(), 20);
    }
    shard.check();
}

#[test]
fn fields_that_end_one_after_the_other_leave_one_after_the_other() {
    const FIELDS: u32 = 20_000;
    let mut shard = shard();
    fill(&mut shard, b"hash", FIELDS, |number| {
        Expiry::At(BASE.plus(i64::from(number)))
    });
    for ms in (0..FIELDS).step_by(2500) {
        let now = BASE.plus(i64::from(ms));
        // Twice: what was due at the moment of the sweep is due for its segment a while later.
        for now in [now, now.plus(100)] {
            while shard.expire_step(now, 1000).more {}
        }
        let left = view(&mut shard, b"hash", BASE).len() as u32;
        assert!(left <= FIELDS - ms, "{left} fields are left at {ms} ms");
        assert!(
            left + 200 >= FIELDS - ms,
            "{left} fields are left at {ms} ms"
        );
        shard.check();
    }
}

#[test]
fn a_sweep_is_no_access() {
    let mut shard = shard();
    fill(&mut shard, b"small", 10, odd_ones_end);
    fill(&mut shard, b"large", 5000, odd_ones_end);
    let later = BASE.plus(1_000_000);
    while shard.expire_step(later, 1000).more {}
    for name in [&b"small"[..], b"large"] {
        let key = shard.key(name);
        assert!(shard.idle_ms(0, key, later).unwrap() > 900_000);
    }
}

/// How often each field was picked.
type Picks = BTreeMap<Vec<u8>, u32>;

fn assert_even(picks: &Picks, fields: usize, expected: u32) {
    assert_eq!(picks.len(), fields);
    for (field, &count) in picks {
        // Six standard deviations.
        let spread = 6.0 * f64::from(expected).sqrt();
        assert!(
            (f64::from(count) - f64::from(expected)).abs() < spread,
            "{} was picked {count} times, not {expected}",
            field.escape_ascii()
        );
    }
}

#[test]
fn every_field_is_picked_as_often_as_another() {
    const EACH: u32 = 300;
    let mut rng = Rng::seeded(9);
    let ends: [fn(u32) -> Expiry; 2] = [|_| Expiry::Clear, odd_ones_end];
    for (fields, ends) in [
        (30, ends[0]),
        (60, ends[1]),
        (1000, ends[0]),
        (1500, ends[1]),
    ] {
        let mut shard = shard();
        fill(&mut shard, b"hash", fields, ends);
        let hash = view(&mut shard, b"hash", BASE.plus(1));
        let live = hash.len();
        let mut picks = [Picks::new(), Picks::new(), Picks::new(), Picks::new()];
        let mut picker = hash.picker();
        for _ in 0..EACH * live as u32 {
            let (field, _) = hash.random(&mut rng).unwrap();
            *picks[0].entry(name(field)).or_default() += 1;
            let (field, _) = picker.pick(&mut rng).unwrap();
            *picks[1].entry(name(field)).or_default() += 1;
        }
        // Samples on a walk, and of a large hash by picking.
        for (picks, sampled) in picks[2..].iter_mut().zip([live / 2, live / 5]) {
            for _ in 0..EACH as usize * live / sampled {
                let mut seen = BTreeSet::new();
                let shown = hash.sample(sampled, &mut rng, &mut |field, _| {
                    assert!(seen.insert(name(field)), "a field is shown once");
                });
                assert_eq!((shown, seen.len()), (sampled, sampled));
                for field in seen {
                    *picks.entry(field).or_default() += 1;
                }
            }
        }
        picks
            .iter()
            .for_each(|picks| assert_even(picks, live, EACH));
        assert_eq!(hash.sample(usize::MAX, &mut rng, &mut |_, _| {}), live);
        assert_eq!(hash.sample(0, &mut rng, &mut |_, _| panic!("none")), 0);
    }
}

#[test]
fn the_one_field_that_lives_among_thousands_is_picked() {
    let mut shard = shard();
    fill(&mut shard, b"hash", 5000, |number| match number {
        17 => Expiry::Clear,
        _ => Expiry::At(BASE),
    });
    let (mut rng, later) = (Rng::seeded(1), BASE.plus(1));
    let hash = view(&mut shard, b"hash", later);
    assert_eq!(name(hash.random(&mut rng).unwrap().0), b"field:17");
    let mut shown = Vec::new();
    hash.sample(3, &mut rng, &mut |field, _| shown.push(name(field)));
    assert_eq!(shown, [b"field:17"]);
    let key = shard.key(b"hash");
    let door = shard.open(0, key, Kind::Hash, later).unwrap().unwrap();
    let mut hash = door.hash();
    assert!(hash.remove(b"field:17"));
    assert!(hash.view().random(&mut rng).is_none());
}

#[test]
fn the_bill_of_a_hash_adds_up_to_its_usage() {
    for (fields, value_len) in [(3, 10), (200, 60), (5000, 10), (100, 9000)] {
        let mut shard = shard();
        let key = shard.key(b"hash");
        let mut hash = shard.open_or_new(0, key, Kind::Hash, BASE).unwrap().hash();
        for number in 0..fields {
            let value = vec![b'v'; value_len];
            hash.set(format!("field:{number}").as_bytes(), &value, Expiry::Clear);
        }
        drop(hash);
        let usage = shard.usage(0, key, BASE).unwrap();
        let bill = shard.explain(0, key, BASE).unwrap();
        assert_eq!(bill.total_bytes(), usage);
        let is_table = shard.peek(0, key, BASE).unwrap().encoding() == Encoding::Hashtable;
        assert_eq!(bill.tables_bytes > 0, is_table);
        assert!(bill.value_bytes >= fields * (value_len as u64 + 6));
        shard.check();
    }
}

#[test]
fn a_hash_that_is_kept_keeps_its_fields_and_holds_up_no_other_key() {
    let mut shard = shard();
    for hash in [&b"kept"[..], b"other"] {
        fill(&mut shard, hash, 5000, odd_ones_end);
    }
    for number in 0..20 {
        let name = format!("key:{number}");
        let key = shard.key(name.as_bytes());
        let value = store::Value::from_bytes(b"value");
        shard.set(0, key, value, Expiry::Clear, BASE);
    }
    let (kept, later) = (shard.key(b"kept").hash, BASE.plus(60_000));
    let mut steps = 0;
    while shard
        .expire_step_beside(later, 500, &mut |hash| hash == kept)
        .more
    {
        steps += 1;
        assert!(steps < 1000, "a pass comes to its end");
    }
    assert_eq!(view(&mut shard, b"kept", later).stored_len(), 5000);
    assert_eq!(view(&mut shard, b"other", later).stored_len(), 2500);
    // Eviction finds the others in the same segment, and takes no field away on its way.
    for _ in 0..21 {
        let evicted = shard.evict(later, &mut |_, hash| hash != kept);
        assert_eq!(evicted.map(|evicted| evicted.keys), Some(1));
    }
    assert!(shard.evict(later, &mut |_, hash| hash != kept).is_none());
    assert_eq!(view(&mut shard, b"kept", later).stored_len(), 5000);
    shard.check();
    let let_go = later.plus(60_000);
    while shard.expire_step(let_go, 500).more {}
    assert_eq!(view(&mut shard, b"kept", let_go).stored_len(), 2500);
    shard.check();
}
