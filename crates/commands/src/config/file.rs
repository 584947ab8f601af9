//! From what a person types to a configuration: the file's grammar and the command line's.
//! Reads files only through the function it is given; starts nothing and prints nothing.
//! The grammar is Redis': one option a line, `#` comments, quotes as in inline commands, `include`; `--option value` in words.

use super::{Config, Kind};

/// Files that may include each other; a file that includes itself ends here.
const INCLUDE_DEPTH_MAX: usize = 16;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// Run a server.
    Start {
        /// With these options.
        config: Box<Config>,
        /// Path of the file they come from; empty without one.
        config_file: String,
    },
    /// `--version` or `-v`.
    Version,
    /// `--help` or `-h`.
    Help,
}

/// Reads the command line: a file as first argument, then options, which win over the file.
/// `read` gives the contents of a file.
///
/// # Errors
/// One line that names the place, the option, its value, and what it takes.
pub fn arguments(
    words: &[String],
    read: &dyn Fn(&str) -> Result<Vec<u8>, String>,
) -> Result<Arguments, String> {
    match words.first().map(String::as_str) {
        Some("-v" | "--version") => return Ok(Arguments::Version),
        Some("-h" | "--help") => return Ok(Arguments::Help),
        _ => {}
    }
    let (file, options) = match words.split_first() {
        Some((first, rest)) if !first.starts_with('-') => (first.clone(), rest),
        _ => (String::new(), words),
    };
    let mut config = Box::new(Config::default());
    if !file.is_empty() {
        include(&mut config, &file, read, 1)?;
    }
    command_line(&mut config, options, read)?;
    Ok(Arguments::Start {
        config,
        config_file: file,
    })
}

fn command_line(
    config: &mut Config,
    words: &[String],
    read: &dyn Fn(&str) -> Result<Vec<u8>, String>,
) -> Result<(), String> {
    let mut rest = words;
    while let Some((first, after)) = rest.split_first() {
        // An option and its value may stand in one word, as in lists of arguments of containers.
        let option = first.strip_prefix("--").unwrap_or_default();
        let split = resp::inline::split_line(option.as_bytes())
            .map_err(|_| format!("command line: unbalanced quotes in '{}'", shown(first)))?;
        let mut inside = split.as_args().iter().map(String::from_utf8_lossy);
        let Some(name) = inside.next() else {
            return Err(format!(
                "'{}' is no option; options are written --name value",
                shown(first)
            ));
        };
        let inside: Vec<_> = inside.collect();
        let count = after
            .iter()
            .take_while(|word| !word.starts_with("--"))
            .count();
        let mut values: Vec<&str> = inside.iter().map(|value| &**value).collect();
        values.extend(after[..count].iter().map(String::as_str));
        if values.is_empty() && name.eq_ignore_ascii_case("save") {
            // Here alone, as in Redis, the word by itself stands for no snapshots.
            values.push("");
        }
        apply(config, "command line", &name, &values, read, 0)?;
        rest = &after[count..];
    }
    Ok(())
}

fn include(
    config: &mut Config,
    path: &str,
    read: &dyn Fn(&str) -> Result<Vec<u8>, String>,
    depth: usize,
) -> Result<(), String> {
    let path_shown = shown(path);
    if depth > INCLUDE_DEPTH_MAX {
        return Err(format!(
            "{path_shown}: more than {INCLUDE_DEPTH_MAX} files include each other"
        ));
    }
    let contents = read(path).map_err(|reason| format!("{path_shown}: {reason}"))?;
    for (index, line) in contents.split(|&byte| byte == b'\n').enumerate() {
        let place = format!("{path_shown} line {}", index + 1);
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let words =
            resp::inline::split_line(line).map_err(|_| format!("{place}: unbalanced quotes"))?;
        let words: Result<Vec<&str>, _> = words.as_args().iter().map(std::str::from_utf8).collect();
        let words = words.map_err(|_| format!("{place}: not text in UTF-8"))?;
        apply(config, &place, words[0], &words[1..], read, depth)?;
    }
    Ok(())
}

