//! One line of a log file and its text: `<stamp> <bytes>\n`, the stamp in RFC 3339 UTC with microseconds.
//!
//! Turns stamps into text and back, puts stamps before the lines of a chunk, and splits lines that are too long. Pure: it reads
//! no file and no clock, and it never looks into a line's bytes except for the newline.

pub use loglines::{CONTINUES, MAX_LINE, payload, stamp_lines};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// Bytes of a stamp: `2026-11-23T09:15:02.123456Z`.
pub const STAMP_LEN: usize = 27;
/// Bytes before a line's own: the stamp and a space.
pub const PREFIX_LEN: usize = STAMP_LEN + 1;
/// A stamp and the space after it, as they stand before a line.
pub type Prefix = [u8; PREFIX_LEN];

/// The prefix of lines read at `at`; years outside 0–9999 are clamped, as the form has four digits.
pub fn prefix(at: Timestamp) -> Prefix {
    let time = Offset::UTC.to_datetime(at);
    let mut text = *b"0000-00-00T00:00:00.000000Z ";
    digits(&mut text[0..4], i64::from(time.year()).max(0));
    digits(&mut text[5..7], i64::from(time.month()));
    digits(&mut text[8..10], i64::from(time.day()));
    digits(&mut text[11..13], i64::from(time.hour()));
    digits(&mut text[14..16], i64::from(time.minute()));
    digits(&mut text[17..19], i64::from(time.second()));
    digits(&mut text[20..26], i64::from(time.subsec_nanosecond() / 1000));
    text
}

fn digits(into: &mut [u8], mut value: i64) {
    for digit in into.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
}

/// The time in `text`, which must be exactly a stamp.
pub fn parse_stamp(text: &[u8]) -> Option<Timestamp> {
    let form = b"dddd-dd-ddTdd:dd:dd.ddddddZ";
    if text.len() != STAMP_LEN
        || !text.iter().zip(form).all(|(&byte, &form)| {
            if form == b'd' {
                byte.is_ascii_digit()
            } else {
                byte == form
            }
        })
    {
        return None;
    }
    let small = |at: usize| i8::try_from(number(&text[at..at + 2])).ok();
    let year = i16::try_from(number(&text[0..4])).ok()?;
    let nanoseconds = number(&text[20..26]) * 1000;
    let time = DateTime::new(
        year,
        small(5)?,
        small(8)?,
        small(11)?,
        small(14)?,
        small(17)?,
        nanoseconds,
    )
    .ok()?;
    Offset::UTC.to_timestamp(time).ok()
}

fn number(digits: &[u8]) -> i32 {
    digits
        .iter()
        .fold(0, |value, digit| value * 10 + i32::from(digit - b'0'))
}

