//! Positions on the earth as scores of a sorted set: cells, distances, searches, and the grammar of the GEO commands.
//! Never touches a key: members and scores come from the caller and go back to it.
//! Sources: the geohash (Niemeyer, 2008), the haversine formula, redis-server 7.0 for digits, texts and order of checks.

pub mod add;
pub mod cells;
pub mod coverage;
pub mod search;
pub mod shape;
pub mod text;

pub use add::Addition;
pub use cells::Point;
pub use search::{Form, SearchOptions, parse_search, search};

mod commands;
mod steps;

pub use commands::ROWS;

#[cfg(test)]
mod oracle;

use crate::{Error, error};

/// Reads a longitude and a latitude.
///
/// # Errors
/// When one is no number, or lies outside what a score can hold.
fn parse_point(longitude: &[u8], latitude: &[u8]) -> Result<Point, Error> {
    let degrees = |text| resp::number::parse_f64(text).ok_or(error::NOT_A_FLOAT);
    let (longitude, latitude) = (degrees(longitude)?, degrees(latitude)?);
    Point::new(longitude, latitude).ok_or_else(|| {
        format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}").into()
    })
}
