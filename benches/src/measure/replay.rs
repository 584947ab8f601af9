//! Owns the replay of traces against real servers: hit ratios of each policy under the same room.
//! Never here: a policy, or a figure that a server tells of itself.
//! Source: the traces that `--traces` names; every request asks, and stores what it missed.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use pinyon_trace::{Request, Trace};

use super::{Cores, pinyon};
use crate::options::Options;
use crate::peer::{Peer, Recipe};
use crate::table::Table;

/// Requests sent together; none of them for a key twice, so that each sees what was before it.
const BATCH: usize = 64;
/// What a key costs beside its value, roughly, to size the caches.
const OVERHEAD_BYTES: u64 = 32;
/// Shares of all different keys that fit, in percent, where the command line names none.
const PERCENTS: &[usize] = &[10, 30];

/// A server with a policy.
struct Contender {
    recipe: Recipe,
    policy: &'static str,
    options: &'static [(&'static str, &'static str)],
}

/// Every trace against every contender.
pub fn run(options: &Options) -> io::Result<()> {
    let place = options.traces.as_ref().ok_or_else(|| {
        io::Error::other("--traces names the traces: a file, or a directory of them")
    })?;
    let cores = Cores::of_machine()?;
    let mut table = Table::new(
        "Hit ratios of replayed traces".to_string(),
        &[
            "trace",
            "room",
            "server",
            "policy",
            "shards",
            "objects",
            "bytes",
            "CPU µs a request",
        ],
    );
    for path in pinyon_trace::paths(place)? {
        let trace = Trace::read(&path)?;
        let footprint_bytes = trace.footprint_bytes(OVERHEAD_BYTES);
        for &percent in options.percents.as_deref().unwrap_or(PERCENTS) {
            let room_bytes = footprint_bytes * percent as u64 / 100;
            for contender in contenders(options, &cores) {
                let outcome = replay(&trace, &contender, room_bytes)?;
                let row = row(&trace, percent, room_bytes, &contender, &outcome);
                println!("{}", row.join(" | "));
                table.row(row);
            }
        }
    }
    table.note(
        "Room: maxmemory less what the server uses when it is empty. Every request asks with GET; what is missed is \
         stored with SET, with the value's size and time to live. The first request of each key is a miss.",
    );
    table.publish(&options.out, "replay")
}

fn contenders(options: &Options, cores: &Cores) -> Vec<Contender> {
    let mut contenders = Vec::new();
    for shards in [1, 4, 16] {
        if options.shards.is_some_and(|only| only != shards) {
            continue;
        }
        for settings in [&[("ifs-beta", "100")], &[("ifs-beta", "50")]] {
            contenders.push(Contender {
                recipe: Recipe {
                    shards,
                    ..pinyon(options, cores)
                },
                policy: "allkeys-ifs",
                options: settings,
            });
        }
    }
    if let Some(program) = &options.redis {
        for policy in ["allkeys-lru", "allkeys-lfu"] {
            contenders.push(Contender {
                recipe: Recipe {
                    program: program.clone(),
                    ..pinyon(options, cores)
                },
                policy,
                options: &[],
            });
        }
    }
    contenders
}

/// What a replay came to.
#[derive(Default)]
struct Outcome {
    asked: u64,
    hits: u64,
    asked_bytes: u64,
    hit_bytes: u64,
    cpu_us: f64,
}

fn row(
    trace: &Trace,
    percent: usize,
    room_bytes: u64,
    contender: &Contender,
    outcome: &Outcome,
) -> Vec<String> {
    let settings: Vec<String> = contender
        .options
        .iter()
        .map(|(name, value)| format!(" {name} {value}"))
        .collect();
    let ratio = |part: u64, whole: u64| format!("{:.4}", part as f64 / whole.max(1) as f64);
    vec![
        trace.name.clone(),
        format!("{} MiB ({percent} %)", room_bytes >> 20),
        contender.recipe.name(),
        format!("{}{}", contender.policy, settings.concat()),
        contender.recipe.shards.to_string(),
        ratio(outcome.hits, outcome.asked),
        ratio(outcome.hit_bytes, outcome.asked_bytes),
        format!("{:.2}", outcome.cpu_us),
    ]
}

