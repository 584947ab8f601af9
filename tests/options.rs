//! The start: options as Redis users type them, the screen that greets, and refusals in one line.
//! Never tests what an option does; that is the business of the test of its subject.
//! Source: the grammar of Redis' configuration file.

use std::path::PathBuf;

use crate::fixture::{binary, ok, skipped, start, start_ours};
use testkit::Server;

/// A file that is removed with the test.
struct ConfigFile(PathBuf);

impl ConfigFile {
    fn new(name: &str, contents: &str) -> ConfigFile {
        let path = std::env::temp_dir().join(format!("pinyon-{}-{name}.conf", std::process::id()));
        std::fs::write(&path, contents).expect("the directory for temporary files can be written");
        ConfigFile(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("the path is text")
    }
}

impl Drop for ConfigFile {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Checks that the start ends with one line on stderr that holds all these words.
fn assert_refused(options: &[&str], words: &[&str]) {
    let output = Server::refused(binary(), options);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_ne!(
        output.status.code(),
        Some(0),
        "{options:?} ended well: {said}"
    );
    assert_eq!(
        output.status.code(),
        Some(1),
        "{options:?} ended by a signal or a panic: {said}"
    );
    assert_eq!(
        said.trim_end().lines().count(),
        1,
        "{options:?} gave not one line: {said}"
    );
    assert!(
        output.stdout.is_empty(),
        "{options:?} also printed to stdout"
    );
    for word in words {
        assert!(
            said.contains(word),
            "{options:?}: {word:?} is not in: {said}"
        );
    }
}

/// Whether what follows makes sense with the server under test.
fn is_ours() -> bool {
    let ours = !binary().ends_with("redis-server");
    if !ours {
        skipped(
            "refusals at the start",
            "the server under test is redis-server",
        );
    }
    ours
}

#[test]
fn an_option_out_of_range_stops_the_start_with_option_value_and_range() {
    if !is_ours() {
        return;
    }
    assert_refused(&["--port", "70000"], &["port", "70000", "65535"]);
    assert_refused(&["--port", "-1"], &["port", "-1", "65535"]);
    assert_refused(&["--port", "seven"], &["port", "seven"]);
    assert_refused(&["--shards", "-3"], &["shards", "-3", "0", "1023"]);
    assert_refused(&["--shards", "5000"], &["shards", "5000", "1023"]);
    assert_refused(&["--maxmemory", "lots"], &["maxmemory", "lots"]);
    assert_refused(
        &["--maxmemory", "99999999999999999999"],
        &["maxmemory", "99999999999999999999"],
    );
    assert_refused(&["--maxclients", "0"], &["maxclients", "0", "1"]);
    assert_refused(
        &["--memory-stats-percent-sign", "maybe"],
        &["memory-stats-percent-sign", "maybe", "auto", "yes", "no"],
    );
    assert_refused(
        &["--maxmemory-policy", "allkeys-magic"],
        &["maxmemory-policy", "allkeys-magic", "noeviction"],
    );
}

#[test]
fn what_is_no_option_stops_the_start() {
    if !is_ours() {
        return;
    }
    assert_refused(&["--nonsense", "1"], &["nonsense"]);
    assert_refused(&["--port"], &["port"]);
    assert_refused(&["--port", "1", "2"], &["port"]);
    assert_refused(&["-x"], &["-x"]);
    assert_refused(&["/nowhere/pinyon.conf"], &["/nowhere/pinyon.conf"]);
}

#[test]
fn an_address_that_cannot_be_listened_on_stops_the_start() {
    if !is_ours() {
        return;
    }
    assert_refused(&["--port", "0", "--bind", "203.0.113.1"], &[]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("it is bound").port().to_string();
    assert_refused(&["--port", &port], &[&port]);
}

#[test]
fn a_bad_line_of_a_file_is_named_with_its_number() {
    if !is_ours() {
        return;
    }
    let file = ConfigFile::new("bad", "# fine\n\nmaxclients 100\ntimeout soon\n");
    assert_refused(&[file.path()], &["line 4", "timeout", "soon"]);
    let file = ConfigFile::new("quotes", "requirepass \"open\n");
    assert_refused(&[file.path()], &["line 1"]);
    let file = ConfigFile::new("unknown", "port 7000\nno-such-option yes\n");
    assert_refused(&[file.path()], &["line 2", "no-such-option"]);
}

#[test]
fn a_file_in_the_grammar_of_redis_is_read_and_the_command_line_wins() {
    let file = ConfigFile::new(
        "good",
        "# A comment\n\n  maxclients   123\nTIMEOUT 77\nmaxmemory 64mb\n\
         client-output-buffer-limit normal 8mb 4mb 60\nrequirepass \"\"\nproto-max-bulk-len '2mb'\n",
    );
    let server = Server::start(binary(), &[file.path(), "--timeout", "78"]);
    let mut client = server.client();
    for (name, value) in [
        ("maxclients", "123"),
        ("timeout", "78"),
        ("maxmemory", "67108864"),
        ("requirepass", ""),
        ("proto-max-bulk-len", "2097152"),
        (
            "client-output-buffer-limit",
            "normal 8388608 4194304 60 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
        ),
    ] {
        let pair = crate::fixture::elements(client.ask(&format!("CONFIG GET {name}")));
        let pair: Vec<_> = pair.iter().map(crate::fixture::text).collect();
        assert_eq!(pair, [name, value]);
    }
    assert_eq!(client.info("config_file"), file.path());
}

#[test]
fn options_can_be_changed_while_the_server_runs_on_every_shard() {
    let server = start(4, &[]);
    let mut client = server.client();
    assert_eq!(client.ask("CONFIG SET maxclients 200 timeout 9"), ok());
    for _ in 0..20 {
        let mut other = server.client();
        assert_eq!(other.command(&["CONFIG", "GET", "timeout"]), {
            resp::Reply::Array(vec![
                crate::fixture::bulk("timeout"),
                crate::fixture::bulk("9"),
            ])
        });
    }
    assert_eq!(
        client.error("CONFIG SET nope 1"),
        "ERR Unknown option or number of arguments for CONFIG SET - 'nope'"
    );
    assert_eq!(
        client.error("CONFIG SET timeout 5 timeout 6"),
        "ERR CONFIG SET failed (possibly related to argument 'timeout') - duplicate parameter"
    );
    assert_eq!(
        client.error("CONFIG SET timeout x"),
        "ERR CONFIG SET failed (possibly related to argument 'timeout') - argument couldn't be parsed into an integer"
    );
    assert_eq!(
        client.error("CONFIG SET maxclients 300 timeout -1"),
        "ERR CONFIG SET failed (possibly related to argument 'timeout') - argument must be between 0 and 2147483647 inclusive"
    );
    let pair = crate::fixture::elements(client.ask("CONFIG GET maxclients"));
    assert_eq!(
        crate::fixture::text(&pair[1]),
        "200",
        "one bad value leaves all as they were"
    );
    if !server.is_redis() {
        assert_eq!(
            client.error("CONFIG SET port 7000"),
            "ERR CONFIG SET failed (possibly related to argument 'port') - can't set immutable config"
        );
    }
}

#[test]
fn the_screen_at_start_says_where_it_is_and_what_to_type_next() {
    let Some(server) = start_ours(2, &["--maxmemory", "100mb"]) else {
        return;
    };
    let port = server.port().to_string();
    crate::fixture::eventually("the screen is printed", || {
        server.output().contains("MEMORY STATS")
    });
    let screen = server.output();
    for words in [
        env!("CARGO_PKG_VERSION"),
        "127.0.0.1",
        &port,
        "shards",
        "io_uring",
        "redis-cli",
    ] {
        assert!(screen.contains(words), "{words:?} is not in:\n{screen}");
    }
    assert!(
        screen.contains("100") && screen.to_lowercase().contains("memory"),
        "{screen}"
    );
    assert!(
        screen.lines().count() <= 24,
        "the screen does not fit a screen:\n{screen}"
    );
}

#[test]
fn version_and_help_are_printed_and_nothing_starts() {
    if !is_ours() {
        return;
    }
    for (option, words) in [
        ("--version", env!("CARGO_PKG_VERSION")),
        ("--help", "--maxmemory"),
    ] {
        let output = Server::refused(binary(), &[option]);
        assert_eq!(output.status.code(), Some(0));
        assert!(
            String::from_utf8_lossy(&output.stdout).contains(words),
            "{option}"
        );
        assert!(output.stderr.is_empty(), "{option}");
    }
}

#[test]
fn two_servers_do_not_share_a_port() {
    if !is_ours() {
        return;
    }
    let server = start(2, &[]);
    let port = server.port().to_string();
    assert_refused(&["--port", &port, "--shards", "1"], &[&port]);
    assert_eq!(server.client().text("PING"), "PONG");
}
