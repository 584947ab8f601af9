//! Damages payloads, with a checksum that covers it up, and sees that nothing worse than an error comes of it.
//! Never accepts what could not be written again.
//! Source: the contract of `decode`.

use store::Content;

use super::generate::Generator;
use super::older::older_bodies;
use super::{NOW, body, ordered, payload};
use crate::{decode, encode};

/// The body with some bytes changed, left out, doubled, or taken from another one.
pub(super) fn mutate(sound: &[u8], others: &[Vec<u8>], generator: &mut Generator) -> Vec<u8> {
    const TELLING: [u8; 16] = [
        0, 1, 2, 3, 0x3f, 0x40, 0x7f, 0x80, 0x81, 0xbf, 0xc0, 0xc3, 0xf0, 0xf4, 0xfe, 0xff,
    ];
    let mut bytes = sound.to_vec();
    for _ in 0..1 + generator.below(3) {
        let at = generator.below(bytes.len().max(1)).min(bytes.len());
        let behind = bytes.len() - at;
        match generator.below(8) {
            0 if behind > 0 => bytes[at] = TELLING[generator.below(TELLING.len())],
            1 if behind > 0 => bytes[at] ^= 1 << generator.below(8),
            2 if behind > 0 => bytes[at] = bytes[at].wrapping_add(1),
            3 if behind > 0 => bytes[at] = bytes[at].wrapping_sub(1),
            4 => bytes.insert(at, generator.next() as u8),
            5 if behind > 0 => {
                let len = 1 + generator.below(behind.min(8));
                bytes.drain(at..at + len);
            }
            6 => {
                let other = &others[generator.below(others.len())];
                let start = generator.below(other.len());
                let len = generator.below((other.len() - start).min(24));
                let len = len.min(behind);
                bytes[at..at + len].copy_from_slice(&other[start..start + len]);
            }
            7 if generator.below(4) == 0 => bytes.truncate(at),
            _ => {}
        }
    }
    bytes
}

/// Whether a server may hold it.
fn is_sound(content: &Content) -> bool {
    match content {
        Content::String(_) => true,
        Content::List(texts) | Content::Set(texts) => !texts.is_empty(),
        Content::Hash { pairs, expiries } => {
            pairs.len().is_multiple_of(2)
                && (expiries.is_empty() || expiries.len() == pairs.len() / 2)
        }
        Content::Zset { members, scores } => !members.is_empty() && members.len() == scores.len(),
        Content::Stream(stream) => {
            stream.entries.is_sorted_by(|a, b| a.0 < b.0)
                && stream.entries.len() as u64 <= stream.entries_added
                && stream.groups.iter().all(|group| {
                    let consumers = group.consumers.len();
                    group.pending.is_sorted_by(|a, b| a.id < b.id)
                        && group.pending.iter().all(|entry| entry.consumer < consumers)
                })
        }
    }
}

#[test]
fn a_damaged_payload_is_refused_or_read_as_a_sound_value() {
    const PAYLOADS: usize = 250_000;
    let mut generator = Generator::new(17);
    let mut bodies: Vec<Vec<u8>> = older_bodies().into_iter().map(|(_, body)| body).collect();
    while bodies.len() < 400 {
        let whole = encode(&generator.content());
        if whole.len() < 1500 {
            bodies.push(body(&whole).to_vec());
        }
    }
    let mut accepted = 0;
    for round in 0..PAYLOADS {
        let sound = &bodies[generator.below(bodies.len())];
        let damaged = payload(&mutate(sound, &bodies, &mut generator));
        let Ok(content) = decode(&damaged, NOW) else {
            continue;
        };
        accepted += 1;
        assert!(is_sound(&content), "round {round}: {content:?}");
        if matches!(&content, Content::Hash { pairs, .. } if pairs.is_empty()) {
            continue;
        }
        let again = decode(&encode(&content), NOW).map(ordered);
        assert_eq!(again, Ok(ordered(content)), "round {round}");
    }
    assert!(accepted > PAYLOADS / 100, "{accepted}");
}

#[test]
fn a_payload_that_ends_early_is_refused() {
    let mut generator = Generator::new(19);
    let mut bodies: Vec<Vec<u8>> = older_bodies().into_iter().map(|(_, body)| body).collect();
    bodies.extend((0..100).map(|_| body(&encode(&generator.content())).to_vec()));
    for sound in bodies.iter().filter(|body| body.len() < 2000) {
        for len in 0..sound.len() {
            let cut = decode(&payload(&sound[..len]), NOW);
            assert_eq!(cut, Err(crate::Error::Format), "{len} of {sound:?}");
        }
        let longer = [&sound[..], b"\0"].concat();
        assert_eq!(decode(&payload(&longer), NOW), Err(crate::Error::Format));
    }
}
