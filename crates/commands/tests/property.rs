//! Random commands over all types on 1, 2 and 4 shards: whatever they do, the books balance and no handler panics.
//! Never compares with another server; the tests of each type do.
//! Source: the invariants of memory accounting, as docs/memory.md states them.

use commands::Table;
use resp::Reply;
use store::Rng;
use testkit::Cluster;

/// Commands in all, by shards: at least 100,000 for each number.
const STEPS: usize = 100_000;
/// Between two full recounts.
const STEPS_PER_CHECK: usize = 2_000;

/// Calls with holes: `K` a key, `V` a value, `M` a member or field, `I` a small integer, `N` a number, `T` a span in
/// milliseconds, `S` an ID of a stream, `B` a bit's offset.
const CALLS: &[&str] = &[
    "SET K V",
    "SET K V PX T",
    "SETRANGE K I V",
    "APPEND K V",
    "GETDEL K",
    "INCRBY K I",
    "INCRBYFLOAT K N",
    "MSET K V K V",
    "MSETNX K V K V",
    "GETEX K PX T",
    "SETBIT K B 1",
    "SETBIT K B 0",
    "BITFIELD K SET u8 B I INCRBY i5 B I",
    "BITOP AND K K K",
    "BITOP NOT K K",
    "BITOP XOR K K K K",
    "PFADD K M M V",
    "PFMERGE K K K",
    "PFCOUNT K K",
    "BITCOUNT K",
    "DEL K K",
    "UNLINK K",
    "RENAME K K",
    "RENAMENX K K",
    "COPY K K REPLACE",
    "MOVE K 1",
    "PEXPIRE K T",
    "PERSIST K",
    "EXPIRE K -1",
    "TOUCH K",
    "TYPE K",
    "OBJECT ENCODING K",
    "MEMORY USAGE K",
    "MEMORY EXPLAIN K",
    "DUMP K",
    "DEBUG OBJECT K",
    "DEBUG DIGEST-VALUE K",
    "HSET K M V M V",
    "HSET K M V M V M V M V",
    "HSETNX K M V",
    "HDEL K M M",
    "HINCRBY K M I",
    "HINCRBYFLOAT K M N",
    "HGETALL K",
    "HPEXPIRE K T FIELDS 2 M M",
    "HPERSIST K FIELDS 1 M",
    "HPEXPIRE K 0 FIELDS 1 M",
    "HRANDFIELD K -5 WITHVALUES",
    "HSCAN K 0",
    "HPTTL K FIELDS 1 M",
    "HMSET K M V",
    "HLEN K",
    "LPUSH K V V V",
    "RPUSH K V V M M M",
    "LPOP K 3",
    "RPOP K",
    "LSET K I V",
    "LINSERT K BEFORE V M",
    "LREM K I M",
    "LTRIM K I -2",
    "LMOVE K K LEFT RIGHT",
    "RPOPLPUSH K K",
    "LMPOP 2 K K RIGHT COUNT 3",
    "LPOS K M COUNT 0",
    "LRANGE K 0 -1",
    "LINDEX K I",
    "SADD K M M M",
    "SADD K I I I I",
    "SREM K M I",
    "SPOP K 2",
    "SRANDMEMBER K -4",
    "SMOVE K K M",
    "SINTERSTORE K K K",
    "SUNIONSTORE K K K K",
    "SDIFFSTORE K K K",
    "SSCAN K 0",
    "SINTERCARD 2 K K",
    "SUNION K K",
    "ZADD K N M N M",
    "ZADD K GT CH N M",
    "ZADD K INCR N M",
    "ZINCRBY K N M",
    "ZREM K M M",
    "ZPOPMIN K 2",
    "ZPOPMAX K",
    "ZREMRANGEBYRANK K 0 I",
    "ZREMRANGEBYSCORE K -1 N",
    "ZREMRANGEBYLEX K [a [n",
    "ZRANGESTORE K K 0 5",
    "ZUNIONSTORE K 2 K K WEIGHTS 2 I",
    "ZINTERSTORE K 2 K K AGGREGATE MAX",
    "ZDIFFSTORE K 2 K K",
    "ZMPOP 2 K K MIN COUNT 2",
    "ZRANGE K 0 -1 WITHSCORES",
    "ZSCAN K 0",
    "GEOADD K 13.3 38.1 M 15.0 37.5 M",
    "GEOSEARCHSTORE K K FROMLONLAT 15 37 BYRADIUS 300 km ASC",
    "ZRANDMEMBER K -3",
    "XADD K * M V",
    "XADD K MAXLEN ~ 20 * M V M V",
    "XADD K S M V",
    "XDEL K S",
    "XTRIM K MAXLEN I",
    "XGROUP CREATE K g $ MKSTREAM",
    "XGROUP CREATE K g2 0",
    "XGROUP DESTROY K g",
    "XREADGROUP GROUP g c1 COUNT 3 STREAMS K >",
    "XREADGROUP GROUP g2 c2 NOACK STREAMS K >",
    "XACK K g S S",
    "XCLAIM K g c2 0 S FORCE",
    "XAUTOCLAIM K g c3 0 0 COUNT 5",
    "XGROUP DELCONSUMER K g c1",
    "XSETID K S",
    "XREADGROUP GROUP g c1 STREAMS K 0",
    "XINFO STREAM K FULL",
    "SORT K ALPHA STORE K",
    "SORT K BY nosort GET # STORE K",
    "SORT_RO K BY K* GET K* ALPHA LIMIT 0 3",
    "FLUSHDB ASYNC",
    "SWAPDB 0 1",
    "SCAN 0 COUNT 5",
    "RANDOMKEY",
    "DBSIZE",
];

