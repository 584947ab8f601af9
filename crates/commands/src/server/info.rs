//! INFO: sections of `name:value` lines, made of every core's counters and the memory report.
//! Nothing here is scanned or waited for; the process' own figures are read once a reply.
//! Source: the names and formats of redis-server 7.2, which monitoring tools read; proc(5) for processor time.

use crate::connection::REDIS_VERSION;
use crate::memory_family::shard_memory;
use crate::stats::CoreStats;
use crate::{Call, Error, Part, Progress, Reply, Table};
use memory::process::machine_memory_bytes;
use memory::report::MemoryReport;
use resp::Writer;
use std::fmt::Write as _;
use std::sync::LazyLock;

/// One shard's figures.
pub fn part(call: &mut Call<'_>, part: &mut Part) -> Result<Progress, Error> {
    let mono_us = call.core.mono_us;
    call.core.stats.sample(mono_us);
    call.core.take_shard_counts();
    *part = Part::Figures(
        Box::new(shard_memory(call.core)),
        Box::new(call.core.stats.clone()),
    );
    Ok(Progress::Done)
}

/// What a section is written from.
struct Figures<'a> {
    call: &'a Call<'a>,
    stats: CoreStats,
    report: MemoryReport,
}

/// A section: its name as asked for, whether INFO without arguments shows it, and what writes its lines.
type Section = (&'static str, bool, fn(&Figures<'_>, &mut String));

/// In Redis' order.
const SECTIONS: [Section; 11] = [
    ("server", true, server),
    ("clients", true, clients),
    ("memory", true, memory_section),
    ("persistence", true, persistence),
    ("stats", true, stats),
    ("replication", true, replication),
    ("cpu", true, cpu),
    ("commandstats", false, commandstats),
    ("errorstats", true, errorstats),
    ("cluster", true, cluster),
    ("keyspace", true, keyspace),
];

/// The sections that were asked for, of all shards' figures.
pub fn merge(call: &mut Call<'_>, parts: &mut [Part], out: &mut Writer<'_>) -> Reply {
    let mut stats = CoreStats::default();
    let mut shards = Vec::with_capacity(parts.len());
    for part in parts {
        let Part::Figures(memory, own) = std::mem::take(part) else {
            unreachable!("every shard gives its figures")
        };
        stats.merge(&own);
        shards.push(*memory);
    }
    let figures = Figures {
        call,
        stats,
        report: MemoryReport::take(shards),
    };
    let mut text = String::new();
    for (name, _, write) in SECTIONS.iter().filter(|section| is_wanted(call, section)) {
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        let title = if *name == "cpu" {
            "CPU".to_owned()
        } else {
            name[..1].to_ascii_uppercase() + &name[1..]
        };
        let _ = write!(text, "# {title}\r\n");
        write(&figures, &mut text);
    }
    out.verbatim("txt", text.as_bytes());
    Ok(())
}

fn is_wanted(call: &Call<'_>, (name, by_default, _): &Section) -> bool {
    let asked = call.args.from(1);
    (asked.is_empty() && *by_default)
        || asked
            .iter()
            .any(|section| match &section.to_ascii_lowercase()[..] {
                b"all" | b"everything" => true,
                b"default" => *by_default,
                section => section == name.as_bytes(),
            })
}

/// Adds `name:value` lines.
macro_rules! lines {
    ($text:expr, $($name:literal: $value:expr),+ $(,)?) => {
        $( let _ = write!($text, concat!($name, ":{}\r\n"), $value); )+
    };
}

