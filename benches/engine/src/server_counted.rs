//! Owns the count of a whole server's instructions: SETs of new keys over a socket, prefixes counted and not.
//! Never here: the kernel's instructions, or time; callgrind sees what the server itself executes.
//! Source: valgrind's manual on callgrind_control, which zeroes the counts and dumps them while a program runs.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::callgrind::{instructions, named};
use crate::commands_asked::{push, value};
use crate::shapes_asked::{SHAPES, Shape};
use crate::table::Table;

/// The shapes that are measured, by their names in the table of all.
const MEASURED: [&str; 5] = [
    "user:00000000042",
    "8 prefixes in turn",
    "64 prefixes in turn",
    "basket:<uuid>:items",
    "article:<name>:views",
];
/// Commands that a client sends before it waits for replies.
const DEPTHS: [usize; 2] = [1, 16];
/// SETs that are counted at once.
const COUNT: usize = 4_000;
/// Keys of a shape that come before it is measured, so that its accounts are there.
const KNOWN: usize = 1_000;
/// Keys that are there before anything is measured.
const OTHERS: usize = 100_000;
/// So often everything is measured. The least is told: what a server does by the clock comes on top, and more of
/// it the slower the machine is.
const ROUNDS: usize = 2;
const FILL_DEPTH: usize = 500;
/// Keys that are larger than all others and stay, so that no walk looks for the biggest ones when others go.
const LARGE: usize = 500;

/// A server under callgrind, and a connection to it.
struct Server {
    process: Child,
    replies: BufReader<TcpStream>,
    dumps_dir: PathBuf,
    dumps: usize,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It keeps nothing; it is ours, and may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn start(path: &Path, dumps_dir: PathBuf, options: &[String]) -> io::Result<Server> {
        let _ = fs::remove_dir_all(&dumps_dir);
        fs::create_dir_all(&dumps_dir)?;
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = free.local_addr()?;
        drop(free);
        // Moving entries together is work by the clock, which no command pays.
        let words = "--shards 1 --maxmemory 0 --activedefrag no".split(' ');
        let options = options.chunks_exact(2);
        let options = options.flat_map(|pair| [format!("--{}", pair[0]), pair[1].clone()]);
        let mut process = Command::new("valgrind")
            .args(["-q", "--tool=callgrind"])
            .arg(format!("--callgrind-out-file={}/out", dumps_dir.display()))
            .arg(path)
            .args(["--port", &address.port().to_string()])
            .args(words)
            .args(options)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        // Under callgrind a server takes seconds to be there.
        for _ in 0..600 {
            if let Ok(stream) = TcpStream::connect(address) {
                stream.set_nodelay(true)?;
                return Ok(Server {
                    process,
                    replies: BufReader::new(stream),
                    dumps_dir,
                    dumps: 0,
                });
            }
            if let Some(status) = process.try_wait()? {
                return Err(io::Error::other(format!("the server ended: {status}")));
            }
            thread::sleep(Duration::from_millis(100));
        }
        let _ = process.kill();
        Err(io::Error::other("the server does not answer"))
    }

