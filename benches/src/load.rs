//! Owns the load generator: one thread, one io_uring, many connections, each
//! sending a batch when all replies of its last are there.
//! Never here: starting servers, choosing windows' lengths, printing.
//! Source: io_uring(7); a reply's length is known, so MSG_WAITALL makes a batch one completion.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use io_uring::{IoUring, opcode, squeue, types};

use crate::histogram::Histogram;
use crate::process::{Process, Usage};
use crate::workload::{ValueBytes, Workload};

/// A load that makes no progress for this long has failed.
const STALL_LIMIT: Duration = Duration::from_secs(20);
/// Batches of which one is compared with the expected replies byte by byte.
const BATCHES_A_FULL_CHECK: u64 = 16;
/// Marks a completion of a send; such completions only exist for failures.
const SEND_MARK: u64 = 1 << 63;

/// What one window of load amounted to.
pub struct Sample {
    /// Operations answered inside the window.
    pub operations: u64,
    /// Length of the window.
    pub wall_ns: u64,
    /// What the server used inside the window.
    pub server: Usage,
    /// What this process used inside the window.
    pub generator: Usage,
    /// From sending a batch to having all its replies, for each operation.
    pub latency: Histogram,
}

impl Sample {
    /// Server CPU microseconds an operation.
    pub fn cpu_us(&self) -> f64 {
        self.server.cpu_ns as f64 / 1e3 / self.operations as f64
    }

    /// Operations a second.
    pub fn rate(&self) -> f64 {
        self.operations as f64 * 1e9 / self.wall_ns as f64
    }

    /// Cores that the server kept busy (1.0: one core, all the time).
    pub fn busy(&self) -> f64 {
        self.server.cpu_ns as f64 / self.wall_ns as f64
    }

    /// Share of its core that the generator used.
    pub fn generator_busy(&self) -> f64 {
        self.generator.cpu_ns as f64 / self.wall_ns as f64
    }

    /// Share of the window in which server or generator were ready but something else ran.
    pub fn disturbance(&self) -> f64 {
        (self.server.waited_ns + self.generator.waited_ns) as f64 / self.wall_ns as f64
    }
}

/// When to stop.
#[derive(Clone, Copy)]
pub enum Until {
    /// After this warm-up and this window; only the window counts.
    Elapsed(Duration, Duration),
    /// When every key was visited; all of it counts.
    Exhausted,
}

struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    reply: Vec<u8>,
    batch: Vec<u64>,
    sent_at: Instant,
}

/// Connections to one server and the work they do.
pub struct Load {
    connections: Vec<Connection>,
    ring: IoUring,
    work: Workload,
    pipeline: usize,
    expected: Vec<u8>,
    batches: u64,
    outstanding: usize,
}

/// State of one run.
struct Run {
    servers: Vec<Process>,
    operations: u64,
    started: Instant,
    at_start: [Usage; 2],
    latency: Histogram,
}

impl Run {
    fn start(servers: &[Process]) -> io::Result<Run> {
        Ok(Run {
            servers: servers.to_vec(),
            operations: 0,
            latency: Histogram::new(),
            started: Instant::now(),
            at_start: [Process::usage_of(servers)?, Process::own().usage()?],
        })
    }

    fn finish(self) -> io::Result<Sample> {
        let [server_before, generator_before] = self.at_start;
        Ok(Sample {
            operations: self.operations,
            server: Process::usage_of(&self.servers)?.since(server_before),
            generator: Process::own().usage()?.since(generator_before),
            wall_ns: self.started.elapsed().as_nanos() as u64,
            latency: self.latency,
        })
    }
}

impl Load {
    /// Connects `count` times, to the servers in turn; every batch has `pipeline` commands.
    pub fn connect(
        addresses: &[SocketAddr],
        count: usize,
        pipeline: usize,
        work: Workload,
    ) -> io::Result<Load> {
        assert!(count > 0 && pipeline > 0);
        let mut connections = Vec::with_capacity(count);
        for address in addresses.iter().cycle().take(count) {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            crate::sys::reset_on_close(stream.as_raw_fd())?;
            connections.push(Connection {
                stream,
                request: Vec::new(),
                reply: Vec::new(),
                batch: Vec::with_capacity(pipeline),
                sent_at: Instant::now(),
            });
        }
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build((2 * count).next_power_of_two().max(8) as u32)?;
        let files: Vec<i32> = connections
            .iter()
            .map(|one| one.stream.as_raw_fd())
            .collect();
        ring.submitter().register_files(&files)?;
        let (expected, batches, outstanding) = (Vec::new(), 0, 0);
        Ok(Load {
            connections,
            ring,
            work,
            pipeline,
            expected,
            batches,
            outstanding,
        })
    }

    /// Writes values of other sizes from the next run on.
    pub fn change_values(&mut self, values: ValueBytes) {
        self.work.values = values;
    }

