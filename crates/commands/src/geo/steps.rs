//! A search over much of a sorted set in bounded steps: members are looked at, ordered by distance, and answered or stored.
//! Never looks at a member twice, and never orders what is not asked for in order.
//! Source: as `search`, which does at once what is little; `steps::Order`.

use super::cells::Point;
use super::coverage::coverage;
use super::search::{self, SearchOptions, Store, write_one};
use crate::reading::{self, Budget, LONG_ELEMENTS, Reader};
use crate::steps::{self, Order, Pieces, Sources, Steps, Stop, Target, target, weight};
use crate::{Call, Core, Error, Part, Progress};
use resp::{Proto, Writer};
use std::ops::{Bound, Range};
use store::{Content, IntBuffer, Key, Strings, View, ZsetView};

/// Members that a step looks at: each costs the sines of a distance.
const STEP_MEMBERS: usize = 2048;
/// Found members that are put in their order, to be stored, in a step; or as many as have so many bytes.
const COPIED_MEMBERS: usize = 4096;
const COPIED_BYTES: usize = 512 * 1024;

/// A search that is under way.
#[derive(Debug)]
pub struct Searching {
    options: SearchOptions,
    /// Ranks of the members that may lie in the shape, those not looked at.
    ranges: Vec<Range<usize>>,
    /// What was found: names, and scores with distances. Each is one block, which is freed at once.
    members: Strings,
    places: Vec<(f64, f64)>,
    order: Order,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// The first of the ranges is looked at.
    Look,
    /// What was found is brought into its order.
    Sort,
    /// Members from this one on are answered.
    Answer(usize),
}

/// The ranks of the members that may lie in the shape, in the order in which a search meets them.
fn ranges(zset: ZsetView<'_>, options: &SearchOptions) -> Vec<Range<usize>> {
    let scores = options.shape.as_ref().map(coverage).unwrap_or_default();
    let ranks = scores.into_iter().map(|scores| {
        // Positions are numbers of 52 bits: each is a double.
        let start = Bound::Included(scores.start as f64);
        let end = Bound::Excluded(scores.end as f64);
        zset.ranks_by_score(start, end, usize::MAX, false)
    });
    ranks.filter(|ranks| !ranks.is_empty()).collect()
}

/// The search that has to be made in steps, if it takes long.
pub fn if_long(zset: ZsetView<'_>, options: &SearchOptions) -> Option<Box<Searching>> {
    let is_short = |count| options.any && count < LONG_ELEMENTS;
    if options.count.is_some_and(is_short) {
        return None;
    }
    let mut met = Vec::new();
    let is_long = reading::is_long(zset.bytes(), || {
        met = ranges(zset, options);
        (met.iter().map(Range::len).sum(), zset.len())
    });
    met.reverse();
    let is_counted = zset.len() <= u32::MAX as usize;
    (is_long && is_counted).then(|| {
        Box::new(Searching {
            options: options.clone(),
            ranges: met,
            members: Strings::default(),
            places: Vec::new(),
            order: order_of(options, 0),
            phase: Phase::Look,
        })
    })
}

/// An order by distance of so many found members.
fn order_of(options: &SearchOptions, count: usize) -> Order {
    let is_descending = options.order == Some(search::Order::Descending);
    Order::with_room(count, is_descending)
}

/// Has a search of a key be made in steps.
#[cold]
pub fn begin(call: &mut Call<'_>, key: Key<'_>, searching: Box<Searching>) -> Error {
    let Some(to) = searching.options.store else {
        return reading::begin(call, *searching, |_| {});
    };
    let target = Target::new(call.db, call.other_key(to.key_index));
    let sources = Sources::of(call, &[key]);
    let locked = sources.hashes().chain([target.key().hash]).collect();
    let lookups = sources.lookups();
    let course = |steps| store(steps, sources, searching, (target, to));
    steps::begin(call, locked, lookups, course)
}

async fn store(
    steps: Steps,
    sources: Sources,
    searching: Box<Searching>,
    (target, to): (Target, Store),
) -> Result<Part, Stop> {
    let storing = Storing {
        sources,
        searching,
        to,
        members: Strings::default(),
        scores: Vec::new(),
    };
    let storing = steps.work(storing, Storing::search).await?;
    let storing = steps.work(storing, Storing::piece).await?;
    let Storing {
        sources,
        members,
        scores,
        ..
    } = storing;
    let count = members.len();
    target::replace(&steps, sources, target, Content::Zset { members, scores }).await?;
    Ok(Pieces::new(Proto::Resp2, |out| out.int(count as i64)).finish())
}

/// A search whose members are stored.
struct Storing {
    sources: Sources,
    searching: Box<Searching>,
    to: Store,
    /// Members in their order, as far as they are there.
    members: Strings,
    scores: Vec<f64>,
}

