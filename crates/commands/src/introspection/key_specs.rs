//! Key specifications: where each way of using keys begins, and how to find the keys, as COMMAND INFO tells it.
//! Nothing here looks at a call; its keys are found by `positions`.
//! Source: the reply shape of redis-server 7.

use super::write_words;
use crate::Command;
use crate::row::{Keys, Movable};
use resp::Writer;

/// Stands between the flags of one key and the next in a row whose keys are used differently.
const NEXT_KEY: &str = "/";
/// Flags of the keys of one way.
type Way = &'static [&'static str];

/// Keys of a command that are used in one way: where they begin and how to find them.
pub struct KeySpec {
    begin: Begin,
    find: Find,
    /// How they are used.
    pub flags: Way,
}

enum Begin {
    Index(i32),
    Keyword { word: String, from: usize },
    Unknown,
}

enum Find {
    /// The last key counted from the first, or from the end when negative; `limit` 2 is the first half.
    Range {
        last: i32,
        step: i32,
        limit: i64,
    },
    Count,
    Unknown,
}

const ONE: Find = Find::Range {
    last: 0,
    step: 1,
    limit: 0,
};

/// The specifications of a row: one for each way of using its keys.
pub fn key_specs(row: &Command) -> Vec<KeySpec> {
    if !row.keys.any() {
        return Vec::new();
    }
    let ways: Vec<Way> = row.key_flags.split(|flag| *flag == NEXT_KEY).collect();
    let Keys {
        first,
        last,
        step,
        movable,
    } = row.keys;
    let in_place = match (first, row.keys.moves()) {
        (0, _) => 0,
        (_, true) => 1,
        (_, false) => ways.len(),
    };
    let (in_place, behind) = ways.split_at(in_place);
    let fixed = |(nth, &flags): (usize, &Way)| {
        let begin = first + nth as i32 * step;
        let find = if nth + 1 < in_place.len() {
            ONE
        } else {
            Find::Range {
                last: if last < 0 { last } else { last - begin },
                step,
                limit: 0,
            }
        };
        KeySpec {
            begin: Begin::Index(begin),
            find,
            flags,
        }
    };
    let mut specs: Vec<KeySpec> = in_place.iter().enumerate().map(fixed).collect();
    specs.extend(moving(movable, behind));
    specs
}

fn moving(movable: Movable, ways: &[Way]) -> Vec<KeySpec> {
    let keyword = |word: &str, from, find, flags| KeySpec {
        begin: Begin::Keyword {
            word: word.to_ascii_uppercase(),
            from,
        },
        find,
        flags,
    };
    let way = ways.last().copied().unwrap_or_default();
    match movable {
        Movable::No => Vec::new(),
        Movable::Counted { at } => vec![KeySpec {
            begin: Begin::Index(at as i32),
            find: Find::Count,
            flags: way,
        }],
        Movable::Half { word, from, .. } => {
            let half = Find::Range {
                last: -1,
                step: 1,
                limit: 2,
            };
            vec![keyword(word, from, half, way)]
        }
        Movable::Optional {
            words,
            from,
            options: &[],
        } => words
            .iter()
            .map(|word| keyword(word, from, ONE, way))
            .collect(),
        // Among options with arguments of their own no search for a word is sure; patterns are found by no search.
        Movable::Optional { .. } => ways
            .iter()
            .map(|&flags| KeySpec {
                begin: Begin::Unknown,
                find: Find::Unknown,
                flags,
            })
            .collect(),
    }
}

impl KeySpec {
    /// Writes it as COMMAND INFO shows it.
    pub fn write(&self, out: &mut Writer<'_>) {
        out.map(3);
        out.bulk(b"flags");
        write_words(out, self.flags.iter().copied());
        out.bulk(b"begin_search");
        match &self.begin {
            Begin::Index(index) => write_spec(out, "index", &[("index", i64::from(*index))]),
            Begin::Keyword { word, from } => {
                write_type(out, "keyword", 2);
                out.bulk(b"keyword");
                out.bulk(word.as_bytes());
                out.bulk(b"startfrom");
                out.int(*from as i64);
            }
            Begin::Unknown => write_spec(out, "unknown", &[]),
        }
        out.bulk(b"find_keys");
        match self.find {
            Find::Range { last, step, limit } => {
                let range = [
                    ("lastkey", i64::from(last)),
                    ("keystep", i64::from(step)),
                    ("limit", limit),
                ];
                write_spec(out, "range", &range);
            }
            Find::Count => {
                let count = [("keynumidx", 0), ("firstkey", 1), ("keystep", 1)];
                write_spec(out, "keynum", &count);
            }
            Find::Unknown => write_spec(out, "unknown", &[]),
        }
    }
}

