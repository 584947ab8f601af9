//! Tests of the whole codec: what it must accept, what it must refuse, and that redis-server agrees.
//! Never part of a build.
//! Source: the contracts of `encode` and `decode`.

mod generate;
mod mutation;
mod older;
mod oracle;
mod refusals;

use std::collections::HashSet;

use store::{Content, Millis, Strings, canonical_int};

use crate::{Body, Sealing, decode, encode};
use generate::Generator;

/// A moment before all field expiries that are generated.
const NOW: Millis = Millis(1_000_000);

/// A payload around a type and a body.
fn payload(body: &[u8]) -> Vec<u8> {
    payload_of(body, 10)
}

fn payload_of(body: &[u8], version: u16) -> Vec<u8> {
    let mut payload = body.to_vec();
    crate::seal(&mut payload, version);
    payload
}

/// The type and the body of a payload.
fn body(payload: &[u8]) -> &[u8] {
    &payload[..payload.len() - 10]
}

/// The content with what has no order put into one.
fn ordered(content: Content) -> Content {
    match content {
        Content::Set(members) => {
            let mut sorted: Vec<&[u8]> = members.iter().collect();
            sorted.sort();
            Content::Set(sorted.into_iter().collect())
        }
        Content::Hash { pairs, expiries } => {
            let mut fields: Vec<_> = (0..pairs.len() / 2)
                .map(|index| {
                    let expiry = expiries.get(index).copied().flatten();
                    (pairs.at(2 * index), pairs.at(2 * index + 1), expiry)
                })
                .collect();
            fields.sort();
            let texts: Strings = fields.iter().flat_map(|(f, v, _)| [*f, *v]).collect();
            let expiries: Vec<_> = fields.iter().map(|(_, _, expiry)| *expiry).collect();
            let has_any = expiries.iter().any(Option::is_some);
            Content::Hash {
                pairs: texts,
                expiries: if has_any { expiries } else { Vec::new() },
            }
        }
        Content::Zset { members, scores } => {
            let mut sorted: Vec<_> = members.iter().zip(scores).collect();
            sorted.sort_by(|a, b| a.0.cmp(b.0));
            let (members, scores): (Vec<&[u8]>, Vec<f64>) = sorted.into_iter().unzip();
            Content::Zset {
                members: members.into_iter().collect(),
                scores,
            }
        }
        Content::Stream(mut stream) => {
            stream.groups.sort_by(|a, b| a.name.cmp(&b.name));
            for group in &mut stream.groups {
                let mut order: Vec<usize> = (0..group.consumers.len()).collect();
                order.sort_by_key(|index| &group.consumers[*index].name);
                for entry in &mut group.pending {
                    let place = order.iter().position(|index| *index == entry.consumer);
                    entry.consumer = place.expect("a consumer");
                }
                group.consumers.sort_by(|a, b| a.name.cmp(&b.name));
            }
            Content::Stream(stream)
        }
        content => content,
    }
}

#[test]
fn generated_contents_come_back_as_they_were() {
    let mut generator = Generator::new(7);
    for round in 0..4000 {
        let content = generator.content();
        let payload = encode(&content);
        let back = decode(&payload, NOW).map(ordered);
        assert_eq!(back, Ok(ordered(content)), "round {round}");
    }
}

#[test]
fn large_contents_come_back_as_they_were() {
    let texts: Strings = (0..100_000)
        .map(|number| format!("text {number}"))
        .collect::<Vec<_>>()
        .iter()
        .map(|text| text.as_bytes())
        .collect();
    let contents = [
        Content::String(vec![b'x'; 1 << 20]),
        Content::List(texts.clone()),
        Content::Set(texts.clone()),
        Content::Zset {
            scores: (0..texts.len()).map(|number| number as f64 / 7.0).collect(),
            members: texts.clone(),
        },
        Content::Hash {
            pairs: texts,
            expiries: Vec::new(),
        },
    ];
    for content in contents {
        let back = decode(&encode(&content), NOW).map(ordered);
        assert!(back == Ok(ordered(content)));
    }
}

#[test]
fn elements_of_every_length_come_back_from_a_list() {
    for len in [
        0,
        1,
        63,
        64,
        126,
        127,
        128,
        4095,
        4096,
        8180,
        8192,
        16_377,
        16_378,
        16_379,
        70_000,
        3 << 20,
    ] {
        let list: Strings = [&vec![b'e'; len][..], b"-129", b"behind"]
            .into_iter()
            .collect();
        let content = Content::List(list);
        assert_eq!(decode(&encode(&content), NOW), Ok(content), "{len}");
    }
}

