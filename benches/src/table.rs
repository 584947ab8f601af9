//! Owns how results are shown: a markdown table to read, a text file to compute with.
//! Never here: a measurement.
//! Source: none.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// A table of results; every row has as many cells as there are columns.
pub struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

impl Table {
    /// A table without rows.
    pub fn new(title: impl Into<String>, columns: &[&str]) -> Table {
        let columns = columns.iter().map(ToString::to_string).collect();
        Table {
            title: title.into(),
            columns,
            rows: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.columns.len(), "{}", self.title);
        self.rows.push(cells);
    }

    /// Adds a line under the table.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Markdown, columns aligned.
    pub fn markdown(&self) -> String {
        let rows = std::iter::once(&self.columns).chain(&self.rows);
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|at| {
                rows.clone()
                    .map(|row| row[at].chars().count())
                    .max()
                    .unwrap_or(0)
                    .max(3)
            })
            .collect();
        let line = |cells: &[String]| {
            let padded = cells.iter().zip(&widths).enumerate();
            let text: Vec<String> = padded
                .map(|(at, (cell, &width))| match at {
                    0 => format!("{cell:<width$}"),
                    _ => format!("{cell:>width$}"),
                })
                .collect();
            format!("| {} |\n", text.join(" | "))
        };
        let rule: Vec<String> = widths
            .iter()
            .enumerate()
            .map(|(at, width)| match at {
                0 => "-".repeat(*width),
                _ => format!("{}:", "-".repeat(width - 1)),
            })
            .collect();
        let mut text = format!(
            "### {}\n\n{}{}",
            self.title,
            line(&self.columns),
            line(&rule)
        );
        for row in &self.rows {
            text.push_str(&line(row));
        }
        for note in &self.notes {
            text.push_str(&format!("\n{note}\n"));
        }
        text
    }

    /// Tab-separated, the title and the notes as comments.
    fn tab_separated(&self) -> String {
        let mut text = format!("# {}\n{}\n", self.title, self.columns.join("\t"));
        for row in &self.rows {
            text.push_str(&format!("{}\n", row.join("\t")));
        }
        for note in &self.notes {
            text.push_str(&format!("# {note}\n"));
        }
        text
    }

    /// Prints markdown and writes the tab-separated form beside other results.
    pub fn publish(&self, out_dir: &Path, name: &str) -> io::Result<()> {
        println!("\n{}", self.markdown());
        fs::create_dir_all(out_dir)?;
        let mut file = fs::File::create(out_dir.join(format!("{name}.txt")))?;
        file.write_all(self.tab_separated().as_bytes())
    }
}

/// The middle value; the mean of the two middle ones of an even count.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// A quantile of few values, interpolated.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let place = share * last as f64;
    let (low, high) = (
        sorted[place.floor() as usize],
        sorted[place.ceil() as usize],
    );
    low + (high - low) * place.fract()
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes as mebibytes with one decimal.
pub fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / (1 << 20) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_lies_between() {
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(&[9.0, 1.0, 5.0]), 5.0);
    }

    #[test]
    fn digits_are_grouped_in_threes() {
        assert_eq!(grouped(5), "5");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(100_000), "100,000");
    }
}
