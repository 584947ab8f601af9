//! SORT of a large collection in bounded steps: ordered by its elements or by what keys made of them hold, answered or stored.
//! Never answers two moments: a key is locked against writers when it is met, until the last is read, and waits for who has it.
//! Source: two-phase locking (Eswaran, Gray, Lorie and Traiger 1976); `steps` for elements and their order.

use super::order;
use super::request::{Pattern, Request};
use super::share::{self, Share};
use super::steps::{STEP_ELEMENTS, Sorting, shared};
use crate::reply_limit::ReplyLimit;
use crate::steps::{self, Lookups, Pieces, Sources, Steps, Stop, Target, target};
use crate::{Call, Core, Error, Part, Progress};
use resp::{OwnedArgs, Proto};
use std::ops::Range;
use store::{Content, IntBuffer, Kind, Strings};

/// Keys that are met in a step: a few tenths of a millisecond where nothing is cached.
const STEP_KEYS: usize = 512;
/// Bytes of what is shown of a step.
const STEP_BYTES: usize = 128 * 1024;

/// Where keys are looked up.
struct Place {
    db: usize,
    no_touch: bool,
}

/// What a step may still do.
struct Left {
    keys: usize,
    elements: usize,
    bytes: usize,
}

impl Left {
    fn all() -> Left {
        Left {
            keys: STEP_KEYS,
            elements: STEP_ELEMENTS,
            bytes: STEP_BYTES,
        }
    }

    fn is_spent(&self) -> bool {
        self.keys == 0 || self.elements == 0 || self.bytes == 0
    }
}

/// How elements are ordered.
#[derive(Clone, Copy)]
enum By {
    Nothing,
    Element,
    Numbers,
    Texts,
}

impl By {
    fn of(request: &Request<'_>, kind: Kind) -> By {
        match request.by {
            // What is stored of a set must not depend on how the set happens to lie.
            _ if request.keeps_order && kind == Kind::Set && request.target.is_some() => {
                By::Element
            }
            _ if request.keeps_order => By::Nothing,
            None => By::Element,
            Some(_) if request.is_alpha => By::Texts,
            Some(_) => By::Numbers,
        }
    }
}

/// A SORT under way.
pub(super) struct Looking {
    args: OwnedArgs,
    stores: bool,
    at: Place,
    limit: ReplyLimit,
    sources: Sources,
    sorting: Sorting,
    by: By,
    /// What elements are ordered by, where texts are compared: nothing is empty, and something has a byte before it.
    texts: Strings,
    /// How many keys were read of those that order the elements, or how much is shown of what is answered.
    next: usize,
    /// The key that is met, and a text among `texts`.
    key: Vec<u8>,
    text: Vec<u8>,
    shown: Shown,
    shown_bytes: usize,
}

/// What is answered.
enum Shown {
    Pieces(Pieces),
    Stored(Strings),
}

