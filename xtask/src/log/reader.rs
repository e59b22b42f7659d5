//! Logs read as one: the lines of several services, streams and the supervisor's events, merged by time.
//!
//! Three ways to begin (the last lines, the present end, a point in time) and one to go on: [`Follow::read_new`]. It needs only the
//! files and never waits; who wants to follow watches [`Follow::directories`] and asks again when something happens there.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use super::archive::{self, Snapshot};
use super::back::Back;
use super::merge::{Order, merge};
use super::origin::{Kind, Origin, Wanted};
use super::tail::{Tail, whole_lines_end};
use super::{Stamp, Stream};
use crate::clock;

/// About how many bytes [`Follow::read_new`] returns at most.
const BATCH: usize = 1024 * 1024;

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
    /// The bytes as they were written, without stamp and newline.
    pub text: Vec<u8>,
}

/// One stream of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogInput {
    /// The service's name.
    pub service: String,
    /// Which of its outputs.
    pub stream: Stream,
    /// The file that is written to; rotated ones are found beside it.
    pub path: PathBuf,
    /// What begins its lines.
    pub stamp: Stamp,
}

/// What to read.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// The logs; of several with the same path only the first counts.
    pub logs: Vec<LogInput>,
    /// The supervisors' logs.
    pub events: Vec<EventInput>,
}

/// The log of one supervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventInput {
    /// The file.
    pub path: PathBuf,
    /// Whose events are wanted besides those of the stack; none for everybody's.
    pub services: Option<Vec<String>>,
    /// What stands before each service's name, to tell stacks apart.
    pub prefix: String,
}

impl Selection {
    fn origins(&self) -> Vec<Origin> {
        let mut origins: Vec<Origin> = Vec::new();
        for log in &self.logs {
            if origins.iter().all(|origin| origin.path != log.path) {
                origins.push(log.origin());
            }
        }
        let events = self.events.iter().map(EventInput::origin);
        origins.extend(events);
        origins
    }
}

impl EventInput {
    fn origin(&self) -> Origin {
        let wanted = Wanted {
            services: self.services.clone(),
            prefix: self.prefix.clone(),
        };
        Origin {
            path: self.path.clone(),
            stamp: Stamp::Usual,
            kind: Kind::Events(wanted),
        }
    }
}

impl LogInput {
    fn origin(&self) -> Origin {
        Origin {
            path: self.path.clone(),
            stamp: self.stamp.clone(),
            kind: Kind::Service(self.service.as_str().into(), self.stream.into()),
        }
    }
}

/// The last `lines` lines of all logs together, oldest first, and what comes after exactly those.
///
/// Reads from the ends, so that the size of the files does not matter. Errors name the file that could not be read; a missing one is
/// an empty one.
pub fn last(selection: &Selection, lines: usize) -> io::Result<(Vec<Line>, Follow)> {
    let began = clock::wall();
    let (mut backs, mut tails) = (Vec::new(), Vec::new());
    for origin in selection.origins() {
        let snapshot = Snapshot::take(&origin.path)?;
        let (tail, end) = at_end(&origin, &snapshot).map_err(|error| archive::context(&error, "read", &origin.path))?;
        tails.push(tail);
        backs.push(Back::new(origin, &snapshot, end, lines));
    }
    let mut last = Vec::new();
    if lines > 0 {
        merge(&mut backs, Order::Backward, |line| {
            last.push(line);
            last.len() < lines
        })?;
    }
    last.reverse();
    Ok((last, Follow { tails, began }))
}

/// All lines stamped at or after `from`, as what [`Follow::read_new`] gives first.
pub fn since(selection: &Selection, from: Timestamp) -> io::Result<Follow> {
    let tails = selection.origins().into_iter().map(|origin| Tail::since(origin, from));
    Ok(Follow {
        began: clock::wall(),
        tails: tails.collect::<io::Result<_>>()?,
    })
}

/// The logs from some place on.
pub struct Follow {
    tails: Vec<Tail>,
    /// When it began; what joins later is read from here.
    began: Timestamp,
}

impl Follow {
    /// What comes after the present ends; a file that does not exist yet counts from its beginning, and so does one that cannot be
    /// read now.
    pub fn from_end(selection: &Selection) -> Follow {
        let began = clock::wall();
        let tail = |origin: Origin| {
            let snapshot = Snapshot::take(&origin.path);
            let tail = snapshot
                .and_then(|snapshot| at_end(&origin, &snapshot))
                .map(|(tail, _)| tail);
            tail.unwrap_or_else(|_| Tail::unknown(origin))
        };
        Follow {
            tails: selection.origins().into_iter().map(tail).collect(),
            began,
        }
    }

    /// The next whole lines of all logs, by stamp: about a megabyte of them at most, so ask again until there are none.
    pub fn read_new(&mut self) -> io::Result<Vec<Line>> {
        let (mut lines, mut size) = (Vec::new(), 0);
        merge(&mut self.tails, Order::Forward, |line| {
            size += size_of::<Line>() + line.text.len();
            lines.push(line);
            size < BATCH
        })?;
        Ok(lines)
    }

    /// The unfinished lines at the ends of the files, once [`Follow::read_new`] gives nothing: for a reader that will not follow, the
    /// last words of a stack that was killed.
    pub fn take_unfinished(&mut self) -> io::Result<Vec<Line>> {
        let mut lines = Vec::new();
        for tail in &mut self.tails {
            lines.extend(tail.take_unfinished()?);
        }
        lines.sort_by_key(|line| line.stamp);
        Ok(lines)
    }

    /// Follows one log more: all that it says since this began.
    pub fn add(&mut self, log: &LogInput) -> io::Result<()> {
        for tail in &mut self.tails {
            match &mut tail.origin().kind {
                Kind::Events(Wanted {
                    services: Some(services),
                    ..
                }) if !services.contains(&log.service) => {
                    services.push(log.service.clone());
                }
                Kind::Events(_) | Kind::Service(..) => {}
            }
        }
        if self.tails.iter_mut().all(|tail| tail.origin().path != log.path) {
            self.tails.push(Tail::since(log.origin(), self.began)?);
        }
        Ok(())
    }

    /// The directories in which something happens when there is something new.
    pub fn directories(&mut self) -> Vec<PathBuf> {
        let mut directories: Vec<PathBuf> = self
            .tails
            .iter_mut()
            .map(|tail| archive::directory(&tail.origin().path).to_owned())
            .collect();
        directories.sort_unstable();
        directories.dedup();
        directories
    }
}

/// The tail of a log from its present end, and where that is.
fn at_end(origin: &Origin, snapshot: &Snapshot) -> io::Result<(Tail, u64)> {
    let end = match &snapshot.current {
        Some(file) => whole_lines_end(file, file.metadata()?.len())?,
        None => 0,
    };
    match Tail::after(origin.clone(), snapshot, end) {
        // Emptied meanwhile: all that is there now is new.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Ok((Tail::after(origin.clone(), snapshot, 0)?, 0))
        }
        tail => Ok((tail?, end)),
    }
}
