//! The port of metrics as HTTP: whoever connects there gets an answer, and can do no harm.
//! Never judges the figures; `metrics` does.
//! Source: RFC 9112.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use resp::Reply;
use serde_json::Value;
use testkit::Server;
use testkit::server::Claim;

use crate::fixture::{binary, bulk, error, eventually, start_ours};

/// A server with a port for metrics.
pub struct Watched {
    pub server: Server,
    claim: Claim,
}

impl Watched {
    pub fn start(shards: usize, options: &[&str]) -> Option<Watched> {
        let claim = Claim::new();
        let port = claim.port().to_string();
        let all = [&["--metrics-port", &port], options].concat();
        let server = start_ours(shards, &all)?;
        Some(Watched { server, claim })
    }

    pub fn port(&self) -> u16 {
        self.claim.port()
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port())).expect("it listens");
        let patience = Some(Duration::from_secs(30));
        stream.set_read_timeout(patience).expect("a socket");
        stream
    }

    /// Everything that comes back for these bytes, until the server closes.
    pub fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).expect("it reads");
        stream.shutdown(Shutdown::Write).expect("it is open");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers");
        String::from_utf8(answer).expect("what is served is text")
    }

    pub fn get_with(&self, path: &str, headers: &str) -> Page {
        let request = format!("GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        Page::of(&self.exchange(request.as_bytes()))
    }

    pub fn get(&self, path: &str) -> Page {
        self.get_with(path, "")
    }

    pub fn json(&self, path: &str) -> Value {
        let page = self.get(path);
        assert_eq!(page.status, 200, "{path}");
        serde_json::from_str(&page.body)
            .unwrap_or_else(|why| panic!("{path}: {why}: {}", page.body))
    }
}

