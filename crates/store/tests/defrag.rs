//! Moving blocks together, in the keyspace and in large collections, while both change.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use memory::heap::{CountingAlloc, collect, heap_areas};
use store::{
    AddRule, Expiry, IntBuffer, Kind, ListEnd, Millis, Options, Presence, Rng, Shard, Value,
};

/// Blocks beyond the slab are to lie where those of the server do.
#[global_allocator]
static ALLOCATOR: CountingAlloc = CountingAlloc;

const NOW: Millis = Millis(1_700_000_000_000);

/// Hashes by key, each its fields with their values.
type Hashes = BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Vec<u8>>>;

fn shard() -> Shard {
    Shard::new(Options {
        seeds: [1, 2, 3, 4],
        base: NOW,
        ..Options::default()
    })
    .unwrap()
}

fn name(number: u64) -> Vec<u8> {
    format!("hash:{number}").into_bytes()
}

fn field(number: u64) -> Vec<u8> {
    format!("field:{number:08}").into_bytes()
}

fn set_field(shard: &mut Shard, model: &mut Hashes, key: &[u8], number: u64, value: &[u8]) {
    let field = field(number);
    let mut hash = shard
        .open_or_new(0, shard.key(key), Kind::Hash, NOW)
        .unwrap()
        .hash();
    hash.set(&field, value, Expiry::Clear);
    drop(hash);
    let fields = model.entry(key.to_vec()).or_default();
    fields.insert(field, value.to_vec());
}

fn remove_field(shard: &mut Shard, model: &mut Hashes, key: &[u8], field: &[u8]) {
    let door = shard.open(0, shard.key(key), Kind::Hash, NOW).unwrap();
    let existed = door.is_some_and(|door| door.hash().remove(field));
    let modelled = model.get_mut(key);
    assert_eq!(
        existed,
        modelled.is_some_and(|fields| fields.remove(field).is_some())
    );
    model.retain(|_, fields| !fields.is_empty());
}

/// Fills `hashes` hashes with as many fields each.
fn fill(shard: &mut Shard, hashes: u64, fields: u64) -> Hashes {
    let mut model = Hashes::new();
    for number in 0..fields {
        for key in 0..hashes {
            let value = vec![b'v'; 10 + (number % 40) as usize];
            set_field(shard, &mut model, &name(key), number, &value);
        }
    }
    model
}

/// Deletes a random 80 % of the fields.
fn thin_out(shard: &mut Shard, model: &mut Hashes, rng: &mut Rng) {
    let all: Vec<(Vec<u8>, Vec<u8>)> = model
        .iter()
        .flat_map(|(key, fields)| fields.keys().map(|field| (key.clone(), field.clone())))
        .collect();
    for (key, field) in all {
        if rng.below(100) < 80 {
            remove_field(shard, model, &key, &field);
        }
    }
}

fn assert_holds(shard: &mut Shard, model: &Hashes) {
    assert_eq!(shard.len(0), model.len());
    for (key, fields) in model {
        let key = shard.key(key);
        let view = shard.view(0, key, false, NOW).unwrap().hash().unwrap();
        assert_eq!(view.len(), fields.len());
        for (field, value) in fields {
            let found = view.value(field).expect("the field is there");
            assert_eq!(found.text(&mut IntBuffer::new()), value);
        }
    }
    shard.check();
}

fn assert_is_compact(shard: &Shard) {
    let accounts = shard.accounts();
    let (committed, used) = (accounts.slab_committed_bytes, accounts.slab_used_bytes);
    // A page of each of the sizes in use may be partly filled.
    assert!(
        committed <= used + used / 10 + 12 * 65_536,
        "{committed} committed for {used} used"
    );
}

#[test]
fn a_purge_moves_the_fields_of_large_hashes_too() {
    let (mut shard, mut rng) = (shard(), Rng::seeded(1));
    let mut model = fill(&mut shard, 4, 50_000);
    let full_bytes = shard.accounts().slab_committed_bytes;
    thin_out(&mut shard, &mut model, &mut rng);
    let sparse = shard.accounts();
    assert!(sparse.slab_committed_bytes > full_bytes * 9 / 10);
    assert!(shard.sparse_bytes() > full_bytes / 2);
    shard.purge_begin();
    while shard.purge_step(500) {}
    assert_is_compact(&shard);
    assert_eq!(shard.accounts().account, sparse.account);
    assert_eq!(shard.sparse_bytes(), 0);
    assert_holds(&mut shard, &model);
    assert!(shard.take_moves().moved_blocks > 20_000);
}