fn write_type(out: &mut Writer<'_>, kind: &str, figures: usize) {
    out.map(2);
    out.bulk(b"type");
    out.bulk(kind.as_bytes());
    out.bulk(b"spec");
    out.map(figures);
}

fn write_spec(out: &mut Writer<'_>, kind: &str, figures: &[(&str, i64)]) {
    write_type(out, kind, figures.len());
    for (name, figure) in figures {
        out.bulk(name.as_bytes());
        out.int(*figure);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial;
    use resp::{Proto, Reply};

    /// What COMMAND INFO says of a row with these keys, from its flags on, as words in a line.
    fn told(keys: Keys, key_flags: Way) -> String {
        let row = Command {
            keys,
            key_flags,
            categories: &[],
            ..trial::row()
        };
        let mut bytes = Vec::new();
        super::super::write_info(&mut Writer::new(&mut bytes, Proto::Resp2), &row);
        let (reply, _) = Reply::parse(&bytes).unwrap().unwrap();
        let Reply::Array(facts) = reply else {
            panic!("{reply:?}")
        };
        let mut line = String::new();
        facts[2..].iter().for_each(|fact| flatten(fact, &mut line));
        line.trim_end().to_owned()
    }

    fn flatten(reply: &Reply, line: &mut String) {
        match reply {
            Reply::Array(elements) => elements.iter().for_each(|one| flatten(one, line)),
            Reply::Bulk(word) => *line += &format!("{} ", word.escape_ascii()),
            Reply::Simple(word) => *line += &format!("{} ", word.escape_ascii()),
            Reply::Int(number) => *line += &format!("{number} "),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn keys_behind_a_count_are_told_as_redis_tells_them() {
        assert_eq!(
            told(
                Keys::DESTINATION_COUNTED,
                &["OW", "update", "/", "RO", "access"]
            ),
            "write denyoom movablekeys 1 1 1 @write @slow \
             flags OW update begin_search type index spec index 1 \
             find_keys type range spec lastkey 0 keystep 1 limit 0 \
             flags RO access begin_search type index spec index 2 \
             find_keys type keynum spec keynumidx 0 firstkey 1 keystep 1"
        );
        assert_eq!(
            told(Keys::COUNTED, &["RO", "access"]),
            "write denyoom movablekeys 0 0 0 @write @slow \
             flags RO access begin_search type index spec index 1 \
             find_keys type keynum spec keynumidx 0 firstkey 1 keystep 1"
        );
    }

    #[test]
    fn keys_behind_a_word_are_told_as_redis_tells_them() {
        assert_eq!(
            told(Keys::STREAMS, &["RO", "access"]),
            "write denyoom movablekeys 0 0 0 @write @slow \
             flags RO access begin_search type keyword spec keyword STREAMS startfrom 1 \
             find_keys type range spec lastkey -1 keystep 1 limit 2"
        );
        assert_eq!(
            told(Keys::GEORADIUS, &["RO", "access", "/", "OW", "update"]),
            "write denyoom movablekeys 1 1 1 @write @slow \
             flags RO access begin_search type index spec index 1 \
             find_keys type range spec lastkey 0 keystep 1 limit 0 \
             flags OW update begin_search type keyword spec keyword STORE startfrom 6 \
             find_keys type range spec lastkey 0 keystep 1 limit 0 \
             flags OW update begin_search type keyword spec keyword STOREDIST startfrom 6 \
             find_keys type range spec lastkey 0 keystep 1 limit 0"
        );
    }

    #[test]
    fn keys_that_no_search_finds_are_told_as_unknown() {
        let unknown = "begin_search type unknown spec find_keys type unknown spec";
        let sort = &["RO", "access", "/", "RO", "access", "/", "OW", "update"];
        assert_eq!(
            told(Keys::SORT, sort),
            format!(
                "write denyoom movablekeys 1 1 1 @write @slow \
                 flags RO access begin_search type index spec index 1 \
                 find_keys type range spec lastkey 0 keystep 1 limit 0 \
                 flags RO access {unknown} flags OW update {unknown}"
            )
        );
    }

    #[test]
    fn the_last_way_of_using_keys_holds_for_all_that_follow() {
        assert_eq!(
            told(
                Keys::range(2, -1, 1),
                &["OW", "update", "/", "RO", "access"]
            ),
            "write denyoom 2 -1 1 @write @slow \
             flags OW update begin_search type index spec index 2 \
             find_keys type range spec lastkey 0 keystep 1 limit 0 \
             flags RO access begin_search type index spec index 3 \
             find_keys type range spec lastkey -1 keystep 1 limit 0"
        );
    }
}