struct Writer {
    rng: Rng,
}

impl Writer {
    fn key(&mut self) -> String {
        match self.rng.below(12) {
            0 => format!("{{tag}}:{}", self.rng.below(4)),
            1 => format!("{}:{}", "long".repeat(80), self.rng.below(3)),
            _ => format!("key:{}", self.rng.below(60)),
        }
    }

    fn value(&mut self) -> String {
        match self.rng.below(40) {
            0 => "x".repeat(self.rng.below(20_000) as usize),
            1..8 => "y".repeat(self.rng.below(200) as usize),
            8..20 => self.rng.below(1 << 40).to_string(),
            _ => format!("v{}", self.rng.below(30)),
        }
    }

    fn member(&mut self) -> String {
        match self.rng.below(30) {
            0 => "m".repeat(70),
            1..8 => self.rng.below(1000).to_string(),
            _ => format!("m{}", self.rng.below(400)),
        }
    }

    fn number(&mut self) -> String {
        format!(
            "{}.{}",
            self.rng.below(2000) as i64 - 1000,
            self.rng.below(100)
        )
    }

    fn call(&mut self) -> Vec<String> {
        let template = CALLS[self.rng.below(CALLS.len() as u64) as usize];
        // Emptying everything is a rare event.
        let is_total = template.starts_with("FLUSH") && self.rng.below(20) > 0;
        let template = if is_total { "DBSIZE" } else { template };
        let fill = |hole: &str| match hole {
            "K" => self.key(),
            "K*" => format!("{}*", self.key()),
            "V" => self.value(),
            "M" => self.member(),
            "I" => (self.rng.below(40) as i64 - 5).to_string(),
            "N" => self.number(),
            "T" => (self.rng.below(300) + 1).to_string(),
            "S" => format!(
                "{}-{}",
                self.rng.below(3000) + 1_699_999_999_000,
                self.rng.below(3)
            ),
            "B" => self.rng.below(5000).to_string(),
            word => word.to_owned(),
        };
        template.split(' ').map(fill).collect()
    }
}

/// The reply, which a panic in a handler would have made an internal error.
fn run(cluster: &mut Cluster, call: &[String]) -> Reply {
    let reply = cluster.run(call);
    if let Reply::Error(text) = &reply {
        let text = String::from_utf8_lossy(text.as_ref());
        assert!(!text.starts_with("ERR internal"), "{call:?}: {text}");
        assert!(!text.starts_with("ERR unknown"), "{call:?}: {text}");
        assert!(!text.starts_with("ERR wrong number"), "{call:?}: {text}");
    }
    reply
}