#[test]
fn a_purge_moves_small_keys_and_fields_that_lie_in_the_same_pages() {
    let (mut shard, mut rng) = (shard(), Rng::seeded(2));
    let mut model = fill(&mut shard, 2, 20_000);
    let mut kept = Vec::new();
    for number in 0..100_000u64 {
        let bytes = number.to_be_bytes();
        let key = shard.key(&bytes);
        shard.set(1, key, Value::from_bytes(&[b's'; 30]), Expiry::Clear, NOW);
        if rng.below(5) == 0 {
            kept.push(bytes);
        }
    }
    for number in 0..100_000u64 {
        let bytes = number.to_be_bytes();
        if kept.binary_search(&bytes).is_err() {
            let key = shard.key(&bytes);
            assert!(shard.remove(1, key, NOW));
        }
    }
    thin_out(&mut shard, &mut model, &mut rng);
    shard.purge_begin();
    while shard.purge_step(100) {}
    assert_is_compact(&shard);
    assert_holds(&mut shard, &model);
    assert_eq!(shard.len(1), kept.len());
    for bytes in kept {
        let key = shard.key(&bytes);
        assert_eq!(shard.peek(1, key, NOW).unwrap().value_len(), 30);
    }
}

/// One change that a client could make between two steps.
fn disturb(shard: &mut Shard, model: &mut Hashes, rng: &mut Rng, hashes: u64) {
    let key = name(rng.below(hashes));
    match rng.below(200) {
        0 => {
            let bytes = shard.key(&key);
            assert_eq!(shard.remove(0, bytes, NOW), model.remove(&key).is_some());
        }
        1 => {
            let new = name(rng.below(hashes));
            if new != key {
                let there = shard.rename((0, shard.key(&key)), (0, shard.key(&new)), NOW);
                let moved = model.remove(&key);
                assert_eq!(there, moved.is_some());
                moved.map(|fields| model.insert(new, fields));
            }
        }
        2 => {
            let bytes = shard.key(&key);
            shard.set(0, bytes, Value::Int(1), Expiry::Clear, NOW);
            assert!(shard.remove(0, bytes, NOW));
            model.remove(&key);
        }
        3 => {
            shard.free_step(200);
        }
        4..100 => set_field(shard, model, &key, rng.below(3_000), &[b'n'; 20]),
        _ => remove_field(shard, model, &key, &field(rng.below(3_000))),
    }
}

#[test]
fn collections_may_be_deleted_renamed_and_resized_between_the_steps() {
    for (seed, budget) in [(3, 1), (4, 37), (5, 512)] {
        let (mut shard, mut rng) = (shard(), Rng::seeded(seed));
        let mut model = fill(&mut shard, 8, 3_000);
        thin_out(&mut shard, &mut model, &mut rng);
        for _ in 0..3 {
            shard.purge_begin();
            let mut step = 0;
            while shard.purge_step(budget) {
                for _ in 0..rng.below(8) {
                    disturb(&mut shard, &mut model, &mut rng, 8);
                }
                step += 1;
                if step % 500 == 0 {
                    assert_holds(&mut shard, &model);
                }
            }
            assert_holds(&mut shard, &model);
        }
    }
}

const ANY: AddRule = AddRule {
    presence: Presence::Any,
    only_greater: false,
    only_less: false,
    is_increment: false,
};

/// Gives a member of the sorted set another score, or removes it.
fn change_member(
    shard: &mut Shard,
    model: &mut BTreeMap<Vec<u8>, i64>,
    number: u64,
    score: Option<i64>,
) {
    let member = field(number);
    let key = shard.key(b"zset");
    let mut zset = shard.open_or_new(0, key, Kind::Zset, NOW).unwrap().zset();
    match score {
        Some(score) => {
            zset.add(&member, score as f64, ANY).unwrap();
            model.insert(member, score);
        }
        None => assert_eq!(zset.remove(&member), model.remove(&member).is_some()),
    }
}

