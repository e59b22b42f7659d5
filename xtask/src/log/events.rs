//! The supervisor's own log, `supervisor.log`: one line for each thing it did and why.
//!
//! `<stamp> [<service>] <text>`, or `<stamp> <text>` for the stack as a whole. It is written and rotated like any other log; this
//! file only knows the form of its lines.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use super::Stamp;
use super::writer::{LogConfig, LogFile};

/// Where the supervisor writes what it does.
pub struct EventLog {
    log: Arc<LogFile>,
    writer: u64,
}

impl EventLog {
    /// Opens the log at `path`, which is made with its directory when it is missing. Never fails: what cannot be written is dropped
    /// and counted, as with every log.
    pub fn open(path: PathBuf) -> EventLog {
        let log = LogFile::open(LogConfig {
            path: Some(path),
            max_size: 1024 * 1024,
            retain: 3,
            compress: true,
            stamp: Stamp::Usual,
        });
        let writer = log.new_writer();
        EventLog { log, writer }
    }

    /// Writes that `text` happened at `at` to `service`, or to the stack.
    pub fn event(&self, at: Timestamp, service: Option<&str>, text: &str) {
        self.log.append(self.writer, event_line(service, text).as_bytes(), at);
    }
}

/// The bytes of an event's line after the stamp: a line break becomes `\n`, so that it stays one line, and another control character
/// its code, so that it does nothing to a terminal.
fn event_line(service: Option<&str>, text: &str) -> String {
    let text = text.trim_end().replace("\r\n", "\n").replace(['\n', '\r'], "\\n");
    let text: String = text
        .chars()
        .map(|letter| match letter.is_control() && letter != '\t' {
            true => letter.escape_unicode().to_string(),
            false => letter.to_string(),
        })
        .collect();
    match service {
        Some(service) => format!("[{service}] {text}\n"),
        // An empty name keeps a text that begins with a bracket from looking like a service's.
        None if text.starts_with('[') => format!("[] {text}\n"),
        None => format!("{text}\n"),
    }
}

/// The service (empty for the stack) and the text of an event's line after its stamp.
pub(super) fn parse_event(line: &[u8]) -> (&str, &[u8]) {
    let bracketed = line.strip_prefix(b"[").and_then(|rest| {
        let end = memchr::memchr(b']', rest)?;
        Some((str::from_utf8(&rest[..end]).ok()?, rest[end + 1..].strip_prefix(b" ")?))
    });
    bracketed.unwrap_or(("", line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_and_reads_back() {
        for (service, text, line) in [
            (Some("web"), "exited with 1", "[web] exited with 1\n"),
            (None, "stack is up", "stack is up\n"),
            (None, "[odd] start", "[] [odd] start\n"),
            (
                Some("web"),
                "build failed:\nline two\r\n",
                "[web] build failed:\\nline two\n",
            ),
            (Some("web"), "a\x1b[2J\u{9b}1m", "[web] a\\u{1b}[2J\\u{9b}1m\n"),
        ] {
            let written = event_line(service, text);
            assert_eq!(written, line);
            let (name, rest) = parse_event(written.trim_end().as_bytes());
            assert_eq!(name, service.unwrap_or(""));
            assert!(line.trim_end().as_bytes().ends_with(rest));
        }
    }
}
