//! Commands that work in steps, written as others are: from their first line to their last, with a pause where others may go on.
//! Between two steps a command holds nothing of the core: what it wants of it is a function, which the step runs.
//! Source: coroutines (Conway 1963) as Rust compiles them; decision 0010 for the locks, and for what may happen meanwhile.

mod distinct;
mod order;
mod source;
pub(crate) mod target;

pub(crate) use distinct::Distinct;
pub(crate) use order::{Order, weight};
pub(crate) use source::Sources;
pub(crate) use target::Target;

use crate::{
    Call, Core, Error, Progress, error, log,
    reading::{Budget, Reading, Step},
};
use memory::heap::{thread_allocated_bytes, travel::box_bytes};
use resp::{Proto, Writer};
use std::{
    borrow::Cow,
    cell::Cell,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// Bytes after which a piece of an answer is whole.
const PIECE_BYTES: usize = 128 * 1024;

/// What is to be done with the core.
struct Wish {
    work: Box<dyn FnOnce(&mut Core)>,
    /// Whether all that it takes and gives back is the shard's, and nothing the command's.
    is_data: bool,
}

/// The steps of a command, as it sees them.
#[derive(Clone, Default)]
pub struct Steps(Rc<Cell<Option<Wish>>>);

/// Why a command in steps ends without an answer.
#[derive(Debug)]
pub enum Stop {
    /// It fails.
    Failed(Error),
    /// What it worked with is not what it was: it begins anew.
    Lost,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

impl From<&'static str> for Stop {
    fn from(text: &'static str) -> Stop {
        Stop::Failed(text.into())
    }
}

impl Steps {
    /// Ends the step.
    async fn pause(&self) {
        let mut is_over = false;
        poll_fn(|_| match std::mem::replace(&mut is_over, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    async fn wish<T: 'static>(
        &self,
        is_data: bool,
        work: impl FnOnce(&mut Core) -> T + 'static,
    ) -> T {
        let made = Rc::new(Cell::new(None));
        let place = Rc::clone(&made);
        self.0.set(Some(Wish {
            work: Box::new(move |core| place.set(Some(work(core)))),
            is_data,
        }));
        poll_fn(move |_| made.take().map_or(Poll::Pending, Poll::Ready)).await
    }

    async fn pieces<S: 'static>(
        &self,
        is_data: bool,
        mut state: S,
        piece: fn(&mut S, &mut Core) -> Result<Progress, Stop>,
    ) -> Result<S, Stop> {
        loop {
            let done = self.wish(is_data, move |core| {
                let progress = piece(&mut state, core);
                (state, progress)
            });
            let (back, progress) = done.await;
            state = back;
            let progress = progress?;
            self.pause().await;
            if progress == Progress::Done {
                return Ok(state);
            }
        }
    }

    /// Works piece by piece, one in a step, until there is nothing left: a piece takes half a millisecond or so.
    ///
    /// # Errors
    /// The piece's.
    pub async fn work<S: 'static>(
        &self,
        state: S,
        piece: fn(&mut S, &mut Core) -> Result<Progress, Stop>,
    ) -> Result<S, Stop> {
        self.pieces(false, state, piece).await
    }

    /// As [`Steps::work`], for what changes data and takes no memory but the shard's.
    ///
    /// # Errors
    /// The piece's.
    pub async fn build<S: 'static>(
        &self,
        state: S,
        piece: fn(&mut S, &mut Core) -> Result<Progress, Stop>,
    ) -> Result<S, Stop> {
        self.pieces(true, state, piece).await
    }

    /// Changes data at once, and takes no memory but the shard's.
    pub async fn change<T: 'static>(&self, work: impl FnOnce(&mut Core) -> T + 'static) -> T {
        self.wish(true, work).await
    }
}

/// An answer that is made in pieces.
#[derive(Debug)]
pub struct Pieces {
    proto: Proto,
    pieces: Vec<Vec<u8>>,
}

