//! Unions, intersections and differences of sorted sets and sets.
//! Never copies a member to combine it: results refer to the inputs until they are answered or stored.
//! Source: redis-server 7: inputs by rising size, so that sums come out the same to the last digit; no sum is NaN.

use std::hash::{Hash, Hasher};

use hashbrown::HashMap;
use resp::{Proto, Writer};
use store::{IntBuffer, Item, Key, SetView, Strings, View, ZsetView, canonical_int};

use super::bounds::natural;
use super::range::store;
use super::read::write_pair;
use super::steps::{self, End, Wanted, header};
use crate::steps::Target;
use crate::{Call, Error, Reply, error, lookup, reading};

/// What is made of the inputs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Union,
    Inter,
    Diff,
}

impl Operation {
    /// Whether it takes long to find the members.
    fn takes_long(self, inputs: &[Input<'_>]) -> bool {
        // Those that are walked are the first ones.
        let walked = if self == Operation::Union {
            inputs.len()
        } else {
            1
        };
        let (mut met, mut bytes) = (0_usize, 0_u64);
        for input in &inputs[..walked] {
            met += input.source.len();
            bytes += input.source.bytes();
        }
        let asked = 1 + inputs.len() - walked;
        reading::takes_long(met.saturating_mul(asked), bytes)
    }
}

/// What is made of the scores of a member.
#[derive(Clone, Copy)]
pub(super) enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    pub(super) fn of(self, one: f64, other: f64) -> f64 {
        match self {
            // Infinities of both signs make nothing.
            Aggregate::Sum => number(one + other),
            Aggregate::Min if other < one => other,
            Aggregate::Max if other > one => other,
            Aggregate::Min | Aggregate::Max => one,
        }
    }
}

pub(super) fn number(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// What a command is given behind its keys.
struct Options {
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
    /// The most members to count; 0 is no limit.
    limit: u64,
}

/// The form of a command.
#[derive(Clone, Copy)]
struct Form {
    name: &'static str,
    operation: Operation,
    /// Index of the number of keys.
    numkeys: usize,
    only_counts: bool,
}

impl Form {
    fn stores(self) -> bool {
        self.numkeys == 2
    }

    /// How many keys there are.
    fn keys(self, call: &Call<'_>) -> Result<usize, Error> {
        let keys = call.int(self.numkeys)?;
        if keys < 1 {
            let name = self.name;
            return Err(format!("ERR at least 1 input key is needed for '{name}' command").into());
        }
        let keys = usize::try_from(keys).ok();
        let behind = call.args.len() - (self.numkeys + 1);
        Ok(keys.filter(|&keys| keys <= behind).ok_or(error::SYNTAX)?)
    }

    fn options(self, call: &Call<'_>, keys: usize) -> Result<Options, Error> {
        const BAD_WEIGHT: &str = "ERR weight value is not a float";
        const BAD_LIMIT: &str = "ERR LIMIT can't be negative";
        let mut options = Options {
            weights: Vec::new(),
            aggregate: Aggregate::Sum,
            with_scores: false,
            limit: 0,
        };
        let weighs = self.operation != Operation::Diff && !self.only_counts;
        let mut at = self.numkeys + 1 + keys;
        while at < call.args.len() {
            let left = call.args.len() - at;
            if weighs && left > keys && call.is(at, "weights") {
                let weights = (at + 1..at + 1 + keys)
                    .map(|index| resp::number::parse_f64(call.args.at(index)));
                options.weights = weights.collect::<Option<_>>().ok_or(BAD_WEIGHT)?;
                at += 1 + keys;
            } else if weighs && left >= 2 && call.is(at, "aggregate") {
                options.aggregate = aggregate(call, at + 1)?;
                at += 2;
            } else if !self.stores() && !self.only_counts && call.is(at, "withscores") {
                options.with_scores = true;
                at += 1;
            } else if self.only_counts && left >= 2 && call.is(at, "limit") {
                options.limit = natural(call, at + 1, BAD_LIMIT)?;
                at += 2;
            } else {
                return Err(error::SYNTAX.into());
            }
        }
        Ok(options)
    }
}

fn aggregate(call: &Call<'_>, index: usize) -> Result<Aggregate, Error> {
    if call.is(index, "sum") {
        Ok(Aggregate::Sum)
    } else if call.is(index, "min") {
        Ok(Aggregate::Min)
    } else if call.is(index, "max") {
        Ok(Aggregate::Max)
    } else {
        Err(error::SYNTAX.into())
    }
}

/// A key to read from.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    Missing,
    Zset(ZsetView<'a>),
    /// Every member of a set has the score 1.
    Set(SetView<'a>),
}

impl<'a> Source<'a> {
    pub(super) fn of(view: Option<View<'a>>) -> Source<'a> {
        view.map_or(Source::Missing, |view| match (view.zset(), view.set()) {
            (Some(zset), _) => Source::Zset(zset),
            (None, Some(set)) => Source::Set(set),
            (None, None) => Source::Missing,
        })
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Source::Missing => 0,
            Source::Zset(zset) => zset.len(),
            Source::Set(set) => set.len(),
        }
    }

    /// Bytes of the members and of what they are found by; 0 where they lie in their key's entry.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Source::Missing => 0,
            Source::Zset(zset) => zset.bytes(),
            Source::Set(set) => set.bytes(),
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    /// Which one it is of those that were asked for.
    pub(super) number: usize,
    pub(super) source: Source<'a>,
    pub(super) weight: f64,
}

impl<'a> Input<'a> {
    #[inline(always)]
    pub(super) fn score(&self, member: Item<'_>, buffer: &mut IntBuffer) -> Option<f64> {
        match self.source {
            Source::Missing => None,
            Source::Zset(zset) => zset.score(member.text(buffer)),
            Source::Set(set) => set.contains_item(member).then_some(1.0),
        }
    }

    /// Shows members with their scores, not weighted, as long as `visit` says so.
    fn each_while(&self, mut visit: impl FnMut(Item<'a>, f64) -> bool) {
        match self.source {
            Source::Missing => {}
            Source::Zset(zset) => {
                let _ = zset.iter().all(|(member, score)| visit(member, score));
            }
            Source::Set(set) => {
                set.each_while(|member| visit(member, 1.0));
            }
        }
    }
}

/// A member as what it is called, however it is stored.
struct Name<'a>(Item<'a>);

impl<'a> Name<'a> {
    fn of(item: Item<'a>) -> Name<'a> {
        Name(match item {
            Item::Bytes(bytes) => canonical_int(bytes).map_or(item, Item::Int),
            Item::Int(_) => item,
        })
    }
}

impl PartialEq for Name<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Name<'_> {}

impl Hash for Name<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.0 {
            Item::Bytes(bytes) => bytes.hash(state),
            Item::Int(number) => number.hash(state),
        }
    }
}

/// Members with their scores.
type Combined<'a> = Vec<(Item<'a>, f64)>;

