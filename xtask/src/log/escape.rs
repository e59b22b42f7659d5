//! Escape sequences in what services write: how long they are, and text without them.

use std::borrow::Cow;
use std::ops::RangeInclusive;

const ESCAPE: u8 = 0x1b;

/// How long the escape sequence is that `text` begins with (ECMA-48 and ECMA-35); what is not finished reaches to the end, and an
/// escape that begins none is one alone: what follows it is text, of which a character may have several bytes.
pub fn length(text: &[u8]) -> usize {
    match text.get(1) {
        Some(0x20..=0x2f) => with_final(text, 1, 0x20..=0x2f, 0x30..=0x7e),
        Some(letter @ 0x30..=0x7e) => length_by(*letter, text),
        Some(_) | None => 1,
    }
}

/// The same for one of the control characters U+0080 to U+009F, which stand for an escape and a letter.
pub fn length_of_c1(text: &[u8]) -> usize {
    let letter = text.get(1).map_or(0, |byte| byte.wrapping_sub(0x40));
    length_by(letter, text).min(text.len())
}

/// The same of a sequence whose first two bytes stand for an escape and this letter.
fn length_by(letter: u8, text: &[u8]) -> usize {
    match letter {
        b'[' => with_final(text, 2, 0x20..=0x3f, 0x40..=0x7e),
        // Titles, links and the like end with BEL or `ESC \`.
        b']' | b'P' | b'_' | b'^' | b'X' => (2..text.len())
            .find_map(|at| match text[at] {
                0x07 => Some(at + 1),
                ESCAPE if text.get(at + 1) == Some(&b'\\') => Some(at + 2),
                _ => None,
            })
            .unwrap_or(text.len()),
        _ => 2,
    }
}

/// Up to the byte that ends a sequence, or to the first that cannot belong to one.
fn with_final(text: &[u8], from: usize, middle: RangeInclusive<u8>, last: RangeInclusive<u8>) -> usize {
    let end = from + text[from..].iter().take_while(|byte| middle.contains(byte)).count();
    end + usize::from(text.get(end).is_some_and(|byte| last.contains(byte)))
}

/// `text` without its escape sequences.
pub fn strip(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(ESCAPE, text).is_none() {
        return Cow::Borrowed(text);
    }
    let (mut plain, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some(at) = memchr::memchr(ESCAPE, rest) {
        plain.extend_from_slice(&rest[..at]);
        rest = &rest[at + length(&rest[at..])..];
    }
    plain.extend_from_slice(rest);
    Cow::Owned(plain)
}

/// What a program said, as it may stand in a message of ours: without escape sequences and control characters, which could do anything
/// to the terminal of whoever reads it; a tab is a space.
pub fn printable(text: &str) -> String {
    let plain = strip(text.as_bytes());
    let plain = String::from_utf8_lossy(&plain);
    let spaced = plain.chars().map(|letter| if letter == '\t' { ' ' } else { letter });
    spaced.filter(|letter| !letter.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn colours_titles_and_cut_off_codes_go_and_the_text_stays() {
        assert_eq!(
            strip(b"\x1b[1;31merror\x1b[0m: \x1b]0;title\x07ok\x1b(B \x1b[3").as_ref(),
            b"error: ok "
        );
        assert_eq!(strip(b"plain").as_ref(), b"plain");
    }

    #[test]
    fn what_only_follows_an_escape_is_text() {
        let text = "a\x1b\u{e9}b\x1b(\u{e9}c\x1b[1\u{e9}d\x1b";
        assert_eq!(strip(text.as_bytes()).as_ref(), "a\u{e9}b\u{e9}c\u{e9}d".as_bytes());
    }

    #[test]
    fn a_message_holds_nothing_that_acts_on_a_terminal() {
        let said = "\x1b[2J\x1b]0;title\x07\x1bcfailed:\tno\u{9b}1m such\r \u{e9}\u{7f}";
        assert_eq!(printable(said), "failed: no1m such \u{e9}");
    }

    proptest! {
        #[test]
        fn no_escape_is_left_of_any_bytes(text in prop::collection::vec(prop_oneof![3 => any::<u8>(), 1 => Just(ESCAPE)], 0..60)) {
            prop_assert!(!strip(&text).contains(&ESCAPE));
        }

        #[test]
        fn characters_stay_whole(text in "[a-z\u{e9}\u{20ac}\u{1b}\\[\\](#0-9;\u{7}]{0,20}") {
            prop_assert!(str::from_utf8(&strip(text.as_bytes())).is_ok());
        }
    }
}
