//! Fields that end: HEXPIRE HPEXPIRE HEXPIREAT HPEXPIREAT HTTL HPTTL HEXPIRETIME HPEXPIRETIME HPERSIST HGETEX HSETEX.
//! Never reads a clock: the time of the call is the only one. A time that has come removes the field at once.
//! Source: Redis 7.4 for codes, texts and the order of checks; HGETEX and HSETEX are of Redis 8.0.

use super::fields::{self, Fields, moment};
use super::read;
use super::write::{self, hash_or_new};
use crate::expiry::Meaning;
use crate::{Call, Error, Reply, error, reply_limit::ReplyLimit};
use resp::{Args, Writer};
use store::{Expiry, Lifetime, Millis};

/// There is no such field.
const NO_FIELD: i64 = -2;
/// The field has no expiry.
const NO_EXPIRY: i64 = -1;
/// The condition does not hold.
const NOT_MET: i64 = 0;
/// The expiry was set, or taken away.
const DONE: i64 = 1;
/// The field was removed, since the time has come already.
const REMOVED: i64 = 2;

/// The life of a field that is to end at `moment`.
fn until(moment: Millis, now: Millis) -> Lifetime {
    if moment <= now {
        Lifetime::Over
    } else {
        Lifetime::Until(Some(moment))
    }
}

/// When HEXPIRE gives a field its new expiry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Always,
    Without,
    With,
    Later,
    Sooner,
}

impl Condition {
    fn read(call: &Call<'_>, index: usize) -> Condition {
        let words = [
            ("nx", Condition::Without),
            ("xx", Condition::With),
            ("gt", Condition::Later),
            ("lt", Condition::Sooner),
        ];
        words
            .into_iter()
            .find(|(word, _)| call.is(index, word))
            .map_or(Condition::Always, |(_, condition)| condition)
    }

    /// A field without expiry lives longer than any other.
    fn allows(self, current: Option<Millis>, moment: Millis) -> bool {
        match (self, current) {
            (Condition::Always, _) => true,
            (Condition::Without, current) => current.is_none(),
            (Condition::With, current) => current.is_some(),
            (Condition::Later, current) => current.is_some_and(|current| moment > current),
            (Condition::Sooner, current) => current.is_none_or(|current| moment < current),
        }
    }
}

/// What a call of HEXPIRE asks for.
struct Request<'a> {
    moment: Millis,
    condition: Condition,
    fields: Args<'a>,
}

