//! What the wire accepts and how it refuses: texts, limits, and connections that end badly.
//! Never checks what a command does with its arguments.
//! Source: every text was asked of redis-server 7.0.15.

use resp::Reply;
use testkit::{Client, Server, encode};

use crate::fixture::{Dice, bulk, error, eventually, ok, start, start_ours};

/// Sends bytes, says that no more will come, and returns all that is answered.
fn answered(server: &Server, bytes: &[u8]) -> String {
    let mut client = server.client();
    client.send(bytes);
    client.finish_sending();
    String::from_utf8_lossy(&client.read_to_end()).into_owned()
}

/// Checks that bytes get one error and the connection is closed after it.
fn assert_refused(server: &Server, bytes: &[u8], text: &str) {
    let mut client = server.client();
    client.send(bytes);
    let all = client.read_to_end();
    assert_eq!(
        String::from_utf8_lossy(&all),
        format!("-ERR Protocol error: {text}\r\n"),
        "for {}",
        bytes[..bytes.len().min(60)].escape_ascii()
    );
}

#[test]
fn malformed_requests_get_the_texts_of_redis_and_are_closed() {
    let server = start(1, &[]);
    let long = vec![b'1'; 70_000];
    let (multibulk, bulk) = ("invalid multibulk length", "invalid bulk length");
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"*abc\r\n".to_vec(), multibulk),
        (b"*+1\r\n".to_vec(), multibulk),
        (b"*01\r\n".to_vec(), multibulk),
        (b"* 1\r\n".to_vec(), multibulk),
        (b"*2147483648\r\n".to_vec(), multibulk),
        (b"*4294967297\r\n".to_vec(), multibulk),
        (b"*9223372036854775807\r\n".to_vec(), multibulk),
        (b"*18446744073709551617\r\n".to_vec(), multibulk),
        (b"*1\r\n$abc\r\n".to_vec(), bulk),
        (b"*1\r\n$-1\r\n".to_vec(), bulk),
        (b"*1\r\n$04\r\n".to_vec(), bulk),
        (b"*1\r\n$+4\r\n".to_vec(), bulk),
        (b"*1\r\n$536870913\r\n".to_vec(), bulk),
        (b"*1\r\n$4294967300\r\n".to_vec(), bulk),
        (b"*1\r\n$9223372036854775807\r\n".to_vec(), bulk),
        (b"*1\r\n$18446744073709551620\r\n".to_vec(), bulk),
        (b"*1\r\n+PING\r\n".to_vec(), "expected '$', got '+'"),
        (b"*1\r\n\r\n".to_vec(), "expected '$', got ' '"),
        (
            b"*2\r\n$4\r\nfo\r\n$1\r\nx\r\n".to_vec(),
            "expected '$', got ' '",
        ),
        (b"SET \"a\r\n".to_vec(), "unbalanced quotes in request"),
        (b"SET \"a\"b\r\n".to_vec(), "unbalanced quotes in request"),
        (b"SET 'a\r\n".to_vec(), "unbalanced quotes in request"),
        (long.clone(), "too big inline request"),
        ([b"*", &long[..]].concat(), "too big mbulk count string"),
        (
            [b"*1\r\n$", &long[..]].concat(),
            "too big bulk count string",
        ),
    ];
    for (bytes, text) in cases {
        assert_refused(&server, &bytes, text);
    }
}

#[test]
fn what_came_before_a_protocol_error_is_answered_and_what_follows_is_not() {
    let server = start(2, &[]);
    let all = answered(
        &server,
        b"PING\r\nSET k v\r\nGET k\r\n*1\r\n$x\r\nDEL k\r\n",
    );
    assert_eq!(
        all,
        "+PONG\r\n+OK\r\n$1\r\nv\r\n-ERR Protocol error: invalid bulk length\r\n"
    );
    assert_eq!(server.client().ask("GET k"), bulk("v"));
}

#[test]
fn requests_that_ask_for_nothing_are_ignored() {
    let server = start(1, &[]);
    for nothing in [
        "*0\r\n",
        "*-1\r\n",
        "*-5\r\n",
        "\r\n",
        "\r\n\r\n\r\n",
        "\n",
        "   \r\n",
    ] {
        let all = answered(&server, format!("{nothing}PING\r\n").as_bytes());
        assert_eq!(all, "+PONG\r\n", "after {nothing:?}");
    }
}

