//! What large sets make together, in steps: unions, intersections and differences, answered, counted or stored.
//! Never copies a set that is only asked for members, unless it must be walked to be asked.
//! Source: as in `combine`; members are gathered as texts, which mean the same in every set.

use super::Members;
use super::combine::Operation;
use crate::reading;
use crate::steps::{self, Distinct, Pieces, Sources, Steps, Stop, Target, target};
use crate::{Call, Core, Error, Part, Progress};
use resp::Proto;
use store::{Content, IntBuffer, Key, Place, SetView, Strings};

/// Members that are met in a step.
const STEP_MEMBERS: usize = 2048;

/// What becomes of the members.
pub(super) enum End {
    Answer(Proto),
    /// They are counted, as far as this.
    Count(usize),
    Store(Target),
}

/// Has the command go on in steps. What this returns is the handler's error, which nobody sees.
pub(super) fn begin(
    call: &mut Call<'_>,
    operation: Operation,
    keys: &[Key<'_>],
    end: End,
) -> Error {
    if let ([_], End::Answer(_)) = (keys, &end) {
        let (key, db, now) = (call.key(1), call.db, call.now());
        let view = call.core.shard.view_beside(db, key, now);
        let len = view.and_then(|view| view.set()).map_or(0, |set| set.len());
        let what = Members(Place::default());
        return reading::begin(call, what, |out| out.set(len));
    }
    let sources = Sources::of(call, keys);
    let mut locked: Vec<u64> = sources.hashes().collect();
    if let End::Store(target) = &end {
        locked.push(target.key().hash);
    }
    let lookups = sources.lookups();
    let course = |steps| combine(steps, operation, sources, end);
    steps::begin(call, locked, lookups, course)
}

async fn combine(
    steps: Steps,
    operation: Operation,
    sources: Sources,
    end: End,
) -> Result<Part, Stop> {
    let limit = match end {
        End::Count(limit) => limit,
        _ => usize::MAX,
    };
    let (sources, members) = match operation {
        Operation::Union => {
            let union = steps.work(Union::of(sources), Union::begin).await?;
            let union = steps.work(union, Union::piece).await?;
            (union.sources, union.members.into_texts())
        }
        Operation::Inter | Operation::Diff => {
            let wants = operation == Operation::Inter;
            let sieve = Sieve::of(sources, wants, limit);
            let sieve = steps.work(sieve, Sieve::begin).await?;
            let sieve = steps.work(sieve, Sieve::piece).await?;
            (sieve.sources, sieve.passed)
        }
    };
    let count = members.len();
    match end {
        End::Count(_) => Ok(Pieces::new(Proto::Resp2, |out| out.int(count as i64)).finish()),
        End::Store(to) => {
            target::replace(&steps, sources, to, Content::Set(members)).await?;
            Ok(Pieces::new(Proto::Resp2, |out| out.int(count as i64)).finish())
        }
        End::Answer(proto) => {
            let answer = Answer {
                pieces: Pieces::new(proto, |out| out.set(count)),
                members,
                answered: 0,
            };
            let answer = steps.work(answer, Answer::piece).await?;
            Ok(answer.pieces.finish())
        }
    }
}

/// The members that any of the sets has.
struct Union {
    sources: Sources,
    /// The set that is walked, and where it is gone on with.
    at: usize,
    place: Place,
    members: Distinct,
}

impl Union {
    fn of(sources: Sources) -> Union {
        Union {
            sources,
            at: 0,
            place: Place::default(),
            members: Distinct::default(),
        }
    }

    /// Makes room, which is no more than what all have.
    fn begin(&mut self, core: &mut Core) -> Result<Progress, Stop> {
        self.members = room_for(&self.sources, 0..self.sources.len(), core)?;
        Ok(Progress::Done)
    }

    fn piece(&mut self, core: &mut Core) -> Result<Progress, Stop> {
        let (mut left, mut buffer) = (STEP_MEMBERS, IntBuffer::new());
        while self.at < self.sources.len() {
            let members = &mut self.members;
            let next = set_at(&self.sources, core, self.at)?.and_then(|set| {
                set.walk(self.place, |member| {
                    add(members, core, member.text(&mut buffer));
                    left = left.saturating_sub(1);
                    left > 0
                })
            });
            self.place = next.unwrap_or_default();
            self.at += usize::from(next.is_none());
            // A look at a key counts as well.
            left = left.saturating_sub(1);
            if left == 0 {
                return Ok(Progress::Again);
            }
        }
        Ok(Progress::Done)
    }
}

/// Members of one set of which all others, or none, have the same.
struct Sieve {
    sources: Sources,
    /// The set that is walked, and where it is gone on with.
    first: usize,
    place: Place,
    /// Whether a member that passes is in all other sets; in none if not.
    wants: bool,
    limit: usize,
    /// The sets that are asked for members.
    asked: Vec<usize>,
    /// Members of others that would be walked to be asked; they are of sets that `wants` not.
    gone: Distinct,
    passed: Strings,
}

impl Sieve {
    fn of(sources: Sources, wants: bool, limit: usize) -> Sieve {
        Sieve {
            sources,
            first: 0,
            place: Place::default(),
            wants,
            limit,
            asked: Vec::new(),
            gone: Distinct::default(),
            passed: Strings::default(),
        }
    }

    /// Chooses which set is walked, and how each other is asked.
    fn begin(&mut self, core: &mut Core) -> Result<Progress, Stop> {
        let mut lens = Vec::with_capacity(self.sources.len());
        for index in 0..self.sources.len() {
            let set = set_at(&self.sources, core, index)?;
            lens.push((
                set.map_or(0, |set| set.len()),
                set.is_some_and(|set| set.is_walked()),
            ));
        }
        if self.wants {
            let smallest = (0..lens.len()).min_by_key(|&index| lens[index].0);
            self.first = smallest.expect("a set is read");
        }
        let mut small = Vec::new();
        for index in (0..lens.len()).filter(|&index| index != self.first) {
            let is_small = !self.wants && lens[index].1;
            if is_small {
                &mut small
            } else {
                &mut self.asked
            }
            .push(index);
        }
        // The larger a set, the likelier it has a member; the smaller, the likelier it has not.
        self.asked.sort_by_key(|&index| lens[index].0);
        if !self.wants {
            self.asked.reverse();
        }
        self.gone = room_for(&self.sources, small.iter().copied(), core)?;
        for index in small {
            if let Some(set) = set_at(&self.sources, core, index)? {
                let mut buffer = IntBuffer::new();
                set.each(|member| add(&mut self.gone, core, member.text(&mut buffer)));
            }
        }
        let (count, bytes) = extent(&self.sources, core, self.first)?;
        self.passed = Strings::with_room(count.min(self.limit), bytes);
        Ok(Progress::Done)
    }

    fn piece(&mut self, core: &mut Core) -> Result<Progress, Stop> {
        let mut others = Vec::with_capacity(self.asked.len());
        for &index in &self.asked {
            others.push(set_at(&self.sources, core, index)?);
        }
        let Some(first) = set_at(&self.sources, core, self.first)? else {
            return Ok(Progress::Done);
        };
        let (mut left, mut buffer) = (STEP_MEMBERS / (1 + others.len()), IntBuffer::new());
        let (passed, gone) = (&mut self.passed, &self.gone);
        let next = first.walk(self.place, |member| {
            let has = |set: &Option<SetView<'_>>| set.is_some_and(|set| set.contains_item(member));
            let is_as_wanted = if self.wants {
                others.iter().all(has)
            } else {
                !others.iter().any(has)
            };
            let text = member.text(&mut buffer);
            // What is small is shown whole, whatever is said here.
            let is_wanted = is_as_wanted && passed.len() < self.limit;
            if is_wanted && gone.find(core.shard.hash(text), text).is_none() {
                passed.push(text);
            }
            left = left.saturating_sub(1);
            left > 0 && passed.len() < self.limit
        });
        match next {
            Some(place) if self.passed.len() < self.limit => {
                self.place = place;
                Ok(Progress::Again)
            }
            _ => Ok(Progress::Done),
        }
    }
}

fn set_at<'c>(
    sources: &Sources,
    core: &'c Core,
    index: usize,
) -> Result<Option<SetView<'c>>, Stop> {
    Ok(sources.view(core, index)?.and_then(|view| view.set()))
}

