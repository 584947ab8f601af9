//! Where a command's keys stand among its arguments: at fixed places, behind a count, or behind a word.
//! Never copies an argument and never judges one: a count that makes no sense finds no keys, and the handler says so.
//! Source: the key specifications of redis-server 7's command table.

use resp::Args;
use std::ops::Range;

/// Positions of the keys among the arguments: those in fixed places, as COMMAND INFO shows them (all zero without any;
/// `last` counts from the end when negative), and behind them those whose places depend on the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Index of the first key.
    pub first: i32,
    /// Index of the last key.
    pub last: i32,
    /// Distance from a key to the next.
    pub step: i32,
    /// Keys whose places depend on the arguments.
    pub movable: Movable,
}

/// Keys whose places depend on the arguments; they follow each other without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Movable {
    /// None.
    No,
    /// Argument `at` says how many keys follow it (ZUNION). A count that is no integer, less than one, or more than what
    /// follows finds none.
    Counted {
        /// Index of the count.
        at: usize,
    },
    /// The first half of what follows a word (XREAD).
    Half {
        /// The word, in any case.
        word: &'static str,
        /// Index from which on it stands, as COMMAND INFO tells it. Options are passed over from the name on.
        from: usize,
        /// Options before it.
        options: Options,
    },
    /// One, behind one of several words; where they stand more than once the last counts (GEORADIUS). None when no word stands.
    Optional {
        /// The words, in any case.
        words: &'static [&'static str],
        /// Index from which on they may stand.
        from: usize,
        /// Options among them.
        options: Options,
    },
}

/// Options that a search for a word passes over: each with how many arguments belong to it.
pub type Options = &'static [(&'static str, usize)];

impl Keys {
    /// A command without keys.
    pub const NONE: Keys = Keys::range(0, 0, 0);
    /// One key, right after the name.
    pub const FIRST: Keys = Keys::range(1, 1, 1);
    /// One key after a subcommand's name.
    pub const SECOND: Keys = Keys::range(2, 2, 1);
    /// Two keys after the name.
    pub const PAIR: Keys = Keys::range(1, 2, 1);
    /// Every argument is a key.
    pub const ALL: Keys = Keys::range(1, -1, 1);
    /// Key and value in turn.
    pub const ALTERNATE: Keys = Keys::range(1, -1, 2);
    /// `numkeys key [key ...]` right after the name (ZUNION, SINTERCARD, LMPOP).
    pub const COUNTED: Keys = Keys::NONE.and(Movable::Counted { at: 1 });
    /// `timeout numkeys key [key ...]` (BLMPOP), or `script numkeys key [key ...]`.
    pub const COUNTED_SECOND: Keys = Keys::NONE.and(Movable::Counted { at: 2 });
    /// `destination numkeys key [key ...]` (ZUNIONSTORE).
    pub const DESTINATION_COUNTED: Keys = Keys::FIRST.and(Movable::Counted { at: 2 });
    /// XREAD: the first half of what follows STREAMS.
    pub const STREAMS: Keys = Keys::NONE.and(Movable::Half {
        word: "streams",
        from: 1,
        options: &[("block", 1), ("count", 1), ("group", 2)],
    });
    /// XREADGROUP: as XREAD.
    pub const GROUP_STREAMS: Keys = Keys::NONE.and(Movable::Half {
        word: "streams",
        from: 4,
        options: &[("block", 1), ("count", 1), ("group", 2)],
    });
    /// SORT: a key, and where it STOREs to.
    pub const SORT: Keys = Keys::FIRST.and(Movable::Optional {
        words: &["store"],
        from: 2,
        options: SORT_OPTIONS,
    });
    /// `SORT_RO`: as SORT without STORE. What it reads by patterns makes it movable.
    pub const SORT_RO: Keys = Keys::FIRST.and(Movable::Optional {
        words: &[],
        from: 2,
        options: SORT_OPTIONS,
    });
    /// GEORADIUS: a key, and where it STOREs to.
    pub const GEORADIUS: Keys = Keys::FIRST.and(Movable::Optional {
        words: &["store", "storedist"],
        from: 6,
        options: &[],
    });
    /// GEORADIUSBYMEMBER: as GEORADIUS.
    pub const GEORADIUSBYMEMBER: Keys = Keys::FIRST.and(Movable::Optional {
        words: &["store", "storedist"],
        from: 5,
        options: &[],
    });

    /// Keys in fixed places: from `first` to `last`, one every `step` arguments.
    pub const fn range(first: i32, last: i32, step: i32) -> Keys {
        Keys {
            first,
            last,
            step,
            movable: Movable::No,
        }
    }

    /// These keys, and those that move.
    pub const fn and(self, movable: Movable) -> Keys {
        Keys { movable, ..self }
    }

    /// Whether the command has keys at all.
    pub fn any(&self) -> bool {
        self.first != 0 || self.moves()
    }

    /// Whether places of keys depend on the arguments.
    pub fn moves(&self) -> bool {
        self.movable != Movable::No
    }

    /// Indexes of the keys of a call, those in fixed places first; nothing is allocated.
    #[inline]
    pub fn indexes(&self, args: &Args<'_>) -> impl Iterator<Item = usize> + Clone + use<> {
        self.fixed(args.len()).chain(self.moved(args))
    }

    fn fixed(&self, argc: usize) -> impl Iterator<Item = usize> + Clone + use<> {
        let last = if self.last < 0 {
            argc as i32 + self.last
        } else {
            self.last
        };
        let (first, step) = (self.first.max(1), self.step.max(1));
        let end = if self.first == 0 {
            first
        } else {
            (last + 1).min(argc as i32)
        };
        (first..end.max(first))
            .step_by(step as usize)
            .map(|index| index as usize)
    }

