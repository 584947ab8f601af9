//! SSCAN, HSCAN and ZSCAN: their arguments (cursor, MATCH, COUNT), how far one answer goes, and what it shows.
//! Never looks at more than a step's slots at a time; a long answer is made in steps.
//! Source: redis-server 7 for what is a cursor: what C reads as an unsigned number.

use crate::lookup::bulk_item;
use crate::reading::{self, Budget, Reader};
use crate::{Call, Error, Reply, error, glob};
use resp::{Proto, Writer};
use std::borrow::Cow;
use store::{IntBuffer, Item, View};

/// The most slots that a step looks at: half a millisecond.
const STEP_SLOTS_MAX: usize = 4096;
/// The fewest, however large elements are.
const STEP_SLOTS_MIN: usize = 16;
/// Slots visited for each element asked for before an answer has fewer.
const SLOTS_PER_ELEMENT: u64 = 10;

/// The cursor at argument `index`. A sign is read as C reads it, and nothing is 0.
///
/// # Errors
/// It is no number of 64 bits.
pub fn cursor(call: &Call<'_>, index: usize) -> Result<u64, Error> {
    const INVALID: &str = "ERR invalid cursor";
    let text = call.args.at(index);
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() && !text.is_empty() {
        return Err(INVALID.into());
    }
    let read = |sum: Option<u64>, digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum?.checked_mul(10)?.checked_add(digit)
    };
    let number = digits.iter().fold(Some(0), read).ok_or(INVALID)?;
    Ok(if is_negative {
        number.wrapping_neg()
    } else {
        number
    })
}

/// What a scan was asked for.
#[derive(Debug)]
pub struct Options<'a> {
    pattern: Option<Cow<'a, [u8]>>,
    count: u64,
    /// Whether the answer has elements without their values.
    no_values: bool,
}

