//! Ends, panics and many connections: what a server lives through and how it goes.
//! Never lets a stopwatch decide; a bound on time is only there to notice what hangs.
//! Source: the behaviour of redis-server 7.0.15 on signals and SHUTDOWN.

use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use resp::Reply;
use testkit::server::Claim;
use testkit::{Client, encode};

use crate::fixture::{binary, bulk, elements, error, eventually, ok, start, start_ours, text};

/// Ends a server that is under load by whatever `end` does, and checks how it ended.
fn assert_ends_cleanly_under_load(shards: usize, end: impl Fn(&testkit::Server)) {
    let mut server = start(shards, &[]);
    let port = server.port();
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for loader in 0..4 {
            let answered = &answered;
            scope.spawn(move || {
                let mut client = Client::connect(port);
                let pipeline: Vec<u8> = (0..50)
                    .flat_map(|n| {
                        encode(&[
                            "MSET",
                            &format!("{loader}:{n}"),
                            "v",
                            &format!("other:{n}"),
                            "v",
                        ])
                    })
                    .collect();
                while client.try_send(&pipeline).is_ok() {
                    for _ in 0..50 {
                        match client.try_reply() {
                            Ok(reply) => assert_eq!(reply, ok()),
                            // The end of the server is the end of the load.
                            Err(_) => return,
                        }
                    }
                    answered.fetch_add(50, Ordering::Relaxed);
                }
            });
        }
        eventually("the load runs", || answered.load(Ordering::Relaxed) > 2_000);
        end(&server);
        let status = server.wait();
        assert_eq!(status.code(), Some(0), "{status}: {}", server.output());
    });
    eventually("nothing listens any more", || {
        Client::try_connect(port).is_err()
    });
}

#[test]
fn sigterm_ends_the_server_cleanly_under_load() {
    for shards in [1, 4] {
        assert_ends_cleanly_under_load(shards, |server| server.signal("TERM"));
    }
}

#[test]
fn sigint_ends_the_server_cleanly_under_load() {
    assert_ends_cleanly_under_load(2, |server| server.signal("INT"));
}

#[test]
fn shutdown_ends_the_server_cleanly_under_load() {
    assert_ends_cleanly_under_load(2, |server| server.client().send(b"SHUTDOWN NOSAVE\r\n"));
}

#[test]
fn a_server_can_be_started_again_on_its_port_at_once() {
    for signal in ["TERM", "KILL"] {
        let mut server = start(2, &[]);
        let mut clients: Vec<Client> = (0..20).map(|_| server.client()).collect();
        clients
            .iter_mut()
            .for_each(|client| assert_eq!(client.text("PING"), "PONG"));
        server.signal(signal);
        server.start_again();
        assert_eq!(server.client().int("DBSIZE"), 0);
    }
}

#[test]
fn an_idle_server_ends_on_a_signal_with_clients_connected() {
    for signal in ["TERM", "INT"] {
        let mut server = start(2, &[]);
        let mut clients: Vec<Client> = (0..20).map(|_| server.client()).collect();
        clients
            .iter_mut()
            .for_each(|client| assert_eq!(client.text("PING"), "PONG"));
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0));
        assert!(clients.iter_mut().all(Client::is_closed));
    }
}

#[test]
fn a_panic_inside_a_command_is_an_error_for_its_client_and_the_server_lives() {
    for shards in [1, 2] {
        let Some(mut server) = start_ours(shards, &[]) else {
            return;
        };
        let mut witness = server.client();
        let mut client = server.client();
        client.send(b"SET k before\r\nDEBUG PANIC\r\nGET k\r\nSET k after\r\nGET k\r\n");
        assert_eq!(client.reply(), ok());
        assert_eq!(
            client.reply(),
            error("ERR internal error, see the server log")
        );
        assert_eq!(client.reply(), bulk("before"));
        assert_eq!(client.reply(), ok());
        assert_eq!(client.reply(), bulk("after"));
        for _ in 0..20 {
            assert!(matches!(witness.ask("DEBUG PANIC"), Reply::Error(_)));
        }
        for n in 0..50 {
            assert_eq!(witness.ask(&format!("SET k{n} v")), ok());
        }
        assert!(
            server.output().contains("panic"),
            "nothing was logged: {}",
            server.output()
        );
        assert!(server.is_running());
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(0), "it still ends as it should");
    }
}

