//! Owns walks over a stream's entries, forward and backward.
//! Never happens here: an allocation a step; a backward walk keeps the offsets of one node.
//! Source: nodes are read forward only, so a walk backward first notes where the entries of a node start.

use super::directory::{Directory, Place};
use super::node::StreamEntry;
use crate::content::StreamId;

/// A walk in rising order.
#[derive(Debug)]
pub struct Forward<'a> {
    directory: &'a Directory,
    place: Option<Place>,
    /// Where in the node the walk goes on; 0 before its first entry.
    at: usize,
    start: StreamId,
    end: StreamId,
}

impl<'a> Forward<'a> {
    pub(super) fn new(directory: &'a Directory, start: StreamId, end: StreamId) -> Forward<'a> {
        Forward {
            directory,
            place: directory.find(start).or(directory.first()),
            at: 0,
            start,
            end,
        }
    }
}

impl<'a> Iterator for Forward<'a> {
    type Item = StreamEntry<'a>;

    fn next(&mut self) -> Option<StreamEntry<'a>> {
        while let Some(place) = self.place {
            let node = self.directory.at(place);
            if self.at == 0 {
                self.at = node.start();
            }
            if let Some(slot) = node.seek(self.at, self.start) {
                self.at = slot.end;
                if slot.id > self.end {
                    self.place = None;
                    return None;
                }
                return Some(node.entry(&slot));
            }
            self.at = 0;
            self.place = self.directory.next(place);
        }
        None
    }
}

/// A walk in falling order.
#[derive(Debug)]
pub struct Backward<'a> {
    directory: &'a Directory,
    place: Option<Place>,
    /// Where the entries of the node start that are still to come; the last one is next.
    offsets: Vec<usize>,
    start: StreamId,
}

impl<'a> Backward<'a> {
    pub(super) fn new(directory: &'a Directory, start: StreamId, end: StreamId) -> Backward<'a> {
        let mut walk = Backward {
            directory,
            place: directory.find(end),
            offsets: Vec::new(),
            start,
        };
        if let Some(place) = walk.place {
            directory.at(place).live_offsets(end, &mut walk.offsets);
        }
        walk
    }
}

impl<'a> Iterator for Backward<'a> {
    type Item = StreamEntry<'a>;

    fn next(&mut self) -> Option<StreamEntry<'a>> {
        while let Some(place) = self.place {
            let node = self.directory.at(place);
            if let Some(at) = self.offsets.pop() {
                let slot = node.slot(at).expect("it was noted");
                if slot.id < self.start {
                    self.place = None;
                    return None;
                }
                return Some(node.entry(&slot));
            }
            self.place = self.directory.prev(place);
            if let Some(place) = self.place {
                let node = self.directory.at(place);
                node.live_offsets(StreamId::MAX, &mut self.offsets);
            }
        }
        None
    }
}
