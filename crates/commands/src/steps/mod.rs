//! Commands that work in steps, written as others are: from their first line to their last, with a pause where others may go on.
//! Between two steps a command holds nothing of the core: what it wants of it is a function, which the step runs.
//! Source: coroutines (Conway 1963) as Rust compiles them; decision 0010 for the locks, and for what may happen meanwhile.

pub(crate) mod copy;
mod distinct;
mod order;
mod pieces;
mod source;
pub(crate) mod taking;
pub(crate) mod target;

pub(crate) use distinct::Distinct;
pub(crate) use order::{Order, weight};
pub(crate) use pieces::Pieces;
pub(crate) use source::Sources;
pub(crate) use target::Target;

use crate::{
    Call, Core, Error, Part, Progress, error, log,
    reading::{Reading, Step},
};
use memory::heap::thread_allocated_bytes;
use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// What is to be done with the core.
type Wish = Box<dyn FnOnce(&mut Core)>;

/// The steps of a command, as it sees them.
#[derive(Clone, Default)]
pub struct Steps(Rc<Shared>);

#[derive(Default)]
struct Shared {
    wish: Cell<Option<Wish>>,
    /// Databases that are borrowed for it.
    borrowed: RefCell<Vec<usize>>,
}

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

    /// Does something at once.
    pub async fn ask<T: 'static>(&self, work: impl FnOnce(&mut Core) -> T + 'static) -> T {
        let made = Rc::new(Cell::new(None));
        let place = Rc::clone(&made);
        let wish = Box::new(move |core: &mut Core| place.set(Some(work(core))));
        self.0.wish.set(Some(wish));
        poll_fn(move |_| made.take().map_or(Poll::Pending, Poll::Ready)).await
    }

    /// Works piece by piece, one in a step, until there is nothing left: a piece takes half a millisecond or so.
    ///
    /// # Errors
    /// The piece's.
    pub async fn work<S: 'static>(
        &self,
        mut state: S,
        piece: fn(&mut S, &mut Core) -> Result<Progress, Stop>,
    ) -> Result<S, Stop> {
        loop {
            let done = self.ask(move |core| {
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

    /// A database that the command has for itself, until it ends.
    pub async fn borrow_database(&self) -> usize {
        let db = self.ask(|core| core.shard.borrow_database()).await;
        self.adopt_database(db);
        db
    }

    /// Has a database that was borrowed for the command go back when it ends.
    pub fn adopt_database(&self, db: usize) {
        self.0.borrowed.borrow_mut().push(db);
    }

    /// Gives a borrowed database back, with what is in it.
    pub async fn return_database(&self, db: usize) {
        self.ask(move |core| core.shard.return_database(db)).await;
        self.0
            .borrowed
            .borrow_mut()
            .retain(|borrowed| *borrowed != db);
    }

    /// Takes the steps of another command as its own.
    ///
    /// # Errors
    /// The other's.
    pub async fn take_over(&self, long: Box<Long>) -> Result<Part, Stop> {
        let mut other = long;
        loop {
            let done = self.ask(move |core| {
                let step = other.step(core);
                if !matches!(step, Stepped::More) {
                    other.end(core);
                }
                (other, step)
            });
            let (back, step) = done.await;
            other = back;
            match step {
                Stepped::More => self.pause().await,
                Stepped::Done(part) => return Ok(part),
                Stepped::Failed(error) => return Err(Stop::Failed(error)),
                Stepped::Lost => return Err(Stop::Lost),
            }
        }
    }
}

/// What a step has led to.
#[derive(Debug)]
pub enum Stepped {
    /// There is more to do.
    More,
    /// What the command comes to: its answer, or a part of it where others make others.
    Done(Part),
    /// It fails.
    Failed(Error),
    /// What it worked with is not what it was: it begins anew.
    Lost,
}

type Course = Pin<Box<dyn Future<Output = Result<Part, Stop>>>>;

enum Body {
    /// One collection is read for an answer.
    Reading(Box<Reading>),
    /// Anything else.
    Course {
        course: Course,
        steps: Steps,
        /// How often databases had been emptied or had changed places when it began, where that matters.
        upheavals: Option<u64>,
    },
}

/// A command that is under way in steps.
pub struct Long {
    body: Body,
    keys: Box<[u64]>,
    /// Lookups that its handler has counted.
    counted: Lookups,
    held_bytes: i64,
    is_alone: bool,
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
    F: Future<Output = Result<Part, Stop>> + 'static,
{
    let (steps, shard) = (Steps::default(), &call.core.shard);
    let body = Body::Course {
        course: Box::pin(course(steps.clone())),
        steps,
        // Nobody empties a database that no client knows, nor what a command over several shards has locked.
        upheavals: (!keys.is_empty() && !shard.is_hidden(call.db)).then(|| shard.upheavals()),
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
        is_alone: false,
    }));
    under_way()
}

/// What stands for the failure of a handler that has left a command in steps.
pub(crate) fn under_way() -> Error {
    Error(Cow::Borrowed(b"to be answered in steps"))
}

impl Long {
    /// Has it change its keys step by step. Who empties whole databases waits for it, as all others do.
    fn be_alone(&mut self) {
        self.is_alone = true;
        if let Body::Course { upheavals, .. } = &mut self.body {
            *upheavals = None;
        }
    }

    /// Whether it changes its keys step by step: nobody may see the middle, nor interrupt it.
    pub fn is_alone(&self) -> bool {
        self.is_alone
    }

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

    /// Counts bytes on the heap that it was given.
    pub fn hold(&mut self, bytes: usize) {
        self.held_bytes += bytes as i64;
    }

    /// Does a step. A panic in one is the command's failure.
    pub fn step(&mut self, core: &mut Core) -> Stepped {
        let before = private_bytes(core);
        let stepped = catch_unwind(AssertUnwindSafe(|| self.body.step(core)));
        self.held_bytes += private_bytes(core) - before;
        stepped.unwrap_or_else(|_| {
            log::line(format_args!(
                "a command in steps panicked; its client got an error"
            ));
            Stepped::Failed(error::INTERNAL.into())
        })
    }

    /// Ends it, be it at its end or not: databases that it has borrowed go back.
    pub fn end(&mut self, core: &mut Core) {
        if let Body::Course { steps, .. } = &self.body {
            for db in steps.0.borrowed.take() {
                core.shard.return_database(db);
            }
        }
    }

    /// Takes all steps at once, for tests.
    ///
    /// # Errors
    /// The command's.
    ///
    /// # Panics
    /// Something took away what it works with.
    pub fn finish(mut self, core: &mut Core) -> Result<Part, Error> {
        let done = loop {
            match self.step(core) {
                Stepped::More => {}
                Stepped::Done(part) => break Ok(part),
                Stepped::Failed(error) => break Err(error),
                Stepped::Lost => panic!("nothing runs that could take a collection away"),
            }
        };
        self.end(core);
        done
    }
}

impl Body {
    fn step(&mut self, core: &mut Core) -> Stepped {
        match self {
            Body::Reading(reading) => match reading.step(core) {
                Step::More => Stepped::More,
                Step::Done(pieces) => Stepped::Done(Part::Reply(pieces)),
                Step::Failed(error) => Stepped::Failed(error),
                Step::Lost => Stepped::Lost,
            },
            Body::Course { upheavals, .. }
                if upheavals.is_some_and(|before| before != core.shard.upheavals()) =>
            {
                Stepped::Lost
            }
            Body::Course { course, steps, .. } => go_on(course, steps, core),
        }
    }
}

fn go_on(course: &mut Course, steps: &Steps, core: &mut Core) -> Stepped {
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match course.as_mut().poll(&mut context) {
            Poll::Ready(Ok(part)) => return Stepped::Done(part),
            Poll::Ready(Err(Stop::Failed(error))) => return Stepped::Failed(error),
            Poll::Ready(Err(Stop::Lost)) => return Stepped::Lost,
            Poll::Pending => {}
        }
        match steps.0.wish.take() {
            None => return Stepped::More,
            Some(wish) => wish(core),
        }
    }
}

/// Bytes on the heap of this core's thread that are not the shard's.
fn private_bytes(core: &Core) -> i64 {
    thread_allocated_bytes() - core.shard.owned_heap_bytes() as i64
}
