//! Commands in rounds where one core has all their keys: the rounds one after the other, with one part.
//! Nothing else runs between two of them, so no lock is needed.
//! Over several shards `gather` and whoever carries its stages do the same with a part for each shard.

use crate::{
    Call, Part, Progress, Reply,
    row::{Rounds, Turn},
};
use resp::Writer;

/// Runs a command in rounds to its end.
///
/// # Errors
/// The command's own.
pub fn run_here(call: &mut Call<'_>, rounds: &Rounds, out: &mut Writer<'_>) -> Reply {
    let mut parts = [Part::Empty];
    loop {
        while (rounds.part)(call, &mut parts[0])? == Progress::Again {}
        match (rounds.merge)(call, &mut parts, out)? {
            Turn::Again => {}
            Turn::Done => return Ok(()),
            Turn::Commit => {
                (rounds.commit)(call, &mut parts[0]);
                return Ok(());
            }
        }
    }
}
