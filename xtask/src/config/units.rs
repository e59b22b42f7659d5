//! Durations and sizes: `1h30m`, `512M` and back.
//!
//! Exact integer arithmetic that refuses what does not fit; reads no clock and measures nothing.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_size(self.0))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::values::deserialize(deserializer)
    }
}

/// The longest duration that is accepted, 100 years: whatever is added to a clock stays far from overflow.
pub const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Nanoseconds of each unit of time, longest first.
const TIMES: [(&str, u128); 5] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", NANOS_PER_MILLI),
];
const NANOS_PER_MILLI: u128 = 1_000_000;

/// Bytes of each unit of size; each may also be written in lower case and with `B` or `iB` behind it.
const SIZES: [(&str, u128); 5] = [("B", 1), ("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30), ("T", 1 << 40)];

/// Reads `500ms`, `10s`, `1.5s`, `5m`, `1h30m`, `2d`, or a bare whole number of milliseconds.
///
/// # Errors
/// When it is not of this form, units do not go from long to short, or it is past [`LONGEST`].
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let malformed =
        || format!("`{text}` is not a duration; write `500ms`, `10s`, `5m`, `1h` or a number of milliseconds");
    let mut rest = text.trim();
    if !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return duration_from_millis(rest.parse().unwrap_or(u128::MAX));
    }
    let mut total: u128 = 0;
    let mut allowed = &TIMES[..];
    loop {
        let (number, after) = split_number(rest).ok_or_else(malformed)?;
        let (unit, after) = after.split_at(after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len()));
        let index = allowed
            .iter()
            .position(|(name, _)| *name == unit)
            .ok_or_else(malformed)?;
        total = total.saturating_add(number.times(allowed[index].1).ok_or_else(malformed)?);
        allowed = &allowed[index + 1..];
        if after.is_empty() {
            return duration_from_nanos(total);
        }
        rest = after;
    }
}

/// A duration of so many milliseconds.
///
/// # Errors
/// When it is past [`LONGEST`].
pub(super) fn duration_from_millis(millis: u128) -> Result<Duration, String> {
    duration_from_nanos(millis.saturating_mul(NANOS_PER_MILLI))
}

fn duration_from_nanos(nanos: u128) -> Result<Duration, String> {
    let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX);
    let below = u32::try_from(nanos % 1_000_000_000).unwrap_or(0);
    let duration = Duration::new(seconds, below);
    if duration > LONGEST {
        Err("the duration is longer than 100 years".to_owned())
    } else {
        Ok(duration)
    }
}

/// Reads `512M`, `10K`, `1.5G`, or a bare number of bytes; units are 1024-based.
///
/// # Errors
/// When it is not of this form, or more than `u64` holds.
pub fn parse_size(text: &str) -> Result<Size, String> {
    let malformed = || format!("`{text}` is not a size; write `512M`, `10K`, `1G` or a number of bytes");
    let (number, unit) = split_number(text.trim()).ok_or_else(malformed)?;
    let upper = unit.to_ascii_uppercase();
    let short = match upper.strip_suffix("IB").or_else(|| upper.strip_suffix('B')) {
        Some("") | None => upper.as_str(),
        Some(prefix) => prefix,
    };
    let name = if short.is_empty() { "B" } else { short };
    let (_, bytes) = SIZES.iter().find(|(known, _)| *known == name).ok_or_else(malformed)?;
    if *bytes == 1 && number.decimals > 0 {
        return Err(malformed());
    }
    let bytes = number.times(*bytes).ok_or_else(malformed)?;
    u64::try_from(bytes)
        .map(Size)
        .map_err(|_| format!("the size `{text}` is too large"))
}

/// A count of things as people write it: `1 run`, `2 runs`.
pub fn format_count<N: fmt::Display + PartialEq + From<u8>>(count: N, thing: &str) -> String {
    let plural = if count == N::from(1) { "" } else { "s" };
    format!("{count} {thing}{plural}")
}

/// The two longest units of a duration, rounded down: `5d3h`, `3h12m`, `2m`, `1m30s`, `45s`, `1.5s`, `850ms`, `0s`.
pub fn format_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let seconds = duration.as_secs();
    if duration.is_zero() {
        return "0s".to_owned();
    }
    if seconds == 0 {
        return format!("{millis}ms");
    }
    if seconds < 10 {
        return match millis % 1000 / 100 {
            0 => format!("{seconds}s"),
            tenth => format!("{seconds}.{tenth}s"),
        };
    }
    let pair = |long: u64, long_name: &str, short: u64, short_name: &str| match short {
        0 => format!("{long}{long_name}"),
        short => format!("{long}{long_name}{short}{short_name}"),
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3_600 => pair(minutes, "m", seconds % 60, "s"),
        3_600..86_400 => pair(hours, "h", minutes % 60, "m"),
        86_400.. => pair(hours / 24, "d", hours % 24, "h"),
    }
}

/// A size for people, 1024-based: `31.2M`, `1.5G`, `512K`, `100B`.
pub fn format_size(bytes: u64) -> String {
    let rounded =
        |unit: u64, decimals: u64| (u128::from(bytes) * u128::from(decimals) + u128::from(unit) / 2) / u128::from(unit);
    if bytes < 1 << 10 {
        return format!("{bytes}B");
    }
    let kilos = rounded(1 << 10, 1);
    if kilos < 1 << 10 {
        return format!("{kilos}K");
    }
    for (shift, name) in [(20, "M"), (30, "G")] {
        let tenths = rounded(1 << shift, 10);
        if tenths < 10 << 10 {
            return format!("{}.{}{name}", tenths / 10, tenths % 10);
        }
    }
    let tenths = rounded(1 << 40, 10);
    format!("{}.{}T", tenths / 10, tenths % 10)
}

