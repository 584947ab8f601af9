//! Numbers, refusals and searches beside those of a redis-server of this machine.
//! Never allows a difference without its reason here.
//! Positions come from seeded generators.

use super::cells::{LATITUDE_MAX, LONGITUDE_MAX, Point};
use super::search::{Form, Found, SearchOptions, parse_search, search, write_found};
use super::shape::Unit;
use super::{Addition, text};
use crate::Error;
use resp::{OwnedArgs, Proto, Reply, Writer};
use testkit::generate::Random;
use testkit::oracle::Oracle;

const POINTS: usize = 2000;

fn owned(words: &[String]) -> OwnedArgs {
    let mut args = OwnedArgs::default();
    words.iter().for_each(|word| args.push(word.as_bytes()));
    args
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(String::from).collect()
}

/// What a handler would reply.
fn reply(proto: Proto, write: impl FnOnce(&mut Writer<'_>) -> Result<(), Error>) -> Reply {
    let mut bytes = Vec::new();
    if let Err(Error(text)) = write(&mut Writer::new(&mut bytes, proto)) {
        return Reply::Error(text.into_owned());
    }
    let (reply, _) = Reply::parse(&bytes)
        .expect("a valid reply")
        .expect("a whole reply");
    reply
}

/// A few places in the order of a sorted set, the same in Redis and here.
struct Places {
    /// By score, then by name.
    members: Vec<(f64, String)>,
}

impl Places {
    fn add(oracle: &mut Oracle, points: &[Point]) -> Places {
        oracle.run(&["del", "s"]);
        let mut members = Vec::new();
        for (at, point) in points.iter().enumerate() {
            let name = format!("m{at}");
            let (longitude, latitude) = (point.longitude.to_string(), point.latitude.to_string());
            assert_eq!(
                oracle.run(&["geoadd", "s", &longitude, &latitude, &name]),
                Reply::Int(1)
            );
            let args = owned(&words(&format!("geoadd s {longitude} {latitude} {name}")));
            let addition = Addition::parse(args.as_args()).expect("a position of the map");
            members.push((addition.members[0].1 as f64, name));
        }
        members.sort_by(|a, b| a.partial_cmp(b).expect("scores are numbers"));
        Places { members }
    }

    fn score(&self, member: &[u8]) -> Option<f64> {
        let found = self
            .members
            .iter()
            .find(|(_, name)| name.as_bytes() == member);
        found.map(|&(score, _)| score)
    }

    fn find(&self, options: &SearchOptions) -> Vec<Found> {
        search(options, |start, end, visit| {
            for (score, name) in &self.members {
                let inside = (start as f64..end as f64).contains(score);
                if inside && visit(name.as_bytes(), *score).is_break() {
                    break;
                }
            }
        })
    }

    /// Our reply to a search.
    fn search(&self, words: &[String], form: Form, proto: Proto, exists: bool) -> Reply {
        let args = owned(words);
        let score_of = |member: &[u8]| self.score(member);
        reply(proto, |out| {
            let options = parse_search(args.as_args(), form, exists.then_some(&score_of))?;
            let found = self.find(&options);
            match options.store {
                None => write_found(out, &options, &found),
                Some(_) => out.int(found.len() as i64),
            }
            Ok(())
        })
    }
}

fn share(random: &mut Random) -> f64 {
    random.below(1 << 53) as f64 / (1u64 << 53) as f64
}

/// Positions all over the map and in a town, not at longitude 180: Redis does not find those from beside it.
fn points(random: &mut Random, count: usize) -> Vec<Point> {
    let mut points = Vec::new();
    for at in 0..count {
        let (spread, longitude, latitude) = if at % 3 == 0 {
            (0.1, 13.4, 52.5)
        } else {
            (2.0 * LONGITUDE_MAX, 0.0, 0.0)
        };
        let longitude = longitude + (share(random) - 0.5) * spread;
        let latitude = latitude + (share(random) - 0.5) * spread / LONGITUDE_MAX * LATITUDE_MAX;
        points.push(Point::new(longitude, latitude).expect("a position of the map"));
    }
    points
}

#[test]
fn scores_positions_geohashes_and_distances_are_those_of_redis() {
    let name = "scores_positions_geohashes_and_distances_are_those_of_redis";
    let Some(mut oracle) = Oracle::start(name) else {
        return;
    };
    let mut random = Random::new(1);
    let mut all = points(&mut random, POINTS);
    let corners = [-1.0, 0.0, 1.0].map(|sign| {
        Point::new(sign * LONGITUDE_MAX, sign * LATITUDE_MAX).expect("a corner of the map")
    });
    all.extend(corners);
    let places = Places::add(&mut oracle, &all);
    for proto in [Proto::Resp2, Proto::Resp3] {
        oracle.connect(proto);
        let mut last: Option<(f64, &String)> = None;
        for (score, name) in &places.members {
            let ask = |oracle: &mut Oracle, command: &str| oracle.run(&[command, "s", name]);
            let theirs = ask(&mut oracle, "geopos");
            let ours = reply(proto, |out| {
                out.array(1);
                text::write_geopos(out, Some(*score));
                Ok(())
            });
            assert_eq!(ours, theirs, "position of {score}");
            let theirs = ask(&mut oracle, "geohash");
            let ours = reply(proto, |out| {
                out.array(1);
                text::write_geohash(out, Some(*score));
                Ok(())
            });
            assert_eq!(ours, theirs, "geohash of {score}");
            if let Some((last_score, last_name)) = last {
                let units = [("m", Unit::Metres), ("mi", Unit::Miles), ("ft", Unit::Feet)];
                let &(text, unit) = random.pick(&units);
                let theirs = oracle.run(&["geodist", "s", name, last_name, text]);
                let ours = reply(proto, |out| {
                    text::write_geodist(out, Some((*score, last_score)), unit);
                    Ok(())
                });
                assert_eq!(ours, theirs, "distance of {score} and {last_score}");
            }
            last = Some((*score, name));
        }
    }
    oracle.connect(Proto::Resp2);
    let theirs = oracle.run(&["zrange", "s", "0", "-1", "withscores"]);
    let ours = places.members.iter();
    let ours = ours.flat_map(|(score, name)| [name.clone(), format!("{score}")]);
    let ours = ours.map(|text| Reply::Bulk(text.into_bytes())).collect();
    assert_eq!(Reply::Array(ours), theirs);
}

#[test]
fn scores_that_no_position_has_lie_where_redis_puts_them() {
    let name = "scores_that_no_position_has_lie_where_redis_puts_them";
    let Some(mut oracle) = Oracle::start(name) else {
        return;
    };
    let scores = "-5 1.5 1e300 -1e300 inf -inf 13510798882111487 72057594037927936 18446744073709551615 9223372036854775807 0";
    for score in scores.split(' ') {
        oracle.run(&["zadd", "s", score, "m"]);
        let number = resp::number::parse_f64(score.as_bytes()).expect("a number");
        let ours = reply(Proto::Resp2, |out| {
            out.array(1);
            text::write_geopos(out, Some(number));
            Ok(())
        });
        assert_eq!(ours, oracle.run(&["geopos", "s", "m"]), "{score}");
        let ours = reply(Proto::Resp2, |out| {
            out.array(1);
            text::write_geohash(out, Some(number));
            Ok(())
        });
        assert_eq!(ours, oracle.run(&["geohash", "s", "m"]), "{score}");
    }
}

/// What may stand after `GEOSEARCH key`, right and wrong.
const SEARCHES: &[&str] = &[
    "a b c d e",
    "fromlonlat 15 37 count 1 asc",
    "byradius 200 km count 1 asc",
    "asc desc count 1 any",
    "fromlonlat 15 37 byradius -1 km",
    "fromlonlat 15 37 byradius x zz",
    "fromlonlat 15 37 byradius -1 zz",
    "fromlonlat 15 37 byradius 1 zz",
    "fromlonlat 15 97 byradius x zz",
    "fromlonlat x 97 byradius x zz",
    "fromlonlat 15 37 bybox x y zz",
    "fromlonlat 15 37 bybox 1 y zz",
    "fromlonlat 15 37 bybox -1 2 zz",
    "fromlonlat 15 37 bybox 1 -2 km",
    "fromlonlat 15 37 bybox 1 2 zz",
    "fromlonlat 15 37 bybox 1 2",
    "fromlonlat 15 37 byradius 2 km asc byradius",
    "fromlonlat 15 37 byradius 9999 km bybox 1 2 km",
    "fromlonlat 15 37 byradius 200 km byradius 1 km",
    "fromlonlat 15 37 byradius 200 km frommember m0",
    "fromlonlat 15 37 byradius 200 km fromlonlat 1 1",
    "frommember m0 fromlonlat 15 37 byradius 200 km",
    "frommember m0 frommember m1 byradius 1 m",
    "frommember nope byradius 1 zz",
    "frommember nope byradius 1 km",
    "byradius 1 km asc frommember",
    "fromlonlat 15 37 byradius 9999 km any",
    "fromlonlat 15 37 byradius 9999 km count 0",
    "fromlonlat 15 37 byradius 9999 km count -1 any",
    "fromlonlat 15 37 byradius 9999 km count x",
    "fromlonlat 15 37 byradius 9999 km count",
    "fromlonlat 15 37 byradius 9999 km any count 3",
    "fromlonlat 15 37 byradius 9999 km count 9223372036854775808",
    "fromlonlat 15 37 byradius 9999 km count 9223372036854775807",
    "fromlonlat 15 37 byradius 9999 km store d",
    "fromlonlat 15 37 byradius 9999 km storedist",
    "fromlonlat 15 37 byradius 9999 km storedist d",
    "fromlonlat 15 37 byradius 9999 km withdist asc desc",
    "fromlonlat 15 37 byradius 9999 km withdist foo",
    "withhash byradius 2 km asc withdist",
    "fromlonlat 15 37 byradius 9999 km withdist withdist WithHash withcoord any",
    "fromlonlat 15 37 byradius nan km",
    "fromlonlat 15 37 byradius inf km",
    "fromlonlat 15 37 byradius 0x10 km",
    "fromlonlat 15 37 byradius 1e400 km",
];

/// What may stand after `GEORADIUS key 15 37 9999 km`, right and wrong.
const RADIUS_OPTIONS: &[&str] = &[
    "asc",
    "store d",
    "storedist d",
    "store d storedist e",
    "store",
    "withdist store",
    "store d withdist",
    "storedist d withhash foo",
    "frommember m0",
    "byradius 1 km",
    "any store d",
    "any count 2 store d",
    "count 0 store",
    "withcoord count 2",
    "withcoord withdist withhash desc count 2",
];

#[test]
fn right_and_wrong_searches_are_answered_as_redis_answers_them() {
    let name = "right_and_wrong_searches_are_answered_as_redis_answers_them";
    let Some(mut oracle) = Oracle::start(name) else {
        return;
    };
    let places = Places::add(&mut oracle, &points(&mut Random::new(2), 30));
    let mut asked = Vec::new();
    for key in ["s", "missing"] {
        for tail in SEARCHES {
            asked.push((Form::Search, format!("geosearch {key} {tail}")));
            asked.push((Form::SearchStore, format!("GeoSearchStore d {key} {tail}")));
        }
        for (name, stores) in [("", true), ("_ro", false)] {
            let radius = Form::Radius { stores };
            let by_member = Form::RadiusByMember { stores };
            for tail in RADIUS_OPTIONS {
                asked.push((
                    radius,
                    format!("georadius{name} {key} 15 37 9999 km {tail}"),
                ));
                for head in ["m0 9999 km", "nope 1 km", "m0 x km", "m0 -1 km", "m0 1 zz"] {
                    asked.push((
                        by_member,
                        format!("georadiusbymember{name} {key} {head} {tail}"),
                    ));
                }
            }
            for head in [
                "x 37 1 km",
                "181 37 x km",
                "15 37 x zz",
                "15 37 -1 zz",
                "15 37 1 zz",
            ] {
                asked.push((radius, format!("georadius{name} {key} {head} foo")));
            }
        }
    }
    for proto in [Proto::Resp2, Proto::Resp3] {
        oracle.connect(proto);
        for (form, line) in &asked {
            let words = words(line);
            // Redis counts arguments before it reads them, as our table of commands does.
            let few = match form {
                Form::Search => 7,
                Form::SearchStore => 8,
                Form::Radius { .. } => 6,
                Form::RadiusByMember { .. } => 5,
            };
            if words.len() < few {
                continue;
            }
            let exists = words[form.source_index()] == "s";
            let ours = places.search(&words, *form, proto, exists);
            assert_eq!(ours, oracle.run(&words), "{line}");
        }
    }
}

#[test]
fn right_and_wrong_additions_are_answered_as_redis_answers_them() {
    let name = "right_and_wrong_additions_are_answered_as_redis_answers_them";
    let Some(mut oracle) = Oracle::start(name) else {
        return;
    };
    let tails = "181 3 x;180.0000001 90 x;a 3 x;nan 3 x;inf 3 x;-inf inf x;nx xx 1 2 x;nx 1 2;ch nx 1 2 x;\
        nx foo 1 2 x;1 2 x 300;1 2 x foo 2 y;1 2 x 200 2 y;incr 1 2;1e308 2 x;1e400 2 x;0x10 2 x;1 2 nx;\
        1 2 x nx;-85.5 1e-320 x;180 85.05112878 x;1 85.0511287800001 x;nx nx nx xx;1 -85.06 x";
    for tail in tails.split(';') {
        oracle.run(&["del", "s"]);
        let words = words(&format!("geoadd s {tail}"));
        let ours = reply(Proto::Resp2, |out| {
            let addition = Addition::parse(owned(&words).as_args())?;
            out.int(if addition.only_existing {
                0
            } else {
                addition.members.len() as i64
            });
            Ok(())
        });
        assert_eq!(ours, oracle.run(&words), "{tail}");
    }
}

/// A search that is right, with a shape of any size.
fn any_search(random: &mut Random, members: usize) -> String {
    let mut length = || 10f64.powf(share(random) * 8.0);
    let shape = if length() < 1e4 {
        format!("byradius {} m", length())
    } else {
        format!("bybox {} {} ft", length(), length())
    };
    let centre = if random.one_in(2) {
        format!("frommember m{}", random.below(members as u64))
    } else {
        let (longitude, latitude) = (share(random), share(random));
        format!(
            "fromlonlat {} {}",
            (longitude * 2.0 - 1.0) * LONGITUDE_MAX,
            (latitude * 2.0 - 1.0) * LATITUDE_MAX
        )
    };
    let tails = [
        "",
        " asc",
        " desc",
        " asc count 5",
        " count 3",
        " count 4 any",
    ];
    format!("{centre} {shape}{}", random.pick(&tails))
}

#[test]
fn searches_find_what_redis_finds_in_its_order() {
    const SEARCHES: usize = 3000;
    let Some(mut oracle) = Oracle::start("searches_find_what_redis_finds_in_its_order") else {
        return;
    };
    let mut random = Random::new(3);
    let places = Places::add(&mut oracle, &points(&mut random, 400));
    for _ in 0..SEARCHES {
        let search = any_search(&mut random, places.members.len());
        let words = words(&format!("geosearch s {search} withdist withhash withcoord"));
        let ours = places.search(&words, Form::Search, Proto::Resp2, true);
        assert_eq!(ours, oracle.run(&words), "{search}");
    }
}

#[test]
fn stored_distances_are_those_of_redis_to_the_last_bit() {
    const SEARCHES: usize = 20;
    let name = "stored_distances_are_those_of_redis_to_the_last_bit";
    let Some(mut oracle) = Oracle::start(name) else {
        return;
    };
    let mut random = Random::new(4);
    let places = Places::add(&mut oracle, &points(&mut random, 400));
    for _ in 0..SEARCHES {
        let line = format!(
            "geosearchstore d s frommember m{} byradius 8000 mi storedist",
            random.below(400)
        );
        oracle.run(&words(&line));
        let args = owned(&words(&line));
        let score_of = |member: &[u8]| places.score(member);
        let options = parse_search(args.as_args(), Form::SearchStore, Some(&score_of));
        for one in places.find(&options.expect("a right search")) {
            let theirs = oracle.run(&[b"zscore", &b"d"[..], &one.member]);
            let Reply::Bulk(theirs) = theirs else {
                panic!("{line}: {theirs:?}");
            };
            // Redis 7.0 prints 17 digits where fewer read back the same.
            let theirs = resp::number::parse_f64(&theirs);
            assert_eq!(Some(one.distance), theirs, "{line}");
        }
    }
}
