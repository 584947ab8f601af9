//! Layouts that ours does not write, made by hand: older ones, and those of compact collections.
//! Never part of a build.
//! Source: the RDB, ziplist, zipmap and listpack formats.

use store::{Content, Millis, StreamId, Strings};

use super::{NOW, ordered, payload};
use crate::listpack::Builder;
use crate::{decode, encode, kind};

/// A ziplist of texts, each as an integer where it reads like one.
pub(super) fn ziplist(texts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![0; 10];
    let (mut previous, mut tail) = (0usize, 10);
    for text in texts {
        let start = bytes.len();
        tail = start;
        match u8::try_from(previous) {
            Ok(len) if len < 254 => bytes.push(len),
            _ => {
                bytes.push(254);
                bytes.extend_from_slice(&(previous as u32).to_le_bytes());
            }
        }
        match store::canonical_int(text) {
            Some(number @ 0..=12) => bytes.push(0xf1 + number as u8),
            Some(number @ -0x80..=0x7f) => bytes.extend_from_slice(&[0xfe, number as u8]),
            Some(number) => {
                let (first, width) = match number {
                    -0x8000..=0x7fff => (0xc0, 2),
                    -0x80_0000..=0x7f_ffff => (0xf0, 3),
                    -0x8000_0000..=0x7fff_ffff => (0xd0, 4),
                    _ => (0xe0, 8),
                };
                bytes.push(first);
                bytes.extend_from_slice(&number.to_le_bytes()[..width]);
            }
            None => {
                match text.len() {
                    len @ 0..0x40 => bytes.push(len as u8),
                    len @ 0x40..0x4000 => {
                        bytes.extend_from_slice(&(0x4000 | len as u16).to_be_bytes());
                    }
                    len => {
                        bytes.push(0x80);
                        bytes.extend_from_slice(&(len as u32).to_be_bytes());
                    }
                }
                bytes.extend_from_slice(text);
            }
        }
        previous = bytes.len() - start;
    }
    bytes.push(0xff);
    let total = bytes.len() as u32;
    bytes[..4].copy_from_slice(&total.to_le_bytes());
    bytes[4..8].copy_from_slice(&(tail as u32).to_le_bytes());
    bytes[8..10].copy_from_slice(&(texts.len() as u16).to_le_bytes());
    bytes
}

pub(super) fn listpack(texts: &[&[u8]]) -> Vec<u8> {
    let mut builder = Builder::new();
    texts.iter().for_each(|text| builder.push(text));
    builder.finish()
}

/// A type, and one block behind its length.
pub(super) fn block(kind: u8, block: &[u8]) -> Vec<u8> {
    let mut body = vec![kind];
    crate::writing::raw(block, &mut body);
    body
}

const TEXTS: [&[u8]; 12] = [
    b"a",
    b"12",
    b"",
    b"13",
    b"-300",
    b"70000",
    b"-9000000",
    b"3000000000",
    b"x7",
    b"-1",
    b"0",
    b"-9223372036854775808",
];

fn long_texts() -> [Vec<u8>; 3] {
    [vec![b'm'; 100], vec![b'l'; 300], vec![b'h'; 17_000]]
}

/// Bodies that each are right, with what they are.
pub(super) fn older_bodies() -> Vec<(&'static str, Vec<u8>)> {
    let long = long_texts();
    let mut many: Vec<&[u8]> = TEXTS.to_vec();
    many.extend(long.iter().map(|text| &text[..]));
    let scored: [&[u8]; 8] = [b"inf", b"-inf", b"m", b"0.25", b"n", b"7", b"o", b"inf"];
    let mut listed = vec![kind::LIST, 3];
    listed.extend_from_slice(b"\x01a\xc0\x07\x00");
    let mut zset = vec![kind::ZSET, 4];
    zset.extend_from_slice(b"\x01a\x0412.5\x01b\xfe\x01c\xff\x01d\x02-1");
    let mut nodes = vec![kind::LIST_QUICKLIST, 2];
    crate::writing::raw(&ziplist(&many), &mut nodes);
    crate::writing::raw(&ziplist(&TEXTS[..2]), &mut nodes);
    let compressed = b"\x00\xc3\x05\x07\x01ab\x60\x01".to_vec();
    let zipmap = b"\x02\x01f\x03\x02val..\x05field\x00\x00\xff";
    let expiring: [&[u8]; 6] = [b"f", b"v", b"0", b"g", b"w", b"5000000"];
    let expiring = listpack(&expiring);
    let earliest = 5_000_000u64.to_le_bytes();
    let metadata = b"\x02\x00\x01f\x01v\x01\x01g\x01w";
    let mut early = vec![kind::HASH_METADATA_EARLY, 2];
    early.extend_from_slice(b"\x00\x01f\x01v\x80\x00\x4c\x4b\x40\x01g\x01w");
    let mut listpack_ex = vec![kind::HASH_LISTPACK_EX];
    listpack_ex.extend_from_slice(&earliest);
    crate::writing::raw(&expiring, &mut listpack_ex);
    vec![
        ("compressed string", compressed),
        ("list", listed),
        ("zset with text scores", zset),
        ("hash in a zipmap", block(kind::HASH_ZIPMAP, zipmap)),
        (
            "list in a ziplist",
            block(kind::LIST_ZIPLIST, &ziplist(&many)),
        ),
        (
            "zset in a ziplist",
            block(kind::ZSET_ZIPLIST, &ziplist(&scored)),
        ),
        (
            "hash in a ziplist",
            block(kind::HASH_ZIPLIST, &ziplist(&TEXTS)),
        ),
        ("list in ziplists", nodes),
        (
            "hash in a listpack",
            block(kind::HASH_LISTPACK, &listpack(&TEXTS)),
        ),
        (
            "zset in a listpack",
            block(kind::ZSET_LISTPACK, &listpack(&scored)),
        ),
        (
            "set in a listpack",
            block(kind::SET_LISTPACK, &listpack(&many)),
        ),
        (
            "expiring hash",
            [&[kind::HASH_METADATA], &earliest[..], metadata].concat(),
        ),
        ("early expiring hash", early),
        ("expiring hash in a listpack", listpack_ex),
        (
            "early expiring hash in a listpack",
            block(kind::HASH_LISTPACK_EX_EARLY, &expiring),
        ),
        ("first streams", first_stream()),
    ]
}

