//! LPUSH and its kin, and generated list commands against a redis-server.

use resp::{Proto, Reply};
use testkit::Cluster;
use testkit::generate::{Random, Words};
use testkit::oracle::{Oracle, compare};

use super::{SHARDS, keys_apart, script, shown};

#[test]
fn elements_are_pushed_and_popped_at_both_ends() {
    script(
        r#"
        rpush l b c => 2
        lpush l a 0 => 4
        lrange l 0 -1 => ["0", "a", "b", "c"]
        llen l => 4
        lpop l => "0"
        rpop l => "c"
        lpop l 0 => []
        rpop l 5 => ["b", "a"]
        exists l => 0
        lpop l => nil
        lpop l 2 => nil
        lpop l -1 => (ERR value is out of range, must be positive)
        lpop l x => (ERR value is out of range, must be positive)
        lpop l 1 2 => (ERR wrong number of arguments for 'lpop' command)
        lpushx l a => 0
        rpushx l a => 0
        rpush l 1 => 1
        rpushx l 2 3 => 3
        lpushx l 0 => 4
        lpop l 2 => ["0", "1"]
        "#,
    );
}

#[test]
fn elements_are_read_by_index() {
    script(
        r#"
        rpush l a b c d => 4
        lindex l 0 => "a"
        lindex l -1 => "d"
        lindex l 4 => nil
        lindex l -5 => nil
        lindex l x => (ERR value is not an integer or out of range)
        lindex none x => nil
        lrange l 1 2 => ["b", "c"]
        lrange l -100 100 => ["a", "b", "c", "d"]
        lrange l 3 1 => []
        lrange l -9223372036854775808 9223372036854775807 => ["a", "b", "c", "d"]
        lrange none 0 -1 => []
        lrange none x 0 => (ERR value is not an integer or out of range)
        lset l 1 B => OK
        lset l -1 D => OK
        lset l 4 x => (ERR index out of range)
        lset none 0 x => (ERR no such key)
        lrange l 0 -1 => ["a", "B", "c", "D"]
        ltrim l 1 -2 => OK
        lrange l 0 -1 => ["B", "c"]
        ltrim l 5 9 => OK
        exists l => 0
        ltrim l 0 0 => OK
        "#,
    );
}