/// An answer, its head in lower case.
pub struct Page {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Page {
    pub fn of(answer: &str) -> Page {
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head ends");
        let status = head.split(' ').nth(1).expect("a status line").parse();
        Page {
            status: status.expect("a status is a number"),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }
}

#[test]
fn a_request_that_is_none_is_refused_and_the_connection_closed() {
    let Some(watched) = Watched::start(1, &[]) else {
        return;
    };
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(20_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(100));
    for (request, status) in [
        ("GET /nothing HTTP/1.1\r\nConnection: close\r\n\r\n", 404),
        (
            "GET /api/flushall HTTP/1.1\r\nConnection: close\r\n\r\n",
            404,
        ),
        (
            "GET /api/topkeys?count=x HTTP/1.1\r\nConnection: close\r\n\r\n",
            400,
        ),
        ("POST /metrics HTTP/1.1\r\n\r\n", 405),
        (
            "POST /metrics HTTP/1.1\r\nContent-Length: 9\r\n\r\nFLUSHALL\r",
            405,
        ),
        ("FLUSHALL\r\n", 400),
        ("*1\r\n$8\r\nFLUSHALL\r\n", 400),
        (
            "GET / HTTP/1.1\r\nContent-Length: 10\r\n\r\nFLUSHALL\r\n",
            400,
        ),
        ("\0\0\0", 400),
        (&long, 431),
        (&many, 431),
    ] {
        let page = Page::of(&watched.exchange(request.as_bytes()));
        assert_eq!(page.status, status, "{request:.60}");
        assert!(page.head.contains("connection: close"), "{request:.60}");
    }
    let stats = watched.server.client().text("INFO commandstats");
    assert!(!stats.contains("flushall"), "{stats}");
}

#[test]
fn the_second_half_of_a_request_may_come_later() {
    let Some(watched) = Watched::start(2, &[]) else {
        return;
    };
    let mut stream = watched.connect();
    for piece in [
        "GET /api/sha",
        "rds HTTP/1.1\r\nConnection",
        ": close\r\n",
        "\r\n",
    ] {
        stream.write_all(piece.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let rows: Value = serde_json::from_str(&Page::of(&answer).body).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 2);
}

#[test]
fn requests_of_one_connection_are_answered_in_order() {
    for shards in [1, 2] {
        let Some(watched) = Watched::start(shards, &[]) else {
            return;
        };
        let paths = [
            "/api/types",
            "/nothing",
            "/api/shards",
            "/",
            "/metrics",
            "/api/topkeys",
        ];
        let mut bytes = String::new();
        for path in paths.iter().cycle().take(60) {
            bytes.push_str(&format!("GET {path} HTTP/1.1\r\n\r\n"));
        }
        bytes.push_str(
            "HEAD /metrics HTTP/1.1\r\nConnection: close\r\n\r\nGET /never HTTP/1.1\r\n\r\n",
        );
        let answer = watched.exchange(bytes.as_bytes());
        let statuses: Vec<&str> = answer
            .split("HTTP/1.1 ")
            .skip(1)
            .map(|rest| &rest[..3])
            .collect();
        let expected = ["200", "404", "200", "200", "200", "200"];
        assert_eq!(statuses.len(), 61);
        assert!(
            statuses
                .iter()
                .zip(expected.iter().cycle().take(60))
                .all(|(one, other)| one == other)
        );
        assert!(
            answer.ends_with("\r\n\r\n"),
            "a HEAD has no body, and nothing follows it"
        );
        let kinds: Vec<&str> = answer
            .split("Content-Type: ")
            .skip(1)
            .map(|rest| &rest[..8])
            .collect();
        assert_eq!(kinds[3..6], ["text/htm", "text/pla", "applicat"]);
    }
}

#[test]
fn one_who_never_reads_is_bounded_and_hurts_nobody() {
    let Some(watched) = Watched::start(2, &[]) else {
        return;
    };
    let mut greedy = watched.connect();
    let request = "GET / HTTP/1.1\r\n\r\n".repeat(1000);
    greedy
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    for _ in 0..30 {
        if greedy.write_all(request.as_bytes()).is_err() {
            break;
        }
    }
    let mut client = watched.server.client();
    assert_eq!(client.text("PING"), "PONG");
    assert_eq!(watched.get("/api/types").status, 200);
    let bytes: u64 = client.info("mem_clients_normal").parse().unwrap();
    assert!(bytes < 2 << 20, "{bytes} bytes for one that does not read");
    // One that begins to read gets everything in order.
    let mut answer = vec![0; 1 << 20];
    greedy.read_exact(&mut answer).expect("it goes on");
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    drop(greedy);
    eventually("its buffers are free", || {
        client.info("mem_clients_normal").parse::<u64>().unwrap() < 300_000
    });
}

#[test]
fn those_who_vanish_leave_nothing() {
    let Some(watched) = Watched::start(2, &[]) else {
        return;
    };
    let mut client = watched.server.client();
    for round in 0..200 {
        let mut stream = watched.connect();
        let request = ["GET /api/overview HTTP/1.1\r\n\r\n", "GET /metr", ""][round % 3];
        stream.write_all(request.as_bytes()).unwrap();
    }
    eventually("only the client is left", || {
        client.info("connected_clients") == "1"
    });
    assert_eq!(watched.get("/").status, 200);
}

#[test]
fn silent_connections_never_keep_a_scraper_out() {
    let Some(watched) = Watched::start(1, &["--maxclients", "10"]) else {
        return;
    };
    let silent: Vec<TcpStream> = (0..150).map(|_| watched.connect()).collect();
    assert_eq!(watched.get("/metrics").status, 200);
    let clients: u64 = watched
        .server
        .client()
        .info("connected_clients")
        .parse()
        .unwrap();
    assert!(clients <= 65, "{clients} clients");
    drop(silent);
}

#[test]
fn a_password_or_too_many_clients_do_not_close_metrics() {
    let Some(watched) = Watched::start(2, &[]) else {
        return;
    };
    let mut client = watched.server.client();
    assert_eq!(
        client.text("CONFIG SET requirepass secret maxclients 1"),
        "OK"
    );
    let mut refused = watched.server.client();
    assert_eq!(
        refused.try_reply().unwrap(),
        error("ERR max number of clients reached")
    );
    let metrics = watched.get("/metrics").body;
    assert!(metrics.contains("\nredis_rejected_connections_total 1\n"));
    assert!(!watched.get("/api/overview").body.contains("secret"));
}

#[test]
fn a_connection_there_is_a_client_that_can_be_seen_and_killed() {
    let Some(watched) = Watched::start(1, &[]) else {
        return;
    };
    let mut stream = watched.connect();
    stream
        .write_all(b"GET /api/types HTTP/1.1\r\n\r\n")
        .unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();
    let mut client = watched.server.client();
    let list = client.text("CLIENT LIST");
    let line = list
        .lines()
        .find(|line| line.contains("name=metrics"))
        .expect("it is listed");
    assert!(line.contains("cmd=memory|types"), "{line}");
    let id = line.split(' ').next().unwrap().strip_prefix("id=").unwrap();
    assert_eq!(client.int(&format!("CLIENT KILL ID {id}")), 1);
    let mut rest = Vec::new();
    // Reset or ended: it is gone.
    let _ = stream.read_to_end(&mut rest);
    assert_eq!(client.info("connected_clients"), "1");
}

#[test]
fn the_page_lets_nothing_run_but_its_own_script() {
    let Some(watched) = Watched::start(1, &[]) else {
        return;
    };
    let page = watched.get("/");
    assert!(page.head.contains("content-type: text/html; charset=utf-8"));
    assert!(page.head.contains("cache-control: no-store"));
    assert!(
        page.head
            .contains("content-security-policy: default-src 'none'; script-src 'nonce-")
    );
    assert!(page.body.len() < 60_000);
}

#[test]
fn a_name_that_is_not_listed_shows_nothing_whoever_owns_it() {
    let Some(watched) = Watched::start(2, &["--metrics-hosts", "first.example", "second"]) else {
        return;
    };
    let mut client = watched.server.client();
    client.ask("SET secret:name value");
    let port = watched.port();
    let to = |host: &str, path: &str| watched.get_with(path, &format!("Host: {host}\r\n"));
    for path in ["/", "/metrics", "/api/overview", "/api/topkeys"] {
        for host in [
            "evil.example",
            &format!("evil.example:{port}"),
            "127.0.0.1.evil.example",
        ] {
            let page = to(host, path);
            assert_eq!(page.status, 403, "{host}{path}");
            assert!(!page.body.contains("secret") && page.body.contains("metrics-hosts"));
        }
        for host in [
            &format!("127.0.0.1:{port}"),
            &format!("localhost:{port}"),
            "[::1]",
            "first.example",
            &format!("SECOND:{port}"),
        ] {
            assert_eq!(to(host, path).status, 200, "{host}{path}");
        }
        // No browser leaves it out.
        assert_eq!(watched.get(path).status, 200);
        let old = format!("GET {path} HTTP/1.0\r\n\r\n");
        assert_eq!(Page::of(&watched.exchange(old.as_bytes())).status, 200);
    }
    let two = "Host: localhost\r\nHost: evil.example\r\n";
    assert_eq!(watched.get_with("/metrics", two).status, 400);
    assert_eq!(
        to("[::1]", "/api/topkeys").body.matches("secret").count(),
        1
    );
    client.ask("CONFIG SET metrics-hosts evil.example");
    assert_eq!(to("evil.example", "/metrics").status, 200);
    assert_eq!(to("first.example", "/metrics").status, 403);
    client.ask("CONFIG SET metrics-hosts *");
    assert_eq!(to("any.example", "/metrics").status, 200);
}

#[test]
fn the_port_is_off_by_default_and_fixed_at_the_start() {
    let Some(server) = start_ours(1, &[]) else {
        return;
    };
    let mut client = server.client();
    let none = Reply::Array(vec![bulk("metrics-port"), bulk("0")]);
    assert_eq!(client.ask("CONFIG GET metrics-port"), none);
    assert_eq!(
        client.error("CONFIG SET metrics-port 9121"),
        "ERR CONFIG SET failed (possibly related to argument 'metrics-port') - can't set immutable config"
    );
    let claim = Claim::new();
    let port = claim.port().to_string();
    let same = Server::refused(binary(), &["--port", &port, "--metrics-port", &port]);
    assert!(String::from_utf8_lossy(&same.stderr).contains("'metrics-port'"));
    let _taken = std::net::TcpListener::bind(("127.0.0.1", claim.port())).unwrap();
    let taken = Server::refused(binary(), &["--port", "0", "--metrics-port", &port]);
    assert!(String::from_utf8_lossy(&taken.stderr).contains("cannot listen"));
}
