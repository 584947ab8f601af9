//! Owns the comparison of the miss-ratio curve with the hit ratios that the store really has at each size.
//! Never here: a simulation; every size is a cluster of the server's own shards under a limit.
//! Source: the traces that are named on the command line.

mod cache;

use std::path::Path;
use std::process::ExitCode;

use cache::Cache;
use pinyon_trace::Trace;
use store::curve::{MissRatioCurve, SIZES, TIMES, TODAY};
use store::{Eviction, Order};

/// What a key costs beside its value, roughly: to size the caches.
const OVERHEAD_BYTES: u64 = 32;
/// What is not known of the truth, as it is noted at ticks only.
const TICK_ERROR: f64 = 0.001;
/// How often the curve is compared on the way through a trace.
const LOOKS: usize = 8;

fn policy(name: &str) -> Option<Eviction> {
    let with = |order, samples| Eviction {
        order,
        samples,
        ..Eviction::default()
    };
    match name {
        "ifs" => Some(Eviction::default()),
        "ifs0.5" => Some(Eviction {
            size_weight_percent: 50,
            ..Eviction::default()
        }),
        "lru" => Some(with(Order::Lru, 40)),
        "lfu" => Some(with(Order::Lfu, 40)),
        "random" => Some(with(Order::Random, 1)),
        "ttl" => Some(Eviction {
            only_expiring: true,
            ..with(Order::Ttl, 40)
        }),
        "volatile-ifs" => Some(Eviction {
            only_expiring: true,
            ..Eviction::default()
        }),
        _ => None,
    }
}

/// How far the curve was from what caches of its sizes did.
struct Distance {
    /// Of today's size as it was simulated, without the anchor.
    own: f64,
    /// The error that the curve told.
    told: f64,
    /// Points of all looks that were no further from the truth than was told, of 1.
    kept: f64,
    /// The mean over sizes and looks, and the largest of a look.
    mean: f64,
    largest: f64,
    /// At the last look.
    sampled_keys: u64,
    sampled_references: u64,
}

/// Runs a trace through caches of every size, and compares with the curve that today's size drew.
fn compare(trace: &Trace, percent: f64, shards: usize, eviction: Eviction) -> Distance {
    let footprint_bytes = trace.footprint_bytes(OVERHEAD_BYTES);
    let limit_bytes = |times: f64| (footprint_bytes as f64 * percent / 100.0 * times) as u64;
    let looks_apart = trace.requests.len() / LOOKS;
    let mut caches: Vec<Cache> = (0..SIZES)
        .map(|size| {
            let looks_apart = (size == TODAY).then_some(looks_apart);
            Cache::new(shards, limit_bytes(TIMES[size]), eviction, looks_apart)
        })
        .collect();
    std::thread::scope(|scope| {
        let (mut even, mut odd) = (Vec::new(), Vec::new());
        for (size, cache) in caches.iter_mut().enumerate() {
            if size % 2 == 0 { &mut even } else { &mut odd }.push(cache);
        }
        for some in [even, odd] {
            scope.spawn(move || {
                for cache in some {
                    trace.requests.iter().for_each(|request| cache.run(request));
                }
            });
        }
    });
    distance(&caches)
}

fn distance(caches: &[Cache]) -> Distance {
    let looks = caches[TODAY].looks();
    let mut sum = Distance {
        own: 0.0,
        told: 0.0,
        kept: 0.0,
        mean: 0.0,
        largest: 0.0,
        sampled_keys: 0,
        sampled_references: 0,
    };
    for look in looks {
        let curve = MissRatioCurve::of(&look.figures);
        let points = curve.points.iter().zip(caches);
        let errors: Vec<f64> = points
            .map(|(point, cache)| (point.hit_ratio - cache.hit_ratio(&look.reads)).abs())
            .collect();
        let told = curve.points.iter().map(|point| point.error + TICK_ERROR);
        let kept = told.zip(&errors).filter(|(told, error)| *error <= told);
        let mean = errors.iter().sum::<f64>() / SIZES as f64;
        sum.mean += mean / looks.len() as f64;
        sum.own += curve.correction / looks.len() as f64;
        sum.told += curve.error / looks.len() as f64;
        sum.kept += kept.count() as f64 / (SIZES * looks.len()) as f64;
        sum.largest = sum.largest.max(mean);
        sum.sampled_keys = curve.sampled_keys;
        sum.sampled_references = curve.sampled_references;
    }
    sum
}

fn run() -> Result<(), String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let list = |text: &str| -> Vec<String> { text.split(',').map(str::to_owned).collect() };
    let (mut percents, mut shards) = (list("10"), list("1"));
    let (mut policies, mut only, mut place) = (list("ifs"), String::new(), String::new());
    for pair in words.chunks(2) {
        match pair {
            [name, value] if name == "--traces" => place = value.clone(),
            [name, value] if name == "--percent" => percents = list(value),
            [name, value] if name == "--shards" => shards = list(value),
            [name, value] if name == "--policies" => policies = list(value),
            [name, value] if name == "--only" => only = value.clone(),
            _ => return Err(format!("{}: no such option", pair.join(" "))),
        }
    }
    let told = |error: std::io::Error| format!("{place}: {error}");
    println!(
        "| trace | memory | policy | shards | sampled keys | sampled reads | unanchored at 1× | mean error | largest | told | kept |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for path in pinyon_trace::paths(Path::new(&place)).map_err(told)? {
        let trace = Trace::read(&path).map_err(told)?;
        if !only.is_empty() && trace.name != only {
            continue;
        }
        for percent in &percents {
            for name in &policies {
                for shards in &shards {
                    let wrong = || "no such number or policy".to_string();
                    let size = percent.parse().map_err(|_| wrong())?;
                    let count = shards.parse().map_err(|_| wrong())?;
                    let eviction = policy(name).ok_or_else(wrong)?;
                    let found = compare(&trace, size, count, eviction);
                    println!(
                        "| {} | {percent} % | {name} | {shards} | {} | {} | {:.4} | {:.4} | {:.4} | {:.4} | {:.0} % |",
                        trace.name,
                        found.sampled_keys,
                        found.sampled_references,
                        found.own,
                        found.mean,
                        found.largest,
                        found.told,
                        found.kept * 100.0
                    );
                }
            }
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!(
                "curve: {text}\nusage: pinyon-curve --traces PATH [--percent 10] [--shards 1,4] [--policies ifs,ifs0.5,lru,lfu,random,ttl,volatile-ifs] [--only trace]"
            );
            ExitCode::from(2)
        }
    }
}
