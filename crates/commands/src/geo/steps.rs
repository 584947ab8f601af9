//! A search over much of a sorted set in bounded steps: members are looked at, ordered by distance, and answered.
//! Never looks at a member twice, and never orders what is not asked for in order.
//! Source: as `search`, which does at once what is little; bottom-up merge sort (Knuth 5.2.4).

use super::cells::Point;
use super::coverage::coverage;
use super::search::{Order, SearchOptions, write_one};
use crate::reading::{self, Budget, LONG_ELEMENTS, Reader};
use crate::{Call, Error};
use resp::{Proto, Writer};
use std::ops::{Bound, Range};
use store::{IntBuffer, Strings, View, ZsetView};

/// Members that a step looks at: each costs the sines of a distance.
const STEP_MEMBERS: usize = 2048;
/// Found members of a run, which is sorted in a step.
const RUN_MEMBERS: usize = 1024;
/// Those that are merged in a step.
const MERGED_MEMBERS: usize = 8192;

/// What the order goes by, the nearer or the farther first, and which one it is.
type Weighed = (u64, u32);

/// A search that is under way.
#[derive(Debug)]
pub struct Searching {
    options: SearchOptions,
    /// Ranks of the members that may lie in the shape, those not looked at.
    ranges: Vec<Range<usize>>,
    /// What was found: names, and scores with distances. Each is one block, which is freed at once.
    members: Strings,
    places: Vec<(f64, f64)>,
    order: Vec<Weighed>,
    merged: Vec<Weighed>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// The first of the ranges is looked at.
    Look,
    /// Runs from this one on are sorted.
    Sort(usize),
    /// Sorted runs of so many are merged, two by two.
    Merge(Merging),
    /// Members from this one on are answered.
    Answer(usize),
}

/// Two neighbouring runs that are being merged.
#[derive(Clone, Copy, Debug)]
struct Merging {
    /// Members of a run.
    width: usize,
    /// Where the first ends.
    middle: usize,
    /// What is left of both.
    left: usize,
    right: usize,
}

impl Merging {
    fn of(width: usize, start: usize, len: usize) -> Merging {
        let middle = (start + width).min(len);
        Merging {
            width,
            middle,
            left: start,
            right: middle,
        }
    }

    fn end(&self, len: usize) -> usize {
        (self.middle + self.width).min(len)
    }
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
    if options.store.is_some() || options.count.is_some_and(is_short) {
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
            order: Vec::new(),
            merged: Vec::new(),
            phase: Phase::Look,
        })
    })
}

/// Has a search of the first key be made in steps.
#[cold]
pub fn begin(call: &mut Call<'_>, searching: Box<Searching>) -> Error {
    reading::begin(call, *searching, |_| {})
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
        match self.phase {
            Phase::Look => self.look(zset),
            Phase::Sort(start) => self.sort_run(start),
            Phase::Merge(at) => self.merge(at),
            Phase::Answer(start) => return self.answer(start, out),
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
            self.order.reserve_exact(met);
        }
        let (Some(ranks), Some(shape)) = (self.ranges.last_mut(), self.options.shape) else {
            self.phase = match self.options.order {
                Some(_) => Phase::Sort(0),
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
                let bits = rising(distance);
                let weight = match self.options.order {
                    Some(Order::Descending) => !bits,
                    _ => bits,
                };
                self.order.push((weight, self.places.len() as u32));
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

    fn sort_run(&mut self, start: usize) {
        let len = self.order.len();
        let end = (start + RUN_MEMBERS).min(len);
        self.order[start..end].sort_unstable();
        self.phase = if end < len {
            Phase::Sort(end)
        } else if len > RUN_MEMBERS {
            self.merged.reserve_exact(len);
            Phase::Merge(Merging::of(RUN_MEMBERS, 0, len))
        } else {
            Phase::Answer(0)
        };
    }

    fn merge(&mut self, mut at: Merging) {
        let len = self.order.len();
        let until = (self.merged.len() + MERGED_MEMBERS).min(len);
        while self.merged.len() < until {
            let end = at.end(len);
            let takes_left = at.right == end
                || at.left < at.middle && self.order[at.left] < self.order[at.right];
            let taken = if takes_left {
                &mut at.left
            } else {
                &mut at.right
            };
            self.merged.push(self.order[*taken]);
            *taken += 1;
            if at.left == at.middle && at.right == end {
                at = Merging::of(at.width, end, len);
            }
        }
        if until == len {
            std::mem::swap(&mut self.order, &mut self.merged);
            self.merged.clear();
            at = Merging::of(2 * at.width, 0, len);
        }
        self.phase = if at.width < len {
            Phase::Merge(at)
        } else {
            Phase::Answer(0)
        };
    }

    fn answer(&mut self, start: usize, out: &mut Writer<'_>) -> bool {
        let (mut step, mut next) = (Budget::default(), start);
        while next < self.wanted() {
            let (_, index) = self.order[next];
            let index = index as usize;
            let (member, place) = (self.members.at(index), self.places[index]);
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

/// A number that rises as a float does, in the order of `total_cmp`.
fn rising(float: f64) -> u64 {
    let bits = float.to_bits();
    if bits >> 63 == 1 {
        !bits
    } else {
        bits | 1 << 63
    }
}

#[cfg(test)]
mod tests {
    use crate::Core;
    use crate::execute::Ran;
    use crate::reading::LONG_ELEMENTS;
    use crate::trial::{Trial, both_ways, run_row};
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
}
