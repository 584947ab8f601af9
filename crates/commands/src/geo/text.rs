//! Replies of the GEO commands that are more than integers and members: positions, geohashes, distances.
//! Never knows keys: a score goes in, or nothing where there is no member.
//! Source: redis-server 7, asked for the digits it prints.

use super::cells::Point;
use super::shape::{Unit, distance_m};
use crate::{Error, error};
use resp::{Args, Proto, Writer};

/// The unit that a GEODIST names, metres when it names none.
///
/// # Errors
/// When it is no unit, or more arguments follow.
pub fn parse_geodist_unit(args: Args<'_>) -> Result<Unit, Error> {
    match args.len() {
        0..=4 => Ok(Unit::Metres),
        5 => Unit::parse(args.at(4)),
        _ => Err(error::SYNTAX.into()),
    }
}

/// Writes GEODIST's reply for the scores of two members, null when one is missing.
pub fn write_geodist(out: &mut Writer<'_>, scores: Option<(f64, f64)>, unit: Unit) {
    match scores {
        Some((from, to)) => {
            let distance = distance_m(Point::of_score(from), Point::of_score(to));
            write_distance(out, distance / unit.metres());
        }
        None => out.null(),
    }
}

/// Writes GEOPOS' reply for the score of one member, null when it is missing.
pub fn write_geopos(out: &mut Writer<'_>, score: Option<f64>) {
    match score {
        Some(score) => write_point(out, Point::of_score(score)),
        None => out.null_array(),
    }
}

/// Writes GEOHASH's reply for the score of one member, null when it is missing.
pub fn write_geohash(out: &mut Writer<'_>, score: Option<f64>) {
    match score {
        Some(score) => out.bulk(&Point::of_score(score).geohash()),
        None => out.null(),
    }
}

/// Writes a distance as a string, with four decimals.
pub fn write_distance(out: &mut Writer<'_>, distance: f64) {
    const PARTS: u64 = 10_000;
    // Redis rounds the product, which is a tie more often than the exact number.
    let parts = (distance * PARTS as f64).round_ties_even() as u64;
    out.bulk(format!("{}.{:04}", parts / PARTS, parts % PARTS).as_bytes());
}

/// Writes a position as an array of longitude and latitude.
pub fn write_point(out: &mut Writer<'_>, point: Point) {
    out.array(2);
    for degrees in [point.longitude, point.latitude] {
        let text = degrees_text(degrees);
        match out.proto() {
            Proto::Resp2 => out.bulk(text.as_bytes()),
            Proto::Resp3 => out.raw(format!(",{text}\r\n").as_bytes()),
        }
    }
}

/// Degrees with up to 17 decimals, exactly as the double is: more than the shortest text that reads back as it.
fn degrees_text(degrees: f64) -> String {
    let mut text = format!("{degrees:.17}");
    let kept = text.trim_end_matches('0').trim_end_matches('.').len();
    text.truncate(kept);
    if text == "-0" {
        text.remove(0);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_have_the_digits_redis_prints() {
        assert_eq!(degrees_text(180.0), "180");
        assert_eq!(degrees_text(85.051_128_78), "85.0511287799999991");
        assert_eq!(degrees_text(13.361_389_338_970_184), "13.36138933897018433");
        assert_eq!(degrees_text(-0.0), "0");
        assert_eq!(degrees_text(-1e-18), "0");
        assert_eq!(degrees_text(0.0), "0");
        assert_eq!(degrees_text(100.0), "100");
    }

    #[test]
    fn a_distance_is_rounded_as_redis_rounds_it() {
        let written = |distance| {
            let mut out = Vec::new();
            write_distance(&mut Writer::new(&mut out, Proto::Resp2), distance);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(0.0), "$6\r\n0.0000\r\n");
        assert_eq!(written(0.000_06), "$6\r\n0.0001\r\n");
        assert_eq!(written(166_274.151_561_7), "$11\r\n166274.1516\r\n");
        assert_eq!(written(13_953_495.650_95), "$13\r\n13953495.6510\r\n");
        assert_eq!(written(17_095_571.125_45), "$13\r\n17095571.1254\r\n");
    }

    #[test]
    fn a_position_is_doubles_in_resp3_and_strings_in_resp2() {
        let written = |proto| {
            let mut out = Vec::new();
            write_geopos(
                &mut Writer::new(&mut out, proto),
                Some(13_510_798_882_111_488.0),
            );
            write_geopos(&mut Writer::new(&mut out, proto), None);
            String::from_utf8(out).unwrap()
        };
        let resp2 = "*2\r\n$3\r\n180\r\n$19\r\n85.0511287799999991\r\n*-1\r\n";
        assert_eq!(written(Proto::Resp2), resp2);
        assert_eq!(
            written(Proto::Resp3),
            "*2\r\n,180\r\n,85.0511287799999991\r\n_\r\n"
        );
    }
}