    /// Sends commands, so many before their replies are awaited, which must all begin as told.
    fn all(
        &mut self,
        depth: usize,
        count: usize,
        begins: u8,
        mut command: impl FnMut(usize, &mut Vec<u8>),
    ) -> io::Result<()> {
        let (mut bytes, mut reply) = (Vec::new(), Vec::new());
        for first in (0..count).step_by(depth) {
            let batch = first..count.min(first + depth);
            bytes.clear();
            batch.clone().for_each(|nth| command(nth, &mut bytes));
            self.replies.get_mut().write_all(&bytes)?;
            for _ in batch {
                reply.clear();
                self.replies.read_until(b'\n', &mut reply)?;
                if reply.first() != Some(&begins) {
                    let reply = String::from_utf8_lossy(&reply).into_owned();
                    return Err(io::Error::other(reply));
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, depth: usize, count: usize, key: impl Fn(usize) -> String) -> io::Result<()> {
        self.all(depth, count, b'+', |nth, bytes| {
            push(bytes, &[b"SET", key(nth).as_bytes(), &value(7)]);
        })
    }

    fn delete(&mut self, count: usize, key: impl Fn(usize) -> String) -> io::Result<()> {
        self.all(FILL_DEPTH, count, b':', |nth, bytes| {
            push(bytes, &[b"DEL", key(nth).as_bytes()]);
        })
    }

    fn control(&self, order: &str) -> io::Result<()> {
        let output = Command::new("callgrind_control")
            .args([order, &self.process.id().to_string()])
            .output()?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(io::Error::other(text))
    }

    /// Instructions of a SET of a new key of a shape whose accounts are there.
    fn counted(&mut self, shape: &Shape, depth: usize) -> io::Result<f64> {
        let key = shape.key;
        self.set(FILL_DEPTH, KNOWN, key)?;
        self.control("--zero")?;
        self.set(depth, COUNT, |nth| key(KNOWN + nth))?;
        self.control("--dump")?;
        self.dumps += 1;
        let dump = self.dumps_dir.join(format!("out.{}", self.dumps));
        let counted = instructions(&dump)?;
        self.delete(KNOWN + COUNT, key)?;
        Ok(counted as f64 / COUNT as f64)
    }
}

/// What every shape takes at every depth, by rounds.
fn side(path: &Path, out_dir: &Path, options: &[String]) -> io::Result<Vec<Vec<f64>>> {
    let mut server = Server::start(path, out_dir.join("callgrind-server"), options)?;
    server.all(FILL_DEPTH, LARGE, b'+', |nth, bytes| {
        push(
            bytes,
            &[b"SET", format!("large:{nth}").as_bytes(), &[b'x'; 1000]],
        );
    })?;
    let other = |nth| format!("key:{nth:012}");
    server.set(FILL_DEPTH, OTHERS, other)?;
    // So that the index has grown before anything is measured.
    let spare = 3 * (KNOWN + COUNT);
    server.set(FILL_DEPTH, spare, |nth| other(OTHERS + nth))?;
    server.delete(spare, |nth| other(OTHERS + nth))?;
    let mut counts = vec![Vec::new(); MEASURED.len() * DEPTHS.len()];
    for _ in 0..ROUNDS {
        let mut counts = counts.iter_mut();
        for name in MEASURED {
            let shape = SHAPES.iter().find(|shape| shape.name == name);
            let shape = shape.ok_or_else(|| io::Error::other(format!("{name} is no shape")))?;
            for depth in DEPTHS {
                let counted = server.counted(shape, depth)?;
                counts
                    .next()
                    .into_iter()
                    .for_each(|counts| counts.push(counted));
            }
        }
    }
    Ok(counts)
}

fn least(counts: Vec<f64>) -> f64 {
    counts.into_iter().fold(f64::INFINITY, f64::min)
}

/// Prints what the accounts of prefixes cost a whole server.
pub fn prefixes(out_dir: &Path, server: &Path, options: &[String]) -> io::Result<()> {
    let mut sides = Vec::new();
    for is_on in ["yes", "no"] {
        let mut all = vec!["memory-prefixes".to_owned(), is_on.to_owned()];
        all.extend_from_slice(options);
        let counts = side(server, out_dir, &all)?;
        sides.push(counts.into_iter().map(least).collect::<Vec<f64>>());
    }
    let mut table = Table::new(
        "User instructions of a whole server per SET of a new key",
        &[
            "keys such as",
            "pipeline 1",
            "off",
            "%",
            "pipeline 16",
            "off",
            "%",
        ],
    );
    for (at, name) in MEASURED.iter().enumerate() {
        let cells = (0..DEPTHS.len()).flat_map(|depth| {
            let at = at * DEPTHS.len() + depth;
            let (on, off) = (sides[0][at], sides[1][at]);
            let more = (on - off) / off * 100.0;
            [
                format!("{on:.0}"),
                format!("{off:.0}"),
                format!("{more:.1}"),
            ]
        });
        table.row(std::iter::once((*name).to_owned()).chain(cells).collect());
    }
    table.note(format!(
        "Callgrind over the server, one shard, one connection; {COUNT} SETs of 32 bytes each time, beside \
         {OTHERS} keys, of shapes of which {KNOWN} are there; the least of {ROUNDS} rounds, without activedefrag. Options: {}. \
         The kernel is not in it.",
        named(options)
    ));
    table.publish(out_dir, "prefixes-server")
}