#[test]
fn the_largest_elements_of_a_list_are_nodes_by_themselves() {
    let list: Strings = [&b"small"[..], &[b'p'; 100], b"9"].into_iter().collect();
    let mut body = vec![crate::kind::LIST_QUICKLIST_2];
    crate::encode::list(&list, 100, &mut body);
    assert_eq!(body[1..4], [3, 2, 6 + 7 + 1]);
    assert_eq!(decode(&payload(&body), NOW), Ok(Content::List(list)));
}

#[test]
fn fields_whose_time_has_come_are_left_out() {
    let content = Content::Hash {
        pairs: [&b"stays"[..], b"1", b"goes", b"2", b"later", b"3"]
            .into_iter()
            .collect(),
        expiries: vec![None, Some(Millis(50)), Some(Millis(51))],
    };
    let payload = encode(&content);
    assert_eq!(decode(&payload, Millis(49)), Ok(content));
    let left = Content::Hash {
        pairs: [&b"stays"[..], b"1", b"later", b"3"].into_iter().collect(),
        expiries: vec![None, Some(Millis(51))],
    };
    assert_eq!(decode(&payload, Millis(50)), Ok(left));
}

#[test]
fn a_hash_of_which_no_field_stays_is_empty() {
    let content = Content::Hash {
        pairs: [&b"goes"[..], b"2"].into_iter().collect(),
        expiries: vec![Some(Millis(50))],
    };
    let empty = Content::Hash {
        pairs: Strings::default(),
        expiries: Vec::new(),
    };
    assert_eq!(decode(&encode(&content), Millis(50)), Ok(empty));
}

#[test]
fn only_field_expiries_need_the_newest_version() {
    let version = |content: &Content| {
        let payload = encode(content);
        u16::from_le_bytes([payload[payload.len() - 10], payload[payload.len() - 9]])
    };
    let pairs: Strings = [&b"f"[..], b"v"].into_iter().collect();
    let mut expiries = vec![None];
    let hash = |expiries: &Vec<Option<Millis>>| Content::Hash {
        pairs: pairs.clone(),
        expiries: expiries.clone(),
    };
    assert_eq!(version(&hash(&expiries)), 11);
    expiries[0] = Some(Millis(5));
    assert_eq!(version(&hash(&expiries)), 12);
}

/// The payload of a collection that is told element by element; `None` where one is written in another way.
fn in_pieces(content: &Content) -> Option<Vec<u8>> {
    let (mut body, mut bytes) = (Body::default(), Vec::new());
    match content {
        Content::String(_) => return None,
        // A block of integers is.
        Content::Set(members) if members.iter().all(|text| canonical_int(text).is_some()) => {
            return None;
        }
        Content::Set(members) => members
            .iter()
            .for_each(|text| body.member(text, &mut bytes)),
        Content::List(all) => all.iter().for_each(|text| body.element(text, &mut bytes)),
        Content::Zset { members, scores } => {
            let scored = members.iter().zip(scores);
            scored.for_each(|(member, score)| body.scored(member, *score, &mut bytes));
        }
        Content::Hash { pairs, expiries } => {
            expiries.iter().for_each(|expiry| body.note_expiry(*expiry));
            for index in 0..pairs.len() / 2 {
                let expiry = expiries.get(index).copied().flatten();
                let pair = (pairs.at(2 * index), pairs.at(2 * index + 1));
                body.field(pair, expiry, &mut bytes);
            }
        }
        Content::Stream(stream) => {
            let entries = stream.entries.iter().cloned();
            entries.for_each(|entry| body.entry(entry, &mut bytes));
            body.end_stream(stream, &mut bytes);
        }
    }
    body.end(&mut bytes);
    let mut payload = body.head(content.kind());
    let mut sealing = Sealing::of(&payload);
    bytes.chunks(100).for_each(|bytes| sealing.note(bytes));
    payload.extend(bytes);
    payload.extend(sealing.end());
    Some(payload)
}

#[test]
fn a_payload_made_in_pieces_is_the_one_made_at_once() {
    let (mut generator, mut kinds) = (Generator::new(11), HashSet::new());
    for round in 0..4000 {
        let content = generator.content();
        if let Some(payload) = in_pieces(&content) {
            assert!(payload == encode(&content), "round {round}");
            kinds.insert(payload[0]);
        }
    }
    assert_eq!(
        kinds.len(),
        6,
        "every layout but those of strings and integers"
    );
}
