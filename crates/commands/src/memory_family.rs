//! The MEMORY family: what a key costs, where the memory of the process is, what is wrong with it, and giving it back.
//! No arithmetic on figures here: shards copy their counters, `memory::report` adds, subtracts and divides.
//! Source: the contract in docs/memory.md; redis-server 7 for the fields it shares and for the texts.

mod allocator;
mod curve;
mod doctor;
mod insight;
mod trend;

pub use allocator::BySize;
pub use doctor::Checkup;
pub use insight::TypeFigures;
pub use trend::TrendFigures;

use crate::config::PercentSign;
use crate::introspection::help_row;
use crate::row::{Doc, Fan, Keys, Merge, PartHandler, To};
use crate::{Call, Command, Core, Error, Flags, Part, Progress, Reply, Run, error};
use memory::heap::{heap_areas, thread_allocated_bytes, thread_foreign_freed_bytes};
use memory::report::{Field, Figure, MemoryReport};
use memory::shard::{DATABASES, DatabaseMemory, ShardMemory};
use resp::{Proto, Writer};

/// Keys and elements a purge looks at before other work of its core has its turn; a few of these take a tenth of a
/// millisecond.
const PURGE_STEP_SLOTS: usize = 512;

/// A shard's figures, copied from its counters.
pub fn shard_memory(core: &Core) -> ShardMemory {
    let accounts = core.shard.accounts();
    let mut databases = [DatabaseMemory::default(); DATABASES];
    for (db, figures) in databases
        .iter_mut()
        .enumerate()
        .take(core.shard.databases())
    {
        let account = core.shard.database_account(db);
        *figures = DatabaseMemory {
            keys: account.keys(),
            expiring_keys: account.expiring_keys,
            tables_bytes: core.shard.database_tables_bytes(db),
            expiry_bytes: 0,
        };
    }
    ShardMemory {
        keys: accounts.account.keys(),
        expiring_keys: accounts.account.expiring_keys,
        dataset_bytes: accounts.account.bytes(),
        freeing_bytes: accounts.freeing_bytes,
        tables_bytes: accounts.tables_bytes,
        expiry_bytes: accounts.bookkeeping_bytes,
        slab_used_bytes: accounts.slab_used_bytes,
        slab_committed_bytes: accounts.slab_committed_bytes,
        heap_allocated_bytes: thread_allocated_bytes(),
        heap_slack_bytes: heap_areas().slack_bytes(),
        clients_normal_bytes: core.clients.bytes(),
        mesh_bytes: core.mesh_bytes,
        travelling_bytes: core.travelling_bytes.max(0) as u64,
        foreign_freed_bytes: thread_foreign_freed_bytes(),
        clients: core.clients.len() as u64,
        commands: core.stats.commands_processed,
        databases,
        // What is not here yet: replicas, append-only file, scripts, functions.
        ..ShardMemory::default()
    }
}

fn figures_part(call: &mut Call<'_>, part: &mut Part) -> Result<Progress, Error> {
    *part = Part::Memory(Box::new(shard_memory(call.core)));
    Ok(Progress::Done)
}

/// The report of all shards' parts.
fn report(parts: &mut [Part]) -> MemoryReport {
    let figures = |part: &mut Part| match std::mem::take(part) {
        Part::Memory(memory) => *memory,
        other => unreachable!("every shard gives its figures, not {other:?}"),
    };
    MemoryReport::take(parts.iter_mut().map(figures).collect())
}

fn usage(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    check_samples(call)?;
    let (db, key, now) = (call.db, call.key(2), call.now());
    match call.core.shard.usage(db, key, now) {
        Some(bytes) => out.int(bytes as i64),
        None => out.null(),
    }
    Ok(())
}

/// `SAMPLES n` is checked as in Redis and changes nothing: sizes are exact.
fn check_samples(call: &Call<'_>) -> Reply {
    let mut at = 3;
    while at < call.args.len() {
        if !call.is(at, "samples") || at + 1 == call.args.len() || call.int(at + 1)? < 0 {
            return Err(error::SYNTAX.into());
        }
        at += 2;
    }
    Ok(())
}

