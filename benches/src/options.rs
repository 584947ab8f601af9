//! Owns the command line: one subcommand, options with a value each.
//! Never here: a default that depends on the measurement; each states its own.
//! Source: none.

use std::path::PathBuf;

use crate::workload::Operation;

/// What stands in the help text under the subcommands.
pub const OPTIONS_HELP: &str = "\
options (each measurement has its own defaults):
  --seconds S        length of one window                       (1; smoke 0.3)
  --rounds N         interleaved rounds, medians are shown      (7; smoke 3)
  --connections N    connections of the generator               (50)
  --pipeline A,B     commands sent together                     (1,16,64)
  --commands A,B     set, get                                   (set,get)
  --keys A,B         keys; 5m is five million, 200k two hundred thousand
  --value A,B        bytes a value
  --shards N         shards of pinyon where not given by the measurement
  --traces PATH      a trace, or a directory of them (replay)
  --percent A,B      room for so much of a trace's different keys (replay)
  --limit MIB        the memory limit in MiB (resident)
  --pinyon PATH      the server under measurement (a second redis-server shows the noise)
  --redis PATH       what it is held against: a redis-server, a valkey-server, or
                     (server, footprint) a memcached; `none` leaves it out
  --out DIR          where results are written";

/// Options as typed; None: the measurement decides.
#[derive(Clone, Default)]
pub struct Options {
    /// Seconds of a window.
    pub seconds: Option<f64>,
    /// Interleaved rounds.
    pub rounds: Option<usize>,
    /// Connections of the generator.
    pub connections: Option<usize>,
    /// Commands in a batch.
    pub pipelines: Option<Vec<usize>>,
    /// SET, GET.
    pub operations: Option<Vec<Operation>>,
    /// Keys.
    pub keys: Option<Vec<u64>>,
    /// Bytes a value.
    pub values: Option<Vec<usize>>,
    /// Shards of pinyon.
    pub shards: Option<usize>,
    /// A trace, or a directory of them.
    pub traces: Option<PathBuf>,
    /// Percents of a trace's different keys that there is room for.
    pub percents: Option<Vec<usize>>,
    /// Memory limit in MiB.
    pub limit_mib: Option<usize>,
    /// The server under measurement.
    pub pinyon: PathBuf,
    /// The server beside it.
    pub redis: Option<PathBuf>,
    /// Where results go.
    pub out: PathBuf,
}

fn list<T>(text: &str, one: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    text.split(',').map(|part| one(part.trim())).collect()
}

fn positive(text: &str) -> Option<usize> {
    text.parse()
        .ok()
        .filter(|&number| (1..=1 << 20).contains(&number))
}

fn operation(text: &str) -> Option<Operation> {
    match text.to_ascii_lowercase().as_str() {
        "set" => Some(Operation::Set),
        "get" => Some(Operation::Get),
        _ => None,
    }
}

/// `20m`, `200k`, or plain digits.
fn keys(text: &str) -> Option<u64> {
    let (digits, unit) = match text.to_ascii_lowercase() {
        text if text.ends_with('m') => (text[..text.len() - 1].to_string(), 1_000_000),
        text if text.ends_with('k') => (text[..text.len() - 1].to_string(), 1_000),
        text => (text, 1),
    };
    let number: u64 = digits.parse().ok()?;
    number
        .checked_mul(unit)
        .filter(|number| (1..=200_000_000).contains(number))
}

impl Options {
    /// Reads the words after the subcommand.
    pub fn parse(words: &[String]) -> Result<Options, String> {
        let mut options = Options {
            pinyon: "target/release/pinyon".into(),
            redis: Some("redis-server".into()),
            out: "target/bench".into(),
            ..Options::default()
        };
        for pair in words.chunks(2) {
            let [name, value] = pair else {
                return Err(format!("{} needs a value", pair[0]));
            };
            options
                .set(name, value)
                .ok_or(format!("{name} {value}: no such option or value"))?;
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "--seconds" => {
                let seconds = value.parse().ok().filter(|s| (0.05..=600.0).contains(s))?;
                self.seconds = Some(seconds);
            }
            "--rounds" => self.rounds = Some(positive(value)?),
            "--connections" => self.connections = Some(positive(value)?),
            "--pipeline" => self.pipelines = Some(list(value, positive)?),
            "--commands" => self.operations = Some(list(value, operation)?),
            "--keys" => self.keys = Some(list(value, keys)?),
            "--value" => self.values = Some(list(value, positive)?),
            "--shards" => self.shards = Some(positive(value)?),
            "--traces" => self.traces = Some(value.into()),
            "--percent" => self.percents = Some(list(value, positive)?),
            "--limit" => self.limit_mib = Some(positive(value)?),
            "--pinyon" => self.pinyon = value.into(),
            "--redis" => self.redis = (value != "none").then(|| value.into()),
            "--out" => self.out = value.into(),
            _ => return None,
        }
        Some(())
    }

    /// The first of `--keys`, or the default.
    pub fn key_count(&self, default: u64) -> u64 {
        self.keys.as_ref().map_or(default, |keys| keys[0])
    }

    /// The first of `--value`, or 32.
    pub fn value_bytes(&self) -> usize {
        self.values.as_ref().map_or(32, |values| values[0])
    }

    /// `--commands`, or SET and GET.
    pub fn operations(&self) -> Vec<Operation> {
        self.operations
            .clone()
            .unwrap_or(vec![Operation::Set, Operation::Get])
    }

    /// `--pipeline`, or the default.
    pub fn pipelines(&self, default: &[usize]) -> Vec<usize> {
        self.pipelines.clone().unwrap_or(default.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        let words: Vec<String> = line.split(' ').map(ToString::to_string).collect();
        Options::parse(&words)
    }

    #[test]
    fn keys_may_be_written_in_millions_and_thousands() {
        let options = parse("--keys 5m,10M,200k,7").unwrap();
        assert_eq!(options.keys, Some(vec![5_000_000, 10_000_000, 200_000, 7]));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "--keys 0",
            "--rounds x",
            "--seconds -1",
            "--colour red",
            "--rounds",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