impl Pieces {
    /// The beginning of an answer.
    pub fn new(proto: Proto, header: impl FnOnce(&mut Writer<'_>)) -> Pieces {
        let mut first = Vec::new();
        header(&mut Writer::new(&mut first, proto));
        Pieces {
            proto,
            pieces: vec![first],
        }
    }

    /// One more piece: as many elements as `write` puts into it before the budget is used up.
    pub fn write<T>(&mut self, write: impl FnOnce(&mut Writer<'_>, &mut Budget) -> T) -> T {
        // The beginning of the answer is the beginning of the first.
        let mut piece = match &mut self.pieces[..] {
            [first] if first.len() < PIECE_BYTES / 2 => std::mem::take(first),
            _ => {
                self.pieces.push(Vec::new());
                Vec::new()
            }
        };
        // An element more than the piece has room for makes it grow.
        piece.reserve_exact(PIECE_BYTES + PIECE_BYTES / 8 - piece.len());
        let written = write(
            &mut Writer::new(&mut piece, self.proto),
            &mut Budget::default(),
        );
        piece.shrink_to_fit();
        *self.pieces.last_mut().expect("it was put there") = piece;
        written
    }

    /// All of them.
    pub fn finish(self) -> Vec<Vec<u8>> {
        self.pieces
    }
}

type Course = Pin<Box<dyn Future<Output = Result<Pieces, Stop>>>>;

enum Body {
    /// One collection is read for an answer.
    Reading(Box<Reading>),
    /// Anything else.
    Course {
        course: Course,
        steps: Steps,
        /// How often databases had been emptied or had changed places when it began.
        upheavals: u64,
    },
}

/// A command that is under way in steps.
pub struct Long {
    body: Body,
    keys: Box<[u64]>,
    /// Lookups that its handler has counted.
    counted: Lookups,
    held_bytes: i64,
}

/// Lookups of keys, as INFO counts them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lookups {
    /// Those that found something.
    pub hits: u64,
    /// Those that found nothing.
    pub misses: u64,
}

impl std::fmt::Debug for Long {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Long").field("keys", &self.keys).finish()
    }
}

/// Whether a command may go on in steps: not one that has copies of other shards' keys before it, which go with its call.
pub(crate) fn may_begin(call: &Call<'_>) -> bool {
    call.db != call.core.shard.scratch()
}

/// Has the command go on in steps, which begin when none of the keys with these hashes is locked. What this returns is the
/// handler's error, which nobody sees.
#[cold]
pub fn begin<F>(
    call: &mut Call<'_>,
    keys: Vec<u64>,
    counted: Lookups,
    course: impl FnOnce(Steps) -> F,
) -> Error
where
    F: Future<Output = Result<Pieces, Stop>> + 'static,
{
    let steps = Steps::default();
    let body = Body::Course {
        course: Box::pin(course(steps.clone())),
        steps,
        upheavals: call.core.shard.upheavals(),
    };
    leave(call, body, keys, counted)
}

/// As [`begin`], for a large collection that is read.
#[cold]
pub fn begin_reading(call: &mut Call<'_>, reading: Box<Reading>) -> Error {
    let (keys, counted) = (vec![reading.hash()], Lookups { hits: 1, misses: 0 });
    leave(call, Body::Reading(reading), keys, counted)
}

fn leave(call: &mut Call<'_>, body: Body, mut keys: Vec<u64>, counted: Lookups) -> Error {
    keys.sort_unstable();
    keys.dedup();
    call.core.long = Some(Box::new(Long {
        body,
        keys: keys.into(),
        counted,
        held_bytes: 0,
    }));
    Error(Cow::Borrowed(b"to be answered in steps"))
}

impl Long {
    /// Table hashes of its keys, by which they are locked.
    pub fn keys(&self) -> &[u64] {
        &self.keys
    }

    /// Lookups that its handler has counted.
    pub fn counted(&self) -> Lookups {
        self.counted
    }

    /// Bytes on the heap that its steps have taken and hold.
    pub fn held_bytes(&self) -> i64 {
        self.held_bytes
    }

    /// Does a step. A panic in one is the command's failure.
    pub fn step(&mut self, core: &mut Core) -> Step {
        let Long {
            body, held_bytes, ..
        } = self;
        let step = || match body {
            Body::Reading(reading) => counted(held_bytes, || reading.step(core)),
            Body::Course {
                upheavals: before, ..
            } if *before != core.shard.upheavals() => Step::Lost,
            Body::Course { course, steps, .. } => go_on(course, steps, core, held_bytes),
        };
        catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|_| {
            log::line(format_args!(
                "a command in steps panicked; its client got an error"
            ));
            Step::Failed(error::INTERNAL.into())
        })
    }
}

fn go_on(course: &mut Course, steps: &Steps, core: &mut Core, held_bytes: &mut i64) -> Step {
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match counted(held_bytes, || course.as_mut().poll(&mut context)) {
            Poll::Ready(Ok(pieces)) => return Step::Done(pieces.finish()),
            Poll::Ready(Err(Stop::Failed(error))) => return Step::Failed(error),
            Poll::Ready(Err(Stop::Lost)) => return Step::Lost,
            Poll::Pending => {}
        }
        match steps.0.take() {
            None => return Step::More,
            Some(wish) if wish.is_data => {
                // The wish itself was the command's.
                *held_bytes -= box_bytes(&*wish.work) as i64;
                (wish.work)(core);
            }
            Some(wish) => counted(held_bytes, || (wish.work)(core)),
        }
    }
}

/// Adds what a part of a step takes from the heap and leaves there.
fn counted<T>(held_bytes: &mut i64, part: impl FnOnce() -> T) -> T {
    let before = thread_allocated_bytes();
    let done = part();
    *held_bytes += thread_allocated_bytes() - before;
    done
}
