//! Scores of positions: each axis cut in half 26 times, the bits of both axes interleaved to 52, which a double holds exactly.
//! Never knows distances or members.
//! Source: the geohash (Niemeyer, 2008) over the limits of the Mercator projection, rounded as redis-server 7 rounds.

use std::ops::Range;

/// Longitudes run from minus this to this, in degrees.
pub const LONGITUDE_MAX: f64 = 180.0;
/// Latitudes run from minus this to this, in degrees: where a Mercator map is a square.
pub const LATITUDE_MAX: f64 = 85.051_128_78;
/// Halvings of an axis in a score.
pub const STEPS_MAX: u32 = 26;
/// The alphabet of geohash texts: no letter that looks like a digit.
const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
/// Characters of a geohash text.
const TEXT_LEN: usize = 11;
/// Bits that one of its characters holds.
const CHARACTER_BITS: usize = 5;

/// A position in degrees, within the limits that scores have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// East of Greenwich, -180 to 180.
    pub longitude: f64,
    /// North of the equator, -85.05112878 to 85.05112878.
    pub latitude: f64,
}

impl Point {
    /// A position, unless it lies outside the limits.
    pub fn new(longitude: f64, latitude: f64) -> Option<Point> {
        let inside = longitude.abs() <= LONGITUDE_MAX && latitude.abs() <= LATITUDE_MAX;
        inside.then_some(Point {
            longitude,
            latitude,
        })
    }

    /// The score of the cell that this position lies in. The cells along the upper limits begin at them, one bit beyond 52: a
    /// score is less than 2^54.
    pub fn score(self) -> u64 {
        interleave(
            part(self.latitude, LATITUDE_MAX, STEPS_MAX),
            part(self.longitude, LONGITUDE_MAX, STEPS_MAX),
        )
    }

    /// The middle of the cell that a score names. Any score names one: those that no position has are drawn to the limits.
    pub fn of_score(score: f64) -> Point {
        let (row, column) = separate(score_bits(score));
        Point {
            longitude: middle(column, LONGITUDE_MAX),
            latitude: middle(row, LATITUDE_MAX),
        }
    }

    /// The standard geohash, for other programs: latitudes run to the poles in it. Its last character would need bits that
    /// scores do not have, and is always `0`.
    pub fn geohash(self) -> [u8; TEXT_LEN] {
        const POLE: f64 = 90.0;
        let bits = interleave(
            part(self.latitude, POLE, STEPS_MAX),
            part(self.longitude, LONGITUDE_MAX, STEPS_MAX),
        );
        let mut text = [ALPHABET[0]; TEXT_LEN];
        for (at, character) in text[..TEXT_LEN - 1].iter_mut().enumerate() {
            let shift = 2 * STEPS_MAX as usize - (at + 1) * CHARACTER_BITS;
            *character = ALPHABET[(bits >> shift) as usize % ALPHABET.len()];
        }
        text
    }
}

/// Which of `2^steps` equal parts of an axis from `-limit` to `limit` holds `degrees`; the one after the last at the limit.
fn part(degrees: f64, limit: f64, steps: u32) -> u32 {
    // This order of operations decides in which cell a position at an edge falls.
    let share = (degrees + limit) / (limit + limit);
    (share * f64::from(1u32 << steps)) as u32
}

/// The middle of one of the parts of an axis.
fn middle(part: u32, limit: f64) -> f64 {
    let edge = |part: f64| -limit + part / f64::from(1u32 << STEPS_MAX) * (limit + limit);
    let middle = (edge(f64::from(part)) + edge(f64::from(part) + 1.0)) / 2.0;
    middle.clamp(-limit, limit)
}

/// A score of any sorted set as 64 bits: what no 64-bit integer holds is cut off as x86 processors cut it.
fn score_bits(score: f64) -> u64 {
    const TOO_LARGE: f64 = 18_446_744_073_709_551_616.0;
    if score < 0.0 {
        score as i64 as u64
    } else if score < TOO_LARGE {
        score as u64
    } else {
        0
    }
}

/// The bits of two numbers in turn, those of `even` at the places 0, 2, 4, and on.
fn interleave(even: u32, odd: u32) -> u64 {
    spread(even) | spread(odd) << 1
}

fn separate(bits: u64) -> (u32, u32) {
    (gather(bits), gather(bits >> 1))
}

