//! Owns the servers under measurement: how they are started, found ready, and ended.
//! Never here: load, or a process that this program did not start.
//! Source: the options of redis-server 7.0, of pinyon, and of memcached 1.6.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::{Client, Reply};
use crate::dialect::Dialect;
use crate::process::Process;
use crate::sys;

const START_LIMIT: Duration = Duration::from_secs(20);
const END_LIMIT: Duration = Duration::from_secs(5);

/// What to start.
#[derive(Clone)]
pub struct Recipe {
    /// The program; one whose name begins neither with `pinyon` nor with `memcached` gets Redis' options.
    pub program: PathBuf,
    /// Cores it may use.
    pub cores: Vec<usize>,
    /// Shards, where the server has such a thing.
    pub shards: usize,
    /// Where its output goes.
    pub log_dir: PathBuf,
}

impl Recipe {
    /// Short name for tables.
    pub fn name(&self) -> String {
        let name = self
            .program
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        name.into_owned()
    }

    /// Whether it understands pinyon's options.
    pub fn is_pinyon(&self) -> bool {
        self.name().starts_with("pinyon")
    }

    /// What it understands.
    pub fn dialect(&self) -> Dialect {
        if self.name().starts_with("memcached") {
            Dialect::Memcached
        } else {
            Dialect::Resp
        }
    }
}

/// A server that runs until it is dropped.
pub struct Peer {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its process.
    pub process: Process,
    /// Its name for tables.
    pub name: String,
    /// Whether it understands pinyon's commands.
    pub is_pinyon: bool,
    /// How it wants commands written.
    pub dialect: Dialect,
    child: Child,
}

fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

fn command(recipe: &Recipe, port: u16) -> Command {
    let cores: Vec<String> = recipe.cores.iter().map(usize::to_string).collect();
    let mut command = Command::new("taskset");
    command.arg("-c").arg(cores.join(",")).arg(&recipe.program);
    let port = port.to_string();
    if recipe.dialect() == Dialect::Memcached {
        // One thread that serves, a limit that no measurement reaches; it refuses to run as root unless it is told to.
        command.args(["--port", &port, "--listen", "127.0.0.1", "--threads", "1"]);
        command.args([
            "--memory-limit",
            "65536",
            "--conn-limit",
            "12000",
            "--user",
            "root",
        ]);
        return command;
    }
    command.args(["--port", &port, "--bind", "127.0.0.1"]);
    if recipe.is_pinyon() {
        command.args(["--shards", &recipe.shards.to_string(), "--maxmemory", "0"]);
    } else {
        command.args(["--save", "", "--appendonly", "no", "--daemonize", "no"]);
        command.args(["--loglevel", "warning", "--maxclients", "12000"]);
    }
    command
}

impl Peer {
    /// Starts a server and waits until it answers.
    pub fn start(recipe: &Recipe) -> io::Result<Peer> {
        let name = recipe.name();
        let port = free_port()?;
        fs::create_dir_all(&recipe.log_dir)?;
        let log_path = recipe.log_dir.join(format!("{name}.log"));
        let log = File::create(&log_path)?;
        let mut command = command(recipe, port);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        sys::end_with_parent(&mut command);
        let child = command.spawn()?;
        let mut peer = Peer {
            address: (Ipv4Addr::LOCALHOST, port).into(),
            process: Process { pid: child.id() },
            is_pinyon: recipe.is_pinyon(),
            dialect: recipe.dialect(),
            name,
            child,
        };
        peer.wait_until_ready(&log_path)?;
        if peer.is_pinyon {
            // For ten thousand connections and the few that ask; where the
            // option cannot change, the measurement that needs it will say so.
            let _ = peer
                .client()?
                .ask(&["CONFIG", "SET", "maxclients", "12000"])?;
        }
        Ok(peer)
    }

    fn wait_until_ready(&mut self, log_path: &Path) -> io::Result<()> {
        let started = Instant::now();
        let failed = |what: String| {
            let log = fs::read_to_string(log_path).unwrap_or_default();
            io::Error::other(format!("{what}; its output:\n{log}"))
        };
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(failed(format!("{} ended at start: {status}", self.name)));
            }
            let answer = self.greet();
            if matches!(answer, Ok(true)) {
                return Ok(());
            }
            if started.elapsed() > START_LIMIT {
                return Err(failed(format!("{} does not answer: {answer:?}", self.name)));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn greet(&self) -> io::Result<bool> {
        match self.dialect {
            Dialect::Resp => Ok(self.client()?.ask(&["PING"])? == Reply::Text("PONG".into())),
            Dialect::Memcached => Ok(self.client()?.ask_line("version")?.starts_with("VERSION")),
        }
    }

    /// A connection for questions.
    pub fn client(&self) -> io::Result<Client> {
        Client::connect(self.address)
    }

    /// Keys in it.
    pub fn keys(&self) -> io::Result<u64> {
        if self.dialect == Dialect::Memcached {
            let items = self.client()?.statistic("curr_items")?;
            return items.ok_or_else(|| io::Error::other("stats has no curr_items"));
        }
        match self.client()?.demand(&["DBSIZE"])? {
            Reply::Integer(keys) => Ok(keys as u64),
            other => Err(io::Error::other(format!("DBSIZE: {other:?}"))),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let asked = Instant::now();
        if sys::terminate(self.child.id()).is_ok() {
            while asked.elapsed() < END_LIMIT {
                if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            eprintln!(
                "{} did not end within {} s of SIGTERM",
                self.name,
                END_LIMIT.as_secs()
            );
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
