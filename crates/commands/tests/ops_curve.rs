//! MEMORY CURVE through clusters of 1, 2 and 4 shards: its shape, what it knows, and what it refuses.
//!
//! How right the curve is, is tested in the store.

use resp::{Proto, Reply};
use testkit::Cluster;
use testkit::fields::{field, int, pairs};
use testkit::generate::Random;

const FIELDS: [&str; 16] = [
    "policy",
    "references",
    "sampled.references",
    "sampled.keys",
    "memory.basis",
    "memory.bytes",
    "hit-ratio",
    "hit-ratio.0.5x",
    "hit-ratio.2x",
    "hit-ratio.4x",
    "error",
    "correction",
    "knee.bytes",
    "knee.hit-ratio",
    "points",
    "prefixes",
];

/// Reads of keys under two prefixes, the low numbers more often; what is missed is stored.
fn read_through(cluster: &mut Cluster, reads: usize) {
    let mut random = Random::new(5);
    for at in 0..reads {
        if at % 500 == 0 {
            for core in cluster.cores_mut() {
                core.publish_load();
                core.tick_curve();
            }
        }
        let below = 1 + random.below(4000);
        let number = random.below(below);
        let key = match at % 4 {
            0 => format!("page:{number}"),
            _ => format!("user:{number}:name"),
        };
        if let Reply::Null = cluster.run(&["GET", &key]) {
            cluster.run(&["SET", &key, "a value of some length, as there are many"]);
        }
    }
}

fn number(reply: &Reply) -> f64 {
    match reply {
        Reply::Double(number, _) => *number,
        Reply::Bulk(text) => std::str::from_utf8(text).unwrap().parse().unwrap(),
        other => panic!("a ratio was expected, not {other:?}"),
    }
}