fn replay(trace: &Trace, contender: &Contender, room_bytes: u64) -> io::Result<Outcome> {
    let peer = Peer::start(&contender.recipe)?;
    let mut client = peer.client()?;
    let empty = client.info("memory", "used_memory")?;
    let empty_bytes: u64 = empty.and_then(|text| text.parse().ok()).unwrap_or(0);
    let limit = (empty_bytes + room_bytes).to_string();
    for (name, value) in contender.options {
        client.demand(&["CONFIG", "SET", name, value])?;
    }
    client.demand(&["CONFIG", "SET", "maxmemory-policy", contender.policy])?;
    client.demand(&["CONFIG", "SET", "maxmemory", &limit])?;
    let mut replayer = Replayer::connect(&peer)?;
    let before = peer.process.usage()?;
    let started = Instant::now();
    let mut batch: Vec<&Request> = Vec::with_capacity(BATCH);
    let mut keys = HashSet::new();
    for request in &trace.requests {
        if batch.len() == BATCH || !keys.insert(request.key) {
            replayer.run(&batch)?;
            batch.clear();
            keys.clear();
            keys.insert(request.key);
        }
        batch.push(request);
    }
    replayer.run(&batch)?;
    let cpu_ns = peer.process.usage()?.since(before).cpu_ns;
    eprintln!(
        "{}: {} requests in {:.0} s",
        trace.name,
        trace.requests.len(),
        started.elapsed().as_secs_f64()
    );
    Ok(Outcome {
        cpu_us: cpu_ns as f64 / 1000.0 / trace.requests.len() as f64,
        ..replayer.outcome
    })
}

/// A connection that asks and stores.
struct Replayer {
    stream: BufReader<TcpStream>,
    sending: Vec<u8>,
    line: String,
    value: Vec<u8>,
    outcome: Outcome,
}

impl Replayer {
    fn connect(peer: &Peer) -> io::Result<Replayer> {
        let stream = TcpStream::connect(peer.address)?;
        stream.set_nodelay(true)?;
        Ok(Replayer {
            stream: BufReader::with_capacity(1 << 20, stream),
            sending: Vec::new(),
            line: String::new(),
            value: Vec::new(),
            outcome: Outcome::default(),
        })
    }

    /// Asks for all of a batch, then stores what was missed and what is stored in any case.
    fn run(&mut self, batch: &[&Request]) -> io::Result<()> {
        self.sending.clear();
        for request in batch.iter().filter(|request| !request.is_set) {
            write!(
                self.sending,
                "*2\r\n$3\r\nGET\r\n$16\r\n{:016x}\r\n",
                request.key
            )?;
        }
        self.stream.get_mut().write_all(&self.sending)?;
        let mut missed = Vec::new();
        for &request in batch {
            if request.is_set {
                missed.push(request);
                continue;
            }
            self.outcome.asked += 1;
            self.outcome.asked_bytes += u64::from(request.bytes);
            if self.is_hit()? {
                self.outcome.hits += 1;
                self.outcome.hit_bytes += u64::from(request.bytes);
            } else {
                missed.push(request);
            }
        }
        self.sending.clear();
        missed.iter().for_each(|request| self.store(request));
        self.stream.get_mut().write_all(&self.sending)?;
        for _ in &missed {
            if self.reply()? != "+OK" {
                return Err(io::Error::other(format!("SET: {}", self.line)));
            }
        }
        Ok(())
    }

    fn store(&mut self, request: &Request) {
        let len = request.bytes as usize;
        if self.value.len() < len {
            self.value.resize(len, b'v');
        }
        let arguments = if request.ttl_s > 0 { 5 } else { 3 };
        let head = format!(
            "*{arguments}\r\n$3\r\nSET\r\n$16\r\n{:016x}\r\n${len}\r\n",
            request.key
        );
        self.sending.extend_from_slice(head.as_bytes());
        self.sending.extend_from_slice(&self.value[..len]);
        self.sending.extend_from_slice(b"\r\n");
        if request.ttl_s > 0 {
            let seconds = request.ttl_s.to_string();
            let tail = format!("$2\r\nEX\r\n${}\r\n{seconds}\r\n", seconds.len());
            self.sending.extend_from_slice(tail.as_bytes());
        }
    }

    fn reply(&mut self) -> io::Result<&str> {
        self.line.clear();
        if self.stream.read_line(&mut self.line)? == 0 {
            return Err(io::Error::other("the server closed the connection"));
        }
        Ok(self.line.trim_end())
    }

    /// Whether GET answered a value, which is read and dropped.
    fn is_hit(&mut self) -> io::Result<bool> {
        let head = self.reply()?;
        let length = head
            .strip_prefix('$')
            .and_then(|text| text.parse::<i64>().ok())
            .ok_or_else(|| io::Error::other(format!("GET: {head}")))?;
        if length < 0 {
            return Ok(false);
        }
        let bytes = length as u64 + 2;
        io::copy(&mut self.stream.by_ref().take(bytes), &mut io::sink())?;
        Ok(true)
    }
}
