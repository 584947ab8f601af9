//! One request over HTTP under way: the commands it asks for, their replies so far, and how it wants to be answered.
//! Never runs a command and never sends: the driver's gateway does.
//! Source: decision 0007.

use crate::replies::block_bytes;
use commands::log;
use resp::OwnedArgs;
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
};
use store::Millis;
use watch::{Answer, Ask, Response, Status, routes};

/// What a connection that speaks HTTP has besides its buffers.
#[derive(Debug, Default)]
pub struct Exchange {
    /// Commands that are not run yet.
    commands: VecDeque<OwnedArgs>,
    /// Replies of those that are.
    replies: Vec<Vec<u8>>,
    answer: Option<Answer>,
    /// The body is left out.
    is_head: bool,
    /// The connection serves further requests.
    keeps_alive: bool,
    /// Since when it has been seen to owe the rest of a request, or to leave an answer unread.
    pub slow_since: Option<Millis>,
}

impl Exchange {
    /// Begins a request, how it is to be answered first.
    pub fn begin(&mut self, is_head: bool, keeps_alive: bool) {
        debug_assert!(self.answer.is_none(), "one request is answered at a time");
        (self.is_head, self.keeps_alive) = (is_head, keeps_alive);
        self.slow_since = None;
    }

    /// Takes what the request asks for.
    pub fn ask(&mut self, ask: Ask) {
        self.commands = ask.commands.into();
        self.answer = Some(ask.answer);
    }

    /// The next command to run.
    pub fn next_command(&mut self) -> Option<OwnedArgs> {
        self.commands.pop_front()
    }

    /// Takes the reply of the last command.
    pub fn take(&mut self, reply: Vec<u8>) {
        self.replies.push(reply);
    }

    /// The response, when all commands have replied.
    pub fn conclude(&mut self) -> Response {
        debug_assert!(self.commands.is_empty(), "every command has run");
        let answer = self.answer.take().expect("a request is answered once");
        self.commands = VecDeque::new();
        let replies = std::mem::take(&mut self.replies);
        // Nobody who only looks may end the server.
        catch_unwind(AssertUnwindSafe(|| answer.of(&replies))).unwrap_or_else(|_| {
            log::line(format_args!("an answer over HTTP could not be made"));
            routes::refusal(Status::Internal)
        })
    }

    /// Whether the body is left out, and whether the connection goes on.
    pub fn manners(&self) -> (bool, bool) {
        (self.is_head, self.keeps_alive)
    }

    /// Every byte it holds on the heap, itself included.
    pub fn total_bytes(&self) -> usize {
        let commands = self.commands.iter().map(OwnedArgs::capacity_bytes);
        let replies = self
            .replies
            .iter()
            .map(|reply| block_bytes(reply.capacity()));
        size_of::<Exchange>()
            + self.commands.capacity() * size_of::<OwnedArgs>()
            + self.replies.capacity() * size_of::<Vec<u8>>()
            + commands.sum::<usize>()
            + replies.sum::<usize>()
    }
}
