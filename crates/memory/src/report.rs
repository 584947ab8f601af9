//! Owns every sum over shards, subtraction and ratio that is told about memory, in the order they are told.
//! Never happens here: reading a counter or a file, or a byte of the wire.
//! Source: the fields of Redis 7's MEMORY STATS, computed so that they balance.

#![forbid(unsafe_code)]

use std::borrow::Cow;

use crate::heap;
use crate::process::{self, ProcessMemory};
use crate::shard::{DatabaseMemory, ShardMemory};

/// Unexplained resident bytes are normal up to this part of the resident set, in percent ...
pub const UNACCOUNTED_PERCENT_MAX: u64 = 5;
/// ... or up to this many, whichever is more: thread stacks, and freed pages not yet given back.
pub const UNACCOUNTED_BYTES_MIN: u64 = 8 << 20;

/// What a field of a report says.
#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    /// Bytes.
    Bytes(u64),
    /// A number of things.
    Count(u64),
    /// A difference in bytes, which may be below zero.
    Difference(i64),
    /// A part of a whole in percent, 0 to 100.
    Percentage(f64),
    /// One quantity in units of another.
    Ratio(f64),
    /// Fields of its own.
    Map(Vec<Field>),
}

/// A named figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The name as it is told.
    pub name: Cow<'static, str>,
    /// What it says.
    pub figure: Figure,
}

fn field(name: impl Into<Cow<'static, str>>, figure: Figure) -> Field {
    Field {
        name: name.into(),
        figure,
    }
}

/// A sum that is at zero or above but for a shard which frees what others allocated.
fn signed(bytes: i64) -> Figure {
    u64::try_from(bytes).map_or(Figure::Difference(bytes), Figure::Bytes)
}

/// Where memory is: all figures of all shards and of the process, of one report.
#[derive(Clone, Debug)]
pub struct MemoryReport {
    shards: Vec<ShardMemory>,
    merged: ShardMemory,
    process: ProcessMemory,
}

/// What overhead consists of, in bytes. The items add up to the overhead exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OverheadItems {
    /// What was allocated at start, less what is itemised elsewhere or was freed since.
    pub startup_bytes: u64,
    /// Index segments and directories.
    pub tables_bytes: u64,
    /// Expiry and eviction metadata outside entries and tables.
    pub expiry_bytes: u64,
    /// State and buffers of clients and replicas.
    pub clients_bytes: u64,
    /// Channels between shards.
    pub mesh_bytes: u64,
    /// Scripts and function libraries.
    pub scripts_bytes: u64,
    /// Replication backlog and append-only buffer.
    pub backlog_bytes: u64,
    /// Data that no key holds: deleted and being freed in steps, or growing for a command in steps.
    pub freeing_bytes: u64,
    /// What no item explains.
    pub remainder_bytes: u64,
    /// By how much the items were more than the overhead, and were cut: 0, or an account is wrong.
    /// Not an item.
    pub overrun_bytes: u64,
}

/// One shard beside its siblings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShardRow {
    /// The shard's number.
    pub shard: u64,
    /// Its keys.
    pub keys: u64,
    /// Bytes of its keys and values.
    pub dataset_bytes: u64,
    /// Bytes it holds besides.
    pub overhead_bytes: i64,
    /// Its clients.
    pub clients: u64,
    /// Bytes of its clients.
    pub clients_bytes: u64,
    /// Bytes it has taken from the operating system, live or free.
    pub committed_bytes: i64,
    /// Bytes it freed that another shard had allocated.
    pub foreign_freed_bytes: u64,
    /// Its commands since start against the mean of all shards; 1 is the mean.
    pub load_ratio: f64,
}

impl ShardRow {
    /// The row as named figures, in order.
    pub fn fields(&self) -> Vec<Field> {
        vec![
            field("shard", Figure::Count(self.shard)),
            field("keys", Figure::Count(self.keys)),
            field("dataset.bytes", Figure::Bytes(self.dataset_bytes)),
            field("overhead.bytes", signed(self.overhead_bytes)),
            field("clients", Figure::Count(self.clients)),
            field("clients.bytes", Figure::Bytes(self.clients_bytes)),
            field("committed.bytes", signed(self.committed_bytes)),
            field(
                "foreign.freed.bytes",
                Figure::Bytes(self.foreign_freed_bytes),
            ),
            field("load.ratio", Figure::Ratio(self.load_ratio)),
        ]
    }
}

