//! Owns bytes a key: the resident set after a fill less that of the empty server.
//! Never here: what the server says of itself, but beside the figure from outside.
//! Source: none.

use std::io;

use super::{Cores, both, fill, settle};
use crate::dialect::Dialect;
use crate::options::Options;
use crate::peer::{Peer, Recipe};
use crate::sys;
use crate::table::{Table, grouped};
use crate::workload::{KEY_BYTES, ValueBytes};

/// One size of value, with or without a time to live.
#[derive(Clone, Copy)]
struct Shape {
    value_bytes: usize,
    expires: bool,
}

/// Figures at one number of keys.
struct Point {
    keys: u64,
    bytes_per_key: f64,
    /// What the server says: `keys.bytes-per-key` and `unaccounted.bytes`.
    told: Option<(f64, f64)>,
    resident_bytes: u64,
}

/// One fill a server and shape, read off at each number of keys.
pub fn run(options: &Options) -> io::Result<()> {
    let cores = Cores::of_machine()?;
    sys::pin_thread(&[cores.generator])?;
    let steps = options
        .keys
        .clone()
        .unwrap_or(vec![5_000_000, 10_000_000, 15_000_000, 20_000_000]);
    let sizes = options.values.clone().unwrap_or(vec![8, 32, 64, 256]);
    let with_expiry = sizes.contains(&32).then_some(32).or(sizes.first().copied());
    let plain = sizes.iter().map(|&value_bytes| Shape {
        value_bytes,
        expires: false,
    });
    let expiring = with_expiry.map(|value_bytes| Shape {
        value_bytes,
        expires: true,
    });
    let recipes: Vec<Recipe> = both(options, &cores)
        .into_iter()
        .map(|recipe| Recipe {
            shards: options.shards.unwrap_or(1),
            ..recipe
        })
        .collect();
    let mut table = table(&recipes);
    for shape in plain.chain(expiring) {
        let curves: Vec<Vec<Point>> = recipes
            .iter()
            .map(|recipe| curve(recipe, shape, &steps))
            .collect::<io::Result<_>>()?;
        for at in 0..steps.len() {
            table.row(row(shape, curves.iter().map(|curve| &curve[at])));
        }
    }
    table.note(
        "Keys of 16 bytes; resident bytes from smaps_rollup after the fill, less those of the \
         empty server, a key. `told`: keys.bytes-per-key of MEMORY STATS. `unaccounted`: its \
         unaccounted.bytes, and their share of the resident set.",
    );
    table.publish(&options.out, "footprint")
}

fn curve(recipe: &Recipe, shape: Shape, steps: &[u64]) -> io::Result<Vec<Point>> {
    let peer = Peer::start(recipe)?;
    settle();
    let empty_bytes = peer.process.resident_bytes()?;
    let mut points = Vec::new();
    let mut start = 0;
    for &keys in steps {
        fill(
            &peer,
            start,
            keys,
            ValueBytes::Fixed(shape.value_bytes),
            shape.expires,
        )?;
        start = keys;
        settle();
        let resident_bytes = peer.process.resident_bytes()?;
        let bytes_per_key = resident_bytes.saturating_sub(empty_bytes) as f64 / keys as f64;
        points.push(Point {
            keys,
            bytes_per_key,
            told: told(&peer)?,
            resident_bytes,
        });
    }
    Ok(points)
}

fn told(peer: &Peer) -> io::Result<Option<(f64, f64)>> {
    if peer.dialect == Dialect::Memcached {
        return Ok(None);
    }
    let stats = peer.client()?.demand(&["MEMORY", "STATS"])?;
    let number = |name: &str| stats.field(name).and_then(|value| value.number());
    let per_key = number("keys.bytes-per-key")
        .ok_or_else(|| io::Error::other("MEMORY STATS has no keys.bytes-per-key"))?;
    Ok(number("unaccounted.bytes").map(|unaccounted| (per_key, unaccounted)))
}

fn table(recipes: &[Recipe]) -> Table {
    let mut columns = vec!["value".to_string(), "keys".into(), "payload".into()];
    columns.extend(
        recipes
            .iter()
            .map(|recipe| format!("{} B/key", recipe.name())),
    );
    columns.extend(["told".into(), "unaccounted".into(), "share".into()]);
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    Table::new("Resident bytes a key", &columns)
}

fn row<'a>(shape: Shape, points: impl Iterator<Item = &'a Point> + Clone) -> Vec<String> {
    let expiry = if shape.expires { " + expiry" } else { "" };
    let payload = KEY_BYTES + shape.value_bytes + if shape.expires { 4 } else { 0 };
    let keys = points.clone().next().map_or(0, |point| point.keys);
    let mut cells = vec![
        format!("{} B{expiry}", shape.value_bytes),
        grouped(keys),
        payload.to_string(),
    ];
    cells.extend(
        points
            .clone()
            .map(|point| format!("{:.1}", point.bytes_per_key)),
    );
    let last = points.last();
    match last.and_then(|point| Some((point.told?, point.resident_bytes))) {
        Some(((per_key, unaccounted), resident_bytes)) => cells.extend([
            format!("{per_key:.0}"),
            format!("{:.2} MiB", unaccounted / 1_048_576.0),
            format!("{:.2} %", unaccounted / resident_bytes as f64 * 100.0),
        ]),
        None => cells.extend(["–", "–", "–"].map(String::from)),
    }
    cells
}
