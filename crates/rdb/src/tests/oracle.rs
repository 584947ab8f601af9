//! Compares with redis-server 7.0: what it dumps is read as what it holds, and what we write it restores.
//! Never a difference that is not explained here.
//! Source: redis-server 7, from `$REDIS_SERVER` or the path.
//!
//! The harness that other crates share depends on this one, so a small one is here.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use resp::Reply;
use store::{Content, StreamContent};

use super::generate::Generator;
use super::mutation::mutate;
use super::older::older_bodies;
use super::{NOW, body, ordered, payload};
use crate::{Error, decode, encode, kind, stream_encode};

/// How long a start may take before the process counts as hung.
const PATIENCE: Duration = Duration::from_secs(30);

/// A redis-server on a socket of its own.
struct Redis {
    child: Child,
    socket: PathBuf,
    stream: UnixStream,
    unread: Vec<u8>,
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl Redis {
    /// Starts one, or says why not: there is none, which `PINYON_REQUIRE_ORACLE=1` forbids.
    fn start(test: &str) -> Option<Redis> {
        let program = std::env::var_os("REDIS_SERVER").unwrap_or("redis-server".into());
        let name = format!("rdb-{}-{test}.sock", std::process::id());
        let socket = std::env::temp_dir().join(name);
        let started = Command::new(program)
            .args([
                "--port",
                "0",
                "--save",
                "",
                "--sanitize-dump-payload",
                "yes",
            ])
            .args(["--enable-debug-command", "yes", "--unixsocket"])
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn();
        let Ok(child) = started else {
            let is_required = std::env::var_os("PINYON_REQUIRE_ORACLE").is_some_and(|v| v == "1");
            assert!(!is_required, "{test}: there is no redis-server");
            let note =
                format!("SKIPPED {test}: no redis-server in the path and no $REDIS_SERVER\n");
            let _ = std::io::stderr().write_all(note.as_bytes());
            return None;
        };
        let start = Instant::now();
        let stream = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(error) => assert!(start.elapsed() < PATIENCE, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        Some(Redis {
            child,
            socket,
            stream,
            unread: Vec::new(),
        })
    }

    fn run(&mut self, words: &[&[u8]]) -> Reply {
        let mut command = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            command.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            command.extend_from_slice(word);
            command.extend_from_slice(b"\r\n");
        }
        self.stream.write_all(&command).expect("redis-server lives");
        loop {
            if let Some((reply, taken)) = Reply::parse(&self.unread).expect("a reply") {
                self.unread.drain(..taken);
                return reply;
            }
            let mut buffer = [0; 1 << 16];
            let read = self.stream.read(&mut buffer).expect("redis-server lives");
            assert!(read > 0, "redis-server ended");
            self.unread.extend_from_slice(&buffer[..read]);
        }
    }

    fn ask(&mut self, line: &str) -> Reply {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        self.run(&words)
    }

    /// Restores a payload under a key, whatever was there.
    fn restore(&mut self, payload: &[u8]) -> Reply {
        self.run(&[b"restore", b"k", b"0", payload, b"replace"])
    }

    fn dump(&mut self) -> Vec<u8> {
        match self.ask("dump k") {
            Reply::Bulk(payload) => payload,
            other => panic!("{other:?}"),
        }
    }

    /// Makes the value by the commands of its type.
    fn build(&mut self, content: &Content) {
        self.ask("del k");
        let mut words: Vec<Vec<u8>> = Vec::new();
        match content {
            Content::String(text) => words.extend([b"set".to_vec(), b"k".to_vec(), text.clone()]),
            Content::List(texts) => {
                words.extend([b"rpush".to_vec(), b"k".to_vec()]);
                words.extend(texts.iter().map(<[u8]>::to_vec));
            }
            Content::Set(texts) => {
                words.extend([b"sadd".to_vec(), b"k".to_vec()]);
                words.extend(texts.iter().map(<[u8]>::to_vec));
            }
            Content::Hash { pairs, .. } => {
                words.extend([b"hset".to_vec(), b"k".to_vec()]);
                words.extend(pairs.iter().map(<[u8]>::to_vec));
            }
            Content::Zset { members, scores } => {
                words.extend([b"zadd".to_vec(), b"k".to_vec()]);
                for (member, score) in members.iter().zip(scores) {
                    words.extend([score.to_string().into_bytes(), member.to_vec()]);
                }
            }
            Content::Stream(stream) => return self.build_stream(stream),
        }
        let words: Vec<&[u8]> = words.iter().map(|word| &word[..]).collect();
        let reply = self.run(&words);
        assert!(!matches!(reply, Reply::Error(_)), "{reply:?}");
    }

    fn build_stream(&mut self, stream: &StreamContent) {
        for (id, pairs) in &stream.entries {
            let id = format!("{}-{}", id.ms, id.seq);
            let mut words: Vec<&[u8]> = vec![b"xadd", b"k", id.as_bytes()];
            words.extend(pairs.iter());
            let reply = self.run(&words);
            assert!(matches!(reply, Reply::Bulk(_)), "{reply:?}");
        }
        for (index, group) in stream.groups.iter().enumerate() {
            self.run(&[b"xgroup", b"create", b"k", &group.name, b"0", b"mkstream"]);
            for consumer in &group.consumers {
                let read: [&[u8]; 9] = [
                    b"xreadgroup",
                    b"group",
                    &group.name,
                    &consumer.name,
                    b"count",
                    b"2",
                    b"streams",
                    b"k",
                    b">",
                ];
                self.run(&read);
            }
            if index == 1 {
                let first = stream
                    .entries
                    .first()
                    .map_or("1-1".into(), |(id, _)| format!("{}-{}", id.ms, id.seq));
                self.run(&[b"xdel", b"k", first.as_bytes()]);
            }
        }
    }

    /// Everything that can be seen of the value.
    fn seen(&mut self) -> Vec<Reply> {
        let Reply::Simple(kind) = self.ask("type k") else {
            panic!("no type")
        };
        let kind = String::from_utf8(kind).expect("a type is a word");
        let lines: &[&str] = match &kind[..] {
            "string" => &["get k"],
            "list" => &["lrange k 0 -1"],
            "set" => &["sort k by nosort alpha"],
            "hash" => &["hgetall k"],
            "zset" => &["zrange k 0 -1 withscores"],
            "stream" => &["xrange k - +", "xinfo stream k full count 0"],
            other => panic!("{other}"),
        };
        let mut seen: Vec<Reply> = lines.iter().map(|line| self.ask(line)).collect();
        match &mut seen[..] {
            [Reply::Array(texts)] if kind == "set" => texts.sort_by_key(|t| format!("{t:?}")),
            [Reply::Array(texts)] if kind == "hash" => {
                let mut pairs: Vec<_> = texts.chunks(2).map(<[Reply]>::to_vec).collect();
                pairs.sort_by_key(|pair| format!("{pair:?}"));
                *texts = pairs.concat();
            }
            [_, Reply::Array(info)] if kind == "stream" => {
                // How many nodes its tree has is its own affair.
                let is_tree = |name: &Reply| matches!(name, Reply::Bulk(name) if name.starts_with(b"radix-tree"));
                let pairs: Vec<_> = info.chunks(2).filter(|pair| !is_tree(&pair[0])).collect();
                *info = pairs.concat();
            }
            _ => {}
        }
        seen
    }
}

/// What redis-server 7.0 knows of a content: no field expiries, nor when a consumer was active.
fn known_to_7_0(content: Content) -> Content {
    match content {
        Content::Hash { pairs, .. } => Content::Hash {
            pairs,
            expiries: Vec::new(),
        },
        Content::Stream(mut stream) => {
            for group in &mut stream.groups {
                for consumer in &mut group.consumers {
                    consumer.active = Some(consumer.seen);
                }
            }
            Content::Stream(stream)
        }
        content => content,
    }
}

/// Our payload in the version and the layouts of 7.0.
fn encode_for_7_0(content: &Content) -> Vec<u8> {
    match content {
        Content::Stream(stream) => {
            let mut body = vec![kind::STREAM_LISTPACKS_2];
            stream_encode::stream(stream, kind::STREAM_LISTPACKS_2, &mut body);
            payload(&body)
        }
        content => payload(body(&encode(content))),
    }
}

const COMPACT: &[&str] = &["config set list-max-listpack-size -2"];
const LARGE: &[&str] = &[
    "config set hash-max-listpack-entries 0",
    "config set zset-max-listpack-entries 0",
    "config set set-max-intset-entries 0",
    "config set list-max-listpack-size 3",
    "config set stream-node-max-entries 3",
    "config set rdbcompression no",
    "debug quicklist-packed-threshold 100b",
];

#[test]
fn what_redis_dumps_is_what_it_was_made_of() {
    let Some(mut redis) = Redis::start("dump") else {
        return;
    };
    let mut generator = Generator::new(11);
    for settings in [COMPACT, LARGE] {
        for line in settings {
            assert_eq!(redis.ask(line), Reply::Simple(b"OK".to_vec()), "{line}");
        }
        for round in 0..800 {
            let content = known_to_7_0(generator.content());
            redis.build(&content);
            if redis.ask("exists k") == Reply::Int(0) {
                continue;
            }
            let read =
                decode(&redis.dump(), NOW).unwrap_or_else(|error| panic!("{round}: {error}"));
            if !matches!(content, Content::Stream(_)) {
                assert_eq!(ordered(read), ordered(content), "round {round}");
                continue;
            }
            // Its times and counters are its own: what we read must be the same to it.
            let before = redis.seen();
            let reply = redis.restore(&encode_for_7_0(&read));
            assert_eq!(reply, Reply::Simple(b"OK".to_vec()), "round {round}");
            assert_eq!(redis.seen(), before, "round {round}");
            assert_eq!(decode(&redis.dump(), NOW), Ok(read), "round {round}");
        }
    }
}

#[test]
fn what_we_write_redis_restores() {
    let Some(mut redis) = Redis::start("restore") else {
        return;
    };
    let mut generator = Generator::new(12);
    for settings in [COMPACT, LARGE] {
        for line in settings {
            redis.ask(line);
        }
        for round in 0..800 {
            let content = known_to_7_0(generator.content());
            let reply = redis.restore(&encode_for_7_0(&content));
            assert_eq!(
                reply,
                Reply::Simple(b"OK".to_vec()),
                "round {round}: {content:?}"
            );
            let restored = redis.seen();
            assert_eq!(
                decode(&redis.dump(), NOW).map(ordered),
                Ok(ordered(content.clone())),
                "round {round}"
            );
            if !matches!(content, Content::Stream(_)) {
                redis.build(&content);
                assert_eq!(redis.seen(), restored, "round {round}");
            }
        }
    }
}

#[test]
fn the_older_layouts_mean_to_redis_what_they_mean_to_us() {
    let Some(mut redis) = Redis::start("older") else {
        return;
    };
    for (name, body) in older_bodies() {
        let payload = payload(&body);
        let reply = redis.restore(&payload);
        if reply == Reply::Error(b"ERR Bad data format".to_vec()) && body[0] >= kind::SET_LISTPACK {
            continue; // Newer than 7.0.
        }
        assert_eq!(reply, Reply::Simple(b"OK".to_vec()), "{name}");
        let ours = decode(&payload, NOW).map(ordered);
        assert_eq!(decode(&redis.dump(), NOW).map(ordered), ours, "{name}");
        assert!(ours.is_ok(), "{name}");
    }
}

#[test]
fn the_footer_is_held_against_the_body_as_redis_does() {
    let Some(mut redis) = Redis::start("footer") else {
        return;
    };
    let refused = Reply::Error(b"ERR DUMP payload version or checksum are wrong".to_vec());
    let sound = payload(&[kind::STRING, 1, b'x']);
    assert_eq!(redis.restore(&sound), Reply::Simple(b"OK".to_vec()));
    let mut unchecked = sound.clone();
    let checksum = unchecked.len() - 8;
    unchecked[checksum..].fill(0);
    assert_eq!(redis.restore(&unchecked), refused);
    assert_eq!(decode(&unchecked, NOW), Err(Error::Checksum));
    for short in 0..10 {
        assert_eq!(redis.restore(&sound[..short]), refused);
        assert_eq!(decode(&sound[..short], NOW), Err(Error::Version));
    }
    let oldest = super::payload_of(&[kind::STRING, 1, b'x'], 0);
    assert_eq!(redis.restore(&oldest), Reply::Simple(b"OK".to_vec()));
    assert!(decode(&oldest, NOW).is_ok());
}

#[test]
fn a_damaged_payload_that_we_accept_redis_accepts_as_the_same() {
    let Some(mut redis) = Redis::start("damaged") else {
        return;
    };
    let mut generator = Generator::new(13);
    let mut bodies: Vec<Vec<u8>> = older_bodies().into_iter().map(|(_, body)| body).collect();
    for _ in 0..300 {
        let content = known_to_7_0(generator.content());
        bodies.push(body(&encode_for_7_0(&content)).to_vec());
    }
    bodies.retain(|body| body[0] < kind::SET_LISTPACK && body.len() < 3000);
    let mut accepted = 0;
    for round in 0..20_000 {
        let sound = &bodies[generator.below(bodies.len())];
        let damaged = mutate(sound, &bodies, &mut generator);
        let damaged = payload(&damaged);
        let Ok(ours) = decode(&damaged, NOW) else {
            continue;
        };
        if damaged[0] >= kind::SET_LISTPACK {
            continue;
        }
        accepted += 1;
        let reply = redis.restore(&damaged);
        assert_eq!(
            reply,
            Reply::Simple(b"OK".to_vec()),
            "round {round}: {ours:?}"
        );
        let theirs = decode(&redis.dump(), NOW);
        assert_eq!(theirs.map(ordered), Ok(ordered(ours)), "round {round}");
    }
    assert!(accepted > 1000, "{accepted}");
}
