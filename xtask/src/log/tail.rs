//! One log read forwards, from some place to its end and on as it grows: through rotations, truncations and files that come later.
//!
//! Everything is decided by what the files are now, so it may be asked at any time and never waits. An unfinished last line is kept
//! until it is whole.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use jiff::Timestamp;

use super::Stamp;
use super::archive::{self, Identity, Rotated, Snapshot};
use super::line::{self, PREFIX_LEN};
use super::merge::Lane;
use super::origin::Origin;
use super::reader::Line;
use super::stamp::Near;

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;
/// A line longer than this is taken for several: our own are at most 64 KiB, but any file may lie there.
const LONGEST_LINE: usize = 1024 * 1024;

/// The lines of a log from some place on, oldest first.
pub(super) struct Tail {
    origin: Origin,
    /// The files to read after the one being read.
    next: VecDeque<Next>,
    reading: Option<Reading>,
    /// The newest rotated file that is accounted for.
    seen: Option<Timestamp>,
    /// Lines before this are passed over, until the first that is not.
    from: Option<Timestamp>,
    /// The time of the last line, and of the file.
    near: Near,
    lines: VecDeque<Line>,
}

enum Next {
    Rotated(Timestamp),
    Current(Arc<File>),
}

struct Reading {
    source: Source,
    /// What was read after the last newline.
    unfinished: Vec<u8>,
}

enum Source {
    Rotated(Rotated),
    Current(Current),
}

/// The file that is, or was until it was rotated, written to.
struct Current {
    file: Arc<File>,
    identity: Identity,
    position: u64,
    /// Where the last line (whole or not) that was read begins, and its first bytes: they change when the file is emptied and filled again.
    mark: Option<(u64, Vec<u8>)>,
    /// The writer has gone on to another file.
    left: bool,
}

impl Tail {
    fn new(origin: Origin, seen: Option<Timestamp>, from: Option<Timestamp>) -> Tail {
        Tail {
            origin,
            next: VecDeque::new(),
            reading: None,
            seen,
            from,
            near: at(Timestamp::UNIX_EPOCH),
            lines: VecDeque::new(),
        }
    }

    /// The lines after `end` (see [`whole_lines_end`]) of the file that was current at `snapshot`.
    pub(super) fn after(origin: Origin, snapshot: &Snapshot, end: u64) -> io::Result<Tail> {
        let mut tail = Tail::new(origin, snapshot.rotated.last().copied(), None);
        if let Some(file) = &snapshot.current {
            tail.near = at(archive::modified(file)?);
            let mut current = Current::new(file.clone(), end)?;
            current.mark_before(end)?;
            tail.reading = Some(Reading {
                source: Source::Current(current),
                unfinished: Vec::new(),
            });
        }
        Ok(tail)
    }

    /// The lines of a log whose files could not be looked at: all that come.
    pub(super) fn unknown(origin: Origin) -> Tail {
        Tail::new(origin, None, None)
    }

    /// The lines stamped at or after `from`.
    pub(super) fn since(origin: Origin, from: Timestamp) -> io::Result<Tail> {
        let snapshot = Snapshot::take(&origin.path)?;
        let mut tail = Tail::new(origin, snapshot.rotated.last().copied(), Some(from));
        let wanted = snapshot
            .rotated
            .into_iter()
            .filter(|stamp| *stamp >= from)
            .map(Next::Rotated);
        tail.next = wanted.chain(snapshot.current.map(Next::Current)).collect();
        Ok(tail)
    }

    /// What the lines are and where they come from.
    pub(super) fn origin(&mut self) -> &mut Origin {
        &mut self.origin
    }

    /// The unfinished last line, if that is all there is; it will not be given again.
    pub(super) fn take_unfinished(&mut self) -> io::Result<Option<Line>> {
        self.fill()?;
        if self.lines.is_empty()
            && let Some(reading) = &mut self.reading
        {
            let unfinished = std::mem::take(&mut reading.unfinished);
            self.parse(&unfinished);
            return Ok(self.lines.pop_front());
        }
        Ok(None)
    }