impl Looking {
    /// A SORT of which nothing is done yet.
    pub(super) fn of(
        call: &Call<'_>,
        (request, stores): (&Request<'_>, bool),
        kind: Kind,
        range: Range<usize>,
    ) -> Looking {
        let (mut sorting, by) = (Sorting::of(request, range), By::of(request, kind));
        match by {
            By::Nothing if kind == Kind::Set => sorting.is_descending = false,
            // What keeps its order is stored in that of texts.
            By::Element if request.keeps_order => sorting.is_alpha = true,
            _ => {}
        }
        Looking {
            args: OwnedArgs::from_args(call.args),
            stores,
            at: Place {
                db: call.db,
                no_touch: call.no_touch,
            },
            limit: ReplyLimit::of(call),
            sources: Sources::of(call, &[call.other_key(1)]),
            sorting,
            by,
            texts: Strings::default(),
            next: 0,
            key: Vec::new(),
            text: Vec::new(),
            shown: match request.target {
                Some(_) => Shown::Stored(Strings::default()),
                None => Shown::Pieces(Pieces::new(call.proto, |_| {})),
            },
            shown_bytes: 0,
        }
    }

    /// Has it be answered, or stored, in steps.
    pub(super) fn begin(self, call: &mut Call<'_>, target: Option<Target>) -> Error {
        let hashes = self.sources.hashes();
        let locked = hashes.chain(target.as_ref().map(|target| target.key().hash));
        let (locked, lookups, proto) = (locked.collect(), self.sources.lookups(), call.proto);
        steps::begin(call, locked, lookups, |steps| {
            answer(steps, self, target, proto)
        })
    }

    /// Has what is to be stored on another shard be made in steps.
    pub(super) fn begin_share(self, call: &mut Call<'_>) -> Error {
        let course = |steps| async move {
            let (_, sorted) = self.all(&steps).await?;
            let Shown::Stored(sorted) = sorted else {
                unreachable!("over several shards it is stored")
            };
            Ok(Part::Sort(Box::new(Share::sorted(sorted))))
        };
        steps::begin(call, Vec::new(), Lookups::default(), course)
    }

    async fn all(self, steps: &Steps) -> Result<(Sources, Shown), Stop> {
        type Piece = fn(&mut Looking, &mut Core) -> Result<Progress, Stop>;
        let pieces: [Piece; 4] = [Looking::load, Looking::weigh, Looking::order, Looking::show];
        let mut looking = self;
        for piece in pieces {
            looking = steps.work(looking, piece).await?;
        }
        Ok((looking.sources, looking.shown))
    }

    fn request(args: &OwnedArgs, stores: bool) -> Request<'_> {
        Request::read(&args.as_args(), stores).expect("the arguments were read before")
    }

    fn load(&mut self, core: &mut Core) -> Result<Progress, Stop> {
        let view = self.sources.view(core, 0)?.ok_or(Stop::Lost)?;
        if self.sorting.load_some(&view) {
            return Ok(Progress::Again);
        }
        let request = Looking::request(&self.args, self.stores);
        let (len, range) = (self.sorting.elements.len(), &self.sorting.range);
        let of_order = match self.by {
            By::Nothing | By::Element => 0,
            By::Numbers => len,
            By::Texts => {
                self.texts = Strings::with_room(len, self.sorting.elements.text_bytes());
                len
            }
        };
        let gets = request.gets.iter().filter(|get| get.makes_key()).count();
        core.locks.expect_to_meet(of_order + range.len() * gets);
        Ok(Progress::Done)
    }

    /// Gives elements their weights, which needs keys where patterns make some.
    fn weigh(&mut self, core: &mut Core) -> Result<Progress, Stop> {
        let len = self.sorting.elements.len();
        match self.by {
            By::Element => self.sorting.weigh()?,
            By::Nothing => {
                let start = self.sorting.order.len();
                let end = len.min(start + STEP_ELEMENTS);
                (start..end).for_each(|index| self.sorting.order.push(index as u64));
            }
            By::Texts if self.next == len => {
                let (start, common) = (self.sorting.order.len(), self.sorting.common_bytes);
                for index in start..len.min(start + STEP_ELEMENTS) {
                    let weight = order::beginning(&self.texts.at(index)[common..]);
                    self.sorting.order.push(weight);
                }
            }
            By::Numbers | By::Texts => self.meet_weights(core)?,
        }
        Ok(progress(self.sorting.order.len() < len))
    }

    fn meet_weights(&mut self, core: &mut Core) -> Result<(), Error> {
        let request = Looking::request(&self.args, self.stores);
        let by = request.by.expect("it is ordered by something");
        let Looking {
            sorting,
            texts,
            text,
            ..
        } = self;
        let end = sorting.elements.len().min(self.next + STEP_KEYS);
        while self.next < end {
            by.key_of(sorting.elements.at(self.next), &mut self.key);
            let met = self.at.look_up(core, &self.key, by.field(), |weight| {
                if !request.is_alpha {
                    sorting
                        .order
                        .push(weight.map_or(Ok(steps::weight(0.0)), order::weight)?);
                    return Ok(());
                }
                text.clear();
                text.extend(weight.map(|_| b'+'));
                text.extend_from_slice(weight.unwrap_or_default());
                texts.push(text);
                sorting.common_bytes = match texts.len() {
                    1 => text.len(),
                    _ => shared(&texts.at(0)[..sorting.common_bytes], text),
                };
                self.limit.check(texts.text_bytes())
            });
            let Some(met) = met else { break };
            met?;
            self.next += 1;
        }
        Ok(())
    }

