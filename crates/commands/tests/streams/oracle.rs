//! Generated stream commands, answered by the in-process cluster and by a redis-server.

use crate::{SHARDS, shown, words};
use resp::{Proto, Reply};
use std::time::{SystemTime, UNIX_EPOCH};
use store::Millis;
use testkit::Cluster;
use testkit::generate::{Random, Words};
use testkit::oracle::Oracle;

/// Commands for each number of shards.
const COMMANDS: usize = 15_000;

fn now() -> Millis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970");
    Millis(since.as_millis() as i64)
}

/// What says when something was, and what 7.0 does not tell or tells of a structure that is not ours.
const LEFT_OUT: [&[u8]; 6] = [
    b"idle",
    b"inactive",
    b"seen-time",
    b"active-time",
    b"radix-tree-keys",
    b"radix-tree-nodes",
];

fn is_left_out(name: &Reply) -> bool {
    matches!(name, Reply::Bulk(name) if LEFT_OUT.contains(&&name[..]))
}

/// A reply without times.
fn timeless(reply: Reply) -> Reply {
    match reply {
        Reply::Map(pairs) => {
            let pairs = pairs.into_iter().filter(|(name, _)| !is_left_out(name));
            Reply::Map(pairs.map(|(name, value)| (name, timeless(value))).collect())
        }
        Reply::Array(elements) => {
            let mut kept: Vec<Reply> = Vec::new();
            let mut elements = elements.into_iter();
            while let Some(element) = elements.next() {
                if is_left_out(&element) {
                    elements.next();
                } else {
                    kept.push(timeless(element));
                }
            }
            // ID, consumer, time, count; or ID, time, count.
            match &mut kept[..] {
                [
                    Reply::Bulk(_),
                    Reply::Bulk(_),
                    time @ Reply::Int(_),
                    Reply::Int(_),
                ]
                | [Reply::Bulk(_), time @ Reply::Int(_), Reply::Int(_)] => *time = Reply::Int(0),
                _ => {}
            }
            Reply::Array(kept)
        }
        other => other,
    }
}

/// Makes commands on a few streams with small IDs.
struct Commands {
    random: Random,
    ms: u64,
}

impl Commands {
    fn key(&mut self) -> String {
        match self.random.below(40) {
            0 => "text".to_owned(),
            1 => "missing".to_owned(),
            n => format!("s{}", n % 4),
        }
    }

    fn group(&mut self) -> String {
        match self.random.below(30) {
            0 => "nogroup".to_owned(),
            n => format!("g{}", n % 2),
        }
    }

    fn consumer(&mut self) -> String {
        format!("c{}", self.random.below(3))
    }

    /// An ID somewhere near those that were added lately.
    fn id(&mut self) -> String {
        let ms = self.ms.saturating_sub(self.random.below(40));
        match self.random.below(10) {
            0 => "0".to_owned(),
            1 => ms.to_string(),
            2 => format!("{ms}-{}", u64::MAX),
            3 => "bad-id".to_owned(),
            _ => format!("{ms}-{}", self.random.below(3)),
        }
    }

    fn ids(&mut self) -> String {
        let ids: Vec<_> = (0..self.random.below(4) + 1).map(|_| self.id()).collect();
        ids.join(" ")
    }

    fn edge(&mut self) -> String {
        match self.random.below(4) {
            0 => "-".to_owned(),
            1 => "+".to_owned(),
            2 => format!("({}", self.id()),
            _ => self.id(),
        }
    }

    /// Edges, as a rule in the order in which there is something between them.
    fn edges(&mut self) -> String {
        match self.random.below(3) {
            0 => format!("{} {}", self.edge(), self.edge()),
            1 => "- +".to_owned(),
            _ => format!("{} +", self.id()),
        }
    }

    fn count(&mut self, word: &str) -> String {
        match self.random.below(8) {
            0..4 => String::new(),
            4 => format!("{word} 0"),
            5 => format!("{word} -3"),
            _ => format!("{word} {}", self.random.below(12) + 1),
        }
    }

    /// An exact MINID may leave Redis a node without entries, which it goes on to fill: its nodes then are others than
    /// ours, and an approximate trim shows that. So one stream gets exact trims, the others no exact MINID.
    fn trim(&mut self, key: &str) -> String {
        let is_exact = key == "s3";
        let how = *self.random.pick(if is_exact {
            &["", "=", "="]
        } else {
            &["", "=", "~"]
        });
        let limit = match self.random.below(6) {
            0 => "LIMIT 0".to_owned(),
            1 => format!("LIMIT {}", self.random.below(300)),
            _ => String::new(),
        };
        if self.random.one_in(3) {
            let how = if is_exact { how } else { "~" };
            format!("MINID {how} {} {limit}", self.id())
        } else {
            format!("MAXLEN {how} {} {limit}", self.random.below(300))
        }
    }

