//! A client that writes arbitrary bytes, or a damaged HyperLogLog, and then asks the PF commands about them.
//! Never may they panic, leave the shard locked or its books wrong, or make the value larger than the dense form.
//! Source: redis-server's strings of HyperLogLogs; the contract of `Shard::recount`.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use resp::Reply;
use testkit::Cluster;

/// A header and 16384 registers of six bits.
const DENSE_BYTES: usize = 16 + 16384 * 6 / 8;

/// Sketches of a few elements, of many in runs, and of many in the dense form.
fn sound() -> &'static [Vec<u8>] {
    static SKETCHES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    SKETCHES.get_or_init(|| {
        let text = |elements: usize| {
            let mut cluster = Cluster::new(1);
            for element in 0..elements {
                cluster.run(&["PFADD", "key", &element.to_string()]);
            }
            match cluster.ask("GET key") {
                Reply::Bulk(text) => text,
                other => panic!("PFADD left {other:?}"),
            }
        };
        [1, 60, 800, 5000].map(text).into()
    })
}

/// The bytes as they are, or as damage to a sound sketch: two bytes of where, what happens there, with which byte.
fn value_of(input: &[u8]) -> Vec<u8> {
    let [choice, rest @ ..] = input else {
        return Vec::new();
    };
    let Some(sketch) = sound().get(usize::from(*choice)) else {
        return rest.to_vec();
    };
    let mut value = sketch.clone();
    for damage in rest.chunks_exact(4) {
        let at = usize::from(u16::from_le_bytes([damage[0], damage[1]])) % (value.len() + 1);
        match damage[2] % 4 {
            0 => value.insert(at, damage[3]),
            1 if at < value.len() => value[at] = damage[3],
            2 if at < value.len() => _ = value.remove(at),
            3 => value.truncate(at.max(1)),
            _ => {}
        }
    }
    value
}

fuzz_target!(|input: &[u8]| {
    let value = value_of(input);
    let mut cluster = Cluster::new(1);
    cluster.run(&[b"SET", &b"key"[..], &value]);
    for line in [
        "PFCOUNT key",
        "PFDEBUG DECODE key",
        "PFADD key a b c",
        "PFCOUNT key other",
        "PFMERGE sum key",
        "PFADD sum d",
        "PFDEBUG TODENSE key",
        "PFDEBUG GETREG sum",
    ] {
        cluster.ask(line);
    }
    for key in ["key", "sum"] {
        if let Reply::Int(bytes) = cluster.ask(&format!("STRLEN {key}")) {
            assert!(bytes as usize <= value.len().max(DENSE_BYTES));
        }
    }
    let shard = &cluster.cores()[0].shard;
    assert_eq!(shard.recount(), shard.accounts());
});
