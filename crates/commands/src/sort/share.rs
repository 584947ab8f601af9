//! One shard's share of a SORT: it loads the elements where it owns the key, and reads the keys that it is asked for.
//! Never changes anything, and never reads more keys in one step than others can wait for.
//! Source: redis-server 7 for what counts as a value: a string, or a field of a hash; any other type is nothing.

use super::request::{Pattern, Request};
use crate::{Call, Error, Progress, error, lookup, reply_limit::ReplyLimit};
use memory::heap::travel::{box_bytes, vec_bytes};
use std::ops::Range;
use store::{IntBuffer, Item, Kind, Strings, Value, View};

/// Keys that one step reads: a few tenths of a millisecond where nothing is cached.
const KEYS_PER_STEP: usize = 512;

/// What a shard contributes to a SORT, and what it is asked.
#[derive(Debug, Default)]
pub struct Share {
    /// The elements, on the shard that owns the key, after its first round.
    pub(super) loaded: Option<Loaded>,
    /// What is to be stored, where this shard has all that it takes to find it, and found it in steps.
    pub(super) sorted: Option<Strings>,
    /// Whether the target lies on this shard.
    pub(super) is_target: bool,
    question: Question,
    /// What merge knows from round to round; it lies in the first share meanwhile.
    pub(super) work: Option<Work>,
    /// What is to be stored under the target.
    pub(super) result: Option<Strings>,
}

/// Elements in the order of their value.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) elements: Strings,
    pub(super) kind: Kind,
    /// Whether these are just the elements to answer, in their order.
    pub(super) is_ordered: bool,
}

/// Keys to read, and what they hold.
#[derive(Debug, Default)]
struct Question {
    keys: Strings,
    /// Which pattern made each key.
    patterns: Vec<u32>,
    /// The field that each pattern asks for.
    fields: Vec<Option<Vec<u8>>>,
    values: Strings,
    /// Whether each key holds a value; as many as were read.
    found: Vec<bool>,
}

impl Question {
    fn heap_bytes(&self) -> usize {
        let fields = self.fields.iter().flatten().map(vec_bytes);
        self.keys.heap_bytes()
            + vec_bytes(&self.patterns)
            + vec_bytes(&self.fields)
            + fields.sum::<usize>()
            + self.values.heap_bytes()
            + vec_bytes(&self.found)
    }
}

/// What is known of a SORT between two rounds.
#[derive(Debug)]
pub struct Work {
    pub(super) elements: Strings,
    /// Indexes of the elements to answer; all are `None` until their order is known.
    pub(super) order: Option<Vec<usize>>,
    /// The share that each key was asked of, in the order of asking.
    pub(super) route: Vec<u16>,
}

impl Work {
    /// Bytes of its blocks on the heap.
    fn heap_bytes(&self) -> usize {
        let order_bytes = self.order.as_ref().map_or(0, vec_bytes);
        self.elements.heap_bytes() + order_bytes + vec_bytes(&self.route)
    }
}

impl Share {
    /// Bytes of its blocks on the heap, the share's own included.
    pub(crate) fn carried_bytes(&self) -> usize {
        let loaded = self.loaded.as_ref().map(|loaded| &loaded.elements);
        let strings = loaded.into_iter().chain(&self.sorted).chain(&self.result);
        box_bytes(self)
            + strings.map(Strings::heap_bytes).sum::<usize>()
            + self.question.heap_bytes()
            + self.work.as_ref().map_or(0, Work::heap_bytes)
    }

    /// The share of the shard that has sorted its elements.
    pub(super) fn sorted(sorted: Strings) -> Share {
        Share {
            sorted: Some(sorted),
            ..Share::default()
        }
    }

