//! The names of rotated files and which of them go.
//!
//! A rotated file stands beside its log under the log's name with the time of the rotation in it: `web-out.log` becomes
//! `web-out.20261123T091502.123456Z.log`, and later `….log.gz`; a log without `.log` gets the stamp at its end. Names are compared
//! exactly, never by prefix: `web-out.log` and `web-out-out.log` belong to two services. Pure: it touches no file.

use jiff::{Timestamp, ToSpan};

use super::line;

/// Bytes of the stamp within a name: `20261123T091502.123456Z`.
const NAME_STAMP_LEN: usize = 23;

/// `at` as it stands in a rotated file's name.
pub fn name_stamp(at: Timestamp) -> String {
    let kept = |byte: &u8| !matches!(byte, b'-' | b':' | b' ');
    line::prefix(at)
        .iter()
        .filter(|byte| kept(byte))
        .map(|&byte| char::from(byte))
        .collect()
}

/// The time in `text`, which must be exactly what [`name_stamp`] writes.
pub fn parse_name_stamp(text: &str) -> Option<Timestamp> {
    if text.len() != NAME_STAMP_LEN || !text.is_ascii() {
        return None;
    }
    let (year, month, day) = (&text[0..4], &text[4..6], &text[6..8]);
    let (hour, minute, rest) = (&text[9..11], &text[11..13], &text[13..]);
    let stamp = format!("{year}-{month}-{day}{}{hour}:{minute}:{rest}", &text[8..9]);
    line::parse_stamp(stamp.as_bytes())
}

/// The name of `log` (a file name) once it was rotated at `at`; `.gz` comes after it when it is compressed.
pub fn rotated_name(log: &str, at: Timestamp) -> String {
    let (base, extension) = split_extension(log);
    format!("{base}.{}{extension}", name_stamp(at))
}

/// When `name` was rotated away from `log` (both file names) and whether it is compressed; none when it is any other file.
pub fn parse_rotated(log: &str, name: &str) -> Option<(Timestamp, bool)> {
    let (plain, compressed) = match name.strip_suffix(".gz") {
        Some(plain) => (plain, true),
        None => (name, false),
    };
    let (base, extension) = split_extension(log);
    let stamp = plain.strip_prefix(base)?.strip_prefix('.')?.strip_suffix(extension)?;
    Some((parse_name_stamp(stamp)?, compressed))
}

/// What the names of all files begin with that were rotated away from `log` (a file name).
pub fn rotated_start(log: &str) -> String {
    format!("{}.", split_extension(log).0)
}

fn split_extension(log: &str) -> (&str, &str) {
    match log.strip_suffix(".log") {
        Some(base) => (base, ".log"),
        None => (log, ""),
    }
}

/// The stamp of a rotation at `now`: later than `newest`, so that the order of the names is the order of the files also when
/// the clock was set back or two rotations fall into one microsecond.
pub fn next_stamp(now: Timestamp, newest: Option<Timestamp>) -> Timestamp {
    match newest.and_then(|newest| newest.checked_add(1.microsecond()).ok()) {
        Some(next) if next > now => next,
        Some(_) | None => now,
    }
}

/// How many of `count` rotated files, counted from the oldest, must go for `retain` to stay.
pub fn surplus(count: usize, retain: u32) -> usize {
    count.saturating_sub(usize::try_from(retain).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_rotated_log_is_named_as_the_contract_says_and_reads_back() {
        let stamp = at("2026-11-23T09:15:02.123456Z");
        let name = rotated_name("web-out.log", stamp);
        assert_eq!(name, "web-out.20261123T091502.123456Z.log");
        assert_eq!(parse_rotated("web-out.log", &name), Some((stamp, false)));
        assert_eq!(parse_rotated("web-out.log", &format!("{name}.gz")), Some((stamp, true)));
    }

    #[test]
    fn the_files_of_another_log_are_never_taken() {
        let stamp = at("2026-11-23T09:15:02.123456Z");
        for other in [
            "web-out-out.log",
            "web-error.log",
            "web-out",
            "web.log",
            "out.log",
            "web-out.x.log",
        ] {
            let name = rotated_name(other, stamp);
            assert_eq!(parse_rotated("web-out.log", &name), None, "{name}");
        }
        for name in [
            "web-out.log",
            "web-out.log.gz",
            "web-out..log",
            "web-out.20261123T091502.123456Z.log.gz.tmp",
        ] {
            assert_eq!(parse_rotated("web-out.log", name), None, "{name}");
        }
        assert_eq!(parse_rotated("web-out.log", "web-out.2026112€091502.12345Z.log"), None);
    }

    #[test]
    fn a_log_without_the_extension_gets_the_stamp_at_its_end() {
        let stamp = at("2026-11-23T09:15:02.123456Z");
        let name = rotated_name("web.txt", stamp);
        assert_eq!(name, "web.txt.20261123T091502.123456Z");
        assert_eq!(parse_rotated("web.txt", &name), Some((stamp, false)));
    }

    #[test]
    fn rotation_stamps_only_grow() {
        let newest = at("2026-11-23T09:15:02.123456Z");
        assert_eq!(next_stamp(newest, Some(newest)), at("2026-11-23T09:15:02.123457Z"));
        assert_eq!(
            next_stamp(at("2020-01-01T00:00:00Z"), Some(newest)),
            at("2026-11-23T09:15:02.123457Z")
        );
        assert_eq!(
            next_stamp(at("2027-01-01T00:00:00Z"), Some(newest)),
            at("2027-01-01T00:00:00Z")
        );
        assert_eq!(next_stamp(newest, None), newest);
    }

    #[test]
    fn only_what_is_beyond_retain_goes() {
        assert_eq!(surplus(7, 7), 0);
        assert_eq!(surplus(9, 7), 2);
        assert_eq!(surplus(3, 0), 3);
    }
}