/// Σ MEMORY USAGE over the keys of a shard equals its dataset and the slots of its keys; recounting agrees with the accounts.
fn check(cluster: &mut Cluster) {
    let now = cluster.now();
    for core in cluster.cores_mut() {
        core.shard.check();
        // Expired keys that nobody met are still in the dataset and in no answer.
        while core.shard.expire_step(now, 100_000).more {}
        let mut usage_bytes = 0;
        let (mut keys, mut live) = (0, Vec::new());
        for db in 0..core.shard.databases() {
            let mut cursor = 0;
            loop {
                cursor = core.shard.scan(db, cursor, 512, now, &mut |key, _| {
                    live.push((db, key.to_vec()));
                });
                if cursor == 0 {
                    break;
                }
            }
        }
        live.sort();
        live.dedup();
        for (db, key) in live {
            let key = core.shard.key(&key);
            usage_bytes += core.shard.usage(db, key, now).expect("it was shown");
            keys += 1;
        }
        let accounts = core.shard.accounts();
        assert_eq!(accounts.account.keys(), keys);
        assert_eq!(
            usage_bytes,
            accounts.account.bytes() + keys * store::SLOT_BYTES
        );
    }
}

fn balance(shards: u16, seed: u64) {
    let mut cluster = Cluster::new(shards);
    let mut writer = Writer {
        rng: Rng::seeded(seed),
    };
    for name in ["hash", "zset", "set"] {
        cluster.ask(&format!("CONFIG SET {name}-max-listpack-entries 24"));
    }
    cluster.ask("CONFIG SET list-max-listpack-size 30 set-max-intset-entries 16");
    for step in 1..=STEPS {
        let core = writer.rng.below(u64::from(shards)) as usize;
        cluster.connect_to(core);
        let call = writer.call();
        run(&mut cluster, &call);
        if step % 3 == 0 {
            cluster.advance(writer.rng.below(4) as i64);
        }
        for core in cluster.cores_mut() {
            core.shard.free_step(64);
            if step % 50 == 0 {
                core.shard.expire_step(core.now, 200);
            }
        }
        if step % STEPS_PER_CHECK == 0 {
            check(&mut cluster);
        }
    }
    cluster.ask("FLUSHALL");
    for core in cluster.cores_mut() {
        while core.shard.free_step(10_000) {}
        let accounts = core.shard.accounts();
        assert_eq!(accounts.account.bytes(), 0);
        assert_eq!((accounts.slab_used_bytes, accounts.heap_bytes), (0, 0));
    }
}

#[test]
fn the_books_of_one_shard_balance_after_any_commands() {
    balance(1, 11);
}

#[test]
fn the_books_of_two_shards_balance_after_any_commands() {
    balance(2, 22);
}

#[test]
fn the_books_of_four_shards_balance_after_any_commands() {
    balance(4, 44);
}

#[test]
fn every_command_that_writes_is_among_the_random_ones() {
    let named: Vec<String> = CALLS
        .iter()
        .filter_map(|call| call.split(' ').next())
        .map(str::to_ascii_lowercase)
        .collect();
    // Near relatives of commands that are here, and those that are no data's business.
    let others = [
        "setnx",
        "setex",
        "psetex",
        "getset",
        "incr",
        "decr",
        "decrby",
        "expire",
        "expireat",
        "pexpireat",
        "hexpire",
        "hexpireat",
        "hpexpireat",
        "lpushx",
        "rpushx",
        "georadius",
        "georadiusbymember",
        "flushall",
        "restore",
        "function",
        "pfdebug",
        "debug",
        "bitfield",
        "hgetdel",
        "hgetex",
        "hsetex",
    ];
    let missing: Vec<&str> = Table::instance()
        .rows()
        .map(|(_, row)| row)
        .filter(|row| row.flags.has(commands::Flags::WRITE))
        .map(|row| row.name.split('|').next().unwrap_or(row.name))
        .filter(|name| !named.iter().any(|known| known == name) && !others.contains(name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
