//! Searches by radius and by box: their grammar in its four forms, which members they find, and the reply.
//! Never looks into a sorted set itself: the caller hands the members of a range of scores over.
//! Source: redis-server 7.0, asked for texts and order of checks, which members decide as they do where the centre is one.

use super::cells::Point;
use super::coverage::coverage;
use super::shape::{Extent, GeoShape, Unit};
use super::{parse_point, text};
use crate::{Error, error};
use resp::{Args, Writer};
use std::ops::ControlFlow;

const NO_SUCH_MEMBER: &str = "ERR could not decode requested zset member";
const COUNT_NOT_POSITIVE: &str = "ERR COUNT must be > 0";
const ANY_WITHOUT_COUNT: &str = "ERR the ANY argument requires COUNT argument";
const GEORADIUS_STORES_MEMBERS_ONLY: &str =
    "ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options";
const GEOSEARCHSTORE_STORES_MEMBERS_ONLY: &str =
    "ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options";

/// Which of the searching commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// GEORADIUS, and GEORADIUS_RO, which never `stores`.
    Radius {
        /// Whether STORE and STOREDIST are words of it.
        stores: bool,
    },
    /// GEORADIUSBYMEMBER, and GEORADIUSBYMEMBER_RO, which never `stores`.
    RadiusByMember {
        /// Whether STORE and STOREDIST are words of it.
        stores: bool,
    },
    /// GEOSEARCH.
    Search,
    /// GEOSEARCHSTORE.
    SearchStore,
}

impl Form {
    /// Index of the argument that is the key to look in.
    pub fn source_index(self) -> usize {
        match self {
            Form::SearchStore => 2,
            _ => 1,
        }
    }

    /// Index of the first argument after those that have their fixed place.
    fn options_index(self) -> usize {
        match self {
            Form::Radius { .. } => 6,
            Form::RadiusByMember { .. } => 5,
            Form::Search => 2,
            Form::SearchStore => 3,
        }
    }

    /// Whether centre and extent come as options.
    fn names_shape(self) -> bool {
        matches!(self, Form::Search | Form::SearchStore)
    }

    fn takes_store(self) -> bool {
        matches!(
            self,
            Form::Radius { stores: true } | Form::RadiusByMember { stores: true }
        )
    }
}

/// By distance from the centre.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The nearest first.
    Ascending,
    /// The farthest first.
    Descending,
}

/// Where what is found goes instead of into the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Store {
    /// Index of the argument that is the key.
    pub key_index: usize,
    /// Its scores are distances, not positions.
    pub distances: bool,
}

/// A search as its client asks for it.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchOptions {
    /// Where to look; nothing where the key does not exist, and nothing is found then.
    pub shape: Option<GeoShape>,
    /// How many members at most; at least one.
    pub count: Option<usize>,
    /// Whether any members will do, and not only the nearest.
    pub any: bool,
    /// Nothing: as they lie in the sorted set.
    pub order: Option<Order>,
    /// Whether the reply has positions.
    pub with_coord: bool,
    /// Whether the reply has distances.
    pub with_dist: bool,
    /// Whether the reply has scores.
    pub with_hash: bool,
    /// Where to store.
    pub store: Option<Store>,
}

/// A member in the shape of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its name.
    pub member: Vec<u8>,
    /// Its score.
    pub score: f64,
    /// From the centre, in the unit of the search.
    pub distance: f64,
}

fn is_store(word: &[u8]) -> bool {
    word == b"store" || word == b"storedist"
}

/// Answers the score of a member of the key that a search looks in.
pub type ScoreOf<'a> = &'a dyn Fn(&[u8]) -> Option<f64>;

/// Reads a whole search. `score_of` answers the score of a member of the key, and is nothing when the key does not exist.
///
/// # Errors
/// Those of the grammar, numbers that are none, and a centre that is no member.
pub fn parse_search(
    args: Args<'_>,
    form: Form,
    score_of: Option<ScoreOf<'_>>,
) -> Result<SearchOptions, Error> {
    let mut parser = Parser::new(args, form, score_of);
    parser.read_fixed()?;
    while parser.at < args.len() {
        parser.read_option()?;
    }
    parser.finish()
}