#[test]
fn elements_are_found_removed_and_inserted_by_what_they_are() {
    script(
        r#"
        rpush l a b c a b c a => 7
        lpos l a => 0
        lpos l c rank 2 => 5
        lpos l c rank -1 => 5
        lpos l a count 0 => [0, 3, 6]
        lpos l a count 2 rank -1 => [6, 3]
        lpos l a count 0 maxlen 4 => [0, 3]
        lpos l x => nil
        lpos l x count 1 => []
        lpos l a rank -9223372036854775808 => (ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807)
        lpos none a count 1 => []
        lpos l a rank 0 => (ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list)
        lpos l a count -1 => (ERR COUNT can't be negative)
        lpos l a maxlen -1 => (ERR MAXLEN can't be negative)
        lpos l a count => (ERR syntax error)
        lrem l 1 a => 1
        lrem l -1 a => 1
        lrange l 0 -1 => ["b", "c", "a", "b", "c"]
        lrem l 0 b => 2
        lrem l -9223372036854775808 c => 2
        lrem none 0 c => 0
        lrem none x c => (ERR value is not an integer or out of range)
        linsert l before a x => 2
        linsert l after a y => 3
        linsert l after q y => -1
        linsert l near a y => (ERR syntax error)
        linsert none before a y => 0
        lrange l 0 -1 => ["x", "a", "y"]
        "#,
    );
}

#[test]
fn an_element_moves_from_list_to_list_or_within_one() {
    script(
        r#"
        rpush s 1 2 3 => 3
        rpoplpush s t => "3"
        lmove s t left right => "1"
        lmove s t right left => "2"
        exists s => 0
        lrange t 0 -1 => ["2", "3", "1"]
        lmove s t left left => nil
        lmove t t left right => "2"
        rpoplpush t t => "2"
        lmove t t left left => "2"
        lrange t 0 -1 => ["2", "3", "1"]
        lmove t t up down => (ERR syntax error)
        set str x => OK
        lmove t str left left => (WRONGTYPE Operation against a key holding the wrong kind of value)
        lmove str t left left => (WRONGTYPE Operation against a key holding the wrong kind of value)
        lmove s str left left => nil
        llen t => 3
        rpush one 1 => 1
        expire one 100 => 1
        rpoplpush one one => "1"
        ttl one => 100
        "#,
    );
}

#[test]
fn elements_are_taken_from_the_first_list_that_exists() {
    script(
        r#"
        rpush b 1 2 3 => 3
        rpush c 4 => 1
        lmpop 3 a b c left => ["b", ["1"]]
        lmpop 3 a b c right count 10 => ["b", ["3", "2"]]
        lmpop 3 a b c right count 10 => ["c", ["4"]]
        lmpop 3 a b c right count 10 => nil
        lmpop 0 a left => (ERR numkeys should be greater than 0)
        lmpop x a left => (ERR numkeys should be greater than 0)
        lmpop 2 a left => (ERR syntax error)
        lmpop 9223372036854775807 a left => (ERR syntax error)
        lmpop 1 a up => (ERR syntax error)
        lmpop 1 a left count 0 => (ERR count should be greater than 0)
        lmpop 1 a left count 1 count 2 => (ERR syntax error)
        lmpop 1 a left count => (ERR syntax error)
        set a x => OK
        rpush b 1 => 1
        lmpop 2 a b left => (WRONGTYPE Operation against a key holding the wrong kind of value)
        lmpop 2 b a left => ["b", ["1"]]
        "#,
    );
}

#[test]
fn a_list_of_another_type_is_refused() {
    const WRONG: &str = "(WRONGTYPE Operation against a key holding the wrong kind of value)";
    let commands = "lpush s a|rpush s a|lpushx s a|rpushx s a|lpop s|rpop s 1|llen s|lrange s 0 1|lindex s 0|\
                    lset s 0 a|linsert s before a b|lrem s 0 a|ltrim s 0 1|lpos s a|rpoplpush s t";
    let refused: String = commands
        .split('|')
        .map(|command| format!("{command} => {WRONG}\n"))
        .collect();
    script(&format!("set s x => OK\n{refused}get s => \"x\""));
    script(&format!(
        "rpush s x => 1\nget s => {WRONG}\nincr s => {WRONG}\ntype s => list"
    ));
}

#[test]
fn nothing_to_take_is_a_null_array_where_several_were_asked_for() {
    let mut cluster = Cluster::new(1);
    assert_eq!(cluster.run_raw(&["lpop", "no", "1"]), b"*-1\r\n");
    assert_eq!(cluster.run_raw(&["lpop", "no"]), b"$-1\r\n");
    assert_eq!(cluster.run_raw(&["lmpop", "1", "no", "left"]), b"*-1\r\n");
    cluster.speak(Proto::Resp3);
    assert_eq!(cluster.run_raw(&["rpop", "no", "1"]), b"_\r\n");
    assert_eq!(
        cluster.run_raw(&["lmove", "a", "b", "left", "left"]),
        b"_\r\n"
    );
}

#[test]
fn a_list_is_one_pack_until_it_grows_past_the_limit() {
    let long = "x".repeat(4000);
    script(&format!(
        r#"
        rpush l {long} {long} => 2
        object encoding l => "listpack"
        rpush l {long} => 3
        object encoding l => "quicklist"
        lpop l => "{long}"
        object encoding l => "quicklist"
        ltrim l 0 0 => OK
        object encoding l => "listpack"
        config set list-max-listpack-size 3 => OK
        rpush few 1 2 3 => 3
        object encoding few => "listpack"
        lpush few 0 => 4
        object encoding few => "quicklist"
        ltrim few 0 0 => OK
        object encoding few => "listpack"
        config set list-max-ziplist-size -2 => OK
        "#,
    ));
}

#[test]
fn lists_move_between_shards_by_copy_and_rename() {
    for shards in SHARDS {
        let mut cluster = Cluster::new(shards);
        let (one, other) = keys_apart(&cluster);
        for number in 0..3000 {
            cluster.run(&["rpush", &one, &format!("element {number}")]);
        }
        let all = cluster.run(&["lrange", &one, "0", "-1"]);
        assert_eq!(shown(&cluster.run(&["copy", &one, &other])), "1");
        assert_eq!(cluster.run(&["lrange", &other, "0", "-1"]), all);
        assert_eq!(shown(&cluster.run(&["rename", &other, &one])), "OK");
        assert_eq!(cluster.run(&["lrange", &one, "0", "-1"]), all);
        for _ in 0..1500 {
            cluster.run(&["lmove", &one, &other, "left", "right"]);
        }
        assert_eq!(shown(&cluster.run(&["llen", &one])), "1500");
        assert_eq!(
            shown(&cluster.run(&["lindex", &other, "-1"])),
            "\"element 1499\""
        );
        cluster.cores().iter().for_each(|core| core.shard.check());
        cluster.run(&["flushall"]);
        cluster.cores().iter().for_each(|core| core.shard.check());
    }
}

const KEYS: [&str; 7] = ["a", "b", "c", "{t}1", "{t}2", "str", "none"];
const INDEXES: [&str; 14] = [
    "0",
    "1",
    "-1",
    "2",
    "-2",
    "5",
    "-7",
    "30",
    "-40",
    "300",
    "9223372036854775807",
    "-9223372036854775808",
    "x",
    "1.5",
];

/// Generated list commands; elements repeat often, and some are as large as a node or larger.
struct Lists {
    random: Random,
    /// Of all elements, how many are large.
    large_of_100: u64,
}

impl Lists {
    fn element(&mut self) -> String {
        if self.random.below(100) < self.large_of_100 {
            let len = *self.random.pick(&[300, 2000, 8170, 8192, 9000]);
            return self.random.pick(&["p", "q"]).repeat(len);
        }
        match self.random.below(3) {
            0 => self.random.below(6).to_string(),
            1 => (self.random.next_u64() as i64 >> self.random.below(64)).to_string(),
            _ => (*self
                .random
                .pick(&["", "v", "007", "hello", "+1", "some longer text"]))
            .to_owned(),
        }
    }

    fn word(&mut self, letter: &str) -> String {
        match letter {
            "K" => (*self.random.pick(&KEYS)).to_owned(),
            "E" => self.element(),
            "I" => (*self.random.pick(&INDEXES)).to_owned(),
            "N" => (*self.random.pick(&["0", "1", "2", "3", "40", "-1", "x"])).to_owned(),
            "W" => (*self.random.pick(&["left", "RIGHT", "left", "right", "up"])).to_owned(),
            "B" => (*self.random.pick(&["before", "AFTER", "near"])).to_owned(),
            "R" => (*self.random.pick(&["1", "-1", "2", "-3", "0", "x"])).to_owned(),
            word => word.to_owned(),
        }
    }

    fn next_command(&mut self) -> Words {
        const PATTERNS: &[&str] = &[
            "rpush K E",
            "rpush K E E E E E E E E",
            "lpush K E E E",
            "lpush K E",
            "rpush K E E E E",
            "rpushx K E E",
            "lpushx K E",
            "lpop K",
            "rpop K",
            "lpop K N",
            "rpop K N",
            "llen K",
            "lrange K I I",
            "lrange K 0 -1",
            "lindex K I",
            "lindex K I",
            "lset K I E",
            "lset K I E",
            "linsert K B E E",
            "linsert K B E E",
            "lrem K I E",
            "lrem K N E",
            "ltrim K I I",
            "ltrim K 1 -2",
            "lpos K E",
            "lpos K E RANK R",
            "lpos K E COUNT N RANK R",
            "lpos K E MAXLEN N COUNT N",
            "lmove K K W W",
            "lmove K K W W",
            "rpoplpush K K",
            "rpoplpush K K",
            "lmpop 1 K W",
            "lmpop 2 K K W COUNT N",
            "lmpop 3 K K K W",
            "lmpop N K K W",
            "del K",
            "set str E",
            "get K",
            "type K",
            "rename K K",
            "copy K K",
            "copy K K replace",
            "expire K 1000",
            "persist K",
            "exists K",
            "lmove K K W",
        ];
        let pattern = *self.random.pick(PATTERNS);
        let words = pattern.split(' ').map(|letter| self.word(letter));
        words.map(String::into_bytes).collect()
    }
}

/// Large lists are quicklists on both sides; of small ones 7.0 says the same and later ones `listpack`.
fn assert_same_encoding(key: &str, cluster: &mut Cluster, oracle: &mut Oracle) {
    let words = ["object", "encoding", key];
    let (ours, theirs) = (cluster.run(&words), oracle.run(&words));
    if theirs == Reply::Bulk(b"quicklist".to_vec()) {
        let ours = shown(&ours);
        assert!(
            ["\"quicklist\"", "\"listpack\""].contains(&&ours[..]),
            "{key} is {ours}"
        );
    } else {
        assert_eq!(shown(&ours), shown(&theirs), "{key}");
    }
}

#[test]
fn every_generated_list_command_is_answered_as_redis_answers_it() {
    const COMMANDS: usize = 8_000;
    let Some(mut oracle) = Oracle::start("every_generated_list_command") else {
        return;
    };
    let runs = [
        (1, Proto::Resp2, "-2", 0),
        (2, Proto::Resp3, "-2", 8),
        (4, Proto::Resp2, "4", 3),
        (2, Proto::Resp2, "1", 0),
        (4, Proto::Resp3, "-1", 15),
    ];
    for (number, (shards, proto, size, large_of_100)) in runs.into_iter().enumerate() {
        let mut cluster = Cluster::new(shards);
        cluster.speak(proto);
        oracle.connect(proto);
        oracle.run(&["flushall"]);
        let set = ["config", "set", "list-max-listpack-size", size];
        assert_eq!(cluster.run(&set), oracle.run(&set));
        let random = Random::new(number as u64 + 1);
        let mut lists = Lists {
            random,
            large_of_100,
        };
        for command in 0..COMMANDS {
            let words = lists.next_command();
            let core = lists.random.below(u64::from(shards)) as usize;
            cluster.connect_to(core);
            let (ours, theirs) = (cluster.run(&words), oracle.run(&words));
            compare(&words, &ours, &theirs).unwrap_or_else(|difference| {
                panic!("run {number}, command {command}: {difference}")
            });
            if command % 100 == 0 {
                cluster.cores().iter().for_each(|core| core.shard.check());
                KEYS.iter()
                    .for_each(|key| assert_same_encoding(key, &mut cluster, &mut oracle));
            }
        }
        cluster.cores().iter().for_each(|core| core.shard.check());
    }
}

#[test]
fn a_long_list_is_changed_as_redis_changes_it() {
    let Some(mut oracle) = Oracle::start("a_long_list_is_changed_as_redis_changes_it") else {
        return;
    };
    let mut cluster = Cluster::new(1);
    let mut both = |words: &[&str]| {
        let words: Words = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        let (ours, theirs) = (cluster.run(&words), oracle.run(&words));
        compare(&words, &ours, &theirs).unwrap_or_else(|difference| panic!("{difference}"));
    };
    let mut random = Random::new(5);
    for _ in 0..300 {
        let elements: Vec<_> = (0..100)
            .map(|_| format!("element {}", random.below(50_000)))
            .collect();
        let words: Vec<_> = ["rpush", "l"]
            .into_iter()
            .chain(elements.iter().map(String::as_str))
            .collect();
        both(&words);
    }
    for _ in 0..3000 {
        let index = random.below(30_000);
        let element = format!("element {}", random.below(50_000));
        let (from, to) = (index.to_string(), (index + 40).to_string());
        let behind = format!("-{}", 1 + index % 4);
        let few = (index % 5).to_string();
        let words: &[&str] = match random.below(8) {
            0 => &["lset", "l", &from, "new"],
            1 => &["lindex", "l", &from],
            2 => &["lrange", "l", &from, &to],
            3 => &["linsert", "l", "before", &element, "between"],
            4 => &["lrem", "l", "0", &element],
            5 => &["lpos", "l", &element, "rank", "-1"],
            6 => &["ltrim", "l", &few, &behind],
            _ => &["rpop", "l", &few],
        };
        both(words);
    }
    both(&["object", "encoding", "l"]);
    both(&["lrange", "l", "0", "-1"]);
    both(&["ltrim", "l", "10000", "10010"]);
    both(&["lrange", "l", "0", "-1"]);
}

#[test]
fn an_expired_list_gives_no_elements_and_a_moved_one_starts_anew() {
    script(
        r#"
        rpush s 1 2 => 2
        rpush t 9 => 1
        pexpire s 50 => 1
        pexpire t 50 => 1
        lmove s t left right => "1"
        +51
        lpop s => nil
        llen t => 0
        rpush s 3 => 1
        lmove s t left left => "3"
        lrange t 0 -1 => ["3"]
        ttl t => -1
        "#,
    );
}

#[test]
fn rows_of_lists_say_what_redis_says() {
    super::oracle::assert_rows(
        "rows_of_lists_say_what_redis_says",
        "lpush rpush lpushx rpushx lpop rpop llen lrange lindex lset linsert lrem ltrim lpos lmove rpoplpush lmpop",
    );
}