fn server(figures: &Figures<'_>, text: &mut String) {
    static KERNEL: LazyLock<String> = LazyLock::new(|| {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        format!("Linux {} {}", release.trim(), std::env::consts::ARCH)
    });
    let core = &*figures.call.core;
    let uptime_s = (core.now.0 - core.facts.started.0).max(0) / 1000;
    lines!(text,
        "redis_version": REDIS_VERSION,
        "pinyon_version": env!("CARGO_PKG_VERSION"),
        "redis_mode": "standalone",
        "os": *KERNEL,
        "arch_bits": usize::BITS,
        "multiplexing_api": "io_uring",
        "process_id": core.facts.process_id,
        "run_id": core.facts.run_id,
        "tcp_port": core.config.port,
        "server_time_usec": core.now.0 * 1000,
        "uptime_in_seconds": uptime_s,
        "uptime_in_days": uptime_s / 86_400,
        "hz": core.config.hz,
        "configured_hz": core.config.hz,
        "executable": core.facts.executable,
        "config_file": core.facts.config_file,
        "io_threads_active": 0,
        "shards": core.shards,
    );
}

fn clients(figures: &Figures<'_>, text: &mut String) {
    lines!(text,
        "connected_clients": figures.report.merged().clients,
        "cluster_connections": 0,
        "maxclients": figures.call.core.config.maxclients,
        "blocked_clients": 0,
        "tracking_clients": 0,
        "clients_in_timeout_table": 0,
        "total_blocking_keys": 0,
        "total_blocking_keys_on_nokey": 0,
    );
}

fn memory_section(figures: &Figures<'_>, text: &mut String) {
    static MACHINE_BYTES: LazyLock<u64> = LazyLock::new(|| machine_memory_bytes().unwrap_or(0));
    let (report, config) = (&figures.report, &figures.call.core.config);
    let (used, resident, peak) = (
        report.total_bytes(),
        report.process().resident_bytes,
        report.peak_bytes(),
    );
    // Tests of Redis look for fields by substring: this one has to come first.
    lines!(text,
        "used_memory": used,
        "used_memory_human": human(used),
        "used_memory_rss": resident,
        "used_memory_rss_human": human(resident),
        "used_memory_peak": peak,
        "used_memory_peak_human": human(peak),
        "used_memory_peak_perc": format_args!("{:.2}%", report.peak_percentage()),
        "used_memory_overhead": report.overhead_bytes(),
        "used_memory_startup": report.process().startup_bytes,
        "used_memory_dataset": report.dataset_bytes(),
        "used_memory_dataset_perc": format_args!("{:.2}%", report.dataset_percentage()),
        "allocator_allocated": used,
        "allocator_active": report.active_bytes(),
        "allocator_resident": report.resident_anonymous_bytes(),
        "total_system_memory": *MACHINE_BYTES,
        "total_system_memory_human": human(*MACHINE_BYTES),
        "used_memory_lua": 0,
        "used_memory_lua_human": human(0),
        "used_memory_scripts": 0,
        "used_memory_scripts_human": human(0),
        "number_of_cached_scripts": 0,
        "number_of_functions": 0,
        "number_of_libraries": 0,
        "maxmemory": config.maxmemory_bytes,
        "maxmemory_human": human(config.maxmemory_bytes),
        "maxmemory_policy": config.maxmemory_policy.name(),
    );
    memory_ratios(report, text);
    let merged = report.merged();
    lines!(text,
        // Buffers do not count against maxmemory.
        "mem_not_counted_for_evict": merged.clients_normal_bytes + merged.travelling_bytes,
        "mem_replication_backlog": merged.backlog_bytes,
        "mem_total_replication_buffers": merged.clients_replicas_bytes,
        "mem_clients_slaves": merged.clients_replicas_bytes,
        "mem_clients_normal": merged.clients_normal_bytes,
        "mem_cluster_links": 0,
        "mem_aof_buffer": merged.aof_buffer_bytes,
        "mem_allocator": "slab+mimalloc",
        "mem_tables": merged.tables_bytes,
        "mem_mesh": merged.mesh_bytes,
        "mem_freeing": merged.freeing_bytes,
        "mem_unaccounted": report.unaccounted_bytes(),
        "active_defrag_running": figures.stats.defrag_percent,
        "lazyfree_pending_objects": figures.stats.lazyfree_pending_objects,
        "lazyfreed_objects": figures.stats.shard.lazyfreed_objects,
    );
}