/// A decimal number without rounding: `1.5` is 15 with one decimal.
struct Number {
    digits: u128,
    decimals: u32,
}

impl Number {
    /// The number times `unit`, rounded down; `None` when it does not fit.
    fn times(&self, unit: u128) -> Option<u128> {
        Some(self.digits.checked_mul(unit)? / 10u128.checked_pow(self.decimals)?)
    }
}

/// The number that begins `text`, and the rest. Nine decimals are enough for a nanosecond.
fn split_number(text: &str) -> Option<(Number, &str)> {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (whole, rest) = text.split_at(digits(text));
    if whole.is_empty() {
        return None;
    }
    let Some(behind) = rest.strip_prefix('.') else {
        return Some((
            Number {
                digits: whole.parse().ok()?,
                decimals: 0,
            },
            rest,
        ));
    };
    let (fraction, rest) = behind.split_at(digits(behind));
    if fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let decimals = u32::try_from(fraction.len()).ok()?;
    Some((
        Number {
            digits: format!("{whole}{fraction}").parse().ok()?,
            decimals,
        },
        rest,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read() {
        let table = [
            ("500ms", 500),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("2d", 172_800_000),
            ("1500", 1500),
            ("0", 0),
            ("0s", 0),
            ("1.5s", 1500),
            ("1h30m", 5_400_000),
            (" 1m5s ", 65_000),
            ("0.25h", 900_000),
        ];
        for (text, millis) in table {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_says_how_to_write_one() {
        for text in [
            "", " ", "s", "10 s", "10x", "-5s", "1.5", "1.s", ".5s", "1s1s", "30m1h", "10sec", "1e3s", "٣s", "0s0s",
        ] {
            let expected =
                format!("`{text}` is not a duration; write `500ms`, `10s`, `5m`, `1h` or a number of milliseconds");
            assert_eq!(parse_duration(text).unwrap_err(), expected);
        }
        for text in [
            "36501d",
            "99999999999999999999",
            "99999999999999999999d",
            &"9".repeat(80),
        ] {
            assert_eq!(
                parse_duration(text).unwrap_err(),
                "the duration is longer than 100 years",
                "{text}"
            );
        }
    }

    #[test]
    fn sizes_are_read() {
        let table = [
            ("512M", 512 << 20),
            ("10K", 10 << 10),
            ("1G", 1 << 30),
            ("1.5g", 3 << 29),
            ("100", 100),
            ("100B", 100),
            ("2MB", 2 << 20),
            ("2MiB", 2 << 20),
            ("0", 0),
            ("18446744073709551615", u64::MAX),
        ];
        for (text, bytes) in table {
            assert_eq!(parse_size(text), Ok(Size(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_says_how_to_write_one() {
        for text in ["", "M", "1 M", "-1", "1.5", "1.5B", "10X", "iB", "1i"] {
            let expected = format!("`{text}` is not a size; write `512M`, `10K`, `1G` or a number of bytes");
            assert_eq!(parse_size(text).unwrap_err(), expected);
        }
        assert_eq!(
            parse_size("99999999T").unwrap_err(),
            "the size `99999999T` is too large"
        );
        assert_eq!(
            parse_size("18446744073709551616").unwrap_err(),
            "the size `18446744073709551616` is too large"
        );
    }

    #[test]
    fn durations_are_written_with_their_two_longest_units() {
        let table = [
            (0, "0s"),
            (850, "850ms"),
            (1000, "1s"),
            (1590, "1.5s"),
            (45_900, "45s"),
            (120_000, "2m"),
            (90_000, "1m30s"),
            (3_900_000, "1h5m"),
            (11_520_000, "3h12m"),
            (432_000_000, "5d"),
            (442_800_000, "5d3h"),
        ];
        for (millis, text) in table {
            assert_eq!(format_duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn sizes_are_written_with_the_unit_that_fits() {
        let table = [
            (0, "0B"),
            (1023, "1023B"),
            (512 << 10, "512K"),
            (32_715_571, "31.2M"),
            (84 << 20, "84.0M"),
            (3 << 29, "1.5G"),
            ((1 << 20) - 1, "1.0M"),
            ((1 << 30) - 1, "1.0G"),
            ((1 << 40) - 1, "1.0T"),
            (u64::MAX, "16777216.0T"),
        ];
        for (bytes, text) in table {
            assert_eq!(format_size(bytes), text);
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(text: String, near in "[0-9.]{0,50}[a-zA-Z]{0,3}") {
            for text in [text, near] {
                let _ = parse_duration(&text);
                let _ = parse_size(&text);
            }
        }

        #[test]
        fn a_written_duration_reads_back_within_its_smallest_unit(millis in 0..=LONGEST.as_millis()) {
            let duration = duration_from_millis(millis).unwrap();
            let back = parse_duration(&format_duration(duration)).unwrap();
            prop_assert!(back <= duration);
            let error = duration.saturating_sub(back);
            prop_assert!(error < Duration::from_secs(3600) && error.as_millis() * 10 <= duration.as_millis().max(1));
            prop_assert_eq!(format_duration(back), format_duration(duration));
        }

        #[test]
        fn a_written_size_reads_back_within_its_rounding(bytes in 0..u64::MAX / 2) {
            let Size(back) = parse_size(&format_size(bytes)).unwrap();
            prop_assert!(back.abs_diff(bytes) <= (bytes / 20).max(512));
            prop_assert_eq!(format_size(back), format_size(bytes));
        }
    }
}
