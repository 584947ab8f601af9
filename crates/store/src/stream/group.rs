//! Owns consumer groups: consumers, and the entries that were delivered and not acknowledged.
//! Never happens here: a look at a stream's entries; a pending ID may long be deleted.
//! Source: Redis' groups; pending entries lie in counted B-trees, one of a group with all facts, one of each consumer with IDs.

use crate::content::StreamId;
use crate::tree::{Tree, leaf_items};
use crate::value::Millis;
use memory::heap::good_size;
use std::cmp::Ordering;
use std::mem::size_of;

/// A pending entry as a tree holds it, in 32 bytes: times and counts of 48 bits last for 8,900 years.
#[derive(Clone, Copy, Default)]
struct Pending {
    id: StreamId,
    consumer: u32,
    delivered_low: u32,
    deliveries_low: u32,
    delivered_high: u16,
    deliveries_high: u16,
}

const BITS_48_MAX: u64 = (1 << 48) - 1;

impl Pending {
    fn new(id: StreamId, consumer: ConsumerId, delivered: Millis, deliveries: u64) -> Pending {
        let delivered = (delivered.0.max(0) as u64).min(BITS_48_MAX);
        let deliveries = deliveries.min(BITS_48_MAX);
        Pending {
            id,
            consumer: consumer.0,
            delivered_low: delivered as u32,
            deliveries_low: deliveries as u32,
            delivered_high: (delivered >> 32) as u16,
            deliveries_high: (deliveries >> 32) as u16,
        }
    }

    fn entry(&self) -> PendingEntry {
        let delivered = u64::from(self.delivered_high) << 32 | u64::from(self.delivered_low);
        PendingEntry {
            id: self.id,
            consumer: ConsumerId(self.consumer),
            delivered: Millis(delivered as i64),
            deliveries: u64::from(self.deliveries_high) << 32 | u64::from(self.deliveries_low),
        }
    }
}

type PendingTree = Tree<Pending, { leaf_items::<Pending>() }>;
type IdTree = Tree<StreamId, { leaf_items::<StreamId>() }>;

/// How a pending entry compares to this ID.
fn to(id: StreamId) -> impl Fn(&Pending) -> Ordering {
    move |pending| pending.id.cmp(&id)
}

/// How an ID compares to this one.
fn to_id(id: StreamId) -> impl Fn(&StreamId) -> Ordering {
    move |other| other.cmp(&id)
}

/// An entry that was delivered to a consumer and not acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PendingEntry {
    /// The entry's ID.
    pub id: StreamId,
    /// Whose it is.
    pub consumer: ConsumerId,
    /// When it was last delivered.
    pub delivered: Millis,
    /// How often it was delivered.
    pub deliveries: u64,
}

/// A consumer of one group, until it is deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConsumerId(u32);

impl ConsumerId {
    /// Its place among all IDs that the group has given out.
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A consumer of a group.
pub struct Consumer {
    name: Box<[u8]>,
    /// When it last tried to read or claim.
    pub seen: Millis,
    /// When it last got an entry.
    pub active: Option<Millis>,
    pending: IdTree,
}

impl Consumer {
    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// How many entries it has pending.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// Bytes of its blocks but those of its tree, which change with what is pending.
    fn fixed_bytes(&self) -> usize {
        good_size(size_of::<Consumer>()) + name_bytes(&self.name)
    }
}

fn name_bytes(name: &[u8]) -> usize {
    if name.is_empty() {
        0
    } else {
        good_size(name.len())
    }
}

fn table_bytes<T>(table: &Vec<T>) -> usize {
    match table.capacity() {
        0 => 0,
        capacity => good_size(capacity * size_of::<T>()),
    }
}

/// A consumer group.
pub struct Group {
    name: Box<[u8]>,
    last_id: StreamId,
    entries_read: Option<u64>,
    pending: PendingTree,
    /// Consumers by their IDs; nothing where one was deleted.
    consumers: Vec<Option<Box<Consumer>>>,
    /// IDs in the order of names.
    by_name: Vec<ConsumerId>,
    /// IDs that are free again.
    free: Vec<ConsumerId>,
    /// Bytes of consumers, their names and trees.
    consumers_bytes: usize,
}

/// The group and where it stands.
impl Group {
    fn new(name: &[u8], last_id: StreamId, entries_read: Option<u64>) -> Group {
        Group {
            name: name.into(),
            last_id,
            entries_read,
            pending: PendingTree::new(),
            consumers: Vec::new(),
            by_name: Vec::new(),
            free: Vec::new(),
            consumers_bytes: 0,
        }
    }

