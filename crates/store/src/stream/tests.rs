//! Streams against a plain model: ordered maps of entries and of pending entries.
//! Never asserts how long anything takes.
//! Source: a seeded generator; the same sequence of changes on both sides.

use super::*;
use crate::content::StreamContent;
use crate::random::Rng;
use crate::value::IntText;
use std::collections::BTreeMap;

type Texts = Vec<Vec<u8>>;

fn id(ms: u64, seq: u64) -> StreamId {
    StreamId { ms, seq }
}

fn text(value: crate::value::Value<'_>) -> Vec<u8> {
    match value {
        crate::value::Value::Bytes { bytes, .. } => bytes.to_vec(),
        crate::value::Value::Int(number) => IntText::of(number).bytes().to_vec(),
    }
}

fn texts(entry: &StreamEntry<'_>) -> Texts {
    let pairs = entry
        .fields()
        .map(|(name, value)| [text(name), text(value)]);
    pairs.flatten().collect()
}

fn add(stream: &mut Stream, id: StreamId, fields: &[&str], limits: NodeLimits) {
    stream.add(id, fields.iter().map(|field| field.as_bytes()), limits);
}

fn ids(stream: &Stream) -> Vec<StreamId> {
    stream
        .range(StreamId::MIN, StreamId::MAX)
        .map(|entry| entry.id)
        .collect()
}

#[derive(Default, Clone)]
struct ModelGroup {
    last_id: StreamId,
    /// Consumer, time, count.
    pending: BTreeMap<StreamId, (Vec<u8>, i64, u64)>,
    consumers: BTreeMap<Vec<u8>, ()>,
}

/// A stream and its model, and what makes up their operations.
struct Pair {
    stream: Stream,
    entries: BTreeMap<StreamId, Texts>,
    groups: BTreeMap<Vec<u8>, ModelGroup>,
    rng: Rng,
    limits: NodeLimits,
    now: i64,
}

impl Pair {
    fn new(seed: u64, limits: NodeLimits) -> Pair {
        Pair {
            stream: Stream::new(),
            entries: BTreeMap::new(),
            groups: BTreeMap::new(),
            rng: Rng::seeded(seed),
            limits,
            now: 1_700_000_000_000,
        }
    }

    fn random_text(&mut self) -> Vec<u8> {
        let rng = &mut self.rng;
        match rng.below(5) {
            0 => rng.below(200).to_string().into_bytes(),
            1 => (rng.next_u64() as i64 >> rng.below(64))
                .to_string()
                .into_bytes(),
            2 => {
                let len = rng.below(40);
                (0..len).map(|_| rng.next_u64() as u8).collect()
            }
            3 => vec![b'x'; rng.below(300) as usize],
            _ => format!("name-{}", rng.below(4)).into_bytes(),
        }
    }

    fn random_fields(&mut self) -> Texts {
        let count = self.rng.below(4) as usize + 1;
        let mut fields = Texts::new();
        for place in 0..count {
            fields.push(match self.rng.below(4) {
                0 => self.random_text(),
                _ => format!("field{place}").into_bytes(),
            });
            fields.push(self.random_text());
        }
        fields
    }

    fn add(&mut self) {
        self.now += self.rng.below(3) as i64;
        let mut id = self
            .stream
            .next_id(Millis(self.now))
            .expect("there are IDs left");
        if self.rng.below(10) == 0 {
            id.seq += self.rng.below(1 << 40);
        }
        let fields = self.random_fields();
        self.stream
            .add(id, fields.iter().map(Vec::as_slice), self.limits);
        self.entries.insert(id, fields);
    }

    /// An ID in the stream, or near one.
    fn random_id(&mut self) -> StreamId {
        let first = self.entries.keys().next().map_or(0, |id| id.ms);
        let last = self.stream.last_id().ms;
        let ms = first + self.rng.below(last - first + 2);
        let near = id(ms, self.rng.below(3));
        match self.rng.below(3) {
            0 => near,
            _ => self
                .entries
                .range(near..)
                .next()
                .map_or(near, |(id, _)| *id),
        }
    }

    fn delete(&mut self) {
        let id = self.random_id();
        assert_eq!(self.stream.delete(id), self.entries.remove(&id).is_some());
    }

