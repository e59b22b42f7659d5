//! The supervisor's own log, `supervisor.log`: one line for each thing it did and why.
//!
//! `<stamp> [<service>] <text>`, or `<stamp> <text>` for the stack as a whole, where a text of several lines has `\n` for a line break
//! and `\\` for a backslash. It is written and rotated like any other log; this file only knows the form of its lines.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use super::writer::{LogConfig, LogFile};
use super::{Listings, Stamp};

/// Where the supervisor writes what it does.
pub struct EventLog {
    log: Arc<LogFile>,
    writer: u64,
}

impl EventLog {
    /// The log at `path`, which is made with its directory when it is missing, as long as there is `ground`. Never fails: what cannot
    /// be written is dropped and counted, as with every log.
    pub fn new(path: PathBuf, ground: Option<PathBuf>) -> EventLog {
        let log = LogFile::new(LogConfig {
            path: Some(path),
            max_size: 1024 * 1024,
            retain: 3,
            compress: true,
            stamp: Stamp::Usual,
            ground,
        });
        let writer = log.new_writer();
        EventLog { log, writer }
    }

    /// Opens it before there is an event.
    pub fn open(&self) {
        self.log.open(&mut Listings::default());
    }

    /// Writes that `text` happened at `at` to `service`, or to the stack.
    pub fn event(&self, at: Timestamp, service: Option<&str>, text: &str) {
        self.log.append(self.writer, event_line(service, text).as_bytes(), at);
    }
}

/// The bytes of an event's line after the stamp.
fn event_line(service: Option<&str>, text: &str) -> String {
    let text = encoded(text.trim_end());
    match service {
        Some(service) => format!("[{service}] {text}\n"),
        // An empty name keeps a text that begins with a bracket from looking like a service's.
        None if text.starts_with('[') => format!("[] {text}\n"),
        None => format!("{text}\n"),
    }
}

/// A text as one line: a line break becomes `\n`, and a backslash `\\`, so that no text of several lines is taken for another with
/// backslashes. Another control character becomes its code for good, so that it does nothing to a terminal.
fn encoded(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for letter in text.replace("\r\n", "\n").chars() {
        match letter {
            '\\' => line.push_str("\\\\"),
            '\n' | '\r' => line.push_str("\\n"),
            '\t' => line.push('\t'),
            _ if letter.is_control() => line.extend(letter.escape_unicode()),
            _ => line.push(letter),
        }
    }
    line
}

/// The text that was written as this line. An escape that is neither of ours stays as it is: the code of a control character, or what
/// an older version wrote, which left backslashes alone.
fn decoded(line: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\\', line).is_none() {
        return Cow::Borrowed(line);
    }
    let (mut text, mut rest) = (Vec::with_capacity(line.len()), line);
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (letter, length) = match rest.get(at + 1) {
            Some(b'n') => (b'\n', 2),
            Some(b'\\') => (b'\\', 2),
            Some(_) | None => (b'\\', 1),
        };
        text.extend_from_slice(&rest[..at]);
        text.push(letter);
        rest = &rest[at + length..];
    }
    text.extend_from_slice(rest);
    Cow::Owned(text)
}

/// The service (empty for the stack) and the text of an event's line after its stamp, with the line breaks it was written with.
pub(super) fn parse_event(line: &[u8]) -> (&str, Cow<'_, [u8]>) {
    let bracketed = line.strip_prefix(b"[").and_then(|rest| {
        let end = memchr::memchr(b']', rest)?;
        Some((str::from_utf8(&rest[..end]).ok()?, rest[end + 1..].strip_prefix(b" ")?))
    });
    let (service, text) = bracketed.unwrap_or(("", line));
    (service, decoded(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a reader is given of a line.
    fn read(line: &str) -> (&str, String) {
        let (name, text) = parse_event(line.strip_suffix('\n').unwrap().as_bytes());
        (name, String::from_utf8(text.into_owned()).unwrap())
    }

    #[test]
    fn an_event_is_one_line_and_reads_back() {
        for (service, text, line) in [
            (Some("web"), "exited with 1", "[web] exited with 1\n"),
            (None, "stack is up", "stack is up\n"),
            (None, "[odd] start", "[] [odd] start\n"),
            (
                Some("web"),
                "build failed:\n\n\tline two",
                "[web] build failed:\\n\\n\tline two\n",
            ),
            (Some("web"), r"C:\new\", "[web] C:\\\\new\\\\\n"),
        ] {
            assert_eq!(event_line(service, text), line);
            assert_eq!(read(line), (service.unwrap_or(""), text.to_owned()));
        }
    }

    #[test]
    fn line_breaks_of_any_kind_are_one_and_those_at_the_end_none() {
        let line = event_line(None, "one\r\ntwo\rthree\r\n");
        assert_eq!(line, "one\\ntwo\\nthree\n");
        assert_eq!(read(&line).1, "one\ntwo\nthree");
    }

    #[test]
    fn a_control_character_stays_its_code() {
        let line = event_line(Some("web"), "a\x1b[2J\u{9b}1m");
        assert_eq!(line, "[web] a\\u{1b}[2J\\u{9b}1m\n");
        assert_eq!(read(&line).1, r"a\u{1b}[2J\u{9b}1m");
    }

    #[test]
    fn an_unknown_escape_stays_as_it_is() {
        for text in [r"C:\dev", r"\u{1b}[2J", r"ends with \"] {
            assert_eq!(read(&format!("[web] {text}\n")), ("web", text.to_owned()));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_one_line_and_reads_back(text in "([a-z\\\\n\n\t\\[\\] \u{e9}]|\\PC){0,30}", service in prop::option::of("[a-z]{1,3}")) {
            let line = event_line(service.as_deref(), &text);
            prop_assert_eq!(line.find('\n'), Some(line.len() - 1));
            prop_assert_eq!(read(&line), (service.as_deref().unwrap_or(""), text.trim_end().to_owned()));
        }

        #[test]
        fn no_control_character_comes_back(text in prop::collection::vec(prop_oneof![any::<char>(), prop::char::range('\0', '\u{9f}')], 0..30)) {
            let line = event_line(None, &String::from_iter(text));
            prop_assert!(read(&line).1.chars().all(|letter| !letter.is_control() || matches!(letter, '\n' | '\t')));
        }
    }
}
