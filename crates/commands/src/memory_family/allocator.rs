//! MEMORY MALLOC-STATS: what the slabs and the heap hold, by shard and by size of block, as a text for people.
//! Nothing here is kept up to date: the pages are walked when somebody asks.
//! Source: our own; the layout is free, since Redis prints its allocator's.

use super::shard_memory;
use crate::{Call, Error, Part, Progress, Reply};
use memory::heap::{heap_areas, process_areas};
use memory::report::MemoryReport;
use resp::Writer;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Blocks of one size: live ones, their bytes, and the bytes of the pages that hold them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blocks {
    /// Live blocks.
    pub count: u64,
    /// Bytes of live blocks.
    pub used_bytes: u64,
    /// Bytes of blocks in these pages, live or free.
    pub committed_bytes: u64,
}

/// Blocks by their size in bytes; 0 stands for all that are larger than any class.
pub type BySize = BTreeMap<u64, Blocks>;

pub fn part(call: &mut Call<'_>, part: &mut Part) -> Result<Progress, Error> {
    let slab = call
        .core
        .shard
        .size_classes()
        .filter(|class| class.committed_bytes > 0);
    let slab = slab.map(|class| {
        let blocks = Blocks {
            count: class.used_blocks,
            used_bytes: class.used_bytes(),
            committed_bytes: class.committed_bytes,
        };
        (class.block_bytes as u64, blocks)
    });
    *part = Part::Allocator {
        memory: Box::new(shard_memory(call.core)),
        slab: slab.collect(),
        heap: by_size(heap_areas()),
    };
    Ok(Progress::Done)
}

fn by_size(areas: memory::heap::HeapAreas) -> BySize {
    let blocks = |class: memory::heap::SizeClass| Blocks {
        count: class.blocks,
        used_bytes: class.used_bytes,
        committed_bytes: class.committed_bytes,
    };
    areas
        .classes
        .into_iter()
        .map(|class| (class.block_bytes, blocks(class)))
        .collect()
}

fn add(into: &mut BySize, from: &BySize) {
    for (size, blocks) in from {
        let sum = into.entry(*size).or_default();
        sum.count += blocks.count;
        sum.used_bytes += blocks.used_bytes;
        sum.committed_bytes += blocks.committed_bytes;
    }
}

pub fn merge(_: &mut Call<'_>, parts: &mut [Part], out: &mut Writer<'_>) -> Reply {
    let (mut shards, mut classes, mut merged_slab) = (Vec::new(), Vec::new(), BySize::new());
    for part in parts {
        let Part::Allocator { memory, slab, heap } = std::mem::take(part) else {
            unreachable!("every shard tells its blocks")
        };
        add(&mut merged_slab, &slab);
        shards.push(*memory);
        classes.push((slab, heap));
    }
    let report = MemoryReport::take(shards);
    let mut text = summary(&report);
    write_classes(&mut text, "slab, all shards", &merged_slab);
    write_classes(&mut text, "heap, whole process", &by_size(process_areas()));
    for (number, (slab, heap)) in classes.iter().enumerate() {
        write_classes(&mut text, &format!("slab, shard {number}"), slab);
        write_classes(
            &mut text,
            &format!("heap pages in the hands of shard {number}"),
            heap,
        );
    }
    out.verbatim("txt", text.as_bytes());
    Ok(())
}

/// Allocated and committed bytes of each shard and of all, and the resident set.
fn summary(report: &MemoryReport) -> String {
    let mut text = format!(
        "Pinyon {}: a slab a shard for entries up to 8 KiB, mimalloc for everything else. All figures in bytes.\n\n",
        env!("CARGO_PKG_VERSION")
    );
    let mut line = |name: &str, allocated: i128, committed: i128, resident: &str| {
        let _ = writeln!(
            text,
            "{name:<14} {allocated:>16} {committed:>16} {resident:>16}"
        );
    };
    let (allocated, committed) = (report.total_bytes().into(), report.active_bytes().into());
    let (mut rest_allocated, mut rest_committed): (i128, i128) = (allocated, committed);
    for (number, shard) in report.shards().iter().enumerate() {
        let (allocated, committed) = (shard.used_bytes().into(), shard.committed_bytes().into());
        rest_allocated -= allocated;
        rest_committed -= committed;
        line(&format!("shard {number}"), allocated, committed, "-");
    }
    line("no shard's", rest_allocated, rest_committed, "-");
    line(
        "all",
        allocated,
        committed,
        &report.resident_anonymous_bytes().to_string(),
    );
    format!("{text}\n").replacen(
        "\n\n",
        &format!(
            "\n\n{:<14} {:>16} {:>16} {:>16}\n",
            "", "allocated", "committed", "resident"
        ),
        1,
    )
}

fn write_classes(text: &mut String, title: &str, classes: &BySize) {
    let (mut used_bytes, mut committed_bytes) = (0, 0);
    let _ = writeln!(
        text,
        "{title}\n{:>10} {:>12} {:>16} {:>16} {:>16}",
        "block", "blocks", "used", "committed", "waste"
    );
    let mut line = |name: &str, count: &str, used: u64, committed: u64| {
        let waste = committed.saturating_sub(used);
        let _ = writeln!(
            text,
            "{name:>10} {count:>12} {used:>16} {committed:>16} {waste:>16}"
        );
    };
    // The class of what is larger than any other comes last.
    let (larger, ordered): (Vec<_>, Vec<_>) = classes.iter().partition(|(size, _)| **size == 0);
    for (size, blocks) in ordered.into_iter().chain(larger) {
        let name = if *size == 0 {
            "larger".to_owned()
        } else {
            size.to_string()
        };
        line(
            &name,
            &blocks.count.to_string(),
            blocks.used_bytes,
            blocks.committed_bytes,
        );
        used_bytes += blocks.used_bytes;
        committed_bytes += blocks.committed_bytes;
    }
    line("all", "", used_bytes, committed_bytes);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_listed_in_order_with_their_waste_and_sum() {
        let blocks = |count, used_bytes, committed_bytes| Blocks {
            count,
            used_bytes,
            committed_bytes,
        };
        let mut classes = BySize::from([(0, blocks(1, 900, 1000)), (64, blocks(2, 128, 65536))]);
        add(
            &mut classes,
            &BySize::from([(64, blocks(1, 64, 0)), (32, blocks(1, 32, 64))]),
        );
        let mut text = String::new();
        write_classes(&mut text, "slab", &classes);
        let words = |line: &str| {
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let lines: Vec<Vec<String>> = text.lines().map(words).collect();
        assert_eq!(lines[2], ["32", "1", "32", "64", "32"]);
        assert_eq!(lines[3], ["64", "3", "192", "65536", "65344"]);
        assert_eq!(lines[4], ["larger", "1", "900", "1000", "100"]);
        assert_eq!(lines[5], ["all", "1124", "66600", "65476"]);
    }
}