    fn trim(&mut self) {
        let before = self.entries.len() as u64;
        let keep = match self.rng.below(2) {
            0 => Keep::Newest(before - self.rng.below(before.min(60) + 1)),
            _ => {
                let first = self.stream.first().map_or(0, |entry| entry.id.ms);
                Keep::From(id(first + self.rng.below(20), self.rng.below(4)))
            }
        };
        let whole_nodes = self.rng.below(2) == 0;
        let entries_max = (whole_nodes && self.rng.below(2) == 0).then_some(50);
        let gone = self.stream.trim(Trim {
            keep,
            whole_nodes,
            entries_max,
        });
        let exact = match keep {
            Keep::Newest(most) => before.saturating_sub(most),
            Keep::From(id) => self.entries.range(..id).count() as u64,
        };
        assert!(
            gone == exact || whole_nodes && gone < exact,
            "{gone} of {exact}"
        );
        assert!(entries_max.is_none_or(|most| gone <= most));
        for _ in 0..gone {
            self.entries.pop_first();
        }
    }

    fn check_range(&mut self) {
        let (one, other) = (self.random_id(), self.random_id());
        let (start, end) = (one.min(other), one.max(other));
        let count = self.rng.below(150) as usize;
        let ours = self
            .stream
            .range(start, end)
            .map(|entry| (entry.id, texts(&entry)));
        let model = self
            .entries
            .range(start..=end)
            .map(|(id, fields)| (*id, fields.clone()));
        assert!(ours.take(count).eq(model.take(count)));
        let ours = self
            .stream
            .range_back(start, end)
            .map(|entry| (entry.id, texts(&entry)));
        let model = self.entries.range(start..=end).rev();
        let model = model.map(|(id, fields)| (*id, fields.clone()));
        assert!(ours.take(count).eq(model.take(count)));
        assert_eq!(
            self.stream.entry(one).is_some(),
            self.entries.contains_key(&one)
        );
    }

    fn random_group(&mut self) -> (Vec<u8>, usize) {
        let name = format!("group{}", self.rng.below(3)).into_bytes();
        if !self.groups.contains_key(&name) {
            assert!(self.stream.create_group(&name, StreamId::MIN, None));
            self.groups.insert(name.clone(), ModelGroup::default());
        }
        assert!(!self.stream.create_group(&name, StreamId::MIN, None));
        let index = self.stream.group_index(&name).expect("it was created");
        (name, index)
    }

    fn random_consumer(&mut self, name: &[u8], index: usize) -> (Vec<u8>, ConsumerId) {
        let consumer = format!("consumer{}", self.rng.below(5)).into_bytes();
        let model = self.groups.get_mut(name).expect("it was created");
        let is_new = model.consumers.insert(consumer.clone(), ()).is_none();
        let open = |group: &mut Group| group.open_consumer(&consumer, Millis(self.now));
        let (opened, was_new) = self.stream.edit_group(index, open);
        assert_eq!(is_new, was_new);
        (consumer, opened)
    }

    fn deliver(&mut self) {
        let (name, index) = self.random_group();
        let (consumer, opened) = self.random_consumer(&name, index);
        let count = self.rng.below(60) as usize;
        let keeps = self.rng.below(4) > 0;
        let model = self.groups.get_mut(&name).expect("it was created");
        let new = self
            .entries
            .range(model.last_id.next().expect("not the largest")..);
        let new: Vec<_> = new
            .take(count)
            .map(|(id, fields)| (*id, fields.clone()))
            .collect();
        let mut ours = Vec::new();
        let now = keeps.then_some(Millis(self.now));
        let each = |entry: StreamEntry<'_>| ours.push((entry.id, texts(&entry)));
        let delivered = self.stream.deliver(index, opened, count, now, each);
        assert_eq!((delivered, &ours), (new.len(), &new));
        for (id, _) in new {
            model.last_id = id;
            if keeps {
                model.pending.insert(id, (consumer.clone(), self.now, 1));
            }
        }
    }

