//! From a configuration to running cores: limits, listeners, threads, the screen, and the end.
//! Whatever cannot work ends the start with one line that names cause and remedy; nothing half-starts.
//! Everything counted as start-up memory is allocated before the screen is printed.

use crate::{
    cores,
    driver::{HTTP_CONNECTIONS_MAX, Listeners},
    limits, mesh,
    net::socket,
    refusal::no_ring,
    shared::Shared,
    signals,
};
use commands::{
    Facts, ShardId,
    config::{Config, MaxMemory},
    log,
};
use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    sync::{Arc, Barrier},
    time::Duration,
};

/// Descriptors besides clients': listeners, rings, files of the process.
const SPARE_DESCRIPTORS: u64 = 64;
/// Descriptors a shard needs: its rings, eventfds, and listeners.
const SHARD_DESCRIPTORS: u64 = 16;

/// Runs the server until it is told to end.
///
/// # Errors
/// One line: what cannot work and what to do about it.
pub fn run(mut config: Config, config_file: String) -> Result<(), String> {
    // Without a backtrace: looking up its symbols would hold a core for as long as reading the whole binary takes.
    std::panic::set_hook(Box::new(|panic| log::line(format_args!("{panic}"))));
    let processors = limits::allowed_processors();
    if config.shards == 0 {
        config.shards = processors.len().min(1023) as u16;
    }
    let shards = config.shards;
    let (auto_bytes, auto_reason) = memory::process::memory_limit_auto();
    let (now, _) = crate::clock::read();
    let facts = Arc::new(Facts {
        holds_resident: true,
        ..Facts::of_this_process(shards, 0, config_file, now)
    });
    config.resolve_maxmemory(facts.available_memory_bytes, auto_bytes);
    facts.budget.set_limit(config.maxmemory_bytes);
    limits::allow_locked_memory();
    allow_descriptors(&mut config)?;
    probe_ring()?;
    let addresses = addresses(&config, config.port)?;
    claim(&addresses, &config)?;
    let mut http = http_listeners(&config)?;

    let shared = Arc::new(Shared::default());
    signals::watch(shared.clone())?;
    let meeting = Arc::new(Barrier::new(usize::from(shards) + 1));
    let mut threads = Vec::new();
    for (index, port) in mesh::mesh(usize::from(shards)).into_iter().enumerate() {
        let resp = addresses
            .iter()
            .map(|&address| listen(address, &config))
            .collect::<Result<_, _>>()?;
        // The first core has those who look; there are few of them.
        let http = std::mem::take(&mut http);
        let listeners = Listeners { resp, http };
        threads.push(cores::spawn(cores::Start {
            id: ShardId(index as u16),
            processor: processors[index % processors.len()],
            config: config.clone(),
            facts: facts.clone(),
            shared: shared.clone(),
            port,
            listeners,
            meeting: meeting.clone(),
        })?);
    }
    meeting.wait();
    print_screen(&config, &addresses, processors.len(), &auto_reason);
    memory::process::mark_startup();
    facts.charge_unsharded();
    meeting.wait();
    for thread in threads {
        thread.join().map_err(|_| "a core has failed".to_owned())?;
    }
    log::screen("pinyon: ended\n");
    Ok(())
}

fn probe_ring() -> Result<(), String> {
    crate::net::ring::Ring::new()
        .map(drop)
        .map_err(|error| no_ring(&error.to_string()))
}

fn addresses(config: &Config, port: u16) -> Result<Vec<SocketAddr>, String> {
    let mut addresses = Vec::new();
    for name in &config.bind {
        let (name, optional) = name
            .strip_prefix('-')
            .map_or((name.as_str(), false), |name| (name, true));
        let parsed = match name {
            "*" => Ok(IpAddr::from([0, 0, 0, 0])),
            "::*" => Ok(IpAddr::from([0u16; 8])),
            "localhost" => Ok(IpAddr::from([127, 0, 0, 1])),
            _ => name.parse::<IpAddr>(),
        };
        match parsed {
            Ok(address) => addresses.push(SocketAddr::new(address, port)),
            Err(_) if optional => {}
            Err(_) => {
                return Err(format!(
                    "option 'bind' has '{name}': takes IP addresses, '*' or '::*'"
                ));
            }
        }
    }
    Ok(addresses)
}