#[test]
fn inline_commands_take_quotes_and_escapes() {
    let server = start(2, &[]);
    assert_eq!(answered(&server, b"PING\n"), "+PONG\r\n");
    assert_eq!(
        answered(&server, b"ECHO \"\\x41\\n\\\"b\"\r\n"),
        "$4\r\nA\n\"b\r\n"
    );
    assert_eq!(
        answered(&server, b"ECHO 'it\\'s \\n'\r\n"),
        "$7\r\nit's \\n\r\n"
    );
    assert_eq!(answered(&server, b"  ECHO   \"\"  \r\n"), "$0\r\n\r\n");
    let long = vec![b'x'; 60_000];
    let mut client = server.client();
    client.send(&[b"ECHO ", &long[..], b"\r\n"].concat());
    assert_eq!(client.reply(), bulk(long));
}

#[test]
fn the_bytes_that_end_an_argument_are_not_looked_at() {
    let server = start(1, &[]);
    assert_eq!(
        answered(&server, b"*1\r\n$4\r\nPINGxxPING\r\n"),
        "+PONG\r\n+PONG\r\n"
    );
}

#[test]
fn errors_quote_the_client_without_letting_it_end_the_line() {
    let server = start(1, &[]);
    let mut client = server.client();
    let unknown = |name: &str, args: &str| {
        error(&format!(
            "ERR unknown command '{name}', with args beginning with: {args}"
        ))
    };
    assert_eq!(client.ask("foo"), unknown("foo", ""));
    assert_eq!(client.command(&[""]), unknown("", ""));
    assert_eq!(client.ask("foo bar baz"), unknown("foo", "'bar' 'baz' "));
    assert_eq!(client.command(&["f\r\n-E"]), unknown("f  -E", ""));
    assert_eq!(
        client.command(&["foo", "b\r\na"]),
        unknown("foo", "'b  a' ")
    );
    assert_eq!(
        client.command(&["f".repeat(200)]),
        unknown(&"f".repeat(128), "")
    );
    let cut = unknown("foo", &format!("'{}' ", "x".repeat(128)));
    assert_eq!(client.command(&["foo", &"x".repeat(200), "y"]), cut);
    let no_text = client.command(&[&b"foo"[..], b"\xff\xfe\""]);
    let quoted = b"ERR unknown command 'foo', with args beginning with: '\xff\xfe\"' ";
    assert_eq!(no_text, Reply::Error(quoted.to_vec()));
    assert_eq!(
        client.command(&["config", "a\r\nb"]),
        error("ERR unknown subcommand 'a  b'. Try CONFIG HELP.")
    );
}

#[test]
fn wrong_arity_and_unknown_subcommands_have_the_texts_of_redis() {
    let server = start(1, &[]);
    let mut client = server.client();
    for (line, name) in [
        ("GET", "get"),
        ("GET a b", "get"),
        ("SET a", "set"),
        ("MSET a", "mset"),
        ("MSET a 1 b", "mset"),
        ("PING a b", "ping"),
        ("MEMORY", "memory"),
        ("MEMORY USAGE", "memory|usage"),
        ("MEMORY STATS x", "memory|stats"),
        ("CONFIG GET", "config|get"),
        ("CLIENT SETNAME", "client|setname"),
        ("OBJECT ENCODING", "object|encoding"),
    ] {
        assert_eq!(
            client.error(line),
            format!("ERR wrong number of arguments for '{name}' command")
        );
    }
    for container in ["MEMORY", "CONFIG", "CLIENT", "OBJECT", "COMMAND"] {
        assert_eq!(
            client.error(&format!("{container} nope")),
            format!("ERR unknown subcommand 'nope'. Try {container} HELP.")
        );
    }
}

/// Commands that meet every state of the decoder, with their answers.
fn varied_requests() -> (Vec<u8>, &'static str) {
    let mut bytes = Vec::new();
    bytes.extend(encode(&["SET", "key", "va\r\nue"]));
    bytes.extend(b"\r\nPING\r\n");
    bytes.extend(encode(&["GET", "key"]));
    bytes.extend(b"*0\r\n");
    bytes.extend(encode(&["MGET", "key", "", "other"]));
    bytes.extend(b"ECHO \"a b\"\n");
    bytes.extend(encode(&["INCR", "n"]));
    bytes.extend(encode(&["DEL", "key", "n"]));
    let answers = "+OK\r\n+PONG\r\n$6\r\nva\r\nue\r\n*3\r\n$6\r\nva\r\nue\r\n$-1\r\n$-1\r\n\
                   $3\r\na b\r\n:1\r\n:2\r\n";
    (bytes, answers)
}

