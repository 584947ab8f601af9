//! Owns reading the body of a payload: every layout that a type of value ever had.
//! Never lets through what the store could not hold: duplicates, scores that are no number, empty collections.
//! Source: the RDB format; where Redis checks less, ours refuses more.

use resp::number::parse_f64;
use store::{Content, Millis, Strings};

use crate::listpack::{self, Element, int_le};
use crate::reader::{Reader, check_distinct};
use crate::stream_decode::stream;
use crate::{Error, kind, ziplist};

/// Reads the type and what follows it.
pub(crate) fn value(reader: &mut Reader, now: Millis) -> Result<Content, Error> {
    match reader.byte()? {
        kind::STRING => Ok(Content::String(reader.string()?.into_owned())),
        kind::LIST => strings(reader).map(Content::List),
        kind::SET => set(strings(reader)?),
        kind::ZSET => zset_plain(reader, text_score),
        kind::HASH => hash_plain(reader),
        kind::ZSET_2 => zset_plain(reader, |reader| Ok(f64::from_le_bytes(reader.array()?))),
        kind::HASH_ZIPMAP => hash_in_turn(ziplist::ZipmapElements::new(&reader.string()?)?, None),
        kind::LIST_ZIPLIST => {
            let mut list = Strings::default();
            append(&mut list, ziplist::Elements::new(&reader.string()?)?)?;
            some(list).map(Content::List)
        }
        kind::SET_INTSET => int_set(&reader.string()?),
        kind::ZSET_ZIPLIST => zset_in_turn(ziplist::Elements::new(&reader.string()?)?),
        kind::HASH_ZIPLIST => hash_in_turn(ziplist::Elements::new(&reader.string()?)?, None),
        kind::LIST_QUICKLIST => list_in_nodes(reader, false),
        kind::LIST_QUICKLIST_2 => list_in_nodes(reader, true),
        kind::HASH_LISTPACK => hash_in_turn(listpack::Elements::new(&reader.string()?)?, None),
        kind::ZSET_LISTPACK => zset_in_turn(listpack::Elements::new(&reader.string()?)?),
        kind::SET_LISTPACK => {
            let mut members = Strings::default();
            append(&mut members, listpack::Elements::new(&reader.string()?)?)?;
            set(some(members)?)
        }
        kind @ (kind::STREAM_LISTPACKS | kind::STREAM_LISTPACKS_2 | kind::STREAM_LISTPACKS_3) => {
            stream(reader, kind).map(Content::Stream)
        }
        kind::HASH_METADATA_EARLY => hash_with_expiries(reader, None, now),
        kind::HASH_METADATA => {
            let earliest = u64::from_le_bytes(reader.array()?);
            hash_with_expiries(reader, Some(earliest), now)
        }
        kind @ (kind::HASH_LISTPACK_EX_EARLY | kind::HASH_LISTPACK_EX) => {
            if kind == kind::HASH_LISTPACK_EX {
                // The earliest expiry: to be had without looking at the fields, which is done here.
                reader.i64()?;
            }
            hash_in_turn(listpack::Elements::new(&reader.string()?)?, Some(now))
        }
        _ => Err(Error::Format),
    }
}

/// Strings, if there are any.
fn some(strings: Strings) -> Result<Strings, Error> {
    if strings.is_empty() {
        return Err(Error::Format);
    }
    Ok(strings)
}

/// Strings behind their count.
fn strings(reader: &mut Reader) -> Result<Strings, Error> {
    let count = reader.count_some(1)?;
    let mut strings = Strings::default();
    for _ in 0..count {
        strings.push(&reader.string()?);
    }
    Ok(strings)
}

/// Appends elements as strings.
fn append<'e>(
    strings: &mut Strings,
    elements: impl Iterator<Item = Result<Element<'e>, Error>>,
) -> Result<(), Error> {
    let mut buffer = itoa::Buffer::new();
    for element in elements {
        strings.push(element?.text(&mut buffer));
    }
    Ok(())
}

