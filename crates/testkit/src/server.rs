//! A real server process for a test: started on a free port, watched, ended with the test.
//! Never shares a port with another test and never leaves a process behind.
//! Source: proc(5) for the figures of a process.

use std::fs;
use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use resp::Reply;

use crate::client::Client;

/// How long a start or an end may take before the process counts as hung.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a process that has something to finish.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Ports below the range that the kernel hands out for outgoing connections.
const PORT_FIRST: u16 = 20_000;
const PORT_COUNT: u16 = 12_000;

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    claim: Claim,
    binary: PathBuf,
    arguments: Vec<String>,
    output: Arc<Mutex<Vec<u8>>>,
}

/// A port that is ours while this lives. The UDP socket of the same number is
/// what keeps other tests off it: a server may share its TCP port.
#[derive(Debug)]
pub struct Claim {
    port: u16,
    _reservation: UdpSocket,
}

impl Default for Claim {
    fn default() -> Claim {
        Claim::new()
    }
}

impl Claim {
    /// A free port of its own. Panics when there is none.
    pub fn new() -> Claim {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let start = (std::process::id() % u32::from(PORT_COUNT)) as u16;
        for _ in 0..PORT_COUNT {
            let nth = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PORT_COUNT;
            let port = PORT_FIRST + nth;
            let Ok(reservation) = UdpSocket::bind(("127.0.0.1", port)) else {
                continue;
            };
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return Claim {
                    port,
                    _reservation: reservation,
                };
            }
        }
        panic!(
            "no free port between {PORT_FIRST} and {}",
            PORT_FIRST + PORT_COUNT
        );
    }

    /// The port, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Server {
    /// Starts `binary` with command-line options (`["--shards", "2"]`) and
    /// returns when it answers. Where `binary` is a `redis-server`, options
    /// that only Pinyon knows are left out. Panics if it ends or never answers.
    pub fn start<P: AsRef<Path>>(binary: P, options: &[&str]) -> Server {
        let binary = binary.as_ref().to_path_buf();
        let claim = Claim::new();
        let arguments = arguments(is_redis(&binary), options, claim.port);
        let output = Arc::default();
        let child = spawn(&binary, &arguments, &output);
        let mut server = Server {
            child,
            claim,
            binary,
            arguments,
            output,
        };
        server.wait_until_it_answers();
        server
    }

    /// Waits until the process has ended and starts it again with the same
    /// options, on the same port. Panics as `start` does.
    pub fn start_again(&mut self) {
        self.wait();
        self.child = spawn(&self.binary, &self.arguments, &self.output);
        self.wait_until_it_answers();
    }

    /// A `redis-server` of this machine, if it has one.
    pub fn start_redis(options: &[&str]) -> Option<Server> {
        Some(Server::start(find_program("redis-server")?, options))
    }

    /// Runs `binary` with options that should end it at once, and returns what
    /// it said. Panics if it is still running after a while.
    pub fn refused<P: AsRef<Path>>(binary: P, options: &[&str]) -> Output {
        let mut child = Command::new(binary.as_ref())
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary can be run");
        if wait_for_end(&mut child).is_none() {
            child.kill().expect("a running child can be killed");
            child.wait().expect("a killed child ends");
            panic!("the server started with {options:?}");
        }
        child.wait_with_output().expect("an ended child has output")
    }

    /// Its TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.claim.port
    }

    /// A connection that speaks RESP2.
    pub fn client(&self) -> Client {
        Client::connect(self.port())
    }

    /// A connection that speaks RESP3.
    pub fn client_resp3(&self) -> Client {
        Client::connect_resp3(self.port())
    }

    /// Whether this is a `redis-server`.
    pub fn is_redis(&self) -> bool {
        is_redis(&self.binary)
    }

    /// Number of the process.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Bytes of the process in physical memory.
    pub fn resident_bytes(&self) -> u64 {
        const PAGE_BYTES: u64 = 4096;
        let text = self.proc_file("statm");
        let pages = text
            .split_ascii_whitespace()
            .nth(1)
            .expect("statm has a second field");
        pages.parse::<u64>().expect("statm holds numbers") * PAGE_BYTES
    }

    /// Milliseconds of processor time that the process has used, in steps of
    /// ten (the kernel's clock ticks).
    pub fn cpu_ms(&self) -> u64 {
        const TICK_MS: u64 = 10;
        let text = self.proc_file("stat");
        let (_, after_name) = text.rsplit_once(')').expect("stat names the program");
        let field = |nth: usize| {
            let field = after_name.split_ascii_whitespace().nth(nth);
            field
                .expect("stat has it")
                .parse::<u64>()
                .expect("ticks are a number")
        };
        // Fields 14 and 15 of proc(5), user and system; two precede the text after the name.
        (field(11) + field(12)) * TICK_MS
    }

    /// Sends a signal by name (`TERM`, `INT`).
    pub fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.process_id());
        let status = Command::new("sh").args(["-c", &script]).status();
        assert!(status.expect("sh runs").success(), "{script} failed");
    }

    /// Waits until the process has ended. Panics when it does not.
    pub fn wait(&mut self) -> ExitStatus {
        wait_for_end(&mut self.child)
            .unwrap_or_else(|| panic!("the server does not end; it said:\n{}", self.output()))
    }

    /// Whether the process is alive.
    pub fn is_running(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("a child can be asked")
            .is_none()
    }

    /// What it has written to stdout and stderr so far.
    pub fn output(&self) -> String {
        let output = self.output.lock().expect("no collector panics");
        String::from_utf8_lossy(&output).into_owned()
    }

    fn wait_until_it_answers(&mut self) {
        let started = Instant::now();
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!(
                    "the server ended with {status}; it said:\n{}",
                    self.output()
                );
            }
            if self.answers() {
                return;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "the server never answered: {}",
                self.output()
            );
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Whether a connection is answered, and by this very process.
    fn answers(&self) -> bool {
        let Ok(mut client) = Client::try_connect(self.port()) else {
            return false;
        };
        if client.try_send(b"INFO server\r\n").is_err() {
            return false;
        }
        let Ok(Reply::Bulk(info)) = client.try_reply() else {
            return false;
        };
        let info = String::from_utf8_lossy(&info).into_owned();
        let mut lines = info.lines();
        let number = lines.find_map(|line| line.strip_prefix("process_id:"));
        assert_eq!(
            number,
            Some(self.process_id().to_string().as_str()),
            "another server answers"
        );
        true
    }

    fn proc_file(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.process_id())).expect("the server lives")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the server of the failed test said:\n{}", self.output());
        }
    }
}

