//! SADD and its kin, and generated set commands against a redis-server.

use std::collections::BTreeSet;

use resp::{Proto, Reply};
use testkit::Cluster;
use testkit::generate::{Random, Words};
use testkit::oracle::{Oracle, compare, sorted};

use super::{SHARDS, keys_apart, script, shown};

#[test]
fn members_are_added_counted_and_removed() {
    script(
        r#"
        sadd s 1 2 3 2 => 3
        sadd s 3 4 => 1
        scard s => 4
        sismember s 4 => 1
        sismember s 04 => 0
        sismember none 4 => 0
        smismember s 1 x 3 => [1, 0, 1]
        smismember none a b => [0, 0]
        smembers s => ["1", "2", "3", "4"]
        object encoding s => "intset"
        srem s 1 9 2 => 2
        srem none 1 => 0
        sadd s x => 1
        object encoding s => "listpack"
        smembers s => ["3", "4", "x"]
        type s => set
        srem s 3 4 x => 3
        exists s => 0
        smembers s => []
        scard s => 0
        sadd s => (ERR wrong number of arguments for 'sadd' command)
        set str x => OK
        sadd str 1 => (WRONGTYPE Operation against a key holding the wrong kind of value)
        srem str 1 => (WRONGTYPE Operation against a key holding the wrong kind of value)
        smembers str => (WRONGTYPE Operation against a key holding the wrong kind of value)
        scard str => (WRONGTYPE Operation against a key holding the wrong kind of value)
        sismember str 1 => (WRONGTYPE Operation against a key holding the wrong kind of value)
        smismember str 1 => (WRONGTYPE Operation against a key holding the wrong kind of value)
        sadd e '' => 1
        sismember e '' => 1
        "#,
    );
}

#[test]
fn members_are_drawn_and_popped() {
    script(
        r#"
        sadd s a => 1
        srandmember s => "a"
        srandmember s 0 => []
        srandmember s 5 => ["a"]
        srandmember s -3 => ["a", "a", "a"]
        srandmember s 9223372036854775807 => ["a"]
        srandmember s -9223372036854775807 => (ERR value is out of range)
        srandmember s -9223372036854775808 => (ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807)
        srandmember s x => (ERR value is not an integer or out of range)
        srandmember s 1 2 => (ERR syntax error)
        srandmember none => nil
        srandmember none 3 => []
        srandmember none -3 => []
        spop s 0 => []
        spop s -1 => (ERR value is out of range, must be positive)
        spop s x => (ERR value is out of range, must be positive)
        spop s 1 2 => (ERR syntax error)
        spop s => "a"
        exists s => 0
        spop s => nil
        spop s 3 => []
        sadd s 7 => 1
        spop s 9223372036854775807 => ["7"]
        exists s => 0
        set str x => OK
        spop str => (WRONGTYPE Operation against a key holding the wrong kind of value)
        spop str 1 => (WRONGTYPE Operation against a key holding the wrong kind of value)
        srandmember str => (WRONGTYPE Operation against a key holding the wrong kind of value)
        srandmember str 1 => (WRONGTYPE Operation against a key holding the wrong kind of value)
        "#,
    );
}

