//! INFO under the names that dashboards for Redis query.
//! Never renames what redis_exporter has a name for; a field that INFO lacks has no metric.
//! Source: the names of redis_exporter 1.x, and one of 0.x that dashboards still use.

use super::exposition::Exposition;
use crate::escape;
use resp::Reply;
use std::collections::HashMap;

/// Databases, each with a sample also when it is empty.
const DATABASES: usize = 16;

/// Fields that can rise and fall: in INFO, as a metric, and what they are.
const GAUGES: &[(&str, &str, &str)] = &[
    (
        "uptime_in_seconds",
        "uptime_in_seconds",
        "Seconds since the start.",
    ),
    ("process_id", "process_id", "Number of the process."),
    ("hz", "hz", "The option hz."),
    ("configured_hz", "configured_hz", "The option hz."),
    ("connected_clients", "connected_clients", "Connections now."),
    (
        "blocked_clients",
        "blocked_clients",
        "Connections that wait for data.",
    ),
    (
        "tracking_clients",
        "tracking_clients",
        "Connections with tracking on.",
    ),
    (
        "cluster_connections",
        "cluster_connections",
        "Connections of the cluster bus.",
    ),
    ("maxclients", "config_maxclients", "The option maxclients."),
    (
        "used_memory",
        "memory_used_bytes",
        "Bytes allocated (MEMORY STATS total.allocated).",
    ),
    (
        "used_memory_rss",
        "memory_used_rss_bytes",
        "Bytes resident.",
    ),
    (
        "used_memory_peak",
        "memory_used_peak_bytes",
        "The most bytes ever allocated.",
    ),
    (
        "used_memory_lua",
        "memory_used_lua_bytes",
        "Bytes of scripts.",
    ),
    (
        "used_memory_scripts",
        "memory_used_scripts_bytes",
        "Bytes of scripts.",
    ),
    (
        "used_memory_overhead",
        "memory_used_overhead_bytes",
        "Bytes that are not keys and values.",
    ),
    (
        "used_memory_startup",
        "memory_used_startup_bytes",
        "Bytes allocated when the start was complete.",
    ),
    (
        "used_memory_dataset",
        "memory_used_dataset_bytes",
        "Bytes of keys and values.",
    ),
    ("maxmemory", "memory_max_bytes", "The limit; 0 is none."),
    ("maxmemory", "config_maxmemory", "The limit; 0 is none."),
    (
        "total_system_memory",
        "total_system_memory_bytes",
        "Memory of the machine.",
    ),
    (
        "mem_fragmentation_ratio",
        "mem_fragmentation_ratio",
        "Resident against allocated bytes.",
    ),
    (
        "mem_fragmentation_ratio",
        "memory_fragmentation_ratio",
        "Resident against allocated bytes.",
    ),
    (
        "mem_fragmentation_bytes",
        "mem_fragmentation_bytes",
        "Resident less allocated bytes.",
    ),
    (
        "mem_clients_slaves",
        "mem_clients_slaves",
        "Bytes of replicas' buffers.",
    ),
    (
        "mem_clients_normal",
        "mem_clients_normal",
        "Bytes of clients' records and buffers.",
    ),
    (
        "mem_not_counted_for_evict",
        "mem_not_counted_for_eviction_bytes",
        "Bytes that do not count against the limit.",
    ),
    (
        "allocator_allocated",
        "allocator_allocated_bytes",
        "Bytes in live blocks.",
    ),
    (
        "allocator_active",
        "allocator_active_bytes",
        "Bytes in pages that hold live or free blocks.",
    ),
    (
        "allocator_resident",
        "allocator_resident_bytes",
        "Bytes resident that belong to no file.",
    ),
    (
        "allocator_frag_ratio",
        "allocator_frag_ratio",
        "Active against allocated bytes.",
    ),
    (
        "allocator_frag_bytes",
        "allocator_frag_bytes",
        "Active less allocated bytes.",
    ),
    (
        "allocator_rss_ratio",
        "allocator_rss_ratio",
        "Resident against active bytes.",
    ),
    (
        "allocator_rss_bytes",
        "allocator_rss_bytes",
        "Resident less active bytes.",
    ),
    (
        "rss_overhead_ratio",
        "rss_overhead_ratio",
        "The whole resident set against that of the allocators.",
    ),
    (
        "rss_overhead_bytes",
        "rss_overhead_bytes",
        "The whole resident set less that of the allocators.",
    ),
    (
        "active_defrag_running",
        "active_defrag_running",
        "Percent of a core's time that moving blocks takes now.",
    ),
    (
        "active_defrag_hits",
        "defrag_hits",
        "Blocks moved together.",
    ),
    (
        "active_defrag_misses",
        "defrag_misses",
        "Blocks looked at and left.",
    ),
    (
        "active_defrag_key_hits",
        "defrag_key_hits",
        "Keys of which blocks were moved.",
    ),
    (
        "active_defrag_key_misses",
        "defrag_key_misses",
        "Keys looked at and left.",
    ),
    (
        "lazyfree_pending_objects",
        "lazyfree_pending_objects",
        "Values that wait to be freed.",
    ),
    (
        "loading",
        "loading_dump_file",
        "Whether a snapshot is being read.",
    ),
    (
        "rdb_bgsave_in_progress",
        "rdb_bgsave_in_progress",
        "Whether a snapshot is being written.",
    ),
    (
        "aof_enabled",
        "aof_enabled",
        "Whether there is an append-only file.",
    ),
    (
        "aof_rewrite_in_progress",
        "aof_rewrite_in_progress",
        "Whether it is being rewritten.",
    ),
    (
        "aof_rewrite_scheduled",
        "aof_rewrite_scheduled",
        "Whether it will be.",
    ),
    (
        "pubsub_channels",
        "pubsub_channels",
        "Channels with subscribers.",
    ),
    (
        "pubsub_patterns",
        "pubsub_patterns",
        "Patterns with subscribers.",
    ),
    ("connected_slaves", "connected_slaves", "Replicas."),
    (
        "master_repl_offset",
        "master_repl_offset",
        "Offset of replication.",
    ),
    (
        "second_repl_offset",
        "second_repl_offset",
        "Offset up to which the former replication is known.",
    ),
    (
        "repl_backlog_active",
        "repl_backlog_is_active",
        "Whether there is a backlog.",
    ),
    (
        "repl_backlog_size",
        "replication_backlog_bytes",
        "Size of the backlog.",
    ),
    (
        "repl_backlog_first_byte_offset",
        "repl_backlog_first_byte_offset",
        "Offset of its first byte.",
    ),
    (
        "repl_backlog_histlen",
        "repl_backlog_history_bytes",
        "Bytes in it.",
    ),
    (
        "sync_full",
        "replica_resyncs_full",
        "Full synchronisations.",
    ),
    (
        "sync_partial_ok",
        "replica_partial_resync_accepted",
        "Partial synchronisations.",
    ),
    (
        "sync_partial_err",
        "replica_partial_resync_denied",
        "Partial synchronisations refused.",
    ),
    (
        "cluster_enabled",
        "cluster_enabled",
        "Whether this is a node of a cluster.",
    ),
];

