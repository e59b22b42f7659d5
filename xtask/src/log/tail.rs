//! One log read forwards, from some place to its end and on as it grows: through rotations, truncations and files that come later.
//!
//! Everything is decided by what the files are now, so it may be asked at any time and never waits. An unfinished last line is kept
//! until it is whole, or asked for.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::sync::Arc;

use jiff::Timestamp;

use super::Stamp;
use super::archive::{self, Content, Rotated, Snapshot};
use super::merge::Lane;
use super::origin::Origin;
use super::reader::Span;
use super::reading::{Current, Reading, Source};
use super::record::{End, Line};
use super::seek::{last_stamped, start_of};
use super::stamp::Near;

/// The lines of a log from some place on, oldest first.
pub(super) struct Tail {
    origin: Origin,
    /// The files to read after the one being read.
    next: VecDeque<Next>,
    reading: Option<Reading>,
    /// The newest rotated file that is accounted for.
    seen: Option<Timestamp>,
    /// It went on to another file, which [`Tail::take_turned`] has not told yet.
    turned: bool,
    /// Lines before its start are passed over, until the first that is not; those after its end always.
    span: Span,
    /// Only what is there counts, and that is what was written by then.
    ends: Option<Timestamp>,
    over: bool,
    /// The time of the last line, and of the file.
    near: Near,
    lines: VecDeque<Line>,
}

enum Next {
    Rotated(Timestamp),
    Current(Arc<File>),
}

impl Tail {
    fn new(origin: Origin, seen: Option<Timestamp>, span: Span) -> Tail {
        Tail {
            origin,
            next: VecDeque::new(),
            reading: None,
            seen,
            turned: false,
            span,
            ends: None,
            over: false,
            near: Near::to(Timestamp::UNIX_EPOCH),
            lines: VecDeque::new(),
        }
    }

    /// The lines after `end` (see [`super::seek::whole_lines_end`]) of the file that was current at `snapshot`.
    pub(super) fn after(origin: Origin, snapshot: &Snapshot, end: u64) -> io::Result<Tail> {
        let mut tail = Tail::new(origin, snapshot.rotated.last().copied(), Span::default());
        if let Some(file) = &snapshot.current {
            tail.near = Near::to(archive::modified(file)?);
            let mut current = Current::new(file.clone(), end)?;
            current.mark_before(end)?;
            tail.reading = Some(Reading::of(Source::Current(current)));
        }
        Ok(tail)
    }

    /// The lines of a log whose files could not be looked at: all that come.
    pub(super) fn unknown(origin: Origin) -> Tail {
        Tail::new(origin, None, Span::default())
    }

    /// The lines of a time, of the files at `snapshot`.
    pub(super) fn within(origin: Origin, snapshot: Snapshot, span: Span) -> Tail {
        let mut tail = Tail::new(origin, snapshot.rotated.last().copied(), span);
        let wanted = snapshot
            .rotated
            .into_iter()
            .filter(|stamp| span.from.is_none_or(|from| *stamp >= from))
            .map(Next::Rotated);
        tail.next = wanted.chain(snapshot.current.map(Next::Current)).collect();
        tail
    }

    /// Ends with what was written until `now`: an unfinished last line counts as one, and nothing comes after it.
    pub(super) fn end(&mut self, now: Timestamp) {
        self.ends = Some(now);
    }

    /// What the lines are and where they come from.
    pub(super) fn origin(&mut self) -> &mut Origin {
        &mut self.origin
    }

    /// Whether it has gone on to another file since this was last asked.
    pub(super) fn take_turned(&mut self) -> bool {
        std::mem::take(&mut self.turned)
    }

    /// Whether only some lines are wanted.
    pub(super) fn is_filtered(&self) -> bool {
        self.origin.filter.chooses()
    }

    /// How many bytes of an unfinished line have been read.
    pub(super) fn unfinished(&self) -> usize {
        self.reading.as_ref().map_or(0, |reading| reading.unfinished.len())
    }

    /// The unfinished last line, if that is all there is; it will not be given again.
    pub(super) fn take_unfinished(&mut self) -> io::Result<Option<Line>> {
        self.fill()?;
        if self.lines.is_empty()
            && let Some(reading) = &mut self.reading
        {
            let unfinished = std::mem::take(&mut reading.unfinished);
            self.parse(&unfinished, End::Open);
            return Ok(self.lines.pop_front());
        }
        Ok(None)
    }

    /// Reads until there is a line, or nothing more for now.
    fn fill(&mut self) -> io::Result<()> {
        while self.lines.is_empty() && !self.over {
            let Some(reading) = &mut self.reading else {
                if !self.open_next()? {
                    return Ok(());
                }
                continue;
            };
            match reading.read() {
                Ok(0) => {}
                Ok(_) => {
                    if let (Source::Current(current), false) = (&reading.source, self.origin.stamp == Stamp::Usual) {
                        // What these lines do not say of their time, the file's own says.
                        self.near.before = archive::modified(&current.file)?;
                    }
                    let whole = reading.take_whole_lines();
                    self.parse(&whole, End::Newline);
                    self.stop_when_past()?;
                    continue;
                }
                // One damaged file must not hide the rest.
                Err(error) if matches!(reading.source, Source::Rotated(_)) => {
                    self.lines.extend(self.origin.damage(self.near.after, &error));
                }
                Err(error) => return Err(archive::context(&error, "read", &self.origin.path)),
            }
            let ended = match &mut reading.source {
                Source::Rotated(_) => true,
                Source::Current(current) if current.left => true,
                Source::Current(current) => {
                    // The writer may have written between the read and the move: one more round, then it is final.
                    current.left = current.was_moved(&self.origin)?;
                    if !current.left {
                        self.rest();
                        return Ok(());
                    }
                    false
                }
            };
            if ended {
                self.end_file()?;
            }
        }
        Ok(())
    }

