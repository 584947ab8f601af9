//! Owns findings as people and programs read them: text, and JSON.
//! Never happens here: a judgement.
//! Source: RFC 8259 for JSON.

use std::fmt::Write;

use super::{Amount, Finding};

/// The findings as text for a person; says so when there are none.
pub fn prose(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "No memory problem found: use is near its peak and explained, no shard, key, prefix \
                or client stands out, and nothing grows without end.\n"
            .to_owned();
    }
    let mut text = String::new();
    for finding in findings {
        let Finding {
            id,
            severity,
            evidence,
            cause,
            remedy,
        } = finding;
        let figures: Vec<String> = evidence
            .iter()
            .map(|(name, amount)| format!("{name} {}", human(*amount)))
            .collect();
        // Writing to a String cannot fail.
        let _written = write!(
            text,
            "* {id} ({}): {cause}\n  Evidence: {}\n",
            severity.word(),
            figures.join(", ")
        );
        if !remedy.is_empty() {
            let _written = writeln!(text, "  Try: {remedy}");
        }
    }
    text
}

/// The findings as one JSON object: `{"findings":[{"id":…,"severity":…,"evidence":{name:number,…},"cause":…,"remedy":…}]}`.
/// Bytes and seconds are integers, percentages have two decimals.
pub fn json(findings: &[Finding]) -> String {
    let one = |finding: &Finding| {
        let Finding {
            id,
            severity,
            evidence,
            cause,
            remedy,
        } = finding;
        let figures: Vec<String> = evidence
            .iter()
            .map(|(name, amount)| format!("{}:{}", string(name), number(*amount)))
            .collect();
        format!(
            "{{\"id\":{},\"severity\":{},\"evidence\":{{{}}},\"cause\":{},\"remedy\":{}}}",
            string(id),
            string(severity.word()),
            figures.join(","),
            string(cause),
            string(remedy)
        )
    };
    let all: Vec<String> = findings.iter().map(one).collect();
    format!("{{\"findings\":[{}]}}", all.join(","))
}

fn number(amount: Amount) -> String {
    match amount {
        Amount::Bytes(number) | Amount::Count(number) | Amount::Seconds(number) => {
            number.to_string()
        }
        Amount::Percent(percent) => format!("{percent:.2}"),
    }
}

/// A JSON string.
fn string(text: &str) -> String {
    let mut json = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\0'..' ' => {
                let _written = write!(json, "\\u{:04x}", u32::from(character));
            }
            other => json.push(other),
        }
    }
    json.push('"');
    json
}

/// A figure for a person.
fn human(amount: Amount) -> String {
    match amount {
        Amount::Bytes(bytes) => human_bytes(bytes),
        Amount::Count(count) => count.to_string(),
        Amount::Percent(percent) => format!("{percent:.2} %"),
        Amount::Seconds(seconds) => human_time(seconds),
    }
}

/// Bytes for a person: `512 B`, `1.50 MiB`.
pub(super) fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut amount = bytes as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    format!("{amount:.2} {}", UNITS[unit])
}

/// A time for a person, in its two largest units: `40 s`, `3 min 20 s`, `5 h 10 min`, `12 d 4 h`.
pub(super) fn human_time(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min {} s", seconds % 60),
        3600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    #[test]
    fn bytes_and_times_are_written_for_a_person() {
        assert_eq!(human_bytes(512), "512 B");
        assert_eq!(human_bytes(1536), "1.50 KiB");
        assert_eq!(human_bytes(5 << 20), "5.00 MiB");
        assert_eq!(human_bytes(3 << 40), "3.00 TiB");
        assert!(human_bytes(u64::MAX).ends_with("PiB"));
        assert_eq!(human_time(59), "59 s");
        assert_eq!(human_time(200), "3 min 20 s");
        assert_eq!(human_time(18_600), "5 h 10 min");
        assert_eq!(human_time(1_051_200), "12 d 4 h");
    }

    #[test]
    fn json_has_numbers_as_numbers_and_escapes_what_must_be() {
        assert_eq!(json(&[]), "{\"findings\":[]}");
        let finding = Finding {
            id: "some-id",
            severity: Severity::Warning,
            evidence: vec![
                ("bytes", Amount::Bytes(12)),
                ("part", Amount::Percent(33.333)),
            ],
            cause: super::super::quoted(b"a\"\\\xff\n"),
            remedy: "tab\there".to_owned(),
        };
        let expected = r#"{"findings":[{"id":"some-id","severity":"warning","evidence":{"bytes":12,"part":33.33},"cause":"\"a\\\"\\\\\\xff\\n\"","remedy":"tab\u0009here"}]}"#;
        assert_eq!(json(&[finding]), expected);
    }
}