    fn settle_pending(&mut self) {
        let (name, index) = self.random_group();
        let (consumer, opened) = self.random_consumer(&name, index);
        let near = self.random_id();
        let model = self.groups.get_mut(&name).expect("it was created");
        let Some(id) = model.pending.range(near..).next().map(|(id, _)| *id) else {
            return;
        };
        match self.rng.below(8) {
            0 => {
                let deliveries = self.rng.below(1 << 45);
                let assign =
                    |group: &mut Group| group.assign(id, opened, Millis(self.now), deliveries);
                self.stream.edit_group(index, assign);
                model.pending.insert(id, (consumer, self.now, deliveries));
            }
            1 if self.rng.below(20) == 0 => {
                let delete = |group: &mut Group| group.delete_consumer(&consumer);
                let gone = self.stream.edit_group(index, delete);
                let before = model.pending.len();
                model.pending.retain(|_, (owner, ..)| *owner != consumer);
                model.consumers.remove(&consumer);
                assert_eq!(gone, Some(before - model.pending.len()));
            }
            2 if self.rng.below(60) == 0 => {
                assert!(self.stream.take_group(&name).is_some());
                assert!(self.stream.take_group(&name).is_none());
                self.groups.remove(&name);
            }
            3 if self.rng.below(4) == 0 => {
                self.stream
                    .edit_group(index, |group| group.set_last_id(near, None));
                model.last_id = near;
            }
            _ => {
                let acknowledge =
                    |group: &mut Group| (group.acknowledge(id), group.acknowledge(id));
                assert_eq!(self.stream.edit_group(index, acknowledge), (true, false));
                model.pending.remove(&id);
            }
        }
    }

    fn check(&self) {
        let stream = &self.stream;
        assert_eq!(stream.bytes(), stream.recount_bytes());
        assert_eq!(stream.len(), self.entries.len() as u64);
        assert!(ids(stream).iter().eq(self.entries.keys()));
        assert_eq!(
            stream.first().map(|entry| entry.id),
            self.entries.keys().next().copied()
        );
        assert_eq!(
            stream.last().map(|entry| entry.id),
            self.entries.keys().last().copied()
        );
        assert!(stream.groups().map(Group::name).eq(self.groups.keys()));
        for (index, (group, model)) in stream.groups().zip(self.groups.values()).enumerate() {
            assert_eq!(stream.group_index(group.name()), Some(index));
            assert!(
                group
                    .consumers()
                    .map(|(_, it)| it.name())
                    .eq(model.consumers.keys())
            );
            let own_name =
                |pending: &PendingEntry| group.consumer(pending.consumer).name().to_vec();
            let ours = group.pending_from(StreamId::MIN).map(|pending| {
                let facts = (own_name(&pending), pending.delivered.0, pending.deliveries);
                (pending.id, facts)
            });
            assert!(ours.eq(model.pending.clone()));
            for (consumer, facts) in group.consumers() {
                let own = model
                    .pending
                    .iter()
                    .filter(|(_, (owner, ..))| owner == facts.name());
                let own: Vec<_> = own.map(|(id, _)| *id).collect();
                let ours = group
                    .pending_of(consumer, StreamId::MIN)
                    .map(|pending| pending.id);
                assert!(ours.eq(own.iter().copied()));
                assert_eq!(facts.pending_len(), own.len());
            }
        }
    }

    fn step(&mut self) {
        match self.rng.below(100) {
            0..55 => self.add(),
            55..70 => self.delete(),
            70..72 => self.trim(),
            72..80 => self.check_range(),
            80..86 => self.deliver(),
            _ => self.settle_pending(),
        }
    }
}

/// A copy made in small steps is what the stream is, and can be changed as that can.
fn check_copy(stream: &Stream, limits: NodeLimits) {
    let mut copying = StreamCopy::of(stream);
    let mut steps = 0;
    while copying.step(stream, 1) {
        steps += 1;
    }
    assert!(steps >= stream.nodes());
    let mut copy = copying.finish();
    assert_eq!(copy.to_content(), stream.to_content());
    assert_eq!(copy.nodes(), stream.nodes());
    assert_eq!(copy.bytes(), copy.recount_bytes());
    let ids: Vec<_> = ids(&copy);
    for id in ids.iter().step_by(2) {
        assert!(copy.delete(*id));
    }
    let next = copy.last_id().next().expect("there are IDs left");
    add(&mut copy, next, &["name", "value"], limits);
    let groups = copy.groups().len();
    for index in 0..groups {
        copy.edit_group(index, |group| {
            let (consumer, _) = group.open_consumer(b"of the copy", Millis(7));
            group.assign(next, consumer, Millis(7), 1);
        });
        assert_eq!(
            copy.group(index).pending(next).map(|it| it.deliveries),
            Some(1)
        );
    }
    assert_eq!(copy.bytes(), copy.recount_bytes());
    assert_eq!(stream.len(), ids.len() as u64);
}