/// Fields that only rise.
const COUNTERS: &[(&str, &str, &str)] = &[
    (
        "total_connections_received",
        "connections_received_total",
        "Connections accepted.",
    ),
    (
        "total_commands_processed",
        "commands_processed_total",
        "Commands run.",
    ),
    (
        "rejected_connections",
        "rejected_connections_total",
        "Connections refused by maxclients.",
    ),
    (
        "total_net_input_bytes",
        "net_input_bytes_total",
        "Bytes read from clients.",
    ),
    (
        "total_net_output_bytes",
        "net_output_bytes_total",
        "Bytes written to clients.",
    ),
    ("expired_keys", "expired_keys_total", "Keys that expired."),
    (
        "evicted_keys",
        "evicted_keys_total",
        "Keys that were evicted.",
    ),
    (
        "evicted_clients",
        "evicted_clients_total",
        "Clients closed because all together passed maxmemory-clients.",
    ),
    (
        "keyspace_hits",
        "keyspace_hits_total",
        "Lookups that found a key.",
    ),
    (
        "keyspace_misses",
        "keyspace_misses_total",
        "Lookups that found none.",
    ),
    (
        "used_cpu_sys",
        "cpu_sys_seconds_total",
        "Processor time in the kernel.",
    ),
    (
        "used_cpu_user",
        "cpu_user_seconds_total",
        "Processor time in the program.",
    ),
    (
        "used_cpu_sys_children",
        "cpu_sys_children_seconds_total",
        "Processor time of children in the kernel.",
    ),
    (
        "used_cpu_user_children",
        "cpu_user_children_seconds_total",
        "Processor time of children.",
    ),
];

