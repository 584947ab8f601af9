//! The port of metrics: its figures are those of the MEMORY family, and nobody who connects there can do harm.
//! Never looks at the page itself; `page` does, with a browser.
//! The names are those that dashboards for Redis query; the list of the popular one is kept here.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use resp::Reply;
use serde_json::Value;
use testkit::Server;
use testkit::server::find_program;

use crate::fixture::{is_required, skipped};
use crate::watching::{Page, Watched};

const OPENMETRICS: &str = "Accept: application/openmetrics-text; version=1.0.0\r\n";

/// What the dashboard 763 of Grafana queries, in its revisions for redis_exporter 1.x.
const POPULAR: &[&str] = &[
    "redis_up",
    "redis_uptime_in_seconds",
    "redis_connected_clients",
    "redis_blocked_clients",
    "redis_memory_used_bytes",
    "redis_memory_used_rss_bytes",
    "redis_memory_max_bytes",
    "redis_memory_fragmentation_ratio",
    "redis_commands_processed_total",
    "redis_commands_total",
    "redis_commands_duration_seconds_total",
    "redis_keyspace_hits_total",
    "redis_keyspace_misses_total",
    "redis_net_input_bytes_total",
    "redis_net_output_bytes_total",
    "redis_db_keys",
    "redis_db_keys_expiring",
    "redis_expired_keys_total",
    "redis_evicted_keys_total",
    "redis_connected_slaves",
    "redis_rejected_connections_total",
    "redis_start_time_seconds",
    "redis_instance_info",
    "redis_config_maxmemory",
    "redis_config_maxclients",
];

/// Samples by their name with labels, and the names of families.
struct Metrics {
    samples: HashMap<String, f64>,
    families: Vec<String>,
}

impl Metrics {
    fn from(watched: &Watched) -> Metrics {
        Metrics::of(&watched.get("/metrics").body)
    }

    fn of(text: &str) -> Metrics {
        let mut metrics = Metrics {
            samples: HashMap::new(),
            families: Vec::new(),
        };
        for line in text.lines() {
            if let Some(kind) = line.strip_prefix("# TYPE ") {
                let name = kind.split(' ').next().expect("a family has a name");
                metrics.families.push(name.to_owned());
            } else if !line.starts_with('#') {
                let (name, value) = line.rsplit_once(' ').expect("a sample has a value");
                let value = value.parse().expect("a value is a number");
                let before = metrics.samples.insert(name.to_owned(), value);
                assert_eq!(before, None, "{name} stands twice");
            }
        }
        metrics
    }

    fn at(&self, name: &str) -> f64 {
        let sample = self.samples.get(name);
        *sample.unwrap_or_else(|| panic!("there is no {name}"))
    }

    fn sum(&self, family: &str) -> f64 {
        let start = format!("{family}{{");
        let of_family = |(name, _): &(&String, &f64)| name.starts_with(&start);
        self.samples
            .iter()
            .filter(of_family)
            .map(|(_, value)| value)
            .sum()
    }
}

/// Keys of every type under some prefixes.
fn load(server: &Server) {
    let mut client = server.client();
    let mut commands: Vec<Vec<String>> = Vec::new();
    let mut say = |line: String| commands.push(line.split(' ').map(str::to_owned).collect());
    for number in 0..300 {
        say(format!("SET user:{number} {}", "u".repeat(number)));
        say(format!(
            "SET session:{number}:data {} EX 10000",
            "s".repeat(50)
        ));
        say(format!("RPUSH queue:{} a b c", number % 7));
        say(format!("SADD tags:{} {number}", number % 5));
        say(format!("ZADD board {number} player:{number}"));
        say(format!("HSET profile:{} field{number} value", number % 9));
        say("GET user:1".to_owned());
        say("GET nothing".to_owned());
    }
    client.pipeline(&commands);
}

/// The integer fields of MEMORY STATS.
fn stats(server: &Server) -> HashMap<String, i64> {
    let Reply::Map(fields) = server.client_resp3().ask("MEMORY STATS") else {
        panic!("MEMORY STATS is a map");
    };
    let number = |(name, value)| match (name, value) {
        (Reply::Bulk(name), Reply::Int(value)) => Some((String::from_utf8(name).ok()?, value)),
        _ => None,
    };
    fields.into_iter().filter_map(number).collect()
}

#[test]
fn metrics_say_what_memory_stats_says() {
    for shards in [1, 2, 4] {
        let Some(watched) = Watched::start(shards, &[]) else {
            return;
        };
        load(&watched.server);
        let (metrics, stats) = (Metrics::from(&watched), stats(&watched.server));
        for (field, metric) in [
            ("dataset.bytes", "pinyon_memory_dataset_bytes"),
            ("keys.count", "pinyon_memory_keys"),
            ("startup.allocated", "pinyon_memory_startup_allocated_bytes"),
            ("shards", "pinyon_shards"),
        ] {
            assert_eq!(
                metrics.at(metric),
                stats[field] as f64,
                "{field}, {shards} shards"
            );
        }
        assert_eq!(
            metrics.at("redis_db_keys{db=\"db0\"}"),
            stats["keys.count"] as f64
        );
        assert_eq!(metrics.at("redis_db_keys_expiring{db=\"db0\"}"), 300.0);
        assert_eq!(metrics.at("redis_keyspace_hits_total"), 299.0);
        assert_eq!(metrics.at("redis_commands_total{cmd=\"zadd\"}"), 300.0);
        assert_eq!(metrics.at("redis_up"), 1.0);
    }
}

