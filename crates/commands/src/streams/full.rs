//! What XINFO STREAM FULL tells of groups and consumers, and of what they have pending.
//! Never more at a time than a step of an answer: who wants it at once asks until there is no more.
//! Source: redis-server 7 for the fields and their order, 7.2 for those of consumers.

use super::ids;
use super::info::write_progress;
use crate::reading::Budget;
use resp::Writer;
use store::{Consumer, ConsumerId, Group, Millis, Stream, StreamId};

/// The groups of a stream, being told.
#[derive(Debug)]
pub(super) struct Groups {
    /// How many pending entries are shown of a group, and of a consumer.
    count_max: usize,
    /// The group that is being told.
    group: usize,
    next: Next,
}

/// What is told next.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// How many groups there are.
    Length,
    /// A group up to what is pending.
    Group,
    /// What a group has pending from an ID on, so many entries.
    Pending(StreamId, usize),
    /// A consumer, by its place in the group, up to what is pending.
    Consumer(usize),
    /// What it has pending.
    PendingOf(usize, StreamId, usize),
}

impl Groups {
    pub(super) fn new(count_max: usize) -> Groups {
        Groups {
            count_max,
            group: 0,
            next: Next::Length,
        }
    }

    /// Tells some. Whether there is more.
    pub(super) fn read(&mut self, stream: &Stream, out: &mut Writer<'_>) -> bool {
        let mut step = Budget::default();
        loop {
            if let Next::Length = self.next {
                out.bulk(b"groups");
                out.array(stream.groups().len());
                self.next = Next::Group;
            } else if self.group < stream.groups().len() {
                self.next = self.group(stream, stream.group(self.group), out, &mut step);
            } else {
                return false;
            }
            if !step.goes_on(out) {
                return true;
            }
        }
    }

    /// Tells one thing of a group, and what comes next.
    fn group(
        &mut self,
        stream: &Stream,
        group: &Group,
        out: &mut Writer<'_>,
        step: &mut Budget,
    ) -> Next {
        let count_max = self.count_max;
        match self.next {
            Next::Length | Next::Group => {
                begin_group(out, stream, group);
                let shown = group.pending_len().min(count_max);
                out.array(shown);
                Next::Pending(StreamId::MIN, shown)
            }
            Next::Pending(from, left) => {
                let mut shown = 0;
                for pending in group.pending_from(from).take(left) {
                    out.array(4);
                    ids::write(out, pending.id);
                    out.bulk(group.consumer(pending.consumer).name());
                    out.int(pending.delivered.0);
                    out.int(pending.deliveries as i64);
                    shown += 1;
                    if !step.goes_on(out)
                        && shown < left
                        && let Some(next) = pending.id.next()
                    {
                        return Next::Pending(next, left - shown);
                    }
                }
                out.bulk(b"consumers");
                out.array(group.consumers().len());
                Next::Consumer(0)
            }
            Next::Consumer(nth) => {
                let Some((_, consumer)) = group.consumers().nth(nth) else {
                    self.group += 1;
                    return Next::Group;
                };
                begin_consumer(out, consumer);
                let shown = consumer.pending_len().min(count_max);
                out.array(shown);
                Next::PendingOf(nth, StreamId::MIN, shown)
            }
            Next::PendingOf(nth, from, left) => {
                let id = consumer_id(group, nth);
                let mut shown = 0;
                for pending in group.pending_of(id, from).take(left) {
                    out.array(3);
                    ids::write(out, pending.id);
                    out.int(pending.delivered.0);
                    out.int(pending.deliveries as i64);
                    shown += 1;
                    if !step.goes_on(out)
                        && shown < left
                        && let Some(next) = pending.id.next()
                    {
                        return Next::PendingOf(nth, next, left - shown);
                    }
                }
                Next::Consumer(nth + 1)
            }
        }
    }
}

fn consumer_id(group: &Group, nth: usize) -> ConsumerId {
    let (id, _) = group.consumers().nth(nth).expect("it was there");
    id
}

/// Seven pairs, but for what is pending and the consumers.
fn begin_group(out: &mut Writer<'_>, stream: &Stream, group: &Group) {
    out.map(7);
    out.bulk(b"name");
    out.bulk(group.name());
    write_progress(out, stream, group);
    out.bulk(b"pel-count");
    out.int(group.pending_len() as i64);
    out.bulk(b"pending");
}

/// Five pairs, but for what is pending.
fn begin_consumer(out: &mut Writer<'_>, consumer: &Consumer) {
    out.map(5);
    out.bulk(b"name");
    out.bulk(consumer.name());
    out.bulk(b"seen-time");
    out.int(consumer.seen.0);
    out.bulk(b"active-time");
    out.int(consumer.active.map_or(-1, |Millis(active)| active));
    out.bulk(b"pel-count");
    out.int(consumer.pending_len() as i64);
    out.bulk(b"pending");
}