/// Binds each address alone once, so that a port that another server has is refused rather than shared with it. A server
/// that was killed a moment ago may hold it a little longer, while the kernel clears its rings away.
fn claim(addresses: &[SocketAddr], config: &Config) -> Result<(), String> {
    const TRIES: u32 = 20;
    const BETWEEN_TRIES: Duration = Duration::from_millis(50);
    for &address in addresses {
        let mut outcome = Ok(());
        for _ in 0..TRIES {
            outcome = socket::listen(address, config.tcp_backlog as i32, false).map(drop);
            if !matches!(&outcome, Err(error) if error.kind() == ErrorKind::AddrInUse) {
                break;
            }
            std::thread::sleep(BETWEEN_TRIES);
        }
        outcome.map_err(|error| format!("cannot listen on {address}: {error}"))?;
    }
    Ok(())
}

/// Listeners for metrics and the page; none where no port is set.
fn http_listeners(config: &Config) -> Result<Vec<OwnedFd>, String> {
    let port = config.metrics_port;
    if port == 0 {
        return Ok(Vec::new());
    }
    if port == config.port {
        return Err(format!(
            "option 'metrics-port' is {port}, which is 'port' already: give it a port of its own"
        ));
    }
    let addresses = addresses(config, port)?;
    claim(&addresses, config)?;
    let listen = |&address| listen(address, config);
    addresses.iter().map(listen).collect()
}

fn listen(address: SocketAddr, config: &Config) -> Result<OwnedFd, String> {
    socket::listen(address, config.tcp_backlog as i32, true)
        .map_err(|error| format!("cannot listen on {address}: {error}"))
}

/// Raises the descriptor limit to what `maxclients` needs, or lowers `maxclients` to what there is.
fn allow_descriptors(config: &mut Config) -> Result<(), String> {
    let http = if config.metrics_port == 0 {
        0
    } else {
        HTTP_CONNECTIONS_MAX as u64
    };
    let reserved = SPARE_DESCRIPTORS + http + u64::from(config.shards) * SHARD_DESCRIPTORS;
    let have = limits::raise_descriptors(u64::from(config.maxclients) + reserved);
    if have < reserved + 1 {
        return Err(format!(
            "only {have} file descriptors are allowed: raise `ulimit -n` above {reserved}"
        ));
    }
    let clients_max = (have - reserved).min(u64::from(u32::MAX)) as u32;
    if clients_max < config.maxclients {
        log::line(format_args!(
            "maxclients is {clients_max} instead of {}: `ulimit -n` is {have}",
            config.maxclients
        ));
        config.maxclients = clients_max;
    }
    Ok(())
}

fn print_screen(config: &Config, addresses: &[SocketAddr], processors: usize, auto_reason: &str) {
    let listening: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    let mib = config.maxmemory_bytes >> 20;
    let limit = match config.maxmemory {
        _ if config.maxmemory_bytes == 0 => "none".to_owned(),
        MaxMemory::Auto => format!("{mib} MiB ({auto_reason})"),
        MaxMemory::Percent(share) => format!("{mib} MiB ({share} % of what this process may use)"),
        MaxMemory::Bytes(_) => format!("{mib} MiB (maxmemory)"),
    };
    let cli = if config.port == 6379 {
        "redis-cli".to_owned()
    } else {
        format!("redis-cli -p {}", config.port)
    };
    let listening = match &listening[..] {
        [] => "nowhere".to_owned(),
        some => some.join(", "),
    };
    let mut lines = vec![
        format!("pinyon {}", env!("CARGO_PKG_VERSION")),
        format!("  listening     {listening}"),
    ];
    if config.metrics_port != 0 {
        let at = |address: &SocketAddr| {
            let page = SocketAddr::new(address.ip(), config.metrics_port);
            format!("http://{page}/")
        };
        let pages: Vec<String> = addresses.iter().map(at).collect();
        lines.push(format!("  metrics       {}", pages.join(", ")));
    }
    let cores = if processors == 1 { "core" } else { "cores" };
    lines.extend([
        format!("  shards        {} on {processors} {cores}", config.shards),
        format!("  memory limit  {limit}"),
        "  io_uring      in use, one ring a shard".to_owned(),
        format!("  try           {cli} MEMORY STATS\n"),
    ]);
    log::screen(&lines.join("\n"));
}