fn points(fields: &[(String, Reply)]) -> Vec<(i64, f64)> {
    let Reply::Array(points) = field(fields, "points") else {
        panic!("points are an array");
    };
    let point = |point: &Reply| match point {
        Reply::Array(pair) => match &pair[..] {
            [Reply::Int(bytes), ratio, error] => {
                assert!((0.0..=1.0).contains(&number(error)));
                (*bytes, number(ratio))
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    points.iter().map(point).collect()
}

#[test]
fn before_there_were_reads_there_are_no_points() {
    for shards in [1, 2, 4] {
        let mut cluster = Cluster::new(shards);
        for proto in [Proto::Resp2, Proto::Resp3] {
            cluster.speak(proto);
            let curve = pairs(&cluster.ask("MEMORY CURVE"));
            let names: Vec<&str> = curve.iter().map(|(name, _)| &name[..]).collect();
            assert_eq!(names, FIELDS);
            assert_eq!(int(&curve, "references"), 0);
            assert!(points(&curve).is_empty());
            assert_eq!(*field(&curve, "hit-ratio.2x"), Reply::Null);
            assert_eq!(*field(&curve, "knee.bytes"), Reply::Null);
            assert_eq!(*field(&curve, "policy"), Reply::Bulk(b"allkeys-ifs".into()));
        }
    }
}

#[test]
fn the_curve_rises_to_todays_hit_ratio_and_stays_where_everything_fits() {
    for shards in [1, 2, 4] {
        let mut cluster = Cluster::new(shards);
        read_through(&mut cluster, 40_000);
        let curve = pairs(&cluster.ask("MEMORY CURVE"));
        assert_eq!(int(&curve, "references"), 40_000, "reads of all shards");
        assert!(int(&curve, "sampled.references") > 1000);
        assert!(int(&curve, "sampled.keys") > 100);
        let hit_ratio = number(field(&curve, "hit-ratio"));
        let points = points(&curve);
        assert_eq!(points.len(), 10);
        let today = points[4];
        assert!(today.0.abs_diff(int(&curve, "memory.bytes")) <= 1);
        assert!(
            (today.1 - hit_ratio).abs() < 0.0002,
            "{today:?} {hit_ratio}"
        );
        assert!(points[0].1 + 0.02 < today.1, "{points:?}");
        assert!(points.windows(2).all(|pair| pair[0].1 <= pair[1].1 + 0.02));
        // There is no limit: more memory would hold nothing more.
        assert_eq!(
            *field(&curve, "memory.basis"),
            Reply::Bulk(b"used-memory".into())
        );
        assert!((points[9].1 - hit_ratio).abs() < 0.0002);
        let twice = number(field(&curve, "hit-ratio.2x"));
        assert_eq!(twice, points[6].1);
    }
}

#[test]
fn points_and_prefixes_are_for_the_asking() {
    let mut cluster = Cluster::new(2);
    cluster.speak(Proto::Resp3);
    read_through(&mut cluster, 40_000);
    let curve = pairs(&cluster.ask("MEMORY CURVE POINTS 5"));
    assert_eq!(points(&curve).len(), 5);
    let shares = pairs(field(&curve, "prefixes"));
    let names: Vec<&str> = shares.iter().map(|(name, _)| &name[..]).collect();
    assert_eq!(names, ["user:", "page:"]);
    assert!((number(&shares[0].1) - 0.75).abs() < 0.1);
    for asked in ["page", "page:"] {
        let page = pairs(&cluster.run(&["MEMORY", "curve", "prefix", asked, "points", "3"]));
        let references = int(&page, "references");
        assert!((5000..20_000).contains(&references), "{references}");
        assert_eq!(points(&page).len(), 3);
    }
    let nothing = pairs(&cluster.ask("MEMORY CURVE PREFIX nothing"));
    assert_eq!(int(&nothing, "references"), 0);
    assert!(points(&nothing).is_empty());
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let mut cluster = Cluster::new(2);
    let mut error = |line: &str| match cluster.ask(line) {
        Reply::Error(text) => String::from_utf8_lossy(&text).into_owned(),
        other => panic!("{line}: {other:?}"),
    };
    let range = "ERR POINTS must be between 2 and 100";
    assert_eq!(error("MEMORY CURVE POINTS 1"), range);
    assert_eq!(error("MEMORY CURVE POINTS 101"), range);
    let integer = "ERR value is not an integer or out of range";
    assert_eq!(error("MEMORY CURVE POINTS many"), integer);
    for line in ["POINTS", "PREFIX", "BEND 3", "PREFIX a POINTS"] {
        assert_eq!(error(&format!("MEMORY CURVE {line}")), "ERR syntax error");
    }
}

#[test]
fn a_curve_that_is_switched_off_forgets() {
    let mut cluster = Cluster::new(2);
    read_through(&mut cluster, 20_000);
    cluster.ask("CONFIG SET memory-curve no");
    let off = "ERR the curve is not drawn while 'memory-curve' is no";
    assert_eq!(cluster.ask("MEMORY CURVE"), Reply::Error(off.into()));
    cluster.ask("CONFIG SET memory-curve yes");
    let on = pairs(&cluster.ask("MEMORY CURVE"));
    assert_eq!((int(&on, "sampled.keys"), int(&on, "references")), (0, 0));
}

#[test]
fn sizes_are_multiples_of_the_limit_once_it_is_half_used() {
    let mut cluster = Cluster::new(1);
    read_through(&mut cluster, 10_000);
    let used_bytes: i64 = cluster.cores()[0].limited_bytes();
    cluster.run(&[
        "CONFIG",
        "SET",
        "maxmemory",
        &(used_bytes * 3 / 2).to_string(),
    ]);
    for core in cluster.cores_mut() {
        let used_bytes = core.limited_bytes();
        core.lease.settle(used_bytes);
    }
    let curve = pairs(&cluster.ask("MEMORY CURVE"));
    assert_eq!(
        *field(&curve, "memory.basis"),
        Reply::Bulk(b"maxmemory".into())
    );
    assert_eq!(int(&curve, "memory.bytes"), used_bytes * 3 / 2);
    cluster.run(&["CONFIG", "SET", "maxmemory", &(used_bytes * 10).to_string()]);
    let curve = pairs(&cluster.ask("MEMORY CURVE"));
    assert_eq!(
        *field(&curve, "memory.basis"),
        Reply::Bulk(b"used-memory".into())
    );
}