#[test]
fn a_server_whose_log_cannot_be_written_lives_on_and_ends_cleanly() {
    let claim = Claim::new();
    // Every write to it fails, as on a full disk.
    let full = || {
        File::options()
            .write(true)
            .open("/dev/full")
            .expect("Linux has it")
    };
    let mut server = Command::new(binary())
        .args(["--shards", "2", "--port", &claim.port().to_string()])
        .stdout(full())
        .stderr(full())
        .spawn()
        .expect("the server starts");
    eventually("it listens or has ended", || {
        Client::try_connect(claim.port()).is_ok() || !matches!(server.try_wait(), Ok(None))
    });
    let mut ask = |request: &[u8]| {
        let mut client = Client::try_connect(claim.port()).ok()?;
        client.try_send(request).ok()?;
        client.try_reply().ok()
    };
    let replies = [
        &b"DEBUG LOG line\r\n"[..],
        b"DEBUG PANIC\r\n",
        b"SHUTDOWN\r\n",
    ]
    .map(&mut ask);
    let status = server.wait().expect("it was started");
    assert_eq!(replies[0], Some(ok()));
    assert!(
        matches!(&replies[1], Some(Reply::Error(text)) if text.starts_with(b"ERR internal error"))
    );
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_server_whose_log_nobody_reads_answers_on_and_says_later_what_was_lost() {
    let claim = Claim::new();
    let mut server = Command::new(binary())
        .args(["--shards", "2", "--port", &claim.port().to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let mut log = server.stderr.take().expect("it is piped");
    eventually("it listens", || Client::try_connect(claim.port()).is_ok());
    let mut client = Client::try_connect(claim.port()).expect("it listens");
    // A pipe holds 64 KiB.
    let request = format!("DEBUG LOG {}\r\n", "x".repeat(1_000));
    for _ in 0..200 {
        client.send(request.as_bytes());
        assert_eq!(client.reply(), ok());
    }
    let mut read = vec![0; 64 << 10];
    let count = log.read(&mut read).expect("something was written");
    client.send(b"DEBUG LOG last\r\nSHUTDOWN\r\n");
    assert_eq!(client.reply(), ok());
    let mut rest = String::new();
    log.read_to_string(&mut rest).expect("it is text");
    assert_eq!(server.wait().expect("it was started").code(), Some(0));
    let written = String::from_utf8_lossy(&read[..count]).into_owned() + &rest;
    let whole = written.matches("xx\n").count();
    let line = written.lines().find(|line| line.ends_with(" last"));
    let (_, lost) = line
        .and_then(|line| line.split_once('('))
        .expect("it tells");
    let lost: usize = lost
        .split(' ')
        .next()
        .and_then(|lost| lost.parse().ok())
        .expect("how many");
    assert_eq!(whole + lost, 200, "{line:?}");
}

/// Lets this process and its children have this many files open.
fn allow_open_files(needed: u64) {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("Linux has it");
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .expect("Linux names it");
    let soft = line
        .split_ascii_whitespace()
        .nth(3)
        .expect("a number or a word");
    if soft.parse::<u64>().is_ok_and(|soft| soft < needed) {
        let status = Command::new("prlimit")
            .args([
                "--pid",
                &std::process::id().to_string(),
                &format!("--nofile={needed}:"),
            ])
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "{needed} open files are not allowed"
        );
    }
}

#[test]
fn a_thousand_idle_connections_are_cheap_and_go_without_a_trace() {
    const CONNECTIONS: u64 = 1_000;
    const BYTES_EACH_MAX: u64 = 8 << 10;
    allow_open_files(4 * CONNECTIONS);
    let Some(server) = start_ours(2, &[]) else {
        return;
    };
    let mut witness = server.client();
    let used = |witness: &mut Client| {
        witness
            .info("used_memory")
            .parse::<i64>()
            .expect("a number")
    };
    let (resident_before, used_before) = (server.resident_bytes(), used(&mut witness));
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| server.client()).collect();
    for client in &mut clients {
        assert_eq!(client.text("PING"), "PONG");
    }
    assert_eq!(
        witness.info("connected_clients"),
        (CONNECTIONS + 1).to_string()
    );
    let resident = server.resident_bytes().saturating_sub(resident_before);
    assert!(
        resident < CONNECTIONS * BYTES_EACH_MAX + (2 << 20),
        "{CONNECTIONS} connections cost {resident} bytes"
    );
    // A wait of fixed length only makes the measured figure smaller on a slow machine.
    let cpu_before = server.cpu_ms();
    std::thread::sleep(std::time::Duration::from_secs(2));
    let cpu_ms = server.cpu_ms() - cpu_before;
    assert!(
        cpu_ms < 200,
        "an idle server used {cpu_ms} ms of processor time in two seconds"
    );
    drop(clients);
    eventually("all are gone", || witness.info("connected_clients") == "1");
    let kept = used(&mut witness) - used_before;
    assert!(
        kept < 1 << 20,
        "{kept} bytes are still used for connections that are gone"
    );
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    let server = start(2, &[]);
    let mut witness = server.client();
    let used = |witness: &mut Client| {
        witness
            .info("used_memory")
            .parse::<i64>()
            .expect("a number")
    };
    let churn = |rounds: usize| {
        for _ in 0..rounds {
            let mut client = server.client();
            assert_eq!(client.command(&["SET", "k", &"x".repeat(2_000)]), ok());
        }
    };
    churn(200);
    eventually("all are gone", || witness.info("connected_clients") == "1");
    let before = used(&mut witness);
    churn(1_000);
    eventually("all are gone", || witness.info("connected_clients") == "1");
    let grown = used(&mut witness) - before;
    assert!(
        grown < 256 << 10,
        "a thousand connections left {grown} bytes"
    );
    let received: u64 = witness
        .info("total_connections_received")
        .parse()
        .expect("a number");
    assert!(received >= 1_201);
}

#[test]
fn clients_of_all_shards_are_listed_and_can_be_killed_from_any() {
    let server = start(4, &[]);
    let mut clients: Vec<Client> = (0..12).map(|_| server.client()).collect();
    let mut ids = Vec::new();
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.ask(&format!("CLIENT SETNAME client{n}")), ok());
        ids.push(client.int("CLIENT ID"));
    }
    let mut distinct = ids.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 12, "two clients have one number: {ids:?}");
    let list = clients[0].text("CLIENT LIST");
    for (n, id) in ids.iter().enumerate() {
        let line = list
            .lines()
            .find(|line| line.starts_with(&format!("id={id} ")))
            .expect("it is listed");
        assert!(line.contains(&format!(" name=client{n} ")), "{line}");
    }
    for (n, id) in ids.iter().enumerate().skip(1) {
        assert_eq!(clients[0].int(&format!("CLIENT KILL ID {id}")), 1);
        assert!(clients[n].is_closed());
    }
    assert_eq!(clients[0].int("CLIENT KILL ID 99999"), 0);
    assert_eq!(
        clients[0].error("CLIENT KILL 1.2.3.4:5"),
        "ERR No such client"
    );
    eventually("one is left", || {
        clients[0].text("CLIENT LIST").lines().count() == 1
    });
    assert_eq!(clients[0].text("CLIENT GETNAME"), "client0");
}

