//! docs/commands.md, printed from the table of commands.
//! Nothing here is read while a server runs.
//! A test compares the file in the tree with what is printed here.

use crate::row::To;
use crate::{Command, Run, Table};
use std::fmt::Write as _;

/// The contents of docs/commands.md: every command and subcommand by group, with syntax, meaning, place and cost.
pub fn printed_reference() -> String {
    let mut text = String::from(
        "# Commands\n\n\
         Every command of this server, printed from the table that the server itself runs by (a test keeps\n\
         the two the same). *Where* says which shards a call concerns: **connection** is the core that holds\n\
         the connection, **owner** the one shard the key lies on, **owners** all shards that own one of the\n\
         keys, **all** every shard, **one** a shard that the arguments name. *At once* means that no other\n\
         command sees a part of it done and a part not. *Since* is the version of Redis the command came with.\n",
    );
    let commands = Table::instance().commands();
    let mut groups: Vec<&str> = Vec::new();
    for row in commands {
        if !groups.contains(&row.doc.group) {
            groups.push(row.doc.group);
        }
    }
    for group in groups {
        let _ = write!(
            text,
            "\n## {}{}\n\n",
            group[..1].to_ascii_uppercase(),
            &group[1..]
        );
        text.push_str("| command | meaning | where | cost | since |\n|---|---|---|---|---|\n");
        for row in commands.iter().filter(|row| row.doc.group == group) {
            line(&mut text, row);
            row.subcommands
                .iter()
                .for_each(|subcommand| line(&mut text, subcommand));
        }
    }
    text
}

fn line(text: &mut String, row: &Command) {
    if matches!(row.run, Run::Container) {
        return;
    }
    let name = row.name.to_ascii_uppercase().replace('|', " ");
    let call = format!("{name} {}", row.doc.syntax);
    let (meaning, cost, since) = (
        row.doc.summary,
        row.doc.complexity.trim_end_matches('.'),
        row.doc.since,
    );
    let cells = [
        &format!("`{}`", call.trim_end()),
        meaning,
        place(row),
        cost,
        since,
    ];
    let cells = cells.map(|cell| cell.replace('|', "\\|"));
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

fn place(row: &Command) -> &'static str {
    match row.run {
        Run::Here(_) | Run::Container => "connection",
        Run::Owner(_) => "owner",
        Run::Sum(_) | Run::Each(_) | Run::Atomic(_) | Run::Joint(_) => "owners, at once",
        Run::Rounds(_) => "owners or all, at once",
        Run::Fan(fan) => match fan.to {
            To::One(_) => "one",
            To::All if fan.exclusive => "all, at once",
            To::All => "all",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_in_the_tree_is_what_the_table_prints() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/commands.md");
        let printed = printed_reference();
        if std::env::var_os("PINYON_PRINT").is_some() {
            std::fs::write(path, &printed).expect("the file can be written");
        }
        let there = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            there == printed,
            "docs/commands.md is out of date: run this test with PINYON_PRINT=1"
        );
    }
}