/// Labels of `redis_instance_info`, named as in INFO.
const INSTANCE_LABELS: &[&str] = &[
    "role",
    "redis_version",
    "redis_build_id",
    "redis_mode",
    "os",
    "maxmemory_policy",
    "tcp_port",
    "run_id",
    "process_id",
    "master_replid",
    "pinyon_version",
];

/// Counts of each command: the field of its line, the metric, what one is divided by, and what it is.
const COMMANDS: &[(&str, &str, f64, &str)] = &[
    ("calls", "redis_commands_total", 1.0, "Calls of a command."),
    (
        "usec",
        "redis_commands_duration_seconds_total",
        1e6,
        "Time in a command, as INFO commandstats has it; 0 where commands are counted and not timed.",
    ),
    (
        "rejected_calls",
        "redis_commands_rejected_calls_total",
        1.0,
        "Calls refused before they ran.",
    ),
    (
        "failed_calls",
        "redis_commands_failed_calls_total",
        1.0,
        "Calls that answered an error.",
    ),
];

/// Everything that INFO's text tells.
pub fn write(out: &mut Exposition, info: &Reply) {
    let text = match info {
        Reply::Verbatim(_, text) | Reply::Bulk(text) => String::from_utf8_lossy(text),
        _ => "".into(),
    };
    let lines = || text.lines().filter_map(|line| line.split_once(':'));
    let fields: HashMap<&str, &str> = lines().collect();
    out.gauge(
        "redis_up",
        "Whether the server answers; a server that does not serves no metrics.",
    );
    out.sample(&[], 1.0);
    let number = |field: &str| fields.get(field).and_then(|text| text.parse::<f64>().ok());
    for (field, name, help) in GAUGES {
        if let Some(value) = number(field) {
            out.gauge(&format!("redis_{name}"), help);
            out.sample(&[], value);
        }
    }
    for (field, name, help) in COUNTERS {
        if let Some(value) = number(field) {
            out.counter(&format!("redis_{name}"), help);
            out.sample(&[], value);
        }
    }
    if let (Some(now_us), Some(uptime_s)) =
        (number("server_time_usec"), number("uptime_in_seconds"))
    {
        out.gauge(
            "redis_start_time_seconds",
            "When the server started, in Unix time.",
        );
        out.sample(&[], (now_us / 1e6 - uptime_s).floor());
    }
    out.gauge(
        "redis_instance_info",
        "What this server is, in its labels; always 1.",
    );
    let labels: Vec<(&str, &str)> = INSTANCE_LABELS
        .iter()
        .map(|label| (*label, fields.get(label).copied().unwrap_or_default()))
        .collect();
    out.sample(&labels, 1.0);
    write_databases(out, &fields);
    for (part, name, divisor, help) in COMMANDS {
        out.counter(name, help);
        for (field, values) in lines() {
            if let Some(command) = field.strip_prefix("cmdstat_")
                && let Some(value) = part_of(values, part)
            {
                out.sample(&[("cmd", command)], value / divisor);
            }
        }
    }
    out.counter("redis_errors_total", "Error replies by their first word.");
    for (field, values) in lines() {
        if let Some(code) = field.strip_prefix("errorstat_")
            && let Some(count) = part_of(values, "count")
        {
            out.sample(&[("err", &escape::text(code.as_bytes()))], count);
        }
    }
}

