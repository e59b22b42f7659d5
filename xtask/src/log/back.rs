//! One log read from its end, through its rotated files, as far as the merge asks.
//!
//! Plain files are read backwards in blocks; a compressed one is read through and only its last lines are kept. Files are opened when
//! their lines are due and not before: no line of a rotated file is later than the rotation.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use super::archive::{self, Content, Rotated, Snapshot};
use super::merge::Lane;
use super::origin::Origin;
use super::reader::Span;
use super::record::{End, Line};
use super::seek::end_of;
use super::stamp::Near;

/// The first block from the end of a file, and the largest: a line that is longer is taken for several.
const FIRST_BLOCK: u64 = 16 * 1024;
const LARGEST_BLOCK: u64 = 1024 * 1024;

/// The lines of a log, newest first.
pub(super) struct Back {
    origin: Origin,
    span: Span,
    /// The plain file being read, and where its unread part ends.
    plain: Option<(Arc<File>, u64)>,
    /// When that was rotated, and its path; none: it is the current one.
    aside: Option<(Timestamp, PathBuf)>,
    /// The time of the first line that was read of it: what is unread is not later.
    read_to: Option<Timestamp>,
    /// Rotated files not opened yet, oldest first.
    rotated: Vec<Timestamp>,
    /// Lines that were read, oldest first.
    lines: Vec<Line>,
    /// How many lines will be taken at most.
    wanted: usize,
    block: u64,
}

impl Back {
    /// The lines of a time of `origin` as it was at `snapshot`, of which `end` bytes of the current file count.
    pub(super) fn new(origin: Origin, snapshot: &Snapshot, end: u64, wanted: usize, span: Span) -> io::Result<Back> {
        let plain = match &snapshot.current {
            Some(file) => Some((file.clone(), end_of(file, end, span.until, &origin.stamp)?)),
            None => None,
        };
        let rotated = snapshot.rotated.iter().copied();
        Ok(Back {
            origin,
            span,
            plain,
            aside: None,
            read_to: None,
            rotated: rotated
                .filter(|stamp| span.from.is_none_or(|from| *stamp >= from))
                .collect(),
            lines: Vec::new(),
            wanted,
            block: FIRST_BLOCK,
        })
    }

    /// Reads the block before what was read of the plain file.
    fn read_block(&mut self, file: &Arc<File>, end: u64) -> io::Result<()> {
        let start = end.saturating_sub(self.block);
        let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(0)];
        if let Err(error) = file.read_exact_at(&mut bytes, start) {
            // Truncated meanwhile: what stood there is gone.
            return if error.kind() == io::ErrorKind::UnexpectedEof {
                Ok(())
            } else {
                Err(error)
            };
        }
        let first = match memchr::memchr(b'\n', &bytes) {
            _ if start == 0 => 0,
            Some(newline) if newline + 1 < bytes.len() => newline + 1,
            Some(_) | None => bytes.len(),
        };
        let mut near = Near::to(archive::modified(file)?);
        let stamps = &self.origin.stamp;
        let is_stamped = || stamps.split(&bytes[first..], near).0.is_some();
        let is_clear = first < bytes.len() && (!stamps.is_dated() || is_stamped());
        if start > 0 && !is_clear && self.block < LARGEST_BLOCK {
            // The first line is too long or has no stamp: what is before it decides what it is.
            self.block *= 4;
            self.plain = Some((file.clone(), end));
            return Ok(());
        }
        let first = if first == bytes.len() { 0 } else { first };
        let mut lines = bytes[first..].split(|&byte| byte == b'\n');
        near.after = lines.find_map(|line| stamps.split(line, near).0).unwrap_or(near.before);
        self.read_to = Some(near.after);
        let (lines, span) = (&mut self.lines, self.span);
        self.origin.parse(&bytes[first..], End::Open, &mut near, |line| {
            lines.extend(span.holds(line.stamp).then_some(line));
        });
        let left = start + first as u64;
        let is_past = span.from.is_some_and(|from| self.is_before(from));
        self.plain = (left > 0 && !is_past).then(|| (file.clone(), left));
        self.block = LARGEST_BLOCK.min(self.block * 4);
        Ok(())
    }

    /// Whether all that is unread of the file was written before `from`.
    fn is_before(&self, from: Timestamp) -> bool {
        let from = from.checked_sub(self.origin.stamp.disorder()).unwrap_or(Timestamp::MIN);
        self.origin.stamp.is_dated() && self.read_to.is_some_and(|first| first < from)
    }

    /// Reads a compressed file through and keeps its last lines.
    fn read_through(&mut self, content: impl Read, rotated: Timestamp) {
        let mut content = BufReader::with_capacity(64 * 1024, content);
        let (mut kept, mut bytes) = (VecDeque::new(), Vec::new());
        let (mut near, span) = (Near::to(rotated), self.span);
        loop {
            match content.by_ref().take(LARGEST_BLOCK).read_until(b'\n', &mut bytes) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    kept.extend(self.origin.damage(near.after, &error));
                    break;
                }
            }
            self.origin.parse(&bytes, End::Newline, &mut near, |line| {
                kept.extend(span.holds(line.stamp).then_some(line));
            });
            if kept.len() > self.wanted {
                kept.pop_front();
            }
            bytes.clear();
        }
        self.lines = kept.into();
    }

    /// Reads one block more of the plain file, if there is one.
    fn read_on(&mut self) -> io::Result<bool> {
        let Some((file, end)) = self.plain.take() else {
            return Ok(false);
        };
        if let Err(error) = self.read_block(&file, end) {
            let Some((rotated, path)) = &self.aside else {
                return Err(archive::context(&error, "read", &self.origin.path));
            };
            let at = self.read_to.unwrap_or(*rotated);
            self.lines.extend(self.origin.damage(at, &archive::named(&error, path)));
        }
        Ok(true)
    }

    /// Goes on to the file that was rotated at `stamp`.
    fn open(&mut self, stamp: Timestamp) -> io::Result<()> {
        let Some(mut rotated) = Rotated::open(&self.origin.path, stamp)? else {
            // Removed meanwhile.
            return Ok(());
        };
        match rotated.content {
            Content::Plain(file) => {
                let length = file.metadata().map(|data| data.len());
                let end = length.and_then(|length| end_of(&file, length, self.span.until, &self.origin.stamp));
                let end = end.map_err(|error| archive::named(&error, &rotated.path))?;
                self.block = FIRST_BLOCK;
                self.plain = (end > 0).then(|| (Arc::new(file), end));
                self.aside = Some((stamp, rotated.path));
            }
            Content::Compressed(_) => self.read_through(&mut rotated, stamp),
        }
        Ok(())
    }
}

impl Lane for Back {
    type Item = Line;
    type Error = io::Error;

    fn next_stamp(&mut self) -> io::Result<Option<Timestamp>> {
        while self.lines.is_empty() && self.read_to.is_none() && self.read_on()? {}
        let unread = self.plain.as_ref().and(self.read_to);
        Ok(self
            .lines
            .last()
            .map(|line| line.stamp)
            .or(unread)
            .or(self.rotated.last().copied()))
    }

    fn take(&mut self) -> io::Result<Option<Line>> {
        if let Some(line) = self.lines.pop() {
            return Ok(Some(line));
        }
        if !self.read_on()?
            && let Some(stamp) = self.rotated.pop()
        {
            self.read_to = None;
            if let Err(error) = self.open(stamp) {
                self.lines.extend(self.origin.damage(stamp, &error));
            }
        }
        Ok(None)
    }
}
