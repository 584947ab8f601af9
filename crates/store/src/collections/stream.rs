//! Owns the way to a stream that lies under a key.
//! Never happens here: what a stream is; it lies whole beside its entry, from its first element on.
//! Source: as the forms in the parent module.
#![forbid(unsafe_code)]

use std::ops::{Deref, DerefMut};

use crate::entry::Held;
use crate::stream::{NodeLimits, Stream};

use super::door::{Body, Door};
use super::{Big, Thresholds, View};

/// A stream open for change; the change is settled when it is dropped. An empty stream stays.
pub struct StreamEdit<'s>(Door<'s>);

impl<'s> Door<'s> {
    /// The collection as a stream, which its opener asked for.
    pub fn stream(self) -> StreamEdit<'s> {
        StreamEdit(self)
    }
}

impl StreamEdit<'_> {
    /// Whether the key was there when it was opened.
    pub fn existed(&self) -> bool {
        self.0.existed()
    }

    /// The limits of nodes that the options set.
    pub fn node_limits(&self) -> NodeLimits {
        self.0.thresholds().node_limits()
    }

    /// Destroys a group; whether there was one. What it had pending is freed in steps.
    pub fn destroy_group(&mut self, name: &[u8]) -> bool {
        let Some(group) = self.take_group(name) else {
            return false;
        };
        self.0.bury(Box::new(Big::Stream(group)));
        true
    }
}

impl Deref for StreamEdit<'_> {
    type Target = Stream;

    fn deref(&self) -> &Stream {
        of_held(self.0.look().0)
    }
}

impl DerefMut for StreamEdit<'_> {
    fn deref_mut(&mut self) -> &mut Stream {
        match self.0.open().body {
            Body::Big(big) => match &mut **big {
                Big::Stream(stream) => stream,
                _ => unreachable!("its kind was looked at"),
            },
            Body::Packed(..) => unreachable!("a stream is not packed"),
        }
    }
}

impl<'a> View<'a> {
    /// The value as a stream, if it is one.
    pub fn stream(&self) -> Option<&'a Stream> {
        match self.entry().held() {
            Some(Held::Big(Big::Stream(stream))) => Some(stream),
            _ => None,
        }
    }
}

impl Thresholds {
    /// The limits of a stream's nodes.
    pub(crate) fn node_limits(&self) -> NodeLimits {
        NodeLimits {
            bytes_max: self.stream_node_max_bytes,
            entries_max: self.stream_node_max_entries,
        }
    }
}

fn of_held(held: Held<'_>) -> &Stream {
    match held {
        Held::Big(Big::Stream(stream)) => stream,
        _ => unreachable!("its kind was looked at"),
    }
}