impl MemoryReport {
    /// Merges the figures of the shards, in shard order, with those of the process.
    pub fn new(shards: Vec<ShardMemory>, process: ProcessMemory) -> MemoryReport {
        let mut merged = ShardMemory::default();
        for shard in &shards {
            merged.merge(shard);
        }
        MemoryReport {
            shards,
            merged,
            process,
        }
    }

    /// Reads the process' figures, makes the report, and lifts the peak to its total.
    ///
    /// Where more is unexplained than is normal, the allocator first gives back what it keeps: that is what it
    /// mostly is after large buffers have come and gone, and nothing else tells it from bytes outside the books.
    pub fn take(shards: Vec<ShardMemory>) -> MemoryReport {
        let mut report = MemoryReport::new(shards, ProcessMemory::read());
        if report.is_unexplained() {
            heap::collect(true);
            report.process = ProcessMemory::read();
        }
        process::lift_peak(report.total_bytes());
        report
    }

    /// The figures of each shard.
    pub fn shards(&self) -> &[ShardMemory] {
        &self.shards
    }

    /// The sum over shards.
    pub fn merged(&self) -> &ShardMemory {
        &self.merged
    }

    /// The figures read once.
    pub fn process(&self) -> &ProcessMemory {
        &self.process
    }

    /// All bytes allocated: live blocks of every slab and of the heap, whatever thread's.
    pub fn total_bytes(&self) -> u64 {
        let total_bytes = self.merged.used_bytes() + self.process.heap_unsharded_bytes;
        total_bytes.max(0) as u64
    }

    /// The largest total seen, this one included.
    pub fn peak_bytes(&self) -> u64 {
        self.process.peak_bytes.max(self.total_bytes())
    }

    /// Bytes of keys and values.
    pub fn dataset_bytes(&self) -> u64 {
        self.merged.dataset_bytes
    }

    /// Bytes that are not keys and values.
    pub fn overhead_bytes(&self) -> u64 {
        self.total_bytes().saturating_sub(self.dataset_bytes())
    }

    /// Bytes allocated since the start; 0 when less is allocated than then.
    pub fn net_bytes(&self) -> u64 {
        self.total_bytes()
            .saturating_sub(self.process.startup_bytes)
    }

    /// Bytes of a mean key with all that belongs to it; 0 without keys.
    pub fn bytes_per_key(&self) -> u64 {
        self.net_bytes().checked_div(self.merged.keys).unwrap_or(0)
    }

    /// Keys and values as a part of what was allocated since the start, in percent.
    pub fn dataset_percentage(&self) -> f64 {
        // Above 100 only while less than at start is used besides the data.
        percentage(self.dataset_bytes(), self.net_bytes()).min(100.0)
    }

    /// The total as a part of the peak, in percent.
    pub fn peak_percentage(&self) -> f64 {
        percentage(self.total_bytes(), self.peak_bytes())
    }

    /// Bytes of slab pages without a live block in them.
    pub fn slab_slack_bytes(&self) -> u64 {
        self.shards.iter().map(ShardMemory::slab_slack_bytes).sum()
    }

    /// Bytes of free blocks of the heap.
    pub fn heap_slack_bytes(&self) -> u64 {
        self.merged.heap_slack_bytes + self.process.heap_abandoned_slack_bytes
    }

    /// Bytes in pages of the allocators, live or free.
    pub fn active_bytes(&self) -> u64 {
        self.total_bytes() + self.slab_slack_bytes() + self.heap_slack_bytes()
    }

    /// Resident bytes that belong to no file.
    pub fn resident_anonymous_bytes(&self) -> u64 {
        self.process
            .resident_bytes
            .saturating_sub(self.process.file_backed_bytes)
    }

    /// Resident bytes that nothing here explains: resident set less the allocators' pages and what
    /// is backed by files. Thread stacks, page rounding, and pages freed but not yet given back.
    ///
    /// 0 also where less is resident than allocated, as when blocks are allocated but not yet
    /// touched, or swapped out.
    pub fn unaccounted_bytes(&self) -> u64 {
        self.resident_anonymous_bytes()
            .saturating_sub(self.active_bytes())
    }

