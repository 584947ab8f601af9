//! Streams, run in an in-process cluster: scripts, and generated commands beside a redis-server.
//! Never a thread, a socket of ours, or a clock: time passes when a test says so.
//! Source: redis-server 7 for every expected answer.

mod oracle;
mod scripts;

use resp::Reply;
use testkit::generate::Words;

/// Numbers of shards that every behaviour is checked with.
const SHARDS: [u16; 3] = [1, 2, 4];

/// The words of a line; `''` stands for an empty argument.
fn words(line: &str) -> Words {
    line.split_whitespace()
        .map(|word| if word == "''" { "" } else { word })
        .map(|word| word.as_bytes().to_vec())
        .collect()
}

/// A reply as one line: `OK`, `"bulk"`, `5`, `nil`, `(ERR text)`, `[1, 2]`, `{"a": 1}`.
fn shown(reply: &Reply) -> String {
    let list = |replies: &[Reply]| replies.iter().map(shown).collect::<Vec<_>>().join(", ");
    match reply {
        Reply::Simple(text) => text.escape_ascii().to_string(),
        Reply::Error(text) => format!("({})", String::from_utf8_lossy(text)),
        Reply::Int(number) => number.to_string(),
        Reply::Bulk(text) => format!("\"{}\"", text.escape_ascii()),
        Reply::Null => "nil".to_owned(),
        Reply::Array(replies) => format!("[{}]", list(replies)),
        Reply::Map(pairs) => {
            let pair = |(key, value): &(Reply, Reply)| format!("{}: {}", shown(key), shown(value));
            let pairs: Vec<_> = pairs.iter().map(pair).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        other => format!("{other:?}"),
    }
}
