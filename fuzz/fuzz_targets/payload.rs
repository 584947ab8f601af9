//! A client that restores arbitrary bytes and damaged payloads, under a checksum that covers them.
//! Never may the codec panic, hold far more memory than the bytes, or accept what it cannot write again.
//! Source: the contracts of `rdb::encode` and `rdb::decode`.

#![no_main]

use std::sync::OnceLock;

use crc::{CRC_64_REDIS, Crc};
use libfuzzer_sys::fuzz_target;
use store::{
    ConsumerContent, Content, GroupContent, Millis, PendingContent, StreamContent, StreamId,
    Strings,
};

/// Before any field expiry, so that none is left out between two readings.
const NOW: Millis = Millis(i64::MIN);
/// Version and checksum.
const FOOTER_BYTES: usize = 10;

/// A payload of a body, with a footer that fits.
fn sealed(body: &[u8]) -> Vec<u8> {
    const CHECKSUM: Crc<u64> = Crc::<u64>::new(&CRC_64_REDIS);
    let mut payload = [body, &rdb::VERSION_MAX.to_le_bytes()].concat();
    let checksum = CHECKSUM.checksum(&payload);
    payload.extend_from_slice(&checksum.to_le_bytes());
    payload
}

/// A stream with an entry under the fields of the first and one under its own, and a group with all there is.
fn stream() -> StreamContent {
    let id = |seq| StreamId { ms: 1000, seq };
    let pairs = |texts: [&'static str; 2]| texts.map(str::as_bytes).into_iter().collect();
    StreamContent {
        entries: vec![
            (id(1), pairs(["field", "1"])),
            (id(2), pairs(["field", "two"])),
            (id(9), pairs(["other", "70000"])),
        ],
        last_id: id(9),
        max_deleted_id: id(3),
        entries_added: 4,
        groups: vec![GroupContent {
            name: b"group".to_vec(),
            last_id: id(2),
            entries_read: Some(2),
            consumers: vec![ConsumerContent {
                name: b"consumer".to_vec(),
                seen: Millis(1),
                active: None,
            }],
            pending: vec![PendingContent {
                id: id(2),
                consumer: 0,
                delivered: Millis(1),
                deliveries: 1,
            }],
        }],
    }
}

/// The bodies of a payload of each type.
fn sound_bodies() -> &'static [Vec<u8>] {
    static BODIES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    BODIES.get_or_init(|| {
        let texts = || -> Strings {
            let texts: [&[u8]; 4] = [b"one", b"2", b"-70000", b"\xff four"];
            texts.into_iter().collect()
        };
        let integers = ["1", "-2", "70000"]
            .map(str::as_bytes)
            .into_iter()
            .collect();
        let contents = [
            Content::String(b"text".to_vec()),
            Content::List(texts()),
            Content::Set(texts()),
            Content::Set(integers),
            Content::Hash {
                pairs: texts(),
                expiries: Vec::new(),
            },
            Content::Hash {
                pairs: texts(),
                expiries: vec![None, Some(Millis(5000))],
            },
            Content::Zset {
                members: texts(),
                scores: vec![0.0, -1.5, f64::INFINITY, 1e300],
            },
            Content::Stream(stream()),
        ];
        let body = |content| {
            let mut payload = rdb::encode(content);
            payload.truncate(payload.len() - FOOTER_BYTES);
            payload
        };
        contents.iter().map(body).collect()
    })
}

/// The bytes as a body, or as damage to a sound one: where, what happens there, with which byte.
fn body_of(input: &[u8]) -> Vec<u8> {
    let [choice, rest @ ..] = input else {
        return Vec::new();
    };
    let Some(sound) = sound_bodies().get(usize::from(*choice)) else {
        return rest.to_vec();
    };
    let mut body = sound.clone();
    for damage in rest.chunks_exact(3) {
        let at = usize::from(damage[0]) % (body.len() + 1);
        match damage[1] % 4 {
            0 => body.insert(at, damage[2]),
            1 if at < body.len() => body[at] = damage[2],
            2 if at < body.len() => {
                body.remove(at);
            }
            3 => body.truncate(at.max(1)),
            _ => {}
        }
    }
    body
}

fuzz_target!(|input: &[u8]| {
    let bare = rdb::decode(input, NOW);
    assert!(input.len() > FOOTER_BYTES || bare.is_err());
    let Ok(content) = rdb::decode(&sealed(&body_of(input)), NOW) else {
        return;
    };
    if let Content::Zset { scores, .. } = &content {
        assert!(scores.iter().all(|score| !score.is_nan()));
    }
    let again = rdb::decode(&rdb::encode(&content), NOW).expect("our own payload");
    match (&content, &again) {
        // A set of integers is written in order.
        (Content::Set(members), Content::Set(others)) => assert_eq!(members.len(), others.len()),
        _ => assert_eq!(content, again),
    }
});