    /// A copy in which nothing is pending; consumers keep their IDs.
    pub(super) fn copy_beside_pending(&self) -> Group {
        let consumers = self.consumers.iter().map(|consumer| {
            let consumer = consumer.as_ref()?;
            Some(Box::new(Consumer {
                name: consumer.name.clone(),
                seen: consumer.seen,
                active: consumer.active,
                pending: IdTree::new(),
            }))
        });
        let consumers: Vec<Option<Box<Consumer>>> = consumers.collect();
        let all = consumers.iter().flatten();
        let consumers_bytes = all.map(|consumer| consumer.fixed_bytes()).sum();
        Group {
            name: self.name.clone(),
            last_id: self.last_id,
            entries_read: self.entries_read,
            pending: PendingTree::new(),
            consumers,
            by_name: self.by_name.clone(),
            free: self.free.clone(),
            consumers_bytes,
        }
    }

    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The last ID delivered.
    pub fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// How many entries were read, where that is known.
    pub fn entries_read(&self) -> Option<u64> {
        self.entries_read
    }

    /// Sets where the group stands.
    pub fn set_last_id(&mut self, last_id: StreamId, entries_read: Option<u64>) {
        self.last_id = last_id;
        self.entries_read = entries_read;
    }

    fn bytes(&self) -> usize {
        good_size(size_of::<Group>())
            + name_bytes(&self.name)
            + self.pending.bytes() as usize
            + table_bytes(&self.consumers)
            + table_bytes(&self.by_name)
            + table_bytes(&self.free)
            + self.consumers_bytes
    }

    fn recount_bytes(&self) -> usize {
        let consumer_bytes = |consumer: &Consumer| {
            consumer.fixed_bytes() + consumer.pending.recount_bytes() as usize
        };
        self.bytes() - self.consumers_bytes - self.pending.bytes() as usize
            + self.pending.recount_bytes() as usize
            + self
                .consumers
                .iter()
                .flatten()
                .map(|it| consumer_bytes(it))
                .sum::<usize>()
    }

    /// Frees up to `budget` items; whether more are left.
    fn free_step(&mut self, budget: usize) -> bool {
        if self.pending.free_step(budget) {
            return true;
        }
        if let Some(Some(consumer)) = self.consumers.last_mut() {
            let before = consumer.pending.bytes() as usize;
            let is_left = consumer.pending.free_step(budget);
            self.consumers_bytes -= before - consumer.pending.bytes() as usize;
            if is_left {
                return true;
            }
            self.consumers_bytes -= consumer.fixed_bytes();
        }
        self.consumers.pop();
        !self.consumers.is_empty()
    }
}

/// Consumers.
impl Group {
    /// All consumers, by name.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = (ConsumerId, &Consumer)> {
        self.by_name.iter().map(|&id| (id, self.consumer(id)))
    }

    /// The consumer with this ID.
    pub fn consumer(&self, id: ConsumerId) -> &Consumer {
        self.consumers[id.0 as usize].as_ref().expect("it lives")
    }

    fn consumer_mut(&mut self, id: ConsumerId) -> &mut Consumer {
        self.consumers[id.0 as usize].as_mut().expect("it lives")
    }

    fn place_of(&self, name: &[u8]) -> Result<usize, usize> {
        self.by_name
            .binary_search_by(|&id| self.consumer(id).name().cmp(name))
    }