    /// Where the keys stand whose places depend on the arguments.
    #[inline]
    pub fn moved(&self, args: &Args<'_>) -> Range<usize> {
        match self.movable {
            Movable::No => 0..0,
            movable => movable.found(args),
        }
    }
}

const SORT_OPTIONS: Options = &[("limit", 2), ("by", 1), ("get", 1)];

impl Movable {
    fn found(self, args: &Args<'_>) -> Range<usize> {
        match self {
            Movable::No => 0..0,
            Movable::Counted { at } => counted(args, at),
            Movable::Half { word, options, .. } => {
                let behind = first(args, &[word], 1, options).map_or(args.len(), |at| at + 1);
                behind..behind + (args.len() - behind) / 2
            }
            Movable::Optional {
                words,
                from,
                options,
            } => {
                let (mut found, mut from) = (0..0, from);
                while let Some(at) = first(args, words, from, options) {
                    if at + 1 < args.len() {
                        found = at + 1..at + 2;
                    }
                    from = at + 2;
                }
                found
            }
        }
    }
}

fn counted(args: &Args<'_>, at: usize) -> Range<usize> {
    let count = args.get(at).and_then(resp::number::parse_i64);
    let behind = args.len().saturating_sub(at + 1);
    match count.and_then(|count| usize::try_from(count).ok()) {
        Some(count) if count <= behind => at + 1..at + 1 + count,
        _ => 0..0,
    }
}

/// Where the first of `words` stands, from `from` on and not as an argument of an option.
fn first(args: &Args<'_>, words: &[&str], from: usize, options: Options) -> Option<usize> {
    let mut at = from;
    while let Some(argument) = args.get(at) {
        let is = |word: &str| argument.eq_ignore_ascii_case(word.as_bytes());
        if words.iter().any(|word| is(word)) {
            return Some(at);
        }
        let option = options.iter().find(|(word, _)| is(word));
        at += 1 + option.map_or(0, |(_, arguments)| *arguments);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use resp::OwnedArgs;

    /// The keys of a call, joined by spaces.
    fn keys(keys: Keys, line: &str) -> String {
        let mut args = OwnedArgs::new();
        line.split(' ').for_each(|word| args.push(word.as_bytes()));
        let args = args.as_args();
        let words: Vec<_> = keys
            .indexes(&args)
            .map(|index| String::from_utf8_lossy(args.at(index)))
            .collect();
        words.join(" ")
    }

    #[test]
    fn keys_in_fixed_places() {
        assert_eq!(keys(Keys::NONE, "ping a"), "");
        assert_eq!(keys(Keys::FIRST, "get a b"), "a");
        assert_eq!(keys(Keys::PAIR, "rename a b c"), "a b");
        assert_eq!(keys(Keys::ALL, "mget a b c"), "a b c");
        assert_eq!(keys(Keys::ALTERNATE, "mset a 1 b 2"), "a b");
        assert_eq!(keys(Keys::range(2, -1, 1), "bitop and d a b"), "d a b");
    }

    #[test]
    fn keys_behind_a_count() {
        assert_eq!(keys(Keys::COUNTED, "zunion 2 a b weights 1 2"), "a b");
        assert_eq!(keys(Keys::COUNTED_SECOND, "blmpop 0 1 a left"), "a");
        let store = Keys::DESTINATION_COUNTED;
        assert_eq!(keys(store, "zunionstore d 2 a b"), "d a b");
    }

    #[test]
    fn a_count_that_makes_no_sense_finds_no_keys() {
        for count in ["0", "-1", "3", "x", "1.5", "9223372036854775807", ""] {
            assert_eq!(keys(Keys::COUNTED, &format!("zunion {count} a b")), "");
            let store = format!("zunionstore d {count} a b");
            assert_eq!(keys(Keys::DESTINATION_COUNTED, &store), "d");
        }
        assert_eq!(keys(Keys::COUNTED, "zunion"), "");
    }

    #[test]
    fn keys_are_the_first_half_of_what_follows_streams() {
        let streams = |line| keys(Keys::STREAMS, line);
        assert_eq!(streams("xread count 2 STREAMS a b 0 0"), "a b");
        assert_eq!(streams("xread count streams streams a 0"), "a");
        let group = |line| keys(Keys::GROUP_STREAMS, line);
        assert_eq!(group("xreadgroup count 1 group g streams streams k >"), "k");
        assert_eq!(group("xreadgroup group streams c streams k >"), "k");
        assert_eq!(streams("xread streams a b 0"), "a");
        assert_eq!(streams("xread count 2 streams"), "");
        assert_eq!(streams("xread count 2"), "");
    }

    #[test]
    fn the_last_key_that_is_stored_to_counts() {
        let sort = |line| keys(Keys::SORT, line);
        assert_eq!(sort("sort k"), "k");
        assert_eq!(sort("sort k by w_* STORE a store b"), "k b");
        assert_eq!(sort("sort k get store b"), "k");
        assert_eq!(sort("sort k limit store d store e"), "k e");
        assert_eq!(sort("sort k store"), "k");
        assert_eq!(sort("sort k store a store"), "k a");
        assert_eq!(keys(Keys::SORT_RO, "sort_ro k store a"), "k");
        let radius = |line| keys(Keys::GEORADIUS, line);
        assert_eq!(radius("georadius k 1 1 1 m store a storedist b"), "k b");
        assert_eq!(radius("georadius k 1 1 1 m store store b"), "k store");
        assert_eq!(radius("georadius store 1 store 1 m asc"), "store");
    }
}