    /// At the end of all files, for now or for good.
    fn rest(&mut self) {
        let Some(reading) = &mut self.reading else { return };
        reading.unfinished.shrink_to_fit();
        if self.ends.is_some() {
            let unfinished = std::mem::take(&mut reading.unfinished);
            self.parse(&unfinished, End::Open);
            self.over = true;
        }
    }

    /// Leaves a file of which all that follows is later than what is wanted.
    fn stop_when_past(&mut self) -> io::Result<()> {
        let stamp = &self.origin.stamp;
        let late = [self.span.until, self.ends].into_iter().flatten().min();
        let late = late.and_then(|late| late.checked_add(stamp.disorder()).ok());
        let Some(late) = late.filter(|late| self.near.after > *late) else {
            return Ok(());
        };
        match self.reading.as_ref().map(|reading| &reading.source) {
            // The next may be from before the clock was set back.
            Some(Source::Rotated(_)) => self.reading = None,
            Some(Source::Current(current)) => {
                // As may its own last lines.
                let length = current.file.metadata()?.len();
                let last = last_stamped(&current.file, length, stamp)?;
                if !(stamp.is_dated() && last.is_some_and(|last| last <= late)) {
                    self.reading = None;
                    self.over = true;
                }
            }
            None => {}
        }
        Ok(())
    }

    /// Leaves the file that was read to its end for the next one.
    fn end_file(&mut self) -> io::Result<()> {
        let Some(reading) = self.reading.take() else {
            return Ok(());
        };
        self.parse(&reading.unfinished, End::Newline);
        match reading.source {
            Source::Rotated(_) => Ok(()),
            Source::Current(current) => self.look_for_files(Some(&current)),
        }
    }

    /// Opens the next file; `false` when there is none for now.
    fn open_next(&mut self) -> io::Result<bool> {
        let (from, stamps) = (self.span.from, &self.origin.stamp);
        let source = match self.next.pop_front() {
            Some(Next::Rotated(stamp)) => {
                self.near = Near::to(stamp);
                match self.open_rotated(stamp) {
                    Ok(Some(rotated)) => Source::Rotated(rotated),
                    // Removed by `retain`.
                    Ok(None) => return Ok(true),
                    Err(error) => {
                        self.lines.extend(self.origin.damage(stamp, &error));
                        return Ok(true);
                    }
                }
            }
            Some(Next::Current(file)) => {
                self.near = Near::to(archive::modified(&file)?);
                let start = start_of(&file, from, stamps)?;
                Source::Current(Current::new(file, start)?)
            }
            None if archive::readable(&self.origin.path)?.is_none() => {
                self.over = self.ends.is_some();
                return Ok(false);
            }
            None => {
                self.look_for_files(None)?;
                return Ok(true);
            }
        };
        self.reading = Some(Reading::of(source));
        Ok(true)
    }

    /// Opens the file that was rotated at `stamp` where its wanted lines begin.
    fn open_rotated(&self, stamp: Timestamp) -> io::Result<Option<Rotated>> {
        let mut rotated = Rotated::open(&self.origin.path, stamp)?;
        if let Some(Rotated {
            path,
            content: Content::Plain(file),
        }) = &mut rotated
        {
            start_of(file, self.span.from, &self.origin.stamp)
                .and_then(|start| file.seek(SeekFrom::Start(start)))
                .map_err(|error| archive::named(&error, path))?;
        }
        Ok(rotated)
    }

    /// Finds the files that have come since `old` was the current one.
    fn look_for_files(&mut self, old: Option<&Current>) -> io::Result<()> {
        self.turned = true;
        let snapshot = Snapshot::take(&self.origin.path)?;
        let mut rotated: Vec<_> = snapshot
            .rotated
            .into_iter()
            .filter(|stamp| Some(*stamp) > self.seen)
            .collect();
        self.seen = rotated.last().copied().or(self.seen);
        if let Some(old) = old {
            for place in 0..rotated.len() {
                if old.became(&self.origin, rotated[place])? {
                    rotated.drain(..=place);
                    break;
                }
            }
        }
        self.next = rotated
            .into_iter()
            .map(Next::Rotated)
            .chain(snapshot.current.map(Next::Current))
            .collect();
        Ok(())
    }

    /// Takes the wanted lines of `bytes`; `end` is how one without a newline ends.
    fn parse(&mut self, bytes: &[u8], end: End) {
        let (lines, span, from_reached) = (&mut self.lines, self.span, &mut self.span.from);
        self.origin.parse(bytes, end, &mut self.near, |line| {
            if from_reached.is_none_or(|from| line.stamp >= from) {
                *from_reached = None;
                lines.extend(span.until.is_none_or(|until| line.stamp <= until).then_some(line));
            }
        });
    }
}

impl Lane for Tail {
    type Item = Line;
    type Error = io::Error;

    fn next_stamp(&mut self) -> io::Result<Option<Timestamp>> {
        self.fill()?;
        Ok(self.lines.front().map(|line| line.stamp))
    }

    fn take(&mut self) -> io::Result<Option<Line>> {
        Ok(self.lines.pop_front())
    }
}