    /// Whether more is unaccounted for than is normal.
    pub fn is_unexplained(&self) -> bool {
        let normal_bytes = self.process.resident_bytes / 100 * UNACCOUNTED_PERCENT_MAX;
        self.unaccounted_bytes() > normal_bytes.max(UNACCOUNTED_BYTES_MIN)
    }

    /// The resident set in units of what is allocated; 0 where it is unknown.
    pub fn fragmentation_ratio(&self) -> f64 {
        ratio(self.process.resident_bytes, self.total_bytes())
    }

    /// What the overhead consists of.
    pub fn overhead_items(&self) -> OverheadItems {
        let ShardMemory {
            freeing_bytes,
            tables_bytes,
            expiry_bytes,
            clients_normal_bytes,
            clients_replicas_bytes,
            backlog_bytes,
            aof_buffer_bytes,
            scripts_bytes,
            functions_bytes,
            mesh_bytes,
            ..
        } = self.merged;
        let overhead_bytes = self.overhead_bytes();
        let mut left_bytes = overhead_bytes;
        let mut overrun_bytes = 0;
        let mut take = |item_bytes: u64| {
            let taken_bytes = item_bytes.min(left_bytes);
            left_bytes -= taken_bytes;
            overrun_bytes += item_bytes - taken_bytes;
            taken_bytes
        };
        let mut items = OverheadItems {
            tables_bytes: take(tables_bytes),
            expiry_bytes: take(expiry_bytes),
            clients_bytes: take(clients_normal_bytes + clients_replicas_bytes),
            mesh_bytes: take(mesh_bytes),
            scripts_bytes: take(scripts_bytes + functions_bytes),
            backlog_bytes: take(backlog_bytes + aof_buffer_bytes),
            freeing_bytes: take(freeing_bytes),
            ..OverheadItems::default()
        };
        items.overrun_bytes = overrun_bytes;
        // Channels and directories exist at start already, so start-up is what is left of it when
        // they have theirs.
        items.startup_bytes = self.process.startup_bytes.min(left_bytes);
        items.remainder_bytes = left_bytes - items.startup_bytes;
        items
    }

    /// One row a shard.
    pub fn shard_rows(&self) -> Vec<ShardRow> {
        let mean_commands = self.merged.commands as f64 / self.shards.len().max(1) as f64;
        let row = |(place, shard): (usize, &ShardMemory)| ShardRow {
            shard: place as u64,
            keys: shard.keys,
            dataset_bytes: shard.dataset_bytes,
            overhead_bytes: shard.used_bytes() - shard.dataset_bytes as i64,
            clients: shard.clients,
            clients_bytes: shard.clients_normal_bytes + shard.clients_replicas_bytes,
            committed_bytes: shard.committed_bytes(),
            foreign_freed_bytes: shard.foreign_freed_bytes,
            load_ratio: if mean_commands > 0.0 {
                shard.commands as f64 / mean_commands
            } else {
                0.0
            },
        };
        self.shards.iter().enumerate().map(row).collect()
    }

    /// Every field of MEMORY STATS in its order: Redis' fifteen, the databases, the allocator's,
    /// the shards, what is unaccounted, and what the overhead consists of.
    pub fn fields(&self) -> Vec<Field> {
        let mut fields = self.fields_of_redis();
        for (number, database) in self.merged.databases.iter().enumerate() {
            if database.keys > 0 {
                fields.push(field(format!("db.{number}"), database_figure(database)));
            }
        }
        self.push_allocator_fields(&mut fields);
        fields.push(field("shards", Figure::Count(self.shards.len() as u64)));
        for place in 0..self.shards.len() {
            fields.push(field(format!("shard.{place}"), self.shard_figure(place)));
        }
        fields.push(field(
            "unaccounted.bytes",
            Figure::Bytes(self.unaccounted_bytes()),
        ));
        fields.push(field("overhead.items", self.overhead_figure()));
        fields
    }