fn memory_ratios(report: &MemoryReport, text: &mut String) {
    let (used, active) = (report.total_bytes(), report.active_bytes());
    let (anonymous, resident) = (
        report.resident_anonymous_bytes(),
        report.process().resident_bytes,
    );
    let ratio = |bytes: u64, of: u64| {
        format!(
            "{:.2}",
            if of == 0 {
                0.0
            } else {
                bytes as f64 / of as f64
            }
        )
    };
    let less = |bytes: u64, of: u64| bytes as i64 - of as i64;
    lines!(text,
        "allocator_frag_ratio": ratio(active, used),
        "allocator_frag_bytes": less(active, used),
        "allocator_rss_ratio": ratio(anonymous, active),
        "allocator_rss_bytes": less(anonymous, active),
        "rss_overhead_ratio": ratio(resident, anonymous),
        "rss_overhead_bytes": less(resident, anonymous),
        "mem_fragmentation_ratio": ratio(resident, used),
        "mem_fragmentation_bytes": less(resident, used),
    );
}

fn persistence(_: &Figures<'_>, text: &mut String) {
    lines!(text,
        "loading": 0,
        "async_loading": 0,
        "rdb_bgsave_in_progress": 0,
        "rdb_saves": 0,
        "aof_enabled": 0,
        "aof_rewrite_in_progress": 0,
        "aof_rewrite_scheduled": 0,
    );
}

fn stats(figures: &Figures<'_>, text: &mut String) {
    let stats = &figures.stats;
    let [commands, input_bytes, output_bytes] = stats.rates.per_second();
    let kbps = |bytes: u64| format!("{:.2}", bytes as f64 / 1024.0);
    lines!(text,
        "total_connections_received": stats.connections_received,
        "total_commands_processed": stats.commands_processed,
        "instantaneous_ops_per_sec": commands,
        "total_net_input_bytes": stats.net_input_bytes,
        "total_net_output_bytes": stats.net_output_bytes,
        "total_net_repl_input_bytes": 0,
        "total_net_repl_output_bytes": 0,
        "instantaneous_input_kbps": kbps(input_bytes),
        "instantaneous_output_kbps": kbps(output_bytes),
        "instantaneous_input_repl_kbps": kbps(0),
        "instantaneous_output_repl_kbps": kbps(0),
        "rejected_connections": stats.connections_rejected,
        "sync_full": 0,
        "sync_partial_ok": 0,
        "sync_partial_err": 0,
        "expired_keys": stats.shard.expired_keys,
        "evicted_keys": stats.shard.evicted_keys,
        "evicted_clients": stats.evicted_clients,
        "total_eviction_exceeded_time": stats.exceeded.total_us / 1000,
        "current_eviction_exceeded_time": stats.exceeded.current_us / 1000,
        "keyspace_hits": stats.keyspace_hits,
        "keyspace_misses": stats.keyspace_misses,
        "pubsub_channels": 0,
        "pubsub_patterns": 0,
        "pubsubshard_channels": 0,
        "latest_fork_usec": 0,
        "total_forks": 0,
        "tracking_total_keys": 0,
        "tracking_total_items": 0,
        "tracking_total_prefixes": 0,
        "active_defrag_hits": stats.defrag.moved_blocks,
        "active_defrag_misses": stats.defrag.passed_blocks,
        "active_defrag_key_hits": stats.defrag.moved_keys,
        "active_defrag_key_misses": stats.defrag.passed_keys,
        "total_active_defrag_time": stats.defrag_us / 1000,
        "current_active_defrag_time": stats.defrag_current_us / 1000,
        "total_error_replies": stats.error_replies,
        "total_reads_processed": stats.reads_processed,
        "total_writes_processed": stats.writes_processed,
        "client_query_buffer_limit_disconnections": stats.query_limit_disconnections,
        "client_output_buffer_limit_disconnections": stats.output_limit_disconnections,
        "total_hops_served": stats.hops_served,
    );
}

