//! Owns keys of every shape that applications give them, and the commands on them that are counted.
//! Never here: how they are run.
//! Source: what is found in keyspaces; names of prefixes are made up.

use crate::commands_asked::{Answer, Asked, COUNT, asked, push, scattered, value};

/// What is done to the keys of a shape, in this order: the first keys come, and their prefixes with
/// them; when they have gone others come of the same prefixes, and go.
pub const OPERATIONS: [&str; 6] = [
    "SET first",
    "GET",
    "SET over",
    "DEL first",
    "SET new",
    "DEL",
];

/// Keys that look alike.
pub struct Shape {
    /// One of them, or what is special.
    pub name: &'static str,
    /// The key with an index.
    pub key: fn(usize) -> String,
}

const fn shape(name: &'static str, key: fn(usize) -> String) -> Shape {
    Shape { name, key }
}

/// Every shape.
pub const SHAPES: &[Shape] = &[
    shape("user:00000000042", |index| format!("user:{index:011}")),
    shape("user:1 to user:9999", |index| format!("user:{index}")),
    shape("8 prefixes in turn", |index| {
        format!("{}{index:08}", EIGHT[index % EIGHT.len()])
    }),
    shape("64 prefixes in turn", |index| {
        let (noun, part) = (NOUNS[index % 16], PARTS[index / 16 % 4]);
        format!("{noun}{part}:{index:06}")
    }),
    shape("user:0000000042:name", |index| {
        format!("user:{index:010}:name")
    }),
    shape("user:42:name:first", |index| {
        format!("user:{index}:name:first")
    }),
    shape("42:name", |index| format!("{index}:name")),
    shape("00000042:name", |index| format!("{index:08}:name")),
    shape("session:<uuid>", |index| format!("session:{}", uuid(index))),
    shape("<uuid>:items", |index| format!("{}:items", uuid(index))),
    shape("basket:<uuid>:items", |index| {
        format!("basket:{}:items", uuid(index))
    }),
    shape("cache:<32 hex digits>:page", |index| {
        format!("cache:{:032x}:page", digits(index))
    }),
    shape("api:<8 hex digits>:hits", |index| {
        format!("api:{:08x}:hits", digits(index) >> 96)
    }),
    shape("plain 8 bytes", |index| format!("{index:08}")),
    shape("plain 24 bytes", |index| {
        format!("some-longer-key-{index:08}")
    }),
    shape("{42}:items", |index| format!("{{{index}}}:items")),
    shape("{user:42}:items", |index| format!("{{user:{index}}}:items")),
    shape("article:<name>:views", |index| {
        let length = 6 + index % 14;
        let name: String = (0..length).map(|at| letter(index, at)).collect();
        format!("article:{name}:views")
    }),
    shape("page:<90 bytes>", |index| {
        format!("page:{index:08}{}", "/path".repeat(16))
    }),
    shape("all of these in turn", in_turn),
    shape("{user42}:items, 10,000 prefixes", |index| {
        format!("{{user{index}}}:items")
    }),
    shape("all in turn, when accounts are used up", in_turn),
    // As long as the others, which have an account.
    shape("key:<12 digits> and {us42}:items in turn", |index| {
        if index % 2 == 0 {
            format!("key:{:012}", 500_000_000_000 + index)
        } else {
            format!("{{us{index:06}}}:items")
        }
    }),
    shape("key:n42:item, below a known segment", |index| {
        format!("key:n{index}:item")
    }),
];
/// Those that have prefixes without an account, and the one of all before them.
const WITHOUT_ACCOUNTS: usize = 4;

fn in_turn(index: usize) -> String {
    let shapes = SHAPES.len() - WITHOUT_ACCOUNTS - 1;
    (SHAPES[index % shapes].key)(20_000 + index)
}

const EIGHT: [&str; 8] = [
    "user:",
    "session:",
    "cart:",
    "user:mail:",
    "user:name:",
    "page:html:",
    "rate:",
    "q:",
];
const NOUNS: [&str; 16] = [
    "user", "order", "cart", "item", "page", "event", "device", "team", "job", "token", "photo",
    "feed", "price", "stock", "route", "note",
];
const PARTS: [&str; 4] = ["", ":meta", "-by-day", ".v2"];

/// Digits of no order, by a multiplication that loses none.
fn digits(index: usize) -> u128 {
    (index as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

fn uuid(index: usize) -> String {
    let text = format!("{:032x}", digits(index));
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &text[part]);
    parts.join("-")
}

fn letter(index: usize, at: usize) -> char {
    let word = digits(index) >> (4 * at);
    char::from(b'g' + (word % 16) as u8)
}

/// Every operation on every shape, one shape after the other.
pub fn kinds() -> Vec<Asked> {
    SHAPES.iter().flat_map(|shape| of(shape.key)).collect()
}

fn of(key: fn(usize) -> String) -> [Asked; OPERATIONS.len()] {
    let set = move |index, bytes: &mut Vec<u8>| {
        push(bytes, &[b"SET", key(index).as_bytes(), &value(7)]);
        Answer::Ok
    };
    let go = move |index, bytes: &mut Vec<u8>| {
        push(bytes, &[b"DEL", key(index).as_bytes()]);
        Answer::Int(1)
    };
    let [first, read, over, first_gone, new, gone] = OPERATIONS;
    let any = |index| scattered(index, 0, COUNT as u64) as usize;
    [
        asked(first, set),
        asked(read, move |index, bytes| {
            push(bytes, &[b"GET", key(any(index)).as_bytes()]);
            Answer::Bulk(value(7))
        }),
        asked(over, move |index, bytes| set(any(index), bytes)),
        asked(first_gone, move |index, bytes| go(any(index), bytes)),
        asked(new, move |index, bytes| set(COUNT + index, bytes)),
        asked(gone, move |index, bytes| go(COUNT + any(index), bytes)),
    ]
}
