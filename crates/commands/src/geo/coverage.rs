//! Which scores to look through for a shape: a cell about as large as the shape around its centre, and its neighbours.
//! Never decides whether a position lies in the shape; what it leaves out never does.
//! Cells and their order are those of redis-server 7; the edges of a circle on a ball follow from spherical trigonometry.

use super::cells::{Cell, LATITUDE_MAX, LONGITUDE_MAX, Point, STEPS_MAX};
use super::shape::{EARTH_RADIUS_M, Extent, GeoShape};
use std::ops::Range;

/// Half the girth of a Mercator map in metres, where the estimate of the size of cells starts.
const MERCATOR_MAX_M: f64 = 20_037_726.37;
/// Degrees by which a shape is taken larger: far more than rounding can be wrong, far less than the smallest cell.
const ROUNDING_DEGREES: f64 = 1e-9;
/// A row or a column that only positions at the upper limits are in: one past the last of the finest grid.
const LIMIT: u32 = 1 << STEPS_MAX;

/// The scores that positions in a shape have, and more: at most nine cells' for all but a shape at the edge of the map. In the
/// order in which Redis looks through them, which clients see in unsorted answers; no two overlap.
pub fn coverage(shape: &GeoShape) -> Vec<Range<u64>> {
    let edges = Edges::of(shape);
    let mut ring = Ring::around(
        shape.centre,
        steps_estimate(shape.reach_m(), shape.centre.latitude),
    );
    if !ring.seems_to_cover(&Edges::estimate(shape)) {
        ring = ring.coarser();
    }
    while !ring.covers(&edges) {
        ring = ring.coarser();
    }
    ring.scores(&edges)
}

/// How often to halve the axes so that a cell is about as large as a shape, and its neighbours cover it in most cases.
fn steps_estimate(reach_m: f64, latitude: f64) -> u32 {
    if reach_m == 0.0 {
        return STEPS_MAX;
    }
    let (mut doubled_m, mut steps) = (reach_m, -1);
    while doubled_m < MERCATOR_MAX_M {
        doubled_m *= 2.0;
        steps += 1;
    }
    // Cells get narrower towards the poles.
    steps -= i32::from(latitude.abs() > 66.0) + i32::from(latitude.abs() > 80.0);
    steps.clamp(1, STEPS_MAX as i32) as u32
}

/// What a shape lies between, in degrees.
#[derive(Clone, Copy, Debug)]
struct Edges {
    /// Less than -180 where the shape crosses the antimeridian.
    west: f64,
    /// More than 180 where the shape crosses the antimeridian.
    east: f64,
    south: f64,
    north: f64,
}

impl Edges {
    fn of(shape: &GeoShape) -> Edges {
        let centre = shape.centre;
        let (half_height, half_width) = half_angles(shape);
        let up = half_height.to_degrees();
        let aside = match shape.extent {
            Extent::Radius(_) => circle_width(half_width, centre.latitude),
            Extent::Box { .. } => {
                let farthest = (centre.latitude.abs() + up + ROUNDING_DEGREES).min(LATITUDE_MAX);
                box_width(half_width, farthest)
            }
        };
        let (up, aside) = (up + ROUNDING_DEGREES, aside + ROUNDING_DEGREES);
        Edges {
            west: centre.longitude - aside.min(LONGITUDE_MAX),
            east: centre.longitude + aside.min(LONGITUDE_MAX),
            south: (centre.latitude - up).max(-LATITUDE_MAX),
            north: (centre.latitude + up).min(LATITUDE_MAX),
        }
    }

    /// What Redis takes for the edges: too far out for most shapes, and anything for one with a pole in it.
    fn estimate(shape: &GeoShape) -> Edges {
        let centre = shape.centre;
        let (half_height, half_width) = half_angles(shape);
        let farthest = centre.latitude.to_radians().abs() + half_height;
        let (up, aside) = (
            half_height.to_degrees(),
            (half_width / farthest.cos()).to_degrees(),
        );
        Edges {
            west: centre.longitude - aside,
            east: centre.longitude + aside,
            south: centre.latitude - up,
            north: centre.latitude + up,
        }
    }
}