    fn order(&mut self, _: &mut Core) -> Result<Progress, Stop> {
        let texts = match self.by {
            By::Texts => &self.texts,
            _ => &self.sorting.elements,
        };
        let progress = self.sorting.order.step(Some(texts));
        if progress == Progress::Done {
            self.next = 0;
            if let Shown::Stored(stored) = &mut self.shown {
                // They are not copied again as they become more, where elements are what is stored.
                let (elements, count) = (&self.sorting.elements, self.sorting.range.len());
                let bytes = elements.text_bytes() as u128 * count as u128;
                let bytes = bytes / elements.len().max(1) as u128;
                *stored = Strings::with_room(count, bytes as usize);
            }
        }
        Ok(progress)
    }

    fn show(&mut self, core: &mut Core) -> Result<Progress, Stop> {
        let before = self.shown_bytes;
        let mut shown = std::mem::replace(&mut self.shown, Shown::Stored(Strings::default()));
        let has_more = match &mut shown {
            Shown::Pieces(pieces) => pieces.write(|out, _| {
                self.show_some(core, &mut |value| {
                    match value {
                        Some(text) => out.bulk(text),
                        None => out.null(),
                    }
                    before + out.len()
                })
            }),
            Shown::Stored(all) => self.show_some(core, &mut |value| {
                all.push(value.unwrap_or_default());
                all.text_bytes()
            }),
        };
        self.shown = shown;
        Ok(progress(has_more?))
    }

    /// Shows the next of what is answered; `visit` says how many bytes it has by then. Whether there is more.
    fn show_some(
        &mut self,
        core: &mut Core,
        visit: &mut dyn FnMut(Option<&[u8]>) -> usize,
    ) -> Result<bool, Error> {
        let request = Looking::request(&self.args, self.stores);
        let gets = match &request.gets[..] {
            [] => &[Pattern::Element],
            gets => gets,
        };
        let (count, mut left) = (self.sorting.range.len() * gets.len(), Left::all());
        let before = self.shown_bytes;
        while self.next < count && !left.is_spent() {
            let rank = self.sorting.range.start + self.next / gets.len();
            let index = self.sorting.order.at(rank).expect("all are ordered");
            let element = self.sorting.elements.at(index);
            let get = &gets[self.next % gets.len()];
            let bytes = match get {
                Pattern::Element => visit(Some(element)),
                Pattern::Nothing => visit(None),
                Pattern::Key { .. } => {
                    left.keys -= 1;
                    get.key_of(element, &mut self.key);
                    match self.at.look_up(core, &self.key, get.field(), &mut *visit) {
                        Some(bytes) => bytes,
                        None => return Ok(true),
                    }
                }
            };
            self.next += 1;
            left.elements -= 1;
            left.bytes = STEP_BYTES.saturating_sub(bytes - before);
            self.shown_bytes = bytes;
            if !request.gets.is_empty() {
                self.limit.check(bytes)?;
            }
        }
        Ok(self.next < count)
    }
}

fn progress(has_more: bool) -> Progress {
    if has_more {
        Progress::Again
    } else {
        Progress::Done
    }
}

impl Place {
    /// Meets a key: `with` gets what it holds. Nothing happens where somebody is changing it.
    fn look_up<T>(
        &self,
        core: &mut Core,
        key: &[u8],
        field: Option<&[u8]>,
        with: impl FnOnce(Option<&[u8]>) -> T,
    ) -> Option<T> {
        let key = core.shard.key(key);
        if !core.locks.meet(key.hash) {
            return None;
        }
        let view = core.shard.view(self.db, key, !self.no_touch, core.now);
        *(if view.is_some() {
            &mut core.stats.keyspace_hits
        } else {
            &mut core.stats.keyspace_misses
        }) += 1;
        let mut buffer = IntBuffer::new();
        let value = view.and_then(|view| share::value(&view, field));
        Some(with(value.map(|item| item.text(&mut buffer))))
    }
}