#[test]
fn sets_are_combined() {
    script(
        r#"
        sadd a 1 2 3 4 => 4
        sadd b 3 4 5 => 3
        sadd c 4 x => 2
        sinter a b c => ["4"]
        sinter a b => ["3", "4"]
        sinter a none => []
        sinter a a => ["1", "2", "3", "4"]
        sintercard 2 a b => 2
        sintercard 2 a b limit 1 => 1
        sintercard 2 a b LIMIT 0 => 2
        sintercard 1 a LIMIT 9223372036854775807 => 4
        sintercard 2 a none => 0
        sintercard 0 a => (ERR numkeys should be greater than 0)
        sintercard x a => (ERR numkeys should be greater than 0)
        sintercard 3 a b => (ERR Number of keys can't be greater than number of args)
        sintercard 9223372036854775807 a b => (ERR Number of keys can't be greater than number of args)
        sintercard 1 a limit -1 => (ERR LIMIT can't be negative)
        sintercard 1 a limit => (ERR syntax error)
        sintercard 1 a b => (ERR syntax error)
        sdiff a b => ["1", "2"]
        sdiff a a => []
        sdiff none a => []
        sdiff a none => ["1", "2", "3", "4"]
        sunionstore d a b c => 6
        scard d => 6
        sunion d none => ["1", "2", "3", "4", "5", "x"]
        sinterstore a a b => 2
        object encoding a => "intset"
        smembers a => ["3", "4"]
        expire a 100 => 1
        sdiffstore a b a => 1
        smembers a => ["5"]
        ttl a => -1
        set str x => OK
        sinterstore str none b => 0
        exists str => 0
        set str x => OK
        sinter none str => (WRONGTYPE Operation against a key holding the wrong kind of value)
        sunion none str => (WRONGTYPE Operation against a key holding the wrong kind of value)
        sdiff none str => (WRONGTYPE Operation against a key holding the wrong kind of value)
        sintercard 2 none str => (WRONGTYPE Operation against a key holding the wrong kind of value)
        sdiffstore b none str => (WRONGTYPE Operation against a key holding the wrong kind of value)
        scard b => 3
        sunionstore str none => 0
        exists str => 0
        "#,
    );
}

#[test]
fn a_member_moves_from_set_to_set() {
    script(
        r#"
        sadd s 1 2 => 2
        smove s t 1 => 1
        smove s t 1 => 0
        smove s s 2 => 1
        smove s s 9 => 0
        sadd t 2 => 1
        smove s t 2 => 1
        exists s => 0
        smembers t => ["1", "2"]
        smove s t 1 => 0
        set str x => OK
        smove s str 1 => 0
        smove t str 1 => (WRONGTYPE Operation against a key holding the wrong kind of value)
        smove t str 9 => (WRONGTYPE Operation against a key holding the wrong kind of value)
        smove str t 1 => (WRONGTYPE Operation against a key holding the wrong kind of value)
        expire t 100 => 1
        smove t u 1 => 1
        ttl t => 100
        ttl u => -1
        "#,
    );
}

#[test]
fn a_set_is_scanned() {
    script(
        r#"
        sadd s a b1 b2 => 3
        sscan s 0 => ["0", ["a", "b1", "b2"]]
        sscan s 0 match b* count 1 => ["0", ["b1", "b2"]]
        sscan s 7 => ["0", ["a", "b1", "b2"]]
        sscan s -1 => ["0", ["a", "b1", "b2"]]
        sscan s '' => ["0", ["a", "b1", "b2"]]
        sscan s 0 count 9223372036854775807 => ["0", ["a", "b1", "b2"]]
        sscan none 0 => ["0", []]
        sscan none 0 x => ["0", []]
        sscan s x => (ERR invalid cursor)
        sscan s - => (ERR invalid cursor)
        sscan s 18446744073709551616 => (ERR invalid cursor)
        sscan s 0 count 0 => (ERR syntax error)
        sscan s 0 count x => (ERR value is not an integer or out of range)
        sscan s 0 count => (ERR syntax error)
        sscan s 0 type set => (ERR syntax error)
        set str x => OK
        sscan str 0 => (WRONGTYPE Operation against a key holding the wrong kind of value)
        sscan str x => (ERR invalid cursor)
        "#,
    );
}

#[test]
fn a_large_set_moves_between_shards_and_is_scanned_to_its_end() {
    for shards in SHARDS {
        let mut cluster = Cluster::new(shards);
        let (one, other) = keys_apart(&cluster);
        for number in 0..1500 {
            cluster.run(&["sadd", &one, &format!("member {number}")]);
        }
        assert_eq!(shown(&cluster.run(&["rename", &one, &other])), "OK");
        assert_eq!(shown(&cluster.run(&["sunionstore", &one, &other])), "1500");
        assert_eq!(shown(&cluster.run(&["sinter", &one, "none"])), "[]");
        assert_eq!(
            shown(&cluster.run(&["sdiffstore", &one, &one, &other])),
            "0"
        );
        let scanned = scan_all(&other, |words| cluster.run(words));
        assert_eq!(scanned.len(), 1500);
        assert_eq!(
            shown(&cluster.run(&["object", "encoding", &other])),
            "\"hashtable\""
        );
        let drawn = cluster.run(&["srandmember", &other, "1400"]);
        assert_eq!(elements(&drawn).len(), 1400);
        assert_eq!(
            BTreeSet::from_iter(sorted(elements(&drawn))).len(),
            1400,
            "a sample has no member twice"
        );
        let popped = cluster.run(&["spop", &other, "1499"]);
        assert_eq!(elements(&popped).len(), 1499);
        assert_eq!(shown(&cluster.run(&["scard", &other])), "1");
        cluster.cores().iter().for_each(|core| core.shard.check());
    }
}

/// The elements of an array or a set.
fn elements(reply: &Reply) -> &[Reply] {
    match reply {
        Reply::Array(elements) | Reply::Set(elements) => elements,
        other => panic!("{other:?} is no list"),
    }
}

/// All members that a scan shows, each once.
fn scan_all(key: &str, mut run: impl FnMut(&[&str]) -> Reply) -> BTreeSet<String> {
    let (mut cursor, mut found) = ("0".to_owned(), BTreeSet::new());
    loop {
        let page = run(&["sscan", key, &cursor, "count", "20"]);
        let [Reply::Bulk(next), members] = elements(&page) else {
            panic!("{page:?} is no page");
        };
        found.extend(sorted(elements(members)));
        cursor = String::from_utf8(next.clone()).expect("a cursor is text");
        if cursor == "0" {
            return found;
        }
    }
}

const KEYS: [&str; 8] = ["a", "b", "c", "{t}1", "{t}2", "{t}3", "str", "none"];
const COUNTS: [&str; 10] = [
    "0",
    "1",
    "2",
    "7",
    "30",
    "300",
    "9223372036854775807",
    "-1",
    "x",
    "1.5",
];

/// Generated set commands; members repeat often.
struct Sets {
    random: Random,
    /// Different members of each sort.
    members: u64,
}

impl Sets {
    fn member(&mut self) -> String {
        let number = self.random.below(self.members);
        match self.random.below(40) {
            0 => (*self
                .random
                .pick(&["", "007", "-0", "+1", "a longer member"]))
            .to_owned(),
            1 => "x".repeat(60 + self.random.below(10) as usize),
            2 => (self.random.next_u64() as i64 >> self.random.below(64)).to_string(),
            3..10 => format!("member:{number}"),
            _ => number.to_string(),
        }
    }

    fn word(&mut self, letter: &str) -> String {
        match letter {
            "K" => (*self.random.pick(&KEYS)).to_owned(),
            "M" => self.member(),
            "N" => (*self.random.pick(&COUNTS)).to_owned(),
            word => word.to_owned(),
        }
    }

    fn next_command(&mut self) -> Words {
        const PATTERNS: &[&str] = &[
            "sadd K M",
            "sadd K M M M",
            "sadd K M M M M M M M M M M M M M M",
            "sadd K M M M M M M M M M M M M M M",
            "srem K M",
            "srem K M M M M M M",
            "smembers K",
            "scard K",
            "sismember K M",
            "smismember K M M M",
            "spop K",
            "spop K N",
            "spop K 3",
            "srandmember K",
            "srandmember K N",
            "srandmember K -5",
            "smove K K M",
            "smove K K M",
            "smove K K M",
            "sinter K K",
            "sinter K K K",
            "sinter K",
            "sinterstore K K K",
            "sinterstore K K",
            "sintercard 2 K K",
            "sintercard 2 K K limit N",
            "sintercard N K K",
            "sunion K K",
            "sunion K K K K",
            "sunionstore K K K",
            "sunionstore K K K K",
            "sdiff K K",
            "sdiff K K K",
            "sdiffstore K K K",
            "sdiffstore K K K K",
            "sscan K 0",
            "sscan K 0 count N",
            "sscan K 0 match *1*",
            "sscan K x",
            "del K",
            "set str M",
            "get K",
            "type K",
            "rename K K",
            "copy K K",
            "copy K K replace",
            "expire K 1000",
            "persist K",
            "exists K",
            "sadd K",
            "smove K K",
        ];
        let pattern = *self.random.pick(PATTERNS);
        let words = pattern.split(' ').map(|letter| self.word(letter));
        words.map(String::into_bytes).collect()
    }
}

/// Both sides, asked the same.
struct Pair {
    cluster: Cluster,
    oracle: Oracle,
}

impl Pair {
    /// Compares the answers; of what comes in any order, in an order of their own.
    fn ask(&mut self, words: &Words) -> Result<(), String> {
        let name = String::from_utf8(words[0].clone()).expect("names are text");
        let key = String::from_utf8(words[1].clone()).expect("keys are text");
        match &name[..] {
            "spop" | "srandmember" => return self.draw(words),
            "sscan" if words[2] == b"0" => {
                let ours = self.cluster.run(words);
                let theirs = self.oracle.run(words);
                // Pages have sizes of their own; what all of them show is the same.
                return match (&ours, &theirs) {
                    (Reply::Array(_), Reply::Array(_)) => {
                        let ours = scan_all(&key, |words| self.cluster.run(words));
                        let theirs = scan_all(&key, |words| self.oracle.run(words));
                        (ours == theirs).then_some(()).ok_or(format!("{words:?}"))
                    }
                    _ => compare(words, &ours, &theirs),
                };
            }
            _ => {}
        }
        let (ours, theirs) = (self.cluster.run(words), self.oracle.run(words));
        match (&name[..], &ours, &theirs) {
            ("smembers" | "sinter" | "sunion" | "sdiff", Reply::Array(a), Reply::Array(b))
            | ("smembers" | "sinter" | "sunion" | "sdiff", Reply::Set(a), Reply::Set(b))
                if sorted(a) == sorted(b) =>
            {
                Ok(())
            }
            _ => compare(words, &ours, &theirs),
        }
    }

    /// What chance decides: ours are members of theirs, as many as theirs; what was popped here goes there.
    fn draw(&mut self, words: &Words) -> Result<(), String> {
        let key = &words[1];
        let is_pop = words[0] == b"spop";
        let is_set = self.oracle.run(&[&b"type"[..], key]) == Reply::Simple(b"set".to_vec());
        let ours = self.cluster.run(words);
        let drawn = match &ours {
            Reply::Bulk(_) => std::slice::from_ref(&ours),
            Reply::Array(drawn) | Reply::Set(drawn) if is_set => drawn,
            _ => &[],
        };
        if drawn.is_empty() || !is_set {
            return compare(words, &ours, &self.oracle.run(words));
        }
        let members = drawn.iter().map(|member| match member {
            Reply::Bulk(text) => text.clone(),
            other => panic!("{other:?} is no member"),
        });
        let ask = |name: &str| -> Words {
            [name.as_bytes().to_vec(), key.clone()]
                .into_iter()
                .chain(members.clone())
                .collect()
        };
        let there = self.oracle.run(&ask("smismember"));
        let is_there = elements(&there).iter().all(|reply| *reply == Reply::Int(1));
        // The shape and the length of the answer, from a copy.
        let mut copied = words.clone();
        copied[1] = b"copy".to_vec();
        self.oracle
            .run(&[&b"copy"[..], key, &b"copy"[..], &b"replace"[..]]);
        let theirs = self.oracle.run(&copied);
        self.oracle.run(&["del", "copy"]);
        let is_same = match (&ours, &theirs) {
            (Reply::Bulk(_), Reply::Bulk(_)) => true,
            (Reply::Array(ours), Reply::Array(theirs)) | (Reply::Set(ours), Reply::Set(theirs)) => {
                ours.len() == theirs.len()
            }
            _ => false,
        };
        if is_pop {
            let removed = self.oracle.run(&ask("srem"));
            assert_eq!(removed, Reply::Int(drawn.len() as i64));
        }
        (is_there && is_same)
            .then_some(())
            .ok_or(format!("{words:?}: {ours:?}, {theirs:?}"))
    }

    /// Where 7.0 has a table, later ones have a pack for a small set; and we begin anew with what a large pop leaves.
    fn assert_same_encoding(&mut self, key: &str) {
        let words = ["object", "encoding", key];
        let (ours, theirs) = (self.cluster.run(&words), self.oracle.run(&words));
        if theirs != Reply::Bulk(b"hashtable".to_vec()) {
            assert_eq!(shown(&ours), shown(&theirs), "{key}");
        }
    }
}

#[test]
fn every_generated_set_command_is_answered_as_redis_answers_it() {
    const COMMANDS: usize = 8_000;
    let Some(mut oracle) = Oracle::start("every_generated_set_command") else {
        return;
    };
    let runs = [
        (1, Proto::Resp2, "512", "128", 30),
        (2, Proto::Resp3, "512", "128", 600),
        (4, Proto::Resp2, "8", "8", 30),
        (2, Proto::Resp2, "0", "0", 200),
        (4, Proto::Resp3, "20", "100", 100),
    ];
    for (number, (shards, proto, ints, packed, members)) in runs.into_iter().enumerate() {
        let mut cluster = Cluster::new(shards);
        cluster.speak(proto);
        oracle.connect(proto);
        oracle.run(&["flushall"]);
        let set = ["config", "set", "set-max-intset-entries", ints];
        assert_eq!(cluster.run(&set), oracle.run(&set));
        cluster.run(&["config", "set", "set-max-listpack-entries", packed]);
        let mut pair = Pair { cluster, oracle };
        let random = Random::new(number as u64 + 1);
        let mut sets = Sets { random, members };
        for command in 0..COMMANDS {
            let words = sets.next_command();
            let core = sets.random.below(u64::from(shards)) as usize;
            pair.cluster.connect_to(core);
            pair.ask(&words).unwrap_or_else(|difference| {
                panic!("run {number}, command {command}: {difference}")
            });
            if command % 100 == 0 {
                pair.cluster
                    .cores()
                    .iter()
                    .for_each(|core| core.shard.check());
                KEYS.iter().for_each(|key| pair.assert_same_encoding(key));
            }
        }
        pair.cluster
            .cores()
            .iter()
            .for_each(|core| core.shard.check());
        oracle = pair.oracle;
    }
}
