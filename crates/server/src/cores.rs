//! One thread a shard, pinned, each with a runtime, a ring, a shard of the keys and its own connections.
//! Cores share no data but the mesh, the memory budget, and the flag that ends the process.
//! A core that breaks takes the whole process with it: half a server would be worse than none.

use crate::{
    driver::{Driver, Listeners},
    mesh::Port,
    net::ring::Ring,
    refusal::{no_ring, refuse},
    shared::Shared,
};
use commands::{Core, Facts, ShardId, config::Config, log};
use glommio::{LocalExecutorBuilder, Placement};
use std::{
    sync::{Arc, Barrier},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// How long a task runs before the runtime asks for another: for as long as it likes, there is one.
const PREEMPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Entries of each of the runtime's own rings, which carry nothing of ours.
const RUNTIME_RING_ENTRIES: usize = 16;
/// Memory the runtime registers for files: none of ours go through it.
const RUNTIME_IO_BYTES: usize = 64 * 1024;

/// What a core's thread is started with.
pub struct Start {
    /// Its shard.
    pub id: ShardId,
    /// The processor it is pinned to.
    pub processor: usize,
    /// Its copy of the configuration.
    pub config: Config,
    /// Facts of the process.
    pub facts: Arc<Facts>,
    /// The flag that ends the process.
    pub shared: Arc<Shared>,
    /// Its end of the mesh.
    pub port: Port,
    /// Its listening sockets.
    pub listeners: Listeners,
    /// Where all cores and the main thread meet: once when all are made, once when the start is complete.
    pub meeting: Arc<Barrier>,
}

/// Starts a core's thread.
///
/// # Errors
/// One line, when the runtime cannot be made.
pub fn spawn(start: Start) -> Result<JoinHandle<()>, String> {
    let name = format!("shard-{}", start.id.0);
    std::thread::Builder::new()
        .name(name.clone())
        .spawn(move || {
            let _guard = AbortOnPanic;
            let executor = LocalExecutorBuilder::new(Placement::Fixed(start.processor))
                .name(&name)
                .ring_depth(RUNTIME_RING_ENTRIES)
                .io_memory(RUNTIME_IO_BYTES)
                .preempt_timer(PREEMPT)
                .make();
            match executor {
                Ok(executor) => executor.run(core(start)),
                Err(error) => refuse(&no_ring(&error.to_string())),
            }
        })
        .map_err(|error| format!("cannot start a thread: {error}"))
}

/// Ends the process when its thread unwinds.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            log::line(format_args!("a core has failed; the process ends"));
            std::process::exit(70);
        }
    }
}

async fn core(start: Start) {
    let spin = Duration::from_micros(u64::from(start.config.spin_before_park_us));
    let ring = Ring::new().unwrap_or_else(|error| refuse(&no_ring(&error.to_string())));
    let core = Core::new(start.id, start.config, start.facts)
        .unwrap_or_else(|error| refuse(&format!("no address space for a shard: {error}")));
    let mut driver = Driver::new(core, start.shared, ring, start.port, start.listeners);
    driver.prepare();
    start.meeting.wait();
    start.meeting.wait();
    driver.listen();
    // The only task of its runtime, it never gives way: a runtime that looks for its next task when its time is up goes to
    // sleep instead, and nothing of ours would wake it.
    while !driver.is_stopping() {
        driver.turn();
        if driver.is_quiet() && !spins(&mut driver, spin) {
            driver.sleep();
        }
    }
    driver.say_goodbye();
}

/// Looks again and again for a while; answers whether something came.
fn spins(driver: &mut Driver, spin: Duration) -> bool {
    if spin.is_zero() {
        return false;
    }
    let start = Instant::now();
    while start.elapsed() < spin {
        if !driver.is_quiet() {
            return true;
        }
        std::hint::spin_loop();
    }
    false
}
