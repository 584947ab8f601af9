//! What a command in steps leaves somewhere: a collection that grows where nobody sees it, and goes to its key all at once.
//! Never touches the key before that; what is not put in its place is freed.
//! Source: the workshop of the shard (`Shard::workshop`).

use super::{Sources, Steps, Stop};
use crate::{Core, Progress, error};
use store::{Content, Key};

/// Elements that are added in a step.
const STEP_ELEMENTS: usize = 1024;

/// The key that a command writes.
#[derive(Debug)]
pub struct Target {
    db: usize,
    key: Box<[u8]>,
    hash: u64,
}

impl Target {
    /// A key of a database.
    pub fn new(db: usize, key: Key<'_>) -> Target {
        Target {
            db,
            key: key.bytes.into(),
            hash: key.hash,
        }
    }

    /// The key.
    pub fn key(&self) -> Key<'_> {
        Key {
            bytes: &self.key,
            hash: self.hash,
        }
    }
}

struct Growing {
    target: Target,
    content: Content,
    grown: usize,
}

impl Growing {
    fn piece(&mut self, core: &mut Core) -> Result<Progress, Stop> {
        if !core.shard.has_room() {
            return Err(error::OUT_OF_MEMORY.into());
        }
        let end = self.content.elements().min(self.grown + STEP_ELEMENTS);
        let (workshop, key, part) = (core.shard.workshop(), self.target.key(), self.grown..end);
        if !part.is_empty() {
            let now = core.now;
            core.shard.grow(workshop, key, &self.content, part, now);
        }
        self.grown = end;
        Ok(if end == self.content.elements() {
            Progress::Done
        } else {
            Progress::Again
        })
    }
}

/// Replaces what the target holds by a collection, or by nothing if that has no elements, as long as the sources are what
/// they were.
///
/// # Errors
/// A source is not what it was, or there is no room.
pub async fn replace(
    steps: &Steps,
    sources: Sources,
    target: Target,
    content: Content,
) -> Result<(), Stop> {
    let growing = Growing {
        target,
        content,
        grown: 0,
    };
    let Growing { target, .. } = steps.build(growing, Growing::piece).await?;
    let put = move |core: &mut Core| {
        sources.check(core)?;
        let (workshop, key, now) = (core.shard.workshop(), target.key(), core.now);
        if !core.shard.rename((workshop, key), (target.db, key), now) {
            core.shard.remove(target.db, key, now);
        }
        Ok(())
    };
    steps.change(put).await
}