struct Parser<'a> {
    args: Args<'a>,
    form: Form,
    score_of: Option<ScoreOf<'a>>,
    /// Index of the next argument.
    at: usize,
    centre: Centre,
    extent: Option<(Extent, Unit)>,
    options: SearchOptions,
}

/// What a search is around.
#[derive(Clone, Copy)]
enum Centre {
    Unknown,
    Given(Point),
    /// A member; not known where there is no key.
    Member(Option<Point>),
}

impl<'a> Parser<'a> {
    fn new(args: Args<'a>, form: Form, score_of: Option<ScoreOf<'a>>) -> Parser<'a> {
        let store = (form == Form::SearchStore).then_some(Store {
            key_index: 1,
            distances: false,
        });
        Parser {
            args,
            form,
            score_of,
            at: form.options_index(),
            centre: Centre::Unknown,
            extent: None,
            options: SearchOptions {
                shape: None,
                count: None,
                any: false,
                order: None,
                with_coord: false,
                with_dist: false,
                with_hash: false,
                store,
            },
        }
    }

    /// Reads centre and radius where they have their fixed place.
    fn read_fixed(&mut self) -> Result<(), Error> {
        match self.form {
            Form::Radius { .. } => {
                self.centre = Centre::Given(parse_point(self.args.at(2), self.args.at(3))?);
                self.extent = Some(self.radius(4)?);
            }
            Form::RadiusByMember { .. } => {
                self.centre = Centre::Member(self.member(2)?);
                if self.score_of.is_some() {
                    self.extent = Some(self.radius(3)?);
                }
            }
            Form::Search | Form::SearchStore => {}
        }
        Ok(())
    }

    fn read_option(&mut self) -> Result<(), Error> {
        let word = self.args.at(self.at).to_ascii_lowercase();
        let following = self.args.len() - self.at - 1;
        let options = &mut self.options;
        match &word[..] {
            b"withdist" => options.with_dist = true,
            b"withhash" => options.with_hash = true,
            b"withcoord" => options.with_coord = true,
            b"any" => options.any = true,
            b"asc" => options.order = Some(Order::Ascending),
            b"desc" => options.order = Some(Order::Descending),
            b"count" if following >= 1 => {
                options.count = Some(count(self.args.at(self.at + 1))?);
                self.at += 1;
            }
            word if is_store(word) && following >= 1 && self.form.takes_store() => {
                options.store = Some(Store {
                    key_index: self.at + 1,
                    distances: word == b"storedist",
                });
                self.at += 1;
            }
            b"storedist" if self.form == Form::SearchStore => {
                let store = options.store.as_mut();
                store.expect("GEOSEARCHSTORE always stores").distances = true;
            }
            word if self.form.names_shape() => return self.read_shape(word, following),
            _ => return Err(error::SYNTAX.into()),
        }
        self.at += 1;
        Ok(())
    }

    /// Reads a centre or an extent that comes as an option. The same kind may be given again, and the last is taken.
    fn read_shape(&mut self, word: &[u8], following: usize) -> Result<(), Error> {
        let at = self.at;
        let taken = match word {
            b"frommember" if following >= 1 && !matches!(self.centre, Centre::Given(_)) => {
                self.centre = Centre::Member(self.member(at + 1)?);
                1
            }
            b"fromlonlat" if following >= 2 && !matches!(self.centre, Centre::Member(_)) => {
                let point = parse_point(self.args.at(at + 1), self.args.at(at + 2))?;
                self.centre = Centre::Given(point);
                2
            }
            b"byradius"
                if following >= 2 && !matches!(self.extent, Some((Extent::Box { .. }, _))) =>
            {
                self.extent = Some(self.radius(at + 1)?);
                2
            }
            b"bybox" if following >= 3 && !matches!(self.extent, Some((Extent::Radius(_), _))) => {
                self.extent = Some(self.sides(at + 1)?);
                3
            }
            _ => return Err(error::SYNTAX.into()),
        };
        self.at += 1 + taken;
        Ok(())
    }

    /// Where the member at `index` lies.
    fn member(&self, index: usize) -> Result<Option<Point>, Error> {
        match self.score_of {
            None => Ok(None),
            Some(score_of) => match score_of(self.args.at(index)) {
                Some(score) => Ok(Some(Point::of_score(score))),
                None => Err(NO_SUCH_MEMBER.into()),
            },
        }
    }

    fn radius(&self, index: usize) -> Result<(Extent, Unit), Error> {
        let radius = self.number(index, "ERR need numeric radius")?;
        if radius < 0.0 {
            return Err("ERR radius cannot be negative".into());
        }
        Ok((
            Extent::Radius(radius),
            Unit::parse(self.args.at(index + 1))?,
        ))
    }

    fn sides(&self, index: usize) -> Result<(Extent, Unit), Error> {
        let width = self.number(index, "ERR need numeric width")?;
        let height = self.number(index + 1, "ERR need numeric height")?;
        if width < 0.0 || height < 0.0 {
            return Err("ERR height or width cannot be negative".into());
        }
        let unit = Unit::parse(self.args.at(index + 2))?;
        Ok((Extent::Box { width, height }, unit))
    }

    fn number(&self, index: usize, refusal: &'static str) -> Result<f64, Error> {
        resp::number::parse_f64(self.args.at(index)).ok_or_else(|| refusal.into())
    }

    /// The checks that need all arguments.
    fn finish(self) -> Result<SearchOptions, Error> {
        let mut options = self.options;
        if options.store.is_some() && (options.with_dist || options.with_hash || options.with_coord)
        {
            return Err(match self.form {
                Form::SearchStore => GEOSEARCHSTORE_STORES_MEMBERS_ONLY.into(),
                _ => GEORADIUS_STORES_MEMBERS_ONLY.into(),
            });
        }
        let missing = |either: &str| {
            let text = format!("ERR exactly one of {either} can be specified for ");
            Error([text.as_bytes(), self.args.at(0)].concat().into())
        };
        if matches!(self.centre, Centre::Unknown) {
            return Err(missing("FROMMEMBER or FROMLONLAT"));
        }
        if self.form.names_shape() && self.extent.is_none() {
            return Err(missing("BYRADIUS and BYBOX"));
        }
        if options.any && options.count.is_none() {
            return Err(ANY_WITHOUT_COUNT.into());
        }
        // The first of an unordered set would be arbitrary; ANY asks for just that.
        if options.count.is_some() && options.order.is_none() && !options.any {
            options.order = Some(Order::Ascending);
        }
        if let (Some(_), Centre::Given(centre) | Centre::Member(Some(centre))) =
            (self.score_of, self.centre)
        {
            options.shape = self.extent.map(|(extent, unit)| GeoShape {
                centre,
                extent,
                unit,
            });
        }
        Ok(options)
    }
}

