//! What an option's value may be: how its text is read, checked and shown.
//! Nothing here knows an option by name; a row brings the functions that reach its field.
//! Error texts are those of Redis' CONFIG SET.

use super::{ClientMemory, Config, MaxMemory, OutputLimit};
use store::PrefixRules;

/// The kind of an option's value, with the way to its field.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A whole number in a range.
    Integer {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
        /// Reads the field.
        read: fn(&Config) -> i64,
        /// Writes the field; the number lies in the range.
        write: fn(&mut Config, i64),
    },
    /// A number of bytes in a range, with Redis' units.
    Size {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
        /// Reads the field.
        read: fn(&Config) -> u64,
        /// Writes the field; the number lies in the range.
        write: fn(&mut Config, u64),
    },
    /// `yes` or `no`.
    YesNo {
        /// Reads the field.
        read: fn(&Config) -> bool,
        /// Writes the field.
        write: fn(&mut Config, bool),
    },
    /// One word of a list.
    Word {
        /// The words.
        words: &'static [&'static str],
        /// The place of the field's word in the list.
        read: fn(&Config) -> usize,
        /// Writes the field by place.
        write: fn(&mut Config, usize),
    },
    /// Any text.
    Text {
        /// Reads the field.
        read: fn(&Config) -> &str,
        /// Writes the field.
        write: fn(&mut Config, &str),
    },
    /// Addresses to listen on.
    Addresses,
    /// The memory limit: bytes, a percentage, or `auto`.
    MemoryLimit,
    /// What clients may hold: bytes, or a percentage of the memory limit.
    ClientMemory,
    /// Output limits by class of client.
    OutputLimits,
    /// Names of hosts.
    Hosts,
    /// Signs that end a segment of a key's prefix.
    Delimiters,
    /// Something that is not here or cannot be otherwise: one value, which is accepted.
    Fixed(&'static str),
}

/// As many as Redis takes; a listener costs every shard a socket.
const ADDRESSES_MAX: usize = 16;
/// Each request compares its Host with all of them.
const HOSTS_MAX: usize = 64;

impl Kind {
    /// Whether a line of a file may give the value as several words.
    pub fn takes_words(&self) -> bool {
        matches!(
            self,
            Kind::Addresses | Kind::Hosts | Kind::OutputLimits | Kind::Fixed(_)
        )
    }

    /// Gives the option the value that the text says.
    ///
    /// # Errors
    /// Redis' text; nothing has changed then.
    pub fn write(&self, config: &mut Config, text: &str) -> Result<(), String> {
        match *self {
            Kind::Integer {
                min, max, write, ..
            } => {
                let number = integer(text)?;
                within(number, min, max)?;
                write(config, number);
            }
            Kind::Size {
                min, max, write, ..
            } => {
                let bytes = memory_bytes(text).ok_or(NOT_MEMORY)?;
                within(bytes, min, max)?;
                write(config, bytes);
            }
            Kind::YesNo { write, .. } => {
                let yes = text.eq_ignore_ascii_case("yes");
                if !yes && !text.eq_ignore_ascii_case("no") {
                    return Err("argument must be 'yes' or 'no'".into());
                }
                write(config, yes);
            }
            Kind::Word { words, write, .. } => {
                let place = words
                    .iter()
                    .position(|word| word.eq_ignore_ascii_case(text));
                let choices = || {
                    format!(
                        "argument(s) must be one of the following: {}",
                        words.join(", ")
                    )
                };
                write(config, place.ok_or_else(choices)?);
            }
            Kind::Text { write, .. } => write(config, text),
            Kind::Addresses => config.bind = addresses(text)?,
            Kind::Hosts => config.metrics_hosts = hosts(text)?,
            Kind::MemoryLimit => config.maxmemory = memory_limit(text)?,
            Kind::ClientMemory => config.maxmemory_clients = client_memory(text)?,
            Kind::OutputLimits => output_limits(config, text)?,
            Kind::Delimiters => {
                let PrefixRules { is_on, .. } = config.prefix_rules;
                let depth = config.prefix_rules.depth();
                let rules = PrefixRules::new(is_on, text.as_bytes(), depth);
                config.prefix_rules = rules
                    .filter(|_| text.is_ascii())
                    .ok_or("argument must be one to four signs, and no letter, digit or *")?;
            }
            Kind::Fixed(only) => {
                if !text.eq_ignore_ascii_case(only) {
                    let shown = if only.is_empty() { "\"\"" } else { only };
                    return Err(format!(
                        "argument must be {shown}, the only value this server has"
                    ));
                }
            }
        }
        Ok(())
    }