#[test]
fn the_order_of_a_sorted_set_follows_members_that_are_moved() {
    for (seed, budget) in [(11, 1), (12, 600)] {
        let (mut shard, mut rng) = (shard(), Rng::seeded(seed));
        let mut model = BTreeMap::new();
        for number in 0..20_000 {
            let score = rng.below(500) as i64;
            change_member(&mut shard, &mut model, number, Some(score));
        }
        for number in 0..20_000 {
            if rng.below(5) > 0 {
                change_member(&mut shard, &mut model, number, None);
            }
        }
        shard.purge_begin();
        let mut steps = 0;
        while shard.purge_step(budget) {
            steps += 1;
            if steps % 10 == 0 {
                let score = (rng.below(3) > 0).then(|| rng.below(500) as i64);
                change_member(&mut shard, &mut model, rng.below(20_000), score);
            }
            if steps % 1000 == 0 {
                shard.check();
            }
        }
        shard.check();
        assert!(shard.take_moves().moved_blocks > 2_000);
        let mut ordered: Vec<(i64, &[u8])> = model.iter().map(|(m, s)| (*s, &m[..])).collect();
        ordered.sort_unstable();
        let key = shard.key(b"zset");
        let view = shard.view(0, key, false, NOW).unwrap().zset().unwrap();
        let mut buffer = IntBuffer::new();
        let shown = view
            .iter()
            .zip(&ordered)
            .all(|((member, score), expected)| {
                (score as i64, member.text(&mut buffer)) == *expected
            });
        assert!(shown && view.len() == ordered.len());
    }
}

#[test]
fn a_purge_moves_the_members_of_a_large_set() {
    let (mut shard, mut rng) = (shard(), Rng::seeded(13));
    let key = shard.key(b"set");
    let mut kept = BTreeSet::new();
    {
        let mut set = shard.open_or_new(0, key, Kind::Set, NOW).unwrap().set();
        for number in 0..100_000 {
            set.add(&field(number));
        }
        for number in 0..100_000 {
            if rng.below(5) > 0 {
                assert!(set.remove(&field(number)));
            } else {
                kept.insert(field(number));
            }
        }
    }
    shard.purge_begin();
    while shard.purge_step(500) {}
    shard.check();
    assert_is_compact(&shard);
    let view = shard.view(0, key, false, NOW).unwrap().set().unwrap();
    assert_eq!(view.len(), kept.len());
    assert!(kept.iter().all(|member| view.contains(member)));
}

#[test]
fn a_database_may_be_flushed_or_swapped_while_its_collections_are_moved() {
    let (mut shard, mut rng) = (shard(), Rng::seeded(6));
    let mut model = fill(&mut shard, 4, 5_000);
    thin_out(&mut shard, &mut model, &mut rng);
    shard.purge_begin();
    assert!(shard.purge_step(700));
    shard.swap_databases(0, 3);
    assert!(shard.purge_step(700));
    shard.swap_databases(0, 3);
    assert_holds(&mut shard, &model);
    shard.detach_database(0);
    while shard.purge_step(700) {
        shard.free_step(100);
    }
    while shard.free_step(1000) {}
    assert_holds(&mut shard, &Hashes::new());
}

#[test]
fn no_step_looks_at_much_more_than_it_was_told() {
    let (mut shard, mut rng) = (shard(), Rng::seeded(7));
    let mut model = fill(&mut shard, 50, 1_000);
    thin_out(&mut shard, &mut model, &mut rng);
    shard.purge_begin();
    loop {
        let has_more = shard.purge_step(100);
        let moves = shard.take_moves();
        let seen = moves.moved_blocks + moves.passed_blocks;
        assert!(seen <= 100 + 20, "{seen} blocks in a step");
        if !has_more {
            break;
        }
    }
    assert_holds(&mut shard, &model);
}

