//! What no payload may hold, one by one.
//! Never part of a build.
//! Source: the contract of `decode`.

use super::older::{block, listpack, ziplist};
use super::{NOW, payload, payload_of};
use crate::writing::raw;
use crate::{EXPANSION_BYTES_MIN, EXPANSION_RATIO_MAX, Error, VERSION_MAX, decode, kind};

/// Checks that a body is refused, whatever its checksum says.
fn refuses(body: &[u8]) {
    let content = decode(&payload(body), NOW);
    assert_eq!(content, Err(Error::Format), "{}", body.escape_ascii());
}

#[test]
fn a_newer_version_is_refused_before_its_checksum_is_looked_at() {
    let body = [kind::STRING, 1, b'x'];
    assert!(decode(&payload_of(&body, VERSION_MAX), NOW).is_ok());
    let mut newer = payload_of(&body, VERSION_MAX + 1);
    assert_eq!(decode(&newer, NOW), Err(Error::Version));
    newer[0] ^= 1;
    assert_eq!(decode(&newer, NOW), Err(Error::Version));
}

#[test]
fn a_changed_byte_is_refused_by_the_checksum() {
    let sound = payload(&[kind::STRING, 1, b'x']);
    for at in 0..sound.len() {
        let mut changed = sound.clone();
        changed[at] ^= 0x10;
        let error = decode(&changed, NOW).unwrap_err();
        assert!(matches!(error, Error::Checksum | Error::Version), "{at}");
    }
}

#[test]
fn types_that_nothing_writes_into_a_payload_are_refused() {
    refuses(b"");
    for kind in [6, 7, 8, 26, 100, 246, 255] {
        refuses(&[kind, 1, 1, b'x', 1, b'y']);
    }
}

