//! The option table as text: config/pinyon.conf and the screen of `--help`.
//! Nothing here reads a value that is set; only the table speaks.
//! A test compares the file in the tree with what is printed here.

use super::{OPTIONS, When};
use std::fmt::Write as _;

/// The contents of config/pinyon.conf: every option at its default, with what it does and takes.
pub fn printed_config() -> String {
    let mut text = String::from(
        "# Pinyon's options, each at its default. One option a line; # starts a comment; a value with\n\
         # spaces stands in quotes; sizes take kb, mb, gb (and k, m, g for powers of ten); a later line\n\
         # wins over an earlier one, the command line over both. `include path` reads another file.\n\
         #\n\
         #     pinyon pinyon.conf --port 7000\n\
         #\n\
         # Printed from the table of options; a test keeps the two the same.\n",
    );
    let mut group = "";
    for setting in OPTIONS {
        if setting.group != group {
            group = setting.group;
            let _ = write!(text, "\n## {group}\n");
        }
        let when = match setting.when {
            When::Start => "fixed once the server runs",
            When::Anytime => "changes at any time with CONFIG SET",
        };
        let _ = writeln!(text, "\n# {}", setting.summary);
        let _ = writeln!(text, "# Takes {}; {when}.", setting.kind.takes());
        let value = if setting.default.is_empty() {
            "\"\""
        } else {
            setting.default
        };
        let _ = writeln!(text, "{} {value}", setting.name);
    }
    text
}

/// What `--help` shows.
pub fn printed_usage() -> String {
    let mut text = String::from(
        "Usage: pinyon [config file] [--option value ...]\n       pinyon --version | --help\n\nOptions:\n",
    );
    let width = OPTIONS
        .iter()
        .map(|setting| setting.name.len())
        .max()
        .unwrap_or(0);
    for setting in OPTIONS {
        let _ = writeln!(text, "  --{:width$}  {}", setting.name, setting.summary);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Arguments, Config, arguments};

    #[test]
    fn the_file_in_the_tree_is_what_the_table_prints() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/pinyon.conf");
        let printed = printed_config();
        if std::env::var_os("PINYON_PRINT").is_some() {
            std::fs::write(path, &printed).expect("the file can be written");
        }
        let there = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            there == printed,
            "config/pinyon.conf is out of date: run this test with PINYON_PRINT=1"
        );
    }

    #[test]
    fn the_printed_file_reads_back_as_the_defaults() {
        let read = |_: &str| Ok(printed_config().into_bytes());
        let Ok(Arguments::Start { config, .. }) = arguments(&["pinyon.conf".to_owned()], &read)
        else {
            panic!("the printed file is accepted")
        };
        assert_eq!(*config, Config::default());
    }

    #[test]
    fn options_of_a_group_stand_together() {
        let mut groups: Vec<&str> = OPTIONS.iter().map(|setting| setting.group).collect();
        groups.dedup();
        let distinct: std::collections::HashSet<&str> = groups.iter().copied().collect();
        assert_eq!(distinct.len(), groups.len());
    }

    #[test]
    fn every_option_stands_once_and_is_documented() {
        let names: std::collections::HashSet<&str> =
            OPTIONS.iter().map(|setting| setting.name).collect();
        assert_eq!(names.len(), OPTIONS.len());
        for setting in OPTIONS {
            assert!(
                setting.summary.ends_with('.') && setting.summary.len() > 5,
                "{}",
                setting.name
            );
            assert!(printed_usage().contains(&format!("--{}", setting.name)));
        }
    }
}
