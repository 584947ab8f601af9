//! The text of metrics: help, type, samples, escapes.
//! Never writes a sample outside the family that was begun last.
//! Sources: the OpenMetrics specification 1.0 and Prometheus' text format 0.0.4, whose difference here is the name of a
//! counter's family and the end.

use std::fmt::Write as _;

/// Metrics as they are written.
pub struct Exposition {
    text: String,
    /// Name of the samples of the family that was begun last.
    name: String,
    openmetrics: bool,
}

impl Exposition {
    /// Nothing yet, for one of the two formats.
    pub fn new(openmetrics: bool) -> Exposition {
        Exposition {
            text: String::with_capacity(64 * 1024),
            name: String::new(),
            openmetrics,
        }
    }

    /// Begins a family of what can rise and fall.
    pub fn gauge(&mut self, name: &str, help: &str) {
        self.begin(name, name, "gauge", help);
    }

    /// Begins a family of what only rises; its name ends with `_total`.
    pub fn counter(&mut self, name: &str, help: &str) {
        let family = name.strip_suffix("_total");
        debug_assert!(family.is_some(), "{name} is a counter by its name");
        let family = family.filter(|_| self.openmetrics).unwrap_or(name);
        self.begin(name, family, "counter", help);
    }

    fn begin(&mut self, name: &str, family: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {family} {}", escaped(help));
        let _ = writeln!(self.text, "# TYPE {family} {kind}");
        self.name.clear();
        self.name.push_str(name);
    }

    /// A sample of the family that was begun last; one that is no finite number is left out.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        if !value.is_finite() {
            return;
        }
        self.text.push_str(&self.name);
        for (place, (label, text)) in labels.iter().enumerate() {
            self.text.push(if place == 0 { '{' } else { ',' });
            let _ = write!(self.text, "{label}=\"{}\"", escaped(text));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    /// The whole text.
    pub fn finish(mut self) -> Vec<u8> {
        if self.openmetrics {
            self.text.push_str("# EOF\n");
        }
        self.text.into_bytes()
    }
}

/// A text between quotes or behind a name: no line ends in it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(openmetrics: bool) -> String {
        let mut out = Exposition::new(openmetrics);
        out.counter("a_total", "What.");
        out.sample(&[], 1.0);
        out.gauge("b_bytes", "Two\nlines");
        out.sample(&[("x", "\"\\\n"), ("y", "é")], 17_179_869_184.0);
        out.sample(&[], f64::NAN);
        String::from_utf8(out.finish()).unwrap()
    }

    #[test]
    fn the_older_format_names_a_counter_as_its_sample() {
        assert_eq!(
            written(false),
            "# HELP a_total What.\n# TYPE a_total counter\na_total 1\n# HELP b_bytes Two\\nlines\n# TYPE b_bytes gauge\n\
             b_bytes{x=\"\\\"\\\\\\n\",y=\"é\"} 17179869184\n"
        );
    }

    #[test]
    fn openmetrics_names_its_family_and_ends() {
        let text = written(true);
        assert!(text.starts_with("# HELP a What.\n# TYPE a counter\na_total 1\n"));
        assert!(text.ends_with("# EOF\n"));
    }
}
