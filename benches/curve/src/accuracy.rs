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
        "lru" => Some(with(Order::Lru, 5)),
        "lfu" => Some(with(Order::Lfu, 5)),
        "random" => Some(with(Order::Random, 1)),
        _ => None,
    }
}

/// Runs a trace through caches of every size, and prints how far the curve of today's is from what they did.
fn compare(trace: &Trace, percent: f64, shards: usize, (name, eviction): (&str, Eviction)) -> f64 {
    let footprint_bytes = trace.footprint_bytes(OVERHEAD_BYTES);
    let limit = |times: f64| (footprint_bytes as f64 * percent / 100.0 * times) as u64;
    if let Ok(on) = std::env::var("COST") {
        let mut cache = Cache::new(shards, limit(1.0), eviction, on == "on");
        let t = std::time::Instant::now();
        trace.requests.iter().take(300_000).for_each(|request| cache.run(request));
        println!("{} {on} {} ns", trace.name, t.elapsed().as_nanos() / trace.requests.len() as u128);
        return 0.0;
    }
    let mut caches: Vec<Cache> = (0..SIZES)
        .map(|size| Cache::new(shards, limit(TIMES[size]), eviction, size == TODAY))
        .collect();
    std::thread::scope(|scope| {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for (size, cache) in caches.iter_mut().enumerate() {
            if size % 2 == 0 { &mut first } else { &mut second }.push(cache);
        }
        for mut some in [first, second] {
            scope.spawn(move || {
                for cache in &mut some {
                    trace.requests.iter().for_each(|request| cache.run(request));
                }
            });
        }
    });
    let mut error = 0.0;
    let points = caches[TODAY].checkpoints.clone();
    let mut sums = [0.0; 5];
    for (n, (from, to, figures)) in points.iter().enumerate() {
        let curve = MissRatioCurve::of(figures);
        let mut all = store::curve::Counts::default();
        figures.iter().flat_map(|f| &f.labels).for_each(|l| all.add(&l.counts));
        let exact: Vec<f64> = caches.iter().map(|cache| cache.hit_ratio(*from, *to)).collect();
        let m = exact[TODAY];
        let refs = (to - from) as f64;
        let raw: Vec<f64> = all.size_hits.iter().map(|h| h / all.references).collect();
        let t = raw[TODAY];
        let real = all.hits / all.references;
        let variants: [Vec<f64>; 5] = [
            raw.clone(),
            raw.iter().map(|h| h + m - t).collect(),
            raw.iter().map(|h| 1.0 - (1.0 - h) * (1.0 - m) / (1.0 - t)).collect(),
            all.size_hits.iter().map(|h| 1.0 - (all.references - h) / refs).collect(),
            raw.iter().map(|h| h + m - real).collect(),
        ];
        let mae = variants.map(|v| v.iter().zip(&exact).map(|(a, b)| (a - b).abs()).sum::<f64>() / SIZES as f64);
        for (s, e) in sums.iter_mut().zip(mae) { *s += e / points.len() as f64; }
        let row: String = raw.iter().zip(&exact).map(|(a, b)| format!(" {a:.3}/{b:.3}")).collect();
        println!("| {} {n} | {percent} % | {name} | {shards} | {from}-{to} keys {} refs {} est {:.0} | own {:.4} | raw {:.4} add {:.4} mul {:.4} adj {:.4} real {:.4} |{row}",
            trace.name, curve.sampled_keys, curve.sampled_references, all.references, t - m, mae[0], mae[1], mae[2], mae[3], mae[4]);
        error = mae[1];
    }
    println!("== {} {percent} {name} {shards} MEAN raw {:.4} add {:.4} mul {:.4} adj {:.4} real {:.4}", trace.name, sums[0], sums[1], sums[2], sums[3], sums[4]);
    error
}

fn run() -> Result<(), String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let list = |text: &str| -> Vec<String> { text.split(',').map(str::to_owned).collect() };
    let (mut percents, mut shards) = (list("10"), list("1"));
    let (mut policies, mut only) = (list("ifs"), String::new());
    for pair in words.chunks(2) {
        match pair {
            [name, value] if name == "--percent" => percents = list(value),
            [name, value] if name == "--shards" => shards = list(value),
            [name, value] if name == "--policies" => policies = list(value),
            [name, value] if name == "--only" => only = value.clone(),
            _ => return Err(format!("{}: no such option", pair.join(" "))),
        }
    }
    let place = std::env::var("TRACES").map_err(|_| "TRACES names no directory".to_string())?;
    let told = |error: std::io::Error| format!("{place}: {error}");
    println!("| trace | memory | policy | shards | sampled keys | sampled reads | own error | mean error |\n|---|---|---|---|---|---|---|---|");
    for path in pinyon_trace::paths(Path::new(&place)).map_err(told)? {
        if !path.to_string_lossy().contains(&only) {
            continue;
        }
        let trace = Trace::read(&path).map_err(told)?;
        eprintln!("{} requests {} MB", trace.requests.len(), trace.footprint_bytes(OVERHEAD_BYTES) >> 20);
        for percent in &percents {
            for name in &policies {
                for shards in &shards {
                    let wrong = || "no such number or policy".to_string();
                    let percent = percent.parse().map_err(|_| wrong())?;
                    let shards = shards.parse().map_err(|_| wrong())?;
                    let eviction = policy(name).ok_or_else(wrong)?;
                    compare(&trace, percent, shards, (name, eviction));
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
            eprintln!("curve: {text}\nusage: TRACES=directory pinyon-curve [--percent 10] [--shards 1,4] [--policies ifs,lru,lfu]");
            ExitCode::from(2)
        }
    }
}