#[test]
fn a_request_split_at_any_byte_gives_the_same_answers() {
    let server = start(2, &[]);
    let (bytes, answers) = varied_requests();
    for split in 1..bytes.len() {
        let mut client = server.client();
        client.send(&bytes[..split]);
        // An answer from elsewhere gives the first half time to arrive alone.
        server.client().ask("PING");
        client.send(&bytes[split..]);
        client.finish_sending();
        let all = client.read_to_end();
        assert_eq!(String::from_utf8_lossy(&all), answers, "split at {split}");
    }
}

#[test]
fn a_request_sent_byte_by_byte_is_understood() {
    let server = start(2, &[]);
    let (bytes, answers) = varied_requests();
    let mut client = server.client();
    for byte in &bytes {
        client.send(&[*byte]);
    }
    client.finish_sending();
    assert_eq!(String::from_utf8_lossy(&client.read_to_end()), answers);
}

#[test]
fn values_of_any_bytes_and_sizes_come_back_as_they_were() {
    let server = start(2, &[]);
    let mut client = server.client();
    let mut dice = Dice::new(11);
    for size in [
        0,
        1,
        15,
        16,
        17,
        255,
        256,
        8_191,
        8_192,
        8_193,
        65_535,
        65_536,
        70_000,
        1 << 20,
        (5 << 20) + 3,
    ] {
        let value: Vec<u8> = (0..size).map(|_| dice.roll(256) as u8).collect();
        let key = [b"k\0\xff\r\n".as_slice(), size.to_string().as_bytes()].concat();
        assert_eq!(client.command(&[b"SET", &key[..], &value]), ok());
        assert_eq!(
            client.command(&[b"GET", &key[..]]),
            bulk(&value),
            "{size} bytes"
        );
        assert_eq!(
            client.command(&[b"STRLEN", &key[..]]),
            Reply::Int(size as i64)
        );
    }
}

#[test]
fn an_argument_may_be_as_long_as_the_option_says_and_no_longer() {
    let server = start(1, &["--proto-max-bulk-len", "2mb"]);
    let mut client = server.client();
    assert_eq!(client.command(&["SET", "k", &"x".repeat(2 << 20)]), ok());
    assert_refused(&server, b"*1\r\n$2097153\r\n", "invalid bulk length");
    assert_eq!(client.int("STRLEN k"), 2 << 20);
}

#[test]
fn an_unfinished_request_longer_than_the_query_buffer_limit_is_cut_off() {
    let Some(server) = start_ours(1, &["--client-query-buffer-limit", "1mb"]) else {
        return;
    };
    let mut witness = server.client();
    let mut client = server.client();
    // Many arguments, so that no single one is refused for its own length.
    let argument = format!("$1000\r\n{}\r\n", "x".repeat(1000));
    let request = format!("*10000\r\n{}", argument.repeat(3000));
    let cut = client.try_send(request.as_bytes()).is_err() || client.is_closed();
    assert!(cut, "3 MB of unfinished request were kept");
    assert_eq!(witness.text("PING"), "PONG");
}

#[test]
fn more_than_a_million_arguments_are_refused_before_they_come() {
    let Some(server) = start_ours(1, &[]) else {
        return;
    };
    assert_refused(&server, b"*1048577\r\n", "invalid multibulk length");
    assert_refused(&server, b"*1000000000\r\n", "invalid multibulk length");
    let mut client = server.client();
    client.send(b"*1048576\r\n$4\r\nECHO\r\n");
    assert_eq!(server.client().text("PING"), "PONG");
}

