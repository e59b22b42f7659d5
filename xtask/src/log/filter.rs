//! Which lines of a log are wanted: by how bad they are and by what they say. Pure.

use regex::bytes::Regex;

use super::record::LineStream;
use super::structured::{self, Level};
use super::{escape, losses};

/// What a line must be to be wanted.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// This bad or worse.
    pub level: Option<Level>,
    /// Matched by this; colours and the like in the line do not count.
    pub pattern: Option<Regex>,
}

impl Filter {
    /// Whether it leaves any line out.
    pub fn chooses(&self) -> bool {
        self.level.is_some() || self.pattern.is_some()
    }

    /// Whether a line with this text is wanted; a `\r` at its end is none of it.
    pub fn keeps(&self, stream: LineStream, text: &[u8]) -> bool {
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let says = |pattern: &Regex| says(pattern, stream, &escape::strip(text));
        self.pattern.as_ref().is_none_or(says) && self.level.is_none_or(|least| level(stream, text) >= Some(least))
    }
}

/// Whether a pattern is found. Each line of an event is one to it, as it is to whoever sees them.
fn says(pattern: &Regex, stream: LineStream, text: &[u8]) -> bool {
    match stream {
        LineStream::Event => text.split(|byte| *byte == b'\n').any(|row| pattern.is_match(row)),
        LineStream::Out | LineStream::Err => pattern.is_match(text),
    }
}

/// How bad a line is: as its fields say, whatever colours are in them, else by its stream: stderr is a warning, and so is that something
/// was lost. What the supervisor did is neither.
fn level(stream: LineStream, text: &[u8]) -> Option<Level> {
    let by_stream = match stream {
        LineStream::Out if !losses::is_notice(text) => Level::Info,
        LineStream::Out => Level::Warn,
        LineStream::Err => Level::Warn,
        LineStream::Event => return None,
    };
    let fields = structured::fields(&escape::strip(text));
    Some(
        fields
            .and_then(|fields| structured::level(&fields))
            .unwrap_or(by_stream),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_that_of_the_fields_else_of_the_stream() {
        use LineStream::{Err, Event, Out};
        for (stream, text, least, kept) in [
            (Out, r#"{"level":40}"#, Level::Warn, true),
            (Out, r#"{"level":30}"#, Level::Warn, false),
            (Err, r#"{"level":"info","msg":"on stderr"}"#, Level::Warn, false),
            (Err, r#"{"msg":"no level"}"#, Level::Warn, true),
            (Err, "plain", Level::Warn, true),
            (Err, "plain", Level::Error, false),
            (Out, "plain", Level::Info, true),
            (Out, "plain", Level::Warn, false),
            (Out, "level=error msg=x", Level::Error, true),
            (
                Out,
                "\x1b[36mlevel\x1b[0m=\x1b[31merror\x1b[0m msg=x",
                Level::Error,
                true,
            ),
            (
                Out,
                "[xtask: 13 bytes (2 lines) dropped: No space left on device]",
                Level::Warn,
                true,
            ),
            (Event, "ended with SIGKILL after 2s", Level::Trace, false),
        ] {
            let filter = Filter {
                level: Some(least),
                pattern: None,
            };
            assert_eq!(
                filter.keeps(stream, text.as_bytes()),
                kept,
                "{stream:?} {text} {least:?}"
            );
        }
    }

    #[test]
    fn a_pattern_does_not_see_colours() {
        let filter = Filter {
            level: None,
            pattern: Regex::new("^error: x$").ok(),
        };
        assert!(filter.keeps(LineStream::Event, b"\x1b[31merror\x1b[0m: x"));
        assert!(!filter.keeps(LineStream::Out, b"error: xy"));
        assert!(
            filter.keeps(LineStream::Out, b"error: x\r"),
            "a line may end as on Windows"
        );
        assert!(Filter::default().keeps(LineStream::Out, b""));
    }

    #[test]
    fn a_pattern_finds_an_event_by_any_of_its_lines() {
        for (pattern, kept) in [("^build failed", true), ("^error: x$", true), ("failed.*x", false)] {
            let filter = Filter {
                level: None,
                pattern: Regex::new(pattern).ok(),
            };
            let text = b"build failed: task gen\nerror: x\nat main";
            assert_eq!(filter.keeps(LineStream::Event, text), kept, "{pattern}");
        }
    }
}