#[test]
fn a_purge_that_is_ended_half_way_leaves_everything_in_service() {
    let (mut shard, mut rng) = (shard(), Rng::seeded(8));
    let mut model = fill(&mut shard, 2, 10_000);
    thin_out(&mut shard, &mut model, &mut rng);
    shard.defrag_begin();
    assert!(shard.purge_step(1000));
    shard.purge_end();
    assert!(!shard.is_purging() && !shard.purge_step(1000));
    assert_holds(&mut shard, &model);
}

/// Purges until nothing is left to win: what a round fills the next may empty, and a round takes so many pages.
fn purge_again_and_again(shard: &mut Shard, mut between: impl FnMut(&mut Shard)) {
    for _ in 0..3 {
        shard.purge_begin();
        while shard.purge_step(300) {
            between(shard);
        }
        collect(true);
    }
}

/// Fills with `fill`, deletes nine keys of ten, purges, and says how many free bytes the heap has before and after.
fn slack_around_a_purge(
    shard: &mut Shard,
    keys: u64,
    fill: impl Fn(&mut Shard, &[u8], u64),
) -> (u64, u64) {
    for number in 0..keys {
        fill(shard, &name(number), number);
    }
    for number in (0..keys).filter(|number| number % 10 != 3) {
        let bytes = name(number);
        let key = shard.key(&bytes);
        assert!(shard.remove(0, key, NOW));
    }
    while shard.free_step(1000) {}
    collect(true);
    let before = heap_areas().slack_bytes();
    let account = shard.accounts().account;
    purge_again_and_again(shard, |_| ());
    shard.check();
    assert_eq!(shard.accounts().account, account);
    (before, heap_areas().slack_bytes())
}

#[test]
fn a_purge_moves_large_strings_and_long_keys_out_of_sparse_pages_of_the_heap() {
    let mut shard = shard();
    let text = |number: u64| vec![number as u8; 9_000 + (number as usize * 37) % 60_000];
    let fill = |shard: &mut Shard, name: &[u8], number: u64| {
        let long = [name, &[b'k'; 700]].concat();
        for (name, bytes) in [(name, text(number)), (&long, vec![b'x'; 10])] {
            let key = shard.key(name);
            shard.set(0, key, Value::from_bytes(&bytes), Expiry::Clear, NOW);
        }
    };
    let (before, after) = slack_around_a_purge(&mut shard, 2_000, fill);
    assert!(after < before / 3, "{after} of {before}");
    for number in (0..2_000).filter(|number| number % 10 == 3) {
        let bytes = name(number);
        let key = shard.key(&bytes);
        let Value::Bytes { bytes, .. } = shard.peek(0, key, NOW).unwrap().value() else {
            panic!("it is no number");
        };
        assert!(bytes == text(number), "the value of {number} is another");
    }
    assert!(shard.take_moves().moved_blocks > 100);
}

#[test]
fn a_purge_moves_the_nodes_of_large_lists() {
    let mut shard = shard();
    let elements = |number: u64| (0..2_000).map(move |at| format!("{number}:{at}").into_bytes());
    let fill = |shard: &mut Shard, name: &[u8], number: u64| {
        let key = shard.key(name);
        let mut list = shard.open_or_new(0, key, Kind::List, NOW).unwrap().list();
        for element in elements(number) {
            list.push(ListEnd::Back, [&element[..]].into_iter());
        }
    };
    let (before, after) = slack_around_a_purge(&mut shard, 500, fill);
    assert!(after < before / 2, "{after} of {before}");
    for number in (0..500).filter(|number| number % 10 == 3) {
        let bytes = name(number);
        let key = shard.key(&bytes);
        let list = shard.view(0, key, false, NOW).unwrap().list().unwrap();
        let mut buffer = IntBuffer::new();
        for (at, element) in elements(number).enumerate() {
            assert_eq!(list.at(at).unwrap().text(&mut buffer), element);
        }
    }
}

#[test]
fn a_purge_moves_the_order_of_large_sorted_sets() {
    let mut shard = shard();
    let fill = |shard: &mut Shard, name: &[u8], _: u64| {
        let key = shard.key(name);
        let mut zset = shard.open_or_new(0, key, Kind::Zset, NOW).unwrap().zset();
        for member in 0..3_000 {
            zset.add(&field(member), member as f64, ANY).unwrap();
        }
    };
    let (before, after) = slack_around_a_purge(&mut shard, 200, fill);
    assert!(after < before / 2, "{after} of {before}");
}

