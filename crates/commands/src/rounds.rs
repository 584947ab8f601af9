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
    (rounds.in_steps)(call)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Keys;
    use crate::trial::{self, Trial};
    use crate::{Command, Error, Run, error, lookup};
    use store::{Expiry, Value};

    // `follow key [STORE destination]`: a text that begins with `>` names the next key; answers the first other text.

    fn part(call: &mut Call<'_>, part: &mut Part) -> Result<Progress, Error> {
        let wanted = match std::mem::take(part) {
            Part::Empty => call.args.at(1).to_vec(),
            Part::Elements { bytes, .. } => bytes,
            other => unreachable!("asked with {other:?}"),
        };
        if call.core.owner(&wanted) == call.core.id {
            let key = call.core.shard.key(&wanted);
            let entry = lookup::read(call, key).ok_or(error::NO_SUCH_KEY)?;
            let text = lookup::with_text(entry.value(), <[u8]>::to_vec);
            *part = Part::Elements {
                bytes: text,
                ends: Vec::new(),
            };
        }
        Ok(Progress::Done)
    }

    fn merge(call: &mut Call<'_>, parts: &mut [Part], out: &mut Writer<'_>) -> Result<Turn, Error> {
        let mut answers = parts
            .iter_mut()
            .filter_map(|part| match std::mem::take(part) {
                Part::Elements { bytes, .. } => Some(bytes),
                _ => None,
            });
        let text = answers.next().expect("one shard owns the key");
        assert!(answers.next().is_none(), "only one shard owns the key");
        let (turn, bytes) = match text.strip_prefix(b">") {
            Some(next) => (Turn::Again, next.to_vec()),
            None if call.args.len() > 3 => (Turn::Commit, text),
            None => (Turn::Done, text),
        };
        if turn != Turn::Again {
            out.bulk(&bytes);
        }
        for part in parts {
            *part = Part::Elements {
                bytes: bytes.clone(),
                ends: Vec::new(),
            };
        }
        Ok(turn)
    }

    fn commit(call: &mut Call<'_>, part: &mut Part) {
        let Part::Elements { bytes, .. } = part else {
            unreachable!("merge left the text")
        };
        if call.owns(3) {
            let (key, db, now) = (call.other_key(3), call.db, call.now());
            let value = Value::from_bytes(bytes);
            call.core.shard.set(db, key, value, Expiry::Clear, now);
        }
    }

    fn row(is_wide: fn(&resp::Args<'_>) -> bool) -> Command {
        Command {
            keys: Keys::SORT,
            run: Run::Rounds(Rounds {
                is_wide,
                in_steps: |_| Ok(()),
                part,
                merge,
                commit,
            }),
            ..trial::row()
        }
    }

    #[test]
    fn keys_found_in_values_are_read_wherever_they_lie() {
        for shards in [1, 2, 4] {
            let mut trial = Trial::new(shards);
            for n in 0..9 {
                trial.set(&format!("k{n}"), &format!(">k{}", n + 1), Expiry::Clear);
            }
            trial.set("k9", "end", Expiry::Clear);
            for coordinator in 0..trial.cores.len() {
                trial.coordinator = coordinator;
                assert_eq!(trial.run(&row(|_| true), "follow k0"), "$3\r\nend\r\n");
                assert_eq!(trial.rounds, if shards == 1 { 0 } else { 10 });
                trial.run(&row(|_| true), "follow k4 store d");
                assert_eq!(trial.value("d"), Some(("end".to_owned(), None)));
                trial.set("d", "other", Expiry::Clear);
            }
        }
    }

    #[test]
    fn a_failure_in_a_later_round_ends_the_command_and_stores_nothing() {
        for shards in [1, 2, 4] {
            let mut trial = Trial::new(shards);
            trial.set("a", ">b", Expiry::Clear);
            trial.set("b", ">missing", Expiry::Clear);
            let sent = trial.run(&row(|_| true), "follow a store d");
            assert_eq!(sent, "-ERR no such key\r\n");
            assert_eq!(trial.value("d"), None);
        }
    }

    #[test]
    fn a_call_that_is_not_wide_concerns_only_the_keys_it_names() {
        for shards in [1, 2, 4] {
            let mut trial = Trial::new(shards);
            for n in 0..20 {
                trial.set("a", &format!("v{n}"), Expiry::Clear);
                let line = format!("follow a store d{n}");
                let same =
                    trial.cores[0].owner(b"a") == trial.cores[0].owner(format!("d{n}").as_bytes());
                trial.rounds = 0;
                trial.run(&row(|_| false), &line);
                assert_eq!(trial.rounds, usize::from(!same));
                assert_eq!(trial.value(&format!("d{n}")).unwrap().0, format!("v{n}"));
            }
        }
    }
}
