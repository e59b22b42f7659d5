//! The stamp that begins each line of a log: the usual one, one of the user's own (`log_date_format`), or none.
//!
//! Writes stamps and reads them back, the user's own in a given time zone. Pure: it reads no clock. A format of the user's own is
//! accepted only where every stamp it makes can be told from the text after it; whether it also says when a line was written
//! (`%A` alone does not) decides how exactly its lines stand between those of other logs.

use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::line;

/// The stamp of the lines of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stamp {
    /// RFC 3339 in UTC with microseconds.
    #[default]
    Usual,
    /// In a format of the user's own.
    Own(Own),
    /// Lines are the service's bytes alone.
    None,
}

/// A format of the user's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    format: String,
    zone: TimeZone,
    /// A stamp says when it was made, to the hour at least.
    dated: bool,
}

/// What is known of a line's time before its stamp is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Near {
    /// The time of the line before it in the file.
    pub after: Timestamp,
    /// When the file was last written: no line of it is later.
    pub before: Timestamp,
}

impl Near {
    /// Nothing but the time of the file is known.
    pub fn to(moment: Timestamp) -> Near {
        Near {
            after: moment,
            before: moment,
        }
    }
}

/// Moments whose stamps show what a format can do: one and two digits, before and after noon, the ends of a year.
const SAMPLES: [i64; 4] = [
    1_767_322_985_000_007,
    1_795_478_400_000_000,
    1_798_761_599_999_999,
    1_780_315_200_500_000,
];

/// How far a clock may be ahead of the file's time, whose own clock ticks less often.
const SLACK: SignedDuration = SignedDuration::from_secs(1);

impl Stamp {
    /// The stamp that `log_date_format` asks for, none where it is not set; the user's own stands in `zone`.
    ///
    /// # Errors
    /// When it is no strftime format, or what it writes cannot be read back.
    pub fn new(format: Option<&str>, zone: TimeZone) -> Result<Stamp, String> {
        let Some(format) = format else { return Ok(Stamp::Usual) };
        if format.is_empty() {
            return Ok(Stamp::None);
        }
        if format.trim() != format {
            return Err(format!(
                "`{format}` begins or ends with white space; remove it, a space follows each stamp"
            ));
        }
        if !format.replace("%%", "").contains('%') {
            return Err(format!(
                "`{format}` says nothing of the time; write a strftime format such as `%Y-%m-%d %H:%M:%S`"
            ));
        }
        let wrong = |error: jiff::Error| format!("`{format}` is not a strftime format: {error}");
        let mut own = Own {
            format: format.to_owned(),
            zone,
            dated: true,
        };
        for sample in SAMPLES {
            let at = Timestamp::from_microsecond(sample).map_err(wrong)?;
            let stamp = own.write(at).map_err(wrong)?;
            if stamp.contains('\n') {
                return Err(format!("`{format}` makes more than one line"));
            }
            let stamped = format!("{stamp} 12 :.+x");
            let read = own.read(stamped.as_bytes());
            let Some((time, b"12 :.+x")) = read else {
                let hint = if format.contains("%Z") { "; write %z for %Z" } else { "" };
                return Err(format!(
                    "`{format}` writes what cannot be read back, such as `{stamp}`{hint}"
                ));
            };
            let near = Near::to(at);
            let back = own.instant(&time, near);
            own.dated &= back.is_some_and(|back| (0..3600).contains(&at.duration_since(back).as_secs()));
        }
        Ok(Stamp::Own(own))
    }

    /// What stands before a line read at `at`: the stamp and a space, or nothing.
    pub fn prefix(&self, at: Timestamp) -> Vec<u8> {
        match self {
            Stamp::Usual => line::prefix(at).to_vec(),
            // That it writes was proven.
            Stamp::Own(own) => own.write(at).map(|text| text + " ").unwrap_or_default().into_bytes(),
            Stamp::None => Vec::new(),
        }
    }

