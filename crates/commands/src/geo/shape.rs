//! Distances on the earth as a ball, and the shapes that a search looks in.
//! Never knows scores or cells.
//! Source: the haversine formula with the radius and order of operations of redis-server 7, as clients see the last digit.

use super::cells::Point;
use crate::Error;

/// Radius of the earth in metres, as Redis has it.
pub const EARTH_RADIUS_M: f64 = 6_372_797.560_856;

/// A unit of lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Metres, `m`.
    Metres,
    /// Kilometres, `km`.
    Kilometres,
    /// Feet, `ft`.
    Feet,
    /// Miles, `mi`.
    Miles,
}

impl Unit {
    /// Reads the name of a unit, in any case.
    ///
    /// # Errors
    /// When there is no such unit.
    pub fn parse(name: &[u8]) -> Result<Unit, Error> {
        match &name.to_ascii_lowercase()[..] {
            b"m" => Ok(Unit::Metres),
            b"km" => Ok(Unit::Kilometres),
            b"ft" => Ok(Unit::Feet),
            b"mi" => Ok(Unit::Miles),
            _ => Err("ERR unsupported unit provided. please use M, KM, FT, MI".into()),
        }
    }

    /// How many metres one of it is.
    pub fn metres(self) -> f64 {
        match self {
            Unit::Metres => 1.0,
            Unit::Kilometres => 1000.0,
            Unit::Feet => 0.3048,
            Unit::Miles => 1609.34,
        }
    }
}

/// The way over the ground between two positions, in metres.
pub fn distance_m(from: Point, to: Point) -> f64 {
    let (from_latitude, to_latitude) = (from.latitude.to_radians(), to.latitude.to_radians());
    let across = ((to.longitude.to_radians() - from.longitude.to_radians()) / 2.0).sin();
    let along = ((to_latitude - from_latitude) / 2.0).sin();
    let haversine = along * along + from_latitude.cos() * to_latitude.cos() * across * across;
    // Rounding must not carry opposite ends of the earth out of the sine's range.
    2.0 * EARTH_RADIUS_M * haversine.sqrt().min(1.0).asin()
}

/// The way along a meridian from one latitude to another, in metres.
fn meridian_distance_m(from_latitude: f64, to_latitude: f64) -> f64 {
    EARTH_RADIUS_M * (to_latitude.to_radians() - from_latitude.to_radians()).abs()
}

/// How far a shape goes from its centre, in its unit; never negative, infinite where the client says so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Extent {
    /// All that is no further away than this.
    Radius(f64),
    /// All that lies within half of each to its side.
    Box {
        /// From west to east, measured at the latitude of what is looked for.
        width: f64,
        /// From south to north.
        height: f64,
    },
}

/// Where a search looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeoShape {
    /// What distances are measured from.
    pub centre: Point,
    /// Size and kind.
    pub extent: Extent,
    /// Unit of the extent, and of the distances that are answered.
    pub unit: Unit,
}

impl GeoShape {
    /// How far a position is from the centre, in metres, when it lies in this shape.
    pub fn distance_within_m(&self, point: Point) -> Option<f64> {
        let metres = self.unit.metres();
        match self.extent {
            Extent::Radius(radius) => {
                let distance = distance_m(self.centre, point);
                (distance <= radius * metres).then_some(distance)
            }
            Extent::Box { width, height } => {
                let centre = self.centre;
                let north_south = meridian_distance_m(point.latitude, centre.latitude);
                if north_south > height * metres / 2.0 {
                    return None;
                }
                let beside = Point {
                    longitude: centre.longitude,
                    latitude: point.latitude,
                };
                let east_west = distance_m(point, beside);
                (east_west <= width * metres / 2.0).then(|| distance_m(centre, point))
            }
        }
    }

    /// The distance of the farthest position that can lie in this shape, in metres.
    pub fn reach_m(&self) -> f64 {
        let metres = self.unit.metres();
        match self.extent {
            Extent::Radius(radius) => radius * metres,
            Extent::Box { width, height } => (width * metres / 2.0).hypot(height * metres / 2.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(longitude: f64, latitude: f64) -> Point {
        Point::new(longitude, latitude).unwrap()
    }

    #[test]
    fn palermo_is_as_far_from_catania_as_redis_says() {
        let palermo = Point::of_score(3_479_099_956_230_698.0);
        let catania = Point::of_score(3_479_447_370_796_909.0);
        let distance = distance_m(palermo, catania);
        assert_eq!(format!("{distance:.4}"), "166274.1516");
        assert_eq!(
            format!("{:.4}", distance / Unit::Kilometres.metres()),
            "166.2742"
        );
        assert_eq!(
            format!("{:.4}", distance / Unit::Miles.metres()),
            "103.3182"
        );
        assert_eq!(
            format!("{:.4}", distance / Unit::Feet.metres()),
            "545518.8700"
        );
    }

    #[test]
    fn opposite_ends_of_the_earth_are_half_its_girth_apart() {
        for latitude in [0.0, 0.3, 12.345, 51.4779, 85.0] {
            for longitude in [-180.0, -77.7, 0.0] {
                let distance = distance_m(
                    point(longitude, latitude),
                    point(longitude + 180.0, -latitude),
                );
                assert!((distance - std::f64::consts::PI * EARTH_RADIUS_M).abs() < 1.0);
            }
        }
    }

    #[test]
    fn a_unit_is_named_in_any_case_and_nothing_else_is_one() {
        assert_eq!(Unit::parse(b"KM"), Ok(Unit::Kilometres));
        assert_eq!(Unit::parse(b"Ft"), Ok(Unit::Feet));
        assert!(Unit::parse(b"").is_err());
        assert!(Unit::parse(b"kilometres").is_err());
    }

    #[test]
    fn a_radius_of_zero_holds_its_centre_and_nothing_beside_it() {
        let shape = GeoShape {
            centre: point(10.0, 50.0),
            extent: Extent::Radius(0.0),
            unit: Unit::Miles,
        };
        assert_eq!(shape.distance_within_m(point(10.0, 50.0)), Some(0.0));
        assert_eq!(shape.distance_within_m(point(10.000_01, 50.0)), None);
    }

    #[test]
    fn a_box_holds_its_corners_which_a_circle_of_its_width_does_not() {
        let shape = |extent| GeoShape {
            centre: point(0.0, 0.0),
            extent,
            unit: Unit::Kilometres,
        };
        let corner = point(0.89, 0.89);
        let square = Extent::Box {
            width: 200.0,
            height: 200.0,
        };
        assert!(shape(square).distance_within_m(corner).is_some());
        assert!(
            shape(Extent::Radius(100.0))
                .distance_within_m(corner)
                .is_none()
        );
        assert!(shape(square).distance_within_m(point(0.91, 0.0)).is_none());
        assert!(shape(square).distance_within_m(point(0.0, 0.91)).is_none());
    }
}