    /// The consumer with this name.
    pub fn find_consumer(&self, name: &[u8]) -> Option<ConsumerId> {
        self.place_of(name).ok().map(|place| self.by_name[place])
    }

    /// The consumer with this name, which is created if there is none, and whether it was.
    pub fn open_consumer(&mut self, name: &[u8], now: Millis) -> (ConsumerId, bool) {
        let place = match self.place_of(name) {
            Ok(place) => return (self.by_name[place], false),
            Err(place) => place,
        };
        let consumer = Box::new(Consumer {
            name: name.into(),
            seen: now,
            active: None,
            pending: IdTree::new(),
        });
        self.consumers_bytes += consumer.fixed_bytes();
        let id = match self.free.pop() {
            Some(id) => {
                self.consumers[id.0 as usize] = Some(consumer);
                id
            }
            None => {
                self.consumers.push(Some(consumer));
                ConsumerId(self.consumers.len() as u32 - 1)
            }
        };
        self.by_name.insert(place, id);
        (id, true)
    }

    /// Notes that a consumer tried to read or claim.
    pub fn saw(&mut self, id: ConsumerId, now: Millis) {
        self.consumer_mut(id).seen = now;
    }

    /// Notes that a consumer got an entry.
    pub fn served(&mut self, id: ConsumerId, now: Millis) {
        self.consumer_mut(id).active = Some(now);
    }

    /// Deletes a consumer with what it has pending; tells how much that was, if there is such a consumer.
    pub fn delete_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let place = self.place_of(name).ok()?;
        let id = self.by_name.remove(place);
        let consumer = self.consumers[id.0 as usize].take().expect("it lives");
        self.consumers_bytes -= consumer.fixed_bytes() + consumer.pending.bytes() as usize;
        self.free.push(id);
        for id in consumer.pending.range(0..consumer.pending.len()) {
            self.pending.remove(to(id));
        }
        Some(consumer.pending.len())
    }
}

/// Pending entries.
impl Group {
    /// How many entries are pending.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// The pending entry with this ID.
    pub fn pending(&self, id: StreamId) -> Option<PendingEntry> {
        self.pending.get(to(id)).map(|pending| pending.entry())
    }

    /// Pending entries from `start` on in rising order.
    pub fn pending_from(
        &self,
        start: StreamId,
    ) -> impl DoubleEndedIterator<Item = PendingEntry> + ExactSizeIterator {
        let rank = self.pending.rank(to(start));
        self.pending
            .range(rank..self.pending.len())
            .map(|pending| pending.entry())
    }

    /// Pending entries of one consumer from `start` on in rising order.
    pub fn pending_of(
        &self,
        consumer: ConsumerId,
        start: StreamId,
    ) -> impl ExactSizeIterator<Item = PendingEntry> {
        let own = &self.consumer(consumer).pending;
        own.range(own.rank(to_id(start))..own.len()).map(|id| {
            self.pending(id)
                .expect("what a consumer has pending its group has")
        })
    }

    /// The first pending entry of one consumer from `start` on.
    pub fn next_pending_of(&self, consumer: ConsumerId, start: StreamId) -> Option<PendingEntry> {
        self.pending_of(consumer, start).next()
    }

    /// Makes an entry pending for a consumer, whoever had it before.
    pub fn assign(
        &mut self,
        id: StreamId,
        consumer: ConsumerId,
        delivered: Millis,
        deliveries: u64,
    ) {
        let fresh = Pending::new(id, consumer, delivered, deliveries);
        let before = match self.pending.find_mut(to(id)) {
            Some(pending) => Some(ConsumerId(std::mem::replace(pending, fresh).consumer)),
            None => {
                let inserted = self.pending.insert(fresh, to(id));
                debug_assert!(inserted.is_ok(), "it was not there");
                None
            }
        };
        if before == Some(consumer) {
            return;
        }
        if let Some(before) = before {
            self.disown(before, id);
        }
        let ids = &mut self.consumer_mut(consumer).pending;
        let bytes_before = ids.bytes();
        let inserted = ids.insert(id, to_id(id));
        debug_assert!(inserted.is_ok(), "one consumer has it");
        let grown = ids.bytes() as i64 - bytes_before as i64;
        self.account_consumers(grown);
    }