/// A stream of 5.0, one of whose entries was deleted.
fn first_stream() -> Vec<u8> {
    let node: [&[u8]; 22] = [
        b"2", b"1", b"1", b"f", b"0", // the counts, the fields
        b"2", b"0", b"0", b"one", b"4", // the same field
        b"3", b"0", b"1", b"gone", b"4", // deleted
        b"0", b"5", b"-1", b"1", b"g", b"two", b"6", // a field of its own
    ];
    let mut body = vec![kind::STREAM_LISTPACKS, 1, 16];
    body.extend_from_slice(&9u64.to_be_bytes());
    body.extend_from_slice(&2u64.to_be_bytes());
    crate::writing::raw(&listpack(&node), &mut body);
    body.extend_from_slice(&[2, 14, 1]);
    // Two groups, of which one is at the first entry.
    body.extend_from_slice(b"\x02\x01g\x09\x02\x01");
    let pending = [9u64.to_be_bytes(), 2u64.to_be_bytes()].concat();
    body.extend_from_slice(&pending);
    body.extend_from_slice(&77u64.to_le_bytes());
    body.extend_from_slice(b"\x03\x02\x01c");
    body.extend_from_slice(&78u64.to_le_bytes());
    body.push(1);
    body.extend_from_slice(&pending);
    body.extend_from_slice(b"\x01d");
    body.extend_from_slice(&79u64.to_le_bytes());
    body.extend_from_slice(b"\x00\x01h\x0e\x01\x00\x00");
    body
}

fn read(name: &str) -> Content {
    let bodies = older_bodies();
    let (_, body) = bodies.iter().find(|(n, _)| *n == name).expect("a body");
    ordered(decode(&payload(body), NOW).expect(name))
}

fn strings(texts: &[&[u8]]) -> Strings {
    texts.iter().copied().collect()
}

#[test]
fn lists_are_read_from_every_layout() {
    let long = long_texts();
    let mut many: Vec<&[u8]> = TEXTS.to_vec();
    many.extend(long.iter().map(|text| &text[..]));
    assert_eq!(read("list in a ziplist"), Content::List(strings(&many)));
    many.extend(&TEXTS[..2]);
    assert_eq!(read("list in ziplists"), Content::List(strings(&many)));
    assert_eq!(read("list"), Content::List(strings(&[b"a", b"7", b""])));
    assert_eq!(
        read("compressed string"),
        Content::String(b"abababa".to_vec())
    );
}

#[test]
fn hashes_are_read_from_every_layout() {
    let plain = |pairs: &[&[u8]]| {
        ordered(Content::Hash {
            pairs: strings(pairs),
            expiries: Vec::new(),
        })
    };
    assert_eq!(
        read("hash in a zipmap"),
        plain(&[b"f", b"val", b"field", b""])
    );
    assert_eq!(read("hash in a ziplist"), plain(&TEXTS));
    assert_eq!(read("hash in a listpack"), plain(&TEXTS));
    let expiring = Content::Hash {
        pairs: strings(&[b"f", b"v", b"g", b"w"]),
        expiries: vec![None, Some(Millis(5_000_000))],
    };
    for name in ["", " in a listpack"] {
        assert_eq!(read(&format!("expiring hash{name}")), expiring, "{name}");
        assert_eq!(
            read(&format!("early expiring hash{name}")),
            expiring,
            "{name}"
        );
    }
    let payload = encode(&expiring);
    assert_eq!(super::body(&payload), older_bodies()[11].1);
}

#[test]
fn sorted_sets_are_read_from_every_layout() {
    let content = |members: &[&[u8]], scores: &[f64]| Content::Zset {
        members: strings(members),
        scores: scores.to_vec(),
    };
    let (up, down) = (f64::INFINITY, f64::NEG_INFINITY);
    let texts = content(&[b"a", b"b", b"c", b"d"], &[12.5, up, down, -1.0]);
    assert_eq!(read("zset with text scores"), texts);
    let packed = content(&[b"inf", b"m", b"n", b"o"], &[down, 0.25, 7.0, up]);
    assert_eq!(read("zset in a ziplist"), packed);
    assert_eq!(read("zset in a listpack"), packed);
}

#[test]
fn a_stream_of_5_0_is_read_with_counters_that_are_guessed() {
    let Content::Stream(stream) = read("first streams") else {
        panic!("no stream")
    };
    let id = |ms, seq| StreamId { ms, seq };
    let entries = [
        (id(9, 2), strings(&[b"f", b"one"])),
        (id(14, 1), strings(&[b"g", b"two"])),
    ];
    assert_eq!(stream.entries, entries);
    assert_eq!((stream.last_id, stream.entries_added), (id(14, 1), 2));
    assert_eq!(stream.max_deleted_id, StreamId::MIN);
    let [g, h] = &stream.groups[..] else {
        panic!("{:?}", stream.groups)
    };
    assert_eq!((g.entries_read, h.entries_read), (Some(1), Some(2)));
    assert_eq!((g.pending[0].consumer, g.pending[0].deliveries), (0, 3));
    assert_eq!(
        (g.consumers[1].seen, g.consumers[1].active),
        (Millis(79), Some(Millis(79)))
    );
}