    fn add(&mut self) -> String {
        let key = self.key();
        if self.random.one_in(3) {
            self.ms += 1;
        }
        let id = match self.random.below(12) {
            // Behind the largest number of a millisecond 7.0 says that elements are too large.
            0 => self.id().replace(&u64::MAX.to_string(), "7"),
            1 => format!("{}-{}", self.ms, self.random.below(5)),
            _ => format!("{}-*", self.ms),
        };
        let options = match self.random.below(40) {
            0 => "NOMKSTREAM".to_owned(),
            1 => self.trim(&key),
            _ => String::new(),
        };
        let fields = match self.random.below(6) {
            0 => "other 12345 field -7".to_owned(),
            1 => format!("n {} m {}", self.random.next_u64(), self.random.below(200)),
            2 => "odd".to_owned(),
            _ => format!(
                "name {} size {}",
                self.random.below(9),
                self.random.below(1000)
            ),
        };
        format!("XADD {key} {options} {id} {fields}")
    }

    fn read(&mut self) -> String {
        let count = self.count("COUNT");
        let streams = self.random.below(3) + 1;
        let keys: Vec<_> = (0..streams).map(|_| self.key()).collect();
        let ids: Vec<_> = (0..streams)
            .map(|_| match self.random.below(8) {
                0 => "$".to_owned(),
                1 => ">".to_owned(),
                _ => self.id(),
            })
            .collect();
        format!("XREAD {count} STREAMS {} {}", keys.join(" "), ids.join(" "))
    }

    fn read_group(&mut self) -> String {
        let (group, consumer) = (self.group(), self.consumer());
        let count = self.count("COUNT");
        let no_ack = if self.random.one_in(6) { "NOACK" } else { "" };
        let streams = self.random.below(2) + 1;
        let keys: Vec<_> = (0..streams).map(|_| self.key()).collect();
        let is_new = self.random.below(4) > 0;
        let ids: Vec<_> = (0..streams)
            .map(|_| match self.random.below(25) {
                0 => "$".to_owned(),
                _ if is_new => ">".to_owned(),
                _ => self.id(),
            })
            .collect();
        let (keys, ids) = (keys.join(" "), ids.join(" "));
        format!("XREADGROUP GROUP {group} {consumer} {count} {no_ack} STREAMS {keys} {ids}")
    }

    fn claim(&mut self) -> String {
        let (key, group, consumer) = (self.key(), self.group(), self.consumer());
        let idle = *self.random.pick(&["0", "-1", "100000000", "x"]);
        let ids = self.ids();
        let options = match self.random.below(9) {
            0 => "IDLE 500000000",
            1 => "JUSTID",
            2 => "RETRYCOUNT 5000000000",
            3 => "FORCE",
            4 => "FORCE JUSTID",
            5 => "TIME 5 RETRYCOUNT 0",
            6 => "LASTID 5-5 IDLE -5",
            7 => "NOSUCH",
            _ => "",
        };
        format!("XCLAIM {key} {group} {consumer} {idle} {ids} {options}")
    }

    fn auto_claim(&mut self) -> String {
        let (key, group, consumer) = (self.key(), self.group(), self.consumer());
        let idle = *self.random.pick(&["0", "100000000"]);
        let (start, count) = (self.edge(), self.count("COUNT"));
        let just = *self.random.pick(&["", "JUSTID"]);
        format!("XAUTOCLAIM {key} {group} {consumer} {idle} {start} {count} {just}")
    }

    fn pending(&mut self) -> String {
        let (key, group) = (self.key(), self.group());
        if self.random.one_in(3) {
            return format!("XPENDING {key} {group}");
        }
        let idle = *self.random.pick(&["", "", "IDLE 0", "IDLE 100000000"]);
        let (edges, count) = (self.edges(), self.random.below(20));
        let consumer = match self.random.below(4) {
            0 => "nobody".to_owned(),
            1 => String::new(),
            _ => self.consumer(),
        };
        format!("XPENDING {key} {group} {idle} {edges} {count} {consumer}")
    }

    fn look(&mut self) -> String {
        let key = self.key();
        match self.random.below(8) {
            0 => format!("XINFO STREAM {key}"),
            1 => format!("XINFO STREAM {key} FULL"),
            2 => format!("XINFO STREAM {key} FULL {}", self.count("COUNT")),
            3 => format!("XINFO GROUPS {key}"),
            4 => format!("XINFO CONSUMERS {key} {}", self.group()),
            5 => format!("XLEN {key}"),
            6 => format!("TYPE {key}"),
            _ => format!("OBJECT ENCODING {key}"),
        }
    }

    fn set_id(&mut self) -> String {
        // Not below what was deleted: that 7.2 refuses, and 7.0 does not.
        let (key, id, above) = (self.key(), self.id(), self.ms + 1);
        match self.random.below(3) {
            0 => format!("XSETID {key} {above}"),
            1 => format!(
                "XSETID {key} {above} ENTRIESADDED {}",
                self.random.below(9000)
            ),
            _ => format!("XSETID {key} {above} MAXDELETEDID {id}"),
        }
    }