/// Half the height and half the width of a shape, as angles at the middle of the earth, in radians.
fn half_angles(shape: &GeoShape) -> (f64, f64) {
    let angle = |length: f64| length * shape.unit.metres() / EARTH_RADIUS_M;
    match shape.extent {
        Extent::Radius(radius) => (angle(radius), angle(radius)),
        Extent::Box { width, height } => (angle(height / 2.0), angle(width / 2.0)),
    }
}

/// Degrees of longitude from the centre of a circle to its easternmost position. `angle` is the radius as an angle at the middle
/// of the earth, in radians.
fn circle_width(angle: f64, latitude: f64) -> f64 {
    if angle + latitude.to_radians().abs() >= std::f64::consts::FRAC_PI_2 {
        return LONGITUDE_MAX; // A pole is in it.
    }
    widened_asin(angle.sin() / latitude.to_radians().cos())
}

/// Degrees of longitude from the middle of a box to its edge at a latitude. `angle` is half its width as an angle at the middle
/// of the earth, in radians.
fn box_width(angle: f64, latitude: f64) -> f64 {
    if angle >= std::f64::consts::PI {
        return LONGITUDE_MAX;
    }
    2.0 * widened_asin((angle / 2.0).sin() / latitude.to_radians().cos())
}

/// The angle of a sine in degrees, or a little more: near the end of its range rounding weighs heavily. From there on 180.
fn widened_asin(sine: f64) -> f64 {
    const WIDENING: f64 = 1e-9;
    let sine = sine * (1.0 + WIDENING);
    if sine < 1.0 {
        sine.asin().to_degrees()
    } else {
        LONGITUDE_MAX
    }
}

/// A cell with its neighbours. Columns go on around the earth, rows end at the top and at the bottom of the map.
struct Ring {
    middle: Cell,
}

impl Ring {
    fn around(centre: Point, steps: u32) -> Ring {
        Ring {
            middle: Cell::containing(centre, steps),
        }
    }

    /// The ring of cells twice as high and wide, which holds all of this one.
    fn coarser(&self) -> Ring {
        let Cell { row, column, steps } = self.middle;
        debug_assert!(steps > 1, "the coarsest ring is the whole map");
        let middle = Cell {
            row: row / 2,
            column: column / 2,
            steps: steps - 1,
        };
        Ring { middle }
    }

    fn is_whole_map(&self) -> bool {
        self.middle.steps == 1
    }

    fn column_degrees(&self, column: i64) -> f64 {
        column as f64 / self.axis_len() as f64 * (2.0 * LONGITUDE_MAX) - LONGITUDE_MAX
    }

    fn row_degrees(&self, row: i64) -> f64 {
        row as f64 / self.axis_len() as f64 * (2.0 * LATITUDE_MAX) - LATITUDE_MAX
    }

    /// Rows and columns that the grid has.
    fn axis_len(&self) -> i64 {
        1 << self.middle.steps
    }

    /// Whether nothing between the edges lies beyond the neighbours.
    fn covers(&self, edges: &Edges) -> bool {
        let (row, column) = (i64::from(self.middle.row), i64::from(self.middle.column));
        let columns_do = self.column_degrees(column - 1) <= edges.west
            && edges.east <= self.column_degrees(column + 2);
        let rows_do = self.row_degrees((row - 1).max(0)) <= edges.south
            && edges.north <= self.row_degrees((row + 2).min(self.axis_len()));
        self.is_whole_map() || (columns_do && rows_do)
    }

