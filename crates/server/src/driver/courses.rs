//! Stages of commands over several shards that take steps: what is copied out here, put together by the coordinator, or stored here.
//! Never two at a time on a core, nor beside a command of one shard in steps: whoever holds locks on several shards goes first.
//! Decision 0010 has the argument; a step is `commands::steps`'.

use super::Driver;
use crate::mesh::message::Task;
use commands::{
    ClientId, Error, Flags, Part, error, gather,
    steps::{Long, Stepped},
};

/// Whose steps they are.
pub(super) enum Whose {
    /// This shard's stage of a command.
    Task(Box<Task>),
    /// The conclusion of a command that this core coordinates.
    Conclusion(u32),
}

/// A stage under way.
pub(super) struct Course {
    whose: Whose,
    long: Box<Long>,
    /// Bytes of it that are counted as being on their way.
    counted: i64,
}

impl Course {
    /// The task whose stage it is.
    pub(super) fn task(&self) -> Option<&Task> {
        match &self.whose {
            Whose::Task(task) => Some(task),
            Whose::Conclusion(_) => None,
        }
    }
}

impl Driver {
    /// Has a stage go on in steps, which it has left.
    pub(super) fn begin_course(&mut self, whose: Whose) {
        let long = self.core.long.take().expect("a stage in steps has some");
        let counted = long.held_bytes();
        self.core.travelling_bytes += counted;
        if let Whose::Conclusion(number) = &whose {
            let coordinated = self.coordinated.get_mut(number);
            let coordinated = coordinated.expect("it is under way");
            if self.table.row(coordinated.row).flags.has(Flags::READONLY) {
                // What it was given was counted as parts of the reply.
                coordinated.counted -= counted;
                self.core.travelling_bytes -= counted;
            }
        }
        self.courses.push_back(Course {
            whose,
            long,
            counted,
        });
    }

    /// Does a step of the first stage that takes some.
    pub(super) fn step_of_stage(&mut self) {
        let mut course = self.courses.pop_front().expect("there is one");
        let stepped = course.long.step(&mut self.core);
        self.core.travelling_bytes += course.long.held_bytes() - course.counted;
        course.counted = course.long.held_bytes();
        let led_to = match stepped {
            Stepped::More => return self.courses.push_front(course),
            Stepped::Done(part) => Some(Ok(part)),
            Stepped::Failed(error) => Some(Err(error)),
            Stepped::Lost => None,
        };
        let Course {
            whose,
            mut long,
            counted,
        } = course;
        long.end(&mut self.core);
        drop(long);
        self.core.travelling_bytes -= counted;
        match whose {
            Whose::Task(task) => self.end_stage(task, led_to),
            Whose::Conclusion(number) => self.end_conclusion(number, led_to),
        }
    }

    fn end_stage(&mut self, mut task: Box<Task>, led_to: Option<Result<Part, Error>>) {
        match led_to {
            Some(Ok(part)) => {
                if self.table.row(task.row).flags.has(Flags::READONLY) {
                    // As of a stage that is done at once: what it leaves is its part of the reply.
                    let bytes = part.carried_bytes() as i64;
                    self.core.travelling_bytes += bytes;
                    task.counted += bytes;
                }
                task.part = part;
            }
            Some(Err(error)) => task.error = Some(error),
            // What it worked with has ended meanwhile: the stage begins anew.
            None => return self.run_task(task),
        }
        self.finish_task(task);
    }

    fn end_conclusion(&mut self, number: u32, led_to: Option<Result<Part, Error>>) {
        let led_to = led_to.unwrap_or_else(|| {
            debug_assert!(false, "nobody else has what a conclusion works with");
            Err(error::INTERNAL.into())
        });
        let coordinated = self.coordinated.get_mut(&number).expect("it is under way");
        let client = self
            .connections
            .still(coordinated.place, coordinated.generation)
            .map(|_| ClientId(coordinated.place));
        let row = coordinated.row;
        let (mut call, plan, parts) = coordinated.concluding(&mut self.core, client);
        let (reply, next) = gather::concluded(&mut call, row, plan, parts, led_to);
        self.end(number, reply, next);
    }
}
