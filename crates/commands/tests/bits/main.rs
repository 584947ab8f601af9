//! The bitmap and HyperLogLog families, run in an in-process cluster: scripts, and generated commands beside a redis-server.
//! Never a thread, a socket of ours, or a clock.
//! Source: redis-server 7 for every expected answer.

mod bitmaps;
mod hyperloglogs;

use resp::Reply;
use testkit::Cluster;
use testkit::generate::Words;
use testkit::oracle::{Oracle, compare};

/// The words of a line; `''` stands for an empty argument.
fn words(line: &str) -> Words {
    line.split_whitespace()
        .map(|word| if word == "''" { "" } else { word })
        .map(|word| word.as_bytes().to_vec())
        .collect()
}

/// Runs a script: one command a line, ` => `, and its reply as `Reply` is printed in short.
#[track_caller]
fn script(cluster: &mut Cluster, lines: &str) {
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (command, expected) = line.split_once(" => ").expect("a line has a reply");
        assert_eq!(shown(&cluster.run(&words(command))), expected, "{command}");
    }
    cluster.cores().iter().for_each(|core| core.shard.check());
}

fn shown(reply: &Reply) -> String {
    match reply {
        Reply::Simple(text) => text.escape_ascii().to_string(),
        Reply::Error(text) => format!("({})", String::from_utf8_lossy(text)),
        Reply::Int(number) => number.to_string(),
        Reply::Bulk(text) => format!("\"{}\"", text.escape_ascii()),
        Reply::Null => "nil".to_owned(),
        Reply::Array(replies) => {
            let replies: Vec<_> = replies.iter().map(shown).collect();
            format!("[{}]", replies.join(", "))
        }
        other => format!("{other:?}"),
    }
}

/// A cluster and a redis-server that are asked the same.
struct Pair {
    cluster: Cluster,
    oracle: Oracle,
    differences: Vec<String>,
}

impl Pair {
    /// Starts both; `None`, said aloud, where there is no redis-server.
    fn start(test: &str, shards: u16) -> Option<Pair> {
        Some(Pair {
            cluster: Cluster::new(shards),
            oracle: Oracle::start(test)?,
            differences: Vec::new(),
        })
    }

    /// Asks both and notes a difference.
    fn ask(&mut self, words: &Words) -> Reply {
        let (ours, theirs) = (self.cluster.run(words), self.oracle.run(words));
        if let Err(difference) = compare(words, &ours, &theirs) {
            self.differences.push(difference);
        }
        ours
    }

    /// Checks the shards, and that there was no difference.
    #[track_caller]
    fn finish(self) {
        self.cluster
            .cores()
            .iter()
            .for_each(|core| core.shard.check());
        assert!(
            self.differences.is_empty(),
            "{} differences, the first of them:\n{}",
            self.differences.len(),
            self.differences[..self.differences.len().min(15)].join("\n")
        );
    }
}