    fn fields_of_redis(&self) -> Vec<Field> {
        let merged = &self.merged;
        vec![
            field("peak.allocated", Figure::Bytes(self.peak_bytes())),
            field("total.allocated", Figure::Bytes(self.total_bytes())),
            field(
                "startup.allocated",
                Figure::Bytes(self.process.startup_bytes),
            ),
            field("replication.backlog", Figure::Bytes(merged.backlog_bytes)),
            field(
                "clients.slaves",
                Figure::Bytes(merged.clients_replicas_bytes),
            ),
            field("clients.normal", Figure::Bytes(merged.clients_normal_bytes)),
            field("aof.buffer", Figure::Bytes(merged.aof_buffer_bytes)),
            field("lua.caches", Figure::Bytes(merged.scripts_bytes)),
            field("functions.caches", Figure::Bytes(merged.functions_bytes)),
            field("overhead.total", Figure::Bytes(self.overhead_bytes())),
            field("keys.count", Figure::Count(merged.keys)),
            field("keys.bytes-per-key", Figure::Bytes(self.bytes_per_key())),
            field("dataset.bytes", Figure::Bytes(merged.dataset_bytes)),
            field(
                "dataset.percentage",
                Figure::Percentage(self.dataset_percentage()),
            ),
            field(
                "peak.percentage",
                Figure::Percentage(self.peak_percentage()),
            ),
        ]
    }

    fn push_allocator_fields(&self, fields: &mut Vec<Field>) {
        let (total, active) = (self.total_bytes(), self.active_bytes());
        let (anonymous, resident) = (self.resident_anonymous_bytes(), self.process.resident_bytes);
        let less = |bytes: u64, of: u64| Figure::Difference(bytes as i64 - of as i64);
        fields.extend([
            field("allocator.allocated", Figure::Bytes(total)),
            field("allocator.active", Figure::Bytes(active)),
            field("allocator.resident", Figure::Bytes(anonymous)),
            field(
                "allocator-fragmentation.ratio",
                Figure::Ratio(ratio(active, total)),
            ),
            field("allocator-fragmentation.bytes", less(active, total)),
            field(
                "allocator-rss.ratio",
                Figure::Ratio(ratio(anonymous, active)),
            ),
            field("allocator-rss.bytes", less(anonymous, active)),
            field(
                "rss-overhead.ratio",
                Figure::Ratio(ratio(resident, anonymous)),
            ),
            field("rss-overhead.bytes", less(resident, anonymous)),
            field("fragmentation", Figure::Ratio(self.fragmentation_ratio())),
            field("fragmentation.bytes", less(resident, total)),
        ]);
    }

    /// One shard's share of every summed field. What belongs to no shard (the heap of threads
    /// that are none's) is on the first shard's row, so that the rows add up to the whole.
    fn shard_figure(&self, place: usize) -> Figure {
        let shard = &self.shards[place];
        let (mut used_bytes, mut slack_bytes) = (
            shard.used_bytes(),
            shard.slab_slack_bytes() + shard.heap_slack_bytes,
        );
        if place == 0 {
            used_bytes += self.process.heap_unsharded_bytes;
            slack_bytes += self.process.heap_abandoned_slack_bytes;
        }
        let overhead_bytes = used_bytes - shard.dataset_bytes as i64;
        let mut fields = vec![
            field("total.allocated", signed(used_bytes)),
            field("replication.backlog", Figure::Bytes(shard.backlog_bytes)),
            field(
                "clients.slaves",
                Figure::Bytes(shard.clients_replicas_bytes),
            ),
            field("clients.normal", Figure::Bytes(shard.clients_normal_bytes)),
            field("aof.buffer", Figure::Bytes(shard.aof_buffer_bytes)),
            field("lua.caches", Figure::Bytes(shard.scripts_bytes)),
            field("functions.caches", Figure::Bytes(shard.functions_bytes)),
            field("overhead.total", signed(overhead_bytes)),
            field("keys.count", Figure::Count(shard.keys)),
            field("dataset.bytes", Figure::Bytes(shard.dataset_bytes)),
        ];
        for (number, database) in shard.databases.iter().enumerate() {
            if self.merged.databases[number].keys > 0 {
                fields.push(field(format!("db.{number}"), database_figure(database)));
            }
        }
        fields.push(field("allocator.allocated", signed(used_bytes)));
        fields.push(field(
            "allocator.active",
            signed(used_bytes + slack_bytes as i64),
        ));
        Figure::Map(fields)
    }

