//! The allocator's books over all threads. One test, so that nothing else allocates meanwhile.

use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::mpsc;
use std::thread;

use memory::heap::{
    CountingAlloc, abandoned_areas, charge_thread_to, collect, heap_areas, process_allocated_bytes,
    process_areas, thread_allocated_bytes, unsharded_allocated_bytes, usable_size,
};
use memory::shard::ShardMemory;

#[global_allocator]
static ALLOCATOR: CountingAlloc = CountingAlloc;

const THREADS: usize = 4;
const BLOCKS: usize = 60_000;
/// One block of the largest kind this test allocates, for each thread.
const LAG_BYTES_MAX: i64 = (THREADS << 18) as i64;

struct Block(NonNull<u8>, Layout);
// SAFETY: a block belongs to whoever holds it.
unsafe impl Send for Block {}

fn xorshift(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn random_layout(random: &mut u64) -> Layout {
    let bits = xorshift(random) % 18;
    let size = 1 + xorshift(random) as usize % (1usize << bits.max(3));
    Layout::from_size_align(size, 1 << (xorshift(random) % 5)).unwrap()
}

fn allocate(layout: Layout) -> Block {
    // SAFETY: the size is above zero.
    Block(
        NonNull::new(unsafe { std::alloc::alloc(layout) }).unwrap(),
        layout,
    )
}

fn free(block: Block) {
    // SAFETY: allocated with this layout, freed once.
    unsafe { std::alloc::dealloc(block.0.as_ptr(), block.1) };
}

/// Each thread allocates and frees at random, and sends half of its blocks to the next thread,
/// which frees half of those. What is left is handed to the caller.
fn churn() -> Vec<Block> {
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..THREADS).map(|_| mpsc::channel::<Vec<Block>>()).unzip();
    let mut workers = Vec::new();
    for (place, receiver) in receivers.into_iter().enumerate() {
        let next = senders[(place + 1) % THREADS].clone();
        workers.push(thread::spawn(move || {
            let mut random = 0x9E37_79B9_7F4A_7C15 ^ (place as u64 + 1);
            let mut held = Vec::new();
            for _ in 0..BLOCKS {
                if xorshift(&mut random).is_multiple_of(3) && !held.is_empty() {
                    let victim = xorshift(&mut random) as usize % held.len();
                    free(held.swap_remove(victim));
                } else {
                    held.push(allocate(random_layout(&mut random)));
                }
            }
            let given = held.split_off(held.len() / 2);
            next.send(given).unwrap();
            drop(next);
            for (nth, block) in receiver.recv().unwrap().into_iter().enumerate() {
                if nth % 2 == 0 {
                    free(block);
                } else {
                    held.push(block);
                }
            }
            held
        }));
    }
    drop(senders);
    workers
        .into_iter()
        .flat_map(|worker| worker.join().unwrap())
        .collect()
}

#[test]
fn the_books_are_exact_over_threads_that_free_each_others_blocks() {
    // A first round opens whatever the standard library keeps for good.
    churn().into_iter().for_each(free);

    let before = process_allocated_bytes() as i64;
    let areas_before = process_areas().used_bytes() as i64;
    let held = churn();
    let held_bytes: usize = held
        .iter()
        // SAFETY: the blocks are live, and none is aligned beyond what a block begins at.
        .map(|block| unsafe { usable_size(block.0) })
        .sum();
    // SAFETY: the vector's own buffer is a live block of the same allocator.
    let vector_bytes =
        unsafe { usable_size(NonNull::new(held.as_ptr().cast_mut().cast::<u8>()).unwrap()) };
    let accounts_bytes = (THREADS * 128) as i64;
    assert_eq!(
        process_allocated_bytes() as i64 - before,
        (held_bytes + vector_bytes) as i64 + accounts_bytes,
        "the counters equal the blocks we hold"
    );

    // A page learns of blocks that another thread freed when it is next looked at, so the pages'
    // own word lags by a few of them.
    collect(true);
    let by_pages = process_areas().used_bytes() as i64 - areas_before;
    let by_counters = process_allocated_bytes() as i64 - before;
    assert!(
        (by_pages - by_counters).abs() <= LAG_BYTES_MAX,
        "the pages say {by_pages}, the counters {by_counters}"
    );

    // Most of these blocks are of threads that ended: this thread goes below zero by them.
    held.into_iter().for_each(free);
    assert_eq!(process_allocated_bytes() as i64 - before, accounts_bytes);
    assert!(thread_allocated_bytes() < 0);

    // A shard's thread leaves the account of the process.
    let unsharded = unsharded_allocated_bytes();
    let mut shard = ShardMemory::default();
    charge_thread_to(&mut shard);
    assert_eq!(
        unsharded_allocated_bytes() + shard.heap_allocated_bytes,
        unsharded
    );

    let slack = heap_areas().slack_bytes() + abandoned_areas().slack_bytes();
    let whole = process_areas();
    assert!(slack <= whole.slack_bytes());
}
