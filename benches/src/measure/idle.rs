//! Owns what connections cost that do nothing: memory each, CPU together.
//! Never here: load.
//! Source: none.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::Duration;

use super::{Cores, both, settle};
use crate::options::Options;
use crate::peer::{Peer, Recipe};
use crate::sys;
use crate::table::{Table, grouped, mib};

const CONNECTIONS: usize = 10_000;
/// Files that this process needs for other things.
const SPARE_FILES: usize = 100;

/// Opens the connections, uses each once, and watches the server for ten seconds.
pub fn run(options: &Options) -> io::Result<()> {
    let cores = Cores::of_machine()?;
    sys::pin_thread(&[cores.generator])?;
    let files = sys::raise_open_files()?;
    let connections = options.connections.unwrap_or(CONNECTIONS);
    if (files as usize) < connections + SPARE_FILES {
        return Err(io::Error::other(format!(
            "only {files} open files allowed (ulimit -n)"
        )));
    }
    let window = Duration::from_secs_f64(options.seconds.unwrap_or(10.0));
    let mut table = Table::new(
        format!("{} idle connections", grouped(connections as u64)),
        &[
            "server",
            "shards",
            "empty MiB",
            "connected MiB",
            "bytes a connection",
            "CPU without, % of a core",
            "CPU with, % of a core",
            "closed MiB",
        ],
    );
    for recipe in both(options, &cores) {
        let recipe = Recipe {
            shards: options.shards.unwrap_or(1),
            ..recipe
        };
        table.row(row(&recipe, connections, window)?);
    }
    table.note(format!(
        "Each connection has sent one PING. CPU of all threads over {window:?}. Closed: after all \
         connections were closed again."
    ));
    table.publish(&options.out, "idle")
}

fn cpu_percent(peer: &Peer, window: Duration) -> io::Result<f64> {
    let before_ns = peer.process.usage()?.cpu_ns;
    std::thread::sleep(window);
    let used_ns = peer.process.usage()?.cpu_ns - before_ns;
    Ok(used_ns as f64 / window.as_nanos() as f64 * 100.0)
}

fn row(recipe: &Recipe, connections: usize, window: Duration) -> io::Result<Vec<String>> {
    let peer = Peer::start(recipe)?;
    settle();
    let empty_bytes = peer.process.resident_bytes()?;
    let without = cpu_percent(&peer, window)?;
    let mut streams = Vec::with_capacity(connections);
    for at in 0..connections {
        let mut stream = TcpStream::connect(peer.address)?;
        sys::reset_on_close(stream.as_raw_fd())?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"*1\r\n$4\r\nPING\r\n")?;
        let mut reply = [0; 7];
        stream.read_exact(&mut reply)?;
        if &reply != b"+PONG\r\n" {
            let text = String::from_utf8_lossy(&reply);
            return Err(io::Error::other(format!("connection {at} got {text:?}")));
        }
        streams.push(stream);
    }
    settle();
    let connected_bytes = peer.process.resident_bytes()?;
    let with = cpu_percent(&peer, window)?;
    drop(streams);
    settle();
    let closed_bytes = peer.process.resident_bytes()?;
    let grown_bytes = connected_bytes.saturating_sub(empty_bytes);
    Ok(vec![
        peer.name.clone(),
        if peer.is_pinyon {
            recipe.shards.to_string()
        } else {
            "–".into()
        },
        mib(empty_bytes),
        mib(connected_bytes),
        format!("{:.0}", grown_bytes as f64 / connections as f64),
        format!("{without:.2}"),
        format!("{with:.2}"),
        mib(closed_bytes),
    ])
}