fn union<'a>(inputs: &[Input<'a>], aggregate: Aggregate) -> Combined<'a> {
    let mut scores = HashMap::new();
    for input in inputs {
        input.each_while(|member, score| {
            let score = number(score * input.weight);
            scores
                .entry(Name::of(member))
                .and_modify(|sum| *sum = aggregate.of(*sum, score))
                .or_insert(score);
            true
        });
    }
    scores
        .into_iter()
        .map(|(Name(member), score)| (member, score))
        .collect()
}

fn intersection<'a>(inputs: &[Input<'a>], aggregate: Aggregate, limit: u64) -> Combined<'a> {
    let mut combined = Vec::new();
    let mut buffer = IntBuffer::new();
    let [first, others @ ..] = inputs else {
        return combined;
    };
    first.each_while(|member, score| {
        let mut sum = number(score * first.weight);
        for other in others {
            let Some(score) = other.score(member, &mut buffer) else {
                return true;
            };
            sum = aggregate.of(sum, score * other.weight);
        }
        combined.push((member, sum));
        limit == 0 || (combined.len() as u64) < limit
    });
    combined
}

fn difference<'a>(inputs: &[Input<'a>]) -> Combined<'a> {
    let mut combined = Vec::new();
    let mut buffer = IntBuffer::new();
    let [first, others @ ..] = inputs else {
        return combined;
    };
    first.each_while(|member, score| {
        let is_in = |other: &Input<'_>| other.score(member, &mut buffer).is_some();
        if !others.iter().any(is_in) {
            combined.push((member, score));
        }
        true
    });
    combined
}

/// Puts members into the order of a sorted set.
fn sort(combined: &mut Combined<'_>) {
    let (mut one, mut other) = (IntBuffer::new(), IntBuffer::new());
    combined.sort_unstable_by(|(a, score), (b, other_score)| {
        let order = score.partial_cmp(other_score).expect("no score is NaN");
        order.then_with(|| a.text(&mut one).cmp(b.text(&mut other)))
    });
}

