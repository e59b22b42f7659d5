//! Logs read as one: the lines of several services, streams and the supervisor's events, merged by time.
//!
//! Three ways to begin (the last lines, the present end, all of a time) and one to go on: [`Follow::read_new`]. It needs only the
//! files and never waits; who wants to follow watches [`Follow::directories`] and asks again when something happens there.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use super::archive::{self, Snapshot};
use super::back::Back;
use super::filter::Filter;
use super::merge::{Order, merge, merge_until};
use super::origin::{Kind, Origin, Wanted};
pub use super::record::{End, Line, LineStream};
use super::seek::whole_lines_end;
use super::tail::Tail;
use super::{Stamp, Stream};
use crate::clock;

/// About how many bytes [`Follow::read_new`] returns at most.
const BATCH: usize = 1024 * 1024;

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
    /// The names of all services that are meant, also of those that keep no logs.
    pub names: Vec<String>,
    /// The logs; of several with the same path only the first counts.
    pub logs: Vec<LogInput>,
    /// The supervisors' logs.
    pub events: Vec<EventInput>,
    /// Only lines of this time.
    pub span: Span,
    /// Only lines that are like this.
    pub filter: Arc<Filter>,
}

/// A time, both ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Its beginning; none: that of the logs.
    pub from: Option<Timestamp>,
    /// Its end; none: there is no end.
    pub until: Option<Timestamp>,
}

impl Span {
    /// Whether a moment lies in it.
    pub fn holds(self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| at >= from) && self.until.is_none_or(|until| at <= until)
    }
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
        let mut known = HashSet::new();
        let logs = self.logs.iter().filter(|log| known.insert(&log.path));
        let mut origins: Vec<Origin> = logs.map(|log| log.origin(&self.filter)).collect();
        let events = self.events.iter().map(|events| events.origin(&self.filter));
        origins.extend(events);
        origins
    }
}

impl EventInput {
    fn origin(&self, filter: &Arc<Filter>) -> Origin {
        let wanted = Wanted {
            services: self.services.clone(),
            prefix: self.prefix.clone(),
        };
        Origin {
            path: self.path.clone(),
            stamp: Stamp::Usual,
            kind: Kind::Events(wanted),
            filter: filter.clone(),
        }
    }
}

impl LogInput {
    fn origin(&self, filter: &Arc<Filter>) -> Origin {
        Origin {
            path: self.path.clone(),
            stamp: self.stamp.clone(),
            kind: Kind::Service(self.service.as_str().into(), self.stream.into()),
            filter: filter.clone(),
        }
    }
}

/// The logs of which there is something that cannot be read: they count as empty.
pub fn unreadable(selection: &Selection) -> Vec<PathBuf> {
    let logs = selection.logs.iter().map(|log| &log.path);
    let is_unreadable =
        |log: &&PathBuf| log.symlink_metadata().is_ok() && !matches!(archive::readable(log), Ok(Some(_)));
    let mut unreadable: Vec<PathBuf> = logs.filter(is_unreadable).cloned().collect();
    unreadable.sort_unstable();
    unreadable.dedup();
    unreadable
}

/// The last `lines` lines of all logs together, oldest first, and what comes after exactly those; unfinished lines come with it. Events
/// between them do not count, unless there are as many.
///
/// Reads from the ends, so that the size of the files does not matter. Errors name the file that could not be read; a missing one is
/// an empty one.
pub fn last(selection: &Selection, lines: usize) -> io::Result<(Vec<Line>, Follow)> {
    let began = clock::wall();
    let (mut backs, mut tails) = (Vec::new(), Vec::new());
    for (origin, snapshot) in look_at(selection.origins()) {
        let snapshot = snapshot?;
        let (tail, end) = at_end(&origin, &snapshot).map_err(|error| archive::context(&error, "read", &origin.path))?;
        tails.push(tail);
        backs.push(Back::new(origin, &snapshot, end, lines, selection.span)?);
    }
    let last = take_back(&mut backs, lines)?;
    Ok((last, Follow { tails, began }))
}

/// The last `lines` lines of all logs together as they are now, unfinished ones too, oldest first: what a service said last, or
/// last before the end of the selection's span.
pub fn last_words(selection: &Selection, lines: usize) -> io::Result<Vec<Line>> {
    take_back(&mut backs(selection, lines)?, lines)
}

/// The newest line that `is_it`.
pub fn find_last(selection: &Selection, mut is_it: impl FnMut(&Line) -> bool) -> io::Result<Option<Line>> {
    let mut found = None;
    merge(&mut backs(selection, usize::MAX)?, Order::Backward, |line| {
        found = is_it(&line).then_some(line);
        found.is_none()
    })?;
    Ok(found)
}

fn backs(selection: &Selection, lines: usize) -> io::Result<Vec<Back>> {
    let back = |(origin, snapshot): (Origin, io::Result<Snapshot>)| {
        let snapshot = snapshot?;
        let end = snapshot.current.as_ref().map(|file| file.metadata()).transpose()?;
        Back::new(
            origin,
            &snapshot,
            end.map_or(0, |file| file.len()),
            lines,
            selection.span,
        )
    };
    look_at(selection.origins()).map(back).collect()
}

fn take_back(backs: &mut [Back], lines: usize) -> io::Result<Vec<Line>> {
    let mut last = Vec::new();
    let (mut said, mut events) = (0, 0);
    if lines > 0 {
        merge(backs, Order::Backward, |line| {
            let count = if line.stream == LineStream::Event {
                &mut events
            } else {
                &mut said
            };
            *count += 1;
            last.push(line);
            said < lines && events < lines
        })?;
    }
    last.reverse();
    Ok(last)
}