/// How many members a set has, and an estimate of their bytes.
fn extent(sources: &Sources, core: &Core, index: usize) -> Result<(usize, usize), Stop> {
    let set = set_at(sources, core, index)?;
    Ok(set.map_or((0, 0), |set| (set.len(), set.bytes() as usize)))
}

fn room_for(
    sources: &Sources,
    indexes: impl IntoIterator<Item = usize>,
    core: &Core,
) -> Result<Distinct, Stop> {
    let (mut count, mut bytes) = (0, 0);
    for index in indexes {
        let (members, members_bytes) = extent(sources, core, index)?;
        count += members;
        bytes += members_bytes;
    }
    Ok(Distinct::with_room(count, bytes))
}

fn add(members: &mut Distinct, core: &Core, text: &[u8]) {
    let hash = core.shard.hash(text);
    if members.find(hash, text).is_none() {
        members.push(hash, text);
    }
}

/// Members that are answered.
struct Answer {
    members: Strings,
    answered: usize,
    pieces: Pieces,
}

impl Answer {
    fn piece(&mut self, _: &mut Core) -> Result<Progress, Stop> {
        let Answer {
            members,
            answered,
            pieces,
        } = self;
        pieces.write(|out, step| {
            while *answered < members.len() {
                out.bulk(members.at(*answered));
                *answered += 1;
                if !step.goes_on(out) {
                    break;
                }
            }
        });
        Ok(if *answered < members.len() {
            Progress::Again
        } else {
            Progress::Done
        })
    }
}
