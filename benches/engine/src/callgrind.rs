//! Owns the run under callgrind and the reading of its dumps.
//! Never here: what is measured.
//! Source: valgrind's manual on --toggle-collect, --dump-after and the format of a dump.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::commands_asked::COUNT;
use crate::shapes_asked::{OPERATIONS, SHAPES};
use crate::table::Table;
use crate::{LEVELS, Subject};

/// Runs this program under callgrind; instructions of one command of each kind, level by level.
/// `options` are names and values in turn.
fn counted(out_dir: &Path, subject: Subject, options: &[String]) -> io::Result<Vec<Vec<f64>>> {
    let dumps_dir = out_dir.join("callgrind");
    let _ = fs::remove_dir_all(&dumps_dir);
    fs::create_dir_all(&dumps_dir)?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*counted_section*"])
        .arg("--dump-after=*dumped_section*")
        .arg(format!("--callgrind-out-file={}/out", dumps_dir.display()))
        .arg(std::env::current_exe()?)
        .args(["measured", subject.name()])
        .args(options)
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other(
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ));
    }
    let levels = subject.levels().len();
    let one_kind = |at: usize| {
        (0..levels)
            .map(|level| {
                let dump = dumps_dir.join(format!("out.{}", at * levels + level + 1));
                Ok(section(&dump)? as f64 / COUNT as f64)
            })
            .collect()
    };
    (0..subject.kinds().len()).map(one_kind).collect()
}

/// Prints instructions per command and part.
pub fn commands(out_dir: &Path, options: &[String]) -> io::Result<()> {
    let mut table = Table::new(
        "Instructions per command, one shard, from bytes to reply",
        &[
            "command", "decode", "lookup", "place", "handler", "encode", "all",
        ],
    );
    let kinds = Subject::Commands.kinds();
    let counts = counted(out_dir, Subject::Commands, options)?;
    for (kind, counts) in kinds.iter().zip(counts) {
        let counts: [f64; LEVELS.len()] = counts.try_into().unwrap_or_default();
        let [nothing, decode, lookup, place, run, encode] = counts;
        let encode = encode - nothing;
        let parts = [
            decode - nothing,
            lookup - decode,
            place - lookup,
            run - place - encode,
            encode,
            run - nothing,
        ];
        let cells = parts.map(|part| format!("{part:.0}"));
        table.row(
            std::iter::once(kind.name.to_string())
                .chain(cells)
                .collect(),
        );
    }
    table.note(format!(
        "100,000 keys of 16 bytes, values of 32 bytes, {COUNT} commands of each kind; below an id: \
         keys of 21 bytes such as user:0000000042:name. Options: {}. Parts are \
         differences between runs that go one part further. Place: hash and choice of the shard. \
         Handler without encode, which is counted by writing the same replies alone. Prefetching a \
         batch and the network are not in it.",
        named(options)
    ));
    table.publish(out_dir, "instructions")
}

/// Prints what the accounts of prefixes cost, for keys of every shape.
pub fn shapes(out_dir: &Path, options: &[String]) -> io::Result<()> {
    let mut sides = Vec::new();
    for is_on in ["yes", "no"] {
        let mut all = vec!["memory-prefixes".to_owned(), is_on.to_owned()];
        all.extend_from_slice(options);
        let counts = counted(out_dir, Subject::Shapes, &all)?;
        let whole = |levels: Vec<f64>| levels[levels.len() - 1] - levels[0];
        sides.push(counts.into_iter().map(whole).collect::<Vec<f64>>());
    }
    let mut columns = vec!["keys such as"];
    for operation in OPERATIONS {
        columns.extend([operation, "off", "%"]);
    }
    let mut table = Table::new(
        "Instructions per command with accounts of prefixes and without",
        &columns,
    );
    let (on, off) = (&sides[0], &sides[1]);
    let pairs: Vec<(f64, f64)> = on.iter().copied().zip(off.iter().copied()).collect();
    for (shape, pairs) in SHAPES.iter().zip(pairs.chunks(OPERATIONS.len())) {
        let cells = pairs.iter().flat_map(|(on, off)| {
            let more = (on - off) / off * 100.0;
            [
                format!("{on:.0}"),
                format!("{off:.0}"),
                format!("{more:.1}"),
            ]
        });
        table.row(
            std::iter::once(shape.name.to_owned())
                .chain(cells)
                .collect(),
        );
    }
    table.note(format!(
        "Beside 100,000 others, {COUNT} keys of each shape come, are read and overwritten, and go; then as many \
         others of the same shape come (SET new) and go (DEL). Values of 32 bytes; the index has room for all. \
         Options: {}. Network and prefetching are not in it.",
        named(options)
    ));
    table.publish(out_dir, "prefixes")
}

/// Options as they are told below a table.
pub fn named(options: &[String]) -> String {
    if options.is_empty() {
        "none".to_owned()
    } else {
        options.join(" ")
    }
}

/// The instructions of the dump of a counted section.
fn section(dump: &Path) -> io::Result<u64> {
    if !fs::read_to_string(dump)?.contains("counted_section") {
        let text = format!("{} is not the dump of a counted section", dump.display());
        return Err(io::Error::other(text));
    }
    instructions(dump)
}

/// The instructions that a dump holds.
pub fn instructions(dump: &Path) -> io::Result<u64> {
    let missing = |what: &str| io::Error::other(format!("{}: {what}", dump.display()));
    let text = fs::read_to_string(dump).map_err(|error| missing(&error.to_string()))?;
    let totals = text.lines().find_map(|line| line.strip_prefix("totals: "));
    totals
        .and_then(|total| total.trim().parse().ok())
        .ok_or_else(|| missing("has no totals"))
}