impl<'a> Request<'a> {
    fn read(call: &Call<'a>, meaning: Meaning, command: &str) -> Result<Request<'a>, Error> {
        let moment = moment(call, 2, meaning, command)?;
        let condition = Condition::read(call, 3);
        let fields_at = if condition == Condition::Always { 3 } else { 4 };
        let fields = Fields::read(call, fields_at, fields::NOT_ABOVE_ZERO)?.names;
        Ok(Request {
            moment,
            condition,
            fields,
        })
    }
}

fn expire_with(
    call: &mut Call<'_>,
    out: &mut Writer<'_>,
    meaning: Meaning,
    command: &str,
) -> Reply {
    let (request, now) = (Request::read(call, meaning, command), call.now());
    let hash = write::hash(call)?;
    let request = request?;
    out.array(request.fields.len());
    let Some(mut hash) = hash else {
        request.fields.iter().for_each(|_| out.int(NO_FIELD));
        return Ok(());
    };
    for field in request.fields.iter() {
        let said = hash.change_lifetime(field, |current| {
            if request.condition.allows(current, request.moment) {
                until(request.moment, now)
            } else {
                Lifetime::Keep
            }
        });
        out.int(match said {
            None => NO_FIELD,
            Some(Lifetime::Keep) => NOT_MET,
            Some(Lifetime::Until(_)) => DONE,
            Some(Lifetime::Over) => REMOVED,
        });
    }
    Ok(())
}

pub fn hexpire(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    expire_with(call, out, Meaning::SECONDS, "hexpire")
}

pub fn hpexpire(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    expire_with(call, out, Meaning::MILLIS, "hpexpire")
}

pub fn hexpireat(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    expire_with(call, out, Meaning::UNIX_SECONDS, "hexpireat")
}

pub fn hpexpireat(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    expire_with(call, out, Meaning::UNIX_MILLIS, "hpexpireat")
}

/// Milliseconds as whole seconds, a part of one counted as one.
fn started_seconds(ms: i64) -> i64 {
    ms.saturating_add(999) / 1000
}

/// Answers for each field what `answer` makes of its expiry and the time of the call.
fn ask(call: &mut Call<'_>, out: &mut Writer<'_>, answer: fn(Millis, Millis) -> i64) -> Reply {
    let (fields, now) = (Fields::read(call, 2, fields::NOT_POSITIVE), call.now());
    let hash = read::hash(call)?;
    let fields = fields?.names;
    out.array(fields.len());
    for field in fields.iter() {
        let found = hash.and_then(|hash| hash.field(field));
        out.int(match found {
            None => NO_FIELD,
            Some((_, None)) => NO_EXPIRY,
            Some((_, Some(moment))) => answer(moment, now),
        });
    }
    Ok(())
}

pub fn httl(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    ask(call, out, |moment, now| started_seconds(moment.since(now)))
}

pub fn hpttl(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    ask(call, out, |moment, now| moment.since(now))
}

pub fn hexpiretime(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    ask(call, out, |moment, _| started_seconds(moment.0))
}

pub fn hpexpiretime(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    ask(call, out, |moment, _| moment.0)
}

pub fn hpersist(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let fields = Fields::read(call, 2, fields::NOT_POSITIVE);
    let hash = write::hash(call)?;
    let fields = fields?.names;
    out.array(fields.len());
    let Some(mut hash) = hash else {
        fields.iter().for_each(|_| out.int(NO_FIELD));
        return Ok(());
    };
    for field in fields.iter() {
        let said = hash.change_lifetime(field, |current| match current {
            Some(_) => Lifetime::Until(None),
            None => Lifetime::Keep,
        });
        out.int(match said {
            None => NO_FIELD,
            Some(Lifetime::Keep) => NO_EXPIRY,
            Some(_) => DONE,
        });
    }
    Ok(())
}

/// How options name a time.
const TIMES: [(&str, Meaning); 4] = [
    ("ex", Meaning::SECONDS),
    ("px", Meaning::MILLIS),
    ("exat", Meaning::UNIX_SECONDS),
    ("pxat", Meaning::UNIX_MILLIS),
];

fn time_option(call: &Call<'_>, index: usize) -> Option<Meaning> {
    let option = TIMES.into_iter().find(|(word, _)| call.is(index, word));
    option.map(|(_, meaning)| meaning)
}

/// What HGETEX makes of its fields' lives, and the fields.
fn hgetex_options<'a>(call: &Call<'a>) -> Result<(Lifetime, Fields<'a>), Error> {
    let (lifetime, fields_at) = if let Some(meaning) = time_option(call, 2) {
        (until(moment(call, 3, meaning, "hgetex")?, call.now()), 4)
    } else if call.is(2, "persist") {
        (Lifetime::Until(None), 3)
    } else {
        (Lifetime::Keep, 2)
    };
    Ok((
        lifetime,
        Fields::read(call, fields_at, fields::NOT_POSITIVE)?,
    ))
}

pub fn hgetex(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let options = hgetex_options(call);
    let limit = ReplyLimit::of(call);
    let hash = write::hash(call)?;
    let (lifetime, fields) = options?;
    out.array(fields.names.len());
    let Some(mut hash) = hash else {
        fields.names.iter().for_each(|_| out.null());
        return Ok(());
    };
    if fields.names.len() > 1 {
        // Before anything changes.
        let values = fields.names.iter().map(|field| hash.view().value(field));
        limit.check(values.flatten().map(|value| value.len()).sum())?;
    }
    for field in fields.names.iter() {
        read::value_or_null(out, hash.view().value(field));
        if lifetime != Lifetime::Keep {
            hash.change_lifetime(field, |_| lifetime);
        }
    }
    Ok(())
}

