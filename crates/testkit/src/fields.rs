//! Replies that are maps of names: MEMORY's reports, as a map in RESP3 and as a flat array in RESP2.
//! Never tolerant: what is no map, or has no such field, fails the test that asked.
//! Source: none.

use resp::Reply;

/// Names and what they stand for, in the order of the reply.
pub type Fields = Vec<(String, Reply)>;

/// The text of a bulk string.
pub fn text(reply: &Reply) -> String {
    match reply {
        Reply::Bulk(text) => String::from_utf8(text.clone()).expect("names are UTF-8"),
        other => panic!("a text was expected, not {other:?}"),
    }
}

/// The fields of a map in either protocol.
pub fn pairs(reply: &Reply) -> Fields {
    match reply {
        Reply::Map(pairs) => pairs
            .iter()
            .map(|(key, value)| (text(key), value.clone()))
            .collect(),
        Reply::Array(flat) => flat
            .chunks_exact(2)
            .map(|pair| (text(&pair[0]), pair[1].clone()))
            .collect(),
        other => panic!("a map was expected, not {other:?}"),
    }
}

/// What a name stands for.
pub fn field<'a>(fields: &'a [(String, Reply)], name: &str) -> &'a Reply {
    let found = fields.iter().find(|(known, _)| known == name);
    &found.unwrap_or_else(|| panic!("no field {name}")).1
}

/// The number that a name stands for.
pub fn int(fields: &[(String, Reply)], name: &str) -> i64 {
    match field(fields, name) {
        Reply::Int(number) => *number,
        other => panic!("{name} is {other:?}"),
    }
}
