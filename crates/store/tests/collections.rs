//! Collections against plain maps: random changes through the door, and books that balance.

use std::collections::BTreeMap;

use store::{Expiry, IntBuffer, Kind, Millis, Options, Rng, Shard, Value, WrongKind};

const BASE: Millis = Millis(1_700_000_000_000);

fn shard() -> Shard {
    Shard::new(Options {
        seeds: [1, 2, 3, 4],
        base: BASE,
        ..Options::default()
    })
    .unwrap()
}

/// A field and when it expires.
type Fields = BTreeMap<Vec<u8>, (Vec<u8>, Option<Millis>)>;

fn fields_of(shard: &mut Shard, key: &[u8], now: Millis) -> Fields {
    let key = shard.key(key);
    let mut fields = Fields::new();
    if let Some(view) = shard.view(0, key, true, now) {
        let (mut one, mut other) = (IntBuffer::new(), IntBuffer::new());
        view.hash().unwrap().each(&mut |field, value, expiry| {
            let value = value.text(&mut other).to_vec();
            let twice = fields.insert(field.text(&mut one).to_vec(), (value, expiry));
            assert!(twice.is_none(), "a field is shown once");
        });
    }
    fields
}

fn change_hash(shard: &mut Shard, model: &mut Fields, rng: &mut Rng, fields: u64, now: Millis) {
    let field = format!("field:{}", rng.below(fields)).into_bytes();
    let value = match rng.below(8) {
        0 => vec![b'v'; rng.below(200) as usize],
        1..4 => rng.below(1_000_000).to_string().into_bytes(),
        _ => format!("value of {}", rng.below(1000)).into_bytes(),
    };
    let at = now.plus(1 + rng.below(50) as i64);
    let key = shard.key(b"hash");
    let mut hash = shard.open_or_new(0, key, Kind::Hash, now).unwrap().hash();
    model.retain(|_, (_, expiry)| expiry.is_none_or(|at| now <= at));
    match rng.below(10) {
        0..4 => {
            let is_new = hash.set(&field, &value, Expiry::Clear);
            assert_eq!(is_new, model.insert(field, (value, None)).is_none());
        }
        4 => {
            let is_new = hash.set(&field, &value, Expiry::Keep);
            let kept = model.get(&field).and_then(|(_, at)| *at);
            assert_eq!(is_new, model.insert(field, (value, kept)).is_none());
        }
        5 if rng.below(3) == 0 => {
            let is_there = hash.set_expiry(&field, Some(at));
            assert_eq!(is_there, model.contains_key(&field));
            model
                .entry(field)
                .and_modify(|(_, expiry)| *expiry = Some(at));
        }
        6 => {
            let is_there = hash.set_expiry(&field, None);
            assert_eq!(is_there, model.contains_key(&field));
            model.entry(field).and_modify(|(_, expiry)| *expiry = None);
        }
        _ => assert_eq!(hash.remove(&field), model.remove(&field).is_some()),
    }
}

#[test]
fn a_hash_equals_a_map_through_all_its_forms() {
    for (seed, fields) in [(1, 8), (2, 100), (3, 3000)] {
        let (mut shard, mut model, mut rng) = (shard(), Fields::new(), Rng::seeded(seed));
        let mut now = BASE;
        for step in 0..20_000u32 {
            change_hash(&mut shard, &mut model, &mut rng, fields, now);
            if step % 7 == 0 {
                now = now.plus(rng.below(3) as i64);
            }
            if step % 1000 == 0 {
                shard.expire_step(now, 100_000);
                model.retain(|_, (_, expiry)| expiry.is_none_or(|at| now <= at));
                assert_eq!(fields_of(&mut shard, b"hash", now), model);
                shard.check();
            }
        }
    }
}

#[test]
fn a_hash_of_a_million_fields_is_freed_in_steps_and_leaves_nothing() {
    let mut shard = shard();
    let key = shard.key(b"hash");
    {
        let mut hash = shard.open_or_new(0, key, Kind::Hash, BASE).unwrap().hash();
        for number in 0..100_000u32 {
            hash.set(
                format!("f{number}").as_bytes(),
                b"some value",
                Expiry::Clear,
            );
        }
    }
    let bytes = shard.accounts().account.bytes();
    assert!(bytes > 2_000_000);
    assert!(shard.remove(0, key, BASE));
    assert_eq!(shard.accounts().account.bytes(), 0);
    assert!(shard.accounts().freeing_bytes > bytes * 9 / 10);
    let mut steps = 0;
    while shard.free_step(512) {
        steps += 1;
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
fn a_key_of_another_kind_is_not_opened() {
    let mut shard = shard();
    let key = shard.key(b"key");
    shard.set(0, key, Value::Int(1), Expiry::Clear, BASE);
    assert_eq!(shard.open(0, key, Kind::Hash, BASE).err(), Some(WrongKind));
    assert_eq!(
        shard.open_or_new(0, key, Kind::Hash, BASE).err(),
        Some(WrongKind)
    );
    shard.check();
}

#[test]
fn a_collection_that_was_emptied_is_gone() {
    let mut shard = shard();
    let key = shard.key(b"hash");
    for fields in [3, 3000] {
        let mut hash = shard.open_or_new(0, key, Kind::Hash, BASE).unwrap().hash();
        (0..fields).for_each(|number: i32| {
            hash.set(number.to_string().as_bytes(), b"1", Expiry::Clear);
        });
        (0..fields).for_each(|number: i32| assert!(hash.remove(number.to_string().as_bytes())));
        drop(hash);
        assert_eq!(shard.len(0), 0);
        assert!(shard.view(0, key, true, BASE).is_none());
        shard.check();
    }
}

#[test]
fn fields_leave_in_the_background_and_take_their_hash_along() {
    for fields in [3, 5000] {
        let mut shard = shard();
        let key = shard.key(b"hash");
        {
            let mut hash = shard.open_or_new(0, key, Kind::Hash, BASE).unwrap().hash();
            (0..fields).for_each(|number: i32| {
                let expiry = Expiry::At(BASE.plus(i64::from(number)));
                hash.set(number.to_string().as_bytes(), b"1", expiry);
            });
        }
        let later = BASE.plus(100_000);
        for _ in 0..10_000 {
            shard.expire_step(later, 1000);
        }
        assert_eq!(shard.len(0), 0);
        shard.check();
    }
}

#[test]
fn a_renamed_hash_keeps_its_fields_and_their_expiries() {
    let (mut one, mut other) = (shard(), shard());
    for fields in [3, 1000] {
        let (key, to) = (one.key(b"hash"), one.key(b"to"));
        {
            let mut hash = one.open_or_new(0, key, Kind::Hash, BASE).unwrap().hash();
            (0..fields).for_each(|number: i32| {
                let expiry = if number % 2 == 0 {
                    Expiry::Clear
                } else {
                    Expiry::At(BASE.plus(5))
                };
                hash.set(number.to_string().as_bytes(), b"1", expiry);
            });
        }
        let before = fields_of(&mut one, b"hash", BASE);
        assert_eq!(before.len(), fields as usize);
        assert!(one.rename((0, key), (0, to), BASE));
        assert_eq!(fields_of(&mut one, b"to", BASE), before);
        let copy = one.copy_out(0, to, BASE).unwrap();
        other.put(0, to, copy, BASE);
        assert_eq!(fields_of(&mut other, b"to", BASE), before);
        one.check();
        other.check();
    }
}