/// The stamp and the text of a line of a file (without its newline); none when it does not begin with a stamp.
pub fn split_stamp(line: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (stamp, rest) = line.split_at_checked(STAMP_LEN)?;
    let text = rest.strip_prefix(b" ")?;
    Some((parse_stamp(stamp)?, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// What a whole file says: the text of its lines, continued pieces joined.
    fn text_of(file: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        for line in file.split_inclusive(|&byte| byte == b'\n') {
            let (_, body) = split_stamp(line).expect("every line is stamped");
            match body.strip_suffix(b"\n").and_then(|body| body.strip_suffix(CONTINUES)) {
                Some(piece) => text.extend_from_slice(piece),
                None => text.extend_from_slice(body),
            }
        }
        text
    }

    #[test]
    fn a_stamp_has_the_form_the_contract_names() {
        assert_eq!(
            &prefix(at("2026-11-23T09:15:02.123456Z")),
            b"2026-11-23T09:15:02.123456Z "
        );
        assert_eq!(
            &prefix(at("2026-01-02T00:00:00.000007Z")),
            b"2026-01-02T00:00:00.000007Z "
        );
    }

    #[test]
    fn what_only_looks_like_a_stamp_is_none() {
        for text in [
            "2026-13-23T09:15:02.123456Z",
            "2026-11-23 09:15:02.123456Z",
            "2026-11-23T09:15:02.12345Z",
            "",
        ] {
            assert_eq!(parse_stamp(text.as_bytes()), None, "{text}");
        }
        assert_eq!(split_stamp(b"2026-11-23T09:15:02.123456Zx"), None);
        assert_eq!(
            split_stamp(b"2026-11-23T09:15:02.123456Z "),
            Some((at("2026-11-23T09:15:02.123456Z"), &b""[..]))
        );
    }

    #[test]
    fn a_line_of_exactly_the_limit_stays_whole_and_one_more_byte_splits_it() {
        let stamp = prefix(at("2026-11-23T09:15:02Z"));
        for (length, lines) in [
            (MAX_LINE, 1),
            (MAX_LINE + 1, 2),
            (3 * MAX_LINE, 3),
            (3 * MAX_LINE + 1, 4),
        ] {
            let mut chunk = vec![b'x'; length];
            chunk.push(b'\n');
            let (mut out, mut open) = (Vec::new(), None);
            assert_eq!(
                stamp_lines(&chunk, &stamp, &mut open, &mut out, usize::MAX),
                chunk.len()
            );
            assert_eq!(memchr::memchr_iter(b'\n', &out).count(), lines, "{length}");
            assert_eq!(text_of(&out), chunk);
        }
    }

    #[test]
    fn a_long_line_is_not_split_within_a_character() {
        let stamp = prefix(at("2026-11-23T09:15:02Z"));
        let chunk = "€".repeat(MAX_LINE).into_bytes();
        let (mut out, mut open) = (Vec::new(), None);
        stamp_lines(&chunk, &stamp, &mut open, &mut out, usize::MAX);
        assert!(std::str::from_utf8(&out).is_ok());
        assert_eq!(text_of(&out), chunk);
    }

    proptest! {
        #[test]
        fn a_stamp_reads_back_to_the_microsecond(micros in 0_i64..253_402_207_200_000_000) {
            let stamp = Timestamp::from_microsecond(micros).unwrap();
            prop_assert_eq!(parse_stamp(&prefix(stamp)[..STAMP_LEN]), Some(stamp));
        }

        #[test]
        fn reading_a_stamp_never_fails_on_strange_bytes(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = split_stamp(&bytes);
        }

        #[test]
        fn the_chunks_a_text_arrives_in_do_not_show(
            text in prop::collection::vec(prop_oneof![3 => any::<u8>(), 1 => Just(b'\n')], 0..400),
            cuts in prop::collection::vec(1_usize..50, 1..20),
            limit in 1_usize..300,
        ) {
            let stamp = prefix(at("2026-11-23T09:15:02Z"));
            let (mut whole, mut open) = (Vec::new(), None);
            stamp_lines(&text, &stamp, &mut open, &mut whole, usize::MAX);
            let (mut file, mut rest, mut cut) = (Vec::new(), &text[..], cuts.iter().cycle());
            let mut open = None;
            while !rest.is_empty() {
                let (mut chunk, after) = rest.split_at(rest.len().min(*cut.next().unwrap()));
                rest = after;
                while !chunk.is_empty() {
                    let mut out = Vec::new();
                    let used = stamp_lines(chunk, &stamp, &mut open, &mut out, limit);
                    chunk = &chunk[used..];
                    file.extend_from_slice(&out);
                }
            }
            prop_assert_eq!(&file, &whole);
            prop_assert_eq!(text_of(&file), text);
        }

        #[test]
        fn the_bytes_of_a_cut_write_are_counted_without_stamps(
            text in prop::collection::vec(prop_oneof![3 => any::<u8>(), 1 => Just(b'\n')], 1..200),
            held in prop::option::of(0_usize..10),
            from in any::<prop::sample::Index>(),
        ) {
            let stamp = prefix(at("2026-11-23T09:15:02Z"));
            let (mut out, mut open) = (Vec::new(), held);
            stamp_lines(&text, &stamp, &mut open, &mut out, usize::MAX);
            prop_assert_eq!(payload(&out, 0, PREFIX_LEN, held.is_some()), text.len());
            let from = from.index(out.len() + 1);
            let mut own = 0;
            for (number, line) in out[..from].split_inclusive(|&byte| byte == b'\n').enumerate() {
                own += if number == 0 && held.is_some() { line.len() } else { line.len().saturating_sub(PREFIX_LEN) };
            }
            prop_assert_eq!(payload(&out, from, PREFIX_LEN, held.is_some()), text.len() - own);
        }
    }
}