    /// When a line of a file (without its newline) was written, where its stamp says so, and its text. A line with another stamp
    /// than its log's has the usual one, from before the format was changed, or none.
    pub fn split<'l>(&self, line: &'l [u8], near: Near) -> (Option<Timestamp>, &'l [u8]) {
        let own = match self {
            Stamp::None => return (None, line),
            Stamp::Own(own) => own.read(line).map(|(time, text)| {
                let at = own.dated.then(|| own.instant(&time, near)).flatten();
                (at, text)
            }),
            Stamp::Usual => None,
        };
        own.or_else(|| line::split_stamp(line).map(|(at, text)| (Some(at), text)))
            .unwrap_or((None, line))
    }

    /// Whether its lines say when they were written; else all of a file count as of the time it was last written.
    pub fn is_dated(&self) -> bool {
        match self {
            Stamp::Usual => true,
            Stamp::Own(own) => own.dated,
            Stamp::None => false,
        }
    }

    /// How far the stamps of a file's lines may go back although each was written after the one before: local time does so for an hour
    /// in a year.
    pub fn disorder(&self) -> SignedDuration {
        match self {
            Stamp::Usual | Stamp::None => SignedDuration::ZERO,
            Stamp::Own(_) => SignedDuration::from_hours(3),
        }
    }
}

impl Own {
    fn write(&self, at: Timestamp) -> Result<String, jiff::Error> {
        BrokenDownTime::from(&at.to_zoned(self.zone.clone())).to_string(&self.format)
    }

