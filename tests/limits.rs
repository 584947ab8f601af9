//! What happens at a limit: memory, connections, replies that nobody reads.
//! Never sets a limit so wide that the machine is the limit.
//! Source: the texts of redis-server 7.0.15.

use resp::Reply;
use testkit::{Client, encode};

use crate::fixture::{bulk, eventually, ok, start, start_ours};
use crate::memory::stats;

const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";
const LIMIT_BYTES: i64 = 24 << 20;
const NO_EVICTION: [&str; 4] = ["--maxmemory", "24mb", "--maxmemory-policy", "noeviction"];

/// Sets keys until every shard refuses them; returns those that were taken.
fn fill(client: &mut Client, prefix: &str) -> Vec<String> {
    // A shard refuses when its share is used; what is left to others is small, and they are all tried.
    const REFUSED_IN_A_ROW: usize = 100;
    let value = "v".repeat(500);
    let (mut taken, mut refused) = (Vec::new(), 0);
    for n in 0..100_000 {
        let key = format!("{prefix}{n}");
        match client.command(&["SET", &key, &value]) {
            Reply::Error(text) => {
                assert_eq!(String::from_utf8_lossy(&text), OOM);
                refused += 1;
            }
            reply => {
                assert_eq!(reply, ok());
                taken.push(key);
                refused = 0;
            }
        }
        if refused == REFUSED_IN_A_ROW {
            return taken;
        }
    }
    panic!("50 MB fit into a limit of {LIMIT_BYTES} bytes");
}

#[test]
fn at_the_memory_limit_writes_are_refused_and_reads_and_deletions_work() {
    for shards in [1, 2, 4] {
        let server = start(shards, &NO_EVICTION);
        let mut client = server.client();
        let taken = fill(&mut client, "key:");
        // Redis counts the client's buffers, which shrink between two commands.
        let writes = [
            "APPEND key:0 x",
            "SETRANGE key:0 600 x",
            "MSET a 1 b 2",
            "INCR n",
            "COPY key:0 copy",
        ];
        for line in writes.iter().filter(|_| !server.is_redis()) {
            assert_eq!(client.error(line), OOM, "{line} with {shards} shards");
        }
        assert_eq!(client.ask("GET key:0"), bulk("v".repeat(500)));
        assert_eq!(client.int("STRLEN key:1"), 500);
        assert_eq!(client.int("EXPIRE key:2 1000"), 1);
        assert_eq!(client.int("DBSIZE"), taken.len() as i64);
        assert_eq!(
            client.int("EXISTS a b n copy"),
            0,
            "a refused command leaves nothing"
        );
        for key in &taken[..taken.len() / 2] {
            assert_eq!(client.int(&format!("DEL {key}")), 1);
        }
        assert_eq!(client.ask("SET again 1"), ok());
        assert!(
            fill(&mut client, "more:").len() > taken.len() / 4,
            "what was deleted can be used again"
        );
    }
}

#[test]
fn the_whole_limit_can_be_used_by_one_shard_and_is_not_passed() {
    for prefix in ["key:", "{one}key:"] {
        let Some(server) = start_ours(4, &NO_EVICTION) else {
            return;
        };
        fill(&mut server.client(), prefix);
        let total = stats(&mut server.client()).int("total.allocated");
        assert!(total < LIMIT_BYTES + (1 << 20), "{prefix} {total} bytes");
        assert!(total > LIMIT_BYTES * 9 / 10, "{prefix} {total} bytes");
    }
}

#[test]
fn a_limit_set_while_running_holds_at_once_for_all() {
    let server = start(2, &["--maxmemory", "0", "--maxmemory-policy", "noeviction"]);
    let (mut one, mut other) = (server.client(), server.client());
    assert_eq!(one.ask("SET k v"), ok());
    assert_eq!(one.ask("CONFIG SET maxmemory 1"), ok());
    assert_eq!(other.error("SET k w"), OOM);
    assert_eq!(one.error("SET k w"), OOM);
    for n in 0..20 {
        assert_eq!(other.error(&format!("SET k{n} w")), OOM);
    }
    assert_eq!(other.ask("GET k"), bulk("v"));
    assert_eq!(other.ask("CONFIG SET maxmemory 0"), ok());
    assert_eq!(one.ask("SET k w"), ok());
    if !server.is_redis() {
        // Redis takes it, modulo 2^64.
        let absurd = one.error("CONFIG SET maxmemory 99999999999999999999");
        let start = "ERR CONFIG SET failed (possibly related to argument 'maxmemory')";
        assert!(absurd.starts_with(start), "{absurd}");
    }
}