    /// Runs the load; a run ends with no reply outstanding.
    pub fn run(&mut self, servers: &[Process], until: Until) -> io::Result<Sample> {
        let mut run = Run::start(servers)?;
        let mut warm = matches!(until, Until::Exhausted);
        let mut sample = None;
        for index in 0..self.connections.len() {
            self.send_batch(index)?;
        }
        while self.outstanding > 0 {
            self.wait()?;
            let now = Instant::now();
            self.take_replies(&mut run, now, sample.is_none())?;
            let Until::Elapsed(warm_up, window) = until else {
                continue;
            };
            if !warm && now - run.started >= warm_up {
                run = Run::start(servers)?;
                warm = true;
            } else if warm && sample.is_none() && now - run.started >= window {
                let done = std::mem::replace(&mut run, Run::start(servers)?);
                sample = Some(done.finish()?);
            }
        }
        match sample {
            Some(sample) => Ok(sample),
            None => run.finish(),
        }
    }

    /// Enters the kernel once: sends what is queued, waits for a completion.
    fn wait(&mut self) -> io::Result<()> {
        let limit = types::Timespec::from(STALL_LIMIT);
        let arguments = types::SubmitArgs::new().timespec(&limit);
        match self.ring.submitter().submit_with_args(1, &arguments) {
            Ok(_) => Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::ETIME) => Err(self.stalled()),
            Err(error) => Err(error),
        }
    }

    fn take_replies(&mut self, run: &mut Run, now: Instant, go_on: bool) -> io::Result<()> {
        loop {
            let Some(completion) = self.ring.completion().next() else {
                return Ok(());
            };
            if completion.result() < 0 {
                return Err(io::Error::from_raw_os_error(-completion.result()));
            }
            if completion.user_data() & SEND_MARK != 0 {
                return Err(io::Error::other("the server took only a part of a request"));
            }
            let index = completion.user_data() as usize;
            self.check(index, completion.result() as usize)?;
            self.outstanding -= 1;
            let connection = &self.connections[index];
            let operations = connection.batch.len() as u64;
            run.operations += operations;
            run.latency
                .record((now - connection.sent_at).as_nanos() as u64, operations);
            if go_on {
                self.send_batch(index)?;
            }
        }
    }

    /// Queues the next batch of a connection and the wait for its replies.
    fn send_batch(&mut self, index: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        connection.request.clear();
        connection.batch.clear();
        let mut reply_bytes = 0;
        while connection.batch.len() < self.pipeline {
            let Some(number) = self.work.keys.next() else {
                break;
            };
            connection.batch.push(number);
            self.work.push_request(&mut connection.request, number);
            reply_bytes += self.work.reply_bytes(number);
        }
        if connection.batch.is_empty() {
            return Ok(());
        }
        connection.reply.resize(reply_bytes, 0);
        connection.sent_at = Instant::now();
        let file = types::Fixed(index as u32);
        let request = &connection.request;
        let send = opcode::Send::new(file, request.as_ptr(), request.len() as u32)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(SEND_MARK | index as u64);
        let reply = &mut connection.reply;
        let receive = opcode::Recv::new(file, reply.as_mut_ptr(), reply.len() as u32)
            .flags(libc::MSG_WAITALL)
            .build()
            .user_data(index as u64);
        // SAFETY: both buffers belong to the connection and are neither moved
        // nor changed until the receive completes; an abandoned load leaks them.
        let pushed = unsafe { self.ring.submission().push_multiple(&[send, receive]) };
        self.outstanding += 1;
        pushed.map_err(|_| io::Error::other("submission queue is full"))
    }

    /// Compares replies with what the keys' values must be.
    fn check(&mut self, index: usize, received: usize) -> io::Result<()> {
        let connection = &self.connections[index];
        self.batches += 1;
        let whole = self.batches.is_multiple_of(BATCHES_A_FULL_CHECK);
        let checked = if whole { connection.batch.len() } else { 1 };
        self.expected.clear();
        for &number in &connection.batch[..checked] {
            self.work.push_reply(&mut self.expected, number);
        }
        let reply = &connection.reply;
        let complete = received == reply.len() && reply.ends_with(b"\r\n");
        if complete && reply.starts_with(&self.expected) {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "a wrong reply: {received} of {} bytes; wanted {:?}, found {:?}",
            reply.len(),
            beginning(&self.expected),
            beginning(&reply[..received.min(reply.len())]),
        )))
    }

    fn stalled(&self) -> io::Error {
        let seen = self.connections.iter().map(|one| beginning(&one.reply));
        io::Error::other(format!(
            "no reply for {} s, {} of {} connections wait; in a buffer: {:?}",
            STALL_LIMIT.as_secs(),
            self.outstanding,
            self.connections.len(),
            seen.max_by_key(String::len).unwrap_or_default(),
        ))
    }
}

/// What a message can show of a reply.
fn beginning(reply: &[u8]) -> String {
    let shown = &reply[..reply.len().min(120)];
    String::from_utf8_lossy(shown)
        .trim_matches('\0')
        .to_string()
}

impl Drop for Load {
    fn drop(&mut self) {
        if self.outstanding > 0 {
            // The kernel may still write into the buffers of a failed load.
            std::mem::forget(std::mem::take(&mut self.connections));
        }
    }
}
