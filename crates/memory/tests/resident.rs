//! The resident set against the books. One test, so that nothing else allocates meanwhile.

use std::ptr::NonNull;

use memory::doctor::{Insight, Limits, findings};
use memory::heap::{
    CountingAlloc, alloc_block, charge_thread_to, free_block, process_allocated_bytes,
};
use memory::process::{mark_startup, resident};
use memory::report::{MemoryReport, UNACCOUNTED_BYTES_MIN};
use memory::shard::ShardMemory;

#[global_allocator]
static ALLOCATOR: CountingAlloc = CountingAlloc;

const MIB: u64 = 1 << 20;

fn report(dataset_bytes: u64) -> MemoryReport {
    let mut shard = ShardMemory {
        dataset_bytes,
        ..ShardMemory::default()
    };
    charge_thread_to(&mut shard);
    MemoryReport::take(vec![shard])
}

fn assert_explained(report: &MemoryReport, when: &str) {
    let bound = UNACCOUNTED_BYTES_MIN.max(report.process().resident_bytes / 20);
    assert!(
        report.unaccounted_bytes() <= bound,
        "{when}: {} unaccounted of {} resident, {} active",
        report.unaccounted_bytes(),
        report.process().resident_bytes,
        report.active_bytes(),
    );
}

#[test]
fn the_resident_set_is_explained_full_holed_and_empty_and_purging_lowers_it() {
    mark_startup();
    let empty = report(0);
    assert_explained(&empty, "empty");
    // The report's own lists are allocated after the figures in it were read.
    assert!(process_allocated_bytes() - empty.total_bytes() < 4096);

    let mut random = 0x9E37_79B9_7F4A_7C15u64;
    let mut blocks: Vec<Option<NonNull<u8>>> = Vec::new();
    let mut dataset_bytes = 0u64;
    while dataset_bytes < 300 * MIB {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let (block, bytes) = alloc_block(1 + random as usize % (1 << (6 + random % 15)));
        // SAFETY: the whole block is ours; touching it makes it resident.
        unsafe { block.as_ptr().write_bytes(1, bytes) };
        blocks.push(Some(block));
        dataset_bytes += bytes as u64;
    }
    let full = report(dataset_bytes);
    assert_explained(&full, "full");
    assert!(full.process().resident_bytes >= 300 * MIB);
    assert!(full.dataset_percentage() > 95.0);

    for place in (0..blocks.len()).filter(|place| place % 10 != 0) {
        let block = blocks[place].take().expect("not freed yet");
        // SAFETY: freed once.
        dataset_bytes -= unsafe { free_block(block) } as u64;
    }
    // What is empty now waits for its time, and is given back by the question.
    let holed = report(dataset_bytes);
    assert_explained(&holed, "holed");
    assert!(holed.heap_slack_bytes() > 0);
    assert!(holed.peak_percentage() < 50.0);
    let ids: Vec<&str> = findings(&holed, &Limits::default(), &Insight::default())
        .iter()
        .map(|finding| finding.id)
        .collect();
    assert!(ids.contains(&"peak-above-total"), "{ids:?}");

    for block in blocks.drain(..).flatten() {
        // SAFETY: freed once.
        unsafe { free_block(block) };
    }
    drop(blocks);
    let waiting = resident().resident_bytes;
    let after = report(0);
    assert_explained(&after, "emptied");
    assert!(waiting > after.process().resident_bytes + 8 * MIB);
    assert!(resident().resident_bytes < full.process().resident_bytes / 4);
    assert!(after.total_bytes() <= empty.total_bytes() + 64 * 1024);
}
