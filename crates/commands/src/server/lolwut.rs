//! LOLWUT: a pinyon pine in characters, grown anew for every caller.
//! Never uses more than a few hundred bytes, whatever height is asked for.
//! Source: our own.

use crate::{Call, Core, Reply, error};
use resp::Writer;

/// Rows of needles of the smallest and the largest tree.
const HEIGHT_MIN: i64 = 3;
const HEIGHT_MAX: i64 = 24;
const HEIGHT_DEFAULT: i64 = 8;

/// Draws a tree. `VERSION` chose among Redis' pictures; here there is one, so its number is only checked.
pub fn lolwut(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let mut at = 1;
    if call.is(1, "version") && call.args.len() > 2 {
        resp::number::parse_i64(call.args.at(2)).ok_or(error::NOT_AN_INTEGER)?;
        at = 3;
    }
    let height = call
        .args
        .get(at)
        .and_then(resp::number::parse_i64)
        .unwrap_or(HEIGHT_DEFAULT);
    let tree = tree(call.core, height.clamp(HEIGHT_MIN, HEIGHT_MAX) as usize);
    out.verbatim("txt", tree.as_bytes());
    Ok(())
}

fn tree(core: &mut Core, height: usize) -> String {
    let mut text = format!("{:>width$}\n", "^", width = height + 3);
    for row in 0..height {
        text.push_str(&" ".repeat(height - row + 1));
        text.push('/');
        for _ in 0..2 * row + 1 {
            text.push(needle(core.random()));
        }
        text.push_str("\\\n");
    }
    for _ in 0..height.div_ceil(6) {
        text.push_str(&format!("{:>width$}\n", "|||", width = height + 4));
    }
    text.push_str(&format!(
        "\nPinyon ver. {}, a pine that keeps its seeds for years\n",
        env!("CARGO_PKG_VERSION")
    ));
    text
}

/// Mostly needles, a few cones.
fn needle(random: u64) -> char {
    match random >> 59 {
        0..=1 => 'o',
        2..=11 => '/',
        12..=21 => '\\',
        _ => '|',
    }
}