#[test]
fn rows_of_metrics_add_up() {
    for shards in [1, 2, 4] {
        let Some(watched) = Watched::start(shards, &["--metrics-prefixes", "3"]) else {
            return;
        };
        load(&watched.server);
        let metrics = Metrics::from(&watched);
        let dataset = metrics.at("pinyon_memory_dataset_bytes");
        for family in [
            "pinyon_shard_dataset_bytes",
            "pinyon_shard_memory_dataset_bytes",
            "pinyon_type_bytes",
            "pinyon_prefix_bytes",
        ] {
            assert_eq!(
                metrics.sum(family),
                dataset,
                "{family} with {shards} shards"
            );
        }
        let keys = metrics.at("pinyon_memory_keys");
        for family in [
            "pinyon_shard_keys",
            "pinyon_type_keys",
            "pinyon_prefix_keys",
            "redis_db_keys",
        ] {
            assert_eq!(metrics.sum(family), keys, "{family} with {shards} shards");
        }
        let total = metrics.at("pinyon_memory_total_allocated_bytes");
        assert_eq!(metrics.sum("pinyon_memory_account_bytes"), total);
        let prefixes = metrics
            .samples
            .keys()
            .filter(|name| name.starts_with("pinyon_prefix_bytes"));
        assert_eq!(prefixes.count(), 4, "three and the others");
    }
}

#[test]
fn every_number_of_memory_stats_has_a_metric() {
    let Some(watched) = Watched::start(2, &[]) else {
        return;
    };
    load(&watched.server);
    let stats = watched.json("/api/stats");
    let fields = stats.as_object().expect("a map");
    let numbers = fields.values().filter(|value| value.is_number()).count();
    let metrics = Metrics::from(&watched);
    let named = |prefix: &str| {
        metrics
            .samples
            .keys()
            .filter(|name| name.starts_with(prefix))
            .count()
    };
    let single = metrics
        .samples
        .keys()
        .filter(|name| name.starts_with("pinyon_memory_") && !name.contains('{'));
    assert_eq!(
        single.count() + 1,
        numbers,
        "all of them, and pinyon_shards"
    );
    let numbers_of = |map: &Value| {
        map.as_object()
            .expect("a map")
            .values()
            .filter(|value| value.is_number())
            .count()
    };
    assert_eq!(
        named("pinyon_shard_memory_"),
        numbers_of(&fields["shard.0"]) + numbers_of(&fields["shard.1"])
    );
    assert_eq!(
        named("pinyon_memory_account_bytes{"),
        numbers_of(&fields["overhead.items"]) + 1
    );
    assert_eq!(named("pinyon_db_"), numbers_of(&fields["db.0"]));
}

