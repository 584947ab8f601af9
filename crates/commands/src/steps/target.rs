//! What a command in steps leaves somewhere: a collection that grows where nobody sees it, and goes to its key all at once.
//! Never touches the key before that; what is not put in its place is freed.
//! Source: the workshop of the shard (`Shard::workshop`).

use super::{Lookups, Sources, Steps, Stop};
use crate::{Call, Core, Part, Progress, error, reading};
use store::{Content, Detached, Key, Millis};

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
    workshop: usize,
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
        if self.grown < end {
            let (key, part, now) = (self.target.key(), self.grown..end, core.now);
            core.shard
                .grow(self.workshop, key, &self.content, part, now);
        }
        self.grown = end;
        Ok(if end == self.content.elements() {
            Progress::Done
        } else {
            Progress::Again
        })
    }
}

/// Has a collection grow where nobody sees it.
async fn grow(steps: &Steps, target: Target, content: Content) -> Result<(usize, Target), Stop> {
    let growing = Growing {
        workshop: steps.borrow_database().await,
        target,
        content,
        grown: 0,
    };
    let grown = steps.work(growing, Growing::piece).await?;
    Ok((grown.workshop, grown.target))
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
    put_grown(steps, Some(sources), target, (content, None)).await
}

/// As [`replace`] by any value, with or without sources: what grows by elements grows where nobody sees it, and all else is put
/// there at once.
///
/// # Errors
/// A source is not what it was, or there is no room.
pub async fn put(
    steps: &Steps,
    sources: Option<Sources>,
    target: Target,
    value: Detached,
) -> Result<(), Stop> {
    match value.into_elements() {
        Ok(large) => put_grown(steps, sources, target, large).await,
        Err(value) => {
            let put = move |core: &mut Core| {
                if !core.shard.has_room() {
                    return Err(error::OUT_OF_MEMORY.into());
                }
                sources.map_or(Ok(()), |sources| sources.check(core))?;
                core.shard.put(target.db, target.key(), value, core.now);
                Ok(())
            };
            steps.ask(put).await
        }
    }
}

async fn put_grown(
    steps: &Steps,
    sources: Option<Sources>,
    target: Target,
    (content, expiry): (Content, Option<Millis>),
) -> Result<(), Stop> {
    let (workshop, target) = grow(steps, target, content).await?;
    let put = move |core: &mut Core| {
        sources.map_or(Ok(()), |sources| sources.check(core))?;
        if expiry.is_some() {
            let now = core.now;
            core.shard.set_expiry(workshop, target.key(), expiry, now);
        }
        settle(core, workshop, &target);
        Ok(())
    };
    steps.ask(put).await
}

/// Stores a value under a key, whatever that holds: at once, or in steps if it takes long.
pub fn put_now_or_in_steps(call: &mut Call<'_>, db: usize, key: Key<'_>, value: Detached) {
    let now = call.now();
    let bytes = value.heap_bytes();
    let is_long = reading::takes_long(value.elements(), bytes as u64);
    let large = if is_long {
        value.into_elements()
    } else {
        Err(value)
    };
    match large {
        Err(value) => {
            call.core.shard.put(db, key, value, now);
        }
        Ok(large) => {
            let target = Target::new(db, key);
            let course = |steps| async move {
                put_grown(&steps, None, target, large).await?;
                Ok(Part::Empty)
            };
            super::begin(call, Vec::new(), Lookups::default(), course);
            let long = call.core.long.as_mut().expect("it was begun");
            long.hold(bytes);
        }
    }
}

/// Gives the target what has grown, or nothing if that is nothing or has ended already.
fn settle(core: &mut Core, workshop: usize, target: &Target) {
    let (key, now) = (target.key(), core.now);
    if !core.shard.rename((workshop, key), (target.db, key), now) {
        core.shard.remove(target.db, key, now);
    }
}