fn list_in_nodes(reader: &mut Reader, says_layout: bool) -> Result<Content, Error> {
    let count = reader.count_some(1)?;
    let mut list = Strings::default();
    for _ in 0..count {
        let layout = if says_layout {
            Some(reader.len()?)
        } else {
            None
        };
        let node = reader.string()?;
        match layout {
            None => append(&mut list, ziplist::Elements::new(&node)?)?,
            Some(kind::NODE_PACKED) => append(&mut list, listpack::Elements::new(&node)?)?,
            Some(kind::NODE_PLAIN) if !node.is_empty() => list.push(&node),
            Some(_) => return Err(Error::Format),
        }
    }
    some(list).map(Content::List)
}

fn set(members: Strings) -> Result<Content, Error> {
    check_distinct(members.iter())?;
    Ok(Content::Set(members))
}

/// A set of integers: how wide each is, how many there are, and the integers in rising order.
fn int_set(intset: &[u8]) -> Result<Content, Error> {
    let (header, integers) = intset.split_first_chunk::<8>().ok_or(Error::Format)?;
    let [w0, w1, w2, w3, c0, c1, c2, c3] = *header;
    let width = match u32::from_le_bytes([w0, w1, w2, w3]) {
        width @ (2 | 4 | 8) => width as usize,
        _ => return Err(Error::Format),
    };
    let count = u32::from_le_bytes([c0, c1, c2, c3]);
    if integers.len() % width != 0 || u32::try_from(integers.len() / width) != Ok(count) {
        return Err(Error::Format);
    }
    let mut members = Strings::default();
    let mut buffer = itoa::Buffer::new();
    let mut before = None;
    for bytes in integers.chunks_exact(width) {
        let integer = int_le(bytes);
        if before.is_some_and(|before| before >= integer) {
            return Err(Error::Format);
        }
        before = Some(integer);
        members.push(buffer.format(integer).as_bytes());
    }
    some(members).map(Content::Set)
}

/// A score as text, behind its length; lengths that no text has say what has no text.
fn text_score(reader: &mut Reader) -> Result<f64, Error> {
    const NAN: u8 = 253;
    const INFINITE: u8 = 254;
    const NEGATIVE_INFINITE: u8 = 255;
    match reader.byte()? {
        NAN => Err(Error::Format),
        INFINITE => Ok(f64::INFINITY),
        NEGATIVE_INFINITE => Ok(f64::NEG_INFINITY),
        len => parse_f64(reader.bytes(u64::from(len))?).ok_or(Error::Format),
    }
}

fn zset_plain(
    reader: &mut Reader,
    score: impl Fn(&mut Reader) -> Result<f64, Error>,
) -> Result<Content, Error> {
    const MEMBER_BYTES_MIN: usize = 2;
    let count = reader.count_some(MEMBER_BYTES_MIN)?;
    let (mut members, mut scores) = (Strings::default(), Vec::new());
    for _ in 0..count {
        members.push(&reader.string()?);
        scores.push(score(reader)?);
    }
    zset(members, scores)
}

/// A sorted set whose members and scores follow each other.
fn zset_in_turn<'e>(
    mut elements: impl Iterator<Item = Result<Element<'e>, Error>>,
) -> Result<Content, Error> {
    let (mut members, mut scores) = (Strings::default(), Vec::new());
    let mut buffer = itoa::Buffer::new();
    while let Some(member) = elements.next() {
        members.push(member?.text(&mut buffer));
        scores.push(match elements.next().ok_or(Error::Format)?? {
            Element::Int(score) => score as f64,
            Element::Bytes(text) => parse_f64(text).ok_or(Error::Format)?,
        });
    }
    zset(some(members)?, scores)
}

fn zset(members: Strings, scores: Vec<f64>) -> Result<Content, Error> {
    if scores.iter().any(|score| score.is_nan()) {
        return Err(Error::Format);
    }
    check_distinct(members.iter())?;
    Ok(Content::Zset { members, scores })
}