#[test]
fn who_kills_itself_hears_of_it_and_nothing_that_it_asked_afterwards_runs() {
    for shards in [1, 2, 4] {
        let server = start(shards, &[]);
        let mut others: Vec<Client> = (0..5).map(|_| server.client()).collect();
        others.iter_mut().for_each(|other| drop(other.ask("PING")));
        let mut client = server.client();
        let mut bytes = encode(&["SET", "k", "before"]);
        bytes.extend(encode(&["CLIENT", "KILL", "SKIPME", "no"]));
        bytes.extend(encode(&["SET", "k", "after"]));
        client.send(&bytes);
        let heard = client.read_to_end();
        assert_eq!(
            String::from_utf8_lossy(&heard),
            "+OK\r\n:6\r\n",
            "{shards} shards"
        );
        assert!(others.iter_mut().all(Client::is_closed));
        assert_eq!(server.client().text("GET k"), "before");
    }
}

#[test]
fn unknown_things_that_newer_clients_try_get_an_error_and_no_close() {
    let server = start(2, &[]);
    let mut client = server.client();
    for line in [
        "CLIENT MAINT_NOTIFICATIONS on",
        "CLIENT NOSUCH",
        "COMMAND NOSUCH",
        "HELLO 9",
        "NOSUCH x y",
    ] {
        assert!(matches!(client.ask(line), Reply::Error(_)), "{line}");
    }
    assert_eq!(client.text("PING"), "PONG");
}

#[test]
fn info_and_command_tell_clients_what_they_ask_at_the_start() {
    let server = start(2, &[]);
    let mut client = server.client();
    for field in [
        "redis_version",
        "redis_mode",
        "role",
        "loading",
        "uptime_in_seconds",
        "tcp_port",
        "used_memory",
        "maxmemory",
    ] {
        assert!(!client.info(field).is_empty(), "{field}");
    }
    assert_eq!(client.info("redis_mode"), "standalone");
    assert_eq!(client.info("role"), "master");
    assert_eq!(client.info("loading"), "0");
    let count = client.int("COMMAND COUNT");
    let rows = elements(client.ask("COMMAND"));
    assert_eq!(rows.len() as i64, count);
    let keys = elements(client.ask("COMMAND GETKEYS MSET a 1 b 2"));
    assert_eq!(keys.iter().map(text).collect::<Vec<_>>(), ["a", "b"]);
}
