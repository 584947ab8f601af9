//! Copies of values that leave their shard, or become another key's: large ones are copied some elements at a time.
//! Never copies what had expired when it began, and never loses what expires meanwhile: whoever sweeps passes over locked keys.
//! Source: decision 0010; whoever asks has locked the keys against writers.

use super::{Sources, Steps, Stop};
use crate::{Core, Progress, reading};
use store::{Content, Detached, IntBuffer, Kind, Millis, Place, StreamCopy, Strings, View};

/// Elements that are copied in a step.
const STEP_ELEMENTS: usize = 2048;
/// A step ends with the element that brings it to so many bytes.
const STEP_BYTES: usize = 256 * 1024;
/// Nodes of a stream that are copied in a step: mostly of 4 KiB.
const STEP_NODES: usize = 128;

const KIND: &str = "a collection keeps its type";

/// Whether it takes long to copy a value, which has parts that can be copied one by one.
pub fn takes_long(view: &View<'_>) -> bool {
    extent(view).is_some_and(|(count, bytes)| {
        let has_parts = count > 1 || view.kind() == Kind::Stream;
        has_parts && reading::is_long(bytes, || (count, count))
    })
}

/// How many elements a large collection has, those that have expired among them, and about how many bytes.
pub fn extent(view: &View<'_>) -> Option<(usize, u64)> {
    view.large_at()?;
    match view.kind() {
        Kind::Set => view.set().map(|set| (set.len(), set.bytes())),
        Kind::List => view.list().map(|list| (list.len(), list.bytes())),
        Kind::Zset => view.zset().map(|zset| (zset.len(), zset.bytes())),
        Kind::Hash => view
            .hash()
            .map(|hash| (hash.len_with_expired(), hash.bytes())),
        Kind::Stream => {
            let stream = view.stream()?;
            let count = usize::try_from(stream.len()).unwrap_or(usize::MAX);
            Some((count, stream.bytes()))
        }
        Kind::String => None,
    }
}

/// Values being copied one after the other.
struct Copying {
    sources: Sources,
    copies: Vec<Option<Detached>>,
    /// What is there of the next.
    begun: Option<Begun>,
}

/// A copy under way.
enum Begun {
    /// Of what has elements, and where it is gone on.
    Elements(Content, Place),
    Stream(StreamCopy),
}

impl Begun {
    fn of(view: &View<'_>) -> Begun {
        match view.stream() {
            Some(stream) => Begun::Stream(StreamCopy::of(stream)),
            None => Begun::Elements(room_for(view), Place::default()),
        }
    }

    /// Copies on. Whether there is more.
    fn step(&mut self, view: &View<'_>) -> bool {
        match self {
            Begun::Stream(copy) => copy.step(view.stream().expect(KIND), STEP_NODES),
            Begun::Elements(content, place) => {
                let next = copy_some(content, view, *place);
                next.map(|next| *place = next).is_some()
            }
        }
    }

    /// The copy; nothing of a hash whose fields had all expired.
    fn finish(self, expiry: Option<Millis>) -> Option<Detached> {
        match self {
            Begun::Stream(copy) => Some(Detached::of_stream(copy.finish(), expiry)),
            Begun::Elements(content, _) => {
                (content.elements() > 0).then(|| Detached::of(content, expiry))
            }
        }
    }
}

impl Copying {
    fn piece(&mut self, core: &mut Core) -> Result<Progress, Stop> {
        let index = self.copies.len();
        if index == self.sources.len() {
            return Ok(Progress::Done);
        }
        let view = self.sources.view(core, index)?;
        let large = view.filter(takes_long);
        let Some(view) = large else {
            let copy = self.sources.copy_out(core, index);
            self.copies.push(copy);
            return Ok(Progress::Again);
        };
        if !self
            .begun
            .get_or_insert_with(|| Begun::of(&view))
            .step(&view)
        {
            let expiry = view.entry().expiry();
            let begun = self.begun.take();
            self.copies
                .push(begun.and_then(|begun| begun.finish(expiry)));
        }
        Ok(Progress::Again)
    }
}

/// Copies of what the keys hold; of a missing one there is none.
///
/// # Errors
/// One of them is not what it was.
pub async fn copies(steps: &Steps, sources: Sources) -> Result<Vec<Option<Detached>>, Stop> {
    copies_of(steps, sources).await.map(|(_, copies)| copies)
}

/// As [`copies`], with the sources for further use.
///
/// # Errors
/// One of them is not what it was.
pub async fn copies_of(
    steps: &Steps,
    sources: Sources,
) -> Result<(Sources, Vec<Option<Detached>>), Stop> {
    let copying = Copying {
        copies: Vec::with_capacity(sources.len()),
        sources,
        begun: None,
    };
    let copying = steps.work(copying, Copying::piece).await?;
    Ok((copying.sources, copying.copies))
}

fn room_for(view: &View<'_>) -> Content {
    let (count, bytes) = extent(view).expect("it is large");
    let strings = |count| Strings::with_room(count, bytes as usize);
    match view.kind() {
        Kind::Set => Content::Set(strings(count)),
        Kind::List => Content::List(strings(count)),
        Kind::Zset => Content::Zset {
            members: strings(count),
            scores: Vec::with_capacity(count),
        },
        Kind::Hash => Content::Hash {
            pairs: strings(2 * count),
            expiries: Vec::with_capacity(match view.hash() {
                Some(hash) if hash.expires() => count,
                _ => 0,
            }),
        },
        Kind::String | Kind::Stream => unreachable!("is not copied in steps"),
    }
}

/// Copies some elements. Where to go on, if there are more.
fn copy_some(content: &mut Content, view: &View<'_>, place: Place) -> Option<Place> {
    let (mut buffer, mut budget) = (IntBuffer::new(), Budget::default());
    match content {
        Content::Set(members) => view.set().expect(KIND).walk(place, |member| {
            let text = member.text(&mut buffer);
            members.push(text);
            budget.goes_on(text.len())
        }),
        Content::Hash { pairs, expiries } => {
            let hash = view.hash().expect(KIND);
            let expires = hash.expires();
            hash.walk_with_expiries(place, |field, value, expiry| {
                let before = pairs.text_bytes();
                pairs.push(field.text(&mut buffer));
                pairs.push(value.text(&mut buffer));
                if expires {
                    expiries.push(expiry);
                }
                budget.goes_on(pairs.text_bytes() - before)
            })
        }
        Content::List(elements) => {
            let list = view.list().expect(KIND);
            let mut left = list.range(elements.len(), list.len());
            let is_all = left.all(|element| {
                let text = element.text(&mut buffer);
                elements.push(text);
                budget.goes_on(text.len())
            });
            (!is_all && elements.len() < list.len()).then_some(place)
        }
        Content::Zset { members, scores } => {
            let zset = view.zset().expect(KIND);
            let mut left = zset.range(scores.len()..zset.len());
            let is_all = left.all(|(member, score)| {
                let text = member.text(&mut buffer);
                members.push(text);
                scores.push(score);
                budget.goes_on(text.len())
            });
            (!is_all && scores.len() < zset.len()).then_some(place)
        }
        Content::String(_) | Content::Stream(_) => unreachable!("is not copied in steps"),
    }
}

/// How much of a step is done.
#[derive(Default)]
struct Budget {
    elements: usize,
    bytes: usize,
}

impl Budget {
    /// Whether an element of so many bytes more, which was just copied, leaves room for another.
    fn goes_on(&mut self, bytes: usize) -> bool {
        self.elements += 1;
        self.bytes += bytes;
        self.elements < STEP_ELEMENTS && self.bytes < STEP_BYTES
    }
}