    /// The value as CONFIG GET shows it.
    pub fn read(&self, config: &Config) -> String {
        match *self {
            Kind::Integer { read, .. } => read(config).to_string(),
            Kind::Size { read, .. } => read(config).to_string(),
            Kind::YesNo { read, .. } => if read(config) { "yes" } else { "no" }.to_owned(),
            Kind::Word { words, read, .. } => words[read(config)].to_owned(),
            Kind::Text { read, .. } => read(config).to_owned(),
            Kind::Addresses => config.bind.join(" "),
            Kind::Hosts => config.metrics_hosts.clone(),
            Kind::MemoryLimit => config.maxmemory_bytes.to_string(),
            Kind::ClientMemory => match config.maxmemory_clients {
                ClientMemory::Bytes(bytes) => bytes.to_string(),
                ClientMemory::Percent(share) => format!("{share}%"),
            },
            Kind::OutputLimits => {
                let limits = &config.client_output_buffer_limits;
                [
                    ("normal", limits.normal),
                    ("slave", limits.replica),
                    ("pubsub", limits.pubsub),
                ]
                .map(|(class, limit)| {
                    format!(
                        "{class} {} {} {}",
                        limit.hard_bytes, limit.soft_bytes, limit.soft_seconds
                    )
                })
                .join(" ")
            }
            Kind::Delimiters => {
                let delimiters = config.prefix_rules.delimiters();
                String::from_utf8_lossy(&delimiters).into_owned()
            }
            Kind::Fixed(only) => only.to_owned(),
        }
    }

    /// What the option takes, in words, for the file and for a refused start.
    pub fn takes(&self) -> String {
        match *self {
            Kind::Integer { min, max, .. } => format!("a number from {min} to {max}"),
            Kind::Size { min, max, .. } => {
                format!("a size from {min} to {max} bytes, such as 512mb")
            }
            Kind::YesNo { .. } => "yes or no".into(),
            Kind::Word { words: [only], .. } => format!("only {only}, so far"),
            Kind::Word { words, .. } => format!("one of {}", words.join(", ")),
            Kind::Text { .. } => "a text".into(),
            Kind::Addresses => format!("1 to {ADDRESSES_MAX} addresses"),
            Kind::Hosts => "names of hosts without a port, or *".into(),
            Kind::MemoryLimit => {
                "auto, a percentage such as 60%, or a size such as 1gb; 0 is no limit".into()
            }
            Kind::ClientMemory => {
                "a percentage of maxmemory such as 5%, or a size such as 1gb; 0 is no limit".into()
            }
            Kind::OutputLimits => "a class (normal, replica, pubsub), hard limit, soft limit, \
                                   seconds; any number of these"
                .into(),
            Kind::Delimiters => "one to four signs, none a letter, a digit or *".into(),
            Kind::Fixed("") => "only \"\"".into(),
            Kind::Fixed(only) => format!("only {only}"),
        }
    }
}

/// As many as fit the number Redis keeps; also in microseconds it fits 64 bits.
const SOFT_SECONDS_MAX: u64 = i32::MAX as u64;

const NOT_MEMORY: &str = "argument must be a memory value";

fn within<N: PartialOrd + std::fmt::Display>(number: N, min: N, max: N) -> Result<(), String> {
    if number < min || number > max {
        return Err(format!(
            "argument must be between {min} and {max} inclusive"
        ));
    }
    Ok(())
}