    /// Takes a pending entry away; whether it was pending.
    pub fn acknowledge(&mut self, id: StreamId) -> bool {
        let Some(pending) = self.pending.remove(to(id)) else {
            return false;
        };
        self.disown(ConsumerId(pending.consumer), id);
        true
    }

    fn disown(&mut self, consumer: ConsumerId, id: StreamId) {
        let ids = &mut self.consumer_mut(consumer).pending;
        let bytes_before = ids.bytes();
        let removed = ids.remove(to_id(id));
        debug_assert!(
            removed.is_some(),
            "what a group has pending its consumer has"
        );
        let grown = ids.bytes() as i64 - bytes_before as i64;
        self.account_consumers(grown);
    }

    fn account_consumers(&mut self, grown: i64) {
        self.consumers_bytes = (self.consumers_bytes as i64 + grown) as usize;
    }
}

/// All groups of a stream.
#[derive(Default)]
pub(super) struct Groups {
    #[expect(
        clippy::vec_box,
        reason = "a group in the middle is made by moving handles, not groups"
    )]
    by_name: Vec<Box<Group>>,
    /// Bytes of all groups; the table's own come on top.
    bytes: usize,
}

impl Groups {
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Group> {
        self.by_name.iter().map(|group| &**group)
    }

    /// The group's index, or where it would go.
    pub(super) fn find(&self, name: &[u8]) -> Result<usize, usize> {
        self.by_name
            .binary_search_by(|group| group.name().cmp(name))
    }

    pub(super) fn at(&self, index: usize) -> &Group {
        &self.by_name[index]
    }

    pub(super) fn edit<R>(&mut self, index: usize, change: impl FnOnce(&mut Group) -> R) -> R {
        let group = &mut self.by_name[index];
        let before = group.bytes();
        let result = change(group);
        self.bytes = self.bytes + group.bytes() - before;
        result
    }

    pub(super) fn create(
        &mut self,
        name: &[u8],
        last_id: StreamId,
        entries_read: Option<u64>,
    ) -> bool {
        let Err(index) = self.find(name) else {
            return false;
        };
        let group = Box::new(Group::new(name, last_id, entries_read));
        self.bytes += group.bytes();
        self.by_name.insert(index, group);
        true
    }

    /// Adds a group whose name comes behind all others.
    pub(super) fn push(&mut self, group: Group) {
        self.bytes += group.bytes();
        self.by_name.push(Box::new(group));
    }

    /// Takes a group out, as the only one of other groups.
    pub(super) fn take(&mut self, name: &[u8]) -> Option<Groups> {
        let index = self.find(name).ok()?;
        let group = self.by_name.remove(index);
        let bytes = group.bytes();
        self.bytes -= bytes;
        Some(Groups {
            by_name: vec![group],
            bytes,
        })
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + table_bytes(&self.by_name)
    }

    /// As [`Groups::bytes`], by a full walk.
    pub(super) fn recount_bytes(&self) -> usize {
        let groups_bytes: usize = self.iter().map(Group::recount_bytes).sum();
        table_bytes(&self.by_name) + groups_bytes
    }

    /// Frees up to `budget` items; whether more are left.
    pub(super) fn free_step(&mut self, budget: usize) -> bool {
        let Some(last) = self.by_name.len().checked_sub(1) else {
            return false;
        };
        if !self.edit(last, |group| group.free_step(budget)) {
            let group = self.by_name.pop().expect("it was looked at");
            self.bytes -= group.bytes();
        }
        !self.by_name.is_empty()
    }
}