impl Storing {
    fn search(&mut self, core: &mut Core) -> Result<Progress, Stop> {
        let view = self.sources.view(core, 0)?.ok_or(Stop::Lost)?;
        let zset = view.zset().expect("a collection keeps its type");
        if self.searching.prepare(zset) {
            return Ok(Progress::Again);
        }
        let (found, wanted) = (&self.searching.members, self.searching.wanted());
        let bytes = found.text_bytes() as u128 * wanted as u128 / found.len().max(1) as u128;
        self.members = Strings::with_room(wanted, bytes as usize);
        self.scores.reserve_exact(wanted);
        Ok(Progress::Done)
    }

    fn piece(&mut self, _: &mut Core) -> Result<Progress, Stop> {
        let start = self.members.len();
        let bytes_max = self.members.text_bytes() + COPIED_BYTES;
        while let Some((member, (score, distance))) = self.searching.at(self.members.len()) {
            self.members.push(member);
            self.scores
                .push(if self.to.distances { distance } else { score });
            let is_full = self.members.len() == start + COPIED_MEMBERS;
            if is_full || self.members.text_bytes() >= bytes_max {
                return Ok(Progress::Again);
            }
        }
        Ok(Progress::Done)
    }
}

impl Reader for Searching {
    fn read(
        &mut self,
        view: &View<'_>,
        out: &mut Writer<'_>,
        _: &mut Budget,
    ) -> Result<bool, Error> {
        let zset = view.zset().expect("a sorted set stays one");
        Ok(self.search(zset, out))
    }

    fn header(&mut self, proto: Proto) -> Option<Vec<u8>> {
        let mut header = Vec::new();
        Writer::new(&mut header, proto).array(self.wanted());
        Some(header)
    }
}

impl Searching {
    /// Searches on, or answers. Whether there is more to do.
    fn search(&mut self, zset: ZsetView<'_>, out: &mut Writer<'_>) -> bool {
        if let Phase::Answer(start) = self.phase {
            return self.answer(start, out);
        }
        self.prepare(zset);
        true
    }

    /// Searches on. Whether it did; all is found and in its order if not.
    fn prepare(&mut self, zset: ZsetView<'_>) -> bool {
        match self.phase {
            Phase::Look => self.look(zset),
            Phase::Sort => {
                if self.order.step(None) == Progress::Done {
                    self.phase = Phase::Answer(0);
                }
            }
            Phase::Answer(_) => return false,
        }
        true
    }

    /// How many members are answered.
    fn wanted(&self) -> usize {
        self.places
            .len()
            .min(self.options.count.unwrap_or(usize::MAX))
    }

    fn look(&mut self, zset: ZsetView<'_>) {
        if self.places.capacity() == 0 {
            // They are not copied again as they become more; what is not written takes no memory.
            let met = self.ranges.iter().map(Range::len).sum();
            self.members = Strings::with_room(met, zset.bytes() as usize);
            self.places.reserve_exact(met);
            if self.options.order.is_some() {
                self.order = order_of(&self.options, met);
            }
        }
        let (Some(ranks), Some(shape)) = (self.ranges.last_mut(), self.options.shape) else {
            self.phase = match self.options.order {
                Some(_) => Phase::Sort,
                None => Phase::Answer(0),
            };
            return;
        };
        let mut buffer = IntBuffer::new();
        let end = ranks.end.min(ranks.start + STEP_MEMBERS);
        // Where any will do, no more than are asked for.
        let count = self.options.count.filter(|_| self.options.any);
        let enough = count.unwrap_or(usize::MAX);
        for (member, score) in zset.range(ranks.start..end) {
            if self.places.len() >= enough {
                break;
            }
            if let Some(metres) = shape.distance_within_m(Point::of_score(score)) {
                let distance = metres / shape.unit.metres();
                if self.options.order.is_some() {
                    self.order.push(weight(distance));
                }
                self.places.push((score, distance));
                self.members.push(member.text(&mut buffer));
            }
        }
        ranks.start = end;
        if end == ranks.end {
            self.ranges.pop();
        }
        if self.places.len() >= enough {
            self.ranges.clear();
        }
    }

    /// The member of this rank, of those that are wanted, with its score and distance.
    fn at(&self, rank: usize) -> Option<(&[u8], (f64, f64))> {
        if rank >= self.wanted() {
            return None;
        }
        let index = match self.options.order {
            Some(_) => self.order.at(rank)?,
            None => rank,
        };
        Some((self.members.at(index), self.places[index]))
    }

    fn answer(&mut self, start: usize, out: &mut Writer<'_>) -> bool {
        let (mut step, mut next) = (Budget::default(), start);
        while let Some((member, place)) = self.at(next) {
            write_one(out, &self.options, member, place);
            next += 1;
            if !step.goes_on(out) {
                break;
            }
        }
        self.phase = Phase::Answer(next);
        next < self.wanted()
    }
}

#[cfg(test)]
mod tests {
    use crate::execute::Ran;
    use crate::reading::LONG_ELEMENTS;
    use crate::trial::{AT_ONCE, Trial, assert_nothing_is_borrowed, both_ways, in_steps, run_row};
    use crate::{Core, Part};
    use resp::Proto;