/// Where a program of this name is, if it is in PATH.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

fn is_redis(binary: &Path) -> bool {
    binary
        .file_name()
        .is_some_and(|name| name == "redis-server")
}

/// The options as the program at hand takes them.
fn arguments(is_redis: bool, options: &[&str], port: u16) -> Vec<String> {
    const OURS: &[&str] = &["--shards", "--memory-stats-percent-sign"];
    // It must leave no file behind and let DEBUG be used. An empty word swallows
    // what follows it, so it comes last.
    const QUIET: [&str; 6] = [
        "--enable-debug-command",
        "yes",
        "--appendonly",
        "no",
        "--save",
        "",
    ];
    let mut taken: Vec<String> = Vec::new();
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        match is_redis && OURS.contains(option) {
            true => _ = rest.next(),
            false => taken.push(option.to_string()),
        }
    }
    taken.extend(["--port".to_string(), port.to_string()]);
    if is_redis {
        taken.extend(QUIET.map(String::from));
    }
    taken
}

fn spawn(binary: &Path, arguments: &[String], output: &Arc<Mutex<Vec<u8>>>) -> Child {
    let mut child = Command::new(binary)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|why| panic!("{} does not start: {why}", binary.display()));
    collect(child.stdout.take(), output);
    collect(child.stderr.take(), output);
    child
}

fn collect<R: Read + Send + 'static>(pipe: Option<R>, into: &Arc<Mutex<Vec<u8>>>) {
    let mut pipe = pipe.expect("the pipe was asked for");
    let into = Arc::clone(into);
    std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut chunk) {
            into.lock()
                .expect("no collector panics")
                .extend_from_slice(&chunk[..count]);
        }
    });
}

fn wait_for_end(child: &mut Child) -> Option<ExitStatus> {
    let started = Instant::now();
    loop {
        match child.try_wait().expect("a child can be asked") {
            Some(status) => return Some(status),
            None if started.elapsed() > PATIENCE => return None,
            None => std::thread::sleep(LOOK_AGAIN),
        }
    }
}