#[test]
fn empty_collections_are_refused() {
    let plain = [
        kind::LIST,
        kind::SET,
        kind::ZSET,
        kind::HASH,
        kind::ZSET_2,
        kind::LIST_QUICKLIST,
        kind::LIST_QUICKLIST_2,
        kind::HASH_METADATA_EARLY,
    ];
    plain.iter().for_each(|kind| refuses(&[*kind, 0]));
    refuses(&[kind::HASH_METADATA, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    refuses(&block(kind::HASH_ZIPMAP, b"\0\xff"));
    refuses(&block(kind::SET_INTSET, b"\x02\0\0\0\0\0\0\0"));
    for kind in [kind::LIST_ZIPLIST, kind::ZSET_ZIPLIST, kind::HASH_ZIPLIST] {
        refuses(&block(kind, &ziplist(&[])));
    }
    for kind in [kind::HASH_LISTPACK, kind::ZSET_LISTPACK, kind::SET_LISTPACK] {
        refuses(&block(kind, &listpack(&[])));
    }
    let mut nodes = vec![kind::LIST_QUICKLIST_2, 1, 2];
    raw(&listpack(&[]), &mut nodes);
    refuses(&nodes);
    refuses(&[kind::LIST_QUICKLIST_2, 1, 1, 0]);
}

#[test]
fn a_member_or_a_field_that_is_there_twice_is_refused() {
    refuses(b"\x02\x02\x01a\x01a");
    // As a text, and as an integer.
    refuses(b"\x02\x02\x017\xc0\x07");
    refuses(b"\x04\x02\x01a\x01b\x01a\x01c");
    refuses(b"\x03\x02\x01a\x011\x01a\x012");
    refuses(&block(kind::SET_LISTPACK, &listpack(&[b"a", b"b", b"a"])));
    for kind in [kind::HASH_LISTPACK, kind::ZSET_LISTPACK] {
        refuses(&block(kind, &listpack(&[b"a", b"1", b"a", b"2"])));
    }
    refuses(&block(
        kind::HASH_ZIPMAP,
        b"\x02\x01f\x01\0a\x01f\x01\0b\xff",
    ));
    refuses(b"\x16\x02\x00\x01f\x01v\x00\x01f\x01w");
}

#[test]
fn a_score_that_is_no_number_is_refused() {
    refuses(b"\x03\x01\x01a\xfd");
    refuses(b"\x03\x01\x01a\x03nan");
    refuses(b"\x03\x01\x01a\x02x1");
    refuses(b"\x03\x01\x01a\x00");
    refuses(&[&b"\x05\x01\x01a"[..], &f64::NAN.to_le_bytes()].concat());
    refuses(&block(kind::ZSET_LISTPACK, &listpack(&[b"a", b"nan"])));
    refuses(&block(kind::ZSET_ZIPLIST, &ziplist(&[b"a", b"b"])));
}

#[test]
fn a_pair_without_its_second_half_is_refused() {
    for kind in [kind::HASH_LISTPACK, kind::ZSET_LISTPACK] {
        refuses(&block(kind, &listpack(&[b"a", b"1", b"b"])));
    }
    refuses(&block(
        kind::HASH_LISTPACK_EX_EARLY,
        &listpack(&[b"a", b"1"]),
    ));
    refuses(&block(kind::HASH_ZIPMAP, b"\x01\x01f\xff"));
}

#[test]
fn integers_of_a_set_are_in_rising_order_and_as_many_as_announced() {
    let set = |tail: &[u8]| block(kind::SET_INTSET, tail);
    assert!(decode(&payload(&set(b"\x02\0\0\0\x02\0\0\0\x01\0\x02\0")), NOW).is_ok());
    refuses(&set(b"\x02\0\0\0\x02\0\0\0\x02\0\x01\0"));
    refuses(&set(b"\x02\0\0\0\x02\0\0\0\x01\0\x01\0"));
    refuses(&set(b"\x02\0\0\0\x03\0\0\0\x01\0\x02\0"));
    refuses(&set(b"\x02\0\0\0\x01\0\0\0\x01\0\x02\0"));
    refuses(&set(b"\x03\0\0\0\x01\0\0\0\x01\0\x02"));
    refuses(&set(b"\x02\0\0\0\x01\0\0\0\x01"));
}

#[test]
fn a_field_expiry_beyond_48_bits_is_refused() {
    let hash = |expiry: &[u8]| listpack(&[b"f", b"v", expiry]);
    let latest = kind::FIELD_EXPIRY_MAX.to_string();
    let sound = block(kind::HASH_LISTPACK_EX_EARLY, &hash(latest.as_bytes()));
    assert!(decode(&payload(&sound), NOW).is_ok());
    let beyond = (kind::FIELD_EXPIRY_MAX + 1).to_string();
    for expiry in [beyond.as_bytes(), b"-1", b"soon", b""] {
        refuses(&block(kind::HASH_LISTPACK_EX_EARLY, &hash(expiry)));
    }
    let wraps = [
        &[kind::HASH_METADATA],
        &[0xff; 8][..],
        b"\x01\x02\x01f\x01v",
    ];
    refuses(&wraps.concat());
}

#[test]
fn what_an_element_says_of_its_length_is_checked() {
    let sound = listpack(&[b"first", b"second"]);
    for at in [0, 4, 12, sound.len() - 2, sound.len() - 1] {
        let mut bad = sound.clone();
        bad[at] ^= 1;
        refuses(&block(kind::SET_LISTPACK, &bad));
    }
    let sound = ziplist(&[b"first", b"second"]);
    for at in [0, 4, 8, 17, sound.len() - 1] {
        let mut bad = sound.clone();
        bad[at] ^= 1;
        refuses(&block(kind::LIST_ZIPLIST, &bad));
    }
    // The number of fields of a zipmap.
    refuses(&block(kind::HASH_ZIPMAP, b"\x02\x01f\x01\0v\xff"));
}

#[test]
fn an_announced_count_that_there_is_no_room_for_is_refused() {
    for kind in [1, 2, 3, 4, 5, 14, 15, 18, 19, 21, 22] {
        for count in [
            &b"\x80\xff\xff\xff\xff"[..],
            b"\x81\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x3f",
        ] {
            refuses(&[&[kind], count, b"\x01a\x01b"].concat());
        }
    }
    refuses(b"\x00\x81\xff\xff\xff\xff\xff\xff\xff\xffx");
    refuses(b"\x00\x82\x01x");
}

#[test]
fn a_compressed_string_is_not_longer_than_its_bytes_can_say() {
    let bomb = |len: u32| {
        let compressed = b"\x00a\xe0\xff\x00";
        let head = [
            &[kind::STRING, 0xc3, compressed.len() as u8, 0x80],
            &len.to_be_bytes()[..],
        ];
        [&head.concat()[..], compressed].concat()
    };
    assert!(decode(&payload(&bomb(265)), NOW).is_ok());
    for len in [0, 264, 266, 600, 1 << 30, u32::MAX] {
        refuses(&bomb(len));
    }
}

/// A stream whose one node has a field name of so many bytes, shared by so many entries.
fn stream_under_one_name(name_bytes: usize, entries: usize) -> Vec<u8> {
    let mut node = crate::listpack::Builder::new();
    [entries as i64, 0, 1]
        .into_iter()
        .for_each(|number| node.push_int(number));
    node.push(&vec![b'n'; name_bytes]);
    node.push_int(0);
    for seq in 0..entries {
        [2, 0, seq as i64, 1, 4]
            .into_iter()
            .for_each(|number| node.push_int(number));
    }
    let mut body = vec![kind::STREAM_LISTPACKS, 1, 16];
    body.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    raw(&node.finish(), &mut body);
    crate::writing::len(entries as u64, &mut body);
    body.push(1);
    crate::writing::len(entries as u64, &mut body);
    body.push(0);
    body
}

#[test]
fn shared_field_names_expand_no_further_than_allowed() {
    let expanded = |name: usize, entries: usize| name * entries;
    let small = stream_under_one_name(1000, 1000);
    assert!(expanded(1000, 1000) < EXPANSION_BYTES_MIN);
    assert!(decode(&payload(&small), NOW).is_ok());
    let large = stream_under_one_name(100_000, 3000);
    assert!(expanded(100_000, 3000) > large.len() * EXPANSION_RATIO_MAX);
    refuses(&large);
}

/// The body of a stream without entries and with one group, of which `tail` says what is pending.
fn group_with(tail: &[u8]) -> Vec<u8> {
    [
        &b"\x13\x00\x00\x05\x01\x00\x00\x00\x00\x05\x01\x01g\x03\x00\x02"[..],
        tail,
    ]
    .concat()
}

#[test]
fn groups_whose_counts_or_owners_are_wrong_are_refused() {
    let id = |seq: u8| [0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, seq];
    let entry = |seq: u8| [&id(seq)[..], &[0; 8], &[1]].concat();
    let consumer = |name: u8, owned: &[u8]| {
        let ids: Vec<u8> = owned.iter().flat_map(|seq| id(*seq)).collect();
        [&[1, name][..], &[0; 8], &[owned.len() as u8], &ids].concat()
    };
    let group = |pending: &[u8], consumers: &[Vec<u8>]| {
        let entries: Vec<u8> = pending.iter().flat_map(|seq| entry(*seq)).collect();
        let counted = [
            &[pending.len() as u8],
            &entries[..],
            &[consumers.len() as u8],
        ]
        .concat();
        group_with(&[&counted[..], &consumers.concat()].concat())
    };
    let sound = group(&[1, 2], &[consumer(b'a', &[2]), consumer(b'b', &[1])]);
    assert!(decode(&payload(&sound), NOW).is_ok());
    // Nobody's, two's, unknown, out of order, twice; a consumer twice.
    refuses(&group(&[1, 2], &[consumer(b'a', &[2])]));
    refuses(&group(&[1], &[consumer(b'a', &[1]), consumer(b'b', &[1])]));
    refuses(&group(&[1], &[consumer(b'a', &[1, 2])]));
    refuses(&group(&[2, 1], &[consumer(b'a', &[1, 2])]));
    refuses(&group(&[1, 1], &[consumer(b'a', &[1, 1])]));
    refuses(&group(&[], &[consumer(b'a', &[]), consumer(b'a', &[])]));
}

#[test]
fn counters_of_a_stream_fit_its_entries() {
    let sound = stream_under_one_name(1, 3);
    assert!(decode(&payload(&sound), NOW).is_ok());
    let len = sound.len();
    // The number of entries, the last ID, the number of entries in the node, the ID of the second.
    for (at, byte) in [
        (len - 4, 2),
        (len - 4, 4),
        (len - 3, 0),
        (25, 2),
        (25, 4),
        (26, 1),
    ] {
        let mut bad = sound.clone();
        bad[at] = byte;
        refuses(&bad);
    }
    // Fewer entries added than there are, and more than are counted.
    refuses(b"\x13\x00\x00\x05\x01\x00\x00\x00\x00\x81\xff\xff\xff\xff\xff\xff\xff\xff\x00");
}