#[test]
fn a_stream_behaves_as_its_model_whatever_is_done() {
    const STEPS: usize = 6000;
    for (seed, bytes_max, entries_max) in [(1, 4096, 100), (2, 0, 7), (3, 200, 0), (4, 0, 0)] {
        let limits = NodeLimits {
            bytes_max,
            entries_max,
        };
        let mut pair = Pair::new(seed, limits);
        for step in 0..STEPS {
            pair.step();
            if step % 100 == 0 {
                pair.check();
            }
        }
        pair.check();
        let content = pair.stream.to_content();
        let again = Stream::from_content(&content, limits).expect("it was a stream");
        assert_eq!(again.to_content(), content);
        assert_eq!(again.bytes(), again.recount_bytes());
        check_copy(&pair.stream, limits);
        let mut steps = 0;
        while pair.stream.free_step(10) {
            assert_eq!(pair.stream.bytes(), pair.stream.recount_bytes());
            steps += 1;
        }
        assert!(steps > 10);
    }
}

#[test]
fn ids_reach_from_the_smallest_to_the_largest() {
    let limits = NodeLimits::default();
    let mut stream = Stream::new();
    let all = [
        id(0, 1),
        id(0, u64::MAX),
        id(1, 0),
        id(u64::MAX, 0),
        id(u64::MAX, u64::MAX - 1),
    ];
    for id in all {
        add(&mut stream, id, &["name", "value"], limits);
    }
    assert_eq!(stream.next_id(Millis(5)), Some(StreamId::MAX));
    add(&mut stream, StreamId::MAX, &["name", "value"], limits);
    assert_eq!(stream.next_id(Millis(5)), None);
    assert_eq!(ids(&stream)[..5], all);
    assert_eq!(stream.range(StreamId::MAX, StreamId::MAX).count(), 1);
    assert!(stream.delete(StreamId::MAX));
    assert_eq!(stream.range_back(id(1, 0), StreamId::MAX).count(), 3);
    assert_eq!(id(3, u64::MAX).next(), Some(id(4, 0)));
    assert_eq!(id(4, 0).prev(), Some(id(3, u64::MAX)));
    assert_eq!((StreamId::MAX.next(), StreamId::MIN.prev()), (None, None));
}

#[test]
fn a_clock_that_goes_back_does_not_stop_ids_from_rising() {
    let mut stream = Stream::new();
    assert_eq!(stream.next_id(Millis(7)), Some(id(7, 0)));
    add(&mut stream, id(7, 0), &["a", "b"], NodeLimits::default());
    assert_eq!(stream.next_id(Millis(7)), Some(id(7, 1)));
    assert_eq!(stream.next_id(Millis(-3)), Some(id(7, 1)));
    assert_eq!(stream.next_id(Millis(8)), Some(id(8, 0)));
}

/// Adds `count` entries a millisecond apart, with two small fields.
fn filled(count: u64) -> Stream {
    let mut stream = Stream::new();
    for nth in 0..count {
        let ms = 1_700_000_000_000 + nth;
        let temperature = (nth % 400).to_string();
        add(
            &mut stream,
            id(ms, 0),
            &["sensor", "attic", "celsius", &temperature],
            NodeLimits::default(),
        );
    }
    stream
}

#[test]
fn a_million_small_entries_take_a_few_bytes_each_beside_what_they_say() {
    const ENTRIES: u64 = 1_000_000;
    // `attic` and a number up to 399.
    const SAID: u64 = 5 + 2;
    let stream = filled(ENTRIES);
    assert_eq!(stream.nodes(), 10_000);
    let each = stream.bytes() as f64 / ENTRIES as f64;
    println!("{each:.2} bytes an entry");
    assert!(each < (SAID + 8) as f64, "{each} bytes an entry");
}

