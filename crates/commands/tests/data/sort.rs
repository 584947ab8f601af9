//! SORT, and generated calls of it against a redis-server.

use resp::Proto;
use testkit::Cluster;
use testkit::generate::{Random, Words};
use testkit::oracle::{Oracle, compare, sorted};

use super::{SHARDS, script, shown};

#[test]
fn elements_are_sorted_by_numbers_or_texts() {
    script(
        r#"
        rpush l 3 10 2 1 => 4
        sort l => ["1", "2", "3", "10"]
        sort l desc => ["10", "3", "2", "1"]
        sort l alpha => ["1", "10", "2", "3"]
        sort l ALPHA DESC LIMIT 1 2 => ["2", "10"]
        sort l asc desc asc => ["1", "2", "3", "10"]
        sort_ro l => ["1", "2", "3", "10"]
        sadd s 3 10 2 => 3
        sort s desc => ["10", "3", "2"]
        rpush t b a '' => 3
        sort t => (ERR One or more scores can't be converted into double)
        sort t limit 0 0 => (ERR One or more scores can't be converted into double)
        sort t alpha => ["", "a", "b"]
        sort t by nosort => ["b", "a", ""]
        sort t by nosort desc => ["", "a", "b"]
        zadd z 1 c 2 a 3 b => 3
        sort z alpha desc => ["c", "b", "a"]
        sort z by nosort => ["c", "a", "b"]
        sort z by nosort desc limit 0 2 => ["b", "a"]
        sort z by nosort limit 1 -1 get # get x => ["a", nil, "b", nil]
        sort z => (ERR One or more scores can't be converted into double)
        sort none => []
        sort none store d => 0
        set str x => OK
        sort str => (WRONGTYPE Operation against a key holding the wrong kind of value)
        sort str by w_* => (WRONGTYPE Operation against a key holding the wrong kind of value)
        sort_ro str get w_* => (WRONGTYPE Operation against a key holding the wrong kind of value)
        sort str foo => (ERR syntax error)
        "#,
    );
}

#[test]
fn limits_may_be_anything() {
    script(
        r#"
        rpush l 3 2 1 => 3
        sort l limit -1 2 => ["1", "2"]
        sort l limit 1 -1 => ["2", "3"]
        sort l limit 5 2 => []
        sort l limit -9223372036854775808 -9223372036854775808 => ["1", "2", "3"]
        sort l limit 9223372036854775807 9223372036854775807 => []
        sort l limit 1 9223372036854775807 => ["2", "3"]
        sort l by x limit 1 1 => ["2"]
        sort l by x desc limit 0 2 => ["1", "2"]
        sort l limit 1 => (ERR syntax error)
        sort l limit x 1 => (ERR value is not an integer or out of range)
        sort l limit 1 9223372036854775808 => (ERR value is not an integer or out of range)
        sort l by => (ERR syntax error)
        sort l get => (ERR syntax error)
        sort l store => (ERR syntax error)
        sort_ro l store d => (ERR syntax error)
        "#,
    );
}

#[test]
fn keys_made_of_elements_are_read_wherever_they_lie() {
    script(
        r#"
        rpush l 1 2 3 4 => 4
        mset w_1 3 w_2 1 w_3 2 => OK
        sort l by w_* => ["4", "2", "3", "1"]
        sort l by w_* desc => ["1", "3", "2", "4"]
        sort l by w_* alpha get # get w_* get n_* get x => ["4", nil, nil, nil, "2", "1", nil, nil, "3", "2", nil, nil, "1", "3", nil, nil]
        hset h_1 f 1 g x => 2
        hset h_2 f 3 => 1
        hset h_3 f 2 => 1
        sort l by h_*->f get h_*->f get h_*->g limit 1 3 => ["1", "x", "2", nil, "3", nil]
        sort l by h_*->f get h_* limit 1 1 => [nil]
        sort l get w_*->f limit 0 1 => [nil]
        set w_4 x => OK
        sort l by w_* => (ERR One or more scores can't be converted into double)
        sort l by w_* alpha => ["2", "3", "1", "4"]
        sort l by w_* get # store l => (ERR One or more scores can't be converted into double)
        sort l by w_* alpha get # get n_* store d => 8
        lrange d 0 -1 => ["2", "", "3", "", "1", "", "4", ""]
        sort l by w_* by nosort desc => ["4", "3", "2", "1"]
        "#,
    );
}

#[test]
fn what_is_stored_takes_the_place_of_anything() {
    script(
        r#"
        sadd s b a c => 3
        set d x ex 100 => OK
        sort s alpha store d => 3
        lrange d 0 -1 => ["a", "b", "c"]
        ttl d => -1
        sort s by nosort desc limit 0 2 store d => 2
        lrange d 0 -1 => ["c", "b"]
        sort s alpha limit 3 1 store d => 0
        exists d => 0
        sort s alpha store s => 3
        type s => list
        sort none by w_* get w_* store s => 0
        exists s => 0
        "#,
    );
}

#[test]
fn a_long_list_is_sorted_by_keys_on_all_shards() {
    for shards in SHARDS {
        let mut cluster = Cluster::new(shards);
        let mut expected = Vec::new();
        for number in 0..3000u32 {
            let weight = number.wrapping_mul(2_654_435_761) % 100_003;
            cluster.run(&["rpush", "l", &number.to_string()]);
            cluster.run(&["set", &format!("w_{number}"), &weight.to_string()]);
            expected.push((weight, number));
        }
        expected.sort();
        let expected: Vec<_> = expected
            .iter()
            .map(|(weight, number)| format!("\"{number}\", \"{weight}\""))
            .collect();
        let sorted = cluster.run(&["sort", "l", "by", "w_*", "get", "#", "get", "w_*"]);
        assert_eq!(shown(&sorted), format!("[{}]", expected.join(", ")));
    }
}

const KEYS: [&str; 8] = ["l", "s", "z", "texts", "{t}l", "{t}s", "str", "none"];

/// Generated calls of SORT, and changes of what it sorts.
struct Sorts {
    random: Random,
}

impl Sorts {
    fn element(&mut self) -> String {
        match self.random.below(8) {
            0 => format!("{}.5", self.random.below(10)),
            1 => format!("-{}e1", self.random.below(10)),
            _ => self.random.below(25).to_string(),
        }
    }

    fn word(&mut self, letter: &str) -> String {
        let pick = |random: &mut Random, words: &[&str]| (*random.pick(words)).to_owned();
        match letter {
            "K" => pick(&mut self.random, &KEYS),
            "E" => self.element(),
            // No number that is too large: after one, 7.0 refuses others for a while, as it never resets C's errno.
            "T" => pick(
                &mut self.random,
                &["a", "b", "inf", "-inf", "0x1f", "nan", "", "xx"],
            ),
            "B" => pick(
                &mut self.random,
                &["w_*", "w_*", "h_*->f", "nosort", "#", "*", "m_*", "t_*"],
            ),
            "G" => pick(
                &mut self.random,
                &["#", "w_*", "h_*->f", "h_*->", "x", "h_*", "w_*->f", "{t}*"],
            ),
            "I" => pick(
                &mut self.random,
                &[
                    "0",
                    "1",
                    "3",
                    "10",
                    "-1",
                    "-5",
                    "9223372036854775807",
                    "-9223372036854775808",
                    "x",
                ],
            ),
            word => word.to_owned(),
        }
    }

    fn options(&mut self) -> String {
        let mut options = String::new();
        let mut stores = true;
        for option in [
            " by B",
            " by B",
            " limit I I",
            " get G",
            " get G",
            " desc",
            " asc",
            " alpha",
            " alpha",
            " store K",
        ] {
            // What is stored must not depend on an order that chance decides.
            stores &= !(options.contains("by") && options.contains("alpha"));
            if self.random.one_in(4) && (stores || option != " store K") {
                options.push_str(option);
            }
        }
        if self.random.one_in(40) {
            let wrong = *self.random.pick(&[" by", " limit 1", " what", " store"]);
            options.push_str(wrong);
        }
        options
    }

    fn next_command(&mut self) -> Words {
        const PATTERNS: &[&str] = &[
            "rpush l E E E",
            "rpush {t}l E",
            "sadd s E E",
            "sadd {t}s E E E",
            "sadd s T",
            "zadd z E E E E",
            "zadd z 1 T",
            "zremrangebyrank z 0 3",
            "rpush texts T E",
            "ltrim l -12 -1",
            "ltrim {t}l -12 -1",
            "ltrim texts -7 -1",
            "del K",
            "del s",
            "set str E",
            "rename K l",
        ];
        const VALUES: &[&str] = &[
            "set w_E E",
            "set w_E E",
            "set t_E T",
            "hset h_E f E",
            "set {t}E E",
            "del w_E",
            "del h_E",
        ];
        let pattern = match self.random.below(4) {
            0 => (*self.random.pick(PATTERNS)).to_owned(),
            1 => (*self.random.pick(VALUES)).to_owned(),
            2 => "sort_ro K".to_owned() + &self.options(),
            _ => "sort K".to_owned() + &self.options(),
        };
        let words: Vec<_> = pattern
            .split(' ')
            .map(|letters| match letters.strip_suffix('E') {
                Some(prefix) if !prefix.is_empty() => prefix.to_owned() + &self.word("E"),
                _ => self.word(letters),
            })
            .collect();
        words.into_iter().map(String::into_bytes).collect()
    }
}

/// Whether chance decides the order of the answer: that of a set as it lies, or of what weighs the same as a text.
fn is_in_any_order(words: &Words) -> bool {
    let has = |word: &str| words.iter().any(|other| other == word.as_bytes());
    has("by") && (has("alpha") || has("nosort") || has("#"))
}

#[test]
fn every_generated_sort_is_answered_as_redis_answers_it() {
    const COMMANDS: usize = 12_000;
    let Some(mut oracle) = Oracle::start("every_generated_sort") else {
        return;
    };
    for (shards, proto) in [(1, Proto::Resp2), (2, Proto::Resp3), (4, Proto::Resp2)] {
        let mut cluster = Cluster::new(shards);
        cluster.speak(proto);
        oracle.connect(proto);
        oracle.run(&["flushall"]);
        let mut sorts = Sorts {
            random: Random::new(u64::from(shards)),
        };
        for command in 0..COMMANDS {
            let words = sorts.next_command();
            let core = sorts.random.below(u64::from(shards)) as usize;
            cluster.connect_to(core);
            let (ours, theirs) = (cluster.run(&words), oracle.run(&words));
            let is_same = match (&ours, &theirs) {
                (resp::Reply::Array(ours), resp::Reply::Array(theirs))
                    if is_in_any_order(&words) =>
                {
                    let has_limit = words.iter().any(|word| word == b"limit");
                    ours.len() == theirs.len() && (has_limit || sorted(ours) == sorted(theirs))
                }
                _ => false,
            };
            if is_same {
                continue;
            }
            compare(&words, &ours, &theirs).unwrap_or_else(|difference| {
                let value = oracle.run(&[&b"lrange"[..], &words[1], b"0", b"-1"]);
                panic!("{shards} shards, command {command}: {difference} of {value:?}")
            });
            if command % 500 == 0 {
                cluster.cores().iter().for_each(|core| core.shard.check());
            }
        }
    }
}
