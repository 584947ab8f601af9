//! Owns bytes a member of collections: the resident set after a fill less that of the empty server.
//! Never here: what the server says of itself, but beside the figure from outside.
//! Source: none.

use std::io;

use super::{Cores, both, settle};
use crate::options::Options;
use crate::peer::{Peer, Recipe};
use crate::sys;
use crate::table::{Table, grouped};

/// So many collections of so many members, and the command that adds some of a collection's members.
struct Shape {
    name: &'static str,
    collections: u64,
    members: u64,
    /// Bytes of what a member holds.
    payload_bytes: u64,
    /// Words after the key that add a member.
    command: &'static str,
    words: fn(u64) -> Vec<String>,
}

/// Members that one command adds.
const MEMBERS_A_COMMAND: u64 = 50;
/// Strings set and deleted before the first look, so that buffers of the network are no member's bytes.
const WARM_UP_KEYS: u64 = 20_000;

fn field(number: u64) -> Vec<String> {
    vec![format!("f{number:05}"), format!("value{number:07}")]
}

fn ten_bytes(number: u64) -> Vec<String> {
    vec![format!(
        "{:010x}",
        crate::workload::scramble(number) & 0xff_ffff_ffff
    )]
}

fn scored(number: u64) -> Vec<String> {
    let score = crate::workload::scramble(number) % 1_000_000_000;
    vec![score.to_string(), format!("m{number:09}")]
}

const SHAPES: &[Shape] = &[
    Shape {
        name: "set of 10 M, 10-byte members",
        collections: 1,
        members: 10_000_000,
        payload_bytes: 10,
        command: "SADD",
        words: ten_bytes,
    },
    Shape {
        name: "sorted set of 1 M, 10-byte members",
        collections: 1,
        members: 1_000_000,
        payload_bytes: 18,
        command: "ZADD",
        words: scored,
    },
    Shape {
        name: "hashes of 10 fields",
        collections: 100_000,
        members: 10,
        payload_bytes: 18,
        command: "HSET",
        words: field,
    },
    Shape {
        name: "hashes of 100 fields",
        collections: 10_000,
        members: 100,
        payload_bytes: 18,
        command: "HSET",
        words: field,
    },
    Shape {
        name: "hashes of 10,000 fields",
        collections: 100,
        members: 10_000,
        payload_bytes: 18,
        command: "HSET",
        words: field,
    },
    Shape {
        name: "list of 1 M, 10-byte elements",
        collections: 1,
        members: 1_000_000,
        payload_bytes: 10,
        command: "RPUSH",
        words: ten_bytes,
    },
    Shape {
        name: "sets of 10 members",
        collections: 100_000,
        members: 10,
        payload_bytes: 10,
        command: "SADD",
        words: ten_bytes,
    },
    Shape {
        name: "sorted sets of 10 members",
        collections: 100_000,
        members: 10,
        payload_bytes: 18,
        command: "ZADD",
        words: scored,
    },
    Shape {
        name: "stream of 1 M entries, 2 fields",
        collections: 1,
        members: 1_000_000,
        payload_bytes: 20,
        command: "XADD",
        words: field,
    },
];

/// Fills a fresh server with each shape.
pub fn run(options: &Options) -> io::Result<()> {
    let cores = Cores::of_machine()?;
    sys::pin_thread(&[cores.generator])?;
    let recipes = both(options, &cores);
    let mut columns = vec!["collection".to_string(), "payload".into()];
    columns.extend(
        recipes
            .iter()
            .map(|recipe| format!("{} B/member", recipe.name())),
    );
    columns.extend(["told".into(), "ratio".into()]);
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut table = Table::new("Resident bytes a member", &columns);
    for shape in SHAPES {
        let mut cells = vec![shape.name.to_string(), shape.payload_bytes.to_string()];
        let measured: Vec<(f64, Option<f64>)> = recipes
            .iter()
            .map(|recipe| filled(recipe, shape))
            .collect::<io::Result<_>>()?;
        cells.extend(measured.iter().map(|(bytes, _)| format!("{bytes:.1}")));
        let told = measured.last().and_then(|(_, told)| *told);
        cells.push(told.map_or("–".into(), |told| format!("{told:.1}")));
        cells.push(match &measured[..] {
            [(first, _), (second, _)] => format!("{:.2}", second / first),
            _ => "–".into(),
        });
        table.row(cells);
    }
    table.note(
        "Resident bytes after the fill less those of the empty server after a few SETs and DELs, a member. `told`: the sum of \
         MEMORY USAGE of pinyon, which is exact (for redis-server it is sampled). Payload: bytes of a \
         member with its value or score.",
    );
    table.publish(&options.out, "members")
}

fn filled(recipe: &Recipe, shape: &Shape) -> io::Result<(f64, Option<f64>)> {
    let peer = Peer::start(recipe)?;
    let mut client = peer.client()?;
    let key = |number: u64| format!("warm:{number}");
    client.pour((0..WARM_UP_KEYS).map(|number| vec!["SET".into(), key(number), "value".into()]))?;
    client.pour((0..WARM_UP_KEYS).map(|number| vec!["DEL".into(), key(number)]))?;
    settle();
    let empty_bytes = peer.process.resident_bytes()?;
    let a_command = if shape.command == "XADD" {
        1
    } else {
        MEMBERS_A_COMMAND
    };
    let commands = (0..shape.collections).flat_map(|collection| {
        (0..shape.members.div_ceil(a_command)).map(move |part| {
            let mut words = vec![shape.command.to_string(), format!("key:{collection:07}")];
            if shape.command == "XADD" {
                words.push("*".into());
            }
            let start = part * a_command;
            let end = (start + a_command).min(shape.members);
            (start..end).for_each(|number| words.extend((shape.words)(number)));
            words
        })
    });
    client.pour(commands)?;
    settle();
    let members = shape.collections * shape.members;
    let resident_bytes = peer.process.resident_bytes()?.saturating_sub(empty_bytes);
    let usage = client.demand(&["MEMORY", "USAGE", "key:0000000"])?.number();
    let told = usage
        .filter(|_| peer.is_pinyon)
        .map(|bytes| bytes / shape.members as f64);
    eprintln!(
        "{}: {}, {} members",
        peer.name,
        shape.name,
        grouped(members)
    );
    Ok((resident_bytes as f64 / members as f64, told))
}