    fn overhead_figure(&self) -> Figure {
        let OverheadItems {
            startup_bytes,
            tables_bytes,
            expiry_bytes,
            clients_bytes,
            mesh_bytes,
            scripts_bytes,
            backlog_bytes,
            freeing_bytes,
            remainder_bytes,
            overrun_bytes: _,
        } = self.overhead_items();
        Figure::Map(vec![
            field("startup", Figure::Bytes(startup_bytes)),
            field("tables", Figure::Bytes(tables_bytes)),
            field("expiry", Figure::Bytes(expiry_bytes)),
            field("clients", Figure::Bytes(clients_bytes)),
            field("mesh", Figure::Bytes(mesh_bytes)),
            field("scripts", Figure::Bytes(scripts_bytes)),
            field("backlog", Figure::Bytes(backlog_bytes)),
            field("freeing", Figure::Bytes(freeing_bytes)),
            field("remainder", Figure::Bytes(remainder_bytes)),
        ])
    }
}

fn database_figure(database: &DatabaseMemory) -> Figure {
    Figure::Map(vec![
        field(
            "overhead.hashtable.main",
            Figure::Bytes(database.tables_bytes),
        ),
        field(
            "overhead.hashtable.expires",
            Figure::Bytes(database.expiry_bytes),
        ),
    ])
}

/// `part` of `whole` in percent; 0 of nothing.
pub fn percentage(part: u64, whole: u64) -> f64 {
    ratio(part, whole) * 100.0
}