    fn fill(core: &mut Core, count: usize) {
        for number in 0..count {
            // Some lie at one place.
            let (x, y) = (number % 997, number % 83);
            let (longitude, latitude) = (x as f64 / 3.0 - 166.0, y as f64 * 2.0 - 83.0);
            let line = format!("geoadd g {longitude} {latitude} member:{number}");
            assert_eq!(run_row(core, &line, Proto::Resp2).0, Ran::Yes);
        }
    }

    #[test]
    fn a_search_finds_the_same_in_steps_as_at_once() {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        fill(core, LONG_ELEMENTS + 3000);
        for line in [
            "geosearch g fromlonlat 0 0 byradius 20100 km",
            "geosearch g fromlonlat 10 20 byradius 20100 km asc",
            "geosearch g fromlonlat 10 20 byradius 20100 km desc withdist withcoord withhash",
            "geosearch g frommember member:7 bybox 30000 20000 km count 10",
            "geosearch g fromlonlat 10 20 byradius 20100 km count 21000 desc",
            "geosearch g fromlonlat 0 0 byradius 20100 km count 20500 any",
            "geosearch g fromlonlat 0 0 byradius 20100 km count 20500 any asc",
            "georadius g 0 0 20100 km withdist",
            "georadius_ro g 0 0 20100 km asc",
            "georadiusbymember g member:9 20100 km desc count 5",
        ] {
            for proto in [Proto::Resp2, Proto::Resp3] {
                both_ways(core, line, proto);
            }
        }
        for line in [
            "geosearch g fromlonlat 0 0 byradius 20100 km count 3 any",
            "geosearch g fromlonlat 0 0 byradius 100 km",
        ] {
            assert_eq!(run_row(core, line, Proto::Resp2).0, Ran::Yes, "{line}");
        }
    }

    /// What a command that stores answers, in steps or at once, and what the target and the source hold then.
    fn outcome(core: &mut Core, line: &str, at_once: bool) -> [(Ran, Vec<u8>); 2] {
        AT_ONCE.set(true);
        for line in ["zrangestore g kept 0 -1", "del d"] {
            assert_eq!(run_row(core, line, Proto::Resp2).0, Ran::Yes);
        }
        AT_ONCE.set(at_once);
        let (ran, mut told) = run_row(core, line, Proto::Resp2);
        if let Some(long) = core.long.take() {
            let Ok(Part::Reply(pieces)) = long.finish(core) else {
                panic!("there is room");
            };
            told = pieces.concat();
        }
        AT_ONCE.set(true);
        let stored = ["zrange d 0 -1 withscores", "zrange g 0 -1 withscores"]
            .map(|line| run_row(core, line, Proto::Resp2).1);
        AT_ONCE.set(false);
        [(ran, told), (Ran::Yes, stored.concat())]
    }

    #[test]
    fn what_a_search_finds_is_stored_in_steps_as_at_once() {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        fill(core, LONG_ELEMENTS + 3000);
        AT_ONCE.set(true);
        assert_eq!(
            run_row(core, "zrangestore kept g 0 -1", Proto::Resp2).0,
            Ran::Yes
        );
        for line in [
            "geosearchstore d g fromlonlat 10 20 byradius 20100 km",
            "geosearchstore d g fromlonlat 10 20 byradius 20100 km storedist",
            "geosearchstore d g fromlonlat 10 20 bybox 30000 20000 km desc count 700 storedist",
            "geosearchstore d g frommember member:7 byradius 20100 km count 20500 any",
            "georadius g 0 0 20100 km store d",
            "georadius g 0 0 20100 km desc count 21000 storedist d",
            "georadiusbymember g member:9 20100 km storedist d",
            // What is read may be replaced.
            "geosearchstore g g fromlonlat 10 20 byradius 20100 km count 22000",
        ] {
            let [(ran, told), stored] = outcome(core, line, false);
            assert_eq!(ran, Ran::InSteps, "{line}");
            let [at_once, stored_at_once] = outcome(core, line, true);
            assert_eq!(at_once, (Ran::Yes, told), "{line}");
            assert!(stored == stored_at_once, "{line}");
        }
        assert_nothing_is_borrowed(core);
    }

    #[test]
    fn where_many_are_looked_at_and_none_is_found_the_target_goes() {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        for number in 0..LONG_ELEMENTS {
            let line = format!("geoadd g 10 10 member:{number}");
            assert_eq!(run_row(core, &line, Proto::Resp2).0, Ran::Yes);
        }
        // All lie 21.5 km from there, in a cell that it has to look at.
        let line = "geosearchstore g g fromlonlat 10.196 10 byradius 20 km";
        assert_eq!(in_steps(core, line, Proto::Resp2), b":0\r\n");
        let (_, left) = run_row(core, "exists g", Proto::Resp2);
        assert_eq!(left, b":0\r\n");
    }
}