/// One option with the words that follow it.
fn apply(
    config: &mut Config,
    place: &str,
    name: &str,
    values: &[&str],
    read: &dyn Fn(&str) -> Result<Vec<u8>, String>,
    depth: usize,
) -> Result<(), String> {
    if name.eq_ignore_ascii_case("include") {
        let [path] = values else {
            return Err(format!("{place}: include takes one path"));
        };
        return include(config, path, read, depth + 1);
    }
    let Some(setting) = Config::setting(name) else {
        return Err(format!("{place}: '{}' is no option", shown(name)));
    };
    let value = values.join(" ");
    let told = |reason: &str| {
        let (name, takes) = (setting.name, setting.kind.takes());
        format!(
            "{place}: {name} '{}': {reason} ({name} takes {takes})",
            shown(&value)
        )
    };
    let several = values.len() > 1 && !setting.kind.takes_words();
    if values.is_empty() || several {
        return Err(told("wrong number of arguments"));
    }
    if matches!(setting.kind, Kind::Addresses) && value.trim().is_empty() {
        return Err(told("no address to listen on"));
    }
    setting
        .kind
        .write(config, &value)
        .map_err(|reason| told(&reason))
}

/// A person's text inside a message of one line: no control characters, and not without end.
fn shown(text: &str) -> String {
    const CHARACTERS_MAX: usize = 128;
    text.chars()
        .take(CHARACTERS_MAX)
        .map(|character| {
            if character.is_control() {
                '?'
            } else {
                character
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MaxMemory;

    fn no_files(_: &str) -> Result<Vec<u8>, String> {
        Err("No such file or directory".into())
    }

    fn from_words(words: &[&str]) -> Result<Arguments, String> {
        from_words_and_files(words, &no_files)
    }

    fn from_words_and_files(
        words: &[&str],
        read: &dyn Fn(&str) -> Result<Vec<u8>, String>,
    ) -> Result<Arguments, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        arguments(&words, read)
    }

    fn from_file(contents: &str) -> Result<Config, String> {
        let read = |path: &str| match path {
            "p.conf" => Ok(contents.as_bytes().to_vec()),
            "more.conf" => Ok(b"port 7002\n".to_vec()),
            "loop.conf" => Ok(b"include loop.conf\n".to_vec()),
            _ => no_files(path),
        };
        match from_words_and_files(&["p.conf"], &read)? {
            Arguments::Start { config, .. } => Ok(*config),
            other => panic!("a start was asked for, not {other:?}"),
        }
    }

    #[test]
    fn options_are_typed_as_redis_users_type_them() {
        let words = "--port 7000 --bind 127.0.0.1 ::1 --maxmemory 1gb --shards 4";
        let words: Vec<&str> = words.split(' ').collect();
        let Ok(Arguments::Start {
            config,
            config_file,
        }) = from_words(&words)
        else {
            panic!("a start")
        };
        assert_eq!((config.port, config.shards), (7000, 4));
        assert_eq!(config.bind, ["127.0.0.1", "::1"]);
        assert_eq!(config.maxmemory, MaxMemory::Bytes(1 << 30));
        assert_eq!(config_file, "");
    }

    #[test]
    fn no_words_start_with_the_defaults() {
        let start = Arguments::Start {
            config: Box::default(),
            config_file: String::new(),
        };
        assert_eq!(from_words(&[]), Ok(start));
    }

    #[test]
    fn what_test_scripts_give_redis_is_taken() {
        assert!(from_words(&["--save", "", "--appendonly", "no", "--PORT", "1"]).is_ok());
        assert!(from_words(&["--save", "--appendonly", "no", "--save"]).is_ok());
    }

    #[test]
    fn an_option_and_its_value_may_stand_in_one_word() {
        let words = [
            "--maxmemory 700mb",
            "--requirepass 'a b'",
            "--bind ::1",
            "127.0.0.1",
        ];
        let Ok(Arguments::Start { config, .. }) = from_words(&words) else {
            panic!("a start")
        };
        assert_eq!(config.maxmemory, MaxMemory::Bytes(700 << 20));
        assert_eq!(&config.requirepass[..], "a b");
        assert_eq!(config.bind, ["::1", "127.0.0.1"]);
    }

    #[test]
    fn options_win_over_the_file() {
        let read = |_: &str| Ok(b"port 1\nhz 20\n".to_vec());
        let Ok(Arguments::Start {
            config,
            config_file,
        }) = from_words_and_files(&["/etc/p.conf", "--port", "2"], &read)
        else {
            panic!("a start")
        };
        assert_eq!((config.port, config.hz), (2, 20));
        assert_eq!(config_file, "/etc/p.conf");
    }

    #[test]
    fn version_and_help_start_nothing() {
        assert_eq!(from_words(&["--version"]), Ok(Arguments::Version));
        assert_eq!(from_words(&["-h"]), Ok(Arguments::Help));
    }

    #[test]
    fn a_refused_option_is_one_line_with_its_name_value_and_range() {
        for (words, line) in [
            (
                "--port 70000",
                "command line: port '70000': argument must be between 0 and 65535 inclusive \
                 (port takes a number from 0 to 65535)",
            ),
            (
                "--shards four",
                "command line: shards 'four': argument couldn't be parsed into an integer \
                 (shards takes a number from 0 to 1023)",
            ),
            (
                "--port",
                "command line: port '': wrong number of arguments (port takes a number from 0 to 65535)",
            ),
            (
                "--port 1 2",
                "command line: port '1 2': wrong number of arguments (port takes a number from 0 to 65535)",
            ),
            ("--nosuch 1", "command line: 'nosuch' is no option"),
            (
                "--port 1 -x",
                "command line: port '1 -x': wrong number of arguments (port takes a number from 0 to 65535)",
            ),
            (
                "-port 1",
                "'-port' is no option; options are written --name value",
            ),
            ("nosuch.conf", "nosuch.conf: No such file or directory"),
        ] {
            let words: Vec<&str> = line_words(words);
            assert_eq!(from_words(&words), Err(line.to_owned()));
        }
        for (word, line) in [
            ("--", "'--' is no option; options are written --name value"),
            (
                "--port '1",
                "command line: unbalanced quotes in '--port '1'",
            ),
            (
                "--port 1 2",
                "command line: port '1 2': wrong number of arguments (port takes a number from 0 to 65535)",
            ),
        ] {
            assert_eq!(from_words(&[word]), Err(line.to_owned()));
        }
    }

    fn line_words(line: &str) -> Vec<&str> {
        line.split(' ').collect()
    }

    #[test]
    fn a_refusal_stays_one_line_whatever_was_typed() {
        let error = from_words(&["--port", "7\n000"]).unwrap_err();
        assert!(
            !error.contains('\n') && error.contains("'7?000'"),
            "{error}"
        );
        assert!(
            from_words(&["--port", &"9".repeat(10_000)])
                .unwrap_err()
                .len()
                < 400
        );
    }

    #[test]
    fn a_file_has_comments_quotes_and_units() {
        let config = from_file(
            "# a comment\n\n  port 7001 \r\nrequirepass \"a b\\x21\"\nmaxmemory 2mb\nbind '::1' 127.0.0.1\n  # more\nsave \"\"",
        )
        .unwrap();
        assert_eq!((config.port, &config.requirepass[..]), (7001, "a b!"));
        assert_eq!(config.maxmemory, MaxMemory::Bytes(2 << 20));
        assert_eq!(config.bind, ["::1", "127.0.0.1"]);
    }

    #[test]
    fn the_last_of_repeated_lines_counts_and_output_limits_add_up() {
        let config = from_file(
            "port 1\nport 2\nclient-output-buffer-limit normal 3 2 1\nclient-output-buffer-limit pubsub 6 5 4\n",
        )
        .unwrap();
        assert_eq!(config.port, 2);
        let limits = config.client_output_buffer_limits;
        assert_eq!(
            (limits.normal.hard_bytes, limits.pubsub.soft_seconds),
            (3, 4)
        );
    }

    #[test]
    fn an_included_file_is_read_where_it_stands() {
        assert_eq!(from_file("port 1\ninclude more.conf\n").unwrap().port, 7002);
        assert_eq!(from_file("include more.conf\nport 1\n").unwrap().port, 1);
        assert!(
            from_file("include loop.conf")
                .unwrap_err()
                .contains("include each other")
        );
        assert_eq!(
            from_file("include no.conf"),
            Err("no.conf: No such file or directory".into())
        );
    }

    #[test]
    fn a_mistake_in_a_file_is_told_with_its_line() {
        assert_eq!(
            from_file("\nport x\n").unwrap_err(),
            "p.conf line 2: port 'x': argument couldn't be parsed into an integer \
             (port takes a number from 0 to 65535)"
        );
        assert_eq!(
            from_file("port \"1").unwrap_err(),
            "p.conf line 1: unbalanced quotes"
        );
        assert_eq!(
            from_file("include").unwrap_err(),
            "p.conf line 1: include takes one path"
        );
        assert!(
            from_file("bind \"\"")
                .unwrap_err()
                .contains("no address to listen on")
        );
    }
}
