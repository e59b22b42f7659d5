//! What a log could not take: counted while it cannot be written, and put into words for the log itself and for `status`.

use crate::config::units::format_count;
use std::fmt;
use std::io;

/// Bytes and lines of a service that are lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Bytes, without stamps.
    pub bytes: u64,
    /// Line ends among them.
    pub lines: u64,
}

/// How a log fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// What was lost since the stack began, or since the log was last emptied.
    pub lost: Lost,
    /// Why it cannot be written, until it can.
    pub unwritten: Option<String>,
    /// Why it cannot be moved aside although it is too large, until it can.
    pub unrotated: Option<String>,
}

impl Lost {
    /// What is lost with these bytes of a service.
    pub(super) fn of(bytes: &[u8]) -> Lost {
        Lost {
            bytes: bytes.len() as u64,
            lines: memchr::memchr_iter(b'\n', bytes).count() as u64,
        }
    }

    /// Both together.
    pub fn plus(self, other: Lost) -> Lost {
        Lost {
            bytes: self.bytes + other.bytes,
            lines: self.lines + other.lines,
        }
    }

    /// The line of the log that stands where the lost ones would.
    pub(super) fn notice(self, cause: &str) -> String {
        format!("[xtask: {self} dropped: {cause}]\n")
    }
}

/// Whether a line of a log says that something was lost.
pub(super) fn is_notice(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    text.starts_with("[xtask: ") && text.contains(" dropped: ")
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, lines) = (format_count(self.bytes, "byte"), format_count(self.lines, "line"));
        write!(f, "{bytes} ({lines})")
    }
}

impl Health {
    /// What is wrong with the log called `name`, in words; none where nothing is.
    pub fn trouble(&self, name: &str) -> Option<String> {
        if let Some(cause) = &self.unwritten {
            return Some(format!("cannot write {name}: {cause}; {} dropped", self.lost));
        }
        let cause = self.unrotated.as_ref()?;
        Some(format!("cannot rotate {name}: {cause}; it grows on"))
    }
}

/// What the system said, without its number for it.
pub(super) fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error ") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_said_in_bytes_and_lines_with_what_the_system_said() {
        let full = io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error());
        let lost = Lost::of(b"one\n").plus(Lost::of(b"two\nthree"));
        assert_eq!(
            lost.notice(&cause(&full)),
            "[xtask: 13 bytes (2 lines) dropped: No space left on device]\n"
        );
        assert_eq!(Lost::of(b"\n").to_string(), "1 byte (1 line)");
        assert_eq!(
            cause(&io::ErrorKind::WriteZero.into()),
            io::Error::from(io::ErrorKind::WriteZero).to_string()
        );
    }

    #[test]
    fn only_a_log_that_fails_now_is_in_trouble() {
        let mut health = Health {
            lost: Lost::of(b"x"),
            ..Health::default()
        };
        assert_eq!(health.trouble("web-out.log"), None);
        health.unrotated = Some("Permission denied".into());
        assert_eq!(
            health.trouble("web-out.log").as_deref(),
            Some("cannot rotate web-out.log: Permission denied; it grows on")
        );
        health.unwritten = Some("No space left on device".into());
        assert_eq!(
            health.trouble("web-out.log").as_deref(),
            Some("cannot write web-out.log: No space left on device; 1 byte (0 lines) dropped")
        );
    }
}