    /// Whether Redis takes the neighbours for enough. To it both axes go around, so at the border of the map they never are; the
    /// only use of asking is to look through as many cells as it does.
    fn seems_to_cover(&self, edges: &Edges) -> bool {
        let (row, column) = (i64::from(self.middle.row), i64::from(self.middle.column));
        let around = |part: i64| part.rem_euclid(self.axis_len());
        let columns_do = self.column_degrees(around(column - 1)) <= edges.west
            && edges.east <= self.column_degrees(around(column + 1) + 1);
        let rows_do = self.row_degrees(around(row - 1)) <= edges.south
            && edges.north <= self.row_degrees(around(row + 1) + 1);
        self.is_whole_map() || (columns_do && rows_do)
    }

    /// The scores of those of the nine cells that reach between the edges.
    fn scores(&self, edges: &Edges) -> Vec<Range<u64>> {
        let (row, column) = (i64::from(self.middle.row), i64::from(self.middle.column));
        let north = (edges.north >= self.row_degrees(row + 1) && row + 1 < self.axis_len())
            .then_some(row + 1);
        let south = (edges.south <= self.row_degrees(row) && row > 0).then_some(row - 1);
        let east = (edges.east >= self.column_degrees(column + 1)).then_some(column + 1);
        let west = (edges.west <= self.column_degrees(column)).then_some(column - 1);
        let (row, column) = (Some(row), Some(column));
        let cells = [
            (row, column),
            (north, column),
            (south, column),
            (row, east),
            (row, west),
            (north, east),
            (north, west),
            (south, east),
            (south, west),
        ];
        let mut ranges = Vec::with_capacity(cells.len());
        for cell in cells {
            let (Some(row), Some(column)) = cell else {
                continue;
            };
            // With two columns the one to the east is the one to the west.
            let cell = self.cell(row as u32, column.rem_euclid(self.axis_len()) as u32);
            if !ranges.contains(&cell.scores()) {
                ranges.push(cell.scores());
            }
        }
        let rows = [south, row, north];
        let columns = [west, column, east];
        self.push_limits(&rows, &columns, edges, &mut ranges);
        ranges
    }

    fn cell(&self, row: u32, column: u32) -> Cell {
        let steps = self.middle.steps;
        Cell { row, column, steps }
    }