#[test]
fn announced_bytes_cost_no_memory_and_no_key() {
    let Some(server) = start_ours(2, &["--maxmemory", "60mb"]) else {
        return;
    };
    let mut witness = server.client();
    for key in 0..1_000 {
        assert_eq!(
            witness.command(&["SET", &format!("key:{key}"), &"v".repeat(100)]),
            ok()
        );
    }
    let before = server.resident_bytes();
    let mut clients: Vec<Client> = (0..40).map(|_| server.client()).collect();
    for client in &mut clients {
        client.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n0123456789");
    }
    for count in ["*1000000", "*1048576", "*500000"] {
        let mut client = server.client();
        client.send(format!("{count}\r\n$4\r\nMGET\r\n$5\r\nkey:1\r\n").as_bytes());
        clients.push(client);
    }
    eventually("all are connected", || {
        witness.info("connected_clients") == "44"
    });
    assert_eq!(witness.text("PING"), "PONG");
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 8 << 20, "43 announcements cost {grown} bytes");
    assert_eq!(witness.int("DBSIZE"), 1_000);
    assert_eq!(witness.ask("SET another key"), ok());
}

#[test]
fn replies_are_sent_to_a_client_that_has_finished_sending() {
    let server = start(2, &[]);
    let mut client = server.client();
    let commands: Vec<Vec<u8>> = (0..500)
        .map(|n| encode(&["SET", &format!("k{n}"), "v"]))
        .collect();
    client.send(&commands.concat());
    client.send(b"DBSIZE\r\n");
    client.finish_sending();
    let all = client.read_to_end();
    assert_eq!(
        String::from_utf8_lossy(&all),
        "+OK\r\n".repeat(500) + ":500\r\n"
    );
}

#[test]
fn half_a_request_and_then_the_end_leaves_nothing_behind() {
    let server = start(2, &[]);
    let mut witness = server.client();
    for _ in 0..50 {
        let mut client = server.client();
        client.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100\r\n0123456789");
        client.finish_sending();
        assert!(client.is_closed());
    }
    eventually("only the witness is connected", || {
        witness.info("connected_clients") == "1"
    });
    assert_eq!(witness.int("EXISTS k"), 0);
}

#[test]
fn a_reset_in_mid_command_disturbs_no_one() {
    let server = start(2, &[]);
    let mut witness = server.client();
    for round in 0..100 {
        let mut client = server.client();
        client.send(b"PING\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$9\r\n012");
        if round % 2 == 0 {
            assert_eq!(client.reply(), Reply::Simple(b"PONG".to_vec()));
        }
        // Dropped with its reply unread, a socket is reset instead of closed.
        client.send(b"45");
        drop(client);
        assert_eq!(witness.text("PING"), "PONG");
    }
    eventually("only the witness is connected", || {
        witness.info("connected_clients") == "1"
    });
    assert_eq!(witness.int("EXISTS k"), 0);
}

#[test]
fn quit_answers_and_closes_and_runs_nothing_after_it() {
    let server = start(1, &[]);
    assert_eq!(
        answered(&server, b"SET k 1\r\nQUIT\r\nSET k 2\r\n"),
        "+OK\r\n+OK\r\n"
    );
    assert_eq!(server.client().ask("GET k"), bulk("1"));
}

#[test]
fn hello_switches_the_protocol_both_ways() {
    let server = start(1, &[]);
    let mut client = server.client();
    assert_eq!(client.ask("GET none"), Reply::Null);
    let Reply::Map(pairs) = client.ask("HELLO 3 SETNAME probe") else {
        panic!("RESP3 has maps")
    };
    let names: Vec<_> = pairs
        .iter()
        .map(|(name, _)| crate::fixture::text(name))
        .collect();
    assert_eq!(
        names,
        [
            "server", "version", "proto", "id", "mode", "role", "modules"
        ]
    );
    assert_eq!(pairs[2].1, Reply::Int(3));
    client.send(b"GET none\r\n");
    assert_eq!(client.reply(), Reply::Null);
    assert_eq!(client.text("CLIENT GETNAME"), "probe");
    let Reply::Array(flat) = client.ask("HELLO 2") else {
        panic!("RESP2 has arrays")
    };
    assert_eq!(flat.len(), 14);
    assert_eq!(
        client.error("HELLO 4"),
        "NOPROTO unsupported protocol version"
    );
    assert_eq!(
        client.error("HELLO x"),
        "ERR Protocol version is not an integer or out of range"
    );
    assert_eq!(
        client.error("HELLO 3 NOPE"),
        "ERR Syntax error in HELLO option 'NOPE'"
    );
    assert_eq!(client.text("PING"), "PONG");
}