/// A decimal integer as Redis reads one: no plus sign, no leading zero, no spaces.
fn integer(text: &str) -> Result<i64, String> {
    resp::number::parse_i64(text.as_bytes())
        .ok_or_else(|| "argument couldn't be parsed into an integer".into())
}

/// A number of bytes with one of Redis' units: `b`, `k` and `kb` (1000 and 1024), `m`, `mb`, `g`, `gb`, in any case.
/// `None` for anything else, and for more than 2^63 - 1 bytes.
pub fn memory_bytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match &unit.to_ascii_lowercase()[..] {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    let bytes = number.parse::<u64>().ok()?.checked_mul(factor)?;
    i64::try_from(bytes).is_ok().then_some(bytes)
}

fn memory_limit(text: &str) -> Result<MaxMemory, String> {
    if text.eq_ignore_ascii_case("auto") {
        return Ok(MaxMemory::Auto);
    }
    if let Some(share) = text.strip_suffix('%') {
        let digits = !share.is_empty() && share.bytes().all(|byte| byte.is_ascii_digit());
        let share = share
            .parse()
            .ok()
            .filter(|share| digits && (1..=100).contains(share));
        return share.map(MaxMemory::Percent).ok_or(NOT_MEMORY.into());
    }
    memory_bytes(text)
        .map(MaxMemory::Bytes)
        .ok_or(NOT_MEMORY.into())
}

fn client_memory(text: &str) -> Result<ClientMemory, String> {
    const NEITHER: &str = "argument must be a memory or percent value";
    let Some(digits) = text.strip_suffix('%') else {
        let bytes = memory_bytes(text).ok_or(NEITHER)?;
        return Ok(ClientMemory::Bytes(bytes));
    };
    match resp::number::parse_u64(digits.as_bytes()).ok_or(NEITHER)? {
        0 => Ok(ClientMemory::Bytes(0)),
        share @ 1..=100 => Ok(ClientMemory::Percent(share as u8)),
        _ => Err("percentage argument must be less or equal to 100".into()),
    }
}

fn addresses(text: &str) -> Result<Vec<String>, String> {
    let addresses: Vec<String> = text.split_ascii_whitespace().map(str::to_owned).collect();
    if addresses.len() > ADDRESSES_MAX {
        return Err("Too many bind addresses specified.".into());
    }
    Ok(addresses)
}

/// Names, with one space between.
fn hosts(text: &str) -> Result<String, String> {
    let names: Vec<&str> = text.split_ascii_whitespace().collect();
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_name = |name: &&str| *name == "*" || name.bytes().all(is_sign);
    if names.len() > HOSTS_MAX || !names.iter().all(is_name) {
        return Err(format!(
            "argument must be at most {HOSTS_MAX} names of hosts without a port, or *"
        ));
    }
    Ok(names.join(" "))
}

fn output_limits(config: &mut Config, text: &str) -> Result<(), String> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    if words.is_empty() || !words.len().is_multiple_of(4) {
        return Err("Wrong number of arguments in buffer limit configuration.".into());
    }
    let mut limits = config.client_output_buffer_limits;
    for four in words.chunks_exact(4) {
        let class = match &four[0].to_ascii_lowercase()[..] {
            "normal" => &mut limits.normal,
            "replica" | "slave" => &mut limits.replica,
            "pubsub" => &mut limits.pubsub,
            _ => {
                return Err("Invalid client class specified in buffer limit configuration.".into());
            }
        };
        *class = output_limit(four)
            .ok_or("Error in hard, soft or soft_seconds setting in buffer limit configuration.")?;
    }
    config.client_output_buffer_limits = limits;
    Ok(())
}

fn output_limit(four: &[&str]) -> Option<OutputLimit> {
    Some(OutputLimit {
        hard_bytes: memory_bytes(four[1])?,
        soft_bytes: memory_bytes(four[2])?,
        soft_seconds: resp::number::parse_u64(four[3].as_bytes())
            .filter(|seconds| *seconds <= SOFT_SECONDS_MAX)?,
    })
}