/// The places that bits have when they lie in groups of 16, 8, 4, 2 and 1, each group followed by as many zeros.
const GROUPS: [u64; 5] = [
    0x0000_ffff_0000_ffff,
    0x00ff_00ff_00ff_00ff,
    0x0f0f_0f0f_0f0f_0f0f,
    0x3333_3333_3333_3333,
    0x5555_5555_5555_5555,
];

fn spread(bits: u32) -> u64 {
    GROUPS
        .iter()
        .zip([16, 8, 4, 2, 1])
        .fold(u64::from(bits), |bits, (group, shift)| {
            (bits | bits << shift) & group
        })
}

fn gather(bits: u64) -> u32 {
    let [.., singles] = GROUPS;
    let grouped = GROUPS[..4]
        .iter()
        .rev()
        .zip([1, 2, 4, 8])
        .fold(bits & singles, |bits, (group, shift)| {
            (bits | bits >> shift) & group
        });
    (grouped | grouped >> 16) as u32
}

/// A cell of the grid that each axis halved `steps` times makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Counted from the south.
    pub row: u32,
    /// Counted from the west.
    pub column: u32,
    /// Halvings of each axis, 1 to 26.
    pub steps: u32,
}

impl Cell {
    /// The cell that holds a position. One at the upper limits lies in the last row or column.
    pub fn containing(point: Point, steps: u32) -> Cell {
        debug_assert!((1..=STEPS_MAX).contains(&steps));
        let last = (1 << steps) - 1;
        Cell {
            row: part(point.latitude, LATITUDE_MAX, steps).min(last),
            column: part(point.longitude, LONGITUDE_MAX, steps).min(last),
            steps,
        }
    }

    /// The scores of the positions in this cell.
    pub fn scores(self) -> Range<u64> {
        let halvings = STEPS_MAX - self.steps;
        let start = interleave(self.row << halvings, self.column << halvings);
        start..start + (1 << (2 * halvings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cities_have_the_scores_and_places_that_redis_gives_them() {
        let palermo = Point::new(13.361389, 38.115556).unwrap();
        let catania = Point::new(15.087269, 37.502669).unwrap();
        assert_eq!(palermo.score(), 3_479_099_956_230_698);
        assert_eq!(catania.score(), 3_479_447_370_796_909);
        let found = Point::of_score(3_479_099_956_230_698.0);
        assert_eq!(found.longitude, 13.361_389_338_970_184);
        assert_eq!(found.latitude, 38.115_556_395_496_3);
        assert_eq!(&found.geohash(), b"sqc8b49rny0");
        assert_eq!(
            &Point::of_score(3_479_447_370_796_909.0).geohash(),
            b"sqdtr74hyu0"
        );
    }

    #[test]
    fn the_corners_of_the_map_have_the_scores_redis_gives_them() {
        let corner = |sign: f64| Point::new(sign * LONGITUDE_MAX, sign * LATITUDE_MAX).unwrap();
        assert_eq!(corner(-1.0).score(), 0);
        assert_eq!(corner(1.0).score(), 13_510_798_882_111_488);
        assert_eq!(Point::of_score(13_510_798_882_111_488.0), corner(1.0));
    }

    #[test]
    fn a_position_outside_the_map_is_none() {
        assert_eq!(Point::new(180.000_000_1, 0.0), None);
        assert_eq!(Point::new(0.0, -85.06), None);
        assert_eq!(Point::new(f64::NAN, 0.0), None);
        assert_eq!(Point::new(0.0, f64::INFINITY), None);
    }

    #[test]
    fn bits_put_in_turn_come_apart_again() {
        for bits in [0, 1, 0b1011, 0x1234_5678, u32::MAX] {
            assert_eq!(separate(interleave(bits, !bits)), (bits, !bits));
        }
        assert_eq!(interleave(0b11, 0b00), 0b0101);
        assert_eq!(interleave(0b00, 0b11), 0b1010);
    }

    #[test]
    fn a_cell_holds_the_scores_of_its_positions_at_every_size() {
        let palermo = Point::new(13.361389, 38.115556).unwrap();
        for steps in 1..=STEPS_MAX {
            assert!(
                Cell::containing(palermo, steps)
                    .scores()
                    .contains(&palermo.score())
            );
        }
        let smallest = Cell::containing(palermo, STEPS_MAX).scores();
        assert_eq!(smallest, palermo.score()..palermo.score() + 1);
    }
}
