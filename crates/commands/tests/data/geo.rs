//! GEOADD and its kin, and generated GEO commands against a redis-server.

use resp::Proto;
use testkit::Cluster;
use testkit::generate::{Random, Words};
use testkit::oracle::{Oracle, compare};

use super::{SHARDS, keys_apart, script, shown};

#[test]
fn positions_are_the_scores_of_a_sorted_set() {
    script(
        r#"
        geoadd g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania => 2
        zscore g Palermo => "3479099956230698"
        zcard g => 2
        geodist g Palermo Catania => "166274.1516"
        geodist g Palermo Catania km => "166.2742"
        geodist g Palermo nowhere => nil
        geodist g Palermo Catania x => (ERR unsupported unit provided. please use M, KM, FT, MI)
        geohash g Palermo nowhere => ["sqc8b49rny0", nil]
        geopos g nowhere => [nil]
        geoadd g nx 1 1 Palermo => 0
        geoadd g ch xx 13.5 38 Palermo 1 1 nowhere => 1
        geoadd g nx xx 1 1 a => (ERR syntax error)
        geoadd g nx ch ch => (ERR syntax error)
        geoadd g 200 1 a => (ERR invalid longitude,latitude pair 200.000000,1.000000)
        geosearch g fromlonlat 15 37 byradius 200 km asc => ["Catania", "Palermo"]
        geosearch g frommember Catania byradius 1 km => ["Catania"]
        geosearch none frommember Catania byradius 1 km => []
        geosearch g frommember nowhere byradius 1 km => (ERR could not decode requested zset member)
        set text x => OK
        geoadd text 1 1 a => (WRONGTYPE Operation against a key holding the wrong kind of value)
        geosearch text fromlonlat 15 37 byradius 1 => (WRONGTYPE Operation against a key holding the wrong kind of value)
        "#,
    );
}

#[test]
fn what_is_found_is_stored_on_other_shards() {
    for shards in SHARDS {
        let mut cluster = Cluster::new(shards);
        let (one, other) = keys_apart(&cluster);
        let mut ask = |line: &str| {
            let words: Vec<_> = line.split(' ').collect();
            shown(&cluster.run(&words))
        };
        ask(&format!(
            "geoadd {one} 13.361389 38.115556 p 15.087269 37.502669 c"
        ));
        let line = format!("geosearchstore {other} {one} fromlonlat 15 37 byradius 200 km");
        assert_eq!(ask(&line), "2");
        assert_eq!(ask(&format!("geodist {other} p c")), "\"166274.1516\"");
        let line = format!("georadius {one} 15 37 100 km storedist {other}");
        assert_eq!(ask(&line), "1");
        let scores = ask(&format!("zrange {other} 0 -1 withscores"));
        assert!(scores.starts_with("[\"c\", \"56.44"), "{scores}");
        let line = format!("georadiusbymember {one} p 1 m store {one}");
        assert_eq!(ask(&line), "1");
        assert_eq!(ask(&format!("zrange {one} 0 -1")), "[\"p\"]");
        let line = format!("georadius {one} 100 7 100 km store {other}");
        assert_eq!(ask(&line), "0");
        assert_eq!(ask(&format!("exists {other}")), "0");
        cluster.cores().iter().for_each(|core| core.shard.check());
    }
}

const KEYS: [&str; 6] = ["a", "b", "{t}1", "{t}2", "str", "none"];

/// Generated commands.
struct Positions(Random);

impl Positions {
    /// Degrees around a town or anywhere, rarely outside of the map.
    fn degrees(&mut self, most: f64, town: f64) -> String {
        let share = self.0.below(1 << 40) as f64 / (1u64 << 40) as f64;
        match self.0.below(40) {
            0 => ["x", "nan", "inf", "200", "-86"][self.0.below(5) as usize].to_owned(),
            1..20 => format!("{:.6}", town + share - 0.5),
            _ => format!("{:.6}", (share - 0.5) * 2.0 * most),
        }
    }