#[test]
fn a_client_without_the_password_gets_nothing_done() {
    let server = start_with_password();
    let mut client = Client::connect(server.port());
    assert_eq!(client.error("GET k"), "NOAUTH Authentication required.");
    assert_eq!(client.error("PING"), "NOAUTH Authentication required.");
    // The hint that follows differs between versions.
    let hello = client.error("HELLO 3");
    let start = "NOAUTH HELLO must be called with the client already authenticated";
    assert!(hello.starts_with(start), "{hello}");
    assert_eq!(
        client.error("AUTH wrong"),
        "WRONGPASS invalid username-password pair or user is disabled."
    );
    assert_eq!(client.ask("AUTH secret"), ok());
    assert_eq!(client.ask("SET k v"), ok());
    let mut other = Client::connect(server.port());
    assert!(matches!(
        other.ask("HELLO 3 AUTH default secret SETNAME me"),
        Reply::Map(_)
    ));
    assert_eq!(other.ask("GET k"), bulk("v"));
    for (request, text) in [
        (&b"*11\r\n"[..], "unauthenticated multibulk length"),
        (
            b"*2\r\n$4\r\nAUTH\r\n$16385\r\n",
            "unauthenticated bulk length",
        ),
    ] {
        assert_refused(&server, request, text);
    }
}

#[test]
fn a_password_counts_from_the_next_command_of_its_pipeline_on() {
    let server = start_with_password();
    let mut client = Client::connect(server.port());
    let many = ["MGET", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    client.send(&[encode(&["AUTH", "secret"]), encode(&many)].concat());
    assert_eq!(client.reply(), ok());
    assert_eq!(client.reply(), Reply::Array(vec![Reply::Null; 10]));
}

#[test]
fn what_a_browser_is_made_to_post_is_not_taken_for_commands() {
    let server = start(2, &[]);
    for head in ["POST / HTTP/1.1", "post /", "GET /\r\nHOST: 127.0.0.1:6379"] {
        let request = format!("PING\r\n{head}\r\nSET k v\r\n");
        let answered = answered(&server, request.as_bytes());
        assert!(answered.starts_with("+PONG\r\n"), "{answered}");
        assert!(!answered.contains("OK"), "{answered}");
        assert_eq!(server.client().ask("EXISTS k"), Reply::Int(0), "{head}");
    }
}

/// A server that asks for a password, given it once it runs so that it can be waited for.
fn start_with_password() -> Server {
    let server = start(1, &[]);
    assert_eq!(server.client().ask("CONFIG SET requirepass secret"), ok());
    server
}

#[test]
fn refusals_are_counted_by_code_and_by_command() {
    let mut servers = vec![start(1, &[]), start(2, &[])];
    servers.extend(Server::start_redis(&[]));
    for server in servers {
        let mut client = server.client();
        client.ask("CONFIG SET maxmemory-policy noeviction");
        client.ask("CONFIG RESETSTAT");
        for line in ["NOSUCH", "SET k", "CONFIG", "CONFIG NOSUCH", "CONFIG GET"] {
            assert!(matches!(client.ask(line), Reply::Error(_)), "{line}");
        }
        answered(&server, b"*abc\r\n");
        client.ask("CONFIG SET requirepass secret");
        assert!(matches!(server.client().ask("GET k"), Reply::Error(_)));
        client.ask("CONFIG SET maxmemory 1");
        let keys = client.ask("MSET a 1 b 2 c 3 d 4 e 5 f 6");
        assert!(matches!(keys, Reply::Error(_)), "{keys:?}");
        let info = client.text("INFO everything");
        let counts = |name: &str| -> String {
            let line = info.lines().find_map(|line| line.strip_prefix(name));
            let all = line.unwrap_or_else(|| panic!("{name} in {info}"));
            let is_count = |part: &&str| !part.starts_with("usec");
            all.split(',')
                .filter(is_count)
                .collect::<Vec<_>>()
                .join(" ")
        };
        let rejected = "calls=0 rejected_calls=1 failed_calls=0";
        for (name, expected) in [
            ("errorstat_ERR:", "count=6"),
            ("errorstat_NOAUTH:", "count=1"),
            ("errorstat_OOM:", "count=1"),
            ("total_error_replies:", "8"),
            ("cmdstat_set:", rejected),
            ("cmdstat_config:", rejected),
            ("cmdstat_config|get:", rejected),
            ("cmdstat_get:", rejected),
            ("cmdstat_mset:", rejected),
        ] {
            assert_eq!(counts(name), expected, "{name}");
        }
    }
}