#[test]
fn deleting_most_entries_gives_most_bytes_back() {
    let mut stream = filled(100_000);
    let before = stream.bytes();
    let all = ids(&stream);
    for (nth, id) in all.iter().enumerate() {
        if nth % 10 != 0 {
            assert!(stream.delete(*id));
        }
    }
    assert!(
        stream.bytes() * 4 < before,
        "{} of {before}",
        stream.bytes()
    );
    for id in all {
        stream.delete(id);
    }
    assert_eq!(stream.bytes(), stream.recount_bytes());
    assert!(
        stream.is_empty() && stream.bytes() < 500,
        "{}",
        stream.bytes()
    );
    assert_eq!(stream.max_deleted_id(), stream.last_id());
}

#[test]
fn an_approximate_trim_takes_whole_nodes_within_its_limit() {
    let trim = |most, entries_max| Trim {
        keep: Keep::Newest(most),
        whole_nodes: true,
        entries_max,
    };
    let mut stream = filled(1000);
    assert_eq!(stream.trim(trim(951, None)), 0);
    assert_eq!(stream.trim(trim(750, None)), 200);
    assert_eq!(stream.trim(trim(0, Some(299))), 200);
    assert_eq!(stream.trim(trim(0, Some(99))), 0);
    assert_eq!(stream.trim(trim(0, None)), 600);
    assert_eq!(stream.max_deleted_id(), StreamId::MIN);
}

#[test]
fn the_lag_is_known_unless_deletions_hide_it() {
    let mut stream = filled(100);
    stream.create_group(b"all", StreamId::MIN, None);
    stream.create_group(b"none", stream.last_id(), None);
    let lag = |stream: &Stream, group| stream.lag(stream.group(stream.group_index(group).unwrap()));
    assert_eq!(lag(&stream, b"all"), Some(100));
    assert_eq!(lag(&stream, b"none"), Some(0));
    let all = stream.group_index(b"all").unwrap();
    let (consumer, _) = stream.edit_group(all, |group| group.open_consumer(b"c", Millis(1)));
    assert_eq!(stream.deliver(all, consumer, 40, None, |_| {}), 40);
    assert_eq!(lag(&stream, b"all"), Some(60));
    assert_eq!(stream.group(all).entries_read(), Some(40));
    let last_but_one = ids(&stream)[98];
    stream.delete(last_but_one);
    assert_eq!(lag(&stream, b"all"), None);
    assert_eq!(stream.deliver(all, consumer, 1000, None, |_| {}), 59);
    assert_eq!(lag(&stream, b"all"), Some(0));
}

#[test]
fn content_that_contradicts_itself_is_no_stream() {
    let mut stream = filled(3);
    stream.create_group(b"g", StreamId::MIN, Some(0));
    let (consumer, _) = stream.edit_group(0, |group| group.open_consumer(b"c", Millis(1)));
    stream.deliver(0, consumer, 2, Some(Millis(5)), |_| {});
    let good = stream.to_content();
    let refused = |change: &dyn Fn(&mut StreamContent)| {
        let mut content = good.clone();
        change(&mut content);
        Stream::from_content(&content, NodeLimits::default()).is_none()
    };
    assert!(!refused(&|_| {}));
    assert!(refused(&|content| content.entries.swap(0, 1)));
    assert!(refused(&|content| content.last_id = id(5, 5)));
    assert!(refused(&|content| content.entries[1].1.push(b"odd")));
    assert!(refused(&|content| content.entries[1].1 = Default::default()));
    assert!(refused(&|content| content
        .groups
        .push(content.groups[0].clone())));
    assert!(refused(&|content| content.groups[0].pending[1].consumer = 1));
    assert!(refused(
        &|content| content.groups[0].pending[1] = content.groups[0].pending[0].clone()
    ));
}

#[test]
fn a_stream_may_go_to_another_thread() {
    fn goes<T: Send>() {}
    goes::<Stream>();
}