fn explain(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (db, key, now) = (call.db, call.key(2), call.now());
    let Some(bill) = call.core.shard.explain(db, key, now) else {
        out.null();
        return Ok(());
    };
    let items = [
        ("slot.bytes", bill.slot_bytes),
        ("header.bytes", bill.header_bytes),
        ("expiry.bytes", bill.expiry_bytes),
        ("key.bytes", bill.key_bytes),
        ("value.bytes", bill.value_bytes),
        ("tables.bytes", bill.tables_bytes),
        ("reference.bytes", bill.reference_bytes),
        ("rounding.bytes", bill.rounding_bytes),
        ("total.bytes", bill.total_bytes()),
        // Constants: what a key costs in the table, and an expiry outside the entry.
        ("slot.cost", store::SLOT_BYTES),
        ("expiry.cost", store::EXPIRY_BYTES),
    ];
    out.map(items.len());
    for (name, bytes) in items {
        out.bulk(name.as_bytes());
        out.int(bytes as i64);
    }
    Ok(())
}

fn stats(call: &mut Call<'_>, parts: &mut [Part], out: &mut Writer<'_>) -> Reply {
    let fields = report(parts).fields();
    write_fields(out, &fields, wants_percent_sign(call));
    Ok(())
}

fn shards(call: &mut Call<'_>, parts: &mut [Part], out: &mut Writer<'_>) -> Reply {
    let sign = wants_percent_sign(call);
    let rows = report(parts).shard_rows();
    out.array(rows.len());
    rows.iter()
        .for_each(|row| write_fields(out, &row.fields(), sign));
    Ok(())
}

/// Whether the caller reads percentages as a person does. Client libraries read the field as a number.
fn wants_percent_sign(call: &Call<'_>) -> bool {
    match call.core.config.memory_stats_percent_sign {
        PercentSign::Yes => true,
        PercentSign::No => false,
        PercentSign::Auto => call
            .client
            .is_none_or(|id| call.core.clients.at(id).library_name.is_empty()),
    }
}

fn write_fields(out: &mut Writer<'_>, fields: &[Field], percent_sign: bool) {
    out.map(fields.len());
    for Field { name, figure } in fields {
        out.bulk(name.as_bytes());
        match figure {
            Figure::Bytes(number) | Figure::Count(number) => out.int(*number as i64),
            Figure::Difference(number) => out.int(*number),
            Figure::Ratio(ratio) => out.double(*ratio),
            Figure::Percentage(percentage) => write_percentage(out, *percentage, percent_sign),
            Figure::Map(fields) => write_fields(out, fields, percent_sign),
        }
    }
}

/// A double under RESP3, always; a text of two decimals under RESP2.
fn write_percentage(out: &mut Writer<'_>, percentage: f64, percent_sign: bool) {
    if out.proto() == Proto::Resp3 {
        return out.double((percentage * 100.0).round() / 100.0);
    }
    let sign = if percent_sign { "%" } else { "" };
    out.bulk(format!("{percentage:.2}{sign}").as_bytes());
}

/// Moves blocks out of sparse pages step by step and gives the empty ones back.
fn defrag_part(call: &mut Call<'_>, part: &mut Part) -> Result<Progress, Error> {
    if let Part::Empty = part {
        call.core.shard.purge_begin();
        *part = Part::Count(0);
    }
    if call.core.purge_step(PURGE_STEP_SLOTS) {
        return Ok(Progress::Again);
    }
    Ok(Progress::Done)
}

/// Does that, then has the server drop spare buffers and the allocator give back what is empty.
fn purge_part(call: &mut Call<'_>, part: &mut Part) -> Result<Progress, Error> {
    let progress = defrag_part(call, part)?;
    call.core.trim_buffers = matches!(progress, Progress::Done);
    Ok(progress)
}

fn all_done(_: &mut Call<'_>, _: &mut [Part], out: &mut Writer<'_>) -> Reply {
    out.ok();
    Ok(())
}

const fn all(part: PartHandler, merge: Merge) -> Run {
    Run::Fan(Fan {
        to: To::All,
        exclusive: false,
        check: |_| Ok(()),
        part,
        merge,
        after: None,
    })
}

const REPORT_TIPS: &[&str] = &[
    "nondeterministic_output",
    "request_policy:all_shards",
    "response_policy:special",
];

const BASE: Command = Command {
    name: "",
    arity: 2,
    flags: Flags(0),
    keys: Keys::NONE,
    key_flags: &[],
    categories: &[],
    tips: REPORT_TIPS,
    run: Run::Container,
    doc: Doc {
        summary: "",
        since: "4.0.0",
        group: "server",
        complexity: "O(1)",
        syntax: "",
    },
    subcommands: &[],
};