    /// Adds the scores of positions at longitude 180 and at the northern limit, which begin cells of their own past the last.
    fn push_limits(
        &self,
        rows: &[Option<i64>],
        columns: &[Option<i64>],
        edges: &Edges,
        ranges: &mut Vec<Range<u64>>,
    ) {
        let past_last = LIMIT >> (STEPS_MAX - self.middle.steps);
        let at_east = edges.west <= -LONGITUDE_MAX || edges.east >= LONGITUDE_MAX;
        let at_north = edges.north >= LATITUDE_MAX;
        let mut push = |cell: Cell| {
            if !ranges.contains(&cell.scores()) {
                ranges.push(cell.scores());
            }
        };
        if at_east {
            for row in rows.iter().flatten() {
                push(self.cell(*row as u32, past_last));
            }
        }
        if at_north {
            for column in columns.iter().flatten() {
                let column = column.rem_euclid(self.axis_len()) as u32;
                push(self.cell(past_last, column));
            }
        }
        if at_east && at_north {
            push(self.cell(past_last, past_last));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::shape::Unit;
    use testkit::generate::Random;

    /// A number from 0 to 1, both ends likely.
    fn share(random: &mut Random) -> f64 {
        match random.below(20) {
            0 => 0.0,
            1 => 1.0,
            _ => random.below(1 << 53) as f64 / (1u64 << 53) as f64,
        }
    }

    fn anywhere(random: &mut Random) -> Point {
        Point {
            longitude: (share(random) * 2.0 - 1.0) * LONGITUDE_MAX,
            latitude: (share(random) * 2.0 - 1.0) * LATITUDE_MAX,
        }
    }

    /// A position near another: as near as the shape is large, so that its edge is met.
    fn beside(random: &mut Random, centre: Point, reach_m: f64) -> Point {
        let degrees = (reach_m / EARTH_RADIUS_M).to_degrees();
        let aside = degrees / centre.latitude.to_radians().cos() * (share(random) * 2.2 - 1.1);
        let longitude =
            (centre.longitude + aside + LONGITUDE_MAX).rem_euclid(360.0) - LONGITUDE_MAX;
        let latitude = centre.latitude + degrees * (share(random) * 2.2 - 1.1);
        Point {
            longitude,
            latitude: latitude.clamp(-LATITUDE_MAX, LATITUDE_MAX),
        }
    }

    /// From centimetres to more than the earth, and nothing, and everything.
    fn length_m(random: &mut Random) -> f64 {
        match random.below(30) {
            0 => 0.0,
            1 => f64::INFINITY,
            _ => 10f64.powf(share(random) * 9.7 - 2.0),
        }
    }

    fn any_shape(random: &mut Random) -> GeoShape {
        let centre = anywhere(random);
        // As GEOSEARCH FROMMEMBER has it: the middle of a cell.
        let centre = if random.one_in(2) {
            Point::of_score(centre.score() as f64)
        } else {
            centre
        };
        let extent = if random.one_in(2) {
            Extent::Radius(length_m(random))
        } else {
            Extent::Box {
                width: length_m(random),
                height: length_m(random),
            }
        };
        GeoShape {
            centre,
            extent,
            unit: Unit::Metres,
        }
    }

    #[test]
    fn no_position_in_a_shape_is_left_out() {
        let mut random = Random::new(7);
        let mut inside = 0;
        for _ in 0..20_000 {
            let shape = any_shape(&mut random);
            let ranges = coverage(&shape);
            for _ in 0..50 {
                let point = if random.one_in(2) {
                    anywhere(&mut random)
                } else {
                    beside(&mut random, shape.centre, shape.reach_m().min(3e7))
                };
                let score = point.score();
                if shape
                    .distance_within_m(Point::of_score(score as f64))
                    .is_some()
                {
                    inside += 1;
                    assert!(
                        ranges.iter().any(|range| range.contains(&score)),
                        "{point:?} is in {shape:?}, its score {score} is not in {ranges:?}"
                    );
                }
            }
        }
        assert!(inside > 100_000, "only {inside} positions were in a shape");
    }

    #[test]
    fn ranges_are_few_and_never_overlap() {
        let mut random = Random::new(8);
        for _ in 0..20_000 {
            let shape = any_shape(&mut random);
            let mut ranges = coverage(&shape);
            let (cells, limits): (Vec<_>, Vec<_>) =
                ranges.iter().partition(|range| range.start < 1 << 52);
            assert!(cells.len() <= 9, "{shape:?}: {cells:?}");
            assert!(limits.len() <= 7, "{shape:?}: {limits:?}");
            ranges.sort_by_key(|range| range.start);
            let apart = ranges.windows(2).all(|pair| pair[0].end <= pair[1].start);
            assert!(apart, "{shape:?}: {ranges:?}");
        }
    }

    #[test]
    fn a_small_circle_far_from_every_edge_is_a_small_part_of_the_map() {
        let shape = GeoShape {
            centre: Point::new(13.361389, 38.115556).unwrap(),
            extent: Extent::Radius(100.0),
            unit: Unit::Metres,
        };
        let covered: u64 = coverage(&shape)
            .iter()
            .map(|range| range.end - range.start)
            .sum();
        assert!(covered < (1 << 52) / 10_000_000);
    }

    #[test]
    fn a_position_at_longitude_180_is_found_from_both_sides() {
        let member = Point::new(180.0, 10.0).unwrap().score();
        for longitude in [179.999, -179.999, 180.0, -180.0] {
            let shape = GeoShape {
                centre: Point::new(longitude, 10.0).unwrap(),
                extent: Extent::Radius(1.0),
                unit: Unit::Kilometres,
            };
            assert!(coverage(&shape).iter().any(|range| range.contains(&member)));
        }
    }
}