/// All lines of the selection's span, as what [`Follow::read_new`] gives first.
pub fn all(selection: &Selection) -> io::Result<Follow> {
    let began = clock::wall();
    let tail = |(origin, snapshot): (Origin, io::Result<Snapshot>)| Ok(Tail::within(origin, snapshot?, selection.span));
    let tails = look_at(selection.origins()).map(tail).collect::<io::Result<_>>()?;
    Ok(Follow { tails, began })
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
        let tail = |(origin, snapshot): (Origin, io::Result<Snapshot>)| {
            let tail = snapshot
                .and_then(|snapshot| at_end(&origin, &snapshot))
                .map(|(tail, _)| tail);
            tail.unwrap_or_else(|_| Tail::unknown(origin))
        };
        Follow {
            tails: look_at(selection.origins()).map(tail).collect(),
            began,
        }
    }

    /// The same, and what joins later is read from `moment` on: when it was asked what there is to follow, which takes a while.
    #[must_use]
    pub fn asked(mut self, moment: Timestamp) -> Follow {
        self.began = self.began.min(moment);
        self
    }

    /// What was written until now and nothing after it; unfinished last lines count.
    pub fn to_the_end(mut self) -> Follow {
        self.tails.iter_mut().for_each(|tail| tail.end(self.began));
        self
    }

    /// The next whole lines of all logs, by stamp: about a megabyte of them at most, so ask again until there are none.
    pub fn read_new(&mut self) -> io::Result<Vec<Line>> {
        self.read_until(None).map(|(lines, _)| lines)
    }

    /// The same without those stamped later than `limit`, and the stamp of the first that stays for that reason.
    ///
    /// A line is written a little after its stamp is taken, and files are looked at one after another. So a line may come into one file
    /// after a younger one was found in another; whoever leaves the youngest lines for a while sees all in their order.
    pub fn read_until(&mut self, limit: Option<Timestamp>) -> io::Result<(Vec<Line>, Option<Timestamp>)> {
        let (mut lines, mut size) = (Vec::new(), 0);
        let stays = merge_until(&mut self.tails, Order::Forward, limit, |line| {
            size += size_of::<Line>() + line.text.len();
            lines.push(line);
            size < BATCH
        })?;
        Ok((lines, stays))
    }

    /// Whether all lines come from one file, so that none can come in the wrong order.
    pub fn is_single(&self) -> bool {
        self.tails.len() == 1
    }

    /// Whether only some lines are wanted: what has come of an unfinished one cannot be judged.
    pub fn is_filtered(&self) -> bool {
        self.tails.iter().any(Tail::is_filtered)
    }

    /// How many bytes of an unfinished line were found in each log; a log that joins comes last.
    pub fn unfinished(&self) -> Vec<usize> {
        self.tails.iter().map(Tail::unfinished).collect()
    }

    /// The unfinished lines at the ends of the files, for example a prompt, where no whole line comes before them and `wanted` says so of
    /// the log and its bytes; what comes to such a line later is a line of its own.
    pub fn take_unfinished(&mut self, wanted: impl Fn(usize, usize) -> bool) -> io::Result<Vec<Line>> {
        let mut lines = Vec::new();
        for (log, tail) in self.tails.iter_mut().enumerate() {
            if wanted(log, tail.unfinished()) {
                lines.extend(tail.take_unfinished()?);
            }
        }
        lines.sort_by_key(|line| line.stamp);
        Ok(lines)
    }

    /// Follows what else `selection` names, all that it says since this began, and calls everything by the names it has there. A log
    /// that cannot be opened now joins with the next selection.
    pub fn join(&mut self, selection: &Selection) {
        let span = Span {
            from: Some(self.began),
            until: None,
        };
        let places = self.tails.iter_mut().map(|tail| tail.origin().path.clone()).zip(0..);
        let places: HashMap<PathBuf, usize> = places.collect();
        let mut new = Vec::new();
        for origin in selection.origins() {
            match places.get(&origin.path).and_then(|place| self.tails.get_mut(*place)) {
                Some(known) => known.origin().become_kind(origin.kind),
                None => new.push(origin),
            }
        }
        let joining = look_at(new).filter_map(|(origin, snapshot)| Some(Tail::within(origin, snapshot.ok()?, span)));
        self.tails.extend(joining);
    }

    /// The directories in which something happens when there is something new.
    pub fn directories(&mut self) -> Vec<PathBuf> {
        directories_of(self.tails.iter_mut())
    }

    /// The same of the logs that went on to another file since this was last asked: a link may lead elsewhere now.
    pub fn changed_directories(&mut self) -> Vec<PathBuf> {
        directories_of(
            self.tails
                .iter_mut()
                .filter_map(|tail| tail.take_turned().then_some(tail)),
        )
    }
}

/// The logs with their files as they are now.
fn look_at(origins: Vec<Origin>) -> impl Iterator<Item = (Origin, io::Result<Snapshot>)> {
    let snapshots = Snapshot::take_all(origins.iter().map(|origin| origin.path.as_path()));
    origins.into_iter().zip(snapshots)
}

/// Where a log lies, and where it is written to if it is a link: either may change.
fn directories_of<'t>(tails: impl Iterator<Item = &'t mut Tail>) -> Vec<PathBuf> {
    let both = |tail: &mut Tail| {
        let path = &tail.origin().path;
        [path, &archive::real(path)].map(|path| archive::directory(path).to_owned())
    };
    let mut directories: Vec<PathBuf> = tails.flat_map(both).collect();
    directories.sort_unstable();
    directories.dedup();
    directories
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