fn replication(figures: &Figures<'_>, text: &mut String) {
    lines!(text,
        "role": "master",
        "connected_slaves": 0,
        "master_failover_state": "no-failover",
        "master_replid": figures.call.core.facts.run_id,
        "master_replid2": "0".repeat(40),
        "master_repl_offset": 0,
        "second_repl_offset": -1,
        "repl_backlog_active": 0,
        "repl_backlog_size": 0,
        "repl_backlog_first_byte_offset": 0,
        "repl_backlog_histlen": 0,
    );
}

fn cpu(_: &Figures<'_>, text: &mut String) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let [user, system, child_user, child_system] = processor_seconds(&stat);
    lines!(text,
        "used_cpu_sys": format_args!("{system:.6}"),
        "used_cpu_user": format_args!("{user:.6}"),
        "used_cpu_sys_children": format_args!("{child_system:.6}"),
        "used_cpu_user_children": format_args!("{child_user:.6}"),
    );
}

/// Seconds in user mode and in the kernel, of the process and of its children, from `/proc/self/stat`.
fn processor_seconds(stat: &str) -> [f64; 4] {
    /// What Linux counts these figures in, whatever its timer's frequency (`USER_HZ`).
    const TICKS_A_SECOND: f64 = 100.0;
    // The name of the program, in parentheses, may hold spaces; after it the figures are the 12th to the 15th.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut ticks = after_name
        .split_ascii_whitespace()
        .skip(11)
        .map(|field| field.parse().unwrap_or(0.0));
    std::array::from_fn(|_| ticks.next().unwrap_or(0.0) / TICKS_A_SECOND)
}

/// Commands are counted, not timed: two looks at a clock would cost as much as a GET. The fields stand there because
/// tools read the line by position.
fn commandstats(figures: &Figures<'_>, text: &mut String) {
    for (id, row) in Table::instance().rows() {
        let Some(counts) = figures.stats.calls.get(id.0 as usize) else {
            continue;
        };
        if counts.calls + counts.rejected > 0 {
            let _ = write!(
                text,
                "cmdstat_{}:calls={},usec=0,usec_per_call=0.00,rejected_calls={},failed_calls={}\r\n",
                row.name, counts.calls, counts.rejected, counts.failed
            );
        }
    }
}

fn errorstats(figures: &Figures<'_>, text: &mut String) {
    for (code, count) in figures.stats.errors.by_code() {
        let _ = write!(text, "errorstat_{code}:count={count}\r\n");
    }
}

fn cluster(_: &Figures<'_>, text: &mut String) {
    lines!(text, "cluster_enabled": 0);
}

fn keyspace(figures: &Figures<'_>, text: &mut String) {
    for (number, database) in figures.report.merged().databases.iter().enumerate() {
        if database.keys > 0 {
            let (keys, expires) = (database.keys, database.expiring_keys);
            let _ = write!(
                text,
                "db{number}:keys={keys},expires={expires},avg_ttl=0\r\n"
            );
        }
    }
}

/// Bytes as Redis writes them for people: `512B`, `1.44M`.
fn human(bytes: u64) -> String {
    const UNITS: [char; 5] = ['K', 'M', 'G', 'T', 'P'];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let power = (bytes.ilog2() / 10).min(UNITS.len() as u32);
    format!(
        "{:.2}{}",
        bytes as f64 / (1u64 << (10 * power)) as f64,
        UNITS[power as usize - 1]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_for_people_are_written_as_redis_writes_them() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (1_511_904, "1.44M"),
            (25_276_502_016, "23.54G"),
            (1 << 50, "1.00P"),
            (u64::MAX, "16384.00P"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }

    #[test]
    fn processor_time_is_found_behind_any_program_name() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 125 50 25 20 0 3 0 99";
        assert_eq!(processor_seconds(stat), [2.5, 1.25, 0.5, 0.25]);
        assert_eq!(processor_seconds(""), [0.0; 4]);
    }

    #[test]
    fn this_process_has_used_processor_time_or_none_yet() {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        assert!(
            processor_seconds(&stat)
                .iter()
                .all(|seconds| (0.0..1e6).contains(seconds))
        );
    }
}