async fn answer(
    steps: Steps,
    looking: Looking,
    target: Option<Target>,
    proto: Proto,
) -> Result<Part, Stop> {
    let gets = Looking::request(&looking.args, looking.stores).gets.len();
    let count = looking.sorting.range.len() * gets.max(1);
    let (sources, shown) = looking.all(&steps).await?;
    match (shown, target) {
        (Shown::Stored(sorted), Some(target)) => {
            target::replace(&steps, sources, target, Content::List(sorted)).await?;
            Ok(Pieces::new(proto, |out| out.int(count as i64)).finish())
        }
        (Shown::Pieces(mut pieces), None) => {
            let mut header = Vec::new();
            resp::Writer::new(&mut header, proto).array(count);
            pieces.put_first(Some(header));
            Ok(pieces.finish())
        }
        _ => unreachable!("what is stored has a target"),
    }
}

#[cfg(test)]
mod tests {
    use crate::execute::Ran;
    use crate::locks::{Scope, Transaction};
    use crate::reading::LONG_ELEMENTS;
    use crate::steps::Stepped;
    use crate::trial::{AT_ONCE, START, Trial, assert_nothing_is_borrowed, both_ways, run_row};
    use crate::{Core, Part, ShardId};
    use resp::Proto;
    use store::{Expiry, Value};

    const MANY: usize = LONG_ELEMENTS + 3000;

    fn run(core: &mut Core, line: &str) -> Vec<u8> {
        let (ran, bytes) = run_row(core, line, Proto::Resp2);
        assert_eq!(ran, Ran::Yes, "{line}");
        bytes
    }

    /// A list, a set and a sorted set of numbers, and keys made of most: weights of which some are the same, texts, and hashes.
    fn fill(core: &mut Core) {
        let mut set = |key: String, value: String| {
            let key = core.shard.key(key.as_bytes());
            let value = Value::from_bytes(value.as_bytes());
            core.shard.set(0, key, value, Expiry::Clear, START);
        };
        for number in 0..MANY {
            if number % 5 != 0 {
                set(format!("w_{number}"), (number * 7919 % 997).to_string());
            }
            let text = ["", "same:", "same:x"][number % 3];
            set(
                format!("t_{number}"),
                format!("{text}{}", number * 77 % 1009),
            );
        }
        for start in (0..MANY).step_by(100) {
            let numbers = || (start..(start + 100).min(MANY)).map(|number| number.to_string());
            let joined = numbers().collect::<Vec<_>>().join(" ");
            run(core, &format!("rpush l {joined}"));
            run(core, &format!("sadd s {joined} text:{start}"));
            let scored = numbers().map(|number| format!("{} {number}", number.len()));
            run(
                core,
                &format!("zadd z {}", scored.collect::<Vec<_>>().join(" ")),
            );
            run(core, &format!("hset h_{start} f of:{start}"));
        }
    }

    const LINES: [&str; 14] = [
        "sort l by w_*",
        "sort l by w_* desc limit 7 20100",
        "sort s by w_* get # get w_* get h_*->f get nothing",
        "sort z by w_* get t_* limit 0 5",
        "sort l by t_* alpha",
        "sort s by t_* alpha desc get #",
        "sort s by h_*->f alpha limit 100 50",
        "sort l by nosort get t_*",
        "sort l by nosort desc get # limit 10 20500",
        "sort z by nosort desc",
        "sort s by nosort desc get w_*",
        "sort l get t_* desc",
        "sort s alpha get # get none_*",
        "sort_ro l by none_* get #",
    ];

