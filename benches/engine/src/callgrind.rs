//! Owns the run under callgrind and the reading of its dumps.
//! Never here: what is measured.
//! Source: valgrind's manual on --toggle-collect, --dump-after and the format of a dump.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::LEVELS;
use crate::commands_asked::{COUNT, kinds};
use crate::table::Table;

/// Runs this program under callgrind and prints instructions per command and part; `options` are
/// names and values in turn.
pub fn run(out_dir: &Path, options: &[String]) -> io::Result<()> {
    let dumps_dir = out_dir.join("callgrind");
    let _ = fs::remove_dir_all(&dumps_dir);
    fs::create_dir_all(&dumps_dir)?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*counted_section*"])
        .arg("--dump-after=*dumped_section*")
        .arg(format!("--callgrind-out-file={}/out", dumps_dir.display()))
        .arg(std::env::current_exe()?)
        .arg("measured")
        .args(options)
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other(
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ));
    }
    let kinds = kinds();
    let mut table = Table::new(
        "Instructions per command, one shard, from bytes to reply",
        &[
            "command", "decode", "lookup", "place", "handler", "encode", "all",
        ],
    );
    for (at, kind) in kinds.iter().enumerate() {
        let mut counts = [0.0; LEVELS.len()];
        for (level, count) in counts.iter_mut().enumerate() {
            let dump = dumps_dir.join(format!("out.{}", at * LEVELS.len() + level + 1));
            *count = instructions(&dump)? as f64 / COUNT as f64;
        }
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
        if options.is_empty() {
            "none".to_owned()
        } else {
            options.join(" ")
        }
    ));
    table.publish(out_dir, "instructions")
}

/// The instructions that a dump holds.
fn instructions(dump: &Path) -> io::Result<u64> {
    let missing = |what: &str| io::Error::other(format!("{}: {what}", dump.display()));
    let text = fs::read_to_string(dump).map_err(|error| missing(&error.to_string()))?;
    if !text.contains("counted_section") {
        return Err(missing("is not the dump of a counted section"));
    }
    let totals = text.lines().find_map(|line| line.strip_prefix("totals: "));
    totals
        .and_then(|total| total.trim().parse().ok())
        .ok_or_else(|| missing("has no totals"))
}