    /// The time in a line's stamp, and its text.
    fn read<'l>(&self, line: &'l [u8]) -> Option<(BrokenDownTime, &'l [u8])> {
        let (time, length) = BrokenDownTime::parse_prefix(&self.format, line).ok()?;
        Some((time, line.get(length..)?.strip_prefix(b" ")?))
    }

    /// The moment that a stamp means. What it leaves out (zone, date, year) is the latest that is not after the file.
    fn instant(&self, time: &BrokenDownTime, near: Near) -> Option<Timestamp> {
        if let Ok(at) = time.to_timestamp() {
            return Some(at);
        }
        time.hour()?;
        let clock = time.to_time().ok()?;
        if let Ok(date) = time.to_date() {
            return self.local(date.to_datetime(clock), near);
        }
        let latest = near.before.checked_add(SLACK).ok()?;
        let today = latest.to_zoned(self.zone.clone()).date();
        let dates = match (time.month(), time.day()) {
            (Some(month), Some(day)) => [0, 1].map(|back| {
                today
                    .with()
                    .year(today.year() - back)
                    .month(month)
                    .day(day)
                    .build()
                    .ok()
            }),
            (None, None) if time.weekday().is_none() => [Some(today), today.yesterday().ok()],
            (Some(_) | None, Some(_) | None) => return None,
        };
        let moments = dates
            .into_iter()
            .flatten()
            .filter_map(|date| self.local(date.to_datetime(clock), near));
        moments.into_iter().find(|at| *at <= latest)
    }

    /// A local time; one that the clock showed twice is the second where the file has come that far.
    fn local(&self, time: DateTime, near: Near) -> Option<Timestamp> {
        let both = self.zone.to_ambiguous_timestamp(time);
        let (first, second) = (both.earlier().ok()?, both.later().ok()?);
        Some(if first < near.after && second <= near.before {
            second
        } else {
            first
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn zone() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn own(format: &str) -> Stamp {
        Stamp::new(Some(format), zone()).unwrap()
    }

    #[test]
    fn no_format_is_the_usual_stamp_and_an_empty_one_is_none() {
        let now = at("2026-11-23T09:15:02.123456Z");
        assert_eq!(
            Stamp::new(None, zone()).unwrap().prefix(now),
            b"2026-11-23T09:15:02.123456Z "
        );
        let none = Stamp::new(Some(""), zone()).unwrap();
        assert_eq!(none.prefix(now), b"");
        assert_eq!(
            none.split(b"2026-11-23T09:15:02.123456Z x", Near::to(now)),
            (None, &b"2026-11-23T09:15:02.123456Z x"[..])
        );
    }

    #[test]
    fn a_stamp_of_the_users_own_reads_back_to_what_it_says() {
        let now = at("2026-11-23T09:05:02.123456Z");
        for (format, stamp, back) in [
            (
                "%Y-%m-%d %H:%M:%S%.6f",
                "2026-11-23 10:05:02.123456",
                Some("2026-11-23T09:05:02.123456Z"),
            ),
            (
                "%Y-%m-%dT%H:%M:%S%z",
                "2026-11-23T10:05:02+0100",
                Some("2026-11-23T09:05:02Z"),
            ),
            ("[%H:%M:%S%.3f]", "[10:05:02.123]", Some("2026-11-23T09:05:02.123Z")),
            ("%b %e %H:%M:%S", "Nov 23 10:05:02", Some("2026-11-23T09:05:02Z")),
            ("%I:%M %p", "10:05 AM", Some("2026-11-23T09:05:00Z")),
            ("%s", "1795424702", Some("2026-11-23T09:05:02Z")),
            ("%I:%M", "10:05", None),
            ("%Y-%m-%d", "2026-11-23", None),
            ("%A", "Monday", None),
        ] {
            let own = own(format);
            let line = [&own.prefix(now)[..], b" \xff text "].concat();
            assert_eq!(line, [stamp.as_bytes(), b"  \xff text "].concat(), "{format}");
            assert_eq!(
                own.split(&line, Near::to(now)),
                (back.map(at), &b" \xff text "[..]),
                "{format}"
            );
            assert_eq!(own.is_dated(), back.is_some(), "{format}");
        }
    }

    #[test]
    fn a_time_of_day_is_that_of_the_last_day_it_can_be() {
        let near = Near::to(at("2026-01-01T00:30:00Z"));
        assert_eq!(own("%H:%M").split(b"01:29 x", near).0, Some(at("2026-01-01T00:29:00Z")));
        assert_eq!(own("%H:%M").split(b"23:59 x", near).0, Some(at("2025-12-31T22:59:00Z")));
        assert_eq!(
            own("%b %d %H:%M").split(b"Dec 31 23:59 x", near).0,
            Some(at("2025-12-31T22:59:00Z"))
        );
    }

    #[test]
    fn an_hour_that_comes_twice_goes_on_after_the_line_before() {
        let (first, second) = (at("2026-10-25T00:30:00Z"), at("2026-10-25T01:30:00Z"));
        let own = own("%Y-%m-%d %H:%M");
        let read = |after| {
            own.split(
                b"2026-10-25 02:30 x",
                Near {
                    after,
                    before: at("2026-10-26T00:00:00Z"),
                },
            )
            .0
        };
        assert_eq!(read(at("2026-10-25T00:10:00Z")), Some(first));
        assert_eq!(read(at("2026-10-25T01:10:00Z")), Some(second));
    }

    #[test]
    fn what_cannot_be_read_back_is_refused() {
        for (format, said) in [
            ("%!", "not a strftime format"),
            ("YYYY-MM-DD HH:mm:ss", "says nothing of the time"),
            ("100%%", "says nothing of the time"),
            ("%H:%M %Z", "write %z for %Z"),
            ("%Y ", "begins or ends with white space"),
            ("%H%n%M", "more than one line"),
            ("%", "not a strftime format"),
        ] {
            let error = Stamp::new(Some(format), zone()).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_line_from_before_the_format_was_changed_keeps_its_usual_stamp() {
        let own = own("%H:%M");
        let then = at("2026-11-23T09:15:02.123456Z");
        assert_eq!(
            own.split(b"2026-11-23T09:15:02.123456Z old", Near::to(then)),
            (Some(then), &b"old"[..])
        );
        assert_eq!(own.split(b"no stamp", Near::to(then)), (None, &b"no stamp"[..]));
    }

    /// The first microsecond that a year of two digits (`%y`, `%D`) does not mean, a day early for the zone: 69 is 1969 (POSIX).
    const TWO_DIGITS_END: i64 = 3_124_137_600_000_000;

    proptest! {
        #[test]
        fn reading_a_stamp_never_fails_on_strange_bytes(
            bytes in prop::collection::vec(any::<u8>(), 0..40),
            text in "[0-9:. a-zA-Z+-]{0,30}",
            seconds in 0_i64..4_000_000_000,
        ) {
            let near = Near::to(Timestamp::from_second(seconds).unwrap());
            for format in ["%Y-%m-%d %H:%M:%S", "%H:%M:%S%.f", "%b %d %H:%M", "%s", "%d %H:%M"] {
                for line in [&bytes[..], text.as_bytes()] {
                    let _ = own(format).split(line, near);
                }
            }
        }

        #[test]
        fn a_format_is_refused_or_its_lines_come_back(format in "%[a-zA-Z](%\\.[36]?f)?([ :T-]%[a-zA-Z](%\\.[36]?f)?){0,5}", text in "[0-9a-z :.+-]{0,12}", micros in 0..TWO_DIGITS_END) {
            let Ok(stamp) = Stamp::new(Some(&format), zone()) else { return Ok(()) };
            let at = Timestamp::from_microsecond(micros).unwrap();
            let mut line = stamp.prefix(at);
            line.extend_from_slice(text.as_bytes());
            let (back, rest) = stamp.split(&line, Near::to(at));
            prop_assert_eq!(rest, text.as_bytes(), "{:?}", String::from_utf8_lossy(&line));
            if let Some(back) = back {
                prop_assert!((0..2 * 3600).contains(&at.duration_since(back).as_secs()), "{format} {at} {back}");
            }
        }
    }
}
