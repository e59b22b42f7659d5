//! Points in time as users write them: a duration ago, a time of day, or RFC 3339. Pure.

use std::time::Duration;

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::config::units::parse_duration;

/// A point in time as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// So long before now.
    Ago(Duration),
    /// The last time the clock showed this.
    Clock(Time),
    /// A day and a time where the user is.
    Local(DateTime),
    /// Anywhere.
    At(Timestamp),
}

impl Moment {
    /// Reads `5m`, `10:30`, `10:30:15`, `2026-11-23T10:30:15Z` (or with an offset), `2026-11-23 10:30`.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(text: &str) -> Result<Moment, String> {
        if let Ok(ago) = parse_duration(text) {
            return Ok(Moment::Ago(ago));
        }
        if let Ok(at) = text.parse() {
            return Ok(Moment::At(at));
        }
        // A date alone would read as its midnight, and `10` as ten o'clock: both too easily meant otherwise.
        if text.contains(':') {
            // A time is also read out of a date and a time: so those first.
            if let Ok(local) = text.parse() {
                return Ok(Moment::Local(local));
            }
            if let Ok(clock) = text.parse() {
                return Ok(Moment::Clock(clock));
            }
        }
        Err("write `5m` (ago), `10:30`, `10:30:15`, `2026-11-23 10:30` or `2026-11-23T10:30:15Z`".to_owned())
    }

    /// The moment itself, for somebody in `zone` at `now`; what is out of range is the first there is.
    pub fn resolve(self, now: Timestamp, zone: &TimeZone) -> Timestamp {
        let at = match self {
            Moment::Ago(ago) => SignedDuration::try_from(ago).and_then(|ago| now.checked_sub(ago)),
            Moment::At(at) => Ok(at),
            Moment::Local(local) => zone.to_timestamp(local),
            Moment::Clock(clock) => {
                let today = now.to_zoned(zone.clone()).date();
                let on = |date: jiff::civil::Date| zone.to_timestamp(date.to_datetime(clock));
                match on(today) {
                    Ok(at) if at > now => today.yesterday().and_then(on),
                    other => other,
                }
            }
        };
        at.unwrap_or(Timestamp::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn resolved(text: &str) -> Option<String> {
        let now = "2026-11-23T09:15:00Z".parse().unwrap();
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        Moment::parse(text)
            .ok()
            .map(|moment| moment.resolve(now, &zone).to_string())
    }

    #[test]
    fn a_moment_is_a_duration_ago_a_time_of_day_or_rfc_3339() {
        for (text, expected) in [
            ("5m", "2026-11-23T09:10:00Z"),
            ("1h30m", "2026-11-23T07:45:00Z"),
            ("500", "2026-11-23T09:14:59.5Z"),
            ("10:14", "2026-11-23T09:14:00Z"),
            ("10:15:00", "2026-11-23T09:15:00Z"),
            ("10:14:59.25", "2026-11-23T09:14:59.25Z"),
            ("10:16", "2026-11-22T09:16:00Z"),
            ("23:59", "2026-11-22T22:59:00Z"),
            ("2026-11-23T10:30:15Z", "2026-11-23T10:30:15Z"),
            ("2026-11-23T10:30:15+01:00", "2026-11-23T09:30:15Z"),
            ("2026-11-23T10:30:15", "2026-11-23T09:30:15Z"),
            ("2026-07-01 10:30", "2026-07-01T08:30:00Z"),
            ("36500d", "1926-12-18T09:15:00Z"),
        ] {
            assert_eq!(resolved(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "yesterday",
            "10",
            "25:00",
            "2026-11-23",
            "-5m",
            "5 m",
            "10:30:15:00",
        ] {
            assert_eq!(
                resolved(text).as_deref(),
                (text == "10").then_some("2026-11-23T09:14:59.99Z"),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange_and_no_moment_too_far(text in "[0-9:TZ+. hms-]{0,24}", seconds in -300_000_000_000_i64..250_000_000_000) {
            let now = Timestamp::from_second(seconds).unwrap_or(Timestamp::MIN);
            if let Ok(moment) = Moment::parse(&text) {
                moment.resolve(now, &TimeZone::UTC);
            }
        }
    }
}