/// Fields that are being read.
#[derive(Default)]
struct Fields {
    pairs: Strings,
    /// As long as `pairs` has fields, or empty as long as none expires.
    expiries: Vec<Option<Millis>>,
}

impl Fields {
    fn push(&mut self, field: &[u8], value: &[u8], expiry: Option<Millis>) {
        if expiry.is_some() {
            self.expiries.resize(self.pairs.len() / 2, None);
        }
        if expiry.is_some() || !self.expiries.is_empty() {
            self.expiries.push(expiry);
        }
        self.pairs.push(field);
        self.pairs.push(value);
    }

    fn finish(self) -> Result<Content, Error> {
        let fields = self.pairs.len() / 2;
        check_distinct((0..fields).map(|index| self.pairs.at(2 * index)))?;
        Ok(Content::Hash {
            pairs: self.pairs,
            expiries: self.expiries,
        })
    }
}

/// The moment that a field's expiry says, where 0 is never.
fn moment(expiry: u64) -> Result<Option<Millis>, Error> {
    match i64::try_from(expiry) {
        Ok(0) => Ok(None),
        Ok(at) if expiry <= kind::FIELD_EXPIRY_MAX => Ok(Some(Millis(at))),
        _ => Err(Error::Format),
    }
}

fn has_come(expiry: Option<Millis>, now: Millis) -> bool {
    expiry.is_some_and(|at| at <= now)
}

fn hash_plain(reader: &mut Reader) -> Result<Content, Error> {
    const PAIR_BYTES_MIN: usize = 2;
    let count = reader.count_some(PAIR_BYTES_MIN)?;
    let mut fields = Fields::default();
    for _ in 0..count {
        let (field, value) = (reader.string()?, reader.string()?);
        fields.push(&field, &value, None);
    }
    fields.finish()
}

/// A hash whose fields have their expiries in front, counted from the `earliest` on where there is one:
/// then 1 is the earliest itself.
fn hash_with_expiries(
    reader: &mut Reader,
    earliest: Option<u64>,
    now: Millis,
) -> Result<Content, Error> {
    const FIELD_BYTES_MIN: usize = 3;
    let count = reader.count_some(FIELD_BYTES_MIN)?;
    let mut fields = Fields::default();
    for _ in 0..count {
        let expiry = match (reader.len()?, earliest) {
            (0, _) => 0,
            (nth, Some(earliest)) => earliest.checked_add(nth - 1).ok_or(Error::Format)?,
            (at, None) => at,
        };
        let expiry = moment(expiry)?;
        let (field, value) = (reader.string()?, reader.string()?);
        if !has_come(expiry, now) {
            fields.push(&field, &value, expiry);
        }
    }
    fields.finish()
}

/// A hash whose fields and values follow each other, each with its expiry if they are held against a `now`.
fn hash_in_turn<'e>(
    mut elements: impl Iterator<Item = Result<Element<'e>, Error>>,
    now: Option<Millis>,
) -> Result<Content, Error> {
    let mut fields = Fields::default();
    let mut is_empty = true;
    let mut buffers = [itoa::Buffer::new(), itoa::Buffer::new()];
    while let Some(field) = elements.next() {
        is_empty = false;
        let field = field?;
        let value = elements.next().ok_or(Error::Format)??;
        let expiry = match now {
            None => None,
            Some(_) => {
                let expiry = elements.next().ok_or(Error::Format)??.int()?;
                moment(u64::try_from(expiry).map_err(|_| Error::Format)?)?
            }
        };
        if !now.is_some_and(|now| has_come(expiry, now)) {
            let [for_field, for_value] = &mut buffers;
            fields.push(field.text(for_field), value.text(for_value), expiry);
        }
    }
    if is_empty {
        return Err(Error::Format);
    }
    fields.finish()
}