/// Which fields HSETEX wants there before it sets any.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Any,
    None,
    All,
}

/// What a call of HSETEX asks for.
struct SetRequest<'a> {
    presence: Presence,
    expiry: Expiry,
    /// Fields and values in turn.
    pairs: Args<'a>,
}

const ONE_CONDITION: &str = "ERR Only one of FXX or FNX arguments can be specified";
const ONE_EXPIRY: &str = "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified";
const NO_TIME: &str = "ERR missing expire time";
const BAD_NUMBER: &str = "ERR invalid number of fields";

impl<'a> SetRequest<'a> {
    fn read(call: &Call<'a>) -> Result<SetRequest<'a>, Error> {
        let (mut presence, mut expiry) = (Presence::Any, Expiry::Clear);
        let mut index = 2;
        while let Some(word) = call.args.get(index) {
            if call.is(index, "fields") {
                let pairs = pairs_after(call, index)?;
                return Ok(SetRequest {
                    presence,
                    expiry,
                    pairs,
                });
            } else if call.is(index, "keepttl") {
                one_of(expiry == Expiry::Clear, ONE_EXPIRY)?;
                expiry = Expiry::Keep;
            } else if let Some(meaning) = time_option(call, index) {
                one_of(expiry == Expiry::Clear, ONE_EXPIRY)?;
                index += 1;
                one_of(index < call.args.len(), NO_TIME)?;
                expiry = Expiry::At(moment(call, index, meaning, "hsetex")?);
            } else if call.is(index, "fnx") {
                one_of(presence == Presence::Any, ONE_CONDITION)?;
                presence = Presence::None;
            } else if call.is(index, "fxx") {
                one_of(presence == Presence::Any, ONE_CONDITION)?;
                presence = Presence::All;
            } else {
                return Err(error::quoting("ERR unknown argument: ", word, ""));
            }
            index += 1;
        }
        Err(error::wrong_arity("hsetex"))
    }
}

fn one_of(holds: bool, otherwise: &'static str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

/// The fields and values after the word FIELDS at `at` and their number.
fn pairs_after<'a>(call: &Call<'a>, at: usize) -> Result<Args<'a>, Error> {
    if at + 3 >= call.args.len() {
        return Err(error::wrong_arity("hsetex"));
    }
    let number = resp::number::parse_i64(call.args.at(at + 1))
        .filter(|number| (1..=i64::from(i32::MAX)).contains(number))
        .ok_or(BAD_NUMBER)?;
    let pairs = call.args.from(at + 2);
    if pairs.len() as i64 != number * 2 {
        return Err(error::wrong_arity("hsetex"));
    }
    Ok(pairs)
}

pub fn hsetex(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let SetRequest {
        presence,
        expiry,
        pairs,
    } = SetRequest::read(call)?;
    let now = call.now();
    let mut hash = hash_or_new(call)?;
    let is_there = |at: usize| hash.view().value(pairs.at(at)).is_some();
    let mut fields = (0..pairs.len()).step_by(2);
    let goes_on = match presence {
        Presence::Any => true,
        Presence::None => !fields.any(is_there),
        Presence::All => fields.all(is_there),
    };
    if goes_on {
        for at in (0..pairs.len()).step_by(2) {
            let (field, value) = (pairs.at(at), pairs.at(at + 1));
            match expiry {
                Expiry::At(moment) if moment <= now => _ = hash.remove(field),
                expiry => _ = hash.set(field, value, expiry),
            }
        }
    }
    out.int(i64::from(goes_on));
    Ok(())
}