/// `bytes` in units of `of`; 0 of nothing.
fn ratio(bytes: u64, of: u64) -> f64 {
    if of == 0 {
        return 0.0;
    }
    bytes as f64 / of as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const MIB: u64 = 1 << 20;

    fn shard(by: u64) -> ShardMemory {
        let mut shard = ShardMemory {
            keys: 1000 * by,
            dataset_bytes: 60 * by * MIB,
            tables_bytes: 10 * by * MIB,
            slab_used_bytes: 70 * by * MIB,
            slab_committed_bytes: 80 * by * MIB,
            heap_allocated_bytes: (6 * by * MIB) as i64,
            heap_slack_bytes: by * MIB,
            clients_normal_bytes: 2 * by * MIB,
            mesh_bytes: by * MIB,
            scripts_bytes: 3 * by,
            freeing_bytes: 5 * by,
            clients: 10 * by,
            commands: 100 * by,
            foreign_freed_bytes: by,
            ..ShardMemory::default()
        };
        shard.databases[0].keys = 900 * by;
        shard.databases[0].tables_bytes = 9 * by * MIB;
        shard.databases[3].keys = 100 * by;
        shard.databases[3].tables_bytes = by * MIB;
        shard
    }

    fn process() -> ProcessMemory {
        ProcessMemory {
            resident_bytes: 500 * MIB,
            file_backed_bytes: 4 * MIB,
            heap_unsharded_bytes: 2 * MIB as i64,
            heap_abandoned_slack_bytes: 3 * MIB,
            startup_bytes: 2 * MIB,
            peak_bytes: 300 * MIB,
        }
    }

    fn report() -> MemoryReport {
        MemoryReport::new(vec![shard(1), shard(3)], process())
    }

    fn integer(figure: &Figure) -> Option<i64> {
        match figure {
            Figure::Bytes(number) | Figure::Count(number) => Some(*number as i64),
            Figure::Difference(number) => Some(*number),
            _ => None,
        }
    }

    fn map(figure: &Figure) -> &[Field] {
        match figure {
            Figure::Map(fields) => fields,
            other => panic!("not a map: {other:?}"),
        }
    }

    fn named<'a>(fields: &'a [Field], name: &str) -> &'a Figure {
        let found = fields.iter().find(|field| field.name == name);
        &found.unwrap_or_else(|| panic!("no field {name}")).figure
    }

    #[test]
    fn the_fields_come_in_the_order_of_the_contract() {
        let names: Vec<String> = report()
            .fields()
            .into_iter()
            .map(|field| field.name.into_owned())
            .collect();
        let expected = "peak.allocated total.allocated startup.allocated replication.backlog \
            clients.slaves clients.normal aof.buffer lua.caches functions.caches overhead.total \
            keys.count keys.bytes-per-key dataset.bytes dataset.percentage peak.percentage \
            db.0 db.3 allocator.allocated allocator.active allocator.resident \
            allocator-fragmentation.ratio allocator-fragmentation.bytes allocator-rss.ratio \
            allocator-rss.bytes rss-overhead.ratio rss-overhead.bytes fragmentation \
            fragmentation.bytes shards shard.0 shard.1 unaccounted.bytes overhead.items";
        assert_eq!(names, expected.split_whitespace().collect::<Vec<_>>());
    }

    #[test]
    fn the_fifteen_are_integers_but_the_two_percentages() {
        for field in &report().fields()[..15] {
            let is_percentage = matches!(field.figure, Figure::Percentage(_));
            assert_eq!(is_percentage, field.name.ends_with("percentage"));
            assert!(is_percentage || integer(&field.figure).is_some());
        }
    }

    #[test]
    fn the_total_is_slabs_and_heap_of_all_threads() {
        let report = report();
        assert_eq!(report.total_bytes(), (4 * 76 + 2) * MIB);
        assert_eq!(report.dataset_bytes(), 240 * MIB);
        assert_eq!(report.overhead_bytes(), 66 * MIB);
        assert_eq!(report.bytes_per_key(), 304 * MIB / 4000);
        assert_eq!(report.dataset_percentage(), 240.0 * 100.0 / 304.0);
    }

    #[test]
    fn a_peak_is_never_below_the_total() {
        let report = report();
        assert!(process().peak_bytes < report.total_bytes());
        assert_eq!(report.peak_bytes(), report.total_bytes());
        assert_eq!(report.peak_percentage(), 100.0);

        let peak_bytes = 612 * MIB;
        let calmer = MemoryReport::new(
            vec![shard(1), shard(3)],
            ProcessMemory {
                peak_bytes,
                ..process()
            },
        );
        assert_eq!(calmer.peak_bytes(), peak_bytes);
        assert_eq!(calmer.peak_percentage(), 50.0);
    }

    #[test]
    fn taking_a_report_lifts_the_peak() {
        let huge = ShardMemory {
            slab_used_bytes: 1 << 50,
            ..ShardMemory::default()
        };
        let report = MemoryReport::take(vec![huge]);
        assert!(report.peak_bytes() >= report.total_bytes());
        assert!(process::peak_bytes() >= 1 << 50);
    }

    #[test]
    fn shards_add_up_to_the_whole_in_every_summed_field() {
        let fields = report().fields();
        let mut sums: HashMap<String, i64> = HashMap::new();
        for shard in fields
            .iter()
            .filter(|field| field.name.starts_with("shard."))
        {
            for part in map(&shard.figure) {
                if let Some(number) = integer(&part.figure) {
                    *sums.entry(part.name.to_string()).or_default() += number;
                } else {
                    for inner in map(&part.figure) {
                        let name = format!("{}/{}", part.name, inner.name);
                        *sums.entry(name).or_default() += integer(&inner.figure).unwrap();
                    }
                }
            }
        }
        assert_eq!(sums.len(), 16);
        for (name, sum) in sums {
            let whole = match name.split_once('/') {
                Some((outer, inner)) => named(map(named(&fields, outer)), inner),
                None => named(&fields, &name),
            };
            assert_eq!(Some(sum), integer(whole), "{name}");
        }
    }

    #[test]
    fn peaks_and_ratios_are_on_no_shards_row() {
        let fields = report().fields();
        for part in map(named(&fields, "shard.1")) {
            assert!(!matches!(
                part.figure,
                Figure::Percentage(_) | Figure::Ratio(_)
            ));
            assert!(!part.name.contains("peak") && !part.name.contains("startup"));
        }
    }

    #[test]
    fn the_items_of_the_overhead_add_up_to_it() {
        let report = report();
        let sum: i64 = map(&report.overhead_figure())
            .iter()
            .map(|item| integer(&item.figure).unwrap())
            .sum();
        assert_eq!(sum as u64, report.overhead_bytes());
        let items = report.overhead_items();
        assert_eq!(items.overrun_bytes, 0);
        assert_eq!(items.startup_bytes, 2 * MIB);
        assert_eq!(items.tables_bytes, 40 * MIB);
        assert_eq!(items.clients_bytes, 8 * MIB);
        assert_eq!(items.remainder_bytes, 12 * MIB - 4 * 8);
    }

    #[test]
    fn items_beyond_the_overhead_are_cut_and_say_so() {
        let wrong = ShardMemory {
            dataset_bytes: 90,
            slab_used_bytes: 100,
            tables_bytes: 8,
            clients_normal_bytes: 7,
            ..ShardMemory::default()
        };
        let report = MemoryReport::new(vec![wrong], ProcessMemory::default());
        let items = report.overhead_items();
        assert_eq!((items.tables_bytes, items.clients_bytes), (8, 2));
        assert_eq!(items.overrun_bytes, 5);
        assert_eq!(items.remainder_bytes, 0);
    }

    #[test]
    fn the_resident_set_is_explained_to_the_byte() {
        let report = report();
        // 500 resident = 306 allocated + 40 slab slack + 7 heap slack + 4 of files + 143.
        assert_eq!(report.active_bytes(), 353 * MIB);
        assert_eq!(report.unaccounted_bytes(), 143 * MIB);
        let fields = report.fields();
        let of = |name| integer(named(&fields, name)).unwrap();
        assert_eq!(
            of("allocator.active") - of("allocator.allocated"),
            of("allocator-fragmentation.bytes")
        );
        assert_eq!(
            of("allocator.resident") - of("allocator.active"),
            of("allocator-rss.bytes")
        );
        assert_eq!(of("rss-overhead.bytes"), 4 * MIB as i64);
        assert_eq!(
            of("allocator-fragmentation.bytes")
                + of("allocator-rss.bytes")
                + of("rss-overhead.bytes"),
            of("fragmentation.bytes"),
        );
    }

    #[test]
    fn less_resident_than_allocated_is_a_difference_below_zero() {
        let report = MemoryReport::new(
            vec![shard(1)],
            ProcessMemory {
                resident_bytes: 10 * MIB,
                ..process()
            },
        );
        assert_eq!(report.unaccounted_bytes(), 0);
        let fields = report.fields();
        assert!(integer(named(&fields, "fragmentation.bytes")).unwrap() < 0);
    }

    #[test]
    fn an_empty_process_divides_nothing_by_nothing() {
        for shards in [vec![], vec![ShardMemory::default(); 2]] {
            let report = MemoryReport::new(shards, ProcessMemory::default());
            assert_eq!(report.bytes_per_key(), 0);
            for field in report.fields() {
                if let Figure::Percentage(number) | Figure::Ratio(number) = field.figure {
                    assert_eq!(number, 0.0, "{}", field.name);
                }
            }
            for row in report.shard_rows() {
                assert_eq!(row.load_ratio, 0.0);
            }
        }
    }

    #[test]
    fn less_allocated_than_at_start_is_no_negative_number() {
        let report = MemoryReport::new(
            vec![ShardMemory {
                keys: 3,
                dataset_bytes: 100,
                slab_used_bytes: 100,
                ..ShardMemory::default()
            }],
            ProcessMemory {
                startup_bytes: 5000,
                ..ProcessMemory::default()
            },
        );
        assert_eq!(report.bytes_per_key(), 0);
        assert_eq!(report.dataset_percentage(), 0.0);
        assert_eq!(report.overhead_items().startup_bytes, 0);
    }

    #[test]
    fn an_empty_database_is_not_told() {
        let report = MemoryReport::new(vec![ShardMemory::default()], process());
        assert!(
            !report
                .fields()
                .iter()
                .any(|field| field.name.starts_with("db."))
        );
    }

    #[test]
    fn a_shard_row_tells_its_load_against_the_mean() {
        let rows = report().shard_rows();
        assert_eq!(rows[0].load_ratio, 0.5);
        assert_eq!(rows[1].load_ratio, 1.5);
        assert_eq!(rows[1].shard, 1);
        assert_eq!(rows[1].overhead_bytes, 3 * 16 * MIB as i64);
        assert_eq!(rows[0].committed_bytes, 87 * MIB as i64);
        assert_eq!(rows[0].fields()[0].name, "shard");
        let sum: u64 = rows.iter().map(|row| row.dataset_bytes).sum();
        assert_eq!(sum, report().dataset_bytes());
    }
}
