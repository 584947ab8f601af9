//! Moving blocks of the heap out of sparse pages, in a process whose allocator is the server's.

use memory::heap::SparsePages;
use memory::heap::{CountingAlloc, collect, good_size, heap_areas, thread_allocated_bytes};

#[global_allocator]
static ALLOCATOR: CountingAlloc = CountingAlloc;

/// Vectors of `bytes`, all but one in `kept` of them freed again.
fn thinned(count: usize, bytes: usize, kept: usize) -> Vec<Vec<u8>> {
    let full: Vec<Vec<u8>> = (0..count).map(|at| vec![at as u8; bytes]).collect();
    let keep = |(at, vec): (usize, Vec<u8>)| (at % kept == 0).then_some(vec);
    full.into_iter().enumerate().filter_map(keep).collect()
}

fn slack_of(bytes: usize) -> u64 {
    let class_bytes = good_size(bytes) as u64;
    let areas = heap_areas();
    let class = areas
        .classes
        .iter()
        .find(|class| class.block_bytes == class_bytes);
    class.map_or(0, |class| class.committed_bytes - class.used_bytes)
}

fn move_all(vecs: &mut [Vec<u8>]) -> usize {
    let sparse = SparsePages::find();
    vecs.iter_mut().map(|vec| sparse.relocate_vec(vec)).sum()
}

#[test]
fn moving_out_of_sparse_pages_leaves_little_slack_whatever_the_size() {
    for bytes in [100, 1500, 8000, 20_000, 100_000] {
        let mut vecs = thinned(2_000_000 / bytes.max(500) + 200, bytes, 10);
        let values: Vec<u8> = vecs.iter().map(|vec| vec[bytes - 1]).collect();
        let (before, books) = (slack_of(bytes), thread_allocated_bytes());
        assert!(move_all(&mut vecs) > 0, "{bytes}");
        collect(true);
        let after = slack_of(bytes);
        assert!(after * 4 < before, "{after} of {before} for {bytes}");
        assert_eq!(thread_allocated_bytes(), books);
        let same = vecs
            .iter()
            .zip(values)
            .all(|(vec, value)| vec.len() == bytes && vec.iter().all(|byte| *byte == value));
        assert!(same);
    }
}

#[test]
fn thinning_out_again_and_again_never_leaves_more_than_was_left_the_first_time() {
    let mut vecs = thinned(20_000, 9_000, 2);
    for _ in 0..6 {
        let mut place = 0;
        vecs.retain(|_| {
            place += 1;
            place % 2 == 0
        });
        move_all(&mut vecs);
        collect(true);
    }
    let live = vecs.len() as u64 * good_size(9_000) as u64;
    // Rounds take the spaces in turn; one more empties what the last one filled.
    move_all(&mut vecs);
    collect(true);
    assert!(
        slack_of(9_000) < live + (2 << 20),
        "{} for {live}",
        slack_of(9_000)
    );
}

#[test]
fn full_pages_are_no_ones_business() {
    let vecs = thinned(3_000, 3_000, 1);
    let sparse = SparsePages::find();
    let moved = vecs.iter().filter(|vec| sparse.has(vec.as_ptr())).count();
    assert!(moved < 100, "{moved}");
}

#[test]
fn a_box_keeps_its_value_where_it_moves() {
    let mut boxes: Vec<Box<[u64; 40]>> = (0..20_000).map(|n| Box::new([n; 40])).collect();
    let mut place = 0;
    boxes.retain(|_| {
        place += 1;
        place % 16 == 0
    });
    let sparse = SparsePages::find();
    let moved: usize = boxes.iter_mut().map(|one| sparse.relocate_box(one)).sum();
    assert!(moved > boxes.len() * 300);
    let values = boxes.iter().map(|one| one[39]);
    assert!(values.eq((0..20_000).skip(15).step_by(16)));
}

#[test]
fn moved_blocks_may_be_freed_by_another_thread_and_after_their_own_has_ended() {
    let vecs = std::thread::spawn(|| {
        let mut vecs = thinned(5_000, 5_000, 8);
        assert!(move_all(&mut vecs) > 0);
        vecs
    })
    .join()
    .unwrap();
    assert!(
        vecs.iter()
            .enumerate()
            .all(|(at, vec)| vec[4_999] == (at * 8) as u8)
    );
    drop(vecs);
}

#[test]
fn a_block_moves_once_though_pages_that_became_empty_are_used_again() {
    let mut vecs: Vec<Vec<u8>> = Vec::new();
    for bytes in [9_000, 30_000, 70_000, 200_000] {
        vecs.extend(thinned(30_000_000 / bytes, bytes, 10));
    }
    let sparse = SparsePages::find();
    let moved: usize = vecs.iter_mut().map(|vec| sparse.relocate_vec(vec)).sum();
    assert!(moved > 0);
    let again: usize = vecs.iter_mut().map(|vec| sparse.relocate_vec(vec)).sum();
    assert_eq!(again, 0);
}