#[test]
fn a_scraper_gets_the_format_it_asks_for() {
    let Some(watched) = Watched::start(1, &[]) else {
        return;
    };
    let (plain, open) = (
        watched.get("/metrics"),
        watched.get_with("/metrics", OPENMETRICS),
    );
    assert!(
        plain
            .head
            .contains("content-type: text/plain; version=0.0.4; charset=utf-8")
    );
    assert!(
        open.head
            .contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(open.body.ends_with("# EOF\n") && !plain.body.contains("# EOF"));
    assert!(open.body.contains("# TYPE redis_keyspace_hits counter\n"));
    assert!(
        plain
            .body
            .contains("# TYPE redis_keyspace_hits_total counter\n")
    );
    let names = |page: &Page| {
        let mut names: Vec<String> = Metrics::of(&page.body).samples.into_keys().collect();
        // The first scrape is a command that the second counts.
        names.retain(|name| !name.contains("{cmd="));
        names.sort();
        names
    };
    assert_eq!(names(&plain), names(&open));
}

/// The names of metrics in a text of queries.
fn queried(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let mut names: Vec<String> = words
        .filter(|word| word.starts_with("redis_") || word.starts_with("pinyon_"))
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn every_metric_that_dashboards_and_alerts_query_exists() {
    let Some(watched) = Watched::start(2, &[]) else {
        return;
    };
    load(&watched.server);
    let metrics = Metrics::from(&watched);
    let file = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("config")
            .join(name);
        fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
    };
    let dashboard: Value =
        serde_json::from_str(&file("grafana-dashboard.json")).expect("it is JSON");
    let panels = dashboard["panels"].as_array().expect("it has panels");
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let queries: Vec<&str> = targets
        .filter_map(|target| target["expr"].as_str())
        .collect();
    assert!(queries.len() > 20);
    let mut names = queried(&queries.join("\n"));
    let alerts = file("prometheus-alerts.yml");
    names.extend(queried(&alerts));
    names.extend(POPULAR.iter().map(|name| (*name).to_owned()));
    assert!(names.contains(&"pinyon_shard_dataset_bytes".to_owned()));
    for name in names {
        // Words of the file that are labels are none of ours.
        let known = metrics.families.contains(&name) || name == "redis_version";
        assert!(known, "{name} is queried and not served");
    }
}

#[test]
fn hostile_names_are_text_everywhere() {
    for shards in [1, 2] {
        let Some(watched) = Watched::start(shards, &[]) else {
            return;
        };
        let mut client = watched.server.client();
        let names: [&[u8]; 5] = [
            b"</script><img src=x>\"}:1",
            b"line\r\nredis_up 0\n:1",
            b"back\\slash\\\"quote:1",
            b"\xff\xfe\x00binary:1",
            "ünï…:1".as_bytes(),
        ];
        for name in names {
            client.command(&[b"SET".as_slice(), name, &[b'v'; 10_000]]);
        }
        let metrics = Metrics::from(&watched);
        assert_eq!(metrics.at("redis_up"), 1.0);
        let shown = [
            r#"</script><img src=x>\"}:"#,
            "line\r\\nredis_up 0\\n:",
            r#"back\\\\slash\\\\\"quote:"#,
            "\\\\xff\\\\xfe\0binary:",
            "ünï…:",
        ];
        let text = watched.get("/metrics").body;
        for label in shown {
            let sample = format!("pinyon_prefix_keys{{prefix=\"{label}\"}} 1\n");
            assert!(text.contains(&sample), "{sample} of {shards} shards");
        }
        let rows = watched.json("/api/topkeys?count=5");
        let mut keys: Vec<&str> = rows
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|row| row["key"].as_str())
            .collect();
        keys.sort_unstable();
        let mut expected = [
            "</script><img src=x>\"}:1",
            "line\r\nredis_up 0\n:1",
            "back\\\\slash\\\\\"quote:1",
            "\\xff\\xfe\0binary:1",
            "ünï…:1",
        ];
        expected.sort_unstable();
        assert_eq!(keys, expected);
    }
}

#[test]
fn the_overview_holds_every_source_and_a_missing_one_is_an_error() {
    let Some(watched) = Watched::start(2, &["--memory-prefixes", "no"]) else {
        return;
    };
    load(&watched.server);
    let overview = watched.json("/api/overview");
    assert_eq!(overview["types"].as_array().unwrap().len(), 6);
    assert_eq!(overview["shards"].as_array().unwrap().len(), 2);
    assert!(overview["info"]["memory"]["used_memory"].is_number());
    assert!(
        overview["prefixes"]["error"]
            .as_str()
            .unwrap()
            .starts_with("ERR")
    );
    let metrics = Metrics::from(&watched);
    assert_eq!(metrics.sum("pinyon_prefix_bytes"), 0.0);
    assert_eq!(metrics.at("pinyon_source_available{source=\"stats\"}"), 1.0);
}

/// A server with data, of which some names are hostile.
fn hostile() -> Option<Watched> {
    let watched = Watched::start(2, &[])?;
    load(&watched.server);
    let mut client = watched.server.client();
    for name in [EVIL, b"\xff\xfe\x00binary:1", b"line\nredis_up 0\n:1"] {
        client.command(&[b"SET".as_slice(), name, b"value"]);
    }
    Some(watched)
}

const EVIL: &[u8] = b"</b>\"} 1\\n:1";

#[test]
fn promtool_has_nothing_to_say_of_metrics_and_alerts() {
    let Some(promtool) = find_program("promtool") else {
        assert!(
            !is_required("PINYON_REQUIRE_PROMTOOL"),
            "promtool is not installed"
        );
        return skipped("metrics with promtool", "it is not installed");
    };
    let Some(watched) = hostile() else {
        return;
    };
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let run = |arguments: &[&str], input: &str| {
        let mut child = Command::new(&promtool)
            .args(arguments)
            .current_dir(&config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool runs");
        let mut stdin = child.stdin.take().expect("it has an input");
        stdin.write_all(input.as_bytes()).expect("it reads");
        drop(stdin);
        let output = child.wait_with_output().expect("promtool ends");
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        said
    };
    assert_eq!(
        run(&["check", "metrics"], &watched.get("/metrics").body),
        ""
    );
    run(&["check", "rules", "prometheus-alerts.yml"], "");
    run(&["test", "rules", "prometheus-alerts-test.yml"], "");
}

#[test]
fn prometheus_own_parsers_read_both_formats() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".venv/bin/python");
    if !python.exists() {
        assert!(
            !is_required("PINYON_REQUIRE_CLIENTS"),
            "run tests/clients/install"
        );
        return skipped(
            "metrics with Prometheus' parsers",
            "tests/clients/install installs them",
        );
    }
    let Some(watched) = hostile() else {
        return;
    };
    let output = Command::new(python)
        .arg(root.join("tests/clients/openmetrics.py"))
        .env("PINYON_METRICS_PORT", watched.port().to_string())
        .env("PINYON_EVIL_LABEL", "</b>\"} 1\\\\n:")
        .output()
        .expect("python runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