impl<'a> Options<'a> {
    /// The options from argument `from` on.
    ///
    /// # Errors
    /// The grammar's, or a count's.
    pub fn read(call: &Call<'a>, from: usize) -> Result<Options<'a>, Error> {
        Options::read_with(call, from, false)
    }

    /// The options of HSCAN, which has one more: NOVALUES.
    ///
    /// # Errors
    /// As of [`Options::read`].
    pub fn read_of_hash(call: &Call<'a>, from: usize) -> Result<Options<'a>, Error> {
        Options::read_with(call, from, true)
    }

    fn read_with(call: &Call<'a>, from: usize, of_hash: bool) -> Result<Options<'a>, Error> {
        const COUNT_DEFAULT: u64 = 10;
        let (mut pattern, mut count, mut no_values) = (None, COUNT_DEFAULT, false);
        let mut index = from;
        while index < call.args.len() {
            if of_hash && call.is(index, "novalues") {
                no_values = true;
                index += 1;
                continue;
            }
            let Some(value) = call.args.get(index + 1) else {
                return Err(error::SYNTAX.into());
            };
            if call.is(index, "match") {
                pattern = Some(value);
            } else if call.is(index, "count") {
                count = u64::try_from(call.int(index + 1)?)
                    .ok()
                    .filter(|&count| count > 0)
                    .ok_or(error::SYNTAX)?;
            } else {
                return Err(error::SYNTAX.into());
            }
            index += 2;
        }
        let pattern = pattern.filter(|&pattern| pattern != b"*");
        Ok(Options {
            pattern: pattern.map(Cow::Borrowed),
            count,
            no_values,
        })
    }

    /// Whether an element is asked for.
    fn accepts(&self, text: &[u8]) -> bool {
        let pattern = self.pattern.as_deref();
        pattern.is_none_or(|pattern| glob::matches(pattern, text))
    }
}

/// A scan of a collection, which ends when the answer is long enough.
#[derive(Debug)]
pub struct Scan<'a> {
    cursor: u64,
    options: Options<'a>,
    /// Slots that a step looks at.
    slots: usize,
    visited: u64,
    seen: u64,
    /// Elements of the answer.
    shown: usize,
}

/// How many elements a collection has, expired ones included, and how many bytes they take.
fn extent(view: &View<'_>) -> (usize, u64) {
    let set = view.set().map(|set| (set.len(), set.bytes()));
    let hash = || view.hash().map(|hash| (hash.stored_len(), hash.bytes()));
    let zset = || view.zset().map(|zset| (zset.len(), zset.bytes()));
    set.or_else(hash).or_else(zset).unwrap_or_default()
}

/// Answers a scan of the first key, a set, hash or sorted set, from `cursor` on.
///
/// # Errors
/// The one that stands for an answer in steps.
pub fn answer(
    call: &mut Call<'_>,
    out: &mut Writer<'_>,
    cursor: u64,
    options: Options<'_>,
) -> Reply {
    let (key, db, now) = (call.key(1), call.db, call.now());
    let view = call.core.shard.view_beside(db, key, now);
    let view = view.expect("it was found just now");
    let (len, bytes) = extent(&view);
    let asked = usize::try_from(options.count).unwrap_or(usize::MAX);
    let mut scan = Scan {
        cursor,
        slots: step_slots(len, bytes).min(asked),
        options,
        visited: 0,
        seen: 0,
        shown: 0,
    };
    if reading::is_long(bytes, || (asked.min(len), len)) {
        let what = scan.into_owned();
        return Err(reading::begin(call, what, |_| {}));
    }
    let mut page = Vec::new();
    let elements = &mut Writer::new(&mut page, call.proto);
    while scan.some(&view, elements) {}
    scan.begin(out);
    out.raw(&page);
    Ok(())
}

/// The answer to a scan of a key that is not there.
pub fn nothing(out: &mut Writer<'_>) {
    out.array(2);
    out.bulk(b"0");
    out.array(0);
}

/// Slots that a step looks at in a collection of so many elements and bytes.
fn step_slots(len: usize, bytes: u64) -> usize {
    let element_bytes = usize::try_from(bytes).unwrap_or(usize::MAX) / len.max(1);
    (reading::STEP_BYTES / element_bytes.max(1)).clamp(STEP_SLOTS_MIN, STEP_SLOTS_MAX)
}

impl Reader for Scan<'static> {
    fn read(
        &mut self,
        view: &View<'_>,
        out: &mut Writer<'_>,
        _: &mut Budget,
    ) -> Result<bool, Error> {
        Ok(self.some(view, out))
    }

    fn header(&mut self, proto: Proto) -> Option<Vec<u8>> {
        let mut header = Vec::new();
        self.begin(&mut Writer::new(&mut header, proto));
        Some(header)
    }
}

impl Scan<'_> {
    /// Answers some elements. Whether there are more to come.
    fn some(&mut self, view: &View<'_>, out: &mut Writer<'_>) -> bool {
        let (options, mut buffer, mut met) = (&self.options, IntBuffer::new(), 0);
        let (mut shown, with_values) = (0, !options.no_values);
        let mut accepts = |item: Item<'_>| {
            met += 1;
            options.accepts(item.text(&mut buffer))
        };
        let next = if let Some(set) = view.set() {
            set.scan(self.cursor, self.slots, &mut |member| {
                if accepts(member) {
                    bulk_item(out, member);
                    shown += 1;
                }
            })
        } else if let Some(hash) = view.hash() {
            hash.scan(self.cursor, self.slots, &mut |field, value| {
                if accepts(field) {
                    bulk_item(out, field);
                    shown += 1;
                    if with_values {
                        bulk_item(out, value);
                        shown += 1;
                    }
                }
            })
        } else {
            let zset = view.zset().expect("it is what can be scanned");
            zset.scan(self.cursor, self.slots, &mut |member, score| {
                if accepts(member) {
                    bulk_item(out, member);
                    // A string in both protocols.
                    out.bulk_double(score);
                    shown += 2;
                }
            })
        };
        self.visited = self.visited.saturating_add(self.slots as u64);
        (self.cursor, self.seen, self.shown) = (next, self.seen + met, self.shown + shown);
        let slots_max = self.options.count.saturating_mul(SLOTS_PER_ELEMENT);
        let is_enough = self.seen >= self.options.count || self.visited >= slots_max;
        next != 0 && !is_enough
    }

    /// What stands before the elements, of which all are answered.
    fn begin(&self, out: &mut Writer<'_>) {
        out.array(2);
        out.bulk(itoa::Buffer::new().format(self.cursor).as_bytes());
        out.array(self.shown);
    }

    fn into_owned(self) -> Scan<'static> {
        let pattern = self.options.pattern;
        Scan {
            options: Options {
                pattern: pattern.map(|pattern| pattern.into_owned().into()),
                ..self.options
            },
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Core;
    use crate::execute::Ran;
    use crate::reading::LONG_ELEMENTS;
    use crate::trial::{Trial, both_ways, fill_hash, fill_set, fill_zset, in_steps, run_row};
    use resp::Proto;
    use std::collections::BTreeSet;

    const MANY: usize = 2 * LONG_ELEMENTS;

    fn fill(core: &mut Core) {
        fill_set(core, "set", MANY);
        fill_hash(core, "hash", MANY);
        fill_zset(core, "zset", MANY);
    }

    /// The cursor of an answer and the members that it shows.
    fn parts(answer: &[u8]) -> (String, Vec<String>) {
        let text = String::from_utf8_lossy(answer);
        let lines: Vec<_> = text.lines().map(String::from).collect();
        let members = lines.iter().filter(|line| line.starts_with("member:"));
        (lines[2].clone(), members.cloned().collect())
    }

    #[test]
    fn a_scan_is_the_same_in_steps_as_at_once() {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        fill(core);
        for line in [
            "sscan set 0 count 100000",
            "hscan hash 0 count 100000",
            "zscan zset 0 count 100000",
            "sscan set 0 count 20000",
            "hscan hash 0 count 30000 novalues",
            "zscan zset 0 count 25000 match *7",
            "sscan set 0 count 40000 match nothing",
        ] {
            for proto in [Proto::Resp2, Proto::Resp3] {
                both_ways(core, line, proto);
            }
        }
    }

    #[test]
    fn scans_in_steps_show_every_member_once_from_cursor_to_cursor() {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        fill(core);
        for command in ["sscan set", "hscan hash", "zscan zset"] {
            let first = in_steps(core, &format!("{command} 0 count 20000"), Proto::Resp3);
            let (cursor, members) = parts(&first);
            assert!(members.len() >= 20_000 && members.len() < 20_000 + super::STEP_SLOTS_MAX);
            let rest = format!("{command} {cursor} count 100000");
            let (cursor, others) = parts(&in_steps(core, &rest, Proto::Resp3));
            assert_eq!(cursor, "0");
            let shown = members.len() + others.len();
            let all: BTreeSet<_> = members.into_iter().chain(others).collect();
            assert_eq!((all.len(), shown), (MANY, MANY));
        }
    }

    #[test]
    fn a_scan_of_few_elements_is_answered_at_once() {
        let mut trial = Trial::new(1);
        let core = &mut trial.cores[0];
        fill(core);
        for command in ["sscan set", "hscan hash", "zscan zset"] {
            let (ran, answer) = run_row(core, &format!("{command} 0 count 1000"), Proto::Resp2);
            assert_eq!(ran, Ran::Yes);
            assert!(parts(&answer).1.len() >= 900);
        }
    }
}
