//! What the lines of a file are: whose they are, and which of them are wanted.
//!
//! Turns the bytes of whole lines into [`Line`]s. It reads no file.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use super::filter::Filter;
use super::line::CONTINUES;
use super::record::{End, Line, LineStream};
use super::stamp::Near;
use super::{Stamp, events};

/// One log with all its files.
#[derive(Clone)]
pub(super) struct Origin {
    /// The file that is written to; rotated ones lie beside it.
    pub(super) path: PathBuf,
    /// What begins its lines.
    pub(super) stamp: Stamp,
    /// What its lines are.
    pub(super) kind: Kind,
    /// Which of them are wanted.
    pub(super) filter: Arc<Filter>,
}

#[derive(Clone)]
pub(super) enum Kind {
    /// All lines are of one service's stream.
    Service(Arc<str>, LineStream),
    /// Lines name their service.
    Events(Wanted),
}

/// Which events are wanted, besides those of the stack, and how their services are called.
#[derive(Clone, Default)]
pub(super) struct Wanted {
    /// Those of these names; none: of all.
    pub(super) services: Option<Vec<String>>,
    /// What stands before each name.
    pub(super) prefix: String,
}

impl Origin {
    /// Takes on other names; those whose events were wanted before stay wanted, as the end of one that left is still to be told.
    pub(super) fn become_kind(&mut self, mut kind: Kind) {
        if let (Kind::Events(old), Kind::Events(new)) = (&self.kind, &mut kind)
            && let (Some(old), Some(new)) = (&old.services, &mut new.services)
        {
            new.extend(old.iter().cloned());
            new.sort_unstable();
            new.dedup();
        }
        self.kind = kind;
    }

    /// Hands the wanted lines of `bytes` to `sink`. A line without a stamp counts as of the time of the one before it, and where stamps
    /// do not say when, as of the time the file was last written; `near.after` becomes the time of the last line. A last one without a newline ends as `end` says.
    pub(super) fn parse(&self, bytes: &[u8], end: End, near: &mut Near, mut sink: impl FnMut(Line)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let newline = memchr::memchr(b'\n', rest);
            let text = &rest[..newline.unwrap_or(rest.len())];
            rest = newline.map_or(&[], |newline| &rest[newline + 1..]);
            let end = match newline {
                Some(_) if text.ends_with(CONTINUES) => End::Continues,
                Some(_) => End::Newline,
                None => end,
            };
            let (stamp, text) = self.split(text, *near);
            near.after = stamp;
            if let Some(line) = self.line(stamp, text, end) {
                sink(line);
            }
        }
    }

    /// The time of a line and its text.
    fn split<'l>(&self, line: &'l [u8], near: Near) -> (Timestamp, &'l [u8]) {
        let (stamp, text) = self.stamp.split(line, near);
        let unknown = || if self.stamp.is_dated() { near.after } else { near.before };
        (stamp.unwrap_or_else(unknown), text)
    }

    /// The line in the place of what cannot be read: one damaged file hides no other, and nobody takes it for whole.
    pub(super) fn damage(&self, at: Timestamp, error: &io::Error) -> Option<Line> {
        let text = format!("[xtask: cannot read a rotated log file to its end: {error}]");
        self.line(at, text.as_bytes(), End::Newline)
    }

    /// A line of this origin; none when it is not wanted.
    pub(super) fn line(&self, stamp: Timestamp, text: &[u8], end: End) -> Option<Line> {
        let (service, stream, text) = match &self.kind {
            Kind::Service(service, stream) => (service.clone(), *stream, Cow::Borrowed(text)),
            Kind::Events(wanted) => {
                let (service, text) = events::parse_event(text);
                let unwanted = wanted
                    .services
                    .as_ref()
                    .is_some_and(|names| !names.iter().any(|name| name == service));
                if unwanted && !service.is_empty() {
                    return None;
                }
                let service = if service.is_empty() {
                    String::new()
                } else {
                    format!("{}{service}", wanted.prefix)
                };
                (service.into(), LineStream::Event, text)
            }
        };
        self.filter.keeps(stream, &text).then(|| Line {
            stamp,
            service,
            stream,
            text: text.into_owned(),
            end,
        })
    }
}