    /// A command, or several that belong together: every consumer is there whenever its group is, since 7.0 makes
    /// them at other moments than 7.2 does.
    fn next(&mut self) -> Vec<String> {
        let consumers = |key: &str, group: &str| {
            let create = |n| format!("XGROUP CREATECONSUMER {key} {group} c{n}");
            (0..3).map(create).collect::<Vec<_>>()
        };
        let (key, group) = (self.key(), self.group());
        match self.random.below(200) {
            0..80 => vec![self.add()],
            80..90 => vec![format!("XDEL {key} {}", self.ids())],
            90..92 => vec![format!("XTRIM {key} {}", self.trim(&key))],
            92..102 => {
                let (edges, count) = (self.edges(), self.count("COUNT"));
                let name = *self.random.pick(&["XRANGE", "XREVRANGE"]);
                vec![format!("{name} {key} {edges} {count}")]
            }
            102..112 => vec![self.read()],
            112..130 => vec![self.read_group()],
            130..140 => vec![format!("XACK {key} {group} {}", self.ids())],
            140..150 => vec![self.pending()],
            150..160 => vec![self.claim()],
            160..166 => vec![self.auto_claim()],
            166..186 => vec![self.look()],
            186..190 => {
                let id = *self.random.pick(&["0", "$", "5-5"]);
                let options =
                    *self
                        .random
                        .pick(&["", "MKSTREAM", "ENTRIESREAD 7", "ENTRIESREAD -9"]);
                let create = format!("XGROUP CREATE {key} {group} {id} {options}");
                [vec![create], consumers(&key, &group)].concat()
            }
            190 => vec![format!("XGROUP DESTROY {key} {group}")],
            191 => {
                let delete = format!("XGROUP DELCONSUMER {key} {group} {}", self.consumer());
                [vec![delete], consumers(&key, &group)].concat()
            }
            192..194 => {
                let (id, options) = (self.edge(), *self.random.pick(&["", "ENTRIESREAD 3"]));
                vec![format!("XGROUP SETID {key} {group} {id} {options}")]
            }
            194..196 => vec![self.set_id()],
            // A copy is packed anew, so that an approximate trim of it would take other nodes.
            196 => vec![
                format!("COPY {key} copy REPLACE"),
                "XRANGE copy - +".to_owned(),
                "XINFO STREAM copy FULL COUNT 0".to_owned(),
                "DEL copy".to_owned(),
            ],
            // Between shards, so is what moves.
            197 => vec!["RENAME s3 moved".to_owned(), "RENAME moved s3".to_owned()],
            198 if self.random.one_in(4) => vec![format!("DEL s{}", self.random.below(4))],
            _ => vec!["SET text word".to_owned()],
        }
    }
}

#[test]
fn every_generated_stream_command_is_answered_as_redis_answers_it() {
    let test = "every_generated_stream_command_is_answered_as_redis_answers_it";
    let Some(mut oracle) = Oracle::start(test) else {
        return;
    };
    for (shards, proto) in SHARDS
        .into_iter()
        .zip([Proto::Resp2, Proto::Resp3, Proto::Resp2])
    {
        let mut cluster = Cluster::starting_at(shards, now());
        cluster.speak(proto);
        oracle.connect(proto);
        oracle.run(&["flushall"]);
        // Nodes end after as many entries on both sides; by bytes ours take more, which approximate trims show.
        let limits = words("CONFIG SET stream-node-max-bytes 0 stream-node-max-entries 30");
        assert_eq!(cluster.run(&limits), oracle.run(&limits));
        let mut commands = Commands {
            random: Random::new(u64::from(shards) + 7),
            ms: 100,
        };
        let mut history: Vec<String> = Vec::new();
        for number in 0..COMMANDS {
            for line in commands.next() {
                cluster.connect_to(number);
                let asked: Words = words(&line);
                let ours = shown(&timeless(cluster.run(&asked)));
                let theirs = shown(&timeless(oracle.run(&asked)));
                history.push(line);
                let line = &history[history.len() - 1];
                assert_eq!(ours, theirs, "{shards} shards, command {number}: {line}");
            }
            if number % 100 == 0 {
                cluster.set_now(now());
                cluster.cores().iter().for_each(|core| core.shard.check());
            }
        }
        (0..4).for_each(|number| takes_over(&mut cluster, &mut oracle, &format!("s{number}")));
    }
}

/// A stream that Redis dumped is the same here; and one that was dumped here.
fn takes_over(cluster: &mut Cluster, oracle: &mut Oracle, key: &str) {
    let Reply::Bulk(theirs) = oracle.run(&["DUMP", key]) else {
        return;
    };
    let Reply::Bulk(ours) = cluster.run(&["DUMP", key]) else {
        panic!("{key} is there")
    };
    for payload in [theirs, ours] {
        let restore: [&[u8]; 5] = [b"RESTORE", b"back", b"0", &payload, b"REPLACE"];
        assert_eq!(shown(&cluster.run(&restore)), "OK");
        for look in [
            "XRANGE # - +",
            "XINFO STREAM # FULL COUNT 0",
            "XINFO GROUPS #",
        ] {
            let back = cluster.run(&words(&look.replace('#', "back")));
            let redis = oracle.run(&words(&look.replace('#', key)));
            assert_eq!(
                shown(&timeless(back)),
                shown(&timeless(redis)),
                "{look}, {key}"
            );
        }
    }
    cluster.cores().iter().for_each(|core| core.shard.check());
}
