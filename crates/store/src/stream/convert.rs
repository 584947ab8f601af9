//! Owns the way from a stream to plain data and back.
//! Never happens here: trust in the data's order; what cannot be a stream is refused.
//! Source: `content`, where consumers are named by their place in the group's list.

use super::{Group, NodeLimits, Stream};
use crate::content::{
    ConsumerContent, GroupContent, PendingContent, StreamContent, StreamId, Strings,
};
use crate::stream::ConsumerId;
use crate::value::{IntText, Value};

fn push(strings: &mut Strings, text: Value<'_>) {
    match text {
        Value::Bytes { bytes, .. } => strings.push(bytes),
        Value::Int(number) => strings.push(IntText::of(number).bytes()),
    }
}

impl super::StreamEntry<'_> {
    /// The entry as plain data.
    pub fn to_content(&self) -> (StreamId, Strings) {
        let mut strings = Strings::default();
        for (name, value) in self.fields() {
            push(&mut strings, name);
            push(&mut strings, value);
        }
        (self.id, strings)
    }
}

impl Stream {
    /// All of the stream as plain data.
    pub fn to_content(&self) -> StreamContent {
        let entries = self.range(StreamId::MIN, StreamId::MAX);
        StreamContent {
            entries: entries.map(|entry| entry.to_content()).collect(),
            ..self.to_content_beside_entries()
        }
    }

    /// All of the stream but its entries as plain data.
    pub fn to_content_beside_entries(&self) -> StreamContent {
        StreamContent {
            entries: Vec::new(),
            last_id: self.last_id(),
            max_deleted_id: self.max_deleted_id(),
            entries_added: self.entries_added(),
            groups: self.groups().map(group_content).collect(),
        }
    }

    /// The stream that this data describe; nothing where they contradict themselves: IDs that do not rise or are above
    /// the last one, fields without values, two things of one name, or a pending entry without its consumer.
    pub fn from_content(content: &StreamContent, limits: NodeLimits) -> Option<Stream> {
        let mut stream = Stream::new();
        let mut last_id = None;
        for (id, fields) in &content.entries {
            let rises = last_id.is_none_or(|last| *id > last);
            if !rises || *id > content.last_id || fields.is_empty() || fields.len() % 2 != 0 {
                return None;
            }
            let fields = (0..fields.len()).map(|index| fields.at(index));
            stream.append(*id, fields, limits);
            last_id = Some(*id);
        }
        stream.last_id = content.last_id;
        stream.max_deleted_id = content.max_deleted_id;
        stream.entries_added = content.entries_added;
        for group in &content.groups {
            restore_group(&mut stream, group)?;
        }
        Some(stream)
    }
}

fn restore_group(stream: &mut Stream, content: &GroupContent) -> Option<()> {
    if !stream.create_group(&content.name, content.last_id, content.entries_read) {
        return None;
    }
    let index = stream.group_index(&content.name)?;
    stream.edit_group(index, |group| {
        let mut ids = Vec::with_capacity(content.consumers.len());
        for consumer in &content.consumers {
            let (id, is_new) = group.open_consumer(&consumer.name, consumer.seen);
            if !is_new {
                return None;
            }
            if let Some(active) = consumer.active {
                group.served(id, active);
            }
            ids.push(id);
        }
        for pending in &content.pending {
            let consumer = *ids.get(pending.consumer)?;
            if group.pending(pending.id).is_some() {
                return None;
            }
            group.assign(pending.id, consumer, pending.delivered, pending.deliveries);
        }
        Some(())
    })
}

fn group_content(group: &Group) -> GroupContent {
    let ids: Vec<ConsumerId> = group.consumers().map(|(id, _)| id).collect();
    let places = places_by_id(&ids);
    GroupContent {
        name: group.name().to_vec(),
        last_id: group.last_id(),
        entries_read: group.entries_read(),
        consumers: group
            .consumers()
            .map(|(_, consumer)| ConsumerContent {
                name: consumer.name().to_vec(),
                seen: consumer.seen,
                active: consumer.active,
            })
            .collect(),
        pending: group
            .pending_from(StreamId::MIN)
            .map(|pending| PendingContent {
                id: pending.id,
                consumer: places[pending.consumer.index()],
                delivered: pending.delivered,
                deliveries: pending.deliveries,
            })
            .collect(),
    }
}

/// Where each consumer stands in the list, by its ID.
fn places_by_id(ids: &[ConsumerId]) -> Vec<usize> {
    let len = ids.iter().map(|id| id.index() + 1).max().unwrap_or(0);
    let mut places = vec![0; len];
    for (place, id) in ids.iter().enumerate() {
        places[id.index()] = place;
    }
    places
}