    /// The first round: loads the elements if the key lies here.
    ///
    /// # Errors
    /// The key holds another type, or there is no room to store the answer.
    pub(super) fn first(call: &mut Call<'_>, request: &Request<'_>) -> Result<Share, Error> {
        let mut share = Share {
            is_target: request.target.is_some_and(|index| call.owns(index)),
            ..Share::default()
        };
        if share.is_target && !call.core.shard.has_room() {
            return Err(error::OUT_OF_MEMORY.into());
        }
        if call.owns(1) {
            let key = call.other_key(1);
            share.loaded = lookup::view(call, key)
                .map(|view| load(&view, request))
                .transpose()?;
        }
        Ok(share)
    }

    /// Forgets what was asked before, for another question with these patterns.
    pub(super) fn begin_question(&mut self, patterns: &[Pattern<'_>]) {
        let field = |pattern: &Pattern<'_>| pattern.field().map(<[u8]>::to_vec);
        self.question = Question {
            fields: patterns.iter().map(field).collect(),
            ..Question::default()
        };
    }

    /// Asks for a key that the pattern of this index has made.
    pub(super) fn ask(&mut self, key: &[u8], pattern: usize) {
        self.question.keys.push(key);
        self.question.patterns.push(pattern as u32);
    }

    /// What the key that was asked for as number `index` holds.
    pub(super) fn answer(&self, index: usize) -> Option<&[u8]> {
        self.question.found[index].then(|| self.question.values.at(index))
    }

    /// A later round: reads keys.
    ///
    /// # Errors
    /// They hold more than a reply may: a key can be made of any number of elements.
    pub(super) fn look_up(&mut self, call: &mut Call<'_>) -> Result<Progress, Error> {
        let Question {
            keys,
            patterns,
            fields,
            values,
            found,
        } = &mut self.question;
        let start = found.len();
        let end = keys.len().min(start + KEYS_PER_STEP);
        for index in start..end {
            let field = fields[patterns[index] as usize].as_deref();
            let key = call.core.shard.key(keys.at(index));
            let view = lookup::view(call, key);
            let mut buffer = IntBuffer::new();
            let value = view.and_then(|view| value(&view, field));
            found.push(value.is_some());
            values.push(value.map_or(&[], |item| item.text(&mut buffer)));
            ReplyLimit::of(call).check(values.text_bytes())?;
        }
        if end < keys.len() {
            Ok(Progress::Again)
        } else {
            Ok(Progress::Done)
        }
    }
}

/// The string of a key, or the value of a field of its hash.
pub(super) fn value<'a>(view: &View<'a>, field: Option<&[u8]>) -> Option<Item<'a>> {
    match field {
        Some(field) => view.hash()?.value(field),
        None if view.kind() == Kind::String => Some(match view.entry().value() {
            Value::Int(number) => Item::Int(number),
            Value::Bytes { bytes, .. } => Item::Bytes(bytes),
        }),
        None => None,
    }
}

fn load(view: &View<'_>, request: &Request<'_>) -> Result<Loaded, Error> {
    let kind = view.kind();
    let (mut elements, mut buffer) = (Strings::default(), IntBuffer::new());
    let push = |element: Item<'_>| elements.push(element.text(&mut buffer));
    let is_ordered = request.keeps_order && kind != Kind::Set;
    // The elements from one end on, or all where they are sorted later.
    let range = |len: usize| match (is_ordered, request.is_descending) {
        (false, _) => 0..len,
        (true, false) => request.range(len),
        (true, true) => {
            let Range { start, end } = request.range(len);
            len - end..len - start
        }
    };
    let backwards = is_ordered && request.is_descending;
    match kind {
        Kind::Set => view.set().expect("it is a set").each(push),
        Kind::List => {
            let list = view.list().expect("it is a list");
            let range = range(list.len());
            let part = list.range(range.start, range.len());
            if backwards {
                part.rev().for_each(push);
            } else {
                part.for_each(push);
            }
        }
        Kind::Zset => {
            let zset = view.zset().expect("it is a sorted set");
            let part = zset.range(range(zset.len())).map(|(member, _)| member);
            if backwards {
                part.rev().for_each(push);
            } else {
                part.for_each(push);
            }
        }
        _ => return Err(error::WRONG_TYPE.into()),
    }
    Ok(Loaded {
        elements,
        kind,
        is_ordered,
    })
}