    /// Reads until there is a line, or nothing more for now.
    fn fill(&mut self) -> io::Result<()> {
        while self.lines.is_empty() {
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
                        // What these lines do not say of their time, the file's own bounds.
                        self.near.before = archive::modified(&current.file)?;
                    }
                    let whole = reading.take_whole_lines();
                    self.parse(&whole);
                    continue;
                }
                // One damaged file must not hide the rest.
                Err(error) if matches!(reading.source, Source::Rotated(_)) => {
                    let text = format!("[xtask: cannot read a rotated log file to its end: {error}]");
                    self.lines.extend(self.origin.line(self.near.after, text.as_bytes()));
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
                        reading.unfinished.shrink_to_fit();
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

    /// Leaves the file that was read to its end for the next one.
    fn end_file(&mut self) -> io::Result<()> {
        let Some(reading) = self.reading.take() else {
            return Ok(());
        };
        self.parse(&reading.unfinished);
        match reading.source {
            Source::Rotated(_) => Ok(()),
            Source::Current(current) => self.look_for_files(Some(&current)),
        }
    }

    /// Opens the next file; `false` when there is none for now.
    fn open_next(&mut self) -> io::Result<bool> {
        let source = match self.next.pop_front() {
            Some(Next::Rotated(stamp)) => match Rotated::open(&self.origin.path, stamp)? {
                Some(Rotated::Plain(mut file)) => {
                    self.near = at(stamp);
                    file.seek(SeekFrom::Start(start_of(&file, self.from, &self.origin.stamp, stamp)?))?;
                    Source::Rotated(Rotated::Plain(file))
                }
                Some(compressed @ Rotated::Compressed(_)) => {
                    self.near = at(stamp);
                    Source::Rotated(compressed)
                }
                // Removed by `retain`.
                None => return Ok(true),
            },
            Some(Next::Current(file)) => {
                self.near = at(archive::modified(&file)?);
                let start = start_of(&file, self.from, &self.origin.stamp, self.near.before)?;
                Source::Current(Current::new(file, start)?)
            }
            None if archive::found(fs::metadata(&self.origin.path))?.is_none() => return Ok(false),
            None => {
                self.look_for_files(None)?;
                return Ok(true);
            }
        };
        self.reading = Some(Reading {
            source,
            unfinished: Vec::new(),
        });
        Ok(true)
    }

    /// Finds the files that have come since `old` was the current one.
    fn look_for_files(&mut self, old: Option<&Current>) -> io::Result<()> {
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

    fn parse(&mut self, bytes: &[u8]) {
        let (lines, from) = (&mut self.lines, &mut self.from);
        self.origin.parse(bytes, &mut self.near, |line| {
            if from.is_none_or(|from| line.stamp >= from) {
                *from = None;
                lines.push_back(line);
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

impl Reading {
    /// Reads on; 0 at the end of the file as it is now.
    fn read(&mut self) -> io::Result<usize> {
        let held = self.unfinished.len();
        self.unfinished.resize(held + CHUNK, 0);
        let count = match &mut self.source {
            Source::Rotated(content) => content.read(&mut self.unfinished[held..]),
            Source::Current(current) => current.file.read_at(&mut self.unfinished[held..], current.position),
        };
        self.unfinished.truncate(held + *count.as_ref().unwrap_or(&0));
        let count = count?;
        if let Source::Current(current) = &mut self.source {
            if let Some(restart) = current.truncated(count)? {
                current.position = restart;
                self.unfinished.clear();
                return if current.file.metadata()?.len() > restart {
                    self.read()
                } else {
                    Ok(0)
                };
            }
            current.position += count as u64;
        }
        Ok(count)
    }

    /// Takes the lines that are whole.
    fn take_whole_lines(&mut self) -> Vec<u8> {
        let end = match memchr::memrchr(b'\n', &self.unfinished) {
            Some(newline) => newline + 1,
            None if self.unfinished.len() >= LONGEST_LINE => self.unfinished.len(),
            None => 0,
        };
        let rest = self.unfinished.split_off(end);
        let whole = std::mem::replace(&mut self.unfinished, rest);
        if let Source::Current(current) = &mut self.source {
            let before = memchr::memrchr(b'\n', &whole[..end.saturating_sub(1)]).map_or(0, |newline| newline + 1);
            let last = if self.unfinished.is_empty() {
                &whole[before..]
            } else {
                &self.unfinished
            };
            let begin = current.position - last.len() as u64;
            current.mark = Some((begin, last[..last.len().min(PREFIX_LEN)].to_vec()));
        }
        whole
    }
}

impl Current {
    fn new(file: Arc<File>, position: u64) -> io::Result<Current> {
        let identity = archive::identity(&file.metadata()?);
        Ok(Current {
            file,
            identity,
            position,
            mark: None,
            left: false,
        })
    }

    /// Sets the mark to the line that ends at `end`.
    fn mark_before(&mut self, end: u64) -> io::Result<()> {
        if end > 0 {
            let begin = whole_lines_end(&self.file, end - 1)?;
            let mut bytes = vec![0; PREFIX_LEN.min(usize::try_from(end - begin).unwrap_or(PREFIX_LEN))];
            self.file.read_exact_at(&mut bytes, begin)?;
            self.mark = Some((begin, bytes));
        }
        Ok(())
    }

    /// Where to read again when the file was truncated; `read` is what came from the present position.
    fn truncated(&mut self, read: usize) -> io::Result<Option<u64>> {
        if let Some((begin, bytes)) = &self.mark {
            let mut now = [0; PREFIX_LEN];
            let now = &mut now[..bytes.len()];
            let intact = match self.file.read_exact_at(now, *begin) {
                Ok(()) => now == bytes.as_slice(),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
                Err(error) => return Err(error),
            };
            if !intact {
                self.mark = None;
                return Ok(Some(0));
            }
        }
        let length = if read == 0 {
            self.file.metadata()?.len()
        } else {
            self.position
        };
        Ok((length < self.position).then(|| if self.mark.is_some() { length } else { 0 }))
    }

    /// Whether another file has taken this one's place. While there is none at all, the writer may still be in this one.
    fn was_moved(&self, origin: &Origin) -> io::Result<bool> {
        let now = archive::found(fs::metadata(&origin.path))?;
        Ok(now.is_some_and(|now| archive::identity(&now) != self.identity))
    }

    /// Whether this is the file that was rotated at `stamp`, even if only its compressed content is left.
    fn became(&self, origin: &Origin, stamp: Timestamp) -> io::Result<bool> {
        match Rotated::open(&origin.path, stamp)? {
            Some(Rotated::Plain(file)) => Ok(archive::identity(&file.metadata()?) == self.identity),
            Some(mut compressed @ Rotated::Compressed(_)) => {
                let (mut head, mut own) = ([0; 256], [0; 256]);
                let own_length = self.file.read_at(&mut own, 0)?;
                let length = compressed.read(&mut head).unwrap_or(0).min(own_length);
                Ok(length > 0 && head[..length] == own[..length])
            }
            None => Ok(false),
        }
    }
}

/// Where the last whole line in the first `length` bytes of `file` ends.
pub(super) fn whole_lines_end(file: &File, length: u64) -> io::Result<u64> {
    let mut block = vec![0; 4 * 1024];
    let mut end = length;
    while end > 0 && length - end < LONGEST_LINE as u64 {
        let start = end.saturating_sub(block.len() as u64);
        let block = &mut block[..usize::try_from(end - start).unwrap_or(0)];
        match file.read_exact_at(block, start) {
            // Emptied meanwhile: all that is there now is new.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
            read => read?,
        }
        if let Some(newline) = memchr::memrchr(b'\n', block) {
            return Ok(start + newline as u64 + 1);
        }
        end = start;
    }
    Ok(end)
}

fn at(moment: Timestamp) -> Near {
    Near {
        after: moment,
        before: moment,
    }
}

/// The start of a line before which no line is stamped `from` or later, by binary search; `written` is when the file last was.
fn start_of(file: &File, from: Option<Timestamp>, stamp: &Stamp, written: Timestamp) -> io::Result<u64> {
    let Some(from) = from.and_then(|from| from.checked_sub(stamp.disorder()).ok()) else {
        return Ok(0);
    };
    if !stamp.is_dated() {
        return Ok(0);
    }
    let mut bytes = vec![0; 2 * line::MAX_LINE];
    let (mut low, mut high) = (0, file.metadata()?.len());
    while high - low > bytes.len() as u64 {
        let middle = low + (high - low) / 2;
        let count = file.read_at(&mut bytes, middle)?;
        match first_stamped(&bytes[..count], stamp, at(written)) {
            Some((place, time)) if time < from => low = middle + place as u64,
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}

/// The first line that begins in `bytes` after a newline and has a stamp.
fn first_stamped(bytes: &[u8], stamp: &Stamp, near: Near) -> Option<(usize, Timestamp)> {
    memchr::memchr_iter(b'\n', bytes)
        .map(|newline| newline + 1)
        .find_map(|place| stamp.split(bytes.get(place..)?, near).0.map(|time| (place, time)))
}