fn count(text: &[u8]) -> Result<usize, Error> {
    let count = resp::number::parse_i64(text).ok_or(error::NOT_AN_INTEGER)?;
    if count <= 0 {
        return Err(COUNT_NOT_POSITIVE.into());
    }
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// The members that a search finds, in its order and no more than it wants. `ranges` hands over each member with a score of at
/// least its first and less than its second argument, in order, until it is told to break off.
pub fn search(
    options: &SearchOptions,
    mut ranges: impl FnMut(u64, u64, &mut dyn FnMut(&[u8], f64) -> ControlFlow<()>),
) -> Vec<Found> {
    let mut found = Vec::new();
    let Some(shape) = options.shape else {
        return found;
    };
    let enough = options.count.filter(|_| options.any).unwrap_or(usize::MAX);
    for scores in coverage(&shape) {
        ranges(scores.start, scores.end, &mut |member, score| {
            if let Some(metres) = shape.distance_within_m(Point::of_score(score)) {
                found.push(Found {
                    member: member.to_vec(),
                    score,
                    distance: metres / shape.unit.metres(),
                });
            }
            if found.len() < enough {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        if found.len() >= enough {
            break;
        }
    }
    match options.order {
        None => {}
        Some(Order::Ascending) => found.sort_by(|a, b| a.distance.total_cmp(&b.distance)),
        Some(Order::Descending) => found.sort_by(|a, b| b.distance.total_cmp(&a.distance)),
    }
    found.truncate(options.count.unwrap_or(usize::MAX));
    found
}

/// Writes what was found: members, or arrays of each with what the search wants to know of it.
pub fn write_found(out: &mut Writer<'_>, options: &SearchOptions, found: &[Found]) {
    out.array(found.len());
    for one in found {
        write_one(out, options, &one.member, (one.score, one.distance));
    }
}

/// Writes one of them.
pub fn write_one(
    out: &mut Writer<'_>,
    options: &SearchOptions,
    member: &[u8],
    (score, distance): (f64, f64),
) {
    let wanted = [options.with_dist, options.with_hash, options.with_coord];
    let wanted = wanted.into_iter().filter(|&wanted| wanted).count();
    if wanted > 0 {
        out.array(1 + wanted);
    }
    out.bulk(member);
    if options.with_dist {
        text::write_distance(out, distance);
    }
    if options.with_hash {
        out.int(score as i64);
    }
    if options.with_coord {
        text::write_point(out, Point::of_score(score));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use resp::OwnedArgs;

    fn parse(form: Form, line: &str, exists: bool) -> Result<SearchOptions, Error> {
        let mut args = OwnedArgs::default();
        line.split(' ').for_each(|word| args.push(word.as_bytes()));
        let score_of = |member: &[u8]| (member == b"Palermo").then_some(3_479_099_956_230_698.0);
        parse_search(args.as_args(), form, exists.then_some(&score_of))
    }

    fn refusal(form: Form, line: &str) -> String {
        let Error(text) = parse(form, line, true).unwrap_err();
        String::from_utf8(text.into_owned()).unwrap()
    }

    #[test]
    fn a_centre_and_an_extent_must_be_named() {
        let text = refusal(Form::Search, "GeoSearch k BYRADIUS 1 km ASC ASC");
        assert_eq!(
            text,
            "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for GeoSearch"
        );
        let text = refusal(Form::Search, "geosearch k FROMLONLAT 1 2 ASC");
        assert_eq!(
            text,
            "ERR exactly one of BYRADIUS and BYBOX can be specified for geosearch"
        );
    }

    #[test]
    fn a_member_that_is_not_there_is_refused_only_where_the_key_is() {
        let line = "GEOSEARCH k FROMMEMBER Rome BYRADIUS 1 km";
        assert_eq!(refusal(Form::Search, line), NO_SUCH_MEMBER);
        assert_eq!(parse(Form::Search, line, false).unwrap().shape, None);
    }

    #[test]
    fn the_key_to_store_to_is_the_last_one_named() {
        let line = "GEORADIUS k 1 2 3 km STORE a ASC STOREDIST b";
        let form = Form::Radius { stores: true };
        let store = Some(Store {
            key_index: 10,
            distances: true,
        });
        assert_eq!(parse(form, line, true).unwrap().store, store);
        let mut args = OwnedArgs::default();
        line.split(' ').for_each(|word| args.push(word.as_bytes()));
        let mut moved = crate::row::Keys::GEORADIUS.moved(&args.as_args());
        assert_eq!(moved.next(), Some(10));
        assert_eq!(refusal(Form::Radius { stores: false }, line), error::SYNTAX);
    }

    #[test]
    fn any_breaks_off_when_enough_is_found() {
        let line = "GEOSEARCH k FROMMEMBER Palermo BYRADIUS 1 km COUNT 3 ANY";
        let options = parse(Form::Search, line, true).unwrap();
        let (mut calls, mut offered) = (0, 0);
        let found = search(&options, |start, _, visit| {
            calls += 1;
            assert_eq!(calls, 1, "the first range had enough");
            assert!(start <= 3_479_099_956_230_698);
            while visit(b"m", 3_479_099_956_230_698.0).is_continue() {
                offered += 1;
            }
        });
        assert_eq!((found.len(), offered), (3, 2));
    }

    #[test]
    fn a_count_takes_the_nearest() {
        let line = "GEOSEARCH k FROMLONLAT 0 0 BYRADIUS 500 km COUNT 1";
        let options = parse(Form::Search, line, true).unwrap();
        let scores = [3.0, 1.0, 2.0].map(|degrees| {
            let point = Point::new(degrees, 1.0).unwrap();
            (degrees, point.score() as f64)
        });
        let found = search(&options, |start, end, visit| {
            for (degrees, score) in scores {
                if (start as f64..end as f64).contains(&score) {
                    let _ = visit(degrees.to_string().as_bytes(), score);
                }
            }
        });
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].member, b"1");
    }
}
