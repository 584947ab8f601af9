//! The bytes that a stream says it takes, against what the allocator hands out.

use memory::heap::{CountingAlloc, thread_allocated_bytes};
use store::{Keep, Millis, NodeLimits, Rng, Stream, StreamId, Trim};

#[global_allocator]
static ALLOC: CountingAlloc = CountingAlloc;

/// Adds entries of mixed sizes, deletes, trims, and delivers.
fn step(stream: &mut Stream, rng: &mut Rng, value: &[u8]) {
    let now = Millis(stream.last_id().ms as i64 + rng.below(2) as i64);
    let longest = if rng.below(50) == 0 { 5000 } else { 60 };
    let len = rng.below(longest) as usize;
    let id = stream.next_id(now).expect("there are IDs left");
    let fields: [&[u8]; 4] = [b"name", &value[..len], b"other", b"17"];
    stream.add(id, fields.into_iter(), NodeLimits::default());
    let some_id = StreamId {
        ms: rng.below(id.ms + 1),
        seq: 0,
    };
    match rng.below(10) {
        0 => drop(stream.delete(some_id)),
        1 => {
            let consumer = [b'a' + rng.below(26) as u8];
            let open = |group: &mut store::Group| group.open_consumer(&consumer, now);
            let (consumer, _) = stream.edit_group(0, open);
            stream.deliver(0, consumer, 50, Some(now), |_| {});
        }
        2 => {
            stream.edit_group(0, |group| group.acknowledge(some_id));
        }
        3 if rng.below(200) == 0 => {
            let keep = Keep::Newest(rng.below(stream.len()));
            stream.trim(Trim {
                keep,
                whole_nodes: false,
                entries_max: None,
            });
        }
        _ => {}
    }
}

#[test]
fn a_stream_takes_exactly_the_bytes_it_says() {
    const STEPS: usize = 60_000;
    let (value, mut rng) = (vec![b'v'; 5000], Rng::seeded(11));
    let before = thread_allocated_bytes();
    let mut stream = Stream::new();
    assert_eq!(stream.bytes(), 0);
    stream.create_group(b"group", StreamId::MIN, None);
    for number in 0..STEPS {
        step(&mut stream, &mut rng, &value);
        if number % 500 == 0 {
            let allocated = thread_allocated_bytes() - before;
            assert_eq!(stream.bytes() as i64, allocated, "after {number} steps");
        }
    }
    while stream.free_step(64) {
        assert_eq!(stream.bytes() as i64, thread_allocated_bytes() - before);
    }
    drop(stream);
    assert_eq!(thread_allocated_bytes(), before);
}