    fn word(&mut self, letter: &str) -> String {
        let words: &[&str] = match letter {
            "K" => &KEYS,
            "M" => return format!("m{}", self.0.below(300)),
            "X" => return self.degrees(179.0, 13.0),
            "Y" => return self.degrees(80.0, 50.0),
            "R" => &["0", "1", "10.5", "100", "2000", "50000", "-1", "x", "1e6"],
            "U" => &["m", "km", "ft", "mi", "KM", "x"],
            "N" => &["1", "3", "10", "0", "-1", "x", "9223372036854775807"],
            "W" => &[
                "withcoord",
                "withdist",
                "withhash",
                "WITHDIST",
                "asc",
                "desc",
            ],
            "O" => &["nx", "xx", "ch", "CH", "zz"],
            other => return other.to_owned(),
        };
        self.0.pick(words).to_string()
    }

    fn next_command(&mut self) -> Words {
        const PATTERNS: &[&str] = &[
            "geoadd K X Y M",
            "geoadd K X Y M X Y M X Y M",
            "geoadd K X Y M X Y M X Y M X Y M X Y M",
            "geoadd K O X Y M X Y M",
            "geoadd K O O X Y M",
            "geodist K M M",
            "geodist K M M U",
            "geohash K M M",
            "geopos K M M M",
            "geopos K",
            // Where distances are the same the order is anyone's: with one, only of positions that are not repeated.
            "geosearch K fromlonlat X Y byradius R U asc withdist withcoord",
            "geosearch K fromlonlat X Y byradius R U W W",
            "geosearch K frommember M bybox R R U desc W W",
            "geosearch K frommember M byradius R U asc count N",
            "geosearch K fromlonlat X Y bybox R R U asc",
            "geosearch K fromlonlat X Y byradius R U asc W W W",
            "geosearch K byradius R U",
            "georadius K X Y R U asc",
            "georadius K X Y R U W W asc",
            "georadius K X Y R U asc count N",
            "georadius K X Y R U store K",
            "georadius K X Y R U storedist K",
            "georadius K X Y R U W store K",
            "georadius_ro K X Y R U W asc",
            "georadius_ro K X Y R U store K",
            "georadiusbymember K M R U asc W",
            "georadiusbymember K M R U desc count N",
            "georadiusbymember K M R U storedist K",
            "georadiusbymember_ro K M R U asc W",
            "geosearchstore K K fromlonlat X Y byradius R U",
            "geosearchstore K K frommember M bybox R R U storedist",
            "geosearchstore K K frommember M bybox R R U W",
            "zrem K M M",
            "zcard K",
            "set str x",
            "del K",
        ];
        let pattern = *self.0.pick(PATTERNS);
        let words = pattern.split(' ').map(|letter| self.word(letter));
        words.map(String::into_bytes).collect()
    }
}

#[test]
fn every_generated_geo_command_is_answered_as_redis_answers_it() {
    const COMMANDS: usize = 6_000;
    let Some(mut oracle) = Oracle::start("every_generated_geo_command") else {
        return;
    };
    for (shards, proto) in [(1, Proto::Resp2), (2, Proto::Resp3), (4, Proto::Resp2)] {
        let mut cluster = Cluster::new(shards);
        cluster.speak(proto);
        oracle.connect(proto);
        oracle.run(&["flushall"]);
        let mut positions = Positions(Random::new(u64::from(shards)));
        for command in 0..COMMANDS {
            let words = positions.next_command();
            let core = positions.0.below(u64::from(shards)) as usize;
            cluster.connect_to(core);
            let (ours, theirs) = (cluster.run(&words), oracle.run(&words));
            compare(&words, &ours, &theirs).unwrap_or_else(|difference| {
                panic!("{shards} shards, command {command}: {difference}")
            });
        }
        cluster.cores().iter().for_each(|core| core.shard.check());
    }
}

#[test]
fn rows_of_geo_commands_say_what_redis_says() {
    super::oracle::assert_rows(
        "rows_of_geo_commands_say_what_redis_says",
        "geoadd geodist geohash geopos geosearch geosearchstore georadius georadius_ro georadiusbymember \
         georadiusbymember_ro",
    );
}