    #[test]
    fn what_keys_hold_orders_and_stands_for_elements_in_steps_as_at_once() {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        fill(core);
        for line in LINES {
            for proto in [Proto::Resp2, Proto::Resp3] {
                both_ways(core, line, proto);
            }
        }
        // What keeps its order is read no further than it is answered.
        run(core, "sort l by nosort get t_* limit 5 100");
        run(core, "sort z by nosort desc limit 5 100");
        assert_nothing_is_borrowed(core);
    }

    #[test]
    fn what_keys_hold_is_stored_in_steps_as_at_once() {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        fill(core);
        let lines = LINES.iter().filter(|line| !line.starts_with("sort_ro"));
        for line in lines
            .copied()
            .chain(["sort l by nosort", "sort s by nosort"])
        {
            let line = format!("{line} store d");
            let [(ran, told, stored), at_once] = [false, true].map(|at_once| {
                AT_ONCE.set(at_once);
                let (ran, mut told) = run_row(core, &line, Proto::Resp2);
                if let Some(long) = core.long.take() {
                    let Ok(Part::Reply(pieces)) = long.finish(core) else {
                        panic!("there is room");
                    };
                    told = pieces.concat();
                }
                AT_ONCE.set(true);
                let stored = run(core, "lrange d 0 -1");
                run(core, "del d");
                AT_ONCE.set(false);
                (ran, told, stored)
            });
            assert_eq!(ran, Ran::InSteps, "{line}");
            assert_eq!(at_once.1, told, "{line}");
            assert!(at_once.2 == stored, "{line}");
        }
        assert_nothing_is_borrowed(core);
    }

    #[test]
    fn what_is_no_number_or_too_long_is_refused_in_steps_as_at_once() {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        fill(core);
        let unbounded = core.config.proto_max_bulk_len;
        for (line, bytes_max, told) in [
            ("sort l by t_*", unbounded, "can't be converted into double"),
            ("sort l by w_* get t_*", 100_000, "exceeds"),
            ("sort l by t_* alpha", 100_000, "exceeds"),
        ] {
            core.config.proto_max_bulk_len = bytes_max;
            let outcome = |core: &mut Core| {
                let (_, bytes) = run_row(core, line, Proto::Resp2);
                match core.long.take() {
                    Some(long) => long.finish(core).err().map(|error| error.0.to_vec()),
                    None => Some(bytes),
                }
            };
            let in_steps = outcome(core).expect("it is refused");
            AT_ONCE.set(true);
            let at_once = outcome(core).expect("it is refused");
            AT_ONCE.set(false);
            assert_eq!(at_once, [b"-", &in_steps[..], b"\r\n"].concat(), "{line}");
            assert!(String::from_utf8_lossy(&in_steps).contains(told), "{line}");
        }
    }

    #[test]
    fn a_key_is_locked_when_it_is_met_and_waited_for_where_somebody_changes_it() {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        fill(core);
        assert_eq!(run_row(core, "sort l by w_*", Proto::Resp2).0, Ran::InSteps);
        let mut long = core.long.take().expect("it was left");
        core.locks.begin_steps(long.keys().into(), [].into());
        let other = Transaction {
            coordinator: ShardId(1),
            number: 7,
        };
        let (early, late) = (core.shard.hash(b"w_1"), core.shard.hash(b"w_20001"));
        let write = |hash| Scope::Keys {
            written: vec![hash],
            read: Vec::new(),
        };
        assert!(core.locks.try_lock(other, &write(late), true));
        for _ in 0..200 {
            assert!(matches!(long.step(core), Stepped::More));
        }
        assert!(core.locks.is_read(early) && !core.locks.is_read(late));
        assert!(core.locks.is_stepping_within(&write(early)));
        core.locks.release(other, &write(late));
        let mut stepped = long.step(core);
        assert!(core.locks.is_read(late));
        while matches!(stepped, Stepped::More) {
            stepped = long.step(core);
        }
        assert!(matches!(stepped, Stepped::Done(_)));
        core.locks.end_steps();
        assert!(!core.locks.is_read(early) && core.locks.is_free());
    }
}