#[test]
fn the_connection_beyond_maxclients_is_told_so_and_closed() {
    let server = start(2, &["--maxclients", "10"]);
    // The one that waited for the start may still be on its way out.
    eventually("ten are taken", || {
        let mut clients: Vec<Client> = (0..10).map(|_| server.client()).collect();
        let all = clients.iter_mut().all(|client| {
            client.try_send(b"PING\r\n").is_ok()
                && matches!(client.try_reply(), Ok(Reply::Simple(_)))
        });
        if all {
            let refused = server.client().read_to_end();
            assert_eq!(
                String::from_utf8_lossy(&refused),
                "-ERR max number of clients reached\r\n"
            );
            clients
                .iter_mut()
                .for_each(|client| assert_eq!(client.text("PING"), "PONG"));
        }
        all
    });
    eventually("their places are free again", || {
        let mut client = server.client();
        client.try_send(b"PING\r\n").is_ok() && matches!(client.try_reply(), Ok(Reply::Simple(_)))
    });
}

#[test]
fn a_client_past_its_output_limit_is_closed_and_no_other() {
    let server = start(2, &["--client-output-buffer-limit", "normal 1mb 0 0"]);
    let mut witness = server.client();
    assert_eq!(witness.command(&["SET", "k", &"x".repeat(512 << 10)]), ok());
    // One command whose reply alone is 64 MB, more than any socket buffer takes.
    let mut glutton = server.client();
    let mut ask = vec!["MGET"];
    ask.resize(129, "k");
    glutton.send(&encode(&ask));
    eventually("the glutton is closed", || {
        witness.info("connected_clients") == "1"
    });
    assert!(glutton.read_to_end().len() < 64 << 20);
    assert_eq!(witness.text("PING"), "PONG");
    assert_eq!(witness.int("STRLEN k"), 512 << 10);
}

#[test]
fn an_idle_client_is_closed_after_the_timeout() {
    let server = start(1, &[]);
    let mut client = server.client();
    assert_eq!(client.ask("CONFIG SET timeout 1"), ok());
    let mut idle = server.client();
    assert_eq!(idle.text("PING"), "PONG");
    assert!(idle.is_closed());
}

#[test]
fn huge_requests_for_numbers_that_cannot_be_are_refused_in_words() {
    let server = start(2, &[]);
    let mut client = server.client();
    assert_eq!(client.ask("SET k 9223372036854775807"), ok());
    assert_eq!(client.ask("SET low -9223372036854775808"), ok());
    let too_long = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    for (line, text) in [
        ("INCR k", "ERR increment or decrement would overflow"),
        ("DECR low", "ERR increment or decrement would overflow"),
        (
            "DECRBY k -9223372036854775808",
            "ERR decrement would overflow",
        ),
        ("SETRANGE k 536870912 x", too_long),
        ("SETRANGE k 9223372036854775807 x", too_long),
        ("SETRANGE k -1 x", "ERR offset is out of range"),
        (
            "INCRBY k 9223372036854775808",
            "ERR value is not an integer or out of range",
        ),
        (
            "EXPIRE k 9223372036854775807",
            "ERR invalid expire time in 'expire' command",
        ),
        (
            "SET k v EX 9223372036854775807",
            "ERR invalid expire time in 'set' command",
        ),
        ("SET k v EX 0", "ERR invalid expire time in 'set' command"),
        (
            "GETRANGE k 0 18446744073709551616",
            "ERR value is not an integer or out of range",
        ),
        ("SCAN 18446744073709551616", "ERR invalid cursor"),
        ("SCAN 0 COUNT 0", "ERR syntax error"),
        (
            "SCAN 0 COUNT 9223372036854775808",
            "ERR value is not an integer or out of range",
        ),
    ] {
        assert_eq!(client.error(line), text, "{line}");
    }
    assert_eq!(client.ask("GET k"), bulk("9223372036854775807"));
    assert_eq!(
        client.ask("GETRANGE k -9223372036854775808 9223372036854775807"),
        bulk("9223372036854775807")
    );
}

#[test]
fn patterns_made_to_explode_end_soon() {
    let server = start(2, &[]);
    let mut client = server.client();
    client.command(&["SET", &"a".repeat(60), "v"]);
    let exponential = "a*".repeat(40) + "b";
    assert_eq!(
        client.command(&["KEYS", &exponential]),
        Reply::Array(Vec::new())
    );
    let deep = "*?".repeat(50_000);
    assert_eq!(client.command(&["KEYS", &deep]), Reply::Array(Vec::new()));
    assert_eq!(client.text("PING"), "PONG");
}
