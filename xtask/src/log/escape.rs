//! Escape sequences in what services write: how long they are, and text without them.

use std::borrow::Cow;

const ESCAPE: u8 = 0x1b;

/// How long the escape sequence is that `text` begins with; what is not finished reaches to the end.
pub fn length(text: &[u8]) -> usize {
    let end = match text.get(1) {
        Some(b'[') => text
            .iter()
            .skip(2)
            .position(|byte| (0x40..=0x7e).contains(byte))
            .map(|at| at + 3),
        // Titles, links and the like end with BEL or `ESC \`.
        Some(b']' | b'P' | b'_' | b'^' | b'X') => (2..text.len()).find_map(|at| match text[at] {
            0x07 => Some(at + 1),
            ESCAPE if text.get(at + 1) == Some(&b'\\') => Some(at + 2),
            _ => None,
        }),
        Some(b'(' | b')' | b'#' | b'%') => Some(3),
        Some(_) => Some(2),
        None => Some(1),
    };
    end.unwrap_or(text.len()).min(text.len())
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

    proptest! {
        #[test]
        fn no_escape_is_left_of_any_bytes(text in prop::collection::vec(prop_oneof![3 => any::<u8>(), 1 => Just(ESCAPE)], 0..60)) {
            prop_assert!(!strip(&text).contains(&ESCAPE));
        }
    }
}