fn write_databases(out: &mut Exposition, fields: &HashMap<&str, &str>) {
    for (part, name, divisor, help) in [
        ("keys", "redis_db_keys", 1.0, "Keys of a database."),
        (
            "expires",
            "redis_db_keys_expiring",
            1.0,
            "Keys of a database that expire.",
        ),
        (
            "avg_ttl",
            "redis_db_avg_ttl_seconds",
            1e3,
            "Mean time to live, where INFO keyspace has it.",
        ),
    ] {
        out.gauge(name, help);
        for number in 0..DATABASES {
            let db = format!("db{number}");
            let values = fields.get(&db[..]).copied();
            let value = values
                .and_then(|values| part_of(values, part))
                .unwrap_or(0.0);
            out.sample(&[("db", &db)], value / divisor);
        }
    }
}

/// A number of `name=1,other=2`.
fn part_of(values: &str, name: &str) -> Option<f64> {
    let parts = values.split(',').filter_map(|part| part.split_once('='));
    let mut named = parts.filter(|(part, _)| *part == name);
    named.next()?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(info: &str) -> String {
        let mut out = Exposition::new(false);
        write(
            &mut out,
            &Reply::Verbatim(*b"txt", info.as_bytes().to_vec()),
        );
        String::from_utf8(out.finish()).unwrap()
    }

    #[test]
    fn fields_have_the_names_that_dashboards_know() {
        let text = written(
            "# Server\r\nredis_version:7.4.0\r\nuptime_in_seconds:10\r\nserver_time_usec:1000000000000\r\n\
             # Memory\r\nused_memory:1234\r\nmaxmemory:0\r\n# Stats\r\nkeyspace_hits:7\r\n\
             # Commandstats\r\ncmdstat_memory|stats:calls=3,usec=1500000,usec_per_call=0.00,rejected_calls=1,failed_calls=2\r\n\
             # Errorstats\r\nerrorstat_ERR:count=5\r\n# Keyspace\r\ndb3:keys=9,expires=4,avg_ttl=0\r\n",
        );
        for line in [
            "redis_up 1",
            "redis_uptime_in_seconds 10",
            "redis_start_time_seconds 999990",
            "redis_memory_used_bytes 1234",
            "redis_memory_max_bytes 0",
            "redis_keyspace_hits_total 7",
            "redis_commands_total{cmd=\"memory|stats\"} 3",
            "redis_commands_duration_seconds_total{cmd=\"memory|stats\"} 1.5",
            "redis_commands_rejected_calls_total{cmd=\"memory|stats\"} 1",
            "redis_commands_failed_calls_total{cmd=\"memory|stats\"} 2",
            "redis_errors_total{err=\"ERR\"} 5",
            "redis_db_keys{db=\"db0\"} 0",
            "redis_db_keys{db=\"db3\"} 9",
            "redis_db_keys_expiring{db=\"db3\"} 4",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
        assert!(text.contains("redis_instance_info{role=\"\",redis_version=\"7.4.0\""));
    }

    #[test]
    fn a_field_that_is_not_there_has_no_metric() {
        let text = written("# Memory\r\nused_memory:nonsense\r\n");
        assert!(!text.contains("redis_memory_used_bytes"));
        let mut out = Exposition::new(false);
        write(&mut out, &Reply::Error(b"ERR no".to_vec()));
        assert!(!out.finish().is_empty());
    }
}