/// The keys to read, counted as read.
fn inputs<'c>(call: &'c mut Call<'_>, form: Form) -> Result<(Vec<Input<'c>>, Options), Error> {
    let keys = form.keys(call)?;
    let first = form.numkeys + 1;
    for index in first..first + keys {
        let key = call.other_key(index);
        let is_other = |view: store::View<'_>| view.zset().is_none() && view.set().is_none();
        if lookup::view(call, key).is_some_and(is_other) {
            return Err(error::WRONG_TYPE.into());
        }
    }
    let options = form.options(call, keys)?;
    let (db, now) = (call.db, call.now());
    let read = |number: usize| {
        let key = call.other_key(first + number);
        Input {
            number,
            source: Source::of(call.core.shard.view_beside(db, key, now)),
            weight: options.weights.get(number).copied().unwrap_or(1.0),
        }
    };
    let mut inputs: Vec<_> = (0..keys).map(read).collect();
    if form.operation != Operation::Diff {
        inputs.sort_by_key(|input| input.source.len());
    }
    Ok((inputs, options))
}

/// Has the command go on in steps, with the inputs of these numbers and weights in their order.
#[cold]
fn in_steps(call: &mut Call<'_>, form: Form, options: &Options, order: Vec<(usize, f64)>) -> Error {
    let first = form.numkeys + 1;
    let key = |(number, _): &(usize, f64)| call.other_key(first + number);
    let keys: Vec<Key<'_>> = order.iter().map(key).collect();
    let end = if form.only_counts {
        let limit = usize::try_from(options.limit).unwrap_or(usize::MAX);
        End::Count(if limit == 0 { usize::MAX } else { limit })
    } else if form.stores() {
        End::Store(Target::new(call.db, call.other_key(1)))
    } else {
        End::Answer {
            proto: call.proto,
            with_scores: options.with_scores,
        }
    };
    let wanted = Wanted {
        operation: form.operation,
        aggregate: options.aggregate,
        weights: order.iter().map(|(_, weight)| *weight).collect(),
        end,
    };
    steps::begin(call, &keys, wanted)
}

fn combine(call: &mut Call<'_>, out: &mut Writer<'_>, form: Form) -> Reply {
    let (inputs, options) = inputs(call, form)?;
    if form.operation.takes_long(&inputs) {
        let order = inputs.iter().map(|input| (input.number, input.weight));
        let order = order.collect();
        return Err(in_steps(call, form, &options, order));
    }
    let aggregate = options.aggregate;
    let mut combined = match form.operation {
        Operation::Union => union(&inputs, aggregate),
        Operation::Inter => intersection(&inputs, aggregate, options.limit),
        Operation::Diff => difference(&inputs),
    };
    if form.only_counts {
        out.int(combined.len() as i64);
        return Ok(());
    }
    sort(&mut combined);
    if form.stores() {
        let mut buffer = IntBuffer::new();
        let (mut members, mut scores) = (Strings::default(), Vec::with_capacity(combined.len()));
        for (member, score) in combined {
            members.push(member.text(&mut buffer));
            scores.push(score);
        }
        out.int(store(call, 1, members, scores));
        return Ok(());
    }
    let nests = options.with_scores && out.proto() == Proto::Resp3;
    header(out, options.with_scores, combined.len());
    for (member, score) in combined {
        if options.with_scores {
            write_pair(out, member, score, nests);
        } else {
            lookup::bulk_item(out, member);
        }
    }
    Ok(())
}

const fn form(name: &'static str, operation: Operation, numkeys: usize) -> Form {
    Form {
        name,
        operation,
        numkeys,
        only_counts: false,
    }
}

/// ZUNION.
pub fn zunion(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    combine(call, out, form("zunion", Operation::Union, 1))
}

/// ZINTER.
pub fn zinter(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    combine(call, out, form("zinter", Operation::Inter, 1))
}

/// ZDIFF.
pub fn zdiff(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    combine(call, out, form("zdiff", Operation::Diff, 1))
}

/// ZINTERCARD.
pub fn zintercard(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let form = Form {
        only_counts: true,
        ..form("zintercard", Operation::Inter, 1)
    };
    combine(call, out, form)
}

/// ZUNIONSTORE.
pub fn zunionstore(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    combine(call, out, form("zunionstore", Operation::Union, 2))
}

/// ZINTERSTORE.
pub fn zinterstore(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    combine(call, out, form("zinterstore", Operation::Inter, 2))
}

/// ZDIFFSTORE.
pub fn zdiffstore(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    combine(call, out, form("zdiffstore", Operation::Diff, 2))
}
