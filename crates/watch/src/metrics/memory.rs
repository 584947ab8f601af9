//! The MEMORY family as metrics: accounts, shards, types, prefixes, the curve, the trend, findings.
//! Never computes a figure: every sample stands in a reply, at most in another unit.
//! Source: docs/memory.md for the fields; Prometheus' conventions for names and base units.

use super::exposition::Exposition;
use crate::{escape, json};
use resp::Reply;

/// Fields that only rise.
const RISING: &[&str] = &["foreign.freed.bytes"];

/// The fields of a map with their names; nothing of another reply.
fn fields(reply: &Reply) -> impl Iterator<Item = (&str, &Reply)> {
    let pairs = match reply {
        Reply::Map(pairs) => &pairs[..],
        _ => &[],
    };
    pairs
        .iter()
        .filter_map(|(name, value)| Some((name_of(name)?, value)))
}

fn name_of(reply: &Reply) -> Option<&str> {
    match reply {
        Reply::Bulk(name) | Reply::Simple(name) => std::str::from_utf8(name).ok(),
        _ => None,
    }
}

fn field<'a>(reply: &'a Reply, name: &str) -> Option<&'a Reply> {
    let mut named = fields(reply).filter(|(field, _)| *field == name);
    named.next().map(|(_, value)| value)
}

fn rows(reply: &Reply) -> &[Reply] {
    match reply {
        Reply::Array(rows) => rows,
        _ => &[],
    }
}

fn number(reply: &Reply) -> Option<f64> {
    match reply {
        Reply::Int(number) => Some(*number as f64),
        Reply::Double(number, _) => Some(*number),
        _ => None,
    }
}

