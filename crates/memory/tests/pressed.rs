//! What happens to large blocks while pages are short. One test, so that nothing else allocates meanwhile.

use memory::heap::CountingAlloc;
use memory::heap::press;
use memory::process::resident;

#[global_allocator]
static ALLOCATOR: CountingAlloc = CountingAlloc;

/// Many lie in one page of the allocator, which stays as long as one of them does.
const BLOCK_BYTES: usize = 300_000;
const BLOCKS: usize = 100;

fn anonymous_bytes() -> i64 {
    let resident = resident();
    (resident.resident_bytes - resident.file_backed_bytes) as i64
}

fn is_whole(buffer: &[u8], number: usize) -> bool {
    buffer.iter().all(|byte| *byte == number as u8)
}

#[test]
fn large_buffers_go_back_at_once_while_pages_are_short_and_those_that_grow_keep_what_they_hold() {
    press(false);
    let mut buffers: Vec<Vec<u8>> = (0..BLOCKS)
        .map(|number| vec![number as u8; BLOCK_BYTES])
        .collect();
    let full_bytes = anonymous_bytes();
    press(true);
    for buffer in buffers.iter_mut().step_by(2) {
        *buffer = Vec::new();
    }
    let freed_bytes = (BLOCKS / 2 * BLOCK_BYTES) as i64;
    let gone_bytes = full_bytes - anonymous_bytes();
    assert!(
        gone_bytes > freed_bytes / 10 * 9,
        "{gone_bytes} of {freed_bytes} went back"
    );

    let before_bytes = anonymous_bytes();
    for (number, buffer) in buffers.iter_mut().enumerate().skip(1).step_by(2) {
        // Beyond its block, back below the half of that, and within.
        buffer.reserve_exact(BLOCK_BYTES);
        assert!(is_whole(buffer, number));
        buffer.extend_from_slice(&[number as u8; 1000]);
        buffer.shrink_to_fit();
        buffer.truncate(BLOCK_BYTES / 4);
        buffer.shrink_to_fit();
        assert!(is_whole(buffer, number) && buffer.len() == BLOCK_BYTES / 4);
        buffer.reserve_exact(100);
        assert!(is_whole(buffer, number));
    }
    let kept_bytes = (BLOCKS / 2 * BLOCK_BYTES) as i64 / 4;
    let won_bytes = before_bytes - anonymous_bytes();
    assert!(
        won_bytes > kept_bytes * 2,
        "{won_bytes} went back of what was cut off"
    );
    press(false);
    drop(buffers);
}
