//! Cron lines: five fields, six with seconds, or `@daily` and its like. The only owner of the crate that reads them.
//!
//! Knows no clock and no time zone: both are told to it.

use croner::Cron;
use croner::parser::{CronParser, Year};
use jiff::Timestamp;
use jiff::civil::date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A schedule as it is written, which names at least one moment to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronLine {
    text: String,
    cron: Cron,
}

const EXAMPLES: &str = "write five fields like `0 4 * * *`, six with seconds before them, or `@daily`";

impl CronLine {
    /// Reads a line.
    ///
    /// # Errors
    /// When it is none, or when it names no moment that ever comes.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parser = CronParser::builder().year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|error| {
            let error = error.to_string();
            let cause = error.rsplit(": ").next().unwrap_or(&error).trim_end_matches('.');
            format!("`{text}` is not a cron line ({cause}); {EXAMPLES}")
        })?;
        let line = Self {
            text: text.trim().to_owned(),
            cron,
        };
        // A leap year is within reach of every line that names a date at all.
        let any_day = date(2024, 1, 1).to_zoned(TimeZone::UTC).map(|day| day.timestamp());
        match any_day.map(|day| line.next_after(day, &TimeZone::UTC)) {
            Ok(None) => Err(format!("`{text}` names a date that never comes; {EXAMPLES}")),
            Ok(Some(_)) | Err(_) => Ok(line),
        }
    }

    /// The first moment of the schedule after this one, as clocks on the wall of the zone show it: what an hour that is left
    /// out in spring would hold comes right after the gap, and what is at a fixed time comes once in the hour that autumn repeats.
    pub fn next_after(&self, moment: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let from = moment.to_zoned(zone.clone());
        let next = self.cron.find_next_occurrence(&from, false).ok()?;
        Some(next.timestamp())
    }
}

impl fmt::Display for CronLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for CronLine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for CronLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::values::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn next(line: &str, from: &str, zone: &TimeZone) -> Vec<String> {
        let line = CronLine::parse(line).unwrap();
        let mut at: Timestamp = from.parse().unwrap();
        let mut all = Vec::new();
        for _ in 0..3 {
            at = line.next_after(at, zone).unwrap();
            all.push(at.to_zoned(zone.clone()).strftime("%m-%d %H:%M:%S").to_string());
        }
        all
    }

    #[test]
    fn five_fields_six_fields_and_nicknames_are_read() {
        let utc = &TimeZone::UTC;
        let from = "2026-01-30T10:59:59.5Z";
        for (line, expected) in [
            ("* * * * *", ["01-30 11:00:00", "01-30 11:01:00", "01-30 11:02:00"]),
            ("* * * * * *", ["01-30 11:00:00", "01-30 11:00:01", "01-30 11:00:02"]),
            ("*/20 * * * * *", ["01-30 11:00:00", "01-30 11:00:20", "01-30 11:00:40"]),
            ("0 4 * * *", ["01-31 04:00:00", "02-01 04:00:00", "02-02 04:00:00"]),
            ("30 2 31 * *", ["01-31 02:30:00", "03-31 02:30:00", "05-31 02:30:00"]),
            (
                "0 0 * * MON-FRI",
                ["02-02 00:00:00", "02-03 00:00:00", "02-04 00:00:00"],
            ),
            ("@hourly", ["01-30 11:00:00", "01-30 12:00:00", "01-30 13:00:00"]),
            ("@daily", ["01-31 00:00:00", "02-01 00:00:00", "02-02 00:00:00"]),
        ] {
            assert_eq!(next(line, from, utc), expected, "{line}");
        }
    }

    #[test]
    fn the_hour_that_spring_leaves_out_and_autumn_repeats() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let spring = next("30 2 * * *", "2026-03-28T12:00:00Z", &zone);
        assert_eq!(spring, ["03-29 03:00:00", "03-30 02:30:00", "03-31 02:30:00"]);
        let autumn = next("30 2 * * *", "2026-10-24T12:00:00Z", &zone);
        assert_eq!(autumn, ["10-25 02:30:00", "10-26 02:30:00", "10-27 02:30:00"]);
        // What comes every hour comes every hour of that day, too: three of them lie between 01:00 and 03:00.
        let hourly = next("0 * * * *", "2026-10-24T23:30:00Z", &zone);
        assert_eq!(hourly, ["10-25 02:00:00", "10-25 02:00:00", "10-25 03:00:00"]);
    }

    #[test]
    fn what_is_no_line_or_never_comes_is_refused() {
        for line in [
            "",
            "* * * *",
            "60 * * * *",
            "* * * * * * 2030",
            "@often",
            "a b c d e",
            "* 25 * * *",
        ] {
            let error = CronLine::parse(line).unwrap_err();
            assert!(error.starts_with(&format!("`{line}` is not a cron line (")), "{error}");
            assert!(error.ends_with("or `@daily`"), "{error}");
        }
        let never = CronLine::parse("0 0 30 2 *").unwrap_err();
        assert!(
            never.starts_with("`0 0 30 2 *` names a date that never comes"),
            "{never}"
        );
    }

    proptest! {
        #[test]
        fn reading_never_panics(text: String, near in "[@*/,0-9LW#? A-Z-]{0,24}") {
            for text in [text, near] {
                if let Ok(line) = CronLine::parse(&text) {
                    prop_assert_eq!(CronLine::parse(&line.to_string()), Ok(line));
                }
            }
        }
    }
}