const OF_A_KEY: Command = Command {
    arity: -3,
    flags: Flags::READONLY,
    keys: Keys::SECOND,
    key_flags: &["RO"],
    tips: &[],
    doc: Doc {
        syntax: "key",
        ..BASE.doc
    },
    ..BASE
};

/// The rows of this family.
pub const ROWS: &[Command] = &[Command {
    name: "memory",
    arity: -2,
    tips: &[],
    doc: Doc {
        summary: "Where memory is, to the byte, and giving it back",
        complexity: "Depends on the subcommand.",
        ..BASE.doc
    },
    subcommands: SUBCOMMANDS,
    ..BASE
}];

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "memory|curve",
        arity: -2,
        run: Run::Fan(Fan {
            to: To::All,
            exclusive: false,
            check: curve::check,
            part: curve::part,
            merge: curve::merge,
            after: None,
        }),
        doc: Doc {
            summary: "The hit ratio that other sizes of memory would have had, of all keys or of one prefix",
            syntax: "[POINTS count] [PREFIX prefix]",
            since: "pinyon 0.1",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "memory|defrag",
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        run: all(defrag_part, all_done),
        doc: Doc {
            summary: "Moves entries and elements together and gives empty pages back to the operating system",
            since: "pinyon 0.1",
            complexity: "O(N) in the number of keys and elements, in steps that others work between.",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "memory|doctor",
        arity: -2,
        run: doctor::DOCTOR,
        doc: Doc {
            summary: "What is wrong with the use of memory, why, and the command that helps, as text or as JSON",
            complexity: "O(N) in the number of prefixes and clients.",
            syntax: "[JSON]",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "memory|explain",
        arity: 3,
        run: Run::Owner(explain),
        doc: Doc {
            summary: "The bill of a key: what each part of MEMORY USAGE is for",
            since: "pinyon 0.1",
            ..OF_A_KEY.doc
        },
        ..OF_A_KEY
    },
    Command {
        name: "memory|malloc-stats",
        run: all(allocator::part, allocator::merge),
        doc: Doc {
            summary: "What the allocators hold: allocated, committed and resident bytes, by shard and size of block",
            complexity: "O(N) in the number of pages.",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "memory|prefixes",
        arity: -2,
        run: insight::PREFIXES,
        doc: Doc {
            summary: "Bytes, keys and growth of each key prefix; the rows add up to the dataset",
            since: "pinyon 0.1",
            complexity: "O(N log N) in the number of prefixes.",
            syntax: "[COUNT count] [BY <BYTES | KEYS | GROWTH>]",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "memory|purge",
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        run: all(purge_part, all_done),
        doc: Doc {
            summary: "As MEMORY DEFRAG, and gives up spare buffers and empty pages of the heap",
            complexity: "O(N) in the number of keys and elements, in steps that others work between.",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "memory|shards",
        run: all(figures_part, shards),
        doc: Doc {
            summary: "A row for each shard: keys, bytes, clients, and its load against the mean",
            since: "pinyon 0.1",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "memory|stats",
        run: all(figures_part, stats),
        doc: Doc {
            summary: "Every figure of the memory report, for all shards and for each",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "memory|topkeys",
        arity: -2,
        run: insight::TOP_KEYS,
        doc: Doc {
            summary: "The biggest keys, exactly, of any type or of one; 128 at most",
            since: "pinyon 0.1",
            complexity: "O(N) in the number of keys told.",
            syntax: "[COUNT count] [TYPE type]",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "memory|trend",
        arity: -2,
        run: trend::TREND,
        doc: Doc {
            summary: "Growth of the total and of the fastest growing prefixes, and the time until maxmemory at that rate",
            since: "pinyon 0.1",
            complexity: "O(N log N) in the number of prefixes.",
            syntax: "[COUNT count]",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "memory|types",
        run: insight::TYPES,
        doc: Doc {
            summary: "A row for each type: keys, bytes, bytes a key, and the largest key",
            since: "pinyon 0.1",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "memory|usage",
        run: Run::Owner(usage),
        doc: Doc {
            summary: "The bytes that a key costs, exactly; SAMPLES is accepted and changes nothing",
            syntax: "key [SAMPLES count]",
            ..OF_A_KEY.doc
        },
        ..OF_A_KEY
    },
    help_row("memory|help", &[], "server", "4.0.0"),
];