fn text(reply: &Reply) -> Option<String> {
    match reply {
        Reply::Bulk(bytes) | Reply::Simple(bytes) => Some(escape::text(bytes).into_owned()),
        Reply::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The metric of a field and what its value is divided by: ratios instead of percentages, and bytes where no unit is named.
fn metric_of(prefix: &str, field: &str) -> (String, f64) {
    let (name, divisor) = match field {
        "keys.count" => ("keys".to_owned(), 1.0),
        "keys.bytes-per-key" => ("bytes_per_key".to_owned(), 1.0),
        "fragmentation" => ("fragmentation_ratio".to_owned(), 1.0),
        _ => {
            let name = field.replace(['.', '-', ' '], "_");
            let counts = ["keys", "clients", "shards"].contains(&field);
            if let Some(share) = name.strip_suffix("_percentage") {
                (format!("{share}_ratio"), 100.0)
            } else if counts || name.ends_with("_bytes") || name.ends_with("_ratio") {
                (name, 1.0)
            } else {
                (format!("{name}_bytes"), 1.0)
            }
        }
    };
    let total = if RISING.contains(&field) {
        "_total"
    } else {
        ""
    };
    (format!("{prefix}{name}{total}"), divisor)
}

fn begin(out: &mut Exposition, name: &str, command: &str, field: &str) {
    let help = format!("{field} of {command}.");
    if name.ends_with("_total") {
        out.counter(name, &help);
    } else {
        out.gauge(name, &help);
    }
}

/// A family for each numeric field of some maps, with a sample for each map, by a label.
fn write_by_label(
    out: &mut Exposition,
    maps: &[(String, &Reply)],
    label: &str,
    prefix: &str,
    command: &str,
) {
    let Some((_, first)) = maps.first() else {
        return;
    };
    for (name, _) in fields(first).filter(|(name, _)| *name != label) {
        let numbers: Vec<(&str, f64)> = maps
            .iter()
            .filter_map(|(labelled, map)| Some((&labelled[..], number(field(map, name)?)?)))
            .collect();
        if numbers.is_empty() {
            continue;
        }
        let (metric, divisor) = metric_of(prefix, name);
        begin(out, &metric, command, name);
        for (labelled, value) in numbers {
            out.sample(&[(label, labelled)], value / divisor);
        }
    }
}

/// MEMORY STATS: every field, and the accounts that add up to `total.allocated`.
pub fn write_stats(out: &mut Exposition, stats: &Reply) {
    const COMMAND: &str = "MEMORY STATS";
    for (name, value) in fields(stats) {
        if name == "shards" {
            continue;
        }
        if let Some(value) = number(value) {
            let (metric, divisor) = metric_of("pinyon_memory_", name);
            begin(out, &metric, COMMAND, name);
            out.sample(&[], value / divisor);
        }
    }
    if let Some(shards) = field(stats, "shards").and_then(number) {
        out.gauge("pinyon_shards", "shards of MEMORY STATS.");
        out.sample(&[], shards);
    }
    out.gauge(
        "pinyon_memory_account_bytes",
        "Everything allocated by what it is for: dataset.bytes and overhead.items of MEMORY STATS, which add up to total.allocated.",
    );
    if let Some(bytes) = field(stats, "dataset.bytes").and_then(number) {
        out.sample(&[("account", "dataset")], bytes);
    }
    for (item, value) in field(stats, "overhead.items").into_iter().flat_map(fields) {
        if let Some(bytes) = number(value) {
            out.sample(&[("account", item)], bytes);
        }
    }
    let numbered = |prefix: &str, shown: &str| -> Vec<(String, &Reply)> {
        fields(stats)
            .filter_map(|(name, map)| {
                let number = name.strip_prefix(prefix)?;
                number
                    .parse::<u32>()
                    .is_ok()
                    .then(|| (format!("{shown}{number}"), map))
            })
            .collect()
    };
    write_by_label(
        out,
        &numbered("shard.", ""),
        "shard",
        "pinyon_shard_memory_",
        COMMAND,
    );
    write_by_label(out, &numbered("db.", "db"), "db", "pinyon_db_", COMMAND);
}

/// Rows of maps, each with a field that names it.
fn labelled<'a>(reply: &'a Reply, label: &str) -> Vec<(String, &'a Reply)> {
    let named = |row| Some((text(field(row, label)?)?, row));
    rows(reply).iter().filter_map(named).collect()
}

/// MEMORY SHARDS.
pub fn write_shards(out: &mut Exposition, shards: &Reply) {
    write_by_label(
        out,
        &labelled(shards, "shard"),
        "shard",
        "pinyon_shard_",
        "MEMORY SHARDS",
    );
}

/// A family of one field of rows.
fn write_column(
    out: &mut Exposition,
    rows: &[(String, &Reply)],
    (label, name): (&str, &str),
    (metric, divisor, help): (&str, f64, &str),
) {
    out.gauge(metric, help);
    for (labelled, row) in rows {
        if let Some(value) = field(row, name).and_then(number) {
            out.sample(&[(label, labelled)], value / divisor);
        }
    }
}

/// MEMORY TYPES.
pub fn write_types(out: &mut Exposition, types: &Reply) {
    let rows = labelled(types, "type");
    for (field, metric) in [
        ("keys", ("pinyon_type_keys", 1.0, "Keys of a type.")),
        (
            "bytes",
            ("pinyon_type_bytes", 1.0, "Bytes of the keys of a type."),
        ),
        (
            "largest.key.bytes",
            (
                "pinyon_type_largest_key_bytes",
                1.0,
                "Bytes of the largest key of a type.",
            ),
        ),
    ] {
        write_column(out, &rows, ("type", field), metric);
    }
}

/// MEMORY PREFIXES.
pub fn write_prefixes(out: &mut Exposition, prefixes: &Reply) {
    let rows = labelled(prefixes, "prefix");
    for (field, metric) in [
        (
            "bytes",
            (
                "pinyon_prefix_bytes",
                1.0,
                "Bytes of the keys of a prefix; all rows add up to dataset.bytes.",
            ),
        ),
        ("keys", ("pinyon_prefix_keys", 1.0, "Keys of a prefix.")),
        (
            "growth.per.minute",
            (
                "pinyon_prefix_growth_bytes_per_second",
                60.0,
                "Growth of a prefix over the last minute or two.",
            ),
        ),
        (
            "keys.without.expiry",
            (
                "pinyon_prefix_keys_without_expiry",
                1.0,
                "Keys of a prefix that never expire.",
            ),
        ),
    ] {
        write_column(out, &rows, ("prefix", field), metric);
    }
}

/// MEMORY CURVE.
pub fn write_curve(out: &mut Exposition, curve: &Reply) {
    out.gauge(
        "pinyon_curve_hit_ratio",
        "Hit ratio that this workload would have had with a multiple of the memory of today, by MEMORY CURVE.",
    );
    for (name, times) in [
        ("hit-ratio.0.5x", "0.5"),
        ("hit-ratio", "1"),
        ("hit-ratio.2x", "2"),
        ("hit-ratio.4x", "4"),
    ] {
        if let Some(ratio) = field(curve, name).and_then(number) {
            out.sample(&[("times", times)], ratio);
        }
    }
    for (name, metric, help) in [
        (
            "error",
            "pinyon_curve_error_ratio",
            "How far the curve may be off.",
        ),
        (
            "memory.bytes",
            "pinyon_curve_memory_bytes",
            "The memory of today that the curve starts from.",
        ),
        (
            "knee.bytes",
            "pinyon_curve_knee_bytes",
            "Memory beyond which more brings little.",
        ),
        (
            "knee.hit-ratio",
            "pinyon_curve_knee_hit_ratio",
            "Hit ratio there.",
        ),
    ] {
        out.gauge(metric, help);
        if let Some(value) = field(curve, name).and_then(number) {
            out.sample(&[], value);
        }
    }
}

/// MEMORY TREND's total over every span.
pub fn write_trend(out: &mut Exposition, trend: &Reply) {
    let total = field(trend, "total").unwrap_or(&Reply::Null);
    let spans: Vec<(String, &Reply)> = fields(total)
        .filter(|(_, value)| matches!(value, Reply::Map(_)))
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    for (field, metric) in [
        (
            "bytes.per.minute",
            (
                "pinyon_trend_growth_bytes_per_second",
                60.0,
                "Growth of what is allocated, over a span of time.",
            ),
        ),
        (
            "seconds.until.maxmemory",
            (
                "pinyon_trend_until_maxmemory_seconds",
                1.0,
                "When maxmemory is met at that growth; missing for what does not grow.",
            ),
        ),
        (
            "covered.seconds",
            (
                "pinyon_trend_covered_seconds",
                1.0,
                "How long ago the span began in truth.",
            ),
        ),
    ] {
        write_column(out, &spans, ("span", field), metric);
    }
}

/// MEMORY DOCTOR's findings.
pub fn write_findings(out: &mut Exposition, doctor: &Reply) {
    out.gauge(
        "pinyon_finding",
        "A finding of MEMORY DOCTOR; 1 as long as it holds.",
    );
    let document = json::document(doctor).unwrap_or_default();
    let findings = document["findings"].as_array();
    for finding in findings.into_iter().flatten() {
        if let (Some(id), Some(severity)) = (finding["id"].as_str(), finding["severity"].as_str()) {
            out.sample(&[("id", id), ("severity", severity)], 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(resp: &str) -> Reply {
        Reply::parse(resp.replace(' ', "\r\n").as_bytes())
            .unwrap()
            .unwrap()
            .0
    }

    fn written(write: fn(&mut Exposition, &Reply), reply: &Reply) -> Vec<String> {
        let mut out = Exposition::new(false);
        write(&mut out, reply);
        let text = String::from_utf8(out.finish()).unwrap();
        text.lines()
            .filter(|line| !line.starts_with("# HELP"))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn every_field_of_stats_has_a_name_with_its_unit() {
        let stats = reply(
            "%8 +peak.allocated :7 +keys.count :2 +dataset.percentage ,50 +fragmentation ,1.5 +shards :1 \
             +dataset.bytes :5 +shard.0 %1 +dataset.bytes :5 +overhead.items %1 +tables :2 ",
        );
        let lines = written(write_stats, &stats);
        let samples: Vec<&str> = lines
            .iter()
            .map(|line| &line[..])
            .filter(|line| !line.starts_with('#'))
            .collect();
        assert_eq!(
            samples,
            [
                "pinyon_memory_peak_allocated_bytes 7",
                "pinyon_memory_keys 2",
                "pinyon_memory_dataset_ratio 0.5",
                "pinyon_memory_fragmentation_ratio 1.5",
                "pinyon_memory_dataset_bytes 5",
                "pinyon_shards 1",
                "pinyon_memory_account_bytes{account=\"dataset\"} 5",
                "pinyon_memory_account_bytes{account=\"tables\"} 2",
                "pinyon_shard_memory_dataset_bytes{shard=\"0\"} 5",
            ]
        );
    }

    #[test]
    fn rows_become_one_family_a_field() {
        let shards = reply(
            "*2 %3 +shard :0 +keys :1 +foreign.freed.bytes :9 %3 +shard :1 +keys :2 +foreign.freed.bytes :8 ",
        );
        assert_eq!(
            written(write_shards, &shards),
            [
                "# TYPE pinyon_shard_keys gauge",
                "pinyon_shard_keys{shard=\"0\"} 1",
                "pinyon_shard_keys{shard=\"1\"} 2",
                "# TYPE pinyon_shard_foreign_freed_bytes_total counter",
                "pinyon_shard_foreign_freed_bytes_total{shard=\"0\"} 9",
                "pinyon_shard_foreign_freed_bytes_total{shard=\"1\"} 8",
            ]
        );
    }

    #[test]
    fn a_hostile_prefix_is_one_label() {
        let name = |bytes: &[u8]| Reply::Bulk(bytes.to_vec());
        let rows = Reply::Array(vec![Reply::Map(vec![
            (name(b"prefix"), name(b"\"} 1\n\xff\\:")),
            (name(b"bytes"), Reply::Int(3)),
            (name(b"growth.per.minute"), Reply::Int(-120)),
        ])]);
        let lines = written(write_prefixes, &rows);
        assert!(
            lines.contains(&r#"pinyon_prefix_bytes{prefix="\"} 1\n\\xff\\\\:"} 3"#.to_owned()),
            "{lines:?}"
        );
        assert!(
            lines
                .iter()
                .any(|line| line.starts_with("pinyon_prefix_growth") && line.ends_with(" -2"))
        );
    }

    #[test]
    fn growth_is_told_by_the_span_of_time() {
        let trend = reply(
            "%2 +total %4 +bytes :9 +maxmemory :0 +1m %2 +bytes.per.minute :120 +seconds.until.maxmemory _ \
             +1h %2 +bytes.per.minute :60 +seconds.until.maxmemory :7 +prefixes *0 ",
        );
        let lines = written(write_trend, &trend);
        assert!(lines.contains(&"pinyon_trend_growth_bytes_per_second{span=\"1m\"} 2".to_owned()));
        let until: Vec<&String> = lines
            .iter()
            .filter(|line| line.contains("until_maxmemory_seconds{"))
            .collect();
        assert_eq!(
            until,
            ["pinyon_trend_until_maxmemory_seconds{span=\"1h\"} 7"]
        );
    }

    #[test]
    fn findings_and_the_curve_are_samples_where_there_are_some() {
        let doctor = Reply::Bulk(
            br#"{"findings":[{"id":"near-limit","severity":"critical"},{"id":3}]}"#.to_vec(),
        );
        assert_eq!(
            written(write_findings, &doctor),
            [
                "# TYPE pinyon_finding gauge",
                "pinyon_finding{id=\"near-limit\",severity=\"critical\"} 1"
            ]
        );
        let failed = Reply::Error(b"ERR no".to_vec());
        assert_eq!(
            written(write_findings, &failed),
            ["# TYPE pinyon_finding gauge"]
        );
        let curve = reply("%3 +hit-ratio ,0.5 +hit-ratio.2x _ +knee.bytes :9 ");
        let lines = written(write_curve, &curve);
        assert!(lines.contains(&"pinyon_curve_hit_ratio{times=\"1\"} 0.5".to_owned()));
        assert!(lines.contains(&"pinyon_curve_knee_bytes 9".to_owned()));
        assert!(!lines.iter().any(|line| line.contains("times=\"2\"")));
    }
}
