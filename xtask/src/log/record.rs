//! A line of a log as a value: whose it is, when, and what it says. Pure.

use std::sync::Arc;

use jiff::Timestamp;

/// One of a service's two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Stream {
    /// The word in file names: `out` or `error`.
    pub fn suffix(self) -> &'static str {
        match self {
            Stream::Out => "out",
            Stream::Err => "error",
        }
    }
}

/// Where a line comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LineStream {
    /// A service's standard output.
    Out,
    /// A service's standard error.
    Err,
    /// The supervisor's log.
    Event,
}

impl LineStream {
    /// The word in machine output: `out`, `err` or `event`.
    pub fn name(self) -> &'static str {
        match self {
            LineStream::Out => "out",
            LineStream::Err => "err",
            LineStream::Event => "event",
        }
    }
}

impl From<Stream> for LineStream {
    fn from(stream: Stream) -> LineStream {
        match stream {
            Stream::Out => LineStream::Out,
            Stream::Err => LineStream::Err,
        }
    }
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it was read from the service, or when the event happened.
    pub stamp: Timestamp,
    /// Whose it is; empty for an event of the whole stack.
    pub service: Arc<str>,
    /// Which of its outputs.
    pub stream: LineStream,
    /// The bytes as they were written, without stamp and newline. Only an event's may hold line breaks.
    pub text: Vec<u8>,
    /// How it ends.
    pub end: End,
}

/// How a line ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is whole.
    Newline,
    /// It is a piece of a line that was too long, or that another writer interrupted, and says so at its end.
    Continues,
    /// It is not finished: nothing more has been written yet.
    Open,
}
