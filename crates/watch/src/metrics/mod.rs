//! Replies as metrics: families with their help and type, then samples, in OpenMetrics or the text format before it.
//! Never reorders within a family and never emits a value that is no number.
//! Sources: the OpenMetrics specification 1.0 and Prometheus' text format 0.0.4.

mod exposition;
mod memory;
mod redis;

use crate::Response;
use exposition::Exposition;
use resp::Reply;

/// The sources that are asked, by their names in the allow-list; prefixes follow where they are wanted.
pub const SOURCES: &[&str] = &[
    "info", "stats", "shards", "types", "curve", "trend", "doctor",
];

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics, of the replies of [`SOURCES`] in their order and that of MEMORY PREFIXES.
pub fn response(replies: &[Reply], prefixes: Option<&Reply>, openmetrics: bool) -> Response {
    let mut out = Exposition::new(openmetrics);
    let of = |name: &str| {
        let place = SOURCES.iter().position(|source| *source == name);
        place
            .and_then(|place| replies.get(place))
            .unwrap_or(&Reply::Null)
    };
    redis::write(&mut out, of("info"));
    memory::write_stats(&mut out, of("stats"));
    memory::write_shards(&mut out, of("shards"));
    memory::write_types(&mut out, of("types"));
    memory::write_prefixes(&mut out, prefixes.unwrap_or(&Reply::Null));
    memory::write_curve(&mut out, of("curve"));
    memory::write_trend(&mut out, of("trend"));
    memory::write_findings(&mut out, of("doctor"));
    out.gauge(
        "pinyon_source_available",
        "Whether the command behind a part of these metrics answered; 0 leaves that part out.",
    );
    let asked = SOURCES
        .iter()
        .zip(replies)
        .map(|(name, reply)| (*name, reply));
    for (name, reply) in asked.chain(prefixes.map(|reply| ("prefixes", reply))) {
        let answered = !matches!(reply, Reply::Error(_) | Reply::Null);
        out.sample(&[("source", name)], f64::from(answered));
    }
    let content_type = if openmetrics { OPENMETRICS } else { PLAIN };
    Response::of(content_type, out.finish())
}