#[test]
fn lists_and_strings_may_change_while_their_blocks_are_moved() {
    let (mut shard, mut rng) = (shard(), Rng::seeded(21));
    let mut model: BTreeMap<u64, VecDeque<u64>> = BTreeMap::new();
    let mut change = |shard: &mut Shard, rng: &mut Rng| {
        let number = rng.below(30);
        let bytes = name(number);
        let key = shard.key(&bytes);
        if rng.below(300) == 0 {
            assert_eq!(shard.remove(0, key, NOW), model.remove(&number).is_some());
            return;
        }
        let mut list = shard.open_or_new(0, key, Kind::List, NOW).unwrap().list();
        let model = model.entry(number).or_default();
        for _ in 0..10 {
            let element = rng.below(1 << 40);
            let text = format!("{element:0500}");
            if rng.below(2) == 0 {
                list.push(ListEnd::Back, [text.as_bytes()].into_iter());
                model.push_back(element);
            } else {
                list.push(ListEnd::Front, [text.as_bytes()].into_iter());
                model.push_front(element);
            }
        }
        let gone = rng.below(8) as usize;
        list.drop_at(ListEnd::Front, gone);
        (0..gone).for_each(|_| _ = model.pop_front());
    };
    for _ in 0..3_000 {
        change(&mut shard, &mut rng);
    }
    purge_again_and_again(&mut shard, |shard| change(shard, &mut rng));
    shard.check();
    for (number, elements) in &model {
        let bytes = name(*number);
        let key = shard.key(&bytes);
        let list = shard.view(0, key, false, NOW).unwrap().list().unwrap();
        assert_eq!(list.len(), elements.len());
        let mut buffer = IntBuffer::new();
        for (at, element) in elements.iter().enumerate() {
            let text = format!("{element:0500}");
            assert_eq!(list.at(at).unwrap().text(&mut buffer), text.as_bytes());
        }
    }
}

#[test]
fn a_pass_for_short_pages_moves_large_values_and_does_not_read_small_ones_that_stay() {
    let small = |number: u64| format!("small:{number}").into_bytes();
    let large = |number: u64| format!("large:{number}").into_bytes();
    let set = |shard: &mut Shard, key: &[u8], value: &[u8]| {
        let key = shard.key(key);
        shard.set(0, key, Value::from_bytes(value), Expiry::Clear, NOW);
    };
    let mut shard = shard();
    for number in 0..60_000 {
        set(&mut shard, &small(number), &[number as u8; 50]);
    }
    for number in 0..3_000 {
        set(&mut shard, &large(number), &[number as u8; 12_000]);
    }
    // A tenth of the small ones goes, and three quarters of the large ones.
    for number in (0..60_000).step_by(10) {
        let key = small(number);
        assert!(shard.remove(0, shard.key(&key), NOW));
    }
    for number in (0..3_000).filter(|number| number % 4 != 0) {
        let key = large(number);
        assert!(shard.remove(0, shard.key(&key), NOW));
    }
    collect(true);
    let (sparse_bytes, slack_bytes) = (shard.sparse_bytes(), heap_areas().slack_bytes());
    shard.press_begin();
    while shard.purge_step(64) {}
    collect(true);
    let moves = shard.take_moves();
    assert!(shard.sparse_bytes() < sparse_bytes / 4);
    assert!(heap_areas().slack_bytes() < slack_bytes / 4);
    // Every slot is looked at, and the value of a large one.
    let looks = moves.moved_blocks + moves.passed_blocks;
    assert!(looks < 54_000 + 2 * 750 + 3_000, "{looks} looks");
    for number in (0..3_000).step_by(4) {
        let key = large(number);
        let entry = shard.peek(0, shard.key(&key), NOW).unwrap();
        let Value::Bytes { bytes, .. } = entry.value() else {
            panic!("a string is bytes");
        };
        assert_eq!(bytes, &[number as u8; 12_000]);
    }
    shard.check();
}
