//! The resident set held against the limit, with clients' buffers in it. One test, so that nothing else allocates meanwhile.

use commands::{Core, Facts, ShardId, config::Config};
use memory::heap::travel::{hand_over, vec_bytes};
use memory::heap::{CountingAlloc, charge_thread_to};
use memory::shard::ShardMemory;
use std::sync::Arc;
use store::Millis;

#[global_allocator]
static ALLOCATOR: CountingAlloc = CountingAlloc;

const MIB: usize = 1 << 20;

/// What the limit is charged with after the resident set was looked at twice, a quarter of a second apart.
fn charge_bytes(core: &mut Core) -> u64 {
    core.facts.hold_resident(core.now);
    core.now.0 += 250;
    core.facts.hold_resident(core.now).charge_bytes
}

#[test]
fn a_buffer_costs_no_data_before_its_core_has_settled_it_nor_on_its_way_to_another() {
    let mut facts = Facts::of_this_process(1, 64 * MIB as u64, String::new(), Millis(1));
    facts.holds_resident = true;
    charge_thread_to(&mut ShardMemory::default());
    let mut core = Core::new(ShardId(0), Config::default(), Arc::new(facts)).unwrap();
    core.settle_lease();

    let mut buffer = vec![1u8; 60 * MIB];
    assert_eq!(charge_bytes(&mut core), 0);
    buffer.resize(150 * MIB, 1);
    assert_eq!(charge_bytes(&mut core), 0, "a buffer that has grown");
    let bytes = vec_bytes(&buffer) as i64;
    hand_over(bytes);
    assert_eq!(charge_bytes(&mut core), 0, "nobody's");
    hand_over(-bytes);

    // The same pages are too many once they count as data.
    core.settle_lease();
    for _ in 0..10 {
        core.facts.forget_buffers();
    }
    assert_eq!(charge_bytes(&mut core), 32 * MIB as u64);
    memory::heap::press(false);
    assert!(buffer.iter().all(|byte| *byte == 1));
}
